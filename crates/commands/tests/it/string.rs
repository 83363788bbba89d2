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
fn options_may_come_again_in_the_same_form() {
    check(&[
        ("SET k v NX NX", "OK"),
        ("SET k v XX xx GET GET", r#""v""#),
        ("SET k v NX XX", "ERR syntax error"),
        ("SET k v IFEQ v IFEQ v", "ERR syntax error"),
        ("SET k v EX 10 EX 20", "OK"),
        ("TTL k", "20"),
        ("SET k v EX 10 PX 20", "ERR syntax error"),
        ("SET k v KEEPTTL KEEPTTL", "OK"),
        ("TTL k", "20"),
        ("GETEX k EX 10 PERSIST", "ERR syntax error"),
        ("GETEX k EX 10 EX 30", r#""v""#),
        ("TTL k", "30"),
        ("GETEX k PERSIST PERSIST", r#""v""#),
        ("TTL k", "-1"),
        ("MSETEX 1 k v XX XX EX 1 EX 40", "1"),
        ("TTL k", "40"),
        ("MSETEX 1 k v XX NX", "ERR syntax error"),
    ]);
}

/// The digests are those that Redis's documentation and issue 14496 give.
#[test]
fn conditions_compare_strings_and_their_digests() {
    check(&[
        ("DIGEST k", "nil"),
        ("SET k 'Hello world'", "OK"),
        ("DIGEST k", r#""b6acb9d84a38ff74""#),
        ("SET k new IFDEQ B6ACB9D84A38FF74", "OK"),
        ("SET k newer IFDEQ b6acb9d84a38ff74", "nil"),
        ("SET k newer IFDNE b6acb9d84a38ff74 GET", r#""new""#),
        ("SET k newest IFNE newer", "nil"),
        ("SET k newest IFNE new EX 100", "OK"),
        ("SET k 7 IFEQ newest KEEPTTL", "OK"),
        ("TTL k", "100"),
        ("SET absent v IFEQ v", "nil"),
        ("SET absent v IFDEQ b6acb9d84a38ff74", "nil"),
        ("SET absent v IFNE v", "OK"),
        ("SET absent2 v IFDNE b6acb9d84a38ff74", "OK"),
        (
            "SET k v IFDEQ 6c38adf31777",
            "ERR must be exactly 16 hexadecimal characters",
        ),
        (
            "SET k v IFDNE b6acb9d84a38ff7x",
            "ERR must be exactly 16 hexadecimal characters",
        ),
        ("SET k v IFEQ 7 XX", "ERR syntax error"),
        ("SET k v IFNE", "ERR syntax error"),
        (
            "SET z v8lf0c11xh8ymlqztfd3eeq16kfn4sspw7fqmnuuq3k3t75em5wdizgcdw7uc26nnf961u2jkfzkjytls2kwlj7626sd",
            "OK",
        ),
        ("DIGEST z", r#""00006c38adf31777""#),
        ("DELEX z IFDNE 00006c38adf31777", "0"),
        ("DELEX z IFDEQ 00006c38adf31777", "1"),
        ("DELEX z IFEQ x", "0"),
        ("DELEX k IFNE 7", "0"),
        ("DELEX k ifeq 7", "1"),
        ("DELEX none IFNE x", "0"),
        ("RPUSH l a", "1"),
        (
            "DIGEST l",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        (
            "SET l v IFNE a",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        (
            "DELEX l IFEQ a",
            "ERR Key should be of string type if conditions are specified",
        ),
        (
            "DELEX l IFEQ",
            "ERR wrong number of arguments for 'delex' command",
        ),
        (
            "DELEX l IF a",
            "ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE",
        ),
        ("DELEX l", "1"),
        ("DELEX l", "0"),
    ]);
}

#[test]
fn the_last_moment_is_told_as_it_is() {
    check(&[
        ("SET k v", "OK"),
        ("PEXPIREAT k 9223372036854775807", "1"),
        ("PEXPIRETIME k", "9223372036854775807"),
        ("EXPIRETIME k", "9223372036854776"),
        ("OBJECT REFCOUNT k", "1"),
    ]);
}

#[test]
fn conditions_do_not_go_to_replicas() {
    let mut server = Server::new();
    for (line, expected) in [
        (
            "SET k v IFNE v",
            "dirty 1, touched k, string set k, as SET k v",
        ),
        ("SET k w IFNE v", "dirty 0"),
        (
            "SET k w IFEQ v GET KEEPTTL",
            "dirty 1, touched k, string set k, as SET k w KEEPTTL",
        ),
        ("DELEX k IFNE w", "dirty 0"),
        (
            "DELEX k IFEQ w",
            "dirty 1, touched k, generic del k, as DEL k",
        ),
    ] {
        assert_eq!(server.effects(line), expected, "{line}");
    }
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
            "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
        ),
        (
            "SETRANGE k 536870911 xx",
            "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
        ),
        ("GETRANGE k -100 -50", r#""\x00""#),
        ("GETRANGE k 2 9", r#""x""#),
    ]);
}

#[test]
fn expiry_in_the_past_expires_the_key() {
    let mut server = Server::new();
    server.run("SET k v");
    assert_eq!(server.effects("EXPIREAT k 1"), "dirty 1, touched k");
    server.check(&[("EXISTS k", "0"), ("SET k v PX 5", "OK"), ("PTTL k", "5")]);
    server.keyspace.clock().set_unix_ms(NOW_MS + 5);
    assert_eq!(server.run("GET k"), r#""v""#);
    server.keyspace.clock().set_unix_ms(NOW_MS + 6);
    assert_eq!(server.run("GET k"), "nil");
}
