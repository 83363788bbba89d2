//! Positions.

use crate::harness::{Server, check};

const ADD: &str = "GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania";

#[test]
fn positions_and_distances() {
    check(&[
        (ADD, "2"),
        ("GEOADD g CH XX 13.4 38.1 Palermo 1 1 none", "1"),
        ("GEOADD g NX 13 38 Palermo", "0"),
        ("GEOADD g 13.361389 38.115556 Palermo", "0"),
        ("ZSCORE g Palermo", r#""3479099956230698""#),
        ("GEODIST g Palermo Catania", r#""166274.1516""#),
        ("GEODIST g Palermo Catania km", r#""166.2742""#),
        ("GEODIST g Palermo none", "nil"),
        ("GEODIST none a b", "nil"),
        ("GEOHASH g Palermo none", r#"["sqc8b49rny0" nil]"#),
        (
            "GEOPOS g Palermo none",
            r#"[["13.36138933897018433" "38.11555639549629859"] nil]"#,
        ),
        ("GEOPOS none a", "[nil]"),
    ]);
}

#[test]
fn searches() {
    check(&[
        (ADD, "2"),
        (
            "GEORADIUS g 15 37 200 km WITHDIST WITHHASH ASC",
            r#"[["Catania" "56.4413" 3479447370796909] ["Palermo" "190.4424" 3479099956230698]]"#,
        ),
        ("GEORADIUS_RO g 15 37 200 km DESC COUNT 1", r#"["Palermo"]"#),
        ("GEORADIUSBYMEMBER g Palermo 10 m", r#"["Palermo"]"#),
        ("GEORADIUSBYMEMBER none Palermo x y", "[]"),
        (
            "GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km DESC WITHCOORD COUNT 1",
            r#"[["Palermo" ["13.36138933897018433" "38.11555639549629859"]]]"#,
        ),
        (
            "GEOSEARCH g FROMMEMBER Catania BYRADIUS 200 km COUNT 5 ANY",
            r#"["Palermo" "Catania"]"#,
        ),
        (
            "GEOSEARCH g BYPOLYGON 4 14 37 16 37 16 38 14 38",
            r#"["Catania"]"#,
        ),
        (
            "GEOSEARCHSTORE d g FROMLONLAT 15 37 BYRADIUS 60 km STOREDIST",
            "1",
        ),
        ("GEORADIUS g 15 37 60 km STORE d", "1"),
        (
            "ZRANGE d 0 -1 WITHSCORES",
            r#"["Catania" "3479447370796909"]"#,
        ),
        ("GEOSEARCHSTORE d none FROMMEMBER x BYRADIUS 60 km", "0"),
        ("EXISTS d", "0"),
    ]);
}

#[test]
fn what_is_refused() {
    let mut server = Server::new();
    server.run(ADD);
    for (line, expected) in [
        (
            "GEOADD g 200 38 a",
            "invalid longitude,latitude pair 200.000000,38.000000",
        ),
        ("GEOADD g x 38 a", "not a valid float"),
        ("GEOADD g NX XX 1 2 a", "syntax error"),
        ("GEOADD g 1 2 a 3", "syntax error"),
        ("GEODIST g Palermo Catania x", "unsupported unit provided"),
        ("GEORADIUS g 15 37 x km", "need numeric radius"),
        ("GEORADIUS g 15 37 -1 km", "radius cannot be negative"),
        ("GEORADIUS g 15 37 1 km COUNT 0", "COUNT must be > 0"),
        ("GEORADIUS g 15 37 1 km ANY", "ANY argument requires COUNT"),
        ("GEORADIUS_RO g 15 37 1 km STORE d", "syntax error"),
        (
            "GEORADIUS g 15 37 1 km STORE d WITHDIST",
            "STORE option in GEORADIUS is not compatible",
        ),
        (
            "GEORADIUSBYMEMBER g none 1 km",
            "member none does not exist",
        ),
        (
            "GEOSEARCH g BYRADIUS 1 km ASC COUNT 1",
            "exactly one of FROMMEMBER or FROMLONLAT can be specified for GEOSEARCH",
        ),
        (
            "GEOSEARCH g FROMLONLAT 1 2 ASC DESC ASC",
            "exactly one of BYRADIUS, BYBOX and BYPOLYGON",
        ),
        (
            "GEOSEARCH g FROMLONLAT 1 2 BYRADIUS 1 m BYBOX 1 1 m",
            "syntax error",
        ),
        (
            "GEOSEARCH g FROMLONLAT 1 2 FROMMEMBER Palermo BYRADIUS 1 m",
            "syntax error",
        ),
        ("GEOSEARCH g BYPOLYGON 2 1 1 2 2", "at least 3 vertices"),
        ("GEOSEARCH g BYPOLYGON 3 1 1 2 2", "at least 3 vertices"),
        (
            "GEOSEARCH g BYPOLYGON x 1 1 2 2",
            "invalid number of vertices",
        ),
    ] {
        let reply = server.run(line);
        assert!(reply.contains(expected), "{line}: {reply}");
    }
}

#[test]
fn effects() {
    let mut server = Server::new();
    for (line, expected) in [
        (
            "GEOADD g CH 13.361389 38.115556 a",
            "dirty 1, touched g, zset zadd g, as ZADD g CH 3479099956230698 a, ready g",
        ),
        ("GEOADD g 13.361389 38.115556 a", "dirty 0"),
        (
            "GEORADIUS g 13 38 1000 km STORE d",
            "dirty 1, touched d, zset georadiusstore d, ready d",
        ),
        (
            "GEOSEARCHSTORE d g FROMLONLAT 90 0 BYRADIUS 1 m",
            "dirty 1, touched d, generic del d",
        ),
    ] {
        assert_eq!(server.effects(line), expected, "{line}");
    }
}
