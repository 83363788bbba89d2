//! Replies to writes that leave only once enough replicas have what was written (`write-acknowledge`).
//!
//! The requests of a client run on meanwhile: what is held back is its output. All that one batch of its requests wrote and answered is
//! one part, which waits for the place in the stream behind it. The replicas are asked once a turn how far they are.

use std::collections::VecDeque;

use conf::WriteAcknowledge;
use resp::Reply;

use crate::journal::unsent::Part;
use crate::sessions::client::Waiting;
use crate::{ClientId, Engine};

/// A client with more held back than this has its next requests wait.
const MOST_BYTES: usize = 1024 * 1024;
/// A client with more parts than this too.
const MOST_PARTS: usize = 1024;

impl Engine {
    /// How many replicas there are in this server's group, as far as it can know: what it was told (`write-acknowledge-replicas`), those
    /// that the cluster knows, or the most that followed it at once since it is the primary; at least one.
    pub(crate) fn expected_replicas(&self) -> usize {
        let told = usize::try_from(self.config.write_acknowledge_replicas).unwrap_or(usize::MAX);
        let known = match &self.keeper.cluster {
            _ if told > 0 => told,
            Some(node) => node.replica_count(),
            None => self.journal.replicas.most,
        };
        known.max(1)
    }

    /// How many replicas have to have a write: a majority is counted over the primary and its replicas, of which the primary has it.
    pub(crate) fn wanted_replicas(&self, level: WriteAcknowledge) -> usize {
        match level {
            WriteAcknowledge::None => 0,
            WriteAcknowledge::One => 1,
            WriteAcknowledge::Majority => self.expected_replicas().div_ceil(2),
            WriteAcknowledge::All => self.expected_replicas(),
        }
    }

    /// Holds back what a batch of requests has answered, if it wrote anything, or if what came before it is held back. `before` is where
    /// the stream stood at its beginning.
    #[inline]
    pub(crate) fn hold_unacknowledged(&mut self, id: ClientId, before: u64) {
        let wrote = self.config.write_acknowledge != WriteAcknowledge::None
            && self.journal.replicas.offset() > before;
        if wrote || !self.journal.unsent.is_empty() {
            self.hold_output(id, wrote);
        }
    }

    #[cold]
    fn hold_output(&mut self, id: ClientId, wrote: bool) {
        let (offset, since_ms) = (self.journal.replicas.offset(), self.now.mono_ms);
        let Some(client) = self.sessions.clients.get_mut(id) else {
            return;
        };
        let special = client.flags.replica || client.flags.master || client.flags.internal;
        if client.out.is_empty() || special || self.keeper.slave.is_some() {
            return;
        }
        let unsent = &mut self.journal.unsent;
        if !wrote && !unsent.holds(id) {
            return;
        }
        let empty = Reply::speaking(client.out.protocol());
        let reply = std::mem::replace(&mut client.out, empty);
        let parts = unsent.clients.entry(id).or_default();
        match parts.back_mut() {
            Some(last) if !wrote || last.offset == offset => last.reply.append(reply),
            _ => parts.push_back(Part {
                offset,
                since_ms,
                reply,
            }),
        }
        unsent.asks |= wrote;
        let bytes: usize = parts.iter().map(|part| part.reply.len()).sum();
        if client.waiting == Waiting::No && (bytes > MOST_BYTES || parts.len() > MOST_PARTS) {
            client.waiting = Waiting::Acknowledged;
        }
    }

    /// The end of a turn: the replicas are asked how far they are, if anybody waits for that.
    pub(crate) fn ask_for_acknowledged(&mut self) {
        if std::mem::take(&mut self.journal.unsent.asks) {
            self.ask_for_acks();
        }
    }

    /// Up to where the stream is on as many replicas as writes want. As for WAIT none counts before our own file has been given what it
    /// has.
    fn acknowledged_offset(&self) -> u64 {
        let wanted = self.wanted_replicas(self.config.write_acknowledge);
        let Some(last) = wanted.checked_sub(1) else {
            return u64::MAX;
        };
        let replicas = self.journal.replicas.ids.iter();
        let replicas = replicas.filter_map(|id| self.sessions.clients.get(*id)?.replica.as_deref());
        let mut offsets: Vec<u64> = replicas.filter_map(crate::Replica::applied).collect();
        offsets.sort_unstable_by(|a, b| b.cmp(a));
        let there = offsets.get(last).copied().unwrap_or(0);
        there.min(self.written_offset())
    }

    /// Lets go of what enough replicas have.
    pub(crate) fn release_acknowledged(&mut self) {
        if self.journal.unsent.is_empty() {
            return;
        }
        let acknowledged = self.acknowledged_offset();
        let ids: Vec<ClientId> = self.journal.unsent.clients.keys().copied().collect();
        for id in ids {
            self.release(id, acknowledged);
        }
    }

    fn release(&mut self, id: ClientId, acknowledged: u64) {
        let Some(parts) = self.journal.unsent.clients.get_mut(&id) else {
            return;
        };
        let Some(client) = self.sessions.clients.get_mut(id) else {
            return self.journal.unsent.forget(id);
        };
        let before = parts.len();
        let there = |part: &Part| part.offset <= acknowledged;
        while parts.front().is_some_and(there)
            && let Some(part) = parts.pop_front()
        {
            client.out.append(part.reply);
        }
        let (any, all) = (parts.len() < before, parts.is_empty());
        let goes_on = all && client.waiting == Waiting::Acknowledged;
        if goes_on {
            client.waiting = Waiting::No;
        }
        if all {
            self.journal.unsent.forget(id);
        }
        if any {
            self.wake(id);
        }
        if goes_on {
            self.resume(id);
        }
    }

    /// Once a second: who has waited for `repl-timeout` does not know what became of its writes, and is told so by the end of the
    /// connection.
    pub(crate) fn give_up_unacknowledged(&mut self) {
        let most_ms = u64::from(self.config.repl_timeout) * 1000;
        let now_ms = self.now.mono_ms;
        let late = |parts: &VecDeque<Part>| {
            let first = parts.front();
            first.is_some_and(|part| now_ms.saturating_sub(part.since_ms) > most_ms)
        };
        let clients = self.journal.unsent.clients.iter();
        let late: Vec<ClientId> = clients
            .filter(|(_, parts)| late(parts))
            .map(|(id, _)| *id)
            .collect();
        self.close_unacknowledged(&late, "too few replicas have them within repl-timeout");
    }

    /// This server is a primary no more: what becomes of the writes is not for it to say.
    pub(crate) fn disown_unacknowledged(&mut self) {
        let all: Vec<ClientId> = self.journal.unsent.clients.keys().copied().collect();
        self.close_unacknowledged(&all, "this server is a primary no more");
    }

    fn close_unacknowledged(&mut self, ids: &[ClientId], why: &str) {
        for &id in ids {
            self.journal.unsent.forget(id);
            if self.sessions.clients.contains(id) {
                let line = self.client_line(id);
                tracing::warn!(
                    "Closing a client without the replies to its writes, since {why} (write-acknowledge): {line}"
                );
                self.close_now(id);
            }
        }
    }
}
