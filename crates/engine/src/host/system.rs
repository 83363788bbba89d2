//! The process and the machine that it runs on, as the engine asks for them: clock, memory, entropy, log.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::{Engine, LinkId, Running};

/// How a process ends that is told to crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// It touches memory that it may not touch.
    Fault,
    /// It aborts.
    Abort,
    /// It panics.
    Panic,
}

/// What INFO tells about the process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// `Linux 6.1.0 x86_64`
    pub os: String,
    /// The configuration file's absolute path, or nothing.
    pub config_file: String,
    /// The program's absolute path, or nothing.
    pub executable: String,
    /// Resident bytes.
    pub rss: usize,
    /// Bytes that the allocator has handed out, those of the pages they are on, and those that it keeps in memory.
    pub allocator: [usize; 3],
    /// The machine's memory, bytes.
    pub total_memory: usize,
    /// System, user, and the same of ended children.
    pub cpu_seconds: [f64; 4],
    /// System and user time of the thread that serves.
    pub main_thread_cpu_seconds: [f64; 2],
    /// Sockets that MIGRATE keeps.
    pub migrate_sockets: usize,
    /// Values that another thread has still to free.
    pub unfreed: usize,
}

/// A certificate that TLS goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownCertificate {
    /// Its serial number, hexadecimal.
    pub serial: String,
    /// Its end, Unix seconds.
    pub not_after: u64,
}

/// How the shell serves others while a script keeps the engine to itself.
pub trait Meanwhile: fmt::Debug {
    /// Accepts who waits at the door and hands over what has come, without waiting for anything. It is called in the middle of a
    /// turn, so the time is not told: only [`Engine::accept`], [`Engine::serves_meanwhile`], [`Engine::receive_meanwhile`] and
    /// [`Engine::output`] are for it.
    fn serve(&self, engine: &mut Engine);
}

/// The process and its machine. No deadline hangs on this clock: those are in the time that a turn is told ([`crate::Now`]).
pub trait System: fmt::Debug {
    /// Nanoseconds on a clock that never goes back. Measures commands; decides nothing.
    fn mono_ns(&self) -> u64;

    /// The same clock in microseconds.
    fn mono_us(&self) -> u64 {
        self.mono_ns() / 1000
    }

    /// Stops the process until somebody has it go on (DEBUG PAUSE-AFTER-FORK).
    fn stop(&mut self) {}

    /// Blocks everything for a while (DEBUG SLEEP).
    fn sleep(&mut self, time: Duration);

    /// Serves others while a script runs for too long; without one they wait until it ends.
    fn meanwhile(&self) -> Option<Rc<dyn Meanwhile>> {
        None
    }

    /// Shuts the connection to a master at once: the master is to notice, however long this turn still takes.
    fn hang_up(&mut self, link: LinkId);

    /// Bytes that the allocator has handed out, counted: not for every command.
    fn memory_used(&self) -> usize;

    /// The same, from the last count and what this thread took and gave back since: cheap.
    fn memory_estimate(&self) -> usize {
        self.memory_used()
    }

    /// What the allocator has to tell of itself, for people.
    fn allocator_report(&self) -> String {
        String::new()
    }

    /// Waits until the other thread has freed everything, at most for so long.
    fn settle_memory(&mut self, most: Duration);

    /// Frees values on another thread.
    fn free_later(&mut self, garbage: Vec<Box<dyn Send>>);

    /// What INFO tells about the process.
    fn process(&self) -> Process;

    /// Fills `bytes` with what nobody can guess. Not for decisions, which are drawn from the engine's seed.
    ///
    /// # Errors
    /// The system's words.
    fn fill_random(&mut self, bytes: &mut [u8]) -> Result<(), String>;

    /// Makes room for so many clients.
    ///
    /// # Errors
    /// How many the system lets in.
    fn allow_clients(&mut self, count: u32) -> Result<(), u32>;

    /// Which lines are logged, and how they are written.
    fn set_log(&mut self, config: &conf::ServerConfig);

    /// From now on reports when the engine's timer stands still for so many milliseconds (`watchdog-period`); 0: never. The report
    /// tells what is `running`.
    fn watch(&mut self, period_ms: u64, running: &Arc<Running>) {
        let _ = (period_ms, running);
    }

    /// Ends the process as a fault in it would, with a crash report (DEBUG SEGFAULT, ASSERT and PANIC).
    fn crash(&mut self, how: Crash);

    /// `proc-title-template`: what a list of processes shows.
    fn set_title(&mut self, config: &conf::ServerConfig) {
        let _ = config;
    }

    /// `oom-score-adj`: how soon the kernel ends this process where memory runs out.
    ///
    /// # Errors
    /// What is to be logged; nothing was changed.
    fn set_oom_score(&mut self, config: &conf::ServerConfig, slave: bool) -> Result<(), String> {
        let _ = (config, slave);
        Ok(())
    }

    /// Listens at the ports and addresses of the configuration, and nowhere else.
    ///
    /// # Errors
    /// Why it cannot.
    fn listen(&mut self, config: &conf::ServerConfig) -> Result<(), String> {
        let _ = config;
        Ok(())
    }

    /// Reads the certificates and keys that the configuration names: new TLS sessions are made from them.
    ///
    /// # Errors
    /// What to tell; why is logged, and sessions are made as before.
    fn set_tls(&mut self, config: &conf::ServerConfig) -> Result<(), String> {
        let _ = config;
        Ok(())
    }

    /// The certificates of the server, of the server as a client of others, and of the authority that ends first.
    fn tls_certificates(&self) -> [Option<ShownCertificate>; 3] {
        [const { None }; 3]
    }

    /// The server became a master or a slave: the letter of the log.
    fn set_role(&mut self, slave: bool);
}
