//! A segment: one heap block of slots, sorted by hash. What chooses among segments is the table's.
//!
//! Ordered linear probing: a slot's *home* is a monotone function of its hash, an item lies at its home or behind it, and the
//! items of a segment are sorted by the sixteen hash bits (the tag) that their slots hold. So an item is found by looking forward
//! from one computed place, and slots can be moved, spread, joined and (mostly) divided without touching the items.
//!
//! A segment at depth `d` holds the hashes that share their `d` top bits. Tags start at bit `d - d % 4`, so dividing needs bits that
//! the tag does not have only every fourth time.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use super::word::Word;

/// Slots of the largest ordinary segment: with its header, 8 KB. Under Miri they are small, so that few items make a large table.
pub(super) const SLOTS_MAX: usize = if cfg!(miri) { 63 } else { 1023 };
/// Up to this many slots a segment is dense: sorted, without gaps, searched from its start.
const DENSE_MAX: usize = 15;
/// No segment can have more slots; reached only by hashes that are all alike.
const SLOTS_LIMIT: usize = u16::MAX as usize;
/// Items whose blocks are on their way to the cache, where all of a segment are looked at.
const AHEAD: usize = 32;
/// The tag starts at a multiple of this many bits.
const REBASE: u32 = 4;

#[repr(C)]
#[derive(Clone, Copy)]
struct Header {
    /// Items.
    len: u16,
    /// Items whose slot is marked.
    marked: u16,
    /// Slots, the empty one at the end of a segment with gaps included.
    slots: u16,
}

/// Bytes of the header, rounded to the alignment of the slots.
const HEADER: usize = 8;
const _: () = assert!(size_of::<Header>() <= HEADER && size_of::<Word>() == 8);

/// A reference to a segment: its address, its depth (6 bits) and its number of homes (10 bits).
///
/// Made by [`Segment::build`] and alive until [`Segment::free`]; the table sees to it that no copy is used after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment(Word);

/// What a search in a segment found.
pub(super) enum Found {
    /// The item, at this slot.
    At(usize),
    /// No such item; it would go to this slot.
    Before(usize),
}

impl Segment {
    /// A segment with these items, sorted by tag, and room for at least `room` items in all.
    pub(super) fn build(items: &[Word], depth: u32, room: usize) -> Self {
        debug_assert!(items.is_sorted_by_key(|item| item.top()));
        let mut slots = slots_for(room.max(items.len()));
        let mut segment = Self::allocate(slots, depth);
        // A little room at the end is for later insertions.
        while !segment.place(items, slots / 64) {
            // Too many items at the end. A full segment had better grow; in another one all homes move nearer to the start
            // (with one home any number of items fits).
            if slots < SLOTS_MAX && items.len() > slots * 3 / 4 {
                segment.free();
                slots = slots_above(slots);
                segment = Self::allocate(slots, depth);
            } else {
                let homes = segment.homes();
                segment = Self::pack(
                    segment.0.pointer(),
                    depth,
                    (homes - homes / 32).min(homes - 1),
                );
            }
        }
        let marked = items.iter().filter(|item| item.is_marked()).count();
        // SAFETY: the segment is alive.
        unsafe {
            (*segment.header()).len = narrow(items.len());
            (*segment.header()).marked = narrow(marked);
        }
        segment
    }

    /// A segment of the same shape, in which `copy` has made another item of each.
    pub(super) fn duplicate(self, mut copy: impl FnMut(NonNull<u8>) -> NonNull<u8>) -> Self {
        let slots = self.slots();
        let block = Self::allocate(slots, self.depth()).0.pointer();
        let twin = Self(Word::new(block, self.0.top()));
        // SAFETY: both segments are alive, and not the same.
        unsafe { *twin.header() = *self.header() };
        for index in 0..slots {
            if index + AHEAD < slots {
                prefetch(self.at(index + AHEAD).pointer());
            }
            let word = self.at(index);
            let item = word.non_null().map(&mut copy);
            twin.put(index, item.map_or(word, |item| word.with_pointer(item)));
        }
        twin
    }

    /// A block whose slots are not yet written.
    fn allocate(slots: usize, depth: u32) -> Self {
        assert!(
            slots <= SLOTS_LIMIT,
            "more than 60,000 items have hashes that agree in 32 bits"
        );
        let layout = layout(slots);
        // SAFETY: the layout is not of size zero.
        let block = unsafe { alloc(layout) };
        let Some(block) = NonNull::new(block) else {
            handle_alloc_error(layout)
        };
        // SAFETY: the block is fresh, aligned to eight, and has room for a header and `slots` words.
        unsafe {
            block.cast::<Header>().write(Header {
                len: 0,
                marked: 0,
                slots: narrow(slots),
            });
        }
        let homes = if slots <= DENSE_MAX {
            1
        } else {
            (slots - 1 - slots / 32).min(SLOTS_MAX)
        };
        Self::pack(block.as_ptr(), depth, homes)
    }

    fn pack(block: *mut u8, depth: u32, homes: usize) -> Self {
        debug_assert!(depth < 64 && homes < 1024);
        Self(Word::new(block, narrow(homes << 6 | depth as usize)))
    }

    /// Lays the items out; false where they do not fit behind their homes with `room` slots left at the end of a segment with gaps.
    fn place(self, items: &[Word], room: usize) -> bool {
        let slots = self.slots();
        // The last slot of a segment with gaps stays empty: searches stop there.
        let end = match (self.is_dense(), self.homes()) {
            (true, _) => slots,
            (false, 1) => slots - 1,
            (false, _) => slots - 1 - room,
        };
        let mut next = 0;
        for &item in items {
            let at = self.home(item.top()).max(next);
            if at >= end {
                return false;
            }
            for gap in next..at {
                self.put(gap, Word::EMPTY);
            }
            self.put(at, item);
            next = at + 1;
        }
        for gap in next..slots {
            self.put(gap, Word::EMPTY);
        }
        true
    }

    /// The reference as a word, and back.
    #[inline]
    pub(super) fn word(self) -> Word {
        self.0
    }

    /// The segment that a word refers to, where it is not null.
    #[inline]
    pub(super) fn of(word: Word) -> Self {
        debug_assert!(!word.is_vacant());
        Self(word)
    }

    /// Gives the slots' memory back; the items are not touched.
    pub(super) fn free(self) {
        let layout = layout(self.slots());
        // SAFETY: allocated by `build` with this layout, and the caller forgets the reference.
        unsafe { dealloc(self.0.pointer(), layout) }
    }

    /// How many hash bits all its items share.
    #[inline]
    pub(super) fn depth(self) -> u32 {
        u32::from(self.0.top() & 63)
    }

    #[inline]
    fn homes(self) -> usize {
        usize::from(self.0.top() >> 6)
    }

    fn is_dense(self) -> bool {
        self.slots() <= DENSE_MAX
    }

    /// The tag of a hash in this segment.
    #[inline]
    pub(super) fn tag(self, hash: u64) -> u16 {
        tag_at(self.depth(), hash)
    }

    /// Where an item with this tag would lie if it were alone.
    #[inline]
    fn home(self, tag: u16) -> usize {
        let bits = 16 - self.depth() % REBASE;
        ((usize::from(tag) & ((1 << bits) - 1)) * self.homes()) >> bits
    }

    /// The lowest hash that has this tag here. `prefix` is the number made by the shared top bits.
    pub(super) fn hash_floor(self, prefix: u64, tag: u16) -> u64 {
        let base = base_of(self.depth());
        let high = match base {
            0 => 0,
            _ => prefix >> (self.depth() - base) << (64 - base),
        };
        high | u64::from(tag) << 48 >> base
    }

    fn header(self) -> *mut Header {
        self.0.pointer().cast()
    }

    /// How many items.
    #[inline]
    pub(super) fn len(self) -> usize {
        // SAFETY: the segment is alive.
        usize::from(unsafe { (*self.header()).len })
    }

    /// How many marked items.
    #[inline]
    pub(super) fn marked(self) -> usize {
        // SAFETY: the segment is alive.
        usize::from(unsafe { (*self.header()).marked })
    }

    /// How many slots.
    #[inline]
    pub(super) fn slots(self) -> usize {
        // SAFETY: the segment is alive.
        usize::from(unsafe { (*self.header()).slots })
    }

    /// Bytes of the heap block.
    pub(super) fn bytes(self) -> usize {
        layout(self.slots()).size()
    }

    #[inline]
    fn slot(self, index: usize) -> *mut Word {
        // SAFETY: every index that is used lies below the number of slots, or is a stop for a scan one behind it.
        unsafe { self.0.pointer().add(HEADER).cast::<Word>().add(index) }
    }

    /// What lies at `index`.
    #[inline]
    pub(super) fn at(self, index: usize) -> Word {
        debug_assert!(index < self.slots());
        // SAFETY: the index is below the number of slots; all slots were written by `place`.
        unsafe { self.slot(index).read() }
    }

    #[inline]
    pub(super) fn put(self, index: usize, word: Word) {
        debug_assert!(index < self.slots());
        // SAFETY: as in `at`.
        unsafe { self.slot(index).write(word) }
    }

    /// Looks for the item with this tag for which `is` holds.
    #[inline]
    pub(super) fn find(self, tag: u16, mut is: impl FnMut(NonNull<u8>) -> bool) -> Found {
        if self.homes() == 1 {
            return self.find_dense(tag, is);
        }
        let mut index = self.home(tag);
        loop {
            // The last slot of a segment with gaps is empty, so this ends.
            let word = self.at(index);
            if !word.is_below(tag) {
                if word.top() > tag {
                    return Found::Before(index);
                }
                match word.non_null() {
                    None => return Found::Before(index),
                    Some(item) if is(item) => return Found::At(index),
                    Some(_) => {}
                }
            }
            index += 1;
        }
    }

    fn find_dense(self, tag: u16, mut is: impl FnMut(NonNull<u8>) -> bool) -> Found {
        let len = self.len();
        for index in 0..len {
            let word = self.at(index);
            if word.top() > tag {
                return Found::Before(index);
            }
            if word.top() == tag && word.non_null().is_some_and(&mut is) {
                return Found::At(index);
            }
        }
        Found::Before(len)
    }

    /// The first slot at or behind `tag`'s place whose item has at least this tag; the number of slots where there is none.
    pub(super) fn lower_bound(self, tag: u16) -> usize {
        let mut index = if self.homes() == 1 { 0 } else { self.home(tag) };
        while index < self.slots() && (self.at(index).is_vacant() || self.at(index).top() < tag) {
            index += 1;
        }
        index
    }

    /// The items in order.
    pub(super) fn items(self) -> impl Iterator<Item = Word> {
        (0..self.slots())
            .map(move |index| self.at(index))
            .filter(|word| !word.is_vacant())
    }

    /// Brings the slots where this tag's search starts to the cache.
    #[inline]
    pub(super) fn prefetch(self, tag: u16) {
        let slot = self.slot(self.home(tag)).cast::<u8>();
        prefetch(slot);
        // An item lies some slots behind its home, so often on the next line.
        prefetch(slot.wrapping_add(48));
    }

    /// Puts an item where a search said that it goes; false where the segment must be rebuilt for it.
    pub(super) fn insert(self, index: usize, word: Word) -> bool {
        let slots = self.slots();
        if self.len() >= items_max(slots) {
            return false;
        }
        // A segment with gaps keeps its last slot empty.
        let end = slots - usize::from(slots > DENSE_MAX);
        let mut free = index;
        while free < end && self.at(free) != Word::EMPTY {
            free += 1;
        }
        if free >= end {
            return false;
        }
        // SAFETY: index <= free < slots; the words from `index` move up by one, the last onto the free slot.
        unsafe {
            self.slot(index).copy_to(self.slot(index + 1), free - index);
        }
        self.put(index, word);
        // SAFETY: the segment is alive; the length stays below the number of slots.
        unsafe {
            (*self.header()).len += 1;
            (*self.header()).marked += u16::from(word.is_marked());
        }
        true
    }

    /// Takes the item at `index` out; those behind it move back as far as their homes let them.
    pub(super) fn remove(self, index: usize) -> Word {
        let word = self.at(index);
        debug_assert!(!word.is_vacant());
        let slots = self.slots();
        let mut end = index + 1;
        while end < slots && !self.at(end).is_vacant() && self.home(self.at(end).top()) < end {
            end += 1;
        }
        // SAFETY: index < end <= slots; the words behind `index` and before `end` move down by one.
        unsafe {
            self.slot(index + 1)
                .copy_to(self.slot(index), end - index - 1);
        }
        self.put(end - 1, Word::EMPTY);
        // SAFETY: the segment is alive and held the item.
        unsafe {
            (*self.header()).len -= 1;
            (*self.header()).marked -= u16::from(word.is_marked());
        }
        word
    }

    /// Takes out the items for which `goes` holds; the others move to where they would lie without them.
    pub(super) fn take_where(self, mut goes: impl FnMut(NonNull<u8>) -> bool) -> Vec<Word> {
        let items: Vec<Word> = self.items().collect();
        let (mut stay, mut gone) = (items.clone(), items.clone());
        let (mut stay_len, mut gone_len) = (0, 0);
        for (index, &word) in items.iter().enumerate() {
            if let Some(soon) = items.get(index + AHEAD) {
                prefetch(soon.pointer());
            }
            // Written to both and counted for one: a branch would be foreseen wrongly too often.
            let goes = word.non_null().is_some_and(&mut goes);
            stay[stay_len] = word;
            gone[gone_len] = word;
            stay_len += usize::from(!goes);
            gone_len += usize::from(goes);
        }
        stay.truncate(stay_len);
        gone.truncate(gone_len);
        if !gone.is_empty() {
            let placed = self.place(&stay, 0);
            assert!(placed, "no item lies farther back than before");
            let marked = stay.iter().filter(|item| item.is_marked()).count();
            // SAFETY: the segment is alive.
            unsafe {
                (*self.header()).len = narrow(stay.len());
                (*self.header()).marked = narrow(marked);
            }
        }
        gone
    }

    /// Replaces the item at `index` by one with the same hash. `mark` is the new item's; the segment counts it.
    #[inline]
    pub(super) fn replace(self, index: usize, item: *mut u8, mark: bool) {
        let old = self.at(index);
        self.put(index, Word::new(item, old.top()).with_mark(mark));
        if mark != old.is_marked() {
            // SAFETY: the segment is alive; an item that loses its mark was counted.
            let marked = unsafe { &mut (*self.header()).marked };
            *marked = if mark { *marked + 1 } else { *marked - 1 };
        }
    }

    /// The same items and one more in a fresh block; this one is gone. Also answers where the new item lies.
    pub(super) fn rebuilt_with(self, word: Word) -> (Self, usize) {
        let mut items: Vec<Word> = Vec::with_capacity(self.len() + 1);
        items.extend(self.items());
        let rank = items.partition_point(|item| item.top() <= word.top());
        items.insert(rank, word);
        self.free();
        let segment = Self::build(&items, self.depth(), 0);
        let mut index = segment.lower_bound(word.top());
        while segment.at(index) != word {
            index += 1;
        }
        (segment, index)
    }

    /// The same items in a block of a size that suits them; this one is gone.
    pub(super) fn shrunk(self) -> Self {
        let items: Vec<Word> = self.items().collect();
        self.free();
        Self::build(&items, self.depth(), items.len() + items.len() / 4)
    }

    /// Whether so many of its slots are empty that a smaller block is due.
    pub(super) fn is_sparse(self) -> bool {
        let (len, slots) = (self.len(), self.slots());
        len * 2 < slots && slots > 3
    }

    /// Whether it holds all that it may.
    pub(super) fn is_full(self) -> bool {
        self.slots() >= SLOTS_MAX && self.len() >= items_max(self.slots())
    }

    /// Divides it by the next hash bit; this one is gone. `hash_of` gives an item's hash again where the tag's bits do not suffice.
    pub(super) fn split(self, hash_of: impl Fn(NonNull<u8>) -> u64) -> (Self, Self) {
        let (depth, below) = (self.depth(), self.depth() + 1);
        let mut items: Vec<Word> = self.items().collect();
        self.free();
        let bit = 1 << (15 - depth % REBASE);
        let middle = items.partition_point(|item| item.top() & bit == 0);
        let (left, right) = items.split_at_mut(middle);
        if base_of(below) != base_of(depth) {
            retag(left, below, &hash_of);
            retag(right, below, &hash_of);
        }
        (Self::build(left, below, 0), Self::build(right, below, 0))
    }

    /// Joins two neighbours of equal depth; both are gone. `prefix` is that of the left one.
    pub(super) fn join(left: Self, right: Self, prefix: u64) -> Self {
        let depth = left.depth();
        debug_assert!(depth > 0 && depth == right.depth() && prefix.is_multiple_of(2));
        let mut items: Vec<Word> = Vec::with_capacity(left.len() + right.len());
        for (segment, prefix) in [(left, prefix), (right, prefix + 1)] {
            items.extend(segment.items().map(|item| {
                if depth.is_multiple_of(REBASE) {
                    // The tag starts four bits earlier: those are the prefix's last.
                    #[expect(clippy::cast_possible_truncation, reason = "sixteen bits are meant")]
                    let tag = (prefix << (16 - REBASE)) as u16 | item.top() >> REBASE;
                    item.with_top(tag)
                } else {
                    item
                }
            }));
            segment.free();
        }
        Self::build(&items, depth - 1, 0)
    }
}

/// The tag of a hash in a segment of this depth.
#[inline]
fn tag_at(depth: u32, hash: u64) -> u16 {
    (hash << base_of(depth) >> 48) as u16
}

/// The first hash bit (from the top) in a tag.
#[inline]
fn base_of(depth: u32) -> u32 {
    depth - depth % REBASE
}

/// Gives items tags for another depth and sorts them anew.
fn retag(items: &mut [Word], depth: u32, hash_of: &impl Fn(NonNull<u8>) -> u64) {
    for index in 0..items.len() {
        if let Some(soon) = items.get(index + AHEAD) {
            prefetch(soon.pointer());
        }
        if let Some(item) = items[index].non_null() {
            items[index] = items[index].with_top(tag_at(depth, hash_of(item)));
        }
    }
    items.sort_unstable_by_key(|item| item.top());
}

/// How many items so many slots may hold.
fn items_max(slots: usize) -> usize {
    if slots <= DENSE_MAX {
        slots
    } else {
        (slots - 1) - (slots - 1) / 16
    }
}

/// The smallest number of slots that hold `items`, in the sizes that an allocator has.
fn slots_for(items: usize) -> usize {
    let mut slots = slots_in(HEADER + 8 * items.max(1));
    while items_max(slots) < items {
        slots = slots_above(slots);
    }
    slots
}

/// The next number of slots above `slots`.
fn slots_above(slots: usize) -> usize {
    slots_in(HEADER + 8 * (slots + 1))
}

/// The slots that fit into the allocator's size for `bytes`: four sizes per doubling, as jemalloc (and others) have them.
fn slots_in(bytes: usize) -> usize {
    let step = if bytes <= 64 {
        8
    } else {
        bytes.next_power_of_two() / 8
    };
    (bytes.next_multiple_of(step) - HEADER) / 8
}

fn layout(slots: usize) -> Layout {
    // SAFETY: at most 65,535 slots, so the size is small; eight is a power of two.
    unsafe { Layout::from_size_align_unchecked(HEADER + 8 * slots, 8) }
}

/// Numbers below 65,536 as they stand in a header.
#[inline]
fn narrow(number: usize) -> u16 {
    debug_assert!(u16::try_from(number).is_ok());
    #[expect(clippy::cast_possible_truncation, reason = "checked by `build`")]
    let narrow = number as u16;
    narrow
}

/// Brings the cache line at an address near; any address is fine.
#[inline]
pub(crate) fn prefetch(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch touches nothing and cannot fault.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}
