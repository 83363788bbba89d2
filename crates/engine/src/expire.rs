//! The cycle that deletes keys whose time has come, within a slice of each tick.

use crate::Engine;

/// Table positions looked at between two looks at the clock.
const STEP: usize = 256;
/// The share of a tick's time that the cycle may take, per cent (Redis 3.0: `ACTIVE_EXPIRE_CYCLE_SLOW_TIME_PERC`).
const TIME_SHARE_PERCENT: u64 = 25;

impl Engine {
    /// One slow cycle: goes on from where the last one stopped, database by database, until it has been round once or its
    /// time is over.
    pub(crate) fn expire_cycle(&mut self) {
        if self.keyspace.clock().expiry() != store::ExpiryMode::Delete || !self.active_expire {
            return;
        }
        let start = self.host.mono_us();
        let budget_us = 1_000_000 * TIME_SHARE_PERCENT / 100 / u64::from(self.config.hz.max(1));
        for _ in 0..self.keyspace.databases() {
            let db = self.expire_db % self.keyspace.databases();
            // Enough steps to see all keys of a small database, or a good part of a big one.
            let mut left = self
                .keyspace
                .db_ref(db)
                .len()
                .saturating_mul(2)
                .clamp(STEP, 64 * 1024);
            while left > 0 && self.keyspace.db_ref(db).expires_len() > 0 {
                self.keyspace.db(db).expire_step(STEP);
                self.propagate_expired();
                left = left.saturating_sub(STEP);
                if self.host.mono_us().saturating_sub(start) > budget_us {
                    self.settle();
                    return;
                }
            }
            self.expire_db = db + 1;
        }
        self.settle();
    }
}
