//! Strings, and keys of any type.

use crate::harness::{NOW_MS, Server, check};

#[test]
fn set_and_its_options() {
    check(&[
        ("SET k v NX", "OK"),
        ("SET k w nx", "nil"),
        ("SET k w XX EX 10", "OK"),
        ("TTL k", "10"),
        ("SET k v EX", "ERR syntax error"),
        ("SET k v EX 0", "ERR invalid expire time in 'set' command"),
        (
            "SET k v PX 9223372036854775807",
            "ERR invalid expire time in 'set' command",
        ),
        ("SETEX k -1 v", "ERR invalid expire time in 'setex' command"),
        (
            "PSETEX k x v",
            "ERR value is not an integer or out of range",
        ),
        ("SET k v", "OK"),
        ("TTL k", "-1"),
        ("TTL none", "-2"),
        (
            "MSET a 1 b",
            "ERR wrong number of arguments for 'mset' command",
        ),
        ("MSETNX a 1 k 2", "0"),
        ("EXISTS a k k", "2"),
        ("SET k w GET", r#""v""#),
        ("SET k x IFEQ v", "nil"),
        ("SET k x IFEQ w", "OK"),
        ("SET k y EX 10 KEEPTTL", "ERR syntax error"),
        ("GETEX k EX 100", r#""x""#),
        ("SET k y KEEPTTL", "OK"),
        ("TTL k", "100"),
        ("GETEX k PERSIST", r#""y""#),
        ("TTL k", "-1"),
        ("DELIFEQ k x", "0"),
        ("DELIFEQ k y", "1"),
        ("MSETEX 2 p 1 q 2 NX EX 10", "1"),
        ("MSETEX 1 p 1 NX", "0"),
        ("TTL q", "10"),
        ("GETDEL q", r#""2""#),
        ("GETDEL q", "nil"),
        ("MSET a ohmytext b mynewtext", "OK"),
        ("LCS a b", r#""mytext""#),
        ("LCS a b LEN", "6"),
        (
            "LCS a b IDX MINMATCHLEN 4",
            r#"["matches" [[[4 7] [5 8]]] "len" 6]"#,
        ),
    ]);
}

#[test]
fn numbers() {
    check(&[
        ("SET n 9223372036854775806", "OK"),
        ("INCR n", "9223372036854775807"),
        ("INCR n", "ERR increment or decrement would overflow"),
        ("DECRBY n -1", "ERR increment or decrement would overflow"),
        ("SET n ' 1'", "OK"),
        ("INCR n", "ERR value is not an integer or out of range"),
        ("SET n 3.0", "OK"),
        ("INCRBYFLOAT n 0.1", r#""3.1""#),
        (
            "INCRBYFLOAT n inf",
            "ERR increment would produce NaN or Infinity",
        ),
        ("INCRBYFLOAT n x", "ERR value is not a valid float"),
    ]);
}

#[test]
fn parts() {
    check(&[
        ("SETRANGE k 0 ''", "0"),
        ("EXISTS k", "0"),
        ("SETRANGE k 2 x", "3"),
        ("GET k", r#""\x00\x00x""#),
        ("SETRANGE k -1 x", "ERR offset is out of range"),
        (
            "SETRANGE k 9223372036854775807 x",
            "ERR string exceeds maximum allowed size (512MB)",
        ),
        (
            "SETRANGE k 536870911 xx",
            "ERR string exceeds maximum allowed size (512MB)",
        ),
        ("GETRANGE k -100 -50", r#""\x00""#),
        ("GETRANGE k 2 9", r#""x""#),
    ]);
}

#[test]
fn expiry_in_the_past_deletes_and_goes_out_as_del() {
    let mut server = Server::new();
    server.run("SET k v");
    assert_eq!(
        server.effects("EXPIREAT k 1"),
        "dirty 1, touched k, expired expired k, as DEL k"
    );
    server.check(&[("EXISTS k", "0"), ("SET k v PX 5", "OK"), ("PTTL k", "5")]);
    server.keyspace.clock().set_unix_ms(NOW_MS + 5);
    assert_eq!(server.run("GET k"), r#""v""#);
    server.keyspace.clock().set_unix_ms(NOW_MS + 6);
    assert_eq!(server.run("GET k"), "nil");
}
