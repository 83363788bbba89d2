//! CLIENT: the connections of clients, one's own and others'.

use acl::Users;
use client_filter::{Facts, Filter, Kind, Known};
use resp::number::parse_integer;

use super::help;
use super::sessions::{Replies, Session, Tracking, is_client_name};
use crate::Monitor;
use crate::access::DATABASES;
use crate::io::{ClientId, Output, Reply};

/// Prefixes that one connection may want to track.
const MAX_PREFIXES: usize = 128;

impl Monitor {
    /// Runs a subcommand. `None` when there is nothing to reply.
    pub(super) fn client_command(
        &mut self,
        client: ClientId,
        sub: &str,
        args: &[Vec<u8>],
    ) -> Option<Reply> {
        let texts: Vec<String> = args
            .iter()
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        let words: Vec<&str> = texts.iter().map(String::as_str).collect();
        let first = words.first().copied().unwrap_or_default();
        Some(match sub {
            "id" => Reply::Integer(i64::try_from(client.0).unwrap_or(i64::MAX)),
            "info" => {
                let line = self.of(client, |session| session.line(client, self.cx.now));
                Reply::Text(format!("{line}\n").into_bytes())
            }
            "list" => self.client_list(client, args),
            "kill" => return self.client_kill(client, args),
            "getname" => match self.of(client, |session| session.name.clone()) {
                name if name.is_empty() => Reply::Nil,
                name => Reply::bulk(name),
            },
            "setname" => self.client_setname(client, first),
            "setinfo" => self.client_setinfo(client, &words),
            "reply" => return self.client_reply(client, first),
            "pause" => self.client_pause(&words),
            "unpause" => {
                self.cx.push(Output::ResumeClients);
                Reply::ok()
            }
            "unblock" => client_unblock(&words),
            "no-evict" => match on_or_off(first) {
                Ok(on) => self.change(client, |session| session.no_evict = on),
                Err(error) => error,
            },
            "tracking" => self.client_tracking(client, &words, args),
            "trackinginfo" => self.tracking_info(client),
            "getredir" => Reply::Integer(self.of(client, |session| match &session.tracking {
                Some(tracking) => tracking.redirect.max(0),
                None => -1,
            })),
            "caching" => self.client_caching(client, first),
            _ => client_help(),
        })
    }

    fn of<T: Default>(&self, client: ClientId, ask: impl FnOnce(&Session) -> T) -> T {
        self.cx.sessions.get(client).map(ask).unwrap_or_default()
    }

    fn change(&mut self, client: ClientId, change: impl FnOnce(&mut Session)) -> Reply {
        if let Some(session) = self.cx.sessions.get_mut(client) {
            change(session);
        }
        Reply::ok()
    }

    fn client_setname(&mut self, client: ClientId, name: &str) -> Reply {
        if !is_client_name(name.as_bytes()) {
            return Reply::err(
                "Client names cannot contain spaces, newlines or special characters.",
            );
        }
        self.change(client, |session| name.clone_into(&mut session.name))
    }

    fn client_setinfo(&mut self, client: ClientId, words: &[&str]) -> Reply {
        let &[option, value] = words else {
            return syntax_error();
        };
        let option = option.to_ascii_lowercase();
        if !["lib-name", "lib-ver"].contains(&option.as_str()) {
            return Reply::err(format!("Unrecognized option '{}'", words[0]));
        }
        if !is_client_name(value.as_bytes()) {
            return Reply::err(format!(
                "{option} cannot contain spaces, newlines or special characters."
            ));
        }
        self.change(client, |session| {
            let place = if option == "lib-name" {
                &mut session.lib_name
            } else {
                &mut session.lib_ver
            };
            value.clone_into(place);
        })
    }

    /// `ON|OFF|SKIP`: only the first of them is answered.
    fn client_reply(&mut self, client: ClientId, mode: &str) -> Option<Reply> {
        let replies = match mode.to_ascii_lowercase().as_str() {
            "on" => Replies::On,
            "off" => Replies::Off,
            "skip" => Replies::Skip,
            _ => return Some(syntax_error()),
        };
        let session = self.cx.sessions.get_mut(client)?;
        if replies != Replies::Skip || session.replies != Replies::Off {
            session.replies = replies;
        }
        (replies == Replies::On).then(Reply::ok)
    }

    /// `milliseconds [WRITE|ALL]`. Nothing that a sentinel does is a write.
    fn client_pause(&mut self, words: &[&str]) -> Reply {
        let writes_only = match words
            .get(1)
            .map(|mode| mode.to_ascii_lowercase())
            .as_deref()
        {
            None | Some("all") => false,
            Some("write") => true,
            Some(_) => return Reply::err("CLIENT PAUSE mode must be WRITE or ALL"),
        };
        if words.len() > 2 {
            return syntax_error();
        }
        let ms = words.first().and_then(|ms| parse_integer(ms.as_bytes()));
        let Some(ms) = ms else {
            return Reply::err("timeout is not an integer or out of range");
        };
        let Ok(ms) = u64::try_from(ms) else {
            return Reply::err("timeout is negative");
        };
        if !writes_only {
            let until_mono_ms = self.cx.mono().saturating_add(ms);
            self.cx.push(Output::PauseClients { until_mono_ms });
        }
        Reply::ok()
    }

    fn client_list(&self, client: ClientId, args: &[Vec<u8>]) -> Reply {
        if args.len() == 1 {
            return syntax_error();
        }
        let words: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let filter = match read_filter(&self.cx.access.users, &words) {
            Ok(filter) => filter,
            Err(error) => return error,
        };
        let skip_me = filter.skip_me.unwrap_or(false);
        let text: String = self
            .chosen(client, &filter, skip_me)
            .map(|(id, session)| session.line(id, self.cx.now) + "\n")
            .collect();
        Reply::Text(text.into_bytes())
    }

    fn chosen<'a>(
        &'a self,
        me: ClientId,
        filter: &'a Filter<'a>,
        skip_me: bool,
    ) -> impl Iterator<Item = (ClientId, &'a Session)> {
        self.cx.sessions.iter().filter(move |&(client, session)| {
            let flags = session.flags();
            let facts = facts(client, session, &flags, self.cx.mono());
            filter.fits(&facts) && !(skip_me && client == me)
        })
    }

    /// `ip:port`, or pairs of options and values. The reply goes out before the connection of who asked is closed.
    fn client_kill(&mut self, client: ClientId, args: &[Vec<u8>]) -> Option<Reply> {
        let words: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let old_form = words.len() == 1;
        let filter = match words[..] {
            [addr] => Ok(Filter::of_addr(addr)),
            _ => read_filter(&self.cx.access.users, &words),
        };
        let filter = match filter {
            Ok(filter) => filter,
            Err(error) => return Some(error),
        };
        let skip_me = filter.skip_me.unwrap_or(!old_form);
        let victims: Vec<ClientId> = self
            .chosen(client, &filter, skip_me)
            .map(|(victim, _)| victim)
            .collect();
        let reply = match victims.len() {
            0 if old_form => Reply::err("No such client"),
            _ if old_form => Reply::ok(),
            count => Reply::Integer(i64::try_from(count).unwrap_or(i64::MAX)),
        };
        self.reply(client, reply);
        for victim in victims {
            self.disconnect_client(victim);
        }
        None
    }

    fn client_tracking(&mut self, client: ClientId, words: &[&str], args: &[Vec<u8>]) -> Reply {
        let Some((mode, options)) = words.split_first() else {
            return syntax_error();
        };
        let on = match on_or_off(mode) {
            Ok(on) => on,
            Err(error) => return error,
        };
        let exists = |id: i64| {
            u64::try_from(id).is_ok_and(|id| self.cx.sessions.get(ClientId(id)).is_some())
        };
        let tracking = match read_tracking(options, args.get(1..).unwrap_or_default(), exists) {
            Ok(tracking) => tracking,
            Err(error) => return error,
        };
        self.change(client, |session| session.tracking = on.then_some(tracking))
    }

    fn tracking_info(&self, client: ClientId) -> Reply {
        let tracking = self.of(client, |session| session.tracking.clone());
        let flags = match &tracking {
            None => vec!["off"],
            Some(tracking) => [&["on"][..], &tracking.flags].concat(),
        };
        let redirect = tracking
            .as_ref()
            .map_or(-1, |tracking| tracking.redirect.max(0));
        let prefixes = tracking
            .map(|tracking| tracking.prefixes)
            .unwrap_or_default();
        let flags = flags.into_iter().map(Reply::bulk).collect();
        Reply::Map(vec![
            (Reply::bulk("flags"), Reply::Set(flags)),
            (Reply::bulk("redirect"), Reply::Integer(redirect)),
            (
                Reply::bulk("prefixes"),
                Reply::Array(prefixes.into_iter().map(Reply::Bulk).collect()),
            ),
        ])
    }

    fn client_caching(&mut self, client: ClientId, value: &str) -> Reply {
        let flags = self.of(client, |session| {
            session
                .tracking
                .as_ref()
                .map(|tracking| tracking.flags.clone())
                .unwrap_or_default()
        });
        if !["optin", "optout"].iter().any(|mode| flags.contains(mode)) {
            return Reply::err(
                "CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
            );
        }
        let needed = match yes_or_no(value) {
            Ok(true) => "optin",
            Ok(false) => "optout",
            Err(error) => return error,
        };
        if !flags.contains(&needed) {
            let value = value.to_ascii_uppercase();
            return Reply::err(format!(
                "CLIENT CACHING {value} is only valid when tracking is enabled in {} mode.",
                needed.to_ascii_uppercase()
            ));
        }
        Reply::ok()
    }
}

/// Reads the filters of CLIENT LIST and CLIENT KILL.
fn read_filter<'a>(users: &Users, words: &'a [&'a [u8]]) -> Result<Filter<'a>, Reply> {
    let known = Known {
        is_user: &|name| users.get(name).is_some(),
        databases: DATABASES,
    };
    Filter::read(words, 0, known)
        .map_err(|error| Reply::Error(String::from_utf8_lossy(&error.line()).into_owned()))
}

/// What filters look at.
fn facts<'a>(
    ClientId(id): ClientId,
    session: &'a Session,
    flags: &'a str,
    mono_ms: u64,
) -> Facts<'a> {
    let since = |at: u64| mono_ms.saturating_sub(at) / 1_000;
    Facts {
        id,
        kind: if session.subscriptions() > 0 {
            Kind::PubSub
        } else {
            Kind::Normal
        },
        addr: &session.addr,
        local_addr: &session.laddr,
        user: Some(session.user.name()),
        name: session.name.as_bytes(),
        library: [&session.lib_name, &session.lib_ver],
        db: 0,
        flags,
        // Nobody can claim any.
        capabilities: "",
        idle_seconds: since(session.active_ms),
        age_seconds: since(session.connected_ms),
    }
}

/// `yes` or `no`, in any case.
pub(super) fn yes_or_no(value: &str) -> Result<bool, Reply> {
    match value.to_ascii_lowercase().as_str() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(syntax_error()),
    }
}

fn syntax_error() -> Reply {
    Reply::err("syntax error")
}

fn on_or_off(word: &str) -> Result<bool, Reply> {
    match word.to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(syntax_error()),
    }
}

/// Nobody waits for anything here, so nobody is woken.
fn client_unblock(words: &[&str]) -> Reply {
    if let Some(reason) = words.get(1)
        && !["timeout", "error"].contains(&reason.to_ascii_lowercase().as_str())
    {
        return Reply::err("CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
    }
    match words.first().and_then(|id| parse_integer(id.as_bytes())) {
        Some(_) => Reply::Integer(0),
        None => Reply::err("value is not an integer or out of range"),
    }
}

fn read_tracking(
    mut options: &[&str],
    mut bytes: &[Vec<u8>],
    exists: impl Fn(i64) -> bool,
) -> Result<Tracking, Reply> {
    let mut tracking = Tracking {
        redirect: -1,
        ..Tracking::default()
    };
    while let Some((option, rest)) = options.split_first() {
        let flag = match (option.to_ascii_lowercase().as_str(), rest) {
            ("bcast", _) => "bcast",
            ("optin", _) => "optin",
            ("optout", _) => "optout",
            ("noloop", _) => "noloop",
            ("redirect", [id, ..]) => {
                let id = parse_integer(id.as_bytes());
                let id = id.ok_or_else(|| Reply::err("value is not an integer or out of range"))?;
                if !exists(id) {
                    return Err(Reply::err(
                        "The client ID you want redirect to does not exist",
                    ));
                }
                tracking.redirect = id;
                ""
            }
            ("prefix", [_, ..]) if tracking.prefixes.len() < MAX_PREFIXES => {
                tracking.prefixes.extend(bytes.get(1).cloned());
                ""
            }
            _ => return Err(syntax_error()),
        };
        if !flag.is_empty() && !tracking.flags.contains(&flag) {
            tracking.flags.push(flag);
        }
        let words = if flag.is_empty() { 2 } else { 1 };
        options = options.get(words..).unwrap_or_default();
        bytes = bytes.get(words..).unwrap_or_default();
    }
    let has = |flag| tracking.flags.contains(&flag);
    if has("optin") && has("optout") {
        return Err(Reply::err(
            "You can't specify both OPTIN mode and OPTOUT mode",
        ));
    }
    if !tracking.prefixes.is_empty() && !has("bcast") {
        return Err(Reply::err(
            "PREFIX option requires BCAST mode to be enabled",
        ));
    }
    if has("bcast") && (has("optin") || has("optout")) {
        return Err(Reply::err("OPTIN and OPTOUT are not compatible with BCAST"));
    }
    Ok(tracking)
}

fn client_help() -> Reply {
    help(
        "CLIENT",
        &[
            (
                "CACHING (YES|NO)",
                "Track the keys of the next command, or not.",
            ),
            (
                "GETREDIR",
                "Return the id of the client that gets the invalidations.",
            ),
            ("GETNAME", "Return the name of the current connection."),
            ("ID", "Return the id of the current connection."),
            ("INFO", "Return information about the current connection."),
            ("KILL <ip:port>", "Close the connection from this address."),
            (
                "KILL <option> <value> [<option> <value> [...]]",
                "Close connections by ID, TYPE, USER, ADDR, LADDR, IP, NAME, LIB-NAME, LIB-VER, FLAGS, MAXAGE, IDLE; \
                 SKIPME (YES|NO).",
            ),
            (
                "LIST [<option> <value> [...]]",
                "Return information about connections, chosen as by KILL.",
            ),
            ("UNPAUSE", "End a pause."),
            (
                "PAUSE <timeout> [WRITE|ALL]",
                "Take no requests of clients for <timeout> milliseconds.",
            ),
            (
                "REPLY (ON|OFF|SKIP)",
                "Control the replies to the current connection.",
            ),
            ("SETNAME <name>", "Name the current connection."),
            (
                "SETINFO (LIB-NAME|LIB-VER) <value>",
                "Tell of the client's library.",
            ),
            (
                "UNBLOCK <clientid> [TIMEOUT|ERROR]",
                "Wake a client that waits.",
            ),
            (
                "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]] [OPTIN] [OPTOUT] [NOLOOP]",
                "Control the tracking of keys.",
            ),
            (
                "TRACKINGINFO",
                "Return the tracking of the current connection.",
            ),
            (
                "NO-EVICT (ON|OFF)",
                "Keep the current connection from being evicted.",
            ),
        ],
    )
}
