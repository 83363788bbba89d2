//! Rows of the group "string".

use crate::table::{DataFn, Group, Row, delex_keys, index, key, keynum, range, row, set_keys};
use crate::{condition, lcs, older, string};

pub(super) static ROWS: &[Row<DataFn>] = &[
    row("append", 3, "write denyoom fast", Group::String)
        .keys(&[key("RW insert", index(1), range(0, 1, 0))])
        .args("key:key0 value")
        .about("2.0.0", "Appends bytes to a string")
        .costs("O(1), amortized")
        .run(string::append),
    row("decr", 2, "write denyoom fast", Group::String)
        .keys(&[key("RW access update", index(1), range(0, 1, 0))])
        .args("key:key0")
        .about("1.0.0", "Subtracts one from an integer")
        .costs("O(1)")
        .run(string::decr),
    row("decrby", 3, "write denyoom fast", Group::String)
        .keys(&[key("RW access update", index(1), range(0, 1, 0))])
        .args("key:key0 decrement:int")
        .about("1.0.0", "Subtracts a number from an integer")
        .costs("O(1)")
        .run(string::decrby),
    row("get", 2, "readonly fast", Group::String)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0")
        .about("1.0.0", "Returns a string")
        .costs("O(1)")
        .run(string::get),
    row("getrange", 4, "readonly", Group::String)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 start:int end:int")
        .about("2.4.0", "Returns a part of a string")
        .costs("O(N), N the bytes returned")
        .run(string::getrange),
    row("getset", 3, "write denyoom fast", Group::String)
        .keys(&[key("RW access update", index(1), range(0, 1, 0))])
        .args("key:key0 value")
        .about("1.0.0", "Replaces a string and returns the old one")
        .costs("O(1)")
        .run(string::getset),
    row("incr", 2, "write denyoom fast", Group::String)
        .keys(&[key("RW access update", index(1), range(0, 1, 0))])
        .args("key:key0")
        .about("1.0.0", "Adds one to an integer")
        .costs("O(1)")
        .run(string::incr),
    row("incrby", 3, "write denyoom fast", Group::String)
        .keys(&[key("RW access update", index(1), range(0, 1, 0))])
        .args("key:key0 increment:int")
        .about("1.0.0", "Adds a number to an integer")
        .costs("O(1)")
        .run(string::incrby),
    row("incrbyfloat", 3, "write denyoom fast", Group::String)
        .keys(&[key("RW access update", index(1), range(0, 1, 0))])
        .args("key:key0 increment:double")
        .about("2.6.0", "Adds a number to a number with fraction")
        .costs("O(1)")
        .run(string::incrbyfloat),
    row("mget", -2, "readonly fast", Group::String)
        .keys(&[key("RO access", index(1), range(-1, 1, 0))])
        .tips(&["request_policy:multi_shard"])
        .args("key:key0*")
        .about("1.0.0", "Returns several strings")
        .costs("O(N), N the keys given")
        .run(string::mget),
    row("mset", -3, "write denyoom", Group::String)
        .keys(&[key("OW update", index(1), range(-1, 2, 0))])
        .tips(&[
            "request_policy:multi_shard",
            "response_policy:all_succeeded",
        ])
        .args("data(key:key0 value)*")
        .about("1.0.1", "Sets several strings")
        .costs("O(N), N the keys given")
        .run(string::mset),
    row("msetnx", -3, "write denyoom", Group::String)
        .keys(&[key("OW insert", index(1), range(-1, 2, 0))])
        .args("data(key:key0 value)*")
        .about(
            "1.0.1",
            "Sets several strings unless one of the keys exists",
        )
        .costs("O(N), N the keys given")
        .run(string::msetnx),
    row("psetex", 4, "write denyoom", Group::String)
        .keys(&[key("OW update", index(1), range(0, 1, 0))])
        .args("key:key0 milliseconds:int value")
        .about("2.6.0", "Sets a string with a time to live in milliseconds")
        .costs("O(1)")
        .run(string::psetex),
    row("set", -3, "write denyoom", Group::String)
        .keys(&[key(
            "RW access update variable_flags",
            index(1),
            range(0, 1, 0),
        )])
        .key_finder(set_keys)
        .args(
            "key:key0 value condition{nx:token=NX@2.6.12 xx:token=XX@2.6.12 \
                comparison-value=IFEQ@8.1.0 ifne-value=IFNE@8.4.0 ifdeq-digest=IFDEQ@8.4.0 \
                ifdne-digest=IFDNE@8.4.0}? get:token=GET@6.2.0? \
                expiration{seconds:int=EX@2.6.12 milliseconds:int=PX@2.6.12 \
                unix-time-seconds:time=EXAT@6.2.0 unix-time-milliseconds:time=PXAT@6.2.0 \
                keepttl:token=KEEPTTL@6.0.0}?",
        )
        .about("1.0.0", "Sets a string")
        .costs("O(1)")
        .older(older::set)
        .run(string::set),
    row("setex", 4, "write denyoom", Group::String)
        .keys(&[key("OW update", index(1), range(0, 1, 0))])
        .args("key:key0 seconds:int value")
        .about("2.0.0", "Sets a string with a time to live in seconds")
        .costs("O(1)")
        .run(string::setex),
    row("setnx", 3, "write denyoom fast", Group::String)
        .keys(&[key("OW insert", index(1), range(0, 1, 0))])
        .args("key:key0 value")
        .about("1.0.0", "Sets a string unless the key exists")
        .costs("O(1)")
        .run(string::setnx),
    row("setrange", 4, "write denyoom", Group::String)
        .keys(&[key("RW update", index(1), range(0, 1, 0))])
        .args("key:key0 offset:int value")
        .about("2.2.0", "Overwrites a part of a string")
        .costs("O(M), M the bytes written")
        .run(string::setrange),
    row("strlen", 2, "readonly fast", Group::String)
        .keys(&[key("RO", index(1), range(0, 1, 0))])
        .args("key:key0")
        .about("2.2.0", "Returns the length of a string")
        .costs("O(1)")
        .run(string::strlen),
    row("substr", 4, "readonly", Group::String)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 start:int end:int")
        .about(
            "1.0.0",
            "Returns a part of a string; the old name of GETRANGE",
        )
        .costs("O(N), N the bytes returned")
        .run(string::getrange),
    row("delex", -2, "write fast", Group::String)
        .keys(&[key("RW delete variable_flags", index(1), range(0, 1, 0))])
        .key_finder(delex_keys)
        .args(
            "key:key0 condition{ifeq-value=IFEQ ifne-value=IFNE ifdeq-digest=IFDEQ \
                ifdne-digest=IFDNE}?",
        )
        .about(
            "8.4.0",
            "Removes a key if its string, or the digest of it, equals a value or does not",
        )
        .run(condition::delex),
    row("delifeq", 3, "write fast", Group::String)
        .keys(&[key("RM delete", index(1), range(0, 1, 0))])
        .args("key:key0 value")
        .about("9.0.0", "Removes a key if its string equals a value")
        .costs("O(1)")
        .run(condition::delifeq),
    row("digest", 2, "readonly fast", Group::String)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0")
        .about(
            "8.4.0",
            "Returns the XXH3 digest of a string, 16 hexadecimal digits",
        )
        .run(condition::digest),
    row("getdel", 2, "write fast", Group::String)
        .keys(&[key("RW access delete", index(1), range(0, 1, 0))])
        .args("key:key0")
        .about("6.2.0", "Returns a string and removes its key")
        .costs("O(1)")
        .run(string::getdel),
    row("getex", -2, "write fast", Group::String)
        .keys(&[key("RW access update", index(1), range(0, 1, 0))])
        .args(
            "key:key0 expiration{seconds:int=EX milliseconds:int=PX \
                unix-time-seconds:time=EXAT unix-time-milliseconds:time=PXAT \
                persist:token=PERSIST}?",
        )
        .about("6.2.0", "Returns a string and sets, or removes, its expiry")
        .costs("O(1)")
        .run(string::getex),
    row("lcs", -3, "readonly", Group::String)
        .keys(&[key("RO access", index(1), range(1, 1, 0))])
        .args(
            "key1:key0 key2:key0 len:token=LEN? idx:token=IDX? \
                min-match-len:int=MINMATCHLEN? withmatchlen:token=WITHMATCHLEN?",
        )
        .about(
            "7.0.0",
            "Finds the longest common subsequence of two strings",
        )
        .costs("O(N*M), N and M the lengths of the strings")
        .run(lcs::lcs),
    row("msetex", -4, "write denyoom movablekeys", Group::String)
        .keys(&[key("OW update", index(1), keynum(0, 1, 2))])
        .tips(&[
            "request_policy:multi_shard",
            "response_policy:all_succeeded",
        ])
        .args(
            "numkeys:int data(key:key0 value)* condition{nx:token=NX xx:token=XX}? \
                expiration{seconds:int=EX milliseconds:int=PX \
                unix-time-seconds:time=EXAT unix-time-milliseconds:time=PXAT \
                keepttl:token=KEEPTTL}?",
        )
        .about("9.1.0", "Sets several strings with one expiry")
        .costs("O(N), N the keys given")
        .run(string::msetex),
];
