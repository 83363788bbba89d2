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
        self.select(out, database.into());
        encode_command(out, args);
    }

    /// As [`Encoder::append`], for a command whose bytes are there already ([`is_encoded`]).
    pub fn append_encoded(&mut self, out: &mut Vec<u8>, database: u32, command: &[u8]) {
        self.select(out, Some(database));
        out.extend_from_slice(command);
    }

    #[inline]
    fn select(&mut self, out: &mut Vec<u8>, database: Option<u32>) {
        if let Some(database) = database
            && self.selected != Some(database)
        {
            self.selected = Some(database);
            encode_command(
                out,
                [b"SELECT", itoa::Buffer::new().format(database).as_bytes()],
            );
        }
    }

    /// Forgets the selected database: a new file began, or somebody else wrote to this one.
    pub fn reset(&mut self) {
        self.selected = None;
    }
}

/// A length is written with some room to spare.
const SPARE_BYTES: usize = 8;

/// How many bytes a length takes: its type byte, its digits, a line end.
fn length_bytes(length: usize) -> u64 {
    match length {
        0..10 => 4,
        10..100 => 5,
        _ => 4 + u64::from(length.ilog10()),
    }
}

/// How many bytes [`encode_command`] appends.
pub fn command_bytes(args: &[&[u8]]) -> u64 {
    args.iter().fold(length_bytes(args.len()), |bytes, arg| {
        bytes + length_bytes(arg.len()) + arg.len() as u64 + 2
    })
}

/// So many bytes [`encode_command`] needs room for, at most: some more than it appends.
pub fn room_of_command(args: &[&[u8]]) -> usize {
    usize::try_from(command_bytes(args)).map_or(usize::MAX, |bytes| bytes + SPARE_BYTES)
}

/// Whether a request's bytes are those that [`encode_command`] would append for its arguments: an array whose numbers have no digit too
/// many, since then none has fewer bytes.
pub fn is_encoded(request: &[u8], args: &[&[u8]]) -> bool {
    request.first() == Some(&b'*') && request.len() as u64 == command_bytes(args)
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
    fn a_request_that_was_sent_as_it_would_be_written_is_known() {
        let mut words = vec![vec![b'w'; 7], Vec::new()];
        for length in [1, 9, 10, 99, 100, 999, 1000, 123_456] {
            words.push(vec![b'x'; length]);
            let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let mut out = Vec::new();
            encode_command(&mut out, args.iter().copied());
            assert_eq!(out.len() as u64, command_bytes(&args));
            assert!(is_encoded(&out, &args));
        }
        let args = [&b"GET"[..], b"k"];
        assert!(is_encoded(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", &args));
        for other in [
            "GET k\r\n",
            "*02\r\n$3\r\nGET\r\n$1\r\nk\r\n",
            "*2\r\n$3\r\nGET\r\n$+1\r\nk\r\n",
            "GET                  k\r\n",
        ] {
            assert!(!is_encoded(other.as_bytes(), &args), "{other}");
        }

        let (mut encoder, mut out) = (Encoder::new(), Vec::new());
        encoder.append_encoded(&mut out, 3, b"*1\r\n$1\r\na\r\n");
        encoder.append_encoded(&mut out, 3, b"*1\r\n$1\r\nb\r\n");
        let expected = "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*1\r\n$1\r\na\r\n*1\r\n$1\r\nb\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

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
