//! The table `server`, which is also called `redis`: commands, log lines, SHA1, replies made by hand.

use std::rc::Rc;

use mlua::{Lua, MultiValue, Result, Table, Value};
use resp::Protocol;

use crate::Sha1;
use crate::args::Args;
use crate::context::{Context, Trouble};
use crate::host::{LogLevel, Targets};
use crate::number;
use crate::reply::{self, FromResp, Names};
use crate::settings::version_number;
use crate::stack;

const LEVELS: [(&str, LogLevel); 4] = [
    ("LOG_DEBUG", LogLevel::Debug),
    ("LOG_VERBOSE", LogLevel::Verbose),
    ("LOG_NOTICE", LogLevel::Notice),
    ("LOG_WARNING", LogLevel::Warning),
];

/// The arguments of `set_repl`: a bit for the append-only file, one for the replicas.
const REPLICATION: [(&str, i64); 5] = [
    ("REPL_NONE", 0),
    ("REPL_AOF", 1),
    ("REPL_SLAVE", 2),
    ("REPL_REPLICA", 2),
    ("REPL_ALL", 3),
];

/// One function of the table.
type Call = fn(&Lua, &Context, &Names, &Args<'_>) -> Result<Value>;

/// Makes the table that running scripts see.
pub(crate) fn library(lua: &Lua, context: &Rc<Context>) -> Result<Table> {
    let server = while_loading(lua, context)?;
    for (name, raises) in [("call", true), ("pcall", false)] {
        let (shared, names) = (Rc::clone(context), Names::new(lua)?);
        let rest = lua.create_function(move |lua, ()| Ok(rest(lua, &shared, &names, raises)))?;
        server.raw_set(name, stack::caller(lua, context, rest)?)?;
    }
    let functions: [(&str, Call); 6] = [
        ("error_reply", error_reply),
        ("status_reply", status_reply),
        ("sha1hex", sha1_hex),
        ("setresp", set_protocol),
        ("set_repl", set_targets),
        ("acl_check_cmd", may_call),
    ];
    for (name, function) in functions {
        add(lua, context, &server, name, function)?;
    }
    for (name, number) in REPLICATION {
        server.raw_set(name, number)?;
    }
    Ok(server)
}

/// Adds what only scripts of `EVAL` have: there is no debugger to stop in, and effects are always what is replicated.
pub(crate) fn add_for_scripts(lua: &Lua, context: &Rc<Context>, server: &Table) -> Result<()> {
    let functions: [(&str, Call); 3] = [
        ("breakpoint", |_, _, _, _| Ok(Value::Boolean(false))),
        ("debug", |_, _, _, _| Ok(Value::Nil)),
        ("replicate_commands", |_, _, _, _| Ok(Value::Boolean(true))),
    ];
    for (name, function) in functions {
        add(lua, context, server, name, function)?;
    }
    Ok(())
}

/// Makes the table with what a library finds while it is loaded, all but `register_function`.
pub(crate) fn while_loading(lua: &Lua, context: &Rc<Context>) -> Result<Table> {
    let server = lua.create_table()?;
    add(lua, context, &server, "log", log)?;
    for (number, (name, _)) in LEVELS.iter().enumerate() {
        server.raw_set(*name, number)?;
    }
    let settings = &context.settings;
    for (name, version) in [
        ("REDIS_VERSION", settings.redis_version),
        ("VALKEY_VERSION", settings.valkey_version),
    ] {
        server.raw_set(name, version)?;
        server.raw_set(format!("{name}_NUM"), version_number(version))?;
    }
    server.raw_set("SERVER_NAME", settings.name)?;
    Ok(server)
}

fn add(lua: &Lua, context: &Rc<Context>, server: &Table, name: &str, function: Call) -> Result<()> {
    let (context, names) = (Rc::clone(context), Names::new(lua)?);
    let function = lua.create_function(move |lua, args: MultiValue| {
        // What has no value to give gives none, not even nil.
        Ok(
            match function(lua, &context, &names, &Args::new(lua, args))? {
                Value::Nil => MultiValue::new(),
                value => MultiValue::from_iter([value]),
            },
        )
    })?;
    server.raw_set(name, function)
}

/// For [`stack::caller`]: the Lua value of what the last command answered, or of what went wrong with it, and whether it is to be raised. A function that
/// raised by itself would stand between the script and its error.
fn rest(lua: &Lua, context: &Context, names: &Names, raises: bool) -> (Value, bool) {
    let error = match context.trouble() {
        None => match answered(context, lua, names) {
            Ok(FromResp::Value(value)) => return (value, false),
            Ok(FromResp::Error(text)) => names.command_error_table(lua, &text),
            Err(error) => Err(error),
        },
        Some(Trouble::Words(text)) => names.error_table(lua, text.as_bytes()),
        Some(Trouble::Failed(error)) => Err(error),
    };
    match error {
        Ok(table) => (Value::Table(table), raises),
        Err(error) => (Value::Error(Box::new(error)), true),
    }
}

fn answered(context: &Context, lua: &Lua, names: &Names) -> Result<FromResp> {
    let mut reply = context.take_answer();
    let converted = reply::to_lua(context, lua, names, reply.flatten());
    context.recycle(reply);
    converted
}

/// `server.acl_check_cmd`
fn may_call(lua: &Lua, context: &Context, names: &Names, args: &Args<'_>) -> Result<Value> {
    let values = (1..=args.len()).filter_map(|position| args.at(position));
    let words: Option<Vec<Vec<u8>>> = values.map(word).collect();
    let words = words.ok_or_else(|| names.raise(lua, stack::WRONG_WORD.as_bytes()))?;
    if words.is_empty() {
        return Err(names.raise(lua, stack::NO_WORD.as_bytes()));
    }
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    match context.may_call(&words)? {
        Some(may) => Ok(Value::Boolean(may)),
        None => Err(names.raise(lua, b"Invalid command passed to server.acl_check_cmd()")),
    }
}

fn word(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        value => number::of_value(value).map(|number| number::word(number).to_vec()),
    }
}

/// `server.error_reply`: an error brings its code, or gets the general one. Misuse is an error value, not an error.
fn error_reply(lua: &Lua, _: &Context, names: &Names, args: &Args<'_>) -> Result<Value> {
    let table = match (args.len(), args.at(1)) {
        (1, Some(Value::String(text))) => {
            let text = text.as_bytes();
            let text = text.strip_prefix(b"-").unwrap_or(&text);
            names.error_table(lua, &[b"-", text].concat())
        }
        _ => names.error_table(lua, b"wrong number or type of arguments"),
    };
    table.map(Value::Table)
}

/// `server.status_reply`
fn status_reply(lua: &Lua, _: &Context, names: &Names, args: &Args<'_>) -> Result<Value> {
    let table = match (args.len(), args.at(1)) {
        (1, Some(text @ Value::String(_))) => {
            let table = lua.create_table_with_capacity(0, 1)?;
            table.raw_set("ok", text)?;
            Ok(table)
        }
        _ => names.error_table(lua, b"wrong number or type of arguments"),
    };
    table.map(Value::Table)
}

/// `server.sha1hex`: what is neither a string nor a number hashes as nothing.
fn sha1_hex(lua: &Lua, _: &Context, names: &Names, args: &Args<'_>) -> Result<Value> {
    if args.len() != 1 {
        return Err(names.raise(lua, b"wrong number of arguments"));
    }
    let text = args.string(1).ok();
    let sha1 = text.map_or_else(|| Sha1::of(b""), |text| Sha1::of(&text.as_bytes()));
    lua.create_string(sha1.to_hex()).map(Value::String)
}

/// `server.setresp`
fn set_protocol(lua: &Lua, context: &Context, names: &Names, args: &Args<'_>) -> Result<Value> {
    if args.len() != 1 {
        return Err(names.raise(lua, b"server.setresp() requires one argument."));
    }
    context.protocol.set(match truncated(args)? {
        2 => Protocol::Resp2,
        3 => Protocol::Resp3,
        _ => return Err(names.raise(lua, b"RESP version must be 2 or 3.")),
    });
    Ok(Value::Nil)
}

/// `server.set_repl`
fn set_targets(lua: &Lua, context: &Context, names: &Names, args: &Args<'_>) -> Result<Value> {
    if args.len() != 1 {
        return Err(names.raise(lua, b"server.set_repl() requires one argument."));
    }
    let bits = truncated(args)?;
    if bits & !3 != 0 {
        let text = "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.";
        return Err(names.raise(lua, text.as_bytes()));
    }
    context.targets.set(Targets {
        file: bits & 1 != 0,
        replicas: bits & 2 != 0,
    });
    Ok(Value::Nil)
}

/// The first argument as C's `int`, 0 for what is no number and the least one for what has no place in it.
fn truncated(args: &Args<'_>) -> Result<i32> {
    let number = args.as_number(1)?.unwrap_or(0.0);
    Ok(i32::try_from(number::to_i64(number)).unwrap_or(i32::MIN))
}

/// `server.log`
fn log(lua: &Lua, context: &Context, names: &Names, args: &Args<'_>) -> Result<Value> {
    if args.len() < 2 {
        return Err(names.raise(lua, b"server.log() requires two arguments or more."));
    }
    let Some(number) = args.as_number(1)? else {
        return Err(names.raise(lua, b"First argument must be a number (log level)."));
    };
    let level = usize::try_from(number::to_i64(number));
    let Some((_, level)) = level.ok().and_then(|level| LEVELS.get(level)) else {
        return Err(names.raise(lua, b"Invalid log level."));
    };
    let mut line = Vec::new();
    for position in 2..=args.len() {
        if let Ok(text) = args.string(position) {
            if position != 2 {
                line.push(b' ');
            }
            let text = text.as_bytes();
            // The same long string may be given many times.
            context.check_room(lua, line.len() + text.len())?;
            line.extend_from_slice(&text);
        }
    }
    context.log(*level, &line)?;
    Ok(Value::Nil)
}
