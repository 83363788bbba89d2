//! Random commands against plain collections, under limits so small that the encodings change all the time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;
use proptest::sample::select;

use crate::harness::Server;

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Members that are integers, short, and longer than the limits.
fn member() -> impl Strategy<Value = String> {
    prop_oneof![
        (-3..6_i64).prop_map(|n| n.to_string()),
        select(vec![
            "a",
            "b",
            "c",
            "01",
            "longer than the limit",
            "99999999999"
        ])
        .prop_map(str::to_owned),
    ]
}

fn array<T: AsRef<str>>(elements: impl IntoIterator<Item = T>) -> String {
    let quoted: Vec<String> = elements
        .into_iter()
        .map(|element| format!("\"{}\"", element.as_ref()))
        .collect();
    format!("[{}]", quoted.join(" "))
}

/// The elements of a printed array in order of their text: for replies that have no order.
fn sorted(reply: &str) -> Vec<String> {
    let mut elements: Vec<String> = reply
        .trim_matches(['[', ']'])
        .split('"')
        .filter(|element| !element.trim().is_empty())
        .map(str::to_owned)
        .collect();
    elements.sort();
    elements
}

fn is_int(text: &str) -> bool {
    text.parse::<i64>().is_ok_and(|n| n.to_string() == text)
}

#[derive(Clone, Debug)]
enum SetOp {
    Add(String),
    Remove(String),
    Contains(String),
    Pop,
    Diff,
    Union,
    Inter,
    MoveToOther(String),
}

fn set_op() -> impl Strategy<Value = SetOp> {
    prop_oneof![
        4 => member().prop_map(SetOp::Add),
        2 => member().prop_map(SetOp::Remove),
        1 => member().prop_map(SetOp::Contains),
        1 => Just(SetOp::Pop),
        1 => Just(SetOp::Diff),
        1 => Just(SetOp::Union),
        1 => Just(SetOp::Inter),
        2 => member().prop_map(SetOp::MoveToOther),
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn sets(ops in proptest::collection::vec(set_op(), 1..120)) {
        let mut server = Server::small();
        let (mut own, mut other) = (BTreeSet::new(), BTreeSet::new());
        let mut table = false;
        for op in ops {
            match &op {
                SetOp::Add(member) => {
                    let new = own.insert(member.clone());
                    table |= !is_int(member) || own.len() > 4;
                    prop_assert_eq!(server.run(&format!("SADD s '{member}'")), u8::from(new).to_string());
                }
                SetOp::Remove(member) => {
                    let gone = own.remove(member);
                    prop_assert_eq!(server.run(&format!("SREM s '{member}'")), u8::from(gone).to_string());
                }
                SetOp::Contains(member) => {
                    let there = own.contains(member);
                    prop_assert_eq!(server.run(&format!("SISMEMBER s '{member}'")), u8::from(there).to_string());
                }
                SetOp::Pop => {
                    let popped = server.run("SPOP s");
                    if popped == "nil" {
                        prop_assert!(own.is_empty());
                    } else {
                        prop_assert!(own.remove(popped.trim_matches('"')));
                    }
                }
                SetOp::Diff => {
                    let expected: Vec<String> = own.difference(&other).cloned().collect();
                    prop_assert_eq!(sorted(&server.run("SDIFF s t")), expected);
                }
                SetOp::Union => {
                    let expected: Vec<String> = own.union(&other).cloned().collect();
                    prop_assert_eq!(sorted(&server.run("SUNION s t")), expected);
                }
                SetOp::Inter => {
                    let expected: Vec<String> = own.intersection(&other).cloned().collect();
                    prop_assert_eq!(sorted(&server.run("SINTER s t")), expected);
                }
                SetOp::MoveToOther(member) => {
                    let moved = own.remove(member);
                    if moved {
                        other.insert(member.clone());
                    }
                    prop_assert_eq!(server.run(&format!("SMOVE s t '{member}'")), u8::from(moved).to_string());
                }
            }
            table &= !own.is_empty();
            let members: Vec<String> = own.iter().cloned().collect();
            prop_assert_eq!(sorted(&server.run("SMEMBERS s")), members);
            prop_assert_eq!(server.run("SCARD s"), own.len().to_string());
            let encodings: &[&str] = match (own.is_empty(), table) {
                (true, _) => &["nil"],
                (_, true) => &["\"listpack\"", "\"hashtable\""],
                _ => &["\"intset\""],
            };
            prop_assert!(encodings.contains(&&*server.run("OBJECT ENCODING s")));
        }
    }
}

#[derive(Clone, Debug)]
enum ZsetOp {
    Add(String, i8),
    Incr(String, i8),
    Remove(String),
    RemoveRanks(i8, i8),
    RemoveScores(i8, i8),
    Scores {
        min: i8,
        max: i8,
        offset: i8,
        count: i8,
    },
    Rank(String),
    Union(i8, i8),
}

fn zset_op() -> impl Strategy<Value = ZsetOp> {
    let small = || -6..7_i8;
    prop_oneof![
        6 => (member(), small()).prop_map(|(member, score)| ZsetOp::Add(member, score)),
        2 => (member(), small()).prop_map(|(member, by)| ZsetOp::Incr(member, by)),
        2 => member().prop_map(ZsetOp::Remove),
        1 => (small(), small()).prop_map(|(start, end)| ZsetOp::RemoveRanks(start, end)),
        1 => (small(), small()).prop_map(|(min, max)| ZsetOp::RemoveScores(min, max)),
        2 => (small(), small(), small(), small())
            .prop_map(|(min, max, offset, count)| ZsetOp::Scores { min, max, offset, count }),
        2 => member().prop_map(ZsetOp::Rank),
        1 => (small(), small()).prop_map(|(own, other)| ZsetOp::Union(own, other)),
    ]
}

/// Members and scores in the order of a sorted set.
fn in_order(model: &BTreeMap<String, i64>) -> Vec<(String, i64)> {
    let mut pairs: Vec<(String, i64)> = model.clone().into_iter().collect();
    pairs.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    pairs
}

fn with_scores(pairs: &[(String, i64)]) -> String {
    array(
        pairs
            .iter()
            .flat_map(|(member, score)| [member.clone(), score.to_string()]),
    )
}

/// The places of a range that may count from the end.
fn window(start: i8, end: i8, len: usize) -> std::ops::Range<usize> {
    let len = i64::try_from(len).unwrap();
    let place = |at: i8| i64::from(at) + if at < 0 { len } else { 0 };
    let (start, end) = (place(start).max(0), (place(end) + 1).min(len));
    usize::try_from(start.min(end).max(0)).unwrap()..usize::try_from(end.max(0)).unwrap()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn sorted_sets(ops in proptest::collection::vec(zset_op(), 1..120)) {
        let mut server = Server::small();
        let mut model: BTreeMap<String, i64> = BTreeMap::new();
        let mut large = false;
        server.run("ZADD other 1 a 2 b 3 zz");
        for op in ops {
            let pairs = in_order(&model);
            match &op {
                ZsetOp::Add(member, score) => {
                    let new = model.insert(member.clone(), i64::from(*score)).is_none();
                    large |= new && (member.len() > 8 || model.len() > 4);
                    prop_assert_eq!(server.run(&format!("ZADD z {score} '{member}'")), u8::from(new).to_string());
                }
                ZsetOp::Incr(member, by) => {
                    let new = !model.contains_key(member);
                    let score = model.entry(member.clone()).or_default();
                    *score += i64::from(*by);
                    let expected = format!("\"{score}\"");
                    large |= new && (member.len() > 8 || model.len() > 4);
                    prop_assert_eq!(server.run(&format!("ZINCRBY z {by} '{member}'")), expected);
                }
                ZsetOp::Remove(member) => {
                    let gone = model.remove(member).is_some();
                    prop_assert_eq!(server.run(&format!("ZREM z '{member}'")), u8::from(gone).to_string());
                }
                ZsetOp::RemoveRanks(start, end) => {
                    let gone = &pairs[window(*start, *end, pairs.len())];
                    gone.iter().for_each(|(member, _)| { model.remove(member); });
                    prop_assert_eq!(server.run(&format!("ZREMRANGEBYRANK z {start} {end}")), gone.len().to_string());
                }
                ZsetOp::RemoveScores(min, max) => {
                    let before = model.len();
                    model.retain(|_, score| *score < i64::from(*min) || *score >= i64::from(*max));
                    let gone = (before - model.len()).to_string();
                    prop_assert_eq!(server.run(&format!("ZREMRANGEBYSCORE z {min} ({max}")), gone);
                }
                ZsetOp::Scores { min, max, offset, count } => {
                    let within = |score: i64| score > i64::from(*min) && score <= i64::from(*max);
                    let offset_in = usize::try_from(*offset).unwrap_or(usize::MAX);
                    let count_in = usize::try_from(*count).unwrap_or(usize::MAX);
                    let found: Vec<_> = pairs.iter().filter(|pair| within(pair.1)).cloned().collect();
                    let cut: Vec<_> = found.iter().skip(offset_in).take(count_in).cloned().collect();
                    let line = format!("ZRANGEBYSCORE z ({min} {max} LIMIT {offset} {count} WITHSCORES");
                    prop_assert_eq!(server.run(&line), with_scores(&cut));
                    let cut: Vec<_> = found.iter().rev().skip(offset_in).take(count_in).cloned().collect();
                    let line = format!("ZREVRANGEBYSCORE z {max} ({min} LIMIT {offset} {count} WITHSCORES");
                    prop_assert_eq!(server.run(&line), with_scores(&cut));
                    prop_assert_eq!(server.run(&format!("ZCOUNT z ({min} {max}")), found.len().to_string());
                }
                ZsetOp::Rank(member) => {
                    let rank = pairs.iter().position(|pair| pair.0 == *member);
                    let expected = |rank: Option<usize>| rank.map_or("nil".to_owned(), |rank| rank.to_string());
                    prop_assert_eq!(server.run(&format!("ZRANK z '{member}'")), expected(rank));
                    let reverse = rank.map(|rank| pairs.len() - 1 - rank);
                    prop_assert_eq!(server.run(&format!("ZREVRANK z '{member}'")), expected(reverse));
                }
                ZsetOp::Union(own, other) => {
                    let mut union: BTreeMap<String, i64> = BTreeMap::new();
                    for (member, score) in &model {
                        union.insert(member.clone(), score * i64::from(*own));
                    }
                    for (member, score) in [("a", 1), ("b", 2), ("zz", 3)] {
                        *union.entry(member.to_owned()).or_default() += score * i64::from(*other);
                    }
                    server.run(&format!("ZUNIONSTORE u 2 z other WEIGHTS {own} {other}"));
                    let reply = server.run("ZRANGE u 0 -1 WITHSCORES").replace("\"-0\"", "\"0\"");
                    let mut got = sorted_pairs(&reply);
                    let mut expected = sorted_pairs(&with_scores(&in_order(&union)));
                    got.sort();
                    expected.sort();
                    prop_assert_eq!(got, expected);
                }
            }
            large &= !model.is_empty();
            prop_assert_eq!(server.run("ZRANGE z 0 -1 WITHSCORES"), with_scores(&in_order(&model)));
            let encoding = match (model.is_empty(), large) {
                (true, _) => "nil",
                (_, true) => "\"skiplist\"",
                _ => "\"listpack\"",
            };
            prop_assert_eq!(server.run("OBJECT ENCODING z"), encoding);
        }
    }
}

/// Members with their scores, out of a printed array.
fn sorted_pairs(reply: &str) -> Vec<(String, String)> {
    let words: Vec<&str> = reply
        .trim_matches(['[', ']'])
        .split('"')
        .filter(|word| !word.trim().is_empty())
        .collect();
    words
        .chunks_exact(2)
        .map(|pair| (pair[0].to_owned(), pair[1].to_owned()))
        .collect()
}

#[derive(Clone, Debug)]
enum HashOp {
    Set(String, String),
    SetNew(String, String),
    Remove(String),
    Incr(String, i8),
}

fn hash_op() -> impl Strategy<Value = HashOp> {
    prop_oneof![
        4 => (member(), member()).prop_map(|(field, value)| HashOp::Set(field, value)),
        1 => (member(), member()).prop_map(|(field, value)| HashOp::SetNew(field, value)),
        2 => member().prop_map(HashOp::Remove),
        1 => (member(), any::<i8>()).prop_map(|(field, by)| HashOp::Incr(field, by)),
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn hashes(ops in proptest::collection::vec(hash_op(), 1..120)) {
        let mut server = Server::small();
        let mut model: BTreeMap<String, String> = BTreeMap::new();
        for op in ops {
            match &op {
                HashOp::Set(field, value) => {
                    let new = model.insert(field.clone(), value.clone()).is_none();
                    prop_assert_eq!(server.run(&format!("HSET h '{field}' '{value}'")), u8::from(new).to_string());
                }
                HashOp::SetNew(field, value) => {
                    let new = !model.contains_key(field);
                    model.entry(field.clone()).or_insert_with(|| value.clone());
                    prop_assert_eq!(server.run(&format!("HSETNX h '{field}' '{value}'")), u8::from(new).to_string());
                }
                HashOp::Remove(field) => {
                    let gone = model.remove(field).is_some();
                    prop_assert_eq!(server.run(&format!("HDEL h '{field}'")), u8::from(gone).to_string());
                }
                HashOp::Incr(field, by) => {
                    let old = model.get(field).map_or(Some(0), |value| {
                        let number = value.parse::<i64>().ok();
                        number.filter(|number| number.to_string() == *value)
                    });
                    let expected = match old {
                        Some(old) => {
                            let sum = old + i64::from(*by);
                            model.insert(field.clone(), sum.to_string());
                            sum.to_string()
                        }
                        None => "ERR hash value is not an integer".to_owned(),
                    };
                    prop_assert_eq!(server.run(&format!("HINCRBY h '{field}' {by}")), expected);
                }
            }
            let fields: Vec<String> = model.keys().cloned().collect();
            prop_assert_eq!(sorted(&server.run("HKEYS h")), fields);
            prop_assert_eq!(server.run("HLEN h"), model.len().to_string());
            for (field, value) in &model {
                prop_assert_eq!(server.run(&format!("HGET h '{field}'")), format!("\"{value}\""));
            }
        }
    }
}

#[derive(Clone, Debug)]
enum ListOp {
    Push(bool, String),
    Pop(bool),
    Insert(bool, String, String),
    Set(i8, String),
    Remove(i8, String),
    Trim(i8, i8),
    Rotate,
}

fn list_op() -> impl Strategy<Value = ListOp> {
    prop_oneof![
        6 => (any::<bool>(), member()).prop_map(|(head, element)| ListOp::Push(head, element)),
        2 => any::<bool>().prop_map(ListOp::Pop),
        2 => (any::<bool>(), member(), member())
            .prop_map(|(after, pivot, element)| ListOp::Insert(after, pivot, element)),
        2 => (-6..7_i8, member()).prop_map(|(index, element)| ListOp::Set(index, element)),
        1 => (-2..3_i8, member()).prop_map(|(count, element)| ListOp::Remove(count, element)),
        1 => (-9..3_i8, -3..9_i8).prop_map(|(start, end)| ListOp::Trim(start, end)),
        1 => Just(ListOp::Rotate),
    ]
}

fn remove_from(model: &mut VecDeque<String>, count: i8, element: &str) -> usize {
    let most = if count == 0 {
        usize::MAX
    } else {
        usize::from(count.unsigned_abs())
    };
    let mut places: Vec<usize> = (0..model.len())
        .filter(|at| model[*at] == element)
        .collect();
    if count < 0 {
        places.reverse();
    }
    places.truncate(most);
    places.sort_unstable();
    places.iter().rev().for_each(|at| {
        model.remove(*at);
    });
    places.len()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn lists(ops in proptest::collection::vec(list_op(), 1..120)) {
        let mut server = Server::small();
        let mut model: VecDeque<String> = VecDeque::new();
        for op in ops {
            match &op {
                ListOp::Push(head, element) => {
                    if *head { model.push_front(element.clone()) } else { model.push_back(element.clone()) }
                    let command = if *head { "LPUSH" } else { "RPUSH" };
                    prop_assert_eq!(server.run(&format!("{command} l '{element}'")), model.len().to_string());
                }
                ListOp::Pop(head) => {
                    let popped = if *head { model.pop_front() } else { model.pop_back() };
                    let expected = popped.map_or("nil".to_owned(), |element| format!("\"{element}\""));
                    prop_assert_eq!(server.run(if *head { "LPOP l" } else { "RPOP l" }), expected);
                }
                ListOp::Insert(after, pivot, element) => {
                    let at = model.iter().position(|other| other == pivot);
                    let expected = match at {
                        Some(at) => {
                            model.insert(at + usize::from(*after), element.clone());
                            model.len().to_string()
                        }
                        None if model.is_empty() => "0".to_owned(),
                        None => "-1".to_owned(),
                    };
                    let side = if *after { "AFTER" } else { "BEFORE" };
                    prop_assert_eq!(server.run(&format!("LINSERT l {side} '{pivot}' '{element}'")), expected);
                }
                ListOp::Set(index, element) => {
                    let len = i64::try_from(model.len()).unwrap();
                    let at = i64::from(*index) + if *index < 0 { len } else { 0 };
                    let slot = usize::try_from(at).ok().and_then(|at| model.get_mut(at));
                    let expected = match slot {
                        Some(slot) => {
                            slot.clone_from(element);
                            "OK"
                        }
                        None if len == 0 => "ERR no such key",
                        None => "ERR index out of range",
                    };
                    prop_assert_eq!(server.run(&format!("LSET l {index} '{element}'")), expected);
                }
                ListOp::Remove(count, element) => {
                    let removed = remove_from(&mut model, *count, element);
                    prop_assert_eq!(server.run(&format!("LREM l {count} '{element}'")), removed.to_string());
                }
                ListOp::Trim(start, end) => {
                    let kept: VecDeque<String> = model.range(window(*start, *end, model.len())).cloned().collect();
                    model = kept;
                    prop_assert_eq!(server.run(&format!("LTRIM l {start} {end}")), "OK");
                }
                ListOp::Rotate => {
                    let expected = model.back().map_or("nil".to_owned(), |element| format!("\"{element}\""));
                    model.rotate_right(usize::from(!model.is_empty()));
                    prop_assert_eq!(server.run("RPOPLPUSH l l"), expected);
                }
            }
            prop_assert_eq!(server.run("LRANGE l 0 -1"), array(&model));
        }
    }
}

#[derive(Clone, Debug)]
enum StringOp {
    Set(String),
    Append(String),
    SetRange(u8, String),
    SetBit(u8, bool),
    Range(i8, i8),
}

fn string_op() -> impl Strategy<Value = StringOp> {
    prop_oneof![
        1 => member().prop_map(StringOp::Set),
        2 => member().prop_map(StringOp::Append),
        2 => (0..60_u8, member()).prop_map(|(offset, bytes)| StringOp::SetRange(offset, bytes)),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(bit, on)| StringOp::SetBit(bit, on)),
        2 => (any::<i8>(), any::<i8>()).prop_map(|(start, end)| StringOp::Range(start, end)),
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn strings(ops in proptest::collection::vec(string_op(), 1..120)) {
        let mut server = Server::small();
        let mut model: Vec<u8> = Vec::new();
        server.run("SET k ''");
        for op in ops {
            match &op {
                StringOp::Set(value) => {
                    model = value.clone().into_bytes();
                    server.run(&format!("SET k '{value}'"));
                }
                StringOp::Append(value) => {
                    model.extend_from_slice(value.as_bytes());
                    prop_assert_eq!(server.run(&format!("APPEND k '{value}'")), model.len().to_string());
                }
                StringOp::SetRange(offset, value) => {
                    let offset = usize::from(*offset);
                    let end = offset + value.len();
                    model.resize(model.len().max(end), 0);
                    model[offset..end].copy_from_slice(value.as_bytes());
                    prop_assert_eq!(server.run(&format!("SETRANGE k {offset} '{value}'")), model.len().to_string());
                }
                StringOp::SetBit(bit, on) => {
                    let (byte, mask) = (usize::from(bit / 8), 0x80 >> (bit % 8));
                    model.resize(model.len().max(byte + 1), 0);
                    let old = u8::from(model[byte] & mask != 0);
                    model[byte] = if *on { model[byte] | mask } else { model[byte] & !mask };
                    let line = format!("SETBIT k {bit} {}", u8::from(*on));
                    prop_assert_eq!(server.run(&line), old.to_string());
                    prop_assert_eq!(server.run(&format!("GETBIT k {bit}")), u8::from(*on).to_string());
                }
                StringOp::Range(start, end) => {
                    let len = i64::try_from(model.len()).unwrap();
                    let place = |at: i8| (i64::from(at) + if at < 0 { len } else { 0 }).max(0);
                    let (start_at, end_at) = (place(*start), (place(*end) + 1).min(len));
                    let backwards = *start < 0 && *end < 0 && start > end;
                    let part = if start_at < end_at && !backwards {
                        &model[usize::try_from(start_at).unwrap()..usize::try_from(end_at).unwrap()]
                    } else {
                        &[]
                    };
                    let ones: u32 = part.iter().map(|byte| byte.count_ones()).sum();
                    prop_assert_eq!(server.run(&format!("BITCOUNT k {start} {end}")), ones.to_string());
                    let mut quoted = Vec::new();
                    resp::args::quote(part, &mut quoted);
                    prop_assert_eq!(server.run(&format!("GETRANGE k {start} {end}")).into_bytes(), quoted);
                }
            }
            let mut quoted = Vec::new();
            resp::args::quote(&model, &mut quoted);
            prop_assert_eq!(server.run("GET k").into_bytes(), quoted);
        }
    }
}
