//! Sets.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use resp::Reply;
use store::{Db, Elem, Encoding, Limits, Owned, Set, Value, ValueMut};

use crate::args::{self, Reader, int};
use crate::context::removal;
use crate::{Args, Ctx, Done, Error, EventClass, Rng};

/// The most bytes that SRANDMEMBER with repetitions may answer: what one string may have.
pub(crate) const MAX_REPLY_BYTES: usize = crate::context::MAX_STRING_BYTES;
/// The shortest bulk string on the wire: `$0\r\n\r\n`.
const MIN_BULK_BYTES: u64 = 6;
/// For a count that nobody can be answered.
pub(crate) const OUT_OF_RANGE: Error = Error::text("ERR value is out of range");

/// The set at `key`, for reading.
fn read<'a>(ctx: &'a mut Ctx<'_>, key: &[u8]) -> Result<Option<&'a Set>, Error> {
    match ctx.keyspace.db(ctx.db).read(key) {
        None => Ok(None),
        Some(Value::Set(set)) => Ok(Some(set)),
        Some(_) => Err(Error::WrongType),
    }
}

/// The set at `key`, to be changed.
fn write<'a>(db: &'a mut Db, key: &[u8]) -> Result<Option<&'a mut Set>, Error> {
    match db.write(key) {
        None => Ok(None),
        Some(ValueMut::Set(set)) => Ok(Some(set)),
        Some(_) => Err(Error::WrongType),
    }
}

/// The set at `key`, to be changed; made if there is none. The caller leaves a member in it.
fn write_or_insert<'a>(db: &'a mut Db, key: &[u8]) -> Result<&'a mut Set, Error> {
    match db.write_or_insert(key, || Owned::Set(Set::new())) {
        ValueMut::Set(set) => Ok(set),
        _ => Err(Error::WrongType),
    }
}

/// A member as a bulk string.
pub(crate) fn reply_elem(reply: &mut Reply, elem: Elem<'_>) {
    match elem {
        Elem::Int(value) => reply.bulk_int(value),
        Elem::Bytes(bytes) => reply.bulk(bytes),
    }
}

/// SADD key member …
pub(crate) fn sadd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let key = args[1];
    let limits = &ctx.settings.limits;
    let set = write_or_insert(ctx.keyspace.db(ctx.db), key)?;
    let many = is_many(set, args[2], args.len() - 2, limits);
    let no_ints = Limits {
        set_intset_entries: 0,
        ..limits.clone()
    };
    let limits = if set.is_empty() && args.len() - 2 > limits.set_intset_entries {
        &no_ints
    } else {
        limits
    };
    let added = args[2..]
        .iter()
        .filter(|member| set.add(member, limits))
        .count();
    if many {
        set.forget_compact();
    }
    if added > 0 {
        ctx.changed(key, EventClass::Set, "sadd");
        ctx.effects.dirty += added as u64 - 1;
    }
    ctx.reply.count(added);
    Ok(())
}

/// Whether so many members, of which this is the first, make a set a `hashtable` whichever are new.
fn is_many(set: &Set, first: &[u8], count: usize, limits: &Limits) -> bool {
    let most = match set.encoding() {
        _ if count <= limits.set_entries.min(limits.set_intset_entries) => return false,
        Encoding::Intset if !set.is_empty() => limits.set_intset_entries,
        Encoding::Intset if int(first).is_ok() => limits.set_intset_entries.max(limits.set_entries),
        _ => limits.set_entries,
    };
    count > most
}

/// SREM key member …
pub(crate) fn srem(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let key = args[1];
    let Some(set) = write(ctx.keyspace.db(ctx.db), key)? else {
        ctx.reply.int(0);
        return Ok(());
    };
    let removed = args[2..].iter().filter(|member| set.remove(member)).count();
    let empty = set.is_empty();
    if removed > 0 {
        ctx.changed(key, EventClass::Set, "srem");
        ctx.effects.dirty += removed as u64 - 1;
        remove_if(ctx, key, empty);
    }
    ctx.reply.count(removed);
    Ok(())
}

/// Ends a key whose set has become empty.
fn remove_if(ctx: &mut Ctx<'_>, key: &[u8], empty: bool) {
    if empty {
        ctx.keyspace.db(ctx.db).remove(key);
        ctx.event(key, EventClass::Generic, "del");
    }
}

/// SMOVE source destination member
pub(crate) fn smove(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (from, to, member) = (args[1], args[2], args[3]);
    let limits = &ctx.settings.limits;
    let db = ctx.keyspace.db(ctx.db);
    let there = match write(db, from)? {
        Some(set) => {
            let there = set.contains(member);
            write(db, to)?;
            there
        }
        None => false,
    };
    if !there || from == to {
        ctx.reply.int(i64::from(there));
        return Ok(());
    }
    let empty = write(db, from)?.is_some_and(|set| {
        set.remove(member);
        set.is_empty()
    });
    ctx.changed(from, EventClass::Set, "srem");
    remove_if(ctx, from, empty);
    if write_or_insert(ctx.keyspace.db(ctx.db), to)?.add(member, limits) {
        ctx.tell_noted();
        ctx.changed(to, EventClass::Set, "sadd");
    }
    ctx.reply.int(1);
    Ok(())
}

/// SISMEMBER key member
pub(crate) fn sismember(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let there = read(ctx, args[1])?.is_some_and(|set| set.contains(args[2]));
    ctx.reply.int(i64::from(there));
    Ok(())
}

/// SMISMEMBER key member …
pub(crate) fn smismember(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let set = match ctx.keyspace.db(ctx.db).read(args[1]) {
        None => None,
        Some(Value::Set(set)) => Some(set),
        Some(_) => return Err(Error::WrongType),
    };
    ctx.reply.array(args.len() - 2);
    for member in &args[2..] {
        let there = set.is_some_and(|set| set.contains(member));
        ctx.reply.int(i64::from(there));
    }
    Ok(())
}

/// SINTERCARD numkeys key … [LIMIT limit]
pub(crate) fn sintercard(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let mut reader = Reader::from(args, 1);
    let keys = reader.counted_keys()?;
    let mut most = usize::MAX;
    while !reader.is_empty() {
        if !reader.takes_with("LIMIT", 1) {
            return Err(Error::Syntax);
        }
        let limit = int(reader.word()?)
            .ok()
            .and_then(|limit| usize::try_from(limit).ok());
        let limit = limit.ok_or(Error::text("ERR LIMIT can't be negative"))?;
        most = if limit == 0 { usize::MAX } else { limit };
    }
    let there = look_up(ctx, keys)?;
    let mut members = 0;
    intersect(ctx.keyspace.db_ref(ctx.db), keys, &there, |_| {
        members += 1;
        if members < most {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    ctx.reply.count(members);
    Ok(())
}

/// SCARD key
pub(crate) fn scard(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let members = read(ctx, args[1])?.map_or(0, Set::len);
    ctx.reply.count(members);
    Ok(())
}

/// SPOP key [count]. Goes to replicas and files as the SREM of the members that were drawn.
pub(crate) fn spop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    match args.len() {
        2 => pop_one(ctx, args[1]),
        3 => {
            let count = int(args[2])
                .ok()
                .and_then(|count| usize::try_from(count).ok())
                .ok_or(Error::text("ERR value is out of range, must be positive"))?;
            pop_many(ctx, args[1], count)
        }
        _ => Err(Error::Syntax),
    }
}

fn pop_one(ctx: &mut Ctx<'_>, key: &[u8]) -> Done {
    let rng = &mut *ctx.rng;
    let drawn = match write(ctx.keyspace.db(ctx.db), key)? {
        None => None,
        Some(set) => {
            let member = set
                .random(&mut || rng.next_u64())
                .map(|elem| elem.bytes(&mut [0; 20]).to_vec());
            member.map(|member| {
                set.remove(&member);
                (member, set.is_empty())
            })
        }
    };
    let Some((member, empty)) = drawn else {
        ctx.reply.nil();
        return Ok(());
    };
    ctx.reply.bulk(&member);
    ctx.changed(key, EventClass::Set, "spop");
    remove_if(ctx, key, empty);
    ctx.effects.propagate_instead(&[b"SREM", key, &member]);
    Ok(())
}

fn pop_many(ctx: &mut Ctx<'_>, key: &[u8], count: usize) -> Done {
    /// Members of one SREM in the stream.
    const AT_ONCE: usize = 1024;
    /// Where as few stay as one in so many that go, they are a new set.
    const FEW: usize = 5;
    let limits = &ctx.settings.limits;
    let Some(set) = write(ctx.keyspace.db(ctx.db), key)? else {
        ctx.reply.set(0);
        return Ok(());
    };
    if count == 0 {
        ctx.reply.set(0);
        return Ok(());
    }
    if count >= set.len() {
        let members = set.len();
        ctx.reply.set(members);
        set.iter().for_each(|elem| reply_elem(ctx.reply, elem));
        ctx.keyspace.db(ctx.db).remove(key);
        ctx.changed(key, EventClass::Set, "spop");
        ctx.effects.dirty += members as u64 - 1;
        ctx.event(key, EventClass::Generic, "del");
        let removal = removal(ctx.settings.lazy_server_del);
        ctx.effects.propagate_instead(&[removal, key]);
        return Ok(());
    }
    let mut chosen = ctx.rng.sample(set.len(), count).into_iter().peekable();
    let all = set.iter().enumerate();
    let drawn: Vec<Vec<u8>> = all
        .filter(|(at, _)| chosen.next_if_eq(at).is_some())
        .map(|(_, elem)| elem.bytes(&mut [0; 20]).to_vec())
        .collect();
    for member in &drawn {
        set.remove(member);
    }
    if set.len().saturating_mul(FEW) <= drawn.len() {
        set.compact(limits);
    }
    ctx.reply.set(drawn.len());
    drawn.iter().for_each(|member| ctx.reply.bulk(member));
    ctx.changed(key, EventClass::Set, "spop");
    ctx.effects.dirty += drawn.len() as u64 - 1;
    for some in drawn.chunks(AT_ONCE) {
        let mut words: Vec<&[u8]> = vec![b"SREM", key];
        words.extend(some.iter().map(Vec::as_slice));
        ctx.effects.propagate_instead(&words);
    }
    Ok(())
}

/// SRANDMEMBER key [count]
pub(crate) fn srandmember(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    match args.len() {
        2 => random_member(ctx, args[1]),
        3 => random_members(ctx, args[1], args::count(args[2])?),
        _ => Err(Error::Syntax),
    }
}

fn random_member(ctx: &mut Ctx<'_>, key: &[u8]) -> Done {
    let rng = &mut *ctx.rng;
    let member = match ctx.keyspace.db(ctx.db).read(key) {
        None => None,
        Some(Value::Set(set)) => set.random(&mut || rng.next_u64()),
        Some(_) => return Err(Error::WrongType),
    };
    match member {
        Some(elem) => reply_elem(ctx.reply, elem),
        None => ctx.reply.nil(),
    }
    Ok(())
}

/// Members drawn at random: up to `count` different ones, or `-count` with repetitions.
fn random_members(ctx: &mut Ctx<'_>, key: &[u8], count: i64) -> Done {
    let set = match ctx.keyspace.db(ctx.db).read(key) {
        None => {
            ctx.reply.array(0);
            return Ok(());
        }
        Some(Value::Set(set)) => set,
        Some(_) => return Err(Error::WrongType),
    };
    if count < 0 {
        return repeated_members(ctx.reply, set, count.unsigned_abs(), ctx.rng);
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count >= set.len() {
        ctx.reply.array(set.len());
        set.iter().for_each(|elem| reply_elem(ctx.reply, elem));
    } else if count.saturating_mul(3) > set.len() {
        chosen_members(ctx.reply, set, count, ctx.rng);
    } else {
        drawn_members(ctx.reply, set, count, ctx.rng);
    }
    Ok(())
}

/// The elements of a reply of `count` drawn ones, some of them again and again: an error, before any is drawn, where it would be too
/// long of the shortest alone. `lengths` are those of the `elements` that there are. 3.0 writes until memory ends.
pub(crate) fn repetitions(
    count: u64,
    elements: usize,
    lengths: impl IntoIterator<Item = usize>,
) -> Result<usize, Error> {
    // The shortest is looked for where that costs less than what is to be drawn.
    let shortest = if count > elements as u64 {
        lengths.into_iter().min().unwrap_or(0)
    } else {
        0
    };
    let least = count.saturating_mul(MIN_BULK_BYTES + shortest as u64);
    usize::try_from(count)
        .ok()
        .filter(|_| least <= MAX_REPLY_BYTES as u64)
        .ok_or(OUT_OF_RANGE)
}

/// `count` members, each drawn from all.
fn repeated_members(reply: &mut Reply, set: &Set, count: u64, rng: &mut Rng) -> Done {
    let mut scratch = [0; 20];
    let lengths = set.iter().map(|elem| elem.bytes(&mut scratch).len());
    let length = repetitions(count, set.len(), lengths)?;
    let mut members = Reply::new();
    for _ in 0..length {
        if let Some(elem) = set.random(&mut || rng.next_u64()) {
            reply_elem(&mut members, elem);
        }
        if members.len() > MAX_REPLY_BYTES {
            return Err(OUT_OF_RANGE);
        }
    }
    reply.array(length);
    reply.append(members);
    Ok(())
}

/// `count` different members of a set that has more, in one walk over it: each is taken with the odds that are left.
fn chosen_members(reply: &mut Reply, set: &Set, count: usize, rng: &mut Rng) {
    reply.array(count);
    let (mut wanted, mut left) = (count as u64, set.len() as u64);
    for elem in set.iter() {
        if rng.below(left) < wanted {
            reply_elem(reply, elem);
            wanted -= 1;
        }
        left -= 1;
    }
}

/// `count` different members of a set that has many more: drawn one by one.
fn drawn_members(reply: &mut Reply, set: &Set, count: usize, rng: &mut Rng) {
    let mut drawn = BTreeSet::new();
    while drawn.len() < count {
        let Some(elem) = set.random(&mut || rng.next_u64()) else {
            break;
        };
        drawn.insert(elem.bytes(&mut [0; 20]).to_vec());
    }
    reply.array(drawn.len());
    drawn.iter().for_each(|member| reply.bulk(member));
}

/// SMEMBERS key
pub(crate) fn smembers(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    match ctx.keyspace.db(ctx.db).read(args[1]) {
        None => ctx.reply.set(0),
        Some(Value::Set(set)) => {
            ctx.reply.set(set.len());
            set.iter().for_each(|elem| reply_elem(ctx.reply, elem));
        }
        Some(_) => return Err(Error::WrongType),
    }
    Ok(())
}

/// SINTER key …
pub(crate) fn sinter(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let keys = &args[1..];
    let there = look_up(ctx, keys)?;
    let open = ctx.reply.begin_array();
    let mut members = 0;
    intersect(ctx.keyspace.db_ref(ctx.db), keys, &there, |elem| {
        reply_elem(ctx.reply, elem);
        members += 1;
        ControlFlow::Continue(())
    });
    ctx.reply.end_set(open, members);
    Ok(())
}

/// SINTERSTORE destination key …
pub(crate) fn sinterstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (to, keys) = (args[1], &args[2..]);
    let there = look_up(ctx, keys)?;
    if there.contains(&false) {
        if ctx.keyspace.db(ctx.db).remove(to) {
            ctx.changed(to, EventClass::Generic, "del");
        }
        ctx.reply.int(0);
        return Ok(());
    }
    let limits = &ctx.settings.limits;
    let mut result = Set::new();
    intersect(ctx.keyspace.db_ref(ctx.db), keys, &there, |elem| {
        result.add(elem.bytes(&mut [0; 20]), limits);
        ControlFlow::Continue(())
    });
    store(ctx, to, result, "sinterstore");
    Ok(())
}

/// Up to so many sets SUNION looks a member up in each set before its own; from there on building the result costs less.
const LOOKED_UP_SETS: usize = 4;

/// SUNION key …
pub(crate) fn sunion(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let keys = &args[1..];
    if keys.len() > LOOKED_UP_SETS {
        let result = union(ctx, keys)?;
        reply_set(ctx, &result);
        return Ok(());
    }
    let there = look_up(ctx, keys)?;
    let mut sets: Vec<&Set> = operands(ctx.keyspace.db_ref(ctx.db), keys, &there)
        .flatten()
        .collect();
    sets.sort_by_key(|set| std::cmp::Reverse(set.len()));
    let open = ctx.reply.begin_array();
    let mut members = 0;
    for (place, set) in sets.iter().enumerate() {
        let before = &sets[..place];
        let is_new = |elem: &Elem<'_>| !before.iter().any(|other| other.contains_elem(*elem));
        for elem in set.iter().filter(is_new) {
            reply_elem(ctx.reply, elem);
            members += 1;
        }
    }
    ctx.reply.end_set(open, members);
    Ok(())
}

/// SUNIONSTORE destination key …
pub(crate) fn sunionstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let result = union(ctx, &args[2..])?;
    store(ctx, args[1], result, "sunionstore");
    Ok(())
}

/// SDIFF key …
pub(crate) fn sdiff(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let keys = &args[1..];
    let there = look_up(ctx, keys)?;
    let open = ctx.reply.begin_array();
    let mut members = 0;
    let db = ctx.keyspace.db_ref(ctx.db);
    subtract(db, keys, &there, &ctx.settings.limits, |elem| {
        reply_elem(ctx.reply, elem);
        members += 1;
    });
    ctx.reply.end_set(open, members);
    Ok(())
}

/// SDIFFSTORE destination key …
pub(crate) fn sdiffstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let result = difference(ctx, &args[2..])?;
    store(ctx, args[1], result, "sdiffstore");
    Ok(())
}

/// Goes through the door of each key: which of them hold a set.
fn look_up(ctx: &mut Ctx<'_>, keys: Args<'_>) -> Result<Vec<bool>, Error> {
    let db = ctx.keyspace.db(ctx.db);
    let mut there = Vec::with_capacity(keys.len());
    for key in keys {
        let found = match db.read(key) {
            None => false,
            Some(Value::Set(_)) => true,
            Some(_) => return Err(Error::WrongType),
        };
        there.push(found);
    }
    Ok(there)
}

/// The sets that [`look_up`] found, all at once.
fn operands<'a>(
    db: &'a Db,
    keys: Args<'a>,
    there: &'a [bool],
) -> impl Iterator<Item = Option<&'a Set>> {
    keys.iter()
        .zip(there)
        .map(move |(key, there)| match db.peek(key) {
            Some(Value::Set(set)) if *there => Some(set),
            _ => None,
        })
}

/// Shows the members that all sets have, in the order of the smallest, until `found` has seen enough.
fn intersect(
    db: &Db,
    keys: Args<'_>,
    there: &[bool],
    found: impl FnMut(Elem<'_>) -> ControlFlow<()>,
) {
    let sets: Option<Vec<&Set>> = operands(db, keys, there).collect();
    let Some(mut sets) = sets else {
        return;
    };
    sets.sort_by_key(|set| set.len());
    if let Some((smallest, others)) = sets.split_first() {
        // Whether it was broken off is the caller's.
        let _ = smallest.common(others, found);
    }
}

fn union(ctx: &mut Ctx<'_>, keys: Args<'_>) -> Result<Set, Error> {
    let there = look_up(ctx, keys)?;
    let limits = &ctx.settings.limits;
    let mut result = Set::new();
    for set in operands(ctx.keyspace.db_ref(ctx.db), keys, &there).flatten() {
        for elem in set.iter() {
            result.add(elem.bytes(&mut [0; 20]), limits);
        }
    }
    Ok(result)
}

fn difference(ctx: &mut Ctx<'_>, keys: Args<'_>) -> Result<Set, Error> {
    let there = look_up(ctx, keys)?;
    let limits = &ctx.settings.limits;
    let mut result = Set::new();
    subtract(ctx.keyspace.db_ref(ctx.db), keys, &there, limits, |elem| {
        result.add(elem.bytes(&mut [0; 20]), limits);
    });
    Ok(result)
}

/// Shows the members of the first set that no other one has.
fn subtract(
    db: &Db,
    keys: Args<'_>,
    there: &[bool],
    limits: &Limits,
    mut found: impl FnMut(Elem<'_>),
) {
    let mut sets = operands(db, keys, there);
    let Some(Some(first)) = sets.next() else {
        return;
    };
    let others: Vec<&Set> = sets.flatten().collect();
    let subtracted: usize = others.iter().map(|set| set.len()).sum();
    // Looking each member up in every other set costs the first set's size times their number; taking their members out of a
    // copy costs their sizes. The first has the smaller steps.
    if first.len() * others.len() / 2 <= first.len() + subtracted {
        return first
            .iter()
            .filter(|elem| !others.iter().any(|other| other.contains_elem(*elem)))
            .for_each(found);
    }
    let mut left = Set::new();
    for elem in first.iter() {
        left.add(elem.bytes(&mut [0; 20]), limits);
    }
    for elem in others.iter().flat_map(|set| set.iter()) {
        if left.is_empty() {
            break;
        }
        left.remove(elem.bytes(&mut [0; 20]));
    }
    left.iter().for_each(&mut found);
}

fn reply_set(ctx: &mut Ctx<'_>, set: &Set) {
    ctx.reply.set(set.len());
    set.iter().for_each(|elem| reply_elem(ctx.reply, elem));
}

/// Puts a result at `to`, or removes what was there if the result is empty; replies its size.
fn store(ctx: &mut Ctx<'_>, to: &[u8], result: Set, event: &'static str) {
    let members = result.len();
    let db = ctx.keyspace.db(ctx.db);
    if members > 0 {
        db.insert(to, Owned::Set(result));
        ctx.changed(to, EventClass::Set, event);
    } else if db.remove(to) {
        ctx.changed(to, EventClass::Generic, "del");
    }
    ctx.reply.count(members);
}
