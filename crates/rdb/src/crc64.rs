//! The checksum of files and payloads: CRC-64 with Redis's polynomial (Jones), reflected, starting at zero.

use crc_fast::{CrcAlgorithm, Digest};

/// A checksum under way.
#[derive(Clone)]
pub(crate) struct Crc64(Digest);

impl Crc64 {
    pub(crate) fn new() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc64Redis))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.finalize()
    }
}

/// The checksum of `bytes`.
pub fn crc64(bytes: &[u8]) -> u64 {
    crc_fast::checksum(CrcAlgorithm::Crc64Redis, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value that Redis's own source gives for this polynomial.
    #[test]
    fn check_value() {
        assert_eq!(crc64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
    }

    /// Two independent libraries agree, whatever the length is that theirs takes at one step.
    #[test]
    fn every_length_gives_what_a_table_gives() {
        let table = crc::Crc::<u64>::new(&crc::CRC_64_REDIS);
        let bytes: Vec<u8> = (0..=250u8).cycle().take(600).collect();
        for length in 0..=bytes.len() {
            let bytes = &bytes[..length];
            assert_eq!(crc64(bytes), table.checksum(bytes), "{length} bytes");
        }
    }

    #[test]
    fn pieces_give_the_same_as_the_whole() {
        let bytes: Vec<u8> = (0..=250u8).cycle().take(1000).collect();
        for cut in [0, 1, 15, 16, 17, 500, 999, 1000] {
            let mut crc = Crc64::new();
            crc.update(&bytes[..cut]);
            crc.update(&bytes[cut..]);
            assert_eq!(crc.value(), crc64(&bytes));
        }
    }
}
