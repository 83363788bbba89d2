//! Access control: users, their rules, and what each of them may do. Rules, texts and files are those of Valkey 9.1.
//!
//! # Layout
//!
//! - [`Catalog`]: the commands of one daemon, as rules name them; made from [`commands::Facts`].
//! - [`Selector`]: one set of permissions, and the rules that change it; [`User`]: a name, passwords and selectors.
//! - [`Users`]: all of them, with the default user; changed whole or not at all.
//! - [`Request`] and [`User::check`]: whether a user may run a command; [`Denial`]: why not.
//! - [`Log`]: what was refused.
//! - [`command`]: the subcommands of ACL.
//!
//! Nothing here knows a connection, a file or a clock. A user is never changed once it is shared: a change makes a new one, so that whoever
//! holds one can tell by comparing pointers.

mod catalog;
mod check;
pub mod command;
mod file;
mod log;
mod password;
mod rule;
mod selector;
mod start;
mod user;
mod users;

pub use catalog::{Catalog, Command};
pub use check::{Denial, Denials, Reason, Request, hears};
pub use file::{FileError, print_users};
pub use log::{Context, Entry, Event, Log};
pub use password::hex;
pub use rule::{RuleError, join_selectors};
pub use selector::Selector;
pub use user::User;
pub use users::{SetError, Users};
