//! Rows of the group "stream".

use crate::table::{DataFn, Group, Row, index, key, keyword, range, row};
use crate::{older, stream, stream_groups, stream_info, stream_read};

const TRIM: &[&str] = &["nondeterministic_output"];

pub(super) static ROWS: &[Row<DataFn>] = &[
    row("xack", -4, "write fast", Group::Stream)
        .keys(&[key("RW update", index(1), range(0, 1, 0))])
        .args("key:key0 group id*")
        .about("5.0.0", "Acknowledges entries that a consumer group delivered").costs("O(1) for each entry")
        .run(stream_groups::xack),
    row("xadd", -5, "write denyoom fast", Group::Stream)
        .keys(&[key("RW update", index(1), range(0, 1, 0))])
        .tips(TRIM)
        .args(
            "key:key0 nomkstream:token=NOMKSTREAM@6.2.0? \
                trim(strategy{maxlen:token=MAXLEN minid:token=MINID@6.2.0} \
                operator{equal:token=\"=\" approximately:token=~}? threshold count:int=LIMIT@6.2.0?)? \
                id-selector{auto-id:token=\"*\" id} data(field value)*",
        )
        .about("5.0.0", "Adds an entry to a stream").costs("O(1); O(N) where N entries are trimmed")
        .run(stream::xadd),
    row("xautoclaim", -6, "write fast", Group::Stream)
        .keys(&[key("RW delete", index(1), range(0, 1, 0))])
        .tips(TRIM)
        .args("key:key0 group consumer min-idle-time start count:int=COUNT? justid:token=JUSTID?")
        .about("6.2.0", "Gives entries that are pending for long to another consumer").costs("O(N), N the entries looked at")
        .run(stream_groups::xautoclaim),
    row("xclaim", -6, "write fast", Group::Stream)
        .keys(&[key("RW update", index(1), range(0, 1, 0))])
        .tips(TRIM)
        .args(
            "key:key0 group consumer min-idle-time id* ms:int=IDLE? \
                unix-time-milliseconds:time=TIME? count:int=RETRYCOUNT? force:token=FORCE? \
                justid:token=JUSTID? lastid=LASTID?",
        )
        .about("5.0.0", "Gives pending entries to another consumer").costs("O(log(N)) for each entry, N the pending entries of the group")
        .run(stream_groups::xclaim),
    row("xdel", -3, "write fast", Group::Stream)
        .keys(&[key("RW delete", index(1), range(0, 1, 0))])
        .args("key:key0 id*")
        .about("5.0.0", "Removes entries of a stream").costs("O(1) for each entry")
        .run(stream::xdel),
    row("xgroup", -2, "", Group::Stream)
        .categories("")
        .about("5.0.0", "Manages consumer groups")
        .subs(GROUP_ROWS),
    row("xinfo", -2, "", Group::Stream)
        .categories("")
        .about("5.0.0", "Describes a stream and its consumer groups")
        .subs(INFO_ROWS),
    row("xlen", 2, "readonly fast", Group::Stream)
        .keys(&[key("RO", index(1), range(0, 1, 0))])
        .args("key:key0")
        .about("5.0.0", "Counts the entries of a stream").costs("O(1)")
        .run(stream::xlen),
    row("xpending", -3, "readonly", Group::Stream)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .tips(TRIM)
        .args(
            "key:key0 group filters(min-idle-time:int=IDLE@6.2.0? start end count:int consumer?)?",
        )
        .about("5.0.0", "Describes the pending entries of a consumer group").costs("O(N), N the entries returned; O(M) for the summary, M the consumers")
        .run(stream_groups::xpending),
    row("xrange", -4, "readonly", Group::Stream)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 start end count:int=COUNT?")
        .about("5.0.0", "Returns entries between two ids").costs("O(N), N the entries returned")
        .run(stream::xrange),
    row("xread", -4, "blocking movablekeys readonly", Group::Stream)
        .keys(&[key("RO access", keyword("STREAMS", 1), range(-1, 1, 2))])
        .args("count:int=COUNT? milliseconds:int=BLOCK? streams=STREAMS(key:key0* id*)")
        .about("5.0.0", "Returns entries of several streams, or waits for one")
        .run(stream_read::xread),
    row("xreadgroup", -7, "blocking movablekeys write", Group::Stream)
        .keys(&[key("RO access", keyword("STREAMS", 4), range(-1, 1, 2))])
        .args(
            "group-block=GROUP(group consumer) count:int=COUNT? milliseconds:int=BLOCK? \
                noack:token=NOACK? streams=STREAMS(key:key0* id*)",
        )
        .about("5.0.0", "Returns entries that a consumer group has not delivered, or waits for one").costs("O(M) for each stream, M the entries returned")
        .run(stream_read::xreadgroup),
    row("xrevrange", -4, "readonly", Group::Stream)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 end start count:int=COUNT?")
        .about("5.0.0", "Returns entries between two ids, the last first").costs("O(N), N the entries returned")
        .run(stream::xrevrange),
    row("xsetid", -3, "write denyoom fast", Group::Stream)
        .keys(&[key("RW update", index(1), range(0, 1, 0))])
        .args("key:key0 last-id entries-added:int=ENTRIESADDED@7.0.0? max-deleted-id=MAXDELETEDID@7.0.0?")
        .about("5.0.0", "Sets what a stream knows of its last entry").costs("O(1)")
        .run(stream::xsetid),
    row("xtrim", -4, "write", Group::Stream)
        .keys(&[key("RW delete", index(1), range(0, 1, 0))])
        .tips(TRIM)
        .args(
            "key:key0 trim(strategy{maxlen:token=MAXLEN minid:token=MINID@6.2.0} \
                operator{equal:token=\"=\" approximately:token=~}? threshold count:int=LIMIT@6.2.0?)",
        )
        .about("5.0.0", "Removes the first entries of a stream").costs("O(N), N the entries removed")
        .run(stream::xtrim),
];

static GROUP_ROWS: &[Row<DataFn>] = &[
    row("xgroup|create", -5, "write denyoom", Group::Stream)
        .keys(&[key("RW insert", index(2), range(0, 1, 0))])
        .args(
            "key:key0 group id-selector{id new-id:token=$} mkstream:token=MKSTREAM? \
                entriesread/entries-read:int=ENTRIESREAD?",
        )
        .about("5.0.0", "Creates a consumer group").costs("O(1)")
        .older(older::xgroup)
        .run(stream_groups::create),
    row("xgroup|createconsumer", 5, "write denyoom", Group::Stream)
        .keys(&[key("RW insert", index(2), range(0, 1, 0))])
        .args("key:key0 group consumer")
        .about("6.2.0", "Creates a consumer of a group").costs("O(1)")
        .run(stream_groups::create_consumer),
    row("xgroup|delconsumer", 5, "write", Group::Stream)
        .keys(&[key("RW delete", index(2), range(0, 1, 0))])
        .args("key:key0 group consumer")
        .about("5.0.0", "Removes a consumer of a group").costs("O(1)")
        .run(stream_groups::delete_consumer),
    row("xgroup|destroy", 4, "write", Group::Stream)
        .keys(&[key("RW delete", index(2), range(0, 1, 0))])
        .args("key:key0 group")
        .about("5.0.0", "Removes a consumer group").costs("O(N), N the pending entries of the group")
        .run(stream_groups::destroy),
    row("xgroup|help", 2, "loading stale", Group::Stream)
        .about("5.0.0", "Describes the subcommands").costs("O(1)"),
    row("xgroup|setid", -5, "write", Group::Stream)
        .keys(&[key("RW update", index(2), range(0, 1, 0))])
        .args("key:key0 group id-selector{id new-id:token=$} entriesread/entries-read:int=ENTRIESREAD?")
        .about("5.0.0", "Sets up to where a consumer group has read").costs("O(1)")
        .older(older::xgroup)
        .run(stream_groups::set_id),
];

static INFO_ROWS: &[Row<DataFn>] = &[
    row("xinfo|consumers", 4, "readonly", Group::Stream)
        .keys(&[key("RO access", index(2), range(0, 1, 0))])
        .tips(TRIM)
        .args("key:key0 group")
        .about("5.0.0", "Describes the consumers of a group")
        .costs("O(1)")
        .run(stream_info::consumers),
    row("xinfo|groups", 3, "readonly", Group::Stream)
        .keys(&[key("RO access", index(2), range(0, 1, 0))])
        .args("key:key0")
        .about("5.0.0", "Describes the consumer groups of a stream")
        .costs("O(1)")
        .run(stream_info::groups),
    row("xinfo|help", 2, "loading stale", Group::Stream)
        .about("5.0.0", "Describes the subcommands")
        .costs("O(1)"),
    row("xinfo|stream", -3, "readonly", Group::Stream)
        .keys(&[key("RO access", index(2), range(0, 1, 0))])
        .args("key:key0 full-block(full:token=FULL count:int=COUNT?)?")
        .about("5.0.0", "Describes a stream")
        .costs("O(1)")
        .run(stream_info::stream),
];
