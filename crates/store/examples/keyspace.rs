//! Fills a database and prints what it costs: time per operation, the longest single insertion, bytes per key.
//!
//! `cargo run --release -p store --example keyspace -- 10000000` (the number of keys; one million where none is given).

#![expect(clippy::print_stdout, reason = "a measurement is printed")]

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use store::{Clock, Db, Prefetched, StrNew, Value};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Commands that a connection's batch has at hand.
const BATCH: usize = 16;

fn main() {
    let count = std::env::args()
        .nth(1)
        .and_then(|count| count.parse().ok())
        .unwrap_or(1_000_000_usize);
    println!("{count} keys of 16 bytes, values of 32 bytes");
    for by_slot in [false, true] {
        println!("{}", if by_slot { "by slot" } else { "in one table" });
        measure(count, by_slot);
    }
}

fn measure(count: usize, by_slot: bool) {
    let clock = Clock::new();
    clock.set_unix_ms(1_000_000);
    let order: Vec<usize> = shuffled(count);
    let before = allocated();
    let mut db = Db::new(clock, by_slot);
    let value = [b'v'; 32];

    longest_insertion(&mut db, count);
    let start = Cpu::now();
    for number in 0..count {
        db.set_str(&key(number), StrNew::Bytes(&value));
    }
    report("insert", start.elapsed(), count);
    let bytes = allocated() - before;
    #[expect(clippy::cast_precision_loss, reason = "printed with two digits")]
    let per_key = |bytes: usize| bytes as f64 / count as f64;
    println!(
        "  bytes per key: {:.2}, of them the table: {:.2}",
        per_key(bytes),
        per_key(db.table_bytes())
    );

    let start = Cpu::now();
    let found: usize = order
        .iter()
        .filter(|&&number| matches!(db.read(&key(number)), Some(Value::Str(_))))
        .count();
    assert_eq!(found, count);
    report("get, random order", start.elapsed(), count);

    let start = Cpu::now();
    for &number in &order {
        db.set_str(&key(number), StrNew::Bytes(&value));
    }
    report("set over, random order", start.elapsed(), count);

    let start = Cpu::now();
    for batch in order.chunks(BATCH) {
        let keys: Vec<[u8; 16]> = batch.iter().map(|&number| key(number)).collect();
        let places: Vec<Prefetched> = keys.iter().map(|key| db.prefetch(key)).collect();
        places.iter().for_each(|&place| db.prefetch_entry(place));
        for key in &keys {
            assert!(db.read(key).is_some());
        }
    }
    report("get, prefetched in batches", start.elapsed(), count);

    let start = Cpu::now();
    let missing = (count..2 * count).filter(|&number| db.read(&key(number)).is_none());
    assert_eq!(missing.count(), count);
    report("get, missing", start.elapsed(), count);

    let start = Cpu::now();
    let mut bytes = 0;
    db.for_each(|key, _, _| bytes += key.len());
    assert_eq!(bytes, count * 16);
    report("walk", start.elapsed(), count);

    let mut longest = Duration::ZERO;
    for &number in &order {
        let one = Cpu::now();
        assert!(db.remove(&key(number)));
        longest = longest.max(one.elapsed());
    }
    println!("  longest removal: {longest:?}");
}

/// Fills the database several times with the same keys. What the machine does beside is different each time; what the table does is
/// not, so of each key's times the shortest counts.
fn longest_insertion(db: &mut Db, count: usize) {
    let mut shortest = vec![Duration::MAX; count];
    let mut longest_of_first = Duration::ZERO;
    for round in 0..3 {
        for (number, shortest) in shortest.iter_mut().enumerate() {
            let start = Cpu::now();
            db.set_str(&key(number), StrNew::Bytes(&[b'v'; 32]));
            let took = start.elapsed();
            *shortest = took.min(*shortest);
            if round == 0 {
                longest_of_first = longest_of_first.max(took);
            }
        }
        db.clear();
        drop(db.take_garbage());
    }
    let longest = shortest.iter().max().copied().unwrap_or_default();
    println!("  longest insertion: {longest:?} (in the first round alone {longest_of_first:?})");
}

fn key(number: usize) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    let mut rest = number;
    for digit in key.iter_mut().rev() {
        if rest == 0 {
            break;
        }
        *digit = b"0123456789"[rest % 10];
        rest /= 10;
    }
    key
}

fn shuffled(count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut state = 1_u64;
    for at in (1..count).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let other = usize::try_from(state >> 33).unwrap_or(0) % (at + 1);
        order.swap(at, other);
    }
    order
}

fn allocated() -> usize {
    // The statistics are a snapshot that has to be asked for.
    let fresh = tikv_jemalloc_ctl::epoch::advance().is_ok();
    tikv_jemalloc_ctl::stats::allocated::read()
        .ok()
        .filter(|_| fresh)
        .unwrap_or(0)
}

fn report(what: &str, took: Duration, count: usize) {
    println!(
        "  {what}: {:.1} ns each",
        took.as_secs_f64() * 1e9 / f64::from(u32::try_from(count).unwrap_or(u32::MAX))
    );
}

/// CPU time of this thread: what else runs on the machine is not counted.
struct Cpu(Duration);

impl Cpu {
    fn now() -> Self {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        Self(Duration::new(
            u64::try_from(now.tv_sec).unwrap_or(0),
            u32::try_from(now.tv_nsec).unwrap_or(0),
        ))
    }

    fn elapsed(&self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}
