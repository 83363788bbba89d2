//! A line split into arguments by the shell-like rules of Redis, and its inverse: bytes printed as a quoted string.
//!
//! Inline requests, configuration lines and the command line of a client use the same splitting. The quoted form is
//! what logs, MONITOR and `CONFIG REWRITE` print.

use std::ops::Range;

/// Splits a line into its arguments; `None` when a quote is left open.
///
/// Unquoted text ends at a blank. Inside `"…"` the escapes `\n \r \t \b \a \xHH` and `\` before any other byte are
/// known; inside `'…'` only `\'`. A NUL is a byte like any other.
///
/// ```
/// let words = resp::args::split(br#"set key "a\x41\n" 'it\'s'"#).unwrap();
/// assert_eq!(words, [&b"set"[..], b"key", b"aA\n", b"it's"]);
/// assert_eq!(resp::args::split(b"\"open"), None);
/// ```
#[must_use]
pub fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut bytes = Vec::with_capacity(line.len());
    let mut words = Vec::new();
    split_into(line, &mut bytes, |_, range| words.push(range))?;
    Some(
        words
            .into_iter()
            .map(|range| bytes[range].to_vec())
            .collect(),
    )
}

/// As [`split`], but the unescaped arguments are appended to `bytes` one after the other, and `found` is told the place
/// of each. For callers that keep one buffer for many lines.
pub fn split_into(
    line: &[u8],
    bytes: &mut Vec<u8>,
    mut found: impl FnMut(&[u8], Range<usize>),
) -> Option<()> {
    let mut rest = line;
    loop {
        let blanks = rest.iter().take_while(|byte| is_space(**byte)).count();
        rest = &rest[blanks..];
        if rest.is_empty() {
            return Some(());
        }
        let start = bytes.len();
        let used = word(rest, bytes)?;
        rest = &rest[used..];
        found(bytes, start..bytes.len());
    }
}

/// Appends `bytes` to `out` in double quotes, with `\" \\ \n \r \t \a \b` and `\xHH` for what does not print.
///
/// ```
/// let mut out = Vec::new();
/// resp::args::quote(b"a\"b\x00\n", &mut out);
/// assert_eq!(out, br#""a\"b\x00\n""#);
/// ```
pub fn quote(bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x07 => out.extend_from_slice(b"\\a"),
            0x08 => out.extend_from_slice(b"\\b"),
            b' '..=b'~' => out.push(byte),
            _ => out.extend_from_slice(&[
                b'\\',
                b'x',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]),
        }
    }
    out.push(b'"');
}

/// The blanks of C's `isspace`, which are two more than Rust's ASCII ones.
#[must_use]
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Reads one argument from the start of `text` (no blank there); returns how many bytes it took. Quotes may open and close anywhere in
/// it (`a"b c"d`).
fn word(text: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at = match byte {
            b' ' | b'\n' | b'\r' | b'\t' => return Some(at),
            b'"' => double_quoted(text, at + 1, out)?,
            b'\'' => single_quoted(text, at + 1, out)?,
            _ => {
                out.push(byte);
                at + 1
            }
        };
    }
    Some(at)
}

/// What stands up to the closing quote; answers where the text goes on behind it.
fn double_quoted(text: &[u8], mut at: usize, out: &mut Vec<u8>) -> Option<usize> {
    loop {
        match *text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => {
                let escaped = *text.get(at + 1)?;
                if escaped == b'x'
                    && let Some(byte) = hex_pair(text, at + 2)
                {
                    out.push(byte);
                    at += 4;
                    continue;
                }
                out.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => other,
                });
                at += 2;
            }
            other => {
                out.push(other);
                at += 1;
            }
        }
    }
}

/// As [`double_quoted`], for `'…'`.
fn single_quoted(text: &[u8], mut at: usize, out: &mut Vec<u8>) -> Option<usize> {
    loop {
        match *text.get(at)? {
            b'\'' => return Some(at + 1),
            b'\\' if text.get(at + 1) == Some(&b'\'') => {
                out.push(b'\'');
                at += 2;
            }
            other => {
                out.push(other);
                at += 1;
            }
        }
    }
}

fn hex_pair(text: &[u8], at: usize) -> Option<u8> {
    let digit = |index: usize| {
        text.get(index)
            .and_then(|byte| char::from(*byte).to_digit(16))
    };
    let value = digit(at)? * 16 + digit(at + 1)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(line: &str) -> Option<Vec<String>> {
        let words = split(line.as_bytes())?;
        Some(
            words
                .into_iter()
                .map(|word| String::from_utf8_lossy(&word).into_owned())
                .collect(),
        )
    }

    #[test]
    fn splits_as_a_shell_would() {
        assert_eq!(words("").unwrap(), Vec::<String>::new());
        assert_eq!(words(" \t\r\n ").unwrap(), Vec::<String>::new());
        assert_eq!(words("a  b\tc").unwrap(), ["a", "b", "c"]);
        assert_eq!(words(r#""" ''"#).unwrap(), ["", ""]);
        assert_eq!(words(r#"a"b c" d"#).unwrap(), ["ab c", "d"]);
        assert_eq!(words(r#""\x4a\q\\\"""#).unwrap(), ["Jq\\\""]);
        assert_eq!(words(r#""\xZZ""#).unwrap(), ["xZZ"]);
        assert_eq!(words(r"'\n\''").unwrap(), ["\\n'"]);
        assert_eq!(words("a\u{b}b").unwrap(), ["a\u{b}b"]);
        let glued = r#""te"s"t-'k'e"y 'b'a'r' a"b"c"#;
        assert_eq!(words(glued).unwrap(), ["test-'k'ey", "bar", "abc"]);
    }

    #[test]
    fn refuses_open_quotes() {
        for line in ["\"a", "'a", "\"a\\", "\"\\\"", "'a'b'", "a\"b\"\"c"] {
            assert_eq!(words(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn quoting_is_undone_by_splitting(word: Vec<u8>) {
            let mut line = Vec::new();
            quote(&word, &mut line);
            prop_assert_eq!(split(&line), Some(vec![word]));
        }

        #[test]
        fn splitting_is_total(line: Vec<u8>) {
            let _ = split(&line);
        }
    }
}
