//! What the hot operations of each type cost, on a compact collection and on a big one: `cargo bench -p store --bench types`. The
//! example `elements` prints memory too.

use divan::{Bencher, black_box};
use store::{Hash, Limits, List, Set, Zset};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() {
    divan::main();
}

/// A compact collection, and a big one.
const SIZES: [usize; 2] = [100, 1_000_000];
/// Operations in one run.
const MANY: usize = 1000;

/// An element of thirteen bytes.
fn element(number: usize) -> [u8; 13] {
    let mut bytes = *b"elem:00000000";
    bytes[5..].copy_from_slice(format!("{number:08}").as_bytes());
    bytes
}

/// A score that does not go with the element's order.
fn score(number: usize) -> f64 {
    f64::from(u32::try_from(number * 7919 % 1_000_003).unwrap_or_default())
}

/// Runs one operation for elements that lie anywhere in a collection of this size; others in each run, so that of a big collection few
/// are in the cache.
fn each(bencher: Bencher<'_, '_>, size: usize, mut operation: impl FnMut(usize, &[u8])) {
    let mut next = 0_usize;
    bencher
        .counter(divan::counter::ItemsCount::new(MANY))
        .with_inputs(|| {
            let numbers = (0..MANY).map(|_| {
                // No divisor in common: every element has its turn before one has its second.
                next = (next + 618_033) % size;
                (next, element(next))
            });
            numbers.collect::<Vec<_>>()
        })
        .bench_local_refs(|elements| {
            for (number, element) in elements {
                operation(*number, black_box(element));
            }
        });
}

mod list {
    use super::*;

    fn filled(size: usize) -> List {
        let (mut list, limits) = (List::new(), Limits::default());
        (0..size).for_each(|number| list.push_back(&element(number), &limits));
        list
    }

    #[divan::bench(args = SIZES)]
    fn push_at_one_end_pop_at_the_other(bencher: Bencher<'_, '_>, size: usize) {
        let (mut list, limits) = (filled(size), Limits::default());
        each(bencher, size, |_, element| {
            list.push_front(element, &limits);
            black_box(list.pop_back(<[u8]>::len));
        });
    }

    #[divan::bench(args = SIZES)]
    fn range_of_100(bencher: Bencher<'_, '_>, size: usize) {
        let list = filled(size);
        each(bencher, size, |_, _| {
            black_box(list.iter_from(0).take(100).map(<[u8]>::len).sum::<usize>());
        });
    }

    #[divan::bench(args = SIZES)]
    fn index(bencher: Bencher<'_, '_>, size: usize) {
        let list = filled(size);
        each(bencher, size, |number, _| {
            black_box(list.index(number));
        });
    }
}

mod set {
    use super::*;

    fn filled(size: usize) -> Set {
        let (mut set, limits) = (Set::new(), Limits::default());
        for number in 0..size {
            set.add(&element(number), &limits);
        }
        set
    }

    #[divan::bench(args = SIZES)]
    fn contains(bencher: Bencher<'_, '_>, size: usize) {
        let set = filled(size);
        each(bencher, size, |_, element| {
            assert!(black_box(set.contains(element)), "it is a member");
        });
    }

    #[divan::bench(args = SIZES)]
    fn remove_and_add(bencher: Bencher<'_, '_>, size: usize) {
        let (mut set, limits) = (filled(size), Limits::default());
        each(bencher, size, |_, element| {
            set.remove(element);
            black_box(set.add(element, &limits));
        });
    }

    #[divan::bench(args = SIZES)]
    fn random(bencher: Bencher<'_, '_>, size: usize) {
        let (set, mut noise) = (filled(size), 88_172_645_463_325_252_u64);
        let mut random = || {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            noise
        };
        each(bencher, size, |_, _| {
            black_box(set.random(&mut random));
        });
    }
}

mod hash {
    use super::*;

    fn filled(size: usize) -> Hash {
        let (mut hash, limits) = (Hash::new(), Limits::default());
        for number in 0..size {
            hash.set(&element(number), &element(number), &limits);
        }
        hash
    }

    #[divan::bench(args = SIZES)]
    fn get(bencher: Bencher<'_, '_>, size: usize) {
        let hash = filled(size);
        each(bencher, size, |_, field| {
            assert!(
                black_box(hash.see().get(field)).is_some(),
                "it has the field"
            );
        });
    }

    #[divan::bench(args = SIZES)]
    fn set_over(bencher: Bencher<'_, '_>, size: usize) {
        let (mut hash, limits) = (filled(size), Limits::default());
        each(bencher, size, |_, field| {
            black_box(hash.set(field, b"another value", &limits));
        });
    }

    #[divan::bench(args = SIZES)]
    fn remove_and_set(bencher: Bencher<'_, '_>, size: usize) {
        let (mut hash, limits) = (filled(size), Limits::default());
        each(bencher, size, |_, field| {
            hash.remove(field);
            black_box(hash.set(field, field, &limits));
        });
    }
}

mod sorted_set {
    use super::*;

    fn filled(size: usize) -> Zset {
        let (mut zset, limits) = (Zset::new(), Limits::default());
        for number in 0..size {
            zset.insert(&element(number), score(number), &limits);
        }
        zset
    }

    #[divan::bench(args = SIZES)]
    fn score_of(bencher: Bencher<'_, '_>, size: usize) {
        let zset = filled(size);
        each(bencher, size, |_, member| {
            assert!(black_box(zset.score(member)).is_some(), "it is a member");
        });
    }

    #[divan::bench(args = SIZES)]
    fn rank(bencher: Bencher<'_, '_>, size: usize) {
        let zset = filled(size);
        each(bencher, size, |_, member| {
            assert!(black_box(zset.rank(member)).is_some(), "it is a member");
        });
    }

    /// A member has another score each time, and a rank far from the last one.
    #[divan::bench(args = SIZES)]
    fn insert_with_another_score(bencher: Bencher<'_, '_>, size: usize) {
        let (mut zset, limits) = (filled(size), Limits::default());
        let mut up = 0.0;
        each(bencher, size, |number, member| {
            up += 1000.0;
            black_box(zset.insert(member, score(number) + up, &limits));
        });
    }

    #[divan::bench(args = SIZES)]
    fn range_of_10(bencher: Bencher<'_, '_>, size: usize) {
        let zset = filled(size);
        each(bencher, size, |number, _| {
            let range = number.min(size - 10)..number.min(size - 10) + 10;
            black_box(
                zset.range(range)
                    .map(|(member, _)| member.len())
                    .sum::<usize>(),
            );
        });
    }
}
