//! Integers and doubles as Redis reads and prints them.
//!
//! Two ways of reading integers exist side by side in Redis. Stored values and lengths on the wire must be in the one
//! form that printing them gives back ([`parse_i64`]). Arguments of commands go through C's `strtoll`, which takes more
//! ([`parse_integer`]). Doubles always go through `strtod` ([`parse_double`]).

use crate::args::is_space;
use crate::scan::{self, Format, Rounded, Value};

/// The longest text that [`DoubleBuffer`] writes: sign, 17 digits, point, `e-308`.
const DOUBLE_BYTES: usize = 32;

const DOUBLE: Format = Format {
    bits: 53,
    min_exponent: -1074,
    max_exponent: 971,
};

/// Reads a canonical decimal integer: an optional `-`, no leading zero, no blank, nothing after it, within `i64`.
///
/// ```
/// use resp::number::parse_i64;
/// assert_eq!(parse_i64(b"-12"), Some(-12));
/// assert_eq!(parse_i64(b"012"), None);
/// assert_eq!(parse_i64(b"-0"), None);
/// assert_eq!(parse_i64(b"9223372036854775808"), None);
/// ```
#[must_use]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    if text == b"0" {
        return Some(0);
    }
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let negative = digits.len() != text.len();
    // 19 digits always fit in a u64.
    if !matches!(digits.first(), Some(b'1'..=b'9')) || digits.len() > 19 {
        return None;
    }
    let mut value = 0u64;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value * 10 + u64::from(byte - b'0');
    }
    if negative {
        0i64.checked_sub_unsigned(value)
    } else {
        i64::try_from(value).ok()
    }
}

/// Reads an integer argument of a command: also `+5`, `007`, `-0` and the empty string (zero), but no blank before it.
/// A NUL ends it, as it would end a C string.
#[must_use]
pub fn parse_integer(text: &[u8]) -> Option<i64> {
    if text.first().is_some_and(|byte| is_space(*byte)) {
        return None;
    }
    let scanned = scan_integer(text);
    (!scanned.out_of_range && is_end(text, scanned.used)).then_some(scanned.value)
}

/// The decimal integer at the start of some text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScannedInteger {
    /// Its value; zero when there is none, the nearest `i64` when it does not fit.
    pub value: i64,
    /// How many bytes it takes, blanks before it included; 0 when there is none.
    pub used: usize,
    /// Whether it does not fit.
    pub out_of_range: bool,
}

/// Reads the integer at the start of `text` as C's `strtoll` does: blanks, a sign, digits.
#[must_use]
pub fn scan_integer(text: &[u8]) -> ScannedInteger {
    let blanks = text.iter().take_while(|byte| is_space(**byte)).count();
    let negative = text.get(blanks) == Some(&b'-');
    let first = blanks + usize::from(negative || text.get(blanks) == Some(&b'+'));
    let mut value = Some(0i64);
    let mut used = first;
    while let Some(byte) = text.get(used).filter(|byte| byte.is_ascii_digit()) {
        let digit = i64::from(byte - b'0');
        value = value.and_then(|value| value.checked_mul(10));
        value = value.and_then(|value| {
            if negative {
                value.checked_sub(digit)
            } else {
                value.checked_add(digit)
            }
        });
        used += 1;
    }
    let limit = if negative { i64::MIN } else { i64::MAX };
    let used = if used == first { 0 } else { used };
    ScannedInteger {
        value: value.unwrap_or(limit),
        used,
        out_of_range: value.is_none(),
    }
}

/// Reads a double argument of a command: all of C's `strtod` (`1.5`, `.5`, `1e3`, `0x1p3`, `inf`, `-Infinity`, and the
/// empty string as zero), but no blank before it, no NaN, and nothing that overflows or vanishes to zero. A NUL ends it.
///
/// ```
/// use resp::number::parse_double;
/// assert_eq!(parse_double(b"-inf"), Some(f64::NEG_INFINITY));
/// assert_eq!(parse_double(b"0x10"), Some(16.0));
/// assert_eq!(parse_double(b"1.5x"), None);
/// assert_eq!(parse_double(b"nan"), None);
/// ```
#[must_use]
pub fn parse_double(text: &[u8]) -> Option<f64> {
    if text.first().is_some_and(|byte| is_space(*byte)) {
        return None;
    }
    let scanned = scan_double(text);
    let valid = !scanned.out_of_range && !scanned.value.is_nan() && is_end(text, scanned.used);
    valid.then_some(scanned.value)
}

/// The floating-point number at the start of some text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScannedDouble {
    /// Its value; zero when there is none.
    pub value: f64,
    /// How many bytes it takes, blanks before it included; 0 when there is none.
    pub used: usize,
    /// Whether it is finite as written but was read as an infinity, or not zero but was read as zero.
    pub out_of_range: bool,
}

/// The value of a text that is nothing but a few digits, as most scores are: so few that every step on the way is exact.
fn short_whole(text: &[u8]) -> Option<f64> {
    const EXACT_DIGITS: usize = 15;
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if !(1..=EXACT_DIGITS).contains(&digits.len()) {
        return None;
    }
    let value = digits.iter().try_fold(0.0, |value, byte| {
        byte.is_ascii_digit()
            .then(|| value * 10.0 + f64::from(byte - b'0'))
    })?;
    Some(if digits.len() < text.len() {
        -value
    } else {
        value
    })
}

/// Reads the number at the start of `text` as C's `strtod` does.
#[must_use]
pub fn scan_double(text: &[u8]) -> ScannedDouble {
    if let Some(value) = short_whole(text) {
        return ScannedDouble {
            value,
            used: text.len(),
            out_of_range: false,
        };
    }
    let scanned = scan::scan(text);
    let (magnitude, out_of_range) = match scanned.value {
        Value::Missing => (0.0, false),
        Value::Infinity => (f64::INFINITY, false),
        Value::NotANumber => (f64::NAN, false),
        Value::Decimal(digits) => {
            // The syntax was checked, and only ASCII passed.
            let value = std::str::from_utf8(digits.text)
                .ok()
                .and_then(|text| text.parse().ok())
                .unwrap_or(0.0);
            let is_zero = || {
                digits
                    .whole
                    .iter()
                    .chain(digits.fraction)
                    .all(|byte| *byte == b'0')
            };
            (
                value,
                value == f64::INFINITY || (value == 0.0 && !is_zero()),
            )
        }
        Value::Hexadecimal(digits) => match DOUBLE.round_hexadecimal(&digits) {
            Rounded::Overflow => (f64::INFINITY, true),
            Rounded::Finite {
                mantissa,
                exponent,
                underflow,
            } => (
                double_from_parts(mantissa, exponent),
                mantissa == 0 && underflow,
            ),
        },
    };
    let value = if scanned.negative {
        -magnitude
    } else {
        magnitude
    };
    ScannedDouble {
        value,
        used: scanned.used,
        out_of_range,
    }
}

/// Room for a printed double, to be kept on the stack.
#[derive(Debug)]
pub struct DoubleBuffer {
    bytes: [u8; DOUBLE_BYTES],
    used: usize,
}

impl Default for DoubleBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl DoubleBuffer {
    /// An empty buffer.
    #[must_use]
    pub const fn new() -> Self {
        DoubleBuffer {
            bytes: [0; DOUBLE_BYTES],
            used: 0,
        }
    }

    /// Prints a double with up to 17 significant digits, as C's `%.17g`: enough to read the same double back.
    /// Infinities are `inf` and `-inf`.
    ///
    /// ```
    /// use resp::number::DoubleBuffer;
    /// assert_eq!(DoubleBuffer::new().format(3.0), "3");
    /// assert_eq!(DoubleBuffer::new().format(0.1), "0.10000000000000001");
    /// assert_eq!(DoubleBuffer::new().format(1e20), "1e+20");
    /// ```
    pub fn format(&mut self, value: f64) -> &str {
        /// Integers below this are exact, and print without exponent.
        const EXACT: f64 = (1i64 << 53) as f64;
        self.used = 0;
        if value.is_nan() {
            self.push(if value.is_sign_negative() {
                b"-nan"
            } else {
                b"nan"
            });
        } else if value.is_infinite() {
            self.push(if value < 0.0 { b"-inf" } else { b"inf" });
        } else if value.abs() < EXACT && value.fract() == 0.0 {
            if value == 0.0 && value.is_sign_negative() {
                self.push(b"-");
            }
            #[expect(clippy::cast_possible_truncation, reason = "an integer below 2^53")]
            self.push(itoa::Buffer::new().format(value as i64).as_bytes());
        } else {
            self.general(value);
        }
        std::str::from_utf8(&self.bytes[..self.used]).unwrap_or_default()
    }

    fn general(&mut self, value: f64) {
        // The standard library prints exact digits: `-d.dddddddddddddddde-x`. Here they only change their places.
        let mut scientific = Cursor {
            bytes: [0; DOUBLE_BYTES],
            used: 0,
        };
        let _ = std::fmt::Write::write_fmt(&mut scientific, format_args!("{:.16e}", value.abs()));
        let text = &scientific.bytes[..scientific.used];
        let mut digits = [0; 17];
        digits[0] = text[0];
        digits[1..].copy_from_slice(&text[2..18]);
        let significant = 17
            - digits
                .iter()
                .rev()
                .take_while(|digit| **digit == b'0')
                .count();
        let digits = &digits[..significant.max(1)];
        let exponent = scan_integer(&text[19..]).value;
        if value < 0.0 {
            self.push(b"-");
        }
        match exponent {
            -4..=-1 => {
                self.push(&b"0.000"[..usize::try_from(1 - exponent).unwrap_or(0)]);
                self.push(digits);
            }
            0..=16 => {
                let whole = usize::try_from(exponent + 1).unwrap_or(0);
                if digits.len() > whole {
                    self.push(&digits[..whole]);
                    self.push(b".");
                    self.push(&digits[whole..]);
                } else {
                    self.push(digits);
                    self.push(&b"00000000000000000"[..whole - digits.len()]);
                }
            }
            _ => {
                self.push(&digits[..1]);
                if digits.len() > 1 {
                    self.push(b".");
                    self.push(&digits[1..]);
                }
                self.push(if exponent < 0 { b"e-" } else { b"e+" });
                if exponent.abs() < 10 {
                    self.push(b"0");
                }
                self.push(itoa::Buffer::new().format(exponent.abs()).as_bytes());
            }
        }
    }

    fn push(&mut self, text: &[u8]) {
        self.bytes[self.used..self.used + text.len()].copy_from_slice(text);
        self.used += text.len();
    }
}

/// Where the standard library's formatting writes to without allocating.
struct Cursor {
    bytes: [u8; DOUBLE_BYTES],
    used: usize,
}

impl std::fmt::Write for Cursor {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = self
            .bytes
            .get_mut(self.used..self.used + text.len())
            .ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.used += text.len();
        Ok(())
    }
}

/// Whether a number that took `used` bytes is all there is.
pub(crate) fn is_end(text: &[u8], used: usize) -> bool {
    matches!(text.get(used), None | Some(0))
}

/// Puts together a double from what [`DOUBLE`] rounded.
fn double_from_parts(mantissa: u64, exponent: i64) -> f64 {
    const FRACTION_BITS: u32 = DOUBLE.bits - 1;
    let biased = if mantissa >> FRACTION_BITS == 0 {
        0
    } else {
        exponent - DOUBLE.min_exponent + 1
    };
    let fraction = mantissa & ((1 << FRACTION_BITS) - 1);
    f64::from_bits(u64::try_from(biased).unwrap_or(0) << FRACTION_BITS | fraction)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bits of doubles in hexadecimal and what C's `%.17g` prints for them.
    const PRINTED: &str = include_str!("../tests/data/doubles.tsv");

    #[test]
    fn strict_integers() {
        for text in [
            "0",
            "1",
            "-1",
            "10",
            "9223372036854775807",
            "-9223372036854775808",
        ] {
            assert_eq!(parse_i64(text.as_bytes()), Some(text.parse().unwrap()));
        }
        for text in [
            "",
            "-",
            "+1",
            "00",
            "-0",
            "01",
            " 1",
            "1 ",
            "1a",
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551616",
            "99999999999999999999999",
        ] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn integer_arguments() {
        for (text, value) in [
            ("", 0),
            ("+5", 5),
            ("007", 7),
            ("-0", 0),
            ("12\0x", 12),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(parse_integer(text.as_bytes()), Some(value), "{text}");
        }
        for text in [
            " 1",
            "1 ",
            "-",
            "+",
            "--1",
            "x",
            "1.0",
            "9223372036854775808",
            "-9223372036854775809",
        ] {
            assert_eq!(parse_integer(text.as_bytes()), None, "{text}");
        }
        let scanned = ScannedInteger {
            value: -31,
            used: 5,
            out_of_range: false,
        };
        assert_eq!(scan_integer(b" \t-31k"), scanned);
    }

    #[test]
    fn double_arguments() {
        let good: &[(&str, f64)] = &[
            ("", 0.0),
            ("1", 1.0),
            ("+1.", 1.0),
            (".5", 0.5),
            ("-1.5e3", -1500.0),
            ("inf", f64::INFINITY),
            ("+INFINITY", f64::INFINITY),
            ("-Inf", f64::NEG_INFINITY),
            ("0x1p3", 8.0),
            ("0X.8", 0.5),
            ("0x1.8p-1", 0.75),
            ("0x1p-1074", 5e-324),
            ("0x1.fffffffffffff7p0", 1.999_999_999_999_999_8),
            ("0x1.fffffffffffff8p0", 2.0),
            ("4.9e-324", 5e-324),
            ("0e999999999999999999999", 0.0),
            ("1\0junk", 1.0),
            ("0x0p99999", 0.0),
        ];
        for (text, value) in good {
            assert_eq!(parse_double(text.as_bytes()), Some(*value), "{text}");
        }
        for text in [
            " 1",
            "1 ",
            "nan",
            "NaN(x)",
            "1e",
            "1e+",
            ".",
            "-",
            "e5",
            "0x",
            "0x.",
            "0xg",
            "infinit",
            "1_0",
            "1e400",
            "-1e400",
            "1e-400",
            "0x1p1024",
            "0x1p-1080",
            "1,5",
        ] {
            assert_eq!(parse_double(text.as_bytes()), None, "{text}");
        }
        assert!(parse_double(b"-0").unwrap().is_sign_negative());
        assert_eq!(scan_double(b" 1e+x").used, 2);
        assert_eq!(scan_double(b"infinit").used, 3);
    }

    #[test]
    fn prints_as_c_does() {
        assert!(PRINTED.lines().count() > 1000);
        for line in PRINTED.lines() {
            let (bits, text) = line.split_once('\t').unwrap();
            let value = f64::from_bits(u64::from_str_radix(bits, 16).unwrap());
            assert_eq!(DoubleBuffer::new().format(value), text);
            assert_eq!(
                scan_double(text.as_bytes()).value.to_bits(),
                value.to_bits()
            );
        }
        assert_eq!(DoubleBuffer::new().format(f64::NAN), "nan");
    }

    proptest! {
        #[test]
        fn printing_is_undone_by_reading(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(!value.is_nan());
            prop_assert_eq!(parse_double(DoubleBuffer::new().format(value).as_bytes()).map(f64::to_bits), Some(bits));
        }

        #[test]
        fn whole_numbers_are_read_as_rust_reads_them(text in "-?[0-9]{1,20}") {
            let scanned = scan_double(text.as_bytes());
            prop_assert_eq!(scanned.value.to_bits(), text.parse::<f64>().unwrap().to_bits());
            prop_assert_eq!((scanned.used, scanned.out_of_range), (text.len(), false));
        }

        #[test]
        fn strict_integers_are_those_that_print_back(text in "-?[0-9]{0,21}") {
            let expected = text.parse::<i64>().ok().filter(|value| value.to_string() == text);
            prop_assert_eq!(parse_i64(text.as_bytes()), expected);
        }

        #[test]
        fn reading_is_total(text: Vec<u8>, number in "[-+0-9a-fx.pein() ]{0,30}") {
            let _ = (parse_double(&text), parse_integer(&text), parse_i64(&text), scan_double(number.as_bytes()));
        }
    }
}
