//! What is left to the thread of the append-only file, so that clients are served meanwhile: under `everysec` the replies to a write may
//! leave before it is in the file, while the disk is at work. How long that may take is bounded here.

use std::sync::Arc;

use conf::AppendFsync;

use crate::Engine;
use crate::journal::append_only::{Beside, State};

/// How long what is to be written waits for a sync that is under way, and then how long its own writing is left to the other thread
/// before this one waits for it, seconds.
const POSTPONE_SECONDS: u64 = 2;
/// What has only waited for a write on the other thread is written there too from so many bytes on.
const MUCH_BYTES: usize = 64 * 1024;

impl Engine {
    /// Leaves what is to be written to the other thread, now or later: then there is no answer. Otherwise whether a sync is under way.
    pub(super) fn leave_to_other_thread(&mut self, force: bool) -> Option<bool> {
        let may_wait = self.config.appendfsync == AppendFsync::Everysec && !force;
        let was_beside = self.journal.append_only.beside.is_some();
        if !self.poll_write(false) {
            if may_wait && self.waits_for_write() {
                return None;
            }
            self.poll_write(true);
        }
        let syncing = self.poll_sync();
        let aof = &self.journal.append_only;
        let left = may_wait
            && !aof.given_up
            && !aof.unwritten.is_empty()
            && (syncing && self.waits_for_sync() || self.write_beside(was_beside));
        (!left).then_some(syncing)
    }

    /// A sync is under way: whether the write waits for it, since the system would make it wait in any case.
    fn waits_for_sync(&mut self) -> bool {
        let now = self.now.mono_s();
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

    /// The other thread writes: whether what came since waits for it.
    fn waits_for_write(&mut self) -> bool {
        let now = self.now.mono_s();
        let aof = &mut self.journal.append_only;
        let since = aof.beside.as_ref().map_or(now, |beside| beside.since);
        if now.saturating_sub(since) >= POSTPONE_SECONDS {
            aof.delayed_syncs += 1;
            tracing::info!(
                "Writing to the AOF is taking too long (disk is busy?). Clients wait for it now."
            );
            return false;
        }
        aof.postponed_since.get_or_insert(now);
        aof.unflushed = false;
        true
    }

    /// Whether the other thread writes what has waited for it: that may be so much that the system makes who writes it wait for the disk,
    /// and the replies to it have left already.
    fn write_beside(&mut self, was_beside: bool) -> bool {
        let aof = &self.journal.append_only;
        let much = !was_beside || aof.unwritten.len() >= MUCH_BYTES;
        if aof.postponed_since.is_none()
            || !much
            || !aof.flush_sleep.is_zero()
            || aof.state != State::On
        {
            return false;
        }
        self.note_place();
        let (upto, since) = (self.journal.replicas.offset(), self.now.mono_s());
        let aof = &mut self.journal.append_only;
        let Some(file) = &mut aof.file else {
            return false;
        };
        let bytes = aof.unwritten.len();
        let blocks = Arc::new(aof.unwritten.take());
        file.start_write(Arc::clone(&blocks));
        (aof.postponed_since, aof.unflushed) = (None, false);
        aof.beside = Some(Beside {
            blocks,
            bytes,
            upto,
            since,
        });
        true
    }

    /// Takes note of what the other thread has written. False while that is not known.
    pub(super) fn poll_write(&mut self, wait: bool) -> bool {
        let aof = &mut self.journal.append_only;
        let (Some(file), true) = (&mut aof.file, aof.beside.is_some()) else {
            return true;
        };
        let Some(written) = file.poll_write(wait) else {
            return false;
        };
        let Some(beside) = aof.beside.take() else {
            return true;
        };
        if let Err(error) = written {
            aof.unwritten.put_back(&beside.blocks);
            self.write_failed(error);
            return true;
        }
        self.wrote(beside.bytes);
        self.note_written_upto(beside.upto);
        self.host.free_later(vec![Box::new(beside.blocks)]);
        let syncing = self.poll_sync();
        self.sync_written(syncing);
        true
    }
}
