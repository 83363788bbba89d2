//! One reply as a value, and the questions callers ask of it.

use bytes::Bytes;

/// A RESP2 reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `+OK`: a line. Bytes that are not UTF-8 are replaced.
    Status(String),
    /// `-ERR …`: the whole line without the dash, code included.
    Error(String),
    /// `:1`
    Int(i64),
    /// `$3`: a string of bytes. It may share memory with replies read together with it.
    Bulk(Bytes),
    /// `$-1` or `*-1`.
    Nil,
    /// `*2`: replies within a reply.
    Array(Vec<Self>),
}

impl Value {
    /// The text of a status or a bulk string, where it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Status(text) => Some(text),
            Self::Bulk(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The bytes of a status or a bulk string.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Status(text) => Some(text.as_bytes()),
            Self::Bulk(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The number of an integer reply.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The elements of an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The message of an error reply.
    #[must_use]
    pub fn as_error(&self) -> Option<&str> {
        match self {
            Self::Error(message) => Some(message),
            _ => None,
        }
    }

    /// Whether this is `+OK`.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Status(text) if text == "OK")
    }

    /// Separates error replies from all others.
    ///
    /// # Errors
    ///
    /// The message of an error reply.
    pub fn into_result(self) -> Result<Self, String> {
        match self {
            Self::Error(message) => Err(message),
            other => Ok(other),
        }
    }

    /// The elements of an array, by value; anything else is given back.
    ///
    /// # Errors
    ///
    /// The value itself when it is no array.
    pub fn into_array(self) -> Result<Vec<Self>, Self> {
        match self {
            Self::Array(elements) => Ok(elements),
            other => Err(other),
        }
    }

    /// The bytes of a bulk string, by value; anything else is given back.
    ///
    /// # Errors
    ///
    /// The value itself when it is no bulk string.
    pub fn into_bytes(self) -> Result<Bytes, Self> {
        match self {
            Self::Bulk(bytes) => Ok(bytes),
            other => Err(other),
        }
    }
}
