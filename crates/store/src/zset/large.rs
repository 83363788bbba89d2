//! A large sorted set: a table that owns the members with their scores, and a tree that holds their order.

#![expect(unsafe_code, reason = "the tree refers to blocks that the table owns")]

use std::ops::Range;

use super::Insert;
use super::tree::{Node, Tree, order};
use crate::block::{Scored, ScoredRef};
use crate::table::{self, Entry, Occupied, Table, Waiting};

/// Every block of `members` has exactly one reference in `tree`, under the score that the block holds.
pub(super) struct Large {
    pub(super) tree: Tree<ScoredRef>,
    pub(super) members: Table<Scored>,
}

/// Where more than one in so many members goes, the table is swept: a search costs so much more than a step of a walk.
const SWEEP: usize = 8;
/// Searches that wait for memory at the same time.
const AHEAD: usize = 16;

/// What removed members leave behind, to be freed.
#[derive(Default)]
pub(super) struct Rest {
    nodes: Vec<Node<ScoredRef>>,
    pub(super) blocks: Vec<Scored>,
}

/// Members that have no place in the order yet, or none in the table either.
#[derive(Default)]
pub(super) struct Pending {
    /// With [`rising`] of the score; once there is one, all that were there before.
    unordered: Vec<(u64, ScoredRef)>,
    waiting: Waiting<Scored>,
}

impl Clone for Large {
    fn clone(&self) -> Self {
        let mut unordered = Vec::with_capacity(self.members.len());
        let members = self.members.duplicate(|view| {
            let item = Scored::of(view);
            // SAFETY: the table gets the block; the reference is used for nothing but `order`.
            let reference = unsafe { ScoredRef::new(item.view().raw()) };
            unordered.push((rising(reference.score()), reference));
            item
        });
        let mut copy = Self {
            tree: Tree::new(),
            members,
        };
        copy.order(Pending {
            unordered,
            ..Pending::default()
        });
        copy
    }
}

impl Large {
    pub(super) fn new() -> Self {
        Self {
            tree: Tree::new(),
            members: Table::new(),
        }
    }

    /// Adds a member whose place in the order is found later, by [`Large::order`]; false where an equal one was found, perhaps to an
    /// earlier one. Until then the sorted set is of no other use.
    pub(super) fn add_later(&mut self, member: &[u8], score: f64, pending: &mut Pending) -> bool {
        let item = Scored::new(score.to_ne_bytes(), [member]);
        let Pending { unordered, waiting } = pending;
        if unordered.is_empty() {
            // Those that were there before come first, so that what comes in order is in order.
            let settled = self.tree.range(0..self.tree.len());
            unordered.extend(settled.map(|key| (rising(key.score()), *key)));
        }
        waiting.push(&mut self.members, table::hash(member), item, |place| {
            unordered.push(unordered_at(place));
        })
    }

    /// Puts those members into the table that are not in it yet; false where an equal one was found.
    pub(super) fn place(&mut self, pending: &mut Pending) -> bool {
        let Pending { unordered, waiting } = pending;
        waiting.settle(&mut self.members, |place| {
            unordered.push(unordered_at(place));
        })
    }

    /// Puts the members in order that are in the table. Where none was added later, they are.
    pub(super) fn order(&mut self, pending: Pending) {
        let mut unordered = pending.unordered;
        if unordered.is_empty() {
            return;
        }
        // By scores first, as whole numbers: that sorts several times as fast as a comparison that may have to look at members.
        unordered.sort_unstable_by_key(|(score, _)| *score);
        for equal in unordered.chunk_by_mut(|(a, _), (b, _)| a == b) {
            if equal.len() > 1 {
                equal.sort_unstable_by(|(_, a), (_, b)| a.member().cmp(b.member()));
            }
        }
        self.tree = Tree::from_sorted(&unordered, |(_, key)| *key);
    }

    pub(super) fn score(&self, member: &[u8]) -> Option<f64> {
        let view = self.members.find(table::hash(member), member)?;
        Some(view.score())
    }

    pub(super) fn rank(&self, member: &[u8]) -> Option<usize> {
        let view = self.members.find(table::hash(member), member)?;
        // SAFETY: the table owns the block, and the reference lives only here.
        Some(self.tree.rank(unsafe { ScoredRef::new(view.raw()) }))
    }

    pub(super) fn insert(&mut self, member: &[u8], score: f64) -> Insert {
        match self.members.entry(table::hash(member), member) {
            Entry::Vacant(vacant) => {
                let place = vacant.insert(Scored::new(score.to_ne_bytes(), [member]));
                // SAFETY: the table owns the block; `remove` and `remove_range` take the reference out before they free it.
                self.tree.insert(unsafe { ScoredRef::new(place.raw()) });
                Insert::Added
            }
            Entry::Occupied(occupied) => {
                let old = occupied.view().score();
                #[expect(clippy::float_cmp, reason = "the very score")]
                if old == score {
                    return Insert::Unchanged;
                }
                // SAFETY: as above.
                let reference = unsafe { ScoredRef::new(occupied.raw()) };
                let stays = self.tree.keeps_place(reference, score);
                if !stays {
                    self.tree.remove(reference);
                }
                // SAFETY: `self` is borrowed mutably; the tree does not hold the reference, or holds it where it belongs.
                unsafe { reference.set_score(score) };
                if !stays {
                    self.tree.insert(reference);
                }
                Insert::Updated
            }
        }
    }

    pub(super) fn remove(&mut self, member: &[u8]) -> bool {
        let Some(occupied) = self.members.find_mut(table::hash(member), member) else {
            return false;
        };
        // SAFETY: the table owns the block; the reference and the tree's go before it.
        self.tree.remove(unsafe { ScoredRef::new(occupied.raw()) });
        occupied.remove();
        true
    }

    /// Removes the members with these ranks, which are not all; answers what is left to free.
    pub(super) fn remove_range(&mut self, ranks: Range<usize>) -> Rest {
        let mut rest = Rest::default();
        let count = ranks.len();
        if count > self.tree.len() / SWEEP {
            self.sweep(&ranks, &mut rest.blocks);
        } else {
            let keys: Vec<ScoredRef> = self.tree.range(ranks.clone()).copied().collect();
            rest.blocks.reserve_exact(count);
            for keys in keys.chunks(AHEAD) {
                self.remove_each(keys, &mut rest.blocks);
            }
        }
        // The blocks live on in `rest`, so the tree's references have been good until here.
        self.tree.remove_range(ranks, &mut rest.nodes);
        rest
    }

    /// Takes a few members out of the table. Their blocks and places come to the cache together: one after the other each would
    /// be waited for.
    fn remove_each(&mut self, keys: &[ScoredRef], blocks: &mut Vec<Scored>) {
        keys.iter().for_each(ScoredRef::prefetch);
        let mut hashes = [0; AHEAD];
        for (hash, key) in hashes.iter_mut().zip(keys) {
            *hash = table::hash(key.member());
            self.members.prefetch(*hash);
        }
        for (hash, key) in hashes.iter().zip(keys) {
            blocks.extend(self.members.remove(*hash, key.member()));
        }
    }

    /// Takes the members with these ranks out of the table by a walk over all of it: where many go, that is faster than to look for
    /// each.
    fn sweep(&mut self, ranks: &Range<usize>, blocks: &mut Vec<Scored>) {
        let end = |rank: usize| self.tree.range(rank..rank + 1).next().copied();
        let (Some(first), Some(last)) = (end(ranks.start), end(ranks.end - 1)) else {
            return;
        };
        blocks.reserve_exact(ranks.len());
        // The two blocks go to `blocks` like the others and are not changed there.
        let first = (first.score(), first.member());
        let last = (last.score(), last.member());
        let (least, most) = (first.0, last.0);
        #[expect(clippy::float_cmp, reason = "the very scores")]
        self.members.take_where(
            |view| {
                let score = view.score();
                // One test that is nearly always foreseen, and no branch beside it.
                if score == least || score == most {
                    let at = (score, view.member());
                    return order(first, at).is_le() && order(at, last).is_le();
                }
                (least < score) & (score < most)
            },
            |block| blocks.push(block),
        );
    }
}

fn unordered_at(place: &Occupied<'_, Scored>) -> (u64, ScoredRef) {
    // SAFETY: the table owns the block; the reference is used for nothing but `order`.
    (rising(place.view().score()), unsafe {
        ScoredRef::new(place.raw())
    })
}

/// A number that rises with the score, which is not NaN; the same for -0 and 0.
fn rising(score: f64) -> u64 {
    const SIGN: u64 = 1 << 63;
    let bits = (score + 0.0).to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_with_scores() {
        let scores = [
            f64::NEG_INFINITY,
            f64::MIN,
            -1.5,
            -1.0,
            -f64::from_bits(1),
            0.0,
            f64::from_bits(1),
            f64::MIN_POSITIVE,
            1.0,
            1.5,
            f64::MAX,
            f64::INFINITY,
        ];
        assert!(scores.map(rising).is_sorted_by(|a, b| a < b));
        assert_eq!(rising(-0.0), rising(0.0));
    }
}
