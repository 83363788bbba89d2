//! How far a move is, and how fast it may be: what is shown while slots move, and what holds movers back.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

/// Between two looks for the pause file.
const POLL: Duration = Duration::from_millis(200);
/// So much of a second's keys goes in one MIGRATE where there is a rate.
const PARTS_OF_A_SECOND: u32 = 20;

/// How much there is to move, and how much has moved.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// All slots of the move.
    pub slots: usize,
    /// Slots that are at their target.
    pub slots_moved: usize,
    /// All keys that were counted before it began.
    pub keys: u64,
    /// Keys that were sent.
    pub keys_moved: u64,
    /// What a key takes at its source, in bytes on average; 0 where that is unknown.
    pub bytes_per_key: u64,
}

impl Progress {
    /// One line: what is done, what is left, how fast it goes and how long it still takes.
    #[must_use]
    pub fn line(&self, elapsed: Duration) -> String {
        let left = self.keys.saturating_sub(self.keys_moved);
        let mut line = format!(
            "{} of {} slots, {} of {} keys moved; {left} keys",
            self.slots_moved,
            self.slots,
            self.keys_moved,
            self.keys.max(self.keys_moved)
        );
        if self.bytes_per_key > 0 {
            line += &format!(" (about {})", size(left.saturating_mul(self.bytes_per_key)));
        }
        line += " left";
        let millis = u64::try_from(elapsed.as_millis())
            .unwrap_or(u64::MAX)
            .max(1);
        let rate = self.keys_moved.saturating_mul(1000) / millis;
        if rate > 0 {
            line += &format!(", {rate} keys/s, {} to go", span(left.div_ceil(rate)));
        }
        line
    }

    /// What there is to say at the end.
    #[must_use]
    pub fn summary(&self, elapsed: Duration) -> String {
        let (slots, keys) = (self.slots_moved, self.keys_moved);
        format!(
            "{slots} slots with {keys} keys moved in {:.1} s",
            elapsed.as_secs_f64()
        )
    }
}

/// A number of bytes as people say it.
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")];
    for (unit, name) in UNITS {
        if bytes >= unit {
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            return format!("{}.{} {name}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} B")
}

fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// What all movers of one call have in common: a rate, and a way to pause.
#[derive(Debug, Default)]
pub struct Pace {
    rate: Option<u32>,
    pause_file: Option<PathBuf>,
    /// When the keys that were sent so far are paid for.
    paid: Mutex<Option<Instant>>,
}

impl Pace {
    /// At most `rate` keys a second, all movers together; nothing begins while `pause_file` exists.
    #[must_use]
    pub fn new(rate: Option<u32>, pause_file: Option<PathBuf>) -> Self {
        Self {
            rate: rate.filter(|rate| *rate > 0),
            pause_file,
            paid: Mutex::default(),
        }
    }

    /// Whether keys are counted.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.rate.is_some()
    }

    /// The most keys that one MIGRATE should take.
    #[must_use]
    pub fn most_keys(&self) -> usize {
        let part = self.rate.map(|rate| (rate / PARTS_OF_A_SECOND).max(1));
        part.and_then(|keys| usize::try_from(keys).ok())
            .unwrap_or(usize::MAX)
    }

    /// Waits as long as so many keys take at the rate.
    pub async fn spend(&self, keys: usize) {
        let Some(rate) = self.rate else { return };
        let keys = u32::try_from(keys).unwrap_or(u32::MAX);
        let cost = Duration::from_secs(keys.into()) / rate;
        let until = {
            let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let until = paid.map_or(now, |paid| paid.max(now)) + cost;
            *paid = Some(until);
            until
        };
        sleep_until(until).await;
    }

    /// Whether it was asked for a pause.
    #[must_use]
    pub fn paused(&self) -> bool {
        self.pause_file.as_ref().is_some_and(|file| file.exists())
    }

    /// Waits until the pause is over, or `stop` is set.
    pub async fn resume(&self, stop: &AtomicBool) {
        while self.paused() && !stop.load(Ordering::Relaxed) {
            sleep(POLL).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_rate_rest_and_time() {
        let progress = Progress {
            slots: 1000,
            slots_moved: 250,
            keys: 100_000,
            keys_moved: 20_000,
            bytes_per_key: 100,
        };
        assert_eq!(
            progress.line(Duration::from_secs(10)),
            "250 of 1000 slots, 20000 of 100000 keys moved; 80000 keys (about 7.6 MB) left, 2000 keys/s, 40 s to go"
        );
        assert_eq!(
            Progress::default().line(Duration::ZERO),
            "0 of 0 slots, 0 of 0 keys moved; 0 keys left"
        );
        assert_eq!(
            progress.summary(Duration::from_millis(2340)),
            "250 slots with 20000 keys moved in 2.3 s"
        );
    }

    #[test]
    fn sizes_and_times_are_said_as_people_do() {
        let sizes = [0, 1023, 1536, 5 << 20, u64::MAX].map(size);
        assert_eq!(
            sizes,
            ["0 B", "1023 B", "1.5 KB", "5.0 MB", "17179869183.9 GB"]
        );
        assert_eq!([5, 61, 7260].map(span), ["5 s", "1 min 1 s", "2 h 1 min"]);
    }

    #[tokio::test(start_paused = true)]
    async fn movers_share_the_rate() {
        let pace = Pace::new(Some(100), None);
        assert_eq!(pace.most_keys(), 5);
        let start = Instant::now();
        tokio::join!(pace.spend(50), pace.spend(50));
        pace.spend(100).await;
        assert_eq!(start.elapsed(), Duration::from_secs(2));
        // Time that nobody used is not saved up.
        sleep(Duration::from_secs(60)).await;
        let start = Instant::now();
        pace.spend(100).await;
        assert_eq!(start.elapsed(), Duration::from_secs(1));
        assert_eq!(Pace::default().most_keys(), usize::MAX);
    }

    #[tokio::test]
    async fn a_pause_ends_with_its_file_or_with_the_move() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pause");
        let pace = Pace::new(None, Some(file.clone()));
        let stop = AtomicBool::new(false);
        pace.resume(&stop).await;
        std::fs::write(&file, "").unwrap();
        assert!(pace.paused());
        let (waited, ()) = tokio::join!(
            tokio::time::timeout(Duration::from_secs(30), pace.resume(&stop)),
            async { std::fs::remove_file(&file).unwrap() }
        );
        waited.unwrap();
        std::fs::write(&file, "").unwrap();
        stop.store(true, Ordering::Relaxed);
        pace.resume(&stop).await;
    }
}
