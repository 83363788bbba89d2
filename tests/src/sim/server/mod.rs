//! Whole servers in the simulator: real engines with data, append-only files, dumps and replication, on machines whose disks tell what
//! was written from what is safe, and clients that know what they were told.
//!
//! - [`process`]: an engine and what its shell does; [`machine`] and [`disk`]: what it stands on; [`log`]: what it logs.
//! - [`bus`]: what nodes of a cluster say to one another.
//! - [`sentinel`]: a sentinel that watches them.
//! - [`client`]: those who write and read; [`mark`]: the values they write.
//! - [`group`]: how many servers there are, and how they are configured; [`roles`]: who decides which of them is a primary.
//! - [`run`]: the scenario of a seed; [`checks`]: what must hold.

pub mod bus;
pub mod checks;
pub mod client;
pub mod disk;
pub mod group;
pub mod log;
pub mod machine;
pub mod mark;
pub mod process;
pub mod roles;
pub mod run;
pub mod sentinel;

use client::Client;
pub use group::Kind;
pub use process::Bug;
use process::Server;
pub use run::{Run, Summary, Wanted, run};

use super::{Conn, Core, Input, Now, Output};
use sentinel::{Sentinel, core_now};

/// Where every server listens.
pub const PORT: u16 = 6379;

/// What a host is.
#[derive(Clone, Debug)]
pub enum Setup {
    /// A server.
    Server(process::Setup),
    /// A client.
    Client(client::Setup),
    /// A sentinel, with the sentinel.conf of its first start, and what is wrong with it on purpose.
    Sentinel(String, Bug),
}

/// What checks have to see of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A client asks a host for something.
    Asked {
        /// Which client.
        client: u64,
        /// Whom.
        host: usize,
    },
    /// A client knows what came of it.
    Told {
        /// Which client.
        client: u64,
        /// Whom it had asked.
        host: usize,
        /// For what.
        asked: client::Asked,
        /// What came of it.
        outcome: client::Outcome,
    },
    /// A server does not start with what is on its disk.
    CannotStart(String),
    /// Something that must never be.
    Wrong(String),
    /// What a sentinel said.
    Sentinel(sentinel::Note),
    /// What a node said to another one.
    Bus(bus::Note),
    /// A line of the log.
    Log(String),
}

/// A process.
#[allow(clippy::large_enum_variant, reason = "a run has ten of them")]
pub enum Process {
    /// A server.
    Server(Server),
    /// A client.
    Client(Client),
    /// A sentinel.
    Sentinel(Sentinel),
}

impl Process {
    /// The server, if it is one.
    pub fn server(&mut self) -> Option<&mut Server> {
        match self {
            Self::Server(server) => Some(server),
            Self::Client(_) | Self::Sentinel(_) => None,
        }
    }

    /// The sentinel, if it is one.
    #[must_use]
    pub fn sentinel(&self) -> Option<&Sentinel> {
        match self {
            Self::Sentinel(sentinel) => Some(sentinel),
            Self::Client(_) | Self::Server(_) => None,
        }
    }
}

impl Core for Process {
    type Setup = Setup;
    type Note = Note;

    fn logged(note: &Note) -> Option<&str> {
        match note {
            Note::Log(text)
            | Note::CannotStart(text)
            | Note::Sentinel(sentinel::Note::Log(text)) => Some(text),
            _ => None,
        }
    }

    fn new(now: Now, setup: &Setup, file: Option<&[u8]>, seed: u64) -> Self {
        match setup {
            Setup::Server(setup) => Self::Server(Server::new(now, setup, seed)),
            Setup::Client(setup) => Self::Client(Client::new(now, setup, seed)),
            Setup::Sentinel(config, bug) => {
                let text = file.unwrap_or(config.as_bytes());
                let mut sentinel = Sentinel::new(now, text, seed);
                if *bug == Bug::Laggard {
                    sentinel.promote_laggards();
                }
                Self::Sentinel(sentinel)
            }
        }
    }

    fn handle_input(&mut self, now: Now, input: Input) {
        match self {
            Self::Server(server) => server.handle_input(now, input),
            Self::Client(client) => client.handle_input(now, input),
            Self::Sentinel(sentinel) => sentinel.handle_input(now, input),
        }
    }

    fn handle_timeout(&mut self, now: Now) {
        match self {
            Self::Server(server) => server.handle_timeout(now),
            Self::Client(client) => client.handle_timeout(now),
            Self::Sentinel(sentinel) => sentinel.monitor.handle_timeout(core_now(now)),
        }
    }

    fn poll_timeout(&self) -> Option<u64> {
        match self {
            Self::Server(server) => server.poll_timeout(),
            Self::Client(client) => client.poll_timeout(),
            Self::Sentinel(sentinel) => sentinel.monitor.poll_timeout(),
        }
    }

    fn poll_output(&mut self) -> Option<Output<Note>> {
        match self {
            Self::Server(server) => server.poll_output(),
            Self::Client(client) => client.poll_output(),
            Self::Sentinel(sentinel) => sentinel
                .poll_output()
                .map(|output| output.map_note(Note::Sentinel)),
        }
    }

    fn lose_power(setup: &Setup) {
        if let Setup::Server(setup) = setup {
            setup.disk.lock().lose_power();
        }
    }

    fn set_full(&mut self, conn: Conn, full: bool) {
        if let Self::Server(server) = self {
            server.set_full(conn, full);
        }
    }
}
