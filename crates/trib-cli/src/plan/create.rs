//! A new cluster: which nodes are masters, who gets which slots, who replicates whom.

use std::collections::BTreeMap;

use super::error::PlanError;
use super::step::{Condition, Step};
use crate::snapshot::{Node, NodeId, Snapshot};
use crate::{SLOT_COUNT, SlotSet};

/// Who becomes what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatePlan {
    /// Masters and their slots, in the order of the slots.
    pub masters: Vec<(NodeId, SlotSet)>,
    /// Replicas and their masters, in the order they were chosen.
    pub replicas: Vec<(NodeId, NodeId)>,
}

/// Plans a cluster over empty nodes with at least `replicas` replicas for each master.
///
/// Masters are taken from the hosts in turn, so that they lie on as many hosts as there are. Each replica goes to
/// another host than its master's where that is possible; what is left over becomes a further replica. A master
/// gets slots in proportion to its weight (1 unless `weights` says otherwise).
///
/// # Errors
///
/// Fewer than three masters, more masters than slots, or weights that sum to zero.
pub fn create(
    snapshot: &Snapshot,
    replicas: usize,
    weights: &BTreeMap<NodeId, f64>,
) -> Result<CreatePlan, PlanError> {
    let nodes = snapshot.nodes.len();
    let count = replicas.checked_add(1).map_or(0, |group| nodes / group);
    if count < 3 {
        return Err(PlanError::TooFewNodes { nodes, replicas });
    }
    if count > usize::from(SLOT_COUNT) {
        return Err(PlanError::TooManyMasters { masters: count });
    }
    let mut spare = host_by_host(&snapshot.nodes);
    let masters: Vec<&Node> = spare.drain(..count).collect();
    let weight = |node: &&Node| weights.get(&node.id).copied().unwrap_or(1.0);
    let shares = share_slots(&masters.iter().map(weight).collect::<Vec<_>>())?;
    let mut pairs = assign_replicas(&masters, spare, replicas);
    separate_hosts(&mut pairs);
    Ok(CreatePlan {
        masters: masters
            .iter()
            .zip(shares)
            .map(|(node, slots)| (node.id.clone(), slots))
            .collect(),
        replicas: pairs
            .iter()
            .map(|(replica, master)| (replica.id.clone(), master.id.clone()))
            .collect(),
    })
}

impl CreatePlan {
    /// What to do, from claiming the slots to the agreed end state. `first` is whom all others meet.
    #[must_use]
    pub fn steps(&self, snapshot: &Snapshot) -> Vec<Step> {
        let mut steps = Vec::new();
        for (node, slots) in &self.masters {
            steps.push(Step::AddSlots {
                node: node.clone(),
                slots: slots.clone(),
            });
        }
        steps.push(Step::Say(">>> Nodes configuration updated".into()));
        steps.push(Step::Say(
            ">>> Assign a different config epoch to each node".into(),
        ));
        for (epoch, node) in (1..).zip(&snapshot.nodes) {
            steps.push(Step::SetConfigEpoch {
                node: node.id.clone(),
                epoch,
            });
        }
        steps.push(Step::Say(
            ">>> Sending CLUSTER MEET messages to join the cluster".into(),
        ));
        if let Some((first, others)) = snapshot.nodes.split_first() {
            let meet = |node: &Node| Step::Meet {
                node: node.id.clone(),
                with: first.id.clone(),
            };
            steps.extend(others.iter().map(meet));
        }
        steps.push(Step::Await(Condition::Joined));
        let replicate = |(node, master): &(NodeId, NodeId)| Step::Replicate {
            node: node.clone(),
            master: master.clone(),
        };
        steps.extend(self.replicas.iter().map(replicate));
        steps.push(Step::Await(Condition::Roles));
        steps.push(Step::Await(Condition::Serving));
        steps
    }
}

/// The nodes, one of each host in turn; hosts in the order they first appear.
fn host_by_host(nodes: &[Node]) -> Vec<&Node> {
    let mut hosts: Vec<(&str, Vec<&Node>)> = Vec::new();
    for node in nodes {
        match hosts
            .iter_mut()
            .find(|(host, _)| *host == node.address.host)
        {
            Some((_, members)) => members.push(node),
            None => hosts.push((&node.address.host, vec![node])),
        }
    }
    let rounds = hosts
        .iter()
        .map(|(_, members)| members.len())
        .max()
        .unwrap_or(0);
    let round = |index: usize| {
        hosts
            .iter()
            .filter_map(move |(_, members)| members.get(index).copied())
    };
    (0..rounds).flat_map(round).collect()
}

/// Consecutive ranges in proportion to the weights, every slot once, nobody without one.
fn share_slots(weights: &[f64]) -> Result<Vec<SlotSet>, PlanError> {
    let total: f64 = weights.iter().sum();
    if !(total.is_finite() && total > 0.0) {
        return Err(PlanError::NoWeight);
    }
    let mut shares = Vec::new();
    let (mut first, mut cursor) = (0_u16, 0.0_f64);
    for (index, weight) in weights.iter().enumerate() {
        let share = f64::from(SLOT_COUNT) * weight / total;
        // The masters that follow need one slot each.
        let following = u16::try_from(weights.len() - 1 - index).unwrap_or(u16::MAX);
        let most = SLOT_COUNT - 1 - following;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to slots below"
        )]
        let rounded = (cursor + share - 1.0)
            .round()
            .clamp(0.0, f64::from(SLOT_COUNT)) as u16;
        let last = if following == 0 {
            most
        } else {
            rounded.clamp(first, most)
        };
        shares.push((first..=last).collect());
        first = last + 1;
        cursor += share;
    }
    Ok(shares)
}

/// Gives each master the replicas it was promised, then deals out what is left, one each in turn.
fn assign_replicas<'a>(
    masters: &[&'a Node],
    mut spare: Vec<&'a Node>,
    replicas: usize,
) -> Vec<(&'a Node, &'a Node)> {
    let mut pairs = Vec::new();
    let mut assign = |master: &'a Node, spare: &mut Vec<&'a Node>| {
        let elsewhere = spare
            .iter()
            .position(|node| node.address.host != master.address.host);
        if !spare.is_empty() {
            pairs.push((spare.remove(elsewhere.unwrap_or(0)), master));
        }
    };
    for master in masters {
        for _ in 0..replicas {
            assign(master, &mut spare);
        }
    }
    // Without promised replicas every node is a master and nothing is left here.
    for master in masters {
        assign(master, &mut spare);
    }
    pairs
}

/// Swaps replicas between masters as long as that brings more of them away from their master's host, or from
/// another replica of the same master. Plans without such a clash stay as they are.
fn separate_hosts(pairs: &mut [(&Node, &Node)]) {
    let mut best = clashes(pairs);
    let mut improved = best > 0;
    while improved && best > 0 {
        improved = false;
        for a in 0..pairs.len() {
            for b in a + 1..pairs.len() {
                if pairs[a].1.id == pairs[b].1.id
                    || pairs[a].0.address.host == pairs[b].0.address.host
                {
                    continue;
                }
                swap_replicas(pairs, a, b);
                let now = clashes(pairs);
                if now < best {
                    (best, improved) = (now, true);
                } else {
                    swap_replicas(pairs, a, b);
                }
            }
        }
    }
}

fn swap_replicas(pairs: &mut [(&Node, &Node)], a: usize, b: usize) {
    let (first, second) = (pairs[a].0, pairs[b].0);
    pairs[a].0 = second;
    pairs[b].0 = first;
}

/// How badly the replicas are placed: beside their master counts more than any number of pairs of replicas.
fn clashes(pairs: &[(&Node, &Node)]) -> usize {
    let beside_master = pairs
        .iter()
        .filter(|(replica, master)| replica.address.host == master.address.host)
        .count();
    let mut places: BTreeMap<(&NodeId, &str), usize> = BTreeMap::new();
    for (replica, master) in pairs {
        *places
            .entry((&master.id, &replica.address.host))
            .or_default() += 1;
    }
    let beside_sibling: usize = places.values().map(|count| count - 1).sum();
    beside_master * (pairs.len() + 1) + beside_sibling
}
