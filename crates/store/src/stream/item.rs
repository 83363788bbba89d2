//! How a field name or a value lies in a node: its length with its bytes, or the integer that prints as it.
//!
//! ```text
//! 0x00..=0x7f  an integer from 0 to 127, which this byte is
//! 0x80..=0xef  a string of 0 to 111 bytes, which follow
//! 0xf0  0xf1   a string; its length follows in 16 or 32 bits, little end first, then its bytes
//! 0xf3..=0xf7  an integer of 16, 24, 32, 48 or 64 bits, little end first
//! 0xf8..=0xff  an integer from 128 to 2175: three bits here, eight in the next byte
//! ```

use smallvec::SmallVec;

use crate::{Str, int};

/// Bytes that are put together for a node: those of most entries need no memory of their own.
pub(super) type Fresh = SmallVec<[u8; 128]>;

const SHORT: u8 = 0x80;
const SHORT_MAX: usize = 0x6f;
const STRING_16: u8 = 0xf0;
const STRING_32: u8 = 0xf1;
const INTEGERS: [(u8, usize); 5] = [(0xf3, 2), (0xf4, 3), (0xf5, 4), (0xf6, 6), (0xf7, 8)];
const ELEVEN: u8 = 0xf8;
const ELEVEN_FROM: i64 = 0x80;
const ELEVEN_TO: i64 = ELEVEN_FROM + 0x7ff;

/// Appends `bytes` as they are stored.
///
/// # Panics
/// When there are 2^32 bytes or more: the caller bounds what goes into a node.
#[inline]
pub(super) fn push(to: &mut Fresh, bytes: &[u8]) {
    match int::parse(bytes) {
        Some(value) => push_int(to, value),
        None => {
            push_head(to, bytes.len());
            to.extend_from_slice(bytes);
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "each arm has checked the range"
)]
fn push_int(to: &mut Fresh, value: i64) {
    match value {
        0..ELEVEN_FROM => to.push(value as u8),
        ELEVEN_FROM..=ELEVEN_TO => {
            let rest = value - ELEVEN_FROM;
            to.extend_from_slice(&[ELEVEN | (rest >> 8) as u8, rest as u8]);
        }
        _ => {
            let fits = |width: usize| {
                let unused = 64 - 8 * width;
                value << unused >> unused == value
            };
            let (tag, width) = INTEGERS
                .into_iter()
                .find(|(_, width)| fits(*width))
                .unwrap_or((0xf7, 8));
            to.push(tag);
            to.extend_from_slice(&value.to_le_bytes()[..width]);
        }
    }
}

#[inline]
fn push_head(to: &mut Fresh, len: usize) {
    #[expect(clippy::cast_possible_truncation, reason = "each arm has checked")]
    if len <= SHORT_MAX {
        to.push(SHORT | len as u8);
    } else if let Ok(len) = u16::try_from(len) {
        to.push(STRING_16);
        to.extend_from_slice(&len.to_le_bytes());
    } else {
        let len = u32::try_from(len).expect("an element of less than 4 GB");
        to.push(STRING_32);
        to.extend_from_slice(&len.to_le_bytes());
    }
}

/// The item at `at`, and where the next one begins.
#[inline]
pub(super) fn read(bytes: &[u8], at: usize) -> (Str<'_>, usize) {
    let tag = bytes[at];
    match tag {
        0..SHORT => (Str::Int(i64::from(tag)), at + 1),
        SHORT..STRING_16 => {
            let end = at + 1 + usize::from(tag - SHORT);
            (Str::Bytes(&bytes[at + 1..end]), end)
        }
        _ => read_long(bytes, at),
    }
}

fn read_long(bytes: &[u8], at: usize) -> (Str<'_>, usize) {
    let tag = bytes[at];
    let next = skip(bytes, at);
    let number = |width: usize| {
        let mut word = [0; 8];
        word[..width].copy_from_slice(&bytes[at + 1..at + 1 + width]);
        u64::from_le_bytes(word)
    };
    match tag {
        STRING_16 => (Str::Bytes(&bytes[at + 3..next]), next),
        STRING_32 => (Str::Bytes(&bytes[at + 5..next]), next),
        ELEVEN.. => {
            let high = i64::from(tag - ELEVEN) << 8;
            (
                Str::Int(ELEVEN_FROM + high + i64::from(bytes[at + 1])),
                next,
            )
        }
        _ => {
            let unused = 64 - 8 * (next - at - 1);
            #[expect(clippy::cast_possible_wrap, reason = "the sign is what is meant")]
            let value = (number(next - at - 1) << unused) as i64 >> unused;
            (Str::Int(value), next)
        }
    }
}

/// Where the item ends that begins at `at`.
#[inline]
pub(super) fn skip(bytes: &[u8], at: usize) -> usize {
    let tag = bytes[at];
    match tag {
        0..SHORT => at + 1,
        SHORT..STRING_16 => at + 1 + usize::from(tag - SHORT),
        STRING_16 => at + 3 + usize::from(u16::from_le_bytes([bytes[at + 1], bytes[at + 2]])),
        STRING_32 => {
            let len = [bytes[at + 1], bytes[at + 2], bytes[at + 3], bytes[at + 4]];
            at + 5 + u32::from_le_bytes(len) as usize
        }
        ELEVEN.. => at + 2,
        _ => {
            let width = INTEGERS
                .into_iter()
                .find(|(known, _)| *known == tag)
                .map_or(0, |(_, width)| width);
            at + 1 + width
        }
    }
}

/// Whether the item at `at` stands for `bytes`.
#[inline]
pub(super) fn equals(stored: &[u8], at: usize, bytes: &[u8]) -> bool {
    match read(stored, at).0 {
        Str::Int(value) => int::parse(bytes) == Some(value),
        other => other.bytes(&mut [0; int::MAX_LEN]) == bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::cases;
    use proptest::prelude::*;

    fn comes_back(bytes: &[u8]) -> usize {
        let mut stored = Fresh::from_slice(&[0xaa]);
        push(&mut stored, bytes);
        let (seen, end) = read(&stored, 1);
        assert_eq!(seen.bytes(&mut [0; 20]), bytes);
        assert_eq!(end, stored.len());
        assert_eq!(skip(&stored, 1), stored.len());
        assert!(equals(&stored, 1, bytes));
        assert!(!equals(&stored, 1, b"something else"));
        stored.len() - 1
    }

    #[test]
    fn strings_of_every_length() {
        let taken = [0, 1, 111, 112, 65_535, 65_536].map(|len| comes_back(&vec![b'x'; len]) - len);
        assert_eq!(taken, [1, 1, 1, 3, 3, 5]);
    }

    #[test]
    fn integers_of_every_width() {
        let taken = [
            (0, 1),
            (127, 1),
            (128, 2),
            (2175, 2),
            (2176, 3),
            (-1, 3),
            (32_767, 3),
            (-32_769, 4),
            (1 << 23, 5),
            (1 << 31, 7),
            (1 << 47, 9),
            (i64::MIN, 9),
            (i64::MAX, 9),
        ];
        for (value, bytes) in taken {
            assert_eq!(comes_back(i64::to_string(&value).as_bytes()), bytes);
        }
        assert_eq!(comes_back(b"-0"), 3);
        assert_eq!(comes_back(b"007"), 4);
    }

    proptest! {
        #![proptest_config(cases(256, 8))]
        #[test]
        fn every_integer_comes_back(value: i64, shift in 0u32..64) {
            comes_back((value >> shift).to_string().as_bytes());
        }
    }
}
