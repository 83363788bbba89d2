//! The queue of user scripts: notification scripts at every warning, reconfiguration scripts at a failover. Exit code 1
//! or a signal asks for another try, later and later; any other failure is final.

use std::collections::VecDeque;

use crate::Addr;
use crate::context::Context;
use crate::instance::Master;
use crate::io::{JobId, Level, Output, Reply};
use crate::timing::{SCRIPT_MAX_QUEUE, SCRIPT_MAX_RETRY, SCRIPT_MAX_RUNNING};

/// The scripts that run or wait.
#[derive(Debug, Default)]
pub(crate) struct Scripts {
    jobs: VecDeque<Job>,
    last_id: u64,
}

#[derive(Debug)]
struct Job {
    id: JobId,
    argv: Vec<String>,
    state: State,
    tries: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// May start at this time.
    Waiting {
        not_before: u64,
    },
    Running {
        since: u64,
        pid: u32,
        killed: bool,
    },
}

impl Scripts {
    /// Appends a script. Where the queue is full, the oldest that does not run is dropped.
    pub(crate) fn schedule(&mut self, argv: Vec<String>) {
        self.last_id += 1;
        self.jobs.push_back(Job {
            id: JobId(self.last_id),
            argv,
            state: State::Waiting { not_before: 0 },
            tries: 0,
        });
        if self.jobs.len() > SCRIPT_MAX_QUEUE {
            let oldest = self
                .jobs
                .iter()
                .position(|job| matches!(job.state, State::Waiting { .. }));
            oldest.and_then(|index| self.jobs.remove(index));
        }
    }

    pub(crate) fn running(&self) -> usize {
        self.jobs
            .iter()
            .filter(|job| matches!(job.state, State::Running { .. }))
            .count()
    }

    pub(crate) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// The reply of SENTINEL PENDING-SCRIPTS.
    pub(crate) fn pending(&self, now: u64) -> Reply {
        let number = |value: u64| Reply::bulk(value.to_string());
        let job = |job: &Job| {
            let (flags, pid, time_name, time) = match job.state {
                State::Waiting { not_before } => {
                    ("scheduled", 0, "run-delay", not_before.saturating_sub(now))
                }
                State::Running { since, pid, .. } => {
                    ("running", pid, "run-time", now.saturating_sub(since))
                }
            };
            Reply::Map(vec![
                (
                    Reply::bulk("argv"),
                    Reply::Array(job.argv.iter().map(Reply::bulk).collect()),
                ),
                (Reply::bulk("flags"), Reply::bulk(flags)),
                (Reply::bulk("pid"), number(u64::from(pid))),
                (Reply::bulk(time_name), number(time)),
                (Reply::bulk("retry-num"), number(u64::from(job.tries))),
            ])
        };
        Reply::Array(self.jobs.iter().map(job).collect())
    }

    fn find(&mut self, id: JobId) -> Option<&mut Job> {
        self.jobs.iter_mut().find(|job| job.id == id)
    }
}

impl Context {
    /// Starts the scripts whose time has come, oldest first, and kills those that run too long.
    pub(crate) fn run_scripts(&mut self) {
        let now = self.mono();
        let mut running = self.scripts.running();
        let mut outputs = Vec::new();
        let mut timeouts = Vec::new();
        for job in &mut self.scripts.jobs {
            match &mut job.state {
                State::Waiting { not_before }
                    if *not_before <= now && running < SCRIPT_MAX_RUNNING =>
                {
                    job.state = State::Running {
                        since: now,
                        pid: 0,
                        killed: false,
                    };
                    job.tries += 1;
                    running += 1;
                    outputs.push(Output::RunScript {
                        job: job.id,
                        argv: job.argv.clone(),
                    });
                }
                State::Running { since, pid, killed }
                    if !*killed && now.saturating_sub(*since) > self.periods.script_max_runtime =>
                {
                    *killed = true;
                    timeouts.push(format!("{} {pid}", job.argv[0]));
                    outputs.push(Output::KillScript { job: job.id });
                }
                _ => {}
            }
        }
        for text in timeouts {
            self.event(Level::Warning, "-script-timeout", text, None);
        }
        for output in outputs {
            self.push(output);
        }
    }

    pub(crate) fn script_started(&mut self, id: JobId, started_pid: u32) {
        if let Some(Job {
            state: State::Running { pid, .. },
            ..
        }) = self.scripts.find(id)
        {
            *pid = started_pid;
            self.event(Level::Debug, "+script-child", started_pid.to_string(), None);
        }
    }

    /// No process could be made: told as signal 99, and tried again at the next tick.
    pub(crate) fn script_not_started(&mut self, id: JobId) {
        let Some(job) = self.scripts.find(id) else {
            return;
        };
        job.state = State::Waiting { not_before: 0 };
        let text = format!("{} 99 0", job.argv[0]);
        self.event(Level::Warning, "-script-error", text, None);
    }

    pub(crate) fn script_exited(&mut self, id: JobId, exit_code: i32, signal: i32) {
        let (now, retry_delay) = (self.mono(), self.periods.script_retry_delay);
        let Some(job) = self.scripts.find(id) else {
            return;
        };
        let State::Running { pid, .. } = job.state else {
            return;
        };
        let retry = (signal != 0 || exit_code == 1) && job.tries < SCRIPT_MAX_RETRY;
        let failed = (signal != 0 || exit_code != 0)
            .then(|| format!("{} {signal} {exit_code}", job.argv[0]));
        if retry {
            let delay = retry_delay.saturating_mul(1 << job.tries.saturating_sub(1).min(32));
            job.state = State::Waiting {
                not_before: now.saturating_add(delay),
            };
        }
        self.event(
            Level::Debug,
            "-script-child",
            format!("{pid} {exit_code} {signal}"),
            None,
        );
        if !retry {
            self.scripts.jobs.retain(|job| job.id != id);
            if let Some(text) = failed {
                self.event(Level::Warning, "-script-error", text, None);
            }
        }
    }
}

impl Master {
    /// Tells the reconfiguration script, if there is one, that the master moves:
    /// `name role state from-ip from-port to-ip to-port`.
    pub(crate) fn run_reconfig_script(
        &self,
        cx: &mut Context,
        role: &str,
        state: &str,
        from: &Addr,
        to: &Addr,
    ) {
        let Some(path) = &self.options.client_reconfig_script else {
            return;
        };
        let (from_ip, from_port) = (cx.shown(from), from.port.to_string());
        let (to_ip, to_port) = (cx.shown(to), to.port.to_string());
        let argv = [
            path, &self.name, role, state, &from_ip, &from_port, &to_ip, &to_port,
        ];
        cx.scripts.schedule(argv.map(str::to_owned).to_vec());
    }
}
