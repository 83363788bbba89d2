//! What the engine tells its shell to do. Actions are performed in order; none is answered at once
//! (what needs an answer at once is asked of the [`crate::Host`]).

use crate::ClientId;
use crate::keeper::transfers::{Transfer, TransferId};

/// A connection that the engine opened: to a master, to a cluster peer, to the target of MIGRATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// One thing to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Close this client's connection, after what it has to send if `after_reply`. The shell then calls
    /// [`crate::Engine::close`].
    CloseClient {
        /// Whose.
        id: ClientId,
        /// Whether pending output goes first.
        after_reply: bool,
    },
    /// Connect to a master, or to the target of slots that move; the shell then calls [`crate::Engine::link_opened`], and what comes goes to
    /// [`crate::Engine::link_received`].
    OpenLink {
        /// The name of the connection to be.
        link: LinkId,
        /// A name or an address.
        host: String,
        /// Its port.
        port: u16,
    },
    /// Send bytes over such a connection; the shell tells [`crate::Engine::link_sent`] what it has written.
    SendLink {
        /// Where.
        link: LinkId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Close such a connection. Nothing more is told of it.
    CloseLink {
        /// Which.
        link: LinkId,
    },
    /// From now on read no more than so many bytes from such a connection, until another number is told; none: as many as come.
    LimitLink {
        /// Which.
        link: LinkId,
        /// How many.
        room: Option<u64>,
    },
    /// Call [`crate::Engine::link_goes_on`] once others have had their turn.
    ResumeLink {
        /// Which.
        link: LinkId,
    },
    /// A dump comes from the master: open a temporary file for it, on the disk or in memory.
    BeginSyncFile {
        /// It is not to touch the disk.
        in_memory: bool,
    },
    /// Write to that file.
    WriteSyncFile {
        /// What.
        bytes: Vec<u8>,
    },
    /// That file is not wanted any more. Where it is being loaded while it comes, that fails.
    DropSyncFile,
    /// Load that file, which is in memory, while it comes, once [`crate::Engine::begin_sync_load`] agrees; the shell then calls
    /// [`crate::Engine::sync_loaded`]. It is whole at [`Action::EndSyncFile`].
    LoadComing {
        /// The connection that it comes by.
        link: LinkId,
        /// Its length, where the primary told it.
        bytes: Option<u64>,
    },
    /// The file that is being loaded has come whole.
    EndSyncFile,
    /// Load that file, once [`crate::Engine::begin_sync_load`] agrees, and put it in the place of the dump file if it is on the disk; the
    /// shell then calls [`crate::Engine::sync_loaded`].
    LoadSyncFile {
        /// The dump file; none where the dump came into memory, and its file goes with it.
        path: Option<Vec<u8>>,
        /// Where the same file is to be found as well, once it is loaded: it is to be the base of the append-only file.
        base: Option<Vec<u8>>,
    },
    /// Send a dump file to a replica, its length first; the shell then calls [`crate::Engine::dump_sent`].
    SendFile {
        /// The replica.
        id: ClientId,
        /// The dump file.
        path: Vec<u8>,
    },
    /// Send to these replicas what the child writes into its pipe, between a mark and the same mark; the shell then calls
    /// [`crate::Engine::dump_sent`] for each.
    RelaySync {
        /// The replicas.
        replicas: Vec<ClientId>,
    },
    /// Wait for the end of the child that writes slots, and send what it writes into its pipe, if it has one, over a link, whose other end
    /// is their target; the shell tells [`crate::Engine::link_queued`] what it gives to the link, and then calls
    /// [`crate::Engine::snapshot_relayed`].
    RelaySlots {
        /// The link.
        link: LinkId,
    },
    /// Open a connection to a node's bus.
    BusConnect {
        /// Its number.
        link: cluster_bus::LinkId,
        /// Where.
        addr: std::net::SocketAddr,
    },
    /// Send a packet.
    BusSend {
        /// Over which connection.
        link: cluster_bus::LinkId,
        /// The packet.
        bytes: Vec<u8>,
    },
    /// Close a connection of the bus. Nothing more is told of it.
    BusClose {
        /// Which.
        link: cluster_bus::LinkId,
    },
    /// Put this into the place of nodes.conf, on another thread; the shell then calls [`crate::Engine::nodes_saved`]. A newer text
    /// may come before that when the process ends.
    SaveNodes {
        /// The whole file.
        text: String,
    },
    /// Send keys to another server; the shell then calls [`crate::Engine::migrated`].
    Transfer {
        /// Its name.
        transfer: TransferId,
        /// What and where to.
        what: Transfer,
    },
    /// When the process is to end, start its program again in its place, after so many milliseconds.
    Restart {
        /// How many.
        delay_ms: u64,
    },
    /// End the process with this code. Data have been saved already, if they were to be; nodes.conf may still be on its way.
    Exit {
        /// The process's exit code.
        code: i32,
    },
}
