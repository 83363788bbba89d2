//! Full synchronization: the dump that a replica begins with, from the request to the first byte of the stream behind it.

use replication::Backlog;

use crate::journal::replicas::ReplicaState;
use crate::keeper::persistence::Purpose;
use crate::sessions::client::Announced;
use crate::{Action, ClientId, Engine};

impl Engine {
    pub(super) fn begin_full_sync(&mut self, id: ClientId, psync: bool) {
        self.meter.stats.syncs.full += 1;
        self.add_replica(id, ReplicaState::WaitStart, psync, 0);
        self.log_place_in_line(id);
        match self
            .keeper
            .persistence
            .running
            .map(|running| running.purpose)
        {
            Some(Purpose::Save) if self.can_join_dump(id) => {
                tracing::info!("Waiting for end of BGSAVE for SYNC");
                let offset = self.journal.replicas.fork_offset.unwrap_or(0);
                self.announce_sync(id, offset);
            }
            Some(Purpose::Sync) => {
                tracing::info!(
                    "Current BGSAVE has socket target. Waiting for next BGSAVE for SYNC"
                );
            }
            Some(_) => tracing::info!("Waiting for next BGSAVE for SYNC"),
            None if self.config.repl_diskless_sync
                && self.config.repl_diskless_sync_delay > 0
                && !self.are_enough_waiting()
                && !self.wants_dump_alone(id) =>
            {
                tracing::info!("Delay next BGSAVE for diskless SYNC");
                self.journal
                    .replicas
                    .first_waiting_ms
                    .get_or_insert(self.now.mono_ms);
            }
            None => self.start_sync(),
        }
    }

    /// Whether so many replicas wait for a streamed dump that no more are waited for (`repl-diskless-sync-max-replicas`).
    fn are_enough_waiting(&self) -> bool {
        let most = usize::try_from(self.config.repl_diskless_sync_max_replicas).unwrap_or(0);
        most > 0 && self.replicas_in(ReplicaState::WaitStart).len() >= most
    }

    /// Whether a client that wants nothing but a dump is the only one that waits: a backup is not put off for replicas that may come.
    fn wants_dump_alone(&self, id: ClientId) -> bool {
        let told = self.announced(id);
        let alone = self.replicas_in(ReplicaState::WaitStart).len() == 1;
        told.rdb_only && !told.rdb_channel && alone
    }

    /// Whether the dump that is being made, and the stream behind it, are of use to one more replica: it has still to be sent the dump,
    /// in which time as much again may come.
    fn can_join_dump(&self, id: ClientId) -> bool {
        let told = self.announced(id);
        !told.rdb_channel
            && self.copies_left() > 0
            && self
                .dump_reader(id)
                .reads(self.keeper.persistence.dump_reader, true)
            && self
                .journal
                .replicas
                .fork_offset
                .is_some_and(|fork| self.understands_from(id, fork))
            && !self.is_lost(self.stream_since_fork().saturating_mul(2))
    }

    /// Starts the child that makes the dump for all replicas that wait for one.
    pub(super) fn start_sync(&mut self) {
        self.journal.replicas.first_waiting_ms = None;
        let mut waiting = self.replicas_in(ReplicaState::WaitStart);
        waiting.truncate(self.copies_left());
        if waiting.is_empty() {
            return;
        }
        // The others get a dump that they can read behind this one.
        let timed = self.has_timed_fields();
        let reader = self.dump_reader(waiting[0]);
        let readers = waiting.iter().map(|id| self.dump_reader(*id));
        let widest = readers.filter(|other| reader.reads(*other, timed)).max();
        let reader = widest.unwrap_or(reader);
        waiting.retain(|id| self.dump_reader(*id).reads(reader, timed));
        let is_dual = |id: &ClientId| self.announced(*id).rdb_channel;
        let how = if waiting.iter().all(is_dual) {
            "dual-channel"
        } else {
            "normal sync"
        };
        let all = |has: fn(&Announced) -> bool| waiting.iter().all(|id| has(&self.announced(*id)));
        let (psync2, eof) = (all(|told| told.psync2), all(|told| told.eof));
        // Before 4.0 a dump does not tell which database the stream has selected: then the stream has to, from behind a file.
        let purpose = if self.config.repl_diskless_sync && eof && (psync2 || !self.is_slave()) {
            Purpose::Sync
        } else {
            Purpose::Save
        };
        let target = if purpose == Purpose::Sync {
            "replicas sockets"
        } else {
            "disk"
        };
        tracing::info!("Starting BGSAVE for SYNC with target: {target} using: {how}");
        self.keeper.persistence.dump_reader = reader;
        if purpose == Purpose::Sync && self.can_send_directly(&waiting) {
            self.journal.replicas.direct.clone_from(&waiting);
        }
        if self.start_child(purpose).is_err() {
            tracing::warn!("BGSAVE for replication failed");
            self.journal.replicas.direct.clear();
            for id in waiting {
                const FAILED: &str = "ERR BGSAVE failed, replication can't continue";
                self.sessions.clients[id].out.error(FAILED);
                self.meter.stats.note_error(FAILED.as_bytes());
                self.close_after_reply(id);
            }
            return;
        }
        if let Some(running) = &mut self.keeper.persistence.running {
            running.for_copies = purpose == Purpose::Save;
        }
        if self.switches.stops_after_fork {
            self.host.stop();
        }
        let offset = self.journal.replicas.offset();
        for &id in &waiting {
            self.announce_sync(id, offset);
        }
        if purpose == Purpose::Sync {
            for &id in &waiting {
                if let Some(replica) = self.replica(id) {
                    replica.state = ReplicaState::Sending;
                    replica.wait_ack = true;
                }
            }
            if self.journal.replicas.direct.is_empty() {
                self.act(Action::RelaySync { replicas: waiting });
            }
        }
    }

    /// Part of each tick: no more replicas are waited for that might share a copy.
    pub(crate) fn start_delayed_sync(&mut self) {
        let Some(first_ms) = self.journal.replicas.first_waiting_ms else {
            return;
        };
        let waited_ms = self.now.mono_ms.saturating_sub(first_ms);
        let delay_ms = u64::from(self.config.repl_diskless_sync_delay) * 1000;
        if self.keeper.persistence.running.is_none()
            && (waited_ms >= delay_ms || self.are_enough_waiting())
        {
            self.journal.replicas.first_waiting_ms = None;
            self.start_waiting_copies();
        }
    }

    /// A child was forked: the stream from here on completes its dump. Each dump's stream begins with a SELECT, but for a primary's:
    /// that is handed on as it is, and the dump tells which database it has selected.
    pub(crate) fn note_fork_offset(&mut self) {
        if !self.is_slave() {
            self.journal.replicas.selected = None;
        }
        self.journal.replicas.fork_offset =
            self.journal.replicas.backlog.as_ref().map(Backlog::offset);
    }

    /// What selects the stream's database for a replica whose dump does not: a primary's stream is handed on as it is.
    fn missing_select(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let db = self.journal.replicas.selected.unwrap_or(0);
        if self.is_slave() && !self.keeper.persistence.dump_reader.knows_places() && db != 0 {
            let mut digits = itoa::Buffer::new();
            aof::encode_command(&mut out, [&b"SELECT"[..], digits.format(db).as_bytes()]);
        }
        out
    }

    /// A client reads the stream from `offset` on, after a dump that holds no data. Gives what goes before the stream.
    pub(crate) fn begin_filtered_stream(
        &mut self,
        id: ClientId,
        psync: bool,
        offset: u64,
    ) -> Vec<u8> {
        self.add_replica(id, ReplicaState::Online, psync, offset);
        if self.is_slave() {
            return self.missing_select();
        }
        self.journal.replicas.selected = None;
        Vec::new()
    }

    fn announce_sync(&mut self, id: ClientId, offset: u64) {
        let stream = self.journal.replicas.id.clone();
        // It counts as a part of the stream: the one that it is sent begins so much earlier.
        let select = self.missing_select();
        let from = offset.saturating_sub(select.len() as u64);
        let Some(replica) = self.replica(id) else {
            return;
        };
        replica.state = ReplicaState::WaitEnd;
        replica.sent = offset;
        replica.copied_at = (!replica.dump_only).then_some(offset);
        replica.select = select;
        if replica.dump_channel {
            return self.announce_end_offset(id, offset);
        }
        if replica.psync {
            self.sessions.clients[id]
                .out
                .raw(format!("+FULLRESYNC {stream} {from}\r\n").as_bytes());
            self.wake(id);
        }
    }

    /// The child that made dumps has ended.
    pub(crate) fn sync_child_ended(&mut self, purpose: Purpose, ok: bool) {
        self.journal.replicas.fork_offset = None;
        if purpose == Purpose::Sync {
            self.direct_child_ended(ok);
        }
        if purpose == Purpose::Save {
            for id in self.replicas_in(ReplicaState::WaitEnd) {
                if !ok {
                    tracing::warn!("SYNC failed. BGSAVE child returned an error");
                    self.close_now(id);
                    continue;
                }
                if let Some(replica) = self.replica(id) {
                    replica.state = ReplicaState::Sending;
                }
                self.act(Action::SendFile {
                    id,
                    path: self.keeper.persistence.dump.clone(),
                });
            }
        }
        if !self.replicas_in(ReplicaState::WaitStart).is_empty()
            && self.keeper.persistence.running.is_none()
        {
            self.start_sync();
        }
    }

    /// A replica has read nothing of its dump for too long.
    pub fn give_up_replica(&mut self, id: ClientId) {
        if self.replica(id).is_some() {
            tracing::warn!(
                "Disconnecting timedout replica (full sync): {}",
                self.replica_name(id)
            );
            self.close_now(id);
        }
    }

    /// A replica has been sent its dump whole (`true`), or it cannot be.
    pub fn dump_sent(&mut self, id: ClientId, ok: bool) {
        if self
            .sessions
            .clients
            .get(id)
            .is_none_or(|client| client.replica.is_none())
        {
            return;
        }
        if !ok {
            return self.close_now(id);
        }
        if self.announced(id).rdb_only {
            self.dump_connection_done(id);
            return self.close_after_reply(id);
        }
        let now_ms = self.now.mono_ms;
        let name = self.replica_name(id);
        if let Some(replica) = self.replica(id) {
            let select = std::mem::take(&mut replica.select);
            replica.state = ReplicaState::Online;
            replica.acked_ms = now_ms;
            if replica.wait_ack {
                tracing::info!(
                    "Streamed RDB transfer with replica {name} succeeded (socket). Waiting for REPLCONF ACK from replica to enable streaming"
                );
            } else {
                tracing::info!("Synchronization with replica {name} succeeded");
            }
            self.sessions.clients[id].out.raw(&select);
            self.begin_stream();
        }
        self.wake(id);
        self.start_waiting_copies();
    }

    /// A replica has its copy. In a cluster one at offset 0 counts as one that still loads, so it is given something to count.
    pub(super) fn begin_stream(&mut self) {
        if self.keeper.cluster.is_some() && self.journal.replicas.offset() == 0 {
            self.feed_replicas(None, &[b"PING"]);
            self.note_place();
        }
    }

    /// Ends the child that saves a dump for replicas alone, where the last of them has gone.
    pub(super) fn kill_unwanted_save(&mut self) {
        let running = self.keeper.persistence.running;
        let for_copies = running.is_some_and(|running| running.for_copies);
        let waited_for = !self.replicas_in(ReplicaState::WaitEnd).is_empty();
        if for_copies && !waited_for && self.config.save.is_empty() {
            tracing::info!(
                "The last replica that waited for the dump has gone, killing the child that saves it."
            );
            self.kill_dump_child();
        }
    }

    /// Ends the child that streams a dump, where the last replica that it is for has gone.
    pub(super) fn kill_unread_child(&mut self) {
        let running = self.keeper.persistence.running;
        let streams = running.is_some_and(|running| running.purpose == Purpose::Sync);
        if streams && self.replicas_in(ReplicaState::Sending).is_empty() && !self.has_sent_dump() {
            tracing::info!("Diskless rdb transfer, last replica dropped, killing fork child.");
            self.kill_dump_child();
        }
    }
}
