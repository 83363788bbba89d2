//! One request: the gates it passes, in order, and the call.

use cluster_bus::Slot;
use commands::{Args, Ctx, Error, Flags, Propagation, Traits, args};
use resp::{Protocol, Reply};
use store::ExpiryMode;

use crate::configure::is_permitted;
use crate::entry::{self, Entry, Runner};
use crate::meter::command_logs::LogKind;
use crate::sessions::client::Quiet;
use crate::{ClientId, Engine, describe};

/// The latency monitor counts in milliseconds.
const LATENCY_FROM_US: u64 = 1000;

const NO_AUTH: Error = Error::text("NOAUTH Authentication required.");
/// What goes the short way although it is no data command.
const PLAIN_OR_SCRIPT: Traits = Traits::PLAIN.with(Traits::RUNS_SCRIPT);
/// What a queued command is answered.
const QUEUED_BYTES: usize = "+QUEUED\r\n".len();
/// The codes of errors that send a client to another server, or say that no server can help.
const ELSEWHERE: [&str; 6] = [
    "MOVED",
    "ASK",
    "CROSSSLOT",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "REDIRECT",
];
/// Nothing that is shorter has a large request of many words.
pub(crate) const LARGE_FROM_NS: u64 = 20_000;

impl Engine {
    /// Runs one request of a client. False where it has to wait before it runs: then it is run again later.
    pub(crate) fn request(&mut self, id: ClientId, args: Args<'_>) -> bool {
        self.request_found(id, self.index.find(args[0]), args)
    }

    /// The same where the command that its first word names has been looked up.
    #[inline]
    pub(crate) fn request_found(
        &mut self,
        id: ClientId,
        found: Option<Entry>,
        args: Args<'_>,
    ) -> bool {
        let Some(entry) = found else {
            return self.request_unknown(id, args, None);
        };
        let entry = match entry::resolve(entry, args) {
            Ok(entry) => entry,
            Err(error) => return self.request_unknown(id, args, Some(&error)),
        };
        if self.calm && self.is_plain(id, entry, args) && self.is_let_through(entry, args) {
            self.sessions.clients[id].last_command = entry.command.name;
            if let Err(error) = self.gate_access(id, entry, args) {
                self.meter.stats.per_command[entry.number].rejected += 1;
                self.refuse(id, &error);
                return true;
            }
            debug_assert!(self.gates(id, entry, args).is_ok(), "{:?}", entry.command);
            self.call(id, entry, args);
            self.note_offset(id);
            if !self.calm {
                // A script has run, and who was served meanwhile waits for something.
                self.serve_blocked();
            }
            return true;
        }
        self.request_through_gates(id, entry, args)
    }

    /// There is no such command, or it has no such subcommand.
    #[cold]
    fn request_unknown(&mut self, id: ClientId, args: Args<'_>, error: Option<&Error>) -> bool {
        let lacks_password = self.lacks_password(id);
        let before = self.replica_output(id);
        let answer = |engine: &mut Self| {
            match error {
                _ if lacks_password && !is_foreign(args[0]) => engine.refuse(id, &NO_AUTH),
                None => engine.unknown(id, args),
                Some(error) => engine.refuse(id, error),
            }
            true
        };
        self.as_asked(id, false, answer);
        if let Some(before) = before {
            self.cut_off_talking_replica(id, before);
        }
        self.end_asking(id, Traits::default());
        true
    }

    /// The long way, for whatever is not plain.
    #[inline(never)]
    fn request_through_gates(&mut self, id: ClientId, entry: Entry, args: Args<'_>) -> bool {
        let client = &self.sessions.clients[id];
        let is_told = client.subscriptions.is_some()
            || client.flags.quiet != Quiet::No && client.tracking.is_some();
        let protocol = client.out.protocol();
        // With RESP2 a transaction alone may subscribe and do something else as well.
        let in_transaction = entry.command.traits.has(Traits::RUNS_QUEUE);
        if !in_transaction && (protocol == Protocol::Resp2 || !is_told) {
            return self.request_loud_or_quiet(id, entry, args);
        }
        // Messages that the request sends to its own client would tear its reply apart.
        let behind = Reply::speaking(protocol);
        let outer = self.sessions.serving.replace((id, behind));
        let ran = self.request_loud_or_quiet(id, entry, args);
        let served = std::mem::replace(&mut self.sessions.serving, outer);
        if let (Some((_, behind)), Some(client)) = (served, self.sessions.clients.get_mut(id))
            && !behind.is_empty()
        {
            client.out.append(behind);
        }
        ran
    }

    fn request_loud_or_quiet(&mut self, id: ClientId, entry: Entry, args: Args<'_>) -> bool {
        // What SUBSCRIBE and its like answer are messages.
        let command = entry.command;
        let messages = command.flags.has(Flags::PUBSUB)
            && command.traits.has(Traits::IN_SUBSCRIBED)
            && self.sessions.clients[id].transaction.multi.is_none();
        self.as_asked(id, messages, |engine| {
            engine.run_through_gates(id, entry, args)
        })
    }

    /// Runs what answers a client, and leaves the answer out where CLIENT REPLY asked for that.
    fn as_asked(
        &mut self,
        id: ClientId,
        messages: bool,
        run: impl FnOnce(&mut Self) -> bool,
    ) -> bool {
        if self.sessions.clients[id].flags.quiet == Quiet::No {
            run(self)
        } else {
            self.quietly(id, messages, run)
        }
    }

    /// The same for what a request is answered that had to wait.
    pub(crate) fn answer_late(&mut self, id: ClientId, answer: impl FnOnce(&mut Self)) {
        self.as_asked(id, false, |engine| {
            answer(engine);
            true
        });
    }

    /// Leaves out the reply of what runs, as CLIENT REPLY asked for. Messages go on coming.
    fn quietly(
        &mut self,
        id: ClientId,
        messages: bool,
        run: impl FnOnce(&mut Self) -> bool,
    ) -> bool {
        let client = &mut self.sessions.clients[id];
        let (before, imports) = (client.flags.quiet, client.flags.imports);
        let apart = Reply::speaking(client.out.protocol());
        let kept = std::mem::replace(&mut client.out, apart);
        let ran = run(self);
        let mut refused = None;
        if let Some(client) = self.sessions.clients.get_mut(id) {
            let protocol = client.out.protocol();
            let mut written = std::mem::replace(&mut client.out, kept);
            client.out.set_protocol(protocol);
            let is_error = (written.chunks().next()).is_some_and(|chunk| chunk.starts_with(b"-"));
            if imports && is_error {
                refused = Some(written.flatten().to_vec());
            }
            if client.flags.quiet == Quiet::No || messages && !is_error {
                client.out.append(written);
            }
            if ran && before == Quiet::Next && !client.waiting.is_for_answer() {
                client.flags.quiet = client.flags.quiet.after_request();
            }
        }
        if let Some(line) = refused {
            self.import_refused(id, &line);
        }
        ran
    }

    fn run_through_gates(&mut self, id: ClientId, entry: Entry, args: Args<'_>) -> bool {
        self.sessions.clients[id].last_command = entry.command.name;
        if self.awaits_primary(id, entry, args)
            || self.is_throttled(id, entry, args)
            || self.touches_moving(id, entry, args)
            || self.writes_moving_slot(id, entry, args)
        {
            self.hold(id);
            return false;
        }
        let before = self.replica_output(id);
        if !self.answer(id, entry, args) {
            return false;
        }
        if let Some(before) = before {
            self.cut_off_talking_replica(id, before);
        }
        self.end_asking(id, entry.command.traits);
        if self.sessions.tracking.is_used() && !entry.command.traits.has(Traits::KEEPS_CACHING) {
            self.end_caching(id);
        }
        if !self.in_script() {
            self.serve_blocked();
        }
        true
    }

    /// Refuses, queues or runs a request. False where a pause holds it back, as it does with nothing that is refused.
    fn answer(&mut self, id: ClientId, entry: Entry, args: Args<'_>) -> bool {
        let gates = self.gates(id, entry, args);
        if gates.is_ok() && self.is_paused(id, entry, args) {
            self.hold(id);
            return false;
        }
        if self.is_audited(id, entry) {
            self.audit(id, entry, args, gates.as_ref().err());
        }
        if let Err(error) = gates {
            self.meter.stats.per_command[entry.number].rejected += 1;
            if entry.command.traits.has(Traits::RUNS_QUEUE) {
                self.refuse_exec(id, args, &error);
            } else {
                self.refuse(id, &error);
            }
            return true;
        }
        if self.sessions.clients[id].transaction.multi.is_some()
            && !entry.command.traits.has(Traits::NOT_QUEUED)
        {
            self.queue(id, entry, args);
            if let Some(slot) = self.counted_slot(id, entry, args) {
                self.note_slot_usage(slot, entry, args, 0, QUEUED_BYTES);
            }
            return true;
        }
        self.calm = self.is_calm();
        self.call(id, entry, args);
        // WAIT itself puts a question to the replicas into the stream.
        if !entry.command.traits.has(Traits::KEEPS_OFFSET) {
            self.note_offset(id);
        }
        true
    }

    /// Answers an error instead of running a request. An open transaction will not run.
    pub(crate) fn refuse(&mut self, id: ClientId, error: &Error) {
        self.break_transaction(id);
        self.sessions.clients[id].out.error(error.line());
        self.meter.stats.note_error(&error.line());
    }

    /// EXEC that may not run ends its transaction, and tells why.
    fn refuse_exec(&mut self, id: ClientId, args: Args<'_>, error: &Error) {
        self.drop_transaction(id);
        let line = error.line();
        let code = line.split(|byte| *byte == b' ').next().unwrap_or_default();
        if ELSEWHERE.iter().any(|known| known.as_bytes() == code) {
            // Where it is to go is told as it is.
            return self.refuse(id, error);
        }
        let reason = line.strip_prefix(b"ERR ").unwrap_or(&line);
        let before = "EXECABORT Transaction discarded because of: ";
        self.refuse(id, &Error::quoting(before, reason, ""));
        self.tell_monitors(id, args);
    }

    /// ASKING holds for one request, whatever becomes of it, or for a whole transaction.
    fn end_asking(&mut self, id: ClientId, traits: Traits) {
        if let Some(client) = self.sessions.clients.get_mut(id)
            && client.transaction.multi.is_none()
            && !traits.has(Traits::KEEPS_ASKING)
        {
            client.flags.asking = false;
        }
    }

    /// What WAIT will wait for: what was in the stream after this client's last command.
    #[inline]
    pub(crate) fn note_offset(&mut self, id: ClientId) {
        if let Some(client) = self.sessions.clients.get_mut(id) {
            client.seen_offset = self.journal.replicas.offset();
        }
    }

    /// Whether none of the server's gates is closed to anybody, or will be after data commands. Looked at once, until something
    /// else than a data command runs ([`Engine::set_now`]).
    fn is_calm(&self) -> bool {
        self.sessions.paused_until_ms.is_none()
            && self.config.audit_log != conf::AuditLog::Dangerous
            && self.keeper.shutdown.is_none()
            && self.keeper.failover.is_none()
            && !self.journal.throttle.is_on()
            && self.keeper.transfers.moving.is_empty()
            && self.keeper.migrations.paused_until_ms().is_none()
            && self.gate_disk().is_ok()
            && self.keeper.persistence.loading.is_none()
            && self.scripting.running.is_none()
            && !self.shard.effects.blocking
            && self.sessions.ready.is_empty()
    }

    /// Whether this is a data command, a script, or something as plain, with the right number of words, from a client that is nothing
    /// special: then no gate but those of [`Engine::is_calm`] matters.
    #[inline]
    fn is_plain(&self, id: ClientId, entry: Entry, args: Args<'_>) -> bool {
        let traits = entry.command.traits;
        (matches!(entry.runner, Runner::Data(_)) || traits.has(PLAIN_OR_SCRIPT))
            && entry.command.accepts(args.len())
            && self.sessions.clients[id].is_ordinary()
            && !self.lacks_password(id)
            && !(self.is_slave() && self.sessions.clients[id].flags.redirect)
    }

    /// Whether the gates that look at a plain request, or at what may change with each, are open to it: that of a cluster, of a
    /// replica, of memory, and of a primary that wants replicas.
    #[inline]
    pub(crate) fn is_let_through(&self, entry: Entry, args: Args<'_>) -> bool {
        if let Some(node) = &self.keeper.cluster {
            let db = self.shard.keyspace.db_ref(0);
            let key = entry.single_key.and_then(|at| args.get(at));
            let slot = key.and_then(|key| Slot::new(db.slot_of(key)));
            if !slot.is_some_and(|slot| node.is_settled(slot)) {
                return false;
            }
        }
        let flags = entry.command.flags;
        let writes = flags.has(Flags::WRITE);
        (!self.is_slave() || !writes && self.is_linked())
            && (self.config.maxmemory == 0 || !flags.has(Flags::DENYOOM) || self.has_room())
            && (!writes || !self.wants_replicas())
            && (!entry.command.traits.has(Traits::RUNS_SCRIPT) || self.lets_scripts_through())
    }

    /// Whether no gate is closed to any script, whatever it declares.
    fn lets_scripts_through(&self) -> bool {
        !self.is_slave()
            && self.config.maxmemory == 0
            && !self.wants_replicas()
            && self.keeper.cluster.is_none()
    }

    fn unknown(&mut self, id: ClientId, args: Args<'_>) {
        let name = args[0];
        self.sessions.clients[id].last_command = "NULL";
        if is_foreign(name) {
            let addr = &self.sessions.clients[id].peer.addr;
            tracing::warn!(
                "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands to Redis. \
                 This is likely due to an attacker attempting to use Cross Protocol Scripting to compromise your Redis instance. \
                 Connection from {addr} aborted."
            );
            self.close_now(id);
        } else {
            self.break_transaction(id);
            let error = unknown_command(args);
            self.sessions.clients[id].out.error(error.line());
            self.meter.stats.note_error(&error.line());
        }
    }

    /// The gates between a request and its command, in the order of Valkey.
    pub(crate) fn gates(
        &mut self,
        id: ClientId,
        entry: Entry,
        args: Args<'_>,
    ) -> Result<(), Error> {
        let command = entry.command;
        if self.lacks_password(id) && !command.flags.has(Flags::NO_AUTH) {
            return Err(NO_AUTH);
        }
        if !command.accepts(args.len()) {
            return Err(wrong_arity(entry));
        }
        self.gate_enabled(id, command.traits)?;
        let flags = self.sessions.clients[id].flags;
        let from_master = flags.master;
        if from_master && !command.may_be_streamed() {
            return Err(self.refuse_from_master(entry));
        }
        if self.sessions.clients[id].transaction.multi.is_some()
            && command.flags.has(Flags::NO_MULTI)
        {
            let name = command.name;
            return Err(Error::owned(format!(
                "ERR Command '{name}' not allowed inside a transaction"
            )));
        }
        self.gate_access(id, entry, args)?;
        self.gate_cluster(id, entry, args)?;
        self.gate_redirect(id, entry, args)?;
        let wants = self.wants(id, entry, args);
        let from_source = flags.imports;
        if self.config.maxmemory > 0 && wants.has(Flags::DENYOOM) {
            self.make_room().map_err(|_| {
                Error::text("OOM command not allowed when used memory > 'maxmemory'.")
            })?;
        }
        if wants.has(Flags::WRITE) {
            if !from_source {
                self.gate_disk()?;
                self.gate_min_slaves()?;
            }
            if !from_master {
                self.gate_read_only()?;
            }
        } else if command.traits.has(Traits::CHECKS_DISK) {
            self.gate_disk()?;
        }
        self.gate_subscribed(id, entry)?;
        if !wants.has(Flags::STALE) && !from_master {
            self.gate_stale()?;
        }
        if self.keeper.persistence.loading.is_some()
            && !command.flags.has(Flags::LOADING)
            && !self.serves_while_loading(command.flags)
        {
            return Err(Error::text(
                "LOADING Valkey is loading the dataset in memory",
            ));
        }
        self.gate_script(entry, args)?;
        // Replicas and monitors are not held back by a pause, so they may do nothing that it is there for.
        let may_change = command.traits.has(Traits::MAY_REPLICATE);
        if (flags.replica || flags.monitor)
            && (may_change || wants.has(Flags::WRITE.with(Flags::READONLY)))
        {
            return Err(Error::text("ERR Replica can't interact with the keyspace"));
        }
        Ok(())
    }

    /// For commands that the configuration has to enable.
    fn gate_enabled(&self, id: ClientId, traits: Traits) -> Result<(), Error> {
        let (name, directive, permission) = if traits.has(Traits::NEEDS_DEBUG) {
            let permission = self.config.enable_debug_command;
            ("DEBUG", "enable-debug-command", permission)
        } else if traits.has(Traits::NEEDS_MODULES) {
            let permission = self.config.enable_module_command;
            ("MODULE", "enable-module-command", permission)
        } else {
            return Ok(());
        };
        if is_permitted(permission, &self.sessions.clients[id]) {
            return Ok(());
        }
        Err(Error::owned(format!(
            "ERR {name} command not allowed. If the {directive} option is set to \"local\", you can run it from a local connection, \
             otherwise you need to set this option in the configuration file, and then restart the server."
        )))
    }

    /// What a request is allowed, and what it may do. EXEC wants what all wants that it runs.
    fn wants(&self, id: ClientId, entry: Entry, args: Args<'_>) -> Flags {
        let multi = self.sessions.clients[id].transaction.multi.as_ref();
        match multi.filter(|_| entry.command.traits.has(Traits::RUNS_QUEUE)) {
            Some(multi) => multi.wants(entry.command.flags),
            None => self.flags_of(entry, args),
        }
    }

    #[cold]
    fn refuse_from_master(&self, entry: Entry) -> Error {
        let name = entry.command.name;
        tracing::warn!("Refused the command '{name}' in the stream of the primary");
        Error::owned(format!(
            "ERR '{name}' is not allowed in a replication stream"
        ))
    }

    /// A RESP2 client with subscriptions may only change these, PING, QUIT and RESET: it could not tell replies from messages.
    fn gate_subscribed(&self, id: ClientId, entry: Entry) -> Result<(), Error> {
        let client = &self.sessions.clients[id];
        if client.subscriptions.is_none()
            || client.out.protocol() == Protocol::Resp3
            || entry.command.traits.has(Traits::IN_SUBSCRIBED)
        {
            return Ok(());
        }
        Err(Error::owned(format!(
            "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
            entry.command.name
        )))
    }

    /// Calls a command that passed the gates, and applies its effects.
    pub(crate) fn call(&mut self, id: ClientId, entry: Entry, args: Args<'_>) {
        let client = &self.sessions.clients[id];
        let (db, unsent) = (client.db, client.out.len());
        let has_big = self.shard.big.is_some();
        let slot = self.counted_slot(id, entry, args);
        // What came before, gates and parsing, counts with the command: one look at the clock per command. One of the engine's
        // may run commands of its own.
        let start_ns = match entry.runner {
            Runner::Data(_) => self.meter.last_ns,
            Runner::Engine(_) if entry.command.traits.has(PLAIN_OR_SCRIPT) => self.meter.last_ns,
            Runner::Engine(_) | Runner::Help => {
                self.meter.last_ns = self.host.mono_ns();
                self.meter.last_ns
            }
        };
        self.meter.running.begin(entry.number);
        let flags = self.sessions.clients[id].flags;
        let imports = self.config.import_mode && flags.import_source;
        if flags.imports || flags.no_touch || imports {
            self.run_specially(id, entry, args);
        } else {
            self.run(id, entry, args);
        }
        self.meter.running.end();
        if !self.sessions.monitors.is_empty() && !self.sessions.blocked.runs_again() {
            self.feed_monitors(id, entry, args);
        }
        let now_ns = self.host.mono_ns();
        let ns = now_ns.saturating_sub(start_ns);
        self.meter.last_ns = now_ns;
        // A request that waits is counted when it has been served.
        let waits = self.shard.effects.block.is_some()
            || entry.command.traits.has(Traits::KEEPS_OFFSET) && self.is_in_wait(id);
        if !waits {
            self.meter.stats.count_call(entry.number, ns);
            if let Some(caller) = self.scripting_caller().filter(|caller| *caller != id)
                && let Some(client) = self.sessions.clients.get_mut(caller)
            {
                client.traffic.commands += 1;
            }
            if let Some(client) = self.sessions.clients.get_mut(id) {
                client.traffic.commands += 1;
                // Our primary gets no replies.
                let reply_bytes = if flags.master {
                    0
                } else {
                    client.out.len().saturating_sub(unsent)
                };
                if let Some(slot) = slot.or_else(|| self.slot_of_script()) {
                    self.note_slot_usage(slot, entry, args, ns, reply_bytes);
                }
            }
        }
        if !waits {
            if ns >= self.meter.noted_from_ns {
                self.note_slow(id, entry, args, ns / 1000);
            }
            self.note_sizes(id, entry, args, unsent, has_big || ns >= LARGE_FROM_NS);
        }
        self.apply_effects(id, entry, db, args);
        if waits {
            self.note_tried(id, entry, args, ns);
        }
        if self.sessions.tracking.is_used() {
            // A key that it found expired was gone before it read.
            self.remember_reads(id, entry, args);
        }
        if self.journal.group.depth == 0 && !self.in_script() {
            if self.sessions.tracking.is_used() {
                self.send_invalidations();
            }
            // For a transaction and a script time stands still.
            self.advance_clock_to(now_ns);
        }
    }

    /// A command of a client whose reads are no use of a key (CLIENT NO-TOUCH), or of the source of an import, for which expired
    /// keys are there until it deletes them.
    #[cold]
    fn run_specially(&mut self, id: ClientId, entry: Entry, args: Args<'_>) {
        let flags = self.sessions.clients[id].flags;
        let before = self.shard.keyspace.clock().expiry();
        let source = flags.imports || self.config.import_mode && flags.import_source;
        if source && !self.is_slave() {
            self.shard.keyspace.clock().set_expiry(ExpiryMode::Ignore);
        }
        self.shard.keyspace.clock().set_looking(flags.no_touch);
        self.run(id, entry, args);
        self.shard.keyspace.clock().set_looking(false);
        self.shard.keyspace.clock().set_expiry(before);
    }

    /// For a command that took as long as somebody may want to know of.
    #[cold]
    pub(crate) fn note_slow(&mut self, id: ClientId, entry: Entry, args: Args<'_>, usec: u64) {
        self.note_command(LogKind::Slow, id, entry, args, usec);
        if usec >= LATENCY_FROM_US {
            let event = if entry.command.flags.has(Flags::FAST) {
                "fast-command"
            } else {
                "command"
            };
            self.note_latency(event, usec);
        }
    }

    /// Runs a command; its error, if it has one, is its reply.
    pub(crate) fn run(&mut self, id: ClientId, entry: Entry, args: Args<'_>) {
        let db = self.sessions.clients[id].db;
        let done = match entry.runner {
            Runner::Data(run) => {
                let traits = entry.command.traits;
                if traits.has(Traits::EMPTIES_DB) || traits.has(Traits::EMPTIES_ALL) {
                    self.fail_migrations_on_flush();
                }
                if self.shard.effects.watching && traits.has(Traits::EMPTIES_DB) {
                    self.break_watches_on_flush(Some(db));
                }
                if self.shard.effects.watching && traits.has(Traits::EMPTIES_ALL) {
                    self.break_watches_on_flush(None);
                }
                if traits.has(Traits::READS_BY_PATTERN)
                    && let Err(error) = self.gate_patterns(id, entry, args)
                {
                    self.sessions.clients[id].out.error(error.line());
                    self.meter.stats.fail(entry.number, &error.line(), false);
                    return;
                }
                let reads = entry.command.flags.has(Flags::READONLY);
                self.shard.effects.unheard = !reads && self.nobody_listens();
                let in_script = self.in_script();
                let may_block =
                    self.journal.group.depth == 0 && !in_script && !self.journal.replaying;
                // A master's stream is applied under this mode too.
                let replaying = self.shard.keyspace.clock().expiry() == ExpiryMode::Ignore;
                let reply = &mut self.sessions.clients[id].out;
                let mut ctx = Ctx {
                    replaying: self.journal.replaying || replaying,
                    may_block,
                    in_script,
                    ..self.shard.context(db, reply)
                };
                let done = run(&mut ctx, args);
                if matches!(self.shard.effects.propagation, Propagation::Forced)
                    && traits.has(Traits::EMPTIES_ALL)
                {
                    self.save_flushed();
                }
                done
            }
            Runner::Help => describe::help(self, id, args),
            Runner::Engine(run) if entry.command.traits.has(Traits::PLAIN) => run(self, id, args),
            Runner::Engine(run) => {
                self.calm = false;
                // It may run commands of its own.
                self.shard.big = None;
                let done = run(self, id, args);
                if entry.command.traits.has(Traits::RUNS_SCRIPT) {
                    self.calm = self.is_calm();
                }
                done
            }
        };
        if let (Err(error), Some(client)) = (done, self.sessions.clients.get_mut(id)) {
            client.out.error(error.line());
            self.meter.stats.fail(entry.number, &error.line(), false);
            if self.journal.replaying && !self.in_script() {
                self.note_refusal(entry, &error);
            }
        }
    }
}

/// Whether this is how a request of HTTP begins.
fn is_foreign(name: &[u8]) -> bool {
    args::is(name, "post") || args::is(name, "host:")
}

/// What a command of the wrong length is answered.
pub(crate) fn wrong_arity(entry: Entry) -> Error {
    let name = entry.command.name;
    Error::owned(format!(
        "ERR wrong number of arguments for '{name}' command"
    ))
}

/// What an unknown command is answered: its name and the beginning of its arguments.
pub(crate) fn unknown_command(args: Args<'_>) -> Error {
    /// Bytes of the name and of all arguments that are shown, as in Redis.
    const SHOWN: usize = 128;
    let mut line = b"ERR unknown command '".to_vec();
    line.extend_from_slice(shown(args[0], SHOWN));
    line.extend_from_slice(b"', with args beginning with: ");
    let start = line.len();
    for arg in &args[1..] {
        let used = line.len() - start;
        if used >= SHOWN {
            break;
        }
        line.push(b'\'');
        line.extend_from_slice(shown(arg, SHOWN - used));
        line.extend_from_slice(b"' ");
    }
    Error::Quoting(line.into())
}

/// A word of a request in an error: it ends at its first NUL, as text does in C, or after `most` bytes.
fn shown(word: &[u8], most: usize) -> &[u8] {
    let text = word.split(|byte| *byte == 0).next().unwrap_or_default();
    &text[..text.len().min(most)]
}
