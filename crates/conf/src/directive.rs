//! What a table of directives is made of, and what is done with one: load a value from a file, answer `CONFIG GET`, obey
//! `CONFIG SET`. Which directives exist is the daemon's own table ([`crate::server`]); rewriting is in
//! [`crate::rewrite`].

use std::borrow::Cow;
use std::ops::RangeInclusive;

use resp::{args, glob, number};
use thiserror::Error;

use crate::rewrite::Rewriter;
use crate::value::{Choice, format_memory, parse_memory};

/// The highest value of C's `int`, which most of Redis's parameters are.
pub(crate) const INT_MAX: i64 = i32::MAX as i64;

/// All parameters of a daemon whose configuration is a `C`. `E` says which part of it a change concerns.
#[derive(Debug)]
pub struct Table<C: 'static, E: 'static> {
    /// The directives, in the order in which `CONFIG REWRITE` appends them.
    pub directives: &'static [Directive<C, E>],
    /// The parameters that `CONFIG GET` shows, in its order.
    pub shown: &'static [&'static str],
}

impl<C, E: Copy> Table<C, E> {
    /// The directive of that name, whatever its case.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<&'static Directive<C, E>> {
        self.directives
            .iter()
            .find(|directive| name.eq_ignore_ascii_case(directive.name.as_bytes()))
    }

    /// `CONFIG GET`: every shown parameter whose name matches the glob pattern (case counts), with its value.
    pub fn get<'a>(
        &'a self,
        config: &'a C,
        pattern: &'a [u8],
    ) -> impl Iterator<Item = (&'static str, Vec<u8>)> + 'a {
        let matching = self
            .shown
            .iter()
            .filter(|name| glob::matches(pattern, name.as_bytes()));
        matching.filter_map(|name| Some((*name, self.find(name.as_bytes())?.value(config))))
    }

    /// `CONFIG SET`: changes one parameter of `config` and tells which part of the daemon has to look at it again. When
    /// that part cannot follow, the caller puts the old configuration back.
    ///
    /// # Errors
    ///
    /// [`SetError`]; `config` is as it was.
    pub fn set(&self, config: &mut C, name: &[u8], value: &[u8]) -> Result<E, SetError> {
        let Some(directive) = self.find(name).filter(|directive| directive.settable) else {
            return Err(SetError::Unsupported(name.to_vec()));
        };
        match directive.kind.set(config, value) {
            Ok(()) => Ok(directive.effect),
            Err(Unset::Invalid) => Err(SetError::Invalid {
                name: name.to_vec(),
                value: value.to_vec(),
            }),
            Err(Unset::Because(reason)) => Err(SetError::Refused(reason)),
        }
    }
}

/// Why `CONFIG SET` changed nothing. Its text, after `ERR `, is the reply.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SetError {
    /// There is no such parameter, or it cannot be changed at run time.
    #[error("Unsupported CONFIG parameter: {}", String::from_utf8_lossy(.0))]
    Unsupported(Vec<u8>),
    /// The value is not one for this parameter.
    #[error("Invalid argument '{}' for CONFIG SET '{}'", String::from_utf8_lossy(.value), String::from_utf8_lossy(.name))]
    Invalid {
        /// The parameter, as the client wrote it.
        name: Vec<u8>,
        /// The value, as the client wrote it.
        value: Vec<u8>,
    },
    /// The parameter has an error text of its own.
    #[error("{0}")]
    Refused(&'static str),
}

impl SetError {
    /// The bytes for the wire, without `ERR `; the client's own bytes are left as they are, up to a NUL, as in C.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        match self {
            SetError::Unsupported(name) => [b"Unsupported CONFIG parameter: ", word(name)].concat(),
            SetError::Invalid { name, value } => [
                b"Invalid argument '",
                word(value),
                b"' for CONFIG SET '",
                word(name),
                b"'",
            ]
            .concat(),
            SetError::Refused(reason) => reason.as_bytes().to_vec(),
        }
    }
}

/// What C sees of these bytes as a text.
fn word(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// One parameter. Built by the functions named after its kind, then by `settable` and the like.
#[derive(Debug)]
pub struct Directive<C, E> {
    name: &'static str,
    kind: Kind<C>,
    in_file: bool,
    settable: bool,
    effect: E,
}

/// The outcome of loading a value: the reason why it is refused.
pub type Loaded = Result<(), Cow<'static, str>>;

/// Why a value was not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unset {
    /// The usual message, with name and value.
    Invalid,
    /// A message of its own.
    Because(&'static str),
}

/// A place in the configuration struct.
#[derive(Debug)]
pub struct Field<C, T> {
    /// Reads it.
    pub get: fn(&C) -> &T,
    /// Writes it.
    pub get_mut: fn(&mut C) -> &mut T,
}

/// A whole number in the configuration struct, of whatever type.
#[derive(Debug)]
pub struct IntField<C> {
    /// Reads it.
    pub get: fn(&C) -> i64,
    /// Writes it.
    pub set: fn(&mut C, i64),
}

/// One of a few words in the configuration struct.
#[derive(Debug)]
pub struct WordField<C> {
    /// Reads its word.
    pub get: fn(&C) -> &'static str,
    /// Writes it; `false` for a word that it does not know.
    pub set: fn(&mut C, &[u8]) -> bool,
}

#[derive(Debug)]
enum Kind<C> {
    Int(Int<C>),
    Text {
        field: Field<C, Vec<u8>>,
        check: Option<Check>,
    },
    OptionalText {
        field: Field<C, Option<Vec<u8>>>,
        check: Option<Check>,
    },
    Word {
        field: WordField<C>,
        wrong: &'static str,
    },
    Special(Special<C>),
}

/// A condition on text: whether it holds, the reason in a file, and the reason for `CONFIG SET`.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// The condition.
    pub holds: fn(&[u8]) -> bool,
    /// Why a file is refused.
    pub wrong: &'static str,
    /// Why `CONFIG SET` is refused.
    pub unset: Option<&'static str>,
}

#[derive(Debug)]
struct Int<C> {
    field: IntField<C>,
    in_file: RangeInclusive<i64>,
    settable: RangeInclusive<i64>,
    /// What is in range is moved into this one.
    clamp: RangeInclusive<i64>,
    wrong: &'static str,
    file_unit: Unit,
    set_unit: Unit,
    rewritten: Unit,
}

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Plain,
    Memory,
    Octal,
}

/// A directive that needs code of its own. Functions it does not have are features it does not have.
#[derive(Debug)]
pub struct Special<C> {
    /// How many arguments it takes in a file.
    pub arity: RangeInclusive<usize>,
    /// Takes the arguments of a line.
    pub load: fn(&mut C, &[Vec<u8>]) -> Loaded,
    /// `CONFIG SET`.
    pub set: fn(&mut C, &[u8]) -> Result<(), Unset>,
    /// `CONFIG GET`.
    pub get: fn(&C) -> Vec<u8>,
    /// The lines that `CONFIG REWRITE` wants in the file. The second configuration is the default one.
    pub rewrite: fn(&C, &C) -> Option<Vec<Line>>,
}

/// A line for the rewritten file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The whole line, without its end.
    pub text: Vec<u8>,
    /// Whether it is appended when the old file has no line to be replaced by it.
    pub force: bool,
}

/// Building.
impl<C, E: Copy> Directive<C, E> {
    const fn new(name: &'static str, kind: Kind<C>, effect: E) -> Self {
        Directive {
            name,
            kind,
            in_file: true,
            settable: false,
            effect,
        }
    }

    /// A whole number in that range; `wrong` is the reason when it is not.
    pub const fn int(
        name: &'static str,
        field: IntField<C>,
        range: RangeInclusive<i64>,
        wrong: &'static str,
        effect: E,
    ) -> Self {
        let (low, high) = (*range.start(), *range.end());
        let int = Int {
            field,
            in_file: range,
            settable: low..=high,
            clamp: i64::MIN..=i64::MAX,
            wrong,
            file_unit: Unit::Plain,
            set_unit: Unit::Plain,
            rewritten: Unit::Plain,
        };
        Directive::new(name, Kind::Int(int), effect)
    }

    /// Permission bits, written in base eight.
    pub const fn octal(
        name: &'static str,
        field: IntField<C>,
        range: RangeInclusive<i64>,
        wrong: &'static str,
        effect: E,
    ) -> Self {
        let mut directive = Self::int(name, field, range, wrong, effect);
        if let Kind::Int(int) = &mut directive.kind {
            (int.file_unit, int.set_unit, int.rewritten) = (Unit::Octal, Unit::Octal, Unit::Octal);
        }
        directive
    }

    /// Text that is always there.
    pub const fn text(
        name: &'static str,
        field: Field<C, Vec<u8>>,
        check: Option<Check>,
        effect: E,
    ) -> Self {
        Directive::new(name, Kind::Text { field, check }, effect)
    }

    /// Text whose empty form means that there is none.
    pub const fn optional_text(
        name: &'static str,
        field: Field<C, Option<Vec<u8>>>,
        check: Option<Check>,
        effect: E,
    ) -> Self {
        Directive::new(name, Kind::OptionalText { field, check }, effect)
    }

    /// One of a few words.
    pub const fn word(
        name: &'static str,
        field: WordField<C>,
        wrong: &'static str,
        effect: E,
    ) -> Self {
        Directive::new(name, Kind::Word { field, wrong }, effect)
    }

    /// A directive with code of its own.
    pub const fn special(name: &'static str, special: Special<C>, effect: E) -> Self {
        Directive::new(name, Kind::Special(special), effect)
    }

    /// `CONFIG SET` may change it.
    pub const fn settable(mut self) -> Self {
        self.settable = true;
        self
    }

    /// As [`settable`](Self::settable), in another range than a file may set it.
    pub const fn settable_in(mut self, low: i64, high: i64) -> Self {
        if let Kind::Int(int) = &mut self.kind {
            int.settable = RangeInclusive::new(low, high);
        }
        self.settable()
    }

    /// A number that is moved into this range, whatever is asked for.
    pub const fn clamped(mut self, low: i64, high: i64) -> Self {
        if let Kind::Int(int) = &mut self.kind {
            int.clamp = RangeInclusive::new(low, high);
        }
        self
    }

    /// In a file the number may have a unit of memory; `CONFIG SET` wants it plain.
    pub const fn with_unit_in_file(mut self) -> Self {
        if let Kind::Int(int) = &mut self.kind {
            int.file_unit = Unit::Memory;
        }
        self
    }

    /// The number may have a unit of memory everywhere.
    pub const fn with_unit(mut self) -> Self {
        if let Kind::Int(int) = &mut self.kind {
            (int.file_unit, int.set_unit) = (Unit::Memory, Unit::Memory);
        }
        self
    }

    /// `CONFIG REWRITE` writes the number with a unit of memory.
    pub const fn rewritten_with_unit(mut self) -> Self {
        if let Kind::Int(int) = &mut self.kind {
            int.rewritten = Unit::Memory;
        }
        self
    }

    /// Exists at run time only.
    pub const fn not_in_file(mut self) -> Self {
        self.in_file = false;
        self
    }
}

/// Using.
impl<C, E: Copy> Directive<C, E> {
    /// Its name, in lower case.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether a file may hold it.
    #[must_use]
    pub fn is_in_file(&self) -> bool {
        self.in_file
    }

    /// Whether `CONFIG SET` may change it.
    #[must_use]
    pub fn is_settable(&self) -> bool {
        self.settable
    }

    /// Which part of the daemon a change concerns.
    #[must_use]
    pub fn effect(&self) -> E {
        self.effect
    }

    /// The value as `CONFIG GET` prints it.
    #[must_use]
    pub fn value(&self, config: &C) -> Vec<u8> {
        match &self.kind {
            Kind::Int(int) if int.set_unit == Unit::Octal => {
                format!("{:o}", (int.field.get)(config)).into_bytes()
            }
            Kind::Int(int) => (int.field.get)(config).to_string().into_bytes(),
            Kind::Text { field, .. } => (field.get)(config).clone(),
            Kind::OptionalText { field, .. } => (field.get)(config).clone().unwrap_or_default(),
            Kind::Word { field, .. } => (field.get)(config).as_bytes().to_vec(),
            Kind::Special(special) => (special.get)(config),
        }
    }

    /// Takes the arguments of a line in a file.
    ///
    /// # Errors
    ///
    /// The reason, in Redis's words where it has some.
    pub fn load(&self, config: &mut C, arguments: &[Vec<u8>]) -> Loaded {
        let arity = if let Kind::Special(special) = &self.kind {
            special.arity.clone()
        } else {
            1..=1
        };
        if !self.in_file || !arity.contains(&arguments.len()) {
            return Err(BAD_DIRECTIVE.into());
        }
        match &self.kind {
            Kind::Special(special) => (special.load)(config, arguments),
            kind => kind.load(config, &arguments[0]),
        }
    }

    /// Gives the rewriter the lines that it wants in the file.
    pub(crate) fn rewrite(&self, config: &C, default: &C, rewriter: &mut Rewriter) {
        if !self.in_file {
            return;
        }
        let line = |value: &[u8]| [self.name.as_bytes(), b" ", value].concat();
        match &self.kind {
            Kind::Int(int) => {
                let (value, default) = ((int.field.get)(config), (int.field.get)(default));
                rewriter.line(
                    self.name,
                    line(int.rewritten.format(value).as_bytes()),
                    value != default,
                );
            }
            Kind::Word { field, .. } => {
                let (value, default) = ((field.get)(config), (field.get)(default));
                rewriter.line(self.name, line(value.as_bytes()), value != default);
            }
            Kind::Text { field, .. } => {
                let (value, default) = ((field.get)(config), (field.get)(default));
                rewriter.line(self.name, line(&quoted(value)), value != default);
            }
            Kind::OptionalText { field, .. } => match (field.get)(config) {
                Some(value) => rewriter.line(self.name, line(&quoted(value)), true),
                None => rewriter.forget(self.name),
            },
            Kind::Special(special) => {
                let Some(lines) = (special.rewrite)(config, default) else {
                    return;
                };
                rewriter.forget(self.name);
                for line in lines {
                    rewriter.line(self.name, line.text, line.force);
                }
            }
        }
    }
}

/// The reason for a line that no directive takes.
pub(crate) const BAD_DIRECTIVE: &str = "Bad directive or wrong number of arguments";

impl<C> Kind<C> {
    fn load(&self, config: &mut C, value: &[u8]) -> Loaded {
        match self {
            Kind::Int(int) => {
                let number = int
                    .file_unit
                    .parse(value)
                    .filter(|number| int.in_file.contains(number));
                int.assign(config, number.ok_or(int.wrong)?);
            }
            Kind::Text { field, check } => {
                check_text(check, value).map_err(|check| check.wrong)?;
                *(field.get_mut)(config) = value.to_vec();
            }
            Kind::OptionalText { field, check } => {
                check_text(check, value).map_err(|check| check.wrong)?;
                *(field.get_mut)(config) = Some(value.to_vec()).filter(|value| !value.is_empty());
            }
            Kind::Word { field, wrong } => {
                if !(field.set)(config, value) {
                    return Err((*wrong).into());
                }
            }
            Kind::Special(_) => return Err(BAD_DIRECTIVE.into()),
        }
        Ok(())
    }

    fn set(&self, config: &mut C, value: &[u8]) -> Result<(), Unset> {
        let refused = |check: Check| check.unset.map_or(Unset::Invalid, Unset::Because);
        match self {
            Kind::Int(int) => {
                let number = match int.set_unit {
                    // What commands take as an integer, which is a little more than files do.
                    Unit::Plain => number::parse_integer(value),
                    unit => unit.parse(value),
                };
                let number = number.filter(|number| int.settable.contains(number));
                int.assign(config, number.ok_or(Unset::Invalid)?);
            }
            Kind::Text { field, check } => {
                check_text(check, value).map_err(refused)?;
                *(field.get_mut)(config) = value.to_vec();
            }
            Kind::OptionalText { field, check } => {
                check_text(check, value).map_err(refused)?;
                *(field.get_mut)(config) = Some(value.to_vec()).filter(|value| !value.is_empty());
            }
            Kind::Word { field, .. } => {
                if !(field.set)(config, value) {
                    return Err(Unset::Invalid);
                }
            }
            Kind::Special(special) => return (special.set)(config, value),
        }
        Ok(())
    }
}

impl<C> Int<C> {
    fn assign(&self, config: &mut C, number: i64) {
        (self.field.set)(config, number.clamp(*self.clamp.start(), *self.clamp.end()));
    }
}

impl Unit {
    /// Reads a number. Redis itself would take the digits at the start of the text and read a word as zero.
    fn parse(self, text: &[u8]) -> Option<i64> {
        match self {
            Unit::Plain => Some(text)
                .filter(|text| !text.is_empty())
                .and_then(number::parse_integer),
            Unit::Memory => parse_memory(text),
            Unit::Octal => {
                let text = std::str::from_utf8(text).ok()?;
                i64::from_str_radix(text, 8).ok()
            }
        }
    }

    fn format(self, number: i64) -> String {
        match self {
            Unit::Plain => number.to_string(),
            Unit::Memory => format_memory(number),
            Unit::Octal => format!("{number:o}"),
        }
    }
}

/// The length a text may have: even with every byte escaped, the line that is rewritten for it can be read back.
const MAX_TEXT_BYTES: usize = 15 * 1024;

const SHORT: Check = Check {
    holds: |text| text.len() <= MAX_TEXT_BYTES,
    wrong: "argument is too long",
    unset: None,
};

fn check_text(check: &Option<Check>, value: &[u8]) -> Result<(), Check> {
    let failed = check
        .iter()
        .chain([&SHORT])
        .find(|check| !(check.holds)(value));
    failed.map_or(Ok(()), |check| Err(*check))
}

/// A value in double quotes, as in a rewritten file.
pub(crate) fn quoted(value: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    args::quote(value, &mut text);
    text
}

/// The words of a [`Choice`] as functions, for a [`WordField`].
pub(crate) fn assign_word<T: Choice>(place: &mut T, word: &[u8]) -> bool {
    match T::from_word(word) {
        Some(value) => {
            *place = value;
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::{SERVER, ServerConfig};

    /// The type of every number's field holds all of its range.
    #[test]
    fn numbers_fit_their_fields() {
        let mut config = ServerConfig::default();
        for directive in SERVER.directives {
            let Kind::Int(int) = &directive.kind else {
                continue;
            };
            let ends = [
                *int.in_file.start(),
                *int.in_file.end(),
                *int.settable.start(),
                *int.settable.end(),
            ];
            for end in ends {
                int.assign(&mut config, end);
                let expected = end.clamp(*int.clamp.start(), *int.clamp.end());
                assert_eq!((int.field.get)(&config), expected, "{}", directive.name);
            }
        }
    }

    #[test]
    fn names_are_unique_and_shown_ones_exist() {
        for (index, directive) in SERVER.directives.iter().enumerate() {
            let found = SERVER
                .directives
                .iter()
                .position(|other| other.name.eq_ignore_ascii_case(directive.name));
            assert_eq!(found, Some(index), "{}", directive.name);
        }
        for name in SERVER.shown {
            assert!(SERVER.find(name.as_bytes()).is_some(), "{name}");
        }
        for directive in SERVER
            .directives
            .iter()
            .filter(|directive| directive.settable)
        {
            assert!(SERVER.shown.contains(&directive.name), "{}", directive.name);
        }
    }
}
