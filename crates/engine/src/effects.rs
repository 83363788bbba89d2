//! What a command left behind, applied: expired keys first, then WATCH, events, and propagation.

use commands::{EventClass, Propagation, Traits};

use crate::entry::Entry;
use crate::{ClientId, Engine};

impl Engine {
    /// Applies the effects of the command `args` that ran for `id` in database `db`, and leaves [`Engine::effects`] empty.
    /// Answers whether data were changed.
    pub(crate) fn apply_effects(
        &mut self,
        id: ClientId,
        entry: Entry,
        db: usize,
        args: &[&[u8]],
    ) -> bool {
        if !self.shard.keyspace.clock().take_expired() {
            return self.apply_own_effects(id, entry, db, args);
        }
        // What expired meanwhile goes out with the command, as one.
        let apart = entry.command.traits.has(Traits::EXPIRES_APART);
        if !apart {
            self.begin_group();
        }
        // It happened before what the command did.
        let later = std::mem::take(&mut self.shard.effects.events);
        self.propagate_noted();
        self.shard.effects.events.extend(later);
        let changed = self.apply_own_effects(id, entry, db, args);
        if !apart {
            self.end_group();
        }
        changed
    }

    /// The same on the short way where nothing is left behind but a change, which is told to the file and the replicas in the bytes that
    /// asked for it. False where it takes more than that; then nothing has happened.
    pub(crate) fn tell_as_sent(&mut self, db: usize, args: &[&[u8]], request: &[u8]) -> bool {
        let plain = self.shard.effects.is_idle()
            && !self.shard.keyspace.clock().has_expired()
            && self.says_as_sent()
            && aof::is_encoded(request, args);
        if plain && self.count_changes() > 0 {
            self.feed_append_only_encoded(db, request);
            self.count_unheard();
            self.feed_replicas_encoded(db, args[0], request);
        }
        plain
    }

    fn apply_own_effects(&mut self, id: ClientId, entry: Entry, db: usize, args: &[&[u8]]) -> bool {
        let dirty = self.count_changes();
        if self.shard.effects.is_idle() {
            if dirty > 0 && !self.nobody_listens() {
                self.propagate(db, args);
            }
            return dirty > 0;
        }
        if let Some((first, second)) = self.shard.effects.swapped.take() {
            self.databases_swapped(first, second);
        }
        if self.is_writable_replica() && !self.journal.replaying {
            self.note_own_keys();
        }
        self.break_watches(Some(id));
        if self.sessions.tracking.is_used() {
            self.send_invalidations_to_others(id);
        }
        self.publish_events();
        match std::mem::take(&mut self.shard.effects.propagation) {
            Propagation::AsIs if dirty == 0 => {}
            Propagation::AsIs | Propagation::Forced => self.propagate(db, args),
            Propagation::Replicas => self.propagate_to_replicas(db, args),
            Propagation::Instead(commands) => self.propagate_all(db, &commands),
        }
        if !self.shard.effects.ready.is_empty() {
            self.sessions.ready.append(&mut self.shard.effects.ready);
        }
        if let Some(block) = self.shard.effects.block.take() {
            self.block_on_keys(id, entry, args, block);
        }
        dirty > 0
    }

    /// Counts what a command changed, and gives that number.
    #[inline]
    pub(crate) fn count_changes(&mut self) -> u64 {
        let effects = &mut self.shard.effects;
        let dirty = std::mem::take(&mut effects.dirty);
        self.journal.dirty += dirty;
        self.meter.stats.removed.expired_fields += std::mem::take(&mut effects.expired_fields);
        dirty
    }

    /// Whether changes need not be told to anybody: no file, no replica.
    #[inline]
    pub(crate) fn nobody_listens(&self) -> bool {
        self.appends_nothing() && !self.writes_stream() && !self.keeper.migrations.is_exporting()
    }

    /// Keys that a door met after their time: each becomes an UNLINK for the file and the replicas, and an event.
    pub(crate) fn propagate_expired(&mut self) {
        if self.shard.keyspace.clock().take_expired() {
            self.propagate_noted();
        }
    }

    fn propagate_noted(&mut self) {
        for db in 0..self.shard.keyspace.databases() {
            self.propagate_expired_fields(db);
            for key in self.shard.keyspace.db(db).take_expired() {
                self.meter.stats.removed.expired += 1;
                if self.sessions.tracking.is_used() {
                    self.key_changed(None, &key);
                }
                self.propagate(
                    db,
                    &[commands::removal(self.config.lazyfree_lazy_expire), &key],
                );
                self.shard
                    .effects
                    .event(db, &key, EventClass::Expired, "expired");
                self.break_watches_on(&(db, key));
            }
            self.note_new_and_missed(db);
        }
    }

    /// Keys that are new, and keys that were to be read and are not there: events for who asked for them.
    fn note_new_and_missed(&mut self, db: usize) {
        for (noted, key) in self.shard.keyspace.db(db).take_noted() {
            self.shard.effects.noted(db, noted, &key);
        }
    }

    /// After SWAPDB: who watches a key of either database is told, and who waits for one may find it now.
    fn databases_swapped(&mut self, first: usize, second: usize) {
        self.break_watches_on_swap(first, second);
        for db in [first, second] {
            let waiting = self.sessions.blocked.keys_of(db);
            self.shard
                .effects
                .ready
                .extend(waiting.map(|key| (db, key)));
        }
    }

    /// Fields that a cycle deleted: an HDEL for each hash, and a DEL where nothing is left of it.
    fn propagate_expired_fields(&mut self, db: usize) {
        let removal = commands::removal(self.config.lazyfree_lazy_expire);
        for gone in self.shard.keyspace.db(db).take_expired_fields() {
            let key = &gone.key;
            self.meter.stats.removed.expired_fields += gone.fields.len() as u64;
            let fields = gone.fields.iter().map(AsRef::as_ref);
            let command: Vec<&[u8]> = [&b"HDEL"[..], key].into_iter().chain(fields).collect();
            self.propagate(db, &command);
            let effects = &mut self.shard.effects;
            effects.touch(db, key);
            effects.event(db, key, EventClass::Expired, "hexpired");
            if gone.key_gone {
                effects.event(db, key, EventClass::Generic, "del");
                self.propagate(db, &[removal, key]);
            }
        }
    }

    fn publish_events(&mut self) {
        for event in std::mem::take(&mut self.shard.effects.events) {
            self.notify_key_event(&event);
        }
    }
}
