//! Sets of hash slots.

use std::fmt;

pub use hash_slot::{SLOT_COUNT, key_slot};

/// A hash slot, always below [`SLOT_COUNT`].
pub type Slot = u16;

/// Words of the bitmap that holds a set.
const WORDS: usize = SLOT_COUNT as usize / 64;

/// A set of slots, printed as nodes print it: `0-5460,7000`. One bit for each slot, as nodes keep it too.
#[derive(Clone, PartialEq, Eq)]
pub struct SlotSet(Box<[u64; WORDS]>);

impl SlotSet {
    /// Every slot there is.
    #[must_use]
    pub fn all() -> Self {
        Self(Box::new([u64::MAX; WORDS]))
    }

    /// Reads what [`fmt::Display`] writes; nothing where it is something else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut set = Self::default();
        for range in text.split(',').filter(|_| !text.is_empty()) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (Slot, Slot) = (first.parse().ok()?, last.parse().ok()?);
            if first > last || last >= SLOT_COUNT {
                return None;
            }
            set.extend(first..=last);
        }
        Some(set)
    }

    /// Adds a slot.
    ///
    /// # Panics
    ///
    /// The slot is not below [`SLOT_COUNT`].
    pub fn insert(&mut self, slot: Slot) {
        self.0[usize::from(slot / 64)] |= 1 << (slot % 64);
    }

    /// Takes a slot out; whether it was there.
    pub fn remove(&mut self, slot: Slot) -> bool {
        let was = self.contains(slot);
        if was {
            self.0[usize::from(slot / 64)] &= !(1 << (slot % 64));
        }
        was
    }

    /// Whether the slot is in the set.
    #[must_use]
    pub fn contains(&self, slot: Slot) -> bool {
        self.0
            .get(usize::from(slot / 64))
            .is_some_and(|word| word & (1 << (slot % 64)) != 0)
    }

    /// How many slots there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The slots in order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        (0..SLOT_COUNT).filter(|slot| self.contains(*slot))
    }

    /// The slots that are not in the set.
    #[must_use]
    pub fn complement(&self) -> Self {
        Self(Box::new(self.0.map(|word| !word)))
    }

    /// The slots as inclusive ranges, in order, none adjacent to the next.
    #[must_use]
    pub fn ranges(&self) -> Vec<(Slot, Slot)> {
        let mut ranges: Vec<(Slot, Slot)> = Vec::new();
        for slot in self.iter() {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == slot => *last = slot,
                _ => ranges.push((slot, slot)),
            }
        }
        ranges
    }
}

impl Default for SlotSet {
    fn default() -> Self {
        Self(Box::new([0; WORDS]))
    }
}

impl FromIterator<Slot> for SlotSet {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        let mut set = Self::default();
        set.extend(slots);
        set
    }
}

impl Extend<Slot> for SlotSet {
    fn extend<I: IntoIterator<Item = Slot>>(&mut self, slots: I) {
        for slot in slots {
            self.insert(slot);
        }
    }
}

/// All slots of several sets.
impl<'a> FromIterator<&'a Self> for SlotSet {
    fn from_iter<I: IntoIterator<Item = &'a Self>>(sets: I) -> Self {
        let mut all = Self::default();
        for set in sets {
            for (word, more) in all.0.iter_mut().zip(set.0.iter()) {
                *word |= more;
            }
        }
        all
    }
}

impl fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlotSet({self})")
    }
}

impl fmt::Display for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.ranges().into_iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_print_as_ranges() {
        let set: SlotSet = [3, 1, 2, 7, 9, 10].into_iter().collect();
        assert_eq!(set.to_string(), "1-3,7,9-10");
        assert_eq!(SlotSet::default().to_string(), "");
        assert_eq!(SlotSet::all().to_string(), "0-16383");
        for same in ["", "5", "1-3,7,9-10", "0-16383"] {
            assert_eq!(SlotSet::parse(same).unwrap().to_string(), same);
        }
        for other in ["x", "3-1", "16384", "1,", "-", "0-16384"] {
            assert_eq!(SlotSet::parse(other), None, "{other}");
        }
    }
}
