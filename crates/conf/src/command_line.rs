//! The daemon's command line: `server [file|-] [--directive value …]`. Directives on it are configuration lines that come
//! after those of the file.

use resp::args;

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invocation {
    /// `-v` or `--version`.
    Version,
    /// `-h` or `--help`.
    Help,
    /// `--test-memory megabytes`; `None` when the amount is missing.
    TestMemory(Option<Vec<u8>>),
    /// Nothing was given: run with the defaults, the three save points among them.
    Default,
    /// Run with a configuration.
    Run(Run),
}

/// A run with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Where the configuration's file is, if it has one.
    pub source: Option<Source>,
    /// The directives of the command line, a line each.
    pub options: Vec<u8>,
    /// `--sentinel` was among them.
    pub sentinel: bool,
}

/// Where configuration text comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `-`
    StandardInput,
    /// A file.
    File(Vec<u8>),
}

impl Invocation {
    /// Reads the arguments of a program, without its name.
    #[must_use]
    pub fn from_command_line<A: AsRef<[u8]>>(arguments: &[A]) -> Invocation {
        let arguments: Vec<&[u8]> = arguments.iter().map(AsRef::as_ref).collect();
        match arguments[..] {
            [] => Invocation::Default,
            [b"-v" | b"--version", ..] => Invocation::Version,
            [b"-h" | b"--help", ..] => Invocation::Help,
            [b"--test-memory", megabytes] => Invocation::TestMemory(Some(megabytes.to_vec())),
            [b"--test-memory", ..] => Invocation::TestMemory(None),
            [first, ref rest @ ..] if !first.starts_with(b"--") => {
                let source = if first == b"-" {
                    Source::StandardInput
                } else {
                    Source::File(first.to_vec())
                };
                Invocation::Run(Run::new(Some(source), rest))
            }
            ref all => Invocation::Run(Run::new(None, all)),
        }
    }
}

impl Run {
    fn new(source: Option<Source>, arguments: &[&[u8]]) -> Run {
        let mut options = Vec::new();
        for argument in arguments {
            match argument.strip_prefix(b"--") {
                Some(name) => {
                    if !options.is_empty() {
                        options.push(b'\n');
                    }
                    options.extend_from_slice(name);
                }
                None => args::quote(argument, &mut options),
            }
            options.push(b' ');
        }
        let sentinel = arguments.contains(&&b"--sentinel"[..]);
        Run {
            source,
            options,
            sentinel,
        }
    }

    /// The whole text to load, when `file` is the text of the file (empty without one). Line numbers in errors count from
    /// the file's first line, so those of the command line come after all of it.
    #[must_use]
    pub fn text(&self, file: &[u8]) -> Vec<u8> {
        [file, b"\n", &self.options].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invocation(line: &str) -> Invocation {
        Invocation::from_command_line(&line.split_whitespace().collect::<Vec<_>>())
    }

    fn run(line: &str) -> Run {
        match invocation(line) {
            Invocation::Run(run) => run,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn knows_the_special_forms() {
        assert_eq!(invocation(""), Invocation::Default);
        assert_eq!(invocation("-v"), Invocation::Version);
        assert_eq!(invocation("--version x"), Invocation::Version);
        assert_eq!(invocation("-h"), Invocation::Help);
        assert_eq!(
            invocation("--test-memory 10"),
            Invocation::TestMemory(Some(b"10".to_vec()))
        );
        assert_eq!(invocation("--test-memory"), Invocation::TestMemory(None));
    }

    #[test]
    fn directives_become_lines_after_the_file() {
        let both = run("/etc/x.conf --port 7777 --slaveof 127.0.0.1 8888");
        assert_eq!(both.source, Some(Source::File(b"/etc/x.conf".to_vec())));
        let text = both.text(b"hz 10\nport 1");
        assert_eq!(
            text,
            b"hz 10\nport 1\nport \"7777\" \nslaveof \"127.0.0.1\" \"8888\" "
        );
        assert_eq!(run("-").source, Some(Source::StandardInput));
        assert!(run("x.conf --sentinel").sentinel);
        assert_eq!(run("--foo").text(b""), b"\nfoo ");
    }
}
