//! What a directive is: its names, how its value is written, where it lives, and who may change it. Which directives
//! exist is in [`crate::server`] and [`crate::unused`].

use std::borrow::Cow;
use std::ops::RangeInclusive;

use resp::{args, number};

use crate::server::{Effect, ServerConfig};
use crate::value::{Choice, format_memory, memory_bytes};

/// The highest value of C's `int`, which most parameters are.
pub(crate) const INT_MAX: i64 = i32::MAX as i64;

/// Why a value is refused.
pub type Reason = Cow<'static, str>;

/// One parameter. Built by the functions named after its kind, then by `alias`, `fixed` and the like.
#[derive(Debug)]
pub struct Directive {
    pub(crate) name: &'static str,
    alias: Option<&'static str>,
    about: &'static [&'static str],
    pub(crate) kind: Kind,
    place: Place,
    traits: u8,
    effect: Effect,
}

/// `CONFIG SET` cannot change it.
const FIXED: u8 = 1;
/// `CONFIG GET` shows it by its exact name only.
const HIDDEN: u8 = 1 << 1;
/// `CONFIG SET` needs `enable-protected-configs`.
const PROTECTED: u8 = 1 << 2;
/// Its value is kept out of logs and MONITOR.
const SENSITIVE: u8 = 1 << 3;
/// `CONFIG SET` is refused while data are loaded.
const NOT_WHILE_LOADING: u8 = 1 << 4;
/// A statement of the file, no parameter: `CONFIG` does not know it.
const STATEMENT: u8 = 1 << 5;
/// `CONFIG SET` may say what it is already: one of ours, so that programs which set all that `CONFIG GET *` shows go on.
const STEADY: u8 = 1 << 6;

/// How a value is written, and which values there are.
#[derive(Debug)]
pub(crate) enum Kind {
    Int(Int),
    /// One of the words that the field has.
    Word,
    Text {
        /// Whether the empty text means that there is none.
        optional: bool,
        check: Option<Check>,
    },
    Special(Special),
}

#[derive(Debug)]
pub(crate) struct Int {
    /// Of 128 bits, as all these numbers: some are signed 64-bit ones, `maxmemory` is an unsigned one.
    range: RangeInclusive<i128>,
    /// What is in range is moved into this one.
    clamp: RangeInclusive<i128>,
    pub(crate) unit: Unit,
}

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Plain,
    /// With `kb`, `mb`, `gb`.
    Memory,
    /// The same, or negative and plain.
    SignedMemory,
    /// A memory value, or a percentage, which is kept negative.
    Percent,
    Octal,
}

/// Says why a text is refused.
pub type Check = fn(&[u8]) -> Result<(), &'static str>;

/// A directive that needs code of its own.
#[derive(Debug)]
pub struct Special {
    /// Takes its words: those of a line, or of the value of `CONFIG SET` cut at blanks.
    pub set: fn(&mut ServerConfig, &[&[u8]]) -> Result<(), Reason>,
    /// Its words now.
    pub get: fn(&ServerConfig) -> Vec<Vec<u8>>,
    /// Whether it is made of several words.
    pub multiple: bool,
    /// Where further lines of a file add to the first one: forgets what there was before the first.
    pub clear: Option<fn(&mut ServerConfig)>,
    /// The lines that `CONFIG REWRITE` wants in the file, where they are not simply the name and the words. The second
    /// configuration is the default one.
    pub rewrite: Option<fn(&ServerConfig, &ServerConfig) -> Vec<Line>>,
}

/// A line for the rewritten file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The whole line, without its end.
    pub text: Vec<u8>,
    /// Whether it is appended when the old file has no line to be replaced by it.
    pub force: bool,
}

/// Where a value lives.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// In a field of the configuration.
    Field {
        get: fn(&ServerConfig) -> Value,
        set: fn(&mut ServerConfig, Value),
        words: fn(&ServerConfig) -> Vec<&'static str>,
    },
    /// In the list of what is accepted without effect.
    Unused { default: Fixed, why: &'static str },
    /// In what a [`Special`] reads and writes.
    Special,
}

/// A value of a simple directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Int(i128),
    Word(&'static str),
    Text(Vec<u8>),
}

/// A value that is known at compile time.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fixed {
    Int(i64),
    Switch(bool),
    Text(&'static str),
}

impl Fixed {
    fn value(self) -> Value {
        match self {
            Fixed::Int(number) => Value::Int(number.into()),
            Fixed::Switch(on) => on.value(),
            Fixed::Text(text) => Value::Text(text.into()),
        }
    }
}

/// What a field of the configuration can hold.
pub(crate) trait Parameter {
    fn value(&self) -> Value;
    /// Takes a value of its own kind; the ranges in the table make sure that a number fits.
    fn take(&mut self, value: Value);
    fn words(&self) -> Vec<&'static str> {
        Vec::new()
    }
}

macro_rules! numbers {
    ($($type:ty)*) => {$(
        impl Parameter for $type {
            fn value(&self) -> Value {
                Value::Int((*self).into())
            }

            fn take(&mut self, value: Value) {
                if let Value::Int(number) = value {
                    *self = number.try_into().unwrap_or(*self);
                }
            }
        }
    )*};
}

numbers!(u16 u32 u64 i32 i64);

impl Parameter for Vec<u8> {
    fn value(&self) -> Value {
        Value::Text(self.clone())
    }

    fn take(&mut self, value: Value) {
        if let Value::Text(text) = value {
            *self = text;
        }
    }
}

impl Parameter for Option<Vec<u8>> {
    fn value(&self) -> Value {
        Value::Text(self.clone().unwrap_or_default())
    }

    fn take(&mut self, value: Value) {
        if let Value::Text(text) = value {
            *self = Some(text).filter(|text| !text.is_empty());
        }
    }
}

impl<T: Choice> Parameter for T {
    fn value(&self) -> Value {
        Value::Word(self.word())
    }

    fn take(&mut self, value: Value) {
        if let Value::Word(word) = value {
            *self = T::from_word(word.as_bytes()).unwrap_or(*self);
        }
    }

    fn words(&self) -> Vec<&'static str> {
        T::WORDS.iter().map(|(word, _)| *word).collect()
    }
}

const fn new(name: &'static str, kind: Kind) -> Directive {
    Directive {
        name,
        alias: None,
        about: &[],
        kind,
        place: Place::Special,
        traits: 0,
        effect: Effect::None,
    }
}

/// A whole number from `low` to `high`.
pub(crate) const fn int(name: &'static str, low: i64, high: i64) -> Directive {
    number(name, low, high, Unit::Plain)
}

/// A number of bytes.
pub(crate) const fn memory(name: &'static str, low: i64, high: i64) -> Directive {
    number(name, low, high, Unit::Memory)
}

/// A number of bytes up to the highest of 64 bits.
pub(crate) const fn unsigned_memory(name: &'static str) -> Directive {
    let mut directive = memory(name, 0, i64::MAX);
    if let Kind::Int(int) = &mut directive.kind {
        int.range = RangeInclusive::new(0, u64::MAX as i128);
    }
    directive
}

/// A number of bytes that may be negative.
pub(crate) const fn signed_memory(name: &'static str, low: i64, high: i64) -> Directive {
    number(name, low, high, Unit::SignedMemory)
}

/// A number of bytes, or a percentage up to 100, which is kept negative.
pub(crate) const fn percent(name: &'static str) -> Directive {
    number(name, -100, i64::MAX, Unit::Percent)
}

/// Permission bits, written in base eight.
pub(crate) const fn octal(name: &'static str, high: i64) -> Directive {
    number(name, 0, high, Unit::Octal)
}

const fn number(name: &'static str, low: i64, high: i64, unit: Unit) -> Directive {
    let int = Int {
        range: RangeInclusive::new(low as i128, high as i128),
        clamp: i128::MIN..=i128::MAX,
        unit,
    };
    new(name, Kind::Int(int))
}

/// One of the few words that its field has.
pub(crate) const fn word(name: &'static str) -> Directive {
    new(name, Kind::Word)
}

/// Text that is always there.
pub(crate) const fn text(name: &'static str) -> Directive {
    let (optional, check) = (false, None);
    new(name, Kind::Text { optional, check })
}

/// Text whose empty form means that there is none.
pub(crate) const fn optional(name: &'static str) -> Directive {
    let (optional, check) = (true, None);
    new(name, Kind::Text { optional, check })
}

/// A directive with code of its own.
pub(crate) const fn special(name: &'static str, special: Special) -> Directive {
    new(name, Kind::Special(special))
}

/// A statement of the file with code of its own; `CONFIG` does not know it.
pub(crate) const fn statement(name: &'static str, special: Special) -> Directive {
    new(name, Kind::Special(special)).with(STATEMENT)
}

/// Building.
impl Directive {
    const fn with(mut self, traits: u8) -> Self {
        self.traits |= traits;
        self
    }

    pub(crate) const fn at(mut self, place: Place, about: &'static [&'static str]) -> Self {
        if !matches!(self.kind, Kind::Special(_)) {
            self.place = place;
        }
        self.about = about;
        self
    }

    /// The old name, or another one that it has as well.
    pub(crate) const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    /// `CONFIG SET` cannot change it.
    pub(crate) const fn fixed(self) -> Self {
        self.with(FIXED)
    }

    /// `CONFIG SET` cannot change it, but may say what it is.
    pub(crate) const fn steady(self) -> Self {
        self.with(FIXED | STEADY)
    }

    /// Only its exact name shows it.
    pub(crate) const fn hidden(self) -> Self {
        self.with(HIDDEN)
    }

    /// A change needs `enable-protected-configs`.
    pub(crate) const fn protected(self) -> Self {
        self.with(PROTECTED)
    }

    /// Its value is a secret.
    pub(crate) const fn sensitive(self) -> Self {
        self.with(SENSITIVE)
    }

    /// It cannot be changed while data are loaded.
    pub(crate) const fn not_while_loading(self) -> Self {
        self.with(NOT_WHILE_LOADING)
    }

    /// Neither shown nor set by `CONFIG`.
    pub(crate) const fn file_only(self) -> Self {
        self.with(STATEMENT)
    }

    /// Which part of the server has to look at it again after a change.
    pub(crate) const fn tells(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }

    /// A text has to pass this.
    pub(crate) const fn checked(mut self, by: Check) -> Self {
        if let Kind::Text { check, .. } = &mut self.kind {
            *check = Some(by);
        }
        self
    }

    /// A number is moved into this range, whatever is asked for.
    pub(crate) const fn clamped(mut self, low: i64, high: i64) -> Self {
        if let Kind::Int(int) = &mut self.kind {
            int.clamp = RangeInclusive::new(low as i128, high as i128);
        }
        self
    }

    /// Accepted without effect.
    pub(crate) const fn unused(mut self, default: Fixed, why: &'static str) -> Self {
        self.place = Place::Unused { default, why };
        self
    }
}

/// Using.
impl Directive {
    /// Its name, in lower case.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its other name, if it has one.
    #[must_use]
    pub fn other_name(&self) -> Option<&'static str> {
        self.alias
    }

    /// The release of Redis that brought it, or the other program and its release.
    #[must_use]
    pub fn since(&self) -> &'static str {
        crate::since::since(self.name).unwrap_or("Tern")
    }

    /// Its name and its alias.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.alias)
    }

    /// What it is, in sentences.
    #[must_use]
    pub fn about(&self) -> String {
        let lines: Vec<_> = self.about.iter().map(|line| line.trim()).collect();
        lines.join(" ")
    }

    /// Why it has no effect, where it has none.
    #[must_use]
    pub fn unused_because(&self) -> Option<&'static str> {
        match self.place {
            Place::Unused { why, .. } => Some(why),
            _ => None,
        }
    }

    /// Whether `CONFIG` knows it; statements of the file are unknown to it.
    #[must_use]
    pub fn is_parameter(&self) -> bool {
        self.traits & STATEMENT == 0
    }

    /// Whether only its exact name shows it.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.traits & HIDDEN != 0
    }

    /// Whether `CONFIG SET` cannot change it.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.traits & FIXED != 0
    }

    /// Whether `CONFIG SET` may say what it is already, although it cannot change it.
    pub(crate) fn is_steady(&self) -> bool {
        self.traits & STEADY != 0
    }

    /// Whether a change needs `enable-protected-configs`.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        self.traits & PROTECTED != 0
    }

    /// Whether its value is a secret.
    #[must_use]
    pub fn is_sensitive(&self) -> bool {
        self.traits & SENSITIVE != 0
    }

    /// Whether it cannot be changed while data are loaded.
    #[must_use]
    pub fn is_refused_while_loading(&self) -> bool {
        self.traits & NOT_WHILE_LOADING != 0
    }

    /// Which part of the server a change concerns.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// Which values it takes, for a reader.
    #[must_use]
    pub fn values(&self) -> String {
        let config = ServerConfig::default();
        match &self.kind {
            Kind::Int(int) => {
                let (low, high) = (*int.range.start(), *int.range.end());
                let bound = |number| int.unit.bound(number);
                let unit = match int.unit {
                    Unit::Plain | Unit::Octal => "",
                    Unit::Memory | Unit::SignedMemory => " bytes",
                    Unit::Percent => " bytes, or a percentage",
                };
                if low == i128::from(i64::MIN) {
                    format!("a whole number{unit}")
                } else if high >= i128::from(INT_MAX) {
                    format!("from {}{unit}", bound(low.max(0)))
                } else {
                    format!("{} to {}{unit}", bound(low), bound(high))
                }
            }
            Kind::Word => self.words(&config).join(", "),
            Kind::Text { .. } => "text".to_owned(),
            Kind::Special(special) if special.multiple => "words".to_owned(),
            Kind::Special(_) => "text".to_owned(),
        }
    }

    fn words(&self, config: &ServerConfig) -> Vec<&'static str> {
        match self.place {
            Place::Field { words, .. } => words(config),
            Place::Unused { .. } => vec!["yes", "no"],
            Place::Special => Vec::new(),
        }
    }

    /// The value of a simple directive.
    pub(crate) fn get(&self, config: &ServerConfig) -> Value {
        match self.place {
            Place::Field { get, .. } => get(config),
            Place::Unused { default, .. } => {
                let set = config.unused.values.get(self.name);
                set.cloned().unwrap_or_else(|| default.value())
            }
            Place::Special => Value::Text(Vec::new()),
        }
    }

    /// The value as `CONFIG GET` prints it.
    #[must_use]
    pub fn value(&self, config: &ServerConfig) -> Vec<u8> {
        match &self.kind {
            Kind::Special(special) => (special.get)(config).join(&b' '),
            Kind::Int(int) => match self.get(config) {
                Value::Int(number) => int.unit.show(number).into_bytes(),
                _ => Vec::new(),
            },
            _ => match self.get(config) {
                Value::Text(text) => text,
                Value::Word(word) => word.into(),
                Value::Int(number) => number.to_string().into_bytes(),
            },
        }
    }

    /// Takes the arguments of a line in a file. A directive of several words may have them all in one argument.
    ///
    /// # Errors
    /// Why not.
    pub fn load(&self, config: &mut ServerConfig, arguments: &[Vec<u8>]) -> Result<(), Reason> {
        match (&self.kind, arguments) {
            (Kind::Special(special), [one]) if special.multiple && !one.is_empty() => {
                let words = args::split(one).ok_or("Unbalanced quotes in configuration line")?;
                let words: Vec<_> = words.iter().map(Vec::as_slice).collect();
                (special.set)(config, &words)
            }
            (Kind::Special(special), _) if special.multiple => {
                let words: Vec<_> = arguments.iter().map(Vec::as_slice).collect();
                (special.set)(config, &words)
            }
            (_, [one]) => self.set_one(config, one),
            _ => Err(WRONG_NUMBER.into()),
        }
    }

    /// Forgets what there was before the first line of a file, where further lines add to it.
    pub(crate) fn clear(&self, config: &mut ServerConfig) {
        if let Kind::Special(special) = &self.kind
            && let Some(clear) = special.clear
        {
            clear(config);
        }
    }

    /// Takes the value of `CONFIG SET`.
    pub(crate) fn set(&self, config: &mut ServerConfig, value: &[u8]) -> Result<(), Reason> {
        match &self.kind {
            Kind::Special(special) if special.multiple => {
                let words: Vec<_> = value.split(|byte| *byte == b' ').collect();
                self.clear(config);
                (special.set)(config, &words)
            }
            _ => self.set_one(config, value),
        }
    }

    fn set_one(&self, config: &mut ServerConfig, text: &[u8]) -> Result<(), Reason> {
        let value = match &self.kind {
            Kind::Special(special) => return (special.set)(config, &[text]),
            Kind::Int(int) => Value::Int(int.parse(text)?),
            Kind::Text { check, .. } => {
                if text.len() > MAX_TEXT_BYTES {
                    return Err("argument is too long".into());
                }
                if let Some(check) = check {
                    check(text)?;
                }
                Value::Text(text.to_vec())
            }
            Kind::Word => Value::Word(one_of(text, &self.words(config))?),
        };
        match self.place {
            Place::Field { set, .. } => set(config, value),
            Place::Unused { default, .. } if value == default.value() => {
                config.unused.values.remove(self.name);
            }
            Place::Unused { .. } => {
                config.unused.values.insert(self.name, value);
            }
            Place::Special => {}
        }
        Ok(())
    }
}

/// The length a text may have: even with every byte escaped, the line that is rewritten for it can be read back.
const MAX_TEXT_BYTES: usize = 15 * 1024;

/// The reason for a line that no directive takes.
pub(crate) const BAD_DIRECTIVE: &str = "Bad directive or wrong number of arguments";
/// The reason for a line of a directive that takes another number of words.
pub(crate) const WRONG_NUMBER: &str = "wrong number of arguments";

/// The one of `words` that `text` is, whatever its case.
pub(crate) fn one_of(text: &[u8], words: &[&'static str]) -> Result<&'static str, Reason> {
    let found = words
        .iter()
        .find(|word| text.eq_ignore_ascii_case(word.as_bytes()));
    found.copied().ok_or_else(|| match words {
        ["yes", "no"] => "argument must be 'yes' or 'no'".into(),
        words => {
            let words = words.join(", ");
            format!("argument(s) must be one of the following: {words}").into()
        }
    })
}

impl Int {
    fn parse(&self, text: &[u8]) -> Result<i128, Reason> {
        let number = self.unit.parse(text)?;
        let (low, high) = (*self.range.start(), *self.range.end());
        if self.range.contains(&number) {
            return Ok(number.clamp(*self.clamp.start(), *self.clamp.end()));
        }
        if self.unit == Unit::Percent && number < 0 {
            return Err(format!("percentage argument must be less or equal to {}", -low).into());
        }
        let (low, high) = (self.unit.bound(low), self.unit.bound(high));
        Err(format!("argument must be between {low} and {high} inclusive").into())
    }
}

impl Unit {
    fn parse(self, text: &[u8]) -> Result<i128, &'static str> {
        let bytes = |text| memory_bytes(text).filter(|bytes| *bytes >= 0);
        let integer = |text| number::parse_i64(text).map(i128::from);
        match self {
            Unit::Plain => integer(text).ok_or("argument couldn't be parsed into an integer"),
            Unit::Memory => bytes(text).ok_or("argument must be a memory value"),
            Unit::SignedMemory => bytes(text)
                .or_else(|| integer(text))
                .ok_or("argument must be a memory value"),
            Unit::Percent => {
                let share = text.strip_suffix(b"%").and_then(integer);
                let share = share.filter(|share| *share >= 0).map(|share| -share);
                let value = bytes(text).or(share);
                value.ok_or("argument must be a memory or percent value")
            }
            Unit::Octal => std::str::from_utf8(text)
                .ok()
                .and_then(|text| i64::from_str_radix(text, 8).ok())
                .map(i128::from)
                .ok_or("argument couldn't be parsed as an octal number"),
        }
    }

    /// As `CONFIG GET` prints it.
    fn show(self, number: i128) -> String {
        match self {
            Unit::Octal => format!("{number:o}"),
            Unit::Percent if number < 0 => format!("{}%", -number),
            _ => number.to_string(),
        }
    }

    /// As a file has it.
    pub(crate) fn write(self, number: i128) -> String {
        match self {
            Unit::Memory | Unit::SignedMemory | Unit::Percent if number >= 0 => {
                format_memory(number)
            }
            _ => self.show(number),
        }
    }

    /// As a message about a range has it.
    fn bound(self, number: i128) -> String {
        match self {
            Unit::Octal => format!("{number:o}"),
            _ => number.to_string(),
        }
    }
}

/// Words as a line has them: in quotes where they have to be.
pub(crate) fn words_of(words: Vec<Vec<u8>>) -> Vec<u8> {
    if words.is_empty() {
        return quoted(b"");
    }
    let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\');
    let words: Vec<_> = words
        .into_iter()
        .map(|word| {
            if !word.is_empty() && word.iter().all(plain) {
                word
            } else {
                quoted(&word)
            }
        })
        .collect();
    words.join(&b' ')
}

/// Text as a file has it.
pub(crate) fn quoted(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    args::quote(text, &mut out);
    out
}
