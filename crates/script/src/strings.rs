//! Functions of the table `string` that Lua 5.1 leaves without bounds: those with patterns, `rep`, and `dump`, which
//! makes bytecode.

use std::rc::Rc;

use mlua::{Error, Function, Lua, LuaString, MultiValue, Result, Table, Value};

use crate::args::Args;
use crate::context::Context;
use crate::failure::{Failure, plain_value, type_name};
use crate::number::{self, LUA_DIGITS, append_general};
use crate::pattern::{Capture, Matcher};

/// With none of these bytes a pattern is a plain text.
const SPECIAL: &[u8] = b"^$*+?.([%-";

/// The functions, by name.
pub(crate) fn functions(lua: &Lua, context: &Rc<Context>, raw_pcall: &Function) -> Result<Table> {
    let strings = lua.create_table()?;
    let shared = Rc::clone(context);
    strings.raw_set(
        "find",
        lua.create_function(move |lua, args: MultiValue| {
            find(&shared, &Args::new(lua, args), true)
        })?,
    )?;
    let shared = Rc::clone(context);
    strings.raw_set(
        "match",
        lua.create_function(move |lua, args: MultiValue| {
            find(&shared, &Args::new(lua, args), false)
        })?,
    )?;
    let shared = Rc::clone(context);
    strings.raw_set(
        "gmatch",
        lua.create_function(move |lua, args: MultiValue| {
            all_matches(&shared, &Args::new(lua, args))
        })?,
    )?;
    let (shared, raw_pcall) = (Rc::clone(context), raw_pcall.clone());
    strings.raw_set(
        "gsub",
        lua.create_function(move |lua, args: MultiValue| {
            substitute(&shared, &raw_pcall, &Args::new(lua, args))
        })?,
    )?;
    let shared = Rc::clone(context);
    strings.raw_set(
        "rep",
        lua.create_function(move |lua, args: MultiValue| repeat(&shared, &Args::new(lua, args)))?,
    )?;
    let dump = lua.create_function(|lua, args: MultiValue| -> Result<()> {
        let args = Args::new(lua, args);
        match args.at(1) {
            Some(Value::Function(_)) => Err(args.fail("unable to dump given function").into()),
            _ => Err(args.wrong_type(1, "function").into()),
        }
    })?;
    strings.raw_set("dump", dump)?;
    Ok(strings)
}

/// Complaints of the matcher get the position of the script.
fn located<T>(lua: &Lua, result: Result<T>) -> Result<T> {
    result.map_err(|error| match Failure::from_error(&error) {
        Failure::Text(text) => Failure::at_caller(lua, text).into(),
        other => other.into(),
    })
}

/// An error of Lua code that a table's metamethod ran: it has its position already.
fn raised_in_lua(lua: &Lua, error: &Error) -> Error {
    match Failure::from_error(error) {
        Failure::Text(text) => match lua.create_string(text) {
            Ok(text) => Failure::Value(Value::String(text)).into(),
            Err(error) => error,
        },
        other => other.into(),
    }
}

fn capture_value(lua: &Lua, capture: &Capture<'_>) -> Result<Value> {
    Ok(match capture {
        Capture::Text(text) => Value::String(lua.create_string(text)?),
        Capture::Position(position) => position_value(*position),
    })
}

/// All captures of the last match, the whole match if it made none and `or_whole`.
fn captures(
    lua: &Lua,
    matcher: &Matcher<'_>,
    whole: (usize, usize),
    or_whole: bool,
) -> Result<Vec<Value>> {
    let count = matcher.capture_count().max(usize::from(or_whole));
    (0..count)
        .map(|index| capture_value(lua, &matcher.capture(index, whole)?))
        .collect()
}

fn position_value(position: usize) -> Value {
    Value::Integer(i64::try_from(position).unwrap_or(i64::MAX))
}

/// `string.find` and `string.match`.
fn find(context: &Context, args: &Args<'_>, positions: bool) -> Result<MultiValue> {
    let (subject, pattern) = (args.string(1)?, args.string(2)?);
    let start = start_index(args.optional_integer(3, 1)?, &subject);
    let plain = positions
        && matches!(args.at(4), Some(value) if !matches!(value, Value::Nil | Value::Boolean(false)));
    let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
    let pattern_text = memchr::memchr(0, &pattern).map_or(&pattern[..], |end| &pattern[..end]);
    if plain || (positions && !pattern_text.iter().any(|byte| SPECIAL.contains(byte))) {
        let found = memchr::memmem::find(&subject[start..], &pattern);
        return Ok(match found {
            Some(at) => MultiValue::from_iter([
                position_value(start + at + 1),
                position_value(start + at + pattern.len()),
            ]),
            None => MultiValue::from_iter([Value::Nil]),
        });
    }
    let anchored = pattern.first() == Some(&b'^');
    let mut matcher = Matcher::new(context, &subject, &pattern[usize::from(anchored)..]);
    let results = matcher.find(start, anchored).and_then(|found| {
        let Some(whole) = found else {
            return Ok(vec![Value::Nil]);
        };
        let mut results = Vec::new();
        if positions {
            results.extend([position_value(whole.0 + 1), position_value(whole.1)]);
        }
        results.extend(captures(args.lua, &matcher, whole, !positions)?);
        Ok(results)
    });
    located(args.lua, results).map(MultiValue::from_vec)
}

/// An index from 0 for a position from 1, or from the end if negative.
fn start_index(position: i64, subject: &LuaString) -> usize {
    let length = subject.as_bytes().len();
    let from_end = usize::try_from(position.unsigned_abs()).unwrap_or(usize::MAX);
    if position < 0 {
        length.saturating_sub(from_end)
    } else {
        from_end.saturating_sub(1).min(length)
    }
}

/// `string.gmatch`: an iterator.
fn all_matches(context: &Rc<Context>, args: &Args<'_>) -> Result<Function> {
    let (subject, pattern) = (args.string(1)?, args.string(2)?);
    let shared = Rc::clone(context);
    let next_start = std::cell::Cell::new(0);
    args.lua.create_function(move |lua, ()| {
        let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
        let mut matcher = Matcher::new(&shared, &subject, &pattern);
        let results = matcher.find(next_start.get(), false).and_then(|found| {
            let Some(whole) = found else {
                next_start.set(subject.len() + 1);
                return Ok(vec![Value::Nil]);
            };
            next_start.set(whole.1 + usize::from(whole.0 == whole.1));
            captures(lua, &matcher, whole, true)
        });
        located(lua, results).map(MultiValue::from_vec)
    })
}

/// What `string.gsub` puts in the place of a match.
enum Replacement<'a> {
    Text(LuaString),
    Table(&'a Table),
    Function(&'a Function),
}

/// `string.gsub`.
fn substitute(
    context: &Context,
    raw_pcall: &Function,
    args: &Args<'_>,
) -> Result<(LuaString, i64)> {
    let (subject, pattern) = (args.string(1)?, args.string(2)?);
    let replacement = match args.at(3) {
        Some(Value::Table(table)) => Replacement::Table(table),
        Some(Value::Function(function)) => Replacement::Function(function),
        Some(Value::String(_) | Value::Integer(_) | Value::Number(_)) => {
            Replacement::Text(args.string(3)?)
        }
        _ => return Err(args.bad(3, "string/function/table expected").into()),
    };
    let (subject, pattern) = (subject.as_bytes(), pattern.as_bytes());
    let most = i64::try_from(subject.len())
        .unwrap_or(i64::MAX)
        .saturating_add(1);
    let most = i64::from(crate::number::to_i32(args.optional_integer(4, most)?));
    let anchored = pattern.first() == Some(&b'^');
    let mut matcher = Matcher::new(context, &subject, &pattern[usize::from(anchored)..]);
    let (mut at, mut count, mut result) = (0, 0i64, Vec::with_capacity(subject.len()));
    while count < most {
        let found = located(args.lua, matcher.match_at(at))?;
        if let Some(end) = found {
            count += 1;
            let text = replace(
                args.lua,
                raw_pcall,
                &replacement,
                &matcher,
                (at, end),
                &mut result,
            );
            located(args.lua, text)?;
        }
        match found {
            Some(end) if end > at => at = end,
            _ if at < subject.len() => {
                result.push(subject[at]);
                at += 1;
            }
            _ => break,
        }
        if anchored {
            break;
        }
        context.check_room(args.lua, result.len())?;
    }
    result.extend_from_slice(&subject[at..]);
    context.check_room(args.lua, result.len())?;
    Ok((args.lua.create_string(result)?, count))
}

/// Appends what stands for one match. Complaints have no position.
fn replace(
    lua: &Lua,
    raw_pcall: &Function,
    replacement: &Replacement<'_>,
    matcher: &Matcher<'_>,
    whole: (usize, usize),
    result: &mut Vec<u8>,
) -> Result<()> {
    let value = match replacement {
        Replacement::Text(text) => return expand(&text.as_bytes(), matcher, whole, result),
        Replacement::Table(table) => {
            let key = capture_value(lua, &matcher.capture(0, whole)?)?;
            table.get(key).map_err(|error| raised_in_lua(lua, &error))?
        }
        Replacement::Function(function) => {
            let mut args = captures(lua, matcher, whole, true)?;
            args.insert(0, Value::Function((*function).clone()));
            let (succeeded, value): (bool, Value) = raw_pcall.call(MultiValue::from_vec(args))?;
            if !succeeded {
                return Err(Failure::Value(plain_value(lua, value)?).into());
            }
            value
        }
    };
    match value {
        Value::Nil | Value::Boolean(false) => {
            if let Capture::Text(text) = matcher.whole(whole) {
                result.extend_from_slice(text);
            }
        }
        Value::String(text) => result.extend_from_slice(&text.as_bytes()),
        Value::Integer(_) | Value::Number(_) => append_general(
            result,
            number::of_value(&value).unwrap_or_default(),
            LUA_DIGITS,
        ),
        other => {
            let complaint = format!("invalid replacement value (a {})", type_name(&other));
            return Err(Failure::text(complaint).into());
        }
    }
    Ok(())
}

/// A replacement text: `%1` is a capture, `%0` the whole match, `%` before anything else quotes it.
fn expand(
    text: &[u8],
    matcher: &Matcher<'_>,
    whole: (usize, usize),
    result: &mut Vec<u8>,
) -> Result<()> {
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            result.push(byte);
            continue;
        }
        // A lone one at the end quotes the NUL that ends C's string.
        let quoted = bytes.next().unwrap_or(0);
        let capture = match quoted {
            b'0' => matcher.whole(whole),
            b'1'..=b'9' => matcher.capture(usize::from(quoted - b'1'), whole)?,
            literal => {
                result.push(literal);
                continue;
            }
        };
        match capture {
            Capture::Text(text) => result.extend_from_slice(text),
            Capture::Position(position) => {
                result.extend_from_slice(itoa::Buffer::new().format(position).as_bytes());
            }
        }
    }
    Ok(())
}

/// `string.rep`.
fn repeat(context: &Context, args: &Args<'_>) -> Result<LuaString> {
    let text = args.string(1)?;
    let times = usize::try_from(args.int(2)?).unwrap_or(0);
    let text = text.as_bytes();
    let length = text.len().saturating_mul(times);
    context.check_room(args.lua, length)?;
    args.lua
        .create_string(text.repeat(if length == 0 { 0 } else { times }))
}
