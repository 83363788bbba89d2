//! What the program answers without becoming a server. Because this test is here, cargo builds the program for every test run.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::process::Command;

/// Whether it ended well, and all that it said.
fn run(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_server"))
        .args(arguments)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn the_version_is_one_line_that_scripts_can_read() {
    let (ok, said) = run(&["--version"]);
    assert!(ok);
    assert_eq!(said, run(&["-v"]).1);
    assert_eq!(said.lines().count(), 1);
    let build = format!("build=tern-{}", env!("CARGO_PKG_VERSION"));
    let words: Vec<&str> = said.split_whitespace().collect();
    assert!(words.contains(&build.as_str()), "{said}");
    assert!(words.iter().any(|word| word.starts_with("v=")), "{said}");
}

#[test]
fn help_names_every_way_to_call_it() {
    let (ok, said) = run(&["--help"]);
    assert!(ok);
    assert_eq!(said, run(&["-h"]).1);
    for way in ["--sentinel", "--version", "--check-aof", "--check-rdb"] {
        assert!(
            said.contains(&format!("server {way}")) || said.contains(&format!("| {way}")),
            "{said}"
        );
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    for arguments in [
        &["--check-rdb", "/no/such"][..],
        &["--check-aof", "/no/such"],
        &["/no/such"],
    ] {
        let (ok, said) = run(arguments);
        assert!(!ok, "{arguments:?}");
        assert!(said.contains("/no/such"), "{said}");
    }
}
