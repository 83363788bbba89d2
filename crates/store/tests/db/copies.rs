//! Copies of values: equal, and apart.

use std::collections::BTreeSet;

use bytes::Bytes;
use store::{
    Clock, Db, Hash, Limits, List, Owned, Set, Str, StrNew, Stream, StreamId, Value, ValueMut, Zset,
};

use crate::amount::amount;

/// What a collection holds, as text in an order of its own.
fn contents(value: Value<'_>) -> BTreeSet<String> {
    match value {
        Value::List(list) => (list.iter_from(0).enumerate())
            .map(|element| format!("{element:?}"))
            .collect(),
        Value::Set(set) => set.iter().map(|member| format!("{member:?}")).collect(),
        Value::Zset(zset) => (zset.iter().enumerate())
            .map(|member| format!("{member:?}"))
            .collect(),
        Value::Hash(hash) => hash
            .iter()
            .map(|(field, value)| format!("{field:?} {value:?} {:?}", hash.expiry(field)))
            .collect(),
        Value::Stream(stream) => stream
            .range(StreamId::MIN, StreamId::MAX)
            .map(|entry| format!("{:?}", entry.id()))
            .collect(),
        Value::Str(_) => BTreeSet::new(),
    }
}

/// A collection of each kind with so many elements.
fn collections(count: usize) -> Vec<Owned> {
    let limits = Limits::default();
    let (mut list, mut set, mut ints) = (List::new(), Set::new(), Set::new());
    let (mut zset, mut hash, mut timed) = (Zset::new(), Hash::new(), Hash::new());
    let mut stream = Stream::new();
    for number in 0..count {
        let text = format!("element:{number}");
        let text = text.as_bytes();
        list.push_back(text, &limits);
        set.add(text, &limits);
        ints.add(number.to_string().as_bytes(), &limits);
        let scores = [0.0, 1.0, -2.5, f64::INFINITY];
        zset.insert(text, scores[number % 4], &limits);
        hash.set(text, b"value", &limits);
        match number % 3 {
            0 => timed.set(text, b"value", &limits),
            _ => timed.set_until(text, b"value", 1000 + number as u64 % 700),
        };
        let id = StreamId::new(1, number as u64 + 1);
        let fields = [(&b"field"[..], text)];
        stream
            .append(id, fields.into_iter(), &limits)
            .expect("ids rise");
    }
    vec![
        Owned::List(list),
        Owned::Set(set),
        Owned::Set(ints),
        Owned::Zset(zset),
        Owned::Hash(hash),
        Owned::Hash(timed),
        Owned::Stream(stream),
    ]
}

#[test]
fn a_duplicate_is_equal_and_apart() {
    for count in [3, amount(200, 20), amount(30_000, 300)] {
        for value in collections(count) {
            let clock = Clock::new();
            clock.set_unix_ms(10);
            let mut db = Db::new(clock.clone(), false);
            db.insert(b"from", value);
            let copy = db.duplicate(b"from").expect("it was put there");
            db.insert(b"to", copy);
            let held = contents(db.peek(b"from").expect("it is there"));
            assert_eq!(held.len(), count);
            assert_eq!(contents(db.peek(b"to").expect("it was copied")), held);
            assert_eq!(db.encoding(b"to"), db.encoding(b"from"));
            // Expiring fields of both are found by the cycle.
            let timed = db.timed_hashes();
            assert!(timed == 0 || timed == 2);
            if timed > 0 {
                clock.set_unix_ms(1_000_000);
                while db.expire_fields(64) == 64 {}
                let left = count.div_ceil(3);
                for key in [&b"from"[..], b"to"] {
                    assert_eq!(contents(db.peek(key).expect("a third stays")).len(), left);
                }
                continue;
            }
            assert!(db.remove(b"from"));
            assert_eq!(contents(db.peek(b"to").expect("the copy stays")), held);
        }
    }
}

#[test]
fn a_large_string_is_shared_until_one_is_changed() {
    let mut db = Db::new(Clock::new(), false);
    let bytes = vec![b'x'; 100_000];
    db.set_str(b"from", StrNew::Big(Bytes::from(bytes.clone())));
    let copy = db.duplicate(b"from").expect("it was put there");
    db.insert(b"to", copy);
    let address = |db: &Db, key: &[u8]| match db.peek(key) {
        Some(Value::Str(Str::Big(bytes))) => bytes.as_ptr(),
        other => panic!("{other:?}"),
    };
    assert_eq!(address(&db, b"from"), address(&db, b"to"));
    let Some(ValueMut::Str(mut text)) = db.write(b"to") else {
        panic!("a string was put there");
    };
    assert_eq!(text.append(b"y"), 100_001);
    let Some(Value::Str(value)) = db.peek(b"from") else {
        panic!("the source stays");
    };
    assert_eq!(value.bytes(&mut [0; 20]), bytes);
}
