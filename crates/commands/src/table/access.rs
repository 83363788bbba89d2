//! What else than keys a command touches: channels and databases. Access control asks.

use crate::{Args, args};

/// The channels among a command's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// None.
    None,
    /// The first word after the name is one that is published to.
    Published,
    /// All words after the name are subscribed to.
    Subscribed,
    /// All words after the name are patterns that are subscribed to.
    Patterns,
}

/// The databases that a command touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Databases {
    /// The client's, if it touches keys.
    Current,
    /// Those named at these positions, and the client's if it touches keys.
    At(&'static [usize]),
    /// Those behind each DB option of COPY, and the client's.
    CopyOptions,
    /// All.
    All,
}

impl Databases {
    /// The positions of the words that name databases. None where they are malformed, which the command will say.
    #[must_use]
    pub fn positions(self, words: Args<'_>, databases: usize) -> Vec<usize> {
        let found = match self {
            Self::Current | Self::All => return Vec::new(),
            Self::At(positions) => Some(positions.to_vec()),
            Self::CopyOptions => copy_options(words),
        };
        let is_database = |at: &usize| {
            let index = words.get(*at).and_then(|word| args::int(word).ok());
            let index = index.and_then(|index| usize::try_from(index).ok());
            index.is_some_and(|index| index < databases)
        };
        found
            .filter(|found| found.iter().all(is_database))
            .unwrap_or_default()
    }
}

fn copy_options(words: Args<'_>) -> Option<Vec<usize>> {
    let mut found = Vec::new();
    let mut at = 3;
    while at < words.len() {
        if args::is(words[at], "DB") && at + 1 < words.len() {
            found.push(at + 1);
            at += 1;
        } else if !args::is(words[at], "REPLACE") {
            return None;
        }
        at += 1;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(databases: Databases, line: &str) -> Vec<usize> {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        databases.positions(&words, 16)
    }

    #[test]
    fn every_database_that_is_named_is_found() {
        assert_eq!(positions(Databases::At(&[1, 2]), "swapdb 0 15"), [1, 2]);
        let copy = Databases::CopyOptions;
        assert_eq!(positions(copy, "copy a b db 3 replace DB 4"), [4, 7]);
        assert_eq!(positions(copy, "copy a b"), [0; 0]);
    }

    #[test]
    fn malformed_words_name_none() {
        for line in [
            "swapdb 0",
            "swapdb 0 x",
            "swapdb 0 16",
            "swapdb -1 0",
            "swapdb",
        ] {
            assert!(positions(Databases::At(&[1, 2]), line).is_empty(), "{line}");
        }
        for line in ["copy a b db", "copy a b db 1 what", "copy a b db 16"] {
            assert!(positions(Databases::CopyOptions, line).is_empty(), "{line}");
        }
    }
}
