//! What the engine asks of the world and needs an answer to at once.

use std::fmt;
use std::time::Duration;

use store::Keyspace;

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
}

/// What a forked child is to do with the keyspace as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// Write a dump file.
    Save(SaveRequest),
    /// Write a dump into a pipe, whose other end the shell relays to replicas ([`crate::Action::RelaySync`]).
    Stream(SaveRequest),
}

/// A child that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its process id.
    pub pid: i32,
    /// How long forking took, microseconds.
    pub fork_us: u64,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildEnd {
    /// It did its job.
    Done,
    /// It could not; it has logged why.
    Failed,
    /// It was killed by this signal.
    Killed(i32),
}

/// The world, as the engine sees it. The server's shell implements it on a real machine, the simulator on a made-up one.
///
/// Everything here is synchronous: the engine's turn waits for it. What may take long and needs no answer within the turn is
/// an [`crate::Action`] instead.
pub trait Host: fmt::Debug {
    /// Microseconds on a clock that never goes back. Measures commands; decides nothing.
    fn mono_us(&self) -> u64;

    /// Blocks everything for a while (DEBUG SLEEP).
    fn sleep(&mut self, time: Duration);

    /// Bytes that the allocator has handed out.
    fn memory_used(&self) -> usize;

    /// Frees values on another thread.
    fn free_later(&mut self, garbage: Vec<Box<dyn Send>>);

    /// Writes a dump file while everything waits.
    ///
    /// # Errors
    /// Why it could not; the old file is still there.
    fn save(&mut self, keyspace: &Keyspace, request: &SaveRequest) -> Result<(), String>;

    /// Starts a child. There is at most one at a time.
    ///
    /// # Errors
    /// Why it could not.
    fn fork(&mut self, keyspace: &Keyspace, job: &Job) -> Result<Child, String>;

    /// Whether the child has ended since the last call, and how.
    fn poll_child(&mut self) -> Option<ChildEnd>;

    /// Ends the child; its temporary file goes.
    fn kill_child(&mut self);

    /// Replaces nodes.conf: written, fsynced, renamed into place.
    ///
    /// # Errors
    /// Why it could not. The process must not go on then.
    fn persist_cluster(&mut self, text: &str) -> Result<(), String>;

    /// The server became a master or a slave: the letter of the log.
    fn set_role(&mut self, slave: bool);
}
