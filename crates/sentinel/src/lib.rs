//! The sentinel core: monitoring, agreement, leader election, failover. A pure state machine: it opens no socket or
//! file, reads no clock and starts no process. A shell (or the simulator) feeds it and performs what it asks for.
//!
//! # Use
//! ```text
//! let mut monitor = Monitor::new(now, config, saved, seed);
//! loop {
//!     while let Some(output) = monitor.poll_output() { perform(output) }   // in order; Persist completes first
//!     wait for an input, or until monitor.poll_timeout();
//!     monitor.handle_input(now, input)  or  monitor.handle_timeout(now);
//! }
//! ```
//!
//! # Layout
//! | module | rule |
//! |---|---|
//! | [`io`] | what goes in and what comes out |
//! | [`monitor`] | the five verbs and the tick; `link`, `ping`, `info`, `discovery`, `down`, `vote`, `failover`, `saturation`, `tilt`, `scripts` below it hold one concern each |
//! | `instance` | what is known of one monitored process; masters, their slaves and their other sentinels |
//! | `access` | users, and what each of them may ask |
//! | `commands` | what clients may ask: the SENTINEL family, INFO, pub/sub, CLIENT |
//! | `figures` | what is told to those who are no clients |
//! | `traffic` | what clients and this sentinel sent each other, and how fast |
//! | [`config`] | sentinel.conf: reading it, and writing the state back into it |
//!
//! Where the rules come from: Redis 3.0.7's sentinel. Where this core differs on purpose, the function says so.

mod access;
mod addr;
mod commands;
pub mod config;
mod context;
mod figures;
mod instance;
pub mod io;
pub mod monitor;
mod rng;
mod script_queue;
mod timing;
mod traffic;
mod users;

pub use addr::Addr;
pub use config::{Config, Saved};
pub use figures::{Figures, MasterFigures};
pub use io::{ClientId, Command, Input, JobId, Level, LinkId, LinkKind, Now, Output, Reply};
pub use monitor::Monitor;
pub use traffic::Traffic;
