//! Sorted sets: adding, removing, ranks, counts and ranges. Popping is in `zset_pop`, unions and the like are in `zset_store`.

use std::ops::Range;

use resp::number::scan_decimal;
use resp::{Protocol, Reply};
use smallvec::SmallVec;
use store::{
    Db, Encoding, Insert, LexBound, Limits, Owned, ScoreBound, Value, ValueMut, Zset, ZsetBuilder,
};

use crate::args::{Reader, float, int, is};
use crate::list::places;
use crate::{Args, Ctx, Done, Error, EventClass};

/// The sorted set at `key`, for reading.
pub(crate) fn read<'a>(db: &'a mut Db, key: &[u8]) -> Result<Option<&'a Zset>, Error> {
    match db.read(key) {
        None => Ok(None),
        Some(Value::Zset(zset)) => Ok(Some(zset)),
        Some(_) => Err(Error::WrongType),
    }
}

/// The sorted set at `key`, to be changed.
pub(crate) fn write<'a>(db: &'a mut Db, key: &[u8]) -> Result<Option<&'a mut Zset>, Error> {
    match db.write(key) {
        None => Ok(None),
        Some(ValueMut::Zset(zset)) => Ok(Some(zset)),
        Some(_) => Err(Error::WrongType),
    }
}

// ---- adding ------------------------------------------------------------------------------------------------------------

/// ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member …
pub(crate) fn zadd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let mut options = AddOptions::default();
    let first = 2 + options.parse(&args[2..]);
    add_pairs(ctx, args[1], &args[first..], options)
}

/// ZINCRBY key increment member
pub(crate) fn zincrby(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    const OPTIONS: [&str; 6] = ["NX", "XX", "GT", "LT", "CH", "INCR"];
    // It is read as ZADD is, whose options it does not have.
    if OPTIONS.iter().any(|option| is(args[2], option)) {
        return Err(Error::Syntax);
    }
    let options = AddOptions {
        incr: true,
        ..AddOptions::default()
    };
    add_pairs(ctx, args[1], &args[2..], options)
}

#[derive(Clone, Copy, Default)]
pub(crate) struct AddOptions {
    /// Leave members that exist.
    pub(crate) nx: bool,
    /// Leave members that do not.
    pub(crate) xx: bool,
    /// Leave members whose score would not grow.
    gt: bool,
    /// Leave members whose score would not fall.
    lt: bool,
    /// Count updates too.
    pub(crate) ch: bool,
    /// Add to the score.
    incr: bool,
}

impl AddOptions {
    /// Reads options from the front of `words`; answers how many there are.
    fn parse(&mut self, words: Args<'_>) -> usize {
        let option = |word: &&&[u8]| {
            for (name, flag) in [
                ("NX", &mut self.nx),
                ("XX", &mut self.xx),
                ("GT", &mut self.gt),
                ("LT", &mut self.lt),
                ("CH", &mut self.ch),
                ("INCR", &mut self.incr),
            ] {
                if is(word, name) {
                    *flag = true;
                    return true;
                }
            }
            false
        };
        words.iter().take_while(option).count()
    }
}

/// What an addition did.
#[derive(Default)]
struct Added {
    added: usize,
    updated: usize,
    /// The score after INCR.
    score: Option<f64>,
}

/// Adds scores and members that follow each other.
pub(crate) fn add_pairs(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    pairs: Args<'_>,
    options: AddOptions,
) -> Done {
    if pairs.is_empty() || pairs.len() % 2 == 1 {
        return Err(Error::Syntax);
    }
    if options.nx && options.xx {
        return Err(Error::text(
            "ERR XX and NX options at the same time are not compatible",
        ));
    }
    if options.gt && (options.nx || options.lt) || options.lt && options.nx {
        return Err(Error::text(
            "ERR GT, LT, and/or NX options at the same time are not compatible",
        ));
    }
    if options.incr && pairs.len() > 2 {
        return Err(Error::text(
            "ERR INCR option supports a single increment-element pair",
        ));
    }
    let couples = pairs.chunks_exact(2);
    let scores: Result<SmallVec<[f64; 8]>, Error> =
        couples.clone().map(|pair| float(pair[0])).collect();
    let scored = scores?.into_iter().zip(couples.map(|pair| pair[1]));
    let limits = &ctx.settings.limits;
    let many = pairs.len() / 2 > limits.zset_entries
        || pairs
            .chunks_exact(2)
            .any(|pair| pair[1].len() > limits.zset_value);
    let db = ctx.keyspace.db(ctx.db);
    let done = match write(db, key)? {
        Some(zset) => {
            let signed = zset.encoding() == Encoding::Skiplist;
            let done = add_scored(zset, scored, signed, options, limits)?;
            if many {
                zset.forget_compact();
            }
            done
        }
        None if options.xx => Added::default(),
        None => {
            let mut zset = Zset::new();
            let done = add_scored(&mut zset, scored, many, options, limits)?;
            if many {
                zset.forget_compact();
            }
            db.insert(key, Owned::Zset(zset));
            ctx.effects.key_ready(ctx.db, key);
            done
        }
    };
    let changes = done.added + done.updated;
    if changes > 0 {
        let event = if options.incr { "zincr" } else { "zadd" };
        ctx.changed(key, EventClass::Zset, event);
        ctx.effects.dirty += changes as u64 - 1;
    }
    match done.score {
        Some(score) => ctx.reply.double(score),
        None if options.incr => ctx.reply.nil(),
        None => ctx
            .reply
            .count(if options.ch { changes } else { done.added }),
    }
    Ok(())
}

/// Zero keeps its sign only where that is `signed`: in a sorted set that is large.
fn add_scored<'a>(
    zset: &mut Zset,
    scored: impl Iterator<Item = (f64, &'a [u8])>,
    signed: bool,
    options: AddOptions,
    limits: &Limits,
) -> Result<Added, Error> {
    let mut done = Added::default();
    for (mut score, member) in scored {
        if options.nx || options.xx || options.gt || options.lt || options.incr {
            let old = zset.score(member);
            match old {
                Some(_) if options.nx => continue,
                None if options.xx => continue,
                Some(old) if options.incr => score += old,
                _ => {}
            }
            // Only one member can have come this far: nothing was changed yet.
            if score.is_nan() {
                return Err(Error::text("ERR resulting score is not a number (NaN)"));
            }
            if old.is_some_and(|old| options.gt && score <= old || options.lt && score >= old) {
                continue;
            }
            done.score = options.incr.then_some(score);
        }
        let score = if signed { score } else { score + 0.0 };
        match zset.insert(member, score, limits) {
            Insert::Added => done.added += 1,
            Insert::Updated => done.updated += 1,
            Insert::Unchanged => {}
        }
    }
    Ok(done)
}

// ---- removing ----------------------------------------------------------------------------------------------------------

/// ZREM key member …
pub(crate) fn zrem(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let Some(zset) = write(ctx.keyspace.db(ctx.db), args[1])? else {
        ctx.reply.int(0);
        return Ok(());
    };
    let removed = args[2..]
        .iter()
        .filter(|member| zset.remove(member))
        .count();
    let empty = zset.is_empty();
    after_removal(ctx, args[1], "zrem", removed, empty);
    Ok(())
}

/// ZREMRANGEBYRANK key start end
pub(crate) fn zremrangebyrank(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (start, end) = (int(args[2])?, int(args[3])?);
    remove_range(ctx, args[1], "zremrangebyrank", |zset| {
        places(start, end, zset.len())
    })
}

/// ZREMRANGEBYSCORE key min max
pub(crate) fn zremrangebyscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (min, max) = score_bounds(args[2], args[3])?;
    remove_range(ctx, args[1], "zremrangebyscore", |zset| {
        zset.ranks_by_score(min, max)
    })
}

/// ZREMRANGEBYLEX key min max
pub(crate) fn zremrangebylex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let lex = Lex::parse(args[2], args[3])?;
    remove_range(ctx, args[1], "zremrangebylex", |zset| {
        lex.ranks(zset, false, Limit::NONE)
    })
}

fn remove_range(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    event: &'static str,
    ranks: impl FnOnce(&Zset) -> Range<usize>,
) -> Done {
    let Some(zset) = write(ctx.keyspace.db(ctx.db), key)? else {
        ctx.reply.int(0);
        return Ok(());
    };
    let ranks = ranks(zset);
    let (removed, rest) = zset.remove_range(ranks);
    let empty = zset.is_empty();
    if let Some(rest) = rest {
        ctx.keyspace.db(ctx.db).free_later(rest);
    }
    after_removal(ctx, key, event, removed, empty);
    Ok(())
}

/// Event, reply, and the key's end if its last member went.
fn after_removal(ctx: &mut Ctx<'_>, key: &[u8], event: &'static str, removed: usize, empty: bool) {
    if removed > 0 {
        ctx.changed(key, EventClass::Zset, event);
        ctx.effects.dirty += removed as u64 - 1;
        if empty {
            ctx.keyspace.db(ctx.db).remove(key);
            ctx.event(key, EventClass::Generic, "del");
        }
    }
    ctx.reply.count(removed);
}

// ---- one member, and counts ----------------------------------------------------------------------------------------------

/// ZCARD key
pub(crate) fn zcard(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let members = read(ctx.keyspace.db(ctx.db), args[1])?.map_or(0, Zset::len);
    ctx.reply.count(members);
    Ok(())
}

/// ZSCORE key member
pub(crate) fn zscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    match read(ctx.keyspace.db(ctx.db), args[1])?.and_then(|zset| zset.score(args[2])) {
        Some(score) => ctx.reply.double(score),
        None => ctx.reply.nil(),
    }
    Ok(())
}

/// ZMSCORE key member …
pub(crate) fn zmscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let zset = read(ctx.keyspace.db(ctx.db), args[1])?;
    ctx.reply.array(args.len() - 2);
    for member in &args[2..] {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => ctx.reply.double(score),
            None => ctx.reply.nil(),
        }
    }
    Ok(())
}

/// ZRANK key member [WITHSCORE]
pub(crate) fn zrank(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    rank(ctx, args, false)
}

/// ZREVRANK key member [WITHSCORE]
pub(crate) fn zrevrank(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    rank(ctx, args, true)
}

fn rank(ctx: &mut Ctx<'_>, args: Args<'_>, reverse: bool) -> Done {
    let scores = match &args[3..] {
        [] => false,
        [word] if is(word, "WITHSCORE") => true,
        [_] => return Err(Error::Syntax),
        _ => {
            let name = if reverse { "zrevrank" } else { "zrank" };
            return Err(Error::owned(format!(
                "ERR wrong number of arguments for '{name}' command"
            )));
        }
    };
    let zset = read(ctx.keyspace.db(ctx.db), args[1])?;
    let found = zset.and_then(|zset| {
        let rank = zset.rank(args[2])?;
        let rank = if reverse { zset.len() - 1 - rank } else { rank };
        Some((rank, scores.then(|| zset.score(args[2])).flatten()))
    });
    match found {
        Some((rank, None)) => ctx.reply.count(rank),
        Some((rank, Some(score))) => {
            ctx.reply.array(2);
            ctx.reply.count(rank);
            ctx.reply.double(score);
        }
        None if scores => ctx.reply.null_array(),
        None => ctx.reply.nil(),
    }
    Ok(())
}

/// ZCOUNT key min max
pub(crate) fn zcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (min, max) = score_bounds(args[2], args[3])?;
    let zset = read(ctx.keyspace.db(ctx.db), args[1])?;
    let members = zset.map_or(0, |zset| zset.ranks_by_score(min, max).len());
    ctx.reply.count(members);
    Ok(())
}

/// ZLEXCOUNT key min max
pub(crate) fn zlexcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let lex = Lex::parse(args[2], args[3])?;
    let zset = read(ctx.keyspace.db(ctx.db), args[1])?;
    let members = zset.map_or(0, |zset| lex.ranks(zset, false, Limit::NONE).len());
    ctx.reply.count(members);
    Ok(())
}

// ---- ranges ------------------------------------------------------------------------------------------------------------

/// ZRANGE key start stop [BYSCORE|BYLEX] [REV] [LIMIT offset count] [WITHSCORES]
pub(crate) fn zrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let query = RangeQuery::read(Reader::from(args, 2), By::Any, false, true)?;
    reply_range(ctx, args[1], &query)
}

/// ZREVRANGE key start stop [WITHSCORES]
pub(crate) fn zrevrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let query = RangeQuery::read(Reader::from(args, 2), By::Rank, true, true)?;
    reply_range(ctx, args[1], &query)
}

/// ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]
pub(crate) fn zrangebyscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let query = RangeQuery::read(Reader::from(args, 2), By::Score, false, true)?;
    reply_range(ctx, args[1], &query)
}

/// ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]
pub(crate) fn zrevrangebyscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let query = RangeQuery::read(Reader::from(args, 2), By::Score, true, true)?;
    reply_range(ctx, args[1], &query)
}

/// ZRANGEBYLEX key min max [LIMIT offset count]
pub(crate) fn zrangebylex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let query = RangeQuery::read(Reader::from(args, 2), By::Lex, false, true)?;
    reply_range(ctx, args[1], &query)
}

/// ZREVRANGEBYLEX key max min [LIMIT offset count]
pub(crate) fn zrevrangebylex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let query = RangeQuery::read(Reader::from(args, 2), By::Lex, true, true)?;
    reply_range(ctx, args[1], &query)
}

/// ZRANGESTORE destination source start stop [BYSCORE|BYLEX] [REV] [LIMIT offset count]
pub(crate) fn zrangestore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let query = RangeQuery::read(Reader::from(args, 3), By::Any, false, false)?;
    let limits = &ctx.settings.limits;
    let mut result = ZsetBuilder::new();
    if let Some(zset) = read(ctx.keyspace.db(ctx.db), args[2])? {
        for (member, score) in zset.range(query.ranks(zset)) {
            result.push(member, score, limits);
        }
    }
    crate::zset_store::store(ctx, args[1], result.finish(), "zrangestore");
    Ok(())
}

fn reply_range(ctx: &mut Ctx<'_>, key: &[u8], query: &RangeQuery<'_>) -> Done {
    let Some(zset) = read(ctx.keyspace.db(ctx.db), key)? else {
        ctx.reply.array(0);
        return Ok(());
    };
    let ranks = query.ranks(zset);
    let reply = &mut *ctx.reply;
    begin_members(reply, ranks.len(), query.scores);
    let members = zset.range(ranks);
    if query.reverse {
        members
            .rev()
            .for_each(|pair| reply_member(reply, pair, query.scores));
    } else {
        members.for_each(|pair| reply_member(reply, pair, query.scores));
    }
    Ok(())
}

/// The head of an array of members. With scores it is flat in RESP2, and one of pairs in RESP3.
pub(crate) fn begin_members(reply: &mut Reply, count: usize, scores: bool) {
    let flat = scores && reply.protocol() == Protocol::Resp2;
    reply.array(if flat { count * 2 } else { count });
}

/// One member of such an array.
pub(crate) fn reply_member(reply: &mut Reply, (member, score): (&[u8], f64), scores: bool) {
    if scores && reply.protocol() == Protocol::Resp3 {
        reply.array(2);
    }
    reply.bulk(member);
    if scores {
        reply.double(score);
    }
}

/// What a range goes by, as far as the command's name says it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Any,
    Rank,
    Score,
    Lex,
}

/// The bounds of a range.
enum Bounds<'a> {
    Ranks(i64, i64),
    Scores(ScoreBound, ScoreBound),
    Names(Lex<'a>),
}

/// A range as ZRANGE and its like describe it.
struct RangeQuery<'a> {
    bounds: Bounds<'a>,
    reverse: bool,
    scores: bool,
    limit: Limit,
}

impl<'a> RangeQuery<'a> {
    /// Reads the bounds and the options behind them. `replies` is false where the range is stored.
    fn read(
        mut reader: Reader<'a>,
        mut by: By,
        mut reverse: bool,
        replies: bool,
    ) -> Result<Self, Error> {
        let (start, stop) = (reader.word()?, reader.word()?);
        let any = by == By::Any;
        let (mut scores, mut limit) = (false, None);
        while !reader.is_empty() {
            if replies && reader.takes("WITHSCORES") {
                scores = true;
            } else if reader.takes_with("LIMIT", 2) {
                limit = Some(Limit {
                    offset: reader.int()?,
                    count: reader.int()?,
                });
            } else if any && by == By::Any && reader.takes("BYSCORE") {
                by = By::Score;
            } else if any && by == By::Any && reader.takes("BYLEX") {
                by = By::Lex;
            } else if any && !reverse && reader.takes("REV") {
                reverse = true;
            } else {
                return Err(Error::Syntax);
            }
        }
        let ranks = matches!(by, By::Any | By::Rank);
        if limit.is_some_and(|limit| limit.count != -1) && ranks {
            return Err(Error::text(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if scores && by == By::Lex {
            return Err(Error::text(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        let (min, max) = if reverse {
            (stop, start)
        } else {
            (start, stop)
        };
        let bounds = match by {
            By::Any | By::Rank => Bounds::Ranks(int(start)?, int(stop)?),
            By::Score => {
                let (min, max) = score_bounds(min, max)?;
                Bounds::Scores(min, max)
            }
            By::Lex => Bounds::Names(Lex::parse(min, max)?),
        };
        Ok(Self {
            bounds,
            reverse,
            scores,
            limit: limit.unwrap_or(Limit::NONE),
        })
    }

    /// The ranks in the order of the sorted set.
    fn ranks(&self, zset: &Zset) -> Range<usize> {
        match self.bounds {
            Bounds::Ranks(start, stop) => {
                let length = zset.len();
                let places = places(start, stop, length);
                if self.reverse {
                    length - places.end..length - places.start
                } else {
                    places
                }
            }
            Bounds::Scores(min, max) => self.limit.cut(zset.ranks_by_score(min, max), self.reverse),
            Bounds::Names(lex) => lex.ranks(zset, self.reverse, self.limit),
        }
    }
}

/// LIMIT: how many to leave out at the beginning (all, where negative), and how many to give then (all, where negative).
#[derive(Clone, Copy)]
struct Limit {
    offset: i64,
    count: i64,
}

impl Limit {
    const NONE: Self = Self {
        offset: 0,
        count: -1,
    };

    fn offset(self) -> usize {
        usize::try_from(self.offset).unwrap_or(usize::MAX)
    }

    fn count(self) -> usize {
        usize::try_from(self.count).unwrap_or(usize::MAX)
    }

    /// The part of `ranks` that is left, counted from its end where `reverse`.
    fn cut(self, ranks: Range<usize>, reverse: bool) -> Range<usize> {
        let offset = self.offset().min(ranks.len());
        let count = self.count().min(ranks.len() - offset);
        if reverse {
            let end = ranks.end - offset;
            end - count..end
        } else {
            let start = ranks.start + offset;
            start..start + count
        }
    }
}

// ---- bounds ------------------------------------------------------------------------------------------------------------

fn score_bounds(min: &[u8], max: &[u8]) -> Result<(ScoreBound, ScoreBound), Error> {
    score_bound(min)
        .zip(score_bound(max))
        .ok_or(Error::text("ERR min or max is not a float"))
}

/// `1.5`, or `(1.5` without the score itself. What is too big is infinite.
fn score_bound(word: &[u8]) -> Option<ScoreBound> {
    let (exclusive, text) = match word {
        [b'(', text @ ..] => (true, text),
        text => (false, text),
    };
    let scanned = scan_decimal(text);
    let complete = text.get(scanned.used).is_none_or(|byte| *byte == 0);
    (complete && !scanned.value.is_nan()).then_some(ScoreBound {
        value: scanned.value,
        exclusive,
    })
}

/// A lexicographic range.
#[derive(Clone, Copy)]
struct Lex<'a> {
    min: LexBound<'a>,
    max: LexBound<'a>,
}

impl<'a> Lex<'a> {
    fn parse(min: &'a [u8], max: &'a [u8]) -> Result<Self, Error> {
        let bound = |word: &'a [u8]| match word {
            [b'-'] | [b'-', 0, ..] => Some(LexBound::Min),
            [b'+'] | [b'+', 0, ..] => Some(LexBound::Max),
            [b'(', member @ ..] => Some(LexBound::Exclusive(member)),
            [b'[', member @ ..] => Some(LexBound::Inclusive(member)),
            _ => None,
        };
        match (bound(min), bound(max)) {
            (Some(min), Some(max)) => Ok(Self { min, max }),
            _ => Err(Error::text("ERR min or max not valid string range item")),
        }
    }

    fn above_min(self, member: &[u8]) -> bool {
        match self.min {
            LexBound::Min => true,
            LexBound::Max => false,
            LexBound::Inclusive(bound) => member >= bound,
            LexBound::Exclusive(bound) => member > bound,
        }
    }

    fn below_max(self, member: &[u8]) -> bool {
        match self.max {
            LexBound::Min => false,
            LexBound::Max => true,
            LexBound::Inclusive(bound) => member <= bound,
            LexBound::Exclusive(bound) => member < bound,
        }
    }

    /// The ranks of the range within `limit`, counted from the end where `reverse`.
    fn ranks(self, zset: &Zset, reverse: bool, limit: Limit) -> Range<usize> {
        if zset.encoding() == Encoding::Listpack {
            self.ranks_by_walk(zset, reverse, limit)
        } else {
            limit.cut(zset.ranks_by_lex(self.min, self.max), reverse)
        }
    }

    /// The same for members whose scores may differ. The answer is then of little use, but 3.0 has a definite one for a small
    /// sorted set: what it meets on a walk from the end where it begins, until a member is outside.
    fn ranks_by_walk(self, zset: &Zset, reverse: bool, limit: Limit) -> Range<usize> {
        let members: Vec<&[u8]> = zset.iter().map(|(member, _)| member).collect();
        let meets = |first: &&[u8], last: &&[u8]| self.below_max(first) && self.above_min(last);
        if !members
            .first()
            .zip(members.last())
            .is_some_and(|(first, last)| meets(first, last))
        {
            return 0..0;
        }
        let (offset, most) = (limit.offset(), limit.count());
        if reverse {
            let last = members.iter().rposition(|member| self.below_max(member));
            let Some(end) = last
                .filter(|last| self.above_min(members[*last]))
                .and_then(|last| (last + 1).checked_sub(offset))
            else {
                return 0..0;
            };
            let walk = members[..end].iter().rev().take(most);
            let count = walk.take_while(|member| self.above_min(member)).count();
            return end - count..end;
        }
        let first = members.iter().position(|member| self.above_min(member));
        let Some(start) = first
            .filter(|first| self.below_max(members[*first]))
            .map(|first| first.saturating_add(offset).min(members.len()))
        else {
            return 0..0;
        };
        let walk = members[start..].iter().take(most);
        let count = walk.take_while(|member| self.below_max(member)).count();
        start..start + count
    }
}
