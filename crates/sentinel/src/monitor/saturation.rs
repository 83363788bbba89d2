//! Saturation: a master that answers, but late, or that refuses writes. It is not down, and nobody takes its place by force.
//! Where that is asked for (`saturation-failover`), and enough sentinels see it, one of them is elected as for a failover
//! and lets the master hand over to a slave that is in better health, so that no write is lost.
//!
//! Sentinels of Redis and Valkey know nothing of it: they answer the question with an error, which says nothing, and
//! vote as for any other failover. Enough others must see the saturation.

use crate::context::Context;
use crate::instance::{Expect, Master, Role, Who};
use crate::io::{Level, Reply};

impl Master {
    /// Looks for signs of saturation; sets it where they have lasted for `down-after-milliseconds`, and clears it where there
    /// were none for as long. What is down is not saturated.
    pub(super) fn check_saturation(&mut self, cx: &mut Context) {
        let now = cx.mono();
        let threshold = self.options.saturation_threshold_ms;
        let watched = threshold > 0 && !self.node.sdown && self.node.role == Role::Master;
        let answers = &self.node.answers;
        let round_trip = answers.round_trip().filter(|ms| *ms >= threshold);
        let signs = watched && (round_trip.is_some() || answers.refuses_writes());
        if signs != self.saturation.signs {
            self.saturation.signs = signs;
            self.saturation.signs_since = now;
        }
        let lasted = now.saturating_sub(self.saturation.signs_since) >= self.options.down_after_ms;
        let is = if watched && !lasted {
            self.saturation.is
        } else {
            signs
        };
        if is == self.saturation.is {
            return;
        }
        self.saturation.is = is;
        self.saturation.since = now;
        self.saturation.told = None;
        let (kind, detail) = match (is, round_trip) {
            (false, _) => ("-saturated", String::new()),
            (true, Some(ms)) => ("+saturated", format!(" #round trip {ms} ms")),
            (true, None) => ("+saturated", " #writes refused".to_owned()),
        };
        self.event(cx, Level::Warning, kind, Who::Master, &detail);
    }

    /// In TILT times say nothing: signs must last anew behind it.
    pub(super) fn doubt_saturation(&mut self, cx: &Context) {
        self.saturation.signs_since = cx.mono();
    }

    /// Whether it hands over when it is saturated.
    pub(super) fn can_be_relieved(&self) -> bool {
        let options = &self.options;
        options.saturation_threshold_ms > 0
            && options.saturation_failover
            && self.node.handing_over.is_some()
    }

    /// The slave that a saturated master hands over to: the best of those that are not saturated themselves.
    pub(super) fn best_relief(&self, cx: &Context) -> Option<usize> {
        let threshold = self.options.saturation_threshold_ms;
        self.best_of(cx, |slave| slave.node.answers.are_good(threshold))
    }

    /// Starts a failover in which a saturated master hands over, where that is asked for and nothing speaks against it.
    pub(super) fn relieve_if_needed(&mut self, cx: &mut Context) -> bool {
        let asked_for = self.saturation.is && self.options.saturation_failover;
        if !asked_for || self.failing_over() || self.odown {
            return false;
        }
        if let Some(reason) = self.not_relieved(cx) {
            // The others need a moment to answer.
            let age = cx.mono().saturating_sub(self.saturation.since);
            let settled = age > cx.periods.ask.saturating_mul(5);
            if settled && self.saturation.told != Some(reason) {
                self.saturation.told = Some(reason);
                let text = format!(
                    "'{}' is saturated and does not hand over: {reason}",
                    self.name
                );
                cx.log(Level::Notice, text);
            }
            return false;
        }
        self.saturation.told = None;
        if !self.start_failover(cx, false) {
            return false;
        }
        self.failover.coordinated = true;
        self.failover.relieves = true;
        true
    }

    /// What speaks against a hand-over now.
    fn not_relieved(&self, cx: &Context) -> Option<&'static str> {
        let now = cx.mono();
        let pause = self.options.failover_timeout_ms.saturating_mul(2);
        let lately = |at: u64| now.saturating_sub(at) < pause;
        if self.node.handing_over.is_none() {
            return Some("it does not know how (FAILOVER)");
        }
        if self.who_see_saturation(cx) < self.quorum() {
            return Some("fewer sentinels than the quorum see it so");
        }
        if self.failover.started_at.is_some_and(lately) || self.switched_at.is_some_and(lately) {
            return Some("the last failover is less than twice the failover-timeout ago");
        }
        if self.best_relief(cx).is_none() {
            return Some("no replica is in better health");
        }
        None
    }

    /// How many sentinels hold this master for saturated, by answers that are no older than those about masters that are down.
    fn who_see_saturation(&self, cx: &Context) -> usize {
        let fresh = |at: u64| cx.mono().saturating_sub(at) <= cx.periods.ask.saturating_mul(5);
        let agree = self
            .known_peers()
            .filter(|peer| peer.saturation_told_at.is_some_and(fresh));
        1 + agree.count()
    }

    /// Asks the other sentinels whether this master is saturated for them too, where that matters.
    pub(super) fn ask_about_saturation(&mut self, cx: &mut Context) {
        let matters = self.saturation.is && self.options.saturation_failover && self.quorum() > 1;
        if !matters {
            return;
        }
        let (now, period) = (cx.mono(), cx.periods.ask);
        let (ip, port) = (cx.shown(&self.node.addr), self.node.addr.port.to_string());
        let request = ["SENTINEL", "IS-PRIMARY-SATURATED-BY-ADDR", &ip, &port].map(str::as_bytes);
        for peer in self.peers.iter_mut().filter(|peer| peer.known) {
            let due = |at: u64| now.saturating_sub(at) >= period;
            if !peer.saturation_asked_at.is_none_or(due) || peer.node.awaits(Expect::Saturation) {
                continue;
            }
            if let Some(link) = &mut peer.node.command {
                peer.saturation_asked_at = Some(now);
                cx.send(link, &request, Expect::Saturation);
            }
        }
    }

    /// Takes another sentinel's answer; an error says nothing.
    pub(super) fn saturation_told(&mut self, cx: &Context, who: Who, reply: &Reply) {
        let Who::Peer(index) = who else { return };
        let saturated = *reply == Reply::Integer(1);
        self.peers[index].saturation_told_at = saturated.then(|| cx.mono());
    }
}
