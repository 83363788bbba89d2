//! Files that Redis 3.0.7, 7.2.6, Valkey 8.0.1 and older ones wrote, read record by record and compared with what they are known to hold.

#![allow(
    clippy::unwrap_used,
    reason = "a test stops where its data is not as expected"
)]

mod common;

use std::collections::BTreeMap;

use common::{RECORDED, data, normalize, recorded};
use rdb::{Error, Input, Kind, Options, Reader, Record};

type Read = BTreeMap<Vec<u8>, (String, bool, Vec<Vec<u8>>)>;

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
            _ => continue,
        };
        let name = [format!("{}:", key.database).as_bytes(), reader.key()].concat();
        let mut value = Vec::new();
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
                while let Some((field, element)) = reader.next_pair()? {
                    value.extend([field.to_vec(), element.to_vec()]);
                }
                "hash"
            }
            Kind::Zset => {
                while let Some((member, score)) = reader.next_member()? {
                    value.extend([member.to_vec(), score.to_string().into_bytes()]);
                }
                "zset"
            }
        };
        all.insert(
            name,
            (
                kind.to_owned(),
                key.expire_ms.is_some(),
                normalize(kind, value),
            ),
        );
    }
    Ok((all, skipped))
}

const SKIP: Options = Options {
    checksum: true,
    skip_unsupported: true,
};

#[test]
fn recorded_files_hold_what_their_json_says() {
    for name in RECORDED {
        let (read, skipped) = read_all(&data(&format!("{name}.rdb")), SKIP).unwrap();
        let mut expected = Read::new();
        for (key, entry) in recorded(name) {
            if entry.kind == "stream" {
                assert!(skipped.contains(&"stream:s".to_owned()));
                continue;
            }
            let value = normalize(&entry.kind, entry.value);
            expected.insert(key, (entry.kind, entry.expires, value));
        }
        assert_eq!(read, expected, "{name}");
    }
}

#[test]
fn what_cannot_be_kept_is_named_and_refused_unless_told_otherwise() {
    let file = data("redis-7.2.6.rdb");
    let error = read_all(&file, Options::default()).unwrap_err().to_string();
    assert!(
        error.contains("the function library 'mylib'")
            && error.contains("rdb-skip-unsupported yes"),
        "{error}"
    );
    let (_, skipped) = read_all(&file, SKIP).unwrap();
    assert_eq!(skipped, ["mylib", "stream:s"]);
}

#[test]
fn files_of_redis_before_2_6() {
    let (read, _) = read_all(&data("hash-zipmap.rdb"), Options::default()).unwrap();
    let (kind, _, value) = &read[&b"0:hash"[..]];
    assert_eq!(kind, "hash");
    let text: Vec<_> = value
        .iter()
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .collect();
    assert_eq!(text, ["f1", "v1", "f2", "v2"]);

    let (read, _) = read_all(&data("encodings.rdb"), Options::default()).unwrap();
    assert_eq!(read.len(), 13);
    assert_eq!(read[&b"0:number"[..]].2, [b"10"]);
    assert_eq!(read[&b"0:list_zipped"[..]].2.len(), 8);
    assert_eq!(read[&b"0:zset"[..]].2.len(), 24);
    assert_eq!(read[&b"0:set_zipped_3"[..]].2[5], b"6000000000");
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
    assert!(matches!(open(b"REDI"), Error::ShortRead { .. }));
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
    let records: [(&str, Vec<u8>); 6] = [
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
        (
            "fields that expire",
            b"\x18\x01h12345678\x02\x00\x01f\x01v\x05\x01g\x01w".to_vec(),
        ),
        ("fields that expire", b"\x19\x01h12345678\x03abc".to_vec()),
        (
            "a stream",
            [
                &b"\x0f\x01s\x00\x00\x00\x00\x01\x01g\x00\x00\x01"[..],
                &[7; 24],
                b"\x01\x01\x01c",
                &[7; 8],
                b"\x01",
                &[7; 16],
            ]
            .concat(),
        ),
        (
            "a stream",
            [
                &b"\x15\x01s\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01g\x00\x00\x00\x00\x01\x01c"
                    [..],
                &[7; 16],
                b"\x00",
            ]
            .concat(),
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
        assert_eq!(read[&b"0:k"[..]].2, [b"v"]);
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
