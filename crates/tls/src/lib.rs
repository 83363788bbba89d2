//! TLS: contexts made from certificates and keys, handshakes, and streams that are encrypted.
//!
//! - [`Settings`]: which files and rules a context is made from; [`Context`]: what new sessions are made from.
//! - [`accept`] and [`connect`]: handshakes. Their asymmetric cryptography takes long: a server runs them beside the thread
//!   that serves, and hands the [`Session`] over.
//! - [`Stream`]: a session on a socket; [`Wire`]: a socket with or without one.
//!
//! The protocol is rustls's, its cryptography ring's: ring builds with a C compiler alone.

mod certificate;
mod ciphers;
mod context;
mod error;
mod files;
mod sessions;
mod settings;
mod stream;
mod verify;
mod wire;

pub use certificate::{Facts, Names, Summary};
pub use context::{ClientSide, Context, ServerSide};
pub use error::Error;
pub use settings::{ClientAuth, Identity, Settings};
pub use stream::{Session, Stream, accept, connect};
pub use wire::Wire;
