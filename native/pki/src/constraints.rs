//! Name constraints of an authority (RFC 5280, 4.2.1.10), looked at before it signs: a certificate with a name that
//! they forbid would be refused by everybody who verifies it.

use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};

use crate::names::{AlternativeNames, octets, parse_ip, shown};
use crate::problem::{Problem, Result};

/// The subtrees of one certificate, by kind; those on directory names are left to whoever verifies.
#[derive(Default)]
pub(crate) struct Constraints {
    permitted: Subtrees,
    excluded: Subtrees,
}

#[derive(Default)]
struct Subtrees {
    dns: Vec<String>,
    email: Vec<String>,
    uri: Vec<String>,
    /// Address and mask.
    ip: Vec<Vec<u8>>,
}

impl Constraints {
    pub(crate) fn of(certificate: &X509Certificate) -> Constraints {
        let mut constraints = Constraints::default();
        for extension in certificate.extensions() {
            if let ParsedExtension::NameConstraints(found) = extension.parsed_extension() {
                for tree in found.permitted_subtrees.iter().flatten() {
                    constraints.permitted.push(&tree.base);
                }
                for tree in found.excluded_subtrees.iter().flatten() {
                    constraints.excluded.push(&tree.base);
                }
            }
        }
        constraints
    }

    pub(crate) fn check(&self, names: &AlternativeNames) -> Result<()> {
        let (permitted, excluded) = (&self.permitted, &self.excluded);
        for name in &names.dns {
            one(name, &permitted.dns, &excluded.dns, |tree| dns_is_in(name, tree))?;
        }
        for name in &names.email {
            one(name, &permitted.email, &excluded.email, |tree| email_is_in(name, tree))?;
        }
        for name in &names.uri {
            // A name without a host, such as a URN, is in no tree: RFC 5280 has it refused where there are any.
            if uri_host(name).is_none() && !excluded.uri.is_empty() {
                return Err(forbidden(name));
            }
            one(name, &permitted.uri, &excluded.uri, |tree| uri_host(name).is_some_and(|host| host_is_in(host, tree)))?;
        }
        for name in &names.ip {
            let address = parse_ip(name)?;
            one(name, &permitted.ip, &excluded.ip, |tree| ip_is_in(address, tree))?;
        }
        Ok(())
    }
}

impl Subtrees {
    fn push(&mut self, base: &GeneralName) {
        match base {
            GeneralName::DNSName(name) => self.dns.push(name.to_ascii_lowercase()),
            GeneralName::RFC822Name(name) => self.email.push((*name).to_owned()),
            GeneralName::URI(name) => self.uri.push(name.to_ascii_lowercase()),
            GeneralName::IPAddress(bytes) => self.ip.push(bytes.to_vec()),
            _ => {}
        }
    }
}

fn one<Tree>(name: &str, permitted: &[Tree], excluded: &[Tree], is_in: impl Fn(&Tree) -> bool) -> Result<()> {
    if (permitted.is_empty() || permitted.iter().any(&is_in)) && !excluded.iter().any(&is_in) {
        return Ok(());
    }
    Err(forbidden(name))
}

fn forbidden(name: &str) -> Problem {
    Problem::new(
        format!("`{}` is a name that the authority's name constraints forbid", shown(name)),
        "Leave it out, or issue from another authority.",
    )
}

/// A name and everything below it; all names are below the empty one.
fn dns_is_in(name: &str, tree: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let tree = tree.strip_prefix('.').unwrap_or(tree);
    tree.is_empty() || name == tree || name.strip_suffix(tree).is_some_and(|rest| rest.ends_with('.'))
}

/// One host, or with a dot in front all hosts below it.
fn host_is_in(host: &str, tree: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let tree = tree.to_ascii_lowercase();
    if tree.starts_with('.') { host.ends_with(&tree) } else { host == tree }
}

fn email_is_in(name: &str, tree: &str) -> bool {
    let Some((mailbox, host)) = name.rsplit_once('@') else { return false };
    match tree.rsplit_once('@') {
        Some((wanted, at)) => wanted == mailbox && at.eq_ignore_ascii_case(host),
        None => host_is_in(host, tree),
    }
}

fn uri_host(uri: &str) -> Option<&str> {
    let authority = uri.split_once("://")?.1.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.split_once(':').map_or(host, |(host, _)| host);
    (!host.is_empty() && !host.starts_with('[')).then_some(host)
}

fn ip_is_in(address: IpAddr, tree: &[u8]) -> bool {
    let address = octets(address);
    let (base, mask) = tree.split_at(tree.len() / 2);
    base.len() == address.len()
        && address.iter().zip(base).zip(mask).all(|((byte, base), mask)| byte & mask == base & mask)
}
