//! [`Tracker`]: the hashes of a database some of whose fields have an expiry, by the time of the first one.

use std::collections::BTreeSet;

use hash_slot::key_slot;

use crate::table;

/// Such hashes, by time.
#[derive(Debug)]
pub(crate) struct Tracker {
    /// Time (Unix milliseconds), hash of the key, its slot.
    hashes: BTreeSet<(u64, u64, u16)>,
    by_slot: bool,
}

impl Tracker {
    pub(crate) fn new(by_slot: bool) -> Self {
        Self {
            hashes: BTreeSet::new(),
            by_slot,
        }
    }

    /// A hash has another time, or none any more, or did not have one before.
    #[cold]
    pub(crate) fn moves(&mut self, key: &[u8], from: Option<u64>, to: Option<u64>) {
        let hash = table::hash(key);
        let slot = if self.by_slot { key_slot(key) } else { 0 };
        if let Some(from) = from {
            self.hashes.remove(&(from, hash, slot));
        }
        if let Some(to) = to {
            self.hashes.insert((to, hash, slot));
        }
    }

    /// The one with the earliest time, of those in slots that count: that time, the hash of its key, and its slot.
    pub(crate) fn first(&self, counts: impl Fn(u16) -> bool) -> Option<(u64, u64, u16)> {
        let mut hashes = self.hashes.iter();
        hashes.find(|(.., slot)| counts(*slot)).copied()
    }

    /// Drops one.
    pub(crate) fn drop(&mut self, hash: (u64, u64, u16)) {
        self.hashes.remove(&hash);
    }

    pub(crate) fn len(&self) -> usize {
        self.hashes.len()
    }

    pub(crate) fn clear(&mut self) {
        self.hashes.clear();
    }
}
