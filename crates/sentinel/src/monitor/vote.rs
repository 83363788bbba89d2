//! Electing the sentinel that fails a master over. Each sentinel has one vote per master and epoch and gives it to the
//! first who asks; a leader needs the majority of all known sentinels, and the quorum.
//!
//! A vote counts, and is told, only when it is on disk: else a sentinel that crashes could vote twice in an epoch. The
//! vote's reply therefore stands behind `Output::Persist`, and this sentinel's own vote is counted at the tick after it
//! was cast. Where writing failed, `sentinel vote-without-disk` decides: by default the vote is given all the same, as
//! Redis and Valkey do, and loudly; with `no` it turns into "no vote".

use std::collections::BTreeMap;

use crate::config::MAX_EPOCH;
use crate::context::Context;
use crate::instance::Master;
use crate::io::{Level, Reply};
use crate::timing::MAX_DESYNC;

/// The answer to `SENTINEL is-master-down-by-addr`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DownState {
    pub(crate) down: bool,
    /// The run id voted for, and the epoch of that vote.
    pub(crate) vote: Option<(String, u64)>,
}

impl DownState {
    /// Reads an answer; `None` for anything that is none.
    pub(crate) fn read(reply: Reply) -> Option<Self> {
        let Reply::Array(parts) = reply else {
            return None;
        };
        let [
            Reply::Integer(down),
            Reply::Bulk(leader),
            Reply::Integer(epoch),
        ] = &parts[..]
        else {
            return None;
        };
        let leader = String::from_utf8_lossy(leader).into_owned();
        let epoch = u64::try_from(*epoch).ok()?;
        Some(Self {
            down: *down == 1,
            vote: (leader != "*").then_some((leader, epoch)),
        })
    }

    pub(crate) fn reply(&self) -> Reply {
        let (leader, epoch) = self
            .vote
            .as_ref()
            .map_or(("*", 0), |(leader, epoch)| (leader, *epoch));
        let epoch = i64::try_from(epoch).unwrap_or(i64::MAX);
        Reply::Array(vec![
            Reply::Integer(i64::from(self.down)),
            Reply::bulk(leader),
            Reply::Integer(epoch),
        ])
    }
}

impl Master {
    /// Votes for `candidate` in `epoch`, unless a vote was already given in it or in a later one. Gives the vote that
    /// stands: run id and epoch; `None` when it was given before a restart, to somebody forgotten.
    pub(crate) fn vote(
        &mut self,
        cx: &mut Context,
        epoch: u64,
        candidate: &str,
    ) -> Option<(String, u64)> {
        self.see_epoch(cx, epoch);
        if self.leader_epoch < epoch && cx.current_epoch <= epoch {
            self.leader = Some(candidate.to_owned());
            self.leader_epoch = epoch;
            cx.persist();
            self.event_text(
                cx,
                Level::Warning,
                "+vote-for-leader",
                format!("{candidate} {epoch}"),
            );
            // Who voted for another waits before trying a failover itself.
            if !candidate.eq_ignore_ascii_case(&cx.config.myid) {
                self.failover.started_at = Some(cx.mono() + cx.rng.below(MAX_DESYNC));
            }
        }
        self.leader
            .clone()
            .map(|leader| (leader, self.leader_epoch))
    }

    /// Moves the current epoch up to one that was heard of.
    pub(crate) fn see_epoch(&self, cx: &mut Context, epoch: u64) {
        if epoch > cx.current_epoch && epoch <= MAX_EPOCH {
            cx.current_epoch = epoch;
            cx.persist();
            self.event_text(cx, Level::Warning, "+new-epoch", epoch.to_string());
        }
    }

    /// Casts this sentinel's vote in the epoch of its failover (for who has most votes so far, or for itself) and tells
    /// whether it is the leader.
    pub(crate) fn is_leader(&mut self, cx: &mut Context) -> bool {
        let epoch = self.failover.epoch;
        let mut votes: BTreeMap<String, usize> = BTreeMap::new();
        for peer in self.known_peers().filter(|peer| peer.leader_epoch == epoch) {
            if let Some(leader) = &peer.leader {
                *votes.entry(leader.clone()).or_default() += 1;
            }
        }
        let me = cx.config.myid.clone();
        let favourite = most_voted(&votes).map_or(me.clone(), |(leader, _)| leader.to_owned());
        let own = self.vote(cx, epoch, &favourite);
        // Who has voted in a later election does not go on with one of before, though late votes may still win it.
        if !cx.may_vote() || self.leader_epoch > epoch {
            return false;
        }
        if let Some((leader, voted_epoch)) = own
            && voted_epoch == epoch
        {
            *votes.entry(leader).or_default() += 1;
        }
        let needed = self.majority().max(self.quorum());
        most_voted(&votes)
            .is_some_and(|(leader, count)| count >= needed && leader.eq_ignore_ascii_case(&me))
    }
}

fn most_voted(votes: &BTreeMap<String, usize>) -> Option<(&str, usize)> {
    votes
        .iter()
        .map(|(leader, &count)| (leader.as_str(), count))
        .max_by_key(|&(_, count)| count)
}
