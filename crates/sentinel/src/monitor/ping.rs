//! The periodic commands: INFO, PING and the hello message; and what a reply to PING says.
//!
//! Redis sends at most one of the three per tick, and INFO again at each tick until a reply comes: an instance that
//! freezes just before an INFO is due then never gets the ping that would find it out. Here each of the three has its
//! own period, and INFO and hello wait for the reply to the last one.

use crate::context::Context;
use crate::instance::{Expect, Master, Stage, Who};
use crate::io::HELLO_CHANNEL;
use crate::io::Reply;
use crate::timing::{INFO_PERIOD_FAILOVER, MAX_PENDING_COMMANDS};

impl Master {
    /// Sends what is due to an instance.
    pub(crate) fn send_periodic_commands(&mut self, cx: &mut Context, who: Who) {
        let now = cx.mono();
        let node = self.node(who);
        if node.disconnected() || node.pending_commands() >= MAX_PENDING_COMMANDS {
            return;
        }
        let since = |at: u64| now.saturating_sub(at);
        // A slave that is about to matter, or whose link is down, is looked at more closely.
        let closely = match who {
            Who::Slave(index) => {
                self.odown || self.failing_over() || self.slaves[index].master_link_down_ms != 0
            }
            _ => false,
        };
        let info_period = if closely {
            INFO_PERIOD_FAILOVER.min(cx.periods.info)
        } else {
            cx.periods.info
        };
        let info_due = !matches!(who, Who::Peer(_))
            && node.info_at.is_none_or(|at| since(at) > info_period)
            && !node.awaits(Expect::Info);
        let ping_period = self.options.down_after_ms.min(cx.periods.ping);
        let ping_due =
            since(node.last_pong) > ping_period && since(node.last_ping_sent) > ping_period / 2;
        let hello_due = since(node.last_hello_sent) > cx.periods.publish
            && !node.awaits(Expect::Hello)
            && !self.holds_writes(who);
        if info_due {
            self.send(cx, who, &[b"INFO"], Expect::Info);
        }
        if ping_due {
            self.send_ping(cx, who);
        }
        if hello_due {
            self.send_hello(cx, who);
        }
    }

    /// Whether an instance holds writes back because it hands over: a PUBLISH would be stuck in it.
    fn holds_writes(&self, who: Who) -> bool {
        let failover = &self.failover;
        let coordinated = who == Who::Master
            && failover.coordinated
            && failover.stage <= Stage::WaitPromotion
            && failover.stage != Stage::None;
        coordinated || matches!(self.node(who).handing_over, Some((true, _)))
    }

    /// Pings an instance. The wait for an answer counts from the first ping that got none.
    pub(crate) fn send_ping(&mut self, cx: &mut Context, who: Who) {
        let now = cx.mono();
        self.send(cx, who, &[b"PING"], Expect::Pong(now));
        let node = self.node_mut(who);
        node.last_ping_sent = now;
        node.ping_waits_since.get_or_insert(now);
    }

    /// Takes the reply to a ping that was sent at `sent`. A server that loads its data, or a slave that lost its master, is
    /// alive; so is a master that refuses writes where it hands over for that.
    pub(super) fn pong(&mut self, cx: &mut Context, who: Who, sent: u64, reply: &Reply) {
        let now = cx.mono();
        let relieved = who == Who::Master && self.can_be_relieved();
        let node = self.node_mut(who);
        node.last_pong = now;
        node.answers.ping_took(now.saturating_sub(sent));
        let (Reply::Status(text) | Reply::Error(text)) = reply else {
            return;
        };
        let misconfigured = text.starts_with("MISCONF");
        node.answers.ping_refused = misconfigured;
        let alive = ["PONG", "LOADING", "MASTERDOWN"]
            .iter()
            .any(|word| text.starts_with(word));
        if alive || (misconfigured && relieved) {
            node.last_ok_pong = now;
            node.ping_waits_since = None;
            if text.starts_with("PONG") {
                node.rebooting_since = None;
            }
        } else if text.starts_with("BUSY") && node.sdown && !node.script_kill_sent {
            // It is down because of a script that does not end.
            node.script_kill_sent = true;
            self.send(cx, who, &[b"SCRIPT", b"KILL"], Expect::Nothing);
        }
    }

    /// Tells an instance of this sentinel and of the configuration it knows: PUBLISH, which a sentinel understands too.
    fn send_hello(&mut self, cx: &mut Context, who: Who) {
        let Some(local_ip) = self
            .node(who)
            .command
            .as_ref()
            .and_then(|link| link.local_ip)
        else {
            return;
        };
        let config = &cx.config;
        let master = self.current_addr();
        let hello = format!(
            "{},{},{},{},{},{},{},{}",
            config
                .globals
                .announce_ip
                .clone()
                .filter(|ip| !ip.is_empty())
                .unwrap_or_else(|| local_ip.to_string()),
            config
                .globals
                .announce_port
                .unwrap_or_else(|| own_port(&config.server)),
            config.myid,
            cx.current_epoch,
            self.name,
            cx.shown(master),
            master.port,
            self.config_epoch,
        );
        self.send(
            cx,
            who,
            &[b"PUBLISH", HELLO_CHANNEL, hello.as_bytes()],
            Expect::Hello,
        );
    }

    /// Makes a hello message due for everybody: the configuration changed.
    pub(crate) fn hurry_hello(&mut self, cx: &Context) {
        let period = cx.periods.publish;
        for who in self.everyone() {
            let node = self.node_mut(who);
            // The reply to a hello that is under way says nothing about the one to come.
            let pending = node.command.iter_mut().flat_map(|link| &mut link.pending);
            pending
                .filter(|expect| **expect == Expect::Hello)
                .for_each(|expect| *expect = Expect::Nothing);
            node.last_hello_sent = node
                .last_hello_sent
                .saturating_sub(period.saturating_add(1));
        }
    }
}

/// The port that others are told: where instances speak TLS, the one for that.
fn own_port(server: &conf::ServerConfig) -> u16 {
    if server.tls_replication && server.tls_port > 0 {
        server.tls_port
    } else {
        server.port
    }
}
