//! The rows of the commands against what Valkey 9.1 answers to COMMAND, and the command reference that is written from them:
//! `UPDATE_DOCS=1 cargo test -p engine rows` writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use commands::Facts;
use commands::table::{Begin, Find, Group, KeySpec, parse_arguments, syntax};

use crate::harness::Server;

/// Recorded: name, arity, flags, first key, last key, step, categories, tips, key specifications, since, group.
const RECORDED: &str = include_str!("../data/commands-valkey-9.1.tsv");

fn recorded() -> BTreeMap<&'static str, Vec<&'static str>> {
    let lines = RECORDED.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            (fields[0], fields)
        })
        .collect()
}

fn set<'a>(words: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

fn spec(spec: &KeySpec) -> (BTreeSet<String>, String) {
    let begin = match spec.begin {
        Begin::Unknown => "unknown".to_owned(),
        Begin::Index(at) => format!("index {at}"),
        Begin::Keyword(word, from) => format!("keyword {word} {from}"),
    };
    let find = match spec.find {
        Find::Unknown => "unknown".to_owned(),
        Find::Range { last, step, limit } => format!("range {last} {step} {limit}"),
        Find::KeyNum { at, first, step } => format!("keynum {at} {first} {step}"),
    };
    (set(spec.flags.words()), format!("{begin}; {find}"))
}

#[test]
fn rows_say_what_valkey_says() {
    let mut recorded = recorded();
    for facts in engine::command_facts() {
        let name = facts.name;
        let Some(fields) = recorded.remove(name) else {
            continue;
        };
        assert_eq!(facts.arity.to_string(), fields[1], "{name}");
        assert_eq!(
            set(facts.flags.words()),
            set(fields[2].split(' ')),
            "{name}"
        );
        let (first, last, step) = facts.positions();
        assert_eq!(
            [first, last, step].map(|at| at.to_string()),
            fields[3..6],
            "{name}"
        );
        let categories: Vec<String> = facts
            .categories
            .words()
            .map(|word| format!("@{word}"))
            .collect();
        assert_eq!(
            set(categories.iter().map(String::as_str)),
            set(fields[6].split(' ')),
            "{name}"
        );
        assert_eq!(
            set(facts.tips.iter().copied()),
            set(fields[7].split(" | ")),
            "{name}"
        );
        let specs: Vec<(BTreeSet<String>, String)> = facts.keys.iter().map(spec).collect();
        let theirs = fields[8]
            .split(" || ")
            .filter(|text| !text.is_empty())
            .map(|text| {
                let (flags, rest) = text.split_once("; ").unwrap();
                (set(flags.split(' ')), rest.to_owned())
            });
        assert_eq!(specs, theirs.collect::<Vec<_>>(), "{name}");
        assert_eq!(facts.since, fields[9], "{name}");
        if !name.contains('|') {
            assert_eq!(
                facts.group.word().replace('-', "_"),
                fields[10].replace('-', "_"),
                "{name}"
            );
        }
    }
    assert!(recorded.is_empty(), "without a row: {:?}", recorded.keys());
}

#[test]
fn every_row_is_described() {
    for facts in engine::command_facts() {
        assert!(!facts.summary.is_empty(), "{}", facts.name);
        let arguments = parse_arguments(facts.arguments);
        assert!(arguments.is_some(), "{}: {}", facts.name, facts.arguments);
    }
}

/// The page.
fn page() -> String {
    let mut page = "\
# Commands

Written from the command table; `UPDATE_DOCS=1 cargo test -p engine rows` writes it anew.

*Since* is the version of Redis or Valkey that brought the command. `[…]` may be left out, `<… | …>` is a choice, `…` may be repeated.
"
    .to_owned();
    for group in Group::ALL {
        let facts: Vec<&Facts> = engine::command_facts()
            .filter(|facts| facts.group == group)
            .collect();
        if facts.is_empty() {
            continue;
        }
        write!(
            page,
            "\n## {}\n\n| command | | since | ACL categories |\n|---|---|---|---|\n",
            group.title()
        )
        .unwrap();
        for facts in facts
            .into_iter()
            .filter(|facts| facts.short_name() != "help")
        {
            let arguments =
                syntax(&parse_arguments(facts.arguments).unwrap_or_default()).replace('|', "\\|");
            let name = facts.name.replace('|', " ").to_ascii_uppercase();
            let line = format!("{name} {arguments}");
            let categories: Vec<&str> = facts.categories.words().collect();
            let categories = categories.join(" ");
            writeln!(
                page,
                "| `{}` | {} | {} | {categories} |",
                line.trim_end(),
                facts.summary,
                facts.since
            )
            .unwrap();
        }
    }
    page
}

#[test]
fn the_command_reference_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/commands.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page(),
        "docs/commands.md is not what the table says: run with UPDATE_DOCS=1"
    );
}

#[test]
fn documentation_tells_how_the_time_of_a_command_grows() {
    let mut server = Server::new();
    let a = server.a;
    let mut docs = |name: &str| server.run(a, &["COMMAND", "DOCS", name]);
    let text = docs("get");
    let fields =
        "$5\r\ngroup\r\n$6\r\nstring\r\n$10\r\ncomplexity\r\n$4\r\nO(1)\r\n$9\r\narguments\r\n";
    assert!(text.contains(fields), "{text}");
    // What depends on something else is not told.
    let text = docs("eval");
    assert!(!text.contains("complexity"), "{text}");
}
