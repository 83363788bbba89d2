//! Rows of the group "scripting" that know more than data.

use commands::table::{Group, Row, index, key, keynum, row};

use crate::entry::EngineFn;
use crate::scripting::{eval, function};

const KEYS: &[commands::table::KeySpec] = &[key("RW access update", index(2), keynum(0, 1, 1))];
const KEYS_READ: &[commands::table::KeySpec] = &[key("RO access", index(2), keynum(0, 1, 1))];
const FLAGS: &str = "noscript stale skip_monitor no_mandatory_keys movablekeys";
const FLAGS_RO: &str = "noscript readonly stale skip_monitor no_mandatory_keys movablekeys";

pub(super) static ROWS: &[Row<EngineFn>] = &[
    row("eval", -3, FLAGS, Group::Scripting)
        .keys(KEYS)
        .traits("replayed runs_script may_replicate")
        .args("script numkeys:int key:key0?* arg?*")
        .about("2.6.0", "Runs a Lua script")
        .run(eval::eval),
    row("eval_ro", -3, FLAGS_RO, Group::Scripting)
        .keys(KEYS_READ)
        .traits("runs_script")
        .args("script numkeys:int key:key0?* arg?*")
        .about("7.0.0", "Runs a Lua script that writes nothing")
        .run(eval::eval_ro),
    row("evalsha", -3, FLAGS, Group::Scripting)
        .keys(KEYS)
        .traits("replayed runs_script by_sha1 may_replicate")
        .args("sha1 numkeys:int key:key0?* arg?*")
        .about("2.6.0", "Runs a cached Lua script by its SHA1")
        .run(eval::evalsha),
    row("evalsha_ro", -3, FLAGS_RO, Group::Scripting)
        .keys(KEYS_READ)
        .traits("runs_script by_sha1")
        .args("sha1 numkeys:int key:key0?* arg?*")
        .about("7.0.0", "Runs a cached Lua script that writes nothing")
        .run(eval::evalsha_ro),
    row("fcall", -3, FLAGS, Group::Scripting)
        .keys(KEYS)
        .traits("replayed runs_script by_function may_replicate")
        .args("function numkeys:int key:key0?* arg?*")
        .about("7.0.0", "Calls a function")
        .run(function::fcall),
    row("fcall_ro", -3, FLAGS_RO, Group::Scripting)
        .keys(KEYS_READ)
        .traits("runs_script by_function")
        .args("function numkeys:int key:key0?* arg?*")
        .about("7.0.0", "Calls a function that writes nothing")
        .run(function::fcall_ro),
    row("function", -2, "", Group::Scripting)
        .categories("")
        .traits("replayed")
        .about("7.0.0", "Manages libraries of functions")
        .subs(FUNCTION),
    row("script", -2, "", Group::Scripting)
        .categories("")
        .traits("replayed")
        .about("2.6.0", "Manages the script cache and running scripts")
        .subs(SCRIPT),
];

static FUNCTION: &[Row<EngineFn>] = &[
    row("function|delete", 3, "write noscript", Group::Scripting)
        .traits("replayed")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .args("library-name")
        .about("7.0.0", "Removes a library with its functions")
        .costs("O(1)")
        .run(function::delete),
    row("function|dump", 2, "noscript", Group::Scripting)
        .about("7.0.0", "Returns all libraries as one payload")
        .costs("O(N), N the functions")
        .run(function::dump),
    row("function|flush", -2, "write noscript", Group::Scripting)
        .traits("replayed")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .args("flush-type{async:token=ASYNC sync:token=SYNC}?")
        .about("7.0.0", "Removes all libraries")
        .costs("O(N), N the functions")
        .run(function::flush),
    row("function|help", 2, "loading stale", Group::Scripting)
        .about("7.0.0", "Describes the subcommands")
        .costs("O(1)"),
    row("function|kill", 2, "noscript allow_busy", Group::Scripting)
        .tips(&["request_policy:all_shards", "response_policy:one_succeeded"])
        .about("7.0.0", "Ends the function that is running")
        .costs("O(1)")
        .run(function::kill),
    row("function|list", -2, "noscript", Group::Scripting)
        .tips(&["nondeterministic_output_order"])
        .args("library-name-pattern=LIBRARYNAME? withcode:token=WITHCODE?")
        .about("7.0.0", "Tells about libraries and their functions")
        .costs("O(N), N the functions")
        .run(function::list),
    row(
        "function|load",
        -3,
        "write denyoom noscript",
        Group::Scripting,
    )
    .traits("replayed")
    .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
    .args("replace:token=REPLACE? function-code")
    .about("7.0.0", "Loads a library")
    .costs("O(N), N the bytes of the library")
    .run(function::load),
    row(
        "function|restore",
        -3,
        "write denyoom noscript",
        Group::Scripting,
    )
    .traits("replayed")
    .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
    .args("serialized-value policy{flush:token=FLUSH append:token=APPEND replace:token=REPLACE}?")
    .about("7.0.0", "Loads the libraries of a payload")
    .costs("O(N), N the functions in the payload")
    .run(function::restore),
    row("function|stats", 2, "noscript allow_busy", Group::Scripting)
        .tips(&[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ])
        .about("7.0.0", "Tells about the function that is running")
        .costs("O(1)")
        .run(function::stats),
];

static SCRIPT: &[Row<EngineFn>] = &[
    row("script|debug", -3, "noscript", Group::Scripting)
        .args("mode{yes:token=YES sync:token=SYNC no:token=NO} engine@9.1.0?")
        .about("3.2.0", "Turns the debugger of scripts on and off")
        .costs("O(1)")
        .run(eval::debug),
    row("script|exists", -3, "noscript stale", Group::Scripting)
        .traits("replayed")
        .tips(&[
            "request_policy:all_shards",
            "response_policy:agg_logical_and",
        ])
        .args("sha1*")
        .about("2.6.0", "Says which scripts are cached")
        .costs("O(N), N the scripts given")
        .run(eval::exists),
    row("script|flush", -2, "noscript stale", Group::Scripting)
        .traits("replayed")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .args("flush-type@6.2.0{async:token=ASYNC sync:token=SYNC}?")
        .about("2.6.0", "Empties the script cache")
        .costs("O(N), N the scripts kept")
        .run(eval::flush),
    row("script|help", 2, "loading stale", Group::Scripting)
        .about("5.0.0", "Describes the subcommands")
        .costs("O(1)"),
    row("script|kill", 2, "noscript allow_busy", Group::Scripting)
        .tips(&["request_policy:all_shards", "response_policy:one_succeeded"])
        .about("2.6.0", "Ends the script that is running")
        .costs("O(1)")
        .run(eval::kill),
    row("script|load", 3, "noscript stale", Group::Scripting)
        .traits("replayed")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
        .args("script")
        .about("2.6.0", "Caches a script")
        .costs("O(N), N the bytes of the script")
        .run(eval::load),
    row("script|show", 3, "noscript stale", Group::Scripting)
        .args("sha1")
        .about("8.0.0", "Shows a cached script")
        .costs("O(1)")
        .run(eval::show),
];
