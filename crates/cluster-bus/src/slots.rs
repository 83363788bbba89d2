//! The 16384 hash slots, and sets of them. Who owns a slot is the node's business.

use std::fmt;

pub use hash_slot::SLOT_COUNT;

const BITMAP_LEN: usize = SLOT_COUNT as usize / 8;

/// A hash slot, 0 to 16383.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// The first one.
    pub const MIN: Self = Self(0);

    /// The slot with this number, if there is one.
    #[must_use]
    pub fn new(number: u16) -> Option<Self> {
        (number < SLOT_COUNT).then_some(Self(number))
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }

    /// Its number, to index with.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Every slot, in order.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> {
        (0..SLOT_COUNT).map(Self)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The slot of a key.
#[must_use]
pub fn key_slot(key: &[u8]) -> Slot {
    Slot(hash_slot::key_slot(key))
}

/// A set of slots as the bus carries it: one bit each, slot 0 in the lowest bit of the first byte.
#[derive(Clone, PartialEq, Eq)]
pub struct SlotSet {
    bits: [u8; BITMAP_LEN],
    len: u16,
}

impl SlotSet {
    /// Bytes of the bitmap.
    pub const BYTES: usize = BITMAP_LEN;

    /// No slot.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bits: [0; BITMAP_LEN],
            len: 0,
        }
    }

    /// The set whose bitmap this is.
    #[must_use]
    pub fn from_bytes(bits: &[u8; BITMAP_LEN]) -> Self {
        let ones: u32 = words(bits).map(u64::count_ones).sum();
        Self {
            bits: *bits,
            len: u16::try_from(ones).unwrap_or(SLOT_COUNT),
        }
    }

    /// The bitmap.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; BITMAP_LEN] {
        &self.bits
    }

    /// Number of slots in it.
    #[must_use]
    pub fn len(&self) -> u16 {
        self.len
    }

    /// Whether it holds no slot.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it holds this slot.
    #[must_use]
    pub fn contains(&self, slot: Slot) -> bool {
        self.bits[slot.index() / 8] & bit(slot) != 0
    }

    /// Adds a slot; true if it was not there.
    pub fn insert(&mut self, slot: Slot) -> bool {
        let new = !self.contains(slot);
        self.bits[slot.index() / 8] |= bit(slot);
        self.len += u16::from(new);
        new
    }

    /// Takes a slot out; true if it was there.
    pub fn remove(&mut self, slot: Slot) -> bool {
        let old = self.contains(slot);
        self.bits[slot.index() / 8] &= !bit(slot);
        self.len -= u16::from(old);
        old
    }

    /// The slots in order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> {
        ones(words(&self.bits))
    }

    /// The slots of this set that are not in `other`, in order.
    pub fn difference<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = Slot> + 'a {
        ones(
            words(&self.bits)
                .zip(words(&other.bits))
                .map(|(mine, theirs)| mine & !theirs),
        )
    }

    /// The set as runs of neighbours, each with its first and last slot: how nodes.conf and CLUSTER SLOTS show it.
    #[must_use]
    pub fn ranges(&self) -> Vec<(Slot, Slot)> {
        let count = |bits: u32| u16::try_from(bits).unwrap_or(64);
        let mut ranges = Vec::new();
        let mut open = None;
        for (first, word) in (0u16..).step_by(64).zip(words(&self.bits)) {
            let mut at = 0;
            while at < 64 {
                let rest = word >> at;
                match open {
                    None => {
                        at += count(rest.trailing_zeros()).min(64 - at);
                        open = (at < 64).then_some(Slot(first + at));
                    }
                    Some(from) => {
                        at += count(rest.trailing_ones());
                        if at < 64 {
                            ranges.push((from, Slot(first + at - 1)));
                            open = None;
                        }
                    }
                }
            }
        }
        ranges.extend(open.map(|from| (from, Slot(SLOT_COUNT - 1))));
        ranges
    }
}

impl Default for SlotSet {
    fn default() -> Self {
        Self::new()
    }
}

impl FromIterator<Slot> for SlotSet {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        let mut set = Self::new();
        for slot in slots {
            set.insert(slot);
        }
        set
    }
}

impl fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.ranges()).finish()
    }
}

fn bit(slot: Slot) -> u8 {
    1 << (slot.0 % 8)
}

fn words(bits: &[u8; BITMAP_LEN]) -> impl Iterator<Item = u64> + '_ {
    bits.chunks_exact(8).map(|chunk| {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        u64::from_le_bytes(word)
    })
}

fn ones(words: impl Iterator<Item = u64>) -> impl Iterator<Item = Slot> {
    (0u16..)
        .zip(words)
        .filter(|(_, word)| *word != 0)
        .flat_map(|(index, word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let lowest = rest.checked_ilog2().map(|_| rest.trailing_zeros())?;
                rest &= rest - 1;
                u16::try_from(lowest).ok().map(|low| Slot(index * 64 + low))
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(number: u16) -> Slot {
        Slot::new(number).unwrap()
    }

    #[test]
    fn sets_count_and_iterate() {
        let mut set: SlotSet = [0, 1, 63, 64, 16383].map(slot).into_iter().collect();
        assert_eq!(set.len(), 5);
        assert!(!set.insert(slot(63)));
        assert!(set.remove(slot(63)) && !set.remove(slot(63)));
        assert_eq!(
            set.iter().map(Slot::number).collect::<Vec<_>>(),
            [0, 1, 64, 16383]
        );
        assert_eq!(SlotSet::from_bytes(set.as_bytes()), set);
        assert_eq!(
            set.ranges(),
            [
                (slot(0), slot(1)),
                (slot(64), slot(64)),
                (slot(16383), slot(16383))
            ]
        );
        let other = [1, 2].map(slot).into_iter().collect();
        assert_eq!(
            set.difference(&other).map(Slot::number).collect::<Vec<_>>(),
            [0, 64, 16383]
        );
    }

    #[test]
    fn ranges_are_what_the_slots_are() {
        let mut rng = crate::rng::Rng::new(1);
        for length in 1..200 {
            let mut set = SlotSet::new();
            for _ in 0..20 {
                let first = rng.index(usize::from(SLOT_COUNT));
                let run = Slot::all().skip(first).take(rng.index(length) + 1);
                run.for_each(|slot| {
                    set.insert(slot);
                });
            }
            let ranges = set.ranges();
            let slots = |(first, last): &(Slot, Slot)| (first.0..=last.0).map(Slot);
            let told: Vec<Slot> = ranges.iter().flat_map(slots).collect();
            assert_eq!(told, set.iter().collect::<Vec<_>>());
            assert!(ranges.is_sorted_by(|one, next| one.1.0 + 1 < next.0.0));
        }
    }

    #[test]
    fn all_slots_are_one_range() {
        let set: SlotSet = Slot::all().collect();
        assert_eq!(set.len(), SLOT_COUNT);
        assert_eq!(set.ranges(), [(slot(0), slot(16383))]);
        assert_eq!(Slot::new(SLOT_COUNT), None);
    }
}
