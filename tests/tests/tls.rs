//! TLS on all doors and links, with certificates of an authority of our own.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use tern_tests::certificates::Authority;
use tern_tests::daemon::{Client, Daemon, binary, free_port, run, wait_until};
use tls::ClientSide;

/// A server with a port for TLS beside the plain one.
fn server(authority: &Authority, more: &str) -> (Daemon, u16) {
    let port = free_port();
    let config = format!("save ''\ntls-port {port}\n{}{more}", authority.directives());
    (Daemon::server(&config), port)
}

/// A client over TLS; whether it is let in shows with its first command.
fn connect(port: u16, side: &ClientSide) -> Result<Client, client::Error> {
    let mut client = Client::try_by(port, Some(side))?;
    client.try_call("PING")?;
    Ok(client)
}

#[test]
fn clients_are_served_over_tls() {
    let authority = Authority::new();
    let (server, port) = server(&authority, "");
    let mut client = connect(port, &authority.side(Some("client"))).unwrap();
    let value = vec![b'x'; 3_000_000];
    let stored = client.call_words(&[b"SET", b"big", &value]);
    assert_eq!(stored.as_str(), Some("OK"));
    assert_eq!(client.call("GET big").as_bytes(), Some(&value[..]));
    for number in 1..=1000 {
        assert_eq!(client.call("INCR n").as_int(), Some(number));
    }
    assert_eq!(server.text("GET n"), "1000");
    assert!(
        server
            .text("CLIENT LIST")
            .contains(&format!("laddr=127.0.0.1:{port}"))
    );
    // Who shows nothing, or speaks something else, stays outside.
    assert!(connect(port, &authority.side(None)).is_err());
    let stranger = Authority::new();
    assert!(connect(port, &stranger.side(Some("client"))).is_err());
    let mut plain = TcpStream::connect(("127.0.0.1", port)).unwrap();
    plain.write_all(b"PING\r\n").unwrap();
    let mut said = Vec::new();
    // It may be cut off before it has read the end.
    let _ = plain.read_to_end(&mut said);
    assert_eq!(said, b"");
}

#[test]
fn certificates_are_asked_for_as_configured() {
    let authority = Authority::new();
    let (server, port) = server(&authority, "tls-auth-clients no");
    assert!(connect(port, &authority.side(None)).is_ok());
    assert_eq!(server.text("CONFIG SET tls-auth-clients yes"), "OK");
    assert!(connect(port, &authority.side(None)).is_err());
    assert_eq!(server.text("CONFIG SET tls-auth-clients optional"), "OK");
    assert!(connect(port, &authority.side(None)).is_ok());
    assert!(connect(port, &Authority::new().side(Some("client"))).is_err());
}

#[test]
fn a_certificate_names_its_user() {
    let authority = Authority::new();
    authority.sign("alice", "alice", &["urn:a", "urn:b"]);
    authority.sign("nobody", "nobody", &[]);
    let (server, port) = server(&authority, "tls-auth-clients-user CN");
    assert_eq!(server.text("ACL SETUSER alice on allcommands"), "OK");
    assert_eq!(server.text("ACL SETUSER urn:b on allcommands"), "OK");
    let who = |name| {
        let mut client = connect(port, &authority.side(Some(name))).unwrap();
        client.text("ACL WHOAMI")
    };
    assert_eq!(who("alice"), "alice");
    assert_eq!(who("nobody"), "default");
    let denied = || server.info_field("stats", "acl_access_denied_tls_cert");
    assert_eq!(denied(), "1");
    assert!(server.text("ACL LOG").contains("tls-cert"));
    assert_eq!(server.text("CONFIG SET tls-auth-clients-user URI"), "OK");
    assert_eq!(who("alice"), "urn:b");
    assert_eq!(server.text("ACL SETUSER urn:b off"), "OK");
    assert_eq!(who("alice"), "default");
    assert_eq!(server.text("CONFIG SET tls-auth-clients-user off"), "OK");
    assert_eq!(who("alice"), "default");
    assert_eq!(denied(), "2");
}

#[test]
fn certificates_are_replaced_while_clients_are_served() {
    let authority = Authority::new();
    let (server, port) = server(&authority, "");
    let side = authority.side(Some("client"));
    let mut old = connect(port, &side).unwrap();
    let serial = || server.info_field("tls", "tls_server_cert_serial");
    let first = serial();
    assert_ne!(first, "none");
    assert_ne!(
        server.info_field("tls", "tls_ca_cert_expires_in_seconds"),
        "0"
    );
    // What cannot be used changes nothing.
    authority.sign("other", "Other", &[]);
    let other = authority.path("other.key").display().to_string();
    for bad in [
        "tls-cert-file /nowhere".to_owned(),
        format!("tls-key-file {other}"),
        "tls-ca-cert-file /dev/null".to_owned(),
        "tls-protocols TLSv1.1".to_owned(),
        "tls-ciphers AES128-SHA256".to_owned(),
        "tls-ciphersuites TLS_AES_128_CCM_SHA256".to_owned(),
    ] {
        let refusal = server.text(&format!("CONFIG SET {bad}"));
        assert!(
            refusal.contains("Unable to update TLS configuration"),
            "{bad}: {refusal}"
        );
        assert_eq!(serial(), first);
        assert!(connect(port, &side).is_ok(), "{bad}");
    }
    assert!(server.log().contains(&format!(
        "Failed to load private key: {other}: it is not the key of"
    )));
    assert!(server.log().contains("AES128-SHA256 is not offered"));
    // Another pair of files, and other files of the same names.
    let other = authority.path("other").display().to_string();
    let set = format!("CONFIG SET tls-cert-file {other}.crt tls-key-file {other}.key");
    assert_eq!(server.text(&set), "OK");
    let second = serial();
    assert_ne!(second, first);
    assert_eq!(server.text("CONFIG SET tls-auto-reload-interval 1"), "OK");
    authority.sign("other", "Other", &[]);
    wait_until("the new files are read", || serial() != second);
    wait_until("that is logged", || {
        server.log().contains("TLS materials reloaded successfully")
    });
    assert!(connect(port, &side).is_ok());
    assert_eq!(old.text("PING"), "PONG");
}

#[test]
fn ports_open_and_close_while_the_server_runs() {
    let authority = Authority::new();
    let (server, port) = server(&authority, "");
    let side = authority.side(Some("client"));
    let mut client = connect(port, &side).unwrap();
    // The port goes from one speech to the other and back.
    assert_eq!(client.text("CONFIG SET tls-port 0"), "OK");
    assert_eq!(server.info_field("tls", "tls_server_cert_serial"), "none");
    assert_eq!(client.text(&format!("CONFIG SET port {port}")), "OK");
    let mut plain = Client::try_new(port).unwrap();
    assert_eq!(plain.text("PING"), "PONG");
    assert!(connect(port, &side).is_err());
    assert_eq!(plain.text("CONFIG SET port 0"), "OK");
    assert_eq!(plain.text(&format!("CONFIG SET tls-port {port}")), "OK");
    assert!(connect(port, &side).is_ok());
    // One that is taken is refused, and what is open stays open.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_port = taken.local_addr().unwrap().port();
    let refusal = plain.text(&format!("CONFIG SET tls-port {taken_port}"));
    assert!(
        refusal.contains("Unable to listen on this port"),
        "{refusal}"
    );
    assert!(connect(port, &side).is_ok());
}

#[test]
fn who_says_nothing_keeps_nobody_waiting() {
    let authority = Authority::new();
    let (_server, port) = server(&authority, "");
    let side = authority.side(Some("client"));
    let mut silent: Vec<TcpStream> = (0..50)
        .map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap())
        .collect();
    for stream in &mut silent {
        stream.write_all(&[22, 3, 1]).unwrap();
    }
    assert!(connect(port, &side).is_ok());
}

#[test]
fn a_script_that_takes_long_is_killed_over_tls() {
    let authority = Authority::new();
    let (server, port) = server(&authority, "busy-reply-threshold 50");
    let side = authority.side(Some("client"));
    let mut before = connect(port, &side).unwrap();
    let plain_port = server.port;
    let script = std::thread::spawn(move || {
        let mut client = Client::try_new(plain_port).unwrap();
        let words: [&[u8]; 3] = [b"EVAL", b"while true do end", b"0"];
        client.try_call_words(&words).unwrap()
    });
    wait_until("the script is busy", || {
        before.text("PING").starts_with("BUSY")
    });
    // One that comes meanwhile is let in too.
    let mut late = Client::try_by(port, Some(&side)).unwrap();
    assert!(late.text("GET k").starts_with("BUSY"));
    assert_eq!(late.text("SCRIPT KILL"), "OK");
    assert!(script.join().unwrap().as_error().is_some());
    assert_eq!(before.text("PING"), "PONG");
    assert_eq!(late.text("PING"), "PONG");
}

/// What its session has encrypted already is not waited for.
#[test]
fn who_reads_nothing_is_cut_off_over_tls() {
    let authority = Authority::new();
    let (server, port) = server(&authority, "");
    let mut reader = connect(port, &authority.side(Some("client"))).unwrap();
    assert!(reader.try_call("SUBSCRIBE news").is_ok());
    let news = vec![b'x'; 1_000_000];
    let mut writer = server.client();
    // More than the 32 MB that a subscriber may leave unread.
    for _ in 0..50 {
        let told = writer.call_words(&[b"PUBLISH", b"news", &news]);
        assert!(told.as_int().is_some());
    }
    wait_until("it is gone", || {
        server.text("CLIENT LIST TYPE pubsub").is_empty()
    });
    drop(reader);
}

#[test]
fn a_replica_follows_over_tls() {
    let authority = Authority::new();
    let more = "tls-replication yes\nrepl-diskless-sync-delay 0";
    let (master, port) = server(&authority, more);
    assert_eq!(master.text("DEBUG POPULATE 1000 key 1000"), "OK");
    let (replica, replica_port) = server(&authority, more);
    assert_eq!(replica.text(&format!("REPLICAOF 127.0.0.1 {port}")), "OK");
    wait_until("the link is up", || {
        replica.info_field("replication", "master_link_status") == "up"
    });
    assert_eq!(replica.text("DBSIZE"), "1000");
    assert_eq!(master.text("SET late 1"), "OK");
    assert_eq!(master.text("WAIT 1 10000"), "1");
    assert_eq!(replica.text("GET late"), "1");
    let told = master.info_field("replication", "slave0");
    assert!(told.contains(&format!("port={replica_port}")), "{told}");
    // Without TLS the link does not come back.
    assert_eq!(
        replica.text("CONFIG SET tls-replication no repl-timeout 1"),
        "OK"
    );
    assert_eq!(replica.text("REPLICAOF NO ONE"), "OK");
    assert_eq!(replica.text(&format!("REPLICAOF 127.0.0.1 {port}")), "OK");
    wait_until("the link is tried", || {
        replica.log().matches("Connecting to PRIMARY").count() >= 2
    });
    assert_eq!(
        replica.info_field("replication", "master_link_status"),
        "down"
    );
}

#[test]
fn nodes_meet_over_tls_and_trib_sees_them() {
    let authority = Authority::new();
    let more = "cluster-enabled yes\ntls-cluster yes\ncluster-node-timeout 2000";
    let nodes: Vec<(Daemon, u16)> = (0..3).map(|_| server(&authority, more)).collect();
    let place = |name: &str| authority.path(name).display().to_string();
    let (ca, cert, key) = (place("ca.crt"), place("client.crt"), place("client.key"));
    let tls = ["--tls", "--cacert", &ca, "--cert", &cert, "--key", &key];
    let addresses: Vec<String> = nodes
        .iter()
        .map(|(_, port)| format!("127.0.0.1:{port}"))
        .collect();
    let mut create: Vec<&str> = tls.to_vec();
    create.push("create");
    create.extend(addresses.iter().map(String::as_str));
    let created = run(&binary("trib"), &create, "yes\n");
    assert!(
        created.out.contains("[OK] All 16384 slots covered"),
        "{}",
        created.out
    );
    let mut check: Vec<&str> = tls.to_vec();
    check.extend(["check", &addresses[0]]);
    let checked = run(&binary("trib"), &check, "");
    assert!(
        checked.out.contains("[OK] All 16384 slots covered"),
        "{}",
        checked.out
    );
    // A user that may only look sees all of it.
    let rules = "on >looks +ping +info +cluster|nodes +cluster|info";
    for (node, _) in &nodes {
        assert_eq!(node.text(&format!("ACL SETUSER looker {rules}")), "OK");
    }
    let mut watch: Vec<&str> = tls.to_vec();
    watch.extend(["--user", "looker", "-a", "looks", "watch", "--text"]);
    watch.extend(["--count", "2", "--interval", "0.1", &addresses[0]]);
    let watched = run(&binary("trib"), &watch, "");
    assert_eq!(watched.code, Some(0), "{}", watched.out);
    let whole = "3 nodes, 3 masters; 16384 of 16384 slots covered";
    assert_eq!(watched.out.matches(whole).count(), 2, "{}", watched.out);
    for address in &addresses {
        assert!(watched.out.contains(address), "{}", watched.out);
    }
    let wrong: Vec<&str> = watch
        .iter()
        .map(|word| if *word == "looks" { "other" } else { word })
        .collect();
    assert_eq!(run(&binary("trib"), &wrong, "").code, Some(1));
    let refused = run(
        &binary("trib"),
        &["--tls", "--cacert", &ca, "check", &addresses[0]],
        "",
    );
    assert_ne!(refused.code, Some(0), "without a certificate");
    // Clients are sent to the port that they speak.
    let mut client = connect(nodes[0].1, &authority.side(Some("client"))).unwrap();
    let moved = client.text("GET a");
    assert!(moved.starts_with("MOVED 15495 127.0.0.1:"), "{moved}");
    assert!(
        addresses.iter().any(|address| moved.ends_with(address)),
        "{moved}"
    );
    let plain = nodes[0].0.text("GET a");
    assert!(
        !addresses.iter().any(|address| plain.ends_with(address)),
        "{plain}"
    );
}

#[test]
fn sentinels_watch_over_tls() {
    let authority = Authority::new();
    let (_master, port) = server(&authority, "tls-replication yes");
    let sentinel_port = free_port();
    let sentinel = Daemon::sentinel(&format!(
        "tls-port {sentinel_port}\ntls-replication yes\n{}sentinel monitor m 127.0.0.1 {port} 1\nsentinel down-after-milliseconds m 2000\n",
        authority.directives()
    ));
    let mut client = connect(sentinel_port, &authority.side(Some("client"))).unwrap();
    wait_until("the master is seen", || {
        let info = client.text("INFO sentinel");
        info.contains("status=ok") && info.contains(&format!(":{port}"))
    });
    // Its links stand, and it says which port others are to use.
    let master = Client::try_by(port, Some(&authority.side(Some("client"))));
    let mut master = master.unwrap();
    wait_until("it is connected", || {
        master.text("CLIENT LIST").contains("name=sentinel-")
    });
    assert!(connect(sentinel_port, &authority.side(None)).is_err());
    assert_eq!(sentinel.text("PING"), "PONG");
}
