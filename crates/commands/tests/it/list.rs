//! Lists.

use crate::harness::{Server, check};

#[test]
fn indexes() {
    check(&[
        ("RPUSH l a b c", "3"),
        ("LINDEX l 0", r#""a""#),
        ("LINDEX l -1", r#""c""#),
        ("LINDEX l 3", "nil"),
        ("LINDEX l x", "ERR value is not an integer or out of range"),
        ("LINDEX none x", "nil"),
        ("LSET l 1 B", "OK"),
        ("LSET l 3 d", "ERR index out of range"),
        ("LSET none 0 d", "ERR no such key"),
        ("LRANGE l 0 -1", r#"["a" "B" "c"]"#),
        // The low 32 bits, in a compact list.
        ("LINDEX l 9223372036854775807", r#""c""#),
        ("LINDEX l 4294967297", r#""B""#),
    ]);
    let mut server = Server::small();
    server.check(&[
        ("RPUSH l a b c d e", "5"),
        ("LINDEX l 9223372036854775807", "nil"),
    ]);
}

#[test]
fn effects() {
    let mut server = Server::new();
    for (line, expected) in [
        ("RPUSH l a b", "dirty 2, touched l, list rpush l, ready l"),
        ("LPUSH l c", "dirty 1, touched l, list lpush l"),
        ("LREM l 0 b", "dirty 1, touched l"),
        (
            "RPOPLPUSH l m",
            "dirty 1, touched m, touched l, list lpush m, list rpop l, ready m",
        ),
        (
            "BLPOP x l 0",
            "dirty 1, touched l, list lpop l, generic del l, as LPOP l",
        ),
        (
            "LTRIM m 1 0",
            "dirty 1, touched m, list ltrim m, generic del m",
        ),
    ] {
        assert_eq!(server.effects(line), expected, "{line}");
    }
}

#[test]
fn a_list_is_not_compact_again() {
    let long = "x".repeat(65);
    let mut server = Server::new();
    for (lines, expected) in [
        // A list that is turned round.
        (
            vec![
                format!("RPUSH l a {long}"),
                "RPOP l".into(),
                "RPOPLPUSH l l".into(),
            ],
            "linkedlist",
        ),
        // An element that does not come.
        (
            vec!["RPUSH l a".into(), format!("LSET l 5 {long}")],
            "linkedlist",
        ),
        (
            vec!["RPUSH l a".into(), format!("LINSERT l AFTER b {long}")],
            "linkedlist",
        ),
        (
            vec!["RPUSH l a".into(), format!("LSET l x {long}")],
            "ziplist",
        ),
    ] {
        server.run("DEL l");
        for line in &lines {
            server.run(line);
        }
        assert!(
            server.run("OBJECT ENCODING l").contains(expected),
            "{lines:?}"
        );
    }
}
