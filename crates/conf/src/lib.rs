//! The configuration grammar: quoting, sizes, directive tables, rewriting.
//!
//! The parameters are declared once, in a table: name, old name, kind, range, default, whether `CONFIG SET` may change
//! it, whether `CONFIG GET` shows it. Loading a file, the two commands and `CONFIG REWRITE` all work from that table.
//! What a directive *does* is not known here: values end up in a plain struct ([`ServerConfig`]), and `CONFIG SET` names
//! the part of the daemon that has to look at them again ([`Effect`]). Nothing here opens a file.
//!
//! # Layout
//!
//! - [`server`]: the parameters, their types and defaults, and their directives.
//! - `since`: which release brought each.
//! - `unused`: directives of Redis and Valkey that are accepted without effect.
//! - [`directive`]: what a directive is. `table`: all of them, by name.
//! - [`load`]: from text to a filled struct, with `include`, and the fatal message.
//! - [`set`]: `CONFIG GET` and `CONFIG SET`.
//! - [`rewrite`]: `CONFIG REWRITE` as a function from the old file's text to the new one.
//! - [`command_line`]: `server [file|-] [--directive value …]` turned into configuration text.
//! - [`value`]: yes/no, memory sizes, event classes and other small vocabularies.

pub mod command_line;
pub mod directive;
pub mod load;
pub mod rewrite;
pub mod server;
pub mod set;
mod since;
mod table;
mod unused;
pub mod value;

pub use command_line::Invocation;
pub use directive::Directive;
pub use load::{Host, LoadError, Refusal};
pub use rewrite::Rewriter;
pub use server::{Effect, ServerConfig};
pub use set::{Rights, SetError};
pub use table::{all, find};
pub use value::{
    AppendFsync, AuditLog, Choice, ClientClass, DisklessLoad, EndpointType, KeyspaceEvents,
    LogFormat, LogLevel, LogTimestamp, Master, MaxmemoryPolicy, OomScoreAdj, OutputLimit,
    OutputLimits, Permission, PropagationError, PubsubDefault, RdbVersion, RenamedCommand,
    SaveBehavior, SavePoint, ShutdownFlags, Supervised, SyncSource, SyslogFacility, TlsAuthClients,
    TlsAuthClientsUser, UnknownCommand, VersionCheck, WriteAcknowledge,
};
