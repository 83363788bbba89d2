//! A command of an append-only file that was refused.

/// A command of the file that was answered by an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub(crate) name: &'static str,
    pub(crate) line: String,
    /// No dataset would have made it right.
    pub(crate) malformed: bool,
}
