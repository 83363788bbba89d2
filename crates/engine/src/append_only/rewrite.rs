//! Writing the append-only file anew while the server goes on: what is written from now on goes into a new increment, a child writes
//! what the dataset was as the new base, and in the end only the manifest is replaced.

use aof::Manifest;
use commands::{Args, Done, Error};
use conf::AppendFsync;

use crate::host::{AppendFile, ChildEnd, Job, RewriteRequest};
use crate::journal::append_only::{Delay, Installing, State, Step, SyncsFirst};
use crate::journal::unwritten::Unwritten;
use crate::keeper::persistence::{Purpose, Running};
use crate::{ClientId, Engine};

/// After so many failures in a row, rewrites that nobody asked for wait.
const FAILURES_TO_WAIT: u32 = 3;
/// They never wait longer, minutes.
const MOST_MINUTES: u64 = 60;
/// Those that are to make the first file never wait longer, seconds.
const MOST_SECONDS: u64 = 60;
/// So much that was written is synced by the other thread before a rewrite begins, bytes.
const SYNC_FIRST_BYTES: u64 = 1024 * 1024;
/// So many syncs are waited for at the most: clients may be faster than the disk.
const MOST_SYNCS_FIRST: u8 = 4;
/// And for so long a sync under way is waited for: another one may be started as soon as it ends. Seconds.
const MOST_SECONDS_FIRST: u64 = 10;
/// The increment of a file that is not whole yet could not be written.
const LOST: &str = "What belongs behind the new AOF base file was lost";

impl Engine {
    /// Starts a rewrite, or has it started once its increment has a name.
    pub(crate) fn start_rewrite(&mut self) -> Result<(), String> {
        let now = self.now.mono_s();
        self.journal.append_only.rewrite.last_try = now;
        let names_first = self.names_first().inspect_err(|error| {
            tracing::warn!("{error}");
            let rewrite = &mut self.journal.append_only.rewrite;
            (rewrite.last_failed, rewrite.syncs_first) = (true, None);
        })?;
        if names_first {
            let rewrite = &mut self.journal.append_only.rewrite;
            rewrite.scheduled = true;
            rewrite.syncs_first.get_or_insert(SyncsFirst {
                rounds: 0,
                since: now,
            });
            return Ok(());
        }
        self.begin_rewrite(self.journal.append_only.state != State::Off)
    }

    /// How the child is to write.
    pub(super) fn rewrite_request(&mut self) -> RewriteRequest {
        let as_dump = self.config.aof_use_rdb_preamble;
        RewriteRequest {
            now_ms: self.now.unix_ms(),
            expired_ms: self.dump_without_expired_ms(),
            functions: if as_dump {
                Vec::new()
            } else {
                self.library_codes()
            },
            slot_imports: if as_dump {
                Vec::new()
            } else {
                self.keeper.migrations.under_way()
            },
            sync_often: self.config.aof_rewrite_incremental_fsync,
            stamp: self.config.aof_timestamp_enabled,
            dump: as_dump.then(|| self.save_request()),
        }
    }

    /// `kept`: the file is one that this server goes on with.
    pub(super) fn begin_rewrite(&mut self, kept: bool) -> Result<(), String> {
        let request = self.rewrite_request();
        let aof = &mut self.journal.append_only;
        aof.rewrite.last_try = self.now.mono_s();
        aof.rewrite.syncs_first = None;
        self.make_append_folder()
            .and_then(|()| if kept { self.end_increment() } else { Ok(()) })
            .inspect_err(|error| {
                tracing::warn!("{error}");
                self.journal.append_only.rewrite.last_failed = true;
            })?;
        let child = self
            .host
            .fork(&self.shard.keyspace, &Job::Rewrite(request.clone()))
            .inspect_err(|error| {
                tracing::warn!("Can't rewrite append only file in background: fork: {error}");
                self.drop_waiting();
            })?;
        tracing::info!(
            "Background append only file rewriting started by pid {}",
            child.pid
        );
        self.meter.stats.rewrites += 1;
        self.note_child(&child, Purpose::Rewrite);
        self.note_forked();
        let aof = &mut self.journal.append_only;
        aof.rewrite.scheduled = false;
        aof.rewrite.writes_dump = request.dump.is_some();
        aof.rewrite.sync_failed_since = false;
        aof.encoder.reset();
        self.go_to_next();
        Ok(())
    }

    pub(super) fn make_append_folder(&mut self) -> Result<(), String> {
        let folder = &self.config.appenddirname;
        self.host.make_folder(folder).map_err(|why| {
            let folder = String::from_utf8_lossy(folder);
            format!("Can't open or create append-only dir {folder}: {why}")
        })
    }

    /// What came before the base is written; what is written from now on goes into another file, behind what the base will hold. While
    /// there is no whole file yet, that has a name that no manifest tells of.
    pub(super) fn end_increment(&mut self) -> Result<(), String> {
        if self.journal.append_only.state == State::On {
            self.flush(true);
            if self.journal.append_only.waiting() > 0 {
                // It would come once with the base, and once more behind it.
                return Err("Can't rewrite the AOF while it cannot be written".to_owned());
            }
            self.finish_increment();
            if self.journal.append_only.given_up {
                return Err("Can't rewrite the AOF: the server ends".to_owned());
            }
            return Ok(());
        }
        let name = self.waiting_name();
        let file = self.open_increment(&name)?;
        let aof = &mut self.journal.append_only;
        aof.last_sync = self.now.mono_s();
        aof.unwritten.clear();
        aof.file = Some(file);
        Ok(())
    }

    /// Whether a rewrite waits for the other threads, and is begun later: what is written from its beginning on waits until all before is
    /// on the disk. What gathers meanwhile is less each time, unless clients are faster than the disk.
    fn syncs_first(&mut self) -> bool {
        let aof = &self.journal.append_only;
        let much = aof.unsynced + aof.waiting() as u64 >= SYNC_FIRST_BYTES;
        let can_sync = aof.state == State::On && aof.trouble.sync.is_none();
        let now = self.now.mono_s();
        let waited = match aof.rewrite.syncs_first {
            None if !(much && can_sync || aof.beside.is_some()) => return false,
            None => SyncsFirst {
                rounds: 0,
                since: now,
            },
            Some(waited) => waited,
        };
        // Asked before anything is written: that may start the next sync.
        let syncing = self.poll_sync() || !self.journal.durable.old.is_empty();
        let busy = !self.poll_write(false)
            || syncing && now.saturating_sub(waited.since) < MOST_SECONDS_FIRST;
        let again = !busy && !syncing && much && can_sync && waited.rounds < MOST_SYNCS_FIRST;
        if again {
            self.flush(true);
            if !self.poll_sync() {
                self.start_sync_of_written();
            }
        }
        let rewrite = &mut self.journal.append_only.rewrite;
        rewrite.scheduled = true;
        rewrite.syncs_first = Some(SyncsFirst {
            rounds: waited.rounds + u8::from(again),
            ..waited
        });
        busy || again
    }

    /// Starts a rewrite that is due: one that was asked for while something else ran. Whether it did.
    pub(crate) fn start_scheduled_rewrite(&mut self) -> bool {
        let aof = &self.journal.append_only;
        // While there is no whole file nothing is safe, and a try that fails leaves nothing behind.
        let first = aof.state == State::WaitRewrite;
        let pause = if first {
            u64::from(aof.rewrite.failures).min(MOST_SECONDS)
        } else {
            0
        };
        let rested = self.now.mono_s() > aof.rewrite.last_try + pause || !aof.rewrite.last_failed;
        let idle = aof.rewrite.installing.is_none() && !self.is_naming();
        let begun = aof.rewrite.syncs_first.is_some();
        // A fork that failed has been logged, and is tried again.
        aof.rewrite.scheduled
            && idle
            && (begun || rested && (first || !self.waits()))
            && !self.syncs_first()
            && self.start_rewrite().is_ok()
    }

    /// Starts a rewrite if the file has grown as much as the configuration allows.
    pub(crate) fn start_automatic_rewrite(&mut self) {
        let aof = &self.journal.append_only;
        let percentage = u64::from(self.config.auto_aof_rewrite_percentage);
        let size = aof.total_size();
        if aof.state != State::On
            || self.is_rewriting()
            || percentage == 0
            || size <= self.config.auto_aof_rewrite_min_size
        {
            return;
        }
        let growth = (size.saturating_mul(100) / aof.base_size.max(1)).saturating_sub(100);
        let rested = self.now.mono_s() > aof.rewrite.last_try;
        if growth >= percentage && rested && !self.waits() {
            tracing::info!("Starting automatic rewriting of AOF on {growth}% growth");
            if !self.syncs_first() {
                // It has been logged, and is tried again.
                let _ = self.start_rewrite();
            }
        }
    }

    /// Whether a rewrite that nobody asked for waits, since several have failed: one minute at first, then twice as long each time.
    fn waits(&mut self) -> bool {
        let now = self.now.mono_s();
        let aof = &mut self.journal.append_only;
        if aof.rewrite.failures < FAILURES_TO_WAIT {
            aof.rewrite.delay = Delay::default();
            return false;
        }
        if let Some(until) = aof.rewrite.delay.until {
            if now < until {
                return true;
            }
            aof.rewrite.delay.until = None;
            return false;
        }
        let minutes = (aof.rewrite.delay.minutes * 2).clamp(1, MOST_MINUTES);
        aof.rewrite.delay = Delay {
            minutes,
            until: Some(now + minutes * 60),
        };
        tracing::warn!(
            "Background AOF rewrite has repeatedly failed and triggered the limit, will retry in {minutes} minutes"
        );
        true
    }

    /// The child that wrote the base has ended; whether all is well so far.
    pub(crate) fn rewrite_ended(&mut self, running: Running, end: ChildEnd) -> bool {
        /// Who ends the child with this does it on purpose.
        const SIGUSR1: i32 = 10;
        let ok = match end {
            ChildEnd::Done => {
                tracing::info!("Background AOF rewrite terminated with success");
                self.journal.append_only.rewrite.copied_bytes = self.host.child_own_bytes();
                return self.install(running);
            }
            ChildEnd::Failed => {
                tracing::warn!("Background AOF rewrite terminated with error");
                false
            }
            ChildEnd::Killed(signal) => {
                tracing::warn!("Background AOF rewrite terminated by signal {signal}");
                false
            }
        };
        let meant = end == ChildEnd::Killed(SIGUSR1);
        self.rewrite_over(running.since_ms, ok, meant);
        ok
    }

    /// A rewrite is over; `meant`: somebody has ended it.
    pub(super) fn rewrite_over(&mut self, since_ms: u64, ok: bool, meant: bool) {
        let seconds = self.now.unix_ms().saturating_sub(since_ms) / 1000;
        let aof = &mut self.journal.append_only;
        aof.rewrite.last_seconds = Some(seconds);
        if !meant {
            aof.rewrite.last_failed = !ok;
            aof.rewrite.failures = if ok {
                0
            } else {
                aof.rewrite.failures.saturating_add(1)
            };
        }
        if !ok {
            self.drop_waiting();
        }
        let aof = &mut self.journal.append_only;
        if aof.state == State::WaitRewrite || aof.trouble.sync.is_some() {
            aof.rewrite.scheduled = true;
        }
    }

    /// The size that the system tells, which may have to wait for the disk; 0 where it does not tell.
    pub(super) fn file_size(&mut self, file: &dyn AppendFile) -> u64 {
        let start_us = self.host.mono_us();
        let size = file.size().unwrap_or(0);
        let usec = self.host.mono_us().saturating_sub(start_us);
        self.note_latency("aof-fstat", usec);
        size
    }

    /// Gives the files their names, and then the manifest: what is not in it was never there. Until it is on the disk the old one holds,
    /// and names all that is written. Whether all is well so far.
    fn install(&mut self, running: Running) -> bool {
        let waited = self.journal.append_only.state == State::WaitRewrite;
        match self.place_parts(running, waited) {
            Ok(installing) => {
                self.start_install(installing);
                true
            }
            Err(error) => {
                tracing::warn!("{error}");
                self.rewrite_over(running.since_ms, false, false);
                false
            }
        }
    }

    /// A manifest is to get to the disk, and then counts.
    pub(super) fn start_install(&mut self, installing: Installing) {
        let (path, content) = (self.manifest_path(), installing.manifest.to_bytes());
        let written = self.host.start_manifest(&path, &content);
        self.journal.append_only.rewrite.installing = Some(installing);
        if let Some(written) = written {
            self.installed(written);
        }
    }

    /// Part of each tick: takes note of how the manifests got to the disk. With `wait` it does so in any case.
    pub(super) fn finish_install(&mut self, wait: bool) {
        while let Some(installing) = &self.journal.append_only.rewrite.installing {
            let last = matches!(installing.step, Step::Tidied { .. });
            if last && !wait && self.has_unsafe_tail() {
                return;
            }
            let Some(written) = self.host.poll_manifest(wait) else {
                return;
            };
            self.installed(written);
        }
    }

    /// Whether what was acknowledged before a first file was whole is still on its way to the disk: under `always` the rewrite that made
    /// the file is not over before it is there.
    fn has_unsafe_tail(&mut self) -> bool {
        self.config.appendfsync == AppendFsync::Always
            && self.journal.append_only.state == State::On
            && (self.poll_sync() || self.journal.append_only.unsynced > 0)
    }

    fn installed(&mut self, written: Result<(), String>) {
        let Some(installing) = self.journal.append_only.rewrite.installing.take() else {
            return;
        };
        let Installing {
            manifest, since_ms, ..
        } = installing;
        match (installing.step, written) {
            (Step::Named { base, bytes }, Ok(())) => {
                let aof = &mut self.journal.append_only;
                aof.manifest = manifest;
                if aof.state == State::WaitRewrite && aof.file.is_none() {
                    tracing::warn!("{LOST}");
                    return self.install_failed(since_ms);
                }
                self.goes_on_behind(bytes);
                if since_ms.is_none() {
                    self.note_adopted(&base);
                }
                self.tidy(since_ms);
            }
            (Step::Named { base, .. }, Err(error)) => {
                tracing::warn!("{error}");
                // Where it was only the folder that could not be synced, the new manifest may be the one that is read next.
                if !self.is_named_on_disk(&manifest) {
                    self.host.remove_later(&base);
                }
                self.install_failed(since_ms);
            }
            (Step::Tidied { history }, Ok(())) => {
                self.journal.append_only.manifest = manifest;
                self.remove_parts(&history);
                self.rewrite_done(since_ms);
            }
            // They are still named as history: the next rewrite or start removes them.
            (Step::Tidied { .. }, Err(error)) => {
                tracing::warn!("{error}");
                self.rewrite_done(since_ms);
            }
        }
    }

    fn install_failed(&mut self, since_ms: Option<u64>) {
        if let Some(since_ms) = since_ms {
            return self.rewrite_over(since_ms, false, false);
        }
        self.drop_waiting();
        self.journal.append_only.rewrite.scheduled = true;
    }

    /// What the manifest on its way says is not waited for: it gets there, or the next one says it.
    pub(super) fn abandon_install(&mut self) {
        if let Some(installing) = self.journal.append_only.rewrite.installing.take()
            && matches!(installing.step, Step::Named { .. })
        {
            self.journal.append_only.manifest = installing.manifest;
        }
    }

    /// The file now consists of a base of so many bytes and what follows it.
    fn goes_on_behind(&mut self, base_bytes: u64) {
        let aof = &mut self.journal.append_only;
        if aof.state != State::Off {
            let waited = aof.state == State::WaitRewrite;
            aof.earlier_size = base_bytes;
            aof.base_size = aof.total_size();
            aof.state = State::On;
            // What came while the file was not whole was written, and nothing else.
            if waited {
                aof.unsynced = aof.size;
            }
            if !aof.rewrite.sync_failed_since && aof.trouble.sync.take().is_some() {
                tracing::warn!("AOF write error looks solved, Redis can write again.");
            }
        }
    }

    /// The files that are of no use any more leave the manifest, and then the disk.
    fn tidy(&mut self, since_ms: Option<u64>) {
        if self.config.aof_disable_auto_gc {
            return self.rewrite_done(since_ms);
        }
        let mut manifest = self.journal.append_only.manifest.clone();
        let history = manifest.take_history();
        self.start_install(Installing {
            manifest,
            since_ms,
            step: Step::Tidied { history },
        });
    }

    fn rewrite_done(&mut self, since_ms: Option<u64>) {
        self.note_base();
        if let Some(since_ms) = since_ms {
            tracing::info!("Background AOF rewrite finished successfully");
            self.rewrite_over(since_ms, true, false);
        }
    }

    /// The files that a rewrite leaves get their names.
    fn place_parts(&mut self, running: Running, waited: bool) -> Result<Installing, String> {
        if waited && self.journal.append_only.file.is_none() {
            return Err(LOST.to_owned());
        }
        let file_name = self.config.appendfilename.clone();
        let mut manifest = self.journal.append_only.manifest.clone();
        let name = manifest.add_base(&file_name, self.journal.append_only.rewrite.writes_dump);
        let base = self.part_path(&name);
        let start_us = self.host.mono_us();
        let base_bytes = self.host.place_base(running.pid, &base)?;
        let usec = self.host.mono_us().saturating_sub(start_us);
        self.note_latency("aof-rename", usec);
        let shown = String::from_utf8_lossy(&name);
        tracing::info!("Successfully renamed the temporary AOF base file into {shown}");
        if let Err(error) = self.place_waiting(waited, &mut manifest) {
            self.host.remove_later(&base);
            return Err(error);
        }
        manifest.retire_increments(usize::from(self.journal.append_only.file.is_some()));
        Ok(Installing {
            manifest,
            since_ms: Some(running.since_ms),
            step: Step::Named {
                base,
                bytes: base_bytes,
            },
        })
    }

    /// The increment of a file that was not whole gets its name.
    fn place_waiting(&mut self, waited: bool, manifest: &mut Manifest) -> Result<(), String> {
        if !waited {
            return Ok(());
        }
        self.flush(true);
        if self.journal.append_only.file.is_none() {
            return Err(LOST.to_owned());
        }
        let name = manifest.add_increment(&self.config.appendfilename);
        let (from, to) = (self.part_path(&self.waiting_name()), self.part_path(&name));
        self.host.rename_part(&from, &to)?;
        let shown = String::from_utf8_lossy(&name);
        tracing::info!("Successfully renamed the temporary AOF incr file into {shown}");
        Ok(())
    }

    /// The name of the increment of a file that is not whole yet.
    fn waiting_name(&self) -> Vec<u8> {
        [b"temp-", &self.config.appendfilename[..], b".incr"].concat()
    }

    /// What was written for a file that is not whole is of no use.
    pub(super) fn drop_waiting(&mut self) {
        let aof = &mut self.journal.append_only;
        if aof.state == State::On || aof.file.is_none() {
            return;
        }
        let old = aof.file.take();
        aof.unwritten = Unwritten::default();
        aof.size = 0;
        aof.unflushed = aof.given_up;
        self.host.free_later(vec![Box::new(old)]);
        self.remove_waiting();
    }

    pub(super) fn remove_waiting(&mut self) {
        let name = self.waiting_name();
        let shown = String::from_utf8_lossy(&name);
        tracing::info!("Removing the temp incr aof file {shown} in the background");
        let path = self.part_path(&name);
        self.host.remove_later(&path);
    }
}

/// BGREWRITEAOF
pub(crate) fn bgrewriteaof(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    const SCHEDULED: &str = "Background append only file rewriting scheduled";
    const STARTED: &str = "Background append only file rewriting started";
    let text = match engine.keeper.persistence.running {
        _ if engine.is_rewriting() => {
            return Err(Error::text(
                "ERR Background append only file rewriting already in progress",
            ));
        }
        // A transaction must not end in another file than it began in.
        running if running.is_some() || engine.journal.group.depth > 0 => {
            let aof = &mut engine.journal.append_only;
            aof.rewrite.scheduled = true;
            aof.rewrite.failures = 0;
            SCHEDULED
        }
        _ if engine.syncs_first() => {
            engine.journal.append_only.rewrite.failures = 0;
            STARTED
        }
        _ => {
            engine.start_rewrite().map_err(|_| {
                Error::text(
                    "ERR Can't execute an AOF background rewriting. Please check the server logs for more information.",
                )
            })?;
            engine.answer_when_begun(id);
            STARTED
        }
    };
    engine.sessions.clients[id].out.status(text);
    Ok(())
}
