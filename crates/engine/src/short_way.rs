//! The short way: data commands, and those as plain as PING, of a client that is nothing special, while nobody listens to anything
//! special.
//!
//! Most requests are of this kind, and between one of them and the next nothing changes that the gates and the work behind a command
//! ([`Engine::call`]) look at. So that is looked at once for all requests of a read that are of this kind and follow each other; the first
//! request that is of another kind goes the way of all ([`Engine::request`]), and then it is looked at again.

use commands::Args;
use store::ExpiryMode;

use crate::dispatch::LARGE_FROM_NS;
use crate::entry::{Entry, Runner};
use crate::observe::SMALL_BYTES;
use crate::{ClientId, Engine, describe};

/// The short way as it is open to one client. What holds for it holds until something else than such a command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShortWay {
    /// Changes need not be told to anybody: no file, no replica.
    unheard: bool,
    /// No gate looks at each request: no cluster, no `maxmemory`, no replicas that are wanted; and this is no replica itself.
    ungated: bool,
    /// The client's user may not do everything.
    restricted: bool,
    /// The sizes of all requests and replies are of interest.
    measured: bool,
}

impl Engine {
    /// The short way for a client, if it is open.
    pub(crate) fn short_way(&self, id: ClientId) -> Option<ShortWay> {
        let client = self.sessions.clients.get(id).filter(|_| self.calm)?;
        let is_slave = self.is_slave();
        let open = client.is_ordinary()
            && client.is_running()
            && !self.lacks_password(id)
            && !(is_slave && client.flags.redirect)
            && self.sessions.monitors.is_empty()
            && !self.sessions.tracking.is_used()
            && !self.meter.slots.is_on()
            && self.journal.group.depth == 0
            && !self.journal.replaying
            && self.shard.keyspace.clock().expiry() != ExpiryMode::Ignore;
        open.then(|| ShortWay {
            unheard: self.nobody_listens(),
            ungated: !is_slave
                && self.keeper.cluster.is_none()
                && self.config.maxmemory == 0
                && !self.wants_replicas(),
            restricted: client.flags.restricted,
            measured: self.config.metrics_port != 0 || self.meter.sizes_from < SMALL_BYTES,
        })
    }

    /// Runs a request, which came in the bytes `request`, the short way; false where it cannot go it. Then nothing has happened.
    #[inline]
    pub(crate) fn request_short<'b>(
        &mut self,
        way: ShortWay,
        id: ClientId,
        entry: Entry,
        args: Args<'_>,
        request: impl FnOnce() -> &'b [u8],
    ) -> bool {
        if !entry.is_short
            || !entry.command.accepts(args.len())
            || !way.ungated && !self.is_let_through(entry, args)
            || way.restricted && self.may_run(id, entry, args).is_err()
        {
            return false;
        }
        debug_assert_eq!(self.short_way(id), Some(way), "{:?}", entry.command);
        debug_assert!(self.gates(id, entry, args).is_ok(), "{:?}", entry.command);
        self.call_short(way, id, entry, args, request);
        true
    }

    /// What is left of [`Engine::call`] on the short way.
    #[inline]
    fn call_short<'b>(
        &mut self,
        way: ShortWay,
        id: ClientId,
        entry: Entry,
        args: Args<'_>,
        request: impl FnOnce() -> &'b [u8],
    ) {
        let client = &mut self.sessions.clients[id];
        client.last_command = entry.command.name;
        let (db, unsent) = (client.db, client.out.len());
        let has_big = self.shard.big.is_some();
        self.meter.running.begin(entry.number);
        let done = match entry.runner {
            Runner::Data(run) => {
                self.shard.effects.unheard = way.unheard;
                run(&mut self.shard.context(db, &mut client.out), args)
            }
            Runner::Engine(run) => run(self, id, args),
            Runner::Help => describe::help(self, id, args),
        };
        let Self {
            sessions,
            shard,
            meter,
            journal,
            host,
            ..
        } = self;
        let client = &mut sessions.clients[id];
        meter.running.end();
        if let Err(error) = done {
            client.out.error(error.line());
            meter.stats.fail(entry.number, &error.line(), false);
        }
        let now_ns = host.mono_ns();
        let ns = now_ns.saturating_sub(meter.last_ns);
        meter.last_ns = now_ns;
        meter.stats.count_call(entry.number, ns);
        client.traffic.commands += 1;
        let replied = client.out.len().saturating_sub(unsent) as u64;
        let has_effects = shard.keyspace.clock().has_expired()
            || !shard.effects.is_idle()
            || shard.effects.dirty > 0 && !way.unheard;
        if !has_effects {
            client.seen_offset = journal.replicas.offset();
        }
        let is_slow = ns >= meter.noted_from_ns;
        let may_be_large = has_big || ns >= LARGE_FROM_NS;
        if is_slow || may_be_large || way.measured || replied >= meter.sizes_from {
            if is_slow {
                self.note_slow(id, entry, args, ns / 1000);
            }
            self.note_sizes(id, entry, args, unsent, may_be_large);
        }
        if has_effects {
            if !self.tell_as_sent(db, args, request()) {
                self.apply_effects(id, entry, db, args);
            }
            self.note_offset(id);
        } else {
            self.count_changes();
        }
        self.advance_clock_to(now_ns);
    }
}
