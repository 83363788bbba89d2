//! How many slots each master should have, and who gives to whom.

use std::collections::BTreeMap;

use super::error::PlanError;
use super::step::Move;
use crate::SLOT_COUNT;
use crate::snapshot::{NodeId, Snapshot};

/// What the user may say about the balance.
#[derive(Clone, Debug, PartialEq)]
pub struct RebalanceOptions {
    /// Weights that differ from 1.
    pub weights: BTreeMap<NodeId, f64>,
    /// Deviation in percent of a node's slots below which nothing moves.
    pub threshold: f64,
    /// Whether masters without slots take part.
    pub use_empty_masters: bool,
}

/// Slots that go from one node to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shift {
    /// Who gives.
    pub source: NodeId,
    /// Who gets.
    pub target: NodeId,
    /// Which slots.
    pub moves: Vec<Move>,
}

/// The balance that was found, and what restores it.
#[derive(Clone, Debug, PartialEq)]
pub enum Rebalance {
    /// Every node is within the threshold.
    Balanced,
    /// Slots must move.
    Needed {
        /// Masters that take part.
        nodes: usize,
        /// Sum of their weights.
        total_weight: f64,
        /// Slots that each node has too many (or, below zero, too few), smallest first.
        balances: Vec<(NodeId, i64)>,
        /// What moves, in order.
        shifts: Vec<Shift>,
    },
}

/// Compares each master's slots with its weight's part of all slots; where one deviates by more than the
/// threshold, those with too many give to those with too few, the extremes first.
///
/// # Errors
///
/// A weight that is no number of at least 0; weights that sum to zero.
pub fn rebalance(snapshot: &Snapshot, options: &RebalanceOptions) -> Result<Rebalance, PlanError> {
    if let Some(weight) = options
        .weights
        .values()
        .find(|weight| !(weight.is_finite() && **weight >= 0.0))
    {
        return Err(PlanError::Weight(weight.to_string()));
    }
    let taking_part =
        |node: &&crate::snapshot::Node| options.use_empty_masters || !node.slots.is_empty();
    let nodes: Vec<_> = snapshot.masters().filter(taking_part).collect();
    let weight = |id: &NodeId| options.weights.get(id).copied().unwrap_or(1.0);
    let total_weight: f64 = nodes.iter().map(|node| weight(&node.id)).sum();
    if total_weight <= 0.0 {
        return Err(PlanError::NoWeight);
    }
    let mut balances = Vec::new();
    let mut over_threshold = false;
    for node in &nodes {
        let expected = (f64::from(SLOT_COUNT) / total_weight * weight(&node.id)).floor();
        over_threshold |= deviates(node.slots.len(), expected, options.threshold);
        balances.push((
            node.id.clone(),
            as_count(node.slots.len()) - whole(expected),
        ));
    }
    if !over_threshold {
        return Ok(Rebalance::Balanced);
    }
    even_out(&mut balances);
    balances.sort_by_key(|(_, balance)| *balance);
    let shifts = pair_up(snapshot, balances.clone());
    Ok(Rebalance::Needed {
        nodes: nodes.len(),
        total_weight,
        balances,
        shifts,
    })
}

/// Whether a node's slots are further from what is expected than the threshold, in percent of its slots.
fn deviates(slots: usize, expected: f64, threshold: f64) -> bool {
    if threshold <= 0.0 {
        return false;
    }
    if slots == 0 {
        return expected > 0.0;
    }
    let slots = f64::from(u16::try_from(slots).unwrap_or(u16::MAX));
    (100.0 - 100.0 * expected / slots).abs() > threshold
}

/// Rounding down leaves slots that belong to nobody: those with too few take them in turn, or, where nobody has
/// too few, those with too many keep them.
fn even_out(balances: &mut [(NodeId, i64)]) {
    let mut surplus: i64 = balances.iter().map(|(_, balance)| balance).sum();
    while surplus > 0 {
        let poor = balances.iter().any(|(_, balance)| *balance < 0);
        let takes_one = |balance: i64| if poor { balance < 0 } else { balance > 0 };
        for (_, balance) in balances
            .iter_mut()
            .filter(|(_, balance)| takes_one(*balance))
        {
            if surplus > 0 {
                *balance -= 1;
                surplus -= 1;
            }
        }
    }
}

/// Walks from both ends of the sorted balances towards the middle.
fn pair_up(snapshot: &Snapshot, mut balances: Vec<(NodeId, i64)>) -> Vec<Shift> {
    let mut left: BTreeMap<NodeId, Vec<u16>> = BTreeMap::new();
    let mut shifts = Vec::new();
    let (mut poor, mut rich) = (0, balances.len().saturating_sub(1));
    while poor < rich {
        let count = balances[poor].1.abs().min(balances[rich].1.abs());
        if count > 0 && balances[poor].1 < 0 {
            let (target, source) = (balances[poor].0.clone(), balances[rich].0.clone());
            let slots = left.entry(source.clone()).or_insert_with(|| {
                let node = snapshot.node(&source);
                node.map(|node| node.slots.iter().collect())
                    .unwrap_or_default()
            });
            let taken = slots.drain(..usize::try_from(count).unwrap_or(0).min(slots.len()));
            let moves = super::step::moves_of(taken, &source, &target);
            shifts.push(Shift {
                source,
                target,
                moves,
            });
        }
        balances[poor].1 += count;
        balances[rich].1 -= count;
        let stuck = count == 0 && balances[poor].1 != 0 && balances[rich].1 != 0;
        if balances[poor].1 == 0 || stuck {
            poor += 1;
        }
        if balances[rich].1 == 0 {
            rich = rich.saturating_sub(1);
        }
    }
    shifts
}

fn as_count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "at most the number of slots"
)]
fn whole(number: f64) -> i64 {
    number as i64
}
