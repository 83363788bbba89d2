//! The address of an instance: an IP address, or a host name with what it stands for. The core never looks a name up:
//! it is told.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// The longest host name that can be looked up.
const MAX_HOST_BYTES: usize = 255;

/// An address with a port that is not zero.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addr {
    host: Option<Arc<str>>,
    /// The address; of a host name, what it was found to stand for.
    pub ip: Option<IpAddr>,
    /// The port, 1–65535.
    pub port: u16,
}

impl Addr {
    /// An address from the two fields that INFO and hello messages carry; `None` when one of them is not valid. Host
    /// names are not: see [`Addr::named`].
    #[must_use]
    pub fn parse(ip: &str, port: &str) -> Option<Self> {
        Self::new(parse_ip(ip)?, port.trim().parse().ok()?)
    }

    /// An address with a port that can be connected to.
    #[must_use]
    pub const fn new(ip: IpAddr, port: u16) -> Option<Self> {
        if port == 0 {
            None
        } else {
            Some(Self {
                host: None,
                ip: Some(ip),
                port,
            })
        }
    }

    /// The address behind a host name; `None` when the name or the port cannot be one.
    #[must_use]
    pub fn named(host: &str, ip: Option<IpAddr>, port: u16) -> Option<Self> {
        (is_host_name(host) && port != 0).then(|| Self {
            host: Some(host.into()),
            ip,
            port,
        })
    }

    /// The host name, where the address has one.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// Whether both are the same place: one port, and one IP address or one name.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        let same_ip = self.ip.is_some() && self.ip == other.ip;
        let same_host = || match (&self.host, &other.host) {
            (Some(host), Some(other)) => host.eq_ignore_ascii_case(other),
            _ => false,
        };
        self.port == other.port && (same_ip || same_host())
    }

    /// Where this is, for others: its name where names are told, else its IP address. A name that stands for nothing
    /// yet is told as it is.
    #[must_use]
    pub fn shown(&self, names: bool) -> String {
        match (&self.host, self.ip) {
            (Some(host), None) => host.to_string(),
            (Some(host), Some(_)) if names => host.to_string(),
            (_, Some(ip)) => ip.to_string(),
            (None, None) => String::new(),
        }
    }

    /// `ip:port`, an IPv6 address in brackets: how slaves and sentinels are named.
    #[must_use]
    pub fn label(&self, names: bool) -> String {
        let place = self.shown(names);
        if place.contains(':') {
            format!("[{place}]:{}", self.port)
        } else {
            format!("{place}:{}", self.port)
        }
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label(true))
    }
}

/// A literal IP address, an IPv6 address also in brackets: older releases of Tern wrote them in INFO.
pub(crate) fn parse_ip(text: &str) -> Option<IpAddr> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match bare {
        Some(text) => text.parse().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

/// Whether a text can be a host name. What cannot is never looked up, and never written into a file.
pub(crate) fn is_host_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_HOST_BYTES
        && parse_ip(text).is_none()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
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
            ("[127.0.0.1]", "1"),
        ] {
            assert_eq!(Addr::parse(ip, port), None, "{ip} {port}");
        }
    }

    #[test]
    fn brackets_around_an_address_of_ipv6_are_taken_off() {
        let addr = Addr::parse("[::1]", "6379").unwrap();
        assert_eq!((addr.shown(false).as_str(), addr.port), ("::1", 6379));
    }

    #[test]
    fn a_name_is_the_same_place_as_what_it_stands_for() {
        let ip = Addr::parse("10.0.0.1", "1").unwrap();
        let known = Addr::named("db", ip.ip, 1).unwrap();
        let unknown = Addr::named("DB", None, 1).unwrap();
        assert!(known.is(&ip) && known.is(&unknown) && !unknown.is(&ip));
        assert_eq!(known.shown(true), "db");
        assert_eq!(known.shown(false), "10.0.0.1");
        assert_eq!(unknown.shown(false), "DB");
        for bad in ["", "a b", "a\nb", "127.0.0.1", "a,b"] {
            assert_eq!(Addr::named(bad, None, 1), None, "{bad}");
        }
    }
}
