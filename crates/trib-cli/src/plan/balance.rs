//! A balance by what slots hold or cost, where their number says too little.

use std::collections::BTreeMap;

use super::error::PlanError;
use super::rebalance::{RebalanceOptions, Shift};
use super::step::Move;
use crate::Slot;
use crate::snapshot::{Node, NodeId, Snapshot};

/// What each slot weighs: its keys, bytes, or load.
pub type SlotLoads = BTreeMap<Slot, u64>;

/// One master while its slots are dealt out.
struct Holder {
    id: NodeId,
    /// Slots with what they weigh, the heaviest last.
    slots: Vec<(u64, Slot)>,
    load: u64,
    share: u64,
}

/// Plans moves after which each master has its weight's part of all load, as nearly as whole slots allow. Where every
/// master is within the threshold already, nothing moves. Heavy slots go first, each to the master that lacks most;
/// none goes where it would only turn the imbalance round.
///
/// # Errors
///
/// A weight that is no number of at least 0; weights that sum to zero.
pub fn rebalance_by(
    snapshot: &Snapshot,
    loads: &SlotLoads,
    options: &RebalanceOptions,
) -> Result<Vec<Shift>, PlanError> {
    let mut holders = holders(snapshot, loads, options)?;
    if holders
        .iter()
        .all(|holder| within(holder, options.threshold))
    {
        return Ok(Vec::new());
    }
    let mut shifts: BTreeMap<(NodeId, NodeId), Vec<Move>> = BTreeMap::new();
    while let Some((source, target, slot)) = next_move(&mut holders) {
        let route = (source.clone(), target.clone());
        let entry = Move {
            slot,
            source,
            target,
        };
        shifts.entry(route).or_default().push(entry);
    }
    let shift = |((source, target), moves)| Shift {
        source,
        target,
        moves,
    };
    Ok(shifts.into_iter().map(shift).collect())
}

fn holders(
    snapshot: &Snapshot,
    loads: &SlotLoads,
    options: &RebalanceOptions,
) -> Result<Vec<Holder>, PlanError> {
    let bad = |weight: &&f64| !(weight.is_finite() && **weight >= 0.0);
    if let Some(weight) = options.weights.values().find(bad) {
        return Err(PlanError::Weight(weight.to_string()));
    }
    let taking_part = |node: &&Node| options.use_empty_masters || !node.slots.is_empty();
    let weight = |id: &NodeId| options.weights.get(id).copied().unwrap_or(1.0);
    let nodes: Vec<&Node> = snapshot.masters().filter(taking_part).collect();
    let weights: f64 = nodes.iter().map(|node| weight(&node.id)).sum();
    if weights <= 0.0 {
        return Err(PlanError::NoWeight);
    }
    let mut holders: Vec<Holder> = Vec::new();
    for node in nodes {
        let load = |slot| (loads.get(&slot).copied().unwrap_or(0), slot);
        let mut slots: Vec<(u64, Slot)> = node.slots.iter().map(load).collect();
        slots.sort_unstable();
        holders.push(Holder {
            id: node.id.clone(),
            load: slots
                .iter()
                .fold(0, |sum, (load, _)| sum.saturating_add(*load)),
            slots,
            share: 0,
        });
    }
    let total = holders
        .iter()
        .fold(0_u64, |sum, holder| sum.saturating_add(holder.load));
    for holder in &mut holders {
        holder.share = part(total, weight(&holder.id) / weights);
    }
    Ok(holders)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a part of a whole, and a share need not be exact"
)]
fn part(whole: u64, fraction: f64) -> u64 {
    (whole as f64 * fraction) as u64
}

#[expect(clippy::cast_precision_loss, reason = "compared with a percentage")]
fn within(holder: &Holder, threshold: f64) -> bool {
    let off = holder.load.abs_diff(holder.share) as f64;
    off * 100.0 <= threshold * holder.share as f64
}

/// The heaviest slot of the master that has most too much that helps the one that lacks most.
fn next_move(holders: &mut [Holder]) -> Option<(NodeId, NodeId, Slot)> {
    let over = |holder: &Holder| holder.load.saturating_sub(holder.share);
    let under = |holder: &Holder| holder.share.saturating_sub(holder.load);
    let (from, _) = holders
        .iter()
        .enumerate()
        .max_by_key(|(_, holder)| over(holder))?;
    let (to, _) = holders
        .iter()
        .enumerate()
        .max_by_key(|(_, holder)| under(holder))?;
    let (excess, lack) = (over(&holders[from]), under(&holders[to]));
    // Beyond the smaller of both it is still better as long as it is less than twice that.
    let most = excess.min(lack).saturating_mul(2).saturating_sub(1);
    let slots = &mut holders[from].slots;
    let fitting = slots.partition_point(|(load, _)| *load <= most);
    let (load, slot) = slots[..fitting]
        .last()
        .copied()
        .filter(|(load, _)| *load > 0)?;
    slots.remove(fitting - 1);
    holders[from].load -= load;
    holders[to].load = holders[to].load.saturating_add(load);
    Some((holders[from].id.clone(), holders[to].id.clone(), slot))
}
