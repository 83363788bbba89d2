//! Rows of the group "server".

use crate::table::{DataFn, Databases, Group, Row, index, key, range, row};
use crate::{keys, older};

pub(super) static ROWS: &[Row<DataFn>] = &[
    row("dbsize", 1, "readonly fast", Group::Server)
        .categories("keyspace")
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"])
        .about("1.0.0", "Counts the keys of the database")
        .costs("O(1)")
        .run(keys::dbsize),
    row("flushall", -1, "write", Group::Server)
        .databases(Databases::All)
        .categories("dangerous keyspace")
        .traits("empties_all")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .args("flush-type{async:token=ASYNC@4.0.0 sync:token=SYNC@6.2.0}?")
        .about("1.0.0", "Removes all keys of all databases")
        .costs("O(N), N the keys of all databases")
        .older(older::flush)
        .run(keys::flushall),
    row("flushdb", -1, "write", Group::Server)
        .categories("dangerous keyspace")
        .traits("empties_db")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .args("flush-type{async:token=ASYNC@4.0.0 sync:token=SYNC@6.2.0}?")
        .about("1.0.0", "Removes all keys of the database")
        .costs("O(N), N the keys of the database")
        .older(older::flush)
        .run(keys::flushdb),
    row("restore-asking", -4, "write denyoom asking", Group::Server)
        .categories("dangerous keyspace")
        .keys(&[key("OW update", index(1), range(0, 1, 0))])
        .args(
            "key:key0 ttl:int serialized-value replace:token=REPLACE@3.0.0? \
                absttl:token=ABSTTL@5.0.0? seconds:int=IDLETIME@5.0.0? \
                frequency:int=FREQ@5.0.0?",
        )
        .traits("internal")
        .about("3.0.0", "RESTORE into a slot that is being imported")
        .costs("O(N*M), N the elements of the value, M their average size")
        .older(older::state)
        .run(keys::restore),
    row("swapdb", 3, "write fast", Group::Server)
        .databases(Databases::At(&[1, 2]))
        .categories("dangerous keyspace")
        .args("index1:int index2:int")
        .about("4.0.0", "Swaps two databases")
        .costs("O(N), N the clients that watch or wait for keys of either database")
        .run(keys::swapdb),
];
