//! The command reference is written from the table: `UPDATE_DOCS=1 cargo test -p commands docs` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use commands::table::{COMMANDS, Command, Family};

/// The page.
fn page() -> String {
    let mut page = "\
# Commands

Written from the command table; `UPDATE_DOCS=1 cargo test -p commands docs` writes it anew.

*Arity* counts the words with the command's name; negative: at least so many. *Keys* are first position, last position (negative:
counted from the end) and step; *movable* ones depend on the arguments.
"
    .to_owned();
    for family in Family::ALL {
        write!(
            page,
            "\n## {}\n\n| command | arity | keys | flags | |\n|---|---|---|---|---|\n",
            family.title()
        )
        .unwrap();
        for command in COMMANDS.iter().filter(|command| command.family == family) {
            let flags: Vec<&str> = command
                .flags
                .words()
                .filter(|word| *word != "movablekeys")
                .collect();
            writeln!(
                page,
                "| {} | {} | {} | {} | {} |",
                command.name.to_ascii_uppercase(),
                command.arity,
                keys(command),
                flags.join(" "),
                command.summary,
            )
            .unwrap();
        }
    }
    page
}

fn keys(command: &Command) -> String {
    let mut parts = Vec::new();
    if command.first_key != 0 {
        parts.push(format!(
            "{}, {}, {}",
            command.first_key, command.last_key, command.key_step
        ));
    }
    if command.flags.words().any(|word| word == "movablekeys") {
        parts.push("movable".to_owned());
    }
    parts.join("; ")
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
fn every_command_is_in_a_family_and_has_a_summary() {
    let listed: usize = Family::ALL
        .iter()
        .map(|family| {
            COMMANDS
                .iter()
                .filter(|command| command.family == *family)
                .count()
        })
        .sum();
    assert_eq!(listed, COMMANDS.len());
    assert!(COMMANDS.iter().all(|command| !command.summary.is_empty()));
}
