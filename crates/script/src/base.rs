//! Functions of the base library that know of the tables standing in front of the libraries, or that would give scripts
//! a hold on the collector.

use mlua::{Function, Lua, MultiValue, Result, Table, Value};

use crate::args::Args;
use crate::failure::Failure;

/// What the collector answers for settings that scripts cannot change: Lua's defaults.
const PACE: i64 = 200;

/// The tables that scripts may write to, as `lua/sandbox.lua` keeps them.
#[derive(Clone, Debug)]
pub(crate) struct Fronts {
    /// From each such table to the real one behind it.
    pub(crate) behind: Table,
    /// Those that were written to.
    pub(crate) touched: Table,
}

impl Fronts {
    /// Notes that a script writes to `table`, so that it is put back if it is a front.
    pub(crate) fn note_write(&self, table: &Table) -> Result<()> {
        if self.behind(table)?.is_some() {
            self.touched.raw_set(table, true)?;
            self.touched.raw_set("any", true)?;
        }
        Ok(())
    }

    /// The table behind `table`, if it is a front.
    fn behind(&self, table: &Table) -> Result<Option<Table>> {
        self.behind.raw_get(table)
    }
}

/// Puts `pairs`, `rawset` and `collectgarbage` into `native`.
pub(crate) fn add(lua: &Lua, fronts: &Fronts, native: &Table) -> Result<()> {
    let next: Function = lua.globals().raw_get("next")?;
    let own = fronts.clone();
    let pairs = lua.create_function(move |lua, args: MultiValue| {
        let args = Args::new(lua, args);
        let table = args.table(1)?;
        let table = match own.behind(table)? {
            Some(real) => merged(lua, table, &real)?,
            None => table.clone(),
        };
        Ok((next.clone(), table, Value::Nil))
    })?;
    native.raw_set("pairs", pairs)?;
    let own = fronts.clone();
    let raw_set =
        lua.create_function(move |lua, args: MultiValue| raw_set(&own, &Args::new(lua, args)))?;
    native.raw_set("rawset", raw_set)?;
    let collect =
        lua.create_function(|lua, args: MultiValue| collect_garbage(&Args::new(lua, args)))?;
    native.raw_set("collectgarbage", collect)
}

/// All that a script can find in a front: what it wrote there over what was there.
fn merged(lua: &Lua, front: &Table, real: &Table) -> Result<Table> {
    let all = lua.create_table()?;
    for table in [real, front] {
        for pair in table.pairs::<Value, Value>() {
            let (name, value) = pair?;
            all.raw_set(name, value)?;
        }
    }
    Ok(all)
}

fn raw_set(fronts: &Fronts, args: &Args<'_>) -> Result<Table> {
    let table = args.table(1)?;
    for position in 2..=3 {
        if args.at(position).is_none() {
            return Err(args.bad(position, "value expected").into());
        }
    }
    match args.value(2) {
        Value::Nil => return Err(Failure::text("table index is nil").into()),
        Value::Number(number) if number.is_nan() => {
            return Err(Failure::text("table index is NaN").into());
        }
        name => {
            fronts.note_write(table)?;
            table.raw_set(name, args.value(3))?;
        }
    }
    Ok(table.clone())
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
