//! Files that Redis 3.0.7, 7.2.6, Valkey 8.0.1 and older ones wrote, read record by record and compared with what they are known to hold.

#![allow(
    clippy::unwrap_used,
    reason = "a test stops where its data is not as expected"
)]

mod common;

use std::collections::BTreeMap;

use common::{RECORDED, Recorded, data, normalize, recorded};
use rdb::{Error, Input, Kind, Options, Reader, Record, StreamPart};
use store::StreamId;

type Read = BTreeMap<Vec<u8>, Recorded>;

/// Everything in `bytes` by `database:key`, and how many things were passed over.
fn read_all(bytes: &[u8], options: Options) -> Result<(Read, Vec<String>), Error> {
    let mut reader = Reader::open(Input::new(bytes), options)?;
    let (mut all, mut skipped) = (Read::new(), Vec::new());
    while let Some(record) = reader.next_record()? {
        let key = match record {
            Record::Key(key) => key,
            Record::Skipped(what) => {
                skipped.push(what.name.to_string());
                continue;
            }
            Record::Function(code) => {
                skipped.push(rdb::Unsupported::library(&code.to_vec()).name.to_string());
                continue;
            }
            _ => continue,
        };
        let name = [format!("{}:", key.database).as_bytes(), reader.key()].concat();
        let (mut value, mut fields) = (Vec::new(), BTreeMap::new());
        let kind = match key.kind {
            Kind::String => {
                value.push(reader.string()?.to_vec());
                "string"
            }
            Kind::List | Kind::Set => {
                while let Some(element) = reader.next_element()? {
                    value.push(element.to_vec());
                }
                if key.kind == Kind::List {
                    "list"
                } else {
                    "set"
                }
            }
            Kind::Hash => {
                while let Some((field, element, at)) = reader.next_field()? {
                    value.extend([field.to_vec(), element.to_vec()]);
                    fields.extend(at.map(|at| (field.to_vec(), at)));
                }
                "hash"
            }
            Kind::Zset => {
                while let Some((member, score)) = reader.next_member()? {
                    value.extend([member.to_vec(), score.to_string().into_bytes()]);
                }
                "zset"
            }
            Kind::Stream => {
                value.extend(stream_words(&mut reader)?);
                "stream"
            }
        };
        let read = Recorded {
            kind: kind.to_owned(),
            encoding: String::new(),
            expires: key.expire_ms.is_some(),
            value: normalize(kind, value),
            fields,
        };
        all.insert(name, read);
    }
    Ok((all, skipped))
}

/// What a stream holds, as words.
fn stream_words(reader: &mut Reader<&[u8]>) -> Result<Vec<Vec<u8>>, Error> {
    let mut words = Vec::new();
    let id = |id: StreamId| format!("{}-{}", id.ms, id.seq).into_bytes();
    let number = |number: u64| number.to_string().into_bytes();
    while let Some(part) = reader.next_stream_part()? {
        match part {
            StreamPart::Entry(at, fields) => {
                words.push(id(at));
                let pairs = fields.iter();
                words.extend(pairs.flat_map(|(field, value)| [field.to_vec(), value.to_vec()]));
            }
            StreamPart::Facts(facts) => {
                words.extend([number(facts.length), id(facts.last_id)]);
                words.extend([id(facts.max_deleted), number(facts.entries_added)]);
            }
            StreamPart::Group {
                name,
                last_id,
                entries_read,
            } => {
                words.extend([name.to_vec(), id(last_id)]);
                words.extend(entries_read.map(number));
            }
            StreamPart::Pending {
                id: at,
                delivered_ms,
                deliveries,
            } => words.extend([id(at), number(delivered_ms), number(deliveries)]),
            StreamPart::Consumer {
                name,
                seen_ms,
                active_ms,
            } => {
                words.extend([name.to_vec(), number(seen_ms)]);
                words.extend(active_ms.map(number));
            }
            StreamPart::Owned(at) => words.push(id(at)),
        }
    }
    Ok(words)
}

const SKIP: Options = Options {
    checksum: true,
    skip_unsupported: true,
    relaxed: false,
};

#[test]
fn recorded_files_hold_what_their_json_says() {
    for name in RECORDED {
        let (read, functions) = read_all(&data(&format!("{name}.rdb")), SKIP).unwrap();
        let expected = recorded(name);
        assert_eq!(
            read.keys().collect::<Vec<_>>(),
            expected.keys().collect::<Vec<_>>(),
            "{name}"
        );
        for (key, mut entry) in expected {
            let read = &read[&key];
            entry.encoding = String::new();
            entry.value = normalize(&entry.kind, entry.value);
            if entry.kind == "stream" && read.value.starts_with(&entry.value) {
                // Of some only the entries are recorded.
                entry.value.clone_from(&read.value);
            }
            assert_eq!(*read, entry, "{name}: {}", key.escape_ascii());
        }
        assert_eq!(functions.is_empty(), name.contains("3.0.7"), "{name}");
    }
}

/// What groups and consumers know of themselves is in the newest files.
#[test]
fn a_stream_is_read_with_all_that_it_knows() {
    for name in ["redis-7.0.15", "redis-8.0.6", "valkey-9.1.2"] {
        let words = &recorded(name)[&b"0:stream:s"[..]].value;
        for word in [
            "g1", "g2", "g3", "alice", "bob", "carol", "idle one", "1149-149",
        ] {
            assert!(words.contains(&word.as_bytes().to_vec()), "{name}: {word}");
        }
        assert!(recorded(name).contains_key(&b"0:stream:empty"[..]));
    }
    for (name, count) in [("redis-8.0.6", 2), ("valkey-9.1.2", 2)] {
        assert_eq!(recorded(name)[&b"0:hash:ttl"[..]].fields.len(), count);
        assert_eq!(recorded(name)[&b"0:hash:ttlbig"[..]].fields.len(), count);
    }
}

#[test]
fn files_of_redis_before_2_6() {
    let (read, _) = read_all(&data("hash-zipmap.rdb"), Options::default()).unwrap();
    let hash = &read[&b"0:hash"[..]];
    assert_eq!(hash.kind, "hash");
    let text: Vec<_> = hash
        .value
        .iter()
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .collect();
    assert_eq!(text, ["f1", "v1", "f2", "v2"]);

    let (read, _) = read_all(&data("encodings.rdb"), Options::default()).unwrap();
    assert_eq!(read.len(), 13);
    assert_eq!(read[&b"0:number"[..]].value, [b"10"]);
    assert_eq!(read[&b"0:list_zipped"[..]].value.len(), 8);
    assert_eq!(read[&b"0:zset"[..]].value.len(), 24);
    assert_eq!(read[&b"0:set_zipped_3"[..]].value[5], b"6000000000");
}

#[test]
fn a_changed_byte_is_found_by_the_checksum_at_the_latest() {
    let file = data("redis-3.0.7.rdb");
    for at in (0..file.len()).step_by(97) {
        let mut changed = file.clone();
        changed[at] ^= 0x10;
        assert!(read_all(&changed, Options::default()).is_err(), "byte {at}");
    }
}

#[test]
fn a_cut_file_is_a_short_read_at_the_cut() {
    let file = data("redis-7.2.6.rdb");
    for len in (0..file.len()).step_by(61) {
        match read_all(&file[..len], SKIP).unwrap_err() {
            Error::ShortRead { offset, .. } => assert_eq!(offset, len as u64),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn other_files_and_versions_are_refused() {
    let open = |bytes: &[u8]| Reader::open(Input::new(bytes), SKIP).err().unwrap();
    assert!(matches!(open(b"RUBIS0006\xff"), Error::Signature));
    assert!(matches!(open(b"REDIS00x6\xff"), Error::Signature));
    assert!(matches!(open(b"REDIS0013\xff"), Error::Version(13)));
    assert!(matches!(open(b"REDIS0000\xff"), Error::Version(0)));
    assert!(matches!(open(b"VALKEY081\xff"), Error::Version(81)));
    assert!(matches!(open(b"VALKEY012\xff"), Error::Signature));
    assert!(matches!(open(b"REDI"), Error::ShortRead { .. }));
}

#[test]
fn newer_versions_are_read_as_far_as_their_types_are_known_where_that_is_asked_for() {
    let relaxed = Options {
        relaxed: true,
        ..SKIP
    };
    let file = |header: &[u8], records: &[u8]| [header, records, b"\xff", &[0; 8]].concat();
    for header in [b"VALKEY987", b"REDIS0075"] {
        let (read, _) = read_all(&file(header, b"\0\x01k\x01v"), relaxed).unwrap();
        assert_eq!(read.len(), 1);
    }
    for (header, text) in [
        (
            b"VALKEY987",
            "Unknown type or opcode when loading DB. Unrecoverable error, aborting now.",
        ),
        (
            b"REDIS0075",
            "Can't handle foreign type or opcode 150 in RDB with version 75",
        ),
    ] {
        let error = read_all(&file(header, b"\x96"), relaxed).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn an_import_of_slots_is_told() {
    // Valkey reads one in files of a version that Redis has too.
    for header in [&b"VALKEY080"[..], b"REDIS0011"] {
        let import = [header, b"\xf3\x28", &[b'j'; 40][..], b"\x01\x05\x47\xd0"].concat();
        let bytes = [&import[..], b"\xff", &[0; 8]].concat();
        let mut reader = Reader::open(Input::new(&bytes[..]), SKIP).unwrap();
        let Some(Record::SlotImport(import)) = reader.next_record().unwrap() else {
            panic!("no import");
        };
        assert_eq!(
            (import.job.len(), &import.slots[..]),
            (40, &[(5, 2000)][..])
        );
    }
    let short = b"REDIS0011\xf3\x01A\x01\x00\x00\xff\0\0\0\0\0\0\0\0";
    let report = rdb::check::check_rdb("dump.rdb", &short[..], 0).text;
    assert!(
        report.contains("Invalid slot import job name length"),
        "{report}"
    );
    for bad in [
        // A name that is none, slots that are none, and a record of another vendor's file.
        &b"VALKEY080\xf3\x01j\x00\xff"[..],
        &[
            b"VALKEY080\xf3\x28",
            &[b'j'; 40][..],
            b"\x01\x05\x80\x00\x00\x40\x00\xff",
        ]
        .concat(),
        &[b"REDIS0012\xf3\x28", &[b'j'; 40][..], b"\x00\xff"].concat(),
    ] {
        assert!(matches!(read_all(bad, SKIP), Err(Error::Corrupt { .. })));
    }
}

/// Versions before 5 have no checksum; a zero one says that none was made.
#[test]
fn files_without_a_checksum() {
    assert!(read_all(b"REDIS0004\xff", SKIP).is_ok());
    assert!(read_all(b"REDIS0006\xff\0\0\0\0\0\0\0\0", SKIP).is_ok());
    assert!(read_all(b"REDIS0006\xff", SKIP).is_err());
    assert!(matches!(
        read_all(b"REDIS0006\xff\x01\0\0\0\0\0\0\0", SKIP),
        Err(Error::Checksum { .. })
    ));
    assert!(
        read_all(
            b"REDIS0006\xff\x01\0\0\0\0\0\0\0",
            Options {
                checksum: false,
                ..SKIP
            }
        )
        .is_ok()
    );
}

/// Forms that no recorded file has, each followed by a key that must be found behind it.
#[test]
fn what_is_skipped_is_skipped_to_its_end() {
    let module = 0x6e9c_8a51_0000_0001u64.to_be_bytes();
    let records: [(&str, Vec<u8>); 2] = [
        (
            "a module's value",
            [
                b"\x07\x01m\x81",
                &module[..],
                b"\x01\x05\x02\x40\xff\x03abcd\x04abcdefgh\x05\x02hi\x00",
            ]
            .concat(),
        ),
        (
            "data of the module",
            [b"\xf7\x81", &module[..], b"\x02\x01\x05\x01x\x00"].concat(),
        ),
    ];
    for (name, record) in records {
        let file = [
            b"REDIS0012",
            &record[..],
            b"\xf4\x01\x02\x03\xf8\x40\x50\xf9\x07\x00\x01k\x01v\xff",
            &[0; 8],
        ]
        .concat();
        let (read, skipped) = read_all(&file, SKIP).unwrap();
        assert_eq!((read.len(), skipped.len()), (1, 1), "{name}");
        assert_eq!(read[&b"0:k"[..]].value, [b"v"]);
        let error = read_all(&file, Options::default()).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
    // Nobody but the module knows where its first form ends.
    let error = read_all(b"REDIS0009\x06\x01m\x05", SKIP)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("The key 'm' in database 0") && error.contains("nor skip"),
        "{error}"
    );
    // An expiry must belong to a key.
    assert!(read_all(b"REDIS0009\xfcabcdefgh\xff\0\0\0\0\0\0\0\0", SKIP).is_err());
}
