//! What is known of the replicas, and the stream that they read. What they are sent is in `master.rs`.

use replication::Backlog;

use crate::ClientId;

/// Where a replica stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplicaState {
    /// The next child is to be started for it.
    WaitStart,
    /// The child that is running makes its dump.
    WaitEnd,
    /// The dump is being sent.
    Sending,
    /// It reads the stream.
    Online,
}

impl ReplicaState {
    /// The name in INFO.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WaitStart | Self::WaitEnd => "wait_bgsave",
            Self::Sending => "send_bulk",
            Self::Online => "online",
        }
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
    /// What goes before the stream, see [`Engine::missing_select`].
    pub(crate) select: Vec<u8>,
    /// Since when its share of the stream has been over the soft limit, on the monotonic clock, milliseconds.
    pub(crate) over_soft_since_ms: Option<u64>,
}

impl Replica {
    /// Whether it has said to have applied the stream up to there.
    pub(crate) fn has(&self, offset: u64) -> bool {
        self.applied().is_some_and(|applied| applied >= offset)
    }

    /// What it has applied of the stream, once it has said so.
    pub(crate) fn applied(&self) -> Option<u64> {
        (self.state == ReplicaState::Online && self.heard).then_some(self.acked)
    }
}

/// Our side of replication as a master.
#[derive(Debug, Default)]
pub(crate) struct Replicas {
    pub(crate) ids: Vec<ClientId>,
    /// The name of the stream (`master_replid`): that of the primary that wrote it. While there is no backlog nobody shares it.
    pub(crate) id: String,
    /// The name that the stream had before, and up to which offset that is its history (`master_replid2`).
    pub(crate) second: Option<replication::Place>,
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
    /// A replica was here that did not say that it knows the stream of 4.0 or later, and with it UNLINK.
    pub(crate) is_any_old: bool,
    /// The replicas were woken, and will see all that is in the stream.
    pub(crate) woken: bool,
    /// How many replicas have followed this primary at once, at the most.
    pub(crate) most: usize,
    /// Clients in WAIT and WAITAOF.
    pub(crate) waiters: Vec<ClientId>,
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
