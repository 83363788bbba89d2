//! The whole comparison, with numbers so small that it takes a moment: every section ends with a table, and the files are written.
//! Only our server takes part. It asserts nothing about speed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The server in the folder that `TERN_BINARIES` names, else the one that has been built beside the benchmark.
fn server() -> Option<PathBuf> {
    let folder = std::env::var_os("TERN_BINARIES").map(PathBuf::from);
    let beside = || Path::new(env!("CARGO_BIN_EXE_tern-bench")).with_file_name("server");
    let path = folder.map_or_else(beside, |folder| folder.join("server"));
    path.is_file().then_some(path)
}

#[test]
fn every_section_ends_with_a_table() {
    let Some(server) = server() else {
        // Past the capture of the test runner.
        let _ = writeln!(std::io::stderr().lock(), "skipped: no server is built");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let document = dir.path().join("performance.md");
    std::fs::write(
        &document,
        "before\n<!-- measured: begin -->\n<!-- measured: end -->\nafter\n",
    )
    .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tern-bench"))
        .args(["compare", "--alone", "--quick", "--rounds", "1"])
        .args(["--seconds", "0.01", "--connections", "3", "--keys", "200"])
        .args([
            "--saved-keys",
            "200",
            "--idle",
            "20",
            "--active",
            "5",
            "--settle",
            "0.02",
        ])
        .arg("--server")
        .arg(server)
        .arg("--markdown")
        .arg(&document)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let written = std::fs::read_to_string(&document).unwrap();
    assert!(
        written.starts_with("before\n") && written.ends_with("after\n"),
        "{written}"
    );
    for text in [
        "Tern ",
        "Commands, pipeline 1",
        "Commands, pipeline 16",
        "PING inline",
        "MSET (10 keys)",
        "XRANGE 10",
        "LRANGE 600",
        "Memory: bytes per key or element",
        "Saving and loading: seconds",
        "Tails: GET and SET in turns",
        "Idle connections",
        "20 of 20",
    ] {
        assert!(printed.contains(text), "{text} in {printed}");
        assert!(written.contains(text), "{text} in {written}");
    }
}

#[test]
fn streams_on_a_node_of_a_cluster_in_resp3_through_tls() {
    let Some(server) = server() else {
        return;
    };
    let output = Command::new(env!("CARGO_BIN_EXE_tern-bench"))
        .args(["compare", "--alone", "--quick", "--rounds", "1"])
        .args(["--seconds", "0.01", "--connections", "3", "--keys", "200"])
        .args(["--only", "commands", "--pipelines", "1"])
        .args(["--commands", "GET,XADD,XRANGE 10,MSET (10 keys)"])
        .args(["--resp3", "--cluster", "--tls", "--server"])
        .arg(server)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let printed = String::from_utf8(output.stdout).unwrap();
    for test in ["GET", "XADD", "XRANGE 10"] {
        assert!(printed.contains(test), "{printed}");
    }
    assert!(!printed.contains("MSET"), "{printed}");
}

#[test]
fn without_a_server_it_says_how_to_build_one() {
    let output = Command::new(env!("CARGO_BIN_EXE_tern-bench"))
        .args(["compare", "--server", "/nowhere/server"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("cargo build --release -p server"),
        "{errors}"
    );
}
