//! What every rule needs besides the master it works on: the time, the epoch, the queue of outputs, randomness, and
//! the scripts and clients that events go to.

use std::collections::VecDeque;

use crate::Addr;
use crate::commands::Sessions;
use crate::config::Config;
use crate::instance::{Expect, Link};
use crate::io::{ClientId, Level, LinkId, LinkKind, Now, Output, Reply};
use crate::monitor::Scripts;
use crate::rng::Rng;
use crate::timing::SAVE_RETRY_PERIOD;

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
    pub(crate) rng: Rng,
    /// Ticks per second at the moment.
    pub(crate) hz: u64,
    pub(crate) scripts: Scripts,
    pub(crate) sessions: Sessions,
    pub(crate) outbox: Outbox,
    next_link: u64,
}

/// The outputs to come, and whether the state that they disclose is on disk.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    items: VecDeque<Item>,
    persist_queued: bool,
    /// Something changed that the file does not hold yet.
    unsaved: bool,
    failed_at: Option<u64>,
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
            now,
            started: now,
            last_tick: now,
            config,
            current_epoch,
            tilt_since: None,
            rng: Rng::new(seed),
            hz: crate::timing::MIN_HZ,
            scripts: Scripts::default(),
            sessions: Sessions::default(),
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
                self.push(Output::Reply { client, reply });
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

    /// The last write of the state did not succeed.
    pub(crate) fn persist_failed(&mut self, error: &str) {
        self.outbox.unsaved = true;
        self.outbox.failed_at = Some(self.mono());
        let text = format!(
            "WARNING: Sentinel was not able to save the new configuration on disk!!!: {error}"
        );
        self.log(Level::Warning, text);
    }

    /// Tries again, once a second, to write a state that could not be written.
    pub(crate) fn retry_persist(&mut self) {
        let due = |at: u64| self.mono().saturating_sub(at) >= SAVE_RETRY_PERIOD;
        if self.outbox.failed_at.is_some_and(due) {
            self.persist();
        }
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
