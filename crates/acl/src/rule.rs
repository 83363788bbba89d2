//! What can be wrong with a rule, and selectors that are spread over several words.

use std::borrow::Cow;

/// Why a rule cannot be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// A command or category that does not exist.
    #[error("Unknown command or category name in ACL")]
    Unknown,
    /// Not a rule.
    #[error("Syntax error")]
    Syntax,
    /// A key pattern where all keys are allowed already.
    #[error(
        "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. \
         Try 'resetkeys' to start with an empty list of patterns"
    )]
    KeysAfterAll,
    /// A channel pattern where all channels are allowed already.
    #[error(
        "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. \
         Try 'resetchannels' to start with an empty list of channels"
    )]
    ChannelsAfterAll,
    /// A password is to be removed that the user does not have.
    #[error("The password you are trying to remove from the user does not exist")]
    NoSuchPassword,
    /// A malformed hash.
    #[error(
        "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
    )]
    BadHash,
    /// `+command|sub|argument`
    #[error("Allowing first-arg of a subcommand is not supported")]
    SubcommandArgument,
    /// The number of a database that there cannot be.
    #[error("The provided database ID is out of range")]
    DatabaseRange,
}

/// Whether a name or pattern cannot be told apart from what stands around it: it has blanks or a NUL.
pub(crate) fn has_blanks(text: &[u8]) -> bool {
    text.iter().any(|byte| is_blank(*byte) || *byte == 0)
}

/// What C's `isspace` says.
pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Joins the words of selectors that were given as several: `(~a` `+get)`.
///
/// # Errors
/// The place of the word that opens a selector which is not closed.
pub fn join_selectors<'a>(rules: &[&'a [u8]]) -> Result<Vec<Cow<'a, [u8]>>, usize> {
    let mut joined = Vec::with_capacity(rules.len());
    let mut open: Option<(usize, Vec<u8>)> = None;
    for (at, rule) in rules.iter().enumerate() {
        open = match open {
            None if rule.starts_with(b"(") && !rule.ends_with(b")") => Some((at, rule.to_vec())),
            None => {
                joined.push(Cow::Borrowed(*rule));
                None
            }
            Some((from, mut text)) => {
                text.push(b' ');
                text.extend_from_slice(rule);
                if rule.ends_with(b")") {
                    joined.push(Cow::Owned(text));
                    None
                } else {
                    Some((from, text))
                }
            }
        };
    }
    match open {
        None => Ok(joined),
        Some((from, _)) => Err(from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_joined() {
        let rules: [&[u8]; 6] = [b"on", b"(~a", b"", b"+get)", b"(x)", b"+@all"];
        let joined = join_selectors(&rules).unwrap();
        assert_eq!(joined, [&b"on"[..], b"(~a  +get)", b"(x)", b"+@all"]);
        assert_eq!(join_selectors(&[b"on", b"(", b"~a"]), Err(1));
        assert_eq!(join_selectors(&[]), Ok(vec![]));
    }
}
