//! keys commands.

use crate::{Args, Ctx, Done};

/// DBSIZE
pub(crate) fn dbsize(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// DEL
pub(crate) fn del(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// DUMP
pub(crate) fn dump(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// EXISTS
pub(crate) fn exists(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// EXPIRE
pub(crate) fn expire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// EXPIREAT
pub(crate) fn expireat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// FLUSHALL
pub(crate) fn flushall(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// FLUSHDB
pub(crate) fn flushdb(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// KEYS
pub(crate) fn keys(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// MOVE_KEY
pub(crate) fn move_key(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// OBJECT
pub(crate) fn object(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// PERSIST
pub(crate) fn persist(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// PEXPIRE
pub(crate) fn pexpire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// PEXPIREAT
pub(crate) fn pexpireat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// PTTL
pub(crate) fn pttl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// RANDOMKEY
pub(crate) fn randomkey(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// RENAME
pub(crate) fn rename(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// RENAMENX
pub(crate) fn renamenx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// RESTORE
pub(crate) fn restore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// TTL
pub(crate) fn ttl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}

/// TYPE_OF
pub(crate) fn type_of(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let _ = (ctx, args);
    todo!()
}
