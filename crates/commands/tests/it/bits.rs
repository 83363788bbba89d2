//! Strings as bits.

use crate::harness::{Server, check};

const BAD_OFFSET: &str = "ERR bit offset is not an integer or out of range";

#[test]
fn single_bits() {
    check(&[
        ("SETBIT b 7 1", "0"),
        ("GET b", r#""\x01""#),
        ("SETBIT b 7 0", "1"),
        ("SETBIT b 17 1", "0"),
        ("STRLEN b", "3"),
        ("GETBIT b 17", "1"),
        ("GETBIT b 100", "0"),
        ("GETBIT none 0", "0"),
        ("SET n 12", "OK"),
        ("GETBIT n 2", "1"),
        ("SETBIT n 0 1", "0"),
        ("OBJECT ENCODING n", r#""raw""#),
        ("SETBIT b 4294967296 1", BAD_OFFSET),
        ("SETBIT b -1 1", BAD_OFFSET),
        ("GETBIT b x", BAD_OFFSET),
        ("SETBIT b 0 2", "ERR bit is not an integer or out of range"),
        ("SETBIT b 0 x", "ERR bit is not an integer or out of range"),
    ]);
}

#[test]
fn counting() {
    check(&[
        ("SET b foobar", "OK"),
        ("BITCOUNT b", "26"),
        ("BITCOUNT b 0 0", "4"),
        ("BITCOUNT b 1 -2", "18"),
        ("BITCOUNT b -100 -50", "4"),
        ("BITCOUNT b 3 1", "0"),
        ("BITCOUNT b 1", "22"),
        ("BITCOUNT none 1", "0"),
        (
            "BITCOUNT b x 1",
            "ERR value is not an integer or out of range",
        ),
    ]);
}

#[test]
fn positions() {
    check(&[
        (r#"SET b "\xff\xf0\x00""#, "OK"),
        ("BITPOS b 0", "12"),
        ("BITPOS b 1 2", "-1"),
        ("BITPOS b 1 1", "8"),
        (r#"SET b "\xff\xff""#, "OK"),
        ("BITPOS b 0", "16"),
        ("BITPOS b 0 0", "16"),
        ("BITPOS b 0 0 -1", "-1"),
        ("BITPOS b 0 5", "-1"),
        ("BITPOS none 1", "-1"),
        (
            "BITPOS none 0 x",
            "ERR value is not an integer or out of range",
        ),
        ("BITPOS b 2", "ERR The bit argument must be 1 or 0."),
        ("BITPOS b 1 0 1 2", "ERR syntax error"),
        (r#"SET b """#, "OK"),
        ("BITPOS b 0", "-1"),
    ]);
}

#[test]
fn operations() {
    check(&[
        (r#"SET a "\xf0\x0f\xaa""#, "OK"),
        (r#"SET b "\xff""#, "OK"),
        ("BITOP AND d a b", "3"),
        ("GET d", r#""\xf0\x00\x00""#),
        ("BITOP or d a b none", "3"),
        ("GET d", r#""\xff\x0f\xaa""#),
        ("BITOP XOR d a a", "3"),
        ("GET d", r#""\x00\x00\x00""#),
        ("BITOP NOT d b", "1"),
        ("GET d", r#""\x00""#),
        (
            "BITOP NOT d a b",
            "ERR BITOP NOT must be called with a single source key.",
        ),
        ("BITOP NAND d a b", "ERR syntax error"),
        ("BITOP AND d none", "0"),
        ("EXISTS d", "0"),
        ("SADD s x", "1"),
        (
            "BITOP AND d a s",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
    ]);
}

#[test]
fn effects() {
    let mut server = Server::new();
    for (line, expected) in [
        ("SETBIT b 1 1", "dirty 1, touched b, string setbit b"),
        ("BITOP NOT d b", "dirty 1, touched d, string set d"),
        ("BITOP NOT d none", "dirty 1, touched d, generic del d"),
        ("BITOP NOT d none", "dirty 0"),
    ] {
        assert_eq!(server.effects(line), expected, "{line}");
    }
}

#[test]
fn ranges_of_bits() {
    check(&[
        ("SET b foobar", "OK"),
        ("BITCOUNT b 5 30 BIT", "17"),
        ("BITCOUNT b 0 0 BYTE", "4"),
        (
            "BITCOUNT b x 0 NIBBLE",
            "ERR value is not an integer or out of range",
        ),
        ("BITCOUNT b 0 x NIBBLE", "ERR syntax error"),
        ("BITCOUNT b 0 -1 x", "ERR syntax error"),
        ("BITPOS b 1 2 10 BIT", "2"),
        ("BITPOS b 0 0 0 BIT", "0"),
        ("BITPOS b 1 40 -1 BIT", "41"),
    ]);
}

#[test]
fn integers_within_a_string() {
    check(&[
        ("BITFIELD f SET u8 0 255 GET u4 0 GET i4 4", "[0 15 -1]"),
        ("BITFIELD f INCRBY u8 0 1", "[0]"),
        ("BITFIELD f OVERFLOW SAT INCRBY u8 0 300", "[255]"),
        ("BITFIELD f OVERFLOW FAIL INCRBY u8 0 1", "[nil]"),
        ("BITFIELD f SET u8 #1 7 GET u16 0", "[0 65287]"),
        (
            "BITFIELD s OVERFLOW SAT SET u8 0 -1 SET i8 8 -300 GET u8 0 GET i8 8",
            "[0 0 255 -128]",
        ),
        ("BITFIELD s OVERFLOW FAIL SET u8 0 -1", "[nil]"),
        ("BITFIELD s SET u8 0 -2 GET u8 0", "[255 254]"),
        ("BITFIELD_RO f GET u8 8", "[7]"),
        ("BITFIELD_RO f OVERFLOW SAT GET u8 8", "[7]"),
        (
            "BITFIELD_RO f SET u8 0 1 OVERFLOW FOO",
            "ERR Invalid OVERFLOW type specified",
        ),
        (
            "BITFIELD_RO f SET u8 0 1",
            "ERR BITFIELD_RO only supports the GET subcommand",
        ),
        (
            "BITFIELD f GET u64 0",
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        ),
        (
            "BITFIELD f GET u8 -1",
            "ERR bit offset is not an integer or out of range",
        ),
        ("BITFIELD_RO f GET u32 4294967295", "[0]"),
        (
            "BITFIELD_RO f GET u32 4294967296",
            "ERR bit offset is not an integer or out of range",
        ),
        (
            "BITFIELD f SET u32 4294967295 1",
            "ERR bit offset is not an integer or out of range",
        ),
        ("BITFIELD none", "[]"),
    ]);
}
