//! Replacing files whole: temporary file, fsync, rename, fsync of the folder.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Replaces a file by `text`. Where it cannot be renamed over (a mount point, a device), it is written in place.
pub(crate) fn replace_whole(path: &Path, text: &[u8]) -> io::Result<()> {
    let temporary = beside(path);
    let written = File::create(&temporary).and_then(|mut file| {
        if let Ok(facts) = std::fs::metadata(path) {
            file.set_permissions(facts.permissions())?;
        }
        file.write_all(text)?;
        file.sync_all()
    });
    match written.and_then(|()| rename(&temporary, path)) {
        Ok(()) => Ok(()),
        Err(error) => {
            // The error that matters is the one before.
            let _ = std::fs::remove_file(&temporary);
            match error.kind() {
                io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices => in_place(path, text),
                _ => Err(error),
            }
        }
    }
}

fn in_place(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).truncate(true).open(path)?;
    file.write_all(text)?;
    file.sync_all()
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".tmp-{}", std::process::id()));
    path.with_file_name(name)
}

/// Renames a finished file into its place, and makes the name last.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::rename(from, to)?;
    let folder = to
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
