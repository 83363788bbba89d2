//! What happens ten times a second, and what happens once at the end of every call. Only the order is decided here.

use super::io::{Event, LogLevel, Output, Urgency};
use super::migration::Census;
use super::state::Node;
use super::table::PeerKey;
use crate::Now;
use crate::message::NodeFlags;

const PERIOD_MS: u64 = 100;
/// Every so many periods one random node is pinged.
const RANDOM_PING_PERIODS: u64 = 10;
/// Between two dials of a node that does not answer lies this part of the time for which it has been silent, and of the node timeout,
/// at most.
const SILENCE_BY_REST: u64 = 8;
const TIMEOUT_BY_REST: u64 = 16;
const LONGEST_REST_MS: u64 = 1000;

impl Node {
    pub(super) fn cron(&mut self, now: Now) {
        self.next_cron_ms = now.mono_ms + PERIOD_MS;
        self.cron_count += 1;
        self.close_full_links(now);
        self.refresh_myself();
        self.ask_seeds(now);
        self.open_links(now);
        if self.cron_count.is_multiple_of(RANDOM_PING_PERIODS) && !self.faults.no_random_pings {
            self.ping_random_node(now);
        }
        self.take_unclaimed(now);
        let census = self.look_after_nodes(now);
        self.replicate_again();
        self.expire_manual_failover(now);
        if !self.is_master() {
            self.advance_manual_failover();
            self.run_election(now);
            if self.config.allow_replica_migration && census.calls_for_migration() {
                self.consider_migration(now, &census);
            }
        }
        if !self.health.is_ok() {
            self.todo.update_state = true;
        }
    }

    /// Ends handshakes that nobody answered, and dials every node that has no link.
    fn open_links(&mut self, now: Now) {
        for key in self.table.keys() {
            let unreachable = NodeFlags::MYSELF.with(NodeFlags::NOADDR);
            if self.table[key].is(unreachable) || self.expire_handshake(now, key) {
                continue;
            }
            let dials = self.table[key].link.is_none() && !self.faults.never_dials;
            if dials && self.may_dial(now, key) {
                self.dial(now, key);
            }
        }
    }

    /// The longer a node has been silent, the more rarely it is dialled: of a large cluster half of which is down, the others would do
    /// little else. Who comes back dials us, and is dialled at once.
    fn may_dial(&self, now: Now, key: PeerKey) -> bool {
        let peer = &self.table[key];
        let since_ms = |at_ms: u64| now.mono_ms.saturating_sub(at_ms);
        let silent_ms = since_ms(peer.heard_ms.max(peer.created_ms));
        let rest_ms =
            (silent_ms / SILENCE_BY_REST).min(self.config.node_timeout_ms / TIMEOUT_BY_REST);
        since_ms(peer.dialled_ms) >= rest_ms.min(LONGEST_REST_MS)
    }

    fn look_after_nodes(&mut self, now: Now) -> Census {
        let mut census = Census::default();
        let skipped = NodeFlags::MYSELF
            .with(NodeFlags::NOADDR)
            .with(NodeFlags::HANDSHAKE);
        for key in self.table.keys() {
            if self.table[key].is(skipped) {
                continue;
            }
            census.count(self, key);
            self.meet_if_one_sided(now, key);
            self.redial_if_silent(now, key);
            if !self.ping_if_due(now, key) {
                self.suspect_if_silent(now, key);
            }
        }
        census
    }

    /// A replica that does not replicate yet: after a restart, or because its master's address was unknown.
    fn replicate_again(&mut self) {
        if let Some(master) = self.my_master().filter(|_| self.replicating_from.is_none())
            && !self.table[master].is(NodeFlags::NOADDR)
        {
            self.replicate_from(master);
        }
    }

    /// The end of every call: what several rules may have asked for is done once, and what must survive a crash goes
    /// out before the packets that depend on it.
    pub(super) fn end_call(&mut self, now: Now) {
        if self.todo.failover || self.asks_for_what_is_past() {
            self.run_election(now);
        }
        if self.todo.update_state {
            self.update_state(now);
        }
        if std::mem::take(&mut self.todo.broadcast) {
            self.broadcast_pong(now, false);
        }
        if std::mem::take(&mut self.todo.save) {
            let promises = Some(self.promises());
            let urgency = if self.promised != promises {
                Urgency::Promise
            } else if self.asked {
                Urgency::Asked
            } else {
                Urgency::News
            };
            self.promised = promises;
            self.outputs.push_back(Output::Persist { urgency });
        }
        self.outputs.append(&mut self.held);
        debug_assert!(
            self.last_vote_epoch <= self.said_epoch && self.said_epoch <= self.current_epoch,
            "voted in an epoch that nobody knows"
        );
    }

    /// A start with data in memory: slots that have keys and no owner are ours. Those of another node are not: their keys are left
    /// of a move that had just ended, and are deleted. Replicas are not checked: they have what their master has. To be called
    /// once the data is loaded.
    pub fn verify_slots_with_keys(
        &mut self,
        now: Now,
        populated: impl IntoIterator<Item = crate::Slot>,
    ) {
        if !self.is_master() {
            return;
        }
        let myself = self.table.myself();
        for slot in populated {
            let owner = self.table.owner(slot);
            if owner == Some(myself) || self.table.importing.contains_key(&slot) {
                continue;
            }
            if owner.is_some() {
                let text = format_args!(
                    "I have keys for slot {slot}, but the slot is assigned to another node. Deleting keys in the slot."
                );
                self.log(LogLevel::Warning, text);
                self.emit(Event::DeleteKeysInSlot(slot));
            } else {
                let text = format_args!(
                    "I have keys for unassigned slot {slot}. Taking responsibility for it."
                );
                self.log(LogLevel::Warning, text);
                self.table.set_owner(slot, Some(myself));
            }
            self.todo.save = true;
        }
        self.end_call(now);
    }
}
