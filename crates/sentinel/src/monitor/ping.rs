//! The periodic commands: INFO, PING and the hello message; and what a reply to PING says.
//!
//! Redis sends at most one of the three per tick, and INFO again at each tick until a reply comes: an instance that
//! freezes just before an INFO is due then never gets the ping that would find it out. Here each of the three has its
//! own period, and INFO and hello wait for the reply to the last one.

use crate::context::Context;
use crate::instance::{Expect, Master, Who};
use crate::io::Reply;
use crate::timing::{
    HELLO_PERIOD, INFO_PERIOD, INFO_PERIOD_FAILOVER, MAX_PENDING_COMMANDS, PING_PERIOD,
};

use super::link::HELLO_CHANNEL;

impl Master {
    /// Sends what is due to an instance.
    pub(crate) fn send_periodic_commands(&mut self, cx: &mut Context, who: Who) {
        let now = cx.mono();
        let node = self.node(who);
        if node.disconnected() || node.pending_commands() >= MAX_PENDING_COMMANDS {
            return;
        }
        let since = |at: u64| now.saturating_sub(at);
        let is_slave = matches!(who, Who::Slave(_));
        let info_period = if is_slave && (self.odown || self.failing_over()) {
            INFO_PERIOD_FAILOVER
        } else {
            INFO_PERIOD
        };
        let info_due = !matches!(who, Who::Peer(_))
            && node.info_at.is_none_or(|at| since(at) > info_period)
            && !node.awaits(Expect::Info);
        let ping_period = self.options.down_after_ms.min(PING_PERIOD);
        let ping_due =
            since(node.last_pong) > ping_period && since(node.last_ping_sent) > ping_period / 2;
        let hello_due = since(node.last_hello_sent) > HELLO_PERIOD && !node.awaits(Expect::Hello);
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

    /// Pings an instance. The wait for an answer counts from the first ping that got none.
    pub(crate) fn send_ping(&mut self, cx: &mut Context, who: Who) {
        let now = cx.mono();
        self.send(cx, who, &[b"PING"], Expect::Pong);
        let node = self.node_mut(who);
        node.last_ping_sent = now;
        node.ping_waits_since.get_or_insert(now);
    }

    /// Takes the reply to a ping. A server that loads its data, or a slave that lost its master, is alive.
    pub(super) fn pong(&mut self, cx: &mut Context, who: Who, reply: &Reply) {
        let now = cx.mono();
        let node = self.node_mut(who);
        node.last_pong = now;
        let (Reply::Status(text) | Reply::Error(text)) = reply else {
            return;
        };
        if ["PONG", "LOADING", "MASTERDOWN"]
            .iter()
            .any(|word| text.starts_with(word))
        {
            node.last_ok_pong = now;
            node.ping_waits_since = None;
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
                .announce_ip
                .clone()
                .unwrap_or_else(|| local_ip.to_string()),
            config.announce_port.unwrap_or(config.server.port),
            config.runid,
            cx.current_epoch,
            self.name,
            master.ip,
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
    pub(crate) fn hurry_hello(&mut self) {
        for who in self.everyone() {
            let node = self.node_mut(who);
            // The reply to a hello that is under way says nothing about the one to come.
            let pending = node.command.iter_mut().flat_map(|link| &mut link.pending);
            pending
                .filter(|expect| **expect == Expect::Hello)
                .for_each(|expect| *expect = Expect::Nothing);
            node.last_hello_sent = node.last_hello_sent.saturating_sub(HELLO_PERIOD + 1);
        }
    }
}
