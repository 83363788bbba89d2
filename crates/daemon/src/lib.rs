//! What the server and the sentinel do the same way at the edge of the machine. It holds no rule of either.
//!
//! # Layout
//! `config.rs` lets a configuration act on the process, `files.rs` replaces files whole, `listen.rs` opens listening sockets,
//! `process.rs` is what is printed and ended with, the log, the pid file, the limit of open files, the banner, warnings about the kernel's
//! settings and the readiness that a service manager waits for.

mod config;
pub mod files;
pub mod listen;
mod process;

pub use config::{as_path, current_dir, expand, log_level, log_style, on_accepted, read, reason};
pub use process::{
    PidFile, banner, clients_within, exit_code, fail, in_short, log_signal, logs_to_stdout,
    notify_ready, open_files_for, raise_open_files, refuse, say, sentinel_in_short, start_log,
    version, warn_of_backlog, warn_of_defaults, warn_of_memory,
};
