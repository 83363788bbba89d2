//! Children, as the engine asks for them: processes that have the data as they were when they were started.

use std::fmt;

use store::Keyspace;

use super::files::{RewriteRequest, SaveRequest};
use crate::LinkId;

/// What a forked child is to do with the keyspace as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// Write a dump file.
    Save(SaveRequest),
    /// Write a dump into a pipe, whose other end the shell relays to replicas ([`crate::Action::RelaySync`]).
    Stream(SaveRequest),
    /// Write a dump straight to the sockets of replicas.
    Send(SendRequest),
    /// Write slots as commands straight to the socket of their target; or, where what is said there is encrypted, into a pipe, whose other
    /// end the shell relays ([`crate::Action::RelaySlots`]).
    Slots(SlotsRequest),
    /// Write the base of an append-only file into a temporary file, which [`super::Files::place_base`] puts into its place.
    Rewrite(RewriteRequest),
}

/// A dump that a child sends by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendRequest {
    /// How it is written.
    pub dump: SaveRequest,
    /// To whom: each one's socket, and what goes before the dump.
    pub receivers: Vec<(i32, Vec<u8>)>,
    /// What goes behind it.
    pub after: Vec<u8>,
    /// For how long a receiver may take nothing, milliseconds.
    pub patience_ms: u64,
}

/// A child that was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its process id.
    pub pid: i32,
    /// How long forking took, microseconds.
    pub fork_us: u64,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildEnd {
    /// It did its job.
    Done,
    /// It could not; it has logged why.
    Failed,
    /// It was killed by this signal.
    Killed(i32),
}

/// How far a child that runs has come, as it has told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChildProgress {
    /// How many keys it has written.
    pub keys: u64,
    /// How much memory it had for itself when it looked last, bytes: what was copied on writing.
    pub own_bytes: u64,
    /// The most that it ever had.
    pub most_own_bytes: u64,
    /// How long ago it looked, seconds.
    pub told_s: u64,
}

/// Children. There is at most one at a time.
pub trait Children: fmt::Debug {
    /// Starts a child.
    ///
    /// # Errors
    /// Why it could not.
    fn fork(&mut self, keyspace: &Keyspace, job: &Job) -> Result<Child, String>;

    /// Whether the child has ended since the last call, and how.
    fn poll_child(&mut self) -> Option<ChildEnd>;

    /// How much memory the last child that did its job had for itself at its end, bytes: what was copied on writing.
    fn child_own_bytes(&self) -> u64 {
        0
    }

    /// How far the child that runs has come.
    fn child_progress(&self) -> ChildProgress {
        ChildProgress::default()
    }

    /// Whether a child can send a dump by itself ([`Job::Send`]).
    fn can_send(&self) -> bool {
        false
    }

    /// How much the child that sends a dump or slots has sent by itself, bytes; and whether that was all of the dump.
    fn child_sent(&self) -> (u64, bool) {
        (0, false)
    }

    /// Ends the child; its temporary file goes.
    fn kill_child(&mut self);

    /// For a child that works: so many bytes have gathered since it was started, which its lateness makes more.
    fn gathered(&mut self, bytes: u64) {
        let _ = bytes;
    }
}

/// How the child of a snapshot works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotsRequest {
    /// The slots, from each first to each last one.
    pub slots: Vec<(u16, u16)>,
    /// The connection to their target. All that was given to it has been written.
    pub link: LinkId,
    /// For how long the target may take nothing, milliseconds.
    pub patience_ms: u64,
    /// It waits so long after each key (`rdb-key-save-delay`), microseconds: for tests.
    pub delay_us: u64,
}
