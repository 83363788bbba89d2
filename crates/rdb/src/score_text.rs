//! Scores as text, in the bytes that Redis writes: whole numbers plainly, all others as C's `%.17g`.

use std::io::Write;

/// A score's text, without a heap.
pub struct ScoreText {
    bytes: [u8; Self::MAX],
    len: usize,
}

impl ScoreText {
    /// Sign, 17 digits, point, up to four zeros behind it, exponent of five; and room to build it.
    const MAX: usize = 40;

    /// The text of `score`.
    pub fn new(score: f64) -> Self {
        const EXACT: f64 = (1u64 << 52) as f64;
        let mut text = Self {
            bytes: [0; Self::MAX],
            len: 0,
        };
        if score.is_nan() {
            text.push(b"nan");
        } else if score.is_infinite() {
            text.push(if score < 0.0 { b"-inf" } else { b"inf" });
        } else if score.abs() < EXACT
            && score.fract() == 0.0
            && !(score == 0.0 && score.is_sign_negative())
        {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "checked to be whole and below 2^52"
            )]
            text.push(itoa::Buffer::new().format(score as i64).as_bytes());
        } else {
            text.push_17g(score);
        }
        text
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn push_17g(&mut self, score: f64) {
        // Rust gives the same 17 digits, correctly rounded: d.dddddddddddddddde-5.
        let mut exact = [0u8; Self::MAX];
        let mut rest = &mut exact[..];
        if write!(rest, "{:.16e}", score.abs()).is_err() {
            return;
        }
        let unused = rest.len();
        let exact = &exact[..Self::MAX - unused];
        let split = exact
            .iter()
            .position(|&byte| byte == b'e')
            .unwrap_or(exact.len());
        let exponent =
            std::str::from_utf8(&exact[(split + 1).min(exact.len())..]).unwrap_or_default();
        let exponent: i32 = exponent.parse().unwrap_or_default();
        let mut digits = [b'0'; 17];
        for (digit, &byte) in digits
            .iter_mut()
            .zip(exact[..split].iter().filter(|byte| byte.is_ascii_digit()))
        {
            *digit = byte;
        }
        let used = digits
            .iter()
            .rposition(|&digit| digit != b'0')
            .map_or(1, |last| last + 1);
        if score.is_sign_negative() {
            self.push(b"-");
        }
        match usize::try_from(exponent) {
            Ok(point) if point < 17 => self.push_fixed(&digits, used, point + 1),
            Err(_) if exponent >= -4 => {
                self.push(b"0.");
                for _ in 1..exponent.unsigned_abs() {
                    self.push(b"0");
                }
                self.push(&digits[..used]);
            }
            _ => {
                self.push_fixed(&digits, used, 1);
                self.push(if exponent < 0 { b"e-" } else { b"e+" });
                let power = exponent.unsigned_abs();
                if power < 10 {
                    self.push(b"0");
                }
                self.push(itoa::Buffer::new().format(power).as_bytes());
            }
        }
    }

    /// The digits with a point behind the first `whole`, and none of the zeros at the end of a fraction.
    fn push_fixed(&mut self, digits: &[u8; 17], used: usize, whole: usize) {
        self.push(&digits[..whole]);
        if used > whole {
            self.push(b".");
            self.push(&digits[whole..used]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(score: f64) -> String {
        String::from_utf8(ScoreText::new(score).as_bytes().to_vec()).unwrap()
    }

    /// What C's printf gives.
    #[test]
    fn texts_are_those_of_c() {
        for (score, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-17.0, "-17"),
            (1.1, "1.1000000000000001"),
            (0.1, "0.10000000000000001"),
            (0.5, "0.5"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (123456789012345680000.0, "1.2345678901234568e+20"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (1e100, "1e+100"),
            (5e-324, "4.9406564584124654e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (-f64::MIN_POSITIVE, "-2.2250738585072014e-308"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (2251799813685248.5, "2251799813685248.5"),
        ] {
            assert_eq!(text(score), expected);
        }
    }

    proptest! {
        #[test]
        fn reads_back_as_the_same_double(bits in any::<u64>()) {
            let score = f64::from_bits(bits);
            prop_assume!(!score.is_nan());
            prop_assert_eq!(text(score).parse::<f64>().unwrap().to_bits(), bits);
        }
    }
}
