//! Lua values to JSON.

use mlua::{Lua, LuaString, Result, Table, Value};

use super::{DEEPEST, InvalidNumbers, Settings};
use crate::args::Args;
use crate::context::Context;
use crate::failure::{Failure, type_name};
use crate::number::{self, append_general, to_i64};

/// `cjson.encode`.
pub(super) fn run(context: &Context, settings: &Settings, args: &Args<'_>) -> Result<LuaString> {
    if args.len() != 1 {
        return Err(args.bad(1, "expected 1 argument").into());
    }
    let mut encoder = Encoder {
        context,
        settings,
        lua: args.lua,
        room: context.room(args.lua),
        json: Vec::new(),
    };
    encoder.value(&args.value(1), 0)?;
    let json = encoder.json;
    context.check_room(args.lua, json.len())?;
    context.string(args.lua, &json)
}

/// A long string is written in pieces of this size.
const PIECE_BYTES: usize = 64 * 1024;

/// Whether a byte of a string is not written as it is.
fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || matches!(byte, b'"' | b'\\' | b'/' | 0x7f)
}

struct Encoder<'a> {
    context: &'a Context,
    settings: &'a Settings,
    lua: &'a Lua,
    /// The most that the result may grow to.
    room: usize,
    json: Vec<u8>,
}

/// What a table is written as.
enum Shape {
    /// With this last index.
    Array(i32),
    Object,
}

impl Encoder<'_> {
    fn value(&mut self, value: &Value, depth: i32) -> Result<()> {
        match value {
            Value::String(text) => self.string(&text.as_bytes())?,
            Value::Integer(_) | Value::Number(_) => self.number(value)?,
            Value::Boolean(true) => self.json.extend_from_slice(b"true"),
            Value::Boolean(false) => self.json.extend_from_slice(b"false"),
            Value::Nil => self.json.extend_from_slice(b"null"),
            Value::LightUserData(pointer) if pointer.0.is_null() => {
                self.json.extend_from_slice(b"null");
            }
            Value::Table(table) => self.table(table, depth + 1)?,
            other => return Err(self.refuse(other, "type not supported")),
        }
        if self.json.len() > self.room {
            return self.context.check_room(self.lua, self.json.len());
        }
        self.context.step()
    }

    fn refuse(&self, value: &Value, reason: &str) -> mlua::Error {
        let text = format!("Cannot serialise {}: {reason}", type_name(value));
        Failure::at_caller(self.lua, text).into()
    }

    fn string(&mut self, text: &[u8]) -> Result<()> {
        self.json.reserve(text.len() + 2);
        self.json.push(b'"');
        // The same long string may be there many times.
        for piece in text.chunks(PIECE_BYTES) {
            let mut rest = piece;
            while let Some(at) = rest.iter().position(|byte| needs_escape(*byte)) {
                self.json.extend_from_slice(&rest[..at]);
                self.escape(rest[at]);
                rest = &rest[at + 1..];
            }
            self.json.extend_from_slice(rest);
            if self.json.len() > self.room {
                self.context.check_room(self.lua, self.json.len())?;
            }
            self.context.work(piece.len())?;
        }
        self.json.push(b'"');
        Ok(())
    }

    fn escape(&mut self, byte: u8) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let short = match byte {
            b'"' | b'\\' | b'/' => byte,
            0x08 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            0x0c => b'f',
            b'\r' => b'r',
            _ => {
                let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
                let code = [b'\\', b'u', b'0', b'0', DIGITS[high], DIGITS[low]];
                self.json.extend_from_slice(&code);
                return;
            }
        };
        self.json.extend_from_slice(&[b'\\', short]);
    }

    fn number(&mut self, value: &Value) -> Result<()> {
        let number = number::of_value(value).unwrap_or_default();
        if !number.is_finite() {
            match self.settings.encode_invalid.get() {
                InvalidNumbers::Refused => return Err(self.refuse(value, "must not be NaN or Inf")),
                InvalidNumbers::Null => {
                    self.json.extend_from_slice(b"null");
                    return Ok(());
                }
                // Without the sign that some machines give it.
                InvalidNumbers::Written if number.is_nan() => {
                    self.json.extend_from_slice(b"nan");
                    return Ok(());
                }
                InvalidNumbers::Written => {}
            }
        }
        let digits = usize::try_from(self.settings.digits.get()).unwrap_or(1);
        append_general(&mut self.json, number, digits);
        Ok(())
    }

    fn table(&mut self, table: &Table, depth: i32) -> Result<()> {
        if depth > self.settings.encode_depth.get().min(DEEPEST) {
            let text = format!("Cannot serialise, excessive nesting ({depth})");
            return Err(Failure::at_caller(self.lua, text).into());
        }
        match self.shape(table)? {
            Shape::Array(last) => self.array(table, last, depth),
            Shape::Object => self.object(table, depth),
        }
    }

    /// An array has nothing but whole keys from 1 on, at least one, and not too many holes.
    fn shape(&self, table: &Table) -> Result<Shape> {
        // Most objects are known by their first key.
        if let Some(Ok((Value::String(_), _))) = table.pairs::<Value, Value>().next() {
            return Ok(Shape::Object);
        }
        let (mut last, mut count, mut is_array) = (0i32, 0i32, true);
        table.for_each(|key: Value, _: Value| {
            match number::of_value(&key) {
                Some(index) if index >= 1.0 && index.fract() == 0.0 => {
                    // What does not fit in a C `int` counts as its least.
                    last = last.max(i32::try_from(to_i64(index)).unwrap_or(i32::MIN));
                    count = count.wrapping_add(1);
                }
                _ => is_array = false,
            }
            self.context.step()
        })?;
        if !is_array {
            return Ok(Shape::Object);
        }
        let ratio = self.settings.sparse_ratio.get();
        if ratio > 0 && last > count.wrapping_mul(ratio) && last > self.settings.sparse_safe.get() {
            if !self.settings.sparse_convert.get() {
                return Err(self.refuse(&Value::Table(table.clone()), "excessively sparse array"));
            }
            return Ok(Shape::Object);
        }
        Ok(if last > 0 {
            Shape::Array(last)
        } else {
            Shape::Object
        })
    }

    fn array(&mut self, table: &Table, last: i32, depth: i32) -> Result<()> {
        self.json.push(b'[');
        for index in 1..=last {
            if index > 1 {
                self.json.push(b',');
            }
            let element: Value = table.raw_get(index)?;
            self.value(&element, depth)?;
        }
        self.json.push(b']');
        Ok(())
    }

    fn object(&mut self, table: &Table, depth: i32) -> Result<()> {
        self.json.push(b'{');
        let mut first = true;
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair?;
            if !first {
                self.json.push(b',');
            }
            first = false;
            match &key {
                Value::Integer(_) | Value::Number(_) => {
                    self.json.push(b'"');
                    self.number(&key)?;
                    self.json.push(b'"');
                }
                Value::String(text) => self.string(&text.as_bytes())?,
                other => return Err(self.refuse(other, "table key must be a number or string")),
            }
            self.json.push(b':');
            self.value(&value, depth)?;
        }
        self.json.push(b'}');
        Ok(())
    }
}
