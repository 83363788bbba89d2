//! Hello messages: how sentinels find one another, and how a newer configuration spreads.
//!
//! Whoever can publish on a master can send them, with any id and address. A sentinel that was only heard of is
//! therefore a stranger until the process at its address says that it has this id (SENTINEL MYID; an old one that does
//! not know the question is taken at its word): a stranger has no vote, does not count for the majority, is believed
//! nothing, is on no list and in no file, and is forgotten when it does not answer.

use crate::Monitor;
use crate::config::{MAX_EPOCH, is_runid};
use crate::instance::{Master, Peer, Who};
use crate::io::{Level, Reply};
use crate::timing::{MAX_KNOWN_PER_MASTER, MAX_STRANGERS, STRANGER_PATIENCE};
use crate::{Addr, context::Context};

/// A hello message: `ip,port,runid,current epoch,master name,master ip,master port,master's config epoch`.
#[derive(Debug, PartialEq)]
struct Hello<'a> {
    sender: (&'a str, &'a str),
    runid: &'a str,
    current_epoch: u64,
    master_name: &'a str,
    master: (&'a str, &'a str),
    config_epoch: u64,
}

impl<'a> Hello<'a> {
    /// Reads a message; `None` where any part of it cannot be right. (Whether addresses are any is seen later.)
    fn read(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.splitn(9, ',').collect();
        let &[
            ip,
            port,
            runid,
            current_epoch,
            master_name,
            master_ip,
            master_port,
            config_epoch,
        ] = &parts[..]
        else {
            return None;
        };
        let epoch = |text: &str| text.parse().ok().filter(|&epoch: &u64| epoch <= MAX_EPOCH);
        Some(Self {
            sender: (ip, port),
            runid: Some(runid).filter(|runid| is_runid(runid))?,
            current_epoch: epoch(current_epoch)?,
            master_name,
            master: (master_ip, master_port),
            config_epoch: epoch(config_epoch)?,
        })
    }
}

impl Monitor {
    /// Takes a message of a subscription. This sentinel's own messages come back too; they only show that the link
    /// works.
    pub(super) fn hello_received(&mut self, reply: &Reply) {
        if let Reply::Array(parts) = reply
            && let [Reply::Bulk(kind), Reply::Bulk(_), Reply::Bulk(text)] = &parts[..]
            && kind == b"message"
        {
            self.hello(text);
        }
    }

    /// Takes a hello message, from a channel or from another sentinel directly.
    pub(crate) fn hello(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        let Some(hello) = Hello::read(&text) else {
            return;
        };
        if hello.runid == self.cx.config.myid {
            return;
        }
        let Some(master) = self
            .masters
            .iter_mut()
            .find(|master| master.name == hello.master_name)
        else {
            return;
        };
        let cx = &mut self.cx;
        let sender = cx.addr(hello.sender.0, hello.sender.1);
        let place = cx.addr(hello.master.0, hello.master.1);
        let (Some(sender), Some(place)) = (sender, place) else {
            return;
        };
        let Some(index) = master.sentinel_seen(cx, sender, hello.runid) else {
            return;
        };
        master.see_epoch(cx, hello.current_epoch);
        master.peers[index].last_hello = cx.mono();
        master.adopt_configuration(cx, &place, hello.config_epoch, index);
    }
}

impl Master {
    /// The sender among the sentinels that are known. One that is not becomes a stranger.
    fn sentinel_seen(&mut self, cx: &mut Context, sender: Addr, runid: &str) -> Option<usize> {
        let same =
            |peer: &Peer| peer.node.runid.as_deref() == Some(runid) && peer.node.addr.is(&sender);
        if let Some(index) = self.peers.iter().position(same) {
            return Some(index).filter(|&index| self.peers[index].known);
        }
        if self.known_peers().count() >= MAX_KNOWN_PER_MASTER {
            return None;
        }
        let strangers = self.peers.iter().filter(|peer| !peer.known).count();
        if strangers >= MAX_STRANGERS
            && let Some(oldest) = self.peers.iter().position(|peer| !peer.known)
        {
            self.forget_peer(cx, oldest);
        }
        let stranger = Peer::stranger(cx.mono(), sender, runid.to_owned());
        self.peers.push(stranger);
        None
    }

    /// Takes a stranger's answer to the question who it is.
    pub(super) fn identified(&mut self, cx: &mut Context, who: Who, reply: &Reply) {
        let Who::Peer(index) = who else { return };
        let claimed = self.peers[index].node.runid.as_deref();
        let proven = match reply {
            Reply::Bulk(id) => claimed.is_some_and(|claimed| claimed.as_bytes() == id),
            // A sentinel from before the question.
            Reply::Error(text) => text.to_ascii_lowercase().contains("sentinel subcommand"),
            _ => false,
        };
        if proven {
            self.acquaint(cx, index);
        } else {
            self.forget_peer(cx, index);
        }
    }

    /// Makes a sentinel of a stranger. Whoever was known by the same id or address has moved or restarted, and goes:
    /// counted twice it would have two votes.
    fn acquaint(&mut self, cx: &mut Context, index: usize) {
        let mut peer = self.peers.remove(index);
        let (addr, runid) = (peer.node.addr.clone(), peer.node.runid.clone());
        let mut moved = false;
        while let Some(index) = self.peers.iter().position(|peer| peer.node.runid == runid) {
            moved |= self.peers[index].known;
            self.forget_peer(cx, index);
        }
        while let Some(index) = self.peers.iter().position(|peer| peer.node.addr.is(&addr)) {
            if self.peers[index].known {
                let who = Who::Peer(index);
                self.event(cx, Level::Notice, "+sentinel-invalid-addr", who, "");
            }
            self.forget_peer(cx, index);
        }
        peer.known = true;
        peer.last_hello = cx.mono();
        self.peers.push(peer);
        if moved {
            let detail = format!(
                " ip {} port {} for {}",
                cx.shown(&addr),
                addr.port,
                runid.unwrap_or_default()
            );
            let kind = "+sentinel-address-switch";
            self.event(cx, Level::Notice, kind, Who::Master, &detail);
        } else {
            let who = Who::Peer(self.peers.len() - 1);
            self.event(cx, Level::Notice, "+sentinel", who, "");
        }
        cx.persist();
    }

    fn forget_peer(&mut self, cx: &mut Context, index: usize) {
        self.disconnect(cx, Who::Peer(index));
        self.peers.remove(index);
    }

    /// Forgets strangers that had time enough to answer.
    pub(crate) fn drop_silent_strangers(&mut self, cx: &mut Context) {
        let now = cx.mono();
        let silent =
            |peer: &Peer| !peer.known && now.saturating_sub(peer.since) > STRANGER_PATIENCE;
        while let Some(index) = self.peers.iter().position(silent) {
            self.forget_peer(cx, index);
        }
    }

    /// A configuration with a higher epoch wins, whoever tells of it, also over a failover of ours.
    ///
    /// (Redis compares the address with that of the old master only. A sentinel that is still reconfiguring slaves then
    /// takes the epoch of a configuration that goes back to the old master, and tells of its own promoted slave in it.)
    fn adopt_configuration(
        &mut self,
        cx: &mut Context,
        place: &Addr,
        config_epoch: u64,
        index: usize,
    ) {
        if self.config_epoch >= config_epoch {
            return;
        }
        self.config_epoch = config_epoch;
        cx.persist();
        let old = self.current_addr().clone();
        if !place.is(&old) {
            self.event(
                cx,
                Level::Warning,
                "+config-update-from",
                Who::Peer(index),
                "",
            );
            self.tell_switch(cx, &old, place);
            self.change_address(cx, place);
            self.run_reconfig_script(cx, "observer", "start", &old, place);
        } else if self.failover.epoch <= config_epoch {
            self.abort_obsolete_failover(cx);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_message_with_sane_parts_is_one() {
        let runid = "46c4e8095e87ae3da36051818063f69fa7ca0419";
        let good = format!("127.0.0.1,26380,{runid},3,mymaster,127.0.0.1,6379,2");
        assert_eq!(Hello::read(&good).unwrap().config_epoch, 2);
        for bad in [
            format!("{good},x"),
            good.replace(",2", ",18446744073709551615"),
            good.replace(",3,", ",-1,"),
            good.replace(runid, "x\nsentinel monitor"),
            good.replace(",mymaster", ""),
            String::new(),
        ] {
            assert_eq!(Hello::read(&bad), None, "{bad}");
        }
    }
}
