//! Who answers a ping while a turn of the engine takes long (a script, KEYS, a large RESTORE): the thread of the sockets, with the
//! last pong that the engine has sent. Nothing that it says can have changed meanwhile, for only the engine changes it.
//!
//! A turn is long only as long as it computes. A thread that sleeps, or waits for a disk that does not answer, is not at work: then
//! the others are to notice, as they are where a computation never ends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::time::ClockId;

use crate::clock::clock_ns;

/// How long a ping waits before it is looked whether the engine is busy, and then again.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);
/// Who has used so much of a core since the ping came is at work.
const BUSY: Duration = Duration::from_millis(5);
/// A turn that serves nobody and takes longer than this never ends.
const LONGEST: Duration = Duration::from_secs(60);

/// Where the parts of a header are that say what this node is.
const VERSION: std::ops::Range<usize> = 8..10;
const KIND: std::ops::Range<usize> = 12..14;
const CONFIG_EPOCH: std::ops::Range<usize> = 24..32;
/// The id, the slots, and the master's id.
const CLAIMS: std::ops::Range<usize> = 40..2168;
const PONG: u16 = 1;

/// How far the engine's thread has come, for the other one to see.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    heard: AtomicU64,
    served: AtomicU64,
}

impl Progress {
    /// One more event was heard.
    pub(super) fn hear(&self) {
        self.heard.fetch_add(1, Ordering::Release);
    }

    /// Others were served in the middle of a turn.
    pub(super) fn serve(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the event of this number was heard; they are heard in order, counted from 1.
    pub(super) fn has_heard(&self, number: u64) -> bool {
        self.heard.load(Ordering::Acquire) >= number
    }

    fn signs(&self) -> u64 {
        self.heard
            .load(Ordering::Relaxed)
            .wrapping_add(self.served.load(Ordering::Relaxed))
    }
}

/// A ping that was handed on and is not answered yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ping {
    /// Of its event.
    pub(super) number: u64,
    /// How much the engine's thread had worked when it came.
    pub(super) worked: Duration,
    /// When it is looked at again.
    pub(super) look_at: Instant,
}

/// What becomes of a ping that has waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The engine has heard it: it is answered, or is not to be.
    Heard,
    /// It is answered in the engine's place.
    Answer,
    /// Nobody is at work.
    Wait,
}

/// What the thread of the sockets knows to say.
#[derive(Debug)]
pub(super) struct StandIn {
    /// What all packets said of this node since.
    claims: Vec<u8>,
    /// The last pong of each version that said so.
    pongs: [Option<Vec<u8>>; 2],
    signs: u64,
    seen: Instant,
}

impl StandIn {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            claims: Vec::new(),
            pongs: [None, None],
            signs: 0,
            seen: now,
        }
    }

    /// Takes note of a packet of the engine's; the version that the link speaks, and whether it is a pong.
    pub(super) fn note(&mut self, packet: &[u8]) -> Option<(usize, bool)> {
        let number = |at: std::ops::Range<usize>| {
            let bytes = packet.get(at)?;
            Some(u16::from_be_bytes(bytes.try_into().ok()?))
        };
        let (version, kind) = (usize::from(number(VERSION)?), number(KIND)?);
        // One without a header is shorter, or says something else here: its kind has a bit that no header's has.
        let (epoch, claims) = (packet.get(CONFIG_EPOCH)?, packet.get(CLAIMS)?);
        if kind & 0x8000 != 0 || version >= self.pongs.len() {
            return None;
        }
        let known = self.claims.strip_prefix(epoch);
        if known.is_none_or(|known| known != claims) {
            self.claims = [epoch, claims].concat();
            self.pongs = [None, None];
        }
        if kind == PONG {
            let pong = self.pongs[version].get_or_insert_default();
            pong.clear();
            pong.extend_from_slice(packet);
        }
        Some((version, kind == PONG))
    }

    /// What is to be said on a link of this version.
    pub(super) fn pong(&self, version: usize) -> Option<&[u8]> {
        self.pongs.get(version)?.as_deref()
    }

    /// Looks at a ping that has waited.
    pub(super) fn judge(
        &mut self,
        ping: Ping,
        progress: &Progress,
        worked: Duration,
        now: Instant,
    ) -> Verdict {
        if progress.has_heard(ping.number) {
            return Verdict::Heard;
        }
        let signs = progress.signs();
        if signs != self.signs {
            (self.signs, self.seen) = (signs, now);
        }
        let at_work = worked.saturating_sub(ping.worked) >= BUSY;
        if at_work && now.saturating_duration_since(self.seen) < LONGEST {
            Verdict::Answer
        } else {
            Verdict::Wait
        }
    }
}

/// How much of a core the engine's thread, the process's first, has used.
pub(super) fn engine_worked() -> Duration {
    /// A clock of one thread that counts what the scheduler gave it (Linux, `CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED`).
    const OF_THREAD: i32 = 6;
    let thread = i32::try_from(std::process::id()).unwrap_or(0);
    Duration::from_nanos(clock_ns(ClockId::from_raw(!thread << 3 | OF_THREAD)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(kind: u16, epoch: u8, slot: u8) -> Vec<u8> {
        let mut bytes = vec![0; 2256];
        bytes[9] = 1;
        bytes[KIND].copy_from_slice(&kind.to_be_bytes());
        bytes[31] = epoch;
        bytes[100] = slot;
        bytes
    }

    #[test]
    fn the_last_pong_is_said_again_until_what_it_says_changes() {
        let mut stand_in = StandIn::new(Instant::now());
        assert_eq!(stand_in.note(&packet(0, 1, 1)), Some((1, false)));
        assert_eq!(stand_in.pong(1), None);
        assert_eq!(stand_in.note(&packet(PONG, 1, 1)), Some((1, true)));
        assert_eq!(stand_in.pong(1), Some(&packet(PONG, 1, 1)[..]));
        assert_eq!(stand_in.pong(0), None, "another version");
        // Another ping that says the same, and a message without a header.
        stand_in.note(&packet(0, 1, 1));
        assert_eq!(stand_in.note(&packet(0x8004, 7, 7)), None);
        assert_eq!(stand_in.note(b"RCmb"), None);
        assert!(stand_in.pong(1).is_some());
        stand_in.note(&packet(0, 2, 1));
        assert_eq!(stand_in.pong(1), None, "of an older epoch");
        stand_in.note(&packet(PONG, 2, 1));
        stand_in.note(&packet(0, 2, 3));
        assert_eq!(stand_in.pong(1), None, "of other slots");
    }

    #[test]
    fn only_an_engine_that_is_at_work_is_stood_in_for() {
        let ms = Duration::from_millis;
        let (progress, start) = (Progress::default(), Instant::now());
        let mut stand_in = StandIn::new(start);
        let ping = Ping {
            number: 1,
            worked: ms(1000),
            look_at: start + PATIENCE,
        };
        let mut judge =
            |worked, after| stand_in.judge(ping, &progress, ms(worked), start + ms(after));
        assert_eq!(judge(1000, 100), Verdict::Wait, "it sleeps");
        assert_eq!(judge(1100, 200), Verdict::Answer);
        assert_eq!(judge(90_000, 61_000), Verdict::Wait, "it never ends");
        progress.serve();
        assert_eq!(judge(90_000, 62_000), Verdict::Answer, "a script goes on");
        progress.hear();
        assert_eq!(judge(90_000, 62_000), Verdict::Heard);
    }

    #[test]
    fn the_first_thread_is_the_one_that_is_watched() {
        // Tests run on others; it started them.
        let begun = engine_worked();
        assert!(begun > Duration::ZERO);
        assert!(engine_worked() >= begun);
    }
}
