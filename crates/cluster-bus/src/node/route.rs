//! Where a command with keys has to be served: here, or with which redirection.

use std::fmt;

use super::io::Caller;
use super::state::Node;
use super::table::PeerKey;
use crate::{Slot, key_slot};

/// What of a command and its client decides about its way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query {
    /// The client.
    pub caller: Caller,
    /// The client sent ASKING, or the command implies it (RESTORE-ASKING).
    pub asking: bool,
    /// The client sent READONLY.
    pub client_is_readonly: bool,
    /// The command may write. EXEC: one of the queued ones may.
    pub writes: bool,
    /// The command is one of the channels of a shard (SPUBLISH, SSUBSCRIBE).
    pub is_pubsub: bool,
    /// The command is MIGRATE, which may always move keys of an open slot.
    pub is_migrate: bool,
    /// It is put into a transaction: whether its keys are there is looked at by EXEC.
    pub is_queued: bool,
    /// It reaches into another database than that of the client, where nobody looks whether its keys are there.
    pub leaves_db: bool,
}

/// Where to go. Everything but [`Route::Here`] displays as the text of the error reply, without the leading `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Serve it.
    Here,
    /// Another node owns the slot.
    Moved {
        /// The keys' slot.
        slot: Slot,
        /// Its owner's address or name.
        name: String,
        /// Its owner's port.
        port: u16,
    },
    /// The slot is on its way to another node, and so are these keys.
    Ask {
        /// The keys' slot.
        slot: Slot,
        /// The receiving node's address or name.
        name: String,
        /// The receiving node's port.
        port: u16,
    },
    /// The cluster is not ok.
    ClusterDown,
    /// The cluster is not ok, and what only reads is served.
    ClusterDownForWrites,
    /// Nobody owns the slot.
    SlotNotServed,
    /// Some of the keys are here and some are not.
    TryAgain,
    /// The keys are in different slots.
    CrossSlot,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here => Ok(()),
            Self::Moved { slot, name, port } => write!(f, "MOVED {slot} {name}:{port}"),
            Self::Ask { slot, name, port } => write!(f, "ASK {slot} {name}:{port}"),
            Self::ClusterDown => f.write_str("CLUSTERDOWN The cluster is down"),
            Self::ClusterDownForWrites => {
                f.write_str("CLUSTERDOWN The cluster is down and only accepts read commands")
            }
            Self::SlotNotServed => f.write_str("CLUSTERDOWN Hash slot not served"),
            Self::TryAgain => {
                f.write_str("TRYAGAIN Multiple keys request during rehashing of slot")
            }
            Self::CrossSlot => f.write_str("CROSSSLOT Keys in request don't hash to the same slot"),
        }
    }
}

/// Which of the keys of a request are here.
#[derive(Default)]
struct Presence {
    several: bool,
    missing: bool,
    existing: bool,
}

impl Presence {
    fn of<'a>(
        keys: impl Iterator<Item = &'a [u8]>,
        first: &[u8],
        mut key_exists: impl FnMut(&[u8]) -> bool,
    ) -> Self {
        let mut found = Self::default();
        for key in keys {
            found.several |= key != first;
            let exists = key_exists(key);
            found.existing |= exists;
            found.missing |= !exists;
        }
        found
    }
}

impl Node {
    /// Whether a request for one key of this slot is served here, whoever sends it: the slot is ours, no slot is on its way, and the
    /// cluster is ok. The usual case, told with little memory touched: the set of a node's slots takes 2 KB, the table of owners 128,
    /// and would be fetched anew for most requests. False where [`Self::route`] has to be asked.
    #[inline]
    #[must_use]
    pub fn is_settled(&self, slot: Slot) -> bool {
        let table = &self.table;
        table.migrating.is_empty()
            && table.importing.is_empty()
            && self.health.is_ok()
            && table[table.myself()].slots().contains(slot)
    }

    /// The way of a command (for EXEC: of all queued ones) with these keys. To be asked only for commands that can
    /// have keys; commands of our own master are not routed at all. `key_exists` is asked of all keys in their order, or of none.
    pub fn route<'a>(
        &self,
        keys: impl Iterator<Item = &'a [u8]> + Clone,
        query: Query,
        key_exists: impl FnMut(&[u8]) -> bool,
    ) -> Route {
        let mut others = keys.clone();
        let Some(first) = others.next() else {
            return Route::Here;
        };
        let slot = key_slot(first);
        if others.any(|key| key != first && key_slot(key) != slot) {
            return Route::CrossSlot;
        }
        if self.is_settled(slot) {
            return Route::Here;
        }
        let Some(owner) = self.table.owner(slot) else {
            return Route::SlotNotServed;
        };
        if let Some(down) = self.refuse_while_down(query) {
            return down;
        }
        let ours = self.my_master().unwrap_or(self.table.myself());
        let looks_at_open_slots = self.is_master() || query.client_is_readonly;
        let migrating_to = self.table.migrating.get(&slot).copied();
        let migrating_to = migrating_to.filter(|_| looks_at_open_slots && owner == ours);
        let importing = looks_at_open_slots
            && migrating_to.is_none()
            && self.table.importing.contains_key(&slot);
        if migrating_to.is_some() || importing {
            if query.is_migrate && self.is_master() {
                return Route::Here;
            }
            if query.leaves_db {
                return Route::TryAgain;
            }
            // Channels are nowhere to be found, and are not missed.
            let found = if query.is_pubsub || query.is_queued {
                Presence::default()
            } else {
                Presence::of(keys, first, key_exists)
            };
            if let Some(target) = migrating_to.filter(|_| found.missing) {
                return self.ask(query.caller, slot, target, &found);
            }
            if importing && query.asking {
                let torn = found.several && found.missing;
                return if torn { Route::TryAgain } else { Route::Here };
            }
        }
        let from_replica = (query.client_is_readonly || query.is_pubsub)
            && !query.writes
            && self.my_master() == Some(owner);
        if owner == self.table.myself() || from_replica {
            Route::Here
        } else {
            self.moved(query.caller, slot, owner)
        }
    }

    /// What is refused while the cluster is not ok.
    fn refuse_while_down(&self, query: Query) -> Option<Route> {
        let config = &self.config;
        if self.health.is_ok() {
            return None;
        }
        if query.is_pubsub {
            return (!config.allow_pubsubshard_when_down).then_some(Route::ClusterDown);
        }
        if !config.allow_reads_when_down {
            return Some(Route::ClusterDown);
        }
        query.writes.then_some(Route::ClusterDownForWrites)
    }

    /// Keys that are missing from a slot that is handed over are there already, or are nowhere.
    fn ask(&self, caller: Caller, slot: Slot, target: PeerKey, found: &Presence) -> Route {
        if found.existing {
            return Route::TryAgain;
        }
        match self.redirect_to(caller, target) {
            Some((name, port)) => Route::Ask { slot, name, port },
            None => Route::SlotNotServed,
        }
    }

    /// For a client that is blocked on these keys: the error that it has to be told, if they are no longer served here.
    pub fn route_blocked<'a>(
        &self,
        query: Query,
        keys: impl IntoIterator<Item = &'a [u8]>,
    ) -> Option<Route> {
        // A replica serves what only reads for who said READONLY.
        let reads = query.client_is_readonly && !query.writes;
        let master = self.my_master().filter(|_| reads);
        if !self.health.is_ok() {
            return Some(Route::ClusterDown);
        }
        keys.into_iter().find_map(|key| {
            let slot = key_slot(key);
            let owner = self.table.owner(slot);
            if owner.is_some_and(|owner| owner == self.table.myself() || Some(owner) == master)
                || self.table.importing.contains_key(&slot)
            {
                return None;
            }
            Some(owner.map_or(Route::SlotNotServed, |owner| {
                self.moved(query.caller, slot, owner)
            }))
        })
    }

    fn moved(&self, caller: Caller, slot: Slot, owner: PeerKey) -> Route {
        match self.redirect_to(caller, owner) {
            Some((name, port)) => Route::Moved { slot, name, port },
            // Nobody can be sent to where nobody knows.
            None => Route::SlotNotServed,
        }
    }
}
