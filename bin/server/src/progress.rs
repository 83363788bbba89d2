//! How a child that saves tells its parent how far it is: its keys after each, its own memory now and then.

use std::time::{Duration, Instant};

use nix::time::ClockId;

use crate::clock::clock_ns;
use crate::gathered::Gathered;

/// Between two looks at the child's own memory.
const PAUSE: Duration = Duration::from_secs(1);
/// A look takes at most this part of the time: the system walks over all pages for it.
const LOOKS_PART: u32 = 100;
/// Keys between two looks at the clock.
const KEYS: u64 = 64;

/// What one job of a child tells.
pub(crate) struct Teller<'a> {
    told: Option<&'a Gathered>,
    keys: u64,
    looked: Instant,
    pause: Duration,
}

impl<'a> Teller<'a> {
    /// Of a child; or of a server that saves by itself, which tells nobody.
    pub(crate) fn new(told: Option<&'a Gathered>) -> Self {
        Self {
            told,
            keys: 0,
            looked: Instant::now(),
            pause: PAUSE,
        }
    }

    /// One more key has been written.
    pub(crate) fn key(&mut self) {
        let Some(told) = self.told else {
            return;
        };
        self.keys += 1;
        told.set_keys(self.keys);
        if self.keys.is_multiple_of(KEYS) && self.looked.elapsed() >= self.pause {
            let begun = Instant::now();
            told.set_own(own_bytes(), clock_ns(ClockId::CLOCK_MONOTONIC));
            self.looked = Instant::now();
            self.pause = PAUSE.max((self.looked - begun) * LOOKS_PART);
        }
    }
}

/// Memory of this process that it shares with nobody (`Private_Dirty`); 0 where the kernel does not tell.
pub(crate) fn own_bytes() -> u64 {
    let Ok(text) = std::fs::read_to_string("/proc/self/smaps_rollup") else {
        return 0;
    };
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Private_Dirty:"));
    line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_at_once_and_memory_after_a_pause() {
        let gathered = Gathered::new();
        let mut progress = Teller::new(Some(&gathered));
        for _ in 0..KEYS {
            progress.key();
        }
        let now_ns = || clock_ns(ClockId::CLOCK_MONOTONIC);
        assert_eq!(gathered.progress(now_ns()).keys, KEYS);
        assert_eq!(gathered.progress(now_ns()).own_bytes, 0);
        progress.pause = Duration::ZERO;
        for _ in 0..KEYS {
            progress.key();
        }
        let told = gathered.progress(now_ns() + 3_000_000_000);
        assert_eq!(told.keys, 2 * KEYS);
        assert_eq!(told.own_bytes, told.most_own_bytes);
        assert!(told.told_s >= 3, "{told:?}");
        gathered.reset();
        assert_eq!(
            gathered.progress(now_ns()),
            engine::ChildProgress::default()
        );
        Teller::new(None).key();
    }
}
