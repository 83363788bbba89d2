//! Passwords are kept as their SHA-256.

use sha2::{Digest, Sha256};

/// The SHA-256 of a password.
pub(crate) type Hash = [u8; 32];

pub(crate) fn hash(password: &[u8]) -> Hash {
    Sha256::digest(password).into()
}

/// Reads 64 hexadecimal digits, small letters only.
pub(crate) fn parse(text: &[u8]) -> Option<Hash> {
    let mut hash = Hash::default();
    if text.len() != 2 * hash.len() {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(hash)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// Bytes in hexadecimal digits, small letters.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

/// Whether one of `known` is `given`. Looks at every byte of all of them, so that the time it takes tells nothing.
pub(crate) fn is_among(known: &[Hash], given: &Hash) -> bool {
    let mut found = false;
    for hash in known {
        let pairs = hash.iter().zip(given);
        let difference = pairs.fold(0, |all, (a, b)| std::hint::black_box(all | (a ^ b)));
        found |= difference == 0;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_others() {
        let text = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let test = hash(b"test");
        assert_eq!(hex(&test), text);
        assert_eq!(parse(text.as_bytes()), Some(test));
        for wrong in [
            "",
            &text[1..],
            &text.to_uppercase(),
            &text.replace('9', "g"),
        ] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong}");
        }
        assert!(is_among(&[hash(b""), test], &test));
        assert!(!is_among(&[hash(b"")], &test));
        assert!(!is_among(&[], &test));
    }
}
