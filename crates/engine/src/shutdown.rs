//! The end: SHUTDOWN, SIGTERM and SIGINT. Replicas that are behind are waited for, what is to be saved is saved, the process ends.

use commands::{Args, Done, Error, args};
use conf::ShutdownFlags;

use crate::client::Waiting;
use crate::{ClientId, Engine};

const FAILED: Error = Error::text("ERR Errors trying to SHUTDOWN. Check logs.");

/// A shutdown that waits for replicas. Meanwhile nobody writes.
#[derive(Debug)]
pub(crate) struct Shutdown {
    flags: ShutdownFlags,
    /// When it waits no longer ([`crate::Now::mono_ms`]).
    pub(crate) until_ms: u64,
    /// Clients that said SHUTDOWN: answered only where the server goes on.
    waiting: Vec<ClientId>,
}

impl Engine {
    /// Whether the process is about to end: everything that was to be saved is.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.keeper.persistence.ending
    }

    /// SIGINT or SIGTERM: as SHUTDOWN with the words that are configured for it. A second one waits for no replica. False where
    /// data could not be saved and the server goes on.
    pub fn terminate(&mut self, interrupted: bool) -> bool {
        if self.keeper.shutdown.is_some() {
            return self.finish_shutdown();
        }
        if self.switches.no_ticks {
            self.switches.signal = Some(interrupted);
            return true;
        }
        tracing::warn!("User requested shutdown...");
        let flags = if interrupted {
            self.config.shutdown_on_sigint
        } else {
            self.config.shutdown_on_sigterm
        };
        self.waits_for_replicas(flags) || self.prepare_end(flags)
    }

    /// Begins to wait for replicas that are behind, if there are any.
    fn waits_for_replicas(&mut self, flags: ShutdownFlags) -> bool {
        let timeout_ms = u64::from(self.config.shutdown_timeout) * 1000;
        if flags.contains(ShutdownFlags::NOW) || timeout_ms == 0 || self.lagging_replicas() == 0 {
            return false;
        }
        self.ask_for_acks();
        self.calm = false;
        self.keeper.shutdown = Some(Shutdown {
            flags,
            until_ms: self.now.mono_ms.saturating_add(timeout_ms),
            waiting: Vec::new(),
        });
        tracing::info!("Waiting for replicas before shutting down.");
        true
    }

    /// Part of each tick: a shutdown that has waited long enough.
    pub(crate) fn tick_shutdown(&mut self) {
        if let Some(interrupted) = self.switches.signal.take() {
            self.terminate(interrupted);
        }
        let now_ms = self.now.mono_ms;
        let due = |shutdown: &Shutdown| shutdown.until_ms <= now_ms;
        if self.keeper.shutdown.as_ref().is_some_and(due)
            || self.keeper.shutdown.is_some() && self.lagging_replicas() == 0
        {
            self.finish_shutdown();
        }
    }

    /// Ends the wait for replicas, and the process. False where it goes on.
    fn finish_shutdown(&mut self) -> bool {
        let Some(flags) = self.keeper.shutdown.as_ref().map(|shutdown| shutdown.flags) else {
            return false;
        };
        let all = self.journal.replicas.ids.len();
        let synced = all - self.lagging_replicas();
        self.log_lagging_replicas();
        if all > 0 {
            tracing::info!("{synced} of {all} replicas are in sync when shutting down.");
        }
        let ends = self.prepare_end(flags);
        if !ends {
            self.cancel_shutdown();
        }
        ends
    }

    /// The server goes on: those that said SHUTDOWN are told so. False where there was nothing to give up.
    fn cancel_shutdown(&mut self) -> bool {
        let Some(shutdown) = self.keeper.shutdown.take() else {
            return false;
        };
        for id in shutdown.waiting {
            let client = self.sessions.clients.get_mut(id);
            if let Some(client) = client.filter(|client| client.waiting == Waiting::Shutdown) {
                client.waiting = Waiting::No;
                self.output_of(id).error(FAILED.line());
                self.resume(id);
            }
        }
        self.resume_held();
        true
    }
}

/// SHUTDOWN [SAVE|NOSAVE] [NOW] [FORCE] [SAFE] [FAILOVER] | ABORT
pub(crate) fn shutdown(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let (flags, abort) = read(args)?;
    if flags.contains(ShutdownFlags::FAILOVER) {
        return Err(Error::text(if engine.keeper.cluster.is_none() {
            "ERR SHUTDOWN FAILOVER is only supported in cluster mode."
        } else {
            "ERR SHUTDOWN FAILOVER is not offered: run CLUSTER FAILOVER on a replica first."
        }));
    }
    if abort {
        let had_signal = engine.switches.signal.take().is_some();
        if !engine.cancel_shutdown() && !had_signal {
            return Err(Error::text("ERR No shutdown in progress."));
        }
        tracing::info!("Shutdown manually aborted.");
        engine.sessions.clients[id].out.ok();
        return Ok(());
    }
    if engine.keeper.shutdown.is_none() {
        tracing::warn!("User requested shutdown...");
        if !engine.waits_for_replicas(flags) {
            return if engine.prepare_end(flags) {
                Ok(())
            } else {
                Err(FAILED)
            };
        }
    }
    if let Some(shutdown) = &mut engine.keeper.shutdown {
        shutdown.waiting.push(id);
        engine.sessions.clients[id].waiting = Waiting::Shutdown;
    }
    Ok(())
}

fn read(args: Args<'_>) -> Result<(ShutdownFlags, bool), Error> {
    let words = [
        ("SAVE", ShutdownFlags::SAVE),
        ("NOSAVE", ShutdownFlags::NOSAVE),
        ("NOW", ShutdownFlags::NOW),
        ("FORCE", ShutdownFlags::FORCE),
        ("SAFE", ShutdownFlags::SAFE),
        ("FAILOVER", ShutdownFlags::FAILOVER),
    ];
    let (mut flags, mut abort) = (ShutdownFlags::default(), false);
    for &word in &args[1..] {
        if args::is(word, "ABORT") {
            abort = true;
            continue;
        }
        let known = words.iter().find(|(name, _)| args::is(word, name));
        let (_, flag) = known.ok_or(Error::Syntax)?;
        flags = flags | *flag;
    }
    let both = flags.contains(ShutdownFlags::SAVE | ShutdownFlags::NOSAVE);
    if both || abort && flags != ShutdownFlags::default() {
        return Err(Error::Syntax);
    }
    Ok((flags, abort))
}
