//! What the engine asks of the world and needs an answer to at once.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use store::{Keyspace, Limits};

use crate::{AppendFile, Engine, LinkId, Running, Source};

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
    /// What it says of itself.
    pub facts: rdb::Facts,
    /// About how long the dump will be, rather too much than too little: what the data take in memory.
    pub expected_bytes: u64,
}

/// How the base of an append-only file is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RewriteRequest {
    /// The time, Unix milliseconds: keys that expired before are left out.
    pub now_ms: u64,
    /// The sources of all libraries of functions, where it is commands.
    pub functions: Vec<Vec<u8>>,
    /// `aof-rewrite-incremental-fsync`: it is synced in parts, not all at the end.
    pub sync_often: bool,
    /// `aof-timestamp-enabled`: commands begin with when they were written.
    pub stamp: bool,
    /// `aof-use-rdb-preamble`: it is a dump, written like this; otherwise commands.
    pub dump: Option<SaveRequest>,
}

/// What a forked child is to do with the keyspace as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// Write a dump file.
    Save(SaveRequest),
    /// Write a dump into a pipe, whose other end the shell relays to replicas ([`crate::Action::RelaySync`]).
    Stream(SaveRequest),
    /// Write the base of an append-only file into a temporary file, which [`Host::place_base`] puts into its place.
    Rewrite(RewriteRequest),
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

/// How a process ends that is told to crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// It touches memory that it may not touch.
    Fault,
    /// It aborts.
    Abort,
    /// It panics.
    Panic,
}

/// What INFO tells about the process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// `Linux 6.1.0 x86_64`
    pub os: String,
    /// The configuration file's absolute path, or nothing.
    pub config_file: String,
    /// The program's absolute path, or nothing.
    pub executable: String,
    /// Resident bytes.
    pub rss: usize,
    /// Bytes that the allocator has handed out, those of the pages they are on, and those that it keeps in memory.
    pub allocator: [usize; 3],
    /// The machine's memory, bytes.
    pub total_memory: usize,
    /// System, user, and the same of ended children.
    pub cpu_seconds: [f64; 4],
    /// Sockets that MIGRATE keeps.
    pub migrate_sockets: usize,
}

/// How the shell serves others while a script keeps the engine to itself.
pub trait Meanwhile: fmt::Debug {
    /// Accepts who waits at the door and hands over what has come, without waiting for anything. It is called in the middle of a
    /// turn, so the time is not told: only [`Engine::accept`], [`Engine::serves_meanwhile`], [`Engine::receive_meanwhile`] and
    /// [`Engine::output`] are for it.
    fn serve(&self, engine: &mut Engine);
}

/// The world, as the engine sees it. The server's shell implements it on a real machine, the simulator on a made-up one.
///
/// Everything here is synchronous: the engine's turn waits for it. What may take long and needs no answer within the turn is
/// an [`crate::Action`] instead.
pub trait Host: fmt::Debug {
    /// Nanoseconds on a clock that never goes back. Measures commands; decides nothing.
    fn mono_ns(&self) -> u64;

    /// The same clock in microseconds.
    fn mono_us(&self) -> u64 {
        self.mono_ns() / 1000
    }

    /// Blocks everything for a while (DEBUG SLEEP).
    fn sleep(&mut self, time: Duration);

    /// Serves others while a script runs for too long; without one they wait until it ends.
    fn meanwhile(&self) -> Option<Rc<dyn Meanwhile>> {
        None
    }

    /// Shuts the connection to a master at once: the master is to notice, however long this turn still takes.
    fn hang_up(&mut self, link: LinkId);

    /// Bytes that the allocator has handed out, counted: not for every command.
    fn memory_used(&self) -> usize;

    /// The same, from the last count and what this thread took and gave back since: cheap.
    fn memory_estimate(&self) -> usize {
        self.memory_used()
    }

    /// Waits until the other thread has freed everything, at most for so long.
    fn settle_memory(&mut self, most: Duration);

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

    /// How much memory the last child that did its job had for itself at its end, bytes: what was copied on writing.
    fn child_own_bytes(&self) -> u64 {
        0
    }

    /// Ends the child; its temporary file goes.
    fn kill_child(&mut self);

    /// Loads a dump file while everything waits (DEBUG RELOAD); the sources of its libraries of functions.
    ///
    /// # Errors
    /// What is wrong with it.
    fn load(
        &mut self,
        keyspace: &mut Keyspace,
        request: &SaveRequest,
        limits: &Limits,
    ) -> Result<Vec<Vec<u8>>, String>;

    /// Opens a part of an append-only file to write at its end. It is made if there is none; `fresh`: emptied if there is one.
    ///
    /// # Errors
    /// The system's words.
    fn open_append(&mut self, path: &[u8], fresh: bool) -> Result<Box<dyn AppendFile>, String>;

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

    /// What INFO tells about the process.
    fn process(&self) -> Process;

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

    /// Fills `bytes` with what nobody can guess. Not for decisions, which are drawn from the engine's seed.
    ///
    /// # Errors
    /// The system's words.
    fn fill_random(&mut self, bytes: &mut [u8]) -> Result<(), String>;

    /// Changes the working directory; its absolute path.
    ///
    /// # Errors
    /// Why it could not.
    fn change_dir(&mut self, path: &[u8]) -> Result<Vec<u8>, String>;

    /// Makes room for so many clients.
    ///
    /// # Errors
    /// How many the system lets in.
    fn allow_clients(&mut self, count: u32) -> Result<(), u32>;

    /// Which lines are logged, and how they are written.
    fn set_log(&mut self, config: &conf::ServerConfig);

    /// From now on reports when the engine's timer stands still for so many milliseconds (`watchdog-period`); 0: never. The report
    /// tells what is `running`.
    fn watch(&mut self, period_ms: u64, running: &Arc<Running>) {
        let _ = (period_ms, running);
    }

    /// Ends the process as a fault in it would, with a crash report (DEBUG SEGFAULT, ASSERT and PANIC).
    fn crash(&mut self, how: Crash);

    /// For a child that works: so many bytes have gathered since it was started, which its lateness makes more.
    fn gathered(&mut self, bytes: u64) {
        let _ = bytes;
    }

    /// `oom-score-adj`: how soon the kernel ends this process where memory runs out.
    ///
    /// # Errors
    /// What is to be logged; nothing was changed.
    fn set_oom_score(&mut self, config: &conf::ServerConfig, slave: bool) -> Result<(), String> {
        let _ = (config, slave);
        Ok(())
    }

    /// The server became a master or a slave: the letter of the log.
    fn set_role(&mut self, slave: bool);
}
