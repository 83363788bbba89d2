//! The arithmetic of `INCRBYFLOAT` and `HINCRBYFLOAT`: x87's 80-bit floats, in software.
//!
//! Redis adds in C's `long double` and prints with 17 digits after the point. On x86 that type has a mantissa of 64
//! bits, and only with that mantissa `10.5 + 0.1` prints as `10.6`. So this module reads decimals, adds, and prints,
//! all rounded to the nearest even as the hardware and glibc do, on every machine. There is nothing else here: no
//! multiplication, no comparison.

use std::cmp::Ordering;
use std::fmt;

use crate::args::is_space;
use crate::scan::{self, Digits, Format, Rounded, Value, shift_right_rounding};

const FORMAT: Format = Format {
    bits: 64,
    min_exponent: -16_445,
    max_exponent: 16_320,
};
/// Texts of this length and more are no numbers.
const MAX_TEXT: usize = 5 * 1024;
/// 17 digits after the point are printed.
const SCALE: u128 = 10u128.pow(17);
/// No number of the format, and no midpoint of two, has more significant decimal digits than this.
const MAX_DIGITS: usize = 11_600;
/// Powers of ten beyond these are certainly too big, or smaller than half the smallest number.
const MAX_POWER: i64 = 4_940;
const MIN_POWER: i64 = -4_960;

/// A float with a mantissa of 64 bits and an exponent of 15. Never NaN.
#[derive(Debug, Clone, Copy)]
pub struct LongDouble {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Debug, Clone, Copy)]
enum Magnitude {
    /// `mantissa * 2^exponent`. The mantissa's highest bit is set unless the exponent is the lowest.
    Finite {
        mantissa: u64,
        exponent: i64,
    },
    Infinite,
}

impl LongDouble {
    /// Reads an argument or a stored value as `INCRBYFLOAT` does: all of C's `strtold`, but no blank before it, no NaN,
    /// nothing out of range (too big, or too small to keep its digits), and less than 5 KB.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<LongDouble> {
        if text.len() >= MAX_TEXT || text.first().is_some_and(|byte| is_space(*byte)) {
            return None;
        }
        let scanned = scan::scan(text);
        if scanned.used != text.len() {
            return None;
        }
        let rounded = match scanned.value {
            Value::Missing | Value::NotANumber => return None,
            Value::Infinity => {
                return Some(LongDouble {
                    negative: scanned.negative,
                    magnitude: Magnitude::Infinite,
                });
            }
            Value::Decimal(digits) => round_decimal(&digits),
            Value::Hexadecimal(digits) => FORMAT.round_hexadecimal(&digits),
        };
        match rounded {
            Rounded::Finite {
                mantissa,
                exponent,
                underflow: false,
            } => Some(LongDouble {
                negative: scanned.negative,
                magnitude: Magnitude::Finite { mantissa, exponent },
            }),
            _ => None,
        }
    }

    /// The sum, rounded to the nearest; infinite when too big. `None` when an infinity meets its opposite (C's NaN).
    #[must_use]
    pub fn checked_add(self, other: LongDouble) -> Option<LongDouble> {
        match (self.magnitude, other.magnitude) {
            (Magnitude::Infinite, Magnitude::Infinite) => {
                (self.negative == other.negative).then_some(self)
            }
            (Magnitude::Infinite, _) => Some(self),
            (_, Magnitude::Infinite) => Some(other),
            (Magnitude::Finite { exponent: a, .. }, Magnitude::Finite { exponent: b, .. }) => {
                Some(if a >= b {
                    sum(self, other)
                } else {
                    sum(other, self)
                })
            }
        }
    }

    /// Whether it is no infinity.
    #[must_use]
    pub fn is_finite(self) -> bool {
        matches!(self.magnitude, Magnitude::Finite { .. })
    }

    fn parts(self) -> (u64, i64) {
        match self.magnitude {
            Magnitude::Finite { mantissa, exponent } => (mantissa, exponent),
            Magnitude::Infinite => (u64::MAX, FORMAT.max_exponent + 1),
        }
    }

    fn rounded(negative: bool, rounded: Rounded) -> LongDouble {
        let magnitude = match rounded {
            Rounded::Finite {
                mantissa, exponent, ..
            } => Magnitude::Finite { mantissa, exponent },
            Rounded::Overflow => Magnitude::Infinite,
        };
        LongDouble {
            negative,
            magnitude,
        }
    }
}

impl From<i64> for LongDouble {
    fn from(value: i64) -> Self {
        LongDouble::rounded(
            value < 0,
            FORMAT.round(u128::from(value.unsigned_abs()), 0, false),
        )
    }
}

/// Prints with up to 17 digits after the point and no exponent; zeros at the end are dropped. At most 4,951 bytes.
impl fmt::Display for LongDouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        let Magnitude::Finite { mantissa, exponent } = self.magnitude else {
            return write!(f, "{sign}inf");
        };
        if exponent >= 0 {
            let mut whole = Natural::from(mantissa);
            whole.shift_left(exponent.unsigned_abs());
            f.write_str(sign)?;
            return whole.fmt(f);
        }
        let shift = exponent.unsigned_abs();
        let whole = if shift < 64 { mantissa >> shift } else { 0 };
        let fraction = if shift < 64 {
            mantissa & ((1 << shift) - 1)
        } else {
            mantissa
        };
        let (fraction, _) = shift_right_rounding(u128::from(fraction) * SCALE, -exponent, false);
        let whole = u128::from(whole) + fraction / SCALE;
        // There is no negative zero.
        let sign = if whole == 0 && fraction == 0 {
            ""
        } else {
            sign
        };
        write!(f, "{sign}{whole}")?;
        let digits = format!("{:017}", fraction % SCALE);
        match digits.trim_end_matches('0') {
            "" => Ok(()),
            digits => write!(f, ".{digits}"),
        }
    }
}

/// The sum of two finite numbers; `a` has the exponent that is not lower.
fn sum(a: LongDouble, b: LongDouble) -> LongDouble {
    /// Bits left free below the mantissa of `a`, for those of `b`; one stays free above for the carry.
    const SPARE: u32 = 63;
    let ((a_mantissa, exponent), (b_mantissa, b_exponent)) = (a.parts(), b.parts());
    let high = u128::from(a_mantissa) << SPARE;
    let unshifted = u128::from(b_mantissa) << SPARE;
    let distance = u32::try_from(exponent - b_exponent).unwrap_or(u32::MAX);
    let low = unshifted.checked_shr(distance).unwrap_or(0);
    let lost = low.checked_shl(distance).unwrap_or(0) != unshifted;
    let exponent = exponent - i64::from(SPARE);
    if a.negative == b.negative {
        return LongDouble::rounded(a.negative, FORMAT.round(high + low, exponent, lost));
    }
    match high.cmp(&low) {
        // Bits are lost only from far below, so one step down and "a little more" is right.
        Ordering::Greater => LongDouble::rounded(
            a.negative,
            FORMAT.round(high - low - u128::from(lost), exponent, lost),
        ),
        Ordering::Less => {
            LongDouble::rounded(b.negative, FORMAT.round(low - high, exponent, false))
        }
        Ordering::Equal => LongDouble::from(0),
    }
}

/// Rounds a scanned decimal number.
fn round_decimal(digits: &Digits<'_>) -> Rounded {
    let all = digits.whole.iter().chain(digits.fraction);
    let mut significant: Vec<u8> = all
        .clone()
        .skip_while(|digit| **digit == b'0')
        .copied()
        .collect();
    let fraction_digits = i64::try_from(digits.fraction.len()).unwrap_or(i64::MAX / 4);
    let mut power = digits.exponent.saturating_sub(fraction_digits);
    if significant.len() > MAX_DIGITS {
        // What follows can only break a tie; one digit stands for all of it.
        let rest = significant.split_off(MAX_DIGITS);
        significant.push(if rest.iter().any(|digit| *digit != b'0') {
            b'1'
        } else {
            b'0'
        });
        power += i64::try_from(rest.len()).unwrap_or(i64::MAX / 4) - 1;
    }
    while significant.last() == Some(&b'0') {
        significant.pop();
        power += 1;
    }
    let length = i64::try_from(significant.len()).unwrap_or(i64::MAX / 4);
    if significant.is_empty() {
        FORMAT.round(0, 0, false)
    } else if power + length > MAX_POWER {
        Rounded::Overflow
    } else if power + length < MIN_POWER {
        FORMAT.round(0, 0, true)
    } else {
        round_few(&significant, power).unwrap_or_else(|| round_many(&significant, power))
    }
}

/// The usual case, up to 19 digits and a small power of ten: everything fits in 128 bits.
fn round_few(digits: &[u8], power: i64) -> Option<Rounded> {
    let exponent = u32::try_from(power.abs())
        .ok()
        .filter(|power| *power <= 27)?;
    if digits.len() > 19 {
        return None;
    }
    let value = digits
        .iter()
        .fold(0, |value, digit| value * 10 + u128::from(digit - b'0'));
    let fives = 5u128.pow(exponent);
    if power >= 0 {
        return Some(FORMAT.round(value * fives, power, false));
    }
    let shift = value.leading_zeros();
    // At least 65 bits of quotient: 128 less the 63 that the highest power of five has.
    let (shifted, exponent) = (value << shift, power - i64::from(shift));
    Some(FORMAT.round(shifted / fives, exponent, shifted % fives != 0))
}

/// The general case, with integers of any length. The work is bounded by [`MAX_DIGITS`] and the powers' limits.
fn round_many(digits: &[u8], power: i64) -> Rounded {
    let mut value = Natural::from(0);
    for chunk in digits.chunks(19) {
        let number = chunk
            .iter()
            .fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
        value.multiply_add(chunk.iter().fold(1, |scale, _| scale * 10), number);
    }
    if power >= 0 {
        value.multiply_by_fives(power.unsigned_abs());
        let (top, exponent, sticky) = value.top();
        return FORMAT.round(top, exponent + power, sticky);
    }
    let mut fives = Natural::from(1);
    fives.multiply_by_fives(power.unsigned_abs());
    let (quotient, exponent, sticky) = divide(value, fives);
    FORMAT.round(quotient, power + exponent, sticky)
}

/// The leading bits of `value / divisor`: a quotient, the power of two it is to be multiplied with, and whether there
/// is more below it.
fn divide(mut value: Natural, mut divisor: Natural) -> (u128, i64, bool) {
    /// Bits of the quotient, more or less one: enough to round to 64.
    const QUOTIENT_BITS: i64 = 70;
    let raised = (divisor.bits() + QUOTIENT_BITS - value.bits()).max(0);
    value.shift_left(raised.unsigned_abs());
    let bits = value.bits() - divisor.bits() + 1;
    let kept = bits.min(QUOTIENT_BITS + 2);
    divisor.shift_left((bits - 1).unsigned_abs());
    let mut quotient = 0;
    for _ in 0..kept {
        quotient <<= 1;
        if value.subtract_if_not_less(&divisor) {
            quotient |= 1;
        }
        divisor.halve();
    }
    (quotient, bits - kept - raised, !value.limbs.is_empty())
}

/// A natural number of any size. Just what reading and printing need.
#[derive(Debug, Clone)]
struct Natural {
    /// Lowest first; the last one is not zero.
    limbs: Vec<u64>,
}

impl Natural {
    fn from(value: u64) -> Self {
        let mut natural = Natural { limbs: vec![value] };
        natural.trim();
        natural
    }

    fn trim(&mut self) {
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
    }

    /// How many bits the number has.
    fn bits(&self) -> i64 {
        let Some(last) = self.limbs.last() else {
            return 0;
        };
        i64::try_from(self.limbs.len()).unwrap_or(i64::MAX / 64) * 64
            - i64::from(last.leading_zeros())
    }

    fn multiply_add(&mut self, factor: u64, summand: u64) {
        let mut carry = summand;
        for limb in &mut self.limbs {
            let product = u128::from(*limb) * u128::from(factor) + u128::from(carry);
            (*limb, carry) = halves(product);
        }
        if carry > 0 {
            self.limbs.push(carry);
        }
    }

    fn multiply_by_fives(&mut self, mut power: u64) {
        /// The highest power of five in 64 bits.
        const STEP: (u64, u64) = (27, 5u64.pow(27));
        while power >= STEP.0 {
            self.multiply_add(STEP.1, 0);
            power -= STEP.0;
        }
        for _ in 0..power {
            self.multiply_add(5, 0);
        }
    }

    fn shift_left(&mut self, by: u64) {
        let mut carry = 0;
        for limb in &mut self.limbs {
            let shifted = u128::from(*limb) << (by % 64) | u128::from(carry);
            (*limb, carry) = halves(shifted);
        }
        if carry > 0 {
            self.limbs.push(carry);
        }
        if !self.limbs.is_empty() {
            let zeros = usize::try_from(by / 64).unwrap_or(0);
            self.limbs.splice(0..0, std::iter::repeat_n(0, zeros));
        }
    }

    fn halve(&mut self) {
        let mut carry = 0;
        for limb in self.limbs.iter_mut().rev() {
            let low = *limb & 1;
            *limb = *limb >> 1 | carry << 63;
            carry = low;
        }
        self.trim();
    }

    /// Subtracts `other` unless it is greater; says whether it did.
    fn subtract_if_not_less(&mut self, other: &Natural) -> bool {
        let by_length = self.limbs.len().cmp(&other.limbs.len());
        let order = by_length.then_with(|| self.limbs.iter().rev().cmp(other.limbs.iter().rev()));
        if order == Ordering::Less {
            return false;
        }
        let mut borrow = false;
        for (index, limb) in self.limbs.iter_mut().enumerate() {
            let subtrahend = other.limbs.get(index).copied().unwrap_or(0);
            let (difference, first) = limb.overflowing_sub(subtrahend);
            let (difference, second) = difference.overflowing_sub(u64::from(borrow));
            (*limb, borrow) = (difference, first || second);
        }
        self.trim();
        true
    }

    /// The highest 128 bits (at least 65 of them used when there are so many), the power of two to multiply them with,
    /// and whether there is more below.
    fn top(&self) -> (u128, i64, bool) {
        let start = self.limbs.len().saturating_sub(2);
        let top = self.limbs[start..]
            .iter()
            .rev()
            .fold(0, |top, limb| top << 64 | u128::from(*limb));
        let exponent = i64::try_from(start).unwrap_or(i64::MAX / 64) * 64;
        (
            top,
            exponent,
            self.limbs[..start].iter().any(|limb| *limb != 0),
        )
    }

    /// Divides by a number that is not zero; returns the remainder.
    fn divide_by(&mut self, divisor: u64) -> u64 {
        let mut rest = 0;
        for limb in self.limbs.iter_mut().rev() {
            let value = u128::from(rest) << 64 | u128::from(*limb);
            (*limb, _) = halves(value / u128::from(divisor));
            (rest, _) = halves(value % u128::from(divisor));
        }
        self.trim();
        rest
    }
}

impl fmt::Display for Natural {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// The highest power of ten in 64 bits.
        const GROUP: u64 = 10u64.pow(19);
        let mut left = self.clone();
        let mut groups = Vec::new();
        while !left.limbs.is_empty() {
            groups.push(left.divide_by(GROUP));
        }
        write!(f, "{}", groups.pop().unwrap_or(0))?;
        groups
            .iter()
            .rev()
            .try_for_each(|group| write!(f, "{group:019}"))
    }
}

/// The low and the high half of a number.
fn halves(value: u128) -> (u64, u64) {
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of it")]
    (value as u64, (value >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What Redis 3.0.7 answers to INCRBYFLOAT: stored value, increment, reply. Valkey takes no empty text, and has no negative zero.
    const RECORDED: &str = include_str!("../tests/data/incrbyfloat.tsv");

    fn parse(text: &str) -> LongDouble {
        LongDouble::parse(text.as_bytes()).unwrap()
    }

    /// The reply of INCRBYFLOAT, without its type and line end.
    fn increment(value: &str, by: &str) -> String {
        let (Some(value), Some(by)) = (
            LongDouble::parse(value.as_bytes()),
            LongDouble::parse(by.as_bytes()),
        ) else {
            return "ERR value is not a valid float".to_owned();
        };
        match value.checked_add(by).filter(|sum| sum.is_finite()) {
            Some(sum) => sum.to_string(),
            None => "ERR increment would produce NaN or Infinity".to_owned(),
        }
    }

    #[test]
    fn answers_as_recorded() {
        assert!(RECORDED.lines().count() > 1500);
        for line in RECORDED.lines() {
            let mut fields = line.split('\t');
            let (value, by, reply) = (
                fields.next().unwrap(),
                fields.next().unwrap(),
                fields.next().unwrap(),
            );
            let reply = match reply {
                "-0" => "0",
                _ if value.is_empty() || by.is_empty() => "ERR value is not a valid float",
                other => other,
            };
            assert_eq!(increment(value, by), reply, "{value} + {by}");
        }
    }

    #[test]
    fn ordinary_sums_look_ordinary() {
        assert_eq!(increment("10.50", "0.1"), "10.6");
        assert_eq!(increment("3.0e3", "200"), "3200");
        assert_eq!(increment("5.0e20", "1"), "500000000000000000000");
        assert_eq!(increment("1", "-1.0"), "0");
        assert_eq!(increment("-0", "-0"), "0");
        assert_eq!(
            increment("inf", "-inf"),
            "ERR increment would produce NaN or Infinity"
        );
        assert_eq!(LongDouble::from(i64::MIN).to_string(), i64::MIN.to_string());
        assert_eq!(LongDouble::from(0).to_string(), "0");
    }

    #[test]
    fn the_ends_of_the_range() {
        let greatest = parse("1.18973149535723176502e+4932");
        assert_eq!(greatest.to_string().len(), 4933);
        assert!(
            greatest
                .checked_add(greatest)
                .is_some_and(|sum| !sum.is_finite())
        );
        for text in [
            "1.2e4932",
            "1e-4940",
            "1e-99999999999999999999",
            "1e99999999999999999999",
            "nan",
            " 1",
            "1 ",
            "1e-4951",
        ] {
            assert!(LongDouble::parse(text.as_bytes()).is_none(), "{text}");
        }
        // The smallest normal number; printing it gives zero.
        assert_eq!(parse("3.3621031431120935063e-4932").to_string(), "0");
        assert_eq!(parse("-1e-30").to_string(), "0");
        assert_eq!(parse("-0.5").to_string(), "-0.5");
        assert_eq!(parse("0x1.8p1").to_string(), "3");
    }

    #[test]
    fn a_tie_is_broken_by_the_last_of_many_digits() {
        // 2^64 + 1 lies between two floats; the even one is 2^64.
        let zeros = "0".repeat(5_000);
        assert!(LongDouble::parse("0".repeat(MAX_TEXT).as_bytes()).is_none());
        assert_eq!(
            parse(&format!("18446744073709551617.{zeros}")).to_string(),
            "18446744073709551616"
        );
        assert_eq!(
            parse(&format!("18446744073709551617.{zeros}1")).to_string(),
            "18446744073709551618"
        );
    }

    proptest! {
        /// The way for few digits and the way for many round alike.
        #[test]
        fn both_ways_agree(value in 1u64..1_000_000_000_000_000_000, power in -27i64..=27) {
            let digits = value.to_string().into_bytes();
            prop_assert_eq!(round_few(&digits, power), Some(round_many(&digits, power)));
        }

        /// Up to 2^64 the mantissa holds every integer.
        #[test]
        fn integers_add_exactly(a: i32, b: i64) {
            let sum = LongDouble::from(i64::from(a)).checked_add(LongDouble::from(b)).unwrap();
            prop_assert_eq!(sum.to_string(), (i128::from(a) + i128::from(b)).to_string());
        }

        #[test]
        fn reading_is_total(text in "[-+]?[0-9]{0,40}[.]?[0-9]{0,40}(e[-+]?[0-9]{1,5})?") {
            if let Some(number) = LongDouble::parse(text.as_bytes()) {
                let _ = (number.to_string(), number.checked_add(parse("1")));
            }
        }
    }
}
