//! The failover: from the decision to try one, through the choice of a slave, to the new master.
//!
//! wait-start (election) → select-slave → send-slaveof-noone → wait-promotion → reconf-slaves → update-config. Until
//! the promoted slave says that it is a master, a failover can be aborted; after that it reaches its end.

use std::cmp::Ordering;

use crate::Addr;
use crate::config::MAX_EPOCH;
use crate::context::Context;
use crate::instance::{
    Answers, BeforeReset, Expect, Master, Reconf, Role, Saturation, Slave, Stage, Who,
};
use crate::io::{Level, Output};
use crate::timing::{HAND_OVER_TIME, MAX_DESYNC, MAX_KNOWN_PER_MASTER};

impl Master {
    /// Starts a failover when the master is objectively down, none runs, and the last attempt (of anybody) is long
    /// enough ago.
    pub(crate) fn start_failover_if_needed(&mut self, cx: &mut Context) -> bool {
        if !self.odown || self.failing_over() {
            return false;
        }
        let pause = self.options.failover_timeout_ms.saturating_mul(2);
        if let Some(started) = self.failover.started_at
            && cx.mono().saturating_sub(started) < pause
        {
            if self.failover.delay_logged != Some(started) {
                self.failover.delay_logged = Some(started);
                let wait = started.saturating_add(pause).saturating_sub(cx.mono());
                let not_before_unix_ms = cx.now.unix_ms.saturating_add(wait);
                cx.push(Output::FailoverDelayed { not_before_unix_ms });
            }
            return false;
        }
        self.start_failover(cx, false)
    }

    /// Starts a failover in a new epoch; `false` when there is no epoch left.
    pub(crate) fn start_failover(&mut self, cx: &mut Context, forced: bool) -> bool {
        if cx.current_epoch >= MAX_EPOCH {
            cx.log(
                Level::Warning,
                format!("No epoch is left to fail over '{}' in", self.name),
            );
            return false;
        }
        self.see_epoch(cx, cx.current_epoch + 1);
        self.failover.epoch = cx.current_epoch;
        self.failover.started_at = Some(cx.mono() + cx.rng.below(MAX_DESYNC));
        self.failover.forced = forced;
        self.enter(cx, Stage::WaitStart);
        self.event(cx, Level::Warning, "+try-failover", Who::Master, "");
        true
    }

    /// Takes the failover one step on, if one runs.
    pub(crate) fn step_failover(&mut self, cx: &mut Context) {
        self.go_on_without_master(cx);
        match self.failover.stage {
            Stage::WaitStart => self.wait_start(cx),
            Stage::SelectSlave => self.select_slave(cx),
            Stage::SendSlaveofNoOne => self.send_slaveof_no_one(cx),
            // The way on is seen in the slave's INFO.
            Stage::WaitPromotion => self.abort_when_slow(cx),
            Stage::ReconfSlaves => self.reconf_next_slaves(cx),
            Stage::None | Stage::UpdateConfig => {}
        }
    }

    /// A master that goes down while it is to hand over is failed over instead, in the same election.
    fn go_on_without_master(&mut self, cx: &mut Context) {
        let failover = &mut self.failover;
        if !failover.coordinated || !self.odown || failover.stage >= Stage::ReconfSlaves {
            return;
        }
        failover.coordinated = false;
        failover.relieves = false;
        if failover.stage > Stage::SelectSlave {
            for slave in &mut self.slaves {
                slave.promoted = false;
            }
            self.enter_select_slave(cx);
        }
    }

    fn enter_select_slave(&mut self, cx: &mut Context) {
        self.enter(cx, Stage::SelectSlave);
        self.event(
            cx,
            Level::Warning,
            "+failover-state-select-slave",
            Who::Master,
            "",
        );
    }

    pub(crate) fn enter(&mut self, cx: &Context, stage: Stage) {
        self.failover.stage = stage;
        self.failover.changed_at = cx.mono();
    }

    fn wait_start(&mut self, cx: &mut Context) {
        if self.is_leader(cx) || self.failover.forced {
            self.event(cx, Level::Warning, "+elected-leader", Who::Master, "");
            if cx.simulate.crash_after_election {
                return cx.crash();
            }
            return self.enter_select_slave(cx);
        }
        let timeout = cx
            .periods
            .election_timeout
            .min(self.options.failover_timeout_ms);
        if self
            .failover
            .started_at
            .is_some_and(|started| cx.mono().saturating_sub(started) > timeout)
        {
            self.event(
                cx,
                Level::Warning,
                "-failover-abort-not-elected",
                Who::Master,
                "",
            );
            self.abort_failover(cx);
        }
    }

    fn select_slave(&mut self, cx: &mut Context) {
        let best = if self.failover.relieves {
            self.best_relief(cx)
        } else {
            self.best_slave(cx)
        };
        let Some(index) = best else {
            self.event(
                cx,
                Level::Warning,
                "-failover-abort-no-good-slave",
                Who::Master,
                "",
            );
            return self.abort_failover(cx);
        };
        let who = Who::Slave(index);
        self.event(cx, Level::Warning, "+selected-slave", who, "");
        self.slaves[index].promoted = true;
        self.enter(cx, Stage::SendSlaveofNoOne);
        self.event(
            cx,
            Level::Notice,
            "+failover-state-send-slaveof-noone",
            who,
            "",
        );
    }

    fn send_slaveof_no_one(&mut self, cx: &mut Context) {
        let Some(index) = self.promoted() else {
            return self.abort_failover(cx);
        };
        if self.failover.coordinated {
            return self.ask_to_hand_over(cx, index);
        }
        let who = Who::Slave(index);
        if self.node(who).disconnected() {
            return self.abort_when_slow(cx);
        }
        self.send_slaveof(cx, who, None);
        self.event(cx, Level::Notice, "+failover-state-wait-promotion", who, "");
        self.enter(cx, Stage::WaitPromotion);
    }

    /// Lets the master itself hand over to the selected slave: it holds writes back, waits until the slave has
    /// everything, and they change their roles.
    fn ask_to_hand_over(&mut self, cx: &mut Context, index: usize) {
        let passed = cx.mono().saturating_sub(self.failover.changed_at);
        let left = self.options.failover_timeout_ms.saturating_sub(passed);
        if left < HAND_OVER_TIME {
            self.event(
                cx,
                Level::Warning,
                "-failover-abort-master-timeout",
                Who::Master,
                "",
            );
            return self.abort_failover(cx);
        }
        if self.node.disconnected() {
            return;
        }
        let who = Who::Slave(index);
        let addr = &self.slaves[index].node.addr;
        let (host, port, left) = (cx.shown(addr), addr.port.to_string(), left.to_string());
        let commands: [&[&str]; 4] = [
            &["MULTI"],
            &["CLIENT", "PAUSE", &left, "WRITE"],
            &["FAILOVER", "TO", &host, &port, "TIMEOUT", &left],
            &["EXEC"],
        ];
        self.send_all(cx, Who::Master, &commands);
        self.event(cx, Level::Notice, "+failover-state-wait-promotion", who, "");
        self.enter(cx, Stage::WaitPromotion);
    }

    /// After a hand-over: the clients ask anew who is master, and writes go on.
    pub(super) fn let_clients_go(&mut self, cx: &mut Context, who: Who) {
        let commands: [&[&str]; 6] = [
            &["MULTI"],
            &["CONFIG", "REWRITE"],
            &["CLIENT", "KILL", "TYPE", "normal"],
            &["CLIENT", "KILL", "TYPE", "pubsub"],
            &["CLIENT", "UNPAUSE"],
            &["EXEC"],
        ];
        self.send_all(cx, who, &commands);
    }

    fn send_all(&mut self, cx: &mut Context, who: Who, commands: &[&[&str]]) {
        for command in commands {
            let words: Vec<&[u8]> = command.iter().map(|word| word.as_bytes()).collect();
            self.send(cx, who, &words, Expect::Nothing);
        }
    }

    fn abort_when_slow(&mut self, cx: &mut Context) {
        if cx.mono().saturating_sub(self.failover.changed_at) > self.options.failover_timeout_ms {
            self.event(
                cx,
                Level::Warning,
                "-failover-abort-slave-timeout",
                Who::Master,
                "",
            );
            self.abort_failover(cx);
        }
    }

    /// A failover whose epoch has been overtaken must not put its configuration over the newer one. Once a slave is
    /// promoted there is nothing to abort.
    pub(crate) fn abort_obsolete_failover(&mut self, cx: &Context) {
        if self.failing_over() && self.failover.stage < Stage::ReconfSlaves {
            self.abort_failover(cx);
        }
    }

    fn abort_failover(&mut self, cx: &Context) {
        self.enter(cx, Stage::None);
        self.failover.forced = false;
        self.failover.coordinated = false;
        self.failover.relieves = false;
        for slave in &mut self.slaves {
            slave.promoted = false;
        }
    }

    /// The slave to promote.
    pub(crate) fn best_slave(&self, cx: &Context) -> Option<usize> {
        self.best_of(cx, |_| true)
    }

    /// The slave to promote, among those that fit: the best of those that are reachable, fresh, and not too far behind.
    ///
    /// How far behind is told by how long its link to the master is down, beyond the time that the master is. A master
    /// that says it is a slave serves no slaves, so there the link says nothing and is not looked at. (Redis looks, and
    /// with a `down-after-milliseconds` of two seconds or less it never fails such a master over.) And who has not seen
    /// the master up since it watches cannot know how long it is down: then the slave that lost it last tells. (In Redis
    /// such a group, all restarted after a failure of everything, stays without a master for ever.)
    pub(super) fn best_of(&self, cx: &Context, fits: impl Fn(&Slave) -> bool) -> Option<usize> {
        let now = cx.mono();
        let since = |at: u64| now.saturating_sub(at);
        let millis = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let ping_validity = cx.periods.ping.saturating_mul(5);
        // While the master is down INFO comes every second, so it must not be older than a few of them.
        let info_validity = if self.node.sdown {
            ping_validity
        } else {
            cx.periods.info.saturating_mul(3)
        };
        let reachable = |slave: &Slave| {
            !slave.node.sdown
                && !slave.node.disconnected()
                && since(slave.node.last_ok_pong) <= ping_validity
                && slave.priority != 0
                && slave
                    .node
                    .info_at
                    .is_some_and(|at| since(at) <= info_validity)
        };
        let candidates: Vec<(usize, &Slave)> = self
            .slaves
            .iter()
            .enumerate()
            .filter(|(_, slave)| reachable(slave) && fits(slave))
            .collect();
        let down_for = self
            .node
            .sdown_since
            .filter(|_| self.node.sdown)
            .map_or(0, |at| millis(since(at)));
        let last_lost = candidates
            .iter()
            .map(|(_, slave)| slave.master_link_down_ms)
            .min()
            .filter(|_| !self.seen_up)
            .unwrap_or(0);
        let patience = millis(self.options.down_after_ms.saturating_mul(10));
        let max_link_down = match self.node.role {
            Role::Master => down_for.max(last_lost).saturating_add(patience),
            Role::Slave => i64::MAX,
        };
        candidates
            .into_iter()
            .filter(|(_, slave)| slave.master_link_down_ms <= max_link_down)
            .min_by(|(_, a), (_, b)| better_first(a, b))
            .map(|(index, _)| index)
    }

    /// Makes an instance a slave of `master`, or a master where that is `None`; lets it write its configuration and drop
    /// its clients, so that they ask anew who is master. Replies are not looked at: what counts is the next INFO.
    pub(crate) fn send_slaveof(&mut self, cx: &mut Context, who: Who, master: Option<&Addr>) {
        let (host, port) = match master {
            Some(addr) => (cx.shown(addr), addr.port.to_string()),
            None => ("NO".to_owned(), "ONE".to_owned()),
        };
        self.send_all(cx, who, &[&["MULTI"]]);
        if matches!(self.node(who).handing_over, Some((true, _))) {
            self.send_all(cx, who, &[&["FAILOVER", "ABORT"]]);
        }
        let commands: [&[&str]; 5] = [
            &["SLAVEOF", &host, &port],
            &["CONFIG", "REWRITE"],
            &["CLIENT", "KILL", "TYPE", "normal"],
            &["CLIENT", "KILL", "TYPE", "pubsub"],
            &["EXEC"],
        ];
        self.send_all(cx, who, &commands);
    }

    /// Points the remaining slaves to the promoted one, no more at a time than `parallel-syncs`.
    fn reconf_next_slaves(&mut self, cx: &mut Context) {
        for index in 0..self.slaves.len() {
            self.give_up_slow_slave(cx, index);
        }
        let under_way =
            |slave: &&Slave| matches!(slave.reconf, Reconf::Sent(_) | Reconf::InProgress);
        let in_progress = self.slaves.iter().filter(under_way).count();
        let allowed = usize::try_from(self.options.parallel_syncs).unwrap_or(0);
        let mut free = allowed.saturating_sub(in_progress);
        let target = self.current_addr().clone();
        for index in 0..self.slaves.len() {
            if free == 0 {
                break;
            }
            let who = Who::Slave(index);
            let slave = &self.slaves[index];
            if slave.reconf == Reconf::None && !slave.promoted && !slave.node.disconnected() {
                self.send_slaveof(cx, who, Some(&target));
                self.slaves[index].reconf = Reconf::Sent(cx.mono());
                self.event(cx, Level::Notice, "+slave-reconf-sent", who, "");
                free -= 1;
            }
        }
        self.detect_end(cx);
    }

    /// A slave that does not follow in time counts as done: the failover must not wait for it, and its configuration
    /// is fixed later. (Redis looks at this only while fewer than `parallel-syncs` are under way, so that one slow slave
    /// could hold the failover up until its timeout.)
    fn give_up_slow_slave(&mut self, cx: &mut Context, index: usize) {
        let timeout = cx.periods.slave_reconf_timeout;
        let slave = &mut self.slaves[index];
        let slow =
            matches!(slave.reconf, Reconf::Sent(at) if cx.mono().saturating_sub(at) > timeout);
        if slow {
            slave.reconf = Reconf::Done;
            self.event(
                cx,
                Level::Notice,
                "-slave-reconf-sent-timeout",
                Who::Slave(index),
                "",
            );
        }
    }

    /// The failover ends when every reachable slave follows, or when that takes too long: then all that are left are
    /// told at once, and nobody waits for them.
    fn detect_end(&mut self, cx: &mut Context) {
        let reachable = self
            .promoted()
            .is_some_and(|index| !self.slaves[index].node.sdown);
        if !reachable {
            return;
        }
        let waits =
            |slave: &Slave| !slave.promoted && slave.reconf != Reconf::Done && !slave.node.sdown;
        let timeout =
            cx.mono().saturating_sub(self.failover.changed_at) > self.options.failover_timeout_ms;
        if timeout {
            self.event(
                cx,
                Level::Warning,
                "+failover-end-for-timeout",
                Who::Master,
                "",
            );
        }
        if !timeout && self.slaves.iter().any(waits) {
            return;
        }
        self.event(cx, Level::Warning, "+failover-end", Who::Master, "");
        let target = self.current_addr().clone();
        self.enter(cx, Stage::UpdateConfig);
        if timeout {
            self.reconf_the_rest(cx, &target);
        }
    }

    fn reconf_the_rest(&mut self, cx: &mut Context, target: &Addr) {
        for index in 0..self.slaves.len() {
            let slave = &self.slaves[index];
            let told = slave.promoted || matches!(slave.reconf, Reconf::Sent(_) | Reconf::Done);
            if told || slave.node.disconnected() {
                continue;
            }
            self.send_slaveof(cx, Who::Slave(index), Some(target));
            self.slaves[index].reconf = Reconf::Sent(cx.mono());
            self.event(
                cx,
                Level::Notice,
                "+slave-reconf-sent-be",
                Who::Slave(index),
                "",
            );
        }
    }

    /// The end of a failover: from now on the promoted slave is the master that is watched.
    pub(crate) fn switch_to_promoted(&mut self, cx: &mut Context) {
        let new = self.current_addr().clone();
        self.tell_switch(cx, &self.node.addr, &new);
        self.change_address(cx, &new);
    }

    /// The event by which clients learn of a new master.
    pub(crate) fn tell_switch(&self, cx: &mut Context, old: &Addr, new: &Addr) {
        let (from, to) = (cx.shown(old), cx.shown(new));
        let text = format!("{} {from} {} {to} {}", self.name, old.port, new.port);
        self.event_text(cx, Level::Warning, "+switch-master", text);
    }

    /// Starts to watch another address under this name. The old master and the other slaves become its slaves.
    pub(crate) fn change_address(&mut self, cx: &mut Context, new: &Addr) {
        let old = self.node.addr.clone();
        let mut slaves: Vec<(Addr, bool)> = self
            .slaves
            .iter()
            .map(|slave| (slave.node.addr.clone(), slave.was_master))
            .filter(|(addr, _)| !addr.is(new))
            .collect();
        if let Some(known) = slaves.iter_mut().find(|(addr, _)| addr.is(&old)) {
            known.1 = true;
        } else if !old.is(new) && slaves.len() < MAX_KNOWN_PER_MASTER {
            slaves.push((old, true));
        }
        self.reset(cx, true);
        self.switched_at = Some(cx.mono());
        self.node.addr = new.clone();
        self.node.sdown_since = None;
        self.odown_since = None;
        for (addr, was_master) in slaves {
            self.add_slave(cx, addr);
            if let Some(slave) = self.slaves.last_mut() {
                slave.was_master = was_master;
            }
        }
        cx.persist();
    }

    /// SENTINEL RESET: as [`Master::reset`], but who was known is kept in mind until the master tells anew.
    pub(crate) fn reset_by_user(&mut self, cx: &mut Context) {
        let known = self.saved();
        self.reset(cx, false);
        self.before_reset = Some(BeforeReset {
            slaves: known.slaves,
            sentinels: known.sentinels,
            at: cx.mono(),
        });
    }

    /// Forgets the slaves, the other sentinels (unless they are kept) and all that was observed; a failover ends
    /// without a result, and the next may start at once.
    pub(crate) fn reset(&mut self, cx: &mut Context, keep_sentinels: bool) {
        for who in self.everyone() {
            if !(keep_sentinels && matches!(who, Who::Peer(_))) {
                self.disconnect(cx, who);
            }
        }
        self.slaves.clear();
        if !keep_sentinels {
            self.peers.clear();
        }
        let now = cx.mono();
        self.odown = false;
        self.leader = None;
        self.failover.stage = Stage::None;
        self.failover.changed_at = now;
        self.failover.started_at = None;
        self.failover.forced = false;
        self.failover.coordinated = false;
        self.failover.relieves = false;
        self.saturation = Saturation::default();
        self.seen_up = false;
        self.before_reset = None;
        let node = &mut self.node;
        node.sdown = false;
        node.script_kill_sent = false;
        node.runid = None;
        node.ping_waits_since = Some(now);
        node.last_ok_pong = now;
        node.last_pong = now;
        node.info_at = None;
        node.info.clear();
        node.rebooting_since = None;
        node.handing_over = None;
        node.answers = Answers::default();
        node.role = Role::Master;
        node.role_since = now;
    }
}

/// The order of promotion: who keeps its data from a master that lost them, then lower priority number, then more of the master's
/// stream processed, then smaller run id.
fn better_first(a: &Slave, b: &Slave) -> Ordering {
    let runid = |slave: &Slave| {
        slave
            .node
            .runid
            .as_ref()
            .map(|runid| runid.to_ascii_lowercase())
    };
    b.refuses_empty
        .cmp(&a.refuses_empty)
        .then_with(|| a.priority.cmp(&b.priority))
        .then_with(|| b.repl_offset.cmp(&a.repl_offset))
        .then_with(|| match (runid(a), runid(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            (a, b) => b.is_some().cmp(&a.is_some()),
        })
}
