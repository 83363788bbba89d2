//! What a primary sends a replica on a connection: lines, and a dump that begins with one. However the bytes are cut.

/// The longest line that a primary may answer during the handshake.
const MOST_LINE_BYTES: usize = 4096;
/// Length of the mark that ends a streamed dump.
const MARK_BYTES: usize = 40;
/// A dump of more bytes than this is nothing that a primary would send.
const MOST_DUMP_BYTES: u64 = 1 << 48;

/// Cuts bytes into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// A line that is not whole.
    partial: Vec<u8>,
}

impl Lines {
    /// Takes bytes up to the end of a line; the line without its end, if it is whole and not empty, and what is left. Empty lines only show
    /// that the primary lives. None where the line is too long.
    pub(crate) fn take<'a>(&mut self, bytes: &'a [u8]) -> Option<(Option<Vec<u8>>, &'a [u8])> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (now, rest) = bytes.split_at(end.map_or(bytes.len(), |at| at + 1));
        self.partial.extend_from_slice(now);
        if self.partial.len() > MOST_LINE_BYTES {
            return None;
        }
        if end.is_none() {
            return Some((None, rest));
        }
        let line = std::mem::take(&mut self.partial);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        Some(((!line.is_empty()).then(|| line.to_vec()), rest))
    }

    /// Forgets the beginning of a line.
    pub(crate) fn clear(&mut self) {
        self.partial.clear();
    }
}

/// What becomes of bytes of a dump.
#[derive(Debug, PartialEq, Eq)]
pub enum DumpPart {
    /// A dump comes: its length, or none where a mark will end it.
    Begin(Option<u64>),
    /// Bytes of the dump.
    Bytes(Vec<u8>),
    /// It is whole.
    Whole,
}

/// A dump that comes: a line that tells its length, or the mark that ends it, and its bytes.
#[derive(Debug, Default)]
pub struct Transfer {
    stage: Stage,
    lines: Lines,
    /// The mark, and bytes that may be its beginning.
    mark: Vec<u8>,
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Header,
    Counted {
        left: u64,
    },
    Marked,
    Whole,
}

impl Transfer {
    /// How many bytes of a dump of known length are still to come.
    pub(crate) fn left(&self) -> Option<u64> {
        match self.stage {
            Stage::Counted { left } => Some(left),
            _ => None,
        }
    }

    /// Whether it is whole.
    pub fn is_whole(&self) -> bool {
        self.stage == Stage::Whole
    }

    /// Takes bytes, and tells what became of them; those behind the dump are left.
    ///
    /// # Errors
    /// What is wrong with the line that begins it.
    pub fn take<'a>(
        &mut self,
        mut bytes: &'a [u8],
        mut tell: impl FnMut(DumpPart),
    ) -> Result<&'a [u8], String> {
        while !bytes.is_empty() {
            bytes = match self.stage {
                Stage::Header => {
                    let (line, rest) = self
                        .lines
                        .take(bytes)
                        .ok_or("PRIMARY sent a line without an end instead of a dump")?;
                    if let Some(line) = line {
                        self.header(&String::from_utf8_lossy(&line), &mut tell)?;
                    }
                    rest
                }
                Stage::Counted { left } => self.counted(bytes, left, &mut tell),
                Stage::Marked => self.marked(bytes, &mut tell),
                Stage::Whole => break,
            };
        }
        Ok(bytes)
    }

    fn header(&mut self, line: &str, tell: &mut impl FnMut(DumpPart)) -> Result<(), String> {
        let Some(length) = line.strip_prefix('$') else {
            return Err(match line.strip_prefix('-') {
                Some(error) => format!("PRIMARY aborted replication with an error: {error}"),
                None => format!(
                    "Bad protocol from PRIMARY, the first byte is not '$' (we received '{line}'), are you sure the host and port are right?"
                ),
            });
        };
        if let Some(mark) = length.strip_prefix("EOF:")
            && mark.len() == MARK_BYTES
        {
            self.mark = mark.as_bytes().to_vec();
            self.stage = Stage::Marked;
            tell(DumpPart::Begin(None));
            return Ok(());
        }
        let bytes = length.parse::<u64>().ok();
        let Some(left) = bytes.filter(|bytes| *bytes <= MOST_DUMP_BYTES) else {
            return Err(format!(
                "Bad protocol from PRIMARY: '{line}' is no length of a dump"
            ));
        };
        self.stage = Stage::Counted { left };
        tell(DumpPart::Begin(Some(left)));
        if left == 0 {
            self.whole(tell);
        }
        Ok(())
    }

    /// Takes the bytes of a dump of known length; what is left.
    fn counted<'a>(
        &mut self,
        bytes: &'a [u8],
        left: u64,
        tell: &mut impl FnMut(DumpPart),
    ) -> &'a [u8] {
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let (now, rest) = bytes.split_at(take);
        tell(DumpPart::Bytes(now.to_vec()));
        let left = left - take as u64;
        self.stage = Stage::Counted { left };
        if left == 0 {
            self.whole(tell);
        }
        rest
    }

    /// Takes the bytes of a dump that a mark ends; what is left. Up to a mark's length is held back, in case it is the mark.
    fn marked<'a>(&mut self, bytes: &'a [u8], tell: &mut impl FnMut(DumpPart)) -> &'a [u8] {
        let held = self.held.len();
        self.held.extend_from_slice(bytes);
        // The primary sends nothing behind the mark until we have answered, so the mark is at the end of what was received.
        if self.held.ends_with(&self.mark) {
            self.held.truncate(self.held.len() - MARK_BYTES);
            tell(DumpPart::Bytes(std::mem::take(&mut self.held)));
            self.whole(tell);
        } else if held + bytes.len() > MARK_BYTES {
            let keep = self.held.split_off(self.held.len() - MARK_BYTES);
            tell(DumpPart::Bytes(std::mem::replace(&mut self.held, keep)));
        }
        &[]
    }

    fn whole(&mut self, tell: &mut impl FnMut(DumpPart)) {
        self.stage = Stage::Whole;
        tell(DumpPart::Whole);
    }
}
