//! What the thread that serves tells about itself.

/// What the thread that serves tells about itself at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// INFO with all its sections.
    pub info: String,
    /// CLUSTER NODES of a node of a cluster; otherwise empty.
    pub cluster_nodes: String,
    /// How many databases there are; INFO leaves the empty ones out.
    pub databases: usize,
    /// How long or how large things were.
    pub distributions: Vec<Distribution>,
    /// Further numbers, by the names under which they are shown.
    pub numbers: Vec<Number>,
}

/// How long or how large things of one kind were.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// What they are.
    pub of: Measured,
    /// Nanoseconds or bytes, ascending, and how many were no more.
    pub within: Vec<(u64, u64)>,
    /// How many there were.
    pub count: u64,
    /// All of them together.
    pub sum: u64,
}

/// What is measured: the time that something takes, or its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Measured {
    /// All that is done before other clients have their turn.
    #[default]
    Turn,
    /// Bringing the append-only file to the disk.
    Sync,
    /// The command of this name.
    Command(String),
    /// The size of a request: its arguments.
    Request,
    /// The size of a reply.
    Reply,
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
