//! MODULE: there are none, and none can be loaded.

use commands::{Args, Done, Error};

use crate::{ClientId, Engine};

/// MODULE LIST
pub(crate) fn list(engine: &mut Engine, id: ClientId, _: Args<'_>) -> Done {
    engine.sessions.clients[id].out.array(0);
    Ok(())
}

/// MODULE LOAD path [argument …], MODULE LOADEX
pub(crate) fn load(_: &mut Engine, _: ClientId, args: Args<'_>) -> Done {
    let path = String::from_utf8_lossy(args[2]);
    tracing::warn!("Module {path} failed to load: this server has no module interface");
    Err(Error::text(
        "ERR Error loading the extension. Please check the server logs.",
    ))
}

/// MODULE UNLOAD name
pub(crate) fn unload(_: &mut Engine, _: ClientId, _: Args<'_>) -> Done {
    Err(Error::text(
        "ERR Error unloading module: no such module with that name",
    ))
}
