//! `maxmemory`: choosing keys to give up.
//!
//! As Redis does: a few keys are looked at in each database, and the best candidates seen so far are remembered from one round to
//! the next, so that the choice comes near to the true key that is used least.

use commands::{Error, EventClass};
use conf::MaxmemoryPolicy;

use crate::Engine;
use crate::shard::evictions::{Candidate, POOL};

/// Keys given up between two looks at the memory in use.
const BATCH: usize = 16;

/// How long eviction may take, microseconds (`maxmemory-eviction-tenacity`): up to 10 fifty more by step, then 15 % more.
fn patience_us(tenacity: u32) -> u64 {
    match tenacity {
        0..=10 => 50 * u64::from(tenacity),
        11..=99 => {
            let steps = i32::try_from(tenacity - 10).unwrap_or(0);
            std::time::Duration::from_secs_f64(500e-6 * 1.15_f64.powi(steps))
                .as_micros()
                .try_into()
                .unwrap_or(u64::MAX)
        }
        _ => u64::MAX,
    }
}

const OUT_OF_MEMORY: Error = Error::text("OOM command not allowed when used memory > 'maxmemory'.");

impl Engine {
    /// Memory that counts: without what replicas have still to be sent.
    fn memory_in_question(&self) -> u64 {
        let used = u64::try_from(self.host.memory_estimate()).unwrap_or(u64::MAX);
        used.saturating_sub(self.memory_not_counted())
    }

    /// Memory that is no reason to evict: what replicas and the append-only file have still to be told.
    pub(crate) fn memory_not_counted(&self) -> u64 {
        let backlog = self.journal.replicas.backlog.as_ref();
        let stream = backlog.map_or(0, replication::Backlog::memory);
        u64::try_from(stream).unwrap_or(0) + self.append_only_bytes() + self.export_bytes()
    }

    /// Whether memory is below `maxmemory`.
    pub(crate) fn has_room(&self) -> bool {
        self.memory_in_question() <= self.config.maxmemory
    }

    /// Frees memory until it is below `maxmemory`, as the policy says.
    ///
    /// # Errors
    /// When it cannot: commands that would take more memory are refused.
    pub(crate) fn make_room(&mut self) -> Result<(), Error> {
        let limit = self.config.maxmemory;
        let paused = self.sessions.paused_until_ms.is_some();
        if limit == 0 || paused || self.is_slave() && self.journal.replaying {
            self.note_over_limit(false);
            return Ok(());
        }
        if self.has_room() {
            self.note_over_limit(false);
            return Ok(());
        }
        let made = self.evict();
        let over = made.is_err() || !self.has_room();
        self.note_over_limit(over);
        made
    }

    /// Notes since when memory is above `maxmemory`, and for how long it was.
    fn note_over_limit(&mut self, over: bool) {
        if over || self.meter.stats.removed.over_limit.is_over() {
            let now_us = self.host.mono_us();
            self.meter.stats.removed.over_limit.note(over, now_us);
        }
    }

    /// Evicts as the policy says and as long as it may take.
    fn evict(&mut self) -> Result<(), Error> {
        let limit = self.config.maxmemory;
        let importing = self.config.import_mode && !self.is_slave();
        if importing || self.config.maxmemory_policy == MaxmemoryPolicy::NoEviction {
            return Err(OUT_OF_MEMORY);
        }
        let start_us = self.host.mono_us();
        let until_us =
            start_us.saturating_add(patience_us(self.config.maxmemory_eviction_tenacity));
        let made = self.evict_until(limit, until_us);
        let usec = self.host.mono_us().saturating_sub(start_us);
        self.note_latency("eviction-cycle", usec);
        made
    }

    /// Evicts until memory is below the limit, or it is so late: then the next command or tick goes on.
    fn evict_until(&mut self, limit: u64, until_us: u64) -> Result<(), Error> {
        let mut limit = limit;
        loop {
            let mut evicted = 0;
            for db in 0..self.shard.keyspace.databases() {
                for _ in 0..BATCH {
                    let Some(told) = self.evict_one(db) else {
                        break;
                    };
                    // What clients are told of it is on its way out, and no reason to evict more.
                    limit = limit.saturating_add(told);
                    evicted += 1;
                    // Small memories are looked at more often, so that no more goes than has to.
                    if evicted % 4 == 0 && self.memory_in_question() <= limit {
                        break;
                    }
                }
            }
            // What was given up is freed here and now: it is to be counted.
            for db in 0..self.shard.keyspace.databases() {
                drop(self.shard.keyspace.db(db).take_garbage());
            }
            if evicted == 0 {
                return Err(OUT_OF_MEMORY);
            }
            if self.memory_in_question() <= limit || self.host.mono_us() >= until_us {
                return Ok(());
            }
        }
    }

    /// Gives up one key of a database, and answers how much memory it took to tell of it; none where there is none to give up.
    fn evict_one(&mut self, db: usize) -> Option<u64> {
        let key = self.choose(db)?;
        let start_us = self.host.mono_us();
        let removed = self.shard.keyspace.db(db).remove(&key);
        let usec = self.host.mono_us().saturating_sub(start_us);
        self.note_latency("eviction-del", usec);
        let before = self.memory_in_question();
        if removed {
            self.meter.stats.removed.evicted += 1;
            self.propagate(
                db,
                &[commands::removal(self.config.lazyfree_lazy_eviction), &key],
            );
            self.shard.effects.touch(db, &key);
            self.shard
                .effects
                .event(db, &key, EventClass::Evicted, "evicted");
            self.settle();
        }
        Some(self.memory_in_question().saturating_sub(before))
    }

    fn choose(&mut self, db: usize) -> Option<Box<[u8]>> {
        let policy = self.config.maxmemory_policy;
        let volatile = matches!(
            policy,
            MaxmemoryPolicy::VolatileLru
                | MaxmemoryPolicy::VolatileLfu
                | MaxmemoryPolicy::VolatileRandom
                | MaxmemoryPolicy::VolatileTtl
        );
        let random = matches!(
            policy,
            MaxmemoryPolicy::VolatileRandom | MaxmemoryPolicy::AllkeysRandom
        );
        let database = self.shard.keyspace.db_ref(db);
        if database.is_empty() || volatile && database.expires_len() == 0 {
            return None;
        }
        if self.shard.evictions.by_database.len() <= db {
            self.shard
                .evictions
                .by_database
                .resize_with(db + 1, Vec::new);
        }
        let pool = &mut self.shard.evictions.by_database[db];
        let samples = if random {
            1
        } else {
            usize::try_from(self.config.maxmemory_samples).unwrap_or(usize::MAX)
        };
        let rng = &mut self.shard.rng;
        if random {
            pool.clear();
        }
        // What was remembered may all be gone: then a second look finds others.
        for _ in 0..2 {
            database.sample(samples, volatile, &mut || rng.next_u64(), |sample| {
                let rank = match policy {
                    MaxmemoryPolicy::VolatileTtl => u64::MAX - sample.expire_ms.unwrap_or(u64::MAX),
                    _ => sample.idleness,
                };
                let at = pool.partition_point(|candidate| candidate.rank < rank);
                let known = pool.iter().any(|candidate| *candidate.key == *sample.key);
                if !known && (at > 0 || pool.len() < POOL) {
                    pool.insert(
                        at,
                        Candidate {
                            rank,
                            key: sample.key.into(),
                        },
                    );
                    if pool.len() > POOL {
                        pool.remove(0);
                    }
                }
            });
            while let Some(candidate) = pool.pop() {
                // It may be gone, or have lost its expiry, since it was seen.
                if database.peek(&candidate.key).is_some()
                    && (!volatile || database.expire_ms(&candidate.key).is_some())
                {
                    return Some(candidate.key);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::patience_us;

    #[test]
    fn patience_grows_with_tenacity() {
        assert_eq!([0, 1, 10].map(patience_us), [0, 50, 500]);
        assert_eq!(patience_us(11), 575);
        assert!((100_000_000..200_000_000).contains(&patience_us(99)));
        assert_eq!(patience_us(100), u64::MAX);
    }
}
