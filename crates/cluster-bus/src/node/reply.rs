//! Replies of the CLUSTER command as plain data: the server writes them in the protocol of its client.

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `+OK`
    Ok,
    /// A status line.
    Status(String),
    /// A bulk string.
    Bulk(Vec<u8>),
    /// A text that a client of RESP3 gets as such, any other one as a bulk string.
    Verbatim(String),
    /// An integer.
    Integer(i64),
    /// Nothing.
    Null,
    /// An array.
    Array(Vec<Reply>),
    /// A map: in RESP2 an array of keys and values.
    Map(Vec<(&'static str, Reply)>),
}

impl Reply {
    pub(super) fn text(text: &(impl ToString + ?Sized)) -> Self {
        Self::Bulk(text.to_string().into_bytes())
    }

    /// An unsigned number; those beyond the signed ones do not occur.
    pub(super) fn number(number: impl TryInto<i64>) -> Self {
        Self::Integer(number.try_into().unwrap_or(i64::MAX))
    }
}
