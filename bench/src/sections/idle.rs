//! Idle connections: what each costs the server, and whether connections among them that send are served without a drop.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Bench;
use super::memory::settled;
use crate::load::Load;
use crate::machine;
use crate::program::{Program, Running};
use crate::report::Table;
use crate::stats::{figure, grouped};

/// Files that are open besides connections, here or in a server.
const OTHER_FILES: u64 = 128;

pub(super) fn run(bench: &Bench) -> Result<Table> {
    let options = &bench.options;
    let header = [
        "server",
        "heap bytes each",
        "resident bytes each",
        "k/s of the active",
        "p99.9 µs",
        "active closed",
        "idle still served",
    ];
    let mut table = Table::new("Idle connections", header.map(str::to_owned).to_vec());
    let active = options.active as u64;
    let files = machine::raise_open_files(options.idle + active + OTHER_FILES)?;
    let idle = options.idle.min(files.saturating_sub(active + OTHER_FILES));
    if idle < options.idle {
        table.notes.push(format!(
            "This user may open {} files: {} idle connections instead of {}.",
            grouped(files),
            grouped(idle),
            grouped(options.idle)
        ));
    }
    if idle == 0 {
        table.notes.push("Skipped.".to_owned());
        return Ok(table);
    }
    for program in bench.servers() {
        bench.note(format_args!("{idle} idle connections: {}", program.name));
        let row = measure(bench, program, idle).with_context(|| program.name.clone())?;
        table.rows.push(row);
    }
    table.notes.push(format!(
        "{} idle connections, each of which had sent one request; then {} more that send GET and SET in turns.",
        grouped(idle),
        grouped(active)
    ));
    Ok(table)
}

fn measure(bench: &Bench, program: &Program, idle: u64) -> Result<Vec<String>> {
    let active = bench.options.active;
    let clients = (idle + active as u64 + 32).to_string();
    let more = ["--maxclients".to_owned(), clients];
    let (server, _dir) = bench.launcher.start_alone(program, &more)?;
    bench.fill_strings(&server, 1000)?;
    let mut control = server.control()?;
    let quiet = bench.options.settle;
    // The question itself allocates a little.
    let mut sizes = || -> Result<(u64, u64)> {
        let heap = settled(quiet, 4096, || control.info_number("used_memory"))?;
        Ok((heap, machine::resident_bytes(server.pid())?))
    };
    let before = sizes()?;
    let connections: Result<Vec<TcpStream>> = (0..idle).map(|_| connect(&server)).collect();
    let mut connections = connections?;
    let after = sizes()?;
    let load = Load {
        connections: active,
        time: bench.options.time * 3,
        ..bench.load(&server)
    };
    let outcome = load.run(&mut bench.mix(1000), &mut || server.cpu())?;
    let served = connections
        .iter_mut()
        .filter_map(|connection| ping(connection).ok())
        .count();
    #[expect(clippy::cast_precision_loss, reason = "printed with three digits")]
    let each = |bytes: u64| figure(bytes as f64 / idle as f64);
    #[expect(clippy::cast_precision_loss, reason = "printed with three digits")]
    let thousands = outcome.replies as f64 / 1e3;
    Ok(vec![
        program.name.clone(),
        each(after.0.saturating_sub(before.0)),
        each(after.1.saturating_sub(before.1)),
        figure(thousands / outcome.elapsed.as_secs_f64()),
        figure(outcome.percentile(99.9)),
        outcome.dropped.to_string(),
        format!("{} of {}", grouped(served as u64), grouped(idle)),
    ])
}

/// A connection that has been used once.
fn connect(server: &Running) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(server.address())?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    ping(&mut stream)?;
    Ok(stream)
}

fn ping(stream: &mut TcpStream) -> Result<()> {
    let mut pong = [0; 7];
    stream.write_all(b"PING\r\n")?;
    stream.read_exact(&mut pong)?;
    Ok(())
}
