//! Rows of the group "generic".

use crate::table::{Begin, DataFn, Databases, Find, Group, Row, index, key, range, row, sort_keys};
use crate::{keys, older, scan, sort};

pub(super) static ROWS: &[Row<DataFn>] = &[
    row("del", -2, "write", Group::Generic)
        .keys(&[key("RM delete", index(1), range(-1, 1, 0))])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .args("key:key0*")
        .about("1.0.0", "Removes keys")
        .costs("O(N), N the keys; O(M) for each collection of M elements")
        .run(keys::del),
    row("dump", 2, "readonly", Group::Generic)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .tips(&["nondeterministic_output"])
        .args("key:key0")
        .about("2.6.0", "Returns a value in its serialized form")
        .costs("O(N*M), N the elements of the value, M their average size")
        .run(keys::dump),
    row("exists", -2, "readonly fast", Group::Generic)
        .keys(&[key("RO", index(1), range(-1, 1, 0))])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .args("key:key0*")
        .about("1.0.0", "Counts how many of the keys exist")
        .costs("O(N), N the keys given")
        .run(keys::exists),
    row("expire", -3, "write fast", Group::Generic)
        .keys(&[key("RW update", index(1), range(0, 1, 0))])
        .args(
            "key:key0 seconds:int condition@7.0.0{nx:token=NX xx:token=XX gt:token=GT \
                lt:token=LT}?",
        )
        .about("1.0.0", "Sets a time to live in seconds")
        .costs("O(1)")
        .run(keys::expire),
    row("expireat", -3, "write fast", Group::Generic)
        .keys(&[key("RW update", index(1), range(0, 1, 0))])
        .args(
            "key:key0 unix-time-seconds:time condition@7.0.0{nx:token=NX xx:token=XX \
                gt:token=GT lt:token=LT}?",
        )
        .about("1.2.0", "Sets the time of expiry in Unix seconds")
        .costs("O(1)")
        .run(keys::expireat),
    row("keys", 2, "readonly", Group::Generic)
        .categories("dangerous keyspace")
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
        .args("pattern:pattern")
        .about("1.0.0", "Returns all keys that match a pattern")
        .costs("O(N), N the keys of the database")
        .run(keys::keys),
    row("move", 3, "write fast", Group::Generic)
        .databases(Databases::At(&[2]))
        .keys(&[key("RW access update", index(1), range(0, 1, 0))])
        .args("key:key0 db:int")
        .about("1.0.0", "Moves a key to another database")
        .costs("O(1)")
        .older(older::move_key)
        .run(keys::move_key),
    row("object", -2, "", Group::Generic)
        .categories("")
        .about("2.2.3", "Looks at the representation of a value")
        .subs(&[
            row("object|encoding", 3, "readonly", Group::Generic)
                .keys(&[key("RO", index(2), range(0, 1, 0))])
                .tips(&["nondeterministic_output"])
                .args("key:key0")
                .about("2.2.3", "Returns the encoding of a value")
                .costs("O(1)")
                .run(keys::object_encoding),
            row("object|freq", 3, "readonly", Group::Generic)
                .keys(&[key("RO", index(2), range(0, 1, 0))])
                .tips(&["nondeterministic_output"])
                .args("key:key0")
                .about("4.0.0", "Returns how often a key is used")
                .costs("O(1)")
                .run(keys::object_freq),
            row("object|help", 2, "loading stale", Group::Generic)
                .about("6.2.0", "Describes the subcommands")
                .costs("O(1)"),
            row("object|idletime", 3, "readonly", Group::Generic)
                .keys(&[key("RO", index(2), range(0, 1, 0))])
                .tips(&["nondeterministic_output"])
                .args("key:key0")
                .about("2.2.3", "Returns for how long a key has not been used")
                .costs("O(1)")
                .run(keys::object_idletime),
            row("object|refcount", 3, "readonly", Group::Generic)
                .keys(&[key("RO", index(2), range(0, 1, 0))])
                .tips(&["nondeterministic_output"])
                .args("key:key0")
                .about("2.2.3", "Returns the reference count of a value")
                .costs("O(1)")
                .run(keys::object_refcount),
        ]),
    row("persist", 2, "write fast", Group::Generic)
        .keys(&[key("RW update", index(1), range(0, 1, 0))])
        .args("key:key0")
        .about("2.2.0", "Removes the expiry of a key")
        .costs("O(1)")
        .run(keys::persist),
    row("pexpire", -3, "write fast", Group::Generic)
        .keys(&[key("RW update", index(1), range(0, 1, 0))])
        .args(
            "key:key0 milliseconds:int condition@7.0.0{nx:token=NX xx:token=XX \
                gt:token=GT lt:token=LT}?",
        )
        .about("2.6.0", "Sets a time to live in milliseconds")
        .costs("O(1)")
        .run(keys::pexpire),
    row("pexpireat", -3, "write fast", Group::Generic)
        .keys(&[key("RW update", index(1), range(0, 1, 0))])
        .args(
            "key:key0 unix-time-milliseconds:time condition@7.0.0{nx:token=NX \
                xx:token=XX gt:token=GT lt:token=LT}?",
        )
        .about("2.6.0", "Sets the time of expiry in Unix milliseconds")
        .costs("O(1)")
        .run(keys::pexpireat),
    row("pttl", 2, "readonly fast", Group::Generic)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .tips(&["nondeterministic_output"])
        .args("key:key0")
        .about("2.6.0", "Returns the time to live in milliseconds")
        .costs("O(1)")
        .run(keys::pttl),
    row("randomkey", 1, "readonly", Group::Generic)
        .tips(&[
            "request_policy:all_shards",
            "response_policy:special",
            "nondeterministic_output",
        ])
        .traits("expires_apart")
        .about("1.0.0", "Returns a random key")
        .costs("O(1)")
        .run(keys::randomkey),
    row("rename", 3, "write", Group::Generic)
        .keys(&[
            key("RW access delete", index(1), range(0, 1, 0)),
            key("OW update", index(2), range(0, 1, 0)),
        ])
        .args("key:key0 newkey:key1")
        .about("1.0.0", "Renames a key")
        .costs("O(1)")
        .run(keys::rename),
    row("renamenx", 3, "write fast", Group::Generic)
        .keys(&[
            key("RW access delete", index(1), range(0, 1, 0)),
            key("OW insert", index(2), range(0, 1, 0)),
        ])
        .args("key:key0 newkey:key1")
        .about("1.0.0", "Renames a key unless the new name exists")
        .costs("O(1)")
        .run(keys::renamenx),
    row("restore", -4, "write denyoom", Group::Generic)
        .categories("dangerous keyspace")
        .keys(&[key("OW update", index(1), range(0, 1, 0))])
        .args(
            "key:key0 ttl:int serialized-value replace:token=REPLACE@3.0.0? \
                absttl:token=ABSTTL@5.0.0? seconds:int=IDLETIME@5.0.0? \
                frequency:int=FREQ@5.0.0?",
        )
        .about("2.6.0", "Creates a key from a serialized value")
        .costs("O(N*M), N the elements of the value, M their average size")
        .older(older::state)
        .run(keys::restore),
    row("scan", -2, "readonly", Group::Generic)
        .tips(&[
            "nondeterministic_output",
            "request_policy:special",
            "response_policy:special",
        ])
        .args("cursor:int pattern:pattern=MATCH? count:int=COUNT? type=TYPE@6.0.0?")
        .traits("expires_apart")
        .about("2.8.0", "Iterates over the keys of the database")
        .costs("O(1) for each call; O(N) for a whole scan, N the keys of the database")
        .run(scan::scan),
    row("sort", -2, "write denyoom movablekeys", Group::Generic)
        .categories("dangerous list set sortedset")
        .traits("reads_by_pattern")
        .keys(&[
            key("RO access", index(1), range(0, 1, 0)),
            key("RO access", Begin::Unknown, Find::Unknown),
            key("OW update", Begin::Unknown, Find::Unknown),
        ])
        .key_finder(sort_keys)
        .args(
            "key:key0 by-pattern/pattern:pattern1=BY? limit=LIMIT(offset:int \
                count:int)? get-pattern/pattern:pattern1=GET?*+ order{asc:token=ASC \
                desc:token=DESC}? sorting:token=ALPHA? destination:key2=STORE?",
        )
        .about(
            "1.0.0",
            "Sorts a list, a set or a sorted set, optionally into a key",
        )
        .costs("O(N+M*log(M)), N the elements of the value, M those returned")
        .older(older::sort)
        .run(sort::sort),
    row("ttl", 2, "readonly fast", Group::Generic)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .tips(&["nondeterministic_output"])
        .args("key:key0")
        .about("1.0.0", "Returns the time to live in seconds")
        .costs("O(1)")
        .run(keys::ttl),
    row("type", 2, "readonly fast", Group::Generic)
        .keys(&[key("RO", index(1), range(0, 1, 0))])
        .args("key:key0")
        .about("1.0.0", "Returns the type of a value")
        .costs("O(1)")
        .run(keys::type_of),
    row("copy", -3, "write denyoom", Group::Generic)
        .databases(Databases::CopyOptions)
        .keys(&[
            key("RO access", index(1), range(0, 1, 0)),
            key("OW update", index(2), range(0, 1, 0)),
        ])
        .args(
            "source:key0 destination:key1 destination-db:int=DB? \
                replace:token=REPLACE?",
        )
        .about("6.2.0", "Copies the value of a key to another key")
        .costs("O(N), N the elements of the value; O(1) for a string")
        .older(older::copy)
        .run(keys::copy),
    row("expiretime", 2, "readonly fast", Group::Generic)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0")
        .about("7.0.0", "Returns the time of expiry in Unix seconds")
        .costs("O(1)")
        .run(keys::expiretime),
    // subcommands of object,
    row("pexpiretime", 2, "readonly fast", Group::Generic)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0")
        .about("7.0.0", "Returns the time of expiry in Unix milliseconds")
        .costs("O(1)")
        .run(keys::pexpiretime),
    row("sort_ro", -2, "readonly movablekeys", Group::Generic)
        .categories("dangerous list set sortedset")
        .traits("reads_by_pattern")
        .keys(&[
            key("RO access", index(1), range(0, 1, 0)),
            key("RO access", Begin::Unknown, Find::Unknown),
        ])
        .args(
            "key:key0 by-pattern/pattern:pattern1=BY? limit=LIMIT(offset:int \
                count:int)? get-pattern/pattern:pattern1=GET?*+ order{asc:token=ASC \
                desc:token=DESC}? sorting:token=ALPHA?",
        )
        .about("7.0.0", "Sorts a list, a set or a sorted set")
        .costs("O(N+M*log(M)), N the elements of the value, M those returned")
        .run(sort::sort_ro),
    row("touch", -2, "readonly fast", Group::Generic)
        .keys(&[key("RO", index(1), range(-1, 1, 0))])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .args("key:key0*")
        .about(
            "3.2.1",
            "Counts how many of the keys exist and marks them as used",
        )
        .costs("O(N), N the keys given")
        .run(keys::touch),
    row("unlink", -2, "write fast", Group::Generic)
        .keys(&[key("RM delete", index(1), range(-1, 1, 0))])
        .tips(&["request_policy:multi_shard", "response_policy:agg_sum"])
        .args("key:key0*")
        .about(
            "4.0.0",
            "Removes keys; their memory is freed in the background",
        )
        .costs("O(N), N the keys given; the memory of large values is freed beside")
        .older(older::unlink)
        .run(keys::unlink),
];
