//! Numbers as the C library prints and converts them for Lua: `%.14g`, and casts from doubles that do not fit.
//! `%.17g` and reading are in `resp::number`.

use std::io::Write;

use mlua::Value;
use resp::number::DoubleBuffer;
use smallvec::SmallVec;

/// How Lua prints numbers: `%.14g`.
pub(crate) const LUA_DIGITS: usize = 14;

/// Integers below this print without an exponent under `%.14g`, and are exact.
const FOURTEEN_DIGITS: f64 = 1e14;

/// A number as a word of a command, with as many digits as it takes to read the same number back.
pub(crate) fn word(number: f64) -> SmallVec<[u8; 32]> {
    // A whole number is told as one, which has no negative zero.
    let number = if number == 0.0 { 0.0 } else { number };
    let mut buffer = DoubleBuffer::new();
    let text = match buffer.format(number) {
        // As C prints the NaN that x86 makes.
        "nan" if number.is_sign_negative() => "-nan",
        text => text,
    };
    SmallVec::from_slice(text.as_bytes())
}

/// Appends `number` as C's `%.<digits>g` prints it. `digits` is 1 to 17.
pub(crate) fn append_general(out: &mut Vec<u8>, number: f64, digits: usize) {
    if number.is_sign_negative() {
        out.push(b'-');
    }
    let magnitude = number.abs();
    if magnitude.is_nan() {
        out.extend_from_slice(b"nan");
    } else if magnitude.is_infinite() {
        out.extend_from_slice(b"inf");
    } else if digits == LUA_DIGITS && magnitude < FOURTEEN_DIGITS && magnitude.fract() == 0.0 {
        let whole = to_i64(magnitude);
        out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    } else {
        append_digits(out, magnitude, digits);
    }
}

/// Appends a finite, positive number.
fn append_digits(out: &mut Vec<u8>, magnitude: f64, digits: usize) {
    // The standard library rounds exactly: `d.ddde-x`. Here the digits only change their places.
    let text = format!("{:.*e}", digits.saturating_sub(1), magnitude);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mut significant: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    while significant.len() > 1 && significant.last() == Some(&b'0') {
        significant.pop();
    }
    let fits = exponent >= -4 && i32::try_from(digits).is_ok_and(|digits| exponent < digits);
    if !fits {
        out.push(significant[0]);
        append_fraction(out, &significant[1..]);
        let sign = if exponent < 0 { '-' } else { '+' };
        // Writing to a Vec cannot fail.
        let _ = write!(out, "e{sign}{:02}", exponent.abs());
    } else if let Ok(whole) = usize::try_from(exponent + 1)
        && whole > 0
    {
        if significant.len() <= whole {
            out.extend_from_slice(&significant);
            out.resize(out.len() + whole - significant.len(), b'0');
        } else {
            out.extend_from_slice(&significant[..whole]);
            append_fraction(out, &significant[whole..]);
        }
    } else {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + exponent.unsigned_abs() as usize - 1, b'0');
        out.extend_from_slice(&significant);
    }
}

fn append_fraction(out: &mut Vec<u8>, digits: &[u8]) {
    if !digits.is_empty() {
        out.push(b'.');
        out.extend_from_slice(digits);
    }
}

/// The number that a value is, without coercion.
pub(crate) fn of_value(value: &Value) -> Option<f64> {
    match value {
        #[expect(
            clippy::cast_precision_loss,
            reason = "mlua made the integer from a double"
        )]
        Value::Integer(number) => Some(*number as f64),
        Value::Number(number) => Some(*number),
        _ => None,
    }
}

/// A double as a 64-bit integer, truncated; what does not fit, and NaN, is `i64::MIN`, as x86 converts it.
pub(crate) fn to_i64(number: f64) -> i64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if (-LIMIT..LIMIT).contains(&number) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "within range, and truncation is what is asked for"
        )]
        {
            number as i64
        }
    } else {
        i64::MIN
    }
}

/// A double as an unsigned 64-bit integer, as compilers for x86 convert it: exact below 2^64, else wrapped.
pub(crate) fn to_u64(number: f64) -> u64 {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if number >= LIMIT {
        to_i64(number - LIMIT).cast_unsigned() ^ (1 << 63)
    } else {
        to_i64(number).cast_unsigned()
    }
}

/// The low 32 bits of a Lua integer, which is what C's `(int)` makes of it.
pub(crate) fn to_i32(number: i64) -> i32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "wrapping is what is asked for"
    )]
    {
        number as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn general(number: f64, digits: usize) -> String {
        let mut out = Vec::new();
        append_general(&mut out, number, digits);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn prints_as_printf_does() {
        let cases: &[(f64, usize, &str)] = &[
            (0.0, 14, "0"),
            (-0.0, 14, "-0"),
            (1.0, 14, "1"),
            (-1.5, 14, "-1.5"),
            (0.1, 14, "0.1"),
            (0.1, 17, "0.10000000000000001"),
            (1.0 / 3.0, 14, "0.33333333333333"),
            (99_999_999_999_999.0, 14, "99999999999999"),
            (1e14, 14, "1e+14"),
            (123_456_789_012_345.0, 14, "1.2345678901234e+14"),
            (1e300, 14, "1e+300"),
            (1e-4, 14, "0.0001"),
            (1e-5, 14, "1e-05"),
            (5e-324, 14, "4.9406564584125e-324"),
            (1234.5678, 3, "1.23e+03"),
            (0.000_123_456, 3, "0.000123"),
            (9.996, 3, "10"),
            (f64::INFINITY, 14, "inf"),
            (f64::NEG_INFINITY, 14, "-inf"),
            (f64::NAN, 14, "nan"),
            (-f64::NAN, 14, "-nan"),
        ];
        for (number, digits, text) in cases {
            assert_eq!(general(*number, *digits), *text, "%.{digits}g");
        }
    }

    #[test]
    fn casts_as_x86_does() {
        assert_eq!(to_i64(3.99), 3);
        assert_eq!(to_i64(-3.99), -3);
        assert_eq!(to_i64(1e300), i64::MIN);
        assert_eq!(to_i64(f64::NAN), i64::MIN);
        assert_eq!(to_i64(-9_223_372_036_854_775_808.0), i64::MIN);
        assert_eq!(
            to_u64(18_446_744_073_709_549_568.0),
            18_446_744_073_709_549_568
        );
        assert_eq!(to_u64(9_223_372_036_854_775_808.0), 1 << 63);
        assert_eq!(to_i32(1 << 32), 0);
    }
}
