//! Sorted sets: popping at either end, and random members.

use resp::Reply;

use crate::args::{self, Reader, int, is, timeout_ms};
use crate::set::{MAX_REPLY_BYTES, OUT_OF_RANGE, repetitions};
use crate::zset::{begin_members, read, reply_member, write};
use crate::{Args, Awaited, Ctx, Done, Error, EventClass};

/// An end of a sorted set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Min,
    Max,
}

impl End {
    fn command(self) -> &'static [u8] {
        if self == Self::Min {
            b"ZPOPMIN"
        } else {
            b"ZPOPMAX"
        }
    }

    fn event(self) -> &'static str {
        if self == Self::Min {
            "zpopmin"
        } else {
            "zpopmax"
        }
    }

    fn read(word: &[u8]) -> Result<Self, Error> {
        if is(word, "MIN") {
            Ok(Self::Min)
        } else if is(word, "MAX") {
            Ok(Self::Max)
        } else {
            Err(Error::Syntax)
        }
    }
}

/// How popped members are answered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Member and score, one after the other.
    Flat,
    /// The same in RESP2, pairs in RESP3.
    Scored,
    /// Pairs.
    Pairs,
}

/// ZPOPMIN key [count]
pub(crate) fn zpopmin(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    pop(ctx, args, End::Min)
}

/// ZPOPMAX key [count]
pub(crate) fn zpopmax(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    pop(ctx, args, End::Max)
}

fn pop(ctx: &mut Ctx<'_>, args: Args<'_>, end: End) -> Done {
    let count = match args[2..] {
        [] => None,
        [count] => Some(
            int(count)
                .ok()
                .and_then(|count| usize::try_from(count).ok())
                .ok_or(Error::text("ERR value is out of range, must be positive"))?,
        ),
        _ => return Err(Error::Syntax),
    };
    if write(ctx.keyspace.db(ctx.db), args[1])?.is_none() || count == Some(0) {
        ctx.reply.array(0);
        return Ok(());
    }
    let shape = if count.is_some() {
        Shape::Scored
    } else {
        Shape::Flat
    };
    take(ctx, args[1], end, count.unwrap_or(1), shape);
    Ok(())
}

/// Takes up to `count` members, at least one, of a sorted set that is there, and replies them; how many they were.
fn take(ctx: &mut Ctx<'_>, key: &[u8], end: End, count: usize, shape: Shape) -> usize {
    let Ok(Some(zset)) = write(ctx.keyspace.db(ctx.db), key) else {
        return 0;
    };
    let length = zset.len();
    let count = count.min(length);
    let reply = &mut *ctx.reply;
    let ranks = if end == End::Min {
        0..count
    } else {
        length - count..length
    };
    match shape {
        Shape::Flat => reply.array(count * 2),
        Shape::Scored => begin_members(reply, count, true),
        Shape::Pairs => reply.array(count),
    }
    let mut answer = |pair: (&[u8], f64)| match shape {
        Shape::Flat => {
            reply.bulk(pair.0);
            reply.double(pair.1);
        }
        Shape::Scored => reply_member(reply, pair, true),
        Shape::Pairs => {
            reply.array(2);
            reply.bulk(pair.0);
            reply.double(pair.1);
        }
    };
    let members = zset.range(ranks.clone());
    if end == End::Min {
        members.for_each(&mut answer);
    } else {
        members.rev().for_each(&mut answer);
    }
    let (_, rest) = zset.remove_range(ranks);
    let empty = zset.is_empty();
    if let Some(rest) = rest {
        ctx.keyspace.db(ctx.db).free_later(rest);
    }
    ctx.changed(key, EventClass::Zset, end.event());
    ctx.effects.dirty += count as u64 - 1;
    if empty {
        ctx.keyspace.db(ctx.db).remove(key);
        ctx.event(key, EventClass::Generic, "del");
    }
    count
}

/// BZPOPMIN key … timeout
pub(crate) fn bzpopmin(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    blocking_pop(ctx, args, End::Min)
}

/// BZPOPMAX key … timeout
pub(crate) fn bzpopmax(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    blocking_pop(ctx, args, End::Max)
}

fn blocking_pop(ctx: &mut Ctx<'_>, args: Args<'_>, end: End) -> Done {
    let last = args.len() - 1;
    let timeout_ms = timeout_ms(args[last])?;
    for key in &args[1..last] {
        let Some(zset) = write(ctx.keyspace.db(ctx.db), key)? else {
            continue;
        };
        let rank = if end == End::Min { 0 } else { zset.len() - 1 };
        let first = zset.range(rank..rank + 1).next();
        ctx.reply.array(3);
        ctx.reply.bulk(key);
        if let Some((member, score)) = first {
            ctx.reply.bulk(member);
            ctx.reply.double(score);
        }
        zset.remove_range(rank..rank + 1);
        let empty = zset.is_empty();
        ctx.changed(key, EventClass::Zset, end.event());
        if empty {
            ctx.keyspace.db(ctx.db).remove(key);
            ctx.event(key, EventClass::Generic, "del");
        }
        ctx.effects.propagate_instead(&[end.command(), key]);
        return Ok(());
    }
    if !ctx.block(Awaited::Zset, &args[1..last], timeout_ms) {
        ctx.reply.null_array();
    }
    Ok(())
}

/// ZMPOP numkeys key … MIN|MAX [COUNT count]
pub(crate) fn zmpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (keys, end, count) = multi_pop_arguments(Reader::from(args, 1))?;
    if !multi_pop(ctx, keys, end, count)? {
        ctx.reply.null_array();
    }
    Ok(())
}

/// BZMPOP timeout numkeys key … MIN|MAX [COUNT count]
pub(crate) fn bzmpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (keys, end, count) = multi_pop_arguments(Reader::from(args, 2))?;
    let timeout_ms = timeout_ms(args[1])?;
    if !multi_pop(ctx, keys, end, count)? && !ctx.block(Awaited::Zset, keys, timeout_ms) {
        ctx.reply.null_array();
    }
    Ok(())
}

fn multi_pop_arguments(mut reader: Reader<'_>) -> Result<(Args<'_>, End, usize), Error> {
    let keys = reader.counted_keys_before_more()?;
    let end = End::read(reader.word()?)?;
    let count = reader.positive_count()?;
    Ok((keys, end, count))
}

/// Pops from the first sorted set that is there; false if none is.
fn multi_pop(ctx: &mut Ctx<'_>, keys: Args<'_>, end: End, count: usize) -> Result<bool, Error> {
    for key in keys {
        if write(ctx.keyspace.db(ctx.db), key)?.is_none() {
            continue;
        }
        ctx.reply.array(2);
        ctx.reply.bulk(key);
        let taken = take(ctx, key, end, count, Shape::Pairs);
        let mut digits = itoa::Buffer::new();
        ctx.effects
            .propagate_instead(&[end.command(), key, digits.format(taken).as_bytes()]);
        return Ok(true);
    }
    Ok(false)
}

/// ZRANDMEMBER key [count [WITHSCORES]]
pub(crate) fn zrandmember(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (count, scores) = match args[2..] {
        [] => (None, false),
        [count, ref options @ ..] => {
            let count = Some(args::count(count)?);
            match options {
                [] => (count, false),
                [word] if is(word, "WITHSCORES") => (count, true),
                _ => return Err(Error::Syntax),
            }
        }
    };
    if count.is_some_and(|count| scores && count.unsigned_abs() > i64::MAX as u64 / 2) {
        return Err(OUT_OF_RANGE);
    }
    let Some(zset) = read(ctx.keyspace.db(ctx.db), args[1])? else {
        match count {
            None => ctx.reply.nil(),
            Some(_) => ctx.reply.array(0),
        }
        return Ok(());
    };
    let length = zset.len();
    let reply = &mut *ctx.reply;
    let at = |rank: usize| zset.range(rank..rank + 1).next();
    match count {
        None => {
            if let Some((member, _)) = at(ctx.rng.position(length)) {
                reply.bulk(member);
            }
        }
        Some(count) if count < 0 => {
            let lengths = zset.range(0..length).map(|(member, _)| member.len());
            let count = repetitions(count.unsigned_abs(), length, lengths)?;
            let mut members = Reply::speaking(reply.protocol());
            for _ in 0..count {
                if let Some(pair) = at(ctx.rng.position(length)) {
                    reply_member(&mut members, pair, scores);
                }
                if members.len() > MAX_REPLY_BYTES {
                    return Err(OUT_OF_RANGE);
                }
            }
            begin_members(reply, count, scores);
            reply.append(members);
        }
        Some(count) => {
            let count = usize::try_from(count).unwrap_or(usize::MAX).min(length);
            begin_members(reply, count, scores);
            for pair in ctx.rng.sample(length, count).into_iter().filter_map(at) {
                reply_member(reply, pair, scores);
            }
        }
    }
    Ok(())
}
