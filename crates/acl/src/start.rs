//! The users that a daemon starts with: those of its configuration, or those of the file that it names.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::{FileError, SetError, Users};

impl Users {
    /// Makes the users of a configuration: the words behind each `user` directive, or the file `aclfile` where that is not empty; `read`
    /// reads it. Gives a line for the log for each user that cannot log in.
    ///
    /// # Errors
    /// What is wrong with them: the daemon is not to start.
    pub fn start(
        &mut self,
        declared: &[Vec<Vec<u8>>],
        aclfile: &[u8],
        read: impl FnOnce(&[u8]) -> Result<Vec<u8>, String>,
    ) -> Result<Vec<String>, String> {
        if !aclfile.is_empty() && !declared.is_empty() {
            return Err(
                "Configuring users in the configuration file and at the same time setting an ACL file path is invalid. This setup is very \
                 likely to lead to configuration errors and security holes, please define either an ACL file or declare users directly in \
                 the configuration file, but not both."
                    .to_owned(),
            );
        }
        let mut seen = BTreeSet::new();
        let mut notes = Vec::new();
        for words in declared {
            let [name, rules @ ..] = &words[..] else {
                continue;
            };
            if !seen.insert(name) {
                return Err(
                    "Duplicate user found. A user can only be defined once in config files"
                        .to_owned(),
                );
            }
            notes.extend(self.declare(name, rules)?);
        }
        if !aclfile.is_empty() {
            self.load_file(aclfile, read).map_err(|FileError(text)| {
                let text = String::from_utf8_lossy(&text);
                format!("Aborting startup because of ACL errors: {text}")
            })?;
        }
        Ok(notes)
    }

    /// Puts the users of the file at `path` in the place of all; `read` reads it.
    ///
    /// # Errors
    /// It cannot be read, or every fault that is in it; then nothing was changed.
    pub fn load_file(
        &mut self,
        path: &[u8],
        read: impl FnOnce(&[u8]) -> Result<Vec<u8>, String>,
    ) -> Result<(), FileError> {
        let text = read(path).map_err(|reason| {
            let before = b"Error loading ACLs, opening file '";
            FileError([before, path, b"': ", reason.as_bytes()].concat())
        })?;
        self.load(path, &text)
    }

    /// A `user` directive.
    fn declare(&mut self, name: &[u8], rules: &[Vec<u8>]) -> Result<Option<String>, String> {
        let shown = String::from_utf8_lossy(name);
        let mut all: Vec<&[u8]> = vec![b"reset"];
        all.extend(rules.iter().map(Vec::as_slice));
        self.set(name, &all).map_err(|wrong| match wrong {
            SetError::BadName => "Spaces not allowed in ACL usernames".to_owned(),
            SetError::Unmatched(_) => String::from_utf8_lossy(&wrong.message()).into_owned(),
            SetError::Rule(rule, reason) => {
                let rule = secretless(&rule);
                format!("Error loading ACL rule '{rule}' for the user named '{shown}': {reason}")
            }
        })?;
        let off = self.get(name).is_some_and(|user| !user.is_enabled());
        Ok(off.then(|| {
            format!(
                "The user '{shown}' is disabled (there is no 'on' modifier in the user description). Make sure this is not a \
                 configuration error."
            )
        }))
    }
}

/// A rule for the log, without its password.
fn secretless(rule: &[u8]) -> Cow<'_, str> {
    match rule {
        [sign @ (b'>' | b'<'), ..] => Cow::Owned(format!("{}(redacted)", char::from(*sign))),
        _ => String::from_utf8_lossy(rule),
    }
}
