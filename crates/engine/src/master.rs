//! Our replicas: SYNC, PSYNC, REPLCONF, the stream that they read, and the gate for too few of them. WAIT is in `wait.rs`.
//!
//! The stream is written once, into the backlog. A replica is a client whose connection reads a dump (a file, or what a child
//! streams), and then the backlog from the offset of the dump.

use cluster_bus::NodeId;
use commands::{Args, Done, Error, args};
use conf::{ClientClass, OutputLimit};
use replication::Backlog;

use crate::journal::replicas::{Replica, ReplicaState, Replicas};
use crate::keeper::persistence::{DumpReader, Purpose};
use crate::sessions::client::Announced;
use crate::{Action, ClientId, Engine, filtered_dump};

mod copies;
mod dual;

/// How far the stream goes on between two looks at what is kept of it.
const LOOK_BYTES: u64 = 256 * 1024;
/// A write is refused for want of replicas that keep up.
pub(crate) const TOO_FEW_REPLICAS: Error =
    Error::text("NOREPLICAS Not enough good replicas to write.");

impl Engine {
    /// Whether what is done here goes into the stream. A replica hands on that of its primary, and adds nothing to it.
    pub(crate) fn writes_stream(&self) -> bool {
        self.journal.replicas.backlog.is_some() && !self.is_slave()
    }

    /// Writes one command to the stream, if anybody is or was there to read it.
    pub(crate) fn feed_replicas(&mut self, db: Option<usize>, words: &[&[u8]]) {
        if !self.writes_stream() {
            return;
        }
        let mut out =
            Vec::with_capacity(32 + words.iter().map(|word| word.len() + 16).sum::<usize>());
        if let Some(db) = db
            && self.journal.replicas.selected != Some(db)
        {
            self.journal.replicas.selected = Some(db);
            aof::encode_command(
                &mut out,
                [&b"SELECT"[..], itoa::Buffer::new().format(db).as_bytes()],
            );
        }
        aof::encode_command(&mut out, words.iter().copied());
        self.feed_stream(&out);
    }

    /// Adds bytes to the stream, and tells its readers.
    pub(crate) fn feed_stream(&mut self, bytes: &[u8]) {
        let Some(backlog) = &mut self.journal.replicas.backlog else {
            return;
        };
        backlog.feed(bytes);
        self.journal.throttle.spend(bytes.len());
        if !self.journal.replicas.awaited.is_empty() {
            self.attach_awaited();
        }
        let Some(backlog) = &self.journal.replicas.backlog else {
            return;
        };
        if backlog.offset() - self.journal.replicas.looked_at >= LOOK_BYTES {
            self.journal.replicas.looked_at = backlog.offset();
            self.limit_replicas();
            self.trim_backlog();
        }
        // Those that were woken already have not been served since.
        if std::mem::replace(&mut self.journal.replicas.woken, true) {
            return;
        }
        for index in 0..self.journal.replicas.ids.len() {
            let id = self.journal.replicas.ids[index];
            if self.is_online(id) {
                self.wake(id);
            }
        }
    }

    /// How many replicas have the stream as it comes.
    pub(crate) fn online_replicas(&self) -> usize {
        self.replicas_in(ReplicaState::Online).len()
    }

    /// Whether all replicas follow what their primary does with slots: Valkey's from 8.0 on.
    pub(crate) fn replicas_follow_slots(&self) -> bool {
        const FIRST: u32 = 0x0008_0000;
        let mut replicas = self.journal.replicas.ids.iter();
        replicas.all(|id| self.announced(*id).version >= FIRST)
    }

    fn replica(&mut self, id: ClientId) -> Option<&mut Replica> {
        self.sessions.clients.get_mut(id)?.replica.as_deref_mut()
    }

    fn is_online(&self, id: ClientId) -> bool {
        let replica = self
            .sessions
            .clients
            .get(id)
            .and_then(|client| client.replica.as_deref());
        let closing = self
            .sessions
            .clients
            .get(id)
            .is_none_or(|client| client.flags.closing);
        !closing && replica.is_some_and(|replica| replica.state.reads_stream() && !replica.wait_ack)
    }

    /// The part of the stream that is to be sent to a client next: empty for one that is no replica, or has everything.
    #[must_use]
    pub fn stream(&self, id: ClientId) -> &[u8] {
        if !self.is_online(id) {
            return &[];
        }
        let sent = self.sessions.clients[id]
            .replica
            .as_ref()
            .map_or(0, |replica| replica.sent);
        self.journal
            .replicas
            .backlog
            .as_ref()
            .and_then(|backlog| backlog.slice(sent))
            .unwrap_or_default()
    }

    /// So many bytes of [`Engine::stream`] were sent.
    pub fn stream_sent(&mut self, id: ClientId, count: usize) {
        if let Some(replica) = self.replica(id) {
            replica.sent += count as u64;
        }
        self.sent(id, count);
    }

    /// So many bytes went to a client: it is not idle.
    pub fn sent(&mut self, id: ClientId, count: usize) {
        self.meter.stats.traffic.went(count);
        let now_ms = self.now.mono_ms;
        if let Some(client) = self.sessions.clients.get_mut(id) {
            client.times.active_ms = now_ms;
            client.traffic.output += count as u64;
            if client.flags.replica {
                self.meter.stats.replication.output_bytes += count as u64;
            }
        }
    }

    /// How far the stream went on since the running child was forked.
    pub(crate) fn stream_since_fork(&self) -> u64 {
        let offset = self.journal.replicas.offset();
        let fork = self.journal.replicas.fork_offset;
        fork.map_or(0, |fork| offset.saturating_sub(fork))
    }

    /// Whether a replica with so much of the stream before it would be closed, or soon be, for its output.
    fn is_lost(&self, behind: u64) -> bool {
        let limit = self.replica_limit();
        [limit.hard_bytes, limit.soft_bytes]
            .into_iter()
            .any(|most| most > 0 && behind > most)
    }

    /// The stream behind the running child's dump is kept for replicas that may still come, but not beyond what any of them may be
    /// behind, nor, if that has no limit, beyond what is kept in any case.
    fn bound_fork_stream(&mut self) {
        let kept = self.stream_since_fork();
        let limit = self.replica_limit();
        let unlimited = limit.hard_bytes == 0 && limit.soft_bytes == 0;
        if self.is_lost(kept) || unlimited && kept > self.config.repl_backlog_size {
            self.journal.replicas.fork_offset = None;
        }
    }

    /// Forgets what no replica needs any more.
    pub(crate) fn trim_backlog(&mut self) {
        self.bound_fork_stream();
        let slowest = self
            .journal
            .replicas
            .ids
            .iter()
            .filter_map(|id| self.sessions.clients.get(*id))
            .filter(|client| !client.flags.closing)
            .filter_map(|client| client.replica.as_ref());
        let slowest = slowest
            .filter(|replica| replica.state != ReplicaState::WaitStart && !replica.dump_only)
            .map(|replica| replica.sent);
        let awaited = self.journal.replicas.awaited.iter();
        let slowest = slowest
            .chain(awaited.map(|awaited| awaited.offset))
            .chain(self.journal.replicas.fork_offset)
            .min();
        if let Some(backlog) = &mut self.journal.replicas.backlog {
            backlog.trim(slowest);
        }
    }

    /// A replica's name in the log: its address with the port it listens on.
    pub(crate) fn replica_name(&self, id: ClientId) -> String {
        let client = &self.sessions.clients[id];
        let ip = client.replica_ip();
        let ip = if ip.contains(':') {
            format!("[{ip}]")
        } else {
            ip
        };
        if client.listening_port == 0 {
            format!("{ip}:<unknown-replica-port>")
        } else {
            format!("{ip}:{}", client.listening_port)
        }
    }

    /// Whether `id` names the stream as far as `from`. Why not is logged.
    fn names_stream(&self, name: &str, id: &[u8], from: Option<u64>) -> bool {
        let Replicas {
            id: current,
            second,
            ..
        } = &self.journal.replicas;
        if id.eq_ignore_ascii_case(current.as_bytes()) {
            return true;
        }
        let former = second
            .as_ref()
            .filter(|(former, _)| id.eq_ignore_ascii_case(former.as_bytes()));
        match former {
            Some((_, until)) if from.is_some_and(|from| from <= *until) => return true,
            Some((_, until)) => tracing::info!(
                "Partial resynchronization not accepted: Requested offset for second ID was {}, but I can reply up to {}",
                from.map_or(0, |from| from.saturating_add(1)),
                until.saturating_add(1)
            ),
            None if id == b"?" => tracing::info!("Full resync requested by replica {name}"),
            None => tracing::info!(
                "Partial resynchronization not accepted: Replication ID mismatch (Replica asked for '{}', my replication IDs are \
                 '{current}' and '{}')",
                String::from_utf8_lossy(id),
                self.journal.replicas.second_id()
            ),
        }
        false
    }

    /// Continues the stream for a replica that comes back, if what it misses is still there.
    fn try_continue(&mut self, id: ClientId, stream: &[u8], offset: &[u8]) -> bool {
        let name = self.replica_name(id);
        // PSYNC counts from 1.
        let from = args::int(offset)
            .ok()
            .and_then(|offset| u64::try_from(offset).ok()?.checked_sub(1));
        if !self.names_stream(&name, stream, from) {
            return false;
        }
        if from.is_some_and(|from| !self.understands_from(id, from)) {
            tracing::info!(
                "Partial resynchronization not accepted: behind offset {} the stream has commands that replica {name} does not know",
                from.map_or(0, |from| from.saturating_add(1))
            );
            return false;
        }
        // What is kept for those who read it or are to ask for it counts, from now on.
        self.trim_backlog();
        let kept = from.filter(|from| {
            self.journal
                .replicas
                .backlog
                .as_ref()
                .is_some_and(|backlog| (backlog.first()..=backlog.offset()).contains(from))
        });
        let Some(from) = kept else {
            let (stream, asked) = (
                String::from_utf8_lossy(stream),
                String::from_utf8_lossy(offset),
            );
            tracing::info!(
                "Unable to partial resync with replica {name} for lack of backlog (Replica request was: {stream}:{asked})."
            );
            return false;
        };
        let dual = self.join_awaited(id);
        let state = if dual {
            ReplicaState::Loading
        } else {
            ReplicaState::Online
        };
        self.add_replica(id, state, true, from);
        if let Some(replica) = self.replica(id).filter(|_| dual) {
            replica.copied_at = Some(from);
            self.begin_stream();
        }
        let answer = if self.announced(id).psync2 {
            format!("+CONTINUE {}\r\n", self.journal.replicas.id)
        } else {
            "+CONTINUE\r\n".to_owned()
        };
        self.sessions.clients[id].out.raw(answer.as_bytes());
        let missed = self.journal.replicas.offset() - from;
        tracing::info!(
            "Partial resynchronization request from {name} accepted. Sending {missed} bytes of backlog starting from offset {}.",
            from + 1
        );
        self.wake(id);
        true
    }

    /// What a replica has told of itself.
    pub(crate) fn announced(&self, id: ClientId) -> Announced {
        let client = self.sessions.clients.get(id);
        client
            .and_then(|client| client.announced.as_deref())
            .cloned()
            .unwrap_or_default()
    }

    /// The stream has a name of its own from here on, and no history.
    pub(crate) fn rename_stream(&mut self) {
        self.journal.replicas.id = self.shard.rng.hex(40);
        self.journal.replicas.second = None;
    }

    /// The stream goes on under another name: its history keeps the one that it had.
    pub(crate) fn shift_stream(&mut self, id: String) {
        let replicas = &mut self.journal.replicas;
        let former = std::mem::replace(&mut replicas.id, id);
        let offset = replicas.offset();
        tracing::warn!(
            "Setting secondary replication ID to {former}, valid up to offset: {}. New replication ID is {}",
            offset.saturating_add(1),
            replicas.id
        );
        replicas.second = Some((former, offset));
        replicas.second_selected = replicas.selected;
    }

    /// The stream goes on from a place: after a copy, or after a start.
    pub(crate) fn place_stream(&mut self, offset: u64, selected: Option<usize>) {
        self.forget_durable();
        let replicas = &mut self.journal.replicas;
        replicas.offset = offset;
        replicas.looked_at = offset;
        replicas.selected = selected;
        replicas.fork_offset = None;
        replicas.none_since_ms = self.now.mono_ms;
        // Nothing is kept of what came before.
        replicas.older.since = replicas.older.since.min(offset);
        replicas.backlog = Some(Backlog::new(offset, self.config.repl_backlog_size));
    }

    /// This server writes the stream from here on: who reads it hears its new name, and its first command selects a database.
    pub(crate) fn take_over_stream(&mut self) {
        if self.journal.replicas.backlog.is_some() {
            let id = self.shard.rng.hex(40);
            self.shift_stream(id);
        } else {
            self.rename_stream();
        }
        self.disconnect_replicas();
        self.journal.replicas.most = 0;
        self.journal.replicas.selected = None;
        self.journal.replicas.none_since_ms = self.now.mono_ms;
        self.note_own_level();
    }

    fn add_replica(&mut self, id: ClientId, state: ReplicaState, psync: bool, sent: u64) {
        let acked_ms = self.now.mono_ms;
        let client = &mut self.sessions.clients[id];
        client.flags.replica = true;
        let told = client.announced.as_deref();
        let replica = Replica {
            state,
            psync,
            sent,
            acked: 0,
            acked_on_disk: None,
            heard: false,
            copied_at: None,
            acked_ms,
            wait_ack: false,
            dump_only: told.is_some_and(|told| told.rdb_only),
            dump_channel: told.is_some_and(|told| told.rdb_channel),
            select: Vec::new(),
            over_soft_since_ms: None,
        };
        client.replica = Some(Box::new(replica));
        if !self.journal.replicas.ids.contains(&id) {
            self.journal.replicas.ids.push(id);
        }
        if self.journal.replicas.backlog.is_none() {
            // What was written while nobody listened is not counted: no offset from before may be taken for one from now on.
            self.rename_stream();
            self.journal.replicas.backlog = Some(Backlog::new(
                self.journal.replicas.offset,
                self.config.repl_backlog_size,
            ));
            tracing::info!(
                "Replication backlog created, my new replication IDs are '{}' and '{}'",
                self.journal.replicas.id,
                self.journal.replicas.second_id()
            );
        }
    }

    /// A replica is gone.
    pub(crate) fn forget_replica(&mut self, id: ClientId) {
        if self.sessions.clients[id].replica.is_none() {
            return;
        }
        tracing::info!("Connection with replica {} lost.", self.replica_name(id));
        self.dump_connection_gone(id);
        self.journal.replicas.ids.retain(|other| *other != id);
        let replica = self.sessions.clients[id].replica.take();
        match replica.map(|replica| replica.state) {
            Some(ReplicaState::Sending) => self.kill_unread_child(),
            Some(ReplicaState::WaitEnd) => self.kill_unwanted_save(),
            _ => {}
        }
        if self.journal.replicas.ids.is_empty() {
            self.journal.replicas.none_since_ms = self.now.mono_ms;
        }
        // What only this one needed is not kept, nor counted.
        self.trim_backlog();
    }

    /// Ends the child that saves a dump for replicas alone, where the last of them has gone.
    fn kill_unwanted_save(&mut self) {
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
    fn kill_unread_child(&mut self) {
        let running = self.keeper.persistence.running;
        let streams = running.is_some_and(|running| running.purpose == Purpose::Sync);
        if streams && self.replicas_in(ReplicaState::Sending).is_empty() && !self.has_sent_dump() {
            tracing::info!("Diskless rdb transfer, last replica dropped, killing fork child.");
            self.kill_dump_child();
        }
    }

    /// Closes all replicas: our own data are about to be others.
    pub(crate) fn disconnect_replicas(&mut self) {
        self.journal.replicas.awaited.clear();
        for id in self.journal.replicas.ids.clone() {
            self.close_now(id);
        }
    }

    // ---- full synchronization --------------------------------------------------------------------------------------------

    fn begin_full_sync(&mut self, id: ClientId, psync: bool) {
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
            && self.dump_reader(id) <= self.keeper.persistence.dump_reader
            && self
                .journal
                .replicas
                .fork_offset
                .is_some_and(|fork| self.understands_from(id, fork))
            && !self.is_lost(self.stream_since_fork().saturating_mul(2))
    }

    /// Starts the child that makes the dump for all replicas that wait for one.
    fn start_sync(&mut self) {
        self.journal.replicas.first_waiting_ms = None;
        let mut waiting = self.replicas_in(ReplicaState::WaitStart);
        waiting.truncate(self.copies_left());
        if waiting.is_empty() {
            return;
        }
        let is_dual = |id: &ClientId| self.announced(*id).rdb_channel;
        let dual = waiting.iter().any(is_dual);
        if dual {
            // The others get a dump that they can read behind this one.
            waiting.retain(|id| self.announced(*id).psync2);
        }
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
        let readers = waiting.iter().map(|id| self.dump_reader(*id));
        self.keeper.persistence.dump_reader = readers.max().unwrap_or_default();
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

    /// Whether replicas follow, or may come back: there is a stream that completes a dump.
    pub(crate) fn has_stream(&self) -> bool {
        self.journal.replicas.backlog.is_some()
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
        if self.is_slave() && self.keeper.persistence.dump_reader != DumpReader::Today && db != 0 {
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

    fn replicas_in(&self, state: ReplicaState) -> Vec<ClientId> {
        let in_state = |id: &ClientId| {
            self.sessions
                .clients
                .get(*id)
                .and_then(|client| client.replica.as_ref())
                .is_some_and(|replica| replica.state == state)
        };
        self.journal
            .replicas
            .ids
            .iter()
            .copied()
            .filter(in_state)
            .collect()
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
    fn begin_stream(&mut self) {
        if self.keeper.cluster.is_some() && self.journal.replicas.offset() == 0 {
            self.feed_replicas(None, &[b"PING"]);
            self.note_place();
        }
    }

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

    // ---- periodic work ---------------------------------------------------------------------------------------------------

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

    /// The stream is not kept any more. What is written from now on is not counted: its name is not used any more either.
    pub(crate) fn free_backlog(&mut self) {
        self.journal.replicas.offset = self.journal.replicas.offset();
        self.journal.replicas.awaited.clear();
        self.journal.replicas.backlog = None;
        self.journal.replicas.selected = None;
        self.rename_stream();
        self.forget_old_replicas();
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

    /// A replica has told how far it is: what waits for all of them to be there need not wait for the next tick.
    fn go_on_with_answer(&mut self) {
        if self.switches.no_ticks {
            return;
        }
        self.tick_shutdown();
        if !self.is_handing_over() {
            self.tick_failover();
        }
    }

    // ---- good replicas ---------------------------------------------------------------------------------------------------

    /// One more replica follows.
    fn count_followers(&mut self) {
        let replicas = self.journal.replicas.ids.iter();
        let replicas = replicas.filter_map(|id| self.sessions.clients.get(*id)?.replica.as_deref());
        let count = replicas.filter_map(Replica::applied).count();
        self.journal.replicas.most = self.journal.replicas.most.max(count);
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

/// SYNC, PSYNC run-id offset
pub(crate) fn sync(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    if engine.sessions.clients[id].flags.replica {
        return Ok(());
    }
    if args.get(3).is_some_and(|word| args::is(word, "FAILOVER")) {
        take_over(engine, id, args[1])?;
    }
    if engine.keeper.failover.is_some() {
        return Err(Error::text("NOMASTERLINK Can't SYNC while failing over"));
    }
    if engine.is_slave() && !engine.is_linked() {
        return Err(Error::text(
            "NOMASTERLINK Can't SYNC while not connected with my primary",
        ));
    }
    if !engine.sessions.clients[id].out.is_empty() {
        return Err(Error::text(
            "ERR SYNC and PSYNC are invalid with pending output",
        ));
    }
    tracing::info!(
        "Replica {} asks for synchronization",
        engine.replica_name(id)
    );
    let psync = args.len() >= 3;
    if psync && let Err(error) = args::int(args[2]) {
        tracing::warn!(
            "Replica {} asks for synchronization but with a wrong offset",
            engine.replica_name(id)
        );
        return Err(error);
    }
    engine.meet_replica(id)?;
    if let Some(parts) = engine.announced(id).parts {
        return engine.send_filtered_dump(id, parts, psync);
    }
    if psync {
        if engine.try_continue(id, args[1], args[2]) {
            engine.meter.stats.syncs.partial_ok += 1;
            return Ok(());
        }
        if args[1] != b"?" {
            engine.meter.stats.syncs.partial_err += 1;
        }
        if engine.name_source(id) {
            return Ok(());
        }
        if engine.announced(id).dual_channel {
            tracing::info!(
                "Dual channel replication: Replica {} is capable of dual channel synchronization, and partial sync isn't possible. Full sync \
                 will continue with dedicated RDB channel.",
                engine.replica_name(id)
            );
            engine.sessions.clients[id].out.raw(b"+DUALCHANNELSYNC\r\n");
            return Ok(());
        }
    }
    engine.begin_full_sync(id, psync);
    Ok(())
}

/// PSYNC … FAILOVER: our primary hands its place over to us.
fn take_over(engine: &mut Engine, id: ClientId, stream: &[u8]) -> Done {
    let shown = String::from_utf8_lossy(stream);
    tracing::info!("Failover request received for replid {shown}.");
    if !engine.is_slave() {
        let second = engine.journal.replicas.second.as_ref();
        if second.is_some_and(|(former, _)| stream.eq_ignore_ascii_case(former.as_bytes())) {
            // It was done, and the answer was lost.
            return Ok(());
        }
        return Err(Error::text("ERR PSYNC FAILOVER can't be sent to a master."));
    }
    if engine.keeper.cluster.is_some()
        || !stream.eq_ignore_ascii_case(engine.journal.replicas.id.as_bytes())
    {
        return Err(Error::text(
            "ERR PSYNC FAILOVER replid must match my replid.",
        ));
    }
    engine.follow_nobody();
    let who = engine.client_line(id);
    tracing::info!("PRIMARY MODE enabled (failover request from '{who}')");
    Ok(())
}

/// REPLCONF option value …
pub(crate) fn replconf(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    if args.len().is_multiple_of(2) {
        return Err(Error::Syntax);
    }
    for pair in args[1..].chunks_exact(2) {
        let (option, value) = (pair[0], pair[1]);
        if args::is(option, "ACK") {
            acknowledged(engine, id, &args[1..]);
            return Ok(());
        }
        if args::is(option, "GETACK") {
            // It is answered when all before it is handed on too.
            if let Some(slave) = &mut engine.keeper.slave {
                slave.ack_asked = true;
            }
            return Ok(());
        }
        if args::is(option, "LISTENING-PORT") {
            engine.sessions.clients[id].listening_port =
                u16::try_from(args::int(value)?).unwrap_or(0);
            continue;
        }
        announce(engine, id, option, value)?;
    }
    engine.sessions.clients[id].out.ok();
    Ok(())
}

/// One of the options that tell what a replica can, or is.
fn announce(engine: &mut Engine, id: ClientId, option: &[u8], value: &[u8]) -> Done {
    if args::is(option, "SET-RDB-CLIENT-ID") {
        let serial = args::int(value)?;
        let known = u64::try_from(serial)
            .ok()
            .filter(|serial| engine.is_awaited(*serial));
        let known = known
            .ok_or_else(|| Error::owned(format!("ERR Unrecognized RDB client id {serial}")))?;
        let announced = &mut engine.sessions.clients[id].announced;
        announced.get_or_insert_default().dump_client = Some(known);
        return Ok(());
    }
    let (dual, diskless) = (
        engine.config.dual_channel_replication,
        engine.config.repl_diskless_sync,
    );
    let node = engine.keeper.cluster.as_deref();
    let announced = engine.sessions.clients[id]
        .announced
        .get_or_insert_default();
    if args::is(option, "IP-ADDRESS") {
        let ip = std::str::from_utf8(value).ok();
        let ip = ip.filter(|ip| ip.len() <= MOST_IP_BYTES);
        let ip = ip.ok_or_else(|| {
            Error::text("ERR REPLCONF ip-address provided by replica instance is too long")
        })?;
        announced.ip = Some(ip.into());
    } else if args::is(option, "CAPA") {
        announced.eof |= args::is(value, "EOF");
        announced.psync2 |= args::is(value, "PSYNC2");
        announced.takes_sibling |= args::is(value, replication::SIBLING_CAPA);
        if dual && args::is(value, "DUAL-CHANNEL") {
            announced.dual_channel |= diskless;
            if !diskless {
                tracing::info!("Dual channel capability ignored: repl-diskless-sync disabled");
            }
        }
    } else if args::is(option, "RDB-CHANNEL") {
        announced.rdb_channel = args::int(value)? != 0;
        // Who knows of such a connection knows the rest.
        announced.psync2 |= announced.rdb_channel;
        announced.rdb_only |= announced.rdb_channel;
    } else if args::is(option, "RDB-ONLY") {
        announced.rdb_only = args::int(value)? != 0;
    } else if args::is(option, "RDB-FILTER-ONLY") {
        announced.parts = Some(filtered_dump::parse_parts(value)?);
    } else if args::is(option, "VERSION") {
        announced.version = version_number(value);
    } else if args::is(option, "SET-CLUSTER-NODE-ID") {
        let node = node.ok_or(crate::cluster::DISABLED)?;
        let known = NodeId::parse(value).filter(|id| node.knows(*id));
        announced.node_id =
            Some(known.ok_or_else(|| Error::quoting("ERR Unknown node ", value, ""))?);
    } else {
        return Err(Error::quoting(
            "ERR Unrecognized REPLCONF option: ",
            option,
            "",
        ));
    }
    Ok(())
}

/// `9.1.0` as a number with a byte for each part.
fn version_number(word: &[u8]) -> u32 {
    let mut parts = word.split(|byte| *byte == b'.').map(|part| {
        let part = args::int(part).ok();
        part.and_then(|part| u8::try_from(part).ok()).unwrap_or(0)
    });
    let mut next = || parts.next().unwrap_or(0);
    u32::from_be_bytes([0, next(), next(), next()])
}

/// The longest address that a replica may tell.
const MOST_IP_BYTES: usize = 255;

/// REPLCONF ACK offset [FACK offset]: a replica has applied the stream up to there, and has it on its disk up to there.
fn acknowledged(engine: &mut Engine, id: ClientId, told: Args<'_>) {
    let now_ms = engine.now.mono_ms;
    let number = |name: &str| {
        let pair = told.chunks_exact(2).find(|pair| args::is(pair[0], name))?;
        args::int(pair[1]).ok()
    };
    let offset = number("ACK").and_then(|offset| u64::try_from(offset).ok());
    let on_disk = number("FACK").and_then(|offset| u64::try_from(offset).ok());
    if let (Some(replica), Some(offset)) = (engine.replica(id), offset) {
        replica.acked = replica.acked.max(offset);
        replica.acked_on_disk = on_disk.max(replica.acked_on_disk.filter(|_| on_disk.is_some()));
        let first = !std::mem::replace(&mut replica.heard, true);
        let loading = replica.state == ReplicaState::Loading;
        replica.acked_ms = now_ms;
        if std::mem::take(&mut replica.wait_ack) {
            engine.wake(id);
        }
        if loading {
            engine.note_loaded_replica(id);
        }
        if first {
            engine.count_followers();
        }
        let (offset, bound) = (engine.journal.replicas.offset(), engine.copy_bound());
        if let Some(replica) = engine.replica(id) {
            replica.note_caught_up(offset, bound);
        }
        if engine.journal.throttle.is_on() {
            engine.look_at_copies();
        }
        engine.serve_waiters();
        engine.release_acknowledged();
        engine.go_on_with_answer();
    }
}
