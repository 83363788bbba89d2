//! How fast a child works that shares its parent's core. The scheduler alone would let it run for a whole tick, milliseconds in which
//! clients wait; so a child that has to wait for the core does little at a time, and sleeps in between.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use nix::time::ClockId;

use crate::clock::clock_ns;

/// Nanoseconds that this process has run until it was last looked at, and has waited for a core (Linux, `sched-stats`).
const WAITS: &str = "/proc/self/schedstat";
/// Who waits longer than this in the middle of a piece of work is not alone on its core.
const SHORT_WAIT: Duration = Duration::from_millis(1);
/// Then it stands back for so long, and tries again whether it has to.
const STANDS_BACK: Duration = Duration::from_secs(1);
/// Of this many parts of the time it works one meanwhile.
const PARTS: u32 = 10;
/// The longest sleep between two pieces of work.
const LONGEST_SLEEP: Duration = Duration::from_millis(20);

/// A sink that is written to piece by piece, with rests where others need the core.
pub(crate) struct Paced<W> {
    pub(crate) sink: W,
    /// None for who is in nobody's way, or cannot know.
    pace: Option<Pace>,
}

/// What is known of the pieces of work until now.
struct Pace {
    waits: File,
    last: Times,
    stands_back_until: Option<Instant>,
}

/// How long this process has run, and how long it has waited for a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    ran: Duration,
    waited: Duration,
}

impl<W> Paced<W> {
    /// Writes as fast as it can.
    pub(crate) fn free(sink: W) -> Self {
        Self { sink, pace: None }
    }

    /// Writes as a child does whose parent serves clients.
    pub(crate) fn of_child(sink: W) -> Self {
        let pace = File::open(WAITS).ok().and_then(|waits| {
            let last = Times::read(&waits)?;
            Some(Pace {
                waits,
                last,
                stands_back_until: None,
            })
        });
        Self { sink, pace }
    }
}

impl Pace {
    /// After a piece of work.
    fn rest(&mut self) {
        let Some(now) = Times::read(&self.waits) else {
            return;
        };
        let last = std::mem::replace(&mut self.last, now);
        if now.waited_since(last) {
            self.stands_back_until = Some(Instant::now() + STANDS_BACK);
        }
        if self
            .stands_back_until
            .is_some_and(|until| Instant::now() < until)
        {
            let worked = now.ran.saturating_sub(last.ran);
            std::thread::sleep((worked * (PARTS - 1)).min(LONGEST_SLEEP));
        }
    }
}

impl Times {
    fn read(waits: &File) -> Option<Self> {
        let mut text = [0; 64];
        let length = waits.read_at(&mut text, 0).ok()?;
        Some(Self {
            // The file shows this too, but only as of the scheduler's last look, which may be a whole tick ago.
            ran: Duration::from_nanos(clock_ns(ClockId::CLOCK_PROCESS_CPUTIME_ID)),
            waited: waited(text.get(..length)?)?,
        })
    }

    /// Whether somebody else had the core meanwhile.
    fn waited_since(self, last: Self) -> bool {
        self.waited.saturating_sub(last.waited) > SHORT_WAIT
    }
}

/// The second number.
fn waited(text: &[u8]) -> Option<Duration> {
    let number = str::from_utf8(text).ok()?.split_ascii_whitespace().nth(1)?;
    number.parse().ok().map(Duration::from_nanos)
}

impl<W: Write> Write for Paced<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes)?;
        if let Some(pace) = &mut self.pace {
            pace.rest();
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_read() {
        assert_eq!(
            waited(b"1500 2500000 17\n"),
            Some(Duration::from_micros(2500))
        );
        assert_eq!(waited(b"1500"), None);
        assert_eq!(waited(b"1500 b c"), None);
    }

    #[test]
    fn times_go_on_while_the_process_runs() {
        let Ok(waits) = File::open(WAITS) else {
            return;
        };
        let first = Times::read(&waits).unwrap();
        while Times::read(&waits).unwrap().ran < first.ran + Duration::from_millis(1) {}
        assert!(Times::read(&waits).unwrap().waited >= first.waited);
    }

    #[test]
    fn who_had_to_wait_stands_back() {
        let now = Times {
            ran: Duration::from_millis(5),
            waited: Duration::from_millis(5),
        };
        let alone = Times {
            waited: now.waited - SHORT_WAIT,
            ..now
        };
        assert!(!now.waited_since(alone));
        let crowded = Times {
            waited: Duration::ZERO,
            ..now
        };
        assert!(now.waited_since(crowded));
    }

    #[test]
    fn a_child_writes_everything() {
        let mut paced = Paced::of_child(Vec::new());
        if let Some(pace) = &mut paced.pace {
            pace.stands_back_until = Some(Instant::now() + STANDS_BACK);
        }
        paced.write_all(b"one").unwrap();
        paced.write_all(b"two").unwrap();
        paced.flush().unwrap();
        assert_eq!(paced.sink, b"onetwo");
    }
}
