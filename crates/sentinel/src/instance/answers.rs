//! How an instance answers: how long it takes for a ping, and whether it says that it refuses writes.

use std::collections::VecDeque;

/// Round trips that are remembered: the median of so many does not follow single late ones.
const REMEMBERED: usize = 9;
/// Fewer say nothing.
const FEWEST: usize = 5;

/// How an instance answers.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// What the last pings took, in milliseconds.
    took_ms: VecDeque<u64>,
    /// It answered the last ping with MISCONF: it refuses writes, since it cannot write to its disk.
    pub(crate) ping_refused: bool,
    /// By its INFO it refuses writes: its memory is full, and nothing is evicted; or its append-only file cannot be written.
    pub(crate) info_refuses: bool,
}

impl Answers {
    /// A ping was answered.
    pub(crate) fn ping_took(&mut self, ms: u64) {
        if self.took_ms.len() == REMEMBERED {
            self.took_ms.pop_front();
        }
        self.took_ms.push_back(ms);
    }

    /// The median of the last round trips, in milliseconds; nothing while there were too few.
    pub(crate) fn round_trip(&self) -> Option<u64> {
        if self.took_ms.len() < FEWEST {
            return None;
        }
        let mut sorted: Vec<u64> = self.took_ms.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }

    pub(crate) fn refuses_writes(&self) -> bool {
        self.ping_refused || self.info_refuses
    }

    /// It is known to answer in time, and not known to refuse writes.
    pub(crate) fn are_good(&self, threshold_ms: u64) -> bool {
        !self.refuses_writes() && self.round_trip().is_some_and(|ms| ms < threshold_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_round_trip_is_that_of_most_pings() {
        let mut answers = Answers::default();
        for ms in [900, 1, 900, 1] {
            answers.ping_took(ms);
            assert_eq!(answers.round_trip(), None);
            assert!(!answers.are_good(500), "nothing is known yet");
        }
        answers.ping_took(1);
        assert_eq!(answers.round_trip(), Some(1));
        assert!(answers.are_good(500));
        for _ in 0..4 {
            answers.ping_took(900);
        }
        assert_eq!(answers.round_trip(), Some(900), "six of nine");
        for _ in 0..9 {
            answers.ping_took(2);
        }
        assert_eq!(
            answers.round_trip(),
            Some(2),
            "what was before is forgotten"
        );
        answers.info_refuses = true;
        assert!(!answers.are_good(500));
    }
}
