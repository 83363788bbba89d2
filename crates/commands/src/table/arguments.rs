//! The grammar in which rows describe their arguments, for COMMAND DOCS, help texts and the command reference.
//!
//! ```text
//! argument = name ["/" shown name] [":" kind] ["=" TOKEN] ["@" since] ["(" arguments ")" | "{" alternatives "}"] ["?"] ["*"] ["+"]
//! ```
//!
//! Arguments are separated by blanks. `(…)` is a sequence, `{…}` a choice. `?` may be left out, `*` may be repeated, `+` is repeated with its
//! token. Kinds are `key`, `int`, `double`, `pattern`, `time`, `token`, with a digit where the argument is of the key specification of that
//! number (`key0`); without one it is a string.
//! A token with one of these signs in it stands in double quotes.

/// The kind of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    String,
    /// An integer.
    Integer,
    /// A number with fraction.
    Double,
    /// A key.
    Key,
    /// A glob pattern.
    Pattern,
    /// A point in Unix time.
    UnixTime,
    /// The token alone.
    PureToken,
    /// One of several.
    OneOf,
    /// Several in sequence.
    Block,
}

impl Kind {
    /// The word that COMMAND DOCS answers.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Double => "double",
            Self::Key => "key",
            Self::Pattern => "pattern",
            Self::UnixTime => "unix-time",
            Self::PureToken => "pure-token",
            Self::OneOf => "oneof",
            Self::Block => "block",
        }
    }
}

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// The name that people are shown.
    pub shown: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// The key specification that it belongs to.
    pub key_spec: Option<u8>,
    /// The word before it.
    pub token: Option<&'static str>,
    /// The version that brought it, if later than the command's.
    pub since: Option<&'static str>,
    /// May be left out.
    pub optional: bool,
    /// May be repeated.
    pub multiple: bool,
    /// Is repeated with its token.
    pub multiple_token: bool,
    /// Of a block or a choice.
    pub arguments: Vec<Argument>,
}

/// Reads the grammar of a row. `None` where it is malformed, which a test refuses.
#[must_use]
pub fn parse_arguments(grammar: &'static str) -> Option<Vec<Argument>> {
    let mut reader = Reader { text: grammar };
    let arguments = reader.arguments()?;
    reader.text.is_empty().then_some(arguments)
}

struct Reader {
    text: &'static str,
}

const SIGNS: [char; 13] = [
    ' ', '/', ':', '=', '@', '(', ')', '{', '}', '?', '*', '+', '"',
];

impl Reader {
    fn arguments(&mut self) -> Option<Vec<Argument>> {
        let mut all = Vec::new();
        loop {
            self.text = self.text.trim_start();
            if self.text.is_empty() || self.text.starts_with([')', '}']) {
                return Some(all);
            }
            all.push(self.argument()?);
        }
    }

    fn argument(&mut self) -> Option<Argument> {
        let name = self.word()?;
        // A shown name may have a colon in it; a kind behind it is none of it.
        let shown = self.takes('/').then(|| {
            let word = self.until_any(&[' ', '=', '@', '?', '*', '+', ')', '}']);
            let split = word.rsplit_once(':');
            split
                .and_then(|(shown, word)| Some((shown, Some(kind(word)?))))
                .unwrap_or((word, None))
        });
        let string = (Kind::String, None);
        let (shown, (mut kind, key_spec)) = match shown {
            Some((shown, known)) => (shown, known.unwrap_or(string)),
            None if self.takes(':') => (name, kind(self.word()?)?),
            None => (name, string),
        };
        let token = if self.takes('=') {
            Some(self.token()?)
        } else {
            None
        };
        let since = if self.takes('@') {
            Some(self.word()?)
        } else {
            None
        };
        let mut arguments = Vec::new();
        for (open, close, group) in [('(', ')', Kind::Block), ('{', '}', Kind::OneOf)] {
            if self.takes(open) {
                arguments = self.arguments()?;
                kind = group;
                if !self.takes(close) {
                    return None;
                }
            }
        }
        Some(Argument {
            name,
            shown,
            kind,
            key_spec,
            token,
            since,
            optional: self.takes('?'),
            multiple: self.takes('*'),
            multiple_token: self.takes('+'),
            arguments,
        })
    }

    fn takes(&mut self, sign: char) -> bool {
        let rest = self.text.strip_prefix(sign);
        self.text = rest.unwrap_or(self.text);
        rest.is_some()
    }

    fn until_any(&mut self, ends: &[char]) -> &'static str {
        let end = self.text.find(ends).unwrap_or(self.text.len());
        let (word, rest) = self.text.split_at(end);
        self.text = rest;
        word
    }

    fn word(&mut self) -> Option<&'static str> {
        Some(self.until_any(&SIGNS)).filter(|word| !word.is_empty())
    }

    fn token(&mut self) -> Option<&'static str> {
        if self.takes('"') {
            let token = self.until_any(&['"']);
            return self.takes('"').then_some(token);
        }
        self.word()
    }
}

/// A kind, and the number of the key specification behind it.
fn kind(word: &str) -> Option<(Kind, Option<u8>)> {
    let name = word.trim_end_matches(|digit: char| digit.is_ascii_digit());
    let number = &word[name.len()..];
    let key_spec = if number.is_empty() {
        None
    } else {
        Some(number.parse().ok()?)
    };
    let kind = match name {
        "int" => Kind::Integer,
        "double" => Kind::Double,
        "pattern" => Kind::Pattern,
        "time" => Kind::UnixTime,
        "token" => Kind::PureToken,
        "key" => Kind::Key,
        _ => return None,
    };
    Some((kind, key_spec))
}

/// The arguments as people are shown them: `key [EX seconds | PX milliseconds] [value ...]`.
#[must_use]
pub fn syntax(arguments: &[Argument]) -> String {
    let each: Vec<String> = arguments.iter().map(one).collect();
    each.join(" ")
}

fn one(argument: &Argument) -> String {
    let inner = match argument.kind {
        Kind::PureToken => String::new(),
        Kind::Block => syntax(&argument.arguments),
        Kind::OneOf => {
            let each: Vec<String> = argument.arguments.iter().map(one).collect();
            each.join(" | ")
        }
        _ => argument.shown.to_owned(),
    };
    let choice = argument.kind == Kind::OneOf && !(argument.optional && argument.token.is_none());
    let inner = if choice { format!("<{inner}>") } else { inner };
    let token = argument
        .token
        .map(|token| if token.is_empty() { "\"\"" } else { token });
    let mut text = match token {
        Some(token) if inner.is_empty() => token.to_owned(),
        Some(token) => format!("{token} {inner}"),
        None => inner.clone(),
    };
    if argument.multiple {
        let again = if argument.multiple_token {
            text.clone()
        } else {
            inner
        };
        text = format!("{text} [{again} ...]");
    }
    if argument.optional {
        text = format!("[{text}]");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_rows_say() {
        let all = parse_arguments("key:key0 value condition{nx:token=NX@2.6.12 xx:token=XX}? count:int=COUNT? data(field value)*").unwrap();
        assert_eq!(all.len(), 5);
        assert_eq!((all[0].kind, all[0].key_spec), (Kind::Key, Some(0)));
        assert_eq!(all[2].arguments[0].since, Some("2.6.12"));
        assert!(all[2].optional && all[2].kind == Kind::OneOf);
        assert_eq!(
            syntax(&all),
            "key value [NX | XX] [COUNT count] field value [field value ...]"
        );
        let auto = parse_arguments("id{auto:token=\"*\" id}").unwrap();
        assert_eq!(auto[0].arguments[0].token, Some("*"));
        assert_eq!(syntax(&auto), "<* | id>");
    }

    #[test]
    fn refuses_what_is_malformed() {
        for grammar in ["a(b", "a)", "a:nothing", "=X", "a=\"x", "a{b"] {
            assert!(parse_arguments(grammar).is_none(), "{grammar}");
        }
    }
}
