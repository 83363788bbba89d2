//! Tests of the table against an ordered map.

use std::collections::{BTreeMap, BTreeSet};
use std::ptr::NonNull;

use proptest::prelude::*;

use crate::amount::{amount, cases};

use super::{Entry, Item, Table, hash};

/// An item whose block is a boxed key, number and mark.
struct Block(Box<Content>);

#[repr(align(8))]
struct Content {
    key: Vec<u8>,
    number: u32,
    mark: bool,
}

impl Block {
    fn new(key: &[u8], number: u32, mark: bool) -> Self {
        Self(Box::new(Content {
            key: key.to_vec(),
            number,
            mark,
        }))
    }
}

// SAFETY: a box's content is aligned and stays where it is; nothing is changed through a view.
unsafe impl Item for Block {
    type View<'a> = (&'a [u8], u32);

    fn into_raw(self) -> NonNull<u8> {
        NonNull::new(Box::into_raw(self.0).cast()).unwrap()
    }

    unsafe fn from_raw(raw: NonNull<u8>) -> Self {
        // SAFETY: made by `into_raw`.
        Self(unsafe { Box::from_raw(raw.cast().as_ptr()) })
    }

    unsafe fn key<'a>(raw: NonNull<u8>) -> &'a [u8] {
        // SAFETY: the caller sees to it that the item lives.
        unsafe { &raw.cast::<Content>().as_ref().key }
    }

    unsafe fn view<'a>(raw: NonNull<u8>) -> (&'a [u8], u32) {
        // SAFETY: the caller sees to it that the item lives.
        let content = unsafe { raw.cast::<Content>().as_ref() };
        (&content.key, content.number)
    }

    unsafe fn is_marked(raw: NonNull<u8>) -> bool {
        // SAFETY: the caller sees to it that the item lives.
        unsafe { raw.cast::<Content>().as_ref().mark }
    }
}

type Model = BTreeMap<Vec<u8>, (u32, bool)>;

fn key(number: u32) -> Vec<u8> {
    format!("key:{number}").into_bytes()
}

/// Numbers that look random and are the same in every run.
fn numbers(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn filled(count: u32) -> Table<Block> {
    let mut table = Table::new();
    for number in 0..count {
        let key = key(number);
        table.insert(hash(&key), Block::new(&key, number, number % 7 == 0));
    }
    table
}

fn set(table: &mut Table<Block>, model: &mut Model, key: &[u8], number: u32, mark: bool) {
    let new = match table.entry(hash(key), key) {
        Entry::Occupied(mut occupied) => {
            if number.is_multiple_of(2) {
                let old = occupied.replace(Block::new(key, number, mark));
                assert_eq!(old.0.key, key);
            } else {
                occupied.update(|old| {
                    assert_eq!(old.0.key, key);
                    (Block::new(key, number, mark), ())
                });
            }
            false
        }
        Entry::Vacant(vacant) => {
            let occupied = vacant.insert(Block::new(key, number, mark));
            assert_eq!(occupied.view(), (key, number));
            true
        }
    };
    assert_eq!(model.insert(key.to_vec(), (number, mark)).is_none(), new);
}

/// Everything that can be asked agrees with the model.
fn check(table: &Table<Block>, model: &Model) {
    assert_eq!(table.len(), model.len());
    let marked = model.values().filter(|(_, mark)| *mark).count();
    assert_eq!(table.marked_len(), marked);
    let mut order = Vec::new();
    let mut seen = Model::new();
    for (key, number) in table {
        order.push(hash(key));
        let mark = model[key].1;
        assert!(
            seen.insert(key.to_vec(), (number, mark)).is_none(),
            "shown twice"
        );
    }
    assert_eq!(&seen, model);
    assert!(
        order.is_sorted_by_key(|hash| hash >> 51),
        "items lie in hash order"
    );
    for (key, (number, _)) in model {
        assert_eq!(table.find(hash(key), key), Some((&key[..], *number)));
    }
}

/// A whole scan without changes: each item exactly once.
fn check_scan(table: &Table<Block>, count: usize) {
    let mut seen = BTreeSet::new();
    let mut cursor = 0;
    loop {
        let next = table.scan(cursor, count, |(key, _)| {
            assert!(seen.insert(key.to_vec()), "shown twice in a table at rest");
        });
        assert!(next == 0 || next > cursor);
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(seen.len(), table.len());
}

const MANY_STEPS: usize = amount(60, 6);

#[derive(Clone, Debug)]
enum Step {
    Set(u32, u32, bool),
    Remove(u32),
    Fill(u32, u32),
    Clear(u32, u32),
    Drain(u32),
    /// So many eighths of all items.
    TakeWhere(u32, u64),
}

fn step(space: u32, bulk: u32) -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..space, any::<u32>(), any::<bool>()).prop_map(|(key, number, mark)| Step::Set(key, number, mark)),
        8 => (0..space).prop_map(Step::Remove),
        2 => (0..space, 0..bulk).prop_map(|(from, count)| Step::Fill(from, count)),
        2 => (0..space, 0..bulk).prop_map(|(from, count)| Step::Clear(from, count)),
        1 => any::<u32>().prop_map(Step::Drain),
        1 => (any::<u32>(), 0..9_u64).prop_map(|(salt, eighths)| Step::TakeWhere(salt, eighths)),
    ]
}

fn remove(table: &mut Table<Block>, model: &mut Model, key: &[u8]) {
    let removed = table.remove(hash(key), key).map(|block| block.0.number);
    assert_eq!(removed, model.remove(key).map(|(number, _)| number));
}

fn apply(table: &mut Table<Block>, model: &mut Model, step: &Step) {
    match *step {
        Step::Set(number, value, mark) => set(table, model, &key(number), value, mark),
        Step::Remove(number) => remove(table, model, &key(number)),
        Step::Fill(from, count) => {
            for number in from..from + count {
                set(table, model, &key(number), number, number % 5 == 0);
            }
        }
        Step::Clear(from, count) => {
            for number in from..from + count {
                remove(table, model, &key(number));
            }
        }
        Step::Drain(salt) => drain(table, model, salt),
        Step::TakeWhere(salt, eighths) => take_where(table, model, salt, eighths),
    }
}

/// Removes about so many eighths of the items by [`Table::take_where`].
fn take_where(table: &mut Table<Block>, model: &mut Model, salt: u32, eighths: u64) {
    let goes = |key: &[u8]| hash(key).wrapping_mul(u64::from(salt) | 1) >> 61 < eighths;
    let mut taken = Vec::new();
    table.take_where(|(key, _)| goes(key), |item| taken.push(item.0.key));
    taken.sort();
    let expected: Vec<_> = model.keys().filter(|key| goes(key)).cloned().collect();
    assert_eq!(taken, expected);
    model.retain(|key, _| !goes(key));
}

/// Removes about half of the marked items by [`Table::drain_marked`].
fn drain(table: &mut Table<Block>, model: &mut Model, salt: u32) {
    let gone = |key: &[u8]| hash(key).wrapping_mul(u64::from(salt) | 1) >> 63 == 0;
    let mut taken = Vec::new();
    let mut cursor = 0;
    loop {
        let mut budget = 10 + (salt % 1000) as usize;
        let next = table.drain_marked(
            cursor,
            &mut budget,
            |(key, _)| gone(key),
            |item| taken.push(item.0.key),
        );
        assert!(next == 0 || next > cursor);
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    let mut expected: Vec<Vec<u8>> = Vec::new();
    model.retain(|key, (_, mark)| {
        let goes = *mark && gone(key);
        if goes {
            expected.push(key.clone());
        }
        !goes
    });
    taken.sort();
    assert_eq!(taken, expected);
}

proptest! {
    #![proptest_config(cases(200, 4))]

    #[test]
    fn small_tables_agree_with_a_map(steps in prop::collection::vec(step(40, 10), 0..amount(150, 30))) {
        let (mut table, mut model) = (Table::new(), Model::new());
        for step in &steps {
            apply(&mut table, &mut model, step);
            check(&table, &model);
        }
        check_scan(&table, 3);
    }
}

proptest! {
    #![proptest_config(cases(60, 2))]

    #[test]
    fn large_tables_agree_with_a_map(steps in prop::collection::vec(step(20_000, amount(6000, 100)), 0..MANY_STEPS)) {
        let (mut table, mut model) = (Table::new(), Model::new());
        for step in &steps {
            apply(&mut table, &mut model, step);
            prop_assert_eq!(table.len(), model.len());
        }
        check(&table, &model);
        check_scan(&table, 10);
    }

    #[test]
    fn a_scan_meets_what_stays(
        steps in prop::collection::vec(step(8_000, amount(3000, 40)), 1..MANY_STEPS),
        count in amount(1, 40)..400_usize,
        start in 0_u32..8_000,
    ) {
        let (mut table, mut model) = (Table::new(), Model::new());
        apply(&mut table, &mut model, &Step::Fill(0, amount(start, start / 64)));
        let mut stays: BTreeSet<Vec<u8>> = model.keys().cloned().collect();
        let mut seen = BTreeSet::new();
        let (mut cursor, mut steps) = (0, steps.iter().cycle().take(5 * MANY_STEPS));
        loop {
            cursor = table.scan(cursor, count, |(key, _)| { seen.insert(key.to_vec()); });
            if cursor == 0 { break; }
            if let Some(step) = steps.next() {
                apply(&mut table, &mut model, step);
                stays.retain(|key| model.contains_key(key));
            }
        }
        prop_assert!(stays.is_subset(&seen));
    }
}

#[test]
fn a_table_grows_and_shrinks_to_nothing() {
    // What a directory has whatever its length counts in a small table.
    let (count, fixed) = amount((100_000, 0), (200, 2000));
    let mut table = filled(count);
    assert_eq!(table.len(), count as usize);
    assert_eq!(table.marked_len(), count.div_ceil(7) as usize);
    check_scan(&table, 100);
    let full = table.memory_bytes();
    assert!(
        full < count as usize * 11 + fixed,
        "{full} bytes for {count} items"
    );
    for number in 0..count {
        let key = key(number);
        assert_eq!(
            table.remove(hash(&key), &key).map(|block| block.0.number),
            Some(number)
        );
        assert!(table.memory_bytes() <= full);
        if number == count / 10 * 9 {
            assert!(table.memory_bytes() < count as usize / 10 * 20 + fixed);
        }
    }
    assert_eq!(
        (table.len(), table.marked_len(), table.memory_bytes()),
        (0, 0, 0)
    );
}

/// The slots' share of a key, over two doublings: between them it depends on how full segments happen to be.
#[test]
#[cfg_attr(miri, ignore = "under Miri segments have another size")]
fn slots_cost_less_than_ten_bytes_per_item() {
    let mut table = filled(50_000);
    let (mut sum, mut samples) = (0.0, 0.0);
    for number in 50_000..200_000 {
        let key = key(number);
        table.insert(hash(&key), Block::new(&key, number, false));
        if number % 1000 == 0 {
            let bytes = table.memory_bytes() as f64 / table.len() as f64;
            assert!(bytes < 10.5, "{bytes} at {number}");
            sum += bytes / f64::from(number);
            samples += 1.0 / f64::from(number);
        }
    }
    assert!(sum / samples < 9.6, "{} on average", sum / samples);
}

#[test]
#[cfg_attr(miri, ignore = "it takes many items to be large")]
fn what_a_large_table_takes_is_estimated_from_a_part() {
    let small = filled(1000);
    assert_eq!(small.memory_estimate(), small.memory_bytes());
    let large = filled(700_000);
    let (bytes, estimate) = (large.memory_bytes(), large.memory_estimate());
    assert!(
        estimate.abs_diff(bytes) < bytes / 20,
        "{estimate} for {bytes}"
    );
}

#[test]
fn an_empty_table_is_eight_bytes() {
    let table = Table::<Block>::new();
    assert_eq!((size_of_val(&table), table.memory_bytes()), (8, 0));
    assert_eq!(table.scan(0, 10, |_| panic!("nothing to show")), 0);
    assert!(table.random(&mut || 0).is_none());
    assert!(table.random_marked(&mut || 0).is_none());
    assert!(table.find(0, b"").is_none());
}

#[test]
fn cursors_from_nowhere_end_the_scan() {
    let table = filled(100);
    for cursor in [1 << 48, u64::MAX, u64::MAX >> 15] {
        assert_eq!(table.scan(cursor, 10, |_| panic!("nothing lies there")), 0);
    }
    // Any number below is a position.
    let _ = table.scan((1 << 48) - 1, 10, |_| {});
}

/// Hashes that agree in many bits make larger segments, not a huge directory.
#[test]
fn hashes_that_are_alike_cost_no_directory() {
    let mut table = Table::new();
    let mut model = Model::new();
    let (bits, count, rounds) = amount((10, 3000, 20_000), (6, 80, 300));
    let alike = (0..)
        .map(key)
        .filter(|key| hash(key) >> (64 - bits) == 5)
        .take(count);
    for (number, key) in (0..).zip(alike) {
        set(&mut table, &mut model, &key, number, number % 3 == 0);
    }
    check(&table, &model);
    check_scan(&table, 7);
    // A small table's directory has a fixed part, too.
    assert!(table.memory_bytes() < count * 16 + amount(0, 2000));
    let mut random = numbers(1);
    let chosen: BTreeSet<u32> = (0..rounds)
        .filter_map(|_| table.random(&mut random).map(|(_, number)| number))
        .collect();
    assert!(chosen.len() > count.min(rounds) * 9 / 10);
    let keys: Vec<Vec<u8>> = model.keys().cloned().collect();
    for key in keys {
        remove(&mut table, &mut model, &key);
    }
    assert_eq!(table.memory_bytes(), 0);
}

/// Chi-square over all items: the sum's mean is the number of items, its deviation the root of twice that.
fn check_fair(count: u32, wanted: &[u32], mut choose: impl FnMut() -> u32) {
    let rounds = 40 * wanted.len();
    let mut hits = vec![0_f64; count as usize];
    for _ in 0..rounds {
        hits[choose() as usize] += 1.0;
    }
    let expected = 40.0;
    let chi: f64 = wanted
        .iter()
        .map(|&number| (hits[number as usize] - expected).powi(2) / expected)
        .sum();
    let mean = wanted.len() as f64;
    assert!(
        (chi - mean).abs() < 6.0 * (2.0 * mean).sqrt(),
        "chi-square {chi} of {mean}"
    );
}

#[test]
fn random_items_are_chosen_evenly() {
    let counts: &[u32] = amount(&[1, 2, 10, 100, 900, 1300, 5000, 30_000], &[1, 2, 10, 100]);
    for &count in counts {
        let table = filled(count);
        let all: Vec<u32> = (0..count).collect();
        let marked: Vec<u32> = (0..count).filter(|number| number % 7 == 0).collect();
        let mut random = numbers(u64::from(count));
        check_fair(count, &all, || table.random(&mut random).unwrap().1);
        check_fair(count, &marked, || {
            table.random_marked(&mut random).unwrap().1
        });
    }
}

#[test]
fn random_items_are_chosen_evenly_after_most_are_gone() {
    let count = amount(20_000, 250);
    let mut table = filled(count);
    let all: Vec<u32> = (0..count).filter(|number| number % 61 == 0).collect();
    for number in (0..count).filter(|number| number % 61 != 0) {
        table.remove(hash(&key(number)), &key(number)).unwrap();
    }
    let mut random = numbers(3);
    check_fair(count, &all, || table.random(&mut random).unwrap().1);
}

/// A source of numbers that is not random must not hang anything.
#[test]
fn a_constant_source_ends() {
    let table = filled(amount(5000, 150));
    for constant in [0, 1, u64::MAX, 1 << 63] {
        assert!(table.random(&mut || constant).is_some());
        assert!(table.random_marked(&mut || constant).is_some());
    }
}
