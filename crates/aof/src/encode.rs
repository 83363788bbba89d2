//! Commands as bytes of the file: arrays of bulk strings. What a command must be rewritten to before (an EXPIRE to a PEXPIREAT) was
//! decided by who executed it.

use resp::put_length;

/// Appends commands to a buffer, with a SELECT wherever the database changes.
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    selected: Option<u32>,
}

impl Encoder {
    /// An encoder for a file in which no database is selected yet: the first command gets a SELECT.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `args`, executed in `database`, to `out`. Some commands are of no database.
    pub fn append<'a, I>(&mut self, out: &mut Vec<u8>, database: impl Into<Option<u32>>, args: I)
    where
        I: IntoIterator<Item = &'a [u8]>,
        I::IntoIter: ExactSizeIterator,
    {
        if let Some(database) = database.into()
            && self.selected != Some(database)
        {
            self.selected = Some(database);
            encode_command(
                out,
                [b"SELECT", itoa::Buffer::new().format(database).as_bytes()],
            );
        }
        encode_command(out, args);
    }

    /// Forgets the selected database: a new file began, or somebody else wrote to this one.
    pub fn reset(&mut self) {
        self.selected = None;
    }
}

/// How many bytes a length takes at most, and room to spare.
const LENGTH_BYTES: usize = 32;

/// So many bytes [`encode_command`] needs room for, at most: some more than it appends.
pub fn room_of_command(args: &[&[u8]]) -> usize {
    args.iter()
        .fold(LENGTH_BYTES, |room, arg| room + arg.len() + LENGTH_BYTES)
}

/// Appends one command to `out`.
pub fn encode_command<'a, I>(out: &mut Vec<u8>, args: I)
where
    I: IntoIterator<Item = &'a [u8]>,
    I::IntoIter: ExactSizeIterator,
{
    let args = args.into_iter();
    put_length(out, b'*', args.len());
    for arg in args {
        put_bulk(out, arg);
    }
}

/// Appends an annotation: what follows was written at this instant, Unix seconds.
pub fn encode_timestamp(out: &mut Vec<u8>, unix_s: u64) {
    out.extend_from_slice(b"#TS:");
    out.extend_from_slice(itoa::Buffer::new().format(unix_s).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends a bulk string.
#[inline]
pub(crate) fn put_bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, b'$', bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_select_stands_where_the_database_changes() {
        let (mut encoder, mut out) = (Encoder::new(), Vec::new());
        encoder.append(&mut out, None, [&b"MULTI"[..]]);
        encoder.append(&mut out, Some(0), [&b"SET"[..], b"k", b""]);
        encoder.append(&mut out, Some(0), [&b"DEL"[..], b"k"]);
        encoder.append(&mut out, Some(9), [&b"PING"[..]]);
        encoder.reset();
        encoder.append(&mut out, Some(9), [&b"PING"[..]]);
        let expected = "*1\r\n$5\r\nMULTI\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n*2\r\n$3\r\nDEL\r\n$1\r\nk\r\n\
            *2\r\n$6\r\nSELECT\r\n$1\r\n9\r\n*1\r\n$4\r\nPING\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n9\r\n*1\r\n$4\r\nPING\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
