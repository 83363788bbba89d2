//! Memory that requests share on their way in: kept from one to the next so that none allocates.

use resp::{ArgsScratch, Batch, ProtocolError, Spare};
use store::{Db, Prefetched};

/// Scratch memory of the way in.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    pub(crate) requests: Requests,
    /// Keys of `foreseen_db` whose table positions were prefetched, but not yet their entries.
    pub(crate) foreseen: Vec<Prefetched>,
    pub(crate) foreseen_db: usize,
    pub(crate) args: ArgsScratch,
    /// While a request of the primary's stream runs: its bytes, and those that came with it and are still to be run.
    pub(crate) behind: usize,
    /// When the requests of the read that runs have taken long enough, nanoseconds of the shell's clock; none where all of them run.
    pub(crate) until_ns: Option<u64>,
    /// Memory for the replies of the next clients that are served.
    pub(crate) spare: Spare,
}

/// Places of keys that are remembered: more than three groups, a power of two.
pub(crate) const PLACES: usize = 32;

/// The requests of one read, and where their keys are. One may be used again and again.
#[derive(Debug, Default)]
pub struct Requests {
    pub(crate) batch: Batch,
    /// How many bytes were cut, or what is wrong with the next ones; none where the client has to wait and nothing was cut.
    pub(crate) cut: Option<Result<usize, ProtocolError>>,
    pub(crate) places: Places,
}

/// Of a request's key, at the request's number modulo [`PLACES`]; none where nothing was asked for.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) keys: [Option<Prefetched>; PLACES],
    /// Which word of each request is taken for its key.
    pub(crate) word: usize,
    pub(crate) db: usize,
    /// Requests whose table positions were asked for, and those whose entries were.
    pub(crate) positions: usize,
    pub(crate) entries: usize,
}

impl Requests {
    /// How many were cut off at once.
    #[must_use]
    pub fn count(&self) -> usize {
        self.batch.len()
    }
}

impl Places {
    /// Asks for the table positions of the keys of all requests before `until`.
    #[inline]
    pub(crate) fn ask_positions(&mut self, db: &Db, bytes: &[u8], batch: &Batch, until: usize) {
        let mut last: (&[u8], Option<Prefetched>) = (&[], None);
        for index in self.positions..batch.len().min(until) {
            let key = batch.arg(index, self.word, bytes).unwrap_or_default();
            // Many pipelines are for one key.
            if key.last() != last.0.last() || key != last.0 {
                let is_key = (1..=LONGEST_KEY).contains(&key.len());
                last = (key, is_key.then(|| db.prefetch(key)));
            }
            self.keys[index % PLACES] = last.1;
            self.positions = index + 1;
        }
    }

    /// Asks for the entries of all before `until` whose positions were asked for.
    #[inline]
    pub(crate) fn ask_entries(&mut self, db: &Db, until: usize) {
        let mut last = None;
        for index in self.entries..self.positions.min(until) {
            let place = self.keys[index % PLACES];
            if let Some(place) = place.filter(|_| place != last) {
                db.prefetch_entry(place);
            }
            last = place;
            self.entries = index + 1;
        }
    }
}

/// What is longer is hardly a key.
pub(crate) const LONGEST_KEY: usize = 256;
