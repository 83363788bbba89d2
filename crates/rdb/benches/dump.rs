//! Saving and loading, into memory and from it: strings, and a collection of each type. `cargo bench -p rdb`. The example `measure`
//! does the same once with a million elements.

use divan::{Bencher, black_box};
use rdb::{Input, LoadOptions, Loader, Progress, SaveOptions};
use store::{Hash, Keyspace, Limits, List, Owned, Set, StrNew, Zset};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    divan::main();
}

/// Keys, or elements of one collection.
const COUNT: u32 = 100_000;
const KINDS: [&str; 5] = ["strings", "list", "set", "sorted set", "hash"];

fn filled(kind: &str) -> Keyspace {
    let limits = Limits::default();
    let mut keyspace = Keyspace::new(1, false);
    let db = keyspace.db(0);
    let (mut list, mut set) = (List::new(), Set::new());
    let (mut zset, mut hash) = (Zset::new(), Hash::new());
    for number in 0..COUNT {
        let element = format!("element:{number:08}");
        let element = element.as_bytes();
        match kind {
            "strings" => db.set_str(element, StrNew::Bytes(&[b'v'; 32])),
            "list" => list.push_back(element, &limits),
            "set" => drop(set.add(element, &limits)),
            "sorted set" => drop(zset.insert(element, f64::from(number * 7919 % COUNT), &limits)),
            _ => drop(hash.set(element, element, &limits)),
        }
    }
    match kind {
        "strings" => {}
        "list" => db.insert(b"key", Owned::List(list)),
        "set" => db.insert(b"key", Owned::Set(set)),
        "sorted set" => db.insert(b"key", Owned::Zset(zset)),
        _ => db.insert(b"key", Owned::Hash(hash)),
    }
    keyspace
}

fn saved(keyspace: &Keyspace, into: Vec<u8>, compress: bool) -> Vec<u8> {
    let options = SaveOptions {
        compress,
        checksum: true,
        ..SaveOptions::default()
    };
    let (file, _) = rdb::save(keyspace, into, options, |_| Ok(())).expect("memory takes it");
    file
}

/// Saves again and again into the same memory.
fn bench_save(bencher: Bencher<'_, '_>, kind: &str, compress: bool) {
    let keyspace = filled(kind);
    let mut file = saved(&keyspace, Vec::new(), compress);
    bencher
        .counter(divan::counter::ItemsCount::new(COUNT))
        .bench_local(|| {
            let mut into = std::mem::take(&mut file);
            into.clear();
            file = saved(black_box(&keyspace), into, compress);
        });
}

#[divan::bench(args = KINDS)]
fn save(bencher: Bencher<'_, '_>, kind: &str) {
    bench_save(bencher, kind, false);
}

#[divan::bench(args = KINDS)]
fn save_compressed(bencher: Bencher<'_, '_>, kind: &str) {
    bench_save(bencher, kind, true);
}

#[divan::bench(args = KINDS)]
fn load(bencher: Bencher<'_, '_>, kind: &str) {
    let file = saved(&filled(kind), Vec::new(), true);
    bencher
        .counter(divan::counter::ItemsCount::new(COUNT))
        .bench_local(|| {
            let mut keyspace = Keyspace::new(1, false);
            let input = Input::new(black_box(&file[..]));
            let mut loader = Loader::open(input, LoadOptions::default(), Limits::default())
                .expect("the file is ours");
            while loader
                .step(&mut keyspace, 1 << 20)
                .expect("the file is ours")
                == Progress::More
            {}
            keyspace
        });
}
