//! From a command's name to its row: an index that `rename-command` can change at start.

use commands::Facts;

use crate::entry::{Callable, Entry};

/// Longest name that is compared by its words alone.
const SHORT: usize = 16;
/// Positions, a power of two: several times as many as there are commands.
const SLOTS: usize = 1024;
/// The bit in which small letters differ from big ones, in each byte.
const SMALL: u64 = 0x2020_2020_2020_2020;

/// Names to commands, by open addressing.
#[derive(Debug)]
pub(crate) struct Index {
    slots: Vec<Option<Slot>>,
    commands: &'static [Callable],
    /// Every command and subcommand, in the order of their numbers.
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Slot {
    words: [u64; 2],
    length: usize,
    /// All of the name is letters: then equal words are equal names, whatever the case.
    letters: bool,
    name: Box<[u8]>,
    entry: Entry,
}

impl Index {
    /// The commands under their own names.
    pub(crate) fn new(commands: &'static [Callable]) -> Self {
        let with_subs = |entry: Entry| std::iter::once(entry).chain(&entry.subs);
        let mut index = Self {
            slots: vec![None; SLOTS],
            commands,
            entries: commands.iter().flat_map(with_subs).collect(),
        };
        for entry in commands {
            index.insert(entry.command.name.as_bytes(), entry);
        }
        index
    }

    /// Every command.
    pub(crate) fn commands(&self) -> &'static [Callable] {
        self.commands
    }

    /// Every command and subcommand, in the order of their numbers.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The command or subcommand of this number.
    pub(crate) fn entry(&self, number: usize) -> Entry {
        self.entries[number]
    }

    /// The facts about every command and subcommand.
    pub(crate) fn facts(&self) -> impl Iterator<Item = &'static Facts> {
        self.entries.iter().map(|entry| entry.command)
    }

    /// The command that is called by `name`, in any case.
    #[inline]
    pub(crate) fn find(&self, name: &[u8]) -> Option<Entry> {
        let words = words(name);
        let mut at = place(words);
        while let Some(slot) = &self.slots[at % SLOTS] {
            if slot.words == words
                && slot.length == name.len()
                && (slot.letters || slot.name.eq_ignore_ascii_case(name))
            {
                return Some(slot.entry);
            }
            at += 1;
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
        let kept = std::mem::replace(&mut self.slots, vec![None; SLOTS]);
        for slot in kept.into_iter().flatten() {
            if !slot.name.eq_ignore_ascii_case(old) {
                self.insert(&slot.name, slot.entry);
            }
        }
        if !new.is_empty() {
            self.insert(new, entry);
        }
        true
    }

    fn insert(&mut self, name: &[u8], entry: Entry) {
        let words = words(name);
        let mut at = place(words);
        while self.slots[at % SLOTS].is_some() {
            at += 1;
        }
        self.slots[at % SLOTS] = Some(Slot {
            words,
            length: name.len(),
            letters: name.len() <= SHORT && name.iter().all(u8::is_ascii_alphabetic),
            name: name.into(),
            entry,
        });
    }
}

/// The first and the last bytes of a name, in one case. Up to [`SHORT`] bytes nothing of it is left out.
#[inline]
fn words(name: &[u8]) -> [u64; 2] {
    let [first, last] = match *name {
        [] => [0, 0],
        [a] => [u64::from(a), 0],
        [a, b] => [u64::from(a) | u64::from(b) << 8, 0],
        [a, b, c] => [u64::from(a) | u64::from(b) << 8 | u64::from(c) << 16, 0],
        _ if name.len() < 8 => [four(name.first_chunk()), four(name.last_chunk())],
        _ => [eight(name.first_chunk()), eight(name.last_chunk())],
    };
    [first | SMALL, last | SMALL]
}

#[inline]
fn four(bytes: Option<&[u8; 4]>) -> u64 {
    bytes.map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)))
}

#[inline]
fn eight(bytes: Option<&[u8; 8]>) -> u64 {
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Where a search starts. Names are few and fixed: nobody can flood it.
#[inline]
fn place([first, last]: [u64; 2]) -> usize {
    let mixed = (first ^ last.rotate_left(23)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 54) as usize
}

#[cfg(test)]
mod tests {
    use commands::{Flags, Traits};

    use super::*;
    use crate::entry::{Runner, resolve};
    use crate::rows::commands;

    #[test]
    fn finds_every_command_in_any_case_and_nothing_else() {
        let index = Index::new(commands());
        for entry in commands() {
            let name = entry.command.name;
            let found = index.find(name.to_uppercase().as_bytes());
            assert_eq!(found.map(|entry| entry.command.name), Some(name));
        }
        for other in [
            &b"nosuchcommand"[..],
            b"",
            b"ge",
            b"gett",
            b"g\x45\x74\0",
            b"get\0",
            b"GE\x14",
        ] {
            assert!(index.find(other).is_none(), "{other:?}");
        }
    }

    #[test]
    fn every_command_and_subcommand_has_a_function() {
        let mut names = std::collections::BTreeSet::new();
        for (number, entry) in Index::new(commands()).entries().iter().enumerate() {
            assert_eq!(entry.number, number, "{}", entry.command.name);
            assert!(
                names.insert(entry.command.name),
                "{} twice",
                entry.command.name
            );
            let help = entry.command.short_name() == "help" && entry.command.name.contains('|');
            let runs = !matches!(entry.runner, Runner::Help);
            let container = !entry.subs.is_empty();
            assert!(runs != help || container, "{}", entry.command.name);
        }
    }

    #[test]
    fn subcommands_are_found_in_any_case() {
        let index = Index::new(commands());
        let config = index.find(b"config").unwrap();
        let found = resolve(config, &[b"config", b"GeT", b"x"]).unwrap();
        assert_eq!(found.command.name, "config|get");
        let unknown = resolve(config, &[b"config", b"gets"]).unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "ERR unknown subcommand 'gets'. Try CONFIG HELP."
        );
        assert_eq!(
            resolve(config, &[b"config"]).unwrap().command.name,
            "config"
        );
    }

    #[test]
    fn what_is_plain_has_no_keys_and_closes_no_gate() {
        let index = Index::new(commands());
        let plain = |entry: &&Entry| entry.command.traits.has(Traits::PLAIN);
        let names: Vec<&str> = index
            .entries()
            .iter()
            .filter(plain)
            .map(|entry| entry.command.name)
            .collect();
        assert!(names.contains(&"echo"), "{names:?}");
        let others = Flags::parse("write denyoom admin pubsub blocking asking no_auth");
        for entry in index.entries().iter().filter(plain) {
            let name = entry.command.name;
            assert!(entry.keyless && !entry.command.flags.has(others), "{name}");
            assert!(matches!(entry.runner, Runner::Engine(_)), "{name}");
        }
    }

    #[test]
    fn where_only_the_access_to_a_key_varies_its_place_is_known() {
        let index = Index::new(commands());
        let at = |name: &str| index.find(name.as_bytes()).unwrap().single_key;
        for name in ["get", "set", "delex", "bitfield", "incr"] {
            assert_eq!(at(name), Some(1), "{name}");
        }
        for name in ["sort", "georadius", "migrate", "mget", "eval", "ping"] {
            assert_eq!(at(name), None, "{name}");
        }
    }

    #[test]
    fn rename_moves_or_removes() {
        let mut index = Index::new(commands());
        assert!(index.rename(b"GET", b"fetch"));
        assert!(index.find(b"get").is_none());
        assert_eq!(
            index.find(b"FETCH").map(|entry| entry.command.name),
            Some("get")
        );
        // Other bytes than letters have no case.
        assert!(index.rename(b"config", b"0@config"));
        assert!(index.find(b"\x10@config").is_none());
        assert!(index.find(b"0`config").is_none());
        assert!(index.find(b"0@CONFIG").is_some());
        let long = b"a-name-of-more-than-sixteen-bytes";
        assert!(index.rename(b"debug", long));
        assert!(index.find(b"a-name-of-less-than-sixteen-bytes").is_none());
        assert!(index.find(&long.to_ascii_uppercase()).is_some());
        assert!(index.rename(b"flushall", b""));
        assert!(index.find(b"flushall").is_none());
        assert!(!index.rename(b"set", b"del"));
        assert!(!index.rename(b"nosuch", b"x"));
    }
}
