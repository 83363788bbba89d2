//! Which keys clients track. What they are told is in `tracking.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::ClientId;

/// Which of a client's reads are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// All.
    All,
    /// Those that follow CLIENT CACHING YES.
    OptIn,
    /// All but those that follow CLIENT CACHING NO.
    OptOut,
    /// None: the client hears of all keys with its prefixes.
    Broadcast,
}

/// CLIENT TRACKING of one client.
#[derive(Debug)]
pub(crate) struct Tracking {
    pub(crate) mode: Mode,
    /// The client does not hear of its own changes.
    pub(crate) no_loop: bool,
    /// Who is told instead.
    pub(crate) redirect: Option<ClientId>,
    /// That client is gone.
    pub(crate) broken: bool,
    /// Those of the table.
    pub(crate) prefixes: BTreeSet<Rc<[u8]>>,
    /// CLIENT CACHING, for the next command.
    pub(crate) caching: bool,
}

impl Tracking {
    /// The letters of CLIENT LIST's flags.
    pub(crate) fn marks(&self) -> impl Iterator<Item = char> {
        let marks = [
            (true, 't'),
            (self.broken, 'R'),
            (self.mode == Mode::Broadcast, 'B'),
        ];
        marks
            .into_iter()
            .filter(|(set, _)| *set)
            .map(|(_, mark)| mark)
    }

    /// Bytes of its own. The prefixes themselves are the table's, once for all clients.
    pub(crate) fn memory(&self) -> usize {
        /// What a tree that is two thirds full takes for each of its words.
        const PREFIX: usize = size_of::<Rc<[u8]>>() * 3 / 2;
        size_of::<Self>() + self.prefixes.len() * PREFIX
    }

    /// CLIENT LIST's `redir`.
    pub(crate) fn redirect_id(&self) -> i64 {
        self.redirect
            .map_or(0, |id| i64::try_from(id.serial()).unwrap_or(i64::MAX))
    }
}

/// Keys in their order.
pub(crate) type KeySet = BTreeSet<Box<[u8]>>;

/// What all clients track.
#[derive(Debug, Default)]
pub(crate) struct TrackingTable {
    /// Keys, and the clients that have read them since they changed.
    pub(crate) by_key: BTreeMap<Box<[u8]>, BTreeSet<ClientId>>,
    /// How many clients they are together, each counted with each of its keys.
    pub(crate) items: usize,
    /// The length of the longest prefix that there ever was.
    pub(crate) longest_prefix: usize,
    /// Prefixes, and the clients that hear of keys with them.
    pub(crate) by_prefix: BTreeMap<Rc<[u8]>, BTreeSet<ClientId>>,
    /// How many clients track.
    pub(crate) clients: usize,
    /// Clients that are to be told of keys that they have read, each key in a message of its own.
    pub(crate) pending: Vec<(ClientId, Box<[u8]>)>,
    /// What the clients of each prefix are to be told in one message.
    pub(crate) broadcasts: BTreeMap<(Rc<[u8]>, ClientId), KeySet>,
    /// Clients that are to forget everything.
    pub(crate) flushed: Vec<ClientId>,
}

impl TrackingTable {
    /// Whether anybody tracks anything.
    pub(crate) fn is_used(&self) -> bool {
        self.clients > 0
    }

    /// A client hears of the keys with a prefix. Gives the prefix as it is kept here.
    pub(crate) fn listen(&mut self, id: ClientId, prefix: &[u8]) -> Rc<[u8]> {
        self.longest_prefix = prefix.len().max(self.longest_prefix);
        let known = self.by_prefix.get_key_value(prefix);
        let prefix = known.map_or_else(|| prefix.into(), |(known, _)| Rc::clone(known));
        let clients = self.by_prefix.entry(Rc::clone(&prefix)).or_default();
        clients.insert(id);
        prefix
    }

    /// How many keys are remembered, for how many clients each, and how many prefixes: as INFO shows them.
    pub(crate) fn totals(&self) -> [usize; 3] {
        [self.by_key.len(), self.items, self.by_prefix.len()]
    }
}
