//! `docs/configuration.md` is written from the table. `UPDATE_DOCS=1 cargo test -p conf --test docs` writes it anew.

use std::fmt::Write as _;
use std::path::Path;

use conf::{Directive, ServerConfig};

const HEAD: &str = "\
# Configuration

Every directive that a configuration file, the command line (`tern-server --name value`) and `CONFIG SET` take. This page is
written from the table that the server itself uses; `CONFIG GET *` shows what is in force.

- A line of a file is a name and its values; values with blanks stand in quotes; `#` begins a comment.
- `include path` reads another file in its place; the path may be a pattern such as `conf.d/*.conf`, which may match nothing.
- Everything that is wrong with a file is told at once, each line with its number and, for an unknown name, the nearest known one.
- Memory may be written with a unit: `1k` is 1000 bytes, `1kb` is 1024, and so `m`, `mb`, `g`, `gb`.
- Names, ranges and defaults are those of Valkey 9.1. Old names, in brackets below, work everywhere; `CONFIG REWRITE` writes the new one.
- Files of Redis 2.8 to 8.0 and Valkey are taken as they are, with one exception: `loadmodule` is refused, since there is no module interface.
- *Since* is the release of Redis that brought it, under this name or an old one, or the other program that did.
- *Set* says whether `CONFIG SET` can change it: `yes`; `no`, at start only; `protected`, where `enable-protected-configs` allows it.

Defaults that are not those of Redis 3.0 any more: `save` is `3600 1 300 100 60 10000` also where a file is given (`save \"\"` for
none), `tcp-keepalive` is 300, `repl-diskless-sync` is `yes`, `repl-backlog-size` is 10 MB, `protected-mode` is `yes`.

## Directives

";

const UNUSED: &str = "
## Accepted without effect

These have nothing to act on here. They are accepted and checked, `CONFIG GET` shows them and `CONFIG REWRITE` keeps them; the
server's log names those that were given another value than their default.

";

fn row(text: &mut String, cells: &[String]) {
    let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

fn name(directive: &Directive) -> String {
    let alias = directive.other_name();
    let alias = alias
        .map(|alias| format!(" (`{alias}`)"))
        .unwrap_or_default();
    format!("`{}`{alias}", directive.name())
}

fn default(directive: &Directive) -> String {
    let value = directive.value(&ServerConfig::default());
    let value = String::from_utf8_lossy(&value).into_owned();
    if value.is_empty() {
        "none".to_owned()
    } else {
        format!("`{value}`")
    }
}

fn page() -> String {
    let mut text = HEAD.to_owned();
    let mut all: Vec<_> = conf::all().collect();
    all.sort_by_key(|directive| directive.name());
    let cells = |words: &[&str]| {
        words
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    row(
        &mut text,
        &cells(&["name", "default", "values", "set", "since", "what it does"]),
    );
    row(&mut text, &cells(&["---"; 6]));
    for known in all.iter().filter(|known| known.unused_because().is_none()) {
        let set = match known {
            known if !known.is_parameter() || known.is_fixed() => "no",
            known if known.is_protected() => "protected",
            _ => "yes",
        };
        let about = known.about();
        row(
            &mut text,
            &[
                name(known),
                default(known),
                known.values(),
                set.to_owned(),
                known.since().to_owned(),
                about,
            ],
        );
    }
    text.push_str(UNUSED);
    row(&mut text, &cells(&["name", "default", "since", "why"]));
    row(&mut text, &cells(&["---"; 4]));
    for known in &all {
        if let Some(why) = known.unused_because() {
            let since = known.since().to_owned();
            row(
                &mut text,
                &[name(known), default(known), since, why.to_owned()],
            );
        }
    }
    text
}

#[test]
fn the_page_is_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/configuration.md is not what the table says: run with UPDATE_DOCS=1"
    );
}
