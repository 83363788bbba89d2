//! What clients may ask of a sentinel, and the gates a request passes: known, arity, password, subscribed clients.
//! SENTINEL stands in [`sentinel`], pub/sub and CLIENT in [`sessions`], INFO in [`info`].

mod info;
mod sentinel;
mod sessions;

use crate::Monitor;
use crate::io::{ClientId, Level, Output, Reply};
use crate::monitor::HELLO_CHANNEL;

pub(crate) use sessions::Sessions;

/// The commands of a sentinel, AUTH aside.
pub(crate) const NAMES: &[&str] = &[
    "ping",
    "sentinel",
    "subscribe",
    "unsubscribe",
    "psubscribe",
    "punsubscribe",
    "publish",
    "info",
    "role",
    "client",
    "shutdown",
];

/// Words of a request, the command's name included: exactly, or at least.
enum Arity {
    Exactly(usize),
    AtLeast(usize),
}

fn arity(name: &str) -> Arity {
    match name {
        "ping" | "role" => Arity::Exactly(1),
        "auth" => Arity::Exactly(2),
        "publish" => Arity::Exactly(3),
        "unsubscribe" | "punsubscribe" | "info" | "shutdown" => Arity::AtLeast(1),
        _ => Arity::AtLeast(2),
    }
}

impl Monitor {
    /// Runs a request and queues its reply.
    pub(crate) fn client_request(&mut self, client: ClientId, request: &[Vec<u8>]) {
        let Some((name, args)) = request.split_first() else {
            return;
        };
        if self.cx.sessions.is_closing(client) {
            return;
        }
        let typed = String::from_utf8_lossy(name);
        if ["post", "host:"]
            .iter()
            .any(|word| typed.eq_ignore_ascii_case(word))
        {
            return self.refuse_http(client);
        }
        if typed.eq_ignore_ascii_case("quit") {
            self.reply(client, Reply::ok());
            return self.disconnect_client(client);
        }
        let Some(name) = self.lookup(&typed.to_ascii_lowercase()) else {
            return self.reply(client, Reply::err(format!("unknown command '{typed}'")));
        };
        let fits = match arity(name) {
            Arity::Exactly(words) => request.len() == words,
            Arity::AtLeast(words) => request.len() >= words,
        };
        self.cx.sessions.note(self.cx.now, client, name);
        if !fits {
            let text = format!("wrong number of arguments for '{name}' command");
            return self.reply(client, Reply::err(text));
        }
        let locked = self.cx.config.server.requirepass.is_some()
            && !self.cx.sessions.is_authenticated(client);
        if locked && name != "auth" {
            return self.reply(
                client,
                Reply::Error("NOAUTH Authentication required.".to_owned()),
            );
        }
        let pubsub = [
            "ping",
            "subscribe",
            "unsubscribe",
            "psubscribe",
            "punsubscribe",
        ];
        if self.cx.sessions.is_subscribed(client) && !pubsub.contains(&name) {
            let text = "only (P)SUBSCRIBE / (P)UNSUBSCRIBE / PING / QUIT allowed in this context";
            return self.reply(client, Reply::err(text));
        }
        self.run(client, name, args);
    }

    fn run(&mut self, client: ClientId, name: &'static str, args: &[Vec<u8>]) {
        let reply = match name {
            "ping" if self.cx.sessions.is_subscribed(client) => {
                Reply::Array(vec![Reply::bulk("pong"), Reply::bulk("")])
            }
            "ping" => Reply::Status("PONG".to_owned()),
            "auth" => self.auth(client, args),
            "publish" => self.publish(args),
            "info" => self.info(args),
            "role" => self.role(),
            "shutdown" => match self.shutdown(args) {
                Some(error) => error,
                None => return,
            },
            "sentinel" => match self.sentinel(client, args) {
                Some(reply) => reply,
                None => return,
            },
            "client" => return self.client_command(client, args),
            _ => {
                let replies = self.cx.sessions.subscription(client, name, args);
                return replies
                    .into_iter()
                    .for_each(|reply| self.reply(client, reply));
            }
        };
        self.reply(client, reply);
    }

    pub(crate) fn reply(&mut self, client: ClientId, reply: Reply) {
        self.cx.push(Output::Reply { client, reply });
    }

    pub(crate) fn disconnect_client(&mut self, client: ClientId) {
        self.cx.sessions.closed(client);
        self.cx.push(Output::Disconnect { client });
    }

    /// A web page made somebody's browser send its form here: nothing behind it may run.
    fn refuse_http(&mut self, client: ClientId) {
        let text = "Possible SECURITY ATTACK detected: a client sent POST or Host:, as a web browser does that was \
                    made to send commands here. Connection aborted.";
        self.cx.log(Level::Warning, text.to_owned());
        self.disconnect_client(client);
    }

    /// Drops clients that asked nothing for longer than `timeout`. Subscribers may wait as long as they like.
    pub(crate) fn drop_idle_clients(&mut self) {
        let timeout_ms = self.cx.config.server.timeout.saturating_mul(1_000);
        if timeout_ms == 0 {
            return;
        }
        for client in self.cx.sessions.idle(self.cx.mono(), timeout_ms) {
            self.cx
                .log(Level::Verbose, "Closing idle client".to_owned());
            self.disconnect_client(client);
        }
    }

    /// The command that a client's word names, after `rename-command`.
    fn lookup(&self, typed: &str) -> Option<&'static str> {
        // Later lines rename what earlier ones made.
        let mut name = typed.to_owned();
        let is = |word: &[u8], name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        for renamed in self.cx.config.server.rename_commands.iter().rev() {
            if is(&renamed.to, &name) {
                name = String::from_utf8_lossy(&renamed.from).to_ascii_lowercase();
            } else if is(&renamed.from, &name) {
                return None;
            }
        }
        let auth = self
            .cx
            .config
            .server
            .requirepass
            .is_some()
            .then_some(&"auth");
        NAMES
            .iter()
            .chain(auth)
            .find(|known| **known == name)
            .copied()
    }

    fn auth(&mut self, client: ClientId, args: &[Vec<u8>]) -> Reply {
        if self.cx.config.server.requirepass.as_ref() == args.first() {
            self.cx.sessions.authenticate(client);
            return Reply::ok();
        }
        Reply::err("invalid password")
    }

    /// PUBLISH exists for hello messages of other sentinels only.
    fn publish(&mut self, args: &[Vec<u8>]) -> Reply {
        match args {
            [channel, text] if channel == HELLO_CHANNEL => {
                self.hello(text);
                Reply::Integer(1)
            }
            _ => Reply::err("Only HELLO messages are accepted by Sentinel instances."),
        }
    }

    fn role(&self) -> Reply {
        let names = self
            .masters
            .iter()
            .map(|master| Reply::bulk(&master.name))
            .collect();
        Reply::Array(vec![Reply::bulk("sentinel"), Reply::Array(names)])
    }

    /// Ends the process. There is nothing to save, so SAVE and NOSAVE mean the same.
    fn shutdown(&mut self, args: &[Vec<u8>]) -> Option<Reply> {
        let known = |arg: &Vec<u8>| {
            arg.eq_ignore_ascii_case(b"nosave") || arg.eq_ignore_ascii_case(b"save")
        };
        if args.len() > 1 || !args.iter().all(known) {
            return Some(Reply::err("syntax error"));
        }
        self.cx.push(Output::Shutdown);
        None
    }
}
