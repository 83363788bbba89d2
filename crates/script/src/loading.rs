//! `load` and `loadstring`, which take the text of Lua only: the virtual machine trusts bytecode, so bytecode is not
//! taken from scripts.

use std::rc::Rc;

use mlua::chunk::{Chunk, ChunkMode};
use mlua::{Function, Lua, MultiValue, Result, Table, Value};

use crate::args::Args;
use crate::context::Context;
use crate::failure::{Failure, plain_value};

/// With this byte Lua tells bytecode from text.
const BYTECODE_MARK: u8 = 0x1b;

/// Makes `load` and `loadstring` for functions that see `globals`. `raw_pcall` is Lua's own `pcall`.
pub(crate) fn functions(
    lua: &Lua,
    context: &Rc<Context>,
    globals: &Table,
    raw_pcall: &Function,
) -> Result<(Function, Function)> {
    let env = globals.clone();
    let load_string = lua.create_function(move |lua, args: MultiValue| {
        let args = Args::new(lua, args);
        let text = args.string(1)?.as_bytes().to_vec();
        let name = if args.is_none_or_nil(2) {
            String::from_utf8_lossy(&text).into_owned()
        } else {
            args.string(2)?.to_string_lossy()
        };
        compile(lua, &env, text, &name)
    })?;
    let (env, context, raw_pcall) = (globals.clone(), Rc::clone(context), raw_pcall.clone());
    let load = lua.create_function(move |lua, args: MultiValue| {
        let args = Args::new(lua, args);
        let name = if args.is_none_or_nil(2) {
            "=(load)".to_owned()
        } else {
            args.string(2)?.to_string_lossy()
        };
        let Some(Value::Function(reader)) = args.at(1) else {
            return Err(args.wrong_type(1, "function").into());
        };
        match read_all(lua, &context, &raw_pcall, reader)? {
            Ok(text) => compile(lua, &env, text, &name),
            Err(error) => Ok(MultiValue::from_iter([Value::Nil, error])),
        }
    })?;
    Ok((load, load_string))
}

/// The function, or nil and the complaint.
fn compile(lua: &Lua, globals: &Table, mut text: Vec<u8>, name: &str) -> Result<MultiValue> {
    if text.first() == Some(&BYTECODE_MARK) {
        // As text it is refused with the complaint of a parser that knows no bytecode.
        text.insert(0, b' ');
    }
    // A name cannot hold a NUL; Lua would cut it there too.
    let name = name.split('\0').next().unwrap_or_default();
    let chunk: Chunk<'_> = lua.load(text).set_name(name).set_mode(ChunkMode::Text);
    match chunk.set_environment(globals.clone()).into_function() {
        Ok(function) => Ok(MultiValue::from_iter([Value::Function(function)])),
        Err(error) => {
            let complaint = Failure::from_error(&error).to_string();
            let complaint = Value::String(lua.create_string(complaint)?);
            Ok(MultiValue::from_iter([Value::Nil, complaint]))
        }
    }
}

/// Calls `reader` until it gives nothing more. The inner error is the complaint for the caller of `load`.
fn read_all(
    lua: &Lua,
    context: &Context,
    raw_pcall: &Function,
    reader: &Function,
) -> Result<std::result::Result<Vec<u8>, Value>> {
    let mut text = Vec::new();
    loop {
        context.step()?;
        let (succeeded, piece): (bool, Value) = raw_pcall.call(reader)?;
        if !succeeded {
            return plain_value(lua, piece).map(Err);
        }
        let piece = match piece {
            Value::Nil => return Ok(Ok(text)),
            piece => match lua.coerce_string(piece)? {
                Some(piece) => piece,
                None => {
                    return Ok(Err(Value::String(
                        lua.create_string("reader function must return a string")?,
                    )));
                }
            },
        };
        let piece = piece.as_bytes();
        if piece.is_empty() {
            return Ok(Ok(text));
        }
        context.check_room(lua, text.len() + piece.len())?;
        text.extend_from_slice(&piece);
    }
}
