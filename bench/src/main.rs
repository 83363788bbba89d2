//! `tern-bench`: the command line of the benchmark. `tern-bench compare` runs the whole comparison.

#![expect(clippy::print_stdout, reason = "what was measured is printed")]

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use tern_bench::machine::{self, Cores};
use tern_bench::options::{Flags, Options};
use tern_bench::program::{self, Launcher, Program, Role};
use tern_bench::sections::Bench;
use tern_bench::tls::Tls;
use tern_bench::{chart, limit, report, stats};

#[derive(Parser)]
#[command(version, about = "Measures this server beside the Redis in PATH")]
struct Cli {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Measure our server, every redis-server and valkey-server in PATH, and a server that does nothing; print tables
    Compare(Box<Flags>),
    /// Be the server that does nothing: cut requests, answer +OK
    Limit {
        /// The port on 127.0.0.1
        port: u16,
    },
    /// Prepare this process for a server and become it
    #[command(hide = true)]
    Become {
        #[arg(long)]
        core: Option<usize>,
        #[arg(long)]
        open_files: u64,
        #[arg(last = true, required = true)]
        program: Vec<String>,
    },
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Action::Compare(flags) => compare(&flags),
        Action::Limit { port } => limit::serve(port),
        Action::Become {
            core,
            open_files,
            program,
        } => program::become_program(core, open_files, &program),
    }
}

fn compare(flags: &Flags) -> Result<()> {
    let me = std::env::current_exe()?;
    let cores = match &flags.cores {
        Some(text) => Some(Cores::parse(text)?),
        None => Cores::choose()?,
    };
    let launcher = Launcher {
        me,
        core: cores.map(|cores| cores.server),
        port: flags.port,
        cluster: flags.cluster,
        tls: flags.tls.then(Tls::new).transpose()?,
    };
    if let Some(cores) = cores {
        machine::pin(cores.client)?;
    }
    let programs = programs(flags, &launcher)?;
    let head = head(&programs, cores);
    println!("{head}\n");
    let bench = Bench::new(Options::new(flags), launcher, programs);
    let findings = bench.run(|table| println!("{}\n", table.terminal()))?;
    if let Some(path) = &flags.markdown {
        let options = &bench.options;
        let rounds = format!(
            "Medians of {} rounds of {} s{}; {} connections{}{}{}, {} keys of {} bytes, values of {} bytes.",
            options.rounds,
            options.time.as_secs_f64(),
            if options.quick {
                " (a quick run: rough figures)"
            } else {
                ""
            },
            options.connections,
            if options.resp3 { " in RESP3" } else { "" },
            if flags.tls { " through TLS" } else { "" },
            if options.cluster {
                " to nodes of a cluster"
            } else {
                ""
            },
            stats::grouped(options.keys),
            options.key_bytes,
            options.value_bytes
        );
        let mut parts = vec![head, rounds];
        parts.extend(findings.tables.iter().map(report::Table::markdown));
        report::write_markdown(path, &parts.join("\n\n"))?;
    }
    if let Some(path) = &flags.svg {
        let svg = chart::throughput(&findings.commands)?;
        std::fs::write(path, svg).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Ours, those it is compared with, and the limit; each by the name and version that it gives itself.
fn programs(flags: &Flags, launcher: &Launcher) -> Result<Vec<Program>> {
    let ours = program::find_ours(flags.server.as_deref(), &launcher.me)?;
    let references = if flags.alone {
        Vec::new()
    } else {
        program::find_references(&flags.reference)
    };
    let found = std::iter::once((Role::Ours, ours))
        .chain(references.into_iter().map(|path| (Role::Reference, path)));
    let mut programs: Vec<Program> = Vec::new();
    for (role, path) in found {
        let mut program = Program {
            name: String::new(),
            version: String::new(),
            role,
            path,
        };
        let (server, _dir) = launcher.start_alone(&program, &[])?;
        let info = server.control()?.call(&["INFO"])?;
        program.version = program::version_of(&info);
        programs.push(program);
    }
    program::label(&mut programs);
    if !flags.alone {
        programs.push(Program {
            name: "limit".to_owned(),
            version: "the limit".to_owned(),
            role: Role::Limit,
            path: PathBuf::from(&launcher.me),
        });
    }
    Ok(programs)
}

fn head(programs: &[Program], cores: Option<Cores>) -> String {
    let names: Vec<&str> = programs.iter().map(|one| one.version.as_str()).collect();
    let pinned = match cores {
        Some(Cores { server, client }) => {
            format!("servers on core {server}, the load from core {client}")
        }
        None => "one core for everything: figures say little".to_owned(),
    };
    format!(
        "{}; {}; {pinned}.",
        names.join(", "),
        machine::description()
    )
}
