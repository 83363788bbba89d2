//! Functions of the table `table` that Lua 5.1 leaves without bounds. `insert` moves every element between the end and
//! the position, however far before the table that is; here only elements that exist move. `sort` and `concat` are in
//! `lua/sandbox.lua`; what they need to tick is here.

use std::cmp::Ordering;
use std::rc::Rc;

use mlua::{Function, Lua, MultiValue, Result, Table, Value};

use crate::args::Args;
use crate::context::Context;
use crate::failure::{Failure, type_name};
use crate::number;

/// What a write to a table that scripts share is answered with.
const READ_ONLY: &str = "Attempt to modify a readonly table";

/// Makes `table.insert`. `behind` holds the tables that scripts share.
pub(crate) fn insert(lua: &Lua, context: &Rc<Context>, behind: &Table) -> Result<Function> {
    let (context, behind) = (Rc::clone(context), behind.clone());
    lua.create_function(move |lua, args: MultiValue| {
        let args = Args::new(lua, args);
        let table = args.table(1)?;
        let end = i64::try_from(table.raw_len())
            .unwrap_or(i64::MAX)
            .saturating_add(1);
        let position = match args.len() {
            2 => end,
            3 => i64::from(args.int(2)?),
            _ => return Err(args.fail("wrong number of arguments to 'insert'").into()),
        };
        if end == 1 && !behind.raw_get::<Value>(table)?.is_nil() {
            return Err(Failure::text(READ_ONLY).into());
        }
        let value = args.value(args.len());
        // At worst the table is all there is, and doubles.
        context.building(lua, lua.used_memory(), || {
            // What lies before the first element moves as well, as far as it is not nil.
            for index in (position.saturating_add(1)..=end).rev() {
                let moved: Value = table.raw_get(index - 1)?;
                if matches!(moved, Value::Nil) && index < 1 {
                    break;
                }
                table.raw_set(index, moved)?;
                context.step()?;
            }
            table.raw_set(position, value)
        })
    })
}

/// Makes the comparison that `table.sort` uses for long tables, which ticks.
pub(crate) fn less(lua: &Lua, context: &Rc<Context>) -> Result<Function> {
    let context = Rc::clone(context);
    lua.create_function(move |_, (left, right): (Value, Value)| {
        context.step()?;
        match (&left, &right) {
            (Value::String(left), Value::String(right)) => {
                let (left, right) = (left.as_bytes(), right.as_bytes());
                context.work(left.len().min(right.len()))?;
                Ok(left[..].cmp(&right[..]) == Ordering::Less)
            }
            _ => match (number::of_value(&left), number::of_value(&right)) {
                (Some(left), Some(right)) => Ok(left < right),
                _ => {
                    let (left, right) = (type_name(&left), type_name(&right));
                    let text = if left == right {
                        format!("attempt to compare two {left} values")
                    } else {
                        format!("attempt to compare {left} with {right}")
                    };
                    Err(Failure::text(text).into())
                }
            },
        }
    })
}

/// Makes the function that gives others a turn between two pieces of long work.
pub(crate) fn tick(lua: &Lua, context: &Rc<Context>) -> Result<Function> {
    let context = Rc::clone(context);
    lua.create_function(move |_, _: MultiValue| context.tick())
}
