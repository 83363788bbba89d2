//! Which words of a request are secrets: they are kept out of MONITOR and the command logs.

use crate::{Args, args};

/// The positions of a request's secrets.
pub type SecretFinder = fn(Args<'_>) -> Vec<usize>;

/// AUTH: all that follows.
pub fn auth_secrets(args: Args<'_>) -> Vec<usize> {
    (1..args.len()).collect()
}

/// HELLO … AUTH user password.
pub fn hello_secrets(args: Args<'_>) -> Vec<usize> {
    after(args, 2, "AUTH", 2)
}

/// MIGRATE … AUTH password, or AUTH2 user password.
pub fn migrate_secrets(args: Args<'_>) -> Vec<usize> {
    let mut found = after(args, 6, "AUTH", 1);
    found.extend(after(args, 6, "AUTH2", 2));
    found
}

/// ACL SETUSER: the user and all rules.
pub fn setuser_secrets(args: Args<'_>) -> Vec<usize> {
    (2..args.len()).collect()
}

/// The `count` positions after each `word`, from `start` on.
fn after(words: Args<'_>, start: usize, word: &str, count: usize) -> Vec<usize> {
    let places = words.iter().enumerate().skip(start);
    places
        .filter(|(_, known)| args::is(known, word))
        .flat_map(|(at, _)| at + 1..=at + count)
        .filter(|at| *at < words.len())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_found_wherever_they_stand() {
        let words = |line: &'static str| line.split(' ').map(str::as_bytes).collect::<Vec<_>>();
        assert_eq!(auth_secrets(&words("AUTH me secret")), [1, 2]);
        assert_eq!(
            hello_secrets(&words("HELLO 3 auth me secret SETNAME x")),
            [3, 4]
        );
        assert_eq!(
            migrate_secrets(&words("MIGRATE h 1 k 0 5 COPY auth secret")),
            [8]
        );
        assert_eq!(
            migrate_secrets(&words("MIGRATE h 1 k 0 5 AUTH2 me secret KEYS a")),
            [7, 8]
        );
        assert_eq!(migrate_secrets(&words("MIGRATE h 1 k 0 5 AUTH")), [0; 0]);
        assert_eq!(
            setuser_secrets(&words("ACL SETUSER me on >secret")),
            [2, 3, 4]
        );
    }
}
