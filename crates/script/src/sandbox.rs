//! Sets up a Lua state for scripts: which functions exist, in which tables. The tables are put together by
//! `lua/sandbox.lua`; the rule for globals that do not exist is in `lua/globals_guard.lua`.

use std::rc::Rc;

use mlua::{Function, Lua, Result, Table, Value};

use crate::Sha1;
use crate::base::Fronts;
use crate::context::Context;
use crate::failure::{Failure, Frame, SANDBOX_CHUNK, plain_value, type_name};
use crate::host::LogLevel;
use crate::interpreter::CHUNK_NAME;
use crate::number::{self, LUA_DIGITS, append_general};
use crate::{base, bits, json, loading, math, msgpack, redis_api, strings, structs, tables};

/// The chunk that 3.0's texts about globals name.
const GUARD_CHUNK: &str = "@enable_strict_lua";

/// Prepares `lua` and gives the function that runs a script: it returns `true` and the result, or `false` and the
/// text of the error.
pub(crate) fn set_up(lua: &Lua, context: &Rc<Context>) -> Result<Function> {
    let globals = lua.globals();
    let native = lua.create_table()?;
    add_libraries(lua, context, &native)?;
    add_errors(lua, context, &native)?;
    let raw_pcall: Function = globals.raw_get("pcall")?;
    let (load, load_string) = loading::functions(lua, context, &globals, &raw_pcall)?;
    native.raw_set("string", strings::functions(lua, context, &raw_pcall)?)?;
    native.raw_set("load", load)?;
    native.raw_set("loadstring", load_string)?;
    // Its code names the functions of the base library as globals, which the guard keeps of its own.
    let guard_globals = lua.create_table()?;
    for name in ["error", "rawget", "tostring"] {
        guard_globals.raw_set(name, globals.raw_get::<Function>(name)?)?;
    }
    let load_guard = lua
        .load(include_str!("lua/globals_guard.lua"))
        .set_name(GUARD_CHUNK)
        .set_environment(guard_globals)
        .into_function()?;
    let set_up = lua
        .load(include_str!("lua/sandbox.lua"))
        .set_name(SANDBOX_CHUNK);
    set_up.call((globals, native, load_guard))
}

fn add_libraries(lua: &Lua, context: &Rc<Context>, native: &Table) -> Result<()> {
    native.raw_set("redis", redis_api::library(lua, context)?)?;
    native.raw_set("cjson", json::library(lua, context)?)?;
    native.raw_set("cmsgpack", msgpack::library(lua, context)?)?;
    native.raw_set("struct", structs::library(lua, context)?)?;
    native.raw_set("bit", bits::library(lua)?)?;
    let shared = Rc::clone(context);
    let replace =
        lua.create_function(move |lua, table: Table| math::replace(lua, &shared, &table))?;
    native.raw_set("math_replace", replace)?;
    let shared = Rc::clone(context);
    let log = lua.create_function(move |_, text: mlua::LuaString| {
        shared.log(LogLevel::Debug, &text.as_bytes())
    })?;
    native.raw_set("log", log)?;
    let fronts = Fronts {
        behind: lua.create_table()?,
        touched: lua.create_table()?,
    };
    base::add(lua, &fronts, native)?;
    native.raw_set("table_insert", tables::insert(lua, context, &fronts)?)?;
    native.raw_set("behind", fronts.behind)?;
    native.raw_set("touched", fronts.touched)
}

fn add_errors(lua: &Lua, context: &Rc<Context>, native: &Table) -> Result<()> {
    let plain = lua.create_function(|lua, error: Value| plain_value(lua, error))?;
    native.raw_set("plain", plain)?;
    let visible =
        lua.create_function(|lua, error: Value| match plain_value(lua, error.clone()) {
            Err(_) => Ok(error),
            plain => plain,
        })?;
    native.raw_set("visible", visible)?;
    let shared = Rc::clone(context);
    let on_error = lua.create_function(move |lua, error: Value| {
        let text = describe(lua, &shared, error);
        lua.create_string(text)
    })?;
    native.raw_set("on_error", on_error)?;
    let caller_kind = lua.create_function(|lua, ()| {
        // 0 is this function, 1 the guard, 2 who named the global.
        Ok(Frame::at(lua, 2).map_or("C", |frame| match frame.what {
            // A user's script is a function body for 3.0, though it runs as a chunk here.
            "main" if frame.source == CHUNK_NAME => "Lua",
            what => what,
        }))
    })?;
    native.raw_set("caller_kind", caller_kind)?;
    let shared = Rc::clone(context);
    let undisturbed = lua.create_function(move |_, undisturbed: bool| {
        shared.undisturbed.set(undisturbed);
        Ok(())
    })?;
    native.raw_set("undisturbed", undisturbed)?;
    let shared = Rc::clone(context);
    let find_script = lua.create_function(move |lua, name: Value| {
        let Value::String(name) = name else {
            return Ok(None);
        };
        let sha1 = name.as_bytes().strip_prefix(b"f_").and_then(Sha1::from_hex);
        let scripts = shared.scripts.borrow();
        let script = sha1.and_then(|sha1| scripts.get(&sha1));
        script
            .map(|script| lua.registry_value::<Function>(&script.function))
            .transpose()
    })?;
    native.raw_set("find_script", find_script)
}

/// The text for a client whose script failed with `error`: the position, then the value.
fn describe(lua: &Lua, context: &Context, error: Value) -> Vec<u8> {
    let failure = match error {
        Value::Error(error) => Failure::from_error(&error),
        value => Failure::Value(value),
    };
    let text = match failure {
        Failure::Text(text) => text,
        Failure::Stop => context.stopped().unwrap_or_default(),
        Failure::Value(Value::String(text)) => text.as_bytes().to_vec(),
        Failure::Value(value @ (Value::Integer(_) | Value::Number(_))) => {
            let mut text = Vec::new();
            append_general(
                &mut text,
                number::of_value(&value).unwrap_or_default(),
                LUA_DIGITS,
            );
            text
        }
        Failure::Value(value) => {
            let kind = type_name(&value);
            // In 3.0 the handler that adds the position trips over such a value, and reports itself.
            let handler = "err_handler_def:8: ";
            return format!(
                "@{handler}{handler}attempt to concatenate local 'err' (a {kind} value)"
            )
            .into_bytes();
        }
    };
    let Some(frame) = Frame::to_blame(lua, 1) else {
        return text;
    };
    let mut described = format!("{}:{}: ", frame.source, frame.line).into_bytes();
    described.extend_from_slice(&text);
    described
}
