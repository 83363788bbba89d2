//! Hashes.

use crate::harness::{Server, check};

#[test]
fn sums() {
    check(&[
        ("HINCRBY h n 5", "5"),
        ("HINCRBYFLOAT h n 0.1", r#""5.1""#),
        ("HINCRBY h n 1", "ERR hash value is not an integer"),
        ("HINCRBYFLOAT h i inf", "ERR value is NaN or Infinity"),
        ("EXISTS h i", "1"),
        ("HSET h t text", "1"),
        ("HINCRBYFLOAT h t 1", "ERR hash value is not a float"),
        ("HINCRBY h m 9223372036854775807", "9223372036854775807"),
        ("HINCRBY h m 1", "ERR increment or decrement would overflow"),
        ("HSET h empty ''", "1"),
        ("HINCRBYFLOAT h empty 1", "ERR hash value is not a float"),
    ]);
}

#[test]
fn encodings() {
    let mut server = Server::small();
    server.check(&[
        ("HSET h f 12345678", "1"),
        ("HSETNX h f 123456789", "0"),
        ("OBJECT ENCODING h", r#""listpack""#),
        ("HINCRBYFLOAT h f 0.125", r#""12345678.125""#),
        ("OBJECT ENCODING h", r#""hashtable""#),
        ("HMSET i a 1 b 2 c 3 d 4", "OK"),
        ("OBJECT ENCODING i", r#""listpack""#),
        ("HINCRBY i e 1", "1"),
        ("OBJECT ENCODING i", r#""hashtable""#),
        ("HDEL i a b c d e", "5"),
        ("EXISTS i", "0"),
        ("HSET i a 1 a 1 a 1 a 1 a 1", "1"),
        ("OBJECT ENCODING i", r#""hashtable""#),
    ]);
}
