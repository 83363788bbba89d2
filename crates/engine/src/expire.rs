//! The cycle that deletes keys whose time has come, in slices between which clients are served.

use store::ExpiryMode;

use crate::Engine;
use crate::shard::expiry::OwnKeys;

/// Table positions looked at between two looks at the clock.
const STEP: usize = 256;
/// Fields of hashes deleted between two looks at the clock.
const FIELDS_STEP: usize = 32;
/// Table positions of one database that a cycle looks at, at most.
const MOST_POSITIONS: usize = 64 * 1024;
/// How long a slice may take with the least `active-expire-effort`; each step of it adds a tenth. With a pause of two milliseconds after
/// it the cycle has a fifth of the time, a little less than Redis gives it, but nobody waits for longer than a slice.
const SLICE_US: u64 = 500;

impl Engine {
    /// Whether clients may write here although this is a replica.
    pub(crate) fn is_writable_replica(&self) -> bool {
        self.is_slave() && !self.config.slave_read_only
    }

    /// Notes which of the keys that a client's command touched expire. What the primary writes is its own, also under such a name.
    pub(crate) fn note_own_keys(&mut self) {
        let streamed = self.shard.keyspace.clock().expiry() == ExpiryMode::Ignore;
        for (db, key) in &self.shard.effects.touched {
            let own = (*db, key.clone());
            if streamed {
                self.shard.own_keys.keys.remove(&own);
            } else if self.shard.keyspace.db_ref(*db).expire_ms(key).is_some() {
                self.shard.own_keys.keys.insert(own);
            }
        }
    }

    /// Deletes keys of the replica's own whose time has come; forgets those that expire no more, and all where it is no replica.
    fn expire_own_keys(&mut self) {
        const AT_ONCE: usize = 64;
        if self.shard.own_keys.keys.is_empty() || !self.shard.active_expire {
            return;
        }
        if !self.is_slave() {
            self.shard.own_keys = OwnKeys::default();
            return;
        }
        let before = self.shard.keyspace.clock().expiry();
        self.shard.keyspace.clock().set_expiry(ExpiryMode::Delete);
        for (db, key) in self.shard.own_keys.some(AT_ONCE) {
            let database = self.shard.keyspace.db(db);
            if !database.exists(&key) || database.expire_ms(&key).is_none() {
                self.shard.own_keys.keys.remove(&(db, key));
            }
        }
        self.shard.keyspace.clock().set_expiry(before);
        self.propagate_expired();
        self.settle();
    }

    /// Part of each tick: begins a cycle, unless the last one goes on, and runs its first slice.
    pub(crate) fn expire_cycle(&mut self) {
        self.expire_own_keys();
        if !self.shard.expire.has_keys() {
            self.shard.expire.databases = self.shard.keyspace.databases();
        }
        self.expire_slice();
    }

    /// Whether [`Engine::expire_slice`] is to be called again soon, after others had their turn.
    #[must_use]
    pub fn is_expiring(&self) -> bool {
        self.shard.expire.has_keys() || self.shard.expire.fields
    }

    /// One slice of the cycle: goes on from where the last one stopped, database by database.
    pub fn expire_slice(&mut self) {
        if self.shard.keyspace.clock().expiry() != ExpiryMode::Delete || !self.shard.active_expire {
            self.shard.expire.positions = 0;
            self.shard.expire.databases = 0;
            self.shard.expire.fields = false;
            return;
        }
        let start_us = self.host.mono_us();
        let effort = u64::from(self.config.active_expire_effort.max(1)) - 1;
        let slice_us = SLICE_US + effort * (SLICE_US / 10);
        // Keys have half of a slice where both have something to do.
        let of_fields_us = slice_us / if self.shard.expire.has_keys() { 2 } else { 1 };
        self.shard.expire.fields = self.expire_fields_slice(start_us + of_fields_us);
        self.expire_keys_slice(start_us + slice_us);
        let elapsed_us = self.host.mono_us().saturating_sub(start_us);
        self.note_latency("expire-cycle", elapsed_us);
        let left = self.is_expiring();
        let cycle = &mut self.meter.stats.removed.cycle;
        cycle.us += elapsed_us;
        cycle.cut_short += u64::from(left);
        self.settle();
        self.serve_blocked();
    }

    /// Deletes keys whose time has come, until the slice ends or all databases have been looked at.
    fn expire_keys_slice(&mut self, until_us: u64) {
        let (mut seen, mut deleted) = (0, 0);
        while self.shard.expire.has_keys() {
            if self.shard.expire.positions == 0 {
                self.shard.expire.databases -= 1;
                self.shard.expire.db = (self.shard.expire.db + 1) % self.shard.keyspace.databases();
                // Enough steps to see all keys of a small database, or a good part of a big one.
                let keys = self.shard.keyspace.db_ref(self.shard.expire.db).len();
                self.shard.expire.positions = keys.saturating_mul(2).clamp(STEP, MOST_POSITIONS);
            }
            let db = self.shard.expire.db;
            if self.shard.keyspace.db_ref(db).expires_len() == 0 {
                self.shard.expire.positions = 0;
                continue;
            }
            let step = self.shard.keyspace.db(db).expire_step(STEP);
            (seen, deleted) = (seen + step.0, deleted + step.1);
            self.propagate_expired();
            self.shard.expire.positions = self.shard.expire.positions.saturating_sub(STEP);
            if self.host.mono_us() >= until_us {
                break;
            }
        }
        self.meter.stats.removed.cycle.note_stale(seen, deleted);
    }

    /// Deletes fields of hashes whose time has come, until the slice ends; whether some are left for the next one.
    fn expire_fields_slice(&mut self, until_us: u64) -> bool {
        let now_ms = self.shard.keyspace.clock().unix_ms();
        for db in 0..self.shard.keyspace.databases() {
            let is_due = |due: u64| due < now_ms;
            while self
                .shard
                .keyspace
                .db_ref(db)
                .fields_due_ms()
                .is_some_and(is_due)
            {
                self.shard.keyspace.db(db).expire_fields(FIELDS_STEP);
                self.propagate_expired();
                if self.host.mono_us() >= until_us {
                    return true;
                }
            }
        }
        false
    }
}
