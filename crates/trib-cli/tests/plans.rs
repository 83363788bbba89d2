//! Plans against what they promise, for random clusters, and against recorded plans of redis-trib.rb.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use trib_cli::plan::{
    CreatePlan, Description, PlanError, Rebalance, RebalanceOptions, Step, apply, create,
    rebalance, reshard,
};
use trib_cli::snapshot::{Node, NodeId, Snapshot};
use trib_cli::{Address, SLOT_COUNT, SlotSet};

fn id(index: usize) -> NodeId {
    NodeId::new(&format!("{index:040x}"))
}

fn node(index: usize, host: usize) -> Node {
    let port = 7000 + u16::try_from(index).unwrap();
    Node {
        id: id(index),
        address: Address::new(format!("10.0.0.{host}"), port),
        bus_port: Some(port + 10_000),
        flags: vec!["master".into()],
        myself: true,
        master: None,
        config_epoch: 0,
        connected: true,
        slots: SlotSet::default(),
        migrating: BTreeMap::new(),
        importing: BTreeMap::new(),
    }
}

fn snapshot(nodes: Vec<Node>) -> Snapshot {
    Snapshot {
        nodes,
        missing: Vec::new(),
    }
}

/// Masters that own all slots between them, cut at random places; some may be empty.
fn owned() -> impl Strategy<Value = Snapshot> {
    prop::collection::vec(0..=SLOT_COUNT, 1..8).prop_map(|mut cuts| {
        cuts.push(SLOT_COUNT);
        cuts.sort_unstable();
        let mut first = 0;
        let nodes = cuts.into_iter().enumerate().map(|(index, end)| {
            let mut node = node(index, index);
            node.slots = (first..end).collect();
            first = end;
            node
        });
        snapshot(nodes.collect())
    })
}

fn host_of<'a>(snapshot: &'a Snapshot, id: &NodeId) -> &'a str {
    &snapshot.node(id).unwrap().address.host
}

/// Whether replicas can all be put on other hosts than their masters, given who is master: no host may have more
/// replicas than there are seats at masters elsewhere.
fn separable(snapshot: &Snapshot, plan: &CreatePlan) -> bool {
    let hosts: BTreeSet<&str> = snapshot
        .nodes
        .iter()
        .map(|node| node.address.host.as_str())
        .collect();
    hosts.into_iter().all(|host| {
        let here = plan
            .replicas
            .iter()
            .filter(|(replica, _)| host_of(snapshot, replica) == host)
            .count();
        let seats = plan
            .replicas
            .iter()
            .filter(|(_, master)| host_of(snapshot, master) == host)
            .count();
        here + seats <= plan.replicas.len()
    })
}

proptest! {
    #[test]
    fn create_covers_every_slot_once_and_uses_every_node(
        hosts in prop::collection::vec(0_usize..5, 1..40),
        replicas in 0_usize..4,
    ) {
        let nodes = hosts.iter().enumerate().map(|(index, host)| node(index, *host)).collect();
        let snapshot = snapshot(nodes);
        let masters = hosts.len() / (replicas + 1);
        let plan = match create(&snapshot, replicas, &BTreeMap::new()) {
            Ok(plan) => plan,
            Err(error) => {
                prop_assert!(masters < 3);
                let expected = PlanError::TooFewNodes { nodes: hosts.len(), replicas };
                prop_assert_eq!(error, expected);
                return Ok(());
            }
        };
        prop_assert_eq!(plan.masters.len(), masters);

        let slots: Vec<u16> = plan.masters.iter().flat_map(|(_, slots)| slots.iter().collect::<Vec<_>>()).collect();
        prop_assert_eq!(slots, (0..SLOT_COUNT).collect::<Vec<_>>(), "each slot once, in order");
        let sizes: Vec<usize> = plan.masters.iter().map(|(_, slots)| slots.len()).collect();
        prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");

        let mut used: Vec<&NodeId> = plan.masters.iter().map(|(id, _)| id).collect();
        used.extend(plan.replicas.iter().map(|(id, _)| id));
        used.sort();
        prop_assert_eq!(used, snapshot.nodes.iter().map(|node| &node.id).collect::<Vec<_>>());

        for (master, _) in &plan.masters {
            let own = plan.replicas.iter().filter(|(_, of)| of == master).count();
            prop_assert!(own >= replicas, "{master} has {own}");
        }
        if separable(&snapshot, &plan) {
            for (replica, master) in &plan.replicas {
                prop_assert_ne!(host_of(&snapshot, replica), host_of(&snapshot, master));
            }
        }
    }

    #[test]
    fn masters_lie_on_as_many_hosts_as_there_are(hosts in prop::collection::vec(0_usize..5, 6..40)) {
        let nodes = hosts.iter().enumerate().map(|(index, host)| node(index, *host)).collect();
        let snapshot = snapshot(nodes);
        let plan = create(&snapshot, 1, &BTreeMap::new()).unwrap();
        let of_masters: BTreeSet<&str> = plan.masters.iter().map(|(id, _)| host_of(&snapshot, id)).collect();
        let all: BTreeSet<usize> = hosts.iter().copied().collect();
        prop_assert_eq!(of_masters.len(), all.len().min(plan.masters.len()));
    }

    #[test]
    fn weights_share_the_slots_and_leave_nobody_without(
        weights in prop::collection::vec(0.0_f64..10.0, 3..30)
    ) {
        prop_assume!(weights.iter().sum::<f64>() > 0.0);
        let snapshot = snapshot((0..weights.len()).map(|index| node(index, index)).collect());
        let by_id: BTreeMap<NodeId, f64> =
            weights.iter().enumerate().map(|(index, weight)| (id(index), *weight)).collect();
        let plan = create(&snapshot, 0, &by_id).unwrap();
        let slots: Vec<u16> = plan.masters.iter().flat_map(|(_, slots)| slots.iter().collect::<Vec<_>>()).collect();
        prop_assert_eq!(slots, (0..SLOT_COUNT).collect::<Vec<_>>());
        prop_assert!(plan.masters.iter().all(|(_, slots)| !slots.is_empty()));
    }

    #[test]
    fn reshard_takes_the_asked_number_in_proportion(cluster in owned(), count in 1..=usize::from(SLOT_COUNT)) {
        let target = cluster.nodes[0].id.clone();
        let sources: Vec<NodeId> = cluster.nodes[1..].iter().map(|node| node.id.clone()).collect();
        let total: usize = cluster.nodes[1..].iter().map(|node| node.slots.len()).sum();
        let moves = reshard(&cluster, &sources, &target, count);
        let wanted = count.min(total);
        prop_assert_eq!(moves.len(), wanted);
        let mut taken: BTreeMap<&NodeId, SlotSet> = BTreeMap::new();
        for entry in &moves {
            prop_assert_eq!(&entry.target, &target);
            prop_assert!(cluster.node(&entry.source).unwrap().slots.contains(entry.slot));
            let slots = taken.entry(&entry.source).or_default();
            prop_assert!(!slots.contains(entry.slot), "slot {} twice", entry.slot);
            slots.insert(entry.slot);
        }
        for node in &cluster.nodes[1..] {
            let quota = taken.get(&node.id).map_or(0, SlotSet::len);
            let (exact, total) = (wanted * node.slots.len(), total.max(1));
            prop_assert!((exact / total..=exact.div_ceil(total)).contains(&quota));
        }
    }

    #[test]
    fn rebalance_brings_everyone_to_the_expected_number(
        cluster in owned(),
        weights in prop::collection::vec(0.1_f64..5.0, 8),
        use_empty_masters in any::<bool>(),
    ) {
        let weights: BTreeMap<NodeId, f64> = (0..weights.len()).map(|index| (id(index), weights[index])).collect();
        let options = RebalanceOptions { weights: weights.clone(), threshold: 2.0, use_empty_masters };
        let Rebalance::Needed { shifts, total_weight, nodes, .. } = rebalance(&cluster, &options).unwrap() else {
            return Ok(());
        };
        let mut after = cluster.clone();
        for entry in shifts.iter().flat_map(|shift| &shift.moves) {
            prop_assert!(after.node_mut(&entry.source).unwrap().slots.remove(entry.slot), "moved twice");
            after.node_mut(&entry.target).unwrap().slots.insert(entry.slot);
        }
        prop_assert!(after.uncovered().is_empty());
        for (before, node) in cluster.nodes.iter().zip(&after.nodes) {
            if before.slots.is_empty() && !use_empty_masters {
                prop_assert!(node.slots.is_empty());
                continue;
            }
            let expected = f64::from(SLOT_COUNT) / total_weight * weights[&node.id];
            let slots = f64::from(u16::try_from(node.slots.len()).unwrap());
            let slack = f64::from(u16::try_from(nodes).unwrap());
            prop_assert!((slots - expected).abs() <= slack, "{slots} instead of {expected}");
        }
    }
}

/// The nodes of the recorded runs: three masters, their replicas, and an empty fourth.
fn recorded(slots: [(u16, u16); 4]) -> Snapshot {
    let nodes = slots.into_iter().enumerate().map(|(index, (first, last))| {
        let mut node = node(index, 1);
        node.slots = (first..last).collect();
        node
    });
    snapshot(nodes.collect())
}

#[test]
fn rebalance_is_the_recorded_one() {
    let mut cluster = recorded([(20, 5461), (5471, 10923), (10923, 16384), (0, 20)]);
    cluster.nodes[3].slots.extend(5461..5471);
    let options = |threshold| RebalanceOptions {
        weights: BTreeMap::new(),
        threshold,
        use_empty_masters: true,
    };
    let Rebalance::Needed {
        nodes,
        total_weight,
        shifts,
        ..
    } = rebalance(&cluster, &options(2.0)).unwrap()
    else {
        panic!("nothing to do");
    };
    assert_eq!((nodes, total_weight), (4, 4.0));
    let summary: Vec<_> = shifts
        .iter()
        .map(|shift| {
            (
                shift.moves.len(),
                shift.source.clone(),
                shift.target.clone(),
            )
        })
        .collect();
    assert_eq!(
        summary,
        [
            (1365, id(2), id(3)),
            (1356, id(1), id(3)),
            (1345, id(0), id(3))
        ]
    );
    assert_eq!(
        rebalance(&cluster, &options(0.0)).unwrap(),
        Rebalance::Balanced
    );
}

#[test]
fn reshard_is_the_recorded_one() {
    let cluster = recorded([(0, 5461), (5461, 10923), (10923, 16384), (0, 0)]);
    let moves = reshard(&cluster, &[id(1)], &id(3), 10);
    assert_eq!(
        moves.iter().map(|entry| entry.slot).collect::<Vec<_>>(),
        (5461..5471).collect::<Vec<_>>()
    );
    let moves = reshard(&cluster, &[id(0), id(1), id(2)], &id(3), 10);
    let from: Vec<_> = moves.iter().map(|entry| entry.source.clone()).collect();
    assert_eq!(
        from.iter().filter(|source| **source == id(1)).count(),
        4,
        "the largest rounds up"
    );
    assert_eq!(moves[0].slot, 5461, "and comes first");
}

#[test]
fn create_is_the_recorded_one() {
    let snapshot = snapshot((0..6).map(|index| node(index, 1)).collect());
    let plan = create(&snapshot, 1, &BTreeMap::new()).unwrap();
    let slots: Vec<_> = plan
        .masters
        .iter()
        .map(|(id, slots)| (id.clone(), slots.to_string()))
        .collect();
    let expected = [
        (id(0), "0-5460"),
        (id(1), "5461-10922"),
        (id(2), "10923-16383"),
    ];
    assert_eq!(slots, expected.map(|(id, slots)| (id, slots.to_owned())));
    assert_eq!(
        plan.replicas,
        [(id(3), id(0)), (id(4), id(1)), (id(5), id(2))]
    );
}

#[test]
fn rebalance_ends_where_rounding_alone_deviates() {
    // 5462, 5461 and 5461 slots, and a threshold below the difference: nobody has too few.
    let cluster = recorded([(0, 5462), (5462, 10923), (10923, 16384), (0, 0)]);
    let options = RebalanceOptions {
        weights: BTreeMap::new(),
        threshold: 0.001,
        use_empty_masters: false,
    };
    let Rebalance::Needed { shifts, .. } = rebalance(&cluster, &options).unwrap() else {
        panic!("balanced")
    };
    assert!(shifts.is_empty());
}

#[test]
fn weights_must_make_sense() {
    let cluster = recorded([(0, 5462), (5462, 10923), (10923, 16384), (0, 0)]);
    let with = |weight: f64| {
        let weights = cluster
            .nodes
            .iter()
            .map(|node| (node.id.clone(), weight))
            .collect();
        let options = RebalanceOptions {
            weights,
            threshold: 2.0,
            use_empty_masters: false,
        };
        rebalance(&cluster, &options).unwrap_err()
    };
    assert_eq!(with(0.0), PlanError::NoWeight);
    assert_eq!(with(-1.0), PlanError::Weight("-1".into()));
    assert_eq!(with(f64::NAN), PlanError::Weight("NaN".into()));
}

fn description(nodes: usize, replicas: usize) -> Description {
    let nodes = (0..nodes).map(|index| format!("10.0.0.1:{}", 7000 + index));
    let nodes = nodes.map(trib_cli::plan::DescribedNode::Plain).collect();
    Description {
        replicas,
        threshold: 2.0,
        nodes,
    }
}

fn weights(nodes: usize) -> BTreeMap<NodeId, f64> {
    (0..nodes).map(|index| (id(index), 1.0)).collect()
}

#[test]
fn apply_creates_where_nothing_is() {
    let fresh: Vec<Node> = (0..6).map(|index| node(index, 1)).collect();
    let plan = apply(&description(6, 1), None, &fresh, &weights(6)).unwrap();
    let claims = plan
        .steps
        .iter()
        .filter(|step| matches!(step, Step::AddSlots { .. }))
        .count();
    let replicas = plan
        .steps
        .iter()
        .filter(|step| matches!(step, Step::Replicate { .. }))
        .count();
    assert_eq!((claims, replicas), (3, 3));
}

#[test]
fn apply_has_nothing_to_do_where_all_is_as_described() {
    let mut nodes: Vec<Node> = (0..6).map(|index| node(index, 1)).collect();
    for (index, slots) in [(0..5461), (5461..10923), (10923..16384)]
        .into_iter()
        .enumerate()
    {
        nodes[index].slots = slots.collect();
        nodes[index + 3].master = Some(id(index));
        nodes[index + 3].flags = vec!["slave".into()];
    }
    let cluster = snapshot(nodes);
    let plan = apply(&description(6, 1), Some(&cluster), &[], &weights(6)).unwrap();
    assert_eq!((plan.steps, plan.notes), (vec![], vec![]));
}

#[test]
fn apply_grows_a_cluster_by_a_master_and_its_replica() {
    let mut nodes: Vec<Node> = (0..6).map(|index| node(index, 1)).collect();
    for (index, slots) in [(0..5461), (5461..10923), (10923..16384)]
        .into_iter()
        .enumerate()
    {
        nodes[index].slots = slots.collect();
        nodes[index + 3].master = Some(id(index));
        nodes[index + 3].flags = vec!["slave".into()];
    }
    let cluster = snapshot(nodes);
    let fresh = [node(6, 1), node(7, 1)];
    let plan = apply(&description(8, 1), Some(&cluster), &fresh, &weights(8)).unwrap();
    let replicate: Vec<_> = plan
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Replicate { node, master } => Some((node.clone(), master.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(replicate, [(id(7), id(6))]);
    let moved: usize = plan
        .steps
        .iter()
        .map(|step| match step {
            Step::Move { moves, .. } => moves.iter().filter(|entry| entry.target == id(6)).count(),
            _ => 0,
        })
        .sum();
    assert_eq!(moved, 4096);
}

#[test]
fn the_example_description_is_a_valid_one() {
    let text = include_str!("../../../deploy/cluster.yaml");
    let description = Description::from_yaml(text).unwrap();
    assert_eq!(
        (
            description.replicas,
            description.threshold,
            description.nodes.len()
        ),
        (1, 2.0, 6)
    );
    assert_eq!(description.nodes[2].weight(), 2.0);
    assert_eq!(
        description.nodes[5].address().unwrap(),
        Address::new("127.0.0.1", 7005)
    );
}

#[test]
fn a_description_is_refused_in_the_words_of_its_writer() {
    let refused = |text: &str| Description::from_yaml(text).unwrap_err();
    let lines = [
        "replicsa: 1\nnodes: []",
        "replicas: two\nnodes: []",
        "replicas: -1\nnodes: []",
        "replicas: 1.5\nnodes: []",
        "threshold: much\nnodes: []",
        "replicas: 1",
        "nodes: a:1",
        "nodes: [7000]",
        "nodes: [{weight: 1}]",
        "nodes: [a:1, {address: a:1, weight: heavy}]",
        "nodes: [{address: a:1, wieght: 2}]",
        "nodes: [{address: [a:1]}]",
        "- a:1",
        "",
    ];
    let answers: Vec<String> = lines
        .iter()
        .map(|line| format!("{}\n  {}", line.replace('\n', " | "), refused(line)))
        .collect();
    insta::assert_snapshot!(answers.join("\n"));
    assert!(
        refused("nodes: [").contains("line"),
        "{}",
        refused("nodes: [")
    );
}

fn loaded(slots: &[(usize, std::ops::Range<u16>)]) -> Snapshot {
    let mut nodes: Vec<Node> = (0..4).map(|index| node(index, 1)).collect();
    for (index, range) in slots {
        nodes[*index].slots = range.clone().collect();
    }
    snapshot(nodes)
}

fn balance(threshold: f64) -> RebalanceOptions {
    RebalanceOptions {
        weights: BTreeMap::new(),
        threshold,
        use_empty_masters: false,
    }
}

#[test]
fn hot_slots_move_and_cold_ones_stay() {
    // As many slots each; all of the load is with the first.
    let cluster = loaded(&[(0, 0..5461), (1, 5461..10923), (2, 10923..16384)]);
    let loads = [(1, 300), (2, 300), (3, 300), (4, 1)].into_iter().collect();
    let shifts = trib_cli::plan::rebalance_by(&cluster, &loads, &balance(2.0)).unwrap();
    let moves: Vec<u16> = shifts
        .iter()
        .flat_map(|shift| shift.moves.iter().map(|entry| entry.slot))
        .collect();
    assert_eq!(moves.len(), 2, "{shifts:?}");
    assert!(moves.iter().all(|slot| (1..4).contains(slot)));
    let targets: Vec<_> = shifts.iter().map(|shift| shift.target.clone()).collect();
    assert_eq!(targets, [id(1), id(2)]);
}

#[test]
fn one_slot_that_is_all_the_load_does_not_wander() {
    let cluster = loaded(&[(0, 0..5461), (1, 5461..10923), (2, 10923..16384)]);
    let loads = [(1, 1000)].into_iter().collect();
    assert_eq!(
        trib_cli::plan::rebalance_by(&cluster, &loads, &balance(2.0)),
        Ok(vec![])
    );
}

proptest::proptest! {
    #[test]
    fn a_balance_by_load_only_gets_better(loads in proptest::collection::btree_map(0_u16..16384, 0_u64..1_000_000, 0..300)) {
        let cluster = loaded(&[(0, 0..9000), (1, 9000..10923), (2, 10923..16384)]);
        let load_of = |slots: &trib_cli::SlotSet| -> u64 { slots.iter().filter_map(|slot| loads.get(&slot)).sum() };
        let spread = |cluster: &Snapshot| {
            let all: Vec<u64> = cluster.masters().filter(|node| !node.slots.is_empty()).map(|node| load_of(&node.slots)).collect();
            let share = all.iter().sum::<u64>() / 3;
            all.iter().map(|load| load.abs_diff(share)).max().unwrap()
        };
        let mut after = cluster.clone();
        for shift in trib_cli::plan::rebalance_by(&cluster, &loads, &balance(0.0)).unwrap() {
            for entry in shift.moves {
                proptest::prop_assert!(after.node_mut(&entry.source).unwrap().slots.remove(entry.slot));
                after.node_mut(&entry.target).unwrap().slots.insert(entry.slot);
            }
        }
        proptest::prop_assert!(spread(&after) <= spread(&cluster) + 2);
    }
}

#[test]
fn a_node_is_drained_so_that_the_others_have_as_many_each() {
    let cluster = loaded(&[(0, 0..1000), (1, 1000..6000), (2, 6000..16384)]);
    let shifts = trib_cli::plan::drain(&cluster, &id(2)).unwrap();
    let got: Vec<(NodeId, usize)> = shifts
        .iter()
        .map(|shift| (shift.target.clone(), shift.moves.len()))
        .collect();
    // The fourth master has none at all.
    assert_eq!(got.iter().map(|(_, count)| count).sum::<usize>(), 10384);
    assert_eq!(got, [(id(0), 4462), (id(1), 461), (id(3), 5461)]);
    let alone = snapshot(vec![node(0, 1)]);
    assert_eq!(trib_cli::plan::drain(&alone, &id(0)), Ok(vec![]));
}
