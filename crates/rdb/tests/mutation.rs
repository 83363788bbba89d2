//! Damaged files under valid checksums: whatever the damage, reading ends with a value or an error, and memory stays within sixteen times
//! the input and a megabyte. What a compressed string expands to counts as input: the format allows 88 times its size.

#![allow(
    clippy::unwrap_used,
    reason = "a test stops where its data is not as expected"
)]

use proptest::prelude::*;
use rdb::{
    Dumper, Encoding, Input, Kind, LoadOptions, Loader, Options, Progress, Reader, Record, Writer,
    crc64, restore,
};
use store::{Keyspace, Limits};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Bytes that this thread holds.
fn held() -> i64 {
    let allocated = tikv_jemalloc_ctl::thread::allocatedp::read().unwrap().get();
    let freed = tikv_jemalloc_ctl::thread::deallocatedp::read()
        .unwrap()
        .get();
    i64::try_from(allocated).unwrap() - i64::try_from(freed).unwrap()
}

/// A file of `tests/data`.
fn data(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// One record of a file; for a key whose value is one compact form, or has one, that by itself, its string encoding taken off.
#[derive(Clone, Debug)]
struct Piece {
    bytes: Vec<u8>,
    blob: Option<Vec<u8>>,
    /// What follows the compact form.
    after: Vec<u8>,
}

/// All records of the recorded files, but for the longest.
fn pieces() -> Vec<Piece> {
    const LONGEST: usize = 20_000;
    let names = [
        "redis-3.0.7.rdb",
        "redis-3.0.7-nocompress.rdb",
        "redis-7.0.15.rdb",
        "redis-7.2.6.rdb",
        "redis-8.0.6.rdb",
        "valkey-9.1.2.rdb",
        "encodings.rdb",
        "hash-zipmap.rdb",
    ];
    names
        .iter()
        .flat_map(|name| records(&data(name)))
        .filter(|piece| piece.bytes.len() < LONGEST)
        .collect()
}

/// The records with compact forms.
fn compact_pieces() -> Vec<Piece> {
    let names = [
        "redis-3.0.7.rdb",
        "redis-7.0.15.rdb",
        "redis-7.2.6.rdb",
        "redis-8.0.6.rdb",
        "encodings.rdb",
        "hash-zipmap.rdb",
    ];
    let pieces: Vec<_> = names
        .iter()
        .flat_map(|name| records(&data(name)))
        .filter_map(|piece| unwrapped(&piece.bytes))
        .collect();
    for code in [9, 10, 11, 12, 13, 16, 17, 19, 20, 21, 25] {
        assert!(
            pieces.iter().any(|piece| piece.bytes[0] == code),
            "no record of type {code}"
        );
    }
    pieces
}

/// A file cut into its records.
fn records(file: &[u8]) -> Vec<Piece> {
    let options = Options {
        skip_unsupported: true,
        ..Options::default()
    };
    let mut reader = Reader::open(Input::new(file), options).unwrap();
    let mut pieces = Vec::new();
    let mut start = 9;
    while let Some(record) = reader.next_record().unwrap() {
        if let Record::Key(key) = record {
            match key.kind {
                Kind::String => drop(reader.string().unwrap()),
                Kind::List | Kind::Set => while reader.next_element().unwrap().is_some() {},
                Kind::Hash => while reader.next_pair().unwrap().is_some() {},
                Kind::Zset => while reader.next_member().unwrap().is_some() {},
                Kind::Stream => while reader.next_stream_part().unwrap().is_some() {},
            }
        }
        let end = usize::try_from(reader.offset()).unwrap();
        pieces.push(Piece {
            bytes: file[start..end].to_vec(),
            blob: None,
            after: Vec::new(),
        });
        start = end;
    }
    pieces
}

/// A record of a key without expiry whose value is one compact form, or begins with one, with the bytes of that form bare.
fn unwrapped(record: &[u8]) -> Option<Piece> {
    let code = record[0];
    if !matches!(code, 9..=13 | 15..=17 | 19..=21 | 25) {
        return None;
    }
    let (_, value) = string(&record[1..]);
    // Of a stream the number of blocks and the id of the first, of fields that expire the first expiry.
    let in_front = match code {
        15 | 19 | 21 if value[0] == 0 => return None,
        15 | 19 | 21 => 18,
        25 => 8,
        _ => 0,
    };
    let (blob, after) = string(&value[in_front..]);
    Some(Piece {
        bytes: [&[code, 1, b'k'], &value[..in_front]].concat(),
        blob: Some(blob),
        after: after.to_vec(),
    })
}

/// A string, and what follows it.
fn string(bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let (len, rest) = length(bytes);
    if bytes[0] == 0xc3 {
        let (packed, rest) = length(&bytes[1..]);
        let (len, rest) = length(rest);
        return (
            lzf::decompress(&rest[..packed], len).unwrap(),
            &rest[packed..],
        );
    }
    assert!(bytes[0] < 0xc0);
    (rest[..len].to_vec(), &rest[len..])
}

fn length(bytes: &[u8]) -> (usize, &[u8]) {
    match bytes[0] >> 6 {
        0 => (usize::from(bytes[0]), &bytes[1..]),
        1 => (
            usize::from(u16::from_be_bytes([bytes[0] & 0x3f, bytes[1]])),
            &bytes[2..],
        ),
        2 => (
            u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize,
            &bytes[5..],
        ),
        _ => (0, bytes),
    }
}

/// A change to the bytes of a record.
#[derive(Clone, Debug)]
enum Change {
    Set(usize, u8),
    Add(usize, u8),
    Cut(usize, usize),
    Repeat(usize, usize),
    Insert(usize, Vec<u8>),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        if len == 0 {
            return;
        }
        match self {
            Self::Set(at, byte) => bytes[at % len] = *byte,
            Self::Add(at, byte) => bytes[at % len] = bytes[at % len].wrapping_add(*byte),
            Self::Cut(at, count) => drop(bytes.drain(at % len..(at % len + count).min(len))),
            Self::Repeat(at, count) => {
                let copy = bytes[at % len..(at % len + count).min(len)].to_vec();
                let at = at % len;
                bytes.splice(at..at, copy);
            }
            Self::Insert(at, new) => drop(bytes.splice(at % len..at % len, new.iter().copied())),
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    // Bytes that mean something: lengths of all forms, opcodes, entry headers, end marks.
    let telling = prop::sample::select(
        &[
            0u8, 1, 0x3f, 0x40, 0x7f, 0x80, 0x81, 0xc0, 0xc3, 0xdf, 0xe0, 0xf0, 0xf1, 0xfa, 0xfc,
            0xfe, 0xff,
        ][..],
    );
    let byte = prop_oneof![telling, any::<u8>()];
    prop_oneof![
        (any::<usize>(), byte.clone()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (
            any::<usize>(),
            prop::sample::select(&[1u8, 0xff, 2, 0x80][..])
        )
            .prop_map(|(at, byte)| Change::Add(at, byte)),
        (any::<usize>(), 1usize..40).prop_map(|(at, count)| Change::Cut(at, count)),
        (any::<usize>(), 1usize..60).prop_map(|(at, count)| Change::Repeat(at, count)),
        (any::<usize>(), prop::collection::vec(byte, 1..9))
            .prop_map(|(at, new)| Change::Insert(at, new)),
    ]
}

/// A record damaged anywhere, or, where it is one compact form, damaged inside and wrapped in good lengths again.
fn damage(piece: &Piece, changes: &[Change], compress: bool) -> Vec<u8> {
    let mut bytes = piece.bytes.clone();
    let Some(mut blob) = piece.blob.clone() else {
        changes.iter().for_each(|change| change.apply(&mut bytes));
        return bytes;
    };
    changes.iter().for_each(|change| change.apply(&mut blob));
    // The length in a header is mended half of the time, so that what lies behind it is reached.
    if compress && blob.len() >= 4 && !matches!(bytes[0], 9 | 11) {
        let len = u32::try_from(blob.len()).unwrap();
        blob[..4].copy_from_slice(&len.to_le_bytes());
    }
    let mut writer = Writer::new(Vec::new(), compress, false);
    writer.string(&blob).unwrap();
    let mut written = writer.finish().unwrap();
    written.truncate(written.len() - 9);
    bytes.extend(written);
    bytes.extend(&piece.after);
    bytes
}

fn sign(mut file: Vec<u8>) -> Vec<u8> {
    file.push(0xff);
    let checksum = crc64(&file);
    file.extend(checksum.to_le_bytes());
    file
}

/// Loads `file`, watching the memory; `allowance` is what may be held. Answers the most that was.
fn load_within(file: &[u8], allowance: i64) -> Result<i64, TestCaseError> {
    let mut keyspace = Keyspace::new(16, false);
    let before = held();
    let options = LoadOptions {
        read: Options {
            skip_unsupported: true,
            ..Options::default()
        },
        ..LoadOptions::default()
    };
    let Ok(mut loader) = Loader::open(Input::new(file), options, Limits::default()) else {
        return Ok(0);
    };
    let mut most = 0;
    loop {
        let step = loader.step(&mut keyspace, 256);
        most = most.max(held() - before);
        prop_assert!(
            held() - before <= allowance,
            "{} bytes held for {} bytes",
            held() - before,
            file.len()
        );
        if !matches!(step, Ok(Progress::More)) {
            return Ok(most);
        }
    }
}

/// Bytes held per byte of input, and besides.
fn allowance(bytes: usize) -> i64 {
    16 * i64::try_from(bytes).unwrap() + (1 << 20)
}

#[test]
fn the_recorded_files_stay_within_the_bound() {
    for name in ["redis-3.0.7-nocompress.rdb", "encodings.rdb"] {
        let file = data(name);
        let most = load_within(&file, allowance(file.len())).unwrap();
        assert!(
            most > i64::try_from(file.len()).unwrap() / 2,
            "the memory is not seen"
        );
    }
}

/// So many, of the smallest elements there are: the bytes of an entry beside what it holds count most here.
const MANY: u32 = 65_536;

/// Two bytes for each number below [`MANY`].
fn short_name(number: u32) -> [u8; 2] {
    [number.to_le_bytes()[0], number.to_le_bytes()[1]]
}

/// A value of one string behind the code and the key, with its length in four bytes.
fn one_string(code: u8, form: &[u8]) -> Vec<u8> {
    let len = u32::try_from(form.len()).unwrap().to_be_bytes();
    [&[code, 1, b'k', 0x80], &len[..], form].concat()
}

/// Elements one after the other behind the code, the key, and their number in four bytes.
fn one_by_one(code: u8, element: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    let mut record = vec![code, 1, b'k', 0x80];
    record.extend(MANY.to_be_bytes());
    (0..MANY).for_each(|number| record.extend(element(number)));
    record
}

/// A listpack of names of two bytes, each followed by `value`.
fn listpack_of_names(value: &[u8]) -> Vec<u8> {
    let mut pack = vec![0, 0, 0, 0, 0xff, 0xff];
    for number in 0..MANY {
        pack.push(0x82);
        pack.extend(short_name(number));
        pack.push(3);
        pack.extend(value);
    }
    pack.push(0xff);
    let len = u32::try_from(pack.len()).unwrap();
    pack[..4].copy_from_slice(&len.to_le_bytes());
    pack
}

/// Keys of three bytes with the same value.
fn keys_with(code: u8, value: &[u8]) -> Vec<u8> {
    (0..MANY)
        .flat_map(|number| [&[code, 2][..], &short_name(number), value].concat())
        .collect()
}

/// A block of a stream: its id, then a listpack of its header, one shared name, and entries of one small value each.
fn block_of_entries(name: &[u8], entries: u16) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), false, false);
    writer
        .listpack(|pack| {
            let mut number = |number: u32| pack.push(number.to_string().as_bytes());
            number(entries.into());
            [0, 1].into_iter().for_each(&mut number);
            pack.push(name);
            let mut number = |number: u32| pack.push(number.to_string().as_bytes());
            number(0);
            for seq in 0..u32::from(entries) {
                [2, 0, seq, 1, 4].into_iter().for_each(&mut number);
            }
        })
        .unwrap();
    let mut block = writer.finish().unwrap();
    block.truncate(block.len() - 9);
    [
        &[16, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1][..],
        &block,
    ]
    .concat()
}

/// A stream of one block; `groups` is what follows its facts.
fn stream_of(block: &[u8], entries: u16, groups: &[u8]) -> Vec<u8> {
    let mut record = vec![21, 1, b's', u8::from(!block.is_empty())];
    record.extend(block);
    for number in [entries, 9, 0, 1, 1, 0, 0, entries] {
        record.extend([0x80, 0, 0]);
        record.extend(number.to_be_bytes());
    }
    record.extend(groups);
    record
}

#[test]
fn a_stream_of_the_smallest_stays_within_its_bound() {
    let many = [0x80, 0, 1, 0, 0];
    assert_eq!(u32::from_be_bytes([0, 1, 0, 0]), MANY);
    let groups: Vec<u8> = (0..MANY)
        .flat_map(|number| [&[2][..], &short_name(number), &[0; 5]].concat())
        .collect();
    let consumers: Vec<u8> = (0..MANY)
        .flat_map(|number| [&[2][..], &short_name(number), &[0; 17]].concat())
        .collect();
    let id = |number: u32| [&[0; 12][..], &number.to_be_bytes()].concat();
    let pending: Vec<u8> = (0..MANY)
        .flat_map(|n| [&id(n)[..], &[0; 9]].concat())
        .collect();
    let owned: Vec<u8> = (0..MANY).flat_map(id).collect();
    let group = [1, 1, b'g', 0, 0, 0];
    let entries = block_of_entries(b"n", 60_000);
    let files = [
        ("entries", 16, stream_of(&entries, 60_000, &[0])),
        (
            "groups",
            40,
            stream_of(&[], 0, &[&many[..], &groups].concat()),
        ),
        (
            "consumers",
            16,
            stream_of(&[], 0, &[&group[..], &[0], &many, &consumers].concat()),
        ),
        (
            "pending entries",
            16,
            stream_of(
                &[],
                0,
                &[
                    &group[..],
                    &many,
                    &pending,
                    &[1, 1, b'c'],
                    &[0; 16],
                    &many,
                    &owned,
                ]
                .concat(),
            ),
        ),
    ];
    for (what, times, record) in files {
        let file = sign([b"REDIS0011\xfe\x00", &record[..]].concat());
        let most = load_within(&file, i64::MAX).unwrap();
        let len = i64::try_from(file.len()).unwrap();
        assert!(
            most > len && most <= times * len + (1 << 20),
            "{what}: {most} bytes held for {len}"
        );
    }
}

/// Entries that share a name which is much longer than they are: where they cannot share it in memory, the stream is refused.
#[test]
fn a_name_that_many_entries_share_is_not_multiplied_without_bound() {
    let block = block_of_entries(&[b'n'; 100_000], 20_000);
    let file = sign([b"REDIS0011\xfe\x00", &stream_of(&block, 20_000, &[0])[..]].concat());
    load_within(&file, allowance(file.len())).unwrap();
}

#[test]
fn many_of_the_smallest_stay_within_the_bound() {
    let intset: Vec<u8> = (i16::MIN..=i16::MAX).flat_map(i16::to_le_bytes).collect();
    let intset = [&[2, 0, 0, 0], &MANY.to_le_bytes()[..], &intset].concat();
    let named =
        |value: &'static [u8]| move |number| [&[2][..], &short_name(number), value].concat();
    let files = [
        ("an intset", one_string(11, &intset)),
        ("a set", one_by_one(2, named(b""))),
        ("a hash", one_by_one(4, named(b"\x00"))),
        ("a sorted set", one_by_one(3, named(b"\x011"))),
        ("a list of nothing", one_by_one(1, |_| vec![0])),
        (
            "a set in a listpack",
            one_string(20, &listpack_of_names(b"")),
        ),
        (
            "a hash in a listpack",
            one_string(16, &listpack_of_names(b"\x01\x01")),
        ),
        (
            "a sorted set in a listpack",
            one_string(17, &listpack_of_names(b"\x01\x01")),
        ),
        ("strings", keys_with(0, b"\x00")),
        ("lists of one element", keys_with(1, b"\x01\x00")),
        ("sets of one member", keys_with(2, b"\x01\x01a")),
        ("sets of one integer", keys_with(2, b"\x01\xc0\x01")),
        ("sorted sets of one member", keys_with(3, b"\x01\x00\x011")),
        ("hashes of one field", keys_with(4, b"\x01\x00\x00")),
    ];
    // An empty value, and eight bytes of an expiry.
    let timed = named(b"\x00\x00\x00\x00\x00\x00\x01\x00\x00");
    let timed = ("a hash of fields that expire", one_by_one(22, timed));
    let files = files.into_iter().map(|file| (b"REDIS0011", file));
    for (header, (what, records)) in files.chain([(b"VALKEY080", timed)]) {
        let file = sign([&header[..], b"\xfe\x00", &records].concat());
        let most = load_within(&file, i64::MAX).unwrap();
        assert!(
            most > 0 && most <= allowance(file.len()),
            "{what}: {most} bytes held for {}",
            file.len()
        );
    }
}

/// How many damaged files per test; PROPTEST_CASES asks for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(2000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_records(choice in prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec(change(), 0..4)), 1..12), valkey in any::<bool>()) {
        thread_local!(static PIECES: Vec<Piece> = pieces());
        let mut file = if valkey { b"VALKEY080\xfe\x00".to_vec() } else { b"REDIS0012\xfe\x00".to_vec() };
        PIECES.with(|pieces| for (index, changes) in &choice {
            file.extend(damage(index.get(pieces), changes, false));
        });
        let file = sign(file);
        // Each may hold a compressed string of the recorded files, the longest of which is 16 KB.
        load_within(&file, allowance(file.len() + choice.len() * 16_384))?;
    }

    #[test]
    fn damaged_compact_forms(choice in prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec(change(), 1..4), any::<bool>()), 1..6)) {
        thread_local!(static PIECES: Vec<Piece> = compact_pieces());
        PIECES.with(|pieces| {
            for (index, changes, compress) in &choice {
                let piece = index.get(pieces);
                let record = damage(piece, changes, *compress);
                let file = sign([b"REDIS0012\xfe\x00", &record[..]].concat());
                let original = piece.bytes.len() + piece.blob.as_ref().map_or(0, Vec::len);
                load_within(&file, allowance(file.len() + original))?;
                // The same value as a payload.
                let mut payload = [&record[..1], &record[3..], &[12, 0]].concat();
                let checksum = crc64(&payload);
                payload.extend(checksum.to_le_bytes());
                let before = held();
                let restored = restore(&payload, &Limits::default(), rdb::Trust::default());
                prop_assert!(held() - before <= allowance(payload.len() + original));
                drop(restored);
            }
            Ok(())
        })?;
    }

    #[test]
    fn noise_behind_a_good_header(noise in prop::collection::vec(any::<u8>(), 0..600), version in 1u16..=13) {
        let header = if version == 13 { "VALKEY080".to_owned() } else { format!("REDIS{version:04}") };
        let file = sign([header.as_bytes(), &noise].concat());
        load_within(&file, allowance(file.len()))?;
    }

    #[test]
    fn whatever_is_dumped_is_restored(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let payload = Dumper::new().dump(true, Encoding::String, |writer| writer.string(&text)).unwrap();
        prop_assert!(restore(&payload, &Limits::default(), rdb::Trust::default()).is_ok());
    }
}
