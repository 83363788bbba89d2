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
//! | `health` | whether a server is ready for clients, and if not, why |

mod health;
mod http;
mod info;
mod names;
mod text;

pub use health::unready;
pub use http::{Door, Question, Questions, open, serve};
pub use text::prometheus;

/// What the thread that serves tells about itself at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// INFO with all its sections.
    pub info: String,
    /// CLUSTER NODES of a node of a cluster; otherwise empty.
    pub cluster_nodes: String,
    /// How long things took.
    pub durations: Vec<Durations>,
    /// Further numbers, by the names under which they are shown.
    pub numbers: Vec<Number>,
}

/// How long one kind of thing took.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Durations {
    /// What took so long.
    pub of: Timed,
    /// Nanoseconds, ascending, and how many took no longer.
    pub within: Vec<(u64, u64)>,
    /// How many there were.
    pub count: u64,
    /// How long they took together, nanoseconds.
    pub sum_ns: u64,
}

/// What takes time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Timed {
    /// All that is done before other clients have their turn.
    #[default]
    Turn,
    /// Bringing the append-only file to the disk.
    Sync,
    /// The command of this name.
    Command(String),
}

/// A number that no field of INFO tells.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Number {
    /// Its name, without `redis_` before it.
    pub name: &'static str,
    /// What it is.
    pub help: &'static str,
    /// Names and values of its labels.
    pub labels: Vec<(&'static str, String)>,
    /// Itself.
    pub value: f64,
}
