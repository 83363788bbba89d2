//! Saves and loads one million strings, and one collection of a million elements of each type, and prints the CPU time of both.
//!
//! `cargo run --release -p rdb --example measure -- 1000000` (the number of elements; one million where none is given).
//! The file lies in memory: no disk is measured.

#![expect(clippy::print_stdout, reason = "a measurement is printed")]

use std::error::Error;
use std::time::Duration;

use rdb::{Input, LoadOptions, Loader, Progress, SaveOptions};
use rustix::time::{ClockId, clock_gettime};
use store::{Hash, Keyspace, Limits, List, Owned, Set, StrNew, Zset};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let count = std::env::args()
        .nth(1)
        .map_or(Ok(1_000_000), |count| count.parse())?;
    println!("{count} elements; CPU time");
    for kind in ["strings", "integers", "list", "set", "sorted set", "hash"] {
        let keyspace = fill(kind, count);
        for compress in [true, false] {
            let start = cpu();
            let options = SaveOptions {
                compress,
                checksum: true,
                ..SaveOptions::default()
            };
            let (file, saved) =
                rdb::save(&keyspace, Vec::with_capacity(64 << 20), options, |_| Ok(()))?;
            let written = cpu() - start;
            let start = cpu();
            let mut loaded = Keyspace::new(16, false);
            let mut loader = Loader::open(
                Input::new(&file[..]),
                LoadOptions::default(),
                Limits::default(),
            )?;
            while loader.step(&mut loaded, 1 << 20)? == Progress::More {}
            let read = cpu() - start;
            let megabytes = saved.bytes >> 20;
            let compressed = if compress { "compressed" } else { "plain" };
            println!(
                "{kind:>10} {compressed:>10}: {megabytes:>3} MB, save {written:>7.0?}, load {read:>7.0?}"
            );
        }
    }
    Ok(())
}

fn fill(kind: &str, count: u64) -> Keyspace {
    let limits = Limits::default();
    let mut keyspace = Keyspace::new(16, false);
    let db = keyspace.db(0);
    let mut noise = 88_172_645_463_325_252_u64;
    let mut random = || {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise
    };
    let (mut list, mut set, mut zset, mut hash) =
        (List::new(), Set::new(), Zset::new(), Hash::new());
    for number in 0..count {
        let element = format!("element:{number:08}");
        match kind {
            "strings" => {
                let value: Vec<u8> = (0..4).flat_map(|_| random().to_le_bytes()).collect();
                db.set_str(element.as_bytes(), StrNew::Bytes(&value));
            }
            "integers" => db.set_str(
                element.as_bytes(),
                StrNew::Int(i64::from_le_bytes(random().to_le_bytes()) >> 20),
            ),
            "list" => list.push_back(element.as_bytes(), &limits),
            "set" => drop(set.add(element.as_bytes(), &limits)),
            "sorted set" => drop(zset.insert(
                element.as_bytes(),
                f64::from(u32::try_from(random() >> 32).unwrap_or_default()) / 7.0,
                &limits,
            )),
            _ => drop(hash.set(element.as_bytes(), element.as_bytes(), &limits)),
        }
    }
    match kind {
        "strings" | "integers" => {}
        "list" => db.insert(b"key", Owned::List(list)),
        "set" => db.insert(b"key", Owned::Set(set)),
        "sorted set" => db.insert(b"key", Owned::Zset(zset)),
        _ => db.insert(b"key", Owned::Hash(hash)),
    }
    keyspace
}

/// The CPU time of this thread.
fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        now.tv_sec.unsigned_abs(),
        u32::try_from(now.tv_nsec).unwrap_or_default(),
    )
}
