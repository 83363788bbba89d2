//! FAILOVER: a primary hands its place over to one of its replicas. Writes are held back until the replica has all of the stream; then
//! this server follows it, and its PSYNC tells the replica to be the primary.

use commands::{Args, Done, Error, args};
use commands::{Flags, Traits};

use crate::blocking::FORCED;
use crate::entry::Entry;
use crate::journal::replicas::ReplicaState;
use crate::keeper::failover::Failover;
use crate::sessions::client::Waiting;
use crate::{Client, ClientId, Engine};

impl Engine {
    /// `master_failover_state`
    pub(crate) fn failover_state(&self) -> &'static str {
        match &self.keeper.failover {
            None => "no-failover",
            Some(failover) if failover.under_way => "failover-in-progress",
            Some(_) => "waiting-for-sync",
        }
    }

    /// Whether both this server and the one that is to take its place may be replicas at the moment.
    pub(crate) fn is_handing_over(&self) -> bool {
        let failover = self.keeper.failover.as_ref();
        failover.is_some_and(|failover| failover.under_way)
    }

    fn is_at(client: &Client, host: &str, port: u16) -> bool {
        client.listening_port == port && client.replica_ip().eq_ignore_ascii_case(host)
    }

    /// The replica at an address; whether it reads the stream.
    fn replica_at(&self, host: &str, port: u16) -> Option<(ClientId, bool)> {
        let all = self.journal.replicas.ids.iter();
        let mut all = all.filter_map(|id| Some((*id, self.sessions.clients.get(*id)?)));
        let brings_dump = |client: &Client| {
            let replica = client.replica.as_deref();
            replica.is_some_and(|replica| replica.dump_only)
        };
        let (id, client) =
            all.find(|(_, client)| Self::is_at(client, host, port) && !brings_dump(client))?;
        let state = client.replica.as_ref()?.state;
        Some((id, state == ReplicaState::Online))
    }

    /// Whether a replica has all of the stream.
    fn has_all(&self, id: ClientId) -> bool {
        let offset = self.journal.replicas.offset();
        let client = self.sessions.clients.get(id);
        let replica = client.and_then(|client| client.replica.as_deref());
        replica.is_some_and(|replica| replica.has(offset))
    }

    /// The replica to take this place, if it is ready to.
    fn ready_target(&self, failover: &Failover) -> Option<(String, u16)> {
        if let Some((host, port)) = &failover.target {
            let (id, _) = self.replica_at(host, *port)?;
            return self.has_all(id).then(|| (host.clone(), *port));
        }
        let mut all = self.journal.replicas.ids.iter();
        let id = all.find(|id| self.has_all(**id))?;
        let client = self.sessions.clients.get(*id)?;
        Some((client.replica_ip(), client.listening_port))
    }

    /// At each tick, and when a replica has answered: goes on with a failover as soon as it can.
    pub(crate) fn tick_failover(&mut self) {
        let Some(failover) = &self.keeper.failover else {
            return;
        };
        if failover.under_way {
            // The target is asked again more often than once a second.
            self.reach_primary();
            return;
        }
        let over = failover
            .until_ms
            .is_some_and(|until| until <= self.now.mono_ms);
        if !over {
            if let Some((host, port)) = self.ready_target(failover) {
                tracing::info!("Failover target {host}:{port} is synced, failing over.");
                self.hand_over(&host, port);
            }
        } else if failover.force
            && let Some((host, port)) = failover.target.clone()
        {
            tracing::info!("FAILOVER to {host}:{port} time out exceeded, failing over.");
            self.hand_over(&host, port);
        } else {
            self.abort_failover("Replica never caught up before timeout");
        }
    }

    /// Follows the target. What clients wait for is decided when it has answered.
    fn hand_over(&mut self, host: &str, port: u16) {
        if let Some(failover) = &mut self.keeper.failover {
            failover.target = Some((host.to_owned(), port));
            failover.under_way = true;
        }
        self.turn_to(host, port);
    }

    /// The target has answered the PSYNC that told it to be the primary.
    pub(crate) fn failover_answered(&mut self, accepted: bool) {
        if !accepted {
            return self.abort_failover("Failover target rejected psync request");
        }
        if self.keeper.failover.take().is_some() {
            self.refuse_blocked();
            self.let_writes_go();
        }
    }

    /// This server stays the primary, or is it again.
    fn abort_failover(&mut self, why: &str) {
        let Some(failover) = self.keeper.failover.take() else {
            return;
        };
        tracing::info!("FAILOVER to {} aborted: {why}", failover.name());
        if failover.under_way {
            self.follow_nobody();
        }
        self.let_writes_go();
    }

    /// Requests that a pause holds back as well go on waiting: whoever asked for it, as sentinels do, sends their clients elsewhere
    /// before it ends, and none is to be refused meanwhile.
    fn let_writes_go(&mut self) {
        self.apply_expiry_rule();
        if self.sessions.paused_until_ms.is_none() {
            self.resume_held();
        }
    }

    // ---- clients that can be sent to the primary ---------------------------------------------------------------------------

    /// Whether this server would send a client to its primary rather than serve this request.
    pub(crate) fn redirects(&self, id: ClientId, entry: Entry, args: Args<'_>) -> bool {
        let client = &self.sessions.clients[id];
        let flags = client.flags;
        if !flags.redirect || flags.master || flags.internal || !self.is_slave() {
            return false;
        }
        let concerns = |entry: Entry, args: Args<'_>| {
            let wants = self.flags_of(entry, args);
            wants.has(Flags::WRITE) || wants.has(Flags::READONLY) && !flags.readonly
        };
        if !entry.command.traits.has(Traits::RUNS_QUEUE) {
            return concerns(entry, args);
        }
        let mut queue = client
            .transaction
            .multi
            .iter()
            .flat_map(|multi| &multi.queue);
        queue.any(|queued| {
            let words: Vec<&[u8]> = queued.args.iter().map(AsRef::as_ref).collect();
            concerns(self.index.entry(queued.number), &words)
        })
    }

    /// The error that names the primary.
    fn redirection(&self) -> Option<String> {
        let slave = self.keeper.slave.as_ref()?;
        Some(format!("REDIRECT {}:{}", slave.host, slave.port))
    }

    /// The gate for clients that can be sent to the primary.
    pub(crate) fn gate_redirect(
        &mut self,
        id: ClientId,
        entry: Entry,
        args: Args<'_>,
    ) -> Result<(), Error> {
        if self.keeper.cluster.is_some() || !self.redirects(id, entry, args) {
            return Ok(());
        }
        if entry.command.traits.has(Traits::RUNS_QUEUE) {
            self.drop_transaction(id);
        }
        self.redirection()
            .map_or(Ok(()), |line| Err(Error::owned(line)))
    }

    /// Ends the waits that a replica cannot serve. A cluster tells its clients where to go on; who wrote and waits for replicas is told
    /// and closed.
    pub(crate) fn refuse_blocked(&mut self) {
        if self.keeper.cluster.is_some() {
            self.redirect_blocked();
        } else {
            self.refuse_waiting_for_keys();
        }
        for id in self.stop_waiting_for_replicas() {
            self.output_of(id).error(FORCED);
            self.meter.stats.note_error(FORCED.as_bytes());
            self.close_after_reply(id);
        }
    }

    /// Who only reads goes on, who can be sent to the primary is, and all others are told and closed.
    fn refuse_waiting_for_keys(&mut self) {
        let primary = self.redirection();
        let mut refused = Vec::new();
        for (id, client) in self.sessions.clients.iter() {
            let Waiting::Keys(on) = &client.waiting else {
                continue;
            };
            let command = self.index.entry(on.request.number).command;
            if !client.flags.readonly || command.flags.has(Flags::WRITE) {
                refused.push((id, client.flags.redirect));
            }
        }
        for (id, redirect) in refused {
            match &primary {
                Some(line) if redirect => self.unblock_with_error(id, line),
                _ => {
                    self.unblock_with_error(id, FORCED);
                    self.close_after_reply(id);
                }
            }
        }
    }
}

/// What FAILOVER was asked for.
struct Wish<'a> {
    target: Option<(&'a [u8], i64)>,
    timeout_ms: Option<u64>,
    force: bool,
}

fn read(args: Args<'_>) -> Result<Wish<'_>, Error> {
    let mut reader = args::Reader::from(args, 1);
    let mut wish = Wish {
        target: None,
        timeout_ms: None,
        force: false,
    };
    while !reader.is_empty() {
        if wish.timeout_ms.is_none() && reader.takes_with("TIMEOUT", 1) {
            let outside = "ERR FAILOVER timeout must be greater than 0";
            let ms = reader.int_in(1..=i64::MAX, outside)?;
            wish.timeout_ms = Some(ms.unsigned_abs());
        } else if wish.target.is_none() && reader.takes_with("TO", 2) {
            wish.target = Some((reader.word()?, reader.int()?));
        } else if !wish.force && reader.takes("FORCE") {
            wish.force = true;
        } else {
            return Err(Error::Syntax);
        }
    }
    Ok(wish)
}

impl Engine {
    /// Whether a failover can begin, and to whom.
    fn gate_failover(&self, wish: &Wish<'_>) -> Result<Option<(String, u16)>, Error> {
        if self.keeper.failover.is_some() {
            return Err(Error::text("ERR FAILOVER already in progress."));
        }
        if self.is_slave() {
            return Err(Error::text(
                "ERR FAILOVER is not valid when server is a replica.",
            ));
        }
        if self.journal.replicas.ids.is_empty() {
            return Err(Error::text("ERR FAILOVER requires connected replicas."));
        }
        if wish.force && (wish.timeout_ms.is_none() || wish.target.is_none()) {
            return Err(Error::text(
                "ERR FAILOVER with force option requires both a timeout and target HOST and IP.",
            ));
        }
        let Some((host, port)) = wish.target else {
            return Ok(None);
        };
        let host = String::from_utf8_lossy(host).into_owned();
        let found = u16::try_from(port)
            .ok()
            .and_then(|port| Some((port, self.replica_at(&host, port)?)));
        match found {
            None => Err(Error::text(
                "ERR FAILOVER target HOST and PORT is not a replica.",
            )),
            Some((_, (_, false))) => Err(Error::text("ERR FAILOVER target replica is not online.")),
            Some((port, (_, true))) => Ok(Some((host, port))),
        }
    }
}

/// FAILOVER [TO host port [FORCE]] [TIMEOUT milliseconds] | ABORT
pub(crate) fn failover(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    if engine.keeper.cluster.is_some() {
        return Err(Error::text(
            "ERR FAILOVER not allowed in cluster mode. Use CLUSTER FAILOVER command instead.",
        ));
    }
    if args.len() == 2 && args::is(args[1], "ABORT") {
        if engine.keeper.failover.is_none() {
            return Err(Error::text("ERR No failover in progress."));
        }
        engine.abort_failover("Failover manually aborted");
        engine.sessions.clients[id].out.ok();
        return Ok(());
    }
    let wish = read(args)?;
    let target = engine.gate_failover(&wish)?;
    // The last bytes before writes are held back: replicas answer at once.
    engine.ask_for_acks();
    let failover = Failover {
        target,
        until_ms: wish
            .timeout_ms
            .map(|ms| engine.now.mono_ms.saturating_add(ms)),
        force: wish.force,
        under_way: false,
    };
    tracing::info!("FAILOVER requested to {}.", failover.name());
    engine.calm = false;
    engine.keeper.failover = Some(failover);
    engine.apply_expiry_rule();
    engine.sessions.clients[id].out.ok();
    Ok(())
}
