//! zset commands.

use crate::{Args, Ctx, Done};

/// ZADD
pub(crate) fn zadd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// ZCARD
pub(crate) fn zcard(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// ZCOUNT
pub(crate) fn zcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// ZINCRBY
pub(crate) fn zincrby(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// ZINTERSTORE
pub(crate) fn zinterstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// ZLEXCOUNT
pub(crate) fn zlexcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// ZRANGE
pub(crate) fn zrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// ZRANGEBYLEX
pub(crate) fn zrangebylex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// ZRANGEBYSCORE
pub(crate) fn zrangebyscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// ZRANK
pub(crate) fn zrank(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// ZREM
pub(crate) fn zrem(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// ZREMRANGEBYLEX
pub(crate) fn zremrangebylex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// ZREMRANGEBYRANK
pub(crate) fn zremrangebyrank(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// ZREMRANGEBYSCORE
pub(crate) fn zremrangebyscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// ZREVRANGE
pub(crate) fn zrevrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// ZREVRANGEBYLEX
pub(crate) fn zrevrangebylex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// ZREVRANGEBYSCORE
pub(crate) fn zrevrangebyscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// ZREVRANK
pub(crate) fn zrevrank(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// ZSCORE
pub(crate) fn zscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// ZUNIONSTORE
pub(crate) fn zunionstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}
