//! How a rewrite begins without a turn that waits for the disk. The increment that is to follow the new base is named before it is needed:
//! another thread brings that manifest to the disk, while all goes on into the increment that there is. Then the child is forked, and what
//! is written from the same turn on goes into the new increment. That waits until the old one is on the disk to its end, again another
//! thread's work, as it waits for every sync: for what ends too early is not loaded where something follows it.

use aof::Manifest;
use conf::AppendFsync;

use crate::host::AppendFile;
use crate::journal::append_only::{Next, State};
use crate::{ClientId, Engine};

/// For how long what belongs behind an increment waits until that is on the disk, before clients wait for it, seconds.
const OLD_SECONDS: u64 = 6;

impl Engine {
    /// Whether a rewrite has to wait for the name of its increment, which is on its way then.
    pub(super) fn names_first(&mut self) -> Result<bool, String> {
        if self.journal.append_only.state != State::On {
            return Ok(false);
        }
        if let Some(next) = &self.journal.append_only.rewrite.next {
            return Ok(!next.named);
        }
        if self.journal.append_only.trouble.write.is_some() {
            self.end_increment()?;
        }
        self.make_append_folder()?;
        let mut manifest = self.journal.append_only.manifest.clone();
        let name = manifest.add_increment(&self.config.appendfilename);
        let file = self.open_increment(&name)?;
        let (path, content) = (self.manifest_path(), manifest.to_bytes());
        self.journal.append_only.rewrite.next = Some(Next {
            file,
            name,
            manifest,
            named: false,
            asked: None,
        });
        if let Some(written) = self.host.start_manifest(&path, &content) {
            self.named(written)?;
        }
        Ok(self.is_naming())
    }

    pub(super) fn is_naming(&self) -> bool {
        let next = &self.journal.append_only.rewrite.next;
        next.as_ref().is_some_and(|next| !next.named)
    }

    pub(super) fn open_increment(&mut self, name: &[u8]) -> Result<Box<dyn AppendFile>, String> {
        let (path, shown) = (self.part_path(name), String::from_utf8_lossy(name));
        let file = self
            .host
            .open_append(&path, true)
            .map_err(|why| format!("Can't open the append-only file {shown}: {why}"))?;
        tracing::info!("Creating AOF incr file {shown} on background rewrite");
        Ok(file)
    }

    /// Part of each tick: takes note of how the name got to the disk.
    pub(super) fn poll_next(&mut self) {
        if self.is_naming()
            && let Some(written) = self.host.poll_manifest(false)
            && let Err(error) = self.named(written)
        {
            tracing::warn!("{error}");
        }
        self.answer_asked();
    }

    fn named(&mut self, written: Result<(), String>) -> Result<(), String> {
        let rewrite = &mut self.journal.append_only.rewrite;
        if written.is_ok() {
            if let Some(next) = &mut rewrite.next {
                next.named = true;
            }
            return written;
        }
        let Some(next) = rewrite.next.take() else {
            return written;
        };
        rewrite.scheduled = false;
        rewrite.syncs_first = None;
        self.rewrite_over(self.now.unix_ms(), false, false);
        if !self.is_named_on_disk(&next.manifest) {
            self.remove_increment(&next.name);
        }
        if let Some(id) = next.asked {
            self.wake(id);
        }
        written
    }

    /// The answer that a rewrite has begun leaves once its child runs, or cannot yet.
    pub(super) fn answer_when_begun(&mut self, id: ClientId) {
        if let Some(next) = &mut self.journal.append_only.rewrite.next {
            next.asked = Some(id);
        }
    }

    /// Whether a client waits for that.
    pub(crate) fn awaits_rewrite(&self, id: ClientId) -> bool {
        let next = &self.journal.append_only.rewrite.next;
        next.as_ref().is_some_and(|next| next.asked == Some(id))
    }

    /// Another child may have been started first, or this one could not be.
    fn answer_asked(&mut self) {
        let rewrite = &mut self.journal.append_only.rewrite;
        let waits = rewrite.syncs_first.is_some() && self.keeper.persistence.running.is_none();
        if let Some(next) = &mut rewrite.next
            && !waits
            && let Some(id) = next.asked.take()
        {
            self.wake(id);
        }
    }

    /// Another thread may have been at the disk: what has waited for it goes on. To be called while no command runs.
    ///
    /// False as with [`Engine::flush_append_only`].
    pub fn disk_went_on(&mut self) -> bool {
        self.finish_install(false);
        self.poll_next();
        let rewrite = &self.journal.append_only.rewrite;
        let waits = rewrite.next.is_some() && rewrite.syncs_first.is_some();
        let persistence = &self.keeper.persistence;
        if waits && persistence.running.is_none() && persistence.loading.is_none() {
            self.start_scheduled_rewrite();
            self.answer_asked();
        }
        self.flush_append_only()
    }

    /// What is written from now on goes into the increment that was named for it.
    pub(super) fn go_to_next(&mut self) {
        let Some(next) = self.journal.append_only.rewrite.next.take() else {
            return;
        };
        let now = self.now.mono_s();
        let aof = &mut self.journal.append_only;
        aof.manifest = next.manifest;
        aof.earlier_size += std::mem::take(&mut aof.size);
        let unsynced = std::mem::take(&mut aof.unsynced) > 0;
        aof.last_sync = now;
        let old = aof.file.replace(next.file);
        self.retire_file(old, unsynced);
        self.note_place();
        if let Some(id) = next.asked {
            self.wake(id);
        }
    }

    /// Under `always` what was acknowledged is on the disk, but for what another policy left: no reply may have to wait for that later.
    pub(super) fn finish_increment(&mut self) {
        if self.config.appendfsync != AppendFsync::Always
            || self.journal.append_only.trouble.sync.is_some()
            || !self.poll_sync() && self.journal.append_only.unsynced == 0
        {
            return;
        }
        let aof = &mut self.journal.append_only;
        if let Some(file) = &mut aof.file {
            match file.sync() {
                Ok(()) => aof.unsynced = 0,
                Err(reason) => self.sync_failed(reason),
            }
        }
    }

    /// Whether what is to be written waits for the end of the increment before.
    pub(super) fn waits_for_old(&mut self, force: bool) -> bool {
        self.poll_old();
        let now = self.now.mono_s();
        let aof = &mut self.journal.append_only;
        if self.journal.durable.old.is_empty() || aof.unwritten.is_empty() || aof.given_up {
            return aof.given_up;
        }
        let since = *aof.postponed_since.get_or_insert(now);
        let may_wait = !force && self.config.appendfsync != AppendFsync::Always;
        if may_wait && now.saturating_sub(since) < OLD_SECONDS {
            aof.unflushed = false;
            return true;
        }
        if may_wait {
            aof.delayed_syncs += 1;
            tracing::info!(
                "The AOF increment before a new one takes too long to get to the disk (disk is busy?). Clients wait for it now."
            );
        }
        self.finish_old();
        self.journal.append_only.given_up
    }

    /// The file is turned off, or begins anew: nobody waits for the name any more, which gets there or not.
    pub(super) fn abandon_next(&mut self) {
        if let Some(next) = self.journal.append_only.rewrite.next.take() {
            self.journal.append_only.manifest = next.manifest;
            if let Some(id) = next.asked {
                self.wake(id);
            }
        }
    }

    /// Whether the manifest that could not be brought to the disk is the one that is read, as long as the power holds.
    pub(super) fn is_named_on_disk(&self, manifest: &Manifest) -> bool {
        let read = self.host.read_file(&self.manifest_path());
        read.is_ok_and(|read| read == manifest.to_bytes())
    }

    /// An increment that nothing was written to is not needed after all.
    fn remove_increment(&mut self, name: &[u8]) {
        let path = self.part_path(name);
        self.host.remove_later(&path);
    }
}
