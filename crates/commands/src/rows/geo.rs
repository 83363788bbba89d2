//! Rows of the group "geo".

use crate::geo;
use crate::table::{DataFn, Group, Row, index, key, keyword, radius_keys, range, row};

pub(super) static ROWS: &[Row<DataFn>] = &[
    row("geoadd", -5, "write denyoom", Group::Geo)
        .keys(&[key("RW update", index(1), range(0, 1, 0))])
        .args(
            "key:key0 condition@6.2.0{nx:token=NX xx:token=XX}? \
                change:token=CH@6.2.0? data(longitude:double latitude:double member)*",
        )
        .about("3.2.0", "Adds members with positions to a geospatial index")
        .costs("O(log(N)) for each member added, N the size of the sorted set")
        .run(geo::geoadd),
    row("geodist", -4, "readonly", Group::Geo)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args(
            "key:key0 member1 member2 unit{m:token=M km:token=KM ft:token=FT \
                mi:token=MI}?",
        )
        .about("3.2.0", "Returns the distance between two members")
        .costs("O(1)")
        .run(geo::geodist),
    row("geohash", -2, "readonly", Group::Geo)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 member?*")
        .about(
            "3.2.0",
            "Returns the positions of members as geohash strings",
        )
        .costs("O(1) for each member asked for")
        .run(geo::geohash),
    row("geopos", -2, "readonly", Group::Geo)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args("key:key0 member?*")
        .about("3.2.0", "Returns the positions of members")
        .costs("O(1) for each member asked for")
        .run(geo::geopos),
    row("georadius", -6, "write denyoom movablekeys", Group::Geo)
        .keys(&[
            key("RO access", index(1), range(0, 1, 0)),
            key(
                "OW update variable_flags",
                keyword("STORE", 6),
                range(0, 1, 0),
            ),
            key(
                "OW update variable_flags",
                keyword("STOREDIST", 6),
                range(0, 1, 0),
            ),
        ])
        .key_finder(radius_keys)
        .args(
            "key:key0 longitude:double latitude:double radius:double unit{m:token=M \
                km:token=KM ft:token=FT mi:token=MI} withcoord:token=WITHCOORD? \
                withdist:token=WITHDIST? withhash:token=WITHHASH? \
                count-block(count:int=COUNT any:token=ANY@6.2.0?)? order{asc:token=ASC \
                desc:token=DESC}? store{storekey/key:key1=STORE \
                storedistkey/key:key2=STOREDIST}?",
        )
        .about(
            "3.2.0",
            "Finds members within a distance of a position, optionally into a key",
        )
        .costs("O(N+log(M)), N the members around the area, M the size of the sorted set")
        .run(geo::georadius),
    row("georadius_ro", -6, "readonly", Group::Geo)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args(
            "key:key0 longitude:double latitude:double radius:double unit{m:token=M \
                km:token=KM ft:token=FT mi:token=MI} withcoord:token=WITHCOORD? \
                withdist:token=WITHDIST? withhash:token=WITHHASH? \
                count-block(count:int=COUNT any:token=ANY@6.2.0?)? order{asc:token=ASC \
                desc:token=DESC}?",
        )
        .about("3.2.10", "Finds members within a distance of a position")
        .costs("O(N+log(M)), N the members around the area, M the size of the sorted set")
        .run(geo::georadius_ro),
    row(
        "georadiusbymember",
        -5,
        "write denyoom movablekeys",
        Group::Geo,
    )
    .keys(&[
        key("RO access", index(1), range(0, 1, 0)),
        key(
            "OW update variable_flags",
            keyword("STORE", 5),
            range(0, 1, 0),
        ),
        key(
            "OW update variable_flags",
            keyword("STOREDIST", 5),
            range(0, 1, 0),
        ),
    ])
    .key_finder(radius_keys)
    .args(
        "key:key0 member radius:double unit{m:token=M km:token=KM ft:token=FT \
                mi:token=MI} withcoord:token=WITHCOORD? withdist:token=WITHDIST? \
                withhash:token=WITHHASH? count-block(count:int=COUNT any:token=ANY?)? \
                order{asc:token=ASC desc:token=DESC}? store{storekey/key:key1=STORE \
                storedistkey/key:key2=STOREDIST}?",
    )
    .about(
        "3.2.0",
        "Finds members within a distance of a member, optionally into a key",
    )
    .costs("O(N+log(M)), N the members around the area, M the size of the sorted set")
    .run(geo::georadiusbymember),
    row("georadiusbymember_ro", -5, "readonly", Group::Geo)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args(
            "key:key0 member radius:double unit{m:token=M km:token=KM ft:token=FT \
                mi:token=MI} withcoord:token=WITHCOORD? withdist:token=WITHDIST? \
                withhash:token=WITHHASH? count-block(count:int=COUNT any:token=ANY?)? \
                order{asc:token=ASC desc:token=DESC}?",
        )
        .about("3.2.10", "Finds members within a distance of a member")
        .costs("O(N+log(M)), N the members around the area, M the size of the sorted set")
        .run(geo::georadiusbymember_ro),
    row("geosearch", -7, "readonly", Group::Geo)
        .keys(&[key("RO access", index(1), range(0, 1, 0))])
        .args(
            "key:key0 from{member=FROMMEMBER fromlonlat=FROMLONLAT(longitude:double \
                latitude:double)}? by{circle(radius:double=BYRADIUS unit{m:token=M \
                km:token=KM ft:token=FT mi:token=MI}) box(width:double=BYBOX \
                height:double unit{m:token=M km:token=KM ft:token=FT mi:token=MI}) \
                polygon@9.0.0(num-vertices:int=BYPOLYGON vertices(longitude:double \
                latitude:double)*)} order{asc:token=ASC desc:token=DESC}? \
                count-block(count:int=COUNT any:token=ANY?)? withcoord:token=WITHCOORD? \
                withdist:token=WITHDIST? withhash:token=WITHHASH?",
        )
        .about("6.2.0", "Finds members within a circle, a box or a polygon")
        .costs("O(N+log(M)), N the members around the area, M those within it")
        .run(geo::geosearch),
    row("geosearchstore", -8, "write denyoom", Group::Geo)
        .keys(&[
            key("OW update", index(1), range(0, 1, 0)),
            key("RO access", index(2), range(0, 1, 0)),
        ])
        .args(
            "destination:key0 source:key1 from{member=FROMMEMBER \
                fromlonlat=FROMLONLAT(longitude:double latitude:double)}? \
                by{circle(radius:double=BYRADIUS unit{m:token=M km:token=KM ft:token=FT \
                mi:token=MI}) box(width:double=BYBOX height:double unit{m:token=M \
                km:token=KM ft:token=FT mi:token=MI}) \
                polygon@9.0.0(num-vertices:int=BYPOLYGON vertices(longitude:double \
                latitude:double)*)} order{asc:token=ASC desc:token=DESC}? \
                count-block(count:int=COUNT any:token=ANY?)? storedist:token=STOREDIST?",
        )
        .about(
            "6.2.0",
            "Finds members within a circle, a box or a polygon, into a key",
        )
        .costs("O(N+log(M)), N the members around the area, M those within it")
        .run(geo::geosearchstore),
];
