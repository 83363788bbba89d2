//! HELLO, AUTH and RESET in every order, on a server that wants a password: who has not given it reads nothing, who has does, and
//! the protocol of replies is the one that HELLO last agreed to.
//!
//! A byte of the input is a word, or the end of a request.
#![no_main]

use conf::ServerConfig;
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/engine/tests/it/harness.rs"]
#[allow(dead_code, reason = "the engine's tests need more of it")]
mod harness;

use harness::Server;

const WORDS: &[&str] = &[
    "HELLO",
    "AUTH",
    "RESET",
    "PING",
    "CLIENT",
    "2",
    "3",
    "4",
    "-1",
    "",
    "x",
    "default",
    "secret",
    "wrong",
    "nobody",
    "SETNAME",
    "name",
    "a b",
    "GETNAME",
    "SETINFO",
    "lib-name",
    "ID",
    "INFO",
    "MULTI",
    "EXEC",
    "DISCARD",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "QUIT",
    "HGETALL",
];

fn run(server: &mut Server, words: &[&str]) -> Option<String> {
    let a = server.a;
    server.engine.receive(a, &harness::request(words));
    let open = server.engine.output(a).is_some() && server.engine.wants_input(a);
    open.then(|| harness::taken(&mut server.engine, a))
}

/// Whether these words, answered like this, log in; none where they change nothing.
fn logs_in(words: &[&str], reply: &str) -> Option<bool> {
    let is = |at: usize, name: &str| {
        words
            .get(at)
            .is_some_and(|word| word.eq_ignore_ascii_case(name))
    };
    if is(0, "RESET") && reply.starts_with("+RESET") {
        return Some(false);
    }
    let granted = is(0, "AUTH") && reply.starts_with("+OK")
        || is(0, "HELLO")
            && words.iter().any(|word| word.eq_ignore_ascii_case("AUTH"))
            && !reply.starts_with('-');
    granted.then_some(true)
}

fuzz_target!(|data: &[u8]| {
    let mut server = Server::with(ServerConfig {
        requirepass: Some(b"secret".to_vec()),
        ..ServerConfig::default()
    });
    // The harness's clients came before anybody could log in.
    let a = server.a;
    let mut logged_in = false;
    for request in data.split(|byte| *byte >= 0xf0).take(64) {
        let words: Vec<&str> = request
            .iter()
            .take(12)
            .map(|byte| WORDS[usize::from(*byte) % WORDS.len()])
            .collect();
        if words.is_empty() {
            continue;
        }
        let Some(reply) = run(&mut server, &words) else {
            return;
        };
        assert!(reply.is_empty() || reply.ends_with("\r\n"), "{reply:?}");
        logged_in = logs_in(&words, &reply).unwrap_or(logged_in);
        // MULTI and SUBSCRIBE change what a probe is answered.
        let Some(probe) = run(&mut server, &["GET", "key"]) else {
            return;
        };
        if !logged_in {
            assert!(
                probe.is_empty() || probe.starts_with("-NOAUTH"),
                "{words:?}: {probe:?}"
            );
        } else {
            assert!(!probe.starts_with("-NOAUTH"), "{words:?}: {probe:?}");
        }
        let listed = server.engine.output(a).map_or(0, |out| out.len());
        assert_eq!(listed, 0);
    }
});
