//! Files of users: a line `user name rule …` each.

use std::collections::BTreeSet;

use crate::rule::{RuleError, has_blanks, join_selectors};
use crate::{User, Users};

/// All that is wrong with a file, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError(pub Vec<u8>);

impl Users {
    /// Puts the users of a file in the place of all. Those that it does not name are gone; without a default user a new one is made.
    ///
    /// # Errors
    /// Every fault that is in the file, called `name`; then nothing was changed.
    pub fn load(&mut self, name: &[u8], text: &[u8]) -> Result<(), FileError> {
        let mut reader = Reader {
            file: name,
            faults: Vec::new(),
            seen: BTreeSet::new(),
        };
        let mut users = Vec::new();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = trim(line, b" \t\r\n");
            if !line.is_empty() {
                users.extend(reader.line(self, index + 1, line));
            }
        }
        if reader.faults.is_empty() {
            self.replace(users.into_iter());
            return Ok(());
        }
        reader.faults.extend_from_slice(
            b"WARNING: ACL errors detected, no change to the previously active ACL rules was performed",
        );
        Err(FileError(reader.faults))
    }
}

struct Reader<'a> {
    file: &'a [u8],
    faults: Vec<u8>,
    seen: BTreeSet<Vec<u8>>,
}

impl Reader<'_> {
    fn fault(&mut self, parts: &[&[u8]]) {
        parts
            .iter()
            .for_each(|part| self.faults.extend_from_slice(part));
    }

    fn line(&mut self, users: &Users, number: usize, line: &[u8]) -> Option<User> {
        let file = self.file;
        let number = number.to_string();
        let number = number.as_bytes();
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let [b"user", name, rules @ ..] = &words[..] else {
            self.fault(&[
                file,
                b":",
                number,
                b" should start with user keyword followed by the username. ",
            ]);
            return None;
        };
        if has_blanks(name) {
            self.fault(&[
                b"'",
                file,
                b":",
                number,
                b": username '",
                name,
                b"' contains invalid characters. ",
            ]);
            return None;
        }
        if !self.seen.insert(name.to_vec()) {
            self.fault(&[
                b"WARNING: Duplicate user '",
                name,
                b"' found on line ",
                number,
                b". ",
            ]);
            return None;
        }
        let Ok(rules) = join_selectors(rules) else {
            self.fault(&[
                file,
                b":",
                number,
                b": Unmatched parenthesis in selector definition.",
            ]);
            return None;
        };
        let mut user = users.new_user(name);
        let mut told = false;
        for rule in &rules {
            let rule = trim(rule, b"\t\r\n");
            let Err(error) = users.apply(&mut user, rule) else {
                continue;
            };
            let why = error.to_string();
            let why = why.as_bytes();
            if error == RuleError::Unknown {
                let about: &[u8] = b": Error in applying operation '";
                self.fault(&[file, b":", number, about, rule, b"': ", why, b". "]);
            } else if !told {
                // What follows may be wrong only because of this. It is not shown: it may be a password.
                told = true;
                self.fault(&[file, b":", number, b": ", why, b". "]);
            }
        }
        Some(user)
    }
}

fn trim<'a>(mut text: &'a [u8], blanks: &[u8]) -> &'a [u8] {
    while let [first, rest @ ..] = text
        && blanks.contains(first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && blanks.contains(last)
    {
        text = rest;
    }
    text
}

/// The file from which all these users can be loaded.
#[must_use]
pub fn print_users(users: &Users) -> Vec<u8> {
    let mut text = Vec::new();
    for user in users.iter() {
        for part in [b"user ", user.name(), b" ", &user.describe(), b"\n"] {
            text.extend_from_slice(part);
        }
    }
    text
}
