//! Commands: throughput, the server's CPU time, and latency, at each pipeline length. The commands are those of `redis-benchmark`, on
//! keys of the same names.

use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::Bench;
use crate::load::Load;
use crate::program::{Program, Role, Running};
use crate::report::Table;
use crate::request::{Draw, Request, Script};
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

struct Test {
    name: &'static str,
    request: Request,
    before: Before,
    /// Whether the limit's figure says something: it cuts requests, and answers each with five bytes.
    of_limit: bool,
}

/// What is done before a measurement.
#[derive(Clone, Copy)]
enum Before {
    Nothing,
    /// A key is deleted, so that each round begins alike.
    Delete(&'static str),
    /// A list gets as many elements as there are keys, and not more are taken from it.
    List,
    /// A set gets as many members, and not more are taken from it.
    Set,
    /// A list has elements to be read.
    ListToRead,
    /// A stream has entries to be read.
    StreamToRead,
}

/// The tests in the order of the table: the name, the command, what goes before, and whether the limit's figure says something, which
/// answers each request with five bytes. `KEY`, `VALUE` and `MEMBER` stand for what the options make of them.
const TESTS: &[(&str, &str, Before, bool)] = &[
    (INLINE, "PING", Before::Nothing, true),
    ("PING", "PING", Before::Nothing, true),
    ("SET", "SET KEY VALUE", Before::Nothing, true),
    ("GET", "GET KEY", Before::Nothing, true),
    ("INCR", "INCR counter:@@@@@@@@@@@@", Before::Nothing, true),
    (
        "LPUSH",
        "LPUSH mylist VALUE",
        Before::Delete("mylist"),
        false,
    ),
    (
        "RPUSH",
        "RPUSH mylist VALUE",
        Before::Delete("mylist"),
        false,
    ),
    ("LPOP", "LPOP mylist", Before::List, false),
    ("RPOP", "RPOP mylist", Before::List, false),
    ("SADD", "SADD myset MEMBER", Before::Delete("myset"), false),
    ("SPOP", "SPOP myset", Before::Set, false),
    (
        "HSET",
        "HSET myhash MEMBER VALUE",
        Before::Delete("myhash"),
        false,
    ),
    (
        "ZADD",
        "ZADD myzset @@@@@@ MEMBER",
        Before::Delete("myzset"),
        false,
    ),
    (
        "XADD",
        "XADD mystream * field VALUE",
        Before::Delete("mystream"),
        false,
    ),
    (
        "XRANGE 10",
        "XRANGE mystream - + COUNT 10",
        Before::StreamToRead,
        false,
    ),
    (MSET, "MSET", Before::Nothing, true),
    (
        "LRANGE 100",
        "LRANGE mylist 0 99",
        Before::ListToRead,
        false,
    ),
    (
        "LRANGE 300",
        "LRANGE mylist 0 299",
        Before::ListToRead,
        false,
    ),
    (
        "LRANGE 500",
        "LRANGE mylist 0 499",
        Before::ListToRead,
        false,
    ),
    (
        "LRANGE 600",
        "LRANGE mylist 0 599",
        Before::ListToRead,
        false,
    ),
];

/// Elements of the list and the stream that are read.
const ELEMENTS_TO_READ: u64 = 10_000;
/// The test whose request is no array.
const INLINE: &str = "PING inline";
/// The test whose command takes ten keys.
const MSET: &str = "MSET (10 keys)";
/// The template of a set's member, a field, a sorted set's member.
const MEMBER: &str = "element:@@@@@@@@@@@@";

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
    let wanted = |test: &Test| {
        chosen.is_empty()
            || chosen
                .iter()
                .any(|name| name.eq_ignore_ascii_case(test.name))
    };
    // Ten keys are in ten slots, which a node of a cluster refuses.
    let possible = |test: &Test| !(bench.options.cluster && test.name == MSET);
    let tests: Vec<Test> = tests(bench)
        .into_iter()
        .filter(|test| possible(test) && wanted(test))
        .collect();
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

fn tests(bench: &Bench) -> Vec<Test> {
    let (key, value) = (bench.key(), bench.value());
    let draw = Draw::Below(bench.options.keys);
    let word = |word| match word {
        "KEY" => key.as_str(),
        "VALUE" => &value,
        "MEMBER" => MEMBER,
        word => word,
    };
    let tests = TESTS.iter().map(|&(name, line, before, of_limit)| {
        let mut args: Vec<&str> = line.split(' ').map(word).collect();
        if name == MSET {
            (0..10).for_each(|_| args.extend([key.as_str(), &value]));
        }
        let request = match name {
            INLINE => Request::raw(format!("{line}\r\n").into_bytes(), draw),
            _ => Request::new(&args, draw),
        };
        Test {
            name,
            request,
            before,
            of_limit,
        }
    });
    tests.collect()
}

/// One command on all servers, in turns.
fn measure(
    bench: &Bench,
    test: &Test,
    pipeline: usize,
    servers: &[(&Program, Running, TempDir)],
) -> Result<Vec<Measured>> {
    let measured = |program: &Program| program.role != Role::Limit || test.of_limit;
    let servers: Vec<_> = servers
        .iter()
        .filter(|(program, ..)| measured(program))
        .collect();
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
    test: &Test,
    pipeline: usize,
    program: &Program,
    server: &Running,
) -> Result<[f64; 5]> {
    let mut load = Load {
        pipeline,
        ..bench.load(server)
    };
    if program.role != Role::Limit {
        prepare(bench, test.before, server)?;
    }
    if let Before::List | Before::Set = test.before {
        // What is popped while warming up is missing afterwards.
        (load.requests, load.warm_up) = (bench.options.keys, Duration::ZERO);
    }
    let mut script = Script::new(vec![test.request.clone()]);
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

fn prepare(bench: &Bench, before: Before, server: &Running) -> Result<()> {
    /// Elements that a request of the filling has.
    const AT_ONCE: usize = 20;
    let keys = bench.options.keys;
    let (key, command, element, count) = match before {
        Before::Nothing => return Ok(()),
        Before::Delete(key) => {
            server.control()?.call(&["DEL", key])?;
            return Ok(());
        }
        Before::List => ("mylist", "RPUSH", bench.value(), keys),
        Before::ListToRead => ("mylist", "RPUSH", bench.value(), ELEMENTS_TO_READ),
        Before::StreamToRead => return fill_stream(bench, server),
        Before::Set => ("myset", "SADD", MEMBER.to_owned(), keys),
    };
    server.control()?.call(&["DEL", key])?;
    let mut args = vec![command, key];
    args.extend(std::iter::repeat_n(element.as_str(), AT_ONCE));
    bench.fill(
        server,
        Request::new(&args, Draw::Next(count)),
        count.div_ceil(AT_ONCE as u64),
    )
}

fn fill_stream(bench: &Bench, server: &Running) -> Result<()> {
    server.control()?.call(&["DEL", "mystream"])?;
    let entry = ["XADD", "mystream", "*", "field", &bench.value()];
    let request = Request::new(&entry, Draw::Next(ELEMENTS_TO_READ));
    bench.fill(server, request, ELEMENTS_TO_READ)
}

/// The figures of one pipeline length, a command per row.
fn table(bench: &Bench, pipeline: usize, tests: &[Test], measured: &[Measured]) -> Table {
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
