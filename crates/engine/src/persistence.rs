//! Dump files: SAVE, BGSAVE, save points, loading, and saving before the end. The append-only file is in `append_only.rs`.

use commands::{Args, Done, Error, args};
use conf::{MaxmemoryPolicy, ShutdownFlags};
use rdb::{Loader, Progress};
use store::ExpiryMode;

use crate::host::{Child, ChildEnd, Job, SaveRequest};
use crate::keeper::persistence::{DumpReader, Loading, Purpose, Running};
use crate::{ClientId, Engine};

/// Seconds between two tries when a background save failed (Redis 3.0: `REDIS_BGSAVE_RETRY_DELAY`).
const RETRY_SECONDS: u64 = 5;

impl Engine {
    pub(crate) fn save_request(&mut self) -> SaveRequest {
        // What was applied is in the dump, so it belongs to the place that the dump tells.
        self.forward_applied(true);
        let data_bytes = self
            .host
            .memory_estimate()
            .saturating_sub(self.meter.started_bytes);
        // Servers before 4.0 know no such facts.
        let places = self.keeper.persistence.dump_reader.knows_places();
        let replication = if places { self.stream_place() } else { None };
        SaveRequest {
            path: self.config.dbfilename.clone(),
            compress: self.config.rdbcompression,
            checksum: self.config.rdbchecksum,
            // Who goes on from a place in the stream has the keys that expired before it: they are deleted by the stream.
            now_ms: if replication.is_some() {
                0
            } else {
                self.dump_without_expired_ms()
            },
            key_delay_us: self.config.rdb_key_save_delay,
            version: crate::engine::rdb_version(&self.config),
            any_reader: false,
            usage: match self.config.maxmemory_policy {
                MaxmemoryPolicy::AllkeysLru | MaxmemoryPolicy::VolatileLru => rdb::Usage::Idle,
                MaxmemoryPolicy::AllkeysLfu | MaxmemoryPolicy::VolatileLfu => rdb::Usage::Frequency,
                _ => rdb::Usage::None,
            },
            functions: self.library_codes(),
            slots: self.config.cluster_enabled,
            slot_imports: self.keeper.migrations.under_way(),
            facts: rdb::Facts {
                redis_version: resp::REDIS_VERSION.to_owned(),
                created_s: self.now.unix_ms() / 1000,
                used_memory: self.host.memory_estimate() as u64,
                replication,
                aof_base: false,
                open_slots: String::new(),
            },
            // Big lists take an eighth more in a dump than in memory.
            expected_bytes: (data_bytes + data_bytes / 8) as u64,
        }
    }

    /// Whether fields of hashes expire.
    pub(crate) fn has_timed_fields(&self) -> bool {
        let keyspace = &self.shard.keyspace;
        (0..keyspace.databases()).any(|db| keyspace.db_ref(db).timed_hashes() > 0)
    }

    /// Before when keys have expired that no dump has to hold, Unix milliseconds. At a replica that is never: its primary may have given
    /// one of them more time before it expired.
    pub(crate) fn dump_without_expired_ms(&self) -> u64 {
        if self.is_slave() {
            return 0;
        }
        self.now.unix_ms()
    }

    /// Saves while everything waits.
    pub(crate) fn save_now(&mut self) -> Result<(), String> {
        self.keeper.persistence.dump_reader = DumpReader::Today;
        self.meter.stats.saves += 1;
        let request = self.save_request();
        self.host.save(&self.shard.keyspace, &request)?;
        tracing::info!("DB saved on disk");
        self.journal.dirty = 0;
        self.note_saved();
        self.keeper.persistence.last_failed = false;
        Ok(())
    }

    /// FLUSHALL: where there are save points the dump becomes empty too, and a child must not put another one into its place.
    pub(crate) fn save_flushed(&mut self) {
        if self.journal.replaying {
            return;
        }
        let saving = |running: Running| running.purpose.writes_dump();
        if self.keeper.persistence.running.is_some_and(saving) && !self.keeper.persistence.killed {
            self.kill_dump_child();
        }
        // What goes wrong is logged.
        if !self.config.save.is_empty() && self.save_now().is_ok() {
            self.shard.effects.dirty = 0;
        }
    }

    /// Ends the child that writes a dump; its end is noted later.
    pub(crate) fn kill_dump_child(&mut self) {
        if !std::mem::replace(&mut self.keeper.persistence.killed, true) {
            self.host.kill_child();
        }
    }

    /// Starts a child that saves, or that streams to replicas.
    pub(crate) fn start_child(&mut self, purpose: Purpose) -> Result<(), String> {
        let mut request = self.save_request();
        let reader = self.keeper.persistence.dump_reader;
        let (version, lowest) = reader.version(self.has_timed_fields());
        request.version = request.version.or(version);
        request.any_reader = lowest;
        // A replica that comes meanwhile may be sent it, too.
        let for_replicas = purpose == Purpose::Sync || self.has_stream();
        if let Some(node) = self.keeper.cluster.as_ref().filter(|_| for_replicas) {
            request.facts.open_slots = node.open_slots();
        }
        self.keeper.persistence.tried_ms = self.now.mono_ms;
        self.keeper.persistence.dump =
            [&self.config.dir[..], b"/", &self.config.dbfilename].concat();
        let job = match purpose {
            Purpose::Rewrite => return self.start_rewrite(),
            Purpose::Slots => return Err("there are no slots to be moved".to_owned()),
            Purpose::Save => {
                self.note_fork_offset();
                Job::Save(request)
            }
            Purpose::Sync => {
                self.note_fork_offset();
                self.stream_job(request)
            }
        };
        match self.host.fork(&self.shard.keyspace, &job) {
            Ok(child) => {
                tracing::info!(
                    "Background {} started by pid {}",
                    purpose.words().0,
                    child.pid
                );
                self.meter.stats.saves += u64::from(purpose == Purpose::Save);
                self.note_child(&child, purpose);
                Ok(())
            }
            Err(error) => {
                self.keeper.persistence.last_failed = purpose == Purpose::Save;
                tracing::warn!("Can't save in background: {error}");
                Err(error)
            }
        }
    }

    /// A child runs from now on.
    pub(crate) fn note_child(&mut self, child: &Child, purpose: Purpose) {
        self.note_latency("fork", child.fork_us);
        self.keeper.persistence.fork_us = child.fork_us;
        self.keeper.persistence.forks += 1;
        let keys = (0..self.shard.keyspace.databases())
            .map(|db| self.shard.keyspace.db_ref(db).total_len() as u64)
            .sum();
        self.set_child(Some(Running {
            purpose,
            pid: child.pid,
            keys,
            since_ms: self.now.unix_ms(),
            dirty: self.journal.dirty,
            for_copies: false,
        }));
    }

    /// A child was started, or has ended. While there is one, reads do not note when they happened: each would copy a page of memory.
    pub(crate) fn set_child(&mut self, running: Option<Running>) {
        self.keeper.persistence.running = running;
        self.shard.keyspace.clock().set_touches(running.is_none());
    }

    /// Looks after the child and the save points; part of each tick.
    pub(crate) fn tick_persistence(&mut self) {
        self.look_after_child();
        if self.keeper.persistence.running.is_some() {
            let gathered = self.tail_bytes().max(self.stream_since_fork());
            self.host.gathered(gathered);
        }
        self.tick_append_only();
        if self.keeper.persistence.running.is_some() || self.keeper.persistence.loading.is_some() {
            return;
        }
        if self.start_scheduled_rewrite() {
            return;
        }
        if std::mem::take(&mut self.keeper.persistence.save_scheduled) {
            self.keeper.persistence.dump_reader = DumpReader::Today;
            // Where it cannot be forked, that was logged.
            let _ = self.start_child(Purpose::Save);
            return;
        }
        let passed = |since_ms: u64| self.now.mono_ms.saturating_sub(since_ms) / 1000;
        let since = passed(self.keeper.persistence.saved_ms);
        let rested = !self.keeper.persistence.last_failed
            || passed(self.keeper.persistence.tried_ms) > RETRY_SECONDS;
        let due =
            |point: &&conf::SavePoint| self.journal.dirty >= point.changes && since > point.seconds;
        if let Some(point) = self.config.save.iter().find(due)
            && rested
        {
            tracing::info!(
                "{} changes in {} seconds. Saving...",
                point.changes,
                point.seconds
            );
            self.keeper.persistence.dump_reader = DumpReader::Today;
            // It has been logged, and will be tried again.
            let _ = self.start_child(Purpose::Save);
        } else if rested && self.refuses_writes() {
            // No write will ever make a save point due again.
            tracing::info!("Writes are refused since the last save failed. Saving again...");
            self.keeper.persistence.dump_reader = DumpReader::Today;
            let _ = self.start_child(Purpose::Save);
        } else {
            self.start_automatic_rewrite();
        }
    }

    /// The data are in a file, or have just come from one.
    pub(crate) fn note_saved(&mut self) {
        self.keeper.persistence.last_save = self.now.unix_ms() / 1000;
        self.keeper.persistence.saved_ms = self.now.mono_ms;
    }

    /// Whether writes are refused because the last background save failed.
    fn refuses_writes(&self) -> bool {
        self.keeper.persistence.last_failed
            && self.config.stop_writes_on_bgsave_error
            && !self.config.save.is_empty()
            && !self.is_slave()
    }

    /// Whether the child has ended since the last call, and if so whether it did its job.
    pub fn look_after_child(&mut self) -> Option<bool> {
        let start_us = self.host.mono_us();
        let end = if std::mem::take(&mut self.keeper.persistence.killed) {
            ChildEnd::Killed(SIGUSR1)
        } else {
            self.host.poll_child()?
        };
        let saving = self
            .keeper
            .persistence
            .running
            .map(|running| running.purpose)
            == Some(Purpose::Save);
        if saving && matches!(end, ChildEnd::Killed(_)) {
            // What it left behind is gone now.
            let usec = self.host.mono_us().saturating_sub(start_us);
            self.note_latency("rdb-unlink-temp-file", usec);
        }
        self.child_ended(end);
        Some(end == ChildEnd::Done)
    }

    fn child_ended(&mut self, end: ChildEnd) {
        let Some(running) = self.keeper.persistence.running else {
            return;
        };
        if running.purpose == Purpose::Rewrite {
            self.set_child(None);
            let ok = self.rewrite_ended(running, end);
            self.sync_child_ended(running.purpose, ok);
            return;
        }
        self.set_child(None);
        let (started, failed) = running.purpose.words();
        match end {
            ChildEnd::Done => tracing::info!("Background {started} terminated with success"),
            ChildEnd::Failed => {
                tracing::warn!("Background {failed} error");
                self.note_failed_copy();
            }
            // It was not wanted any more.
            ChildEnd::Killed(SIGUSR1) if running.purpose == Purpose::Sync => {
                tracing::warn!("Background {failed} error");
            }
            ChildEnd::Killed(signal) => {
                tracing::warn!("Background {started} terminated by signal {signal}");
            }
        }
        let now = self.now.unix_ms();
        if end == ChildEnd::Done {
            self.keeper.persistence.copied_bytes = self.host.child_own_bytes();
        }
        if running.purpose == Purpose::Save {
            self.keeper.persistence.last_seconds =
                Some(now.saturating_sub(running.since_ms) / 1000);
            match end {
                ChildEnd::Done => {
                    self.journal.dirty = self.journal.dirty.saturating_sub(running.dirty);
                    self.note_saved();
                    self.keeper.persistence.last_failed = false;
                }
                // Killed by whom ever wanted it away: no reason to refuse writes (Redis looks for SIGUSR1).
                ChildEnd::Killed(SIGUSR1) => {}
                ChildEnd::Failed | ChildEnd::Killed(_) => {
                    self.keeper.persistence.last_failed = true;
                }
            }
        }
        self.sync_child_ended(running.purpose, end == ChildEnd::Done);
    }

    // ---- loading ---------------------------------------------------------------------------------------------------------

    /// A file of this many bytes is about to be loaded, in steps. Until [`Engine::end_load`] most commands answer LOADING.
    pub fn begin_load(&mut self, total_bytes: u64) {
        let before = self.shard.keyspace.clock().expiry();
        let since_ms = self.now.unix_ms();
        self.keeper.persistence.loading = Some(Loading {
            since_ms,
            total_bytes,
            loaded_bytes: 0,
            before,
        });
        if self.keeper.persistence.beside.is_none() {
            self.shard.keyspace.clock().set_expiry(ExpiryMode::Ignore);
        }
    }

    /// Loads about `bytes` more of a dump.
    ///
    /// # Errors
    /// What is wrong with the file. What was loaded is not to be used.
    pub fn load_step<R: std::io::Read>(
        &mut self,
        loader: &mut Loader<R>,
        bytes: u64,
    ) -> Result<Progress, rdb::Error> {
        let progress = if let Some(beside) = &mut self.keeper.persistence.beside {
            // The data that are served have the same clock.
            let clock = self.shard.keyspace.clock();
            let before = clock.expiry();
            clock.set_expiry(ExpiryMode::Ignore);
            let progress = loader.step(&mut beside.keyspace, bytes);
            clock.set_expiry(before);
            beside.libraries.extend(loader.take_functions());
            progress
        } else {
            loader.step(&mut self.shard.keyspace, bytes)
        };
        self.note_loaded(loader.offset());
        self.note_dump_goes_on();
        self.load_libraries(&loader.take_functions(), false)?;
        for name in loader.take_empty() {
            tracing::info!("Loading RDB: skipping empty key: {name}");
        }
        for skipped in loader.take_skipped() {
            tracing::warn!("{skipped}");
        }
        if matches!(progress, Ok(Progress::Done)) {
            let facts = &loader.facts().facts;
            self.keeper.persistence.loaded_place = facts.replication.clone();
            self.keeper.persistence.loaded_open_slots = facts.open_slots.clone();
            let imports = loader.facts().slot_imports.clone();
            match &mut self.keeper.persistence.beside {
                Some(beside) => beside.imports = imports,
                None => self.adopt_slot_imports(imports),
            }
        }
        progress
    }

    /// Whether checksums are taken as they are (DEBUG SET-SKIP-CHECKSUM-VALIDATION).
    #[must_use]
    pub fn trusts_checksums(&self) -> bool {
        self.shard.settings.trust.any_checksum
    }

    /// So much of the file that is being loaded is done with.
    pub(crate) fn note_loaded(&mut self, bytes: u64) {
        if let Some(loading) = &mut self.keeper.persistence.loading {
            loading.loaded_bytes = bytes;
        }
    }

    /// The load is over, well or not.
    pub fn end_load(&mut self) {
        if let Some(loading) = self.keeper.persistence.loading.take()
            && self.keeper.persistence.beside.is_none()
        {
            self.shard.keyspace.clock().set_expiry(loading.before);
        }
        self.journal.dirty = 0;
        self.note_saved();
    }

    /// Empties all databases, to be freed elsewhere.
    pub(crate) fn empty_keyspace(&mut self) {
        for db in 0..self.shard.keyspace.databases() {
            self.shard.keyspace.db(db).clear();
        }
        self.free_garbage();
    }

    // ---- the end ---------------------------------------------------------------------------------------------------------

    /// Saves if asked to, or else if there are save points, and ends.
    pub(crate) fn prepare_end(&mut self, flags: ShutdownFlags) -> bool {
        let child = self
            .keeper
            .persistence
            .running
            .map(|running| running.purpose);
        let ends = self.try_end(flags);
        if !ends {
            tracing::warn!(
                "Errors trying to shut down the server. Check the logs for more information."
            );
        }
        if let Some(purpose) = child
            && !ends
            && self.keeper.persistence.running.is_none()
        {
            // The server goes on without its child: who waits for its dump must not wait for ever.
            self.sync_child_ended(purpose, false);
        }
        ends
    }

    fn try_end(&mut self, flags: ShutdownFlags) -> bool {
        let forced = flags.contains(ShutdownFlags::FORCE);
        let voting = self
            .keeper
            .cluster
            .as_ref()
            .is_some_and(|node| node.is_voting());
        if voting && flags.contains(ShutdownFlags::SAFE) {
            let outcome = if forced {
                "Exit anyway."
            } else {
                "Can't exit."
            };
            tracing::warn!(
                "This is a voting primary. Shutting down may cause the cluster to go down. {outcome}"
            );
            if !forced {
                return false;
            }
        }
        let sending = |running: Running| running.purpose == Purpose::Slots;
        if self.keeper.persistence.running.is_some_and(sending) {
            self.set_child(None);
            self.host.kill_child();
        }
        let saving = |running: Running| running.purpose.writes_dump();
        if self.keeper.persistence.running.is_some_and(saving) {
            self.set_child(None);
            self.keeper.persistence.killed = false;
            tracing::warn!("There is a child saving an .rdb. Killing it!");
            self.host.kill_child();
        }
        if !self.close_append_only() && !forced {
            return false;
        }
        let loading = self.keeper.persistence.loading.is_some();
        let asked = flags.contains(ShutdownFlags::SAVE)
            || !self.config.save.is_empty() && !flags.contains(ShutdownFlags::NOSAVE);
        if asked && !loading {
            tracing::info!("Saving the final RDB snapshot before exiting.");
            if self.save_now().is_err() {
                if !forced {
                    tracing::warn!("Error trying to save the DB, can't exit.");
                    return false;
                }
                tracing::warn!("Error trying to save the DB, exiting all the same.");
            }
        }
        self.keeper.persistence.ending = true;
        self.exit(0);
        true
    }

    /// The gate for writes while the last background save failed.
    pub(crate) fn gate_disk(&self) -> Result<(), Error> {
        self.gate_append_only()?;
        if self.refuses_writes() {
            return Err(Error::text(
                "MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify \
                 the data set are disabled, because this instance is configured to report errors during writes if RDB snapshotting \
                 fails (stop-writes-on-bgsave-error option). Please check the Valkey logs for details about the RDB error.",
            ));
        }
        Ok(())
    }
}

const SIGUSR1: i32 = 10;

/// SAVE
pub(crate) fn save(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    let saving = |running: Running| running.purpose.writes_dump();
    if engine.keeper.persistence.running.is_some_and(saving) {
        return Err(Error::text("ERR Background save already in progress"));
    }
    // Why it could not be saved is in the log.
    engine.save_now().map_err(|_| Error::text("ERR"))?;
    engine.sessions.clients[id].out.ok();
    Ok(())
}

/// BGSAVE CANCEL
fn cancel_save(engine: &mut Engine, id: ClientId) -> Done {
    let state = &mut engine.keeper.persistence;
    let saves = |running: &Running| running.purpose == Purpose::Save;
    let text = if std::mem::take(&mut state.save_scheduled) {
        "Scheduled background saving cancelled"
    } else if state.running.as_ref().is_some_and(saves) && !state.killed {
        state.killed = true;
        engine.host.kill_child();
        "Background saving cancelled"
    } else {
        return Err(Error::text(
            "ERR Background saving is currently not in progress or scheduled",
        ));
    };
    engine.sessions.clients[id].out.status(text);
    Ok(())
}

/// BGSAVE [SCHEDULE | CANCEL]
pub(crate) fn bgsave(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let schedule = match args[1..] {
        [] => false,
        [word] if args::is(word, "SCHEDULE") => true,
        [word] if args::is(word, "CANCEL") => return cancel_save(engine, id),
        _ => return Err(Error::Syntax),
    };
    let in_transaction = engine.journal.group.depth > 0;
    match engine
        .keeper
        .persistence
        .running
        .map(|running| running.purpose)
    {
        Some(Purpose::Rewrite) if schedule || in_transaction => {
            engine.keeper.persistence.save_scheduled = true;
            let out = &mut engine.sessions.clients[id].out;
            out.status("Background saving scheduled");
            return Ok(());
        }
        Some(Purpose::Rewrite) => {
            return Err(Error::text(
                "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a BGSAVE whenever possible.",
            ));
        }
        Some(_) => return Err(Error::text("ERR Background save already in progress")),
        None => {}
    }
    engine.keeper.persistence.dump_reader = DumpReader::Today;
    engine
        .start_child(Purpose::Save)
        .map_err(|_| Error::text("ERR"))?;
    engine.sessions.clients[id]
        .out
        .status("Background saving started");
    Ok(())
}

/// LASTSAVE
pub(crate) fn lastsave(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    let seconds = i64::try_from(engine.keeper.persistence.last_save).unwrap_or(0);
    engine.sessions.clients[id].out.int(seconds);
    Ok(())
}
