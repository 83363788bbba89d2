//! The sorted set type: one block while small (`compact`), a table of members and a counted tree on wide nodes when large.
//!
//! Every range (by rank, score or member) is first turned into a range of ranks, in O(log n); what follows works on ranks alone.
//! What OBJECT ENCODING reports follows Redis's limits; past them a sorted set of few bytes stays in one block, with a mark.

mod compact;
mod large;
mod score;
mod tree;

use std::fmt;
use std::ops::Range;

use crate::block::ScoredRef;
use crate::handle::{Handle, See, SeeMut};
use crate::thin::Thin;
use crate::{Encoding, Limits, packed};
use compact::Pairs;
use large::{Large, Pending};

/// So many members are freed where they are removed.
const FREED_AT_ONCE: usize = 64;

/// An end of a score range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreBound {
    /// The score; may be infinite, is never NaN.
    pub value: f64,
    /// Whether the score itself is left out.
    pub exclusive: bool,
}

/// An end of a lexicographic range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// `-`: before every member.
    Min,
    /// `+`: after every member.
    Max,
    /// `[member`
    Inclusive(&'a [u8]),
    /// `(member`
    Exclusive(&'a [u8]),
}

/// What an insertion did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insert {
    /// The member is new.
    Added,
    /// The member was there with another score.
    Updated,
    /// The member was there with this score.
    Unchanged,
}

/// Members in the order of (score, bytes). Eight bytes; compact ones are one heap block.
#[derive(Clone, Default)]
#[repr(transparent)]
pub struct Zset(Handle<Large>);

impl Zset {
    /// An empty sorted set.
    #[must_use]
    pub const fn new() -> Self {
        Self(Handle::new())
    }

    /// How many members.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.0.see() {
            See::Small(thin) => thin.count(),
            See::Large(large) => large.tree.len(),
        }
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The score of `member`.
    #[must_use]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match self.0.see() {
            See::Small(thin) => compact::find(thin, member).map(|found| found.score),
            See::Large(large) => large.score(member),
        }
    }

    /// Sets the score of `member`. `score` is not NaN: the caller has checked.
    pub fn insert(&mut self, member: &[u8], score: f64, limits: &Limits) -> Insert {
        match self.0.see_mut() {
            SeeMut::Small(thin) => {
                let mut mark = thin.mark();
                let found = compact::find(thin, member);
                #[expect(clippy::float_cmp, reason = "the very score")]
                let answer = match &found {
                    Some(found) if found.score == score => return Insert::Unchanged,
                    Some(found) => {
                        compact::remove(thin, found);
                        Insert::Updated
                    }
                    None => {
                        let count = thin.count() + 1;
                        mark |= member.len() > limits.zset_value || count > limits.zset_entries;
                        Insert::Added
                    }
                };
                let bytes = thin.bytes().len() + compact::stored_len(member, score);
                if packed::suits(bytes, thin.count() + 1, mark) {
                    compact::insert(thin, member, score);
                    thin.set_mark(mark);
                } else {
                    self.grow().insert(member, score);
                }
                answer
            }
            SeeMut::Large(large) => large.insert(member, score),
        }
    }

    /// Removes `member`; whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self.0.see_mut() {
            SeeMut::Small(thin) => {
                let Some(found) = compact::find(thin, member) else {
                    return false;
                };
                compact::remove(thin, &found);
                true
            }
            SeeMut::Large(large) => large.remove(member),
        }
    }

    /// The rank of `member`, from 0 at the lowest score.
    #[must_use]
    pub fn rank(&self, member: &[u8]) -> Option<usize> {
        match self.0.see() {
            See::Small(thin) => compact::find(thin, member).map(|found| found.rank),
            See::Large(large) => large.rank(member),
        }
    }

    /// The ranks of the members with scores between `min` and `max`; empty where there are none.
    #[must_use]
    pub fn ranks_by_score(&self, min: ScoreBound, max: ScoreBound) -> Range<usize> {
        let start =
            self.count_while(|score, _| score < min.value || (min.exclusive && score <= min.value));
        let end = self
            .count_while(|score, _| score < max.value || (!max.exclusive && score <= max.value));
        start..end.max(start)
    }

    /// The ranks of the members between `min` and `max`, provided that all scores are equal (as ZRANGEBYLEX asks).
    #[must_use]
    pub fn ranks_by_lex(&self, min: LexBound<'_>, max: LexBound<'_>) -> Range<usize> {
        let start = self.count_while(|_, member| match min {
            LexBound::Min => false,
            LexBound::Max => true,
            LexBound::Inclusive(bound) => member < bound,
            LexBound::Exclusive(bound) => member <= bound,
        });
        let end = self.count_while(|_, member| match max {
            LexBound::Min => false,
            LexBound::Max => true,
            LexBound::Inclusive(bound) => member <= bound,
            LexBound::Exclusive(bound) => member < bound,
        });
        start..end.max(start)
    }

    /// Members and scores of a range of ranks, in order, from either end. Ranks past the end are left out.
    pub fn range(&self, ranks: Range<usize>) -> impl DoubleEndedIterator<Item = (&[u8], f64)> {
        let end = ranks.end.min(self.len());
        let start = ranks.start.min(end);
        match self.0.see() {
            See::Small(thin) => {
                let mut pairs = Pairs::new(thin);
                compact::skip(&mut pairs, start);
                Iter::Compact {
                    pairs,
                    left: end - start,
                    places: None,
                }
            }
            See::Large(large) => Iter::Large(large.tree.range(start..end)),
        }
    }

    /// All members in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], f64)> {
        self.range(0..self.len())
    }

    /// Removes a range of ranks; answers how many members went, and what is better freed by another thread.
    pub fn remove_range(&mut self, ranks: Range<usize>) -> (usize, Option<Box<dyn Send>>) {
        let end = ranks.end.min(self.len());
        let start = ranks.start.min(end);
        let members = end - start;
        let rest: Option<Box<dyn Send>> = match self.0.see_mut() {
            _ if members == 0 => None,
            SeeMut::Small(thin) => {
                compact::remove_range(thin, start, end);
                None
            }
            SeeMut::Large(large) if members == large.tree.len() => {
                Some(Box::new(std::mem::take(self)))
            }
            SeeMut::Large(large) => Some(Box::new(large.remove_range(start..end))),
        };
        (members, rest.filter(|_| members > FREED_AT_ONCE))
    }

    /// ZSCAN: visits about `count` members from `cursor`, answers the next cursor. A compact one is visited whole.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], f64)) -> u64 {
        match self.0.see() {
            See::Small(thin) => {
                Pairs::new(thin).for_each(|(member, score)| visit(member, score));
                0
            }
            See::Large(large) => large
                .members
                .scan(cursor, count, |view| visit(view.member(), view.score())),
        }
    }

    /// `listpack` or `skiplist`.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        match self.0.see() {
            See::Small(thin) if !thin.mark() => Encoding::Listpack,
            _ => Encoding::Skiplist,
        }
    }

    /// Makes the sorted set a `listpack` again where the limits allow it, as Redis does with a result that it stores and with what
    /// it loads.
    pub fn compact_if_small(&mut self, limits: &Limits) {
        let long = |member: &[u8]| member.len() > limits.zset_value;
        if self.len() > limits.zset_entries || self.iter().any(|(member, _)| long(member)) {
            return;
        }
        match self.0.see_mut() {
            SeeMut::Small(thin) => thin.set_mark(false),
            SeeMut::Large(large) => {
                let pairs = large.tree.range(0..large.tree.len());
                let bytes = pairs
                    .map(|key| compact::stored_len(key.member(), key.score()))
                    .sum();
                if packed::suits(bytes, large.tree.len(), false) {
                    let mut thin = Thin::new();
                    compact::fill(&mut thin, self.iter(), bytes);
                    self.0 = Handle::from_small(thin);
                }
            }
        }
    }

    /// Makes a sorted set that has members a `skiplist` to OBJECT ENCODING: SORT does that, and ZADD of many members.
    pub fn forget_compact(&mut self) {
        if let SeeMut::Small(thin) = self.0.see_mut() {
            thin.set_mark(true);
        }
    }

    /// The heap memory that is known without a walk over the members, bytes: all of a compact one; of a large one its table and
    /// about its tree, and for the members the mean of a few.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match self.0.see() {
            See::Small(thin) => thin.heap_bytes(),
            See::Large(large) => {
                let sizes = large
                    .members
                    .iter()
                    .map(|view| size_of::<f64>() + packed::stored_len(view.member().len()));
                let members = packed::mean(sizes) * large.members.len();
                size_of_val(large)
                    + large.members.memory_bytes()
                    + members
                    + large.tree.heap_bytes()
            }
        }
    }

    /// How many heap blocks must be freed with the sorted set: what says whether another thread should do it.
    #[must_use]
    pub fn free_effort(&self) -> usize {
        match self.0.see() {
            See::Small(_) => 1,
            See::Large(large) => large.members.len() + large.tree.nodes(),
        }
    }

    /// How many members there are before the first for which `before` does not hold.
    fn count_while(&self, before: impl Fn(f64, &[u8]) -> bool) -> usize {
        match self.0.see() {
            See::Small(thin) => Pairs::new(thin)
                .take_while(|(member, score)| before(*score, member))
                .count(),
            See::Large(large) => large
                .tree
                .count_while(|score, key| before(score, key.member())),
        }
    }

    /// Leaves the compact block, if it is one.
    fn grow(&mut self) -> &mut Large {
        if let SeeMut::Small(thin) = self.0.see_mut() {
            let mut large = Box::new(Large::new());
            for (member, score) in Pairs::new(thin) {
                large.insert(member, score);
            }
            self.0 = Handle::from_large(large);
        }
        match self.0.see_mut() {
            SeeMut::Large(large) => large,
            SeeMut::Small(_) => unreachable!("the sorted set is large now"),
        }
    }
}

impl fmt::Debug for Zset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Builds a sorted set from members in any order, with one sort at the end: for files.
#[derive(Default)]
pub struct ZsetBuilder {
    zset: Zset,
    pending: Pending,
}

impl ZsetBuilder {
    /// A builder that has no members.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `member`; of equal ones the first stays. False where an equal one was found, perhaps to an earlier one. `score` is not
    /// NaN: the caller has checked.
    pub fn push(&mut self, member: &[u8], score: f64, limits: &Limits) -> bool {
        match self.zset.0.see_mut() {
            SeeMut::Small(thin) => {
                if compact::find(thin, member).is_some() {
                    return false;
                }
                self.zset.insert(member, score, limits) == Insert::Added
            }
            SeeMut::Large(large) => large.add_later(member, score, &mut self.pending),
        }
    }

    /// Puts in what waits; false where an equal member was found.
    pub fn settle(&mut self) -> bool {
        match self.zset.0.see_mut() {
            SeeMut::Small(_) => true,
            SeeMut::Large(large) => large.place(&mut self.pending),
        }
    }

    /// The sorted set.
    #[must_use]
    pub fn finish(mut self) -> Zset {
        if let SeeMut::Large(large) = self.zset.0.see_mut() {
            large.place(&mut self.pending);
            large.order(self.pending);
        }
        self.zset
    }
}

impl fmt::Debug for ZsetBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZsetBuilder").finish_non_exhaustive()
    }
}

enum Iter<'a> {
    Compact {
        pairs: Pairs<'a>,
        left: usize,
        /// Where the pairs begin that are left; made when the first is taken from the back.
        places: Option<Vec<usize>>,
    },
    Large(tree::Iter<'a, ScoredRef>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Compact { pairs, left, .. } => {
                *left = left.checked_sub(1)?;
                pairs.next()
            }
            Self::Large(keys) => keys.next().map(|key| (key.member(), key.score())),
        }
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Self::Compact {
                pairs,
                left,
                places,
            } => {
                let many = *left;
                *left = left.checked_sub(1)?;
                let places = places.get_or_insert_with(|| {
                    let mut pairs = pairs.clone();
                    let starts = (0..many).map(|_| {
                        let at = pairs.at();
                        pairs.next();
                        at
                    });
                    starts.collect()
                });
                pairs.starting(places.pop()?).next()
            }
            Self::Large(keys) => keys.next_back().map(|key| (key.member(), key.score())),
        }
    }
}

#[cfg(test)]
mod tests;
