//! What is in `deploy/` hangs together: the files that packages name exist, manifests are well-formed and probe what the server answers,
//! configurations are accepted by the server, dashboards and alerts ask for metrics that are told.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeSet;

use serde::Deserialize as _;
use serde_yaml::Value;
use tern_tests::daemon::trib;
use tern_tests::root;

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn documents(path: &str) -> Vec<Value> {
    let text = read(path);
    let documents = serde_yaml::Deserializer::from_str(&text);
    documents
        .map(|document| {
            Value::deserialize(document).unwrap_or_else(|error| panic!("{path}: {error}"))
        })
        .collect()
}

/// What lies at a path of keys and indices.
fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('/').fold(value, |value, step| {
        let found = match step.parse::<usize>() {
            Ok(index) => value.get(index),
            Err(_) => value.get(step),
        };
        found.unwrap_or_else(|| panic!("no {step} of {path} in {value:?}"))
    })
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value:?} is no text"))
}

#[test]
fn packages_hold_what_exists() {
    let manifest = read("bin/server/Cargo.toml");
    let quoted: BTreeSet<&str> = manifest.split('"').skip(1).step_by(2).collect();
    let mut sources = 0;
    for source in quoted.iter().filter(|one| one.starts_with("../../")) {
        let path = source.trim_start_matches("../../").trim_end_matches("*.md");
        if !path.starts_with("target/") {
            sources += 1;
            assert!(root().join(path).exists(), "{path}");
        }
    }
    assert!(sources > 6, "{quoted:?}");
    // Both kinds hold the same.
    for installed in [
        "usr/bin/tern-server",
        "usr/bin/tern-sentinel",
        "usr/bin/tern-trib",
        "etc/tern/server.conf",
        "usr/share/man/man1/tern-trib.1",
        "usr/share/man/man5/tern.conf.5",
        "usr/share/bash-completion/completions/tern-trib",
    ] {
        assert!(quoted.contains(installed), "{installed} is not in the .deb");
        assert!(
            quoted.contains(format!("/{installed}").as_str()),
            "{installed} is not in the .rpm"
        );
    }
    for unit in ["tern-server", "tern-sentinel"] {
        let service = read(&format!("deploy/{unit}.service"));
        assert!(service.contains(&format!("ExecStart=/usr/bin/{unit} /etc/tern/")));
        assert!(service.contains("User=tern"));
    }
}

#[test]
fn the_images_are_pinned() {
    let file = read("deploy/Containerfile");
    let images: Vec<&str> = file
        .lines()
        .filter_map(|line| line.strip_prefix("FROM "))
        .collect();
    assert_eq!(images.len(), 2);
    for image in images {
        let tag = image.split(' ').next().unwrap().rsplit_once(':').unwrap().1;
        assert!(tag.matches('.').count() >= 1 && tag != "latest", "{image}");
    }
}

#[test]
fn kubernetes_probes_what_the_server_answers_and_hands_over() {
    let all = documents("deploy/kubernetes.yaml");
    for document in &all {
        for field in ["apiVersion", "kind", "metadata/name"] {
            assert!(!text(at(document, field)).is_empty());
        }
    }
    let kind = |name: &str| {
        all.iter()
            .find(|one| text(at(one, "kind")) == name)
            .unwrap()
    };
    let set = kind("StatefulSet");
    let labels = at(set, "spec/selector/matchLabels/app");
    assert_eq!(labels, at(set, "spec/template/metadata/labels/app"));
    assert_eq!(labels, at(kind("Service"), "spec/selector/app"));
    assert_eq!(
        labels,
        at(kind("PodDisruptionBudget"), "spec/selector/matchLabels/app")
    );
    assert_eq!(
        at(set, "spec/serviceName"),
        at(kind("Service"), "metadata/name")
    );
    let container = at(set, "spec/template/spec/containers/0");
    for (probe, path) in [
        ("startupProbe", "/healthz"),
        ("livenessProbe", "/healthz"),
        ("readinessProbe", "/readyz"),
    ] {
        assert_eq!(text(at(container, &format!("{probe}/httpGet/path"))), path);
        assert_eq!(
            text(at(container, &format!("{probe}/httpGet/port"))),
            "metrics"
        );
    }
    let stop = at(container, "lifecycle/preStop/exec/command/2");
    assert!(text(stop).contains("tern-trib hand-over"));
    assert!(at(set, "spec/template/spec/terminationGracePeriodSeconds").as_u64() >= Some(60));
    let help = trib(&["hand-over", "--help"], "");
    assert_eq!(help.code, Some(0), "{}", help.out);
    // The configuration is one.
    let config = text(at(kind("ConfigMap"), "data/server.conf"));
    load(config, "deploy/kubernetes.yaml");
    assert!(config.contains("metrics-port 9121") && config.contains("cluster-enabled yes"));
    let arguments = at(container, "args").as_sequence().unwrap();
    assert_directives(arguments);
}

/// Every option is a directive.
fn assert_directives(arguments: &[Value]) {
    let options = arguments
        .iter()
        .filter_map(|one| text(one).strip_prefix("--"));
    let unknown: Vec<&str> = options
        .filter(|name| conf::find(name.as_bytes()).is_none())
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

fn load(config: &str, of: &str) {
    // The folder is made at the place where it runs.
    let here: String = config
        .lines()
        .filter(|line| !line.starts_with("dir "))
        .map(|line| format!("{line}\n"))
        .collect();
    let loaded = conf::ServerConfig::load(here.as_bytes(), &mut ());
    assert!(loaded.is_ok(), "{of}: {loaded:?}");
}

#[test]
fn compose_starts_what_there_is() {
    let all = documents("deploy/compose.yaml");
    let services = at(&all[0], "services").as_mapping().unwrap();
    assert_eq!(services.len(), 5);
    for (name, _) in services {
        let name = text(name);
        let volume = text(at(&all[0], &format!("services/{name}/volumes/0")));
        let (volume, _) = volume.split_once(':').unwrap();
        assert!(all[0]["volumes"].get(volume).is_some(), "{volume}");
        if name.starts_with("sentinel") {
            continue;
        }
        let command = at(&all[0], &format!("services/{name}/command"));
        assert_directives(command.as_sequence().unwrap());
    }
}

#[test]
fn the_example_configurations_are_accepted() {
    load(&read("deploy/server.conf"), "deploy/server.conf");
    assert_eq!(documents("deploy/cluster.yaml").len(), 1);
}

#[test]
fn dashboards_and_alerts_ask_for_what_is_told() {
    let names = read("crates/metrics/src/names.rs") + &read("crates/metrics/src/text.rs");
    let told = names + &read("bin/sentinel/src/figures.rs") + &read("bin/server/src/figures.rs");
    let told: BTreeSet<&str> = told.split('"').skip(1).step_by(2).collect();
    // Fields of CLUSTER INFO keep their names.
    let cluster = ["cluster_state", "cluster_slots_ok"];
    let asked = read("deploy/alerts.yaml") + &read("deploy/grafana.json");
    let words = asked.split(|one: char| !(one.is_ascii_alphanumeric() || one == '_'));
    let mut seen = BTreeSet::new();
    for word in words.filter(|word| word.starts_with("redis_") || word.starts_with("tern_")) {
        let name = word.strip_prefix("redis_").unwrap_or(word);
        let name = name.strip_suffix("_bucket").unwrap_or(name);
        assert!(
            told.contains(name) || cluster.contains(&name),
            "nobody tells {word}"
        );
        seen.insert(name);
    }
    assert!(seen.len() > 30, "{seen:?}");
    let dashboard: serde_json::Value = serde_json::from_str(&read("deploy/grafana.json")).unwrap();
    assert!(dashboard["panels"].as_array().unwrap().len() > 20);
    assert_eq!(documents("deploy/alerts.yaml").len(), 1);
}
