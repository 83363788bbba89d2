//! Clients that wait for an element of a list: BLPOP, BRPOP, BRPOPLPUSH.
//!
//! Clients are served in the order in which they began to wait, after the command (or transaction, or script) that made a
//! list of the key has run whole.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use commands::{Block, BlockKind, EventClass};
use store::{List, Owned, ValueMut};

use crate::client::Waiting;
use crate::{ClientId, Engine};

/// What a client blocked on lists waits for.
#[derive(Debug, PartialEq, Eq)]
pub struct OnLists {
    pub(crate) kind: BlockKind,
    pub(crate) keys: Vec<Box<[u8]>>,
    pub(crate) db: usize,
    /// Unix milliseconds; none waits for ever.
    pub(crate) until_ms: Option<u64>,
}

/// All waiting clients.
#[derive(Debug, Default)]
pub(crate) struct Blocked {
    by_key: BTreeMap<(usize, Box<[u8]>), VecDeque<ClientId>>,
    pub(crate) deadlines: BTreeSet<(u64, ClientId)>,
    /// How many clients wait (INFO's `blocked_clients`).
    pub(crate) clients: usize,
}

/// What serving one client from one list came to.
enum Served {
    Yes,
    /// The client got an error; the element stays.
    Refused,
}

impl Engine {
    /// Makes a client wait. Its requests are not run until [`Engine::unblock`].
    pub(crate) fn block_on_lists(&mut self, id: ClientId, block: Block) {
        self.calm = false;
        let now_ms = self.now.unix_ms();
        let until_ms = (block.timeout_ms > 0).then(|| now_ms.saturating_add(block.timeout_ms));
        let client = &mut self.sessions.clients[id];
        let db = client.db;
        for key in &block.keys {
            let queue = self
                .sessions
                .blocked
                .by_key
                .entry((db, key.clone()))
                .or_default();
            if !queue.contains(&id) {
                queue.push_back(id);
            }
        }
        client.waiting = Waiting::Lists(OnLists {
            kind: block.kind,
            keys: block.keys,
            db,
            until_ms,
        });
        self.sessions
            .blocked
            .deadlines
            .extend(until_ms.map(|until| (until, id)));
        self.sessions.blocked.clients += 1;
        self.shard.effects.blocking = true;
    }

    /// Ends a client's wait on lists: it is in no queue any more, and its next requests are run at the end of the turn.
    pub(crate) fn unblock_lists(&mut self, id: ClientId) {
        let client = &mut self.sessions.clients[id];
        let Waiting::Lists(on) = std::mem::take(&mut client.waiting) else {
            return;
        };
        self.sessions.blocked.clients -= 1;
        if let Some(until) = on.until_ms {
            self.sessions.blocked.deadlines.remove(&(until, id));
        }
        for key in on.keys {
            let key = (on.db, key);
            if let Some(queue) = self.sessions.blocked.by_key.get_mut(&key) {
                queue.retain(|other| *other != id);
                if queue.is_empty() {
                    self.sessions.blocked.by_key.remove(&key);
                }
            }
        }
        self.shard.effects.blocking = !self.sessions.blocked.by_key.is_empty();
        self.resume(id);
    }

    /// Serves waiting clients from the lists that came to be since the last call.
    pub(crate) fn serve_blocked(&mut self) {
        // Serving BRPOPLPUSH can make another list ready: go on until there is none.
        while !self.sessions.ready.is_empty() {
            for (db, key) in std::mem::take(&mut self.sessions.ready) {
                self.serve_key(db, &key);
            }
        }
    }

    fn serve_key(&mut self, db: usize, key: &[u8]) {
        let queue_key = (db, Box::from(key));
        while let Some(id) = self
            .sessions
            .blocked
            .by_key
            .get(&queue_key)
            .and_then(|queue| queue.front().copied())
        {
            if !matches!(
                self.shard.keyspace.db(db).write(key),
                Some(ValueMut::List(_))
            ) {
                return;
            }
            let Waiting::Lists(on) = &self.sessions.clients[id].waiting else {
                return;
            };
            let kind = on.kind.clone();
            match kind {
                BlockKind::PopLeft => self.serve_pop(id, db, key, true),
                BlockKind::PopRight => self.serve_pop(id, db, key, false),
                BlockKind::PopRightPushLeft(target) => {
                    if matches!(self.serve_move(id, db, key, &target), Served::Yes) {
                        self.shard.effects.list_ready(db, &target);
                        self.sessions.ready.append(&mut self.shard.effects.ready);
                    }
                }
            }
            self.wake(id);
            self.unblock_lists(id);
        }
    }

    fn serve_pop(&mut self, id: ClientId, db: usize, key: &[u8], left: bool) {
        let out = &mut self.sessions.clients[id].out;
        let Some(ValueMut::List(list)) = self.shard.keyspace.db(db).write(key) else {
            return;
        };
        out.array(2);
        out.bulk(key);
        if left {
            list.pop_front(|element| out.bulk(element));
        } else {
            list.pop_back(|element| out.bulk(element));
        }
        let empty = list.is_empty();
        let command: &[u8] = if left { b"LPOP" } else { b"RPOP" };
        self.after_pop(db, key, empty);
        self.propagate(db, &[command, key]);
    }

    fn serve_move(&mut self, id: ClientId, db: usize, key: &[u8], target: &[u8]) -> Served {
        let database = self.shard.keyspace.db(db);
        if !matches!(database.write(target), None | Some(ValueMut::List(_))) {
            self.sessions.clients[id]
                .out
                .error(commands::Error::WrongType.to_string());
            return Served::Refused;
        }
        let Some(ValueMut::List(list)) = database.write(key) else {
            return Served::Refused;
        };
        let Some(element) = list.pop_back(<[u8]>::to_vec) else {
            return Served::Refused;
        };
        let empty = list.is_empty();
        if let ValueMut::List(list) = database.write_or_insert(target, || Owned::List(List::new()))
        {
            list.push_front(&element, &self.shard.settings.limits);
        }
        self.sessions.clients[id].out.bulk(&element);
        self.after_pop(db, key, empty && key != target);
        self.shard.effects.touch(db, target);
        self.shard
            .effects
            .event(db, target, EventClass::List, "lpush");
        self.propagate(db, &[b"RPOPLPUSH", key, target]);
        self.settle();
        Served::Yes
    }

    /// The source of a served pop is removed where it is empty now. Who watches the key, and who listens to events, has heard of the
    /// push that served it; of the pop, as in Redis 3.0, they do not hear.
    fn after_pop(&mut self, db: usize, key: &[u8], empty: bool) {
        if empty {
            self.shard.keyspace.db(db).remove(key);
        }
    }

    /// Effects of the server's own changes: counted and published, not propagated again.
    pub(crate) fn settle(&mut self) {
        self.shard.effects.propagate_nothing();
        self.journal.dirty += std::mem::take(&mut self.shard.effects.dirty);
        self.break_watches();
        for event in std::mem::take(&mut self.shard.effects.events) {
            self.notify_key_event(&event);
        }
        self.shard.effects.propagation = commands::Propagation::AsIs;
    }

    /// Ends all waits with an error: the server becomes a slave, whose lists are its master's, and so are the replicas that WAIT
    /// asked for.
    pub(crate) fn refuse_blocked(&mut self) {
        let waiting = |(id, client): (ClientId, &crate::Client)| {
            matches!(client.waiting, Waiting::Lists(_)).then_some(id)
        };
        let mut all: Vec<ClientId> = self.sessions.clients.iter().filter_map(waiting).collect();
        all.extend(self.stop_waiting_for_replicas());
        for id in all {
            let refusal = "UNBLOCKED force unblock from blocking operation, instance state changed (master -> slave?)";
            self.output_of(id).error(refusal);
            self.unblock_lists(id);
            self.close_after_reply(id);
        }
    }

    /// Gives up the waits whose time is over.
    pub(crate) fn time_out_blocked(&mut self) {
        let now_ms = self.now.unix_ms();
        while let Some(&(until, id)) = self.sessions.blocked.deadlines.first()
            && until <= now_ms
        {
            self.sessions.clients[id].out.null_array();
            self.wake(id);
            self.unblock_lists(id);
        }
    }
}
