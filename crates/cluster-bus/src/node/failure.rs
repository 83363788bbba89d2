//! When a node is down: for us (PFAIL), for the majority of masters (FAIL), and when it is up again.

use super::{LogLevel, Node, PeerKey};
use crate::message::{Body, NodeFlags};
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
        let id = node.id;
        let down_for_ms = now.mono_ms.saturating_sub(node.failed_ms);
        if !node.is_master() || node.slots().is_empty() {
            let what = if node.is_master() {
                "master without slots"
            } else {
                "slave"
            };
            self.log(
                LogLevel::Notice,
                format_args!("Clear FAIL state for node {id}: {what} is reachable again."),
            );
        } else if down_for_ms > self.config.node_timeout_ms.saturating_mul(UNDO_TIME) {
            self.log(
                LogLevel::Notice,
                format_args!(
                    "Clear FAIL state for node {id}: is reachable again and nobody is serving its slots after some time."
                ),
            );
        } else {
            return;
        }
        self.table[peer].clear(NodeFlags::FAIL);
        self.todo.save = true;
        self.todo.update_state = true;
    }

    /// A master says that a node is down, or that it is not.
    pub(super) fn note_report(&mut self, now: Now, about: PeerKey, by: PeerKey, down: bool) {
        let (about_id, by_id) = (self.table[about].id, self.table[by].id);
        if down {
            let news = self.table[about].reports.insert(by, now.mono_ms).is_none();
            if news {
                let text = format_args!("Node {by_id} reported node {about_id} as not reachable.");
                self.log(LogLevel::Verbose, text);
            }
            self.agree_on_failure(now, about);
        } else if self.table[about].reports.remove(&by).is_some() {
            self.log(
                LogLevel::Verbose,
                format_args!("Node {by_id} reported node {about_id} is back online."),
            );
        }
    }

    /// Reports that still count.
    pub(super) fn failure_reports(&mut self, now: Now, about: PeerKey) -> usize {
        let validity_ms = self.config.node_timeout_ms.saturating_mul(REPORT_VALIDITY);
        let reports = &mut self.table[about].reports;
        reports.retain(|_, at_ms| now.mono_ms.saturating_sub(*at_ms) <= validity_ms);
        reports.len()
    }

    /// We cannot reach a node, and neither can the majority of the masters that serve slots: it is FAIL, and everyone
    /// is told. Those who cannot be told will see the reports too; if there is no majority, nobody can be elected.
    fn agree_on_failure(&mut self, now: Now, peer: PeerKey) {
        if !self.table[peer].is(NodeFlags::PFAIL) || self.table[peer].is(NodeFlags::FAIL) {
            return;
        }
        let voices = self.failure_reports(now, peer) + usize::from(self.is_master());
        if voices < self.health.quorum() {
            return;
        }
        let id = self.table[peer].id;
        self.log(
            LogLevel::Notice,
            format_args!("Marking node {id} as failing (quorum reached)."),
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
            self.log(
                LogLevel::Notice,
                format_args!("FAIL message received from {sender_id} about {about}"),
            );
            self.mark_failed(now, peer);
        }
    }

    /// A pong that does not come: after half the node timeout try another connection, after all of it suspect the node.
    pub(super) fn suspect_if_silent(&mut self, now: Now, peer: PeerKey) {
        let timeout_ms = self.config.node_timeout_ms;
        let Some(ping) = self.table[peer].ping_sent else {
            return;
        };
        if now.mono_ms.saturating_sub(ping.mono_ms) > timeout_ms {
            self.suspect(now, peer);
        }
    }

    /// We cannot reach a node. If the others have said so too, it is down.
    pub(super) fn suspect(&mut self, now: Now, peer: PeerKey) {
        if self.table[peer].is(NodeFlags::PFAIL.with(NodeFlags::FAIL)) {
            return;
        }
        let id = self.table[peer].id;
        self.log(
            LogLevel::Debug,
            format_args!("*** NODE {id} possibly failing"),
        );
        self.table[peer].set(NodeFlags::PFAIL);
        self.todo.update_state = true;
        if self.is_master() && !self.me().slots().is_empty() {
            self.agree_on_failure(now, peer);
        }
    }

    /// Hangs up on a node that did not answer for half the node timeout, unless the link is younger than a whole one:
    /// it may be the connection and not the node.
    pub(super) fn redial_if_silent(&mut self, now: Now, peer: PeerKey) {
        let timeout_ms = self.config.node_timeout_ms;
        let Some(ping) = self.table[peer].ping_sent else {
            return;
        };
        let Some(link) = self.table[peer]
            .link
            .and_then(|number| self.link(super::LinkId::Dialled(number)))
        else {
            return;
        };
        let link_age_ms = now.mono_ms.saturating_sub(link.opened.mono_ms);
        if link_age_ms > timeout_ms && now.mono_ms.saturating_sub(ping.mono_ms) > timeout_ms / 2 {
            self.hang_up(now, peer);
        }
    }
}
