//! Rows of the group "hyperloglog".

use crate::table::{DataFn, Group, Row, index, key, range, row};
use crate::{hyperloglog, older};

pub(super) static ROWS: &[Row<DataFn>] = &[
    row("pfadd", -2, "write denyoom fast", Group::HyperLogLog)
        .keys(&[key("RW insert", index(1), range(0, 1, 0))])
        .args("key:key0 element?*")
        .about("2.8.9", "Adds elements to a HyperLogLog")
        .costs("O(1) for each element")
        .run(hyperloglog::pfadd),
    row("pfcount", -2, "readonly", Group::HyperLogLog)
        .traits("may_replicate")
        .keys(&[key("RW access", index(1), range(-1, 1, 0))])
        .args("key:key0*")
        .about(
            "2.8.9",
            "Estimates how many distinct elements HyperLogLogs have seen",
        )
        .costs("O(1) for one key; O(N) for N keys")
        .traits("may_replicate")
        .run(hyperloglog::pfcount),
    row("pfdebug", 3, "write denyoom admin", Group::HyperLogLog)
        .keys(&[key("RW access", index(2), range(0, 1, 0))])
        .args("subcommand key:key0")
        .traits("internal")
        .about("2.8.9", "Looks inside a HyperLogLog")
        .run(hyperloglog::pfdebug),
    row("pfmerge", -2, "write denyoom", Group::HyperLogLog)
        .keys(&[
            key("RW access insert", index(1), range(0, 1, 0)),
            key("RO access", index(2), range(-1, 1, 0)),
        ])
        .args("destkey:key0 sourcekey:key1?*")
        .about("2.8.9", "Merges HyperLogLogs into one")
        .costs("O(N), N the keys given")
        .older(older::pfmerge)
        .run(hyperloglog::pfmerge),
    row("pfselftest", 1, "admin", Group::HyperLogLog)
        .traits("internal")
        .about("2.8.9", "Checks the HyperLogLog implementation")
        .run(hyperloglog::pfselftest),
];
