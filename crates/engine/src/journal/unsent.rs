//! Replies that are held back until enough replicas have what was written. When they leave is in `acknowledge.rs`.

use std::collections::{BTreeMap, VecDeque};

use resp::Reply;

use crate::ClientId;

/// Replies that are held back.
#[derive(Debug, Default)]
pub(crate) struct Unsent {
    pub(crate) clients: BTreeMap<ClientId, VecDeque<Part>>,
    /// Something was held back in this turn.
    pub(crate) asks: bool,
}

/// What a client is answered once the stream has come to enough replicas.
#[derive(Debug)]
pub(crate) struct Part {
    /// Up to here.
    pub(crate) offset: u64,
    /// Since when it waits ([`crate::Now::mono_ms`]).
    pub(crate) since_ms: u64,
    pub(crate) reply: Reply,
}

impl Unsent {
    pub(crate) fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Where what is sent to a client now belongs, if it is not to overtake what is held back.
    pub(crate) fn last(&mut self, id: ClientId) -> Option<&mut Reply> {
        let part = self.clients.get_mut(&id)?.back_mut();
        part.map(|part| &mut part.reply)
    }

    /// Whether something is held back from a client.
    pub(crate) fn holds(&self, id: ClientId) -> bool {
        self.clients.contains_key(&id)
    }

    pub(crate) fn forget(&mut self, id: ClientId) {
        self.clients.remove(&id);
    }
}
