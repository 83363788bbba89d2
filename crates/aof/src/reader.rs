//! Reading a file back, command by command. What a crash can leave behind, an unfinished tail, is told apart from damage.

use std::io::Read;
use std::ops::Range;

use rdb::Input;
use resp::number::parse_i64;

use crate::check::MAX_ANNOTATION;

/// The longest line of a count or length, with its end. Redis reads no more either.
const MAX_LINE: usize = 128;
/// The longest argument that a server takes. What is announced longer is damage, and not a tail that was cut.
const MAX_ARGUMENT: u64 = 512 << 20;
/// The buffer that is kept after a command that needed a bigger one.
const KEPT_BUFFER: usize = 1 << 20;

/// Why a file cannot be replayed to its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file ends inside a command or a transaction; up to `valid_up_to` it is whole. With `aof-load-truncated yes` it is cut there.
    #[error("unexpected end of file")]
    Truncated {
        /// Where the last whole command or transaction ends, in bytes from the start.
        valid_up_to: u64,
    },
    /// The bytes at `offset` are no command; up to `valid_up_to` the file is whole.
    #[error("bad file format at byte {offset}")]
    Format {
        /// Where, in bytes from the start.
        offset: u64,
        /// Where the last whole command or transaction ends.
        valid_up_to: u64,
    },
    /// The source failed.
    #[error("{0}")]
    Io(std::io::Error),
}

impl Error {
    /// The line that is logged when the file `name` is given up.
    #[must_use]
    pub fn line(&self, name: &str) -> String {
        match self {
            Self::Truncated { .. } => format!(
                "Unexpected end of file reading the append only file {name}. You can: 1) Make a backup of your AOF file, then use \
                 ./valkey-check-aof --fix <filename.manifest>. 2) Alternatively you can set the 'aof-load-truncated' configuration \
                 option to yes and restart the server."
            ),
            Self::Format { .. } => format!(
                "Bad file format reading the append only file {name}: make a backup of your AOF file, then use ./valkey-check-aof \
                 --fix <filename.manifest>"
            ),
            Self::Io(error) => {
                format!("Unrecoverable error reading the append only file {name}: {error}")
            }
        }
    }
}

/// What is logged, as warnings, when a file is cut at `valid_up_to` because of `aof-load-truncated yes`.
#[must_use]
pub fn truncation_lines(name: &str, valid_up_to: u64) -> [String; 2] {
    [
        format!("!!! Warning: short read while loading the AOF file {name}!!!"),
        format!("!!! Truncating the AOF {name} at offset {valid_up_to} !!!"),
    ]
}

/// What is logged when the cut was made.
#[must_use]
pub fn loaded_anyway(name: &str) -> String {
    format!("AOF {name} loaded anyway because aof-load-truncated is enabled")
}

/// Whether the file begins with an RDB file, which is to be loaded first ([`rdb::Reader::open`]); its input then goes to
/// [`Reader::after`].
///
/// # Errors
/// [`Error::Io`].
pub fn begins_with_rdb<R: Read>(input: &mut Input<R>) -> Result<bool, Error> {
    while input.buffered().len() < rdb::VALKEY_MAGIC.len() && input.read_more().map_err(io)? {}
    Ok(rdb::is_signature(input.buffered()))
}

/// A command of the file.
#[derive(Clone, Copy, Debug)]
pub struct Command<'a> {
    bytes: &'a [u8],
    spans: &'a [Range<usize>],
}

impl<'a> Command<'a> {
    /// Its arguments, the name first; there is at least one.
    pub fn args(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let bytes = self.bytes;
        self.spans.iter().map(move |span| &bytes[span.clone()])
    }

    /// Its name, as written.
    pub fn name(&self) -> &'a [u8] {
        self.args().next().unwrap_or_default()
    }

    fn is(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name.as_bytes())
    }
}

/// Reads a file from any source. Memory follows the command being read.
///
/// Commands inside a transaction are given like all others, MULTI and EXEC included: who executes them queues them as for a client,
/// and forgets them where the file ends before the EXEC.
pub struct Reader<R> {
    input: Input<R>,
    /// The arguments of the command that begins where the input stands.
    spans: Vec<Range<usize>>,
    /// How many bytes the command takes that was given last.
    given: usize,
    in_transaction: bool,
    valid_up_to: u64,
}

/// A part of a command.
enum Part<T> {
    Whole(T),
    /// So many more bytes are missing at least.
    Cut(usize),
    Bad,
}

impl<R: Read> Reader<R> {
    /// A reader of commands from the first byte of `source`.
    pub fn new(source: R) -> Self {
        Self::after(Input::new(source))
    }

    /// A reader of the commands that follow where `input` stands: behind an RDB file, for one.
    pub fn after(input: Input<R>) -> Self {
        let valid_up_to = input.offset();
        Self {
            input,
            spans: Vec::new(),
            given: 0,
            in_transaction: false,
            valid_up_to,
        }
    }

    /// Where the last whole command or transaction ends, in bytes from the start.
    pub fn valid_up_to(&self) -> u64 {
        self.valid_up_to
    }

    /// The offset behind the command that was given last.
    pub fn offset(&self) -> u64 {
        self.input.offset() + self.given as u64
    }

    /// The next command; `None` at the end of a file that ends behind a whole command, outside a transaction.
    ///
    /// # Errors
    /// Any of [`Error`]. After one, the file cannot be read on.
    pub fn next_command(&mut self) -> Result<Option<Command<'_>>, Error> {
        self.input.advance(std::mem::take(&mut self.given));
        if self.input.buffer_len() > KEPT_BUFFER {
            self.input.shrink_buffer();
        }
        self.spans.clear();
        let Some(len) = self.find_command()? else {
            return Ok(None);
        };
        self.given = len;
        let command = Command {
            bytes: self.input.buffered(),
            spans: &self.spans,
        };
        if command.is("multi") {
            self.in_transaction = true;
        } else if command.is("exec") || command.is("discard") {
            self.in_transaction = false;
        }
        if !self.in_transaction {
            self.valid_up_to = self.input.offset() + len as u64;
        }
        Ok(Some(command))
    }

    /// Passes over annotations: lines that begin with `#`. One that was cut is a part of the tail.
    fn skip_annotations(&mut self) -> Result<(), Error> {
        loop {
            let Some(length) = self.read_part(0, annotation)? else {
                return if self.input.buffered().is_empty() {
                    Ok(())
                } else {
                    Err(Error::Truncated {
                        valid_up_to: self.valid_up_to,
                    })
                };
            };
            if length == 0 {
                return Ok(());
            }
            self.input.advance(length);
            if !self.in_transaction {
                self.valid_up_to = self.input.offset();
            }
        }
    }

    /// Finds the arguments of the command that begins where the input stands; answers its length in bytes.
    fn find_command(&mut self) -> Result<Option<usize>, Error> {
        self.skip_annotations()?;
        let Some((count, mut at)) = self.read_part(0, |bytes| line(bytes, b'*'))? else {
            return if self.in_transaction || !self.input.buffered().is_empty() {
                Err(Error::Truncated {
                    valid_up_to: self.valid_up_to,
                })
            } else {
                Ok(None)
            };
        };
        if count == 0 {
            return Err(Error::Format {
                offset: self.input.offset(),
                valid_up_to: self.valid_up_to,
            });
        }
        for _ in 0..count {
            let Some(span) = self.read_part(at, bulk)? else {
                return Err(Error::Truncated {
                    valid_up_to: self.valid_up_to,
                });
            };
            self.spans.push(at + span.start..at + span.end);
            at += span.end + b"\r\n".len();
        }
        Ok(Some(at))
    }

    /// What `parse` finds `at` bytes behind where the input stands, after reading as much as it needs; `None` where the file ends before.
    fn read_part<T>(
        &mut self,
        at: usize,
        parse: impl Fn(&[u8]) -> Part<T>,
    ) -> Result<Option<T>, Error> {
        loop {
            let bytes = self.input.buffered().get(at..).unwrap_or_default();
            let missing = match parse(bytes) {
                Part::Whole(found) => return Ok(Some(found)),
                Part::Bad => {
                    return Err(Error::Format {
                        offset: self.input.offset() + at as u64,
                        valid_up_to: self.valid_up_to,
                    });
                }
                Part::Cut(missing) => missing,
            };
            let wanted = bytes.len() + missing;
            while self.input.buffered().len() - at < wanted {
                if self.input.buffered().len() == self.input.buffer_len() {
                    // Twice what has arrived, whatever was announced.
                    self.input
                        .grow_buffer(self.input.buffer_len().saturating_mul(2));
                }
                if !self.input.read_more().map_err(io)? {
                    return Ok(None);
                }
            }
        }
    }
}

/// The length of the annotation that stands next; 0 where a command does.
fn annotation(bytes: &[u8]) -> Part<usize> {
    match bytes.first() {
        None => Part::Cut(1),
        Some(b'#') => {
            let seen = &bytes[..bytes.len().min(MAX_ANNOTATION)];
            match memchr::memchr(b'\n', seen) {
                Some(end) => Part::Whole(end + 1),
                None if seen.len() == MAX_ANNOTATION => Part::Bad,
                None => Part::Cut(1),
            }
        }
        Some(_) => Part::Whole(0),
    }
}

/// A line with a count, and its length.
fn line(bytes: &[u8], prefix: u8) -> Part<(u64, usize)> {
    if bytes.first().is_some_and(|&first| first != prefix) {
        return Part::Bad;
    }
    let seen = &bytes[..bytes.len().min(MAX_LINE)];
    let Some(end) = memchr::memchr(b'\n', seen) else {
        return if seen.len() == MAX_LINE {
            Part::Bad
        } else {
            Part::Cut(1)
        };
    };
    let count = seen[1..end]
        .strip_suffix(b"\r")
        .and_then(parse_i64)
        .and_then(|count| u64::try_from(count).ok());
    match count {
        Some(count) => Part::Whole((count, end + 1)),
        None => Part::Bad,
    }
}

/// Where the bytes of a bulk string lie. Its line end is passed over unseen, as Redis does when it loads; `redis-check-aof` looks at it.
fn bulk(bytes: &[u8]) -> Part<Range<usize>> {
    let (length, start) = match line(bytes, b'$') {
        Part::Whole(line) => line,
        Part::Cut(missing) => return Part::Cut(missing),
        Part::Bad => return Part::Bad,
    };
    let Some(end) = usize::try_from(length)
        .ok()
        .filter(|_| length <= MAX_ARGUMENT)
        .and_then(|length| start.checked_add(length))
    else {
        return Part::Bad;
    };
    let Some(whole) = end.checked_add(b"\r\n".len()) else {
        return Part::Bad;
    };
    match whole.checked_sub(bytes.len()) {
        None | Some(0) => Part::Whole(start..end),
        Some(missing) => Part::Cut(missing),
    }
}

fn io(error: rdb::Error) -> Error {
    match error {
        rdb::Error::Io(error) => Error::Io(error),
        other => Error::Io(std::io::Error::other(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode_command;
    use proptest::prelude::*;

    type Commands = Vec<Vec<Vec<u8>>>;

    /// All commands, and why it ended.
    fn read(bytes: &[u8]) -> (Commands, Result<u64, Error>) {
        let mut reader = Reader::after(Input::with_buffer(bytes, 512));
        let mut commands = Commands::new();
        loop {
            match reader.next_command() {
                Ok(Some(command)) => commands.push(command.args().map(<[u8]>::to_vec).collect()),
                Ok(None) => return (commands, Ok(reader.offset())),
                Err(error) => return (commands, Err(error)),
            }
        }
    }

    #[test]
    fn a_length_beyond_any_argument_is_damage_and_not_a_tail() {
        let cut = |length: u64| format!("*1\r\n${length}\r\nx").into_bytes();
        let (_, end) = read(&cut(MAX_ARGUMENT));
        assert!(matches!(end, Err(Error::Truncated { valid_up_to: 0 })));
        for length in [MAX_ARGUMENT + 1, u64::MAX] {
            let (_, end) = read(&cut(length));
            assert!(matches!(end, Err(Error::Format { .. })), "{length}");
        }
    }

    fn encode(commands: &Commands) -> Vec<u8> {
        let mut out = Vec::new();
        for command in commands {
            encode_command(&mut out, command.iter().map(Vec::as_slice));
        }
        out
    }

    fn words(text: &str) -> Vec<Vec<u8>> {
        text.split(' ')
            .map(|word| word.as_bytes().to_vec())
            .collect()
    }

    #[test]
    fn every_cut_ends_behind_the_last_whole_command_or_transaction() {
        let lines = [
            "set a 1", "multi", "incr a", "incr a", "exec", "MULTI", "Exec", "set b 2", "MULTI",
            "DISCARD", "del a",
        ];
        let commands: Commands = lines.map(words).to_vec();
        // Where it is safe to cut: behind each command outside a transaction.
        let mut safe = vec![0];
        for (index, line) in lines.iter().enumerate() {
            if !line.eq_ignore_ascii_case("multi") && *line != "incr a" {
                safe.push(encode(&commands[..=index].to_vec()).len() as u64);
            }
        }
        let file = encode(&commands);
        for len in 0..=file.len() {
            let last = *safe.iter().rfind(|&&at| at <= len as u64).unwrap();
            let (read, end) = read(&file[..len]);
            assert!(commands.starts_with(&read));
            match end {
                Ok(offset) => assert_eq!((offset, last), (len as u64, len as u64)),
                Err(Error::Truncated { valid_up_to }) => {
                    assert_eq!(valid_up_to, last, "cut at {len}");
                }
                Err(other) => panic!("{other}"),
            }
        }
    }

    #[test]
    fn annotations_are_passed_over() {
        let mut file = Vec::new();
        crate::encode_timestamp(&mut file, 1_700_000_000);
        file.extend(encode(&vec![words("set a 1"), words("multi")]));
        crate::encode_timestamp(&mut file, 1_700_000_001);
        file.extend(encode(&vec![words("incr a"), words("exec")]));
        let whole = file.len() as u64;
        crate::encode_timestamp(&mut file, 1_700_000_002);
        let (commands, end) = read(&file);
        assert_eq!(commands.len(), 4);
        assert_eq!(end.unwrap(), file.len() as u64);
        // Half of one is a tail that is cut: otherwise it would run into what is written next.
        let (commands, end) = read(&file[..file.len() - 1]);
        assert_eq!(commands.len(), 4);
        assert!(matches!(end, Err(Error::Truncated { valid_up_to }) if valid_up_to == whole));
        let long = [b"#".to_vec(), b"x".repeat(2000)].concat();
        assert!(matches!(
            read(&long).1,
            Err(Error::Format { offset: 0, .. })
        ));
    }

    #[test]
    fn damage_is_no_truncation() {
        for (bytes, at) in [
            (&b"!!!*1\r\n"[..], 0),
            (b"*1\r\n$4\r\nPING\r\n!!!", 14),
            (b"*0\r\n", 0),
            (b"*-1\r\n", 0),
            (b"*x\r\n", 0),
            (b"*1\n$4\r\nPING\r\n", 0),
            (b"*2\r\n$4\r\nPING\r\n:1\r\n", 14),
            (b"*1\r\n$-4\r\n", 4),
            (b"*1\r\n$2\r\nPING\r\n", 12),
            (b"*1\r\n$99999999999999999999\r\n", 4),
        ] {
            match read(bytes).1 {
                Err(Error::Format { offset, .. }) => {
                    assert_eq!(offset, at, "{}", bytes.escape_ascii());
                }
                other => panic!("{}: {other:?}", bytes.escape_ascii()),
            }
        }
        let endless = [b"*".to_vec(), b"1".repeat(200)].concat();
        assert!(matches!(
            read(&endless).1,
            Err(Error::Format { offset: 0, .. })
        ));
    }

    #[test]
    fn what_ends_a_bulk_is_not_looked_at_but_must_be_there() {
        let file = b"*2\r\n$3\r\nGET\0\n$1\r\nk*2*1\r\n$4\r\nPING\n\n";
        let (commands, end) = read(file);
        assert_eq!(commands, [words("GET k"), words("PING")]);
        assert_eq!(end.unwrap(), file.len() as u64);
        let (commands, end) = read(&file[..file.len() - 1]);
        assert_eq!(commands, [words("GET k")]);
        assert!(matches!(end, Err(Error::Truncated { valid_up_to: 20 })));
    }

    #[test]
    fn an_announced_length_costs_nothing() {
        let mut reader = Reader::new(&b"*1000000000\r\n$400000000\r\nabc"[..]);
        assert!(matches!(
            reader.next_command(),
            Err(Error::Truncated { valid_up_to: 0 })
        ));
        assert!(reader.input.buffer_len() <= KEPT_BUFFER);
    }

    #[test]
    fn a_big_command_gives_its_memory_back() {
        let commands = vec![
            vec![b"SET".to_vec(), b"k".to_vec(), vec![b'x'; 5 << 20]],
            words("PING"),
        ];
        let file = encode(&commands);
        let mut reader = Reader::new(&file[..]);
        assert_eq!(
            reader
                .next_command()
                .unwrap()
                .unwrap()
                .args()
                .nth(2)
                .unwrap()
                .len(),
            5 << 20
        );
        assert!(reader.next_command().unwrap().unwrap().is("ping"));
        assert!(reader.input.buffer_len() <= KEPT_BUFFER);
        assert!(reader.next_command().unwrap().is_none());
    }

    #[test]
    fn commands_behind_an_rdb_file() {
        let mut file = b"REDIS0006\xff\0\0\0\0\0\0\0\0".to_vec();
        encode_command(&mut file, [&b"PING"[..]]);
        let mut input = Input::new(&file[..]);
        assert!(begins_with_rdb(&mut input).unwrap());
        let mut preamble = rdb::Reader::open(input, rdb::Options::default()).unwrap();
        assert!(preamble.next_record().unwrap().is_none());
        let mut reader = Reader::after(preamble.into_input());
        assert_eq!(reader.valid_up_to(), 18);
        assert!(reader.next_command().unwrap().unwrap().is("ping"));
        assert!(reader.next_command().unwrap().is_none());
        assert_eq!(reader.valid_up_to(), file.len() as u64);
        assert!(!begins_with_rdb(&mut Input::new(&b"*1\r\n"[..])).unwrap());
        assert!(!begins_with_rdb(&mut Input::new(&b"REDI"[..])).unwrap());
    }

    proptest! {
        #[test]
        fn round_trip(commands in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 1..6), 0..20)) {
            let file = encode(&commands);
            let (read, end) = read(&file);
            prop_assert_eq!(read, commands);
            prop_assert_eq!(end.unwrap(), file.len() as u64);
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(prop::sample::select(&b"*$0123456789\r\n-a"[..]), 0..200)) {
            let _ = read(&bytes);
        }
    }
}
