//! The append-only file: which bytes go to it, and when they are written and synced. Writing it anew is in `append_only/rewrite.rs`,
//! reading it back in `replay.rs`; the file itself is the shell's ([`AppendFile`]).

mod rewrite;

use std::fmt;

use aof::Encoder;
use commands::{Error, args};
use conf::AppendFsync;

use crate::persistence::{Purpose, Running};
use crate::{Engine, Source};

pub(crate) use rewrite::bgrewriteaof;

/// Seconds between two lines about failed writes (Redis 3.0: `AOF_WRITE_LOG_ERROR_RATE`).
const ERROR_LOG_SECONDS: u64 = 30;
/// How long a write waits for a sync that is under way, seconds.
const POSTPONE_SECONDS: u64 = 2;
/// A write buffer that grew beyond this is given back.
const KEPT_BUFFER_BYTES: usize = 64 * 1024;

/// A write that did not end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteError {
    /// How many bytes are in the file nevertheless.
    pub written: usize,
    /// The system's words.
    pub reason: String,
}

/// Where a sync on the other thread stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncState {
    /// None was asked for since the last answer.
    Idle,
    /// It is under way.
    Running,
    /// It ended; told once.
    Ended(Result<(), String>),
}

/// An append-only file that is open for writing.
pub trait AppendFile: fmt::Debug + Send {
    /// Writes at the end.
    ///
    /// # Errors
    /// How far it came, and why not further.
    fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError>;

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

    /// What is in the file from `start` on, for another thread to read. What is written after the reader has met the end comes next.
    fn read_from(&self, start: u64) -> Source;
}

/// A new append-only file on its way: what a child has written, to which another thread adds what was written meanwhile.
pub trait Completion: fmt::Debug {
    /// How that went; none while the thread is at it. After `Ok` little is missing.
    fn poll(&mut self) -> Option<Result<(), String>>;

    /// Adds the rest, brings it to the disk if `sync` says so, and puts the file in the place of `path`. Tells how many bytes were
    /// added in all, and how many microseconds the renaming took.
    ///
    /// # Errors
    /// The line to log; the old file is still there, and the new one is gone.
    fn finish(self: Box<Self>, path: &[u8], sync: bool) -> Result<Completed, String>;
}

/// What came of [`Completion::finish`].
#[derive(Debug)]
pub struct Completed {
    /// The new file, open to be written at its end.
    pub file: Box<dyn AppendFile>,
    /// How many bytes were added to what the child wrote.
    pub added: u64,
    /// How long renaming took, microseconds.
    pub rename_us: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Off,
    /// Turned on while running: the first rewrite makes the file.
    WaitRewrite,
    On,
}

/// What was written while a child writes the new file: it is at the end of the file that is written to.
#[derive(Clone, Copy, Debug)]
struct Tail {
    /// Where it begins in that file.
    start: u64,
    /// What goes before it.
    before: &'static [u8],
}

/// The state of the append-only file.
#[derive(Debug, Default)]
pub(crate) struct AppendOnly {
    state: State,
    file: Option<Box<dyn AppendFile>>,
    encoder: Encoder,
    /// What is to be written.
    buffer: Vec<u8>,
    /// The buffer holds something that no flush has tried to write yet: no reply may leave.
    unflushed: bool,
    /// Something was written, but not synced.
    unsynced: bool,
    /// Bytes in the file.
    size: u64,
    /// The same when it was last loaded or rewritten.
    base_size: u64,
    /// Unix seconds.
    last_sync: u64,
    /// Since when a write has waited for a sync, Unix seconds.
    postponed_since: Option<u64>,
    delayed_syncs: u64,
    /// Why the last write failed.
    write_error: Option<String>,
    /// Why the last sync on the other thread failed: what the file holds is not known then, until it is written anew.
    sync_error: Option<String>,
    error_logged: Option<u64>,
    /// Under `always` something could not be made safe: the process ends, and nothing is acknowledged any more.
    given_up: bool,
    rewrite_scheduled: bool,
    /// Where what belongs into the new file begins, while it is made. None too where that was lost.
    tail: Option<Tail>,
    /// The child has written the new file, to which the tail is being added.
    completion: Option<Box<dyn Completion>>,
    last_rewrite_seconds: Option<u64>,
    last_rewrite_failed: bool,
    /// What the last rewrite copied because of writes, bytes.
    copied_bytes: u64,
    /// Unix seconds of the last rewrite that was started.
    last_rewrite_try: u64,
}

impl Engine {
    // ---- what is written -------------------------------------------------------------------------------------------------

    /// One changing command. Relative times become absolute ones: they are read back later.
    pub(crate) fn feed_append_only(&mut self, db: usize, words: &[&[u8]]) {
        let aof = &mut self.journal.append_only;
        if aof.state == State::Off || aof.file.is_none() {
            return;
        }
        let name = self
            .index
            .find(words[0])
            .map_or("", |entry| entry.command.name);
        let db = u32::try_from(db).unwrap_or(u32::MAX);
        let mut put = |words: &[&[u8]]| {
            aof.encoder
                .append(&mut aof.buffer, db, words.iter().copied());
        };
        let now_ms = i64::try_from(self.now.unix_ms()).unwrap_or(i64::MAX);
        match absolute(name, words, now_ms) {
            None => put(words),
            Some((value, at_ms)) => {
                let key = words[1];
                match value {
                    Value::Stays => {}
                    Value::Set(value) => put(&[b"SET", key, value]),
                    Value::Restored(payload) => {
                        put(&[&[words[0], key, b"0"], payload].concat());
                    }
                }
                put(&[
                    b"PEXPIREAT",
                    key,
                    itoa::Buffer::new().format(at_ms).as_bytes(),
                ]);
            }
        }
        aof.unflushed = true;
    }

    /// Whether something has to be written to the append-only file before anything may be sent: then the shell calls
    /// [`Engine::flush_append_only`] once all clients that are ready were served.
    #[must_use]
    pub fn has_unflushed(&self) -> bool {
        self.journal.append_only.unflushed
    }

    /// The end of a turn: one write, and under `always` one sync, for all that the turn's commands changed.
    ///
    /// False where that cannot be done and the process has to end: nothing may be sent any more.
    pub fn flush_append_only(&mut self) -> bool {
        self.flush(false);
        !self.journal.append_only.given_up
    }

    fn flush(&mut self, force: bool) {
        if self.journal.append_only.given_up {
            return;
        }
        if self.journal.append_only.buffer.is_empty() {
            self.journal.append_only.unflushed = false;
            return;
        }
        let syncing = self.poll_sync();
        let everysec = self.config.appendfsync == AppendFsync::Everysec;
        if everysec && syncing && !force && self.postpone() {
            return;
        }
        let start_us = self.host.mono_us();
        let aof = &mut self.journal.append_only;
        let Some(file) = &mut aof.file else { return };
        let written = file.write(&aof.buffer);
        let usec = self.host.mono_us().saturating_sub(start_us);
        let event = match (syncing, self.keeper.persistence.running) {
            (true, _) => "aof-write-pending-fsync",
            (false, Some(_)) => "aof-write-active-child",
            (false, None) => "aof-write-alone",
        };
        self.note_latency(event, usec);
        self.note_latency("aof-write", usec);
        let aof = &mut self.journal.append_only;
        aof.postponed_since = None;
        if let Err(error) = written {
            return self.write_failed(error);
        }
        if aof.write_error.take().is_some() {
            tracing::warn!("AOF write error looks solved, Redis can write again.");
        }
        aof.size += aof.buffer.len() as u64;
        aof.unsynced = true;
        aof.buffer.clear();
        if aof.buffer.capacity() > KEPT_BUFFER_BYTES {
            aof.buffer = Vec::new();
        }
        self.sync_written(syncing);
    }

    /// A sync is under way: whether the write waits for it, since the system would make it wait in any case.
    fn postpone(&mut self) -> bool {
        let now = self.now.unix_ms() / 1000;
        let aof = &mut self.journal.append_only;
        let since = *aof.postponed_since.get_or_insert(now);
        if now.saturating_sub(since) < POSTPONE_SECONDS {
            aof.unflushed = false;
            return true;
        }
        aof.delayed_syncs += 1;
        tracing::info!(
            "Asynchronous AOF fsync is taking too long (disk is busy?). Writing the AOF buffer without waiting for fsync to complete, \
             this may slow down Redis."
        );
        false
    }

    /// Brings what was just written to the disk, as the configuration says.
    fn sync_written(&mut self, syncing: bool) {
        let now = self.now.unix_ms() / 1000;
        let child_writes =
            self.config.no_appendfsync_on_rewrite && self.keeper.persistence.running.is_some();
        let policy = self.config.appendfsync;
        let start_us = self.host.mono_us();
        let aof = &mut self.journal.append_only;
        let Some(file) = &mut aof.file else { return };
        // Nobody will read the file that is written before there is one that is whole.
        if child_writes || aof.state != State::On {
            aof.unflushed = false;
            return;
        }
        if policy == AppendFsync::Always {
            if let Err(reason) = file.sync() {
                tracing::warn!(
                    "Can't persist AOF for fsync error when the AOF fsync policy is 'always': {reason}. Exiting..."
                );
                return self.give_up();
            }
            (aof.unsynced, aof.last_sync) = (false, now);
            let usec = self.host.mono_us().saturating_sub(start_us);
            self.note_latency("aof-fsync-always", usec);
        } else if policy == AppendFsync::Everysec && now > aof.last_sync {
            if !syncing {
                file.start_sync();
                aof.unsynced = false;
            }
            aof.last_sync = now;
        }
        self.journal.append_only.unflushed = false;
    }

    fn write_failed(&mut self, error: WriteError) {
        if self.journal.append_only.state != State::On {
            // The rewrite that was to make the file lacks this: it will have to be done again.
            tracing::warn!(
                "Error writing what belongs into the AOF: {}. It will be rewritten once more.",
                error.reason
            );
            self.journal.append_only.drop_tail();
            return;
        }
        let now = self.now.unix_ms() / 1000;
        let always = self.config.appendfsync == AppendFsync::Always;
        let aof = &mut self.journal.append_only;
        let log = aof
            .error_logged
            .is_none_or(|at| now.saturating_sub(at) > ERROR_LOG_SECONDS);
        if log {
            aof.error_logged = Some(now);
        }
        let mut written = error.written;
        if written == 0 {
            if log {
                tracing::warn!("Error writing to the AOF file: {}", error.reason);
            }
        } else {
            if log {
                tracing::warn!(
                    "Short write while writing to the AOF file: (nwritten={written}, expected={})",
                    aof.buffer.len()
                );
            }
            // It may have been read already by whoever completes a new file.
            aof.drop_tail();
            let cut = aof
                .file
                .as_mut()
                .map_or(Ok(()), |file| file.truncate(aof.size));
            match cut {
                Ok(()) => written = 0,
                Err(reason) => tracing::warn!(
                    "Could not remove short write from the append-only file.  Redis may refuse to load the AOF the next time it \
                     starts.  ftruncate: {reason}"
                ),
            }
        }
        if always {
            tracing::warn!(
                "Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting..."
            );
            return self.give_up();
        }
        aof.write_error = Some(error.reason);
        aof.size += written as u64;
        aof.buffer.drain(..written);
        aof.unflushed = false;
    }

    /// What was promised cannot be held: replies that wait are never sent.
    fn give_up(&mut self) {
        self.journal.append_only.given_up = true;
        self.journal.append_only.unflushed = true;
        self.exit(1);
    }

    /// Takes note of how the sync on the other thread went; whether one is under way.
    fn poll_sync(&mut self) -> bool {
        let aof = &mut self.journal.append_only;
        match aof
            .file
            .as_mut()
            .map_or(SyncState::Idle, |file| file.poll_sync())
        {
            SyncState::Idle | SyncState::Ended(Ok(())) => false,
            SyncState::Running => true,
            SyncState::Ended(Err(reason)) => {
                // The system drops what it could not write, and a second try would report success.
                tracing::warn!("Fail to fsync the AOF file: {reason}. It will be rewritten.");
                aof.sync_error = Some(reason);
                aof.rewrite_scheduled = true;
                false
            }
        }
    }

    /// The periodic work: what was postponed or failed is tried again, and the last writes of a quiet server are synced.
    pub(crate) fn tick_append_only(&mut self) {
        if self.journal.append_only.state != State::On || self.journal.append_only.given_up {
            return;
        }
        let syncing = self.poll_sync();
        let now = self.now.unix_ms() / 1000;
        let child_writes =
            self.config.no_appendfsync_on_rewrite && self.keeper.persistence.running.is_some();
        let policy = self.config.appendfsync;
        let aof = &mut self.journal.append_only;
        if aof.postponed_since.is_some() || aof.write_error.is_some() {
            self.flush(false);
        } else if aof.unsynced
            && policy == AppendFsync::Everysec
            && now > aof.last_sync
            && !syncing
            && !child_writes
            && let Some(file) = &mut aof.file
        {
            file.start_sync();
            (aof.unsynced, aof.last_sync) = (false, now);
        }
    }

    /// The gate for writes while the file cannot be written.
    pub(crate) fn gate_append_only(&self) -> Result<(), Error> {
        let aof = &self.journal.append_only;
        match aof.write_error.as_ref().or(aof.sync_error.as_ref()) {
            Some(reason) if !self.is_slave() => Err(Error::owned(format!(
                "MISCONF Errors writing to the AOF file: {reason}"
            ))),
            _ => Ok(()),
        }
    }

    // ---- turning it on and off ---------------------------------------------------------------------------------------------

    /// Opens the file when the server starts; how many bytes it holds, which are to be replayed. Nothing is written until
    /// [`Engine::start_append_only`].
    ///
    /// # Errors
    /// The system's words.
    pub fn open_append_only(&mut self) -> Result<u64, String> {
        let file = self.host.open_append(&self.config.appendfilename)?;
        let size = file.size()?;
        self.journal.append_only.file = Some(file);
        Ok(size)
    }

    /// The file is cut behind the last whole command, after a replay that ended early.
    ///
    /// # Errors
    /// The system's words.
    pub fn truncate_append_only(&mut self, size: u64) -> Result<(), String> {
        let file = self.journal.append_only.file.as_mut();
        file.map_or(Ok(()), |file| file.truncate(size))
    }

    /// From here on changes are appended to the file that was opened.
    pub fn start_append_only(&mut self) {
        let now = self.now.unix_ms() / 1000;
        let Some(file) = self.journal.append_only.file.take() else {
            return;
        };
        let size = self.file_size(&*file);
        let aof = &mut self.journal.append_only;
        aof.file = Some(file);
        aof.size = size;
        aof.base_size = aof.size;
        aof.last_sync = now;
        aof.state = State::On;
    }

    /// `CONFIG SET appendonly`
    pub(crate) fn apply_appendonly(&mut self) -> Result<(), String> {
        match (self.config.appendonly, self.journal.append_only.state) {
            (true, State::Off) => self
                .turn_on()
                .map_err(|()| "Unable to turn on AOF. Check server logs.".to_owned()),
            (false, State::WaitRewrite | State::On) => {
                self.turn_off();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn turn_on(&mut self) -> Result<(), ()> {
        if let Err(reason) = self.host.open_append(&self.config.appendfilename) {
            tracing::warn!(
                "Redis needs to enable the AOF but can't open the append only file: {reason}"
            );
            return Err(());
        }
        if self.keeper.persistence.running.is_some() || self.keeper.persistence.loading.is_some() {
            tracing::info!(
                "AOF was enabled but there is already a background operation. An AOF background was scheduled to start when possible."
            );
            self.journal.append_only.rewrite_scheduled = true;
            // A rewrite that runs knows nothing of what was changed since it began.
            self.journal.append_only.drop_tail();
        } else if self.begin_rewrite(true).is_err() {
            tracing::warn!(
                "Redis needs to enable the AOF but can't trigger a background AOF rewrite operation. Check the above logs for more \
                 info about the error."
            );
            return Err(());
        }
        self.journal.append_only.state = State::WaitRewrite;
        Ok(())
    }

    fn turn_off(&mut self) {
        self.flush(true);
        let rewrite = |running: &Running| running.purpose == Purpose::Rewrite;
        let killed = self.keeper.persistence.running.filter(rewrite);
        if let Some(running) = killed {
            tracing::info!("Killing running AOF rewrite child: {}", running.pid);
            self.set_child(None);
            self.host.kill_child();
        }
        let aof = &mut self.journal.append_only;
        if let Some(file) = &mut aof.file
            && let Err(reason) = file.sync()
        {
            tracing::warn!("Fail to fsync the AOF file: {reason}");
        }
        let (delayed_syncs, given_up) = (aof.delayed_syncs, aof.given_up);
        let old = std::mem::take(aof);
        aof.last_rewrite_seconds = old.last_rewrite_seconds;
        aof.last_rewrite_failed = old.last_rewrite_failed;
        aof.copied_bytes = old.copied_bytes;
        (aof.delayed_syncs, aof.given_up) = (delayed_syncs, given_up);
        aof.unflushed = given_up;
        self.close_later(old.file);
        if let Some(running) = killed {
            // Replicas may have waited for its end.
            self.sync_child_ended(running.purpose, false);
        }
    }

    /// The dataset was replaced by a master's: the file is written anew.
    pub(crate) fn restart_append_only(&mut self) {
        if self.journal.append_only.state == State::Off {
            return;
        }
        self.turn_off();
        if self.turn_on().is_err() {
            tracing::warn!(
                "Failed enabling the AOF after successful master synchronization! Trying it again in one second."
            );
            self.journal.append_only.state = State::WaitRewrite;
            self.journal.append_only.rewrite_scheduled = true;
        }
    }

    /// The process is to end: everything is written and synced. False where it must not end yet.
    pub(crate) fn close_append_only(&mut self) -> bool {
        let running = self.keeper.persistence.running;
        let rewriting = running.is_some_and(|running| running.purpose == Purpose::Rewrite);
        if rewriting {
            if self.journal.append_only.state == State::WaitRewrite {
                tracing::warn!("Writing initial AOF, can't exit.");
                return false;
            }
            tracing::warn!("There is a child rewriting the AOF. Killing it!");
            self.set_child(None);
            self.journal.append_only.tail = None;
            self.journal.append_only.completion = None;
            self.host.kill_child();
        }
        if self.journal.append_only.state != State::Off {
            tracing::info!("Calling fsync() on the AOF file.");
            self.flush(true);
            if let Some(file) = &mut self.journal.append_only.file
                && let Err(reason) = file.sync()
            {
                tracing::warn!("Fail to fsync the AOF file: {reason}");
            }
        }
        true
    }

    fn close_later(&mut self, file: Option<Box<dyn AppendFile>>) {
        if let Some(file) = file {
            // Closing the last handle of a file that was renamed over frees its blocks, which may take long.
            self.host.free_later(vec![Box::new(file)]);
        }
    }

    // ---- INFO --------------------------------------------------------------------------------------------------------------

    /// INFO's lines about the append-only file.
    pub(crate) fn info_append_only(&self, text: &mut String) {
        use std::fmt::Write as _;
        let aof = &self.journal.append_only;
        let rewriting = self
            .keeper
            .persistence
            .running
            .filter(|running| running.purpose == Purpose::Rewrite);
        let ok = |failed: bool| if failed { "err" } else { "ok" };
        let seconds =
            |time: Option<u64>| time.map_or(-1, |time| i64::try_from(time).unwrap_or(i64::MAX));
        let now_ms = self.now.unix_ms();
        let current = rewriting.map(|running| now_ms.saturating_sub(running.since_ms) / 1000);
        let broken = aof.write_error.is_some() || aof.sync_error.is_some();
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "aof_enabled:{}\r\naof_rewrite_in_progress:{}\r\naof_rewrite_scheduled:{}\r\naof_last_rewrite_time_sec:{}\r\n\
             aof_current_rewrite_time_sec:{}\r\naof_last_bgrewrite_status:{}\r\naof_last_write_status:{}\r\naof_last_cow_size:{}\r\n",
            u8::from(aof.state != State::Off),
            u8::from(rewriting.is_some()),
            u8::from(aof.rewrite_scheduled),
            seconds(aof.last_rewrite_seconds),
            seconds(current),
            ok(aof.last_rewrite_failed),
            ok(broken),
            aof.copied_bytes,
        );
        if aof.state != State::Off {
            let _ = write!(
                text,
                "aof_current_size:{}\r\naof_base_size:{}\r\naof_pending_rewrite:{}\r\naof_buffer_length:{}\r\n\
                 aof_rewrite_buffer_length:{}\r\naof_pending_bio_fsync:{}\r\naof_delayed_fsync:{}\r\n",
                aof.size,
                aof.base_size,
                u8::from(aof.rewrite_scheduled),
                aof.buffer.len(),
                aof.tail_bytes(),
                u8::from(aof.postponed_since.is_some()),
                aof.delayed_syncs,
            );
        }
    }

    /// Whether no change has to be told to the file, nor will have to be.
    #[inline]
    pub(crate) fn appends_nothing(&self) -> bool {
        self.journal.append_only.state == State::Off
    }

    /// Bytes that wait to be written: they do not count as memory that eviction could free.
    pub(crate) fn append_only_bytes(&self) -> u64 {
        self.journal.append_only.buffer.len() as u64
    }

    /// What has to be added to what the child that runs writes.
    pub(crate) fn tail_bytes(&self) -> u64 {
        self.journal.append_only.tail_bytes()
    }
}

impl AppendOnly {
    fn tail_bytes(&self) -> u64 {
        let end = self.size + self.buffer.len() as u64;
        self.tail.map_or(0, |tail| end.saturating_sub(tail.start))
    }

    /// What was written for the new file is lost: the rewrite that runs is of no use.
    fn drop_tail(&mut self) {
        self.tail = None;
        if self.state != State::On {
            self.file = None;
            self.buffer = Vec::new();
            self.size = 0;
            self.unflushed = self.given_up;
        }
    }
}

/// What a command that gives a key its time of expiry does to its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value<'a> {
    Stays,
    Set(&'a [u8]),
    /// By this payload, and the options behind it.
    Restored(&'a [&'a [u8]]),
}

/// The forms of commands that hold a relative time, or seconds: the value, and the time in Unix milliseconds. None where the command
/// is written as it is.
fn absolute<'a>(name: &str, words: &'a [&'a [u8]], now_ms: i64) -> Option<(Value<'a>, i64)> {
    let number = |word: &[u8]| args::int(word).ok();
    let seconds = |word: &[u8]| Some(number(word)?.saturating_mul(1000));
    let (value, at_ms) = match (name, words) {
        ("expire", [_, _, time]) => (Value::Stays, now_ms.saturating_add(seconds(time)?)),
        ("pexpire", [_, _, time]) => (Value::Stays, now_ms.saturating_add(number(time)?)),
        ("expireat", [_, _, time]) => (Value::Stays, seconds(time)?),
        ("setex", [_, _, time, value]) => {
            (Value::Set(value), now_ms.saturating_add(seconds(time)?))
        }
        ("psetex", [_, _, time, value]) => {
            (Value::Set(value), now_ms.saturating_add(number(time)?))
        }
        ("restore" | "restore-asking", [_, _, time, payload @ ..]) => {
            let time = number(time).filter(|time| *time > 0)?;
            (Value::Restored(payload), now_ms.saturating_add(time))
        }
        ("set", [_, _, value, options @ ..]) => {
            let after = |unit: &str| {
                let at = options.iter().position(|word| args::is(word, unit))?;
                options.get(at + 1)
            };
            let time = match (after("EX"), after("PX")) {
                (Some(time), _) => seconds(time)?,
                (None, Some(time)) => number(time)?,
                (None, None) => return None,
            };
            (Value::Set(value), now_ms.saturating_add(time))
        }
        _ => return None,
    };
    Some((value, at_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translate(line: &str) -> String {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let name = line.split(' ').next().unwrap_or_default().to_lowercase();
        match absolute(&name, &words, 1_000_000) {
            None => "as is".to_owned(),
            Some((value, at_ms)) => {
                let value = match value {
                    Value::Stays => "-".into(),
                    Value::Set(value) => String::from_utf8_lossy(value),
                    Value::Restored(words) => String::from_utf8_lossy(&words.join(&b' '))
                        .into_owned()
                        .into(),
                };
                format!("{value} {at_ms}")
            }
        }
    }

    #[test]
    fn relative_times_and_seconds_become_milliseconds_since_the_epoch() {
        assert_eq!(translate("EXPIRE k 10"), "- 1010000");
        assert_eq!(translate("PEXPIRE k 10"), "- 1000010");
        assert_eq!(translate("EXPIREAT k 10"), "- 10000");
        assert_eq!(translate("PEXPIREAT k 10"), "as is");
        assert_eq!(translate("SETEX k 10 v"), "v 1010000");
        assert_eq!(translate("PSETEX k 10 v"), "v 1000010");
        assert_eq!(translate("SET k v"), "as is");
        assert_eq!(translate("SET k v NX"), "as is");
        assert_eq!(translate("SET k ex NX eX 10"), "ex 1010000");
        assert_eq!(translate("SET k v px 10 XX"), "v 1000010");
        assert_eq!(translate("RESTORE k 10 p REPLACE"), "p REPLACE 1000010");
        assert_eq!(translate("RESTORE k 0 p"), "as is");
        assert_eq!(
            translate("EXPIRE k 9223372036854775807"),
            "- 9223372036854775807"
        );
    }
}
