//! The texts of the scripting commands that are not about Lua: error lines without their minus sign, and log lines.
//! `EVAL`, `EVALSHA` and `SCRIPT` themselves are the server's.

/// `EVALSHA` with an unknown SHA1.
pub const NO_SCRIPT: &str = "NOSCRIPT No matching script. Please use EVAL.";

/// The number of keys is more than there are arguments.
pub const TOO_MANY_KEYS: &str = "ERR Number of keys can't be greater than number of args";

/// The number of keys is below zero.
pub const NEGATIVE_KEYS: &str = "ERR Number of keys can't be negative";

/// Any command but `SCRIPT KILL` and `SHUTDOWN NOSAVE` while a slow script runs.
pub const BUSY: &str =
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";

/// `SCRIPT KILL` while none runs.
pub const NOT_BUSY: &str = "NOTBUSY No scripts in execution right now.";

/// `SCRIPT KILL` after the script's first write.
pub const UNKILLABLE: &str = "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.";

/// `SCRIPT` with anything that it does not know.
pub const UNKNOWN_SUBCOMMAND: &str = "ERR Unknown SCRIPT subcommand or wrong # of args.";

/// What the client of a script ended by `SCRIPT KILL` gets, after the script's position: for [`Tick::Kill`](crate::Tick::Kill).
pub const KILLED: &str = "Script killed by user with SCRIPT KILL...";

/// Logged as a warning when a script is ended so.
pub const KILLED_LOG: &str = "Lua script killed by user with SCRIPT KILL.";

/// Logged as a warning, once for a script, when it has run for `milliseconds`, at least `lua-time-limit`.
#[must_use]
pub fn slow_script_log(milliseconds: u64) -> String {
    format!(
        "Lua slow script detected: still in execution after {milliseconds} milliseconds. You can try killing the script using the SCRIPT KILL command."
    )
}
