//! COMMAND: the command table, told to clients.

use commands::table::{COMMANDS, Command, key_positions};
use commands::{Args, Done, Error, args};
use resp::Reply;

use crate::{ClientId, Engine};

/// COMMAND [INFO name … | COUNT | GETKEYS command …]
pub(crate) fn command(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let Engine { index, clients, .. } = engine;
    let out = &mut clients[id].out;
    let Some(&word) = args.get(1) else {
        out.array(COMMANDS.len());
        COMMANDS
            .iter()
            .for_each(|command| describe(out, Some(command)));
        return Ok(());
    };
    if args::is(word, "INFO") {
        out.array(args.len() - 2);
        for name in &args[2..] {
            describe(out, index.find(name).map(|entry| entry.command));
        }
    } else if args::is(word, "COUNT") && args.len() == 2 {
        out.count(COMMANDS.len());
    } else if args::is(word, "GETKEYS") && args.len() >= 3 {
        let words = &args[2..];
        let command = index.find(words[0]).map(|entry| entry.command);
        let command = command.ok_or(Error::text("ERR Invalid command specified"))?;
        if !command.accepts(words.len()) {
            return Err(Error::text(
                "ERR Invalid number of arguments specified for command",
            ));
        }
        let mut keys = Vec::new();
        key_positions(command, words, &mut keys);
        out.array(keys.len());
        keys.iter().for_each(|&at| out.bulk(words[at]));
    } else {
        return Err(Error::text(
            "ERR Unknown subcommand or wrong number of arguments.",
        ));
    }
    Ok(())
}

fn describe(out: &mut Reply, command: Option<&Command>) {
    let Some(command) = command else {
        return out.nil();
    };
    out.array(6);
    out.bulk(command.name);
    out.int(command.arity.into());
    out.array(command.flags.words().count());
    command.flags.words().for_each(|word| out.status(word));
    out.int(command.first_key.into());
    out.int(command.last_key.into());
    out.int(command.key_step.into());
}
