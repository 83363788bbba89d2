//! Rows of the group "hash".

use crate::table::{DataFn, Group, Row, index, key, range, row};
use crate::{hash, hash_expiry, older, scan};

pub(super) static ROWS: &[Row<DataFn>] = &[
    row("hdel", -3, "write fast", Group::Hash)
        .keys(&[key("RW delete", index(1), range(0, 1, 0))])
        .args("key:key0 field*")
        .about("2.0.0", "Removes fields of a hash").costs("O(N), N the fields given")
        .run(hash::hdel),
    row("hexists", 3, "readonly fast", Group::Hash)
        .keys(&[key("RO", index(1), range(0, 1, 0))])
        .args("key:key0 field")
        .about("2.0.0", "Says whether a field of a hash exists").costs("O(1)")
        .run(hash::hexists),
    row("hget", 3, "readonly fast", Group::Hash)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 field")
        .about("2.0.0", "Returns a field of a hash").costs("O(1)")
        .run(hash::hget),
    row("hgetall", 2, "readonly", Group::Hash)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .tips(&["nondeterministic_output_order"])
        .args("key:key0")
        .about("2.0.0", "Returns all fields and values of a hash").costs("O(N), N the fields of the hash")
        .run(hash::hgetall),
    row("hincrby", 4, "write denyoom fast", Group::Hash)
        .keys(&[key("RW access update", index(1), range(0, 1, 0))])
        .args("key:key0 field increment:int")
        .about("2.0.0", "Adds to the integer in a field of a hash").costs("O(1)")
        .run(hash::hincrby),
    row("hincrbyfloat", 4, "write denyoom fast", Group::Hash)
        .keys(&[key("RW access update", index(1), range(0, 1, 0))])
        .args("key:key0 field increment:double")
        .about("2.6.0", "Adds to the number in a field of a hash").costs("O(1)")
        .run(hash::hincrbyfloat),
    row("hkeys", 2, "readonly", Group::Hash)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .tips(&["nondeterministic_output_order"])
        .args("key:key0")
        .about("2.0.0", "Returns all fields of a hash").costs("O(N), N the fields of the hash")
        .run(hash::hkeys),
    row("hlen", 2, "readonly fast", Group::Hash)
        .keys(&[key("RO", index(1), range(0, 1, 0))])
        .args("key:key0")
        .about("2.0.0", "Counts the fields of a hash").costs("O(1)")
        .run(hash::hlen),
    row("hmget", -3, "readonly fast", Group::Hash)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 field*")
        .about("2.0.0", "Returns several fields of a hash").costs("O(N), N the fields given")
        .run(hash::hmget),
    row("hmset", -4, "write denyoom fast", Group::Hash)
        .keys(&[key("RW update", index(1), range(0, 1, 0))])
        .args("key:key0 data(field value)*")
        .about("2.0.0", "Sets several fields of a hash").costs("O(N), N the fields given")
        .run(hash::hmset),
    row("hscan", -3, "readonly", Group::Hash)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .tips(&["nondeterministic_output"])
        .args(
            "key:key0 cursor:int pattern:pattern=MATCH? count:int=COUNT? novalues:token=NOVALUES?",
        )
        .about("2.8.0", "Iterates over the fields of a hash").costs("O(1) for each call; O(N) for a whole scan, N the fields of the hash")
        .run(scan::hscan),
    row("hset", -4, "write denyoom fast", Group::Hash)
        .keys(&[key("RW update", index(1), range(0, 1, 0))])
        .args("key:key0 data(field value)*")
        .about("2.0.0", "Sets fields of a hash").costs("O(N), N the fields given")
        .older(older::hset)
        .run(hash::hset),
    row("hsetnx", 4, "write denyoom fast", Group::Hash)
        .keys(&[key("RW insert", index(1), range(0, 1, 0))])
        .args("key:key0 field value")
        .about("2.0.0", "Sets a field of a hash unless it exists").costs("O(1)")
        .run(hash::hsetnx),
    row("hvals", 2, "readonly", Group::Hash)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .tips(&["nondeterministic_output_order"])
        .args("key:key0")
        .about("2.0.0", "Returns all values of a hash").costs("O(N), N the fields of the hash")
        .run(hash::hvals),
    row("hrandfield", -2, "readonly", Group::Hash)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .tips(&["nondeterministic_output"])
        .args("key:key0 options(count:int withvalues:token=WITHVALUES?)?")
        .about("6.2.0", "Returns random fields of a hash").costs("O(N), N the fields returned")
        .run(hash::hrandfield),
    row("hstrlen", 3, "readonly fast", Group::Hash)
        .keys(&[key("RO", index(1), range(0, 1, 0))])
        .args("key:key0 field")
        .about("3.2.0", "Returns the length of a field's value").costs("O(1)")
        .run(hash::hstrlen),
    row("hexpire", -6, "write fast", Group::Hash)
        .keys(&[key("RW update", index(1), range(0, 1, 0))])
        .args(
            "key:key0 seconds:int condition{nx:token=NX xx:token=XX gt:token=GT lt:token=LT}? \
                fields=FIELDS(numfields:int field*)",
        )
        .about("9.0.0", "Sets the time to live of fields of a hash, in seconds").costs("O(N), N the fields given")
        .older(older::field_expiry)
        .run(hash_expiry::hexpire),
    row("hexpireat", -6, "write fast", Group::Hash)
        .keys(&[key("RW update", index(1), range(0, 1, 0))])
        .args(
            "key:key0 unix-time-seconds:int condition@9.0.0{nx:token=NX xx:token=XX gt:token=GT lt:token=LT}? \
                fields=FIELDS(numfields:int0 field*)",
        )
        .about("9.0.0", "Sets when fields of a hash expire, in seconds").costs("O(N), N the fields given")
        .older(older::field_expiry)
        .run(hash_expiry::hexpireat),
    row("hexpiretime", -5, "readonly fast", Group::Hash)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 fields=FIELDS(numfields:int0 field*)")
        .about("9.0.0", "Returns when fields of a hash expire, in seconds").costs("O(N), N the fields given")
        .run(hash_expiry::hexpiretime),
    row("hgetdel", -5, "write fast", Group::Hash)
        .keys(&[key("RW access delete", index(1), range(0, 1, 0))])
        .args("key:key0 fields=FIELDS(numfields:int0 field*)")
        .about("9.1.0", "Returns fields of a hash and removes them").costs("O(N), N the fields given")
        .older(older::hgetdel)
        .run(hash_expiry::hgetdel),
    row("hgetex", -5, "write fast", Group::Hash)
        .keys(&[key("RW access update", index(1), range(0, 1, 0))])
        .args(
            "key:key0 expiration{seconds:int=EX milliseconds:int=PX unix-time-seconds:time=EXAT \
                unix-time-milliseconds:time=PXAT persist:token=PERSIST}? fields=FIELDS(numfields:int0 field*)",
        )
        .about("9.0.0", "Returns fields of a hash and sets or drops their expiry").costs("O(N), N the fields given")
        .run(hash_expiry::hgetex),
    row("hpersist", -5, "write fast", Group::Hash)
        .keys(&[key("RW update", index(1), range(0, 1, 0))])
        .args("key:key0 fields=FIELDS(numfields:int0 field*)")
        .about("9.0.0", "Drops the expiry of fields of a hash").costs("O(N), N the fields given")
        .older(older::field_expiry)
        .run(hash_expiry::hpersist),
    row("hpexpire", -6, "write fast", Group::Hash)
        .keys(&[key("RW update", index(1), range(0, 1, 0))])
        .args(
            "key:key0 milliseconds:int condition@9.0.0{nx:token=NX xx:token=XX gt:token=GT lt:token=LT}? \
                fields=FIELDS(numfields:int0 field*)",
        )
        .about("9.0.0", "Sets the time to live of fields of a hash, in milliseconds").costs("O(N), N the fields given")
        .older(older::field_expiry)
        .run(hash_expiry::hpexpire),
    row("hpexpireat", -6, "write fast", Group::Hash)
        .keys(&[key("RW update", index(1), range(0, 1, 0))])
        .args(
            "key:key0 unix-time-milliseconds:int condition@9.0.0{nx:token=NX xx:token=XX gt:token=GT lt:token=LT}? \
                fields=FIELDS(numfields:int0 field*)",
        )
        .about("9.0.0", "Sets when fields of a hash expire, in milliseconds").costs("O(N), N the fields given")
        .older(older::field_expiry)
        .run(hash_expiry::hpexpireat),
    row("hpexpiretime", -5, "readonly fast", Group::Hash)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 fields=FIELDS(numfields:int0 field*)")
        .about("9.0.0", "Returns when fields of a hash expire, in milliseconds").costs("O(N), N the fields given")
        .run(hash_expiry::hpexpiretime),
    row("hpttl", -5, "readonly fast", Group::Hash)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 fields=FIELDS(numfields:int0 field*)")
        .about("9.0.0", "Returns the time to live of fields of a hash, in milliseconds").costs("O(N), N the fields given")
        .run(hash_expiry::hpttl),
    row("hsetex", -6, "write denyoom fast", Group::Hash)
        .keys(&[key("RW insert", index(1), range(0, 1, 0))])
        .args(
            "key:key0 key-condition{nx:token=NX xx:token=XX}? fields-condition{fnx:token=FNX fxx:token=FXX}? \
                expiration{seconds:int=EX milliseconds:int=PX unix-time-seconds:time=EXAT \
                unix-time-milliseconds:time=PXAT keepttl:token=KEEPTTL}? \
                fields=FIELDS(numfields:int0 data(field value)*)",
        )
        .about("9.0.0", "Sets fields of a hash and their expiry").costs("O(N), N the fields given")
        .run(hash_expiry::hsetex),
    row("httl", -5, "readonly fast", Group::Hash)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 fields=FIELDS(numfields:int0 field*)")
        .about("9.0.0", "Returns the time to live of fields of a hash, in seconds").costs("O(N), N the fields given")
        .run(hash_expiry::httl),
];
