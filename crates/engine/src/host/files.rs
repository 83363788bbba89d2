//! Files, as the engine asks for them.
//!
//! Each call here is waited for. Some have to be: under `appendfsync always` nothing may be answered before the sync, SAVE and DEBUG
//! RELOAD stop the server by definition, and a rewrite's files change their names between two commands. The rest is small and rare.
//! What is large goes elsewhere: a child writes it ([`super::Children`]), another thread writes and syncs it
//! ([`AppendFile::start_write`], [`AppendFile::start_sync`], [`Files::start_manifest`]), or it
//! is an [`crate::Action`] (nodes.conf, a dump from the primary, a dump to a replica).

use std::fmt;
use std::io::Read;
use std::sync::Arc;

use store::{Keyspace, Limits};

/// The bytes of a file that is read back.
pub type Source = Box<dyn Read + Send>;

/// How a dump file is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaveRequest {
    /// The file, relative to the working directory. It is replaced whole: temporary file, fsync, rename, fsync of the folder.
    pub path: Vec<u8>,
    /// `rdbcompression`
    pub compress: bool,
    /// `rdbchecksum`
    pub checksum: bool,
    /// The time, Unix milliseconds: keys that expired before are left out.
    pub now_ms: u64,
    /// `rdb-key-save-delay`: how long it waits after each key, microseconds; negative: a microsecond after so many keys. For tests.
    pub key_delay_us: i64,
    /// The version of the format (`rdb-version`); without one, the lowest from the common one up that holds the data.
    pub version: Option<rdb::Version>,
    /// Who will read it does not say what it can read: without a version, the lowest of all that holds the data.
    pub any_reader: bool,
    /// What is told of how keys were used: what the eviction policy looks at.
    pub usage: rdb::Usage,
    /// The sources of all libraries of functions.
    pub functions: Vec<Vec<u8>>,
    /// Whether it tells where slots begin.
    pub slots: bool,
    /// Imports of slots that are under way.
    pub slot_imports: Vec<rdb::SlotImport>,
    /// What it says of itself.
    pub facts: rdb::Facts,
    /// About how long the dump will be, rather too much than too little: what the data take in memory.
    pub expected_bytes: u64,
}

/// How the base of an append-only file is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RewriteRequest {
    /// The time, Unix milliseconds.
    pub now_ms: u64,
    /// Keys that expired before are left out, Unix milliseconds.
    pub expired_ms: u64,
    /// The sources of all libraries of functions, where it is commands.
    pub functions: Vec<Vec<u8>>,
    /// Imports of slots that are under way, where it is commands.
    pub slot_imports: Vec<rdb::SlotImport>,
    /// `aof-rewrite-incremental-fsync`: it is synced in parts, not all at the end.
    pub sync_often: bool,
    /// `aof-timestamp-enabled`: commands begin with when they were written.
    pub stamp: bool,
    /// `aof-use-rdb-preamble`: it is a dump, written like this; otherwise commands.
    pub dump: Option<SaveRequest>,
}

/// A small file that is written in place, where the process may end at any time.
pub trait PlaceFile: fmt::Debug + Send {
    /// Writes at this byte of the file.
    ///
    /// # Errors
    /// The system's words.
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> Result<(), String>;
}

/// A write that did not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteError {
    /// How many bytes are in the file nevertheless.
    pub written: usize,
    /// The system's words.
    pub reason: String,
}

/// Writes blocks in order, each by `write`.
///
/// # Errors
/// How far all of it came, and why not further.
pub fn write_blocks<'a>(
    blocks: impl IntoIterator<Item = &'a [u8]>,
    mut write: impl FnMut(&'a [u8]) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    let mut before = 0;
    for block in blocks {
        write(block).map_err(|error| WriteError {
            written: before + error.written,
            ..error
        })?;
        before += block.len();
    }
    Ok(())
}

/// Where a sync on the other thread stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncState {
    /// None was asked for since the last answer.
    Idle,
    /// It is under way.
    Running,
    /// It ended; told once. How long it took, nanoseconds.
    Ended(Result<u64, String>),
}

/// An append-only file that is open for writing.
pub trait AppendFile: fmt::Debug + Send {
    /// Writes at the end.
    ///
    /// # Errors
    /// How far it came, and why not further.
    fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError>;

    /// Writes these blocks at the end on another thread, while no other write is under way there. A sync that is sees nothing of it.
    fn start_write(&mut self, blocks: Arc<Vec<Vec<u8>>>);

    /// What came of that; told once. None while it is not known, unless it is waited for.
    fn poll_write(&mut self, wait: bool) -> Option<Result<(), WriteError>>;

    /// Cuts the file.
    ///
    /// # Errors
    /// The system's words.
    fn truncate(&mut self, size: u64) -> Result<(), String>;

    /// Waits until everything written is on the disk.
    ///
    /// # Errors
    /// The system's words.
    fn sync(&mut self) -> Result<(), String>;

    /// The same on another thread.
    fn start_sync(&mut self);

    /// How that goes.
    fn poll_sync(&mut self) -> SyncState;

    /// Bytes in the file.
    ///
    /// # Errors
    /// The system's words.
    fn size(&self) -> Result<u64, String>;
}

/// The files of the server's folder.
pub trait Files: fmt::Debug {
    /// Writes a dump file while everything waits.
    ///
    /// # Errors
    /// Why it could not; the old file is still there.
    fn save(&mut self, keyspace: &Keyspace, request: &SaveRequest) -> Result<(), String>;

    /// Loads a dump file while everything waits (DEBUG RELOAD); the sources of its libraries of functions. With `replace`, keys that are
    /// there already are replaced.
    ///
    /// # Errors
    /// What is wrong with it.
    fn load(
        &mut self,
        keyspace: &mut Keyspace,
        request: &SaveRequest,
        limits: &Limits,
        replace: bool,
    ) -> Result<Vec<Vec<u8>>, String>;

    /// Opens a part of an append-only file to write at its end. It is made if there is none; `fresh`: emptied if there is one.
    ///
    /// # Errors
    /// The system's words.
    fn open_append(&mut self, path: &[u8], fresh: bool) -> Result<Box<dyn AppendFile>, String>;

    /// Opens the small file that tells the append-only file's place in a stream. It is made if there is none.
    ///
    /// # Errors
    /// The system's words.
    fn open_place(&mut self, path: &[u8]) -> Result<Box<dyn PlaceFile>, String>;

    /// A part of an append-only file to be read from its start, and its size in bytes.
    ///
    /// # Errors
    /// The system's words.
    fn read_append(&mut self, path: &[u8]) -> Result<(Source, u64), String>;

    /// Makes the folder of an append-only file, if there is none.
    ///
    /// # Errors
    /// The system's words.
    fn make_folder(&mut self, path: &[u8]) -> Result<(), String>;

    /// Replaces the manifest of an append-only file, on the disk with all names in its folder.
    ///
    /// # Errors
    /// The line to log; the old one is still there.
    fn write_manifest(&mut self, path: &[u8], content: &[u8]) -> Result<(), String>;

    /// The same on another thread; manifests get to the disk in the order in which they were given. What came of it, where that is known
    /// at once; else [`Files::poll_manifest`] tells it.
    fn start_manifest(&mut self, path: &[u8], content: &[u8]) -> Option<Result<(), String>> {
        Some(self.write_manifest(path, content))
    }

    /// What came of the manifest that was started last; told once. None while it is not known, unless it is waited for.
    fn poll_manifest(&mut self, wait: bool) -> Option<Result<(), String>> {
        let _ = wait;
        None
    }

    /// Writes the base of an append-only file to `path` while everything waits.
    ///
    /// # Errors
    /// The line to log.
    fn write_base(
        &mut self,
        keyspace: &Keyspace,
        request: &RewriteRequest,
        path: &[u8],
    ) -> Result<u64, String>;

    /// Moves the file that the child `pid` made by [`Job::Rewrite`] to `path`; its size in bytes.
    ///
    /// # Errors
    /// The line to log; the file is gone.
    fn place_base(&mut self, pid: i32, path: &[u8]) -> Result<u64, String>;

    /// Renames a part of an append-only file.
    ///
    /// # Errors
    /// The line to log.
    fn rename_part(&mut self, from: &[u8], to: &[u8]) -> Result<(), String>;

    /// Removes a file on another thread; none may be there any more.
    fn remove_later(&mut self, path: &[u8]);

    /// The configuration file's text; none where the server was started without one. Empty where the file is gone.
    fn config_text(&self) -> Option<Vec<u8>>;

    /// Replaces the configuration file.
    ///
    /// # Errors
    /// Why it could not.
    fn write_config(&mut self, text: &[u8]) -> Result<(), String>;

    /// A file's content.
    ///
    /// # Errors
    /// The system's words.
    fn read_file(&self, path: &[u8]) -> Result<Vec<u8>, String>;

    /// Replaces a file whole.
    ///
    /// # Errors
    /// The system's words.
    fn write_file(&mut self, path: &[u8], content: &[u8]) -> Result<(), String>;

    /// Changes the working directory; its absolute path.
    ///
    /// # Errors
    /// Why it could not.
    fn change_dir(&mut self, path: &[u8]) -> Result<Vec<u8>, String>;
}
