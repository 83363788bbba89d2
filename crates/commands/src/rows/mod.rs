//! The rows of the data commands, a file per group of the command reference.
//!
//! To add a command, add its row here and its function to the file of its family; to add one that knows more than data, see the rows of
//! the engine.

mod bitmap;
mod generic;
mod geo;
mod hash;
mod hyperloglog;
mod list;
mod server;
mod set;
mod sorted_set;
mod stream;
mod string;

use crate::table::{DataFn, Row};

/// All rows of data commands.
pub fn rows() -> impl Iterator<Item = &'static Row<DataFn>> {
    let groups = [
        string::ROWS,
        bitmap::ROWS,
        hyperloglog::ROWS,
        list::ROWS,
        set::ROWS,
        sorted_set::ROWS,
        hash::ROWS,
        stream::ROWS,
        geo::ROWS,
        generic::ROWS,
        server::ROWS,
    ];
    groups.into_iter().flatten()
}

/// The row of a data command by its name, in any case. For tests; the engine keeps an index of its own.
#[must_use]
pub fn find(name: &[u8]) -> Option<&'static Row<DataFn>> {
    rows().find(|row| name.eq_ignore_ascii_case(row.facts.name.as_bytes()))
}
