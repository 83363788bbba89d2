//! All directives, by name.

use crate::directive::Directive;
use crate::server::DIRECTIVES;
use crate::unused::UNUSED;

/// Every directive: those with an effect, then the others.
pub fn all() -> impl Iterator<Item = &'static Directive> {
    DIRECTIVES.iter().chain(UNUSED)
}

/// The directive of that name or alias, whatever its case.
#[must_use]
pub fn find(name: &[u8]) -> Option<&'static Directive> {
    all().find(|directive| {
        directive
            .names()
            .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    })
}
