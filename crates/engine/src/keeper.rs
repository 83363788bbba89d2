//! The room of the roles: what this server is to other servers, and when it saves.

pub(crate) mod failover;
pub(crate) mod migrations;
pub(crate) mod nodes_file;
pub(crate) mod persistence;
pub(crate) mod shutdown;
pub(crate) mod slave;
pub(crate) mod transfers;

use crate::keeper::failover::Failover;
use crate::keeper::migrations::Migrations;
use crate::keeper::nodes_file::NodesFile;
use crate::keeper::persistence::Persistence;
use crate::keeper::shutdown::Shutdown;
use crate::keeper::slave::Slave;
use crate::keeper::transfers::Transfers;

/// What this server is to others, and when it saves.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    pub(crate) persistence: Persistence,
    /// A shutdown that waits for replicas.
    pub(crate) shutdown: Option<Shutdown>,
    /// The place of primary is being handed over to a replica.
    pub(crate) failover: Option<Failover>,
    /// The primary that is followed.
    pub(crate) slave: Option<Slave>,
    /// This server as a node of a cluster.
    pub(crate) cluster: Option<Box<cluster_bus::Node>>,
    /// [`cluster_bus::Node::map_changes`] when they were last looked at.
    pub(crate) map_changes: u64,
    /// A nodes.conf that is to be written before the turn ends.
    pub(crate) nodes_file: NodesFile,
    pub(crate) transfers: Transfers,
    pub(crate) migrations: Migrations,
    /// Forty hexadecimal characters that name this run.
    pub(crate) run_id: String,
    /// How many connections were opened.
    pub(crate) links: u64,
}
