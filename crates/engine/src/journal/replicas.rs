//! What is known of the replicas, and the stream that they read. What they are sent is in `master.rs`.

use replication::Backlog;

use crate::ClientId;
use crate::journal::older::Older;

/// Where a replica stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplicaState {
    /// The next child is to be started for it.
    WaitStart,
    /// The child that is running makes its dump.
    WaitEnd,
    /// The dump is being sent.
    Sending,
    /// It reads the stream, while it takes or loads the dump that comes by another connection.
    Loading,
    /// It reads the stream.
    Online,
}

impl ReplicaState {
    pub(crate) fn reads_stream(self) -> bool {
        matches!(self, Self::Loading | Self::Online)
    }
}

/// What is known of a replica.
#[derive(Debug)]
pub struct Replica {
    pub(crate) state: ReplicaState,
    /// It knows PSYNC and answers with REPLCONF ACK.
    pub(crate) psync: bool,
    /// The next byte of the stream to send, counted from 0.
    pub(crate) sent: u64,
    /// What it has said to have applied.
    pub(crate) acked: u64,
    /// What it has said to have on its disk; none where it keeps no append-only file.
    pub(crate) acked_on_disk: Option<u64>,
    /// It has said something since it came: before that it may not have loaded its dump.
    pub(crate) heard: bool,
    /// While it makes its copy: where in the stream the copy stands.
    pub(crate) copied_at: Option<u64>,
    /// When it last said so, on the monotonic clock, milliseconds.
    pub(crate) acked_ms: u64,
    /// Its dump was streamed: it has the stream only after its first answer.
    pub(crate) wait_ack: bool,
    /// It wants a dump, and no stream behind it on this connection.
    pub(crate) dump_only: bool,
    /// That is since the stream goes over another one.
    pub(crate) dump_channel: bool,
    /// What goes before the stream, see [`crate::Engine::missing_select`].
    pub(crate) select: Vec<u8>,
    /// Since when its share of the stream has been over the soft limit, on the monotonic clock, milliseconds.
    pub(crate) over_soft_since_ms: Option<u64>,
}

impl Replica {
    /// Its state in INFO.
    pub(crate) fn state_name(&self) -> &'static str {
        match self.state {
            ReplicaState::WaitStart | ReplicaState::WaitEnd => "wait_bgsave",
            // The child is not done before it has all.
            ReplicaState::Sending if self.wait_ack => "wait_bgsave",
            ReplicaState::Sending => "send_bulk",
            ReplicaState::Loading => "bg_transfer",
            ReplicaState::Online => "online",
        }
    }

    /// What the connection is for, in INFO.
    pub(crate) fn type_name(&self) -> &'static str {
        if self.dump_channel {
            "rdb-channel"
        } else if self.state == ReplicaState::Loading {
            "main-channel"
        } else {
            "replica"
        }
    }

    /// Whether it has said to have applied the stream up to there.
    pub(crate) fn has(&self, offset: u64) -> bool {
        self.applied().is_some_and(|applied| applied >= offset)
    }

    /// What it has applied of the stream, once it has said so.
    pub(crate) fn applied(&self) -> Option<u64> {
        (self.state == ReplicaState::Online && self.heard).then_some(self.acked)
    }
}

/// A replica that is to ask for the stream behind its dump.
#[derive(Debug)]
pub(crate) struct Awaited {
    /// The connection that brings the dump, and the number by which the replica names it.
    pub(crate) client: ClientId,
    pub(crate) serial: u64,
    /// Where in the stream the dump stands.
    pub(crate) offset: u64,
    /// It has its dump.
    pub(crate) whole: bool,
    /// Since when that connection is gone, on the monotonic clock, milliseconds.
    pub(crate) gone_since_ms: Option<u64>,
    /// Something of the stream is kept for it.
    pub(crate) attached: bool,
}

/// Our side of replication as a master.
#[derive(Debug, Default)]
pub(crate) struct Replicas {
    pub(crate) ids: Vec<ClientId>,
    /// The name of the stream (`master_replid`): that of the primary that wrote it. While there is no backlog nobody shares it.
    pub(crate) id: String,
    /// The name that the stream had before, and up to which offset that is its history (`master_replid2`).
    pub(crate) second: Option<replication::Place>,
    /// An operator ended the following then. To do so and begin again is how one asks for a full copy: what was read before counts
    /// for nothing.
    pub(crate) left: bool,
    /// The database that the stream had selected there.
    pub(crate) second_selected: Option<usize>,
    pub(crate) backlog: Option<Backlog>,
    /// The stream's offset where no backlog was ever needed.
    pub(crate) offset: u64,
    /// The database that the stream has last selected; none where the next command will select one.
    pub(crate) selected: Option<usize>,
    /// When the last replica went, on the monotonic clock, milliseconds.
    pub(crate) none_since_ms: u64,
    pub(crate) last_ping_ms: u64,
    /// When the first replica began to wait for a streamed dump, on the monotonic clock, milliseconds.
    pub(crate) first_waiting_ms: Option<u64>,
    /// The stream's offset when the running child was forked; none where the stream from there on is not kept any more.
    pub(crate) fork_offset: Option<u64>,
    /// Up to which offset it was seen whether limits are kept.
    pub(crate) looked_at: u64,
    pub(crate) older: Older,
    /// The replicas were woken, and will see all that is in the stream.
    pub(crate) woken: bool,
    /// How many replicas have followed this primary at once, at the most.
    pub(crate) most: usize,
    /// The replica that was last named to another one to copy from.
    pub(crate) last_source: Option<ClientId>,
    /// Clients in WAIT and WAITAOF.
    pub(crate) waiters: Vec<ClientId>,
    /// Replicas that take their dump by a connection of its own, and are to ask for the stream behind it.
    pub(crate) awaited: Vec<Awaited>,
    /// Replicas to whose sockets the running child writes.
    pub(crate) direct: Vec<ClientId>,
}

impl Replicas {
    /// `master_repl_offset`
    pub(crate) fn offset(&self) -> u64 {
        self.backlog.as_ref().map_or(self.offset, Backlog::offset)
    }

    /// `master_replid2`
    pub(crate) fn second_id(&self) -> String {
        let second = self.second.as_ref().map(|(id, _)| id.clone());
        second.unwrap_or_else(|| "0".repeat(self.id.len()))
    }
}
