//! Replica migration: a master that is left without working replicas gets one from a master that has more than enough.

use super::io::LogLevel;
use super::state::Node;
use super::table::PeerKey;
use crate::Now;
use crate::message::NodeFlags;

/// How long a master must be without replicas: its own may be about to come back under a new master.
const DELAY_MS: u64 = 5000;

/// What a walk over the nodes found out, for a replica.
#[derive(Debug, Default)]
pub(super) struct Census {
    orphaned_masters: usize,
    most_replicas: usize,
    beside_me: usize,
}

impl Census {
    /// Counts one node in.
    pub(super) fn count(&mut self, node: &Node, key: PeerKey) {
        let peer = &node.table[key];
        if node.is_master() || !peer.is_master() || peer.is(NodeFlags::FAIL) {
            return;
        }
        let working = node.table.working_replicas(key);
        if working == 0 && !peer.slots().is_empty() && peer.is(NodeFlags::MIGRATE_TO) {
            self.orphaned_masters += 1;
        }
        self.most_replicas = self.most_replicas.max(working);
        if node.my_master() == Some(key) {
            self.beside_me = working;
        }
    }

    /// Whether it is worth a closer look: somebody is in need, and our master has more replicas than any other.
    pub(super) fn calls_for_migration(&self) -> bool {
        self.orphaned_masters > 0 && self.most_replicas >= 2 && self.beside_me == self.most_replicas
    }
}

impl Node {
    /// Moves to an orphaned master, if we are the one to do it: of the replicas of the masters that have most, the one
    /// with the smallest id.
    pub(super) fn consider_migration(&mut self, now: Now, census: &Census) {
        let Some(master) = self.my_master().filter(|_| self.health.is_ok()) else {
            return;
        };
        let down = NodeFlags::PFAIL.with(NodeFlags::FAIL);
        let fine = self.table[master]
            .replicas()
            .iter()
            .filter(|key| !self.table[**key].is(down))
            .count();
        if fine as u64 <= self.config.migration_barrier {
            return;
        }
        let mut target = None;
        let mut candidate = self.me().id;
        for key in self.table.keys() {
            let orphaned = self.note_orphaned(now, key);
            if orphaned && target.is_none() && !self.table[key].slots().is_empty() {
                target = Some(key);
            }
            if self.table[key].is_master()
                && self.table.working_replicas(key) == census.most_replicas
            {
                let smallest = self.table[key]
                    .replicas()
                    .iter()
                    .map(|replica| self.table[*replica].id)
                    .min();
                candidate = smallest.map_or(candidate, |id| id.min(candidate));
            }
        }
        let Some(target) = target.filter(|_| candidate == self.me().id) else {
            return;
        };
        let orphaned_for_ms = self.table[target]
            .orphaned_since_ms
            .map_or(0, |since| now.mono_ms.saturating_sub(since));
        if orphaned_for_ms > DELAY_MS {
            let (label, shard) = (self.table[target].label(), self.table[target].shard);
            self.log(
                LogLevel::Notice,
                format_args!("Migrating to orphaned primary {label} in shard {shard}"),
            );
            self.follow(target);
        }
    }

    /// Keeps the time since when a master is without working replicas. Only masters that had some count: those that
    /// were set up without are meant to be so.
    fn note_orphaned(&mut self, now: Now, key: PeerKey) -> bool {
        let peer = &self.table[key];
        let orphaned = peer.is_master()
            && !peer.is(NodeFlags::FAIL)
            && peer.is(NodeFlags::MIGRATE_TO)
            && self.table.working_replicas(key) == 0;
        let since = &mut self.table[key].orphaned_since_ms;
        *since = if orphaned {
            since.or(Some(now.mono_ms))
        } else {
            None
        };
        orphaned
    }
}
