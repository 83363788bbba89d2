//! How long things took, or how large they were: counts in buckets that grow with the value. What is measured, and where it is shown, is
//! elsewhere.

/// Buckets to each doubling: what is told is at most a sixteenth too high.
const STEPS: u64 = 16;
/// `STEPS` as a power of two.
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Durations of this many bits (a quarter of an hour in nanoseconds) and more are counted together.
const MOST_BITS: u32 = 40;
const BUCKETS: usize = ((MOST_BITS - STEP_BITS + 1) as usize) << STEP_BITS;

/// Counts of durations in nanoseconds, or of sizes in bytes. Five kilobytes once the first one came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    /// All of them together.
    sum: u64,
    largest: u64,
}

impl Histogram {
    /// One more.
    #[inline]
    pub(crate) fn add(&mut self, value: u64) {
        if let Some(count) = self.counts.get_mut(bucket(value)) {
            *count += 1;
        } else {
            self.start(value);
        }
        self.sum += value;
        if value > self.largest {
            self.largest = value;
        }
    }

    #[cold]
    fn start(&mut self, value: u64) {
        self.counts = vec![0; BUCKETS];
        self.counts[bucket(value)] = 1;
    }

    /// Adds all of another one.
    pub(crate) fn merge(&mut self, other: &Self) {
        if self.counts.is_empty() {
            self.counts.clone_from(&other.counts);
        } else {
            for (count, more) in self.counts.iter_mut().zip(&other.counts) {
                *count += more;
            }
        }
        self.sum += other.sum;
        self.largest = self.largest.max(other.largest);
    }

    /// All of them together.
    pub(crate) fn sum(&self) -> u64 {
        self.sum
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// For each doubling of the time from a microsecond on in which there were any: its end in microseconds, and how many took
    /// no longer. Shorter ones count with the first.
    pub(crate) fn doublings(&self) -> Vec<(u64, u64)> {
        let mut found = Vec::new();
        let (mut end_ns, mut count, mut told) = (1024, 0, 0);
        for (index, more) in self.counts.iter().enumerate() {
            while last_of(index) >= end_ns {
                if count > told {
                    found.push((end_ns / 1000, count));
                    told = count;
                }
                end_ns *= 2;
            }
            count += more;
        }
        if count > told {
            found.push((end_ns / 1000, count));
        }
        found
    }

    /// How many took no longer than each of these, which are ascending powers of two.
    pub(crate) fn within(&self, ends_ns: &[u64]) -> Vec<(u64, u64)> {
        let (mut index, mut seen) = (0, 0);
        let counts = ends_ns.iter().map(|&end_ns| {
            while index < self.counts.len() && last_of(index) < end_ns {
                seen += self.counts[index];
                index += 1;
            }
            (end_ns, seen)
        });
        counts.collect()
    }

    /// The largest of all.
    pub(crate) fn largest(&self) -> u64 {
        self.largest
    }

    /// The value that `share` of all did not exceed (0.99: the 99th percentile); 0 where there was none.
    pub(crate) fn at(&self, share: f64) -> u64 {
        let total: u64 = self.counts.iter().sum();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank, between nothing and the total"
        )]
        let rank = (total as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank && seen > 0 {
                return last_of(index).min(self.largest);
            }
        }
        0
    }
}

/// The bucket of a duration. The first ones hold one nanosecond each.
#[inline]
fn bucket(ns: u64) -> usize {
    let ns = ns.min((1 << MOST_BITS) - 1);
    let doublings = (63 - (ns | STEPS).leading_zeros()) - STEP_BITS;
    #[expect(clippy::cast_possible_truncation, reason = "below BUCKETS")]
    let index = (u64::from(doublings) << STEP_BITS) as usize + (ns >> doublings) as usize;
    index
}

/// The longest duration of a bucket.
fn last_of(index: usize) -> u64 {
    let index = index as u64;
    if index < STEPS {
        return index;
    }
    let doublings = (index >> STEP_BITS) - 1;
    (((STEPS | index & (STEPS - 1)) + 1) << doublings) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_in_the_bucket_whose_last_is_at_most_a_sixteenth_more() {
        let mut before = 0;
        for ns in (0..5000).chain([1 << 20, (1 << 33) + 12345, (1 << 40) - 1]) {
            let index = bucket(ns);
            assert!(index >= before && index < BUCKETS, "{ns}");
            assert!(
                last_of(index) >= ns && last_of(index) - ns <= ns / 16,
                "{ns}"
            );
            before = index;
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(bucket((1 << MOST_BITS) - 1), BUCKETS - 1);
    }

    #[test]
    fn doublings_count_what_took_no_longer() {
        let mut histogram = Histogram::default();
        assert!(histogram.doublings().is_empty());
        for ns in [10, 900, 1100, 1900, 1_000_000] {
            histogram.add(ns);
        }
        assert_eq!(histogram.doublings(), [(1, 2), (2, 4), (1048, 5)]);
        assert_eq!((histogram.count(), histogram.sum()), (5, 1_003_910));
        assert_eq!(
            histogram.within(&[1 << 10, 1 << 12, 1 << 20, 1 << 30]),
            [(1 << 10, 2), (1 << 12, 4), (1 << 20, 5), (1 << 30, 5)]
        );
        assert_eq!(Histogram::default().within(&[1 << 10]), [(1 << 10, 0)]);
    }

    #[test]
    fn shares_of_what_was_counted() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.at(0.5), histogram.largest()), (0, 0));
        for ns in 1..=10 {
            histogram.add(ns);
        }
        assert_eq!(
            [0.0, 0.5, 0.99].map(|share| histogram.at(share)),
            [1, 5, 10]
        );
        let mut all = Histogram::default();
        all.merge(&histogram);
        all.add(1_000_003);
        all.merge(&histogram);
        assert_eq!((all.at(0.4), all.at(0.5)), (5, 6));
        assert_eq!((all.at(1.0), all.largest()), (1_000_003, 1_000_003));
    }
}
