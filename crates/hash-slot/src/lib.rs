//! The hash slot of a key: the one rule that servers, the cluster bus and the cluster tool have to agree on. Sets of slots, and who owns
//! them, are theirs.

use crc::{CRC_16_XMODEM, Crc, Table};

/// Hash slots of a cluster.
pub const SLOT_COUNT: u16 = 16_384;

/// Sixteen bytes at a step.
static CRC: Crc<u16, Table<16>> = Crc::<u16, Table<16>>::new(&CRC_16_XMODEM);

/// The slot of a key, below [`SLOT_COUNT`] (Redis Cluster specification, *Keys hash tags*): CRC16 (XMODEM), modulo their number, of the
/// key, or of its tag, by which keys come to share a slot: what stands between the first `{` and the first `}` after it, where that is
/// not nothing.
///
/// ```
/// assert_eq!(hash_slot::key_slot(b"foo"), 12182);
/// assert_eq!(hash_slot::key_slot(b"{user1000}.following"), hash_slot::key_slot(b"{user1000}.followers"));
/// ```
#[must_use]
pub fn key_slot(key: &[u8]) -> u16 {
    CRC.checksum(tag(key).unwrap_or(key)) % SLOT_COUNT
}

fn tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|&byte| byte == b'{')?;
    let rest = &key[open + 1..];
    let close = rest.iter().position(|&byte| byte == b'}')?;
    (close > 0).then(|| &rest[..close])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_fall_where_the_specification_puts_them() {
        // The check value of CRC16/XMODEM, and slots that users of redis-cli know by heart.
        assert_eq!(key_slot(b"123456789"), 0x31C3);
        assert_eq!(key_slot(b"abc"), 7638);
        assert_eq!(key_slot(b"foo"), 12182);
        assert_eq!(key_slot(b"bar"), 5061);
        assert_eq!(key_slot(b""), 0);
    }

    #[test]
    fn a_tag_is_hashed_alone() {
        let whole = |key: &[u8]| CRC.checksum(key) % SLOT_COUNT;
        assert_eq!(key_slot(b"{hello}_x"), key_slot(b"hello"));
        assert_eq!(key_slot(b"a{hello}b{world}"), key_slot(b"hello"));
        assert_eq!(key_slot(b"foo{{bar}}zap"), whole(b"{bar"));
        // Nothing between the braces, or no closing one: the whole key counts.
        assert_eq!(key_slot(b"foo{}{bar}"), whole(b"foo{}{bar}"));
        assert_eq!(key_slot(b"foo{bar"), whole(b"foo{bar"));
    }
}
