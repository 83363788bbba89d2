//! Reading sentinel.conf: the directives shared with a server by `conf`'s table, and the `sentinel …` statements here.
//! What reading needs of the world is asked from a [`Host`], in the order of the lines.

use std::net::IpAddr;

use conf::load::Loader;
use conf::{LoadError, Refusal, ServerConfig};

use super::{MAX_EPOCH, Options, Saved, SavedMaster};
use crate::Addr;
use crate::commands;
use crate::timing::MAX_KNOWN_PER_MASTER;

/// The port of a sentinel that was not given one.
const DEFAULT_PORT: u16 = 26_379;

/// What reading a sentinel's configuration needs of the world, beside what `conf` asks.
pub trait Host: conf::Host {
    /// The address of a host name; called for literal addresses too.
    fn resolve(&mut self, host: &str) -> Option<IpAddr>;
    /// Whether a path names a program that may be started.
    fn is_executable(&mut self, path: &str) -> bool;
}

/// A configuration that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// The directives that a sentinel shares with a server. Most mean nothing to it; a shared file keeps working.
    pub server: ServerConfig,
    /// The sentinel's state.
    pub saved: Saved,
    /// `sentinel announce-ip`
    pub announce_ip: Option<String>,
    /// `sentinel announce-port`
    pub announce_port: Option<u16>,
}

impl File {
    /// Reads a configuration. Later lines win over earlier ones.
    ///
    /// # Errors
    /// The first line that is wrong, as Redis's fatal message.
    pub fn parse<H: Host>(text: &[u8], host: &mut H) -> Result<Self, LoadError> {
        let mut server = ServerConfig {
            port: DEFAULT_PORT,
            ..ServerConfig::default()
        };
        let mut reader = Reader {
            file: Self::default(),
            host,
            renamed: Vec::new(),
        };
        Loader::new(&mut reader, None).load(text, &mut server)?;
        Ok(Self {
            server,
            ..reader.file
        })
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

/// Takes the statements that `conf` does not know, and passes its questions on.
struct Reader<'a, H> {
    file: File,
    host: &'a mut H,
    /// Commands renamed so far: old and new name.
    renamed: Vec<(String, String)>,
}

impl<H: Host> conf::Host for Reader<'_, H> {
    fn read(&mut self, path: &[u8]) -> Result<Vec<u8>, Refusal> {
        self.host.read(path)
    }

    fn expand(&mut self, pattern: &[u8]) -> Vec<Vec<u8>> {
        self.host.expand(pattern)
    }

    fn accepted(&mut self, directive: &str, arguments: &[Vec<u8>]) -> Result<(), Refusal> {
        if let ("rename-command", [old, new]) = (directive, arguments) {
            return self
                .rename(&lower(old), &lower(new))
                .map_err(|reason| Refusal::Reason(reason.to_owned()));
        }
        self.host.accepted(directive, arguments)
    }

    fn unknown(&mut self, name: &[u8], arguments: &[Vec<u8>]) -> Option<Result<(), Refusal>> {
        if name != b"sentinel" {
            return self.host.unknown(name, arguments);
        }
        // A lone `sentinel` is what `--sentinel` on the command line leaves.
        if arguments.is_empty() {
            return Some(Ok(()));
        }
        let taken = self.file.sentinel_statement(arguments, self.host);
        Some(taken.map_err(|reason| Refusal::Reason(reason.to_owned())))
    }
}

impl<H> Reader<'_, H> {
    /// Looks whether a command can be renamed: it must exist, and its new name must be free.
    fn rename(&mut self, old: &str, new: &str) -> Result<(), &'static str> {
        let exists = |name: &str| {
            let away = self.renamed.iter().any(|(from, _)| from == name);
            let here = self.renamed.iter().any(|(_, to)| to == name);
            here || (commands::NAMES.contains(&name) && !away)
        };
        if !exists(old) {
            return Err("No such command in rename-command");
        }
        if !new.is_empty() && new != old && exists(new) {
            return Err("Target command name already exists");
        }
        self.renamed.push((old.to_owned(), new.to_owned()));
        Ok(())
    }
}

fn lower(word: &[u8]) -> String {
    text_of(word).to_ascii_lowercase()
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

fn text_of(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A world in which every program exists and only literal addresses resolve.
    pub(crate) struct NoWorld;

    impl conf::Host for NoWorld {}

    impl Host for NoWorld {
        fn resolve(&mut self, host: &str) -> Option<IpAddr> {
            host.parse().ok()
        }
        fn is_executable(&mut self, path: &str) -> bool {
            path.starts_with('/')
        }
    }

    fn parse(text: &str) -> Result<File, LoadError> {
        File::parse(text.as_bytes(), &mut NoWorld)
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
                file.server.port,
                file.server.daemonize,
                file.server.loglevel
            ),
            (5, true, conf::LogLevel::Verbose)
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
        (
            "port 70000",
            "argument must be between 0 and 65535 inclusive",
        ),
        (
            "loglevel loud",
            "argument(s) must be one of the following: debug, verbose, notice, warning, nothing",
        ),
        ("daemonize maybe", "argument must be 'yes' or 'no'"),
        ("nosuch 1", "Bad directive or wrong number of arguments"),
        ("port", "wrong number of arguments"),
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
                "*** FATAL CONFIG FILE ERROR (Version 0.1.0) ***\nReading the configuration file, at line 3\n>>> '{line}'\n{reason}"
            );
            assert_eq!(error.to_string(), message);
        }
    }
}
