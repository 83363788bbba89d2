//! Where the lines go. A file is opened for each line, so that whoever rotates it needs no signal and a line is
//! never written into a file that was moved away.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tracing_subscriber::fmt::MakeWriter;

/// The destination of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Standard output.
    Stdout,
    /// A file, created when it is missing and appended to.
    File(PathBuf),
    /// Nowhere: a daemon without a terminal and without a log file.
    Discard,
}

impl Sink {
    /// Tries to open the destination, so that a wrong path is told at once and not by silence.
    pub(crate) fn probe(&self) -> io::Result<()> {
        match self {
            Self::File(path) => open(path).map(drop),
            Self::Stdout | Self::Discard => Ok(()),
        }
    }
}

/// A sink that can be replaced while lines are being written.
#[derive(Clone, Debug)]
pub(crate) struct SharedSink(Arc<RwLock<Sink>>);

impl SharedSink {
    pub(crate) fn new(sink: Sink) -> Self {
        Self(Arc::new(RwLock::new(sink)))
    }

    pub(crate) fn replace(&self, sink: Sink) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = sink;
    }
}

impl<'a> MakeWriter<'a> for SharedSink {
    type Writer = LineWriter;

    fn make_writer(&'a self) -> LineWriter {
        match &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            Sink::Stdout => LineWriter::Stdout,
            // A log that cannot be written must not stop the daemon: the line is lost, as it is with Redis.
            Sink::File(path) => open(path).map_or(LineWriter::Discard, LineWriter::File),
            Sink::Discard => LineWriter::Discard,
        }
    }
}

/// Writes one line.
pub(crate) enum LineWriter {
    Stdout,
    File(File),
    Discard,
}

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(line)
                    .and_then(|()| out.flush())
                    .map(|()| line.len())
            }
            Self::File(file) => file.write(line),
            Self::Discard => Ok(line.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}
