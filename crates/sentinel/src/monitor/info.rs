//! What INFO of a master or slave tells: slaves not known yet, restarts, changed roles and masters. What follows from
//! it: a promoted slave moves the failover on, an instance in a role that the configuration does not give it is
//! corrected, after time enough for a newer configuration to arrive.

use crate::Addr;
use crate::config::is_runid;
use crate::context::Context;
use crate::instance::{Master, Reconf, Role, Slave, Stage, Who};
use crate::io::{Level, Reply};
use crate::timing::{MAX_INFO_BYTES, MAX_KNOWN_PER_MASTER, RESET_MEMORY};

/// The fields of INFO that matter here.
#[derive(Debug, Default, PartialEq)]
struct InfoText {
    runid: Option<String>,
    role: Option<Role>,
    /// The places of its slaves, as it names them.
    slaves: Vec<(String, String)>,
    master_host: Option<String>,
    master_port: Option<i64>,
    master_link_up: Option<bool>,
    /// 0 when the field is missing, negative when the link never was up.
    master_link_down_s: i64,
    uptime_s: Option<i64>,
    priority: Option<i64>,
    repl_offset: Option<u64>,
    announced: Option<bool>,
    /// Copies of its master are refused, since they lack the data that it has.
    refuses_empty: bool,
    handing_over: Option<bool>,
    memory: Memory,
    /// The append-only file cannot be written.
    aof_fails: bool,
}

/// What INFO tells of memory.
#[derive(Debug, Default, PartialEq)]
struct Memory {
    used: u64,
    /// What of it does not count.
    uncounted: u64,
    limit: u64,
    evicts: bool,
}

impl Memory {
    fn is_full(&self) -> bool {
        let counted = self.used.saturating_sub(self.uncounted);
        self.limit > 0 && !self.evicts && counted > self.limit
    }
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

    /// How long the link to the master is down, in milliseconds. A link that never was up has no such time: today's
    /// servers say -1, older ones count from 1970, which is longer than they run.
    fn master_link_down_ms(&self) -> i64 {
        let never = self.master_link_down_s < 0
            || self
                .uptime_s
                .is_some_and(|uptime| self.master_link_down_s > uptime.saturating_add(1));
        if never {
            -1_000
        } else {
            self.master_link_down_s.saturating_mul(1_000)
        }
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
                    "master" | "primary" => Some(Role::Master),
                    "slave" | "replica" => Some(Role::Slave),
                    _ => None,
                }
            }
            "master_link_down_since_seconds" => {
                self.master_link_down_s = value.parse().unwrap_or(0);
            }
            "uptime_in_seconds" => self.uptime_s = value.parse().ok(),
            "used_memory" => self.memory.used = value.parse().unwrap_or(0),
            "mem_not_counted_for_evict" => self.memory.uncounted = value.parse().unwrap_or(0),
            "maxmemory" => self.memory.limit = value.parse().unwrap_or(0),
            "maxmemory_policy" => self.memory.evicts = value != "noeviction",
            "aof_last_write_status" => self.aof_fails = value == "err",
            "master_failover_state" => self.handing_over = Some(value != "no-failover"),
            "master_host" if is_slave => self.master_host = Some(value.to_owned()),
            "master_port" if is_slave => self.master_port = value.parse().ok(),
            "master_link_status" if is_slave => {
                self.master_link_up = Some(value.eq_ignore_ascii_case("up"));
            }
            "empty_master_refused_seconds_left" if is_slave => self.refuses_empty = true,
            "slave_priority" if is_slave => self.priority = value.parse().ok(),
            "slave_repl_offset" if is_slave => self.repl_offset = value.parse().ok(),
            "replica_announced" if is_slave => self.announced = Some(value != "0"),
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
fn slave_addr(value: &str) -> Option<(String, String)> {
    let field = |name: &str| value.split(',').find_map(|part| part.strip_prefix(name));
    match (field("ip="), field("port=")) {
        (Some(ip), Some(port)) => Some((ip.to_owned(), port.to_owned())),
        _ => {
            let mut parts = value.split(',');
            Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
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
            if self.slaves[index].was_master {
                self.discover_slaves(cx, &info.slaves);
            }
            let refused = self.slaves[index].refuses_empty;
            self.slaves[index].observe(cx.mono(), &info);
            if info.refuses_empty && !refused {
                self.event(cx, Level::Warning, "+empty-master", who, "");
            }
        }
        let now = cx.mono();
        let node = self.node_mut(who);
        node.info_at = Some(now);
        node.answers.info_refuses = info.aof_fails || info.memory.is_full();
        text.get(..MAX_INFO_BYTES)
            .unwrap_or(text)
            .clone_into(&mut node.info);
        if let Some(handing_over) = info.handing_over
            && node.handing_over.map(|(state, _)| state) != Some(handing_over)
        {
            node.handing_over = Some((handing_over, now));
        }
        let Some(role) = info.role else { return };
        self.observe_role(cx, who, role);
        if (who, role) == (Who::Master, Role::Master) {
            self.master_seen(cx);
        }
        if cx.tilt() {
            return;
        }
        if let Who::Slave(index) = who {
            match role {
                Role::Master => self.slave_became_master(cx, index),
                Role::Slave => {
                    self.free_stuck_slave(cx, index);
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
            if who == Who::Master && self.options.reboot_down_after_ms != 0 {
                self.node.rebooting_since = Some(cx.mono());
            }
        }
    }

    /// Who copies the master, as it says; or a master of before, whom one may follow that nobody knew when it was replaced. Replicas that
    /// somebody has put behind other replicas are left where they are.
    fn discover_slaves(&mut self, cx: &mut Context, seen: &[(String, String)]) {
        for (place, port) in seen {
            let Some(addr) = cx.addr(place, port) else {
                continue;
            };
            let known = self.node.addr.is(&addr)
                || self.slaves.iter().any(|slave| slave.node.addr.is(&addr));
            if !known && self.slaves.len() < MAX_KNOWN_PER_MASTER {
                self.add_slave(cx, addr);
                cx.persist();
            }
        }
    }

    pub(super) fn add_slave(&mut self, cx: &mut Context, addr: Addr) {
        self.slaves.push(Slave::new(cx.mono(), addr));
        let who = Who::Slave(self.slaves.len() - 1);
        self.event(cx, Level::Notice, "+slave", who, "");
    }

    /// The master tells of itself: who followed it before SENTINEL RESET and does not now is forgotten at last, and so
    /// are, a while later, the sentinels of then.
    fn master_seen(&mut self, cx: &mut Context) {
        self.seen_up = true;
        let Some(before) = &mut self.before_reset else {
            return;
        };
        let old = cx.mono().saturating_sub(before.at) > RESET_MEMORY;
        if old || !before.slaves.is_empty() {
            before.slaves.clear();
            cx.persist();
        }
        if old {
            self.before_reset = None;
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
        let wait = cx.periods.publish.saturating_mul(4);
        let node = self.node(who);
        let settled =
            cx.mono().saturating_sub(node.role_since) > wait && node.not_down_for(cx.mono(), wait);
        if settled && self.looks_sane(cx) {
            self.send_slaveof(cx, who, Some(&self.node.addr.clone()));
            self.event(cx, Level::Notice, "+convert-to-slave", who, "");
        }
    }

    /// The new configuration is a fact; from here the other sentinels adopt it.
    fn promotion_seen(&mut self, cx: &mut Context, index: usize) {
        self.config_epoch = self.failover.epoch;
        self.enter(cx, Stage::ReconfSlaves);
        cx.persist();
        self.event(cx, Level::Warning, "+promoted-slave", Who::Slave(index), "");
        if cx.simulate.crash_after_promotion {
            return cx.crash();
        }
        if self.failover.coordinated {
            self.let_clients_go(cx, Who::Master);
            self.let_clients_go(cx, Who::Slave(index));
        }
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
            &self.node.addr,
            &self.slaves[index].node.addr,
        );
        self.hurry_hello(cx);
    }

    fn fix_slave_of_other_master(&mut self, cx: &mut Context, index: usize) {
        let slave = &self.slaves[index];
        if slave.follows(cx, &self.node.addr) != Some(false) {
            return;
        }
        let wait = self.options.failover_timeout_ms;
        let settled = cx.mono().saturating_sub(slave.conf_changed_at) > wait
            && slave.node.not_down_for(cx.mono(), wait);
        if settled && self.looks_sane(cx) {
            self.fix_slave(cx, index);
        }
    }

    fn fix_slave(&mut self, cx: &mut Context, index: usize) {
        let who = Who::Slave(index);
        self.send_slaveof(cx, who, Some(&self.node.addr.clone()));
        self.event(cx, Level::Notice, "+fix-slave-config", who, "");
    }

    /// A slave that hands over for longer than a failover may take is stuck in it, and told whom to follow.
    fn free_stuck_slave(&mut self, cx: &mut Context, index: usize) {
        let slave = &self.slaves[index];
        let wait = self.options.failover_timeout_ms;
        let stuck = matches!(slave.node.handing_over, Some((true, since)) if cx.mono().saturating_sub(since) > wait);
        if stuck && slave.node.not_down_for(cx.mono(), wait) && self.looks_sane(cx) {
            self.fix_slave(cx, index);
        }
    }

    fn follow_reconfiguration(&mut self, cx: &mut Context, index: usize) {
        let who = Who::Slave(index);
        let target = self
            .promoted()
            .map(|promoted| self.slaves[promoted].node.addr.clone());
        let slave = &mut self.slaves[index];
        if matches!(slave.reconf, Reconf::Sent(_))
            && target.is_some_and(|target| slave.follows(cx, &target) == Some(true))
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
    fn looks_sane(&self, cx: &Context) -> bool {
        let (now, period) = (cx.mono(), cx.periods.info);
        self.node.role == Role::Master
            && !self.node.sdown
            && !self.odown
            && self
                .node
                .info_at
                .is_some_and(|at| now.saturating_sub(at) < period.saturating_mul(2))
    }
}

impl Slave {
    fn observe(&mut self, now: u64, info: &InfoText) {
        self.master_link_down_ms = info.master_link_down_ms();
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
        self.refuses_empty = info.refuses_empty;
        self.priority = info.priority.unwrap_or(self.priority);
        self.repl_offset = info.repl_offset.unwrap_or(self.repl_offset);
        self.announced = info.announced.unwrap_or(self.announced);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_slave_lines_are_read_and_nonsense_is_not() {
        let text = b"run_id:46c4e8095e87ae3da36051818063f69fa7ca0419\r\nrole:master\r\nconnected_slaves:2\r\n\
            slave0:ip=127.0.0.1,port=6380,state=online,offset=1,lag=0\r\nslave1:127.0.0.1,6381,online\r\n\
            slave2:ip=no.host,port=1\r\nslave3:ip=127.0.0.1,port=0\r\nslave5:ip=[::1],port=6382,state=online\r\nslave4:\r\nslave_priority:7\r\n";
        let info = InfoText::read(text);
        assert_eq!(
            info.slaves
                .iter()
                .filter_map(|(place, port)| Addr::parse(place, port))
                .map(|addr| addr.to_string())
                .collect::<Vec<_>>(),
            ["127.0.0.1:6380", "127.0.0.1:6381", "[::1]:6382"]
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
    fn memory_is_full_where_nothing_goes_out_of_it() {
        let text = |used, uncounted, limit, policy| {
            format!(
                "used_memory:{used}\r\nused_memory_rss:9000\r\nmaxmemory:{limit}\r\nmaxmemory_policy:{policy}\r\n\
                 mem_not_counted_for_evict:{uncounted}\r\n"
            )
        };
        for (text, full) in [
            (text(101, 0, 100, "noeviction"), true),
            (text(101, 1, 100, "noeviction"), false),
            (text(101, 0, 100, "allkeys-lru"), false),
            (text(101, 0, 0, "noeviction"), false),
            (String::new(), false),
        ] {
            let info = InfoText::read(text.as_bytes());
            assert_eq!(info.memory.is_full(), full, "{text}");
        }
    }

    #[test]
    fn a_slave_tells_of_its_master() {
        let text = b"role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379\r\nmaster_link_status:down\r\n\
            master_link_down_since_seconds:9999999999999999\r\nslave_priority:0\r\nslave_repl_offset:586\r\n";
        let info = InfoText::read(text);
        assert_eq!(info.master_host.as_deref(), Some("10.0.0.1"));
        assert_eq!(
            (info.master_port, info.master_link_up),
            (Some(6379), Some(false))
        );
        assert_eq!((info.priority, info.repl_offset), (Some(0), Some(586)));
        assert_eq!(
            info.master_link_down_ms(),
            9_999_999_999_999_999_i64.saturating_mul(1_000)
        );
    }

    #[test]
    fn a_link_that_never_was_up_has_been_down_for_no_time() {
        for (text, ms) in [
            ("master_link_down_since_seconds:-1\r\n", -1_000),
            (
                "master_link_down_since_seconds:1795899195\r\nuptime_in_seconds:7\r\n",
                -1_000,
            ),
            (
                "uptime_in_seconds:7\r\nmaster_link_down_since_seconds:6\r\n",
                6_000,
            ),
            ("master_link_down_since_seconds:x\r\n", 0),
            ("", 0),
        ] {
            let info = InfoText::read(format!("role:slave\r\n{text}").as_bytes());
            assert_eq!(info.master_link_down_ms(), ms, "{text}");
        }
    }
}
