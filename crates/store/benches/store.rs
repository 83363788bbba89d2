//! What single operations cost while everything lies in the cache: `cargo bench -p store`. For larger keyspaces see the example
//! `keyspace`.

use divan::{Bencher, black_box};
use store::{Clock, Db, StrNew, Value, key_slot, table};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    divan::main();
}

const KEYS: usize = 1000;

fn keys() -> Vec<[u8; 16]> {
    (0..KEYS)
        .map(|number| {
            let mut key = *b"key:000000000000";
            key[8..].copy_from_slice(format!("{number:08}").as_bytes());
            key
        })
        .collect()
}

fn filled(by_slot: bool) -> Db {
    let mut db = Db::new(Clock::new(), by_slot);
    for key in keys() {
        db.set_str(&key, StrNew::Bytes(&[b'v'; 32]));
    }
    db
}

/// Runs one operation for each key and counts each.
fn each(bencher: Bencher<'_, '_>, mut operation: impl FnMut(&[u8])) {
    let keys = keys();
    bencher
        .counter(divan::counter::ItemsCount::new(KEYS))
        .bench_local(|| keys.iter().for_each(|key| operation(black_box(key))));
}

#[divan::bench]
fn hash(bencher: Bencher<'_, '_>) {
    each(bencher, |key| {
        black_box(table::hash(key));
    });
}

#[divan::bench]
fn slot(bencher: Bencher<'_, '_>) {
    each(bencher, |key| {
        black_box(key_slot(key));
    });
}

#[divan::bench(args = [false, true])]
fn get(bencher: Bencher<'_, '_>, by_slot: bool) {
    let mut db = filled(by_slot);
    each(bencher, |key| match db.read(key) {
        Some(Value::Str(value)) => {
            black_box(value.len());
        }
        _ => unreachable!("every key has a string"),
    });
}

#[divan::bench(args = [false, true])]
fn set_over(bencher: Bencher<'_, '_>, by_slot: bool) {
    let mut db = filled(by_slot);
    each(bencher, |key| db.set_str(key, StrNew::Bytes(&[b'w'; 32])));
}

#[divan::bench]
fn incr(bencher: Bencher<'_, '_>) {
    let mut db = Db::new(Clock::new(), false);
    each(bencher, |key| {
        match db.write_or_insert(key, || store::Owned::Int(0)) {
            store::ValueMut::Str(mut text) => text.set_int(7),
            _ => unreachable!("every key has a string"),
        }
    });
}

#[divan::bench]
fn insert_and_remove(bencher: Bencher<'_, '_>) {
    let mut db = filled(false);
    each(bencher, |key| {
        db.remove(key);
        db.set_str(key, StrNew::Bytes(&[b'w'; 32]));
    });
}

#[divan::bench]
fn prefetch_both_stages(bencher: Bencher<'_, '_>) {
    let db = filled(false);
    each(bencher, |key| {
        let place = db.prefetch(key);
        db.prefetch_entry(place);
    });
}
