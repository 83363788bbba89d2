//! What commands leave behind beside their replies, as Valkey 9.1 does: keyspace events, and the counters of look-ups and changes.

use engine::Now;

use crate::harness::{Server, taken};

/// A command; its events; hits, misses and changes. Recorded from Valkey 9.1, with the keys of [`fill`].
const RECORDED: &[(&str, &str, &str)] = &[
    ("EXISTS s none none", "keymiss none, keymiss none", "1 2 0"),
    ("OBJECT ENCODING s", "", "1 0 0"),
    ("OBJECT REFCOUNT none", "", "0 1 0"),
    ("OBJECT IDLETIME none", "", "0 1 0"),
    ("EXPIRE none 100", "", "0 0 0"),
    ("EXPIRE s 100", "expire s", "0 0 1"),
    ("PEXPIREAT s 1", "expired s", "0 0 1"),
    ("GETEX s", "", "1 0 0"),
    ("GETEX none", "keymiss none", "0 1 0"),
    ("SET none v IFEQ w", "", "0 0 0"),
    ("SET s w IFEQ x GET", "", "1 0 0"),
    ("DELIFEQ s w", "", "0 0 0"),
    (
        "MSET a 1 s 2 b 3",
        "new a, set a, set s, new b, set b",
        "0 0 3",
    ),
    ("MSETNX a 1 b 2", "new a, set a, new b, set b", "0 0 2"),
    (
        "MSETEX 2 a 1 s 2 EX 100",
        "new a, set a, expire a, set s, expire s",
        "0 0 2",
    ),
    ("RENAME s n", "new n, rename_from s, rename_to n", "0 0 1"),
    (
        "RENAME s new",
        "new new, rename_from s, rename_to new",
        "0 0 1",
    ),
    (
        "RENAMENX s new",
        "new new, rename_from s, rename_to new",
        "0 0 1",
    ),
    ("COPY s new", "new new, copy_to new", "1 0 1"),
    ("COPY s n REPLACE", "new n, copy_to n", "1 0 1"),
    ("COPY none new", "keymiss none", "0 1 0"),
    ("MOVE s 1", "new s, move_from s, move_to s", "0 0 1"),
    (
        "BITOP AND d s n none",
        "keymiss none, new d, set d",
        "2 1 1",
    ),
    (
        "BITOP AND d none none",
        "keymiss none, keymiss none",
        "0 2 0",
    ),
    ("BITFIELD n INCRBY u8 0 0", "", "0 0 0"),
    ("BITFIELD n INCRBY u8 0 1", "setbit n", "0 0 1"),
    ("LTRIM l 0 -1", "ltrim l", "0 0 0"),
    ("LTRIM l 0 0", "ltrim l", "0 0 2"),
    ("LTRIM l 5 9", "ltrim l, del l", "0 0 3"),
    ("LCS l z", "", "2 0 0"),
    ("SORT none", "keymiss none", "0 1 0"),
    ("SORT t STORE d", "new d, sortstore d", "1 0 2"),
    ("SORT_RO l ALPHA", "", "1 0 0"),
    ("HINCRBY none f 1", "new none, hincrby none", "0 0 1"),
    ("HINCRBYFLOAT h f 1.5", "hincrbyfloat h", "0 0 1"),
    ("HMGET h f g", "", "1 0 0"),
    ("HMGET none f", "keymiss none", "0 1 0"),
    ("HGETEX none FIELDS 1 f", "keymiss none", "0 1 0"),
    ("HGETEX h FIELDS 1 f", "", "1 0 0"),
    (
        "HSETEX none PX 0 FIELDS 1 f v",
        "new none, hset none, hexpire none, hexpired none, del none",
        "0 0 0",
    ),
    ("SINTERSTORE d t none", "keymiss none", "1 1 0"),
    (
        "SUNIONSTORE d none none",
        "keymiss none, keymiss none",
        "0 2 0",
    ),
    ("SDIFFSTORE s t none", "keymiss none, sdiffstore s", "1 1 1"),
    ("ZUNIONSTORE s 1 z", "zunionstore s", "1 0 1"),
    ("ZRANGESTORE z z 0 0", "zrangestore z", "1 0 1"),
    ("ZDIFFSTORE d 1 none", "keymiss none", "0 1 0"),
    ("XACK none g 1-1", "keymiss none", "0 1 0"),
    ("XACK x g 1-1", "", "1 0 0"),
    ("XAUTOCLAIM none g c nonumber 0", "keymiss none", "0 1 0"),
    (
        "XGROUP CREATE y g $ MKSTREAM",
        "new y, xgroup-create y",
        "0 0 1",
    ),
    ("PFADD q a b", "new q, pfadd q", "0 0 3"),
    ("PFADD p a c", "pfadd p", "0 0 1"),
    ("PFCOUNT none", "keymiss none", "0 1 0"),
    ("PFCOUNT p", "", "1 0 1"),
    ("PFDEBUG nope p", "", "0 0 0"),
    ("FLUSHALL", "", "0 0 8"),
    ("SWAPDB 1 1", "", "0 0 1"),
    ("SET s v KEEPTTL GET", "set s", "1 0 1"),
    ("GETDEL none", "keymiss none", "0 1 0"),
    ("GETSET none v", "keymiss none, new none, set none", "0 1 1"),
    ("APPEND none v", "new none, append none", "0 0 1"),
    ("SETRANGE none 0 a", "new none, setrange none", "0 0 1"),
    ("INCR none", "new none, incrby none", "0 0 1"),
    ("LPUSH none a", "new none, lpush none", "0 0 1"),
    ("LPUSHX none a", "", "0 0 0"),
    ("SPOP none", "", "0 0 0"),
    ("SMOVE t d 1", "srem t, new d, sadd d", "0 0 2"),
    ("ZINCRBY none 1 a", "new none, zincr none", "0 0 1"),
    ("HSETNX none f v", "new none, hset none", "0 0 1"),
    ("GEOADD none 1 1 a", "new none, zadd none", "0 0 1"),
    ("LMOVE l d LEFT LEFT", "new d, lpush d, lpop l", "0 0 1"),
    ("TYPE none", "keymiss none", "0 1 0"),
    ("TTL none", "keymiss none", "0 1 0"),
    ("TOUCH s none", "keymiss none", "1 1 0"),
    ("DEL none", "", "0 0 0"),
    ("UNLINK s", "del s", "0 0 1"),
    ("DUMP none", "keymiss none", "0 1 0"),
    ("RESTORE none 0 x", "", "0 0 0"),
    ("PERSIST s", "", "0 0 0"),
    ("SUBSTR none 0 1", "keymiss none", "0 1 0"),
    ("STRLEN none", "keymiss none", "0 1 0"),
    ("GETBIT none 1", "keymiss none", "0 1 0"),
    ("SETBIT none 1 1", "new none, setbit none", "0 0 1"),
    ("XADD none 1-1 f v", "new none, xadd none", "0 0 1"),
    ("XLEN none", "keymiss none", "0 1 0"),
    ("XRANGE none - +", "keymiss none", "0 1 0"),
    ("XREAD STREAMS x 0", "", "2 0 0"),
    ("XREAD STREAMS x $", "", "2 0 0"),
    ("XTRIM none MAXLEN 0", "", "0 0 0"),
    ("XDEL none 1-1", "", "0 0 0"),
    (
        "XREAD STREAMS none 0",
        "keymiss none, keymiss none",
        "0 2 0",
    ),
    ("LPOP none", "", "0 0 0"),
    ("ZPOPMIN none", "", "0 0 0"),
    ("LMPOP 2 none l LEFT", "lpop l", "0 0 1"),
    ("ZMPOP 1 none MIN", "", "0 0 0"),
    ("SINTERCARD 2 t none", "keymiss none", "1 1 0"),
    ("ZINTERCARD 2 z none", "keymiss none", "1 1 0"),
];

/// One key of each type.
fn fill(server: &mut Server) {
    for line in [
        "SET s v",
        "SET n 42",
        "RPUSH l a b c",
        "SADD t 1 2",
        "HSET h f 1",
        "ZADD z 1 a 2 b",
        "XADD x 1-1 f v",
        "XGROUP CREATE x g 0",
        "PFADD p a",
    ] {
        run(server, line);
    }
}

fn run(server: &mut Server, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    server.run(server.a, &words)
}

/// Hits, misses and changes.
fn counters(server: &mut Server) -> [i64; 3] {
    let text = run(server, "INFO stats persistence");
    [
        "keyspace_hits",
        "keyspace_misses",
        "rdb_changes_since_last_save",
    ]
    .map(|name| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        let line = lines.find(|(field, _)| *field == name);
        line.expect("a field").1.parse().expect("a number")
    })
}

/// The events that a subscriber was told of: `name key`, in order.
fn events(told: &str) -> String {
    let lines: Vec<&str> = told.lines().collect();
    let events = lines.windows(3).filter_map(|at| {
        let (_, event) = at[0].strip_prefix("__keyevent@")?.split_once(':')?;
        Some(format!("{event} {}", at[2]))
    });
    events.collect::<Vec<_>>().join(", ")
}

#[test]
fn commands_leave_behind_what_they_do_in_valkey() {
    for (line, expected, counted) in RECORDED {
        let mut server = Server::new();
        run(&mut server, "CONFIG SET notify-keyspace-events KEAmn");
        // FLUSHALL saves where there are save points, and then counts from nothing.
        server.run(server.a, &["CONFIG", "SET", "save", ""]);
        fill(&mut server);
        let b = server.b;
        server.run(b, &["PSUBSCRIBE", "__keyevent@*"]);
        let before = counters(&mut server);
        run(&mut server, line);
        assert_eq!(events(&taken(&mut server.engine, b)), *expected, "{line}");
        let after = counters(&mut server);
        let [hits, misses, changes] = std::array::from_fn(|at| after[at] - before[at]);
        assert_eq!(format!("{hits} {misses} {changes}"), *counted, "{line}");
    }
}

#[test]
fn a_key_that_is_read_after_its_time_has_expired_before_it_is_missed() {
    let mut server = Server::new();
    run(&mut server, "CONFIG SET notify-keyspace-events KEAmn");
    run(&mut server, "SET k v PX 5");
    let now = Now {
        mono_ms: 100,
        unix_us: 1_000_000_100_000,
    };
    server.set_now(now);
    let b = server.b;
    server.run(b, &["PSUBSCRIBE", "__keyevent@*"]);
    run(&mut server, "GET k");
    assert_eq!(
        events(&taken(&mut server.engine, b)),
        "expired k, keymiss k"
    );
    run(&mut server, "SET k v PX 5");
    server.set_now(Now {
        mono_ms: 200,
        unix_us: 1_000_000_200_000,
    });
    taken(&mut server.engine, b);
    run(&mut server, "SET k w");
    assert_eq!(
        events(&taken(&mut server.engine, b)),
        "expired k, new k, set k"
    );
}

#[test]
fn a_cycle_tells_what_expired_in_the_order_in_which_it_did() {
    let mut server = Server::new();
    run(&mut server, "CONFIG SET notify-keyspace-events KEA");
    run(&mut server, "HSET h f 1");
    run(&mut server, "HPEXPIRE h 5 FIELDS 1 f");
    run(&mut server, "SET k v PX 5");
    let b = server.b;
    server.run(b, &["PSUBSCRIBE", "__keyevent@*"]);
    server.set_now(Now {
        mono_ms: 100,
        unix_us: 1_000_000_100_000,
    });
    // Fields in the first step of the slice, keys in the second.
    server.engine.tick();
    assert_eq!(
        events(&taken(&mut server.engine, b)),
        "hexpired h, del h, expired k"
    );
}
