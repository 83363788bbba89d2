//! The links to instances: opening the missing ones, naming and authenticating them, giving replies to whom they
//! belong, dropping them.

use std::net::IpAddr;

use crate::Monitor;
use crate::context::Context;
use crate::instance::{Expect, Link, Master, Who};
use crate::io::HELLO_CHANNEL;
use crate::io::{Level, LinkId, LinkKind, Reply};

impl Monitor {
    pub(super) fn link_connected(&mut self, id: LinkId, local_ip: IpAddr, peer_ip: IpAddr) {
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
            // A name is looked up by whoever connects: what it stands for now is where the link goes.
            if let Some(host) = node.addr.host() {
                cx.resolved(host, Some(peer_ip));
                node.addr.ip = Some(peer_ip);
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
                Some(Expect::Pong(sent)) => master.pong(cx, who, sent, &reply),
                Some(Expect::Info) => master.info(cx, who, &reply),
                // Only a hello that was published counts as sent; else it is tried again at the next tick.
                Some(Expect::Hello) if !matches!(reply, Reply::Error(_)) => {
                    node.last_hello_sent = now;
                }
                Some(Expect::DownState) => master.down_state(cx, who, reply),
                Some(Expect::Saturation) => master.saturation_told(cx, who, &reply),
                Some(Expect::Identity) => master.identified(cx, who, &reply),
                Some(Expect::Hello | Expect::Nothing) | None => {}
            }
        } else if let Some(link) = node.pubsub.as_mut()
            && link.pending.pop_front().is_none()
        {
            link.last_activity = Some(now);
            // Nothing comes over a subscription that was refused.
            if matches!(reply, Reply::Error(_)) {
                let link = node.pubsub.take();
                return cx.close(link);
            }
            self.hello_received(&reply);
        }
    }
}

impl Master {
    /// Opens the links that are missing, no more often than an instance is pinged.
    pub(crate) fn reconnect(&mut self, cx: &mut Context, who: Who) {
        let (now, period) = (cx.mono(), cx.periods.ping);
        let node = self.node_mut(who);
        let lately = |at: u64| now.saturating_sub(at) < period;
        if !node.disconnected() || node.last_reconnect.is_some_and(lately) {
            return;
        }
        node.last_reconnect = Some(now);
        let addr = node.addr.clone();
        if self.node(who).command.is_none() {
            let mut link = cx.connect(addr.clone(), LinkKind::Command);
            self.introduce(cx, &mut link, who, b"cmd");
            self.node_mut(who).command = Some(link);
            self.send_ping(cx, who);
            if matches!(who, Who::Peer(index) if !self.peers[index].known) {
                self.send(cx, who, &[b"SENTINEL", b"MYID"], Expect::Identity);
            }
        }
        if self.node(who).subscribes() && self.node(who).pubsub.is_none() {
            let mut link = cx.connect(addr, LinkKind::PubSub);
            self.introduce(cx, &mut link, who, b"pubsub");
            let subscribe = self.theirs(who, b"SUBSCRIBE");
            cx.send_unanswered(link.id, &[&subscribe, HELLO_CHANNEL]);
            self.node_mut(who).pubsub = Some(link);
        }
    }

    /// Gives user and password, where there are any, and a name by which CLIENT LIST of the instance shows the link.
    fn introduce(&self, cx: &mut Context, link: &mut Link, who: Who, kind: &[u8]) {
        let (user, password) = self.credentials(cx, who);
        if let Some(password) = password {
            let auth = self.theirs(who, b"AUTH");
            match user {
                Some(user) => cx.send(link, &[&auth, &user, &password], Expect::Nothing),
                None => cx.send(link, &[&auth, &password], Expect::Nothing),
            }
        }
        let myid = cx.config.myid.as_bytes();
        let name = [b"sentinel-", myid.get(..8).unwrap_or(myid), b"-", kind].concat();
        let client = self.theirs(who, b"CLIENT");
        cx.send(link, &[&client, b"SETNAME", &name], Expect::Nothing);
    }

    /// User and password for an instance. Other sentinels share this one's own password where they have none of their
    /// own.
    fn credentials(&self, cx: &Context, who: Who) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        let (options, globals) = (&self.options, &cx.config.globals);
        match who {
            Who::Master | Who::Slave(_) => (options.auth_user.clone(), options.auth_pass.clone()),
            Who::Peer(_) if globals.sentinel_pass.is_some() => {
                (globals.sentinel_user.clone(), globals.sentinel_pass.clone())
            }
            Who::Peer(_) => (None, cx.config.server.requirepass.clone()),
        }
    }

    /// What an instance calls a command: `sentinel rename-command` speaks of the master and its slaves.
    fn theirs(&self, who: Who, command: &[u8]) -> Vec<u8> {
        let renamed = &self.options.renamed;
        if renamed.is_empty() || matches!(who, Who::Peer(_)) {
            return command.to_vec();
        }
        let name = String::from_utf8_lossy(command).to_ascii_lowercase();
        renamed
            .get(&name)
            .map_or_else(|| command.to_vec(), |name| name.clone().into_bytes())
    }

    /// Sends a command over an instance's command link, if it is there.
    pub(crate) fn send(&mut self, cx: &mut Context, who: Who, words: &[&[u8]], expect: Expect) {
        let Some((command, rest)) = words.split_first() else {
            return;
        };
        let command = self.theirs(who, command);
        let words: Vec<&[u8]> = std::iter::once(&command[..])
            .chain(rest.iter().copied())
            .collect();
        if let Some(link) = &mut self.node_mut(who).command {
            cx.send(link, &words, expect);
        }
    }

    /// Drops the links of the master and its slaves, so that they are opened with other credentials.
    pub(crate) fn drop_server_links(&mut self, cx: &mut Context) {
        for who in self.everyone() {
            if !matches!(who, Who::Peer(_)) {
                self.disconnect(cx, who);
            }
        }
    }

    /// Drops the links of the other sentinels.
    pub(crate) fn drop_sentinel_links(&mut self, cx: &mut Context) {
        for index in 0..self.peers.len() {
            self.disconnect(cx, Who::Peer(index));
        }
    }

    /// Drops both links of an instance.
    pub(crate) fn disconnect(&mut self, cx: &mut Context, who: Who) {
        let node = self.node_mut(who);
        node.last_reconnect = None;
        let links = [node.command.take(), node.pubsub.take()];
        for link in links {
            cx.close(link);
        }
    }
}
