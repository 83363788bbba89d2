//! DEBUG: looking inside, for developers and tests.

use std::fmt::Write as _;
use std::time::Duration;

use commands::{Args, Done, Error, args};
use resp::Protocol;
use resp::number::{DoubleBuffer, scan_double};
use sha1::{Digest as _, Sha1};
use store::{Db, StrNew, StreamId, Type, Value};

use crate::configure::write_file;
use crate::{ClientId, Crash, Engine};

/// The longest DEBUG SLEEP, seconds.
const MOST_SLEEP_SECONDS: f64 = 3600.0;

/// The subcommands, but for those that tests of the cluster alone need.
const HELP: &[(&str, &str)] = &[
    (
        "AOF-FLUSH-SLEEP <microsec>",
        "Sleep before each write to the append-only file",
    ),
    ("ASSERT", "Abort the process"),
    ("CHANGE-REPL-ID", "Give the replication stream another name"),
    (
        "CONFIG-REWRITE-FORCE-ALL",
        "Rewrite the configuration file with all directives",
    ),
    (
        "DELAY-RDB-CLIENT-FREE-SECONDS <seconds>",
        "Keep the stream so long for a replica that has its dump",
    ),
    ("DIGEST", "Tell a hash of all data"),
    (
        "DIGEST-VALUE <key> [<key> ...]",
        "Tell a hash of each value",
    ),
    ("ERROR <text>", "Answer with an error"),
    ("HTSTATS <dbid>", "Tell facts about a database's table"),
    ("HTSTATS-KEY <key>", "Tell facts about the table of a value"),
    ("LOADAOF", "Write the append-only file and load it again"),
    ("LOG <message>", "Write a line to the log"),
    ("OBJECT <key>", "Tell how a value is kept"),
    ("PANIC", "End the process by a panic"),
    (
        "PAUSE-AFTER-FORK <0|1>",
        "Stop the process where it forks for a replica",
    ),
    (
        "POPULATE <count> [<prefix>] [<size>]",
        "Make keys with text values",
    ),
    (
        "PROTOCOL <type>",
        "Answer with a value of a type of the protocol",
    ),
    (
        "RELOAD [MERGE] [NOFLUSH] [NOSAVE]",
        "Save the data and load them again",
    ),
    (
        "REPLICATE <command> [<arg> ...]",
        "Send a command to the replicas",
    ),
    (
        "REPLYBUFFER <what> <value>",
        "Check an option of reply buffers",
    ),
    (
        "RESTART [<milliseconds>]",
        "Shut down in good order and start again",
    ),
    ("SDSLEN <key>", "Tell the lengths of a key and of its text"),
    ("SEGFAULT", "End the process by a fault"),
    (
        "SET-ACTIVE-EXPIRE <0|1>",
        "Delete expired keys that nobody asks for, or not",
    ),
    (
        "SET-DISABLE-DENY-SCRIPTS <0|1>",
        "Let scripts run every command",
    ),
    (
        "SET-SKIP-CHECKSUM-VALIDATION <0|1>",
        "Load data whatever their checksum is",
    ),
    ("SLEEP <seconds>", "Serve nobody for a while"),
    ("STRUCTSIZE", "Tell the width of the machine"),
];

/// DEBUG subcommand …
pub(crate) fn debug(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let word = args[1].to_ascii_lowercase();
    if let Some(told) = tell(engine, id, &word, args) {
        return told;
    }
    let done = switch(engine, &word, args).or_else(|| act(engine, id, &word, args));
    done.unwrap_or_else(|| Err(Error::subcommand("DEBUG", args[1])))?;
    engine.sessions.clients[id].out.ok();
    Ok(())
}

/// Subcommands with a reply of their own; none where it is another one.
fn tell(engine: &mut Engine, id: ClientId, word: &[u8], args: Args<'_>) -> Option<Done> {
    Some(match (word, args) {
        (b"object", [_, _, key]) => object(engine, id, key, false),
        (b"object", [_, _, key, how]) => object(engine, id, key, args::is(how, "FAST")),
        (b"help", [_, _]) => {
            let out = &mut engine.sessions.clients[id].out;
            crate::describe::help_lines(out, "DEBUG", HELP);
            Ok(())
        }
        (b"structsize", [_, _]) => {
            let out = &mut engine.sessions.clients[id].out;
            out.bulk(format!("bits:{}", usize::BITS));
            Ok(())
        }
        (b"htstats-key", [_, _, key, ..]) => value_table_facts(engine, id, key),
        (b"htstats", [_, _, db, ..]) => table_facts(engine, id, db),
        (b"sdslen", [_, _, key]) => string_lengths(engine, id, key),
        (b"digest", [_, _]) => digest(engine, id),
        (b"digest-value", _) => {
            digest_values(engine, id, &args[2..]);
            Ok(())
        }
        (b"protocol", [_, _, kind]) => protocol(engine, id, kind),
        (b"restart", [_, _]) => restart(engine, b"0"),
        (b"restart", [_, _, delay]) => restart(engine, delay),
        (b"error", [_, _, text]) => {
            engine.sessions.clients[id].out.error(text);
            Ok(())
        }
        _ => return None,
    })
}

/// Subcommands that change how the server works from now on; none where it is another one.
fn switch(engine: &mut Engine, word: &[u8], args: Args<'_>) -> Option<Done> {
    match (word, args) {
        // Switches of tables, nodes and clients that are not built here as there.
        (
            b"dict-resizing"
            | b"hashtable-can-abort-shrink"
            | b"force-free-primary-async"
            | b"protect-client",
            [_, _, _],
        ) => {}
        (b"quicklist-packed-threshold", [_, _, size])
            if conf::value::parse_memory(size).is_some() => {}
        (b"quicklist-packed-threshold", [_, _, _]) => {
            return Some(Err(Error::text(
                "ERR argument must be a memory value bigger than 1 and smaller than 4gb",
            )));
        }
        (b"aof-flush-sleep", [_, _, micros]) => {
            let micros = resp::number::scan_integer(micros).value;
            let micros = u64::try_from(micros).unwrap_or(0);
            engine.journal.append_only.flush_sleep = Duration::from_micros(micros);
        }
        (b"replybuffer", [_, verb, what, value]) => {
            return Some(reply_buffers(verb, what, value));
        }
        (b"set-skip-checksum-validation", [_, _, on]) => {
            engine.shard.settings.trust.any_checksum = is_on(on);
        }
        (b"delay-rdb-client-free-seconds", [_, _, seconds]) => {
            let seconds = resp::number::scan_integer(seconds).value;
            engine.switches.dump_client_grace_s = u64::try_from(seconds).unwrap_or(0);
        }
        (
            b"set-disable-deny-scripts"
            | b"set-active-expire"
            | b"pause-cron"
            | b"pause-after-fork"
            | b"client-enforce-reply-list",
            [_, _, on],
        ) => turn(engine, word, is_on(on)),
        (
            b"clusterlink"
            | b"drop-cluster-packet-filter"
            | b"close-cluster-link-on-packet-drop"
            | b"disable-cluster-random-ping"
            | b"disable-cluster-reconnection",
            _,
        ) => return Some(crate::cluster::break_bus(engine, args)),
        (b"slotmigration", _) => return Some(crate::slot_migration::debug(engine, args)),
        _ => return None,
    }
    Some(Ok(()))
}

/// Subcommands that do something at once; none where there is no such.
fn act(engine: &mut Engine, id: ClientId, word: &[u8], args: Args<'_>) -> Option<Done> {
    match (word, args) {
        (b"segfault", _) => engine.host.crash(Crash::Fault),
        (b"assert", _) => engine.host.crash(Crash::Abort),
        (b"panic", _) => engine.host.crash(Crash::Panic),
        (b"oom", _) => {
            return Some(Err(Error::text(
                "ERR DEBUG OOM is not offered: the allocator would end the process",
            )));
        }
        (b"reload", _) => return Some(reload(engine, args)),
        (b"loadaof", _) => {
            return Some(engine.reload_append_only().map_err(|error| {
                tracing::warn!("DEBUG LOADAOF: {error}");
                Error::text("ERR Error trying to load the AOF files, check server logs.")
            }));
        }
        (b"populate", [_, _, count]) => return Some(populate(engine, id, count, b"key", None)),
        (b"populate", [_, _, count, prefix]) => {
            return Some(populate(engine, id, count, prefix, None));
        }
        (b"populate", [_, _, count, prefix, size]) => {
            return Some(populate(engine, id, count, prefix, Some(size)));
        }
        (b"config-rewrite-force-all", [_, _]) => return Some(write_file(engine, true)),
        (b"sleep", [_, _, seconds]) => {
            let seconds = scan_double(seconds).value.clamp(0.0, MOST_SLEEP_SECONDS);
            // NaN, which no bound holds, sleeps as little as 3.0 does.
            let time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
            engine.host.sleep(time);
        }
        (b"log", [_, _, text]) => log(text),
        (b"replicate", [_, _, _, ..]) => engine.feed_replicas(None, &args[2..]),
        (b"change-repl-id", [_, _]) => change_stream_name(engine),
        _ => return None,
    }
    Some(Ok(()))
}

fn change_stream_name(engine: &mut Engine) {
    tracing::info!("Changing replication IDs after receiving DEBUG change-repl-id");
    engine.rename_stream();
}

fn log(text: &[u8]) {
    tracing::warn!("DEBUG LOG: {}", String::from_utf8_lossy(text));
}

/// DEBUG RESTART [milliseconds]: ends as SHUTDOWN does, and starts again.
fn restart(engine: &mut Engine, delay: &[u8]) -> Done {
    let delay_ms = u64::try_from(args::int(delay)?).unwrap_or(0);
    // Where there is no file the server starts with the words it was started with.
    let _ = crate::configure::write_file(engine, false);
    engine.act(crate::Action::Restart { delay_ms });
    if engine.prepare_end(conf::ShutdownFlags::default()) {
        Ok(())
    } else {
        Err(Error::text(
            "ERR failed to restart the server. Check server logs.",
        ))
    }
}

fn digest(engine: &mut Engine, id: ClientId) -> Done {
    let digest = dataset_digest(engine);
    engine.sessions.clients[id].out.status(digest);
    Ok(())
}

/// Turns a switch on or off.
fn turn(engine: &mut Engine, switch: &[u8], on: bool) {
    match switch {
        b"set-active-expire" => engine.shard.active_expire = on,
        b"pause-cron" => engine.switches.no_ticks = on,
        b"pause-after-fork" => engine.switches.stops_after_fork = on,
        b"client-enforce-reply-list" => engine.switches.whole_blocks = on,
        _ => engine.scripting.calls_anything = on,
    }
}

/// A switch's word, read as C does: any number but zero is on.
fn is_on(word: &[u8]) -> bool {
    resp::number::scan_integer(word).value != 0
}

/// DEBUG REPLYBUFFER PEAK-RESET-TIME|RESIZING: no client has a buffer of replies that grows and shrinks by its use.
fn reply_buffers(verb: &[u8], what: &[u8], value: &[u8]) -> Done {
    let never_or_reset = args::is(value, "NEVER") || args::is(value, "RESET");
    if args::is(what, "PEAK-RESET-TIME") {
        return if never_or_reset {
            Ok(())
        } else {
            args::int(value).map(drop)
        };
    }
    if args::is(what, "RESIZING") {
        return Ok(());
    }
    Err(Error::subcommand("DEBUG", verb))
}

/// DEBUG RELOAD [MERGE] [NOFLUSH] [NOSAVE]
fn reload(engine: &mut Engine, args: Args<'_>) -> Done {
    let (mut save, mut empty, mut merge) = (true, true, false);
    for option in &args[2..] {
        match option.to_ascii_lowercase().as_slice() {
            b"merge" => merge = true,
            b"noflush" => empty = false,
            b"nosave" => save = false,
            _ => {
                return Err(Error::text(
                    "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
                ));
            }
        }
    }
    if save {
        engine.save_now().map_err(|_| Error::text("ERR"))?;
    }
    let request = engine.save_request();
    check_header(engine, &request.path).map_err(|error| unloadable(&error))?;
    if empty {
        engine.empty_keyspace();
        engine.forget_libraries();
    }
    let before = engine.shard.keyspace.clock().expiry();
    engine
        .shard
        .keyspace
        .clock()
        .set_expiry(store::ExpiryMode::Ignore);
    let loaded = engine.host.load(
        &mut engine.shard.keyspace,
        &request,
        &engine.shard.settings.limits,
        merge,
    );
    engine.shard.keyspace.clock().set_expiry(before);
    let loaded = loaded.and_then(|codes| {
        let result = engine.load_libraries(&codes, merge);
        result.map_err(|error| error.to_string())
    });
    loaded.map_err(|error| unloadable(&error))?;
    tracing::warn!("DB reloaded by DEBUG RELOAD");
    Ok(())
}

/// Whether a dump file begins as one that can be read: the data make room only for that.
fn check_header(engine: &mut Engine, path: &[u8]) -> Result<(), String> {
    let (source, _) = engine.host.read_append(path)?;
    let opened = rdb::Reader::open(rdb::Input::new(source), rdb::Options::default());
    opened.map(drop).map_err(|error| error.to_string())
}

fn unloadable(error: &str) -> Error {
    tracing::warn!("{error}");
    Error::text("ERR Error trying to load the RDB dump, check server logs.")
}

fn object(engine: &mut Engine, id: ClientId, key: &[u8], fast: bool) -> Done {
    let client = &engine.sessions.clients[id];
    let db = engine.shard.keyspace.db_ref(client.db);
    let value = db.peek(key).ok_or(Error::NoSuchKey)?;
    let encoding = db.encoding(key).map_or("raw", store::Encoding::name);
    let mut text = format!("Value at:0x0 refcount:1 encoding:{encoding}");
    if !fast {
        // The payload has a type byte in front, and a version and checksum of ten bytes behind.
        let compress = engine.config.rdbcompression;
        let payload = rdb::dump(&mut engine.shard.dumper, value, compress);
        let length = payload.map_or(0, |payload| payload.len() - 11);
        let _ = write!(text, " serializedlength:{length}");
    }
    let _ = match db.frequency(key) {
        Some(often) => write!(text, " lfu_freq:{often}"),
        None => {
            let idle = db.idle_seconds(key).unwrap_or(0);
            let lru = u64::from(engine.shard.keyspace.clock().lru()).saturating_sub(idle);
            write!(text, " lru:{lru} lru_seconds_idle:{idle}")
        }
    };
    if db.encoding(key) == Some(store::Encoding::Quicklist) {
        let mut unused = engine.config.unused.names();
        let depth = unused.find(|name| *name == "list-compress-depth");
        let _ = write!(
            text,
            " ql_listpack_max:{} ql_compressed:{}",
            engine.config.list_max_listpack_size,
            u8::from(depth.is_some()),
        );
    }
    engine.sessions.clients[id].out.status(text);
    Ok(())
}

/// DEBUG HTSTATS database: how many places a database's table has, and how many keys are in it.
fn table_facts(engine: &mut Engine, id: ClientId, number: &[u8]) -> Done {
    let number = args::int(number)?;
    let number = usize::try_from(number).ok();
    let number = number.filter(|number| *number < engine.shard.keyspace.databases());
    let db = number.ok_or(Error::text("ERR Out of range database"))?;
    let db = engine.shard.keyspace.db_ref(db);
    let mut text = "[Dictionary HT]\n".to_owned();
    if !db.is_empty() {
        let _ = write!(
            text,
            "Hash table 0 stats (main hash table):\n table size: {}\n number of elements: {}\n",
            db.table_bytes() / size_of::<usize>(),
            db.len(),
        );
    }
    text.push_str("[Expires HT]\n");
    engine.sessions.clients[id].out.verbatim("txt", text);
    Ok(())
}

/// DEBUG HTSTATS-KEY key: how many entries the table of a large value has.
fn value_table_facts(engine: &mut Engine, id: ClientId, key: &[u8]) -> Done {
    let client = &mut engine.sessions.clients[id];
    let db = engine.shard.keyspace.db_ref(client.db);
    let value = db.peek(key).ok_or(Error::NoSuchKey)?;
    let entries = match (value, db.encoding(key)) {
        (Value::Set(set), Some(store::Encoding::Hashtable)) => set.len(),
        (Value::Hash(hash), Some(store::Encoding::Hashtable)) => hash.len(),
        (Value::Zset(zset), Some(store::Encoding::Skiplist)) => zset.len(),
        _ => {
            return Err(Error::text(
                "ERR The value stored at the specified key is not represented using an hash table",
            ));
        }
    };
    let text = format!("Hash table 0 stats (main hash table):\n number of entries: {entries}\n");
    client.out.verbatim("txt", text);
    Ok(())
}

/// DEBUG DIGEST-VALUE [key …]: a sum of each value; zeros where there is none.
fn digest_values(engine: &mut Engine, id: ClientId, keys: Args<'_>) {
    let client = &mut engine.sessions.clients[id];
    let db = engine.shard.keyspace.db_ref(client.db);
    client.out.array(keys.len());
    for key in keys {
        let mut sum = Sum::default();
        if let Some(value) = db.peek(key) {
            add_typed(&mut sum, value, db.expire_ms(key));
        }
        client.out.status(hex(&sum));
    }
}

fn string_lengths(engine: &mut Engine, id: ClientId, key: &[u8]) -> Done {
    let db = engine.shard.keyspace.db_ref(engine.sessions.clients[id].db);
    match db.peek(key).ok_or(Error::NoSuchKey)? {
        Value::Str(string) if db.encoding(key) != Some(store::Encoding::Int) => {
            let text = format!(
                "key_sds_len:{}, key_sds_avail:0, val_sds_len:{}, val_sds_avail:0",
                key.len(),
                string.len()
            );
            engine.sessions.clients[id].out.status(text);
            Ok(())
        }
        _ => Err(Error::text("ERR Not an sds encoded string.")),
    }
}

/// DEBUG POPULATE count [prefix [size]]: keys that are there already are left; a value of another size is cut, or filled up
/// with zero bytes.
fn populate(
    engine: &mut Engine,
    id: ClientId,
    count: &[u8],
    prefix: &[u8],
    size: Option<&[u8]>,
) -> Done {
    const MOST_BYTES: usize = 512 << 20;
    let positive = |word: &[u8]| {
        let number = usize::try_from(args::int(word).unwrap_or(-1));
        number.map_err(|_| Error::text("ERR value is out of range, must be positive"))
    };
    let count = positive(count)?;
    let size = size.map(positive).transpose()?;
    if size.is_some_and(|size| size > MOST_BYTES) {
        return Err(Error::text("ERR value is out of range"));
    }
    let db = engine.shard.keyspace.db(engine.sessions.clients[id].db);
    for number in 0..count {
        let number = number.to_string();
        let key = [prefix, b":", number.as_bytes()].concat();
        if !db.exists(&key) {
            let mut value = [b"value:", number.as_bytes()].concat();
            value.resize(size.unwrap_or(value.len()), 0);
            db.set_str(&key, StrNew::Bytes(&value));
        }
    }
    Ok(())
}

// ---- digest --------------------------------------------------------------------------------------------------------------

type Sum = [u8; 20];

fn sha1(bytes: &[u8]) -> Sum {
    Sha1::digest(bytes).into()
}

/// Adds something whose order does not matter.
fn add(sum: &mut Sum, bytes: &[u8]) {
    sum.iter_mut()
        .zip(sha1(bytes))
        .for_each(|(left, right)| *left ^= right);
}

/// Adds something whose order matters.
fn mix(sum: &mut Sum, bytes: &[u8]) {
    add(sum, bytes);
    *sum = sha1(sum);
}

/// A sum of all data that is equal for equal data, on Redis 3.0 too.
fn dataset_digest(engine: &Engine) -> String {
    let mut total = Sum::default();
    for number in 0..engine.shard.keyspace.databases() {
        let db = engine.shard.keyspace.db_ref(number);
        if db.total_len() == 0 {
            continue;
        }
        mix(
            &mut total,
            &u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes(),
        );
        add_database(&mut total, db);
    }
    hex(&total)
}

fn hex(sum: &Sum) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn add_database(total: &mut Sum, db: &Db) {
    db.for_each(|key, value, expire_ms| {
        let mut sum = Sum::default();
        mix(&mut sum, key);
        add_typed(&mut sum, value, expire_ms);
        total
            .iter_mut()
            .zip(sha1(&sum))
            .for_each(|(left, right)| *left ^= right);
    });
}

/// Adds a value's type, its content, and whether it expires.
fn add_typed(sum: &mut Sum, value: Value<'_>, expire_ms: Option<u64>) {
    let code: u32 = match value.kind() {
        Type::String => 0,
        Type::List => 1,
        Type::Set => 2,
        Type::Zset => 3,
        Type::Hash => 4,
        Type::Stream => 6,
    };
    mix(sum, &code.to_be_bytes());
    add_value(sum, value);
    if expire_ms.is_some() {
        add(sum, b"!!expire!!");
    }
}

fn add_value(sum: &mut Sum, value: Value<'_>) {
    match value {
        Value::Str(string) => mix(sum, string.bytes(&mut [0; 20])),
        Value::List(list) => list.iter_from(0).for_each(|element| mix(sum, element)),
        Value::Set(set) => set
            .iter()
            .for_each(|member| add(sum, member.bytes(&mut [0; 20]))),
        Value::Zset(zset) => {
            for (member, score) in zset.iter() {
                let mut each = Sum::default();
                mix(&mut each, member);
                mix(
                    &mut each,
                    DoubleBuffer::default().format_short(score).as_bytes(),
                );
                add(sum, &each);
            }
        }
        Value::Hash(hash) => {
            for (field, value) in hash.iter() {
                let mut each = Sum::default();
                mix(&mut each, field);
                mix(&mut each, value);
                add(sum, &each);
            }
        }
        Value::Stream(stream) => {
            for entry in stream.range(StreamId::MIN, StreamId::MAX) {
                let id = entry.id();
                mix(sum, format!("{}.{}", id.ms, id.seq).as_bytes());
                for (field, value) in entry.fields() {
                    mix(sum, field.bytes(&mut [0; 20]));
                    mix(sum, value.bytes(&mut [0; 20]));
                }
            }
        }
    }
}

/// DEBUG PROTOCOL kind: a reply of each kind that there is.
fn protocol(engine: &mut Engine, id: ClientId, kind: &[u8]) -> Done {
    let out = &mut engine.sessions.clients[id].out;
    match kind.to_ascii_lowercase().as_slice() {
        b"string" => out.bulk("Hello World"),
        b"integer" => out.int(12345),
        // What Valkey answers; it is not meant to be pi.
        b"double" => out.double_text("3.141"),
        b"bignum" => out.big_number("1234567999999999999999999999999999999"),
        b"null" => out.nil(),
        b"array" => {
            out.array(3);
            (0..3).for_each(|number| out.int(number));
        }
        b"set" => {
            out.set(3);
            (0..3).for_each(|number| out.int(number));
        }
        b"map" => {
            out.map(3);
            for number in 0..3 {
                out.int(number);
                out.bool(number == 1);
            }
        }
        b"attrib" => {
            if out.protocol() == Protocol::Resp3 {
                out.raw(b"|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n");
            }
            out.bulk("Some real reply following the attribute");
        }
        b"push" if out.protocol() == Protocol::Resp2 => {
            return Err(Error::text("ERR RESP2 is not supported by this command"));
        }
        b"push" => {
            out.bulk("Some real reply following the push reply");
            // What is pushed while a request runs comes behind its reply.
            let messages = engine.messages_of(id);
            messages.push(2);
            messages.bulk("server-cpu-usage");
            messages.int(42);
        }
        b"true" => out.bool(true),
        b"false" => out.bool(false),
        b"verbatim" => out.verbatim("txt", "This is a verbatim\nstring"),
        _ => {
            return Err(Error::text(
                "ERR Wrong protocol type name. Please use one of the following: \
                 string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}
