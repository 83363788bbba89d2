//! Rows of the group "set".

use crate::table::{DataFn, Group, Row, index, key, keynum, range, row};
use crate::{scan, set};

pub(super) static ROWS: &[Row<DataFn>] = &[
    row("sadd", -3, "write denyoom fast", Group::Set)
        .keys(&[key("RW insert", index(1), range(0, 1, 0))])
        .args("key:key0 member*")
        .about("1.0.0", "Adds members to a set")
        .costs("O(N), N the members given")
        .run(set::sadd),
    row("scard", 2, "readonly fast", Group::Set)
        .keys(&[key("RO", index(1), range(0, 1, 0))])
        .args("key:key0")
        .about("1.0.0", "Counts the members of a set")
        .costs("O(1)")
        .run(set::scard),
    row("sdiff", -2, "readonly", Group::Set)
        .keys(&[key("RO access", index(1), range(-1, 1, 0))])
        .tips(&["nondeterministic_output_order"])
        .args("key:key0*")
        .about("1.0.0", "Subtracts sets from the first")
        .costs("O(N), N the members of all sets given")
        .run(set::sdiff),
    row("sdiffstore", -3, "write denyoom", Group::Set)
        .keys(&[
            key("OW update", index(1), range(0, 1, 0)),
            key("RO access", index(2), range(-1, 1, 0)),
        ])
        .args("destination:key0 key:key1*")
        .about("1.0.0", "Subtracts sets from the first, into a key")
        .costs("O(N), N the members of all sets given")
        .run(set::sdiffstore),
    row("sinter", -2, "readonly", Group::Set)
        .keys(&[key("RO access", index(1), range(-1, 1, 0))])
        .tips(&["nondeterministic_output_order"])
        .args("key:key0*")
        .about("1.0.0", "Intersects sets")
        .costs("O(N*M), N the members of the smallest set, M the sets given")
        .run(set::sinter),
    row("sinterstore", -3, "write denyoom", Group::Set)
        .keys(&[
            key("OW update", index(1), range(0, 1, 0)),
            key("RO access", index(2), range(-1, 1, 0)),
        ])
        .args("destination:key0 key:key1*")
        .about("1.0.0", "Intersects sets into a key")
        .costs("O(N*M), N the members of the smallest set, M the sets given")
        .run(set::sinterstore),
    row("sismember", 3, "readonly fast", Group::Set)
        .keys(&[key("RO", index(1), range(0, 1, 0))])
        .args("key:key0 member")
        .about("1.0.0", "Says whether a member is in a set")
        .costs("O(1)")
        .run(set::sismember),
    row("smembers", 2, "readonly", Group::Set)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .tips(&["nondeterministic_output_order"])
        .args("key:key0")
        .about("1.0.0", "Returns all members of a set")
        .costs("O(N), N the members of the set")
        .run(set::smembers),
    row("smove", 4, "write fast", Group::Set)
        .keys(&[
            key("RW access delete", index(1), range(0, 1, 0)),
            key("RW insert", index(2), range(0, 1, 0)),
        ])
        .args("source:key0 destination:key1 member")
        .about("1.0.0", "Moves a member from one set to another")
        .costs("O(1)")
        .run(set::smove),
    row("spop", -2, "write fast", Group::Set)
        .keys(&[key("RW access delete", index(1), range(0, 1, 0))])
        .tips(&["nondeterministic_output"])
        .args("key:key0 count:int@3.2.0?")
        .about("1.0.0", "Removes random members of a set and returns them")
        .costs("O(N), N the members popped")
        .run(set::spop),
    row("srandmember", -2, "readonly", Group::Set)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .tips(&["nondeterministic_output"])
        .args("key:key0 count:int@2.6.0?")
        .about("1.0.0", "Returns random members of a set")
        .costs("O(N), N the members returned")
        .run(set::srandmember),
    row("srem", -3, "write fast", Group::Set)
        .keys(&[key("RW delete", index(1), range(0, 1, 0))])
        .args("key:key0 member*")
        .about("1.0.0", "Removes members of a set")
        .costs("O(N), N the members given")
        .run(set::srem),
    row("sscan", -3, "readonly", Group::Set)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .tips(&["nondeterministic_output"])
        .args("key:key0 cursor:int pattern:pattern=MATCH? count:int=COUNT?")
        .about("2.8.0", "Iterates over the members of a set")
        .costs("O(1) for each call; O(N) for a whole scan, N the members of the set")
        .run(scan::sscan),
    row("sunion", -2, "readonly", Group::Set)
        .keys(&[key("RO access", index(1), range(-1, 1, 0))])
        .tips(&["nondeterministic_output_order"])
        .args("key:key0*")
        .about("1.0.0", "Unites sets")
        .costs("O(N), N the members of all sets given")
        .run(set::sunion),
    row("sunionstore", -3, "write denyoom", Group::Set)
        .keys(&[
            key("OW update", index(1), range(0, 1, 0)),
            key("RO access", index(2), range(-1, 1, 0)),
        ])
        .args("destination:key0 key:key1*")
        .about("1.0.0", "Unites sets into a key")
        .costs("O(N), N the members of all sets given")
        .run(set::sunionstore),
    row("sintercard", -3, "readonly movablekeys", Group::Set)
        .keys(&[key("RO access", index(1), keynum(0, 1, 1))])
        .args("numkeys:int key:key0* limit:int=LIMIT?")
        .about("7.0.0", "Counts the members of an intersection of sets")
        .costs("O(N*M), N the members of the smallest set, M the sets given")
        .run(set::sintercard),
    row("smismember", -3, "readonly fast", Group::Set)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 member*")
        .about("6.2.0", "Says which members are in a set")
        .costs("O(N), N the members given")
        .run(set::smismember),
];
