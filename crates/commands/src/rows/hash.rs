//! Rows of the group "hash".

use crate::table::{DataFn, Group, Row, index, key, range, row};
use crate::{hash, scan};

pub(super) static ROWS: &[Row<DataFn>] = &[
    row("hdel", -3, "write fast", Group::Hash)
        .keys(&[key("RW delete", index(1), range(0, 1, 0))])
        .args("key:key0 field*")
        .about("2.0.0", "Removes fields of a hash")
        .run(hash::hdel),
    row("hexists", 3, "readonly fast", Group::Hash)
        .keys(&[key("RO", index(1), range(0, 1, 0))])
        .args("key:key0 field")
        .about("2.0.0", "Says whether a field of a hash exists")
        .run(hash::hexists),
    row("hget", 3, "readonly fast", Group::Hash)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 field")
        .about("2.0.0", "Returns a field of a hash")
        .run(hash::hget),
    row("hgetall", 2, "readonly", Group::Hash)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .tips(&["nondeterministic_output_order"])
        .args("key:key0")
        .about("2.0.0", "Returns all fields and values of a hash")
        .run(hash::hgetall),
    row("hincrby", 4, "write denyoom fast", Group::Hash)
        .keys(&[key("RW access update", index(1), range(0, 1, 0))])
        .args("key:key0 field increment:int")
        .about("2.0.0", "Adds to the integer in a field of a hash")
        .run(hash::hincrby),
    row("hincrbyfloat", 4, "write denyoom fast", Group::Hash)
        .keys(&[key("RW access update", index(1), range(0, 1, 0))])
        .args("key:key0 field increment:double")
        .about("2.6.0", "Adds to the number in a field of a hash")
        .run(hash::hincrbyfloat),
    row("hkeys", 2, "readonly", Group::Hash)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .tips(&["nondeterministic_output_order"])
        .args("key:key0")
        .about("2.0.0", "Returns all fields of a hash")
        .run(hash::hkeys),
    row("hlen", 2, "readonly fast", Group::Hash)
        .keys(&[key("RO", index(1), range(0, 1, 0))])
        .args("key:key0")
        .about("2.0.0", "Counts the fields of a hash")
        .run(hash::hlen),
    row("hmget", -3, "readonly fast", Group::Hash)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 field*")
        .about("2.0.0", "Returns several fields of a hash")
        .run(hash::hmget),
    row("hmset", -4, "write denyoom fast", Group::Hash)
        .keys(&[key("RW update", index(1), range(0, 1, 0))])
        .args("key:key0 data(field value)*")
        .about("2.0.0", "Sets several fields of a hash")
        .run(hash::hmset),
    row("hscan", -3, "readonly", Group::Hash)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .tips(&["nondeterministic_output"])
        .args(
            "key:key0 cursor:int pattern:pattern=MATCH? count:int=COUNT? novalues:token=NOVALUES?",
        )
        .about("2.8.0", "Iterates over the fields of a hash")
        .run(scan::hscan),
    row("hset", -4, "write denyoom fast", Group::Hash)
        .keys(&[key("RW update", index(1), range(0, 1, 0))])
        .args("key:key0 data(field value)*")
        .about("2.0.0", "Sets fields of a hash")
        .run(hash::hset),
    row("hsetnx", 4, "write denyoom fast", Group::Hash)
        .keys(&[key("RW insert", index(1), range(0, 1, 0))])
        .args("key:key0 field value")
        .about("2.0.0", "Sets a field of a hash unless it exists")
        .run(hash::hsetnx),
    row("hvals", 2, "readonly", Group::Hash)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .tips(&["nondeterministic_output_order"])
        .args("key:key0")
        .about("2.0.0", "Returns all values of a hash")
        .run(hash::hvals),
    row("hrandfield", -2, "readonly", Group::Hash)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .tips(&["nondeterministic_output"])
        .args("key:key0 options(count:int withvalues:token=WITHVALUES?)?")
        .about("6.2.0", "Returns random fields of a hash")
        .run(hash::hrandfield),
    row("hstrlen", 3, "readonly fast", Group::Hash)
        .keys(&[key("RO", index(1), range(0, 1, 0))])
        .args("key:key0 field")
        .about("3.2.0", "Returns the length of a field's value")
        .run(hash::hstrlen),
];
