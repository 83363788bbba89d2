//! nodes.conf on the disk: locked, read at the start, replaced by threads of its own.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use cluster_bus::{NodesConf, nodes_conf};
use daemon::{files, reason};

/// nodes.conf, locked as long as the server lives, so that no two nodes share one. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct NodesFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// What is to be written. Whoever writes next takes it.
    text: Mutex<Option<String>>,
    /// The file that is in place; held while another one is put there.
    file: Mutex<File>,
}

impl NodesFile {
    /// Opens and locks the file, and reads it; none where it is new.
    pub(crate) fn open(path: &Path) -> anyhow::Result<(Self, Option<NodesConf>)> {
        let path = std::path::absolute(path)?;
        let mut file = open(&path).map_err(|error| {
            anyhow::anyhow!(
                "Loading the cluster node config from {}: {}",
                path.display(),
                reason(&error)
            )
        })?;
        lock(&file, &path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let saved = nodes_conf::load(&text).map_err(|error| {
            anyhow::anyhow!(
                "Unrecoverable error: corrupted cluster config file {}: {error}",
                path.display()
            )
        })?;
        let inner = Inner {
            path,
            text: Mutex::default(),
            file: Mutex::new(file),
        };
        Ok((Self(Arc::new(inner)), saved))
    }

    /// Leaves a text to be written, in the place of one that nobody has written yet.
    pub(crate) fn put(&self, text: String) {
        let mut slot = self.0.text.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = Some(text);
    }

    /// Writes what was put last; when this returns, it is on the disk, whoever has written it.
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        let inner = &*self.0;
        let mut file = inner.file.lock().unwrap_or_else(PoisonError::into_inner);
        let text = inner
            .text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match text {
            Some(text) => inner.replace(&mut file, &text),
            None => Ok(()),
        }
    }
}

impl Inner {
    /// The new file is locked before it takes the old one's place. Where it cannot (a mount point), the old one is written over.
    fn replace(&self, file: &mut File, text: &str) -> anyhow::Result<()> {
        let mut written = false;
        let prepare = |new: File| match lock(&new, &self.path) {
            Ok(()) => {
                written = true;
                Ok(new)
            }
            Err(error) => Err(io::Error::other(error)),
        };
        match files::replace_by_rename(&self.path, text.as_bytes(), prepare) {
            Ok(new) => *file = new,
            Err(error) if files::is_refused(&error) => {
                files::write_over(file, text.as_bytes())?;
            }
            Err(error) => {
                let what = if written { "rename" } else { "write" };
                let why = reason(&error);
                anyhow::bail!("Could not {what} tmp cluster config file: {why}");
            }
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

fn lock(file: &File, path: &Path) -> anyhow::Result<()> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => anyhow::anyhow!(
            "Sorry, the cluster configuration file {} is already used by a different Redis Cluster node. \
             Please make sure that different nodes use different cluster configuration files.",
            path.display()
        ),
        TryLockError::Error(error) => {
            anyhow::anyhow!("Impossible to lock {}: {}", path.display(), reason(&error))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_text_is_written_once_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nodes.conf");
        let (file, saved) = NodesFile::open(&path).unwrap();
        assert!(saved.is_none());
        file.put("first\n".into());
        file.put("second\n".into());
        file.write().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "second\n");
        std::fs::remove_file(&path).unwrap();
        file.write().unwrap();
        assert!(!path.exists(), "nothing was put since");
    }

    #[test]
    fn a_second_node_is_kept_out_also_after_a_replacement() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nodes.conf");
        let (file, _) = NodesFile::open(&path).unwrap();
        assert!(NodesFile::open(&path).is_err());
        file.put("\n".into());
        file.write().unwrap();
        let refused = NodesFile::open(&path).unwrap_err().to_string();
        assert!(refused.contains("is already used by a different Redis Cluster node"));
    }

    #[test]
    fn writing_over_leaves_nothing_of_a_longer_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nodes.conf");
        std::fs::write(&path, "a longer text\n").unwrap();
        files::write_over(&open(&path).unwrap(), b"short\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "short\n");
    }
}
