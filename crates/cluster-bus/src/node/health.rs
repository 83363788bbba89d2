//! When the cluster is ok for this node, so that it serves clients, and when it is not.

use super::{Event, LogLevel, Node, Peer, PeerKey};
use crate::message::NodeFlags;
use crate::{Now, SLOT_COUNT};

/// A master that comes up waits so long: it may have been replaced meanwhile and not know it yet.
const WRITABLE_DELAY_MS: u64 = 2000;
/// A master that comes back from a minority waits for the node timeout, within these bounds.
const SHORTEST_REJOIN_MS: u64 = 500;
const LONGEST_REJOIN_MS: u64 = 5000;

/// The cluster as one node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// Queries are served.
    Ok,
    /// Queries are answered by CLUSTERDOWN.
    Fail,
}

impl ClusterState {
    pub(super) fn on_the_wire(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Fail => 1,
        }
    }

    /// As CLUSTER INFO and the log print it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Fail => "fail",
        }
    }
}

/// The state and what it is decided from.
#[derive(Debug)]
pub(super) struct Health {
    pub(super) state: ClusterState,
    /// Masters that serve at least one slot: those who vote.
    pub(super) size: usize,
    first_look_ms: Option<u64>,
    in_minority_ms: Option<u64>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            state: ClusterState::Fail,
            size: 1,
            first_look_ms: None,
            in_minority_ms: None,
        }
    }
}

impl Health {
    /// Votes that are a majority.
    pub(super) fn quorum(&self) -> usize {
        self.size / 2 + 1
    }

    pub(super) fn is_ok(&self) -> bool {
        self.state == ClusterState::Ok
    }
}

impl Node {
    /// Decides anew whether the cluster is ok: every slot is served (if that is asked for), and the majority of the
    /// masters can be reached.
    pub(super) fn update_state(&mut self, now: Now) {
        self.todo.update_state = false;
        let first_look_ms = *self.health.first_look_ms.get_or_insert(now.mono_ms);
        let waiting = now.mono_ms.saturating_sub(first_look_ms) < WRITABLE_DELAY_MS;
        if self.is_master() && !self.health.is_ok() && waiting {
            return;
        }
        let reachable = self.count_masters();
        let majority = reachable >= self.health.quorum();
        if !majority {
            self.health.in_minority_ms = Some(now.mono_ms);
        }
        let ok = majority && (!self.config.require_full_coverage || self.all_slots_served());
        let state = if ok {
            ClusterState::Ok
        } else {
            ClusterState::Fail
        };
        if state == self.health.state || (ok && self.is_master() && self.is_rejoining(now)) {
            return;
        }
        self.health.state = state;
        self.log(
            LogLevel::Warning,
            format_args!("Cluster state changed: {}", state.as_str()),
        );
        self.emit(Event::StateChanged(state));
    }

    /// Counts the masters with slots, and returns how many of them are not down.
    fn count_masters(&mut self) -> usize {
        let voters = || {
            self.table
                .peers()
                .filter(|(_, peer)| peer.is_master() && !peer.slots().is_empty())
        };
        let down = NodeFlags::PFAIL.with(NodeFlags::FAIL);
        let reachable = voters().filter(|(_, peer)| !peer.is(down)).count();
        self.health.size = voters().count();
        reachable
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
