//! Scores in few bytes, for compact sorted sets: small integers take one byte to five, others what an `f32` or `f64` needs. The
//! very bits of the score come back, those of -0 too.

/// Integers below this stand in the first byte.
const SMALL: u8 = 0xf8;
const I16: u8 = 0xf8;
const I32: u8 = 0xf9;
const F32: u8 = 0xfa;
const F64: u8 = 0xfb;

/// A score as it is stored.
pub(super) struct Stored {
    bytes: [u8; 9],
    len: usize,
}

impl Stored {
    pub(super) fn new(score: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "what does not fit fails the test after it"
        )]
        let (integer, single) = (score as i32, score as f32);
        if f64::from(integer).to_bits() == score.to_bits() {
            if let Ok(small) = u8::try_from(integer)
                && small < SMALL
            {
                Self::tagged(small, &[])
            } else if let Ok(short) = i16::try_from(integer) {
                Self::tagged(I16, &short.to_le_bytes())
            } else {
                Self::tagged(I32, &integer.to_le_bytes())
            }
        } else if f64::from(single).to_bits() == score.to_bits() {
            Self::tagged(F32, &single.to_le_bytes())
        } else {
            Self::tagged(F64, &score.to_le_bytes())
        }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn tagged(tag: u8, body: &[u8]) -> Self {
        let mut bytes = [0; 9];
        bytes[0] = tag;
        bytes[1..=body.len()].copy_from_slice(body);
        Self {
            bytes,
            len: 1 + body.len(),
        }
    }
}

/// How many bytes the score takes that begins with `tag`.
pub(super) fn stored_len(tag: u8) -> usize {
    match tag {
        ..SMALL => 1,
        I16 => 3,
        I32 | F32 => 5,
        _ => 9,
    }
}

/// The score that begins `bytes`.
pub(super) fn read(bytes: &[u8]) -> f64 {
    match *bytes {
        [I16, a, b, ..] => f64::from(i16::from_le_bytes([a, b])),
        [I32, a, b, c, d, ..] => f64::from(i32::from_le_bytes([a, b, c, d])),
        [F32, a, b, c, d, ..] => f64::from(f32::from_le_bytes([a, b, c, d])),
        [F64, a, b, c, d, e, f, g, h, ..] => f64::from_le_bytes([a, b, c, d, e, f, g, h]),
        [small, ..] => f64::from(small),
        [] => unreachable!("a score follows each member"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::cases;
    use proptest::prelude::*;

    fn round_trip(score: f64) -> usize {
        let stored = Stored::new(score);
        let bytes = stored.as_slice();
        assert_eq!(read(bytes).to_bits(), score.to_bits(), "{score}");
        assert_eq!(stored_len(bytes[0]), bytes.len());
        bytes.len()
    }

    #[test]
    fn few_bytes_for_ordinary_scores() {
        for (score, len) in [
            (0.0, 1),
            (247.0, 1),
            (248.0, 3),
            (-1.0, 3),
            (-32768.0, 3),
            (32768.0, 5),
            (f64::from(i32::MIN), 5),
            (2_147_483_648.0, 5),
            (0.5, 5),
            (-0.0, 5),
            (f64::INFINITY, 5),
            (f64::NEG_INFINITY, 5),
            (0.1, 9),
            (f64::MAX, 9),
            (f64::MIN_POSITIVE, 9),
        ] {
            assert_eq!(round_trip(score), len, "{score}");
        }
    }

    proptest! {
        #![proptest_config(cases(256, 4))]
        #[test]
        fn every_score_comes_back(score in prop_oneof![any::<f64>(), (-70_000i32..70_000).prop_map(f64::from)]) {
            prop_assume!(!score.is_nan());
            round_trip(score);
        }
    }
}
