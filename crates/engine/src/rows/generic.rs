//! Rows of the group "generic" that know more than data.

use commands::table::{Group, Row, index, key, keyword, migrate_keys, migrate_secrets, range, row};

use crate::entry::EngineFn;
use crate::{migrate, wait};

pub(super) static ROWS: &[Row<EngineFn>] = &[
    row("migrate", -6, "write movablekeys", Group::Generic)
        .categories("dangerous keyspace")
        .keys(&[
            key("RW access delete", index(3), range(0, 1, 0)),
            key(
                "RW access delete incomplete",
                keyword("KEYS", -2),
                range(-1, 1, 0),
            ),
        ])
        .key_finder(migrate_keys)
        .traits("moves_keys")
        .tips(&["nondeterministic_output"])
        .args(
            "host port:int key-selector{key:key0 empty-string:token=\"\"} \
                destination-db:int timeout:int copy:token=COPY@3.0.0? \
                replace:token=REPLACE@3.0.0? authentication{auth/password=AUTH@4.0.7 \
                auth2=AUTH2@6.0.0(username password)}? keys/key:key1=KEYS@3.0.6?*",
        )
        .about("2.6.0", "Moves keys to another server")
        .costs("O(N), N the keys given, beside DUMP, RESTORE and DEL of each")
        .secrets(migrate_secrets)
        .run(migrate::migrate),
    row("wait", 3, "blocking", Group::Generic)
        .categories("connection")
        .traits("keeps_offset")
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .args("numreplicas:int timeout:int")
        .about("3.0.0", "Waits until replicas have the connection's writes")
        .costs("O(1)")
        .run(wait::wait),
    row("waitaof", 4, "blocking", Group::Generic)
        .categories("connection")
        .traits("keeps_offset")
        .tips(&["request_policy:all_shards", "response_policy:agg_min"])
        .args("numlocal:int numreplicas:int timeout:int")
        .about("7.2.0", "Waits until the connection's writes are on disks")
        .costs("O(1)")
        .run(wait::waitaof),
];
