//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.

use std::collections::btree_map;

use commands::{Args, Done, Error, Flags, Traits, args};

use crate::entry::Entry;
use crate::sessions::client::Client;
use crate::sessions::transaction::{Multi, Queued};
use crate::{ClientId, Engine};

/// What there is at a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum There {
    Nothing,
    /// A key whose time has come.
    Expired,
    Key,
}

impl Engine {
    /// The database that SELECT with these words chooses. What is no database is an error when it runs, and selects nothing.
    pub(crate) fn selected_by(&self, words: Args<'_>) -> Option<usize> {
        let chosen = usize::try_from(args::int(words.get(1)?).ok()?).ok()?;
        (chosen < self.shard.keyspace.databases()).then_some(chosen)
    }

    /// Queues a command of an open transaction.
    pub(crate) fn queue(&mut self, id: ClientId, entry: Entry, args: Args<'_>) {
        let wants = self.flags_of(entry, args);
        let selects = entry.command.traits.has(Traits::SELECTS_DB);
        let selected = self.selected_by(args).filter(|_| selects);
        let client = &mut self.sessions.clients[id];
        if let Some(multi) = &mut client.transaction.multi {
            if multi.broken || client.transaction.broken {
                // It will not run: nothing of it need be kept.
                client.out.status("QUEUED");
                return;
            }
            multi.db = selected.unwrap_or(multi.db);
            multi.any = multi.any.with(wants);
            for flag in [Flags::STALE, Flags::LOADING] {
                if !wants.has(flag) {
                    multi.lacking = multi.lacking.with(flag);
                }
            }
            let words: usize = args
                .iter()
                .map(|word| word.len() + size_of::<Box<[u8]>>())
                .sum();
            multi.bytes += size_of::<Queued>() + words;
            multi.queue.push(Queued::new(entry.number, args));
            client.out.status("QUEUED");
        }
    }

    /// A command was refused: an open transaction will not run.
    pub(crate) fn break_transaction(&mut self, id: ClientId) {
        if let Some(multi) = &mut self.sessions.clients[id].transaction.multi {
            multi.broken = true;
        }
    }

    /// Ends a transaction without running it, and forgets watched keys.
    pub(crate) fn drop_transaction(&mut self, id: ClientId) {
        self.sessions.clients[id].transaction.multi = None;
        self.forget_watches(id);
    }

    pub(crate) fn forget_watches(&mut self, id: ClientId) {
        self.sessions.clients[id].transaction.broken = false;
        self.drop_watches(id);
    }

    fn drop_watches(&mut self, id: ClientId) {
        let client = &mut self.sessions.clients[id];
        for (at, _) in std::mem::take(&mut client.transaction.watched) {
            if let Some(ids) = self.sessions.watchers.get_mut(&at) {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    self.sessions.watchers.remove(&at);
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
            // What a script changes its caller has changed.
            let by = by.map(|id| self.scripting_caller().unwrap_or(id));
            touched
                .iter()
                .for_each(|(_, key)| self.key_changed(by, key));
        }
        for key in touched {
            if let Some(moving) = self.keeper.transfers.moving.get_mut(&key) {
                moving.changed = true;
            }
            self.break_watches_on(&key);
        }
    }

    /// A key was changed: breaks the watches on it, unless it is only gone whose time had come before.
    pub(crate) fn break_watches_on(&mut self, at: &(usize, Box<[u8]>)) {
        let Some(ids) = self.sessions.watchers.get(at) else {
            return;
        };
        let gone = self.shard.keyspace.db_ref(at.0).peek(&at.1).is_none();
        let mut broken = Vec::new();
        for id in ids {
            let client = &mut self.sessions.clients[*id];
            let expired = client.transaction.watched.get_mut(at);
            let was_expired = expired.is_some_and(|expired| std::mem::take(expired) && gone);
            if !was_expired {
                client.transaction.broken = true;
                broken.push(*id);
            }
        }
        // Its EXEC fails whatever becomes of the rest.
        broken.into_iter().for_each(|id| self.drop_watches(id));
    }

    fn there(&self, (db, key): &(usize, Box<[u8]>)) -> There {
        let db = self.shard.keyspace.db_ref(*db);
        let now_ms = self.shard.keyspace.clock().unix_ms();
        match db.peek(key) {
            None => There::Nothing,
            Some(_) if db.expire_ms(key).is_some_and(|at_ms| at_ms <= now_ms) => There::Expired,
            Some(_) => There::Key,
        }
    }

    /// Whether the time of a watched key has come since WATCH.
    fn watches_expired(&self, id: ClientId) -> bool {
        let mut watched = self.sessions.clients[id].transaction.watched.iter();
        watched.any(|(at, expired)| !expired && self.there(at) == There::Expired)
    }

    /// Watched keys of some databases are others now: breaks the watches on those that are not as they were.
    fn break_watches_of(
        &mut self,
        concerned: impl Fn(usize) -> bool,
        change: impl Fn(&Self, &(usize, Box<[u8]>)) -> (There, There),
    ) {
        let keys = self.sessions.watchers.keys();
        let keys: Vec<_> = keys.filter(|at| concerned(at.0)).cloned().collect();
        for at in keys {
            let (before, after) = change(self, &at);
            if (before, after) == (There::Nothing, There::Nothing) {
                continue;
            }
            for id in self.sessions.watchers.get(&at).into_iter().flatten() {
                let client = &mut self.sessions.clients[*id];
                let Some(expired) = client.transaction.watched.get_mut(&at) else {
                    continue;
                };
                match after {
                    There::Nothing if *expired => *expired = false,
                    There::Expired if *expired => {}
                    There::Expired if before == There::Nothing => *expired = true,
                    _ => client.transaction.broken = true,
                }
            }
        }
    }

    /// SWAPDB has run: breaks the watches on keys of both databases that are others now.
    pub(crate) fn break_watches_on_swap(&mut self, first: usize, second: usize) {
        if self.sessions.tracking.is_used() {
            self.all_keys_changed();
        }
        let other = move |db: usize| if db == first { second } else { first };
        self.break_watches_of(
            |db| db == first || db == second,
            |engine, at| {
                let before = engine.there(&(other(at.0), at.1.clone()));
                (before, engine.there(at))
            },
        );
    }

    /// A database is about to be emptied (`None`: all of them): breaks the watches on keys that are in it.
    pub(crate) fn break_watches_on_flush(&mut self, db: Option<usize>) {
        if self.sessions.tracking.is_used() {
            self.all_keys_changed();
        }
        self.break_watches_of(
            |at| db.is_none_or(|db| db == at),
            |engine, at| (engine.there(at), There::Nothing),
        );
    }
}

/// MULTI
pub(crate) fn multi(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    let client = &mut engine.sessions.clients[id];
    client.flags.transacted = true;
    client.transaction.multi = Some(Box::new(Multi {
        db: client.db,
        ..Multi::default()
    }));
    client.out.ok();
    Ok(())
}

/// DISCARD
pub(crate) fn discard(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    if engine.sessions.clients[id].transaction.multi.is_none() {
        return Err(Error::text("ERR DISCARD without MULTI"));
    }
    engine.drop_transaction(id);
    engine.sessions.clients[id].out.ok();
    Ok(())
}

/// EXEC
pub(crate) fn exec(engine: &mut Engine, id: ClientId, _: Args<'_>) -> Done {
    let Some(multi) = engine.sessions.clients[id].transaction.multi.take() else {
        return Err(Error::text("ERR EXEC without MULTI"));
    };
    let expired = engine.watches_expired(id);
    engine.sessions.clients[id].transaction.broken |= expired;
    run_queue(engine, id, &multi)
}

fn run_queue(engine: &mut Engine, id: ClientId, multi: &Multi) -> Done {
    let watch_broken = engine.sessions.clients[id].transaction.broken;
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
    let client = &mut engine.sessions.clients[id];
    client.transaction.running = u32::try_from(multi.queue.len()).unwrap_or(u32::MAX);
    engine.meter.command_logs.before_exec = Some(client.out.len());
    client.out.array(multi.queue.len());
    engine.begin_group();
    for queued in &multi.queue {
        let words: Vec<&[u8]> = queued.args.iter().map(AsRef::as_ref).collect();
        let entry = engine.index.entry(queued.number);
        match engine.gate_access_of_queued(id, entry, &words) {
            Ok(()) => engine.call(id, entry, &words),
            Err(error) => engine.refuse(id, &error),
        }
        if engine.sessions.clients.get(id).is_none() {
            break;
        }
    }
    engine.end_group();
    engine.meter.command_logs.before_exec = None;
    if let Some(client) = engine.sessions.clients.get_mut(id) {
        client.transaction.running = 0;
    }
    Ok(())
}

/// WATCH key …
pub(crate) fn watch(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    engine.sessions.clients[id].flags.transacted = true;
    if engine.sessions.clients[id].transaction.broken {
        // It watches more, and EXEC fails all the same.
        engine.sessions.clients[id].out.ok();
        return Ok(());
    }
    for &key in &args[1..] {
        let at = (engine.sessions.clients[id].db, Box::from(key));
        let expired = engine.there(&at) == There::Expired;
        let client: &mut Client = &mut engine.sessions.clients[id];
        if let btree_map::Entry::Vacant(free) = client.transaction.watched.entry(at) {
            let watchers = engine.sessions.watchers.entry(free.key().clone());
            watchers.or_default().push(id);
            free.insert(expired);
        }
    }
    engine.sessions.clients[id].out.ok();
    engine.shard.effects.watching = true;
    Ok(())
}

/// UNWATCH
pub(crate) fn unwatch(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    engine.forget_watches(id);
    engine.sessions.clients[id].out.ok();
    Ok(())
}
