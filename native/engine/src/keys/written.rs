//! What the engine is told of keys, as it is written and as it is kept.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use serde::Deserialize;

use super::form::{self, ID_DIGITS};
use super::table::{Grant, Id, NEVER, Rare};

/// Most scopes, certificates, networks or hosts of one key: an access rule, not a database.
pub const MAX_LISTED: usize = 100;
/// Longest scope, partner's or host's name, in bytes: that of a host name (RFC 1035, 2.3.4).
pub const MAX_TEXT_BYTES: usize = 255;

/// Everything the engine is told of some keys. What is both in `keys` and `removed` is removed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Change {
    /// Begins anew, beside what is in force: this change and those after it, until the one that is `ready`, which puts all
    /// of them in its place. What is removed meanwhile stops counting at once.
    pub reset: bool,
    /// Added, or in place of what was known under the id.
    pub keys: Vec<Written>,
    pub removed: Vec<String>,
    /// Everything is here now. Until it was said for the first time, nobody passes.
    pub ready: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Written {
    /// 12 hex digits, as in the key itself. Public: of a service token, the client id.
    pub id: String,
    /// One or two.
    pub secrets: Vec<Secret>,
    pub partner: Option<String>,
    pub scopes: Vec<String>,
    /// Unix milliseconds; the second that they are in is the first that the key does not count in.
    pub expires_at: Option<u64>,
    /// SHA-256 of the client certificates that it is bound to, hex; empty: it is not.
    pub certificates: Vec<String>,
    /// Networks that it is bound to (`192.0.2.0/24`, or one address); empty: it is not.
    pub networks: Vec<String>,
    /// Hosts that it counts for (`api.example.com`, or `*.example.com` for one label); empty: all.
    pub hosts: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Secret {
    /// SHA-256 of the whole key, hex.
    pub digest: String,
    /// After a rotation: the deadline of the older one. Unix milliseconds, as `expires_at`.
    pub not_after: Option<u64>,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.digest.get(..8).unwrap_or_default();
        f.debug_struct("Secret").field("digest", &start).field("not_after", &self.not_after).finish()
    }
}

/// A key that was read.
pub(super) struct Entry {
    pub(super) id: Id,
    pub(super) digest: [u8; 32],
    pub(super) expires: u32,
    pub(super) grant: Grant,
    pub(super) rare: Option<Box<Rare>>,
}

impl Written {
    pub(super) fn read(&self) -> Result<Entry, &'static str> {
        let [newest, older @ ..] = &*self.secrets else { return Err("has no `secrets`") };
        if older.len() > 1 {
            return Err("has more than two `secrets`");
        }
        let (digest, not_after) = newest.read()?;
        let older = older.first().map(Secret::read).transpose()?;
        let lists = [self.scopes.len(), self.certificates.len(), self.networks.len(), self.hosts.len()];
        if lists.into_iter().any(|listed| listed > MAX_LISTED) {
            return Err("has more than 100 scopes, certificates, networks or hosts");
        }
        let mut texts = self.scopes.iter().chain(&self.hosts).chain(&self.partner);
        if texts.any(|text| text.is_empty() || text.len() > MAX_TEXT_BYTES) {
            return Err("has a scope, host or partner that is empty or longer than 255 bytes");
        }
        let certificates: Option<Box<_>> = self.certificates.iter().map(|text| read_hex(text)).collect();
        let networks: Option<Box<_>> = self.networks.iter().map(|text| network(text)).collect();
        let rare = Rare {
            not_after,
            older,
            certificates: certificates.ok_or("has a certificate that is not the hex of a SHA-256")?,
            networks: networks.ok_or("has a network that is not a prefix with its host bits zero")?,
        };
        let plain = (not_after, older) == (NEVER, None) && rare.certificates.is_empty() && rare.networks.is_empty();
        // A set: keys with the same ones share them, however they were written.
        let set = |list: &[String]| {
            let mut list = list.to_vec();
            list.sort_unstable();
            list.dedup();
            list
        };
        let hosts = set(&self.hosts).into_iter().map(|host| host.to_ascii_lowercase().into_boxed_str());
        Ok(Entry {
            id: read_id(&self.id)?,
            digest,
            expires: seconds(self.expires_at),
            grant: Grant {
                partner: self.partner.as_deref().map(Into::into),
                scopes: set(&self.scopes).into(),
                hosts: hosts.collect(),
            },
            rare: (!plain).then(|| Box::new(rare)),
        })
    }
}

impl Secret {
    fn read(&self) -> Result<([u8; 32], u32), &'static str> {
        let digest = read_hex(&self.digest).ok_or("has a secret whose `digest` is not the hex of a SHA-256")?;
        Ok((digest, seconds(self.not_after)))
    }
}

pub(super) fn read_id(text: &str) -> Result<Id, &'static str> {
    let digits: Option<&[u8; ID_DIGITS]> = text.as_bytes().try_into().ok();
    let digits = digits.filter(|digits| digits.iter().all(form::is_hex));
    digits.map(form::packed).ok_or("has an `id` that is not of 12 lower-case hex digits")
}

/// Cut off, so that nothing counts longer than it was meant to. What lies behind 2106 never ends.
fn seconds(milliseconds: Option<u64>) -> u32 {
    milliseconds.map_or(NEVER, |milliseconds| u32::try_from(milliseconds / 1000).unwrap_or(NEVER))
}

fn read_hex(text: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let value = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

/// IPv4 written as IPv6 (`::ffff:192.0.2.0/120`) is IPv4: addresses are asked in canonical form. With host bits set it
/// would be open whether the address or the network was meant.
fn network(text: &str) -> Option<IpNet> {
    let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    if network.network() != network.addr() {
        return None;
    }
    let mapped = match network {
        IpNet::V6(network) if network.prefix_len() >= 96 => network.addr().to_ipv4_mapped(),
        _ => None,
    };
    match mapped {
        Some(address) => Some(ipv4(address, network.prefix_len() - 96)?.into()),
        None => Some(network),
    }
}

fn ipv4(address: Ipv4Addr, length: u8) -> Option<Ipv4Net> {
    Ipv4Net::new(address, length).ok()
}
