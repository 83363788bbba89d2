//! One reply as a value, and the questions callers ask of it.

use bytes::Bytes;

/// A reply of RESP2 or RESP3.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `+OK`: a line. Bytes that are not UTF-8 are replaced.
    Status(String),
    /// `-ERR …`, or `!` with a length: the whole text without the mark, code included.
    Error(String),
    /// `:1`
    Int(i64),
    /// `$3`: a string of bytes. It may share memory with replies read together with it.
    Bulk(Bytes),
    /// `$-1`, `*-1` or `_`.
    Nil,
    /// `*2`: replies within a reply.
    Array(Vec<Self>),
    /// `,1.5`
    Double(f64),
    /// `#t`
    Bool(bool),
    /// `(123…`: an integer of any length, as its digits.
    BigNumber(String),
    /// `=8`: text with the three letters of its format (`txt`, `mkd`).
    Verbatim {
        /// The three letters.
        format: String,
        /// The text itself.
        text: Bytes,
    },
    /// `%2`: pairs in the order in which they came.
    Map(Vec<(Self, Self)>),
    /// `~2`
    Set(Vec<Self>),
    /// `>2`: a message that answers no request.
    Push(Vec<Self>),
}

impl Value {
    /// The text of a status or a string, where it is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Status(text) => Some(text),
            Self::Bulk(bytes) | Self::Verbatim { text: bytes, .. } => {
                std::str::from_utf8(bytes).ok()
            }
            _ => None,
        }
    }

    /// The bytes of a status or a string.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Status(text) => Some(text.as_bytes()),
            Self::Bulk(bytes) | Self::Verbatim { text: bytes, .. } => Some(bytes),
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

    /// The elements of an array, a set or a push.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(elements) | Self::Set(elements) | Self::Push(elements) => Some(elements),
            _ => None,
        }
    }

    /// A number: a double, an integer, or (as RESP2 sends doubles) text that is one.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "the caller asks for a double")]
    pub fn as_double(&self) -> Option<f64> {
        match self {
            Self::Double(number) => Some(*number),
            Self::Int(number) => Some(*number as f64),
            other => other.as_str()?.parse().ok(),
        }
    }

    /// A truth: a boolean, or (as RESP2 sends them) the integers 0 and 1.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            Self::Int(0) => Some(false),
            Self::Int(1) => Some(true),
            _ => None,
        }
    }

    /// The pairs of a map, or of the flat array that RESP2 sends for one.
    #[must_use]
    pub fn pairs(&self) -> Option<Vec<(&Self, &Self)>> {
        match self {
            Self::Map(pairs) => Some(pairs.iter().map(|(key, value)| (key, value)).collect()),
            Self::Array(flat) if flat.len().is_multiple_of(2) => {
                let pairs = flat.chunks_exact(2).map(|pair| (&pair[0], &pair[1]));
                Some(pairs.collect())
            }
            _ => None,
        }
    }

    /// The value of a map under this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Self> {
        let pairs = self.pairs()?;
        let mut found = pairs
            .into_iter()
            .filter(|(key, _)| key.as_str() == Some(name));
        found.next().map(|(_, value)| value)
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

    /// The same as RESP2 sends it: maps as flat arrays, doubles as text. What it holds stays as it is.
    #[must_use]
    pub fn into_resp2(self) -> Self {
        match self {
            Self::Double(number) => Self::Bulk(number.to_string().into()),
            Self::Bool(truth) => Self::Int(truth.into()),
            Self::BigNumber(digits) => Self::Bulk(digits.into()),
            Self::Verbatim { text, .. } => Self::Bulk(text),
            Self::Set(elements) | Self::Push(elements) => Self::Array(elements),
            Self::Map(pairs) => {
                Self::Array(pairs.into_iter().flat_map(<[Self; 2]>::from).collect())
            }
            resp2 => resp2,
        }
    }

    /// The elements of an array, a set or a push, by value; anything else is given back.
    ///
    /// # Errors
    ///
    /// The value itself when it is none of them.
    pub fn into_array(self) -> Result<Vec<Self>, Self> {
        match self {
            Self::Array(elements) | Self::Set(elements) | Self::Push(elements) => Ok(elements),
            other => Err(other),
        }
    }

    /// The bytes of a string, by value; anything else is given back.
    ///
    /// # Errors
    ///
    /// The value itself when it is no string.
    pub fn into_bytes(self) -> Result<Bytes, Self> {
        match self {
            Self::Bulk(bytes) | Self::Verbatim { text: bytes, .. } => Ok(bytes),
            other => Err(other),
        }
    }
}
