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

/// Long strings are made of pieces about this long.
const PIECE_BYTES: usize = 64 * 1024;

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
    context: &Context,
    matcher: &Matcher<'_>,
    whole: (usize, usize),
    or_whole: bool,
) -> Result<Vec<Value>> {
    let count = matcher.capture_count().max(usize::from(or_whole));
    context.building(lua, matcher.captured_bytes(whole), || {
        (0..count)
            .map(|index| capture_value(lua, &matcher.capture(index, whole)?))
            .collect()
    })
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
        results.extend(captures(args.lua, context, &matcher, whole, !positions)?);
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
            captures(lua, &shared, &matcher, whole, true)
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
    let subject = subject.as_bytes();
    let most = i64::try_from(subject.len())
        .unwrap_or(i64::MAX)
        .saturating_add(1);
    let most = i64::from(number::to_i32(args.optional_integer(4, most)?));
    let replacement = match args.at(3) {
        Some(Value::Table(table)) => Replacement::Table(table),
        Some(Value::Function(function)) => Replacement::Function(function),
        Some(Value::String(_) | Value::Integer(_) | Value::Number(_)) => {
            Replacement::Text(args.string(3)?)
        }
        _ => return Err(args.bad(3, "string/function/table expected").into()),
    };
    let pattern = pattern.as_bytes();
    let anchored = pattern.first() == Some(&b'^');
    let mut matcher = Matcher::new(context, &subject, &pattern[usize::from(anchored)..]);
    let mut substitution = Substitution {
        lua: args.lua,
        context,
        raw_pcall,
        replacement,
        room: context.room(args.lua),
        result: Vec::with_capacity(subject.len()),
    };
    let (mut at, mut count) = (0, 0);
    while count < most {
        let found = located(args.lua, matcher.match_at(at))?;
        if let Some(end) = found {
            count += 1;
            located(args.lua, substitution.replace(&matcher, (at, end)))?;
        }
        match found {
            Some(end) if end > at => at = end,
            _ if at < subject.len() => {
                substitution.result.push(subject[at]);
                at += 1;
            }
            _ => break,
        }
        if anchored {
            break;
        }
    }
    substitution.append(&subject[at..])?;
    context.check_room(args.lua, substitution.result.len())?;
    Ok((context.string(args.lua, &substitution.result)?, count))
}

/// The result of `string.gsub` as it grows.
struct Substitution<'a> {
    lua: &'a Lua,
    context: &'a Context,
    raw_pcall: &'a Function,
    replacement: Replacement<'a>,
    /// The most that the result may grow to.
    room: usize,
    result: Vec<u8>,
}

impl Substitution<'_> {
    fn append(&mut self, text: &[u8]) -> Result<()> {
        self.context.work(text.len())?;
        if self.result.len() + text.len() > self.room {
            return Err(Error::MemoryError(String::new()));
        }
        self.result.extend_from_slice(text);
        Ok(())
    }

    /// Appends what stands for one match. Complaints have no position.
    fn replace(&mut self, matcher: &Matcher<'_>, whole: (usize, usize)) -> Result<()> {
        let value = match &self.replacement {
            Replacement::Text(text) => {
                let text = text.as_bytes();
                return self.expand(&text, matcher, whole);
            }
            Replacement::Table(table) => {
                let key = capture_value(self.lua, &matcher.capture(0, whole)?)?;
                let found = table.get(key);
                found.map_err(|error| raised_in_lua(self.lua, &error))?
            }
            Replacement::Function(function) => {
                let mut args = captures(self.lua, self.context, matcher, whole, true)?;
                args.insert(0, Value::Function((*function).clone()));
                let args = MultiValue::from_vec(args);
                let (succeeded, value): (bool, Value) = self.raw_pcall.call(args)?;
                if !succeeded {
                    return Err(Failure::Value(plain_value(self.lua, value)?).into());
                }
                value
            }
        };
        match value {
            Value::Nil | Value::Boolean(false) => self.append_capture(&matcher.whole(whole)),
            Value::String(text) => self.append(&text.as_bytes()),
            value => match number::of_value(&value) {
                Some(number) => {
                    append_general(&mut self.result, number, LUA_DIGITS);
                    Ok(())
                }
                None => {
                    let kind = type_name(&value);
                    Err(Failure::text(format!("invalid replacement value (a {kind})")).into())
                }
            },
        }
    }

    fn append_capture(&mut self, capture: &Capture<'_>) -> Result<()> {
        match capture {
            Capture::Text(text) => self.append(text),
            Capture::Position(position) => {
                self.append(itoa::Buffer::new().format(*position).as_bytes())
            }
        }
    }

    /// A replacement text: `%1` is a capture, `%0` the whole match, `%` before anything else quotes it.
    fn expand(&mut self, text: &[u8], matcher: &Matcher<'_>, whole: (usize, usize)) -> Result<()> {
        if self.result.len() + text.len() > self.room {
            return Err(Error::MemoryError(String::new()));
        }
        let mut bytes = text.iter().copied();
        while let Some(byte) = bytes.next() {
            if byte != b'%' {
                self.result.push(byte);
                continue;
            }
            // A lone one at the end quotes the NUL that ends C's string.
            match bytes.next().unwrap_or(0) {
                b'0' => self.append_capture(&matcher.whole(whole))?,
                digit @ b'1'..=b'9' => {
                    let capture = matcher.capture(usize::from(digit - b'1'), whole)?;
                    self.append_capture(&capture)?;
                }
                literal => self.result.push(literal),
            }
            self.context.step()?;
        }
        Ok(())
    }
}

/// `string.rep`.
fn repeat(context: &Context, args: &Args<'_>) -> Result<LuaString> {
    let text = args.string(1)?;
    let times = usize::try_from(args.int(2)?).unwrap_or(0);
    let text = text.as_bytes();
    let length = text.len().saturating_mul(times);
    context.check_room(args.lua, length)?;
    if length == 0 {
        return context.string(args.lua, b"");
    }
    // Doubled as long as it is short, then in pieces.
    let mut piece = text.to_vec();
    while piece.len() < PIECE_BYTES && piece.len() * 2 <= length {
        piece.extend_from_within(..);
    }
    let mut repeated = Vec::with_capacity(length);
    while repeated.len() < length {
        let more = piece.len().min(length - repeated.len());
        repeated.extend_from_slice(&piece[..more]);
        context.work(more)?;
    }
    context.string(args.lua, &repeated)
}
