//! Streams.

use crate::harness::{NOW_MS, Server, check};

#[test]
fn entries() {
    check(&[
        (
            "XADD s 0-0 a 1",
            "ERR The ID specified in XADD must be greater than 0-0",
        ),
        ("EXISTS s", "0"),
        ("XADD s NOMKSTREAM * a 1", "nil"),
        ("XADD s 5-* a 1", r#""5-0""#),
        ("XADD s 5-* a 2 b 3", r#""5-1""#),
        ("XADD s 7 a 1", r#""7-0""#),
        (
            "XADD s 7-0 a 1",
            "ERR The ID specified in XADD is equal or smaller than the target stream top item",
        ),
        (
            "XADD s 8-1 a 1 b",
            "ERR wrong number of arguments for 'xadd' command",
        ),
        (
            "XADD s x a b",
            "ERR Invalid stream ID specified as stream command argument",
        ),
        ("XLEN s", "3"),
        ("TYPE s", "stream"),
        (
            "XRANGE s - + COUNT 2",
            r#"[["5-0" ["a" "1"]] ["5-1" ["a" "2" "b" "3"]]]"#,
        ),
        ("XRANGE s (5-0 6", r#"[["5-1" ["a" "2" "b" "3"]]]"#),
        ("XREVRANGE s + (5-1", r#"[["7-0" ["a" "1"]]]"#),
        ("XRANGE s - + COUNT 0", "nil"),
        ("XRANGE none - +", "[]"),
        ("XDEL s 5-1 6", "1"),
        ("XTRIM s MAXLEN 1", "1"),
        (
            "XTRIM s MINID = 9 LIMIT 1",
            "ERR syntax error, LIMIT cannot be used without the special ~ option",
        ),
        ("XTRIM s MAXLEN 0", "1"),
        ("EXISTS s", "1"),
        ("XSETID s 9-0 ENTRIESADDED 7", "OK"),
        (
            "XADD s 8-0 a 1",
            "ERR The ID specified in XADD is equal or smaller than the target stream top item",
        ),
    ]);
}

#[test]
fn what_xadd_leaves_behind() {
    let mut server = Server::new();
    assert_eq!(
        server.effects("XADD s * a 1"),
        format!("dirty 1, touched s, stream xadd s, as XADD s {NOW_MS}-0 a 1, ready s")
    );
    assert_eq!(
        server.effects("XADD s 1500000000001-0 a 1"),
        "dirty 1, touched s, stream xadd s, ready s"
    );
    server.settings.limits.stream_node_entries = 1;
    assert_eq!(
        server.effects("XADD s MAXLEN ~ 2 LIMIT 9 1500000000001-* a 1"),
        "dirty 1, touched s, stream xadd s, as XADD s MAXLEN = 3 LIMIT 9 1500000000001-1 a 1, ready s"
    );
    for seq in 2..6 {
        server.run(&format!("XADD s 1500000000001-{seq} a 1"));
    }
    assert_eq!(
        server.effects("XTRIM s MINID ~ 1500000000001-4"),
        "dirty 5, touched s, stream xtrim s, as XTRIM s MINID = 1500000000001-4"
    );
}

#[test]
fn groups_deliver_what_is_new() {
    let mut server = Server::new();
    let now = NOW_MS;
    server.check(&[
        ("XADD s 1-0 a 1", r#""1-0""#),
        ("XADD s 2-0 a 2", r#""2-0""#),
        ("XGROUP CREATE s g 0", "OK"),
        (
            "XGROUP CREATE s g 0",
            "BUSYGROUP Consumer Group name already exists",
        ),
        (
            "XGROUP create s h 0 MKSTREAM MKSTREAM ENTRIESREAD 2",
            "ERR unknown subcommand or wrong number of arguments for 'create'. Try XGROUP HELP.",
        ),
    ]);
    assert_eq!(
        server.effects("XREADGROUP GROUP g c COUNT 1 STREAMS s >"),
        format!(
            "dirty 2, stream xgroup-createconsumer s, \
             as XCLAIM s g c 0 1-0 TIME {now} RETRYCOUNT 1 FORCE JUSTID LASTID 1-0, \
             as XGROUP SETID s g 1-0 ENTRIESREAD 1"
        )
    );
    server.check(&[
        ("XREADGROUP GROUP g c STREAMS s 0", r#"[["s" [["1-0" ["a" "1"]]]]]"#),
        ("XPENDING s g", r#"[1 "1-0" "1-0" [["c" "1"]]]"#),
        ("XPENDING s g - + 10", r#"[["1-0" "c" 0 2]]"#),
        ("XREADGROUP GROUP g d NOACK STREAMS s >", r#"[["s" [["2-0" ["a" "2"]]]]]"#),
        ("XREADGROUP GROUP g d STREAMS s >", "nil"),
        ("XCLAIM s g d 0 1-0 JUSTID", r#"["1-0"]"#),
        ("XDEL s 1-0", "1"),
        ("XREADGROUP GROUP g d STREAMS s 0", r#"[["s" [["1-0" nil]]]]"#),
        ("XAUTOCLAIM s g c 0 - COUNT 5", r#"["0-0" [] ["1-0"]]"#),
        ("XACK s g 1-0 2-0", "0"),
        ("XINFO GROUPS s", r#"[["name" "g" "consumers" 2 "pending" 0 "last-delivered-id" "2-0" "entries-read" 2 "lag" 0]]"#),
        ("XGROUP DELCONSUMER s g c", "0"),
        ("XGROUP SETID s g 0 ENTRIESREAD -2", "ERR value for ENTRIESREAD must be positive or -1"),
        (
            "XGROUP SETID s g 0 ENTRIESREAD 1 ENTRIESREAD 2",
            "ERR unknown subcommand or wrong number of arguments for 'SETID'. Try XGROUP HELP.",
        ),
        ("XGROUP SETID s none 0 ENTRIESREAD 1 ENTRIESREAD 2", "NOGROUP No such consumer group 'none' for key name 's'"),
        (
            "XGROUP CREATE s h 0 MKSTREAM ENTRIESREAD 1 ENTRIESREAD -2",
            "ERR value for ENTRIESREAD must be positive or -1",
        ),
        ("XGROUP DESTROY s g", "1"),
        ("XREADGROUP GROUP g c STREAMS s >", "NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option"),
        ("XGROUP SETID s g 0", "NOGROUP No such consumer group 'g' for key name 's'"),
    ]);
}

#[test]
fn a_key_that_is_named_again_goes_on() {
    check(&[
        ("XADD s 1-0 a 1", r#""1-0""#),
        ("XADD s 2-0 a 2", r#""2-0""#),
        ("XADD s 3-0 a 3", r#""3-0""#),
        ("XGROUP CREATE s g 0", "OK"),
        (
            "XREADGROUP GROUP g c COUNT 2 STREAMS s s s > > >",
            r#"[["s" [["1-0" ["a" "1"]] ["2-0" ["a" "2"]]]] ["s" [["3-0" ["a" "3"]]]]]"#,
        ),
        ("XREADGROUP GROUP g c STREAMS s s > >", "nil"),
        (
            "XREADGROUP GROUP g c STREAMS s 18446744073709551615-18446744073709551615",
            "nil",
        ),
    ]);
}

#[test]
fn a_reader_waits_for_what_comes_after_now() {
    let mut server = Server::new();
    server.run("XADD s 3-1 a 1");
    assert_eq!(server.run("XREAD STREAMS s $"), "nil");
    server.call(&[b"XREAD", b"BLOCK", b"50", b"STREAMS", b"s", b"$"]);
    let block = server.effects.block.take().expect("it waits");
    assert_eq!(block.timeout_ms, 50);
    let words = block.instead.expect("another request");
    assert_eq!(&*words[5], b"3-1");
    server.check(&[
        ("XREAD STREAMS s 0", r#"[["s" [["3-1" ["a" "1"]]]]]"#),
        ("XREAD STREAMS s t +", "ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be specified."),
        ("XREAD BLOCK -1 STREAMS s 0", "ERR timeout is negative"),
        ("XREAD STREAMS s +", r#"[["s" [["3-1" ["a" "1"]]]]]"#),
    ]);
}

#[test]
fn a_consumer_that_gets_nothing_is_told_of() {
    for line in [
        "XREADGROUP GROUP g c STREAMS s >",
        "XREADGROUP GROUP g c STREAMS s 0",
        "XAUTOCLAIM s g c 0 -",
        "XCLAIM s g c 0 1-0",
    ] {
        let mut server = Server::new();
        server.check(&[
            ("XADD s 1-0 a 1", r#""1-0""#),
            ("XGROUP CREATE s g $", "OK"),
        ]);
        let effects = server.effects(line);
        let expected = "stream xgroup-createconsumer s, as XGROUP CREATECONSUMER s g c";
        assert!(effects.contains(expected), "{line}: {effects}");
        assert!(!server.effects(line).contains("CREATECONSUMER"), "{line}");
    }
}
