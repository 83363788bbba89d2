//! A copy that lacks the data that are here is refused for a while: a primary that came back empty does not empty its replicas.

use rdb::Amount;
use replication::{Holding, Input, Offer, Place, State, Verdict};

use crate::Engine;
use crate::keeper::slave::Head;

impl Engine {
    fn empty_master_grace_ms(&self) -> u64 {
        u64::from(self.config.repl_empty_master_grace) * 1000
    }

    /// For how long the primary's copies are still refused, since it came back without our data; none where they are not. Milliseconds.
    pub(crate) fn refuses_primary_ms(&self) -> Option<u64> {
        let slave = self.keeper.slave.as_ref()?;
        let left = (slave.guard).left_ms(self.now.mono_ms, self.empty_master_grace_ms());
        left.filter(|_| slave.link.state() != State::Connected)
    }

    /// Whether the primary, whose copy was refused, is not to be asked yet.
    pub(super) fn lets_primary_wait(&self) -> bool {
        let (now_ms, grace_ms) = (self.now.mono_ms, self.empty_master_grace_ms());
        let slave = self.keeper.slave.as_ref();
        slave.is_some_and(|slave| {
            slave.link.state() == State::Connect && slave.guard.waits(now_ms, grace_ms)
        })
    }

    /// Whether a dump that has come whole begins as one that can be read here. If not, the link is given up, and what is here stays.
    pub(super) fn can_read_dump(&mut self) -> bool {
        let relaxed = self.config.rdb_version_check == conf::VersionCheck::Relaxed;
        let now_ms = self.now.mono_ms;
        let Some(slave) = &mut self.keeper.slave else {
            return false;
        };
        let Err(error) = rdb::check_head(&slave.head.bytes, relaxed) else {
            return true;
        };
        let line = format!(
            "Failed trying to load the PRIMARY synchronization DB from disk, the data that are here stay: {error}"
        );
        slave.link.handle_input(now_ms, Input::Unusable(&line));
        false
    }

    /// Whether a dump that has come whole is to be loaded. If not, the link is given up, and what is here stays.
    pub(super) fn takes_dump(&mut self, from: Option<&Place>) -> bool {
        let Some(slave) = &mut self.keeper.slave else {
            return false;
        };
        let head = std::mem::take(&mut slave.head);
        let (keys, ours) = self.compare(&head);
        let (now_ms, grace_ms) = (self.now.mono_ms, self.empty_master_grace_ms());
        let here = Holding {
            place: self.resume_place(),
            keys: ours,
        };
        let offer = Offer {
            place: from.cloned(),
            keys,
        };
        let Some(slave) = &mut self.keeper.slave else {
            return false;
        };
        match slave.guard.judge(now_ms, grace_ms, &here, &offer) {
            Verdict::Take => return true,
            Verdict::Yield => {
                tracing::warn!(
                    "The primary has not got its data back, nor was another one elected: its copy of {keys} keys takes the place of {ours} \
                     (repl-empty-master-grace)"
                );
                return true;
            }
            Verdict::Refuse { first, left_ms } => {
                let line = format!(
                    "The primary came back without its data: it offers a copy of {keys} keys in a new stream, where {ours} are here. The copy is \
                     refused for {} seconds more (repl-empty-master-grace); REPLICAOF with the same address takes it at once",
                    left_ms.div_ceil(1000)
                );
                slave.link.handle_input(now_ms, Input::Unusable(&line));
                if first {
                    tracing::warn!(
                        "== CRITICAL == This replica keeps its data: its primary has lost them"
                    );
                }
            }
        }
        self.elect_instead();
        false
    }

    /// How many keys a dump holds, and how many are here: of all, or of the first database that it has.
    fn compare(&self, head: &Head) -> (u64, u64) {
        let count = |db: usize| self.shard.keyspace.db_ref(db).len() as u64;
        let databases = self.shard.keyspace.databases();
        match rdb::peek(&head.bytes) {
            Amount::All(keys) if !head.cut => (keys, (0..databases).map(count).sum()),
            Amount::First { database, keys } => {
                let database = usize::try_from(database).ok();
                let database = database.filter(|db| *db < databases);
                (keys, database.map_or(0, count))
            }
            Amount::All(_) | Amount::Unknown => (u64::MAX, 0),
        }
    }

    /// In a cluster a replica that has the data stands for election: its primary serves their slots without them.
    fn elect_instead(&mut self) {
        let now = self.bus_now();
        if self.config.cluster_replica_no_failover {
            return;
        }
        if let Some(node) = &mut self.keeper.cluster
            && node
                .failover(now, cluster_bus::FailoverKind::Force, false)
                .is_ok()
        {
            self.perform_bus();
        }
    }

    /// An operator names the primary that is followed already. Whether its copies were refused: now they are taken.
    pub(super) fn overrule_refusal(&mut self) -> bool {
        let slave = self.keeper.slave.as_mut();
        let refused = slave.is_some_and(|slave| slave.guard.overrule());
        if refused {
            tracing::warn!(
                "The primary's next copy is taken whatever it holds, as an operator wants"
            );
        }
        refused
    }
}
