//! Consumer groups: XGROUP, XACK, XPENDING, XCLAIM, XAUTOCLAIM.

use store::{ConsumerId, Group, Owned, Pending, Stream, StreamId, Value, ValueMut};

use crate::args::{Reader, int};
use crate::stream::{self, end_id, id_or_end, reply_entry, reply_id, start_id, strict_id};
use crate::{Args, Ctx, Done, Effects, Error, EventClass};

/// With more pending entries another thread frees a group or consumer.
const HEAVY: usize = 64;

/// The error of commands whose key or group is not there.
pub(crate) fn no_group(key: &[u8], group: &[u8], after: &str) -> Error {
    let quoted = Error::quoting("NOGROUP No such key '", key, "' or consumer group '");
    let line = quoted.line();
    let group = group.split(|byte| *byte == 0).next().unwrap_or_default();
    Error::Quoting([&line[..], group, b"'", after.as_bytes()].concat().into())
}

/// The same where the key is there.
pub(crate) fn no_group_at(key: &[u8], group: &[u8]) -> Error {
    let quoted = Error::quoting(
        "NOGROUP No such consumer group '",
        group,
        "' for key name '",
    );
    let line = quoted.line();
    let key = key.split(|byte| *byte == 0).next().unwrap_or_default();
    Error::Quoting([&line[..], key, b"'"].concat().into())
}

// ---- what replicas and files are told --------------------------------------------------------------------------------------

/// XGROUP SETID: how far a group has read.
pub(crate) fn propagate_group_id(
    effects: &mut Effects,
    key: &[u8],
    group: &[u8],
    last_id: StreamId,
    entries_read: Option<u64>,
) {
    let last_id = last_id.to_string();
    let read = entries_read.map_or_else(|| "-1".to_owned(), |read| read.to_string());
    effects.propagate_instead(&[
        b"XGROUP",
        b"SETID",
        key,
        group,
        last_id.as_bytes(),
        b"ENTRIESREAD",
        read.as_bytes(),
    ]);
}

/// XCLAIMs: what became pending, and whose. To be propagated when the stream is no longer borrowed.
pub(crate) struct Claims<'a> {
    key: &'a [u8],
    group: &'a [u8],
    commands: Vec<[Box<[u8]>; 5]>,
}

impl<'a> Claims<'a> {
    pub(crate) fn new(key: &'a [u8], group: &'a [u8]) -> Self {
        Self {
            key,
            group,
            commands: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, id: StreamId, consumer: &[u8], pending: Pending, last: StreamId) {
        self.add_as(id.to_string().as_bytes(), consumer, pending, last);
    }

    /// As [`Claims::add`], with the id as the client wrote it.
    fn add_as(&mut self, id: &[u8], consumer: &[u8], pending: Pending, last: StreamId) {
        self.commands.push([
            consumer.into(),
            id.into(),
            pending.delivered_ms.to_string().into_bytes().into(),
            pending.count.to_string().into_bytes().into(),
            last.to_string().into_bytes().into(),
        ]);
    }

    /// As [`Claims::propagate`], where this consumer was made: who has claimed nothing is told of too.
    fn propagate_with(self, effects: &mut Effects, made: Option<&[u8]>) {
        let told = |name: &&[u8]| {
            self.commands
                .iter()
                .any(|[consumer, ..]| **consumer == **name)
        };
        if let Some(name) = made.filter(|name| !told(name)) {
            let command = [
                b"XGROUP",
                &b"CREATECONSUMER"[..],
                self.key,
                self.group,
                name,
            ];
            effects.propagate_instead(&command);
        }
        self.propagate(effects);
    }

    pub(crate) fn propagate(self, effects: &mut Effects) {
        for [consumer, id, time, count, last_id] in &self.commands {
            effects.propagate_instead(&[
                b"XCLAIM",
                self.key,
                self.group,
                consumer,
                b"0",
                id,
                b"TIME",
                time,
                b"RETRYCOUNT",
                count,
                b"FORCE",
                b"JUSTID",
                b"LASTID",
                last_id,
            ]);
        }
    }
}

// ---- XGROUP ------------------------------------------------------------------------------------------------------------------

/// The options of XGROUP CREATE and SETID.
fn group_options(args: Args<'_>, create: bool) -> Result<(bool, Option<u64>), Error> {
    let mut reader = Reader::from(args, 5);
    let (mut make, mut read) = (false, None);
    while !reader.is_empty() {
        if create && reader.takes("MKSTREAM") {
            make = true;
        } else if reader.takes_with("ENTRIESREAD", 1) {
            read = match reader.int()? {
                -1 => None,
                count => Some(u64::try_from(count).map_err(|_| {
                    Error::text("ERR value for ENTRIESREAD must be positive or -1")
                })?),
            };
        } else {
            return Err(Error::subcommand("XGROUP", args[1]));
        }
    }
    Ok((make, read))
}

/// The stream of an XGROUP subcommand, which has to be there.
fn stream_of_group<'a>(ctx: &'a mut Ctx<'_>, key: &[u8]) -> Result<&'a mut Stream, Error> {
    stream::write(ctx, key)?.ok_or(Error::text(
        "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create \
         an empty stream automatically.",
    ))
}

/// The group of an XGROUP subcommand, which has to be there.
fn group<'a>(ctx: &'a mut Ctx<'_>, key: &[u8], name: &[u8]) -> Result<&'a mut Group, Error> {
    let group = stream_of_group(ctx, key)?.group_mut(name);
    group.ok_or_else(|| no_group_at(key, name))
}

/// XGROUP CREATE key group id|$ [MKSTREAM] [ENTRIESREAD entries-read]
pub(crate) fn create(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (key, name) = (args[2], args[3]);
    let (make, entries_read) = group_options(args, true)?;
    let last_id = if make {
        stream::write(ctx, key)?.map(|stream| stream.last_id())
    } else {
        Some(stream_of_group(ctx, key)?.last_id())
    };
    // Room for each option once.
    if args.len() > 8 {
        return Err(Error::subcommand("XGROUP", args[1]));
    }
    let id = match args[4] {
        b"$" => last_id.unwrap_or(StreamId::MIN),
        word => strict_id(word, 0)?,
    };
    if last_id.is_none() {
        let db = ctx.keyspace.db(ctx.db);
        db.insert(key, Owned::Stream(Stream::new()));
        ctx.effects.touch(ctx.db, key);
    }
    let made = stream_of_group(ctx, key)?.create_group(name, Group::new(id, entries_read));
    if made.is_none() {
        return Err(Error::text("BUSYGROUP Consumer Group name already exists"));
    }
    ctx.effects.dirty += 1;
    ctx.event(key, EventClass::Stream, "xgroup-create");
    ctx.reply.ok();
    Ok(())
}

/// XGROUP SETID key group id|$ [ENTRIESREAD entries-read]
pub(crate) fn set_id(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (key, name) = (args[2], args[3]);
    let (_, entries_read) = group_options(args, false)?;
    let last_id = stream_of_group(ctx, key)?.last_id();
    let group = group(ctx, key, name)?;
    // The option once.
    if args.len() > 7 {
        return Err(Error::subcommand("XGROUP", args[1]));
    }
    group.last_id = match args[4] {
        b"$" => last_id,
        word => id_or_end(word, 0)?,
    };
    group.entries_read = entries_read;
    ctx.effects.dirty += 1;
    ctx.event(key, EventClass::Stream, "xgroup-setid");
    ctx.reply.ok();
    Ok(())
}

/// XGROUP DESTROY key group
pub(crate) fn destroy(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let key = args[2];
    let Some(group) = stream_of_group(ctx, key)?.remove_group(args[3]) else {
        ctx.reply.int(0);
        return Ok(());
    };
    if group.pending_len() > HEAVY {
        ctx.keyspace.db(ctx.db).free_later(Box::new(group));
    }
    ctx.effects.dirty += 1;
    ctx.event(key, EventClass::Stream, "xgroup-destroy");
    ctx.effects.key_ready(ctx.db, key);
    ctx.reply.int(1);
    Ok(())
}

/// XGROUP CREATECONSUMER key group consumer
pub(crate) fn create_consumer(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (key, now_ms) = (args[2], ctx.unix_ms());
    let (_, made) = group(ctx, key, args[3])?.find_or_create(args[4], now_ms);
    if made {
        ctx.effects.dirty += 1;
        ctx.event(key, EventClass::Stream, "xgroup-createconsumer");
    }
    ctx.reply.int(i64::from(made));
    Ok(())
}

/// XGROUP DELCONSUMER key group consumer
pub(crate) fn delete_consumer(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let key = args[2];
    let Some(consumer) = group(ctx, key, args[3])?.remove_consumer(args[4]) else {
        ctx.reply.int(0);
        return Ok(());
    };
    ctx.reply.count(consumer.pending_len());
    if consumer.pending_len() > HEAVY {
        ctx.keyspace.db(ctx.db).free_later(Box::new(consumer));
    }
    ctx.effects.dirty += 1;
    ctx.event(key, EventClass::Stream, "xgroup-delconsumer");
    Ok(())
}

// ---- XACK and XPENDING -------------------------------------------------------------------------------------------------------

/// XACK key group id …
pub(crate) fn xack(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    // A read, as it counts in the statistics.
    stream::read(ctx, args[1])?;
    let stream = stream::write(ctx, args[1])?;
    let Some(group) = stream.and_then(|stream| stream.group_mut(args[2])) else {
        ctx.reply.int(0);
        return Ok(());
    };
    let mut ids = Vec::with_capacity(args.len() - 3);
    for word in &args[3..] {
        ids.push(strict_id(word, 0)?);
    }
    let known = ids
        .into_iter()
        .filter(|id| group.acknowledge(*id).is_some());
    let acknowledged = known.count();
    ctx.effects.dirty += acknowledged as u64;
    ctx.reply.count(acknowledged);
    Ok(())
}

/// What XPENDING asks for beyond the summary.
struct Shown<'a> {
    min_idle: i64,
    from: StreamId,
    to: StreamId,
    most: usize,
    consumer: Option<&'a [u8]>,
}

/// XPENDING key group [[IDLE min-idle-time] start end count [consumer]]
pub(crate) fn xpending(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let shown = shown(args)?;
    let now_ms = ctx.unix_ms();
    let stream = match ctx.keyspace.db(ctx.db).read(args[1]) {
        None => None,
        Some(Value::Stream(stream)) => Some(stream),
        Some(_) => return Err(Error::WrongType),
    };
    let group = stream.and_then(|stream| stream.group(args[2]));
    let group = group.ok_or_else(|| no_group(args[1], args[2], ""))?;
    match shown {
        None => reply_summary(ctx.reply, group),
        Some(shown) => reply_pending(ctx.reply, group, &shown, now_ms),
    }
    Ok(())
}

fn shown<'a>(args: Args<'a>) -> Result<Option<Shown<'a>>, Error> {
    if args.len() == 3 {
        return Ok(None);
    }
    if !(6..=9).contains(&args.len()) {
        return Err(Error::Syntax);
    }
    let mut reader = Reader::from(args, 3);
    let mut min_idle = 0;
    if reader.takes("IDLE") {
        min_idle = reader.int()?;
        if reader.len() < 3 {
            return Err(Error::Syntax);
        }
    }
    let (from, to) = (reader.word()?, reader.word()?);
    let most = usize::try_from(reader.int()?).unwrap_or(0);
    Ok(Some(Shown {
        min_idle,
        from: start_id(from)?,
        to: end_id(to)?,
        most,
        consumer: reader.peek(),
    }))
}

fn reply_summary(reply: &mut resp::Reply, group: &Group) {
    reply.array(4);
    reply.count(group.pending_len());
    let mut all = group.pending_range(StreamId::MIN, StreamId::MAX);
    let Some((first, _)) = all.next() else {
        reply.nil();
        reply.nil();
        reply.null_array();
        return;
    };
    let last = all.next_back().map_or(first, |(last, _)| last);
    reply_id(reply, first);
    reply_id(reply, last);
    let array = reply.begin_array();
    let busy = group.consumers().map(|(_, one)| one);
    let mut length = 0;
    for consumer in busy.filter(|one| one.pending_len() > 0) {
        reply.array(2);
        reply.bulk(consumer.name());
        reply.bulk_display(consumer.pending_len());
        length += 1;
    }
    reply.end_array(array, length);
}

fn reply_pending(reply: &mut resp::Reply, group: &Group, shown: &Shown<'_>, now_ms: u64) {
    let idle = |pending: &Pending| now_ms.cast_signed() - pending.delivered_ms.cast_signed();
    let idle_enough = |pending: &Pending| shown.min_idle == 0 || idle(pending) >= shown.min_idle;
    let consumer = match shown.consumer {
        None => None,
        Some(name) => match group.find(name) {
            None => {
                reply.array(0);
                return;
            }
            Some(id) => Some(group.consumer(id)),
        },
    };
    let of_one = consumer.map(|one| one.pending_range(shown.from, shown.to));
    let of_one = of_one
        .into_iter()
        .flatten()
        .filter_map(|id| Some((id, group.pending(id)?)));
    let of_all = consumer
        .is_none()
        .then(|| group.pending_range(shown.from, shown.to));
    let array = reply.begin_array();
    let mut length = 0;
    let all = of_all.into_iter().flatten().chain(of_one);
    for (id, pending) in all
        .filter(|(_, pending)| idle_enough(pending))
        .take(shown.most)
    {
        reply.array(4);
        reply_id(reply, id);
        reply.bulk(group.consumer(pending.consumer).name());
        reply.int(idle(&pending).max(0));
        reply.int(pending.count.cast_signed());
        length += 1;
    }
    reply.end_array(array, length);
}

// ---- XCLAIM and XAUTOCLAIM ---------------------------------------------------------------------------------------------------

/// The options of XCLAIM.
struct Claiming {
    min_idle: i64,
    ids: Vec<StreamId>,
    force: bool,
    just_id: bool,
    /// When the entries count as delivered; now where nobody says it.
    time: Option<i64>,
    count: Option<u64>,
    last_id: StreamId,
}

impl Claiming {
    fn read(args: Args<'_>, now_ms: i64) -> Result<Self, Error> {
        let min_idle = number(args[4], "ERR Invalid min-idle-time argument for XCLAIM")?;
        let ids = args[5..].iter().map_while(|word| strict_id(word, 0).ok());
        let ids: Vec<StreamId> = ids.collect();
        let mut reader = Reader::from(args, 5 + ids.len());
        let mut claiming = Self {
            min_idle: min_idle.max(0),
            ids,
            force: false,
            just_id: false,
            time: None,
            count: None,
            last_id: StreamId::MIN,
        };
        while let Some(word) = reader.peek() {
            if reader.takes("FORCE") {
                claiming.force = true;
            } else if reader.takes("JUSTID") {
                claiming.just_id = true;
            } else if reader.takes_with("IDLE", 1) {
                let text = "ERR Invalid IDLE option argument for XCLAIM";
                let idle = number(reader.word()?, text)?;
                claiming.time = Some(now_ms.wrapping_sub(idle)).filter(|time| *time != -1);
            } else if reader.takes_with("TIME", 1) {
                let text = "ERR Invalid TIME option argument for XCLAIM";
                let time = number(reader.word()?, text)?;
                claiming.time = Some(time).filter(|time| *time != -1);
            } else if reader.takes_with("RETRYCOUNT", 1) {
                let text = "ERR Invalid RETRYCOUNT option argument for XCLAIM";
                claiming.count = u64::try_from(number(reader.word()?, text)?).ok();
            } else if reader.takes_with("LASTID", 1) {
                claiming.last_id = strict_id(reader.word()?, 0)?;
            } else {
                return Err(Error::quoting(
                    "ERR Unrecognized XCLAIM option '",
                    word,
                    "'",
                ));
            }
        }
        Ok(claiming)
    }

    /// When the entries count as delivered: never in the future.
    fn delivered_ms(&self, now_ms: u64) -> u64 {
        let time = self.time.and_then(|time| u64::try_from(time).ok());
        time.filter(|time| *time <= now_ms).unwrap_or(now_ms)
    }
}

fn number(word: &[u8], text: &'static str) -> Result<i64, Error> {
    int(word).map_err(|_| Error::text(text))
}

/// The group at a key, which has to be there.
fn claimed_group(ctx: &mut Ctx<'_>, key: &[u8], name: &[u8]) -> Done {
    let group = stream::read(ctx, key)?.and_then(|stream| stream.group(name));
    group.map(|_| ()).ok_or_else(|| no_group(key, name, ""))
}

/// The consumer that claims, and whether it was made: where there is none it is.
fn claimer(ctx: &mut Ctx<'_>, args: Args<'_>) -> Option<(ConsumerId, bool)> {
    let (key, now_ms) = (args[1], ctx.unix_ms());
    let stream = stream::write(ctx, key).ok()??;
    let group = stream.group_mut(args[2])?;
    let (id, made) = group.find_or_create(args[3], now_ms);
    group.consumer_mut(id).seen_ms = now_ms;
    if made {
        ctx.effects.dirty += 1;
        ctx.event(key, EventClass::Stream, "xgroup-createconsumer");
    }
    Some((id, made))
}

/// An entry is gone from the stream: it is pending no more.
fn forget(group: &mut Group, id: StreamId, word: &[u8], claims: &mut Claims<'_>) -> bool {
    let Some(pending) = group.pending(id) else {
        return false;
    };
    let name = group.consumer(pending.consumer).name();
    claims.add_as(word, name, pending, group.last_id);
    group.acknowledge(id);
    true
}

/// XCLAIM key group consumer min-idle-time id … [IDLE ms] [TIME unix-ms] [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID id]
pub(crate) fn xclaim(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (key, name, now_ms) = (args[1], args[2], ctx.unix_ms());
    claimed_group(ctx, key, name)?;
    let claiming = Claiming::read(args, now_ms.cast_signed())?;
    ctx.effects.propagate_nothing();
    let Some((consumer, made)) = claimer(ctx, args) else {
        return Ok(());
    };
    let Some(ValueMut::Stream(stream)) = ctx.keyspace.db(ctx.db).write(key) else {
        return Ok(());
    };
    let mut moved = false;
    if let Some(group) = stream.group_mut(name)
        && claiming.last_id > group.last_id
    {
        group.last_id = claiming.last_id;
        moved = true;
    }
    let mut claims = Claims::new(key, name);
    let array = ctx.reply.begin_array();
    let mut length = 0;
    for (id, word) in claiming.ids.iter().zip(&args[5..]) {
        if let Some(pending) = claim_one(stream, name, consumer, *id, &claiming, now_ms) {
            if claiming.just_id {
                reply_id(ctx.reply, *id);
            } else if let Some(entry) = stream.get(*id) {
                reply_entry(ctx.reply, &entry);
            }
            length += 1;
            let last_id = stream
                .group(name)
                .map_or(StreamId::MIN, |group| group.last_id);
            claims.add_as(word, args[3], pending, last_id);
        } else if !stream.contains(*id)
            && let Some(group) = stream.group_mut(name)
        {
            forget(group, *id, word, &mut claims);
        }
    }
    ctx.reply.end_array(array, length);
    ctx.effects.dirty += claims.commands.len() as u64;
    let group = stream
        .group(name)
        .filter(|_| moved && claims.commands.is_empty());
    if let Some(group) = group {
        ctx.effects.dirty += 1;
        propagate_group_id(ctx.effects, key, name, group.last_id, group.entries_read);
    }
    claims.propagate_with(ctx.effects, made.then_some(args[3]));
    Ok(())
}

/// Gives one entry to the consumer, if it is there and may be claimed.
fn claim_one(
    stream: &mut Stream,
    group: &[u8],
    consumer: ConsumerId,
    id: StreamId,
    claiming: &Claiming,
    now_ms: u64,
) -> Option<Pending> {
    if !stream.contains(id) {
        return None;
    }
    let group = stream.group_mut(group)?;
    let known = group.pending(id);
    let idle = |known: Pending| now_ms.cast_signed() - known.delivered_ms.cast_signed();
    let (count, may) = match known {
        Some(known) => (
            known.count,
            claiming.min_idle == 0 || idle(known) >= claiming.min_idle,
        ),
        // As one that was delivered once.
        None => (1, claiming.force),
    };
    if !may {
        return None;
    }
    let count = match claiming.count {
        Some(count) => count,
        None if claiming.just_id => count,
        None => count.saturating_add(1),
    };
    let pending = Pending {
        delivered_ms: claiming.delivered_ms(now_ms),
        count,
        consumer,
    };
    group.deliver(id, pending);
    group.consumer_mut(consumer).active_ms = Some(now_ms);
    Some(pending)
}

/// What XAUTOCLAIM is told.
struct Sweep {
    min_idle: i64,
    from: StreamId,
    count: usize,
    just_id: bool,
}

impl Sweep {
    fn read(args: Args<'_>) -> Result<Self, Error> {
        /// The most that COUNT may be.
        const MOST: i64 = i64::MAX / 16;
        let min_idle = number(args[4], "ERR Invalid min-idle-time argument for XAUTOCLAIM")?;
        let mut sweep = Self {
            min_idle: min_idle.max(0),
            from: start_id(args[5])?,
            count: 100,
            just_id: false,
        };
        let mut reader = Reader::from(args, 6);
        while !reader.is_empty() {
            if reader.takes_with("COUNT", 1) {
                let text = "ERR COUNT must be > 0";
                let count = number(reader.word()?, text)?;
                let count = usize::try_from(count).ok();
                let count =
                    count.filter(|count| (1..=MOST.unsigned_abs()).contains(&(*count as u64)));
                sweep.count = count.ok_or(Error::text(text))?;
            } else if reader.takes("JUSTID") {
                sweep.just_id = true;
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(sweep)
    }
}

/// XAUTOCLAIM key group consumer min-idle-time start [COUNT count] [JUSTID]
pub(crate) fn xautoclaim(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (key, name, now_ms) = (args[1], args[2], ctx.unix_ms());
    let group = claimed_group(ctx, key, name);
    let sweep = Sweep::read(args)?;
    group?;
    ctx.effects.propagate_nothing();
    let Some((consumer, made)) = claimer(ctx, args) else {
        return Ok(());
    };
    let Some(ValueMut::Stream(stream)) = ctx.keyspace.db(ctx.db).write(key) else {
        return Ok(());
    };
    let mut claims = Claims::new(key, name);
    let (next, claimed, deleted) =
        sweep.run(stream, name, (consumer, args[3]), now_ms, &mut claims);
    ctx.reply.array(3);
    reply_id(ctx.reply, next.unwrap_or(StreamId::MIN));
    ctx.reply.array(claimed.len());
    for id in claimed {
        match stream.get(id) {
            Some(entry) if !sweep.just_id => reply_entry(ctx.reply, &entry),
            _ => reply_id(ctx.reply, id),
        }
    }
    ctx.reply.array(deleted.len());
    for id in deleted {
        reply_id(ctx.reply, id);
    }
    ctx.effects.dirty += claims.commands.len() as u64;
    claims.propagate_with(ctx.effects, made.then_some(args[3]));
    Ok(())
}

/// Where to go on, what was claimed, and what was found deleted.
type Swept = (Option<StreamId>, Vec<StreamId>, Vec<StreamId>);

impl Sweep {
    fn run(
        &self,
        stream: &mut Stream,
        name: &[u8],
        (consumer, consumer_name): (ConsumerId, &[u8]),
        now_ms: u64,
        claims: &mut Claims<'_>,
    ) -> Swept {
        /// So many pending entries are looked at for one that is claimed.
        const ATTEMPTS: usize = 10;
        let Some(group) = stream.group(name) else {
            return (None, Vec::new(), Vec::new());
        };
        let (mut claimed, mut deleted) = (Vec::new(), Vec::new());
        let mut all = group.pending_range(self.from, StreamId::MAX);
        let idle = |known: Pending| now_ms.cast_signed() - known.delivered_ms.cast_signed();
        for _ in 0..self.count.saturating_mul(ATTEMPTS) {
            if claimed.len() + deleted.len() == self.count {
                break;
            }
            let Some((id, pending)) = all.next() else {
                break;
            };
            if !stream.contains(id) {
                deleted.push(id);
            } else if self.min_idle == 0 || idle(pending) >= self.min_idle {
                claimed.push((id, pending));
            }
        }
        let next = all.next().map(|(id, _)| id);
        let Some(group) = stream.group_mut(name) else {
            return (None, Vec::new(), Vec::new());
        };
        for id in &deleted {
            forget(group, *id, id.to_string().as_bytes(), claims);
        }
        for (id, known) in &claimed {
            let pending = Pending {
                delivered_ms: now_ms,
                count: known.count.saturating_add(u64::from(!self.just_id)),
                consumer,
            };
            group.deliver(*id, pending);
            group.consumer_mut(consumer).active_ms = Some(now_ms);
            claims.add(*id, consumer_name, pending, group.last_id);
        }
        let claimed = claimed.into_iter().map(|(id, _)| id).collect();
        (next, claimed, deleted)
    }
}
