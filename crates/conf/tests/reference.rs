//! The server's table against what Redis 3.0.7 answered, printed and wrote: `CONFIG GET *`, 400 `CONFIG SET`s, the fatal
//! messages, and rewritten files. Where Tern differs on purpose, the test says how.

use conf::load::{BadLine, cannot_open};
use conf::{Host, LoadError, Refusal, SERVER, ServerConfig};

/// `CONFIG GET *` of a server that was given only a port and a directory: name, value.
const GET: &str = include_str!("data/config-get.tsv");
/// One after the other: parameter, value, the reply of `CONFIG SET`, the parameter's value then.
const SET: &str = include_str!("data/config-set.tsv");
/// Configuration text and what the server printed about it; `\n` stands for a line end.
const ERRORS: &str = include_str!("data/errors.tsv");

/// A host whose files are all empty.
struct EmptyFiles;

impl Host for EmptyFiles {
    fn read(&mut self, _: &[u8]) -> Result<Vec<u8>, Refusal> {
        Ok(Vec::new())
    }
}

fn load(text: &str) -> ServerConfig {
    ServerConfig::load(text.as_bytes(), &mut EmptyFiles).expect("the text is good")
}

fn error(text: &[u8]) -> BadLine {
    match ServerConfig::load(text, &mut ()) {
        Err(LoadError::Line(line)) => line,
        other => panic!("{} gives {other:?}", String::from_utf8_lossy(text)),
    }
}

/// `CONFIG GET` of one parameter or pattern, as text.
fn get(config: &ServerConfig, pattern: &str) -> Vec<(&'static str, String)> {
    let text = |value: Vec<u8>| String::from_utf8(value).expect("values are text");
    SERVER
        .get(config, pattern.as_bytes())
        .map(|(name, value)| (name, text(value)))
        .collect()
}

#[test]
fn config_get_shows_all_in_order() {
    let expected: Vec<_> = GET
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .collect();
    let config = load("port 21401\ndir /tmp");
    let shown = get(&config, "*");
    assert_eq!(
        shown
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect::<Vec<_>>(),
        expected
    );
    assert_eq!(get(&config, "max*-*y").len(), 1);
    assert_eq!(get(&config, "PORT"), []);
    let default = get(&ServerConfig::default(), "save");
    assert_eq!(default, [("save", "3600 1 300 100 60 10000".to_owned())]);
}

#[test]
fn config_set_answers_as_recorded() {
    let mut config = load("port 21403\ndir /tmp\nmaxclients 100");
    for line in SET.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        let [name, value, reply, then] = fields[..] else {
            panic!("{line}")
        };
        let outcome = match SERVER.set(&mut config, name.as_bytes(), value.as_bytes()) {
            Ok(_) => "+OK".to_owned(),
            Err(error) => {
                assert_eq!(error.text(), error.to_string().into_bytes());
                format!("-ERR {error}")
            }
        };
        assert_eq!(outcome, reply, "CONFIG SET {name} '{value}'");
        let shown = get(&config, &name.to_lowercase());
        assert_eq!(
            shown.first().map_or("(none)", |(_, shown)| shown),
            then,
            "after CONFIG SET {name} '{value}'"
        );
    }
}

/// Redis puts these into a C `int` that they do not fit.
#[test]
fn config_set_refuses_what_would_be_cut() {
    let mut config = ServerConfig::default();
    for (name, value) in [
        ("timeout", "4294967296"),
        ("maxmemory-samples", "4294967297"),
        ("maxmemory", "9223372037g"),
    ] {
        assert!(
            SERVER
                .set(&mut config, name.as_bytes(), value.as_bytes())
                .is_err(),
            "{name}"
        );
    }
    assert_eq!(config, ServerConfig::default());
    assert!(
        SERVER
            .set(&mut config, b"masterauth", &[0; 20_000])
            .is_err(),
        "could not be read back"
    );
    // Redis checks sizes with their units and then ignores the units.
    SERVER
        .set(
            &mut config,
            b"client-output-buffer-limit",
            b"normal 1kb 2kb 3",
        )
        .unwrap();
    let shown = get(&config, "client-output-buffer-limit");
    assert!(shown[0].1.starts_with("normal 1024 2048 3 slave"));
}

#[test]
fn bad_lines_get_the_recorded_message() {
    for line in ERRORS.lines() {
        let (text, message) = line.split_once('\t').unwrap();
        let printed = error(text.replace("\\n", "\n").as_bytes()).to_string();
        assert_eq!(printed.replace('\n', "\\n"), message, "{text}");
    }
}

/// Values that Redis reads as zero or ignores.
#[test]
fn bad_values_are_refused() {
    let cases = [
        ("port abc", "Invalid port"),
        ("port 6379x", "Invalid port"),
        ("timeout 4294967296", "Invalid timeout value"),
        ("maxclients -1", "Invalid max clients limit"),
        ("maxmemory 10x", "argument must be a memory value"),
        ("maxmemory -1", "argument must be a memory value"),
        (
            "hash-max-ziplist-entries -1",
            "argument must be a memory value",
        ),
        (
            "slave-priority high",
            "argument couldn't be parsed into an integer",
        ),
        (
            "lua-time-limit 5s",
            "argument couldn't be parsed into an integer",
        ),
        ("unixsocketperm 9", "Invalid socket file permissions"),
        ("save 900", "Invalid save parameters"),
        (
            "save 900 1 300 10",
            "Bad directive or wrong number of arguments",
        ),
        ("slaveof localhost port", "Invalid master port"),
        (
            "client-output-buffer-limit normal 1x 0 0",
            "argument must be a memory value",
        ),
    ];
    for (text, reason) in cases {
        assert_eq!(error(text.as_bytes()).reason, reason, "{text}");
    }
    assert_eq!(
        error(b"requirepass a\0b").reason,
        "NUL byte in configuration line"
    );
    let long = error(&[b"requirepass ", &[b'x'; 70_000][..]].concat());
    assert_eq!(
        (&*long.reason, long.text.len()),
        ("Configuration line too long", 1024)
    );
}

#[test]
fn rewritten_files_are_the_recorded_ones() {
    macro_rules! case {
        ($name:literal) => {
            (
                $name,
                include_str!(concat!("data/rewrite/", $name, ".old.conf")),
                include_str!(concat!("data/rewrite/", $name, ".set.tsv")),
                include_str!(concat!("data/rewrite/", $name, ".new.conf")),
            )
        };
    }
    let cases = [
        case!("nothing"),
        case!("appended"),
        case!("in-place"),
        case!("orphans"),
        case!("signature"),
        case!("slaveof"),
        case!("unknown-lines"),
        case!("stock"),
    ];
    for (name, old, sets, new) in cases {
        let mut config = load(old);
        for line in sets.lines() {
            let (parameter, value) = line.split_once('\t').unwrap();
            let value = value.replace("\\n", "\n").replace("\\\\", "\\");
            SERVER
                .set(&mut config, parameter.as_bytes(), value.as_bytes())
                .unwrap();
        }
        config.dir = b"/tmp".to_vec();
        let rewritten = config.rewrite(old.as_bytes());
        assert_eq!(String::from_utf8(rewritten.clone()).unwrap(), new, "{name}");
        assert_eq!(
            ServerConfig::load(&rewritten, &mut EmptyFiles).unwrap(),
            config,
            "{name}: what is written is read back"
        );
    }
}

#[test]
fn last_one_wins_and_save_adds_up() {
    let config =
        load("HZ 20\nhz 30\nsave 1 2\nsave 3 4\nbind 127.0.0.1 ::1\nslaveof a 1\nslaveof no one\n");
    assert_eq!(
        (config.hz, config.save.len(), config.slaveof),
        (30, 2, None)
    );
    assert_eq!(config.bind, ["127.0.0.1", "::1"]);
    assert!(load("save 1 2\nsave \"\"\n").save.is_empty());
    assert_eq!(
        load("bind \"\" \"a b\"").rewrite(b"bind"),
        b"bind \"\" \"a b\"\n# Generated by CONFIG REWRITE\ndir \".\"\n"
    );
    assert_eq!(load("repl-backlog-ttl 1kb").repl_backlog_ttl, 1024);
    assert_eq!(load("hz -3\nrepl-backlog-size 1").hz, 1);
}

/// Files that include each other, and what hosts may say.
#[test]
fn includes_and_hosts() {
    struct Files;
    impl Host for Files {
        fn read(&mut self, path: &[u8]) -> Result<Vec<u8>, Refusal> {
            match path {
                b"good" => Ok(b"hz 33\ninclude nested\n".to_vec()),
                b"nested" => Ok(b"timeout 9".to_vec()),
                b"bad" => Ok(b"\nhz 33\n boo\n".to_vec()),
                b"endless" => Ok(b"include endless".to_vec()),
                other => Err(Refusal::Message(cannot_open(other))),
            }
        }
        fn accepted(&mut self, directive: &str, arguments: &[Vec<u8>]) -> Result<(), Refusal> {
            match directive {
                "logfile" => Err(Refusal::Reason(
                    "Can't open the log file: Is a directory".to_owned(),
                )),
                "rename-command" => Err(Refusal::Reason(format!("{} arguments", arguments.len()))),
                _ => Ok(()),
            }
        }
        fn unknown(&mut self, name: &[u8], _: &[Vec<u8>]) -> Option<Result<(), Refusal>> {
            (name == b"sentinel").then_some(Ok(()))
        }
    }
    let load = |text: &str| ServerConfig::load(text.as_bytes(), &mut Files);
    let config = load("hz 1\ninclude good\nSentinel monitor x\n").unwrap();
    assert_eq!((config.hz, config.timeout), (33, 9));
    let message = |text| load(text).unwrap_err().to_string();
    assert!(
        message("hz 1\ninclude bad")
            .ends_with("at line 3\n>>> 'boo'\nBad directive or wrong number of arguments")
    );
    assert!(
        message("include endless")
            .ends_with(">>> 'include endless'\nToo many files include each other")
    );
    assert_eq!(
        message("include missing"),
        "Fatal error, can't open config file 'missing'"
    );
    assert!(message("logfile /").ends_with("Can't open the log file: Is a directory"));
    assert!(message("rename-command a b").ends_with("2 arguments"));
}
