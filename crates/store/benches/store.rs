//! What single operations on keys cost: a thousand keys, which lie in the cache, and a million, which do not. `cargo bench -p store`.
//! Collections are in the bench `types`; the example `keyspace` prints memory too.

use divan::{Bencher, black_box};
use store::{Clock, Db, StrNew, Value, key_slot, table};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    divan::main();
}

const KEYS: usize = 1000;
const MANY: usize = 1_000_000;

fn keys() -> Vec<[u8; 16]> {
    (0..KEYS).map(key).collect()
}

fn key(number: usize) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    key[8..].copy_from_slice(format!("{number:08}").as_bytes());
    key
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

/// A million keys, of which a thousand that lie anywhere are worked on at a time, so that few are in the cache.
mod among_a_million {
    use super::*;

    /// Pipelines that are long enough for the prefetch to be worth it.
    const BATCH: usize = 16;

    fn full() -> Db {
        let mut db = Db::new(Clock::new(), false);
        for number in 0..MANY {
            db.set_str(&key(number), StrNew::Bytes(&[b'v'; 32]));
        }
        db
    }

    /// Hands out keys in batches, all over the keyspace, from `first` on.
    fn batches(bencher: Bencher<'_, '_>, first: usize, mut operation: impl FnMut(&[[u8; 16]])) {
        let mut next = 0_usize;
        bencher
            .counter(divan::counter::ItemsCount::new(KEYS))
            .with_inputs(|| {
                let numbers = (0..KEYS).map(|_| {
                    // No divisor in common: every key has its turn before one has its second.
                    next = (next + 618_033) % MANY;
                    key(first + next)
                });
                numbers.collect::<Vec<_>>()
            })
            .bench_local_refs(|keys| keys.chunks(BATCH).for_each(&mut operation));
    }

    fn found(db: &mut Db, key: &[u8]) {
        assert!(black_box(db.read(key)).is_some(), "the key is there");
    }

    #[divan::bench]
    fn find(bencher: Bencher<'_, '_>) {
        let mut db = full();
        batches(bencher, 0, |keys| {
            keys.iter().for_each(|key| found(&mut db, key));
        });
    }

    #[divan::bench]
    fn find_prefetched(bencher: Bencher<'_, '_>) {
        let mut db = full();
        let mut places = Vec::with_capacity(BATCH);
        batches(bencher, 0, |keys| {
            places.clear();
            places.extend(keys.iter().map(|key| db.prefetch(key)));
            places.iter().for_each(|&place| db.prefetch_entry(place));
            keys.iter().for_each(|key| found(&mut db, key));
        });
    }

    #[divan::bench]
    fn find_missing(bencher: Bencher<'_, '_>) {
        let mut db = full();
        batches(bencher, MANY, |keys| {
            for key in keys {
                assert!(black_box(db.read(key)).is_none(), "no such key");
            }
        });
    }

    #[divan::bench]
    fn set_over(bencher: Bencher<'_, '_>) {
        let mut db = full();
        batches(bencher, 0, |keys| {
            for key in keys {
                db.set_str(key, StrNew::Bytes(&[b'w'; 32]));
            }
        });
    }

    #[divan::bench]
    fn insert_and_remove(bencher: Bencher<'_, '_>) {
        let mut db = full();
        batches(bencher, MANY, |keys| {
            for key in keys {
                db.set_str(key, StrNew::Bytes(&[b'w'; 32]));
                assert!(db.remove(key), "it was just put there");
            }
        });
    }
}
