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
