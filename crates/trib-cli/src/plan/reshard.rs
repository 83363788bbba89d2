//! Which slots go when a number of them shall move to one node.

use super::error::PlanError;
use super::rebalance::Shift;
use super::step::Move;
use crate::Slot;
use crate::snapshot::{Node, NodeId, Snapshot};

/// Chooses `count` slots of the sources, in proportion to what each has, for `target`.
///
/// The largest source comes first and rounds up, the others round down, the lowest slots of each go. What
/// rounding left short is taken, one each, from those that rounded down. Fewer than `count` moves come back only
/// when the sources have no more.
#[must_use]
pub fn reshard(
    snapshot: &Snapshot,
    sources: &[NodeId],
    target: &NodeId,
    count: usize,
) -> Vec<Move> {
    let mut sources: Vec<&Node> = sources.iter().filter_map(|id| snapshot.node(id)).collect();
    sources.sort_by_key(|node| std::cmp::Reverse(node.slots.len()));
    let total: usize = sources.iter().map(|node| node.slots.len()).sum();
    let count = count.min(total);
    let mut quotas: Vec<usize> = Vec::new();
    let mut left = count;
    for (index, node) in sources.iter().enumerate() {
        let exact = count * node.slots.len();
        let quota = if index == 0 {
            exact.div_ceil(total.max(1))
        } else {
            exact / total.max(1)
        };
        quotas.push(quota.min(left));
        left -= quota.min(left);
    }
    let rounded_down = |node: &Node| !(count * node.slots.len()).is_multiple_of(total.max(1));
    for (quota, node) in quotas.iter_mut().zip(&sources).skip(1) {
        let more = usize::from(left > 0 && rounded_down(node));
        *quota += more;
        left -= more;
    }
    let taken = |(node, quota): (&&Node, usize)| {
        super::step::moves_of(node.slots.iter().take(quota), &node.id, target)
    };
    sources.iter().zip(quotas).flat_map(taken).collect()
}

/// Gives all slots of a node to the other masters, so that they come to have as many each as they can.
///
/// # Errors
///
/// There is no other master.
pub fn drain(snapshot: &Snapshot, source: &NodeId) -> Result<Vec<Shift>, PlanError> {
    let others = snapshot.masters().filter(|node| node.id != *source);
    let mut sizes: Vec<(usize, NodeId, Vec<Slot>)> = others
        .map(|node| (node.slots.len(), node.id.clone(), Vec::new()))
        .collect();
    let slots = snapshot
        .node(source)
        .map(|node| node.slots.clone())
        .unwrap_or_default();
    let mut counts: Vec<usize> = sizes.iter().map(|_| 0).collect();
    for _ in 0..slots.len() {
        let least = (0..sizes.len()).min_by_key(|&index| sizes[index].0 + counts[index]);
        counts[least.ok_or(PlanError::NoWeight)?] += 1;
    }
    // Whole stretches each.
    let mut rest = slots.iter();
    for ((_, _, taken), count) in sizes.iter_mut().zip(counts) {
        taken.extend(rest.by_ref().take(count));
    }
    let shift = |(_, target, slots): (usize, NodeId, Vec<Slot>)| Shift {
        moves: super::step::moves_of(slots, source, &target),
        source: source.clone(),
        target,
    };
    Ok(sizes
        .into_iter()
        .map(shift)
        .filter(|shift| !shift.moves.is_empty())
        .collect())
}
