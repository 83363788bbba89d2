//! Strings: reading, writing, counting. Bits are in `bits`.

use std::ops::Range;

use resp::longdouble::LongDouble;
use store::{Owned, Str, StrNew, Value, ValueMut};

use crate::args::{self, Reader, int};
use crate::condition::Condition;
use crate::{Args, Ctx, Done, Error, EventClass};

/// Whether a string may have this length, where the longest one has `most` bytes.
pub(crate) fn check_length(bytes: Option<usize>, most: usize) -> Result<usize, Error> {
    bytes.filter(|bytes| *bytes <= most).ok_or(Error::text(
        "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
    ))
}

/// The string at `key`, for reading.
pub(crate) fn read_str<'a>(ctx: &'a mut Ctx<'_>, key: &[u8]) -> Result<Option<Str<'a>>, Error> {
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

/// SET key value [NX|XX|IFEQ value|IFNE value|IFDEQ digest|IFDNE digest] [GET] [EX seconds|PX milliseconds|EXAT seconds|PXAT milliseconds|KEEPTTL]
pub(crate) fn set(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    if args.len() == 3 {
        let value = ctx.take_str(args, 2);
        ctx.keyspace.db(ctx.db).set_str(args[1], value);
        ctx.changed(args[1], EventClass::String, "set");
        ctx.reply.ok();
        return Ok(());
    }
    let mut reader = Reader::from(args, 3);
    let (mut condition, mut expiry, mut get) = (None, None, false);
    while !reader.is_empty() {
        if matches!(condition, None | Some(Condition::Absent)) && reader.takes("NX") {
            condition = Some(Condition::Absent);
        } else if matches!(condition, None | Some(Condition::Present)) && reader.takes("XX") {
            condition = Some(Condition::Present);
        } else if condition.is_none()
            && let Some(found) = Condition::read(&mut reader)
        {
            condition = Some(found?);
        } else if reader.takes("GET") {
            get = true;
        } else {
            expiry = Some(Expiry::read(
                &mut reader,
                ("KEEPTTL", Expiry::Keep),
                expiry,
            )?);
        }
    }
    let expiry = expiry.unwrap_or(Expiry::None).resolve(ctx, "set")?;
    let condition = condition.unwrap_or(Condition::Always);
    if get {
        self::get(ctx, &args[..2])?;
    }
    let done = set_if(ctx, args, 2, condition, expiry)?;
    if done && condition.compares() && !matches!(expiry, Expiry::AtMs(_)) {
        let kept: &[&[u8]] = if expiry == Expiry::Keep {
            &[b"KEEPTTL"]
        } else {
            &[]
        };
        ctx.effects.propagate_instead(&[&args[..3], kept].concat());
    } else if get && done && !matches!(expiry, Expiry::AtMs(_)) {
        let words = args.iter().enumerate();
        let words = words.filter(|(at, word)| *at < 3 || !args::is(word, "GET"));
        let words: Vec<&[u8]> = words.map(|(_, word)| *word).collect();
        ctx.effects.propagate_instead(&words);
    }
    match (get, done) {
        (true, _) => {}
        (false, true) => ctx.reply.ok(),
        (false, false) => ctx.reply.nil(),
    }
    Ok(())
}

/// What becomes of a key's time to live.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expiry<'a> {
    /// There is none.
    None,
    /// It stays.
    Keep,
    /// It is this long, in units of so many milliseconds.
    For(&'a [u8], i64),
    /// It ends at this time, in units of so many milliseconds since the Unix epoch.
    At(&'a [u8], i64),
    /// It ends at this Unix time, milliseconds.
    AtMs(u64),
}

impl<'a> Expiry<'a> {
    /// Takes EX, PX, EXAT or PXAT and its number, or the word `other` for the expiry beside it. `before` is what was asked for so far:
    /// the same form may come again, and its last number counts.
    pub(crate) fn read(
        reader: &mut Reader<'a>,
        other: (&str, Self),
        before: Option<Self>,
    ) -> Result<Self, Error> {
        type Make<'a> = fn(&'a [u8], i64) -> Expiry<'a>;
        let forms: [(&str, Make<'a>, i64); 4] = [
            ("EX", Expiry::For, 1000),
            ("PX", Expiry::For, 1),
            ("EXAT", Expiry::At, 1000),
            ("PXAT", Expiry::At, 1),
        ];
        let form = forms
            .into_iter()
            .find(|(word, ..)| reader.takes_with(word, 1));
        let found = match form {
            Some((_, make, unit_ms)) => make(reader.word()?, unit_ms),
            None if reader.takes(other.0) => other.1,
            None => return Err(Error::Syntax),
        };
        if before.is_some_and(|before| before.form() != found.form()) {
            return Err(Error::Syntax);
        }
        Ok(found)
    }

    /// The same without its number.
    fn form(self) -> Self {
        match self {
            Self::For(_, unit_ms) => Self::For(b"", unit_ms),
            Self::At(_, unit_ms) => Self::At(b"", unit_ms),
            other => other,
        }
    }

    /// The same with its number read. `command` is named in the error.
    pub(crate) fn resolve(self, ctx: &Ctx<'_>, command: &str) -> Result<Self, Error> {
        let (number, unit_ms, from_ms) = match self {
            Self::For(number, unit_ms) => (number, unit_ms, ctx.unix_ms()),
            Self::At(number, unit_ms) => (number, unit_ms, 0),
            other => return Ok(other),
        };
        let invalid = || Error::owned(format!("ERR invalid expire time in '{command}' command"));
        let number = int(number)?;
        if number <= 0 {
            return Err(invalid());
        }
        let from_ms = i64::try_from(from_ms).unwrap_or(i64::MAX);
        let at = number
            .checked_mul(unit_ms)
            .and_then(|ms| ms.checked_add(from_ms));
        let at = at
            .and_then(|at| u64::try_from(at).ok())
            .ok_or_else(invalid)?;
        Ok(Self::AtMs(at))
    }
}

/// Writes argument `at_word` to the key if the condition holds; whether it did.
fn set_if(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    at_word: usize,
    condition: Condition<'_>,
    expiry: Expiry<'_>,
) -> Result<bool, Error> {
    let key = args[1];
    let value = ctx.take_str(args, at_word);
    if !condition.holds(ctx.keyspace.db(ctx.db), key)? {
        return Ok(false);
    }
    if let Expiry::AtMs(at_ms) = expiry
        && ctx.is_over(at_ms)
    {
        if ctx.keyspace.db(ctx.db).exists(key) {
            ctx.expire_now(key);
        }
        return Ok(true);
    }
    put(ctx, key, value, expiry);
    let as_it_came = args.len() == 5 && args::is(args[3], "PXAT");
    if let Expiry::AtMs(at_ms) = expiry
        && !as_it_came
    {
        let mut digits = itoa::Buffer::new();
        let at = digits.format(at_ms).as_bytes();
        ctx.effects
            .propagate_instead(&[b"SET", key, args[at_word], b"PXAT", at]);
    }
    Ok(true)
}

/// Writes a string.
fn put(ctx: &mut Ctx<'_>, key: &[u8], value: StrNew<'_>, expiry: Expiry<'_>) {
    let db = ctx.keyspace.db(ctx.db);
    // What has expired has no time left that could stay.
    let kept = (expiry == Expiry::Keep && db.exists(key))
        .then(|| db.expire_ms(key))
        .flatten();
    db.set_str(key, value);
    let at_ms = match expiry {
        Expiry::AtMs(at) => Some(at),
        _ => kept,
    };
    if at_ms.is_some() {
        db.set_expire_ms(key, at_ms);
    }
    ctx.tell_noted();
    ctx.changed(key, EventClass::String, "set");
    if matches!(expiry, Expiry::AtMs(_)) {
        ctx.event(key, EventClass::Generic, "expire");
    }
}

/// SETNX key value
pub(crate) fn setnx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let done = set_if(ctx, args, 2, Condition::Absent, Expiry::None)?;
    ctx.reply.int(i64::from(done));
    Ok(())
}

/// SETEX key seconds value
pub(crate) fn setex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    set_for(ctx, args, Expiry::For(args[2], 1000), "setex")
}

/// PSETEX key milliseconds value
pub(crate) fn psetex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    set_for(ctx, args, Expiry::For(args[2], 1), "psetex")
}

fn set_for(ctx: &mut Ctx<'_>, args: Args<'_>, expiry: Expiry<'_>, command: &str) -> Done {
    let expiry = expiry.resolve(ctx, command)?;
    set_if(ctx, args, 3, Condition::Always, expiry)?;
    ctx.reply.ok();
    Ok(())
}

/// GETDEL key
pub(crate) fn getdel(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    get(ctx, args)?;
    if ctx.keyspace.db(ctx.db).remove(args[1]) {
        ctx.changed(args[1], EventClass::Generic, "del");
        ctx.effects.propagate_instead(&[b"DEL", args[1]]);
    }
    Ok(())
}

/// GETEX key [EX seconds|PX milliseconds|EXAT seconds|PXAT milliseconds|PERSIST]
pub(crate) fn getex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let key = args[1];
    let mut reader = Reader::from(args, 2);
    let mut expiry = None;
    while !reader.is_empty() {
        expiry = Some(Expiry::read(
            &mut reader,
            ("PERSIST", Expiry::None),
            expiry,
        )?);
    }
    let expiry = expiry.unwrap_or(Expiry::Keep).resolve(ctx, "getex")?;
    match ctx.keyspace.db(ctx.db).read(key) {
        None => {
            ctx.reply.nil();
            return Ok(());
        }
        Some(Value::Str(string)) => reply_str(ctx.reply, string),
        Some(_) => return Err(Error::WrongType),
    }
    match expiry {
        Expiry::AtMs(at_ms) if ctx.is_over(at_ms) => ctx.expire_now(key),
        Expiry::AtMs(at_ms) => {
            ctx.keyspace.db(ctx.db).set_expire_ms(key, Some(at_ms));
            ctx.changed(key, EventClass::Generic, "expire");
            let mut digits = itoa::Buffer::new();
            ctx.effects
                .propagate_instead(&[b"PEXPIREAT", key, digits.format(at_ms).as_bytes()]);
        }
        Expiry::None if ctx.keyspace.db(ctx.db).expire_ms(key).is_some() => {
            ctx.keyspace.db(ctx.db).set_expire_ms(key, None);
            ctx.changed(key, EventClass::Generic, "persist");
            ctx.effects.propagate_instead(&[b"PERSIST", key]);
        }
        _ => {}
    }
    Ok(())
}

/// MSETEX numkeys key value … [NX|XX] [EX seconds|PX milliseconds|EXAT seconds|PXAT milliseconds|KEEPTTL]
pub(crate) fn msetex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let invalid = Error::text("ERR invalid numkeys value or out of range");
    let count = int(args[1])
        .ok()
        .and_then(|count| usize::try_from(count).ok())
        .filter(|count| (1..=i32::MAX as usize).contains(count))
        .ok_or(invalid)?;
    let end = count.saturating_mul(2).saturating_add(2);
    if end > args.len() {
        return Err(Error::Syntax);
    }
    let mut reader = Reader::from(args, end);
    let (mut condition, mut expiry, mut at_expiry) = (None, None, 0);
    while !reader.is_empty() {
        if condition != Some(true) && reader.takes("NX") {
            condition = Some(false);
        } else if condition != Some(false) && reader.takes("XX") {
            condition = Some(true);
        } else {
            expiry = Some(Expiry::read(
                &mut reader,
                ("KEEPTTL", Expiry::Keep),
                expiry,
            )?);
            at_expiry = args.len() - reader.len() - 2;
        }
    }
    let is_exact = matches!(expiry, Some(Expiry::At(_, 1)));
    let expiry = expiry.unwrap_or(Expiry::None).resolve(ctx, "msetex")?;
    let db = ctx.keyspace.db(ctx.db);
    let pairs = || args[2..end].chunks_exact(2);
    if condition.is_some_and(|there| pairs().any(|pair| db.exists(pair[0]) != there)) {
        ctx.reply.int(0);
        return Ok(());
    }
    for at in (2..end).step_by(2) {
        let value = ctx.take_str(args, at + 1);
        put(ctx, args[at], value, expiry);
    }
    if let Expiry::AtMs(at_ms) = expiry
        && !is_exact
    {
        let mut digits = itoa::Buffer::new();
        let mut words = args.to_vec();
        words[at_expiry] = b"PXAT";
        words[at_expiry + 1] = digits.format(at_ms).as_bytes();
        ctx.effects.propagate_instead(&words);
    }
    ctx.reply.int(1);
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
    ctx.effects.propagate_instead(&[b"SET", args[1], args[2]]);
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
    check_pairs(args, "mset")?;
    set_pairs(ctx, args);
    ctx.reply.ok();
    Ok(())
}

/// MSETNX key value …: all or nothing.
pub(crate) fn msetnx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    check_pairs(args, "msetnx")?;
    let db = ctx.keyspace.db(ctx.db);
    let busy = args[1..].iter().step_by(2).any(|key| db.exists(key));
    if !busy {
        set_pairs(ctx, args);
    }
    ctx.reply.int(i64::from(!busy));
    Ok(())
}

fn check_pairs(args: Args<'_>, command: &str) -> Done {
    if args.len().is_multiple_of(2) {
        return Err(Error::owned(format!(
            "ERR wrong number of arguments for '{command}' command"
        )));
    }
    Ok(())
}

fn set_pairs(ctx: &mut Ctx<'_>, args: Args<'_>) {
    ctx.each_key(args, 2, |ctx, at| {
        let value = ctx.take_str(args, at + 1);
        ctx.keyspace.db(ctx.db).set_str(args[at], value);
        ctx.tell_noted();
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
    let decrement = int(args[2])?;
    let increment = decrement
        .checked_neg()
        .ok_or(Error::text("ERR decrement would overflow"))?;
    add(ctx, args[1], increment)
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

/// INCRBYFLOAT key increment. Goes to replicas and files as a SET of the result, so that nobody has to compute it again.
pub(crate) fn incrbyfloat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let key = args[1];
    let db = ctx.keyspace.db(ctx.db);
    let (old, there) = match db.write(key) {
        None => (parse_long_double(b"0")?, false),
        // What is empty is no number.
        Some(ValueMut::Str(string)) if string.see().is_empty() => return Err(Error::NotFloat),
        Some(ValueMut::Str(string)) => (parse_long_double(string.see().bytes(&mut [0; 20]))?, true),
        Some(_) => return Err(Error::WrongType),
    };
    let text = sum_text(old, parse_long_double(args[2])?)?;
    if there && let Some(ValueMut::Str(mut string)) = db.write(key) {
        string.set(StrNew::Bytes(text.as_bytes()));
    } else {
        db.set_str(key, StrNew::Bytes(text.as_bytes()));
    }
    ctx.changed(key, EventClass::String, "incrbyfloat");
    ctx.reply.bulk(text.as_bytes());
    ctx.effects
        .propagate_instead(&[b"SET", key, text.as_bytes(), b"KEEPTTL"]);
    Ok(())
}

/// A float argument with the precision of INCRBYFLOAT.
pub(crate) fn parse_long_double(word: &[u8]) -> Result<LongDouble, Error> {
    LongDouble::parse(word).ok_or(Error::NotFloat)
}

/// The sum as INCRBYFLOAT and HINCRBYFLOAT print it.
pub(crate) fn sum_text(a: LongDouble, b: LongDouble) -> Result<String, Error> {
    let sum = a.checked_add(b).filter(|sum| sum.is_finite());
    sum.map(|sum| sum.to_string())
        .ok_or(Error::text("ERR increment would produce NaN or Infinity"))
}

/// APPEND key value
pub(crate) fn append(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let key = args[1];
    let value = ctx.take_str(args, 2);
    let most = ctx.longest_string();
    let db = ctx.keyspace.db(ctx.db);
    let length = match db.write(key) {
        Some(ValueMut::Str(mut string)) => {
            check_length(string.see().len().checked_add(args[2].len()), most)?;
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
    let most = ctx.longest_string();
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
    check_length(offset.checked_add(value.len()), most)?;
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
    // From the end, and backwards: nothing, also where both are before the beginning.
    let backwards = start < 0 && end < 0 && start > end;
    match ctx.keyspace.db(ctx.db).read(args[1]) {
        Some(Value::Str(_)) if backwards => ctx.reply.bulk(b""),
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
