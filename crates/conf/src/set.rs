//! `CONFIG GET` and `CONFIG SET`.

use std::collections::BTreeMap;

use resp::glob;
use thiserror::Error;

use crate::directive::{Directive, Reason};
use crate::server::{Effect, ServerConfig};
use crate::table::{all, find};

const IMMUTABLE: &str = "can't set immutable config";

/// What `CONFIG SET` may do beside changing what anybody may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// Protected parameters may be changed (`enable-protected-configs`).
    pub protected: bool,
    /// Data are being loaded: some parameters have to wait.
    pub loading: bool,
}

/// Why `CONFIG SET` changed nothing. Its text, after `ERR `, is the reply; [`SetError::Loading`] has a reply of its own.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SetError {
    /// There is no such parameter.
    #[error("Unknown option or number of arguments for CONFIG SET - '{}'", String::from_utf8_lossy(.0))]
    Unknown(Vec<u8>),
    /// The parameter cannot have this value, or cannot be changed.
    #[error("CONFIG SET failed (possibly related to argument '{}') - {reason}", String::from_utf8_lossy(.name))]
    Refused {
        /// The parameter, as the client called it.
        name: Vec<u8>,
        /// Why not.
        reason: Reason,
    },
    /// It cannot be changed while data are loaded.
    #[error("data are being loaded")]
    Loading,
}

impl SetError {
    /// Refuses a parameter.
    #[must_use]
    pub fn refused(name: &[u8], reason: impl Into<Reason>) -> Self {
        SetError::Refused {
            name: name.to_vec(),
            reason: reason.into(),
        }
    }

    /// The bytes for the wire, without `ERR `; the client's own bytes are left as they are, up to a NUL, as in C.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        let word = |name: &[u8]| name.split(|byte| *byte == 0).next().map(<[u8]>::to_vec);
        match self {
            SetError::Unknown(name) => {
                let name = word(name).unwrap_or_default();
                [
                    b"Unknown option or number of arguments for CONFIG SET - '",
                    &*name,
                    b"'",
                ]
                .concat()
            }
            other => other.to_string().into_bytes(),
        }
    }
}

impl ServerConfig {
    /// `CONFIG GET`: every parameter whose name or alias matches one of the glob patterns, by name: the name as it was typed, if it was,
    /// and the value. What is hidden is shown to who names it exactly.
    #[must_use]
    pub fn get(&self, patterns: &[&[u8]]) -> BTreeMap<&'static str, (Vec<u8>, Vec<u8>)> {
        let mut found = BTreeMap::new();
        for pattern in patterns {
            let is_glob = pattern.iter().any(|byte| b"[*?".contains(byte));
            for directive in all().filter(|directive| directive.is_parameter()) {
                for name in directive.names() {
                    let matches = if is_glob {
                        !directive.is_hidden() && glob::matches_with(pattern, name.as_bytes(), true)
                    } else {
                        pattern.eq_ignore_ascii_case(name.as_bytes())
                    };
                    if matches {
                        let shown = if is_glob { name.as_bytes() } else { pattern };
                        found
                            .entry(name)
                            .or_insert_with(|| (shown.to_vec(), directive.value(self)));
                    }
                }
            }
        }
        found
    }

    /// `CONFIG SET`: changes all of these parameters or none, and gives the directives whose value is another one now.
    /// When a part of the server cannot follow, the caller puts the old configuration back.
    ///
    /// # Errors
    /// [`SetError`]; the configuration is as it was.
    pub fn set(
        &mut self,
        pairs: &[(&[u8], &[u8])],
        rights: Rights,
    ) -> Result<Vec<&'static Directive>, SetError> {
        let directives = settable(pairs, rights)?;
        let mut config = self.clone();
        for (directive, (name, value)) in directives.iter().zip(pairs) {
            let refused = |reason| SetError::refused(&name.to_ascii_lowercase(), reason);
            directive.set(&mut config, value).map_err(refused)?;
            if directive.is_steady() && directive.value(&config) != directive.value(self) {
                return Err(SetError::refused(name, IMMUTABLE));
            }
        }
        let before = std::mem::replace(self, config);
        // Files that TLS reads may have changed under the same name.
        let changed = |directive: &&'static Directive| {
            directive.effect() == Effect::Tls || directive.value(self) != directive.value(&before)
        };
        Ok(directives.into_iter().filter(changed).collect())
    }
}

/// The directives of these names, if all of them may be changed.
fn settable(pairs: &[(&[u8], &[u8])], rights: Rights) -> Result<Vec<&'static Directive>, SetError> {
    let mut directives: Vec<&'static Directive> = Vec::with_capacity(pairs.len());
    for (name, _) in pairs {
        let known = find(name).filter(|directive| directive.is_parameter());
        let directive = known.ok_or_else(|| SetError::Unknown(name.to_vec()))?;
        if directive.is_fixed() && !directive.is_steady() {
            return Err(SetError::refused(name, IMMUTABLE));
        }
        if directive.is_protected() && !rights.protected {
            return Err(SetError::refused(name, "can't set protected config"));
        }
        if directive.is_refused_while_loading() && rights.loading {
            return Err(SetError::Loading);
        }
        if directives
            .iter()
            .any(|known| known.name() == directive.name())
        {
            return Err(SetError::refused(name, "duplicate parameter"));
        }
        directives.push(directive);
    }
    Ok(directives)
}

/// Whether the value after this name, in `CONFIG SET`, is a secret.
#[must_use]
pub fn is_sensitive(name: &[u8]) -> bool {
    find(name).is_some_and(Directive::is_sensitive)
}
