//! Connections that MIGRATE keeps for the next time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tls::Wire;
use tokio::io::BufReader;

/// Idle sockets are closed after this (Redis 3.0: `MIGRATE_SOCKET_CACHE_TTL`).
pub(crate) const IDLE: Duration = Duration::from_secs(10);

/// How many sockets are kept (Redis 3.0: `MIGRATE_SOCKET_CACHE_ITEMS`).
pub(crate) const MOST_IDLE: usize = 64;

/// An open connection to a target, with the database that is selected on it.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) stream: BufReader<Wire>,
    pub(crate) db: Option<i64>,
    pub(crate) used: Instant,
}

/// Idle connections, by target.
#[derive(Debug, Default)]
pub(crate) struct Sockets(RefCell<BTreeMap<(String, u16), Vec<Socket>>>);

impl Sockets {
    pub(crate) fn take(&self, target: &(String, u16)) -> Option<Socket> {
        self.0.borrow_mut().get_mut(target)?.pop()
    }

    pub(crate) fn put(&self, target: (String, u16), mut socket: Socket) {
        socket.used = Instant::now();
        let mut all = self.0.borrow_mut();
        if all.values().map(Vec::len).sum::<usize>() < MOST_IDLE {
            all.entry(target).or_default().push(socket);
        }
    }

    /// How many are kept (INFO's `migrate_cached_sockets`).
    pub(crate) fn len(&self) -> usize {
        self.0.borrow().values().map(Vec::len).sum()
    }

    /// Closes those that were idle for long.
    pub(crate) fn close_idle(&self) {
        let mut all = self.0.borrow_mut();
        all.retain(|_, sockets| {
            sockets.retain(|socket| socket.used.elapsed() < IDLE);
            !sockets.is_empty()
        });
    }
}
