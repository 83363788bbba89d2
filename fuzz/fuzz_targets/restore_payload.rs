//! Any value under a good version and checksum restores or is refused, in bounded memory. What restores is consistent, dumps to a
//! payload that restores to the same, and serves every command. A value built well restores to what it was built of.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use rdb::Dumper;
use store::{Keyspace, Limits};
use tern_fuzz::recipe::{self, Source};
use tern_fuzz::server::Server;
use tern_fuzz::{content, memory};

thread_local! {
    /// Made once, as in a server: its table is big.
    static DUMPER: RefCell<Dumper> = RefCell::new(Dumper::new());
}

/// The payload of the value of `key`, which must restore to the same.
fn dump_and_restore(keyspace: &Keyspace, key: &[u8], compress: bool) {
    let Some(value) = keyspace.db_ref(0).peek(key) else {
        return;
    };
    let payload = DUMPER.with_borrow_mut(|dumper| {
        rdb::dump(dumper, value, compress).expect("what is stored can be dumped")
    });
    let again = rdb::restore(&payload, &Limits::default(), rdb::Trust::default()).expect("what was dumped restores");
    assert_eq!(content::of_owned(again), content::of(&value));
}

/// Limits that send small values through all encodings.
fn limits(choice: u8) -> Limits {
    if choice & 1 == 0 {
        return Limits::default();
    }
    Limits {
        hash_entries: 4,
        hash_value: 8,
        list_size: 4,
        set_entries: 4,
        set_value: 8,
        set_intset_entries: 4,
        zset_entries: 4,
        zset_value: 8,
        stream_node_bytes: 256,
        stream_node_entries: 4,
    }
}

fuzz_target!(|data: &[u8]| {
    let mut source = Source(data);
    let choice = source.byte();
    let value = recipe::value(&mut source);
    let payload = recipe::sealed(&value, 6 + u16::from(choice >> 4) % 7);
    let limits = limits(choice);
    let (restored, peak) = memory::peak_of(|| rdb::restore(&payload, &limits, rdb::Trust::default()));
    let bound = 16 * (payload.len() + value.expands_to) + (1 << 20);
    assert!(
        peak <= bound,
        "{peak} bytes held for {} and {}",
        payload.len(),
        value.expands_to
    );
    if let Some(expected) = &value.expected {
        assert_eq!(
            restored.is_ok(),
            expected.is_some(),
            "{:?} of {expected:?}",
            restored.as_ref().err()
        );
    }
    let Ok(restored) = restored else { return };
    let mut keyspace = Keyspace::new(2, false);
    keyspace.clock().set_unix_ms(1_500_000_000_000);
    keyspace.db(0).insert(b"key", restored);
    let found = content::of(&keyspace.db_ref(0).peek(b"key").expect("it was inserted"));
    if let Some(expected) = value.expected {
        assert_eq!(Some(found), expected);
    }
    dump_and_restore(&keyspace, b"key", choice & 2 == 0);
    // Not every time: the commands take longer than all before.
    if choice & 0b1100 != 0 {
        return;
    }
    let mut server = Server::new(keyspace);
    server.read_all(0, b"key");
    server.write_all(0, b"key");
    for key in [&b"key"[..], b"\0another"] {
        dump_and_restore(server.keyspace(), key, choice & 2 == 0);
    }
});
