//! XINFO.

use resp::Reply;
use store::{Group, Stream, StreamId, Value};

use crate::args::{int, is};
use crate::stream::{reply_entries, reply_entry, reply_id};
use crate::stream_groups::no_group_at;
use crate::{Args, Ctx, Done, Error};

/// The stream at a key, which has to be there. The reply stays free.
fn stream_at<'a>(
    keyspace: &'a mut store::Keyspace,
    db: usize,
    key: &[u8],
) -> Result<&'a Stream, Error> {
    match keyspace.db(db).read(key) {
        None => Err(Error::NoSuchKey),
        Some(Value::Stream(stream)) => Ok(stream),
        Some(_) => Err(Error::WrongType),
    }
}

/// XINFO STREAM key [FULL [COUNT count]]
pub(crate) fn stream(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let stream = stream_at(ctx.keyspace, ctx.db, args[2])?;
    let full = match &args[3..] {
        [] => None,
        [full] if is(full, "FULL") => Some(10),
        [full, count, number] if is(full, "FULL") && is(count, "COUNT") => {
            Some(u64::try_from(int(number)?).unwrap_or(10))
        }
        _ => return Err(Error::subcommand("XINFO", args[1])),
    };
    let reply = &mut *ctx.reply;
    reply.map(if full.is_some() { 9 } else { 10 });
    reply_counters(reply, stream);
    match full {
        None => {
            reply.bulk("groups");
            reply.count(stream.groups().len());
            for (name, entry) in [
                ("first-entry", stream.first()),
                ("last-entry", stream.last()),
            ] {
                reply.bulk(name);
                match entry {
                    Some(entry) => reply_entry(reply, &entry),
                    None => reply.nil(),
                }
            }
        }
        Some(count) => reply_full(reply, stream, count),
    }
    Ok(())
}

fn reply_counters(reply: &mut Reply, stream: &Stream) {
    reply.bulk("length");
    reply.int(stream.len().cast_signed());
    reply.bulk("radix-tree-keys");
    reply.count(stream.node_count());
    reply.bulk("radix-tree-nodes");
    reply.count(tree_nodes(stream));
    reply.bulk("last-generated-id");
    reply_id(reply, stream.last_id());
    reply.bulk("max-deleted-entry-id");
    reply_id(reply, stream.max_deleted_id());
    reply.bulk("entries-added");
    reply.int(stream.entries_added().cast_signed());
    reply.bulk("recorded-first-entry-id");
    let first = stream.first().map_or(StreamId::MIN, |entry| entry.id());
    reply_id(reply, first);
}

/// How many nodes a radix tree with these keys would have; of a long stream as many as there are keys, which is about right.
fn tree_nodes(stream: &Stream) -> usize {
    const COUNTED: usize = 4096;
    let keys = stream.node_count();
    if keys == 0 || keys > COUNTED {
        return keys.max(1);
    }
    let bytes = stream.node_ids().map(|id| {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&id.ms.to_be_bytes());
        key[8..].copy_from_slice(&id.seq.to_be_bytes());
        key
    });
    nodes_below(&bytes.collect::<Vec<_>>(), 0)
}

/// The nodes for keys that are alike up to a depth: one for what they all go on with, one where they part, and those below.
fn nodes_below(keys: &[[u8; 16]], depth: usize) -> usize {
    let (Some(first), Some(last)) = (keys.first(), keys.last()) else {
        return 0;
    };
    if depth == first.len() {
        return 1;
    }
    if keys.len() == 1 {
        return 2;
    }
    let common = first[depth..].iter().zip(&last[depth..]);
    let parts = depth + common.take_while(|(a, b)| a == b).count();
    let below = keys.chunk_by(|a, b| a[parts] == b[parts]);
    let below: usize = below.map(|keys| nodes_below(keys, parts + 1)).sum();
    usize::from(parts > depth) + 1 + below
}

/// The rest of XINFO STREAM FULL. A count of 0 stands for all.
fn reply_full(reply: &mut Reply, stream: &Stream, count: u64) {
    let most = match usize::try_from(count) {
        Ok(0) | Err(_) => usize::MAX,
        Ok(count) => count,
    };
    reply.bulk("entries");
    reply_entries(reply, stream.range(StreamId::MIN, StreamId::MAX).take(most));
    reply.bulk("groups");
    reply.array(stream.groups().len());
    for (name, group) in stream.groups() {
        reply.map(7);
        reply.bulk("name");
        reply.bulk(name);
        reply.bulk("last-delivered-id");
        reply_id(reply, group.last_id);
        reply_progress(reply, stream, group);
        reply.bulk("pel-count");
        reply.count(group.pending_len());
        reply.bulk("pending");
        reply.array(group.pending_len().min(most));
        for (id, pending) in group.pending_range(StreamId::MIN, StreamId::MAX).take(most) {
            reply.array(4);
            reply_id(reply, id);
            reply.bulk(group.consumer(pending.consumer).name());
            reply.int(pending.delivered_ms.cast_signed());
            reply.int(pending.count.cast_signed());
        }
        reply.bulk("consumers");
        reply_consumers(reply, group, most);
    }
}

fn reply_consumers(reply: &mut Reply, group: &Group, most: usize) {
    reply.array(group.consumers().len());
    for (_, consumer) in group.consumers() {
        reply.map(5);
        reply.bulk("name");
        reply.bulk(consumer.name());
        reply.bulk("seen-time");
        reply.int(consumer.seen_ms.cast_signed());
        reply.bulk("active-time");
        reply.int(consumer.active_ms.map_or(-1, u64::cast_signed));
        reply.bulk("pel-count");
        reply.count(consumer.pending_len());
        reply.bulk("pending");
        reply.array(consumer.pending_len().min(most));
        let ids = consumer.pending_range(StreamId::MIN, StreamId::MAX);
        for (id, pending) in ids
            .filter_map(|id| Some((id, group.pending(id)?)))
            .take(most)
        {
            reply.array(3);
            reply_id(reply, id);
            reply.int(pending.delivered_ms.cast_signed());
            reply.int(pending.count.cast_signed());
        }
    }
}

/// `entries-read` and `lag`.
fn reply_progress(reply: &mut Reply, stream: &Stream, group: &Group) {
    reply.bulk("entries-read");
    match group.entries_read {
        Some(read) => reply.int(read.cast_signed()),
        None => reply.nil(),
    }
    reply.bulk("lag");
    match stream.lag(group) {
        Some(lag) => reply.int(lag),
        None => reply.nil(),
    }
}

/// XINFO GROUPS key
pub(crate) fn groups(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let stream = stream_at(ctx.keyspace, ctx.db, args[2])?;
    let reply = &mut *ctx.reply;
    reply.array(stream.groups().len());
    for (name, group) in stream.groups() {
        reply.map(6);
        reply.bulk("name");
        reply.bulk(name);
        reply.bulk("consumers");
        reply.count(group.consumers().len());
        reply.bulk("pending");
        reply.count(group.pending_len());
        reply.bulk("last-delivered-id");
        reply_id(reply, group.last_id);
        reply_progress(reply, stream, group);
    }
    Ok(())
}

/// XINFO CONSUMERS key group
pub(crate) fn consumers(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let now_ms = ctx.unix_ms().cast_signed();
    let stream = stream_at(ctx.keyspace, ctx.db, args[2])?;
    let group = stream
        .group(args[3])
        .ok_or_else(|| no_group_at(args[2], args[3]))?;
    let reply = &mut *ctx.reply;
    reply.array(group.consumers().len());
    for (_, consumer) in group.consumers() {
        reply.map(4);
        reply.bulk("name");
        reply.bulk(consumer.name());
        reply.bulk("pending");
        reply.count(consumer.pending_len());
        reply.bulk("idle");
        reply.int((now_ms - consumer.seen_ms.cast_signed()).max(0));
        reply.bulk("inactive");
        let active = consumer.active_ms.map(u64::cast_signed);
        reply.int(active.map_or(-1, |active| now_ms - active));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_radix_tree_is_counted() {
        let mut stream = Stream::new();
        assert_eq!(tree_nodes(&stream), 1);
        let limits = store::Limits {
            stream_node_entries: 1,
            ..store::Limits::default()
        };
        // Counted in Valkey 9.1: the keys share a prefix, then part in the last byte of the milliseconds.
        for (ms, nodes) in [(1, 2), (2, 6), (3, 8), (256, 11)] {
            let fields = [(&b"f"[..], &b"v"[..])].into_iter();
            let added = stream.append(StreamId::new(ms, 0), fields, &limits);
            assert_eq!(added, Ok(()));
            assert_eq!(tree_nodes(&stream), nodes, "with {ms}");
        }
    }
}
