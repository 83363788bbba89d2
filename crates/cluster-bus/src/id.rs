//! The name of a node: 160 bits that Redis writes as 40 lower-case hex characters, on the wire, in nodes.conf and in
//! replies.

use std::fmt;
use std::str::FromStr;

use crate::rng::Rng;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A node's id. Its order is the order of its text, which is what epoch collisions and replica migration compare.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId([u8; 20]);

impl NodeId {
    /// Characters of an id as text.
    pub const TEXT_LEN: usize = 40;

    /// Reads 40 lower-case hex characters; anything else is no id.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text: &[u8; Self::TEXT_LEN] = text.try_into().ok()?;
        let mut bytes = [0; 20];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Some(Self(bytes))
    }

    /// The 40 characters.
    #[must_use]
    pub fn to_hex(self) -> [u8; Self::TEXT_LEN] {
        let mut text = [0; Self::TEXT_LEN];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 15)];
        }
        text
    }

    /// The id whose 160 bits are the given ones: for tests and tools that need ids they can predict.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// Its first 64 bits as a number.
    pub(crate) fn number(self) -> u64 {
        let first = self.0.iter().take(8);
        first.fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    pub(crate) fn random(rng: &mut Rng) -> Self {
        let mut bytes = [0; 20];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&rng.next().to_be_bytes()[..chunk.len()]);
        }
        Self(bytes)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::str::from_utf8(&self.to_hex()).map_or(Err(fmt::Error), |text| f.write_str(text))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for NodeId {
    type Err = BadNodeId;

    fn from_str(text: &str) -> Result<Self, BadNodeId> {
        Self::parse(text.as_bytes()).ok_or(BadNodeId)
    }
}

/// The text is not 40 lower-case hex characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a node id: 40 lower-case hex characters expected")]
pub struct BadNodeId;

fn nibble(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_id_are_one() {
        let text = "d591e52fae3900f66c2d7994418c80896709395e";
        let id: NodeId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(id.to_hex(), text.as_bytes());
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for bad in [
            "",
            "d591",
            &"g".repeat(40),
            &"A".repeat(40),
            &"a".repeat(41),
        ] {
            assert_eq!(NodeId::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(NodeId::parse(&[0; 40]), None);
    }
}
