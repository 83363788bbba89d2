//! Glob patterns as `KEYS`, `SCAN MATCH`, `PSUBSCRIBE` and `CONFIG GET` know them: `*`, `?`, `[…]`, `\`.
//!
//! Only the last `*` seen can ever need another try, so matching takes at most pattern length times text length steps
//! and no recursion; a recursive matcher takes exponential time on `a*a*a*…b`.

use memchr::memchr;

/// Whether the whole of `text` matches `pattern`. Case counts.
///
/// ```
/// use resp::glob::matches;
/// assert!(matches(b"user:[0-9]*", b"user:42"));
/// assert!(matches(b"h[^a-d]llo", b"hello"));
/// assert!(!matches(b"h\\*", b"hi"));
/// ```
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    matches_with(pattern, text, false)
}

/// Of a pattern that is plain text with stars at its end: the text, which is all that has to be compared.
///
/// ```
/// use resp::glob::plain_prefix;
/// assert_eq!(plain_prefix(b"user:*"), Some(&b"user:"[..]));
/// assert_eq!(plain_prefix(b"user:?*"), None);
/// assert_eq!(plain_prefix(b"user"), None);
/// ```
#[must_use]
pub fn plain_prefix(pattern: &[u8]) -> Option<&[u8]> {
    let plain = pattern.iter().position(|byte| b"*?[\\".contains(byte))?;
    let (text, rest) = pattern.split_at(plain);
    rest.iter().all(|byte| *byte == b'*').then_some(text)
}

/// As [`matches`], where `A` and `a` are the same when `ignore_case` is set. Only ASCII letters have case; a letter
/// escaped inside a class (`[\A]`) keeps its own even then, as in Redis.
#[must_use]
pub fn matches_with(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
    let (mut p, mut t) = (0, 0);
    // The pattern after the last star, and where in the text it is to be tried next.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += pattern[p..]
                .iter()
                .take_while(|byte| **byte == b'*')
                .count();
            if p == pattern.len() {
                return true;
            }
            retry = Some((p, t));
        }
        if t == text.len() {
            // Whatever is left of the pattern needs at least one more byte, and so would any retry.
            return p == pattern.len();
        }
        if let Some(next) = one(&pattern[p..], text[t], ignore_case) {
            p += next;
            t += 1;
            continue;
        }
        let Some((after_star, from)) = retry else {
            return false;
        };
        let Some(skip) = skip(pattern[after_star], &text[from + 1..], ignore_case) else {
            return false;
        };
        (p, t) = (after_star, from + 1 + skip);
        retry = Some((p, t));
    }
}

/// How far the text can be skipped before `first`, the pattern byte after a star, can match; `None` if it cannot.
fn skip(first: u8, text: &[u8], ignore_case: bool) -> Option<usize> {
    if ignore_case || matches!(first, b'?' | b'[' | b'\\') {
        Some(0)
    } else {
        memchr(first, text)
    }
}

/// Matches one byte against the head of the pattern (not a star); returns the length of that head.
fn one(pattern: &[u8], byte: u8, ignore_case: bool) -> Option<usize> {
    let (literal, length) = match *pattern {
        [] => return None,
        [b'?', ..] => return Some(1),
        [b'[', ref class @ ..] => {
            let (hit, length) = in_class(class, byte, ignore_case);
            return hit.then_some(1 + length);
        }
        [b'\\', escaped, ..] => (escaped, 2),
        [literal, ..] => (literal, 1),
    };
    same(literal, byte, ignore_case).then_some(length)
}

/// Whether a byte is in the class that starts after `[`, and the length of the class with its `]`.
///
/// An unterminated class ends with the pattern. Ranges compare *signed* bytes and work in both directions: a plain C
/// `char` on x86 decides what `[a-\xff]` holds.
fn in_class(class: &[u8], byte: u8, ignore_case: bool) -> (bool, usize) {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut hit = false;
    loop {
        match class[at..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', escaped, ..] => {
                hit |= escaped == byte;
                at += 2;
            }
            [from, b'-', to, ..] => {
                hit |= in_range(from, to, byte, ignore_case);
                at += 3;
            }
            [literal, ..] => {
                hit |= same(literal, byte, ignore_case);
                at += 1;
            }
        }
    }
    (hit != negated, at)
}

fn in_range(from: u8, to: u8, byte: u8, ignore_case: bool) -> bool {
    let signed = |byte: u8| {
        (if ignore_case {
            byte.to_ascii_lowercase()
        } else {
            byte
        })
        .cast_signed()
    };
    let (low, high) = if from.cast_signed() <= to.cast_signed() {
        (from, to)
    } else {
        (to, from)
    };
    (signed(low)..=signed(high)).contains(&signed(byte))
}

fn same(a: u8, b: u8, ignore_case: bool) -> bool {
    a == b || (ignore_case && a.eq_ignore_ascii_case(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, by recursion.
    fn naive(pattern: &[u8], text: &[u8], ignore_case: bool) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', rest @ ..] => {
                (0..=text.len()).any(|skip| naive(rest, &text[skip..], ignore_case))
            }
            _ => match text {
                [] => false,
                [byte, text @ ..] => one(pattern, *byte, ignore_case)
                    .is_some_and(|used| naive(&pattern[used..], text, ignore_case)),
            },
        }
    }

    #[test]
    fn knows_every_form() {
        let yes: &[(&str, &str)] = &[
            ("", ""),
            ("*", ""),
            ("**", "x"),
            ("a*", "a"),
            ("*a", "ba"),
            ("h?llo", "hello"),
            ("h[ae]llo", "hallo"),
            ("h[^e]llo", "hbllo"),
            ("h[a-b]llo", "hbllo"),
            ("[z-a]", "m"),
            ("\\*", "*"),
            ("[\\]]", "]"),
            ("[abc", "c"),
            ("[^]", "x"),
            ("a\\", "a\\"),
            ("[a-]", "_"),
            ("*\\?x", "a?x"),
            ("*bc*de", "abcbcdxde"),
        ];
        let no: &[(&str, &str)] = &[
            ("", "x"),
            ("?", ""),
            ("[^a]", ""),
            ("[]", "x"),
            ("[", "["),
            ("a", "ab"),
            ("a*b", "ac"),
            ("h[^e]llo", "hello"),
            ("\\*", "a"),
            ("A", "a"),
        ];
        for (pattern, text) in yes {
            assert!(
                matches(pattern.as_bytes(), text.as_bytes()),
                "{pattern} {text}"
            );
        }
        for (pattern, text) in no {
            assert!(
                !matches(pattern.as_bytes(), text.as_bytes()),
                "{pattern} {text}"
            );
        }
        assert!(matches_with(b"HE[L-M]l*", b"hello", true));
        assert!(!matches_with(b"[\\A]", b"a", true));
        // 'a'..0xff as signed bytes is -1..97.
        assert!(matches(b"[a-\xff]", b"B") && !matches(b"[a-\xff]", b"b"));
    }

    #[test]
    fn many_stars_take_bounded_time() {
        let pattern = [b"a*".repeat(2000), b"b".to_vec()].concat();
        assert!(!matches(&pattern, &vec![b'a'; 20_000]));
        assert!(!matches_with(&pattern, &vec![b'a'; 20_000], true));
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*?\\[\\]^\\\\A-]{0,10}", text in "[abAB\\]-]{0,8}", ignore_case: bool) {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(matches_with(pattern, text, ignore_case), naive(pattern, text, ignore_case));
        }

        #[test]
        fn plain_text_and_stars_match_what_begins_so(pattern in "[ab*?]{0,4}\\*{0,2}", text in "[ab]{0,5}") {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            if let Some(prefix) = plain_prefix(pattern) {
                prop_assert_eq!(text.starts_with(prefix), naive(pattern, text, false));
            }
        }

        #[test]
        fn is_total(pattern: Vec<u8>, text: Vec<u8>) {
            let _ = matches(&pattern, &text);
        }
    }
}
