//! JSON to Lua values. Takes what lua-cjson takes: numbers as C's `strtod` reads them, any bytes in strings, and
//! nothing after a NUL.

use mlua::{Lua, Result, Value};

use super::{DEEPEST, Settings};
use crate::args::Args;
use crate::context::Context;
use crate::failure::Failure;

/// `cjson.decode`.
pub(super) fn run(context: &Context, settings: &Settings, args: &Args<'_>) -> Result<Value> {
    if args.len() != 1 {
        return Err(args.bad(1, "expected 1 argument").into());
    }
    let text = args.string(1)?;
    let text = text.as_bytes();
    if text.len() >= 2 && (text[0] == 0 || text[1] == 0) {
        return Err(args
            .fail("JSON parser does not support UTF-16 or UTF-32")
            .into());
    }
    // The dearest text for its length is an empty array, or a hole in one.
    let bytes = text.len().saturating_mul(crate::reply::ELEMENT_BYTES / 2);
    context.building(args.lua, bytes, || {
        let mut decoder = Decoder {
            context,
            settings,
            lua: args.lua,
            text: &text,
            at: 0,
            depth: 0,
        };
        let token = decoder.token();
        let value = decoder.value(token)?;
        match decoder.token() {
            (Token::End, _) => Ok(value),
            token => Err(decoder.unexpected("the end", &token)),
        }
    })
}

struct Decoder<'a> {
    context: &'a Context,
    settings: &'a Settings,
    lua: &'a Lua,
    text: &'a [u8],
    at: usize,
    depth: i32,
}

enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    String(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Error(&'static str),
}

/// A token and where it starts, or where its fault is.
type Located = (Token, usize);

impl Token {
    /// The name that error texts give it.
    fn name(&self) -> &'static str {
        match self {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::String(_) => "T_STRING",
            Token::Number(_) => "T_NUMBER",
            Token::Boolean(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
            Token::Error(fault) => fault,
        }
    }
}

impl Decoder<'_> {
    fn unexpected(&self, expected: &str, (token, at): &Located) -> mlua::Error {
        let text = format!(
            "Expected {expected} but found {} at character {}",
            token.name(),
            at + 1
        );
        Failure::at_caller(self.lua, text).into()
    }

    fn value(&mut self, (token, at): Located) -> Result<Value> {
        self.context.step()?;
        match token {
            Token::String(text) => {
                self.context.work(text.len())?;
                self.lua.create_string(text).map(Value::String)
            }
            Token::Number(number) => Ok(Value::Number(number)),
            Token::Boolean(value) => Ok(Value::Boolean(value)),
            Token::Null => Ok(Value::NULL),
            Token::ObjectBegin => self.object(),
            Token::ArrayBegin => self.array(),
            other => Err(self.unexpected("value", &(other, at))),
        }
    }

    fn descend(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth <= self.settings.decode_depth.get().min(DEEPEST) {
            return Ok(());
        }
        let (depth, at) = (self.depth, self.at);
        let text = format!("Found too many nested data structures ({depth}) at character {at}");
        Err(Failure::at_caller(self.lua, text).into())
    }

    fn object(&mut self) -> Result<Value> {
        self.descend()?;
        // Without a capacity: the order in which `pairs` finds the keys depends on how the table grew.
        let table = self.lua.create_table()?;
        let mut token = self.token();
        if !matches!(token.0, Token::ObjectEnd) {
            loop {
                let (Token::String(key), _) = token else {
                    return Err(self.unexpected("object key string", &token));
                };
                let key = self.lua.create_string(key)?;
                token = self.token();
                if !matches!(token.0, Token::Colon) {
                    return Err(self.unexpected("colon", &token));
                }
                token = self.token();
                let value = self.value(token)?;
                table.raw_set(key, value)?;
                token = self.token();
                match token.0 {
                    Token::ObjectEnd => break,
                    Token::Comma => token = self.token(),
                    _ => return Err(self.unexpected("comma or object end", &token)),
                }
            }
        }
        self.depth -= 1;
        Ok(Value::Table(table))
    }

    fn array(&mut self) -> Result<Value> {
        self.descend()?;
        let table = self.lua.create_table()?;
        let mut token = self.token();
        if !matches!(token.0, Token::ArrayEnd) {
            for index in 1.. {
                let value = self.value(token)?;
                table.raw_seti(index, value)?;
                token = self.token();
                match token.0 {
                    Token::ArrayEnd => break,
                    Token::Comma => token = self.token(),
                    _ => return Err(self.unexpected("comma or array end", &token)),
                }
            }
        }
        self.depth -= 1;
        Ok(Value::Table(table))
    }

    /// The byte at `at`, 0 beyond the end: as in C, a NUL is the end.
    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn token(&mut self) -> Located {
        while matches!(self.byte(self.at), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        let start = self.at;
        let token = match self.byte(start) {
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b',' => Token::Comma,
            b':' => Token::Colon,
            0 => return (Token::End, start),
            b'"' => return self.string(),
            _ => return (self.word(), start),
        };
        self.at += 1;
        (token, start)
    }

    /// A number, a literal, or an error.
    fn word(&mut self) -> Token {
        const LITERALS: [(&[u8], Token); 3] = [
            (b"true", Token::Boolean(true)),
            (b"false", Token::Boolean(false)),
            (b"null", Token::Null),
        ];
        let strict = !self.settings.decode_invalid.get();
        let first = self.byte(self.at);
        if first == b'-' || first.is_ascii_digit() {
            if strict && self.is_invalid_number() {
                return Token::Error("invalid number");
            }
            return self.number();
        }
        for (word, token) in LITERALS {
            if self.rest().starts_with(word) {
                self.at += word.len();
                return token;
            }
        }
        if !strict && matches!(first, b'i' | b'I' | b'n' | b'N' | b'+') && self.is_invalid_number()
        {
            return self.number();
        }
        Token::Error("invalid token")
    }

    /// Whether this is one of the numbers that C reads but JSON has not: `+1`, `01`, `0x1`, `inf`, `nan`.
    fn is_invalid_number(&self) -> bool {
        let rest = self.rest();
        if rest.first() == Some(&b'+') {
            return true;
        }
        let digits = rest.strip_prefix(b"-").unwrap_or(rest);
        match digits {
            [b'0', next, ..] => next | 0x20 == b'x' || next.is_ascii_digit(),
            [first, ..] if *first <= b'9' => false,
            _ => digits.get(..3).is_some_and(|word| {
                word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"nan")
            }),
        }
    }

    fn number(&mut self) -> Token {
        let scanned = resp::number::scan_double(self.rest());
        if scanned.used == 0 {
            return Token::Error("invalid number");
        }
        self.at += scanned.used;
        Token::Number(scanned.value)
    }

    /// A string, from its opening quote on.
    fn string(&mut self) -> Located {
        let start = self.at;
        self.at += 1;
        let mut text = Vec::new();
        loop {
            let run = self
                .rest()
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0));
            let run = run.unwrap_or(self.rest().len());
            text.extend_from_slice(&self.rest()[..run]);
            self.at += run;
            match self.byte(self.at) {
                b'"' => {
                    self.at += 1;
                    return (Token::String(text), start);
                }
                b'\\' => {
                    if let Err(fault) = self.escape(&mut text) {
                        return (Token::Error(fault), self.at);
                    }
                }
                _ => return (Token::Error("unexpected end of string"), self.at),
            }
        }
    }

    /// An escape, from its backslash on.
    fn escape(&mut self, text: &mut Vec<u8>) -> std::result::Result<(), &'static str> {
        let plain = match self.byte(self.at + 1) {
            quoted @ (b'"' | b'\\' | b'/') => quoted,
            b'b' => 0x08,
            b't' => b'\t',
            b'n' => b'\n',
            b'f' => 0x0c,
            b'r' => b'\r',
            b'u' => {
                let (character, length) = self.unicode().ok_or("invalid unicode escape code")?;
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                self.at += length;
                return Ok(());
            }
            _ => return Err("invalid escape code"),
        };
        text.push(plain);
        self.at += 2;
        Ok(())
    }

    /// `\uXXXX`, or two of them for a character beyond the first plane; with its length in bytes.
    fn unicode(&self) -> Option<(char, usize)> {
        let high = self.hex4(self.at + 2)?;
        if !(0xd800..0xe000).contains(&high) {
            return Some((char::from_u32(high)?, 6));
        }
        if high >= 0xdc00 || self.byte(self.at + 6) != b'\\' || self.byte(self.at + 7) != b'u' {
            return None;
        }
        let low = self.hex4(self.at + 8)?;
        if !(0xdc00..0xe000).contains(&low) {
            return None;
        }
        let code = 0x10000 + ((high & 0x3ff) << 10 | (low & 0x3ff));
        Some((char::from_u32(code)?, 12))
    }

    fn hex4(&self, at: usize) -> Option<u32> {
        (at..at + 4).try_fold(0, |code, at| {
            Some(code << 4 | char::from(self.byte(at)).to_digit(16)?)
        })
    }
}
