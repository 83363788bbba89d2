//! What users may do, and what they are told otherwise.

use acl::{Denial, Reason, Request};

use crate::{may, may_in, set, users, words};

fn refused(reason: Reason, at: usize) -> Result<(), Denial> {
    Err(Denial { reason, at })
}

#[test]
fn commands() {
    let mut users = users();
    set(&mut users, "u", "~* +@read -get +config|get +@connection").unwrap();
    for line in ["strlen a", "config get x", "ping", "select 3", "auth x"] {
        assert_eq!(may(&users, "u", line), Ok(()), "{line}");
    }
    for line in ["get a", "set a b", "config set a b"] {
        assert_eq!(
            may(&users, "u", line),
            refused(Reason::Command, 0),
            "{line}"
        );
    }
    set(&mut users, "u", "nocommands").unwrap();
    assert_eq!(may(&users, "u", "ping"), refused(Reason::Command, 0));
    // Who must log in may.
    assert_eq!(may(&users, "u", "auth x"), Ok(()));
}

#[test]
fn containers_stand_for_their_subcommands() {
    let mut users = users();
    set(&mut users, "u", "+config -config|set").unwrap();
    assert!(may(&users, "u", "config get x").is_ok());
    assert!(may(&users, "u", "config set a b").is_err());
    set(&mut users, "u", "-config").unwrap();
    assert!(may(&users, "u", "config get x").is_err());
    set(&mut users, "u", "+@admin").unwrap();
    assert!(may(&users, "u", "config set a b").is_ok());
}

#[test]
fn what_most_users_may_is_seen_at_once() {
    let mut users = users();
    let plainly = |users: &acl::Users, line: &str| {
        let (catalog, args) = (users.catalog(), words(line));
        let command = catalog.find(args[0]).unwrap();
        users
            .get(b"u")
            .unwrap()
            .plainly_may(catalog, command, &args)
    };
    set(&mut users, "u", "+@all -@dangerous ~key:*").unwrap();
    assert!(plainly(&users, "get key:1"));
    assert!(plainly(&users, "set key:1 x"));
    for closer in ["get other", "keys *", "mget key:1 key:2", "publish a b"] {
        assert!(!plainly(&users, closer), "{closer}");
    }
    for rules in ["db=1", "resetkeys %R~key:*", "resetkeys ~k?y:*", "-get"] {
        set(&mut users, "u", &format!("reset +@all ~key:* {rules}")).unwrap();
        assert!(!plainly(&users, "get key:1"), "{rules}");
    }
}

#[test]
fn keys_by_what_is_done_with_them() {
    let mut users = users();
    set(&mut users, "u", "+@all %R~r* %W~w* ~b*").unwrap();
    for line in [
        "get r1",
        "get b1",
        "set w1 x",
        "set b1 x",
        "set b1 x get",
        "exists w1 r1",
        "mget r1 b1",
        "mset w1 x b1 y",
        "sort r1 store w1",
        "copy r1 w1",
        "randomkey",
    ] {
        assert_eq!(may(&users, "u", line), Ok(()), "{line}");
    }
    for (line, at) in [
        ("get w1", 1),
        ("set r1 x", 1),
        ("set w1 x get", 1),
        ("mget r1 w1", 2),
        ("mset w1 x c y", 3),
        ("exists c", 1),
        ("copy w1 r1", 1),
        ("copy r1 r2", 2),
        ("sort r1 store r2", 3),
        ("rename r1 w1", 1),
        ("append r1 x", 1),
        ("getdel w1", 1),
    ] {
        assert_eq!(may(&users, "u", line), refused(Reason::Key, at), "{line}");
    }
}

#[test]
fn channels() {
    let mut users = users();
    set(&mut users, "u", "+@all &a* &b?").unwrap();
    for line in ["publish a1 bb", "subscribe a1 b2", "psubscribe a* b?"] {
        assert_eq!(may(&users, "u", line), Ok(()), "{line}");
    }
    for (line, at) in [
        ("publish c x", 1),
        ("subscribe a1 b", 2),
        ("psubscribe a1", 1),
    ] {
        assert_eq!(
            may(&users, "u", line),
            refused(Reason::Channel, at),
            "{line}"
        );
    }
}

#[test]
fn databases() {
    let mut users = users();
    set(&mut users, "u", "+@all ~* &* db=1,2").unwrap();
    for (db, line) in [
        (1, "get a"),
        (0, "ping"),
        (0, "select 1"),
        (0, "publish a b"),
        (1, "move a 2"),
        (1, "copy a b db 2"),
        (0, "select x"),
    ] {
        assert_eq!(may_in(&users, "u", db, line), Ok(()), "{line}");
    }
    for (db, line, at) in [
        (0, "get a", 0),
        (0, "randomkey", 0),
        (1, "select 3", 1),
        (1, "move a 3", 2),
        (1, "copy a b db 2 db 3", 6),
        (0, "move a 1", 0),
        (1, "flushall", 0),
    ] {
        assert_eq!(
            may_in(&users, "u", db, line),
            refused(Reason::Database, at),
            "{line}"
        );
    }
    set(&mut users, "u", "db=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15").unwrap();
    assert_eq!(may(&users, "u", "flushall"), Ok(()));
}

#[test]
fn one_selector_has_to_allow_it_all() {
    let mut users = users();
    set(&mut users, "u", "+get ~a (+set ~b) (+mget ~a ~b)").unwrap();
    for line in ["get a", "set b x", "mget a b b"] {
        assert_eq!(may(&users, "u", line), Ok(()), "{line}");
    }
    assert_eq!(may(&users, "u", "get b"), refused(Reason::Key, 1));
    assert_eq!(may(&users, "u", "del a"), refused(Reason::Command, 0));
    assert_eq!(may(&users, "u", "mget a b c"), refused(Reason::Key, 3));
    set(&mut users, "u", "clearselectors (+@all ~* &*)").unwrap();
    assert!(users.get(b"u").unwrap().is_unrestricted());
}

#[test]
fn sort_may_reach_other_keys_only_with_a_selector_that_reads_all() {
    let mut users = users();
    let reads = |users: &acl::Users| {
        let request = Request {
            catalog: users.catalog(),
            command: users.catalog().find(b"sort").unwrap(),
            args: &words("sort a"),
            db: 0,
            databases: 16,
        };
        users
            .get(b"u")
            .unwrap()
            .reads_all_keys(&request, &mut Vec::new())
    };
    for (rules, all) in [
        ("+sort ~a", false),
        ("+sort %R~*", true),
        ("+sort %W~*", false),
        ("+sort ~a (~*)", false),
        ("(+sort ~*)", true),
    ] {
        set(&mut users, "u", &format!("reset {rules}")).unwrap();
        assert_eq!(reads(&users), all, "{rules}");
    }
}

#[test]
fn what_clients_and_operators_are_told() {
    let mut users = users();
    set(&mut users, "u", "+get +publish ~a").unwrap();
    let user = users.get(b"u").unwrap();
    for (line, short, long, object) in [
        (
            "get b",
            "No permissions to access a key",
            "User u has no permissions to access the 'b' key",
            "b",
        ),
        (
            "publish c x",
            "No permissions to access a channel",
            "User u has no permissions to access the 'c' channel",
            "c",
        ),
        (
            "set a x",
            "User u has no permissions to run the 'set' command",
            "User u has no permissions to run the 'set' command",
            "set",
        ),
    ] {
        let denial = may(&users, "u", line).unwrap_err();
        let args = words(line);
        let request = Request {
            catalog: users.catalog(),
            command: users.catalog().find(args[0]).unwrap(),
            args: &args,
            db: 0,
            databases: 16,
        };
        assert_eq!(denial.message(user, &request), short.as_bytes());
        assert_eq!(denial.full_message(user, &request), long.as_bytes());
        assert_eq!(denial.object(&request), object.as_bytes());
    }
}
