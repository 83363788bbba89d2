//! Slots that move to another node as a whole, with all their keys (CLUSTER MIGRATESLOTS): Valkey's protocol, so that either side may
//! be one of its servers.
//!
//! The source forks a child that writes the keys of the slots as commands, and sends these behind the target's CLUSTER SYNCSLOTS
//! ESTABLISH; what changes meanwhile follows. When the target has all but the last of it, the source holds writes to the slots back,
//! sends the rest, and allows the target to claim the slots in a config epoch of its own. Until then nobody is shown the keys at the
//! target; whatever fails before, on either side, leaves everything as it was.
//!
//! - `export.rs`: this server as the source. `import.rs`: as the target, or as a replica of it. `command.rs`: the commands.

mod command;
mod export;
mod import;

use cluster_bus::NodeId;
pub(crate) use command::{cancel, debug, migrate, report, sync};

use crate::Engine;
use crate::keeper::migrations::{Job, JobId, Ranges, Side, State};

/// How long a name is.
const NAME_CHARS: usize = 40;

impl Engine {
    fn set_migration_state(&mut self, id: JobId, state: State) {
        let now_s = self.now.unix_ms() / 1000;
        let Some(job) = self.keeper.migrations.job_mut(id) else {
            return;
        };
        let before = std::mem::replace(&mut job.state, state);
        job.updated_s = now_s;
        tracing::info!(
            "Slot migration {} state transition: {} -> {}",
            job.description(),
            before.name(),
            state.name()
        );
        self.keeper.migrations.recount();
    }

    fn new_job(
        &mut self,
        name: String,
        slots: Ranges,
        nodes: Option<(NodeId, NodeId)>,
        state: State,
        side: Side,
    ) -> JobId {
        let now_s = self.now.unix_ms() / 1000;
        let id = self.keeper.migrations.next_id();
        let job = Job {
            id,
            name,
            slots,
            nodes,
            state,
            message: None,
            created_s: now_s,
            updated_s: now_s,
            acked_s: now_s,
            heard_ms: self.now.mono_ms,
            copied_bytes: 0,
            side,
        };
        self.calm = false;
        self.keeper.migrations.jobs.insert(0, job);
        self.keeper.migrations.recount();
        id
    }

    /// This node's role in the cluster, which may be ahead of what the server has done about it.
    pub(crate) fn is_cluster_replica(&self) -> bool {
        let node = self.keeper.cluster.as_ref();
        node.is_some_and(|node| node.is_replica())
    }

    /// Brings a job to its end. Its connection goes; writes that it held back go on; what an import has brought goes, too.
    fn finish_migration(&mut self, id: JobId, end: State, message: Option<&str>) {
        let Some(job) = self.keeper.migrations.job_mut(id) else {
            return;
        };
        job.message = message.map(str::to_owned);
        if job.is_import() {
            self.finish_import(id, end);
        } else {
            self.finish_export(id, end);
        }
    }

    /// Gives a job up where this node does not see a majority, which may go on without it: nobody else would hear who owns the slots, and
    /// the epoch that they are claimed in may be somebody else's by now.
    fn fail_in_minority(&mut self, id: JobId) -> bool {
        let node = self.keeper.cluster.as_ref();
        let minority = node.is_some_and(|node| !node.has_majority());
        if minority {
            let why = "Slots are not handed over without a majority of the cluster";
            self.finish_migration(id, State::Failed, Some(why));
        }
        minority
    }

    fn log_migration_end(&self, id: JobId) {
        let Some(job) = self.keeper.migrations.job(id) else {
            return;
        };
        let line = format!(
            "Slot migration {} finished. State: {}, Message: {}",
            job.description(),
            job.state.name(),
            job.message.as_deref().unwrap_or("none")
        );
        if job.state == State::Failed {
            tracing::warn!("{line}");
        } else {
            tracing::info!("{line}");
        }
    }

    /// All data are about to go, or some database's: nothing is migrated.
    pub(crate) fn fail_migrations_on_flush(&mut self) {
        for id in self.keeper.migrations.ids(|job| job.state.is_going()) {
            self.finish_migration(id, State::Failed, Some("Data was flushed"));
        }
    }

    /// The map of slots has changed, or this node's role.
    pub(crate) fn check_migrations(&mut self) {
        if self.keeper.migrations.jobs.is_empty() {
            return;
        }
        for id in self.keeper.migrations.ids(|job| job.state.is_going()) {
            if self.keeper.migrations.job(id).is_some_and(Job::is_import) {
                self.check_import(id);
            } else {
                self.check_export(id);
            }
        }
    }

    /// Ten times a second.
    pub(crate) fn tick_migrations(&mut self) {
        if self.keeper.migrations.jobs.is_empty() {
            return;
        }
        self.time_out_migrations();
        for id in self.keeper.migrations.ids(|job| !job.state.is_over()) {
            self.proceed(id);
        }
        if self
            .now
            .mono_ms
            .saturating_sub(self.keeper.migrations.acked_ms)
            >= 1000
        {
            self.keeper.migrations.acked_ms = self.now.mono_ms;
            for id in self.keeper.migrations.ids(|job| job.state.acknowledges()) {
                self.say(id, "ACK");
            }
        }
        let most = usize::try_from(self.config.cluster_slot_migration_log_max_len);
        let jobs = &mut self.keeper.migrations.jobs;
        while jobs.len() > most.unwrap_or(usize::MAX) {
            let Some(oldest) = jobs.iter().rposition(|job| job.state.is_over()) else {
                break;
            };
            jobs.remove(oldest);
        }
    }

    /// The other side has not been heard for too long. Once the source has agreed, its pause decides.
    fn time_out_migrations(&mut self) {
        let most_ms = u64::from(self.config.repl_timeout) * 1000;
        let now_ms = self.now.mono_ms;
        let exempt = [State::ExportGranted, State::OnPrimary];
        let late = self.keeper.migrations.ids(|job| {
            job.state.is_going()
                && !exempt.contains(&job.state)
                && now_ms.saturating_sub(job.heard_ms) > most_ms
        });
        for id in late {
            let why = "Timed out after too long with no interaction";
            self.finish_migration(id, State::Failed, Some(why));
        }
    }

    /// What can be done for a job without news from the other side.
    fn proceed(&mut self, id: JobId) {
        match self.keeper.migrations.job(id).map(|job| job.state) {
            Some(State::ImportGranted) => self.take_imported(id),
            Some(State::CleaningUp) => self.clean_up(id),
            Some(State::WaitingForPaused) => self.ask_once_followed(id),
            Some(State::WaitingToSnapshot) => self.try_snapshot(id),
            Some(State::WaitingToPause) => self.try_pause(id),
            Some(State::Paused | State::ExportGranted) => self.check_pause(id),
            _ => {}
        }
    }

    /// The end of each turn: what jobs have asked for.
    pub(crate) fn settle_migrations(&mut self) {
        if self.keeper.migrations.jobs.is_empty() {
            return;
        }
        let due = [
            State::ImportGranted,
            State::CleaningUp,
            State::WaitingForPaused,
        ];
        for id in self.keeper.migrations.ids(|job| due.contains(&job.state)) {
            self.proceed(id);
        }
        for (client, word) in std::mem::take(&mut self.keeper.migrations.words) {
            if self.sessions.clients.contains(client) {
                let bytes = message(word);
                self.output_of(client).raw(&bytes);
            }
        }
    }

    /// Says a word to the other side.
    fn say(&mut self, id: JobId, word: &'static str) {
        let Some(job) = self.keeper.migrations.job(id) else {
            return;
        };
        match &job.side {
            Side::Export(_) => self.send_export(id, message(word)),
            Side::Import(import) => {
                if let Some(client) = import.client {
                    self.keeper.migrations.words.push((client, word));
                }
            }
        }
    }
}

/// CLUSTER SYNCSLOTS with one word.
fn message(word: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    aof::encode_command(&mut bytes, [&b"CLUSTER"[..], b"SYNCSLOTS", word.as_bytes()]);
    bytes
}

#[cfg(test)]
mod tests {
    use cluster_bus::Slot;

    use super::*;

    fn ranges(list: &[(u16, u16)]) -> Ranges {
        let slot = |number| Slot::new(number).unwrap();
        Ranges::new(
            list.iter()
                .map(|(first, last)| (slot(*first), slot(*last)))
                .collect(),
        )
    }

    #[test]
    fn ranges_are_told_as_they_were_given() {
        let two = ranges(&[(16300, 16300), (7, 9)]);
        assert_eq!(two.to_string(), "16300-16300 7-9");
        assert_eq!(two.numbers(), [(16300, 16300), (7, 9)]);
        assert_eq!(two.slots().count(), 4);
        assert!(two.overlaps(&ranges(&[(9, 9)])));
        assert!(!two.overlaps(&ranges(&[(10, 16299)])));
    }

    #[test]
    fn a_job_goes_on_until_it_is_over_or_cleans_up() {
        assert!(State::Connecting.is_going() && !State::Connecting.is_fed());
        assert!(!State::CleaningUp.is_going() && !State::CleaningUp.is_over());
        assert!(State::Failed.is_over() && !State::Failed.is_going());
    }
}
