//! The table against what Valkey 9.1 answered, printed and wrote: `CONFIG GET *`, some thousand `CONFIG SET`s, the fatal
//! messages; and against the files that distributions install. Where Tern differs on purpose, the test says how.

use std::collections::BTreeMap;

use conf::load::{BadLine, cannot_open};
use conf::{Host, LoadError, Refusal, Rights, ServerConfig, SetError};

/// `CONFIG GET *` of a server that was given a port, a directory and no save points: name, value.
const GET: &str = include_str!("data/config-get.tsv");
/// One after the other: parameter, value, the reply of `CONFIG SET`, the parameter's value then.
const SET: &str = include_str!("data/config-set.tsv");
/// Configuration text and what the server printed about it; `\n` stands for a line end.
const ERRORS: &str = include_str!("data/errors.tsv");

const ALL: Rights = Rights {
    protected: true,
    loading: false,
};

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

fn errors(text: &[u8]) -> Vec<BadLine> {
    match ServerConfig::load(text, &mut ()) {
        Err(LoadError::Lines(lines)) => lines.0,
        other => panic!("{} gives {other:?}", String::from_utf8_lossy(text)),
    }
}

fn error(text: &[u8]) -> BadLine {
    errors(text).remove(0)
}

/// `CONFIG GET` of one parameter or pattern, as text.
fn get(config: &ServerConfig, pattern: &str) -> BTreeMap<&'static str, String> {
    let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
    let found = config.get(&[pattern.as_bytes()]);
    found
        .into_iter()
        .map(|(name, (_, value))| (name, text(value)))
        .collect()
}

fn set(config: &mut ServerConfig, pairs: &[(&str, &str)]) -> Result<Vec<&'static str>, SetError> {
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .collect();
    let changed = config.set(&pairs, ALL)?;
    Ok(changed.iter().map(|directive| directive.name()).collect())
}

/// The one default that is not that of 9.1.
const OUR_DEFAULT: (&str, &str, &str) = ("enable-debug-command", "no", "local");

#[test]
fn config_get_shows_all_by_name() {
    let expected: BTreeMap<_, _> = GET
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .collect();
    let config = load("port 7931\ndir /tmp\nsave \"\"");
    let shown = get(&config, "*");
    for (name, value) in &expected {
        let (our_name, theirs, ours) = OUR_DEFAULT;
        let value = if (*name, *value) == (our_name, theirs) {
            ours
        } else {
            value
        };
        assert_eq!(shown.get(name).map(String::as_str), Some(value), "{name}");
    }
    let ours: Vec<_> = shown
        .keys()
        .filter(|name| !expected.contains_key(*name))
        .collect();
    let ours: Vec<String> = ours.into_iter().map(ToString::to_string).collect();
    assert_eq!(
        ours,
        [
            "admin-bind",
            "admin-port",
            "audit-log",
            "cluster-seeds",
            "metrics-bind",
            "metrics-port",
            "metrics-token"
        ],
        "only what is ours is not theirs"
    );
    assert_eq!(get(&config, "MAX*-*y").len(), 2);
    assert_eq!(get(&config, "PORT").len(), 1);
    assert!(get(&config, "watchdog-p*").is_empty());
    assert_eq!(get(&config, "watchdog-period").len(), 1);
    let both = config.get(&[b"slave-priority", b"replica-p*", b"rename-command"]);
    assert_eq!(both.len(), 2);
    let typed = config.get(&[b"Hz", b"TIME*"]).into_values();
    let typed: Vec<_> = typed.map(|(name, _)| name).collect();
    assert_eq!(typed, [&b"Hz"[..], b"timeout"], "as it was typed");
    let default = get(&ServerConfig::default(), "save");
    assert_eq!(default["save"], "3600 1 300 100 60 10000");
}

#[test]
fn config_set_answers_as_recorded() {
    let mut config = load("port 21403\ndir /tmp");
    let mut name_before = "";
    let mut wrong = Vec::new();
    for line in SET.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        let [name, value, reply, then] = fields[..] else {
            panic!("{line}")
        };
        if name != name_before {
            config = load("port 21403\ndir /tmp\nsave \"\"");
            name_before = name;
        }
        if name == OUR_DEFAULT.0 {
            continue;
        }
        let outcome = match set(&mut config, &[(name, value)]) {
            Ok(_) => "+OK".to_owned(),
            Err(error) => format!("-ERR {error}"),
        };
        let shown = get(&config, name);
        let shown = shown.get(name).map_or("(none)", String::as_str);
        if outcome != reply || shown != then.replace("valkey", "tern") {
            wrong.push(format!(
                "CONFIG SET {name} '{value}'\n  gives {outcome}\n    not {reply}\n  shows {shown}\n    not {then}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn our_own_fixed_directives_may_be_set_to_what_they_are() {
    let mut config = ServerConfig::default();
    assert!(
        set(&mut config, &[("admin-port", "0"), ("metrics-token", "")])
            .unwrap()
            .is_empty()
    );
    let immutable = "CONFIG SET failed (possibly related to argument 'admin-port') - can't set immutable config";
    let other = set(&mut config, &[("admin-port", "1")]).unwrap_err();
    assert_eq!(other.to_string(), immutable);
}

#[test]
fn config_set_is_all_or_nothing() {
    let mut config = ServerConfig::default();
    let before = config.clone();
    let refused = |config: &mut ServerConfig, pairs: &[(&str, &str)]| {
        let refused = set(config, pairs).unwrap_err().to_string();
        assert_eq!(*config, before, "{pairs:?}");
        refused
    };
    assert_eq!(
        refused(&mut config, &[("timeout", "5"), ("hz", "abc")]),
        "CONFIG SET failed (possibly related to argument 'hz') - argument couldn't be parsed into an integer"
    );
    assert_eq!(
        refused(
            &mut config,
            &[("timeout", "5"), ("nope", "1"), ("port", "x")]
        ),
        "Unknown option or number of arguments for CONFIG SET - 'nope'"
    );
    assert_eq!(
        refused(
            &mut config,
            &[("slave-priority", "5"), ("replica-priority", "6")]
        ),
        "CONFIG SET failed (possibly related to argument 'replica-priority') - duplicate parameter"
    );
    assert_eq!(
        refused(&mut config, &[("rename-command", "a b")]),
        "Unknown option or number of arguments for CONFIG SET - 'rename-command'"
    );
    let common = Rights {
        protected: false,
        loading: false,
    };
    assert_eq!(
        config
            .set(&[(b"DIR", b"/")], common)
            .unwrap_err()
            .to_string(),
        "CONFIG SET failed (possibly related to argument 'DIR') - can't set protected config"
    );
    let loading = Rights {
        protected: true,
        loading: true,
    };
    assert_eq!(
        config.set(&[(b"appendonly", b"yes")], loading).unwrap_err(),
        SetError::Loading
    );
    assert_eq!(
        set(
            &mut config,
            &[
                ("timeout", "5"),
                ("hz", "10"),
                ("Slave-Priority", "7"),
                ("lfu-decay-time", "2")
            ]
        )
        .unwrap(),
        ["timeout", "replica-priority", "lfu-decay-time"]
    );
    assert!(
        config.set(&[(b"masterauth", &[0; 20_000])], ALL).is_err(),
        "could not be read back"
    );
}

/// What the recorded server would take, and cannot hold.
#[test]
fn values_that_would_be_cut_are_refused() {
    let mut config = ServerConfig::default();
    for (name, value) in [
        ("maxmemory", "18446744073709551616"),
        ("maxmemory", "17179869184gb"),
        ("repl-backlog-size", "9223372036854775808"),
        ("maxclients", "4294967296"),
    ] {
        assert!(set(&mut config, &[(name, value)]).is_err(), "{name}");
    }
    assert_eq!(config, ServerConfig::default());
}

#[test]
fn bad_lines_get_the_recorded_message() {
    for line in ERRORS.lines() {
        let (text, message) = line.split_once('\t').unwrap();
        let printed = ServerConfig::load(text.replace("\\n", "\n").as_bytes(), &mut ())
            .unwrap_err()
            .to_string();
        assert_eq!(printed.replace('\n', "\\n"), message, "{text}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once_with_the_nearest_name() {
    let bad = errors(b"maxmemroy 1gb\nhz 10\nport x\nslave-read-onyl yes\nquite-another-thing 1\nloadmodule /x.so\n");
    let told: Vec<_> = bad
        .iter()
        .map(|line| (line.number, &*line.reason))
        .collect();
    assert_eq!(
        told,
        [
            (
                1,
                "Bad directive or wrong number of arguments. Is 'maxmemory' meant?"
            ),
            (3, "argument couldn't be parsed into an integer"),
            (
                4,
                "Bad directive or wrong number of arguments. Is 'slave-read-only' meant?"
            ),
            (5, "Bad directive or wrong number of arguments"),
            (
                6,
                "There is no module interface: loadmodule cannot be followed. Remove the line, or keep that server."
            ),
        ]
    );
    let message = ServerConfig::load(b"boo\nbar", &mut ())
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        "*** FATAL CONFIG FILE ERROR (Version 0.1.0) ***\n\
         Reading the configuration file, at line 1\n>>> 'boo'\nBad directive or wrong number of arguments\n\
         Reading the configuration file, at line 2\n>>> 'bar'\nBad directive or wrong number of arguments"
    );
    let both = error(b"replicaof a 1\ncluster-enabled yes");
    assert_eq!(
        (both.number, &*both.reason),
        (1, "replicaof directive not allowed in cluster mode")
    );
    assert_eq!(errors(&b"boo\n".repeat(500)).len(), 100);
}

#[test]
fn bad_bytes_and_long_lines_are_refused() {
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

/// The files that Debian installs, comments left out; and what of them has no effect here.
#[test]
fn installed_files_are_taken_as_they_are() {
    let files = [
        include_str!("data/debian-redis-7.0.conf"),
        include_str!("data/debian-redis-8.0.conf"),
        include_str!("data/debian-valkey-9.1.conf"),
    ];
    let lazy = [
        "lazyfree-lazy-user-del",
        "lazyfree-lazy-user-flush",
        "replica-lazy-flush",
    ];
    for (file, without_effect) in files.into_iter().zip([&lazy[..], &lazy, &[]]) {
        let config = load(file);
        assert!(config.daemonize && config.protected_mode);
        assert_eq!(config.bind, ["127.0.0.1", "-::1"]);
        assert_eq!(config.unused.names().collect::<Vec<_>>(), without_effect);
        let rewritten = config.rewrite(file.as_bytes());
        assert_eq!(ServerConfig::load(&rewritten, &mut EmptyFiles), Ok(config));
    }
}

#[test]
fn names_are_unique_and_every_default_is_a_value() {
    let mut names: Vec<_> = conf::all()
        .flat_map(|directive| directive.names())
        .collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    let default = ServerConfig::default();
    for known in conf::all().filter(|known| known.is_parameter() && known.name() != "replicaof") {
        let mut config = default.clone();
        let value = known.value(&default);
        let words = if value.is_empty() {
            vec![Vec::new()]
        } else {
            vec![value]
        };
        known
            .load(&mut config, &words)
            .unwrap_or_else(|reason| panic!("{}: {reason}", known.name()));
        if known.name() != "save" {
            assert_eq!(config, default, "{}", known.name());
        }
        assert!(
            known.unused_because().is_some() || !known.about().is_empty(),
            "{}",
            known.name()
        );
    }
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
            set(&mut config, &[(parameter, &value)]).unwrap();
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
    assert!(load("save 1 2\nsave \n").save.is_empty());
    assert_eq!(
        load("bind \"\" \"a b\"").rewrite(b"bind"),
        b"bind \"\" \"a b\"\n# Generated by CONFIG REWRITE\ndir \".\"\n"
    );
    assert_eq!(load("hz 0\nrepl-backlog-size 1").hz, 1);
    assert_eq!(load("bind \"\"").bind, [""; 0]);
    assert_eq!(load("save \"900 1 300 10\"").save.len(), 2);
    assert_eq!(
        load("hz 20").save.len(),
        3,
        "the default stays without a save line"
    );
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
        fn expand(&mut self, pattern: &[u8]) -> Vec<Vec<u8>> {
            match pattern {
                b"n*" => vec![b"good".to_vec(), b"nested".to_vec()],
                _ => Vec::new(),
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
    let config = load("include n*\ninclude x*").unwrap();
    assert_eq!((config.hz, config.timeout), (33, 9));
    assert!(
        message("hz 1\ninclude bad")
            .ends_with("at line 3 of bad\n>>> 'boo'\nBad directive or wrong number of arguments")
    );
    assert!(
        message("include endless")
            .ends_with(">>> 'include endless'\nToo many files include each other")
    );
    assert_eq!(
        message("include missing"),
        "Fatal error, can't open config file 'missing'"
    );
    let both = message("hzz 1\ninclude missing\nhz x");
    for (line, reason) in [
        (1, "Is 'hz' meant?"),
        (2, "Fatal error, can't open config file 'missing'"),
        (3, ""),
    ] {
        assert!(both.contains(&format!("at line {line}\n")), "{both}");
        assert!(both.contains(reason), "{both}");
    }
    assert!(message("logfile /").ends_with("Can't open the log file: Is a directory"));
    assert!(message("rename-command a b").ends_with("2 arguments"));
}
