//! Every form of a rule, what it makes of a user, and what is wrong with it.

use proptest::prelude::*;

use crate::{may, set, shown, users};

#[test]
#[expect(clippy::too_many_lines, reason = "a table of rules")]
fn each_rule_changes_what_it_says() {
    let hash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let with_hash = format!("on #{hash} resetchannels -@all");
    let add_hash = format!("on #{hash}");
    let remove_hash = format!("on >test !{hash}");
    for (rules, wanted) in [
        ("", "off resetchannels -@all"),
        ("on", "on resetchannels -@all"),
        ("ON OFF", "off resetchannels -@all"),
        ("nopass", "off nopass resetchannels -@all"),
        ("on nopass >test", &with_hash),
        (&add_hash, &with_hash),
        (&remove_hash, "on resetchannels -@all"),
        ("on >test <test", "on resetchannels -@all"),
        ("on >test >test", &with_hash),
        ("on >test nopass", "on nopass resetchannels -@all"),
        ("on nopass resetpass", "on resetchannels -@all"),
        (
            "sanitize-payload skip-sanitize-payload",
            "off resetchannels -@all",
        ),
        ("allkeys", "off ~* resetchannels -@all"),
        ("~* resetkeys ~a ~b ~a", "off ~a ~b resetchannels -@all"),
        (
            "%R~a %W~b %RW~c %rw~d",
            "off %R~a %W~b ~c ~d resetchannels -@all",
        ),
        ("%R~a %W~a", "off ~a resetchannels -@all"),
        ("%R~*", "off %R~* resetchannels -@all"),
        ("allchannels", "off &* -@all"),
        ("&* resetchannels &a &b &a", "off resetchannels &a &b -@all"),
        ("db=3,1,1", "off resetchannels db=1,3 -@all"),
        ("db=1 db=2", "off resetchannels db=2 -@all"),
        ("resetdbs", "off resetchannels resetdbs -@all"),
        ("db=1 alldbs", "off resetchannels -@all"),
        ("+@all", "off resetchannels +@all"),
        ("allcommands -get", "off resetchannels +@all -get"),
        ("+get nocommands", "off resetchannels -@all"),
        (
            "+GET +@Read -set",
            "off resetchannels -@all +get +@read -set",
        ),
        ("+get +set -get", "off resetchannels -@all +set -get"),
        (
            "+config|get +config|set -config",
            "off resetchannels -@all -config",
        ),
        (
            "+config -config|set",
            "off resetchannels -@all +config -config|set",
        ),
        ("+Config|Get", "off resetchannels -@all +config|get"),
        (
            "+select|0 +select|1",
            "off resetchannels -@all +select|0 +select|1",
        ),
        (
            "(+get ~a)",
            "off resetchannels -@all (~a resetchannels -@all +get)",
        ),
        (
            "(%R~a db=2) on (&b +@all)",
            "on resetchannels -@all (%R~a resetchannels db=2 -@all) (resetchannels &b +@all)",
        ),
        ("()", "off resetchannels -@all (resetchannels -@all)"),
        ("(~a) clearselectors", "off resetchannels -@all"),
        (
            "on nopass ~* &* +@all db=1 (~a) reset",
            "off resetchannels -@all",
        ),
    ] {
        let mut users = users();
        assert_eq!(set(&mut users, "u", rules), Ok(()), "{rules}");
        assert_eq!(shown(&users, "u"), wanted, "{rules}");
        // What is shown makes the same user again.
        let user = std::rc::Rc::clone(users.get(b"u").unwrap());
        users.remove(b"u");
        set(&mut users, "u", wanted).unwrap();
        assert_eq!(users.get(b"u").unwrap(), &user, "{rules}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of rules")]
fn what_is_wrong_is_told_and_changes_nothing() {
    let syntax = "Syntax error";
    let unknown = "Unknown command or category name in ACL";
    let bad_hash = "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters";
    for (rule, why) in [
        ("foo", syntax),
        ("%~a", syntax),
        ("%", syntax),
        ("%RR~a", syntax),
        ("%X~a", syntax),
        ("~a\tb", syntax),
        ("&a\tb", syntax),
        ("+config|", syntax),
        ("+select|0\t1", syntax),
        ("(+get|)", syntax),
        ("(on)", syntax),
        ("(~a))", syntax),
        ("(+get|a) ~a)", syntax),
        ("db=", syntax),
        ("db=1,", syntax),
        ("db=,1", syntax),
        ("db=x", syntax),
        ("db=-", syntax),
        ("db=-1", "The provided database ID is out of range"),
        ("db=2147483648", "The provided database ID is out of range"),
        (
            "db=99999999999999999999999",
            "The provided database ID is out of range",
        ),
        ("+nosuch", unknown),
        ("-nosuch", unknown),
        ("+@nosuch", unknown),
        ("-@", unknown),
        ("+", unknown),
        ("+config|nosuch", unknown),
        ("-select|0", unknown),
        ("(+nosuch)", unknown),
        (
            "+config|get|x",
            "Allowing first-arg of a subcommand is not supported",
        ),
        (
            "<wrong",
            "The password you are trying to remove from the user does not exist",
        ),
        ("#abc", bad_hash),
        ("!abc", bad_hash),
    ] {
        let mut users = users();
        set(&mut users, "u", "on +get").unwrap();
        let wanted = format!("Error in ACL SETUSER modifier '{rule}': {why}");
        let rules = [&b"off"[..], rule.as_bytes()];
        let error = users.set(b"u", &rules).unwrap_err().message();
        assert_eq!(String::from_utf8(error).unwrap(), wanted);
        assert_eq!(shown(&users, "u"), "on resetchannels -@all +get");
    }
    let mut users = users();
    for (rules, why) in [
        (
            "~* ~a",
            "~a': Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid",
        ),
        (
            "&* &a",
            "&a': Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid",
        ),
        (
            "on (~a +get",
            "Unmatched parenthesis in acl selector starting at '(~a'.",
        ),
    ] {
        let error = set(&mut users, "u", rules).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    let name = users.set(b"a b", &[]).unwrap_err().message();
    assert_eq!(name, b"Usernames can't contain spaces or null characters");
    assert!(users.get(b"u").is_none());
}

#[test]
fn only_enabled_users_with_the_right_password_come_in() {
    let mut users = users();
    set(&mut users, "u", ">one >two").unwrap();
    assert!(users.login(b"u", b"one").is_none());
    set(&mut users, "u", "on").unwrap();
    for (password, right) in [("one", true), ("two", true), ("", false), ("three", false)] {
        assert_eq!(users.login(b"u", password.as_bytes()).is_some(), right);
    }
    set(&mut users, "u", "nopass").unwrap();
    assert!(users.login(b"u", b"whatever").is_some());
    set(&mut users, "u", "resetpass").unwrap();
    assert!(users.login(b"u", b"").is_none());
    assert!(users.login(b"nobody", b"").is_none());
}

#[test]
fn the_default_users_password_is_set_apart() {
    let mut users = users();
    assert_eq!(shown(&users, "default"), "on nopass ~* &* +@all");
    assert!(users.default_user().is_unrestricted());
    users.set_default_password(Some(b"x"));
    assert!(users.login(b"default", b"x").is_some());
    assert!(users.login(b"default", b"y").is_none());
    users.set_default_password(None);
    assert_eq!(shown(&users, "default"), "on nopass ~* &* +@all");
    assert!(!users.remove(b"default"));
}

#[test]
fn new_users_may_hear_everything_where_the_configuration_says_so() {
    let mut users = users();
    users.set_all_channels(true);
    set(&mut users, "u", "(~a)").unwrap();
    assert_eq!(shown(&users, "u"), "off &* -@all (~a &* -@all)");
}

#[test]
fn who_may_hear_less_than_before_is_known() {
    let mut all = users();
    let mut channels = |rules: &str| {
        set(&mut all, "u", &format!("reset {rules}")).unwrap();
        std::rc::Rc::clone(all.get(b"u").unwrap())
    };
    let (a, ab, everything) = (channels("&a"), channels("&a (&b)"), channels("(&*)"));
    assert_eq!(ab.narrowed_channels(&a), None);
    assert_eq!(everything.narrowed_channels(&ab), None);
    let left = a.narrowed_channels(&ab).unwrap();
    assert!(acl::hears(&left, b"a", false) && !acl::hears(&left, b"b", false));
    assert!(ab.narrowed_channels(&everything).is_some());
}

/// Words that rules are made of, so that nonsense comes near to sense.
fn rule() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "+",
        "-",
        "@",
        "all",
        "get",
        "config",
        "|",
        "set",
        "~",
        "%",
        "R",
        "W",
        "&",
        "*",
        "(",
        ")",
        " ",
        "db=",
        ",",
        "1",
        "-1",
        ">",
        "<",
        "#",
        "!",
        "on",
        "reset",
        "keys",
        "\0",
        "\u{ff}",
        "select",
        "read",
        "dbs",
        "9999999999",
    ]);
    let words = prop::collection::vec(pieces, 0..8);
    prop_oneof![
        words.prop_map(|words| words.concat().into_bytes()),
        prop::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #[test]
    fn no_rule_panics_and_what_is_shown_can_be_read(rules in prop::collection::vec(rule(), 0..6)) {
        let mut users = users();
        for rule in &rules {
            let _ = users.set(b"u", &[rule]);
        }
        let all: Vec<&[u8]> = rules.iter().map(Vec::as_slice).collect();
        let _ = users.set(b"v", &all);
        for name in [&b"u"[..], b"v"] {
            if let Some(user) = users.get(name).cloned() {
                let text = user.describe();
                let again: Vec<&[u8]> = text.split(|byte| *byte == b' ').collect();
                users.remove(name);
                prop_assert_eq!(users.set(name, &again), Ok(()));
                prop_assert_eq!(users.get(name).unwrap().describe(), text);
            }
        }
    }
}

#[test]
fn an_argument_that_is_allowed_is_looked_at_only_while_the_command_is_not() {
    let mut users = users();
    set(&mut users, "u", "+select|0").unwrap();
    assert!(may(&users, "u", "select 0").is_ok());
    assert!(may(&users, "u", "select 1").is_err());
    set(&mut users, "u", "+select -select").unwrap();
    assert!(may(&users, "u", "select 0").is_err());
}
