//! The sentinel as a state machine: the five verbs, and the tick that drives everything periodic. The rules stand in
//! the modules below, one concern each.

mod discovery;
mod down;
mod failover;
mod info;
mod link;
mod ping;
mod saturation;
mod scripts;
mod tilt;
pub(crate) mod vote;

use std::rc::Rc;

use crate::access;
use crate::config::{Config, Saved, Snapshot};
use crate::context::{Context, Item};
use crate::instance::{Master, Stage, Who};
use crate::io::{Input, Level, Now, Output};
use crate::timing::MIN_HZ;
use crate::traffic::Traffic;

/// One sentinel.
#[derive(Debug)]
pub struct Monitor {
    pub(crate) cx: Context,
    /// In the order of the configuration file.
    pub(crate) masters: Vec<Master>,
    next_tick: u64,
}

impl Monitor {
    /// A sentinel that starts now with what was remembered. The first outputs are the `+monitor` events.
    #[must_use]
    pub fn new(now: Now, config: Config, saved: Saved, seed: u64) -> Self {
        let cx = Context::new(now, config, saved.current_epoch, seed);
        let masters = saved
            .masters
            .into_iter()
            .map(|master| Master::new(now.mono_ms, master))
            .collect();
        let mut monitor = Self {
            cx,
            masters,
            next_tick: now.mono_ms,
        };
        for master in &monitor.masters {
            master.announce(&mut monitor.cx);
        }
        monitor
    }

    /// Takes something that happened.
    pub fn handle_input(&mut self, now: Now, input: Input) {
        self.cx.now = now;
        match input {
            Input::Connected {
                link,
                local_ip,
                peer_ip,
            } => self.link_connected(link, local_ip, peer_ip),
            Input::Resolved { host, ip } => self.cx.resolved(&host, ip),
            Input::Closed { link, reason } => self.link_closed(link, &reason),
            Input::Received { link, reply } => self.link_received(link, reply),
            Input::ClientConnected {
                client,
                addr,
                laddr,
                fd,
            } => {
                if self.cx.config.server.protected_mode
                    && !self.needs_password()
                    && access::is_far(&addr)
                {
                    return self.refuse_stranger(client);
                }
                let access = &self.cx.access;
                let user = Rc::clone(access.users.default_user());
                let user = (user, access.is_open());
                self.cx
                    .sessions
                    .connected(now, client, addr, laddr, fd, user);
            }
            Input::ClientRequest { client, request } => self.client_request(client, &request),
            Input::ClientClosed { client } => self.cx.sessions.closed(client),
            Input::ScriptStarted { job, pid } => self.cx.script_started(job, pid),
            Input::ScriptNotStarted { job } => self.cx.script_not_started(job),
            Input::ScriptExited {
                job,
                exit_code,
                signal,
            } => self.cx.script_exited(job, exit_code, signal),
            Input::PersistFailed { error } => self.cx.persist_failed(&error),
        }
    }

    /// Does what is due by now; nothing, when it is called early.
    pub fn handle_timeout(&mut self, now: Now) {
        if now.mono_ms < self.next_tick {
            return;
        }
        self.cx.check_tilt(now);
        self.cx.now = now;
        for index in 0..self.masters.len() {
            self.tick_master(index);
        }
        self.drop_idle_clients();
        let (commands, traffic) = (self.cx.sessions.requests, self.cx.traffic);
        self.cx.rates.sample(now.mono_ms, commands, traffic);
        self.cx.retry_persist();
        self.cx.run_scripts();
        // The tick's length changes all the time, so that sentinels which started together do not stay in step and
        // split the votes for ever.
        self.cx.hz = MIN_HZ + self.cx.rng.below(MIN_HZ);
        self.next_tick = now.mono_ms + 1_000 / self.cx.hz;
    }

    /// What the shell has carried for clients by now. It may say so before each input.
    pub const fn carried(&mut self, traffic: Traffic) {
        self.cx.traffic = traffic;
    }

    /// When [`Monitor::handle_timeout`] wants to be called, on the monotonic clock.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<u64> {
        Some(self.next_tick)
    }

    /// Asks for the state to be written: it holds something that is new, such as the id of a sentinel that had none.
    pub fn keep(&mut self) {
        self.cx.persist();
    }

    /// The next thing to do; drain it to `None` after each input and timeout.
    pub fn poll_output(&mut self) -> Option<Output> {
        Some(match self.cx.next_item()? {
            Item::Ready(output) => output,
            Item::Persist => Output::Persist(self.snapshot()),
            Item::IfSaved {
                client,
                saved,
                unsaved,
            } => {
                let reply = if self.cx.saved() { saved } else { unsaved };
                Output::Reply {
                    client,
                    protocol: self.cx.sessions.protocol(client),
                    reply,
                }
            }
        })
    }

    /// The state as it would be persisted now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            server: self.cx.config.server.clone(),
            saved: Saved {
                current_epoch: self.cx.current_epoch,
                masters: self.masters.iter().map(Master::saved).collect(),
            },
            myid: self.cx.config.myid.clone(),
            globals: self.cx.config.globals.clone(),
            users: self.cx.access.lines(&self.cx.config.server),
        }
    }

    /// What is not as it should be in this sentinel's eyes: TILT, a failover under way, an instance down or not connected.
    /// For whoever waits until all is well.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        if self.cx.tilt() {
            return Some("TILT".to_owned());
        }
        self.masters.iter().find_map(|master| {
            if master.failing_over() {
                let stage = master.failover.stage.name();
                return Some(format!("failover of {}: {stage}", master.name));
            }
            let node = |who: &Who| master.node(*who);
            let ill = master
                .everyone()
                .find(|who| node(who).sdown || node(who).disconnected())?;
            Some(format!(
                "{} is down or not connected",
                master.label(true, ill)
            ))
        })
    }

    fn tick_master(&mut self, index: usize) {
        let cx = &mut self.cx;
        let Some(master) = self.masters.get_mut(index) else {
            return;
        };
        master.drop_silent_strangers(cx);
        for who in master.everyone() {
            master.reconnect(cx, who);
            master.send_periodic_commands(cx, who);
            if !cx.tilt() {
                master.check_subjectively_down(cx, who);
            }
        }
        if cx.tilt() {
            master.doubt_saturation(cx);
        } else {
            // Behind all checks: a failover must see who of the slaves has come back in this very tick.
            master.check_objectively_down(cx);
            master.check_saturation(cx);
            if master.start_failover_if_needed(cx) || master.relieve_if_needed(cx) {
                master.ask_other_sentinels(cx, true);
            }
            master.step_failover(cx);
            master.ask_other_sentinels(cx, false);
            master.ask_about_saturation(cx);
        }
        if master.failover.stage == Stage::UpdateConfig {
            master.switch_to_promoted(cx);
        }
    }
}

impl Master {
    /// Tells that this master is watched.
    pub(crate) fn announce(&self, cx: &mut Context) {
        let quorum = format!(" quorum {}", self.options.quorum);
        self.event(cx, Level::Warning, "+monitor", Who::Master, &quorum);
    }
}
