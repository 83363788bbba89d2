//! Key specifications: where among its words a command has keys, and what it does with each.

use super::flags::{bits, words};
use crate::Args;

/// What a command does with a key: the flag words of a key specification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyFlags(u32);

const KEY_FLAG_WORDS: [&str; 11] = [
    "RO",
    "RW",
    "OW",
    "RM",
    "access",
    "update",
    "insert",
    "delete",
    "not_key",
    "incomplete",
    "variable_flags",
];

impl KeyFlags {
    /// The value is read, not changed.
    pub const RO: Self = Self::parse("RO");
    /// The value is read and changed.
    pub const RW: Self = Self::parse("RW");
    /// The value is overwritten without being read.
    pub const OW: Self = Self::parse("OW");
    /// The key is removed.
    pub const RM: Self = Self::parse("RM");
    /// What the value holds, or a part of it, is returned or copied.
    pub const ACCESS: Self = Self::parse("access");
    /// The value's content is changed.
    pub const UPDATE: Self = Self::parse("update");
    /// Something is added to the value.
    pub const INSERT: Self = Self::parse("insert");
    /// Something of the value, or the key, is removed.
    pub const DELETE: Self = Self::parse("delete");
    /// Not a key, but treated as one for the choice of the slot.
    pub const NOT_KEY: Self = Self::parse("not_key");
    /// The specification does not find all keys.
    pub const INCOMPLETE: Self = Self::parse("incomplete");
    /// The flags depend on the arguments.
    pub const VARIABLE_FLAGS: Self = Self::parse("variable_flags");

    /// Whether any of `other`'s flags is set.
    #[must_use]
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The words that COMMAND INFO answers.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        words(self.0, &KEY_FLAG_WORDS)
    }

    /// Reads flag words; an unknown one fails to compile in a row.
    #[must_use]
    pub const fn parse(text: &str) -> Self {
        Self(bits(text, &KEY_FLAG_WORDS))
    }
}

/// Where the search for keys begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Nobody can say without the command's own rules.
    Unknown,
    /// At this word.
    Index(i32),
    /// After this word, which is looked for from a position on; from a negative one backwards.
    Keyword(&'static str, i32),
}

/// Which words from there on are keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// Nobody can say without the command's own rules.
    Unknown,
    /// A range.
    Range {
        /// The last one, counted from the first; negative: from the end of the words.
        last: i32,
        /// The distance between keys.
        step: i32,
        /// Where `last` is negative: which part of the words that are left holds keys, 2 for a half.
        limit: i32,
    },
    /// A word holds the number of keys. All are relative to where the search began.
    KeyNum {
        /// Where the number is.
        at: i32,
        /// Where the first key is.
        first: i32,
        /// The distance between keys.
        step: i32,
    },
}

/// One specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// What is done with the keys.
    pub flags: KeyFlags,
    /// Where the search begins.
    pub begin: Begin,
    /// Which words are keys.
    pub find: Find,
}

/// A specification for a row.
#[must_use]
pub const fn key(flags: &str, begin: Begin, find: Find) -> KeySpec {
    KeySpec {
        flags: KeyFlags::parse(flags),
        begin,
        find,
    }
}

/// [`Begin::Index`]
#[must_use]
pub const fn index(at: i32) -> Begin {
    Begin::Index(at)
}

/// [`Begin::Keyword`]
#[must_use]
pub const fn keyword(word: &'static str, from: i32) -> Begin {
    Begin::Keyword(word, from)
}

/// [`Find::Range`]
#[must_use]
pub const fn range(last: i32, step: i32, limit: i32) -> Find {
    Find::Range { last, step, limit }
}

/// [`Find::KeyNum`]
#[must_use]
pub const fn keynum(at: i32, first: i32, step: i32) -> Find {
    Find::KeyNum { at, first, step }
}

/// A key among a command's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its position; 0 is the command's name.
    pub at: usize,
    /// What the command does with it.
    pub flags: KeyFlags,
}

/// Appends the keys of a command line to `keys`, in the order of the specifications. Positions are always within `args`. A specification
/// that does not fit the words finds nothing: the command will complain. Where a number of keys is none, nothing is found at all.
pub fn find_keys(facts: &super::row::Facts, args: Args<'_>, keys: &mut Vec<Key>) {
    if let Some(find) = facts.key_finder {
        return find(args, keys);
    }
    apply_all(facts.keys, args, keys);
}

fn apply_all(specs: &[KeySpec], args: Args<'_>, keys: &mut Vec<Key>) {
    let before = keys.len();
    for spec in specs {
        let found = keys.len();
        apply(spec, args, keys);
        if keys.len() == found && matches!(spec.find, Find::KeyNum { .. }) {
            return keys.truncate(before);
        }
    }
}

/// Whether a word that is to tell how many keys follow tells nothing of the kind.
#[must_use]
pub fn miscounts_keys(facts: &super::row::Facts, args: Args<'_>) -> bool {
    let mut counted = facts
        .keys
        .iter()
        .filter(|spec| matches!(spec.find, Find::KeyNum { .. }));
    counted.any(|spec| {
        let mut keys = Vec::new();
        apply(spec, args, &mut keys);
        keys.is_empty()
    })
}

fn apply(spec: &KeySpec, args: Args<'_>, keys: &mut Vec<Key>) {
    let begin = match spec.begin {
        Begin::Unknown => None,
        Begin::Index(at) => usize::try_from(at).ok(),
        Begin::Keyword(word, from) => find_keyword(args, word, from).map(|at| at + 1),
    };
    let Some(begin) = begin.filter(|begin| *begin < args.len()) else {
        return;
    };
    let at = |offset: i32| begin.checked_add_signed(isize::try_from(offset).unwrap_or(0));
    let found = match spec.find {
        Find::Unknown => None,
        Find::Range { last, step, limit } => {
            let last = if last >= 0 {
                at(last)
            } else {
                let back = usize::try_from(last.unsigned_abs()).unwrap_or(usize::MAX);
                let left = args.len() - begin;
                let part = usize::try_from(limit).unwrap_or(0);
                let end = if part > 1 {
                    begin + left / part
                } else {
                    args.len()
                };
                end.checked_sub(back)
            };
            last.map(|last| (begin, last.min(args.len() - 1), step))
        }
        Find::KeyNum {
            at: number,
            first,
            step,
        } => counted(args, at(number), at(first), step),
    };
    let Some((first, last, step)) = found else {
        return;
    };
    let step = usize::try_from(step).unwrap_or(1).max(1);
    if first <= last {
        let flags = spec.flags;
        keys.extend((first..=last).step_by(step).map(|at| Key { at, flags }));
    }
}

fn find_keyword(args: Args<'_>, word: &str, from: i32) -> Option<usize> {
    let is = |at: &usize| args[*at].eq_ignore_ascii_case(word.as_bytes());
    let from_at = usize::try_from(from.unsigned_abs()).ok()?;
    if from >= 0 {
        (from_at..args.len()).find(is)
    } else {
        (1..=args.len().checked_sub(from_at)?).rev().find(is)
    }
}

/// The keys that a number announces: first, last and step. None where the number is none, or more than there are words.
fn counted(
    args: Args<'_>,
    number: Option<usize>,
    first: Option<usize>,
    step: i32,
) -> Option<(usize, usize, i32)> {
    let first = first?;
    let count = leading_number(args.get(number?)?).filter(|count| *count > 0)?;
    let last = first.checked_add(
        count
            .checked_sub(1)?
            .checked_mul(usize::try_from(step).ok()?)?,
    )?;
    (last < args.len()).then_some((first, last, step))
}

/// The number that a word begins with, as C's `atoi` reads it: blanks before it and whatever follows it do not count.
fn leading_number(word: &[u8]) -> Option<usize> {
    let word = word.trim_ascii_start();
    let word = word.strip_prefix(b"+").unwrap_or(word);
    let mut digits = word.iter().take_while(|byte| byte.is_ascii_digit());
    digits.try_fold(0_usize, |number, digit| {
        number.checked_mul(10)?.checked_add((digit - b'0').into())
    })
}

/// First key, last key and step as COMMAND has always answered them: those of the specifications that say it by position.
pub(super) fn positions(specs: &[KeySpec]) -> (i32, i32, i32) {
    let mut found = (0, 0, 0);
    for spec in specs {
        let (Begin::Index(first), Find::Range { last, step, .. }) = (spec.begin, spec.find) else {
            continue;
        };
        let last = if last >= 0 { first + last } else { last };
        if found == (0, 0, 0) {
            found = (first, last, step);
        } else if step == 1 && found.2 == 1 && found.1 == first - 1 {
            found.1 = last;
        }
    }
    found
}

const READ: KeyFlags = KeyFlags::parse("RO access");
const OVERWRITE: KeyFlags = KeyFlags::parse("OW update");

/// SORT: the sorted key, and STORE's (the last one counts).
pub fn sort_keys(args: Args<'_>, keys: &mut Vec<Key>) {
    if args.len() < 2 {
        return;
    }
    keys.push(Key { at: 1, flags: READ });
    let (mut at, mut store) = (2, None);
    while at < args.len() {
        let is = |word: &str| args[at].eq_ignore_ascii_case(word.as_bytes());
        if is("limit") {
            at += 2;
        } else if is("get") || is("by") {
            at += 1;
        } else if is("store") && at + 1 < args.len() {
            store = Some(at + 1);
            at += 1;
        }
        at += 1;
    }
    keys.extend(store.map(|at| Key {
        at,
        flags: OVERWRITE,
    }));
}

/// GEORADIUS and GEORADIUSBYMEMBER: the sorted set, and the last of STORE's and STOREDIST's.
pub fn radius_keys(args: Args<'_>, keys: &mut Vec<Key>) {
    keys.extend((args.len() > 1).then_some(Key { at: 1, flags: READ }));
    let (mut at, mut store) = (5, None);
    while at + 1 < args.len() {
        let is = |word: &str| args[at].eq_ignore_ascii_case(word.as_bytes());
        if is("store") || is("storedist") {
            at += 1;
            store = Some(at);
        }
        at += 1;
    }
    keys.extend(store.map(|at| Key {
        at,
        flags: OVERWRITE,
    }));
}

/// MIGRATE: the single key, or all words after KEYS if the single one is empty.
pub fn migrate_keys(args: Args<'_>, keys: &mut Vec<Key>) {
    const MOVED: KeyFlags = KeyFlags::parse("RW access delete");
    let mut options = args.iter().enumerate().skip(6);
    let mut listed = None;
    while let (None, Some((at, word))) = (listed, options.next()) {
        // Whatever a password is, it is no option.
        if word.eq_ignore_ascii_case(b"auth") {
            options.next();
        } else if word.eq_ignore_ascii_case(b"auth2") {
            options.nth(1);
        } else if word.eq_ignore_ascii_case(b"keys") {
            listed = Some(at + 1);
        }
    }
    match (args.get(3), listed) {
        (Some([]), Some(first)) => {
            keys.extend((first..args.len()).map(|at| Key { at, flags: MOVED }));
        }
        (Some(_), _) => keys.push(Key {
            at: 3,
            flags: MOVED,
        }),
        _ => {}
    }
}

/// SET: with GET it also reads. That a condition tells whether the string is a known one does not count.
pub fn set_keys(args: Args<'_>, keys: &mut Vec<Key>) {
    const READ_TOO: KeyFlags = KeyFlags::parse("RW access update");
    let reads = |word: &&[u8]| word.eq_ignore_ascii_case(b"get");
    let flags = if args.iter().skip(3).any(reads) {
        READ_TOO
    } else {
        OVERWRITE
    };
    keys.extend((args.len() > 1).then_some(Key { at: 1, flags }));
}

/// The words of conditions that need to know the string.
fn is_comparison(word: &[u8]) -> bool {
    ["ifeq", "ifne", "ifdeq", "ifdne"]
        .iter()
        .any(|known| word.eq_ignore_ascii_case(known.as_bytes()))
}

/// DELEX: with a condition it reads the string.
pub fn delex_keys(args: Args<'_>, keys: &mut Vec<Key>) {
    const READS: KeyFlags = KeyFlags::parse("RW access delete");
    const REMOVES: KeyFlags = KeyFlags::parse("RM delete");
    let flags = if args.get(2).is_some_and(|word| is_comparison(word)) {
        READS
    } else {
        REMOVES
    };
    keys.extend((args.len() > 1).then_some(Key { at: 1, flags }));
}

/// BITFIELD: with nothing but GET it only reads.
pub fn bitfield_keys(args: Args<'_>, keys: &mut Vec<Key>) {
    const CHANGED: KeyFlags = KeyFlags::parse("RW access update");
    let mut rest = args.get(2..).unwrap_or_default();
    // What is not understood may change the value.
    while let [operation, behind @ ..] = rest {
        let is = |word: &str| operation.eq_ignore_ascii_case(word.as_bytes());
        rest = match behind {
            [_, _, behind @ ..] if is("get") => behind,
            [_, behind @ ..] if is("overflow") => behind,
            _ => break,
        };
    }
    let flags = if rest.is_empty() { READ } else { CHANGED };
    keys.extend((args.len() > 1).then_some(Key { at: 1, flags }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(specs: &'static [KeySpec], line: &str) -> Vec<usize> {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let mut keys = Vec::new();
        apply_all(specs, &args, &mut keys);
        keys.iter().map(|key| key.at).collect()
    }

    #[test]
    fn keys_by_position() {
        const PAIRS: &[KeySpec] = &[key("OW update", index(1), range(-1, 2, 0))];
        const ALL_BUT_LAST: &[KeySpec] = &[key("RW", index(1), range(-2, 1, 0))];
        assert_eq!(found(PAIRS, "mset a 1 b 2"), [1, 3]);
        assert_eq!(found(ALL_BUT_LAST, "blpop a b 0"), [1, 2]);
        assert_eq!(found(ALL_BUT_LAST, "blpop"), [0_usize; 0]);
    }

    #[test]
    fn keys_by_number_and_keyword() {
        const COUNTED: &[KeySpec] = &[key("RO", index(2), keynum(0, 1, 1))];
        assert_eq!(found(COUNTED, "eval x 2 a b c"), [3, 4]);
        // As `atoi` reads it; the command will refuse the number.
        assert_eq!(found(COUNTED, "eval x 1.5 a"), [3]);
        const STORES: &[KeySpec] = &[
            key("OW update", index(1), range(0, 1, 0)),
            key("RO access", index(2), keynum(0, 1, 1)),
        ];
        assert_eq!(found(STORES, "zdiffstore d 1 a"), [1, 3]);
        assert_eq!(found(STORES, "zdiffstore d 2 a"), [0_usize; 0]);
        for line in [
            "eval x -1 a",
            "eval x 9 a",
            "eval x 99999999999999999999 a",
            "eval x one a",
            "eval x 0",
        ] {
            assert_eq!(found(COUNTED, line), [0_usize; 0], "{line}");
        }
        const HALF: &[KeySpec] = &[key("RO access", keyword("STREAMS", 1), range(-1, 1, 2))];
        assert_eq!(found(HALF, "xread count 1 streams a b 0 0"), [4, 5]);
        assert_eq!(found(HALF, "xread streams"), [0_usize; 0]);
        const BACKWARDS: &[KeySpec] = &[key("RO", keyword("KEYS", -2), range(-1, 1, 0))];
        assert_eq!(found(BACKWARDS, "migrate h 1 k 0 10 keys a b"), [7, 8]);
    }

    #[test]
    fn keys_by_rules() {
        let by = |find: super::super::row::KeyFinder, line: &str| {
            let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            let mut keys = Vec::new();
            find(&args, &mut keys);
            keys.iter().map(|key| key.at).collect::<Vec<_>>()
        };
        assert_eq!(
            by(sort_keys, "sort k by w_* limit 0 5 get store store d"),
            [1, 10]
        );
        assert_eq!(
            by(
                radius_keys,
                "georadius k 1 2 3 m store storedist storedist d"
            ),
            [1, 9]
        );
        assert_eq!(by(radius_keys, "georadius k 1 2 3 m store"), [1]);
        assert_eq!(by(migrate_keys, "migrate h 1 k 0 10"), [3]);
        assert_eq!(
            by(migrate_keys, "migrate h 1  0 10 auth keys keys a b"),
            [9, 10]
        );
    }
}
