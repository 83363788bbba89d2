//! Rows of the group "transactions" that know more than data.

use commands::table::{Group, Row, index, key, range, row};

use crate::entry::EngineFn;
use crate::transaction;

pub(super) static ROWS: &[Row<EngineFn>] = &[
    row(
        "discard",
        1,
        "noscript loading stale fast allow_busy",
        Group::Transactions,
    )
    .traits("not_queued replayed")
    .about("2.0.0", "Drops the queued transaction")
    .costs("O(N), N the commands queued")
    .run(transaction::discard),
    row(
        "exec",
        1,
        "noscript loading stale skip_commandlog",
        Group::Transactions,
    )
    .traits("not_queued runs_queue replayed")
    .about("1.2.0", "Runs the queued transaction")
    .run(transaction::exec),
    row(
        "multi",
        1,
        "noscript loading stale fast no_multi allow_busy",
        Group::Transactions,
    )
    .traits("not_queued replayed")
    .about("1.2.0", "Begins a transaction")
    .costs("O(1)")
    .run(transaction::multi),
    row(
        "unwatch",
        1,
        "noscript loading stale fast allow_busy",
        Group::Transactions,
    )
    .about("2.2.0", "Forgets all watched keys")
    .costs("O(1)")
    .run(transaction::unwatch),
    row(
        "watch",
        -2,
        "noscript loading stale fast no_multi allow_busy",
        Group::Transactions,
    )
    .keys(&[key("RO", index(1), range(-1, 1, 0))])
    .traits("not_queued")
    .args("key:key0*")
    .about("2.2.0", "Makes EXEC fail if a key changes before it")
    .costs("O(1) for each key")
    .run(transaction::watch),
];
