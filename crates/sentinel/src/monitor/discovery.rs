//! Hello messages: how sentinels find one another, and how a newer configuration spreads.

use crate::config::MAX_EPOCH;
use crate::instance::{Master, Peer, Who, is_runid};
use crate::io::{Level, Reply};
use crate::timing::MAX_KNOWN_PER_MASTER;
use crate::{Addr, context::Context};

use super::Monitor;

/// A hello message: `ip,port,runid,current epoch,master name,master ip,master port,master's config epoch`.
#[derive(Debug, PartialEq)]
struct Hello<'a> {
    sender: Addr,
    runid: &'a str,
    current_epoch: u64,
    master_name: &'a str,
    master: Addr,
    config_epoch: u64,
}

impl<'a> Hello<'a> {
    /// Reads a message; `None` where any part of it cannot be right.
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
            sender: Addr::parse(ip, port)?,
            runid: Some(runid).filter(|runid| is_runid(runid))?,
            current_epoch: epoch(current_epoch)?,
            master_name,
            master: Addr::parse(master_ip, master_port)?,
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
        if hello.runid == self.cx.config.runid {
            return;
        }
        let Some(master) = self
            .masters
            .iter_mut()
            .find(|master| master.name == hello.master_name)
        else {
            return;
        };
        let Some(index) = master.sentinel_seen(&mut self.cx, &hello) else {
            return;
        };
        master.see_epoch(&mut self.cx, hello.current_epoch);
        master.peers[index].last_hello = self.cx.mono();
        master.adopt_configuration(&mut self.cx, &hello, index);
    }
}

impl Master {
    /// The sender among the known sentinels, added where it is new. Whoever was known by the same run id or address
    /// has restarted or moved, and goes: twice counted it would have two votes.
    fn sentinel_seen(&mut self, cx: &mut Context, hello: &Hello<'_>) -> Option<usize> {
        let same_runid = |peer: &Peer| peer.node.runid.as_deref() == Some(hello.runid);
        let same_addr = |peer: &Peer| peer.node.addr == hello.sender;
        if let Some(index) = self
            .peers
            .iter()
            .position(|peer| same_runid(peer) && same_addr(peer))
        {
            return Some(index);
        }
        let duplicates: Vec<usize> = (0..self.peers.len())
            .rev()
            .filter(|&i| same_runid(&self.peers[i]) || same_addr(&self.peers[i]))
            .collect();
        for &index in &duplicates {
            self.disconnect(cx, Who::Peer(index));
            self.peers.remove(index);
        }
        if !duplicates.is_empty() {
            let detail = format!(
                " #duplicate of {}:{} or {}",
                hello.sender.ip, hello.sender.port, hello.runid
            );
            self.event(cx, Level::Notice, "-dup-sentinel", Who::Master, &detail);
        }
        if self.peers.len() >= MAX_KNOWN_PER_MASTER {
            return None;
        }
        self.peers.push(Peer::new(
            cx.mono(),
            hello.sender,
            Some(hello.runid.to_owned()),
        ));
        let index = self.peers.len() - 1;
        self.event(cx, Level::Notice, "+sentinel", Who::Peer(index), "");
        cx.persist();
        Some(index)
    }

    /// A configuration with a higher epoch wins, whoever tells of it, also over a failover of ours.
    ///
    /// (Redis compares the address with that of the old master only. A sentinel that is still reconfiguring slaves then
    /// takes the epoch of a configuration that goes back to the old master, and tells of its own promoted slave in it.)
    fn adopt_configuration(&mut self, cx: &mut Context, hello: &Hello<'_>, index: usize) {
        if self.config_epoch >= hello.config_epoch {
            return;
        }
        self.config_epoch = hello.config_epoch;
        cx.persist();
        let old = self.current_addr();
        if hello.master != old {
            self.event(
                cx,
                Level::Warning,
                "+config-update-from",
                Who::Peer(index),
                "",
            );
            self.tell_switch(cx, old, hello.master);
            self.change_address(cx, hello.master);
            self.run_reconfig_script(cx, "observer", "start", old, hello.master);
        } else if self.failover.epoch <= hello.config_epoch {
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
            good.replace("26380", "0"),
            good.replace("127.0.0.1,6379", "localhost,6379"),
            good.replace(runid, "x\nsentinel monitor"),
            good.replace(",mymaster", ""),
            String::new(),
        ] {
            assert_eq!(Hello::read(&bad), None, "{bad}");
        }
    }
}
