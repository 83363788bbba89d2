//! All databases of one server.

use crate::{Clock, Db};

/// All databases. They share one [`Clock`].
#[derive(Debug)]
pub struct Keyspace {
    clock: Clock,
    dbs: Vec<Db>,
}

impl Keyspace {
    /// `databases` empty databases. With `by_slot` (cluster mode) keys are kept slot by slot.
    #[must_use]
    pub fn new(databases: usize, by_slot: bool) -> Self {
        Self::with_clock(Clock::new(), databases.max(1), by_slot)
    }

    /// As many empty databases with the same clock.
    #[must_use]
    pub fn beside(&self, by_slot: bool) -> Self {
        Self::with_clock(self.clock.clone(), self.dbs.len(), by_slot)
    }

    fn with_clock(clock: Clock, databases: usize, by_slot: bool) -> Self {
        let dbs = (0..databases)
            .map(|_| Db::new(clock.clone(), by_slot))
            .collect();
        Self { clock, dbs }
    }

    /// The clock that the doors read.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// How many databases there are.
    #[must_use]
    pub fn databases(&self) -> usize {
        self.dbs.len()
    }

    /// Whether no database holds a key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        (0..self.databases()).all(|index| self.db_ref(index).is_empty())
    }

    /// One database.
    ///
    /// # Panics
    /// When `index` is not below [`Keyspace::databases`]: SELECT has checked it.
    #[must_use]
    pub fn db(&mut self, index: usize) -> &mut Db {
        &mut self.dbs[index]
    }

    /// One database, seen only.
    ///
    /// # Panics
    /// As [`Keyspace::db`].
    #[must_use]
    pub fn db_ref(&self, index: usize) -> &Db {
        &self.dbs[index]
    }

    /// Two databases at once, for MOVE.
    ///
    /// # Panics
    /// As [`Keyspace::db`], and when both are the same.
    #[must_use]
    pub fn db_pair(&mut self, a: usize, b: usize) -> (&mut Db, &mut Db) {
        let [a, b] = self
            .dbs
            .get_disjoint_mut([a, b])
            .expect("two different databases that exist");
        (a, b)
    }
}
