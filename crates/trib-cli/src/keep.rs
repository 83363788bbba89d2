//! Copies of keys that lose against the owner's value, kept in a file so that nothing is lost by a repair.
//!
//! The file holds one RESTORE command for each copy, as a client sends it: `redis-cli --pipe < FILE` brings them
//! back. It is made when the first copy comes.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use client::Command;

use crate::error::describe_io;

/// One copy of a key.
#[derive(Clone, Copy, Debug)]
pub struct Copy<'a> {
    /// The key.
    pub key: &'a [u8],
    /// How long it had to live, in milliseconds; not positive where it does not expire.
    pub millis_left: i64,
    /// What DUMP answered.
    pub payload: &'a [u8],
}

/// Keeps copies in a file of a folder.
#[derive(Debug)]
pub struct Keeper {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    file: Option<File>,
    copies: usize,
}

impl Keeper {
    /// Keeps copies in a file of this name, which must not exist.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            state: Mutex::default(),
        }
    }

    /// Keeps one copy. It is on the disk after [`Keeper::sync`].
    ///
    /// # Errors
    ///
    /// The line to show: the file cannot be made or written.
    pub fn put(&self, copy: &Copy<'_>) -> Result<(), String> {
        let command = Command::from(["RESTORE"])
            .arg(copy.key)
            .number(copy.millis_left.max(0))
            .arg(copy.payload);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match &mut state.file {
            Some(file) => file,
            empty => empty.insert(self.create()?),
        };
        file.write_all(&command.to_bytes())
            .map_err(|error| self.failed(&error))?;
        state.copies += 1;
        Ok(())
    }

    /// Brings to the disk what was kept.
    ///
    /// # Errors
    ///
    /// The line to show.
    pub fn sync(&self) -> Result<(), String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let synced = state.file.as_ref().map_or(Ok(()), File::sync_data);
        synced.map_err(|error| self.failed(&error))
    }

    /// How many copies were kept.
    #[must_use]
    pub fn copies(&self) -> usize {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .copies
    }

    /// Where they are.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Others' data is for nobody else to read.
    fn create(&self) -> Result<File, String> {
        let mut options = File::options();
        let opened = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.path);
        opened.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &std::io::Error) -> String {
        let (path, reason) = (self.path.display(), describe_io(error));
        format!("a copy that differs cannot be kept in {path}: {reason}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_restore_commands_and_no_file_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kept.resp");
        let keeper = Keeper::new(&path);
        let copy = |millis_left| Copy {
            key: b"k",
            millis_left,
            payload: b"\x00\r\n",
        };
        assert!(!path.exists());
        keeper.put(&copy(-1)).unwrap();
        keeper.put(&copy(70)).unwrap();
        keeper.sync().unwrap();
        assert_eq!(keeper.copies(), 2);
        let head = b"*4\r\n$7\r\nRESTORE\r\n$1\r\nk\r\n".as_slice();
        let tail = b"\r\n$3\r\n\x00\r\n\r\n".as_slice();
        let expected = [head, b"$1\r\n0", tail, head, b"$2\r\n70", tail].concat();
        assert_eq!(std::fs::read(&path).unwrap(), expected);
        let refusal = Keeper::new(&path).put(&copy(0)).unwrap_err();
        assert!(refusal.ends_with("kept.resp: File exists"), "{refusal}");
    }
}
