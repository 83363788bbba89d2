//! What the program answers before it asks any server. Because this test is here, cargo builds the program for every test run.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::process::Command;

/// The exit code, and all that it said.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_trib"))
        .args(arguments)
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn every_verb_of_the_help_has_a_help_of_its_own() {
    let (code, said) = run(&["--help"]);
    assert_eq!(code, Some(0));
    let after = said.split_once("Commands:\n").unwrap().1;
    let verbs = after.lines().take_while(|line| line.starts_with("  "));
    let verbs: Vec<&str> = verbs
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    for verb in [
        "create", "check", "doctor", "reshard", "backup", "restore", "local",
    ] {
        assert!(verbs.contains(&verb), "{verb} is not in {verbs:?}");
    }
    for verb in verbs.into_iter().filter(|verb| *verb != "help") {
        let (code, said) = run(&[verb, "--help"]);
        assert_eq!(code, Some(0), "{verb}: {said}");
        assert!(said.contains(&format!("Usage: trib {verb}")), "{said}");
    }
}

#[test]
fn what_it_does_not_know_is_named() {
    let (code, said) = run(&["no-such-verb"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("'no-such-verb'"), "{said}");
}
