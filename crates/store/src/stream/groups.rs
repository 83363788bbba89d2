//! Consumer groups: how far a group has read, who reads for it, and what was delivered but not acknowledged.

use std::collections::{BTreeMap, BTreeSet, btree_map, btree_set};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::StreamId;

/// A consumer of a group, by number: it stays the same as long as the consumer is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerId(u32);

/// A consumer group.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The last id that was delivered.
    pub last_id: StreamId,
    /// How many entries were delivered, or would have been by a group that read from the start; none where nobody knows.
    pub entries_read: Option<u64>,
    pending: BTreeMap<StreamId, Pending>,
    names: BTreeMap<Arc<[u8]>, ConsumerId>,
    /// By number.
    consumers: Vec<Option<Consumer>>,
}

/// An entry that was delivered and not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// When it was last delivered, Unix milliseconds.
    pub delivered_ms: u64,
    /// How often it was delivered.
    pub count: u64,
    /// To whom.
    pub consumer: ConsumerId,
}

/// One who reads for a group.
#[derive(Clone)]
pub struct Consumer {
    name: Arc<[u8]>,
    /// When it last asked for something, Unix milliseconds.
    pub seen_ms: u64,
    /// When it last got something, Unix milliseconds; none where it never did.
    pub active_ms: Option<u64>,
    pending: BTreeSet<StreamId>,
}

impl Group {
    /// A group that has read up to `last_id`.
    #[must_use]
    pub fn new(last_id: StreamId, entries_read: Option<u64>) -> Self {
        Self {
            last_id,
            entries_read,
            ..Self::default()
        }
    }

    // ---- consumers -----------------------------------------------------------------------------------------------

    /// The consumer of this name.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<ConsumerId> {
        self.names.get(name).copied()
    }

    /// The consumer of this name, made where there is none. `.1` says whether it was made.
    pub fn find_or_create(&mut self, name: &[u8], now_ms: u64) -> (ConsumerId, bool) {
        if let Some(known) = self.find(name) {
            return (known, false);
        }
        // Where all places are taken there is nothing to look for.
        let some_free = self.names.len() < self.consumers.len();
        let free = some_free.then(|| self.consumers.iter().position(Option::is_none));
        let free = free.flatten();
        let place = free.unwrap_or_else(|| {
            self.consumers.push(None);
            self.consumers.len() - 1
        });
        let id = ConsumerId(u32::try_from(place).expect("each consumer takes more than a byte"));
        let name: Arc<[u8]> = name.into();
        self.names.insert(name.clone(), id);
        self.consumers[place] = Some(Consumer {
            name,
            seen_ms: now_ms,
            active_ms: None,
            pending: BTreeSet::new(),
        });
        (id, true)
    }

    /// Takes a consumer out with all that it was delivered; the caller frees it.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<Consumer> {
        let id = self.names.remove(name)?;
        let consumer = self.consumers[id.0 as usize].take()?;
        for entry in &consumer.pending {
            self.pending.remove(entry);
        }
        Some(consumer)
    }

    /// A consumer.
    ///
    /// # Panics
    /// When it was removed: whoever keeps a number sees to that.
    #[must_use]
    pub fn consumer(&self, id: ConsumerId) -> &Consumer {
        self.consumers[id.0 as usize]
            .as_ref()
            .expect("a consumer that is there")
    }

    /// A consumer, to be changed.
    ///
    /// # Panics
    /// As [`Group::consumer`].
    #[must_use]
    pub fn consumer_mut(&mut self, id: ConsumerId) -> &mut Consumer {
        self.consumers[id.0 as usize]
            .as_mut()
            .expect("a consumer that is there")
    }

    /// All consumers in the order of their names.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = (ConsumerId, &Consumer)> {
        self.names.values().map(|id| (*id, self.consumer(*id)))
    }

    // ---- pending entries -----------------------------------------------------------------------------------------

    /// How many entries are pending.
    #[must_use]
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// What is known of a pending entry.
    #[must_use]
    pub fn pending(&self, id: StreamId) -> Option<Pending> {
        self.pending.get(&id).copied()
    }

    /// Pending entries between two ids, both included, in order.
    #[must_use]
    pub fn pending_range(&self, from: StreamId, to: StreamId) -> PendingRange<'_> {
        PendingRange(bounds(from, to).map(|range| self.pending.range(range)))
    }

    /// Makes an entry pending, or changes what is known of it: whose it is, when it was delivered and how often.
    ///
    /// # Panics
    /// As [`Group::consumer`].
    pub fn deliver(&mut self, id: StreamId, pending: Pending) {
        match self.pending.insert(id, pending) {
            Some(old) if old.consumer == pending.consumer => return,
            Some(old) => {
                self.consumer_mut(old.consumer).pending.remove(&id);
            }
            None => {}
        }
        self.consumer_mut(pending.consumer).pending.insert(id);
    }

    /// Ends that an entry is pending; what was known of it.
    pub fn acknowledge(&mut self, id: StreamId) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        self.consumer_mut(pending.consumer).pending.remove(&id);
        Some(pending)
    }

    /// Roughly the heap memory that it takes, bytes.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        // The nodes of these trees are half full at worst.
        let each = 2 * (2 * size_of::<StreamId>() + size_of::<Pending>());
        let consumers: usize = self
            .consumers()
            .map(|(_, consumer)| 2 * size_of::<Consumer>() + consumer.name.len())
            .sum();
        self.pending.len() * each + consumers
    }
}

impl Consumer {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// How many entries it was delivered and has not acknowledged.
    #[must_use]
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// The ids of its pending entries between two ids, both included, in order.
    #[must_use]
    pub fn pending_range(&self, from: StreamId, to: StreamId) -> PendingIds<'_> {
        PendingIds(bounds(from, to).map(|range| self.pending.range(range)))
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("name", &self.name.escape_ascii().to_string())
            .field("seen_ms", &self.seen_ms)
            .field("active_ms", &self.active_ms)
            .field("pending", &self.pending)
            .finish()
    }
}

/// The range between two ids, unless the first is the greater: trees refuse that.
fn bounds(from: StreamId, to: StreamId) -> Option<RangeInclusive<StreamId>> {
    (from <= to).then_some(from..=to)
}

/// Pending entries in order of their ids.
#[derive(Clone, Debug)]
pub struct PendingRange<'a>(Option<btree_map::Range<'a, StreamId, Pending>>);

impl Iterator for PendingRange<'_> {
    type Item = (StreamId, Pending);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.as_mut()?.next().map(|(id, pending)| (*id, *pending))
    }
}

impl DoubleEndedIterator for PendingRange<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let last = self.0.as_mut()?.next_back();
        last.map(|(id, pending)| (*id, *pending))
    }
}

/// The ids of a consumer's pending entries.
#[derive(Clone, Debug)]
pub struct PendingIds<'a>(Option<btree_set::Range<'a, StreamId>>);

impl Iterator for PendingIds<'_> {
    type Item = StreamId;

    fn next(&mut self) -> Option<StreamId> {
        self.0.as_mut()?.next().copied()
    }
}
