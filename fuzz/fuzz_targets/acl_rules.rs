//! Any rules make a user or are refused as a whole; what ACL LIST shows of a user makes the same user again, as rules and as a line of
//! a file, and nothing that is checked against it panics.
//!
//! Lines of the input are users, the words of a line their rules.
#![no_main]

use std::sync::{Arc, LazyLock};

use acl::{Catalog, Request, Users, print_users};
use libfuzzer_sys::fuzz_target;

static CATALOG: LazyLock<Arc<Catalog>> =
    LazyLock::new(|| Arc::new(Catalog::new(commands::rows::rows().map(|row| &row.facts))));

/// What a user is asked for.
const LINES: &[&[&[u8]]] = &[
    &[b"get", b"a"],
    &[b"set", b"a", b"1"],
    &[b"mget", b"a", b"b"],
    &[b"copy", b"a", b"b", b"db", b"1"],
    &[b"sort", b"a", b"by", b"w*"],
    &[b"swapdb", b"0", b"1"],
    &[b"flushall"],
];

fn check(users: &Users, name: &[u8]) {
    let Some(user) = users.get(name) else { return };
    let mut keys = Vec::new();
    for args in LINES {
        let Some(command) = CATALOG.find(args[0]) else {
            continue;
        };
        let request = Request {
            catalog: &CATALOG,
            command,
            args,
            db: 0,
            databases: 16,
        };
        if let Err(denial) = user.check(&request, &mut keys) {
            assert!(!denial.message(user, &request).is_empty());
            assert!(!denial.full_message(user, &request).is_empty());
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut users = Users::new(
        Arc::clone(&CATALOG),
        data.first().is_some_and(|byte| byte & 1 == 1),
    );
    for (number, line) in data.split(|byte| *byte == b'\n').take(16).enumerate() {
        let name = format!("user{}", number % 4).into_bytes();
        let rules: Vec<&[u8]> = line
            .split(|byte| *byte == b' ')
            .filter(|rule| !rule.is_empty())
            .collect();
        let before = users.get(&name).map(|user| user.describe());
        if users.set(&name, &rules).is_err() {
            let after = users.get(&name).map(|user| user.describe());
            assert_eq!(before, after, "what is refused changes nothing");
        }
        check(&users, &name);
    }
    let text = print_users(&users);
    let mut again = Users::new(Arc::clone(&CATALOG), false);
    again
        .load(b"users.acl", &text)
        .expect("what we write can be read");
    assert_eq!(print_users(&again), text);
});
