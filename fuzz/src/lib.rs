//! What the fuzz targets share. The bytes of an input are read as a recipe: of a value in any encoding of the format, of a file of
//! such values. Lengths, header fields and checksums are made good, so that what was mutated is what lies behind them.
//!
//! - [`commands`] makes streams of commands.
//! - [`recipe`] takes inputs apart and cooks values and files.
//! - [`compact`] writes the compact forms; it shares no code with what reads them.
//! - [`content`] tells what a value holds, and checks that every way to look at it says the same.
//! - [`server`] runs commands on a loaded keyspace.
//! - [`memory`] counts what is allocated.

pub mod commands;
pub mod compact;
pub mod content;
pub mod memory;
pub mod recipe;
pub mod server;
