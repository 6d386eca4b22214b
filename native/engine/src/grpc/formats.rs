//! Well-known forms of text, as protovalidate defines them.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Email,
    Hostname,
    Ip,
    Ipv4,
    Ipv6,
    /// A host name or an IP address.
    Address,
    Uuid,
    /// Without its hyphens.
    TrimmedUuid,
    Ulid,
    /// With its length behind a slash.
    IpWithLength,
    Ipv4WithLength,
    Ipv6WithLength,
    /// The same, all bits behind the length zero.
    IpPrefix,
    Ipv4Prefix,
    Ipv6Prefix,
    HostAndPort,
}

impl Form {
    pub fn name(self) -> &'static str {
        match self {
            Form::Email => "an e-mail address",
            Form::Hostname => "a host name",
            Form::Ip => "an IP address",
            Form::Ipv4 => "an IPv4 address",
            Form::Ipv6 => "an IPv6 address",
            Form::Address => "a host name or an IP address",
            Form::Uuid => "a UUID",
            Form::TrimmedUuid => "a UUID without hyphens",
            Form::Ulid => "a ULID",
            Form::IpWithLength => "an IP address with a prefix length",
            Form::Ipv4WithLength => "an IPv4 address with a prefix length",
            Form::Ipv6WithLength => "an IPv6 address with a prefix length",
            Form::IpPrefix => "an IP prefix",
            Form::Ipv4Prefix => "an IPv4 prefix",
            Form::Ipv6Prefix => "an IPv6 prefix",
            Form::HostAndPort => "a host and a port",
        }
    }

    pub fn fits(self, text: &str) -> bool {
        match self {
            Form::Email => is_email(text),
            Form::Hostname => is_hostname(text),
            Form::Ip => is_ipv4(text) || is_ipv6(text),
            Form::Ipv4 => is_ipv4(text),
            Form::Ipv6 => is_ipv6(text),
            Form::Address => is_hostname(text) || is_ipv4(text) || is_ipv6(text),
            Form::Uuid => is_uuid(text),
            Form::TrimmedUuid => text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
            Form::Ulid => is_ulid(text),
            Form::IpWithLength => is_prefix(text, true, true, false),
            Form::Ipv4WithLength => is_prefix(text, true, false, false),
            Form::Ipv6WithLength => is_prefix(text, false, true, false),
            Form::IpPrefix => is_prefix(text, true, true, true),
            Form::Ipv4Prefix => is_prefix(text, true, false, true),
            Form::Ipv6Prefix => is_prefix(text, false, true, true),
            Form::HostAndPort => is_host_and_port(text),
        }
    }
}

/// The form of HTML (WHATWG, valid e-mail address), which protovalidate takes.
fn is_email(text: &str) -> bool {
    const LOCAL: &[u8] = b".!#$%&'*+/=?^_`{|}~-";
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let is_local = !local.is_empty() && local.bytes().all(|byte| byte.is_ascii_alphanumeric() || LOCAL.contains(&byte));
    is_local && domain.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= 63
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// At most 253 characters, a last dot allowed, the last label not all digits.
fn is_hostname(text: &str) -> bool {
    if text.len() > 253 {
        return false;
    }
    let text = text.strip_suffix('.').unwrap_or(text);
    let last = text.rsplit('.').next().unwrap_or_default();
    text.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

pub(super) fn is_ipv4(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok()
}

/// With a zone, as in `fe80::1%eth0`.
pub(super) fn is_ipv6(text: &str) -> bool {
    match text.split_once('%') {
        Some((address, zone)) => !zone.is_empty() && !zone.contains('\0') && address.parse::<Ipv6Addr>().is_ok(),
        None => text.parse::<Ipv6Addr>().is_ok(),
    }
}

/// Of these families; `whole`: no bit is set behind the length.
fn is_prefix(text: &str, v4: bool, v6: bool, whole: bool) -> bool {
    // A length has one spelling.
    let Some((_, length)) = text.rsplit_once('/') else { return false };
    if length.len() > 1 && length.starts_with('0') {
        return false;
    }
    let is_v4 = || text.parse::<Ipv4Net>().is_ok_and(|net| !whole || net.network() == net.addr());
    let is_v6 = || text.parse::<Ipv6Net>().is_ok_and(|net| !whole || net.network() == net.addr());
    (v4 && is_v4()) || (v6 && is_v6())
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Crockford's base 32, 128 bits.
fn is_ulid(text: &str) -> bool {
    text.len() == 26
        && matches!(text.as_bytes()[0], b'0'..=b'7')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() && !matches!(byte.to_ascii_uppercase(), b'I' | b'L' | b'O' | b'U'))
}

fn is_host_and_port(text: &str) -> bool {
    let is_port = |port: &str| {
        !port.is_empty()
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && (port == "0" || !port.starts_with('0'))
            && port.parse::<u16>().is_ok()
    };
    if let Some(rest) = text.strip_prefix('[') {
        return rest.rsplit_once("]:").is_some_and(|(address, port)| is_ipv6(address) && is_port(port));
    }
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    (is_hostname(host) || is_ipv4(host)) && is_port(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_those_of_protovalidate() {
        let fits: &[(Form, &str, bool)] = &[
            (Form::Email, "foo@example.com", true),
            (Form::Email, "foo@localhost", true),
            (Form::Email, "foo bar@example.com", false),
            (Form::Email, "Foo <foo@example.com>", false),
            (Form::Email, "foo@-example.com", false),
            (Form::Email, "@example.com", false),
            (Form::Hostname, "example.com.", true),
            (Form::Hostname, "A.ISI.EDU", true),
            (Form::Hostname, "1.2.3.4", false),
            (Form::Hostname, "foo_bar.com", false),
            (Form::Hostname, "", false),
            (Form::Ip, "::1", true),
            (Form::Ip, "fe80::a%en1", true),
            (Form::Ip, "127.0.0.01", false),
            (Form::Ipv4, "::1", false),
            (Form::Ipv6, "127.0.0.1", false),
            (Form::Address, "example.com", true),
            (Form::Address, "foobar_com", false),
            (Form::Uuid, "8b72987b-024a-43b3-b4cf-647a1f925c5d", true),
            (Form::Uuid, "8b72987b024a43b3b4cf647a1f925c5d", false),
            (Form::TrimmedUuid, "8b72987b024a43b3b4cf647a1f925c5d", true),
            (Form::Ulid, "01ARZ3NDEKTSV4RRFFQ69G5FAV", true),
            (Form::Ulid, "81ARZ3NDEKTSV4RRFFQ69G5FAV", false),
            (Form::IpWithLength, "10.0.0.1/8", true),
            (Form::IpPrefix, "10.0.0.1/8", false),
            (Form::IpPrefix, "10.0.0.0/8", true),
            (Form::Ipv6Prefix, "2001:db8::/32", true),
            (Form::Ipv6Prefix, "2001:db8::1/32", false),
            (Form::Ipv4Prefix, "10.0.0.0/33", false),
            (Form::HostAndPort, "[::1]:8080", true),
            (Form::HostAndPort, "example.com:80", true),
            (Form::HostAndPort, "example.com", false),
            (Form::HostAndPort, "example.com:080", false),
            (Form::HostAndPort, "example.com:65536", false),
        ];
        for &(form, text, fits) in fits {
            assert_eq!(form.fits(text), fits, "{form:?} {text:?}");
        }
    }
}
