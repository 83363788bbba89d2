//! The error replies that many commands share. Texts are Redis 3.0's: they are part of the interface.

use std::borrow::Cow;
use std::fmt;

/// Why a command gave an error reply. [`Error::line`] is the reply's line; [`fmt::Display`] is it for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The key holds another type.
    WrongType,
    /// The arguments do not have the command's form.
    Syntax,
    /// An argument that must be a 64-bit integer is not.
    NotInteger,
    /// An argument that must be a finite or infinite float is not.
    NotFloat,
    /// LSET and the like.
    IndexOutOfRange,
    /// A key that must exist does not.
    NoSuchKey,
    /// Both keys are one (RENAME of 3.0, MOVE).
    SameObject,
    /// Any other text; it starts with its code (`ERR …`).
    Text(Cow<'static, str>),
    /// A text that quotes what a client sent, byte for byte; it starts with its code.
    Quoting(Box<[u8]>),
}

impl Error {
    /// A fixed text that starts with its code.
    #[must_use]
    pub const fn text(line: &'static str) -> Self {
        Self::Text(Cow::Borrowed(line))
    }

    /// A text of its own that starts with its code.
    #[must_use]
    pub const fn owned(line: String) -> Self {
        Self::Text(Cow::Owned(line))
    }

    /// A text with a word of the request in it. The word ends at its first NUL, as text does in C; line ends at the end of the text go.
    #[must_use]
    pub fn quoting(before: &str, word: &[u8], after: &str) -> Self {
        let word = word.split(|byte| *byte == 0).next().unwrap_or_default();
        let mut text = [before.as_bytes(), word, after.as_bytes()].concat();
        while text.ends_with(b"\n") || text.ends_with(b"\r") {
            text.pop();
        }
        Self::Quoting(text.into())
    }

    /// A subcommand of `container` that is none, or that takes another number of words.
    #[must_use]
    pub fn subcommand(container: &str, sub: &[u8]) -> Self {
        Self::quoting(
            "ERR unknown subcommand or wrong number of arguments for '",
            &sub[..sub.len().min(128)],
            &format!("'. Try {container} HELP."),
        )
    }

    /// The reply line without the leading `-`.
    #[must_use]
    pub fn line(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Quoting(line) => Cow::Borrowed(line),
            other => Cow::Owned(other.to_string().into_bytes()),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value",
            Self::Syntax => "ERR syntax error",
            Self::NotInteger => "ERR value is not an integer or out of range",
            Self::NotFloat => "ERR value is not a valid float",
            Self::IndexOutOfRange => "ERR index out of range",
            Self::NoSuchKey => "ERR no such key",
            Self::SameObject => "ERR source and destination objects are the same",
            Self::Text(line) => line,
            Self::Quoting(line) => return f.write_str(&String::from_utf8_lossy(line)),
        })
    }
}

impl std::error::Error for Error {}
