//! PING, ECHO, AUTH, SELECT, TIME.

use commands::{Args, Done, Error, args};
use resp::Protocol;

use crate::{ClientId, Engine};

/// PING. A RESP2 client with subscriptions gets an answer that looks like a message.
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

/// ECHO word
pub(crate) fn echo(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    engine.sessions.clients[id].out.bulk(args[1]);
    Ok(())
}

impl Engine {
    /// Whether a client has still to give the password: also one that came when none was needed.
    pub(crate) fn lacks_password(&self, id: ClientId) -> bool {
        self.config.requirepass.is_some() && !self.sessions.clients[id].flags.authenticated
    }
}

/// AUTH password
pub(crate) fn auth(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let Some(password) = &engine.config.requirepass else {
        return Err(Error::text("ERR Client sent AUTH, but no password is set"));
    };
    let right = same_in_constant_time(password, args[1]);
    let client = &mut engine.sessions.clients[id];
    client.flags.authenticated = right;
    if !right {
        return Err(Error::text("ERR invalid password"));
    }
    client.out.ok();
    Ok(())
}

/// Compares without telling by its duration where the difference is.
fn same_in_constant_time(secret: &[u8], given: &[u8]) -> bool {
    let mut difference = secret.len() ^ given.len();
    for (index, byte) in given.iter().enumerate() {
        difference |= usize::from(byte ^ secret.get(index).copied().unwrap_or(0));
    }
    difference == 0
}

/// SELECT index
pub(crate) fn select(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let index = args::int(args[1]).map_err(|_| Error::text("ERR invalid DB index"))?;
    if engine.shard.settings.cluster && index != 0 {
        return Err(Error::text("ERR SELECT is not allowed in cluster mode"));
    }
    match usize::try_from(index) {
        Ok(index) if index < engine.shard.keyspace.databases() => {
            let client = &mut engine.sessions.clients[id];
            client.db = index;
            client.out.ok();
            Ok(())
        }
        _ => Err(Error::text("ERR invalid DB index")),
    }
}

/// TIME
pub(crate) fn time(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    let unix_us = engine.moving_unix_us();
    let out = &mut engine.sessions.clients[id].out;
    out.array(2);
    out.bulk_display(unix_us / 1_000_000);
    out.bulk_display(unix_us % 1_000_000);
    Ok(())
}
