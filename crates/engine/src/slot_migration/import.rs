//! The target of a migration: the source's connection becomes one whose commands are obeyed and not answered; what it brings is hidden
//! until the slots are ours. A replica of the target follows by what its primary's stream tells.

use cluster_bus::{NodeId, Slot};

use crate::cluster::Deletion;
use crate::keeper::migrations::{Import, Job, JobId, Ranges, Side, State};
use crate::sessions::client::Quiet;
use crate::{ClientId, Engine};

/// The source holds writes back for 2 s at least after it was asked. A grant that is acted on later may come too late.
const GRANT_MS: u64 = 1500;
/// For how long a replica may take to have what was imported. The source holds writes back meanwhile.
const FOLLOWED_MS: u64 = 1000;
/// Keys that are deleted at once of what an import has brought.
const KEYS_AT_ONCE: u64 = 20_000;

/// What ends a request of the source with an error.
const CANNOT_APPLY: &str =
    "Failed to process command during slot migration. Check logs for more information";

impl Engine {
    /// A source has introduced itself over this client's connection.
    pub(super) fn start_import(
        &mut self,
        client: ClientId,
        name: String,
        slots: Ranges,
        source: NodeId,
    ) {
        let node = self.keeper.cluster.as_ref();
        let mine = node.map_or(source, |node| node.my_id());
        let side = Side::Import(Import {
            client: Some(client),
            ..Import::default()
        });
        let id = self.new_job(name, slots, Some((source, mine)), State::WaitAck, side);
        self.hide_import(id, true);
        self.log_import(id);
        let flags = &mut self.sessions.clients[client].flags;
        (flags.imports, flags.quiet) = (true, Quiet::Yes);
    }

    /// Our primary imports slots, or did when the file that is loaded was written.
    pub(super) fn follow_import(&mut self, name: String, slots: Ranges) {
        let side = Side::Import(Import::default());
        let id = self.new_job(name, slots, None, State::OnPrimary, side);
        self.hide_import(id, true);
        self.log_import(id);
    }

    /// A dump told of imports that were under way.
    pub(crate) fn adopt_slot_imports(&mut self, imports: Vec<rdb::SlotImport>) {
        for import in imports {
            let pair = |(first, last)| Some((Slot::new(first)?, Slot::new(last)?));
            let list: Vec<(Slot, Slot)> = import.slots.into_iter().filter_map(pair).collect();
            if self.keeper.cluster.is_some() && !list.is_empty() {
                self.follow_import(import.job, Ranges::new(list));
            }
        }
    }

    fn log_import(&self, id: JobId) {
        if let Some(job) = self.keeper.migrations.job(id) {
            tracing::info!("New slot import job created: {}.", job.description());
        }
    }

    fn hide_import(&mut self, id: JobId, on: bool) {
        let Some(job) = self.keeper.migrations.job(id) else {
            return;
        };
        let slots: Vec<Slot> = job.slots.slots().collect();
        for db in 0..self.shard.keyspace.databases() {
            for slot in &slots {
                self.shard.keyspace.db(db).hide_slot(slot.number(), on);
            }
        }
    }

    fn import_of(&self, client: ClientId) -> Option<JobId> {
        let jobs = &self.keeper.migrations.jobs;
        let of = |job: &&Job| {
            job.import()
                .is_some_and(|import| import.client == Some(client))
        };
        jobs.iter().find(of).map(|job| job.id)
    }

    /// The source has said a word. False where this client is no source.
    pub(super) fn import_told(&mut self, client: ClientId, word: &[u8]) -> bool {
        let now_s = self.now.unix_ms() / 1000;
        let Some(id) = self.import_of(client) else {
            return false;
        };
        let Some(job) = self.keeper.migrations.job_mut(id) else {
            return false;
        };
        match (word, job.state) {
            (b"ACK", state) => {
                job.acked_s = now_s;
                if state == State::WaitAck {
                    self.set_migration_state(id, State::ReceivingSnapshot);
                }
            }
            (b"SNAPSHOT-EOF", State::ReceivingSnapshot) => {
                self.say(id, "REQUEST-PAUSE");
                self.set_migration_state(id, State::WaitingForPaused);
            }
            (b"PAUSED", State::WaitingForPaused) => {
                let since_ms = self.now.mono_ms;
                let offset = self.journal.replicas.offset();
                let job = self.keeper.migrations.job_mut(id);
                if let Some(import) = job.and_then(super::Job::import_mut) {
                    import.followed = Some((offset, since_ms));
                }
                self.ask_for_acks();
                self.ask_once_followed(id);
            }
            // The turn's end does what follows.
            (b"FAILOVER-GRANTED", State::FailoverRequested) => {
                self.set_migration_state(id, State::ImportGranted);
            }
            _ => {
                tracing::warn!(
                    "Received unexpected CLUSTER SYNCSLOTS {} from slot migration {}. Failing migration.",
                    String::from_utf8_lossy(word),
                    job.description()
                );
                let why = "Unexpected state machine transition";
                self.finish_migration(id, State::Failed, Some(why));
            }
        }
        true
    }

    /// The source deletes its keys once the slots are claimed, and its replicas do: one of ours has to have them, or what clients were
    /// told to be on two nodes is on one.
    pub(super) fn ask_once_followed(&mut self, id: JobId) {
        let job = self.keeper.migrations.job(id);
        let Some((offset, since_ms)) = job.and_then(Job::import).and_then(|import| import.followed)
        else {
            return;
        };
        if self.is_followed(offset) {
            self.ask_for_slots(id);
        } else if self.now.mono_ms.saturating_sub(since_ms) > FOLLOWED_MS {
            let why = "No replica has received what was imported";
            self.finish_migration(id, State::Failed, Some(why));
        }
    }

    /// The source holds writes back, and all that it had is here.
    fn ask_for_slots(&mut self, id: JobId) {
        if self.fail_in_minority(id) {
            return;
        }
        let now_ms = self.now.mono_ms;
        let job = self.keeper.migrations.job_mut(id);
        if let Some(import) = job.and_then(super::Job::import_mut) {
            import.asked_ms = Some(now_ms);
        }
        self.say(id, "REQUEST-FAILOVER");
        self.set_migration_state(id, State::FailoverRequested);
    }

    /// CLUSTER SYNCSLOTS CAPA …: what a source can, and what it is. Words that are not known are passed over.
    pub(super) fn hear_source(&mut self, args: commands::Args<'_>) {
        let now = self.bus_now();
        let [_, _, _, what, epoch] = *args else {
            return;
        };
        let epoch = commands::args::int(epoch).ok();
        let epoch = epoch.and_then(|epoch| u64::try_from(epoch).ok());
        if let (Some(node), Some(epoch)) = (&mut self.keeper.cluster, epoch)
            && commands::args::is(what, "EPOCH")
        {
            node.hear_epoch(now, epoch);
        }
    }

    /// A request of a source was answered by an error: its data are not what they should be.
    pub(crate) fn import_refused(&mut self, client: ClientId, line: &[u8]) {
        let Some(id) = self.import_of(client) else {
            return;
        };
        let line = String::from_utf8_lossy(line).trim().to_owned();
        tracing::warn!("A command of a slot migration was answered by an error: {line}");
        let why = if line.starts_with("-OOM") {
            "Ran out of memory (OOM) during slot import"
        } else {
            CANNOT_APPLY
        };
        self.finish_migration(id, State::Failed, Some(why));
    }

    /// A source's connection is gone.
    pub(crate) fn forget_import(&mut self, client: ClientId) {
        let Some(id) = self.import_of(client) else {
            return;
        };
        let Some(job) = self.keeper.migrations.job_mut(id) else {
            return;
        };
        tracing::info!("Slot migration {} connection lost", job.description());
        let going = job.state.is_going();
        if let Some(import) = job.import_mut() {
            import.client = None;
        }
        if going {
            let why = "Connection lost to source. Check CLUSTER GETSLOTMIGRATIONS on the source node for more information.";
            self.finish_migration(id, State::Failed, Some(why));
        }
    }

    /// The source has agreed: the slots are claimed, unless so much time has gone by that it may serve them again.
    pub(super) fn take_imported(&mut self, id: JobId) {
        let (now, now_ms) = (self.bus_now(), self.now.mono_ms);
        if self.keeper.migrations.prevent_failover || self.fail_in_minority(id) {
            return;
        }
        let Some(job) = self.keeper.migrations.job(id) else {
            return;
        };
        let asked_ms = job.import().and_then(|import| import.asked_ms);
        if asked_ms.is_none_or(|asked| now_ms.saturating_sub(asked) > GRANT_MS) {
            let why = "The grant of the source came too late to be used";
            self.finish_migration(id, State::Failed, Some(why));
            return;
        }
        let (slots, text) = (job.slots.clone(), job.description());
        if let Some(node) = &mut self.keeper.cluster {
            node.take_slots(now, slots.slots());
        }
        tracing::info!(
            "Slot migration {text} completed successfully. This node is now the owner of the slots"
        );
        self.finish_migration(id, State::Success, None);
        self.perform_bus();
    }

    /// The map has changed, or our role.
    pub(super) fn check_import(&mut self, id: JobId) {
        let (Some(node), Some(job)) = (&self.keeper.cluster, self.keeper.migrations.job(id)) else {
            return;
        };
        if node.is_replica() {
            // What was brought is deleted by who is the primary now, if anybody has to.
            return self.hand_import_on(id);
        }
        let Some((source, mine)) = job.nodes else {
            return;
        };
        let why = match node.owner_of_all(job.slots.slots()) {
            Some(owner) if owner == source => return,
            Some(owner) if owner == mine => {
                "Slots were unexpectedly assigned to myself during import"
            }
            _ => "Slots are no longer owned by source node",
        };
        self.finish_migration(id, State::Failed, Some(why));
    }

    /// This server is a replica now: it follows what its primary makes of the import.
    fn hand_import_on(&mut self, id: JobId) {
        let Some(job) = self.keeper.migrations.job_mut(id) else {
            return;
        };
        if job.state == State::OnPrimary {
            return;
        }
        job.nodes = None;
        let client = job.import_mut().and_then(|import| import.client.take());
        self.set_migration_state(id, State::OnPrimary);
        if let Some(client) = client {
            self.close_now(client);
        }
    }

    /// Imports that nobody goes on with.
    pub(crate) fn fail_imports(&mut self, why: &str) {
        for id in self
            .keeper
            .migrations
            .ids(|job| job.is_import() && job.state.is_going())
        {
            self.finish_migration(id, State::Failed, Some(why));
        }
    }

    /// Other data are about to be loaded, which tell of their own imports.
    pub(crate) fn forget_imports(&mut self, why: &str) {
        if self.keeper.migrations.jobs.is_empty() {
            return;
        }
        self.fail_imports(why);
        for id in self.keeper.migrations.ids(Job::is_import) {
            self.hide_import(id, false);
        }
        self.keeper.migrations.jobs.retain(|job| !job.is_import());
        self.keeper.migrations.recount();
    }

    /// An import is over. Where it failed at a primary, what it brought is deleted first.
    pub(super) fn finish_import(&mut self, id: JobId, end: State) {
        let loading = self.journal.replaying || self.keeper.persistence.loading.is_some();
        let replica = self.is_cluster_replica();
        let Some(job) = self.keeper.migrations.job_mut(id) else {
            return;
        };
        let dirty = end != State::Success && job.state != State::CleaningUp && !replica && !loading;
        let mut client = None;
        if let Some(import) = job.import_mut() {
            client = import.client.take();
            import.after = dirty.then_some(end);
        }
        self.set_migration_state(id, if dirty { State::CleaningUp } else { end });
        if let Some(client) = client {
            self.close_now(client);
        }
        if dirty {
            return;
        }
        self.log_migration_end(id);
        self.hide_import(id, false);
        if !replica && !loading {
            self.tell_replicas_end(id);
        }
    }

    /// Our replicas have seen the import begin, and see it end.
    fn tell_replicas_end(&mut self, id: JobId) {
        let Some(job) = self.keeper.migrations.job(id) else {
            return;
        };
        let state = if job.state == State::Success {
            "SUCCESS"
        } else {
            "FAILED"
        };
        let (name, message) = (job.name.clone(), job.message.clone());
        let mut words = vec![
            "CLUSTER",
            "SYNCSLOTS",
            "FINISH",
            "STATE",
            state,
            "NAME",
            &name,
        ];
        if let Some(message) = &message {
            words.extend(["MESSAGE", message]);
        }
        let words: Vec<&[u8]> = words.into_iter().map(str::as_bytes).collect();
        self.propagate(0, &words);
    }

    /// Deletes what a failed import brought, a part at a time.
    pub(super) fn clean_up(&mut self, id: JobId) {
        let Some(job) = self.keeper.migrations.job(id) else {
            return;
        };
        let slots = job.slots.clone();
        let end = job.import().and_then(|import| import.after);
        let mut left = KEYS_AT_ONCE;
        for slot in slots.slots() {
            let node = self.keeper.cluster.as_ref();
            if node.is_some_and(|node| node.is_mine(slot)) {
                continue;
            }
            left = left.saturating_sub(self.delete_some_of_slot(slot, left, Deletion::Moved));
            if left == 0 {
                // The next tick goes on.
                return;
            }
        }
        let message = self
            .keeper
            .migrations
            .job(id)
            .and_then(|job| job.message.clone());
        let end = end.unwrap_or(State::Failed);
        self.finish_migration(id, end, message.as_deref());
    }
}
