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
        ("LINDEX l 9223372036854775807", "nil"),
        ("LINDEX l 4294967297", "nil"),
    ]);
    let mut server = Server::small();
    server.check(&[
        ("RPUSH l a b c d e", "5"),
        ("LINDEX l 9223372036854775807", "nil"),
    ]);
}

#[test]
fn several_are_popped_at_once() {
    check(&[
        ("RPUSH l a b c d", "4"),
        ("LPOP l 2", r#"["a" "b"]"#),
        ("RPOP l 0", "[]"),
        ("LPOP none 1", "nil"),
        ("LPOP l -1", "ERR value is out of range, must be positive"),
        ("LMPOP 2 none l RIGHT COUNT 9", r#"["l" ["d" "c"]]"#),
        ("LMPOP 1 l LEFT", "nil"),
        ("LMPOP 0 l LEFT", "ERR numkeys should be greater than 0"),
        (
            "LMPOP 1 l LEFT COUNT 0",
            "ERR count should be greater than 0",
        ),
        ("LMPOP 2 l LEFT", "ERR syntax error"),
        ("RPUSH l a b", "2"),
        ("LMOVE l m RIGHT RIGHT", r#""b""#),
        ("LMOVE l l LEFT RIGHT", r#""a""#),
        ("LMOVE l m UP RIGHT", "ERR syntax error"),
        ("LPUSHX l y z", "3"),
        ("LRANGE l 0 -1", r#"["z" "y" "a"]"#),
    ]);
}

#[test]
fn elements_are_found_from_both_ends() {
    check(&[
        ("RPUSH l a b c 1 2 3 c c", "8"),
        ("LPOS l c", "2"),
        ("LPOS l c RANK 2", "6"),
        ("LPOS l c RANK -1", "7"),
        ("LPOS l c COUNT 2", "[2 6]"),
        ("LPOS l c RANK -1 COUNT 0", "[7 6 2]"),
        ("LPOS l c COUNT 0 MAXLEN 3", "[2]"),
        ("LPOS l c RANK -1 COUNT 0 MAXLEN 2", "[7 6]"),
        ("LPOS l x", "nil"),
        ("LPOS none c COUNT 1", "[]"),
        ("LPOS l c COUNT -1", "ERR COUNT can't be negative"),
    ]);
}

#[test]
fn effects() {
    let mut server = Server::new();
    for (line, expected) in [
        ("RPUSH l a b", "dirty 2, touched l, list rpush l, ready l"),
        ("LPUSH l c", "dirty 1, touched l, list lpush l"),
        ("LREM l 0 b", "dirty 1, touched l, list lrem l"),
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
fn encodings() {
    let mut server = Server::small();
    for (lines, expected) in [
        (&["RPUSH l a b c d"][..], "listpack"),
        (&["RPUSH l a b c d", "RPUSH l e"], "quicklist"),
        (&["RPUSH l a b c d e", "LPOP l 2"], "quicklist"),
        (&["RPUSH l a b c d e", "LPOP l 3"], "listpack"),
        (&["RPUSH l a b c d e", "LTRIM l 0 1"], "listpack"),
        // An element that does not come.
        (&["RPUSH l a b c d", "LSET l 9 e"], "quicklist"),
        (&["RPUSH l a b c d", "LSET l x e"], "listpack"),
        (&["RPUSH l a b c d", "LINSERT l AFTER x e"], "quicklist"),
        // A list that is turned round.
        (&["RPUSH l a b c d e", "RPOPLPUSH l l"], "quicklist"),
        (
            &["RPUSH l a b c d e", "LTRIM l 2 4", "RPOPLPUSH l l"],
            "quicklist",
        ),
        (&["RPUSH l a a a a e", "LREM l 0 a"], "listpack"),
    ] {
        server.run("DEL l");
        for line in lines {
            server.run(line);
        }
        assert!(
            server.run("OBJECT ENCODING l").contains(expected),
            "{lines:?}"
        );
    }
}
