//! WAIT and WAITAOF: a client waits until enough servers have what it wrote, in memory or on the disk.

use commands::{Args, Done, Error, args};
use conf::WriteAcknowledge;

use crate::journal::replicas::ReplicaState;
use crate::master::health::TOO_FEW_REPLICAS;
use crate::meter::stats::CommandStats;
use crate::sessions::client::Waiting;
use crate::sessions::on_replicas::{Asked, OnReplicas};
use crate::{ClientId, Engine};

const NO_FILE: Error =
    Error::text("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.");

/// Who has a place of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holders {
    /// Whether our own disk has.
    here: bool,
    replicas: usize,
}

impl Engine {
    fn holders(&self, on: &OnReplicas) -> Holders {
        let replicas = self.journal.replicas.ids.iter();
        let replicas = replicas.filter_map(|id| self.sessions.clients.get(*id)?.replica.as_deref());
        let online = replicas.filter(|replica| replica.state == ReplicaState::Online);
        let has = online.filter(|replica| match on.on_disk {
            None => replica.has(on.offset),
            Some(_) => replica
                .acked_on_disk
                .is_some_and(|on_disk| on_disk >= on.offset),
        });
        Holders {
            here: self
                .durable_offset()
                .is_some_and(|durable| durable >= on.offset),
            replicas: has.count(),
        }
    }

    /// As WAIT may tell it: no replica counts while our own append-only file has yet to be given what it has.
    fn confirmed(&self, on: &OnReplicas) -> Holders {
        let holders = self.holders(on);
        if on.on_disk.is_some() || self.is_written(on.offset) {
            return holders;
        }
        Holders {
            replicas: 0,
            ..holders
        }
    }

    /// Whether a replica has the stream up to there, where any follows.
    pub(crate) fn is_followed(&self, offset: u64) -> bool {
        let replicas = self.journal.replicas.ids.iter();
        let replicas = replicas.filter_map(|id| self.sessions.clients.get(*id)?.replica.as_deref());
        let mut online = replicas
            .filter(|replica| replica.state == ReplicaState::Online)
            .peekable();
        online.peek().is_none() || online.any(|replica| replica.acked >= offset)
    }

    /// How many replicas have not yet said that they have the whole stream.
    pub(crate) fn lagging_replicas(&self) -> usize {
        let offset = self.journal.replicas.offset();
        let replicas = self.journal.replicas.ids.iter();
        let replicas = replicas.filter_map(|id| self.sessions.clients.get(*id)?.replica.as_deref());
        replicas.filter(|replica| replica.acked < offset).count()
    }

    /// Tells the log which replicas are behind, at the end.
    pub(crate) fn log_lagging_replicas(&self) {
        let offset = self.journal.replicas.offset();
        for id in &self.journal.replicas.ids {
            let client = self.sessions.clients.get(*id);
            let Some(replica) = client.and_then(|client| client.replica.as_deref()) else {
                continue;
            };
            if replica.acked >= offset {
                continue;
            }
            let lag = if replica.state == ReplicaState::Online {
                self.now.mono_ms.saturating_sub(replica.acked_ms) / 1000
            } else {
                0
            };
            tracing::info!(
                "Lagging replica {} reported offset {} behind master, lag={lag}, state={}.",
                self.replica_name(*id),
                offset.saturating_sub(replica.acked),
                replica.state_name()
            );
        }
    }

    /// What this client's writes may be in the stream up to. A script's commands may be anybody's.
    fn written_by(&self, id: ClientId) -> u64 {
        let client = &self.sessions.clients[id];
        if client.flags.internal {
            self.journal.replicas.offset()
        } else {
            client.seen_offset
        }
    }

    /// Answers at once where that can be done, or lets the client wait.
    fn wait_for(&mut self, id: ClientId, on: OnReplicas) {
        let holders = self.confirmed(&on);
        if is_enough(&on, holders) || self.must_not_wait() {
            return self.answer_wait(id, &on, holders);
        }
        self.begin_wait(id, on);
    }

    pub(crate) fn is_in_wait(&self, id: ClientId) -> bool {
        let client = self.sessions.clients.get(id);
        client.is_some_and(|client| matches!(client.waiting, Waiting::Replicas(_)))
    }

    /// Whether what runs is a part of a transaction or a script.
    pub(crate) fn must_not_wait(&self) -> bool {
        self.journal.group.depth > 0 || self.in_script()
    }

    fn begin_wait(&mut self, id: ClientId, on: OnReplicas) {
        self.sessions.clients[id].waiting = Waiting::Replicas(Box::new(on));
        self.journal.replicas.waiters.push(id);
        self.ask_for_acks();
    }

    /// CLUSTER SETSLOT is on its way to so many replicas: it is run here once they have it, or refused.
    pub(crate) fn run_once_followed(
        &mut self,
        id: ClientId,
        args: Args<'_>,
        count: usize,
        timeout_ms: u64,
    ) {
        let on = OnReplicas {
            offset: self.journal.replicas.offset(),
            count,
            or_fail: false,
            on_disk: None,
            until_ms: (timeout_ms > 0).then(|| self.now.mono_ms.saturating_add(timeout_ms)),
            setslot: Some(args.iter().map(|&word| word.into()).collect()),
            asked: None,
        };
        self.begin_wait(id, on);
    }

    /// Asks the replicas how far they are. While writes are held back nothing goes into the stream: they tell by themselves.
    pub(crate) fn ask_for_acks(&mut self) {
        if !self.holds_writes() {
            self.feed_replicas(None, &[b"REPLCONF", b"GETACK", b"*"]);
            self.note_place();
        }
    }

    fn answer_wait(&mut self, id: ClientId, on: &OnReplicas, holders: Holders) {
        if let Some(words) = &on.setslot {
            let words: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
            let done = if is_enough(on, holders) {
                self.do_setslot(id, &words)
            } else {
                Err(TOO_FEW_REPLICAS)
            };
            if let Err(error) = done {
                self.refuse(id, &error);
            }
            return;
        }
        let out = &mut self.sessions.clients[id].out;
        if on.or_fail && holders.replicas < on.count {
            let (has, wanted) = (holders.replicas, on.count);
            return out.error(format!(
                "NOREPLICAS The writes are on {has} replicas, {wanted} were asked for."
            ));
        }
        if on.on_disk.is_some() {
            out.array(2);
            out.int(holders.here.into());
        }
        out.count(holders.replicas);
    }

    /// Answers the clients for whom enough servers have caught up, or whose time is over.
    pub(crate) fn serve_waiters(&mut self) {
        let now_ms = self.now.mono_ms;
        for id in self.journal.replicas.waiters.clone() {
            let waiting = self.sessions.clients.get(id).map(|client| &client.waiting);
            let Some(Waiting::Replicas(on)) = waiting else {
                self.journal.replicas.waiters.retain(|other| *other != id);
                continue;
            };
            let holders = self.confirmed(on);
            let over = on.until_ms.is_some_and(|until| until <= now_ms);
            let no_file = on.on_disk == Some(true) && !self.config.appendonly;
            if !no_file && !over && !is_enough(on, holders) {
                continue;
            }
            let client = &mut self.sessions.clients[id];
            let unsent = client.out.len();
            let mut waiting = std::mem::take(&mut client.waiting);
            let asked = match &mut waiting {
                Waiting::Replicas(on) => on.asked.take(),
                _ => None,
            };
            self.answer_late(id, |engine| match waiting {
                Waiting::Replicas(_) if no_file => {
                    engine.sessions.clients[id].out.error(NO_FILE.line());
                    engine.meter.stats.note_error(&NO_FILE.line());
                }
                Waiting::Replicas(on) => engine.answer_wait(id, &on, holders),
                _ => {}
            });
            self.count_asked(id, asked, unsent);
            self.journal.replicas.waiters.retain(|other| *other != id);
            self.wake(id);
            self.resume(id);
        }
    }

    /// Answers an error to a client that waits for replicas, and ends its wait: one more call, which was refused.
    pub(crate) fn unblock_waiter_with_error(&mut self, id: ClientId, error: &str) {
        let client = &mut self.sessions.clients[id];
        let unsent = client.out.len();
        let asked = match std::mem::take(&mut client.waiting) {
            Waiting::Replicas(on) => on.asked,
            _ => None,
        };
        self.journal.replicas.waiters.retain(|other| *other != id);
        self.answer_late(id, |engine| engine.output_of(id).error(error));
        self.count_asked(id, asked, unsent);
        self.meter.stats.note_error(error.as_bytes());
        self.meter.stats.commands += 1;
        self.sessions.clients[id].traffic.commands += 1;
        if let Some(stats) = self.stats_of_last(id) {
            stats.calls += 1;
            stats.rejected += 1;
            stats.times.add(0);
        }
        self.wake(id);
        self.resume(id);
    }

    /// The wait of WAIT or WAITAOF has ended: it counts as a call. `unsent` bytes of replies were there before its own.
    fn count_asked(&mut self, id: ClientId, asked: Option<Asked>, unsent: usize) {
        if let Some(asked) = asked {
            self.count_waited(id, asked.number, &asked.words, asked.ns, unsent);
        }
    }

    /// What is counted of the command that a client ran last.
    pub(crate) fn stats_of_last(&mut self, id: ClientId) -> Option<&mut CommandStats> {
        let name = self.sessions.clients.get(id)?.last_command;
        let entry = self.index.find(name.as_bytes())?;
        self.meter.stats.per_command.get_mut(entry.number)
    }

    /// Nobody waits for replicas any more: who did.
    pub(crate) fn stop_waiting_for_replicas(&mut self) -> Vec<ClientId> {
        let mut ids = std::mem::take(&mut self.journal.replicas.waiters);
        ids.retain(|id| {
            let client = self.sessions.clients.get_mut(*id);
            let waiting = client.map(|client| &mut client.waiting);
            waiting.is_some_and(|waiting| {
                let waits = matches!(waiting, Waiting::Replicas(_));
                if waits {
                    *waiting = Waiting::No;
                }
                waits
            })
        });
        ids
    }

    fn until(&self, timeout: &[u8]) -> Result<Option<u64>, Error> {
        let out_of_range = Error::text("ERR timeout is not an integer or out of range");
        let timeout_ms = args::int(timeout).map_err(|_| out_of_range)?;
        let timeout_ms =
            u64::try_from(timeout_ms).map_err(|_| Error::text("ERR timeout is negative"))?;
        let end = self.now.unix_ms().saturating_add(timeout_ms);
        if i64::try_from(end).is_err() {
            return Err(Error::text("ERR timeout is out of range"));
        }
        Ok((timeout_ms > 0).then(|| self.now.mono_ms.saturating_add(timeout_ms)))
    }
}

fn is_enough(on: &OnReplicas, holders: Holders) -> bool {
    holders.replicas >= on.count && (holders.here || on.on_disk != Some(true))
}

/// WAIT replicas|majority|all milliseconds
pub(crate) fn wait(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    if engine.is_slave() {
        return Err(Error::text(
            "ERR WAIT cannot be used with replica instances. Please also note that if a replica is configured to be writable (which \
             is not the default) writes to replicas are just local and are not propagated.",
        ));
    }
    let level = match args[1] {
        word if args::is(word, "MAJORITY") => Some(WriteAcknowledge::Majority),
        word if args::is(word, "ALL") => Some(WriteAcknowledge::All),
        _ => None,
    };
    let count = match level {
        Some(level) => engine.wanted_replicas(level),
        None => usize::try_from(args::int(args[1])?).unwrap_or(0),
    };
    let on = OnReplicas {
        offset: engine.written_by(id),
        count,
        or_fail: level.is_some(),
        on_disk: None,
        until_ms: engine.until(args[2])?,
        setslot: None,
        asked: None,
    };
    engine.wait_for(id, on);
    Ok(())
}

/// WAITAOF local replicas milliseconds
pub(crate) fn waitaof(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let mut reader = args::Reader::from(args, 1);
    let outside = "ERR value is out of range, value must between 0 and 1";
    let here = reader.int_in(0..=1, outside)? == 1;
    let count = reader
        .int()
        .ok()
        .and_then(|count| usize::try_from(count).ok())
        .ok_or(Error::text("ERR value is out of range, must be positive"))?;
    let until_ms = engine.until(args[3])?;
    if engine.is_slave() {
        return Err(Error::text(
            "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local and are not \
             propagated.",
        ));
    }
    if here && !engine.config.appendonly {
        return Err(NO_FILE);
    }
    let on = OnReplicas {
        offset: engine.written_by(id),
        count,
        or_fail: false,
        on_disk: Some(here),
        until_ms,
        setslot: None,
        asked: None,
    };
    engine.wait_for(id, on);
    Ok(())
}
