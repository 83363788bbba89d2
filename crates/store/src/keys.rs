//! Where a database keeps its entries: one table, or in cluster mode one table per slot. The doors above see no difference.

use hash_slot::{SLOT_COUNT, key_slot};

use crate::db::Prefetched;
use crate::entry::{Entry, EntryMut, EntryRef};
use crate::slots::{BySlot, Slots, Tally};
use crate::table::{self, Occupied, SAMPLED, Table, Vacant, scaled};

/// The entries of a database.
#[derive(Debug)]
pub(crate) enum Keys {
    /// All in one table.
    One(Table<Entry>),
    /// By slot.
    BySlot(BySlot),
}

/// What a search found.
pub(crate) enum Found<'a> {
    /// The key.
    At(KeyMut<'a>),
    /// The place where it would be.
    Free(Place<'a>),
}

/// An entry in its table.
pub(crate) struct KeyMut<'a> {
    slot: Occupied<'a, Entry>,
    tally: Option<Tally<'a>>,
}

/// A place for an entry.
pub(crate) struct Place<'a> {
    place: Vacant<'a, Entry>,
    tally: Option<Tally<'a>>,
}

impl Keys {
    pub(crate) fn new(by_slot: bool) -> Self {
        if by_slot {
            Self::BySlot(BySlot::default())
        } else {
            Self::One(Table::new())
        }
    }

    /// The same without keys. What is hidden stays hidden.
    pub(crate) fn emptied(&self) -> Self {
        match self {
            Self::One(_) => Self::One(Table::new()),
            Self::BySlot(by) => Self::BySlot(by.emptied()),
        }
    }

    /// Shows the keys of a slot to nobody, or to everybody again.
    pub(crate) fn hide(&mut self, slot: u16, on: bool) {
        if let Self::BySlot(by) = self {
            by.hide(slot, on);
        }
    }

    /// Whether a slot is hidden.
    #[inline]
    pub(crate) fn hides(&self, slot: u16) -> bool {
        matches!(self, Self::BySlot(by) if by.hidden.has(slot))
    }

    /// How many there are, those of hidden slots included.
    pub(crate) fn total_len(&self) -> usize {
        match self {
            Self::One(table) => table.len(),
            Self::BySlot(by) => by.total_len(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::One(table) => table.len(),
            Self::BySlot(by) => by.slots.as_ref().map_or(0, |slots| slots.len()),
        }
    }

    /// How many have an expiry.
    pub(crate) fn marked_len(&self) -> usize {
        match self {
            Self::One(table) => table.marked_len(),
            Self::BySlot(by) => by.slots.as_ref().map_or(0, |slots| slots.marked_len()),
        }
    }

    /// The slot of a key; 0 where keys are not kept by slot.
    #[inline]
    pub(crate) fn slot_of(&self, key: &[u8]) -> u16 {
        match self {
            Self::One(_) => 0,
            Self::BySlot(_) => key_slot(key),
        }
    }

    /// The table in which keys of a slot are or would be.
    #[inline]
    pub(crate) fn table_at(&self, slot: u16) -> Option<&Table<Entry>> {
        match self {
            Self::One(table) => Some(table),
            Self::BySlot(by) => by.slots.as_ref().map(|slots| slots.table(slot)),
        }
    }

    /// Where a key is or would be.
    #[inline]
    pub(crate) fn place(&self, key: &[u8]) -> Prefetched {
        Prefetched {
            hash: table::hash(key),
            slot: self.slot_of(key),
        }
    }

    #[inline]
    pub(crate) fn find(&self, place: Prefetched, key: &[u8]) -> Option<EntryRef<'_>> {
        self.table_at(place.slot)?.find(place.hash, key)
    }

    /// The key of the hash that the database's index has under this time, key's hash and slot.
    pub(crate) fn tracked_key(&self, hash: u64, slot: u16, at: u64) -> Option<Vec<u8>> {
        let mut found = None;
        let top = (hash >> 32) as u32;
        self.table_at(slot)?.visit_top(top, |entry| {
            if entry.tracked() == Some(at) && table::hash(entry.key()) == hash {
                found = Some(entry.key().to_vec());
            }
        });
        found
    }

    #[inline]
    pub(crate) fn entry(&mut self, place: Prefetched, key: &[u8]) -> Found<'_> {
        let Prefetched { hash, slot } = place;
        let (table, tally) = match self {
            Self::One(table) => (table, None),
            Self::BySlot(by) => {
                let counts = !by.hidden.has(slot);
                let slots = by.slots.get_or_insert_with(Slots::new_boxed);
                let (table, tally) = slots.table_mut(slot, counts);
                (table, Some(tally))
            }
        };
        match table.entry(hash, key) {
            table::Entry::Occupied(slot) => Found::At(KeyMut { slot, tally }),
            table::Entry::Vacant(place) => Found::Free(Place { place, tally }),
        }
    }

    #[inline]
    pub(crate) fn find_mut(&mut self, place: Prefetched, key: &[u8]) -> Option<KeyMut<'_>> {
        match self.entry(place, key) {
            Found::At(found) => Some(found),
            Found::Free(_) => None,
        }
    }

    /// The tables, in the order of their slots.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &Table<Entry>> {
        match self {
            Self::One(table) => std::slice::from_ref(table).iter(),
            Self::BySlot(by) => by
                .slots
                .as_ref()
                .map_or([].iter(), |slots| slots.tables().iter()),
        }
    }

    /// As [`Table::scan`]. The cursor has the slot above the table's 48 bits; no slot beyond `last` is looked at.
    pub(crate) fn scan(
        &self,
        cursor: u64,
        last: u16,
        count: usize,
        mut visit: impl FnMut(EntryRef<'_>),
    ) -> u64 {
        match self {
            Self::One(table) => table.scan(cursor, count, visit),
            Self::BySlot(by) => {
                let Some(slots) = &by.slots else { return 0 };
                let mut left = count.max(1);
                slots.walk(cursor, last, |slots, slot, at| {
                    let next = slots.table(slot).scan(at, left, |entry| {
                        left = left.saturating_sub(1);
                        visit(entry);
                    });
                    (next, left > 0)
                })
            }
        }
    }

    /// As [`Table::drain_marked`].
    pub(crate) fn drain_marked(
        &mut self,
        cursor: u64,
        mut budget: usize,
        mut gone: impl FnMut(EntryRef<'_>) -> bool,
        mut taken: impl FnMut(Entry),
    ) -> u64 {
        match self {
            Self::One(table) => table.drain_marked(cursor, &mut budget, gone, taken),
            Self::BySlot(by) => by.slots.as_mut().map_or(0, |slots| {
                slots.walk_marked(cursor, |table, at| {
                    let next = table.drain_marked(at, &mut budget, &mut gone, &mut taken);
                    (next, budget > 0)
                })
            }),
        }
    }

    /// A table chosen with the weight of its entries, or of those with an expiry.
    pub(crate) fn random_table(
        &self,
        marked: bool,
        random: &mut dyn FnMut() -> u64,
    ) -> Option<&Table<Entry>> {
        match self {
            Self::One(table) => Some(table),
            Self::BySlot(by) => by.slots.as_ref()?.random_table(marked, random),
        }
    }

    /// The table of a slot, where keys are kept by slot.
    pub(crate) fn slot(&self, slot: u16) -> Option<&Table<Entry>> {
        match self {
            Self::One(_) => None,
            Self::BySlot(by) => by
                .slots
                .as_ref()
                .filter(|_| slot < SLOT_COUNT)
                .map(|slots| slots.table(slot)),
        }
    }

    /// Bytes that tables take, entries not included; of many, or of large ones, an estimate from a part of them.
    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            Self::One(table) => table.memory_estimate(),
            Self::BySlot(by) => {
                let Some(slots) = &by.slots else {
                    return 0;
                };
                let (mut bytes, mut items) = (0, 0);
                let filled = slots.tables().iter().filter(|table| !table.is_empty());
                for table in filled.take(SAMPLED) {
                    bytes += table.memory_bytes();
                    items += table.len();
                }
                slots.own_bytes() + scaled(bytes, items, slots.len())
            }
        }
    }

    /// Takes all keys of a slot out.
    pub(crate) fn take_slot(&mut self, slot: u16) -> Table<Entry> {
        match self {
            Self::BySlot(by) if slot < SLOT_COUNT => by
                .slots
                .as_mut()
                .map_or_else(Table::new, |slots| slots.take(slot)),
            Self::One(_) | Self::BySlot(_) => Table::new(),
        }
    }
}

impl<'a> KeyMut<'a> {
    #[inline]
    pub(crate) fn see(&self) -> EntryRef<'_> {
        self.slot.view()
    }

    /// The entry, to be changed in place. Whoever changes its expiry calls [`KeyMut::set_expiry`] instead.
    #[inline]
    pub(crate) fn see_mut(&mut self) -> EntryMut<'_> {
        EntryMut::of(&mut self.slot)
    }

    #[inline]
    pub(crate) fn into_slot(self) -> Occupied<'a, Entry> {
        self.slot
    }

    /// Puts an entry with the same key in its place; the old one is given back.
    pub(crate) fn replace(&mut self, entry: Entry) -> Entry {
        let had = self.slot.is_marked();
        let old = self.slot.replace(entry);
        self.count_mark(had);
        old
    }

    /// Changes the entry where that needs its ownership.
    #[inline]
    pub(crate) fn update<R>(&mut self, change: impl FnOnce(Entry) -> (Entry, R)) -> R {
        let had = self.slot.is_marked();
        let result = self.slot.update(change);
        self.count_mark(had);
        result
    }

    #[inline]
    fn count_mark(&mut self, had: bool) {
        let has = self.slot.is_marked();
        if had != has
            && let Some(tally) = &mut self.tally
        {
            tally.add(0, isize::from(has) - isize::from(had));
        }
    }

    pub(crate) fn remove(self) -> Entry {
        if let Some(mut tally) = self.tally {
            tally.add(-1, -isize::from(self.slot.is_marked()));
        }
        self.slot.remove()
    }
}

impl<'a> Place<'a> {
    #[inline]
    pub(crate) fn insert(self, entry: Entry) -> Occupied<'a, Entry> {
        if let Some(mut tally) = self.tally {
            tally.add(1, isize::from(entry.see().expire_ms().is_some()));
        }
        self.place.insert(entry)
    }
}
