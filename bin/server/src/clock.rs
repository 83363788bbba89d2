//! The machine's clocks, read for less than a call of the kernel's: between two of these, time is told by the processor's counter.
//! Where the kernel itself does not go by that counter, each look is a call.

use std::cell::Cell;

use engine::Now;
use nix::time::{ClockId, clock_gettime};

use crate::ticks::processor_ticks;

/// For so long a reading of the kernel's clocks serves: a clock that is set is noticed within this time.
const SERVES_NS: u64 = 1_000_000;
/// The counter's pace is measured over at least this time, and measured again after it.
const PACE_OVER_NS: u64 = 20_000_000;
/// A pace, nanoseconds per tick, is kept times two to this power.
const PACE_SHIFT: u32 = 32;
/// A counter that goes slower or faster than this, 10 MHz and 10 GHz, is none.
const PACES: std::ops::RangeInclusive<u64> = (1 << PACE_SHIFT) / 10..=100 << PACE_SHIFT;
/// So many readings are taken for one, in case something comes between.
const READINGS: usize = 3;
/// Which clock the kernel goes by, and its name where that is the counter.
const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
const COUNTER: &str = "tsc";

/// The clock that never goes back, and the time of day.
#[derive(Debug)]
pub(crate) struct Clock {
    /// Whether the processor's counter can be gone by.
    counts: bool,
    /// The last reading of the kernel's clocks.
    anchor: Cell<Reading>,
    /// The reading from which the pace is being measured.
    pace_from: Cell<Reading>,
    /// Nanoseconds per tick, times two to [`PACE_SHIFT`]; 0 until it is known.
    pace: Cell<u64>,
    /// The latest time that was told.
    told_ns: Cell<u64>,
}

/// What the counter and the kernel's clocks showed at one moment.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    ticks: u64,
    mono_ns: u64,
    unix_ns: u64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let counts =
            std::fs::read_to_string(SOURCE).is_ok_and(|source| source.trim_end() == COUNTER);
        let first = Reading::take();
        Self {
            counts,
            anchor: Cell::new(first),
            pace_from: Cell::new(first),
            pace: Cell::new(0),
            told_ns: Cell::new(0),
        }
    }

    /// Both clocks.
    #[inline]
    pub(crate) fn now(&self) -> Now {
        let (mono_ns, unix_ns) = self.look();
        Now {
            mono_ms: mono_ns / 1_000_000,
            unix_us: unix_ns / 1000,
        }
    }

    /// Nanoseconds on the clock that never goes back.
    #[inline]
    pub(crate) fn mono_ns(&self) -> u64 {
        if self.counts {
            self.look().0
        } else {
            clock_ns(ClockId::CLOCK_MONOTONIC)
        }
    }

    /// The clock that never goes back, and the time since 1970, in nanoseconds.
    #[inline]
    fn look(&self) -> (u64, u64) {
        let anchor = self.anchor.get();
        let (mono_ns, unix_ns) = match self.since_ns(anchor) {
            Some(since_ns) => (anchor.mono_ns + since_ns, anchor.unix_ns + since_ns),
            None if self.counts => self.read(),
            None => (
                clock_ns(ClockId::CLOCK_MONOTONIC),
                clock_ns(ClockId::CLOCK_REALTIME),
            ),
        };
        // The kernel adjusts its pace, so a new reading may lie a hair before what was told.
        let mono_ns = mono_ns.max(self.told_ns.get());
        self.told_ns.set(mono_ns);
        (mono_ns, unix_ns)
    }

    /// How long ago a reading was, by the counter; `None` where the kernel has to be asked.
    #[inline]
    fn since_ns(&self, anchor: Reading) -> Option<u64> {
        let pace = self.pace.get();
        if pace == 0 {
            return None;
        }
        let ticks = processor_ticks()?.checked_sub(anchor.ticks)?;
        let since_ns = ticks.checked_mul(pace)? >> PACE_SHIFT;
        (since_ns < SERVES_NS).then_some(since_ns)
    }

    /// Reads the kernel's clocks, and learns the counter's pace from that.
    #[cold]
    fn read(&self) -> (u64, u64) {
        let reading = Reading::take();
        self.anchor.set(reading);
        let from = self.pace_from.get();
        let over_ns = reading.mono_ns.saturating_sub(from.mono_ns);
        if over_ns >= PACE_OVER_NS {
            self.pace_from.set(reading);
            self.pace
                .set(pace(over_ns, reading.ticks.saturating_sub(from.ticks)));
        }
        (reading.mono_ns, reading.unix_ns)
    }
}

impl Reading {
    /// The best of a few: the counter is looked at before and after the clocks, and nothing should have come between.
    fn take() -> Self {
        (0..READINGS)
            .map(|_| {
                let before = processor_ticks().unwrap_or(0);
                let mono_ns = clock_ns(ClockId::CLOCK_MONOTONIC);
                let ticks = processor_ticks().unwrap_or(0);
                let unix_ns = clock_ns(ClockId::CLOCK_REALTIME);
                let reading = Self {
                    ticks,
                    mono_ns,
                    unix_ns,
                };
                let after = processor_ticks().unwrap_or(0);
                (after.wrapping_sub(before), reading)
            })
            .min_by_key(|&(took, _)| took)
            .map_or_else(Self::default, |(_, reading)| reading)
    }
}

/// Nanoseconds per tick, times two to [`PACE_SHIFT`]; 0 where that is no counter's pace.
fn pace(over_ns: u64, ticks: u64) -> u64 {
    let pace = (u128::from(over_ns) << PACE_SHIFT)
        .checked_div(u128::from(ticks))
        .and_then(|pace| u64::try_from(pace).ok());
    pace.filter(|pace| PACES.contains(pace)).unwrap_or(0)
}

/// What a clock of the kernel's shows, nanoseconds; 0 before its epoch.
pub(crate) fn clock_ns(clock: ClockId) -> u64 {
    // The clocks that are asked for are always there.
    let Ok(time) = clock_gettime(clock) else {
        return 0;
    };
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let rest = u64::try_from(time.tv_nsec()).unwrap_or(0);
    seconds.wrapping_mul(1_000_000_000).wrapping_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_kernel_and_never_goes_back() {
        let clock = Clock::new();
        let mut last_ns = 0;
        let begin_ns = clock_ns(ClockId::CLOCK_MONOTONIC);
        let mut counted = 0_u32;
        loop {
            // What a look tells lies between what the kernel tells before and after it, but for the hair by which paces differ.
            let before = (
                clock_ns(ClockId::CLOCK_MONOTONIC),
                clock_ns(ClockId::CLOCK_REALTIME),
            );
            counted += u32::from(clock.since_ns(clock.anchor.get()).is_some());
            let (mono_ns, unix_ns) = clock.look();
            let after = (
                clock_ns(ClockId::CLOCK_MONOTONIC),
                clock_ns(ClockId::CLOCK_REALTIME),
            );
            let slack_ns = SERVES_NS / 2;
            assert!(mono_ns >= last_ns);
            assert!((before.0 - slack_ns..=after.0 + slack_ns).contains(&mono_ns));
            assert!((before.1 - slack_ns..=after.1 + slack_ns).contains(&unix_ns));
            last_ns = mono_ns;
            if after.0 - begin_ns > 5 * PACE_OVER_NS {
                break;
            }
        }
        assert_eq!(counted > 0, clock.counts, "{counted} looks by the counter");
    }

    #[test]
    fn a_pace_that_no_counter_has_is_not_gone_by() {
        assert_eq!(pace(1_000_000, 3_000_000), (1 << PACE_SHIFT) / 3);
        assert_eq!(pace(1_000_000, 0), 0);
        assert_eq!(pace(1_000_000, 1), 0);
        assert_eq!(pace(1, 1_000_000), 0);
    }
}
