//! What the doctor says about clusters that ail in one way each, and about one that is well.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

use std::collections::BTreeMap;

use trib_cli::SlotSet;
use trib_cli::diagnosis::{Facts, Severity, diagnose};
use trib_cli::snapshot::{NodeId, Snapshot, parse_nodes};

/// Three masters with a replica each, on three hosts; well in every way.
fn healthy() -> Facts {
    let line =
        |index: usize, rest: &str| format!("{index:040x} 10.0.0.{}:6379 {rest}\n", index % 3 + 1);
    let mut text = String::new();
    for (index, slots) in ["0-5460", "5461-10922", "10923-16383"].iter().enumerate() {
        text += &line(
            index,
            &format!("master - 0 0 {} connected {slots}", index + 1),
        );
        let replica = format!("slave {index:040x} 0 0 {} connected", index + 1);
        text += &line(index + 4, &replica).replace(":6379", ":6380");
    }
    let nodes = parse_nodes(&text).unwrap();
    let mut facts = Facts::default();
    for (own, node) in nodes.iter().enumerate() {
        let mut view = nodes.clone();
        view[own].myself = true;
        facts.views.insert(node.id.clone(), view);
        let vitals = facts.vitals.entry(node.id.clone()).or_default();
        let mut set = |fields: &[(&str, &str)], config: bool| {
            let map: &mut BTreeMap<String, String> = if config {
                &mut vitals.config
            } else {
                &mut vitals.info
            };
            map.extend(
                fields
                    .iter()
                    .map(|(name, value)| ((*name).into(), (*value).into())),
            );
        };
        set(
            &[
                ("cluster_state", "ok"),
                ("redis_version", "7.2.4"),
                ("used_memory", "100"),
                ("maxmemory", "1000"),
            ],
            false,
        );
        set(
            &[
                ("master_link_status", "up"),
                ("master_repl_offset", "500"),
                ("slave_repl_offset", "500"),
            ],
            false,
        );
        set(
            &[
                ("appendonly", "yes"),
                ("save", ""),
                ("cluster-node-timeout", "15000"),
            ],
            true,
        );
        vitals.clock = Some(3);
    }
    facts.snapshot = Snapshot {
        nodes,
        missing: Vec::new(),
    };
    facts
}

fn id(index: usize) -> NodeId {
    NodeId::new(&format!("{index:040x}"))
}

#[test]
fn a_healthy_cluster_gets_no_advice() {
    assert_eq!(diagnose(&healthy()), vec![]);
}

/// The findings of a cluster that was well before `ail`.
fn findings(ail: impl FnOnce(&mut Facts)) -> String {
    let mut facts = healthy();
    ail(&mut facts);
    let findings = diagnose(&facts);
    assert!(!findings.is_empty());
    assert!(
        findings.is_sorted_by_key(|finding| finding.severity),
        "the worst first"
    );
    let line = |finding: &trib_cli::diagnosis::Finding| {
        let mark = if finding.severity == Severity::Error {
            "ERR"
        } else {
            "WARNING"
        };
        format!("  {mark} {}\n    {}", finding.what, finding.advice)
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn info(facts: &mut Facts, index: usize, name: &str, value: &str) {
    facts
        .vitals
        .get_mut(&id(index))
        .unwrap()
        .info
        .insert(name.into(), value.into());
}

fn config(facts: &mut Facts, index: usize, name: &str, value: &str) {
    facts
        .vitals
        .get_mut(&id(index))
        .unwrap()
        .config
        .insert(name.into(), value.into());
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of ailments")]
fn every_ailment_is_named_with_what_to_do() {
    let ailments: Vec<(&str, String)> = vec![
        (
            "a master is gone",
            findings(|facts| {
                let at = facts
                    .snapshot
                    .nodes
                    .iter()
                    .position(|node| node.id == id(0))
                    .unwrap();
                let node = facts.snapshot.nodes.remove(at);
                facts.snapshot.missing.push(node);
                facts.views.remove(&id(0));
                facts.vitals.remove(&id(0));
                facts.reasons.insert(id(0), "Connection refused".into());
            }),
        ),
        (
            "a stale entry",
            findings(|facts| {
                let mut node = facts.snapshot.nodes[1].clone();
                (node.id, node.address.port, node.slots) = (id(9), 0, SlotSet::default());
                node.flags.push("noaddr".into());
                facts.snapshot.missing.push(node);
            }),
        ),
        (
            "slots of nobody",
            findings(|facts| {
                facts.snapshot.node_mut(&id(0)).unwrap().slots.remove(7);
            }),
        ),
        (
            "half moved",
            findings(|facts| {
                facts
                    .snapshot
                    .node_mut(&id(0))
                    .unwrap()
                    .migrating
                    .insert(7, id(1));
            }),
        ),
        (
            "maps that differ",
            findings(|facts| {
                let view = facts.views.get_mut(&id(1)).unwrap();
                view.iter_mut()
                    .find(|node| node.id == id(0))
                    .unwrap()
                    .slots
                    .remove(7);
            }),
        ),
        (
            "a bus link",
            findings(|facts| {
                let view = facts.views.get_mut(&id(1)).unwrap();
                view.iter_mut()
                    .find(|node| node.id == id(0))
                    .unwrap()
                    .connected = false;
            }),
        ),
        (
            "equal epochs",
            findings(|facts| facts.snapshot.node_mut(&id(0)).unwrap().config_epoch = 2),
        ),
        (
            "a node that does not serve",
            findings(|facts| info(facts, 1, "cluster_state", "fail")),
        ),
        (
            "an even number",
            findings(|facts| {
                let mut node = facts.snapshot.node(&id(0)).unwrap().clone();
                (node.id, node.config_epoch) = (id(3), 9);
                node.address.host = "10.0.0.4".into();
                node.slots = (0..4096).collect();
                for slot in 0..4096 {
                    facts.snapshot.node_mut(&id(0)).unwrap().slots.remove(slot);
                }
                facts.snapshot.nodes.push(node);
            }),
        ),
        (
            "versions",
            findings(|facts| info(facts, 1, "redis_version", "3.0.7")),
        ),
        (
            "one host",
            findings(|facts| {
                facts
                    .snapshot
                    .nodes
                    .iter_mut()
                    .for_each(|node| node.address.host = "10.0.0.1".into());
            }),
        ),
        (
            "a replica beside its master",
            findings(|facts| {
                facts.snapshot.node_mut(&id(4)).unwrap().address.host = "10.0.0.1".into();
            }),
        ),
        (
            "a majority on one host",
            findings(|facts| {
                facts.snapshot.node_mut(&id(1)).unwrap().address.host = "10.0.0.1".into();
            }),
        ),
        (
            "a master alone",
            findings(|facts| facts.snapshot.nodes.retain(|node| node.id != id(4))),
        ),
        (
            "a link that is down",
            findings(|facts| info(facts, 4, "master_link_status", "down")),
        ),
        (
            "a replica that lags",
            findings(|facts| info(facts, 0, "master_repl_offset", "20000000")),
        ),
        (
            "a save that failed",
            findings(|facts| info(facts, 0, "rdb_last_bgsave_status", "err")),
        ),
        (
            "a slow disk",
            findings(|facts| info(facts, 0, "aof_delayed_fsync", "3")),
        ),
        (
            "nothing on disk",
            findings(|facts| config(facts, 0, "appendonly", "no")),
        ),
        (
            "scarce memory",
            findings(|facts| info(facts, 0, "used_memory", "950")),
        ),
        (
            "timeouts",
            findings(|facts| config(facts, 0, "cluster-node-timeout", "500")),
        ),
        (
            "clocks",
            findings(|facts| facts.vitals.get_mut(&id(0)).unwrap().clock = Some(-2500)),
        ),
    ];
    let text: Vec<String> = ailments
        .into_iter()
        .map(|(name, text)| format!("{name}:\n{text}"))
        .collect();
    insta::assert_snapshot!(text.join("\n"));
}
