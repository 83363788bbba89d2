//! Slots that this node takes over key by key, when their source claims them no more: whose they are then.
//!
//! Whoever closes such a slot tells both ends, but this one may have missed it (its master died in between, say). Where nobody else
//! claims the slot, it is ours. But we may have been away while it was given to a third node: so we wait until we have heard of
//! every master that has not failed. Where a third node has it, the keys that are here already are still to be brought there: the slot
//! stays open, as one that comes from that node.
//!
//! While this node takes such a slot, its source may take a newer epoch, or the source's replica be elected, and not have heard of it. The
//! slot is not ours then, and its keys are here: it is open again.

use std::collections::BTreeMap;

use super::io::LogLevel;
use super::state::Node;
use super::table::PeerKey;
use crate::message::NodeFlags;
use crate::{NodeId, Now, Slot, SlotSet};

/// For how many node timeouts somebody may not know yet of a slot which we have taken: an election takes two.
const ELECTION_TIMEOUTS: u64 = 4;

/// What is known of slots that we take over, beside their sources.
#[derive(Debug, Default)]
pub(super) struct Imports {
    /// Third nodes that claim one in a newer epoch than its source.
    rivals: BTreeMap<Slot, NodeId>,
    /// Slots that their source claims no more, and since when we count.
    unclaimed: BTreeMap<Slot, Option<u64>>,
    /// Slots that we have taken not long ago.
    taken: BTreeMap<Slot, Taken>,
}

/// What is known of a slot that came key by key.
#[derive(Clone, Copy, Debug)]
struct Taken {
    /// The shard of its source.
    from: NodeId,
    /// Until when that counts.
    until_ms: u64,
    /// Our config epoch has been brought above the source's since then.
    outbid: bool,
}

impl Node {
    /// A master has said which slots it serves.
    pub(super) fn note_import_claims(&mut self, sender: PeerKey, claims: &SlotSet) {
        let (id, importing) = (self.table[sender].id, &self.table.importing);
        let gone = |slot: &Slot| !importing.contains_key(slot);
        self.imports
            .rivals
            .retain(|slot, rival| !gone(slot) && (*rival != id || claims.contains(*slot)));
        self.imports.unclaimed.retain(|slot, _| {
            !gone(slot) && (importing.get(slot) != Some(&sender) || !claims.contains(*slot))
        });
    }

    /// Whether a slot goes to who claims it in a newer epoch than its owner. One that we take over is left to whoever moves it by hand,
    /// as long as its source claims it; but where it comes from may have failed over.
    pub(super) fn may_go_to(&mut self, slot: Slot, claimer: PeerKey) -> bool {
        let Some(source) = self.table.importing.get(&slot).copied() else {
            return true;
        };
        let same_shard = self.table[source].shard == self.table[claimer].shard;
        if !same_shard && !self.imports.unclaimed.contains_key(&slot) {
            let id = self.table[claimer].id;
            self.imports.rivals.insert(slot, id);
            return false;
        }
        if source != claimer {
            self.import_from(slot, claimer);
            if same_shard {
                let (label, shard) = (self.table[claimer].label(), self.table[claimer].shard);
                let text = format_args!(
                    "Failover occurred in migration source. Update importing source for slot {slot} to node {label} in shard {shard}."
                );
                self.log(LogLevel::Verbose, text);
            }
        }
        true
    }

    fn import_from(&mut self, slot: Slot, source: PeerKey) {
        self.table.importing.insert(slot, source);
        self.imports.rivals.remove(&slot);
        self.imports.unclaimed.remove(&slot);
        self.todo.save = true;
    }

    /// The node that slots are imported from has said what it claims.
    pub(super) fn finish_imports(&mut self, source: PeerKey, epoch: u64, claims: &SlotSet) {
        // Older news than we have: it may not have had the slot yet.
        if !self.is_master() || epoch < self.table[source].config_epoch {
            return;
        }
        let importing = self.table.importing.iter();
        let closed: Vec<Slot> = importing
            .filter(|(slot, from)| **from == source && !claims.contains(**slot))
            .map(|(slot, _)| *slot)
            .collect();
        for slot in closed {
            if let Some(rival) = self.rival(slot, source) {
                self.table.set_owner(slot, Some(rival));
                self.import_from(slot, rival);
                self.todo.update_state = true;
            } else {
                self.imports.unclaimed.entry(slot).or_default();
            }
        }
    }

    /// The third node that has a slot which we take over. It may have had it before we began: who opened the slot had looked before that.
    fn rival(&self, slot: Slot, source: PeerKey) -> Option<PeerKey> {
        let claimer = self.imports.rivals.get(&slot);
        let claimer = claimer.and_then(|id| self.table.find(*id));
        let third = |key: &PeerKey| self.table[*key].is_master();
        claimer.filter(third).or_else(|| {
            let owner = self.table.owner(slot)?;
            let has_it =
                owner != source && owner != self.table.myself() && !self.table.is_disowned(slot);
            Some(owner).filter(third).filter(|_| has_it)
        })
    }

    /// A slot that came from this node key by key is ours.
    pub(super) fn note_taken(&mut self, now: Now, slot: Slot, source: PeerKey) {
        let wait_ms = self
            .config
            .node_timeout_ms
            .saturating_mul(ELECTION_TIMEOUTS);
        let until_ms = now.mono_ms.saturating_add(wait_ms);
        let taken = Taken {
            from: self.table[source].shard,
            until_ms,
            outbid: false,
        };
        self.imports.taken.insert(slot, taken);
    }

    /// A master has said what it claims, in this epoch. If it had counted on before we took slots from it, and we had not heard of that,
    /// our epoch is the older one, and a node of 3.0 leaves the slots to it, although it claims them no more: so we count on too. Once
    /// for each slot, since the other may have taken slots from us.
    pub(super) fn outbid_source(&mut self, source: PeerKey, epoch: u64, claims: &SlotSet) {
        if !self.is_master() || self.yielding > 0 || epoch <= self.me().config_epoch {
            return;
        }
        let (myself, from) = (self.table.myself(), self.table[source].shard);
        let mut behind = false;
        for (slot, taken) in &mut self.imports.taken {
            let ours =
                self.table.owner(*slot) == Some(myself) && !self.table.migrating.contains_key(slot);
            if ours && taken.from == from && !taken.outbid && !claims.contains(*slot) {
                taken.outbid = true;
                behind = true;
            }
        }
        if behind && self.bump_config_epoch() {
            let label = self.table[source].label();
            let text =
                format_args!("ConfigEpoch raised above that of node {label}, whose slots I took");
            self.log(LogLevel::Notice, text);
        }
    }

    /// A slot of ours goes to a node with a newer config epoch. True if we have only just taken it from that one's shard and are not giving
    /// it back: the keys are here and not there, and the slot is open again.
    pub(super) fn reopen_taken(&mut self, slot: Slot, claimer: PeerKey) -> bool {
        let taken = self.imports.taken.remove(&slot);
        let from_its_shard = taken.is_some_and(|taken| taken.from == self.table[claimer].shard);
        let goes_back = self.table.migrating.contains_key(&slot) || self.yielding > 0;
        if !from_its_shard || goes_back {
            return false;
        }
        self.import_from(slot, claimer);
        let (label, shard) = (self.table[claimer].label(), self.table[claimer].shard);
        let text = format_args!(
            "Slot {slot} was taken from shard {shard}, and node {label} claims it in a newer epoch; importing it again."
        );
        self.log(LogLevel::Notice, text);
        true
    }

    /// Whether there are slots that others may be about to claim.
    pub(super) fn awaits_claims(&self) -> bool {
        !self.imports.unclaimed.is_empty()
    }

    /// Takes the slots that nobody has claimed for long enough.
    pub(super) fn take_unclaimed(&mut self, now: Now) {
        let taken = &mut self.imports.taken;
        taken.retain(|_, taken| taken.until_ms > now.mono_ms);
        if self.imports.unclaimed.is_empty() {
            return;
        }
        // Packets may be late; within this time every node is asked once. Who does not answer at all has failed at last, or we are the
        // ones who are cut off.
        let settled_ms = now.mono_ms.saturating_sub(self.config.node_timeout_ms / 2);
        let heard_ms = self.has_majority().then(|| self.all_masters_heard_ms());
        let mut due = Vec::new();
        for (slot, since_ms) in &mut self.imports.unclaimed {
            let since_ms = *since_ms.get_or_insert(now.mono_ms);
            if since_ms <= settled_ms && heard_ms.is_some_and(|heard_ms| heard_ms > since_ms) {
                due.push(*slot);
            }
        }
        for slot in due {
            self.imports.unclaimed.remove(&slot);
            let source = self.table.importing.get(&slot).copied();
            if let Some(source) = source.filter(|_| self.is_master()) {
                self.take_unclaimed_slot(now, slot, source);
            }
        }
    }

    /// Every other master that has not failed has been heard since then.
    fn all_masters_heard_ms(&self) -> u64 {
        let aside = NodeFlags::MYSELF.with(NodeFlags::FAIL);
        let masters = self.table.peers().map(|(_, peer)| peer);
        masters
            .filter(|peer| peer.is_master() && !peer.is(aside))
            .map(|peer| peer.pong_received.map_or(0, |at| at.mono_ms))
            .min()
            .unwrap_or(u64::MAX)
    }

    fn take_unclaimed_slot(&mut self, now: Now, slot: Slot, source: PeerKey) {
        let myself = self.table.myself();
        let (label, shard) = (self.table[source].label(), self.table[source].shard);
        let text = format_args!(
            "Slot {slot} is no longer being imported from node {label} in shard {shard}; Clear my importing source for the slot."
        );
        self.log(LogLevel::Notice, text);
        self.table.importing.remove(&slot);
        if self.table.owner(slot) != Some(myself) {
            self.table.set_owner(slot, Some(myself));
            self.note_taken(now, slot, source);
            self.bump_config_epoch();
        }
        self.todo.save = true;
        self.todo.update_state = true;
    }
}
