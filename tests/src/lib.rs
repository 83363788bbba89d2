//! What the acceptance tests share: starting daemons on free ports, talking to them, waiting for conditions.
//!
//! - [`daemon`]: the real binaries as processes, and what a test needs around them.
//! - [`certificates`]: an authority for tests, and what it signs.
//! - [`cluster`]: several servers as one cluster, and a client that finds its way in it.
//! - [`sim`]: the cores without processes, on a clock and a network of their own.

pub mod certificates;
pub mod cluster;
pub mod daemon;
pub mod sim;

use std::path::{Path, PathBuf};

/// The folder of the workspace.
///
/// # Panics
///
/// Never: this package lies in it.
#[must_use]
pub fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("the tests lie in the workspace")
        .to_owned()
}

/// All files below a folder, but for what cargo builds.
#[must_use]
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if !path.is_dir() {
                found.push(path);
            } else if path.file_name().is_none_or(|name| name != "target") {
                folders.push(path);
            }
        }
    }
    found
}
