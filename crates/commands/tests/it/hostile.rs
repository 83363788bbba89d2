//! Requests that make Redis 3.0.7 crash, hang, or take memory without end: each gets a clear answer, and costs little.

use crate::harness::{Server, print};

/// Bytes that a hostile request may allocate in all: far more than it needs, far less than it asks for.
const BOUND: u64 = 1 << 20;

/// Runs a request; its reply printed. What it allocates is bounded, whatever is freed again.
#[track_caller]
fn run(server: &mut Server, args: &[&[u8]]) -> String {
    let allocated = || tikv_jemalloc_ctl::thread::allocatedp::read().unwrap().get();
    let before = allocated();
    let reply = server.call(args);
    let cost = allocated() - before;
    assert!(cost < BOUND, "{cost} bytes were allocated");
    print(&mut &reply[..])
}

#[track_caller]
fn check(server: &mut Server, line: &str, expected: &str) {
    let words = resp::args::split(line.as_bytes()).unwrap();
    let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    assert_eq!(run(server, &args), expected, "{line}");
}

#[test]
fn offsets_and_counts_near_the_end_of_numbers() {
    let mut server = Server::new();
    server.run("SET k v");
    server.run("SADD s a b c");
    server.run("RPUSH l a b c");
    server.run("ZADD z 1 a 2 b");
    let too_big = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    let bit = "ERR bit offset is not an integer or out of range";
    for (line, expected) in [
        ("SETRANGE k 9223372036854775807 x", too_big),
        ("SETRANGE k 536870912 x", too_big),
        ("SETRANGE new 9223372036854775807 ''", "0"),
        ("SETBIT k 4294967296 1", bit),
        ("SETBIT k 9223372036854775807 1", bit),
        ("GETBIT k -1", bit),
        (
            "GETRANGE k -9223372036854775808 9223372036854775807",
            r#""v""#,
        ),
        ("BITCOUNT k -9223372036854775808 9223372036854775807", "5"),
        ("BITPOS k 1 9223372036854775807 -9223372036854775808", "-1"),
        (
            "SRANDMEMBER s -9223372036854775807",
            "ERR value is out of range",
        ),
        (
            "SRANDMEMBER s -9223372036854775808",
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ),
        (
            "LRANGE l -9223372036854775808 9223372036854775807",
            r#"["a" "b" "c"]"#,
        ),
        (
            "LREM l -9223372036854775808 none",
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ),
        ("LTRIM l -9223372036854775808 9223372036854775807", "OK"),
        ("ZRANGE z 9223372036854775807 -9223372036854775808", "[]"),
        (
            "ZRANGEBYSCORE z -inf +inf LIMIT 0 -9223372036854775808",
            r#"["a" "b"]"#,
        ),
        (
            "ZREMRANGEBYRANK z 9223372036854775807 -9223372036854775808",
            "0",
        ),
        (
            "SORT l ALPHA LIMIT 9223372036854775807 9223372036854775807",
            "[]",
        ),
        (
            "SCAN 18446744073709551615 COUNT 9223372036854775807",
            r#"["0" []]"#,
        ),
    ] {
        check(&mut server, line, expected);
    }
}

/// 1.7976931348623157e308 as the 80-bit number that is nearest to it.
const DIGITS: &str = "1797693134862315699959210467741044340483864469443291784853144207651766285231243963547018686083870855644\
    2879341942552068930870836345113605535789727802647761707349897768628839483561816329404559443492953744729\
    0627480669417384648879122776218333598953852832103282504751611691208117720159985926376802466863339536384";

/// 3.0.7 prints bytes of its stack behind the 255th digit, and stores a score that is no number.
#[test]
fn floats_near_the_end_of_the_double() {
    let mut server = Server::new();
    server.run("SET f 1.7976931348623157e308");
    check(&mut server, "INCRBYFLOAT f 0", &format!("{DIGITS:?}"));
    check(&mut server, "STRLEN f", "309");
    check(&mut server, "APPEND f e400000", "316");
    check(
        &mut server,
        "INCRBYFLOAT f 1",
        "ERR value is not a valid float",
    );
    server.run("HSET h f -1.7976931348623157e308");
    check(&mut server, "HINCRBYFLOAT h f 0", &format!("\"-{DIGITS}\""));
    let infinite = "ERR increment would produce NaN or Infinity";
    server.run("HSET h i inf");
    check(&mut server, "HINCRBYFLOAT h i -1", infinite);
    check(
        &mut server,
        "HINCRBYFLOAT h i -inf",
        "ERR value is NaN or Infinity",
    );
    check(
        &mut server,
        "HINCRBYFLOAT h f nan",
        "ERR value is not a valid float",
    );
    server.run("ZADD z inf a");
    check(
        &mut server,
        "ZINCRBY z -inf a",
        "ERR resulting score is not a number (NaN)",
    );
    check(&mut server, "ZSCORE z a", r#""inf""#);
}

/// 3.0.7 takes the integer for the address of a string, or reads and writes beyond the registers.
#[test]
fn strings_taken_for_hyperloglogs() {
    const SPARSE: &str = r"HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80";
    let mut server = Server::new();
    server.run("SET int 10");
    check(
        &mut server,
        "PFCOUNT int",
        "WRONGTYPE Key is not a valid HyperLogLog string value.",
    );
    let corrupt = "INVALIDOBJ Corrupted HLL object detected";
    server.run("PFADD good a b c");
    for runs in [r"\x7f\xff\xff\xff", r"\x7f\xff\x7f\xff", r"\xff", ""] {
        server.run(&format!(r#"SET hand "{SPARSE}{runs}""#));
        check(&mut server, "PFMERGE d good hand", corrupt);
        check(&mut server, "PFCOUNT good hand", corrupt);
    }
    check(&mut server, "EXISTS d", "0");
}

/// A matcher that goes back at every star would need 2^60 steps for each key.
#[test]
fn patterns_of_many_stars() {
    let mut server = Server::new();
    for number in 10..60 {
        server.run(&format!("SET {}{number} v", "a".repeat(60)));
    }
    let pattern = "a*a*a*a*a*a*a*a*a*a*a*a*b";
    check(&mut server, &format!("KEYS {pattern}"), "[]");
    check(
        &mut server,
        &format!("SCAN 0 COUNT 1000 MATCH {pattern}"),
        r#"["0" []]"#,
    );
    server.run(&format!("SADD s {}", "a".repeat(60)));
    check(
        &mut server,
        &format!("SSCAN s 0 MATCH {pattern}"),
        r#"["0" []]"#,
    );
}

/// A payload with a good checksum around `value`, the code of its encoding in front.
fn payload(value: &[u8]) -> Vec<u8> {
    let mut payload = [value, &[6, 0]].concat();
    payload.extend(rdb::crc64(&payload).to_le_bytes());
    payload
}

/// A value of one compact form: with its code and its length.
fn compact(code: u8, form: &[u8]) -> Vec<u8> {
    [&[code, u8::try_from(form.len()).unwrap()], form].concat()
}

const BAD_VALUES: &[(&str, &[u8])] = &[
    ("a string of 2^31 bytes", b"\x00\x80\x80\x00\x00\x00abc"),
    (
        "a string of 2^63 bytes",
        b"\x00\x81\x80\x00\x00\x00\x00\x00\x00\x00abc",
    ),
    (
        "a compressed string of 2^31 bytes",
        b"\x00\xc3\x03\x80\x80\x00\x00\x00\x01ab",
    ),
    (
        "a compressed string that repeats what is before it",
        b"\x00\xc3\x04\x0a\x00a\x20\x05",
    ),
    ("a list of 2^31 elements", b"\x01\x80\x80\x00\x00\x00\x01a"),
    ("a set of 2^31 members", b"\x02\x80\x80\x00\x00\x00\x01a"),
    (
        "a hash of 2^31 fields",
        b"\x04\x80\x80\x00\x00\x00\x01a\x01b",
    ),
    (
        "a sorted set of 2^31 members",
        b"\x03\x80\x80\x00\x00\x00\x01a\x011",
    ),
    ("a list of 2^31 ziplists", b"\x0e\x80\x80\x00\x00\x00"),
    ("an empty list", b"\x01\x00"),
    ("an empty set", b"\x02\x00"),
    ("an empty sorted set", b"\x03\x00"),
    ("an empty hash", b"\x04\x00"),
    ("a list of no ziplists", b"\x0e\x00"),
    ("a list of no listpacks", b"\x12\x00"),
    ("a member twice", b"\x02\x02\x01a\x01a"),
    ("a field twice", b"\x04\x02\x01a\x011\x01a\x012"),
    ("a score that is no number", b"\x03\x01\x01a\x03nan"),
    ("a score that is marked as none", b"\x03\x01\x01a\xfd"),
    ("bytes behind the value", b"\x00\x01ab"),
    ("an unknown encoding", b"\x63\x01a"),
    ("a stream", b"\x0f\x00"),
];

/// Code and compact form.
const BAD_FORMS: &[(&str, u8, &[u8])] = &[
    ("an empty ziplist", 10, b"\x0b\0\0\0\x0a\0\0\0\0\0\xff"),
    (
        "a ziplist of 2^31 bytes",
        10,
        b"\0\0\0\x80\x0a\0\0\0\x01\0\x00\x01a\xff",
    ),
    (
        "a ziplist entry past the end",
        10,
        b"\x0e\0\0\0\x0a\0\0\0\x01\0\x00\x3fa\xff",
    ),
    (
        "a ziplist entry of 2^31 bytes",
        10,
        b"\x12\0\0\0\x0a\0\0\0\x01\0\x00\x80\x80\0\0\0a\xff",
    ),
    (
        "a ziplist without an end",
        10,
        b"\x0d\0\0\0\x0a\0\0\0\x01\0\x00\x01a",
    ),
    (
        "a ziplist with another count",
        10,
        b"\x0e\0\0\0\x0a\0\0\0\x09\0\x00\x01a\xff",
    ),
    (
        "a ziplist wrong about its last entry",
        10,
        b"\x0e\0\0\0\xff\0\0\0\x01\0\x00\x01a\xff",
    ),
    (
        "a field without a value",
        13,
        b"\x0e\0\0\0\x0a\0\0\0\x01\0\x00\x01a\xff",
    ),
    (
        "a member without a score",
        12,
        b"\x0e\0\0\0\x0a\0\0\0\x01\0\x00\x01a\xff",
    ),
    (
        "a score that is a word",
        12,
        b"\x11\0\0\0\x0d\0\0\0\x02\0\x00\x01a\x03\x01b\xff",
    ),
    (
        "an intset of 2^31 members",
        11,
        b"\x02\0\0\0\0\0\0\x80\x01\0",
    ),
    (
        "an intset of odd width",
        11,
        b"\x03\0\0\0\x01\0\0\0\x01\0\0",
    ),
    ("an empty intset", 11, b"\x02\0\0\0\0\0\0\0"),
    (
        "an intset out of order",
        11,
        b"\x02\0\0\0\x02\0\0\0\x02\0\x01\0",
    ),
    ("a zipmap field past the end", 9, b"\x01\x09f\x01\x00v\xff"),
    (
        "a zipmap field of 2^31 bytes",
        9,
        b"\x01\xfe\0\0\0\x80f\xff",
    ),
    ("a zipmap field without a value", 9, b"\x01\x01f\xff"),
    ("an empty zipmap", 9, b"\x00\xff"),
    (
        "a listpack of 2^31 bytes",
        16,
        b"\0\0\0\x80\x01\0\x81a\x02\xff",
    ),
    (
        "a listpack entry past the end",
        16,
        b"\x0a\0\0\0\x01\0\xbfa\x02\xff",
    ),
    (
        "a listpack field without a value",
        16,
        b"\x0a\0\0\0\x01\0\x81a\x02\xff",
    ),
    ("an empty listpack", 20, b"\x07\0\0\0\0\0\xff"),
];

#[test]
fn payloads_with_a_good_checksum_and_bad_insides() {
    let mut server = Server::new();
    let forms = BAD_FORMS
        .iter()
        .map(|(what, code, form)| (*what, compact(*code, form)));
    let values = BAD_VALUES
        .iter()
        .map(|(what, value)| (*what, value.to_vec()));
    for (what, value) in values.chain(forms) {
        let reply = run(&mut server, &[b"RESTORE", b"k", b"0", &payload(&value)]);
        assert_eq!(reply, "ERR Bad data format", "{what}");
        check(&mut server, "EXISTS k", "0");
    }
    // So close are good ones.
    for good in [
        b"\x01\x01\x01a".to_vec(),
        compact(10, b"\x0e\0\0\0\x0a\0\0\0\x01\0\x00\x01a\xff"),
        compact(11, b"\x02\0\0\0\x02\0\0\0\x01\0\x02\0"),
        compact(9, b"\x01\x01f\x01\x00v\xff"),
        compact(20, b"\x0a\0\0\0\x01\0\x81a\x02\xff"),
    ] {
        let reply = run(&mut server, &[b"RESTORE", b"k", b"0", &payload(&good)]);
        assert_eq!(reply, "OK", "{good:?}");
        server.run("DEL k");
    }
}

/// Runs a request; what it allocates, whatever is freed again.
fn cost(server: &mut Server, line: &str) -> u64 {
    let allocated = || tikv_jemalloc_ctl::thread::allocatedp::read().unwrap().get();
    let before = allocated();
    server.run(line);
    allocated() - before
}

#[test]
fn one_table_serves_all_dumps() {
    let mut server = Server::new();
    server.run(&format!("SET text {}", "x".repeat(100)));
    server.run("RPUSH list a b c d e f");
    let first = cost(&mut server, "DUMP text");
    assert!(first > 100_000, "the table is made for the first: {first}");
    for line in ["DUMP text", "DUMP list", "DUMP text"] {
        let again = cost(&mut server, line);
        assert!(again < 4096, "{again} bytes for {line}");
    }
}
