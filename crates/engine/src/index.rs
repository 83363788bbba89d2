//! From a command's name to its row: an index that `rename-command` can change at start.

use commands::table::{COMMANDS, Command};
use commands::{Args, Done};

use crate::{ClientId, Engine};

/// A command that knows more than data. Its reply goes to the client's output.
pub(crate) type EngineFn = fn(&mut Engine, ClientId, Args<'_>) -> Done;

/// What runs a command, resolved.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Runner {
    Data(commands::table::DataFn),
    Engine(EngineFn),
}

/// A command as it can be called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) command: &'static Command,
    pub(crate) runner: Runner,
    /// Its place in [`COMMANDS`], for statistics.
    pub(crate) number: usize,
}

/// Longest name that is looked up; longer ones are unknown, unless `rename-command` made one.
const SHORT: usize = 16;

/// Names to commands, by open addressing on the lower-cased first bytes.
#[derive(Debug)]
pub(crate) struct Index {
    slots: Vec<Option<(Box<[u8]>, Entry)>>,
}

impl Index {
    /// All commands under their own names.
    pub(crate) fn new() -> Self {
        let mut index = Self {
            slots: vec![None; 1024],
        };
        for (number, command) in COMMANDS.iter().enumerate() {
            let runner = match command.run {
                commands::Run::Data(run) => Some(Runner::Data(run)),
                commands::Run::Engine => {
                    crate::dispatch::engine_fn(command.name).map(Runner::Engine)
                }
            };
            if let Some(runner) = runner {
                index.insert(
                    command.name.as_bytes(),
                    Entry {
                        command,
                        runner,
                        number,
                    },
                );
            }
        }
        index
    }

    /// The command that is called by `name`, in any case.
    pub(crate) fn find(&self, name: &[u8]) -> Option<Entry> {
        let mut at = hash(name) & (self.slots.len() - 1);
        while let Some((known, entry)) = &self.slots[at] {
            if known.eq_ignore_ascii_case(name) {
                return Some(*entry);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
        None
    }

    /// `rename-command old new`; an empty `new` takes the command away. False where `old` is unknown or `new` is taken.
    pub(crate) fn rename(&mut self, old: &[u8], new: &[u8]) -> bool {
        let Some(entry) = self.find(old) else {
            return false;
        };
        if self.find(new).is_some() {
            return false;
        }
        let kept = std::mem::take(&mut self.slots);
        self.slots = vec![None; kept.len()];
        for (name, entry) in kept.into_iter().flatten() {
            if !name.eq_ignore_ascii_case(old) {
                self.insert(&name, entry);
            }
        }
        if !new.is_empty() {
            self.insert(new, entry);
        }
        true
    }

    fn insert(&mut self, name: &[u8], entry: Entry) {
        let mut at = hash(name) & (self.slots.len() - 1);
        while self.slots[at].is_some() {
            at = (at + 1) & (self.slots.len() - 1);
        }
        self.slots[at] = Some((name.into(), entry));
    }
}

/// FNV-1a over the lower-cased first bytes and the length. Names are few and fixed: nobody can flood it.
fn hash(name: &[u8]) -> usize {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ u64::try_from(name.len()).unwrap_or(0);
    for byte in name.iter().take(SHORT) {
        hash = (hash ^ u64::from(byte | 0x20)).wrapping_mul(0x0100_0000_01b3);
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "only the low bits are used"
    )]
    let folded = (hash ^ (hash >> 29)) as usize;
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_command_in_any_case_and_nothing_else() {
        let index = Index::new();
        for command in COMMANDS {
            let found = index
                .find(command.name.to_uppercase().as_bytes())
                .map(|entry| entry.command.name);
            assert_eq!(found, Some(command.name));
        }
        assert!(index.find(b"nosuchcommand").is_none());
        assert!(index.find(b"").is_none());
    }

    #[test]
    fn rename_moves_or_removes() {
        let mut index = Index::new();
        assert!(index.rename(b"GET", b"fetch"));
        assert!(index.find(b"get").is_none());
        assert_eq!(
            index.find(b"FETCH").map(|entry| entry.command.name),
            Some("get")
        );
        assert!(index.rename(b"flushall", b""));
        assert!(index.find(b"flushall").is_none());
        assert!(!index.rename(b"set", b"del"));
        assert!(!index.rename(b"nosuch", b"x"));
    }
}
