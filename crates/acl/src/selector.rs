//! One set of permissions, and the rules that change it.

use std::collections::{BTreeMap, BTreeSet};

use commands::table::Categories;

use crate::Catalog;
use crate::rule::{RuleError, has_blanks, is_blank};

/// What may be done with the keys of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

impl Access {
    /// Whether this allows all that `wanted` asks for.
    pub(crate) fn covers(self, wanted: Self) -> bool {
        (self.read || !wanted.read) && (self.write || !wanted.write)
    }
}

/// A pattern of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyPattern {
    pub(crate) access: Access,
    pub(crate) glob: Box<[u8]>,
    /// It is so many bytes of plain text, and stars: what most patterns are.
    plain: Option<usize>,
}

impl KeyPattern {
    fn new(access: Access, glob: &[u8]) -> Self {
        Self {
            access,
            glob: glob.into(),
            plain: resp::glob::plain_prefix(glob).map(<[u8]>::len),
        }
    }

    /// Whether it is for this key.
    #[inline]
    pub(crate) fn matches(&self, key: &[u8]) -> bool {
        match self.plain {
            Some(_) => self.begins(key),
            None => resp::glob::matches(&self.glob, key),
        }
    }

    /// Whether it is plain, and for this key.
    #[inline]
    pub(crate) fn begins(&self, key: &[u8]) -> bool {
        self.plain
            .is_some_and(|length| key.starts_with(&self.glob[..length]))
    }
}

/// What is allowed: everything, or what is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Allowed<T> {
    All,
    Only(T),
}

impl<T> Allowed<T> {
    pub(crate) fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }
}

/// A change of the allowed commands, kept to describe the selector.
#[derive(Clone, Debug, PartialEq, Eq)]
struct CommandRule {
    allows: bool,
    /// `get`, `config|get`, `select|0`, `@read`
    what: Box<[u8]>,
}

/// One set of permissions. A command is allowed if one selector of the user allows all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// All commands are allowed, without a look at `commands`.
    pub(crate) all_commands: bool,
    /// A bit per command of the catalog.
    commands: Box<[u64]>,
    /// It began with `+@all`.
    begins_with_all: bool,
    rules: Vec<CommandRule>,
    /// Commands that are allowed with these first arguments only.
    first_arguments: BTreeMap<usize, Vec<Box<[u8]>>>,
    pub(crate) keys: Allowed<Vec<KeyPattern>>,
    pub(crate) channels: Allowed<Vec<Box<[u8]>>>,
    pub(crate) databases: Allowed<BTreeSet<u32>>,
}

impl Selector {
    /// One that allows nothing, but all databases, and all channels if `acl-pubsub-default` says so.
    pub(crate) fn new(catalog: &Catalog, all_channels: bool) -> Self {
        Self {
            all_commands: false,
            commands: vec![0; catalog.len().div_ceil(64)].into(),
            begins_with_all: false,
            rules: Vec::new(),
            first_arguments: BTreeMap::new(),
            keys: Allowed::Only(Vec::new()),
            channels: if all_channels {
                Allowed::All
            } else {
                Allowed::Only(Vec::new())
            },
            databases: Allowed::All,
        }
    }

    /// One from `(rule …)`.
    pub(crate) fn parse(
        catalog: &Catalog,
        all_channels: bool,
        text: &[u8],
    ) -> Result<Self, RuleError> {
        let mut selector = Self::new(catalog, all_channels);
        let inner = text
            .strip_prefix(b"(")
            .and_then(|text| text.strip_suffix(b")"))
            .ok_or(RuleError::Syntax)?;
        let words = inner.split(|byte| is_blank(*byte));
        for word in words.filter(|word| !word.is_empty()) {
            // Written down, it would end the selector.
            if word.ends_with(b")") {
                return Err(RuleError::Syntax);
            }
            selector.apply(catalog, word)?;
        }
        Ok(selector)
    }

    /// Whether it allows everything.
    pub(crate) fn allows_everything(&self) -> bool {
        self.all_commands && self.keys.is_all() && self.channels.is_all() && self.databases.is_all()
    }

    /// Whether a command may be run, whatever its arguments are but for the first.
    #[inline]
    pub(crate) fn allows_command(&self, command: usize, first: Option<&[u8]>) -> bool {
        self.lists_command(command) || self.allows_first_argument(command, first)
    }

    /// Whether a command may be run, whatever its arguments are.
    #[inline]
    pub(crate) fn lists_command(&self, command: usize) -> bool {
        let bit = self.commands.get(command / 64).copied().unwrap_or(0) >> (command % 64) & 1;
        self.all_commands || bit != 0
    }

    #[cold]
    fn allows_first_argument(&self, command: usize, first: Option<&[u8]>) -> bool {
        let (Some(allowed), Some(first)) = (self.first_arguments.get(&command), first) else {
            return false;
        };
        allowed.iter().any(|word| word.eq_ignore_ascii_case(first))
    }

    /// Applies one rule.
    pub(crate) fn apply(&mut self, catalog: &Catalog, rule: &[u8]) -> Result<(), RuleError> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        if is("allkeys") || is("~*") {
            self.keys = Allowed::All;
        } else if is("resetkeys") {
            self.keys = Allowed::Only(Vec::new());
        } else if is("allchannels") || is("&*") {
            self.channels = Allowed::All;
        } else if is("resetchannels") {
            self.channels = Allowed::Only(Vec::new());
        } else if is("alldbs") {
            self.databases = Allowed::All;
        } else if is("resetdbs") {
            self.databases = Allowed::Only(BTreeSet::new());
        } else if is("allcommands") || is("+@all") {
            self.set_all_commands(true);
        } else if is("nocommands") || is("-@all") {
            self.set_all_commands(false);
        } else if rule.len() >= 3 && rule[..3].eq_ignore_ascii_case(b"db=") {
            self.databases = Allowed::Only(parse_databases(&rule[3..])?);
        } else {
            return self.apply_pattern(catalog, rule);
        }
        Ok(())
    }

    /// Applies a rule that its first sign tells.
    fn apply_pattern(&mut self, catalog: &Catalog, rule: &[u8]) -> Result<(), RuleError> {
        match rule {
            [b'~' | b'%', ..] => self.add_keys(rule),
            [b'&', channel @ ..] => self.add_channel(channel),
            [b'+', b'@', ..] => self.set_category(catalog, &rule[1..], true),
            [b'-', b'@', ..] => self.set_category(catalog, &rule[1..], false),
            [b'+', name @ ..] => self.allow(catalog, name),
            [b'-', name @ ..] => {
                let at = catalog.find(name).ok_or(RuleError::Unknown)?;
                self.set_command(catalog, at, false);
                self.note_rule(catalog.command(at).facts.name.as_bytes(), false);
                Ok(())
            }
            _ => Err(RuleError::Syntax),
        }
    }

    // ---- keys, channels, databases ---------------------------------------------------------------------------------------

    fn add_keys(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        let Allowed::Only(patterns) = &mut self.keys else {
            return Err(RuleError::KeysAfterAll);
        };
        let (access, glob) = parse_keys(rule).ok_or(RuleError::Syntax)?;
        if has_blanks(glob) {
            return Err(RuleError::Syntax);
        }
        match patterns.iter_mut().find(|known| *known.glob == *glob) {
            Some(known) => {
                known.access.read |= access.read;
                known.access.write |= access.write;
            }
            None => patterns.push(KeyPattern::new(access, glob)),
        }
        Ok(())
    }

    fn add_channel(&mut self, glob: &[u8]) -> Result<(), RuleError> {
        let Allowed::Only(patterns) = &mut self.channels else {
            return Err(RuleError::ChannelsAfterAll);
        };
        if has_blanks(glob) {
            return Err(RuleError::Syntax);
        }
        if !patterns.iter().any(|known| **known == *glob) {
            patterns.push(glob.into());
        }
        Ok(())
    }

    // ---- commands --------------------------------------------------------------------------------------------------------

    fn set_all_commands(&mut self, allowed: bool) {
        self.commands.fill(if allowed { u64::MAX } else { 0 });
        self.all_commands = allowed;
        self.begins_with_all = allowed;
        self.rules.clear();
        self.first_arguments.clear();
    }

    fn set_category(
        &mut self,
        catalog: &Catalog,
        name: &[u8],
        allowed: bool,
    ) -> Result<(), RuleError> {
        let category = Categories::named(&name[1..]).ok_or(RuleError::Unknown)?;
        self.note_rule(name, allowed);
        for (at, command) in catalog.iter() {
            if command.facts.categories.has(category) {
                self.set_command(catalog, at, allowed);
            }
        }
        Ok(())
    }

    /// `+command`, `+container|sub`, `+command|argument`
    fn allow(&mut self, catalog: &Catalog, name: &[u8]) -> Result<(), RuleError> {
        let Some(bar) = name.iter().rposition(|byte| *byte == b'|') else {
            let at = catalog.find(name).ok_or(RuleError::Unknown)?;
            self.set_command(catalog, at, true);
            self.note_rule(catalog.command(at).facts.name.as_bytes(), true);
            return Ok(());
        };
        let argument = &name[bar + 1..];
        let at = catalog.find(&name[..bar]).ok_or(RuleError::Unknown)?;
        let command = catalog.command(at);
        if command.parent.is_some() {
            return Err(RuleError::SubcommandArgument);
        }
        if argument.is_empty() {
            return Err(RuleError::Syntax);
        }
        if command.subs.is_empty() {
            // It would not survive being printed and read.
            if has_blanks(argument) {
                return Err(RuleError::Syntax);
            }
            let known = self.first_arguments.entry(at).or_default();
            if !known.iter().any(|word| word.eq_ignore_ascii_case(argument)) {
                known.push(argument.into());
            }
        } else {
            let sub = catalog.find(name).ok_or(RuleError::Unknown)?;
            self.set_command(catalog, sub, true);
        }
        self.note_rule(name, true);
        Ok(())
    }

    /// A command and its subcommands.
    fn set_command(&mut self, catalog: &Catalog, at: usize, allowed: bool) {
        self.set_bit(at, allowed);
        self.first_arguments.remove(&at);
        for sub in &catalog.command(at).subs {
            self.set_bit(*sub, allowed);
        }
    }

    fn set_bit(&mut self, at: usize, allowed: bool) {
        let Some(word) = self.commands.get_mut(at / 64) else {
            return;
        };
        if allowed {
            *word |= 1 << (at % 64);
        } else {
            *word &= !(1 << (at % 64));
            self.all_commands = false;
        }
    }

    /// Keeps a rule, in the place of earlier ones on the same command and its subcommands.
    fn note_rule(&mut self, what: &[u8], allows: bool) {
        let what = what.to_ascii_lowercase();
        self.rules.retain(|rule| {
            let rest = rule.what.strip_prefix(&what[..]);
            !rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'|')))
        });
        self.rules.push(CommandRule {
            allows,
            what: what.into(),
        });
    }

    // ---- describing ------------------------------------------------------------------------------------------------------

    /// The rules that allow its commands.
    #[must_use]
    pub fn describe_commands(&self) -> Vec<u8> {
        let mut text = if self.begins_with_all {
            b"+@all".to_vec()
        } else {
            b"-@all".to_vec()
        };
        for rule in &self.rules {
            text.extend_from_slice(if rule.allows { b" +" } else { b" -" });
            text.extend_from_slice(&rule.what);
        }
        text
    }

    /// The rules that allow its keys.
    #[must_use]
    pub fn describe_keys(&self) -> Vec<u8> {
        let Allowed::Only(patterns) = &self.keys else {
            return b"~*".to_vec();
        };
        let sign = |access: Access| match access {
            Access { write: false, .. } => &b"%R~"[..],
            Access { read: false, .. } => b"%W~",
            _ => b"~",
        };
        let each = patterns.iter();
        let each: Vec<Vec<u8>> = each
            .map(|pattern| [sign(pattern.access), &pattern.glob].concat())
            .collect();
        each.join(&b' ')
    }

    /// The rules that allow its channels.
    #[must_use]
    pub fn describe_channels(&self) -> Vec<u8> {
        let Allowed::Only(patterns) = &self.channels else {
            return b"&*".to_vec();
        };
        let each: Vec<Vec<u8>> = patterns
            .iter()
            .map(|glob| [b"&", &**glob].concat())
            .collect();
        each.join(&b' ')
    }

    /// The rules that allow its databases.
    #[must_use]
    pub fn describe_databases(&self) -> String {
        match &self.databases {
            Allowed::All => "alldbs".into(),
            Allowed::Only(databases) if databases.is_empty() => String::new(),
            Allowed::Only(databases) => {
                let each: Vec<String> = databases.iter().map(u32::to_string).collect();
                format!("db={}", each.join(","))
            }
        }
    }

    /// Rules that make it.
    #[must_use]
    pub fn describe(&self) -> Vec<u8> {
        let mut parts = vec![self.describe_keys()];
        if !self.channels.is_all() {
            parts.push(b"resetchannels".to_vec());
        }
        parts.push(self.describe_channels());
        match &self.databases {
            // Older servers do not know the word.
            Allowed::All => {}
            Allowed::Only(databases) if databases.is_empty() => parts.push(b"resetdbs".to_vec()),
            Allowed::Only(_) => parts.push(self.describe_databases().into_bytes()),
        }
        parts.push(self.describe_commands());
        parts.retain(|part| !part.is_empty());
        parts.join(&b' ')
    }
}

/// `~glob`, `%R~glob`, `%W~glob`, `%RW~glob`. None where it is malformed.
fn parse_keys(rule: &[u8]) -> Option<(Access, &[u8])> {
    if let Some(glob) = rule.strip_prefix(b"~") {
        let access = Access {
            read: true,
            write: true,
        };
        return Some((access, glob));
    }
    let mut access = Access {
        read: false,
        write: false,
    };
    // Without a `~` the pattern is empty.
    let mut rest = &rule[1..];
    while let [sign, more @ ..] = rest {
        rest = more;
        match sign {
            b'R' | b'r' if !access.read => access.read = true,
            b'W' | b'w' if !access.write => access.write = true,
            b'~' => break,
            _ => return None,
        }
    }
    (access.read || access.write).then_some((access, rest))
}

/// Numbers separated by commas.
fn parse_databases(list: &[u8]) -> Result<BTreeSet<u32>, RuleError> {
    let mut databases = BTreeSet::new();
    for number in list.split(|byte| *byte == b',') {
        let digits = number
            .strip_prefix(b"-")
            .or(number.strip_prefix(b"+"))
            .unwrap_or(number);
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(RuleError::Syntax);
        }
        let number = resp::number::parse_i64(digits).filter(|_| !number.starts_with(b"-"));
        let number = number.filter(|number| *number <= i64::from(i32::MAX));
        let number = number.and_then(|number| u32::try_from(number).ok());
        databases.insert(number.ok_or(RuleError::DatabaseRange)?);
    }
    Ok(databases)
}
