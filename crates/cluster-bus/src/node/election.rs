//! Elections: a replica of a failed master asks all masters for their vote in a new epoch, and takes over with the
//! votes of a majority. A master votes once per epoch, and its vote is on disk before it is sent. Where there are one or two masters,
//! replicas may vote as well: see `is_elector`.

use std::sync::Arc;

use super::io::{Config, LinkId, LogLevel};
use super::state::Node;
use super::state::{Rank, Rivals, WhyNot};
use super::table::{Peer, PeerKey};
use crate::message::{Body, Header, NodeFlags};
use crate::{Now, SlotSet};

/// Wait before an election, for FAIL to reach everyone; plus up to as much again by chance, so that replicas do not
/// start together: a thirtieth of the node timeout, but not more than this.
const LONGEST_ELECTION_DELAY_MS: u64 = 500;
/// Further wait of a replica that has no data of its master yet: it may not know of those that have.
const NO_DATA_DELAY_MS: u64 = 500;
/// The shortest time for votes to come in.
const SHORTEST_ELECTION_MS: u64 = 2000;
/// Of so many nodes that vote, all have to.
const FEW_ELECTORS: usize = 2;
/// One reason is not logged again for so long.
const RELOG_PERIOD_MS: u64 = 300_000;
/// Votes for an election that others contest have so long to come before we ask for them again.
const CONTESTED_MS: u64 = 100;
/// Nothing is logged before the master is down for the node timeout and this.
const LOG_GRACE_MS: u64 = 5000;

impl Node {
    /// The replica's side: looks whether an election is needed, and drives it on.
    pub(super) fn run_election(&mut self, now: Now) {
        self.todo.failover = false;
        let manual = self.manual_failover.can_start();
        let Some(master) = self.my_master().filter(|key| {
            let master = &self.table[*key];
            let failed = master.is(NodeFlags::FAIL) && !self.config.replica_no_failover;
            (failed || manual) && !master.slots().is_empty()
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
            return self.schedule_election(now, master);
        };
        let due_ms = self.follow_rank(now, master, due_ms);
        if now.mono_ms < due_ms {
            self.cannot(now, master, WhyNot::WaitingDelay);
        } else if now.mono_ms - due_ms > timeout_ms {
            self.cannot(now, master, WhyNot::Expired);
        } else if !self.election.requested || self.election.is_outdated(&self.claim(master)) {
            self.request_votes(master);
        } else if self.election.votes.len() >= self.health.quorum() {
            self.win(now);
        } else if self.is_undecided(now) {
            self.request_votes(master);
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

    fn schedule_election(&mut self, now: Now, master: PeerKey) {
        self.election.reset();
        let offset = self.facts.repl_offset;
        let manual = self.manual_failover.is_running();
        let rank = if manual {
            Rank::default()
        } else {
            self.rank(now, master)
        };
        let base_ms = self.election_delay_ms();
        let best = !manual && self.may_start_at_once(master, rank);
        let delay_ms = if manual || best {
            0
        } else {
            let no_data_ms = if offset == 0 { NO_DATA_DELAY_MS } else { 0 };
            base_ms + self.rng.below(base_ms) + rank.delay_ms(base_ms) + no_data_ms
        };
        self.election.due_ms = Some(now.mono_ms + delay_ms);
        self.election.rank = rank;
        if best {
            self.log(
                LogLevel::Notice,
                format_args!(
                    "This is the best ranked replica and can initiate the election immediately."
                ),
            );
        }
        let Rank { replicas, masters } = rank;
        self.log(
            LogLevel::Notice,
            format_args!(
                "Start of election delayed for {delay_ms} milliseconds (rank #{replicas}, primary rank #{masters}, offset {offset})."
            ),
        );
        // The other replicas learn our offset, to know their rank.
        self.broadcast_pong(now, true);
        if delay_ms == 0 {
            self.request_votes(master);
        }
    }

    fn election_delay_ms(&self) -> u64 {
        (self.config.node_timeout_ms / 30).min(LONGEST_ELECTION_DELAY_MS)
    }

    /// The wait is for others to hear of the failure, and to tell how much data they have. Where all replicas of the master have
    /// said that it failed, both has happened.
    fn may_start_at_once(&self, master: PeerKey, rank: Rank) -> bool {
        let myself = self.table.myself();
        let knows =
            |key: &PeerKey| *key == myself || self.table[*key].is(NodeFlags::MY_MASTER_FAIL);
        let has_data = self.facts.repl_offset != 0;
        rank.is_best() && has_data && self.table[master].replicas().iter().all(knows)
    }

    /// Others may turn out to have better data while we wait, or to be done.
    fn follow_rank(&mut self, now: Now, master: PeerKey, due_ms: u64) -> u64 {
        if self.election.requested || self.manual_failover.is_running() || now.mono_ms >= due_ms {
            return due_ms;
        }
        let base_ms = self.election_delay_ms();
        let (old, new) = (self.election.rank, self.rank(now, master));
        let mut moved_ms = (due_ms + new.delay_ms(base_ms)).saturating_sub(old.delay_ms(base_ms));
        let best = self.may_start_at_once(master, new);
        if best {
            moved_ms = now.mono_ms;
        }
        let signed = |ranks: u64, per_ms: u64| i64::try_from(ranks * per_ms).unwrap_or(i64::MAX);
        let moves = [
            ("Replica", old.replicas, new.replicas, 2 * base_ms),
            ("Failed primary", old.masters, new.masters, base_ms),
        ];
        for (what, before, after, per_ms) in moves {
            if before != after {
                let added_ms = signed(after, per_ms) - signed(before, per_ms);
                let text = format_args!(
                    "{what} rank updated to #{after}, added {added_ms} milliseconds of delay."
                );
                self.log(LogLevel::Notice, text);
            }
        }
        if best {
            self.log(
                LogLevel::Notice,
                format_args!(
                    "Myself become the best ranked replica, initiate the election immediately."
                ),
            );
        }
        self.election.rank = new;
        self.election.due_ms = Some(moved_ms);
        moved_ms
    }

    fn rank(&self, now: Now, master: PeerKey) -> Rank {
        let goes_first = |key: &&PeerKey| {
            let peer = &self.table[**key];
            **key != self.table.myself()
                && !peer.is(NodeFlags::NOFAILOVER)
                && self.has_better_data(peer)
        };
        let replicas = self.table[master].replicas().iter().filter(goes_first);
        let valid_ms = match self.config.slave_validity_factor {
            0 => u64::MAX,
            factor => self.config.node_timeout_ms.saturating_mul(factor),
        };
        let shard = self.table[master].shard;
        // Those that only we cannot reach yet count too: of many that fail together one is heard of first, and its replica would
        // contest the election of another.
        let is_down = |peer: &Peer| {
            let failed =
                peer.is(NodeFlags::FAIL) && now.mono_ms.saturating_sub(peer.failed_ms) <= valid_ms;
            failed || peer.is(NodeFlags::PFAIL)
        };
        let elects_first = |(_, peer): &(PeerKey, &Peer)| {
            is_down(peer)
                && peer.is_master()
                && !peer.slots().is_empty()
                && !peer.replicas().is_empty()
                && peer.shard < shard
        };
        Rank {
            replicas: replicas.count() as u64,
            masters: self.table.peers().filter(elects_first).count() as u64,
        }
    }

    /// What a candidate claims: its master's slots in its master's epoch.
    fn claim(&self, master: PeerKey) -> (u64, Arc<SlotSet>) {
        let master = &self.table[master];
        (master.config_epoch, Arc::clone(master.slots()))
    }

    /// Whether votes are asked for with a claim that has changed meanwhile.
    pub(super) fn asks_for_what_is_past(&self) -> bool {
        let master = self.my_master().filter(|_| self.election.requested);
        master.is_some_and(|master| self.election.is_outdated(&self.claim(master)))
    }

    /// Asks for votes in a new epoch. Again, too, as soon as we have learnt that the last request claimed what is not true any
    /// more (slots came or went meanwhile): it is refused by all who knew.
    fn request_votes(&mut self, master: PeerKey) {
        let Some(epoch) = self.next_term() else {
            return;
        };
        self.election.epoch = epoch;
        self.election.requested = true;
        self.election.votes.clear();
        self.election.rivals = Rivals::default();
        self.election.claim = Some(self.claim(master));
        if self.is_elector(self.table.myself()) {
            // It votes for itself, and for nobody else in this epoch. The epoch is on the disk before anybody hears of it.
            self.last_vote_epoch = epoch;
            self.election.votes.insert(self.me().id);
        }
        let config_epoch = self.table[master].config_epoch;
        self.log(
            LogLevel::Notice,
            format_args!(
                "Starting a failover election for epoch {epoch}, node config epoch is {config_epoch}"
            ),
        );
        self.broadcast(&Body::FailoverAuthRequest);
        self.todo.update_state = true;
    }

    /// An election that is under way, or has just failed, makes room for another one.
    pub(super) fn give_up_election(&mut self, why: &str) {
        if self.election.is_open() {
            let epoch = self.election.epoch;
            let text = format_args!("Failover election in progress for epoch {epoch}, but {why}");
            self.log(LogLevel::Warning, text);
        }
        self.election.reset();
    }

    /// A master has taken an epoch that is as new as the one in which we ask for votes, or newer: nobody can vote for us in ours
    /// any more.
    pub(super) fn give_up_past_election(&mut self, master: PeerKey) {
        let epoch = self.table[master].config_epoch;
        let waits = self.election.is_open() && self.election.requested;
        if !waits || epoch < self.election.epoch {
            return;
        }
        let label = self.table[master].label();
        self.give_up_election(&format!(
            "received a claim from node {label} with an equal or higher epoch {epoch}. Resetting the election since we cannot win an \
             election in the past."
        ));
        self.todo.failover = true;
    }

    /// Somebody else asks for votes in our epoch, or in a newer one, in which nobody votes for us any more.
    pub(super) fn note_rival(&mut self, now: Now, candidate: PeerKey, request: &Header) {
        let asked = self.election.requested && request.current_epoch >= self.election.epoch;
        let Some(master) = self.my_master().filter(|_| asked) else {
            return;
        };
        let (rival, shard) = (&self.table[candidate], self.table[master].shard);
        let before = if rival.shard == shard {
            self.has_better_data(rival)
        } else {
            rival.shard < shard
        };
        if before {
            self.election.rivals.before = true;
        } else {
            self.election.rivals.behind_ms.get_or_insert(now.mono_ms);
        }
    }

    /// Whether the votes of our epoch went to several candidates, so that nobody has won, and we are the one to ask again. The others
    /// do when we have won.
    fn is_undecided(&self, now: Now) -> bool {
        let Rivals { behind_ms, before } = self.election.rivals;
        let over = behind_ms.is_some_and(|at| now.mono_ms.saturating_sub(at) >= CONTESTED_MS);
        over && !before
    }

    /// Whether another replica of our master has more of its data, or as much and a smaller id.
    fn has_better_data(&self, peer: &Peer) -> bool {
        let mine = self.facts.repl_offset;
        peer.repl_offset > mine || (peer.repl_offset == mine && peer.id < self.me().id)
    }

    /// Whether masters are asked to vote even if they do not know of the failure yet: where a user wants it, or all replicas of our
    /// master have seen it.
    pub(super) fn forces_votes(&self) -> bool {
        if self.manual_failover.is_running() {
            return true;
        }
        let rank = self.election.rank;
        self.my_master()
            .is_some_and(|master| self.may_start_at_once(master, rank))
    }

    /// A node voted for us. Votes of those without a word, and for another election than this one, do not count.
    pub(super) fn count_vote(&mut self, voter: PeerKey, header: &Header) {
        let votes = self.is_elector(voter);
        if votes && self.election.requested && header.current_epoch == self.election.epoch {
            let id = self.table[voter].id;
            self.election.votes.insert(id);
            self.todo.failover = true;
        }
    }

    fn win(&mut self, now: Now) {
        self.log(
            LogLevel::Notice,
            format_args!("Failover election won: I'm the new primary."),
        );
        let epoch = self.election.epoch;
        if self.me().config_epoch < epoch {
            self.table.me_mut().config_epoch = epoch;
            self.log(
                LogLevel::Notice,
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
            LogLevel::Notice,
            format_args!("Currently unable to failover: {}", why.text()),
        );
        if matches!(why, WhyNot::WaitingVotes | WhyNot::Expired) {
            let (quorum, votes) = (self.health.quorum(), self.election.votes.len());
            self.log(
                LogLevel::Notice,
                format_args!("Needed quorum: {quorum}. Number of votes received so far: {votes}"),
            );
        }
    }

    /// The voter's side: a replica asks for our vote.
    pub(super) fn consider_vote(&mut self, link: LinkId, candidate: PeerKey, request: &Header) {
        // Who is not counted does not vote.
        if !self.is_elector(self.table.myself()) {
            return;
        }
        let label = self.table[candidate].label();
        match self.may_vote(candidate, request) {
            Ok(()) => {
                self.last_vote_epoch = self.current_epoch;
                self.say_epoch();
                // Over our own link, as 3.0 does it; a vote is too dear to be lost for want of one.
                let link = self.link_to(candidate).unwrap_or(link);
                self.send(link, Body::FailoverAuthAck);
                let epoch = self.current_epoch;
                self.log(
                    LogLevel::Notice,
                    format_args!("Failover auth granted to {label} for epoch {epoch}"),
                );
            }
            Err(denial) => {
                self.log(
                    LogLevel::Warning,
                    format_args!("Failover auth denied to {label}{}", denial.text),
                );
                if let Some(owner) = denial.newer_owner {
                    // It may be that the dead master was the last one who could have told it.
                    self.send_update(candidate, owner);
                }
            }
        }
    }

    /// Whether a candidate for slots of ours may have our vote: where it was agreed that it takes over, or where nobody can be elected
    /// without us. Who is given up by mistake, and votes for its successor, may vote in the next epoch before it hears of it, as the
    /// successor may: two votes of one shard, with which two nodes could win one election.
    fn helps_successor(&self, candidate: PeerKey) -> bool {
        self.manual_failover.replica == Some(candidate) || self.health.electors <= FEW_ELECTORS
    }

    /// Whether a candidate may have our vote.
    fn may_vote(&self, candidate: PeerKey, request: &Header) -> Result<(), Denial> {
        let current = self.current_epoch;
        if request.current_epoch < current {
            return denied(format!(
                ": reqEpoch ({}) < curEpoch({current})",
                request.current_epoch
            ));
        }
        if self.last_vote_epoch >= current {
            return denied(format!(": already voted for epoch {current}"));
        }
        let node = &self.table[candidate];
        let epoch = request.current_epoch;
        if node.is_master() {
            return denied(format!(" for epoch {epoch}: it is a primary node"));
        }
        let Some(master) = node.master else {
            return denied(format!(" for epoch {epoch}: I don't know its primary"));
        };
        if !self.table[master].is(NodeFlags::FAIL) && !request.says(Header::FORCE_ACK) {
            return denied(format!(" for epoch {epoch}: its primary is up"));
        }
        for slot in request.slots.iter() {
            let Some(owner) = self.table.owner(slot) else {
                continue;
            };
            if owner == self.table.myself() && !self.helps_successor(candidate) {
                let text = format!(" for epoch {epoch}: slot {slot} is served here");
                return Err(Denial {
                    text,
                    newer_owner: Some(owner),
                });
            }
            let epoch = self.table[owner].config_epoch;
            if epoch > request.config_epoch && !self.table.is_disowned(slot) {
                let text = format!(
                    ": slot {slot} epoch ({epoch}) > reqConfigEpoch ({})",
                    request.config_epoch
                );
                return Err(Denial {
                    text,
                    newer_owner: Some(owner),
                });
            }
        }
        Ok(())
    }
}

/// Why a vote is refused.
struct Denial {
    text: String,
    /// Who holds the slots that the candidate is wrong about.
    newer_owner: Option<PeerKey>,
}

fn denied(text: String) -> Result<(), Denial> {
    Err(Denial {
        text,
        newer_owner: None,
    })
}
