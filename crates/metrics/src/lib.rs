//! What a daemon tells over HTTP at its `metrics-port`: figures for Prometheus, health for probes, and a page for people.
//!
//! It runs on a thread of its own. The thread that serves clients is only asked for a [`Snapshot`] ([`Questions`]); parsing, naming and
//! writing text are done here, and nothing here can change anything there.
//!
//! | module | what it does |
//! |---|---|
//! | `http` | the thread, its sockets, the token, the paths |
//! | `text` | from a snapshot to Prometheus's text, by way of the library's model |
//! | `names` | what a field of INFO is called there: the names that redis_exporter gave them |
//! | `info` | INFO's text, read |
//! | `snapshot` | what the serving thread tells about itself at one moment |
//! | `health` | whether a server is ready for clients, and if not, why |

mod health;
mod http;
mod info;
mod names;
mod snapshot;
mod text;

pub use health::unready;
pub use http::{Door, Question, Questions, open, serve};
pub use snapshot::{Distribution, Measured, Number, Snapshot};
pub use text::prometheus;
