//! A database against an ordered map, with and without slots: doors, expiry, scans, sampling.

#[path = "../src/amount.rs"]
mod amount;
#[path = "db/copies.rs"]
mod copies;
#[path = "db/embedded.rs"]
mod embedded;

use std::collections::{BTreeMap, BTreeSet};

use amount::{amount, cases};
use bytes::Bytes;
use proptest::prelude::*;
use store::{
    Clock, Db, Encoding, ExpiryMode, Hash, Keyspace, Limits, List, Noted, Notes, Owned, Str,
    StrNew, Usage, Value, ValueMut, key_slot,
};

/// What the model knows of a value.
#[derive(Clone, Debug, PartialEq)]
enum Plain {
    Text {
        bytes: Vec<u8>,
        encoding: Encoding,
    },
    List(Vec<Vec<u8>>),
    /// In the order of `Hash::see().iter()` as long as the hash is compact, sorted where it is not.
    Hash {
        pairs: Vec<(Vec<u8>, Vec<u8>)>,
        compact: bool,
    },
}

/// What makes a hash compact in these tests.
fn limits() -> Limits {
    Limits {
        hash_entries: 12,
        ..Limits::default()
    }
}

type Model = BTreeMap<Vec<u8>, (Plain, Option<u64>)>;

/// The number that prints as these bytes.
fn canonical(bytes: &[u8]) -> Option<i64> {
    if bytes.len() > 20 {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let value: i64 = text.parse().ok()?;
    (value.to_string() == text).then_some(value)
}

fn text(bytes: &[u8]) -> Plain {
    let encoding = match canonical(bytes) {
        Some(_) => Encoding::Int,
        None => Encoding::Embstr,
    };
    Plain::Text {
        bytes: bytes.to_vec(),
        encoding,
    }
}

/// What is told of a value at a key that has an expiry or not: a string that does not fit beside them is none that is embedded.
fn told(key: &[u8], value: &Plain, timed: bool) -> Plain {
    let mut value = value.clone();
    if let Plain::Text { bytes, encoding } = &mut value {
        let most = if key.len() < 32 { 113 } else { 111 } - if timed { 8 } else { 0 };
        if *encoding == Encoding::Embstr && key.len() + bytes.len() > most {
            *encoding = Encoding::Raw;
        }
    }
    value
}

fn plain(db: &Db, key: &[u8]) -> Option<Plain> {
    match db.peek(key)? {
        Value::Str(value) => {
            let bytes = value.bytes(&mut [0; 20]).to_vec();
            assert_eq!(value.len(), bytes.len());
            Some(Plain::Text {
                bytes,
                encoding: db.encoding(key).expect("it has a value"),
            })
        }
        Value::List(list) => Some(Plain::List(list.iter_from(0).map(<[u8]>::to_vec).collect())),
        Value::Hash(hash) => {
            let pairs = hash.iter();
            let mut pairs: Vec<_> = pairs.map(|(f, v)| (f.to_vec(), v.to_vec())).collect();
            assert_eq!(
                (hash.len(), hash.is_empty()),
                (pairs.len(), pairs.is_empty())
            );
            for (field, value) in &pairs {
                assert_eq!(hash.get(field), Some(&value[..]));
            }
            assert_eq!(hash.get(b"never set"), None);
            let compact = hash.encoding() == Encoding::Listpack;
            if !compact {
                pairs.sort();
            }
            Some(Plain::Hash { pairs, compact })
        }
        other => panic!("{:?} was never stored", other.kind()),
    }
}

/// Lengths next to the bounds between encodings; Miri takes long for every byte.
const LENGTHS: &[usize] = amount(
    &[
        99, 100, 107, 108, 8000, 16_382, 16_383, 16_384, 16_385, 70_000,
    ],
    &[99, 100, 16_383, 16_384],
);

/// Values of all sizes that are stored in different ways.
fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        2 => ((1_i64 << 24) - 3..(1 << 24) + 3).prop_map(|number| number.to_string().into_bytes()),
        1 => (-2_i64..3).prop_map(|number| number.to_string().into_bytes()),
        6 => prop::collection::vec(any::<u8>(), 0..80),
        1 => (prop::sample::select(LENGTHS), any::<u8>())
            .prop_map(|(len, byte)| vec![byte; len]),
    ]
}

/// A few fields, and values that lie in the entry or not.
fn field_and_value() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let field = (0_usize..20).prop_map(|n| vec![b'f'; n]);
    let value = prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..30),
        1 => (60_usize..70).prop_map(|n| vec![b'v'; n]),
        1 => (240_usize..1100).prop_map(|n| vec![b'w'; n]),
    ];
    (field, value)
}

/// Few short keys, so that steps meet; one too long for the ordinary header, and those next to it for a tiny integer.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        20 => (0_u32..12).prop_map(|number| format!("key:{number}").into_bytes()),
        1 => Just(Vec::new()),
        1 => Just(vec![b'k'; 255]),
        1 => Just(vec![b'k'; 256]),
        1 => Just(vec![b'k'; 8191]),
        1 => Just(vec![b'k'; 8192]),
        1 => Just(vec![b'k'; 20_000]),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Set(Vec<u8>, Vec<u8>, Option<u64>),
    SetBig(Vec<u8>, Vec<u8>),
    SetInPlace(Vec<u8>, Vec<u8>),
    Append(Vec<u8>, Vec<u8>),
    SetRange(Vec<u8>, usize, Vec<u8>),
    Grow(Vec<u8>, usize),
    Push(Vec<u8>, Vec<u8>),
    SetField(Vec<u8>, (Vec<u8>, Vec<u8>)),
    RemoveField(Vec<u8>, Vec<u8>),
    ForgetCompact(Vec<u8>),
    Rename(Vec<u8>, Vec<u8>),
    Copy(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
    Read(Vec<u8>),
    Exists(Vec<u8>),
    Expire(Vec<u8>, Option<u64>),
    Pass(u64),
    Cycle(usize),
    Clear,
    ClearSlot(Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (key(), value(), prop::option::of(0_u64..50)).prop_map(|(k, v, e)| Step::Set(k, v, e)),
        2 => (key(), value()).prop_map(|(k, v)| Step::SetBig(k, v)),
        3 => (key(), value()).prop_map(|(k, v)| Step::SetInPlace(k, v)),
        5 => (key(), value()).prop_map(|(k, v)| Step::Append(k, v)),
        3 => (key(), 0_usize..20_000, value()).prop_map(|(k, o, v)| Step::SetRange(k, amount(o % 100 * (o / 10_000 * 200 + 1), o % 100), v)),
        2 => (key(), 0_usize..300).prop_map(|(k, l)| Step::Grow(k, l)),
        4 => (key(), value()).prop_map(|(k, v)| Step::Push(k, v)),
        12 => (key(), field_and_value()).prop_map(|(k, pair)| Step::SetField(k, pair)),
        4 => (key(), field_and_value()).prop_map(|(k, pair)| Step::RemoveField(k, pair.0)),
        1 => key().prop_map(Step::ForgetCompact),
        2 => (key(), key()).prop_map(|(a, b)| Step::Rename(a, b)),
        2 => (key(), key()).prop_map(|(a, b)| Step::Copy(a, b)),
        3 => key().prop_map(Step::Remove),
        3 => key().prop_map(Step::Read),
        2 => key().prop_map(Step::Exists),
        4 => (key(), prop::option::of(0_u64..50)).prop_map(|(k, e)| Step::Expire(k, e)),
        4 => (0_u64..20).prop_map(Step::Pass),
        2 => (1_usize..40).prop_map(Step::Cycle),
        1 => Just(Step::Clear),
        1 => key().prop_map(Step::ClearSlot),
    ]
}

/// A database and what it should hold.
struct Pair {
    clock: Clock,
    by_slot: bool,
    db: Db,
    model: Model,
    expired: BTreeMap<Vec<u8>, usize>,
}

impl Pair {
    fn new(by_slot: bool) -> Self {
        let clock = Clock::new();
        clock.set_unix_ms(1_000_000);
        Self {
            db: Db::new(clock.clone(), by_slot),
            clock,
            by_slot,
            model: Model::new(),
            expired: BTreeMap::new(),
        }
    }

    fn now(&self) -> u64 {
        self.clock.unix_ms()
    }

    /// What a door does first: an expired key goes.
    fn meet(&mut self, key: &[u8]) {
        let now = self.now();
        if matches!(self.model.get(key), Some((_, Some(ms))) if now > *ms) {
            self.model.remove(key);
            *self.expired.entry(key.to_vec()).or_default() += 1;
        }
    }

    fn put(&mut self, key: &[u8], value: Plain, expire_ms: Option<u64>) {
        self.meet(key);
        self.model.insert(key.to_vec(), (value, expire_ms));
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Set(key, value, expire) => {
                let expire_ms = expire.map(|ms| self.now() + ms);
                match expire_ms {
                    None => self.db.set_str(&key, StrNew::encode(&value)),
                    Some(_) => self
                        .db
                        .set_str_until(&key, StrNew::encode(&value), expire_ms),
                }
                self.put(&key, text(&value), expire_ms);
            }
            Step::SetBig(key, value) => {
                self.db
                    .set_str(&key, StrNew::Big(Bytes::from(value.clone())));
                let value = Plain::Text {
                    bytes: value,
                    encoding: Encoding::Embstr,
                };
                self.put(&key, value, None);
            }
            Step::SetInPlace(key, value) => self.change(&key, |text, now| {
                match canonical(&value) {
                    Some(number) => text.set_int(number),
                    None => text.set(StrNew::Bytes(&value)),
                }
                *now = value.clone();
                false
            }),
            Step::Append(key, value) => self.change(&key, |text, now| {
                now.extend_from_slice(&value);
                assert_eq!(text.append(&value), now.len());
                true
            }),
            Step::SetRange(key, offset, value) => self.change(&key, |text, now| {
                let end = offset + value.len();
                now.resize(now.len().max(end), 0);
                now[offset..end].copy_from_slice(&value);
                assert_eq!(text.set_range(offset, &value), now.len());
                true
            }),
            Step::Grow(key, len) => self.change(&key, |text, now| {
                now.resize(now.len().max(len), 0);
                let bytes = text.bytes_mut(len);
                if let (Some(last), Some(model)) = (bytes.last_mut(), now.last_mut()) {
                    *last ^= 1;
                    *model ^= 1;
                }
                assert_eq!(bytes, &now[..]);
                true
            }),
            other => self.apply_to_keys(other),
        }
    }

    fn apply_to_keys(&mut self, step: Step) {
        match step {
            Step::Push(key, value) => self.push(&key, &value),
            Step::SetField(key, pair) => self.set_field(&key, &pair),
            Step::RemoveField(key, field) => self.remove_field(&key, &field),
            Step::ForgetCompact(key) => self.forget_compact(&key),
            Step::Rename(from, to) => self.rename(&from, &to),
            Step::Copy(from, to) => self.copy(&from, &to),
            Step::Remove(key) => {
                self.meet(&key);
                assert_eq!(self.db.remove(&key), self.model.remove(&key).is_some());
            }
            Step::Read(key) => {
                self.meet(&key);
                assert_eq!(self.db.read(&key).is_some(), self.model.contains_key(&key));
            }
            Step::Exists(key) => {
                self.meet(&key);
                assert_eq!(self.db.exists(&key), self.model.contains_key(&key));
            }
            Step::Expire(key, expire) => {
                let expire_ms = expire.map(|ms| self.now() + ms);
                let known = self.model.get_mut(&key);
                assert_eq!(self.db.set_expire_ms(&key, expire_ms), known.is_some());
                if let Some(known) = known {
                    known.1 = expire_ms;
                }
            }
            Step::Pass(ms) => self.clock.set_unix_ms(self.now() + ms),
            Step::Cycle(slots) => self.cycle(slots),
            Step::Clear => {
                self.db.clear();
                self.model.clear();
            }
            Step::ClearSlot(key) => self.clear_slot(&key),
            _ => unreachable!("steps on strings are above"),
        }
    }

    /// Changes a string in place, or makes one. `change` answers whether the encoding is raw now.
    fn change(
        &mut self,
        key: &[u8],
        change: impl Fn(&mut store::StrMut<'_>, &mut Vec<u8>) -> bool,
    ) {
        self.meet(key);
        let made = || Owned::Bytes {
            bytes: Bytes::from_static(b"made"),
            raw: false,
        };
        let known = self
            .model
            .entry(key.to_vec())
            .or_insert_with(|| (text(b"made"), None));
        match (self.db.write_or_insert(key, made), &mut known.0) {
            (ValueMut::Str(mut value), Plain::Text { bytes, encoding }) => {
                if change(&mut value, bytes) {
                    *encoding = Encoding::Raw;
                } else {
                    known.0 = text(bytes);
                }
            }
            (ValueMut::List(_), Plain::List(_)) | (ValueMut::Hash(_), Plain::Hash { .. }) => {}
            (value, model) => panic!("{value:?} is not {model:?}"),
        }
    }

    fn push(&mut self, key: &[u8], value: &[u8]) {
        self.meet(key);
        let known = self
            .model
            .entry(key.to_vec())
            .or_insert_with(|| (Plain::List(Vec::new()), None));
        match (
            self.db.write_or_insert(key, || Owned::List(List::new())),
            &mut known.0,
        ) {
            (ValueMut::List(list), Plain::List(model)) => {
                list.push_back(value, &Limits::default());
                model.push(value.to_vec());
            }
            (ValueMut::Str(_), Plain::Text { .. }) | (ValueMut::Hash(_), Plain::Hash { .. }) => {}
            (value, model) => panic!("{value:?} is not {model:?}"),
        }
    }

    fn set_field(&mut self, key: &[u8], pair: &(Vec<u8>, Vec<u8>)) {
        self.meet(key);
        let empty = || Plain::Hash {
            pairs: Vec::new(),
            compact: true,
        };
        let known = self
            .model
            .entry(key.to_vec())
            .or_insert_with(|| (empty(), None));
        let made = || Owned::Hash(Hash::new());
        let (ValueMut::Hash(mut hash), Plain::Hash { pairs, compact }) =
            (self.db.write_or_insert(key, made), &mut known.0)
        else {
            return;
        };
        let (field, value) = pair;
        let new = hash.set(field, value, &limits());
        match pairs.iter_mut().find(|other| other.0 == *field) {
            Some(other) => {
                assert!(!new);
                other.1.clone_from(value);
            }
            None => {
                assert!(new);
                pairs.push(pair.clone());
            }
        }
        let limits = limits();
        *compact &= value.len() <= limits.hash_value && pairs.len() <= limits.hash_entries;
        if !*compact {
            pairs.sort();
        }
    }

    fn remove_field(&mut self, key: &[u8], field: &[u8]) {
        self.meet(key);
        let Some(ValueMut::Hash(mut hash)) = self.db.write(key) else {
            return;
        };
        let Some((Plain::Hash { pairs, .. }, _)) = self.model.get_mut(key) else {
            panic!("a hash that the model does not know");
        };
        let before = pairs.len();
        pairs.retain(|pair| pair.0 != field);
        assert_eq!(hash.remove(field), pairs.len() < before);
        assert_eq!(hash.see().is_empty(), pairs.is_empty());
        if pairs.is_empty() {
            assert!(self.db.remove(key));
            self.model.remove(key);
        }
    }

    fn forget_compact(&mut self, key: &[u8]) {
        self.meet(key);
        if let Some(ValueMut::Hash(mut hash)) = self.db.write(key)
            && let Some((Plain::Hash { pairs, compact }, _)) = self.model.get_mut(key)
        {
            hash.forget_compact();
            *compact = false;
            pairs.sort();
        }
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) {
        self.meet(from);
        let taken = self.db.take(from);
        assert_eq!(taken.is_some(), self.model.contains_key(from));
        if let (Some((value, expire_ms)), Some((model, model_ms))) =
            (taken, self.model.remove(from))
        {
            assert_eq!(expire_ms, model_ms);
            self.db.insert_until(to, value, expire_ms);
            self.put(to, model, expire_ms);
        }
    }

    fn copy(&mut self, from: &[u8], to: &[u8]) {
        self.meet(from);
        assert_eq!(self.db.exists(from), self.model.contains_key(from));
        if let Some((model, ms)) = self.model.get(from) {
            let model = told(from, model, ms.is_some());
            let value = self.db.duplicate(from).expect("it is there");
            self.db.insert(to, value);
            self.put(to, model, None);
        }
    }

    fn cycle(&mut self, slots: usize) {
        let before = self.db.len();
        let (seen, deleted) = self.db.expire_step(slots);
        assert!(seen >= deleted && before - self.db.len() == deleted);
        let now = self.now();
        let gone: Vec<Vec<u8>> = self
            .model
            .iter()
            .filter(|(key, (_, ms))| ms.is_some_and(|ms| now > ms) && self.db.peek(key).is_none())
            .map(|(key, _)| key.clone())
            .collect();
        assert_eq!(gone.len(), deleted);
        for key in gone {
            self.meet(&key);
        }
    }

    fn clear_slot(&mut self, key: &[u8]) {
        let slot = key_slot(key);
        let before = self.model.len();
        if self.by_slot {
            self.model.retain(|key, _| key_slot(key) != slot);
        }
        assert_eq!(self.db.clear_slot(slot), before - self.model.len());
    }

    fn check(&mut self) {
        assert_eq!(self.db.len(), self.model.len());
        assert_eq!(self.db.is_empty(), self.model.is_empty());
        let timed = self.model.values().filter(|(_, ms)| ms.is_some()).count();
        assert_eq!(self.db.expires_len(), timed);
        for (key, (value, ms)) in &self.model {
            assert_eq!(plain(&self.db, key), Some(told(key, value, ms.is_some())));
            assert_eq!(self.db.expire_ms(key), *ms);
        }
        assert_eq!(self.db.has_expired(), !self.expired.is_empty());
        for key in self.db.take_expired() {
            let count = self.expired.get_mut(&*key).expect("a key that expired");
            *count -= 1;
            if *count == 0 {
                self.expired.remove(&*key);
            }
        }
        assert!(
            self.expired.is_empty(),
            "{:?} were not reported",
            self.expired.keys()
        );
        self.check_walks();
        drop(self.db.take_garbage());
    }

    fn check_walks(&self) {
        let mut keys = BTreeSet::new();
        self.db.for_each(|key, value, ms| {
            assert_eq!(self.model[key].1, ms);
            assert_eq!(
                matches!(value, Value::List(_)),
                matches!(self.model[key].0, Plain::List(_))
            );
            assert!(keys.insert(key.to_vec()));
        });
        assert!(keys.iter().eq(self.model.keys()));
        let (mut scanned, mut cursor) = (BTreeSet::new(), 0);
        loop {
            cursor = self.db.scan(cursor, 3, |key, _| {
                assert!(scanned.insert(key.to_vec()));
            });
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(scanned, keys);
        let mut by_slot: BTreeMap<u16, BTreeSet<Vec<u8>>> = BTreeMap::new();
        for key in keys {
            by_slot.entry(key_slot(&key)).or_default().insert(key);
        }
        for (slot, keys) in by_slot {
            let mut shown = BTreeSet::new();
            self.db.slot_keys(slot, usize::MAX, |key| {
                shown.insert(key.to_vec());
            });
            let keys = if self.by_slot { keys } else { BTreeSet::new() };
            assert_eq!((self.db.slot_len(slot), shown), (keys.len(), keys));
        }
    }
}

proptest! {
    #![proptest_config(cases(300, 2))]

    #[test]
    fn doors_agree_with_a_map(by_slot: bool, steps in prop::collection::vec(step(), 0..amount(120, 30))) {
        let mut pair = Pair::new(by_slot);
        for step in steps {
            pair.apply(step);
            if amount(true, false) {
                pair.check();
            }
        }
        pair.check();
    }
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

fn filled(by_slot: bool, count: u32) -> (Clock, Db) {
    let clock = Clock::new();
    let mut db = Db::new(clock.clone(), by_slot);
    for number in 0..count {
        db.set_str(
            format!("key:{number}").as_bytes(),
            StrNew::Int(i64::from(number)),
        );
    }
    (clock, db)
}

#[test]
fn a_replica_hides_what_expired_and_loading_shows_it() {
    for by_slot in [false, true] {
        let (clock, mut db) = filled(by_slot, 3);
        assert!(db.set_expire_ms(b"key:1", Some(100)));
        clock.set_unix_ms(100);
        assert!(
            db.exists(b"key:1"),
            "its time comes when the clock is past it"
        );
        clock.set_unix_ms(101);
        clock.set_expiry(ExpiryMode::Hide);
        assert!(db.read(b"key:1").is_none() && db.write(b"key:1").is_none());
        assert!(!db.exists(b"key:1") && db.take(b"key:1").is_none());
        assert_eq!(db.expire_step(1000), (1, 0));
        assert_eq!((db.len(), db.has_expired()), (3, false));
        clock.set_expiry(ExpiryMode::Ignore);
        assert!(db.exists(b"key:1") && db.read(b"key:1").is_some());
        clock.set_expiry(ExpiryMode::Delete);
        assert!(db.read(b"key:1").is_none());
        assert_eq!(db.len(), 2);
        assert_eq!(db.take_expired(), [Box::from(&b"key:1"[..])]);
    }
}

#[test]
fn a_removed_hidden_key_was_not_there() {
    let (clock, mut db) = filled(false, 2);
    db.set_expire_ms(b"key:1", Some(100));
    clock.set_unix_ms(200);
    clock.set_expiry(ExpiryMode::Hide);
    assert!(!db.remove(b"key:1"));
    assert_eq!((db.len(), db.has_expired()), (1, false));
}

#[test]
fn idle_time_survives_the_wrap_of_the_clock() {
    let (clock, mut db) = filled(false, 2);
    clock.set_unix_ms(((1 << 24) - 10) * 1000);
    assert!(db.read(b"key:1").is_some());
    clock.set_unix_ms(((1 << 24) + 20) * 1000);
    assert_eq!(db.idle_seconds(b"key:1"), Some(30));
    assert!(db.exists(b"key:1"));
    assert_eq!(
        db.idle_seconds(b"key:1"),
        Some(30),
        "EXISTS does not count as use"
    );
    clock.set_touches(false);
    assert!(db.read(b"key:1").is_some());
    assert_eq!(db.idle_seconds(b"key:1"), Some(30));
    clock.set_touches(true);
    assert!(db.read(b"key:1").is_some());
    assert_eq!(db.idle_seconds(b"key:1"), Some(0));
    assert_eq!(db.idle_seconds(b"none"), None);
}

#[test]
fn big_strings_are_handed_over_and_shared_without_copies() {
    let clock = Clock::new();
    let mut db = Db::new(clock, false);
    let value = Bytes::from(vec![7; 100_000]);
    let at = value.as_ptr();
    db.set_str(b"big", StrNew::Big(value));
    let Some(Value::Str(Str::Big(seen))) = db.read(b"big") else {
        panic!("a big string");
    };
    assert_eq!(seen.as_ptr(), at);
    let reply = seen.clone();
    // A change while a reply still holds the bytes leaves the reply as it was.
    let Some(ValueMut::Str(mut text)) = db.write(b"big") else {
        panic!("a string");
    };
    assert_eq!(text.append(b"tail"), 100_004);
    assert_eq!(reply, vec![7; 100_000]);
    let Some(Value::Str(Str::Big(seen))) = db.read(b"big") else {
        panic!("a big string");
    };
    assert_eq!((seen.len(), &seen[100_000..]), (100_004, &b"tail"[..]));
    // Unshared, it stays where it is.
    let at = seen.as_ptr();
    let Some(ValueMut::Str(mut text)) = db.write(b"big") else {
        panic!("a string");
    };
    text.bytes_mut(0)[0] = 1;
    let (Owned::Bytes { bytes, raw: true }, None) = db.take(b"big").unwrap() else {
        panic!("a raw string");
    };
    assert_eq!((bytes.as_ptr(), bytes[0]), (at, 1));
}

/// Appending byte by byte must not copy the value each time.
#[test]
fn appending_moves_the_value_rarely() {
    let mut db = Db::new(Clock::new(), false);
    let total = amount(200_000, 500);
    let (mut moves, mut last) = (0, std::ptr::null());
    for _ in 0..total {
        let ValueMut::Str(mut text) = db.write_or_insert(b"log", || Owned::Bytes {
            bytes: Bytes::new(),
            raw: false,
        }) else {
            panic!("a string");
        };
        text.append(b"x");
        let now = text.bytes_mut(0).as_ptr();
        moves += usize::from(now != last);
        last = now;
    }
    assert_eq!(
        db.peek(b"log").map(|value| match value {
            Value::Str(text) => text.len(),
            _ => 0,
        }),
        Some(total)
    );
    assert!(moves < 60, "{moves} moves");
}

#[test]
fn what_takes_long_to_free_is_left_to_others() {
    for by_slot in [false, true] {
        let (_, mut db) = filled(by_slot, amount(1000, 100));
        db.set_str(b"big", StrNew::Big(Bytes::from(vec![0; 1 << 20])));
        db.set_str(b"big", StrNew::Big(Bytes::from(vec![0; 4 << 20])));
        assert!(!db.has_garbage());
        db.set_str(b"big", StrNew::Int(1));
        assert_eq!(db.take_garbage().len(), 1);
        let mut list = List::new();
        for _ in 0..100 {
            list.push_back(b"element", &Limits::default());
        }
        db.insert(b"list", Owned::List(list));
        assert!(db.remove(b"list") && db.has_garbage());
        db.clear();
        let garbage = db.take_garbage();
        assert_eq!((garbage.len(), db.len(), db.has_garbage()), (2, 0, false));
        std::thread::spawn(move || drop(garbage)).join().unwrap();
        assert!(db.is_empty() && !db.exists(b"key:1"));
    }
}

#[test]
fn an_empty_collection_is_no_value() {
    let (_, mut db) = filled(false, 2);
    db.insert(b"key:1", Owned::List(List::new()));
    assert_eq!((db.len(), db.exists(b"key:1")), (1, false));
}

/// Chi-square over keys: the sum's mean is their number, its deviation the root of twice that.
fn check_fair(hits: &BTreeMap<Vec<u8>, u32>, keys: usize, per_key: u32) {
    assert_eq!(hits.len(), keys);
    let expected = f64::from(per_key);
    let chi: f64 = hits
        .values()
        .map(|&hits| (f64::from(hits) - expected).powi(2) / expected)
        .sum();
    let mean = keys as f64;
    assert!(
        (chi - mean).abs() < 6.0 * (2.0 * mean).sqrt(),
        "chi-square {chi} of {mean}"
    );
}

#[test]
fn random_keys_are_chosen_evenly() {
    for by_slot in [false, true] {
        let keys = amount(5000, 30);
        let (_, mut db) = filled(by_slot, keys);
        let mut random = numbers(1);
        let mut hits: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        for _ in 0..keys * 40 {
            *hits.entry(db.random_key(&mut random).unwrap()).or_default() += 1;
        }
        check_fair(&hits, keys as usize, 40);
    }
}

#[test]
fn sampling_finds_the_few_keys_with_an_expiry() {
    for by_slot in [false, true] {
        let keys = amount(50_000, 200);
        let (_, mut db) = filled(by_slot, keys);
        for number in [1, keys / 5 * 2, keys / 5 * 4] {
            assert!(db.set_expire_ms(format!("key:{number}").as_bytes(), Some(1_000_000)));
        }
        let mut random = numbers(2);
        let mut hits: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        for _ in 0..300 {
            let mut shown = 0;
            db.sample(1, true, &mut random, |sample| {
                assert_eq!(sample.expire_ms, Some(1_000_000));
                *hits.entry(sample.key.to_vec()).or_default() += 1;
                shown += 1;
            });
            assert_eq!(shown, 1);
        }
        check_fair(&hits, 3, 100);
        let mut shown = BTreeSet::new();
        for _ in 0..100 {
            db.sample(5, false, &mut random, |sample| {
                shown.insert(sample.key.to_vec());
            });
        }
        assert!(shown.len() > amount(450, 120), "{}", shown.len());
        // The cycle goes straight to them.
        let (mut seen, mut steps) = (0, 0);
        while seen < 3 {
            seen += db.expire_step(400).0;
            steps += 1;
        }
        assert!(steps < 20, "{steps} steps");
    }
}

/// Chance aside, what is sampled is there: a small database, for Miri.
#[test]
fn samples_are_keys_of_the_database() {
    for by_slot in [false, true] {
        let (_, mut db) = filled(by_slot, amount(1100, 150));
        for number in [1, 60] {
            assert!(db.set_expire_ms(format!("key:{number}").as_bytes(), Some(1_000_000)));
        }
        let mut random = numbers(4);
        for among_expiring in [false, true] {
            let mut shown = Vec::new();
            for _ in 0..10 {
                db.sample(5, among_expiring, &mut random, |sample| {
                    assert_eq!(
                        sample.expire_ms.is_some(),
                        among_expiring || sample.key == b"key:1" || sample.key == b"key:60"
                    );
                    shown.push(sample.key.to_vec());
                });
            }
            assert!(!shown.is_empty());
            assert!(shown.iter().all(|key| db.exists(key)));
        }
        let mut seen = 0;
        while seen < 2 {
            seen += db.expire_step(400).0;
        }
    }
}

#[test]
fn random_keys_that_expired_are_met() {
    let (clock, mut db) = filled(false, 20);
    for number in 0..19 {
        db.set_expire_ms(format!("key:{number}").as_bytes(), Some(10));
    }
    clock.set_unix_ms(20);
    let mut random = numbers(3);
    clock.set_expiry(ExpiryMode::Hide);
    assert!(db.random_key(&mut random).is_some());
    assert_eq!(db.len(), 20);
    clock.set_expiry(ExpiryMode::Delete);
    assert_eq!(db.random_key(&mut random).as_deref(), Some(&b"key:19"[..]));
    assert_eq!(db.take_expired().len() + db.len(), 20);
    db.set_expire_ms(b"key:19", Some(10));
    assert_eq!(db.random_key(&mut random), None);
    assert!(db.is_empty());
}

#[test]
fn the_cycle_estimates_the_time_to_live() {
    let (clock, mut db) = filled(false, 100);
    assert_eq!((db.avg_ttl_ms(), db.expires_len()), (0, 0));
    for number in 0..100 {
        db.set_expire_ms(format!("key:{number}").as_bytes(), Some(5000));
    }
    clock.set_unix_ms(1000);
    while db.expire_step(50).0 == 0 {}
    assert_eq!(db.avg_ttl_ms(), 4000);
}

#[test]
fn cursors_from_nowhere_end_the_scan() {
    for by_slot in [false, true] {
        let (_, db) = filled(by_slot, 100);
        for cursor in [u64::MAX, 1 << 62, 16384 << 48] {
            assert_eq!(db.scan(cursor, 10, |_, _| panic!("nothing lies there")), 0);
        }
    }
}

/// The sizes that the table of targets promises, with the size classes of the daemons' allocator.
#[test]
fn entries_are_small() {
    let mut db = Db::new(Clock::new(), false);
    let key = [b'k'; 16];
    db.set_str(&key, StrNew::Bytes(&[b'v'; 32]));
    assert_eq!(db.entry_bytes(&key), Some(56));
    db.set_expire_ms(&key, Some(1));
    assert_eq!(db.entry_bytes(&key), Some(64));
    for (value, bytes) in [(9_999_999, 24), (-1, 32), (i64::MAX, 32)] {
        db.insert(&key, Owned::Int(value));
        assert_eq!(db.entry_bytes(&key), Some(bytes));
        db.set_expire_ms(&key, Some(1));
        assert_eq!(db.entry_bytes(&key), Some(bytes + 8));
    }
    let mut hash = Hash::new();
    for field in 0..5 {
        hash.set(format!("field{field}").as_bytes(), b"0123456789", &limits());
    }
    db.insert(&key, Owned::Hash(hash));
    assert_eq!(db.entry_bytes(&key), Some(112));
    assert!(matches!(db.peek(&key), Some(Value::Hash(hash)) if hash.heap_bytes() == 0));
    assert_eq!(db.key_bytes(&key), Some(112));
}

#[test]
fn the_bytes_of_a_key_include_those_of_a_large_value() {
    let mut db = Db::new(Clock::new(), false);
    let mut hash = Hash::new();
    for field in 0..1000 {
        hash.set(format!("f{field}").as_bytes(), &[b'v'; 1000], &limits());
    }
    db.insert(b"h", Owned::Hash(hash));
    db.set_str(b"s", StrNew::Bytes(&vec![b'v'; 1_000_000]));
    for key in [b"h", b"s"] {
        let bytes = db.key_bytes(key).expect("it is there");
        assert!((1_000_000..1_100_000).contains(&bytes), "{bytes} bytes");
    }
    assert_eq!(db.key_bytes(b"none"), None);
}

#[test]
fn databases_of_a_keyspace_share_the_clock() {
    let mut keyspace = Keyspace::new(2, false);
    keyspace.clock().set_unix_ms(50);
    let (a, b) = keyspace.db_pair(0, 1);
    a.set_str_until(b"key", StrNew::Bytes(b"value"), Some(60));
    let (value, expire_ms) = a.take(b"key").unwrap();
    b.insert_until(b"key", value, expire_ms);
    assert!(keyspace.db(1).exists(b"key") && !keyspace.db(0).exists(b"key"));
    keyspace.clock().set_unix_ms(61);
    assert!(!keyspace.db(1).exists(b"key"));
    assert_eq!((keyspace.databases(), keyspace.db_ref(1).len()), (2, 0));
}

/// The fields of the hash at a key that a reader sees.
fn seen(db: &mut Db, key: &[u8]) -> Vec<Vec<u8>> {
    let Some(Value::Hash(hash)) = db.read(key) else {
        return Vec::new();
    };
    let mut fields: Vec<_> = hash.iter().map(|(field, _)| field.to_vec()).collect();
    fields.sort();
    fields
}

fn set_until(db: &mut Db, key: &[u8], field: &[u8], until: u64) {
    let made = db.write_or_insert(key, || Owned::Hash(Hash::new()));
    let ValueMut::Hash(mut hash) = made else {
        panic!("a hash");
    };
    hash.set_until(field, b"value", until);
}

#[test]
fn fields_expire_by_themselves() {
    for by_slot in [false, true] {
        let clock = Clock::new();
        let mut db = Db::new(clock.clone(), by_slot);
        clock.set_unix_ms(1000);
        set_until(&mut db, b"h", b"first", 1010);
        set_until(&mut db, b"h", b"second", 1020);
        set_until(&mut db, b"other", b"only", 1015);
        if let Some(ValueMut::Hash(mut hash)) = db.write(b"h") {
            assert!(hash.set(b"plain", b"v", &limits()));
        }
        assert_eq!((db.timed_hashes(), db.fields_due_ms()), (2, Some(1010)));
        assert_eq!(db.encoding(b"h"), Some(Encoding::Hashtable));
        clock.set_unix_ms(1010);
        assert_eq!(db.expire_fields(10), 0);
        assert_eq!(seen(&mut db, b"h").len(), 3);
        clock.set_unix_ms(1016);
        assert_eq!(seen(&mut db, b"h"), [&b"plain"[..], b"second"]);
        clock.set_expiry(ExpiryMode::Ignore);
        assert_eq!(seen(&mut db, b"h").len(), 3);
        clock.set_expiry(ExpiryMode::Hide);
        assert_eq!((seen(&mut db, b"h").len(), db.expire_fields(10)), (2, 0));
        clock.set_expiry(ExpiryMode::Delete);
        assert!(!db.has_expired() && db.take_expired_fields().is_empty());
        assert_eq!(db.expire_fields(1), 1);
        assert_eq!(db.expire_fields(10), 1);
        let gone = db.take_expired_fields();
        assert_eq!(gone[0].key[..], b"h"[..]);
        assert_eq!(gone[0].fields, [Box::from(&b"first"[..])]);
        assert_eq!((gone[1].key_gone, db.len()), (true, 1));
        assert!(clock.take_expired());
        // The last expiry goes: the hash is like any other again.
        if let Some(ValueMut::Hash(mut hash)) = db.write(b"h") {
            assert!(hash.set_expiry(b"second", None));
        }
        assert_eq!((db.timed_hashes(), db.fields_due_ms()), (0, None));
        assert_eq!(seen(&mut db, b"h").len(), 2);
    }
}

#[test]
fn a_hash_that_leaves_is_tracked_no_more() {
    let clock = Clock::new();
    let mut db = Db::new(clock, false);
    set_until(&mut db, b"h", b"f", 50);
    let (owned, _) = db.take(b"h").expect("it is there");
    assert_eq!(db.timed_hashes(), 0);
    db.insert(b"other", owned);
    assert_eq!((db.timed_hashes(), db.fields_due_ms()), (1, Some(50)));
    db.set_str(b"other", StrNew::Int(1));
    assert_eq!(db.timed_hashes(), 0);
    set_until(&mut db, b"h", b"f", 50);
    db.insert(b"h", Owned::List(List::new()));
    assert_eq!((db.timed_hashes(), db.len()), (0, 1));
    set_until(&mut db, b"h", b"f", 50);
    set_until(&mut db, b"h", b"f", 40);
    assert!(db.remove(b"h"));
    set_until(&mut db, b"h", b"f", 70);
    assert_eq!(db.fields_due_ms(), Some(70));
    db.clear();
    assert_eq!((db.timed_hashes(), db.expire_fields(9)), (0, 0));
}

#[test]
fn a_field_that_is_set_anew_has_expired_before() {
    let clock = Clock::new();
    let mut db = Db::new(clock.clone(), false);
    clock.set_unix_ms(100);
    for field in [&b"a"[..], b"b", b"c", b"d"] {
        set_until(&mut db, b"h", field, 110);
    }
    clock.set_unix_ms(120);
    let Some(ValueMut::Hash(mut hash)) = db.write(b"h") else {
        panic!("the hash is there until its fields are deleted");
    };
    assert!(!hash.remove(b"a") && !hash.set_expiry(b"a", None));
    assert!(hash.set(b"a", b"new", &limits()));
    assert!(hash.set_keeping(b"b", b"new", &limits()));
    assert_eq!(hash.see().expiry(b"b"), store::FieldTime::Never);
    assert_eq!((hash.overwritten(), hash.see().len()), (2, 4));
    assert!(hash.remove_expired(b"c"));
    assert_eq!(hash.see().timed_len(), 1);
    assert_eq!(db.expire_fields(10), 1);
    assert_eq!(seen(&mut db, b"h").len(), 2);
}

#[test]
fn many_fields_at_one_instant_go_in_slices() {
    let clock = Clock::new();
    let mut db = Db::new(clock.clone(), false);
    let count = amount(20_000_u32, 200);
    for n in 0..count {
        set_until(&mut db, b"h", &n.to_be_bytes(), 10);
    }
    clock.set_unix_ms(11);
    let mut left = count as usize;
    while left > 0 {
        let gone = db.expire_fields(64);
        assert_eq!(gone, left.min(64));
        left -= gone;
    }
    assert!(db.is_empty());
}

#[test]
fn keys_that_are_new_or_missed_are_noted_for_who_asks() {
    let mut keyspace = Keyspace::new(1, false);
    let clock = keyspace.clock().clone();
    clock.set_unix_ms(1000);
    let db = keyspace.db(0);
    db.set_str(b"a", StrNew::Int(1));
    assert!(db.read(b"none").is_none() && db.take_noted().is_empty());
    clock.set_notes(Notes {
        missed: true,
        new: true,
    });
    let db = keyspace.db(0);
    db.set_str(b"a", StrNew::Int(2));
    db.set_str_until(b"b", StrNew::Int(2), Some(2000));
    assert!(db.read(b"none").is_none() && db.read(b"a").is_some());
    db.insert(b"c", Owned::Int(3));
    clock.set_unix_ms(3000);
    assert!(db.read(b"b").is_none());
    let noted: Vec<_> = db.take_noted();
    let keys = noted.iter().map(|(what, key)| (*what, &**key));
    assert!(keys.eq([
        (Noted::New, &b"b"[..]),
        (Noted::Missed, b"none"),
        (Noted::New, b"c"),
        (Noted::Missed, b"b"),
    ]));
}

#[test]
fn eviction_sees_the_keys_that_are_used_least() {
    let mut keyspace = Keyspace::new(1, false);
    let clock = keyspace.clock().clone();
    clock.set_unix_ms(60_000_000);
    clock.set_usage(Usage::Frequency {
        log_factor: 0,
        decay_minutes: 1,
    });
    let db = keyspace.db(0);
    db.set_str(b"often", StrNew::Int(1));
    db.set_str(b"once", StrNew::Int(1));
    for _ in 0..20 {
        db.read(b"often");
        db.set_str(b"often", StrNew::Int(1));
    }
    assert_eq!(
        (db.frequency(b"often"), db.frequency(b"once")),
        (Some(45), Some(5))
    );
    db.set_usage(b"once", Some(9), Some(40));
    assert_eq!(
        (db.frequency(b"once"), db.idle_seconds(b"once")),
        (Some(40), None)
    );
    let mut seen = BTreeMap::new();
    db.sample(10, false, &mut || 7, |sample| {
        seen.insert(sample.key.to_vec(), sample.idleness);
    });
    assert!(seen.get(&b"often"[..]).is_none_or(|idle| *idle == 210));
    assert!(seen.get(&b"once"[..]).is_none_or(|idle| *idle == 215));
    clock.set_usage(Usage::Recency);
    db.set_usage(b"once", Some(9), Some(40));
    assert_eq!(db.idle_seconds(b"once"), Some(9));
}

#[test]
fn a_hidden_slot_is_found_by_its_doors_alone() {
    let clock = Clock::new();
    let mut db = Db::new(clock.clone(), true);
    // Slots 0 and 1.
    let (hidden, shown) = (b"{06S}a", b"{Qi}b");
    db.set_str(hidden, StrNew::Int(1));
    db.hide_slot(0, true);
    for key in [&hidden[..], b"{06S}c", shown] {
        db.set_str_until(key, StrNew::Int(1), Some(1));
    }
    clock.set_expiry(ExpiryMode::Hide);
    assert_eq!((db.len(), db.total_len(), db.expires_len()), (1, 3, 1));
    assert_eq!((db.slot_len(0), db.slot_len(1)), (2, 1));
    assert!(!db.shows(hidden) && db.shows(shown));
    assert!(db.peek(hidden).is_some());
    let mut seen = Vec::new();
    assert_eq!(db.scan(0, 10, |key, _| seen.push(key.to_vec())), 0);
    assert_eq!(seen, [shown.to_vec()]);
    let mut next = 0;
    let mut random = || {
        next += 1;
        next
    };
    for _ in 0..10 {
        assert_eq!(db.random_key(&mut random), Some(shown.to_vec()));
    }
    db.sample(10, true, &mut random, |sample| {
        assert_eq!(sample.key, shown);
    });
    // A cycle deletes only what is shown.
    clock.set_unix_ms(1000);
    clock.set_expiry(ExpiryMode::Delete);
    for _ in 0..100 {
        db.expire_step(16);
    }
    assert_eq!((db.len(), db.total_len()), (0, 2));
    assert_eq!(db.take_expired(), [Box::from(&shown[..])]);
    db.clear();
    clock.set_expiry(ExpiryMode::Ignore);
    db.set_str(hidden, StrNew::Int(2));
    assert_eq!((db.len(), db.total_len()), (0, 1), "it stays hidden");
    db.hide_slot(0, false);
    assert_eq!((db.len(), db.total_len()), (1, 1));
}

#[test]
fn a_scan_of_slots_ends_with_the_last_and_stops_where_there_are_keys() {
    let mut db = Db::new(Clock::new(), true);
    for tag in ["06S", "Qi", "6ZJ"] {
        for number in 0..20 {
            let key = format!("{{{tag}}}{number}");
            db.set_str(key.as_bytes(), StrNew::Int(number));
        }
    }
    let (mut cursor, mut seen) = (0, BTreeSet::new());
    loop {
        cursor = db.scan_slots(cursor, 1, 3, |key, _| {
            seen.insert(key.to_vec());
        });
        if cursor == 0 {
            break;
        }
        assert!(Db::cursor_parts(cursor).0 <= 1);
    }
    assert_eq!(seen.len(), 40);
    // From the end of one slot to the next that has keys.
    let next = db.scan_slots(Db::slot_cursor(1, 0), 16383, 20, |_, _| {});
    assert_eq!(Db::cursor_parts(next), (16383, 0));
}
