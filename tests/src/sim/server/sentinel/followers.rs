//! What a sentinel was told of the replicas that it watches, so that a check can see whether it promotes the right one.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sentinel_core::{LinkId, Reply};

/// What a sentinel was told of the replicas that it watches.
#[derive(Debug, Default)]
pub(super) struct Followers {
    /// The primary is saturated, and waits for the replica to which it hands over: that one needs to be in good health, and has all then.
    pub(super) relieve: bool,
    /// Links, where they lead, and whether they are up.
    pub(super) links: BTreeMap<LinkId, (SocketAddr, bool)>,
    told: BTreeMap<SocketAddr, Told>,
    /// A bug put in on purpose: the sentinel takes the replica that has least for the one that has most.
    pub(super) upside_down: bool,
}

#[derive(Debug)]
struct Told {
    at_ms: u64,
    /// It keeps its data from a primary that lost them: it comes before those that do not.
    refuses: bool,
    offset: u64,
    /// For so many seconds its link to its primary has been down.
    alone_s: i64,
}

impl Followers {
    /// What is this old is not looked at: the sentinel may hold its server for down.
    const FRESH_MS: u64 = 900;
    /// A replica that was alone for longer may be left out, whatever the configuration is.
    const ALONE_S: i64 = 10;

    pub(super) fn opened(&mut self, link: LinkId) {
        if let Some((_, up)) = self.links.get_mut(&link) {
            *up = true;
        }
    }

    pub(super) fn closed(&mut self, link: LinkId) {
        if let Some((addr, _)) = self.links.remove(&link) {
            self.told.remove(&addr);
        }
    }

    /// Takes in a reply, and hands it on, as it is or upside down.
    pub(super) fn hear(&mut self, link: LinkId, reply: Reply, now_ms: u64) -> Reply {
        let (Reply::Bulk(bytes), Some((addr, _))) = (&reply, self.links.get(&link)) else {
            return reply;
        };
        let text = String::from_utf8_lossy(bytes).into_owned();
        let field = |name: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        };
        let Some(offset) = field("slave_repl_offset").and_then(|value| value.parse().ok()) else {
            self.told.remove(addr);
            return reply;
        };
        let alone_s = field("master_link_down_since_seconds").map_or(Some(0), |s| s.parse().ok());
        let told = Told {
            at_ms: now_ms,
            refuses: field("empty_master_refused_seconds_left").is_some(),
            offset,
            alone_s: alone_s.unwrap_or(-1),
        };
        self.told.insert(*addr, told);
        if !self.upside_down {
            return reply;
        }
        let line = |offset: u64| format!("slave_repl_offset:{offset}\r\n");
        Reply::bulk(text.replace(&line(offset), &line((1 << 40) - offset)))
    }

    /// A replica that has more than the one that was selected, and that the sentinel knows of for certain.
    pub(super) fn passed_over(&self, text: &str, now_ms: u64) -> Option<String> {
        let words: Vec<&str> = text.split(' ').collect();
        let &[_, _, ip, port, ..] = &words[..] else {
            return None;
        };
        let selected = SocketAddr::new(ip.parse().ok()?, port.parse().ok()?);
        let has = self.told.get(&selected)?;
        let worth = |told: &Told| (told.refuses, told.offset);
        let is_sure = |addr: &SocketAddr, told: &Told| {
            let up = self.links.values().filter(|link| **link == (*addr, true));
            now_ms.saturating_sub(told.at_ms) <= Self::FRESH_MS
                && (0..Self::ALONE_S).contains(&told.alone_s)
                && up.count() == 2
        };
        let (other, told) = self
            .told
            .iter()
            .find(|(addr, told)| worth(told) > worth(has) && is_sure(addr, told))?;
        Some(format!(
            "it promotes {selected}, which has {}, and knows that {other} has {}",
            has.offset, told.offset
        ))
    }
}
