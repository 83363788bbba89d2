//! Tails: the latency of `GET` and `SET` while a child saves, and while the keyspace grows, beside that of a quiet server.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use super::Bench;
use crate::load::{Load, Outcome};
use crate::program::{Program, Running};
use crate::report::Table;
use crate::request::{Draw, Request, Script};
use crate::stats::{figure, grouped, median, ratio, times};

/// Requests sent at once while the keyspace grows: it is to grow in seconds.
const GROWING_PIPELINE: usize = 16;

/// Thousands per second, then microseconds at 50 %, 99 %, 99.9 % and the longest.
type Figures = [f64; 5];

pub(super) fn run(bench: &Bench) -> Result<Table> {
    let options = &bench.options;
    let header = [
        "server",
        "while",
        "k/s",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "longest µs",
        "p99.9 ÷ quiet",
    ];
    let mut table = Table::new(
        "Tails: GET and SET in turns",
        header.map(str::to_owned).to_vec(),
    );
    let saved = format!("{} keys", grouped(options.saved_keys));
    let grown = format!(
        "{} to {} keys",
        grouped(options.keys),
        grouped(options.grown_keys)
    );
    for program in bench.servers() {
        bench.note(format_args!("tails: {}: BGSAVE of {saved}", program.name));
        let rounds = saving(bench, program).with_context(|| program.name.clone())?;
        rows(
            &mut table,
            program,
            &rounds,
            [format!("quiet, {saved}"), format!("BGSAVE of {saved}")],
        );
        bench.note(format_args!(
            "tails: {}: growing from {grown}",
            program.name
        ));
        let rounds = growing(bench, program).with_context(|| program.name.clone())?;
        rows(
            &mut table,
            program,
            &rounds,
            [
                format!("quiet, pipeline {GROWING_PIPELINE}"),
                format!("growing from {grown}, pipeline {GROWING_PIPELINE}"),
            ],
        );
    }
    table.notes.push(
        "The child that saves has no core of its own here: it shares the server's. Quiet rounds are as long as the others.".to_owned(),
    );
    Ok(table)
}

/// Quiet, and while a child saves; both for as long as that takes: what stops the machine now and then is to count in both.
fn saving(bench: &Bench, program: &Program) -> Result<Vec<[Figures; 2]>> {
    let (server, _dir) = bench.launcher.start_alone(program, &[])?;
    let keys = bench.options.saved_keys;
    bench.fill_strings(&server, keys)?;
    (0..bench.options.rounds)
        .map(|_| {
            let busy = while_saving(bench, &server)?;
            let quiet = Load {
                time: busy.elapsed,
                ..bench.load(&server)
            };
            let quiet = bench.measure(&server, &quiet, &mut bench.mix(keys))?;
            Ok([figures(&quiet), figures(&busy)])
        })
        .collect()
}

fn while_saving(bench: &Bench, server: &Running) -> Result<Outcome> {
    let mut control = server.control()?;
    let saved = AtomicBool::new(false);
    let load = Load {
        warm_up: Duration::ZERO,
        time: Duration::from_secs(300),
        stop: Some(&saved),
        ..bench.load(server)
    };
    std::thread::scope(|scope| {
        let saver = scope.spawn(|| {
            let done = save(&mut control);
            // Also when it failed: the load is not to go on.
            saved.store(true, Ordering::Relaxed);
            done
        });
        let outcome = bench.measure(server, &load, &mut bench.mix(bench.options.saved_keys));
        saver
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        outcome
    })
}

/// Starts a child that saves, and waits for its end.
fn save(control: &mut crate::control::Control) -> Result<()> {
    control.call(&["BGSAVE"])?;
    while control.info_number("rdb_bgsave_in_progress")? != 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Quiet, and while every second request is a `SET` of a new key; as many requests in both. A server is used once: it is full
/// afterwards.
fn growing(bench: &Bench, program: &Program) -> Result<Vec<[Figures; 2]>> {
    let options = &bench.options;
    let grow_by = options.grown_keys.saturating_sub(options.keys);
    (0..options.rounds)
        .map(|_| {
            let (server, _dir) = bench.launcher.start_alone(program, &[])?;
            bench.fill_strings(&server, options.keys)?;
            let load = Load {
                pipeline: GROWING_PIPELINE,
                warm_up: Duration::ZERO,
                time: Duration::from_secs(600),
                requests: grow_by.saturating_mul(2),
                ..bench.load(&server)
            };
            let key = bench.key();
            let mut script = Script::new(vec![
                Request::new(&["GET", &key], Draw::Passed),
                Request::new(&["SET", &key, &bench.value()], Draw::Next(u64::MAX)),
            ])
            .starting_at(options.keys);
            let quiet = bench.measure(&server, &load, &mut bench.mix(options.keys))?;
            let growing = bench.measure(&server, &load, &mut script)?;
            Ok([figures(&quiet), figures(&growing)])
        })
        .collect()
}

fn figures(outcome: &Outcome) -> Figures {
    #[expect(clippy::cast_precision_loss, reason = "printed with three digits")]
    let thousands = outcome.replies as f64 / 1e3;
    [
        thousands / outcome.elapsed.as_secs_f64(),
        outcome.percentile(50.0),
        outcome.percentile(99.0),
        outcome.percentile(99.9),
        outcome.percentile(100.0),
    ]
}

/// The medians of the quiet rounds, and of the others.
fn rows(table: &mut Table, program: &Program, rounds: &[[Figures; 2]], names: [String; 2]) {
    let middle = |which: usize| -> Figures {
        std::array::from_fn(|figure| {
            median(rounds.iter().map(|round| round[which][figure])).unwrap_or_default()
        })
    };
    let [quiet, busy] = [middle(0), middle(1)];
    for ((name, figures), tail) in names
        .into_iter()
        .zip([quiet, busy])
        .zip([None, ratio(busy[3], quiet[3])])
    {
        let mut row = vec![program.name.clone(), name];
        row.extend(figures.map(figure));
        row.push(times(tail));
        table.rows.push(row);
    }
}
