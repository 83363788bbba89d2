//! Reading sentinel.conf: the daemon's directives and the `sentinel …` statements. Effects on the process (changing the
//! folder, looking a name up) are asked from a [`Host`], in the order of the lines.

use std::net::IpAddr;

use resp::args;

use super::rewrite::quoted;
use super::{MAX_EPOCH, Options, Saved, SavedMaster, Setting};
use crate::Addr;
use crate::timing::MAX_KNOWN_PER_MASTER;

/// How deep files may include one another.
const MAX_INCLUDES: usize = 16;

/// What reading a configuration needs of the world.
pub trait Host {
    /// The address of a host name; called for literal addresses too.
    fn resolve(&mut self, host: &str) -> Option<IpAddr>;
    /// Whether a path names a program that may be started.
    fn is_executable(&mut self, path: &str) -> bool;
    /// Makes a folder the current one (`dir`).
    ///
    /// # Errors
    /// The system's text, when it cannot.
    fn change_dir(&mut self, path: &str) -> Result<(), String>;
    /// Tries to append to a file (`logfile`).
    ///
    /// # Errors
    /// The system's text, when it cannot.
    fn try_log_file(&mut self, path: &str) -> Result<(), String>;
    /// Reads an included file.
    ///
    /// # Errors
    /// The system's text, when it cannot.
    fn read(&mut self, path: &str) -> Result<Vec<u8>, String>;
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A line is wrong. Displayed as Redis's message, which follows an empty line on standard error.
    #[error(
        "*** FATAL CONFIG FILE ERROR ***\nReading the configuration file, at line {line}\n>>> '{text}'\n{reason}"
    )]
    Line {
        /// Counted from 1.
        line: usize,
        /// The line.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder of a `dir` line cannot be entered.
    #[error("Can't chdir to '{path}': {reason}")]
    Dir {
        /// The folder.
        path: String,
        /// The system's text.
        reason: String,
    },
    /// An included file cannot be read.
    #[error("Fatal error, can't open config file '{0}'")]
    Include(String),
}

/// A configuration that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// The daemon's directives.
    pub daemon: Daemon,
    /// The sentinel's state.
    pub saved: Saved,
    /// `sentinel announce-ip`
    pub announce_ip: Option<String>,
    /// `sentinel announce-port`
    pub announce_port: Option<u16>,
}

/// The directives of the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemon {
    /// TCP port; 0 for none.
    pub port: u16,
    /// Addresses to listen on; empty for all.
    pub bind: Vec<String>,
    /// Path of a Unix socket to listen on.
    pub unixsocket: Option<String>,
    /// Its permissions; 0 leaves them.
    pub unixsocketperm: u32,
    /// Length of the listening queue.
    pub tcp_backlog: u32,
    /// Seconds after which an idle client is dropped; 0 for never.
    pub timeout_s: u32,
    /// Seconds between keep-alive probes; 0 for none.
    pub tcp_keepalive_s: u32,
    /// Clients at the same time.
    pub maxclients: u32,
    /// Go to the background.
    pub daemonize: bool,
    /// Where a daemon writes its process id.
    pub pidfile: String,
    /// Where the log goes; empty for standard output.
    pub logfile: String,
    /// `debug`, `verbose`, `notice` or `warning`.
    pub loglevel: &'static str,
    /// Log to the system's log as well.
    pub syslog_enabled: bool,
    /// The password of this sentinel.
    pub requirepass: Option<Vec<u8>>,
    /// `rename-command`: old and new name, lower case.
    pub renamed_commands: Vec<(String, String)>,
}

impl Default for Daemon {
    fn default() -> Self {
        Self {
            port: 26_379,
            bind: Vec::new(),
            unixsocket: None,
            unixsocketperm: 0,
            tcp_backlog: 511,
            timeout_s: 0,
            tcp_keepalive_s: 0,
            maxclients: 10_000,
            daemonize: false,
            pidfile: "/var/run/redis.pid".to_owned(),
            logfile: String::new(),
            loglevel: "notice",
            syslog_enabled: false,
            requirepass: None,
            renamed_commands: Vec::new(),
        }
    }
}

impl Daemon {
    /// The directives as they are written back, in Redis's order. `current_dir` is the process's folder: `dir` is
    /// always written, and absolute.
    #[must_use]
    pub fn settings(&self, current_dir: Option<&str>) -> Vec<Setting> {
        let default = Self::default();
        let number = |name, value: u32, default: u32| Setting {
            name,
            line: Some(format!("{name} {value}").into_bytes()),
            force: value != default,
        };
        let text = |name, value: Option<&str>, default: Option<&str>| Setting {
            name,
            line: value.map(|value| [name.as_bytes(), b" ", &quoted(value.as_bytes())].concat()),
            force: value != default,
        };
        let bind =
            (!self.bind.is_empty()).then(|| format!("bind {}", self.bind.join(" ")).into_bytes());
        let yes_no = if self.daemonize { "yes" } else { "no" };
        vec![
            Setting {
                name: "daemonize",
                line: Some(format!("daemonize {yes_no}").into_bytes()),
                force: self.daemonize,
            },
            text("pidfile", Some(&self.pidfile), Some(&default.pidfile)),
            // The default that decides whether the line is needed is the server's, as in Redis.
            number("port", u32::from(self.port), 6_379),
            number("tcp-backlog", self.tcp_backlog, default.tcp_backlog),
            Setting {
                name: "bind",
                line: bind,
                force: true,
            },
            text("unixsocket", self.unixsocket.as_deref(), None),
            Setting {
                name: "unixsocketperm",
                line: Some(format!("unixsocketperm {:o}", self.unixsocketperm).into_bytes()),
                force: self.unixsocketperm != 0,
            },
            number("timeout", self.timeout_s, default.timeout_s),
            number(
                "tcp-keepalive",
                self.tcp_keepalive_s,
                default.tcp_keepalive_s,
            ),
            Setting {
                name: "loglevel",
                line: Some(format!("loglevel {}", self.loglevel).into_bytes()),
                force: self.loglevel != default.loglevel,
            },
            text("logfile", Some(&self.logfile), Some("")),
            Setting {
                force: true,
                ..text("dir", current_dir, None)
            },
            number("maxclients", self.maxclients, default.maxclients),
        ]
    }
}

impl File {
    /// Reads a configuration. Later lines win over earlier ones.
    ///
    /// # Errors
    /// The first line that is wrong.
    pub fn parse(text: &[u8], host: &mut dyn Host) -> Result<Self, ParseError> {
        let mut file = Self::default();
        file.read(text, host, 0)?;
        Ok(file)
    }

    fn read(&mut self, text: &[u8], host: &mut dyn Host, depth: usize) -> Result<(), ParseError> {
        for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let wrong = |reason: String| ParseError::Line {
                line: index + 1,
                text: String::from_utf8_lossy(line).into_owned(),
                reason,
            };
            let words = args::split(line)
                .ok_or_else(|| wrong("Unbalanced quotes in configuration line".to_owned()))?;
            let Some((directive, values)) = words.split_first() else {
                continue;
            };
            let directive = String::from_utf8_lossy(directive).to_ascii_lowercase();
            match (directive.as_str(), values) {
                ("dir", [path]) => {
                    let path = text_of(path);
                    host.change_dir(&path)
                        .map_err(|reason| ParseError::Dir { path, reason })?;
                }
                ("include", [path]) => {
                    let path = text_of(path);
                    if depth == MAX_INCLUDES {
                        return Err(wrong("Too many levels of include".to_owned()));
                    }
                    let included = host.read(&path).map_err(|_| ParseError::Include(path))?;
                    self.read(&included, host, depth + 1)?;
                }
                ("sentinel", []) => {}
                ("sentinel", _) => self
                    .sentinel_statement(values, host)
                    .map_err(|reason| wrong(reason.to_owned()))?,
                _ => self
                    .daemon
                    .directive(&directive, values, host)
                    .map_err(wrong)?,
            }
        }
        Ok(())
    }

    fn sentinel_statement(
        &mut self,
        words: &[Vec<u8>],
        host: &mut dyn Host,
    ) -> Result<(), &'static str> {
        const UNRECOGNIZED: &str = "Unrecognized sentinel configuration statement.";
        let texts: Vec<String> = words.iter().map(|word| text_of(word)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let Some((statement, values)) = texts.split_first() else {
            return Err(UNRECOGNIZED);
        };
        match (statement.to_ascii_lowercase().as_str(), values) {
            ("monitor", &[name, ip, port, quorum]) => self.monitor(name, ip, port, quorum, host),
            ("current-epoch", [value]) => {
                self.saved.current_epoch = self.saved.current_epoch.max(epoch(value)?);
                Ok(())
            }
            ("announce-ip", [value]) => {
                self.announce_ip = (!value.is_empty())
                    .then(|| (*value).to_owned())
                    .or(self.announce_ip.take());
                Ok(())
            }
            ("announce-port", [value]) => {
                let port: u16 = value.parse().map_err(|_| "Invalid port number")?;
                self.announce_port = (port != 0).then_some(port);
                Ok(())
            }
            (statement, [name, values @ ..]) => {
                let known = [
                    ("down-after-milliseconds", 1..=1),
                    ("failover-timeout", 1..=1),
                    ("parallel-syncs", 1..=1),
                    ("notification-script", 1..=1),
                    ("client-reconfig-script", 1..=1),
                    ("auth-pass", 1..=1),
                    ("config-epoch", 1..=1),
                    ("leader-epoch", 1..=1),
                    ("known-slave", 2..=2),
                    ("known-sentinel", 2..=3),
                ];
                if !known
                    .iter()
                    .any(|(known, count)| *known == statement && count.contains(&values.len()))
                {
                    return Err(UNRECOGNIZED);
                }
                let current_epoch = &mut self.saved.current_epoch;
                let master = self
                    .saved
                    .masters
                    .iter_mut()
                    .find(|master| master.name == *name);
                let master = master.ok_or("No such master with specified name.")?;
                let raw = words.get(2).map_or(&[][..], Vec::as_slice);
                master_statement(master, statement, values, raw, host)?;
                *current_epoch = (*current_epoch).max(master.config_epoch);
                Ok(())
            }
            _ => Err(UNRECOGNIZED),
        }
    }

    fn monitor(
        &mut self,
        name: &str,
        ip: &str,
        port: &str,
        quorum: &str,
        host: &mut dyn Host,
    ) -> Result<(), &'static str> {
        let quorum = quorum
            .parse()
            .ok()
            .filter(|&quorum: &u32| quorum > 0)
            .ok_or("Quorum must be 1 or greater.")?;
        let addr = addr(ip, port, host).map_err(|wrong| match wrong {
            Unusable::Port => "Invalid port number",
            Unusable::Host => "Can't resolve master instance hostname.",
        })?;
        if self.saved.masters.iter().any(|master| master.name == name) {
            return Err("Duplicated master name.");
        }
        self.saved.masters.push(SavedMaster {
            name: name.to_owned(),
            addr,
            options: Options::new(quorum),
            config_epoch: 0,
            leader_epoch: 0,
            slaves: Vec::new(),
            sentinels: Vec::new(),
        });
        Ok(())
    }
}

/// A statement about one master. `values` has the number of words that the statement takes.
fn master_statement(
    master: &mut SavedMaster,
    statement: &str,
    values: &[&str],
    raw: &[u8],
    host: &mut dyn Host,
) -> Result<(), &'static str> {
    const BAD_TIME: &str = "negative or zero time parameter.";
    let value = values.first().copied().unwrap_or_default();
    let time = || {
        value
            .parse()
            .ok()
            .filter(|&ms: &u64| ms > 0 && ms <= MAX_EPOCH)
            .ok_or(BAD_TIME)
    };
    match statement {
        "down-after-milliseconds" => master.options.down_after_ms = time()?,
        "failover-timeout" => master.options.failover_timeout_ms = time()?,
        "parallel-syncs" => {
            master.options.parallel_syncs =
                value.parse().map_err(|_| "Invalid parallel-syncs value")?;
        }
        "notification-script" => {
            if !host.is_executable(value) {
                return Err("Notification script seems non existing or non executable.");
            }
            master.options.notification_script = Some(value.to_owned());
        }
        "client-reconfig-script" => {
            if !host.is_executable(value) {
                return Err("Client reconfiguration script seems non existing or non executable.");
            }
            master.options.client_reconfig_script = Some(value.to_owned());
        }
        "auth-pass" => master.options.auth_pass = Some(raw.to_vec()),
        "config-epoch" => master.config_epoch = epoch(value)?,
        "leader-epoch" => master.leader_epoch = epoch(value)?,
        "known-slave" => {
            const WRONG: &str = "Wrong hostname or port for slave.";
            let addr =
                addr(value, values.get(1).copied().unwrap_or_default(), host).map_err(|_| WRONG)?;
            if master.slaves.contains(&addr) || master.slaves.len() >= MAX_KNOWN_PER_MASTER {
                return Err(WRONG);
            }
            master.slaves.push(addr);
        }
        _ => {
            const WRONG: &str = "Wrong hostname or port for sentinel.";
            let addr =
                addr(value, values.get(1).copied().unwrap_or_default(), host).map_err(|_| WRONG)?;
            let known = master.sentinels.iter().any(|(known, _)| *known == addr);
            if known || master.sentinels.len() >= MAX_KNOWN_PER_MASTER {
                return Err(WRONG);
            }
            master
                .sentinels
                .push((addr, values.get(2).map(|runid| (*runid).to_owned())));
        }
    }
    Ok(())
}

/// Directives that mean something to a server only. Redis's sentinel takes them, so a shared file keeps working.
const SERVER_ONLY: &[&str] = &[
    "activerehashing",
    "aof-load-truncated",
    "aof-rewrite-incremental-fsync",
    "appendfilename",
    "appendfsync",
    "appendonly",
    "auto-aof-rewrite-min-size",
    "auto-aof-rewrite-percentage",
    "client-output-buffer-limit",
    "cluster-config-file",
    "cluster-enabled",
    "cluster-migration-barrier",
    "cluster-node-timeout",
    "cluster-require-full-coverage",
    "cluster-slave-validity-factor",
    "databases",
    "dbfilename",
    "hash-max-ziplist-entries",
    "hash-max-ziplist-value",
    "hll-sparse-max-bytes",
    "hz",
    "latency-monitor-threshold",
    "list-max-ziplist-entries",
    "list-max-ziplist-value",
    "lua-time-limit",
    "masterauth",
    "maxmemory",
    "maxmemory-policy",
    "maxmemory-samples",
    "min-slaves-max-lag",
    "min-slaves-to-write",
    "no-appendfsync-on-rewrite",
    "notify-keyspace-events",
    "rdbchecksum",
    "rdbcompression",
    "repl-backlog-size",
    "repl-backlog-ttl",
    "repl-disable-tcp-nodelay",
    "repl-diskless-sync",
    "repl-diskless-sync-delay",
    "repl-ping-slave-period",
    "repl-timeout",
    "save",
    "set-max-intset-entries",
    "slave-priority",
    "slave-read-only",
    "slave-serve-stale-data",
    "slaveof",
    "slowlog-log-slower-than",
    "slowlog-max-len",
    "stop-writes-on-bgsave-error",
    "syslog-facility",
    "syslog-ident",
    "zset-max-ziplist-entries",
    "zset-max-ziplist-value",
];

impl Daemon {
    fn directive(
        &mut self,
        directive: &str,
        values: &[Vec<u8>],
        host: &mut dyn Host,
    ) -> Result<(), String> {
        let first = values.first().map(|word| text_of(word)).unwrap_or_default();
        match (directive, values.len()) {
            ("port", 1) => self.port = first.parse().map_err(|_| "Invalid port")?,
            ("bind", 1..=16) => self.bind = values.iter().map(|word| text_of(word)).collect(),
            ("bind", 17..) => return Err("Too many bind addresses specified".to_owned()),
            ("unixsocket", 1) => self.unixsocket = Some(first),
            ("unixsocketperm", 1) => {
                let mode = u32::from_str_radix(&first, 8)
                    .ok()
                    .filter(|&mode| mode <= 0o777);
                self.unixsocketperm = mode.ok_or("Invalid socket file permissions")?;
            }
            ("tcp-backlog", 1) => self.tcp_backlog = int(&first).ok_or("Invalid backlog value")?,
            ("timeout", 1) => self.timeout_s = int(&first).ok_or("Invalid timeout value")?,
            ("tcp-keepalive", 1) => {
                self.tcp_keepalive_s = int(&first).ok_or("Invalid tcp-keepalive value")?;
            }
            ("maxclients", 1) => {
                self.maxclients = int(&first)
                    .filter(|&max| max > 0)
                    .ok_or("Invalid max clients limit")?;
            }
            ("daemonize", 1) => self.daemonize = yes_no(&first)?,
            ("pidfile", 1) => self.pidfile = first,
            ("logfile", 1) => {
                if !first.is_empty() {
                    host.try_log_file(&first)
                        .map_err(|reason| format!("Can't open the log file: {reason}"))?;
                }
                self.logfile = first;
            }
            ("loglevel", 1) => {
                let level = ["debug", "verbose", "notice", "warning"]
                    .into_iter()
                    .find(|l| l.eq_ignore_ascii_case(&first));
                self.loglevel =
                    level.ok_or("Invalid log level. Must be one of debug, notice, warning")?;
            }
            ("syslog-enabled", 1) => self.syslog_enabled = yes_no(&first)?,
            ("requirepass", 1) => {
                if first.len() > 512 {
                    return Err("Password is longer than REDIS_AUTHPASS_MAX_LEN".to_owned());
                }
                self.requirepass = values.first().cloned();
            }
            ("rename-command", 2) => self.rename(
                &first,
                &text_of(values.get(1).map_or(&[][..], Vec::as_slice)),
            )?,
            (other, 1..) if SERVER_ONLY.contains(&other) => {}
            _ => return Err("Bad directive or wrong number of arguments".to_owned()),
        }
        Ok(())
    }

    fn rename(&mut self, old: &str, new: &str) -> Result<(), &'static str> {
        let (old, new) = (old.to_ascii_lowercase(), new.to_ascii_lowercase());
        let commands = crate::commands::NAMES;
        let gone = |name: &str| self.renamed_commands.iter().any(|(from, _)| from == name);
        if !commands.contains(&old.as_str()) || gone(&old) {
            return Err("No such command in rename-command");
        }
        let taken = self.renamed_commands.iter().any(|(_, to)| *to == new);
        if !new.is_empty()
            && (taken || (commands.contains(&new.as_str()) && !gone(&new) && new != old))
        {
            return Err("Target command name already exists");
        }
        self.renamed_commands.push((old, new));
        Ok(())
    }
}

enum Unusable {
    Port,
    Host,
}

fn addr(ip: &str, port: &str, host: &mut dyn Host) -> Result<Addr, Unusable> {
    let port = port.parse().map_err(|_| Unusable::Port)?;
    let addr = Addr::new(IpAddr::from([0, 0, 0, 0]), port).ok_or(Unusable::Port)?;
    Ok(Addr {
        ip: host.resolve(ip).ok_or(Unusable::Host)?,
        ..addr
    })
}

fn epoch(value: &str) -> Result<u64, &'static str> {
    value
        .parse()
        .ok()
        .filter(|&epoch| epoch <= MAX_EPOCH)
        .ok_or("Invalid epoch.")
}

/// A number as Redis's `int` directives take it: not negative, not beyond an `int`.
fn int(value: &str) -> Option<u32> {
    value
        .parse()
        .ok()
        .filter(|&number: &u32| i32::try_from(number).is_ok())
}

fn yes_no(value: &str) -> Result<bool, &'static str> {
    match value {
        _ if value.eq_ignore_ascii_case("yes") => Ok(true),
        _ if value.eq_ignore_ascii_case("no") => Ok(false),
        _ => Err("argument must be 'yes' or 'no'"),
    }
}

fn text_of(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A world in which every program exists and only literal addresses resolve.
    #[derive(Default)]
    pub(crate) struct NoWorld {
        pub(crate) dirs: Vec<String>,
    }

    impl Host for NoWorld {
        fn resolve(&mut self, host: &str) -> Option<IpAddr> {
            host.parse().ok()
        }
        fn is_executable(&mut self, path: &str) -> bool {
            path.starts_with('/')
        }
        fn change_dir(&mut self, path: &str) -> Result<(), String> {
            self.dirs.push(path.to_owned());
            if path == "/missing" {
                Err("No such file or directory".to_owned())
            } else {
                Ok(())
            }
        }
        fn try_log_file(&mut self, path: &str) -> Result<(), String> {
            if path == "/missing/log" {
                Err("No such file or directory".to_owned())
            } else {
                Ok(())
            }
        }
        fn read(&mut self, path: &str) -> Result<Vec<u8>, String> {
            if path == "/loop" {
                Ok(b"include /loop".to_vec())
            } else {
                Err("nothing here".to_owned())
            }
        }
    }

    fn parse(text: &str) -> Result<File, ParseError> {
        File::parse(text.as_bytes(), &mut NoWorld::default())
    }

    #[test]
    fn every_statement_is_read() {
        let text = "port 5\nDaemonize YES\ndir /x\nlogfile \"\"\nloglevel Verbose\nsave 900 1\nbind 127.0.0.1 ::1\n\
            sentinel monitor m 127.0.0.1 6379 2\nsentinel down-after-milliseconds m 1000\n\
            sentinel failover-timeout m 2000\nSENTINEL Parallel-Syncs m 3\nsentinel notification-script m /n\n\
            sentinel client-reconfig-script m /c\nsentinel auth-pass m \"p w\"\nsentinel config-epoch m 7\n\
            sentinel leader-epoch m 8\nsentinel known-slave m ::1 6380\nsentinel known-sentinel m 127.0.0.1 5001\n\
            sentinel known-sentinel m 127.0.0.1 5002 abc\nsentinel current-epoch 3\nsentinel announce-ip 1.2.3.4\n\
            sentinel announce-port 99\n";
        let file = parse(text).unwrap();
        assert_eq!(
            (
                file.daemon.port,
                file.daemon.daemonize,
                file.daemon.loglevel
            ),
            (5, true, "verbose")
        );
        assert_eq!(
            file.saved.current_epoch, 7,
            "a config epoch moves the current epoch up"
        );
        assert_eq!(
            (file.announce_ip.as_deref(), file.announce_port),
            (Some("1.2.3.4"), Some(99))
        );
        let m = &file.saved.masters[0];
        assert_eq!(
            (
                m.options.quorum,
                m.options.down_after_ms,
                m.options.failover_timeout_ms
            ),
            (2, 1000, 2000)
        );
        assert_eq!(
            (m.options.parallel_syncs, m.config_epoch, m.leader_epoch),
            (3, 7, 8)
        );
        assert_eq!(m.options.auth_pass.as_deref(), Some(&b"p w"[..]));
        assert_eq!(m.slaves, [Addr::parse("::1", "6380").unwrap()]);
        assert_eq!(m.sentinels[0].1, None);
        assert_eq!(m.sentinels[1].1.as_deref(), Some("abc"));
    }

    const WRONG_LINES: &[(&str, &str)] = &[
        (
            "sentinel monitor m 127.0.0.1 6379 1",
            "Duplicated master name.",
        ),
        (
            "sentinel monitor x 127.0.0.1 6379 0",
            "Quorum must be 1 or greater.",
        ),
        ("sentinel monitor x 127.0.0.1 0 1", "Invalid port number"),
        (
            "sentinel monitor x no.such.host 1 1",
            "Can't resolve master instance hostname.",
        ),
        (
            "sentinel monitor x 127.0.0.1 6379",
            "Unrecognized sentinel configuration statement.",
        ),
        (
            "sentinel down-after-milliseconds x 1",
            "No such master with specified name.",
        ),
        (
            "sentinel down-after-milliseconds m 0",
            "negative or zero time parameter.",
        ),
        (
            "sentinel failover-timeout m -1",
            "negative or zero time parameter.",
        ),
        (
            "sentinel notification-script m x",
            "Notification script seems non existing or non executable.",
        ),
        (
            "sentinel known-slave m 127.0.0.1 x",
            "Wrong hostname or port for slave.",
        ),
        (
            "sentinel known-sentinel m 127.0.0.1 0",
            "Wrong hostname or port for sentinel.",
        ),
        (
            "sentinel nonsense m",
            "Unrecognized sentinel configuration statement.",
        ),
        ("port 70000", "Invalid port"),
        (
            "loglevel loud",
            "Invalid log level. Must be one of debug, notice, warning",
        ),
        (
            "logfile /missing/log",
            "Can't open the log file: No such file or directory",
        ),
        ("daemonize maybe", "argument must be 'yes' or 'no'"),
        ("nosuch 1", "Bad directive or wrong number of arguments"),
        ("port", "Bad directive or wrong number of arguments"),
        ("dir \"x", "Unbalanced quotes in configuration line"),
        ("rename-command get x", "No such command in rename-command"),
        (
            "rename-command ping info",
            "Target command name already exists",
        ),
    ];

    #[test]
    fn a_wrong_line_is_named_with_redis_text() {
        let monitor = "sentinel monitor m 127.0.0.1 6379 1\n";
        for (line, reason) in WRONG_LINES {
            let error = parse(&format!("{monitor}\n{line}\n")).unwrap_err();
            let message = format!(
                "*** FATAL CONFIG FILE ERROR ***\nReading the configuration file, at line 3\n>>> '{line}'\n{reason}"
            );
            assert_eq!(error.to_string(), message);
        }
        assert_eq!(
            parse("dir /missing").unwrap_err().to_string(),
            "Can't chdir to '/missing': No such file or directory"
        );
        assert_eq!(
            parse("include /x").unwrap_err().to_string(),
            "Fatal error, can't open config file '/x'"
        );
        assert!(
            parse("include /loop")
                .unwrap_err()
                .to_string()
                .contains("Too many levels")
        );
    }
}
