//! The end: SHUTDOWN, SIGTERM and SIGINT. Replicas that are behind are waited for, a primary of a cluster may hand over to one of
//! them, what is to be saved is saved, the process ends.

use cluster_bus::NodeId;
use commands::{Args, Done, Error, args};
use conf::ShutdownFlags;

use crate::keeper::shutdown::{Shutdown, Stage};
use crate::sessions::client::Waiting;
use crate::{ClientId, Engine};

const FAILED: Error = Error::text("ERR Errors trying to SHUTDOWN. Check logs.");

/// The first version of Valkey whose replicas know when they are not meant by a hand-over.
const KNOWS_HAND_OVER: u32 = 0x0009_0000;

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
            self.log_replicas();
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
        self.begin_shutdown(flags)
    }

    /// Ends the process, or begins to wait until it may end. False where it cannot end.
    fn begin_shutdown(&mut self, flags: ShutdownFlags) -> bool {
        self.waits_for_replicas(flags) || self.hands_over(flags) || self.prepare_end(flags)
    }

    /// Begins to wait for replicas that are behind, if there are any.
    fn waits_for_replicas(&mut self, flags: ShutdownFlags) -> bool {
        let timeout_ms = u64::from(self.config.shutdown_timeout) * 1000;
        if flags.contains(ShutdownFlags::NOW) || timeout_ms == 0 || self.lagging_replicas() == 0 {
            return false;
        }
        self.ask_for_acks();
        self.shut_down_after(Stage::Replicas, flags, timeout_ms);
        tracing::info!("Waiting for replicas before shutting down.");
        true
    }

    fn shut_down_after(&mut self, stage: Stage, flags: ShutdownFlags, timeout_ms: u64) {
        self.calm = false;
        let before = self.keeper.shutdown.take();
        self.keeper.shutdown = Some(Shutdown {
            stage,
            flags,
            until_ms: self.now.mono_ms.saturating_add(timeout_ms),
            waiting: before.map_or_else(Vec::new, |before| before.waiting),
        });
    }

    /// A primary of a cluster lets a replica that has all its data take its place before it ends, if that is asked for. The word
    /// travels in the stream: what is written before it is there before it, and nothing is written behind it.
    fn hands_over(&mut self, flags: ShutdownFlags) -> bool {
        let node = self.keeper.cluster.as_ref();
        if !flags.contains(ShutdownFlags::FAILOVER) || node.is_none_or(|node| node.is_replica()) {
            return false;
        }
        let successor = match self.successor() {
            Ok(id) => id.to_string(),
            Err(why) => {
                tracing::info!("{why}");
                return false;
            }
        };
        let words = ["CLUSTER", "FAILOVER", "FORCE", "REPLICAID", &successor];
        self.feed_replicas(None, &words.map(str::as_bytes));
        tracing::info!("Perform auto failover to replica {successor} on shutdown.");
        self.shut_down_after(
            Stage::Successor,
            flags,
            self.config.cluster_manual_failover_timeout,
        );
        true
    }

    /// Which replica may take our place: one that lacks nothing. The word for it is for all of them, so all have to know it.
    fn successor(&self) -> Result<NodeId, &'static str> {
        let offset = self.journal.replicas.offset();
        let ids = self.journal.replicas.ids.iter();
        let replicas = ids.filter_map(|id| {
            let client = self.sessions.clients.get(*id)?;
            Some((client.replica.as_deref()?, client.announced.as_deref()))
        });
        let mut best = None;
        for (replica, announced) in replicas {
            if announced.is_none_or(|told| told.version < KNOWS_HAND_OVER) {
                return Err(
                    "Unable to perform auto failover on shutdown since there are legacy replicas.",
                );
            }
            let id = announced.and_then(|told| told.node_id);
            best = id.filter(|_| replica.has(offset)).or(best);
        }
        best.ok_or("Unable to find a replica to perform the auto failover on shutdown.")
    }

    /// At each tick, and when a replica has answered: a shutdown that has waited long enough.
    pub(crate) fn tick_shutdown(&mut self) {
        if let Some(interrupted) = self.switches.signal.take() {
            self.terminate(interrupted);
        }
        let Some(shutdown) = &self.keeper.shutdown else {
            return;
        };
        let (flags, late) = (shutdown.flags, shutdown.until_ms <= self.now.mono_ms);
        match shutdown.stage {
            Stage::Replicas if late || self.lagging_replicas() == 0 => {
                self.log_replicas();
                if !self.hands_over(flags) {
                    self.finish_shutdown();
                }
            }
            Stage::Successor if self.is_cluster_replica() => {
                tracing::info!("The replica has taken over.");
                self.finish_shutdown();
            }
            Stage::Successor if late => {
                tracing::warn!("The replica has not taken over in time.");
                self.finish_shutdown();
            }
            _ => {}
        }
    }

    fn log_replicas(&self) {
        let all = self.journal.replicas.ids.len();
        let synced = all - self.lagging_replicas();
        self.log_lagging_replicas();
        if all > 0 {
            tracing::info!("{synced} of {all} replicas are in sync when shutting down.");
        }
    }

    /// Ends the wait for replicas, and the process. False where it goes on.
    fn finish_shutdown(&mut self) -> bool {
        let Some(shutdown) = &self.keeper.shutdown else {
            return false;
        };
        let flags = shutdown.flags;
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
                self.meter.stats.note_error(&FAILED.line());
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
    if flags.contains(ShutdownFlags::FAILOVER) && engine.keeper.cluster.is_none() {
        return Err(Error::text(
            "ERR SHUTDOWN FAILOVER is only supported in cluster mode.",
        ));
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
        if !engine.begin_shutdown(flags) {
            return Err(FAILED);
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
