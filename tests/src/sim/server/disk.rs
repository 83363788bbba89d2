//! A disk that tells what was written from what is safe: a power loss keeps what was synced, and of what came after it as much as it
//! likes, from the front. Names of files are a thing of their own, as on a real file system: they are safe once their folder was synced.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::{AppendFile, PlaceFile, Source, SyncState, WriteError};

use super::mark;
use crate::sim::Rng;

/// So many writes in place the system keeps back at most.
const UNWRITTEN: usize = 16;
const FULL: &str = "No space left on device";
const BROKEN: &str = "Input/output error";
const MISSING: &str = "No such file or directory";

/// What is on a disk: names and contents.
pub type Backup = Vec<(Vec<u8>, Vec<u8>)>;

/// A disk, as all who use it share it. Files are handed to other threads in a real server, so it has to be one that could be, too.
#[derive(Clone, Debug)]
pub struct Shared(Arc<Mutex<Disk>>);

/// A machine's disk.
#[derive(Debug)]
pub struct Disk {
    files: Vec<File>,
    names: BTreeMap<Vec<u8>, usize>,
    safe_names: BTreeMap<Vec<u8>, usize>,
    /// What was done to names and is not safe yet, in order.
    renamed: Vec<Renamed>,
    /// Writing fails.
    pub full: bool,
    /// Syncing fails, and what it should have made safe is lost.
    pub sync_fails: bool,
    /// How long a sync takes.
    pub sync_ms: u64,
    /// A sync has failed, and something was lost by it.
    pub torn: bool,
    /// A bug put in on purpose: syncs say that they did their work, and do nothing.
    pub lies: bool,
    /// The machine loses power when the next sync begins.
    pub dies: bool,
    died: bool,
    /// The clock of the process that uses it.
    now_ms: u64,
    /// How long that process has waited for syncs since it was last asked, and whether it wrote at all.
    waited_ms: u64,
    used: bool,
    /// The values that were ever made safe.
    marks: BTreeSet<u64>,
    rng: Rng,
}

#[derive(Debug, Default)]
struct File {
    bytes: Vec<u8>,
    /// So many of them are safe.
    safe: usize,
    /// What it was before each of the last writes in place, none of which is safe.
    before: Vec<Vec<u8>>,
    /// A sync has failed here: nothing behind it will ever be safe, whatever later syncs say.
    hole: bool,
}

#[derive(Debug)]
enum Renamed {
    Put(Vec<u8>, usize),
    Move(Vec<u8>, Vec<u8>, usize),
    Gone(Vec<u8>),
}

impl Renamed {
    fn apply(&self, names: &mut BTreeMap<Vec<u8>, usize>) {
        match self {
            Self::Put(name, file) => drop(names.insert(name.clone(), *file)),
            Self::Move(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
            Self::Gone(name) => drop(names.remove(name)),
        }
    }

    fn folder(&self) -> &[u8] {
        let (Self::Put(name, _) | Self::Move(_, name, _) | Self::Gone(name)) = self;
        folder_of(name)
    }
}

fn folder_of(name: &[u8]) -> &[u8] {
    let end = name.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    &name[..end]
}

impl Shared {
    /// An empty disk. The seed decides what a power loss leaves.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Disk {
            files: Vec::new(),
            names: BTreeMap::new(),
            safe_names: BTreeMap::new(),
            renamed: Vec::new(),
            full: false,
            sync_fails: false,
            sync_ms: 0,
            torn: false,
            lies: false,
            dies: false,
            died: false,
            now_ms: 0,
            waited_ms: 0,
            used: false,
            marks: BTreeSet::new(),
            rng: Rng::new(seed),
        })))
    }

    /// The disk itself.
    pub fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a file to write at its end.
    ///
    /// # Errors
    /// The disk is full, so that there is no place for a new name.
    pub fn open(&self, name: &[u8], fresh: bool, alive: &Alive) -> Result<OpenFile, String> {
        let mut disk = self.lock();
        let file = match disk.names.get(name) {
            Some(file) => *file,
            None => disk.create(name)?,
        };
        if fresh {
            disk.truncate(file, 0);
        }
        Ok(OpenFile {
            disk: self.clone(),
            file,
            alive: alive.clone(),
            syncing: None,
            writing: None,
        })
    }

    /// Opens a file to write in place.
    ///
    /// # Errors
    /// The disk is full, so that there is no place for a new name.
    pub fn open_slots(&self, name: &[u8], alive: &Alive) -> Result<Slots, String> {
        let mut disk = self.lock();
        let file = match disk.names.get(name) {
            Some(file) => *file,
            None => disk.create(name)?,
        };
        Ok(Slots {
            disk: self.clone(),
            file,
            alive: alive.clone(),
        })
    }
}

impl Disk {
    /// What a power loss leaves.
    pub fn lose_power(&mut self) {
        let renamed = std::mem::take(&mut self.renamed);
        let kept = self.kept(0, renamed.len());
        for change in &renamed[..kept] {
            change.apply(&mut self.safe_names);
        }
        self.names.clone_from(&self.safe_names);
        for index in 0..self.files.len() {
            let versions = self.files[index].before.len();
            if versions > 0 {
                let kept = self.kept(0, versions);
                let file = &mut self.files[index];
                let before = std::mem::take(&mut file.before);
                if let Some(bytes) = before.into_iter().nth(kept) {
                    file.bytes = bytes;
                }
                file.safe = file.bytes.len();
                continue;
            }
            let (safe, written) = (self.files[index].safe, self.files[index].bytes.len());
            let kept = self.kept(safe, written);
            let file = &mut self.files[index];
            file.bytes.truncate(kept);
            (file.safe, file.hole) = (kept, false);
        }
        (self.waited_ms, self.used) = (0, false);
        (self.dies, self.died) = (false, false);
    }

    /// Whether the machine has lost power in a sync.
    #[must_use]
    pub fn has_died(&self) -> bool {
        self.died
    }

    /// A process starts: what a failed sync could not write is not in memory any more either, and it does not wait for what the one
    /// before it had to wait for.
    pub fn begin(&mut self) {
        (self.waited_ms, self.used) = (0, false);
        for file in self.files.iter_mut().filter(|file| file.hole) {
            file.bytes.truncate(file.safe);
            file.hole = false;
        }
    }

    /// How much of what may be lost is kept: nothing, all, or something.
    fn kept(&mut self, safe: usize, written: usize) -> usize {
        match self.rng.between(0, 2) {
            0 => safe,
            1 => written,
            _ => usize::try_from(self.rng.between(safe as u64, written as u64)).unwrap_or(safe),
        }
    }

    /// Another disk is put into the machine: an empty one, or one that held this once. The files with these names are not on it, and
    /// stay as they are.
    pub fn exchange(&mut self, backup: Option<&Backup>, stay: &[&[u8]]) {
        let is_data = |name: &Vec<u8>| !stay.contains(&&name[..]);
        let mut all = self.backup();
        all.retain(|(name, _)| !is_data(name));
        let data = backup.into_iter().flatten();
        all.extend(data.filter(|(name, _)| is_data(name)).cloned());
        self.names.clear();
        self.renamed.clear();
        self.files.clear();
        self.marks.clear();
        self.torn = false;
        for (name, bytes) in all {
            let safe = bytes.len();
            self.files.push(File {
                bytes,
                safe,
                ..File::default()
            });
            self.names.insert(name, self.files.len() - 1);
        }
        self.safe_names.clone_from(&self.names);
    }

    /// All files, by name, as they are now: what a backup would hold.
    #[must_use]
    pub fn backup(&self) -> Backup {
        let all = self.names.iter();
        all.map(|(name, file)| (name.clone(), self.files[*file].bytes.clone()))
            .collect()
    }

    /// Tells the time.
    pub fn set_now(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// Whether it was written to since the last call, and how long the process stood still for it.
    pub fn take_use(&mut self) -> Option<u64> {
        let waited_ms = std::mem::take(&mut self.waited_ms);
        std::mem::take(&mut self.used).then_some(waited_ms)
    }

    /// Whether a value was ever made safe.
    #[must_use]
    pub fn holds(&self, mark: u64) -> bool {
        self.marks.contains(&mark)
    }

    /// A file's content.
    ///
    /// # Errors
    /// There is none.
    pub fn read(&self, name: &[u8]) -> Result<Vec<u8>, String> {
        let file = self.names.get(name).ok_or(MISSING)?;
        Ok(self.files[*file].bytes.clone())
    }

    /// The same to be read piece by piece, and its size.
    ///
    /// # Errors
    /// There is none.
    pub fn source(&self, name: &[u8]) -> Result<(Source, u64), String> {
        let bytes = self.read(name)?;
        let size = bytes.len() as u64;
        Ok((Box::new(Cursor::new(bytes)), size))
    }

    /// Replaces a file whole: temporary file, sync, rename, sync of the folder.
    ///
    /// # Errors
    /// The system's words; the old file is still there.
    pub fn replace(&mut self, name: &[u8], bytes: Vec<u8>) -> Result<(), String> {
        self.put(name, bytes)?;
        self.sync_folder(folder_of(name))
    }

    /// The same but for the last step.
    ///
    /// # Errors
    /// The system's words; the old file is still there.
    pub fn put(&mut self, name: &[u8], bytes: Vec<u8>) -> Result<(), String> {
        self.used = true;
        if self.full {
            return Err(FULL.to_owned());
        }
        self.files.push(File {
            bytes,
            ..File::default()
        });
        let file = self.files.len() - 1;
        self.sync(file)?;
        self.rename_to(Renamed::Put(name.to_vec(), file));
        Ok(())
    }

    /// Makes the names in a folder safe.
    ///
    /// # Errors
    /// The system's words.
    pub fn keep_names(&mut self, name: &[u8]) -> Result<(), String> {
        self.sync_folder(folder_of(name))
    }

    /// Another thread works: the process does not wait for it.
    pub fn aside<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> R {
        let waited_ms = self.waited_ms();
        let done = work(self);
        self.set_waited_ms(waited_ms);
        done
    }

    /// How long the process has waited.
    #[must_use]
    pub fn waited_ms(&self) -> u64 {
        self.waited_ms
    }

    /// It has waited for so long only: the rest was another thread's.
    pub fn set_waited_ms(&mut self, ms: u64) {
        self.waited_ms = ms;
    }

    /// The process waits for what another thread does.
    pub fn wait_for(&mut self, ms: u64) {
        if ms > 0 {
            self.used = true;
            self.waited_ms += ms;
        }
    }

    /// Renames a file.
    ///
    /// # Errors
    /// There is none.
    pub fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<u64, String> {
        let file = *self.names.get(from).ok_or(MISSING)?;
        self.rename_to(Renamed::Move(from.to_vec(), to.to_vec(), file));
        Ok(self.files[file].bytes.len() as u64)
    }

    /// Removes a file, if there is one.
    pub fn remove(&mut self, name: &[u8]) {
        if self.names.contains_key(name) {
            self.rename_to(Renamed::Gone(name.to_vec()));
        }
    }

    /// Cuts a file and makes that safe.
    ///
    /// # Errors
    /// There is none, or the system's words.
    pub fn cut(&mut self, name: &[u8], size: u64) -> Result<(), String> {
        let file = *self.names.get(name).ok_or(MISSING)?;
        self.truncate(file, size);
        self.sync(file)
    }

    fn create(&mut self, name: &[u8]) -> Result<usize, String> {
        self.used = true;
        if self.full {
            return Err(FULL.to_owned());
        }
        self.files.push(File::default());
        let file = self.files.len() - 1;
        self.rename_to(Renamed::Put(name.to_vec(), file));
        Ok(file)
    }

    fn rename_to(&mut self, change: Renamed) {
        self.used = true;
        change.apply(&mut self.names);
        // What the process would do after its machine's end does not happen.
        if !self.died {
            self.renamed.push(change);
        }
    }

    fn sync_folder(&mut self, folder: &[u8]) -> Result<(), String> {
        self.wait()?;
        if !self.lies && !self.died {
            let (safe, rest) = std::mem::take(&mut self.renamed)
                .into_iter()
                .partition(|change| change.folder() == folder);
            self.renamed = rest;
            let safe: Vec<Renamed> = safe;
            safe.iter()
                .for_each(|change| change.apply(&mut self.safe_names));
        }
        Ok(())
    }

    /// A sync that the process waits for.
    fn wait(&mut self) -> Result<(), String> {
        self.used = true;
        self.died |= std::mem::take(&mut self.dies);
        self.waited_ms += self.sync_ms;
        if self.sync_fails {
            return Err(BROKEN.to_owned());
        }
        Ok(())
    }

    fn sync(&mut self, file: usize) -> Result<(), String> {
        if let Err(error) = self.wait() {
            self.files[file].hole = true;
            self.torn = true;
            return Err(error);
        }
        self.make_safe(file, usize::MAX);
        Ok(())
    }

    /// So many bytes of a file are safe, unless something before them is lost.
    fn make_safe(&mut self, file: usize, most: usize) {
        let File {
            bytes, safe, hole, ..
        } = &mut self.files[file];
        let end = most.min(bytes.len());
        if self.lies || self.died || *hole || end <= *safe {
            return;
        }
        let from = safe.saturating_sub(mark::BYTES);
        self.marks.extend(mark::all_in(&bytes[from..end]));
        *safe = end;
    }

    /// That a file became shorter is safe at once: a real one may keep its old end, which no reader of ours would believe.
    fn truncate(&mut self, file: usize, size: u64) {
        self.used = true;
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let file = &mut self.files[file];
        file.bytes.truncate(size);
        file.safe = file.safe.min(size);
    }
}

/// Whether the process that has a file open still runs. One that was killed writes and syncs nothing more.
#[derive(Clone, Debug)]
pub struct Alive(Arc<AtomicBool>);

impl Default for Alive {
    fn default() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
}

impl Alive {
    /// It was killed.
    pub fn end(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Whether it was not.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A file that is appended to.
#[derive(Debug)]
pub struct OpenFile {
    disk: Shared,
    file: usize,
    alive: Alive,
    /// When the sync on the other thread ends, and how much was written when it began.
    syncing: Option<(u64, usize)>,
    /// When the write on the other thread ends, the bytes, and how many of them are in the file already.
    writing: Option<(u64, Vec<u8>, usize)>,
}

impl AppendFile for OpenFile {
    fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let mut disk = self.disk.lock();
        disk.used = true;
        if disk.died {
            return Ok(());
        }
        let most = bytes.len();
        let written = if disk.full { disk.kept(0, most) } else { most };
        disk.files[self.file]
            .bytes
            .extend_from_slice(&bytes[..written]);
        if written < most {
            let reason = FULL.to_owned();
            return Err(WriteError { written, reason });
        }
        Ok(())
    }

    fn start_write(&mut self, blocks: Arc<Vec<Vec<u8>>>) {
        let bytes = blocks.concat();
        let mut disk = self.disk.lock();
        // A process that is killed meanwhile leaves a part of it.
        let early = disk.kept(0, bytes.len());
        if !disk.died {
            disk.files[self.file]
                .bytes
                .extend_from_slice(&bytes[..early]);
        }
        self.writing = Some((disk.now_ms + disk.sync_ms, bytes, early));
    }

    fn poll_write(&mut self, wait: bool) -> Option<Result<(), WriteError>> {
        let (until_ms, ..) = self.writing.as_ref()?;
        let mut disk = self.disk.lock();
        let left_ms = until_ms.saturating_sub(disk.now_ms);
        if !wait && left_ms > 0 {
            return None;
        }
        disk.wait_for(left_ms);
        drop(disk);
        let (_, bytes, early) = self.writing.take()?;
        let written = self.write(&bytes[early..]);
        Some(written.map_err(|error| WriteError {
            written: early + error.written,
            ..error
        }))
    }

    fn truncate(&mut self, size: u64) -> Result<(), String> {
        self.disk.lock().truncate(self.file, size);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), String> {
        if !self.alive.holds() {
            return Ok(());
        }
        self.disk.lock().sync(self.file)
    }

    fn start_sync(&mut self) {
        let disk = self.disk.lock();
        let written = disk.files[self.file].bytes.len();
        self.syncing = Some((disk.now_ms + disk.sync_ms, written));
    }

    fn poll_sync(&mut self) -> SyncState {
        let mut disk = self.disk.lock();
        match self.syncing {
            None => SyncState::Idle,
            Some((until_ms, _)) if disk.now_ms < until_ms => SyncState::Running,
            Some((_, written)) => {
                self.syncing = None;
                if disk.sync_fails {
                    disk.files[self.file].hole = true;
                    disk.torn = true;
                    return SyncState::Ended(Err(BROKEN.to_owned()));
                }
                disk.make_safe(self.file, written);
                SyncState::Ended(Ok(disk.sync_ms * 1_000_000))
            }
        }
    }

    fn size(&self) -> Result<u64, String> {
        Ok(self.disk.lock().files[self.file].bytes.len() as u64)
    }
}

/// A small file that is written in place, and never synced.
#[derive(Debug)]
pub struct Slots {
    disk: Shared,
    file: usize,
    alive: Alive,
}

impl PlaceFile for Slots {
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> Result<(), String> {
        let mut disk = self.disk.lock();
        if !self.alive.holds() || disk.died {
            return Ok(());
        }
        if disk.full {
            return Err(FULL.to_owned());
        }
        let file = &mut disk.files[self.file];
        file.before.push(file.bytes.clone());
        if file.before.len() > UNWRITTEN {
            file.before.remove(0);
        }
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let end = at + bytes.len();
        if file.bytes.len() < end {
            file.bytes.resize(end, 0);
        }
        file.bytes[at..end].copy_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn left(seed: u64, work: impl FnOnce(&Shared)) -> Backup {
        let disk = Shared::new(seed);
        work(&disk);
        disk.lock().lose_power();
        disk.lock().backup()
    }

    #[test]
    fn a_power_loss_keeps_what_was_synced_and_a_part_of_the_rest() {
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let left = left(seed, |disk| {
                disk.lock().replace(b"f", Vec::new()).unwrap();
                let mut file = disk.open(b"f", false, &Alive::default()).unwrap();
                file.write(b"safe").unwrap();
                file.sync().unwrap();
                file.write(b"rest").unwrap();
            });
            assert_eq!(left.len(), 1);
            assert!(left[0].1.starts_with(b"safe") && b"saferest".starts_with(&left[0].1));
            seen.insert(left[0].1.len());
        }
        assert_eq!(seen.len(), 5, "each length comes up: {seen:?}");
    }

    #[test]
    fn a_new_name_is_safe_only_with_its_folder() {
        let named = |seed, folder: bool| {
            let left = left(seed, |disk| {
                disk.lock().put(b"a/f", b"1".to_vec()).unwrap();
                if folder {
                    disk.lock().replace(b"a/g", b"2".to_vec()).unwrap();
                }
            });
            left.iter().any(|(name, _)| name == b"a/f")
        };
        assert!((0..50).any(|seed| !named(seed, false)));
        assert!((0..50).all(|seed| named(seed, true)));
    }

    #[test]
    fn what_a_failed_sync_lost_is_never_safe() {
        for seed in 0..20 {
            let disk = Shared::new(seed);
            disk.lock().replace(b"f", Vec::new()).unwrap();
            let mut file = disk.open(b"f", false, &Alive::default()).unwrap();
            file.write(b"lost").unwrap();
            disk.lock().sync_fails = true;
            file.sync().unwrap_err();
            disk.lock().sync_fails = false;
            file.sync().unwrap();
            assert_eq!(disk.lock().files[0].safe, 0);
        }
    }

    #[test]
    fn a_process_does_not_wait_for_what_another_one_waited_for() {
        let disk = Shared::new(1);
        disk.lock().sync_ms = 1_000;
        disk.lock().replace(b"f", Vec::new()).unwrap();
        let mut file = disk.open(b"f", false, &Alive::default()).unwrap();
        file.sync().unwrap();
        disk.lock().begin();
        assert_eq!(disk.lock().take_use(), None);
        file.sync().unwrap();
        assert_eq!(disk.lock().take_use(), Some(1_000));
    }
}
