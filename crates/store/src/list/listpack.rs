//! How long a list's elements would be as a listpack: what OBJECT ENCODING depends on.

use crate::int;

/// What a listpack has beside its elements, bytes.
const AROUND: usize = 7;

/// The length of a listpack with these elements, bytes.
pub(super) fn len<'a>(elements: impl Iterator<Item = &'a [u8]>) -> usize {
    AROUND + elements.map(entry_len).sum::<usize>()
}

/// The most that a listpack can have of elements that take `stored` bytes here: an element takes a byte more there, or a few more where
/// it is long.
pub(super) fn most(stored: usize) -> usize {
    AROUND + 2 * stored
}

fn entry_len(element: &[u8]) -> usize {
    let content = int::parse(element).map_or_else(|| string_len(element.len()), int_len);
    let back = match content {
        0..=127 => 1,
        128..=16_383 => 2,
        16_384..=2_097_151 => 3,
        2_097_152..=268_435_455 => 4,
        _ => 5,
    };
    content + back
}

fn string_len(len: usize) -> usize {
    match len {
        0..64 => 1 + len,
        64..4096 => 2 + len,
        _ => 5 + len,
    }
}

fn int_len(value: i64) -> usize {
    match value {
        0..=127 => 1,
        -4096..=4095 => 2,
        -32_768..=32_767 => 3,
        -8_388_608..=8_388_607 => 4,
        -2_147_483_648..=2_147_483_647 => 5,
        _ => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packed;

    #[test]
    fn lengths_are_those_of_a_listpack() {
        let of = |element: &[u8]| len([element].into_iter()) - AROUND;
        for (element, expected) in [
            (&b""[..], 2),
            (b"0", 2),
            (b"127", 2),
            (b"128", 3),
            (b"-1", 3),
            (b"-4097", 4),
            (b"32768", 5),
            (b"8388608", 6),
            (b"2147483648", 10),
            (b"007", 5),
            (b"abc", 5),
        ] {
            assert_eq!(of(element), expected, "{element:?}");
        }
        for (length, expected) in [
            (63, 65),
            (64, 67),
            (126, 130),
            (4096, 4103),
            (20_000, 20_008),
        ] {
            let element = vec![b'x'; length];
            assert_eq!(of(&element), expected);
            assert!(expected < most(packed::stored_len(length)));
        }
    }
}
