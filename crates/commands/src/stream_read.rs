//! XREAD and XREADGROUP.

use store::{Pending, Stream, StreamId, Value, ValueMut};

use crate::args::{Reader, whole_timeout_ms};
use crate::stream::{self, reply_entries, reply_entry, reply_id, strict_id};
use crate::stream_groups::{Claims, no_group, propagate_group_id};
use crate::{Args, Awaited, Ctx, Done, Error, EventClass};

/// What a request asks for.
struct Wanted<'a> {
    /// The group and the consumer.
    group: Option<(&'a [u8], &'a [u8])>,
    count: Option<usize>,
    timeout_ms: Option<u64>,
    /// What is delivered need not be acknowledged.
    no_ack: bool,
    keys: Args<'a>,
    ids: Args<'a>,
}

/// After which entry a stream is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Id(StreamId),
    /// What the group has not delivered.
    Delivered,
}

/// XREAD [COUNT count] [BLOCK milliseconds] STREAMS key … id …
pub(crate) fn xread(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let wanted = Wanted::read(args, false)?;
    let after = after(ctx, &wanted)?;
    let mut found = Vec::new();
    for (key, after) in wanted.keys.iter().zip(&after) {
        let After::Id(id) = *after else { continue };
        let last = stream::read(ctx, key)?.and_then(Stream::last);
        if last.is_some_and(|last| last.id() > id) {
            found.push((*key, id));
        }
    }
    if found.is_empty() {
        let instead = without_dollars(args, &wanted, &after);
        return wait(ctx, &wanted, Awaited::Stream, instead);
    }
    begin_streams(ctx, found.len());
    for (key, id) in found {
        begin_stream(ctx, key);
        let most = wanted.count.unwrap_or(usize::MAX);
        // That it is there was counted above.
        if let Some(Value::Stream(stream)) = ctx.keyspace.db_ref(ctx.db).peek(key) {
            let from = id.next().unwrap_or(StreamId::MAX);
            reply_entries(ctx.reply, stream.range(from, StreamId::MAX).take(most));
        }
    }
    Ok(())
}

/// XREADGROUP GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key … id …
pub(crate) fn xreadgroup(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let wanted = Wanted::read(args, true)?;
    let (name, consumer) = wanted
        .group
        .ok_or(Error::text("ERR Missing GROUP option for XREADGROUP"))?;
    let after = after(ctx, &wanted)?;
    // Nothing but what this adds is propagated.
    ctx.effects.propagate_nothing();
    let (mut streams, mut length) = (None, 0);
    for (key, after) in wanted.keys.iter().zip(&after) {
        // A key that is named again goes on where it was left.
        let (id, history) = match *after {
            After::Id(id) => (Some(id), true),
            After::Delivered => (undelivered(ctx, key, name), false),
        };
        // What is delivered and pending tells of the consumer too.
        let alone = wanted.no_ack || history || id.is_none();
        see_consumer(ctx, key, (name, consumer), alone);
        let Some(id) = id else { continue };
        streams.get_or_insert_with(|| ctx.reply.begin_array());
        length += 1;
        begin_stream(ctx, key);
        let read = Reading {
            group: name,
            consumer,
            from: id.next().unwrap_or(StreamId::MAX),
            most: wanted.count.unwrap_or(usize::MAX),
            no_ack: wanted.no_ack,
        };
        if history {
            read.history(ctx, key);
        } else {
            read.deliver(ctx, key);
        }
        ctx.effects.dirty += 1;
    }
    match streams {
        None => return wait(ctx, &wanted, Awaited::StreamOrEnd, None),
        Some(map) if is_resp3(ctx) => ctx.reply.end_map(map, length),
        Some(array) => ctx.reply.end_array(array, length),
    }
    Ok(())
}

impl<'a> Wanted<'a> {
    fn read(args: Args<'a>, grouped: bool) -> Result<Self, Error> {
        let mut reader = Reader::from(args, 1);
        let mut wanted = Self {
            group: None,
            count: None,
            timeout_ms: None,
            no_ack: false,
            keys: &[],
            ids: &[],
        };
        while !reader.is_empty() {
            if reader.takes_with("BLOCK", 1) {
                wanted.timeout_ms = Some(whole_timeout_ms(reader.word()?)?);
            } else if reader.takes_with("COUNT", 1) {
                let count = usize::try_from(reader.int()?).unwrap_or(0);
                wanted.count = (count > 0).then_some(count);
            } else if reader.takes_with("STREAMS", 1) {
                let words = reader.rest();
                if !words.len().is_multiple_of(2) {
                    return Err(Error::text(if grouped {
                        "ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' must be specified."
                    } else {
                        "ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be specified."
                    }));
                }
                (wanted.keys, wanted.ids) = words.split_at(words.len() / 2);
            } else if reader.takes_with("GROUP", 2) {
                if !grouped {
                    return Err(Error::text(
                        "ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.",
                    ));
                }
                wanted.group = Some((reader.word()?, reader.word()?));
            } else if reader.takes("NOACK") {
                if !grouped {
                    return Err(Error::text(
                        "ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.",
                    ));
                }
                wanted.no_ack = true;
            } else {
                return Err(Error::Syntax);
            }
        }
        if wanted.keys.is_empty() {
            return Err(Error::Syntax);
        }
        Ok(wanted)
    }
}

/// After which entries the streams are read.
fn after(ctx: &mut Ctx<'_>, wanted: &Wanted<'_>) -> Result<Vec<After>, Error> {
    let pairs = wanted.keys.iter().zip(wanted.ids);
    pairs
        .map(|(key, id)| after_one(ctx, wanted, key, id))
        .collect()
}

fn after_one(
    ctx: &mut Ctx<'_>,
    wanted: &Wanted<'_>,
    key: &[u8],
    id: &[u8],
) -> Result<After, Error> {
    let stream = stream::read(ctx, key)?;
    if let Some((name, _)) = wanted.group {
        if stream.and_then(|stream| stream.group(name)).is_none() {
            return Err(no_group(key, name, " in XREADGROUP with GROUP option"));
        }
        return match id {
            b">" => Ok(After::Delivered),
            b"$" => Err(Error::text(
                "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by \
                 specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.",
            )),
            b"+" => Err(Error::text(
                "ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by \
                 specifying a proper ID, or use the > ID to get new messages. The + ID would just return an empty result set.",
            )),
            // The greatest id says the same as `>`, as in Valkey.
            _ => strict_id(id, 0).map(|id| match id {
                StreamId::MAX => After::Delivered,
                id => After::Id(id),
            }),
        };
    }
    let after = match id {
        b"$" => stream.map_or(StreamId::MIN, Stream::last_id),
        b"+" => {
            let stream = stream.filter(|stream| !stream.is_empty());
            stream
                .and_then(|stream| stream.last_id().previous())
                .unwrap_or(StreamId::MIN)
        }
        b">" => {
            return Err(Error::text(
                "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
            ));
        }
        _ => strict_id(id, 0)?,
    };
    Ok(After::Id(after))
}

/// The request with the ids that `$` stands for now: it is run again when something was added.
fn without_dollars(args: Args<'_>, wanted: &Wanted<'_>, after: &[After]) -> Option<Vec<Box<[u8]>>> {
    if !wanted.ids.contains(&&b"$"[..]) {
        return None;
    }
    let ids_at = args.len() - wanted.ids.len();
    let mut words: Vec<Box<[u8]>> = args.iter().map(|word| (*word).into()).collect();
    for (word, after) in words[ids_at..].iter_mut().zip(after) {
        if let (b"$", After::Id(id)) = (&**word, after) {
            *word = id.to_string().into_bytes().into();
        }
    }
    Some(words)
}

/// Nothing was found: the client waits, or is told so.
fn wait(
    ctx: &mut Ctx<'_>,
    wanted: &Wanted<'_>,
    awaited: Awaited,
    instead: Option<Vec<Box<[u8]>>>,
) -> Done {
    let waits = wanted
        .timeout_ms
        .is_some_and(|timeout_ms| ctx.block(awaited, wanted.keys, timeout_ms));
    if waits {
        if let Some(block) = &mut ctx.effects.block {
            block.instead = instead;
        }
    } else {
        ctx.reply.null_array();
    }
    Ok(())
}

/// The head of a reply with so many streams.
fn begin_streams(ctx: &mut Ctx<'_>, streams: usize) {
    if is_resp3(ctx) {
        ctx.reply.map(streams);
    } else {
        ctx.reply.array(streams);
    }
}

fn begin_stream(ctx: &mut Ctx<'_>, key: &[u8]) {
    if !is_resp3(ctx) {
        ctx.reply.array(2);
    }
    ctx.reply.bulk(key);
}

fn is_resp3(ctx: &Ctx<'_>) -> bool {
    ctx.reply.protocol() == resp::Protocol::Resp3
}

/// The last id that was delivered, where there is more.
fn undelivered(ctx: &mut Ctx<'_>, key: &[u8], group: &[u8]) -> Option<StreamId> {
    let stream = stream::read(ctx, key).ok()??;
    let delivered = stream.group(group)?.last_id;
    (stream.last()?.id() > delivered).then_some(delivered)
}

/// The consumer has asked; it is made where there is none. `alone`: nothing else will tell of it.
fn see_consumer(ctx: &mut Ctx<'_>, key: &[u8], (group, name): (&[u8], &[u8]), alone: bool) {
    let now_ms = ctx.unix_ms();
    let Some(ValueMut::Stream(stream)) = ctx.keyspace.db(ctx.db).write(key) else {
        return;
    };
    let Some(known) = stream.group_mut(group) else {
        return;
    };
    let (id, made) = known.find_or_create(name, now_ms);
    known.consumer_mut(id).seen_ms = now_ms;
    if made {
        ctx.effects.dirty += 1;
        ctx.event(key, EventClass::Stream, "xgroup-createconsumer");
        if alone {
            let command = [b"XGROUP", &b"CREATECONSUMER"[..], key, group, name];
            ctx.effects.propagate_instead(&command);
        }
    }
}

/// One stream that is read for a consumer.
struct Reading<'a> {
    group: &'a [u8],
    consumer: &'a [u8],
    from: StreamId,
    most: usize,
    no_ack: bool,
}

impl Reading<'_> {
    /// Replies what the consumer has pending.
    fn history(&self, ctx: &mut Ctx<'_>, key: &[u8]) {
        let now_ms = ctx.unix_ms();
        let reply = &mut *ctx.reply;
        let array = reply.begin_array();
        let mut length = 0;
        let mut there = Vec::new();
        let stream = match ctx.keyspace.db(ctx.db).write(key) {
            Some(ValueMut::Stream(stream)) => Some(stream),
            _ => None,
        };
        if let Some(stream) = stream {
            let group = stream.group(self.group);
            let consumer = group.and_then(|group| Some(group.consumer(group.find(self.consumer)?)));
            let pending = consumer.map(|one| one.pending_range(self.from, StreamId::MAX));
            for id in pending.into_iter().flatten().take(self.most) {
                if let Some(entry) = stream.get(id) {
                    reply_entry(reply, &entry);
                    there.push(id);
                } else {
                    reply.array(2);
                    reply_id(reply, id);
                    reply.null_array();
                }
                length += 1;
            }
            if let Some(group) = stream.group_mut(self.group) {
                for id in there {
                    if let Some(pending) = group.pending(id) {
                        let again = Pending {
                            delivered_ms: now_ms,
                            count: pending.count.saturating_add(1),
                            ..pending
                        };
                        group.deliver(id, again);
                    }
                }
            }
        }
        ctx.reply.end_array(array, length);
    }

    /// Replies what the group has not delivered, and makes it pending.
    fn deliver(&self, ctx: &mut Ctx<'_>, key: &[u8]) {
        let now_ms = ctx.unix_ms();
        let reply = &mut *ctx.reply;
        let Some(ValueMut::Stream(stream)) = ctx.keyspace.db(ctx.db).write(key) else {
            return;
        };
        let Some(mut group) = Progress::of(stream, self.group) else {
            return;
        };
        let before = group.last_id;
        let mut delivered = Vec::new();
        let entries = stream.range(self.from, StreamId::MAX).take(self.most);
        reply_entries(
            reply,
            entries.inspect(|entry| {
                group.advance(stream, entry.id());
                delivered.push((entry.id(), group.last_id));
            }),
        );
        let Some(known) = stream.group_mut(self.group) else {
            return;
        };
        known.last_id = group.last_id;
        known.entries_read = group.entries_read;
        let moved = known.last_id != before;
        let mut claims = Claims::new(key, self.group);
        if let Some(consumer) = known.find(self.consumer).filter(|_| !self.no_ack) {
            for (id, last_id) in delivered {
                let pending = Pending {
                    delivered_ms: now_ms,
                    count: 1,
                    consumer,
                };
                known.deliver(id, pending);
                known.consumer_mut(consumer).active_ms = Some(now_ms);
                claims.add(id, self.consumer, pending, last_id);
            }
        }
        claims.propagate(ctx.effects);
        if moved {
            propagate_group_id(
                ctx.effects,
                key,
                self.group,
                group.last_id,
                group.entries_read,
            );
        }
    }
}

/// How far a group has read.
struct Progress {
    last_id: StreamId,
    entries_read: Option<u64>,
    /// The stream's first entry.
    first: StreamId,
}

impl Progress {
    fn of(stream: &Stream, group: &[u8]) -> Option<Self> {
        let group = stream.group(group)?;
        Some(Self {
            last_id: group.last_id,
            entries_read: group.entries_read,
            first: stream.first().map_or(StreamId::MIN, |entry| entry.id()),
        })
    }

    /// An entry is delivered.
    fn advance(&mut self, stream: &Stream, id: StreamId) {
        if id <= self.last_id {
            return;
        }
        let whole = self.last_id >= self.first && !stream.may_lack(self.last_id, StreamId::MAX);
        match self.entries_read {
            Some(read) if whole => self.entries_read = Some(read.saturating_add(1)),
            _ if stream.entries_added() > 0 => self.entries_read = stream.added_up_to(id),
            _ => {}
        }
        self.last_id = id;
    }
}
