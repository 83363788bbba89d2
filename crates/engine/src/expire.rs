//! The cycle that deletes keys whose time has come, in slices between which clients are served.

use commands::{Args, Flags};
use store::ExpiryMode;

use crate::index::Entry;
use crate::{ClientId, Engine};

/// Table positions looked at between two looks at the clock.
const STEP: usize = 256;
/// Fields of hashes deleted between two looks at the clock.
const FIELDS_STEP: usize = 128;
/// Table positions of one database that a cycle looks at, at most.
const MOST_POSITIONS: usize = 64 * 1024;
/// How long a slice may take with the least `active-expire-effort`; each step of it adds a tenth. With a pause of two milliseconds after
/// it the cycle has a fifth of the time, a little less than Redis gives it, but nobody waits for longer than a slice.
const SLICE_US: u64 = 500;

/// What is left of a cycle.
#[derive(Debug, Default)]
pub(crate) struct ExpireCycle {
    /// The database that is, or was last, looked at.
    db: usize,
    /// Positions left in it.
    positions: usize,
    /// Databases left after it.
    databases: usize,
}

impl Engine {
    /// A client of a writable replica ran a command: keys to which it gave a time are the replica's own to delete.
    pub(crate) fn note_own_keys(&mut self, id: ClientId, entry: Entry, db: usize, args: Args<'_>) {
        let from_primary = self
            .sessions
            .clients
            .get(id)
            .is_none_or(|client| client.flags.master);
        if from_primary || !entry.command.flags.has(Flags::WRITE) {
            return;
        }
        let Some(slave) = &mut self.keeper.slave else {
            return;
        };
        let mut keys = Vec::new();
        crate::cluster::push_keys(entry, args, |at| args[at], &mut keys);
        let data = self.shard.keyspace.db_ref(db);
        keys.retain(|key| data.expire_ms(key).is_some());
        let keys = keys.into_iter().map(|key| (db, Box::from(key)));
        slave.own_keys.extend(keys);
    }

    /// Part of each tick: keys that clients gave to this replica, and whose time has come. Its primary does not know of them.
    pub(crate) fn expire_own_keys(&mut self) {
        let own = self.keeper.slave.as_mut().map(|slave| &mut slave.own_keys);
        let Some(mut own) = own.filter(|own| !own.is_empty()).map(std::mem::take) else {
            return;
        };
        self.shard.keyspace.clock().set_expiry(ExpiryMode::Delete);
        own.retain(|(db, key)| {
            let db = self.shard.keyspace.db(*db);
            db.exists(key) && db.expire_ms(key).is_some()
        });
        self.propagate_expired();
        self.apply_expiry_rule();
        if let Some(slave) = &mut self.keeper.slave {
            slave.own_keys = own;
        }
    }

    /// Part of each tick: begins a cycle, unless the last one goes on, and runs its first slice.
    pub(crate) fn expire_cycle(&mut self) {
        if !self.is_expiring() {
            self.shard.expire.databases = self.shard.keyspace.databases();
        }
        self.expire_slice();
    }

    /// Whether [`Engine::expire_slice`] is to be called again soon, after others had their turn.
    #[must_use]
    pub fn is_expiring(&self) -> bool {
        self.shard.expire.positions > 0 || self.shard.expire.databases > 0
    }

    /// One slice of the cycle: goes on from where the last one stopped, database by database.
    pub fn expire_slice(&mut self) {
        if self.shard.keyspace.clock().expiry() != store::ExpiryMode::Delete
            || !self.shard.active_expire
        {
            self.shard.expire.positions = 0;
            self.shard.expire.databases = 0;
            return;
        }
        let start_us = self.host.mono_us();
        self.expire_fields_slice(start_us);
        while self.is_expiring() {
            if self.shard.expire.positions == 0 {
                self.shard.expire.databases -= 1;
                self.shard.expire.db = (self.shard.expire.db + 1) % self.shard.keyspace.databases();
                // Enough steps to see all keys of a small database, or a good part of a big one.
                let keys = self.shard.keyspace.db_ref(self.shard.expire.db).len();
                self.shard.expire.positions = keys.saturating_mul(2).clamp(STEP, MOST_POSITIONS);
            }
            if self
                .shard
                .keyspace
                .db_ref(self.shard.expire.db)
                .expires_len()
                == 0
            {
                self.shard.expire.positions = 0;
                continue;
            }
            self.shard
                .keyspace
                .db(self.shard.expire.db)
                .expire_step(STEP);
            self.propagate_expired();
            self.shard.expire.positions = self.shard.expire.positions.saturating_sub(STEP);
            let elapsed_us = self.host.mono_us().saturating_sub(start_us);
            self.note_latency("expire-cycle", elapsed_us);
            let effort = u64::from(self.config.active_expire_effort.max(1)) - 1;
            if elapsed_us >= SLICE_US + effort * (SLICE_US / 10) {
                break;
            }
        }
        self.settle();
        self.serve_blocked();
    }

    /// Deletes fields of hashes whose time has come, as long as a slice lasts; what is left is for the next one.
    fn expire_fields_slice(&mut self, start_us: u64) {
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
                if self.host.mono_us().saturating_sub(start_us) >= SLICE_US {
                    self.shard.expire.databases = self.shard.expire.databases.max(1);
                    return;
                }
            }
        }
    }
}
