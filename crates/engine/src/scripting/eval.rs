//! EVAL, EVALSHA, their read-only forms, and SCRIPT.

use commands::{Args, Done, Error, args};
use script::{ScriptError, ScriptFlags, Sha1, texts};

use super::{Name, Start, keys_and_arguments};
use crate::{ClientId, Engine};

/// How the word that tells the script is looked at before the others, and how it is found.
type Script = (
    fn(&[u8]) -> Done,
    fn(&mut Engine, &[u8]) -> Result<Sha1, Error>,
);

const SOURCE: Script = (|_| Ok(()), prepare);
const NAME: Script = (is_name, find);

/// EVAL script numkeys key … arg …
pub(crate) fn eval(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    run(engine, id, args, false, SOURCE)
}

/// EVAL_RO script numkeys key … arg …
pub(crate) fn eval_ro(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    run(engine, id, args, true, SOURCE)
}

/// EVALSHA sha1 numkeys key … arg …
pub(crate) fn evalsha(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    run(engine, id, args, false, NAME)
}

/// EVALSHA_RO sha1 numkeys key … arg …
pub(crate) fn evalsha_ro(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    run(engine, id, args, true, NAME)
}

/// Compiles a script that is not known yet.
fn prepare(engine: &mut Engine, source: &[u8]) -> Result<Sha1, Error> {
    let mut interpreter = engine.take_interpreter()?;
    let prepared = interpreter.prepare(source);
    engine.put_interpreter(interpreter);
    let (sha1, forgotten) = prepared.map_err(|error| refused(&error))?;
    engine.meter.stats.removed.evicted_scripts += u64::try_from(forgotten).unwrap_or(0);
    Ok(sha1)
}

/// What cannot name a script names none, whatever else is wrong.
fn is_name(hex: &[u8]) -> Done {
    if hex.len() == 40 {
        Ok(())
    } else {
        Err(Error::text(texts::NO_SCRIPT))
    }
}

fn find(engine: &mut Engine, hex: &[u8]) -> Result<Sha1, Error> {
    let interpreter = engine.scripting.interpreter.as_ref();
    let found = interpreter.and_then(|interpreter| interpreter.find(hex));
    found.ok_or(Error::text(texts::NO_SCRIPT))
}

fn run(
    engine: &mut Engine,
    id: ClientId,
    args: Args<'_>,
    read_only: bool,
    (check, find): Script,
) -> Done {
    // The monitors see it before the commands that it runs.
    engine.tell_monitors(id, args);
    check(args[1])?;
    let (keys, argv) = keys_and_arguments(args, Error::NotInteger)?;
    let sha1 = find(engine, args[1])?;
    let mut interpreter = engine.take_interpreter()?;
    let declared = interpreter.flags(sha1).unwrap_or(ScriptFlags::UNDECLARED);
    if let Err(error) = engine.gate_flags(id, read_only, declared) {
        engine.put_interpreter(interpreter);
        return Err(error);
    }
    let start = Start {
        name: Name::Sha1(sha1),
        args,
        is_function: false,
        read_only,
        declared,
    };
    engine.run_script(id, &start, |host, reply| {
        interpreter.run(sha1, keys, argv, host, reply)
    });
    engine.put_interpreter(interpreter);
    Ok(())
}

fn refused(error: &ScriptError) -> Error {
    match error {
        ScriptError::Refused(text) => Error::quoting("ERR ", text, ""),
        ScriptError::Start(_) => Error::owned(format!("ERR {error}")),
    }
}

/// SCRIPT EXISTS sha1 …
pub(crate) fn exists(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let interpreter = engine.scripting.interpreter.as_ref();
    let out = &mut engine.sessions.clients[id].out;
    out.array(args.len() - 2);
    for hash in &args[2..] {
        let found = interpreter.and_then(|interpreter| interpreter.find(hash));
        out.int(found.is_some().into());
    }
    Ok(())
}

/// SCRIPT FLUSH [ASYNC | SYNC]. There is nothing that could be freed elsewhere.
pub(crate) fn flush(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    match &args[2..] {
        [] => {}
        [word] if args::is(word, "SYNC") || args::is(word, "ASYNC") => {}
        _ => {
            let text = "ERR SCRIPT FLUSH only support SYNC|ASYNC option";
            return Err(Error::text(text));
        }
    }
    engine.forget_scripts();
    engine.sessions.clients[id].out.ok();
    Ok(())
}

/// SCRIPT LOAD script
pub(crate) fn load(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let mut interpreter = engine.take_interpreter()?;
    let loaded = interpreter.load(args[2]);
    engine.put_interpreter(interpreter);
    let sha1 = loaded.map_err(|error| refused(&error))?;
    engine.sessions.clients[id].out.bulk(sha1.to_hex());
    Ok(())
}

/// SCRIPT SHOW sha1
pub(crate) fn show(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let interpreter = engine.scripting.interpreter.as_ref();
    let source = interpreter.and_then(|known| known.source(known.find(args[2])?));
    let source = source.ok_or(Error::text(texts::NO_SCRIPT))?;
    engine.sessions.clients[id].out.bulk(source);
    Ok(())
}

/// SCRIPT KILL
pub(crate) fn kill(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    engine.kill_script(false)?;
    engine.sessions.clients[id].out.ok();
    Ok(())
}

/// SCRIPT DEBUG YES | SYNC | NO [engine]
pub(crate) fn debug(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    if args.len() > 4 {
        return Err(Error::subcommand("SCRIPT", args[1]));
    }
    if !engine.sessions.clients[id].out.is_empty() {
        return Err(Error::text(
            "ERR SCRIPT DEBUG must be called outside a pipeline",
        ));
    }
    if !args.get(3).is_none_or(|engine| args::is(engine, "LUA")) {
        let before = "ERR No scripting engine found with name '";
        return Err(Error::quoting(before, args[3], "' to enable debug"));
    }
    if args::is(args[2], "NO") {
        engine.sessions.clients[id].out.ok();
        return Ok(());
    }
    Err(Error::text(
        if args::is(args[2], "YES") || args::is(args[2], "SYNC") {
            "ERR The script debugger is not offered by this server"
        } else {
            "ERR Use SCRIPT DEBUG YES/SYNC/NO"
        },
    ))
}
