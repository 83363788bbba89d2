//! Requests that wait before they run: CLIENT PAUSE, a manual failover, keys on their way to another server, writers that are slowed.

use commands::{Args, Traits};
use store::ExpiryMode;

use crate::entry::Entry;
use crate::sessions::client::Waiting;
use crate::{ClientId, Engine};

impl Engine {
    /// Holds back the requests of all clients, or only those that may write, for this long, or longer if they are held back already.
    pub(crate) fn pause_clients(&mut self, for_ms: u64, writes_only: bool) {
        self.calm = false;
        // A stricter pause that is on stays as strict.
        self.sessions.paused_writes_only = writes_only
            && (self.sessions.paused_until_ms.is_none() || self.sessions.paused_writes_only);
        let until = self.now.mono_ms.saturating_add(for_ms);
        self.sessions.paused_until_ms = Some(
            self.sessions
                .paused_until_ms
                .map_or(until, |known| known.max(until)),
        );
        self.apply_expiry_rule();
    }

    /// Whether requests that may write wait.
    pub(crate) fn holds_writes(&self) -> bool {
        self.sessions.paused_until_ms.is_some()
            || self.keeper.shutdown.is_some()
            || self.keeper.failover.is_some()
    }

    /// What becomes of keys whose time has come. A primary deletes them, but while writes are held back nothing is to go to the
    /// replicas; the source of an import deletes them itself, as does a replica's primary.
    pub(crate) fn apply_expiry_rule(&mut self) {
        let hides = self.is_slave() || self.config.import_mode || self.holds_writes();
        let clock = self.shard.keyspace.clock();
        if clock.expiry() != ExpiryMode::Ignore {
            clock.set_expiry(if hides {
                ExpiryMode::Hide
            } else {
                ExpiryMode::Delete
            });
        }
    }

    /// Lets everybody go on.
    pub(crate) fn resume_clients(&mut self) {
        self.sessions.paused_until_ms = None;
        self.apply_expiry_rule();
        self.resume_held();
    }

    /// Part of each tick: a pause that is over ends.
    pub(crate) fn tick_pause(&mut self) {
        if self
            .sessions
            .paused_until_ms
            .is_some_and(|until| until <= self.now.mono_ms)
        {
            self.resume_clients();
        }
    }

    /// Whether a request has to wait until it is known who the primary is: nobody is sent to it, or refused as by a replica, before.
    pub(crate) fn awaits_primary(&self, id: ClientId, entry: Entry, args: Args<'_>) -> bool {
        let flags = self.sessions.clients[id].flags;
        self.is_handing_over()
            && !flags.replica
            && !flags.internal
            && (self.redirects(id, entry, args) || self.is_paused(id, entry, args))
    }

    /// Whether a request of this client has to wait because of a pause. Our replicas are served, our primary waits.
    pub(crate) fn is_paused(&self, id: ClientId, entry: Entry, args: Args<'_>) -> bool {
        let client = &self.sessions.clients[id];
        let flags = client.flags;
        let paused = self.sessions.paused_until_ms.is_some();
        if !self.holds_writes() {
            return false;
        }
        let queued = client.transaction.multi.is_some();
        let concerned = paused && !self.sessions.paused_writes_only
            || queued && self.may_write(entry, args)
            || self.would_write(id, entry, args);
        // Who hands the role over goes on following.
        let follows = flags.master && (!paused || self.is_handing_over());
        concerned && !follows && !flags.replica && !flags.internal
    }

    /// Whether a request may write when it is run now: what is queued does so at its EXEC.
    pub(crate) fn would_write(&self, id: ClientId, entry: Entry, args: Args<'_>) -> bool {
        let multi = &self.sessions.clients[id].transaction.multi;
        if !entry.command.traits.has(Traits::RUNS_QUEUE) {
            return multi.is_none() && self.may_write(entry, args);
        }
        let mut queue = multi.iter().flat_map(|multi| &multi.queue);
        queue.any(|queued| {
            let words: Vec<&[u8]> = queued.args.iter().map(AsRef::as_ref).collect();
            self.may_write(self.index.entry(queued.number), &words)
        })
    }

    /// Makes a client's request wait until [`Engine::resume_held`]; it is then run again.
    pub(crate) fn hold(&mut self, id: ClientId) {
        self.sessions.clients[id].waiting = Waiting::Held;
        self.sessions.held.push(id);
    }

    /// Runs what was held back, as far as it may run now.
    pub(crate) fn resume_held(&mut self) {
        for id in std::mem::take(&mut self.sessions.held) {
            if let Some(client) = self
                .sessions
                .clients
                .get_mut(id)
                .filter(|client| client.waiting == Waiting::Held)
            {
                client.waiting = Waiting::No;
                self.resume(id);
            }
        }
    }
}
