//! The scripts that run or wait. When they are called is in `monitor/scripts.rs`.

use std::collections::VecDeque;

use crate::io::{JobId, Reply};
use crate::timing::SCRIPT_MAX_QUEUE;

/// The scripts that run or wait.
#[derive(Debug, Default)]
pub(crate) struct Scripts {
    pub(crate) jobs: VecDeque<Job>,
    last_id: u64,
}

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) argv: Vec<String>,
    pub(crate) state: State,
    pub(crate) tries: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum State {
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

    pub(crate) fn find(&mut self, id: JobId) -> Option<&mut Job> {
        self.jobs.iter_mut().find(|job| job.id == id)
    }
}
