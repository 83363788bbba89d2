//! The room of what follows a write: the append-only file, the stream to the replicas, WAIT, and replies that wait for replicas.

pub(crate) mod append_only;
pub(crate) mod durable;
pub(crate) mod group;
pub(crate) mod older;
pub(crate) mod place;
pub(crate) mod refusal;
pub(crate) mod replicas;
pub(crate) mod throttle;
pub(crate) mod unsent;
pub(crate) mod unwritten;

use crate::journal::append_only::AppendOnly;
use crate::journal::durable::Durable;
use crate::journal::group::Group;
use crate::journal::place::PlaceLog;
use crate::journal::refusal::Refusal;
use crate::journal::replicas::Replicas;
use crate::journal::throttle::Throttle;
use crate::journal::unsent::Unsent;

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
