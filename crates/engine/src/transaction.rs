//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.

use std::collections::BTreeMap;

use commands::{Args, Done, Error, Traits, args};

use crate::client::Client;
use crate::index::Entry;
use crate::{ClientId, Engine};

/// An open transaction.
#[derive(Debug, Default)]
pub struct Multi {
    pub(crate) queue: Vec<Queued>,
    /// The database in which the next command will run.
    pub(crate) db: usize,
    /// Memory of the queue, bytes.
    pub(crate) bytes: usize,
    /// A command was refused while queueing: EXEC will fail.
    pub(crate) broken: bool,
}

/// A queued command.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) entry: Entry,
    pub(crate) args: Vec<Box<[u8]>>,
}

impl Queued {
    /// A request to be run later.
    pub(crate) fn new(entry: Entry, args: Args<'_>) -> Self {
        Self {
            entry,
            args: args.iter().map(|&word| word.into()).collect(),
        }
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.entry, other.entry) && self.args == other.args
    }
}

impl Eq for Queued {}

/// Who watches which key: (database, key) to clients.
pub(crate) type Watchers = BTreeMap<(usize, Box<[u8]>), Vec<ClientId>>;

impl Engine {
    /// Queues a command of an open transaction.
    pub(crate) fn queue(&mut self, id: ClientId, entry: Entry, args: Args<'_>) {
        let databases = self.shard.keyspace.databases();
        let client = &mut self.sessions.clients[id];
        if let Some(multi) = &mut client.multi {
            if entry.command.traits.has(Traits::SELECTS_DB) {
                let chosen = args.get(1).and_then(|word| args::int(word).ok());
                let chosen = chosen.and_then(|chosen| usize::try_from(chosen).ok());
                multi.db = chosen
                    .filter(|chosen| *chosen < databases)
                    .unwrap_or(multi.db);
            }
            let words: usize = args
                .iter()
                .map(|word| word.len() + size_of::<Box<[u8]>>())
                .sum();
            multi.bytes += size_of::<Queued>() + words;
            multi.queue.push(Queued::new(entry, args));
            client.out.status("QUEUED");
        }
    }

    /// A command was refused: an open transaction will not run.
    pub(crate) fn break_transaction(&mut self, id: ClientId) {
        if let Some(multi) = &mut self.sessions.clients[id].multi {
            multi.broken = true;
        }
    }

    /// Ends a transaction without running it, and forgets watched keys.
    pub(crate) fn drop_transaction(&mut self, id: ClientId) {
        self.sessions.clients[id].multi = None;
        self.forget_watches(id);
    }

    pub(crate) fn forget_watches(&mut self, id: ClientId) {
        let client = &mut self.sessions.clients[id];
        client.watch_broken = false;
        for key in std::mem::take(&mut client.watched) {
            if let Some(ids) = self.sessions.watchers.get_mut(&key) {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    self.sessions.watchers.remove(&key);
                }
            }
        }
        self.note_watching();
    }

    /// Commands are to tell which keys they change while anybody wants to know.
    pub(crate) fn note_watching(&mut self) {
        self.shard.effects.watching = !self.sessions.watchers.is_empty()
            || !self.keeper.transfers.moving.is_empty()
            || self.sessions.tracking.is_used()
            || self.is_writable_replica();
    }

    /// Breaks the watches on what the last command changed, and notes it for clients that track keys.
    pub(crate) fn break_watches(&mut self, by: Option<ClientId>) {
        let touched = std::mem::take(&mut self.shard.effects.touched);
        if self.sessions.tracking.is_used() {
            touched
                .iter()
                .for_each(|(_, key)| self.key_changed(by, key));
        }
        for key in touched {
            if let Some(moving) = self.keeper.transfers.moving.get_mut(&key) {
                moving.changed = true;
            }
            for id in self.sessions.watchers.get(&key).into_iter().flatten() {
                self.sessions.clients[*id].watch_broken = true;
            }
        }
    }

    /// A database is about to be emptied (`None`: all of them): breaks the watches on keys that are in it.
    pub(crate) fn break_watches_on_flush(&mut self, db: Option<usize>) {
        if self.sessions.tracking.is_used() {
            self.all_keys_changed();
        }
        for ((at, key), ids) in &self.sessions.watchers {
            if db.is_none_or(|db| db == *at) && self.shard.keyspace.db_ref(*at).peek(key).is_some()
            {
                ids.iter()
                    .for_each(|id| self.sessions.clients[*id].watch_broken = true);
            }
        }
    }
}

/// MULTI
pub(crate) fn multi(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    let client = &mut engine.sessions.clients[id];
    if client.multi.is_some() {
        return Err(Error::text("ERR MULTI calls can not be nested"));
    }
    client.multi = Some(Box::new(Multi {
        db: client.db,
        ..Multi::default()
    }));
    client.out.ok();
    Ok(())
}

/// DISCARD
pub(crate) fn discard(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    if engine.sessions.clients[id].multi.is_none() {
        return Err(Error::text("ERR DISCARD without MULTI"));
    }
    engine.drop_transaction(id);
    engine.sessions.clients[id].out.ok();
    Ok(())
}

/// EXEC
pub(crate) fn exec(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let Some(multi) = engine.sessions.clients[id].multi.take() else {
        return Err(Error::text("ERR EXEC without MULTI"));
    };
    let done = run_queue(engine, id, &multi);
    // It is shown behind what it ran.
    engine.tell_monitors(id, args);
    done
}

fn run_queue(engine: &mut Engine, id: ClientId, multi: &Multi) -> Done {
    let watch_broken = engine.sessions.clients[id].watch_broken;
    engine.forget_watches(id);
    if multi.broken {
        return Err(Error::text(
            "EXECABORT Transaction discarded because of previous errors.",
        ));
    }
    if watch_broken {
        engine.sessions.clients[id].out.null_array();
        return Ok(());
    }
    engine.sessions.clients[id].out.array(multi.queue.len());
    engine.begin_group();
    for queued in &multi.queue {
        let words: Vec<&[u8]> = queued.args.iter().map(AsRef::as_ref).collect();
        match engine.gate_access_of_queued(id, queued.entry, &words) {
            Ok(()) => engine.call(id, queued.entry, &words),
            Err(error) => engine.refuse(id, &error),
        }
        if engine.sessions.clients.get(id).is_none() {
            break;
        }
    }
    engine.end_group();
    Ok(())
}

/// WATCH key …
pub(crate) fn watch(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let client: &mut Client = &mut engine.sessions.clients[id];
    if client.multi.is_some() {
        return Err(Error::text("ERR WATCH inside MULTI is not allowed"));
    }
    for &key in &args[1..] {
        let key = (client.db, Box::from(key));
        if !client.watched.contains(&key) {
            engine
                .sessions
                .watchers
                .entry(key.clone())
                .or_default()
                .push(id);
            client.watched.push(key);
        }
    }
    client.out.ok();
    engine.shard.effects.watching = true;
    Ok(())
}

/// UNWATCH
pub(crate) fn unwatch(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    engine.forget_watches(id);
    engine.sessions.clients[id].out.ok();
    Ok(())
}
