//! The set type: a sorted array of integers while that is possible; then members in one compact block while they are few, or in a
//! table of member blocks.
//!
//! The mark of a compact block says that it holds members. What OBJECT ENCODING reports follows Redis's limits: past them a set of few
//! bytes stays in one block, with the other mark, and is a `hashtable`.

mod ints;

use std::fmt;
use std::ops::ControlFlow;

use crate::block::Member;
use crate::handle::{Handle, See, SeeMut};
use crate::packed::{self, Elements};
use crate::table::{self, Entry, Table, Waiting};
use crate::thin::Thin;
use crate::{Encoding, Limits, int};

/// To look a member up costs as much as to pass by so many members of a table.
const FEW: usize = 32;

/// A member of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elem<'a> {
    /// A member of an integer set.
    Int(i64),
    /// Any other.
    Bytes(&'a [u8]),
}

impl<'a> Elem<'a> {
    /// Its bytes; integers are written into `scratch`.
    #[must_use]
    pub fn bytes<'b>(&self, scratch: &'b mut [u8; 20]) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Self::Int(value) => int::print(*value, scratch),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// A set of distinct byte strings. Eight bytes.
#[derive(Clone, Default)]
#[repr(transparent)]
pub struct Set(Handle<Table<Member>>);

impl Set {
    /// An empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self(Handle::new())
    }

    /// How many members.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.0.see() {
            See::Small(thin) => thin.count(),
            See::Large(table) => table.len(),
        }
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds `member`; whether it is new.
    pub fn add(&mut self, member: &[u8], limits: &Limits) -> bool {
        if let SeeMut::Small(thin) = self.0.see_mut()
            && !thin.mark()
        {
            let ints = limits.set_intset_entries > 0 || thin.count() > 0;
            if let Some(value) = int::parse(member).filter(|_| ints) {
                let new = ints::insert(thin, value);
                if thin.count() > limits.set_intset_entries {
                    self.leave_ints(true);
                }
                return new;
            }
            let long = |len: usize| len > limits.set_value;
            let past = thin.count() >= limits.set_entries
                || long(member.len())
                || long(int::MAX_LEN) && ints::iter(thin).any(|value| long(printed_len(value)));
            self.leave_ints(past);
        }
        self.add_member(member, limits)
    }

    /// Adds `member` to a set that is empty or holds members.
    fn add_member(&mut self, member: &[u8], limits: &Limits) -> bool {
        if let SeeMut::Small(thin) = self.0.see_mut() {
            if find(thin.bytes(), member).is_some() {
                return false;
            }
            let count = thin.count() + 1;
            let past =
                thin.is_past() || count > limits.set_entries || member.len() > limits.set_value;
            let bytes = thin.bytes().len() + packed::stored_len(member.len());
            if packed::suits(bytes, count, past) {
                packed::push(thin, member);
                thin.set_mark(true);
                thin.set_past(past);
                return true;
            }
            let members = Elements::new(thin.bytes(), 0);
            self.0 = Handle::from_large(Box::new(spread(members)));
        }
        match self.0.see_mut() {
            SeeMut::Small(_) => unreachable!("the set is large now"),
            SeeMut::Large(table) => match table.entry(table::hash(member), member) {
                Entry::Occupied(_) => false,
                Entry::Vacant(vacant) => {
                    vacant.insert(Member::new([], [member]));
                    true
                }
            },
        }
    }

    /// Removes `member`; whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self.0.see_mut() {
            SeeMut::Small(thin) if thin.mark() => {
                let Some(at) = find(thin.bytes(), member) else {
                    return false;
                };
                packed::remove(thin, at, at + packed::stored_len(member.len()), 1);
                true
            }
            SeeMut::Small(thin) => {
                int::parse(member).is_some_and(|value| ints::remove(thin, value))
            }
            SeeMut::Large(table) => table.remove(table::hash(member), member).is_some(),
        }
    }

    /// Whether `member` is there.
    #[must_use]
    pub fn contains(&self, member: &[u8]) -> bool {
        match self.0.see() {
            See::Small(thin) if thin.mark() => find(thin.bytes(), member).is_some(),
            See::Small(thin) => int::parse(member).is_some_and(|value| ints::contains(thin, value)),
            See::Large(table) => table.find(table::hash(member), member).is_some(),
        }
    }

    /// Whether the member that another set shows is there; integers are not printed for integer sets.
    #[must_use]
    pub fn contains_elem(&self, elem: Elem<'_>) -> bool {
        match (elem, self.0.see()) {
            (Elem::Bytes(member), _) => self.contains(member),
            (Elem::Int(value), See::Small(thin)) if !thin.mark() => ints::contains(thin, value),
            (Elem::Int(value), _) => self.contains(int::print(value, &mut [0; int::MAX_LEN])),
        }
    }

    /// Shows the members that all `others` have too, in this set's order, until `found` breaks it off.
    pub fn common(
        &self,
        others: &[&Self],
        mut found: impl FnMut(Elem<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if let Some((first, others)) = others.split_first()
            && let (See::Large(ours), See::Large(theirs)) = (self.0.see(), first.0.see())
            && theirs.len() / ours.len().max(1) < FEW
            && let Some(shown) = ours.meet(theirs, |view| {
                let elem = Elem::Bytes(view.parts[0]);
                if others.iter().all(|other| other.contains_elem(elem)) {
                    found(elem)?;
                }
                ControlFlow::Continue(())
            })
        {
            return shown;
        }
        self.iter()
            .filter(|elem| others.iter().all(|other| other.contains_elem(*elem)))
            .try_for_each(found)
    }

    /// All members; an integer set in rising order.
    pub fn iter(&self) -> impl Iterator<Item = Elem<'_>> {
        match self.0.see() {
            See::Small(thin) if thin.mark() => Iter::Members(Elements::new(thin.bytes(), 0)),
            See::Small(thin) => Iter::Ints(ints::iter(thin)),
            See::Large(table) => Iter::Table(table.iter()),
        }
    }

    /// A member chosen evenly; `random` gives uniform 64-bit numbers.
    #[must_use]
    pub fn random(&self, random: &mut dyn FnMut() -> u64) -> Option<Elem<'_>> {
        match self.0.see() {
            See::Small(thin) => {
                if thin.count() == 0 {
                    return None;
                }
                let chosen = below(random(), thin.count());
                if thin.mark() {
                    let at = packed::skip(thin.bytes(), 0, chosen);
                    Some(Elem::Bytes(packed::element(thin.bytes(), at)))
                } else {
                    Some(Elem::Int(ints::nth(thin, chosen)))
                }
            }
            See::Large(table) => table.random(random).map(|view| Elem::Bytes(view.parts[0])),
        }
    }

    /// SSCAN: visits about `count` members from `cursor`, answers the next cursor. A set in one block is visited whole.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(Elem<'_>)) -> u64 {
        match self.0.see() {
            See::Small(_) => {
                self.iter().for_each(visit);
                0
            }
            See::Large(table) => {
                table.scan(cursor, count, |view| visit(Elem::Bytes(view.parts[0])))
            }
        }
    }

    /// `intset`, `listpack` or `hashtable`.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        match self.0.see() {
            See::Small(thin) if !thin.mark() => Encoding::Intset,
            See::Small(thin) if !thin.is_past() => Encoding::Listpack,
            _ => Encoding::Hashtable,
        }
    }

    /// The heap memory that is known without a walk over the members, bytes: all of a set in one block; of a large one its table,
    /// and for the members the mean of a few.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match self.0.see() {
            See::Small(thin) => thin.heap_bytes(),
            See::Large(table) => {
                let members = table
                    .iter()
                    .map(|view| packed::stored_len(view.parts[0].len()));
                size_of_val(table) + table.memory_bytes() + packed::mean(members) * table.len()
            }
        }
    }

    /// How many heap blocks must be freed with the set: what says whether another thread should do it.
    #[must_use]
    pub fn free_effort(&self) -> usize {
        match self.0.see() {
            See::Small(_) => 1,
            See::Large(table) => table.len(),
        }
    }

    /// Makes a set that has members a `hashtable` to OBJECT ENCODING: SADD of many members does that, whatever members they are.
    pub fn forget_compact(&mut self) {
        self.leave_ints(true);
        if let SeeMut::Small(thin) = self.0.see_mut() {
            thin.set_past(true);
        }
    }

    /// Makes what is left of a larger set a new one: a `listpack` again where the limits allow it.
    pub fn compact(&mut self, limits: &Limits) {
        if self.encoding() != Encoding::Hashtable {
            return;
        }
        let mut few = Self::new();
        for elem in self.iter() {
            few.add_member(elem.bytes(&mut [0; int::MAX_LEN]), limits);
        }
        *self = few;
    }

    /// Turns integers into members, in one block or in a table; `past` the limits or not.
    fn leave_ints(&mut self, past: bool) {
        let SeeMut::Small(ints) = self.0.see_mut() else {
            return;
        };
        if ints.mark() {
            return;
        }
        let mut scratch = [0; int::MAX_LEN];
        let bytes = ints::iter(ints)
            .map(|value| packed::stored_len(printed_len(value)))
            .sum();
        if packed::suits(bytes, ints.count(), past) {
            let mut members = Thin::new();
            for value in ints::iter(ints) {
                packed::push(&mut members, int::print(value, &mut scratch));
            }
            members.set_mark(true);
            members.set_past(past);
            *ints = members;
            return;
        }
        let mut table = Table::new();
        for value in ints::iter(ints) {
            let member = int::print(value, &mut scratch);
            table.insert(table::hash(member), Member::new([], [member]));
        }
        self.0 = Handle::from_large(Box::new(table));
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

enum Iter<'a> {
    Ints(ints::Iter<'a>),
    Members(Elements<'a>),
    Table(table::Iter<'a, Member>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = Elem<'a>;

    fn next(&mut self) -> Option<Elem<'a>> {
        match self {
            Self::Ints(ints) => ints.next().map(Elem::Int),
            Self::Members(members) => members.next().map(Elem::Bytes),
            Self::Table(items) => items.next().map(|view| Elem::Bytes(view.parts[0])),
        }
    }
}

fn printed_len(value: i64) -> usize {
    int::print(value, &mut [0; int::MAX_LEN]).len()
}

/// Where `member` begins in a compact block.
fn find(bytes: &[u8], member: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < bytes.len() {
        let (begin, end) = packed::span(bytes, at);
        if packed::equal(&bytes[begin..end], member) {
            return Some(at);
        }
        at = end;
    }
    None
}

/// Builds a set from many members: for files.
#[derive(Debug, Default)]
pub struct SetBuilder {
    set: Set,
    waiting: Waiting<Member>,
}

impl SetBuilder {
    /// Adds `member`; of equal ones the first stays. False where an equal one was found, perhaps to an earlier one.
    pub fn push(&mut self, member: &[u8], limits: &Limits) -> bool {
        match self.set.0.see_mut() {
            SeeMut::Small(_) => self.set.add(member, limits),
            SeeMut::Large(table) => {
                let item = Member::new([], [member]);
                self.waiting.push(table, table::hash(member), item, |_| {})
            }
        }
    }

    /// Puts in what waits; false where an equal member was found.
    pub fn settle(&mut self) -> bool {
        match self.set.0.see_mut() {
            SeeMut::Small(_) => true,
            SeeMut::Large(table) => self.waiting.settle(table, |_| {}),
        }
    }

    /// The set.
    #[must_use]
    pub fn finish(mut self) -> Set {
        self.settle();
        self.set
    }
}

fn spread(members: Elements<'_>) -> Table<Member> {
    let mut table = Table::new();
    for member in members {
        table.insert(table::hash(member), Member::new([], [member]));
    }
    table
}

/// A number below `n` from a uniform one.
fn below(random: u64, n: usize) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "below n")]
    let chosen = ((u128::from(random) * n as u128) >> 64) as usize;
    chosen
}

#[cfg(test)]
mod tests;
