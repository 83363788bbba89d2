//! Where the search for keys whose time has come stands. The search is in `expire.rs`.

use std::collections::BTreeSet;

/// What is left of a cycle.
#[derive(Debug, Default)]
pub(crate) struct ExpireCycle {
    /// The database that is, or was last, looked at.
    pub(crate) db: usize,
    /// Positions left in it.
    pub(crate) positions: usize,
    /// Databases left after it.
    pub(crate) databases: usize,
    /// Fields of hashes are left whose time has come.
    pub(crate) fields: bool,
}

impl ExpireCycle {
    pub(crate) fn has_keys(&self) -> bool {
        self.positions > 0 || self.databases > 0
    }
}

/// Keys with an expiry that clients wrote on a replica: its primary does not know them, so the replica itself lets them expire.
#[derive(Debug, Default)]
pub(crate) struct OwnKeys {
    pub(crate) keys: BTreeSet<(usize, Box<[u8]>)>,
    /// Where the next look goes on.
    next: (usize, Box<[u8]>),
}

impl OwnKeys {
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Up to `most` of them, each time others.
    pub(crate) fn some(&mut self, most: usize) -> Vec<(usize, Box<[u8]>)> {
        let some: Vec<_> = self
            .keys
            .range(self.next.clone()..)
            .take(most)
            .cloned()
            .collect();
        self.next = match some.last() {
            // The first behind it.
            Some((db, key)) if some.len() == most => (*db, [key, &[0][..]].concat().into()),
            _ => (0, Box::default()),
        };
        some
    }
}
