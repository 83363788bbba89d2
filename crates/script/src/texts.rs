//! The texts of the scripting commands that are not about Lua: error lines without their minus sign, and log lines. The
//! commands themselves are the server's.

/// `EVALSHA` with an unknown SHA1.
pub const NO_SCRIPT: &str = "NOSCRIPT No matching script.";

/// The number of keys is more than there are arguments.
pub const TOO_MANY_KEYS: &str = "ERR Number of keys can't be greater than number of args";

/// The number of keys is below zero.
pub const NEGATIVE_KEYS: &str = "ERR Number of keys can't be negative";

/// The number of keys of `FCALL` is no number.
pub const BAD_KEY_COUNT: &str = "ERR Bad number of keys provided";

/// `FCALL` of a function that no library has.
pub const NO_FUNCTION: &str = "ERR Function not found";

/// What others are told while an `EVAL` takes too long.
pub const BUSY: &str =
    "BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.";

/// The same while a function takes too long.
pub const BUSY_FUNCTION: &str =
    "BUSY Valkey is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.";

/// `SCRIPT KILL` while none runs.
pub const NOT_BUSY: &str = "NOTBUSY No scripts in execution right now.";

/// `SCRIPT KILL` after the script's first write.
pub const UNKILLABLE: &str = "UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.";

/// `SCRIPT KILL` of a script that the master sent.
pub const UNKILLABLE_OF_MASTER: &str = "UNKILLABLE The busy script was sent by a master instance in the context of replication and cannot be killed.";

/// What the client of a script ended by `SCRIPT KILL` gets, and the log: for [`Tick::Kill`](crate::Tick::Kill).
pub const KILLED: &str = "Script killed by user with SCRIPT KILL.";

/// The same by `FUNCTION KILL`.
pub const FUNCTION_KILLED: &str = "Script killed by user with FUNCTION KILL.";

/// A library that takes too long to load.
pub const LOAD_TIMEOUT: &str = "FUNCTION LOAD timeout";

/// A command that no table knows.
pub const UNKNOWN_COMMAND: &str = "ERR Unknown command called from script";

/// A command with the wrong number of arguments.
pub const WRONG_ARITY: &str = "ERR Wrong number of args calling command from script";

/// A command with the flag `noscript`.
pub const NOT_FROM_SCRIPTS: &str = "ERR This Valkey command is not allowed from script";

/// A command that writes, in a script that may not.
pub const READ_ONLY_SCRIPT: &str = "ERR Write commands are not allowed from read-only scripts.";

/// A command that needs data which this replica may not show.
pub const STALE: &str = "ERR Can not execute the command on a stale replica";

/// A key that another node of the cluster has.
pub const NON_LOCAL_KEY: &str = "ERR Attempted to access a non local key in a cluster node";

/// Keys of two slots, in a script that did not say that it may.
pub const CROSS_SLOT: &str =
    "ERR Script attempted to access keys that do not hash to the same slot";

/// A write while the cluster is down and only lets read.
#[must_use]
pub fn cluster_down_read_only(command: &str) -> String {
    format!(
        "ERR Can not execute a write command '{command}' while the cluster is down and readonly"
    )
}

/// Any command with keys while the cluster is down.
#[must_use]
pub fn cluster_down(command: &str) -> String {
    format!("ERR Can not execute a command '{command}' while the cluster is down")
}

// What refuses a whole script by its flags.

/// A script with `no-cluster` on a cluster's node.
pub const NO_CLUSTER_FLAG: &str = "ERR Can not run script on cluster, 'no-cluster' flag is set.";

/// A script without `allow-stale` on a replica that may not show its data.
pub const STALE_FLAG: &str = "MASTERDOWN Link with MASTER is down, replica-serve-stale-data is set to 'no' and 'allow-stale' flag is not set on the script.";

/// A script that may write on a replica that may not.
pub const READONLY_FLAG: &str = "READONLY Can not run script with write flag on readonly replica";

/// A script that may write, called by a command that may not.
pub const WRITE_FLAG_ON_RO: &str =
    "ERR Can not execute a script with write flag using *_ro command.";

/// A script without `allow-oom` beyond `maxmemory`.
pub const OOM_FLAG: &str =
    "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'";

/// Logged as a warning, once for a script, when it has run for `milliseconds`, at least `busy-reply-threshold`.
#[must_use]
pub fn slow_script_log(milliseconds: u64, is_function: bool, name: &str) -> String {
    let command = if is_function {
        "FUNCTION KILL"
    } else {
        "SCRIPT KILL"
    };
    format!(
        "Slow script detected: still in execution after {milliseconds} milliseconds. You can try killing the script using the {command} command. Script name is: {name}."
    )
}
