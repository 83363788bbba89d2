//! Any nodes.conf is read or refused; what is read is written and read again as it is, a node starts from it and says the same,
//! and no part of it passes for the whole.
#![no_main]

use cluster_bus::nodes_conf::{NodeLine, NodesConf, load, parse_nodes};
use cluster_bus::{Caller, Config, Facts, Node, Now, Output};
use libfuzzer_sys::fuzz_target;

/// With the slots that move in the order in which they are written.
fn ordered(mut node: NodeLine) -> NodeLine {
    node.migrating.sort();
    node.importing.sort();
    node
}

fn check_nodes(nodes: Vec<NodeLine>) {
    let text: String = nodes.iter().map(|node| format!("{node}\n")).collect();
    let again = parse_nodes(text.as_bytes()).expect("what we write can be read");
    // A reply does not say what only the file has.
    let nodes: Vec<_> = nodes.into_iter().map(ordered).collect();
    for (again, node) in again.iter().zip(&nodes) {
        assert_eq!((again.id, again.ip, again.port), (node.id, node.ip, node.port));
        assert_eq!(again.slots, node.slots);
        assert_eq!(again.announced.hostname, node.announced.hostname);
    }
    assert_eq!(again.len(), nodes.len());
}

/// A node that starts from `conf` keeps its epochs and can write a file that can be read again.
fn start(conf: NodesConf) {
    let now = Now {
        mono_ms: 1,
        unix_ms: 1_700_000_000_000,
    };
    let epoch = conf.current_epoch;
    let mut node = Node::new(now, Config::default(), Some(conf), 1);
    for _ in 0..3 {
        let later = node
            .poll_timeout()
            .expect("a node always waits for something");
        let later = Now {
            mono_ms: later,
            ..now
        };
        node.handle_timeout(later, Facts::default());
        while let Some(output) = node.poll_output() {
            if let Output::Persist { .. } = output {
                let text = node.nodes_conf_text();
                load(text.as_bytes()).expect("what a node writes can be read");
            }
        }
    }
    assert!(node.current_epoch() >= epoch);
    let text = node.nodes_conf().to_string();
    load(text.as_bytes()).expect("what a node writes can be read");
    let anyone = Caller::default();
    let _ = (node.cluster_slots(anyone), node.cluster_shards(anyone), node.cluster_info());
}

fuzz_target!(|data: &[u8]| {
    if let Ok(nodes) = parse_nodes(data) {
        check_nodes(nodes);
    }
    let Ok(Some(conf)) = load(data) else { return };
    let text = conf.to_string();
    let again = load(text.as_bytes())
        .expect("what we write can be read")
        .expect("it is not empty");
    assert_eq!(again.to_string(), text);
    assert_eq!(
        (again.current_epoch, again.last_vote_epoch),
        (conf.current_epoch, conf.last_vote_epoch)
    );
    let cut = text.len() * usize::from(data[0]) / 256;
    assert_eq!(
        load(&text.as_bytes()[..cut]).is_err(),
        cut > 0,
        "cut to {cut} bytes"
    );
    check_nodes(conf.nodes.clone());
    start(conf);
});
