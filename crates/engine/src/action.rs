//! What the engine tells its shell to do. Actions are performed in order; none is answered at once
//! (what needs an answer at once is asked of the [`crate::Host`]).

use crate::ClientId;

/// A connection that the engine opened: to a master, to a cluster peer, to the target of MIGRATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// One thing to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Close this client's connection, after what it has to send if `after_reply`. The shell then calls
    /// [`crate::Engine::close`].
    CloseClient {
        /// Whose.
        id: ClientId,
        /// Whether pending output goes first.
        after_reply: bool,
    },
    /// End the process with this code. Data have been saved already, if they were to be.
    Exit {
        /// The process's exit code.
        code: i32,
    },
}
