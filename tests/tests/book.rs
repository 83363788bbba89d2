//! The book in `docs/`: every page is in its table of contents, every link leads somewhere, every directive that it names exists, every
//! alert has its instructions, its configurations are accepted, and its commands do what it says.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tern_tests::certificates::Authority;
use tern_tests::cluster::Cluster;
use tern_tests::daemon::{
    Client, Daemon, PATIENCE, Run, binary, free_port, in_path, run, trib, wait_for, wait_until,
};
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
const NO_DIRECTIVES: [&str; 16] = [
    "add-node",
    "del-node",
    "redis-cli",
    "valkey-cli",
    "redis-server",
    "tern-server",
    "tern-local",
    "tern-sentinel",
    "tern-trib",
    "read-only",
    "on-empty-db",
    "flush-before-load",
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

/// The lines of a page's blocks of this language, without what is said of them.
fn lines(text: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    let blocks = text.split(&begin).skip(1);
    let lines = blocks.flat_map(|rest| rest.split("```").next().unwrap().lines());
    lines
        .map(|line| line.split("  #").next().unwrap().trim().to_owned())
        .filter(|line| !line.starts_with('#'))
        .collect()
}

/// The lines of a page's blocks that a reader is to type.
fn typed(text: &str) -> Vec<String> {
    lines(text, "sh")
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

/// The words of a line, with these ones put in the place of others.
fn words(line: &str, instead: &[(&str, &str)]) -> Vec<String> {
    let words = line.split(' ').filter(|word| !word.is_empty());
    words
        .map(|word| {
            let found = instead.iter().find(|(from, _)| *from == word);
            found
                .map_or(word, |(_, to)| to)
                .trim_matches('\'')
                .to_owned()
        })
        .collect()
}

/// Runs a line of the book, whose first word is `trib` or `server`; it ends well.
fn runs(line: &str, instead: &[(&str, &str)], answer: &str) -> Run {
    let words = words(line, instead);
    let arguments: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    let ran = run(&binary(&words[0]), &arguments, answer);
    assert_eq!(ran.code, Some(0), "{line}: {}", ran.out);
    ran
}

#[test]
fn every_configuration_is_accepted() {
    let mut seen = BTreeSet::new();
    for (page, text) in pages() {
        let lines = lines(&text, "conf");
        // Where a server keeps its data, and the sentinel's statements, are for their own tests.
        let own = lines
            .iter()
            .filter(|line| !line.starts_with("dir ") && !line.starts_with("sentinel "));
        let config: String = own.map(|line| format!("{line}\n")).collect();
        if !config.is_empty() {
            let loaded = conf::ServerConfig::load(config.as_bytes(), &mut ());
            assert!(loaded.is_ok(), "{page}: {loaded:?}");
            seen.insert(page);
        }
    }
    assert!(seen.len() >= 7, "{seen:?}");
}

#[test]
fn the_users_of_the_guide_may_do_what_they_are_for() {
    let lines = lines(&pages()["security.md"], "redis");
    let dir = tempfile::tempdir().unwrap();
    // A connection for each question: a sentinel closes those of clients when it changes what a server is.
    let ask = |server: &Daemon, line: &str| {
        let mut client = server.client();
        assert_eq!(client.text("AUTH admin first"), "OK");
        client.text(line)
    };
    let server = |more: &str| {
        let file = dir.path().join(format!("{}.acl", free_port()));
        std::fs::write(&file, "user admin on >first ~* &* +@all\n").unwrap();
        let server = Daemon::server(&format!("aclfile {}\n{more}", file.display()));
        for line in &lines {
            assert_eq!(ask(&server, line), "OK", "{line}");
        }
        server
    };
    let master = server("repl-diskless-sync-delay 0");
    assert_eq!(ask(&master, "SET app:1 x"), "OK");
    let follow = format!(
        "masteruser replicator\nmasterauth a-third\nreplicaof 127.0.0.1 {}",
        master.port
    );
    let replica = server(&follow);
    wait_until("the replica has the key", || {
        ask(&replica, "GET app:1") == "x"
    });
    let into = dir.path().join("backup").display().to_string();
    let login = |user, password, verb: &str, server: &Daemon| {
        let address = server.address();
        let arguments = [verb, "--user", user, "-a", password, &into, &address];
        let ran = trib(&arguments, "");
        assert_eq!(ran.code, Some(0), "{}", ran.out);
    };
    login("backup", "a-fifth", "backup", &master);
    let fresh = server("");
    login("restore", "a-sixth", "restore", &fresh);
    assert_eq!(ask(&fresh, "GET app:1"), "x");
    let watch = format!(
        "sentinel monitor mm 127.0.0.1 {} 1\nsentinel auth-user mm sentinel\nsentinel auth-pass mm a-fourth",
        master.port
    );
    let sentinel = Daemon::sentinel(&watch);
    wait_until("the sentinel knows the replica", || {
        sentinel
            .text("SENTINEL REPLICAS mm")
            .contains("flags\nslave")
    });
    wait_until("the sentinel knows enough of the replica", || {
        sentinel.text("SENTINEL FAILOVER mm") == "OK"
    });
    wait_until("the replica is promoted", || {
        ask(&replica, "ROLE").starts_with("master")
    });
    for server in [master, replica, fresh] {
        let refused = ask(&server, "ACL LOG");
        assert!(!refused.contains("reason\ncommand"), "{refused}");
    }
}

#[test]
fn the_commands_for_files_and_backups_work() {
    let source = Daemon::server("appendonly yes\nrepl-diskless-sync-delay 0");
    assert_eq!(source.text("SET a 1"), "OK");
    assert_eq!(source.text("SAVE"), "OK");
    let target = Daemon::server("");
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| source.dir().join(name).display().to_string();
    let (dump, manifest) = (
        file("dump.rdb"),
        file("appendonlydir/appendonly.aof.manifest"),
    );
    let backup = dir.path().join("backup").display().to_string();
    let instead = [
        ("dump.rdb", dump.as_str()),
        ("appendonlydir/appendonly.aof.manifest", &manifest),
        ("/backups/2026-11-29", &backup),
        ("10.0.0.1:6379", &source.address()),
        ("10.0.1.1:6379", &target.address()),
    ];
    let typed = typed(&pages()["persistence.md"]);
    assert!(typed.len() > 5, "{typed:?}");
    for line in typed {
        runs(&line, &instead, "y\n");
    }
    assert_eq!(target.text("GET a"), "1");
}

#[test]
fn the_command_for_a_cluster_makes_one() {
    let typed = typed(&pages()["cluster.md"]);
    let cluster = Cluster::new(6);
    let addresses: Vec<String> = cluster.nodes.iter().map(Daemon::address).collect();
    let names: Vec<String> = (1..7).map(|node| format!("10.0.0.{node}:6379")).collect();
    let names = names.iter().map(String::as_str);
    let instead: Vec<(&str, &str)> = names.zip(addresses.iter().map(String::as_str)).collect();
    assert_eq!(typed.len(), 1, "{typed:?}");
    runs(&typed[0], &instead, "yes\n");
    cluster.wait_ok();
}

/// Runs commands of tls.md on a node with these directives and files.
fn run_over_tls(commands: impl Iterator<Item = String>, directives: &str, files: [&str; 3]) {
    let port = free_port();
    let node = Daemon::server(&format!(
        "cluster-enabled yes\ntls-port {port}\n{directives}"
    ));
    assert_eq!(node.text("CLUSTER ADDSLOTSRANGE 0 16383"), "OK");
    wait_until("the node serves", || {
        node.text("CLUSTER INFO").contains("cluster_state:ok")
    });
    let address = format!("127.0.0.1:{port}");
    let [ca, cert, key] = files;
    let instead = [
        ("ca.crt", ca),
        ("client.crt", cert),
        ("client.key", key),
        ("127.0.0.1:6379", &address),
    ];
    for line in commands {
        runs(&line, &instead, "");
    }
}

#[test]
fn the_command_over_tls_checks_a_cluster() {
    let authority = Authority::new();
    let file = |name| authority.path(name).display().to_string();
    let (ca, cert, key) = (file("ca.crt"), file("client.crt"), file("client.key"));
    let typed = typed(&pages()["tls.md"]).into_iter();
    let tools = typed.filter(|line| line.starts_with("trib "));
    run_over_tls(tools, &authority.directives(), [&ca, &cert, &key]);
}

#[test]
fn the_certificate_for_a_trial_serves_for_all_ends() {
    if !in_path("openssl") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (commands, tools): (Vec<String>, Vec<String>) = typed(&pages()["tls.md"])
        .into_iter()
        .partition(|line| !line.starts_with("trib "));
    assert_eq!(commands.len(), 2, "{commands:?}");
    for line in commands {
        let words = words(&line, &[]);
        let mut command = std::process::Command::new(&words[0]);
        let ran = command.args(&words[1..]).current_dir(&dir).output();
        assert!(ran.unwrap().status.success(), "{line}");
    }
    let file = |name| dir.path().join(name).display().to_string();
    let (ca, cert, key) = (file("ca.crt"), file("server.crt"), file("server.key"));
    let directives = format!("tls-cert-file {cert}\ntls-key-file {key}\ntls-ca-cert-file {ca}");
    run_over_tls(tools.into_iter(), &directives, [&ca, &cert, &key]);
}

#[test]
fn the_sentinels_of_the_guide_answer() {
    let page = &pages()["sentinel.md"];
    let master = Daemon::server("");
    let mut admin = master.client();
    assert_eq!(admin.text("CONFIG SET requirepass choose-a-long-one"), "OK");
    let statements = lines(page, "conf").into_iter();
    let statements = statements.filter(|line| line.starts_with("sentinel "));
    let address = format!("127.0.0.1 {}", master.port);
    let config: String = statements
        .map(|line| line.replace("10.0.0.1 6379", &address) + "\n")
        .collect();
    let sentinels: Vec<Daemon> = (0..3).map(|_| Daemon::sentinel(&config)).collect();
    let usable = || {
        let reply = sentinels[0].text("SENTINEL CKQUORUM mymaster");
        reply.starts_with("OK 3 usable Sentinels")
    };
    wait_until("the sentinels know each other", usable);
    let typed = typed(page);
    assert!(typed.len() > 4, "{typed:?}");
    for line in typed {
        let words = words(&line, &[]);
        assert_eq!(&words[..3], ["redis-cli", "-p", "26379"], "{line}");
        let words: Vec<&[u8]> = words[3..].iter().map(String::as_bytes).collect();
        let reply = sentinels[0].client().call_words(&words);
        assert!(reply.as_error().is_none(), "{line}: {reply:?}");
    }
}
