//! Reading arguments: numbers, as Redis reads them.

use crate::Error;

/// A 64-bit integer in canonical decimal form.
///
/// # Errors
/// [`Error::NotInteger`]
pub fn int(word: &[u8]) -> Result<i64, Error> {
    resp::number::parse_integer(word).ok_or(Error::NotInteger)
}

/// A float, `inf` and `-inf` included, NaN not.
///
/// # Errors
/// [`Error::NotFloat`]
pub fn float(word: &[u8]) -> Result<f64, Error> {
    resp::number::parse_double(word).ok_or(Error::NotFloat)
}

/// Whether a word is this keyword, in any case. `keyword` is upper case.
#[must_use]
pub fn is(word: &[u8], keyword: &str) -> bool {
    word.eq_ignore_ascii_case(keyword.as_bytes())
}
