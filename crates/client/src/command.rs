//! One request, encoded while it is built: arguments are copied once, into the bytes that go out.

use bytes::{BufMut as _, BytesMut};

/// A request as RESP sends it: an array of bulk strings.
///
/// Arrays, slices and vectors of anything that is bytes convert into it; [`Command::arg`] and
/// [`Command::args`] build requests of mixed parts.
///
/// ```
/// use client::Command;
///
/// let simple: Command = ["GET", "key"].into();
/// let built = Command::new("GET").arg(b"key");
/// assert_eq!(simple, built);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    count: usize,
    body: BytesMut,
}

impl Command {
    /// A request of one word.
    #[must_use]
    pub fn new(name: impl AsRef<[u8]>) -> Self {
        Self::default().arg(name)
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<[u8]>) -> Self {
        self.push(argument.as_ref());
        self
    }

    /// Adds the decimal form of a number.
    #[must_use]
    pub fn number(self, number: impl Into<i128>) -> Self {
        self.arg(number.into().to_string())
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<A: AsRef<[u8]>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        for argument in arguments {
            self.push(argument.as_ref());
        }
        self
    }

    /// The whole request as it goes out.
    #[must_use]
    pub fn to_bytes(&self) -> BytesMut {
        let mut out = BytesMut::new();
        self.write_to(&mut out);
        out
    }

    /// Writes the whole request behind what `out` holds.
    pub(crate) fn write_to(&self, out: &mut BytesMut) {
        out.reserve(self.body.len() + 24);
        put_header(out, b'*', self.count);
        out.put_slice(&self.body);
    }

    fn push(&mut self, argument: &[u8]) {
        self.count += 1;
        self.body.reserve(argument.len() + 24);
        put_header(&mut self.body, b'$', argument.len());
        self.body.put_slice(argument);
        self.body.put_slice(b"\r\n");
    }
}

impl<A: AsRef<[u8]>, const N: usize> From<[A; N]> for Command {
    fn from(arguments: [A; N]) -> Self {
        Self::default().args(arguments)
    }
}

impl<A: AsRef<[u8]>> From<&[A]> for Command {
    fn from(arguments: &[A]) -> Self {
        Self::default().args(arguments)
    }
}

impl<A: AsRef<[u8]>> From<Vec<A>> for Command {
    fn from(arguments: Vec<A>) -> Self {
        Self::default().args(arguments)
    }
}

fn put_header(out: &mut BytesMut, kind: u8, number: usize) {
    out.put_u8(kind);
    out.put_slice(number.to_string().as_bytes());
    out.put_slice(b"\r\n");
}
