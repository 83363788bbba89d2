//! Our replicas: which there are, and the stream that they read. WAIT is in `wait.rs`.
//!
//! The stream is written once, into the backlog. A replica is a client whose connection reads a dump (a file, or what a child
//! streams), and then the backlog from the offset of the dump.

use commands::args;
use conf::WriteAcknowledge;
use replication::Backlog;

use crate::journal::replicas::{Replica, ReplicaState, Replicas};
use crate::sessions::client::Announced;
use crate::{ClientId, Engine};

mod copies;
mod dual;
mod full_sync;
pub(crate) mod health;
pub(crate) mod requests;

/// How far the stream goes on between two looks at what is kept of it.
const LOOK_BYTES: u64 = 256 * 1024;

impl Engine {
    /// Whether what is done here goes into the stream. A replica hands on that of its primary, and adds nothing to it.
    pub(crate) fn writes_stream(&self) -> bool {
        self.journal.replicas.backlog.is_some() && !self.is_slave()
    }

    /// Writes one command to the stream, if anybody is or was there to read it.
    pub(crate) fn feed_replicas(&mut self, db: Option<usize>, words: &[&[u8]]) {
        if self.writes_stream() {
            let room = aof::room_of_command(words);
            self.add_to_stream(db, words[0], room, |out| {
                aof::encode_command(out, words.iter().copied());
            });
        }
    }

    /// The same for one in the bytes that it is written in.
    pub(crate) fn feed_replicas_encoded(&mut self, db: usize, name: &[u8], command: &[u8]) {
        if self.writes_stream() {
            self.add_to_stream(Some(db), name, command.len(), |out| {
                out.extend_from_slice(command);
            });
        }
    }

    /// Writes one command to the stream by `encode`, which needs so much room.
    #[inline]
    fn add_to_stream(
        &mut self,
        db: Option<usize>,
        name: &[u8],
        room: usize,
        encode: impl Fn(&mut Vec<u8>),
    ) {
        let selects = db.filter(|db| self.journal.replicas.selected != Some(*db));
        let backlog = self.journal.replicas.backlog.as_mut();
        let backlog = backlog.filter(|_| selects.is_none());
        if let Some(bytes) = backlog.and_then(|backlog| backlog.feed_in_place(room, &encode)) {
            self.stream_fed(bytes);
        } else {
            let mut out = Vec::with_capacity(2 * room);
            if let Some(db) = selects {
                self.journal.replicas.selected = selects;
                let mut digits = itoa::Buffer::new();
                aof::encode_command(&mut out, [&b"SELECT"[..], digits.format(db).as_bytes()]);
            }
            encode(&mut out);
            self.feed_stream(&out);
        }
        self.note_newer(name);
    }

    /// Adds bytes to the stream, and tells its readers.
    pub(crate) fn feed_stream(&mut self, bytes: &[u8]) {
        let Some(backlog) = &mut self.journal.replicas.backlog else {
            return;
        };
        backlog.feed(bytes);
        self.stream_fed(bytes.len());
    }

    /// So many bytes were added to the stream.
    fn stream_fed(&mut self, bytes: usize) {
        self.journal.throttle.spend(bytes);
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

    /// How many bytes of the stream a replica has still to be sent, where it is sent nothing else and nobody waits for what it says to
    /// them: then they may gather for a moment.
    #[must_use]
    pub fn unhurried_stream(&self, id: ClientId) -> Option<u64> {
        let client = self.sessions.clients.get(id)?;
        let replica = client.replica.as_deref()?;
        let waited_for = !self.journal.replicas.waiters.is_empty()
            || self.config.write_acknowledge != WriteAcknowledge::None
            || self.keeper.failover.is_some()
            || self.keeper.shutdown.is_some();
        let alone = client.out.is_empty() && !client.flags.closing && self.is_online(id);
        let backlog = self.journal.replicas.backlog.as_ref()?;
        (alone && !waited_for).then(|| backlog.offset().saturating_sub(replica.sent))
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
        replicas.left = false;
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

    /// Closes all replicas: our own data are about to be others.
    pub(crate) fn disconnect_replicas(&mut self) {
        self.journal.replicas.awaited.clear();
        for id in self.journal.replicas.ids.clone() {
            self.close_now(id);
        }
    }

    /// Whether replicas follow, or may come back: there is a stream that completes a dump.
    pub(crate) fn has_stream(&self) -> bool {
        self.journal.replicas.backlog.is_some()
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

    /// The stream is not kept any more. What is written from now on is not counted: its name is not used any more either.
    pub(crate) fn free_backlog(&mut self) {
        self.journal.replicas.offset = self.journal.replicas.offset();
        self.journal.replicas.awaited.clear();
        self.journal.replicas.backlog = None;
        self.journal.replicas.selected = None;
        self.rename_stream();
        self.forget_old_replicas();
    }
}
