//! SORT.

use crate::harness::{Server, check};

const NOT_NUMBER: &str = "ERR One or more scores can't be converted into double";

#[test]
fn by_itself() {
    check(&[
        ("RPUSH l 3 1 2 10", "4"),
        ("SORT l", r#"["1" "2" "3" "10"]"#),
        ("SORT l DESC", r#"["10" "3" "2" "1"]"#),
        ("SORT l ALPHA", r#"["1" "10" "2" "3"]"#),
        ("SORT l LIMIT 1 2", r#"["2" "3"]"#),
        ("SORT l LIMIT -5 2", r#"["1" "2"]"#),
        ("SORT l LIMIT 2 -1", r#"["3" "10"]"#),
        ("SORT l LIMIT 9 2", "[]"),
        ("SORT l LIMIT 2 9223372036854775807", r#"["3" "10"]"#),
        ("SORT l LIMIT 1", "ERR syntax error"),
        (
            "SORT l LIMIT x 1",
            "ERR value is not an integer or out of range",
        ),
        ("SORT none", "[]"),
        ("RPUSH l x", "5"),
        ("SORT l", NOT_NUMBER),
        ("SORT l STORE d", NOT_NUMBER),
        ("EXISTS d", "0"),
        ("RPUSH e 5. .5 1e3 inf -inf", "5"),
        ("SORT e", r#"["-inf" ".5" "5." "1e3" "inf"]"#),
        ("SET k v", "OK"),
        ("SORT k FOO", "ERR syntax error"),
        (
            "SORT k",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        ("SORT none FOO", "ERR syntax error"),
    ]);
}

#[test]
fn by_and_get() {
    check(&[
        ("RPUSH l a b c", "3"),
        ("MSET w_a 3 w_b 1 o_a one o_b two", "OK"),
        ("HMSET h_a f 7 g x", "OK"),
        ("HMSET h_b f 9", "OK"),
        ("SORT l BY w_*", r#"["c" "b" "a"]"#),
        (
            "SORT l BY w_* DESC GET # GET o_*",
            r#"["a" "one" "b" "two" "c" nil]"#,
        ),
        ("SORT l BY h_*->f GET h_*->g", r#"[nil "x" nil]"#),
        ("SORT l BY nosort GET w_*", r#"["3" "1" nil]"#),
        ("SORT l BY nosort DESC LIMIT 1 1", r#"["b"]"#),
        ("SORT l BY nosort DESC LIMIT 1 5", r#"["b" "a"]"#),
        ("SORT l BY o_* ALPHA", r#"["c" "a" "b"]"#),
        ("SORT l BY o_*", NOT_NUMBER),
        (
            "SORT l BY nosort GET nostar GET l",
            "[nil nil nil nil nil nil]",
        ),
        ("SORT l BY nosort GET h_*->", "[nil nil nil]"),
    ]);
}

#[test]
fn sets_and_sorted_sets() {
    check(&[
        ("SADD s 3 1 2", "3"),
        ("SORT s DESC", r#"["3" "2" "1"]"#),
        ("SORT s BY nosort", r#"["1" "2" "3"]"#),
        ("SADD t z x y", "3"),
        ("SORT t BY nosort STORE d", "3"),
        ("LRANGE d 0 -1", r#"["x" "y" "z"]"#),
        ("ZADD z 1 c 2 b 3 a", "3"),
        ("SORT z ALPHA", r#"["a" "b" "c"]"#),
        ("SORT z BY nosort", r#"["c" "b" "a"]"#),
        ("SORT z BY nosort DESC LIMIT 0 2", r#"["a" "b"]"#),
        ("OBJECT ENCODING z", r#""skiplist""#),
    ]);
}

#[test]
fn storing() {
    let mut server = Server::new();
    server.check(&[
        ("RPUSH l 2 1 3", "3"),
        ("SORT l STORE d", "3"),
        ("OBJECT ENCODING d", r#""listpack""#),
        ("LRANGE d 0 -1", r#"["1" "2" "3"]"#),
        ("SORT l GET none_* STORE d", "3"),
        ("LRANGE d 0 -1", r#"["" "" ""]"#),
        ("SORT l STORE l", "3"),
        ("LRANGE l 0 -1", r#"["1" "2" "3"]"#),
    ]);
    for (line, expected) in [
        ("SORT l", "dirty 0"),
        (
            "SORT l STORE d",
            "dirty 3, touched d, list sortstore d, ready d",
        ),
        ("SORT none STORE d", "dirty 1, touched d, generic del d"),
        ("SORT none STORE d", "dirty 0"),
    ] {
        assert_eq!(server.effects(line), expected, "{line}");
    }
}

#[test]
fn patterns_of_a_cluster_stay_in_the_slot_of_the_key() {
    let mut server = Server::new();
    server.settings.cluster = true;
    let denied = |option: &str| {
        format!(
            "ERR {option} option of SORT denied in Cluster mode when keys formed by the pattern may be in different slots."
        )
    };
    server.check(&[
        ("RPUSH l 2 1", "2"),
        ("SORT l BY w_*", &denied("BY")),
        ("SORT l BY *{l}", &denied("BY")),
        ("SORT l BY {}w_*", &denied("BY")),
        ("SORT l GET w_*", &denied("GET")),
        ("SORT l GET x", &denied("GET")),
        ("SORT l GET #", r#"["1" "2"]"#),
        ("SORT l BY {l}w_* GET {l}x_*", "[nil nil]"),
        ("SORT l BY nosort", r#"["2" "1"]"#),
    ]);
}
