//! The audit: a line of the log for each command that changes something here (`audit-log`), before it runs. What clients, tools and
//! other sentinels ask all the time is left out, unless it is refused.

use commands::table::{Categories, Flags};
use conf::AuditLog;

use crate::Monitor;
use crate::commands::table::{self, Row};
use crate::io::{ClientId, Level};

const DANGEROUS: Categories = Categories::parse("dangerous");
/// What is kept of a request.
const MOST_WORDS: usize = 32;
const MOST_WORD_BYTES: usize = 128;

impl Monitor {
    pub(super) fn audit(&mut self, client: ClientId, row: &Row, request: &[&[u8]], refused: bool) {
        let facts = &row.facts;
        let admin = facts.flags.has(Flags::ADMIN);
        let covered = match self.cx.config.server.audit_log {
            AuditLog::No => false,
            AuditLog::Admin => admin,
            AuditLog::Dangerous => admin || facts.categories.has(DANGEROUS),
        };
        if !covered || (!refused && table::only_asks(facts.name)) {
            return;
        }
        let Some(session) = self.cx.sessions.get(client) else {
            return;
        };
        let mut words = Vec::new();
        for word in facts.redacted(request).iter().take(MOST_WORDS) {
            words.push(b' ');
            resp::args::quote(word.get(..MOST_WORD_BYTES).unwrap_or(word), &mut words);
        }
        let line = format!(
            "Audit: user {} at {} {}:{}",
            String::from_utf8_lossy(session.user.name()),
            session.addr,
            if refused { "refused (NOPERM)" } else { "run" },
            String::from_utf8_lossy(&words)
        );
        self.cx.log(Level::Notice, line);
    }
}
