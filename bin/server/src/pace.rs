//! How fast a child works that shares its parent's core. Where nothing presses, it leaves more than half of the core to clients. What
//! gathers while it works, in the stream for replicas and in the append-only file, makes it hurry: the later it ends, the more memory
//! and disk its lateness costs.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use nix::time::ClockId;

use crate::clock::clock_ns;
use crate::gathered::Gathered;

/// Nanoseconds that this process has run until it was last looked at, and has waited for a core (Linux, `sched-stats`).
const WAITS: &str = "/proc/self/schedstat";
/// A process that waits longer than this in the middle of a piece of work is not alone on its core.
const SHORT_WAIT: Duration = Duration::from_millis(1);
/// Then it rests between pieces of work for this long, and tries again whether it has to.
const STANDS_BACK: Duration = Duration::from_secs(1);
/// The share of the time that it works at least, per cent. Redis's child, which is its parent's equal, gets half of the core.
const CALM_SHARE: u64 = 40;
/// When this much has gathered it rests no more.
const PRESSING_BYTES: u64 = 32 * 1024 * 1024;
/// The longest rest between two pieces of work.
const LONGEST_REST: Duration = Duration::from_millis(20);

/// A sink that is written to piece by piece, with rests where others need the core.
pub(crate) struct Paced<W> {
    pub(crate) sink: W,
    /// None for a process that is in nobody's way, or cannot know.
    pace: Option<Pace>,
}

/// What is known of the pieces of work until now.
struct Pace {
    waits: File,
    gathered: Gathered,
    last: Times,
    looked: Instant,
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
    pub(crate) fn of_child(sink: W, gathered: &Gathered) -> Self {
        let pace = File::open(WAITS).ok().and_then(|waits| {
            let last = Times::read(&waits)?;
            Some(Pace {
                waits,
                gathered: gathered.clone(),
                last,
                looked: Instant::now(),
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
        let passed = self.looked.elapsed();
        self.looked = Instant::now();
        if now.waited_since(last) {
            self.stands_back_until = Some(self.looked + STANDS_BACK);
        }
        if self
            .stands_back_until
            .is_some_and(|until| self.looked < until)
        {
            let worked = now.ran.saturating_sub(last.ran);
            std::thread::sleep(rest(worked, passed, self.gathered.bytes()));
            // A rest is no part of the next piece of work.
            self.looked = Instant::now();
        }
    }
}

/// How long a child rests that has worked for so long since its last rest, in a time that has passed, while this much has gathered.
fn rest(worked: Duration, passed: Duration, gathered_bytes: u64) -> Duration {
    let pressing = gathered_bytes.min(PRESSING_BYTES) * (100 - CALM_SHARE) / PRESSING_BYTES;
    let share = u32::try_from(CALM_SHARE + pressing).unwrap_or(100);
    (worked * 100 / share)
        .saturating_sub(passed)
        .min(LONGEST_REST)
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
    fn what_has_gathered_makes_a_child_hurry() {
        let ms = Duration::from_millis;
        assert_eq!(rest(ms(4), ms(4), 0), ms(6));
        let some = rest(ms(4), ms(4), PRESSING_BYTES / 2);
        assert!(some > Duration::ZERO && some < ms(3), "{some:?}");
        assert_eq!(rest(ms(4), ms(4), PRESSING_BYTES), Duration::ZERO);
        assert_eq!(rest(ms(4), ms(4), u64::MAX), Duration::ZERO);
        // Waiting for the core is as good as a rest.
        assert_eq!(rest(ms(4), ms(10), 0), Duration::ZERO);
        assert_eq!(rest(ms(400), ms(400), 0), LONGEST_REST);
    }

    #[test]
    fn a_child_writes_everything() {
        let mut paced = Paced::of_child(Vec::new(), &Gathered::new());
        if let Some(pace) = &mut paced.pace {
            pace.stands_back_until = Some(Instant::now() + STANDS_BACK);
        }
        paced.write_all(b"one").unwrap();
        paced.write_all(b"two").unwrap();
        paced.flush().unwrap();
        assert_eq!(paced.sink, b"onetwo");
    }
}
