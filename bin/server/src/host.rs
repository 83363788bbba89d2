//! The machine, as the engine asks for it: clocks, memory, entropy, a thread that frees.

use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use engine::{Host, Now};

/// The real machine.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    start: Instant,
    reaper: Sender<Vec<Box<dyn Send>>>,
}

impl Machine {
    /// Starts the thread that frees big values.
    pub(crate) fn new() -> Self {
        let (reaper, garbage) = channel::<Vec<Box<dyn Send>>>();
        std::thread::spawn(move || garbage.into_iter().for_each(drop));
        Self {
            start: Instant::now(),
            reaper,
        }
    }

    /// The time now.
    pub(crate) fn now(&self) -> Now {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            mono_ms: millis(self.start.elapsed()),
            unix_us: u64::try_from(unix.as_micros()).unwrap_or(u64::MAX),
        }
    }

    /// Random numbers from the operating system.
    #[expect(clippy::unused_self, reason = "it is the machine's entropy")]
    pub(crate) fn entropy(&self) -> anyhow::Result<[u64; 4]> {
        use std::io::Read as _;
        let mut bytes = [0; 32];
        std::fs::File::open("/dev/urandom")
            .and_then(|mut file| file.read_exact(&mut bytes))
            .context("cannot read /dev/urandom")?;
        Ok(std::array::from_fn(|index| {
            bytes[index * 8..][..8]
                .iter()
                .fold(0, |word, byte| word << 8 | u64::from(*byte))
        }))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Host for Machine {
    fn mono_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn sleep(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn memory_used(&self) -> usize {
        let _ = tikv_jemalloc_ctl::epoch::advance();
        tikv_jemalloc_ctl::stats::allocated::read().unwrap_or(0)
    }

    fn free_later(&mut self, garbage: Vec<Box<dyn Send>>) {
        // The thread lives as long as the process; if it is gone, the values are freed here.
        let _ = self.reaper.send(garbage);
    }
}
