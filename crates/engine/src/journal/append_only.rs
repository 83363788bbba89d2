//! The state of the append-only file. What is done with it is in `append_only.rs`.

use std::sync::Arc;
use std::time::Duration;

use aof::{Encoder, Manifest, PartFile};

use crate::ClientId;
use crate::host::AppendFile;
use crate::journal::unwritten::Unwritten;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    #[default]
    Off,
    /// Turned on while running: the first rewrite makes the file.
    WaitRewrite,
    On,
}

/// The state of the append-only file.
#[derive(Debug, Default)]
pub(crate) struct AppendOnly {
    pub(crate) state: State,
    pub(crate) file: Option<Box<dyn AppendFile>>,
    pub(crate) encoder: Encoder,
    /// What is to be written.
    pub(crate) unwritten: Unwritten,
    /// What the other thread writes, before that.
    pub(crate) beside: Option<Beside>,
    /// There is something that no flush has tried to write yet: no reply may leave.
    pub(crate) unflushed: bool,
    /// Bytes that were written since the last sync began.
    pub(crate) unsynced: u64,
    /// DEBUG AOF-FLUSH-SLEEP: how long to wait before each write.
    pub(crate) flush_sleep: Duration,
    /// Bytes in the file that is written to.
    pub(crate) size: u64,
    /// Bytes in the parts before it.
    pub(crate) earlier_size: u64,
    /// Bytes in all parts when they were last loaded or rewritten.
    pub(crate) base_size: u64,
    /// Which parts there are.
    pub(crate) manifest: Manifest,
    /// The last instant that was written, Unix seconds.
    pub(crate) stamped_s: u64,
    /// When the last sync was started, [`crate::Now::mono_s`] as all times here but the stamps.
    pub(crate) last_sync: u64,
    /// Since when that has waited for what the other thread does.
    pub(crate) postponed_since: Option<u64>,
    pub(crate) delayed_syncs: u64,
    /// The data that the file holds were given up for a copy, which has not come whole yet.
    pub(crate) outdated: bool,
    pub(crate) trouble: Trouble,
    /// Under `always` something could not be made safe: the process ends, and nothing is acknowledged any more.
    pub(crate) given_up: bool,
    pub(crate) rewrite: Rewrite,
}

/// A write on the other thread.
#[derive(Debug)]
pub(crate) struct Beside {
    pub(crate) blocks: Arc<Vec<Vec<u8>>>,
    pub(crate) bytes: usize,
    /// Where in the stream the file will stand.
    pub(crate) upto: u64,
    /// When it began.
    pub(crate) since: u64,
}

/// What is wrong with the file.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    /// Why the last write failed.
    pub(crate) write: Option<String>,
    /// Why the last sync on the other thread failed: what the file holds is not known then, until it is written anew.
    pub(crate) sync: Option<String>,
    /// When a failed write was last logged.
    pub(crate) logged: Option<u64>,
}

/// The rewrite that is under way or will be, and how the last one went.
#[derive(Debug, Default)]
pub(crate) struct Rewrite {
    pub(crate) scheduled: bool,
    /// It begins once the increment that it needs has a name on the disk, and little is to be written and synced.
    pub(crate) syncs_first: Option<SyncsFirst>,
    /// That increment.
    pub(crate) next: Option<Next>,
    /// It is over but for its manifest.
    pub(crate) installing: Option<Installing>,
    /// The base that the child writes is a dump.
    pub(crate) writes_dump: bool,
    /// Since it began a sync failed: what was written since then is not known to be on the disk.
    pub(crate) sync_failed_since: bool,
    /// How many in a row failed, and how long the next one that nobody asked for waits.
    pub(crate) failures: u32,
    pub(crate) delay: Delay,
    pub(crate) last_seconds: Option<u64>,
    pub(crate) last_failed: bool,
    /// What the last one copied because of writes, bytes.
    pub(crate) copied_bytes: u64,
    /// When the last one was started.
    pub(crate) last_try: u64,
}

/// What a rewrite waits for before its child is started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SyncsFirst {
    /// How many syncs were started for it.
    pub(crate) rounds: u8,
    pub(crate) since: u64,
}

/// The increment behind the base that a rewrite is to make: written to from the fork on, and empty until then.
#[derive(Debug)]
pub(crate) struct Next {
    pub(crate) file: Box<dyn AppendFile>,
    pub(crate) name: Vec<u8>,
    /// The manifest that names it, and whether that is on the disk.
    pub(crate) manifest: Manifest,
    pub(crate) named: bool,
    /// Whom the answer waits for that a rewrite has begun.
    pub(crate) asked: Option<ClientId>,
}

/// How long rewrites wait that nobody asked for, after several have failed: each leaves another increment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Delay {
    pub(crate) minutes: u64,
    pub(crate) until: Option<u64>,
}

impl AppendOnly {
    /// Bytes that are not in the file yet.
    pub(crate) fn waiting(&self) -> usize {
        self.unwritten.len() + self.beside.as_ref().map_or(0, |beside| beside.bytes)
    }

    /// Bytes in all parts.
    pub(crate) fn total_size(&self) -> u64 {
        self.earlier_size + self.size
    }
}

/// The end of a rewrite: a manifest is on its way to the disk.
#[derive(Debug)]
pub(crate) struct Installing {
    /// What it says.
    pub(crate) manifest: Manifest,
    /// When the rewrite began, Unix milliseconds; none where the base came from the primary.
    pub(crate) since_ms: Option<u64>,
    pub(crate) step: Step,
}

/// What holds once that manifest is on the disk.
#[derive(Debug)]
pub(crate) enum Step {
    /// What the child wrote, or the primary sent, counts: the path of the base, and its size.
    Named { base: Vec<u8>, bytes: u64 },
    /// Nothing names the files any more that are of no use.
    Tidied { history: Vec<PartFile> },
}
