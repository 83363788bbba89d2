//! The SENTINEL command: its subcommands, one function each, and how instances are described. What only sets something is
//! in `settings`.

use std::fmt::Display;

use resp::glob;
use resp::number::parse_integer;

use super::help;
use crate::addr::{is_host_name, parse_ip};
use crate::config::{Options, SavedMaster};
use crate::context::Context;
use crate::instance::{Instance, Master, Reconf, Who};
use crate::io::{ClientId, Level, Reply};
use crate::monitor::vote::DownState;
use crate::{Addr, Monitor};

pub(super) const NO_SUCH_MASTER: &str = "No such master with that name";

impl Monitor {
    /// Runs a subcommand. `None` when the reply was queued already.
    pub(super) fn sentinel(
        &mut self,
        client: ClientId,
        sub: &str,
        args: &[Vec<u8>],
    ) -> Option<Reply> {
        let first = args.first().map_or(&[][..], Vec::as_slice);
        let name = String::from_utf8_lossy(first).into_owned();
        Some(match sub {
            "masters" | "primaries" => {
                let masters = self.masters.iter();
                Reply::Array(
                    masters
                        .map(|master| describe(&self.cx, master, Who::Master))
                        .collect(),
                )
            }
            "master" | "primary" => {
                self.of_master(&name, |cx, master| describe(cx, master, Who::Master))
            }
            "slaves" | "replicas" => self.of_master(&name, |cx, master| {
                describe_all(
                    cx,
                    master,
                    |who| matches!(who, Who::Slave(index) if master.slaves[index].announced),
                )
            }),
            "sentinels" => self.of_master(&name, |cx, master| {
                describe_all(
                    cx,
                    master,
                    |who| matches!(who, Who::Peer(index) if master.peers[index].known),
                )
            }),
            "get-master-addr-by-name" | "get-primary-addr-by-name" => self.master_addr(&name),
            "is-master-down-by-addr" | "is-primary-down-by-addr" => {
                return self.is_master_down(client, args);
            }
            "is-primary-saturated-by-addr" => self.is_master_saturated(args),
            "myid" => Reply::bulk(&self.cx.config.myid),
            "pending-scripts" => self.cx.scripts.pending(self.cx.mono()),
            "info-cache" => self.info_cache(args),
            "flushconfig" => return self.reply_when_saved(client),
            "reset" => self.reset_matching(first),
            "failover" => self.failover(&name, args.get(1..).unwrap_or_default()),
            "remove" => return self.remove(client, &name),
            "ckquorum" => self.of_master(&name, |_, master| tell_quorum(master)),
            "monitor" => return self.monitor(client, &name, args),
            "set" => return self.set(client, &name, args.get(1..).unwrap_or_default()),
            "config" => return self.config(client, args),
            "debug" => self.debug(args),
            "simulate-failure" => self.simulate_failure(args),
            _ => sentinel_help(),
        })
    }

    fn of_master(&self, name: &str, answer: impl Fn(&Context, &Master) -> Reply) -> Reply {
        let master = self.masters.iter().find(|master| master.name == name);
        master.map_or_else(
            || Reply::err(NO_SUCH_MASTER),
            |master| answer(&self.cx, master),
        )
    }

    /// Writes the state, and answers with whether that went well.
    pub(super) fn reply_when_saved(&mut self, client: ClientId) -> Option<Reply> {
        self.cx.persist();
        if self.cx.sessions.wants_reply(client) {
            let failed = Reply::err("Failed to save config file. Check server logs.");
            self.cx.reply_if_saved(client, Reply::ok(), failed);
        }
        None
    }

    fn master_addr(&self, name: &str) -> Reply {
        let Some(master) = self.masters.iter().find(|master| master.name == name) else {
            return Reply::NilArray;
        };
        let addr = master.current_addr();
        Reply::Array(vec![
            Reply::bulk(self.cx.shown(addr)),
            Reply::bulk(addr.port.to_string()),
        ])
    }

    /// `ip port epoch runid`: another sentinel asks whether a master is down and, with a run id, for a vote. In TILT
    /// nothing is down.
    fn is_master_down(&mut self, client: ClientId, args: &[Vec<u8>]) -> Option<Reply> {
        const NO_INTEGER: &str = "value is not an integer or out of range";
        let [place, port, epoch, candidate] = args else {
            return None;
        };
        let Some((port, epoch)) = parse_integer(port)
            .zip(parse_integer(epoch).and_then(|epoch| u64::try_from(epoch).ok()))
        else {
            return Some(Reply::err(NO_INTEGER));
        };
        let addr = self.asked_addr(place, port);
        let cx = &mut self.cx;
        let master = self
            .masters
            .iter_mut()
            .find(|master| addr.as_ref().is_some_and(|addr| master.node.addr.is(addr)));
        let down = master.as_ref().is_some_and(|master| master.node.sdown) && !cx.tilt();
        let vote = master.filter(|_| candidate != b"*").and_then(|master| {
            let candidate = String::from_utf8_lossy(candidate).into_owned();
            master.vote(cx, epoch, &candidate)
        });
        let without_disk = vote.clone().filter(|_| cx.config.globals.vote_without_disk);
        let unsaved = DownState {
            down,
            vote: without_disk,
        };
        let saved = DownState { down, vote };
        if cx.sessions.wants_reply(client) {
            cx.reply_if_saved(client, saved.reply(), unsaved.reply());
        }
        None
    }

    /// The address that another sentinel asks about.
    fn asked_addr(&self, place: &[u8], port: i64) -> Option<Addr> {
        let place = String::from_utf8_lossy(place);
        let port = u16::try_from(port).ok()?;
        let ip = parse_ip(&place).or_else(|| self.cx.known_ip(&place));
        Addr::named(&place, ip, port).or_else(|| Addr::new(ip?, port))
    }

    /// `ip port`: another sentinel asks whether a master is saturated. In TILT none is.
    fn is_master_saturated(&self, args: &[Vec<u8>]) -> Reply {
        let [place, port] = args else {
            return sentinel_help();
        };
        let addr = parse_integer(port).and_then(|port| self.asked_addr(place, port));
        let master = self
            .masters
            .iter()
            .find(|master| addr.as_ref().is_some_and(|addr| master.node.addr.is(addr)));
        let saturated = master.is_some_and(|master| master.saturation.is) && !self.cx.tilt();
        Reply::Integer(i64::from(saturated))
    }

    fn reset_matching(&mut self, pattern: &[u8]) -> Reply {
        let mut count = 0;
        for master in &mut self.masters {
            if glob::matches(pattern, master.name.as_bytes()) {
                master.reset_by_user(&mut self.cx);
                master.event(
                    &mut self.cx,
                    Level::Warning,
                    "+reset-master",
                    Who::Master,
                    "",
                );
                self.cx.persist();
                count += 1;
            }
        }
        Reply::Integer(count)
    }

    /// `[COORDINATED]`: without it a slave is promoted whatever the master still takes; with it the master hands over.
    fn failover(&mut self, name: &str, options: &[Vec<u8>]) -> Reply {
        if options.len() > 1 {
            return Reply::err("wrong number of arguments for 'sentinel|failover' command");
        }
        let Some(master) = self.masters.iter_mut().find(|master| master.name == name) else {
            return Reply::err(NO_SUCH_MASTER);
        };
        let coordinated = match options.first() {
            None => false,
            Some(option) if option.eq_ignore_ascii_case(b"coordinated") => true,
            Some(_) => return Reply::err("Unknown failover option specified"),
        };
        if coordinated && master.node.handing_over.is_none() {
            return Reply::Error(
                "NOGOODPRIMARY Primary does not support FAILOVER command".to_owned(),
            );
        }
        if master.failing_over() {
            return Reply::Error("INPROG Failover already in progress".to_owned());
        }
        if master.best_slave(&self.cx).is_none() {
            return Reply::Error("NOGOODSLAVE No suitable replica to promote".to_owned());
        }
        self.cx.log(
            Level::Warning,
            format!("Executing user requested FAILOVER of '{name}'"),
        );
        if !master.start_failover(&mut self.cx, !coordinated) {
            return Reply::err("no epoch is left to fail over in");
        }
        master.failover.coordinated = coordinated;
        if coordinated {
            master.ask_other_sentinels(&mut self.cx, true);
        }
        Reply::ok()
    }

    /// `name ip port quorum`: watches another master.
    fn monitor(&mut self, client: ClientId, name: &str, args: &[Vec<u8>]) -> Option<Reply> {
        let saved = match self.master_to_monitor(name, args) {
            Ok(saved) => saved,
            Err(error) => return Some(error),
        };
        let master = Master::new(self.cx.mono(), saved);
        self.masters.push(master);
        self.reply_when_saved(client);
        if let Some(master) = self.masters.last() {
            master.announce(&mut self.cx);
        }
        None
    }

    fn master_to_monitor(&self, name: &str, args: &[Vec<u8>]) -> Result<SavedMaster, Reply> {
        let [_, place, port, quorum] = args else {
            return Err(Reply::err("syntax error"));
        };
        if let Some(error) = control_characters(args, 2, "SENTINEL MONITOR") {
            return Err(error);
        }
        let quorum = parse_integer(quorum).and_then(|quorum| i32::try_from(quorum).ok());
        let quorum = quorum.ok_or_else(|| Reply::err("Invalid quorum"))?;
        let port = parse_integer(port).ok_or_else(|| Reply::err("Invalid port"))?;
        let quorum = u32::try_from(quorum)
            .ok()
            .filter(|&quorum| quorum > 0)
            .ok_or_else(|| Reply::err("Quorum must be 1 or greater."))?;
        let place = String::from_utf8_lossy(place);
        let port = u16::try_from(port).ok().filter(|&port| port > 0);
        let names = self.cx.config.globals.resolve_hostnames;
        let ip = match parse_ip(&place) {
            Some(ip) => Some(ip),
            None if names => self.cx.known_ip(&place),
            None => None,
        };
        let ip = ip.ok_or_else(|| Reply::err("Invalid IP address or hostname specified"))?;
        let port = port.ok_or_else(|| Reply::err("Invalid port number."))?;
        let addr = Addr::named(&place, Some(ip), port)
            .or_else(|| Addr::new(ip, port))
            .ok_or_else(|| Reply::err("Invalid port number."))?;
        if self.masters.iter().any(|master| master.name == name) {
            return Err(Reply::err("Duplicate master name."));
        }
        let mut options = Options::new(quorum);
        options.down_after_ms = self.cx.periods.default_down_after;
        options.failover_timeout_ms = self.cx.periods.default_failover_timeout;
        Ok(SavedMaster {
            name: name.to_owned(),
            addr,
            options,
            config_epoch: 0,
            leader_epoch: 0,
            slaves: Vec::new(),
            sentinels: Vec::new(),
        })
    }

    /// The host name that has to be looked up before a request can run, if there is one: the shell looks it up, tells
    /// what it found ([`Input::Resolved`](crate::Input::Resolved)) and brings the request then.
    #[must_use]
    pub fn unresolved(&self, request: &[Vec<u8>]) -> Option<String> {
        let [command, sub, _, place, _, _] = request else {
            return None;
        };
        let is = |word: &[u8], name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        let wanted = self.cx.config.globals.resolve_hostnames
            && is(command, "sentinel")
            && is(sub, "monitor");
        let place = std::str::from_utf8(place).ok()?;
        (wanted && is_host_name(place) && !self.cx.looked_up(place)).then(|| place.to_owned())
    }

    fn remove(&mut self, client: ClientId, name: &str) -> Option<Reply> {
        let Some(index) = self.masters.iter().position(|master| master.name == name) else {
            return Some(Reply::err(NO_SUCH_MASTER));
        };
        let mut master = self.masters.remove(index);
        master.event(&mut self.cx, Level::Warning, "-monitor", Who::Master, "");
        master.reset(&mut self.cx, false);
        self.reply_when_saved(client)
    }

    /// The last INFO of the named masters, or of all, each with its slaves.
    fn info_cache(&self, names: &[Vec<u8>]) -> Reply {
        let now = self.cx.mono();
        let cached = |node: &Instance| {
            let age = node.info_at.map_or(0, |at| now.saturating_sub(at));
            let text = match node.info_at {
                Some(_) => Reply::Bulk(node.info.clone()),
                None => Reply::Nil,
            };
            Reply::Array(vec![
                Reply::Integer(i64::try_from(age).unwrap_or(i64::MAX)),
                text,
            ])
        };
        let wanted = |master: &&Master| {
            names.is_empty() || names.iter().any(|name| name == master.name.as_bytes())
        };
        let mut parts = Vec::new();
        for master in self.masters.iter().filter(wanted) {
            let slaves = master.slaves.iter().map(|slave| &slave.node);
            parts.push(Reply::bulk(&master.name));
            parts.push(Reply::Array(
                std::iter::once(&master.node)
                    .chain(slaves)
                    .map(cached)
                    .collect(),
            ));
        }
        Reply::Array(parts)
    }
}

/// The error about a control character in one of the arguments, from the one with the given place in the request on:
/// it would have to be written into the configuration file.
pub(super) fn control_characters(args: &[Vec<u8>], first: usize, command: &str) -> Option<Reply> {
    let bad = |arg: &Vec<u8>| arg.iter().any(u8::is_ascii_control);
    let index = first + args.iter().position(bad)?;
    Some(Reply::err(format!(
        "Invalid argument at index {index} for {command}: control characters are not allowed"
    )))
}

/// How many sentinels can be reached, and what they are too few for.
pub(crate) struct Quorum {
    pub(crate) usable: usize,
    pub(crate) missing: Option<String>,
}

/// Whether enough sentinels are reachable to see the master down and to elect a leader.
pub(crate) fn check_quorum(master: &Master) -> Quorum {
    let usable = 1 + master.known_peers().filter(|peer| !peer.node.sdown).count();
    let mut missing = Vec::new();
    if usable < master.quorum() {
        missing
            .push("Not enough available Sentinels to reach the specified quorum for this master");
    }
    if usable < master.majority() {
        missing
            .push("Not enough available Sentinels to reach the majority and authorize a failover");
    }
    Quorum {
        usable,
        missing: (!missing.is_empty()).then(|| missing.join(". ")),
    }
}

impl Quorum {
    /// What CKQUORUM answers.
    pub(crate) fn told(&self) -> Result<String, String> {
        let usable = self.usable;
        match &self.missing {
            None => Ok(format!(
                "OK {usable} usable Sentinels. Quorum and failover authorization can be reached"
            )),
            Some(missing) => Err(format!("NOQUORUM {usable} usable Sentinels. {missing}")),
        }
    }
}

/// CKQUORUM
fn tell_quorum(master: &Master) -> Reply {
    match check_quorum(master).told() {
        Ok(line) => Reply::Status(line),
        Err(line) => Reply::Error(line),
    }
}

fn describe_all(cx: &Context, master: &Master, wanted: impl Fn(Who) -> bool) -> Reply {
    Reply::Array(
        master
            .everyone()
            .filter(|&who| wanted(who))
            .map(|who| describe(cx, master, who))
            .collect(),
    )
}

/// A reply of field names and values.
struct Fields(Vec<(Reply, Reply)>);

impl Fields {
    fn add(&mut self, name: &str, value: impl Display) {
        let value = Reply::Bulk(format!("{value}").into_bytes());
        self.0.push((Reply::bulk(name), value));
    }
}

/// An instance as SENTINEL MASTER, REPLICAS and SENTINELS show it, in their order of fields.
fn describe(cx: &Context, master: &Master, who: Who) -> Reply {
    let now = cx.mono();
    let node = master.node(who);
    let since = |at: u64| now.saturating_sub(at);
    let mut fields = Fields(Vec::new());
    let names = cx.config.globals.announce_hostnames;
    let name = match who {
        Who::Master => master.name.clone(),
        Who::Slave(_) => node.addr.label(names),
        Who::Peer(index) => master.peers[index].name(names),
    };
    fields.add("name", name);
    fields.add("ip", cx.shown(&node.addr));
    fields.add("port", node.addr.port);
    fields.add("runid", node.runid.as_deref().unwrap_or(""));
    fields.add("flags", flags(master, who));
    fields.add("link-pending-commands", node.pending_commands());
    fields.add("link-refcount", 1);
    if who == Who::Master && master.failing_over() {
        fields.add("failover-state", master.failover.stage.name());
    }
    fields.add("last-ping-sent", node.ping_waits_since.map_or(0, since));
    fields.add("last-ok-ping-reply", since(node.last_ok_pong));
    fields.add("last-ping-reply", since(node.last_pong));
    if node.sdown {
        fields.add("s-down-time", node.sdown_since.map_or(0, since));
    }
    if who == Who::Master && master.odown {
        fields.add("o-down-time", master.odown_since.map_or(0, since));
    }
    fields.add("down-after-milliseconds", master.options.down_after_ms);
    if !matches!(who, Who::Peer(_)) {
        describe_role(cx, node, &mut fields);
    }
    match who {
        Who::Master => describe_master(master, &mut fields),
        Who::Slave(index) => describe_slave(master, index, &mut fields),
        Who::Peer(index) => {
            let peer = &master.peers[index];
            fields.add("last-hello-message", since(peer.last_hello));
            fields.add("voted-leader", peer.leader.as_deref().unwrap_or("?"));
            fields.add("voted-leader-epoch", peer.leader_epoch);
        }
    }
    if master.options.saturation_threshold_ms > 0 {
        describe_saturation(cx, master, who, &mut fields);
    }
    Reply::Map(fields.0)
}

/// What there is to tell where saturation is looked for.
fn describe_saturation(cx: &Context, master: &Master, who: Who, fields: &mut Fields) {
    if let Some(ms) = master.node(who).answers.round_trip() {
        fields.add("ping-round-trip", ms);
    }
    if who != Who::Master {
        return;
    }
    let (options, saturation) = (&master.options, &master.saturation);
    if saturation.is {
        let ms = cx.mono().saturating_sub(saturation.since);
        fields.add("saturated-time", ms);
    }
    fields.add("saturation-threshold", options.saturation_threshold_ms);
    let failover = if options.saturation_failover {
        "yes"
    } else {
        "no"
    };
    fields.add("saturation-failover", failover);
}

fn describe_role(cx: &Context, node: &Instance, fields: &mut Fields) {
    let info_age = node.info_at.map_or(0, |at| cx.mono().saturating_sub(at));
    fields.add("info-refresh", info_age);
    fields.add("role-reported", node.role.name());
    fields.add(
        "role-reported-time",
        cx.mono().saturating_sub(node.role_since),
    );
}

fn describe_master(master: &Master, fields: &mut Fields) {
    fields.add("config-epoch", master.config_epoch);
    fields.add("num-slaves", master.slaves.len());
    fields.add("num-other-sentinels", master.known_peers().count());
    fields.add("quorum", master.options.quorum);
    fields.add("failover-timeout", master.options.failover_timeout_ms);
    fields.add("parallel-syncs", master.options.parallel_syncs);
    if let Some(path) = &master.options.notification_script {
        fields.add("notification-script", path);
    }
    if let Some(path) = &master.options.client_reconfig_script {
        fields.add("client-reconfig-script", path);
    }
}

fn describe_slave(master: &Master, index: usize, fields: &mut Fields) {
    let slave = &master.slaves[index];
    fields.add("master-link-down-time", slave.master_link_down_ms);
    fields.add(
        "master-link-status",
        if slave.master_link_up { "ok" } else { "err" },
    );
    fields.add("master-host", slave.master_host.as_deref().unwrap_or("?"));
    fields.add("master-port", slave.master_port);
    fields.add("slave-priority", slave.priority);
    fields.add("slave-repl-offset", slave.repl_offset);
    fields.add("replica-announced", u8::from(slave.announced));
}

fn flags(master: &Master, who: Who) -> String {
    let node = master.node(who);
    let is_master = who == Who::Master;
    let slave = if let Who::Slave(index) = who {
        master.slaves.get(index)
    } else {
        None
    };
    let peer = if let Who::Peer(index) = who {
        master.peers.get(index)
    } else {
        None
    };
    let reconf = slave.map_or(Reconf::None, |slave| slave.reconf);
    let flags = [
        (node.sdown, "s_down"),
        (is_master && master.odown, "o_down"),
        (is_master, "master"),
        (slave.is_some(), "slave"),
        (peer.is_some(), "sentinel"),
        (node.disconnected(), "disconnected"),
        (peer.is_some_and(|peer| peer.says_down), "master_down"),
        (is_master && master.failing_over(), "failover_in_progress"),
        (slave.is_some_and(|slave| slave.promoted), "promoted"),
        (matches!(reconf, Reconf::Sent(_)), "reconf_sent"),
        (reconf == Reconf::InProgress, "reconf_inprog"),
        (reconf == Reconf::Done, "reconf_done"),
        (is_master && master.failover.forced, "force_failover"),
        (
            is_master && master.failover.coordinated,
            "coordinated_failover",
        ),
        (node.script_kill_sent, "script_kill_sent"),
        (is_master && node.rebooting_since.is_some(), "master_reboot"),
        (is_master && master.saturation.is, "saturated"),
    ];
    let set: Vec<&str> = flags
        .into_iter()
        .filter_map(|(set, name)| set.then_some(name))
        .collect();
    set.join(",")
}

fn sentinel_help() -> Reply {
    help("SENTINEL", HELP)
}

/// The subcommands and what they do.
const HELP: &[(&str, &str)] = &[
    (
        "CKQUORUM <primary-name>",
        "Check whether enough Sentinels are reachable for the quorum and the majority.",
    ),
    (
        "CONFIG SET <param> <value> [<param> <value> ...]",
        "Set parameters that are not of one primary.",
    ),
    (
        "CONFIG GET <param> [<param> ...]",
        "Get parameters that are not of one primary.",
    ),
    (
        "DEBUG [<param> <value> ...]",
        "Show or set the periods of the protocol, in milliseconds.",
    ),
    (
        "GET-PRIMARY-ADDR-BY-NAME <primary-name>",
        "Return the address of the primary with this name.",
    ),
    (
        "FAILOVER <primary-name> [COORDINATED]",
        "Fail a primary over without asking other Sentinels; COORDINATED lets it hand over by itself.",
    ),
    (
        "FLUSHCONFIG",
        "Write the configuration file, with the state.",
    ),
    (
        "INFO-CACHE <primary-name>",
        "Return the last INFO of the primary and its replicas.",
    ),
    (
        "IS-PRIMARY-DOWN-BY-ADDR <ip> <port> <current-epoch> <runid>",
        "Tell whether the primary at this address is down for this Sentinel, and vote.",
    ),
    (
        "IS-PRIMARY-SATURATED-BY-ADDR <ip> <port>",
        "Tell whether the primary at this address is saturated for this Sentinel.",
    ),
    ("PRIMARY <primary-name>", "Describe the primary."),
    ("PRIMARIES", "Describe all primaries."),
    (
        "MONITOR <name> <ip> <port> <quorum>",
        "Watch another primary.",
    ),
    ("MYID", "Return the id of this Sentinel."),
    ("PENDING-SCRIPTS", "List the scripts that run or wait."),
    ("REMOVE <primary-name>", "Watch the primary no more."),
    (
        "REPLICAS <primary-name>",
        "Describe the replicas of the primary.",
    ),
    (
        "RESET <pattern>",
        "Find replicas and Sentinels of matching primaries anew.",
    ),
    (
        "SENTINELS <primary-name>",
        "Describe the other Sentinels of the primary.",
    ),
    (
        "SET <primary-name> <option> <value> [<option> <value> ...]",
        "Change how a primary is watched.",
    ),
    (
        "SIMULATE-FAILURE [CRASH-AFTER-ELECTION] [CRASH-AFTER-PROMOTION] [HELP]",
        "Let this Sentinel crash at a chosen moment.",
    ),
];
