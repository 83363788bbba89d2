//! CLUSTER FAILOVER without loss of data: the replica asks its master to pause clients, waits until it has processed
//! all of the master's data, and only then runs an election, with votes that are given although the master is up.

use super::io::{Event, LinkId, LogLevel};
use super::state::ManualFailover;
use super::state::Node;
use super::table::PeerKey;
use crate::Now;
use crate::message::{Body, Header, PingKind};

/// How long the master pauses its clients, in times of `cluster-manual-failover-timeout`.
const PAUSE_FACTOR: u64 = 2;

impl Node {
    /// Whether clients are paused here because a replica of this master is to take over.
    #[must_use]
    pub fn pauses_for_failover(&self) -> bool {
        self.manual_failover.paused
    }

    /// Replica: begins an attempt; `at_once` without waiting for the master.
    pub(super) fn begin_manual_failover(&mut self, now: Now, at_once: bool) {
        self.reset_manual_failover();
        let timeout_ms = self.config.manual_failover_timeout_ms;
        self.manual_failover.ends_ms = Some(now.mono_ms.saturating_add(timeout_ms));
        if at_once {
            self.start_manual_failover();
        }
    }

    /// Replica: votes may be asked for.
    fn start_manual_failover(&mut self) {
        self.manual_failover.can_start = true;
        self.todo.failover = true;
        self.give_up_election("received a new manual failover. Resetting the election.");
    }

    /// Ends an attempt, or makes room for another one.
    pub(super) fn reset_manual_failover(&mut self) {
        if std::mem::take(&mut self.manual_failover).paused {
            self.emit(Event::ResumeClients);
        }
    }

    /// Master: one of our replicas wants to take over.
    pub(super) fn start_pause(&mut self, now: Now, link: LinkId, sender: PeerKey) {
        if !self.is_master() || self.table[sender].master != Some(self.table.myself()) {
            return;
        }
        self.reset_manual_failover();
        let timeout_ms = self.config.manual_failover_timeout_ms;
        self.manual_failover = ManualFailover {
            ends_ms: Some(now.mono_ms.saturating_add(timeout_ms)),
            replica: Some(sender),
            asked_on: Some(link),
            paused: true,
            ..ManualFailover::default()
        };
        self.emit(Event::PauseClients {
            for_ms: timeout_ms.saturating_mul(PAUSE_FACTOR),
        });
        let label = self.table[sender].label();
        self.log(
            LogLevel::Notice,
            format_args!("Manual failover requested by replica {label}."),
        );
        // The replica learns our offset at once.
        self.send_ping(now, link, PingKind::Ping);
    }

    /// Master: a link has ended. If a replica asked on it, it does not wait for us any more: a master that was stopped reads the
    /// request long after it was given up, and must not hold up writes for it.
    pub(super) fn stop_pause(&mut self, link: LinkId) {
        if self.manual_failover.asked_on == Some(link) {
            self.log(
                LogLevel::Notice,
                format_args!("The replica that requested a manual failover has hung up."),
            );
            self.reset_manual_failover();
        }
    }

    /// Replica: a new link to the master is up. What was asked on the last one is asked again.
    pub(super) fn ask_for_pause(&mut self, link: LinkId, master: PeerKey) {
        let attempt = &self.manual_failover;
        if self.my_master() == Some(master)
            && attempt.is_running()
            && !attempt.can_start
            && attempt.master_offset.is_none()
        {
            self.send(link, Body::ManualFailoverStart);
        }
    }

    /// Replica: a packet of our master says that its clients are paused, so its offset is the last one.
    pub(super) fn note_paused_master(&mut self, sender: PeerKey, header: &Header) {
        let ours = self.my_master() == Some(sender) && header.says(Header::PAUSED);
        if ours && self.manual_failover.is_running() && self.manual_failover.master_offset.is_none()
        {
            let offset = header.repl_offset;
            self.manual_failover.master_offset = Some(offset);
            self.log(
                LogLevel::Notice,
                format_args!(
                    "Received replication offset for paused primary manual failover: {offset}"
                ),
            );
            self.advance_manual_failover();
        }
    }

    /// Gives up an attempt that took too long.
    pub(super) fn expire_manual_failover(&mut self, now: Now) {
        if self
            .manual_failover
            .ends_ms
            .is_some_and(|end| end < now.mono_ms)
        {
            self.log(
                LogLevel::Warning,
                format_args!("Manual failover timed out."),
            );
            // A master that has not answered must not pause for us later.
            if let Some(master) = self.my_master()
                && self.manual_failover.master_offset.is_none()
            {
                self.hang_up(now, master);
            }
            self.reset_manual_failover();
        }
    }

    /// Replica: starts the election once all of the master's data is here.
    pub(super) fn advance_manual_failover(&mut self) {
        let attempt = &self.manual_failover;
        if attempt.is_running()
            && !attempt.can_start
            && attempt
                .master_offset
                .is_some_and(|offset| self.facts.repl_offset >= offset)
        {
            self.start_manual_failover();
            self.log(
                LogLevel::Notice,
                format_args!(
                    "All primary replication stream processed, manual failover can start."
                ),
            );
        }
    }
}
