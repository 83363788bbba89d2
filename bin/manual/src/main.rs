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
use conf::{Directive, ServerConfig};
use jiff::Timestamp;

fn main() -> anyhow::Result<()> {
    let dir = std::env::args_os().nth(1).context("Usage: manual FOLDER")?;
    write_all(Path::new(&dir))
}

fn write_all(dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    for program in [server(), sentinel(), trib()] {
        let path = dir.join(format!("{}.1", program.get_name()));
        fs::write(&path, page(&program)?).with_context(|| path.display().to_string())?;
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

/// The day that the pages are of: that of `SOURCE_DATE_EPOCH` where it is set, otherwise today.
fn date() -> String {
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok();
    let second = epoch.and_then(|text| text.parse().ok());
    let time = second.and_then(|second| Timestamp::from_second(second).ok());
    let time = time.unwrap_or_else(Timestamp::now);
    time.strftime("%Y-%m-%d").to_string()
}

/// A program's page. What it does by subcommands is told in the page itself.
fn page(program: &Command) -> anyhow::Result<Vec<u8>> {
    let verbs: Vec<Command> = program
        .get_subcommands()
        .filter(|verb| !verb.is_hide_set() && verb.get_name() != "help")
        .cloned()
        .collect();
    let man = Man::new(program.clone()).date(date());
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    if verbs.is_empty() {
        man.render_synopsis_section(&mut text)?;
    } else {
        let mut synopsis = Roff::new();
        synopsis.control("SH", ["SYNOPSIS"]);
        let name = program.get_name();
        synopsis.text([bold(name), roman(" command [options] [arguments]")]);
        synopsis.to_writer(&mut text)?;
    }
    man.render_description_section(&mut text)?;
    if !verbs.is_empty() {
        let mut commands = Roff::new();
        commands.control("SH", ["COMMANDS"]);
        for verb in verbs {
            describe(&mut commands, program.get_name(), verb);
        }
        commands.to_writer(&mut text)?;
    }
    man.render_options_section(&mut text)?;
    man.render_extra_section(&mut text)?;
    man.render_version_section(&mut text)?;
    Ok(text)
}

/// A command of a program: how it is called, what it does, and its arguments. Options of the whole program are told elsewhere.
fn describe(page: &mut Roff, program: &str, verb: Command) {
    let name = format!("{program} {}", verb.get_name());
    let mut verb = verb.bin_name(&name).disable_help_flag(true);
    let nested: Vec<Command> = verb.get_subcommands().cloned().collect();
    if !nested.is_empty() {
        for inner in nested.into_iter().filter(|one| one.get_name() != "help") {
            describe(page, &name, inner);
        }
        return;
    }
    let usage = verb.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    page.control("SS", [usage]);
    let about = verb.get_about().map(ToString::to_string);
    page.text([roman(about.unwrap_or_default())]);
    for arg in verb.get_arguments().filter(|arg| !arg.is_hide_set()) {
        let Some(help) = arg.get_help() else {
            continue;
        };
        page.control("TP", []);
        let values: Vec<String> = arg
            .get_value_names()
            .unwrap_or_default()
            .iter()
            .map(|value| format!("<{value}>"))
            .collect();
        let takes = arg.get_action().takes_values();
        let values = if takes {
            values.join(" ")
        } else {
            String::new()
        };
        match arg.get_long() {
            Some(long) => page.text([bold(format!("--{long}")), roman(" "), italic(values)]),
            None => page.text([italic(values)]),
        };
        page.text([roman(help.to_string())]);
    }
}

fn complete(mut program: Command, shell: Shell, dir: &Path) -> anyhow::Result<PathBuf> {
    let name = program.get_name().to_owned();
    let path = clap_complete::generate_to(shell, &mut program, &name, dir)?;
    if shell == Shell::Bash {
        // It takes the dash of the program's name for the one of a subcommand in one of two places.
        let (wrong, right) = (name.replace('-', "__subcmd__"), name.replace('-', "__"));
        let text = fs::read_to_string(&path)?.replace(&wrong, &right);
        fs::write(&path, text)?;
    }
    Ok(path)
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
    page.control("TH", ["tern.conf", "5", &date(), "Tern", ""]);
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
    let mut all: Vec<_> = conf::all().collect();
    all.sort_by_key(|directive| directive.name());
    for directive in all {
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
        page.control("br", []);
        page.text([roman(facts(directive))]);
    }
    page.control("SH", ["SENTINEL"]);
    page.text([roman(
        "The statements of a sentinel, sentinel monitor and its like, are shown in /etc/tern/sentinel.conf and explained in \
         /usr/share/doc/tern/docs/sentinel.md.",
    )]);
    page.control("SH", ["SEE ALSO"]);
    let pages = ["tern-server(1), ", "tern-sentinel(1), ", "tern-trib(1)"];
    page.text(pages.map(italic));
    page.render()
}

/// Default, values, when it can be set and since when there is such a directive.
fn facts(directive: &Directive) -> String {
    let default = directive.value(&ServerConfig::default());
    let default = match String::from_utf8_lossy(&default) {
        text if text.is_empty() => "none".to_owned(),
        text => text.into_owned(),
    };
    let set = match directive {
        known if !known.is_parameter() || known.is_fixed() => "at start only",
        known if known.is_protected() => {
            "at start; with CONFIG SET where enable-protected-configs allows it"
        }
        _ => "at any time",
    };
    let (values, since) = (directive.values(), directive.since());
    format!("Default: {default}. Values: {values}. Set {set}. Since {since}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bash_completes_what_each_command_takes() {
        let dir = tempfile::tempdir().unwrap();
        let path = complete(trib(), Shell::Bash, dir.path()).unwrap();
        let text = fs::read_to_string(path).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let commands = lines.iter().filter_map(|line| line.strip_prefix("cmd=\""));
        let commands: Vec<&str> = commands.filter_map(|line| line.strip_suffix('"')).collect();
        for command in commands.iter().filter(|command| !command.is_empty()) {
            let case = format!("{command})");
            assert!(lines.contains(&case.as_str()), "no {case}");
        }
        assert!(commands.len() > 20, "{commands:?}");
    }

    #[test]
    fn pages_and_completions_name_what_there_is() {
        let dir = tempfile::tempdir().unwrap();
        write_all(dir.path()).unwrap();
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        for (name, words) in [
            ("tern-server.1", &["check\\-rdb", "tern.conf(5)"][..]),
            ("tern-sentinel.1", &["fails over"]),
            (
                "tern-trib.1",
                &["rebalance", "backup", "local up", "any node of a cluster"],
            ),
            (
                "tern.conf.5",
                &[
                    "appendfsync",
                    "metrics\\-port",
                    "slave\\-priority",
                    "Default: everysec. Values: everysec, always, no.",
                ],
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
