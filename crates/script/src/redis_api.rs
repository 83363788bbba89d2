//! The table `redis`: commands, log lines, SHA1, replies made by hand.

use std::rc::Rc;

use mlua::{BorrowedBytes, Error, Lua, MultiValue, Result, Table, Value, Variadic};
use resp::number::DoubleBuffer;
use smallvec::SmallVec;

use crate::Sha1;
use crate::args::Args;
use crate::context::Context;
use crate::failure::{Failure, Frame};
use crate::host::{LogLevel, Outcome};
use crate::number;
use crate::reply::{self, FromResp, Names};

const LEVELS: [(&str, LogLevel); 4] = [
    ("LOG_DEBUG", LogLevel::Debug),
    ("LOG_VERBOSE", LogLevel::Verbose),
    ("LOG_NOTICE", LogLevel::Notice),
    ("LOG_WARNING", LogLevel::Warning),
];

/// Makes the table.
pub(crate) fn library(lua: &Lua, context: &Rc<Context>) -> Result<Table> {
    let redis = lua.create_table()?;
    for (name, raises) in [("call", true), ("pcall", false)] {
        let context = Rc::clone(context);
        let names = Names::new(lua)?;
        let function = lua.create_function(move |lua, args: MultiValue| {
            call(lua, &context, &names, &args, raises)
        })?;
        redis.raw_set(name, function)?;
    }
    for (name, field) in [("error_reply", "err"), ("status_reply", "ok")] {
        let names = Names::new(lua)?;
        let function = lua.create_function(move |lua, args: Variadic<Value>| match &args[..] {
            [text @ Value::String(_)] => {
                let table = lua.create_table_with_capacity(0, 1)?;
                table.raw_set(field, text)?;
                Ok(table)
            }
            _ => error_at_caller(lua, &names, "wrong number or type of arguments"),
        })?;
        redis.raw_set(name, function)?;
    }
    let names = Names::new(lua)?;
    let function = lua.create_function(move |lua, args: MultiValue| {
        let args = Args::new(lua, args);
        if args.len() != 1 {
            return error_at_caller(lua, &names, "wrong number of arguments").map(Value::Table);
        }
        // What is neither a string nor a number hashes as nothing.
        let text = args.string(1).ok();
        let sha1 = text.map_or_else(|| Sha1::of(b""), |text| Sha1::of(&text.as_bytes()));
        lua.create_string(sha1.to_hex()).map(Value::String)
    })?;
    redis.raw_set("sha1hex", function)?;
    let names = Names::new(lua)?;
    let context = Rc::clone(context);
    let function =
        lua.create_function(move |lua, args: MultiValue| log(lua, &context, &names, args))?;
    redis.raw_set("log", function)?;
    for (number, (name, _)) in LEVELS.iter().enumerate() {
        redis.raw_set(*name, number)?;
    }
    Ok(redis)
}

/// One argument of a command.
enum Argument {
    Text(BorrowedBytes),
    /// As `%.17g`, so that no digit is lost.
    Number(SmallVec<[u8; 32]>),
}

impl Argument {
    /// Only strings and numbers can be arguments.
    fn new(value: &Value) -> Option<Self> {
        if let Value::String(text) = value {
            return Some(Argument::Text(text.as_bytes()));
        }
        let mut buffer = DoubleBuffer::new();
        let text = buffer.format(number::of_value(value)?);
        Some(Argument::Number(SmallVec::from_slice(text.as_bytes())))
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Argument::Text(text) => text,
            Argument::Number(text) => text,
        }
    }
}

fn call(
    lua: &Lua,
    context: &Context,
    names: &Names,
    values: &MultiValue,
    raises: bool,
) -> Result<Value> {
    if values.is_empty() {
        let text = "Please specify at least one argument for redis.call()";
        return error_at_caller(lua, names, text).map(Value::Table);
    }
    let mut args: SmallVec<[Argument; 4]> = SmallVec::new();
    for value in values {
        let Some(argument) = Argument::new(value) else {
            let text = "Lua redis() command arguments must be strings or integers";
            return error_at_caller(lua, names, text).map(Value::Table);
        };
        args.push(argument);
    }
    let bytes: SmallVec<[&[u8]; 8]> = args.iter().map(Argument::bytes).collect();
    let length: usize = bytes.iter().map(|arg| arg.len()).sum();
    if length > context.limits.memory_bytes {
        // The same long string may be given many times; the host would copy each.
        return Err(Error::MemoryError(String::new()));
    }
    let (outcome, reply) = context.call(&bytes)?;
    let converted = match outcome {
        Outcome::Reply { sort } => reply::to_lua(context, lua, names, &reply, sort)?,
        Outcome::Refused(refusal) => FromResp::Error(quote_caller(lua, refusal.text())),
    };
    context.recycle(reply);
    match converted {
        FromResp::Value(value) => Ok(value),
        FromResp::Error(text) if raises => Err(Failure::Text(text).into()),
        FromResp::Error(text) => names.error_table(lua, &text).map(Value::Table),
    }
}

/// `source: line: text`, of the function that called the running one.
fn quote_caller(lua: &Lua, text: &str) -> Vec<u8> {
    match Frame::at(lua, 1) {
        Some(frame) => format!("{}: {}: {text}", frame.source, frame.line).into_bytes(),
        None => text.as_bytes().to_vec(),
    }
}

/// Misuse of these functions is an error value, not an error.
fn error_at_caller(lua: &Lua, names: &Names, text: &str) -> Result<Table> {
    names.error_table(lua, &quote_caller(lua, text))
}

fn log(lua: &Lua, context: &Context, names: &Names, args: MultiValue) -> Result<MultiValue> {
    let refuse = |text| {
        error_at_caller(lua, names, text).map(|table| MultiValue::from_iter([Value::Table(table)]))
    };
    let args = Args::new(lua, args);
    if args.len() < 2 {
        return refuse("redis.log() requires two arguments or more.");
    }
    let Some(number) = args.as_number(1)? else {
        return refuse("First argument must be a number (log level).");
    };
    let level = LEVELS.iter().enumerate().find(|(level, _)| {
        // Truncated as C does: from above -1 up to 1 is 0.
        i64::try_from(*level).is_ok_and(|level| level == number::to_i64(number))
    });
    let Some((_, (_, level))) = level else {
        return refuse("Invalid debug level.");
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
    Ok(MultiValue::new())
}
