//! The audit: a line of the log for each command that can do harm (`audit-log`), written before it runs.

use commands::{Args, Error, Flags, table::Categories};
use conf::AuditLog;

use crate::entry::Entry;
use crate::observe::shortened;
use crate::{ClientId, Engine};

const DANGEROUS: Categories = Categories::parse("dangerous");

impl Engine {
    /// Whether a command of this client goes into the audit. What other servers send over their links does not, nor what is read
    /// from a file.
    pub(crate) fn is_audited(&self, id: ClientId, entry: Entry) -> bool {
        let facts = entry.command;
        let covers = match self.config.audit_log {
            AuditLog::No => return false,
            AuditLog::Admin => facts.flags.has(Flags::ADMIN),
            AuditLog::Dangerous => facts.flags.has(Flags::ADMIN) || facts.categories.has(DANGEROUS),
        };
        let client = self.sessions.clients.get(id);
        covers
            && client.is_some_and(|client| {
                let flags = client.flags;
                !(flags.master || flags.replica || flags.imports || flags.exports)
                    && (!flags.internal || self.scripting_caller().is_some())
            })
    }

    /// Writes the line. `refused` is why the command does not run.
    #[cold]
    pub(crate) fn audit(
        &self,
        id: ClientId,
        entry: Entry,
        args: Args<'_>,
        refused: Option<&Error>,
    ) {
        let caller = self.scripting_caller();
        let Some(client) = self.sessions.clients.get(caller.unwrap_or(id)) else {
            return;
        };
        let facts = entry.command;
        // The arguments of data commands are what clients store.
        let shows_words = facts.flags.has(Flags::ADMIN) || !self.config.hide_user_data_from_log;
        let mut words = Vec::new();
        if shows_words {
            for word in shortened(&facts.redacted(args)) {
                words.push(b' ');
                resp::args::quote(&word, &mut words);
            }
        } else {
            words.push(b' ');
            resp::args::quote(facts.name.as_bytes(), &mut words);
        }
        let outcome = match refused {
            Some(error) => {
                let line = error.line();
                let code = line.split(|byte| *byte == b' ').next().unwrap_or_default();
                format!("refused ({})", String::from_utf8_lossy(code))
            }
            None if client.transaction.multi.is_some() && caller.is_none() => "queued".to_owned(),
            None => "run".to_owned(),
        };
        let script = if caller.is_some() { " by a script" } else { "" };
        tracing::info!(
            "Audit: user {} at {} in database {} {outcome}{script}:{}",
            client.user_name(),
            client.peer.addr,
            client.db,
            String::from_utf8_lossy(&words)
        );
    }
}
