//! Slots that move as a whole, with all their keys (CLUSTER MIGRATESLOTS): what the server that moves the keys has to know of the map,
//! and how it takes the slots when the keys are here. The keys' way is not the bus's.

use std::net::IpAddr;

use super::epochs::MAX_EPOCH_STEP;
use super::io::LogLevel;
use super::state::Node;
use super::table::PeerKey;
use crate::message::{NodeFlags, PingKind};
use crate::{NodeId, Now, Slot};

impl Node {
    /// The node that owns each of these slots, if it is one.
    #[must_use]
    pub fn owner_of_all(&self, slots: impl IntoIterator<Item = Slot>) -> Option<NodeId> {
        let mut owners = slots.into_iter().map(|slot| self.table.owner(slot));
        let first = owners.next()??;
        owners
            .all(|owner| owner == Some(first))
            .then(|| self.table[first].id)
    }

    /// Whether a node of this name is known.
    #[must_use]
    pub fn knows(&self, id: NodeId) -> bool {
        self.table
            .find(id)
            .is_some_and(|key| !self.table[key].is(NodeFlags::HANDSHAKE))
    }

    /// Where the server of a node is found by other servers.
    #[must_use]
    pub fn server_of(&self, id: NodeId) -> Option<(IpAddr, u16)> {
        let addr = self.table[self.table.find(id)?].addr;
        Some((addr.ip?, addr.port))
    }

    /// Whether slots are being imported key by key, and whether some are being handed over so.
    #[must_use]
    pub fn moves_by_hand(&self) -> (bool, bool) {
        let table = &self.table;
        (!table.importing.is_empty(), !table.migrating.is_empty())
    }

    /// Another node is about to claim slots of ours, until [`Node::end_yielding`]: our own config epoch stays as it is, so that its
    /// claim is the newer one for everybody. It hears ours, which is the answer, too.
    pub fn begin_yielding(&mut self, now: Now, to: NodeId) -> u64 {
        self.yielding += 1;
        let link = self.table.find(to).and_then(|key| self.link_to(key));
        if let Some(link) = link {
            self.send_ping(now, link, PingKind::Pong);
        }
        self.end_call(now);
        self.config_epoch()
    }

    /// Ends what [`Node::begin_yielding`] began.
    pub fn end_yielding(&mut self) {
        self.yielding = self.yielding.saturating_sub(1);
    }

    /// Whether the majority has answered us since a moment: had another node claimed slots of ours before, and could it serve them, we
    /// would know.
    #[must_use]
    pub fn majority_heard_since(&self, mono_ms: u64) -> bool {
        let myself = self.table.myself();
        let heard = |key: PeerKey| {
            let at = self.table[key].pong_received;
            key == myself || at.is_some_and(|at| at.mono_ms >= mono_ms)
        };
        let electors = self.table.keys().into_iter();
        let count = electors.filter(|key| self.is_elector(*key) && heard(*key));
        self.has_majority() && count.count() >= self.health.quorum()
    }

    /// A node that was allowed to claim slots of ours has not been heard to do it, and we go on with them. Should it have claimed them
    /// and been lost before it could say so, it may come back much later: its claim is to be the older one then. For that our config
    /// epoch is one of the next term.
    pub fn take_back_slots(&mut self, now: Now) {
        if self.is_master()
            && let Some(epoch) = self.next_term().and_then(|_| self.next_epoch())
        {
            self.claim_epoch(epoch);
            let text =
                format_args!("Slots that were not taken over stay here in config epoch {epoch}");
            self.log(LogLevel::Notice, text);
        }
        self.end_call(now);
    }

    /// The owner of slots that we are about to claim says which its config epoch is: ours will be above it. One that nobody can have
    /// handed out is not believed.
    pub fn hear_epoch(&mut self, now: Now, epoch: u64) {
        if epoch <= self.current_epoch.saturating_add(MAX_EPOCH_STEP) {
            self.raise_current_epoch(epoch);
        }
        self.end_call(now);
    }

    /// All keys of these slots are here, and their owner has agreed that they are ours from now on: claims them, in a config epoch
    /// that is above all others. Others hear of it at once.
    pub fn take_slots(&mut self, now: Now, slots: impl IntoIterator<Item = Slot>) {
        if !self.is_master() {
            return;
        }
        self.renew_config_epoch();
        let myself = self.table.myself();
        let mut count = 0;
        for slot in slots {
            self.table.importing.remove(&slot);
            self.table.set_owner(slot, Some(myself));
            count += 1;
        }
        let epoch = self.config_epoch();
        let text = format_args!("Took over {count} slots in config epoch {epoch}");
        self.log(LogLevel::Notice, text);
        self.todo.save = true;
        self.todo.update_state = true;
        self.todo.broadcast = true;
        self.end_call(now);
    }
}
