//! What a server of an older release is told of a change whose command it does not know.
//!
//! Which commands a release knows follows from their rows. What is said instead is worked out here without a look at any data: as
//! [`Piece`]s, some of which the engine completes with what the keys hold after the change. Where a row names a function that knows a short
//! way, that is taken; otherwise whoever writes the stream tells the state of the keys that the command writes.

use std::borrow::Cow;

use crate::table::{Argument, Facts, Flags, parse_arguments};
pub use crate::table::{OlderFn, Piece, Release};
use crate::{Args, args};

/// What a release knows.
#[derive(Debug)]
pub struct Vocabulary {
    /// For each command, in the order in which they were given: the tokens that it does not know yet; none where it does not know the
    /// command.
    newer: Vec<Option<Box<[&'static str]>>>,
}

impl Vocabulary {
    /// Of these commands, what is known to this release.
    pub fn new(release: Release, facts: impl Iterator<Item = &'static Facts>) -> Self {
        let newer = facts.map(|facts| {
            let known = Release::parse(facts.since) <= release;
            known.then(|| newer_tokens(release, facts))
        });
        Self {
            newer: newer.collect(),
        }
    }

    /// Whether these words are known: the command by its number, and those that may be tokens.
    #[must_use]
    pub fn knows(&self, number: usize, args: Args<'_>) -> bool {
        let Some(Some(newer)) = self.newer.get(number) else {
            return false;
        };
        let is_newer = |word: &&[u8]| newer.iter().any(|token| args::is(word, token));
        newer.is_empty() || !args.iter().skip(1).any(is_newer)
    }
}

/// A command that writes and is newer than Redis 8.
#[derive(Clone, Copy, Debug)]
pub struct NewerCommand {
    /// What it is called.
    pub name: &'static str,
    /// Redis has had it since 7.4 all the same: it says when fields of hashes expire.
    pub fields: bool,
}

/// Of these commands, those that write and are newer than Redis 8.
pub fn newer_commands(facts: impl Iterator<Item = &'static Facts>) -> Vec<NewerCommand> {
    let newer = facts.filter(|facts| {
        facts.flags.has(Flags::WRITE) && Release::parse(facts.since) > Release::V7_4
    });
    let words: Args<'_> = &[b"command", b"key", b"1", b"FIELDS", b"1", b"field"];
    newer
        .map(|facts| NewerCommand {
            name: facts.name,
            fields: facts
                .older
                .and_then(|older| older(Release::V7_4, words))
                .is_some_and(|pieces| matches!(&pieces[..], [Piece::Say(said)] if said == words)),
        })
        .collect()
}

fn newer_tokens(release: Release, facts: &Facts) -> Box<[&'static str]> {
    let mut tokens = Vec::new();
    let arguments = parse_arguments(facts.arguments).unwrap_or_default();
    gather_newer(release, &arguments, false, &mut tokens);
    tokens.into()
}

fn gather_newer(
    release: Release,
    arguments: &[Argument],
    within_newer: bool,
    tokens: &mut Vec<&'static str>,
) {
    for argument in arguments {
        let since = argument.since.map(Release::parse);
        let newer = within_newer || since.is_some_and(|since| since > release);
        tokens.extend(argument.token.filter(|_| newer));
        gather_newer(release, &argument.arguments, newer, tokens);
    }
}

fn say<'a>(words: impl IntoIterator<Item = &'a [u8]>) -> Piece<'a> {
    Piece::Say(words.into_iter().map(Cow::Borrowed).collect())
}

/// The same words behind another name.
fn renamed<'a>(name: &'static str, args: Args<'a>) -> Vec<Piece<'a>> {
    let behind = args.iter().skip(1).copied();
    vec![say(std::iter::once(name.as_bytes()).chain(behind))]
}

fn before(release: Release, since: [u8; 3]) -> bool {
    release < Release(since)
}

/// Its first key's state, whatever the release: RESTORE, whose payload may be too new, and ZUNIONSTORE and its like, which do not add scores
/// in the same order everywhere.
#[expect(clippy::unnecessary_wraps, reason = "an `OlderFn`")]
pub(crate) fn state<'a>(_: Release, args: Args<'a>) -> Option<Vec<Piece<'a>>> {
    Some(vec![Piece::State(None, args[1])])
}

/// PFMERGE: the same registers were written in another form.
pub(crate) fn pfmerge<'a>(release: Release, args: Args<'a>) -> Option<Vec<Piece<'a>>> {
    before(release, [6, 0, 0])
        .then(|| state(release, args))
        .flatten()
}

/// SET key value …: with options, the string and the expiry that came of it.
pub(crate) fn set<'a>(release: Release, args: Args<'a>) -> Option<Vec<Piece<'a>>> {
    let grown = args.len() > 3 && before(release, [7, 0, 0]);
    grown.then(|| state(release, args)).flatten()
}

/// HEXPIRE and its like, which Redis has had since 7.4.
pub(crate) fn field_expiry<'a>(release: Release, args: Args<'a>) -> Option<Vec<Piece<'a>>> {
    (release == Release::V7_4).then(|| vec![say(args.iter().copied())])
}

/// SORT … STORE key: in which order equal elements come is not the same everywhere.
pub(crate) fn sort<'a>(_: Release, args: Args<'a>) -> Option<Vec<Piece<'a>>> {
    let mut keys = Vec::new();
    crate::table::sort_keys(args, &mut keys);
    let stored = keys.get(1)?;
    Some(vec![Piece::State(None, args[stored.at])])
}

/// HSET: one field until 4.0.
pub(crate) fn hset<'a>(release: Release, args: Args<'a>) -> Option<Vec<Piece<'a>>> {
    (args.len() > 4 && before(release, [4, 0, 0])).then(|| renamed("HMSET", args))
}

/// HGETDEL key FIELDS count field …
pub(crate) fn hgetdel<'a>(_: Release, args: Args<'a>) -> Option<Vec<Piece<'a>>> {
    let fields = args.get(4..).filter(|fields| !fields.is_empty())?;
    let words = [b"HDEL", args[1]].into_iter().chain(fields.iter().copied());
    Some(vec![say(words)])
}

/// LPUSHX: one element until 4.0. The list was there.
pub(crate) fn lpushx<'a>(release: Release, args: Args<'a>) -> Option<Vec<Piece<'a>>> {
    (args.len() > 3 && before(release, [4, 0, 0])).then(|| renamed("LPUSH", args))
}

/// The same for RPUSHX.
pub(crate) fn rpushx<'a>(release: Release, args: Args<'a>) -> Option<Vec<Piece<'a>>> {
    (args.len() > 3 && before(release, [4, 0, 0])).then(|| renamed("RPUSH", args))
}

/// `LTRIM key start end`, or the same of ranks.
fn cut<'a>(name: &'static str, key: &'a [u8], start: i64, end: i64) -> Piece<'a> {
    let number = |value: i64| Cow::Owned(value.to_string().into_bytes());
    Piece::Say(vec![
        Cow::Borrowed(name.as_bytes()),
        Cow::Borrowed(key),
        number(start),
        number(end),
    ])
}

/// A number of elements; one where none is said.
fn count(args: Args<'_>) -> Option<i64> {
    match args.get(2) {
        None => Some(1),
        Some(word) => args::int(word).ok().filter(|count| *count >= 0),
    }
}

/// LPOP key count: until 6.2 without the count.
pub(crate) fn lpop<'a>(release: Release, args: Args<'a>) -> Option<Vec<Piece<'a>>> {
    let grown = args.len() > 2 && before(release, [6, 2, 0]);
    let count = count(args).filter(|_| grown)?;
    Some(vec![cut("LTRIM", args[1], count, -1)])
}

/// The same for RPOP.
pub(crate) fn rpop<'a>(release: Release, args: Args<'a>) -> Option<Vec<Piece<'a>>> {
    let grown = args.len() > 2 && before(release, [6, 2, 0]);
    let count = count(args).filter(|_| grown)?;
    Some(vec![cut("LTRIM", args[1], 0, -1 - count)])
}

/// ZPOPMIN key [count]
pub(crate) fn zpopmin<'a>(release: Release, args: Args<'a>) -> Option<Vec<Piece<'a>>> {
    let count = count(args).filter(|count| *count > 0 && before(release, [5, 0, 0]))?;
    Some(vec![cut("ZREMRANGEBYRANK", args[1], 0, count - 1)])
}

/// ZPOPMAX key [count]
pub(crate) fn zpopmax<'a>(release: Release, args: Args<'a>) -> Option<Vec<Piece<'a>>> {
    let count = count(args).filter(|count| *count > 0 && before(release, [5, 0, 0]))?;
    Some(vec![cut("ZREMRANGEBYRANK", args[1], -count, -1)])
}

/// LMOVE source destination LEFT|RIGHT LEFT|RIGHT
pub(crate) fn lmove<'a>(release: Release, args: Args<'a>) -> Option<Vec<Piece<'a>>> {
    if !before(release, [6, 2, 0]) || args.len() < 5 {
        return None;
    }
    let (source, destination) = (args[1], args[2]);
    let [from_left, to_left] = [3, 4].map(|at| args::is(args[at], "LEFT"));
    if !from_left && to_left {
        return Some(vec![say([&b"RPOPLPUSH"[..], source, destination])]);
    }
    Some(vec![Piece::Moved {
        pop: if from_left { "LPOP" } else { "RPOP" },
        source,
        push: if to_left { "LPUSH" } else { "RPUSH" },
        destination,
    }])
}

/// ZADD with options: the scores that its members have got.
pub(crate) fn zadd<'a>(release: Release, args: Args<'a>) -> Option<Vec<Piece<'a>>> {
    let is_any = |word: &[u8], tokens: &[&str]| tokens.iter().any(|token| args::is(word, token));
    let all = ["NX", "XX", "GT", "LT", "CH", "INCR"];
    let behind = args.get(2..)?;
    let options = behind.iter().take_while(|word| is_any(word, &all));
    let (mut many, mut newest) = (0, [0; 3]);
    for word in options {
        many += 1;
        let since = if is_any(word, &["GT", "LT"]) {
            [6, 2, 0]
        } else {
            [3, 0, 2]
        };
        newest = newest.max(since);
    }
    if !before(release, newest) {
        return None;
    }
    let members = behind[many..].chunks_exact(2).map(|pair| pair[1]);
    Some(vec![Piece::Scores(args[1], members.collect())])
}

/// MOVE key database: until 3.0.5 the expiry was lost.
pub(crate) fn move_key<'a>(release: Release, args: Args<'a>) -> Option<Vec<Piece<'a>>> {
    let database = args::int(args[2])
        .ok()
        .and_then(|db| usize::try_from(db).ok());
    let database = database.filter(|_| before(release, [3, 0, 5]))?;
    Some(vec![
        say(args.iter().copied()),
        Piece::Expiry(Some(database), args[1]),
    ])
}

/// COPY source destination [DB database] [REPLACE]
pub(crate) fn copy<'a>(release: Release, args: Args<'a>) -> Option<Vec<Piece<'a>>> {
    if !before(release, [6, 2, 0]) {
        return None;
    }
    let mut database = None;
    let mut rest = args.iter().skip(3);
    while let Some(word) = rest.next() {
        if args::is(word, "DB") {
            let word = rest.next()?;
            database = args::int(word).ok().and_then(|db| usize::try_from(db).ok());
        }
    }
    Some(vec![Piece::State(database, args[2])])
}

/// UNLINK key …
pub(crate) fn unlink<'a>(release: Release, args: Args<'a>) -> Option<Vec<Piece<'a>>> {
    before(release, [4, 0, 0]).then(|| renamed("DEL", args))
}

/// FLUSHALL and FLUSHDB: without a word about how.
pub(crate) fn flush<'a>(release: Release, args: Args<'a>) -> Option<Vec<Piece<'a>>> {
    let grown = args.len() > 1 && before(release, [6, 2, 0]);
    grown.then(|| vec![say(args.iter().take(1).copied())])
}

/// XGROUP CREATE and SETID: how much the group has read is counted from 7.0 on.
pub(crate) fn xgroup<'a>(release: Release, args: Args<'a>) -> Option<Vec<Piece<'a>>> {
    if before(release, [5, 0, 0]) || !before(release, [7, 0, 0]) {
        return None;
    }
    let at = args
        .iter()
        .skip(5)
        .position(|word| args::is(word, "ENTRIESREAD"))?
        + 5;
    let words = args.iter().enumerate();
    let words = words.filter(|(word, _)| *word != at && *word != at + 1);
    Some(vec![say(words.map(|(_, word)| *word))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{find, rows};
    use crate::table::find_keys;

    const ALL: [Release; 8] = [
        Release::V2_8,
        Release::V3_2,
        Release::V4_0,
        Release::V5_0,
        Release::V7_0,
        Release::V7_2,
        Release::V7_4,
        Release::V9_0,
    ];

    /// What is said instead of a line, as text; none where it goes as it is, an empty list where only the keys' state tells it.
    fn told(release: Release, line: &str) -> Option<Vec<String>> {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let row = find(args[0]).unwrap();
        let number = rows().position(|other| std::ptr::eq(row, other)).unwrap();
        if let Some(pieces) = row.facts.older.and_then(|older| older(release, &args)) {
            return Some(pieces.iter().map(text).collect());
        }
        let known = Vocabulary::new(release, rows().map(|row| &row.facts)).knows(number, &args);
        (!known).then(Vec::new)
    }

    fn text(piece: &Piece<'_>) -> String {
        let word = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
        match piece {
            Piece::Say(words) => words
                .iter()
                .map(|said| word(said))
                .collect::<Vec<_>>()
                .join(" "),
            Piece::Expiry(db, key) => format!("expiry of {} in {db:?}", word(key)),
            Piece::State(db, key) => format!("state of {} in {db:?}", word(key)),
            Piece::Scores(key, members) => {
                let members: Vec<String> = members.iter().map(|member| word(member)).collect();
                format!("scores in {} of {}", word(key), members.join(" "))
            }
            Piece::Moved {
                pop,
                source,
                push,
                destination,
            } => format!(
                "{push} {} what {pop} {} gave",
                word(destination),
                word(source)
            ),
        }
    }

    fn check(release: Release, line: &str, expected: &[&str]) {
        let told = told(release, line).unwrap_or_else(|| panic!("{line} goes as it is"));
        assert_eq!(told, expected, "{line}");
    }

    #[test]
    fn what_an_old_release_knows_goes_as_it_is() {
        for line in [
            "SET k v",
            "HSET h f v",
            "HMSET h f v g w",
            "LPOP l",
            "RPUSHX l e",
            "ZADD z 1 a 2 b",
            "PEXPIREAT k 5",
            "DEL a b",
            "FLUSHALL",
            "PFADD p e",
            "SINTERSTORE d a b",
            "RENAME a b",
        ] {
            assert_eq!(told(Release::V2_8, line), None, "{line}");
        }
        assert_eq!(told(Release::V3_2, "ZADD z NX 1 a"), None);
        assert_eq!(told(Release::V3_2, "BITFIELD b SET u8 0 1"), None);
        assert_eq!(told(Release::V4_0, "HSET h f v g w"), None);
        assert_eq!(told(Release::V4_0, "UNLINK a"), None);
        assert_eq!(told(Release::V5_0, "ZPOPMIN z 2"), None);
        assert_eq!(told(Release::V5_0, "XADD s MAXLEN = 5 1-1 f v"), None);
        assert_eq!(told(Release::V7_0, "LMOVE a b LEFT LEFT"), None);
        assert_eq!(told(Release::V7_0, "LPOP l 2"), None);
    }

    #[test]
    fn there_is_a_short_way_for_what_is_usual() {
        let old = Release::V2_8;
        check(old, "SET k v PXAT 5", &["state of k in None"]);
        check(old, "HSET h f v g w", &["HMSET h f v g w"]);
        check(old, "RPUSHX l a b", &["RPUSH l a b"]);
        check(old, "LPOP l 3", &["LTRIM l 3 -1"]);
        check(old, "RPOP l 3", &["LTRIM l 0 -4"]);
        check(old, "ZPOPMIN z", &["ZREMRANGEBYRANK z 0 0"]);
        check(old, "ZPOPMAX z 3", &["ZREMRANGEBYRANK z -3 -1"]);
        check(old, "LMOVE a b RIGHT LEFT", &["RPOPLPUSH a b"]);
        check(old, "LMOVE a b LEFT RIGHT", &["RPUSH b what LPOP a gave"]);
        check(old, "ZADD z GT CH 1 a 2 b", &["scores in z of a b"]);
        check(Release::V5_0, "ZADD z GT 1 a", &["scores in z of a"]);
        check(old, "MOVE k 3", &["MOVE k 3", "expiry of k in Some(3)"]);
        check(old, "COPY a b DB 3 REPLACE", &["state of b in Some(3)"]);
        check(old, "UNLINK a b", &["DEL a b"]);
        check(old, "FLUSHDB ASYNC", &["FLUSHDB"]);
        check(old, "HGETDEL h FIELDS 2 f g", &["HDEL h f g"]);
        check(old, "SORT l ALPHA STORE d", &["state of d in None"]);
        check(Release::V7_2, "RESTORE k 0 x", &["state of k in None"]);
        assert_eq!(told(old, "SORT l"), None);
    }

    #[test]
    fn what_has_no_short_way_is_the_state_of_its_keys() {
        for line in [
            "BITFIELD b SET u8 0 1",
            "ZRANGESTORE d z 0 -1",
            "MSETEX 1 k v EX 5",
            "XADD s 1-1 f v",
            "SWAPDB 0 1",
        ] {
            assert_eq!(told(Release::V2_8, line), Some(Vec::new()), "{line}");
        }
        let newer = "XADD s MINID = 5 6-1 f v";
        assert_eq!(told(Release::V5_0, newer), Some(Vec::new()));
    }

    /// Where a command takes more than it did, and no token tells, its row has to.
    #[test]
    fn no_argument_has_grown_unnoticed() {
        fn without_token(release: Release, arguments: &[Argument]) -> bool {
            arguments.iter().any(|argument| {
                let newer = argument.since.map(Release::parse) > Some(release);
                let mut tokens = Vec::new();
                gather_newer(release, std::slice::from_ref(argument), newer, &mut tokens);
                newer && tokens.is_empty() || without_token(release, &argument.arguments)
            })
        }
        for row in rows().filter(|row| row.facts.flags.has(Flags::WRITE)) {
            let arguments = parse_arguments(row.facts.arguments).unwrap();
            for release in ALL {
                let grown = without_token(release, &arguments);
                // SPOP is told as the SREM of what it took.
                let known = row.facts.older.is_some() || row.facts.name == "spop";
                assert!(!grown || known, "{} in {release:?}", row.facts.name);
            }
        }
    }

    #[test]
    fn every_write_has_keys_to_tell_of_or_none_at_all() {
        for row in rows().filter(|row| row.facts.flags.has(Flags::WRITE)) {
            let mut keys = Vec::new();
            let args: Vec<&[u8]> = vec![b"1"; 12];
            find_keys(&row.facts, &args, &mut keys);
            // Of these the first three have none, and the last looks for a word.
            let others = ["flushall", "flushdb", "swapdb", "xreadgroup"];
            let other = others.contains(&row.facts.name);
            assert_eq!(keys.is_empty(), other, "{}", row.facts.name);
        }
    }

    #[test]
    fn redis_knows_how_fields_expire_and_nothing_else_that_came_later() {
        let redis = Release::V7_4;
        for line in ["HPEXPIREAT h 5 FIELDS 1 f", "HPERSIST h FIELDS 1 f"] {
            check(redis, line, &[line]);
            assert_eq!(told(Release::V7_2, line), Some(Vec::new()), "{line}");
            assert_eq!(told(Release::V9_0, line), None, "{line}");
        }
        for line in ["SET k v PXAT 5", "LMOVE a b LEFT LEFT", "COPY a b"] {
            assert_eq!(told(redis, line), None, "{line}");
        }
        for line in ["MSETEX 1 k v PXAT 5", "HSETEX h PXAT 5 FIELDS 1 f v"] {
            assert_eq!(told(redis, line), Some(Vec::new()), "{line}");
        }
        assert_eq!(told(redis, "SET k v IFEQ w"), Some(Vec::new()));
        assert_eq!(told(Release::V9_0, "MSETEX 1 k v PXAT 5"), Some(Vec::new()));
    }

    #[test]
    fn what_is_newer_than_redis_is_found_in_the_rows() {
        let newer = newer_commands(rows().map(|row| &row.facts));
        let of = |fields| {
            let some = newer.iter().filter(|command| command.fields == fields);
            let mut names: Vec<&str> = some.map(|command| command.name).collect();
            names.sort_unstable();
            names
        };
        assert_eq!(
            of(true),
            ["hexpire", "hexpireat", "hpersist", "hpexpire", "hpexpireat"]
        );
        assert_eq!(
            of(false),
            ["delex", "delifeq", "hgetdel", "hgetex", "hsetex", "msetex"]
        );
    }

    #[test]
    fn what_two_releases_know_is_what_the_lower_knows_but_for_fields() {
        let eight = Release::of_number(0x0008_0001);
        assert_eq!(Release::V7_4.common(eight), Release::V7_2);
        assert_eq!(Release::V9_0.common(Release::V7_4), Release::V7_4);
        assert_eq!(Release::V7_4.common(Release::V7_4), Release::V7_4);
        assert_eq!(eight.common(Release::V2_8), Release::V2_8);
    }

    #[test]
    fn releases_are_read_and_compared_by_number() {
        assert_eq!(Release::parse("2.8.24"), Release::V2_8);
        assert!(Release::parse("2.10.0") > Release::V2_8);
        assert_eq!(Release::parse("9.1.0").number(), 0x0009_0100);
        assert_eq!(Release::of_dump(9), Some(Release::V5_0));
        assert_eq!(Release::of_dump(80), None);
    }
}
