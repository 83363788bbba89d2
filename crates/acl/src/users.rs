//! All users.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::rule::{RuleError, has_blanks};
use crate::{Catalog, User};

/// The user of who has not logged in.
pub(crate) const DEFAULT: &[u8] = b"default";

/// Why a user cannot be made or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetError {
    /// The name has blanks or a NUL.
    BadName,
    /// A selector is opened by this word and not closed.
    Unmatched(Box<[u8]>),
    /// This rule is wrong.
    Rule(Box<[u8]>, RuleError),
}

impl SetError {
    /// What ACL SETUSER answers.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        match self {
            Self::BadName => b"Usernames can't contain spaces or null characters".to_vec(),
            Self::Unmatched(word) => [
                b"Unmatched parenthesis in acl selector starting at '",
                &**word,
                b"'.",
            ]
            .concat(),
            Self::Rule(rule, error) => [
                b"Error in ACL SETUSER modifier '",
                &**rule,
                b"': ",
                error.to_string().as_bytes(),
            ]
            .concat(),
        }
    }
}

/// All users by name. The default user is always there.
#[derive(Debug)]
pub struct Users {
    catalog: Arc<Catalog>,
    /// `acl-pubsub-default`: new users may use all channels.
    all_channels: bool,
    users: BTreeMap<Box<[u8]>, Rc<User>>,
    default: Rc<User>,
}

impl Users {
    /// The default user alone, who may do everything and needs no password.
    #[must_use]
    pub fn new(catalog: Arc<Catalog>, all_channels: bool) -> Self {
        let default = Rc::new(default_user(&catalog));
        Self {
            catalog,
            all_channels,
            users: BTreeMap::from([(DEFAULT.into(), Rc::clone(&default))]),
            default,
        }
    }

    /// The commands that rules can name.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Changes `acl-pubsub-default`: whether users that are made from now on may use all channels.
    pub fn set_all_channels(&mut self, all_channels: bool) {
        self.all_channels = all_channels;
    }

    /// The default user.
    #[must_use]
    #[inline]
    pub fn default_user(&self) -> &Rc<User> {
        &self.default
    }

    /// The user of this name.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&Rc<User>> {
        self.users.get(name)
    }

    /// All, in the order of their names.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Rc<User>> {
        self.users.values()
    }

    /// The user of this name, if this is its password and it may log in.
    #[must_use]
    pub fn login(&self, name: &[u8], password: &[u8]) -> Option<&Rc<User>> {
        self.get(name).filter(|user| user.accepts(password))
    }

    /// Makes a user, or changes one: all rules are applied, or none.
    ///
    /// # Errors
    /// What is wrong with the name or with the first wrong rule.
    pub fn set(&mut self, name: &[u8], rules: &[&[u8]]) -> Result<(), SetError> {
        if has_blanks(name) {
            return Err(SetError::BadName);
        }
        let mut user = match self.get(name) {
            Some(user) => User::clone(user),
            None => self.new_user(name),
        };
        user.apply_all(&self.catalog, self.all_channels, rules)?;
        self.put(user);
        Ok(())
    }

    /// Removes a user. The default one cannot be.
    pub fn remove(&mut self, name: &[u8]) -> bool {
        name != DEFAULT && self.users.remove(name).is_some()
    }

    /// `requirepass`: the only password of the default user; without one it needs none.
    pub fn set_default_password(&mut self, password: Option<&[u8]>) {
        let mut user = User::clone(&self.default);
        let rule = password.map(|password| [b">", password].concat());
        let rules: [&[u8]; 2] = [b"resetpass", rule.as_deref().unwrap_or(b"nopass")];
        for rule in rules {
            // These rules are always right.
            let _ = user.apply(&self.catalog, self.all_channels, rule);
        }
        self.put(user);
    }

    /// Puts these in the place of all.
    pub(crate) fn replace(&mut self, users: impl Iterator<Item = User>) {
        self.users.clear();
        self.put(default_user(&self.catalog));
        users.for_each(|user| self.put(user));
    }

    pub(crate) fn new_user(&self, name: &[u8]) -> User {
        User::new(&self.catalog, self.all_channels, name)
    }

    /// Applies a rule to a user that is in the making.
    pub(crate) fn apply(&self, user: &mut User, rule: &[u8]) -> Result<(), RuleError> {
        user.apply(&self.catalog, self.all_channels, rule)
    }

    fn put(&mut self, user: User) {
        let user = Rc::new(user);
        if user.name() == DEFAULT {
            self.default = Rc::clone(&user);
        }
        self.users.insert(user.name().into(), user);
    }
}

fn default_user(catalog: &Catalog) -> User {
    let mut user = User::new(catalog, true, DEFAULT);
    for rule in [&b"+@all"[..], b"~*", b"on", b"nopass"] {
        // These rules are always right.
        let _ = user.apply(catalog, true, rule);
    }
    user
}
