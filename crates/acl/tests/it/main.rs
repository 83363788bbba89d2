//! Users, rules, checks and files, over the data commands and a few made-up ones.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod checks;
mod files;
mod rules;

use std::sync::Arc;

use acl::{Catalog, Denial, Request, Users};
use commands::table::{Channels, Databases, Group, Row, row};

static OTHERS: &[Row<()>] = &[
    row("config", -2, "", Group::Server),
    row("config|get", -3, "admin", Group::Server),
    row("config|set", -4, "admin", Group::Server),
    row("select", 2, "fast", Group::Connection).databases(Databases::At(&[1])),
    row("flushall", -1, "write", Group::Server)
        .categories("keyspace dangerous")
        .databases(Databases::All),
    row("auth", -2, "no_auth fast", Group::Connection),
    row("publish", 3, "pubsub fast", Group::PubSub).channels(Channels::Published),
    row("subscribe", -2, "pubsub", Group::PubSub).channels(Channels::Subscribed),
    row("psubscribe", -2, "pubsub", Group::PubSub).channels(Channels::Patterns),
    row("ping", -1, "fast", Group::Connection),
];

fn users() -> Users {
    let data = commands::rows::rows().map(|row| &row.facts);
    let catalog = Catalog::new(data.chain(OTHERS.iter().map(|row| &row.facts)));
    Users::new(Arc::new(catalog), false)
}

/// Words separated by blanks.
fn words(line: &str) -> Vec<&[u8]> {
    line.split(' ').map(str::as_bytes).collect()
}

/// Sets a user by rules separated by blanks; what is wrong with them.
fn set(users: &mut Users, name: &str, rules: &str) -> Result<(), String> {
    let set = users.set(name.as_bytes(), &words(rules));
    set.map_err(|error| String::from_utf8(error.message()).unwrap())
}

/// What ACL LIST shows of a user.
fn shown(users: &Users, name: &str) -> String {
    String::from_utf8(users.get(name.as_bytes()).unwrap().describe()).unwrap()
}

/// Whether a user may run a line in a database.
fn may_in(users: &Users, name: &str, db: usize, line: &str) -> Result<(), Denial> {
    let args = words(line);
    let catalog = users.catalog();
    let sub = args.get(1).and_then(|sub| {
        let full = [args[0], b"|", sub].concat();
        catalog.find(&full)
    });
    let request = Request {
        catalog,
        command: sub.or(catalog.find(args[0])).unwrap(),
        args: &args,
        db,
        databases: 16,
    };
    let user = users.get(name.as_bytes()).unwrap();
    let checked = user.check(&request, &mut Vec::new());
    let plainly = user.plainly_may(catalog, request.command, &args);
    assert!(!plainly || checked.is_ok(), "{name}: {line}");
    checked
}

fn may(users: &Users, name: &str, line: &str) -> Result<(), Denial> {
    may_in(users, name, 0, line)
}
