//! Integers as strings: which strings are integers in canonical form.

/// The longest canonical 64-bit integer, bytes.
pub(crate) const MAX_LEN: usize = 20;

/// The integer that prints exactly as `bytes`, if there is one: no sign but a minus, no leading zeros, no `-0`.
pub(crate) fn parse(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() < MAX_LEN => {}
        _ => return None,
    }
    let mut magnitude: u64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        // At most 19 digits: below 10^19, which is below 2^64.
        magnitude = magnitude * 10 + u64::from(digit - b'0');
    }
    if negative {
        0i64.checked_sub_unsigned(magnitude)
    } else {
        i64::try_from(magnitude).ok()
    }
}

/// Writes `value` in canonical form.
pub(crate) fn print(value: i64, scratch: &mut [u8; MAX_LEN]) -> &[u8] {
    let mut rest = value.unsigned_abs();
    let mut at = MAX_LEN;
    loop {
        at -= 1;
        let digit = (rest % 10) as u8;
        scratch[at] = b'0' + digit;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        scratch[at] = b'-';
    }
    &scratch[at..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::cases;
    use proptest::prelude::*;

    #[test]
    fn only_canonical_integers() {
        for text in [
            "",
            "-",
            "-0",
            "00",
            "01",
            "+1",
            " 1",
            "1 ",
            "1a",
            "1.0",
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551616",
            "99999999999999999999",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse(b"0"), Some(0));
        assert_eq!(parse(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(parse(b"9223372036854775807"), Some(i64::MAX));
    }

    proptest! {
        #![proptest_config(cases(256, 4))]
        #[test]
        fn prints_what_it_parses(value: i64, shift in 0u32..64) {
            let value = value >> shift;
            let mut scratch = [0; MAX_LEN];
            let text = print(value, &mut scratch);
            let expected = value.to_string();
            prop_assert_eq!(text, expected.as_bytes());
            prop_assert_eq!(parse(text), Some(value));
        }
    }
}
