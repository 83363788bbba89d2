//! What the command line answers to words alone: usage, mistakes, and the lines of a console.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

use std::io::{Cursor, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use trib_cli::cli::Cli;
use trib_cli::console::Probe;
use trib_cli::{App, Console, Error};

fn read(line: &str) -> String {
    match Cli::read(line.split_whitespace().map(Into::into)) {
        Ok(_) => "accepted".into(),
        Err(instead) => format!("{} (exit status {})", instead.text, instead.status),
    }
}

#[test]
fn usage_lists_every_verb() {
    insta::assert_snapshot!(read("help"));
    assert_eq!(read("").replace("status 1", "status 0"), read("help"));
    assert_eq!(read("HELP"), read("help"));
}

#[test]
fn mistakes_get_one_line() {
    let lines = [
        "frobnicate",
        "check",
        "check a:1 b:2",
        "check --foo a:1",
        "create",
        "create --replicas",
        "create --replicas x a:1",
        "create --replicas -1 a:1",
        "create --replicas 1 --replicas 2 a:1",
        "reshard --slots many a:1",
        "reshard --slots -1 a:1",
        "reshard --pipeline 0 a:1",
        "rebalance --threshold much a:1",
        "import a:1",
        "set-timeout a:1 soon",
        "call a:1",
        "del-node a:1",
        "local",
        "local sideways",
    ];
    let answers: Vec<String> = lines
        .iter()
        .map(|line| format!("{line}\n  {}", read(line)))
        .collect();
    insta::assert_snapshot!(answers.join("\n"));
}

#[test]
fn options_stand_before_or_behind_the_addresses() {
    for line in [
        "create --replicas 1 a:1 b:2 c:3",
        "create a:1 b:2 c:3 --replicas 1",
        "reshard --from x --to y --slots 10 --yes a:1",
        "reshard a:1 --from x --to y --slots 10 --yes --timeout 100 --pipeline 5",
        "rebalance --weight x=1 --weight y=2 --use-empty-masters --auto-weights --simulate a:1",
        "add-node --slave --master-id x a:1 b:2",
        "import --from c:3 --copy --replace a:1",
        "CHECK a:1",
        "--verbose check a:1",
        "check -a secret a:1",
        "call a:1 config get --anything -x",
    ] {
        assert_eq!(read(line), "accepted", "{line}");
    }
}

#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn console(answers: &'static str, color: bool) -> (Console, Paper) {
    let paper = Paper::default();
    (
        Console::new(
            Box::new(Cursor::new(answers)),
            Box::new(paper.clone()),
            color,
        ),
        paper,
    )
}

#[test]
fn marks_have_the_recorded_colours() {
    let (mut console, paper) = console("", true);
    for line in [
        ">>> Creating cluster",
        "[OK] fine",
        "[ERR] bad",
        "[WARNING] hm",
        "*** note",
        "M: abc",
        "é",
    ] {
        console.line(line);
    }
    let expected = "\x1b[29;1m>>> Creating cluster\x1b[0m\n\x1b[32m[OK] fine\x1b[0m\n\x1b[31;1m[ERR] bad\x1b[0m\n\
                    \x1b[31;1m[WARNING] hm\x1b[0m\n\x1b[33m*** note\x1b[0m\nM: abc\né\n";
    assert_eq!(paper.text(), expected);
}

#[tokio::test]
async fn answers_are_lines_of_the_input() {
    let (mut console, paper) = console("YES\r\nno\n", false);
    console.confirm("Sure?").await.unwrap();
    assert!(matches!(
        console.confirm("Sure?").await,
        Err(Error::Aborted)
    ));
    assert!(matches!(
        console.confirm("Sure?").await,
        Err(Error::NoAnswer)
    ));
    let question = "Sure? (type 'yes' to accept): ";
    assert_eq!(paper.text(), format!("{question}{question}{question}\n"));
}

#[tokio::test]
async fn a_wait_ends_and_says_what_was_missing() {
    let (mut console, paper) = console("", false);
    let never = async || Ok(Probe::Pending("b:2 sleeps".into()));
    let error = console
        .wait("Waiting for b", Duration::ZERO, never)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "[ERR] Waiting for b: not done after 0 seconds (b:2 sleeps)"
    );
    let mut left = 2;
    let soon = async || {
        left -= 1;
        Ok(if left == 0 {
            Probe::Done
        } else {
            Probe::Pending("not yet".into())
        })
    };
    console
        .wait("Waiting for c", Duration::from_secs(60), soon)
        .await
        .unwrap();
    assert_eq!(paper.text(), "Waiting for c\n");
}

/// Runs a whole command line; what is printed, the error's line included.
async fn run(line: &str) -> String {
    let (console, paper) = console("", false);
    let mut app = App::new(console);
    let cli = Cli::read(line.split_whitespace().map(Into::into))
        .unwrap_or_else(|instead| panic!("{}", instead.text));
    if let Err(error) = cli.run(&mut app).await {
        app.console.line(&error.to_string());
    }
    paper.text()
}

#[tokio::test]
async fn bad_and_dead_addresses_are_named() {
    assert_eq!(
        run("check nonsense").await,
        "Invalid IP or Port (given as nonsense) - use IP:Port format\n"
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead = listener.local_addr().unwrap();
    drop(listener);
    let expected = format!("[ERR] Sorry, can't connect to node {dead}\n    Connection refused\n");
    assert_eq!(run(&format!("check {dead}")).await, expected);
    assert_eq!(
        run(&format!("create {dead} {dead} {dead}")).await,
        format!(">>> Creating cluster\n{expected}")
    );
    let expected = "Setting a node timeout of less than 100 milliseconds is a bad idea.\n";
    assert_eq!(run(&format!("set-timeout {dead} 99")).await, expected);
    assert_eq!(
        run("apply /nonexistent.yaml").await,
        "[ERR] /nonexistent.yaml: No such file or directory\n"
    );
}
