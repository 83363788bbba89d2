//! Sets against a plain set.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::amount::{amount, cases};

const STEPS: usize = amount(50, 8);

#[derive(Clone, Debug)]
enum Step {
    Add(Vec<u8>),
    AddInts(i64, u16),
    AddNames(u16, u16),
    Remove(prop::sample::Index),
    RemoveMany(prop::sample::Index, usize),
}

fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => (any::<i64>(), 0u32..64).prop_map(|(n, shift)| (n >> shift).to_string().into_bytes()),
        1 => prop::sample::select(vec!["", "00", "-0", "1.0", "9223372036854775808", "-9223372036854775808"])
            .prop_map(|text| text.as_bytes().to_vec()),
        1 => (0usize..400).prop_map(|n| vec![b'm'; n]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<i64>(), 0u32..64).prop_map(|(n, shift)| Step::Add((n >> shift).to_string().into_bytes())),
        1 => member().prop_map(Step::Add),
        2 => (-500i64..40_000, 0u16..60).prop_map(|(n, many)| Step::AddInts(n, many)),
        1 => (0u16..2000, 0u16..amount(300, 40)).prop_map(|(n, many)| Step::AddNames(n, many)),
        3 => any::<prop::sample::Index>().prop_map(Step::Remove),
        1 => (any::<prop::sample::Index>(), 0usize..300).prop_map(|(at, n)| Step::RemoveMany(at, n)),
    ]
}

struct Model {
    set: BTreeSet<Vec<u8>>,
    encoding: Encoding,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            set: BTreeSet::new(),
            encoding: Encoding::Intset,
        }
    }
}

impl Model {
    fn add(&mut self, member: &[u8], limits: &Limits) -> bool {
        let integer = std::str::from_utf8(member)
            .ok()
            .and_then(|text| Some((text, text.parse::<i64>().ok()?)))
            .is_some_and(|(text, n)| n.to_string() == text);
        let new = self.set.insert(member.to_vec());
        let long = |member: &Vec<u8>| member.len() > limits.set_value;
        let past = self.set.len() > limits.set_entries || long(&member.to_vec());
        self.encoding = match self.encoding {
            _ if !new => self.encoding,
            Encoding::Intset
                if integer && (self.set.len() > 1 || limits.set_intset_entries > 0) =>
            {
                if self.set.len() > limits.set_intset_entries {
                    Encoding::Hashtable
                } else {
                    Encoding::Intset
                }
            }
            Encoding::Intset if past || self.set.iter().any(long) => Encoding::Hashtable,
            Encoding::Listpack if past => Encoding::Hashtable,
            Encoding::Intset => Encoding::Listpack,
            other => other,
        };
        new
    }
}

fn apply(set: &mut Set, model: &mut Model, limits: &Limits, step: &Step) {
    match step {
        Step::Add(member) => assert_eq!(set.add(member, limits), model.add(member, limits)),
        Step::AddInts(n, many) => {
            for n in *n..n + i64::from(*many) {
                let member = n.to_string().into_bytes();
                assert_eq!(set.add(&member, limits), model.add(&member, limits));
            }
        }
        Step::AddNames(n, many) => {
            for n in *n..n + many {
                let member = format!("member:{n}").into_bytes();
                assert_eq!(set.add(&member, limits), model.add(&member, limits));
            }
        }
        Step::Remove(at) => {
            let member = model.set.iter().nth(at.index(model.set.len() + 1)).cloned();
            let member = member.unwrap_or_else(|| b"not there".to_vec());
            assert_eq!(set.remove(&member), model.set.remove(&member));
            assert!(!set.remove(&member));
        }
        Step::RemoveMany(at, n) => {
            let from = at.index(model.set.len() + 1);
            let gone: Vec<Vec<u8>> = model.set.iter().skip(from).take(*n).cloned().collect();
            for member in gone {
                assert!(set.remove(&member));
                model.set.remove(&member);
            }
        }
    }
}

fn all(set: &Set) -> Vec<Vec<u8>> {
    let mut scratch = [0; 20];
    set.iter()
        .map(|elem| elem.bytes(&mut scratch).to_vec())
        .collect()
}

fn check(set: &Set, model: &Model) {
    assert_eq!(set.len(), model.set.len());
    let members = all(set);
    assert_eq!(members.len(), model.set.len());
    assert_eq!(members.iter().cloned().collect::<BTreeSet<_>>(), model.set);
    if !set.is_empty() {
        assert_eq!(set.encoding(), model.encoding);
    }
    if set.encoding() == Encoding::Intset {
        let ints: Vec<Elem<'_>> = set.iter().collect();
        assert!(ints.is_sorted_by_key(|elem| match elem {
            Elem::Int(n) => *n,
            Elem::Bytes(_) => panic!("bytes in an integer set"),
        }));
    }
    assert!(set.iter().all(|elem| set.contains_elem(elem)));
    for absent in [&b"absent"[..], b"-77777777", b"077"] {
        assert_eq!(set.contains(absent), model.set.contains(absent));
    }
    assert_eq!(
        set.contains_elem(Elem::Int(5)),
        model.set.contains(&b"5"[..])
    );
}

proptest! {
    #![proptest_config(cases(192, 2))]
    #[test]
    fn behaves_like_a_set(ints in 0usize..100, entries in 0usize..100, value in 0usize..100, steps in prop::collection::vec(step(), 1..STEPS)) {
        let limits = Limits { set_intset_entries: ints, set_entries: entries, set_value: value, ..Limits::default() };
        let mut set = Set::new();
        let mut model = Model::default();
        for step in &steps {
            apply(&mut set, &mut model, &limits, step);
            check(&set, &model);
            if model.set.is_empty() {
                set = Set::new();
                model = Model::default();
            }
        }
    }

    #[test]
    fn a_scan_shows_what_stays(start in 0u16..amount(500, 60), steps in prop::collection::vec((step(), 1usize..50), 1..STEPS)) {
        let limits = Limits { set_intset_entries: 20, ..Limits::default() };
        let mut set = Set::new();
        let mut model = Model::default();
        apply(&mut set, &mut model, &limits, &Step::AddNames(0, start));
        let mut stays = model.set.clone();
        let mut seen = BTreeSet::new();
        let mut cursor = 0;
        let mut scratch = [0; 20];
        for (step, count) in &steps {
            cursor = set.scan(cursor, *count, |elem| {
                seen.insert(elem.bytes(&mut scratch).to_vec());
            });
            if cursor == 0 {
                break;
            }
            apply(&mut set, &mut model, &limits, step);
            stays.retain(|member| model.set.contains(member));
        }
        while cursor != 0 {
            cursor = set.scan(cursor, 10, |elem| {
                seen.insert(elem.bytes(&mut scratch).to_vec());
            });
        }
        prop_assert!(stays.is_subset(&seen));
    }
}

#[test]
fn random_members_are_all_met_alike() {
    let limits = Limits::default();
    let many = amount(300, 20);
    for kind in ["", "m", "a longer member "] {
        let mut set = Set::new();
        assert_eq!(set.random(&mut || 7), None);
        for n in 0..if kind == "m" { 20 } else { many } {
            set.add(format!("{kind}{n}").as_bytes(), &limits);
        }
        // A plain xorshift, so that the test repeats.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut met = std::collections::BTreeMap::<Vec<u8>, usize>::new();
        let draws = 50 * set.len();
        for _ in 0..draws {
            let elem = set.random(&mut random).unwrap();
            *met.entry(elem.bytes(&mut [0; 20]).to_vec()).or_default() += 1;
        }
        assert_eq!(met.len(), set.len(), "{kind:?}");
        let (least, most) = (met.values().min().unwrap(), met.values().max().unwrap());
        assert!(*least >= 20 && *most <= 90, "{kind:?}: {least} to {most}");
    }
}

#[test]
fn few_members_take_one_block() {
    let mut set = Set::new();
    for n in 0..10 {
        set.add(n.to_string().as_bytes(), &Limits::default());
    }
    // Two bytes each.
    assert!(set.heap_bytes() <= 32, "{}", set.heap_bytes());
    for n in 0..10 {
        set.add(format!("tag:{n}").as_bytes(), &Limits::default());
    }
    assert_eq!(set.encoding(), Encoding::Listpack);
    set.forget_compact();
    assert_eq!(set.encoding(), Encoding::Hashtable);
    assert_eq!((set.len(), set.free_effort()), (20, 1));
    assert_eq!(size_of::<Set>(), 8);
}

proptest! {
    #![proptest_config(cases(48, 2))]
    #[test]
    fn common_members_are_those_of_the_model(
        ranges in prop::collection::vec((0usize..amount(3000, 200), 0usize..amount(1500, 100), 1usize..5), 1..4),
        most in 1usize..300,
    ) {
        let limits = Limits::default();
        let (mut sets, mut models) = (Vec::new(), Vec::new());
        for (from, many, step) in ranges {
            let members = (from..from + many).step_by(step);
            let (mut set, mut model) = (Set::new(), BTreeSet::new());
            for member in members.map(|n| format!("m{n}").into_bytes()) {
                set.add(&member, &limits);
                model.insert(member);
            }
            sets.push(set);
            models.push(model);
        }
        let others: Vec<&Set> = sets[1..].iter().collect();
        let mut expected = models[0].clone();
        expected.retain(|member| models[1..].iter().all(|model| model.contains(member)));
        let mut found = Vec::new();
        let whole = sets[0].common(&others, |elem| {
            found.push(elem.bytes(&mut [0; 20]).to_vec());
            ControlFlow::Continue(())
        });
        prop_assert!(whole.is_continue());
        let in_order: Vec<Vec<u8>> = sets[0]
            .iter()
            .map(|elem| elem.bytes(&mut [0; 20]).to_vec())
            .filter(|member| expected.contains(member))
            .collect();
        prop_assert_eq!(&found, &in_order);
        let mut first = Vec::new();
        let broken = sets[0].common(&others, |elem| {
            first.push(elem.bytes(&mut [0; 20]).to_vec());
            if first.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        prop_assert_eq!(broken.is_break(), found.len() >= most);
        prop_assert_eq!(&first[..], &found[..found.len().min(most)]);
    }
}
