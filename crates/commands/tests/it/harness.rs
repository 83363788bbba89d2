//! A keyspace and what a command needs around it. Commands are lines, replies are printed on one line. The fuzz targets use it too.

use commands::table::{DataFn, Row};
use commands::{Ctx, Effects, EventClass, Propagation, Rng, Settings, rows};
use rdb::Dumper;
use resp::Reply;
use store::Keyspace;

/// The Unix time of all tests, milliseconds.
pub(crate) const NOW_MS: u64 = 1_500_000_000_000;

/// A server without connections.
pub(crate) struct Server {
    pub(crate) keyspace: Keyspace,
    pub(crate) db: usize,
    pub(crate) settings: Settings,
    pub(crate) effects: Effects,
    rng: Rng,
    dumper: Dumper,
}

impl Server {
    pub(crate) fn new() -> Self {
        let keyspace = Keyspace::new(2, false);
        keyspace.clock().set_unix_ms(NOW_MS);
        Self {
            keyspace,
            db: 0,
            settings: Settings::default(),
            effects: Effects::default(),
            rng: Rng::new(7),
            dumper: Dumper::new(),
        }
    }

    /// One whose compact encodings end early.
    pub(crate) fn small() -> Self {
        let mut server = Self::new();
        let limits = &mut server.settings.limits;
        (limits.hash_entries, limits.hash_value) = (4, 8);
        limits.list_size = 4;
        (limits.set_entries, limits.set_value) = (4, 8);
        (limits.zset_entries, limits.zset_value) = (4, 8);
        limits.set_intset_entries = 4;
        server
    }

    /// Runs a command; its reply as bytes.
    pub(crate) fn call(&mut self, args: &[&[u8]]) -> Vec<u8> {
        self.effects = Effects {
            notify_mask: u16::MAX,
            watching: true,
            blocking: true,
            ..Effects::default()
        };
        let mut reply = Reply::new();
        let mut row = rows::find(args[0]).expect("a data command");
        if let (None, Some(word)) = (row.run, args.get(1)) {
            let word = word.to_ascii_lowercase();
            let named = |sub: &&Row<DataFn>| sub.facts.short_name().as_bytes() == word;
            row = row.subs.iter().find(named).expect("a subcommand");
        }
        let run = row.run.expect("a function");
        assert!(row.facts.accepts(args.len()), "arity of {}", row.facts.name);
        let mut ctx = Ctx {
            keyspace: &mut self.keyspace,
            db: self.db,
            reply: &mut reply,
            effects: &mut self.effects,
            settings: &self.settings,
            rng: &mut self.rng,
            dumper: &mut self.dumper,
            big: &mut None,
            replaying: false,
            may_block: true,
            in_script: false,
        };
        if let Err(error) = run(&mut ctx, args) {
            reply.error(error.to_string());
        }
        reply.into_vec()
    }

    /// Runs a line, with quotes as redis-cli takes them; its reply printed.
    pub(crate) fn run(&mut self, line: &str) -> String {
        let words = resp::args::split(line.as_bytes()).expect("balanced quotes");
        let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        print(&mut &self.call(&args)[..])
    }

    /// Runs lines and compares each printed reply.
    #[track_caller]
    pub(crate) fn check(&mut self, lines: &[(&str, &str)]) {
        for (line, expected) in lines {
            assert_eq!(self.run(line), *expected, "{line}");
        }
    }

    /// Runs a line; what it left behind, printed: changes, touched keys, events, what is propagated, keys that became lists.
    pub(crate) fn effects(&mut self, line: &str) -> String {
        self.run(line);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut out = format!("dirty {}", self.effects.dirty);
        for (_, key) in &self.effects.touched {
            out += &format!(", touched {}", text(key));
        }
        for event in &self.effects.events {
            let class = match event.class {
                EventClass::Generic => "generic",
                EventClass::String => "string",
                EventClass::List => "list",
                EventClass::Set => "set",
                EventClass::Hash => "hash",
                EventClass::Zset => "zset",
                EventClass::Expired => "expired",
                EventClass::Evicted => "evicted",
                EventClass::Stream => "stream",
                EventClass::Missed => "missed",
                EventClass::New => "new",
            };
            out += &format!(", {class} {} {}", event.name, text(&event.key));
        }
        if let Propagation::Instead(commands) = &self.effects.propagation {
            for command in commands {
                let words: Vec<String> = command.iter().map(|word| text(word)).collect();
                out += &format!(", as {}", words.join(" "));
            }
        }
        for (_, key) in &self.effects.ready {
            out += &format!(", ready {}", text(key));
        }
        out
    }
}

/// Fresh server, lines, expected replies.
#[track_caller]
pub(crate) fn check(lines: &[(&str, &str)]) {
    Server::new().check(lines);
}

/// Prints the reply at the front of `bytes`: `OK`, `3`, `"text"`, `nil`, `[…]`; errors as they are.
pub(crate) fn print(bytes: &mut &[u8]) -> String {
    let line = take_line(bytes);
    let (kind, rest) = line.split_at(1);
    match kind {
        "$" | "*" if rest == "-1" => "nil".to_owned(),
        "$" => {
            let len: usize = rest.parse().unwrap();
            let mut quoted = Vec::new();
            resp::args::quote(&bytes[..len], &mut quoted);
            *bytes = &bytes[len + 2..];
            String::from_utf8(quoted).unwrap()
        }
        "*" => {
            let len: usize = rest.parse().unwrap();
            let elements: Vec<String> = (0..len).map(|_| print(bytes)).collect();
            format!("[{}]", elements.join(" "))
        }
        _ => rest.to_owned(),
    }
}

fn take_line(bytes: &mut &[u8]) -> String {
    let end = bytes
        .windows(2)
        .position(|pair| pair == b"\r\n")
        .expect("a whole reply");
    let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
    *bytes = &bytes[end + 2..];
    line
}
