//! Saving and loading: the seconds that `SAVE` takes, and those from a server's start with the file to its first answer.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::memory::{Content, collections, strings};
use super::{Bench, compared, compared_header};
use crate::program::Program;
use crate::report::Table;
use crate::stats::{self, median};

pub(super) fn run(bench: &Bench) -> Result<Table> {
    let servers: Vec<&Program> = bench.servers().collect();
    let mut table = Table::new(
        "Saving and loading: seconds",
        compared_header("content", &servers),
    );
    let kinds = std::iter::once(strings(bench)).chain(collections(bench));
    for content in kinds {
        let name = content
            .name
            .split(['(', ','])
            .next()
            .unwrap_or_default()
            .trim();
        bench.note(format_args!("saving and loading: {name}"));
        let (mut saves, mut loads) = (Vec::new(), Vec::new());
        for program in &servers {
            let (save, load) = save_and_load(bench, program, &content)
                .with_context(|| format!("{} on {}", content.name, program.name))?;
            saves.push(save);
            loads.push(load);
        }
        table.rows.push(compared(&format!("save, {name}"), &saves));
        table.rows.push(compared(&format!("load, {name}"), &loads));
    }
    table.notes.push(format!(
        "{} keys, or elements of one collection. Loading counts from the start of the process to its first answer.",
        stats::grouped(bench.options.keys)
    ));
    Ok(table)
}

/// The median seconds of both.
fn save_and_load(bench: &Bench, program: &Program, content: &Content) -> Result<(f64, f64)> {
    let dir = TempDir::new()?;
    let server = bench.launcher.start(program, dir.path(), &[])?;
    content.fill(bench, &server)?;
    let mut control = server.control()?;
    let keys = control.call(&["DBSIZE"])?;
    let (mut saves, mut loads) = (Vec::new(), Vec::new());
    for _ in 0..bench.options.rounds {
        let start = Instant::now();
        control.call(&["SAVE"])?;
        saves.push(start.elapsed().as_secs_f64());
    }
    drop((control, server));
    for _ in 0..bench.options.rounds {
        let start = Instant::now();
        let server = bench.launcher.start(program, dir.path(), &[])?;
        loads.push(start.elapsed().as_secs_f64());
        let loaded = server.control()?.call(&["DBSIZE"])?;
        ensure!(loaded == keys, "not all keys were loaded");
    }
    let middle = |seconds| median(seconds).unwrap_or_default();
    Ok((middle(saves), middle(loads)))
}
