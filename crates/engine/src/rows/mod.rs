//! The rows of the commands that know more than data, a file per group of the command reference. Here they are merged with
//! those of the data commands.

mod cluster;
mod connection;
mod generic;
mod pubsub;
mod scripting;
mod server;
mod transactions;

use std::sync::LazyLock;

use commands::Facts;
use commands::table::Row;

use crate::entry::{Callable, EngineFn, Runner};

/// All rows of the engine.
fn rows() -> impl Iterator<Item = &'static Row<EngineFn>> {
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

/// Every command, those on data first, each before its subcommands.
pub(crate) fn commands() -> &'static [Callable] {
    static ALL: LazyLock<Vec<Callable>> = LazyLock::new(|| {
        let mut number = 0;
        let data = commands::rows::rows().map(|row| Callable::new(row, Runner::Data, &mut number));
        let mut all: Vec<Callable> = data.collect();
        all.extend(rows().map(|row| Callable::new(row, Runner::Engine, &mut number)));
        all
    });
    &ALL
}

/// The facts about every command and subcommand.
pub fn facts() -> impl Iterator<Item = &'static Facts> {
    let with_subs = |entry: &'static Callable| std::iter::once(entry).chain(&entry.subs);
    commands()
        .iter()
        .flat_map(with_subs)
        .map(|entry| entry.command)
}
