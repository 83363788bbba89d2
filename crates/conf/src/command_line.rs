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
        // What follows a name that has no value yet is its value, even if it looks like a name.
        let mut lacks_value = false;
        let mut following = arguments.iter().skip(1);
        for argument in arguments {
            let next = following.next();
            let is_name = |word: &&&[u8]| word.starts_with(b"--");
            match argument.strip_prefix(b"--").filter(|_| !lacks_value) {
                Some(name) => {
                    if !options.is_empty() {
                        options.push(b'\n');
                    }
                    options.extend_from_slice(name);
                    options.push(b' ');
                    lacks_value = args::split(argument).is_some_and(|words| words.len() == 1);
                    // These two need none: the first is empty then, the second no directive.
                    let is_save = name.eq_ignore_ascii_case(b"save");
                    let needs_none = is_save || name.eq_ignore_ascii_case(b"sentinel");
                    if needs_none && next.is_none_or(|next| is_name(&next)) {
                        options.extend_from_slice(if is_save { b"\"\"" } else { b"" });
                        lacks_value = false;
                    }
                }
                None => {
                    args::quote(argument, &mut options);
                    options.push(b' ');
                    lacks_value = false;
                }
            }
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

    #[test]
    fn a_value_may_look_like_a_name() {
        let text = |line: &str| String::from_utf8(run(line).text(b"")).unwrap();
        assert_eq!(
            text("--proc-title-template --my --loglevel debug"),
            "\nproc-title-template \"--my\" \nloglevel \"debug\" "
        );
        assert_eq!(
            text("--save --loglevel debug --save"),
            "\nsave \"\"\nloglevel \"debug\" \nsave \"\""
        );
        assert_eq!(text("--sentinel --port 1"), "\nsentinel \nport \"1\" ");
        let both = Invocation::from_command_line(&["--maxmemory 1mb", "--port", "2"]);
        let Invocation::Run(both) = both else {
            panic!("{both:?}")
        };
        assert_eq!(both.text(b""), b"\nmaxmemory 1mb \nport \"2\" ");
    }
}
