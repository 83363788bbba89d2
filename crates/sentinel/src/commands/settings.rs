//! The subcommands of SENTINEL that set something: SET for a master, CONFIG for all, DEBUG and SIMULATE-FAILURE for
//! tests.

use std::sync::Arc;

use conf::{Choice as _, LogLevel};
use resp::glob;
use resp::number::parse_integer;

use super::client::yes_or_no;
use super::sentinel::{NO_SUCH_MASTER, control_characters};
use crate::Monitor;
use crate::config::{Globals, Options};
use crate::context::Simulate;
use crate::instance::Who;
use crate::io::{ClientId, Level, Output, Reply};

/// The options of SENTINEL CONFIG, in the order in which GET tells them.
const GLOBALS: [&str; 8] = [
    "resolve-hostnames",
    "announce-hostnames",
    "announce-ip",
    "announce-port",
    "sentinel-user",
    "sentinel-pass",
    "loglevel",
    "vote-without-disk",
];

fn text_of(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}

impl Monitor {
    /// `option value …`: each takes effect at once, so an error in a later one leaves the earlier ones set.
    pub(super) fn set(
        &mut self,
        client: ClientId,
        name: &str,
        mut words: &[Vec<u8>],
    ) -> Option<Reply> {
        let Some(index) = self.masters.iter().position(|master| master.name == name) else {
            return Some(Reply::err(NO_SUCH_MASTER));
        };
        if let Some(error) = control_characters(words, 3, "SENTINEL SET") {
            return Some(error);
        }
        while !words.is_empty() {
            match self.set_next(index, words) {
                Ok(taken) => words = words.get(taken..).unwrap_or_default(),
                Err(error) => return Some(Reply::err(error)),
            }
        }
        self.reply_when_saved(client)
    }

    /// Sets the first of the options; gives how many words it took.
    fn set_next(&mut self, index: usize, words: &[Vec<u8>]) -> Result<usize, String> {
        let option = text_of(&words[0]);
        let lower = option.to_ascii_lowercase();
        let count = if lower == "rename-command" { 3 } else { 2 };
        let values = words.get(1..count).ok_or_else(|| unknown_option(&option))?;
        if self.cx.config.globals.deny_scripts_reconfig && lower.ends_with("-script") {
            return Err(
                "Reconfiguration of scripts path is denied for security reasons. Check the deny-scripts-reconfig \
                 configuration directive in your Sentinel configuration"
                    .to_owned(),
            );
        }
        let is_executable = self.cx.config.world.is_executable;
        let master = &mut self.masters[index];
        set_option(&mut master.options, &option, values, is_executable)?;
        self.cx.persist();
        if ["auth-pass", "auth-user"].contains(&lower.as_str()) {
            master.drop_server_links(&mut self.cx);
        }
        let shown = if lower == "auth-pass" {
            "******".to_owned()
        } else {
            values
                .iter()
                .map(|value| text_of(value))
                .collect::<Vec<_>>()
                .join(" ")
        };
        let detail = format!(" {option} {shown}");
        master.event(&mut self.cx, Level::Warning, "+set", Who::Master, &detail);
        Ok(count)
    }

    /// `GET pattern …` and `SET option value …`.
    pub(super) fn config(&mut self, client: ClientId, args: &[Vec<u8>]) -> Option<Reply> {
        let (what, args) = args.split_first()?;
        if what.eq_ignore_ascii_case(b"get") && !args.is_empty() {
            return Some(self.config_get(args));
        }
        if what.eq_ignore_ascii_case(b"set") && args.len() > 1 {
            return self.config_set(client, args);
        }
        Some(Reply::err(
            "Only SENTINEL CONFIG GET <param> [<param> <param> ...] / SET <param> <value> [<param> <value> ...] are \
             supported.",
        ))
    }

    fn config_get(&self, patterns: &[Vec<u8>]) -> Reply {
        let mut pairs: Vec<(Reply, Reply)> = Vec::new();
        for pattern in patterns {
            let pattern = pattern.to_ascii_lowercase();
            for name in GLOBALS {
                let known = pairs.iter().any(|(known, _)| *known == Reply::bulk(name));
                if glob::matches(&pattern, name.as_bytes()) && !known {
                    pairs.push((Reply::bulk(name), Reply::Bulk(self.global(name))));
                }
            }
        }
        Reply::Map(pairs)
    }

    fn global(&self, name: &str) -> Vec<u8> {
        let globals = &self.cx.config.globals;
        let flag = |on: bool| if on { b"yes".to_vec() } else { b"no".to_vec() };
        match name {
            "resolve-hostnames" => flag(globals.resolve_hostnames),
            "announce-hostnames" => flag(globals.announce_hostnames),
            "vote-without-disk" => flag(globals.vote_without_disk),
            "announce-ip" => globals.announce_ip.clone().unwrap_or_default().into_bytes(),
            "announce-port" => globals.announce_port.unwrap_or(0).to_string().into_bytes(),
            "sentinel-user" => globals.sentinel_user.clone().unwrap_or_default(),
            "sentinel-pass" => globals.sentinel_pass.clone().unwrap_or_default(),
            _ => self.cx.config.server.loglevel.word().as_bytes().to_vec(),
        }
    }

    /// All of it takes effect, or nothing.
    fn config_set(&mut self, client: ClientId, words: &[Vec<u8>]) -> Option<Reply> {
        if let Some(error) = control_characters(words, 3, "SENTINEL CONFIG SET") {
            return Some(error);
        }
        let mut globals = self.cx.config.globals.clone();
        let mut level = None;
        let mut seen: Vec<String> = Vec::new();
        for pair in words.chunks(2) {
            let option = text_of(&pair[0]);
            let lower = option.to_ascii_lowercase();
            let error = if !GLOBALS.contains(&lower.as_str()) {
                Some(format!(
                    "Invalid argument '{option}' to SENTINEL CONFIG SET"
                ))
            } else if seen.contains(&lower) {
                Some(format!(
                    "Duplicate argument '{option}' to SENTINEL CONFIG SET"
                ))
            } else if let Some(value) = pair.get(1) {
                set_global(&mut globals, &mut level, &lower, value)
                    .is_none()
                    .then(|| {
                        let value = text_of(value);
                        format!("Invalid value '{value}' to SENTINEL CONFIG SET '{option}'")
                    })
            } else {
                Some(format!("Missing argument '{option}' value"))
            };
            if let Some(error) = error {
                return Some(Reply::err(error));
            }
            seen.push(lower);
        }
        self.cx.config.globals = globals;
        if let Some(level) = level {
            Arc::make_mut(&mut self.cx.config.server).loglevel = level;
            self.cx.push(Output::LogLevel(level));
        }
        self.reply_when_saved(client);
        if seen.iter().any(|option| option.starts_with("sentinel-")) {
            for master in &mut self.masters {
                master.drop_sentinel_links(&mut self.cx);
            }
        }
        None
    }

    /// `[option milliseconds …]`: each takes effect at once.
    pub(super) fn debug(&mut self, words: &[Vec<u8>]) -> Reply {
        if words.is_empty() {
            let named = self.cx.periods.named();
            let pairs = named.map(|(name, ms)| (Reply::bulk(name), Reply::bulk(ms.to_string())));
            return Reply::Map(pairs.to_vec());
        }
        for pair in words.chunks(2) {
            let option = text_of(&pair[0]);
            let period = self
                .cx
                .periods
                .named()
                .into_iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(&option));
            let (Some((_, period)), Some(value)) = (period, pair.get(1)) else {
                return Reply::err(format!(
                    "Unknown option or number of arguments for SENTINEL DEBUG '{option}'"
                ));
            };
            let ms = parse_integer(value).and_then(|ms| u64::try_from(ms).ok());
            let Some(ms) = ms.filter(|&ms| ms > 0) else {
                let value = text_of(value);
                return Reply::err(format!(
                    "Invalid argument '{value}' for SENTINEL DEBUG '{option}'"
                ));
            };
            *period = ms;
        }
        Reply::ok()
    }

    /// Lets this sentinel crash when it is elected or has promoted a slave.
    pub(super) fn simulate_failure(&mut self, words: &[Vec<u8>]) -> Reply {
        const NAMES: [&str; 2] = ["crash-after-election", "crash-after-promotion"];
        self.cx.simulate = Simulate::default();
        for word in words {
            match text_of(word).to_ascii_lowercase().as_str() {
                "crash-after-election" => self.cx.simulate.crash_after_election = true,
                "crash-after-promotion" => self.cx.simulate.crash_after_promotion = true,
                "help" => return Reply::Array(NAMES.iter().map(Reply::bulk).collect()),
                _ => return Reply::err("Unknown failure simulation specified"),
            }
        }
        let text = "Failure simulation: this Sentinel will crash when it has been elected or has promoted a replica, \
                    as it was told";
        self.cx.log(Level::Warning, text.to_owned());
        Reply::ok()
    }
}

fn unknown_option(option: &str) -> String {
    format!("Unknown option or number of arguments for SENTINEL SET '{option}'")
}

/// Sets an option of a master; `values` are as many as it takes.
fn set_option(
    options: &mut Options,
    option: &str,
    values: &[Vec<u8>],
    is_executable: fn(&str) -> bool,
) -> Result<(), String> {
    let value = &values[0][..];
    let text = text_of(value);
    let bad = |text: &str| format!("Invalid argument '{text}' for SENTINEL SET '{option}'");
    let positive = || {
        parse_integer(value)
            .filter(|&number| number > 0)
            .ok_or_else(|| bad(&text))
    };
    let unsigned = || {
        parse_integer(value)
            .and_then(|ms| u64::try_from(ms).ok())
            .ok_or_else(|| bad(&text))
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
    let given = (!value.is_empty()).then(|| value.to_vec());
    match option.to_ascii_lowercase().as_str() {
        "down-after-milliseconds" => options.down_after_ms = positive()?.unsigned_abs(),
        "failover-timeout" => options.failover_timeout_ms = positive()?.unsigned_abs(),
        "parallel-syncs" => options.parallel_syncs = positive()?,
        "quorum" => options.quorum = u32::try_from(positive()?).map_err(|_| bad(&text))?,
        "notification-script" => options.notification_script = script("Notification")?,
        "client-reconfig-script" => {
            options.client_reconfig_script = script("Client reconfiguration")?;
        }
        "auth-pass" => options.auth_pass = given,
        "auth-user" => options.auth_user = given,
        "primary-reboot-down-after-period" | "master-reboot-down-after-period" => {
            options.reboot_down_after_ms = unsigned()?;
        }
        "saturation-threshold" => options.saturation_threshold_ms = unsigned()?,
        "saturation-failover" => {
            options.saturation_failover = yes_or_no(&text).map_err(|_| bad(&text))?;
        }
        "rename-command" => {
            let new = text_of(values.get(1).map_or(&[][..], Vec::as_slice));
            if text.is_empty() || new.is_empty() {
                return Err(bad(""));
            }
            let old = text.to_ascii_lowercase();
            if old == new.to_ascii_lowercase() {
                options.renamed.remove(&old);
            } else {
                options.renamed.insert(old, new);
            }
        }
        _ => return Err(unknown_option(option)),
    }
    Ok(())
}

/// Sets what is not of one master; nothing when the value cannot be one.
fn set_global(
    globals: &mut Globals,
    level: &mut Option<LogLevel>,
    option: &str,
    value: &[u8],
) -> Option<()> {
    let text = text_of(value);
    let given = (!value.is_empty()).then(|| value.to_vec());
    let flag = || yes_or_no(&text).ok();
    match option {
        "resolve-hostnames" => globals.resolve_hostnames = flag()?,
        "announce-hostnames" => globals.announce_hostnames = flag()?,
        "vote-without-disk" => globals.vote_without_disk = flag()?,
        "announce-ip" => globals.announce_ip = (!text.is_empty()).then_some(text),
        "announce-port" => {
            let port = parse_integer(value).and_then(|port| u16::try_from(port).ok())?;
            globals.announce_port = (port != 0).then_some(port);
        }
        "sentinel-user" => globals.sentinel_user = given,
        "sentinel-pass" => globals.sentinel_pass = given,
        _ => *level = Some(LogLevel::from_word(value)?),
    }
    Some(())
}
