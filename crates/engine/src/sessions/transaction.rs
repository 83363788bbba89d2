//! The open transactions of clients, and the keys that they watch. The commands are in `transaction.rs`.

use std::collections::BTreeMap;

use commands::{Args, Flags};

use crate::ClientId;

/// An open transaction.
#[derive(Debug, Default)]
pub struct Multi {
    pub(crate) queue: Vec<Queued>,
    /// The database in which the next command will run.
    pub(crate) db: usize,
    /// Memory of the queue, bytes.
    pub(crate) bytes: usize,
    /// A command was refused while queueing: EXEC will fail.
    pub(crate) broken: bool,
    /// What any of the queued commands may do.
    pub(crate) any: Flags,
    /// What some queued command is not allowed.
    pub(crate) lacking: Flags,
}

impl Multi {
    /// The flags of EXEC itself, by which the gates look at it: those of all that it runs.
    pub(crate) fn wants(&self, exec: Flags) -> Flags {
        exec.with(self.any).without(self.lacking)
    }
}

/// The keys that a client watches, each with its database, and whether its time had come before WATCH: that such a key goes is no change.
pub(crate) type Watched = BTreeMap<(usize, Box<[u8]>), bool>;

/// A queued command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Queued {
    /// The number of the command: [`crate::index::Index::entry`] knows it.
    pub(crate) number: usize,
    pub(crate) args: Vec<Box<[u8]>>,
}

impl Queued {
    /// A request to be run later.
    pub(crate) fn new(number: usize, args: Args<'_>) -> Self {
        Self {
            number,
            args: args.iter().map(|&word| word.into()).collect(),
        }
    }
}

/// Who watches which key: (database, key) to clients.
pub(crate) type Watchers = BTreeMap<(usize, Box<[u8]>), Vec<ClientId>>;
