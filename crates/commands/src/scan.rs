//! SCAN and its like for sets, hashes and sorted sets. What a cursor is, and what it guarantees, is the store's. CLUSTERSCAN is SCAN
//! of one run of slots after the other, each on the node that has it.

use resp::number::DoubleBuffer;
use resp::{Reply, glob};
use store::{Db, ExpiryMode, Keyspace, Type, Value};

use crate::args::{Reader, int};
use crate::{Args, Ctx, Done, Error};

/// SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]. Keys whose time has come are left out, and deleted where this server may.
pub(crate) fn scan(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let cursor = parse_cursor(args[1])?;
    let options = Options::parse(&args[2..], Extra::Type)?;
    let mut elements = Elements::default();
    let whole = (cursor, store::SLOT_COUNT - 1);
    let next = scan_keys(ctx.keyspace, ctx.db, whole, &options, &mut elements);
    elements.reply(ctx.reply, |reply| reply.bulk_display(next));
    Ok(())
}

/// Scans keys from a cursor up to the end of a slot; the next cursor.
fn scan_keys(
    keyspace: &mut Keyspace,
    number: usize,
    (cursor, last): (u64, u16),
    options: &Options<'_>,
    elements: &mut Elements,
) -> u64 {
    let now_ms = keyspace.clock().unix_ms();
    let db = keyspace.db_ref(number);
    let expiring = db.expires_len() > 0 && keyspace.clock().expiry() != ExpiryMode::Ignore;
    let mut expired: Vec<Box<[u8]>> = Vec::new();
    let next = db.scan_slots(cursor, last, options.count, |key, value| {
        if !options.matches(key) || options.kind.is_some_and(|kind| !is_kind(kind, &value)) {
            return;
        }
        if expiring && db.expire_ms(key).is_some_and(|at_ms| at_ms < now_ms) {
            expired.push(key.into());
        } else {
            elements.push(key);
        }
    });
    for key in expired {
        keyspace.db(number).exists(&key);
    }
    next
}

/// CLUSTERSCAN cursor [MATCH pattern] [COUNT count] [TYPE type] [SLOT slot], in this database. A cursor names a slot by its tag, so that
/// clients send it to the node that has the slot; the place in the slot counts only where `mark`, which tells the order of keys in
/// memory, is that of the cursor. `last_of_run` answers the last of the slots behind one that have the same owner as it.
///
/// # Errors
/// The error reply.
pub fn cluster_scan(
    keyspace: &mut Keyspace,
    db: usize,
    reply: &mut Reply,
    args: Args<'_>,
    mark: &str,
    last_of_run: impl Fn(u16) -> u16,
) -> Done {
    let options = Options::parse(&args[2..], Extra::Slot)?;
    let mut elements = Elements::default();
    let meant = options.slot.or(options.pattern_slot());
    let nowhere =
        (options.slot.zip(options.pattern_slot())).is_some_and(|(slot, other)| slot != other);
    if args[1] == b"0" {
        let first = meant.unwrap_or(0);
        let next = if nowhere {
            END.to_owned()
        } else {
            begin_of(first)
        };
        elements.reply(reply, |reply| reply.bulk(next));
        return Ok(());
    }
    let (slot, place) = parse_cluster_cursor(args[1], mark)?;
    if options.slot.is_some_and(|meant| meant != slot) {
        return Err(Error::text("ERR Cursor slot mismatch with SLOT argument"));
    }
    if let Some(later) = options.pattern_slot().filter(|other| *other != slot) {
        // Never back.
        let ahead = !nowhere && later > slot;
        let next = if ahead {
            begin_of(later)
        } else {
            END.to_owned()
        };
        elements.reply(reply, |reply| reply.bulk(next));
        return Ok(());
    }
    let last = if meant.is_some() {
        slot
    } else {
        last_of_run(slot)
    };
    let cursor = Db::slot_cursor(slot, place);
    // The cursor of the very beginning is the one that means the end, too.
    let next = scan_keys(keyspace, db, (cursor, last), &options, &mut elements);
    let next = match Db::cursor_parts(next) {
        _ if next == 0 && meant.is_none() && last + 1 < store::SLOT_COUNT => begin_of(last + 1),
        _ if next == 0 => END.to_owned(),
        (slot, place) => format!("{mark}-{{{}}}-{place}", store::slot_tag(slot)),
    };
    elements.reply(reply, |reply| reply.bulk(next));
    Ok(())
}

/// The cursor that says that all was shown.
const END: &str = "0";

/// The cursor of a slot's beginning.
fn begin_of(slot: u16) -> String {
    format!("0-{{{}}}-0", store::slot_tag(slot))
}

/// `mark-{tag}-place`: the slot, and the place in it, which is its beginning where the mark is another.
fn parse_cluster_cursor(word: &[u8], mark: &str) -> Result<(u16, u64), Error> {
    const INVALID: Error = Error::text("ERR Invalid cursor");
    let mut parts = word.splitn(3, |byte| *byte == b'-');
    let (Some(told), Some(tag), Some(place)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(INVALID);
    };
    let digits = std::str::from_utf8(place).ok();
    let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let place: u64 = digits
        .and_then(|digits| digits.parse().ok())
        .ok_or(INVALID)?;
    let known = told == mark.as_bytes();
    Ok((store::key_slot(tag), if known { place } else { 0 }))
}

/// SSCAN key cursor [MATCH pattern] [COUNT count]
pub(crate) fn sscan(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let cursor = parse_cursor(args[2])?;
    match ctx.keyspace.db(ctx.db).read(args[1]) {
        None => reply_nothing(ctx.reply),
        Some(Value::Set(set)) => {
            let options = Options::parse(&args[3..], Extra::None)?;
            reply_scan(ctx.reply, |elements| {
                set.scan(cursor, options.count, |elem| {
                    let mut scratch = [0; 20];
                    let member = elem.bytes(&mut scratch);
                    if options.matches(member) {
                        elements.push(member);
                    }
                })
            });
        }
        Some(_) => return Err(Error::WrongType),
    }
    Ok(())
}

/// HSCAN key cursor [MATCH pattern] [COUNT count]
pub(crate) fn hscan(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let cursor = parse_cursor(args[2])?;
    match ctx.keyspace.db(ctx.db).read(args[1]) {
        None => reply_nothing(ctx.reply),
        Some(Value::Hash(hash)) => {
            let options = Options::parse(&args[3..], Extra::Values)?;
            reply_scan(ctx.reply, |elements| {
                hash.scan(cursor, options.count, |field, value| {
                    if options.matches(field) {
                        elements.push(field);
                        if !options.names_only {
                            elements.push(value);
                        }
                    }
                })
            });
        }
        Some(_) => return Err(Error::WrongType),
    }
    Ok(())
}

/// ZSCAN key cursor [MATCH pattern] [COUNT count]
pub(crate) fn zscan(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let cursor = parse_cursor(args[2])?;
    match ctx.keyspace.db(ctx.db).read(args[1]) {
        None => reply_nothing(ctx.reply),
        Some(Value::Zset(zset)) => {
            let options = Options::parse(&args[3..], Extra::Scores)?;
            reply_scan(ctx.reply, |elements| {
                zset.scan(cursor, options.count, |member, score| {
                    if options.matches(member) {
                        elements.push(member);
                        if !options.names_only {
                            elements.push_double(score);
                        }
                    }
                })
            });
        }
        Some(_) => return Err(Error::WrongType),
    }
    Ok(())
}

/// A cursor: a number that is not negative. What is not in the one form that numbers are printed in is read as C's `strtoull` reads it:
/// blanks and a sign before it, an end at the first NUL.
fn parse_cursor(word: &[u8]) -> Result<u64, Error> {
    const INVALID: Error = Error::text("ERR invalid cursor");
    if let Ok(value) = int(word) {
        return u64::try_from(value).map_err(|_| INVALID);
    }
    let word = word.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = word.trim_ascii_start();
    let digits = text.strip_prefix(b"-").or(text.strip_prefix(b"+"));
    let digits = digits.unwrap_or(text);
    let value = digits.iter().try_fold(0_u64, |value, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    });
    match value {
        Some(_) if digits.is_empty() => Err(INVALID),
        Some(value) if text.starts_with(b"-") => Ok(value.wrapping_neg()),
        value => value.ok_or(INVALID),
    }
}

/// The option that only some commands have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extra {
    None,
    /// TYPE
    Type,
    /// TYPE and SLOT
    Slot,
    /// NOVALUES
    Values,
    /// NOSCORES
    Scores,
}

struct Options<'a> {
    count: usize,
    pattern: Option<&'a [u8]>,
    /// TYPE: the name of a type.
    kind: Option<&'a [u8]>,
    /// SLOT
    slot: Option<u16>,
    /// NOVALUES, NOSCORES
    names_only: bool,
}

/// The name of a type, in any case.
fn type_name(word: &[u8]) -> Result<&[u8], Error> {
    let kinds = [
        Type::String,
        Type::List,
        Type::Set,
        Type::Zset,
        Type::Hash,
        Type::Stream,
    ];
    let known = |kind: &Type| word.eq_ignore_ascii_case(kind.name().as_bytes());
    if kinds.iter().any(known) {
        Ok(word)
    } else {
        Err(Error::quoting("ERR unknown type name '", word, "'"))
    }
}

/// Whether a value is of the type of this name, in any case.
fn is_kind(name: &[u8], value: &Value<'_>) -> bool {
    name.eq_ignore_ascii_case(value.kind().name().as_bytes())
}

impl<'a> Options<'a> {
    fn parse(words: Args<'a>, extra: Extra) -> Result<Self, Error> {
        let mut options = Self {
            count: 10,
            pattern: None,
            kind: None,
            slot: None,
            names_only: false,
        };
        let of_keys = matches!(extra, Extra::Type | Extra::Slot);
        let mut reader = Reader::from(words, 0);
        while !reader.is_empty() {
            if reader.takes_with("COUNT", 1) {
                options.count = usize::try_from(reader.int()?)
                    .ok()
                    .filter(|count| *count >= 1)
                    .ok_or(Error::Syntax)?;
            } else if reader.takes_with("MATCH", 1) {
                let pattern = reader.word()?;
                options.pattern = (pattern != b"*").then_some(pattern);
            } else if of_keys && reader.takes_with("TYPE", 1) {
                options.kind = Some(type_name(reader.word()?)?);
            } else if extra == Extra::Slot && reader.takes_with("SLOT", 1) {
                if options.slot.is_some() {
                    return Err(Error::text("ERR SLOT option can only be specified once"));
                }
                let slot = u16::try_from(reader.int().unwrap_or(-1)).ok();
                let slot = slot.filter(|slot| *slot < store::SLOT_COUNT);
                options.slot = Some(slot.ok_or(Error::text("ERR Invalid or out of range slot"))?);
            } else if reader.takes("NOVALUES") {
                if extra != Extra::Values {
                    return Err(Error::text("ERR NOVALUES option can only be used in HSCAN"));
                }
                options.names_only = true;
            } else if reader.takes("NOSCORES") {
                if extra != Extra::Scores {
                    return Err(Error::text("ERR NOSCORES option can only be used in ZSCAN"));
                }
                options.names_only = true;
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
    }

    /// The slot of all keys that the pattern can match, where that is one: what is hashed has no wildcard in it.
    fn pattern_slot(&self) -> Option<u16> {
        let pattern = self.pattern?;
        let wild = pattern.iter().position(|byte| b"*?[\\".contains(byte));
        let plain = &pattern[..wild.unwrap_or(pattern.len())];
        let open = plain.iter().position(|byte| *byte == b'{');
        let close = open.and_then(|open| plain[open..].iter().position(|byte| *byte == b'}'));
        let tagged = close.is_some_and(|close| close > 1);
        (tagged || wild.is_none()).then(|| store::key_slot(pattern))
    }

    fn matches(&self, text: &[u8]) -> bool {
        self.pattern
            .is_none_or(|pattern| glob::matches(pattern, text))
    }
}

/// The elements of the reply, counted.
#[derive(Default)]
struct Elements {
    reply: Reply,
    count: usize,
}

impl Elements {
    fn push(&mut self, element: &[u8]) {
        self.reply.bulk(element);
        self.count += 1;
    }

    fn push_double(&mut self, score: f64) {
        // A bulk string in both protocols.
        self.reply.bulk(DoubleBuffer::new().format(score));
        self.count += 1;
    }
}

impl Elements {
    /// The reply: the next cursor, which `cursor` writes, and the elements.
    fn reply(self, reply: &mut Reply, cursor: impl FnOnce(&mut Reply)) {
        reply.array(2);
        cursor(reply);
        reply.array(self.count);
        reply.append(self.reply);
    }
}

/// The reply: the next cursor, which `walk` answers, and the elements that it pushed.
fn reply_scan(reply: &mut Reply, walk: impl FnOnce(&mut Elements) -> u64) {
    let mut elements = Elements::default();
    let next = walk(&mut elements);
    elements.reply(reply, |reply| reply.bulk_display(next));
}

/// The reply where there is no key.
fn reply_nothing(reply: &mut Reply) {
    reply_scan(reply, |_| 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_a_slot_where_what_is_hashed_is_plain() {
        let slot = |pattern: &'static [u8]| {
            let words: [&[u8]; 2] = [b"MATCH", pattern];
            Options::parse(&words, Extra::Slot)
                .ok()
                .and_then(|options| options.pattern_slot())
        };
        assert_eq!(slot(b"{06S}*"), Some(0));
        assert_eq!(slot(b"a{06S}b[x]*"), Some(0));
        assert_eq!(slot(b"foo"), Some(12182));
        for open in [&b"*"[..], b"a*{06S}", b"{0*S}", b"{}*", b"\\{06S}", b"foo?"] {
            assert_eq!(slot(open), None, "{open:?}");
        }
    }

    #[test]
    fn cursors_of_clusters() {
        let parse = |word: &[u8]| parse_cluster_cursor(word, "abcdef").ok();
        assert_eq!(parse(b"abcdef-{Qi}-7"), Some((1, 7)));
        assert_eq!(parse(b"0-{Qi}-7"), Some((1, 0)));
        assert_eq!(parse(b"abcdeg-{Qi}-7"), Some((1, 0)));
        for bad in [
            &b""[..],
            b"0-",
            b"0-{0}",
            b"x-{Qi}-",
            b"x-{Qi}--1",
            b"x-{Qi}-1-2",
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn cursors_are_numbers_or_what_strtoull_reads() {
        for (word, value) in [
            (&b"0"[..], 0),
            (b"007", 7),
            (b"+5", 5),
            (b" 1", 1),
            (b"-01", u64::MAX),
            (b"18446744073709551615", u64::MAX),
            (b"12\0x", 12),
        ] {
            assert_eq!(parse_cursor(word).ok(), Some(value), "{word:?}");
        }
        for word in [
            &b"18446744073709551616"[..],
            b"",
            b"-1",
            b"1 ",
            b"x",
            b"-",
            b"+",
            b"+-1",
            b"0x10",
        ] {
            assert!(parse_cursor(word).is_err(), "{word:?}");
        }
    }
}
