//! What a row of the command table is. The rows of the data commands are in [`crate::rows`]; the engine has those of the commands that
//! know more than data.
//!
//! Everything known about a command is in its row: names, arities, flags, categories, key specifications, tips and arguments are
//! those that COMMAND answers in Valkey 9.1; what follows from a command's name in the engine is one of its [`Traits`].

mod access;
mod arguments;
mod categories;
mod flags;
mod keys;
mod row;
mod secrets;
mod words;

pub use access::{Channels, Databases};
pub use arguments::{Argument, Kind, parse_arguments, syntax};
pub use categories::Categories;
pub use flags::{Flags, Traits};
pub use keys::{
    Begin, Find, Key, KeyFlags, KeySpec, find_keys, index, key, keynum, keyword, miscounts_keys,
    range,
};
pub use keys::{bitfield_keys, delex_keys, migrate_keys, radius_keys, set_keys, sort_keys};
pub use row::{DataFn, Facts, Group, KeyFinder, Row, row};
pub use secrets::{SecretFinder, auth_secrets, hello_secrets, migrate_secrets, setuser_secrets};
pub use words::{OlderFn, Piece, Release};
