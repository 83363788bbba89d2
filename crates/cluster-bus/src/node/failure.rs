//! When a node is down: for us (PFAIL), for the majority of masters (FAIL), and when it is up again.

use super::io::LogLevel;
use super::state::Node;
use super::table::PeerKey;
use crate::message::{Body, NodeFlags, PingKind};
use crate::{NodeId, Now};

/// How long a report of failure counts, in node timeouts.
const REPORT_VALIDITY: u64 = 2;
/// How long a master must have been FAIL before it is believed that nobody will replace it, in node timeouts.
const UNDO_TIME: u64 = 2;

impl Node {
    /// A pong came from the node that we dialled.
    pub(super) fn note_pong(&mut self, now: Now, peer: PeerKey) {
        let node = &mut self.table[peer];
        node.pong_received = Some(now);
        node.ping_sent = None;
        if node.is(NodeFlags::PFAIL) {
            node.clear(NodeFlags::PFAIL);
            self.todo.save = true;
            self.todo.update_state = true;
        } else if node.is(NodeFlags::FAIL) {
            self.undo_failure(now, peer);
        }
    }

    /// A node that is FAIL answers. A replica, or a master that serves nothing, is back at once. A master with slots
    /// is not: its replicas may be electing a successor. If it still has its slots after a while, nobody wants them.
    fn undo_failure(&mut self, now: Now, peer: PeerKey) {
        let node = &self.table[peer];
        let down_for_ms = now.mono_ms.saturating_sub(node.failed_ms);
        let why = if !node.is_master() {
            "replica is reachable again."
        } else if node.slots().is_empty() {
            "primary without slots is reachable again."
        } else if down_for_ms > self.config.node_timeout_ms.saturating_mul(UNDO_TIME) {
            "is reachable again and nobody is serving its slots after some time."
        } else {
            return;
        };
        self.clear_failure(peer, why);
    }

    /// A node has taken slots over, as it says itself: if it is FAIL, that was before.
    pub(super) fn note_takeover(&mut self, peer: PeerKey) {
        if self.table[peer].is(NodeFlags::FAIL) {
            self.clear_failure(peer, "has taken over slots.");
        }
    }

    fn clear_failure(&mut self, peer: PeerKey, why: &str) {
        let label = self.table[peer].label();
        let text = format_args!("Clear FAIL state for node {label}: {why}");
        self.log(LogLevel::Notice, text);
        self.table[peer].clear(NodeFlags::FAIL);
        self.todo.save = true;
        self.todo.update_state = true;
    }

    /// A node says that another one is down, which counts if its word does, or that it is not. What is agreed on already needs no
    /// more witnesses: once it is back, old ones are not to bring it down again.
    pub(super) fn note_report(&mut self, now: Now, about: PeerKey, by: PeerKey, down: bool) {
        let counts = self.is_elector(by) && !self.table[about].is(NodeFlags::FAIL);
        let reports = &mut self.table[about].reports;
        let (news, how) = if down {
            let is_new = counts && reports.insert(by, now.mono_ms).is_none();
            (is_new, "as not reachable")
        } else {
            (reports.remove(&by).is_some(), "is back online")
        };
        if news {
            let (about, by) = (self.table[about].label(), self.table[by].label());
            let text = format_args!("Node {by} reported node {about} {how}.");
            self.log(LogLevel::Verbose, text);
        }
        if down {
            self.agree_on_failure(now, about);
        }
    }

    /// Reports that still count.
    pub(super) fn failure_reports(&mut self, now: Now, about: PeerKey) -> usize {
        let validity_ms = self.config.node_timeout_ms.saturating_mul(REPORT_VALIDITY);
        let reports = &mut self.table[about].reports;
        reports.retain(|_, at_ms| now.mono_ms.saturating_sub(*at_ms) <= validity_ms);
        reports.len()
    }

    /// We cannot reach a node, and neither can the majority of those whose word counts: it is FAIL, and everyone
    /// is told. Those who cannot be told will see the reports too; if there is no majority, nobody can be elected.
    fn agree_on_failure(&mut self, now: Now, peer: PeerKey) {
        if !self.table[peer].is(NodeFlags::PFAIL) || self.table[peer].is(NodeFlags::FAIL) {
            return;
        }
        let ours = usize::from(self.is_elector(self.table.myself()));
        let voices = self.failure_reports(now, peer) + ours;
        if voices < self.health.quorum() {
            return;
        }
        let (id, label) = (self.table[peer].id, self.table[peer].label());
        self.log(
            LogLevel::Notice,
            format_args!("Marking node {label} as failing (quorum reached)."),
        );
        self.mark_failed(now, peer);
        // A replica tells it too: it may ask for votes at once, and masters that do not know deny them.
        self.broadcast(&Body::Fail(id));
    }

    fn mark_failed(&mut self, now: Now, peer: PeerKey) {
        let node = &mut self.table[peer];
        node.clear(NodeFlags::PFAIL);
        node.set(NodeFlags::FAIL);
        node.failed_ms = now.mono_ms;
        self.todo.save = true;
        self.todo.update_state = true;
        self.todo.failover |= self.my_master() == Some(peer);
    }

    /// Another node knows of a majority.
    pub(super) fn receive_fail(
        &mut self,
        now: Now,
        sender: Option<PeerKey>,
        sender_id: NodeId,
        about: NodeId,
    ) {
        if sender.is_none() {
            let text =
                format_args!("Ignoring FAIL message from unknown node {sender_id} about {about}");
            self.log(LogLevel::Notice, text);
            return;
        }
        let Some(peer) = self.table.find(about) else {
            return;
        };
        if !self.table[peer].is(NodeFlags::FAIL.with(NodeFlags::MYSELF)) {
            let label = self.table[peer].label();
            let by = sender.map_or_else(|| sender_id.to_string(), |by| self.table[by].label());
            self.log(
                LogLevel::Notice,
                format_args!("FAIL message received from {by} about {label}"),
            );
            self.mark_failed(now, peer);
        }
    }

    /// Suspects a node whose pong does not come for the node timeout, unless packets of its own come: the link to it may hang while it
    /// is well, such as one that was dialled to it while a partition swallowed the packets.
    pub(super) fn suspect_if_silent(&mut self, now: Now, peer: PeerKey) {
        let timeout_ms = self.config.node_timeout_ms;
        let Some(ping) = self.table[peer].ping_sent else {
            return;
        };
        let silent_since_ms = ping.mono_ms.max(self.table[peer].heard_ms);
        if now.mono_ms.saturating_sub(silent_since_ms) > timeout_ms {
            self.suspect(now, peer);
        }
    }

    /// We cannot reach a node. If the others have said so too, it is down.
    pub(super) fn suspect(&mut self, now: Now, peer: PeerKey) {
        if self.table[peer].is(NodeFlags::PFAIL.with(NodeFlags::FAIL)) {
            return;
        }
        let label = self.table[peer].label();
        self.log(
            LogLevel::Debug,
            format_args!("*** NODE {label} possibly failing"),
        );
        self.table[peer].set(NodeFlags::PFAIL);
        self.todo.update_state = true;
        if self.is_elector(self.table.myself()) {
            self.agree_on_failure(now, peer);
            self.warn_replicas(now, peer);
        }
    }

    /// Those who are to take its place hear at once that we cannot reach a node: so they, and through them all, know of the failure as
    /// soon as the majority does, however rarely two nodes of a large cluster talk.
    fn warn_replicas(&mut self, now: Now, master: PeerKey) {
        for replica in self.table[master].replicas().to_vec() {
            if let Some(link) = self
                .link_to(replica)
                .filter(|_| replica != self.table.myself())
            {
                self.send_ping(now, link, PingKind::Pong);
            }
        }
    }

    /// Hangs up on a node that did not answer for half the node timeout, unless the link is younger than a whole one:
    /// it may be the connection and not the node.
    pub(super) fn redial_if_silent(&mut self, now: Now, peer: PeerKey) {
        let timeout_ms = self.config.node_timeout_ms;
        let waited_long = |ping: &Now| now.mono_ms.saturating_sub(ping.mono_ms) > timeout_ms / 2;
        if !self.table[peer].ping_sent.as_ref().is_some_and(waited_long) {
            return;
        }
        let Some(link) = self.table[peer]
            .link
            .and_then(|number| self.link(super::io::LinkId::Dialled(number)))
        else {
            return;
        };
        let link_age_ms = now.mono_ms.saturating_sub(link.opened.mono_ms);
        if link_age_ms > timeout_ms {
            self.hang_up(now, peer);
        }
    }
}
