//! When the cluster is ok for this node, so that it serves clients, and when it is not.

use super::io::ClusterState;
use super::io::{Event, LogLevel};
use super::state::Down;
use super::state::Node;
use super::table::{Peer, PeerKey};
use crate::message::NodeFlags;
use crate::{Now, SLOT_COUNT};

/// Up to so many masters are too few to decide which of them is down: with `cluster-replicas-vote` their replicas count, too.
const FEW_MASTERS: usize = 2;
/// A master that comes up waits so long: it may have been replaced meanwhile and not know it yet.
const WRITABLE_DELAY_MS: u64 = 2000;
/// A master that comes back from a minority waits for the node timeout, within these bounds.
const SHORTEST_REJOIN_MS: u64 = 500;
const LONGEST_REJOIN_MS: u64 = 5000;

impl Node {
    /// Whether this node sees a majority: what it decides alone then is not decided otherwise on the other side of a partition. A
    /// node that has just started, or comes back from a minority, has first to hear what it missed.
    #[must_use]
    pub fn has_majority(&self) -> bool {
        self.health.is_ok() || self.health.told == Some(Down::Uncovered)
    }

    /// Decides anew whether the cluster is ok: every slot is served (if that is asked for), and the majority of the
    /// masters can be reached.
    pub(super) fn update_state(&mut self, now: Now) {
        self.todo.update_state = false;
        let first_look_ms = *self.health.first_look_ms.get_or_insert(now.mono_ms);
        let waiting = now.mono_ms.saturating_sub(first_look_ms) < WRITABLE_DELAY_MS;
        if self.is_master() && !self.health.is_ok() && waiting {
            return;
        }
        let reachable = self.count_electors();
        let majority = reachable >= self.health.quorum();
        if !majority {
            self.health.in_minority_ms = Some(now.mono_ms);
        }
        let down = if !majority {
            Some(Down::Minority)
        } else if self.config.require_full_coverage && !self.all_slots_served() {
            Some(Down::Uncovered)
        } else {
            None
        };
        if down.is_none() && self.is_master() && !self.health.is_ok() && self.is_rejoining(now) {
            return;
        }
        self.note_state(down);
    }

    fn note_state(&mut self, down: Option<Down>) {
        let (state, level) = match down {
            None => (ClusterState::Ok, LogLevel::Notice),
            Some(_) => (ClusterState::Fail, LogLevel::Warning),
        };
        if state != self.health.state {
            self.health.state = state;
            let text = format_args!("Cluster state changed: {}", state.as_str());
            self.log(level, text);
            self.emit(Event::StateChanged(state));
        }
        if let Some(why) = down
            && self.health.told != down
        {
            let text = format_args!("Cluster is currently down: {}", why.text());
            self.log(LogLevel::Warning, text);
        }
        self.health.told = down;
    }

    /// Counts those who vote, and returns how many of them are not down.
    fn count_electors(&mut self) -> usize {
        let serves = |(_, peer): &(PeerKey, &Peer)| peer.is_master() && !peer.slots().is_empty();
        self.health.size = self.table.peers().filter(serves).count();
        let electors = self.table.peers().filter(|(key, _)| self.is_elector(*key));
        let down = NodeFlags::PFAIL.with(NodeFlags::FAIL);
        let (mut all, mut reachable) = (0, 0);
        for (_, peer) in electors {
            all += 1;
            reachable += usize::from(!peer.is(down));
        }
        self.health.electors = all;
        reachable
    }

    /// Whether a node's word counts when a node fails and when another one is to take its place. Masters that serve slots have it; with
    /// one or two of them no majority is left when one dies, so their replicas have it as well where that is configured.
    pub(super) fn is_elector(&self, key: PeerKey) -> bool {
        let peer = &self.table[key];
        if peer.is_master() {
            return !peer.slots().is_empty();
        }
        self.config.replicas_vote
            && self.health.size <= FEW_MASTERS
            && peer
                .master
                .is_some_and(|master| !self.table[master].slots().is_empty())
    }

    fn all_slots_served(&self) -> bool {
        let served = |(_, peer): (PeerKey, &Peer)| {
            if peer.is(NodeFlags::FAIL) {
                0
            } else {
                u32::from(peer.slots().len())
            }
        };
        self.table.peers().map(served).sum::<u32>() == u32::from(SLOT_COUNT)
    }

    fn is_rejoining(&self, now: Now) -> bool {
        let delay_ms = self
            .config
            .node_timeout_ms
            .clamp(SHORTEST_REJOIN_MS, LONGEST_REJOIN_MS);
        self.health
            .in_minority_ms
            .is_some_and(|at| now.mono_ms.saturating_sub(at) < delay_ms)
    }
}
