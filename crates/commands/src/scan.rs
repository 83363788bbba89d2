//! scan commands.

use crate::{Args, Ctx, Done};

/// SCAN
pub(crate) fn scan(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// HSCAN
pub(crate) fn hscan(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// SSCAN
pub(crate) fn sscan(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// ZSCAN
pub(crate) fn zscan(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}
