//! What a backup is on the disk: a folder with a dump of each node and a manifest, which is written last. The folder is made under
//! another name and renamed when it is whole, so that no half backup looks like one.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rdb::{Input, LoadOptions, Loader, Progress};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use store::{Keyspace, Limits};

use crate::Error;

/// The manifest's name.
pub const MANIFEST: &str = "manifest.json";
/// What the name of a folder ends with while it is being written.
const PARTIAL: &str = ".partial";
/// The form of the manifest.
const FORM: u32 = 1;
/// Databases that a dump may name.
const DATABASES: usize = 1024;
/// So much of a dump is in memory at a time, as far as its keys allow.
const STEP_BYTES: u64 = 4 << 20;
const READ_BYTES: usize = 1 << 20;

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The form of this manifest.
    pub form: u32,
    /// What made it.
    pub made_by: String,
    /// Whether it is of a cluster.
    pub cluster: bool,
    /// When the first dump was asked for, Unix seconds.
    pub begun: u64,
    /// When the last one was there.
    pub ended: u64,
    /// The dumps.
    pub nodes: Vec<Part>,
}

/// The dump of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its file.
    pub file: String,
    /// Where the node was.
    pub address: String,
    /// The node's id in the cluster; empty for a single server.
    pub id: String,
    /// Its slots; empty for a single server.
    pub slots: String,
    /// Between these two the dump's moment lies, Unix milliseconds.
    pub asked_ms: u64,
    /// The second one: when its first byte came.
    pub began_ms: u64,
    /// Keys in it.
    pub keys: u64,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
}

impl Manifest {
    /// An empty one.
    #[must_use]
    pub fn new(cluster: bool, begun: u64) -> Self {
        Self {
            form: FORM,
            made_by: format!("trib {}", env!("CARGO_PKG_VERSION")),
            cluster,
            begun,
            ended: begun,
            nodes: Vec::new(),
        }
    }

    /// Keys in all dumps.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.nodes.iter().map(|part| part.keys).sum()
    }

    /// Reads the manifest of a backup, and holds every file against it.
    ///
    /// # Errors
    /// There is none, it is of another form, or a file is not what it was.
    pub fn verified(dir: &Path) -> Result<Self, Error> {
        if dir
            .as_os_str()
            .as_encoded_bytes()
            .ends_with(PARTIAL.as_bytes())
        {
            return Err(Error::Backup(format!(
                "{} is a backup that was not finished",
                dir.display()
            )));
        }
        let path = dir.join(MANIFEST);
        let text = fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::Backup(format!(
                "{} has no {MANIFEST}: it is no backup, or one that was not finished",
                dir.display()
            )),
            _ => Error::file(&path, &error),
        })?;
        let manifest: Self = serde_json::from_slice(&text)
            .map_err(|error| Error::Backup(format!("{}: {error}", path.display())))?;
        if manifest.form != FORM {
            return Err(Error::Backup(format!(
                "{} is of form {}, and only {FORM} is known",
                path.display(),
                manifest.form
            )));
        }
        for part in &manifest.nodes {
            part.verify(dir)?;
        }
        Ok(manifest)
    }
}

impl Part {
    /// Where its file is.
    ///
    /// # Errors
    /// Its name would leave the folder.
    pub fn path(&self, dir: &Path) -> Result<PathBuf, Error> {
        let plain = Path::new(&self.file)
            .file_name()
            .is_some_and(|name| name == self.file.as_str());
        if plain {
            Ok(dir.join(&self.file))
        } else {
            Err(Error::Backup(format!(
                "'{}' is no name of a file",
                self.file
            )))
        }
    }

    fn verify(&self, dir: &Path) -> Result<(), Error> {
        let path = self.path(dir)?;
        let (bytes, sha256) = digest(&path).map_err(|error| Error::file(&path, &error))?;
        if (bytes, sha256.as_str()) == (self.bytes, self.sha256.as_str()) {
            return Ok(());
        }
        Err(Error::Backup(format!(
            "{} is not what was written: {bytes} bytes with SHA-256 {sha256}, not {} with {}",
            path.display(),
            self.bytes,
            self.sha256
        )))
    }
}

/// The size of a file and its SHA-256.
fn digest(path: &Path) -> io::Result<(u64, String)> {
    let (mut file, mut hash, mut bytes) = (File::open(path)?, Sha256::new(), 0_u64);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((bytes, hex(&hash.finalize())));
        }
        hash.update(&buffer[..read]);
        bytes += read as u64;
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The folder while it is being written.
#[derive(Debug)]
pub struct Draft {
    dir: PathBuf,
    target: PathBuf,
    kept: bool,
}

impl Draft {
    /// Makes an empty folder beside `target`, which may not exist. Nobody else may read it: dumps hold everything.
    ///
    /// # Errors
    /// It exists, another backup is being written there or was interrupted, or the system's.
    pub fn begin(target: &Path) -> Result<Self, Error> {
        if target.exists() {
            return Err(Error::Backup(format!(
                "{} exists already",
                target.display()
            )));
        }
        let mut name = target.file_name().map(ToOwned::to_owned).ok_or_else(|| {
            Error::Backup(format!("{} is no name for a folder", target.display()))
        })?;
        name.push(PARTIAL);
        let dir = target.with_file_name(name);
        let made = fs::DirBuilder::new().mode(0o700).create(&dir);
        made.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::Backup(format!(
                "{} exists: another backup is being written, or was interrupted. Remove it if not",
                dir.display()
            )),
            _ => Error::file(&dir, &error),
        })?;
        Ok(Self {
            dir,
            target: target.to_owned(),
            kept: false,
        })
    }

    /// Where its files go.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes the manifest, and gives the folder its name: now it is a backup.
    ///
    /// # Errors
    /// The system's; there is no backup then.
    pub fn finish(mut self, manifest: &Manifest) -> Result<(), Error> {
        let failed = |error: &io::Error| Error::file(&self.dir, error);
        let text = serde_json::to_string_pretty(manifest)
            .map_err(|error| Error::Backup(error.to_string()))?;
        let mut file = File::create_new(self.dir.join(MANIFEST)).map_err(|error| failed(&error))?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.write_all(b"\n"))
            .and_then(|()| file.sync_all())
            .and_then(|()| File::open(&self.dir)?.sync_all())
            .and_then(|()| fs::rename(&self.dir, &self.target))
            .map_err(|error| failed(&error))?;
        self.kept = true;
        let parent = self
            .target
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        File::open(parent)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| Error::file(parent, &error))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            // Without its manifest it is no backup in any case.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// A key as a dump has it.
pub struct Entry<'a> {
    /// Its database.
    pub db: usize,
    /// Its name.
    pub key: &'a [u8],
    /// The value as RESTORE takes it.
    pub payload: Vec<u8>,
    /// When it expires, Unix milliseconds.
    pub expire_ms: Option<u64>,
}

/// A dump that is read a part at a time.
pub struct DumpFile {
    loader: Loader<File>,
    keyspace: Keyspace,
    dumper: rdb::Dumper,
    path: PathBuf,
    done: bool,
}

impl DumpFile {
    /// Opens a dump. Keys that expired before `now_ms` (Unix milliseconds) are left out, if there is such a time.
    ///
    /// # Errors
    /// The system's, or what is wrong with its start.
    pub fn open(path: &Path, now_ms: Option<u64>) -> Result<Self, Error> {
        let file = File::open(path).map_err(|error| Error::file(path, &error))?;
        let options = LoadOptions {
            drop_expired_before: now_ms,
            ..LoadOptions::default()
        };
        let loader = Loader::open(
            Input::with_buffer(file, READ_BYTES),
            options,
            Limits::default(),
        )
        .map_err(|error| damaged(path, &error))?;
        Ok(Self {
            loader,
            keyspace: Keyspace::new(DATABASES, false),
            dumper: rdb::Dumper::new(),
            path: path.to_owned(),
            done: false,
        })
    }

    /// Hands over the keys of the next part; false at the end, when the checksum was good.
    ///
    /// # Errors
    /// What is wrong with the dump.
    pub fn step(&mut self, mut take: impl FnMut(Entry<'_>)) -> Result<bool, Error> {
        if self.done {
            return Ok(false);
        }
        let progress = self
            .loader
            .step(&mut self.keyspace, STEP_BYTES)
            .map_err(|error| damaged(&self.path, &error))?;
        for db in 0..self.keyspace.databases() {
            if self.keyspace.db_ref(db).is_empty() {
                continue;
            }
            let dumper = &mut self.dumper;
            let mut failed = None;
            self.keyspace.db_ref(db).for_each(|key, value, expire_ms| {
                match rdb::dump_for_any(dumper, value, true) {
                    Ok(payload) => take(Entry {
                        db,
                        key,
                        payload,
                        expire_ms,
                    }),
                    Err(error) => failed = Some(error),
                }
            });
            if let Some(error) = failed {
                return Err(Error::file(&self.path, &error));
            }
            self.keyspace.db(db).clear();
            drop(self.keyspace.db(db).take_garbage());
        }
        self.done = progress == Progress::Done;
        Ok(true)
    }

    /// Keys so far.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.loader.loaded().keys
    }

    /// The sources of the libraries of functions so far.
    pub fn take_functions(&mut self) -> Vec<Vec<u8>> {
        self.loader.take_functions()
    }
}

fn damaged(path: &Path, error: &rdb::Error) -> Error {
    Error::Backup(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn part(dir: &Path, content: &[u8]) -> Part {
        fs::write(dir.join("a.rdb"), content).unwrap();
        let (bytes, sha256) = digest(&dir.join("a.rdb")).unwrap();
        Part {
            file: "a.rdb".to_owned(),
            address: "127.0.0.1:1".to_owned(),
            id: String::new(),
            slots: String::new(),
            asked_ms: 1,
            began_ms: 2,
            keys: 3,
            bytes,
            sha256,
        }
    }

    #[test]
    fn a_backup_is_whole_or_is_none() {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("backup");
        let draft = Draft::begin(&target).unwrap();
        let partial = draft.dir().to_owned();
        assert!(Draft::begin(&target).is_err(), "another one is under way");
        let mut manifest = Manifest::new(false, 1);
        manifest.nodes.push(part(draft.dir(), b"dump"));
        let unfinished = Manifest::verified(draft.dir()).unwrap_err().to_string();
        assert!(unfinished.contains("was not finished"), "{unfinished}");
        let mode = fs::metadata(draft.dir()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        draft.finish(&manifest).unwrap();
        assert_eq!(Manifest::verified(&target).unwrap(), manifest);
        assert!(!partial.exists() && Draft::begin(&target).is_err());
        fs::write(target.join("a.rdb"), b"dumq").unwrap();
        let error = Manifest::verified(&target).unwrap_err().to_string();
        assert!(error.contains("is not what was written"), "{error}");
        // The process died between the manifest and the name.
        fs::rename(&target, &partial).unwrap();
        fs::write(partial.join("a.rdb"), b"dump").unwrap();
        let error = Manifest::verified(&partial).unwrap_err().to_string();
        assert!(error.contains("was not finished"), "{error}");
    }

    #[test]
    fn what_is_given_up_leaves_nothing_behind() {
        let root = tempfile::tempdir().unwrap();
        let draft = Draft::begin(&root.path().join("backup")).unwrap();
        part(draft.dir(), b"dump");
        drop(draft);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_manifest_names_no_files_elsewhere() {
        let root = tempfile::tempdir().unwrap();
        let mut part = part(root.path(), b"dump");
        assert_eq!("ba7816bf", &hex(&Sha256::digest(b"abc"))[..8]);
        for file in ["../a.rdb", "/a.rdb", "..", ""] {
            part.file = file.to_owned();
            assert!(part.path(root.path()).is_err(), "{file}");
        }
    }
}
