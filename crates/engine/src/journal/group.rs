//! Commands that belong together. What they are framed by is in `propagate.rs`.

use script::Targets;

use crate::journal::older::Told;

/// Commands that belong together (EXEC, a script): framed by MULTI and EXEC if they are more than one.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) depth: usize,
    /// The first command, held back until it is known whether another follows.
    pub(crate) first: Option<Held>,
    pub(crate) opened: bool,
}

/// A command of a group on its way to `targets`.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) db: usize,
    pub(crate) targets: Targets,
    pub(crate) words: Vec<Box<[u8]>>,
    /// What the replicas are told of it.
    pub(crate) told: Told,
}
