//! What clients may ask of a sentinel, and the gates a request passes: known, arity, password, subscribed clients. The
//! rows are in [`table`]; SENTINEL stands in [`sentinel`] and [`settings`], pub/sub and the connections in [`sessions`],
//! CLIENT in [`client`], ACL in [`acl`], what is told of them in [`audit`], HELLO and AUTH in [`handshake`], COMMAND in [`describe`], INFO in [`info`].

mod acl;
mod audit;
mod client;
mod describe;
mod handshake;
mod info;
pub(crate) mod sentinel;
pub(crate) mod sessions;
mod settings;
pub(crate) mod table;

use commands::table::Flags;
use table::Row;

use crate::Monitor;
use crate::io::{ClientId, HELLO_CHANNEL, Level, Output, Reply};

/// The longest part of a request that an error repeats, in bytes.
const MAX_REPEATED_BYTES: usize = 128;

impl Monitor {
    /// Runs a request and queues its reply.
    pub(crate) fn client_request(&mut self, client: ClientId, request: &[Vec<u8>]) {
        let words: Vec<&[u8]> = request.iter().map(Vec::as_slice).collect();
        let Some(name) = words.first() else {
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
        self.cx.sessions.begin(self.cx.now, client);
        match self.pass_gates(client, &typed, &words) {
            Ok(row) => {
                self.cx.sessions.note(client, row.facts.name);
                self.run(client, row, request);
            }
            Err(error) => {
                self.cx.errors += 1;
                self.reply(client, error);
            }
        }
    }

    /// The row of a request that may run.
    fn pass_gates(
        &mut self,
        client: ClientId,
        typed: &str,
        request: &[&[u8]],
    ) -> Result<&'static Row, Reply> {
        let args = &request[1..];
        let found = self.lookup(&typed.to_ascii_lowercase());
        let sub = args.first().copied();
        let row = found.and_then(|command| resolve(command, sub));
        if self.needs_auth(client) && !row.is_some_and(|row| row.facts.flags.has(Flags::NO_AUTH)) {
            return Err(Reply::Error("NOAUTH Authentication required.".to_owned()));
        }
        let command = found.ok_or_else(|| unknown_command(typed, args))?;
        let row = row.ok_or_else(|| unknown_subcommand(command, sub.unwrap_or_default()))?;
        if !row.facts.accepts(request.len()) {
            return Err(wrong_arity(row));
        }
        let allowed = self.gate_access(client, row, request);
        self.audit(client, row, request, allowed.is_err());
        allowed?;
        if self.cx.sessions.is_bound_to_pubsub(client) && !may_run_subscribed(row) {
            return Err(Reply::err(format!(
                "Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
                 context",
                row.facts.name
            )));
        }
        Ok(row)
    }

    fn run(&mut self, client: ClientId, row: &'static Row, request: &[Vec<u8>]) {
        let name = row.facts.name;
        let (command, sub) = name.split_once('|').unwrap_or((name, ""));
        let args = &request[1..];
        let rest = args.get(1..).unwrap_or_default();
        let reply = match command {
            "ping" => Some(self.ping(client, args)),
            "auth" => Some(self.auth(client, request)),
            "hello" => Some(self.hello_command(client, request)),
            "publish" => Some(self.publish(args)),
            "info" => Some(self.info(args)),
            "role" => Some(self.role()),
            "shutdown" => self.shutdown(args),
            "command" => Some(describe::command(sub, rest)),
            "sentinel" => self.sentinel(client, sub, rest),
            "client" => self.client_command(client, sub, rest),
            "acl" => {
                let words: Vec<&[u8]> = request.iter().map(Vec::as_slice).collect();
                self.acl(client, sub, &words)
            }
            "quit" => {
                self.reply(client, Reply::ok());
                return self.disconnect_client(client);
            }
            "reset" => Some(self.reset_connection(client)),
            _ => {
                let replies = self.cx.sessions.subscription(client, command, args);
                for reply in replies {
                    self.cx.push_reply(client, reply);
                }
                return self.cx.sessions.skipped(client);
            }
        };
        if let Some(reply) = reply {
            if matches!(reply, Reply::Error(_)) {
                self.cx.errors += 1;
            }
            self.reply(client, reply);
        }
    }

    /// Answers a request, unless the client said that it wants no reply.
    pub(crate) fn reply(&mut self, client: ClientId, reply: Reply) {
        if self.cx.sessions.wants_reply(client) {
            self.cx.push_reply(client, reply);
        }
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
    fn lookup(&self, typed: &str) -> Option<&'static Row> {
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
        table::find(&name)
    }

    /// `PING [text]`; to a subscriber that speaks RESP2 the answer looks like a message.
    fn ping(&self, client: ClientId, args: &[Vec<u8>]) -> Reply {
        let text = args.first();
        if args.len() > 1 {
            return Reply::err("wrong number of arguments for 'ping' command");
        }
        if self.cx.sessions.is_bound_to_pubsub(client) {
            let text = text.cloned().unwrap_or_default();
            return Reply::Array(vec![Reply::bulk("pong"), Reply::Bulk(text)]);
        }
        text.map_or_else(
            || Reply::Status("PONG".to_owned()),
            |text| Reply::Bulk(text.clone()),
        )
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

    /// Ends the process. There is nothing to save, so the options mean nothing.
    fn shutdown(&mut self, args: &[Vec<u8>]) -> Option<Reply> {
        let is = |name: &str| {
            args.iter()
                .filter(|arg| arg.eq_ignore_ascii_case(name.as_bytes()))
                .count()
        };
        let known = is("nosave") + is("save") + is("now") + is("force");
        if is("abort") == 1 && args.len() == 1 {
            return Some(Reply::err("No shutdown in progress."));
        }
        if known != args.len() || (is("nosave") > 0 && is("save") > 0) {
            return Some(Reply::err("syntax error"));
        }
        self.cx.push(Output::Shutdown);
        None
    }
}

/// What a subscriber that speaks RESP2 may still ask.
fn may_run_subscribed(row: &Row) -> bool {
    [
        "ping",
        "subscribe",
        "unsubscribe",
        "psubscribe",
        "punsubscribe",
        "quit",
        "reset",
    ]
    .contains(&row.facts.name)
}

fn unknown_command(typed: &str, args: &[&[u8]]) -> Reply {
    let mut shown = String::new();
    for arg in args {
        let room = MAX_REPEATED_BYTES.saturating_sub(shown.len());
        if room == 0 {
            break;
        }
        shown.push('\'');
        shown.extend(String::from_utf8_lossy(arg).chars().take(room));
        shown.push_str("' ");
    }
    let name: String = typed.chars().take(MAX_REPEATED_BYTES).collect();
    Reply::err(format!(
        "unknown command '{name}', with args beginning with: {shown}"
    ))
}

/// The subcommand that a request's second word names; the command itself, where it has none or there is no such word.
fn resolve(command: &'static Row, word: Option<&[u8]>) -> Option<&'static Row> {
    match word {
        Some(word) if !command.subs.is_empty() => {
            table::sub(command, &String::from_utf8_lossy(word))
        }
        _ => Some(command),
    }
}

fn unknown_subcommand(command: &Row, typed: &[u8]) -> Reply {
    let typed = String::from_utf8_lossy(typed);
    let name: String = typed.chars().take(MAX_REPEATED_BYTES).collect();
    Reply::err(format!(
        "unknown subcommand '{name}'. Try {} HELP.",
        command.facts.name.to_ascii_uppercase()
    ))
}

fn wrong_arity(row: &Row) -> Reply {
    Reply::err(format!(
        "wrong number of arguments for '{}' command",
        row.facts.name
    ))
}

/// The reply of a HELP subcommand: the usage of the subcommands, given as pairs of usage and explanation.
fn help(command: &str, lines: &[(&str, &str)]) -> Reply {
    let mut texts = vec![format!(
        "{command} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    )];
    let own = [("HELP", "Print this help.")];
    for (usage, explanation) in lines.iter().chain(&own) {
        texts.push((*usage).to_owned());
        texts.push(format!("    {explanation}"));
    }
    Reply::Array(texts.into_iter().map(Reply::Status).collect())
}
