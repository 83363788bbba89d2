//! Epochs: the current epoch is the newest anyone has heard of; a config epoch is the one in which a master got its
//! slots, and of two claims to a slot the one with the higher config epoch holds. An election gives the winner an epoch
//! of its own. Others take one without asking: who takes slots over, a takeover by hand, and one side of a collision.
//!
//! Elections are held in epochs of their own, the first [`PLACES`] of each [`TERM`]; what is claimed without a vote is claimed in one
//! of those behind them. So the two are never equal, and an election outranks all that was claimed before it and not heard by those who
//! voted: what a node claims that is cut off, while its replica is elected, is old when it comes back. Each shard has its place in a
//! term, so that candidates of two of them rarely ask in one epoch, also where a takeover by hand has made masters on both sides of a
//! split.
//!
//! A node says an epoch to others once it has acted in it: voted, asked for votes, or claimed something. Then it remembers it. What it
//! only heard of it does not hand on, for those who acted in it do; so it may forget it.

use super::io::LogLevel;
use super::state::Node;
use super::table::PeerKey;
use crate::message::{Body, Header};
use crate::{MAX_EPOCH, Now};

/// From one election's epochs to the next one's. A full reshard by hand, slot by slot, takes fewer.
const TERM: u64 = 100_000;
/// Epochs of a term in which elections are held.
const PLACES: u64 = 1_000;
/// How far an epoch may be ahead of all that this node has heard of: some ten million elections. A number beyond this was made up,
/// and to believe it would end all elections, for the last epoch cannot be followed by another one.
pub(super) const MAX_EPOCH_STEP: u64 = 1 << 40;
/// Refused epochs are logged at most this often.
const REFUSED_LOG_MS: u64 = 1000;

impl Node {
    /// Whether a packet says an epoch that nobody can have handed out. A node that serves nothing and copies nobody has no
    /// history to measure with: it takes what the cluster that it joins says.
    pub(super) fn epoch_is_made_up(&mut self, now: Now, header: &Header, body: &Body) -> bool {
        let newest = header.current_epoch.max(header.config_epoch);
        let newest = match body {
            Body::Update { config_epoch, .. } => newest.max(*config_epoch),
            _ => newest,
        };
        let is_new_here = self.is_master() && self.me().slots().is_empty();
        if is_new_here || newest <= self.current_epoch.saturating_add(MAX_EPOCH_STEP) {
            return false;
        }
        let logged_ms = self.refused_epoch_ms;
        if logged_ms.is_none_or(|at| now.mono_ms.saturating_sub(at) >= REFUSED_LOG_MS) {
            self.refused_epoch_ms = Some(now.mono_ms);
            let (id, current) = (header.sender, self.current_epoch);
            let text = format_args!(
                "Ignoring a packet of node {id}: its epoch {newest} is too far ahead of the current epoch {current}."
            );
            self.log(LogLevel::Warning, text);
        }
        true
    }

    /// Learns from a known node.
    pub(super) fn note_epochs(&mut self, sender: PeerKey, header: &Header) {
        self.raise_current_epoch(header.current_epoch.max(header.config_epoch));
        if header.config_epoch > self.table[sender].config_epoch {
            self.table[sender].config_epoch = header.config_epoch;
            self.todo.save = true;
            // Who has just been elected in our epoch is a replica in our table still.
            if header.master.is_none() {
                self.give_up_past_election(sender);
            }
        }
    }

    pub(super) fn raise_current_epoch(&mut self, epoch: u64) {
        if epoch > self.current_epoch {
            self.current_epoch = epoch;
            self.todo.save = true;
        }
    }

    /// A new current epoch for what is claimed without a vote. Who claims in it votes for nobody in it: a node that knows no terms may
    /// hold an election in it.
    pub(super) fn next_epoch(&mut self) -> Option<u64> {
        let next = self.current_epoch.saturating_add(1);
        // The first term is that of a cluster which has held no election.
        let place = if next < TERM { PLACES } else { next % TERM };
        let epoch = self.advance_to(next.saturating_add(PLACES.saturating_sub(place)))?;
        self.last_vote_epoch = epoch;
        Some(epoch)
    }

    /// A new current epoch for an election: the place of this node's shard in the next term.
    pub(super) fn next_term(&mut self) -> Option<u64> {
        let terms = self.current_epoch / TERM;
        let place = self.me().shard.number() % PLACES;
        let term = terms.saturating_add(1).saturating_mul(TERM);
        self.advance_to(term.saturating_add(place))
    }

    /// `None` at the end of all epochs, where no node can be elected any more.
    fn advance_to(&mut self, epoch: u64) -> Option<u64> {
        if epoch > MAX_EPOCH {
            self.log(
                LogLevel::Warning,
                format_args!("The current epoch cannot grow any more."),
            );
            return None;
        }
        self.current_epoch = epoch;
        self.say_epoch();
        Some(epoch)
    }

    /// This node acts in the current epoch: from now on it says it, and remembers it.
    pub(super) fn say_epoch(&mut self) {
        self.said_epoch = self.current_epoch;
        self.todo.save = true;
    }

    /// Gives this node the highest config epoch that there is, without asking. False if it has it already.
    ///
    /// Two nodes may do this at a time and end with one epoch; the collision rule below parts them. Used where a vote
    /// would be too slow or cannot be had.
    pub(super) fn bump_config_epoch(&mut self) -> bool {
        let known = self
            .table
            .peers()
            .map(|(_, peer)| peer.config_epoch)
            .max()
            .unwrap_or(0);
        let highest = known.max(self.current_epoch);
        let mine = self.me().config_epoch;
        if mine != 0 && mine == highest {
            return false;
        }
        self.raise_current_epoch(highest);
        let Some(epoch) = self.next_epoch() else {
            return false;
        };
        self.claim_epoch(epoch);
        self.log(
            LogLevel::Warning,
            format_args!("New configEpoch set to {epoch}"),
        );
        true
    }

    /// A config epoch that no vote has given: all hear of it at once, since what is decided next may depend on who has the highest.
    pub(super) fn claim_epoch(&mut self, epoch: u64) {
        self.table.me_mut().config_epoch = epoch;
        self.todo.broadcast = true;
    }

    /// Gives this node a new config epoch above all that are known here, without asking, also where its own is the highest: others may
    /// have counted on meanwhile, and what a replica knows as its own may be its master's.
    pub(super) fn renew_config_epoch(&mut self) {
        if !self.bump_config_epoch()
            && let Some(epoch) = self.next_epoch()
        {
            self.claim_epoch(epoch);
        }
    }

    /// Two masters with one config epoch: the one with the smaller id takes a new one. The one with the greatest id
    /// never moves, so all end up apart.
    pub(super) fn resolve_collision(&mut self, sender: PeerKey, header: &Header) {
        let (me, other) = (self.me(), &self.table[sender]);
        let collide = me.is_master() && other.is_master() && header.config_epoch == me.config_epoch;
        // Who takes slots from us must not find our epoch above its own.
        if !collide
            || self.yielding > 0
            || other.config_epoch != me.config_epoch
            || other.id <= me.id
        {
            return;
        }
        let label = other.label();
        let Some(epoch) = self.next_epoch() else {
            return;
        };
        self.claim_epoch(epoch);
        let text =
            format_args!("configEpoch collision with node {label}. configEpoch set to {epoch}");
        self.log(LogLevel::Notice, text);
    }
}
