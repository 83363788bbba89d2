//! Streams against an ordered map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::Str;
use crate::amount::{amount, cases};

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn pairs(fields: &Fields) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
    fields.iter().map(|(name, value)| (&name[..], &value[..]))
}

fn text(part: Str<'_>) -> Vec<u8> {
    part.bytes(&mut [0; 20]).to_vec()
}

fn plain(entry: &StreamEntry<'_>) -> (StreamId, Fields) {
    let fields: Fields = entry.fields().map(|(n, v)| (text(n), text(v))).collect();
    assert_eq!(
        (entry.len(), entry.is_empty()),
        (fields.len(), fields.is_empty())
    );
    (entry.id(), fields)
}

/// What the stream should be.
#[derive(Default)]
struct Model {
    entries: BTreeMap<StreamId, Fields>,
    last_id: StreamId,
    max_deleted_id: StreamId,
    added: u64,
}

impl Model {
    fn trim(&mut self, keep: Keep, most: usize) -> u64 {
        let goes = match keep {
            Keep::Last(last) => self
                .entries
                .len()
                .saturating_sub(usize::try_from(last).unwrap_or(usize::MAX)),
            Keep::From(from) => self.entries.range(..from).count(),
        };
        let goes = goes.min(most);
        for _ in 0..goes {
            self.entries.pop_first();
        }
        goes as u64
    }
}

fn check(stream: &Stream, model: &Model, from: StreamId, to: StreamId) {
    assert_eq!(stream.len(), model.entries.len() as u64);
    assert_eq!(stream.last_id(), model.last_id);
    assert_eq!(stream.max_deleted_id(), model.max_deleted_id);
    assert_eq!(stream.entries_added(), model.added);
    let ends = |entry: Option<StreamEntry<'_>>| entry.map(|entry| entry.id());
    assert_eq!(
        ends(stream.first()),
        model.entries.keys().next().copied(),
        "first"
    );
    assert_eq!(
        ends(stream.last()),
        model.entries.keys().next_back().copied(),
        "last"
    );
    let expected: Vec<_> = if from <= to {
        let range = model.entries.range(from..=to);
        range.map(|(id, fields)| (*id, fields.clone())).collect()
    } else {
        Vec::new()
    };
    let forward: Vec<_> = stream.range(from, to).map(|entry| plain(&entry)).collect();
    assert_eq!(forward, expected, "{from} to {to}");
    let mut back: Vec<_> = (stream.range_back(from, to))
        .map(|entry| plain(&entry))
        .collect();
    back.reverse();
    assert_eq!(back, expected, "back from {to} to {from}");
    assert_eq!(stream.node_count(), stream.node_ids().count());
    assert!(stream.node_ids().is_sorted());
    assert_eq!(stream.node_count() == 0, stream.is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Append {
        ms: u64,
        seq: u64,
        fields: Fields,
    },
    /// The entry so far from the start, or an id that is not there.
    Delete(usize),
    DeleteId(StreamId),
    Trim(Trim),
    Range(StreamId, StreamId),
}

fn id() -> impl Strategy<Value = StreamId> {
    prop_oneof![
        8 => (0_u64..60, 0_u64..4).prop_map(|(ms, seq)| StreamId::new(ms, seq)),
        1 => Just(StreamId::MIN),
        1 => Just(StreamId::MAX),
        1 => any::<(u64, u64)>().prop_map(|(ms, seq)| StreamId::new(ms, seq)),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => any::<i64>().prop_flat_map(|n| (0..64_u32).prop_map(move |by| (n >> by).to_string().into_bytes())),
        4 => prop::collection::vec(any::<u8>(), 0..12),
        1 => (100_usize..400).prop_map(|n| vec![b'v'; n]),
    ]
}

fn fields() -> impl Strategy<Value = Fields> {
    prop_oneof![
        4 => (value(), value()).prop_map(|(a, b)| vec![(b"f1".to_vec(), a), (b"12".to_vec(), b)]),
        1 => prop::collection::vec((value(), value()), 1..4),
    ]
}

fn keep() -> impl Strategy<Value = Keep> {
    prop_oneof![
        (0_u64..80).prop_map(Keep::Last),
        Just(Keep::Last(u64::MAX)),
        id().prop_map(Keep::From),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let append = |ms: std::ops::Range<u64>| {
        (ms, 0_u64..3, fields()).prop_map(|(ms, seq, fields)| Step::Append { ms, seq, fields })
    };
    prop_oneof![
        24 => append(0..3),
        1 => append(0..1 << 40),
        4 => (0_usize..90).prop_map(Step::Delete),
        1 => id().prop_map(Step::DeleteId),
        1 => (keep(), any::<bool>(), prop_oneof![Just(0), 1_u64..60])
            .prop_map(|(keep, exact, limit)| Step::Trim(Trim { keep, exact, limit: if exact { 0 } else { limit } })),
        4 => (id(), id()).prop_map(|(a, b)| Step::Range(a, b)),
    ]
}

fn apply(stream: &mut Stream, model: &mut Model, step: &Step, limits: &Limits) {
    match step {
        Step::Append { ms, seq, fields } => {
            let ms = model.last_id.ms.saturating_add(*ms);
            let id = StreamId::new(ms, *seq);
            let refused = id <= model.last_id;
            let answer = stream.append(id, pairs(fields), limits);
            assert_eq!(answer.is_err(), refused);
            if !refused {
                model.entries.insert(id, fields.clone());
                model.last_id = id;
                model.added += 1;
            }
        }
        Step::Delete(n) => {
            if let Some(id) = model.entries.keys().nth(*n).copied() {
                delete(stream, model, id);
            }
        }
        Step::DeleteId(id) => delete(stream, model, *id),
        Step::Trim(trim) => {
            let count = stream.trim(*trim).count;
            // Where whole nodes go only, the stream says how many; they are some of those that may go.
            let most = if trim.exact {
                usize::MAX
            } else {
                usize::try_from(count).expect("a small stream")
            };
            assert_eq!(model.trim(trim.keep, most), count);
            assert!(trim.limit == 0 || count <= trim.limit);
        }
        Step::Range(from, to) => check(stream, model, *from, *to),
    }
}

fn delete(stream: &mut Stream, model: &mut Model, id: StreamId) {
    let there = model.entries.remove(&id).is_some();
    assert_eq!(stream.contains(id), there);
    assert_eq!(stream.delete(id), there);
    assert!(!stream.contains(id));
    if there {
        model.max_deleted_id = model.max_deleted_id.max(id);
    }
}

proptest! {
    #![proptest_config(cases(200, 4))]
    #[test]
    fn is_an_ordered_map(
        steps in prop::collection::vec(step(), 1..amount(400, 40)),
        bytes in prop::sample::select(vec![0, 1, 64, 400, 4096]),
        entries in prop::sample::select(vec![0, 1, 2, 7, 100]),
    ) {
        let limits = Limits {
            stream_node_bytes: bytes,
            stream_node_entries: entries,
            ..Limits::default()
        };
        let (mut stream, mut model) = (Stream::new(), Model::default());
        for step in &steps {
            apply(&mut stream, &mut model, step, &limits);
        }
        check(&stream, &model, StreamId::MIN, StreamId::MAX);
        let copy = stream.clone();
        drop(stream);
        check(&copy, &model, StreamId::MIN, StreamId::MAX);
        prop_assert!(copy.heap_bytes() > 0);
    }

    #[test]
    fn groups_are_two_maps(
        steps in prop::collection::vec((0_u8..6, 0_u8..4, 0_u64..20), 1..amount(300, 60)),
    ) {
        let mut group = Group::new(StreamId::MIN, None);
        let mut model: BTreeMap<StreamId, (u8, u64)> = BTreeMap::new();
        let mut there = std::collections::BTreeSet::new();
        for (n, (what, name, seq)) in steps.into_iter().enumerate() {
            let (id, now) = (StreamId::new(1, seq), n as u64);
            match what {
                0 => {
                    let pending = model.iter().filter(|(_, (of, _))| *of == name).count();
                    let removed = group.remove_consumer(&[name]).map(|one| one.pending_len());
                    prop_assert_eq!(removed, there.remove(&name).then_some(pending));
                    model.retain(|_, (of, _)| *of != name);
                }
                1 => {
                    let gone = group.acknowledge(id).map(|pending| pending.delivered_ms);
                    prop_assert_eq!(gone, model.remove(&id).map(|(_, ms)| ms));
                }
                _ => {
                    let (consumer, made) = group.find_or_create(&[name], now);
                    prop_assert_eq!(made, there.insert(name));
                    group.deliver(id, Pending { delivered_ms: now, count: 1, consumer });
                    model.insert(id, (name, now));
                }
            }
            prop_assert_eq!(group.pending_len(), model.len());
            let seen = group.pending_range(StreamId::MIN, StreamId::MAX);
            let seen = seen.map(|(id, pending)| {
                (id, (group.consumer(pending.consumer).name()[0], pending.delivered_ms))
            });
            prop_assert!(seen.eq(model.iter().map(|(id, what)| (*id, *what))));
            prop_assert!(group.consumers().map(|(_, who)| who.name()[0]).eq(there.iter().copied()));
            for (_, consumer) in group.consumers() {
                let own = model.iter().filter(|(_, (of, _))| [*of] == *consumer.name());
                prop_assert!(consumer
                    .pending_range(StreamId::MIN, StreamId::MAX)
                    .eq(own.map(|(id, _)| *id)));
            }
        }
        let (from, to) = (StreamId::new(1, 9), StreamId::new(1, 3));
        prop_assert_eq!(group.pending_range(from, to).count(), 0);
    }
}

#[test]
fn ids_only_rise() {
    let limits = Limits::default();
    let mut stream = Stream::new();
    let field = vec![(b"f".to_vec(), b"v".to_vec())];
    let zero = stream.append(StreamId::MIN, pairs(&field), &limits);
    assert_eq!(zero, Err(Refused::NotAbove));
    for (id, added) in [((1, 1), true), ((1, 1), false), ((1, 0), false)] {
        let answer = stream.append(StreamId::new(id.0, id.1), pairs(&field), &limits);
        assert_eq!(answer.is_ok(), added);
    }
    stream
        .append(StreamId::MAX, pairs(&field), &limits)
        .expect("the greatest id may come");
    assert_eq!(stream.len(), 2);
    assert!(
        stream
            .range(StreamId::new(1, 2), StreamId::MAX)
            .map(|entry| entry.id())
            .eq([StreamId::MAX])
    );
}

#[test]
fn many_nodes_are_cut_off_to_be_freed_elsewhere() {
    let limits = Limits::default();
    let mut stream = Stream::new();
    let field = vec![(b"f".to_vec(), b"v".to_vec())];
    for ms in 1..=5000 {
        let id = StreamId::new(ms, 0);
        assert!(stream.append(id, pairs(&field), &limits).is_ok());
    }
    assert_eq!(stream.node_count(), 50);
    let about = Trim {
        keep: Keep::Last(150),
        exact: false,
        limit: 0,
    };
    let trimmed = stream.trim(about);
    assert_eq!(
        (trimmed.count, stream.len(), stream.node_count()),
        (4800, 200, 2)
    );
    assert!(trimmed.rest.is_some());
    let trimmed = stream.trim(Trim {
        keep: Keep::Last(0),
        ..about
    });
    assert_eq!((trimmed.count, stream.node_count()), (200, 0));
    assert!(stream.is_empty() && stream.last().is_none() && stream.first().is_none());
    assert_eq!(stream.last_id(), StreamId::new(5000, 0));
}

#[test]
fn entries_with_common_names_are_small() {
    let limits = Limits::default();
    let mut stream = Stream::new();
    let count = amount(100_000_u64, 300);
    for n in 0..count {
        let value = format!("value{n:03}");
        let fields = [(&b"f1"[..], value.as_bytes()), (b"f2", value.as_bytes())];
        let id = StreamId::new(1_700_000_000_000 + n / 50, n % 50);
        assert!(stream.append(id, fields.into_iter(), &limits).is_ok());
    }
    let each = stream.heap_bytes() as u64 / count;
    assert!((19..28).contains(&each), "{each} bytes each");
}

#[test]
fn what_a_group_has_still_to_read() {
    let limits = Limits::default();
    let mut stream = Stream::new();
    let field = vec![(b"f".to_vec(), b"v".to_vec())];
    assert_eq!(stream.lag(&Group::new(StreamId::MIN, None)), Some(0));
    for ms in 1..=5 {
        let id = StreamId::new(ms, 0);
        assert!(stream.append(id, pairs(&field), &limits).is_ok());
    }
    let at = |ms, read| Group::new(StreamId::new(ms, 0), read);
    assert_eq!(stream.lag(&at(0, None)), Some(5));
    assert_eq!(stream.lag(&at(1, None)), Some(4));
    assert_eq!(stream.lag(&at(3, None)), None);
    assert_eq!(stream.lag(&at(3, Some(3))), Some(2));
    assert_eq!(stream.lag(&at(5, None)), Some(0));
    assert_eq!(stream.lag(&at(9, None)), None);
    assert_eq!(stream.lag(&at(5, Some(7))), Some(-2));
    stream.delete(StreamId::new(4, 0));
    assert_eq!(stream.lag(&at(3, Some(3))), None);
    assert_eq!(stream.lag(&at(4, Some(3))), None);
    assert_eq!(stream.lag(&at(5, None)), Some(0));
}
