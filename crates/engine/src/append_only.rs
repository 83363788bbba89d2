//! The append-only file: which bytes go to it, and when they are written and synced. It is kept in parts, which a manifest names: a
//! base, and increments, the last of which is written to. Writing a new base is in `append_only/rewrite.rs`, reading all back in
//! `replay.rs`; the files themselves are the shell's ([`AppendFile`]).

mod adopt;
mod begin;
mod beside;
mod durable;
mod place;
mod rewrite;

use aof::{MANIFEST_SUFFIX, Manifest, PartFile};
use commands::Error;
use conf::AppendFsync;
pub(crate) use rewrite::bgrewriteaof;

use crate::Engine;
use crate::host::{AppendFile, SyncState, WriteError, write_blocks};
use crate::journal::append_only::{AppendOnly, State};
use crate::keeper::persistence::{Purpose, Running};

/// Seconds between two lines about failed writes (Redis 3.0: `AOF_WRITE_LOG_ERROR_RATE`).
const ERROR_LOG_SECONDS: u64 = 30;

impl Engine {
    // ---- what is written -------------------------------------------------------------------------------------------------

    /// One changing command. Relative times become absolute ones: they are read back later.
    pub(crate) fn feed_append_only(&mut self, db: Option<usize>, words: &[&[u8]]) {
        if let Some(aof) = self.begin_command() {
            let db = db.map(|db| u32::try_from(db).unwrap_or(u32::MAX));
            aof.encoder
                .append(aof.unwritten.end(), db, words.iter().copied());
        }
    }

    /// The same for one in the bytes that it is written in.
    pub(crate) fn feed_append_only_encoded(&mut self, db: usize, command: &[u8]) {
        if let Some(aof) = self.begin_command() {
            let db = u32::try_from(db).unwrap_or(u32::MAX);
            aof.encoder.append_encoded(aof.unwritten.end(), db, command);
        }
    }

    /// Where a command is to be written to, if there is a file.
    #[inline]
    fn begin_command(&mut self) -> Option<&mut AppendOnly> {
        let aof = &mut self.journal.append_only;
        if aof.state == State::Off || aof.file.is_none() {
            return None;
        }
        let now_s = self.now.unix_ms() / 1000;
        if self.config.aof_timestamp_enabled && aof.stamped_s < now_s {
            aof.stamped_s = now_s;
            aof::encode_timestamp(aof.unwritten.end(), now_s);
        }
        aof.unflushed = true;
        Some(aof)
    }

    /// Without a stream commands are counted, so that WAITAOF can tell what came before what.
    pub(crate) fn count_unheard(&mut self) {
        if !self.appends_nothing() && self.journal.replicas.backlog.is_none() && !self.is_slave() {
            self.journal.replicas.offset += 1;
        }
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
        if self.journal.append_only.given_up {
            return false;
        }
        if !self.journal.replicas.waiters.is_empty() {
            self.serve_waiters();
        }
        self.release_acknowledged();
        self.answer_getack();
        true
    }

    pub(crate) fn flush(&mut self, force: bool) {
        if self.journal.append_only.given_up || self.waits_for_old(force) {
            return;
        }
        let Some(syncing) = self.leave_to_other_thread(force) else {
            return;
        };
        if self.journal.append_only.given_up {
            return;
        }
        if self.journal.append_only.unwritten.is_empty() {
            self.journal.append_only.unflushed = false;
            self.note_written();
            return;
        }
        self.note_place();
        let start_us = self.host.mono_us();
        let aof = &mut self.journal.append_only;
        if !aof.flush_sleep.is_zero() {
            self.host.sleep(aof.flush_sleep);
        }
        let Some(file) = &mut aof.file else { return };
        let written = write_blocks(aof.unwritten.blocks(), |block| file.write(block));
        let usec = self.host.mono_us().saturating_sub(start_us);
        let event = match (syncing, self.keeper.persistence.running) {
            (true, _) => "aof-write-pending-fsync",
            (false, Some(_)) => "aof-write-active-child",
            (false, None) => "aof-write-alone",
        };
        self.note_latency(event, usec);
        self.note_latency("aof-write", usec);
        self.meter.stats.append_only_us += usec;
        let aof = &mut self.journal.append_only;
        aof.postponed_since = None;
        if let Err(error) = written {
            return self.write_failed(error);
        }
        let bytes = aof.unwritten.len();
        aof.unwritten.clear();
        self.wrote(bytes);
        self.note_written();
        self.sync_written(syncing);
    }

    /// So many bytes more are in the file.
    fn wrote(&mut self, bytes: usize) {
        let aof = &mut self.journal.append_only;
        if aof.trouble.write.take().is_some() {
            tracing::warn!("AOF write error looks solved, Redis can write again.");
        }
        aof.size += bytes as u64;
        aof.unsynced += bytes as u64;
    }

    /// Brings what was just written to the disk, as the configuration says.
    fn sync_written(&mut self, syncing: bool) {
        let now = self.now.mono_s();
        let child_writes =
            self.config.no_appendfsync_on_rewrite && self.keeper.persistence.running.is_some();
        let policy = self.config.appendfsync;
        let start_ns = self.host.mono_ns();
        let aof = &mut self.journal.append_only;
        let Some(file) = &mut aof.file else { return };
        // Nobody will read the file that is written before there is one that is whole.
        if child_writes || aof.state != State::On {
            aof.unflushed = false;
            return;
        }
        if policy == AppendFsync::Always {
            if let Err(reason) = file.sync() {
                return self.give_up_sync(&reason);
            }
            (aof.unsynced, aof.last_sync) = (0, now);
            self.note_synced();
            let ns = self.host.mono_ns().saturating_sub(start_ns);
            self.meter.syncs.add(ns);
            self.note_latency("aof-fsync-always", ns / 1000);
        } else if policy == AppendFsync::Everysec && now > aof.last_sync {
            aof.last_sync = now;
            if !syncing {
                self.start_sync_of_written();
            }
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
            self.drop_waiting();
            return;
        }
        let now = self.now.mono_s();
        let always = self.config.appendfsync == AppendFsync::Always;
        let aof = &mut self.journal.append_only;
        let log = aof
            .trouble
            .logged
            .is_none_or(|at| now.saturating_sub(at) > ERROR_LOG_SECONDS);
        if log {
            aof.trouble.logged = Some(now);
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
                    aof.unwritten.len()
                );
            }
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
        aof.trouble.write = Some(error.reason);
        aof.size += written as u64;
        aof.unwritten.drop_first(written);
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
        self.poll_old();
        let aof = &mut self.journal.append_only;
        match aof
            .file
            .as_mut()
            .map_or(SyncState::Idle, |file| file.poll_sync())
        {
            SyncState::Idle => false,
            SyncState::Ended(Ok(ns)) => {
                self.meter.syncs.add(ns);
                self.note_sync_ended(true);
                false
            }
            SyncState::Running => true,
            SyncState::Ended(Err(reason)) => {
                tracing::warn!("Fail to fsync the AOF file: {reason}. It will be rewritten.");
                aof.rewrite.sync_failed_since = true;
                aof.rewrite.scheduled = true;
                self.sync_failed(reason);
                self.note_sync_ended(false);
                false
            }
        }
    }

    /// What is in the file is brought to the disk by the other thread.
    fn start_sync_of_written(&mut self) {
        let aof = &mut self.journal.append_only;
        if let Some(file) = &mut aof.file {
            file.start_sync();
            aof.unsynced = 0;
            self.note_sync_started();
        }
    }

    /// The system drops what it could not write, and a second try would report success: until there is a new base nobody is to rely on
    /// what the file holds, nor on the place in the stream at which it seems to stand. Under `always` the server ends, on whichever thread
    /// it was synced.
    fn sync_failed(&mut self, reason: String) {
        let always = self.config.appendfsync == AppendFsync::Always;
        if always && self.journal.append_only.state == State::On {
            return self.give_up_sync(&reason);
        }
        self.journal.append_only.trouble.sync = Some(reason);
        self.retract_place();
    }

    fn give_up_sync(&mut self, reason: &str) {
        tracing::warn!(
            "Can't persist AOF for fsync error when the AOF fsync policy is 'always': {reason}. Exiting..."
        );
        self.give_up();
    }

    /// The periodic work: what was postponed or failed is tried again, and the last writes of a quiet server are synced.
    pub(crate) fn tick_append_only(&mut self) {
        // Also a server that appends to no file may be asked to write one.
        self.finish_install(false);
        self.poll_next();
        if self.journal.append_only.state != State::On || self.journal.append_only.given_up {
            return;
        }
        let syncing = self.poll_sync();
        let now = self.now.mono_s();
        let child_writes =
            self.config.no_appendfsync_on_rewrite && self.keeper.persistence.running.is_some();
        let policy = self.config.appendfsync;
        let aof = &mut self.journal.append_only;
        if aof.postponed_since.is_some() || aof.beside.is_some() || aof.trouble.write.is_some() {
            self.flush(false);
        } else if aof.unsynced > 0
            && (policy == AppendFsync::Everysec && now > aof.last_sync
                || policy == AppendFsync::Always)
            && !syncing
            && !child_writes
        {
            aof.last_sync = now;
            self.start_sync_of_written();
        }
        if self.journal.append_only.waiting() == 0 {
            self.note_written();
            self.note_place();
        }
    }

    /// The gate for writes while the file cannot be written.
    pub(crate) fn gate_append_only(&self) -> Result<(), Error> {
        let aof = &self.journal.append_only;
        match aof.trouble.write.as_ref().or(aof.trouble.sync.as_ref()) {
            Some(reason) if !self.is_slave() => Err(Error::owned(format!(
                "MISCONF Errors writing to the AOF file: {reason}"
            ))),
            _ => Ok(()),
        }
    }

    // ---- turning it on and off ---------------------------------------------------------------------------------------------

    /// The parts that were found when the server started. They are to be replayed in order; nothing is written until
    /// [`Engine::start_append_only`].
    pub fn set_manifest(&mut self, manifest: Manifest) {
        self.journal.append_only.manifest = manifest;
    }

    /// The place of a part, relative to the working directory.
    pub(crate) fn part_path(&self, name: &[u8]) -> Vec<u8> {
        [&self.config.appenddirname[..], b"/", name].concat()
    }

    /// The parts to replay, in order.
    pub(crate) fn part_names(&self) -> Vec<Vec<u8>> {
        let parts = self.journal.append_only.manifest.parts();
        parts.map(|part| part.name.clone()).collect()
    }

    /// The manifest as it is on the disk: numbers that no file has any more are given again.
    pub(crate) fn reread_manifest(&mut self) {
        let manifest = &mut self.journal.append_only.manifest;
        if let Ok(read) = Manifest::parse(&manifest.to_bytes()) {
            *manifest = read;
        }
    }

    fn manifest_path(&self) -> Vec<u8> {
        self.part_path(&[&self.config.appendfilename[..], MANIFEST_SUFFIX.as_bytes()].concat())
    }

    /// Brings a manifest to the disk.
    fn write_manifest(&mut self, manifest: &Manifest) -> Result<(), String> {
        let path = self.manifest_path();
        self.host.write_manifest(&path, &manifest.to_bytes())
    }

    /// From here on changes are appended to the last increment. `replayed` is the size of all parts, bytes. Where there is none, the base
    /// is written now.
    ///
    /// # Errors
    /// The line to log: without a file the server must not go on.
    pub fn start_append_only(&mut self, replayed: u64) -> Result<(), String> {
        let (folder, file_name) = (&self.config.appenddirname, &self.config.appendfilename);
        let shown = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
        let (folder_shown, file_name) = (shown(folder), file_name.clone());
        self.host
            .make_folder(&self.config.appenddirname)
            .map_err(|why| format!("Can't open or create append-only dir {folder_shown}: {why}"))?;
        let mut manifest = self.journal.append_only.manifest.clone();
        let mut base_bytes = 0;
        let is_new = manifest.is_empty();
        if is_new {
            let request = self.rewrite_request();
            let name = manifest.add_base(&file_name, request.dump.is_some());
            let path = self.part_path(&name);
            base_bytes = self
                .host
                .write_base(&self.shard.keyspace, &request, &path)?;
            tracing::info!("Creating AOF base file {} on server start", shown(&name));
        }
        let (name, doing) = match manifest.increments().last() {
            Some(last) => (last.name.clone(), "Opening"),
            None => (manifest.add_increment(&file_name), "Creating"),
        };
        let path = self.part_path(&name);
        let file = self
            .host
            .open_append(&path, false)
            .map_err(|why| format!("Can't open the append-only file {}: {why}", shown(&name)))?;
        self.write_manifest(&manifest)?;
        let size = self.file_size(&*file);
        tracing::info!("{doing} AOF incr file {} on server start", shown(&name));
        let now = self.now.mono_s();
        let aof = &mut self.journal.append_only;
        aof.manifest = manifest;
        aof.file = Some(file);
        aof.size = size;
        aof.earlier_size = replayed.saturating_sub(size) + base_bytes;
        aof.base_size = aof.total_size();
        // What an earlier process wrote may not be on the disk.
        (aof.unsynced, aof.last_sync) = (size, now);
        aof.state = State::On;
        if !is_new {
            self.adopt_file_place();
        }
        self.remove_history();
        Ok(())
    }

    /// Files that are of no use any more are forgotten and removed, while nobody is served. Where a rewrite is about to do so, or they
    /// are to stay, nothing is done.
    pub(crate) fn remove_history(&mut self) {
        let rewrite = &self.journal.append_only.rewrite;
        if self.config.aof_disable_auto_gc || rewrite.installing.is_some() || rewrite.next.is_some()
        {
            return;
        }
        let mut manifest = self.journal.append_only.manifest.clone();
        let history = manifest.take_history();
        if history.is_empty() {
            return;
        }
        match self.write_manifest(&manifest) {
            Ok(()) => {
                self.journal.append_only.manifest = manifest;
                self.remove_parts(&history);
            }
            Err(why) => tracing::warn!("{why}"),
        }
    }

    fn remove_parts(&mut self, parts: &[PartFile]) {
        for part in parts {
            let name = String::from_utf8_lossy(&part.name);
            tracing::info!("Removing the history file {name} in the background");
            let path = self.part_path(&part.name);
            self.host.remove_later(&path);
        }
    }

    /// `CONFIG SET appendonly`
    pub(crate) fn apply_appendonly(&mut self) -> Result<(), String> {
        match (self.config.appendonly, self.journal.append_only.state) {
            (true, State::Off) => self
                .turn_on()
                .map_err(|()| "Unable to turn on AOF. Check server logs.".to_owned()),
            (false, State::WaitRewrite | State::On) => {
                self.turn_off(true);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn turn_on(&mut self) -> Result<(), ()> {
        let busy = self.keeper.persistence.running.is_some()
            || self.keeper.persistence.loading.is_some()
            || self.journal.append_only.rewrite.installing.is_some();
        if busy {
            tracing::info!(
                "AOF was enabled but there is already a background operation. An AOF background was scheduled to start when possible."
            );
            self.journal.append_only.rewrite.scheduled = true;
        } else if self.journal.group.depth > 0 {
            tracing::info!(
                "AOF was enabled during a transaction. An AOF background was scheduled to start when possible."
            );
            self.journal.append_only.rewrite.scheduled = true;
        } else if self.begin_rewrite(true).is_err() {
            tracing::warn!(
                "Redis needs to enable the AOF but can't trigger a background AOF rewrite operation. Check the above logs for more \
                 info about the error."
            );
            return Err(());
        }
        self.journal.append_only.state = State::WaitRewrite;
        self.journal.append_only.outdated = false;
        Ok(())
    }

    /// `whole`: what was changed until now is to be in the file.
    fn turn_off(&mut self, whole: bool) {
        let named = self.journal.append_only.rewrite.installing.is_some();
        self.abandon_next();
        self.abandon_install();
        if whole {
            self.flush(true);
        }
        self.forget_durable();
        self.forget_place();
        let rewrite = |running: &Running| running.purpose == Purpose::Rewrite;
        let killed = self.keeper.persistence.running.filter(rewrite);
        if let Some(running) = killed {
            tracing::info!("Killing running AOF rewrite child: {}", running.pid);
            self.set_child(None);
            self.host.kill_child();
        }
        let aof = &mut self.journal.append_only;
        let (delayed_syncs, given_up) = (aof.delayed_syncs, aof.given_up);
        let waited = aof.state == State::WaitRewrite && aof.file.is_some() && !named;
        let mut old = std::mem::take(aof);
        aof.manifest = std::mem::take(&mut old.manifest);
        aof.rewrite.failures = old.rewrite.failures;
        aof.rewrite.last_seconds = old.rewrite.last_seconds;
        aof.rewrite.last_failed = old.rewrite.last_failed;
        aof.rewrite.copied_bytes = old.rewrite.copied_bytes;
        (aof.delayed_syncs, aof.given_up) = (delayed_syncs, given_up);
        aof.unflushed = given_up;
        self.close_later(old.file);
        if waited {
            self.remove_waiting();
        }
        if let Some(running) = killed {
            // Replicas may have waited for its end.
            self.sync_child_ended(running.purpose, false);
        }
    }

    /// The dataset was replaced by a master's: the file begins anew, on the dump that came where that was put beside it (its size).
    pub(crate) fn restart_append_only(&mut self, received: Option<u64>) {
        self.journal.append_only.outdated = false;
        if self.journal.append_only.state == State::Off {
            if received.is_some() {
                self.remove_received();
            }
            return;
        }
        self.turn_off(false);
        if received.is_some_and(|bytes| self.adopt_received(bytes)) {
            return;
        }
        if self.turn_on().is_err() {
            tracing::warn!(
                "Failed enabling the AOF after successful master synchronization! Trying it again in one second."
            );
            self.journal.append_only.state = State::WaitRewrite;
            self.journal.append_only.rewrite.scheduled = true;
        }
    }

    /// The process is to end: everything is written and synced. False where it must not end yet.
    pub(crate) fn close_append_only(&mut self) -> bool {
        self.finish_install(true);
        let running = self.keeper.persistence.running;
        let rewriting = running.is_some_and(|running| running.purpose == Purpose::Rewrite);
        if rewriting {
            if self.journal.append_only.state == State::WaitRewrite {
                tracing::warn!("Writing initial AOF, can't exit.");
                return false;
            }
            tracing::warn!("There is a child rewriting the AOF. Killing it!");
            self.set_child(None);
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
            // What was written last may still have to be brought to the disk.
            self.host.free_later(vec![Box::new(Syncing(file))]);
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
        let since_ms = rewriting.map(|running| running.since_ms);
        let installing = aof.rewrite.installing.as_ref();
        let since_ms = since_ms.or_else(|| installing.and_then(|last| last.since_ms));
        let current = since_ms.map(|since_ms| now_ms.saturating_sub(since_ms) / 1000);
        let broken = aof.trouble.write.is_some() || aof.trouble.sync.is_some();
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "aof_enabled:{}\r\naof_rewrite_in_progress:{}\r\naof_rewrite_scheduled:{}\r\naof_last_rewrite_time_sec:{}\r\n\
             aof_current_rewrite_time_sec:{}\r\naof_last_bgrewrite_status:{}\r\naof_rewrites:{}\r\n\
             aof_rewrites_consecutive_failures:{}\r\naof_last_write_status:{}\r\naof_last_cow_size:{}\r\n",
            u8::from(aof.state != State::Off),
            u8::from(current.is_some() || aof.rewrite.syncs_first.is_some()),
            u8::from(aof.rewrite.scheduled),
            seconds(aof.rewrite.last_seconds),
            seconds(current),
            ok(aof.rewrite.last_failed),
            self.meter.stats.rewrites,
            aof.rewrite.failures,
            ok(broken),
            aof.rewrite.copied_bytes,
        );
        if aof.state != State::Off {
            let _ = write!(
                text,
                "aof_current_size:{}\r\naof_base_size:{}\r\naof_pending_rewrite:{}\r\naof_buffer_length:{}\r\n\
                 aof_pending_bio_fsync:{}\r\naof_delayed_fsync:{}\r\n",
                aof.total_size(),
                aof.base_size,
                u8::from(aof.rewrite.scheduled),
                aof.waiting(),
                u8::from(aof.postponed_since.is_some()),
                aof.delayed_syncs,
            );
        }
    }

    /// Whether a rewrite is under way: the sync before it, the child, or the manifest after it.
    pub(crate) fn is_rewriting(&self) -> bool {
        let running = self.keeper.persistence.running;
        let child = running.is_some_and(|running| running.purpose == Purpose::Rewrite);
        let aof = &self.journal.append_only;
        child || aof.rewrite.installing.is_some() || aof.rewrite.syncs_first.is_some()
    }

    /// Whether no change has to be told to the file, nor will have to be.
    #[inline]
    pub(crate) fn appends_nothing(&self) -> bool {
        self.journal.append_only.state == State::Off
    }

    /// Bytes that wait to be written: they do not count as memory that eviction could free.
    pub(crate) fn append_only_bytes(&self) -> u64 {
        self.journal.append_only.waiting() as u64
    }

    /// What was written since the child that makes a new base was started.
    pub(crate) fn tail_bytes(&self) -> u64 {
        let running = self.keeper.persistence.running;
        let rewriting = running.is_some_and(|running| running.purpose == Purpose::Rewrite);
        let aof = &self.journal.append_only;
        if rewriting && aof.file.is_some() {
            aof.size + aof.waiting() as u64
        } else {
            0
        }
    }
}

/// A file that is synced before it is closed.
struct Syncing(Box<dyn AppendFile>);

impl Drop for Syncing {
    fn drop(&mut self) {
        if let Err(reason) = self.0.sync() {
            tracing::warn!("Fail to fsync the AOF file: {reason}");
        }
    }
}
