//! Commands: throughput, the server's CPU time, and latency, at each pipeline length.

use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::Bench;
use super::workloads::{self, Workload};
use crate::load::Load;
use crate::program::{Program, Role, Running};
use crate::report::Table;
use crate::request::Script;
use crate::stats::{self, figure, median, ratio, times};

/// The figures of one command on one server: medians of the rounds.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The command.
    pub command: String,
    /// Requests sent at once.
    pub pipeline: usize,
    /// The server.
    pub program: Program,
    /// Commands per second.
    pub per_second: f64,
    /// The server's CPU time per command, in microseconds.
    pub cpu_us: f64,
    /// Latency in microseconds: half of the requests, 99 % and 99.9 % of them took no longer.
    pub latency_us: [f64; 3],
}

pub(super) fn run(bench: &Bench) -> Result<(Vec<Table>, Vec<Measured>)> {
    let mut servers = Vec::new();
    for program in &bench.programs {
        let (server, dir) = bench.launcher.start_alone(program, &[])?;
        if program.role != Role::Limit {
            bench.fill_strings(&server, bench.options.keys)?;
        }
        servers.push((program, server, dir));
    }
    bench.contention.take();
    let chosen = &bench.options.commands;
    let wanted = |test: &Workload| {
        chosen.is_empty()
            || chosen
                .iter()
                .any(|name| name.eq_ignore_ascii_case(test.name))
    };
    let tests: Vec<Workload> = workloads::all(bench).into_iter().filter(wanted).collect();
    let (mut tables, mut all) = (Vec::new(), Vec::new());
    for &pipeline in &bench.options.pipelines {
        let mut measured = Vec::new();
        for test in &tests {
            bench.note(format_args!("{}, pipeline {pipeline}", test.name));
            measured.extend(measure(bench, test, pipeline, &servers)?);
        }
        let mut table = table(bench, pipeline, &tests, &measured);
        table.notes.extend(bench.contention.take().note());
        tables.push(table);
        all.extend(measured);
    }
    Ok((tables, all))
}

/// One command on all servers, in turns.
fn measure(
    bench: &Bench,
    test: &Workload,
    pipeline: usize,
    all: &[(&Program, Running, TempDir)],
) -> Result<Vec<Measured>> {
    let mut servers = Vec::new();
    for one @ (program, server, _) in all {
        let measured = match program.role {
            Role::Limit => test.of_limit,
            _ => test.is_known_to(server)?,
        };
        if measured {
            servers.push(one);
        }
    }
    let mut rounds = vec![Vec::new(); servers.len()];
    for _ in 0..bench.options.rounds {
        for ((program, server, _), rounds) in servers.iter().zip(&mut rounds) {
            let figures = measure_once(bench, test, pipeline, program, server);
            rounds.push(figures.with_context(|| format!("{} on {}", test.name, program.name))?);
        }
    }
    let middle = |rounds: &[[f64; 5]], figure: usize| {
        median(rounds.iter().map(|figures| figures[figure])).unwrap_or_default()
    };
    let medians = servers
        .iter()
        .zip(&rounds)
        .map(|((program, ..), rounds)| Measured {
            command: test.name.to_owned(),
            pipeline,
            program: (*program).clone(),
            per_second: middle(rounds, 0),
            cpu_us: middle(rounds, 1),
            latency_us: [2, 3, 4].map(|figure| middle(rounds, figure)),
        });
    Ok(medians.collect())
}

/// Commands per second, CPU microseconds, and the latencies.
fn measure_once(
    bench: &Bench,
    test: &Workload,
    pipeline: usize,
    program: &Program,
    server: &Running,
) -> Result<[f64; 5]> {
    let mut load = Load {
        pipeline,
        ..bench.load(server)
    };
    if program.role != Role::Limit {
        test.prepare(bench, server)?;
    }
    if test.before.is_used_up() {
        // What is taken while warming up is missing afterwards.
        (load.requests, load.warm_up) = (bench.options.keys, Duration::ZERO);
    }
    let mut script = Script::new(test.requests.clone());
    let outcome = bench.measure(server, &load, &mut script)?;
    #[expect(clippy::cast_precision_loss, reason = "printed with three digits")]
    let count = outcome.replies.max(1) as f64;
    Ok([
        count / outcome.elapsed.as_secs_f64(),
        outcome.cpu.as_secs_f64() * 1e6 / count,
        outcome.percentile(50.0),
        outcome.percentile(99.0),
        outcome.percentile(99.9),
    ])
}

/// The figures of one pipeline length, a command per row.
fn table(bench: &Bench, pipeline: usize, tests: &[Workload], measured: &[Measured]) -> Table {
    let programs = &bench.programs;
    let others = &programs[1..];
    let references = || others.iter().filter(|other| other.role == Role::Reference);
    let mut header = vec!["command".to_owned()];
    header.extend(programs.iter().map(|one| format!("{} k/s", one.name)));
    header.extend(references().map(|one| format!("k/s ÷ {}", one.name)));
    header.extend(programs.iter().map(|one| format!("{} CPU µs", one.name)));
    header.extend(others.iter().map(|one| format!("CPU ÷ {}", one.name)));
    header.extend(
        bench
            .servers()
            .map(|one| format!("{} µs p50 / p99 / p99.9", one.name)),
    );
    let mut table = Table::new(format!("Commands, pipeline {pipeline}"), header);
    for test in tests {
        let of = |program: &Program| {
            measured
                .iter()
                .find(|one| one.command == test.name && one.program.name == program.name)
        };
        let Some(ours) = of(&programs[0]) else {
            continue;
        };
        let cell = |program, show: &dyn Fn(&Measured) -> String| {
            of(program).map_or_else(|| times(None), show)
        };
        let mut row = vec![test.name.to_owned()];
        row.extend(
            programs
                .iter()
                .map(|one| cell(one, &|it| figure(it.per_second / 1e3))),
        );
        row.extend(
            references().map(|one| cell(one, &|it| times(ratio(ours.per_second, it.per_second)))),
        );
        row.extend(
            programs
                .iter()
                .map(|one| cell(one, &|it| figure(it.cpu_us))),
        );
        row.extend(
            others
                .iter()
                .map(|one| cell(one, &|it| times(ratio(ours.cpu_us, it.cpu_us)))),
        );
        row.extend(
            bench
                .servers()
                .map(|one| cell(one, &|it| it.latency_us.map(stats::figure).join(" / "))),
        );
        table.rows.push(row);
    }
    table
}
