//! Rows of the group "scripting" that know more than data.

use commands::table::{Group, Row, index, key, keynum, row};

use crate::index::EngineFn;
use crate::scripting;

pub(super) static ROWS: &[Row<EngineFn>] = &[
    row(
        "eval",
        -3,
        "noscript stale skip_monitor no_mandatory_keys movablekeys",
        Group::Scripting,
    )
    .keys(&[key("RW access update", index(2), keynum(0, 1, 1))])
    .traits("replayed may_replicate")
    .args("script numkeys:int key:key0?* arg?*")
    .about("2.6.0", "Runs a Lua script")
    .run(scripting::eval),
    row(
        "evalsha",
        -3,
        "noscript stale skip_monitor no_mandatory_keys movablekeys",
        Group::Scripting,
    )
    .keys(&[key("RW access update", index(2), keynum(0, 1, 1))])
    .traits("replayed may_replicate")
    .args("sha1 numkeys:int key:key0?* arg?*")
    .about("2.6.0", "Runs a cached Lua script by its SHA1")
    .run(scripting::evalsha),
    row("script", -2, "", Group::Scripting)
        .categories("")
        .traits("replayed")
        .about("2.6.0", "Manages the script cache and running scripts")
        .subs(&[
            row("script|exists", -3, "noscript stale", Group::Scripting)
                .traits("replayed")
                .tips(&[
                    "request_policy:all_shards",
                    "response_policy:agg_logical_and",
                ])
                .args("sha1*")
                .about("2.6.0", "Says which scripts are cached")
                .run(scripting::script),
            row("script|flush", -2, "noscript stale", Group::Scripting)
                .traits("replayed")
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .args("flush-type@6.2.0{async:token=ASYNC sync:token=SYNC}?")
                .about("2.6.0", "Empties the script cache")
                .run(scripting::script),
            row("script|help", 2, "loading stale", Group::Scripting)
                .about("5.0.0", "Describes the subcommands"),
            row("script|kill", 2, "noscript allow_busy", Group::Scripting)
                .tips(&["request_policy:all_shards", "response_policy:one_succeeded"])
                .about("2.6.0", "Ends the script that is running")
                .run(scripting::script),
            row("script|load", 3, "noscript stale", Group::Scripting)
                .traits("replayed")
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .args("script")
                .about("2.6.0", "Caches a script")
                .run(scripting::script),
        ]),
];
