//! Copies over two connections, the primary's side. A replica takes its dump by a connection of its own, and asks for the stream behind it by
//! the other one. From the fork on the stream is kept for it, until it has asked; a connection that has brought its dump and ended is
//! waited for a while.

use crate::host::{Job, SaveRequest, SendRequest};
use crate::journal::replicas::{Awaited, Replica, ReplicaState};
use crate::{ClientId, Engine};

impl Engine {
    /// How many replicas are to ask for the stream behind their dump.
    pub(crate) fn awaited_replicas(&self) -> usize {
        self.journal.replicas.awaited.len()
    }

    /// How much of the stream has gathered for the one of them that was first.
    pub(crate) fn awaited_bytes(&self) -> u64 {
        let awaited = self.journal.replicas.awaited.iter();
        let first = awaited.map(|awaited| awaited.offset).min();
        let offset = self.journal.replicas.offset();
        first.map_or(0, |first| offset.saturating_sub(first))
    }

    /// Tells a replica, by the connection that will bring its dump, where in the stream that stands.
    pub(super) fn announce_end_offset(&mut self, id: ClientId, offset: u64) {
        let name = self.replica_name(id);
        let replicas = &self.journal.replicas;
        let attached = replicas
            .backlog
            .as_ref()
            .is_some_and(|backlog| backlog.history() > 0);
        // Where the child writes to the socket it has told it.
        let told = replicas.direct.contains(&id);
        let line = self.end_offset_line(id, offset);
        let client = &mut self.sessions.clients[id];
        let serial = client.serial;
        if !told {
            client.out.raw(line.as_bytes());
        }
        tracing::info!(
            "Dual channel replication: Sending to replica {name} RDB end offset {offset} and client-id {serial}"
        );
        let tracks = if attached {
            "tracking repl-backlog tail"
        } else {
            "no repl-backlog to track"
        };
        tracing::debug!(
            "Dual channel replication: Add rdb replica {name} to waiting psync, with cid {serial}, {tracks}"
        );
        self.journal.replicas.awaited.push(Awaited {
            client: id,
            serial,
            offset,
            whole: false,
            gone_since_ms: None,
            attached,
        });
        self.wake(id);
    }

    fn end_offset_line(&self, id: ClientId, offset: u64) -> String {
        let replicas = &self.journal.replicas;
        // A primary's stream selects a database behind each dump.
        let database = match replicas.selected.filter(|_| self.is_slave()) {
            Some(database) => database.to_string(),
            None => "-1".to_owned(),
        };
        let serial = self.sessions.clients[id].serial;
        format!("$ENDOFF:{offset} {} {database} {serial}\r\n", replicas.id)
    }

    /// Whether a child can write a dump to the sockets of these replicas, while nobody else does: they take nothing but a dump by this
    /// connection, and it is not encrypted.
    pub(super) fn can_send_directly(&self, waiting: &[ClientId]) -> bool {
        let bare = |id: &ClientId| {
            let client = &self.sessions.clients[*id];
            let replica = client.replica.as_deref();
            replica.is_some_and(|replica| replica.dump_channel)
                && client.peer.fd >= 0
                && !client.peer.tls
                && client.out.is_empty()
        };
        self.host.can_send() && waiting.iter().all(bare)
    }

    /// What the child does that sends a dump; the stream's place is that of the fork already.
    pub(crate) fn stream_job(&mut self, dump: SaveRequest) -> Job {
        if self.journal.replicas.direct.is_empty() {
            return Job::Stream(dump);
        }
        let mark = self.new_mark();
        let offset = self.journal.replicas.offset();
        let receivers = self.journal.replicas.direct.iter().map(|id| {
            let line = self.end_offset_line(*id, offset);
            let before = format!("{line}$EOF:{mark}\r\n").into_bytes();
            (self.sessions.clients[*id].peer.fd, before)
        });
        Job::Send(SendRequest {
            dump,
            receivers: receivers.collect(),
            after: mark.into_bytes(),
            patience_ms: u64::from(self.config.repl_timeout) * 1000,
        })
    }

    /// Whether the running child has sent all of the dump by itself.
    pub(super) fn has_sent_dump(&self) -> bool {
        !self.journal.replicas.direct.is_empty() && self.host.child_sent().1
    }

    /// The child that sent a dump by itself has ended.
    pub(super) fn direct_child_ended(&mut self, ok: bool) {
        let direct = std::mem::take(&mut self.journal.replicas.direct);
        if direct.is_empty() {
            return;
        }
        let (bytes, _) = self.host.child_sent();
        self.meter.stats.traffic.output_bytes += bytes;
        self.meter.stats.replication.output_bytes += bytes;
        for id in direct {
            self.dump_sent(id, ok);
        }
    }

    /// The stream goes on, for those too for whom nothing of it was kept.
    pub(super) fn attach_awaited(&mut self) {
        for awaited in &mut self.journal.replicas.awaited {
            if !std::mem::replace(&mut awaited.attached, true) {
                tracing::debug!(
                    "Dual channel replication: Attach replica rdb client {} to repl buf block",
                    awaited.serial
                );
            }
        }
    }

    /// A replica names the connection that brings its dump. Whether there is such a one.
    pub(super) fn is_awaited(&self, serial: u64) -> bool {
        let mut awaited = self.journal.replicas.awaited.iter();
        awaited.any(|awaited| awaited.serial == serial)
    }

    /// A replica reads the stream from now on. Whether its dump comes, or came, by a connection of its own.
    pub(super) fn join_awaited(&mut self, id: ClientId) -> bool {
        let announced = self.sessions.clients[id].announced.as_mut();
        let Some(serial) = announced.and_then(|told| told.dump_client.take()) else {
            return false;
        };
        let known = self.is_awaited(serial);
        if known {
            tracing::debug!(
                "Dual channel replication: Remove psync waiting replica {} with cid {serial}",
                self.replica_name(id)
            );
            self.forget_awaited(serial);
        }
        known
    }

    fn forget_awaited(&mut self, serial: u64) {
        let awaited = &mut self.journal.replicas.awaited;
        awaited.retain(|awaited| awaited.serial != serial);
    }

    /// A connection has brought its dump.
    pub(super) fn dump_connection_done(&mut self, id: ClientId) {
        tracing::info!(
            "RDB transfer completed, rdb only replica ({}) should be disconnected asap",
            self.replica_name(id)
        );
        for awaited in &mut self.journal.replicas.awaited {
            awaited.whole |= awaited.client == id;
        }
    }

    /// A connection that brings a dump is gone: where it has not brought it whole nobody will ask for the stream behind it.
    pub(super) fn dump_connection_gone(&mut self, id: ClientId) {
        let now_ms = self.now.mono_ms;
        let sent = self.has_sent_dump() && self.journal.replicas.direct.contains(&id);
        self.journal.replicas.awaited.retain_mut(|awaited| {
            if awaited.client != id {
                return true;
            }
            awaited.whole |= sent;
            awaited.gone_since_ms = Some(now_ms);
            if awaited.whole {
                tracing::debug!(
                    "Dual channel replication: Postpone RDB client id={} free",
                    awaited.serial
                );
            }
            awaited.whole
        });
    }

    /// Once a second: who has its dump and does not ask for the stream is not waited for any longer.
    pub(super) fn tick_awaited(&mut self) {
        let now_ms = self.now.mono_ms;
        let grace_s = self.switches.dump_client_grace_s;
        self.journal.replicas.awaited.retain(|awaited| {
            let gone_ms = awaited.gone_since_ms;
            let gone_s = gone_ms.map_or(0, |since_ms| now_ms.saturating_sub(since_ms) / 1000);
            let waits = gone_s <= grace_s;
            if !waits {
                tracing::info!(
                    "Dual channel replication: Replica main channel failed to establish PSYNC within the grace period ({gone_s} seconds). \
                     Freeing RDB client {}.",
                    awaited.serial
                );
            }
            waits
        });
    }

    /// Gives up those for whom more of the stream would have to be kept than for any replica.
    pub(super) fn limit_awaited(&mut self, hard_bytes: u64) {
        if hard_bytes == 0 || self.journal.replicas.awaited.is_empty() {
            return;
        }
        let offset = self.journal.replicas.offset();
        let over = |awaited: &mut Awaited| offset.saturating_sub(awaited.offset) > hard_bytes;
        let lost: Vec<Awaited> = self.journal.replicas.awaited.extract_if(.., over).collect();
        for awaited in lost {
            self.meter.stats.removed.output_buffer_closed += 1;
            tracing::warn!(
                "Client {} scheduled to be closed ASAP for overcoming of output buffer limits.",
                awaited.serial
            );
            self.close_now(awaited.client);
        }
    }

    /// A replica that takes its dump by another connection has answered for the first time: it has loaded it.
    pub(super) fn note_loaded_replica(&mut self, id: ClientId) {
        let loaded = |replica: &&mut Replica| replica.state == ReplicaState::Loading;
        if let Some(replica) = self.replica(id).filter(loaded) {
            replica.state = ReplicaState::Online;
            tracing::info!(
                "Synchronization with replica {} succeeded",
                self.replica_name(id)
            );
        }
    }
}
