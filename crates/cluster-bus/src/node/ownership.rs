//! Who owns a slot when two nodes claim it, who becomes whose replica because of that, and how a node with old news is
//! told. One rule decides: the claim with the higher config epoch holds.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::io::{Event, LogLevel};
use super::state::Node;
use super::table::PeerKey;
use crate::message::{Body, Header, NodeFlags};
use crate::{NodeId, Slot, SlotSet};

impl Node {
    /// A known node said which slots it serves (a replica: its master).
    pub(super) fn note_slots(&mut self, sender: PeerKey, header: &Header) {
        let speaks_for = if self.table[sender].is_master() {
            Some(sender)
        } else {
            self.table[sender].master
        };
        if self.table[sender].is_master() {
            self.note_import_claims(sender, &header.slots);
            self.outbid_source(sender, header.config_epoch, &header.slots);
        }
        if speaks_for.is_none_or(|master| **self.table[master].slots() == *header.slots) {
            return;
        }
        if self.table[sender].is_master() {
            let before = self.table[sender].slots().len();
            self.claim_slots(sender, header.config_epoch, &header.slots);
            if self.table[sender].slots().len() > before {
                self.note_takeover(sender);
            }
        }
        self.correct(sender, header);
    }

    /// Tells the sender about masters that hold slots it claims, in a newer epoch. After a partition it may be that
    /// nobody else can: the new owner may be on the other side.
    fn correct(&mut self, sender: PeerKey, header: &Header) {
        let mut newer = BTreeSet::new();
        for slot in header.slots.iter() {
            if let Some(owner) = self
                .table
                .owner(slot)
                .filter(|owner| *owner != sender && !self.table.is_disowned(slot))
                && self.table[owner].config_epoch > header.config_epoch
            {
                newer.insert(owner);
            }
        }
        for owner in newer {
            let (to, owned_by) = (self.table[sender].label(), self.table[owner].label());
            self.log(
                LogLevel::Verbose,
                format_args!(
                    "Node {to} has old slots configuration, sending an UPDATE message about {owned_by}"
                ),
            );
            self.send_update(sender, owner);
        }
    }

    /// Tells a node what another one owns.
    pub(super) fn send_update(&mut self, to: PeerKey, about: PeerKey) {
        let peer = &self.table[about];
        let (node, config_epoch) = (peer.id, peer.config_epoch);
        // Slots that their owner claims no more are not worth spreading.
        let sure = |slot: &Slot| !self.table.is_disowned(*slot);
        let slots = if peer.slots().iter().all(|slot| sure(&slot)) {
            Arc::clone(peer.slots())
        } else {
            Arc::new(peer.slots().iter().filter(sure).collect())
        };
        if let Some(link) = self.link_to(to) {
            self.send(
                link,
                Body::Update {
                    node,
                    config_epoch,
                    slots,
                },
            );
        }
    }

    /// Somebody noticed that we have old news.
    pub(super) fn receive_update(&mut self, about: NodeId, config_epoch: u64, slots: &SlotSet) {
        let Some(owner) = self
            .table
            .find(about)
            .filter(|key| !self.table[*key].is(NodeFlags::HANDSHAKE))
        else {
            return;
        };
        if owner == self.table.myself() {
            self.log(
                LogLevel::Warning,
                format_args!("Discarding UPDATE message about myself."),
            );
            return;
        }
        if self.table[owner].config_epoch >= config_epoch {
            return;
        }
        self.speak_for(owner, config_epoch, slots);
    }

    /// A node is a master and claims slots in an epoch, as another one says.
    fn speak_for(&mut self, owner: PeerKey, config_epoch: u64, slots: &SlotSet) {
        self.turn_into_master(owner);
        self.table[owner].config_epoch = config_epoch;
        self.todo.save = true;
        self.give_up_past_election(owner);
        self.claim_slots(owner, config_epoch, slots);
    }

    /// A master has become the replica of one of its replicas, and says so before that one does: its header tells what its new master
    /// claims. The slots go over at once, so that they are never nobody's.
    pub(super) fn note_successor(&mut self, sender: PeerKey, new: PeerKey, header: &Header) {
        let peer = &self.table[new];
        let is_news = new != self.table.myself()
            && !peer.is_master()
            && peer.shard == self.table[sender].shard
            && peer.config_epoch <= header.config_epoch;
        if !is_news {
            return;
        }
        let open = |table: &super::table::Table| {
            let count = |open: &std::collections::BTreeMap<Slot, PeerKey>| {
                open.values().filter(|other| **other == new).count()
            };
            (count(&table.importing), count(&table.migrating))
        };
        let before = open(&self.table);
        self.speak_for(new, header.config_epoch, &header.slots);
        let after = open(&self.table);
        let (old, label, shard) = (
            self.table[sender].label(),
            self.table[new].label(),
            self.table[new].shard,
        );
        let (count, epoch) = (header.slots.len(), header.config_epoch);
        let text = format_args!(
            "A failover occurred in shard {shard}; node {old} lost {count} slot(s) and failed over to node {label} with a config epoch of \
             {epoch}"
        );
        self.log(LogLevel::Notice, text);
        for (count, end, what) in [
            (after.0 - before.0, "source", "importing source"),
            (after.1 - before.1, "target", "migrating target"),
        ] {
            if count > 0 {
                let text = format_args!(
                    "A failover occurred in migration {end}. Update {what} of {count} slot(s) to node {label} in shard {shard}."
                );
                self.log(LogLevel::Notice, text);
            }
        }
    }

    /// A master claims slots in an epoch: it gets those that nobody has or that were got in an older epoch. Slots that
    /// we are importing are left to whoever moves them by hand.
    ///
    /// If that leaves our master without slots, or us, we become a replica of the one who took the last of them. If we
    /// stay a master, the keys of what we lost have to go.
    ///
    /// A slot that its owner has stopped to claim goes to whoever does, whatever the epochs. In 3.0 it stays where it
    /// was when the old owner has moved on to a newer epoch than the new owner's, and the maps never agree again.
    fn claim_slots(&mut self, claimer: PeerKey, epoch: u64, slots: &SlotSet) {
        let myself = self.table.myself();
        let our_master = if self.is_master() {
            Some(myself)
        } else {
            self.me().master
        };
        self.table.note_claims(claimer, slots);
        self.follow_migration_targets(claimer, epoch);
        self.finish_imports(claimer, epoch, slots);
        let mut lost = Vec::new();
        let (mut ours_touched, mut reopened) = (false, false);
        let news: Vec<Slot> = slots.difference(self.table[claimer].slots()).collect();
        for slot in news {
            let owner = self.table.owner(slot);
            let newer = owner.is_some_and(|owner| self.table[owner].config_epoch >= epoch);
            let held = newer && !self.table.is_disowned(slot);
            if held || !self.may_go_to(slot, claimer) {
                continue;
            }
            if owner == Some(myself) {
                if self.reopen_taken(slot, claimer) {
                    reopened = true;
                } else {
                    lost.push(slot);
                }
            }
            if owner.is_some() && owner == our_master {
                ours_touched = true;
                // A new master of our shard goes on with what was begun, and we may be asked about it as its replica.
                if self.table[claimer].shard != self.me().shard {
                    self.table.migrating.remove(&slot);
                }
            }
            self.table.set_owner(slot, Some(claimer));
            self.todo.save = true;
            self.todo.update_state = true;
            // Of many masters that failed at one time one less is without a successor: it may be our turn.
            self.todo.failover |= self.election.is_open();
        }
        let Some(our_master) = our_master.filter(|_| ours_touched) else {
            return;
        };
        let same_shard = self.table[claimer].shard == self.me().shard;
        if reopened || !self.table[our_master].slots().is_empty() {
            // Only some went, or their keys are here.
        } else if !self.config.allow_replica_migration && !same_shard {
            let (label, shard) = (self.table[claimer].label(), self.table[claimer].shard);
            let text = format_args!(
                "My last slot was migrated to node {label} in shard {shard}. I am now an empty primary."
            );
            self.log(LogLevel::Notice, text);
        } else {
            let (label, shard) = (self.table[claimer].label(), self.table[claimer].shard);
            self.log(
                LogLevel::Notice,
                format_args!(
                    "Configuration change detected. Reconfiguring myself as a replica of node {label} in shard {shard}"
                ),
            );
            self.follow(claimer);
            return;
        }
        for slot in lost {
            let (label, shard) = (self.me().label(), self.me().shard);
            let text =
                format_args!("Deleting keys in dirty slot {slot} on node {label} in shard {shard}");
            self.log(LogLevel::Notice, text);
            self.emit(Event::DeleteKeysInSlot(slot));
        }
    }

    /// Slots that we hand over go to whoever has taken the place of the node that they were to go to.
    fn follow_migration_targets(&mut self, claimer: PeerKey, epoch: u64) {
        let moved = |to: PeerKey| {
            let target = &self.table[to];
            to != claimer
                && target.shard == self.table[claimer].shard
                && (!target.is_master() || target.config_epoch < epoch)
        };
        let targets = self.table.migrating.iter();
        let moved: Vec<Slot> = targets
            .filter(|(_, to)| moved(**to))
            .map(|(slot, _)| *slot)
            .collect();
        for slot in moved {
            self.table.migrating.insert(slot, claimer);
            self.todo.save = true;
            let (label, shard) = (self.table[claimer].label(), self.table[claimer].shard);
            let text = format_args!(
                "Failover occurred in migration target. Slot {slot} is now being migrated to node {label} in shard {shard}."
            );
            self.log(LogLevel::Verbose, text);
        }
    }

    /// Makes this node a replica of another one. Whatever slots it may still have are nobody's then.
    pub(super) fn follow(&mut self, master: PeerKey) {
        let myself = self.table.myself();
        if master == myself {
            return;
        }
        for slot in Arc::clone(self.me().slots()).iter() {
            self.table.set_owner(slot, None);
        }
        let leaves_shard = self.me().shard != self.table[master].shard;
        if self.is_master() {
            self.table
                .me_mut()
                .clear(NodeFlags::MASTER.with(NodeFlags::MIGRATE_TO));
            self.table.me_mut().set(NodeFlags::SLAVE);
        }
        // Within its shard it goes on knowing what the new master has to finish.
        if leaves_shard {
            self.table.close_all();
            self.emit(Event::LeaveShard);
        }
        self.table.attach_replica(master, myself);
        self.replicating_from = None;
        self.replicate_from(master);
        self.reset_manual_failover();
        self.todo.save = true;
        self.todo.update_state = true;
        self.todo.broadcast = true;
    }

    /// Our master has become a replica itself: follow its master. Without this rule a replica that hears of its
    /// master's new role before it hears of the new master's slots would stay behind in a chain (3.0 does).
    pub(super) fn leave_chain(&mut self) {
        let Some(master) = self.my_master() else {
            return;
        };
        let Some(top) = self.table[master].master else {
            return;
        };
        if top != self.table.myself()
            && self.table[top].is_master()
            && !self.table[master].is_master()
        {
            let (top_id, id) = (self.table[top].id, self.table[master].id);
            self.log(
                LogLevel::Notice,
                format_args!(
                    "I'm a sub-replica! Reconfiguring myself as a replica of {top_id} from {id}"
                ),
            );
            self.follow(top);
        }
    }

    /// Takes the place of our master: its slots, its role. The epoch to do it in must be ours already.
    pub(super) fn take_over(&mut self, now: crate::Now) {
        let Some(old) = self.my_master() else { return };
        let myself = self.table.myself();
        self.turn_into_master(myself);
        self.stop_replication();
        for slot in Arc::clone(self.table[old].slots()).iter() {
            self.table.set_owner(slot, Some(myself));
        }
        self.todo.save = true;
        self.update_state(now);
        // All nodes hear it at once, so that clients are sent here and the other replicas come along.
        self.todo.broadcast = true;
        self.reset_manual_failover();
    }

    pub(super) fn stop_replication(&mut self) {
        self.replicating_from = None;
        self.emit(Event::StopReplication);
    }
}
