//! COMMAND: what a sentinel tells of its commands. All of it is in their rows.

use commands::table::Categories;
use resp::glob;

use super::help;
use super::table::{COMMANDS, Row, find, find_whole};
use crate::io::Reply;

/// Runs a subcommand of COMMAND; an empty one describes all commands.
pub(super) fn command(sub: &str, args: &[Vec<u8>]) -> Reply {
    match sub {
        "" => Reply::Array(COMMANDS.iter().map(info).collect()),
        "count" => Reply::Integer(i64::try_from(COMMANDS.len()).unwrap_or(i64::MAX)),
        "list" => list(args),
        "info" if args.is_empty() => command("", args),
        "info" => Reply::Array(
            args.iter()
                .map(|name| named(name).map_or(Reply::Nil, info))
                .collect(),
        ),
        "docs" if args.is_empty() => Reply::Map(COMMANDS.iter().map(docs).collect()),
        "docs" => Reply::Map(
            args.iter()
                .filter_map(|name| named(name))
                .map(docs)
                .collect(),
        ),
        "getkeys" | "getkeysandflags" => keys(args),
        _ => help(
            "COMMAND",
            &[
                ("(no subcommand)", "Return details about all commands."),
                ("COUNT", "Return the number of commands."),
                (
                    "LIST [FILTERBY (ACLCAT <category>|PATTERN <pattern>|MODULE <name>)]",
                    "Return the names of all commands.",
                ),
                (
                    "INFO [<command-name> ...]",
                    "Return details about commands.",
                ),
                (
                    "DOCS [<command-name> ...]",
                    "Return the documentation of commands.",
                ),
                (
                    "GETKEYS <full-command>",
                    "Return the keys of a command line.",
                ),
                (
                    "GETKEYSANDFLAGS <full-command>",
                    "Return the keys of a command line and how they are used.",
                ),
            ],
        ),
    }
}

fn named(name: &[u8]) -> Option<&'static Row> {
    find_whole(std::str::from_utf8(name).ok()?)
}

fn words(words: impl Iterator<Item = &'static str>, before: &str) -> Vec<Reply> {
    words
        .map(|word| Reply::Status(format!("{before}{word}")))
        .collect()
}

/// A row as COMMAND INFO shows it. No command of a sentinel has keys.
fn info(row: &Row) -> Reply {
    let facts = &row.facts;
    Reply::Array(vec![
        Reply::bulk(facts.name),
        Reply::Integer(i64::from(facts.arity)),
        Reply::Set(words(facts.flags.words(), "")),
        Reply::Integer(0),
        Reply::Integer(0),
        Reply::Integer(0),
        Reply::Set(words(facts.categories.words(), "@")),
        Reply::Set(facts.tips.iter().map(Reply::bulk).collect()),
        Reply::Set(Vec::new()),
        Reply::Array(row.subs.iter().map(info).collect()),
    ])
}

/// A row's name and documentation.
fn docs(row: &Row) -> (Reply, Reply) {
    let facts = &row.facts;
    let mut fields = vec![
        (Reply::bulk("summary"), Reply::bulk(facts.summary)),
        (Reply::bulk("since"), Reply::bulk(facts.since)),
        (Reply::bulk("group"), Reply::bulk(facts.group.word())),
    ];
    if !row.subs.is_empty() {
        let subs = row.subs.iter().map(docs).collect();
        fields.push((Reply::bulk("subcommands"), Reply::Map(subs)));
    }
    (Reply::bulk(facts.name), Reply::Map(fields))
}

fn list(args: &[Vec<u8>]) -> Reply {
    let rows = COMMANDS
        .iter()
        .flat_map(|row| std::iter::once(row).chain(row.subs));
    let names = |wanted: &dyn Fn(&Row) -> bool| {
        let names = rows.clone().filter(|row| wanted(row));
        Reply::Array(names.map(|row| Reply::bulk(row.facts.name)).collect())
    };
    let is = |word: &[u8], name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    match args {
        [] => names(&|_| true),
        [by, kind, value] if is(by, "filterby") => {
            let text = String::from_utf8_lossy(value).to_ascii_lowercase();
            if is(kind, "aclcat") {
                let category = Categories::named(value).unwrap_or_default();
                names(&|row| row.facts.categories.has(category))
            } else if is(kind, "pattern") {
                names(&|row| glob::matches(text.as_bytes(), row.facts.name.as_bytes()))
            } else if is(kind, "module") {
                Reply::Array(Vec::new())
            } else {
                Reply::err("syntax error")
            }
        }
        _ => Reply::err("syntax error"),
    }
}

fn keys(args: &[Vec<u8>]) -> Reply {
    let name = args.first().map_or(&[][..], Vec::as_slice);
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    if find(&name).is_none() {
        return Reply::err("Invalid command specified");
    }
    Reply::err("The command has no key arguments")
}
