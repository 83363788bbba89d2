//! Streams: their entries. Reading many at once or for a group is in `stream_read.rs`, groups are in `stream_groups.rs`, XINFO in
//! `stream_info.rs`.

use resp::Reply;
use store::{Keep, Owned, Refused, Str, Stream, StreamEntry, StreamId, Trim, Value, ValueMut};

use crate::args::{Reader, int, is};
use crate::{Args, Ctx, Done, Error, EventClass};

const INVALID_ID: Error = Error::text("ERR Invalid stream ID specified as stream command argument");

/// The stream at `key`, for reading.
pub(crate) fn read<'a>(ctx: &'a mut Ctx<'_>, key: &[u8]) -> Result<Option<&'a Stream>, Error> {
    match ctx.keyspace.db(ctx.db).read(key) {
        None => Ok(None),
        Some(Value::Stream(stream)) => Ok(Some(stream)),
        Some(_) => Err(Error::WrongType),
    }
}

/// The stream at `key`, to be changed.
pub(crate) fn write<'a>(ctx: &'a mut Ctx<'_>, key: &[u8]) -> Result<Option<&'a mut Stream>, Error> {
    match ctx.keyspace.db(ctx.db).write(key) {
        None => Ok(None),
        Some(ValueMut::Stream(stream)) => Ok(Some(stream)),
        Some(_) => Err(Error::WrongType),
    }
}

/// The stream at `key`, to be changed; made where there is none.
pub(crate) fn write_or_create<'a>(
    ctx: &'a mut Ctx<'_>,
    key: &[u8],
) -> Result<&'a mut Stream, Error> {
    let made = || Owned::Stream(Stream::new());
    match ctx.keyspace.db(ctx.db).write_or_insert(key, made) {
        ValueMut::Stream(stream) => Ok(stream),
        _ => Err(Error::WrongType),
    }
}

// ---- ids -----------------------------------------------------------------------------------------------------------------

/// A number as C's `strtoull` reads it: blanks and a sign may come before it, and a minus wraps it around.
fn unsigned(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let canonical = resp::number::parse_i64(text).is_some();
    if digits.is_empty() || (negative && canonical) {
        return None;
    }
    let value = digits.iter().try_fold(0_u64, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })?;
    Some(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}

/// The two numbers of an id; none for the second where it is `*`, which is allowed where `auto`.
fn numbers(word: &[u8], missing_seq: u64, auto: bool) -> Option<(u64, Option<u64>)> {
    const LONGEST: usize = 127;
    if word.len() > LONGEST {
        return None;
    }
    // The word ends at its first NUL, as text does in C.
    let word = word.split(|byte| *byte == 0).next().unwrap_or_default();
    let Some(dash) = word.iter().position(|byte| *byte == b'-') else {
        return Some((unsigned(word)?, Some(missing_seq)));
    };
    let ms = unsigned(&word[..dash])?;
    let seq = &word[dash + 1..];
    if auto && seq == b"*" {
        return Some((ms, None));
    }
    Some((ms, Some(unsigned(seq)?)))
}

/// An id; `-` and `+` are none. Without a second number it has this one.
pub(crate) fn strict_id(word: &[u8], missing_seq: u64) -> Result<StreamId, Error> {
    match numbers(word, missing_seq, false) {
        Some((ms, Some(seq))) => Ok(StreamId::new(ms, seq)),
        _ => Err(INVALID_ID),
    }
}

/// An id, or `-` for the lowest, or `+` for the greatest.
pub(crate) fn id_or_end(word: &[u8], missing_seq: u64) -> Result<StreamId, Error> {
    match word {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        _ => strict_id(word, missing_seq),
    }
}

/// The start of an interval: `(` before an id leaves that one out.
pub(crate) fn start_id(word: &[u8]) -> Result<StreamId, Error> {
    match word {
        [b'(', id @ ..] if !id.is_empty() => {
            let next = strict_id(id, 0)?.next();
            next.ok_or(Error::text("ERR invalid start ID for the interval"))
        }
        _ => id_or_end(word, 0),
    }
}

/// The end of an interval.
pub(crate) fn end_id(word: &[u8]) -> Result<StreamId, Error> {
    match word {
        [b'(', id @ ..] if !id.is_empty() => {
            let previous = strict_id(id, u64::MAX)?.previous();
            previous.ok_or(Error::text("ERR invalid end ID for the interval"))
        }
        _ => id_or_end(word, u64::MAX),
    }
}

// ---- replies -------------------------------------------------------------------------------------------------------------

pub(crate) fn reply_id(reply: &mut Reply, id: StreamId) {
    /// Two numbers of 64 bits, and the dash between them.
    const LONGEST: usize = 20 + 1 + 20;
    let (mut ms, mut seq) = (itoa::Buffer::new(), itoa::Buffer::new());
    let (ms, seq) = (ms.format(id.ms).as_bytes(), seq.format(id.seq).as_bytes());
    let mut text = [b'-'; LONGEST];
    text[..ms.len()].copy_from_slice(ms);
    let end = ms.len() + 1 + seq.len();
    text[ms.len() + 1..end].copy_from_slice(seq);
    reply.bulk(&text[..end]);
}

fn reply_str(reply: &mut Reply, text: Str<'_>) {
    match text {
        Str::Int(value) => reply.bulk_int(value),
        Str::Bytes(bytes) => reply.bulk(bytes),
        Str::Big(bytes) => reply.bulk(bytes),
    }
}

/// An entry: its id, and its fields with their values.
pub(crate) fn reply_entry(reply: &mut Reply, entry: &StreamEntry<'_>) {
    reply.array(2);
    reply_id(reply, entry.id());
    reply.array(2 * entry.len());
    for (name, value) in entry.fields() {
        reply_str(reply, name);
        reply_str(reply, value);
    }
}

/// An array of entries.
pub(crate) fn reply_entries<'a>(reply: &mut Reply, entries: impl Iterator<Item = StreamEntry<'a>>) {
    let array = reply.begin_array();
    let mut length = 0;
    for entry in entries {
        reply_entry(reply, &entry);
        length += 1;
    }
    reply.end_array(array, length);
}

// ---- XADD and XTRIM --------------------------------------------------------------------------------------------------------

/// The options that XADD and XTRIM share.
struct Options {
    trim: Option<Trim>,
    /// Where the threshold of the trimming stands.
    threshold_at: usize,
    make: bool,
}

/// What XADD is told of the id.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NewId {
    Auto,
    AutoSeq(u64),
    Given(StreamId),
}

/// MAXLEN|MINID [=|~] threshold: after the keyword.
fn strategy(reader: &mut Reader<'_>, by_length: bool) -> Result<Trim, Error> {
    let marked = reader.len() >= 2;
    let exact = !(marked && reader.peek() == Some(b"~"));
    if marked && matches!(reader.peek(), Some(b"~" | b"=")) {
        reader.word()?;
    }
    let word = reader.word()?;
    let keep = if by_length {
        let most = u64::try_from(int(word)?);
        Keep::Last(most.map_err(|_| Error::text("ERR The MAXLEN argument must be >= 0."))?)
    } else {
        Keep::From(strict_id(word, 0)?)
    };
    Ok(Trim {
        keep,
        exact,
        limit: 0,
    })
}

impl Options {
    /// Reads options; those of XADD end at the id, which stays.
    fn read(ctx: &Ctx<'_>, reader: &mut Reader<'_>, xadd: bool) -> Result<Self, Error> {
        let mut options = Self {
            trim: None,
            threshold_at: 0,
            make: true,
        };
        let mut limit = None;
        while let Some(word) = reader.peek() {
            let by_length = is(word, "MAXLEN");
            if xadd && word == b"*" {
                break;
            } else if reader.takes_with("MAXLEN", 1) || reader.takes_with("MINID", 1) {
                if options.trim.is_some() {
                    return Err(Error::text(
                        "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
                    ));
                }
                options.trim = Some(strategy(reader, by_length)?);
                options.threshold_at = reader.position() - 1;
            } else if reader.takes_with("LIMIT", 1) {
                let most = u64::try_from(reader.int()?);
                limit =
                    Some(most.map_err(|_| Error::text("ERR The LIMIT argument must be >= 0."))?);
            } else if xadd && reader.takes("NOMKSTREAM") {
                options.make = false;
            } else if xadd {
                break;
            } else {
                return Err(Error::Syntax);
            }
        }
        if xadd && let Some(word) = reader.peek() {
            new_id(word)?;
        }
        options.set_limit(ctx, limit, xadd)?;
        Ok(options)
    }

    fn set_limit(&mut self, ctx: &Ctx<'_>, limit: Option<u64>, xadd: bool) -> Done {
        /// How many nodes' entries go at most where nobody says how many, and bounds of that.
        const NODES: u64 = 100;
        const BOUNDS: (u64, u64) = (10_000, 1_000_000);
        let Some(trim) = &mut self.trim else {
            return match limit {
                Some(1..) => Err(Error::text(
                    "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
                )),
                _ if !xadd => Err(Error::text(
                    "ERR syntax error, XTRIM must be called with a trimming strategy",
                )),
                _ => Ok(()),
            };
        };
        trim.limit = match limit {
            _ if ctx.replaying => 0,
            Some(_) if trim.exact => {
                return Err(Error::text(
                    "ERR syntax error, LIMIT cannot be used without the special ~ option",
                ));
            }
            Some(limit) => limit,
            None if trim.exact => 0,
            None => match (ctx.settings.limits.stream_node_entries as u64).saturating_mul(NODES) {
                0 => BOUNDS.0,
                limit => limit.min(BOUNDS.1),
            },
        };
        Ok(())
    }
}

fn new_id(word: &[u8]) -> Result<NewId, Error> {
    if word == b"*" {
        return Ok(NewId::Auto);
    }
    match numbers(word, 0, true) {
        Some((ms, None)) => Ok(NewId::AutoSeq(ms)),
        Some((ms, Some(seq))) => Ok(NewId::Given(StreamId::new(ms, seq))),
        None => Err(INVALID_ID),
    }
}

impl NewId {
    /// The id that a new entry gets, if there is one.
    fn resolve(self, last: StreamId, now_ms: u64) -> Option<StreamId> {
        match self {
            Self::Given(id) => Some(id),
            Self::AutoSeq(ms) if ms == last.ms => {
                let seq = last.seq.checked_add(1)?;
                Some(StreamId::new(ms, seq))
            }
            Self::AutoSeq(ms) => Some(StreamId::new(ms, 0)),
            Self::Auto if now_ms > last.ms => Some(StreamId::new(now_ms, 0)),
            Self::Auto => last.next(),
        }
    }
}

/// XADD key [NOMKSTREAM] [MAXLEN|MINID [=|~] threshold [LIMIT count]] *|id field value …
pub(crate) fn xadd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let key = args[1];
    let mut reader = Reader::from(args, 2);
    let options = Options::read(ctx, &mut reader, true)?;
    let id_at = reader.position();
    let fields = args.get(id_at + 1..).unwrap_or_default();
    if fields.len() < 2 || fields.len() % 2 == 1 {
        return Err(Error::text(
            "ERR wrong number of arguments for 'xadd' command",
        ));
    }
    let new = new_id(args[id_at])?;
    if new == NewId::Given(StreamId::MIN) {
        return Err(Error::text(
            "ERR The ID specified in XADD must be greater than 0-0",
        ));
    }
    if !options.make && write(ctx, key)?.is_none() {
        ctx.reply.nil();
        return Ok(());
    }
    let (now_ms, limits) = (ctx.unix_ms(), &ctx.settings.limits);
    let stream = write_or_create(ctx, key)?;
    if stream.last_id() == StreamId::MAX {
        return Err(Error::text(
            "ERR The stream has exhausted the last possible ID, unable to add more items",
        ));
    }
    let not_above = Error::text(
        "ERR The ID specified in XADD is equal or smaller than the target stream top item",
    );
    let id = new.resolve(stream.last_id(), now_ms);
    let id = id.ok_or_else(|| not_above.clone())?;
    let pairs = fields.chunks_exact(2).map(|pair| (pair[0], pair[1]));
    stream
        .append(id, pairs, limits)
        .map_err(|refused| match refused {
            Refused::NotAbove => not_above,
            Refused::TooLarge => Error::text("ERR Elements are too large to be stored"),
        })?;
    reply_id(ctx.reply, id);
    ctx.changed(key, EventClass::Stream, "xadd");
    ctx.effects.key_ready(ctx.db, key);
    let threshold = trim_after_add(ctx, key, options.trim);
    if !ctx.effects.unheard && (threshold.is_some() || new != NewId::Given(id)) {
        let rewritten = (new != NewId::Given(id)).then(|| (id_at, id.to_string()));
        let instead = rewritten.into_iter();
        propagate_with(
            ctx,
            args,
            instead,
            threshold.map(|to| (options.threshold_at, to)).as_ref(),
        );
    }
    Ok(())
}

/// Trims after XADD; the threshold that does the same without `~`, where that was said.
fn trim_after_add(ctx: &mut Ctx<'_>, key: &[u8], trim: Option<Trim>) -> Option<String> {
    let trim = trim?;
    let unheard = ctx.effects.unheard;
    let stream = write(ctx, key).ok()??;
    let trimmed = stream.trim(trim);
    let exact = (!unheard).then(|| exact_threshold(stream, trim)).flatten();
    if trimmed.count > 0 {
        ctx.event(key, EventClass::Stream, "xtrim");
    }
    if let Some(rest) = trimmed.rest {
        ctx.keyspace.db(ctx.db).free_later(rest);
    }
    exact
}

/// What trims a stream exactly to what it is now, for one that was trimmed with `~`.
fn exact_threshold(stream: &Stream, trim: Trim) -> Option<String> {
    if trim.exact {
        return None;
    }
    Some(match trim.keep {
        Keep::Last(_) => stream.len().to_string(),
        Keep::From(_) => {
            let first = stream.first().map_or(StreamId::MAX, |entry| entry.id());
            first.to_string()
        }
    })
}

/// Propagates the command with other words at some places. A threshold that comes instead of a rough one has `=` before it.
fn propagate_with(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    words: impl Iterator<Item = (usize, String)>,
    threshold: Option<&(usize, String)>,
) {
    let mut command = args.to_vec();
    let words: Vec<_> = words.collect();
    for (at, word) in &words {
        command[*at] = word.as_bytes();
    }
    if let Some((at, word)) = threshold {
        command[*at - 1] = b"=";
        command[*at] = word.as_bytes();
    }
    ctx.effects.propagate_instead(&command);
}

/// XTRIM key MAXLEN|MINID [=|~] threshold [LIMIT count]
pub(crate) fn xtrim(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let key = args[1];
    let options = Options::read(ctx, &mut Reader::from(args, 2), false)?;
    let (Some(trim), Some(stream)) = (options.trim, write(ctx, key)?) else {
        ctx.reply.int(0);
        return Ok(());
    };
    let trimmed = stream.trim(trim);
    let threshold = exact_threshold(stream, trim);
    if trimmed.count > 0 {
        ctx.changed(key, EventClass::Stream, "xtrim");
        ctx.effects.dirty += trimmed.count - 1;
        if threshold.is_some() {
            let threshold = threshold.map(|to| (options.threshold_at, to));
            propagate_with(ctx, args, std::iter::empty(), threshold.as_ref());
        }
    }
    if let Some(rest) = trimmed.rest {
        ctx.keyspace.db(ctx.db).free_later(rest);
    }
    ctx.reply.int(trimmed.count.cast_signed());
    Ok(())
}

// ---- the rest --------------------------------------------------------------------------------------------------------------

/// XLEN key
pub(crate) fn xlen(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let length = read(ctx, args[1])?.map_or(0, Stream::len);
    ctx.reply.int(length.cast_signed());
    Ok(())
}

/// XRANGE key start end [COUNT count]
pub(crate) fn xrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    reply_range(ctx, args, (args[2], args[3]), false)
}

/// XREVRANGE key end start [COUNT count]
pub(crate) fn xrevrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    reply_range(ctx, args, (args[3], args[2]), true)
}

fn reply_range(ctx: &mut Ctx<'_>, args: Args<'_>, ends: (&[u8], &[u8]), back: bool) -> Done {
    let (from, to) = (start_id(ends.0)?, end_id(ends.1)?);
    let mut reader = Reader::from(args, 4);
    let mut count = None;
    while !reader.is_empty() {
        if !reader.takes_with("COUNT", 1) {
            return Err(Error::Syntax);
        }
        count = Some(usize::try_from(reader.int()?).unwrap_or(0));
    }
    let stream = match ctx.keyspace.db(ctx.db).read(args[1]) {
        None => {
            ctx.reply.array(0);
            return Ok(());
        }
        Some(Value::Stream(stream)) => stream,
        Some(_) => return Err(Error::WrongType),
    };
    match count {
        Some(0) => ctx.reply.null_array(),
        count if back => {
            let most = count.unwrap_or(usize::MAX);
            reply_entries(ctx.reply, stream.range_back(from, to).take(most));
        }
        count => {
            let most = count.unwrap_or(usize::MAX);
            reply_entries(ctx.reply, stream.range(from, to).take(most));
        }
    }
    Ok(())
}

/// XDEL key id …
pub(crate) fn xdel(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let key = args[1];
    let Some(stream) = write(ctx, key)? else {
        ctx.reply.int(0);
        return Ok(());
    };
    let ids: Result<Vec<StreamId>, Error> =
        args[2..].iter().map(|word| strict_id(word, 0)).collect();
    let deleted = ids?.into_iter().filter(|id| stream.delete(*id)).count();
    if deleted > 0 {
        ctx.changed(key, EventClass::Stream, "xdel");
        ctx.effects.dirty += deleted as u64 - 1;
    }
    ctx.reply.count(deleted);
    Ok(())
}

/// XSETID key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]
pub(crate) fn xsetid(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let id = strict_id(args[2], 0)?;
    let mut reader = Reader::from(args, 3);
    let (mut added, mut deleted) = (None, StreamId::MIN);
    while !reader.is_empty() {
        if reader.takes_with("ENTRIESADDED", 1) {
            let count = u64::try_from(reader.int()?);
            let count = count.map_err(|_| Error::text("ERR entries_added must be positive"))?;
            added = Some(count);
        } else if reader.takes_with("MAXDELETEDID", 1) {
            deleted = strict_id(reader.word()?, 0)?;
            if id < deleted {
                return Err(Error::text(
                    "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
                ));
            }
        } else {
            return Err(Error::Syntax);
        }
    }
    let stream = write(ctx, args[1])?.ok_or(Error::NoSuchKey)?;
    if id < stream.max_deleted_id() {
        return Err(Error::text(
            "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
        ));
    }
    if let Some(last) = stream.last() {
        if id < last.id() {
            return Err(Error::text(
                "ERR The ID specified in XSETID is smaller than the target stream top item",
            ));
        }
        if added.is_some_and(|added| added < stream.len()) {
            return Err(Error::text(
                "ERR The entries_added specified in XSETID is smaller than the target stream length",
            ));
        }
    }
    stream.set_last_id(id);
    if let Some(added) = added {
        stream.set_entries_added(added);
    }
    if deleted != StreamId::MIN {
        stream.set_max_deleted_id(deleted);
    }
    ctx.effects.dirty += 1;
    ctx.event(args[1], EventClass::Stream, "xsetid");
    ctx.reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_c_does() {
        let id = |ms, seq| Ok(StreamId::new(ms, seq));
        assert_eq!(strict_id(b"5", 7), id(5, 7));
        assert_eq!(strict_id(b"5-6", 7), id(5, 6));
        assert_eq!(strict_id(b"007-+8", 0), id(7, 8));
        assert_eq!(strict_id(b"1-18446744073709551615", 0), id(1, u64::MAX));
        assert_eq!(strict_id(b"1\0-5", 3), id(1, 3));
        for bad in [
            &b""[..],
            b"-",
            b"+",
            b"1-",
            b"-1",
            b"1--1",
            b"1-*",
            b"a-1",
            b"1-1a",
            b"1-18446744073709551616",
        ] {
            assert_eq!(strict_id(bad, 0), Err(INVALID_ID), "{}", bad.escape_ascii());
        }
        assert_eq!(id_or_end(b"-", 0), Ok(StreamId::MIN));
        assert_eq!(start_id(b"(5",), id(5, 1));
        assert_eq!(end_id(b"(5-0"), id(4, u64::MAX));
        assert!(end_id(b"(0-0").is_err() && start_id(b"(-").is_err());
    }
}
