//! Writing the append-only file anew while the server goes on: a child writes what the dataset was; what was written meanwhile is at
//! the end of the old file, from where another thread adds it.

use commands::{Args, Done, Error};
use conf::AppendFsync;

use super::{AppendFile, Completed, Completion, State, Tail};
use crate::host::{ChildEnd, Job, RewriteRequest};
use crate::persistence::{Purpose, Running};
use crate::{ClientId, Engine, Source};

impl Engine {
    pub(crate) fn start_rewrite(&mut self) -> Result<(), String> {
        self.begin_rewrite(self.journal.append_only.state != State::Off)
    }

    /// `kept`: the file is one that this server goes on with.
    pub(super) fn begin_rewrite(&mut self, kept: bool) -> Result<(), String> {
        // What was done before the fork is in the new file: it goes to the old one now.
        self.open_group();
        let request = RewriteRequest {
            path: self.config.appendfilename.clone(),
            now_ms: self.now.unix_ms(),
            functions: self.library_codes(),
            sync_often: self.config.aof_rewrite_incremental_fsync,
        };
        self.journal.append_only.last_rewrite_try = self.now.unix_ms() / 1000;
        if kept && self.journal.append_only.state != State::On {
            // What is written until the new file is whole has to be somewhere.
            self.journal.append_only.file = Some(self.host.open_scratch()?);
            self.journal.append_only.size = 0;
            self.journal.append_only.buffer.clear();
        }
        let child = self
            .host
            .fork(&self.shard.keyspace, &Job::Rewrite(request))
            .inspect_err(|error| {
                tracing::warn!("Can't rewrite append only file in background: fork: {error}");
                self.journal.append_only.drop_tail();
            })?;
        tracing::info!(
            "Background append only file rewriting started by pid {}",
            child.pid
        );
        self.note_latency("fork", child.fork_us);
        self.keeper.persistence.fork_us = child.fork_us;
        self.set_child(Some(Running {
            purpose: Purpose::Rewrite,
            pid: child.pid,
            since_ms: self.now.unix_ms(),
            dirty: self.journal.dirty,
        }));
        let aof = &mut self.journal.append_only;
        aof.rewrite_scheduled = false;
        aof.encoder.reset();
        aof.tail = kept.then(|| Tail {
            start: aof.size + aof.buffer.len() as u64,
            // The transaction that is under way ends in the new file.
            before: if self.journal.group.opened {
                b"*1\r\n$5\r\nMULTI\r\n"
            } else {
                b""
            },
        });
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

    /// The child that wrote the new file has ended. True where what was written meanwhile is now added to the file, so that the rewrite
    /// goes on until [`Engine::complete_rewrite`] ends it.
    pub(crate) fn rewrite_ended(&mut self, running: Running, end: ChildEnd) -> bool {
        match end {
            ChildEnd::Done => {
                tracing::info!("Background AOF rewrite terminated with success");
                self.journal.append_only.copied_bytes = self.host.child_own_bytes();
                match self.begin_completion(running.pid) {
                    Ok(()) => return true,
                    Err(error) => tracing::warn!("{error}"),
                }
            }
            ChildEnd::Failed => tracing::warn!("Background AOF rewrite terminated with error"),
            ChildEnd::Killed(signal) => {
                tracing::warn!("Background AOF rewrite terminated by signal {signal}");
            }
        }
        self.note_rewrite(running, false);
        false
    }

    fn begin_completion(&mut self, pid: i32) -> Result<(), String> {
        let aof = &mut self.journal.append_only;
        let tail: Source = match (&aof.file, aof.tail) {
            (Some(file), Some(tail)) => Box::new(std::io::Read::chain(
                tail.before,
                file.read_from(tail.start),
            )),
            // A file that this server does not go on with, or one whose tail was lost.
            _ => Box::new(std::io::empty()),
        };
        aof.completion = Some(self.host.complete_rewrite(pid, tail)?);
        Ok(())
    }

    /// Part of each tick: once little is missing in the new file, it takes the place of the old one.
    pub(crate) fn complete_rewrite(&mut self) {
        let lost =
            self.journal.append_only.tail.is_none() && self.journal.append_only.state != State::Off;
        let Some(running) = self.keeper.persistence.running else {
            return;
        };
        let Some(completion) = &mut self.journal.append_only.completion else {
            return;
        };
        let added = match completion.poll() {
            None => return,
            Some(_) if lost => Err("What belongs into the rewritten AOF was lost".to_owned()),
            Some(added) => added,
        };
        let completion = self.journal.append_only.completion.take();
        let ok = added
            .and_then(|()| completion.map_or(Ok(()), |completion| self.install(completion)))
            .inspect_err(|error| tracing::warn!("{error}"))
            .is_ok();
        self.set_child(None);
        self.note_rewrite(running, ok);
        self.sync_child_ended(running.purpose, ok);
    }

    fn note_rewrite(&mut self, running: Running, ok: bool) {
        let seconds = self.now.unix_ms().saturating_sub(running.since_ms) / 1000;
        let aof = &mut self.journal.append_only;
        aof.tail = None;
        aof.last_rewrite_seconds = Some(seconds);
        aof.last_rewrite_failed = !ok;
        if !ok {
            aof.drop_tail();
        }
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

    /// Puts the new file in the place of the old one, once the little that is still missing is added.
    fn install(&mut self, completion: Box<dyn Completion>) -> Result<(), String> {
        let path = self.config.appendfilename.clone();
        let sync = self.config.appendfsync == AppendFsync::Always;
        let start_us = self.host.mono_us();
        let Completed {
            file,
            added,
            rename_us,
        } = completion.finish(&path, sync)?;
        let usec = self.host.mono_us().saturating_sub(start_us);
        self.note_latency("aof-rewrite-diff-write", usec.saturating_sub(rename_us));
        self.note_latency("aof-rename", rename_us);
        #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
        let megabytes = added as f64 / f64::from(1 << 20);
        tracing::info!(
            "Residual parent diff successfully flushed to the rewritten AOF ({megabytes:.2} MB)"
        );
        let size = self.file_size(&*file);
        let aof = &mut self.journal.append_only;
        let old = if aof.state == State::Off {
            Some(file)
        } else {
            aof.size = size;
            aof.base_size = size;
            // The last that was added is still to be brought to the disk.
            aof.unsynced = !sync;
            aof.state = State::On;
            let was_broken = aof.write_error.take().is_some() | aof.sync_error.take().is_some();
            if was_broken {
                tracing::warn!("AOF write error looks solved, Redis can write again.");
            }
            aof.file.replace(file)
        };
        // What could not be written to the old file, or had to wait, is in neither.
        self.flush(true);
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
