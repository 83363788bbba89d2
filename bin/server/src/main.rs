//! The server daemon: wiring of the engine to sockets, files, processes and clocks. Nothing here decides anything.
//!
//! `shell.rs` holds the engine and runs its turns, `connection.rs` is one client's task, `listen.rs` the listening sockets,
//! `host.rs` what the engine asks of the machine.

mod connection;
mod host;
mod listen;
mod shell;

use std::process::ExitCode;
use std::rc::Rc;

use anyhow::Context as _;
use engine::Engine;

use crate::host::Machine;
use crate::shell::Shell;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> anyhow::Result<ExitCode> {
    let log = logline::Log::install(logline::Role::Master, logline::Level::Notice)?;
    let _ = log;
    let machine = Machine::new();
    let seed = machine.entropy()?;
    store::set_hash_seed([seed[0], seed[1]]);
    let engine = Engine::new(
        machine.now(),
        commands::Settings::default(),
        16,
        seed[2],
        Box::new(machine.clone()),
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the event loop")?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async move {
        let shell = Rc::new(Shell::new(engine, machine));
        let port = std::env::args()
            .nth(2)
            .and_then(|port| port.parse().ok())
            .unwrap_or(6379);
        listen::tcp(&shell, &["127.0.0.1".to_owned()], port, 511)?;
        tracing::warn!("The server is now ready to accept connections on port {port}");
        Ok(ExitCode::from(shell.run().await))
    })
}
