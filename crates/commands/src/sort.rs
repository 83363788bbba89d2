//! sort commands.

use crate::{Args, Ctx, Done};

/// SORT
pub(crate) fn sort(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}
