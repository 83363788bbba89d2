//! The keys of a cluster node: one table per hash slot, and how many keys each has.

use hash_slot::SLOT_COUNT;

use crate::entry::Entry;
use crate::table::Table;

/// Slots whose keys are counted together, to find one by weight in few steps.
const GROUP: usize = 128;
/// A table's cursors have this many bits.
pub(crate) const CURSOR_BITS: u32 = 48;

/// Slots whose keys are on their way here: nobody is shown them, and nobody but who brings them touches them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hidden(Option<Box<[u64; SLOT_COUNT as usize / 64]>>);

impl Hidden {
    #[inline]
    pub(crate) fn has(&self, slot: u16) -> bool {
        let Some(words) = &self.0 else { return false };
        words[usize::from(slot / 64)] >> (slot % 64) & 1 != 0
    }

    fn set(&mut self, slot: u16, on: bool) {
        let words = self
            .0
            .get_or_insert_with(|| Box::new([0; SLOT_COUNT as usize / 64]));
        let bit = 1 << (slot % 64);
        if on {
            words[usize::from(slot / 64)] |= bit;
        } else {
            words[usize::from(slot / 64)] &= !bit;
        }
        if words.iter().all(|word| *word == 0) {
            self.0 = None;
        }
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = u16> {
        let any = self.0.is_some();
        (0..SLOT_COUNT).filter(move |slot| any && self.has(*slot))
    }
}

/// What a database keeps by slot.
#[derive(Debug, Default)]
pub(crate) struct BySlot {
    /// Nothing is allocated before the first key comes.
    pub(crate) slots: Option<Box<Slots>>,
    pub(crate) hidden: Hidden,
}

impl BySlot {
    /// As it was before the first key came. What is hidden stays hidden.
    pub(crate) fn emptied(&self) -> Self {
        Self {
            slots: None,
            hidden: self.hidden.clone(),
        }
    }

    pub(crate) fn hide(&mut self, slot: u16, on: bool) {
        if slot >= SLOT_COUNT || self.hidden.has(slot) == on {
            return;
        }
        self.hidden.set(slot, on);
        if let Some(slots) = &mut self.slots {
            slots.count(slot, !on);
        }
    }

    /// All keys, those of hidden slots too.
    pub(crate) fn total_len(&self) -> usize {
        let Some(slots) = &self.slots else { return 0 };
        let hidden = self.hidden.slots().map(|slot| slots.table(slot).len());
        slots.len() + hidden.sum::<usize>()
    }
}

/// Tables by slot. What is hidden is not counted, so that walks and draws pass it over.
#[derive(Debug)]
pub(crate) struct Slots {
    tables: Box<[Table<Entry>]>,
    all: Weights,
    marked: Weights,
}

/// How many keys each slot has.
#[derive(Debug)]
struct Weights {
    total: usize,
    groups: Box<[u32]>,
    each: Box<[u32]>,
}

/// The counts of one slot, to be kept while its table is changed.
pub(crate) struct Tally<'a> {
    all: &'a mut Weights,
    marked: &'a mut Weights,
    slot: u16,
    counts: bool,
}

impl Slots {
    pub(crate) fn new_boxed() -> Box<Self> {
        Box::new(Self {
            tables: (0..SLOT_COUNT).map(|_| Table::new()).collect(),
            all: Weights::new(),
            marked: Weights::new(),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.all.total
    }

    pub(crate) fn marked_len(&self) -> usize {
        self.marked.total
    }

    /// Bytes of the arrays by slot.
    pub(crate) fn own_bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.tables) + self.all.bytes() + self.marked.bytes()
    }

    pub(crate) fn tables(&self) -> &[Table<Entry>] {
        &self.tables
    }

    #[inline]
    pub(crate) fn table(&self, slot: u16) -> &Table<Entry> {
        &self.tables[usize::from(slot)]
    }

    /// The table of a slot, and the counts to be kept if it `counts`.
    #[inline]
    pub(crate) fn table_mut(&mut self, slot: u16, counts: bool) -> (&mut Table<Entry>, Tally<'_>) {
        let tally = Tally {
            all: &mut self.all,
            marked: &mut self.marked,
            slot,
            counts,
        };
        (&mut self.tables[usize::from(slot)], tally)
    }

    /// Takes all keys of a slot out.
    pub(crate) fn take(&mut self, slot: u16) -> Table<Entry> {
        let table = std::mem::take(&mut self.tables[usize::from(slot)]);
        self.all.set(slot, 0);
        self.marked.set(slot, 0);
        table
    }

    /// A slot's keys count from now on, or do not any more.
    fn count(&mut self, slot: u16, counts: bool) {
        let table = &self.tables[usize::from(slot)];
        let (all, marked) = if counts {
            (table.len(), table.marked_len())
        } else {
            (0, 0)
        };
        self.all.set(slot, all);
        self.marked.set(slot, marked);
    }

    /// Walks over slots that have keys, from `cursor` on up to `last`: `step` gets a slot and a cursor of its table and answers the
    /// next cursor and whether to go on. Answers the cursor where it stopped, 0 at the end.
    pub(crate) fn walk(
        &self,
        cursor: u64,
        last: u16,
        mut step: impl FnMut(&Self, u16, u64) -> (u64, bool),
    ) -> u64 {
        let Some((mut slot, mut at)) = parts(cursor) else {
            return 0;
        };
        while let Some(found) = self.all.first_from(slot).filter(|found| *found <= last) {
            if found != slot {
                at = 0;
            }
            let (next, more) = step(self, found, at);
            match resume(found, next, more) {
                Resume::At(new_slot, new_at) => (slot, at) = (new_slot, new_at),
                // Not a slot without keys, nor one beyond the last.
                Resume::Stop(cursor) => match parts(cursor) {
                    Some((next, 0)) => {
                        let next = self.all.first_from(next).filter(|next| *next <= last);
                        return next.map_or(0, |next| u64::from(next) << CURSOR_BITS);
                    }
                    _ => return cursor,
                },
            }
        }
        0
    }

    /// As [`Slots::walk`], over slots that have keys with an expiry; their tables may be changed.
    pub(crate) fn walk_marked(
        &mut self,
        cursor: u64,
        mut step: impl FnMut(&mut Table<Entry>, u64) -> (u64, bool),
    ) -> u64 {
        let Some((mut slot, mut at)) = parts(cursor) else {
            return 0;
        };
        while let Some(found) = self.marked.first_from(slot) {
            if found != slot {
                at = 0;
            }
            let table = &mut self.tables[usize::from(found)];
            let (next, more) = step(table, at);
            self.all.set(found, table.len());
            self.marked.set(found, table.marked_len());
            match resume(found, next, more) {
                Resume::At(new_slot, new_at) => (slot, at) = (new_slot, new_at),
                Resume::Stop(cursor) => return cursor,
            }
        }
        0
    }

    pub(crate) fn random_table(
        &self,
        marked: bool,
        random: &mut dyn FnMut() -> u64,
    ) -> Option<&Table<Entry>> {
        let weights = if marked { &self.marked } else { &self.all };
        let slot = weights.nth(crate::table::below(random(), weights.total))?;
        Some(self.table(slot))
    }
}

impl Tally<'_> {
    pub(crate) fn add(&mut self, keys: isize, marked: isize) {
        if !self.counts {
            return;
        }
        self.all.add(self.slot, keys);
        if marked != 0 {
            self.marked.add(self.slot, marked);
        }
    }
}

impl Weights {
    fn new() -> Self {
        Self {
            total: 0,
            groups: vec![0; usize::from(SLOT_COUNT) / GROUP].into(),
            each: vec![0; usize::from(SLOT_COUNT)].into(),
        }
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.groups) + size_of_val(&*self.each)
    }

    fn add(&mut self, slot: u16, change: isize) {
        #[expect(clippy::cast_possible_truncation, reason = "one at a time")]
        let small = change as i32;
        let slot = usize::from(slot);
        self.total = self.total.wrapping_add_signed(change);
        let counts = [&mut self.groups[slot / GROUP], &mut self.each[slot]];
        for count in counts {
            *count = count.wrapping_add_signed(small);
        }
    }

    fn set(&mut self, slot: u16, count: usize) {
        let old = self.each[usize::from(slot)];
        #[expect(
            clippy::cast_possible_wrap,
            reason = "counts are far below the integers' ends"
        )]
        self.add(slot, count as isize - old as isize);
    }

    /// The first slot from `slot` on that has a weight.
    fn first_from(&self, slot: u16) -> Option<u16> {
        let mut slot = usize::from(slot);
        while slot < self.each.len() {
            if self.groups[slot / GROUP] == 0 {
                slot = (slot / GROUP + 1) * GROUP;
            } else if self.each[slot] == 0 {
                slot += 1;
            } else {
                return u16::try_from(slot).ok();
            }
        }
        None
    }

    /// The slot of the key with this rank.
    fn nth(&self, mut rank: usize) -> Option<u16> {
        let mut slot = 0;
        for &count in &self.groups {
            if rank < count as usize {
                break;
            }
            rank -= count as usize;
            slot += GROUP;
        }
        for &count in self.each.get(slot..)? {
            if rank < count as usize {
                return u16::try_from(slot).ok();
            }
            rank -= count as usize;
            slot += 1;
        }
        None
    }
}

/// Where a walk goes on.
enum Resume {
    At(u16, u64),
    Stop(u64),
}

fn resume(slot: u16, next: u64, more: bool) -> Resume {
    let (slot, at) = if next == 0 {
        (slot + 1, 0)
    } else {
        (slot, next)
    };
    if more {
        Resume::At(slot, at)
    } else if slot < SLOT_COUNT {
        Resume::Stop(u64::from(slot) << CURSOR_BITS | at)
    } else {
        Resume::Stop(0)
    }
}

/// Slot and table cursor; nothing where there is no such slot.
fn parts(cursor: u64) -> Option<(u16, u64)> {
    let slot = u16::try_from(cursor >> CURSOR_BITS)
        .ok()
        .filter(|&slot| slot < SLOT_COUNT)?;
    Some((slot, cursor & ((1 << CURSOR_BITS) - 1)))
}
