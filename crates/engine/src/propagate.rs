//! What goes to the append-only file and to the replicas: every change, in order, as commands.

use script::Targets;

use crate::Engine;
use crate::journal::group::Held;
use crate::journal::older::{Command, Told};

impl Engine {
    /// One changing command for the append-only file and the replicas.
    pub(crate) fn propagate(&mut self, db: usize, args: &[&[u8]]) {
        let targets = self.script_targets();
        self.propagate_to(db, targets, args);
    }

    /// Commands that together tell of one change.
    pub(crate) fn propagate_all(&mut self, db: usize, commands: &[Vec<Box<[u8]>>]) {
        let targets = self.script_targets();
        self.begin_group();
        let words = commands
            .iter()
            .map(|command| command.iter().map(AsRef::as_ref));
        if self.is_heard(targets) && self.has_level(targets) {
            let words: Vec<Vec<&[u8]>> = words.map(Iterator::collect).collect();
            let told = self.tell_all(db, &words);
            for (args, told) in words.iter().zip(told) {
                self.hold_or_feed(db, targets, args, told);
            }
        } else {
            for args in words {
                self.propagate_to(db, targets, &args.collect::<Vec<&[u8]>>());
            }
        }
        self.end_group();
    }

    fn script_targets(&self) -> Targets {
        let running = self.scripting.running.as_ref();
        running.map_or(Targets::ALL, |script| script.targets)
    }

    /// One command that changes no data, for the replicas alone.
    pub(crate) fn propagate_to_replicas(&mut self, db: usize, args: &[&[u8]]) {
        let targets = Targets {
            file: false,
            replicas: true,
        };
        self.propagate_to(db, targets, args);
    }

    fn is_heard(&self, targets: Targets) -> bool {
        let heard = targets.file && !self.appends_nothing()
            || targets.replicas && (self.writes_stream() || self.keeper.migrations.is_exporting());
        heard && !self.journal.replaying
    }

    /// Whether the replicas are told in other words than those of today.
    fn has_level(&self, targets: Targets) -> bool {
        self.journal.replicas.older.level.is_some() && targets.replicas && self.writes_stream()
    }

    /// Whether a command that stands alone is told in its own words, and to nobody but the file and the replicas.
    pub(crate) fn says_as_sent(&self) -> bool {
        !self.has_level(Targets::ALL) && !self.keeper.migrations.is_exporting()
    }

    fn propagate_to(&mut self, db: usize, targets: Targets, args: &[&[u8]]) {
        if !self.is_heard(targets) {
            return;
        }
        let told = if self.has_level(targets) {
            self.tell(db, args)
        } else {
            Told::Same
        };
        self.hold_or_feed(db, targets, args, told);
    }

    fn hold_or_feed(&mut self, db: usize, targets: Targets, args: &[&[u8]], told: Told) {
        if self.journal.group.depth > 0 && !self.journal.group.opened {
            if self.journal.group.first.is_none() {
                self.journal.group.first = Some(Held {
                    db,
                    targets,
                    words: args.iter().map(|&word| word.into()).collect(),
                    told,
                });
                return;
            }
            self.open_group();
        }
        self.feed(db, targets, args, told);
    }

    /// Holds nothing back any more: what was is in the stream, framed, as that which follows will be.
    pub(crate) fn open_group(&mut self) {
        if let Some(first) = self.journal.group.first.take() {
            self.journal.group.opened = true;
            self.feed_frame(b"MULTI");
            self.feed_held(first);
        }
    }

    /// What follows belongs together until [`Engine::end_group`].
    pub(crate) fn begin_group(&mut self) {
        self.journal.group.depth += 1;
    }

    /// Ends what [`Engine::begin_group`] began.
    pub(crate) fn end_group(&mut self) {
        self.journal.group.depth -= 1;
        if self.journal.group.depth > 0 {
            return;
        }
        if let Some(only) = self.journal.group.first.take() {
            self.feed_held(only);
        }
        if std::mem::take(&mut self.journal.group.opened) {
            self.feed_frame(b"EXEC");
        }
    }

    /// As [`Engine::end_group`], but what was held back goes nowhere: the server ends, and what was begun is to be lost.
    pub(crate) fn drop_group(&mut self) {
        self.journal.group.first = None;
        self.journal.group.opened = false;
        self.journal.group.depth = self.journal.group.depth.saturating_sub(1);
    }

    fn feed_held(&mut self, held: Held) {
        let words: Vec<&[u8]> = held.words.iter().map(AsRef::as_ref).collect();
        self.feed(held.db, held.targets, &words, held.told);
    }

    /// MULTI or EXEC, which are of no database.
    fn feed_frame(&mut self, word: &[u8]) {
        self.feed_append_only(None, &[word]);
        self.feed_replicas(None, &[word]);
    }

    fn feed(&mut self, db: usize, targets: Targets, args: &[&[u8]], told: Told) {
        if targets.file {
            self.feed_append_only(Some(db), args);
            self.count_unheard();
        }
        if targets.replicas {
            match told {
                Told::Same => self.feed_replicas(Some(db), args),
                Told::Instead(commands) => self.feed_instead(&commands),
                Told::Beyond(why) => {
                    self.feed_replicas(Some(db), args);
                    self.leave_old_replicas(args, &why);
                }
            }
            self.note_stream_usage(args);
            if self.keeper.migrations.is_exporting() {
                self.feed_exports(db, args);
            }
        }
    }

    /// Commands for the replicas alone, which belong together.
    fn feed_instead(&mut self, commands: &[Command]) {
        let framed = commands.len() > 1 && !self.journal.group.opened;
        if framed {
            self.feed_replicas(None, &[b"MULTI"]);
        }
        for Command { db, words } in commands {
            let words: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
            self.feed_replicas(Some(*db), &words);
        }
        if framed {
            self.feed_replicas(None, &[b"EXEC"]);
        }
    }
}
