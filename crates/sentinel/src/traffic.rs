//! What clients and this sentinel have sent each other, and how fast.

use std::collections::VecDeque;

/// What the shell has carried so far. Clients alone count, not the instances that are watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that clients sent.
    pub bytes_in: u64,
    /// Bytes that they were sent.
    pub bytes_out: u64,
    /// Reads that brought something.
    pub reads: u64,
    /// Writes that were done.
    pub writes: u64,
    /// Connections that were refused, since there were too many.
    pub refused: u64,
    /// Clients that were closed for a request that was too long.
    pub long_requests: u64,
    /// Clients that were closed since they did not take their replies.
    pub long_replies: u64,
}

/// So many intervals count for a rate.
const INTERVALS: usize = 16;
/// The least length of one, milliseconds.
const INTERVAL_MS: u64 = 100;

/// What had come at a moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at_ms: u64,
    commands: u64,
    traffic: Traffic,
}

/// The samples of the last seconds, the newest last.
#[derive(Debug, Default)]
pub(crate) struct Rates(VecDeque<Sample>);

/// What comes in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct PerSecond {
    pub(crate) commands: u64,
    pub(crate) kilobytes_in: f64,
    pub(crate) kilobytes_out: f64,
}

impl Rates {
    /// Part of each tick.
    pub(crate) fn sample(&mut self, at_ms: u64, commands: u64, traffic: Traffic) {
        let last = self.0.back().map(|last| last.at_ms);
        if last.is_some_and(|last| at_ms < last + INTERVAL_MS) {
            return;
        }
        if self.0.len() > INTERVALS {
            self.0.pop_front();
        }
        self.0.push_back(Sample {
            at_ms,
            commands,
            traffic,
        });
    }

    pub(crate) fn per_second(&self) -> PerSecond {
        let (Some(old), Some(new)) = (self.0.front(), self.0.back()) else {
            return PerSecond::default();
        };
        let ms = new.at_ms.saturating_sub(old.at_ms);
        let rate = |old: u64, new: u64| {
            let all = new.saturating_sub(old).saturating_mul(1_000);
            all.checked_div(ms).unwrap_or(0)
        };
        #[expect(clippy::cast_precision_loss, reason = "it is shown with two digits")]
        let kilobytes = |old, new| rate(old, new) as f64 / 1_024.0;
        PerSecond {
            commands: rate(old.commands, new.commands),
            kilobytes_in: kilobytes(old.traffic.bytes_in, new.traffic.bytes_in),
            kilobytes_out: kilobytes(old.traffic.bytes_out, new.traffic.bytes_out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_intervals() {
        let mut rates = Rates::default();
        assert_eq!(rates.per_second(), PerSecond::default());
        let mut sample = |at_ms, commands| {
            let traffic = Traffic {
                bytes_in: commands * 1_024,
                bytes_out: commands * 2_048,
                ..Traffic::default()
            };
            rates.sample(at_ms, commands, traffic);
            rates.per_second()
        };
        assert_eq!(sample(1_000, 0), PerSecond::default());
        assert_eq!(sample(1_050, 900), PerSecond::default(), "too soon");
        let expected = PerSecond {
            commands: 20,
            kilobytes_in: 20.0,
            kilobytes_out: 40.0,
        };
        assert_eq!(sample(1_500, 10), expected);
        for tick in 0..=16 {
            sample(2_000 + tick * 100, 10);
        }
        assert_eq!(sample(4_000, 10).commands, 0, "what was before is over");
    }
}
