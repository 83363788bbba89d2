//! Rows of the group "server" that know more than data.

use commands::table::{Group, Row, index, key, range, row, setuser_secrets};

use crate::entry::EngineFn;
use crate::master::requests;
use crate::{
    acl_command, append_only, configure, connection, debug, describe, failover, info, latency,
    lolwut, memory, module, observe, persistence, shutdown, slave,
};

pub(super) static ROWS: &[Row<EngineFn>] = &[
    row::<EngineFn>("acl", -2, "", Group::Server).about("6.0.0", "Manages users and their permissions").subs(&[row("acl|cat", -2, "noscript loading stale", Group::Server).args("category?").about("6.0.0", "Lists the command categories, or the commands of one").costs("O(1)").run(acl_command::cat), row("acl|deluser", -3, "admin noscript loading stale", Group::Server).tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]).args("username*").about("6.0.0", "Removes users and closes their connections").costs("O(1) for each user").secrets(setuser_secrets).run(acl_command::deluser), row("acl|dryrun", -4, "admin noscript loading stale", Group::Server).args("username command arg?*").about("7.0.0", "Says whether a user could run a command, without running it").costs("O(1)").run(acl_command::dryrun), row("acl|genpass", -2, "noscript loading stale", Group::Server).args("bits:int?").about("6.0.0", "Generates a random password").costs("O(1)").run(acl_command::genpass), row("acl|getuser", 3, "admin noscript loading stale", Group::Server).args("username").about("6.0.0", "Returns the rules of a user").costs("O(N), N the rules of the user").secrets(setuser_secrets).run(acl_command::getuser), row("acl|help", 2, "loading stale", Group::Server).about("6.0.0", "Describes the subcommands").costs("O(1)"), row("acl|list", 2, "admin noscript loading stale", Group::Server).about("6.0.0", "Returns all users as lines of a configuration file").costs("O(N), N the users").run(acl_command::list), row("acl|load", 2, "admin noscript loading stale", Group::Server).about("6.0.0", "Replaces all users by those of the ACL file").costs("O(N), N the users").run(acl_command::load), row("acl|log", -2, "admin noscript loading stale", Group::Server).args("operation{count:int reset:token=RESET}?").about("6.0.0", "Returns or clears the log of refused commands").costs("O(N), N the entries shown").run(acl_command::log), row("acl|save", 2, "admin noscript loading stale", Group::Server).tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]).about("6.0.0", "Writes all users to the ACL file").costs("O(N), N the users").run(acl_command::save), row("acl|setuser", -3, "admin noscript loading stale", Group::Server).tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]).args("username rule?*").about("6.0.0", "Creates a user or changes its rules").costs("O(N), N the rules given").secrets(setuser_secrets).run(acl_command::setuser), row("acl|users", 2, "admin noscript loading stale", Group::Server).about("6.0.0", "Returns the names of all users").costs("O(N), N the users").run(acl_command::users), row("acl|whoami", 2, "noscript loading stale", Group::Server).about("6.0.0", "Returns the name of the connection's user").costs("O(1)").run(acl_command::whoami)]),
    row(
        "bgrewriteaof",
        1,
        "admin noscript no_async_loading",
        Group::Server,
    )
    .about("1.0.0", "Rewrites the append-only file in the background").costs("O(1)")
    .run(append_only::bgrewriteaof),
    row(
        "bgsave",
        -1,
        "admin noscript no_async_loading",
        Group::Server,
    )
    .args("operation{schedule:token=SCHEDULE@3.2.2 cancel:token=CANCEL@8.1.0}?")
    .about("1.0.0", "Saves the data to disk in the background").costs("O(1)")
    .run(persistence::bgsave),
    row::<EngineFn>("command", -1, "loading stale", Group::Server)
        .categories("connection")
        .tips(&["nondeterministic_output_order"])
        .about("2.8.13", "Describes the commands").costs("O(N), N the commands")
        .subs(&[
            row("command|count", 2, "loading stale", Group::Server)
                .categories("connection")
                .about("2.8.13", "Counts the commands").costs("O(1)")
                .run(describe::count),
            row("command|docs", -2, "loading stale", Group::Server)
                .categories("connection")
                .tips(&["nondeterministic_output_order"])
                .args("command-name?*")
                .about("7.0.0", "Returns documentation about commands").costs("O(N), N the commands asked for")
                .run(describe::docs),
            row("command|getkeys", -3, "loading stale", Group::Server)
                .categories("connection")
                .args("command arg?*")
                .about("2.8.13", "Extracts the keys of a command line").costs("O(N), N the words of the command")
                .run(describe::getkeys),
            row(
                "command|getkeysandflags",
                -3,
                "loading stale",
                Group::Server,
            )
            .categories("connection")
            .args("command arg?*")
            .about(
                "7.0.0",
                "Extracts the keys of a command line and how they are accessed",
            ).costs("O(N), N the words of the command")
            .run(describe::getkeysandflags),
            row("command|help", 2, "loading stale", Group::Server)
                .categories("connection")
                .about("5.0.0", "Describes the subcommands").costs("O(1)"),
            row("command|info", -2, "loading stale", Group::Server)
                .categories("connection")
                .tips(&["nondeterministic_output_order"])
                .args("command-name?*")
                .about("2.8.13", "Returns facts about commands").costs("O(N), N the commands asked for")
                .run(describe::info),
            row("command|list", -2, "loading stale", Group::Server)
                .categories("connection")
                .tips(&["nondeterministic_output_order"])
                .args(
                    "filterby=FILTERBY{module-name=MODULE category=ACLCAT \
                pattern:pattern=PATTERN}?",
                )
                .about("7.0.0", "Returns the names of commands").costs("O(N), N the commands")
                .run(describe::list),
        ])
        .run(describe::command),
    row("commandlog", -2, "", Group::Server)
        .about("8.1.0", "Manages the logs of slow and of large commands")
        .subs(&[
            row("commandlog|get", 4, "admin loading stale", Group::Server)
                .tips(&["request_policy:all_nodes", "nondeterministic_output"])
                .args("count:int type{slow:token=SLOW large-request:token=LARGE-REQUEST large-reply:token=LARGE-REPLY}")
                .about("8.1.0", "Returns entries of a log").costs("O(N), N the entries returned")
                .run(observe::commandlog_get),
            row("commandlog|help", 2, "loading stale", Group::Server)
                .about("8.1.0", "Describes the subcommands").costs("O(1)"),
            row("commandlog|len", 3, "admin loading stale", Group::Server)
                .tips(&[
                    "request_policy:all_nodes",
                    "response_policy:agg_sum",
                    "nondeterministic_output",
                ])
                .args("type{slow:token=SLOW large-request:token=LARGE-REQUEST large-reply:token=LARGE-REPLY}")
                .about("8.1.0", "Counts the entries of a log").costs("O(1)")
                .run(observe::commandlog_len),
            row("commandlog|reset", 3, "admin loading stale", Group::Server)
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .args("type{slow:token=SLOW large-request:token=LARGE-REQUEST large-reply:token=LARGE-REPLY}")
                .about("8.1.0", "Clears a log").costs("O(N), N the entries in the log")
                .run(observe::commandlog_reset),
        ]),
    row("config", -2, "", Group::Server)
        .about("2.0.0", "Reads, changes and rewrites the configuration")
        .subs(&[
            row(
                "config|get",
                -3,
                "admin noscript loading stale",
                Group::Server,
            )
            .args("parameter*")
            .about("2.0.0", "Returns configuration directives").costs("O(N), N the parameters asked for")
            .run(configure::get),
            row("config|help", 2, "loading stale", Group::Server)
                .about("5.0.0", "Describes the subcommands").costs("O(1)"),
            row(
                "config|resetstat",
                2,
                "admin noscript loading stale",
                Group::Server,
            )
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
            .about("2.0.0", "Resets the statistics of INFO").costs("O(1)")
            .run(configure::resetstat),
            row(
                "config|rewrite",
                2,
                "admin noscript loading stale",
                Group::Server,
            )
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
            .about(
                "2.8.0",
                "Writes the configuration in force to the configuration file",
            ).costs("O(1)")
            .run(configure::rewrite),
            row(
                "config|set",
                -4,
                "admin noscript loading stale",
                Group::Server,
            )
            .secrets(observe::config_secrets)
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
            .args("data(parameter value)*")
            .about("2.0.0", "Changes configuration directives").costs("O(N), N the parameters given")
            .run(configure::set),
        ]),
    row("debug", -2, "admin noscript loading stale", Group::Server)
        .traits("internal needs_debug").about("1.0.0", "Looks inside the server; for developers")
        .run(debug::debug),
    row("failover", -1, "admin noscript stale", Group::Server)
        .args(
            "target=TO(host port:int force:token=FORCE?)? abort:token=ABORT? \
                milliseconds:int=TIMEOUT?",
        )
        .about("6.2.0", "Hands the place of primary over to a replica").costs("O(1)")
        .run(failover::failover),
    row("info", -1, "loading stale", Group::Server)
        .categories("dangerous")
        .tips(&[
            "nondeterministic_output",
            "request_policy:all_shards",
            "response_policy:special",
        ])
        .args("section?*")
        .about("1.0.0", "Returns facts and statistics about the server").costs("O(1)")
        .run(info::info),
    row("lastsave", 1, "loading stale fast", Group::Server)
        .categories("admin dangerous")
        .tips(&["nondeterministic_output"])
        .about("1.0.0", "Returns the time of the last save").costs("O(1)")
        .run(persistence::lastsave),
    row("latency", -2, "", Group::Server)
        .about("2.8.13", "Shows where time was lost")
        .subs(&[
            row(
                "latency|doctor",
                2,
                "admin noscript loading stale",
                Group::Server,
            )
            .tips(&[
                "nondeterministic_output",
                "request_policy:all_nodes",
                "response_policy:special",
            ])
            .about("2.8.13", "Explains the latency events in words").costs("O(1)")
            .run(latency::doctor),
            row(
                "latency|graph",
                3,
                "admin noscript loading stale",
                Group::Server,
            )
            .tips(&[
                "nondeterministic_output",
                "request_policy:all_nodes",
                "response_policy:special",
            ])
            .args("event")
            .about("2.8.13", "Draws the samples of a latency event").costs("O(1)")
            .run(latency::graph),
            row(
                "latency|histogram",
                -2,
                "admin noscript loading stale",
                Group::Server,
            )
            .tips(&[
                "nondeterministic_output",
                "request_policy:all_nodes",
                "response_policy:special",
            ])
            .args("command?*")
            .about("7.0.0", "Returns how the times of commands are distributed").costs("O(N), N the commands shown")
            .run(latency::histogram),
            row("latency|help", 2, "loading stale", Group::Server)
                .about("2.8.13", "Describes the subcommands").costs("O(1)"),
            row(
                "latency|history",
                3,
                "admin noscript loading stale",
                Group::Server,
            )
            .tips(&[
                "nondeterministic_output",
                "request_policy:all_nodes",
                "response_policy:special",
            ])
            .args("event")
            .about("2.8.13", "Returns the samples of a latency event").costs("O(1)")
            .run(latency::history),
            row(
                "latency|latest",
                2,
                "admin noscript loading stale",
                Group::Server,
            )
            .tips(&[
                "nondeterministic_output",
                "request_policy:all_nodes",
                "response_policy:special",
            ])
            .about("2.8.13", "Returns the newest sample of every latency event").costs("O(1)")
            .run(latency::latest),
            row(
                "latency|reset",
                -2,
                "admin noscript loading stale",
                Group::Server,
            )
            .tips(&["request_policy:all_nodes", "response_policy:agg_sum"])
            .args("event?*")
            .about("2.8.13", "Drops the samples of latency events").costs("O(1)")
            .run(latency::reset),
        ]),
    row("lolwut", -1, "readonly fast", Group::Server)
        .args("version:int=VERSION?")
        .about("5.0.0", "Draws something, and tells the version")
        .run(lolwut::lolwut),
    row("memory", -2, "", Group::Server)
        .about("4.0.0", "Shows what memory is used for")
        .subs(&[
            row("memory|doctor", 2, "", Group::Server)
                .tips(&[
                    "nondeterministic_output",
                    "request_policy:all_shards",
                    "response_policy:special",
                ])
                .about("4.0.0", "Says in words what stands out about memory").costs("O(1)")
                .run(memory::doctor),
            row("memory|help", 2, "loading stale", Group::Server)
                .about("4.0.0", "Describes the subcommands").costs("O(1)"),
            row("memory|malloc-stats", 2, "loading", Group::Server)
                .tips(&[
                    "nondeterministic_output",
                    "request_policy:all_shards",
                    "response_policy:special",
                ])
                .about("4.0.0", "Returns the allocator's counters")
                .run(memory::malloc_stats),
            row("memory|purge", 2, "loading", Group::Server)
                .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
                .about("4.0.0", "Frees what waits to be freed")
                .run(memory::purge),
            row("memory|stats", 2, "", Group::Server)
                .tips(&[
                    "nondeterministic_output",
                    "request_policy:all_shards",
                    "response_policy:special",
                ])
                .about("4.0.0", "Returns what memory is used for, in numbers").costs("O(1)")
                .run(memory::stats),
            row("memory|usage", -3, "readonly", Group::Server)
                .keys(&[key("RO", index(2), range(0, 1, 0))])
                .args("key:key0 count:int=SAMPLES?")
                .about("4.0.0", "Returns the bytes that a key takes").costs("O(N), N the elements of the value")
                .run(memory::usage),
        ]),
    row("module", -2, "", Group::Server)
        .about("4.0.0", "Manages modules")
        .subs(&[
            row("module|help", 2, "loading stale", Group::Server)
                .about("5.0.0", "Describes the subcommands").costs("O(1)"),
            row("module|list", 2, "admin noscript", Group::Server)
                .tips(&["nondeterministic_output_order"])
                .about("4.0.0", "Lists the loaded modules").costs("O(N), N the modules")
                .run(module::list),
            row(
                "module|load",
                -3,
                "admin noscript no_async_loading",
                Group::Server,
            )
            .args("path arg?*")
            .traits("needs_modules")
            .about("4.0.0", "Loads a module").costs("O(1)")
            .run(module::load),
            row(
                "module|loadex",
                -3,
                "admin noscript no_async_loading",
                Group::Server,
            )
            .args("path configs=CONFIG(name value)?*+ args=ARGS?*")
            .traits("needs_modules")
            .about("7.0.0", "Loads a module with parameters").costs("O(1)")
            .run(module::load),
            row(
                "module|unload",
                3,
                "admin noscript no_async_loading",
                Group::Server,
            )
            .args("name")
            .traits("needs_modules")
            .about("4.0.0", "Unloads a module").costs("O(1)")
            .run(module::unload),
        ]),
    row("monitor", 1, "admin noscript loading stale", Group::Server)
        .about("1.0.0", "Shows every command as it runs")
        .run(observe::monitor),
    row(
        "psync",
        -3,
        "admin noscript no_async_loading no_multi",
        Group::Server,
    )
    .args("replicationid offset:int")
    .about("2.8.0", "Starts replication, continuing where possible")
    .run(requests::sync),
    row(
        "replconf",
        -1,
        "admin noscript loading stale allow_busy",
        Group::Server,
    )
    .traits("internal from_master")
    .about("3.0.0", "Exchanges facts between a primary and its replica").costs("O(1)")
    .run(requests::replconf),
    row(
        "replicaof",
        3,
        "admin noscript stale no_async_loading",
        Group::Server,
    )
    .args("args{host-port(host port:int) no-one(no:token=NO one:token=ONE)}")
    .about(
        "5.0.0",
        "Makes the server a replica of another, or a primary",
    ).costs("O(1)")
    .run(slave::slaveof),
    row("role", 1, "noscript loading stale fast", Group::Server)
        .categories("admin dangerous")
        .about("2.8.12", "Returns the role in replication").costs("O(1)")
        .run(slave::role),
    row(
        "save",
        1,
        "admin noscript no_async_loading no_multi",
        Group::Server,
    )
    .about("1.0.0", "Saves the data to disk while everything waits").costs("O(N), N the keys of all databases")
    .run(persistence::save),
    row(
        "shutdown",
        -1,
        "admin noscript loading stale no_multi allow_busy",
        Group::Server,
    )
    .traits("shutdown")
    .args(
        "abort-selector{save-selector-block(save-selector{nosave:token=NOSAVE \
                save:token=SAVE}? now:token=NOW@7.0.0? force:token=FORCE@7.0.0? \
                safe:token=SAFE@9.0.0? failover:token=FAILOVER@9.0.0?) \
                abort:token=ABORT@7.0.0}?",
    )
    .about("1.0.0", "Saves if asked to and ends the server").costs("O(N) where it saves, N the keys of all databases")
    .run(shutdown::shutdown),
    row(
        "slaveof",
        3,
        "admin noscript stale no_async_loading",
        Group::Server,
    )
    .args("args{host-port(host port:int) no-one(no:token=NO one:token=ONE)}")
    .replaced("5.0.0", "REPLICAOF").about(
        "1.0.0",
        "Makes the server a replica of another, or a primary",
    ).costs("O(1)")
    .run(slave::slaveof),
    row("slowlog", -2, "", Group::Server)
        .about("2.2.12", "Manages the log of slow commands")
        .subs(&[
            row("slowlog|get", -2, "admin loading stale", Group::Server)
                .tips(&["request_policy:all_nodes", "nondeterministic_output"])
                .args("count:int?")
                .about("2.2.12", "Returns entries of the slow log").costs("O(N), N the entries returned")
                .run(observe::slowlog_get),
            row("slowlog|help", 2, "loading stale", Group::Server)
                .about("6.2.0", "Describes the subcommands").costs("O(1)"),
            row("slowlog|len", 2, "admin loading stale", Group::Server)
                .tips(&[
                    "request_policy:all_nodes",
                    "response_policy:agg_sum",
                    "nondeterministic_output",
                ])
                .about("2.2.12", "Counts the entries of the slow log").costs("O(1)")
                .run(observe::slowlog_len),
            row("slowlog|reset", 2, "admin loading stale", Group::Server)
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
                .about("2.2.12", "Clears the slow log").costs("O(N), N the entries in the log")
                .run(observe::slowlog_reset),
        ]),
    row(
        "sync",
        1,
        "admin noscript no_async_loading no_multi",
        Group::Server,
    )
    .about("1.0.0", "Starts replication with a full copy")
    .run(requests::sync),
    row("time", 1, "loading stale fast", Group::Server)
        .traits("plain")
        .tips(&["nondeterministic_output"])
        .about("2.6.0", "Returns the server's time").costs("O(1)")
        .run(connection::time),
];
