//! The library `cjson`, as of lua-cjson 2.1: settings and the functions that change them. `encode` and `decode` do the
//! work.

mod decode;
mod encode;

use std::cell::Cell;
use std::rc::Rc;

use mlua::{Lua, MultiValue, Result, Table, Value};

use crate::args::Args;
use crate::context::Context;

/// Nesting beyond this is refused whatever the settings say: the work is recursive.
const DEEPEST: i32 = 1000;

/// What a copy of the library (`cjson.new()` makes another) was told.
pub(crate) struct Settings {
    /// Whether an array with too many holes becomes an object instead of an error.
    sparse_convert: Cell<bool>,
    /// An array is too sparse when its last index exceeds this many times its elements; 0: never.
    sparse_ratio: Cell<i32>,
    /// Up to this last index no array is too sparse.
    sparse_safe: Cell<i32>,
    encode_depth: Cell<i32>,
    decode_depth: Cell<i32>,
    encode_invalid: Cell<InvalidNumbers>,
    decode_invalid: Cell<bool>,
    /// Significant digits of numbers.
    digits: Cell<i32>,
    keep_buffer: Cell<bool>,
}

/// What becomes of infinities and NaN.
#[derive(Clone, Copy, PartialEq, Eq)]
enum InvalidNumbers {
    Refused,
    Written,
    Null,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            sparse_convert: Cell::new(false),
            sparse_ratio: Cell::new(2),
            sparse_safe: Cell::new(10),
            encode_depth: Cell::new(1000),
            decode_depth: Cell::new(1000),
            encode_invalid: Cell::new(InvalidNumbers::Refused),
            decode_invalid: Cell::new(true),
            digits: Cell::new(14),
            keep_buffer: Cell::new(true),
        }
    }
}

/// Makes the library with fresh settings.
pub(crate) fn library(lua: &Lua, context: &Rc<Context>) -> Result<Table> {
    let cjson = lua.create_table()?;
    let settings = Rc::new(Settings::default());
    let (shared, own) = (Rc::clone(context), Rc::clone(&settings));
    let encode = lua.create_function(move |lua, args: MultiValue| {
        encode::run(&shared, &own, &Args::new(lua, args))
    })?;
    cjson.raw_set("encode", encode)?;
    let (shared, own) = (Rc::clone(context), Rc::clone(&settings));
    let decode = lua.create_function(move |lua, args: MultiValue| {
        decode::run(&shared, &own, &Args::new(lua, args))
    })?;
    cjson.raw_set("decode", decode)?;
    let shared = Rc::clone(context);
    let new = lua.create_function(move |lua, _: MultiValue| library(lua, &shared))?;
    cjson.raw_set("new", new)?;
    add_settings(lua, &cjson, &settings)?;
    cjson.raw_set("null", Value::NULL)?;
    cjson.raw_set("_NAME", "cjson")?;
    cjson.raw_set("_VERSION", "2.1.0")?;
    Ok(cjson)
}

/// A setting's function: changes it where an argument is given, and gives its value.
type Accessor = fn(&Settings, &Args<'_>) -> Result<MultiValue>;

const ACCESSORS: [(&str, usize, Accessor); 7] = [
    ("encode_sparse_array", 3, sparse_array),
    ("encode_max_depth", 1, |settings, args| {
        integer_setting(args, 1, &settings.encode_depth, 1..=i32::MAX).map(one)
    }),
    ("decode_max_depth", 1, |settings, args| {
        integer_setting(args, 1, &settings.decode_depth, 1..=i32::MAX).map(one)
    }),
    ("encode_number_precision", 1, |settings, args| {
        integer_setting(args, 1, &settings.digits, 1..=14).map(one)
    }),
    ("encode_keep_buffer", 1, |settings, args| {
        flag_setting(args, 1, &settings.keep_buffer).map(one)
    }),
    ("encode_invalid_numbers", 1, encode_invalid_numbers),
    ("decode_invalid_numbers", 1, |settings, args| {
        flag_setting(args, 1, &settings.decode_invalid).map(one)
    }),
];

fn add_settings(lua: &Lua, cjson: &Table, settings: &Rc<Settings>) -> Result<()> {
    for (name, most_arguments, accessor) in ACCESSORS {
        let settings = Rc::clone(settings);
        let function = lua.create_function(move |lua, args: MultiValue| {
            let args = Args::new(lua, args);
            if args.len() > most_arguments {
                return Err(args
                    .bad(most_arguments + 1, "found too many arguments")
                    .into());
            }
            accessor(&settings, &args)
        })?;
        cjson.raw_set(name, function)?;
    }
    Ok(())
}

fn one(value: Value) -> MultiValue {
    MultiValue::from_iter([value])
}

fn sparse_array(settings: &Settings, args: &Args<'_>) -> Result<MultiValue> {
    Ok(MultiValue::from_iter([
        flag_setting(args, 1, &settings.sparse_convert)?,
        integer_setting(args, 2, &settings.sparse_ratio, 0..=i32::MAX)?,
        integer_setting(args, 3, &settings.sparse_safe, 0..=i32::MAX)?,
    ]))
}

fn encode_invalid_numbers(settings: &Settings, args: &Args<'_>) -> Result<MultiValue> {
    let given = match args.at(1) {
        None | Some(Value::Nil) => settings.encode_invalid.get(),
        Some(Value::Boolean(true)) => InvalidNumbers::Written,
        Some(Value::Boolean(false)) => InvalidNumbers::Refused,
        Some(_) => match &*args.string(1)?.as_bytes() {
            b"off" => InvalidNumbers::Refused,
            b"on" => InvalidNumbers::Written,
            b"null" => InvalidNumbers::Null,
            other => return Err(bad_option(args, 1, other)),
        },
    };
    settings.encode_invalid.set(given);
    Ok(one(match given {
        InvalidNumbers::Refused => Value::Boolean(false),
        InvalidNumbers::Written => Value::Boolean(true),
        InvalidNumbers::Null => Value::String(args.lua.create_string("null")?),
    }))
}

fn integer_setting(
    args: &Args<'_>,
    position: usize,
    setting: &Cell<i32>,
    range: std::ops::RangeInclusive<i32>,
) -> Result<Value> {
    if !args.is_none_or_nil(position) {
        let value = args.int(position)?;
        if !range.contains(&value) {
            let complaint = format!(
                "expected integer between {} and {}",
                range.start(),
                range.end()
            );
            // The library says 1 whichever argument it is.
            return Err(args.bad(1, complaint).into());
        }
        setting.set(value);
    }
    Ok(Value::Integer(i64::from(setting.get())))
}

fn flag_setting(args: &Args<'_>, position: usize, setting: &Cell<bool>) -> Result<Value> {
    match args.at(position) {
        None | Some(Value::Nil) => {}
        Some(Value::Boolean(value)) => setting.set(*value),
        Some(_) => match &*args.string(position)?.as_bytes() {
            b"off" => setting.set(false),
            b"on" => setting.set(true),
            other => return Err(bad_option(args, position, other)),
        },
    }
    Ok(Value::Boolean(setting.get()))
}

fn bad_option(args: &Args<'_>, position: usize, option: &[u8]) -> mlua::Error {
    let mut complaint = b"invalid option '".to_vec();
    complaint.extend_from_slice(option);
    complaint.push(b'\'');
    args.bad(position, complaint).into()
}
