//! Slots that move to or from another node as a whole. The steps are in `slot_migration.rs`.

use cluster_bus::{NodeId, Slot, SlotSet};
use resp::Parser;

use crate::{ClientId, LinkId};

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
    pub(crate) fn name(self) -> &'static str {
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
    pub(crate) fn is_over(self) -> bool {
        matches!(self, Self::Failed | Self::Cancelled | Self::Success)
    }

    /// The job may still come to its good end.
    pub(crate) fn is_going(self) -> bool {
        !self.is_over() && self != Self::CleaningUp
    }

    /// What changes in the slots is for the target.
    pub(crate) fn is_fed(self) -> bool {
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
    pub(crate) fn acknowledges(self) -> bool {
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
    pub(crate) all: SlotSet,
}

impl Ranges {
    pub(crate) fn new(list: Vec<(Slot, Slot)>) -> Self {
        let mut all = SlotSet::new();
        for slot in list.iter().flat_map(|range| slots_of(*range)) {
            all.insert(slot);
        }
        Self { list, all }
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> {
        self.all.iter()
    }

    pub(crate) fn numbers(&self) -> Vec<(u16, u16)> {
        let pair = |(first, last): &(Slot, Slot)| (first.number(), last.number());
        self.list.iter().map(pair).collect()
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.slots().any(|slot| other.all.contains(slot))
    }
}

pub(crate) fn slots_of((first, last): (Slot, Slot)) -> impl Iterator<Item = Slot> {
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
    pub(crate) id: JobId,
    /// The name that both sides know it by.
    pub(crate) name: String,
    pub(crate) slots: Ranges,
    /// Source and target; none where this server only follows its primary, who knows.
    pub(crate) nodes: Option<(NodeId, NodeId)>,
    pub(crate) state: State,
    pub(crate) message: Option<String>,
    /// When it began, changed its state, and was last acknowledged: Unix seconds.
    pub(crate) created_s: u64,
    pub(crate) updated_s: u64,
    pub(crate) acked_s: u64,
    /// When the other side was last heard ([`crate::Now::mono_ms`]).
    pub(crate) heard_ms: u64,
    /// What the snapshot's child had for itself, bytes.
    pub(crate) copied_bytes: u64,
    pub(crate) side: Side,
}

#[derive(Debug)]
pub(crate) enum Side {
    Export(Export),
    Import(Import),
}

impl Job {
    pub(crate) fn is_import(&self) -> bool {
        matches!(self.side, Side::Import(_))
    }

    pub(crate) fn export(&self) -> Option<&Export> {
        match &self.side {
            Side::Export(export) => Some(export),
            Side::Import(_) => None,
        }
    }

    pub(crate) fn export_mut(&mut self) -> Option<&mut Export> {
        match &mut self.side {
            Side::Export(export) => Some(export),
            Side::Import(_) => None,
        }
    }

    pub(crate) fn import(&self) -> Option<&Import> {
        match &self.side {
            Side::Import(import) => Some(import),
            Side::Export(_) => None,
        }
    }

    pub(crate) fn import_mut(&mut self) -> Option<&mut Import> {
        match &mut self.side {
            Side::Import(import) => Some(import),
            Side::Export(_) => None,
        }
    }

    /// For the log.
    pub(crate) fn description(&self) -> String {
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
    pub(crate) jobs: Vec<Job>,
    last_id: u64,
    /// Whether any of them takes slots away or brings some, and until when writes to slots are held back: see
    /// [`Migrations::recount`].
    pub(crate) exporting: bool,
    importing: bool,
    pub(crate) paused_until_ms: Option<u64>,
    /// Words for the sources of imports, to be sent when the turn ends: their requests are answered nothing.
    pub(crate) words: Vec<(ClientId, &'static str)>,
    pub(crate) acked_ms: u64,
    /// What was sent to targets and came from sources, bytes.
    pub(crate) exported_bytes: u64,
    pub(crate) imported_bytes: u64,
    /// DEBUG SLOTMIGRATION
    pub(crate) prevent_pause: bool,
    pub(crate) prevent_failover: bool,
}

impl Migrations {
    pub(crate) fn job(&self, id: JobId) -> Option<&Job> {
        self.jobs.iter().find(|job| job.id == id)
    }

    pub(crate) fn job_mut(&mut self, id: JobId) -> Option<&mut Job> {
        self.jobs.iter_mut().find(|job| job.id == id)
    }

    pub(crate) fn ids(&self, which: impl Fn(&Job) -> bool) -> Vec<JobId> {
        let found = self.jobs.iter().filter(|job| which(job));
        found.map(|job| job.id).collect()
    }

    pub(crate) fn next_id(&mut self) -> JobId {
        self.last_id += 1;
        JobId(self.last_id)
    }

    /// After each change of a job's state or pause: every write asks for what is counted here.
    pub(crate) fn recount(&mut self) {
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

    pub(crate) fn exports(&self, slot: Slot) -> bool {
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

/// What only the source of a migration has.
#[derive(Debug, Default)]
pub(crate) struct Export {
    pub(crate) link: Option<LinkId>,
    /// How it is seen in CLIENT LIST.
    pub(crate) client: Option<ClientId>,
    pub(crate) parser: Parser,
    /// What came and was not looked at yet.
    pub(crate) came: Vec<u8>,
    /// What changed while the child writes.
    pub(crate) held: Vec<u8>,
    /// What was handed to the connection and is not sent: of the child's, and behind that, of ours.
    pub(crate) relayed: u64,
    pub(crate) unsent: u64,
    /// The database that the stream has selected.
    pub(crate) selected: Option<usize>,
    /// Writes to the slots are held back until then ([`crate::Now::mono_ms`]).
    pub(crate) paused_until_ms: Option<u64>,
    /// When the target was allowed to claim the slots.
    pub(crate) granted_ms: Option<u64>,
    pub(crate) over_soft_since_ms: Option<u64>,
    /// Our config epoch is held for it.
    pub(crate) yields: bool,
}

impl Export {
    /// Bytes that the target has still to be sent.
    pub(crate) fn behind(&self) -> u64 {
        self.unsent + self.held.len() as u64
    }
}

/// What only the target of a migration has, or a server that follows it.
#[derive(Debug, Default)]
pub(crate) struct Import {
    /// The connection from the source.
    pub(crate) client: Option<ClientId>,
    /// Up to where replicas are to have the stream before the source is asked, and since when that is waited for.
    pub(crate) followed: Option<(u64, u64)>,
    /// When the source was asked whether the slots may be claimed ([`crate::Now::mono_ms`]).
    pub(crate) asked_ms: Option<u64>,
    /// How the job ends once what it brought is gone.
    pub(crate) after: Option<State>,
}
