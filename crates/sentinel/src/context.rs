//! What every rule needs besides the master it works on: the time, the epoch, the queue of outputs, randomness, and
//! the scripts and clients that events go to.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use crate::Addr;
use crate::addr::is_host_name;
use crate::commands::sessions::Sessions;
use crate::config::Config;
use crate::instance::{Expect, Link};
use crate::io::{ClientId, Level, LinkId, LinkKind, Now, Output, Reply};
use crate::rng::Rng;
use crate::script_queue::Scripts;
use crate::timing::{MAX_NAMES, NAME_VALIDITY, Periods, SAVE_LOG_PERIOD, SAVE_RETRY_PERIOD};
use crate::traffic::{Rates, Traffic};
use crate::users::Access;

/// The state that is not of one master.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) now: Now,
    pub(crate) started: Now,
    /// When the last tick was, for TILT.
    pub(crate) last_tick: Now,
    pub(crate) config: Config,
    /// The highest epoch seen.
    pub(crate) current_epoch: u64,
    /// Since when this sentinel is in TILT mode.
    pub(crate) tilt_since: Option<u64>,
    /// How often it was.
    pub(crate) tilts: u64,
    pub(crate) periods: Periods,
    /// What SENTINEL SIMULATE-FAILURE asked for.
    pub(crate) simulate: Simulate,
    pub(crate) names: Names,
    pub(crate) rng: Rng,
    /// Ticks per second at the moment.
    pub(crate) hz: u64,
    pub(crate) scripts: Scripts,
    pub(crate) sessions: Sessions,
    pub(crate) access: Access,
    /// Errors that clients got.
    pub(crate) errors: u64,
    /// Clients of other machines that protected mode has turned away.
    pub(crate) refused: u64,
    pub(crate) traffic: Traffic,
    pub(crate) rates: Rates,
    pub(crate) outbox: Outbox,
    next_link: u64,
}

/// The moments at which this sentinel is to crash, for tests of the others.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Simulate {
    pub(crate) crash_after_election: bool,
    pub(crate) crash_after_promotion: bool,
}

impl Simulate {
    /// As INFO shows it.
    pub(crate) fn flags(self) -> u8 {
        u8::from(self.crash_after_election) + 2 * u8::from(self.crash_after_promotion)
    }
}

/// Host names, and what they stand for as far as that is known. Looking them up is the shell's.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<String, Looked>);

#[derive(Clone, Copy, Debug)]
struct Looked {
    ip: Option<IpAddr>,
    /// When it was asked for.
    asked_at: u64,
}

/// The outputs to come, and whether the state that they disclose is on disk.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    items: VecDeque<Item>,
    persist_queued: bool,
    /// Something changed that the file does not hold yet.
    unsaved: bool,
    failed_at: Option<u64>,
    /// When a failure was last logged; nothing while the state is on disk.
    failure_logged: Option<u64>,
}

/// An output to come.
#[derive(Debug)]
pub(crate) enum Item {
    Ready(Output),
    /// The state, rendered when it is polled: it then holds everything that the items behind it disclose.
    Persist,
    /// A reply that depends on whether the state could be saved.
    IfSaved {
        client: ClientId,
        saved: Reply,
        unsaved: Reply,
    },
}

impl Context {
    pub(crate) fn new(now: Now, config: Config, current_epoch: u64, seed: u64) -> Self {
        Self {
            access: Access::new(&config.server),
            now,
            started: now,
            last_tick: now,
            config,
            current_epoch,
            tilt_since: None,
            tilts: 0,
            periods: Periods::default(),
            simulate: Simulate::default(),
            names: Names::default(),
            rng: Rng::new(seed),
            hz: crate::timing::MIN_HZ,
            scripts: Scripts::default(),
            sessions: Sessions::default(),
            errors: 0,
            refused: 0,
            traffic: Traffic::default(),
            rates: Rates::default(),
            outbox: Outbox::default(),
            next_link: 1,
        }
    }

    /// The monotonic time in milliseconds.
    pub(crate) const fn mono(&self) -> u64 {
        self.now.mono_ms
    }

    pub(crate) const fn tilt(&self) -> bool {
        self.tilt_since.is_some()
    }

    pub(crate) fn push(&mut self, output: Output) {
        self.outbox.items.push_back(Item::Ready(output));
    }

    /// Tells an event: to the log, to subscribers of its name, and, when it is a warning, to the notification script.
    pub(crate) fn event(
        &mut self,
        level: Level,
        kind: &'static str,
        text: String,
        script: Option<&str>,
    ) {
        let text = printable(text);
        self.push(Output::Event {
            level,
            kind,
            text: text.clone(),
        });
        if level > Level::Debug {
            for (client, reply) in self.sessions.publish(kind.as_bytes(), text.as_bytes()) {
                self.push_reply(client, reply);
            }
        }
        if let (Level::Warning, Some(path)) = (level, script) {
            self.scripts
                .schedule(vec![path.to_owned(), kind.to_owned(), text]);
        }
    }

    pub(crate) fn log(&mut self, level: Level, text: String) {
        let text = printable(text);
        self.push(Output::Log { level, text });
    }

    /// Queues something for a client, in the protocol that it speaks.
    pub(crate) fn push_reply(&mut self, client: ClientId, reply: Reply) {
        let protocol = self.sessions.protocol(client);
        self.push(Output::Reply {
            client,
            protocol,
            reply,
        });
    }

    /// How an address is told to clients and other sentinels.
    pub(crate) fn shown(&self, addr: &Addr) -> String {
        addr.shown(self.config.globals.announce_hostnames)
    }

    /// The address that two words of INFO or of a hello message mean; `None` when they cannot mean one, or while the
    /// name is still looked up: whoever told it will tell it again.
    pub(crate) fn addr(&mut self, place: &str, port: &str) -> Option<Addr> {
        if let Some(addr) = Addr::parse(place, port) {
            return Some(addr);
        }
        if !self.config.globals.resolve_hostnames || !is_host_name(place) {
            return None;
        }
        let port = port.trim().parse().ok()?;
        let ip = self.look_up(place)?;
        Addr::named(place, Some(ip), port)
    }

    /// What a host name stands for, as far as that is known now; asks the shell when it is not, or not lately.
    pub(crate) fn look_up(&mut self, host: &str) -> Option<IpAddr> {
        let (now, host) = (self.mono(), host.to_ascii_lowercase());
        let known = self.names.0.get(&host).copied();
        let fresh = known.is_some_and(|known| now.saturating_sub(known.asked_at) < NAME_VALIDITY);
        let ip = known.and_then(|known| known.ip);
        if !fresh {
            if self.names.0.len() >= MAX_NAMES && known.is_none() {
                self.names.0.pop_first();
            }
            let asked = Looked { ip, asked_at: now };
            self.names.0.insert(host.clone(), asked);
            self.push(Output::Resolve { host });
        }
        ip
    }

    /// Takes what a host name stands for. A name that cannot be looked up at the moment keeps what it stood for.
    pub(crate) fn resolved(&mut self, host: &str, ip: Option<IpAddr>) {
        let asked_at = self.mono();
        let host = host.to_ascii_lowercase();
        let ip = ip.or_else(|| self.names.0.get(&host)?.ip);
        if self.names.0.len() >= MAX_NAMES && !self.names.0.contains_key(&host) {
            self.names.0.pop_first();
        }
        self.names.0.insert(host, Looked { ip, asked_at });
    }

    /// Whether a host name was looked up lately, whatever came of it.
    pub(crate) fn looked_up(&self, host: &str) -> bool {
        let now = self.mono();
        let looked = self.names.0.get(&host.to_ascii_lowercase());
        looked.is_some_and(|looked| now.saturating_sub(looked.asked_at) < NAME_VALIDITY)
    }

    /// What a host name stands for, if that is known; asks nobody.
    pub(crate) fn known_ip(&self, host: &str) -> Option<IpAddr> {
        self.names.0.get(&host.to_ascii_lowercase())?.ip
    }

    /// Asks for the state to be written before anything that follows.
    pub(crate) fn persist(&mut self) {
        self.outbox.unsaved = true;
        if !self.outbox.persist_queued {
            self.outbox.persist_queued = true;
            self.outbox.items.push_back(Item::Persist);
        }
    }

    /// Whether everything that could be disclosed is on disk.
    pub(crate) const fn saved(&self) -> bool {
        !self.outbox.unsaved
    }

    /// Whether this sentinel's votes count: they are on disk, or the disk was tried in vain and may be done without.
    pub(crate) const fn may_vote(&self) -> bool {
        self.saved() || (self.outbox.failed_at.is_some() && self.config.globals.vote_without_disk)
    }

    /// Whether the state could not be written when it was last tried.
    pub(crate) const fn cannot_save(&self) -> bool {
        self.outbox.failure_logged.is_some()
    }

    pub(crate) fn reply_if_saved(&mut self, client: ClientId, saved: Reply, unsaved: Reply) {
        self.outbox.items.push_back(Item::IfSaved {
            client,
            saved,
            unsaved,
        });
    }

    pub(crate) fn next_item(&mut self) -> Option<Item> {
        let item = self.outbox.items.pop_front()?;
        if matches!(item, Item::Persist) {
            self.outbox.persist_queued = false;
            self.outbox.unsaved = false;
            self.outbox.failed_at = None;
        }
        Some(item)
    }

    /// The last write of the state did not succeed. Told at once and then once a minute: it is tried every second.
    pub(crate) fn persist_failed(&mut self, error: &str) {
        let now = self.mono();
        self.outbox.unsaved = true;
        self.outbox.failed_at = Some(now);
        let first = self.outbox.failure_logged.is_none();
        let due = |at: u64| now.saturating_sub(at) >= SAVE_LOG_PERIOD;
        if !first && !self.outbox.failure_logged.is_some_and(due) {
            return;
        }
        self.outbox.failure_logged = Some(now);
        let text = format!(
            "WARNING: Sentinel was not able to save the new configuration on disk!!!: {error}"
        );
        self.log(Level::Warning, text);
        if first {
            let votes = if self.config.globals.vote_without_disk {
                "votes are given all the same: after a crash one may be given twice"
            } else {
                "no vote is given and no failover is made (sentinel vote-without-disk no)"
            };
            let text = format!("#{error}; until it can be saved {votes}");
            self.event(Level::Warning, "+config-unsaved", text, None);
        }
    }

    /// Tries again, once a second, to write a state that could not be written; tells when it is on disk again.
    pub(crate) fn retry_persist(&mut self) {
        let due = |at: u64| self.mono().saturating_sub(at) >= SAVE_RETRY_PERIOD;
        if self.outbox.failed_at.is_some_and(due) {
            self.persist();
        } else if self.saved() && self.outbox.failure_logged.take().is_some() {
            let text = "#configuration saved".to_owned();
            self.event(Level::Warning, "-config-unsaved", text, None);
        }
    }

    /// Ends the process, as SENTINEL SIMULATE-FAILURE asked for.
    pub(crate) fn crash(&mut self) {
        let text = "Sentinel CRASH because of SENTINEL simulate-failure";
        self.log(Level::Warning, text.to_owned());
        self.push(Output::Crash);
    }

    pub(crate) fn connect(&mut self, addr: Addr, kind: LinkKind) -> Link {
        let id = LinkId(self.next_link);
        self.next_link += 1;
        self.push(Output::Connect {
            link: id,
            addr,
            kind,
        });
        Link {
            id,
            opened_at: self.mono(),
            local_ip: None,
            last_activity: None,
            pending: VecDeque::new(),
        }
    }

    pub(crate) fn close(&mut self, link: Option<Link>) {
        if let Some(link) = link {
            self.push(Output::Close { link: link.id });
        }
    }

    /// Sends a command over a link; `expect` says what its reply belongs to.
    pub(crate) fn send(&mut self, link: &mut Link, words: &[&[u8]], expect: Expect) {
        link.pending.push_back(expect);
        self.send_unanswered(link.id, words);
    }

    /// Sends a command whose reply does not come in turn.
    pub(crate) fn send_unanswered(&mut self, link: LinkId, words: &[&[u8]]) {
        let command = words.iter().map(|word| word.to_vec()).collect();
        self.push(Output::Send { link, command });
    }
}

/// A line for the log. What peers and clients named themselves is part of it; it must not start a line of its own.
fn printable(text: String) -> String {
    if text.contains(char::is_control) {
        text.replace(char::is_control, "?")
    } else {
        text
    }
}
