//! How functions written in Rust read their arguments: the coercions and the error texts of Lua's own library.

use mlua::{Lua, LuaString, MultiValue, Result, Table, Value};

use crate::failure::{Failure, type_name};
use crate::number::{self, to_i32, to_i64};

/// The arguments of the running function. Positions count from 1.
pub(crate) struct Args<'a> {
    pub(crate) lua: &'a Lua,
    values: MultiValue,
}

impl<'a> Args<'a> {
    pub(crate) fn new(lua: &'a Lua, values: MultiValue) -> Self {
        Args { lua, values }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The argument, unless there are fewer.
    pub(crate) fn at(&self, position: usize) -> Option<&Value> {
        self.values.get(position.checked_sub(1)?)
    }

    pub(crate) fn value(&self, position: usize) -> Value {
        self.at(position).cloned().unwrap_or(Value::Nil)
    }

    pub(crate) fn is_none_or_nil(&self, position: usize) -> bool {
        matches!(self.at(position), None | Some(Value::Nil))
    }

    /// A string, or a number as its text.
    pub(crate) fn string(&self, position: usize) -> Result<LuaString> {
        match self.at(position) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(value @ (Value::Integer(_) | Value::Number(_))) => self
                .lua
                .coerce_string(value.clone())?
                .ok_or_else(|| self.wrong_type(position, "string").into()),
            _ => Err(self.wrong_type(position, "string").into()),
        }
    }

    /// A number, or a string that reads as one.
    pub(crate) fn number(&self, position: usize) -> Result<f64> {
        self.as_number(position)?
            .ok_or_else(|| self.wrong_type(position, "number").into())
    }

    /// The argument as a number where it is one or reads as one.
    pub(crate) fn as_number(&self, position: usize) -> Result<Option<f64>> {
        Ok(match self.at(position) {
            Some(value @ Value::String(_)) => self.lua.coerce_number(value.clone())?,
            value => value.and_then(number::of_value),
        })
    }

    pub(crate) fn integer(&self, position: usize) -> Result<i64> {
        match self.at(position) {
            Some(Value::Integer(number)) => Ok(*number),
            _ => Ok(to_i64(self.number(position)?)),
        }
    }

    pub(crate) fn optional_integer(&self, position: usize, default: i64) -> Result<i64> {
        if self.is_none_or_nil(position) {
            return Ok(default);
        }
        self.integer(position)
    }

    /// An integer as a C `int`: its low 32 bits.
    pub(crate) fn int(&self, position: usize) -> Result<i32> {
        self.integer(position).map(to_i32)
    }

    pub(crate) fn table(&self, position: usize) -> Result<&Table> {
        match self.at(position) {
            Some(Value::Table(table)) => Ok(table),
            _ => Err(self.wrong_type(position, "table").into()),
        }
    }

    /// `bad argument #n to 'f' (expected expected, got actual)`
    pub(crate) fn wrong_type(&self, position: usize, expected: &str) -> Failure {
        let actual = self.at(position).map_or("no value", type_name);
        self.bad(position, format!("{expected} expected, got {actual}"))
    }

    /// `bad argument #n to 'f' (complaint)`, with the name by which the running function was called.
    pub(crate) fn bad(&self, position: usize, complaint: impl AsRef<[u8]>) -> Failure {
        let name = self.lua.inspect_stack(0, |debug| {
            let names = debug.names();
            let is_method = names.name_what == Some("method");
            (
                names
                    .name
                    .map_or("?".to_owned(), std::borrow::Cow::into_owned),
                is_method,
            )
        });
        let (name, is_method) = name.unwrap_or_else(|| ("?".to_owned(), false));
        let position = position.saturating_sub(usize::from(is_method));
        let start = if is_method && position == 0 {
            format!("calling '{name}' on bad self (")
        } else {
            format!("bad argument #{position} to '{name}' (")
        };
        let mut text = start.into_bytes();
        text.extend_from_slice(complaint.as_ref());
        text.push(b')');
        Failure::at_caller(self.lua, text)
    }

    /// `complaint` after the position of the caller.
    pub(crate) fn fail(&self, complaint: impl AsRef<[u8]>) -> Failure {
        Failure::at_caller(self.lua, complaint)
    }
}
