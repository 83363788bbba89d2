//! Clients that wait for keys: BLPOP, BZPOPMIN, XREAD BLOCK and their like.
//!
//! A blocked client is a held request and the keys that it waits for. When a key may have what is awaited, the request is run again, after
//! the command (or transaction, or script) that changed the key has run whole; clients are served in the order in which they began to
//! wait. So no blocking command is written twice.

use commands::{Args, Awaited, Block};
use store::Value;

use crate::entry::Entry;
use crate::sessions::blocked::OnKeys;
use crate::sessions::client::Waiting;
use crate::sessions::on_replicas::Asked;
use crate::sessions::transaction::Queued;
use crate::{ClientId, Engine};

/// How a change of role ends a wait.
pub(crate) const FORCED: &str =
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)";

/// How CLIENT UNBLOCK with ERROR ends a wait.
pub(crate) const BY_CLIENT: &str = "UNBLOCKED client unblocked via CLIENT UNBLOCK";

impl Engine {
    /// Grants the wish of a request to wait. The client's requests are not run until [`Engine::unblock`].
    pub(crate) fn block_on_keys(
        &mut self,
        id: ClientId,
        entry: Entry,
        args: &[&[u8]],
        block: Block,
    ) {
        let blocked = &mut self.sessions.blocked;
        if let Some((_, goes_on)) = blocked.again.as_mut().filter(|(client, _)| *client == id) {
            *goes_on = true;
            return;
        }
        self.calm = false;
        let until_ms =
            (block.timeout_ms > 0).then(|| self.now.mono_ms.saturating_add(block.timeout_ms));
        let client = &mut self.sessions.clients[id];
        let db = client.db;
        for key in &block.keys {
            let queue = blocked.by_key.entry((db, key.clone())).or_default();
            if !queue.contains(&id) {
                queue.push_back(id);
                if block.awaited == Awaited::StreamOrEnd {
                    *blocked.may_go.entry((db, key.clone())).or_default() += 1;
                }
            }
        }
        let request = Queued::new(entry.number, args);
        client.waiting = Waiting::Keys(Box::new(OnKeys {
            request,
            instead: block.instead,
            awaited: block.awaited,
            keys: block.keys,
            db,
            until_ms,
            tried_ns: 0,
        }));
        blocked.deadlines.extend(until_ms.map(|until| (until, id)));
        self.shard.effects.blocking = true;
    }

    /// Ends a client's wait for keys: it is in no queue any more, and its next requests are run at the end of the turn.
    pub(crate) fn unblock(&mut self, id: ClientId) {
        let client = &mut self.sessions.clients[id];
        let Waiting::Keys(on) = std::mem::take(&mut client.waiting) else {
            return;
        };
        client.flags.quiet = client.flags.quiet.after_request();
        let blocked = &mut self.sessions.blocked;
        if let Some(until) = on.until_ms {
            blocked.deadlines.remove(&(until, id));
        }
        for key in on.keys {
            let key = (on.db, key);
            if let Some(queue) = blocked.by_key.get_mut(&key) {
                let before = queue.len();
                queue.retain(|other| *other != id);
                let left = before > queue.len() && on.awaited == Awaited::StreamOrEnd;
                if queue.is_empty() {
                    blocked.by_key.remove(&key);
                }
                if left && let Some(count) = blocked.may_go.get_mut(&key) {
                    *count -= 1;
                    if *count == 0 {
                        blocked.may_go.remove(&key);
                    }
                }
            }
        }
        self.shard.effects.blocking = !blocked.by_key.is_empty();
        self.resume(id);
    }

    /// Runs the requests of waiting clients again whose keys may be ready since the last call.
    pub(crate) fn serve_blocked(&mut self) {
        if self.shard.keyspace.clock().take_stream_gone() {
            self.find_streams_gone();
        }
        if !self.sessions.ready.is_empty() {
            self.advance_clock();
        }
        // Serving BLMOVE can make another list ready: go on until there is none.
        while !self.sessions.ready.is_empty() {
            for (db, key) in std::mem::take(&mut self.sessions.ready) {
                self.serve_key(db, &key);
            }
        }
    }

    /// A stream has left its key: who reads for a group of one that is not there any more is told.
    fn find_streams_gone(&mut self) {
        let (keyspace, blocked) = (&self.shard.keyspace, &self.sessions.blocked);
        let is_gone = |(db, key): &&(usize, Box<[u8]>)| {
            let value = keyspace.db_ref(*db).peek(key);
            !matches!(value, Some(Value::Stream(_)))
        };
        let gone = blocked.by_key.keys().filter(is_gone).cloned();
        self.sessions.ready.extend(gone);
    }

    fn serve_key(&mut self, db: usize, key: &[u8]) {
        let queue = self.sessions.blocked.by_key.get(&(db, Box::from(key)));
        let waiting: Vec<ClientId> = queue.into_iter().flatten().copied().collect();
        for id in waiting {
            let Some(Waiting::Keys(on)) =
                self.sessions.clients.get(id).map(|client| &client.waiting)
            else {
                continue;
            };
            let value = self.shard.keyspace.db_ref(db).peek_alive(key);
            if on.awaited.is_there(value.as_ref()) {
                self.run_again(id);
            }
        }
    }

    fn run_again(&mut self, id: ClientId) {
        let Waiting::Keys(on) = &mut self.sessions.clients[id].waiting else {
            return;
        };
        let entry = self.index.entry(on.request.number);
        let (said, instead) = (std::mem::take(&mut on.request.args), on.instead.take());
        let words = instead.as_ref().unwrap_or(&said);
        let words: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
        self.meter.command_logs.said = instead.is_some().then(|| said.clone());
        self.sessions.blocked.again = Some((id, false));
        let before = self.journal.replicas.offset();
        self.answer_late(id, |engine| match engine.gates(id, entry, &words) {
            Ok(()) => engine.call(id, entry, &words),
            Err(error) => {
                engine.meter.stats.per_command[entry.number].rejected += 1;
                engine.refuse(id, &error);
            }
        });
        self.meter.command_logs.said = None;
        let goes_on = self
            .sessions
            .blocked
            .again
            .take()
            .is_some_and(|(_, goes_on)| goes_on);
        match self
            .sessions
            .clients
            .get_mut(id)
            .map(|client| &mut client.waiting)
        {
            Some(Waiting::Keys(on)) if goes_on => (on.request.args, on.instead) = (said, instead),
            Some(_) => {
                self.note_offset(id);
                self.hold_unacknowledged(id, before);
                self.wake(id);
                self.unblock(id);
            }
            None => {}
        }
    }

    /// Answers an error to a client that waits for keys, and ends its wait.
    pub(crate) fn unblock_with_error(&mut self, id: ClientId, error: &str) {
        let unsent = self.sessions.clients[id].out.len();
        self.answer_late(id, |engine| engine.output_of(id).error(error));
        self.meter.stats.note_error(error.as_bytes());
        self.count_unserved(id, true, unsent);
        self.unblock(id);
    }

    /// The request of a client that waits now was tried for so long.
    pub(crate) fn note_tried(&mut self, id: ClientId, entry: Entry, args: Args<'_>, ns: u64) {
        let client = self.sessions.clients.get_mut(id);
        match client.map(|client| &mut client.waiting) {
            Some(Waiting::Keys(on)) => on.tried_ns += ns,
            Some(Waiting::Replicas(on)) => {
                on.asked = Some(Asked {
                    number: entry.number,
                    words: args.iter().map(|&word| word.into()).collect(),
                    ns,
                });
            }
            _ => {}
        }
    }

    /// A request that waits ends without what it waited for: it counts as a call that took as long as it was tried. `unsent` bytes of
    /// replies were there before its own.
    fn count_unserved(&mut self, id: ClientId, refused: bool, unsent: usize) {
        let client = &mut self.sessions.clients[id];
        let Waiting::Keys(on) = &mut client.waiting else {
            return;
        };
        let (request, ns) = (std::mem::take(&mut on.request.args), on.tried_ns);
        let number = on.request.number;
        self.meter.stats.per_command[number].rejected += u64::from(refused);
        self.count_waited(id, number, &request, ns, unsent);
    }

    /// A request that waited has its answer: it counts as a call that took so many nanoseconds. `unsent` bytes of replies were there
    /// before it.
    pub(crate) fn count_waited(
        &mut self,
        id: ClientId,
        number: usize,
        request: &[Box<[u8]>],
        ns: u64,
        unsent: usize,
    ) {
        self.sessions.clients[id].traffic.commands += 1;
        self.meter.stats.count_call(number, ns);
        let entry = self.index.entry(number);
        let words: Vec<&[u8]> = request.iter().map(AsRef::as_ref).collect();
        if ns >= self.meter.noted_from_ns {
            self.note_slow(id, entry, &words, ns / 1000);
        }
        if let Some(slot) = self.counted_slot(id, entry, &words) {
            let reply_bytes = self.sessions.clients[id].out.len().saturating_sub(unsent);
            self.note_slot_usage(slot, entry, &words, ns, reply_bytes);
        }
        self.note_sizes(id, entry, &words, unsent, true);
    }

    /// Answers a client that waits for keys as if its time were over.
    pub(crate) fn unblock_with_timeout(&mut self, id: ClientId) {
        let unsent = self.sessions.clients[id].out.len();
        self.answer_late(id, |engine| engine.output_of(id).null_array());
        self.count_unserved(id, false, unsent);
        self.unblock(id);
    }

    /// Gives up the waits whose time is over.
    pub(crate) fn time_out_blocked(&mut self) {
        let now_ms = self.now.mono_ms;
        while let Some(&(until, id)) = self.sessions.blocked.deadlines.first()
            && until <= now_ms
        {
            self.unblock_with_timeout(id);
        }
    }

    /// Effects of the server's own changes: counted and published, not propagated again.
    pub(crate) fn settle(&mut self) {
        self.shard.effects.propagate_nothing();
        self.journal.dirty += std::mem::take(&mut self.shard.effects.dirty);
        self.break_watches(None);
        self.send_invalidations();
        for event in std::mem::take(&mut self.shard.effects.events) {
            self.notify_key_event(&event);
        }
        self.shard.effects.propagation = commands::Propagation::AsIs;
    }
}
