//! SCAN and its like for sets, hashes and sorted sets. What a cursor is, and what it guarantees, is the store's.

use resp::number::DoubleBuffer;
use resp::{Reply, glob};
use store::{ExpiryMode, Type, Value};

use crate::args::{self, Reader, int};
use crate::{Args, Ctx, Done, Error};

/// SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]. Keys whose time has come are left out, and deleted where this server may.
pub(crate) fn scan(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let cursor = parse_cursor(args[1])?;
    let options = Options::parse(&args[2..], Some("TYPE"))?;
    let now_ms = ctx.unix_ms();
    let db = ctx.keyspace.db_ref(ctx.db);
    let expiring = db.expires_len() > 0 && ctx.keyspace.clock().expiry() != ExpiryMode::Ignore;
    let mut expired: Vec<Box<[u8]>> = Vec::new();
    reply_scan(ctx.reply, |elements| {
        db.scan(cursor, options.count, |key, value| {
            if !options.matches(key) || options.kind.is_some_and(|kind| !is_kind(kind, &value)) {
                return;
            }
            if expiring && db.expire_ms(key).is_some_and(|at_ms| at_ms < now_ms) {
                expired.push(key.into());
            } else {
                elements.push(key);
            }
        })
    });
    for key in expired {
        ctx.keyspace.db(ctx.db).exists(&key);
    }
    Ok(())
}

/// SSCAN key cursor [MATCH pattern] [COUNT count]
pub(crate) fn sscan(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let cursor = parse_cursor(args[2])?;
    match ctx.keyspace.db(ctx.db).read(args[1]) {
        None => reply_nothing(ctx.reply),
        Some(Value::Set(set)) => {
            let options = Options::parse(&args[3..], None)?;
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
            let options = Options::parse(&args[3..], Some("NOVALUES"))?;
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
            let options = Options::parse(&args[3..], Some("NOSCORES"))?;
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

struct Options<'a> {
    count: usize,
    pattern: Option<&'a [u8]>,
    /// TYPE: the name of a type.
    kind: Option<&'a [u8]>,
    /// NOVALUES, NOSCORES
    names_only: bool,
}

/// Whether a value is of the type of this name, in any case.
fn is_kind(name: &[u8], value: &Value<'_>) -> bool {
    name.eq_ignore_ascii_case(value.kind().name().as_bytes())
}

impl<'a> Options<'a> {
    /// `extra` is the option that only this command has.
    fn parse(words: Args<'a>, extra: Option<&str>) -> Result<Self, Error> {
        let mut options = Self {
            count: 10,
            pattern: None,
            kind: None,
            names_only: false,
        };
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
            } else if extra == Some("TYPE") && reader.takes_with("TYPE", 1) {
                let name = reader.word()?;
                if !Type::ALL.iter().any(|kind| args::is(name, kind.name())) {
                    return Err(Error::quoting("ERR unknown type name '", name, "'"));
                }
                options.kind = Some(name);
            } else if extra.is_some_and(|extra| extra != "TYPE" && reader.takes(extra)) {
                options.names_only = true;
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
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

/// The reply: the next cursor, which `walk` answers, and the elements that it pushed.
fn reply_scan(reply: &mut Reply, walk: impl FnOnce(&mut Elements) -> u64) {
    let mut elements = Elements::default();
    let next = walk(&mut elements);
    reply.array(2);
    reply.bulk_display(next);
    reply.array(elements.count);
    reply.append(elements.reply);
}

/// The reply where there is no key.
fn reply_nothing(reply: &mut Reply) {
    reply_scan(reply, |_| 0);
}

#[cfg(test)]
mod tests {
    use super::*;

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
