//! Elections: a replica of a failed master asks all masters for their vote in a new epoch, and takes over with the
//! votes of a majority. A master votes once per epoch, and its vote is on disk before it is sent.

use std::collections::BTreeSet;

use super::{Config, LinkId, LogLevel, Node, PeerKey};
use crate::message::{Body, Header, NodeFlags};
use crate::{NodeId, Now};

/// Wait before an election, for FAIL to reach everyone; plus up to as much again by chance, so that replicas do not
/// start together.
const ELECTION_DELAY_MS: u64 = 500;
/// Further wait per replica with better data.
const RANK_DELAY_MS: u64 = 1000;
/// The shortest time for votes to come in.
const SHORTEST_ELECTION_MS: u64 = 2000;
/// One reason is not logged again for so long.
const RELOG_PERIOD_MS: u64 = 300_000;
/// Nothing is logged before the master is down for the node timeout and this.
const LOG_GRACE_MS: u64 = 5000;

/// A replica's side.
#[derive(Debug, Default)]
pub(super) struct Election {
    /// When to ask for votes, of this election or the last one.
    due_ms: Option<u64>,
    rank: usize,
    requested: bool,
    epoch: u64,
    votes: BTreeSet<NodeId>,
    why_not: Option<WhyNot>,
    why_not_logged_ms: Option<u64>,
}

impl Election {
    /// Makes room for a new election at once.
    pub(super) fn reset(&mut self) {
        self.due_ms = None;
        self.requested = false;
        self.votes.clear();
    }
}

/// Why a replica of a failed master does not take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WhyNot {
    Loading,
    DataAge,
    WaitingDelay,
    Expired,
    WaitingVotes,
}

impl WhyNot {
    fn text(self) -> &'static str {
        match self {
            Self::Loading => "Waiting for the dataset to be loaded.",
            Self::DataAge => {
                "Disconnected from master for longer than allowed. Please check the 'cluster-slave-validity-factor' configuration option."
            }
            Self::WaitingDelay => "Waiting the delay before I can start a new failover.",
            Self::Expired => "Failover attempt expired.",
            Self::WaitingVotes => "Waiting for votes, but majority still not reached.",
        }
    }
}

impl Node {
    /// The replica's side: looks whether an election is needed, and drives it on.
    pub(super) fn run_election(&mut self, now: Now) {
        self.todo.failover = false;
        let manual = self.manual_failover.can_start();
        let Some(master) = self.my_master().filter(|key| {
            let master = &self.table[*key];
            (master.is(NodeFlags::FAIL) || manual) && !master.slots().is_empty()
        }) else {
            self.election.why_not = None;
            return;
        };
        if self.facts.loading {
            return self.cannot(now, master, WhyNot::Loading);
        }
        if !manual && self.data_too_old(now) {
            return self.cannot(now, master, WhyNot::DataAge);
        }
        let timeout_ms = self
            .config
            .node_timeout_ms
            .saturating_mul(2)
            .max(SHORTEST_ELECTION_MS);
        let Some(due_ms) = self.election.due_ms.filter(|due| {
            // An attempt that failed is followed by the next one after as long again.
            now.mono_ms.saturating_sub(*due) <= timeout_ms.saturating_mul(2)
        }) else {
            return self.schedule_election(now);
        };
        let due_ms = self.fall_back_in_rank(due_ms);
        if now.mono_ms < due_ms {
            self.cannot(now, master, WhyNot::WaitingDelay);
        } else if now.mono_ms - due_ms > timeout_ms {
            self.cannot(now, master, WhyNot::Expired);
        } else if !self.election.requested {
            self.request_votes();
        } else if self.election.votes.len() >= self.health.quorum() {
            self.win(now);
        } else {
            self.cannot(now, master, WhyNot::WaitingVotes);
        }
    }

    /// Data that is older than the node timeout (which the master's failure explains) by more than the validity factor
    /// allows is not worth an election.
    fn data_too_old(&self, now: Now) -> bool {
        let Config {
            node_timeout_ms,
            slave_validity_factor,
            repl_ping_period_ms,
            ..
        } = self.config;
        if slave_validity_factor == 0 {
            return false;
        }
        let age_ms = self
            .facts
            .data_as_of_ms
            .map_or(u64::MAX, |at| now.mono_ms.saturating_sub(at));
        let explained_ms = if age_ms > node_timeout_ms {
            age_ms - node_timeout_ms
        } else {
            age_ms
        };
        explained_ms
            > node_timeout_ms
                .saturating_mul(slave_validity_factor)
                .saturating_add(repl_ping_period_ms)
    }

    fn schedule_election(&mut self, now: Now) {
        let manual = self.manual_failover.is_running();
        let rank = if manual { 0 } else { self.rank() };
        let chance_ms = self.rng.below(ELECTION_DELAY_MS);
        let delay_ms = if manual {
            0
        } else {
            ELECTION_DELAY_MS + chance_ms + rank as u64 * RANK_DELAY_MS
        };
        self.election.reset();
        self.election.due_ms = Some(now.mono_ms + delay_ms);
        self.election.rank = rank;
        let offset = self.facts.repl_offset;
        self.log(
            LogLevel::Warning,
            format_args!("Start of election delayed for {delay_ms} milliseconds (rank #{rank}, offset {offset})."),
        );
        // The other replicas learn our offset, to know their rank.
        self.broadcast_pong(now, true);
    }

    /// Others may turn out to have better data while we wait.
    fn fall_back_in_rank(&mut self, due_ms: u64) -> u64 {
        let rank = self.rank();
        if self.election.requested
            || self.manual_failover.is_running()
            || rank <= self.election.rank
        {
            return due_ms;
        }
        let added_ms = (rank - self.election.rank) as u64 * RANK_DELAY_MS;
        self.election.rank = rank;
        self.election.due_ms = Some(due_ms + added_ms);
        self.log(
            LogLevel::Warning,
            format_args!("Slave rank updated to #{rank}, added {added_ms} milliseconds of delay."),
        );
        due_ms + added_ms
    }

    /// Number of replicas of our master that have more of its data.
    fn rank(&self) -> usize {
        let Some(master) = self.my_master() else {
            return 0;
        };
        let mine = self.facts.repl_offset;
        let myself = self.table.myself();
        let better = |key: &&PeerKey| **key != myself && self.table[**key].repl_offset > mine;
        self.table[master].replicas().iter().filter(better).count()
    }

    fn request_votes(&mut self) {
        let Some(epoch) = self.next_epoch() else {
            return;
        };
        self.election.epoch = epoch;
        self.election.requested = true;
        self.log(
            LogLevel::Warning,
            format_args!("Starting a failover election for epoch {epoch}."),
        );
        self.broadcast(&Body::FailoverAuthRequest);
        self.todo.update_state = true;
    }

    /// A master voted for us. Votes of masters without slots, and for another election than this one, do not count.
    pub(super) fn count_vote(&mut self, voter: PeerKey, header: &Header) {
        let peer = &self.table[voter];
        let votes = peer.is_master() && !peer.slots().is_empty();
        if votes && self.election.requested && header.current_epoch == self.election.epoch {
            let id = peer.id;
            self.election.votes.insert(id);
            self.todo.failover = true;
        }
    }

    fn win(&mut self, now: Now) {
        self.log(
            LogLevel::Warning,
            format_args!("Failover election won: I'm the new master."),
        );
        let epoch = self.election.epoch;
        if self.me().config_epoch < epoch {
            self.table.me_mut().config_epoch = epoch;
            self.log(
                LogLevel::Warning,
                format_args!("configEpoch set to {epoch} after successful failover"),
            );
        }
        self.election.reset();
        self.take_over(now);
    }

    /// Logs why this replica stands still, but not for a failover that has only begun, and not all the time.
    fn cannot(&mut self, now: Now, master: PeerKey, why: WhyNot) {
        let logged_ms = self.election.why_not_logged_ms;
        let recently = logged_ms.is_some_and(|at| now.mono_ms.saturating_sub(at) < RELOG_PERIOD_MS);
        if self.election.why_not == Some(why) && recently {
            return;
        }
        self.election.why_not = Some(why);
        let down = &self.table[master];
        let grace_ms = self.config.node_timeout_ms.saturating_add(LOG_GRACE_MS);
        if down.is(NodeFlags::FAIL) && now.mono_ms.saturating_sub(down.failed_ms) < grace_ms {
            return;
        }
        self.election.why_not_logged_ms = Some(now.mono_ms);
        self.log(
            LogLevel::Warning,
            format_args!("Currently unable to failover: {}", why.text()),
        );
    }

    /// The master's side: a replica asks for our vote.
    pub(super) fn consider_vote(
        &mut self,
        now: Now,
        link: LinkId,
        candidate: PeerKey,
        request: &Header,
    ) {
        // Only masters that serve slots are counted, so only they vote.
        if !self.is_master() || self.me().slots().is_empty() {
            return;
        }
        let id = self.table[candidate].id;
        match self.may_vote(now, candidate, request) {
            Ok(failed_master) => {
                self.last_vote_epoch = self.current_epoch;
                self.table[failed_master].voted_ms = Some(now.mono_ms);
                self.todo.save = true;
                // Over our own link, as 3.0 does it; a vote is too dear to be lost for want of one.
                let link = self.link_to(candidate).unwrap_or(link);
                self.send(link, Body::FailoverAuthAck);
                let epoch = self.current_epoch;
                self.log(
                    LogLevel::Warning,
                    format_args!("Failover auth granted to {id} for epoch {epoch}"),
                );
            }
            Err(denial) => {
                self.log(
                    LogLevel::Warning,
                    format_args!("Failover auth denied to {id}: {}", denial.text),
                );
                if let Some(owner) = denial.newer_owner {
                    // It may be that the dead master was the last one who could have told it.
                    self.send_update(candidate, owner);
                }
            }
        }
    }

    /// The candidate's master, if the candidate may have our vote.
    fn may_vote(&self, now: Now, candidate: PeerKey, request: &Header) -> Result<PeerKey, Denial> {
        let current = self.current_epoch;
        if request.current_epoch < current {
            return denied(format!(
                "reqEpoch ({}) < curEpoch({current})",
                request.current_epoch
            ));
        }
        if self.last_vote_epoch >= current {
            return denied(format!("already voted for epoch {current}"));
        }
        let node = &self.table[candidate];
        if node.is_master() {
            return denied("it is a master node".to_owned());
        }
        let Some(master) = node.master else {
            return denied("I don't know its master".to_owned());
        };
        if !self.table[master].is(NodeFlags::FAIL) && !request.says(Header::FORCE_ACK) {
            return denied("its master is up".to_owned());
        }
        let pause_ms = self.config.node_timeout_ms.saturating_mul(2);
        let voted_for_ms = self.table[master]
            .voted_ms
            .map(|at| now.mono_ms.saturating_sub(at));
        if let Some(left_ms) = voted_for_ms
            .and_then(|age| pause_ms.checked_sub(age))
            .filter(|left| *left > 0)
        {
            return denied(format!(
                "can't vote about this master before {left_ms} milliseconds"
            ));
        }
        for slot in request.slots.iter() {
            let Some(owner) = self.table.owner(slot) else {
                continue;
            };
            let epoch = self.table[owner].config_epoch;
            if epoch > request.config_epoch && !self.table.is_disowned(slot) {
                let text = format!(
                    "slot {slot} epoch ({epoch}) > reqEpoch ({})",
                    request.config_epoch
                );
                return Err(Denial {
                    text,
                    newer_owner: Some(owner),
                });
            }
        }
        Ok(master)
    }
}

/// Why a vote is refused.
struct Denial {
    text: String,
    /// Who holds the slots that the candidate is wrong about.
    newer_owner: Option<PeerKey>,
}

fn denied(text: String) -> Result<PeerKey, Denial> {
    Err(Denial {
        text,
        newer_owner: None,
    })
}
