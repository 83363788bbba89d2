//! Strings: reading, writing, counting. Bits are in `bits`.

use std::ops::Range;

use resp::longdouble::LongDouble;
use store::{Owned, Str, StrNew, Value, ValueMut};

use crate::args::{int, is};
use crate::{Args, Ctx, Done, Error, EventClass};

/// The longest string, bytes.
pub(crate) const MAX_STRING_BYTES: usize = 512 * 1024 * 1024;

/// Whether a string may have this length.
pub(crate) fn check_length(bytes: Option<usize>) -> Result<usize, Error> {
    bytes
        .filter(|bytes| *bytes <= MAX_STRING_BYTES)
        .ok_or(Error::text(
            "ERR string exceeds maximum allowed size (512MB)",
        ))
}

/// The string at `key`, for reading.
fn read_str<'a>(ctx: &'a mut Ctx<'_>, key: &[u8]) -> Result<Option<Str<'a>>, Error> {
    match ctx.keyspace.db(ctx.db).read(key) {
        None => Ok(None),
        Some(Value::Str(string)) => Ok(Some(string)),
        Some(_) => Err(Error::WrongType),
    }
}

/// A string as a bulk reply; a big one is not copied.
pub(crate) fn reply_str(reply: &mut resp::Reply, string: Str<'_>) {
    match string {
        Str::Int(value) => reply.bulk_int(value),
        Str::Bytes(bytes) => reply.bulk(bytes),
        Str::Big(bytes) => reply.bulk_bytes(bytes.clone()),
    }
}

/// SET key value [NX] [XX] [EX seconds] [PX milliseconds]; from a file that Redis 6 or later wrote also [PXAT milliseconds] [KEEPTTL]
pub(crate) fn set(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    if args.len() == 3 {
        let value = ctx.take_str(args, 2);
        ctx.keyspace.db(ctx.db).set_str(args[1], value);
        ctx.changed(args[1], EventClass::String, "set");
        ctx.reply.ok();
        return Ok(());
    }
    let mut condition = Condition::default();
    let (mut expiry, mut at_ms) = (None, None);
    let mut rest = args[3..].iter();
    while let Some(&word) = rest.next() {
        let unit_ms = match word {
            word if is(word, "NX") => {
                condition.absent = true;
                continue;
            }
            word if is(word, "XX") => {
                condition.present = true;
                continue;
            }
            word if is(word, "EX") => 1000,
            word if is(word, "PX") => 1,
            word if ctx.replaying && is(word, "PXAT") => {
                let at = int(rest.next().ok_or(Error::Syntax)?)?;
                at_ms = Some(u64::try_from(at).map_err(|_| Error::Syntax)?);
                continue;
            }
            word if ctx.replaying && is(word, "KEEPTTL") => {
                at_ms = ctx.keyspace.db(ctx.db).expire_ms(args[1]);
                continue;
            }
            _ => return Err(Error::Syntax),
        };
        expiry = Some((*rest.next().ok_or(Error::Syntax)?, unit_ms));
    }
    if let Some((word, unit_ms)) = expiry {
        at_ms = Some(expire_at(ctx, word, unit_ms, "set")?);
    }
    if set_if(ctx, args, 2, condition, at_ms) {
        ctx.reply.ok();
    } else {
        ctx.reply.nil();
    }
    Ok(())
}

#[derive(Clone, Copy, Default)]
struct Condition {
    absent: bool,
    present: bool,
}

/// Writes argument `at` to the key if the condition holds; whether it did.
fn set_if(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    at: usize,
    condition: Condition,
    at_ms: Option<u64>,
) -> bool {
    let key = args[1];
    let value = ctx.take_str(args, at);
    let db = ctx.keyspace.db(ctx.db);
    if (condition.absent || condition.present) && {
        let there = db.exists(key);
        condition.absent && there || condition.present && !there
    } {
        return false;
    }
    db.set_str(key, value);
    if at_ms.is_some() {
        db.set_expire_ms(key, at_ms);
    }
    ctx.changed(key, EventClass::String, "set");
    if at_ms.is_some() {
        ctx.event(key, EventClass::Generic, "expire");
    }
    true
}

/// The time of expiry, Unix milliseconds, for a time to live in units of `unit_ms`.
fn expire_at(ctx: &Ctx<'_>, word: &[u8], unit_ms: i64, command: &str) -> Result<u64, Error> {
    let invalid = || Error::owned(format!("ERR invalid expire time in {command}"));
    let time = int(word)?;
    if time <= 0 {
        return Err(invalid());
    }
    let ms = time
        .checked_mul(unit_ms)
        .and_then(|ms| u64::try_from(ms).ok())
        .ok_or_else(invalid)?;
    ctx.unix_ms()
        .checked_add(ms)
        .filter(|at| i64::try_from(*at).is_ok())
        .ok_or_else(invalid)
}

/// SETNX key value
pub(crate) fn setnx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let condition = Condition {
        absent: true,
        present: false,
    };
    let done = set_if(ctx, args, 2, condition, None);
    ctx.reply.int(i64::from(done));
    Ok(())
}

/// SETEX key seconds value
pub(crate) fn setex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let at_ms = expire_at(ctx, args[2], 1000, "setex")?;
    set_if(ctx, args, 3, Condition::default(), Some(at_ms));
    ctx.reply.ok();
    Ok(())
}

/// PSETEX key milliseconds value
pub(crate) fn psetex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let at_ms = expire_at(ctx, args[2], 1, "psetex")?;
    set_if(ctx, args, 3, Condition::default(), Some(at_ms));
    ctx.reply.ok();
    Ok(())
}

/// GET key
pub(crate) fn get(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    match ctx.keyspace.db(ctx.db).read(args[1]) {
        None => ctx.reply.nil(),
        Some(Value::Str(string)) => reply_str(ctx.reply, string),
        Some(_) => return Err(Error::WrongType),
    }
    Ok(())
}

/// GETSET key value
pub(crate) fn getset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    get(ctx, args)?;
    let value = ctx.take_str(args, 2);
    ctx.keyspace.db(ctx.db).set_str(args[1], value);
    ctx.changed(args[1], EventClass::String, "set");
    Ok(())
}

/// MGET key …
pub(crate) fn mget(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    ctx.reply.array(args.len() - 1);
    ctx.each_key(args, 1, |ctx, at| {
        match ctx.keyspace.db(ctx.db).read(args[at]) {
            Some(Value::Str(string)) => reply_str(ctx.reply, string),
            _ => ctx.reply.nil(),
        }
    });
    Ok(())
}

/// MSET key value …
pub(crate) fn mset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    check_pairs(args)?;
    set_pairs(ctx, args);
    ctx.reply.ok();
    Ok(())
}

/// MSETNX key value …: all or nothing.
pub(crate) fn msetnx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    check_pairs(args)?;
    let db = ctx.keyspace.db(ctx.db);
    let busy = args[1..].iter().step_by(2).any(|key| db.exists(key));
    if !busy {
        set_pairs(ctx, args);
    }
    ctx.reply.int(i64::from(!busy));
    Ok(())
}

fn check_pairs(args: Args<'_>) -> Done {
    if args.len().is_multiple_of(2) {
        return Err(Error::text("ERR wrong number of arguments for MSET"));
    }
    Ok(())
}

fn set_pairs(ctx: &mut Ctx<'_>, args: Args<'_>) {
    ctx.each_key(args, 2, |ctx, at| {
        let value = ctx.take_str(args, at + 1);
        ctx.keyspace.db(ctx.db).set_str(args[at], value);
        ctx.changed(args[at], EventClass::String, "set");
    });
}

/// INCR key
pub(crate) fn incr(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    add(ctx, args[1], 1)
}

/// DECR key
pub(crate) fn decr(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    add(ctx, args[1], -1)
}

/// INCRBY key increment
pub(crate) fn incrby(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    add(ctx, args[1], int(args[2])?)
}

/// DECRBY key decrement
pub(crate) fn decrby(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    // The one number without an opposite: Redis wraps, and subtracts it by adding it.
    add(ctx, args[1], int(args[2])?.wrapping_neg())
}

fn add(ctx: &mut Ctx<'_>, key: &[u8], increment: i64) -> Done {
    let sum = |old: i64| {
        old.checked_add(increment)
            .ok_or(Error::text("ERR increment or decrement would overflow"))
    };
    let db = ctx.keyspace.db(ctx.db);
    let value = match db.write(key) {
        Some(ValueMut::Str(mut string)) => {
            let old = match string.see() {
                Str::Int(value) => value,
                Str::Bytes(bytes) => int(bytes)?,
                Str::Big(bytes) => int(bytes)?,
            };
            let value = sum(old)?;
            string.set_int(value);
            value
        }
        Some(_) => return Err(Error::WrongType),
        None => {
            db.set_str(key, StrNew::Int(increment));
            increment
        }
    };
    ctx.changed(key, EventClass::String, "incrby");
    ctx.reply.int(value);
    Ok(())
}

/// INCRBYFLOAT key increment. Goes to replicas and files as a SET of the result, so that nobody has to compute it again. Since a
/// SET forgets the time of expiry, it is told after it.
pub(crate) fn incrbyfloat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let key = args[1];
    let db = ctx.keyspace.db(ctx.db);
    let (old, there) = match db.write(key) {
        None => (parse_long_double(b"0")?, false),
        Some(ValueMut::Str(string)) => (parse_long_double(string.see().bytes(&mut [0; 20]))?, true),
        Some(_) => return Err(Error::WrongType),
    };
    let text = sum_text(old, parse_long_double(args[2])?)?;
    if there && let Some(ValueMut::Str(mut string)) = db.write(key) {
        string.set(StrNew::Bytes(text.as_bytes()));
    } else {
        db.set_str(key, StrNew::Bytes(text.as_bytes()));
    }
    let expire_ms = db.expire_ms(key);
    ctx.changed(key, EventClass::String, "incrbyfloat");
    ctx.reply.bulk(text.as_bytes());
    ctx.effects
        .propagate_instead(&[b"SET", key, text.as_bytes()]);
    if let Some(at) = expire_ms {
        let mut digits = itoa::Buffer::new();
        ctx.effects
            .propagate_instead(&[b"PEXPIREAT", key, digits.format(at).as_bytes()]);
    }
    Ok(())
}

/// A float argument with the precision of INCRBYFLOAT.
pub(crate) fn parse_long_double(word: &[u8]) -> Result<LongDouble, Error> {
    LongDouble::parse(word).ok_or(Error::NotFloat)
}

/// The sum as INCRBYFLOAT prints it.
fn sum_text(a: LongDouble, b: LongDouble) -> Result<String, Error> {
    let sum = a.checked_add(b).filter(|sum| sum.is_finite());
    sum.map(|sum| sum.to_string())
        .ok_or(Error::text("ERR increment would produce NaN or Infinity"))
}

/// APPEND key value
pub(crate) fn append(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let key = args[1];
    let value = ctx.take_str(args, 2);
    let db = ctx.keyspace.db(ctx.db);
    let length = match db.write(key) {
        Some(ValueMut::Str(mut string)) => {
            check_length(string.see().len().checked_add(args[2].len()))?;
            string.append(args[2])
        }
        Some(_) => return Err(Error::WrongType),
        None => {
            db.set_str(key, value);
            args[2].len()
        }
    };
    ctx.changed(key, EventClass::String, "append");
    ctx.reply.count(length);
    Ok(())
}

/// STRLEN key
pub(crate) fn strlen(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let length = read_str(ctx, args[1])?.map_or(0, |string| string.len());
    ctx.reply.count(length);
    Ok(())
}

/// SETRANGE key offset value
pub(crate) fn setrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (key, value) = (args[1], args[3]);
    let offset =
        usize::try_from(int(args[2])?).map_err(|_| Error::text("ERR offset is out of range"))?;
    let db = ctx.keyspace.db(ctx.db);
    let old = match db.write(key) {
        None => None,
        Some(ValueMut::Str(string)) => Some(string.see().len()),
        Some(_) => return Err(Error::WrongType),
    };
    if value.is_empty() {
        ctx.reply.count(old.unwrap_or(0));
        return Ok(());
    }
    check_length(offset.checked_add(value.len()))?;
    let empty = || Owned::Bytes {
        bytes: bytes::Bytes::new(),
        raw: true,
    };
    let ValueMut::Str(mut string) = db.write_or_insert(key, empty) else {
        return Err(Error::WrongType);
    };
    let length = string.set_range(offset, value);
    ctx.changed(key, EventClass::String, "setrange");
    ctx.reply.count(length);
    Ok(())
}

/// GETRANGE key start end
pub(crate) fn getrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (start, end) = (int(args[2])?, int(args[3])?);
    match ctx.keyspace.db(ctx.db).read(args[1]) {
        None => ctx.reply.bulk(b""),
        Some(Value::Str(Str::Big(bytes))) => {
            let range = byte_range(start, end, bytes.len());
            ctx.reply.bulk_bytes(bytes.slice(range));
        }
        Some(Value::Str(string)) => {
            let mut scratch = [0; 20];
            let bytes = string.bytes(&mut scratch);
            ctx.reply.bulk(&bytes[byte_range(start, end, bytes.len())]);
        }
        Some(_) => return Err(Error::WrongType),
    }
    Ok(())
}

/// The bytes from `start` to `end`, both included, both counted from the end where negative.
pub(crate) fn byte_range(start: i64, end: i64, len: usize) -> Range<usize> {
    let length = i64::try_from(len).unwrap_or(i64::MAX);
    let from_end = |at: i64| {
        if at < 0 {
            at.saturating_add(length).max(0)
        } else {
            at
        }
    };
    let (start, end) = (from_end(start), from_end(end).min(length - 1));
    if length == 0 || start > end {
        return 0..0;
    }
    usize::try_from(start).unwrap_or(len)..usize::try_from(end + 1).unwrap_or(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_ranges_count_from_both_ends() {
        assert_eq!(byte_range(0, -1, 5), 0..5);
        assert_eq!(byte_range(-3, -2, 5), 2..4);
        assert_eq!(byte_range(3, 1, 5), 0..0);
        assert_eq!(byte_range(-100, 100, 5), 0..5);
        assert_eq!(byte_range(0, -1, 0), 0..0);
        assert_eq!(byte_range(i64::MIN, i64::MAX, 5), 0..5);
        assert_eq!(byte_range(5, 10, 5), 0..0);
    }
}
