//! Commands on keys of any type: existence, names, expiry, serialized values, and what OBJECT tells.

use resp::glob;
use store::{Owned, Value};

use crate::args::{Reader, int, int_of_32_bits, is};
use crate::context::removal;
use crate::{Args, Ctx, Done, Error, EventClass};

/// DEL key …
pub(crate) fn del(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let mut removed = 0;
    ctx.each_key(args, 1, |ctx, at| {
        if ctx.keyspace.db(ctx.db).remove(args[at]) {
            ctx.changed(args[at], EventClass::Generic, "del");
            removed += 1;
        }
    });
    ctx.reply.count(removed);
    Ok(())
}

/// EXISTS key …
pub(crate) fn exists(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let there = |key: &&&[u8]| look(ctx, key, |value| value.is_some());
    let count = args[1..].iter().filter(there).count();
    ctx.reply.count(count);
    Ok(())
}

/// DBSIZE
pub(crate) fn dbsize(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Done {
    let keys = ctx.keyspace.db(ctx.db).len();
    ctx.reply.count(keys);
    Ok(())
}

/// UNLINK key … Values are freed by another thread in any case, so it is DEL under another name.
pub(crate) fn unlink(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    del(ctx, args)
}

/// TOUCH key …
pub(crate) fn touch(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    // Also for a client whose other reads are no use of a key.
    let looking = ctx.keyspace.clock().is_looking();
    ctx.keyspace.clock().set_looking(false);
    let db = ctx.keyspace.db(ctx.db);
    let count = args[1..]
        .iter()
        .filter(|key| db.read(key).is_some())
        .count();
    ctx.keyspace.clock().set_looking(looking);
    ctx.reply.count(count);
    Ok(())
}

/// Shows what is at a key to who only wants to know what there is: that is no use of it.
fn look<R>(ctx: &mut Ctx<'_>, key: &[u8], see: impl FnOnce(Option<Value<'_>>) -> R) -> R {
    let looking = ctx.keyspace.clock().is_looking();
    ctx.keyspace.clock().set_looking(true);
    let seen = see(ctx.keyspace.db(ctx.db).read(key));
    ctx.keyspace.clock().set_looking(looking);
    seen
}

/// ASYNC or SYNC, or nothing. Both do the same: values are freed by another thread.
fn check_flush_mode(args: Args<'_>) -> Done {
    match args[1..] {
        [] => Ok(()),
        [mode] if is(mode, "ASYNC") || is(mode, "SYNC") => Ok(()),
        _ => Err(Error::Syntax),
    }
}

/// FLUSHDB [ASYNC|SYNC]
pub(crate) fn flushdb(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    check_flush_mode(args)?;
    let db = ctx.keyspace.db(ctx.db);
    ctx.effects.dirty += db.len() as u64;
    db.clear();
    ctx.effects.propagation = crate::Propagation::Forced;
    ctx.reply.ok();
    Ok(())
}

/// FLUSHALL [ASYNC|SYNC]
pub(crate) fn flushall(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    check_flush_mode(args)?;
    for index in 0..ctx.keyspace.databases() {
        let db = ctx.keyspace.db(index);
        ctx.effects.dirty += db.len() as u64;
        db.clear();
    }
    ctx.effects.propagation = crate::Propagation::Forced;
    ctx.reply.ok();
    Ok(())
}

/// The database of this number.
fn database(ctx: &Ctx<'_>, number: i32) -> Result<usize, Error> {
    usize::try_from(number)
        .ok()
        .filter(|index| *index < ctx.keyspace.databases())
        .ok_or(Error::text("ERR DB index is out of range"))
}

/// SWAPDB index1 index2
pub(crate) fn swapdb(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    if ctx.settings.cluster {
        return Err(Error::text("ERR SWAPDB is not allowed in cluster mode"));
    }
    let number = |word, text| int_of_32_bits(word).map_err(|_| Error::text(text));
    let first = number(args[1], "ERR invalid first DB index")?;
    let second = number(args[2], "ERR invalid second DB index")?;
    let (first, second) = (database(ctx, first)?, database(ctx, second)?);
    if first != second {
        let (a, b) = ctx.keyspace.db_pair(first, second);
        std::mem::swap(a, b);
        ctx.effects.swapped = Some((first, second));
    }
    ctx.effects.dirty += 1;
    ctx.effects.propagation = crate::Propagation::Forced;
    ctx.reply.ok();
    Ok(())
}

/// COPY source destination [DB database] [REPLACE]
pub(crate) fn copy(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (from, to) = (args[1], args[2]);
    let mut reader = Reader::from(args, 3);
    let (mut target, mut replace) = (ctx.db, false);
    while !reader.is_empty() {
        if reader.takes("REPLACE") {
            replace = true;
        } else if reader.takes_with("DB", 1) {
            target = database(ctx, int_of_32_bits(reader.word()?)?)?;
        } else {
            return Err(Error::Syntax);
        }
    }
    if from == to && target == ctx.db {
        return Err(Error::SameObject);
    }
    if ctx.keyspace.db(ctx.db).read(from).is_none()
        || ctx.keyspace.db(target).exists(to) && !replace
    {
        ctx.reply.int(0);
        return Ok(());
    }
    let source = ctx.keyspace.db(ctx.db);
    let expire_ms = source.expire_ms(from);
    let Some(value) = source.duplicate(from) else {
        return Ok(());
    };
    let awaited = is_awaited(&value);
    let db = ctx.keyspace.db(target);
    db.remove(to);
    db.insert(to, value);
    if expire_ms.is_some() {
        db.set_expire_ms(to, expire_ms);
    }
    if awaited {
        ctx.effects.key_ready(target, to);
    }
    ctx.effects
        .changed(target, to, EventClass::Generic, "copy_to");
    ctx.reply.int(1);
    Ok(())
}

/// Whether clients may be waiting for a value of this type.
fn is_awaited(value: &Owned) -> bool {
    matches!(value, Owned::List(_) | Owned::Zset(_) | Owned::Stream(_))
}

/// KEYS pattern
pub(crate) fn keys(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let pattern = args[1];
    let now_ms = ctx.unix_ms();
    let expiring = ctx.keyspace.clock().expiry() != store::ExpiryMode::Ignore;
    let mut expired: Vec<Box<[u8]>> = Vec::new();
    let open = ctx.reply.begin_array();
    let mut count = 0;
    let db = ctx.keyspace.db_ref(ctx.db);
    db.for_each(|key, _, expire_ms| {
        if pattern != b"*" && !glob::matches(pattern, key) || !db.shows(key) {
            return;
        }
        if expiring && expire_ms.is_some_and(|at| at < now_ms) {
            expired.push(key.into());
        } else {
            ctx.reply.bulk(key);
            count += 1;
        }
    });
    ctx.reply.end_array(open, count);
    // The door deletes them, where this server may.
    for key in expired {
        ctx.keyspace.db(ctx.db).exists(&key);
    }
    Ok(())
}

/// RANDOMKEY
pub(crate) fn randomkey(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Done {
    let rng = &mut *ctx.rng;
    match ctx.keyspace.db(ctx.db).random_key(&mut || rng.next_u64()) {
        Some(key) => ctx.reply.bulk(&key),
        None => ctx.reply.nil(),
    }
    Ok(())
}

/// TYPE key
pub(crate) fn type_of(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let name = look(ctx, args[1], |value| {
        value.map_or("none", |value| value.kind().name())
    });
    ctx.reply.status(name);
    Ok(())
}

/// RENAME key new
pub(crate) fn rename(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    rename_if(ctx, args, true)?;
    ctx.reply.ok();
    Ok(())
}

/// RENAMENX key new
pub(crate) fn renamenx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let done = rename_if(ctx, args, false)?;
    ctx.reply.int(i64::from(done));
    Ok(())
}

fn rename_if(ctx: &mut Ctx<'_>, args: Args<'_>, overwrite: bool) -> Result<bool, Error> {
    let (from, to) = (args[1], args[2]);
    let db = ctx.keyspace.db(ctx.db);
    if !db.exists(from) {
        return Err(Error::NoSuchKey);
    }
    if from == to {
        return Ok(overwrite);
    }
    if !overwrite && db.exists(to) {
        return Ok(false);
    }
    let (value, expire_ms) = db.take(from).ok_or(Error::NoSuchKey)?;
    let awaited = is_awaited(&value);
    // What was there is gone first: the key is a new one.
    db.remove(to);
    db.insert(to, value);
    if expire_ms.is_some() {
        db.set_expire_ms(to, expire_ms);
    }
    if awaited {
        ctx.effects.key_ready(ctx.db, to);
    }
    ctx.effects.touch(ctx.db, from);
    ctx.event(from, EventClass::Generic, "rename_from");
    ctx.changed(to, EventClass::Generic, "rename_to");
    Ok(true)
}

/// MOVE key db
pub(crate) fn move_key(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let key = args[1];
    let target = database(ctx, int_of_32_bits(args[2])?)?;
    if target == ctx.db {
        return Err(Error::SameObject);
    }
    let (from, to) = ctx.keyspace.db_pair(ctx.db, target);
    if !from.exists(key) || to.exists(key) {
        ctx.reply.int(0);
        return Ok(());
    }
    if let Some((value, expire_ms)) = from.take(key) {
        let awaited = is_awaited(&value);
        to.insert(key, value);
        if expire_ms.is_some() {
            to.set_expire_ms(key, expire_ms);
        }
        if awaited {
            ctx.effects.key_ready(target, key);
        }
        ctx.changed(key, EventClass::Generic, "move_from");
        ctx.effects.touch(target, key);
        ctx.effects
            .event(target, key, EventClass::Generic, "move_to");
    }
    ctx.reply.int(1);
    Ok(())
}

/// EXPIRE key seconds [NX|XX|GT|LT]
pub(crate) fn expire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    expire_key(ctx, args, 1000, true, "expire")
}

/// PEXPIRE key milliseconds [NX|XX|GT|LT]
pub(crate) fn pexpire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    expire_key(ctx, args, 1, true, "pexpire")
}

/// EXPIREAT key unix-seconds [NX|XX|GT|LT]
pub(crate) fn expireat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    expire_key(ctx, args, 1000, false, "expireat")
}

/// PEXPIREAT key unix-milliseconds [NX|XX|GT|LT]
pub(crate) fn pexpireat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    expire_key(ctx, args, 1, false, "pexpireat")
}

/// NX, XX, GT and LT: when an expiry, of a key or of a field, is to be set.
#[derive(Clone, Copy, Default)]
pub(crate) struct When {
    absent: bool,
    present: bool,
    later: bool,
    earlier: bool,
}

impl When {
    pub(crate) fn read(words: Args<'_>) -> Result<Self, Error> {
        let mut when = Self::default();
        for word in words {
            match word.to_ascii_lowercase().as_slice() {
                b"nx" => when.absent = true,
                b"xx" => when.present = true,
                b"gt" => when.later = true,
                b"lt" => when.earlier = true,
                _ => return Err(Error::quoting("ERR Unsupported option ", word, "")),
            }
        }
        if when.absent && (when.present || when.later || when.earlier) {
            return Err(Error::text(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if when.later && when.earlier {
            return Err(Error::text(
                "ERR GT and LT options at the same time are not compatible",
            ));
        }
        Ok(when)
    }

    /// No expiry is the latest of all.
    pub(crate) fn allows(self, old_ms: Option<u64>, new_ms: i64) -> bool {
        let old = old_ms.map(|old| i64::try_from(old).unwrap_or(i64::MAX));
        !(self.absent && old.is_some()
            || self.present && old.is_none()
            || self.later && old.is_none_or(|old| new_ms <= old)
            || self.earlier && old.is_some_and(|old| new_ms >= old))
    }
}

/// Sets the expiry. A time that is over already expires the key on a primary; a replica and a loading server keep the key until they are told. Goes to files and replicas as an absolute time.
fn expire_key(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    unit_ms: i64,
    relative: bool,
    command: &str,
) -> Done {
    let key = args[1];
    let when = When::read(&args[3..])?;
    let now_ms = i64::try_from(ctx.unix_ms()).unwrap_or(i64::MAX);
    let base = if relative { now_ms } else { 0 };
    let at_ms = int(args[2])?
        .checked_mul(unit_ms)
        .and_then(|ms| ms.checked_add(base))
        .ok_or_else(|| Error::owned(format!("ERR invalid expire time in '{command}' command")))?;
    let db = ctx.keyspace.db(ctx.db);
    if db.write(key).is_none() || !when.allows(db.expire_ms(key), at_ms) {
        ctx.reply.int(0);
        return Ok(());
    }
    let at_ms = u64::try_from(at_ms).unwrap_or(0);
    if ctx.is_over(at_ms) {
        ctx.expire_now(key);
    } else {
        ctx.keyspace.db(ctx.db).set_expire_ms(key, Some(at_ms));
        ctx.changed(key, EventClass::Generic, "expire");
        let mut digits = itoa::Buffer::new();
        ctx.effects
            .propagate_instead(&[b"PEXPIREAT", key, digits.format(at_ms).as_bytes()]);
    }
    ctx.reply.int(1);
    Ok(())
}

/// EXPIRETIME key
pub(crate) fn expiretime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let answer = expiry(ctx, args[1]).map_or_else(|none| none, nearest_second);
    ctx.reply.int(answer);
    Ok(())
}

/// PEXPIRETIME key
pub(crate) fn pexpiretime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let answer = expiry(ctx, args[1]).unwrap_or_else(|none| none);
    ctx.reply.int(answer);
    Ok(())
}

/// TTL key
pub(crate) fn ttl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let answer = time_left(ctx, args[1]).map_or_else(|none| none, nearest_second);
    ctx.reply.int(answer);
    Ok(())
}

/// Milliseconds, at least 0, as seconds.
fn nearest_second(ms: i64) -> i64 {
    ms / 1000 + i64::from(ms % 1000 >= 500)
}

/// PTTL key
pub(crate) fn pttl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let answer = time_left(ctx, args[1]).unwrap_or_else(|none| none);
    ctx.reply.int(answer);
    Ok(())
}

/// Milliseconds left, or the answer of TTL without any: -2 without a key, -1 without expiry.
fn time_left(ctx: &mut Ctx<'_>, key: &[u8]) -> Result<i64, i64> {
    let now_ms = i64::try_from(ctx.unix_ms()).unwrap_or(i64::MAX);
    let at_ms = expiry(ctx, key)?;
    Ok(at_ms.saturating_sub(now_ms).max(0))
}

/// When a key expires, Unix milliseconds; -2 without a key, -1 without expiry.
fn expiry(ctx: &mut Ctx<'_>, key: &[u8]) -> Result<i64, i64> {
    if !look(ctx, key, |value| value.is_some()) {
        return Err(-2);
    }
    let db = ctx.keyspace.db(ctx.db);
    let at_ms = db.expire_ms(key).ok_or(-1_i64)?;
    Ok(i64::try_from(at_ms).unwrap_or(i64::MAX))
}

/// PERSIST key
pub(crate) fn persist(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let key = args[1];
    let db = ctx.keyspace.db(ctx.db);
    let had = db.exists(key) && db.expire_ms(key).is_some() && db.set_expire_ms(key, None);
    if had {
        ctx.changed(key, EventClass::Generic, "persist");
    }
    ctx.reply.int(i64::from(had));
    Ok(())
}

/// Whether the key of an OBJECT subcommand is there; where not, that is the reply.
fn object_exists(ctx: &mut Ctx<'_>, key: &[u8]) -> bool {
    let there = ctx.keyspace.db(ctx.db).lookup(key);
    if !there {
        ctx.reply.nil();
    }
    there
}

/// OBJECT REFCOUNT key: no value is shared.
pub(crate) fn object_refcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    if object_exists(ctx, args[2]) {
        ctx.reply.int(1);
    }
    Ok(())
}

/// OBJECT ENCODING key
pub(crate) fn object_encoding(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    if object_exists(ctx, args[2]) {
        match ctx.keyspace.db(ctx.db).encoding(args[2]) {
            Some(encoding) => ctx.reply.bulk(encoding.name()),
            None => ctx.reply.nil(),
        }
    }
    Ok(())
}

/// OBJECT IDLETIME key
pub(crate) fn object_idletime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    if object_exists(ctx, args[2]) {
        let seconds = ctx.keyspace.db(ctx.db).idle_seconds(args[2]);
        let seconds = seconds.ok_or(Error::text(concat!(
            "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies ",
            "at runtime LRU and LFU data will take some time to adjust."
        )))?;
        ctx.reply.count(usize::try_from(seconds).unwrap_or(0));
    }
    Ok(())
}

/// OBJECT FREQ key
pub(crate) fn object_freq(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    if object_exists(ctx, args[2]) {
        let often = ctx.keyspace.db(ctx.db).frequency(args[2]);
        let often = often.ok_or(Error::text(concat!(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between ",
            "policies at runtime LRU and LFU data will take some time to adjust."
        )))?;
        ctx.reply.int(often.into());
    }
    Ok(())
}

/// DUMP key
pub(crate) fn dump(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let db = ctx.keyspace.db(ctx.db);
    if db.read(args[1]).is_none() {
        ctx.reply.nil();
        return Ok(());
    }
    let payload = db
        .peek(args[1])
        .map(|value| rdb::dump(ctx.dumper, value, ctx.settings.compress));
    match payload {
        Some(Ok(payload)) => ctx.reply.bulk_bytes(payload.into()),
        _ => return Err(Error::text("ERR the value cannot be serialized")),
    }
    Ok(())
}

/// What is answered for a payload that cannot be restored. What is wrong with its value is logged.
fn refusal(payload: &[u8], error: rdb::Error) -> Error {
    match error {
        rdb::Error::Payload => Error::text("ERR DUMP payload version or checksum are wrong"),
        rdb::Error::Type {
            code: 22, version, ..
        } if !version.is_valkey() => Error::text("ERR Unsupported foreign data type: 22"),
        error => {
            let form = match payload.first() {
                Some(9) => "Zipmap",
                Some(10) => "Ziplist",
                Some(11) => "Intset",
                Some(12) => "Zset ziplist",
                Some(13) => "Hash ziplist",
                Some(14 | 18) => "Quicklist",
                Some(15 | 19 | 21) => "Stream listpack",
                Some(16) => "Hash listpack",
                Some(17) => "Zset listpack",
                Some(20) => "Set listpack",
                _ => "Value",
            };
            tracing::warn!("RESTORE: {form} integrity check failed. {error}");
            Error::text("ERR Bad data format")
        }
    }
}

/// RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]
pub(crate) fn restore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let key = args[1];
    let mut reader = Reader::from(args, 4);
    let (mut replace, mut absolute) = (false, false);
    let (mut idle, mut often) = (None, None);
    while !reader.is_empty() {
        if reader.takes("REPLACE") {
            replace = true;
        } else if reader.takes("ABSTTL") {
            absolute = true;
        } else if often.is_none() && reader.takes_with("IDLETIME", 1) {
            let text = "ERR Invalid IDLETIME value, must be >= 0";
            idle = u64::try_from(reader.int_in(0..=i64::MAX, text)?).ok();
        } else if idle.is_none() && reader.takes_with("FREQ", 1) {
            let text = "ERR Invalid FREQ value, must be >= 0 and <= 255";
            often = u8::try_from(reader.int_in(0..=255, text)?).ok();
        } else {
            return Err(Error::Syntax);
        }
    }
    let now_ms = ctx.unix_ms();
    let owner = ctx.keyspace.clock().expiry() == store::ExpiryMode::Delete;
    let db = ctx.keyspace.db(ctx.db);
    if !replace && db.exists(key) {
        return Err(Error::text("BUSYKEY Target key name already exists."));
    }
    let ttl_ms = u64::try_from(int(args[2])?)
        .map_err(|_| Error::text("ERR Invalid TTL value, must be >= 0"))?;
    let trust = ctx.settings.trust;
    let value = rdb::restore(args[3], &ctx.settings.limits, trust)
        .map_err(|error| refusal(args[3], error))?;
    let at_ms = match ttl_ms {
        0 => None,
        ttl if absolute => Some(ttl),
        ttl => Some(now_ms.saturating_add(ttl)),
    };
    if at_ms.is_some_and(|at| at <= now_ms) && owner {
        if db.remove(key) {
            ctx.changed(key, EventClass::Generic, "del");
            let removal = removal(ctx.settings.lazy_server_del);
            ctx.effects.propagate_instead(&[removal, key]);
        }
        ctx.reply.ok();
        return Ok(());
    }
    let awaited = is_awaited(&value);
    db.remove(key);
    db.insert(key, value);
    if at_ms.is_some() {
        db.set_expire_ms(key, at_ms);
    }
    db.set_usage(key, idle, often);
    ctx.changed(key, EventClass::Generic, "restore");
    if awaited {
        ctx.effects.key_ready(ctx.db, key);
    }
    if let Some(at_ms) = at_ms.filter(|_| !absolute) {
        let mut digits = itoa::Buffer::new();
        let at = digits.format(at_ms).as_bytes();
        let mut words = args.to_vec();
        words[2] = at;
        words.push(b"ABSTTL");
        ctx.effects.propagate_instead(&words);
    }
    ctx.reply.ok();
    Ok(())
}
