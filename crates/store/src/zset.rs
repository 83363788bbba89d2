//! The sorted set type: one block while small, a table of members and a counted tree on wide nodes when large.
//!
//! Every range (by rank, score or member) is first turned into a range of ranks, in O(log n); what follows works on ranks alone.

use std::ops::Range;

use crate::{Encoding, Limits};

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
#[derive(Debug, Default)]
pub struct Zset {}

impl Zset {
    /// An empty sorted set.
    #[must_use]
    pub fn new() -> Self {
        todo!()
    }

    /// How many members.
    #[must_use]
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The score of `member`.
    #[must_use]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        let _ = member;
        todo!()
    }

    /// Sets the score of `member`. `score` is not NaN: the caller has checked.
    pub fn insert(&mut self, member: &[u8], score: f64, limits: &Limits) -> Insert {
        let _ = (member, score, limits);
        todo!()
    }

    /// Removes `member`; whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let _ = member;
        todo!()
    }

    /// The rank of `member`, from 0 at the lowest score.
    #[must_use]
    pub fn rank(&self, member: &[u8]) -> Option<usize> {
        let _ = member;
        todo!()
    }

    /// The ranks of the members with scores between `min` and `max`; empty where there are none.
    #[must_use]
    pub fn ranks_by_score(&self, min: ScoreBound, max: ScoreBound) -> Range<usize> {
        let _ = (min, max);
        todo!()
    }

    /// The ranks of the members between `min` and `max`, provided that all scores are equal (as ZRANGEBYLEX asks).
    #[must_use]
    pub fn ranks_by_lex(&self, min: LexBound<'_>, max: LexBound<'_>) -> Range<usize> {
        let _ = (min, max);
        todo!()
    }

    /// Members and scores of a range of ranks, in order, from either end. Ranks past the end are left out.
    pub fn range(&self, ranks: Range<usize>) -> impl DoubleEndedIterator<Item = (&[u8], f64)> {
        let _ = ranks;
        Vec::<(&[u8], f64)>::new().into_iter()
    }

    /// All members in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&[u8], f64)> {
        self.range(0..self.len())
    }

    /// Removes a range of ranks; answers how many members went.
    pub fn remove_range(&mut self, ranks: Range<usize>) -> usize {
        let _ = ranks;
        todo!()
    }

    /// ZSCAN: visits about `count` members from `cursor`, answers the next cursor. A compact one is visited whole.
    pub fn scan(&self, cursor: u64, count: usize, visit: impl FnMut(&[u8], f64)) -> u64 {
        let _ = (cursor, count, visit);
        todo!()
    }

    /// `ziplist` or `skiplist`.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        todo!()
    }
}
