//! The manifest of an append-only file in parts: which files make it, in which order. A base holds the data at one moment, increments
//! what was written since, and history files are of no use any more. Reading, writing and removing files is the business of others.

use std::fmt;

/// Behind the name of the append-only file it is the manifest's.
pub const MANIFEST_SUFFIX: &str = ".manifest";

/// The longest line, with its end.
const MAX_LINE: usize = 1024;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartKind {
    /// The data at one moment.
    Base,
    /// What was written since.
    Increment,
    /// Neither: it waits for its removal.
    History,
}

impl PartKind {
    fn letter(self) -> char {
        match self {
            Self::Base => 'b',
            Self::Increment => 'i',
            Self::History => 'h',
        }
    }
}

/// One of the files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartFile {
    /// Its name, without a folder.
    pub name: Vec<u8>,
    /// Its number among those of its kind.
    pub number: i64,
    /// What it is.
    pub kind: PartKind,
}

/// The files of an append-only file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    base: Option<PartFile>,
    history: Vec<PartFile>,
    increments: Vec<PartFile>,
    /// The numbers that were given last.
    base_number: i64,
    increment_number: i64,
}

/// Why a manifest is refused. Printed, it is what the log says before the server gives up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError {
    /// The number of the line and its text, where it is about one.
    pub line: Option<(usize, String)>,
    /// The rule that is broken.
    pub what: &'static str,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\n*** FATAL AOF MANIFEST FILE ERROR ***\n")?;
        if let Some((number, text)) = &self.line {
            writeln!(f, "Reading the manifest file, at line {number}")?;
            writeln!(f, ">>> '{text}'")?;
        }
        f.write_str(self.what)
    }
}

impl std::error::Error for ManifestError {}

const FORMAT: &str = "Invalid AOF manifest file format";

impl Manifest {
    /// Reads a manifest.
    ///
    /// # Errors
    /// The first rule that is broken, and where.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let mut manifest = Self::default();
        let mut lines = 0;
        for (index, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
            lines = index + 1;
            if line.starts_with(b"#") {
                continue;
            }
            if line.len() > MAX_LINE || !line.ends_with(b"\n") {
                return Err(ManifestError {
                    line: None,
                    what: "The AOF manifest file contains too long line",
                });
            }
            let line = trim(line);
            let added = part_of(line).and_then(|part| manifest.add(part));
            added.map_err(|what| ManifestError {
                line: Some((lines, String::from_utf8_lossy(line).into_owned())),
                what,
            })?;
        }
        if lines == 0 {
            return Err(ManifestError {
                line: None,
                what: "Found an empty AOF manifest",
            });
        }
        Ok(manifest)
    }

    fn add(&mut self, part: PartFile) -> Result<(), &'static str> {
        match part.kind {
            PartKind::Base if self.base.is_some() => {
                return Err("Found duplicate base file information");
            }
            PartKind::Base => {
                self.base_number = part.number;
                self.base = Some(part);
            }
            PartKind::History => self.history.push(part),
            PartKind::Increment if part.number <= self.increment_number => {
                return Err("Found a non-monotonic sequence number");
            }
            PartKind::Increment => {
                self.increment_number = part.number;
                self.increments.push(part);
            }
        }
        Ok(())
    }

    /// The manifest as bytes of its file: the base, the history, the increments.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let parts = self.base.iter().chain(&self.history);
        for part in parts.chain(&self.increments) {
            out.extend_from_slice(b"file ");
            if needs_quotes(&part.name) {
                resp::args::quote(&part.name, &mut out);
            } else {
                out.extend_from_slice(&part.name);
            }
            let (number, letter) = (part.number, part.kind.letter());
            out.extend_from_slice(format!(" seq {number} type {letter}\n").as_bytes());
        }
        out
    }

    /// Whether there is nothing to load.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.base.is_none() && self.increments.is_empty()
    }

    /// The base.
    #[must_use]
    pub fn base(&self) -> Option<&PartFile> {
        self.base.as_ref()
    }

    /// The increments in order.
    #[must_use]
    pub fn increments(&self) -> &[PartFile] {
        &self.increments
    }

    /// The files to load, in order.
    pub fn parts(&self) -> impl Iterator<Item = &PartFile> {
        self.base.iter().chain(&self.increments)
    }

    /// Whether it is one file of an older release that was to be taken over, and nothing else: then a crash may have come between
    /// the manifest and the move of the file.
    #[must_use]
    pub fn is_takeover_of(&self, file_name: &[u8]) -> bool {
        let taken = |base: &PartFile| base.name == file_name;
        self.increments.is_empty() && self.base.as_ref().is_some_and(taken)
    }

    /// The manifest of a single file of an older release: it is the base.
    #[must_use]
    pub fn of_single_file(file_name: &[u8]) -> Self {
        Self {
            base: Some(PartFile {
                name: file_name.to_vec(),
                number: 1,
                kind: PartKind::Base,
            }),
            base_number: 1,
            ..Self::default()
        }
    }

    /// A new base takes the old one's place, which becomes history; the name of its file. `rdb` says in which format it is.
    pub fn add_base(&mut self, file_name: &[u8], rdb: bool) -> Vec<u8> {
        if let Some(mut old) = self.base.take() {
            old.kind = PartKind::History;
            self.history.insert(0, old);
        }
        self.base_number = self.base_number.saturating_add(1);
        let suffix = if rdb { ".base.rdb" } else { ".base.aof" };
        let name = numbered(file_name, self.base_number, suffix);
        self.base = Some(PartFile {
            name: name.clone(),
            number: self.base_number,
            kind: PartKind::Base,
        });
        name
    }

    /// A new increment follows; the name of its file.
    pub fn add_increment(&mut self, file_name: &[u8]) -> Vec<u8> {
        self.increment_number = self.increment_number.saturating_add(1);
        let name = numbered(file_name, self.increment_number, ".incr.aof");
        self.increments.push(PartFile {
            name: name.clone(),
            number: self.increment_number,
            kind: PartKind::Increment,
        });
        name
    }

    /// All increments but the last `keep` are in the base by now, and become history.
    pub fn retire_increments(&mut self, keep: usize) {
        let retired = self.increments.len().saturating_sub(keep);
        for mut part in self.increments.drain(..retired) {
            part.kind = PartKind::History;
            self.history.insert(0, part);
        }
    }

    /// Takes the history out: its files can be removed once a manifest without them is on the disk.
    pub fn take_history(&mut self) -> Vec<PartFile> {
        std::mem::take(&mut self.history)
    }
}

fn numbered(file_name: &[u8], number: i64, suffix: &str) -> Vec<u8> {
    [file_name, format!(".{number}{suffix}").as_bytes()].concat()
}

/// The file that a line tells of.
fn part_of(line: &[u8]) -> Result<PartFile, &'static str> {
    let words = resp::args::split(line).ok_or(FORMAT)?;
    // Later releases may add words.
    if words.len() < 6 || !words.len().is_multiple_of(2) {
        return Err(FORMAT);
    }
    let (mut name, mut number, mut letter) = (None, 0, None);
    for pair in words.chunks_exact(2) {
        let (word, value) = (&pair[0], &pair[1]);
        if word.eq_ignore_ascii_case(b"file") {
            if !is_base_name(value) {
                return Err("File can't be a path, just a filename");
            }
            name = Some(value.clone());
        } else if word.eq_ignore_ascii_case(b"seq") {
            number = resp::number::parse_i64(value).unwrap_or(0);
        } else if word.eq_ignore_ascii_case(b"type") {
            letter = value.first().copied();
        }
    }
    let (Some(name), Some(letter), 1..) = (name, letter, number) else {
        return Err(FORMAT);
    };
    let kind = match letter {
        b'b' => PartKind::Base,
        b'h' => PartKind::History,
        b'i' => PartKind::Increment,
        _ => return Err("Unknown AOF file type"),
    };
    Ok(PartFile { name, number, kind })
}

/// Whether it names a file in a folder, and nothing outside it.
fn is_base_name(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..") && !name.iter().any(|byte| b"/\\\0".contains(byte))
}

fn needs_quotes(name: &[u8]) -> bool {
    name.is_empty()
        || name
            .iter()
            .any(|byte| !byte.is_ascii_graphic() || b"\\\"'".contains(byte))
}

fn trim(line: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| b" \t\r\n".contains(byte);
    let start = line.iter().position(|byte| !is_blank(byte));
    let end = line.iter().rposition(|byte| !is_blank(byte));
    match (start, end) {
        (Some(start), Some(end)) => &line[start..=end],
        _ => b"",
    }
}

/// Which of the parts to be loaded may end too early, as a crash leaves it, by their sizes in order: the last one. Where that is an
/// increment and empty, it is the one before it: a rewrite names the next increment while this one is still written to, and may fail.
#[must_use]
pub fn last_written(sizes: impl IntoIterator<Item = u64>, has_base: bool) -> usize {
    let sizes: Vec<u64> = sizes.into_iter().collect();
    match sizes.iter().rposition(|size| *size > 0) {
        Some(index) if index > 0 || !has_base => index,
        _ => sizes.len().saturating_sub(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_end_too_early_is_the_last_part_that_holds_something() {
        assert_eq!(last_written([10, 5, 7], true), 2);
        assert_eq!(last_written([10, 5, 0], true), 1);
        assert_eq!(last_written([10, 5, 0, 0], true), 1);
        assert_eq!(last_written([5, 0], false), 0);
        // A base was whole before it was named.
        assert_eq!(last_written([10, 0], true), 1);
        assert_eq!(last_written([0, 0], true), 1);
        assert_eq!(last_written([], false), 0);
    }
    use proptest::prelude::*;

    const NAME: &[u8] = b"appendonly.aof";

    fn text(manifest: &Manifest) -> String {
        String::from_utf8(manifest.to_bytes()).unwrap()
    }

    #[test]
    fn a_rewrite_makes_history_of_what_it_replaces() {
        let mut manifest = Manifest::default();
        assert_eq!(manifest.add_base(NAME, true), b"appendonly.aof.1.base.rdb");
        assert_eq!(manifest.add_increment(NAME), b"appendonly.aof.1.incr.aof");
        // A rewrite begins with a new increment, and fails; the next one succeeds.
        manifest.add_increment(NAME);
        manifest.add_increment(NAME);
        manifest.add_base(NAME, false);
        manifest.retire_increments(1);
        assert_eq!(
            text(&manifest),
            "file appendonly.aof.2.base.aof seq 2 type b\n\
             file appendonly.aof.2.incr.aof seq 2 type h\n\
             file appendonly.aof.1.incr.aof seq 1 type h\n\
             file appendonly.aof.1.base.rdb seq 1 type h\n\
             file appendonly.aof.3.incr.aof seq 3 type i\n"
        );
        assert_eq!(Manifest::parse(&manifest.to_bytes()), Ok(manifest.clone()));
        assert_eq!(manifest.take_history().len(), 3);
        let names: Vec<_> = manifest.parts().map(|part| part.number).collect();
        assert_eq!(names, [2, 3]);
        // Numbers go on where they were.
        let mut again = Manifest::parse(&manifest.to_bytes()).unwrap();
        assert_eq!(again.add_increment(NAME), b"appendonly.aof.4.incr.aof");
    }

    #[test]
    fn a_single_file_becomes_the_base() {
        let manifest = Manifest::of_single_file(NAME);
        assert_eq!(text(&manifest), "file appendonly.aof seq 1 type b\n");
        assert!(manifest.is_takeover_of(NAME) && !manifest.is_takeover_of(b"other"));
        let mut manifest = Manifest::parse(&manifest.to_bytes()).unwrap();
        manifest.add_increment(NAME);
        assert!(!manifest.is_takeover_of(NAME));
        assert_eq!(manifest.add_base(NAME, true), b"appendonly.aof.2.base.rdb");
    }

    #[test]
    fn what_redis_writes_is_read() {
        let manifest = Manifest::parse(
            b"# a comment\nfile \"a \\x41\\n.aof\" seq 7 type b startoffset 5\n FILE b SEQ 1 TYPE i \r\n",
        )
        .unwrap();
        let parts: Vec<_> = manifest.parts().collect();
        assert_eq!(parts[0].name, b"a A\n.aof");
        assert_eq!((parts[0].number, &parts[1].name[..]), (7, &b"b"[..]));
        assert_eq!(
            text(&manifest),
            "file \"a A\\n.aof\" seq 7 type b\nfile b seq 1 type i\n"
        );
    }

    #[test]
    fn what_breaks_a_rule_is_refused_with_its_line() {
        let long = [b"file ", &[b'a'; 2000][..], b" seq 1 type b\n"].concat();
        for (bytes, line, what) in [
            (&b""[..], None, "Found an empty AOF manifest"),
            (b"\n", Some(1), FORMAT),
            (b"file a seq 1\n", Some(1), FORMAT),
            (b"file a seq 1 type b more\n", Some(1), FORMAT),
            (b"file a seq 0 type b\n", Some(1), FORMAT),
            (b"file a seq x type b\n", Some(1), FORMAT),
            (b"file \"a seq 1 type b\n", Some(1), FORMAT),
            (b"seq 1 type b type b\n", Some(1), FORMAT),
            (
                b"file a seq 1 type b",
                None,
                "The AOF manifest file contains too long line",
            ),
            (&long, None, "The AOF manifest file contains too long line"),
            (
                b"file ../a seq 1 type b\n",
                Some(1),
                "File can't be a path, just a filename",
            ),
            (
                b"file .. seq 1 type b\n",
                Some(1),
                "File can't be a path, just a filename",
            ),
            (b"file a seq 1 type x\n", Some(1), "Unknown AOF file type"),
            (
                b"file a seq 1 type b\nfile b seq 2 type b\n",
                Some(2),
                "Found duplicate base file information",
            ),
            (
                b"file a seq 2 type i\nfile b seq 2 type i\n",
                Some(2),
                "Found a non-monotonic sequence number",
            ),
        ] {
            let error = Manifest::parse(bytes).unwrap_err();
            assert_eq!(error.what, what, "{}", bytes.escape_ascii());
            assert_eq!(error.line.as_ref().map(|(number, _)| *number), line);
            assert!(error.to_string().ends_with(what));
        }
        let error = Manifest::parse(b"# x\nfile a seq 1 type x\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "\n*** FATAL AOF MANIFEST FILE ERROR ***\nReading the manifest file, at line 2\n>>> 'file a seq 1 type x'\nUnknown AOF file type"
        );
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in prop::collection::vec(any::<u8>().prop_filter("a path", |byte| !b"/\\\0".contains(byte)), 1..40)) {
            prop_assume!(is_base_name(&name));
            let mut manifest = Manifest::of_single_file(&name);
            manifest.add_increment(&name);
            prop_assert_eq!(Manifest::parse(&manifest.to_bytes()), Ok(manifest));
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(prop::sample::select(&b"file seq type bih 0123 \"\\x\n#/."[..]), 0..200)) {
            if let Ok(manifest) = Manifest::parse(&bytes) {
                prop_assert_eq!(Manifest::parse(&[&b"#\n"[..], &manifest.to_bytes()].concat()), Ok(manifest));
            }
        }
    }
}
