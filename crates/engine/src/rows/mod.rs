//! The rows of the commands that know more than data, a file per group of the command reference. [`crate::index`] merges them with
//! those of the data commands.

mod cluster;
mod connection;
mod generic;
mod pubsub;
mod scripting;
mod server;
mod transactions;

use commands::table::Row;

use crate::index::EngineFn;

/// All rows of the engine.
pub(crate) fn rows() -> impl Iterator<Item = &'static Row<EngineFn>> {
    let groups = [
        server::ROWS,
        connection::ROWS,
        cluster::ROWS,
        transactions::ROWS,
        pubsub::ROWS,
        scripting::ROWS,
        generic::ROWS,
    ];
    groups.into_iter().flatten()
}
