//! Who waits for which keys. What ends a wait is in `blocking.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use commands::Awaited;

use crate::ClientId;
use crate::sessions::transaction::Queued;

/// What a client that is blocked on keys waits for.
#[derive(Debug, PartialEq, Eq)]
pub struct OnKeys {
    /// Run again when a key is ready.
    pub(crate) request: Queued,
    /// The words that it is run again with, where they are not its own.
    pub(crate) instead: Option<Vec<Box<[u8]>>>,
    pub(crate) awaited: Awaited,
    pub(crate) keys: Vec<Box<[u8]>>,
    pub(crate) db: usize,
    /// [`crate::Now::mono_ms`]; none waits for ever.
    pub(crate) until_ms: Option<u64>,
    /// How long its tries took, nanoseconds.
    pub(crate) tried_ns: u64,
}

impl OnKeys {
    pub(crate) fn has_deadline(&self) -> bool {
        self.until_ms.is_some()
    }
}

/// All clients that wait for keys.
#[derive(Debug, Default)]
pub(crate) struct Blocked {
    pub(crate) by_key: BTreeMap<(usize, Box<[u8]>), VecDeque<ClientId>>,
    pub(crate) deadlines: BTreeSet<(u64, ClientId)>,
    /// Keys whose end ends a wait, and how many wait so.
    pub(crate) may_go: BTreeMap<(usize, Box<[u8]>), usize>,
    /// The client whose request is run again, and whether it has to go on waiting.
    pub(crate) again: Option<(ClientId, bool)>,
}

impl Blocked {
    /// Whether the request that runs was shown to the monitors when it began to wait.
    pub(crate) fn runs_again(&self) -> bool {
        self.again.is_some()
    }

    /// How many keys clients wait for.
    pub(crate) fn keys(&self) -> usize {
        self.by_key.len()
    }

    /// How many of them it is enough to lose.
    pub(crate) fn keys_that_may_go(&self) -> usize {
        self.may_go.len()
    }

    /// The keys of a database that clients wait for.
    pub(crate) fn keys_of(&self, db: usize) -> impl Iterator<Item = Box<[u8]>> {
        self.by_key
            .keys()
            .filter(move |(at, _)| *at == db)
            .map(|(_, key)| key.clone())
    }
}
