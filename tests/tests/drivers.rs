//! Interop: today's drivers and frameworks with their default settings against server, cluster and sentinel. `TERN_DRIVERS` names a folder with
//! `bin/python` and `node_modules`, into which `tests/drivers/python.txt` and `tests/drivers/node.txt` are installed; CI makes it. Without it
//! the group says that it is skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use tern_tests::cluster::Cluster;
use tern_tests::daemon::{Daemon, wait_until};

#[expect(clippy::print_stderr, reason = "a group that is skipped says so")]
fn drivers() -> Option<PathBuf> {
    let folder = std::env::var_os("TERN_DRIVERS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: TERN_DRIVERS names no folder with drivers");
    }
    folder
}

/// A script of this package's folder.
fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Runs a script, which ends its output with `ok`. `PORT` is told in the environment too, for those whose workers are processes of their own.
fn passes(program: &Path, arguments: &[&str], port: u16) {
    let output = Command::new("timeout")
        .arg("120")
        .arg(program)
        .args(arguments)
        .env("PORT", port.to_string())
        .current_dir(script("frameworks"))
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.trim_end().ends_with("ok"),
        "{arguments:?}: {text}{errors}"
    );
}

#[test]
fn python_drivers_do_their_work() {
    let Some(folder) = drivers() else { return };
    let server = Daemon::server("save \"\"");
    let port = server.port.to_string();
    for driver in ["redis", "valkey"] {
        let path = script("drivers/redis_py.py");
        passes(
            &folder.join("bin/python"),
            &[&path.to_string_lossy(), &port, driver],
            server.port,
        );
    }
}

#[test]
fn node_drivers_do_their_work() {
    let Some(folder) = drivers() else { return };
    let server = Daemon::server("save \"\"");
    let port = server.port.to_string();
    let path = script("drivers/node.mjs");
    passes(
        Path::new("node"),
        &[&path.to_string_lossy(), &port, &folder.to_string_lossy()],
        server.port,
    );
}

/// Python's and Node.js's scripts that find nodes by themselves.
fn topology(folder: &Path, kind: &str, ports: &[u16]) {
    let ports_text: Vec<String> = ports.iter().map(u16::to_string).collect();
    let mut words = vec![kind];
    words.extend(ports_text.iter().map(String::as_str));
    let path = script("drivers/topology.py");
    let mut arguments = vec![path.to_str().unwrap_or_default()];
    arguments.extend(&words);
    passes(&folder.join("bin/python"), &arguments, ports[0]);
    let path = script("drivers/topology.mjs");
    let mut arguments = vec![
        path.to_str().unwrap_or_default(),
        folder.to_str().unwrap_or_default(),
    ];
    arguments.extend(&words);
    passes(Path::new("node"), &arguments, ports[0]);
}

#[test]
fn cluster_drivers_do_their_work() {
    let Some(folder) = drivers() else { return };
    let cluster = Cluster::joined(6, 1);
    topology(&folder, "cluster", &[cluster.nodes[0].port]);
}

#[test]
fn sentinel_drivers_do_their_work() {
    let Some(folder) = drivers() else { return };
    let master = Daemon::server("save \"\"");
    let replica = Daemon::server(&format!("save \"\"\nreplicaof 127.0.0.1 {}", master.port));
    let sentinel = Daemon::sentinel(&format!(
        "sentinel monitor mymaster 127.0.0.1 {} 1",
        master.port
    ));
    wait_until("the replica is in step", || {
        replica.info_field("replication", "master_link_status") == "up"
    });
    wait_until("the sentinel knows the replica", || {
        let masters = sentinel.info("sentinel");
        masters
            .get("master0")
            .is_some_and(|line| line.contains("status=ok") && line.contains("slaves=1"))
    });
    topology(&folder, "sentinel", &[sentinel.port, master.port]);
}

#[test]
fn python_frameworks_do_their_work() {
    let Some(folder) = drivers() else { return };
    let server = Daemon::server("save \"\"");
    for framework in ["celery", "rq", "dramatiq", "huey", "django", "channels"] {
        let job = format!("{framework}_job.py");
        passes(&folder.join("bin/python"), &[&job], server.port);
    }
}

#[test]
fn node_frameworks_do_their_work() {
    let Some(folder) = drivers() else { return };
    let server = Daemon::server("save \"\"");
    let (modules, port) = (folder.to_string_lossy(), server.port.to_string());
    passes(
        Path::new("node"),
        &["node.mjs", &modules, &port],
        server.port,
    );
}
