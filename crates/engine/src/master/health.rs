//! Replicas that are too slow, silent, or too few: what is looked at once a second, and the gate before writes.

use commands::Error;
use conf::{ClientClass, OutputLimit};

use crate::journal::replicas::{Replica, ReplicaState};
use crate::{ClientId, Engine};

/// A write is refused for want of replicas that keep up.
pub(crate) const TOO_FEW_REPLICAS: Error =
    Error::text("NOREPLICAS Not enough good replicas to write.");

impl Engine {
    /// Now and then a PING goes to replicas, so that they know that their primary lives.
    pub(crate) fn ping_replicas(&mut self, now_ms: u64) {
        let period_ms = u64::from(self.config.repl_ping_slave_period) * 1000;
        // What is sent while a replica catches up would be more to catch up with.
        let ends_soon = self.keeper.failover.as_ref();
        let ends_soon = ends_soon.is_some_and(crate::keeper::failover::Failover::has_deadline);
        if !self.is_slave()
            && !ends_soon
            && !self.journal.replicas.ids.is_empty()
            && now_ms.saturating_sub(self.journal.replicas.last_ping_ms) >= period_ms
        {
            self.journal.replicas.last_ping_ms = now_ms;
            self.feed_replicas(None, &[b"PING"]);
            self.note_place();
        }
    }

    /// Once a second: pings, replicas that are too slow or silent, a backlog that nobody needs, waiting dumps.
    pub(crate) fn tick_replicas(&mut self) {
        let now_ms = self.now.mono_ms;
        self.ping_replicas(now_ms);
        // A byte that means nothing keeps those alive that wait for their dump.
        for state in [ReplicaState::WaitStart, ReplicaState::WaitEnd] {
            for id in self.replicas_in(state) {
                self.output_of(id).raw(b"\n");
            }
        }
        let timeout_ms = u64::from(self.config.repl_timeout) * 1000;
        for id in self.replicas_in(ReplicaState::Online) {
            let Some(replica) = self.replica(id) else {
                continue;
            };
            if replica.psync && now_ms.saturating_sub(replica.acked_ms) > timeout_ms {
                tracing::warn!(
                    "Disconnecting timedout replica (streaming sync): {}",
                    self.replica_name(id)
                );
                self.close_now(id);
            }
        }
        self.tick_awaited();
        self.limit_replicas();
        self.start_waiting_copies();
        let ttl_ms = self.config.repl_backlog_ttl.saturating_mul(1000);
        let unused = self.journal.replicas.ids.is_empty() && ttl_ms > 0 && !self.is_slave();
        if unused
            && self.journal.replicas.backlog.is_some()
            && now_ms.saturating_sub(self.journal.replicas.none_since_ms) > ttl_ms
        {
            self.free_backlog();
            tracing::info!(
                "Replication backlog freed after {} seconds without connected replicas.",
                ttl_ms / 1000
            );
        }
        self.trim_backlog();
    }

    /// `client-output-buffer-limit replica`, but not less than the part of the stream that is kept anyway: who is cut off within that
    /// would be let in again at once.
    pub(crate) fn replica_limit(&self) -> OutputLimit {
        let mut limit = self.config.client_output_buffer_limit[ClientClass::Slave];
        let kept = self.config.repl_backlog_size;
        for bytes in [&mut limit.hard_bytes, &mut limit.soft_bytes] {
            if *bytes > 0 {
                *bytes = (*bytes).max(kept);
            }
        }
        limit
    }

    /// What a replica has not been sent yet counts as its output, which is limited.
    pub(crate) fn limit_replicas(&mut self) {
        let now_ms = self.now.mono_ms;
        let limit = self.replica_limit();
        let offset = self.journal.replicas.offset();
        let bound = self.copy_bound();
        for index in 0..self.journal.replicas.ids.len() {
            let id = self.journal.replicas.ids[index];
            let closing = self
                .sessions
                .clients
                .get(id)
                .is_none_or(|client| client.flags.closing);
            let Some(replica) = self.replica(id).filter(|_| !closing) else {
                continue;
            };
            let behind = if replica.state == ReplicaState::WaitStart || replica.dump_only {
                0
            } else {
                offset.saturating_sub(replica.sent)
            };
            // For one that makes its copy the writers are slowed first.
            let held = replica.copied_at.and(bound);
            let hard_bytes = held.map_or(limit.hard_bytes, |bound| bound.saturating_mul(2));
            let hard = hard_bytes > 0 && behind > hard_bytes;
            let over_soft = held.is_none() && limit.soft_bytes > 0 && behind > limit.soft_bytes;
            let since_ms = over_soft.then(|| replica.over_soft_since_ms.unwrap_or(now_ms));
            replica.over_soft_since_ms = since_ms;
            if hard
                || since_ms.is_some_and(|since| {
                    now_ms.saturating_sub(since) > limit.soft_seconds.saturating_mul(1000)
                })
            {
                self.meter.stats.removed.output_buffer_closed += 1;
                tracing::warn!(
                    "Client {} scheduled to be closed ASAP for overcoming of output buffer limits.",
                    self.replica_name(id)
                );
                self.close_now(id);
            }
        }
        self.limit_awaited(bound.map_or(limit.hard_bytes, |bound| bound.saturating_mul(2)));
        self.look_at_copies();
    }

    /// How much waits to be sent to a replica beside its stream; none for another client, or one that only watches.
    pub(crate) fn replica_output(&self, id: ClientId) -> Option<usize> {
        let client = self.sessions.clients.get(id)?;
        let follows = client.flags.replica && !client.flags.monitor;
        follows.then(|| client.out.len())
    }

    /// A replica has said something that is answered: it would find the answer in its stream.
    pub(crate) fn cut_off_talking_replica(&mut self, id: ClientId, before: usize) {
        let client = self.sessions.clients.get_mut(id);
        let Some(client) = client.filter(|client| client.out.len() > before) else {
            return;
        };
        let command = client.last_command;
        if let [b'-', error @ ..] = &client.out.flatten()[before..] {
            let error = String::from_utf8_lossy(error);
            let role = if self.keeper.slave.is_some() {
                "replica"
            } else {
                "primary"
            };
            tracing::warn!(
                "== CRITICAL == This {role} is sending an error to its replica: '{}' after processing the command '{command}'",
                error.trim_end()
            );
        }
        let line = self.client_line(id);
        tracing::warn!(
            "Replica generated a reply to command '{command}', disconnecting it: {line}"
        );
        self.close_now(id);
    }

    /// Replicas that answered within `min-slaves-max-lag`.
    pub(crate) fn good_replicas(&self) -> usize {
        let most_ms = match self.config.min_slaves_max_lag {
            0 => u64::MAX,
            seconds => u64::from(seconds) * 1000,
        };
        let now_ms = self.now.mono_ms;
        let good = |replica: &&Replica| {
            replica.state == ReplicaState::Online
                && now_ms.saturating_sub(replica.acked_ms) <= most_ms
        };
        let all = self
            .journal
            .replicas
            .ids
            .iter()
            .filter_map(|id| self.sessions.clients.get(*id)?.replica.as_deref());
        all.filter(good).count()
    }

    /// Whether writes may be refused for too few replicas.
    #[inline]
    pub(crate) fn wants_replicas(&self) -> bool {
        self.config.min_slaves_to_write > 0
            || self.config.write_acknowledge != conf::WriteAcknowledge::None
    }

    /// The gate for writes with too few good replicas.
    pub(crate) fn gate_min_slaves(&self) -> Result<(), Error> {
        let wanted = match self.config.min_slaves_max_lag {
            0 => 0,
            _ => usize::try_from(self.config.min_slaves_to_write).unwrap_or(usize::MAX),
        };
        // Nobody could acknowledge what would be written.
        let wanted = wanted.max(self.wanted_replicas(self.config.write_acknowledge));
        if wanted > 0 && !self.is_slave() && self.good_replicas() < wanted {
            return Err(TOO_FEW_REPLICAS);
        }
        Ok(())
    }
}
