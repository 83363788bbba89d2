//! What `watch` shows: as text, and on a screen of a given size.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use trib_cli::picture::{Picture, Sample, Watcher};
use trib_cli::screen::draw;
use trib_cli::snapshot::{NodeId, parse_nodes};

fn id(index: usize) -> NodeId {
    NodeId::new(&format!("{index:040x}"))
}

/// Three masters, the first with a replica.
fn sample() -> Sample {
    let mut text = String::new();
    for (index, slots) in ["0-5460", "5461-10922", "10923-16383"].iter().enumerate() {
        text += &format!(
            "{index:040x} 10.0.0.{}:6379 master - 0 0 {index} connected {slots}\n",
            index + 1
        );
    }
    text += &format!(
        "{:040x} 10.0.0.4:6379 slave {:040x} 0 0 1 connected\n",
        9, 0
    );
    let mut sample = Sample::default();
    sample.snapshot.nodes = parse_nodes(&text).unwrap();
    for (index, node) in sample.snapshot.nodes.iter().enumerate() {
        let fields = [
            ("used_memory", format!("{}", (index + 1) * 1_500_000)),
            ("instantaneous_ops_per_sec", format!("{}", index * 100)),
            ("connected_clients", "3".into()),
            ("db0", "keys=1000,expires=0,avg_ttl=0".into()),
            ("cluster_state", "ok".into()),
            ("master_repl_offset", "5000".into()),
            ("slave_repl_offset", "4000".into()),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value));
        sample.info.insert(node.id.clone(), fields.into());
    }
    sample
}

/// The second master is gone, the replica promoted, a slot on its way.
fn later() -> Sample {
    let mut sample = sample();
    let mut gone = sample.snapshot.nodes.remove(1);
    gone.flags.push("fail".into());
    sample.info.remove(&gone.id);
    sample
        .reasons
        .insert(gone.id.clone(), "Connection refused".into());
    sample.snapshot.missing.push(gone);
    let slots = std::mem::take(&mut sample.snapshot.node_mut(&id(0)).unwrap().slots);
    sample.snapshot.node_mut(&id(0)).unwrap().master = Some(id(9));
    let heir = sample.snapshot.node_mut(&id(9)).unwrap();
    (heir.master, heir.slots) = (None, slots);
    heir.flags = vec!["master".into()];
    heir.migrating.insert(100, id(2));
    sample
        .sentinels
        .push("sentinel 10.0.0.9:26379: m is 10.0.0.1:6379 (master)".into());
    sample
}

fn pictures() -> [Picture; 2] {
    let mut watcher = Watcher::default();
    [
        watcher.take(&sample(), Duration::ZERO),
        watcher.take(&later(), Duration::from_secs(12)),
    ]
}

#[test]
fn a_pipe_gets_text() {
    let texts = pictures().map(|picture| picture.text());
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn a_terminal_gets_a_screen() {
    for (name, size) in [("wide", (120, 30)), ("small", (60, 16)), ("tiny", (10, 3))] {
        let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
        for picture in pictures() {
            terminal.draw(|frame| draw(frame, &picture)).unwrap();
        }
        insta::assert_snapshot!(name, terminal.backend());
    }
}

#[test]
fn nothing_new_is_no_event() {
    let mut watcher = Watcher::default();
    for second in 0..3 {
        let picture = watcher.take(&sample(), Duration::from_secs(second));
        assert_eq!(picture.events, Vec::<String>::new());
    }
}

#[test]
fn events_are_bounded() {
    let (mut watcher, mut last) = (Watcher::default(), 0);
    for second in 0..500 {
        let sample = if second % 2 == 0 { sample() } else { later() };
        last = watcher
            .take(&sample, Duration::from_secs(second))
            .events
            .len();
    }
    assert_eq!(last, 200);
}

#[test]
fn an_empty_sample_is_shown_too() {
    let picture = Watcher::default().take(&Sample::default(), Duration::ZERO);
    assert!(
        picture
            .text()
            .starts_with("0 nodes, 0 masters; 0 of 16384 slots covered")
    );
}
