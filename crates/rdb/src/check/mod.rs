//! The check tools: they read a file to its end and say what is wrong and where. Nothing is repaired: an RDB file that is
//! damaged is restored from its source or a copy.

mod dump;
mod rdb;
mod stats;
mod window;

pub use dump::check_dump;
pub use rdb::{check_rdb, check_rdb_in, check_rdb_with_stats};
pub use stats::{Stats, StatsFormat};

/// What a check tool has to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The lines to print, each with its end.
    pub text: String,
    /// Whether the file is good from start to end.
    pub ok: bool,
}

impl Report {
    fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }
}
