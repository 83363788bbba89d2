//! MEMORY: what memory is used for.

use commands::{Args, Done, Error, args};

use crate::accounts::{percent, ratio};
use crate::info::human;
use crate::{ClientId, Engine};

/// MEMORY USAGE key [SAMPLES count]: how many elements are looked at is not to be chosen.
pub(crate) fn usage(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let mut rest = &args[3..];
    while let [word, count, more @ ..] = rest {
        if !args::is(word, "SAMPLES") || args::int(count)? < 0 {
            return Err(Error::Syntax);
        }
        rest = more;
    }
    if !rest.is_empty() {
        return Err(Error::Syntax);
    }
    let db = engine.sessions.clients[id].db;
    let bytes = engine.shard.keyspace.db_ref(db).key_bytes(args[2]);
    let out = &mut engine.sessions.clients[id].out;
    match bytes {
        Some(bytes) => out.count(bytes),
        None => out.nil(),
    }
    Ok(())
}

/// MEMORY STATS
pub(crate) fn stats(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    let all = engine.accounts();
    let peak = engine.meter.stats.memory_peak.max(all.used);
    engine.meter.stats.memory_peak = peak;
    let rss = engine.host.process().rss;
    let tables: Vec<_> = (0..engine.shard.keyspace.databases())
        .map(|db| (db, engine.shard.keyspace.db_ref(db)))
        .map(|(number, db)| (number, db.table_bytes()))
        .filter(|(_, bytes)| *bytes > 0)
        .collect();
    let counts = [
        ("peak.allocated", peak),
        ("total.allocated", all.used),
        ("startup.allocated", all.startup),
        ("replication.backlog", all.backlog),
        ("replicas.repl.buffer", all.buffered),
        ("clients.slaves", all.replicas),
        ("clients.normal", all.clients),
        ("aof.buffer", all.append_only),
        ("lua.caches", all.scripts),
        ("overhead.total", all.overhead()),
        ("keys.count", all.keys),
        ("keys.bytes-per-key", all.bytes_per_key()),
        ("dataset.bytes", all.dataset()),
    ];
    let shares = [
        ("dataset.percentage", all.dataset_percent()),
        ("peak.percentage", percent(all.used, peak)),
        ("fragmentation", ratio(rss, all.used)),
    ];
    let out = &mut engine.sessions.clients[id].out;
    out.map(counts.len() + tables.len() + shares.len() + 1);
    for (name, count) in counts {
        out.bulk(name);
        out.count(count);
    }
    for (number, bytes) in tables {
        out.bulk(format!("db.{number}"));
        // Times of expiry lie with their keys.
        out.map(1);
        out.bulk("overhead.hashtable.main");
        out.count(bytes);
    }
    for (name, share) in shares {
        out.bulk(name);
        out.double(share);
    }
    out.bulk("fragmentation.bytes");
    let int = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
    out.int(int(rss) - int(all.used));
    Ok(())
}

/// MEMORY DOCTOR
pub(crate) fn doctor(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    let text = report(engine);
    engine.sessions.clients[id].out.verbatim("txt", text);
    Ok(())
}

/// Below this there is nothing to say about memory.
const SMALL: usize = 5 << 20;

fn report(engine: &Engine) -> String {
    let all = engine.accounts();
    if all.used < SMALL {
        return format!(
            "Only {} are in use: too little for anything to stand out. Ask again when there are data.\n",
            human(all.used)
        );
    }
    let mut found = Vec::new();
    let rss = engine.host.process().rss;
    if engine.meter.stats.memory_peak > all.used / 2 * 3 {
        found.push(format!(
            "The peak was {}, one and a half times of what is in use now. Pages that are free go back by themselves.",
            human(engine.meter.stats.memory_peak)
        ));
    }
    if rss > all.used / 5 * 7 && rss - all.used > 10 << 20 {
        found.push(format!(
            "The process holds {} for {} in use: fragmentation, or a peak that is over.",
            human(rss),
            human(all.used)
        ));
    }
    let connections = engine.sessions.clients.iter().count().max(1);
    if all.clients / connections > 200 << 10 {
        found.push(format!(
            "Clients' buffers take {}. Look in CLIENT LIST for one that does not read its replies (omem).",
            human(all.clients)
        ));
    }
    if all.replicas > 10 << 20 {
        found.push(format!(
            "Replicas' buffers take {}: one of them is slow, or too far away.",
            human(all.replicas)
        ));
    }
    if found.is_empty() {
        return "Nothing stands out.\n".to_owned();
    }
    found.iter().map(|line| format!("* {line}\n")).collect()
}

/// MEMORY MALLOC-STATS
pub(crate) fn malloc_stats(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    let text = engine.host.allocator_report();
    engine.sessions.clients[id].out.verbatim("txt", text);
    Ok(())
}

/// MEMORY PURGE: what waits to be freed is freed. The allocator gives free pages back by itself, a tenth of a second later.
pub(crate) fn purge(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    engine.free_garbage();
    engine.sessions.clients[id].out.ok();
    Ok(())
}
