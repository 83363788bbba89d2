//! The hash slot of a key: the one rule that servers, the cluster bus and the cluster tool have to agree on. Sets of slots, and who owns
//! them, are theirs.

use std::sync::LazyLock;

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

/// The letters of tags, in their order.
const LETTERS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// For each slot the first of the shortest words that fall into it.
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut tags = vec![String::new(); usize::from(SLOT_COUNT)];
    let mut words = vec![String::new()];
    // Three letters are enough for all.
    for _ in 0..3 {
        let longer = words.iter().flat_map(|word| {
            let letters = LETTERS.iter().map(|letter| char::from(*letter));
            letters.map(move |letter| format!("{word}{letter}"))
        });
        words = longer.collect();
        for word in &words {
            let tag = &mut tags[usize::from(key_slot(word.as_bytes()))];
            if tag.is_empty() {
                tag.clone_from(word);
            }
        }
    }
    tags
});

/// The shortest word that falls into a slot, and of those the first in the order of digits, small letters and big ones; the slot is
/// taken modulo their number. Cursors that name a slot carry it as their tag.
#[must_use]
pub fn slot_tag(slot: u16) -> &'static str {
    &TAGS[usize::from(slot % SLOT_COUNT)]
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
    fn each_slot_has_a_tag_that_falls_into_it() {
        for slot in 0..SLOT_COUNT {
            let tag = slot_tag(slot);
            assert!((1..=3).contains(&tag.len()), "{slot}: {tag}");
            assert_eq!(key_slot(format!("0-{{{tag}}}-0").as_bytes()), slot);
        }
        // Those that Valkey has.
        for (slot, tag) in [
            (0, "06S"),
            (1, "Qi"),
            (80, "avs"),
            (16000, "he"),
            (16383, "6ZJ"),
        ] {
            assert_eq!(slot_tag(slot), tag);
        }
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
