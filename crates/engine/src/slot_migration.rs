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

use cluster_bus::{NodeId, Slot, SlotSet};

use crate::{ClientId, Engine};

pub(crate) use command::{cancel, debug, migrate, report, sync};
pub use export::SlotsRequest;

/// How long a name is.
const NAME_CHARS: usize = 40;

/// What a job does. The names are those of CLUSTER GETSLOTMIGRATIONS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    // The target's.
    WaitAck,
    ReceivingSnapshot,
    WaitingForPaused,
    FailoverRequested,
    ImportGranted,
    CleaningUp,
    OnPrimary,
    // The source's.
    Connecting,
    ReadingAuth,
    ReadingEstablish,
    WaitingToSnapshot,
    Snapshotting,
    Replicating,
    WaitingToPause,
    Paused,
    ExportGranted,
    // The ends.
    Failed,
    Cancelled,
    Success,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::WaitAck => "waiting-for-ack",
            Self::ReceivingSnapshot => "receiving-snapshot",
            Self::WaitingForPaused => "waiting-for-paused",
            Self::FailoverRequested => "failover-requested",
            Self::ImportGranted | Self::ExportGranted => "failover-granted",
            Self::CleaningUp => "cleaning-up",
            Self::OnPrimary => "occurring-on-primary",
            Self::Connecting => "connecting",
            Self::ReadingAuth => "reading-auth-response",
            Self::ReadingEstablish => "reading-establish-response",
            Self::WaitingToSnapshot => "waiting-to-snapshot",
            Self::Snapshotting => "snapshotting",
            Self::Replicating => "replicating",
            Self::WaitingToPause => "waiting-to-pause",
            Self::Paused => "failover-paused",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Success => "success",
        }
    }

    /// The job is over, and only told of.
    fn is_over(self) -> bool {
        matches!(self, Self::Failed | Self::Cancelled | Self::Success)
    }

    /// The job may still come to its good end.
    fn is_going(self) -> bool {
        !self.is_over() && self != Self::CleaningUp
    }

    /// What changes in the slots is for the target.
    fn is_fed(self) -> bool {
        matches!(
            self,
            Self::Snapshotting
                | Self::Replicating
                | Self::WaitingToPause
                | Self::Paused
                | Self::ExportGranted
        )
    }

    /// Each side tells the other now and then that it is alive.
    fn acknowledges(self) -> bool {
        matches!(
            self,
            Self::ReceivingSnapshot
                | Self::WaitingForPaused
                | Self::FailoverRequested
                | Self::ImportGranted
                | Self::WaitingToSnapshot
                | Self::Replicating
                | Self::WaitingToPause
                | Self::Paused
        )
    }
}

/// The slots of a job.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranges {
    pub(crate) list: Vec<(Slot, Slot)>,
    all: SlotSet,
}

impl Ranges {
    fn new(list: Vec<(Slot, Slot)>) -> Self {
        let mut all = SlotSet::new();
        for slot in list.iter().flat_map(|range| slots_of(*range)) {
            all.insert(slot);
        }
        Self { list, all }
    }

    fn slots(&self) -> impl Iterator<Item = Slot> {
        self.all.iter()
    }

    fn numbers(&self) -> Vec<(u16, u16)> {
        let pair = |(first, last): &(Slot, Slot)| (first.number(), last.number());
        self.list.iter().map(pair).collect()
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.slots().any(|slot| other.all.contains(slot))
    }
}

fn slots_of((first, last): (Slot, Slot)) -> impl Iterator<Item = Slot> {
    (first.number()..=last.number()).filter_map(Slot::new)
}

impl std::fmt::Display for Ranges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, (first, last)) in self.list.iter().enumerate() {
            let gap = if at == 0 { "" } else { " " };
            write!(f, "{gap}{first}-{last}")?;
        }
        Ok(())
    }
}

/// Names a job while this process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JobId(u64);

/// One migration, as this server has part in it.
#[derive(Debug)]
pub(crate) struct Job {
    id: JobId,
    /// The name that both sides know it by.
    name: String,
    slots: Ranges,
    /// Source and target; none where this server only follows its primary, who knows.
    nodes: Option<(NodeId, NodeId)>,
    state: State,
    message: Option<String>,
    /// When it began, changed its state, and was last acknowledged: Unix seconds.
    created_s: u64,
    updated_s: u64,
    acked_s: u64,
    /// When the other side was last heard ([`crate::Now::mono_ms`]).
    heard_ms: u64,
    /// What the snapshot's child had for itself, bytes.
    copied_bytes: u64,
    side: Side,
}

#[derive(Debug)]
enum Side {
    Export(export::Export),
    Import(import::Import),
}

impl Job {
    fn is_import(&self) -> bool {
        matches!(self.side, Side::Import(_))
    }

    fn export(&self) -> Option<&export::Export> {
        match &self.side {
            Side::Export(export) => Some(export),
            Side::Import(_) => None,
        }
    }

    fn export_mut(&mut self) -> Option<&mut export::Export> {
        match &mut self.side {
            Side::Export(export) => Some(export),
            Side::Import(_) => None,
        }
    }

    fn import(&self) -> Option<&import::Import> {
        match &self.side {
            Side::Import(import) => Some(import),
            Side::Export(_) => None,
        }
    }

    fn import_mut(&mut self) -> Option<&mut import::Import> {
        match &mut self.side {
            Side::Import(import) => Some(import),
            Side::Export(_) => None,
        }
    }

    /// For the log.
    fn description(&self) -> String {
        let (what, other) = match &self.side {
            Side::Export(_) => ("export", "target_node_id"),
            Side::Import(_) => ("import", "source_node_id"),
        };
        let node = self.nodes.map(|(source, target)| match self.side {
            Side::Export(_) => target.to_string(),
            Side::Import(_) => source.to_string(),
        });
        format!(
            "{{name: {}, operation: {what}, {other}: {}, slots: {}}}",
            self.name,
            node.as_deref().unwrap_or("unknown"),
            self.slots
        )
    }
}

/// All migrations that this server has or had part in.
#[derive(Debug, Default)]
pub(crate) struct Migrations {
    /// The newest first.
    jobs: Vec<Job>,
    last_id: u64,
    /// Whether any of them takes slots away or brings some, and until when writes to slots are held back: see
    /// [`Migrations::recount`].
    exporting: bool,
    importing: bool,
    paused_until_ms: Option<u64>,
    /// Words for the sources of imports, to be sent when the turn ends: their requests are answered nothing.
    words: Vec<(ClientId, &'static str)>,
    acked_ms: u64,
    /// What was sent to targets and came from sources, bytes.
    pub(crate) exported_bytes: u64,
    pub(crate) imported_bytes: u64,
    /// DEBUG SLOTMIGRATION
    prevent_pause: bool,
    prevent_failover: bool,
}

impl Migrations {
    fn job(&self, id: JobId) -> Option<&Job> {
        self.jobs.iter().find(|job| job.id == id)
    }

    fn job_mut(&mut self, id: JobId) -> Option<&mut Job> {
        self.jobs.iter_mut().find(|job| job.id == id)
    }

    fn ids(&self, which: impl Fn(&Job) -> bool) -> Vec<JobId> {
        let found = self.jobs.iter().filter(|job| which(job));
        found.map(|job| job.id).collect()
    }

    fn next_id(&mut self) -> JobId {
        self.last_id += 1;
        JobId(self.last_id)
    }

    /// After each change of a job's state or pause: every write asks for what is counted here.
    fn recount(&mut self) {
        let under_way = |import: bool| {
            let mut jobs = self.jobs.iter();
            jobs.any(|job| job.is_import() == import && !job.state.is_over())
        };
        (self.exporting, self.importing) = (under_way(false), under_way(true));
        let exports = self.jobs.iter().filter_map(Job::export);
        self.paused_until_ms = exports.filter_map(|export| export.paused_until_ms).max();
    }

    /// Whether whole slots are on their way to others.
    pub(crate) fn is_exporting(&self) -> bool {
        self.exporting
    }

    /// Whether whole slots are on their way here.
    pub(crate) fn is_importing(&self) -> bool {
        self.importing
    }

    /// Whether a slot is on its way here, or what has come of it is on its way out.
    pub(crate) fn imports(&self, slot: Slot) -> bool {
        let mut jobs = self.jobs.iter();
        jobs.any(|job| job.is_import() && !job.state.is_over() && job.slots.all.contains(slot))
    }

    fn exports(&self, slot: Slot) -> bool {
        let mut jobs = self.jobs.iter();
        jobs.any(|job| !job.is_import() && !job.state.is_over() && job.slots.all.contains(slot))
    }

    /// Bytes came from a source.
    pub(crate) fn note_heard(&mut self, client: ClientId, bytes: usize, now_ms: u64) {
        self.imported_bytes += bytes as u64;
        let mut jobs = self.jobs.iter_mut();
        let of = |job: &&mut Job| {
            job.import()
                .is_some_and(|import| import.client == Some(client))
        };
        if let Some(job) = jobs.find(of) {
            job.heard_ms = now_ms;
        }
    }

    /// Until when writes to some slots are held back.
    pub(crate) fn paused_until_ms(&self) -> Option<u64> {
        self.paused_until_ms
    }

    /// What is to be told in a dump: the imports that are under way.
    pub(crate) fn under_way(&self) -> Vec<rdb::SlotImport> {
        let jobs = self.jobs.iter();
        let jobs = jobs.filter(|job| job.is_import() && !job.state.is_over());
        jobs.map(|job| rdb::SlotImport {
            job: job.name.clone(),
            slots: job.slots.numbers(),
        })
        .collect()
    }
}

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
        let due = [State::ImportGranted, State::CleaningUp];
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
