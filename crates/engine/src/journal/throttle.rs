//! How much may be written while a replica makes its copy. The rate is set in `throttle.rs`.

/// How writers are slowed.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    /// Bytes a second; none while they are not.
    pub(crate) rate: Option<u64>,
    /// What may still be written now. Negative after a large write.
    pub(crate) left: i64,
    /// When that was counted ([`crate::Now::mono_ms`]).
    pub(crate) at_ms: u64,
}

impl Throttle {
    pub(crate) fn is_on(&self) -> bool {
        self.rate.is_some()
    }

    /// So many bytes were written.
    pub(crate) fn spend(&mut self, bytes: usize) {
        if self.is_on() {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            self.left = self.left.saturating_sub(bytes);
        }
    }

    /// Whether something may be written now.
    pub(crate) fn has_left(&mut self, now_ms: u64) -> bool {
        let rate = self.rate.unwrap_or(u64::MAX);
        let since_ms = now_ms.saturating_sub(self.at_ms).min(1000);
        let earned = i64::try_from(rate.saturating_mul(since_ms) / 1000).unwrap_or(i64::MAX);
        let most = i64::try_from(rate.saturating_mul(BURST_MS) / 1000).unwrap_or(i64::MAX);
        self.at_ms = now_ms;
        self.left = self.left.saturating_add(earned).min(most);
        self.left > 0
    }
}

/// What was not used may be used later, up to so many milliseconds' worth.
pub(crate) const BURST_MS: u64 = 100;

/// Seconds in which the stream may grow by the limit, where the first writers are slowed.
pub(crate) const FASTEST_S: u64 = 4;

/// The same at the limit and beyond.
pub(crate) const SLOWEST_S: u64 = 256;

/// How much may be written in a second, with so much before a replica that makes its copy; none for as much as there is.
pub(crate) fn rate(gathered: u64, bound: u64) -> Option<u64> {
    let half = (bound / 2).max(1);
    let room = bound.saturating_sub(gathered);
    let (most, least) = (bound / FASTEST_S, (bound / SLOWEST_S).max(1));
    (room < half).then(|| {
        let more = u128::from(most.saturating_sub(least)) * u128::from(room) / u128::from(half);
        least.saturating_add(u64::try_from(more).unwrap_or(u64::MAX))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_are_slowed_from_half_of_the_bound_on() {
        let bound = 256 << 20;
        assert_eq!(rate(0, bound), None);
        assert_eq!(rate(bound / 2, bound), None);
        let rates: Vec<u64> = (1..=4)
            .filter_map(|eighth| rate(bound / 2 + eighth * bound / 8, bound))
            .collect();
        assert_eq!(rates.len(), 4);
        assert!(rates.is_sorted_by(|a, b| a > b), "{rates:?}");
        assert!(rates[0] < 64 << 20);
        assert_eq!(rates[3], 1 << 20);
        assert_eq!(rate(u64::MAX, bound), Some(1 << 20));
        assert_eq!(rate(1, 1), Some(1));
    }

    #[test]
    fn what_was_written_is_paid_for_later() {
        let mut throttle = Throttle {
            rate: Some(1000),
            ..Throttle::default()
        };
        assert!(!throttle.has_left(0));
        assert!(throttle.has_left(10));
        throttle.spend(510);
        assert!(!throttle.has_left(500));
        assert!(throttle.has_left(520));
        // Nobody may save for long.
        assert!(throttle.has_left(10_000));
        throttle.spend(100);
        assert!(!throttle.has_left(10_000));
    }
}
