//! Streams of commands, as a primary or an append-only file holds them, made from bytes.

const WORDS: &[&str] = &[
    "SET",
    "GET",
    "DEL",
    "INCR",
    "APPEND",
    "PEXPIREAT",
    "SELECT",
    "MULTI",
    "EXEC",
    "DISCARD",
    "WATCH",
    "RPUSH",
    "LPOP",
    "LTRIM",
    "SADD",
    "SREM",
    "ZADD",
    "ZREM",
    "HSET",
    "HDEL",
    "HPEXPIREAT",
    "XADD",
    "XGROUP",
    "XCLAIM",
    "XSETID",
    "PFADD",
    "RESTORE",
    "COPY",
    "SWAPDB",
    "FLUSHALL",
    "FLUSHDB",
    "EVAL",
    "FUNCTION",
    "FCALL",
    "PUBLISH",
    "PING",
    "REPLCONF",
    "GETACK",
    "*",
    "REPLICAOF",
    "CLUSTER",
    "CLIENT",
    "KILL",
    "SHUTDOWN",
    "CONFIG",
    "ACL",
    "SETUSER",
    "SUBSCRIBE",
    "BLPOP",
    "WAIT",
    "SYNC",
    "PSYNC",
    "DEBUG",
    "QUIT",
    "RESET",
    "AUTH",
    "HELLO",
    "FAILOVER",
    "MIGRATE",
    "k",
    "l",
    "s",
    "z",
    "h",
    "x",
    "g",
    "a",
    "b",
    "0",
    "1",
    "-1",
    "2",
    "15",
    "16",
    "NO",
    "ONE",
    "LEFT",
    "RIGHT",
    "PXAT",
    "4102444800000",
    "1",
    "FIELDS",
    "1-1",
    "1-2",
    "CREATE",
    "MKSTREAM",
    "JUSTID",
    "RETRYCOUNT",
    "FORCE",
    "REPLACE",
    "LOAD",
    "#!lua name=l\nserver.register_function('f',function(k,a) return server.call('INCR',k[1]) end)",
    "f",
    "return server.call('SET',KEYS[1],ARGV[1])",
    "return 1",
    "",
    "\0",
    "9223372036854775807",
    "3.5",
    "inf",
    "nan",
    "INFO",
    "maxmemory",
];

/// The bytes of a stream: below 0xd0 a byte is a word, from 0xe0 on it ends a command. Between them stands for what no sender writes: the
/// next byte goes into the stream as it is.
#[must_use]
pub fn stream(choices: &[u8]) -> Vec<u8> {
    let (mut stream, mut words) = (Vec::new(), Vec::new());
    let mut choices = choices.iter();
    while let Some(choice) = choices.next() {
        match choice {
            0xe0.. => finish(&mut stream, &mut words),
            0xd0.. => {
                finish(&mut stream, &mut words);
                stream.extend(choices.next());
            }
            _ => words.push(WORDS[usize::from(*choice) % WORDS.len()]),
        }
    }
    finish(&mut stream, &mut words);
    stream
}

fn finish(stream: &mut Vec<u8>, words: &mut Vec<&str>) {
    if !words.is_empty() {
        stream.extend(format!("*{}\r\n", words.len()).bytes());
        for word in words.drain(..) {
            stream.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
        }
    }
}
