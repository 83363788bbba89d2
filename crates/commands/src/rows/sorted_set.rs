//! Rows of the group "sorted-set".

use crate::table::{DataFn, Group, Row, index, key, keynum, range, row};
use crate::{older, scan, zset, zset_pop, zset_store};

pub(super) static ROWS: &[Row<DataFn>] = &[
    row("zadd", -4, "write denyoom fast", Group::SortedSet)
        .keys(&[key("RW update", index(1), range(0, 1, 0))])
        .args(
            "key:key0 condition@3.0.2{nx:token=NX xx:token=XX}? \
                comparison@6.2.0{gt:token=GT lt:token=LT}? change:token=CH@3.0.2? \
                increment:token=INCR@3.0.2? data(score:double member)*",
        )
        .about("1.2.0", "Adds members with scores to a sorted set").costs("O(log(N)) for each member, N the size of the sorted set")
        .older(older::zadd)
        .run(zset::zadd),
    row("zcard", 2, "readonly fast", Group::SortedSet)
        .keys(&[key("RO", index(1), range(0, 1, 0))])
        .args("key:key0")
        .about("1.2.0", "Counts the members of a sorted set").costs("O(1)")
        .run(zset::zcard),
    row("zcount", 4, "readonly fast", Group::SortedSet)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 min:double max:double")
        .about("2.0.0", "Counts the members within a range of scores").costs("O(log(N)), N the size of the sorted set")
        .run(zset::zcount),
    row("zincrby", 4, "write denyoom fast", Group::SortedSet)
        .keys(&[key("RW access update", index(1), range(0, 1, 0))])
        .args("key:key0 increment:int member")
        .about("1.2.0", "Adds to the score of a member").costs("O(log(N)), N the size of the sorted set")
        .run(zset::zincrby),
    row(
        "zinterstore",
        -4,
        "write denyoom movablekeys",
        Group::SortedSet,
    )
    .keys(&[
        key("OW update", index(1), range(0, 1, 0)),
        key("RO access", index(2), keynum(0, 1, 1)),
    ])
    .args(
        "destination:key0 numkeys:int key:key1* weight:int=WEIGHTS?* \
                aggregate=AGGREGATE{sum:token=SUM min:token=MIN max:token=MAX}?",
    )
    .about("2.0.0", "Intersects sorted sets into a key").costs("O(N*K)+O(M*log(M)), N the size of the smallest sorted set, K the keys given, M the size of the result")
    .older(older::state)
    .run(zset_store::zinterstore),
    row("zlexcount", 4, "readonly fast", Group::SortedSet)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 min max")
        .about("2.8.9", "Counts the members within a lexicographical range").costs("O(log(N)), N the size of the sorted set")
        .run(zset::zlexcount),
    row("zrange", -4, "readonly", Group::SortedSet)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args(
            "key:key0 start stop sortby@6.2.0{byscore:token=BYSCORE \
                bylex:token=BYLEX}? rev:token=REV@6.2.0? limit=LIMIT@6.2.0(offset:int \
                count:int)? withscores:token=WITHSCORES?",
        )
        .about(
            "1.2.0",
            "Returns a range of a sorted set by rank, score or name",
        ).costs("O(log(N)+M), N the size of the sorted set, M the members returned")
        .run(zset::zrange),
    row("zrangebylex", -4, "readonly", Group::SortedSet)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 min max limit=LIMIT(offset:int count:int)?")
        .about("2.8.9", "Returns a lexicographical range").costs("O(log(N)+M), N the size of the sorted set, M the members returned")
        .run(zset::zrangebylex),
    row("zrangebyscore", -4, "readonly", Group::SortedSet)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args(
            "key:key0 min:double max:double withscores:token=WITHSCORES@2.0.0? \
                limit=LIMIT(offset:int count:int)?",
        )
        .about("1.0.5", "Returns a range of scores").costs("O(log(N)+M), N the size of the sorted set, M the members returned")
        .run(zset::zrangebyscore),
    row("zrank", -3, "readonly fast", Group::SortedSet)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 member withscore:token=WITHSCORE?")
        .about("2.0.0", "Returns the rank of a member").costs("O(log(N))")
        .run(zset::zrank),
    row("zrem", -3, "write fast", Group::SortedSet)
        .keys(&[key("RW delete", index(1), range(0, 1, 0))])
        .args("key:key0 member*")
        .about("1.2.0", "Removes members of a sorted set").costs("O(M*log(N)), M the members given, N the size of the sorted set")
        .run(zset::zrem),
    row("zremrangebylex", 4, "write", Group::SortedSet)
        .keys(&[key("RW delete", index(1), range(0, 1, 0))])
        .args("key:key0 min max")
        .about("2.8.9", "Removes a lexicographical range").costs("O(log(N)+M), N the size of the sorted set, M the members removed")
        .run(zset::zremrangebylex),
    row("zremrangebyrank", 4, "write", Group::SortedSet)
        .keys(&[key("RW delete", index(1), range(0, 1, 0))])
        .args("key:key0 start:int stop:int")
        .about("2.0.0", "Removes a range of ranks").costs("O(log(N)+M), N the size of the sorted set, M the members removed")
        .run(zset::zremrangebyrank),
    row("zremrangebyscore", 4, "write", Group::SortedSet)
        .keys(&[key("RW delete", index(1), range(0, 1, 0))])
        .args("key:key0 min:double max:double")
        .about("1.2.0", "Removes a range of scores").costs("O(log(N)+M), N the size of the sorted set, M the members removed")
        .run(zset::zremrangebyscore),
    row("zrevrange", -4, "readonly", Group::SortedSet)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 start:int stop:int withscores:token=WITHSCORES?")
        .about("1.2.0", "Returns a range of ranks, highest scores first").costs("O(log(N)+M), N the size of the sorted set, M the members returned")
        .run(zset::zrevrange),
    row("zrevrangebylex", -4, "readonly", Group::SortedSet)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 max min limit=LIMIT(offset:int count:int)?")
        .about("2.8.9", "Returns a lexicographical range backwards").costs("O(log(N)+M), N the size of the sorted set, M the members returned")
        .run(zset::zrevrangebylex),
    row("zrevrangebyscore", -4, "readonly", Group::SortedSet)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args(
            "key:key0 max:double min:double withscores:token=WITHSCORES? \
                limit=LIMIT(offset:int count:int)?",
        )
        .about("2.2.0", "Returns a range of scores, highest first").costs("O(log(N)+M), N the size of the sorted set, M the members returned")
        .run(zset::zrevrangebyscore),
    row("zrevrank", -3, "readonly fast", Group::SortedSet)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 member withscore:token=WITHSCORE?")
        .about(
            "2.0.0",
            "Returns the rank of a member, counted from the highest score",
        ).costs("O(log(N))")
        .run(zset::zrevrank),
    row("zscan", -3, "readonly", Group::SortedSet)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .tips(&["nondeterministic_output"])
        .args(
            "key:key0 cursor:int pattern:pattern=MATCH? count:int=COUNT? \
                noscores:token=NOSCORES?",
        )
        .about("2.8.0", "Iterates over the members of a sorted set").costs("O(1) for each call; O(N) for a whole scan, N the size of the sorted set")
        .run(scan::zscan),
    row("zscore", 3, "readonly fast", Group::SortedSet)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 member")
        .about("1.2.0", "Returns the score of a member").costs("O(1)")
        .run(zset::zscore),
    row(
        "zunionstore",
        -4,
        "write denyoom movablekeys",
        Group::SortedSet,
    )
    .keys(&[
        key("OW update", index(1), range(0, 1, 0)),
        key("RO access", index(2), keynum(0, 1, 1)),
    ])
    .args(
        "destination:key0 numkeys:int key:key1* weight:int=WEIGHTS?* \
                aggregate=AGGREGATE{sum:token=SUM min:token=MIN max:token=MAX}?",
    )
    .about("2.0.0", "Unites sorted sets into a key").costs("O(N)+O(M*log(M)), N the members of all sorted sets, M the size of the result")
    .older(older::state)
    .run(zset_store::zunionstore),
    row("bzmpop", -5, "write blocking movablekeys", Group::SortedSet)
        .keys(&[key("RW access delete", index(2), keynum(0, 1, 1))])
        .args(
            "timeout:double numkeys:int key:key0* where{min:token=MIN max:token=MAX} \
                count:int=COUNT?",
        )
        .about(
            "7.0.0",
            "Pops members from the first sorted set that has any, or waits",
        ).costs("O(K)+O(M*log(N)), K the keys given, M the members popped, N the size of the sorted set")
        .run(zset_pop::bzmpop),
    row("bzpopmax", -3, "write blocking fast", Group::SortedSet)
        .keys(&[key("RW access delete", index(1), range(-2, 1, 0))])
        .args("key:key0* timeout:double")
        .about(
            "5.0.0",
            "Pops the member with the highest score of the first sorted set that has any, or waits",
        ).costs("O(log(N)), N the size of the sorted set")
        .run(zset_pop::bzpopmax),
    row("bzpopmin", -3, "write blocking fast", Group::SortedSet)
        .keys(&[key("RW access delete", index(1), range(-2, 1, 0))])
        .args("key:key0* timeout:double")
        .about(
            "5.0.0",
            "Pops the member with the lowest score of the first sorted set that has any, or waits",
        ).costs("O(log(N)), N the size of the sorted set")
        .run(zset_pop::bzpopmin),
    row("zdiff", -3, "readonly movablekeys", Group::SortedSet)
        .keys(&[key("RO access", index(1), keynum(0, 1, 1))])
        .args("numkeys:int key:key0* withscores:token=WITHSCORES?")
        .about("6.2.0", "Subtracts sorted sets from the first").costs("O(L+(N-K)*log(N)), L the members of all sorted sets, N those of the first, K those of the result")
        .run(zset_store::zdiff),
    row(
        "zdiffstore",
        -4,
        "write denyoom movablekeys",
        Group::SortedSet,
    )
    .keys(&[
        key("OW update", index(1), range(0, 1, 0)),
        key("RO access", index(2), keynum(0, 1, 1)),
    ])
    .args("destination:key0 numkeys:int key:key1*")
    .about("6.2.0", "Subtracts sorted sets from the first, into a key").costs("O(L+(N-K)*log(N)), L the members of all sorted sets, N those of the first, K those of the result")
    .run(zset_store::zdiffstore),
    row("zinter", -3, "readonly movablekeys", Group::SortedSet)
        .keys(&[key("RO access", index(1), keynum(0, 1, 1))])
        .args(
            "numkeys:int key:key0* weight:int=WEIGHTS?* \
                aggregate=AGGREGATE{sum:token=SUM min:token=MIN max:token=MAX}? \
                withscores:token=WITHSCORES?",
        )
        .about("6.2.0", "Intersects sorted sets").costs("O(N*K)+O(M*log(M)), N the size of the smallest sorted set, K the keys given, M the size of the result")
        .run(zset_store::zinter),
    row("zintercard", -3, "readonly movablekeys", Group::SortedSet)
        .keys(&[key("RO access", index(1), keynum(0, 1, 1))])
        .args("numkeys:int key:key0* limit:int=LIMIT?")
        .about(
            "7.0.0",
            "Counts the members of an intersection of sorted sets",
        ).costs("O(N*K), N the size of the smallest sorted set, K the keys given")
        .run(zset_store::zintercard),
    row("zmpop", -4, "write movablekeys", Group::SortedSet)
        .keys(&[key("RW access delete", index(1), keynum(0, 1, 1))])
        .args(
            "numkeys:int key:key0* where{min:token=MIN max:token=MAX} \
                count:int=COUNT?",
        )
        .about(
            "7.0.0",
            "Pops members from the first sorted set that has any",
        ).costs("O(K)+O(M*log(N)), K the keys given, M the members popped, N the size of the sorted set")
        .run(zset_pop::zmpop),
    row("zmscore", -3, "readonly fast", Group::SortedSet)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 member*")
        .about("6.2.0", "Returns the scores of members").costs("O(N), N the members given")
        .run(zset::zmscore),
    row("zpopmax", -2, "write fast", Group::SortedSet)
        .keys(&[key("RW access delete", index(1), range(0, 1, 0))])
        .args("key:key0 count:int?")
        .about("5.0.0", "Pops the members with the highest scores").costs("O(M*log(N)), M the members popped, N the size of the sorted set")
        .older(older::zpopmax)
        .run(zset_pop::zpopmax),
    row("zpopmin", -2, "write fast", Group::SortedSet)
        .keys(&[key("RW access delete", index(1), range(0, 1, 0))])
        .args("key:key0 count:int?")
        .about("5.0.0", "Pops the members with the lowest scores").costs("O(M*log(N)), M the members popped, N the size of the sorted set")
        .older(older::zpopmin)
        .run(zset_pop::zpopmin),
    row("zrandmember", -2, "readonly", Group::SortedSet)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .tips(&["nondeterministic_output"])
        .args("key:key0 options(count:int withscores:token=WITHSCORES?)?")
        .about("6.2.0", "Returns random members of a sorted set").costs("O(N), N the members returned")
        .run(zset_pop::zrandmember),
    row("zrangestore", -5, "write denyoom", Group::SortedSet)
        .keys(&[
            key("OW update", index(1), range(0, 1, 0)),
            key("RO access", index(2), range(0, 1, 0)),
        ])
        .args(
            "dst:key0 src:key1 min max sortby{byscore:token=BYSCORE \
                bylex:token=BYLEX}? rev:token=REV? limit=LIMIT(offset:int count:int)?",
        )
        .about("6.2.0", "Stores a range of a sorted set in a key").costs("O(log(N)+M), N the size of the sorted set, M the members stored")
        .run(zset::zrangestore),
    row("zunion", -3, "readonly movablekeys", Group::SortedSet)
        .keys(&[key("RO access", index(1), keynum(0, 1, 1))])
        .args(
            "numkeys:int key:key0* weight:int=WEIGHTS?* \
                aggregate=AGGREGATE{sum:token=SUM min:token=MIN max:token=MAX}? \
                withscores:token=WITHSCORES?",
        )
        .about("6.2.0", "Unites sorted sets").costs("O(N)+O(M*log(M)), N the members of all sorted sets, M the size of the result")
        .run(zset_store::zunion),
];
