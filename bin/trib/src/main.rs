//! The cluster administration tool: wiring of the command line to the terminal and the clock.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use trib_cli::cli::Cli;
use trib_cli::execute::Interrupt;
use trib_cli::{App, Console};

/// What a shell reports for a process that an interrupt ended.
const INTERRUPTED: i32 = 130;

fn main() -> anyhow::Result<ExitCode> {
    let mut console = Console::of_process();
    let cli = match Cli::read(std::env::args_os().skip(1)) {
        Ok(cli) => cli,
        Err(instead) => {
            console.line(&instead.text);
            return Ok(exit_code(instead.status == 0));
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("can't start the runtime")?;
    let succeeded = runtime.block_on(async {
        let mut app = App::new(console);
        tokio::spawn(watch_interrupts(Arc::clone(&app.interrupt)));
        let result = cli.run(&mut app).await;
        if let Err(error) = &result {
            app.console.line(&error.to_string());
        }
        result.is_ok()
    });
    // A thread may still read the input: it is not waited for.
    runtime.shutdown_background();
    Ok(exit_code(succeeded))
}

/// The first interrupt lets a move finish what has begun; every other ends the process.
async fn watch_interrupts(interrupt: Arc<Interrupt>) {
    while tokio::signal::ctrl_c().await.is_ok() {
        if !interrupt.request_stop() {
            trib_cli::console::restore_terminal();
            std::process::exit(INTERRUPTED);
        }
    }
}

fn exit_code(succeeded: bool) -> ExitCode {
    if succeeded {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
