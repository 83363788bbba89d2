//! Sorted sets against a plain map, sorted when asked.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::amount::{amount, cases};

const STEPS: usize = amount(30, 8);

#[derive(Clone, Debug)]
enum Step {
    Insert(u16, f64),
    InsertMany(u16, u16, bool),
    Remove(u16),
    RemoveRange(prop::sample::Index, usize),
    Rescore(u16, u16, i8),
    CompactIfSmall,
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-5i32..300).prop_map(f64::from),
        2 => prop::sample::select(vec![0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, 0.1, -0.1, 1e300, 3.5]),
        1 => any::<f64>().prop_filter("not NaN", |score| !score.is_nan()),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u16..80, score()).prop_map(|(n, score)| Step::Insert(n, score)),
        2 => (0u16..2000, 0u16..amount(300, 60), any::<bool>()).prop_map(|(n, many, equal)| Step::InsertMany(n, many, equal)),
        4 => (0u16..80).prop_map(Step::Remove),
        2 => (any::<prop::sample::Index>(), 0usize..amount(400, 80)).prop_map(|(at, n)| Step::RemoveRange(at, n)),
        2 => (0u16..2000, 0u16..amount(300, 60), any::<i8>()).prop_map(|(n, many, by)| Step::Rescore(n, many, by)),
        1 => Just(Step::CompactIfSmall),
    ]
}

fn member(n: u16) -> Vec<u8> {
    match n % 4 {
        0 => format!("member:{n}").into_bytes(),
        1 => n.to_string().into_bytes(),
        2 => vec![b'x'; usize::from(n % 150)],
        _ => n.to_be_bytes().to_vec(),
    }
}

#[derive(Default)]
struct Model {
    map: BTreeMap<Vec<u8>, f64>,
    skiplist: bool,
}

impl Model {
    fn sorted(&self) -> Vec<(&[u8], f64)> {
        let mut all: Vec<(&[u8], f64)> = self.map.iter().map(|(m, s)| (m.as_slice(), *s)).collect();
        all.sort_by(|a, b| a.1.partial_cmp(&b.1).unwrap().then(a.0.cmp(b.0)));
        all
    }

    #[expect(clippy::float_cmp, reason = "scores are kept exactly")]
    fn insert(&mut self, member: &[u8], score: f64, limits: &Limits) -> Insert {
        match self.map.get_mut(member) {
            Some(old) if *old == score => Insert::Unchanged,
            Some(old) => {
                *old = score;
                Insert::Updated
            }
            None => {
                self.map.insert(member.to_vec(), score);
                self.skiplist |=
                    member.len() > limits.zset_value || self.map.len() > limits.zset_entries;
                Insert::Added
            }
        }
    }
}

fn apply(zset: &mut Zset, model: &mut Model, limits: &Limits, step: &Step) {
    let mut insert = |zset: &mut Zset, n: u16, score: f64| {
        let member = member(n);
        assert_eq!(
            zset.insert(&member, score, limits),
            model.insert(&member, score, limits)
        );
    };
    match *step {
        Step::Insert(n, score) => insert(zset, n, score),
        Step::InsertMany(from, many, equal) => {
            for n in from..from + many {
                insert(zset, n, if equal { 1.0 } else { f64::from(n) });
            }
        }
        Step::Rescore(from, many, by) => {
            for n in from..from + many {
                if let Some(score) = zset.score(&member(n)) {
                    insert(zset, n, score + f64::from(by));
                }
            }
        }
        Step::Remove(n) => {
            let member = member(n);
            assert_eq!(zset.remove(&member), model.map.remove(&member).is_some());
        }
        Step::RemoveRange(at, n) => {
            let from = at.index(model.map.len() + 1);
            let gone: Vec<Vec<u8>> = model
                .sorted()
                .iter()
                .skip(from)
                .take(n)
                .map(|(m, _)| m.to_vec())
                .collect();
            assert_eq!(zset.remove_range(from..from + n).0, gone.len());
            model.map.retain(|member, _| !gone.contains(member));
        }
        Step::CompactIfSmall => {
            zset.compact_if_small(limits);
            let small = model.map.len() <= limits.zset_entries
                && model
                    .map
                    .keys()
                    .all(|member| member.len() <= limits.zset_value);
            if small {
                model.skiplist = false;
            }
        }
    }
}

/// Members and scores, where -0 is not 0.
fn exact<'a>(pairs: impl Iterator<Item = (&'a [u8], f64)>) -> Vec<(Vec<u8>, u64)> {
    pairs
        .map(|(member, score)| (member.to_vec(), score.to_bits()))
        .collect()
}

fn check(zset: &Zset, model: &Model) {
    let all = model.sorted();
    assert_eq!(zset.len(), all.len());
    assert_eq!(exact(zset.iter()), exact(all.iter().copied()));
    assert_eq!(exact(zset.iter().rev()), exact(all.iter().rev().copied()));
    let (from, to) = (all.len() / 4, all.len() * 3 / 4 + 1);
    let expected = &all[from.min(all.len())..to.min(all.len())];
    assert_eq!(exact(zset.range(from..to)), exact(expected.iter().copied()));
    let mut range = zset.range(from..to);
    let mut expected = expected.iter().copied();
    while let Some(pair) = range.next_back() {
        assert_eq!(Some(pair), expected.next_back());
        assert_eq!(range.next(), expected.next());
    }
    assert_eq!(expected.next(), None);
    for (rank, (member, score)) in all.iter().enumerate().step_by(5) {
        assert_eq!(zset.rank(member), Some(rank));
        assert_eq!(zset.score(member).map(f64::to_bits), Some(score.to_bits()));
    }
    assert_eq!((zset.rank(b"absent"), zset.score(b"absent")), (None, None));
    if !zset.is_empty() {
        assert_eq!(zset.encoding() == Encoding::Skiplist, model.skiplist);
    }
}

fn check_score_ranges(zset: &Zset, model: &Model, bounds: &[(f64, bool)]) {
    let all = model.sorted();
    for &(min, min_exclusive) in bounds {
        for &(max, max_exclusive) in bounds {
            let ranks = zset.ranks_by_score(
                ScoreBound {
                    value: min,
                    exclusive: min_exclusive,
                },
                ScoreBound {
                    value: max,
                    exclusive: max_exclusive,
                },
            );
            let inside = |score: f64| {
                (if min_exclusive {
                    score > min
                } else {
                    score >= min
                }) && (if max_exclusive {
                    score < max
                } else {
                    score <= max
                })
            };
            let expected: Vec<usize> = (0..all.len()).filter(|i| inside(all[*i].1)).collect();
            assert!(ranks.start <= ranks.end && ranks.end <= all.len());
            assert!(ranks.clone().eq(expected), "{ranks:?}");
        }
    }
}

fn ends(bound: &[u8]) -> [LexBound<'_>; 4] {
    [
        LexBound::Min,
        LexBound::Max,
        LexBound::Inclusive(bound),
        LexBound::Exclusive(bound),
    ]
}

proptest! {
    #![proptest_config(cases(128, 2))]
    #[test]
    fn behaves_like_a_sorted_map(
        entries in 0usize..150,
        value in 0usize..80,
        bounds in prop::collection::vec((score(), any::<bool>()), 1..4),
        steps in prop::collection::vec(step(), 1..STEPS),
    ) {
        let limits = Limits { zset_entries: entries, zset_value: value, ..Limits::default() };
        let mut zset = Zset::new();
        let mut model = Model::default();
        for step in &steps {
            apply(&mut zset, &mut model, &limits, step);
            check(&zset, &model);
            check_score_ranges(&zset, &model, &bounds);
            if model.map.is_empty() {
                zset = Zset::new();
                model = Model::default();
            }
        }
    }

    #[test]
    fn ranges_of_members(
        members in prop::collection::btree_set(prop::collection::vec(b'a'..b'd', 0..5), 1..amount(200, 30)),
        bounds in prop::collection::vec(prop::collection::vec(b'a'..b'd', 0..5), 2),
        entries in prop::sample::select(vec![0usize, 1000]),
    ) {
        let limits = Limits { zset_entries: entries, ..Limits::default() };
        let mut zset = Zset::new();
        for member in &members {
            zset.insert(member, 0.0, &limits);
        }
        for min in ends(&bounds[0]) {
            for max in ends(&bounds[1]) {
                let above = |member: &[u8]| match min {
                    LexBound::Min => true,
                    LexBound::Max => false,
                    LexBound::Inclusive(bound) => member >= bound,
                    LexBound::Exclusive(bound) => member > bound,
                };
                let below = |member: &[u8]| match max {
                    LexBound::Min => false,
                    LexBound::Max => true,
                    LexBound::Inclusive(bound) => member <= bound,
                    LexBound::Exclusive(bound) => member < bound,
                };
                let expected: Vec<usize> = members.iter().enumerate().filter(|(_, m)| above(m) && below(m)).map(|(i, _)| i).collect();
                let ranks = zset.ranks_by_lex(min, max);
                prop_assert!(ranks.start <= ranks.end && ranks.end <= members.len());
                prop_assert!(ranks.eq(expected));
            }
        }
    }

    #[test]
    fn a_scan_shows_what_stays(start in 0u16..amount(500, 60), steps in prop::collection::vec((step(), 1usize..50), 1..STEPS)) {
        let limits = Limits { zset_entries: 0, ..Limits::default() };
        let mut zset = Zset::new();
        let mut model = Model::default();
        apply(&mut zset, &mut model, &limits, &Step::InsertMany(0, start, false));
        let mut stays: BTreeSet<Vec<u8>> = model.map.keys().cloned().collect();
        let mut seen = BTreeSet::new();
        let mut cursor = 0;
        for (step, count) in &steps {
            cursor = zset.scan(cursor, *count, |member, _| {
                seen.insert(member.to_vec());
            });
            if cursor == 0 {
                break;
            }
            apply(&mut zset, &mut model, &limits, step);
            stays.retain(|member| model.map.contains_key(member));
        }
        while cursor != 0 {
            cursor = zset.scan(cursor, 10, |member, _| {
                seen.insert(member.to_vec());
            });
        }
        prop_assert!(stays.is_subset(&seen));
    }

    #[test]
    fn a_builder_builds_the_same(pairs in prop::collection::vec((0u16..3000, score()), 0..amount(600, 80)), entries in 0usize..100) {
        let limits = Limits { zset_entries: entries, ..Limits::default() };
        let mut builder = ZsetBuilder::new();
        let mut model = Model::default();
        let (mut distinct, mut noticed) = (true, true);
        for (n, score) in pairs {
            let member = member(n);
            let new = !model.map.contains_key(&member);
            distinct &= new;
            noticed &= builder.push(&member, score, &limits);
            if new {
                model.insert(&member, score, &limits);
            }
        }
        noticed &= builder.settle();
        prop_assert_eq!(noticed, distinct);
        let mut zset = builder.finish();
        check(&zset, &model);
        for n in 0..amount(50, 10) {
            apply(&mut zset, &mut model, &limits, &Step::Insert(n * 7, f64::from(n)));
            apply(&mut zset, &mut model, &limits, &Step::Remove(n * 11));
        }
        check(&zset, &model);
    }
}

#[test]
fn minus_zero_equals_zero_and_stays_as_it_came() {
    for entries in [0, 128] {
        let limits = Limits {
            zset_entries: entries,
            ..Limits::default()
        };
        let mut zset = Zset::new();
        for (member, score) in [(b"c", -0.0), (b"a", 0.0), (b"b", -0.0)] {
            zset.insert(member, score, &limits);
        }
        let order: Vec<u8> = zset.iter().map(|(member, _)| member[0]).collect();
        assert_eq!(order, b"abc");
        assert_eq!(zset.score(b"c").map(f64::is_sign_negative), Some(true));
        assert_eq!(zset.insert(b"a", -0.0, &limits), Insert::Unchanged);
        let zero = ScoreBound {
            value: -0.0,
            exclusive: false,
        };
        assert_eq!(zset.ranks_by_score(zero, zero), 0..3);
    }
}

#[test]
fn goes_to_another_thread_whole() {
    let limits = Limits {
        zset_entries: 0,
        ..Limits::default()
    };
    let mut zset = Zset::new();
    let many = amount(500u16, 80);
    for n in 0..many {
        zset.insert(&n.to_be_bytes(), f64::from(n % 7), &limits);
    }
    assert!(zset.free_effort() >= usize::from(many));
    let len = std::thread::spawn(move || zset.iter().count())
        .join()
        .unwrap();
    assert_eq!(len, usize::from(many));
    assert_eq!(size_of::<Zset>(), 8);
}
