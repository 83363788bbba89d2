//! SCAN and its like.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::harness::{NOW_MS, Server, check};

#[test]
fn small_values_come_whole() {
    check(&[
        ("SADD s 3 1 2", "3"),
        ("SSCAN s 0", r#"["0" ["1" "2" "3"]]"#),
        ("SSCAN s 77 COUNT 1", r#"["0" ["1" "2" "3"]]"#),
        ("SSCAN s 0 MATCH [12]", r#"["0" ["1" "2"]]"#),
        ("HMSET h a 1 b 2", "OK"),
        ("HSCAN h 0", r#"["0" ["a" "1" "b" "2"]]"#),
        ("HSCAN h 0 match b count 3", r#"["0" ["b" "2"]]"#),
        ("ZADD z 1 a -0 b 1e100 c 0.1 d", "4"),
        (
            "ZSCAN z 0",
            r#"["0" ["b" "0" "d" "0.1" "a" "1" "c" "1e+100"]]"#,
        ),
        ("SSCAN none 5", r#"["0" []]"#),
    ]);
}

#[test]
fn options_and_cursors_are_checked() {
    check(&[
        ("SCAN x", "ERR invalid cursor"),
        ("SCAN 0 COUNT 0", "ERR syntax error"),
        (
            "SCAN 0 COUNT x",
            "ERR value is not an integer or out of range",
        ),
        ("SCAN 0 COUNT", "ERR syntax error"),
        ("SCAN 0 FOO 1", "ERR syntax error"),
        (
            "SCAN 0 NOVALUES",
            "ERR NOVALUES option can only be used in HSCAN",
        ),
        ("ZADD z 1 a", "1"),
        (
            "ZSCAN z 0 NOVALUES",
            "ERR NOVALUES option can only be used in HSCAN",
        ),
        ("ZSCAN z 0 NOSCORES", r#"["0" ["a"]]"#),
        (
            "SCAN 0 NOSCORES",
            "ERR NOSCORES option can only be used in ZSCAN",
        ),
        ("SSCAN none x", "ERR invalid cursor"),
        ("SSCAN none 0 FOO", r#"["0" []]"#),
        ("SET k v", "OK"),
        (
            "HSCAN k 0 FOO",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
    ]);
}

#[test]
fn expired_keys_are_left_out_and_deleted() {
    let mut server = Server::new();
    server.check(&[("SET a 1 PX 10", "OK"), ("SET b 1", "OK")]);
    server.keyspace.clock().set_unix_ms(NOW_MS + 11);
    server.check(&[
        ("DBSIZE", "2"),
        ("SCAN 0 COUNT 100", r#"["0" ["b"]]"#),
        ("DBSIZE", "1"),
    ]);
    assert_eq!(server.keyspace.db(0).take_expired(), [Box::from(&b"a"[..])]);
}

/// The cursor and the elements of a printed reply.
fn parts(reply: &str) -> (String, Vec<String>) {
    let words: Vec<String> = reply
        .split([' ', '[', ']', '"'])
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    (words[0].clone(), words[1..].to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// What is there from the first call to the last is seen, whatever comes and goes between the calls.
    #[test]
    fn what_stays_is_seen(
        stays in 1..400_usize,
        count in 1..40_usize,
        changes in proptest::collection::vec((any::<bool>(), 0..3000_usize), 0..60),
        kind in 0..4_usize,
    ) {
        let mut server = Server::new();
        let (add, remove, scan) = [
            ("SET {} v", "DEL {}", "SCAN"),
            ("SADD k {}", "SREM k {}", "SSCAN k"),
            ("HSET k {} v", "HDEL k {}", "HSCAN k"),
            ("ZADD k 1 {}", "ZREM k {}", "ZSCAN k"),
        ][kind];
        let run = |server: &mut Server, line: &str, name: String| server.run(&line.replace("{}", &name));
        for n in 0..stays {
            run(&mut server, add, format!("stays{n}"));
        }
        let mut seen = BTreeSet::new();
        let mut cursor = "0".to_owned();
        let mut changes = changes.iter().cycle();
        for _ in 0..10_000 {
            let (next, elements) = parts(&server.run(&format!("{scan} {cursor} COUNT {count}")));
            seen.extend(elements.into_iter().filter(|name| name.starts_with("stays")));
            if next == "0" {
                break;
            }
            cursor = next;
            if let Some((grow, many)) = changes.next() {
                for n in 0..many / 20 {
                    run(&mut server, if *grow { add } else { remove }, format!("comes{n}"));
                }
            }
        }
        prop_assert_eq!(seen.len(), stays);
    }
}
