//! An append-only file with anything in it: what is read does not depend on the steps in which it is read, what is whole before a cut is
//! read like a file that ends there, and the check of files says the same of its form.
//!
//! The first byte says how far a step goes, the rest is a file as `tern_fuzz::commands` makes it.
#![no_main]

use std::io::Cursor;

use aof::{CheckedFile, Verdict, check_aof};
use conf::ServerConfig;
use engine::ReplayError;
use libfuzzer_sys::fuzz_target;
use rdb::{LoadOptions, Progress};

#[path = "../../crates/engine/tests/it/harness.rs"]
#[allow(dead_code, reason = "the engine's tests need more of it")]
mod harness;

use harness::Server;

/// The file read in steps of so many bytes: the data, and the error that ended it.
fn replayed(file: &[u8], step: u64) -> (String, Option<ReplayError>) {
    let mut server = Server::with(ServerConfig {
        enable_debug_command: conf::Permission::Yes,
        ..ServerConfig::default()
    });
    let a = server.a;
    let source = Box::new(Cursor::new(file.to_vec()));
    let total = file.len() as u64;
    let begun = server
        .engine
        .begin_replay(source, total, LoadOptions::default());
    let mut replay = match begun {
        Ok(replay) => replay,
        Err(error) => return (server.run(a, &["DEBUG", "DIGEST"]), Some(error)),
    };
    let error = loop {
        match server.engine.replay_step(&mut replay, step) {
            Ok(Progress::More) => {}
            Ok(Progress::Done) => break None,
            Err(error) => break Some(error),
        }
    };
    server.engine.end_replay(replay);
    (server.run(a, &["DEBUG", "DIGEST"]), error)
}

fn shown(error: Option<&ReplayError>) -> Option<String> {
    error.map(|error| format!("{error:?}"))
}

fuzz_target!(|data: &[u8]| {
    let Some((step, choices)) = data.split_first() else {
        return;
    };
    let file = tern_fuzz::commands::stream(choices);
    let (data, error) = replayed(&file, u64::MAX);
    let (again, error_again) = replayed(&file, u64::from(*step) + 1);
    assert_eq!(again, data);
    assert_eq!(shown(error_again.as_ref()), shown(error.as_ref()));
    let checked = CheckedFile {
        name: "a.aof",
        path: "a.aof",
        is_last: true,
        may_begin_with_rdb: false,
        until_s: None,
        now_ms: 0,
    };
    let report = check_aof(&checked, file.as_slice(), &mut 1).expect("bytes can be read");
    if let Some(ReplayError::Aof(aof::Error::Truncated { valid_up_to })) = error {
        let whole = &file[..usize::try_from(valid_up_to).expect("within the file")];
        let (shorter, none) = replayed(whole, u64::MAX);
        assert_eq!((shorter, shown(none.as_ref())), (data, None));
        assert!(report.verdict != Verdict::Whole, "{}", report.text);
    }
});
