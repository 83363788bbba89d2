//! Replacing files whole: a temporary file is written, fsynced and renamed over the old one, and the folder is fsynced, so that
//! after a crash there is the old content or the new one. Only where a rename is impossible (a file mounted by itself, a folder
//! without permission) is a file written in place, as Redis does.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};

/// Replaces a file's content; when this returns, it is on disk. The new file keeps the old one's owner and permissions, and a
/// symbolic link stays one: what it points at is replaced.
///
/// # Errors
/// The file still holds its old content then.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match replace_by_rename(path, content, Ok) {
        // On a full disk, overwriting would lose the old content too.
        Err(error) if is_refused(&error) => overwrite(path, content),
        done => done.map(drop),
    }
}

/// Like [`replace`], but only by a rename; `prepare` gets the new file, on disk already, before it takes its place (to lock it,
/// say), and what it makes of it is handed back.
///
/// # Errors
/// The file still holds its old content then.
pub fn replace_by_rename<T>(
    path: &Path,
    content: &[u8],
    prepare: impl FnOnce(File) -> io::Result<T>,
) -> io::Result<T> {
    let temporary = temporary_beside(path);
    // One that a crash left behind.
    let _ = std::fs::remove_file(&temporary);
    let placed = write_new(&temporary, path, content)
        .and_then(prepare)
        .and_then(|prepared| rename(&temporary, path).map(|()| prepared));
    if placed.is_err() {
        // Best effort: the error that counts is the first one.
        let _ = std::fs::remove_file(&temporary);
    }
    placed
}

/// Makes a temporary file. What a crash left under this name is removed; a symbolic link is never followed.
///
/// # Errors
/// Those of the system; also where somebody makes one of this name at the same time.
pub fn create_anew(path: &Path) -> io::Result<File> {
    // As a rule there is none.
    let _ = std::fs::remove_file(path);
    File::create_new(path)
}

/// Renames a finished file into its place, and makes the name last where the folder lets itself be opened and synced; one that may
/// be written but not read does not.
///
/// # Errors
/// Those of the rename, and the disk's at the folder's fsync.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let folder = to
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    // Opened first: a rename cannot be taken back.
    let folder = match File::open(folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
        opened => Some(opened?),
    };
    std::fs::rename(from, to)?;
    match folder.map(|folder| folder.sync_all()) {
        Some(Err(error)) if error.kind() != io::ErrorKind::InvalidInput => Err(error),
        _ => Ok(()),
    }
}

/// Writes over a file's content in place: for where [`is_refused`] holds. Until the end is cut, what is left of a longer content
/// is empty lines, which are nothing to those who read such files, so a crash in between leaves one that can be read.
///
/// # Errors
/// What the file holds then is not known.
pub fn write_over(file: &File, content: &[u8]) -> io::Result<()> {
    let old = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let mut padded = content.to_vec();
    padded.resize(content.len().max(old), b'\n');
    file.write_all_at(&padded, 0)?;
    file.sync_all()?;
    file.set_len(content.len() as u64)?;
    file.sync_all()
}

/// Whether an error means that no new file can be put into this place, while the old one may still be written.
#[must_use]
pub fn is_refused(error: &io::Error) -> bool {
    use io::ErrorKind::{CrossesDevices, PermissionDenied, ReadOnlyFilesystem, ResourceBusy};
    matches!(
        error.kind(),
        CrossesDevices | PermissionDenied | ReadOnlyFilesystem | ResourceBusy
    )
}

fn temporary_beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    path.with_file_name(name)
}

/// Writes a new file with the owner and permissions of the one it is to replace.
fn write_new(temporary: &Path, model: &Path, content: &[u8]) -> io::Result<File> {
    let model = std::fs::metadata(model);
    let mode = model.as_ref().map_or(0o644, |model| model.mode() & 0o777);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(temporary)?;
    if let Ok(model) = model {
        // Only root may give a file away; to everybody else it belongs already.
        let _ = fchown(&file, Some(model.uid()), Some(model.gid()));
        file.set_permissions(model.permissions())?;
    }
    file.write_all(content)?;
    file.sync_all()?;
    Ok(file)
}

fn overwrite(path: &Path, content: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    write_over(&file, content)
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
        replace(&link, b"new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_temporary_file_is_never_written_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, path) = (dir.path().join("victim"), dir.path().join("temp-1.rdb"));
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        create_anew(&path).unwrap().write_all(b"dump").unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "dump");
        // What a crash left is replaced.
        create_anew(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
    }

    #[test]
    fn what_refuses_the_new_file_leaves_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nodes.conf");
        std::fs::write(&path, "old").unwrap();
        let refused: io::Result<()> =
            replace_by_rename(&path, b"new", |_| Err(io::Error::other("locked")));
        assert_eq!(refused.unwrap_err().to_string(), "locked");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn overwriting_in_place_leaves_exactly_the_new_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sentinel.conf");
        std::fs::write(&path, "a long old content\n").unwrap();
        overwrite(&path, b"new\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
        overwrite(&path, b"longer than before\n").unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "longer than before\n"
        );
    }

    #[test]
    fn a_file_that_is_gone_is_made_again_and_a_folder_that_is_gone_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sentinel.conf");
        replace(&path, b"x").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"x");
        assert!(replace(&dir.path().join("gone/sentinel.conf"), b"x").is_err());
    }
}
