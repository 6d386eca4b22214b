//! Countries and autonomous systems of addresses, from MaxMind's files, which the control plane reads and hands over.
//!
//! State of the process: a file takes the place of the one before for whoever asks after it. A look-up takes some
//! hundred nanoseconds, so a thread remembers those of the addresses it saw last.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use maxminddb::{PathElement, Reader};

/// Addresses that a thread remembers: a connection's requests come close together.
const REMEMBERED: usize = 256;

/// Which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Country,
    Asn,
}

/// What is known of an address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// ISO 3166-1 alpha-2.
    pub country: Option<[u8; 2]>,
    pub asn: Option<u32>,
}

type Database = ArcSwapOption<Reader<Vec<u8>>>;

static COUNTRY: LazyLock<Database> = LazyLock::new(Database::empty);
static ASN: LazyLock<Database> = LazyLock::new(Database::empty);
/// Moves with each file, from 1: what a thread remembers of those before is void.
static EPOCH: AtomicU64 = AtomicU64::new(1);

/// Puts a file in the place of the one before; None: none.
///
/// # Errors
/// What cannot be read: the one before stays.
pub fn load(kind: Kind, bytes: Option<Vec<u8>>) -> Result<(), String> {
    let reader = match bytes {
        None => None,
        Some(bytes) => Some(Reader::from_source(bytes).map_err(|error| error.to_string())?.into()),
    };
    match kind {
        Kind::Country => COUNTRY.store(reader),
        Kind::Asn => ASN.store(reader),
    }
    EPOCH.fetch_add(1, Ordering::Release);
    Ok(())
}

/// Where an address is, as far as the files tell.
#[must_use]
pub fn place(address: IpAddr) -> Place {
    thread_local! {
        static SEEN: RefCell<Vec<(u64, IpAddr, Place)>> = const { RefCell::new(Vec::new()) };
    }
    let epoch = EPOCH.load(Ordering::Acquire);
    SEEN.with_borrow_mut(|seen| {
        if seen.is_empty() {
            seen.resize(REMEMBERED, (0, address, Place::default()));
        }
        let slot = &mut seen[slot(address)];
        if (slot.0, slot.1) != (epoch, address) {
            *slot = (epoch, address, look_up(address));
        }
        slot.2
    })
}

fn slot(address: IpAddr) -> usize {
    let bits = match address {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64 ^ address.to_bits() as u64,
    };
    (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize % REMEMBERED
}

fn look_up(address: IpAddr) -> Place {
    let of = |database: &Database| database.load().clone();
    let country = of(&COUNTRY).and_then(|reader| {
        let found = reader.lookup(address).ok()?;
        let code = |path: [PathElement<'_>; 2]| found.decode_path::<&str>(&path).ok()?;
        // Where the network is used; for some it is only known where it is registered.
        let [used, registered] =
            ["country", "registered_country"].map(|of| [PathElement::Key(of), PathElement::Key("iso_code")]);
        code(used).or_else(|| code(registered))?.as_bytes().try_into().ok()
    });
    let asn = of(&ASN).and_then(|reader| {
        reader.lookup(address).ok()?.decode_path::<u32>(&[PathElement::Key("autonomous_system_number")]).ok()?
    });
    Place { country, asn }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Control byte: type and size (MaxMind DB 2.0, "Data Field Format").
    fn text(text: &str) -> Vec<u8> {
        [&[2 << 5 | text.len() as u8], text.as_bytes()].concat()
    }

    fn number(kind: u8, value: u32) -> Vec<u8> {
        [&[kind << 5 | 4][..], &value.to_be_bytes()].concat()
    }

    fn map(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = vec![7 << 5 | members.len() as u8];
        for (name, value) in members {
            bytes.extend(text(name));
            bytes.extend_from_slice(value);
        }
        bytes
    }

    /// A database that knows one prefix of IPv4: a node for each of its bits.
    fn database(prefix: u32, bits: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for bit in 0..bits {
            let next = if bit + 1 == bits { bits + 16 } else { bit + 1 };
            let mut records = [bits, bits];
            records[(prefix >> (31 - bit) & 1) as usize] = next;
            records.iter().for_each(|record| bytes.extend_from_slice(&record.to_be_bytes()[1..]));
        }
        bytes.extend_from_slice(&[0; 16]);
        bytes.extend_from_slice(data);
        bytes.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        let two = |value: u16| [&[5 << 5 | 2][..], &value.to_be_bytes()].concat();
        bytes.extend(map(&[
            ("node_count", number(6, bits)),
            ("record_size", two(24)),
            ("ip_version", two(4)),
            ("database_type", text("Test")),
            ("languages", vec![0, 4]),
            ("binary_format_major_version", two(2)),
            ("binary_format_minor_version", two(0)),
            ("build_epoch", vec![1, 2, 1]),
            ("description", map(&[])),
        ]));
        bytes
    }

    #[test]
    fn places_follow_the_files() {
        let known: IpAddr = [198, 51, 100, 7].into();
        let stranger: IpAddr = [203, 0, 113, 1].into();
        assert_eq!(place(known), Place::default());
        let prefix = u32::from_be_bytes([198, 51, 100, 0]);
        let iso = |code: &str| map(&[("iso_code", text(code))]);
        let country = map(&[("registered_country", iso("AT")), ("country", iso("DE"))]);
        load(Kind::Country, Some(database(prefix, 24, &country))).unwrap();
        load(Kind::Asn, Some(database(prefix, 24, &map(&[("autonomous_system_number", number(6, 64_500))])))).unwrap();
        assert_eq!(place(known), Place { country: Some(*b"DE"), asn: Some(64_500) });
        assert_eq!(place(stranger), Place::default());
        load(Kind::Country, Some(database(prefix, 24, &map(&[("registered_country", iso("AT"))])))).unwrap();
        assert_eq!(place(known).country, Some(*b"AT"));
        assert!(load(Kind::Country, Some(b"no database".to_vec())).is_err());
        assert_eq!(place(known).country, Some(*b"AT"), "the one before stays");
        load(Kind::Country, None).unwrap();
        load(Kind::Asn, None).unwrap();
        assert_eq!(place(known), Place::default());
    }
}
