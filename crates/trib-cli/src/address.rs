//! Where a node listens: `host:port`, and the bus port that belongs to it.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// How far above its data port a node's bus port lies.
const BUS_PORT_OFFSET: u16 = 10_000;

/// A node's data address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Host name, IPv4 or IPv6 address (without brackets).
    pub host: String,
    /// Data port.
    pub port: u16,
}

impl Address {
    /// Puts the parts together.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }

    /// The port of the cluster bus, where the data port leaves room for one.
    #[must_use]
    pub fn bus_port(&self) -> Option<u16> {
        self.port.checked_add(BUS_PORT_OFFSET)
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match client::split_address(text) {
            Some((host, port)) if port > 0 => Ok(Self::new(host, port)),
            _ => Err(Error::Address(text.to_owned())),
        }
    }
}

/// As nodes print it: an IPv6 host stands without brackets.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bus_ports_must_exist() {
        assert_eq!(Address::new("h", 6379).bus_port(), Some(16379));
        assert_eq!(Address::new("h", 55_536).bus_port(), None);
    }

    #[test]
    fn bad_addresses_are_named() {
        for text in ["localhost", "h:0", "h:x", ":7000"] {
            let error = text.parse::<Address>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("Invalid IP or Port (given as {text}) - use IP:Port format")
            );
        }
        assert_eq!(
            "[::1]:7000".parse::<Address>().unwrap().to_string(),
            "::1:7000"
        );
    }
}
