//! ACL: a sentinel's users, and what they are refused.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod harness;

use harness::World;
use sentinel_core::{ClientId, Input, Reply};

const CONFIG: &str = "sentinel monitor m 127.0.0.1 6379 1\n";

fn world(more: &str) -> World {
    let mut world = World::new(&[]);
    world.add_sentinel(&format!("{CONFIG}{more}"));
    world
}

fn error(text: &str) -> Reply {
    Reply::Error(text.to_owned())
}

/// The bulk strings of a reply that was encoded.
fn texts(reply: Reply) -> Vec<String> {
    let Reply::Encoded(bytes) = reply else {
        panic!("{reply:?}")
    };
    let text = String::from_utf8(bytes).unwrap();
    let is_text = |line: &&str| !line.starts_with(['$', '*', ':']);
    text.lines().filter(is_text).map(str::to_owned).collect()
}

#[test]
fn what_changes_something_is_audited_without_passwords() {
    let mut world = world("audit-log admin\n");
    for request in [
        "SENTINEL SET m auth-pass secret",
        "SENTINEL CONFIG SET sentinel-pass secret",
        "ACL SETUSER app on >secret",
        "SENTINEL MASTERS",
        "SENTINEL get-master-addr-by-name m",
        "PING",
        "SENTINEL NOSUCH",
        "AUTH app secret",
        "SENTINEL REMOVE m",
    ] {
        world.ask(0, request);
    }
    let lines = world.events(0, 0);
    let audit: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.strip_prefix("Audit: user "))
        .map(|line| line.split_once(" at ").unwrap().1)
        .map(|line| line.split_once(' ').unwrap().1)
        .collect();
    assert_eq!(
        audit,
        [
            r#"run: "SENTINEL" "SET" "m" "auth-pass" "(redacted)""#,
            r#"run: "SENTINEL" "CONFIG" "SET" "sentinel-pass" "(redacted)""#,
            r#"run: "ACL" "SETUSER" "(redacted)" "(redacted)" "(redacted)""#,
            r#"refused (NOPERM): "SENTINEL" "REMOVE" "m""#,
        ]
    );
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("Audit: user app at "))
    );
}

#[test]
fn users_are_made_shown_and_deleted() {
    let mut world = world("");
    assert_eq!(world.ask(0, "ACL WHOAMI"), Reply::bulk("default"));
    let default = "user default on nopass ~* &* +@all";
    assert_eq!(texts(world.ask(0, "ACL LIST")), [default]);
    assert_eq!(
        world.ask(0, "ACL SETUSER app on >secret &+s* +@all -sentinel"),
        Reply::ok()
    );
    let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let app = format!("user app on #{hash} resetchannels &+s* +@all -sentinel");
    assert_eq!(texts(world.ask(0, "ACL LIST")), [app.as_str(), default]);
    assert_eq!(texts(world.ask(0, "ACL USERS")), ["app", "default"]);
    let shown = texts(world.ask(0, "ACL GETUSER app"));
    assert_eq!(shown[..4], ["flags", "on", "passwords", hash]);
    let unknown =
        "ERR Error in ACL SETUSER modifier '+get': Unknown command or category name in ACL";
    assert_eq!(world.ask(0, "ACL SETUSER app +get"), error(unknown));
    // A sentinel has no commands on data.
    assert!(texts(world.ask(0, "ACL CAT read")).is_empty());
    assert!(texts(world.ask(0, "ACL CAT pubsub")).contains(&"publish".to_owned()));
    assert_eq!(texts(world.ask(0, "ACL GENPASS 5"))[0].len(), 2);
    assert_eq!(
        texts(world.ask(0, "ACL DRYRUN app sentinel masters")),
        ["User app has no permissions to run the 'sentinel|masters' command"]
    );
    assert_eq!(world.ask(0, "ACL DELUSER app nobody"), Reply::Integer(1));
    let stays = "ERR The 'default' user cannot be removed";
    assert_eq!(world.ask(0, "ACL DELUSER default"), error(stays));
}

#[test]
fn what_a_user_may_not_do_is_refused_and_noted() {
    let mut world = world(
        "user default off\nuser app on >secret &+sdown +ping +subscribe +client|id\nuser admin on >root allcommands allchannels\n",
    );
    assert_eq!(
        world.ask(0, "PING"),
        error("NOAUTH Authentication required.")
    );
    let wrong = "WRONGPASS invalid username-password pair or user is disabled.";
    assert_eq!(world.ask(0, "AUTH app wrong"), error(wrong));
    assert_eq!(world.ask(0, "HELLO 2 AUTH default any"), error(wrong));
    assert_eq!(world.ask(0, "AUTH app secret"), Reply::ok());
    assert_eq!(world.ask(0, "PING"), Reply::Status("PONG".to_owned()));
    assert_eq!(
        world.ask(0, "SENTINEL masters"),
        error("NOPERM User app has no permissions to run the 'sentinel|masters' command")
    );
    assert_eq!(
        world.ask(0, "CLIENT LIST"),
        error("NOPERM User app has no permissions to run the 'client|list' command")
    );
    assert_eq!(
        world.ask(0, "SUBSCRIBE +odown"),
        error("NOPERM No permissions to access a channel")
    );
    assert_eq!(world.ask(0, "AUTH admin root"), Reply::ok());
    let log = texts(world.ask(0, "ACL LOG"));
    assert!(log.contains(&"+odown".to_owned()), "{log:?}");
    assert!(log.contains(&"sentinel|masters".to_owned()), "{log:?}");
    let Reply::Bulk(info) = world.ask(0, "INFO stats") else {
        panic!()
    };
    let info = String::from_utf8(info).unwrap();
    for line in [
        "acl_access_denied_auth:2",
        "acl_access_denied_cmd:2",
        "acl_access_denied_channel:1",
    ] {
        assert!(info.contains(line), "{line} in {info}");
    }
}

#[test]
fn protected_mode_is_for_who_asks_for_it() {
    let come = |config: &str| {
        let mut world = world(config);
        for (client, addr) in [(0, "192.0.2.7:1"), (78, "127.0.0.1:1"), (79, "/a.sock:0")] {
            let client = ClientId(client);
            let (addr, laddr) = (addr.to_owned(), "127.0.0.1:2".to_owned());
            let fd = 9;
            world.input(
                0,
                Input::ClientConnected {
                    client,
                    addr,
                    laddr,
                    fd,
                },
            );
        }
        let first = world.sentinels[0].replies.pop_front();
        let info = world.ask(0, "INFO stats");
        (first, world.count_events("Disconnect"), info)
    };
    let (reply, closed, info) = come("protected-mode yes\n");
    let Some(Reply::Error(text)) = reply else {
        panic!("{reply:?}")
    };
    assert!(
        text.starts_with("DENIED Running in protected mode because"),
        "{text}"
    );
    assert!(text.ends_with("connections from the outside."), "{text}");
    assert_eq!(closed, 1);
    let Reply::Bulk(info) = info else { panic!() };
    let info = String::from_utf8_lossy(&info);
    assert!(info.contains("\r\nrejected_connections:1\r\n"), "{info}");
    for open in [
        "",
        "protected-mode no\n",
        "protected-mode yes\nrequirepass secret\n",
    ] {
        let (reply, closed, _) = come(open);
        assert_eq!((reply, closed), (None, 0), "{open}");
    }
}

#[test]
fn who_loses_its_user_or_a_channel_is_closed() {
    let mut world = world("user app on nopass allchannels allcommands\n");
    let other = ClientId(77);
    world.input(
        0,
        Input::ClientConnected {
            client: other,
            addr: "127.0.0.1:1".to_owned(),
            laddr: "127.0.0.1:2".to_owned(),
            fd: 9,
        },
    );
    let say = |world: &mut World, text: &str| {
        let request = harness::words(text);
        let client = other;
        world.input(0, Input::ClientRequest { client, request });
    };
    let is_here = |world: &mut World| {
        let Reply::Bulk(list) = world.ask(0, "CLIENT LIST ID 77") else {
            panic!()
        };
        !list.is_empty()
    };
    say(&mut world, "AUTH app x");
    say(&mut world, "SUBSCRIBE +odown");
    world.ask(0, "ACL SETUSER app resetchannels &+s*");
    assert!(!is_here(&mut world), "it may not hear all that it heard");
    // One's own: the answer comes before the end.
    assert_eq!(world.ask(0, "AUTH app x"), Reply::ok());
    assert_eq!(world.ask(0, "ACL DELUSER app"), Reply::Integer(1));
    assert_eq!(world.count_events("Disconnect"), 2);
}

#[test]
fn users_are_written_back() {
    let mut world = world("");
    world.ask(0, "SENTINEL FLUSHCONFIG");
    let plain = String::from_utf8(world.sentinels[0].file.clone()).unwrap();
    assert!(!plain.contains("user "), "{plain}");
    world.ask(0, "ACL SETUSER app on nopass +ping");
    world.ask(0, "SENTINEL FLUSHCONFIG");
    let file = String::from_utf8(world.sentinels[0].file.clone()).unwrap();
    let lines =
        "user app on nopass resetchannels -@all +ping\nuser default on nopass ~* &* +@all\n";
    assert!(file.contains(lines), "{file}");
}

#[test]
fn without_a_file_of_users_none_is_read_or_written() {
    let mut world = world("");
    for request in ["ACL SAVE", "ACL LOAD"] {
        let Reply::Error(text) = world.ask(0, request) else {
            panic!()
        };
        assert!(text.starts_with("ERR This instance is not configured to use an ACL file."));
    }
    assert_eq!(
        world.ask(0, "ACL LOG x"),
        error("ERR value is not an integer or out of range")
    );
}
