//! What a script needs from the server: the [`Host`] trait and the values that cross it. Nothing here knows Lua.

use std::borrow::Cow;

use resp::Reply;

/// The server, as a running script sees it.
///
/// The interpreter calls it on the thread that runs the script, never from within another call of itself. A panic in one
/// of these methods ends the script and goes on in the caller of [`Interpreter::run`](crate::Interpreter::run).
pub trait Host {
    /// Runs one command for `server.call` or `server.pcall`.
    ///
    /// `args` holds the command's name and its arguments, at least one element. Exactly one complete reply is written to
    /// `reply`, which is empty at the call and tells the version of the protocol. A command that may not run is answered
    /// by an error ([`texts`](crate::texts) has those that only a script can meet).
    fn call(&mut self, args: &[&[u8]], targets: Targets, reply: &mut Reply);

    /// Whether the script's user may run this command (`server.acl_check_cmd`); `None` when there is no such command.
    fn may_call(&mut self, args: &[&[u8]]) -> Option<bool>;

    /// Called at least every [`TICK_INSTRUCTIONS`] instructions of the virtual machine and every [`TICK_CALLS`]
    /// commands while a script runs, so it should look at a clock at most.
    ///
    /// The host decides by its own clock whether the script is slow, and may serve other clients before it returns.
    /// After [`Tick::Kill`] the script ends; it cannot catch that.
    fn tick(&mut self) -> Tick;

    /// A line from `server.log`.
    fn log(&mut self, level: LogLevel, text: &[u8]);

    /// Seconds of processor time, for `os.clock`.
    fn cpu_seconds(&mut self) -> f64;
}

/// [`Host::tick`] is called after at most this many instructions of the virtual machine.
pub const TICK_INSTRUCTIONS: u32 = 1000;

/// [`Host::tick`] is called after at most this many commands run by one script.
pub const TICK_CALLS: u32 = 32;

/// Where a command's changes are told (`server.set_repl`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Targets {
    /// The append-only file.
    pub file: bool,
    /// The replicas.
    pub replicas: bool,
}

impl Targets {
    /// Everybody.
    pub const ALL: Targets = Targets {
        file: true,
        replicas: true,
    };
}

/// Whether a script may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tick {
    /// It may.
    Continue,
    /// It ends now, and its client gets this text, after `ERR`, as the error.
    Kill(Cow<'static, str>),
}

/// What a script answered, for the statistics of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Anything but an error.
    Value,
    /// An error that the script or the interpreter made.
    Error,
    /// The error of a command that the script passed on: it was counted when the command ran.
    CommandError,
}

/// The levels of `server.log`, numbered as `server.LOG_DEBUG` and its siblings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// `server.LOG_DEBUG`, 0
    Debug,
    /// `server.LOG_VERBOSE`, 1
    Verbose,
    /// `server.LOG_NOTICE`, 2
    Notice,
    /// `server.LOG_WARNING`, 3
    Warning,
}
