//! The library `cmsgpack`, as of lua-cmsgpack 0.4.0.

use std::rc::Rc;

use mlua::{Lua, LuaString, MultiValue, Result, Table, Value};

use crate::args::Args;
use crate::context::Context;
use crate::failure::Failure;
use crate::number::{self, to_i64};

/// Tables nested deeper than this are packed as nil, so that cycles end.
const PACK_DEPTH: usize = 16;

/// Nesting at which unpacking gives up.
const UNPACK_DEPTH: usize = 1000;

/// What the dearest element for its one byte takes, an empty table in an array that grows.
const ELEMENT_BYTES: usize = 128;

/// The most values that one call may give back.
const MAX_RESULTS: usize = 7000;

const TOO_MANY: &str =
    "stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)";

/// Makes the library.
pub(crate) fn library(lua: &Lua, context: &Rc<Context>) -> Result<Table> {
    let cmsgpack = lua.create_table()?;
    let shared = Rc::clone(context);
    let pack = lua.create_function(move |lua, args: MultiValue| {
        pack_values(&shared, &Args::new(lua, args))
    })?;
    cmsgpack.raw_set("pack", pack)?;
    let shared = Rc::clone(context);
    let unpack = lua.create_function(move |lua, args: MultiValue| {
        let args = Args::new(lua, args);
        unpack_values(&shared, &args, &args.string(1)?, 0, 0)
    })?;
    cmsgpack.raw_set("unpack", unpack)?;
    let shared = Rc::clone(context);
    let unpack_one = lua.create_function(move |lua, args: MultiValue| {
        let args = Args::new(lua, args);
        let offset = args.optional_integer(2, 0)?;
        unpack_values(
            &shared,
            &args,
            &args.string(1)?,
            1,
            crate::number::to_i32(offset),
        )
    })?;
    cmsgpack.raw_set("unpack_one", unpack_one)?;
    let shared = Rc::clone(context);
    let unpack_limit = lua.create_function(move |lua, args: MultiValue| {
        let args = Args::new(lua, args);
        let limit = args.int(2)?;
        let offset = args.optional_integer(3, 0)?;
        unpack_values(
            &shared,
            &args,
            &args.string(1)?,
            limit,
            crate::number::to_i32(offset),
        )
    })?;
    cmsgpack.raw_set("unpack_limit", unpack_limit)?;
    cmsgpack.raw_set("_NAME", "cmsgpack")?;
    cmsgpack.raw_set("_VERSION", "lua-cmsgpack 0.4.0")?;
    cmsgpack.raw_set("_COPYRIGHT", "Copyright (C) 2012, Redis Ltd.")?;
    cmsgpack.raw_set("_DESCRIPTION", "MessagePack C implementation for Lua")?;
    Ok(cmsgpack)
}

fn pack_values(context: &Context, args: &Args<'_>) -> Result<LuaString> {
    if args.len() == 0 {
        return Err(args.bad(0, "MessagePack pack needs input.").into());
    }
    let mut packer = Packer {
        context,
        lua: args.lua,
        room: context.room(args.lua),
        bytes: Vec::new(),
    };
    for position in 1..=args.len() {
        packer.value(&args.value(position), 0)?;
    }
    let bytes = packer.bytes;
    context.check_room(args.lua, bytes.len())?;
    context.string(args.lua, &bytes)
}

struct Packer<'a> {
    context: &'a Context,
    lua: &'a Lua,
    room: usize,
    bytes: Vec<u8>,
}

/// The marks for a length, by the room that it needs.
struct LengthMarks {
    /// Lengths below the second are added to the first.
    fixed: (u8, usize),
    byte: Option<u8>,
    short: u8,
    long: u8,
}

const STRING_MARKS: LengthMarks = LengthMarks {
    fixed: (0xa0, 32),
    byte: Some(0xd9),
    short: 0xda,
    long: 0xdb,
};
const ARRAY_MARKS: LengthMarks = LengthMarks {
    fixed: (0x90, 16),
    byte: None,
    short: 0xdc,
    long: 0xdd,
};
const MAP_MARKS: LengthMarks = LengthMarks {
    fixed: (0x80, 16),
    byte: None,
    short: 0xde,
    long: 0xdf,
};

impl Packer<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<()> {
        self.context.step()?;
        if self.bytes.len() > self.room {
            self.context.check_room(self.lua, self.bytes.len())?;
        }
        match value {
            Value::String(text) => {
                let text = text.as_bytes();
                self.context.work(text.len())?;
                self.length(&STRING_MARKS, text.len());
                self.bytes.extend_from_slice(&text);
            }
            Value::Boolean(true) => self.bytes.push(0xc3),
            Value::Boolean(false) => self.bytes.push(0xc2),
            Value::Integer(_) | Value::Number(_) => {
                self.number(number::of_value(value).unwrap_or_default());
            }
            Value::Table(table) if depth < PACK_DEPTH => self.table(table, depth)?,
            _ => self.bytes.push(0xc0),
        }
        Ok(())
    }

    fn length(&mut self, marks: &LengthMarks, length: usize) {
        match (u8::try_from(length), marks.byte, u16::try_from(length)) {
            (Ok(byte), ..) if length < marks.fixed.1 => self.bytes.push(marks.fixed.0 | byte),
            (Ok(byte), Some(mark), _) => self.bytes.extend_from_slice(&[mark, byte]),
            (.., Ok(short)) => self.marked(marks.short, &short.to_be_bytes()),
            // Nothing in Lua's memory is longer than 32 bits can say.
            _ => self.marked(
                marks.long,
                &u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes(),
            ),
        }
    }

    fn marked(&mut self, mark: u8, bytes: &[u8]) {
        self.bytes.push(mark);
        self.bytes.extend_from_slice(bytes);
    }

    /// The shortest form that is exact.
    fn number(&mut self, number: f64) {
        let integer = to_i64(number);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a cast there and back finds the whole numbers"
        )]
        let is_whole = integer as f64 == number;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a cast there and back finds what a float can hold"
        )]
        let single = number as f32;
        if is_whole {
            self.integer(integer);
        } else if f64::from(single) == number {
            self.marked(0xca, &single.to_be_bytes());
        } else {
            self.marked(0xcb, &number.to_be_bytes());
        }
    }

    fn integer(&mut self, number: i64) {
        if let Ok(number) = u64::try_from(number) {
            match (
                u8::try_from(number),
                u16::try_from(number),
                u32::try_from(number),
            ) {
                (Ok(byte @ 0..128), ..) => self.bytes.push(byte),
                (Ok(byte), ..) => self.bytes.extend_from_slice(&[0xcc, byte]),
                (_, Ok(short), _) => self.marked(0xcd, &short.to_be_bytes()),
                (.., Ok(long)) => self.marked(0xce, &long.to_be_bytes()),
                _ => self.marked(0xcf, &number.to_be_bytes()),
            }
        } else {
            match (
                i8::try_from(number),
                i16::try_from(number),
                i32::try_from(number),
            ) {
                (Ok(byte @ -32..), ..) => self.bytes.push(byte.cast_unsigned()),
                (Ok(byte), ..) => self.bytes.extend_from_slice(&[0xd0, byte.cast_unsigned()]),
                (_, Ok(short), _) => self.marked(0xd1, &short.to_be_bytes()),
                (.., Ok(long)) => self.marked(0xd2, &long.to_be_bytes()),
                _ => self.marked(0xd3, &number.to_be_bytes()),
            }
        }
    }

    fn table(&mut self, table: &Table, depth: usize) -> Result<()> {
        let (count, is_array) = self.count(table)?;
        if is_array {
            let length = table.raw_len();
            self.length(&ARRAY_MARKS, length);
            for index in 1..=length {
                let element: Value = table.raw_get(index)?;
                self.value(&element, depth + 1)?;
            }
        } else {
            self.length(&MAP_MARKS, count);
            for pair in table.pairs::<Value, Value>() {
                let (key, value) = pair?;
                self.value(&key, depth + 1)?;
                self.value(&value, depth + 1)?;
            }
        }
        Ok(())
    }

    /// How many elements a table has, and whether its keys are just the whole numbers from 1 to that.
    fn count(&self, table: &Table) -> Result<(usize, bool)> {
        let (mut count, mut last, mut all_whole) = (0usize, 0i32, true);
        table.for_each(|key: Value, _: Value| {
            let index = match key {
                Value::Integer(index) => i32::try_from(index).ok().filter(|index| *index > 0),
                _ => None,
            };
            all_whole &= index.is_some();
            last = last.max(index.unwrap_or(0));
            count += 1;
            self.context.step()
        })?;
        Ok((
            count,
            all_whole && usize::try_from(last).is_ok_and(|last| last == count),
        ))
    }
}

/// Values from `offset` on: all that there are if `limit` and `offset` are both 0; else at most `limit`, after the
/// offset where the next one starts, which is -1 at the end.
fn unpack_values(
    context: &Context,
    args: &Args<'_>,
    text: &LuaString,
    limit: i32,
    offset: i32,
) -> Result<MultiValue> {
    let text = text.as_bytes();
    let (Ok(most), Ok(start)) = (usize::try_from(limit), usize::try_from(offset)) else {
        // The library says the input's length where it means the limit.
        let complaint = format!(
            "Invalid request to unpack with offset of {offset} and limit of {}.",
            text.len()
        );
        return Err(args.fail(complaint).into());
    };
    if start > text.len() {
        let complaint = format!(
            "Start offset {offset} greater than input length {}.",
            text.len()
        );
        return Err(args.fail(complaint).into());
    }
    let all = most == 0 && start == 0;
    let mut unpacker = Unpacker {
        context,
        lua: args.lua,
        rest: &text[start..],
    };
    let bytes = text.len().saturating_mul(ELEMENT_BYTES);
    let unpacked = context.building(args.lua, bytes, || {
        let mut values = Vec::new();
        while !unpacker.rest.is_empty() && (all || values.len() < most) {
            if values.len() >= MAX_RESULTS {
                return Err(Failure::text(TOO_MANY).into());
            }
            values.push(unpacker.value(0)?);
        }
        Ok(values)
    });
    let mut values = unpacked.map_err(|error| match Failure::from_error(&error) {
        // What Lua itself raises about table keys has no position.
        Failure::Text(text) if !text.starts_with(b"table index") => args.fail(text).into(),
        other => mlua::Error::from(other),
    })?;
    if !all {
        let next = text.len() - unpacker.rest.len();
        let next = if unpacker.rest.is_empty() {
            -1
        } else {
            i64::try_from(next).unwrap_or(-1)
        };
        values.insert(0, Value::Integer(next));
    }
    Ok(MultiValue::from_vec(values))
}

struct Unpacker<'a> {
    context: &'a Context,
    lua: &'a Lua,
    rest: &'a [u8],
}

impl<'a> Unpacker<'a> {
    fn value(&mut self, depth: usize) -> Result<Value> {
        self.context.step()?;
        if depth > UNPACK_DEPTH {
            return Err(Failure::text(TOO_MANY).into());
        }
        let [mark] = self.array()?;
        Ok(match mark {
            0..0x80 => Value::Integer(i64::from(mark)),
            0x80..0x90 => return self.map(usize::from(mark & 0xf), depth),
            0x90..0xa0 => return self.sequence(usize::from(mark & 0xf), depth),
            0xa0..0xc0 => return self.string(usize::from(mark & 0x1f)),
            0xc0 => Value::Nil,
            0xc2 => Value::Boolean(false),
            0xc3 => Value::Boolean(true),
            0xca => Value::Number(f64::from(f32::from_be_bytes(self.array()?))),
            0xcb => Value::Number(f64::from_be_bytes(self.array()?)),
            0xcc => Value::Integer(i64::from(u8::from_be_bytes(self.array()?))),
            0xcd => Value::Integer(i64::from(u16::from_be_bytes(self.array()?))),
            0xce => Value::Integer(i64::from(u32::from_be_bytes(self.array()?))),
            // Read as signed, as 3.0 does.
            0xcf | 0xd3 => Value::Integer(i64::from_be_bytes(self.array()?)),
            0xd0 => Value::Integer(i64::from(i8::from_be_bytes(self.array()?))),
            0xd1 => Value::Integer(i64::from(i16::from_be_bytes(self.array()?))),
            0xd2 => Value::Integer(i64::from(i32::from_be_bytes(self.array()?))),
            0xd9 => {
                let [length] = self.array()?;
                return self.string(usize::from(length));
            }
            0xda..=0xdf => return self.counted(mark, depth),
            0xe0.. => Value::Integer(i64::from(mark.cast_signed())),
            _ => return Err(Failure::text("Bad data format in input.").into()),
        })
    }

    /// What has a length of 16 or 32 bits, by the mark's lowest bit.
    fn counted(&mut self, mark: u8, depth: usize) -> Result<Value> {
        let length = if mark & 1 == 0 {
            u32::from(u16::from_be_bytes(self.array()?))
        } else {
            u32::from_be_bytes(self.array()?)
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        match mark {
            0xda | 0xdb => self.string(length),
            0xdc | 0xdd => self.sequence(length, depth),
            _ => self.map(length, depth),
        }
    }

    fn bytes(&mut self, length: usize) -> Result<&'a [u8]> {
        let split = self.rest.split_at_checked(length);
        let (bytes, rest) = split.ok_or_else(|| Failure::text("Missing bytes in input."))?;
        self.rest = rest;
        Ok(bytes)
    }

    fn array<const LENGTH: usize>(&mut self) -> Result<[u8; LENGTH]> {
        let bytes = self.bytes(LENGTH)?;
        Ok(*bytes.first_chunk().unwrap_or(&[0; LENGTH]))
    }

    fn string(&mut self, length: usize) -> Result<Value> {
        let text = self.bytes(length)?;
        self.context.work(text.len())?;
        self.lua.create_string(text).map(Value::String)
    }

    fn sequence(&mut self, length: usize, depth: usize) -> Result<Value> {
        let table = self.lua.create_table()?;
        for index in 1..=length {
            let value = self.value(depth + 1)?;
            table.raw_seti(index, value)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, length: usize, depth: usize) -> Result<Value> {
        let table = self.lua.create_table()?;
        for _ in 0..length {
            let key = self.value(depth + 1)?;
            let value = self.value(depth + 1)?;
            match key {
                Value::Nil => return Err(Failure::text("table index is nil").into()),
                Value::Number(number) if number.is_nan() => {
                    return Err(Failure::text("table index is NaN").into());
                }
                key => table.raw_set(key, value)?,
            }
        }
        Ok(Value::Table(table))
    }
}
