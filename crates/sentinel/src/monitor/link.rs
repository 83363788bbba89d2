//! The links to instances: opening the missing ones, naming and authenticating them, giving replies to whom they
//! belong, dropping them.

use std::net::IpAddr;

use super::Monitor;
use crate::context::Context;
use crate::instance::{Expect, Link, Master, Who};
use crate::io::{Level, LinkId, LinkKind, Reply};

/// The channel on which sentinels tell of themselves and of the configuration.
pub(crate) const HELLO_CHANNEL: &[u8] = b"__sentinel__:hello";

impl Monitor {
    pub(super) fn link_connected(&mut self, id: LinkId, local_ip: IpAddr) {
        let cx = &mut self.cx;
        for master in &mut self.masters {
            let Some(who) = master.owner(id) else {
                continue;
            };
            let node = master.node_mut(who);
            let mut kind = "+cmd-link";
            for (link, name) in [
                (&mut node.command, "+cmd-link"),
                (&mut node.pubsub, "+pubsub-link"),
            ] {
                if let Some(link) = link.as_mut().filter(|link| link.id == id) {
                    link.local_ip = Some(local_ip);
                    kind = name;
                }
            }
            return master.event(cx, Level::Debug, kind, who, "");
        }
    }

    pub(super) fn link_closed(&mut self, id: LinkId, reason: &str) {
        for master in &mut self.masters {
            let Some(who) = master.owner(id) else {
                continue;
            };
            let node = master.node_mut(who);
            let is_command = node.command.as_ref().is_some_and(|link| link.id == id);
            let (link, kind) = if is_command {
                (&mut node.command, "-cmd-link")
            } else {
                (&mut node.pubsub, "-pubsub-link")
            };
            *link = None;
            return master.event(
                &mut self.cx,
                Level::Debug,
                kind,
                who,
                &format!(" #{reason}"),
            );
        }
    }

    pub(super) fn link_received(&mut self, id: LinkId, reply: Reply) {
        let Some((index, who)) = self
            .masters
            .iter()
            .enumerate()
            .find_map(|(index, master)| Some((index, master.owner(id)?)))
        else {
            return;
        };
        let now = self.cx.mono();
        let cx = &mut self.cx;
        let master = &mut self.masters[index];
        let node = master.node_mut(who);
        if let Some(link) = node.command.as_mut().filter(|link| link.id == id) {
            match link.pending.pop_front() {
                Some(Expect::Pong) => master.pong(cx, who, &reply),
                Some(Expect::Info) => master.info(cx, who, &reply),
                // Only a hello that was published counts as sent; else it is tried again at the next tick.
                Some(Expect::Hello) if !matches!(reply, Reply::Error(_)) => {
                    node.last_hello_sent = now;
                }
                Some(Expect::DownState) => master.down_state(cx, who, reply),
                Some(Expect::Hello | Expect::Nothing) | None => {}
            }
        } else if let Some(link) = node.pubsub.as_mut()
            && link.pending.pop_front().is_none()
        {
            link.last_activity = Some(now);
            self.hello_received(&reply);
        }
    }
}

impl Master {
    /// Opens the links that are missing.
    pub(crate) fn reconnect(&mut self, cx: &mut Context, who: Who) {
        let addr = self.node(who).addr;
        if self.node(who).command.is_none() {
            let mut link = cx.connect(addr, LinkKind::Command);
            self.introduce(cx, &mut link, b"cmd");
            self.node_mut(who).command = Some(link);
            self.send_ping(cx, who);
        }
        if self.node(who).subscribes() && self.node(who).pubsub.is_none() {
            let mut link = cx.connect(addr, LinkKind::PubSub);
            self.introduce(cx, &mut link, b"pubsub");
            cx.send_unanswered(link.id, &[b"SUBSCRIBE", HELLO_CHANNEL]);
            self.node_mut(who).pubsub = Some(link);
        }
    }

    /// Gives the password, where there is one, and a name by which CLIENT LIST of the instance shows the link.
    fn introduce(&self, cx: &mut Context, link: &mut Link, kind: &[u8]) {
        if let Some(password) = &self.options.auth_pass {
            cx.send(link, &[b"AUTH", password], Expect::Nothing);
        }
        let runid = cx.config.runid.as_bytes();
        let name = [b"sentinel-", runid.get(..8).unwrap_or(runid), b"-", kind].concat();
        cx.send(link, &[b"CLIENT", b"SETNAME", &name], Expect::Nothing);
    }

    /// Sends a command over an instance's command link, if it is there.
    pub(crate) fn send(&mut self, cx: &mut Context, who: Who, words: &[&[u8]], expect: Expect) {
        if let Some(link) = &mut self.node_mut(who).command {
            cx.send(link, words, expect);
        }
    }

    /// Drops both links of an instance.
    pub(crate) fn disconnect(&mut self, cx: &mut Context, who: Who) {
        let node = self.node_mut(who);
        let links = [node.command.take(), node.pubsub.take()];
        for link in links {
            cx.close(link);
        }
    }
}
