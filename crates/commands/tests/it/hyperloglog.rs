//! The PF commands.

use crate::harness::{Server, check};

const NOT_HLL: &str = "WRONGTYPE Key is not a valid HyperLogLog string value.";
const CORRUPT: &str = "INVALIDOBJ Corrupted HLL object detected";
/// The header of a sparse one whose count is out of date.
const SPARSE: &str = r"HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80";

#[test]
fn adding_counting_merging() {
    check(&[
        ("PFADD p", "1"),
        ("PFADD p", "0"),
        ("PFADD p a b c", "1"),
        ("PFADD p a b c", "0"),
        ("PFCOUNT p", "3"),
        ("PFCOUNT p", "3"),
        ("PFCOUNT none", "0"),
        ("PFADD q c d e", "1"),
        ("PFCOUNT p q none", "5"),
        ("PFDEBUG ENCODING p", "sparse"),
        ("PFMERGE m p q", "OK"),
        ("PFDEBUG ENCODING m", "sparse"),
        ("PFCOUNT m", "5"),
        ("PFDEBUG TODENSE q", "1"),
        ("PFMERGE m q", "OK"),
        ("PFDEBUG ENCODING m", "dense"),
        ("STRLEN m", "12304"),
        ("PFCOUNT m", "5"),
        ("PFMERGE p", "OK"),
        ("PFCOUNT p", "3"),
        ("PFADD m f", "1"),
        ("PFCOUNT m", "6"),
    ]);
}

#[test]
fn looking_inside() {
    check(&[
        ("PFADD p a", "1"),
        ("PFDEBUG DECODE p", r#""Z:12711 v:2,1 Z:3672""#),
        ("PFDEBUG TODENSE p", "1"),
        ("PFDEBUG TODENSE p", "0"),
        ("PFDEBUG DECODE p", "ERR HLL encoding is not sparse"),
        ("PFDEBUG FOO p", "ERR Unknown PFDEBUG subcommand 'FOO'"),
        ("PFDEBUG FOO none", "ERR The specified key does not exist"),
        ("PFSELFTEST", "OK"),
    ]);
    let mut server = Server::new();
    server.run("PFADD p a");
    assert_eq!(server.run("PFDEBUG GETREG p").matches('2').count(), 1);
}

#[test]
fn strings_that_are_no_hyperloglog() {
    let mut server = Server::new();
    server.run("SET int 1234567890123456789");
    server.run("SET text 'HYLLbut nothing of the kind'");
    server.run("SADD s a");
    for key in ["int", "text"] {
        for command in [
            "PFCOUNT",
            "PFADD",
            "PFMERGE",
            "PFCOUNT none",
            "PFDEBUG GETREG",
        ] {
            assert_eq!(
                server.run(&format!("{command} {key}")),
                NOT_HLL,
                "{command}"
            );
        }
    }
    let wrong = "WRONGTYPE Operation against a key holding the wrong kind of value";
    server.check(&[
        ("PFCOUNT s", wrong),
        ("PFADD s a", wrong),
        ("PFMERGE d s", wrong),
    ]);
}

/// 3.0.7 writes past its registers, or reads past the string.
#[test]
fn sparse_by_hand() {
    let mut server = Server::new();
    for runs in [r"\x7f\xff\xff\xff", r"\x00", r"", r"\x7f", r"\xff\xff"] {
        server.run(&format!(r#"SET p "{SPARSE}{runs}""#));
        server.check(&[
            ("PFCOUNT p", CORRUPT),
            ("PFCOUNT p none", CORRUPT),
            ("PFMERGE d p", CORRUPT),
            ("EXISTS d", "0"),
            ("PFDEBUG GETREG p", CORRUPT),
            ("PFDEBUG TODENSE p", CORRUPT),
        ]);
    }
    // Where an element's run is there, it is changed, as in 3.0.7; where it is not, nothing is.
    server.run(&format!(r#"SET p "{SPARSE}\x00""#));
    server.check(&[("PFADD p a b c d e f", CORRUPT), ("STRLEN p", "17")]);
}

#[test]
fn the_sparse_limit_counts() {
    let mut server = Server::new();
    server.settings.hll_sparse_max_bytes = 30;
    server.check(&[
        ("PFADD p a b c", "1"),
        ("PFDEBUG ENCODING p", "sparse"),
        ("PFADD p d e f g h i j", "1"),
        ("PFDEBUG ENCODING p", "dense"),
        ("PFCOUNT p", "10"),
    ]);
}

/// The limit is the user's; the test's cost is not.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test may look at the clock")]
fn the_self_test_ends_soon_whatever_the_sparse_limit() {
    let mut server = Server::new();
    for limit in [0, 3000, usize::MAX] {
        server.settings.hll_sparse_max_bytes = limit;
        let start = std::time::Instant::now();
        server.check(&[("PFSELFTEST", "OK")]);
        assert!(start.elapsed().as_secs() < 20, "limit {limit}");
    }
}

#[test]
fn effects() {
    let mut server = Server::new();
    for (line, expected) in [
        ("PFADD p a", "dirty 2, touched p, string pfadd p"),
        ("PFADD p a", "dirty 0"),
        ("PFCOUNT p", "dirty 1, touched p"),
        ("PFCOUNT p", "dirty 0"),
        ("PFCOUNT p p", "dirty 0"),
        ("PFMERGE m p", "dirty 1, touched m, string pfadd m"),
        ("PFDEBUG TODENSE p", "dirty 1"),
    ] {
        assert_eq!(server.effects(line), expected, "{line}");
    }
}
