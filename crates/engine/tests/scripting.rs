//! Scripts in an engine whose world is made up: replies, what others notice, and who is served while a script runs on.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use conf::ServerConfig;
use engine::{
    Action, AppendFile, Child, ChildEnd, ClientId, Engine, Host, Job, Meanwhile, Now, Peer,
    Process, SaveRequest, Source,
};
use store::{Keyspace, Limits};

const BUSY: &str =
    "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n";

/// What others say while a script runs, and what they are answered.
#[derive(Debug, Default)]
struct Talk {
    says: RefCell<VecDeque<(Option<ClientId>, &'static str)>>,
    answers: RefCell<Vec<String>>,
}

impl Meanwhile for Talk {
    fn serve(&self, engine: &mut Engine) {
        let Some((who, line)) = self.says.borrow_mut().pop_front() else {
            return;
        };
        let id = who.unwrap_or_else(|| engine.accept(peer()).expect("room for a client"));
        assert!(engine.serves_meanwhile(id));
        engine.receive_meanwhile(id, line.as_bytes());
        let answer = taken(engine, id);
        self.answers.borrow_mut().push(answer);
    }
}

/// A clock that goes on by a hundredth of a second each time it is looked at, and nothing else.
#[derive(Debug)]
struct World {
    ns: Cell<u64>,
    talk: Rc<Talk>,
}

impl Host for World {
    fn hang_up(&mut self, _link: engine::LinkId) {}

    fn mono_ns(&self) -> u64 {
        self.ns.set(self.ns.get() + 10_000_000);
        self.ns.get()
    }
    fn meanwhile(&self) -> Option<Rc<dyn Meanwhile>> {
        Some(Rc::clone(&self.talk) as Rc<dyn Meanwhile>)
    }
    fn sleep(&mut self, _: Duration) {}
    fn memory_used(&self) -> usize {
        1000
    }
    fn settle_memory(&mut self, _: Duration) {}
    fn free_later(&mut self, garbage: Vec<Box<dyn Send>>) {
        drop(garbage);
    }
    fn save(&mut self, _: &Keyspace, _: &SaveRequest) -> Result<(), String> {
        Ok(())
    }
    fn fork(&mut self, _: &Keyspace, _: &Job) -> Result<Child, String> {
        Err("no processes here".to_owned())
    }
    fn poll_child(&mut self) -> Option<ChildEnd> {
        None
    }
    fn kill_child(&mut self) {}
    fn load(&mut self, _: &mut Keyspace, _: &SaveRequest, _: &Limits) -> Result<(), String> {
        Err("no files here".to_owned())
    }
    fn process(&self) -> Process {
        Process::default()
    }
    fn config_text(&self) -> Option<Vec<u8>> {
        None
    }
    fn write_config(&mut self, _: &[u8]) -> Result<(), String> {
        Ok(())
    }
    fn change_dir(&mut self, path: &[u8]) -> Result<Vec<u8>, String> {
        Ok(path.to_vec())
    }
    fn allow_clients(&mut self, _: u32) -> Result<(), u32> {
        Ok(())
    }
    fn set_log_level(&mut self, _: conf::LogLevel) {}
    fn crash(&mut self, _: &engine::Running) {}
    fn open_append(&mut self, _: &[u8]) -> Result<Box<dyn AppendFile>, String> {
        Err("no files here".to_owned())
    }
    fn read_append(&mut self, _: &[u8]) -> Result<(Source, u64), String> {
        Err("no files here".to_owned())
    }
    fn finish_rewrite(
        &mut self,
        _: i32,
        _: &[u8],
        _: &[Vec<u8>],
    ) -> Result<Box<dyn AppendFile>, String> {
        Err("no files here".to_owned())
    }
    fn set_role(&mut self, _: bool) {}
}

fn peer() -> Peer {
    Peer {
        addr: "127.0.0.1:1".to_owned(),
        fd: 1,
        unix: false,
    }
}

fn taken(engine: &mut Engine, id: ClientId) -> String {
    let out = engine.output(id).expect("an open client");
    let text = String::from_utf8_lossy(out.flatten()).into_owned();
    out.clear();
    text
}

struct Server {
    engine: Engine,
    talk: Rc<Talk>,
    a: ClientId,
    b: ClientId,
}

impl Server {
    fn new() -> Self {
        let talk = Rc::new(Talk::default());
        let world = World {
            ns: Cell::new(0),
            talk: Rc::clone(&talk),
        };
        let now = Now {
            mono_ms: 1,
            unix_us: 1_000_000_000_000,
        };
        let config = ServerConfig {
            lua_time_limit: 100,
            ..ServerConfig::default()
        };
        let mut engine = Engine::new(now, config, 1, Box::new(world));
        let a = engine.accept(peer()).expect("room");
        let b = engine.accept(peer()).expect("room");
        Self { engine, talk, a, b }
    }

    fn run(&mut self, id: ClientId, words: &[&str]) -> String {
        let mut bytes = format!("*{}\r\n", words.len());
        for word in words {
            bytes.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.engine.receive(id, bytes.as_bytes());
        taken(&mut self.engine, id)
    }

    fn eval(&mut self, words: &[&str]) -> String {
        self.run(self.a, &[&["EVAL"], words].concat())
    }

    /// While the next script runs; none is a new client.
    fn will_say(&self, who: Option<ClientId>, line: &'static str) {
        self.talk.says.borrow_mut().push_back((who, line));
    }
}

#[test]
fn counts_of_keys_are_checked() {
    let mut server = Server::new();
    let too_many = "-ERR Number of keys can't be greater than number of args\r\n";
    assert_eq!(server.eval(&["return 1", "1"]), too_many);
    let negative = "-ERR Number of keys can't be negative\r\n";
    assert_eq!(server.eval(&["return 1", "-12"]), negative);
    let no_number = "-ERR value is not an integer or out of range\r\n";
    assert_eq!(server.eval(&["return 1", "x"]), no_number);
    let both = server.eval(&["return KEYS[1]..ARGV[1]", "1", "a", "b"]);
    assert_eq!(both, "$2\r\nab\r\n");
}

#[test]
fn scripts_are_loaded_found_and_forgotten() {
    let mut server = Server::new();
    let a = server.a;
    let sha1 = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
    let unknown = "-NOSCRIPT No matching script. Please use EVAL.\r\n";
    assert_eq!(server.run(a, &["EVALSHA", sha1, "0"]), unknown);
    assert_eq!(server.run(a, &["EVALSHA", "short", "0"]), unknown);
    let loaded = server.run(a, &["SCRIPT", "LOAD", "return 1"]);
    assert_eq!(loaded, format!("$40\r\n{sha1}\r\n"));
    let exist = server.run(a, &["SCRIPT", "EXISTS", sha1, "x"]);
    assert_eq!(exist, "*2\r\n:1\r\n:0\r\n");
    let upper = sha1.to_uppercase();
    assert_eq!(server.run(a, &["EVALSHA", &upper, "0"]), ":1\r\n");
    assert_eq!(server.run(a, &["SCRIPT", "FLUSH"]), "+OK\r\n");
    assert_eq!(server.run(a, &["EVALSHA", sha1, "0"]), unknown);
    let wrong = "-ERR Unknown SCRIPT subcommand or wrong # of args.\r\n";
    assert_eq!(server.run(a, &["SCRIPT", "LOAD"]), wrong);
    let not_busy = "-NOTBUSY No scripts in execution right now.\r\n";
    assert_eq!(server.run(a, &["SCRIPT", "KILL"]), not_busy);
}

#[test]
fn commands_of_scripts_pass_gates_of_their_own() {
    let mut server = Server::new();
    for (script, text) in [
        (
            "return redis.pcall('nosuch')",
            "Unknown Redis command called from Lua script",
        ),
        (
            "return redis.pcall('get')",
            "Wrong number of args calling Redis command From Lua script",
        ),
        (
            "return redis.pcall('multi')",
            "This Redis command is not allowed from scripts",
        ),
        (
            "redis.call('randomkey'); return redis.pcall('set','x','1')",
            "Write commands not allowed after non deterministic commands",
        ),
    ] {
        let reply = server.eval(&[script, "0"]);
        assert!(
            reply.starts_with('-') && reply.contains(text),
            "{script}: {reply}"
        );
    }
    let exists = server.eval(&["return redis.call('exists','x')", "0"]);
    assert_eq!(exists, ":0\r\n");
}

#[test]
fn a_script_selects_for_itself_only() {
    let mut server = Server::new();
    let a = server.a;
    server.run(a, &["SELECT", "3"]);
    let script =
        "redis.call('set','x','1'); redis.call('select',4); return redis.call('set','y','2')";
    assert_eq!(server.eval(&[script, "0"]), "+OK\r\n");
    assert_eq!(server.run(a, &["KEYS", "*"]), "*1\r\n$1\r\nx\r\n");
    server.run(a, &["SELECT", "4"]);
    assert_eq!(server.run(a, &["KEYS", "*"]), "*1\r\n$1\r\ny\r\n");
}

#[test]
fn what_a_script_changes_breaks_watches_and_wakes_the_blocked() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    server.run(b, &["WATCH", "x"]);
    server.eval(&["return redis.call('incr','x')", "0"]);
    server.run(b, &["MULTI"]);
    assert_eq!(server.run(b, &["EXEC"]), "*-1\r\n");
    assert_eq!(server.run(b, &["BLPOP", "l", "0"]), "");
    let script = "redis.call('rpush','l','1'); return redis.call('llen','l')";
    assert_eq!(server.eval(&[script, "0"]), ":1\r\n");
    let popped = taken(&mut server.engine, b);
    assert_eq!(popped, "*2\r\n$1\r\nl\r\n$1\r\n1\r\n");
    assert_eq!(server.run(a, &["EXISTS", "l"]), ":0\r\n");
}

#[test]
fn monitors_see_scripts_and_their_commands() {
    let mut server = Server::new();
    let b = server.b;
    server.run(b, &["MONITOR"]);
    server.eval(&["return redis.call('incr',KEYS[1])", "1", "x"]);
    let seen = taken(&mut server.engine, b);
    let lines: Vec<&str> = seen
        .lines()
        .filter_map(|line| Some(line.split_once("[0 ")?.1))
        .collect();
    assert_eq!(
        lines,
        [
            r#"127.0.0.1:1] "EVAL" "return redis.call('incr',KEYS[1])" "1" "x""#,
            r#"lua] "incr" "x""#
        ]
    );
}

#[test]
fn old_and_new_clients_are_told_that_a_script_runs_and_can_kill_it() {
    let mut server = Server::new();
    let (a, b) = (server.a, Some(server.b));
    server.will_say(b, "PING\r\n");
    server.will_say(None, "GET x\r\nPING\r\n");
    server.will_say(b, "*2\r\n$6\r\nSCRIPT\r\n$4\r\nKI");
    server.will_say(b, "LL\r\n");
    let reply = server.eval(&["while true do end", "0"]);
    let killed = "Script killed by user with SCRIPT KILL...";
    assert!(reply.starts_with('-') && reply.contains(killed), "{reply}");
    let answers = server.talk.answers.take();
    assert_eq!(answers, [BUSY, &BUSY.repeat(2), "", "+OK\r\n"]);
    assert_eq!(server.run(a, &["PING"]), "+PONG\r\n");
    assert_eq!(server.eval(&["return 1", "0"]), ":1\r\n");
}

#[test]
fn a_script_that_wrote_ends_with_the_server_only() {
    let mut server = Server::new();
    let b = Some(server.b);
    server.will_say(b, "SCRIPT KILL\r\n");
    server.will_say(b, "SHUTDOWN SAVE\r\n");
    server.will_say(b, "SHUTDOWN NOSAVE\r\n");
    server.eval(&["redis.call('set','x','1'); while true do end", "0"]);
    let answers = server.talk.answers.take();
    assert!(answers[0].starts_with("-UNKILLABLE Sorry the script already executed"));
    assert_eq!(answers[1..], [BUSY, ""]);
    let exits = std::iter::from_fn(|| server.engine.poll_action())
        .any(|action| matches!(action, Action::Exit { code: 0 }));
    assert!(exits);
}

#[test]
fn time_stands_still_for_keys_and_goes_on_for_the_script() {
    let mut server = Server::new();
    let script = "redis.call('psetex','x',1,'v'); local a = redis.call('time'); local b = redis.call('time'); \
                  return {a[2] ~= b[2], redis.call('pttl','x')}";
    assert_eq!(server.eval(&[script, "0"]), "*2\r\n:1\r\n:1\r\n");
}
