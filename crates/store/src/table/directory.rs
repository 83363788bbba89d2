//! The directory of a table of several segments: segments by the top bits of the hash.

use super::place::{At, below, end_of, nth, nth_marked, prefix_of};
use super::segment::{SLOTS_MAX, Segment};
use super::word::Word;

/// Directory places never outnumber items divided by this: hashes that are all alike must not make it huge.
const ITEMS_PER_PLACE: usize = (SLOTS_MAX + 1) / 32;
/// A cursor has 48 bits and a tag 16, so no segment may share more than this many bits.
const DEPTH_MAX: u32 = 32;
/// Two neighbours join when they have at most this many items together.
const JOIN_MAX: usize = SLOTS_MAX.div_ceil(2);
/// Slots of an ordinary segment, rounded up to a power of two.
const SLOTS_BOUND: u64 = SLOTS_MAX as u64 + 1;
/// Marked items are counted for each of so many parts of the hash space.
const GROUPS: usize = 256;

/// Segments by hash.
pub(super) struct Directory {
    /// Items.
    pub(super) len: usize,
    /// Marked items.
    pub(super) marked: usize,
    /// `64 - depth`: a hash shifted right by this is its place.
    shift: u32,
    /// Segments of full depth; a shallower one stands at several places. When there are none, the directory halves.
    deepest: usize,
    /// Whether a segment may have more than [`SLOTS_BOUND`] slots.
    oversized: bool,
    places: Vec<Word>,
    /// Marked items for each value of the hash's top eight bits; empty as long as there are none.
    groups: Vec<u32>,
}

impl Directory {
    /// A directory of two segments of depth one.
    pub(super) fn new((left, right): (Segment, Segment)) -> Self {
        let mut directory = Self {
            len: left.len() + right.len(),
            marked: left.marked() + right.marked(),
            shift: 63,
            deepest: 2,
            oversized: false,
            places: vec![left.word(), right.word()],
            groups: Vec::new(),
        };
        directory.count_groups();
        directory
    }

    /// A directory of the same shape, of segments that `copy` has made.
    pub(super) fn duplicate(&self, mut copy: impl FnMut(Segment) -> Segment) -> Self {
        let mut last = None;
        let places = self.places.iter().map(|&place| match last {
            // A segment stands at neighbouring places.
            Some((old, new)) if old == place => new,
            _ => {
                let new = copy(Segment::of(place)).word();
                last = Some((place, new));
                new
            }
        });
        Self {
            places: places.collect(),
            groups: self.groups.clone(),
            ..*self
        }
    }

    fn depth(&self) -> u32 {
        64 - self.shift
    }

    /// The segment for a hash.
    #[inline]
    pub(super) fn segment(&self, hash: u64) -> Segment {
        #[expect(clippy::cast_possible_truncation, reason = "64-bit platforms only")]
        let place = (hash >> self.shift) as usize;
        Segment::of(self.places[place])
    }

    /// Puts a segment at all places of its prefix.
    pub(super) fn set(&mut self, prefix: u64, segment: Segment) {
        let spread = self.depth() - segment.depth();
        #[expect(clippy::cast_possible_truncation, reason = "64-bit platforms only")]
        let first = (prefix << spread) as usize;
        self.places[first..first + (1 << spread)].fill(segment.word());
        self.oversized |= segment.slots() as u64 > SLOTS_BOUND;
    }

    /// Whether a full segment may be divided.
    pub(super) fn may_divide(&self, segment: Segment) -> bool {
        segment.depth() < self.depth()
            || self.depth() < DEPTH_MAX && self.len / ITEMS_PER_PLACE >= self.places.len() * 2
    }

    /// Puts two halves in the place of a segment.
    pub(super) fn divide(&mut self, prefix: u64, (left, right): (Segment, Segment)) {
        if left.depth() > self.depth() {
            self.places = self
                .places
                .iter()
                .flat_map(|&place| [place, place])
                .collect();
            self.shift -= 1;
            self.deepest = 0;
        }
        if left.depth() == self.depth() {
            self.deepest += 2;
        }
        self.set(prefix * 2, left);
        self.set(prefix * 2 + 1, right);
    }

    /// Makes a sparse segment smaller, or joins it with its neighbour. Answers the segment that is left when it is the only one: the
    /// directory is of no use then.
    pub(super) fn shrink(&mut self, segment: Segment, prefix: u64) -> Option<Segment> {
        let (mut segment, mut prefix) = (segment, prefix);
        let mut joined = false;
        loop {
            let depth = segment.depth();
            if depth == 0 {
                return Some(segment);
            }
            let other = self.segment((prefix ^ 1) << (64 - depth));
            if other.depth() != depth || segment.len() + other.len() > JOIN_MAX {
                break;
            }
            let (left, right) = if prefix % 2 == 0 {
                (segment, other)
            } else {
                (other, segment)
            };
            if depth == self.depth() {
                self.deepest -= 2;
            }
            segment = Segment::join(left, right, prefix & !1);
            prefix /= 2;
            joined = true;
            // The places still refer to the two that are gone; nothing reads them before this.
            if segment.depth() > 0 {
                self.set(prefix, segment);
            }
        }
        if !joined {
            self.set(prefix, segment.shrunk());
        }
        self.halve();
        None
    }

    /// Drops directory bits that no segment needs.
    fn halve(&mut self) {
        while self.deepest == 0 && self.depth() > 1 {
            self.places = self.places.iter().copied().step_by(2).collect();
            self.shift += 1;
            let depth = self.depth();
            self.deepest = self
                .places
                .iter()
                .filter(|&&place| Segment::of(place).depth() == depth)
                .count();
        }
    }

    /// Counts a mark that an item of this hash got or lost.
    pub(super) fn count_mark(&mut self, hash: u64, mark: bool) {
        if self.groups.is_empty() {
            self.groups = vec![0; GROUPS];
        }
        let group = &mut self.groups[group_of(hash)];
        if mark {
            *group += 1;
            self.marked += 1;
        } else {
            *group -= 1;
            self.marked -= 1;
        }
    }

    /// Counts the marks that items had before there was a directory.
    fn count_groups(&mut self) {
        if self.marked == 0 {
            return;
        }
        self.groups = vec![0; GROUPS];
        for prefix in 0..2 {
            let segment = self.segment(prefix << 63);
            for item in segment.items().filter(|item| item.is_marked()) {
                self.groups[group_of(segment.hash_floor(prefix, item.top()))] += 1;
            }
        }
    }

    /// An item chosen evenly.
    pub(super) fn random(&self, random: &mut dyn FnMut() -> u64) -> Option<At> {
        // A place and a slot number, both uniform, are accepted where they meet an item; a segment that stands at several places is
        // accepted at one of them. So each item has the same chance in each trial.
        let bound = if self.oversized { 1 << 16 } else { SLOTS_BOUND };
        for _ in 0..256 {
            let hash = random();
            let segment = self.segment(hash);
            let spread = self.depth() - segment.depth();
            if spread > 0 && random().leading_zeros() < spread {
                continue;
            }
            #[expect(clippy::cast_possible_truncation, reason = "below 65,536")]
            let slot = (hash & (bound - 1)) as usize;
            if slot < segment.slots() && !segment.at(slot).is_vacant() {
                return Some((segment, slot));
            }
        }
        // A table that lost almost everything: count.
        let mut rank = below(random(), self.len);
        for segment in self.segments() {
            if rank < segment.len() {
                return nth(segment, rank, |word| !word.is_vacant());
            }
            rank -= segment.len();
        }
        None
    }

    /// The marked item with this rank.
    pub(super) fn nth_marked(&self, mut rank: usize) -> Option<At> {
        let mut first = 0;
        for &count in &self.groups {
            if rank < count as usize {
                break;
            }
            rank -= count as usize;
            first += 1;
        }
        // Segments can be wider than a group: those of the group before reach into this one, so its marks are told apart by hash.
        let mut position = (first as u64) << 56;
        loop {
            let segment = self.segment(position);
            let prefix = prefix_of(position, segment.depth());
            if segment.depth() < GROUPS.ilog2() {
                return nth(segment, rank, |word| {
                    word.is_marked() && group_of(segment.hash_floor(prefix, word.top())) == first
                });
            }
            if rank < segment.marked() {
                return nth_marked(segment, rank);
            }
            rank -= segment.marked();
            position = end_of(prefix, segment.depth())?;
        }
    }

    fn segments(&self) -> impl Iterator<Item = Segment> {
        let mut position = Some(0);
        std::iter::from_fn(move || {
            let at = position?;
            let segment = self.segment(at);
            position = end_of(prefix_of(at, segment.depth()), segment.depth());
            Some(segment)
        })
    }

    /// Bytes of the directory itself.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.places.capacity() * 8 + self.groups.capacity() * 4
    }
}

#[inline]
fn group_of(hash: u64) -> usize {
    (hash >> 56) as usize
}
