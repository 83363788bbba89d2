//! A keyspace rewritten as commands: what they are, and what is left of the file wherever it is cut.

#![allow(
    clippy::unwrap_used,
    reason = "a test stops where its data is not as expected"
)]

use std::collections::BTreeSet;

use aof::{CheckedFile, Error, ITEMS_PER_COMMAND, Reader, Rewriter, Verdict, check_aof};
use store::{
    Group, Hash, Keyspace, Limits, List, Owned, Pending, Set, StrNew, Stream, StreamId, Zset,
};

type Command = Vec<Vec<u8>>;

const CHECKED: CheckedFile<'_> = CheckedFile {
    name: "appendonly.aof",
    path: "appendonly.aof",
    is_last: true,
    may_begin_with_rdb: true,
    until_s: None,
    now_ms: 0,
};

/// One key of each type with each of these numbers of elements, and a string of `big` bytes.
fn keyspace(counts: &[i32], big: usize) -> Keyspace {
    let limits = Limits::default();
    let mut keyspace = Keyspace::new(16, false);
    keyspace
        .db(0)
        .set_str(b"text", StrNew::Bytes(b"some\r\ntext"));
    keyspace.db(0).set_str(b"number", StrNew::Int(-12));
    keyspace
        .db(0)
        .set_str(b"big", StrNew::Bytes(&vec![b'x'; big]));
    keyspace
        .db(0)
        .set_expire_ms(b"number", Some(4_000_000_000_000));
    keyspace.db(7).set_str(b"gone", StrNew::Int(1));
    keyspace.db(7).set_expire_ms(b"gone", Some(999));
    for &count in counts {
        let (mut list, mut set, mut zset, mut hash) =
            (List::new(), Set::new(), Zset::new(), Hash::new());
        for index in 0..count {
            let element = format!("element-{index}");
            list.push_back(element.as_bytes(), &limits);
            set.add(element.as_bytes(), &limits);
            zset.insert(element.as_bytes(), f64::from(index) + 0.5, &limits);
            hash.set(element.as_bytes(), b"", &limits);
        }
        let db = keyspace.db(7);
        db.insert(format!("list:{count}").as_bytes(), Owned::List(list));
        db.insert(format!("set:{count}").as_bytes(), Owned::Set(set));
        db.insert(format!("zset:{count}").as_bytes(), Owned::Zset(zset));
        db.insert(format!("hash:{count}").as_bytes(), Owned::Hash(hash));
    }
    keyspace
}

fn rewritten(keyspace: &Keyspace) -> Vec<u8> {
    let mut rewriter = Rewriter::new(Vec::new());
    let mut last = 0;
    let progress = |written: u64| {
        assert!(written > last);
        last = written;
        Ok(())
    };
    rewriter.keyspace(keyspace, 1000, progress).unwrap();
    rewriter.finish().unwrap()
}

/// All commands up to the end, or to where the file breaks off.
fn commands(file: &[u8]) -> (Vec<Command>, u64, Result<(), Error>) {
    let mut reader = Reader::new(file);
    let mut commands = Vec::new();
    loop {
        match reader.next_command() {
            Ok(Some(command)) => commands.push(command.args().map(<[u8]>::to_vec).collect()),
            Ok(None) => return (commands, reader.valid_up_to(), Ok(())),
            Err(error) => return (commands, reader.valid_up_to(), Err(error)),
        }
    }
}

#[test]
fn commands_are_few_and_hold_everything() {
    let (commands, _, end) = commands(&rewritten(&keyspace(&[1, 64, 65, 1000], 300_000)));
    end.unwrap();
    let named = |name: &[u8], key: &str| -> Vec<&Command> {
        commands
            .iter()
            .filter(|command| command[0] == name && command[1] == key.as_bytes())
            .collect()
    };
    assert_eq!(commands[0], [&b"SELECT"[..], b"0"]);
    assert_eq!(named(b"SELECT", "7").len(), 1);
    assert_eq!(named(b"SET", "text")[0][2], b"some\r\ntext");
    assert_eq!(named(b"SET", "number")[0][2], b"-12");
    assert_eq!(named(b"SET", "big")[0][2].len(), 300_000);
    assert_eq!(named(b"PEXPIREAT", "number")[0][2], b"4000000000000");
    assert!(named(b"SET", "gone").is_empty() && named(b"PEXPIREAT", "gone").is_empty());
    for (name, prefix, width) in [
        (&b"RPUSH"[..], "list", 1),
        (b"SADD", "set", 1),
        (b"ZADD", "zset", 2),
        (b"HMSET", "hash", 2),
    ] {
        for count in [1usize, 64, 65, 1000] {
            let all = named(name, &format!("{prefix}:{count}"));
            assert_eq!(all.len(), count.div_ceil(ITEMS_PER_COMMAND));
            assert!(
                all.iter()
                    .all(|command| command.len() <= 2 + ITEMS_PER_COMMAND * width)
            );
            let element = if name == b"ZADD" { 1 } else { 0 };
            let elements: BTreeSet<_> = all
                .iter()
                .flat_map(|command| command[2..].chunks(width).map(|item| &item[element]))
                .collect();
            assert_eq!(elements.len(), count);
        }
    }
    let scores = named(b"ZADD", "zset:1");
    assert_eq!(scores[0][2..], [b"0.5".to_vec(), b"element-0".to_vec()]);
}

#[test]
fn streams_come_with_their_groups() {
    let limits = Limits::default();
    let id = |ms| StreamId::new(ms, 1);
    let mut stream = Stream::new();
    for ms in [5, 7] {
        let fields = [(&b"f"[..], &b"12"[..]), (b"34", b"v")];
        assert_eq!(stream.append(id(ms), fields.into_iter(), &limits), Ok(()));
    }
    assert!(stream.delete(id(7)));
    let group = stream
        .create_group(b"g", Group::new(id(5), Some(1)))
        .unwrap();
    let (reader, _) = group.find_or_create(b"reads", 1);
    group.find_or_create(b"idle", 1);
    let pending = Pending {
        delivered_ms: 99,
        count: 3,
        consumer: reader,
    };
    group.deliver(id(5), pending);
    let mut keyspace = Keyspace::new(1, false);
    keyspace.db(0).insert(b"s", Owned::Stream(stream));
    keyspace.db(0).insert(b"t", Owned::Stream(Stream::new()));
    let (commands, _, end) = commands(&rewritten(&keyspace));
    end.unwrap();
    let mut lines: Vec<_> = commands
        .iter()
        .map(|command| String::from_utf8(command.join(&b' ')).unwrap())
        .collect();
    lines
        .sort_by_key(|line| line.split(' ').find(|word| *word == "s" || *word == "t") == Some("t"));
    assert_eq!(
        lines,
        [
            "SELECT 0",
            "XADD s 5-1 f 12 34 v",
            "XSETID s 7-1 ENTRIESADDED 2 MAXDELETEDID 7-1",
            "XGROUP CREATE s g 5-1 ENTRIESREAD 1",
            "XGROUP CREATECONSUMER s g idle",
            "XCLAIM s g reads 0 5-1 TIME 99 RETRYCOUNT 3 JUSTID FORCE",
            "XADD t MAXLEN 0 0-1 x y",
            "XSETID t 0-0 ENTRIESADDED 0 MAXDELETEDID 0-0",
        ]
    );
}

#[test]
fn fields_come_with_their_expiry() {
    let mut hash = Hash::new();
    hash.set(b"a", b"1", &Limits::default());
    hash.set_until(b"b", b"2", 5000);
    let mut keyspace = Keyspace::new(1, false);
    keyspace.db(0).insert(b"h", Owned::Hash(hash));
    let (commands, _, end) = commands(&rewritten(&keyspace));
    end.unwrap();
    let lines = commands.iter().map(|command| command.join(&b' '));
    let expected = [
        &b"SELECT 0"[..],
        b"HMSET h a 1",
        b"HSETEX h PXAT 5000 FIELDS 1 b 2",
    ];
    assert!(lines.eq(expected.map(<[u8]>::to_vec)));
}

#[test]
fn a_file_cut_anywhere_in_its_last_10_kb_keeps_every_whole_command() {
    let file = rewritten(&keyspace(&[1, 400], 1000));
    let (whole, ..) = commands(&file);
    let mut ends = vec![0];
    let mut reader = Reader::new(&file[..]);
    while reader.next_command().unwrap().is_some() {
        ends.push(reader.offset());
    }
    for len in file.len() - 10_240..=file.len() {
        let (kept, valid_up_to, end) = commands(&file[..len]);
        let count = ends.partition_point(|&at| at <= len as u64) - 1;
        assert_eq!(
            (kept.len(), valid_up_to),
            (count, ends[count]),
            "cut at {len}"
        );
        assert_eq!(kept, whole[..count]);
        match end {
            Ok(()) => assert_eq!(valid_up_to, len as u64),
            Err(error) => assert!(matches!(error, Error::Truncated { .. }), "{error}"),
        }
        if len % 64 == 0 {
            let verdict = check_aof(&CHECKED, &file[..len], &mut 1).unwrap().verdict;
            let ok_up_to = match verdict {
                Verdict::Broken { ok_up_to, .. } => ok_up_to,
                _ => len as u64,
            };
            assert_eq!(ok_up_to, valid_up_to);
        }
    }
}

#[test]
fn libraries_are_loaded_anew() {
    let mut rewriter = Rewriter::new(Vec::new());
    rewriter.library(b"#!lua name=lib\ncode").unwrap();
    let written = rewriter.finish().unwrap();
    assert_eq!(
        written,
        b"*3\r\n$8\r\nFUNCTION\r\n$4\r\nLOAD\r\n$19\r\n#!lua name=lib\ncode\r\n"
    );
}

#[test]
fn slots_are_written_alone_with_what_has_expired() {
    let mut keyspace = Keyspace::new(2, true);
    for (db, key) in [(0, "{06S}a"), (0, "{Qi}b"), (0, "{6ZJ}c"), (1, "{06S}d")] {
        keyspace.db(db).set_str(key.as_bytes(), StrNew::Int(7));
    }
    keyspace.db(0).set_expire_ms(b"{06S}a", Some(1));
    let mut rewriter = Rewriter::new(Vec::new());
    rewriter.slot_import("name", &[(0, 0), (2, 16383)]).unwrap();
    let mut counts = Vec::new();
    let after = |written| {
        counts.push(written);
        Ok(false)
    };
    rewriter
        .slots(&keyspace, &[(0, 0), (2, 16383)], after)
        .unwrap();
    let file = rewriter.finish().unwrap();
    let mut reader = Reader::new(&file[..]);
    let mut lines = Vec::new();
    while let Some(command) = reader.next_command().unwrap() {
        let words: Vec<String> = command
            .args()
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        lines.push(words.join(" "));
    }
    assert_eq!(
        lines,
        [
            "CLUSTER SYNCSLOTS ESTABLISH NAME name SLOTSRANGE 0 0 2 16383",
            "SELECT 0",
            "SET {06S}a 7",
            "PEXPIREAT {06S}a 1",
            "SET {6ZJ}c 7",
            "SELECT 1",
            "SET {06S}d 7",
        ]
    );
    assert_eq!(counts.len(), 3);
}
