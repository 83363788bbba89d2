//! A sorted set in one block: `[length][member][score]` one after the other, in order.

use super::score::{self, Stored};
use super::tree::order;
use crate::packed;
use crate::thin::Thin;

/// Members and scores in order.
#[derive(Clone)]
pub(super) struct Pairs<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Pairs<'a> {
    pub(super) fn new(thin: &'a Thin) -> Self {
        Self {
            bytes: thin.bytes(),
            at: 0,
        }
    }

    /// Where the next pair begins.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The same pairs from a place that [`Pairs::at`] gave.
    pub(super) fn starting(&self, at: usize) -> Self {
        Self {
            bytes: self.bytes,
            at,
        }
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], f64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let (begin, end) = packed::span(self.bytes, self.at);
        let score = &self.bytes[end..];
        self.at = end + score::stored_len(score[0]);
        Some((&self.bytes[begin..end], score::read(score)))
    }
}

/// A member that was found.
pub(super) struct Found {
    pub(super) rank: usize,
    pub(super) score: f64,
    begin: usize,
    end: usize,
}

pub(super) fn find(thin: &Thin, member: &[u8]) -> Option<Found> {
    let bytes = thin.bytes();
    let (mut at, mut rank) = (0, 0);
    while at < bytes.len() {
        let (begin, end) = packed::span(bytes, at);
        let next = end + score::stored_len(bytes[end]);
        if packed::equal(&bytes[begin..end], member) {
            return Some(Found {
                rank,
                score: score::read(&bytes[end..]),
                begin: at,
                end: next,
            });
        }
        at = next;
        rank += 1;
    }
    None
}

/// How many bytes a member takes with its score.
pub(super) fn stored_len(member: &[u8], score: f64) -> usize {
    packed::stored_len(member.len()) + Stored::new(score).as_slice().len()
}

/// Adds a member that is not there.
pub(super) fn insert(thin: &mut Thin, member: &[u8], score: f64) {
    let mut pairs = Pairs::new(thin);
    let mut at = 0;
    while let Some((other, other_score)) = pairs.next() {
        if order((other_score, other), (score, member)).is_gt() {
            break;
        }
        at = pairs.at();
    }
    let count = thin.count() + 1;
    let (head, score) = (packed::head(member), Stored::new(score));
    thin.splice(at, 0, &[head.as_slice(), member, score.as_slice()], count);
}

/// Fills an empty block with members that are in order and take `bytes` bytes.
pub(super) fn fill<'a>(
    thin: &mut Thin,
    pairs: impl Iterator<Item = (&'a [u8], f64)>,
    bytes: usize,
) {
    let mut all = Vec::with_capacity(bytes);
    let mut count = 0;
    for (member, score) in pairs {
        all.extend_from_slice(packed::head(member).as_slice());
        all.extend_from_slice(member);
        all.extend_from_slice(Stored::new(score).as_slice());
        count += 1;
    }
    thin.splice(0, 0, &[&all], count);
}

pub(super) fn remove(thin: &mut Thin, found: &Found) {
    packed::remove(thin, found.begin, found.end, 1);
}

/// Removes the members with these ranks.
pub(super) fn remove_range(thin: &mut Thin, from: usize, to: usize) {
    let mut pairs = Pairs::new(thin);
    let begin = skip(&mut pairs, from);
    let end = skip(&mut pairs, to - from);
    packed::remove(thin, begin, end, to - from);
}

/// Goes `n` pairs on; answers where the next one begins.
pub(super) fn skip(pairs: &mut Pairs<'_>, n: usize) -> usize {
    for _ in 0..n {
        pairs.next();
    }
    pairs.at()
}
