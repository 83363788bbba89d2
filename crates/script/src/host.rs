//! What a script needs from the server: the [`Host`] trait and the values that cross it, with the texts of the
//! refusals that only a script can meet. Nothing here knows Lua.

use std::borrow::Cow;

/// The server, as a running script sees it.
///
/// The interpreter calls it on the thread that called [`Interpreter::eval`](crate::Interpreter::eval), never from
/// within another call of itself. A panic in one of these methods ends the script and goes on in the caller of `eval`.
pub trait Host {
    /// Runs one command for `redis.call` or `redis.pcall`.
    ///
    /// `args` holds the command's name and its arguments, at least one element. On [`Outcome::Reply`] exactly one
    /// complete RESP reply has been appended to `reply`, which is empty at the call. On [`Outcome::Refused`] the
    /// command has not run and what is in `reply` is ignored.
    fn call(&mut self, args: &[&[u8]], reply: &mut Vec<u8>) -> Outcome;

    /// Called at least every [`TICK_INSTRUCTIONS`] instructions of the virtual machine and every [`TICK_CALLS`]
    /// commands while a script runs, so it should look at a clock at most.
    ///
    /// The host decides by its own clock whether the script is slow, and may serve other clients before it returns.
    /// After [`Tick::Kill`] the script ends; it cannot catch that.
    fn tick(&mut self) -> Tick;

    /// A line from `redis.log` (or, at [`LogLevel::Debug`], from `print`).
    fn log(&mut self, level: LogLevel, text: &[u8]);
}

/// [`Host::tick`] is called after at most this many instructions of the virtual machine.
pub const TICK_INSTRUCTIONS: u32 = 10_000;

/// [`Host::tick`] is called after at most this many commands run by one script.
pub const TICK_CALLS: u32 = 32;

/// What became of a command that a script asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The command ran and its reply, an error perhaps, was appended.
    Reply {
        /// The command is one whose array reply has no order of its own (flag `sort_for_script`: `SMEMBERS`, `KEYS`, …):
        /// the script gets the elements sorted, so that it acts alike on every replica.
        sort: bool,
    },
    /// The command did not run.
    Refused(Refusal),
}

/// Why a command did not run for a script. The texts are those of 3.0, which puts the script's position before them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No command has that name.
    UnknownCommand,
    /// The command exists, but not with so many arguments.
    WrongArity,
    /// The command has the flag `noscript`.
    NotFromScripts,
    /// A write after a command with the flag `random` in the same script.
    WriteAfterRandom,
    /// Cluster: the keys are not all in slots of this node.
    NonLocalKey,
    /// A gate of the server that ordinary clients meet too (`-READONLY …`, `-MISCONF …`, `-OOM …`): the whole error
    /// line as a client would get it, from its minus sign to its `\r\n`. 3.0 quotes it so, and blanks the line's end.
    Gate(Cow<'static, str>),
}

impl Refusal {
    /// The text without the position.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Refusal::UnknownCommand => "Unknown Redis command called from Lua script",
            Refusal::WrongArity => "Wrong number of args calling Redis command From Lua script",
            Refusal::NotFromScripts => "This Redis command is not allowed from scripts",
            Refusal::WriteAfterRandom => {
                "Write commands not allowed after non deterministic commands"
            }
            Refusal::NonLocalKey => {
                "Lua script attempted to access a non local key in a cluster node"
            }
            Refusal::Gate(line) => line,
        }
    }
}

/// Whether a script may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tick {
    /// It may.
    Continue,
    /// It ends now, and its client gets this text as the error ([`KILLED`](crate::texts::KILLED) for `SCRIPT KILL`).
    Kill(Cow<'static, str>),
}

/// The levels of `redis.log`, numbered as `redis.LOG_DEBUG` and its siblings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// `redis.LOG_DEBUG`, 0
    Debug,
    /// `redis.LOG_VERBOSE`, 1
    Verbose,
    /// `redis.LOG_NOTICE`, 2
    Notice,
    /// `redis.LOG_WARNING`, 3
    Warning,
}
