//! Integers and doubles as Redis reads and prints them.
//!
//! Two ways of reading integers exist side by side in Redis. Stored values and lengths on the wire must be in the one
//! form that printing them gives back ([`parse_i64`]). Arguments of commands go through C's `strtoll`, which takes more
//! ([`parse_integer`]). Doubles always go through `strtod` ([`parse_double`]).

use crate::args::is_space;
use crate::scan::{self, Format, Rounded, Value};

/// Room for the longest text that [`DoubleBuffer`] writes: a sign, 17 digits, a point, six zeros or `e-308`.
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

/// Reads a double argument of a command: a decimal number or an infinity (`1.5`, `.5`, `1e3`, `inf`, `-Infinity`), and
/// nothing that overflows or vanishes to zero.
///
/// ```
/// use resp::number::parse_double;
/// assert_eq!(parse_double(b"-inf"), Some(f64::NEG_INFINITY));
/// assert_eq!(parse_double(b"0x10"), None);
/// assert_eq!(parse_double(b"1.5\0"), None);
/// assert_eq!(parse_double(b""), None);
/// assert_eq!(parse_double(b"nan"), None);
/// ```
#[must_use]
pub fn parse_double(text: &[u8]) -> Option<f64> {
    let scanned = scan_decimal(text);
    let whole = scanned.used > 0 && scanned.used == text.len();
    let valid = whole && !scanned.out_of_range && !scanned.value.is_nan();
    valid.then_some(scanned.value)
}

/// Reads the number at the start of `text` as scores are read: as [`scan_double`], but without blanks before it, and decimal.
#[must_use]
pub fn scan_decimal(text: &[u8]) -> ScannedDouble {
    let unsigned = text.strip_prefix(b"-").or(text.strip_prefix(b"+"));
    match unsigned.unwrap_or(text) {
        // The zero alone is the number.
        [b'0', b'x' | b'X', ..] => ScannedDouble {
            value: if text[0] == b'-' { -0.0 } else { 0.0 },
            used: 1 + usize::from(unsigned.is_some()),
            out_of_range: false,
        },
        [byte, ..] if is_space(*byte) => ScannedDouble {
            value: 0.0,
            used: 0,
            out_of_range: false,
        },
        _ => scan_double(text),
    }
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

    /// Prints a double with the fewest digits that read back as the same double, as Redis since 7.2 and Valkey do.
    /// Infinities are `inf` and `-inf`. Integers up to 2^62 print whole; otherwise the exponent appears where the text gets
    /// shorter by it.
    ///
    /// ```
    /// use resp::number::DoubleBuffer;
    /// assert_eq!(DoubleBuffer::new().format(3.0), "3");
    /// assert_eq!(DoubleBuffer::new().format(0.1), "0.1");
    /// assert_eq!(DoubleBuffer::new().format(1e20), "1e+20");
    /// ```
    pub fn format(&mut self, value: f64) -> &str {
        /// Integers up to this print without exponent.
        const WHOLE: f64 = (1i64 << 62) as f64;
        self.used = 0;
        if value.is_nan() {
            self.push(b"nan");
        } else if value.is_infinite() {
            self.push(if value < 0.0 { b"-inf" } else { b"inf" });
        } else if value == 0.0 && value.is_sign_negative() {
            self.push(b"-0");
        } else if value.abs() <= WHOLE && value.fract() == 0.0 {
            #[expect(clippy::cast_possible_truncation, reason = "an integer up to 2^62")]
            self.push(itoa::Buffer::new().format(value as i64).as_bytes());
        } else {
            self.general(value);
        }
        std::str::from_utf8(&self.bytes[..self.used]).unwrap_or_default()
    }

    /// As [`DoubleBuffer::format`], but large integers too get an exponent where that is shorter: for digests.
    ///
    /// ```
    /// use resp::number::DoubleBuffer;
    /// assert_eq!(DoubleBuffer::new().format_short(1e7), "10000000");
    /// assert_eq!(DoubleBuffer::new().format_short(1e8), "1e+8");
    /// ```
    pub fn format_short(&mut self, value: f64) -> &str {
        if !value.is_finite() || value == 0.0 {
            return self.format(value);
        }
        self.used = 0;
        self.general(value);
        std::str::from_utf8(&self.bytes[..self.used]).unwrap_or_default()
    }

    fn general(&mut self, value: f64) {
        // The standard library finds the shortest digits: `d.ddde-x`. Here they only change their places.
        let mut scientific = Cursor {
            bytes: [0; DOUBLE_BYTES],
            used: 0,
        };
        let _ = std::fmt::Write::write_fmt(&mut scientific, format_args!("{:e}", value.abs()));
        let text = &scientific.bytes[..scientific.used];
        let mark = text
            .iter()
            .position(|byte| *byte == b'e')
            .unwrap_or(text.len());
        let mut digits = [0; 17];
        digits[0] = text[0];
        // Between the first digit and the `e` stand a point and the others, or nothing.
        let count = mark.saturating_sub(1).max(1);
        digits[1..count].copy_from_slice(text.get(2..mark).unwrap_or_default());
        let digits = &digits[..count];
        let exponent = scan_integer(text.get(mark + 1..).unwrap_or_default()).value;
        if value < 0.0 {
            self.push(b"-");
        }
        self.lay_out(digits, exponent);
    }

    /// Puts digits, of which the first stands for a multiple of ten to the `exponent`, into the form that is short.
    fn lay_out(&mut self, digits: &[u8], exponent: i64) {
        const ZEROS: [u8; 24] = [b'0'; 24];
        let count = i64::try_from(digits.len()).unwrap_or(0);
        // The power of ten that the last digit stands for.
        let last = exponent - count + 1;
        if last >= 0 && exponent < count + 7 {
            self.push(digits);
            self.push(&ZEROS[..usize::try_from(last).unwrap_or(0)]);
        } else if last < 0 && (last > -7 || exponent.abs() < 4) {
            if exponent < 0 {
                self.push(b"0.");
                self.push(&ZEROS[..usize::try_from(-exponent - 1).unwrap_or(0)]);
                self.push(digits);
            } else {
                let (whole, rest) = digits.split_at(usize::try_from(exponent + 1).unwrap_or(0));
                self.push(whole);
                self.push(b".");
                self.push(rest);
            }
        } else {
            let (first, rest) = digits.split_at(1);
            self.push(first);
            if !rest.is_empty() {
                self.push(b".");
                self.push(rest);
            }
            self.push(if exponent < 0 { b"e-" } else { b"e+" });
            self.push(itoa::Buffer::new().format(exponent.abs()).as_bytes());
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
            ("1", 1.0),
            ("+1.", 1.0),
            (".5", 0.5),
            ("-1.5e3", -1500.0),
            ("inf", f64::INFINITY),
            ("+INFINITY", f64::INFINITY),
            ("-Inf", f64::NEG_INFINITY),
            ("4.9e-324", 5e-324),
            ("0e999999999999999999999", 0.0),
        ];
        for (text, value) in good {
            assert_eq!(parse_double(text.as_bytes()), Some(*value), "{text}");
        }
        let hexadecimal: &[(&str, f64)] = &[
            ("0x1p3", 8.0),
            ("0X.8", 0.5),
            ("0x1.8p-1", 0.75),
            ("0x1p-1074", 5e-324),
            ("0x1.fffffffffffff7p0", 1.999_999_999_999_999_8),
            ("0x1.fffffffffffff8p0", 2.0),
            ("0x0p99999", 0.0),
        ];
        for (text, value) in hexadecimal {
            let scanned = scan_double(text.as_bytes());
            assert_eq!(
                (scanned.value, scanned.used),
                (*value, text.len()),
                "{text}"
            );
            assert_eq!(parse_double(text.as_bytes()), None, "{text}");
        }
        for text in [
            "",
            "1\0junk",
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

    /// What Valkey 9.1 answers to ZSCORE.
    #[test]
    fn prints_the_shortest_text() {
        for (value, text) in [
            (0.1, "0.1"),
            (-0.0, "-0"),
            (1e20, "1e+20"),
            (123_456_789_012_345_678.0, "123456789012345680"),
            (1.1e17, "110000000000000000"),
            (4_611_686_018_427_387_904.0, "4611686018427387904"),
            (-4_611_686_018_427_387_904.0, "-4611686018427387904"),
            (9_223_372_036_854_775_808.0, "9223372036854776000"),
            (1_234_567_890_123_456_789_012.0, "1234567890123456800000"),
            (1e-5, "0.00001"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1.23456e-5, "1.23456e-5"),
            (1.5e-10, "1.5e-10"),
            (-2.141_592_653_589_79, "-2.14159265358979"),
            (12_345_678.9, "12345678.9"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(DoubleBuffer::new().format(value), text);
        }
    }

    #[test]
    fn reads_what_c_prints() {
        assert!(PRINTED.lines().count() > 1000);
        for line in PRINTED.lines() {
            let (bits, text) = line.split_once('\t').unwrap();
            let value = f64::from_bits(u64::from_str_radix(bits, 16).unwrap());
            assert_eq!(
                scan_double(text.as_bytes()).value.to_bits(),
                value.to_bits()
            );
        }
    }

    proptest! {
        #[test]
        fn printing_is_undone_by_reading(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(!value.is_nan() && value.to_bits() != 1 << 63);
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
