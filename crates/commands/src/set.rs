//! set commands.

use crate::{Args, Ctx, Done};

/// SADD
pub(crate) fn sadd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// SCARD
pub(crate) fn scard(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// SDIFF
pub(crate) fn sdiff(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// SDIFFSTORE
pub(crate) fn sdiffstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// SINTER
pub(crate) fn sinter(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// SINTERSTORE
pub(crate) fn sinterstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// SISMEMBER
pub(crate) fn sismember(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// SMEMBERS
pub(crate) fn smembers(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// SMOVE
pub(crate) fn smove(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// SPOP
pub(crate) fn spop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// SRANDMEMBER
pub(crate) fn srandmember(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// SREM
pub(crate) fn srem(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// SUNION
pub(crate) fn sunion(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// SUNIONSTORE
pub(crate) fn sunionstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}
