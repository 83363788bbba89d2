//! Interop: today's drivers with their default settings against the server. `TERN_DRIVERS` names a folder with `bin/python` (redis and valkey
//! installed) and `node_modules` (redis and ioredis); CI makes it. Without it the group says that it is skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use tern_tests::daemon::Daemon;

#[expect(clippy::print_stderr, reason = "a group that is skipped says so")]
fn drivers() -> Option<PathBuf> {
    let folder = std::env::var_os("TERN_DRIVERS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: TERN_DRIVERS names no folder with drivers");
    }
    folder
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("drivers")
        .join(name)
}

fn passes(program: &Path, arguments: &[&str]) {
    let output = Command::new(program)
        .args(arguments)
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
        let path = script("redis_py.py");
        passes(
            &folder.join("bin/python"),
            &[&path.to_string_lossy(), &port, driver],
        );
    }
}

#[test]
fn node_drivers_do_their_work() {
    let Some(folder) = drivers() else { return };
    let server = Daemon::server("save \"\"");
    let port = server.port.to_string();
    let path = script("node.mjs");
    passes(
        Path::new("node"),
        &[&path.to_string_lossy(), &port, &folder.to_string_lossy()],
    );
}
