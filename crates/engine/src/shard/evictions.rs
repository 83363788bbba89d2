//! The best candidates for eviction. The choice among them is in `evict.rs`.

/// Candidates remembered per database (Redis 3.0: `REDIS_EVICTION_POOL_SIZE`).
pub(crate) const POOL: usize = 16;

/// A key that may be given up: the higher the rank, the sooner.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) rank: u64,
    pub(crate) key: Box<[u8]>,
}

/// The candidates of each database, lowest rank first.
#[derive(Debug, Default)]
pub(crate) struct EvictionPools {
    pub(crate) by_database: Vec<Vec<Candidate>>,
    /// `maxmemory` was changed: keys may have to go at the end of the turn.
    pub(crate) due: bool,
}
