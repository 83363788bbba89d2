//! What INFO of a master or slave tells: slaves not known yet, restarts, changed roles and masters. What follows from
//! it: a promoted slave moves the failover on, an instance in a role that the configuration does not give it is
//! corrected, after time enough for a newer configuration to arrive.

use crate::Addr;
use crate::context::Context;
use crate::instance::{Master, Reconf, Role, Slave, Stage, Who, is_runid};
use crate::io::{Level, Reply};
use crate::timing::{HELLO_PERIOD, INFO_PERIOD, MAX_KNOWN_PER_MASTER};

/// The fields of INFO that matter here.
#[derive(Debug, Default, PartialEq)]
struct InfoText {
    runid: Option<String>,
    role: Option<Role>,
    slaves: Vec<Addr>,
    master_host: Option<String>,
    master_port: Option<i64>,
    master_link_up: Option<bool>,
    /// 0 when the field is missing.
    master_link_down_ms: u64,
    priority: Option<i64>,
    repl_offset: Option<u64>,
}

impl InfoText {
    fn read(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let mut info = Self::default();
        for line in text.split("\r\n") {
            if let Some((name, value)) = line.split_once(':') {
                info.field(name, value);
            }
        }
        info
    }

    fn field(&mut self, name: &str, value: &str) {
        let is_slave = self.role == Some(Role::Slave);
        match name {
            "run_id" => {
                self.runid = value
                    .get(..40)
                    .filter(|runid| is_runid(runid))
                    .map(str::to_owned);
            }
            "role" => {
                self.role = match value {
                    "master" => Some(Role::Master),
                    "slave" => Some(Role::Slave),
                    _ => None,
                }
            }
            "master_link_down_since_seconds" => {
                self.master_link_down_ms = value
                    .parse()
                    .map_or(0, |seconds: u64| seconds.saturating_mul(1_000));
            }
            "master_host" if is_slave => self.master_host = Some(value.to_owned()),
            "master_port" if is_slave => self.master_port = value.parse().ok(),
            "master_link_status" if is_slave => {
                self.master_link_up = Some(value.eq_ignore_ascii_case("up"));
            }
            "slave_priority" if is_slave => self.priority = value.parse().ok(),
            "slave_repl_offset" if is_slave => self.repl_offset = value.parse().ok(),
            _ if is_slave_line(name) && self.slaves.len() < MAX_KNOWN_PER_MASTER => {
                self.slaves.extend(slave_addr(value));
            }
            _ => {}
        }
    }
}

/// `slave0`, `slave1`, … but not `slave_priority`.
fn is_slave_line(name: &str) -> bool {
    name.strip_prefix("slave")
        .is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()))
}

/// `ip=…,port=…,…`, or the older `ip,port,state`.
fn slave_addr(value: &str) -> Option<Addr> {
    let field = |name: &str| value.split(',').find_map(|part| part.strip_prefix(name));
    match (field("ip="), field("port=")) {
        (Some(ip), Some(port)) => Addr::parse(ip, port),
        _ => {
            let mut parts = value.split(',');
            Addr::parse(parts.next()?, parts.next()?)
        }
    }
}

impl Master {
    /// Takes the reply to INFO.
    pub(super) fn info(&mut self, cx: &mut Context, who: Who, reply: &Reply) {
        let Reply::Bulk(text) = reply else { return };
        let info = InfoText::read(text);
        self.observe_runid(cx, who, &info);
        if who == Who::Master {
            self.discover_slaves(cx, &info.slaves);
        } else if let Who::Slave(index) = who {
            self.slaves[index].observe(cx.mono(), &info);
        }
        let now = cx.mono();
        self.node_mut(who).info_at = Some(now);
        let Some(role) = info.role else { return };
        self.observe_role(cx, who, role);
        if cx.tilt() {
            return;
        }
        if let Who::Slave(index) = who {
            match role {
                Role::Master => self.slave_became_master(cx, index),
                Role::Slave => {
                    self.fix_slave_of_other_master(cx, index);
                    self.follow_reconfiguration(cx, index);
                }
            }
        }
    }

    fn observe_runid(&mut self, cx: &mut Context, who: Who, info: &InfoText) {
        let Some(runid) = &info.runid else { return };
        let old = self.node_mut(who).runid.replace(runid.clone());
        if old.is_some_and(|old| old != *runid) {
            self.event(cx, Level::Notice, "+reboot", who, "");
        }
    }

    fn discover_slaves(&mut self, cx: &mut Context, seen: &[Addr]) {
        for &addr in seen {
            let known = self.slaves.iter().any(|slave| slave.node.addr == addr);
            if !known && self.slaves.len() < MAX_KNOWN_PER_MASTER {
                self.slaves.push(Slave::new(cx.mono(), addr));
                self.event(
                    cx,
                    Level::Notice,
                    "+slave",
                    Who::Slave(self.slaves.len() - 1),
                    "",
                );
                cx.persist();
            }
        }
    }

    fn observe_role(&mut self, cx: &mut Context, who: Who, role: Role) {
        let now = cx.mono();
        let node = self.node_mut(who);
        if node.role == role {
            return;
        }
        node.role = role;
        node.role_since = now;
        if let (Who::Slave(index), Role::Slave) = (who, role) {
            self.slaves[index].conf_changed_at = now;
        }
        let expected = if who == Who::Master {
            Role::Master
        } else {
            Role::Slave
        };
        let kind = if role == expected {
            "+role-change"
        } else {
            "-role-change"
        };
        self.event(
            cx,
            Level::Verbose,
            kind,
            who,
            &format!(" new reported role is {}", role.name()),
        );
    }

    /// A slave says that it is a master: the promoted one is what the failover waits for; any other one is made a slave
    /// again, once nobody has told of a configuration in which it is right.
    fn slave_became_master(&mut self, cx: &mut Context, index: usize) {
        let who = Who::Slave(index);
        if self.slaves[index].promoted {
            if self.failover.stage == Stage::WaitPromotion {
                self.promotion_seen(cx, index);
            }
            return;
        }
        let wait = HELLO_PERIOD * 4;
        let node = self.node(who);
        let settled =
            cx.mono().saturating_sub(node.role_since) > wait && node.not_down_for(cx.mono(), wait);
        if settled && self.looks_sane(cx.mono()) {
            self.send_slaveof(cx, who, Some(self.node.addr));
            self.event(cx, Level::Notice, "+convert-to-slave", who, "");
        }
    }

    /// The new configuration is a fact; from here the other sentinels adopt it.
    fn promotion_seen(&mut self, cx: &mut Context, index: usize) {
        self.config_epoch = self.failover.epoch;
        self.enter(cx, Stage::ReconfSlaves);
        cx.persist();
        self.event(cx, Level::Warning, "+promoted-slave", Who::Slave(index), "");
        self.event(
            cx,
            Level::Warning,
            "+failover-state-reconf-slaves",
            Who::Master,
            "",
        );
        self.run_reconfig_script(
            cx,
            "leader",
            "start",
            self.node.addr,
            self.slaves[index].node.addr,
        );
        self.hurry_hello();
    }

    fn fix_slave_of_other_master(&mut self, cx: &mut Context, index: usize) {
        let slave = &self.slaves[index];
        if slave.follows(self.node.addr) {
            return;
        }
        let wait = self.options.failover_timeout_ms;
        let settled = cx.mono().saturating_sub(slave.conf_changed_at) > wait
            && slave.node.not_down_for(cx.mono(), wait);
        if settled && self.looks_sane(cx.mono()) {
            let who = Who::Slave(index);
            self.send_slaveof(cx, who, Some(self.node.addr));
            self.event(cx, Level::Notice, "+fix-slave-config", who, "");
        }
    }

    fn follow_reconfiguration(&mut self, cx: &mut Context, index: usize) {
        let who = Who::Slave(index);
        let target = self
            .promoted()
            .map(|promoted| self.slaves[promoted].node.addr);
        let slave = &mut self.slaves[index];
        if matches!(slave.reconf, Reconf::Sent(_))
            && target.is_some_and(|target| slave.follows(target))
        {
            slave.reconf = Reconf::InProgress;
            self.event(cx, Level::Notice, "+slave-reconf-inprog", who, "");
        }
        let slave = &mut self.slaves[index];
        if slave.reconf == Reconf::InProgress && slave.master_link_up {
            slave.reconf = Reconf::Done;
            self.event(cx, Level::Notice, "+slave-reconf-done", who, "");
        }
    }

    /// Whether the master is one beyond doubt, so that others may be pointed to it.
    fn looks_sane(&self, now: u64) -> bool {
        self.node.role == Role::Master
            && !self.node.sdown
            && !self.odown
            && self
                .node
                .info_at
                .is_some_and(|at| now.saturating_sub(at) < INFO_PERIOD * 2)
    }
}

impl Slave {
    fn observe(&mut self, now: u64, info: &InfoText) {
        self.master_link_down_ms = info.master_link_down_ms;
        if let Some(host) = &info.master_host
            && !self
                .master_host
                .as_ref()
                .is_some_and(|old| old.eq_ignore_ascii_case(host))
        {
            self.master_host = Some(host.clone());
            self.conf_changed_at = now;
        }
        if let Some(port) = info.master_port
            && port != self.master_port
        {
            self.master_port = port;
            self.conf_changed_at = now;
        }
        self.master_link_up = info.master_link_up.unwrap_or(self.master_link_up);
        self.priority = info.priority.unwrap_or(self.priority);
        self.repl_offset = info.repl_offset.unwrap_or(self.repl_offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_slave_lines_are_read_and_nonsense_is_not() {
        let text = b"run_id:46c4e8095e87ae3da36051818063f69fa7ca0419\r\nrole:master\r\nconnected_slaves:2\r\n\
            slave0:ip=127.0.0.1,port=6380,state=online,offset=1,lag=0\r\nslave1:127.0.0.1,6381,online\r\n\
            slave2:ip=no.host,port=1\r\nslave3:ip=127.0.0.1,port=0\r\nslave4:\r\nslave_priority:7\r\n";
        let info = InfoText::read(text);
        assert_eq!(
            info.slaves.iter().map(Addr::to_string).collect::<Vec<_>>(),
            ["127.0.0.1:6380", "127.0.0.1:6381"]
        );
        assert_eq!(info.role, Some(Role::Master));
        assert_eq!(
            info.runid.as_deref(),
            Some("46c4e8095e87ae3da36051818063f69fa7ca0419")
        );
        assert_eq!(
            info.priority, None,
            "a slave's fields count only behind role:slave"
        );
    }

    #[test]
    fn a_slave_tells_of_its_master() {
        let text = b"role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:down\r\n\
            master_link_down_since_seconds:99999999999999999\r\nslave_priority:0\r\nslave_repl_offset:586\r\n";
        let info = InfoText::read(text);
        assert_eq!(info.master_host.as_deref(), Some("10.0.0.1"));
        assert_eq!(
            (info.master_port, info.master_link_up),
            (Some(6379), Some(false))
        );
        assert_eq!((info.priority, info.repl_offset), (Some(0), Some(586)));
        assert_eq!(
            info.master_link_down_ms,
            99_999_999_999_999_999_u64.saturating_mul(1_000)
        );
    }
}
