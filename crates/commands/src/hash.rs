//! hash commands.

use crate::{Args, Ctx, Done};

/// HDEL
pub(crate) fn hdel(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// HEXISTS
pub(crate) fn hexists(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// HGET
pub(crate) fn hget(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// HGETALL
pub(crate) fn hgetall(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// HINCRBY
pub(crate) fn hincrby(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// HINCRBYFLOAT
pub(crate) fn hincrbyfloat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// HKEYS
pub(crate) fn hkeys(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// HLEN
pub(crate) fn hlen(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// HMGET
pub(crate) fn hmget(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// HMSET
pub(crate) fn hmset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// HSET
pub(crate) fn hset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// HSETNX
pub(crate) fn hsetnx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// HVALS
pub(crate) fn hvals(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}
