//! The commands of a sentinel, a row each: what the gates and access control ask, and what COMMAND tells of them.

use std::sync::{Arc, LazyLock};

use acl::Catalog;
use commands::table::{Channels, Group, row, setuser_secrets};

/// What is known of a command or subcommand. `commands.rs` runs it by its name.
pub(crate) type Row = commands::table::Row<()>;

/// All commands, as rules of access control name them.
pub(crate) static CATALOG: LazyLock<Arc<Catalog>> = LazyLock::new(|| {
    let rows = COMMANDS
        .iter()
        .flat_map(|row| std::iter::once(row).chain(row.subs));
    Arc::new(Catalog::new(rows.map(|row| &row.facts)))
});

/// A subcommand, by its own name in any case.
pub(crate) fn sub(command: &Row, name: &str) -> Option<&'static Row> {
    let named = |row: &&Row| row.facts.short_name().eq_ignore_ascii_case(name);
    command.subs.iter().find(named)
}

/// A command by its name, in lower case.
pub(crate) fn find(name: &str) -> Option<&'static Row> {
    COMMANDS.iter().find(|row| row.facts.name == name)
}

/// A command or, as `command|subcommand`, a subcommand, in any case.
pub(crate) fn find_whole(name: &str) -> Option<&'static Row> {
    match name.split_once('|') {
        Some((command, name)) => sub(find(&command.to_ascii_lowercase())?, name),
        None => find(&name.to_ascii_lowercase()),
    }
}

/// Administrative commands that change nothing.
const ASKING: &[&str] = &[
    "role",
    "sentinel|ckquorum",
    "sentinel|get-master-addr-by-name",
    "sentinel|get-primary-addr-by-name",
    "sentinel|info-cache",
    "sentinel|is-master-down-by-addr",
    "sentinel|is-primary-down-by-addr",
    "sentinel|is-primary-saturated-by-addr",
    "sentinel|master",
    "sentinel|masters",
    "sentinel|myid",
    "sentinel|pending-scripts",
    "sentinel|primaries",
    "sentinel|primary",
    "sentinel|replicas",
    "sentinel|sentinels",
    "sentinel|slaves",
];

/// Whether a command, by its whole name, is one of those.
pub(crate) fn only_asks(name: &str) -> bool {
    ASKING.contains(&name)
}

/// The words behind the names of passwords, in SENTINEL SET and SENTINEL CONFIG SET.
fn passwords(args: commands::Args<'_>) -> Vec<usize> {
    let names: [&[u8]; 2] = [b"auth-pass", b"sentinel-pass"];
    let is_name = |word: &&[u8]| names.iter().any(|name| word.eq_ignore_ascii_case(name));
    let places = args.iter().enumerate();
    places
        .filter(|(_, word)| is_name(word))
        .map(|(at, _)| at + 1)
        .collect()
}

/// Whether a sentinel has a command of this name.
pub(crate) fn is_command(name: &str) -> bool {
    find(name).is_some()
}

/// All commands.
#[rustfmt::skip]
pub(crate) static COMMANDS: &[Row] = &[
    row("acl", -2, "", Group::Server).about("6.0.0", "Users and what they may do.").subs(&[
        row("acl|cat", -2, "noscript loading stale", Group::Server).about("6.0.0", "Lists the categories of commands, or the commands of one."),
        row("acl|deluser", -3, "admin noscript loading stale", Group::Server).tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]).about("6.0.0", "Deletes users and disconnects their clients."),
        row("acl|dryrun", -4, "admin noscript loading stale", Group::Server).about("7.0.0", "Tells whether a user may run a command, without running it."),
        row("acl|genpass", -2, "noscript loading stale", Group::Server).about("6.0.0", "Makes a random password."),
        row("acl|getuser", 3, "admin noscript loading stale", Group::Server).about("6.0.0", "Shows the rules of a user."),
        row("acl|help", 2, "loading stale", Group::Server).about("6.0.0", "Lists the subcommands."),
        row("acl|list", 2, "admin noscript loading stale", Group::Server).about("6.0.0", "Shows all users as lines of a configuration."),
        row("acl|load", 2, "admin noscript loading stale", Group::Server).about("6.0.0", "Reads the users from the ACL file again."),
        row("acl|log", -2, "admin noscript loading stale", Group::Server).about("6.0.0", "Shows what was denied lately."),
        row("acl|save", 2, "admin noscript loading stale", Group::Server).tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]).about("6.0.0", "Writes the users to the ACL file."),
        row("acl|setuser", -3, "admin noscript loading stale", Group::Server).secrets(setuser_secrets).tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]).about("6.0.0", "Creates a user or changes its rules."),
        row("acl|users", 2, "admin noscript loading stale", Group::Server).about("6.0.0", "Lists the names of all users."),
        row("acl|whoami", 2, "noscript loading stale", Group::Server).about("6.0.0", "Tells as which user this connection acts."),
    ]),
    row("auth", -2, "noscript loading stale fast no_auth allow_busy", Group::Connection).about("1.0.0", "Authenticates the connection."),
    row("client", -2, "", Group::Connection).categories("").about("2.4.0", "Connections of clients.").subs(&[
        row("client|caching", 3, "noscript loading stale allow_busy", Group::Connection).about("6.0.0", "Chooses whether the next command is tracked."),
        row("client|getname", 2, "noscript loading stale allow_busy", Group::Connection).about("2.6.9", "Gives the name of this connection."),
        row("client|getredir", 2, "noscript loading stale allow_busy", Group::Connection).about("6.0.0", "Gives the connection that gets the invalidations."),
        row("client|help", 2, "loading stale", Group::Connection).about("5.0.0", "Lists the subcommands."),
        row("client|id", 2, "noscript loading stale allow_busy", Group::Connection).about("5.0.0", "Gives the id of this connection."),
        row("client|info", 2, "noscript loading stale", Group::Connection).tips(&["nondeterministic_output"]).about("6.2.0", "Describes this connection."),
        row("client|kill", -3, "admin noscript loading stale", Group::Connection).about("2.4.0", "Closes connections."),
        row("client|list", -2, "admin noscript loading stale", Group::Connection).tips(&["nondeterministic_output"]).about("2.4.0", "Describes all connections."),
        row("client|no-evict", 3, "admin noscript loading stale allow_busy", Group::Connection).about("7.0.0", "Keeps this connection from being evicted."),
        row("client|pause", -3, "admin noscript loading stale", Group::Connection).about("3.0.0", "Takes no requests of clients for a while."),
        row("client|reply", 3, "noscript loading stale no_multi allow_busy", Group::Connection).about("3.2.0", "Chooses whether this connection gets replies."),
        row("client|setinfo", 4, "noscript loading stale allow_busy", Group::Connection).tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]).about("7.2.0", "Sets the name or version of the library that a client uses."),
        row("client|setname", 3, "noscript loading stale allow_busy", Group::Connection).tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]).about("2.6.9", "Names this connection."),
        row("client|tracking", -3, "noscript loading stale", Group::Connection).about("6.0.0", "Switches the tracking of keys on or off."),
        row("client|trackinginfo", 2, "noscript loading stale", Group::Connection).about("6.2.0", "Describes the tracking of this connection."),
        row("client|unblock", -3, "admin noscript loading stale", Group::Connection).about("5.0.0", "Ends the wait of another connection."),
        row("client|unpause", 2, "admin noscript loading stale", Group::Connection).about("6.2.0", "Takes requests of clients again."),
    ]),
    row("command", -1, "loading stale", Group::Server).categories("connection").tips(&["nondeterministic_output_order"]).about("2.8.13", "Describes all commands.").subs(&[
        row("command|count", 2, "loading stale", Group::Server).categories("connection").about("2.8.13", "Counts the commands."),
        row("command|docs", -2, "loading stale", Group::Server).categories("connection").tips(&["nondeterministic_output_order"]).about("7.0.0", "Documents commands."),
        row("command|getkeys", -3, "loading stale", Group::Server).categories("connection").about("2.8.13", "Finds the keys in a command line."),
        row("command|getkeysandflags", -3, "loading stale", Group::Server).categories("connection").about("7.0.0", "Finds the keys in a command line and how they are used."),
        row("command|help", 2, "loading stale", Group::Server).categories("connection").about("5.0.0", "Lists the subcommands."),
        row("command|info", -2, "loading stale", Group::Server).categories("connection").tips(&["nondeterministic_output_order"]).about("2.8.13", "Describes commands."),
        row("command|list", -2, "loading stale", Group::Server).categories("connection").tips(&["nondeterministic_output_order"]).about("7.0.0", "Lists the names of all commands."),
    ]),
    row("hello", -1, "noscript loading stale fast no_auth allow_busy", Group::Connection).about("6.0.0", "Chooses the protocol, authenticates and names the connection."),
    row("info", -1, "loading stale", Group::Server).categories("dangerous").tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]).about("1.0.0", "Describes the process and what it watches."),
    row("ping", -1, "fast", Group::Connection).tips(&["request_policy:all_shards", "response_policy:all_succeeded"]).about("1.0.0", "Answers PONG, or the given text."),
    row("psubscribe", -2, "pubsub noscript loading stale", Group::PubSub).channels(Channels::Patterns).about("2.0.0", "Subscribes to the events whose names match patterns."),
    row("publish", 3, "pubsub loading stale fast", Group::PubSub).channels(Channels::Published).about("2.0.0", "Takes the hello message of another sentinel."),
    row("punsubscribe", -1, "pubsub noscript loading stale", Group::PubSub).about("2.0.0", "Ends subscriptions to patterns."),
    row("quit", -1, "noscript loading stale fast no_auth allow_busy", Group::Connection).about("1.0.0", "Closes the connection."),
    row("reset", 1, "noscript loading stale fast no_auth allow_busy", Group::Connection).about("6.2.0", "Makes the connection as it was when it was opened."),
    row("role", 1, "noscript loading stale fast", Group::Server).categories("admin dangerous").about("2.8.12", "Tells that this is a sentinel, and which masters it watches."),
    row("sentinel", -2, "admin", Group::Sentinel).about("2.8.4", "Watched masters, their replicas and the other sentinels.").subs(&[
        row("sentinel|ckquorum", 3, "admin", Group::Sentinel).about("2.8.4", "Checks whether enough sentinels are reachable for a failover."),
        row("sentinel|config", -4, "admin", Group::Sentinel).secrets(passwords).about("6.2.0", "Shows or sets what is not of one master."),
        row("sentinel|debug", -2, "admin", Group::Sentinel).about("7.0.0", "Shows or sets the periods of the protocol."),
        row("sentinel|failover", -3, "admin", Group::Sentinel).about("2.8.4", "Fails a master over although it is not down."),
        row("sentinel|flushconfig", 2, "admin", Group::Sentinel).about("2.8.4", "Writes the configuration file."),
        row("sentinel|get-master-addr-by-name", 3, "admin", Group::Sentinel).about("2.8.4", "Gives the address of a master."),
        row("sentinel|get-primary-addr-by-name", 3, "admin", Group::Sentinel).about("8.0.0", "Gives the address of a master."),
        row("sentinel|help", 2, "loading stale", Group::Sentinel).about("6.2.0", "Lists the subcommands."),
        row("sentinel|info-cache", -3, "admin", Group::Sentinel).about("3.2.0", "Shows the last INFO of masters and their replicas."),
        row("sentinel|is-master-down-by-addr", 6, "admin", Group::Sentinel).about("2.8.4", "Tells another sentinel whether a master is down, and votes."),
        row("sentinel|is-primary-down-by-addr", 6, "admin", Group::Sentinel).about("8.0.0", "Tells another sentinel whether a master is down, and votes."),
        row("sentinel|is-primary-saturated-by-addr", 4, "admin", Group::Sentinel).about("9.1.0", "Tells another sentinel whether a master is saturated."),
        row("sentinel|master", 3, "admin", Group::Sentinel).about("2.8.4", "Describes a master."),
        row("sentinel|masters", 2, "admin", Group::Sentinel).about("2.8.4", "Describes all masters."),
        row("sentinel|monitor", 6, "admin", Group::Sentinel).about("2.8.4", "Watches another master."),
        row("sentinel|myid", 2, "admin", Group::Sentinel).about("6.2.0", "Gives the id of this sentinel."),
        row("sentinel|pending-scripts", 2, "admin", Group::Sentinel).about("2.8.4", "Lists the scripts that run or wait."),
        row("sentinel|primaries", 2, "admin", Group::Sentinel).about("8.0.0", "Describes all masters."),
        row("sentinel|primary", 3, "admin", Group::Sentinel).about("8.0.0", "Describes a master."),
        row("sentinel|remove", 3, "admin", Group::Sentinel).about("2.8.4", "Watches a master no more."),
        row("sentinel|replicas", 3, "admin", Group::Sentinel).about("5.0.0", "Describes the replicas of a master."),
        row("sentinel|reset", 3, "admin", Group::Sentinel).about("2.8.4", "Forgets the replicas and sentinels of masters and finds them anew."),
        row("sentinel|sentinels", 3, "admin", Group::Sentinel).about("2.8.4", "Describes the other sentinels of a master."),
        row("sentinel|set", -5, "admin", Group::Sentinel).secrets(passwords).about("2.8.4", "Changes how a master is watched."),
        row("sentinel|simulate-failure", -3, "admin", Group::Sentinel).about("3.2.0", "Lets this sentinel crash at a chosen moment."),
        row("sentinel|slaves", 3, "admin", Group::Sentinel).about("2.8.0", "Describes the replicas of a master."),
    ]),
    row("shutdown", -1, "admin noscript loading stale no_multi allow_busy", Group::Server).about("1.0.0", "Ends the process."),
    row("subscribe", -2, "pubsub noscript loading stale", Group::PubSub).channels(Channels::Subscribed).about("2.0.0", "Subscribes to events by their names."),
    row("unsubscribe", -1, "pubsub noscript loading stale", Group::PubSub).about("2.0.0", "Ends subscriptions to events."),
];

#[cfg(test)]
mod tests {
    use commands::Flags;

    use super::*;

    #[test]
    fn what_only_asks_is_known_and_administrative() {
        for name in ASKING {
            let row = find_whole(name).expect("a command of this name");
            assert!(
                row.facts.flags.has(Flags::ADMIN) || row.subs.is_empty(),
                "{name}"
            );
        }
    }
}
