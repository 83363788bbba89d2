//! Why there may be no plan.

use thiserror::Error;

/// Why there is no plan.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// Fewer than three masters.
    #[error(
        "*** ERROR: Invalid configuration for cluster creation.\n\
         *** Redis Cluster requires at least 3 master nodes.\n\
         *** This is not possible with {nodes} nodes and {replicas} replicas per node.\n\
         *** At least {} nodes are required.",
        3 * (replicas + 1)
    )]
    TooFewNodes {
        /// Nodes given.
        nodes: usize,
        /// Replicas asked for each master.
        replicas: usize,
    },
    /// More masters than slots.
    #[error(
        "*** ERROR: {masters} masters cannot share {} slots.",
        crate::SLOT_COUNT
    )]
    TooManyMasters {
        /// Masters asked for.
        masters: usize,
    },
    /// The nodes that shall take part weigh nothing.
    #[error("*** The weights of the nodes that take part sum to zero: nobody can take the slots")]
    NoWeight,
    /// A weight is negative or no number.
    #[error("*** A weight is a number of at least 0, '{0}' is none")]
    Weight(String),
    /// The described cluster cannot be reached from this one.
    #[error("[ERR] {0}")]
    Description(String),
}
