//! What a value holds, whatever its encoding; and whether all ways to look at it agree.

use std::collections::{BTreeMap, BTreeSet};

use store::{Elem, Keyspace, Owned, ScoreBound, StreamId, Value};

/// A value as plain collections. Scores are compared bit by bit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A string.
    Str(Vec<u8>),
    /// A list.
    List(Vec<Vec<u8>>),
    /// A set.
    Set(BTreeSet<Vec<u8>>),
    /// A sorted set.
    Zset(BTreeMap<Vec<u8>, u64>),
    /// A hash.
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    /// A stream: its entries, and its last id.
    Stream(BTreeMap<StreamId, Vec<Vec<u8>>>, StreamId),
}

/// The content of a value, after checking the value's inner order.
pub fn of(value: &Value<'_>) -> Content {
    match value {
        Value::Str(string) => {
            let text = string.bytes(&mut [0; 20]).to_vec();
            assert_eq!(string.len(), text.len());
            Content::Str(text)
        }
        Value::List(list) => of_list(list),
        Value::Set(set) => of_set(set),
        Value::Zset(zset) => of_zset(zset),
        Value::Hash(hash) => of_hash(*hash),
        Value::Stream(stream) => of_stream(stream),
    }
}

/// The content of a value that stands in no keyspace.
pub fn of_owned(value: Owned) -> Content {
    let mut keyspace = Keyspace::new(1, false);
    keyspace.db(0).insert(b"key", value);
    of(&keyspace.db_ref(0).peek(b"key").expect("it was inserted"))
}

/// Everything a keyspace holds, by database and key, with the expiry.
pub fn of_keyspace(keyspace: &Keyspace) -> BTreeMap<(usize, Vec<u8>), (Content, Option<u64>)> {
    let mut all = BTreeMap::new();
    for index in 0..keyspace.databases() {
        let db = keyspace.db_ref(index);
        db.for_each(|key, value, expire_ms| {
            let before = all.insert((index, key.to_vec()), (of(&value), expire_ms));
            assert!(before.is_none());
        });
    }
    all
}

fn of_list(list: &store::List) -> Content {
    let elements: Vec<_> = list.iter().map(<[u8]>::to_vec).collect();
    assert_eq!(elements.len(), list.len());
    for (index, element) in sampled(elements.iter().enumerate()) {
        assert_eq!(list.index(index), Some(&element[..]));
        assert_eq!(list.iter_from(index).next(), Some(&element[..]));
    }
    assert_eq!(list.index(elements.len()), None);
    Content::List(elements)
}

fn of_set(set: &store::Set) -> Content {
    let text = |member: Elem<'_>| member.bytes(&mut [0; 20]).to_vec();
    let members: BTreeSet<_> = set.iter().map(text).collect();
    assert_eq!(members.len(), set.len());
    assert!(sampled(members.iter()).all(|member| set.contains(member)));
    let (mut scanned, mut cursor) = (BTreeSet::new(), 0);
    loop {
        cursor = set.scan(cursor, 64, |member| {
            scanned.insert(text(member));
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(scanned, members);
    Content::Set(members)
}

fn of_zset(zset: &store::Zset) -> Content {
    let rows: Vec<_> = zset
        .iter()
        .map(|(member, score)| (member.to_vec(), score))
        .collect();
    assert_eq!(rows.len(), zset.len());
    assert!(rows.iter().all(|(_, score)| !score.is_nan()));
    assert!(rows.is_sorted_by(|a, b| a.1 < b.1 || (a.1 == b.1 && a.0 < b.0)));
    for (rank, (member, score)) in sampled(rows.iter().enumerate()) {
        assert_eq!(zset.rank(member), Some(rank));
        assert_eq!(zset.score(member).map(f64::to_bits), Some(score.to_bits()));
        let bound = ScoreBound {
            value: *score,
            exclusive: false,
        };
        assert!(zset.ranks_by_score(bound, bound).contains(&rank));
    }
    assert!(
        rows.iter()
            .rev()
            .map(|row| &row.0[..])
            .eq(zset.iter().rev().map(|row| row.0))
    );
    Content::Zset(
        rows.into_iter()
            .map(|(member, score)| (member, score.to_bits()))
            .collect(),
    )
}

fn of_hash(hash: store::HashRef<'_>) -> Content {
    let fields: BTreeMap<_, _> = hash
        .iter()
        .map(|(field, value)| (field.to_vec(), value.to_vec()))
        .collect();
    assert_eq!(fields.len(), hash.len());
    for (field, value) in sampled(fields.iter()) {
        assert_eq!(hash.get(field), Some(&value[..]));
    }
    Content::Hash(fields)
}

fn of_stream(stream: &store::Stream) -> Content {
    let text = |part: store::Str<'_>| part.bytes(&mut [0; 20]).to_vec();
    let all = || stream.range(StreamId::MIN, StreamId::MAX);
    let entries: BTreeMap<_, _> = all()
        .map(|entry| {
            let parts = entry.fields().flat_map(|(name, value)| [text(name), text(value)]);
            (entry.id(), parts.collect())
        })
        .collect();
    assert_eq!(entries.len() as u64, stream.len());
    assert!(all().map(|entry| entry.id()).eq(entries.keys().copied()));
    let back = stream.range_back(StreamId::MIN, StreamId::MAX);
    assert!(back.map(|entry| entry.id()).eq(entries.keys().rev().copied()));
    for id in sampled(entries.keys()) {
        assert_eq!(stream.get(*id).map(|entry| entry.id()), Some(*id));
    }
    assert!(entries.keys().all(|id| *id <= stream.last_id()));
    for (_, group) in stream.groups() {
        let of_all: usize = group.consumers().map(|(_, one)| one.pending_len()).sum();
        assert_eq!(of_all, group.pending_len());
    }
    Content::Stream(entries, stream.last_id())
}

/// All of a few; the first and some more of many.
fn sampled<T>(all: impl ExactSizeIterator<Item = T>) -> impl Iterator<Item = T> {
    let step = all.len() / 20 + 1;
    all.step_by(step)
}
