//! Where saving and loading stand. They are done in `persistence.rs`.

use store::{ExpiryMode, Keyspace};

/// What the child that is running was started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// BGSAVE, a save point, or a full synchronization by way of the dump file.
    Save,
    /// A full synchronization straight to the replicas' sockets.
    Sync,
    /// A new append-only file.
    Rewrite,
    /// The snapshot of slots that move to another node.
    Slots,
}

/// Whom a dump is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DumpReader {
    /// This server, and replicas that say that they are as new. The dump tells its place in the stream, as the next two do.
    #[default]
    Today,
    /// A replica that says that it is a Valkey before 9.
    Common,
    /// A replica of 4.0 or later that does not say which: a Redis, or a Valkey before 8.
    Unnamed,
    /// One that did not say that it knows such facts, a backup for example.
    Plain,
    /// A replica of a release before 4.0.
    Old,
}

impl DumpReader {
    /// Whether a dump for this reader tells its place in the stream.
    pub(crate) fn knows_places(self) -> bool {
        self < Self::Plain
    }

    /// Which version a dump for this reader has, and whether it is the lowest that holds the data where that is not said. `timed` is whether
    /// fields of hashes expire: Valkey and Redis write them differently.
    pub(crate) fn version(self, timed: bool) -> (Option<rdb::Version>, bool) {
        match self {
            Self::Today => (None, false),
            Self::Common => (Some(rdb::Version::COMMON), false),
            Self::Unnamed if timed => (Some(rdb::Version::NEWEST_REDIS), false),
            Self::Unnamed | Self::Plain => (None, true),
            Self::Old => (Some(rdb::Version::OLDEST_WRITTEN), false),
        }
    }

    /// Whether it can read what is written for another.
    pub(crate) fn reads(self, other: Self, timed: bool) -> bool {
        self == other || !timed && self == Self::Today && other == Self::Common
    }
}

/// A running child.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Running {
    pub(crate) purpose: Purpose,
    pub(crate) pid: i32,
    pub(crate) since_ms: u64,
    /// How many keys there were when it was started.
    pub(crate) keys: u64,
    /// [`crate::journal::Journal::dirty`] when it was started.
    pub(crate) dirty: u64,
    /// It saves a dump that nobody wanted but replicas.
    pub(crate) for_copies: bool,
}

/// The state of saving and loading.
#[derive(Debug, Default)]
pub(crate) struct Persistence {
    pub(crate) running: Option<Running>,
    /// The dump file of the last child that saved; both its name and the folder may be configured anew before it ends.
    pub(crate) dump: Vec<u8>,
    /// Unix seconds of the last save that worked; the start of the server before the first.
    pub(crate) last_save: u64,
    pub(crate) last_failed: bool,
    /// The same on the clock that nobody sets: save points look at this one.
    pub(crate) saved_ms: u64,
    /// When the last background save was tried, on that clock.
    pub(crate) tried_ms: u64,
    /// How long the last background save took, seconds.
    pub(crate) last_seconds: Option<u64>,
    pub(crate) fork_us: u64,
    /// BGSAVE SCHEDULE found another child: it is made up for.
    pub(crate) save_scheduled: bool,
    /// How many children there have been.
    pub(crate) forks: u64,
    /// What the last background save copied because of writes, bytes.
    pub(crate) copied_bytes: u64,
    /// What is loaded beside the data that are served.
    pub(crate) beside: Option<Beside>,
    pub(crate) loading: Option<Loading>,
    /// The place in a replication stream that the dump which was loaded last stands at.
    pub(crate) loaded_place: Option<rdb::StreamPlace>,
    /// The slots that were open where that dump was written.
    pub(crate) loaded_open_slots: String,
    /// How many keys the dump that was loaded at the start held, and how many of them had expired.
    pub(crate) loaded_keys: u64,
    pub(crate) expired_keys: u64,
    /// Whom the last dump that was begun is for.
    pub(crate) dump_reader: DumpReader,
    /// The child that saved was killed, by FLUSHALL or BGSAVE CANCEL: its end is still to be noted.
    pub(crate) killed: bool,
    /// The process is about to end.
    pub(crate) ending: bool,
}

/// A copy that is loaded beside the data that are served, and what else the dump holds.
#[derive(Debug)]
pub(crate) struct Beside {
    pub(crate) keyspace: Keyspace,
    pub(crate) libraries: Vec<Vec<u8>>,
    pub(crate) imports: Vec<rdb::SlotImport>,
}

/// A load under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loading {
    pub(crate) since_ms: u64,
    pub(crate) total_bytes: u64,
    pub(crate) loaded_bytes: u64,
    pub(crate) before: ExpiryMode,
}

impl Purpose {
    /// Whether a dump file comes of it.
    pub(crate) fn writes_dump(self) -> bool {
        matches!(self, Self::Save | Self::Sync)
    }

    /// How the log calls it while it goes well, and when it fails.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Save => ("saving", "saving"),
            Self::Sync => ("RDB transfer", "RDB transfer"),
            Self::Rewrite => ("AOF rewrite", "AOF rewrite"),
            Self::Slots => ("SLOT MIGRATION transfer", "SLOT MIGRATION transfer"),
        }
    }
}
