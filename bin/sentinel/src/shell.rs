//! The core in its shell: one loop that feeds it, and performs its outputs in order.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use conf::ServerConfig;
use daemon::{files, reason};
use logline::Log;
use metrics::{Question, Questions};
use sentinel_core::config::Snapshot;
use sentinel_core::{ClientId, Command, Input, JobId, Level, LinkId, Monitor, Output};
use tls::ClientSide;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::connection::Clients;
use crate::figures;
use crate::link::{Link, resolve};
use crate::listen::{self, Sockets};
use crate::machine::Machine;
use crate::script::Script;

/// Inputs that may wait for the core; beyond it, who brings more waits.
const QUEUED_INPUTS: usize = 1_024;

struct Shell {
    monitor: Monitor,
    machine: Machine,
    state_file: PathBuf,
    /// The addresses that links come from: those of `bind`.
    sources: Rc<[IpAddr]>,
    /// How sessions with instances begin, where they speak TLS.
    tls: Option<ClientSide>,
    inputs: mpsc::Sender<Input>,
    clients: Rc<Clients>,
    links: BTreeMap<LinkId, Link>,
    scripts: BTreeMap<JobId, Script>,
    /// What clients asked behind a request that waits for a host name, that request first.
    held: BTreeMap<ClientId, VecDeque<Command>>,
    log: Log,
    ends: bool,
}

/// Runs a sentinel until it is told to end.
pub(crate) async fn run(
    monitor: Monitor,
    machine: Machine,
    state_file: PathBuf,
    config: Arc<ServerConfig>,
    mut sockets: Sockets,
    log: Log,
) -> anyhow::Result<()> {
    let (inputs, mut queue) = mpsc::channel(QUEUED_INPUTS);
    let clients = Rc::new(Clients::new(config.maxclients, inputs.clone()));
    let mut signals = Signals::new()?;
    let context = sockets.context.as_ref().filter(|_| config.tls_replication);
    let tls = context.and_then(|context| context.connect.clone());
    let mut questions = match sockets.metrics.take() {
        Some(door) => Some(metrics::serve(door)?),
        None => None,
    };
    listen::serve(sockets, &clients, &config)?;
    let sources = config.bind.iter().filter_map(|bind| bind.parse().ok());
    let sources: Vec<IpAddr> = sources.collect();
    let mut shell = Shell {
        monitor,
        machine,
        state_file,
        sources: sources.into(),
        tls,
        inputs,
        clients,
        links: BTreeMap::new(),
        scripts: BTreeMap::new(),
        held: BTreeMap::new(),
        log,
        ends: false,
    };
    shell.drain();
    daemon::notify_ready();
    while !shell.ends {
        let deadline = shell
            .monitor
            .poll_timeout()
            .map(|at| shell.machine.instant(at));
        let timeout = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            name = signals.ends() => {
                let text = format!("Received {name} scheduling shutdown...");
                daemon::log_signal(&text, shell.machine.now().unix_ms / 1000);
                shell.ends = true;
            }
            () = timeout => {
                shell.monitor.carried(shell.clients.traffic());
                shell.monitor.handle_timeout(shell.machine.now());
            }
            Some(question) = asked(&mut questions) => question.answer(figures::snapshot(shell.monitor.figures())),
            Some(input) = queue.recv() => shell.take(input),
        }
        shell.drain();
    }
    tracing::warn!("User requested shutdown...");
    Ok(())
}

/// The next question of `metrics-port`; never, where there is none.
async fn asked(questions: &mut Option<Questions>) -> Option<Question> {
    match questions {
        Some(questions) => questions.recv().await,
        None => std::future::pending().await,
    }
}

impl Shell {
    fn take(&mut self, input: Input) {
        match &input {
            Input::Closed { link, .. } => drop(self.links.remove(link)),
            Input::ClientClosed { client } => {
                self.held.remove(client);
                self.clients.disconnect(*client);
            }
            Input::ClientRequest { client, request } => {
                if let Some(held) = self.held.get_mut(client) {
                    return held.push_back(request.clone());
                }
                if let Some(host) = self.monitor.unresolved(request) {
                    self.held.insert(*client, VecDeque::from([request.clone()]));
                    return self.resolve(host);
                }
            }
            Input::ScriptExited { job, .. } | Input::ScriptNotStarted { job } => {
                drop(self.scripts.remove(job));
            }
            _ => {}
        }
        self.monitor.carried(self.clients.traffic());
        let resolved = matches!(input, Input::Resolved { .. });
        self.monitor.handle_input(self.machine.now(), input);
        if resolved {
            for (client, requests) in std::mem::take(&mut self.held) {
                self.let_go(client, requests);
            }
        }
    }

    /// Looks a host name up without waiting for it.
    fn resolve(&self, host: String) {
        let inputs = self.inputs.clone();
        tokio::task::spawn_local(async move {
            let ip = resolve(&host).await;
            // Fails only when the sentinel ends.
            let _ = inputs.send(Input::Resolved { host, ip }).await;
        });
    }

    /// Brings what a client asked while a host name was looked up, as far as no other name has to be.
    fn let_go(&mut self, client: ClientId, mut requests: VecDeque<Command>) {
        while let Some(request) = requests.pop_front() {
            if self.monitor.unresolved(&request).is_some() {
                requests.push_front(request);
                self.held.insert(client, requests);
                return;
            }
            self.monitor
                .handle_input(self.machine.now(), Input::ClientRequest { client, request });
        }
    }

    /// Performs everything that the core wants by now.
    fn drain(&mut self) {
        while let Some(output) = self.monitor.poll_output() {
            self.perform(output);
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Connect { link, addr, .. } => {
                let sources = Rc::clone(&self.sources);
                let opened = Link::open(link, addr, sources, self.tls.clone(), self.inputs.clone());
                self.links.insert(link, opened);
            }
            Output::Close { link } => drop(self.links.remove(&link)),
            Output::Send { link, command } => {
                if let Some(link) = self.links.get(&link) {
                    link.send(command);
                }
            }
            Output::Persist(snapshot) => {
                // Nothing else runs meanwhile: what follows must not leave before the state is on disk.
                let written = replace_state(&self.state_file, &snapshot);
                if let Err(error) = written {
                    let error = reason(&error);
                    self.monitor
                        .handle_input(self.machine.now(), Input::PersistFailed { error });
                }
            }
            Output::Event { level, kind, text } => log(level, &format!("{kind} {text}")),
            Output::Log { level, text } => log(level, &text),
            Output::FailoverDelayed { not_before_unix_ms } => {
                let time = logline::ctime(not_before_unix_ms);
                log(
                    Level::Warning,
                    &format!("Next failover delay: I will not start a failover before {time}"),
                );
            }
            Output::Reply {
                client,
                protocol,
                reply,
            } => self.clients.reply(client, protocol, &reply),
            Output::Disconnect { client } => self.clients.disconnect(client),
            Output::PauseClients { until_mono_ms } => {
                self.clients
                    .pause_until(self.machine.instant(until_mono_ms));
            }
            Output::ResumeClients => self.clients.resume(),
            Output::Resolve { host } => self.resolve(host),
            Output::LogLevel(level) => self.log.set_level(daemon::log_level(level)),
            Output::RunScript { job, argv } => {
                self.scripts
                    .insert(job, Script::start(job, &argv, self.inputs.clone()));
            }
            Output::KillScript { job } => {
                if let Some(script) = self.scripts.get_mut(&job) {
                    script.kill();
                }
            }
            Output::Shutdown => self.ends = true,
            Output::Crash => std::process::exit(99),
        }
    }
}

/// Replaces sentinel.conf by what a snapshot makes of it. When this returns, it is on disk.
fn replace_state(path: &Path, snapshot: &Snapshot) -> io::Result<()> {
    let old = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    files::replace(path, &snapshot.render(&old))
}

fn log(level: Level, text: &str) {
    match level {
        Level::Debug => tracing::trace!("{text}"),
        Level::Verbose => tracing::debug!("{text}"),
        Level::Notice => tracing::info!("{text}"),
        Level::Warning => tracing::warn!("{text}"),
    }
}

/// The signals that end the process, and SIGHUP, which does nothing.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for one that ends the process.
    async fn ends(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.hangup.recv() => {}
            }
        }
    }
}
