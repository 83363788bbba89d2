//! Reading sentinel.conf: the directives shared with a server by `conf`'s table, and the `sentinel …` statements here.
//! What reading needs of the world is asked from a [`Host`], in the order of the lines.

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use conf::load::{BadLine, BadLines, Loader};
use conf::{LoadError, Refusal, ServerConfig};

use super::{Globals, MAX_EPOCH, Options, Saved, SavedMaster, is_runid};
use crate::Addr;
use crate::addr::{is_host_name, parse_ip};
use crate::commands::table::is_command;
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
    /// `sentinel myid`
    pub myid: Option<String>,
    /// The other statements that are not of one master.
    pub globals: Globals,
}

impl File {
    /// Reads a configuration. Later lines win over earlier ones, and a master's statements may stand before its
    /// `sentinel monitor`.
    ///
    /// # Errors
    /// What is wrong, as Redis's fatal message.
    pub fn parse<H: Host>(text: &[u8], host: &mut H) -> Result<Self, LoadError> {
        let mut server = ServerConfig {
            port: DEFAULT_PORT,
            // A sentinel is for others; a line of the file may say otherwise.
            protected_mode: false,
            ..ServerConfig::default()
        };
        let mut file = Self::default();
        file.globals.resolve_hostnames = resolves_hostnames(text);
        let mut reader = Reader {
            file,
            host,
            renamed: Vec::new(),
            early: Vec::new(),
        };
        Loader::new(&mut reader, None).load(text, &mut server)?;
        if let Some(words) = reader.early.first() {
            return Err(LoadError::Lines(BadLines(vec![no_such_master(
                text, words,
            )])));
        }
        Ok(Self {
            server,
            ..reader.file
        })
    }

    fn sentinel_statement(
        &mut self,
        words: &[Vec<u8>],
        host: &mut dyn Host,
    ) -> Result<(), Cow<'static, str>> {
        let texts: Vec<String> = words.iter().map(|word| text_of(word)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let Some((statement, values)) = texts.split_first() else {
            return Err(UNRECOGNIZED.into());
        };
        match (statement.to_ascii_lowercase().as_str(), values) {
            ("monitor", &[name, place, port, quorum]) => {
                self.monitor(name, place, port, quorum, host)?;
                Ok(())
            }
            (statement, [value]) if GLOBAL.contains(&statement) => {
                let raw = words.get(1).map_or(&[][..], Vec::as_slice);
                self.global(statement, value, raw)?;
                Ok(())
            }
            (statement, [name, values @ ..]) if takes(statement, values.len()) => {
                let names = self.globals.resolve_hostnames;
                let master = self
                    .saved
                    .masters
                    .iter_mut()
                    .find(|master| master.name == *name)
                    .ok_or(NO_SUCH_MASTER)?;
                let raw = words.get(2).map_or(&[][..], Vec::as_slice);
                master_statement(master, statement, values, raw, names, host)?;
                self.saved.current_epoch = self.saved.current_epoch.max(master.config_epoch);
                Ok(())
            }
            (statement, _) => Err(unrecognized(statement)),
        }
    }

    /// A statement that is not of one master.
    fn global(&mut self, statement: &str, value: &str, raw: &[u8]) -> Result<(), &'static str> {
        let globals = &mut self.globals;
        let flag = |error| match value {
            _ if value.eq_ignore_ascii_case("yes") => Ok(true),
            _ if value.eq_ignore_ascii_case("no") => Ok(false),
            _ => Err(error),
        };
        let given = (!raw.is_empty()).then(|| raw.to_vec());
        match statement {
            "current-epoch" => {
                self.saved.current_epoch = self.saved.current_epoch.max(epoch(value)?);
            }
            "myid" => {
                if !is_runid(value) {
                    return Err("Malformed Sentinel id in myid option.");
                }
                self.myid = Some(value.to_owned());
            }
            "announce-ip" => {
                globals.announce_ip = (!value.is_empty())
                    .then(|| value.to_owned())
                    .or(globals.announce_ip.take());
            }
            "announce-port" => {
                let port: u16 = value.parse().map_err(|_| "Invalid port number")?;
                globals.announce_port = (port != 0).then_some(port);
            }
            "sentinel-user" => globals.sentinel_user = given.or(globals.sentinel_user.take()),
            "sentinel-pass" => globals.sentinel_pass = given.or(globals.sentinel_pass.take()),
            "resolve-hostnames" => {
                globals.resolve_hostnames =
                    flag("Please specify yes or no for the resolve-hostnames option.")?;
            }
            "announce-hostnames" => {
                globals.announce_hostnames =
                    flag("Please specify yes or no for the announce-hostnames option.")?;
            }
            "deny-scripts-reconfig" => {
                globals.deny_scripts_reconfig =
                    flag("Please specify yes or no for the deny-scripts-reconfig options.")?;
            }
            _ => {
                globals.vote_without_disk =
                    flag("Please specify yes or no for the vote-without-disk option.")?;
            }
        }
        Ok(())
    }

    fn monitor(
        &mut self,
        name: &str,
        place: &str,
        port: &str,
        quorum: &str,
        host: &mut dyn Host,
    ) -> Result<(), &'static str> {
        let quorum = quorum
            .parse()
            .ok()
            .filter(|&quorum: &u32| quorum > 0)
            .ok_or("Quorum must be 1 or greater.")?;
        let addr = addr(place, port, self.globals.resolve_hostnames, host)?;
        if self.saved.masters.iter().any(|master| master.name == name) {
            return Err("Duplicate master name.");
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

const UNRECOGNIZED: &str = "Unrecognized sentinel configuration statement.";
const NO_SUCH_MASTER: &str = "No such master with specified name.";

/// The statements with one value that are not of one master.
const GLOBAL: &[&str] = &[
    "current-epoch",
    "myid",
    "announce-ip",
    "announce-port",
    "sentinel-user",
    "sentinel-pass",
    "resolve-hostnames",
    "announce-hostnames",
    "deny-scripts-reconfig",
    "vote-without-disk",
];

/// The statements of a master, with the number of words behind its name.
const OF_MASTER: &[(&str, RangeInclusive<usize>)] = &[
    ("down-after-milliseconds", 1..=1),
    ("failover-timeout", 1..=1),
    ("parallel-syncs", 1..=1),
    ("notification-script", 1..=1),
    ("client-reconfig-script", 1..=1),
    ("auth-pass", 1..=1),
    ("auth-user", 1..=1),
    ("config-epoch", 1..=1),
    ("leader-epoch", 1..=1),
    ("known-slave", 2..=2),
    ("known-replica", 2..=2),
    ("known-sentinel", 2..=3),
    ("rename-command", 2..=2),
    ("primary-reboot-down-after-period", 1..=1),
    ("master-reboot-down-after-period", 1..=1),
    ("saturation-threshold", 1..=1),
    ("saturation-failover", 1..=1),
];

fn takes(statement: &str, words: usize) -> bool {
    OF_MASTER
        .iter()
        .any(|(known, count)| *known == statement && count.contains(&words))
}

/// What is wrong with a statement that is none, with the one that was probably meant.
fn unrecognized(statement: &str) -> Cow<'static, str> {
    let known = OF_MASTER
        .iter()
        .map(|(known, _)| *known)
        .chain(GLOBAL.iter().copied())
        .chain(["monitor"]);
    let nearest = known
        .map(|known| (distance(known, statement), known))
        .filter(|&(steps, known)| steps > 0 && steps <= known.len() / 3)
        .min();
    match nearest {
        Some((_, known)) => format!("{UNRECOGNIZED} Did you mean '{known}'?").into(),
        None => UNRECOGNIZED.into(),
    }
}

/// How many letters have to be put in, taken out or replaced to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<u8> = b.bytes().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (index, letter) in a.bytes().enumerate() {
        let mut before = std::mem::replace(&mut row[0], index + 1);
        for place in 1..row.len() {
            let replaced = before + usize::from(b[place - 1] != letter);
            before = row[place];
            row[place] = replaced.min(before + 1).min(row[place - 1] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}

/// The lines of a text as words, with their numbers. What cannot be split is left out: the loader tells of it.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8], Vec<Vec<u8>>)> {
    text.split(|byte| *byte == b'\n')
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim_ascii()))
        .filter(|(_, line)| !line.is_empty() && line[0] != b'#')
        .filter_map(|(number, line)| Some((number, line, resp::args::split(line)?)))
}

/// Whether a file wants host names. Asked before it is read, since addresses may stand before the line that says so.
fn resolves_hostnames(text: &[u8]) -> bool {
    let last = lines(text)
        .filter_map(|(_, _, words)| match &words[..] {
            [directive, statement, value]
                if directive.eq_ignore_ascii_case(b"sentinel")
                    && statement.eq_ignore_ascii_case(b"resolve-hostnames") =>
            {
                Some(value.eq_ignore_ascii_case(b"yes"))
            }
            _ => None,
        })
        .last();
    last.unwrap_or(false)
}

/// The line of a statement whose master did not come.
fn no_such_master(text: &[u8], statement: &[Vec<u8>]) -> BadLine {
    let found = lines(text).find(|(_, _, words)| words.get(1..) == Some(statement));
    let (number, line) = found.map_or((0, Vec::new()), |(number, line, _)| (number, line.to_vec()));
    BadLine {
        file: None,
        number,
        text: line,
        reason: NO_SUCH_MASTER.into(),
    }
}

/// Takes the statements that `conf` does not know, and passes its questions on.
struct Reader<'a, H> {
    file: File,
    host: &'a mut H,
    /// Commands renamed so far: old and new name.
    renamed: Vec<(String, String)>,
    /// Statements of masters that did not come yet.
    early: Vec<Vec<Vec<u8>>>,
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
        Some(
            self.statement(arguments)
                .map_err(|reason| Refusal::Reason(reason.into_owned())),
        )
    }
}

impl<H: Host> Reader<'_, H> {
    /// Takes a statement; keeps it for later when its master did not come yet.
    fn statement(&mut self, words: &[Vec<u8>]) -> Result<(), Cow<'static, str>> {
        match self.file.sentinel_statement(words, self.host) {
            Err(reason) if reason == NO_SUCH_MASTER => {
                self.early.push(words.to_vec());
                return Ok(());
            }
            taken => taken?,
        }
        if !words[0].eq_ignore_ascii_case(b"monitor") {
            return Ok(());
        }
        let (due, early) = std::mem::take(&mut self.early)
            .into_iter()
            .partition(|early: &Vec<Vec<u8>>| early.get(1) == words.get(1));
        self.early = early;
        let mut due = due.into_iter();
        due.try_for_each(|words: Vec<Vec<u8>>| self.file.sentinel_statement(&words, self.host))
    }
}

impl<H> Reader<'_, H> {
    /// Looks whether a command can be renamed: it must exist, and its new name must be free.
    fn rename(&mut self, old: &str, new: &str) -> Result<(), &'static str> {
        let exists = |name: &str| {
            let away = self.renamed.iter().any(|(from, _)| from == name);
            let here = self.renamed.iter().any(|(_, to)| to == name);
            here || (is_command(name) && !away)
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
#[expect(clippy::too_many_lines, reason = "one arm per statement")]
fn master_statement(
    master: &mut SavedMaster,
    statement: &str,
    values: &[&str],
    raw: &[u8],
    names: bool,
    host: &mut dyn Host,
) -> Result<(), &'static str> {
    const BAD_TIME: &str = "negative or zero time parameter.";
    let value = values.first().copied().unwrap_or_default();
    let second = values.get(1).copied().unwrap_or_default();
    let time = || {
        value
            .parse()
            .ok()
            .filter(|&ms: &u64| ms > 0 && ms <= MAX_EPOCH)
            .ok_or(BAD_TIME)
    };
    let time_or_zero = || {
        value
            .parse()
            .ok()
            .filter(|&ms: &u64| ms <= MAX_EPOCH)
            .ok_or("negative time parameter.")
    };
    let options = &mut master.options;
    match statement {
        "down-after-milliseconds" => options.down_after_ms = time()?,
        "failover-timeout" => options.failover_timeout_ms = time()?,
        "parallel-syncs" => {
            options.parallel_syncs = value.parse().map_err(|_| "Invalid parallel-syncs value")?;
        }
        "notification-script" => {
            if !host.is_executable(value) {
                return Err("Notification script seems non existing or non executable.");
            }
            options.notification_script = Some(value.to_owned());
        }
        "client-reconfig-script" => {
            if !host.is_executable(value) {
                return Err("Client reconfiguration script seems non existing or non executable.");
            }
            options.client_reconfig_script = Some(value.to_owned());
        }
        "auth-pass" => options.auth_pass = Some(raw.to_vec()),
        "auth-user" => options.auth_user = Some(raw.to_vec()),
        "config-epoch" => master.config_epoch = epoch(value)?,
        "leader-epoch" => master.leader_epoch = epoch(value)?,
        "rename-command" => {
            if value.is_empty() || second.is_empty() {
                return Err("A command and its other name must not be empty.");
            }
            let new = second.to_owned();
            if options
                .renamed
                .insert(value.to_ascii_lowercase(), new)
                .is_some()
            {
                return Err("Same command renamed multiple times with rename-command.");
            }
        }
        "primary-reboot-down-after-period" | "master-reboot-down-after-period" => {
            options.reboot_down_after_ms = time_or_zero()?;
        }
        "saturation-threshold" => options.saturation_threshold_ms = time_or_zero()?,
        "saturation-failover" => {
            options.saturation_failover = match value {
                _ if value.eq_ignore_ascii_case("yes") => true,
                _ if value.eq_ignore_ascii_case("no") => false,
                _ => return Err("Please specify yes or no for the saturation-failover option."),
            };
        }
        "known-sentinel" => {
            let addr = addr(value, second, names, host)?;
            let runid = values.get(2).map(|runid| (*runid).to_owned());
            let known = |(known, id): &(Addr, Option<String>)| {
                known.is(&addr) || (id.is_some() && *id == runid)
            };
            if master.sentinels.iter().any(known) {
                return Err("Duplicate runid for sentinel.");
            }
            if master.sentinels.len() >= MAX_KNOWN_PER_MASTER {
                return Err("Too many sentinels.");
            }
            master.sentinels.push((addr, runid));
        }
        _ => {
            let addr = addr(value, second, names, host)?;
            if master.slaves.iter().any(|known| known.is(&addr)) {
                return Err("Duplicate hostname and port for replica.");
            }
            if master.slaves.len() >= MAX_KNOWN_PER_MASTER {
                return Err("Too many replicas.");
            }
            master.slaves.push(addr);
        }
    }
    Ok(())
}

/// An address of the file. With `names` a host name stays one, also when it stands for nothing at the moment.
fn addr(place: &str, port: &str, names: bool, host: &mut dyn Host) -> Result<Addr, &'static str> {
    const PORT: &str = "Invalid port number.";
    const HOST: &str = "Can't resolve instance hostname.";
    let port: u16 = port.parse().map_err(|_| PORT)?;
    let ip = parse_ip(place).or_else(|| host.resolve(place));
    if names && is_host_name(place) {
        return Addr::named(place, ip, port).ok_or(PORT);
    }
    Addr::new(ip.ok_or(HOST)?, port).ok_or(PORT)
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
            (
                file.globals.announce_ip.as_deref(),
                file.globals.announce_port,
            ),
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

    #[test]
    fn what_todays_sentinels_write_is_read() {
        let text = "port 26379\nsentinel known-replica m replica.example 6380\n\
            sentinel auth-user m admin\nsentinel saturation-threshold m 500\nsentinel saturation-failover m yes\nsentinel monitor m master.example 6379 2\n\
            sentinel rename-command m PING \"Po ng\"\nsentinel primary-reboot-down-after-period m 5\n\
            sentinel myid 46c4e8095e87ae3da36051818063f69fa7ca0419\nsentinel deny-scripts-reconfig no\n\
            sentinel sentinel-user u\nsentinel sentinel-pass \"p w\"\nsentinel announce-hostnames yes\n\
            sentinel resolve-hostnames yes\n";
        let file = parse(text).unwrap();
        let m = &file.saved.masters[0];
        assert_eq!(m.addr, Addr::named("master.example", None, 6379).unwrap());
        assert_eq!(
            m.slaves,
            [Addr::named("replica.example", None, 6380).unwrap()]
        );
        assert_eq!(m.options.auth_user.as_deref(), Some(&b"admin"[..]));
        assert_eq!(m.options.renamed["ping"], "Po ng");
        assert_eq!(m.options.reboot_down_after_ms, 5);
        assert_eq!(m.options.saturation_threshold_ms, 500);
        assert!(m.options.saturation_failover);
        assert_eq!(
            file.myid.as_deref(),
            Some("46c4e8095e87ae3da36051818063f69fa7ca0419")
        );
        assert_eq!(
            file.globals,
            Globals {
                sentinel_user: Some(b"u".to_vec()),
                sentinel_pass: Some(b"p w".to_vec()),
                resolve_hostnames: true,
                announce_hostnames: true,
                deny_scripts_reconfig: false,
                ..Globals::default()
            }
        );
    }

    const WRONG_LINES: &[(&str, &str)] = &[
        (
            "sentinel monitor m 127.0.0.1 6379 1",
            "Duplicate master name.",
        ),
        (
            "sentinel monitor x 127.0.0.1 6379 0",
            "Quorum must be 1 or greater.",
        ),
        ("sentinel monitor x 127.0.0.1 0 1", "Invalid port number."),
        (
            "sentinel monitor x no.such.host 1 1",
            "Can't resolve instance hostname.",
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
        ("sentinel known-slave m 127.0.0.1 x", "Invalid port number."),
        (
            "sentinel known-sentinel m 127.0.0.1 0",
            "Invalid port number.",
        ),
        (
            "sentinel nonsense m",
            "Unrecognized sentinel configuration statement.",
        ),
        (
            "sentinel know-replica m 127.0.0.1 1",
            "Unrecognized sentinel configuration statement. Did you mean 'known-replica'?",
        ),
        ("sentinel myid x", "Malformed Sentinel id in myid option."),
        (
            "sentinel vote-without-disk maybe",
            "Please specify yes or no for the vote-without-disk option.",
        ),
        (
            "sentinel master-reboot-down-after-period m -1",
            "negative time parameter.",
        ),
        (
            "sentinel saturation-failover m maybe",
            "Please specify yes or no for the saturation-failover option.",
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
