//! Commands on keys of any type: existence, names, expiry, serialized values, and what OBJECT tells.

use resp::glob;
use store::{Owned, Value};

use crate::args::{int, is};
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
    let db = ctx.keyspace.db(ctx.db);
    let count = args[1..].iter().filter(|key| db.exists(key)).count();
    ctx.reply.count(count);
    Ok(())
}

/// DBSIZE
pub(crate) fn dbsize(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Done {
    let keys = ctx.keyspace.db(ctx.db).len();
    ctx.reply.count(keys);
    Ok(())
}

/// FLUSHDB
pub(crate) fn flushdb(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Done {
    let db = ctx.keyspace.db(ctx.db);
    ctx.effects.dirty += db.len() as u64;
    db.clear();
    ctx.reply.ok();
    Ok(())
}

/// FLUSHALL
pub(crate) fn flushall(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Done {
    for index in 0..ctx.keyspace.databases() {
        let db = ctx.keyspace.db(index);
        ctx.effects.dirty += db.len() as u64;
        db.clear();
    }
    ctx.effects.dirty += 1;
    ctx.effects.propagation = crate::Propagation::Forced;
    ctx.reply.ok();
    Ok(())
}

/// KEYS pattern
pub(crate) fn keys(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let pattern = args[1];
    let now_ms = ctx.unix_ms();
    let expiring = ctx.keyspace.clock().expiry() != store::ExpiryMode::Ignore;
    let mut expired: Vec<Box<[u8]>> = Vec::new();
    let open = ctx.reply.begin_array();
    let mut count = 0;
    ctx.keyspace.db_ref(ctx.db).for_each(|key, _, expire_ms| {
        if pattern != b"*" && !glob::matches(pattern, key) {
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
    let name = ctx
        .keyspace
        .db(ctx.db)
        .read(args[1])
        .map_or("none", |value| value.kind().name());
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
    if from == to {
        return Err(Error::SameObject);
    }
    let db = ctx.keyspace.db(ctx.db);
    if !db.exists(from) {
        return Err(Error::NoSuchKey);
    }
    if !overwrite && db.exists(to) {
        return Ok(false);
    }
    let (value, expire_ms) = db.take(from).ok_or(Error::NoSuchKey)?;
    let list = matches!(value, Owned::List(_));
    db.insert(to, value);
    if expire_ms.is_some() {
        db.set_expire_ms(to, expire_ms);
    }
    if list {
        ctx.effects.key_ready(ctx.db, to);
    }
    ctx.effects.touch(ctx.db, from);
    ctx.event(from, EventClass::Generic, "rename_from");
    ctx.changed(to, EventClass::Generic, "rename_to");
    Ok(true)
}

/// MOVE key db
pub(crate) fn move_key(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    if ctx.settings.cluster {
        return Err(Error::text("ERR MOVE is not allowed in cluster mode"));
    }
    let key = args[1];
    let target = int(args[2])
        .ok()
        .and_then(|index| usize::try_from(index).ok());
    let Some(target) = target.filter(|index| *index < ctx.keyspace.databases()) else {
        return Err(Error::IndexOutOfRange);
    };
    if target == ctx.db {
        return Err(Error::SameObject);
    }
    let (from, to) = ctx.keyspace.db_pair(ctx.db, target);
    if !from.exists(key) || to.exists(key) {
        ctx.reply.int(0);
        return Ok(());
    }
    if let Some((value, expire_ms)) = from.take(key) {
        let list = matches!(value, Owned::List(_));
        to.insert(key, value);
        if expire_ms.is_some() {
            to.set_expire_ms(key, expire_ms);
        }
        if list {
            ctx.effects.key_ready(target, key);
        }
        ctx.effects.dirty += 1;
        ctx.effects.touch(ctx.db, key);
        ctx.effects.touch(target, key);
    }
    ctx.reply.int(1);
    Ok(())
}

/// EXPIRE key seconds
pub(crate) fn expire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    expire_key(ctx, args, 1000, true)
}

/// PEXPIRE key milliseconds
pub(crate) fn pexpire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    expire_key(ctx, args, 1, true)
}

/// EXPIREAT key unix-seconds
pub(crate) fn expireat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    expire_key(ctx, args, 1000, false)
}

/// PEXPIREAT key unix-milliseconds
pub(crate) fn pexpireat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    expire_key(ctx, args, 1, false)
}

/// Sets the expiry. A time that is over already deletes the key on a master, and goes out as a DEL; a replica and a loading
/// server keep the key until they are told.
fn expire_key(ctx: &mut Ctx<'_>, args: Args<'_>, unit_ms: i64, relative: bool) -> Done {
    let key = args[1];
    let now_ms = i64::try_from(ctx.unix_ms()).unwrap_or(i64::MAX);
    let base = if relative { now_ms } else { 0 };
    // Redis wraps around at the ends of 64 bits, and then deletes the key or keeps it for ever; here the ends are ends.
    let at_ms = int(args[2])?.saturating_mul(unit_ms).saturating_add(base);
    let db = ctx.keyspace.db(ctx.db);
    if db.read(key).is_none() {
        ctx.reply.int(0);
        return Ok(());
    }
    let owner = ctx.keyspace.clock().expiry() == store::ExpiryMode::Delete;
    let db = ctx.keyspace.db(ctx.db);
    if at_ms <= now_ms && owner {
        db.remove(key);
        ctx.changed(key, EventClass::Generic, "del");
        ctx.effects.propagate_instead(&[b"DEL", key]);
    } else {
        db.set_expire_ms(key, Some(u64::try_from(at_ms).unwrap_or(0)));
        ctx.changed(key, EventClass::Generic, "expire");
    }
    ctx.reply.int(1);
    Ok(())
}

/// TTL key
pub(crate) fn ttl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let answer = time_left(ctx, args[1]).map_or_else(|none| none, |ms| (ms + 500) / 1000);
    ctx.reply.int(answer);
    Ok(())
}

/// PTTL key
pub(crate) fn pttl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let answer = time_left(ctx, args[1]).unwrap_or_else(|none| none);
    ctx.reply.int(answer);
    Ok(())
}

/// Milliseconds left, or the answer of TTL where there are none to tell: -2 without a key, -1 without expiry.
fn time_left(ctx: &mut Ctx<'_>, key: &[u8]) -> Result<i64, i64> {
    let now_ms = ctx.unix_ms();
    let db = ctx.keyspace.db(ctx.db);
    if db.read(key).is_none() {
        return Err(-2);
    }
    let at_ms = db.expire_ms(key).ok_or(-1_i64)?;
    Ok(i64::try_from(at_ms.saturating_sub(now_ms)).unwrap_or(i64::MAX - 500))
}

/// PERSIST key
pub(crate) fn persist(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let key = args[1];
    let db = ctx.keyspace.db(ctx.db);
    let had = db.exists(key) && db.expire_ms(key).is_some() && db.set_expire_ms(key, None);
    if had {
        ctx.effects.dirty += 1;
        ctx.effects.touch(ctx.db, key);
    }
    ctx.reply.int(i64::from(had));
    Ok(())
}

/// OBJECT REFCOUNT | ENCODING | IDLETIME key
pub(crate) fn object(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let known = ["REFCOUNT", "ENCODING", "IDLETIME"];
    let Some(word) = known
        .into_iter()
        .find(|word| is(args[1], word) && args.len() == 3)
    else {
        return Err(Error::text(
            "ERR Syntax error. Try OBJECT (refcount|encoding|idletime)",
        ));
    };
    let key = args[2];
    let db = ctx.keyspace.db(ctx.db);
    if !db.exists(key) {
        ctx.reply.nil();
        return Ok(());
    }
    match word {
        "REFCOUNT" => ctx
            .reply
            .int(references(db.peek(key), ctx.settings.shared_integers)),
        "ENCODING" => match db.encoding(key) {
            Some(encoding) => ctx.reply.bulk(encoding.name()),
            None => ctx.reply.nil(),
        },
        _ => ctx
            .reply
            .count(usize::try_from(db.idle_seconds(key).unwrap_or(0)).unwrap_or(0)),
    }
    Ok(())
}

/// Values are never shared here. Redis shares the integers below 10,000, and programs ask whether one is: they are told so.
fn references(value: Option<Value<'_>>, shared_integers: bool) -> i64 {
    match value {
        Some(Value::Str(store::Str::Int(0..10_000))) if shared_integers => 2,
        _ => 1,
    }
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

/// RESTORE key ttl payload [REPLACE]
pub(crate) fn restore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let key = args[1];
    let mut replace = false;
    for word in &args[4..] {
        if !is(word, "REPLACE") {
            return Err(Error::Syntax);
        }
        replace = true;
    }
    let now_ms = ctx.unix_ms();
    let db = ctx.keyspace.db(ctx.db);
    if !replace && db.exists(key) {
        return Err(Error::text("BUSYKEY Target key name already exists."));
    }
    let ttl_ms = u64::try_from(int(args[2])?)
        .map_err(|_| Error::text("ERR Invalid TTL value, must be >= 0"))?;
    let value =
        rdb::restore(args[3], &ctx.settings.limits, false).map_err(|error| match error {
            rdb::Error::Payload => Error::text("ERR DUMP payload version or checksum are wrong"),
            _ => Error::text("ERR Bad data format"),
        })?;
    let list = matches!(value, Owned::List(_));
    db.insert(key, value);
    if ttl_ms > 0 {
        db.set_expire_ms(key, Some(now_ms.saturating_add(ttl_ms)));
    }
    ctx.effects.dirty += 1;
    ctx.effects.touch(ctx.db, key);
    if list {
        ctx.effects.key_ready(ctx.db, key);
    }
    ctx.reply.ok();
    Ok(())
}
