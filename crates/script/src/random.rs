//! The generator behind `math.random`: the 48-bit linear congruential one of `lrand48`, so that a script draws the
//! same numbers on every machine.

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const INCREMENT: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;
const LOW_WORD: u64 = 0x330E;

/// The largest value that [`Random::next`] gives, and the modulus by which `math.random` reduces it.
pub(crate) const RANDOM_MAX: i32 = i32::MAX;

/// The state of the generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Random(u64);

impl Random {
    /// The sequence that belongs to a seed.
    pub(crate) fn seeded(seed: i32) -> Self {
        Random(u64::from(seed.cast_unsigned()) << 16 | LOW_WORD)
    }

    /// The next number, 31 bits, with the state after it.
    pub(crate) fn next(self) -> (Self, i32) {
        let state = self.0.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT) & MASK;
        // 48 - 17 = 31 bits.
        (
            Random(state),
            i32::try_from(state >> 17).unwrap_or(RANDOM_MAX),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_the_sequence_of_lrand48() {
        let mut random = Random::seeded(0);
        let drawn: Vec<i32> = (0..3)
            .map(|_| {
                let (after, number) = random.next();
                random = after;
                number
            })
            .collect();
        assert_eq!(drawn, [366_850_414, 1_610_402_240, 206_956_554]);
    }
}
