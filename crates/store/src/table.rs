//! The hash table: owned heap blocks, kept in hash order in small segments.
//!
//! Every hash table here is this one: the keys of a database, the members of a set, the fields of a hash.
//!
//! # Layout
//!
//! A slot is one word: 48 bits of pointer, 16 bits of hash, and a mark (see [`Item::is_marked`]) in a bit that the pointer leaves
//! free. Slots lie in segments of up to about a thousand, sorted by hash (`segment.rs`). A small table is one segment, and the
//! table is then a bare reference to it; an empty one is nothing. A larger table has a directory of segments by the top bits of
//! the hash: a full segment is divided in two and, where its two halves need one more bit, the directory doubles. So whatever an
//! insertion has to do, it moves a thousand words, and now and then a directory of eight bytes per thousand items.
//!
//! # Cursors
//!
//! Items lie in hash order whatever the sizes of the segments, so a scan's cursor is a position in that order: the top 48 bits of
//! a hash. Items at one position are shown together. An item that is there during the whole scan is shown at least once.

#![expect(
    unsafe_code,
    reason = "items are owned through tagged pointers in slots of raw memory"
)]

mod directory;
mod iter;
mod place;
pub(crate) mod segment;
#[cfg(test)]
mod tests;
mod waiting;
mod word;

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::ControlFlow;
use std::ptr::NonNull;
use std::sync::OnceLock;

use siphasher::sip::SipHasher13;

use directory::Directory;
pub use iter::Iter;
pub(crate) use place::below;
use place::{end_of, nth_marked, one_of, prefix_of};
pub(crate) use segment::prefetch;
use segment::{Found, Segment};
pub(crate) use waiting::Waiting;
use word::Word;

static HASH_SEED: OnceLock<[u64; 2]> = OnceLock::new();

/// Sets the key of the hash function, once, before the first table is made. The daemons draw it from the operating system;
/// where it is never set (tests, simulator) it is zero and runs are repeatable. False where it was set before.
pub fn set_hash_seed(seed: [u64; 2]) -> bool {
    HASH_SEED.set(seed).is_ok()
}

/// Six characters that stand for the order in which tables keep their keys: cursors of tables mean the same where they are the same.
/// They are between `0` and `o` in ASCII, so no dash and no brace.
#[must_use]
pub fn order_mark() -> String {
    let hashed = hash(b"the order of keys");
    (0..6)
        .map(|at| char::from(b'0' + u8::try_from(hashed >> (6 * at) & 0x3f).unwrap_or(0)))
        .collect()
}

/// The hash of a key: SipHash-1-3 under the process's seed.
#[must_use]
#[inline]
pub fn hash(bytes: &[u8]) -> u64 {
    let [k0, k1] = HASH_SEED.get().copied().unwrap_or_default();
    SipHasher13::new_with_keys(k0, k1).hash(bytes)
}

/// A block on the heap that a table can own: the key and whatever belongs to it.
///
/// # Safety
/// - The pointer that `into_raw` gives is aligned to eight bytes and stays valid, at the same address, until `from_raw`.
/// - `from_raw` makes the item again that `into_raw` gave up.
/// - `key`, `view` and `is_marked` read only the item at the pointer, and `key` always gives the same bytes for it.
pub unsafe trait Item: Send {
    /// The item, seen while the table is borrowed.
    type View<'a>
    where
        Self: 'a;

    /// Gives up the item for a pointer to its block.
    fn into_raw(self) -> NonNull<u8>;

    /// Takes the item over from [`Item::into_raw`].
    ///
    /// # Safety
    /// The pointer came from `into_raw`, and nobody else uses it from now on.
    unsafe fn from_raw(raw: NonNull<u8>) -> Self;

    /// The key in the item.
    ///
    /// # Safety
    /// The pointer came from `into_raw`; the item is neither changed nor freed during `'a`.
    unsafe fn key<'a>(raw: NonNull<u8>) -> &'a [u8];

    /// The item, seen.
    ///
    /// # Safety
    /// As for [`Item::key`].
    unsafe fn view<'a>(raw: NonNull<u8>) -> Self::View<'a>
    where
        Self: 'a;

    /// Whether the item is one of those that [`Table::drain_marked`] and [`Table::random_marked`] look for. The table asks when an item
    /// comes or is replaced.
    ///
    /// # Safety
    /// As for [`Item::key`].
    unsafe fn is_marked(raw: NonNull<u8>) -> bool {
        let _ = raw;
        false
    }
}

/// A hash table of items with distinct keys. Eight bytes; an empty one owns no memory.
///
/// Hashes are given by the caller, so that a key is hashed once: they must be those of [`hash`].
pub struct Table<I: Item> {
    /// Null; or the only segment (depth 0); or, under [`DIRECTORY`], a boxed [`Directory`].
    root: Word,
    items: PhantomData<I>,
}

/// Segments, or tables, that stand for all of them in an estimate.
pub(crate) const SAMPLED: usize = 512;

/// What all take, where so many `items` take these `bytes`.
pub(crate) fn scaled(bytes: usize, items: usize, all: usize) -> usize {
    if items == 0 || items >= all {
        return bytes;
    }
    let scaled = bytes as u128 * all as u128 / items as u128;
    usize::try_from(scaled).unwrap_or(usize::MAX)
}

/// The top bits of a root that is a directory: a depth that no segment has.
const DIRECTORY: u16 = 63;

// SAFETY: a table owns its items and its memory; items are `Send`.
unsafe impl<I: Item> Send for Table<I> {}
// SAFETY: what is shared is reached through `&self` methods only, and these do not change anything.
unsafe impl<I: Item + Sync> Sync for Table<I> {}

/// What a search found: the item, or the place where it would go.
pub enum Entry<'a, I: Item> {
    /// The item is there.
    Occupied(Occupied<'a, I>),
    /// It is not.
    Vacant(Vacant<'a, I>),
}

/// An item in its slot.
pub struct Occupied<'a, I: Item> {
    table: &'a mut Table<I>,
    hash: u64,
    segment: Segment,
    index: usize,
}

/// The place where an item would go.
pub struct Vacant<'a, I: Item> {
    table: &'a mut Table<I>,
    hash: u64,
    index: usize,
}

impl<I: Item> Table<I> {
    /// An empty table.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            root: Word::NULL,
            items: PhantomData,
        }
    }

    /// A table of the same shape, in which `copy` has made another item of each, with the same key.
    pub(crate) fn duplicate(&self, mut copy: impl FnMut(I::View<'_>) -> I) -> Self {
        let mut twin = |segment: Segment| {
            segment.duplicate(|raw| {
                // SAFETY: the slot's pointer came from `into_raw`; the table is borrowed during the call.
                copy(unsafe { I::view(raw) }).into_raw()
            })
        };
        let root = match self.root() {
            Root::Empty => Word::NULL,
            Root::One(segment) => twin(segment).word(),
            Root::Many(directory) => {
                let directory = Box::new(directory.duplicate(twin));
                Word::new(Box::into_raw(directory).cast(), DIRECTORY)
            }
        };
        Self {
            root,
            items: PhantomData,
        }
    }

    /// How many items.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        match self.root() {
            Root::Empty => 0,
            Root::One(segment) => segment.len(),
            Root::Many(directory) => directory.len,
        }
    }

    /// Whether there is no item.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many items are marked.
    #[must_use]
    pub fn marked_len(&self) -> usize {
        match self.root() {
            Root::Empty => 0,
            Root::One(segment) => segment.marked(),
            Root::Many(directory) => directory.marked,
        }
    }

    /// The item with this key.
    #[must_use]
    #[inline]
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<I::View<'_>> {
        let segment = self.segment(hash)?;
        match Self::search(segment, hash, key) {
            // SAFETY: a slot's pointer came from `into_raw`; the table is borrowed as long as the view.
            Found::At(index) => segment
                .at(index)
                .non_null()
                .map(|raw| unsafe { I::view(raw) }),
            Found::Before(_) => None,
        }
    }

    /// Shows the items of this table whose keys the other one has too, in hash order, until `found` breaks it off. No key is hashed: items lie in
    /// the same order in both. `None`, and nothing is shown, where either table has several segments.
    pub(crate) fn meet<'a>(
        &'a self,
        other: &Self,
        mut found: impl FnMut(I::View<'a>) -> ControlFlow<()>,
    ) -> Option<ControlFlow<()>> {
        let (Root::One(ours), Root::One(theirs)) = (self.root(), other.root()) else {
            return None;
        };
        let (slots, others) = (ours.slots(), theirs.slots());
        // Where those of the other's items begin that do not come before ours.
        let mut from = 0;
        for index in 0..slots {
            let word = ours.at(index);
            let Some(raw) = word.non_null() else {
                continue;
            };
            let tag = word.top();
            while from < others && (theirs.at(from).is_vacant() || theirs.at(from).top() < tag) {
                from += 1;
            }
            let mut at = from;
            while at < others {
                let other = theirs.at(at);
                at += 1;
                let Some(raw_too) = other.non_null() else {
                    continue;
                };
                if other.top() != tag {
                    break;
                }
                // SAFETY: a slot's pointer came from `into_raw`; both tables are borrowed meanwhile.
                if unsafe { I::key(raw) == I::key(raw_too) } {
                    // SAFETY: as above; the table is borrowed for `'a`.
                    let shown = found(unsafe { I::view(raw) });
                    if shown.is_break() {
                        return Some(shown);
                    }
                    break;
                }
            }
        }
        Some(ControlFlow::Continue(()))
    }

    /// The item with this key, to be changed, replaced or removed.
    #[must_use]
    #[inline]
    pub fn find_mut(&mut self, hash: u64, key: &[u8]) -> Option<Occupied<'_, I>> {
        match self.entry(hash, key) {
            Entry::Occupied(occupied) => Some(occupied),
            Entry::Vacant(_) => None,
        }
    }

    /// The item with this key or the place for it, by one search.
    #[must_use]
    #[inline]
    pub fn entry(&mut self, hash: u64, key: &[u8]) -> Entry<'_, I> {
        let Some(segment) = self.segment(hash) else {
            return Entry::Vacant(Vacant {
                table: self,
                hash,
                index: 0,
            });
        };
        match Self::search(segment, hash, key) {
            Found::At(index) => Entry::Occupied(Occupied {
                table: self,
                hash,
                segment,
                index,
            }),
            Found::Before(index) => Entry::Vacant(Vacant {
                table: self,
                hash,
                index,
            }),
        }
    }

    /// Adds an item whose key is not there; `hash` is its key's.
    pub fn insert(&mut self, hash: u64, item: I) {
        let index = match self.segment(hash) {
            None => 0,
            Some(segment) => match segment.find(segment.tag(hash), |_| false) {
                Found::At(index) | Found::Before(index) => index,
            },
        };
        self.insert_at(hash, index, item);
    }

    /// Removes the item with this key.
    pub fn remove(&mut self, hash: u64, key: &[u8]) -> Option<I> {
        self.find_mut(hash, key).map(Occupied::remove)
    }

    /// The items in hash order.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, I> {
        Iter::new(self)
    }

    /// Shows about `count` items from `cursor` (0: the start) and answers the next cursor, 0 at the end. More than `count` are shown
    /// only where several lie at one position.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(I::View<'_>)) -> u64 {
        let mut left = count.max(1);
        let Some(mut position) = position_of(cursor) else {
            return 0;
        };
        loop {
            let Some((segment, prefix)) = self.segment_at(position) else {
                return 0;
            };
            let mut last = None;
            for index in segment.lower_bound(segment.tag(position))..segment.slots() {
                let word = segment.at(index);
                let Some(item) = word.non_null() else {
                    continue;
                };
                if left == 0 && last != Some(word.top()) {
                    return cursor_of(segment.hash_floor(prefix, word.top()));
                }
                last = Some(word.top());
                left = left.saturating_sub(1);
                // SAFETY: the slot's pointer came from `into_raw`; the table is borrowed during the call.
                visit(unsafe { I::view(item) });
            }
            match end_of(prefix, segment.depth()) {
                None => return 0,
                Some(next) if left == 0 => return cursor_of(next),
                Some(next) => position = next,
            }
        }
    }

    /// Shows the items from one cursor up to another one, the end where that is 0: what a scan of another table has stepped over.
    pub(crate) fn scan_until(&self, cursor: u64, until: u64, mut visit: impl FnMut(I::View<'_>)) {
        let end = position_of(until).filter(|end| *end > 0);
        let mut position = position_of(cursor);
        while let Some((segment, prefix)) = position.and_then(|at| self.segment_at(at)) {
            let tag_of = |at: u64| segment.tag(at);
            let last = end.filter(|end| prefix_of(*end, segment.depth()) == prefix);
            for index in segment.lower_bound(position.map_or(0, tag_of))..segment.slots() {
                let word = segment.at(index);
                let Some(item) = word.non_null() else {
                    continue;
                };
                if last.is_some_and(|last| word.top() >= tag_of(last)) {
                    return;
                }
                // SAFETY: the slot's pointer came from `into_raw`; the table is borrowed during the call.
                visit(unsafe { I::view(item) });
            }
            position = end_of(prefix, segment.depth());
            if last.is_some() || end.is_some_and(|end| position.is_some_and(|at| at >= end)) {
                return;
            }
        }
    }

    /// Shows the items whose hash has this top half.
    pub(crate) fn visit_top(&self, top: u32, mut visit: impl FnMut(I::View<'_>)) {
        let first = u64::from(top) << 32;
        let last = first | u64::from(u32::MAX);
        let mut position = Some(first);
        while let Some((segment, prefix)) = position.and_then(|at| self.segment_at(at)) {
            let ends_here = prefix_of(last, segment.depth()) == prefix;
            let from = segment.lower_bound(position.map_or(0, |at| segment.tag(at)));
            for index in from..segment.slots() {
                let word = segment.at(index);
                let Some(item) = word.non_null() else {
                    continue;
                };
                if ends_here && word.top() > segment.tag(last) {
                    return;
                }
                // SAFETY: the slot's pointer came from `into_raw`; the table is borrowed during the call.
                if unsafe { hash(I::key(item)) } >> 32 == u64::from(top) {
                    // SAFETY: as above.
                    visit(unsafe { I::view(item) });
                }
            }
            if ends_here {
                return;
            }
            position = end_of(prefix, segment.depth());
        }
    }

    /// An item chosen evenly; `random` gives uniform 64-bit numbers.
    pub fn random(&self, random: &mut dyn FnMut() -> u64) -> Option<I::View<'_>> {
        let (segment, index) = match self.root() {
            Root::Empty => None,
            Root::One(segment) => one_of(segment, random),
            Root::Many(directory) => directory.random(random),
        }?;
        // SAFETY: the slot's pointer came from `into_raw`; the table is borrowed as long as the view.
        segment
            .at(index)
            .non_null()
            .map(|raw| unsafe { I::view(raw) })
    }

    /// Shows up to `count` distinct items, those with a mark only where `marked`, and answers how many. They lie side by side in hash
    /// order from an item chosen evenly, all in one segment; each item has the same chance.
    pub fn sample(
        &self,
        count: usize,
        marked: bool,
        random: &mut dyn FnMut() -> u64,
        mut visit: impl FnMut(I::View<'_>),
    ) -> usize {
        if marked && self.marked_len() == 0 {
            return 0;
        }
        let start = match (self.root(), marked) {
            (Root::Empty, _) => None,
            (Root::One(segment), false) => one_of(segment, random),
            (Root::Many(directory), false) => directory.random(random),
            (Root::One(segment), true) => nth_marked(segment, below(random(), segment.marked())),
            (Root::Many(directory), true) => {
                directory.nth_marked(below(random(), directory.marked))
            }
        };
        let Some((segment, index)) = start else {
            return 0;
        };
        // From the end of the segment it goes on at its start, so no item is at a disadvantage.
        let around = (index..segment.slots()).chain(0..index);
        let words = around.map(|index| segment.at(index));
        let mut shown = 0;
        for word in words
            .filter(|word| !marked || word.is_marked())
            .filter_map(Word::non_null)
            .take(count)
        {
            // SAFETY: the slot's pointer came from `into_raw`; the table is borrowed during the call.
            visit(unsafe { I::view(word) });
            shown += 1;
        }
        shown
    }

    /// A marked item chosen evenly.
    pub fn random_marked(&self, random: &mut dyn FnMut() -> u64) -> Option<I::View<'_>> {
        let total = self.marked_len();
        if total == 0 {
            return None;
        }
        let rank = below(random(), total);
        let (segment, index) = match self.root() {
            Root::Empty => None,
            Root::One(segment) => nth_marked(segment, rank),
            Root::Many(directory) => directory.nth_marked(rank),
        }?;
        // SAFETY: as in `random`.
        segment
            .at(index)
            .non_null()
            .map(|raw| unsafe { I::view(raw) })
    }

    /// Walks over about `budget` slots from `cursor` and removes the marked items for which `gone` holds; `taken` gets them. Answers
    /// the next cursor, 0 at the end. Items without a mark are not touched, and segments without one cost a single step.
    pub fn drain_marked(
        &mut self,
        cursor: u64,
        budget: &mut usize,
        mut gone: impl FnMut(I::View<'_>) -> bool,
        mut taken: impl FnMut(I),
    ) -> u64 {
        let Some(mut position) = position_of(cursor) else {
            return 0;
        };
        loop {
            let Some((segment, prefix)) = self.segment_at(position) else {
                return 0;
            };
            let next = self.drain_segment(segment, position, prefix, budget, &mut gone, &mut taken);
            self.tidy(position);
            match next {
                None => return 0,
                Some(next) if *budget == 0 => return cursor_of(next),
                Some(next) => position = next,
            }
        }
    }

    /// Removes the items for which `goes` holds, in one walk; `taken` gets them.
    pub(crate) fn take_where(
        &mut self,
        mut goes: impl FnMut(I::View<'_>) -> bool,
        mut taken: impl FnMut(I),
    ) {
        let mut position = Some(0);
        while let Some((at, (segment, prefix))) =
            position.and_then(|at| Some((at, self.segment_at(at)?)))
        {
            position = end_of(prefix, segment.depth());
            let gone = segment.take_where(|item| {
                // SAFETY: the slot's pointer came from `into_raw`; nothing changes it during the call.
                goes(unsafe { I::view(item) })
            });
            if let Some(directory) = self.directory_mut() {
                directory.len -= gone.len();
                for word in gone.iter().filter(|word| word.is_marked()) {
                    directory.count_mark(segment.hash_floor(prefix, word.top()), false);
                }
            }
            for raw in gone.into_iter().filter_map(Word::non_null) {
                // SAFETY: the slot's pointer came from `into_raw`, and the slot is empty now.
                taken(unsafe { I::from_raw(raw) });
            }
            self.tidy(at);
        }
    }

    fn drain_segment(
        &mut self,
        segment: Segment,
        position: u64,
        prefix: u64,
        budget: &mut usize,
        gone: &mut impl FnMut(I::View<'_>) -> bool,
        taken: &mut impl FnMut(I),
    ) -> Option<u64> {
        let end = end_of(prefix, segment.depth());
        if segment.marked() == 0 {
            *budget = budget.saturating_sub(1);
            return end;
        }
        let mut index = segment.lower_bound(segment.tag(position));
        let mut last = None;
        while index < segment.slots() && segment.marked() > 0 {
            let word = segment.at(index);
            let tag = Some(word.top());
            if *budget == 0 && !word.is_vacant() && last != tag {
                return Some(segment.hash_floor(prefix, word.top()));
            }
            *budget = budget.saturating_sub(1);
            index += 1;
            let Some(item) = word.non_null() else {
                continue;
            };
            last = tag;
            // SAFETY: the slot's pointer came from `into_raw`; nothing changes it during the call.
            if word.is_marked() && gone(unsafe { I::view(item) }) {
                index -= 1;
                taken(self.take(segment, index, segment.hash_floor(prefix, word.top())));
            }
        }
        end
    }

    /// Brings the slot line of a key with this hash to the cache.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        if let Some(segment) = self.segment(hash) {
            segment.prefetch(segment.tag(hash));
        }
    }

    /// Brings the block that the item of this hash would have to the cache: to be called when [`Table::prefetch`] has had its effect.
    #[inline]
    pub fn prefetch_item(&self, hash: u64) {
        if let Some(segment) = self.segment(hash) {
            // The first item with this tag is almost always the one that is meant; its key is not looked at.
            let found = segment.find(segment.tag(hash), |_| true);
            if let Found::At(index) = found {
                let block = segment.at(index).pointer();
                segment::prefetch(block);
                segment::prefetch(block.wrapping_add(48));
            }
        }
    }

    /// Bytes of heap memory that slots and directory take, items not included.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let own = match self.root() {
            Root::Many(directory) => directory.memory_bytes(),
            Root::Empty | Root::One(_) => 0,
        };
        own + self
            .segments()
            .map(|(segment, _)| segment.bytes())
            .sum::<usize>()
    }

    /// The same, of a large table estimated from a part of it: hashes spread items evenly. It takes microseconds, however many items there
    /// are.
    #[must_use]
    pub fn memory_estimate(&self) -> usize {
        let Root::Many(directory) = self.root() else {
            return self.memory_bytes();
        };
        let (mut bytes, mut items) = (0, 0);
        for (segment, _) in self.segments().take(SAMPLED) {
            bytes += segment.bytes();
            items += segment.len();
        }
        directory.memory_bytes() + scaled(bytes, items, self.len())
    }

    // ---- inside ------------------------------------------------------------------------------------------------------

    #[inline]
    fn root(&self) -> Root<'_> {
        if self.root.is_vacant() {
            Root::Empty
        } else if self.root.top() == DIRECTORY {
            // SAFETY: under this mark the pointer is that of a boxed directory that the table owns.
            Root::Many(unsafe { &*self.root.pointer().cast::<Directory>() })
        } else {
            Root::One(Segment::of(self.root))
        }
    }

    #[inline]
    fn directory_mut(&mut self) -> Option<&mut Directory> {
        if self.root.top() != DIRECTORY || self.root.is_vacant() {
            return None;
        }
        // SAFETY: as in `root`, and the table is borrowed mutably.
        Some(unsafe { &mut *self.root.pointer().cast::<Directory>() })
    }

    /// The segment for a hash.
    #[inline]
    fn segment(&self, hash: u64) -> Option<Segment> {
        match self.root() {
            Root::Empty => None,
            Root::One(segment) => Some(segment),
            Root::Many(directory) => Some(directory.segment(hash)),
        }
    }

    /// The segment for a hash, and the number that its items' shared top bits make.
    #[inline]
    fn segment_at(&self, hash: u64) -> Option<(Segment, u64)> {
        let segment = self.segment(hash)?;
        Some((segment, prefix_of(hash, segment.depth())))
    }

    /// All segments with their prefixes, in hash order.
    fn segments(&self) -> impl Iterator<Item = (Segment, u64)> {
        let mut position = Some(0);
        std::iter::from_fn(move || {
            let (segment, prefix) = self.segment_at(position?)?;
            position = end_of(prefix, segment.depth());
            Some((segment, prefix))
        })
    }

    #[inline]
    fn search(segment: Segment, hash: u64, key: &[u8]) -> Found {
        // SAFETY: a slot's pointer came from `into_raw`; the key is not kept.
        segment.find(segment.tag(hash), |raw| unsafe { I::key(raw) } == key)
    }

    /// Puts an item where a search said that it goes.
    fn insert_at(&mut self, hash: u64, index: usize, item: I) -> (Segment, usize) {
        let raw = item.into_raw();
        // SAFETY: the pointer was made just now.
        let mark = unsafe { I::is_marked(raw) };
        let place = match self.segment(hash) {
            None => {
                let word = Word::new(raw.as_ptr(), tag_of_small(hash)).with_mark(mark);
                let segment = Segment::build(&[word], 0, 0);
                self.root = segment.word();
                (segment, 0)
            }
            Some(segment) => {
                let word = Word::new(raw.as_ptr(), segment.tag(hash)).with_mark(mark);
                if segment.insert(index, word) {
                    (segment, index)
                } else {
                    self.insert_growing(hash, word)
                }
            }
        };
        if let Some(directory) = self.directory_mut() {
            directory.len += 1;
            if mark {
                directory.count_mark(hash, true);
            }
        }
        place
    }

    /// Inserts where the segment must be rebuilt or divided first.
    #[cold]
    fn insert_growing(&mut self, hash: u64, word: Word) -> (Segment, usize) {
        loop {
            let Some((segment, prefix)) = self.segment_at(hash) else {
                unreachable!("a segment that grows is there");
            };
            if !(segment.is_full() && self.may_divide(segment)) {
                let (grown, index) = segment.rebuilt_with(word.with_top(segment.tag(hash)));
                self.set_segment(prefix, grown);
                return (grown, index);
            }
            let halves = segment.split(|raw| {
                // SAFETY: a slot's pointer came from `into_raw`; the key is not kept.
                crate::table::hash(unsafe { I::key(raw) })
            });
            self.divide(prefix, halves);
            let segment = if prefix_of(hash, halves.0.depth()).is_multiple_of(2) {
                halves.0
            } else {
                halves.1
            };
            let word = word.with_top(segment.tag(hash));
            let (Found::At(index) | Found::Before(index)) = segment.find(word.top(), |_| false);
            if segment.insert(index, word) {
                return (segment, index);
            }
        }
    }

    /// Whether a full segment may be divided. Hashes that are all alike would make the directory huge: then the segment grows on.
    fn may_divide(&self, segment: Segment) -> bool {
        match self.root() {
            Root::Many(directory) => directory.may_divide(segment),
            Root::Empty | Root::One(_) => true,
        }
    }

    /// Puts a rebuilt segment in the place of the old one.
    fn set_segment(&mut self, prefix: u64, segment: Segment) {
        match self.directory_mut() {
            Some(directory) => directory.set(prefix, segment),
            None => self.root = segment.word(),
        }
    }

    /// Puts two halves in the place of a segment.
    fn divide(&mut self, prefix: u64, halves: (Segment, Segment)) {
        match self.directory_mut() {
            Some(directory) => directory.divide(prefix, halves),
            None => {
                let directory = Box::new(Directory::new(halves));
                self.root = Word::new(Box::into_raw(directory).cast(), DIRECTORY);
            }
        }
    }

    /// Takes the item at a slot out and leaves the segment as it is.
    fn take(&mut self, segment: Segment, index: usize, hash: u64) -> I {
        let word = segment.remove(index);
        if let Some(directory) = self.directory_mut() {
            directory.len -= 1;
            if word.is_marked() {
                directory.count_mark(hash, false);
            }
        }
        let Some(raw) = word.non_null() else {
            unreachable!("the slot of an item that is removed");
        };
        // SAFETY: the slot's pointer came from `into_raw`, and the slot is gone.
        unsafe { I::from_raw(raw) }
    }

    /// Gives memory back after items were removed from the segment of this hash.
    fn tidy(&mut self, hash: u64) {
        let Some((segment, prefix)) = self.segment_at(hash) else {
            return;
        };
        if segment.depth() == 0 && segment.len() == 0 {
            segment.free();
            self.root = Word::NULL;
        } else if segment.is_sparse() {
            self.shrink(segment, prefix);
        }
    }

    #[cold]
    fn shrink(&mut self, segment: Segment, prefix: u64) {
        match self.directory_mut() {
            None => self.root = segment.shrunk().word(),
            Some(directory) => {
                if let Some(only) = directory.shrink(segment, prefix) {
                    let directory = self.root.pointer().cast::<Directory>();
                    // SAFETY: the pointer came from `Box::into_raw`; the root is replaced at once.
                    drop(unsafe { Box::from_raw(directory) });
                    self.root = only.word();
                }
            }
        }
    }
}

impl<I: Item> Default for Table<I> {
    fn default() -> Self {
        Self::new()
    }
}

impl<I: Item> std::fmt::Debug for Table<I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl<'a, I: Item> IntoIterator for &'a Table<I> {
    type Item = I::View<'a>;
    type IntoIter = Iter<'a, I>;

    fn into_iter(self) -> Iter<'a, I> {
        self.iter()
    }
}

impl<I: Item> Drop for Table<I> {
    fn drop(&mut self) {
        const AHEAD: usize = 8;
        let mut position = Some(0);
        while let Some((segment, prefix)) = position.and_then(|position| self.segment_at(position))
        {
            position = end_of(prefix, segment.depth());
            for index in 0..segment.slots() {
                if index + AHEAD < segment.slots() {
                    segment::prefetch(segment.at(index + AHEAD).pointer());
                }
                if let Some(raw) = segment.at(index).non_null() {
                    // SAFETY: the slot's pointer came from `into_raw`, and the segment is freed below.
                    drop(unsafe { I::from_raw(raw) });
                }
            }
            segment.free();
        }
        if self.root.top() == DIRECTORY && !self.root.is_vacant() {
            // SAFETY: the pointer came from `Box::into_raw`, and the table is gone after this.
            drop(unsafe { Box::from_raw(self.root.pointer().cast::<Directory>()) });
        }
    }
}

impl<'a, I: Item> Occupied<'a, I> {
    /// The item, seen.
    #[must_use]
    #[inline]
    pub fn view(&self) -> I::View<'_> {
        // SAFETY: the slot's pointer came from `into_raw`; the table is borrowed.
        unsafe { I::view(self.raw()) }
    }

    /// The item, seen as long as the table is borrowed.
    #[must_use]
    #[inline]
    pub fn into_view(self) -> I::View<'a> {
        // SAFETY: the slot's pointer came from `into_raw`; the table is borrowed for `'a`.
        unsafe { I::view(self.raw()) }
    }

    /// The pointer to the item's block. It is the table's: whoever changes the block keeps the key and the mark as they are.
    #[must_use]
    #[inline]
    pub fn raw(&self) -> NonNull<u8> {
        let Some(raw) = self.segment.at(self.index).non_null() else {
            unreachable!("an occupied slot");
        };
        raw
    }

    /// Whether the item is marked.
    #[must_use]
    #[inline]
    pub fn is_marked(&self) -> bool {
        self.segment.at(self.index).is_marked()
    }

    /// Puts another item with the same key in its place.
    #[inline]
    pub fn replace(&mut self, item: I) -> I {
        let old = self.raw();
        self.put(item);
        // SAFETY: the slot's pointer came from `into_raw`, and the slot holds another one now.
        unsafe { I::from_raw(old) }
    }

    /// Changes the item where that needs its ownership, as when its block is reallocated. The key stays the same. If `change` panics, the
    /// process ends: the slot would be left without an item.
    #[inline]
    pub fn update<R>(&mut self, change: impl FnOnce(I) -> (I, R)) -> R {
        let guard = AbortOnUnwind;
        // SAFETY: the slot's pointer came from `into_raw`; the slot gets the changed item below, or the process ends.
        let (item, result) = change(unsafe { I::from_raw(self.raw()) });
        let _ = ManuallyDrop::new(guard);
        self.put(item);
        result
    }

    #[inline]
    fn put(&mut self, item: I) {
        let raw = item.into_raw();
        // SAFETY: the pointer was made just now.
        let mark = unsafe { I::is_marked(raw) };
        let was = self.segment.at(self.index).is_marked();
        self.segment.replace(self.index, raw.as_ptr(), mark);
        if mark != was
            && let Some(directory) = self.table.directory_mut()
        {
            directory.count_mark(self.hash, mark);
        }
    }

    /// Removes the item.
    pub fn remove(self) -> I {
        let item = self.table.take(self.segment, self.index, self.hash);
        self.table.tidy(self.hash);
        item
    }
}

impl<'a, I: Item> Vacant<'a, I> {
    /// Inserts the item that was looked for.
    #[inline]
    pub fn insert(self, item: I) -> Occupied<'a, I> {
        let (segment, index) = self.table.insert_at(self.hash, self.index, item);
        Occupied {
            table: self.table,
            hash: self.hash,
            segment,
            index,
        }
    }
}

impl<I: Item> std::fmt::Debug for Occupied<'_, I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Occupied").finish_non_exhaustive()
    }
}

impl<I: Item> std::fmt::Debug for Vacant<'_, I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vacant").finish_non_exhaustive()
    }
}

impl<I: Item> std::fmt::Debug for Entry<'_, I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Occupied(_) => "Occupied",
            Self::Vacant(_) => "Vacant",
        })
    }
}

enum Root<'a> {
    Empty,
    One(Segment),
    Many(&'a Directory),
}

struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        std::process::abort();
    }
}

/// A cursor is the top 48 bits of a hash; nothing lies beyond.
fn position_of(cursor: u64) -> Option<u64> {
    (cursor >> 48 == 0).then_some(cursor << 16)
}

fn cursor_of(position: u64) -> u64 {
    position >> 16
}

/// The tag in a table of one segment.
fn tag_of_small(hash: u64) -> u16 {
    (hash >> 48) as u16
}
