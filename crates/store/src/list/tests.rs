//! Lists against a plain deque.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::amount::{amount, cases};

const STEPS: usize = amount(60, 8);

#[derive(Clone, Debug)]
enum Step {
    PushFront(Vec<u8>),
    PushBack(Vec<u8>),
    PushMany(bool, u16, u8),
    PopFront(u16),
    PopBack(u16),
    Set(prop::sample::Index, Vec<u8>),
    Insert(prop::sample::Index, bool, Vec<u8>),
    Remove(prop::sample::Index, usize, bool),
    Trim(prop::sample::Index, prop::sample::Index),
    /// Adds what stands in a row: elements, how many at most, and how many bytes are cut off.
    Extend(Vec<Vec<u8>>, usize, usize),
    /// Pushes at one end and pops at the other, or at the same.
    Turn(bool, bool, u16, u8),
}

/// Short ones that are often equal, and some that need a chunk or nearly fill one.
fn element() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => (0u8..20).prop_map(|n| vec![b'a' + n % 5; usize::from(n)]),
        2 => (0i64..50).prop_map(|n| n.to_string().into_bytes()),
        2 => (0usize..400).prop_map(|n| vec![b'm'; n]),
        1 => (1000usize..9000).prop_map(|n| vec![b'x'; n]),
    ]
}

/// What fits a row, mostly.
fn short() -> impl Strategy<Value = Vec<u8>> {
    let of = |n: usize| vec![b'r'; n];
    prop_oneof![9 => Just(of(9)), 9 => (0usize..64).prop_map(of), 1 => Just(of(64))]
}

fn step() -> impl Strategy<Value = Step> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        3 => element().prop_map(Step::PushFront),
        3 => element().prop_map(Step::PushBack),
        2 => (any::<bool>(), 0u16..600, any::<u8>()).prop_map(|(front, n, len)| Step::PushMany(front, n, len % 40)),
        2 => (1u16..300).prop_map(Step::PopFront),
        2 => (1u16..300).prop_map(Step::PopBack),
        2 => (index(), element()).prop_map(|(i, e)| Step::Set(i, e)),
        3 => (index(), any::<bool>(), element()).prop_map(|(i, after, e)| Step::Insert(i, after, e)),
        2 => (index(), 0usize..5, any::<bool>()).prop_map(|(i, n, tail)| Step::Remove(i, n, tail)),
        1 => (index(), index()).prop_map(|(a, b)| Step::Trim(a, b)),
        2 => (prop::collection::vec(short(), 0..400), 0usize..500, 0usize..70).prop_map(|(e, most, cut)| Step::Extend(e, most, cut)),
        3 => (any::<bool>(), any::<bool>(), 0u16..400, any::<u8>()).prop_map(|(front, back, n, len)| Step::Turn(front, back, n, len % 40)),
    ]
}

/// A plain list, and whether it is past the limits.
struct Model {
    list: VecDeque<Vec<u8>>,
    linked: bool,
    limits: Limits,
}

impl Model {
    fn meet(&mut self, element: &[u8]) {
        let (bytes, count) = self.limits.list_node();
        let used = listpack::len(self.list.iter().map(Vec::as_slice));
        self.linked |= used + element.len() > bytes || self.list.len() >= count;
    }

    fn push(&mut self, element: &[u8], front: bool) {
        self.meet(element);
        if front {
            self.list.push_front(element.to_vec());
        } else {
            self.list.push_back(element.to_vec());
        }
    }

    fn remove(&mut self, element: &[u8], count: usize, from_tail: bool) -> usize {
        let most = if count == 0 { usize::MAX } else { count };
        let mut places: Vec<usize> = (0..self.list.len())
            .filter(|i| self.list[*i] == element)
            .collect();
        if from_tail {
            places.reverse();
        }
        places.truncate(most);
        places.sort_unstable();
        for place in places.iter().rev() {
            self.list.remove(*place);
        }
        places.len()
    }
}

fn push(list: &mut List, model: &mut Model, element: &[u8], front: bool) {
    if front {
        list.push_front(element, &model.limits);
    } else {
        list.push_back(element, &model.limits);
    }
    model.push(element, front);
}

fn pop(list: &mut List, model: &mut Model, back: bool) {
    if back {
        assert_eq!(list.pop_back(<[u8]>::to_vec), model.list.pop_back());
    } else {
        assert_eq!(list.pop_front(<[u8]>::to_vec), model.list.pop_front());
    }
}

fn turn(list: &mut List, model: &mut Model, front: bool, back: bool, n: u16, len: u8) {
    for i in 0..n {
        let letter = b'a' + u8::try_from(i % 23).unwrap();
        let element = vec![letter; usize::from(len) + usize::from(i % 5)];
        push(list, model, &element, front);
        pop(list, model, back);
        if i % 7 == 0 {
            pop(list, model, !back);
        }
    }
}

fn apply(list: &mut List, model: &mut Model, step: Step) {
    let limits = model.limits.clone();
    match step {
        Step::PushFront(e) => push(list, model, &e, true),
        Step::PushBack(e) => push(list, model, &e, false),
        Step::PushMany(front, n, len) => {
            for i in 0..n {
                let e = vec![b'0' + u8::try_from(i % 7).unwrap(); usize::from(len)];
                push(list, model, &e, front);
            }
        }
        Step::Turn(front, back, n, len) => turn(list, model, front, back, n, len),
        Step::PopFront(n) => {
            for _ in 0..n {
                pop(list, model, false);
            }
        }
        Step::PopBack(n) => {
            for _ in 0..n {
                pop(list, model, true);
            }
        }
        Step::Extend(elements, most, cut) => extend(list, model, &elements, most, cut),
        Step::Set(i, e) => {
            let i = i.index(model.list.len() + 1);
            let found = i < model.list.len();
            if found || !model.list.is_empty() {
                model.meet(&e);
            }
            assert_eq!(list.set(i, &e, &limits), found);
            if found {
                model.list[i] = e;
            }
        }
        Step::Insert(i, after, e) => {
            if model.list.is_empty() {
                return;
            }
            let pivot = model.list[i.index(model.list.len())].clone();
            let place = model.list.iter().position(|other| *other == pivot).unwrap();
            model.meet(&e);
            assert!(list.insert(&pivot, after, &e, &limits));
            model.list.insert(place + usize::from(after), e);
            model.meet(b"");
            assert!(!list.insert(b"not there", after, b"", &limits));
        }
        Step::Remove(i, n, tail) => {
            if model.list.is_empty() {
                return;
            }
            let e = model.list[i.index(model.list.len())].clone();
            assert_eq!(list.remove(&e, n, tail), model.remove(&e, n, tail));
        }
        Step::Trim(a, b) => {
            if model.list.is_empty() {
                return;
            }
            let start = a.index(model.list.len());
            let len = 1 + b.index(model.list.len() - start);
            list.trim(start, len);
            model.list.truncate(start + len);
            model.list.drain(..start);
        }
    }
}

/// Adds a row as far as it is one, and looks whether as much was taken as could be.
fn extend(list: &mut List, model: &mut Model, elements: &[Vec<u8>], most: usize, cut: usize) {
    let mut row = Vec::new();
    let mut expected = Taken::default();
    let mut ended = !model.linked || matches!(list.0.see(), See::Small(_));
    let bytes: usize = elements.iter().map(|element| 1 + element.len()).sum();
    let cut_at = bytes.saturating_sub(cut);
    for element in elements {
        row.push(u8::try_from(element.len()).unwrap());
        row.extend(element);
        ended |= element.len() > 63 || row.len() > cut_at || expected.elements == most;
        if !ended {
            expected.elements += 1;
            expected.bytes = row.len();
        }
    }
    let taken = list.extend_back(&row[..cut_at], most);
    assert_eq!(taken, expected);
    model
        .list
        .extend(elements[..taken.elements].iter().cloned());
}

/// The elements as parts give them.
fn joined(list: &List, in_row: impl Fn(&[u8]) -> bool) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for part in list.parts(&in_row) {
        match part {
            Part::Element(element) => all.push(element.to_vec()),
            Part::Row(mut row) => {
                assert!(!row.is_empty());
                while let Some((len, rest)) = row.split_first() {
                    let (element, rest) = rest.split_at(usize::from(*len));
                    assert!(element.len() < 64 && in_row(element));
                    all.push(element.to_vec());
                    row = rest;
                }
            }
        }
    }
    all
}

fn check(list: &List, model: &Model) {
    assert!(
        joined(list, |element| element.len() % 3 > 0)
            .iter()
            .eq(&model.list)
    );
    assert_eq!(list.len(), model.list.len());
    assert!(list.iter().eq(model.list.iter().map(Vec::as_slice)));
    for i in [
        0,
        1,
        list.len() / 3,
        list.len() / 2,
        list.len().saturating_sub(1),
        list.len(),
    ] {
        assert_eq!(list.index(i), model.list.get(i).map(Vec::as_slice));
        assert_eq!(list.iter_from(i).next(), list.index(i));
    }
    if !list.is_empty() {
        assert_eq!(list.encoding() == Encoding::Quicklist, model.linked);
    }
}

proptest! {
    #![proptest_config(cases(256, 2))]
    #[test]
    fn behaves_like_a_deque(list_size in prop_oneof![-6i64..0, 0i64..2000], steps in prop::collection::vec(step(), 1..STEPS)) {
        let limits = Limits { list_size, ..Limits::default() };
        let mut list = List::new();
        let mut model = Model { list: VecDeque::new(), linked: false, limits };
        for step in steps {
            apply(&mut list, &mut model, step);
            check(&list, &model);
            if model.list.is_empty() {
                // The keyspace removes an empty list, and with it what it remembers.
                list = List::new();
                model.linked = false;
            }
        }
    }
}

#[test]
fn a_queue_of_many_keeps_its_order_and_gives_its_memory_back() {
    let limits = Limits::default();
    let mut list = List::new();
    let many = amount(200_000, 600u32);
    for i in 0..many {
        list.push_front(format!("element:{i:05}").as_bytes(), &limits);
    }
    assert!(list.heap_bytes() < many as usize * 15 + 6000);
    for i in 0..many - 1 {
        let expected = format!("element:{i:05}");
        assert_eq!(list.pop_back(<[u8]>::to_vec), Some(expected.into_bytes()));
    }
    assert_eq!(list.len(), 1);
    assert_eq!(list.free_effort(), 1);
    assert_eq!(list.encoding(), Encoding::Quicklist);
}

#[test]
fn encodings_change_where_redis_changes_them() {
    let limits = Limits::default();
    let mut list = List::new();
    // 67 bytes each, and seven around them.
    for _ in 0..122 {
        list.push_back(&[b'x'; 64], &limits);
    }
    assert_eq!(list.encoding(), Encoding::Listpack);
    list.push_back(&[b'x'; 11], &limits);
    assert_eq!(list.encoding(), Encoding::Listpack);
    list.push_front(b"", &limits);
    assert_eq!(list.encoding(), Encoding::Quicklist);
    list.trim(0, 100);
    list.shrunk(&limits);
    assert_eq!(list.encoding(), Encoding::Quicklist);
    list.trim(0, 40);
    list.shrunk(&limits);
    assert_eq!(list.encoding(), Encoding::Listpack);

    let limits = Limits {
        list_size: 4,
        ..Limits::default()
    };
    let mut list = List::new();
    for element in [b"1", b"2", b"3", b"4"] {
        list.push_back(element, &limits);
    }
    assert_eq!(list.encoding(), Encoding::Listpack);
    assert!(!list.insert(b"9", true, b"x", &limits));
    assert_eq!(list.encoding(), Encoding::Quicklist);
    for left in [3, 2] {
        list.shrunk(&limits);
        assert_eq!(list.encoding(), Encoding::Quicklist);
        list.trim(0, left);
    }
    list.shrunk(&limits);
    assert_eq!(list.encoding(), Encoding::Listpack);
}
