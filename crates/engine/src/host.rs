//! What the engine asks of the world and needs an answer to at once: of its machine ([`System`]), of its files ([`Files`]), and of the
//! processes that it starts ([`Children`]). The server's shell implements all three on a real machine, the simulator on a made-up one.
//!
//! Everything here is synchronous: the engine's turn waits for it. What may take long and needs no answer within the turn is an
//! [`crate::Action`] instead.

mod children;
mod files;
mod system;

pub use children::{Child, ChildEnd, ChildProgress, Children, Job, SendRequest, SlotsRequest};
pub use files::{
    AppendFile, Files, PlaceFile, RewriteRequest, SaveRequest, Source, SyncState, WriteError,
    write_blocks,
};
pub use system::{Crash, Meanwhile, Process, ShownCertificate, System};

/// The world, as the engine sees it.
pub trait Host: System + Files + Children {}

impl<T: System + Files + Children> Host for T {}
