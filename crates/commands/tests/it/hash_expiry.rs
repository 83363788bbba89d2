//! Expiry of single fields of hashes.

use crate::harness::{NOW_MS, Server};

#[test]
fn fields_get_and_lose_an_expiry() {
    let mut server = Server::new();
    server.check(&[
        ("HSET h a 1", "1"),
        ("HSET h b 2", "1"),
        ("HEXPIRE h 100 FIELDS 3 a b c", "[1 1 -2]"),
        ("HTTL h FIELDS 3 a b c", "[100 100 -2]"),
        ("OBJECT ENCODING h", r#""hashtable""#),
        ("HEXPIRE h 50 GT FIELDS 1 a", "[0]"),
        ("HEXPIRE h 50 LT FIELDS 1 a", "[1]"),
        ("HEXPIRE h 60 NX FIELDS 1 a", "[0]"),
        ("HEXPIRE h 60 XX FIELDS 1 a", "[1]"),
        ("HPTTL h FIELDS 1 a", "[60000]"),
        ("HPERSIST h FIELDS 3 a a c", "[1 -1 -2]"),
        ("HTTL h FIELDS 2 a b", "[-1 100]"),
        ("HSET h b 3", "0"),
        ("HTTL h FIELDS 1 b", "[-1]"),
        ("HTTL none FIELDS 1 b", "[-2]"),
        ("HEXPIREAT h 1 FIELDS 2 a b", "[2 2]"),
        ("EXISTS h", "0"),
    ]);
}

#[test]
fn errors() {
    let mut server = Server::new();
    let numfields =
        "ERR numfields should be greater than 0 and match the provided number of fields";
    server.check(&[
        ("SET s x", "OK"),
        ("HEXPIRE h 1 FIELDS 2 a", numfields),
        ("HEXPIRE h 1 FIELDS 0 a", numfields),
        ("HEXPIRE h 1 NX a b", numfields),
        (
            "HEXPIRE h 1 GT LT FIELDS x a",
            "ERR GT and LT options at the same time are not compatible",
        ),
        (
            "HEXPIRE h 1 FIELDS x a",
            "ERR value is not an integer or out of range",
        ),
        (
            "HEXPIRE h -1 FIELDS 1 a",
            "ERR invalid expire time in 'hexpire' command",
        ),
        ("HEXPIRE h 1 ZZ FIELDS 1 a", "ERR Unsupported option ZZ"),
        (
            "HEXPIRE h 1 NX XX FIELDS 1 a",
            "ERR NX and XX, GT or LT options at the same time are not compatible",
        ),
        ("HTTL h FIELDS 2 a", "ERR syntax error"),
        ("HPERSIST h FIELDS 2 a", numfields),
        (
            "HEXPIRE s 1 FIELDS 1 a",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        ("HSETEX h EX 1 PX 1 FIELDS 1 a b", "ERR syntax error"),
        ("HSETEX h EX 1 KEEPTTL FIELDS 1 a b", "ERR syntax error"),
        ("HGETEX h EX 1 PERSIST FIELDS 1 a", "ERR syntax error"),
        ("HSETEX h EX 0 FIELDS 2 a b", numfields),
    ]);
}

#[test]
fn values_come_with_their_expiry() {
    let mut server = Server::new();
    server.check(&[
        ("HSETEX h EX 100 FIELDS 2 a 1 b 2", "1"),
        ("HTTL h FIELDS 2 a b", "[100 100]"),
        ("HSETEX h NX FIELDS 1 a 9", "0"),
        ("HSETEX h FNX FIELDS 2 c 3 a 9", "0"),
        ("HSETEX h FXX KEEPTTL FIELDS 1 a 9", "1"),
        ("HTTL h FIELDS 1 a", "[100]"),
        ("HGETEX h PERSIST FIELDS 2 a c", r#"["9" nil]"#),
        ("HTTL h FIELDS 2 a b", "[-1 100]"),
        ("HGETDEL h FIELDS 2 a a", r#"["9" nil]"#),
        ("HINCRBY h b 5", "7"),
        ("HTTL h FIELDS 1 b", "[100]"),
        ("HGETDEL h FIELDS 1 b", r#"["7"]"#),
        ("EXISTS h", "0"),
        ("HGETDEL h FIELDS 1 b", "[nil]"),
        ("HSETEX h XX FIELDS 1 a 1", "0"),
    ]);
}

#[test]
fn what_is_propagated_is_absolute() {
    let mut server = Server::new();
    let at = NOW_MS + 10_000;
    assert_eq!(
        server.effects("HSETEX h FNX EX 10 FIELDS 1 a 1"),
        format!(
            "dirty 1, touched h, hash hset h, hash hexpire h, as HSETEX h PXAT {at} FIELDS 1 a 1"
        )
    );
    assert_eq!(
        server.effects("HPEXPIRE h 10000 XX FIELDS 2 a b"),
        format!("dirty 1, touched h, hash hexpire h, as HPEXPIREAT h {at} XX FIELDS 2 a b")
    );
    assert_eq!(
        server.effects("HGETEX h PX 10000 FIELDS 2 a b"),
        format!("dirty 1, touched h, hash hexpire h, as HPEXPIREAT h {at} FIELDS 1 a")
    );
    assert_eq!(
        server.effects("HINCRBY h a 2"),
        format!("dirty 1, touched h, hash hincrby h, as HSETEX h PXAT {at} FIELDS 1 a 3")
    );
    server.keyspace.clock().set_unix_ms(at + 1);
    assert_eq!(server.run("HGETALL h"), "[]");
    assert_eq!(server.run("HLEN h"), "1");
    assert_eq!(
        server.effects("HSET h a 5"),
        "dirty 1, touched h, hash hexpired h, hash hset h"
    );
    assert_eq!(
        server.effects("HEXPIRE h 0 FIELDS 1 a"),
        "dirty 1, touched h, hash hexpired h, generic del h, as HDEL h a"
    );
}

#[test]
fn few_fields_are_shown_in_the_order_in_which_they_came() {
    Server::new().check(&[
        ("HSET h a 1 b 2 c 3 d 4", "4"),
        ("HEXPIRE h 100 FIELDS 2 a c", "[1 1]"),
        ("HGETALL h", r#"["a" "1" "b" "2" "c" "3" "d" "4"]"#),
        ("HSETEX h EX 100 FIELDS 1 d 5", "1"),
        ("HSET h c 6", "0"),
        ("HGETALL h", r#"["a" "1" "b" "2" "c" "6" "d" "5"]"#),
        ("HDEL h b", "1"),
        ("HSET h e 7", "1"),
        ("HKEYS h", r#"["a" "e" "c" "d"]"#),
        (
            "HSCAN h 0 COUNT 1",
            r#"["0" ["a" "1" "e" "7" "c" "6" "d" "5"]]"#,
        ),
        ("HPERSIST h FIELDS 2 a d", "[1 1]"),
        ("HKEYS h", r#"["a" "e" "c" "d"]"#),
        ("OBJECT ENCODING h", r#""hashtable""#),
    ]);
}
