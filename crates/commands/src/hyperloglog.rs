//! hyperloglog commands.

use crate::{Args, Ctx, Done};

/// PFADD
pub(crate) fn pfadd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// PFCOUNT
pub(crate) fn pfcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// PFDEBUG
pub(crate) fn pfdebug(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// PFMERGE
pub(crate) fn pfmerge(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// PFSELFTEST
pub(crate) fn pfselftest(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}
