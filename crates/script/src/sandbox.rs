//! Sets up a Lua state for scripts: which functions exist, in which tables. The tables are put together by
//! `lua/sandbox.lua`.

use std::rc::Rc;

use mlua::{Function, Lua, Result, Table, Value};

use crate::context::Context;
use crate::failure::{Failure, Frame, SANDBOX_CHUNK, plain_value, type_name};
use crate::number::{self, LUA_DIGITS, append_general};
use crate::reply::Names;
use crate::stack::Entrance;
use crate::{
    base, bits, functions, json, loading, math, msgpack, redis_api, strings, structs, tables,
};

/// What a state is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `EVAL`: a source is a script.
    Scripts,
    /// `FCALL`: a source is a library.
    Functions,
}

/// A state's sandbox.
pub(crate) struct Sandbox {
    /// What scripts see as their globals.
    pub(crate) globals: Table,
    /// How scripts and functions are run.
    pub(crate) entrance: Entrance,
    /// The metatable of the globals.
    guard: Table,
    /// What the globals fall back to.
    builtins: Table,
    /// The same while a library is loaded.
    while_loading: Option<Table>,
    raw_pcall: Function,
}

impl Sandbox {
    /// Runs the chunk of a library. The value is what it raised.
    pub(crate) fn load(&self, chunk: &Function) -> Result<Option<Value>> {
        self.guard.raw_set("__index", self.while_loading.as_ref())?;
        let result = self.raw_pcall.call(chunk);
        self.guard.raw_set("__index", &self.builtins)?;
        let (succeeded, value): (bool, Value) = result?;
        Ok((!succeeded).then_some(value))
    }

    /// Lets go of the keys and arguments of the script that ran last.
    pub(crate) fn forget_words(&self) -> Result<()> {
        if self.while_loading.is_some() {
            // Functions have them as arguments.
            return Ok(());
        }
        self.builtins.raw_set("KEYS", Value::Nil)?;
        self.builtins.raw_set("ARGV", Value::Nil)
    }
}

/// Prepares `lua`.
pub(crate) fn set_up(lua: &Lua, context: &Rc<Context>, kind: Kind) -> Result<Sandbox> {
    let globals = lua.globals();
    let native = lua.create_table()?;
    add_libraries(lua, context, kind, &native)?;
    add_errors(lua, context, &native)?;
    let raw_pcall: Function = globals.raw_get("pcall")?;
    let (load, load_string) = loading::functions(lua, context, &globals, &raw_pcall)?;
    native.raw_set("string", strings::functions(lua, context, &raw_pcall)?)?;
    native.raw_set("load", load)?;
    native.raw_set("loadstring", load_string)?;
    let set_up = lua
        .load(include_str!("lua/sandbox.lua"))
        .set_name(SANDBOX_CHUNK);
    let on_error = native.raw_get("on_error")?;
    let is_functions = kind == Kind::Functions;
    let insecure = context.settings.insecure;
    let (guard, builtins, while_loading): (_, Table, _) =
        set_up.call((&globals, native, is_functions, insecure))?;
    let for_words = (!is_functions).then_some(&builtins);
    Ok(Sandbox {
        globals,
        entrance: Entrance::new(lua, &on_error, for_words)?,
        guard,
        builtins,
        while_loading,
        raw_pcall,
    })
}

fn add_libraries(lua: &Lua, context: &Rc<Context>, kind: Kind, native: &Table) -> Result<()> {
    let server = redis_api::library(lua, context)?;
    match kind {
        Kind::Scripts => redis_api::add_for_scripts(lua, context, &server)?,
        Kind::Functions => {
            let loading = redis_api::while_loading(lua, context)?;
            let register = functions::register_function(lua, context)?;
            loading.raw_set("register_function", register)?;
            native.raw_set("loading", loading)?;
        }
    }
    native.raw_set("server", server)?;
    native.raw_set("cjson", json::library(lua, context)?)?;
    native.raw_set("cmsgpack", msgpack::library(lua, context)?)?;
    native.raw_set("struct", structs::library(lua, context)?)?;
    native.raw_set("bit", bits::library(lua)?)?;
    let shared = Rc::clone(context);
    let replace =
        lua.create_function(move |lua, table: Table| math::replace(lua, &shared, &table))?;
    native.raw_set("math_replace", replace)?;
    base::add(lua, context, native)?;
    let behind = lua.create_table()?;
    native.raw_set("table_insert", tables::insert(lua, context, &behind)?)?;
    native.raw_set("less", tables::less(lua, context)?)?;
    native.raw_set("tick", tables::tick(lua, context)?)?;
    native.raw_set("behind", behind)
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
    let names = Names::new(lua)?;
    let on_error =
        lua.create_function(move |lua, error: Value| describe(lua, &shared, &names, error))?;
    native.raw_set("on_error", on_error)
}

/// The table for an error that ended a script: its text, and where it was raised.
fn describe(lua: &Lua, context: &Context, names: &Names, error: Value) -> Result<Table> {
    let text = match Failure::from_value(error) {
        Failure::Value(Value::Table(table)) if !is_shared(&table) => {
            return locate(lua, names, table);
        }
        Failure::Text(text) => text,
        Failure::Stop => context.stopped().unwrap_or_default(),
        Failure::Value(value) => printed(&value),
    };
    locate(lua, names, names.general_error_table(lua, &text)?)
}

/// Whether this is one of the tables that scripts share, which nothing is written to.
fn is_shared(table: &Table) -> bool {
    table
        .metatable()
        .is_some_and(|meta| matches!(meta.raw_get("__metatable"), Ok(Value::Boolean(false))))
}

fn locate(lua: &Lua, names: &Names, table: Table) -> Result<Table> {
    if let Some(frame) = Frame::to_blame(lua, 1) {
        names.locate(&table, &frame.source, frame.line)?;
    }
    Ok(table)
}

/// A value that is no text, as an error's text.
fn printed(value: &Value) -> Vec<u8> {
    match value {
        Value::Nil => b"nil".to_vec(),
        Value::Boolean(value) => value.to_string().into_bytes(),
        Value::Integer(_) | Value::Number(_) => {
            let mut text = Vec::new();
            let number = number::of_value(value).unwrap_or_default();
            append_general(&mut text, number, LUA_DIGITS);
            text
        }
        other => format!("a {} value", type_name(other)).into_bytes(),
    }
}
