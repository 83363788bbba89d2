//! Fills one collection of each type and prints what an element costs: heap bytes, and time per operation.
//!
//! `cargo run --release -p store --example elements -- 1000000` (the number of elements; one million where none is given).

#![expect(clippy::print_stdout, reason = "a measurement is printed")]
#![expect(
    clippy::disallowed_methods,
    reason = "a measurement reads the clock; the crate does not"
)]
#![expect(clippy::cast_precision_loss, reason = "printed with two digits")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use store::{Hash, Limits, List, ScoreBound, Set, Zset, ZsetBuilder};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    let count = std::env::args()
        .nth(1)
        .and_then(|count| count.parse().ok())
        .unwrap_or(1_000_000_usize);
    println!("{count} elements of 13 bytes");
    let order = shuffled(count);
    small();
    list(count);
    set(count, &order);
    hash(count, &order);
    zset(count, &order);
}

/// Thirteen bytes.
fn element(number: usize) -> [u8; 13] {
    let mut bytes = *b"elem:00000000";
    let mut rest = number;
    for digit in bytes.iter_mut().rev().take(8) {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
    }
    bytes
}

fn small() {
    const MANY: usize = 10_000;
    let limits = Limits::default();
    let before = allocated();
    let hashes: Vec<Hash> = (0..MANY)
        .map(|n| {
            let mut hash = Hash::new();
            for field in 0..5 {
                hash.set(format!("f{field}").as_bytes(), &element(n)[5..], &limits);
            }
            hash
        })
        .collect();
    println!(
        "a hash of 5 fields, 50 bytes of content: {:.1} bytes",
        (allocated() - before) as f64 / MANY as f64
    );
    drop(hashes);
}

fn list(count: usize) {
    let limits = Limits::default();
    let mut list = List::new();
    fill("list, RPUSH", count, &mut list, |list, n| {
        list.push_back(&element(n), &limits);
    });
    time("  index at random", 1000, |n| {
        black_box(list.index(n * 7919 % count));
    });
    time("  range of 100 from the middle", 10_000, |n| {
        black_box(
            list.iter_from(count / 2 + n % 100)
                .take(100)
                .map(<[u8]>::len)
                .sum::<usize>(),
        );
    });
    time("  LSET at random", 1000, |n| {
        black_box(list.set(n * 7919 % count, &element(n), &limits));
    });
    time("  pop from the tail", count / 2, |_| {
        black_box(list.pop_back(<[u8]>::len));
    });
    time("  pop from the head", count / 2, |_| {
        black_box(list.pop_front(<[u8]>::len));
    });
    let mut list = List::new();
    fill("list, LPUSH", count, &mut list, |list, n| {
        list.push_front(&element(n), &limits);
    });
    let mut short = List::new();
    (0..70).for_each(|n| short.push_front(&element(n), &limits));
    time("  LPUSH and RPOP on 70 elements", 1_000_000, |n| {
        short.push_front(&element(n), &limits);
        black_box(short.pop_back(<[u8]>::len));
    });
    let mut short = List::new();
    (0..500).for_each(|n| short.push_front(&element(n), &limits));
    time("  LPUSH and RPOP on 500 elements", 1_000_000, |n| {
        short.push_front(&element(n), &limits);
        black_box(short.pop_back(<[u8]>::len));
    });
}

fn set(count: usize, order: &[usize]) {
    let limits = Limits::default();
    let mut set = Set::new();
    fill("set, SADD", count, &mut set, |set, n| {
        set.add(&element(order[n]), &limits);
    });
    time("  SISMEMBER at random", count, |n| {
        black_box(set.contains(&element(order[n])));
    });
    let mut state = 1;
    time("  SRANDMEMBER", count, |_| {
        black_box(set.random(&mut || next(&mut state)));
    });
    time("  SREM at random", count, |n| {
        black_box(set.remove(&element(order[n])));
    });
    let mut ints = Set::new();
    for n in 0..512 {
        ints.add(n.to_string().as_bytes(), &limits);
    }
    time("  SISMEMBER in 512 integers", 1_000_000, |n| {
        black_box(ints.contains(&element(n % 1000)[10..]));
    });
}

fn hash(count: usize, order: &[usize]) {
    let limits = Limits::default();
    let mut hash = Hash::new();
    fill("hash, HSET", count, &mut hash, |hash, n| {
        hash.set(&element(order[n]), &element(n), &limits);
    });
    time("  HGET at random", count, |n| {
        black_box(hash.see().get(&element(order[n])));
    });
    time("  HSET of the same length at random", count, |n| {
        hash.set(&element(order[n]), &element(n), &limits);
    });
    for fields in [5, 50, 500] {
        let mut hash = Hash::new();
        for n in 0..fields {
            hash.set(&element(n), b"value", &limits);
        }
        time(
            &format!("  HGET in a compact hash of {fields}"),
            1_000_000,
            |n| {
                black_box(hash.see().get(&element(n % fields)));
            },
        );
    }
}

fn zset(count: usize, order: &[usize]) {
    let limits = Limits::default();
    let score = |n: usize| n as f64;
    let mut zset = Zset::new();
    fill("sorted set, ZADD in order", count, &mut zset, |zset, n| {
        zset.insert(&element(n), score(n), &limits);
    });
    drop(zset);
    let mut zset = Zset::new();
    fill("sorted set, ZADD at random", count, &mut zset, |zset, n| {
        zset.insert(&element(order[n]), score(n * 7919 % count), &limits);
    });
    time("  ZSCORE at random", count, |n| {
        black_box(zset.score(&element(order[n])));
    });
    time("  ZRANK at random", count, |n| {
        black_box(zset.rank(&element(order[n])));
    });
    time("  ZRANGE of 10 at random", count, |n| {
        black_box(
            zset.range(order[n]..order[n] + 10)
                .map(|(m, _)| m.len())
                .sum::<usize>(),
        );
    });
    time("  ZCOUNT at random", count, |n| {
        let bound = |value| ScoreBound {
            value,
            exclusive: false,
        };
        black_box(zset.ranks_by_score(bound(score(n)), bound(score(n + 100))));
    });
    time("  ZINCRBY 1 at random", count, |n| {
        let member = element(order[n]);
        let old = zset.score(&member).unwrap_or_default();
        zset.insert(&member, old + 1.5, &limits);
    });
    time("  ZREM at random", count, |n| {
        black_box(zset.remove(&element(order[n])));
    });
    for (name, shuffled) in [("in order", false), ("at random", true)] {
        let start = Instant::now();
        let mut builder = ZsetBuilder::new();
        for (n, &other) in order.iter().enumerate() {
            let n = if shuffled { other } else { n };
            builder.push(&element(n), score(n), &limits);
        }
        black_box(builder.finish());
        report(
            &format!("  built from members {name}"),
            start.elapsed(),
            count,
        );
    }
}

fn fill<T>(name: &str, count: usize, to: &mut T, mut add: impl FnMut(&mut T, usize)) {
    let before = allocated();
    let (mut longest, start) = (Duration::ZERO, Instant::now());
    let mut last = start;
    for n in 0..count {
        add(to, n);
        let now = Instant::now();
        longest = longest.max(now - last);
        last = now;
    }
    report(name, start.elapsed(), count);
    println!(
        "  {:.2} bytes per element; longest insertion {longest:?}",
        (allocated() - before) as f64 / count as f64
    );
}

fn time(name: &str, count: usize, mut one: impl FnMut(usize)) {
    let start = Instant::now();
    (0..count).for_each(&mut one);
    report(name, start.elapsed(), count);
}

fn report(name: &str, took: Duration, count: usize) {
    println!("{name}: {:.0} ns", took.as_nanos() as f64 / count as f64);
}

/// Bytes that the allocator has given out.
fn allocated() -> usize {
    tikv_jemalloc_ctl::epoch::advance().ok();
    tikv_jemalloc_ctl::stats::allocated::read().unwrap_or_default()
}

fn shuffled(count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut state = 42;
    for i in (1..count).rev() {
        let other = usize::try_from(next(&mut state) % (i as u64 + 1)).unwrap_or_default();
        order.swap(i, other);
    }
    order
}

/// The next number of a splitmix sequence.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
