//! The queue of user scripts: notification scripts at every warning, reconfiguration scripts at a failover. Exit code 1
//! or a signal asks for another try, later and later; any other failure is final.

use crate::Addr;
use crate::context::Context;
use crate::instance::Master;
use crate::io::{JobId, Level, Output};
use crate::script_queue::{Job, State};
use crate::timing::{SCRIPT_MAX_RETRY, SCRIPT_MAX_RUNNING};

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
