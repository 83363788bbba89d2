//! The dump that a primary has sent becomes the base of the append-only file: no child has to write what is on the disk already.
//!
//! The shell gives the dump that was received a second name in the folder of the append-only file, one that no manifest tells of. Once it is
//! loaded it gets the name of a base, and a manifest with this base and an empty increment takes the place of the old one: until then the
//! old file holds, and from then on the new one.

use crate::Engine;
use crate::journal::append_only::{Installing, State, Step};

impl Engine {
    /// Where the dump that has come is to be put, to become a base; none where it cannot be one.
    pub(crate) fn wanted_base(&mut self) -> Option<Vec<u8>> {
        let wanted =
            self.journal.append_only.state != State::Off && self.config.aof_use_rdb_preamble;
        if !wanted {
            return None;
        }
        match self.host.make_folder(&self.config.appenddirname) {
            Ok(()) => Some(self.received_path()),
            Err(why) => {
                let folder = String::from_utf8_lossy(&self.config.appenddirname);
                tracing::warn!("Can't open or create append-only dir {folder}: {why}");
                None
            }
        }
    }

    fn received_path(&self) -> Vec<u8> {
        self.part_path(&[b"temp-", &self.config.appendfilename[..], b".received"].concat())
    }

    /// The dump is not wanted as a base any more.
    pub(crate) fn remove_received(&mut self) {
        let path = self.received_path();
        self.host.remove_later(&path);
    }

    /// Makes the dump of so many bytes the base, once a manifest that names it is on the disk; the file is off until then. False where that
    /// cannot be, or where the dump is not what the data are any more: somebody wrote to this replica since it was loaded.
    pub(super) fn adopt_received(&mut self, bytes: u64) -> bool {
        if self.journal.dirty > 0 {
            self.remove_received();
            return false;
        }
        let adopted = self.place_received(bytes);
        if let Err(line) = &adopted {
            tracing::warn!("{line}");
        }
        adopted.is_ok()
    }

    fn place_received(&mut self, bytes: u64) -> Result<(), String> {
        let file_name = self.config.appendfilename.clone();
        let mut manifest = self.journal.append_only.manifest.clone();
        let name = manifest.add_base(&file_name, true);
        manifest.retire_increments(0);
        let increment = manifest.add_increment(&file_name);
        let (received, base) = (self.received_path(), self.part_path(&name));
        self.host
            .rename_part(&received, &base)
            .inspect_err(|_| self.remove_received())?;
        let path = self.part_path(&increment);
        let file = self
            .host
            .open_append(&path, true)
            .map_err(|why| {
                let shown = String::from_utf8_lossy(&increment);
                format!("Can't open the append-only file {shown}: {why}")
            })
            .inspect_err(|_| self.host.remove_later(&base))?;
        self.note_next_place(&manifest);
        self.note_forked();
        let aof = &mut self.journal.append_only;
        aof.file = Some(file);
        aof.state = State::WaitRewrite;
        self.start_install(Installing {
            manifest,
            since_ms: None,
            step: Step::Named { base, bytes },
        });
        Ok(())
    }

    /// What the primary sent is the base.
    pub(super) fn note_adopted(&mut self, base: &[u8]) {
        let rewrite = &mut self.journal.append_only.rewrite;
        (rewrite.last_failed, rewrite.failures) = (false, 0);
        let name = base.rsplit(|byte| *byte == b'/').next().unwrap_or(base);
        let shown = String::from_utf8_lossy(name);
        // Valkey says this only where the dump was to be on the disk; here it always is.
        let what = match self.config.repl_diskless_load {
            conf::DisklessLoad::Disabled => "Reused RDB file from primary sync as AOF base file",
            _ => "The RDB that was received from the primary is the AOF base file",
        };
        tracing::info!("{what}: {shown}");
    }
}
