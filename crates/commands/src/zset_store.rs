//! Unions, intersections and differences of sorted sets, replied or stored. Their operands may be sets, whose members all have the score 1.

use std::borrow::Cow;

use store::{Db, Elem, Limits, Owned, Set, Value, Zset, ZsetBuilder};

use crate::args::{Reader, float, int, is};
use crate::zset::{begin_members, reply_member};
use crate::{Args, Ctx, Done, Error, EventClass};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// ZUNIONSTORE destination numkeys key … [WEIGHTS weight …] [AGGREGATE SUM|MIN|MAX]
pub(crate) fn zunionstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (result, _) = combine(ctx, args, 2, Operation::Union, "zunionstore")?;
    store(ctx, args[1], result, "zunionstore");
    Ok(())
}

/// ZINTERSTORE destination numkeys key … [WEIGHTS weight …] [AGGREGATE SUM|MIN|MAX]
pub(crate) fn zinterstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (result, _) = combine(ctx, args, 2, Operation::Intersection, "zinterstore")?;
    store(ctx, args[1], result, "zinterstore");
    Ok(())
}

/// ZDIFFSTORE destination numkeys key …
pub(crate) fn zdiffstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (result, _) = combine(ctx, args, 2, Operation::Difference, "zdiffstore")?;
    store(ctx, args[1], result, "zdiffstore");
    Ok(())
}

/// ZUNION numkeys key … [WEIGHTS weight …] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]
pub(crate) fn zunion(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (result, scores) = combine(ctx, args, 1, Operation::Union, "zunion")?;
    reply_all(ctx, &result, scores);
    Ok(())
}

/// ZINTER numkeys key … [WEIGHTS weight …] [AGGREGATE SUM|MIN|MAX] [WITHSCORES]
pub(crate) fn zinter(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (result, scores) = combine(ctx, args, 1, Operation::Intersection, "zinter")?;
    reply_all(ctx, &result, scores);
    Ok(())
}

/// ZDIFF numkeys key … [WITHSCORES]
pub(crate) fn zdiff(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (result, scores) = combine(ctx, args, 1, Operation::Difference, "zdiff")?;
    reply_all(ctx, &result, scores);
    Ok(())
}

fn reply_all(ctx: &mut Ctx<'_>, result: &Zset, scores: bool) {
    begin_members(ctx.reply, result.len(), scores);
    for pair in result.iter() {
        reply_member(ctx.reply, pair, scores);
    }
}

/// ZINTERCARD numkeys key … [LIMIT limit]
pub(crate) fn zintercard(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let mut reader = Reader::from(args, 1);
    let count = reader.int()?;
    if count < 1 {
        return Err(Error::text(
            "ERR at least 1 input key is needed for 'zintercard' command",
        ));
    }
    let keys = reader.words(usize::try_from(count).unwrap_or(usize::MAX))?;
    let there = look_up(ctx, keys)?;
    let mut limit = 0;
    while !reader.is_empty() {
        if !reader.takes_with("LIMIT", 1) {
            return Err(Error::Syntax);
        }
        limit = reader
            .word()
            .and_then(int)
            .ok()
            .and_then(|limit| usize::try_from(limit).ok())
            .ok_or(Error::text("ERR LIMIT can't be negative"))?;
    }
    let weights = vec![1.0; keys.len()];
    let mut operands = operands(ctx.keyspace.db_ref(ctx.db), keys, &there, &weights);
    operands.sort_by_key(|operand| operand.source.len());
    let most = if limit == 0 { usize::MAX } else { limit };
    let mut count = 0;
    if let Some((first, others)) = operands.split_first() {
        first.source.for_each(|member, _| {
            let in_all = || {
                others
                    .iter()
                    .all(|other| other.source.score(&member).is_some())
            };
            if count < most && in_all() {
                count += 1;
            }
        });
    }
    ctx.reply.count(count);
    Ok(())
}

/// Combines the keys that a number at `at` announces; also whether WITHSCORES was said, which only those may say that reply.
fn combine(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    at: usize,
    operation: Operation,
    name: &str,
) -> Result<(Zset, bool), Error> {
    let count = int(args[at])?;
    if count < 1 {
        return Err(Error::owned(format!(
            "ERR at least 1 input key is needed for '{name}' command"
        )));
    }
    let count = usize::try_from(count)
        .ok()
        .filter(|count| *count < args.len() - at)
        .ok_or(Error::Syntax)?;
    let (keys, words) = args[at + 1..].split_at(count);
    let there = look_up(ctx, keys)?;
    let options = Options::parse(words, count, at == 1, operation != Operation::Difference)?;
    let limits = &ctx.settings.limits;
    let mut operands = operands(ctx.keyspace.db_ref(ctx.db), keys, &there, &options.weights);
    let mut result = if operation == Operation::Difference {
        subtract(&operands, limits)
    } else {
        // The smallest first; the last digits of a sum depend on the order.
        operands.sort_by_key(|operand| operand.source.len());
        match operation {
            Operation::Intersection => intersect(&operands, options.aggregate, limits),
            _ => union(&operands, options.aggregate, limits),
        }
    };
    result.compact_if_small(limits);
    Ok((result, options.scores))
}

/// Goes through the door of each key: which of them are there.
fn look_up(ctx: &mut Ctx<'_>, keys: Args<'_>) -> Result<Vec<bool>, Error> {
    let db = ctx.keyspace.db(ctx.db);
    keys.iter()
        .map(|key| match db.read(key) {
            None => Ok(false),
            Some(Value::Set(_) | Value::Zset(_)) => Ok(true),
            Some(_) => Err(Error::WrongType),
        })
        .collect()
}

fn operands<'a>(db: &'a Db, keys: Args<'_>, there: &[bool], weights: &[f64]) -> Vec<Operand<'a>> {
    let found = keys
        .iter()
        .zip(there)
        .map(|(key, there)| match db.peek(key) {
            Some(Value::Set(set)) if *there => Source::Set(set),
            Some(Value::Zset(zset)) if *there => Source::Zset(zset),
            _ => Source::Missing,
        });
    found
        .zip(weights)
        .map(|(source, &weight)| Operand { source, weight })
        .collect()
}

/// Puts the result at `to`, or removes what was there if the result is empty; replies its size.
pub(crate) fn store(ctx: &mut Ctx<'_>, to: &[u8], result: Zset, event: &'static str) {
    let members = result.len();
    let db = ctx.keyspace.db(ctx.db);
    if members > 0 {
        db.insert(to, Owned::Zset(result));
        ctx.effects.key_ready(ctx.db, to);
        ctx.changed(to, EventClass::Zset, event);
    } else if db.remove(to) {
        ctx.changed(to, EventClass::Generic, "del");
    }
    ctx.reply.count(members);
}

/// What follows the keys.
struct Options {
    /// One for each key.
    weights: Vec<f64>,
    aggregate: Aggregate,
    scores: bool,
}

impl Options {
    fn parse(mut words: Args<'_>, keys: usize, replies: bool, weighs: bool) -> Result<Self, Error> {
        let mut options = Self {
            weights: vec![1.0; keys],
            aggregate: Aggregate::Sum,
            scores: false,
        };
        loop {
            words = match words {
                [] => return Ok(options),
                [word, rest @ ..] if weighs && rest.len() >= keys && is(word, "WEIGHTS") => {
                    let (weights, rest) = rest.split_at(keys);
                    for (weight, word) in options.weights.iter_mut().zip(weights) {
                        *weight = float(word)
                            .map_err(|_| Error::text("ERR weight value is not a float"))?;
                    }
                    rest
                }
                [word, rest @ ..] if replies && is(word, "WITHSCORES") => {
                    options.scores = true;
                    rest
                }
                [word, aggregate, rest @ ..] if weighs && is(word, "AGGREGATE") => {
                    options.aggregate = Aggregate::parse(aggregate).ok_or(Error::Syntax)?;
                    rest
                }
                _ => return Err(Error::Syntax),
            };
        }
    }
}

/// How the scores of one member are combined.
#[derive(Clone, Copy)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn parse(word: &[u8]) -> Option<Self> {
        [("SUM", Self::Sum), ("MIN", Self::Min), ("MAX", Self::Max)]
            .into_iter()
            .find(|(name, _)| is(word, name))
            .map(|(_, aggregate)| aggregate)
    }

    /// `score` may be NaN (infinity weighed with zero): MIN and MAX then keep what they have, and a sum is zero.
    fn combine(self, total: f64, score: f64) -> f64 {
        match self {
            Self::Sum => number(total + score),
            Self::Min if score < total => score,
            Self::Max if score > total => score,
            Self::Min | Self::Max => total,
        }
    }
}

/// Zero in the place of NaN.
fn number(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// An operand, seen.
#[derive(Clone, Copy)]
struct Operand<'a> {
    source: Source<'a>,
    weight: f64,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    Missing,
    Set(&'a Set),
    Zset(&'a Zset),
}

impl<'a> Source<'a> {
    fn len(self) -> usize {
        match self {
            Self::Missing => 0,
            Self::Set(set) => set.len(),
            Self::Zset(zset) => zset.len(),
        }
    }

    fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Self::Missing => None,
            Self::Set(set) => set.contains(member).then_some(1.0),
            Self::Zset(zset) => zset.score(member),
        }
    }

    fn for_each(self, mut visit: impl FnMut(Cow<'a, [u8]>, f64)) {
        match self {
            Self::Missing => {}
            Self::Set(set) => set.iter().for_each(|elem| {
                let member = match elem {
                    Elem::Bytes(bytes) => Cow::Borrowed(bytes),
                    Elem::Int(_) => Cow::Owned(elem.bytes(&mut [0; 20]).to_vec()),
                };
                visit(member, 1.0);
            }),
            Self::Zset(zset) => zset
                .iter()
                .for_each(|(member, score)| visit(Cow::Borrowed(member), score)),
        }
    }
}

/// The members of all operands that have them all; the smallest operand comes first.
fn intersect(operands: &[Operand<'_>], aggregate: Aggregate, limits: &Limits) -> Zset {
    let mut result = ZsetBuilder::new();
    if let Some((first, others)) = operands.split_first() {
        first.source.for_each(|member, score| {
            let own = number(first.weight * score);
            let total = others.iter().try_fold(own, |total, other| {
                let score = other.source.score(&member)?;
                Some(aggregate.combine(total, score * other.weight))
            });
            if let Some(total) = total {
                result.push(&member, total, limits);
            }
        });
    }
    result.finish()
}

/// The members of the first operand that no other has.
fn subtract(operands: &[Operand<'_>], limits: &Limits) -> Zset {
    let mut result = ZsetBuilder::new();
    if let Some((first, others)) = operands.split_first() {
        first.source.for_each(|member, score| {
            if others
                .iter()
                .all(|other| other.source.score(&member).is_none())
            {
                result.push(&member, score, limits);
            }
        });
    }
    result.finish()
}

/// The members of any operand. Equal ones are brought together by a sort that keeps the order of the operands.
fn union(operands: &[Operand<'_>], aggregate: Aggregate, limits: &Limits) -> Zset {
    let mut all = Vec::with_capacity(operands.iter().map(|operand| operand.source.len()).sum());
    for operand in operands {
        operand.source.for_each(|member, score| {
            all.push((member, number(operand.weight * score)));
        });
    }
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut result = ZsetBuilder::new();
    for group in all.chunk_by(|(a, _), (b, _)| a == b) {
        let scores = group.iter().map(|(_, score)| *score);
        let total = scores.reduce(|total, score| aggregate.combine(total, score));
        if let (Some((member, _)), Some(total)) = (group.first(), total) {
            result.push(member, total, limits);
        }
    }
    result.finish()
}
