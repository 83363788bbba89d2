//! Hashes against a plain map.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::amount::{amount, cases};

const STEPS: usize = amount(60, 8);

#[derive(Clone, Debug)]
enum Step {
    Set(u16, Vec<u8>),
    SetMany(u16, u16),
    Remove(u16),
    RemoveMany(u16, u16),
}

fn field(n: u16) -> Vec<u8> {
    match n % 4 {
        0 => format!("field:{n}").into_bytes(),
        1 => n.to_string().into_bytes(),
        2 => vec![b'x'; usize::from(n % 300)],
        _ => n.to_be_bytes().to_vec(),
    }
}

fn step() -> impl Strategy<Value = Step> {
    let value = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..20),
        2 => (0usize..200).prop_map(|n| vec![b'v'; n]),
        1 => (500usize..40_000).prop_map(|n| vec![b'w'; n]),
    ];
    prop_oneof![
        6 => (0u16..60, value).prop_map(|(n, value)| Step::Set(n, value)),
        2 => (0u16..3000, 0u16..amount(200, 30)).prop_map(|(n, many)| Step::SetMany(n, many)),
        4 => (0u16..60).prop_map(Step::Remove),
        1 => (0u16..3000, 0u16..amount(400, 60)).prop_map(|(n, many)| Step::RemoveMany(n, many)),
    ]
}

#[derive(Default)]
struct Model {
    map: BTreeMap<Vec<u8>, Vec<u8>>,
    order: Vec<Vec<u8>>,
    table: bool,
}

impl Model {
    fn set(&mut self, field: &[u8], value: &[u8], limits: &Limits) -> bool {
        let new = self.map.insert(field.to_vec(), value.to_vec()).is_none();
        if new {
            self.order.push(field.to_vec());
        }
        self.table |= field.len() > limits.hash_value
            || value.len() > limits.hash_value
            || self.map.len() > limits.hash_entries;
        new
    }

    fn remove(&mut self, field: &[u8]) -> bool {
        self.order.retain(|other| other != field);
        self.map.remove(field).is_some()
    }
}

fn check(hash: &Hash, model: &Model) {
    assert_eq!(hash.see().len(), model.map.len());
    let seen: BTreeMap<Vec<u8>, Vec<u8>> = hash
        .see()
        .iter()
        .map(|(f, v)| (f.to_vec(), v.to_vec()))
        .collect();
    assert_eq!(seen, model.map);
    assert_eq!(hash.see().iter().count(), model.map.len());
    for n in (0..60).step_by(7) {
        let field = field(n);
        assert_eq!(
            hash.see().get(&field),
            model.map.get(&field).map(Vec::as_slice)
        );
    }
    if !hash.see().is_empty() {
        assert_eq!(hash.see().encoding() == Encoding::Hashtable, model.table);
    }
    if !model.table {
        assert!(
            hash.see()
                .iter()
                .map(|(f, _)| f)
                .eq(model.order.iter().map(Vec::as_slice))
        );
    }
}

fn apply(hash: &mut Hash, model: &mut Model, limits: &Limits, step: &Step) {
    match step {
        Step::Set(n, value) => {
            let field = field(*n);
            assert_eq!(
                hash.set(&field, value, limits),
                model.set(&field, value, limits)
            );
        }
        Step::SetMany(n, many) => {
            for n in *n..n + many {
                let field = field(n);
                assert_eq!(
                    hash.set(&field, b"", limits),
                    model.set(&field, b"", limits)
                );
            }
        }
        Step::Remove(n) => {
            let field = field(*n);
            assert_eq!(hash.remove(&field), model.remove(&field));
        }
        Step::RemoveMany(n, many) => {
            for n in *n..n + many {
                let field = field(n);
                assert_eq!(hash.remove(&field), model.remove(&field));
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(192, 2))]
    #[test]
    fn behaves_like_a_map(entries in 0usize..100, value in 0usize..100, steps in prop::collection::vec(step(), 1..STEPS)) {
        let limits = Limits { hash_entries: entries, hash_value: value, ..Limits::default() };
        let mut hash = Hash::new();
        let mut model = Model::default();
        for step in &steps {
            apply(&mut hash, &mut model, &limits, step);
            check(&hash, &model);
            if model.map.is_empty() {
                hash = Hash::new();
                model = Model::default();
            }
        }
    }

    #[test]
    fn a_scan_shows_what_stays(start in 0u16..amount(500, 60), steps in prop::collection::vec((step(), 1usize..50), 1..STEPS)) {
        let limits = Limits { hash_entries: 40, ..Limits::default() };
        let mut hash = Hash::new();
        let mut model = Model::default();
        for n in 0..start {
            apply(&mut hash, &mut model, &limits, &Step::Set(n, Vec::new()));
        }
        let mut stays: BTreeSet<Vec<u8>> = model.map.keys().cloned().collect();
        let mut seen = BTreeSet::new();
        let mut cursor = 0;
        for (step, count) in &steps {
            cursor = hash.see().scan(cursor, *count, |field, _| {
                seen.insert(field.to_vec());
            });
            if cursor == 0 {
                break;
            }
            apply(&mut hash, &mut model, &limits, step);
            stays.retain(|field| model.map.contains_key(field));
        }
        while cursor != 0 {
            cursor = hash.see().scan(cursor, 10, |field, _| {
                seen.insert(field.to_vec());
            });
        }
        prop_assert!(stays.is_subset(&seen));
    }
}

#[test]
fn encodings_change_where_redis_changes_them() {
    let limits = Limits {
        hash_entries: amount(512, 20),
        ..Limits::default()
    };
    let mut hash = Hash::new();
    for n in 0..amount(512u16, 20) {
        hash.set(&n.to_be_bytes(), &[b'v'; 64], &limits);
    }
    assert_eq!(hash.see().encoding(), Encoding::Listpack);
    hash.set(b"one more", b"", &limits);
    assert_eq!(hash.see().encoding(), Encoding::Hashtable);
    for (field, value) in [(&b""[..], &[b'v'; 65][..]), (&[b'f'; 65], b"")] {
        let mut hash = Hash::new();
        hash.set(b"a", b"b", &limits);
        assert_eq!(hash.see().encoding(), Encoding::Listpack);
        hash.set(field, value, &limits);
        assert_eq!(hash.see().encoding(), Encoding::Hashtable);
        hash.remove(field);
        assert_eq!(hash.see().encoding(), Encoding::Hashtable);
    }
}

#[test]
fn a_small_hash_is_one_tight_block() {
    let mut hash = Hash::new();
    assert_eq!(size_of::<Plain>(), 8);
    for n in 0..5 {
        hash.set(format!("f{n}").as_bytes(), b"value:00", &Limits::default());
    }
    // Fifty bytes of content.
    assert!(hash.see().heap_bytes() <= 72, "{}", hash.see().heap_bytes());
    assert_eq!(hash.see().free_effort(), 1);
}
