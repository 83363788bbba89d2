//! The cycle that deletes keys whose time has come, in slices between which clients are served.

use crate::Engine;

/// Table positions looked at between two looks at the clock.
const STEP: usize = 256;
/// Table positions of one database that a cycle looks at, at most.
const MOST_POSITIONS: usize = 64 * 1024;
/// How long a slice may take. With a pause of four times that after it the cycle has a fifth of the time, a little less than Redis 3.0
/// gives it (`ACTIVE_EXPIRE_CYCLE_SLOW_TIME_PERC`), but nobody waits for longer than a slice.
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
    /// Part of each tick: begins a cycle, unless the last one goes on, and runs its first slice.
    pub(crate) fn expire_cycle(&mut self) {
        if !self.is_expiring() {
            self.expire.databases = self.keyspace.databases();
        }
        self.expire_slice();
    }

    /// Whether [`Engine::expire_slice`] is to be called again soon, after others had their turn.
    #[must_use]
    pub fn is_expiring(&self) -> bool {
        self.expire.positions > 0 || self.expire.databases > 0
    }

    /// One slice of the cycle: goes on from where the last one stopped, database by database.
    pub fn expire_slice(&mut self) {
        if self.keyspace.clock().expiry() != store::ExpiryMode::Delete || !self.active_expire {
            self.expire.positions = 0;
            self.expire.databases = 0;
            return;
        }
        let start_us = self.host.mono_us();
        while self.is_expiring() {
            if self.expire.positions == 0 {
                self.expire.databases -= 1;
                self.expire.db = (self.expire.db + 1) % self.keyspace.databases();
                // Enough steps to see all keys of a small database, or a good part of a big one.
                let keys = self.keyspace.db_ref(self.expire.db).len();
                self.expire.positions = keys.saturating_mul(2).clamp(STEP, MOST_POSITIONS);
            }
            if self.keyspace.db_ref(self.expire.db).expires_len() == 0 {
                self.expire.positions = 0;
                continue;
            }
            self.keyspace.db(self.expire.db).expire_step(STEP);
            self.propagate_expired();
            self.expire.positions = self.expire.positions.saturating_sub(STEP);
            let elapsed_us = self.host.mono_us().saturating_sub(start_us);
            self.note_latency("expire-cycle", elapsed_us);
            if elapsed_us >= SLICE_US {
                break;
            }
        }
        self.settle();
    }
}
