//! Writing the append-only file anew while the server goes on: a child writes what the dataset was, the server adds what was
//! written meanwhile.

use commands::{Args, Done, Error};

use super::{AppendFile, State, Tail};
use crate::host::{ChildEnd, Job, RewriteRequest};
use crate::persistence::{Purpose, Running};
use crate::{ClientId, Engine};

impl Engine {
    pub(crate) fn start_rewrite(&mut self) -> Result<(), String> {
        let request = RewriteRequest {
            path: self.config.appendfilename.clone(),
            now_ms: self.now.unix_ms(),
            sync_often: self.config.aof_rewrite_incremental_fsync,
        };
        self.journal.append_only.last_rewrite_try = self.now.unix_ms() / 1000;
        let child = self
            .host
            .fork(&self.shard.keyspace, &Job::Rewrite(request))
            .inspect_err(|error| {
                tracing::warn!("Can't rewrite append only file in background: fork: {error}");
            })?;
        tracing::info!(
            "Background append only file rewriting started by pid {}",
            child.pid
        );
        self.note_latency("fork", child.fork_us);
        self.keeper.persistence.fork_us = child.fork_us;
        self.keeper.persistence.running = Some(Running {
            purpose: Purpose::Rewrite,
            pid: child.pid,
            since_ms: self.now.unix_ms(),
            dirty: self.journal.dirty,
        });
        let mut tail = Tail::default();
        if self.journal.group.opened {
            // The transaction that is under way ends in the new file.
            tail.push(b"*1\r\n$5\r\nMULTI\r\n");
        }
        let aof = &mut self.journal.append_only;
        aof.rewrite_scheduled = false;
        aof.encoder.reset();
        aof.tail = Some(tail);
        Ok(())
    }

    /// Starts a rewrite that is due: one that was asked for while something else ran. Whether it did.
    pub(crate) fn start_scheduled_rewrite(&mut self) -> bool {
        let aof = &self.journal.append_only;
        let rested = self.now.unix_ms() / 1000 > aof.last_rewrite_try || !aof.last_rewrite_failed;
        // A fork that failed has been logged, and is tried again.
        aof.rewrite_scheduled && rested && self.start_rewrite().is_ok()
    }

    /// Starts a rewrite if the file has grown as much as the configuration allows.
    pub(crate) fn start_automatic_rewrite(&mut self) {
        let aof = &self.journal.append_only;
        let percentage = u64::from(self.config.auto_aof_rewrite_percentage);
        if aof.state != State::On
            || percentage == 0
            || aof.size <= self.config.auto_aof_rewrite_min_size
        {
            return;
        }
        let growth = (aof.size.saturating_mul(100) / aof.base_size.max(1)).saturating_sub(100);
        let rested = self.now.unix_ms() / 1000 > aof.last_rewrite_try;
        if growth >= percentage && rested {
            tracing::info!("Starting automatic rewriting of AOF on {growth}% growth");
            // It has been logged, and is tried again.
            let _ = self.start_rewrite();
        }
    }

    /// The child that wrote the new file has ended.
    pub(crate) fn rewrite_ended(&mut self, running: Running, end: ChildEnd) {
        let tail = self.journal.append_only.tail.take().unwrap_or_default();
        let ok = match end {
            ChildEnd::Done => {
                tracing::info!("Background AOF rewrite terminated with success");
                self.journal.append_only.copied_bytes = self.host.child_own_bytes();
                self.install(running.pid, &tail)
                    .inspect_err(|error| tracing::warn!("{error}"))
                    .is_ok()
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
        let seconds = self.now.unix_ms().saturating_sub(running.since_ms) / 1000;
        let aof = &mut self.journal.append_only;
        aof.last_rewrite_seconds = Some(seconds);
        aof.last_rewrite_failed = !ok;
        if aof.state == State::WaitRewrite || aof.sync_error.is_some() {
            aof.rewrite_scheduled = true;
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

    /// Puts the new file, with what was written meanwhile, in the place of the old one. It is synced before it has the name.
    fn install(&mut self, pid: i32, tail: &Tail) -> Result<(), String> {
        let path = self.config.appendfilename.clone();
        let start_us = self.host.mono_us();
        let (file, rename_us) = self.host.finish_rewrite(pid, &path, &tail.blocks)?;
        let usec = self.host.mono_us().saturating_sub(start_us);
        self.note_latency("aof-rewrite-diff-write", usec.saturating_sub(rename_us));
        self.note_latency("aof-rename", rename_us);
        #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
        let megabytes = tail.len as f64 / f64::from(1 << 20);
        tracing::info!(
            "Residual parent diff successfully flushed to the rewritten AOF ({megabytes:.2} MB)"
        );
        let now = self.now.unix_ms() / 1000;
        let size = self.file_size(&*file);
        let aof = &mut self.journal.append_only;
        let old = if aof.state == State::Off {
            Some(file)
        } else {
            aof.size = size;
            aof.base_size = aof.size;
            aof.buffer = Vec::new();
            (aof.unflushed, aof.unsynced, aof.last_sync) = (aof.given_up, false, now);
            aof.postponed_since = None;
            aof.encoder.reset();
            aof.state = State::On;
            let was_broken = aof.write_error.take().is_some() | aof.sync_error.take().is_some();
            if was_broken {
                tracing::warn!("AOF write error looks solved, Redis can write again.");
            }
            aof.file.replace(file)
        };
        self.close_later(old);
        tracing::info!("Background AOF rewrite finished successfully");
        Ok(())
    }
}

/// BGREWRITEAOF
pub(crate) fn bgrewriteaof(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    let text = match engine.keeper.persistence.running {
        Some(running) if running.purpose == Purpose::Rewrite => {
            return Err(Error::text(
                "ERR Background append only file rewriting already in progress",
            ));
        }
        Some(_) => {
            engine.journal.append_only.rewrite_scheduled = true;
            "Background append only file rewriting scheduled"
        }
        None => {
            engine.start_rewrite().map_err(|_| Error::text("ERR"))?;
            "Background append only file rewriting started"
        }
    };
    engine.sessions.clients[id].out.status(text);
    Ok(())
}
