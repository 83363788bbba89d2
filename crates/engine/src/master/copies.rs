//! Full copies: how many are sent at a time (`repl-max-copies`), who waits in line, and who is named another replica to copy from.

use crate::journal::replicas::{Replica, ReplicaState};
use crate::{ClientId, Engine};

impl Engine {
    /// How many replicas more may be sent a copy now.
    pub(super) fn copies_left(&self) -> usize {
        let most = usize::try_from(self.config.repl_max_copies).unwrap_or(usize::MAX);
        if most == 0 {
            return usize::MAX;
        }
        let taken = [ReplicaState::WaitEnd, ReplicaState::Sending];
        let taken = taken.map(|state| self.replicas_in(state).len());
        most.saturating_sub(taken.iter().sum())
    }

    /// A replica begins to wait for its copy: where it stands in line, if there is one.
    pub(super) fn log_place_in_line(&self, id: ClientId) {
        let place = self.replicas_in(ReplicaState::WaitStart).len();
        if place > self.copies_left() {
            tracing::info!(
                "Replica {} waits for its copy, at place {place} (repl-max-copies)",
                self.replica_name(id)
            );
        }
    }

    /// Those who wait in line get their copies, if there is room for more: when one has got its own, and once a second.
    pub(super) fn start_waiting_copies(&mut self) {
        let idle = self.keeper.persistence.running.is_none()
            && self.journal.replicas.first_waiting_ms.is_none();
        if idle && !self.replicas_in(ReplicaState::WaitStart).is_empty() {
            self.start_sync();
        }
    }

    /// Names another replica to one that needs a copy, if it may be, and there is one. Who is named last is named to nobody until the
    /// others were.
    pub(super) fn name_source(&mut self, id: ClientId) -> bool {
        if !self.announced(id).takes_sibling {
            return false;
        }
        let sources = self.sources_for(id);
        let last = self.journal.replicas.last_source;
        let last = sources.iter().position(|source| Some(*source) == last);
        let next = last.map_or(0, |last| last + 1);
        let Some(&source) = sources.get(next).or(sources.first()) else {
            return false;
        };
        self.journal.replicas.last_source = Some(source);
        let named = &self.sessions.clients[source];
        let (ip, port) = (named.replica_ip(), named.listening_port);
        tracing::info!(
            "Replica {} is to take its copy from replica {}",
            self.replica_name(id),
            self.replica_name(source)
        );
        let answer = format!("{}{ip} {port}\r\n", replication::COPY_FROM);
        self.sessions.clients[id].out.raw(answer.as_bytes());
        true
    }

    /// The replicas that have our data, are heard of, and can be reached.
    fn sources_for(&self, id: ClientId) -> Vec<ClientId> {
        let asks = &self.sessions.clients[id];
        let asks = (asks.replica_ip(), asks.listening_port);
        let now_ms = self.now.mono_ms;
        let timeout_ms = u64::from(self.config.repl_timeout) * 1000 / 2;
        let is_source = |source: &ClientId| {
            let Some(client) = self.sessions.clients.get(*source) else {
                return false;
            };
            let replica = client.replica.as_deref();
            let applied = replica.and_then(Replica::applied);
            let heard_ms = replica.map_or(0, |replica| replica.acked_ms);
            applied.is_some()
                && now_ms.saturating_sub(heard_ms) <= timeout_ms
                && client.listening_port != 0
                && !client.flags.closing
                && (client.replica_ip(), client.listening_port) != asks
        };
        let all = self.journal.replicas.ids.iter().copied();
        all.filter(is_source).collect()
    }
}
