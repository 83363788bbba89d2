//! Lists. Waiting for an element is the engine's; the commands here say what they would wait for.

use std::ops::Range;

use store::{Encoding, List, Owned, Value, ValueMut};

use crate::args::{int, is};
use crate::{Args, Block, BlockKind, Ctx, Done, Error, EventClass};

/// An end of a list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Head,
    Tail,
}

impl End {
    fn push_event(self) -> &'static str {
        if self == Self::Head { "lpush" } else { "rpush" }
    }

    fn pop_event(self) -> &'static str {
        if self == Self::Head { "lpop" } else { "rpop" }
    }
}

/// The list at `key`, for reading.
fn read<'a>(ctx: &'a mut Ctx<'_>, key: &[u8]) -> Result<Option<&'a List>, Error> {
    match ctx.keyspace.db(ctx.db).read(key) {
        None => Ok(None),
        Some(Value::List(list)) => Ok(Some(list)),
        Some(_) => Err(Error::WrongType),
    }
}

/// The list at `key`, to be changed.
fn write<'a>(ctx: &'a mut Ctx<'_>, key: &[u8]) -> Result<Option<&'a mut List>, Error> {
    match ctx.keyspace.db(ctx.db).write(key) {
        None => Ok(None),
        Some(ValueMut::List(list)) => Ok(Some(list)),
        Some(_) => Err(Error::WrongType),
    }
}

/// After elements were taken: the event, and the key's end if its list is empty.
fn after_removal(ctx: &mut Ctx<'_>, key: &[u8], event: &'static str, empty: bool) {
    ctx.changed(key, EventClass::List, event);
    if empty {
        ctx.keyspace.db(ctx.db).remove(key);
        ctx.event(key, EventClass::Generic, "del");
    }
}

/// LPUSH key element …
pub(crate) fn lpush(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    push(ctx, args, End::Head)
}

/// RPUSH key element …
pub(crate) fn rpush(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    push(ctx, args, End::Tail)
}

fn push(ctx: &mut Ctx<'_>, args: Args<'_>, end: End) -> Done {
    let key = args[1];
    let limits = &ctx.settings.limits;
    let ValueMut::List(list) = ctx
        .keyspace
        .db(ctx.db)
        .write_or_insert(key, || Owned::List(List::new()))
    else {
        return Err(Error::WrongType);
    };
    let created = list.is_empty();
    for element in &args[2..] {
        match end {
            End::Head => list.push_front(element, limits),
            End::Tail => list.push_back(element, limits),
        }
    }
    let length = list.len();
    if created {
        ctx.effects.list_ready(ctx.db, key);
    }
    ctx.changed(key, EventClass::List, end.push_event());
    ctx.effects.dirty += args.len() as u64 - 3;
    ctx.reply.count(length);
    Ok(())
}

/// LPUSHX key element
pub(crate) fn lpushx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    push_if_there(ctx, args, End::Head)
}

/// RPUSHX key element
pub(crate) fn rpushx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    push_if_there(ctx, args, End::Tail)
}

fn push_if_there(ctx: &mut Ctx<'_>, args: Args<'_>, end: End) -> Done {
    if write(ctx, args[1])?.is_none() {
        ctx.reply.int(0);
        return Ok(());
    }
    push(ctx, args, end)
}

/// LINSERT key BEFORE|AFTER pivot element
pub(crate) fn linsert(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (key, pivot, element) = (args[1], args[3], args[4]);
    let after = is(args[2], "AFTER");
    if !after && !is(args[2], "BEFORE") {
        return Err(Error::Syntax);
    }
    let limits = &ctx.settings.limits;
    let Some(list) = write(ctx, key)? else {
        ctx.reply.int(0);
        return Ok(());
    };
    if !list.insert(pivot, after, element, limits) {
        ctx.reply.int(-1);
        return Ok(());
    }
    let length = list.len();
    ctx.changed(key, EventClass::List, "linsert");
    ctx.reply.count(length);
    Ok(())
}

/// LLEN key
pub(crate) fn llen(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let length = read(ctx, args[1])?.map_or(0, List::len);
    ctx.reply.count(length);
    Ok(())
}

/// The place that an index means in a list, if it is there. 3.0 keeps the low 32 bits of an index into a compact list.
fn place_in(list: &List, index: i64) -> Option<usize> {
    #[expect(clippy::cast_possible_truncation, reason = "as in 3.0")]
    let index = match list.encoding() {
        Encoding::Ziplist => i64::from(index as i32),
        _ => index,
    };
    place(index, list.len())
}

/// The place that an index means, counted from the head; negative ones count from the tail.
fn place(index: i64, length: usize) -> Option<usize> {
    let from_head = if index < 0 {
        index.checked_add(i64::try_from(length).ok()?)?
    } else {
        index
    };
    usize::try_from(from_head)
        .ok()
        .filter(|place| *place < length)
}

/// The places that a range means, both ends included, negative ones counted from the tail.
pub(crate) fn places(start: i64, end: i64, length: usize) -> Range<usize> {
    let len = i64::try_from(length).unwrap_or(i64::MAX);
    let from_head = |index: i64| {
        if index < 0 {
            index.saturating_add(len)
        } else {
            index
        }
    };
    let (start, end) = (from_head(start).max(0), from_head(end).min(len - 1));
    if start > end {
        return 0..0;
    }
    usize::try_from(start).unwrap_or(length)..usize::try_from(end + 1).unwrap_or(length)
}

/// LINDEX key index
pub(crate) fn lindex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let list = match ctx.keyspace.db(ctx.db).read(args[1]) {
        None => {
            ctx.reply.nil();
            return Ok(());
        }
        Some(Value::List(list)) => list,
        Some(_) => return Err(Error::WrongType),
    };
    let index = int(args[2])?;
    match place_in(list, index).and_then(|place| list.index(place)) {
        Some(element) => ctx.reply.bulk(element),
        None => ctx.reply.nil(),
    }
    Ok(())
}

/// LSET key index element
pub(crate) fn lset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let limits = &ctx.settings.limits;
    let list = write(ctx, args[1])?.ok_or(Error::NoSuchKey)?;
    let index = int(args[2])?;
    list.expect(args[3], limits);
    let place = place_in(list, index).ok_or(Error::IndexOutOfRange)?;
    list.set(place, args[3], limits);
    ctx.changed(args[1], EventClass::List, "lset");
    ctx.reply.ok();
    Ok(())
}

/// LPOP key
pub(crate) fn lpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    pop(ctx, args[1], End::Head)
}

/// RPOP key
pub(crate) fn rpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    pop(ctx, args[1], End::Tail)
}

fn pop(ctx: &mut Ctx<'_>, key: &[u8], end: End) -> Done {
    if !pop_one(ctx, key, end, false)? {
        ctx.reply.nil();
    }
    Ok(())
}

/// Takes an element and replies it, after the key's name if `named`; false where there is no list.
fn pop_one(ctx: &mut Ctx<'_>, key: &[u8], end: End, named: bool) -> Result<bool, Error> {
    let list = match ctx.keyspace.db(ctx.db).write(key) {
        None => return Ok(false),
        Some(ValueMut::List(list)) => list,
        Some(_) => return Err(Error::WrongType),
    };
    if named {
        ctx.reply.array(2);
        ctx.reply.bulk(key);
    }
    let reply = &mut *ctx.reply;
    match end {
        End::Head => list.pop_front(|element| reply.bulk(element)),
        End::Tail => list.pop_back(|element| reply.bulk(element)),
    };
    let empty = list.is_empty();
    after_removal(ctx, key, end.pop_event(), empty);
    Ok(true)
}

/// LRANGE key start end
pub(crate) fn lrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (start, end) = (int(args[2])?, int(args[3])?);
    match ctx.keyspace.db(ctx.db).read(args[1]) {
        None => ctx.reply.array(0),
        Some(Value::List(list)) => {
            let places = places(start, end, list.len());
            ctx.reply.array(places.len());
            for element in list.iter_from(places.start).take(places.len()) {
                ctx.reply.bulk(element);
            }
        }
        Some(_) => return Err(Error::WrongType),
    }
    Ok(())
}

/// LTRIM key start end
pub(crate) fn ltrim(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (start, end) = (int(args[2])?, int(args[3])?);
    if let Some(list) = write(ctx, args[1])? {
        let places = places(start, end, list.len());
        list.trim(places.start, places.len());
        let empty = list.is_empty();
        after_removal(ctx, args[1], "ltrim", empty);
    }
    ctx.reply.ok();
    Ok(())
}

/// LREM key count element
pub(crate) fn lrem(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let count = int(args[2])?;
    let Some(list) = write(ctx, args[1])? else {
        ctx.reply.int(0);
        return Ok(());
    };
    let most = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    let removed = list.remove(args[3], most, count < 0);
    let empty = list.is_empty();
    if removed > 0 {
        // 3.0 has no event for LREM, nor for the end of the key.
        ctx.effects.dirty += removed as u64;
        ctx.effects.touch(ctx.db, args[1]);
    }
    if empty {
        ctx.keyspace.db(ctx.db).remove(args[1]);
    }
    ctx.reply.count(removed);
    Ok(())
}

/// RPOPLPUSH source destination
pub(crate) fn rpoplpush(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    if !move_element(ctx, args[1], args[2])? {
        ctx.reply.nil();
    }
    Ok(())
}

/// Moves the tail of one list to the head of another, and replies the element; false where there is no source.
fn move_element(ctx: &mut Ctx<'_>, from: &[u8], to: &[u8]) -> Result<bool, Error> {
    let limits = &ctx.settings.limits;
    if write(ctx, from)?.is_none() {
        return Ok(false);
    }
    let created = write(ctx, to)?.is_none();
    let Some(list) = write(ctx, from)? else {
        return Ok(false);
    };
    // A list that is turned round stays what it is, also with one element.
    let linked = from == to && list.encoding() == Encoding::Linkedlist;
    let element = list.pop_back(<[u8]>::to_vec).unwrap_or_default();
    let empty = list.is_empty() && from != to;
    if let ValueMut::List(list) = ctx
        .keyspace
        .db(ctx.db)
        .write_or_insert(to, || Owned::List(List::new()))
    {
        list.push_front(&element, limits);
        if linked {
            list.forget_compact();
        }
    }
    if created {
        ctx.effects.list_ready(ctx.db, to);
    }
    ctx.effects.touch(ctx.db, to);
    ctx.event(to, EventClass::List, "lpush");
    ctx.reply.bulk(&element);
    after_removal(ctx, from, "rpop", empty);
    Ok(true)
}

/// The last argument of a blocking command, milliseconds.
fn timeout_ms(word: &[u8]) -> Result<u64, Error> {
    let out_of_range = Error::text("ERR timeout is not an integer or out of range");
    let seconds = int(word).map_err(|_| out_of_range.clone())?;
    let seconds = u64::try_from(seconds).map_err(|_| Error::text("ERR timeout is negative"))?;
    seconds.checked_mul(1000).ok_or(out_of_range)
}

/// BLPOP key … timeout
pub(crate) fn blpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    blocking_pop(ctx, args, End::Head)
}

/// BRPOP key … timeout
pub(crate) fn brpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    blocking_pop(ctx, args, End::Tail)
}

fn blocking_pop(ctx: &mut Ctx<'_>, args: Args<'_>, end: End) -> Done {
    let last = args.len() - 1;
    let timeout_ms = timeout_ms(args[last])?;
    for key in &args[1..last] {
        if pop_one(ctx, key, end, true)? {
            let command: &[u8] = if end == End::Head { b"LPOP" } else { b"RPOP" };
            ctx.effects.propagate_instead(&[command, key]);
            return Ok(());
        }
    }
    if ctx.may_block {
        let kind = if end == End::Head {
            BlockKind::PopLeft
        } else {
            BlockKind::PopRight
        };
        let keys = args[1..last].iter().map(|&key| key.into()).collect();
        ctx.effects.block = Some(Block {
            kind,
            keys,
            timeout_ms,
        });
    } else {
        ctx.reply.null_array();
    }
    Ok(())
}

/// BRPOPLPUSH source destination timeout
pub(crate) fn brpoplpush(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let timeout_ms = timeout_ms(args[3])?;
    if move_element(ctx, args[1], args[2])? {
        return Ok(());
    }
    if ctx.may_block {
        let kind = BlockKind::PopRightPushLeft(args[2].into());
        ctx.effects.block = Some(Block {
            kind,
            keys: vec![args[1].into()],
            timeout_ms,
        });
    } else {
        ctx.reply.nil();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_count_from_both_ends() {
        assert_eq!(place(0, 3), Some(0));
        assert_eq!(place(-1, 3), Some(2));
        assert_eq!(place(3, 3), None);
        assert_eq!(place(-4, 3), None);
        assert_eq!(place(i64::MIN, 3), None);
        assert_eq!(places(0, -1, 3), 0..3);
        assert_eq!(places(-2, 9, 3), 1..3);
        assert_eq!(places(2, 1, 3), 0..0);
        assert_eq!(places(i64::MIN, i64::MAX, 3), 0..3);
        assert_eq!(places(0, -1, 0), 0..0);
    }
}
