//! Requests that wait before they run: CLIENT PAUSE, a manual failover, keys on their way to another server.

use commands::{Args, Traits};
use store::ExpiryMode;

use crate::client::Waiting;
use crate::index::Entry;
use crate::{ClientId, Engine};

impl Engine {
    /// Holds back the requests of all clients, or only those that may write, for this long, or longer if they are held back already.
    pub(crate) fn pause_clients(&mut self, for_ms: u64, writes_only: bool) {
        self.calm = false;
        // Nothing is to go to the replicas, so nothing expires.
        let clock = self.shard.keyspace.clock();
        if clock.expiry() == ExpiryMode::Delete {
            clock.set_expiry(ExpiryMode::Hide);
        }
        // A stricter pause that is on stays as strict.
        self.sessions.paused_writes_only = writes_only
            && (self.sessions.paused_until_ms.is_none() || self.sessions.paused_writes_only);
        let until = self.now.mono_ms.saturating_add(for_ms);
        self.sessions.paused_until_ms = Some(
            self.sessions
                .paused_until_ms
                .map_or(until, |known| known.max(until)),
        );
    }

    /// Lets everybody go on.
    pub(crate) fn resume_clients(&mut self) {
        self.sessions.paused_until_ms = None;
        let clock = self.shard.keyspace.clock();
        if clock.expiry() == ExpiryMode::Hide && !self.is_slave() {
            clock.set_expiry(ExpiryMode::Delete);
        }
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

    /// Whether a request of this client has to wait because of a pause. Replication goes on.
    pub(crate) fn is_paused(&self, id: ClientId, request: Option<(Entry, Args<'_>)>) -> bool {
        let client = &self.sessions.clients[id];
        let flags = client.flags;
        let paused = self.sessions.paused_until_ms.is_some();
        let stopping = self.keeper.shutdown.is_some();
        if !(paused || stopping) {
            return false;
        }
        let concerned = paused && !self.sessions.paused_writes_only
            || request.is_some_and(|(entry, args)| {
                let mut queue = client.multi.iter().flat_map(|multi| &multi.queue);
                let runs_queue = entry.command.traits.has(Traits::RUNS_QUEUE);
                if runs_queue {
                    queue.any(|queued| {
                        let words: Vec<&[u8]> = queued.args.iter().map(AsRef::as_ref).collect();
                        self.may_write(queued.entry, &words)
                    })
                } else {
                    self.may_write(entry, args) && client.multi.is_none()
                }
            });
        concerned && !flags.master && !flags.replica && !flags.internal
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
