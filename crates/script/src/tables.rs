//! `table.insert`. Lua 5.1's moves every element between the end and the position, however far before the table that
//! is; here only elements that exist move.

use std::rc::Rc;

use mlua::{Function, Lua, MultiValue, Result, Value};

use crate::args::Args;
use crate::base::Fronts;
use crate::context::Context;

/// Makes the function.
pub(crate) fn insert(lua: &Lua, context: &Rc<Context>, fronts: &Fronts) -> Result<Function> {
    let (context, fronts) = (Rc::clone(context), fronts.clone());
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
        fronts.note_write(table)?;
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
