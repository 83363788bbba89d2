//! PING, ECHO, HELLO, AUTH, RESET, QUIT, SELECT, TIME.

use commands::args::Reader;
use commands::{Args, Done, Error, args};
use resp::Protocol;

use crate::sessions::client::Quiet;
use crate::{ClientId, Engine};

/// The version in the answer to HELLO. redis-py refuses to cache at the client's side below 7.4, and reads it nowhere else.
const HELLO_VERSION: &str = "7.4.0";

/// PING [message]. A RESP2 client with subscriptions gets an answer that looks like a message.
pub(crate) fn ping(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let client = &mut engine.sessions.clients[id];
    if args.len() > 2 {
        return Err(Error::text(
            "ERR wrong number of arguments for 'ping' command",
        ));
    }
    if client.subscriptions.is_some() && client.out.protocol() == Protocol::Resp2 {
        client.out.array(2);
        client.out.bulk(b"pong");
        client.out.bulk(args.get(1).copied().unwrap_or_default());
    } else if let Some(word) = args.get(1) {
        client.out.bulk(word);
    } else {
        client.out.status("PONG");
    }
    Ok(())
}

/// QUIT
pub(crate) fn quit(engine: &mut Engine, id: ClientId, _: Args<'_>) -> Done {
    engine.sessions.clients[id].out.ok();
    engine.close_after_reply(id);
    Ok(())
}

/// ECHO message
pub(crate) fn echo(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    engine.sessions.clients[id].out.bulk(args[1]);
    Ok(())
}

fn check_client_name(name: &[u8]) -> Done {
    if name.iter().all(u8::is_ascii_graphic) {
        return Ok(());
    }
    Err(Error::text(
        "ERR Client names cannot contain spaces, newlines or special characters.",
    ))
}

impl Engine {
    /// CLIENT SETNAME and HELLO SETNAME.
    ///
    /// # Errors
    /// The name has blanks or control characters.
    pub(crate) fn set_client_name(&mut self, id: ClientId, name: &[u8]) -> Result<(), Error> {
        check_client_name(name)?;
        self.sessions.clients[id].told.name = (!name.is_empty()).then(|| name.into());
        Ok(())
    }
}

/// AUTH [username] password
pub(crate) fn auth(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let (user, password): (&[u8], &[u8]) = match *args {
        [_, password] => {
            if engine.access.users.default_user().needs_no_password() {
                return Err(Error::text(
                    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
                ));
            }
            (b"default", password)
        }
        [_, user, password] => (user, password),
        _ => return Err(Error::Syntax),
    };
    engine.authenticate(id, user, password, args)?;
    engine.sessions.clients[id].out.ok();
    Ok(())
}

/// HELLO [protover [AUTH username password] [SETNAME clientname]]
pub(crate) fn hello(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let mut reader = Reader::from(args, 1);
    let mut protocol = None;
    if let Some(word) = reader.peek() {
        let version = args::int(word)
            .map_err(|_| Error::text("ERR Protocol version is not an integer or out of range"))?;
        protocol = Some(match version {
            2 => Protocol::Resp2,
            3 => Protocol::Resp3,
            _ => return Err(Error::text("NOPROTO unsupported protocol version")),
        });
        reader.word()?;
    }
    let (mut login, mut name) = (None, None);
    while let Some(option) = reader.peek() {
        if reader.takes_with("AUTH", 2) {
            login = Some((reader.word()?, reader.word()?));
        } else if reader.takes_with("SETNAME", 1) {
            let wanted = reader.word()?;
            check_client_name(wanted)?;
            name = Some(wanted);
        } else {
            return Err(Error::quoting(
                "ERR Syntax error in HELLO option '",
                option,
                "'",
            ));
        }
    }
    if let Some((user, password)) = login {
        engine.authenticate(id, user, password, args)?;
    }
    if engine.lacks_password(id) {
        return Err(Error::text(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = name {
        engine.set_client_name(id, name)?;
    }
    if let Some(protocol) = protocol {
        engine.sessions.clients[id].out.set_protocol(protocol);
    }
    greet(engine, id);
    Ok(())
}

/// The answer to HELLO: facts about the server.
fn greet(engine: &mut Engine, id: ClientId) {
    let mode = if engine.keeper.cluster.is_some() {
        "cluster"
    } else {
        "standalone"
    };
    let role = if engine.is_slave() {
        "replica"
    } else {
        "master"
    };
    let zone = &engine.config.availability_zone;
    let out = &mut engine.sessions.clients[id].out;
    let version = if out.protocol() == Protocol::Resp3 {
        3
    } else {
        2
    };
    out.map(7 + usize::from(!zone.is_empty()));
    for (name, value) in [("server", "redis"), ("version", HELLO_VERSION)] {
        out.bulk(name);
        out.bulk(value);
    }
    out.bulk("proto");
    out.int(version);
    out.bulk("id");
    out.int(i64::try_from(id.serial()).unwrap_or(i64::MAX));
    for (name, value) in [("mode", mode), ("role", role)] {
        out.bulk(name);
        out.bulk(value);
    }
    out.bulk("modules");
    out.array(0);
    if !zone.is_empty() {
        out.bulk("availability_zone");
        out.bulk(zone);
    }
}

/// RESET: the connection is as if it had just been opened.
pub(crate) fn reset(engine: &mut Engine, id: ClientId, _: Args<'_>) -> Done {
    engine.drop_transaction(id);
    engine.forget_tracking(id);
    engine.forget_subscriptions(id);
    engine.sessions.monitors.retain(|other| *other != id);
    let client = &mut engine.sessions.clients[id];
    client.db = 0;
    client.told.name = None;
    // A monitor is marked as a replica too.
    client.flags.replica &= !std::mem::take(&mut client.flags.monitor);
    client.flags.asking = false;
    client.flags.readonly = false;
    client.flags.no_evict = false;
    client.flags.no_touch = false;
    client.flags.import_source = false;
    client.flags.redirect = false;
    if client.flags.quiet == Quiet::Yes {
        client.flags.quiet = Quiet::No;
    }
    client.out.set_protocol(Protocol::Resp2);
    client.out.status("RESET");
    engine.set_default_user(id);
    Ok(())
}

/// SELECT index
pub(crate) fn select(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let index = args::int_of_32_bits(args[1])?;
    match usize::try_from(index) {
        Ok(index) if index < engine.shard.keyspace.databases() => {
            let client = &mut engine.sessions.clients[id];
            client.db = index;
            client.out.ok();
            Ok(())
        }
        _ => Err(Error::text("ERR DB index is out of range")),
    }
}

/// TIME
pub(crate) fn time(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    // The time of the turn, also within a script.
    let unix_us = engine.now.unix_us;
    let out = &mut engine.sessions.clients[id].out;
    out.array(2);
    out.bulk_display(unix_us / 1_000_000);
    out.bulk_display(unix_us % 1_000_000);
    Ok(())
}
