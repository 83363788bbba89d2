//! `math.random` and `math.randomseed` on the generator that every script starts anew.

use std::rc::Rc;

use mlua::{Lua, MultiValue, Result, Table};

use crate::args::Args;
use crate::context::Context;
use crate::random::{RANDOM_MAX, Random};

/// Puts the functions into the table `math`.
pub(crate) fn replace(lua: &Lua, context: &Rc<Context>, math: &Table) -> Result<()> {
    let shared = Rc::clone(context);
    let random =
        lua.create_function(move |lua, args: MultiValue| draw(&shared, &Args::new(lua, args)))?;
    math.raw_set("random", random)?;
    let shared = Rc::clone(context);
    let seed = lua.create_function(move |lua, args: MultiValue| {
        shared
            .random
            .set(Random::seeded(Args::new(lua, args).int(1)?));
        Ok(())
    })?;
    math.raw_set("randomseed", seed)
}

/// A number in `[0, 1)`, or a whole one in `[1, upper]` or `[lower, upper]`.
fn draw(context: &Context, args: &Args<'_>) -> Result<f64> {
    let (after, number) = context.random.get().next();
    context.random.set(after);
    let fraction = f64::from(number % RANDOM_MAX) / f64::from(RANDOM_MAX);
    match args.len() {
        0 => Ok(fraction),
        1 => {
            let upper = args.int(1)?;
            if upper < 1 {
                return Err(args.bad(1, "interval is empty").into());
            }
            Ok((fraction * f64::from(upper)).floor() + 1.0)
        }
        2 => {
            let (lower, upper) = (args.int(1)?, args.int(2)?);
            if lower > upper {
                return Err(args.bad(2, "interval is empty").into());
            }
            // C's `int` arithmetic, which wraps.
            let width = upper.wrapping_sub(lower).wrapping_add(1);
            Ok((fraction * f64::from(width)).floor() + f64::from(lower))
        }
        _ => Err(args.fail("wrong number of arguments").into()),
    }
}
