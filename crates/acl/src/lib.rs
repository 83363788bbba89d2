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

/// What a client of another machine is told in protected mode while the default user has no password: a whole reply.
pub const PROTECTED: &str = "-DENIED Running in protected mode because protected mode is enabled and no password is set for the default user. \
In this mode connections are only accepted from the loopback interface. If you want to connect from external computers, you may adopt \
one of the following solutions: 1) Just disable protected mode sending the command 'CONFIG SET protected-mode no' from the loopback \
interface by connecting from the same host the server is running, however MAKE SURE it's not publicly accessible from internet if you \
do so. Use CONFIG REWRITE to make this change permanent. 2) Alternatively you can just disable the protected mode by editing the \
configuration file, and setting the protected mode option to 'no', and then restarting the server. 3) If you started the server \
manually just for testing, restart it with the '--protected-mode no' option. 4) Set up an authentication password for the default \
user. NOTE: You only need to do one of the above things in order for the server to start accepting connections from the outside.\r\n";
