//! Lists. A blocking command that finds nothing says what it waits for, and is run again when there is something.

use std::ops::Range;

use store::{Encoding, List, Owned, Value, ValueMut};

use crate::args::{self, Reader, int, is, timeout_ms};
use crate::{Args, Awaited, Ctx, Done, Error, EventClass};

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

    fn pop_command(self) -> &'static [u8] {
        if self == Self::Head { b"LPOP" } else { b"RPOP" }
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
        ctx.effects.key_ready(ctx.db, key);
    }
    ctx.changed(key, EventClass::List, end.push_event());
    ctx.effects.dirty += args.len() as u64 - 3;
    ctx.reply.count(length);
    Ok(())
}

/// LPUSHX key element …
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
    match place(index, list.len()).and_then(|place| list.index(place)) {
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
    let place = place(index, list.len());
    if !list.set(place.unwrap_or(usize::MAX), args[3], limits) {
        return Err(Error::IndexOutOfRange);
    }
    list.shrunk(limits);
    ctx.changed(args[1], EventClass::List, "lset");
    ctx.reply.ok();
    Ok(())
}

/// LPOP key [count]
pub(crate) fn lpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    pop(ctx, args, End::Head)
}

/// RPOP key [count]
pub(crate) fn rpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    pop(ctx, args, End::Tail)
}

fn pop(ctx: &mut Ctx<'_>, args: Args<'_>, end: End) -> Done {
    let Some(count) = args.get(2) else {
        if !pop_one(ctx, args[1], end)? {
            ctx.reply.nil();
        }
        return Ok(());
    };
    if args.len() > 3 {
        return Err(Error::owned(format!(
            "ERR wrong number of arguments for '{}' command",
            if end == End::Head { "lpop" } else { "rpop" }
        )));
    }
    let count = int(count)
        .ok()
        .and_then(|count| usize::try_from(count).ok())
        .ok_or(Error::text("ERR value is out of range, must be positive"))?;
    match write(ctx, args[1])? {
        None => ctx.reply.null_array(),
        Some(_) if count == 0 => ctx.reply.array(0),
        Some(_) => pop_many(ctx, args[1], end, count),
    }
    Ok(())
}

/// Takes an element and replies it; false if there is no list.
fn pop_one(ctx: &mut Ctx<'_>, key: &[u8], end: End) -> Result<bool, Error> {
    let list = match ctx.keyspace.db(ctx.db).write(key) {
        None => return Ok(false),
        Some(ValueMut::List(list)) => list,
        Some(_) => return Err(Error::WrongType),
    };
    let reply = &mut *ctx.reply;
    match end {
        End::Head => list.pop_front(|element| reply.bulk(element)),
        End::Tail => list.pop_back(|element| reply.bulk(element)),
    };
    list.shrunk(&ctx.settings.limits);
    let empty = list.is_empty();
    after_removal(ctx, key, end.pop_event(), empty);
    Ok(true)
}

/// Takes up to `count` elements, at least one, of a list that is there, and replies them as an array.
fn pop_many(ctx: &mut Ctx<'_>, key: &[u8], end: End, count: usize) {
    let Some(ValueMut::List(list)) = ctx.keyspace.db(ctx.db).write(key) else {
        return;
    };
    let count = count.min(list.len());
    let reply = &mut *ctx.reply;
    reply.array(count);
    for _ in 0..count {
        match end {
            End::Head => list.pop_front(|element| reply.bulk(element)),
            End::Tail => list.pop_back(|element| reply.bulk(element)),
        };
    }
    list.shrunk(&ctx.settings.limits);
    let empty = list.is_empty();
    after_removal(ctx, key, end.pop_event(), empty);
    ctx.effects.dirty += count as u64 - 1;
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
    let limits = &ctx.settings.limits;
    if let Some(list) = write(ctx, args[1])? {
        let length = list.len();
        let places = places(start, end, length);
        list.trim(places.start, places.len());
        list.shrunk(limits);
        let empty = list.is_empty();
        let removed = length - places.len();
        if removed > 0 {
            after_removal(ctx, args[1], "ltrim", empty);
            ctx.effects.dirty += removed as u64 - 1;
        } else {
            ctx.event(args[1], EventClass::List, "ltrim");
        }
    }
    ctx.reply.ok();
    Ok(())
}

/// LREM key count element
pub(crate) fn lrem(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let count = args::count(args[2])?;
    let limits = &ctx.settings.limits;
    let Some(list) = write(ctx, args[1])? else {
        ctx.reply.int(0);
        return Ok(());
    };
    let most = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    let removed = list.remove(args[3], most, count < 0);
    list.shrunk(limits);
    let empty = list.is_empty();
    if removed > 0 {
        after_removal(ctx, args[1], "lrem", empty);
        ctx.effects.dirty += removed as u64 - 1;
    }
    ctx.reply.count(removed);
    Ok(())
}

/// RPOPLPUSH source destination
pub(crate) fn rpoplpush(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    if !move_element(ctx, args[1], args[2], End::Tail, End::Head)? {
        ctx.reply.nil();
    }
    Ok(())
}

/// LMOVE source destination LEFT|RIGHT LEFT|RIGHT
pub(crate) fn lmove(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (from, to) = (end(args[3])?, end(args[4])?);
    if !move_element(ctx, args[1], args[2], from, to)? {
        ctx.reply.nil();
    }
    Ok(())
}

/// LEFT or RIGHT
fn end(word: &[u8]) -> Result<End, Error> {
    if is(word, "LEFT") {
        Ok(End::Head)
    } else if is(word, "RIGHT") {
        Ok(End::Tail)
    } else {
        Err(Error::Syntax)
    }
}

/// Moves an element from one list to another, and replies it; false if there is no source.
fn move_element(
    ctx: &mut Ctx<'_>,
    from: &[u8],
    to: &[u8],
    take: End,
    put: End,
) -> Result<bool, Error> {
    let limits = &ctx.settings.limits;
    if write(ctx, from)?.is_none() {
        return Ok(false);
    }
    let created = write(ctx, to)?.is_none();
    let Some(list) = write(ctx, from)? else {
        return Ok(false);
    };
    // A list that is turned round stays what it is, also with one element.
    let linked = from == to && list.encoding() == Encoding::Quicklist;
    let element = match take {
        End::Head => list.pop_front(<[u8]>::to_vec),
        End::Tail => list.pop_back(<[u8]>::to_vec),
    };
    let element = element.unwrap_or_default();
    let empty = list.is_empty() && from != to;
    if let ValueMut::List(list) = ctx
        .keyspace
        .db(ctx.db)
        .write_or_insert(to, || Owned::List(List::new()))
    {
        match put {
            End::Head => list.push_front(&element, limits),
            End::Tail => list.push_back(&element, limits),
        }
        if linked {
            list.forget_compact();
        }
    }
    if let Some(list) = write(ctx, from)? {
        list.shrunk(limits);
    }
    if created {
        ctx.effects.key_ready(ctx.db, to);
    }
    ctx.effects.touch(ctx.db, to);
    ctx.event(to, EventClass::List, put.push_event());
    ctx.reply.bulk(&element);
    after_removal(ctx, from, take.pop_event(), empty);
    Ok(true)
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
        if write(ctx, key)?.is_some() {
            ctx.reply.array(2);
            ctx.reply.bulk(key);
            pop_one(ctx, key, end)?;
            ctx.effects.propagate_instead(&[end.pop_command(), key]);
            return Ok(());
        }
    }
    if !ctx.block(Awaited::List, &args[1..last], timeout_ms) {
        ctx.reply.null_array();
    }
    Ok(())
}

/// BRPOPLPUSH source destination timeout
pub(crate) fn brpoplpush(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let timeout_ms = timeout_ms(args[3])?;
    if move_element(ctx, args[1], args[2], End::Tail, End::Head)? {
        ctx.effects
            .propagate_instead(&[b"RPOPLPUSH", args[1], args[2]]);
    } else if !ctx.block(Awaited::List, &args[1..2], timeout_ms) {
        ctx.reply.nil();
    }
    Ok(())
}

/// BLMOVE source destination LEFT|RIGHT LEFT|RIGHT timeout
pub(crate) fn blmove(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (from, to) = (end(args[3])?, end(args[4])?);
    let timeout_ms = timeout_ms(args[5])?;
    if move_element(ctx, args[1], args[2], from, to)? {
        ctx.effects
            .propagate_instead(&[b"LMOVE", args[1], args[2], args[3], args[4]]);
    } else if !ctx.block(Awaited::List, &args[1..2], timeout_ms) {
        ctx.reply.nil();
    }
    Ok(())
}

/// LMPOP numkeys key … LEFT|RIGHT [COUNT count]
pub(crate) fn lmpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (keys, end, count) = multi_pop_arguments(Reader::from(args, 1))?;
    if !multi_pop(ctx, keys, end, count)? {
        ctx.reply.null_array();
    }
    Ok(())
}

/// BLMPOP timeout numkeys key … LEFT|RIGHT [COUNT count]
pub(crate) fn blmpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (keys, end, count) = multi_pop_arguments(Reader::from(args, 2))?;
    let timeout_ms = timeout_ms(args[1])?;
    if !multi_pop(ctx, keys, end, count)? && !ctx.block(Awaited::List, keys, timeout_ms) {
        ctx.reply.null_array();
    }
    Ok(())
}

fn multi_pop_arguments(mut reader: Reader<'_>) -> Result<(Args<'_>, End, usize), Error> {
    let keys = reader.counted_keys_before_more()?;
    let end = end(reader.word()?)?;
    let count = reader.positive_count()?;
    Ok((keys, end, count))
}

/// Pops from the first list that is there; false if none is.
fn multi_pop(ctx: &mut Ctx<'_>, keys: Args<'_>, end: End, count: usize) -> Result<bool, Error> {
    for key in keys {
        let Some(list) = write(ctx, key)? else {
            continue;
        };
        let count = count.min(list.len());
        ctx.reply.array(2);
        ctx.reply.bulk(key);
        pop_many(ctx, key, end, count);
        let mut digits = itoa::Buffer::new();
        ctx.effects
            .propagate_instead(&[end.pop_command(), key, digits.format(count).as_bytes()]);
        return Ok(true);
    }
    Ok(false)
}

/// A number that is not negative; whatever else stands there gets the same error.
fn not_negative(reader: &mut Reader<'_>, error: &'static str) -> Result<i64, Error> {
    let number = int(reader.word()?).ok().filter(|number| *number >= 0);
    number.ok_or(Error::text(error))
}

/// LPOS key element [RANK rank] [COUNT matches] [MAXLEN length]
#[expect(
    clippy::too_many_lines,
    reason = "options, then one search in each direction"
)]
pub(crate) fn lpos(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let mut reader = Reader::from(args, 3);
    let (mut rank, mut count, mut most) = (1, None, 0);
    while !reader.is_empty() {
        if reader.takes_with("RANK", 1) {
            rank = reader.int()?;
            if rank == i64::MIN {
                return Err(Error::text(
                    "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
                ));
            }
            if rank == 0 {
                return Err(Error::text(
                    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
                ));
            }
        } else if reader.takes_with("COUNT", 1) {
            count = Some(not_negative(&mut reader, "ERR COUNT can't be negative")?);
        } else if reader.takes_with("MAXLEN", 1) {
            most = not_negative(&mut reader, "ERR MAXLEN can't be negative")?;
        } else {
            return Err(Error::Syntax);
        }
    }
    let list = match ctx.keyspace.db(ctx.db).read(args[1]) {
        None => {
            match count {
                None => ctx.reply.nil(),
                Some(_) => ctx.reply.array(0),
            }
            return Ok(());
        }
        Some(Value::List(list)) => list,
        Some(_) => return Err(Error::WrongType),
    };
    let unlimited = |limit: i64| {
        usize::try_from(limit)
            .ok()
            .filter(|limit| *limit > 0)
            .unwrap_or(usize::MAX)
    };
    let (skip, wanted, most) = (
        usize::try_from(rank.unsigned_abs()).unwrap_or(usize::MAX) - 1,
        count.map_or(1, unlimited),
        unlimited(most),
    );
    let length = list.len();
    let found: Vec<usize> = if rank > 0 {
        let places = list.iter().enumerate().take(most);
        let equal = places
            .filter(|(_, element)| *element == args[2])
            .map(|(place, _)| place);
        equal.skip(skip).take(wanted).collect()
    } else {
        // From the tail: the list knows no way back, so the last matches of the part that counts are kept.
        let from = length.saturating_sub(most);
        let places = list.iter_from(from).enumerate();
        let equal = places
            .filter(|(_, element)| *element == args[2])
            .map(|(place, _)| from + place);
        let mut all: Vec<usize> = equal.collect();
        all.reverse();
        all.into_iter().skip(skip).take(wanted).collect()
    };
    if count.is_some() {
        ctx.reply.array(found.len());
        found.into_iter().for_each(|place| ctx.reply.count(place));
    } else {
        match found.first() {
            Some(&place) => ctx.reply.count(place),
            None => ctx.reply.nil(),
        }
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
