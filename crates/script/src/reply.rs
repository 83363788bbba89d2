//! RESP to Lua values, for what a command answers to a script, and Lua values to RESP, for what a script answers to
//! its client.

use mlua::{Either, IntoLua, Lua, LuaString, Result, Table, Value};

use crate::context::Context;
use crate::failure::Failure;
use crate::number::to_i64;

/// What an element of an array takes in Lua, beside the bytes of a string: a slot and a small object.
pub(crate) const ELEMENT_BYTES: usize = 96;

/// How deep replies may be nested, in either direction.
const MAX_DEPTH: usize = 1000;

/// What a client gets for a reply nested deeper.
const TOO_DEEP: &[u8] = b"-ERR reached lua stack limit\r\n";

const NIL: &[u8] = b"$-1\r\n";

/// Strings that conversions need all the time, made once.
pub(crate) struct Names {
    err: LuaString,
    ok: LuaString,
    /// The text of the usual status.
    ok_text: LuaString,
}

impl Names {
    pub(crate) fn new(lua: &Lua) -> Result<Self> {
        Ok(Names {
            err: lua.create_string("err")?,
            ok: lua.create_string("ok")?,
            ok_text: lua.create_string("OK")?,
        })
    }

    /// `{err = text}`
    pub(crate) fn error_table(&self, lua: &Lua, text: &[u8]) -> Result<Table> {
        lua.create_table_from([(&self.err, lua.create_string(text)?)])
    }

    /// `{ok = text}`
    fn status_table(&self, lua: &Lua, text: &[u8]) -> Result<Table> {
        if text == b"OK" {
            return lua.create_table_from([(&self.ok, &self.ok_text)]);
        }
        lua.create_table_from([(&self.ok, lua.create_string(text)?)])
    }
}

/// Bytes on their way into Lua. Text that is UTF-8 goes there without a detour over a reference.
pub(crate) fn element(bytes: &[u8]) -> Either<&str, impl IntoLua> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Either::Left(text),
        Err(_) => Either::Right(LuaString::wrap(bytes)),
    }
}

/// Appends an error line. What would end the line early is blanked.
pub(crate) fn append_error(reply: &mut Vec<u8>, text: &[u8]) {
    append_line(reply, b'-', text);
}

fn append_line(reply: &mut Vec<u8>, kind: u8, text: &[u8]) {
    reply.push(kind);
    reply.extend(text.iter().map(|byte| match byte {
        b'\r' | b'\n' => b' ',
        other => *other,
    }));
    reply.extend_from_slice(b"\r\n");
}

/// A command's reply as a Lua value.
pub(crate) enum FromResp {
    /// Anything but an error.
    Value(Value),
    /// The text of an error reply, without its minus sign.
    Error(Vec<u8>),
}

/// Converts one complete reply.
///
/// # Errors
/// When `reply` is not RESP, is nested too deep, or does not fit in memory.
pub(crate) fn to_lua(
    context: &Context,
    lua: &Lua,
    names: &Names,
    reply: &[u8],
    sort: bool,
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
    // The least text for an element is `:0\r\n`, the dearest for its length an empty status.
    let bytes = reply.len().saturating_mul(ELEMENT_BYTES / 2);
    let value = context.building(lua, bytes, || {
        let mut reader = Reader {
            lua,
            names,
            rest: reply,
        };
        if sort && let Some(value) = reader.sorted_array()? {
            return Ok(value);
        }
        reader.value(0)
    })?;
    Ok(FromResp::Value(value))
}

struct Reader<'a> {
    lua: &'a Lua,
    names: &'a Names,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value> {
        let (kind, line) = self.line()?;
        match kind {
            b':' => {
                let number = resp::number::parse_i64(line).unwrap_or(0);
                Ok(Value::Integer(number))
            }
            b'$' => match self.bulk(line)? {
                Some(text) => Ok(Value::String(self.lua.create_string(text)?)),
                None => Ok(Value::Boolean(false)),
            },
            b'+' => self.names.status_table(self.lua, line).map(Value::Table),
            b'-' => self.names.error_table(self.lua, line).map(Value::Table),
            b'*' => match self.count(line)? {
                Some(count) => self.array(count, depth),
                None => Ok(Value::Boolean(false)),
            },
            _ => Err(malformed()),
        }
    }

    fn array(&mut self, count: usize, depth: usize) -> Result<Value> {
        if depth >= MAX_DEPTH {
            return Err(Failure::text("reached lua stack limit").into());
        }
        if let Some(texts) = self.texts(count)? {
            return self.sequence(&texts);
        }
        let table = self.lua.create_table_with_capacity(count, 0)?;
        for index in 1..=count {
            let value = self.value(depth + 1)?;
            table.raw_seti(index, value)?;
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

    /// An array of nothing but bulk strings, in the order of their bytes with nil as an empty string; `None`, with
    /// nothing read, for any other reply.
    fn sorted_array(&mut self) -> Result<Option<Value>> {
        let start = self.rest;
        let (kind, line) = self.line()?;
        let count = if kind == b'*' {
            self.count(line)?
        } else {
            None
        };
        let texts = match count {
            Some(count) => self.texts(count)?,
            None => None,
        };
        let Some(mut texts) = texts else {
            self.rest = start;
            return Ok(None);
        };
        texts.sort_by_key(|text| text.unwrap_or_default());
        self.sequence(&texts).map(Some)
    }

    /// The kind of the next element, and its first line.
    fn line(&mut self) -> Result<(u8, &'a [u8])> {
        let (kind, rest) = self.rest.split_first().ok_or_else(malformed)?;
        let end = memchr::memchr(b'\r', rest).ok_or_else(malformed)?;
        self.rest = rest.get(end + 2..).ok_or_else(malformed)?;
        Ok((*kind, &rest[..end]))
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

    /// The length of an array, which cannot be more than there are bytes left.
    fn count(&self, count: &[u8]) -> Result<Option<usize>> {
        if count == b"-1" {
            return Ok(None);
        }
        let count = resp::number::parse_i64(count).and_then(|count| usize::try_from(count).ok());
        count
            .filter(|count| *count <= self.rest.len())
            .map(Some)
            .ok_or_else(malformed)
    }
}

fn malformed() -> mlua::Error {
    Failure::text("the command's reply is malformed").into()
}

/// Appends what a script returned. On an error, what has been appended is to be cut off again.
///
/// # Errors
/// When a metamethod of a table fails, the script is stopped, or the reply grows beyond its bound.
pub(crate) fn from_lua(
    context: &Context,
    names: &Names,
    value: Value,
    reply: &mut Vec<u8>,
) -> Result<()> {
    let start = reply.len();
    let mut writer = Writer {
        context,
        names,
        most: start.saturating_add(context.limits.reply_bytes),
        too_deep: false,
        reply,
    };
    writer.value(value, 0)?;
    if writer.too_deep {
        reply.truncate(start);
        reply.extend_from_slice(TOO_DEEP);
    }
    Ok(())
}

struct Writer<'a> {
    context: &'a Context,
    names: &'a Names,
    /// The length beyond which the reply is refused.
    most: usize,
    too_deep: bool,
    reply: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn value(&mut self, value: Value, depth: usize) -> Result<()> {
        match value {
            Value::String(text) => self.bulk(&text.as_bytes()),
            Value::Boolean(true) => self.integer(1),
            Value::Integer(number) => self.integer(number),
            Value::Number(number) => self.integer(to_i64(number)),
            Value::Table(table) => return self.table(&table, depth),
            _ => self.reply.extend_from_slice(NIL),
        }
        Ok(())
    }

    fn integer(&mut self, number: i64) {
        self.header(b':', number);
    }

    fn bulk(&mut self, text: &[u8]) {
        self.header(b'$', text.len());
        self.reply.extend_from_slice(text);
        self.reply.extend_from_slice(b"\r\n");
    }

    fn header(&mut self, kind: u8, number: impl itoa::Integer) {
        self.reply.push(kind);
        self.reply
            .extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        self.reply.extend_from_slice(b"\r\n");
    }

    /// An error, a status, or the elements up to the first nil.
    fn table(&mut self, table: &Table, depth: usize) -> Result<()> {
        if depth >= MAX_DEPTH {
            self.too_deep = true;
        }
        if self.too_deep {
            return Ok(());
        }
        for (kind, name) in [(b'-', &self.names.err), (b'+', &self.names.ok)] {
            if let Value::String(text) = table.get(name)? {
                let text = text.as_bytes();
                let text = memchr::memchr(0, &text).map_or(&text[..], |end| &text[..end]);
                append_line(self.reply, kind, text);
                return Ok(());
            }
        }
        // Without holes this is the count of elements; with holes, or with metamethods, it is a guess.
        let guess = table.raw_len();
        let header = self.reply.len();
        self.header(b'*', guess);
        let elements = self.reply.len();
        let mut count = 0;
        loop {
            let value: Value = table.get(count + 1)?;
            if matches!(value, Value::Nil) {
                break;
            }
            count += 1;
            self.value(value, depth + 1)?;
            self.context.step()?;
            if self.reply.len() > self.most {
                return Err(Failure::text("the script's reply is too long").into());
            }
        }
        if count != guess {
            let right = format!("*{count}\r\n");
            self.reply.splice(header..elements, right.into_bytes());
        }
        Ok(())
    }
}
