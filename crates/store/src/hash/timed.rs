//! A hash in which some fields have an expiry of their own. These lie in a table beside that of the others, each with its time, and in an
//! index by time; fields that have none cost what they cost elsewhere. A few fields are shown in the order in which they came.

use super::{Plain, fields};
use crate::Limits;
use crate::block::{Field, TimedField, View};
use crate::due::Due;
use crate::table::{self, Table};

/// How many fields are shown in the order in which they came, as in Valkey, whose tables have buckets of so many.
const FEW: usize = 7;

/// The places of a few fields, by their marks; 0 is nobody's.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Places {
    marks: [u32; FEW],
    /// There were more, or two had one mark: the order is that of the tables.
    lost: bool,
}

impl Places {
    /// The places of these fields.
    pub(super) fn of<'a>(fields: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut places = Self::default();
        let marks = fields.map(|field| mark(table::hash(field)));
        marks.take(FEW + 1).for_each(|mark| places.take(mark));
        places
    }

    /// A new field takes the first free place.
    fn take(&mut self, mark: u32) {
        let known = mark == 0 || self.marks.contains(&mark);
        match self.marks.iter_mut().find(|place| **place == 0) {
            Some(place) if !known => *place = mark,
            _ => self.lost = true,
        }
    }

    /// A field has gone.
    fn leave(&mut self, mark: u32) {
        let place = self.marks.iter_mut().find(|place| **place == mark);
        place.into_iter().for_each(|place| *place = 0);
    }
}

/// Fields with and without expiry. At least one has one, but while a change is made.
#[derive(Default)]
pub(crate) struct Timed {
    plain: Table<Field>,
    timed: Table<TimedField>,
    places: Places,
    /// The marks of `timed`: the top half of their hash.
    due: Due<u32>,
    /// Under which time the database has the hash in its index.
    pub(crate) tracked: Option<u64>,
}

/// What [`Timed::set`] does with an expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// None.
    Never,
    /// The one that is there stays, unless it has passed.
    Kept,
    /// This one, Unix milliseconds.
    At(u64),
}

/// What was at a field before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Nothing,
    Value,
    /// A value whose time had come.
    Expired,
}

impl Timed {
    pub(super) fn from_table(plain: Table<Field>, places: Places) -> Self {
        Self {
            plain,
            places,
            ..Self::default()
        }
    }

    /// The hash without expiries, where no field has one any more.
    pub(super) fn take_plain(&mut self) -> Option<Plain> {
        if !self.timed.is_empty() {
            return None;
        }
        if self.places.lost {
            return Some(Plain::from_table(std::mem::take(&mut self.plain)));
        }
        let mut plain = Plain::new();
        for (field, value, _) in self.iter(0) {
            plain.set(field, value, &Limits::default());
        }
        plain.forget_compact();
        Some(plain)
    }

    /// How many fields, those whose time has come included.
    pub(super) fn len(&self) -> usize {
        self.plain.len() + self.timed.len()
    }

    /// How many fields have an expiry.
    pub(super) fn timed_len(&self) -> usize {
        self.timed.len()
    }

    /// No field expires earlier.
    pub(crate) fn due_ms(&self) -> Option<u64> {
        self.due.floor()
    }

    /// The value of a field and its expiry. One whose time has come at `now` is not shown.
    pub(super) fn get(&self, field: &[u8], now: u64) -> Option<(&[u8], Option<u64>)> {
        let hash = table::hash(field);
        if let Some(found) = self.plain.find(hash, field) {
            return Some((found.parts[1], None));
        }
        let found = self.timed.find(hash, field)?;
        let at = expiry(&found);
        (!is_past(at, now)).then_some((found.parts[1], Some(at)))
    }

    /// Sets a field.
    pub(super) fn set(&mut self, field: &[u8], value: &[u8], until: Until, now: u64) -> Before {
        let hash = table::hash(field);
        let old = self.timed.find(hash, field).map(|found| expiry(&found));
        let before = match old {
            Some(at) if is_past(at, now) => Before::Expired,
            Some(_) => Before::Value,
            None if self.plain.find(hash, field).is_some() => Before::Value,
            None => Before::Nothing,
        };
        let until = match until {
            Until::Never => None,
            Until::Kept => old.filter(|_| before == Before::Value),
            Until::At(at) => Some(at),
        };
        match (old, until) {
            (None, None) => {
                fields::set(&mut self.plain, field, value);
            }
            (Some(old), Some(new)) if old == new => {
                if let Some(mut found) = self.timed.find_mut(hash, field) {
                    found.update(|mut item| {
                        item.set_last(value);
                        (item, ())
                    });
                }
            }
            _ => {
                self.take(hash, field);
                self.put(hash, field, value, until);
            }
        }
        if before == Before::Nothing {
            self.places.take(mark(hash));
        }
        before
    }

    /// Gives a field that is there another expiry, or none; whether it is there.
    pub(super) fn set_expiry(&mut self, field: &[u8], until: Option<u64>, now: u64) -> bool {
        let Some((value, old)) = self.get(field, now) else {
            return false;
        };
        if old != until {
            let (hash, value) = (table::hash(field), value.to_vec());
            self.take(hash, field);
            self.put(hash, field, &value, until);
        }
        true
    }

    /// Removes a field; whether it was there and its time had not come. One whose time has come stays.
    pub(super) fn remove(&mut self, field: &[u8], now: u64) -> bool {
        let hash = table::hash(field);
        let removed = self.get(field, now).is_some() && self.take(hash, field);
        if removed {
            self.places.leave(mark(hash));
        }
        removed
    }

    /// Takes a field out, whatever its expiry; whether it was there.
    fn take(&mut self, hash: u64, field: &[u8]) -> bool {
        if let Some(item) = self.timed.remove(hash, field) {
            self.due.remove(expiry(&item.view()), mark(hash));
            return true;
        }
        self.plain.remove(hash, field).is_some()
    }

    /// Puts a field in that is not there.
    fn put(&mut self, hash: u64, field: &[u8], value: &[u8], until: Option<u64>) {
        let Some(at) = until else {
            self.plain.insert(hash, Field::new([], [field, value]));
            return;
        };
        let item = TimedField::new(at.to_ne_bytes(), [field, value]);
        self.timed.insert(hash, item);
        let Self { timed, due, .. } = self;
        due.insert(at, mark(hash), |mark, tell| {
            with_mark(timed, mark, |view| tell(expiry(view)));
        });
    }

    /// Removes up to `most` fields whose time has come at `now`, earliest first, and shows each.
    pub(crate) fn expire(&mut self, now: u64, most: usize, mut gone: impl FnMut(&[u8])) {
        let Self {
            timed, due, places, ..
        } = self;
        let marks = due.take(now, most, |mark, tell| {
            with_mark(timed, mark, |view| tell(expiry(view)));
        });
        for mark in marks {
            let mut first: Option<(u64, Vec<u8>)> = None;
            with_mark(timed, mark, |view| {
                let at = expiry(view);
                if first.as_ref().is_none_or(|(first, _)| at < *first) {
                    first = Some((at, view.parts[0].to_vec()));
                }
            });
            if let Some((_, field)) = first {
                gone(&field);
                timed.remove(table::hash(&field), &field);
                places.leave(mark);
            }
        }
    }

    /// All fields with their values and expiries, but for those whose time has come at `now`.
    pub(super) fn iter(&self, now: u64) -> TimedIter<'_> {
        let tables = Tables {
            plain: self.plain.iter(),
            timed: self.timed.iter(),
            now,
        };
        if self.places.lost {
            return TimedIter::Many(tables);
        }
        let place = |(field, ..): &Shown<'_>| {
            let mark = mark(table::hash(field));
            self.places.marks.iter().position(|place| *place == mark)
        };
        let mut few: Vec<Shown<'_>> = tables.collect();
        few.sort_by_cached_key(place);
        TimedIter::Few(few.into_iter())
    }

    /// As [`Table::scan`]. Both tables have the same order, and one cursor is a position in it. A few fields are visited at once.
    pub(super) fn scan(
        &self,
        cursor: u64,
        count: usize,
        now: u64,
        mut visit: impl FnMut(&[u8], &[u8]),
    ) -> u64 {
        if !self.places.lost {
            self.iter(now)
                .for_each(|(field, value, _)| visit(field, value));
            return 0;
        }
        let mut both = |view: &[&[u8]; 2], at: u64| {
            if !is_past(at, now) {
                visit(view[0], view[1]);
            }
        };
        if self.plain.len() >= self.timed.len() {
            let next = (self.plain).scan(cursor, count, |view| both(&view.parts, u64::MAX));
            self.timed
                .scan_until(cursor, next, |view| both(&view.parts, expiry(&view)));
            return next;
        }
        let next = (self.timed).scan(cursor, count, |view| both(&view.parts, expiry(&view)));
        self.plain
            .scan_until(cursor, next, |view| both(&view.parts, u64::MAX));
        next
    }

    /// The heap memory of the whole, bytes; that of the fields from a few.
    pub(super) fn heap_bytes(&self) -> usize {
        let size = |parts: [&[u8]; 2]| {
            crate::packed::stored_len(parts[0].len()) + crate::packed::stored_len(parts[1].len())
        };
        let plain = crate::packed::mean(self.plain.iter().map(|view| size(view.parts)));
        let timed = crate::packed::mean(self.timed.iter().map(|view| 8 + size(view.parts)));
        size_of::<Self>()
            + self.plain.memory_bytes()
            + self.timed.memory_bytes()
            + self.due.heap_bytes()
            + plain * self.plain.len()
            + timed * self.timed.len()
    }
}

impl Clone for Timed {
    fn clone(&self) -> Self {
        Self {
            plain: self.plain.clone(),
            timed: self.timed.clone(),
            due: self.due.clone(),
            places: self.places,
            tracked: None,
        }
    }
}

/// Whether a time has come at `now`: when the clock is past it. At 0 none has.
fn is_past(at: u64, now: u64) -> bool {
    at < now
}

fn expiry(view: &View<'_, 8, 2>) -> u64 {
    u64::from_ne_bytes(view.prefix)
}

fn mark(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// Shows the fields with a mark.
fn with_mark(timed: &Table<TimedField>, mark: u32, mut visit: impl FnMut(&View<'_, 8, 2>)) {
    timed.visit_top(mark, |view| visit(&view));
}

/// A field, its value and its expiry.
type Shown<'a> = (&'a [u8], &'a [u8], Option<u64>);

/// Fields with their values and expiries.
pub(super) enum TimedIter<'a> {
    Many(Tables<'a>),
    Few(std::vec::IntoIter<Shown<'a>>),
}

impl<'a> Iterator for TimedIter<'a> {
    type Item = Shown<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Many(tables) => tables.next(),
            Self::Few(few) => few.next(),
        }
    }
}

/// The fields of the one table, then those of the other.
pub(super) struct Tables<'a> {
    plain: table::Iter<'a, Field>,
    timed: table::Iter<'a, TimedField>,
    now: u64,
}

impl<'a> Iterator for Tables<'a> {
    type Item = Shown<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(view) = self.plain.next() {
            return Some((view.parts[0], view.parts[1], None));
        }
        loop {
            let view = self.timed.next()?;
            let at = expiry(&view);
            if !is_past(at, self.now) {
                return Some((view.parts[0], view.parts[1], Some(at)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::{amount, cases};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

    fn check(timed: &Timed, model: &Model, now: u64) {
        let shown = |at: &Option<u64>| at.is_none_or(|at| at >= now);
        let seen: Model = (timed.iter(now))
            .map(|(field, value, at)| (field.to_vec(), (value.to_vec(), at)))
            .collect();
        let expected: Model = (model.iter().filter(|(_, (_, at))| shown(at)))
            .map(|(field, what)| (field.clone(), what.clone()))
            .collect();
        assert_eq!(seen, expected);
        assert_eq!(timed.len(), model.len());
        let with_time = model.values().filter(|(_, at)| at.is_some()).count();
        assert_eq!(timed.timed_len(), with_time);
        for (field, (value, at)) in model.iter().take(20) {
            let there = shown(at).then_some((&value[..], *at));
            assert_eq!(timed.get(field, now), there);
        }
        let mut scanned = BTreeSet::new();
        let mut cursor = 0;
        loop {
            cursor = timed.scan(cursor, 7, now, |field, _| {
                scanned.insert(field.to_vec());
            });
            if cursor == 0 {
                break;
            }
        }
        assert!(scanned.iter().eq(expected.keys()));
        assert!(timed.heap_bytes() > 0);
    }

    fn step(timed: &mut Timed, model: &mut Model, step: (u8, u16, u64), now: &mut u64) {
        let (what, number, at) = step;
        let field = number.to_string().into_bytes();
        let value = vec![b'v'; usize::from(number % 40)];
        let there = model.get(&field).map(|(_, at)| *at);
        let visible = there.filter(|at| at.is_none_or(|at| at >= *now));
        let before = match (there, visible) {
            (None, _) => Before::Nothing,
            (_, None) => Before::Expired,
            _ => Before::Value,
        };
        match what {
            0..3 => {
                let (until, then) = match what {
                    0 => (Until::Never, None),
                    1 => (Until::Kept, visible.flatten()),
                    _ => (Until::At(at), Some(at)),
                };
                assert_eq!(timed.set(&field, &value, until, *now), before);
                model.insert(field, (value, then));
            }
            3 | 4 => {
                let until = (what == 4).then_some(at);
                assert_eq!(
                    timed.set_expiry(&field, until, *now),
                    before == Before::Value
                );
                if let Some(known) = model.get_mut(&field).filter(|_| visible.is_some()) {
                    known.1 = until;
                }
            }
            5 => {
                assert_eq!(timed.remove(&field, *now), visible.is_some());
                if visible.is_some() {
                    model.remove(&field);
                }
            }
            6 => *now += at / 50,
            _ => {
                let most = usize::from(number) % 20 + 1;
                let mut times = Vec::new();
                timed.expire(*now, most, |field| {
                    times.extend(model.remove(field).and_then(|(_, at)| at));
                });
                assert!(times.iter().all(|at| at < now));
                let left = model.values().filter_map(|(_, at)| *at);
                let earlier = left.filter(|at| at < now).count();
                assert!(times.len() <= most && (times.len() == most || earlier == 0));
            }
        }
    }

    proptest! {
        #![proptest_config(cases(128, 3))]
        #[test]
        fn is_a_map_with_times(
            steps in prop::collection::vec((0_u8..8, 0_u16..300, 1_u64..2000), 1..amount(800, 60)),
            every in prop::sample::select(vec![1_u64, 500]),
        ) {
            let (mut timed, mut model, mut now) = (Timed::default(), Model::new(), 1);
            for (what, number, at) in steps {
                // Many at one instant, or all at different ones.
                step(&mut timed, &mut model, (what, number, at.next_multiple_of(every)), &mut now);
            }
            check(&timed, &model, now);
            check(&timed.clone(), &model, 0);
        }
    }

    #[test]
    fn a_field_with_a_time_takes_little_more() {
        let count = amount(50_000_u32, 300);
        let bytes = |until: &dyn Fn(u32) -> Until| {
            let mut timed = Timed::default();
            for n in 0..count {
                let field = format!("field:{n:08}");
                timed.set(field.as_bytes(), b"0123456789", until(n), 0);
            }
            timed.heap_bytes() / count as usize
        };
        let plain = bytes(&|_| Until::Never);
        for until in [
            &(|_| Until::At(5000)) as &dyn Fn(u32) -> Until,
            &|n| Until::At(u64::from(n)),
            &|n| Until::At(u64::from(n.wrapping_mul(0x9e37_79b9))),
        ] {
            let more = bytes(until) - plain;
            assert!(cfg!(miri) || more <= 17, "{more} bytes more");
        }
    }
}
