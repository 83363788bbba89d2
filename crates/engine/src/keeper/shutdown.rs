//! A shutdown that waits. What it waits for is in `shutdown.rs`.

use conf::ShutdownFlags;

use crate::ClientId;

/// What a shutdown waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Replicas that are behind.
    Replicas,
    /// The replica that is to be the primary.
    Successor,
}

/// A shutdown that waits for replicas. Meanwhile nobody writes.
#[derive(Debug)]
pub(crate) struct Shutdown {
    pub(crate) stage: Stage,
    pub(crate) flags: ShutdownFlags,
    /// When it waits no longer ([`crate::Now::mono_ms`]).
    pub(crate) until_ms: u64,
    /// Clients that said SHUTDOWN: answered only where the server goes on.
    pub(crate) waiting: Vec<ClientId>,
}
