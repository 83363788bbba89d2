//! Reading arguments: numbers, keywords, and options in any order.

use resp::longdouble::LongDouble;

use crate::{Args, Error};

/// A 64-bit integer in canonical decimal form.
///
/// # Errors
/// [`Error::NotInteger`]
pub fn int(word: &[u8]) -> Result<i64, Error> {
    resp::number::parse_i64(word).ok_or(Error::NotInteger)
}

/// A 64-bit integer in canonical decimal form, not below the negative of the highest one.
///
/// # Errors
/// [`Error::NotInteger`], and the text that commands share whose counts may be negative.
pub fn count(word: &[u8]) -> Result<i64, Error> {
    match int(word)? {
        i64::MIN => Err(Error::text(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        )),
        count => Ok(count),
    }
}

/// A 32-bit integer in canonical decimal form.
///
/// # Errors
/// [`Error::NotInteger`], and the text for what has more bits.
pub fn int_of_32_bits(word: &[u8]) -> Result<i32, Error> {
    i32::try_from(int(word)?).map_err(|_| {
        Error::text("ERR value is out of range, value must between -2147483648 and 2147483647")
    })
}

/// A float, `inf` and `-inf` included, NaN not.
///
/// # Errors
/// [`Error::NotFloat`]
pub fn float(word: &[u8]) -> Result<f64, Error> {
    resp::number::parse_double(word).ok_or(Error::NotFloat)
}

/// The longest timeout, milliseconds: its end has to be a time of 64 bits, since 1970.
const MOST_TIMEOUT_MS: i64 = i64::MAX - (1 << 41);

/// The timeout of a blocking command in milliseconds. 0 is for ever.
///
/// # Errors
/// The texts that blocking commands share.
pub fn whole_timeout_ms(word: &[u8]) -> Result<u64, Error> {
    let ms = int(word).map_err(|_| Error::text("ERR timeout is not an integer or out of range"))?;
    if ms > MOST_TIMEOUT_MS {
        return Err(Error::text("ERR timeout is out of range"));
    }
    u64::try_from(ms).map_err(|_| Error::text("ERR timeout is negative"))
}

/// The timeout of a blocking command in seconds, as milliseconds, rounded up. 0 is for ever.
///
/// # Errors
/// The texts that blocking commands share.
pub fn timeout_ms(word: &[u8]) -> Result<u64, Error> {
    // What is a number is decided as for a long double: its range is wider, and it may be hexadecimal.
    if LongDouble::parse(word).is_none() {
        return Err(Error::text("ERR timeout is not a float or out of range"));
    }
    let ms = (resp::number::scan_double(word).value * 1000.0).ceil();
    if ms > MOST_TIMEOUT_MS as f64 {
        return Err(Error::text("ERR timeout is out of range"));
    }
    if ms < 0.0 {
        return Err(Error::text("ERR timeout is negative"));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and MOST_TIMEOUT_MS"
    )]
    Ok(ms as u64)
}

/// Whether a word is this keyword, in any case. `keyword` is upper case.
#[must_use]
pub fn is(word: &[u8], keyword: &str) -> bool {
    word.eq_ignore_ascii_case(keyword.as_bytes())
}

/// Reads the words of a request one after the other: the one way in which commands parse options.
///
/// ```
/// use commands::args::Reader;
/// # fn main() -> Result<(), commands::Error> {
/// let words: [&[u8]; 5] = [b"XTHING", b"key", b"COUNT", b"10", b"NOACK"];
/// let mut reader = Reader::from(&words, 2);
/// let (mut count, mut acknowledges) = (None, true);
/// while !reader.is_empty() {
///     if reader.takes("COUNT") {
///         count = Some(reader.int()?);
///     } else if reader.takes("NOACK") {
///         acknowledges = false;
///     } else {
///         return Err(commands::Error::Syntax);
///     }
/// }
/// assert_eq!((count, acknowledges), (Some(10), false));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    words: Args<'a>,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Begins at position `at`, which may be the end.
    #[must_use]
    pub fn from(words: Args<'a>, at: usize) -> Self {
        Self {
            words,
            at: at.min(words.len()),
        }
    }

    /// The position of the next word.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// Whether no words are left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.at == self.words.len()
    }

    /// How many words are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.len() - self.at
    }

    /// The next word, which stays.
    #[must_use]
    pub fn peek(&self) -> Option<&'a [u8]> {
        self.words.get(self.at).copied()
    }

    /// Takes the next word if it is this keyword, in any case.
    pub fn takes(&mut self, keyword: &str) -> bool {
        let there = self.peek().is_some_and(|word| is(word, keyword));
        self.at += usize::from(there);
        there
    }

    /// Takes the next word if it is this keyword and at least `more` words follow it.
    pub fn takes_with(&mut self, keyword: &str, more: usize) -> bool {
        self.len() > more && self.takes(keyword)
    }

    /// Takes the next word.
    ///
    /// # Errors
    /// [`Error::Syntax`] where none is left.
    pub fn word(&mut self) -> Result<&'a [u8], Error> {
        let word = self.peek().ok_or(Error::Syntax)?;
        self.at += 1;
        Ok(word)
    }

    /// Takes the next word as an integer.
    ///
    /// # Errors
    /// [`Error::Syntax`] where none is left, [`Error::NotInteger`] where it is none.
    pub fn int(&mut self) -> Result<i64, Error> {
        int(self.word()?)
    }

    /// Takes the next word as an integer within a range.
    ///
    /// # Errors
    /// As [`int`](Self::int); `outside` where it is not within the range.
    pub fn int_in(
        &mut self,
        range: std::ops::RangeInclusive<i64>,
        outside: &'static str,
    ) -> Result<i64, Error> {
        let value = self.int()?;
        if range.contains(&value) {
            Ok(value)
        } else {
            Err(Error::text(outside))
        }
    }

    /// Takes the next word as a float.
    ///
    /// # Errors
    /// [`Error::Syntax`] where none is left, [`Error::NotFloat`] where it is none.
    pub fn float(&mut self) -> Result<f64, Error> {
        float(self.word()?)
    }

    /// Takes this many words.
    ///
    /// # Errors
    /// [`Error::Syntax`] where fewer are left.
    pub fn words(&mut self, count: usize) -> Result<Args<'a>, Error> {
        let end = self.at.checked_add(count).ok_or(Error::Syntax)?;
        let words = self.words.get(self.at..end).ok_or(Error::Syntax)?;
        self.at = end;
        Ok(words)
    }

    /// Takes a number of keys, at least one, and then that many keys.
    ///
    /// # Errors
    /// The texts that Redis's commands share.
    pub fn counted_keys(&mut self) -> Result<Args<'a>, Error> {
        const NOT_POSITIVE: &str = "ERR numkeys should be greater than 0";
        let count = self.word()?;
        let count = int(count).ok().filter(|count| *count > 0);
        let count = count.and_then(|count| usize::try_from(count).ok());
        let count = count.ok_or(Error::text(NOT_POSITIVE))?;
        if count > self.len() {
            return Err(Error::text(
                "ERR Number of keys can't be greater than number of args",
            ));
        }
        self.words(count)
    }

    /// As [`counted_keys`](Self::counted_keys) where a word has to follow the keys: [`Error::Syntax`] where too few are left.
    ///
    /// # Errors
    /// The texts that LMPOP, ZMPOP and their like share.
    pub fn counted_keys_before_more(&mut self) -> Result<Args<'a>, Error> {
        let count = int(self.word()?).ok().filter(|count| *count > 0);
        let count = count.and_then(|count| usize::try_from(count).ok());
        let count = count.ok_or(Error::text("ERR numkeys should be greater than 0"))?;
        if count >= self.len() {
            return Err(Error::Syntax);
        }
        self.words(count)
    }

    /// Takes `[COUNT count]` at the end of a request; 1 without it.
    ///
    /// # Errors
    /// The texts that LMPOP, ZMPOP and their like share.
    pub fn positive_count(&mut self) -> Result<usize, Error> {
        if self.is_empty() {
            return Ok(1);
        }
        if !self.takes_with("COUNT", 1) {
            return Err(Error::Syntax);
        }
        let count = int(self.word()?).ok().filter(|count| *count > 0);
        let count = count.and_then(|count| usize::try_from(count).ok());
        let count = count.ok_or(Error::text("ERR count should be greater than 0"))?;
        if self.is_empty() {
            Ok(count)
        } else {
            Err(Error::Syntax)
        }
    }

    /// Takes all words that are left.
    pub fn rest(&mut self) -> Args<'a> {
        let rest = &self.words[self.at..];
        self.at = self.words.len();
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_words_in_order_and_stops_at_the_end() {
        let words: [&[u8]; 6] = [b"CMD", b"2", b"a", b"b", b"limit", b"1.5"];
        let mut reader = Reader::from(&words, 1);
        assert_eq!(reader.counted_keys().unwrap(), [b"a", b"b"]);
        assert!(!reader.takes("COUNT") && !reader.takes_with("LIMIT", 2));
        assert!(reader.takes_with("LIMIT", 1));
        assert_eq!(reader.clone().int(), Err(Error::NotInteger));
        assert_eq!(reader.float(), Ok(1.5));
        assert_eq!(reader.word(), Err(Error::Syntax));
        assert!(Reader::from(&words, 99).is_empty());
        for count in ["0", "-1", "x", "9", "99999999999999999999"] {
            let words = [&b"CMD"[..], count.as_bytes(), b"a"];
            assert!(Reader::from(&words, 1).counted_keys().is_err(), "{count}");
        }
    }
}
