//! The commands that rules can name.

use std::collections::BTreeMap;

use commands::Facts;
use commands::table::{Begin, Categories, Find, KeyFlags};

/// A command or subcommand.
#[derive(Debug)]
pub struct Command {
    /// What is known about it.
    pub facts: &'static Facts,
    /// The command that it is a subcommand of.
    pub(crate) parent: Option<usize>,
    /// Its subcommands.
    pub(crate) subs: Vec<usize>,
    /// Some of its words can be keys.
    pub(crate) has_keys: bool,
    /// It touches the client's database.
    pub(crate) in_database: bool,
    /// Which word its only key is, where there can be no other one.
    pub(crate) key_at: Option<usize>,
    /// The same key, where it is always used in one way.
    pub(crate) single_key: Option<(usize, KeyFlags)>,
}

/// The commands of one daemon. A command is named by its place.
#[derive(Debug)]
pub struct Catalog {
    commands: Vec<Command>,
    by_name: BTreeMap<&'static str, usize>,
}

impl Catalog {
    /// A catalog of these commands, in this order. A subcommand (`container|sub`) comes after its container.
    #[must_use]
    pub fn new(facts: impl Iterator<Item = &'static Facts>) -> Self {
        let mut catalog = Self {
            commands: Vec::new(),
            by_name: BTreeMap::new(),
        };
        for facts in facts {
            let own = catalog.commands.len();
            let container = facts.name.split_once('|').map(|(container, _)| container);
            let parent = container.and_then(|name| catalog.by_name.get(name).copied());
            if let Some(parent) = parent {
                catalog.commands[parent].subs.push(own);
            }
            catalog.by_name.insert(facts.name, own);
            catalog.commands.push(Command::new(facts, parent));
        }
        catalog
    }

    /// How many commands and subcommands there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// The command of this name, in any case; `container|sub` for a subcommand.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        let name = name.to_ascii_lowercase();
        self.by_name.get(std::str::from_utf8(&name).ok()?).copied()
    }

    /// The command at a place.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    #[inline]
    pub fn command(&self, at: usize) -> &Command {
        &self.commands[at]
    }

    /// The names of the commands of a category.
    pub fn in_category(&self, category: Categories) -> impl Iterator<Item = &'static str> {
        self.commands
            .iter()
            .filter(move |command| command.facts.categories.has(category))
            .map(|command| command.facts.name)
    }

    /// All commands.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &Command)> {
        self.commands.iter().enumerate()
    }
}

impl Command {
    fn new(facts: &'static Facts, parent: Option<usize>) -> Self {
        let has_keys = facts.has_keys();
        let only_key = match facts.keys {
            [spec] if has_keys => match (spec.begin, spec.find) {
                (Begin::Index(at), Find::Range { last: 0, .. }) => {
                    usize::try_from(at).ok().map(|at| (at, spec.flags))
                }
                _ => None,
            },
            _ => None,
        };
        let is_found = facts.key_finder.is_some();
        let single_key = only_key.filter(|_| !is_found);
        // What has to be found out is only how it is used.
        let key_at = only_key.filter(|(_, flags)| !is_found || flags.has(KeyFlags::VARIABLE_FLAGS));
        let data = Categories::parse("keyspace read write");
        Self {
            facts,
            parent,
            subs: Vec::new(),
            has_keys,
            in_database: has_keys || facts.categories.has(data),
            key_at: key_at.map(|(at, _)| at),
            single_key,
        }
    }
}
