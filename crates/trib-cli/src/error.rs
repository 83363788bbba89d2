//! What can go wrong, as the one line (or, for plans, the few) that the user gets to see.

use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::plan::PlanError;

/// Why a verb ended early. The text is the line to print; the exit status is 1.
#[derive(Debug, Error)]
pub enum Error {
    /// Text that is no address.
    #[error("Invalid IP or Port (given as {0}) - use IP:Port format")]
    Address(String),
    /// No connection to a node's data port.
    #[error("[ERR] Sorry, can't connect to node {address}\n    {reason}")]
    Unreachable {
        /// Which node.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// No connection to a node's bus port.
    #[error(
        "[ERR] Sorry, can't connect to the cluster bus of node {address} (port {port}: {reason})"
    )]
    BusUnreachable {
        /// Which node, by its data address.
        address: String,
        /// The bus port.
        port: u16,
        /// What the system said.
        reason: String,
    },
    /// The data port leaves no room for the bus port above it.
    #[error("[ERR] Node {0} can't have a cluster bus: its port plus 10000 is over 65535.")]
    NoBusPort(String),
    /// The node runs without cluster support.
    #[error(
        "[ERR] Node {0} is not configured as a cluster node.\n    For servers without a cluster there are trib watch, doctor, backup and restore."
    )]
    NotCluster(String),
    /// The node is part of a cluster or holds data.
    #[error(
        "[ERR] Node {0} is not empty. Either the node already knows other nodes (check with CLUSTER NODES) \
         or contains some key in database 0."
    )]
    NotEmpty(String),
    /// The connection failed, or the node refused a command.
    #[error("[ERR] {0}")]
    Client(#[from] client::Error),
    /// The node is reading its data from disk or from its master. Waits take it for "not yet".
    #[error("[ERR] Node {0} is still loading its dataset.")]
    Loading(String),
    /// A node's reply is not what its command answers.
    #[error("[ERR] Node {address}: {problem}")]
    BadReply {
        /// Which node.
        address: String,
        /// What is wrong.
        problem: String,
    },
    /// A wait came to its end.
    #[error("[ERR] {what}: not done after {} seconds ({missing})", limit.as_secs())]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
        /// What was still missing.
        missing: String,
    },
    /// A slot could not be moved.
    #[error(
        "[ERR] Slot {slot}, from {from} to {to}: {reason}\n*** Some slots may be left open. Run the fix command to finish or undo the move."
    )]
    Move {
        /// Which slot.
        slot: u16,
        /// Who gives.
        from: String,
        /// Who gets.
        to: String,
        /// What a node said.
        reason: String,
    },
    /// The user interrupted a move; all that had begun is finished.
    #[error(
        "*** Interrupted: {moved} of {total} slots were moved, none is left open. The same command goes on from here."
    )]
    Interrupted {
        /// Slots that moved.
        moved: usize,
        /// Slots that should have.
        total: usize,
    },
    /// The user did not say yes.
    #[error("*** Aborting...")]
    Aborted,
    /// A question met the end of the input.
    #[error("*** Aborting: no answer, the input has ended")]
    NoAnswer,
    /// No plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A file could not be used.
    #[error("[ERR] {}: {reason}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A local server could not be started or stopped.
    #[error("[ERR] {0}")]
    Local(String),
    /// A backup that cannot be made, or is none.
    #[error("[ERR] {0}")]
    Backup(String),
    /// The cluster is another one than the plan was made for.
    #[error("[WARNING] The cluster changed meanwhile: {0}")]
    Changed(String),
    /// Something was done at some nodes and not at others; what is printed already says where.
    #[error("[ERR] {0}")]
    Partly(String),
    /// A check found errors; they are printed already.
    #[error("*** The cluster has errors")]
    Unhealthy,
    /// The request makes no sense for this cluster: a whole line with its mark.
    #[error("{0}")]
    Refused(String),
}

impl Error {
    /// A file that could not be used.
    pub(crate) fn file(path: impl Into<PathBuf>, error: &io::Error) -> Self {
        Self::File {
            path: path.into(),
            reason: describe_io(error),
        }
    }

    /// A reply that does not fit.
    pub(crate) fn bad_nodes(address: &str, error: &impl Display) -> Self {
        Self::BadReply {
            address: address.to_owned(),
            problem: error.to_string(),
        }
    }
}

/// An I/O error without the system's number.
pub(crate) fn describe_io(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}
