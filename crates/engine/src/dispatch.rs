//! One request: the gates it passes, in order, and the call.

use commands::{Args, Ctx, Error, Flags, Propagation};

use crate::index::{EngineFn, Entry, Runner};
use crate::{
    ClientId, Engine, append_only, cluster, configure, connection, debug, describe, info, latency,
    master, migrate, observe, persistence, pubsub, scripting, sessions, slave, transaction,
};

/// The latency monitor counts in milliseconds.
const LATENCY_FROM_US: u64 = 1000;

/// The engine's function for a command whose row says that the engine runs it.
pub(crate) fn engine_fn(name: &str) -> Option<EngineFn> {
    Some(match name {
        "asking" => cluster::asking,
        "auth" => connection::auth,
        "bgrewriteaof" => append_only::bgrewriteaof,
        "bgsave" => persistence::bgsave,
        "client" => sessions::client,
        "cluster" => cluster::cluster,
        "command" => describe::command,
        "config" => configure::config,
        "debug" => debug::debug,
        "discard" => transaction::discard,
        "echo" => connection::echo,
        "eval" => scripting::eval,
        "evalsha" => scripting::evalsha,
        "exec" => transaction::exec,
        "info" => info::info,
        "latency" => latency::latency,
        "lastsave" => persistence::lastsave,
        "migrate" => migrate::migrate,
        "monitor" => observe::monitor,
        "multi" => transaction::multi,
        "ping" => connection::ping,
        "psync" | "sync" => master::sync,
        "readonly" => cluster::readonly,
        "readwrite" => cluster::readwrite,
        "replconf" => master::replconf,
        "role" => slave::role,
        "save" => persistence::save,
        "script" => scripting::script,
        "shutdown" => persistence::shutdown,
        "slowlog" => observe::slowlog,
        "slaveof" => slave::slaveof,
        "wait" => master::wait,
        "psubscribe" => pubsub::psubscribe,
        "publish" => pubsub::publish,
        "pubsub" => pubsub::pubsub,
        "punsubscribe" => pubsub::punsubscribe,
        "select" => connection::select,
        "subscribe" => pubsub::subscribe,
        "time" => connection::time,
        "unsubscribe" => pubsub::unsubscribe,
        "unwatch" => transaction::unwatch,
        "watch" => transaction::watch,
        _ => return None,
    })
}

impl Engine {
    /// Runs one request of a client. False where it has to wait before it runs: then it is run again later.
    #[inline]
    pub(crate) fn request(&mut self, id: ClientId, args: Args<'_>) -> bool {
        let Some(entry) = self.index.find(args[0]) else {
            return self.request_unknown(id, args[0]);
        };
        if self.calm && self.is_plain(id, entry, args) {
            debug_assert!(self.gates(id, entry, args).is_ok(), "{:?}", entry.command);
            self.clients[id].last_command = entry.command.name;
            self.call(id, entry, args);
            self.note_offset(id);
            return true;
        }
        self.request_through_gates(id, entry, args)
    }

    /// A command that is none.
    #[cold]
    fn request_unknown(&mut self, id: ClientId, name: &[u8]) -> bool {
        if self.is_paused(id) {
            self.hold(id);
            return false;
        }
        self.unknown(id, name);
        self.end_asking(id, "");
        true
    }

    /// The long way, for whatever is not plain.
    #[inline(never)]
    fn request_through_gates(&mut self, id: ClientId, entry: Entry, args: Args<'_>) -> bool {
        if self.is_paused(id) || self.touches_moving(id, entry, args) {
            self.hold(id);
            return false;
        }
        self.clients[id].last_command = entry.command.name;
        self.answer(id, entry, args);
        self.end_asking(id, entry.command.name);
        if !self.ready.is_empty() && !self.in_script() {
            self.serve_blocked();
        }
        true
    }

    /// Refuses, queues or runs a request.
    fn answer(&mut self, id: ClientId, entry: Entry, args: Args<'_>) {
        if let Err(error) = self.gates(id, entry, args) {
            self.break_transaction(id);
            self.clients[id].out.error(error.line());
            return;
        }
        if self.clients[id].multi.is_some() && !runs_inside_multi(entry.command.name) {
            self.queue(id, entry, args);
            return;
        }
        self.calm = self.is_calm();
        self.call(id, entry, args);
        // WAIT itself puts a question to the replicas into the stream.
        if entry.command.name != "wait" {
            self.note_offset(id);
        }
    }

    /// ASKING holds for one request, whatever becomes of it, or for a whole transaction.
    fn end_asking(&mut self, id: ClientId, name: &str) {
        if let Some(client) = self.clients.get_mut(id)
            && client.multi.is_none()
            && name != "asking"
        {
            client.flags.asking = false;
        }
    }

    /// What WAIT will wait for: what was in the stream after this client's last command.
    #[inline]
    fn note_offset(&mut self, id: ClientId) {
        if let Some(client) = self.clients.get_mut(id) {
            client.seen_offset = self.replicas.offset();
        }
    }

    /// Whether none of the server's gates is closed to anybody, or will be after data commands. Looked at once, until something
    /// else than a data command runs ([`Engine::set_now`]).
    fn is_calm(&self) -> bool {
        self.paused_until_ms.is_none()
            && self.transfers.moving.is_empty()
            && self.cluster.is_none()
            && !self.is_slave()
            && self.config.maxmemory == 0
            && self.config.min_slaves_to_write == 0
            && self.gate_disk().is_ok()
            && self.persistence.loading.is_none()
            && self.scripting.running.is_none()
            && !self.effects.blocking
            && self.ready.is_empty()
    }

    /// Whether this is a data command with the right number of words, from a client that is nothing special: then no gate but those
    /// of [`Engine::is_calm`] matters.
    #[inline]
    fn is_plain(&self, id: ClientId, entry: Entry, args: Args<'_>) -> bool {
        matches!(entry.runner, Runner::Data(_))
            && entry.command.accepts(args.len())
            && self.clients[id].is_ordinary()
            && !self.lacks_password(id)
    }

    fn unknown(&mut self, id: ClientId, name: &[u8]) {
        if name.eq_ignore_ascii_case(b"quit") {
            self.clients[id].out.ok();
            self.close_after_reply(id);
            return;
        }
        self.clients[id].last_command = "NULL";
        if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") {
            let addr = &self.clients[id].peer.addr;
            tracing::warn!(
                "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands to Redis. \
                 This is likely due to an attacker attempting to use Cross Protocol Scripting to compromise your Redis instance. \
                 Connection from {addr} aborted."
            );
            self.close_now(id);
        } else {
            self.break_transaction(id);
            let error = Error::quoting("ERR unknown command '", name, "'");
            self.clients[id].out.error(error.line());
        }
    }

    /// The gates between a request and its command, in the order of Redis 3.0.
    fn gates(&mut self, id: ClientId, entry: Entry, args: Args<'_>) -> Result<(), Error> {
        let command = entry.command;
        if !command.accepts(args.len()) {
            return Err(Error::owned(format!(
                "ERR wrong number of arguments for '{}' command",
                command.name
            )));
        }
        if self.lacks_password(id) && command.name != "auth" {
            return Err(Error::text("NOAUTH Authentication required."));
        }
        let client_is_master = self.clients[id].flags.master;
        self.gate_cluster(id, entry, args)?;
        if self.config.maxmemory > 0 && command.flags.has(Flags::DENYOOM) {
            self.make_room().map_err(|_| {
                Error::text("OOM command not allowed when used memory > 'maxmemory'.")
            })?;
        }
        let from_master = client_is_master;
        if command.flags.has(Flags::WRITE) {
            self.gate_disk()?;
            self.gate_min_slaves()?;
            if !from_master {
                self.gate_read_only()?;
            }
        } else if command.name == "ping" {
            self.gate_disk()?;
        }
        self.gate_subscribed(id, command.name)?;
        if !command.flags.has(Flags::STALE) && !from_master {
            self.gate_stale()?;
        }
        if self.persistence.loading.is_some() && !command.flags.has(Flags::LOADING) {
            return Err(Error::text(
                "LOADING Redis is loading the dataset in memory",
            ));
        }
        self.gate_script(entry, args)
    }

    /// A subscribed client may only change its subscriptions, PING and QUIT.
    fn gate_subscribed(&self, id: ClientId, name: &str) -> Result<(), Error> {
        let allowed = matches!(
            name,
            "subscribe" | "unsubscribe" | "psubscribe" | "punsubscribe" | "ping"
        );
        if self.clients[id].subscriptions.is_some() && !allowed {
            return Err(Error::text(
                "ERR only (P)SUBSCRIBE / (P)UNSUBSCRIBE / PING / QUIT allowed in this context",
            ));
        }
        Ok(())
    }

    /// Calls a command that passed the gates, and applies its effects.
    pub(crate) fn call(&mut self, id: ClientId, entry: Entry, args: Args<'_>) {
        if !self.monitors.is_empty() {
            self.feed_monitors(id, entry, args);
        }
        let db = self.clients[id].db;
        // What came before, gates and parsing, counts with the command: one look at the clock per command. One of the engine's
        // may run commands of its own.
        let start_ns = match entry.runner {
            Runner::Data(_) => self.last_ns,
            Runner::Engine(_) => self.host.mono_ns(),
        };
        self.running.begin(entry.number);
        self.run(id, entry, args);
        self.running.end();
        let now_ns = self.host.mono_ns();
        let ns = now_ns.saturating_sub(start_ns);
        self.last_ns = now_ns;
        let stats = &mut self.stats.per_command[entry.number];
        stats.calls += 1;
        stats.ns += ns;
        stats.times.add(ns);
        self.stats.commands += 1;
        if ns >= self.noted_from_ns {
            self.note_slow(entry, args, ns / 1000);
        }
        self.apply_effects(id, db, args);
    }

    /// For a command that took as long as somebody may want to know of.
    #[cold]
    fn note_slow(&mut self, entry: Entry, args: Args<'_>, usec: u64) {
        // What EXEC ran was noted one by one.
        if entry.command.name != "exec" {
            self.note_duration(args, usec);
        }
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
        let db = self.clients[id].db;
        let done = match entry.runner {
            Runner::Data(run) => {
                if self.effects.watching && entry.command.name.starts_with("flush") {
                    self.break_watches_on_flush((entry.command.name == "flushdb").then_some(db));
                }
                let may_block = self.group.depth == 0 && !self.in_script() && !self.replaying;
                let mut ctx = Ctx {
                    keyspace: &mut self.keyspace,
                    db,
                    reply: &mut self.clients[id].out,
                    effects: &mut self.effects,
                    settings: &self.settings,
                    rng: &mut self.rng,
                    dumper: &mut self.dumper,
                    big: &mut self.big,
                    replaying: self.replaying,
                    may_block,
                };
                let done = run(&mut ctx, args);
                if matches!(self.effects.propagation, Propagation::Forced)
                    && entry.command.name == "flushall"
                {
                    self.save_flushed();
                }
                done
            }
            Runner::Engine(run) => {
                self.calm = false;
                // It may run commands of its own.
                self.big = None;
                run(self, id, args)
            }
        };
        if let (Err(error), Some(client)) = (done, self.clients.get_mut(id)) {
            client.out.error(error.line());
            if self.replaying && !self.in_script() {
                self.note_refusal(entry, &error);
            }
        }
    }
}

/// Commands that an open transaction does not queue.
fn runs_inside_multi(name: &str) -> bool {
    matches!(name, "exec" | "discard" | "multi" | "watch")
}
