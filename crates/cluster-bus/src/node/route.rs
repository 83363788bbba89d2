//! Where a command with keys has to be served: here, or with which redirection.

use std::fmt;
use std::net::IpAddr;

use super::{Node, PeerKey};
use crate::{Slot, key_slot};

/// What of a command and its client decides about its way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query {
    /// The client sent ASKING, or the command implies it (RESTORE-ASKING).
    pub asking: bool,
    /// The client sent READONLY.
    pub client_is_readonly: bool,
    /// The command only reads.
    pub command_is_readonly: bool,
    /// The command is MIGRATE, which may always move keys of an open slot.
    pub is_migrate: bool,
}

/// Where to go. Everything but [`Route::Here`] displays as the text of the error reply, without the leading `-`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Serve it.
    Here,
    /// Another node owns the slot.
    Moved {
        /// The keys' slot.
        slot: Slot,
        /// Its owner's address, `None` if that is unknown.
        ip: Option<IpAddr>,
        /// Its owner's port.
        port: u16,
    },
    /// The slot is on its way to another node, and so are these keys.
    Ask {
        /// The keys' slot.
        slot: Slot,
        /// The receiving node's address, `None` if that is unknown.
        ip: Option<IpAddr>,
        /// The receiving node's port.
        port: u16,
    },
    /// The cluster is not ok.
    ClusterDown,
    /// Nobody owns the slot.
    SlotNotServed,
    /// Some of the keys are here and some are not.
    TryAgain,
    /// The keys are in different slots.
    CrossSlot,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut redirect = |word: &str, slot: Slot, ip: Option<IpAddr>, port: u16| {
            write!(f, "{word} {slot} ")?;
            ip.map_or(Ok(()), |ip| write!(f, "{ip}"))?;
            write!(f, ":{port}")
        };
        match *self {
            Self::Here => Ok(()),
            Self::Moved { slot, ip, port } => redirect("MOVED", slot, ip, port),
            Self::Ask { slot, ip, port } => redirect("ASK", slot, ip, port),
            Self::ClusterDown => f.write_str("CLUSTERDOWN The cluster is down"),
            Self::SlotNotServed => f.write_str("CLUSTERDOWN Hash slot not served"),
            Self::TryAgain => {
                f.write_str("TRYAGAIN Multiple keys request during rehashing of slot")
            }
            Self::CrossSlot => f.write_str("CROSSSLOT Keys in request don't hash to the same slot"),
        }
    }
}

impl Node {
    /// The way of a command (for EXEC: of all queued ones) with these keys. To be asked only for commands that can
    /// have keys; commands of our own master are not routed at all.
    pub fn route<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a [u8]>,
        query: Query,
        mut key_exists: impl FnMut(&[u8]) -> bool,
    ) -> Route {
        if !self.health.is_ok() {
            return Route::ClusterDown;
        }
        let mut keys = keys.into_iter();
        let Some(first) = keys.next() else {
            return Route::Here;
        };
        let slot = key_slot(first);
        let Some(owner) = self.table.owner(slot) else {
            return Route::SlotNotServed;
        };
        let myself = self.table.myself();
        let migrating_to = self
            .table
            .migrating
            .get(&slot)
            .copied()
            .filter(|_| owner == myself);
        let importing = migrating_to.is_none() && self.table.importing.contains_key(&slot);
        let open = migrating_to.is_some() || importing;
        let mut several = false;
        let mut missing = open && !key_exists(first);
        for key in keys {
            if key != first {
                if key_slot(key) != slot {
                    return Route::CrossSlot;
                }
                several = true;
            }
            missing |= open && !key_exists(key);
        }
        if open && query.is_migrate {
            return Route::Here;
        }
        if let Some(target) = migrating_to.filter(|_| missing) {
            // SETSLOT … MIGRATING takes this node, too.
            if target == myself {
                return Route::Here;
            }
            let (ip, port) = self.address(target);
            return Route::Ask { slot, ip, port };
        }
        if importing && query.asking {
            return if several && missing {
                Route::TryAgain
            } else {
                Route::Here
            };
        }
        let from_replica = query.client_is_readonly
            && query.command_is_readonly
            && self.my_master() == Some(owner);
        if owner == myself || from_replica {
            Route::Here
        } else {
            self.moved(slot, owner)
        }
    }

    /// For a client that is blocked on these keys: the error that it has to be told, if they are no longer served here.
    pub fn route_blocked<'a>(&self, keys: impl IntoIterator<Item = &'a [u8]>) -> Option<Route> {
        if !self.health.is_ok() {
            return Some(Route::ClusterDown);
        }
        keys.into_iter().find_map(|key| {
            let slot = key_slot(key);
            let owner = self.table.owner(slot);
            if owner == Some(self.table.myself()) || self.table.importing.contains_key(&slot) {
                return None;
            }
            Some(owner.map_or(Route::SlotNotServed, |owner| self.moved(slot, owner)))
        })
    }

    fn moved(&self, slot: Slot, owner: PeerKey) -> Route {
        let (ip, port) = self.address(owner);
        if ip.is_none() || port == 0 {
            // Nobody can be sent to where nobody knows.
            return Route::SlotNotServed;
        }
        Route::Moved { slot, ip, port }
    }

    fn address(&self, key: PeerKey) -> (Option<IpAddr>, u16) {
        let addr = self.table[key].addr;
        (addr.ip, addr.port)
    }
}
