//! W10–W13: sentinels find out, agree, and fail over.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::{Duration, Instant};

use client::Value;
use tern_tests::daemon::{Daemon, text_of, wait_for, wait_until};

const DOWN_AFTER_MILLIS: u32 = 1000;

/// An idle machine needs two or three seconds; a busy one may need more.
const FAILOVER_LIMIT: Duration = Duration::from_secs(30);

/// A master and its slaves.
struct Group {
    master: Daemon,
    slaves: Vec<Daemon>,
}

impl Group {
    fn start(slaves: usize) -> Self {
        let master = Daemon::server("save \"\"");
        let slaves = (0..slaves)
            .map(|_| Daemon::server(&format!("save \"\"\nslaveof 127.0.0.1 {}", master.port)))
            .collect();
        let group = Self { master, slaves };
        for slave in &group.slaves {
            wait_until("a slave is in step", || {
                slave.info_field("replication", "master_link_status") == "up"
            });
        }
        group
    }

    fn servers(&self) -> impl Iterator<Item = &Daemon> {
        std::iter::once(&self.master).chain(&self.slaves)
    }

    fn at(&self, port: u16) -> &Daemon {
        self.servers().find(|server| server.port == port).unwrap()
    }
}

fn monitor(name: &str, port: u16, quorum: u32, down_after_millis: u32) -> String {
    format!(
        "sentinel monitor {name} 127.0.0.1 {port} {quorum}\n\
         sentinel down-after-milliseconds {name} {down_after_millis}\n\
         sentinel failover-timeout {name} 20000\n"
    )
}

/// The masters, slaves or sentinels that a sentinel lists, as field and value.
fn listed(sentinel: &Daemon, line: &str) -> Vec<std::collections::BTreeMap<String, String>> {
    let Value::Array(rows) = sentinel.call(line) else {
        return Vec::new();
    };
    rows.iter()
        .map(|row| {
            row.as_array()
                .unwrap()
                .chunks(2)
                .map(|pair| (text_of(&pair[0]), text_of(&pair[1])))
                .collect()
        })
        .collect()
}

fn master_port(sentinel: &Daemon, name: &str) -> Option<u16> {
    let reply = sentinel.call(&format!("SENTINEL GET-MASTER-ADDR-BY-NAME {name}"));
    text_of(reply.as_array()?.get(1)?).parse().ok()
}

fn wait_slaves(sentinel: &Daemon, name: &str, count: usize) {
    wait_until(&format!("{count} slaves of {name} are found"), || {
        let slaves = listed(sentinel, &format!("SENTINEL SLAVES {name}"));
        slaves.len() == count
            && slaves
                .iter()
                .all(|slave| slave["flags"] == "slave" && slave["master-link-status"] == "ok")
    });
}

fn wait_log(daemon: &Daemon, text: &str) {
    wait_until(&format!("'{text}' in the log of {}", daemon.name), || {
        daemon.log().contains(text)
    });
}

/// The events of a log: without process, time and level.
fn events(log: &str) -> Vec<String> {
    log.lines()
        .filter_map(|line| line.split_once(" # ").or_else(|| line.split_once(" * ")))
        .map(|(_, event)| event.to_owned())
        .filter(|event| event.starts_with(['+', '-']))
        .collect()
}

#[test]
fn w10_to_w12_one_sentinel_from_the_first_look_to_the_return_of_the_old_master() {
    let mut group = Group::start(2);
    let sentinel = Daemon::sentinel(&monitor(
        "taotaoMaster",
        group.master.port,
        1,
        DOWN_AFTER_MILLIS,
    ));
    let at = format!("@ taotaoMaster 127.0.0.1 {}", group.master.port);

    w10_discovery(&group, &sentinel, &at);
    w11_a_slave_goes_and_comes_back(&mut group, &sentinel, &at);
    w12_the_master_goes_and_comes_back(&mut group, &sentinel);
}

fn w10_discovery(group: &Group, sentinel: &Daemon, at: &str) {
    wait_slaves(sentinel, "taotaoMaster", 2);
    let log = sentinel.log();
    assert!(log.contains("* Sentinel ID is "), "{log}");
    assert!(log.contains("* State in "), "{log}");
    assert!(log.contains(&format!(
        "# +monitor master taotaoMaster 127.0.0.1 {} quorum 1",
        group.master.port
    )));
    for slave in &group.slaves {
        let (address, port) = (slave.address(), slave.port);
        wait_log(
            sentinel,
            &format!("* +slave slave {address} 127.0.0.1 {port} {at}"),
        );
    }
}

fn w11_a_slave_goes_and_comes_back(group: &mut Group, sentinel: &Daemon, at: &str) {
    let slave = &mut group.slaves[0];
    let who = format!("slave {} 127.0.0.1 {} {at}", slave.address(), slave.port);
    slave.kill();
    wait_log(sentinel, &format!("# +sdown {who}"));
    slave.start();
    wait_log(sentinel, &format!("# -sdown {who}"));
    wait_log(sentinel, &format!("* +reboot {who}"));
    wait_until("it is in step again", || {
        slave.info_field("replication", "master_link_status") == "up"
    });
    wait_slaves(sentinel, "taotaoMaster", 2);
}

fn w12_the_master_goes_and_comes_back(group: &mut Group, sentinel: &Daemon) {
    assert_eq!(group.master.text("SET kept 1"), "OK");
    for slave in &group.slaves {
        wait_until("a write arrives", || slave.text("GET kept") == "1");
    }
    let before = events(&sentinel.log()).len();
    group.master.kill();
    wait_log(sentinel, "# +switch-master taotaoMaster");
    let new_port = master_port(sentinel, "taotaoMaster").unwrap();
    let other_port = group
        .slaves
        .iter()
        .map(|slave| slave.port)
        .find(|port| *port != new_port)
        .unwrap();
    let old_port = group.master.port;
    wait_log(
        sentinel,
        &format!(
            "* +slave slave 127.0.0.1:{old_port} 127.0.0.1 {old_port} @ taotaoMaster 127.0.0.1 {new_port}"
        ),
    );
    let runid = sentinel.log();
    let runid = runid
        .split("Sentinel ID is ")
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap()
        .to_owned();
    assert_failover(
        &events(&sentinel.log())[before..],
        &runid,
        [old_port, new_port, other_port],
    );
    let new = group.at(new_port);
    assert_eq!(new.info_field("replication", "role"), "master");
    assert_eq!(new.text("GET kept"), "1");
    assert_eq!(new.text("SET after 1"), "OK");
    wait_until("the other slave follows", || {
        group.at(other_port).text("GET after") == "1"
    });

    let who = format!(
        "slave 127.0.0.1:{old_port} 127.0.0.1 {old_port} @ taotaoMaster 127.0.0.1 {new_port}"
    );
    wait_log(sentinel, &format!("# +sdown {who}"));
    group.master.start();
    wait_log(sentinel, &format!("# -sdown {who}"));
    wait_log(sentinel, &format!("* +convert-to-slave {who}"));
    wait_until("the old master follows", || {
        group.master.text("GET after") == "1"
    });
    let config = std::fs::read_to_string(sentinel.config_path()).unwrap();
    assert!(
        config.contains(&format!(
            "sentinel monitor taotaoMaster 127.0.0.1 {new_port} 1\n"
        )),
        "{config}"
    );
}

/// What a sentinel says while it fails over from the first port to the second; the third is the other slave.
fn assert_failover(events: &[String], runid: &str, [old, new, other]: [u16; 3]) {
    let master = format!("master taotaoMaster 127.0.0.1 {old}");
    let slave = |port: u16, of: u16| {
        format!("slave 127.0.0.1:{port} 127.0.0.1 {port} @ taotaoMaster 127.0.0.1 {of}")
    };
    let (new_slave, other_slave) = (slave(new, old), slave(other, old));
    let expected = [
        format!("+sdown {master}"),
        format!("+odown {master} #quorum 1/1"),
        "+new-epoch 1".to_owned(),
        format!("+try-failover {master}"),
        format!("+vote-for-leader {runid} 1"),
        format!("+elected-leader {master}"),
        format!("+failover-state-select-slave {master}"),
        format!("+selected-slave {new_slave}"),
        format!("+failover-state-send-slaveof-noone {new_slave}"),
        format!("+failover-state-wait-promotion {new_slave}"),
        format!("+promoted-slave {new_slave}"),
        format!("+failover-state-reconf-slaves {master}"),
        format!("+slave-reconf-sent {other_slave}"),
        format!("+slave-reconf-inprog {other_slave}"),
        format!("+slave-reconf-done {other_slave}"),
        format!("+failover-end {master}"),
        format!("+switch-master taotaoMaster 127.0.0.1 {old} 127.0.0.1 {new}"),
        format!("+slave {}", slave(other, new)),
        format!("+slave {}", slave(old, new)),
    ];
    assert!(events.len() >= expected.len(), "{events:#?}");
    assert_eq!(events[..expected.len()], expected);
}

#[test]
fn w13_three_sentinels_find_each_other_and_make_one_failover() {
    let mut group = Group::start(2);
    let sentinels: Vec<Daemon> = (0..3)
        .map(|_| Daemon::sentinel(&monitor("m", group.master.port, 2, 2000)))
        .collect();
    for sentinel in &sentinels {
        wait_slaves(sentinel, "m", 2);
        wait_until("two other sentinels are found", || {
            let others = listed(sentinel, "SENTINEL SENTINELS m");
            others.len() == 2 && others.iter().all(|other| other["flags"] == "sentinel")
        });
    }
    assert_eq!(group.master.text("SET kept 1"), "OK");
    for slave in &group.slaves {
        wait_until("a write arrives", || slave.text("GET kept") == "1");
    }
    let (old_port, start) = (group.master.port, Instant::now());
    group.master.kill();
    let new_port = wait_for("one sentinel switches", FAILOVER_LIMIT, || {
        sentinels
            .iter()
            .filter_map(|sentinel| master_port(sentinel, "m"))
            .find(|port| *port != old_port)
    });
    let switched = start.elapsed();
    wait_for("all sentinels agree", FAILOVER_LIMIT, || {
        sentinels
            .iter()
            .all(|sentinel| master_port(sentinel, "m") == Some(new_port))
            .then_some(())
    });
    println!(
        "sentinels: +switch-master after {switched:?}, agreed after {:?}",
        start.elapsed()
    );
    assert!(switched < Duration::from_secs(15), "{switched:?}");
    assert_eq!(group.at(new_port).text("GET kept"), "1");
    wait_until("the other slave follows", || {
        group.slaves.iter().any(|slave| {
            slave.port != new_port
                && slave.info_field("replication", "master_port") == new_port.to_string()
        })
    });
    let count = |event: &str| {
        sentinels
            .iter()
            .flat_map(|sentinel| events(&sentinel.log()))
            .filter(|found| found.starts_with(event))
            .count()
    };
    for sentinel in &sentinels {
        wait_log(sentinel, "+switch-master m");
    }
    assert_eq!(count("+elected-leader"), 1);
    assert_eq!(count("+promoted-slave"), 1);
    assert_eq!(count("+switch-master"), 3);
}

#[test]
fn w13_two_masters_under_one_sentinel_are_handled_on_their_own() {
    let mut groups = [Group::start(1), Group::start(1)];
    let config: String = ["one", "two"]
        .iter()
        .zip(&groups)
        .map(|(name, group)| monitor(name, group.master.port, 1, DOWN_AFTER_MILLIS))
        .collect();
    let sentinel = Daemon::sentinel(&config);
    for name in ["one", "two"] {
        wait_slaves(&sentinel, name, 1);
    }
    assert_eq!(listed(&sentinel, "SENTINEL MASTERS").len(), 2);
    groups[0].master.kill();
    wait_log(&sentinel, "# +switch-master one");
    assert_eq!(
        master_port(&sentinel, "one"),
        Some(groups[0].slaves[0].port)
    );
    assert_eq!(master_port(&sentinel, "two"), Some(groups[1].master.port));
    wait_until("the slave of the first is a master", || {
        groups[0].slaves[0].info_field("replication", "role") == "master"
    });
    assert_eq!(
        groups[1].slaves[0].info_field("replication", "role"),
        "slave"
    );
    assert_eq!(
        groups[1].slaves[0].info_field("replication", "master_link_status"),
        "up"
    );
    let about_two = |event: &String| event.contains(" two ") && event.contains("down ");
    let log = events(&sentinel.log());
    assert!(!log.iter().any(about_two), "{log:#?}");
}
