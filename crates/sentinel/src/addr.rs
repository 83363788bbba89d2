//! The address of an instance. Names are resolved before they get here: the core never looks one up.

use std::fmt;
use std::net::IpAddr;

/// An IP address and a port that is not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addr {
    /// The address.
    pub ip: IpAddr,
    /// The port, 1–65535.
    pub port: u16,
}

impl Addr {
    /// An address from the two fields that INFO and hello messages carry; `None` when one of them is not valid.
    #[must_use]
    pub fn parse(ip: &str, port: &str) -> Option<Self> {
        Self::new(ip.parse().ok()?, port.trim().parse().ok()?)
    }

    /// An address with a port that can be connected to.
    #[must_use]
    pub const fn new(ip: IpAddr, port: u16) -> Option<Self> {
        if port == 0 {
            None
        } else {
            Some(Self { ip, port })
        }
    }
}

impl fmt::Display for Addr {
    /// `ip:port`, an IPv6 address in brackets: how slaves and sentinels are named.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            IpAddr::V4(ip) => write!(f, "{ip}:{}", self.port),
            IpAddr::V6(ip) => write!(f, "[{ip}]:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_literal_addresses_with_a_real_port_are_taken() {
        assert_eq!(
            Addr::parse("127.0.0.1", "6379").unwrap().to_string(),
            "127.0.0.1:6379"
        );
        assert_eq!(
            Addr::parse("::1", "6379").unwrap().to_string(),
            "[::1]:6379"
        );
        for (ip, port) in [
            ("localhost", "1"),
            ("127.0.0.1", "0"),
            ("127.0.0.1", "65536"),
            ("127.0.0.1", "-1"),
        ] {
            assert_eq!(Addr::parse(ip, port), None, "{ip} {port}");
        }
    }
}
