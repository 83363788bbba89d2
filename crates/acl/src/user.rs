//! A user.

use crate::password::{self, Hash};
use crate::rule::RuleError;
use crate::selector::{Allowed, Selector};
use crate::{Catalog, join_selectors};

/// A name, its passwords and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    name: Box<[u8]>,
    /// One can log in as this user.
    enabled: bool,
    /// Every password is right.
    no_password: bool,
    passwords: Vec<Hash>,
    /// The user's own permissions come first.
    selectors: Vec<Selector>,
    /// One of them allows everything.
    unrestricted: bool,
}

impl User {
    /// A user that may nothing and cannot log in.
    pub(crate) fn new(catalog: &Catalog, all_channels: bool, name: &[u8]) -> Self {
        Self {
            name: name.into(),
            enabled: false,
            no_password: false,
            passwords: Vec::new(),
            selectors: vec![Selector::new(catalog, all_channels)],
            unrestricted: false,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Whether one can log in as this user.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether every password is right.
    #[must_use]
    pub fn needs_no_password(&self) -> bool {
        self.no_password
    }

    /// Whether it may do everything: then [`User::check`] need not be asked.
    #[must_use]
    #[inline]
    pub fn is_unrestricted(&self) -> bool {
        self.unrestricted
    }

    /// The SHA-256 of its passwords, in hexadecimal digits.
    pub fn passwords(&self) -> impl ExactSizeIterator<Item = String> {
        self.passwords.iter().map(|hash| password::hex(hash))
    }

    /// Its own permissions, then the selectors that were added.
    #[must_use]
    pub fn selectors(&self) -> &[Selector] {
        &self.selectors
    }

    /// Whether one can log in as this user with this password.
    #[must_use]
    pub fn accepts(&self, password: &[u8]) -> bool {
        self.enabled
            && (self.no_password || password::is_among(&self.passwords, &password::hash(password)))
    }

    /// Applies rules, in which selectors may be spread over several words.
    ///
    /// # Errors
    /// The first rule that is wrong, and why. Those before it have been applied.
    pub(crate) fn apply_all(
        &mut self,
        catalog: &Catalog,
        all_channels: bool,
        rules: &[&[u8]],
    ) -> Result<(), crate::SetError> {
        let joined =
            join_selectors(rules).map_err(|at| crate::SetError::Unmatched(rules[at].into()))?;
        for rule in &joined {
            self.apply(catalog, all_channels, rule)
                .map_err(|error| crate::SetError::Rule(rule.as_ref().into(), error))?;
        }
        Ok(())
    }

    /// Applies one rule.
    pub(crate) fn apply(
        &mut self,
        catalog: &Catalog,
        all_channels: bool,
        rule: &[u8],
    ) -> Result<(), RuleError> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        if rule.is_empty() || is("sanitize-payload") || is("skip-sanitize-payload") {
            // Payloads are always checked; files of older servers say it.
        } else if is("on") {
            self.enabled = true;
        } else if is("off") {
            self.enabled = false;
        } else if is("nopass") {
            self.no_password = true;
            self.passwords.clear();
        } else if is("resetpass") {
            self.no_password = false;
            self.passwords.clear();
        } else if is("clearselectors") {
            self.selectors.truncate(1);
        } else if is("reset") {
            let name = std::mem::take(&mut self.name);
            *self = Self::new(catalog, all_channels, &name);
        } else if rule.len() > 1 && rule.starts_with(b"(") && rule.ends_with(b")") {
            let selector = Selector::parse(catalog, all_channels, rule)?;
            self.selectors.push(selector);
        } else {
            self.apply_password(catalog, rule)?;
        }
        self.unrestricted = self.selectors.iter().any(Selector::allows_everything);
        Ok(())
    }

    fn apply_password(&mut self, catalog: &Catalog, rule: &[u8]) -> Result<(), RuleError> {
        let hash = |text: &[u8]| password::parse(text).ok_or(RuleError::BadHash);
        match rule {
            [b'>', password @ ..] => self.add_password(password::hash(password)),
            [b'#', text @ ..] => self.add_password(hash(text)?),
            [b'<', password @ ..] => self.remove_password(&password::hash(password))?,
            [b'!', text @ ..] => self.remove_password(&hash(text)?)?,
            _ => self.selectors[0].apply(catalog, rule)?,
        }
        Ok(())
    }

    fn add_password(&mut self, hash: Hash) {
        if !self.passwords.contains(&hash) {
            self.passwords.push(hash);
        }
        self.no_password = false;
    }

    fn remove_password(&mut self, hash: &Hash) -> Result<(), RuleError> {
        let known = self.passwords.iter().position(|known| known == hash);
        self.passwords
            .remove(known.ok_or(RuleError::NoSuchPassword)?);
        Ok(())
    }

    /// Rules that make this user of a new one.
    #[must_use]
    pub fn describe(&self) -> Vec<u8> {
        let mut parts = vec![if self.enabled {
            b"on".to_vec()
        } else {
            b"off".to_vec()
        }];
        if self.no_password {
            parts.push(b"nopass".to_vec());
        }
        parts.extend(self.passwords().map(|hash| format!("#{hash}").into_bytes()));
        let [own, others @ ..] = &self.selectors[..] else {
            return parts.join(&b' ');
        };
        parts.push(own.describe());
        parts.extend(
            others
                .iter()
                .map(|selector| [b"(", &*selector.describe(), b")"].concat()),
        );
        parts.join(&b' ')
    }

    /// The patterns of channels that this user may hear, where it may hear less than `before`: then its subscribers are to be looked at.
    #[must_use]
    pub fn narrowed_channels(&self, before: &Self) -> Option<Vec<Box<[u8]>>> {
        let own = all_channels(self)?;
        let kept = all_channels(before)
            .is_some_and(|before| before.iter().all(|pattern| own.contains(pattern)));
        (!kept).then_some(own)
    }
}

/// All patterns of channels; none where it may hear everything.
fn all_channels(user: &User) -> Option<Vec<Box<[u8]>>> {
    let mut all = Vec::new();
    for selector in &user.selectors {
        match &selector.channels {
            Allowed::All => return None,
            Allowed::Only(patterns) => all.extend_from_slice(patterns),
        }
    }
    Some(all)
}
