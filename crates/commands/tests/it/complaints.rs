//! What is a number where, and which of several faults is told.

use crate::harness::{Server, check};

#[test]
fn scores_are_decimal_and_long_floats_are_not() {
    check(&[
        ("ZADD z 0x10 m", "ERR value is not a valid float"),
        ("ZADD z '1\\x00' m", "ERR value is not a valid float"),
        ("ZRANGEBYSCORE z ' 1' 2", "ERR min or max is not a float"),
        ("ZRANGEBYSCORE z 0x1 2", "ERR min or max is not a float"),
        ("INCRBYFLOAT n 0x10", r#""16""#),
        ("INCRBYFLOAT n ''", "ERR value is not a valid float"),
        ("INCRBYFLOAT n '1\\x00'", "ERR value is not a valid float"),
        ("INCRBYFLOAT n -16", r#""0""#),
        ("INCRBYFLOAT n -0", r#""0""#),
        ("BLPOP l 0x", "ERR timeout is not a float or out of range"),
        ("BLPOP l 1e400", "ERR timeout is out of range"),
        ("BLPOP l -1", "ERR timeout is negative"),
        (
            "XREAD BLOCK 9223372036854775807 STREAMS s",
            "ERR timeout is out of range",
        ),
    ]);
}

#[test]
fn zero_keeps_its_sign_where_a_sorted_set_is_large() {
    let mut server = Server::new();
    server.check(&[("ZADD z -0 m", "1"), ("ZSCORE z m", r#""0""#)]);
    let pairs: Vec<String> = (0..200).map(|i| format!("{i} m{i}")).collect();
    server.run(&format!("ZADD big {}", pairs.join(" ")));
    server.check(&[
        ("ZADD big INCR -0 q", r#""-0""#),
        ("ZSCORE big q", r#""-0""#),
    ]);
}

#[test]
fn integers_of_32_bits_and_counts_have_bounds_of_their_own() {
    let of_32_bits = "ERR value is out of range, value must between -2147483648 and 2147483647";
    let count = "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
    check(&[
        ("MOVE k 4294967296", of_32_bits),
        ("MOVE k 99", "ERR DB index is out of range"),
        ("SWAPDB 44 55", "ERR DB index is out of range"),
        ("SWAPDB 44 a", "ERR invalid second DB index"),
        ("SWAPDB a 55", "ERR invalid first DB index"),
        ("LREM l -9223372036854775808 x", count),
        ("SRANDMEMBER s -9223372036854775808", count),
        (
            "ZRANDMEMBER z x y",
            "ERR value is not an integer or out of range",
        ),
        ("HRANDFIELD h -9223372036854775808", count),
    ]);
}

#[test]
fn a_reply_that_would_be_too_long_is_refused_before_it_is_made() {
    let refused = "ERR value is out of range";
    check(&[
        ("HSET h a 1", "1"),
        ("HRANDFIELD h -999999999", refused),
        ("HRANDFIELD h -999999999 WITHVALUES", refused),
        ("HRANDFIELD h -2", r#"["a" "a"]"#),
        ("ZADD z 1 a", "1"),
        ("ZRANDMEMBER z -999999999", refused),
        ("ZRANDMEMBER z -2", r#"["a" "a"]"#),
        ("SADD s a", "1"),
        ("SRANDMEMBER s -80000000", refused),
        ("SRANDMEMBER s -2", r#"["a" "a"]"#),
    ]);
}

#[test]
fn cursors() {
    check(&[
        ("HSCAN h ''", "ERR invalid cursor"),
        ("HSCAN h -1", "ERR invalid cursor"),
        ("HSCAN h x", "ERR invalid cursor"),
        ("HSCAN h 18446744073709551616", "ERR invalid cursor"),
        ("HSCAN h 18446744073709551615", r#"["0" []]"#),
        ("HSCAN h ' 7'", r#"["0" []]"#),
        ("SCAN 0 TYPE strings", "ERR unknown type name 'strings'"),
    ]);
}

#[test]
fn the_first_fault_is_told() {
    check(&[
        ("SET str x", "OK"),
        ("BZMPOP x 0 z MIN", "ERR numkeys should be greater than 0"),
        (
            "BLMPOP x 1 l LEFT COUNT 0 y",
            "ERR count should be greater than 0",
        ),
        (
            "ZRANK z m WITHSCORE x",
            "ERR wrong number of arguments for 'zrank' command",
        ),
        ("ZRANK z m x", "ERR syntax error"),
        ("SORT str BY", "ERR syntax error"),
        (
            "GETEX none EX 0",
            "ERR invalid expire time in 'getex' command",
        ),
        ("MSETEX 0 a b", "ERR invalid numkeys value or out of range"),
        ("MSETEX 2 a b", "ERR syntax error"),
        (
            "SINTER none str",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        (
            "SINTERSTORE to none str",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        ("RPUSH list 1 '' 2", "3"),
        (
            "SORT list",
            "ERR One or more scores can't be converted into double",
        ),
        ("PFDEBUG SIMD off", "disabled"),
        ("PFDEBUG SIMD on", "enabled"),
        ("PFDEBUG SIMD x", "ERR Argument must be ON or OFF"),
    ]);
}

#[test]
fn ranges_from_the_end_do_not_go_backwards() {
    check(&[
        ("SET k xxxx", "OK"),
        ("GETRANGE k -6 -7", r#""""#),
        ("BITCOUNT k -6 -7", "0"),
        ("BITCOUNT k -6 -15 BIT", "0"),
        ("BITCOUNT k -7 -6", "4"),
    ]);
}

#[test]
fn what_goes_out_instead_of_the_command() {
    let mut server = Server::new();
    assert_eq!(
        server.effects("MSETEX 2 a 1 b 2 NX EX 10"),
        format!(
            "dirty 2, touched a, touched b, string set a, generic expire a, string set b, generic expire b, \
             as MSETEX 2 a 1 b 2 NX PXAT {}",
            crate::harness::NOW_MS + 10_000
        )
    );
    assert_eq!(
        server.effects("SET a 2 pxat 4102444800000"),
        "dirty 1, touched a, string set a, generic expire a"
    );
    assert_eq!(
        server.effects("SET a 2 EXAT 4102444800"),
        "dirty 1, touched a, string set a, generic expire a, as SET a 2 PXAT 4102444800000"
    );
    assert_eq!(
        server.effects("SET a 2 GET"),
        "dirty 1, touched a, string set a, as SET a 2"
    );
    assert_eq!(
        server.effects("GETSET a 3"),
        "dirty 1, touched a, string set a, as SET a 3"
    );
    assert_eq!(
        server.effects("SETBIT bits 0 0"),
        "dirty 1, touched bits, string setbit bits"
    );
    assert_eq!(server.effects("SETBIT bits 0 0"), "dirty 0");
    assert_eq!(server.effects("BITFIELD bits SET i5 0 0"), "dirty 0");
    assert_eq!(
        server.effects("BITFIELD bits SET i5 90 0"),
        "dirty 1, touched bits, string setbit bits"
    );
    server.run("SADD s1 a b");
    server.run("SADD s2 a");
    assert_eq!(
        server.effects("SMOVE s1 s2 a"),
        "dirty 1, touched s1, set srem s1",
        "the other set has it already"
    );
    assert_eq!(
        server.effects("SPOP s2 5"),
        "dirty 1, touched s2, set spop s2, generic del s2, as UNLINK s2"
    );
}

#[test]
fn a_time_that_is_over_ends_the_key() {
    let mut server = Server::new();
    for line in ["SET k v EXAT 1", "SET k v PXAT 1 GET"] {
        server.run("SET k old");
        assert_eq!(server.effects(line), "dirty 1, touched k", "{line}");
        server.check(&[("EXISTS k", "0")]);
    }
    assert_eq!(server.effects("SET none v PXAT 1"), "dirty 0");
    // Only what is asked for key by key is looked at.
    assert_eq!(server.run("MSETEX 1 k v PXAT 1"), "1");
    server.check(&[("DBSIZE", "1"), ("EXISTS k", "0"), ("DBSIZE", "0")]);
}
