//! The stream type: entries in the order of their ids, in compact nodes, and consumer groups.
//!
//! # Layout
//!
//! A [`Stream`] is eight bytes: a box. In it are the last node, to which entries are added (a short stream has no other), a tree of
//! the nodes before it by the id of the first entry that each was made with, and the groups. A node is one heap block with up to
//! `stream-node-max-entries` entries that mostly share their field names (`node.rs`); integers are stored as such (`item.rs`).
//! Removing an entry takes its bytes out of its node, so there are no marks of what was deleted, and nothing to tidy.
//!
//! # Using it
//!
//! - [`Stream::append`] adds an entry; [`Stream::range`] and [`Stream::range_back`] show entries between two ids, each with its
//!   [`StreamEntry::fields`]; [`Stream::delete`] and [`Stream::trim`] remove.
//! - A file that is read makes a stream by [`Stream::new`], [`Stream::append`] for each entry in order, and then
//!   [`Stream::set_last_id`], [`Stream::set_max_deleted_id`] and [`Stream::set_entries_added`], which `append` and `delete` have
//!   moved meanwhile. A group comes by [`Stream::create_group`]; then [`Group::find_or_create`] for each consumer, whose times are
//!   public, and [`Group::deliver`] for each pending entry. What is written reads [`Stream::groups`], [`Group::pending_range`],
//!   [`Group::consumers`] and [`Consumer::pending_range`]. A pending entry need not be in the stream any more.
//! - An empty stream is a value: its key stays.

mod groups;
mod id;
mod item;
mod node;
mod range;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use crate::Limits;
pub use groups::{Consumer, ConsumerId, Group, Pending, PendingIds, PendingRange};
pub use id::StreamId;
use node::Node;
pub use node::{StreamEntry, StreamFields};
pub use range::{StreamRange, StreamRangeBack};

/// Up to so many nodes are taken out of the tree one by one; more are cut off together.
const CUT_FROM: usize = 16;

/// A stream. Eight bytes.
#[derive(Clone, Default)]
#[repr(transparent)]
pub struct Stream(Box<Inner>);

#[derive(Clone, Default)]
struct Inner {
    /// Nodes that get no more entries.
    full: Nodes,
    /// The last node; there is one wherever there are entries.
    tail: Option<(StreamId, Node)>,
    len: u64,
    last_id: StreamId,
    max_deleted_id: StreamId,
    entries_added: u64,
    groups: BTreeMap<Box<[u8]>, Group>,
}

type Nodes = BTreeMap<StreamId, Node>;

/// Why an entry was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Its id is not greater than the last one.
    NotAbove,
    /// It has more bytes than a node holds.
    TooLarge,
}

/// What [`Stream::trim`] leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    /// Which entries stay.
    pub keep: Keep,
    /// Whether exactly those stay. Otherwise whole nodes go only.
    pub exact: bool,
    /// The most entries that go; 0 for no bound. Whole nodes are counted before they go.
    pub limit: u64,
}

/// The entries that stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// So many of the last ones.
    Last(u64),
    /// Those whose id is at least this.
    From(StreamId),
}

/// What [`Stream::trim`] did.
#[derive(Default)]
pub struct Trimmed {
    /// How many entries went.
    pub count: u64,
    /// What is to be freed, where that takes long: for [`crate::Db::free_later`].
    pub rest: Option<Box<dyn Send>>,
}

impl Stream {
    /// An empty stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    // ---- what it says of itself ----------------------------------------------------------------------------------

    /// How many entries.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.len
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The greatest id that was ever added, or was set.
    #[must_use]
    pub fn last_id(&self) -> StreamId {
        self.0.last_id
    }

    /// Sets [`Stream::last_id`]. It must not be below the last entry's.
    pub fn set_last_id(&mut self, id: StreamId) {
        self.0.last_id = id;
    }

    /// The greatest id that was ever deleted; [`StreamId::MIN`] where none was.
    #[must_use]
    pub fn max_deleted_id(&self) -> StreamId {
        self.0.max_deleted_id
    }

    /// Sets [`Stream::max_deleted_id`].
    pub fn set_max_deleted_id(&mut self, id: StreamId) {
        self.0.max_deleted_id = id;
    }

    /// How many entries were ever added.
    #[must_use]
    pub fn entries_added(&self) -> u64 {
        self.0.entries_added
    }

    /// Sets [`Stream::entries_added`].
    pub fn set_entries_added(&mut self, count: u64) {
        self.0.entries_added = count;
    }

    /// The first entry.
    #[must_use]
    pub fn first(&self) -> Option<StreamEntry<'_>> {
        let (base, node) = match self.0.full.first_key_value() {
            Some((base, node)) => (*base, node),
            None => self.tail()?,
        };
        node.first_entry(base)
    }

    /// The last entry.
    #[must_use]
    pub fn last(&self) -> Option<StreamEntry<'_>> {
        let (base, node) = self.tail()?;
        node.last_entry(base)
    }

    /// How many nodes there are.
    #[must_use]
    pub fn node_count(&self) -> usize {
        self.0.full.len() + usize::from(self.0.tail.is_some())
    }

    /// The ids that the nodes are kept by, in order.
    pub fn node_ids(&self) -> impl Iterator<Item = StreamId> {
        let last = self.tail().map(|(base, _)| base);
        self.0.full.keys().copied().chain(last)
    }

    fn tail(&self) -> Option<(StreamId, &Node)> {
        self.0.tail.as_ref().map(|(base, node)| (*base, node))
    }

    /// The heap memory that is known without a walk over the nodes, bytes: for these it is the mean of a few.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        const MEAN_OF: usize = 16;
        let (sum, seen) = (self.0.full.values())
            .chain(self.tail().map(|(_, node)| node))
            .take(MEAN_OF)
            .fold((0, 0), |(sum, n), node| (sum + node.heap_bytes(), n + 1));
        let nodes = sum * self.node_count() / usize::max(seen, 1);
        let tree = 2 * self.0.full.len() * (size_of::<StreamId>() + size_of::<Node>());
        let groups: usize = (self.0.groups.iter())
            .map(|(name, group)| name.len() + 2 * size_of::<Group>() + group.heap_bytes())
            .sum();
        size_of::<Inner>() + nodes + tree + groups
    }

    /// How many heap blocks must be freed with the stream, roughly: what says whether another thread should do it.
    #[must_use]
    pub fn free_effort(&self) -> usize {
        let groups = self.0.groups.values();
        let pending: usize = groups.map(|group| 1 + group.pending_len()).sum();
        self.node_count() + pending
    }

    // ---- entries -------------------------------------------------------------------------------------------------

    /// Adds an entry.
    ///
    /// # Errors
    /// [`Refused`], with nothing changed.
    pub fn append<'f>(
        &mut self,
        id: StreamId,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
        limits: &Limits,
    ) -> Result<(), Refused> {
        let inner = &mut *self.0;
        if id <= inner.last_id {
            return Err(Refused::NotAbove);
        }
        match &mut inner.tail {
            Some((base, node)) if node.accepts(node::plain_len(fields.clone()), limits) => {
                node.append(*base, id, fields);
            }
            _ => {
                let fresh = Node::of_first(id, fields).ok_or(Refused::TooLarge)?;
                if let Some((base, node)) = inner.tail.replace((id, fresh)) {
                    inner.full.insert(base, node);
                }
            }
        }
        inner.len += 1;
        inner.last_id = id;
        inner.entries_added = inner.entries_added.saturating_add(1);
        Ok(())
    }

    /// Whether there is an entry with this id.
    #[must_use]
    pub fn contains(&self, id: StreamId) -> bool {
        self.get(id).is_some()
    }

    /// The entry with this id.
    #[must_use]
    pub fn get(&self, id: StreamId) -> Option<StreamEntry<'_>> {
        self.range(id, id).next()
    }

    /// The entries between two ids, both included, first to last.
    #[must_use]
    pub fn range(&self, from: StreamId, to: StreamId) -> StreamRange<'_> {
        StreamRange::new(&self.0, from, to)
    }

    /// The entries between two ids, both included, last to first.
    #[must_use]
    pub fn range_back(&self, from: StreamId, to: StreamId) -> StreamRangeBack<'_> {
        StreamRangeBack::new(&self.0, from, to)
    }

    /// Removes an entry; whether it was there. [`Stream::max_deleted_id`] follows.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let inner = &mut *self.0;
        let removed = match &mut inner.tail {
            Some((base, node)) if *base <= id => {
                let removed = node.remove(*base, id);
                if node.len() == 0 {
                    inner.tail = inner.full.pop_last();
                }
                removed
            }
            _ => delete_from(&mut inner.full, id),
        };
        if removed {
            inner.len -= 1;
            inner.max_deleted_id = inner.max_deleted_id.max(id);
        }
        removed
    }

    /// Removes entries at the front. Whether a node goes is asked in order, and the first that does not ends it.
    pub fn trim(&mut self, trim: Trim) -> Trimmed {
        let inner = &mut *self.0;
        let (nodes, entries, ended) = inner.whole_nodes_to_go(trim);
        let mut trimmed = Trimmed {
            count: entries,
            rest: inner.cut(nodes),
        };
        inner.len -= entries;
        if trim.exact && !ended {
            trimmed.count += inner.trim_first(trim.keep);
        }
        trimmed
    }

    // ---- groups --------------------------------------------------------------------------------------------------

    /// All groups in the order of their names.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&[u8], &Group)> {
        self.0.groups.iter().map(|(name, group)| (&**name, group))
    }

    /// A group.
    #[must_use]
    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.0.groups.get(name)
    }

    /// A group, to be changed.
    #[must_use]
    pub fn group_mut(&mut self, name: &[u8]) -> Option<&mut Group> {
        self.0.groups.get_mut(name)
    }

    /// Adds a group; none where there is one of this name.
    pub fn create_group(&mut self, name: &[u8], group: Group) -> Option<&mut Group> {
        use std::collections::btree_map::Entry;
        match self.0.groups.entry(name.into()) {
            Entry::Occupied(_) => None,
            Entry::Vacant(vacant) => Some(vacant.insert(group)),
        }
    }

    /// Takes a group out; the caller frees it.
    pub fn remove_group(&mut self, name: &[u8]) -> Option<Group> {
        self.0.groups.remove(name)
    }

    /// Whether an entry between two ids, both included, may have been deleted.
    #[must_use]
    pub fn may_lack(&self, from: StreamId, to: StreamId) -> bool {
        let deleted = self.max_deleted_id();
        !self.is_empty() && deleted != StreamId::MIN && (from..=to).contains(&deleted)
    }

    /// How many entries were ever added up to this id, this one included; none where that cannot be known.
    #[must_use]
    pub fn added_up_to(&self, id: StreamId) -> Option<u64> {
        let added = self.entries_added();
        if added == 0 {
            return Some(0);
        }
        if self.is_empty() && id <= self.last_id() {
            return Some(added);
        }
        if id != StreamId::MIN && id < self.max_deleted_id() {
            return None;
        }
        if id >= self.last_id() {
            return (id == self.last_id()).then_some(added);
        }
        let first = self.first().map_or(StreamId::MIN, |entry| entry.id());
        if id > first || self.max_deleted_id() >= first {
            return None;
        }
        let before = added.saturating_sub(self.len());
        Some(before + u64::from(id == first))
    }

    /// How many entries a group has still to read; none where that cannot be known. It is negative where somebody told the group that it
    /// has read more than there ever was.
    #[must_use]
    pub fn lag(&self, group: &Group) -> Option<i64> {
        if self.entries_added() == 0 {
            return Some(0);
        }
        let read = match group.entries_read {
            Some(read) if !self.may_lack(group.last_id, StreamId::MAX) => Some(read),
            _ => self.added_up_to(group.last_id),
        };
        read.map(|read| self.entries_added().wrapping_sub(read).cast_signed())
    }
}

impl Inner {
    /// How many nodes at the front go whole, how many entries these have, and whether nothing else goes.
    fn whole_nodes_to_go(&self, trim: Trim) -> (usize, u64, bool) {
        let tail = self.tail.as_ref().map(|(base, node)| (base, node));
        let mut nodes = self.full.iter().chain(tail).peekable();
        let (mut count, mut entries) = (0, 0);
        while let Some((base, node)) = nodes.next() {
            let left = self.len - entries;
            if matches!(trim.keep, Keep::Last(most) if left <= most) {
                return (count, entries, true);
            }
            let live = node.len() as u64;
            if trim.limit > 0 && entries + live > trim.limit {
                return (count, entries, true);
            }
            let goes = match trim.keep {
                Keep::Last(most) => left - live >= most,
                Keep::From(id) => {
                    let next = nodes.peek().map(|(base, _)| **base);
                    let last = || node.last_entry(*base).map(|entry| entry.id());
                    next.is_some_and(|next| next <= id) || last().is_none_or(|last| last < id)
                }
            };
            if !goes {
                return (count, entries, false);
            }
            count += 1;
            entries += live;
        }
        (count, entries, true)
    }

    /// Takes so many nodes at the front out.
    fn cut(&mut self, nodes: usize) -> Option<Box<dyn Send>> {
        if nodes > self.full.len() {
            self.tail = None;
        }
        let nodes = nodes.min(self.full.len());
        if nodes < CUT_FROM {
            for _ in 0..nodes {
                self.full.pop_first();
            }
            return None;
        }
        let keep = match self.full.keys().nth(nodes).copied() {
            Some(first) => self.full.split_off(&first),
            None => Nodes::new(),
        };
        Some(Box::new(std::mem::replace(&mut self.full, keep)))
    }

    /// Removes entries from the first node, some of which stay; answers how many.
    fn trim_first(&mut self, keep: Keep) -> u64 {
        let tail = self.tail.as_mut().map(|(base, node)| (*base, node));
        let first = self.full.first_entry();
        let first = first.map(|first| (*first.key(), first.into_mut()));
        let Some((base, node)) = first.or(tail) else {
            return 0;
        };
        let mut more = match keep {
            Keep::Last(most) => self.len.saturating_sub(most),
            Keep::From(_) => 0,
        };
        let removed = node.remove_front(base, |id| match keep {
            Keep::Last(_) if more == 0 => false,
            Keep::Last(_) => {
                more -= 1;
                true
            }
            Keep::From(from) => id < from,
        });
        self.len -= removed as u64;
        removed as u64
    }
}

fn delete_from(nodes: &mut Nodes, id: StreamId) -> bool {
    let Some((base, node)) = nodes.range_mut(..=id).next_back() else {
        return false;
    };
    let base = *base;
    let removed = node.remove(base, id);
    if node.len() == 0 {
        nodes.remove(&base);
    }
    removed
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("len", &self.len())
            .field("last_id", &self.last_id())
            .field("max_deleted_id", &self.max_deleted_id())
            .field("entries_added", &self.entries_added())
            .field("groups", &self.0.groups)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Trimmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trimmed")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}
