//! The syntax that C's `strtod` family reads, and the rounding of what was read to a binary format. Shared by
//! [`number`](crate::number) (doubles) and [`longdouble`](crate::longdouble); what each accepts of it is said there.

use crate::args::is_space;

/// A number at the start of some text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scanned<'a> {
    pub(crate) negative: bool,
    pub(crate) value: Value<'a>,
    /// Bytes up to the end of the number, blanks before it included; 0 when there is none.
    pub(crate) used: usize,
}

/// What kind of number it is, without its sign.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    /// No number; C reads it as zero.
    Missing,
    Infinity,
    NotANumber,
    Decimal(Digits<'a>),
    Hexadecimal(Digits<'a>),
}

/// `whole.fraction` times the base (two, for hexadecimal) to the power of `exponent`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Digits<'a> {
    pub(crate) whole: &'a [u8],
    pub(crate) fraction: &'a [u8],
    pub(crate) exponent: i64,
    /// The number as it was written, without its sign.
    pub(crate) text: &'a [u8],
}

/// Exponents are capped here: far beyond what any digits could make up for, far from overflowing.
const MAX_EXPONENT: i64 = 1 << 50;

/// Reads the longest number at the start of `text`.
pub(crate) fn scan(text: &[u8]) -> Scanned<'_> {
    let blanks = text.iter().take_while(|byte| is_space(**byte)).count();
    let signed = &text[blanks..];
    let negative = signed.first() == Some(&b'-');
    let sign = usize::from(negative || signed.first() == Some(&b'+'));
    let (value, length) = unsigned(&signed[sign..]);
    let used = if length == 0 {
        0
    } else {
        blanks + sign + length
    };
    Scanned {
        negative: negative && length > 0,
        value,
        used,
    }
}

fn unsigned(text: &[u8]) -> (Value<'_>, usize) {
    if starts_with(text, b"infinity") {
        return (Value::Infinity, 8);
    }
    if starts_with(text, b"inf") {
        return (Value::Infinity, 3);
    }
    if starts_with(text, b"nan") {
        return (Value::NotANumber, 3 + nan_suffix(&text[3..]));
    }
    if starts_with(text, b"0x")
        && let Some((digits, length)) = digits(&text[2..], u8::is_ascii_hexdigit, b'p')
    {
        return (Value::Hexadecimal(digits), 2 + length);
    }
    match digits(text, u8::is_ascii_digit, b'e') {
        Some((digits, length)) => (Value::Decimal(digits), length),
        None => (Value::Missing, 0),
    }
}

fn starts_with(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(word))
}

/// `nan` may be followed by letters, digits and underscores in parentheses.
fn nan_suffix(text: &[u8]) -> usize {
    if text.first() != Some(&b'(') {
        return 0;
    }
    let inside = text[1..]
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_')
        .count();
    if text.get(1 + inside) == Some(&b')') {
        inside + 2
    } else {
        0
    }
}

fn digits(text: &[u8], is_digit: fn(&u8) -> bool, marker: u8) -> Option<(Digits<'_>, usize)> {
    let count = |text: &[u8]| text.iter().take_while(|byte| is_digit(byte)).count();
    let whole = &text[..count(text)];
    let mut length = whole.len();
    let mut fraction = &text[..0];
    if text.get(length) == Some(&b'.') {
        fraction = &text[length + 1..][..count(&text[length + 1..])];
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        length += 1 + fraction.len();
    } else if whole.is_empty() {
        return None;
    }
    let mut exponent = 0;
    if text
        .get(length)
        .is_some_and(|byte| byte.to_ascii_lowercase() == marker)
    {
        let after = &text[length + 1..];
        let negative = after.first() == Some(&b'-');
        let sign = usize::from(negative || after.first() == Some(&b'+'));
        let count = after[sign..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if count > 0 {
            for byte in &after[sign..sign + count] {
                exponent = (exponent * 10 + i64::from(byte - b'0')).min(MAX_EXPONENT);
            }
            exponent = if negative { -exponent } else { exponent };
            length += 1 + sign + count;
        }
    }
    Some((
        Digits {
            whole,
            fraction,
            exponent,
            text: &text[..length],
        },
        length,
    ))
}

/// A binary floating-point format whose values are `mantissa * 2^exponent`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Format {
    /// Bits of the mantissa, the leading one included; at most 64.
    pub(crate) bits: u32,
    /// The lowest exponent; below it the mantissa gets shorter.
    pub(crate) min_exponent: i64,
    /// The highest exponent.
    pub(crate) max_exponent: i64,
}

/// The outcome of [`Format::round`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounded {
    Finite {
        mantissa: u64,
        exponent: i64,
        /// Below the format's normal numbers, and not exact.
        underflow: bool,
    },
    Overflow,
}

impl Format {
    /// Rounds `value * 2^exponent`, and a little more than that when `sticky` is set, to the nearest number of this
    /// format, ties to the even one.
    pub(crate) fn round(self, value: u128, exponent: i64, sticky: bool) -> Rounded {
        if value == 0 {
            return Rounded::Finite {
                mantissa: 0,
                exponent: self.min_exponent,
                underflow: sticky,
            };
        }
        let shift = value.leading_zeros();
        let (value, exponent) = (value << shift, exponent - i64::from(shift));
        let surplus = 128 - i64::from(self.bits);
        let result_exponent = (exponent + surplus).max(self.min_exponent);
        let (mut mantissa, exact) = shift_right_rounding(value, result_exponent - exponent, sticky);
        let mut result_exponent = result_exponent;
        if mantissa >> self.bits != 0 {
            mantissa >>= 1;
            result_exponent += 1;
        }
        if result_exponent > self.max_exponent {
            return Rounded::Overflow;
        }
        let mantissa = u64::try_from(mantissa).unwrap_or(u64::MAX);
        let normal = mantissa >> (self.bits - 1) != 0;
        Rounded::Finite {
            mantissa,
            exponent: result_exponent,
            underflow: !normal && !exact,
        }
    }

    /// Rounds a scanned hexadecimal number.
    pub(crate) fn round_hexadecimal(self, digits: &Digits<'_>) -> Rounded {
        let (mut value, mut sticky, mut dropped) = (0u128, false, 0i64);
        for byte in digits.whole.iter().chain(digits.fraction) {
            let digit = char::from(*byte).to_digit(16).unwrap_or(0);
            if value >> 120 == 0 {
                value = value << 4 | u128::from(digit);
            } else {
                sticky |= digit != 0;
                dropped += 4;
            }
        }
        let fraction_bits =
            i64::try_from(digits.fraction.len()).map_or(i64::MAX / 8, |length| length * 4);
        self.round(value, digits.exponent + dropped - fraction_bits, sticky)
    }
}

/// `value / 2^shift` rounded to the nearest integer, ties to the even one; and whether nothing was lost.
pub(crate) fn shift_right_rounding(value: u128, shift: i64, sticky: bool) -> (u128, bool) {
    let Ok(shift) = u32::try_from(shift) else {
        return (value, !sticky);
    };
    if shift == 0 {
        return (value, !sticky);
    }
    if shift > 128 {
        return (0, value == 0 && !sticky);
    }
    let quotient = value.checked_shr(shift).unwrap_or(0);
    let rest = value - quotient.checked_shl(shift).unwrap_or(0);
    let half = 1u128 << (shift - 1);
    let up = rest > half || (rest == half && (sticky || quotient & 1 == 1));
    (quotient + u128::from(up), rest == 0 && !sticky)
}
