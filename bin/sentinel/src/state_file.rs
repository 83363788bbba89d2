//! sentinel.conf on disk. It is replaced whole: a new file is written, fsynced and renamed over the old one, and the
//! folder is fsynced, so that after a crash it holds the old state or the new one. Where a rename is impossible (a file
//! mounted by itself, a folder without permission) it is overwritten in place, as Redis does.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::config::reason;

/// Looks whether the state can be kept, before anything depends on it.
pub(crate) fn check_writable(path: &Path) -> anyhow::Result<()> {
    access(path, Access::WRITE_OK).map_err(|errno| {
        let why = reason(&io::Error::from(errno));
        anyhow::anyhow!(
            "Sentinel config file {} is not writable: {why}. Exiting...",
            path.display()
        )
    })
}

/// Replaces the content by what `render` makes of the present one. When this returns, it is on disk.
pub(crate) fn replace(path: &Path, render: impl FnOnce(&[u8]) -> Vec<u8>) -> io::Result<()> {
    // The file itself is replaced, not a symbolic link to it.
    let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let old = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    let new = render(&old);
    match rename_into_place(path, &new) {
        Ok(()) => Ok(()),
        // Only where a rename cannot work at all. On a full disk, overwriting would lose the old state too.
        Err(error) if is_refused(&error) => overwrite(path, &new, old.len()),
        Err(error) => Err(error),
    }
}

fn is_refused(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    matches!(
        error.kind(),
        CrossesDevices | PermissionDenied | ReadOnlyFilesystem | ResourceBusy
    )
}

fn rename_into_place(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let temporary = temporary_beside(path);
    // One that a crash left behind.
    let _ = std::fs::remove_file(&temporary);
    let written =
        write_new(&temporary, path, content).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // Best effort: the error that counts is the first one.
        let _ = std::fs::remove_file(&temporary);
    }
    written?;
    File::open(folder)?.sync_all()
}

fn temporary_beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

/// Writes a new file with the owner and permissions of the one it is to replace.
fn write_new(temporary: &Path, model: &Path, content: &[u8]) -> io::Result<()> {
    let model = std::fs::metadata(model);
    let mode = model.as_ref().map_or(0o644, |model| model.mode() & 0o7777);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode & 0o777)
        .open(temporary)?;
    if let Ok(model) = model {
        // Only root may give a file away; to everybody else it belongs already.
        let _ = fchown(&file, Some(model.uid()), Some(model.gid()));
        file.set_permissions(model.permissions())?;
    }
    file.write_all(content)?;
    file.sync_all()
}

/// One write over the old content, padded with a comment to its length, then cut: a crash in between leaves a file that
/// can be read.
fn overwrite(path: &Path, content: &[u8], old_len: usize) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    let mut padded = content.to_vec();
    if content.len() < old_len {
        padded.push(b'\n');
        padded.resize(old_len, b'#');
    }
    file.write_all(&padded)?;
    file.set_len(u64::try_from(content.len()).unwrap_or(u64::MAX))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_file_is_replaced_with_its_permissions_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sentinel.conf");
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let link = dir.path().join("link.conf");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        replace(&link, |old| [old, b" and new"].concat()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old and new");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn overwriting_in_place_leaves_exactly_the_new_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sentinel.conf");
        std::fs::write(&path, "a long old content\n").unwrap();
        overwrite(&path, b"new\n", 19).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
        overwrite(&path, b"longer than before\n", 4).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "longer than before\n"
        );
    }

    #[test]
    fn a_file_that_is_gone_is_made_again_and_a_folder_that_is_gone_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sentinel.conf");
        replace(&path, |old| [old, b"x"].concat()).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"x");
        assert!(replace(&dir.path().join("gone/sentinel.conf"), <[u8]>::to_vec).is_err());
    }
}
