//! How a server dies: what its log says after a fault, a signal and a panic.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::os::unix::process::ExitStatusExt as _;

use tern_tests::daemon::Daemon;

/// The report in the log, which there is one of.
fn report(server: &Daemon) -> String {
    let log = server.log();
    assert_eq!(log.matches("BUG REPORT START").count(), 1, "{log}");
    let (_, report) = log.split_once("BUG REPORT START").unwrap();
    let (report, _) = report.split_once("BUG REPORT END").expect("a whole report");
    report.to_owned()
}

#[test]
fn a_signal_that_ends_the_server_is_reported() {
    for (name, number) in [
        ("SEGV", 11),
        ("ABRT", 6),
        ("BUS", 7),
        ("FPE", 8),
        ("ILL", 4),
    ] {
        let mut server = Daemon::server("save ''");
        server.signal(name);
        assert_eq!(server.ended().signal(), Some(number));
        let report = report(&server);
        for text in [
            format!("crashed by signal: {number} (SIG{name})"),
            "Killed by PID: ".to_owned(),
            "Running command: none".to_owned(),
            format!("Tern {}", env!("CARGO_PKG_VERSION")),
            "VmRSS:".to_owned(),
        ] {
            assert!(report.contains(&text), "no {text}: {report}");
        }
        // A place in the program's own file.
        assert!(report.matches("\n0x").count() > 3, "{report}");
    }
}

#[test]
fn a_fault_is_reported_with_its_address_and_its_command() {
    for logfile in ["", "logfile server.log"] {
        let mut server = Daemon::server(&format!("save ''\n{logfile}"));
        assert!(server.client().try_call("DEBUG SEGFAULT").is_err());
        assert_eq!(server.ended().signal(), Some(11));
        let report = if logfile.is_empty() {
            report(&server)
        } else {
            std::fs::read_to_string(server.dir().join("server.log")).unwrap()
        };
        for text in [
            "crashed by signal: 11 (SIGSEGV), si_code: 2",
            "Accessing address: 0x",
            "Crashed running the instruction at: 0x",
            "Running command: debug",
        ] {
            assert!(report.contains(text), "no {text}: {report}");
        }
    }
}

#[test]
fn a_panic_ends_the_server_and_is_reported() {
    let mut server = Daemon::server("save ''");
    let mut other = server.client();
    assert_eq!(other.text("SET k v"), "OK");
    assert!(server.client().try_call("DEBUG PANIC").is_err());
    assert_eq!(server.ended().signal(), Some(6));
    let report = report(&server);
    for text in [
        "panicked at bin/server/src/crash.rs",
        "DEBUG PANIC asked for it",
        "Running command: debug",
        // The names of functions.
        "on_panic",
    ] {
        assert!(report.contains(text), "no {text}: {report}");
    }
    assert!(other.try_call("GET k").is_err());
}
