//! Socket addresses as system calls take and give them.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use libc::{c_int, socklen_t};

/// Room for an address of any family.
pub struct Address {
    pub storage: libc::sockaddr_storage,
    /// Bytes of it, or that it has room for.
    pub length: socklen_t,
}

impl Default for Address {
    fn default() -> Address {
        // SAFETY: all zeroes is a valid value of this plain structure.
        let storage = unsafe { std::mem::zeroed() };
        Address { storage, length: size_of::<libc::sockaddr_storage>() as socklen_t }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        let Address { mut storage, .. } = Address::default();
        let length = match address {
            SocketAddr::V4(address) => {
                // SAFETY: large enough for every family, and aligned for it.
                let it = unsafe { &mut *(&raw mut storage).cast::<libc::sockaddr_in>() };
                it.sin_family = libc::AF_INET as libc::sa_family_t;
                it.sin_port = address.port().to_be();
                it.sin_addr.s_addr = address.ip().to_bits().to_be();
                size_of::<libc::sockaddr_in>()
            }
            SocketAddr::V6(address) => {
                // SAFETY: as above.
                let it = unsafe { &mut *(&raw mut storage).cast::<libc::sockaddr_in6>() };
                it.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                it.sin6_port = address.port().to_be();
                it.sin6_addr.s6_addr = address.ip().octets();
                it.sin6_scope_id = address.scope_id();
                size_of::<libc::sockaddr_in6>()
            }
        };
        Address { storage, length: length as socklen_t }
    }
}

impl Address {
    #[must_use]
    pub fn family(&self) -> c_int {
        c_int::from(self.storage.ss_family)
    }

    /// # Errors
    /// When it is none of TCP.
    pub fn read(&self) -> io::Result<SocketAddr> {
        match self.family() {
            libc::AF_INET => {
                // SAFETY: the family says which structure it is.
                let it = unsafe { &*(&raw const self.storage).cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from_bits(u32::from_be(it.sin_addr.s_addr));
                Ok(SocketAddrV4::new(ip, u16::from_be(it.sin_port)).into())
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let it = unsafe { &*(&raw const self.storage).cast::<libc::sockaddr_in6>() };
                let ip = Ipv6Addr::from(it.sin6_addr.s6_addr);
                Ok(SocketAddrV6::new(ip, u16::from_be(it.sin6_port), 0, it.sin6_scope_id).into())
            }
            family => Err(io::Error::other(format!("a socket of family {family} is none of TCP"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_were() {
        for text in ["127.0.0.1:80", "192.0.2.255:65535", "[::1]:443", "[2001:db8::1]:1", "[fe80::1%3]:8443"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Address::from(address).read().unwrap(), address);
        }
        assert!(Address::default().read().is_err());
    }
}
