//! How long single operations take while a database grows to millions of keys, and how long those take that change much at once.
//!
//! `cargo run --release -p store --example stops -- 10000000 5` (keys, rounds; ten million and five where none are given).
//!
//! Every round does the same to a fresh database. What the machine does beside falls on another operation each time, what the store does on
//! the same one: so of each operation's times the shortest is taken. The times as they were measured are printed too.

#![expect(clippy::print_stdout, reason = "a measurement is printed")]
#![expect(
    clippy::disallowed_methods,
    reason = "a measurement reads the clock; the crate does not"
)]

use std::time::{Duration, Instant};

use store::{Clock, Db, Limits, List, Owned, SetBuilder, StrNew, ValueMut, ZsetBuilder};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Members of the collections that are cut and removed.
const MEMBERS: usize = 1_000_000;

fn main() {
    let mut numbers = std::env::args()
        .skip(1)
        .map_while(|number| number.parse().ok());
    let keys = numbers.next().unwrap_or(10_000_000_usize);
    let rounds = numbers.next().unwrap_or(5).max(1);
    inserts(keys, rounds);
    println!("\nat once, the shortest of {rounds} (and the longest), on {MEMBERS} elements:");
    let mut at_once = AtOnce::default();
    (0..rounds).for_each(|_| at_once.round());
    at_once.print();
}

/// Inserts `count` keys one by one, in several rounds.
fn inserts(count: usize, rounds: usize) {
    println!("insertion of {count} keys of 16 bytes with values of 32 bytes, nanoseconds");
    println!("                     p50      p99    p99.9   p99.99      longest (at)");
    let mut shortest = vec![u32::MAX; count];
    let mut took = vec![0; count];
    for round in 1..=rounds {
        let mut db = database();
        for (number, took) in took.iter_mut().enumerate() {
            let key = key(number);
            let start = Instant::now();
            db.set_str(&key, StrNew::Bytes(&[b'v'; 32]));
            *took = u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX);
        }
        assert_eq!(db.len(), count);
        for (shortest, took) in shortest.iter_mut().zip(&took) {
            *shortest = (*took).min(*shortest);
        }
        print_line(&format!("round {round}"), &took);
    }
    print_line("shortest", &shortest);
}

fn print_line(name: &str, took: &[u32]) {
    let longest = took.iter().enumerate().max_by_key(|&(_, took)| took);
    let mut sorted = took.to_vec();
    sorted.sort_unstable();
    let at = |per_myriad: usize| sorted.get(sorted.len() * per_myriad / 10_000).copied();
    let [a, b, c, d] = [5000, 9900, 9990, 9999].map(|at_share| at(at_share).unwrap_or_default());
    let (number, longest) = longest.unwrap_or((0, &0));
    println!("  {name:10} {a:>12} {b:>8} {c:>8} {d:>8} {longest:>12} ({number})");
}

/// Operations that change much at once, with their shortest and longest times.
#[derive(Default)]
struct AtOnce(Vec<(&'static str, Duration, Duration)>);

impl AtOnce {
    fn round(&mut self) {
        for (name, from, to) in [
            ("ZREMRANGE of all", 0, MEMBERS),
            ("ZREMRANGE of the lower nine tenths", 0, MEMBERS / 10 * 9),
            ("ZREMRANGE of the middle half", MEMBERS / 4, MEMBERS / 4 * 3),
            ("ZREMRANGE of the upper tenth", MEMBERS / 10 * 9, MEMBERS),
            (
                "ZREMRANGE of one in a hundred",
                MEMBERS / 2,
                MEMBERS / 100 * 51,
            ),
        ] {
            self.time(name, zset, |db| {
                if let Some(ValueMut::Zset(zset)) = db.write(b"key") {
                    let (_, rest) = zset.remove_range(from..to);
                    rest.into_iter().for_each(|rest| db.free_later(rest));
                }
            });
        }
        let mixed = |number| number * 7919 % MEMBERS;
        self.time_building("end of building a sorted set in order", |n| (n, n));
        self.time_building("the same in mixed order", |n| (n, mixed(n)));
        self.time_building("the same with equal scores", |n| (mixed(n), 1));
        self.time("LTRIM to the middle half", list, |db| {
            if let Some(ValueMut::List(list)) = db.write(b"key") {
                list.trim(MEMBERS / 4, MEMBERS / 2);
            }
        });
        self.time("LREM of one in ten", list, |db| {
            if let Some(ValueMut::List(list)) = db.write(b"key") {
                list.remove(b"element:3", 0, false);
            }
        });
        self.time("DEL of a set", set, |db| assert!(db.remove(b"key")));
        self.time("SET over a set", set, |db| {
            db.set_str(b"key", StrNew::Int(1));
        });
        self.time("FLUSHDB", strings, Db::clear);
    }

    /// Times a change of a database. What it leaves to be freed is freed after it, as another thread does in the server.
    fn time(
        &mut self,
        name: &'static str,
        fill: impl FnOnce(&mut Db),
        change: impl FnOnce(&mut Db),
    ) {
        let mut db = database();
        fill(&mut db);
        let start = Instant::now();
        change(&mut db);
        let took = start.elapsed();
        drop(db.take_garbage());
        self.note(name, took);
    }

    /// Times the end of building a sorted set of what `row` gives.
    fn time_building(&mut self, name: &'static str, row: impl Fn(usize) -> (usize, usize)) {
        let builder = zset_of(row);
        let start = Instant::now();
        let zset = builder.finish();
        self.note(name, start.elapsed());
        drop(zset);
    }

    fn note(&mut self, name: &'static str, took: Duration) {
        match self.0.iter_mut().find(|(other, _, _)| *other == name) {
            Some((_, shortest, longest)) => {
                *shortest = took.min(*shortest);
                *longest = took.max(*longest);
            }
            None => self.0.push((name, took, took)),
        }
    }

    fn print(&self) {
        for (name, shortest, longest) in &self.0 {
            println!("  {name:36} {shortest:>10.1?} ({longest:.1?})");
        }
    }
}

fn zset(db: &mut Db) {
    // Members and scores in different orders.
    let builder = zset_of(|number| (number, number * 7919 % MEMBERS));
    db.insert(b"key", Owned::Zset(builder.finish()));
}

/// A builder that has got all members; `row` gives the number in a member's name, and its score.
fn zset_of(row: impl Fn(usize) -> (usize, usize)) -> ZsetBuilder {
    let mut builder = ZsetBuilder::new();
    for number in 0..MEMBERS {
        let (member, score) = row(number);
        let score = f64::from(u32::try_from(score).unwrap_or_default());
        builder.push(&key(member), score, &Limits::default());
    }
    builder
}

fn set(db: &mut Db) {
    let mut builder = SetBuilder::default();
    for number in 0..MEMBERS {
        builder.push(&key(number), &Limits::default());
    }
    db.insert(b"key", Owned::Set(builder.finish()));
}

fn list(db: &mut Db) {
    let mut list = List::new();
    for number in 0..MEMBERS {
        list.push_back(
            format!("element:{}", number % 10).as_bytes(),
            &Limits::default(),
        );
    }
    db.insert(b"key", Owned::List(list));
}

fn strings(db: &mut Db) {
    for number in 0..MEMBERS {
        db.set_str(&key(number), StrNew::Int(1));
    }
}

fn database() -> Db {
    let clock = Clock::new();
    clock.set_unix_ms(1_000_000);
    Db::new(clock, false)
}

fn key(number: usize) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    let mut rest = number;
    for digit in key.iter_mut().rev().take(12) {
        *digit = b"0123456789"[rest % 10];
        rest /= 10;
    }
    key
}
