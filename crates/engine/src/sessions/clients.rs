//! The connected clients, each under a name that no other client ever has.

use std::ops::{Index, IndexMut};

use slab::Slab;

use crate::sessions::client_id::ClientId;
use crate::{Client, Peer};

/// The number of the one client through which scripts call commands. Valkey has two such, and gives others numbers from 3 on.
const SCRIPTS_SERIAL: u64 = 1;
const FIRST_SERIAL: u64 = 3;

/// All clients. Indexing with the name of a client that is gone panics; [`Clients::get`] answers `None`.
#[derive(Debug)]
pub(crate) struct Clients {
    /// In boxes: places that are free take little, and more of them can be made without moving the clients.
    slab: Slab<Box<Client>>,
    next_serial: u64,
}

impl Clients {
    pub(crate) fn new() -> Self {
        Self {
            slab: Slab::new(),
            next_serial: FIRST_SERIAL,
        }
    }

    pub(crate) fn add(&mut self, peer: Peer, now_ms: u64) -> ClientId {
        let serial = self.next_serial;
        self.next_serial += 1;
        self.put(serial, peer, now_ms)
    }

    /// The client of scripts.
    pub(crate) fn add_for_scripts(&mut self, peer: Peer, now_ms: u64) -> ClientId {
        self.put(SCRIPTS_SERIAL, peer, now_ms)
    }

    fn put(&mut self, serial: u64, peer: Peer, now_ms: u64) -> ClientId {
        let place = self
            .slab
            .insert(Box::new(Client::new(serial, peer, now_ms)));
        // Each takes a descriptor, of which a process has fewer.
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        ClientId { serial, place }
    }

    pub(crate) fn remove(&mut self, id: ClientId) {
        if self.contains(id) {
            self.slab.remove(id.place());
        }
    }

    #[inline]
    pub(crate) fn get(&self, id: ClientId) -> Option<&Client> {
        let client = self.slab.get(id.place())?;
        (client.serial == id.serial).then_some(client)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: ClientId) -> Option<&mut Client> {
        let client = self.slab.get_mut(id.place())?;
        (client.serial == id.serial).then_some(client)
    }

    pub(crate) fn contains(&self, id: ClientId) -> bool {
        self.get(id).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// All, in the order of their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ClientId, &Client)> {
        self.slab.iter().map(|(place, client)| {
            let id = ClientId {
                serial: client.serial,
                place: u32::try_from(place).unwrap_or(u32::MAX),
            };
            (id, &**client)
        })
    }
}

impl Index<ClientId> for Clients {
    type Output = Client;

    #[inline]
    fn index(&self, id: ClientId) -> &Client {
        let client = &self.slab[id.place()];
        assert!(client.serial == id.serial, "a client that is gone");
        client
    }
}

impl IndexMut<ClientId> for Clients {
    #[inline]
    fn index_mut(&mut self, id: ClientId) -> &mut Client {
        let client = &mut self.slab[id.place()];
        assert!(client.serial == id.serial, "a client that is gone");
        client
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_used_again_has_another_name() {
        let mut clients = Clients::new();
        let peer = Peer {
            addr: "127.0.0.1:1".to_owned(),
            local_addr: String::new(),
            fd: 3,
            unix: false,
            ..Peer::default()
        };
        let first = clients.add(peer.clone(), 0);
        clients.remove(first);
        clients.remove(first);
        let second = clients.add(peer, 0);
        assert_eq!(first.place(), second.place());
        assert!(clients.get(first).is_none() && clients.get_mut(first).is_none());
        assert_eq!(clients[second].serial, second.serial());
        clients.remove(first);
        assert!(clients.contains(second), "the old name removes nobody");
        assert_eq!(
            clients.iter().map(|(id, _)| id).collect::<Vec<_>>(),
            [second]
        );
    }
}
