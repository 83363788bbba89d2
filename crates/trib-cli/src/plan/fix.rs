//! Repairs: slots left open by a move that was interrupted, and slots that nobody serves.

use std::collections::{BTreeMap, BTreeSet};

use super::step::{Condition, Move, MoveMode, Step};
use crate::snapshot::{Node, NodeId, Snapshot};
use crate::{Slot, SlotSet};

/// How many keys of a slot each master holds; masters without any are left out.
pub type SlotKeys = BTreeMap<Slot, BTreeMap<NodeId, u64>>;

/// Plans how every open slot is closed: at the node that owns it, with all its keys there.
///
/// `keys` must hold the open slots. The snapshot is brought to the state after the steps, so that
/// [`fix_coverage`] can follow on it.
#[must_use]
pub fn fix_open_slots(snapshot: &mut Snapshot, keys: &SlotKeys) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut resumed: BTreeMap<(NodeId, NodeId), Vec<Move>> = BTreeMap::new();
    for slot in snapshot.open_slots().iter().collect::<Vec<_>>() {
        if let Some(rest) = OpenSlot::new(snapshot, keys, slot, &mut steps).close() {
            resumed
                .entry((rest.source.clone(), rest.target.clone()))
                .or_default()
                .push(rest);
        }
        for node in &mut snapshot.nodes {
            node.migrating.remove(&slot);
            node.importing.remove(&slot);
        }
    }
    // Interrupted moves between the same two nodes go on together.
    steps.extend(resumed.into_values().map(|moves| Step::Move {
        moves,
        mode: MoveMode::Resume,
    }));
    if !steps.is_empty() {
        steps.push(Step::Await(Condition::Agreement));
    }
    steps
}

/// One open slot while it is planned.
struct OpenSlot<'a> {
    snapshot: &'a mut Snapshot,
    held: BTreeMap<NodeId, u64>,
    slot: Slot,
    migrating: BTreeSet<NodeId>,
    importing: BTreeSet<NodeId>,
    /// Masters that have closed it, and have a replica that has not heard of it.
    behind: BTreeSet<NodeId>,
    steps: &'a mut Vec<Step>,
}

impl<'a> OpenSlot<'a> {
    fn new(
        snapshot: &'a mut Snapshot,
        keys: &SlotKeys,
        slot: Slot,
        steps: &'a mut Vec<Step>,
    ) -> Self {
        let held = keys.get(&slot).cloned().unwrap_or_default();
        let having = |open: fn(&Node) -> &BTreeMap<Slot, NodeId>| -> BTreeSet<NodeId> {
            let nodes = snapshot
                .masters()
                .filter(|node| open(node).contains_key(&slot));
            nodes.map(|node| node.id.clone()).collect()
        };
        let (migrating, importing) = (
            having(|node| &node.migrating),
            having(|node| &node.importing),
        );
        let open_at =
            |node: &&Node| node.migrating.contains_key(&slot) || node.importing.contains_key(&slot);
        let replicas = snapshot.nodes.iter().filter(open_at);
        let followed: BTreeSet<&NodeId> = replicas
            .filter_map(|replica| replica.master.as_ref())
            .collect();
        let closed = snapshot.masters().filter(|node| !open_at(node));
        let behind = closed
            .map(|node| node.id.clone())
            .filter(|id| followed.contains(id))
            .collect();
        Self {
            snapshot,
            held,
            slot,
            migrating,
            importing,
            behind,
            steps,
        }
    }

    /// Plans all but the rest of an interrupted move, which is given back.
    fn close(mut self) -> Option<Move> {
        self.say(format!(">>> Fixing open slot {}", self.slot));
        let owners = self.snapshot.owners(self.slot);
        self.find_strays(&owners);
        self.say(format!(
            "Set as migrating in: {}",
            self.labels(&self.migrating)
        ));
        self.say(format!(
            "Set as importing in: {}",
            self.labels(&self.importing)
        ));
        self.close_at_replicas();
        let Some(owner) = self.settle_owner(owners) else {
            self.say("[ERR] Can't select a slot owner. Impossible to fix.".into());
            return None;
        };
        let Some(target) = self.resumable(&owner) else {
            self.gather_at(&owner);
            return None;
        };
        self.reassign(&owner, &target);
        Some(Move {
            slot: self.slot,
            source: owner,
            target,
        })
    }

    /// Nodes that hold keys without being owner or having the slot open count as receiving it.
    fn find_strays(&mut self, owners: &[NodeId]) {
        let known = |id: &NodeId| {
            owners.contains(id) || self.migrating.contains(id) || self.importing.contains(id)
        };
        let strays: Vec<NodeId> = self.held.keys().filter(|id| !known(id)).cloned().collect();
        for stray in strays {
            let label = self.snapshot.label(&stray);
            self.say(format!(
                "*** Found keys about slot {} in node {label}!",
                self.slot
            ));
            self.importing.insert(stray);
        }
    }

    /// One owner: the one there is; of several claimants the one with the newest epoch, to which the cluster would
    /// come by itself; where nobody claims, the node with the most keys.
    fn settle_owner(&mut self, owners: Vec<NodeId>) -> Option<NodeId> {
        if let [owner] = owners.as_slice() {
            return Some(owner.clone());
        }
        if owners.is_empty() {
            self.say(">>> Nobody claims ownership, selecting an owner...".into());
            let open = self.migrating.union(&self.importing);
            let owner = self.most_keys(open.cloned().collect())?;
            self.say(format!(
                "*** Configuring {} as the slot owner",
                self.snapshot.label(&owner)
            ));
            self.steps.push(Step::SetStable {
                node: owner.clone(),
                slot: self.slot,
            });
            let slots: SlotSet = [self.slot].into_iter().collect();
            self.steps.push(Step::TakeSlots {
                node: owner.clone(),
                slots,
            });
            self.snapshot.node_mut(&owner)?.slots.insert(self.slot);
            self.migrating.remove(&owner);
            self.importing.remove(&owner);
            return Some(owner);
        }
        let epoch = |id: &NodeId| self.snapshot.node(id).map(|node| node.config_epoch);
        let newest = owners.iter().map(epoch).max()?;
        let newest = owners.iter().filter(|id| epoch(id) == newest).cloned();
        let owner = self.most_keys(newest.collect())?;
        for other in owners.into_iter().filter(|id| *id != owner) {
            self.steps.push(Step::DropSlot {
                node: other.clone(),
                slot: self.slot,
            });
            self.snapshot.node_mut(&other)?.slots.remove(self.slot);
            // What it holds is gathered below.
            self.migrating.remove(&other);
            self.importing.insert(other);
        }
        self.steps.push(Step::BumpEpoch {
            node: owner.clone(),
        });
        Some(owner)
    }

    /// The target of a move that only has to be finished: the owner gives the slot to the one node that receives it.
    fn resumable(&self, owner: &NodeId) -> Option<NodeId> {
        let target = self.snapshot.node(owner)?.migrating.get(&self.slot)?;
        let receiving = self.snapshot.node(target)?.importing.get(&self.slot);
        let giving = self.migrating.len() == 1 && self.migrating.contains(owner);
        let alone = giving && self.importing.len() == 1 && self.importing.contains(target);
        (alone && receiving == Some(owner)).then(|| target.clone())
    }

    /// All keys go to the owner, and the slot is closed everywhere.
    fn gather_at(&mut self, owner: &NodeId) {
        let slot = self.slot;
        // First of all: while it gives the slot away, the owner refuses keys that it does not have.
        if self.migrating.contains(owner) || self.importing.contains(owner) {
            self.steps.push(Step::SetStable {
                node: owner.clone(),
                slot,
            });
        }
        let others: Vec<NodeId> = self
            .migrating
            .union(&self.importing)
            .filter(|id| *id != owner)
            .cloned()
            .collect();
        if !others.is_empty() {
            let label = self.snapshot.label(owner);
            self.say(format!(
                ">>> Moving all the {slot} slot keys to its owner {label}"
            ));
        }
        for node in others {
            // Also where no keys were counted: clients may have been sent there since.
            gather(self.steps, slot, &node, owner);
            self.say(format!(
                ">>> Setting {slot} as STABLE in {}",
                self.snapshot.label(&node)
            ));
            self.steps.push(Step::SetStable { node, slot });
        }
    }

    /// A replica closes what its master closes, whether that had it open or not.
    fn close_at_replicas(&mut self) {
        for master in std::mem::take(&mut self.behind) {
            self.say(format!(
                ">>> Setting {} as STABLE in the replicas of {}",
                self.slot,
                self.snapshot.label(&master)
            ));
            self.steps.push(Step::SetStable {
                node: master,
                slot: self.slot,
            });
        }
    }

    fn reassign(&mut self, source: &NodeId, target: &NodeId) {
        if let Some(node) = self.snapshot.node_mut(source) {
            node.slots.remove(self.slot);
        }
        if let Some(node) = self.snapshot.node_mut(target) {
            node.slots.insert(self.slot);
        }
    }

    /// Of these nodes (of all masters, where none is given) the one with the most keys; the first of several.
    fn most_keys(&self, among: Vec<NodeId>) -> Option<NodeId> {
        let among = if among.is_empty() {
            self.snapshot.master_ids()
        } else {
            among
        };
        let keys = |id: &NodeId| std::cmp::Reverse(self.held.get(id).copied().unwrap_or(0));
        among.into_iter().min_by_key(keys)
    }

    fn labels(&self, nodes: &BTreeSet<NodeId>) -> String {
        nodes
            .iter()
            .map(|id| self.snapshot.label(id))
            .collect::<Vec<_>>()
            .join(",")
    }

    fn say(&mut self, text: String) {
        self.steps.push(Step::Say(text));
    }
}

/// Plans how keys of slots that have one owner come there from wherever else they lie.
#[must_use]
pub fn fix_strays(snapshot: &Snapshot, keys: &SlotKeys) -> Vec<Step> {
    let mut steps = Vec::new();
    for (&slot, held) in keys {
        let owners = snapshot.owners(slot);
        let [owner] = owners.as_slice() else { continue };
        for source in held.keys().filter(|id| *id != owner) {
            let label = snapshot.label(source);
            steps.push(Step::Say(format!(
                ">>> Moving keys of slot {slot} from {label} to its owner"
            )));
            gather(&mut steps, slot, source, owner);
            steps.push(Step::SetStable {
                node: source.clone(),
                slot,
            });
        }
    }
    steps
}

/// Keys that lie at `source` go to `owner`. The source says it receives the slot, else it would send MIGRATE away.
fn gather(steps: &mut Vec<Step>, slot: Slot, source: &NodeId, owner: &NodeId) {
    steps.push(Step::SetStable {
        node: source.clone(),
        slot,
    });
    steps.push(Step::SetImporting {
        node: source.clone(),
        slot,
        from: owner.clone(),
    });
    let moves = vec![Move {
        slot,
        source: source.clone(),
        target: owner.clone(),
    }];
    steps.push(Step::Move {
        moves,
        mode: MoveMode::Gather,
    });
}

/// Plans who serves the slots that nobody serves: the node that has their keys; of several, the one with the most;
/// where there are no keys, the masters with the fewest slots. `keys` must hold the uncovered slots. Slots of a
/// node that could not be asked are nobody's to give.
#[must_use]
pub fn fix_coverage(snapshot: &Snapshot, keys: &SlotKeys) -> Vec<Step> {
    let uncovered = snapshot.unowned();
    if uncovered.is_empty() {
        return Vec::new();
    }
    let mut steps = vec![
        Step::Say(">>> Fixing slots coverage...".into()),
        Step::Say(format!("List of not covered slots: {uncovered}")),
    ];
    let holders = |slot: &Slot| keys.get(slot).map_or(0, BTreeMap::len);
    let (mut none, mut single, mut multi) = (SlotSet::default(), Vec::new(), Vec::new());
    for slot in uncovered.iter() {
        match holders(&slot) {
            0 => none.insert(slot),
            1 => single.push(slot),
            _ => multi.push(slot),
        }
    }
    for slot in single.iter().chain(&multi) {
        let nodes: Vec<String> = keys[slot].keys().map(|id| snapshot.label(id)).collect();
        steps.push(Step::Say(format!(
            "Slot {slot} has keys in {} nodes: {}",
            nodes.len(),
            nodes.join(", ")
        )));
    }
    let mut given: BTreeMap<NodeId, SlotSet> = BTreeMap::new();
    cover_single(snapshot, keys, &single, &mut given, &mut steps);
    cover_multi(snapshot, keys, &multi, &mut given, &mut steps);
    cover_empty(snapshot, &none, &given, &mut steps);
    steps.push(Step::Await(Condition::Agreement));
    steps
}

fn cover_single(
    snapshot: &Snapshot,
    keys: &SlotKeys,
    slots: &[Slot],
    given: &mut BTreeMap<NodeId, SlotSet>,
    steps: &mut Vec<Step>,
) {
    if slots.is_empty() {
        return;
    }
    let set: SlotSet = slots.iter().copied().collect();
    steps.push(Step::Say(
        "The following uncovered slots have keys in just one node:".into(),
    ));
    steps.push(Step::Say(set.to_string()));
    steps.push(Step::Confirm(
        "Fix these slots by covering with those nodes?".into(),
    ));
    let mut by_node: BTreeMap<NodeId, SlotSet> = BTreeMap::new();
    for (slot, node) in slots
        .iter()
        .filter_map(|slot| Some((*slot, keys.get(slot)?.keys().next()?)))
    {
        by_node.entry(node.clone()).or_default().insert(slot);
    }
    for (node, slots) in by_node {
        take(snapshot, &node, &slots, "", steps);
        given.entry(node).or_default().extend(slots.iter());
    }
}

fn cover_multi(
    snapshot: &Snapshot,
    keys: &SlotKeys,
    slots: &[Slot],
    given: &mut BTreeMap<NodeId, SlotSet>,
    steps: &mut Vec<Step>,
) {
    if slots.is_empty() {
        return;
    }
    let set: SlotSet = slots.iter().copied().collect();
    steps.push(Step::Say(
        "The following uncovered slots have keys in multiple nodes:".into(),
    ));
    steps.push(Step::Say(set.to_string()));
    steps.push(Step::Confirm(
        "Fix these slots by moving keys into a single node?".into(),
    ));
    for &slot in slots {
        let Some(held) = keys.get(&slot) else {
            continue;
        };
        let most = held
            .iter()
            .min_by_key(|(_, count)| std::cmp::Reverse(**count));
        let Some((target, _)) = most else { continue };
        take(
            snapshot,
            target,
            &[slot].into_iter().collect(),
            " moving keys to it",
            steps,
        );
        steps.push(Step::SetStable {
            node: target.clone(),
            slot,
        });
        for source in held.keys().filter(|id| *id != target) {
            gather(steps, slot, source, target);
            steps.push(Step::SetStable {
                node: source.clone(),
                slot,
            });
        }
        given.entry(target.clone()).or_default().insert(slot);
    }
}

/// Deals slots without keys to the masters, whole stretches each, so that the smallest fill up first.
fn cover_empty(
    snapshot: &Snapshot,
    slots: &SlotSet,
    given: &BTreeMap<NodeId, SlotSet>,
    steps: &mut Vec<Step>,
) {
    let mut sizes: Vec<(NodeId, usize)> = snapshot
        .masters()
        .map(|node| {
            (
                node.id.clone(),
                node.slots.len() + given.get(&node.id).map_or(0, SlotSet::len),
            )
        })
        .collect();
    if slots.is_empty() || sizes.is_empty() {
        return;
    }
    steps.push(Step::Say(
        "The following uncovered slots have no keys across the cluster:".into(),
    ));
    steps.push(Step::Say(slots.to_string()));
    steps.push(Step::Confirm(
        "Fix these slots by covering with a random node?".into(),
    ));
    let mut quotas: BTreeMap<NodeId, usize> = BTreeMap::new();
    for _ in 0..slots.len() {
        if let Some((id, size)) = sizes.iter_mut().min_by_key(|(_, size)| *size) {
            *size += 1;
            *quotas.entry(id.clone()).or_default() += 1;
        }
    }
    let mut rest = slots.iter();
    for (node, quota) in quotas {
        take(
            snapshot,
            &node,
            &rest.by_ref().take(quota).collect(),
            "",
            steps,
        );
    }
}

fn take(snapshot: &Snapshot, node: &NodeId, slots: &SlotSet, how: &str, steps: &mut Vec<Step>) {
    let noun = if slots.len() == 1 { "slot" } else { "slots" };
    let label = snapshot.label(node);
    steps.push(Step::Say(format!(
        ">>> Covering {noun} {slots} with {label}{how}"
    )));
    steps.push(Step::TakeSlots {
        node: node.clone(),
        slots: slots.clone(),
    });
}
