//! Expiry of single fields of a hash: HEXPIRE and its like, HTTL and its like, HPERSIST, HGETEX, HSETEX, HGETDEL.
//!
//! What is propagated names the absolute time, or is an HDEL where the time has passed already.

use store::{FieldTime, Hash, HashMut, HashRef, Noted, Owned, Value, ValueMut};

use crate::args::{Reader, int, is};
use crate::hash::{self, write_there};
use crate::keys::When;
use crate::{Args, Ctx, Done, Error, EventClass};

const NUMFIELDS: Error =
    Error::text("ERR numfields should be greater than 0 and match the provided number of fields");

/// How a command counts time.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Clockwork {
    /// Its name, for errors.
    name: &'static str,
    /// From now on, not from the epoch.
    relative: bool,
    /// In seconds, not in milliseconds.
    seconds: bool,
}

const fn clockwork(name: &'static str, relative: bool, seconds: bool) -> Clockwork {
    Clockwork {
        name,
        relative,
        seconds,
    }
}

impl Clockwork {
    /// The Unix time in milliseconds that a word means.
    fn time(self, word: &[u8], now_ms: u64) -> Result<u64, Error> {
        let given = int(word)?;
        let time = u64::try_from(given).ok().and_then(|given| {
            let ms = if self.seconds {
                given.checked_mul(1000)?
            } else {
                given
            };
            let ms = ms.checked_add(if self.relative { now_ms } else { 0 })?;
            (ms <= i64::MAX.unsigned_abs()).then_some(ms)
        });
        time.ok_or_else(|| {
            Error::owned(format!(
                "ERR invalid expire time in '{}' command",
                self.name
            ))
        })
    }
}

/// Where FIELDS stands, from a position on: options end there.
fn fields_at(args: Args<'_>, from: usize) -> Result<usize, Error> {
    let mut places = from..args.len() - 1;
    let found = places.find(|at| is(args[*at], "FIELDS"));
    found.ok_or(NUMFIELDS)
}

/// The fields of a command that has FIELDS right behind the key.
fn fields_behind_key<'a>(args: Args<'a>, mismatch: &Error) -> Result<Args<'a>, Error> {
    if !is(args[2], "FIELDS") {
        return Err(Error::Syntax);
    }
    counted(args, 3, 1).map_err(|error| {
        if error == NUMFIELDS {
            mismatch.clone()
        } else {
            error
        }
    })
}

/// A number of fields and just so many; `width` words belong to one field.
fn counted<'a>(args: Args<'a>, at: usize, width: usize) -> Result<Args<'a>, Error> {
    let count = int(args[at])?;
    let words = &args[at + 1..];
    let wanted = usize::try_from(count)
        .ok()
        .and_then(|count| count.checked_mul(width));
    if count == 0 || wanted != Some(words.len()) {
        return Err(NUMFIELDS);
    }
    Ok(words)
}

/// Removes the key where its hash has no field left.
fn remove_if_empty(ctx: &mut Ctx<'_>, key: &[u8]) {
    let empty =
        matches!(ctx.keyspace.db(ctx.db).peek(key), Some(Value::Hash(hash)) if hash.is_empty());
    if empty {
        ctx.keyspace.db(ctx.db).remove(key);
        ctx.event(key, EventClass::Generic, "del");
    }
}

/// Whether a time has come for whoever sets it; never for one who applies what has happened elsewhere, or imports it.
fn is_past(ctx: &Ctx<'_>, time: u64) -> bool {
    !ctx.replaying && ctx.is_over(time)
}

/// So many changes to `key`, of one command.
fn changed_by(ctx: &mut Ctx<'_>, key: &[u8], changes: usize) {
    ctx.effects.dirty += changes as u64;
    ctx.effects.touch(ctx.db, key);
}

// ---- HEXPIRE -----------------------------------------------------------------------------------------------------------------

/// HEXPIRE key seconds [NX|XX|GT|LT] FIELDS numfields field …
pub(crate) fn hexpire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    expire(ctx, args, clockwork("hexpire", true, true))
}

/// HPEXPIRE key milliseconds [NX|XX|GT|LT] FIELDS numfields field …
pub(crate) fn hpexpire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    expire(ctx, args, clockwork("hpexpire", true, false))
}

/// HEXPIREAT key unix-time [NX|XX|GT|LT] FIELDS numfields field …
pub(crate) fn hexpireat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    expire(ctx, args, clockwork("hexpireat", false, true))
}

/// HPEXPIREAT key unix-time-ms [NX|XX|GT|LT] FIELDS numfields field …
pub(crate) fn hpexpireat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    expire(ctx, args, clockwork("hpexpireat", false, false))
}

/// What HEXPIRE answers for a field.
const NO_FIELD: i64 = -2;
const NO_EXPIRY: i64 = -1;
const CONDITION_FAILED: i64 = 0;
const DONE: i64 = 1;
const EXPIRED: i64 = 2;

fn expire(ctx: &mut Ctx<'_>, args: Args<'_>, clockwork: Clockwork) -> Done {
    let (key, now_ms) = (args[1], ctx.unix_ms());
    let fields_at = fields_at(args, 3)?;
    let when = When::read(&args[3..fields_at])?;
    let fields = counted(args, fields_at + 1, 1)?;
    let time = clockwork.time(args[2], now_ms)?;
    let at_ms = i64::try_from(time).unwrap_or(i64::MAX);
    let past = is_past(ctx, time);
    let mut hash = write_there(ctx, key)?;
    let mut answers = Vec::with_capacity(fields.len());
    for field in fields {
        let answer = hash.as_mut().map_or(NO_FIELD, |hash| {
            let old = match hash.see().expiry(field) {
                FieldTime::NoField => return NO_FIELD,
                FieldTime::Never => None,
                FieldTime::At(at) => Some(at),
            };
            if !when.allows(old, at_ms) {
                CONDITION_FAILED
            } else if past {
                hash.remove(field);
                EXPIRED
            } else {
                hash.set_expiry(field, Some(time));
                DONE
            }
        });
        answers.push(answer);
    }
    ctx.reply.array(answers.len());
    answers.iter().for_each(|answer| ctx.reply.int(*answer));
    let changes = answers.iter().filter(|answer| **answer > 0).count();
    if changes == 0 {
        return Ok(());
    }
    changed_by(ctx, key, changes);
    if past {
        let gone = fields.iter().zip(&answers);
        let gone = gone.filter(|(_, answer)| **answer == EXPIRED);
        propagate_removal(ctx, key, gone.map(|(field, _)| *field));
        ctx.effects.expired_fields += changes as u64;
        ctx.event(key, EventClass::Hash, "hexpired");
    } else {
        let time = time.to_string();
        let mut command = args.to_vec();
        command[0] = b"HPEXPIREAT";
        command[2] = time.as_bytes();
        ctx.effects.propagate_instead(&command);
        ctx.event(key, EventClass::Hash, "hexpire");
    }
    remove_if_empty(ctx, key);
    Ok(())
}

fn propagate_removal<'a>(ctx: &mut Ctx<'_>, key: &'a [u8], fields: impl Iterator<Item = &'a [u8]>) {
    let command: Vec<&[u8]> = [&b"HDEL"[..], key].into_iter().chain(fields).collect();
    ctx.effects.propagate_instead(&command);
}

// ---- HTTL and HPERSIST -------------------------------------------------------------------------------------------------------

/// HTTL key FIELDS numfields field …
pub(crate) fn httl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    times(ctx, args, clockwork("httl", true, true))
}

/// HPTTL key FIELDS numfields field …
pub(crate) fn hpttl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    times(ctx, args, clockwork("hpttl", true, false))
}

/// HEXPIRETIME key FIELDS numfields field …
pub(crate) fn hexpiretime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    times(ctx, args, clockwork("hexpiretime", false, true))
}

/// HPEXPIRETIME key FIELDS numfields field …
pub(crate) fn hpexpiretime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    times(ctx, args, clockwork("hpexpiretime", false, false))
}

fn times(ctx: &mut Ctx<'_>, args: Args<'_>, clockwork: Clockwork) -> Done {
    let base = if clockwork.relative { ctx.unix_ms() } else { 0 };
    let fields = fields_behind_key(args, &Error::Syntax)?;
    let hash = match ctx.keyspace.db(ctx.db).read(args[1]) {
        None => None,
        Some(Value::Hash(hash)) => Some(hash),
        Some(_) => return Err(Error::WrongType),
    };
    ctx.reply.array(fields.len());
    for field in fields {
        let time = hash.map_or(FieldTime::NoField, |hash| hash.expiry(field));
        ctx.reply.int(match time {
            FieldTime::NoField => NO_FIELD,
            FieldTime::Never => NO_EXPIRY,
            FieldTime::At(at) => {
                let ms = at.saturating_sub(base);
                let shown = if clockwork.seconds {
                    ms.saturating_add(500) / 1000
                } else {
                    ms
                };
                shown.cast_signed()
            }
        });
    }
    Ok(())
}

/// HPERSIST key FIELDS numfields field …
pub(crate) fn hpersist(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let key = args[1];
    let fields = fields_behind_key(args, &NUMFIELDS)?;
    let mut hash = write_there(ctx, key)?;
    let answers: Vec<i64> = fields
        .iter()
        .map(|field| match hash.as_mut() {
            None => NO_FIELD,
            Some(hash) => persist(hash, field),
        })
        .collect();
    ctx.reply.array(answers.len());
    answers.iter().for_each(|answer| ctx.reply.int(*answer));
    let changes = answers.iter().filter(|answer| **answer == DONE).count();
    if changes > 0 {
        changed_by(ctx, key, changes);
        ctx.event(key, EventClass::Hash, "hpersist");
    }
    Ok(())
}

fn persist(hash: &mut HashMut<'_>, field: &[u8]) -> i64 {
    match hash.see().expiry(field) {
        FieldTime::NoField => NO_FIELD,
        FieldTime::Never => NO_EXPIRY,
        FieldTime::At(_) => {
            hash.set_expiry(field, None);
            DONE
        }
    }
}

// ---- HGETDEL, HGETEX, HSETEX -------------------------------------------------------------------------------------------------

/// HGETDEL key FIELDS numfields field …
pub(crate) fn hgetdel(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let key = args[1];
    let fields = fields_behind_key(args, &NUMFIELDS)?;
    let mut hash = match ctx.keyspace.db(ctx.db).write(key) {
        None => None,
        Some(ValueMut::Hash(hash)) => Some(hash),
        Some(_) => return Err(Error::WrongType),
    };
    ctx.reply.array(fields.len());
    let mut deleted = 0;
    for field in fields {
        reply_value(ctx.reply, hash.as_ref().map(HashMut::see), field);
        deleted += usize::from(hash.as_mut().is_some_and(|hash| hash.remove(field)));
    }
    if deleted > 0 {
        changed_by(ctx, key, deleted);
        ctx.event(key, EventClass::Hash, "hdel");
        remove_if_empty(ctx, key);
    }
    Ok(())
}

fn reply_value(reply: &mut resp::Reply, hash: Option<HashRef<'_>>, field: &[u8]) {
    match hash.and_then(|hash| hash.get(field)) {
        Some(value) => reply.bulk(value),
        None => reply.nil(),
    }
}

/// What becomes of the expiry of fields.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// HGETEX leaves it, HSETEX drops it.
    Unsaid,
    Keep,
    Drop,
    At(u64),
}

/// The options before FIELDS of HGETEX and HSETEX.
struct Options {
    fate: Fate,
    /// Only where the key is there, or is not.
    key: Option<bool>,
    /// Only where all fields are there, or none is.
    fields: Option<bool>,
}

impl Options {
    fn read<'a>(
        args: Args<'a>,
        fields_at: usize,
        name: &'static str,
        sets: bool,
    ) -> Result<(Self, Option<Deadline<'a>>), Error> {
        let mut reader = Reader::from(args.get(..fields_at).unwrap_or_default(), 2);
        let mut options = Self {
            fate: Fate::Unsaid,
            key: None,
            fields: None,
        };
        let mut deadline: Option<Deadline<'_>> = None;
        while !reader.is_empty() {
            let same = |known: Option<bool>, new: bool| known.is_none_or(|known| known == new);
            if sets && same(options.key, false) && reader.takes("NX") {
                options.key = Some(false);
            } else if sets && same(options.key, true) && reader.takes("XX") {
                options.key = Some(true);
            } else if sets && same(options.fields, false) && reader.takes("FNX") {
                options.fields = Some(false);
            } else if sets && same(options.fields, true) && reader.takes("FXX") {
                options.fields = Some(true);
            } else if sets && deadline.is_none() && reader.takes("KEEPTTL") {
                options.fate = Fate::Keep;
            } else if !sets && deadline.is_none() && reader.takes("PERSIST") {
                options.fate = Fate::Drop;
            } else if options.fate == Fate::Unsaid
                && let Some(next) = Deadline::take(&mut reader, name, deadline.as_ref())
            {
                deadline = Some(next);
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok((options, deadline))
    }
}

/// EX, PX, EXAT or PXAT.
struct Deadline<'a> {
    clockwork: Clockwork,
    word: &'a [u8],
}

impl<'a> Deadline<'a> {
    /// Takes one; it may come again, but no other.
    fn take(reader: &mut Reader<'a>, name: &'static str, known: Option<&Self>) -> Option<Self> {
        let kinds = [
            ("EX", true, true),
            ("PX", true, false),
            ("EXAT", false, true),
            ("PXAT", false, false),
        ];
        for (token, relative, seconds) in kinds {
            let clockwork = clockwork(name, relative, seconds);
            let fits = known.is_none_or(|known| known.clockwork == clockwork);
            if fits && reader.takes_with(token, 1) {
                let word = reader.word().ok()?;
                return Some(Self { clockwork, word });
            }
        }
        None
    }
}

/// HGETEX key [EX s|PX ms|EXAT s|PXAT ms|PERSIST] FIELDS numfields field …
pub(crate) fn hgetex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (key, now_ms) = (args[1], ctx.unix_ms());
    let (options, deadline, fields) = parts(args, "hgetex", 1)?;
    // A type that does not fit is told before a time that does not.
    hash::read(ctx, key)?;
    let fate = match deadline {
        Some(deadline) => Fate::At(deadline.clockwork.time(deadline.word, now_ms)?),
        None => options.fate,
    };
    let past = matches!(fate, Fate::At(time) if is_past(ctx, time));
    let mut hash = match ctx.keyspace.db(ctx.db).write(key) {
        Some(ValueMut::Hash(hash)) => Some(hash),
        _ => None,
    };
    ctx.reply.array(fields.len());
    let mut changed = Vec::new();
    for field in fields {
        reply_value(ctx.reply, hash.as_ref().map(HashMut::see), field);
        let Some(hash) = hash.as_mut() else {
            continue;
        };
        let done = match fate {
            Fate::Unsaid | Fate::Keep => false,
            Fate::Drop => persist(hash, field) == DONE,
            Fate::At(_) if past => hash.remove(field),
            Fate::At(time) => hash.set_expiry(field, Some(time)),
        };
        if done {
            changed.push(*field);
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    changed_by(ctx, key, changed.len());
    if past {
        ctx.effects.expired_fields += changed.len() as u64;
    }
    let (count, event) = (changed.len().to_string(), fate_event(fate, past));
    let time = match fate {
        Fate::At(time) => time.to_string(),
        _ => String::new(),
    };
    let head: Vec<&[u8]> = match fate {
        _ if past => vec![&b"HDEL"[..], key],
        Fate::At(_) => vec![
            &b"HPEXPIREAT"[..],
            key,
            time.as_bytes(),
            b"FIELDS",
            count.as_bytes(),
        ],
        _ => vec![&b"HPERSIST"[..], key, b"FIELDS", count.as_bytes()],
    };
    let command: Vec<&[u8]> = head.into_iter().chain(changed).collect();
    ctx.effects.propagate_instead(&command);
    ctx.event(key, EventClass::Hash, event);
    remove_if_empty(ctx, key);
    Ok(())
}

fn fate_event(fate: Fate, past: bool) -> &'static str {
    match fate {
        _ if past => "hexpired",
        Fate::At(_) => "hexpire",
        _ => "hpersist",
    }
}

/// The parts of HGETEX, which names fields, and HSETEX, which names fields and values.
fn parts<'a>(
    args: Args<'a>,
    name: &'static str,
    width: usize,
) -> Result<(Options, Option<Deadline<'a>>, Args<'a>), Error> {
    let fields_at = fields_at(args, 1)?;
    let (options, deadline) = Options::read(args, fields_at, name, width == 2)?;
    Ok((options, deadline, counted(args, fields_at + 1, width)?))
}

/// HSETEX key [NX|XX] [FNX|FXX] [EX s|PX ms|EXAT s|PXAT ms|KEEPTTL] FIELDS numfields field value …
pub(crate) fn hsetex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (key, now_ms) = (args[1], ctx.unix_ms());
    let (options, deadline, words) = parts(args, "hsetex", 2)?;
    let hash = write_there(ctx, key)?;
    let made = hash.is_none();
    let wrong_key = options.key.is_some_and(|wanted| wanted != hash.is_some());
    let known = |field: &[u8]| hash.as_ref().is_some_and(|hash| hash.see().contains(field));
    let wrong_fields = options.fields.is_some_and(|wanted| {
        let mut fields = words.chunks_exact(2).map(|pair| pair[0]);
        fields.any(|field| known(field) != wanted)
    });
    if wrong_key {
        ctx.reply.int(0);
        return Ok(());
    }
    // A time that cannot be is told before fields that do not fit.
    let time = deadline.map(|deadline| deadline.clockwork.time(deadline.word, now_ms));
    let time = time.transpose()?;
    if wrong_fields {
        ctx.reply.int(0);
        return Ok(());
    }
    let past = time.is_some_and(|time| is_past(ctx, time));
    if past {
        set_expired(ctx, key, words);
        if made {
            ctx.effects.noted(ctx.db, Noted::New, key);
        }
    } else {
        let plain = options.key.is_none() && options.fields.is_none();
        set_fields(ctx, args, words, (options.fate, time, plain))?;
    }
    ctx.event(key, EventClass::Hash, "hset");
    if time.is_some() {
        ctx.event(key, EventClass::Hash, "hexpire");
    }
    if past {
        ctx.event(key, EventClass::Hash, "hexpired");
        let left = ctx.keyspace.db(ctx.db).exists(key);
        if left {
            remove_if_empty(ctx, key);
        } else {
            // The key was to be made, and is gone at once.
            ctx.event(key, EventClass::Generic, "del");
        }
    }
    ctx.reply.int(1);
    Ok(())
}

/// HSETEX with a time that has come: the fields go.
fn set_expired(ctx: &mut Ctx<'_>, key: &[u8], words: Args<'_>) {
    let mut gone = Vec::new();
    ctx.effects.expired_fields += words.len() as u64 / 2;
    if let Some(ValueMut::Hash(mut hash)) = ctx.keyspace.db(ctx.db).write(key) {
        let fields = words.chunks_exact(2).map(|pair| pair[0]);
        gone.extend(fields.filter(|field| hash.remove_expired(field)));
    }
    if !gone.is_empty() {
        changed_by(ctx, key, gone.len());
        propagate_removal(ctx, key, gone.into_iter());
    }
}

/// HSETEX with a time to come, or none. What was asked under a condition, or with another form of time, is propagated without and in
/// milliseconds.
fn set_fields(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    words: Args<'_>,
    (fate, time, plain): (Fate, Option<u64>, bool),
) -> Done {
    let (key, limits) = (args[1], &ctx.settings.limits);
    let made = || Owned::Hash(Hash::new());
    let ValueMut::Hash(mut hash) = ctx.keyspace.db(ctx.db).write_or_insert(key, made) else {
        return Err(Error::WrongType);
    };
    let mut expired = Vec::new();
    for pair in words.chunks_exact(2) {
        let before = hash.overwritten();
        match (fate, time) {
            (_, Some(time)) => hash.set_until(pair[0], pair[1], time),
            (Fate::Keep, None) => hash.set_keeping(pair[0], pair[1], limits),
            (_, None) => hash.set(pair[0], pair[1], limits),
        };
        if hash.overwritten() > before {
            expired.push(pair[0]);
        }
    }
    changed_by(ctx, key, words.len() / 2);
    if !expired.is_empty() {
        ctx.effects.expired_fields += expired.len() as u64;
        ctx.event(key, EventClass::Hash, "hexpired");
    }
    let removes = fate == Fate::Keep && !expired.is_empty();
    if removes {
        propagate_removal(ctx, key, expired.into_iter());
    }
    let as_it_came = plain && (time.is_none() || is(args[2], "PXAT"));
    if as_it_came && !removes || ctx.effects.unheard {
        return Ok(());
    }
    let time = time.map(|time| time.to_string());
    let count = (words.len() / 2).to_string();
    let mut command: Vec<&[u8]> = vec![&b"HSETEX"[..], key];
    match &time {
        Some(time) => command.extend([&b"PXAT"[..], time.as_bytes()]),
        None if fate == Fate::Keep => command.push(b"KEEPTTL"),
        None => {}
    }
    command.extend([&b"FIELDS"[..], count.as_bytes()]);
    command.extend(words);
    ctx.effects.propagate_instead(&command);
    Ok(())
}
