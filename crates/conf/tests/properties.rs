//! What holds for any configuration text and any values.

use conf::{Host, Invocation, LoadError, Refusal, Rights, ServerConfig};
use proptest::prelude::*;

/// Names of all directives.
fn names() -> Vec<&'static str> {
    conf::all()
        .flat_map(|directive| directive.names())
        .filter(|name| *name != "loadmodule")
        .collect()
}

/// Lines that are nearly right.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        "[0-9]{1,6}(k|kb|mb)?",
        "(yes|no|always|debug|normal|allkeys-lru|user|KEA)",
        "\"[a-z\\\\x\"]{0,8}\"?",
        any::<Vec<u8>>().prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
    ];
    let line = (
        prop::sample::select(names()),
        prop::collection::vec(value, 0..5),
    )
        .prop_map(|(name, values)| format!("{name} {}\n", values.join(" ")).into_bytes());
    prop::collection::vec(line, 0..8).prop_map(|lines| lines.concat())
}

/// `CONFIG SET`s of which many succeed.
fn changes() -> impl Strategy<Value = Vec<(&'static str, Vec<u8>)>> {
    let words = vec![
        "yes",
        "no",
        "debug",
        "volatile-ttl",
        "always",
        "900 1 60 5",
        "slave 1024 5 6",
        "KA",
        "",
        "gx",
    ];
    let value = prop_oneof![
        "[0-9]{1,7}".prop_map(String::into_bytes),
        prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec()),
        prop::collection::vec(1u8.., 1..10),
    ];
    prop::collection::vec((prop::sample::select(names()), value), 0..40)
}

struct NoFiles;

impl Host for NoFiles {
    fn read(&mut self, _: &[u8]) -> Result<Vec<u8>, Refusal> {
        Err(Refusal::Reason("no files".to_owned()))
    }
}

/// It would be written as a line that cannot be read.
#[test]
fn an_address_has_no_quotes() {
    let mut config = ServerConfig::default();
    let rights = Rights {
        protected: true,
        loading: false,
    };
    for name in ["bind", "rdma-bind"] {
        assert!(config.set(&[(name.as_bytes(), b"'")], rights).is_err());
    }
    assert_eq!(config, ServerConfig::default());
}

proptest! {
    /// Loading gives a configuration or an error with a line of the text, for any bytes.
    #[test]
    fn loading_is_total(text in prop_oneof![any::<Vec<u8>>(), lines()]) {
        if let Err(LoadError::Lines(bad)) = ServerConfig::load(&text, &mut NoFiles) {
            let lines = text.split(|byte| *byte == b'\n').count();
            prop_assert!(!bad.0.is_empty());
            for line in bad.0 {
                prop_assert!((1..=lines).contains(&line.number));
                prop_assert!(!line.reason.is_empty());
            }
        }
    }

    /// A rewritten file is read back as the configuration it was written from, and comes to rest: output buffer limits
    /// take each other's lines for up to three rounds, as in Redis.
    #[test]
    fn what_rewrite_writes_is_read_back(old in lines(), changes in changes()) {
        let loaded = ServerConfig::load(&old, &mut NoFiles);
        // A text with a bad line may still be there when the server runs; it is not read back, but rewritten.
        let readable = loaded.is_ok();
        let mut config = loaded.unwrap_or_default();
        for (name, value) in changes {
            let before = config.clone();
            let rights = Rights { protected: true, loading: false };
            if config.set(&[(name.as_bytes(), &value)], rights).is_err() {
                prop_assert_eq!(&config, &before);
            }
        }
        let rewritten = config.rewrite(&old);
        if readable && !rewritten.contains(&0) {
            // Users are for the access control to write; here their lines stay as they are.
            let read = ServerConfig::load(&rewritten, &mut NoFiles);
            prop_assert_eq!(read.as_ref(), Ok(&config), "{}", String::from_utf8_lossy(&rewritten));
        }
        let third = (0..2).fold(rewritten, |text, _| config.rewrite(&text));
        prop_assert_eq!(config.rewrite(&third), third);
    }

    /// Arguments arrive at the loader as they were given, quoted where that is needed.
    #[test]
    fn command_line_arguments_survive(password in prop::collection::vec(1u8.., 1..20)) {
        prop_assume!(!password.starts_with(b"--"));
        let Invocation::Run(run) = Invocation::from_command_line(&[b"--requirepass", &password[..]]) else {
            return Err(TestCaseError::fail("not a run"));
        };
        let config = ServerConfig::load(&run.text(b""), &mut ()).unwrap();
        prop_assert_eq!(config.requirepass, Some(password));
    }
}
