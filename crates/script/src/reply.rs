//! Replies to Lua values, for what a command answers to a script, and Lua values to replies, for what a script answers to
//! its client.
//!
//! A command writes its reply into a buffer as for any client, in the version of the protocol that the script asked for,
//! and one reader makes Lua values of both versions. (The alternative, a reply that builds Lua values directly, would put
//! a choice into every write of every command, for scripts only.) What a script returns goes the other way through the
//! verbs of [`resp::Reply`], which know the client's protocol.

use mlua::{Either, IntoLua, Lua, LuaString, Result, Table, Value};
use resp::number::parse_double;
use resp::{Protocol, Reply};

use crate::context::Context;
use crate::failure::Failure;
use crate::host::Answer;
use crate::number::to_i64;

/// What an element of an array takes in Lua, beside the bytes of a string: a slot and a small object.
pub(crate) const ELEMENT_BYTES: usize = 96;

/// How deep replies may be nested, in either direction.
const MAX_DEPTH: usize = 1000;

/// What a client gets for a reply nested deeper.
const TOO_DEEP: &str = "ERR reached lua stack limit";

/// Strings that conversions need all the time, made once.
pub(crate) struct Names {
    err: LuaString,
    ok: LuaString,
    /// The text of the usual status.
    ok_text: LuaString,
    double: LuaString,
    big_number: LuaString,
    verbatim_string: LuaString,
    format: LuaString,
    string: LuaString,
    map: LuaString,
    set: LuaString,
    /// An error with this was counted already.
    counted: LuaString,
    source: LuaString,
    line: LuaString,
}

impl Names {
    pub(crate) fn new(lua: &Lua) -> Result<Self> {
        Ok(Names {
            err: lua.create_string("err")?,
            ok: lua.create_string("ok")?,
            ok_text: lua.create_string("OK")?,
            double: lua.create_string("double")?,
            big_number: lua.create_string("big_number")?,
            verbatim_string: lua.create_string("verbatim_string")?,
            format: lua.create_string("format")?,
            string: lua.create_string("string")?,
            map: lua.create_string("map")?,
            set: lua.create_string("set")?,
            counted: lua.create_string("ignore_error_stats_update")?,
            source: lua.create_string("source")?,
            line: lua.create_string("line")?,
        })
    }

    /// `{err = text}`, with the general code where `text` does not begin with a minus sign and a code of its own.
    pub(crate) fn error_table(&self, lua: &Lua, text: &[u8]) -> Result<Table> {
        lua.create_table_from([(&self.err, lua.create_string(with_code(text))?)])
    }

    /// `{err = "ERR " .. text}`
    pub(crate) fn general_error_table(&self, lua: &Lua, text: &[u8]) -> Result<Table> {
        let text = lua.create_string([b"ERR ", text].concat())?;
        lua.create_table_from([(&self.err, text)])
    }

    /// The table of [`Names::error_table`] as an error to be raised.
    pub(crate) fn raise(&self, lua: &Lua, text: &[u8]) -> mlua::Error {
        match self.error_table(lua, text) {
            Ok(table) => Failure::Value(Value::Table(table)).into(),
            Err(error) => error,
        }
    }

    /// What a command answered, which was counted when it did: `line` is without its minus sign.
    pub(crate) fn command_error_table(&self, lua: &Lua, line: &[u8]) -> Result<Table> {
        let table = self.error_table(lua, &[b"-", line].concat())?;
        table.raw_set(&self.counted, true)?;
        Ok(table)
    }

    /// `{err = …, source = …, line = …}`: an error, and where it was raised.
    pub(crate) fn locate(&self, table: &Table, source: &str, line: i64) -> Result<()> {
        table.raw_set(&self.source, source)?;
        table.raw_set(&self.line, line)
    }

    /// `{ok = text}`
    fn status_table(&self, lua: &Lua, text: &[u8]) -> Result<Table> {
        if text == b"OK" {
            return lua.create_table_from([(&self.ok, &self.ok_text)]);
        }
        lua.create_table_from([(&self.ok, lua.create_string(text)?)])
    }
}

/// An error's text with its code: after a minus sign the first word is the code, if it is not the only one.
fn with_code(text: &[u8]) -> Vec<u8> {
    let text = before_nul(text);
    match text.strip_prefix(b"-") {
        None => [b"ERR ", trimmed(text)].concat(),
        Some(text) => match memchr::memchr(b' ', text) {
            None => [b"ERR ", text].concat(),
            Some(end) => {
                let (code, rest) = text.split_at(end);
                [code, b" ", trimmed(&rest[1..])].concat()
            }
        },
    }
}

fn trimmed(text: &[u8]) -> &[u8] {
    let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let start = text
        .iter()
        .position(|byte| !is_line_end(byte))
        .unwrap_or(text.len());
    let end = text
        .iter()
        .rposition(|byte| !is_line_end(byte))
        .map_or(start, |last| last + 1);
    &text[start..end]
}

/// As C reads a string.
fn before_nul(text: &[u8]) -> &[u8] {
    memchr::memchr(0, text).map_or(text, |end| &text[..end])
}

/// Bytes on their way into Lua. Text that is UTF-8 goes there without a detour over a reference.
fn element(bytes: &[u8]) -> Either<&str, impl IntoLua> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Either::Left(text),
        Err(_) => Either::Right(LuaString::wrap(bytes)),
    }
}

/// A command's reply as a Lua value.
pub(crate) enum FromResp {
    /// Anything but an error.
    Value(Value),
    /// The text of an error reply, without its minus sign.
    Error(Vec<u8>),
}

/// Converts one complete reply, of either version of the protocol.
///
/// # Errors
/// When `reply` is not RESP, is nested too deep, or does not fit in memory.
pub(crate) fn to_lua(
    context: &Context,
    lua: &Lua,
    names: &Names,
    reply: &[u8],
) -> Result<FromResp> {
    if let Some(line) = reply.strip_prefix(b"-") {
        let text = memchr::memchr(b'\r', line).map_or(line, |end| &line[..end]);
        return Ok(FromResp::Error(text.to_vec()));
    }
    if let Some(number) = reply
        .strip_prefix(b":")
        .and_then(|rest| rest.strip_suffix(b"\r\n"))
    {
        let number = resp::number::parse_i64(number).ok_or_else(malformed)?;
        return Ok(FromResp::Value(Value::Integer(number)));
    }
    if let Some(rest) = reply.strip_prefix(b"$")
        && let Some(text) = only_bulk(rest)
    {
        return context
            .string(lua, text)
            .map(|text| FromResp::Value(Value::String(text)));
    }
    // The least text for an element is `_\r\n`, the dearest for its length an empty status.
    let bytes = reply.len().saturating_mul(ELEMENT_BYTES / 2);
    let value = context.building(lua, bytes, || {
        let mut reader = Reader {
            context,
            lua,
            names,
            rest: reply,
        };
        reader.value(0)
    })?;
    Ok(FromResp::Value(value))
}

/// What a reply holds that is one bulk string, its first byte left out.
pub(crate) fn only_bulk(rest: &[u8]) -> Option<&[u8]> {
    let (length, text) = first_line(rest)?;
    let length = usize::try_from(resp::number::parse_i64(length)?).ok()?;
    let text = text.strip_suffix(b"\r\n")?;
    (text.len() == length).then_some(text)
}

/// A line without its end, and what is behind it.
pub(crate) fn first_line(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\r', rest)?;
    Some((&rest[..end], rest.get(end + 2..)?))
}

struct Reader<'a> {
    context: &'a Context,
    lua: &'a Lua,
    names: &'a Names,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value> {
        let (kind, line) = self.line()?;
        self.context.step()?;
        let one = |name: &LuaString, value: Value| {
            let table = self.lua.create_table_from([(name, value)])?;
            Ok(Value::Table(table))
        };
        match kind {
            b':' => Ok(Value::Integer(resp::number::parse_i64(line).unwrap_or(0))),
            b'$' => match self.bulk(line)? {
                Some(text) => Ok(Value::String(self.lua.create_string(text)?)),
                None => Ok(Value::Boolean(false)),
            },
            b'+' => self.names.status_table(self.lua, line).map(Value::Table),
            b'-' => {
                let table = self.names.command_error_table(self.lua, line)?;
                Ok(Value::Table(table))
            }
            b'*' | b'>' => match self.count(line, 1)? {
                Some(count) => self.array(count, depth),
                None => Ok(Value::Boolean(false)),
            },
            b'_' => Ok(Value::Nil),
            b'#' => Ok(Value::Boolean(line == b"t")),
            b',' => {
                let number = parse_double(line).unwrap_or(f64::NAN);
                one(&self.names.double, Value::Number(number))
            }
            b'(' => {
                let digits = self.lua.create_string(line)?;
                one(&self.names.big_number, Value::String(digits))
            }
            b'=' => self.verbatim(line),
            b'%' => {
                let pairs = self.count(line, 2)?.ok_or_else(malformed)?;
                let map = self.map(pairs, depth)?;
                self.lua
                    .create_table_from([(&self.names.map, map)])
                    .map(Value::Table)
            }
            b'~' => {
                let count = self.count(line, 1)?.ok_or_else(malformed)?;
                let set = self.set(count, depth)?;
                self.lua
                    .create_table_from([(&self.names.set, set)])
                    .map(Value::Table)
            }
            b'|' => {
                // An attribute of the reply that follows; scripts do not see it.
                let pairs = self.count(line, 2)?.ok_or_else(malformed)?;
                self.map(pairs, depth)?;
                self.value(depth)
            }
            _ => Err(malformed()),
        }
    }

    /// `{verbatim_string = {format = …, string = …}}`
    fn verbatim(&mut self, length: &[u8]) -> Result<Value> {
        let text = self.bulk(length)?.ok_or_else(malformed)?;
        let (format, text) = text.split_at_checked(4).ok_or_else(malformed)?;
        let inner = self.lua.create_table_with_capacity(0, 2)?;
        inner.raw_set(&self.names.format, self.lua.create_string(&format[..3])?)?;
        inner.raw_set(&self.names.string, self.lua.create_string(text)?)?;
        let table = self
            .lua
            .create_table_from([(&self.names.verbatim_string, inner)])?;
        Ok(Value::Table(table))
    }

    fn map(&mut self, pairs: usize, depth: usize) -> Result<Table> {
        check_depth(depth)?;
        let table = self.lua.create_table_with_capacity(0, pairs)?;
        for _ in 0..pairs {
            let key = self.value(depth + 1)?;
            let value = self.value(depth + 1)?;
            // A null is nothing that a table could have.
            if !matches!(key, Value::Nil) {
                table.raw_set(key, value)?;
            }
        }
        Ok(table)
    }

    /// A table with each member as a key.
    fn set(&mut self, count: usize, depth: usize) -> Result<Table> {
        check_depth(depth)?;
        let table = self.lua.create_table_with_capacity(0, count)?;
        for _ in 0..count {
            let member = self.value(depth + 1)?;
            if !matches!(member, Value::Nil) {
                table.raw_set(member, true)?;
            }
        }
        Ok(table)
    }

    fn array(&mut self, count: usize, depth: usize) -> Result<Value> {
        check_depth(depth)?;
        if let Some(texts) = self.texts(count)? {
            return self.sequence(&texts);
        }
        let table = self.lua.create_table_with_capacity(count, 0)?;
        for index in 1..=count {
            let value = self.value(depth + 1)?;
            if !matches!(value, Value::Nil) {
                table.raw_seti(index, value)?;
            }
        }
        Ok(Value::Table(table))
    }

    /// The elements of an array of nothing but bulk strings; `None`, with nothing read, of any other.
    fn texts(&mut self, count: usize) -> Result<Option<Vec<Option<&'a [u8]>>>> {
        let start = self.rest;
        let mut texts = Vec::with_capacity(count);
        for _ in 0..count {
            let (kind, line) = self.line()?;
            if kind != b'$' {
                self.rest = start;
                return Ok(None);
            }
            texts.push(self.bulk(line)?);
        }
        Ok(Some(texts))
    }

    /// A table of texts, with false for nil.
    fn sequence(&self, texts: &[Option<&[u8]>]) -> Result<Value> {
        let elements = texts.iter().map(|text| match text {
            Some(text) => Either::Left(element(text)),
            None => Either::Right(false),
        });
        self.lua.create_sequence_from(elements).map(Value::Table)
    }

    /// The kind of the next element, and its first line.
    fn line(&mut self) -> Result<(u8, &'a [u8])> {
        let (kind, rest) = self.rest.split_first().ok_or_else(malformed)?;
        let (line, rest) = first_line(rest).ok_or_else(malformed)?;
        self.rest = rest;
        Ok((*kind, line))
    }

    fn bulk(&mut self, length: &[u8]) -> Result<Option<&'a [u8]>> {
        if length == b"-1" {
            return Ok(None);
        }
        let length =
            resp::number::parse_i64(length).and_then(|length| usize::try_from(length).ok());
        let length = length.ok_or_else(malformed)?;
        let text = self.rest.get(..length).ok_or_else(malformed)?;
        self.rest = self
            .rest
            .get(length..)
            .and_then(|rest| rest.get(2..))
            .ok_or_else(malformed)?;
        Ok(Some(text))
    }

    /// The length of an aggregate, which cannot have more elements than there are bytes left.
    fn count(&self, count: &[u8], of: usize) -> Result<Option<usize>> {
        if count == b"-1" {
            return Ok(None);
        }
        let count = resp::number::parse_i64(count).and_then(|count| usize::try_from(count).ok());
        count
            .filter(|count| count.saturating_mul(of) <= self.rest.len())
            .map(Some)
            .ok_or_else(malformed)
    }
}

fn check_depth(depth: usize) -> Result<()> {
    if depth >= MAX_DEPTH {
        return Err(Failure::text("reached lua stack limit").into());
    }
    Ok(())
}

fn malformed() -> mlua::Error {
    Failure::text("the command's reply is malformed").into()
}

/// Writes what a script returned. On an error, what has been written is to be dropped.
///
/// # Errors
/// When the script is stopped, or the reply grows beyond its bound.
pub(crate) fn from_lua(
    context: &Context,
    names: &Names,
    value: Value,
    reply: &mut Reply,
) -> Result<Answer> {
    let mut writer = Writer {
        context,
        names,
        most: context.settings.reply_bytes,
        too_deep: false,
        answer: Answer::Value,
        reply,
    };
    writer.value(value, 0)?;
    if writer.too_deep {
        reply.clear();
        reply.error(TOO_DEEP);
        return Ok(Answer::Error);
    }
    Ok(writer.answer)
}

struct Writer<'a> {
    context: &'a Context,
    names: &'a Names,
    /// The length beyond which the reply is refused.
    most: usize,
    too_deep: bool,
    answer: Answer,
    reply: &'a mut Reply,
}

impl Writer<'_> {
    fn value(&mut self, value: Value, depth: usize) -> Result<()> {
        match value {
            Value::String(text) => self.reply.bulk(text.as_bytes()),
            // What the script asked for decides whether true is an integer.
            Value::Boolean(value) => match (self.context.protocol.get(), value) {
                (Protocol::Resp2, true) => self.reply.int(1),
                (Protocol::Resp2, false) => self.reply.nil(),
                (Protocol::Resp3, value) => self.reply.bool(value),
            },
            Value::Integer(number) => self.reply.int(number),
            Value::Number(number) => self.reply.int(to_i64(number)),
            Value::Table(table) => return self.table(&table, depth),
            _ => self.reply.nil(),
        }
        Ok(())
    }

    /// An error, a status, a value of RESP3 by the name of its kind, or the elements up to the first nil.
    fn table(&mut self, table: &Table, depth: usize) -> Result<()> {
        if depth >= MAX_DEPTH {
            self.too_deep = true;
        }
        if self.too_deep {
            return Ok(());
        }
        if matches!(table.raw_get(&self.names.err)?, Value::String(_)) {
            let answer = write_error(self.names, table, self.reply);
            if depth == 0 {
                self.answer = answer;
            }
            return Ok(());
        }
        if let Value::String(text) = table.raw_get(&self.names.ok)? {
            self.reply.status(before_nul(&text.as_bytes()));
            return Ok(());
        }
        match table.raw_get(&self.names.double)? {
            #[expect(
                clippy::cast_precision_loss,
                reason = "mlua made the integer from a double"
            )]
            Value::Integer(number) => {
                self.reply.double(number as f64);
                return Ok(());
            }
            Value::Number(number) => {
                self.reply.double(number);
                return Ok(());
            }
            _ => {}
        }
        if let Value::String(digits) = table.raw_get(&self.names.big_number)? {
            let digits: Vec<u8> = one_line(before_nul(&digits.as_bytes()));
            self.reply.big_number(digits);
            return Ok(());
        }
        if let Value::Table(verbatim) = table.raw_get(&self.names.verbatim_string)?
            && self.verbatim(&verbatim)?
        {
            return Ok(());
        }
        if let Value::Table(map) = table.raw_get(&self.names.map)? {
            return self.map(&map, depth);
        }
        if let Value::Table(set) = table.raw_get(&self.names.set)? {
            return self.set(&set, depth);
        }
        self.array(table, depth)
    }

    /// Whether it has what it takes.
    fn verbatim(&mut self, verbatim: &Table) -> Result<bool> {
        let format = verbatim.raw_get(&self.names.format)?;
        let text = verbatim.raw_get(&self.names.string)?;
        let (Value::String(format), Value::String(text)) = (format, text) else {
            return Ok(false);
        };
        let mut letters = one_line(before_nul(&format.as_bytes()));
        letters.resize(3, b' ');
        let letters = String::from_utf8(letters).unwrap_or_else(|_| "txt".to_owned());
        self.reply.verbatim(&letters, text.as_bytes());
        Ok(true)
    }

    fn map(&mut self, map: &Table, depth: usize) -> Result<()> {
        let open = self.reply.begin_array();
        let mut count = 0;
        for pair in map.pairs::<Value, Value>() {
            let (key, value) = pair?;
            self.value(key, depth + 1)?;
            self.value(value, depth + 1)?;
            count += 1;
            self.check()?;
        }
        self.reply.end_map(open, count);
        Ok(())
    }

    fn set(&mut self, set: &Table, depth: usize) -> Result<()> {
        let open = self.reply.begin_array();
        let mut count = 0;
        for pair in set.pairs::<Value, Value>() {
            let (member, _) = pair?;
            self.value(member, depth + 1)?;
            count += 1;
            self.check()?;
        }
        self.reply.end_set(open, count);
        Ok(())
    }

    fn array(&mut self, table: &Table, depth: usize) -> Result<()> {
        // Most arrays have no holes, and then their length is known before their elements.
        let length = table.raw_len();
        let mut count = 0;
        let first: Value = table.raw_get(1)?;
        if length > 0 && !matches!(first, Value::Nil) && self.is_whole(table, length)? {
            self.reply.array(length);
            while count < length {
                count += 1;
                self.value(table.raw_get(count)?, depth + 1)?;
                self.check()?;
            }
            return Ok(());
        }
        let open = self.reply.begin_array();
        loop {
            let value: Value = table.raw_get(count + 1)?;
            if matches!(value, Value::Nil) {
                break;
            }
            count += 1;
            self.value(value, depth + 1)?;
            self.check()?;
        }
        self.reply.end_array(open, count);
        Ok(())
    }

    /// Whether the elements from 1 to `length` are all there and none is behind them.
    fn is_whole(&self, table: &Table, length: usize) -> Result<bool> {
        for index in 2..=length {
            if matches!(table.raw_get(index)?, Value::Nil) {
                return Ok(false);
            }
            self.context.step()?;
        }
        Ok(matches!(table.raw_get(length + 1)?, Value::Nil))
    }

    fn check(&self) -> Result<()> {
        self.context.step()?;
        if self.reply.len() > self.most {
            return Err(Failure::text("the script's reply is too long").into());
        }
        Ok(())
    }
}

/// Text for one line of a reply: its own line ends are blanked.
fn one_line(text: &[u8]) -> Vec<u8> {
    let blank = |byte: &u8| match byte {
        b'\r' | b'\n' => b' ',
        other => *other,
    };
    text.iter().map(blank).collect()
}

/// Writes the error that a table stands for.
fn write_error(names: &Names, table: &Table, reply: &mut Reply) -> Answer {
    let raised = Raised::of(names, table);
    reply.error(trimmed(&raised.text));
    raised.answer
}

/// Writes the error that ended a script, and where it was raised.
pub(crate) fn write_raised(names: &Names, table: &Table, reply: &mut Reply) -> Answer {
    let raised = Raised::of(names, table);
    let mut text = trimmed(&raised.text).to_vec();
    if let Some(place) = raised.place {
        text.extend_from_slice(b" script: on ");
        text.extend_from_slice(&place);
        text.push(b'.');
    }
    reply.error(text);
    raised.answer
}

/// The text of an error value.
pub(crate) fn raised_text(names: &Names, value: &Value) -> Vec<u8> {
    match value {
        Value::Table(table) => Raised::of(names, table).text,
        _ => b"ERR unknown error".to_vec(),
    }
}

/// What a table says about an error.
struct Raised {
    text: Vec<u8>,
    /// `source:line`
    place: Option<Vec<u8>>,
    answer: Answer,
}

impl Raised {
    fn of(names: &Names, table: &Table) -> Self {
        let text = |name: &LuaString| match table.raw_get(name) {
            Ok(Value::String(text)) => Some(before_nul(&text.as_bytes()).to_vec()),
            Ok(Value::Integer(number)) => Some(number.to_string().into_bytes()),
            _ => None,
        };
        let place = text(&names.source).zip(text(&names.line));
        let counted = matches!(table.raw_get(&names.counted), Ok(Value::Boolean(true)));
        Raised {
            text: text(&names.err).unwrap_or_else(|| b"ERR unknown error".to_vec()),
            place: place.map(|(source, line)| [&source[..], b":", &line[..]].concat()),
            answer: if counted {
                Answer::CommandError
            } else {
                Answer::Error
            },
        }
    }
}
