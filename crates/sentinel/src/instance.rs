//! What is known of the monitored processes: a master, its slaves and the other sentinels that watch it. Data and
//! small questions about it; the rules that change it are under `monitor`.

mod answers;

use std::collections::VecDeque;
use std::net::IpAddr;

use crate::addr::parse_ip;
use crate::config::{Options, SavedMaster};
use crate::context::Context;
use crate::io::{Level, LinkId};
use crate::{Addr, timing};
pub(crate) use answers::Answers;

/// A monitored master, with everything that belongs to it.
#[derive(Debug)]
pub(crate) struct Master {
    pub(crate) name: String,
    pub(crate) node: Instance,
    pub(crate) options: Options,
    /// The epoch of the configuration that says where this master is.
    pub(crate) config_epoch: u64,
    pub(crate) slaves: Vec<Slave>,
    pub(crate) peers: Vec<Peer>,
    /// Enough sentinels say that it is down.
    pub(crate) odown: bool,
    pub(crate) odown_since: Option<u64>,
    /// Whom this sentinel voted for last. Not remembered across restarts, `leader_epoch` is.
    pub(crate) leader: Option<String>,
    pub(crate) leader_epoch: u64,
    pub(crate) failover: Failover,
    pub(crate) saturation: Saturation,
    /// When another server last became the master.
    pub(crate) switched_at: Option<u64>,
    /// It answered INFO as a master since this sentinel watches it.
    pub(crate) seen_up: bool,
    /// Who belonged to it before SENTINEL RESET, until it tells anew.
    pub(crate) before_reset: Option<BeforeReset>,
}

/// The instances that SENTINEL RESET took off the lists. They come back when the master turns out to be down: nobody
/// else could tell of them then, and without them it could never be failed over.
#[derive(Debug)]
pub(crate) struct BeforeReset {
    pub(crate) slaves: Vec<Addr>,
    pub(crate) sentinels: Vec<(Addr, Option<String>)>,
    pub(crate) at: u64,
}

/// Whether a master is saturated: it answers, but late, or it refuses writes.
#[derive(Debug, Default)]
pub(crate) struct Saturation {
    /// There are signs of it at the moment, and since when that is so or not so.
    pub(crate) signs: bool,
    pub(crate) signs_since: u64,
    /// The signs have lasted.
    pub(crate) is: bool,
    pub(crate) since: u64,
    /// Why it was not relieved, as it was last logged.
    pub(crate) told: Option<&'static str>,
}

/// A slave of a master.
#[derive(Debug)]
pub(crate) struct Slave {
    pub(crate) node: Instance,
    /// How long its link to the master is down, by its own INFO; negative when it never was up.
    pub(crate) master_link_down_ms: i64,
    pub(crate) master_link_up: bool,
    /// It keeps its data from a master that came back without them.
    pub(crate) refuses_empty: bool,
    pub(crate) master_host: Option<String>,
    pub(crate) master_port: i64,
    /// When its INFO last named another master than before.
    pub(crate) conf_changed_at: u64,
    pub(crate) priority: i64,
    pub(crate) repl_offset: u64,
    /// Clients may be told of it (`replica-announced`).
    pub(crate) announced: bool,
    /// It was the master once: who followed it then may do so still.
    pub(crate) was_master: bool,
    /// It was selected to become the master.
    pub(crate) promoted: bool,
    pub(crate) reconf: Reconf,
}

/// How far a slave followed a failover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reconf {
    None,
    /// SLAVEOF went out at this time.
    Sent(u64),
    /// Its INFO names the new master.
    InProgress,
    /// Its link to the new master is up, or it was given up.
    Done,
}

/// Another sentinel that watches the same master.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) node: Instance,
    /// It proved to be who the hello message said. Before that it is a stranger: it is asked who it is, and counts for
    /// nothing.
    pub(crate) known: bool,
    /// When it was first heard of.
    pub(crate) since: u64,
    pub(crate) last_hello: u64,
    /// It says that the master is down.
    pub(crate) says_down: bool,
    pub(crate) last_down_reply: u64,
    /// When it was last asked whether the master is saturated, and when it last said so.
    pub(crate) saturation_asked_at: Option<u64>,
    pub(crate) saturation_told_at: Option<u64>,
    /// Whom it voted for, as it told us.
    pub(crate) leader: Option<String>,
    pub(crate) leader_epoch: u64,
}

/// The failover of a master.
#[derive(Debug)]
pub(crate) struct Failover {
    pub(crate) stage: Stage,
    /// The epoch it runs in, if elected.
    pub(crate) epoch: u64,
    pub(crate) changed_at: u64,
    /// When the last attempt began (a moment ahead, by the random delay), ours or one we voted for.
    pub(crate) started_at: Option<u64>,
    /// The `started_at` for which the delay was logged.
    pub(crate) delay_logged: Option<u64>,
    /// Asked for by SENTINEL FAILOVER: no election needed.
    pub(crate) forced: bool,
    /// The master itself hands over, so that nothing is lost (FAILOVER).
    pub(crate) coordinated: bool,
    /// The master hands over because it is saturated: only a slave that is not will do.
    pub(crate) relieves: bool,
}

/// The steps of a failover, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    None,
    WaitStart,
    SelectSlave,
    SendSlaveofNoOne,
    WaitPromotion,
    ReconfSlaves,
    UpdateConfig,
}

impl Stage {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::WaitStart => "wait_start",
            Self::SelectSlave => "select_slave",
            Self::SendSlaveofNoOne => "send_slaveof_noone",
            Self::WaitPromotion => "wait_promotion",
            Self::ReconfSlaves => "reconf_slaves",
            Self::UpdateConfig => "update_config",
        }
    }
}

/// What INFO says an instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Master,
    Slave,
}

impl Role {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Slave => "slave",
        }
    }
}

/// What all three kinds of monitored processes have.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) addr: Addr,
    pub(crate) runid: Option<String>,
    pub(crate) command: Option<Link>,
    pub(crate) pubsub: Option<Link>,
    /// When missing links were last opened.
    pub(crate) last_reconnect: Option<u64>,
    /// Sentinels have no pub/sub link.
    subscribes: bool,
    /// Since when a ping waits for an acceptable reply. Starts as "now", so that an instance that can never be
    /// connected to counts as down in time.
    pub(crate) ping_waits_since: Option<u64>,
    pub(crate) last_ping_sent: u64,
    /// The last acceptable reply to a ping.
    pub(crate) last_ok_pong: u64,
    /// The last reply to a ping, whatever it said.
    pub(crate) last_pong: u64,
    pub(crate) last_hello_sent: u64,
    pub(crate) sdown: bool,
    /// When it last went down; stays when it comes back.
    pub(crate) sdown_since: Option<u64>,
    pub(crate) script_kill_sent: bool,
    pub(crate) info_at: Option<u64>,
    /// The text of its last INFO.
    pub(crate) info: Vec<u8>,
    /// Since when its run id is another one and it has not answered PONG.
    pub(crate) rebooting_since: Option<u64>,
    /// Whether it hands over to another server at the moment (`master_failover_state`), and since when that is so;
    /// nothing where it cannot.
    pub(crate) handing_over: Option<(bool, u64)>,
    pub(crate) answers: Answers,
    pub(crate) role: Role,
    pub(crate) role_since: u64,
}

/// One connection to an instance.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) opened_at: u64,
    /// This side's address, once the link is up.
    pub(crate) local_ip: Option<IpAddr>,
    pub(crate) last_activity: Option<u64>,
    /// What the replies to come belong to.
    pub(crate) pending: VecDeque<Expect>,
}

/// What a reply belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Its effect is seen in INFO; the reply says nothing.
    Nothing,
    /// A ping that was sent at this time.
    Pong(u64),
    Info,
    Hello,
    DownState,
    /// Whether the master is saturated.
    Saturation,
    /// Who a stranger is.
    Identity,
}

/// Which instance of a master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Master,
    Slave(usize),
    Peer(usize),
}

impl Master {
    pub(crate) fn new(now: u64, saved: SavedMaster) -> Self {
        Self {
            node: Instance::new(now, saved.addr, Role::Master, true),
            name: saved.name,
            options: saved.options,
            config_epoch: saved.config_epoch,
            slaves: saved
                .slaves
                .into_iter()
                .map(|addr| Slave::new(now, addr))
                .collect(),
            peers: saved
                .sentinels
                .into_iter()
                .map(|(addr, runid)| Peer::known(now, addr, runid))
                .collect(),
            odown: false,
            odown_since: None,
            leader: None,
            leader_epoch: saved.leader_epoch,
            failover: Failover {
                stage: Stage::None,
                epoch: 0,
                changed_at: now,
                started_at: None,
                delay_logged: None,
                forced: false,
                coordinated: false,
                relieves: false,
            },
            saturation: Saturation::default(),
            switched_at: None,
            seen_up: false,
            before_reset: None,
        }
    }

    /// What is remembered of it. While a failover has already promoted a slave, that slave is the master, and the old
    /// master takes its place among the slaves.
    pub(crate) fn saved(&self) -> SavedMaster {
        let addr = self.current_addr().clone();
        let stands_for = |slave: &Slave| {
            if slave.node.addr.is(&addr) {
                self.node.addr.clone()
            } else {
                slave.node.addr.clone()
            }
        };
        let mut saved = SavedMaster {
            name: self.name.clone(),
            addr: addr.clone(),
            options: self.options.clone(),
            config_epoch: self.config_epoch,
            leader_epoch: self.leader_epoch,
            slaves: self.slaves.iter().map(stands_for).collect(),
            sentinels: self
                .known_peers()
                .map(|peer| (peer.node.addr.clone(), peer.node.runid.clone()))
                .collect(),
        };
        if let Some(before) = &self.before_reset {
            before.add_to(&mut saved);
        }
        saved
    }

    /// Where clients should go: the promoted slave as soon as it has acknowledged, else the master.
    pub(crate) fn current_addr(&self) -> &Addr {
        let promoted = self
            .promoted()
            .filter(|_| self.failover.stage >= Stage::ReconfSlaves);
        promoted
            .and_then(|index| self.slaves.get(index))
            .map_or(&self.node.addr, |slave| &slave.node.addr)
    }

    /// The other sentinels that count.
    pub(crate) fn known_peers(&self) -> impl Iterator<Item = &Peer> {
        self.peers.iter().filter(|peer| peer.known)
    }

    pub(crate) fn promoted(&self) -> Option<usize> {
        self.slaves.iter().position(|slave| slave.promoted)
    }

    pub(crate) fn failing_over(&self) -> bool {
        self.failover.stage != Stage::None
    }

    /// The quorum, as a count of sentinels.
    pub(crate) fn quorum(&self) -> usize {
        usize::try_from(self.options.quorum).unwrap_or(usize::MAX)
    }

    /// How many of the known sentinels, this one included, are a majority.
    pub(crate) fn majority(&self) -> usize {
        let voters = self.known_peers().count() + 1;
        voters / 2 + 1
    }

    /// The master, its slaves and its other sentinels.
    pub(crate) fn everyone(&self) -> impl Iterator<Item = Who> + use<> {
        let slaves = (0..self.slaves.len()).map(Who::Slave);
        std::iter::once(Who::Master)
            .chain(slaves)
            .chain((0..self.peers.len()).map(Who::Peer))
    }

    /// # Panics
    /// Never for a `Who` of [`Master::everyone`] or [`Master::owner`] that is used before the lists change.
    pub(crate) fn node(&self, who: Who) -> &Instance {
        match who {
            Who::Master => &self.node,
            Who::Slave(index) => &self.slaves[index].node,
            Who::Peer(index) => &self.peers[index].node,
        }
    }

    pub(crate) fn node_mut(&mut self, who: Who) -> &mut Instance {
        match who {
            Who::Master => &mut self.node,
            Who::Slave(index) => &mut self.slaves[index].node,
            Who::Peer(index) => &mut self.peers[index].node,
        }
    }

    /// Whose link this is.
    pub(crate) fn owner(&self, link: LinkId) -> Option<Who> {
        self.everyone().find(|&who| self.node(who).has_link(link))
    }

    /// How an instance is called in events: `type name ip port`, and its master behind an `@`. With `names` by host
    /// names, where there are any.
    pub(crate) fn label(&self, names: bool, who: Who) -> String {
        let place = |addr: &Addr| format!("{} {}", addr.shown(names), addr.port);
        let own = format!("{} {}", self.name, place(&self.node.addr));
        let addr = &self.node(who).addr;
        match who {
            Who::Master => format!("master {own}"),
            Who::Slave(_) => format!("slave {} {} @ {own}", addr.label(names), place(addr)),
            Who::Peer(index) => {
                let name = self.peers[index].name(names);
                format!("sentinel {name} {} @ {own}", place(addr))
            }
        }
    }

    /// Tells an event about an instance of this master.
    pub(crate) fn event(
        &self,
        cx: &mut Context,
        level: Level,
        kind: &'static str,
        who: Who,
        detail: &str,
    ) {
        let label = self.label(cx.config.globals.announce_hostnames, who);
        self.event_text(cx, level, kind, format!("{label}{detail}"));
    }

    /// Tells an event of this master with a text of its own.
    pub(crate) fn event_text(
        &self,
        cx: &mut Context,
        level: Level,
        kind: &'static str,
        text: String,
    ) {
        cx.event(
            level,
            kind,
            text,
            self.options.notification_script.as_deref(),
        );
    }
}

impl Slave {
    pub(crate) fn new(now: u64, addr: Addr) -> Self {
        Self {
            node: Instance::new(now, addr, Role::Slave, true),
            master_link_down_ms: 0,
            master_link_up: false,
            refuses_empty: false,
            master_host: None,
            master_port: 0,
            conf_changed_at: now,
            priority: timing::DEFAULT_SLAVE_PRIORITY,
            repl_offset: 0,
            announced: true,
            was_master: false,
            promoted: false,
            reconf: Reconf::None,
        }
    }

    /// Whether it replicates from the given address, by its own INFO; nothing while that cannot be known because a host
    /// name is still looked up. Without `resolve-hostnames` a host name is never equal to an address.
    pub(crate) fn follows(&self, cx: &mut Context, addr: &Addr) -> Option<bool> {
        let Some(host) = self.master_host.as_deref() else {
            return Some(false);
        };
        if self.master_port != i64::from(addr.port) {
            return Some(false);
        }
        if addr
            .host()
            .is_some_and(|known| known.eq_ignore_ascii_case(host))
        {
            return Some(true);
        }
        let ip = match parse_ip(host) {
            Some(ip) => ip,
            None if cx.config.globals.resolve_hostnames => cx.look_up(host)?,
            None => return Some(false),
        };
        Some(ip == addr.ip?)
    }
}

impl Peer {
    /// A sentinel that was heard of.
    pub(crate) fn stranger(now: u64, addr: Addr, runid: String) -> Self {
        Self {
            known: false,
            ..Self::known(now, addr, Some(runid))
        }
    }

    /// A sentinel that counts.
    pub(crate) fn known(now: u64, addr: Addr, runid: Option<String>) -> Self {
        let mut node = Instance::new(now, addr, Role::Master, false);
        node.runid = runid;
        Self {
            node,
            known: true,
            since: now,
            last_hello: now,
            says_down: false,
            last_down_reply: now,
            saturation_asked_at: None,
            saturation_told_at: None,
            leader: None,
            leader_epoch: 0,
        }
    }

    /// What it is called: its id, where that is known.
    pub(crate) fn name(&self, names: bool) -> String {
        self.node
            .runid
            .clone()
            .unwrap_or_else(|| self.node.addr.label(names))
    }
}

impl BeforeReset {
    /// Adds who is not there anyway.
    pub(crate) fn add_to(&self, saved: &mut SavedMaster) {
        for slave in &self.slaves {
            if !slave.is(&saved.addr) && !saved.slaves.iter().any(|known| known.is(slave)) {
                saved.slaves.push(slave.clone());
            }
        }
        for (addr, runid) in &self.sentinels {
            let known = |(known, id): &(Addr, Option<String>)| {
                known.is(addr) || (id.is_some() && id == runid)
            };
            if !saved.sentinels.iter().any(known) {
                saved.sentinels.push((addr.clone(), runid.clone()));
            }
        }
    }
}

impl Instance {
    fn new(now: u64, addr: Addr, role: Role, subscribes: bool) -> Self {
        Self {
            addr,
            runid: None,
            command: None,
            pubsub: None,
            last_reconnect: None,
            subscribes,
            ping_waits_since: Some(now),
            last_ping_sent: now,
            last_ok_pong: now,
            last_pong: now,
            last_hello_sent: now,
            sdown: false,
            sdown_since: None,
            script_kill_sent: false,
            info_at: None,
            info: Vec::new(),
            rebooting_since: None,
            handing_over: None,
            answers: Answers::default(),
            role,
            role_since: now,
        }
    }

    pub(crate) const fn subscribes(&self) -> bool {
        self.subscribes
    }

    /// One of the links it should have is missing.
    pub(crate) fn disconnected(&self) -> bool {
        self.command.is_none() || (self.subscribes && self.pubsub.is_none())
    }

    /// Commands whose reply is still to come, on both links.
    pub(crate) fn pending_commands(&self) -> usize {
        [&self.command, &self.pubsub]
            .into_iter()
            .flatten()
            .map(|link| link.pending.len())
            .sum()
    }

    /// Whether a reply of this kind is still to come.
    pub(crate) fn awaits(&self, expect: Expect) -> bool {
        self.command
            .as_ref()
            .is_some_and(|link| link.pending.contains(&expect))
    }

    pub(crate) fn has_link(&self, id: LinkId) -> bool {
        [&self.command, &self.pubsub]
            .into_iter()
            .flatten()
            .any(|link| link.id == id)
    }

    /// Whether it did not go down within the last `ms` milliseconds.
    pub(crate) fn not_down_for(&self, now: u64, ms: u64) -> bool {
        self.sdown_since
            .is_none_or(|since| now.saturating_sub(since) > ms)
    }
}
