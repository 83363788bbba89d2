//! Sorted sets.

use crate::harness::{Server, check};

const NOT_FLOAT: &str = "ERR value is not a valid float";
const BAD_BOUND: &str = "ERR min or max is not a float";
const BAD_LEX: &str = "ERR min or max not valid string range item";
const SYNTAX: &str = "ERR syntax error";

#[test]
fn adding() {
    check(&[
        ("ZADD z 1 a 2 b", "2"),
        ("ZADD z 3 a 2 b", "0"),
        ("ZADD z CH 4 a 2 b 1 c", "2"),
        ("ZADD z NX 9 a 9 d", "1"),
        ("ZADD z XX 5 a 9 e", "0"),
        ("ZADD z XX CH 6 a 9 e", "1"),
        ("ZADD z INCR 1.5 a", r#""7.5""#),
        ("ZADD z INCR XX 1 none", "nil"),
        ("ZADD z INCR NX 1 a", "nil"),
        (
            "ZADD z NX XX 1 a",
            "ERR XX and NX options at the same time are not compatible",
        ),
        (
            "ZADD z INCR 1 a 2 b",
            "ERR INCR option supports a single increment-element pair",
        ),
        ("ZADD z 1 a 2", SYNTAX),
        ("ZADD none NX CH", SYNTAX),
        ("ZADD none XX CH", "ERR syntax error"),
        ("ZADD z 1 a x b", NOT_FLOAT),
        ("ZADD z nan a", NOT_FLOAT),
        ("ZADD none XX 1 a", "0"),
        ("EXISTS none", "0"),
        (
            "ZRANGE z 0 -1 WITHSCORES",
            r#"["c" "1" "b" "2" "a" "7.5" "d" "9"]"#,
        ),
    ]);
}

#[test]
fn scores_print_with_the_fewest_digits() {
    check(&[
        ("ZADD z 0.1 a -0 b inf c -inf d 1e20 e 3.0 f", "6"),
        ("ZSCORE z a", r#""0.1""#),
        ("ZSCORE z b", r#""0""#),
        ("ZSCORE z c", r#""inf""#),
        ("ZSCORE z d", r#""-inf""#),
        ("ZSCORE z e", r#""1e+20""#),
        ("ZSCORE z f", r#""3""#),
        ("ZSCORE z none", "nil"),
        ("ZADD z 0 b", "0"),
        ("ZSCORE z b", r#""0""#),
        (
            "ZINCRBY z -inf c",
            "ERR resulting score is not a number (NaN)",
        ),
        ("ZINCRBY z 1 c", r#""inf""#),
        ("ZINCRBY z xx c", "ERR syntax error"),
        ("ZINCRBY z 2.5 new", r#""2.5""#),
    ]);
}

#[test]
fn ranks_and_removal() {
    check(&[
        ("ZADD z 1 a 2 b 3 c 4 d 5 e", "5"),
        ("ZRANK z c", "2"),
        ("ZREVRANK z c", "2"),
        ("ZREVRANK z a", "4"),
        ("ZRANK z x", "nil"),
        ("ZRANK none x", "nil"),
        ("ZCARD z", "5"),
        ("ZREM z a x", "1"),
        ("ZREMRANGEBYRANK z -1 -1", "1"),
        ("ZREMRANGEBYRANK z 9 10", "0"),
        ("ZREMRANGEBYSCORE z (2 3", "1"),
        ("ZREMRANGEBYSCORE z x 3", BAD_BOUND),
        ("ZREMRANGEBYLEX z [b [b", "1"),
        ("ZREMRANGEBYLEX z b c", BAD_LEX),
        ("ZRANGE z 0 -1", r#"["d"]"#),
        ("ZREMRANGEBYRANK z 0 -1", "1"),
        ("EXISTS z", "0"),
    ]);
}

#[test]
fn ranges_by_rank() {
    check(&[
        ("ZADD z 1 a 2 b 3 c", "3"),
        ("ZRANGE z 0 1", r#"["a" "b"]"#),
        ("ZREVRANGE z 0 1 withscores", r#"["c" "3" "b" "2"]"#),
        ("ZREVRANGE z -1 -1", r#"["a"]"#),
        ("ZRANGE z 2 1", "[]"),
        ("ZRANGE z 5 9", "[]"),
        ("ZRANGE z -100 100", r#"["a" "b" "c"]"#),
        ("ZRANGE z 0 1 scores", SYNTAX),
        ("ZRANGE z 0 1 withscores x", SYNTAX),
        (
            "ZRANGE z a 1",
            "ERR value is not an integer or out of range",
        ),
    ]);
}

#[test]
fn ranges_by_score() {
    check(&[
        ("ZADD z -inf m 1 a 2 b 3 c inf p", "5"),
        ("ZRANGEBYSCORE z 1 3", r#"["a" "b" "c"]"#),
        ("ZRANGEBYSCORE z (1 (3", r#"["b"]"#),
        (
            "ZREVRANGEBYSCORE z +inf (2 WITHSCORES",
            r#"["p" "inf" "c" "3"]"#,
        ),
        ("ZRANGEBYSCORE z -inf +inf LIMIT 1 2", r#"["a" "b"]"#),
        ("ZREVRANGEBYSCORE z +inf -inf LIMIT 1 2", r#"["c" "b"]"#),
        ("ZRANGEBYSCORE z 1 3 LIMIT -1 2", "[]"),
        ("ZRANGEBYSCORE z 1 3 LIMIT 1 -1", r#"["b" "c"]"#),
        ("ZRANGEBYSCORE z 1 3 LIMIT 0 0", "[]"),
        ("ZRANGEBYSCORE z 1 3 LIMIT 9 9", "[]"),
        ("ZRANGEBYSCORE z 1 3 LIMIT 1", SYNTAX),
        ("ZRANGEBYSCORE z 3 1", "[]"),
        ("ZRANGEBYSCORE z 1 1e400", r#"["a" "b" "c" "p"]"#),
        ("ZRANGEBYSCORE z \" 1\" 2", BAD_BOUND),
        ("ZRANGEBYSCORE z 1x 2", BAD_BOUND),
        ("ZRANGEBYSCORE z (nan 2", BAD_BOUND),
        ("ZCOUNT z (1 +inf", "3"),
        ("ZCOUNT none 1 2", "0"),
    ]);
}

#[test]
fn ranges_by_name() {
    check(&[
        ("ZADD z 0 a 0 b 0 c 0 d", "4"),
        ("ZRANGEBYLEX z - +", r#"["a" "b" "c" "d"]"#),
        ("ZRANGEBYLEX z [b (d", r#"["b" "c"]"#),
        ("ZREVRANGEBYLEX z (d [b LIMIT 1 1", r#"["b"]"#),
        ("ZRANGEBYLEX z + -", "[]"),
        ("ZRANGEBYLEX z (b (b", "[]"),
        ("ZLEXCOUNT z (a +", "3"),
        ("ZRANGEBYLEX z a b", BAD_LEX),
        ("ZRANGEBYLEX z -x +", BAD_LEX),
        (
            "ZRANGEBYLEX z - + WITHSCORES",
            "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
        ),
    ]);
}

/// The answers of 3.0.7 where scores differ.
#[test]
fn ranges_by_name_across_scores() {
    check(&[
        ("ZADD z 1 d 2 b 3 c 4 a 5 e", "5"),
        ("ZRANGEBYLEX z [b [d", r#"["d" "b" "c" "a"]"#),
        ("ZRANGEBYLEX z [b [d LIMIT 3 5", r#"["a"]"#),
        ("ZRANGEBYLEX z [b [d LIMIT 1 9", r#"["b" "c" "a"]"#),
        ("ZREVRANGEBYLEX z [d [a", r#"["a" "c" "b" "d"]"#),
        ("ZREVRANGEBYLEX z [c [b", "[]"),
        ("ZLEXCOUNT z (c +", "5"),
        ("ZRANGEBYLEX z [e +", r#"["e"]"#),
        ("ZRANGEBYLEX z [f +", "[]"),
        ("ZREMRANGEBYLEX z - [c", "0"),
        ("ZREMRANGEBYLEX z - [d", "4"),
    ]);
}

#[test]
fn unions_and_intersections() {
    check(&[
        ("ZADD a 1 x 2 y", "2"),
        ("ZADD b 10 y 20 z", "2"),
        ("SADD s y 7", "2"),
        ("ZUNIONSTORE d 2 a b", "3"),
        ("ZRANGE d 0 -1 WITHSCORES", r#"["x" "1" "y" "12" "z" "20"]"#),
        ("ZINTERSTORE d 3 a b s WEIGHTS 2 1 100 AGGREGATE SUM", "1"),
        ("ZRANGE d 0 -1 WITHSCORES", r#"["y" "114"]"#),
        ("ZUNIONSTORE d 2 a b AGGREGATE MIN WEIGHTS 1 -1", "3"),
        (
            "ZRANGE d 0 -1 WITHSCORES",
            r#"["z" "-20" "y" "-10" "x" "1"]"#,
        ),
        ("ZUNIONSTORE d 2 s none aggregate max", "2"),
        ("ZRANGE d 0 -1 WITHSCORES", r#"["7" "1" "y" "1"]"#),
        ("ZINTERSTORE d 2 a none", "0"),
        ("EXISTS d", "0"),
        (
            "ZUNIONSTORE d 0 a",
            "ERR at least 1 input key is needed for 'zunionstore' command",
        ),
        ("ZUNIONSTORE d 3 a b", SYNTAX),
        (
            "ZUNIONSTORE d x a",
            "ERR value is not an integer or out of range",
        ),
        ("ZUNIONSTORE d 2 a b WEIGHTS 1", SYNTAX),
        (
            "ZUNIONSTORE d 2 a b WEIGHTS 1 x",
            "ERR weight value is not a float",
        ),
        ("ZUNIONSTORE d 1 a AGGREGATE avg", SYNTAX),
        ("SET k v", "OK"),
        (
            "ZUNIONSTORE d 2 a k WEIGHTS",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
    ]);
}

#[test]
fn no_score_is_nan() {
    check(&[
        ("ZADD a inf x", "1"),
        ("ZADD b -inf x", "1"),
        ("ZUNIONSTORE d 2 a b", "1"),
        ("ZSCORE d x", r#""0""#),
        ("ZUNIONSTORE d 1 a WEIGHTS 0", "1"),
        ("ZSCORE d x", r#""0""#),
        ("ZINTERSTORE d 2 a b WEIGHTS 0 0 AGGREGATE MIN", "1"),
        ("ZSCORE d x", r#""0""#),
    ]);
}

#[test]
fn encodings() {
    let mut server = Server::small();
    server.check(&[
        ("ZADD z 1 a 2 b 3 c 4 d", "4"),
        ("OBJECT ENCODING z", r#""listpack""#),
        ("ZADD z 5 e", "1"),
        ("OBJECT ENCODING z", r#""skiplist""#),
        ("ZREM z a b", "2"),
        ("OBJECT ENCODING z", r#""skiplist""#),
        ("ZUNIONSTORE u 1 z", "3"),
        ("OBJECT ENCODING u", r#""listpack""#),
        ("ZADD w 1 123456789", "1"),
        ("OBJECT ENCODING w", r#""skiplist""#),
        ("ZUNIONSTORE u 1 w", "1"),
        ("OBJECT ENCODING u", r#""skiplist""#),
        ("ZADD v 1 a 1 a 1 a 1 a 1 a", "1"),
        ("OBJECT ENCODING v", r#""skiplist""#),
    ]);
}

#[test]
fn effects() {
    let mut server = Server::new();
    for (line, expected) in [
        ("ZADD z 1 a 2 b", "dirty 2, touched z, zset zadd z, ready z"),
        ("ZADD z 1 a", "dirty 0"),
        ("ZINCRBY z 1 a", "dirty 1, touched z, zset zincr z"),
        ("ZINCRBY z 0 a", "dirty 0"),
        (
            "ZUNIONSTORE d 1 z",
            "dirty 1, touched d, zset zunionstore d, ready d",
        ),
        (
            "ZINTERSTORE d 1 z",
            "dirty 1, touched d, zset zinterstore d, ready d",
        ),
        (
            "ZINTERSTORE d 2 z none",
            "dirty 1, touched d, generic del d",
        ),
        ("ZINTERSTORE d 2 z none", "dirty 0"),
        ("ZREMRANGEBYSCORE z 9 9", "dirty 0"),
        (
            "ZREMRANGEBYSCORE z -inf +inf",
            "dirty 2, touched z, zset zremrangebyscore z, generic del z",
        ),
        ("ZADD z 1 a", "dirty 1, touched z, zset zadd z, ready z"),
        ("ZREM z a", "dirty 1, touched z, zset zrem z, generic del z"),
    ] {
        assert_eq!(server.effects(line), expected, "{line}");
    }
}

#[test]
fn popped_at_both_ends() {
    check(&[
        ("ZADD z 1 a 2 b 3 c 4 d", "4"),
        ("ZPOPMIN z", r#"["a" "1"]"#),
        ("ZPOPMAX z 2", r#"["d" "4" "c" "3"]"#),
        ("ZPOPMAX z 0", "[]"),
        (
            "ZPOPMIN z -1",
            "ERR value is out of range, must be positive",
        ),
        ("ZMPOP 2 none z MIN COUNT 9", r#"["z" [["b" "2"]]]"#),
        ("ZMPOP 1 z MAX", "nil"),
        ("ZPOPMIN z", "[]"),
        ("ZADD z GT 5 a", "1"),
        ("ZADD z GT CH 4 a", "0"),
        ("ZADD z LT CH 4 a", "1"),
        ("ZMSCORE z a none", r#"["4" nil]"#),
        ("ZRANK z a WITHSCORE", r#"[0 "4"]"#),
        ("ZRANGESTORE d z 0 -1", "1"),
        ("ZDIFF 2 z d", "[]"),
        ("ZINTER 2 z d WITHSCORES", r#"["a" "8"]"#),
        ("ZINTERCARD 2 z d", "1"),
        ("ZRANGE z (3 +inf BYSCORE LIMIT 0 1", r#"["a"]"#),
        ("ZRANGE z + - BYLEX REV", r#"["a"]"#),
    ]);
}
