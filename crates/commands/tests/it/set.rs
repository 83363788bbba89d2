//! Sets.

use crate::harness::{Server, check};

const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";

#[test]
fn members_come_and_go() {
    check(&[
        ("SADD s 3 1 2 1", "3"),
        ("SADD s 1", "0"),
        ("SMEMBERS s", r#"["1" "2" "3"]"#),
        ("OBJECT ENCODING s", r#""intset""#),
        ("SISMEMBER s 2", "1"),
        ("SISMEMBER s 02", "0"),
        ("SADD s a", "1"),
        ("OBJECT ENCODING s", r#""listpack""#),
        ("SCARD s", "4"),
        ("SREM s 1 2 x", "2"),
        ("SREM s 3 a", "2"),
        ("EXISTS s", "0"),
        ("SMEMBERS s", "[]"),
        ("SCARD s", "0"),
        ("SREM s a", "0"),
    ]);
}

#[test]
fn other_types_are_refused() {
    let mut server = Server::new();
    server.run("SET k v");
    for line in [
        "SADD k a",
        "SREM k a",
        "SMOVE k s a",
        "SISMEMBER k a",
        "SCARD k",
        "SPOP k",
        "SRANDMEMBER k",
        "SRANDMEMBER k 1",
        "SMEMBERS k",
        "SINTER k",
        "SUNION s k",
        "SDIFF s k",
        "SINTERSTORE d k",
    ] {
        assert_eq!(server.run(line), WRONG_TYPE, "{line}");
    }
    // What follows a missing set is looked at, too.
    assert_eq!(server.run("SINTER s k"), WRONG_TYPE);
}

#[test]
fn smove() {
    check(&[
        ("SADD a 1 2", "2"),
        ("SMOVE a b 9", "0"),
        ("SMOVE a b 1", "1"),
        ("SMEMBERS b", r#"["1"]"#),
        ("SMOVE a a 2", "1"),
        ("SMOVE none b 2", "0"),
        ("SET k v", "OK"),
        ("SMOVE a k 2", WRONG_TYPE),
        ("SMOVE none k 2", "0"),
        ("SMOVE a b 2", "1"),
        ("EXISTS a", "0"),
    ]);
}

#[test]
fn random_members() {
    check(&[
        ("SRANDMEMBER s", "nil"),
        ("SRANDMEMBER s 3", "[]"),
        ("SADD s 1 2 3", "3"),
        ("SRANDMEMBER s 0", "[]"),
        ("SRANDMEMBER s 3", r#"["1" "2" "3"]"#),
        ("SRANDMEMBER s 9223372036854775807", r#"["1" "2" "3"]"#),
        ("SRANDMEMBER s 4294967296", r#"["1" "2" "3"]"#),
        ("SMISMEMBER s 1 9", "[1 0]"),
        ("SINTERCARD 2 s s LIMIT 2", "2"),
        ("SPOP s 0", "[]"),
        ("SPOP s 9", r#"["1" "2" "3"]"#),
        ("SADD s 1 2 3", "3"),
        ("SRANDMEMBER s 1 2", "ERR syntax error"),
        (
            "SRANDMEMBER s x",
            "ERR value is not an integer or out of range",
        ),
        (
            "SRANDMEMBER s -9223372036854775807",
            "ERR value is out of range",
        ),
        (
            "SRANDMEMBER s -9223372036854775808",
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ),
    ]);
}

#[test]
fn common_members_are_counted_up_to_a_limit() {
    let mut server = Server::new();
    for n in 0..600 {
        server.run(&format!("SADD a m{n}"));
        server.run(&format!("SADD b m{}", n * 2));
        server.run(&format!("SADD c m{}", n * 3));
    }
    server.check(&[
        ("SINTERCARD 2 a b", "300"),
        ("SINTERCARD 3 c a b", "100"),
        ("SINTERCARD 2 a b LIMIT 0", "300"),
        ("SINTERCARD 2 a b LIMIT 7", "7"),
        ("SINTERCARD 2 a b LIMIT 301", "300"),
        ("SINTERCARD 2 a none LIMIT 7", "0"),
        ("SINTERSTORE d a b c", "100"),
        ("SDIFF d a", "[]"),
    ]);
}

#[test]
fn drawn_members_are_different_and_all_turn_up() {
    let mut server = Server::new();
    for n in 0..1000 {
        server.run(&format!("SADD s m{n}"));
    }
    let mut seen = std::collections::BTreeSet::new();
    for count in [1, 10, 300, 500, 900, 999] {
        let reply = server.run(&format!("SRANDMEMBER s {count}"));
        let members: std::collections::BTreeSet<String> = reply
            .trim_matches(['[', ']'])
            .split(' ')
            .map(str::to_owned)
            .collect();
        assert_eq!(members.len(), count);
        seen.extend(members);
    }
    assert!(seen.len() > 990);
    let repeated = server.run("SRANDMEMBER s -2000");
    assert_eq!(repeated.split(' ').count(), 2000);
}

#[test]
fn spop_takes_all_in_the_end() {
    let mut server = Server::new();
    server.run("SADD s 1 2 3 4 5");
    let mut popped: Vec<String> = (0..5).map(|_| server.run("SPOP s")).collect();
    popped.sort();
    assert_eq!(popped, [r#""1""#, r#""2""#, r#""3""#, r#""4""#, r#""5""#]);
    server.check(&[("SPOP s", "nil"), ("EXISTS s", "0")]);
}

#[test]
fn intersections_unions_differences() {
    check(&[
        ("SADD a 1 2 3 4", "4"),
        ("SADD b 2 4 6", "3"),
        ("SADD c x 4 2", "3"),
        ("SINTER a b", r#"["2" "4"]"#),
        ("SINTER a b c", r#"["2" "4"]"#),
        ("SINTER a none", "[]"),
        ("SUNION a b none", r#"["1" "2" "3" "4" "6"]"#),
        ("SUNION a a none b a b", r#"["1" "2" "3" "4" "6"]"#),
        ("SDIFF a b", r#"["1" "3"]"#),
        ("SDIFF a b c none", r#"["1" "3"]"#),
        ("SDIFF none a", "[]"),
        ("SDIFF a a", "[]"),
        ("SINTERSTORE d a c", "2"),
        ("OBJECT ENCODING d", r#""intset""#),
        ("SUNIONSTORE d a c", "5"),
        ("OBJECT ENCODING d", r#""listpack""#),
        ("SDIFFSTORE d a a", "0"),
        ("EXISTS d", "0"),
        ("SUNIONSTORE a a b", "5"),
    ]);
}

#[test]
fn encodings() {
    let mut server = Server::small();
    server.check(&[
        ("SADD s 1 1 1 1 1", "1"),
        ("OBJECT ENCODING s", r#""hashtable""#),
        ("SADD t 1", "1"),
        ("SADD t a a a", "1"),
        ("OBJECT ENCODING t", r#""listpack""#),
        ("SADD t a a a a a", "0"),
        ("OBJECT ENCODING t", r#""hashtable""#),
        ("SADD u a a a a a", "1"),
        ("OBJECT ENCODING u", r#""hashtable""#),
        ("SADD v long-long", "1"),
        ("OBJECT ENCODING v", r#""hashtable""#),
        ("COPY v x", "1"),
        ("OBJECT ENCODING x", r#""hashtable""#),
        ("SADD w a b c", "3"),
        ("SADD w d e f g", "4"),
        ("OBJECT ENCODING w", r#""hashtable""#),
        ("SREM w a b c d", "4"),
        ("OBJECT ENCODING w", r#""hashtable""#),
    ]);
    server.run("SADD w a b c d");
    server.run("SPOP w 6");
    assert_eq!(server.run("OBJECT ENCODING w"), r#""listpack""#);
}

#[test]
fn effects() {
    let mut server = Server::new();
    for (line, expected) in [
        ("SADD s a b", "dirty 2, touched s, set sadd s"),
        ("SADD s a", "dirty 0"),
        ("SADD one 1", "dirty 1, touched one, set sadd one"),
        (
            "SPOP one",
            "dirty 1, touched one, set spop one, generic del one, as SREM one 1",
        ),
        (
            "SMOVE s t a",
            "dirty 2, touched s, touched t, set srem s, set sadd t",
        ),
        ("SREM s b", "dirty 1, touched s, set srem s, generic del s"),
        ("SUNIONSTORE d t", "dirty 1, touched d, set sunionstore d"),
        ("SDIFFSTORE d t t", "dirty 1, touched d, generic del d"),
        ("SINTERSTORE d t t", "dirty 1, touched d, set sinterstore d"),
        ("SINTERSTORE d t none", "dirty 1, touched d, generic del d"),
        ("SINTERSTORE d t none", "dirty 0"),
        ("SDIFFSTORE d t t", "dirty 0"),
    ] {
        assert_eq!(server.effects(line), expected, "{line}");
    }
}
