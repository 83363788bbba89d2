//! Who is subscribed to what. The commands are in `pubsub.rs`.

use std::collections::{BTreeMap, BTreeSet};

use crate::ClientId;
use crate::sessions::client::Subscriptions;

/// Names and the clients that are subscribed to each.
pub(crate) type Subscribers = BTreeMap<Box<[u8]>, BTreeSet<ClientId>>;

/// Who listens to what.
#[derive(Debug, Default)]
pub(crate) struct PubSub {
    pub(crate) channels: Subscribers,
    pub(crate) patterns: Subscribers,
    /// Channels that belong to slots.
    pub(crate) sharded: Subscribers,
}

/// A way of subscribing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Channel,
    Pattern,
    Sharded,
}

impl Kind {
    pub(crate) fn joined(self) -> &'static str {
        match self {
            Self::Channel => "subscribe",
            Self::Pattern => "psubscribe",
            Self::Sharded => "ssubscribe",
        }
    }

    pub(crate) fn left(self) -> &'static str {
        match self {
            Self::Channel => "unsubscribe",
            Self::Pattern => "punsubscribe",
            Self::Sharded => "sunsubscribe",
        }
    }

    pub(crate) fn subscribers(self, all: &mut PubSub) -> &mut Subscribers {
        match self {
            Self::Channel => &mut all.channels,
            Self::Pattern => &mut all.patterns,
            Self::Sharded => &mut all.sharded,
        }
    }

    pub(crate) fn names(self, all: &mut Subscriptions) -> &mut BTreeSet<Box<[u8]>> {
        match self {
            Self::Channel => &mut all.channels,
            Self::Pattern => &mut all.patterns,
            Self::Sharded => &mut all.sharded,
        }
    }
}

impl PubSub {
    pub(crate) fn leave(&mut self, kind: Kind, id: ClientId, name: &[u8]) {
        let subscribers = kind.subscribers(self);
        if let Some(clients) = subscribers.get_mut(name) {
            clients.remove(&id);
            if clients.is_empty() {
                subscribers.remove(name);
            }
        }
    }
}
