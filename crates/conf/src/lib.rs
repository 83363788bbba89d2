//! The configuration grammar: quoting, sizes, directive tables, rewriting.
//!
//! A daemon describes its parameters once, in a [`Table`]: name, kind, range, default, whether `CONFIG SET` may change
//! it, whether `CONFIG GET` shows it. Loading a file, the two commands and `CONFIG REWRITE` all work from that table.
//! What a directive *does* is not known here: values end up in a plain struct ([`ServerConfig`]), and `CONFIG SET` names
//! the part of the daemon that has to look at them again ([`Effect`]). Nothing here opens a file.
//!
//! # Layout
//!
//! - [`server`]: the server's parameters, their types, defaults and table.
//! - [`directive`]: what a table is made of.
//! - [`load`]: from text to a filled struct, with `include`, and the fatal message.
//! - [`rewrite`]: `CONFIG REWRITE` as a function from the old file's text to the new one.
//! - [`command_line`]: `server [file|-] [--directive value …]` turned into configuration text.
//! - [`value`]: yes/no, memory sizes, event classes and other small vocabularies.

pub mod command_line;
pub mod directive;
pub mod load;
pub mod rewrite;
pub mod server;
pub mod value;

pub use command_line::Invocation;
pub use directive::{Directive, SetError, Table};
pub use load::{Host, LoadError, Refusal};
pub use rewrite::Rewriter;
pub use server::{Effect, SERVER, ServerConfig};
pub use value::{
    AppendFsync, Choice, ClientClass, KeyspaceEvents, LogLevel, Master, MaxmemoryPolicy,
    OutputLimit, OutputLimits, RenamedCommand, SavePoint, SyslogFacility,
};
