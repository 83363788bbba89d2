//! Writes manual pages and shell completions into a folder, for packages: `cargo run -p manual -- target/manual`.
//!
//! The pages of the commands come from their command lines, that of the configuration from the table of directives.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Arg, ArgAction, Command, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

fn main() -> anyhow::Result<()> {
    let dir = std::env::args_os().nth(1).context("Usage: manual FOLDER")?;
    write_all(Path::new(&dir))
}

fn write_all(dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    for program in [server(), sentinel(), trib()] {
        let page = dir.join(format!("{}.1", program.get_name()));
        let mut text = Vec::new();
        Man::new(program.clone()).render(&mut text)?;
        fs::write(&page, text).with_context(|| page.display().to_string())?;
    }
    fs::write(dir.join("tern.conf.5"), directives())?;
    for program in [
        with_directives(server()),
        with_directives(sentinel()),
        trib(),
    ] {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            complete(program.clone(), shell, dir)?;
        }
    }
    Ok(())
}

fn complete(mut program: Command, shell: Shell, dir: &Path) -> anyhow::Result<PathBuf> {
    let name = program.get_name().to_owned();
    Ok(clap_complete::generate_to(shell, &mut program, name, dir)?)
}

/// The cluster tool, by the name that it is installed under.
fn trib() -> Command {
    trib_cli::cli::command()
        .name("tern-trib")
        .bin_name("tern-trib")
}

fn daemon(name: &'static str, about: &'static str, file: &'static str) -> Command {
    Command::new(name)
        .version(env!("CARGO_PKG_VERSION"))
        .about(about)
        .disable_version_flag(true)
        .arg(
            Arg::new("file")
                .help(file)
                .value_hint(ValueHint::FilePath),
        )
        .arg(
            Arg::new("version")
                .short('v')
                .long("version")
                .action(ArgAction::SetTrue)
                .help("Show the version"),
        )
        .after_help(
            "Every directive of tern.conf(5) can be given as an option as well, behind the file: --port 6380 --loglevel verbose.",
        )
}

fn server() -> Command {
    let check = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .help(help)
            .value_hint(ValueHint::FilePath)
    };
    daemon(
        "tern-server",
        "A server in the dialect of Valkey 9.1 and Redis 7.2",
        "The configuration file; - for standard input. Without one, the defaults, port 6379",
    )
    .arg(check("check-rdb", "Check a dump, and end"))
    .arg(check(
        "check-aof",
        "Check an append-only file or its manifest, and end",
    ))
}

fn sentinel() -> Command {
    daemon(
        "tern-sentinel",
        "Watches masters and their replicas, and fails over",
        "The configuration file, which is also where the state is kept",
    )
}

/// The same with all directives as options, for completions.
fn with_directives(program: Command) -> Command {
    conf::all()
        .filter(|directive| directive.unused_because().is_none())
        .fold(program, |program, directive| {
            let name = directive.name();
            if program.get_arguments().any(|arg| arg.get_id() == name) {
                return program;
            }
            program.arg(Arg::new(name).long(name).help(directive.about()))
        })
}

/// tern.conf(5)
fn directives() -> String {
    let mut page = Roff::new();
    page.control("TH", ["tern.conf", "5", "", "Tern", ""]);
    page.control("SH", ["NAME"]);
    page.text([roman(
        "tern.conf - the configuration of tern-server and tern-sentinel",
    )]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([roman(
        "A line is a name and its values; values with blanks stand in quotes, and # begins a comment. The same directives work on the \
         command line behind two dashes and, where it is not said otherwise, with CONFIG SET. Sizes take k, kb, m, mb, g, gb.",
    )]);
    page.control("SH", ["DIRECTIVES"]);
    for directive in conf::all() {
        page.control("TP", []);
        let mut head = vec![bold(directive.name())];
        if let Some(other) = directive.other_name() {
            head.extend([roman(" ("), bold(other), roman(")")]);
        }
        page.text(head);
        let about = match directive.unused_because() {
            Some(why) => format!("Accepted without effect: {why}"),
            None => directive.about(),
        };
        page.text([roman(about)]);
    }
    page.control("SH", ["SEE ALSO"]);
    let pages = ["tern-server(1), ", "tern-sentinel(1), ", "tern-trib(1)"];
    page.text(pages.map(italic));
    page.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_completions_name_what_there_is() {
        let dir = tempfile::tempdir().unwrap();
        write_all(dir.path()).unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        for (name, words) in [
            ("tern-server.1", &["check\\-rdb", "tern.conf(5)"][..]),
            ("tern-sentinel.1", &["fails over"]),
            ("tern-trib.1", &["rebalance", "backup"]),
            (
                "tern.conf.5",
                &["appendfsync", "metrics\\-port", "slave\\-priority"],
            ),
            ("tern-server.bash", &["--appendonly", "--check-aof"]),
            ("tern-sentinel.fish", &["loglevel"]),
            ("tern-trib.bash", &["reshard", "--replicas"]),
            ("_tern-trib", &["add-node"]),
            ("_tern-server", &["--maxmemory"]),
        ] {
            let text = read(name);
            for word in words {
                assert!(text.contains(word), "{word} is not in {name}");
            }
        }
    }
}
