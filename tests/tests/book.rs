//! The book in `docs/`: every page is in its table of contents, every link leads somewhere, every directive that it names exists, every
//! alert has its instructions, and the commands of its first page do what it says.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tern_tests::daemon::{Client, PATIENCE, binary, free_port, run, trib, wait_for};
use tern_tests::root;

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The pages by their names, and README.md with the paths as seen from `docs/`.
fn pages() -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(root().join("docs")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| name.ends_with(".md"))
        .map(|name| {
            let text = read(root().join("docs").join(&name));
            (name, text)
        })
        .collect()
}

/// The text without code: blocks, and what stands in backquotes.
fn prose(text: &str) -> String {
    let outside: Vec<&str> = text.split("```").step_by(2).collect();
    let outside = outside.join("\n");
    outside.split('`').step_by(2).collect::<Vec<_>>().join("")
}

/// The targets of a page's links.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let targets = prose.split("](").skip(1);
    targets
        .map(|rest| rest.split(')').next().unwrap().to_owned())
        .collect()
}

/// The anchors of a page's headings, as mdBook and GitHub make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let outside: Vec<&str> = text.split("```").step_by(2).collect();
    let text = outside.join("\n");
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let kept = line.trim_start_matches('#').trim().to_lowercase();
            let kept = kept
                .chars()
                .filter(|one| one.is_alphanumeric() || " -_".contains(*one));
            kept.map(|one| if one == ' ' { '-' } else { one }).collect()
        })
        .collect()
}

#[test]
fn every_page_is_in_the_table_of_contents() {
    let pages = pages();
    let listed: BTreeSet<String> = links(&pages["SUMMARY.md"]).into_iter().collect();
    let there: BTreeSet<String> = pages
        .into_keys()
        .filter(|name| name != "SUMMARY.md")
        .collect();
    assert_eq!(listed, there);
}

#[test]
fn every_link_leads_somewhere() {
    let pages = pages();
    let mut wrong = Vec::new();
    for (name, text) in &pages {
        for link in links(text) {
            if link.contains("://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let path = if path.is_empty() { name } else { path };
            let leads = match pages.get(path) {
                Some(page) => anchor.is_empty() || anchors(page).contains(anchor),
                None => anchor.is_empty() && root().join("docs").join(path).exists(),
            };
            if !leads {
                wrong.push(format!("{name}: {link}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What looks like a directive and is something else: verbs and options of programs, names of files and of other things.
const NO_DIRECTIVES: [&str; 13] = [
    "add-node",
    "del-node",
    "redis-cli",
    "valkey-cli",
    "redis-server",
    "tern-server",
    "tern-local",
    "tern-sentinel",
    "read-only",
    "allkeys-lru",
    "allkeys-lfu",
    "volatile-ttl",
    "append-only",
];

#[test]
fn every_directive_that_a_guide_names_exists() {
    // Tables of all directives and lists of differences name what is not there, too.
    let guides = pages().into_iter().filter(|(name, _)| {
        ![
            "configuration.md",
            "differences.md",
            "suites.md",
            "commands.md",
            "performance.md",
        ]
        .contains(&name.as_str())
    });
    let mut wrong = BTreeSet::new();
    let mut seen = 0;
    for (page, text) in guides {
        let outside: Vec<&str> = text.split("```").step_by(2).collect();
        let outside = outside.join("\n");
        for quoted in outside.split('`').skip(1).step_by(2) {
            let word = quoted.split(' ').next().unwrap();
            let looks = word.contains('-')
                && word.starts_with(|first: char| first.is_ascii_lowercase())
                && word
                    .chars()
                    .all(|one| one.is_ascii_lowercase() || one == '-')
                && !word.ends_with('-');
            if looks && !NO_DIRECTIVES.contains(&word) {
                seen += 1;
                if conf::find(word.as_bytes()).is_none() {
                    wrong.insert(format!("{page}: {word}"));
                }
            }
        }
    }
    assert!(seen > 40, "only {seen} directives are named");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_alert_has_its_instructions() {
    let alerts = read(root().join("deploy/alerts.yaml"));
    let anchors = anchors(&pages()["metrics.md"]);
    let books: Vec<&str> = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("runbook: docs/metrics.md#"))
        .collect();
    let rules = alerts.matches("- alert: ").count();
    assert!(rules > 10 && books.len() == rules, "{rules} {books:?}");
    for book in books {
        assert!(anchors.contains(book), "no {book} among {anchors:?}");
    }
}

/// The lines of a page's blocks that a reader is to type.
fn typed(text: &str) -> Vec<String> {
    let blocks = text.split("```sh\n").skip(1);
    let lines = blocks.flat_map(|rest| rest.split("```").next().unwrap().lines());
    lines
        .map(|line| line.split("  #").next().unwrap().trim().to_owned())
        .collect()
}

/// The first of six free ports.
fn six_ports() -> u16 {
    loop {
        let first = free_port();
        if (1..6).all(|more| free_port() == first + more) {
            return first;
        }
    }
}

/// The cluster in this folder; it ends with the test.
struct Local(String);

impl Drop for Local {
    fn drop(&mut self) {
        let _ = trib(&["local", "down", "--dir", &self.0], "");
    }
}

#[test]
fn the_first_page_does_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let (alone, first, group) = (free_port(), six_ports(), six_ports());
    let here = dir.path().join("tern-local").display().to_string();
    let local = Local(here.clone());
    let there = dir.path().join("tern-sentinel").display().to_string();
    let sentinels = Local(there.clone());
    let ports = |word: &str| match word {
        "7777" => alone.to_string(),
        "7000" => first.to_string(),
        "7100" => group.to_string(),
        "tern-sentinel" => there.clone(),
        "127.0.0.1:7000" => format!("127.0.0.1:{first}"),
        other => other.to_owned(),
    };
    let port = first.to_string();
    let mut tried = BTreeSet::new();
    for line in typed(&pages()["five-minutes.md"]) {
        let words: Vec<String> = line.split(' ').map(ports).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match &words[..] {
            ["target/release/server", arguments @ ..] => {
                let mut child = std::process::Command::new(binary("server"))
                    .args(arguments)
                    .current_dir(dir.path())
                    .stdout(std::process::Stdio::null())
                    .spawn()
                    .unwrap();
                let mut client = wait_for(&line, PATIENCE, || Client::try_new(alone).ok());
                assert_eq!(client.text("SET greeting hello EX 60"), "OK", "{line}");
                assert!(client.text("XADD log * event started").contains('-'));
                let _ = run(Path::new("kill"), &["-TERM", &child.id().to_string()], "");
                assert!(child.wait().unwrap().success(), "{line}");
                tried.insert("server");
            }
            ["target/release/trib", "local", "up"] => {
                let up = trib(&["local", "up", "--port", &port, "--dir", &here], "");
                assert_eq!(up.code, Some(0), "{}", up.out);
                tried.insert("up");
            }
            ["target/release/trib", "local", "up", "--demo", _, "--watch"] => {
                let more = ["--demo", "1", "--watch", "--port", &port, "--dir", &here];
                let up = trib(&[&["local", "up"][..], &more].concat(), "");
                assert_eq!(up.code, Some(0), "{}", up.out);
                assert!(up.out.contains(" requests were answered."), "{}", up.out);
                tried.insert("demo");
            }
            ["target/release/trib", "local", arguments @ ..] => {
                let ran = trib(&[&["local"][..], arguments].concat(), "");
                assert_eq!(ran.code, Some(0), "{line}: {}", ran.out);
                tried.insert("group");
            }
            ["target/release/trib", verb, address] => {
                let more: &[&str] = match *verb {
                    "watch" => &["--text", "--count", "1"],
                    _ => &[],
                };
                let asked = trib(&[&[*verb, *address], more].concat(), "");
                assert_eq!(asked.code, Some(0), "{line}: {}", asked.out);
                tried.insert("verb");
            }
            ["cargo", "build", ..] | ["redis-cli", ..] => {}
            other => panic!("nobody tries {other:?}"),
        }
    }
    drop((local, sentinels));
    assert!(Client::try_new(first).is_err(), "it has ended");
    assert_eq!(tried.len(), 5, "{tried:?}");
}
