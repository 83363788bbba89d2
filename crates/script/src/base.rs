//! Functions of the base library that would give scripts a hold on the collector, and `os.clock`.

use std::rc::Rc;

use mlua::{Lua, MultiValue, Result, Table, Value};

use crate::args::Args;
use crate::context::Context;

/// What the collector answers for settings that scripts cannot change: Lua's defaults.
const PACE: i64 = 200;

/// Puts `collectgarbage` and `clock` into `native`.
pub(crate) fn add(lua: &Lua, context: &Rc<Context>, native: &Table) -> Result<()> {
    let collect =
        lua.create_function(|lua, args: MultiValue| collect_garbage(&Args::new(lua, args)))?;
    native.raw_set("collectgarbage", collect)?;
    let context = Rc::clone(context);
    let clock = lua.create_function(move |_, _: MultiValue| context.cpu_seconds())?;
    native.raw_set("clock", clock)
}

fn collect_garbage(args: &Args<'_>) -> Result<Value> {
    let option = if args.is_none_or_nil(1) {
        args.lua.create_string("collect")?
    } else {
        args.string(1)?
    };
    match &*option.as_bytes() {
        b"collect" => {
            args.lua.gc_collect()?;
            Ok(Value::Integer(0))
        }
        #[expect(clippy::cast_precision_loss, reason = "no memory is that large")]
        b"count" => Ok(Value::Number(args.lua.used_memory() as f64 / 1024.0)),
        b"step" => args.lua.gc_step().map(Value::Boolean),
        b"stop" | b"restart" => Ok(Value::Integer(0)),
        b"setpause" | b"setstepmul" => Ok(Value::Integer(PACE)),
        other => {
            let complaint = [b"invalid option '", other, b"'"].concat();
            Err(args.bad(1, complaint).into())
        }
    }
}
