//! Any file under a good checksum loads or is refused, in bounded memory, and the same way however it arrives. What loads is
//! consistent, is good to `redis-check-rdb`, is saved and loaded again as it is, and serves every command.
#![no_main]

use std::io::{Cursor, Read};

use libfuzzer_sys::fuzz_target;
use rdb::{Input, LoadOptions, Loader, Options, Progress, SaveOptions, check};
use store::{Keyspace, Limits};
use tern_fuzz::recipe::{self, Source};
use tern_fuzz::server::Server;
use tern_fuzz::{content, memory};

/// Small, so that much lies across the ends of buffers, and each run costs little.
const BUFFER_BYTES: usize = 1024;

/// A source that gives a few bytes at a time.
struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = self.1.min(buffer.len());
        self.0.read(&mut buffer[..most])
    }
}

/// Loads all of a source in steps of so many bytes; the error's text where it is refused.
fn load(source: impl Read, step: u64, skip_unsupported: bool) -> Result<Keyspace, String> {
    let mut keyspace = Keyspace::new(16, false);
    let options = LoadOptions {
        read: Options {
            skip_unsupported,
            ..Options::default()
        },
        ..LoadOptions::default()
    };
    let text = |error: rdb::Error| error.to_string();
    let input = Input::with_buffer(source, BUFFER_BYTES);
    let mut loader = Loader::open(input, options, Limits::default()).map_err(text)?;
    while loader.step(&mut keyspace, step).map_err(text)? == Progress::More {}
    Ok(keyspace)
}

/// The file in the default version.
fn saved(keyspace: &Keyspace) -> Vec<u8> {
    let options = SaveOptions {
        compress: true,
        checksum: true,
        ..SaveOptions::default()
    };
    rdb::save(keyspace, Vec::new(), options, |_| Ok(()))
        .expect("memory takes everything")
        .0
}

fuzz_target!(|data: &[u8]| {
    let mut source = Source(data);
    let choice = source.byte();
    let (file, expands_to) = recipe::file(&mut source);
    let (loaded, peak) = memory::peak_of(|| load(&file[..], 1 << 20, choice & 1 != 0));
    let bound = 16 * (file.len() + expands_to) + (1 << 20);
    assert!(
        peak <= bound,
        "{peak} bytes held for {} and {expands_to}",
        file.len()
    );
    let trickled = load(
        Trickle(&file, usize::from(choice) + 1),
        u64::from(choice),
        choice & 1 != 0,
    );
    assert_eq!(trickled.as_ref().err(), loaded.as_ref().err());
    let report = check::check_rdb("dump.rdb", &file[..], 1);
    let _ = check::check_dump("dump.rdb", Cursor::new(&file[..]), 1);
    let Ok(keyspace) = loaded else { return };
    assert!(report.ok || choice & 1 != 0, "{}", report.text);
    let all = content::of_keyspace(&keyspace);
    assert_eq!(content::of_keyspace(&trickled.expect("as the other")), all);
    let again = load(&saved(&keyspace)[..], 1 << 20, false).expect("what we save loads");
    assert!(content::of_keyspace(&again) == all);
    // Not every time: the commands take longer than all before.
    if choice & 0b110 != 0 {
        return;
    }
    let mut server = Server::new(keyspace);
    for (db, key) in all.keys() {
        server.read_all(*db, key);
        server.write_all(*db, key);
    }
    let keyspace = server.keyspace();
    let all = content::of_keyspace(keyspace);
    let again = load(&saved(keyspace)[..], 1 << 20, false).expect("what we save loads");
    assert!(content::of_keyspace(&again) == all);
});
