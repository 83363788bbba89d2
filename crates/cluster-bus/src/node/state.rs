//! What a node knows: its table of nodes, its links, and where each rule stands.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use super::imports::Imports;
use super::io::{ClusterState, Config, Facts, Faults, LinkId, Output};
use super::table::{PeerKey, Table};
use crate::message::{Body, Packet, Version};
use crate::rng::Rng;
use crate::{NodeId, Now, SlotSet};

/// One member of a cluster.
#[derive(Debug)]
pub struct Node {
    pub(super) config: Config,
    pub(super) facts: Facts,
    pub(super) faults: Faults,
    pub(super) rng: Rng,
    pub(super) table: Table,
    pub(super) links: Links,
    pub(super) blacklist: Blacklist,
    /// The newest epoch anyone talked about.
    pub(super) current_epoch: u64,
    /// The newest epoch in which this node voted, asked for votes or claimed something: what it says of the current epoch. Those who
    /// acted in newer ones say them. So an epoch that it only heard of is no promise, and need not be on the disk before it goes on.
    pub(super) said_epoch: u64,
    /// The newest epoch in which this node voted.
    pub(super) last_vote_epoch: u64,
    /// When a made-up epoch was logged last.
    pub(super) refused_epoch_ms: Option<u64>,
    pub(super) health: Health,
    pub(super) election: Election,
    pub(super) manual_failover: ManualFailover,
    pub(super) seeds: Seeds,
    pub(super) imports: Imports,
    /// So many nodes are about to claim slots of ours in an epoch that is to be above ours: see `handover`.
    pub(super) yielding: usize,
    /// What the server was last told to replicate from.
    pub(super) replicating_from: Option<(IpAddr, u16)>,
    pub(super) stats: Stats,
    pub(super) next_cron_ms: u64,
    pub(super) cron_count: u64,
    pub(super) todo: Todo,
    /// Somebody is answered once the next `Persist` is on the disk.
    pub(super) asked: bool,
    /// What the last `Persist` held of what this node tells of itself.
    pub(super) promised: Option<Promises>,
    /// What the call under way has collected: leaves behind its `Persist`.
    pub(super) held: VecDeque<Output>,
    pub(super) outputs: VecDeque<Output>,
}

/// What the end of the call has to look after.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Todo {
    pub(super) save: bool,
    pub(super) update_state: bool,
    pub(super) failover: bool,
    /// All are told of our new role, slots or config epoch.
    pub(super) broadcast: bool,
}

/// What a node tells of itself, and others rely on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Promises {
    pub(super) id: NodeId,
    pub(super) said_epoch: u64,
    pub(super) last_vote_epoch: u64,
    pub(super) config_epoch: u64,
    pub(super) slots: Arc<SlotSet>,
    pub(super) is_master: bool,
    pub(super) master: Option<NodeId>,
}

/// A replica's side.
#[derive(Debug, Default)]
pub(super) struct Election {
    /// When to ask for votes, of this election or the last one.
    pub(super) due_ms: Option<u64>,
    pub(super) rank: Rank,
    pub(super) requested: bool,
    pub(super) epoch: u64,
    pub(super) votes: BTreeSet<NodeId>,
    /// What the last request claimed.
    pub(super) claim: Option<(u64, Arc<SlotSet>)>,
    /// Who else asked for votes meanwhile.
    pub(super) rivals: Rivals,
    pub(super) why_not: Option<WhyNot>,
    pub(super) why_not_logged_ms: Option<u64>,
}

/// Candidates that asked for votes in the same epoch as we, or a newer one: each voter has one vote in an epoch and gives none in an
/// older one, and it may be that nobody wins.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rivals {
    /// When one asked that goes behind us.
    pub(super) behind_ms: Option<u64>,
    /// Whether one asked that goes before us.
    pub(super) before: bool,
}

impl Election {
    /// Makes room for a new election at once.
    pub(super) fn reset(&mut self) {
        self.due_ms = None;
        self.requested = false;
        self.votes.clear();
        self.claim = None;
        self.rivals = Rivals::default();
    }

    /// Whether an attempt is under way, or the last one has failed not long ago.
    pub(super) fn is_open(&self) -> bool {
        self.due_ms.is_some()
    }

    /// Whether more is claimed now, or in a newer epoch, than in the last request.
    pub(super) fn is_outdated(&self, now: &(u64, Arc<SlotSet>)) -> bool {
        self.claim.as_ref().is_some_and(|then| then != now)
    }
}

/// Forgotten nodes that are remembered as such.
pub(super) const MAX_FORGOTTEN: usize = 1000;

/// Nodes that gossip may not bring back yet, and until when.
#[derive(Debug, Default)]
pub(super) struct Blacklist(BTreeMap<NodeId, u64>);

impl Blacklist {
    pub(super) fn add(&mut self, now: Now, id: NodeId, ttl_ms: u64) {
        self.0.retain(|_, until_ms| *until_ms >= now.mono_ms);
        if self.0.len() < MAX_FORGOTTEN || self.0.contains_key(&id) {
            self.0.insert(id, now.mono_ms.saturating_add(ttl_ms));
        }
    }

    /// The nodes in it, and for how many seconds they stay: what others are told.
    pub(super) fn left(&self, now_ms: u64) -> Vec<(NodeId, u64)> {
        let left = self.0.iter().filter(|(_, until_ms)| **until_ms >= now_ms);
        left.map(|(id, until_ms)| (*id, (until_ms - now_ms) / 1000))
            .collect()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn contains(&self, now: Now, id: NodeId) -> bool {
        self.0
            .get(&id)
            .is_some_and(|until_ms| *until_ms >= now.mono_ms)
    }
}

/// Which address of `cluster-seeds` is asked next, and when.
#[derive(Debug, Default)]
pub(super) struct Seeds {
    pub(super) asked: usize,
    pub(super) next_ms: u64,
}

/// The state and what it is decided from.
#[derive(Debug)]
pub(super) struct Health {
    pub(super) state: ClusterState,
    /// Masters that serve at least one slot.
    pub(super) size: usize,
    /// Those who vote: these masters, and where they are few and it is asked for, their replicas.
    pub(super) electors: usize,
    /// Why it is not ok, as far as that was logged.
    pub(super) told: Option<Down>,
    pub(super) first_look_ms: Option<u64>,
    pub(super) in_minority_ms: Option<u64>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            state: ClusterState::Fail,
            size: 1,
            electors: 1,
            told: None,
            first_look_ms: None,
            in_minority_ms: None,
        }
    }
}

impl Health {
    /// Votes that are a majority.
    pub(super) fn quorum(&self) -> usize {
        self.electors / 2 + 1
    }

    pub(super) fn is_ok(&self) -> bool {
        self.state == ClusterState::Ok
    }
}

/// The open links.
#[derive(Debug, Default)]
pub(super) struct Links {
    pub(super) open: BTreeMap<LinkId, Link>,
    pub(super) dialled: u64,
    /// Links that were given up because too much waited on them.
    pub(super) limit_exceeded: u64,
}

/// One link.
#[derive(Debug)]
pub(super) struct Link {
    /// The node that was dialled; unknown for accepted links.
    pub(super) peer: Option<PeerKey>,
    pub(super) opened: Now,
    pub(super) remote: IpAddr,
    /// Our own address as the other end reached it; unknown for dialled links.
    pub(super) local: Option<IpAddr>,
    /// The version to send in.
    pub(super) version: Version,
    pub(super) up: bool,
    /// Whether anything came over it.
    pub(super) heard: bool,
    /// Bytes that the shell has not written yet.
    pub(super) queued: u64,
}

impl Link {
    pub(super) fn is_new(&self) -> bool {
        self.version == Version::V1
    }
}

/// Both sides of an attempt.
#[derive(Debug, Default)]
pub(super) struct ManualFailover {
    /// When the attempt is given up; `None` if there is none.
    pub(super) ends_ms: Option<u64>,
    /// Master: the replica that asked.
    pub(super) replica: Option<PeerKey>,
    /// Master: the link on which it asked. If it hangs up it has given up.
    pub(super) asked_on: Option<LinkId>,
    /// Replica: the offset at which the master stopped, once it has said so.
    pub(super) master_offset: Option<u64>,
    /// Replica: votes may be asked for.
    pub(super) can_start: bool,
    /// Master: clients are paused.
    pub(super) paused: bool,
}

impl ManualFailover {
    pub(super) fn is_running(&self) -> bool {
        self.ends_ms.is_some()
    }

    pub(super) fn can_start(&self) -> bool {
        self.is_running() && self.can_start
    }

    /// Whether we are the master and this replica is waiting for our offset.
    pub(super) fn is_for(&self, replica: PeerKey) -> bool {
        self.is_running() && self.replica == Some(replica)
    }

    pub(super) fn forget(&mut self, peer: PeerKey) {
        if self.replica == Some(peer) {
            self.replica = None;
        }
    }
}

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    packets: [u64; NAMES.len()],
    bytes: u64,
    pubsub_bytes: u64,
}

impl Traffic {
    pub(super) fn count(&mut self, packet: &Packet, bytes: u64) {
        self.count_kind(packet.kind(), bytes);
        let is_published = match packet {
            Packet::Full(message) => matches!(message.body, Body::Publish(_)),
            Packet::Light(_) => true,
        };
        if is_published {
            self.pubsub_bytes += bytes;
        }
    }

    pub(super) fn count_kind(&mut self, kind: u16, bytes: u64) {
        if let Some(count) = self.packets.get_mut(usize::from(kind)) {
            *count += 1;
        }
        self.bytes += bytes;
    }

    fn total(&self) -> u64 {
        self.packets.iter().sum()
    }
}

/// Both directions.
#[derive(Debug, Default)]
pub(super) struct Stats {
    pub(super) sent: Traffic,
    pub(super) received: Traffic,
}

impl Stats {
    /// The lines of CLUSTER INFO; types that did not occur have none.
    pub(super) fn write(&self, text: &mut String) {
        // Writing to a String cannot fail.
        let (sent, received) = (&self.sent, &self.received);
        for (traffic, way) in [(sent, "sent"), (received, "received")] {
            for (name, count) in NAMES.iter().zip(traffic.packets) {
                if count > 0 {
                    let _ = write!(text, "cluster_stats_messages_{name}_{way}:{count}\r\n");
                }
            }
            let _ = write!(text, "cluster_stats_messages_{way}:{}\r\n", traffic.total());
        }
        for (what, out, back) in [
            ("bytes", sent.bytes, received.bytes),
            ("pubsub_bytes", sent.pubsub_bytes, received.pubsub_bytes),
            ("module_bytes", 0, 0),
        ] {
            let _ = write!(
                text,
                "cluster_stats_{what}_sent:{out}\r\ncluster_stats_{what}_received:{back}\r\n"
            );
        }
    }
}

/// How many others go first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rank {
    /// Replicas of our master that have more of its data, or as much and a smaller id.
    pub(super) replicas: u64,
    /// Other failed masters whose replicas elect at the same time, by the order of shards.
    pub(super) masters: u64,
}

impl Rank {
    pub(super) fn is_best(self) -> bool {
        self == Self::default()
    }

    /// The wait for those that go first.
    pub(super) fn delay_ms(self, delay_ms: u64) -> u64 {
        delay_ms * (2 * self.replicas + self.masters)
    }
}

/// Why a replica of a failed master does not take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhyNot {
    Loading,
    DataAge,
    WaitingDelay,
    Expired,
    WaitingVotes,
}

impl WhyNot {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Loading => "Waiting for the dataset to be loaded.",
            Self::DataAge => {
                "Disconnected from primary for longer than allowed. Please check the 'cluster-replica-validity-factor' configuration option."
            }
            Self::WaitingDelay => "Waiting the delay before I can start a new failover.",
            Self::Expired => "Failover attempt expired.",
            Self::WaitingVotes => "Waiting for votes, but majority still not reached.",
        }
    }
}

/// Why the cluster is not ok for this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Down {
    Uncovered,
    Minority,
}

impl Down {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Uncovered => {
                "At least one hash slot is not served by any available node. Please check the 'cluster-require-full-coverage' \
                 configuration."
            }
            Self::Minority => "I am part of a minority partition.",
        }
    }
}

/// The types of packets by their number, as CLUSTER INFO names them.
pub(super) const NAMES: [&str; 11] = [
    "ping",
    "pong",
    "meet",
    "fail",
    "publish",
    "auth-req",
    "auth-ack",
    "update",
    "mfstart",
    "module",
    "publishshard",
];
