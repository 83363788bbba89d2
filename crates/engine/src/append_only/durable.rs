//! Up to which place in the stream everything is in the append-only file, and the file on the disk.

use conf::AppendFsync;

use crate::Engine;
use crate::host::{AppendFile, SyncState};
use crate::journal::append_only::State;
use crate::journal::durable::Old;

impl Engine {
    /// Up to which offset of the stream all is on the disk; none without an append-only file.
    pub(crate) fn durable_offset(&self) -> Option<u64> {
        let aof = &self.journal.append_only;
        (aof.state != State::Off).then_some(self.journal.durable.synced)
    }

    /// Whether our own file, where one is kept, holds what the stream for replicas held at `offset`. A write may wait for a sync while
    /// the replicas have it: if this process then ends and comes back, it is the only one without it, and they follow it.
    pub(crate) fn is_written(&self, offset: u64) -> bool {
        self.written_offset() >= offset
    }

    /// Up to where our own file, where one is kept, holds what the stream for replicas holds.
    pub(crate) fn written_offset(&self) -> u64 {
        let aof = &self.journal.append_only;
        if aof.state != State::On || aof.waiting() == 0 {
            return u64::MAX;
        }
        self.journal.durable.written
    }

    /// All that came before is in the file. Where it was on the disk already, what is new in the stream alone is too.
    pub(super) fn note_written(&mut self) {
        let aof = &self.journal.append_only;
        let safe = aof.unsynced == 0
            && aof.state == State::On
            && aof.trouble.sync.is_none()
            // Who waits for the first base waits until its rewrite is over.
            && aof.rewrite.installing.is_none()
            && self.config.appendfsync != AppendFsync::No;
        let durable = &mut self.journal.durable;
        durable.written = self.journal.replicas.offset();
        if safe && durable.syncing.is_none() && durable.old.is_empty() {
            durable.synced = durable.written;
        }
    }

    /// All up to there is in the file.
    pub(super) fn note_written_upto(&mut self, offset: u64) {
        self.journal.durable.written = offset;
    }

    /// What is in the file is about to be brought to the disk by the other thread.
    pub(super) fn note_sync_started(&mut self) {
        let durable = &mut self.journal.durable;
        durable.syncing = Some(durable.written);
    }

    /// The other thread has ended.
    pub(super) fn note_sync_ended(&mut self, ok: bool) {
        let durable = &mut self.journal.durable;
        let upto = durable.syncing.take();
        if let Some(upto) = upto.filter(|_| ok && durable.old.is_empty()) {
            durable.synced = durable.synced.max(upto);
            self.tell_durable();
        }
    }

    /// A file is written to no more. What it holds is brought to the disk, if it is not there.
    pub(super) fn retire_file(&mut self, file: Option<Box<dyn AppendFile>>, unsynced: bool) {
        let durable = &mut self.journal.durable;
        let syncing = durable.syncing.take().is_some();
        let Some(mut file) = file else { return };
        if !(unsynced || syncing) {
            return self.close_later(Some(file));
        }
        if !syncing {
            file.start_sync();
        }
        durable.old.push_back(Old {
            file,
            again: unsynced && syncing,
            upto: durable.written,
        });
    }

    /// Takes note of how the sync of the first file that is written to no more went.
    pub(super) fn poll_old(&mut self) {
        let Some(old) = self.journal.durable.old.front_mut() else {
            return;
        };
        let ended = match old.file.poll_sync() {
            SyncState::Running => return,
            SyncState::Idle => Ok(()),
            SyncState::Ended(result) => result.map(drop),
        };
        if std::mem::take(&mut old.again) && ended.is_ok() {
            return old.file.start_sync();
        }
        if let Some(old) = self.journal.durable.old.pop_front() {
            self.old_ended(old, ended);
        }
    }

    /// Waits until such files are on the disk.
    pub(super) fn finish_old(&mut self) {
        while let Some(mut old) = self.journal.durable.old.pop_front() {
            let ended = old.file.sync();
            self.old_ended(old, ended);
        }
    }

    fn old_ended(&mut self, old: Old, ended: Result<(), String>) {
        let upto = old.upto;
        self.close_later(Some(old.file));
        match ended {
            Ok(()) => {
                let durable = &mut self.journal.durable;
                durable.synced = durable.synced.max(upto);
                self.tell_durable();
            }
            Err(reason) => {
                // A base that is being written holds it too; until it is there nobody is to rely on it.
                tracing::warn!("Fail to fsync the AOF file: {reason}. It will be rewritten.");
                let rewriting = self.is_rewriting();
                self.journal.append_only.rewrite.scheduled |= !rewriting;
                self.sync_failed(reason);
            }
        }
    }

    /// What is in the file is on the disk.
    pub(super) fn note_synced(&mut self) {
        self.journal.durable.synced = self.journal.durable.written;
    }

    /// A child begins to write a base, or the primary has sent one that holds what is here.
    pub(super) fn note_forked(&mut self) {
        self.journal.durable.forked = self.journal.replicas.offset();
    }

    /// That base is in its place, on the disk.
    pub(super) fn note_base(&mut self) {
        let durable = &mut self.journal.durable;
        durable.synced = durable.synced.max(durable.forked);
    }

    /// Nothing that was known holds for what comes.
    pub(crate) fn forget_durable(&mut self) {
        for old in std::mem::take(&mut self.journal.durable).old {
            self.close_later(Some(old.file));
        }
    }

    /// More is safe: who waits for that here, or at our primary, is told.
    fn tell_durable(&mut self) {
        if !self.journal.replicas.waiters.is_empty() {
            self.serve_waiters();
        }
        if self.is_slave() {
            self.send_ack();
        }
    }
}
