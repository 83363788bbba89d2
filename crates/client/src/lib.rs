//! An asynchronous client of RESP2 and RESP3: one connection, requests out, replies in.
//!
//! Used by the cluster tool, by the sentinel's shell and by tests. It knows the wire and nothing of what
//! commands mean; it does not reconnect, pool connections or follow cluster redirections.
//!
//! # Layout
//!
//! - [`Value`]: one reply.
//! - [`Command`]: one request, encoded as it is built.
//! - [`Codec`]: both directions as a `tokio-util` codec, with [`Limits`] on everything a peer declares.
//! - [`Connection`]: a stream with a codec, a name for error texts and a time limit on every wait.
//!
//! # Example
//!
//! ```no_run
//! # async fn example() -> Result<(), client::Error> {
//! use std::time::Duration;
//!
//! let mut node = client::Connection::connect("127.0.0.1:6379", Duration::from_secs(2)).await?;
//! let pong = node.call(["PING"]).await?;
//! assert_eq!(pong.as_str(), Some("PONG"));
//!
//! // Many requests on the way at once, replies in the same order:
//! node.send(["INCR", "a"]);
//! node.send(["INCR", "a"]);
//! let first = node.recv().await?;
//! let second = node.recv().await?;
//! # let _ = (first, second);
//! # Ok(())
//! # }
//! ```

mod codec;
mod command;
mod connection;
mod value;

pub use codec::{Codec, DecodeError, Limits};
pub use command::Command;
pub use connection::{Connection, Error, split_address};
pub use value::Value;
