//! Files and payloads against a keyspace: what is loaded, what encodings it takes, what is written of it.

#![allow(
    clippy::unwrap_used,
    reason = "a test stops where its data is not as expected"
)]

mod common;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use common::{RECORDED, Recorded, data, normalize, recorded};
use rdb::{
    Dumper, Encoding, Error, Facts, Input, LoadOptions, Loaded, Loader, Options, Progress, Reader,
    Record, SaveOptions, StreamPlace, Usage, Version, Writer, dump, dump_for_any, lowest_version,
    restore, save,
};
use store::{Keyspace, Limits, List, Owned, StrNew, Stream, StreamId, Value};

const SKIP: Options = Options {
    checksum: true,
    skip_unsupported: true,
    relaxed: false,
};
const SAVE: SaveOptions<'static> = SaveOptions {
    version: None,
    compress: true,
    checksum: true,
    now_ms: 0,
    usage: Usage::None,
    facts: None,
    functions: &[],
    slots: false,
    slot_imports: &[],
};

/// Loads `file` in steps of `step` bytes.
fn load_by(file: &[u8], step: u64, options: LoadOptions) -> Result<(Keyspace, Loaded), Error> {
    let mut keyspace = Keyspace::new(16, false);
    let mut loader = Loader::open(Input::new(file), options, Limits::default())?;
    while loader.step(&mut keyspace, step)? == Progress::More {}
    Ok((keyspace, loader.loaded()))
}

fn load(file: &[u8]) -> Keyspace {
    load_by(
        file,
        1 << 20,
        LoadOptions {
            read: SKIP,
            ..LoadOptions::default()
        },
    )
    .unwrap()
    .0
}

/// A value as the JSON files describe it.
fn describe(value: Value<'_>, encoding: &str, expires: bool) -> Recorded {
    let (mut out, mut digits) = (Vec::new(), [0; 20]);
    let mut fields = BTreeMap::new();
    match value {
        Value::Str(text) => out.push(text.bytes(&mut digits).to_vec()),
        Value::List(list) => out.extend(list.iter_from(0).map(<[u8]>::to_vec)),
        Value::Set(set) => out.extend(set.iter().map(|member| member.bytes(&mut digits).to_vec())),
        Value::Zset(zset) => {
            out.extend(
                zset.iter()
                    .flat_map(|(member, score)| [member.to_vec(), score.to_string().into_bytes()]),
            );
        }
        Value::Hash(hash) => {
            for (field, value, until) in hash.iter_timed() {
                out.extend([field.to_vec(), value.to_vec()]);
                fields.extend(until.map(|until| (field.to_vec(), until)));
            }
        }
        Value::Stream(stream) => out = words_of(stream),
    }
    let kind = value.kind().name().to_owned();
    let value = normalize(&kind, out);
    Recorded {
        kind,
        encoding: encoding.to_owned(),
        expires,
        value,
        fields,
    }
}

/// What a stream holds, as the JSON files have it.
fn words_of(stream: &Stream) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let (id, number) = (
        |id: StreamId| id.to_string(),
        |number: u64| number.to_string(),
    );
    let mut push = |word: String| words.push(word.into_bytes());
    push(number(stream.len()));
    push(id(stream.last_id()));
    push(id(stream.max_deleted_id()));
    push(number(stream.entries_added()));
    for (name, group) in stream.groups() {
        push(String::from_utf8_lossy(name).into_owned());
        push(id(group.last_id));
        group.entries_read.map(number).map(&mut push);
        for (at, pending) in group.pending_range(StreamId::MIN, StreamId::MAX) {
            push(id(at));
            push(number(pending.delivered_ms));
            push(number(pending.count));
        }
        for (_, consumer) in group.consumers() {
            push(String::from_utf8_lossy(consumer.name()).into_owned());
            push(number(consumer.seen_ms));
            consumer.active_ms.map(number).map(&mut push);
            let owned = consumer.pending_range(StreamId::MIN, StreamId::MAX);
            owned.map(id).for_each(&mut push);
        }
    }
    let mut digits = [0; 20];
    let mut entries = Vec::new();
    for entry in stream.range(StreamId::MIN, StreamId::MAX) {
        entries.push(entry.id().to_string().into_bytes());
        for (name, value) in entry.fields() {
            entries.push(name.bytes(&mut digits).to_vec());
            entries.push(value.bytes(&mut digits).to_vec());
        }
    }
    entries.extend(words);
    entries
}

/// Everything in `keyspace` by `database:key`.
fn content(keyspace: &Keyspace) -> BTreeMap<Vec<u8>, Recorded> {
    let mut all = BTreeMap::new();
    for database in 0..keyspace.databases() {
        let db = keyspace.db_ref(database);
        db.for_each(|key, value, expire_ms| {
            let name = [format!("{database}:").as_bytes(), key].concat();
            let encoding = db.encoding(key).unwrap().name();
            all.insert(name, describe(value, encoding, expire_ms.is_some()));
        });
    }
    all
}

/// Expiries by `database:key`.
fn expiries(keyspace: &Keyspace) -> BTreeMap<Vec<u8>, Option<u64>> {
    let mut all = BTreeMap::new();
    for database in 0..keyspace.databases() {
        keyspace.db_ref(database).for_each(|key, _, expire_ms| {
            all.insert([format!("{database}:").as_bytes(), key].concat(), expire_ms);
        });
    }
    all
}

#[test]
fn recorded_files_load_with_the_encodings_of_today() {
    for name in RECORDED {
        let loaded = content(&load(&data(&format!("{name}.rdb"))));
        let expected = recorded(name);
        assert_eq!(loaded.len(), expected.len());
        for (key, mut entry) in expected {
            entry.value = normalize(&entry.kind, entry.value);
            let loaded = &loaded[&key];
            if name.starts_with("redis-3.0.7") {
                let today: &[&str] = match (entry.kind.as_str(), entry.encoding.as_str()) {
                    ("list", _) => &["listpack", "quicklist"],
                    (_, "ziplist") => &["listpack"],
                    ("set", "hashtable") => &["listpack", "hashtable"],
                    (_, "raw") => &["embstr", "raw"],
                    (_, same) => &[same],
                };
                let name = key.escape_ascii();
                assert!(today.contains(&&*loaded.encoding), "{name}: {today:?}");
            }
            entry.encoding = loaded.encoding.clone();
            if entry.kind == "stream" && loaded.value.starts_with(&entry.value) {
                // Of some only the entries are recorded.
                entry.value.clone_from(&loaded.value);
            }
            assert_eq!(*loaded, entry, "{name}: {}", key.escape_ascii());
        }
    }
}

/// Gives no more of a file than may be read by now.
struct UpTo<'a> {
    file: &'a [u8],
    end: &'a Cell<usize>,
    read: usize,
}

impl std::io::Read for UpTo<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = into.len().min(self.end.get() - self.read);
        into[..count].copy_from_slice(&self.file[self.read..][..count]);
        self.read += count;
        Ok(count)
    }
}

#[test]
fn up_to_the_end_of_a_record_a_file_can_be_loaded_before_the_rest_is_there() {
    for name in RECORDED {
        let file = data(&format!("{name}.rdb"));
        let mut ends = Vec::new();
        rdb::find_ends(&file[..], |end| ends.push(usize::try_from(end).unwrap())).unwrap();
        assert!(ends.len() > expiries(&load(&file)).len());
        let end = Cell::new(ends[0]);
        let source = UpTo {
            file: &file,
            end: &end,
            read: 0,
        };
        let options = LoadOptions {
            read: SKIP,
            ..LoadOptions::default()
        };
        let mut keyspace = Keyspace::new(16, false);
        let mut loader = Loader::open(Input::new(source), options, Limits::default()).unwrap();
        for ready in ends {
            end.set(ready);
            while loader.offset() < ready as u64 {
                let left = ready as u64 - loader.offset();
                assert_eq!(loader.step(&mut keyspace, left).unwrap(), Progress::More);
            }
            assert_eq!(loader.offset(), ready as u64, "{name}");
        }
        end.set(file.len());
        while loader.step(&mut keyspace, 1).unwrap() == Progress::More {}
        assert_eq!(content(&keyspace), content(&load(&file)), "{name}");

        // Of a file that is cut off only what is whole is told.
        let cut = file.len() * 2 / 3;
        let mut last = 0;
        rdb::find_ends(&file[..cut], |end| last = end).unwrap_err();
        assert!(last > 0 && last <= cut as u64);
    }
}

#[test]
fn what_is_saved_loads_as_the_same() {
    for name in RECORDED {
        let keyspace = load(&data(&format!("{name}.rdb")));
        for (compress, checksum) in [(true, true), (false, true), (true, false), (false, false)] {
            let options = SaveOptions {
                compress,
                checksum,
                ..SAVE
            };
            let mut last = 0;
            let progress = |saved: rdb::Saved| {
                assert!(saved.bytes > last);
                last = saved.bytes;
                Ok(())
            };
            let (file, saved) = save(&keyspace, Vec::new(), options, progress).unwrap();
            assert_eq!(
                (saved.bytes, saved.keys),
                (file.len() as u64, content(&keyspace).len() as u64)
            );
            let again = load(&file);
            assert_eq!(content(&again), content(&keyspace));
            assert_eq!(expiries(&again), expiries(&keyspace));
            assert!(!compress || file.len() < 50_000, "{name}: {}", file.len());
        }
    }
}

fn versions() -> impl Iterator<Item = Version> {
    (6..=80).filter_map(Version::written)
}

#[test]
fn every_version_holds_the_same() {
    for name in RECORDED {
        let keyspace = load(&data(&format!("{name}.rdb")));
        for version in versions() {
            let fields = keyspace.db_ref(0).timed_hashes() > 0;
            if version.number() < 11 && has_streams(&keyspace) || version.number() < 12 && fields {
                // They lose what that version does not know, or cannot be written.
                continue;
            }
            let options = SaveOptions {
                version: Some(version),
                ..SAVE
            };
            let (file, _) = save(&keyspace, Vec::new(), options, |_| Ok(())).unwrap();
            let again = load(&file);
            assert_eq!(content(&again), content(&keyspace), "{name}, {version:?}");
            assert_eq!(expiries(&again), expiries(&keyspace));
        }
    }
}

fn has_streams(keyspace: &Keyspace) -> bool {
    let mut some = false;
    keyspace
        .db_ref(0)
        .for_each(|_, value, _| some |= matches!(value, Value::Stream(_)));
    some
}

/// Old versions know less of a stream: what they lack is made up for when they are loaded.
#[test]
fn a_stream_goes_into_old_versions_as_far_as_they_know_it() {
    let name = b"0:stream:s";
    let mut keyspace = load(&data("valkey-9.1.2.rdb"));
    for timed in [&b"hash:ttl"[..], b"hash:ttlbig"] {
        assert!(keyspace.db(0).remove(timed));
    }
    let whole = &content(&keyspace)[&name[..]].value;
    for number in [9, 10] {
        let options = SaveOptions {
            version: Version::written(number),
            ..SAVE
        };
        let (file, _) = save(&keyspace, Vec::new(), options, |_| Ok(())).unwrap();
        assert!(types(&file).contains(if number == 9 { &15 } else { &19 }));
        let words = &content(&load(&file))[&name[..]].value;
        let entries = whole.iter().position(|word| word == b"147").unwrap();
        assert_eq!(words[..entries + 2], whole[..entries + 2]);
        for name in [&b"g1"[..], b"alice", b"idle one", b"1004-4"] {
            assert!(words.contains(&name.to_vec()), "{}", name.escape_ascii());
        }
    }
    let options = SaveOptions {
        version: Version::written(8),
        ..SAVE
    };
    let error = save(&keyspace, Vec::new(), options, |_| Ok(())).map(drop);
    let error = error.unwrap_err().to_string();
    assert!(
        error.starts_with("Can't store key 'stream:")
            && error.ends_with("' (db 0) in RDB version 8: it is a stream"),
        "{error}"
    );
}

/// The types that a file of this version has.
fn types(file: &[u8]) -> BTreeSet<u8> {
    let mut reader = Reader::open(Input::new(file), SKIP).unwrap();
    let mut types = BTreeSet::new();
    while let Some(record) = reader.next_record().unwrap() {
        if let Record::Key(key) = record {
            types.insert(key.encoding.code());
        }
    }
    types
}

/// Nothing is in a file that the programs of its version do not know.
#[test]
fn a_version_has_only_what_it_knows() {
    let keyspace = load(&data("redis-3.0.7.rdb"));
    let file = |number| {
        let options = SaveOptions {
            version: Version::written(number),
            facts: Some(&facts()),
            ..SAVE
        };
        save(&keyspace, Vec::new(), options, |_| Ok(())).unwrap().0
    };
    let set = |codes: &[u8]| codes.iter().copied().collect::<BTreeSet<u8>>();
    let plain = [0, 2, 4, 11];
    assert_eq!(
        types(&file(6)),
        set(&[&plain[..], &[1, 3, 10, 12, 13]].concat())
    );
    assert_eq!(
        types(&file(8)),
        set(&[&plain[..], &[1, 5, 10, 12, 13]].concat())
    );
    assert_eq!(
        types(&file(10)),
        set(&[&plain[..], &[5, 16, 17, 18]].concat())
    );
    for number in [11, 12, 80] {
        assert_eq!(
            types(&file(number)),
            set(&[&plain[..], &[5, 16, 17, 18, 20]].concat())
        );
    }
    // Files say who wrote them from version 7 on.
    let has_aux = |file: &[u8]| file.windows(9).any(|window| window == b"redis-ver");
    assert!(!has_aux(&file(6)) && has_aux(&file(7)) && has_aux(&file(80)));
}

fn facts() -> Facts {
    Facts {
        redis_version: "7.2.4".to_owned(),
        created_s: 1_700_000_000,
        used_memory: 123_456_789,
        replication: Some(StreamPlace {
            database: Some(3),
            id: "0123456789abcdef".repeat(3)[..40].to_owned(),
            offset: 1 << 40,
        }),
        aof_base: true,
        open_slots: format!("7>{0},9<{0},", "a".repeat(40)),
    }
}

#[test]
fn what_a_file_says_of_itself_is_told() {
    let keyspace = Keyspace::new(16, false);
    for replication in [facts().replication, None] {
        let facts = Facts {
            replication,
            ..facts()
        };
        let functions = [b"#!lua name=one\n".to_vec(), b"#!lua name=two\n".to_vec()];
        let options = SaveOptions {
            facts: Some(&facts),
            functions: &functions,
            ..SAVE
        };
        let (file, _) = save(&keyspace, Vec::new(), options, |_| Ok(())).unwrap();
        let mut loader = Loader::open(
            Input::new(&file[..]),
            LoadOptions::default(),
            Limits::default(),
        )
        .unwrap();
        let mut other = Keyspace::new(16, false);
        while loader.step(&mut other, 1).unwrap() == Progress::More {}
        assert_eq!(loader.facts().facts, facts);
        assert_eq!(loader.take_functions(), functions);
        assert_eq!(loader.version(), Version::COMMON);
    }
    let mut valkey = data("valkey-9.1.2.rdb");
    valkey.truncate(4000);
    let loader = Loader::open(
        Input::new(&valkey[..]),
        LoadOptions::default(),
        Limits::default(),
    );
    let mut loader = loader.unwrap();
    let _ = loader.step(&mut Keyspace::new(16, false), u64::MAX);
    assert_eq!(loader.facts().valkey_version, "9.1.2");
    assert!(loader.take_functions()[0].starts_with(b"#!lua name=mylib\n"));
}

#[test]
fn a_version_that_is_too_old_is_refused_by_name() {
    let functions = [b"#!lua name=mine\n".to_vec()];
    let options = SaveOptions {
        version: Version::written(9),
        functions: &functions,
        ..SAVE
    };
    let error = save(&Keyspace::new(1, false), Vec::new(), options, |_| Ok(())).map(drop);
    let error = error.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    assert_eq!(
        error.to_string(),
        "Can't store the function library 'mine' in RDB version 9"
    );
}

/// Valkey and Redis write fields that expire each in its own way.
#[test]
fn fields_that_expire_are_written_for_either_vendor() {
    let keyspace = load(&data("valkey-9.1.2.rdb"));
    for (number, code) in [(None, 22), (Some(80), 22), (Some(12), 24)] {
        let options = SaveOptions {
            version: number.and_then(Version::written),
            ..SAVE
        };
        let (file, _) = save(&keyspace, Vec::new(), options, |_| Ok(())).unwrap();
        assert!(types(&file).contains(&code));
        assert_eq!(content(&load(&file)), content(&keyspace));
        let fields = &content(&load(&file))[&b"0:hash:ttl"[..]].fields;
        assert_eq!(fields.len(), 2);
    }
    let options = SaveOptions {
        version: Version::written(11),
        ..SAVE
    };
    let error = save(&keyspace, Vec::new(), options, |_| Ok(())).map(drop);
    let error = error.unwrap_err().to_string();
    assert!(
        error.ends_with("in RDB version 11: it is a hash with fields that expire"),
        "{error}"
    );
    // A master leaves out what has expired, and a hash of which nothing is left.
    let late = LoadOptions {
        read: SKIP,
        drop_expired_before: Some(4_000_000_000_500),
        note_expired: true,
        ..LoadOptions::default()
    };
    let file = data("valkey-9.1.2.rdb");
    let (kept, _) = load_by(&file, 1 << 20, late).unwrap();
    let hash = &content(&kept)[&b"0:hash:ttl"[..]];
    assert_eq!((hash.value.len(), hash.fields.len()), (4, 1));
    // Which fields these were is noted, also of hashes of which nothing is left.
    let mut loader = Loader::open(Input::new(&file[..]), late, Limits::default()).unwrap();
    let mut keyspace = Keyspace::new(16, false);
    while loader.step(&mut keyspace, 1 << 20).unwrap() == Progress::More {}
    let noted = loader.take_expired();
    let fields = |key: &[u8]| -> usize {
        let of = noted.iter().filter(|gone| gone.key == key);
        of.map(|gone| gone.fields.len()).sum()
    };
    assert_eq!(fields(b"hash:ttl"), 1, "{noted:?}");
    let whole = content(&load(&file));
    let gone: usize = noted.iter().map(|gone| gone.fields.len()).sum();
    let timed: usize = whole.values().map(|value| value.fields.len()).sum();
    let left: usize = content(&kept)
        .values()
        .map(|value| value.fields.len())
        .sum();
    assert_eq!(gone, timed - left);
}

#[test]
fn the_lowest_version_is_told_by_what_there_is() {
    let function = [b"#!lua name=mine\n".to_vec()];
    for (name, functions, number) in [
        ("redis-3.0.7.rdb", &[][..], 6),
        ("redis-7.2.6.rdb", &[], 10),
        ("redis-7.2.6.rdb", &function, 10),
        ("redis-8.0.6.rdb", &[], 80),
    ] {
        let keyspace = load(&data(name));
        let version = lowest_version(&keyspace, functions);
        assert_eq!(version.number(), number);
        let options = SaveOptions {
            version: Some(version),
            functions,
            ..SAVE
        };
        save(&keyspace, Vec::new(), options, |_| Ok(())).unwrap();
    }
}

#[test]
fn idle_times_and_slots_are_told_where_they_are_wanted() {
    let mut keyspace = Keyspace::new(1, true);
    for key in [&b"{a}1"[..], b"{a}2", b"{b}"] {
        keyspace.db(0).set_str(key, StrNew::Int(1));
    }
    let options = SaveOptions {
        usage: Usage::Idle,
        slots: true,
        ..SAVE
    };
    let (file, _) = save(&keyspace, Vec::new(), options, |_| Ok(())).unwrap();
    let mut reader = Reader::open(Input::new(&file[..]), SKIP).unwrap();
    let (mut keys, mut slots) = (0, BTreeMap::new());
    while let Some(record) = reader.next_record().unwrap() {
        match record {
            Record::Key(key) => {
                assert_eq!(key.idle_seconds, Some(0));
                keys += 1;
            }
            Record::Aux { name, value } if name == b"slot-info" => {
                slots.insert(String::from_utf8(value.to_vec()).unwrap(), keys);
            }
            _ => {}
        }
    }
    let (a, b) = (store::key_slot(b"{a}1"), store::key_slot(b"{b}"));
    let expected = [(format!("{b},1,0,0"), 0), (format!("{a},2,0,0"), 1)];
    assert_eq!((keys, slots), (3, expected.into_iter().collect()));
}

#[test]
fn frequencies_are_told_where_they_are_wanted() {
    let mut keyspace = Keyspace::new(1, false);
    keyspace.clock().set_usage(store::Usage::Frequency {
        log_factor: 10,
        decay_minutes: 0,
    });
    keyspace.db(0).set_str(b"key", StrNew::Int(1));
    keyspace.db(0).set_usage(b"key", None, Some(77));
    for (version, counter) in [(11, Some(77)), (8, None)] {
        let options = SaveOptions {
            usage: Usage::Frequency,
            version: Version::written(version),
            ..SAVE
        };
        let (file, _) = save(&keyspace, Vec::new(), options, |_| Ok(())).unwrap();
        let mut reader = Reader::open(Input::new(&file[..]), SKIP).unwrap();
        let mut told = None;
        while let Some(record) = reader.next_record().unwrap() {
            if let Record::Key(key) = record {
                told = key.frequency;
            }
        }
        assert_eq!(told, counter, "version {version}");
    }
}

/// Same values, same opcodes. Only scores, which Redis 3.0.7 writes with 17 digits, become shorter, and more lists are compact.
#[test]
fn a_file_of_redis_3_0_7_is_written_back_as_it_was() {
    let original = data("redis-3.0.7-nocompress.rdb");
    let options = SaveOptions {
        compress: false,
        checksum: false,
        version: Some(Version::OLDEST_WRITTEN),
        ..SAVE
    };
    let (file, _) = save(&load(&original), Vec::new(), options, |_| Ok(())).unwrap();
    assert!(types(&file).is_subset(&types(&original)));
    assert!(file.len() <= original.len() && file.len() * 50 > original.len() * 49);
}

#[test]
fn the_size_of_a_step_changes_nothing() {
    let file = data("redis-7.2.6.rdb");
    let whole = content(&load(&file));
    for step in [1, 1000] {
        let options = LoadOptions {
            read: SKIP,
            ..LoadOptions::default()
        };
        assert_eq!(content(&load_by(&file, step, options).unwrap().0), whole);
    }
}

/// Elements that a list takes and writes at once stand between others, and at the ends of buffers: nothing of that shows.
#[test]
fn a_list_is_written_as_its_elements_are_one_by_one() {
    let element = |number: usize| match number % 1000 {
        0..900 => format!("element:{number:08}").into_bytes(),
        900..920 => number.to_string().into_bytes(),
        920..930 => format!("-{number}x").into_bytes(),
        930..950 => vec![b'c'; number % 80],
        950..960 => Vec::new(),
        960..999 => vec![b"0123456789"[number % 10]; number % 13],
        _ => vec![b'l'; number % 200_000],
    };
    let elements: Vec<Vec<u8>> = (0..40_000).map(element).collect();
    let mut list = List::new();
    for element in &elements {
        list.push_back(element, &Limits::default());
    }
    let mut keyspace = Keyspace::new(16, false);
    keyspace.db(0).insert(b"list", Owned::List(list));
    for compress in [true, false] {
        let version = Version::OLDEST_WRITTEN;
        let mut writer = Writer::new(Vec::new(), compress, true);
        writer.header(version).unwrap();
        writer.select(0).unwrap();
        writer.key(Encoding::List, b"list").unwrap();
        writer.length(elements.len() as u64).unwrap();
        for element in &elements {
            writer.string(element).unwrap();
        }
        let one_by_one = writer.finish().unwrap();
        let mut options = SaveOptions { compress, ..SAVE };
        // As a chain of compact parts, too.
        let (file, _) = save(&keyspace, Vec::new(), options, |_| Ok(())).unwrap();
        let (again, _) = load_by(&file, 5000, LoadOptions::default()).unwrap();
        assert!(content(&again) == content(&keyspace));
        options.version = Some(version);
        let (file, _) = save(&keyspace, Vec::new(), options, |_| Ok(())).unwrap();
        assert!(file == one_by_one);
        for step in [1, 5000, u64::MAX] {
            let (again, _) = load_by(&file, step, LoadOptions::default()).unwrap();
            assert!(content(&again) == content(&keyspace));
        }
        for cut in (9..file.len()).step_by(9973) {
            let error = load_by(&file[..cut], u64::MAX, LoadOptions::default())
                .err()
                .unwrap();
            assert!(
                matches!(error, Error::ShortRead { offset, .. } if offset == cut as u64),
                "{error}"
            );
        }
    }
}

#[test]
fn every_value_goes_through_a_payload() {
    let keyspace = load(&data("redis-3.0.7.rdb"));
    let mut dumper = Dumper::new();
    for version in versions().map(Some).chain([None]) {
        dumper.version = version;
        assert_eq!(
            content(&through_payloads(&keyspace, &mut dumper)),
            content(&keyspace)
        );
    }
    dumper.version = None;
    let value = Value::Str(store::Str::Int(1));
    let payload = dump_for_any(&mut dumper, value, true).unwrap();
    // For anybody who has RESTORE at all.
    assert_eq!((payload[3], dumper.version), (6, None));
    let keyspace = load(&data("redis-7.2.6.rdb"));
    assert!(has_streams(&keyspace));
    assert_eq!(
        content(&through_payloads(&keyspace, &mut dumper)),
        content(&keyspace)
    );
}

/// Valkey from 9.1 on says in two bytes how long an entry of 16,383 bytes is, all others in three: so do the versions that they write.
#[test]
fn entries_say_their_length_as_who_reads_the_version_does() {
    let value = [b'x'; 16_378];
    let mut stream = Stream::new();
    let fields = [(&b"field"[..], &value[..])];
    stream
        .append(StreamId::MAX, fields.into_iter(), &Limits::default())
        .unwrap();
    let mut dumper = Dumper::new();
    let mut payload_len = |number: Option<u16>| {
        dumper.version = number.and_then(Version::written);
        let payload = dump(&mut dumper, Value::Stream(&stream), false).unwrap();
        let back = restore(&payload, &Limits::default(), rdb::Trust::default()).unwrap();
        assert!(matches!(back, Owned::Stream(back) if words_of(&back) == words_of(&stream)));
        payload.len()
    };
    assert_eq!(payload_len(None), payload_len(Some(12)));
    assert_eq!(payload_len(Some(80)) + 1, payload_len(Some(12)));
    let mut keyspace = Keyspace::new(1, false);
    keyspace.db(0).insert(b"key", Owned::Stream(stream));
    let file_len = |number| {
        let options = SaveOptions {
            version: Version::written(number),
            compress: false,
            ..SAVE
        };
        let (file, _) = save(&keyspace, Vec::new(), options, |_| Ok(())).unwrap();
        assert_eq!(content(&load(&file)), content(&keyspace));
        file.len()
    };
    assert_eq!(file_len(80) + 1, file_len(12));
}

#[test]
fn a_duplicate_of_what_a_file_holds_is_equal() {
    let keyspace = load(&data("valkey-9.1.2.rdb"));
    let mut other = Keyspace::new(16, false);
    keyspace.db_ref(0).for_each(|key, _, expire_ms| {
        let value = keyspace.db_ref(0).duplicate(key).unwrap();
        other.db(0).insert_until(key, value, expire_ms);
    });
    let mut expected = content(&keyspace);
    expected.retain(|key, _| key.starts_with(b"0:"));
    assert_eq!(content(&other), expected);
}

fn through_payloads(keyspace: &Keyspace, dumper: &mut Dumper) -> Keyspace {
    let mut other = Keyspace::new(16, false);
    for database in 0..16 {
        keyspace.db_ref(database).for_each(|key, value, expire_ms| {
            let payload = dump(dumper, value, true).unwrap();
            other.db(database).insert(
                key,
                restore(&payload, &Limits::default(), rdb::Trust::default()).unwrap(),
            );
            other.db(database).set_expire_ms(key, expire_ms);
        });
    }
    other
}

#[test]
fn a_master_drops_expired_keys_and_a_replica_keeps_them() {
    let file = data("redis-3.0.7.rdb");
    let far = LoadOptions {
        read: SKIP,
        drop_expired_before: Some(u64::MAX),
        ..LoadOptions::default()
    };
    let (keyspace, loaded) = load_by(&file, 1 << 20, far).unwrap();
    assert_eq!((loaded.expired, loaded.keys), (1, 26));
    assert!(!content(&keyspace).contains_key(&b"0:str:expire"[..]));
    let replica = LoadOptions {
        read: SKIP,
        ..LoadOptions::default()
    };
    assert_eq!(load_by(&file, 1 << 20, replica).unwrap().1.keys, 27);
    // Nor is such a key written again.
    let options = SaveOptions {
        now_ms: u64::MAX,
        ..SAVE
    };
    let (file, saved) = save(&load(&file), Vec::new(), options, |_| Ok(())).unwrap();
    assert_eq!(saved.keys, 26);
    assert_eq!(content(&load(&file)), content(&keyspace));
}

/// A file with these records.
fn file_of(records: &[u8]) -> Vec<u8> {
    [b"REDIS0006", records, b"\xff\0\0\0\0\0\0\0\0"].concat()
}

#[test]
fn what_comes_twice_is_refused_by_name() {
    for (records, what) in [
        (
            &b"\xfe\0\0\x01a\x011\0\x01a\x012"[..],
            "the key comes twice",
        ),
        (
            b"\xfe\0\x02\x01a\x02\x01x\x01x",
            "a member or field comes twice",
        ),
        (
            b"\xfe\0\x04\x01a\x02\x01x\x011\x01x\x012",
            "a member or field comes twice",
        ),
        (
            b"\xfe\0\x03\x01a\x02\x01x\x011\x01x\x012",
            "a member or field comes twice",
        ),
    ] {
        let error = load_by(&file_of(records), 1 << 20, LoadOptions::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(what) && error.contains("in key 'a' of database 0"),
            "{error}"
        );
    }
}

#[test]
fn empty_collections_are_no_keys() {
    let (keyspace, loaded) = load_by(
        &file_of(b"\xfe\0\x01\x01a\x00\x02\x01b\x00\x00\x01c\x00"),
        1,
        LoadOptions::default(),
    )
    .unwrap();
    assert_eq!((loaded.empty, loaded.keys), (2, 1));
    assert_eq!(keyspace.db_ref(0).len(), 1);
    let empty_list = Dumper::new()
        .dump(true, rdb::Encoding::List, |writer| writer.length(0))
        .unwrap();
    assert!(restore(&empty_list, &Limits::default(), rdb::Trust::default()).is_err());
}

#[test]
fn a_database_beyond_the_configured_ones_is_refused() {
    let error = load_by(
        &file_of(b"\xfe\x10\0\x01a\x011"),
        1 << 20,
        LoadOptions::default(),
    )
    .unwrap_err();
    assert!(matches!(error, Error::Database { configured: 16 }));
}

#[test]
fn a_sink_that_fails_ends_the_save() {
    struct Full(usize);
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 = self
                .0
                .checked_sub(bytes.len())
                .ok_or(std::io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let keyspace = load(&data("redis-3.0.7.rdb"));
    let error = save(&keyspace, Full(1000), SAVE, |_| Ok(()))
        .map(|(_, saved)| saved)
        .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    let error = save(&keyspace, Vec::new(), SAVE, |_| {
        Err(std::io::ErrorKind::Interrupted.into())
    })
    .unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Interrupted);
}

/// A payload of Redis 3.0: its type, a body, version 6 and the checksum, all written here by hand.
fn payload(code: u8, body: &[u8]) -> Vec<u8> {
    let mut payload = vec![code];
    payload.extend_from_slice(body);
    payload.extend([6, 0]);
    let checksum = crc64(&payload);
    payload.extend(checksum.to_le_bytes());
    payload
}

/// CRC-64 as Redis has it, bit by bit.
fn crc64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u64::from(*byte), |crc: u64, _| {
            crc >> 1
                ^ if crc & 1 == 1 {
                    0x95ac_9329_ac4b_c9b5
                } else {
                    0
                }
        })
    })
}

fn encoding_of(code: u8, body: &[u8], limits: &Limits) -> &'static str {
    let mut keyspace = Keyspace::new(1, false);
    let value = restore(&payload(code, body), limits, rdb::Trust::default()).unwrap();
    keyspace.db(0).insert(b"k", value);
    keyspace.db(0).encoding(b"k").unwrap().name()
}

#[test]
fn restored_values_take_the_encodings_that_redis_gives_them() {
    let limits = Limits {
        list_size: 1,
        set_entries: 1,
        zset_value: 10,
        hash_value: 10,
        ..Limits::default()
    };
    assert_eq!(encoding_of(1, b"\x01\x0c123456789012", &limits), "listpack");
    assert_eq!(encoding_of(1, b"\x02\x01a\x01b", &limits), "quicklist");
    assert_eq!(encoding_of(2, b"\x01\x01a", &limits), "listpack");
    assert_eq!(encoding_of(2, b"\x02\x01a\x01b", &limits), "hashtable");
    assert_eq!(encoding_of(2, b"\x02\x011\x012", &limits), "intset");
    assert_eq!(
        encoding_of(3, b"\x01\x0a1234567890\x011", &limits),
        "listpack"
    );
    assert_eq!(
        encoding_of(3, b"\x01\x0cabcdefghijkl\x011", &limits),
        "skiplist"
    );
    assert_eq!(
        encoding_of(4, b"\x01\x01a\x0cabcdefghijkl", &limits),
        "hashtable"
    );
    // A compact form is taken over however long its elements are.
    let ziplist = b"\x23\x23\0\0\0\x0d\0\0\0\x02\0\0\x01a\x03\x14abcdefghijklmnopqrst\xff";
    let mut bytes = ziplist.to_vec();
    bytes[0] = u8::try_from(bytes.len() - 1).unwrap();
    bytes[1] = bytes[0];
    assert_eq!(encoding_of(13, &bytes, &limits), "listpack");
    assert_eq!(encoding_of(10, &bytes, &limits), "quicklist");
}

#[test]
fn imports_of_slots_that_are_under_way_are_told() {
    let mut keyspace = Keyspace::new(1, true);
    keyspace.db(0).hide_slot(store::key_slot(b"hidden"), true);
    keyspace.db(0).set_str(b"hidden", StrNew::Int(1));
    let import = rdb::SlotImport {
        job: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        slots: vec![(7, 7), (300, 16383)],
    };
    let options = SaveOptions {
        slot_imports: std::slice::from_ref(&import),
        ..SAVE
    };
    let (file, saved) = save(&keyspace, Vec::new(), options, |_| Ok(())).unwrap();
    assert!(file.starts_with(b"VALKEY080") && saved.keys == 1);
    let mut again = Keyspace::new(1, true);
    let mut loader = Loader::open(
        Input::new(&file[..]),
        LoadOptions::default(),
        Limits::default(),
    )
    .unwrap();
    while loader.step(&mut again, 1 << 20).unwrap() == Progress::More {}
    assert_eq!(loader.facts().slot_imports, std::slice::from_ref(&import));
    assert_eq!(content(&again), content(&keyspace));
    // Who cannot read of it is told nothing.
    let options = SaveOptions {
        version: Version::written(11),
        slot_imports: &[import],
        ..SAVE
    };
    let (file, _) = save(&keyspace, Vec::new(), options, |_| Ok(())).unwrap();
    assert_eq!(content(&load(&file)), content(&keyspace));
}

#[test]
fn a_part_of_a_list_has_a_byte_at_least() {
    let restored = |body| {
        restore(
            &payload(18, body),
            &Limits::default(),
            rdb::Trust::default(),
        )
    };
    assert!(restored(b"\x01\x01\x01a").is_ok());
    assert!(restored(b"\x01\x01\x00").is_err());
}
