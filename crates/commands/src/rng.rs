//! The seeded random numbers of the cores (xoshiro256++, seeded by SplitMix64).

/// A small, fast, seeded generator. Not for secrets.
#[derive(Clone, Debug)]
pub struct Rng([u64; 4]);

impl Rng {
    /// A generator whose numbers depend on `seed` alone.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        Self(std::array::from_fn(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }))
    }

    /// A uniform 64-bit number.
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A uniform number below `bound`; 0 where `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Multiply-shift: the bias is below 2^-64 * bound, far under what a test could see.
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A uniform position below `length`; 0 where `length` is 0.
    pub fn position(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// `count` different positions below `length` (all of them where there are fewer), each set of them as likely as any other
    /// (Floyd's algorithm), in ascending order.
    pub fn sample(&mut self, length: usize, count: usize) -> Vec<usize> {
        if count >= length {
            return (0..length).collect();
        }
        let mut chosen = std::collections::BTreeSet::new();
        for last in length - count..length {
            let drawn = self.position(last + 1);
            if !chosen.insert(drawn) {
                chosen.insert(last);
            }
        }
        chosen.into_iter().collect()
    }

    /// `len` lower-case hexadecimal characters, as run ids are made of.
    pub fn hex(&mut self, len: usize) -> String {
        (0..len)
            .map(|_| {
                char::from(b"0123456789abcdef"[usize::try_from(self.next_u64() & 15).unwrap_or(0)])
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_numbers_and_bound_holds() {
        let (mut a, mut b) = (Rng::new(7), Rng::new(7));
        assert!((0..100).all(|_| a.next_u64() == b.next_u64()));
        assert!((1..1000).all(|bound| a.below(bound) < bound));
        for (length, count) in [(10, 3), (10, 10), (3, 10), (0, 1)] {
            let sample = a.sample(length, count);
            assert_eq!(sample.len(), count.min(length));
            assert!(sample.is_sorted() && sample.iter().all(|at| *at < length));
        }
        assert_ne!(Rng::new(1).next_u64(), Rng::new(2).next_u64());
        assert_eq!(a.hex(40).len(), 40);
    }
}
