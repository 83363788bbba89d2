//! Keys on their way to another server. MIGRATE is in `migrate.rs`.

use std::collections::BTreeMap;

use crate::ClientId;

/// Names one MIGRATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId(pub u64);

/// What the shell has to send, and how many answers it gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The target.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The target's database. A connection on which another one is selected needs a SELECT first.
    pub db: i64,
    /// The words behind AUTH, which is said to the target first if there are any: a password, or a user and a password.
    pub login: Vec<Vec<u8>>,
    /// How long connecting, and each wait for an answer, may take. Milliseconds.
    pub timeout_ms: u64,
    /// One RESTORE for each key.
    pub requests: Vec<u8>,
    /// How many.
    pub count: usize,
}

/// How a transfer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transferred {
    /// The target's answer to each RESTORE, as far as it came: its error, if it was one.
    pub answers: Vec<Result<(), String>>,
    /// The whole error reply where the connection failed.
    pub failed: Option<String>,
}

/// Transfers under way.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    pub(crate) next: u64,
    pub(crate) running: BTreeMap<TransferId, Running>,
    /// Keys (database, key) that are on their way.
    pub(crate) moving: BTreeMap<(usize, Box<[u8]>), Moving>,
}

/// A key on its way.
#[derive(Debug, Default)]
pub(crate) struct Moving {
    /// In so many transfers.
    pub(crate) transfers: usize,
    /// It was changed meanwhile, by a script that did not declare it for one: what has arrived is not what is here.
    pub(crate) changed: bool,
}

#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) client: ClientId,
    pub(crate) db: usize,
    pub(crate) keys: Vec<Box<[u8]>>,
    pub(crate) copy: bool,
}
