//! What goes to the append-only file and to the replicas: every change, in order, as commands.

use crate::Engine;

/// Commands that belong together (EXEC, a script): they are framed by MULTI and EXEC once the first change is seen.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) depth: usize,
    pub(crate) opened: bool,
}

impl Engine {
    /// One changing command for the append-only file and the replicas.
    pub(crate) fn propagate(&mut self, db: usize, args: &[&[u8]]) {
        if self.journal.replaying {
            return;
        }
        if self.journal.group.depth > 0 {
            self.open_group(db);
        }
        self.feed(db, args);
    }

    /// One command that changes no data, for the replicas alone. By itself it makes no transaction: the file has nothing to frame.
    pub(crate) fn propagate_to_replicas(&mut self, db: usize, args: &[&[u8]]) {
        if !self.journal.replaying {
            self.feed_replicas(Some(db), args);
        }
    }

    /// What follows belongs together until [`Engine::end_group`].
    pub(crate) fn begin_group(&mut self) {
        self.journal.group.depth += 1;
    }

    fn open_group(&mut self, db: usize) {
        if !self.journal.group.opened {
            self.journal.group.opened = true;
            self.feed(db, &[b"MULTI"]);
        }
    }

    /// Ends what [`Engine::begin_group`] began.
    pub(crate) fn end_group(&mut self) {
        self.journal.group.depth -= 1;
        if self.journal.group.depth == 0 && std::mem::take(&mut self.journal.group.opened) {
            let db = self.journal.propagated_db;
            self.feed(db, &[b"EXEC"]);
        }
    }

    fn feed(&mut self, db: usize, args: &[&[u8]]) {
        self.journal.propagated_db = db;
        self.feed_append_only(db, args);
        self.feed_replicas(Some(db), args);
    }
}
