//! Hashes.

use store::{FieldTime, Hash, HashMut, HashRef, Owned, Value, ValueMut};

use resp::{Protocol, Reply};

use crate::args::{self, int, is};
use crate::set::{MAX_REPLY_BYTES, OUT_OF_RANGE, repetitions};
use crate::string::{parse_long_double, sum_text};
use crate::{Args, Ctx, Done, Error, EventClass};

/// The hash at `key`, for reading.
pub(crate) fn read<'a>(ctx: &'a mut Ctx<'_>, key: &[u8]) -> Result<Option<HashRef<'a>>, Error> {
    match ctx.keyspace.db(ctx.db).read(key) {
        None => Ok(None),
        Some(Value::Hash(hash)) => Ok(Some(hash)),
        Some(_) => Err(Error::WrongType),
    }
}

/// The hash at `key`, to be changed; made if there is none. The caller leaves a field in it.
fn write<'a>(ctx: &'a mut Ctx<'_>, key: &[u8]) -> Result<HashMut<'a>, Error> {
    match ctx
        .keyspace
        .db(ctx.db)
        .write_or_insert(key, || Owned::Hash(Hash::new()))
    {
        ValueMut::Hash(hash) => Ok(hash),
        _ => Err(Error::WrongType),
    }
}

/// The hash at `key`, to be changed, if there is one.
pub(crate) fn write_there<'a>(
    ctx: &'a mut Ctx<'_>,
    key: &[u8],
) -> Result<Option<HashMut<'a>>, Error> {
    match ctx.keyspace.db(ctx.db).write(key) {
        None => Ok(None),
        Some(ValueMut::Hash(hash)) => Ok(Some(hash)),
        Some(_) => Err(Error::WrongType),
    }
}

/// Fields were set whose time had come: these expired just before.
fn note_expired(ctx: &mut Ctx<'_>, key: &[u8], fields: usize) {
    if fields > 0 {
        ctx.effects.expired_fields += fields as u64;
        ctx.event(key, EventClass::Hash, "hexpired");
    }
}

/// HSET key field value …
pub(crate) fn hset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let new = set_pairs(ctx, args, "hset")?;
    ctx.reply.count(new);
    Ok(())
}

/// Sets fields; how many of them are new.
fn set_pairs(ctx: &mut Ctx<'_>, args: Args<'_>, command: &str) -> Result<usize, Error> {
    if !args.len().is_multiple_of(2) {
        return Err(Error::owned(format!(
            "ERR wrong number of arguments for '{command}' command"
        )));
    }
    let limits = &ctx.settings.limits;
    let mut hash = write(ctx, args[1])?;
    let pairs = args[2..].chunks_exact(2);
    let new = pairs
        .filter(|pair| hash.set(pair[0], pair[1], limits))
        .count();
    if args.len() / 2 - 1 > limits.hash_entries {
        hash.forget_compact();
    }
    let expired = hash.overwritten();
    note_expired(ctx, args[1], expired);
    ctx.changed(args[1], EventClass::Hash, "hset");
    ctx.effects.dirty += args.len() as u64 / 2 - 2;
    Ok(new)
}

/// HSETNX key field value
pub(crate) fn hsetnx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let limits = &ctx.settings.limits;
    let mut hash = write(ctx, args[1])?;
    let new = !hash.see().contains(args[2]);
    if new {
        let timed = hash.see().timed_len() > 0;
        hash.set(args[2], args[3], limits);
        let expired = hash.overwritten();
        note_expired(ctx, args[1], expired);
        ctx.changed(args[1], EventClass::Hash, "hset");
        if timed {
            // A replica may find a field there that has expired here.
            ctx.effects
                .propagate_instead(&[b"HSET", args[1], args[2], args[3]]);
        }
    }
    ctx.reply.int(i64::from(new));
    Ok(())
}

/// HMSET key field value …
pub(crate) fn hmset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    set_pairs(ctx, args, "hmset")?;
    ctx.reply.ok();
    Ok(())
}

/// Sets a field to a sum; its expiry stays. Answers whether some field of the hash had one.
fn set_sum(ctx: &mut Ctx<'_>, args: Args<'_>, sum: &[u8]) -> Result<bool, Error> {
    let limits = &ctx.settings.limits;
    let mut hash = write(ctx, args[1])?;
    let timed = hash.see().timed_len() > 0;
    hash.set_keeping(args[2], sum, limits);
    let expired = hash.overwritten();
    note_expired(ctx, args[1], expired);
    Ok(timed)
}

/// A sum goes to replicas and files as what it came to, with the expiry of the field.
fn propagate_sum(ctx: &mut Ctx<'_>, args: Args<'_>, sum: &[u8]) {
    let (key, field) = (args[1], args[2]);
    let hash = match ctx.keyspace.db(ctx.db).peek_alive(key) {
        Some(Value::Hash(hash)) => Some(hash),
        _ => None,
    };
    match hash.map(|hash| hash.expiry(field)) {
        Some(FieldTime::At(at)) => {
            let at = at.to_string();
            ctx.effects.propagate_instead(&[
                b"HSETEX",
                key,
                b"PXAT",
                at.as_bytes(),
                b"FIELDS",
                b"1",
                field,
                sum,
            ]);
        }
        _ => ctx.effects.propagate_instead(&[b"HSET", key, field, sum]),
    }
}

/// HINCRBY key field increment
pub(crate) fn hincrby(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let increment = int(args[3])?;
    let hash = write_there(ctx, args[1])?;
    let old = match hash.as_ref().and_then(|hash| hash.see().get(args[2])) {
        Some(text) => int(text).map_err(|_| Error::text("ERR hash value is not an integer"))?,
        None => 0,
    };
    let overflow = Error::text("ERR increment or decrement would overflow");
    let value = old.checked_add(increment).ok_or(overflow)?;
    let mut digits = itoa::Buffer::new();
    let text = digits.format(value).as_bytes();
    let timed = set_sum(ctx, args, text)?;
    ctx.changed(args[1], EventClass::Hash, "hincrby");
    ctx.reply.int(value);
    if timed {
        propagate_sum(ctx, args, text);
    }
    Ok(())
}

/// HINCRBYFLOAT key field increment. Goes to replicas and files as an HSET of the result.
pub(crate) fn hincrbyfloat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let increment = parse_long_double(args[3])?;
    if !increment.is_finite() {
        return Err(Error::text("ERR value is NaN or Infinity"));
    }
    let hash = write_there(ctx, args[1])?;
    let old = match hash.as_ref().and_then(|hash| hash.see().get(args[2])) {
        Some(text) => {
            let number = parse_long_double(text).ok().filter(|_| !text.is_empty());
            number.ok_or(Error::text("ERR hash value is not a float"))?
        }
        None => parse_long_double(b"0")?,
    };
    let text = sum_text(old, increment)?;
    set_sum(ctx, args, text.as_bytes())?;
    ctx.changed(args[1], EventClass::Hash, "hincrbyfloat");
    ctx.reply.bulk(text.as_bytes());
    propagate_sum(ctx, args, text.as_bytes());
    Ok(())
}

/// HGET key field
pub(crate) fn hget(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    reply_fields(ctx, args[1], &args[2..], false)
}

/// HMGET key field …
pub(crate) fn hmget(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    reply_fields(ctx, args[1], &args[2..], true)
}

/// One bulk for each field, nil where there is none; in an array where there may be several.
fn reply_fields(ctx: &mut Ctx<'_>, key: &[u8], fields: &[&[u8]], array: bool) -> Done {
    let hash = match ctx.keyspace.db(ctx.db).read(key) {
        None => None,
        Some(Value::Hash(hash)) => Some(hash),
        Some(_) => return Err(Error::WrongType),
    };
    if array {
        ctx.reply.array(fields.len());
    }
    for field in fields {
        match hash.and_then(|hash| hash.get(field)) {
            Some(value) => ctx.reply.bulk(value),
            None => ctx.reply.nil(),
        }
    }
    Ok(())
}

/// HDEL key field …
pub(crate) fn hdel(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let key = args[1];
    let mut hash = match ctx.keyspace.db(ctx.db).write(key) {
        None => {
            ctx.reply.int(0);
            return Ok(());
        }
        Some(ValueMut::Hash(hash)) => hash,
        Some(_) => return Err(Error::WrongType),
    };
    let removed = args[2..].iter().filter(|field| hash.remove(field)).count();
    let empty = hash.see().is_empty();
    if removed > 0 {
        ctx.changed(key, EventClass::Hash, "hdel");
        ctx.effects.dirty += removed as u64 - 1;
        if empty {
            ctx.keyspace.db(ctx.db).remove(key);
            ctx.event(key, EventClass::Generic, "del");
        }
    }
    ctx.reply.count(removed);
    Ok(())
}

/// HLEN key
pub(crate) fn hlen(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let fields = read(ctx, args[1])?.map_or(0, HashRef::len);
    ctx.reply.count(fields);
    Ok(())
}

/// HEXISTS key field
pub(crate) fn hexists(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let there = read(ctx, args[1])?.is_some_and(|hash| hash.contains(args[2]));
    ctx.reply.int(i64::from(there));
    Ok(())
}

/// HSTRLEN key field
pub(crate) fn hstrlen(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let value = read(ctx, args[1])?.and_then(|hash| hash.get(args[2]));
    let bytes = value.map_or(0, <[u8]>::len);
    ctx.reply.count(bytes);
    Ok(())
}

/// HRANDFIELD key [count [WITHVALUES]]
#[expect(clippy::too_many_lines, reason = "two shapes of one walk")]
pub(crate) fn hrandfield(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (count, values) = match args[2..] {
        [] => (None, false),
        [count, ref options @ ..] => {
            let count = Some(args::count(count)?);
            match options {
                [] => (count, false),
                [word] if is(word, "WITHVALUES") => (count, true),
                _ => return Err(Error::Syntax),
            }
        }
    };
    if count.is_some_and(|count| values && count.unsigned_abs() > i64::MAX as u64 / 2) {
        return Err(OUT_OF_RANGE);
    }
    let hash = match ctx.keyspace.db(ctx.db).read(args[1]) {
        None => {
            match count {
                None => ctx.reply.nil(),
                Some(_) => ctx.reply.array(0),
            }
            return Ok(());
        }
        Some(Value::Hash(hash)) => hash,
        Some(_) => return Err(Error::WrongType),
    };
    let reply = &mut *ctx.reply;
    let length = hash.shown_len();
    if length == 0 {
        match count {
            None => reply.nil(),
            Some(_) => reply.array(0),
        }
        return Ok(());
    }
    let Some(count) = count else {
        if let Some((field, _)) = hash.iter().nth(ctx.rng.position(length)) {
            reply.bulk(field);
        }
        return Ok(());
    };
    let pairs = values && reply.protocol() == Protocol::Resp3;
    let mut chosen = Reply::speaking(reply.protocol());
    let mut put = |(field, value): (&[u8], &[u8])| {
        if pairs {
            chosen.array(2);
        }
        chosen.bulk(field);
        if values {
            chosen.bulk(value);
        }
        chosen.len() <= MAX_REPLY_BYTES
    };
    let drawn = if count < 0 {
        // Repetitions are drawn from a list of the fields, so that each costs the same.
        let all: Vec<(&[u8], &[u8])> = hash.iter().collect();
        let lengths = all
            .iter()
            .map(|(field, value)| field.len() + if values { value.len() } else { 0 });
        let count = repetitions(count.unsigned_abs(), length, lengths)?;
        for _ in 0..count {
            if !put(all[ctx.rng.position(length)]) {
                return Err(OUT_OF_RANGE);
            }
        }
        count
    } else {
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(length);
        let mut places = ctx.rng.sample(length, count).into_iter().peekable();
        for (at, pair) in hash.iter().enumerate() {
            if places.next_if_eq(&at).is_some() {
                put(pair);
            }
        }
        count
    };
    reply.array(if values && !pairs { drawn * 2 } else { drawn });
    reply.append(chosen);
    Ok(())
}

/// HKEYS key
pub(crate) fn hkeys(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    reply_all(ctx, args[1], true, false)
}

/// HVALS key
pub(crate) fn hvals(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    reply_all(ctx, args[1], false, true)
}

/// HGETALL key
pub(crate) fn hgetall(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    reply_all(ctx, args[1], true, true)
}

fn reply_all(ctx: &mut Ctx<'_>, key: &[u8], fields: bool, values: bool) -> Done {
    match ctx.keyspace.db(ctx.db).read(key) {
        None if fields && values => ctx.reply.map(0),
        None => ctx.reply.array(0),
        Some(Value::Hash(hash)) => {
            let shown = hash.shown_len();
            if fields && values {
                ctx.reply.map(shown);
            } else {
                ctx.reply.array(shown);
            }
            for (field, value) in hash.iter() {
                if fields {
                    ctx.reply.bulk(field);
                }
                if values {
                    ctx.reply.bulk(value);
                }
            }
        }
        Some(_) => return Err(Error::WrongType),
    }
    Ok(())
}
