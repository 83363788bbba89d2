//! The SENTINEL command: its subcommands, one function each, and how instances are described.

use std::fmt::Display;

use resp::glob;
use resp::number::parse_integer;

use crate::config::{Options, SavedMaster};
use crate::context::Context;
use crate::instance::{Instance, Master, Reconf, Who};
use crate::io::{ClientId, Level, Reply};
use crate::monitor::DownState;
use crate::{Addr, Monitor};

const NO_SUCH_MASTER: &str = "No such master with that name";

impl Monitor {
    /// Runs a subcommand. `None` when the reply was queued already.
    pub(super) fn sentinel(&mut self, client: ClientId, args: &[Vec<u8>]) -> Option<Reply> {
        let (typed, args) = args.split_first()?;
        let typed = String::from_utf8_lossy(typed);
        let subcommand = typed.to_ascii_lowercase();
        let words = args.len();
        let fits = match subcommand.as_str() {
            "masters" | "pending-scripts" | "flushconfig" => words == 0,
            "master"
            | "slaves"
            | "sentinels"
            | "reset"
            | "get-master-addr-by-name"
            | "failover"
            | "remove"
            | "ckquorum" => words == 1,
            "is-master-down-by-addr" | "monitor" => words == 4,
            "set" => words >= 1 && words % 2 == 1,
            _ => return Some(Reply::err(format!("Unknown sentinel subcommand '{typed}'"))),
        };
        if !fits {
            return Some(Reply::err(format!(
                "Wrong number of arguments for 'sentinel {typed}'"
            )));
        }
        let name = args
            .first()
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .unwrap_or_default();
        Some(match subcommand.as_str() {
            "masters" => self.each(|master| Some(describe(&self.cx, master, Who::Master))),
            "master" => self.of_master(&name, |cx, master| describe(cx, master, Who::Master)),
            "slaves" => self.of_master(&name, |cx, master| {
                describe_all(cx, master, |who| matches!(who, Who::Slave(_)))
            }),
            "sentinels" => self.of_master(&name, |cx, master| {
                describe_all(cx, master, |who| matches!(who, Who::Peer(_)))
            }),
            "get-master-addr-by-name" => self.master_addr(&name),
            "is-master-down-by-addr" => return self.is_master_down(client, args),
            "pending-scripts" => self.cx.scripts.pending(self.cx.mono()),
            "flushconfig" => {
                self.cx.persist();
                let failed = Reply::err("Failed to save config file. Check server logs.");
                self.cx.reply_if_saved(client, Reply::ok(), failed);
                return None;
            }
            "reset" => self.reset_matching(args.first().map_or(&[][..], Vec::as_slice)),
            "failover" => self.failover(&name),
            "remove" => self.remove(&name),
            "ckquorum" => self.of_master(&name, |_, master| check_quorum(master)),
            "monitor" => self.monitor(&name, args),
            _ => self.set(&name, args.get(1..).unwrap_or_default()),
        })
    }

    fn each(&self, describe: impl Fn(&Master) -> Option<Reply>) -> Reply {
        Reply::Array(self.masters.iter().filter_map(describe).collect())
    }

    fn of_master(&self, name: &str, answer: impl Fn(&Context, &Master) -> Reply) -> Reply {
        let master = self.masters.iter().find(|master| master.name == name);
        master.map_or_else(
            || Reply::err(NO_SUCH_MASTER),
            |master| answer(&self.cx, master),
        )
    }

    fn master_addr(&self, name: &str) -> Reply {
        let Some(master) = self.masters.iter().find(|master| master.name == name) else {
            return Reply::NilArray;
        };
        let Addr { ip, port } = master.current_addr();
        Reply::Array(vec![
            Reply::bulk(ip.to_string()),
            Reply::bulk(port.to_string()),
        ])
    }

    /// `ip port epoch runid`: another sentinel asks whether a master is down and, with a run id, for a vote. In TILT
    /// nothing is down.
    fn is_master_down(&mut self, client: ClientId, args: &[Vec<u8>]) -> Option<Reply> {
        const NO_INTEGER: &str = "value is not an integer or out of range";
        let [ip, port, epoch, candidate] = args else {
            return None;
        };
        let Some((port, epoch)) = parse_integer(port)
            .zip(parse_integer(epoch).and_then(|epoch| u64::try_from(epoch).ok()))
        else {
            return Some(Reply::err(NO_INTEGER));
        };
        let ip = std::str::from_utf8(ip).ok().and_then(|ip| ip.parse().ok());
        let addr = ip
            .zip(u16::try_from(port).ok())
            .and_then(|(ip, port)| Addr::new(ip, port));
        let cx = &mut self.cx;
        let master = self
            .masters
            .iter_mut()
            .find(|master| Some(master.node.addr) == addr);
        let down = master.as_ref().is_some_and(|master| master.node.sdown) && !cx.tilt();
        let vote = master.filter(|_| candidate != b"*").and_then(|master| {
            let candidate = String::from_utf8_lossy(candidate).into_owned();
            master.vote(cx, epoch, &candidate)
        });
        let unsaved = DownState { down, vote: None }.reply();
        let saved = DownState { down, vote }.reply();
        cx.reply_if_saved(client, saved, unsaved);
        None
    }

    fn reset_matching(&mut self, pattern: &[u8]) -> Reply {
        let mut count = 0;
        for master in &mut self.masters {
            if glob::matches(pattern, master.name.as_bytes()) {
                master.reset(&mut self.cx, false);
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

    fn failover(&mut self, name: &str) -> Reply {
        let Some(master) = self.masters.iter_mut().find(|master| master.name == name) else {
            return Reply::err(NO_SUCH_MASTER);
        };
        if master.failing_over() {
            return Reply::Error("INPROG Failover already in progress".to_owned());
        }
        if master.best_slave(self.cx.mono()).is_none() {
            return Reply::Error("NOGOODSLAVE No suitable slave to promote".to_owned());
        }
        self.cx.log(
            Level::Warning,
            format!("Executing user requested FAILOVER of '{name}'"),
        );
        if master.start_failover(&mut self.cx, true) {
            Reply::ok()
        } else {
            Reply::err("no epoch is left to fail over in")
        }
    }

    /// `name ip port quorum`: watches another master.
    fn monitor(&mut self, name: &str, args: &[Vec<u8>]) -> Reply {
        let [_, ip, port, quorum] = args else {
            return Reply::err("syntax error");
        };
        let Some(quorum) = parse_integer(quorum).and_then(|quorum| i32::try_from(quorum).ok())
        else {
            return Reply::err("Invalid quorum");
        };
        let Some(port) = parse_integer(port) else {
            return Reply::err("Invalid port");
        };
        let Some(ip) = std::str::from_utf8(ip).ok().and_then(|ip| ip.parse().ok()) else {
            return Reply::err("Invalid IP address specified");
        };
        // Redis takes a quorum of zero here, and then refuses its own configuration file at the next start.
        let Some(quorum) = u32::try_from(quorum).ok().filter(|&quorum| quorum > 0) else {
            return Reply::err("Quorum must be 1 or greater.");
        };
        let Some(addr) = u16::try_from(port)
            .ok()
            .and_then(|port| Addr::new(ip, port))
        else {
            return Reply::err("Invalid port number");
        };
        if self.masters.iter().any(|master| master.name == name) {
            return Reply::err("Duplicated master name");
        }
        let saved = SavedMaster {
            name: name.to_owned(),
            addr,
            options: Options::new(quorum),
            config_epoch: 0,
            leader_epoch: 0,
            slaves: Vec::new(),
            sentinels: Vec::new(),
        };
        let master = Master::new(self.cx.mono(), saved);
        self.cx.persist();
        master.announce(&mut self.cx);
        self.masters.push(master);
        Reply::ok()
    }

    fn remove(&mut self, name: &str) -> Reply {
        let Some(index) = self.masters.iter().position(|master| master.name == name) else {
            return Reply::err(NO_SUCH_MASTER);
        };
        let mut master = self.masters.remove(index);
        master.event(&mut self.cx, Level::Warning, "-monitor", Who::Master, "");
        master.reset(&mut self.cx, false);
        self.cx.persist();
        Reply::ok()
    }

    /// `option value …`: each pair takes effect at once, so an error in a later one leaves the earlier ones set.
    fn set(&mut self, name: &str, pairs: &[Vec<u8>]) -> Reply {
        let Some(master) = self.masters.iter_mut().find(|master| master.name == name) else {
            return Reply::err(NO_SUCH_MASTER);
        };
        for (index, pair) in pairs.chunks_exact(2).enumerate() {
            let (option, value) = (
                String::from_utf8_lossy(&pair[0]),
                String::from_utf8_lossy(&pair[1]),
            );
            if let Err(error) = set_option(
                &mut master.options,
                &option,
                &pair[1],
                self.cx.config.is_executable,
            ) {
                return Reply::err(error);
            }
            if index == 0 {
                self.cx.persist();
            }
            master.event(
                &mut self.cx,
                Level::Warning,
                "+set",
                Who::Master,
                &format!(" {option} {value}"),
            );
        }
        Reply::ok()
    }
}

fn set_option(
    options: &mut Options,
    option: &str,
    value: &[u8],
    is_executable: fn(&str) -> bool,
) -> Result<(), String> {
    let text = String::from_utf8_lossy(value).into_owned();
    let bad = || format!("Invalid argument '{text}' for SENTINEL SET '{option}'");
    let positive = || {
        parse_integer(value)
            .filter(|&number| number > 0)
            .ok_or_else(bad)
    };
    let script = |kind: &str| {
        if text.is_empty() {
            Ok(None)
        } else if is_executable(&text) {
            Ok(Some(text.clone()))
        } else {
            Err(format!(
                "{kind} script seems non existing or non executable"
            ))
        }
    };
    match option.to_ascii_lowercase().as_str() {
        "down-after-milliseconds" => options.down_after_ms = positive()?.unsigned_abs(),
        "failover-timeout" => options.failover_timeout_ms = positive()?.unsigned_abs(),
        "parallel-syncs" => options.parallel_syncs = positive()?,
        "quorum" => options.quorum = u32::try_from(positive()?).map_err(|_| bad())?,
        "notification-script" => options.notification_script = script("Notification")?,
        "client-reconfig-script" => {
            options.client_reconfig_script = script("Client reconfiguration")?;
        }
        "auth-pass" => options.auth_pass = (!value.is_empty()).then(|| value.to_vec()),
        _ => return Err(format!("Unknown option '{option}' for SENTINEL SET")),
    }
    Ok(())
}

/// Whether enough sentinels are reachable to see the master down and to elect a leader.
fn check_quorum(master: &Master) -> Reply {
    let usable = 1 + master.peers.iter().filter(|peer| !peer.node.sdown).count();
    let mut missing = Vec::new();
    if usable < master.quorum() {
        missing
            .push("Not enough available Sentinels to reach the specified quorum for this master");
    }
    if usable < master.majority() {
        missing
            .push("Not enough available Sentinels to reach the majority and authorize a failover");
    }
    if missing.is_empty() {
        return Reply::Status(format!(
            "OK {usable} usable Sentinels. Quorum and failover authorization can be reached"
        ));
    }
    Reply::Error(format!(
        "NOQUORUM {usable} usable Sentinels. {}",
        missing.join(". ")
    ))
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
struct Fields(Vec<Reply>);

impl Fields {
    fn add(&mut self, name: &str, value: impl Display) {
        self.0.push(Reply::bulk(name));
        self.0.push(Reply::Bulk(format!("{value}").into_bytes()));
    }
}

/// An instance as SENTINEL MASTER, SLAVES and SENTINELS show it, in their order of fields.
fn describe(cx: &Context, master: &Master, who: Who) -> Reply {
    let now = cx.mono();
    let node = master.node(who);
    let since = |at: u64| now.saturating_sub(at);
    let mut fields = Fields(Vec::new());
    let name = if who == Who::Master {
        master.name.clone()
    } else {
        node.addr.to_string()
    };
    fields.add("name", name);
    fields.add("ip", node.addr.ip);
    fields.add("port", node.addr.port);
    fields.add("runid", node.runid.as_deref().unwrap_or(""));
    fields.add("flags", flags(master, who));
    fields.add("pending-commands", node.pending_commands());
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
    Reply::Array(fields.0)
}

fn describe_role(cx: &Context, node: &Instance, fields: &mut Fields) {
    // Before the first INFO the time since 1970 is shown, as in Redis.
    let info_age = node
        .info_at
        .map_or(cx.now.unix_ms, |at| cx.mono().saturating_sub(at));
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
    fields.add("num-other-sentinels", master.peers.len());
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
    ];
    let set: Vec<&str> = flags
        .into_iter()
        .filter_map(|(set, name)| set.then_some(name))
        .collect();
    set.join(",")
}
