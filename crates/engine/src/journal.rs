//! The room of what follows a write: the append-only file, the stream to the replicas, WAIT, and replies that wait for replicas.

use crate::acknowledge::Unsent;
use crate::append_only::{AppendOnly, Durable, PlaceLog};
use crate::master::Replicas;
use crate::propagate::Group;
use crate::replay::Refusal;
use crate::throttle::Throttle;

/// What follows a write.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// Commands that belong together: a transaction, a script.
    pub(crate) group: Group,
    pub(crate) append_only: AppendOnly,
    /// How much of the stream is on the disk.
    pub(crate) durable: Durable,
    /// Where in the stream the append-only file stands, for after a crash.
    pub(crate) place: PlaceLog,
    pub(crate) replicas: Replicas,
    /// Writers are slowed, so that a copy ends.
    pub(crate) throttle: Throttle,
    /// Replies to writes that too few replicas have.
    pub(crate) unsent: Unsent,
    /// Changes since the last save.
    pub(crate) dirty: u64,
    /// Applying a file or a stream: nothing is propagated.
    pub(crate) replaying: bool,
    /// A command of the file was refused, and has not been looked at yet.
    pub(crate) refused: Option<Refusal>,
}
