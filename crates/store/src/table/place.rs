//! Where an item is: what its hash says, and the items of a segment by rank or by chance.

use super::segment::Segment;
use super::word::Word;

/// The number made by the top `depth` bits.
#[inline]
pub(super) fn prefix_of(hash: u64, depth: u32) -> u64 {
    hash.checked_shr(64 - depth).unwrap_or(0)
}

/// The first hash behind those with this prefix, unless they are the last.
#[inline]
pub(super) fn end_of(prefix: u64, depth: u32) -> Option<u64> {
    let next = (prefix + 1).checked_shl(64 - depth)?;
    (next != 0).then_some(next)
}

/// Maps a uniform number onto `0..limit`.
#[inline]
pub(crate) fn below(random: u64, limit: usize) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "less than `limit`")]
    let number = ((u128::from(random) * limit as u128) >> 64) as usize;
    number
}

/// An item's place.
pub(super) type At = (Segment, usize);

/// One of a segment's items, evenly.
pub(super) fn one_of(segment: Segment, random: &mut dyn FnMut() -> u64) -> Option<At> {
    // Half of the slots are occupied, so a few trials do, unless the source of numbers is bad.
    for _ in 0..64 {
        let index = below(random(), segment.slots());
        if !segment.at(index).is_vacant() {
            return Some((segment, index));
        }
    }
    nth(segment, 0, |word| !word.is_vacant())
}

/// The marked item with this rank in a segment.
pub(super) fn nth_marked(segment: Segment, rank: usize) -> Option<At> {
    nth(segment, rank, Word::is_marked)
}

/// The item with this rank among those for which `is` holds.
pub(super) fn nth(segment: Segment, rank: usize, is: impl Fn(Word) -> bool) -> Option<At> {
    (0..segment.slots())
        .filter(|&index| is(segment.at(index)))
        .nth(rank)
        .map(|index| (segment, index))
}
