//! The primary that is followed. The link is served in `slave.rs`.

use replication::{Guard, Link, Place};

use crate::{ClientId, LinkId};

/// Our side of replication as a slave.
#[derive(Debug)]
pub(crate) struct Slave {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) link: Link,
    /// Where the connection goes that is open, or the next one.
    pub(crate) source: Source,
    /// The connection that is open or being made.
    pub(crate) socket: Option<LinkId>,
    /// The same of the one that the dump comes by, where that is another one.
    pub(crate) second: Option<LinkId>,
    /// The most that was kept of the stream while a dump came by that one, bytes.
    pub(crate) most_buffered: u64,
    /// The client that applies the stream, once there is one.
    pub(crate) client: Option<ClientId>,
    /// Bytes of the stream that were received and not handed on: the start of a request, or of a transaction.
    pub(crate) held: Vec<u8>,
    /// So many of them were looked at, and belong to an open transaction.
    pub(crate) scanned: usize,
    /// Our data are those of the stream at its offset, so that it could be continued from there.
    pub(crate) resumable: bool,
    /// The place in the stream of the dump that is received.
    pub(crate) announced: Option<Place>,
    /// The command of the stream that could not be applied, and why: the link is to break before it.
    pub(crate) unapplied: Option<String>,
    /// REPLCONF GETACK came: the primary waits for our offset.
    pub(crate) ack_asked: bool,
    /// When the link was lost, Unix milliseconds.
    pub(crate) down_since_ms: u64,
    /// The same, on [`crate::Now::mono_ms`]; none before the first loss.
    pub(crate) down_mono_ms: Option<u64>,
    /// The dump that is being received.
    pub(crate) transfer: Option<Transfer>,
    /// The beginning of that dump.
    pub(crate) head: Head,
    /// Keeps the data from a copy without them.
    pub(crate) guard: Guard,
}

impl Slave {
    /// Whether the primary's dump is loaded, or about to be.
    pub(crate) fn is_loading(&self) -> bool {
        self.link.is_loading() || self.loads_coming_dump()
    }

    /// Whether its dump is loaded while it comes.
    pub(crate) fn loads_coming_dump(&self) -> bool {
        self.transfer.is_some_and(|transfer| transfer.loading)
    }
}

/// Who is asked for the stream, and for a copy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The primary, which may name a sibling.
    Primary,
    /// The sibling that it has named.
    Sibling {
        host: String,
        port: u16,
        /// Since when its stream has been followed.
        since_ms: Option<u64>,
    },
    /// The primary, once a sibling was asked: it names no other one.
    PrimaryOnly,
}

/// So much of a dump is looked at.
pub(crate) const HEAD_BYTES: usize = 64 * 1024;

/// The beginning of the dump that is received.
#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) bytes: Vec<u8>,
    /// There is more than was kept.
    pub(crate) cut: bool,
}

impl Head {
    /// The dump goes on.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        let room = HEAD_BYTES - self.bytes.len();
        self.bytes
            .extend_from_slice(&bytes[..room.min(bytes.len())]);
        self.cut |= bytes.len() > room;
    }

    /// Whether more of the dump would tell no more of how much it holds.
    pub(crate) fn tells(&self) -> bool {
        self.cut || matches!(rdb::peek(&self.bytes), rdb::Amount::First { .. })
    }
}

/// A dump on its way here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    /// Bytes, where the primary told.
    pub(crate) size: Option<u64>,
    /// Bytes that have come.
    pub(crate) came: u64,
    /// It stays in memory until it is loaded (`repl-diskless-load`).
    pub(crate) in_memory: bool,
    /// It is loaded while it comes.
    pub(crate) loading: bool,
}
