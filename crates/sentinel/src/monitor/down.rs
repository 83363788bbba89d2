//! When an instance is down: subjectively (SDOWN), by this sentinel's own pings; objectively (ODOWN, masters only), when
//! enough other sentinels say so too.

use super::vote::DownState;
use crate::context::Context;
use crate::instance::{Expect, Instance, Master, Peer, Role, Stage, Who};
use crate::io::{Level, Reply};
use crate::timing::Periods;

impl Master {
    /// Looks how long an instance has been silent; drops links that seem dead, sets and clears SDOWN.
    pub(crate) fn check_subjectively_down(&mut self, cx: &mut Context, who: Who) {
        let now = cx.mono();
        let down_after = self.options.down_after_ms;
        let node = self.node_mut(who);
        if command_link_seems_dead(node, now, down_after, cx.periods.min_link_reconnect) {
            cx.close(node.command.take());
        }
        if pubsub_link_seems_dead(node, now, &cx.periods) {
            cx.close(node.pubsub.take());
        }
        let silent = node
            .ping_waits_since
            .is_some_and(|since| now.saturating_sub(since) > down_after);
        // A master that says for long enough that it is a slave is as good as gone.
        let demoted = who == Who::Master
            && node.role == Role::Slave
            && now.saturating_sub(node.role_since)
                > down_after.saturating_add(cx.periods.info.saturating_mul(2));
        // One that restarted and loads may do so only for as long as it was given.
        let reboot_down_after = self.options.reboot_down_after_ms;
        let rebooting = who == Who::Master
            && self
                .node
                .rebooting_since
                .is_some_and(|since| now.saturating_sub(since) > reboot_down_after);
        let emptied = who == Who::Master && self.is_emptied(cx);
        let node = self.node_mut(who);
        let down = silent || demoted || rebooting || emptied;
        if down == node.sdown {
            return;
        }
        node.sdown = down;
        if down {
            node.sdown_since = Some(now);
        } else {
            node.script_kill_sent = false;
        }
        self.event(
            cx,
            Level::Warning,
            if down { "+sdown" } else { "-sdown" },
            who,
            "",
        );
        if down && who == Who::Master {
            self.recall_before_reset(cx);
        }
    }

    /// A master that came back without the data that a slave of it still has is as good as gone, as long as the slave keeps them.
    fn is_emptied(&self, cx: &Context) -> bool {
        let (now, addr) = (cx.mono(), &self.node.addr);
        let period = cx.periods.info.saturating_mul(3);
        self.slaves.iter().any(|slave| {
            slave.refuses_empty
                && !slave.node.sdown
                && slave.master_port == i64::from(addr.port)
                && (slave.node.info_at).is_some_and(|at| now.saturating_sub(at) <= period)
        })
    }

    /// Counts who says that this master is down; sets and clears ODOWN. It is a weak agreement: the replies counted
    /// are up to five seconds old, and nobody promised anything.
    pub(crate) fn check_objectively_down(&mut self, cx: &mut Context) {
        let agreeing = 1 + self.known_peers().filter(|peer| peer.says_down).count();
        let quorum = self.quorum();
        let odown = self.node.sdown && agreeing >= quorum;
        if odown == self.odown {
            return;
        }
        if odown {
            let detail = format!(" #quorum {agreeing}/{quorum}");
            self.event(cx, Level::Warning, "+odown", Who::Master, &detail);
            self.odown_since = Some(cx.mono());
        } else {
            self.event(cx, Level::Warning, "-odown", Who::Master, "");
        }
        self.odown = odown;
    }

    /// Asks the other sentinels whether they see this master down too and, while a failover of ours waits for votes,
    /// for their vote. `forced` does not wait for the period.
    pub(crate) fn ask_other_sentinels(&mut self, cx: &mut Context, forced: bool) {
        let now = cx.mono();
        let (ip, port) = (cx.shown(&self.node.addr), self.node.addr.port.to_string());
        // A vote is asked for in the epoch of this failover. Redis asks in the current epoch, which may have moved on
        // since; the votes then belong to an epoch in which this sentinel is no candidate.
        let candidate = self.failover.stage > Stage::None;
        let epoch = if candidate {
            self.failover.epoch
        } else {
            cx.current_epoch
        }
        .to_string();
        let runid = if candidate {
            cx.config.myid.clone()
        } else {
            "*".to_owned()
        };
        let request = [
            "SENTINEL",
            "is-master-down-by-addr",
            &ip,
            &port,
            &epoch,
            &runid,
        ]
        .map(str::as_bytes);
        let period = cx.periods.ask;
        // A coordinated failover needs votes although the master is up.
        let asks = self.node.sdown || (candidate && self.failover.coordinated);
        for peer in self.peers.iter_mut().filter(|peer| peer.known) {
            let age = now.saturating_sub(peer.last_down_reply);
            if age > period.saturating_mul(5) {
                peer.says_down = false;
                peer.leader = None;
            }
            if asks
                && (forced || (age >= period && !peer.node.awaits(Expect::DownState)))
                && let Some(link) = &mut peer.node.command
            {
                cx.send(link, &request, Expect::DownState);
            }
        }
    }

    /// Takes another sentinel's answer. An error says nothing; what was known before then gets too old by itself.
    pub(super) fn down_state(&mut self, cx: &mut Context, who: Who, reply: Reply) {
        let Who::Peer(index) = who else { return };
        let Some(state) = DownState::read(reply) else {
            return;
        };
        let name = self.peers[index].name(cx.config.globals.announce_hostnames);
        let peer = &mut self.peers[index];
        peer.last_down_reply = cx.mono();
        peer.says_down = state.down;
        if let Some((leader, epoch)) = state.vote {
            if peer.leader_epoch != epoch {
                cx.log(Level::Warning, format!("{name} voted for {leader} {epoch}"));
            }
            peer.leader = Some(leader);
            peer.leader_epoch = epoch;
        }
    }

    /// The master is down, and who belonged to it before SENTINEL RESET was not told anew: what was known then is better
    /// than nothing.
    fn recall_before_reset(&mut self, cx: &mut Context) {
        let Some(before) = self.before_reset.take() else {
            return;
        };
        for addr in before.slaves {
            if !self.slaves.iter().any(|slave| slave.node.addr.is(&addr)) {
                self.add_slave(cx, addr);
            }
        }
        for (addr, runid) in before.sentinels {
            let same = |peer: &Peer| {
                peer.node.addr.is(&addr) || (runid.is_some() && peer.node.runid == runid)
            };
            if !self.peers.iter().any(same) {
                self.peers.push(Peer::known(cx.mono(), addr, runid));
                let who = Who::Peer(self.peers.len() - 1);
                self.event(cx, Level::Notice, "+sentinel", who, "");
            }
        }
        cx.persist();
    }
}

/// A ping waits for more than half the time after which the instance is down, and no error came back either.
fn command_link_seems_dead(node: &Instance, now: u64, down_after: u64, min_age: u64) -> bool {
    let waits_too_long = |at: u64| now.saturating_sub(at) > down_after / 2;
    node.command
        .as_ref()
        .is_some_and(|link| now.saturating_sub(link.opened_at) > min_age)
        && node.ping_waits_since.is_some_and(waits_too_long)
        && waits_too_long(node.last_pong)
}

/// Not even this sentinel's own hello messages came back over the subscription.
fn pubsub_link_seems_dead(node: &Instance, now: u64, periods: &Periods) -> bool {
    node.pubsub.as_ref().is_some_and(|link| {
        now.saturating_sub(link.opened_at) > periods.min_link_reconnect
            && now.saturating_sub(link.last_activity.unwrap_or(link.opened_at))
                > periods.publish.saturating_mul(3)
    })
}
