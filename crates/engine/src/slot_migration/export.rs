//! The source of a migration: it connects to the target, sends a snapshot that a child makes and then what changes, holds writes back
//! for the last of it, and learns from the map that the target has taken over.

use cluster_bus::NodeId;
use commands::{Args, Flags, Traits, table};
use resp::Batch;

use super::message;
use crate::entry::{self, Entry};
use crate::host::Job as ChildJob;
use crate::host::SlotsRequest;
use crate::keeper::migrations::{Export, Job, JobId, Ranges, Side, State};
use crate::keeper::persistence::Purpose;
use crate::sessions::client::Peer;
use crate::{Action, ClientId, Engine, LinkId};

/// The longest answer that is waited for, bytes.
const MOST_ANSWER_BYTES: usize = 16 * 1024;
/// While it waits for the target to be heard as the owner, the source holds back writes at least for so long.
const AGREED_MS: u64 = 2000;
/// So long after it was allowed to claim the slots, a target has done so or never will, and who heard of it has told us.
const CLAIMED_MS: u64 = 2000;
/// While that is not sure, it is looked again after so long.
const LOOK_MS: u64 = 200;

impl Engine {
    /// Begins to hand slots over to a node.
    pub(super) fn start_export(&mut self, name: String, slots: Ranges, target: NodeId) -> JobId {
        let node = self.keeper.cluster.as_ref();
        let (mine, server) = node.map_or((target, None), |node| {
            (node.my_id(), node.server_of(target))
        });
        let side = Side::Export(Export::default());
        let nodes = Some((mine, target));
        let id = self.new_job(name, slots, nodes, State::Connecting, side);
        let Some((ip, port)) = server else {
            let why = "Unable to connect to target node: target node not found";
            self.finish_migration(id, State::Failed, Some(why));
            return id;
        };
        let link = self.new_link();
        if let Some(export) = self.export_mut(id) {
            export.link = Some(link);
        }
        let host = ip.to_string();
        self.act(Action::OpenLink { link, host, port });
        id
    }

    fn export_mut(&mut self, id: JobId) -> Option<&mut Export> {
        self.keeper.migrations.job_mut(id)?.export_mut()
    }

    fn export_on(&self, link: LinkId) -> Option<JobId> {
        let jobs = &self.keeper.migrations.jobs;
        let on = |job: &&Job| job.export().is_some_and(|export| export.link == Some(link));
        jobs.iter().find(on).map(|job| job.id)
    }

    // ---- the connection --------------------------------------------------------------------------------------------------

    /// A connection was made, or was not. False where it is not a migration's.
    pub(crate) fn export_opened(&mut self, link: LinkId, result: &Result<(), String>) -> bool {
        let Some(id) = self.export_on(link) else {
            return false;
        };
        if let Err(why) = result {
            if let Some(export) = self.export_mut(id) {
                export.link = None;
            }
            let why = format!("Unable to connect to target node: {why}");
            self.finish_migration(id, State::Failed, Some(&why));
            return true;
        }
        if let Some(password) = self.config.masterauth.clone() {
            let mut bytes = Vec::new();
            match self.config.masteruser.clone() {
                Some(user) => aof::encode_command(&mut bytes, [&b"AUTH"[..], &user, &password]),
                None => aof::encode_command(&mut bytes, [&b"AUTH"[..], &password]),
            }
            self.set_migration_state(id, State::ReadingAuth);
            self.send_export(id, bytes);
        } else {
            self.establish(id);
        }
        true
    }

    fn establish(&mut self, id: JobId) {
        let Some(job) = self.keeper.migrations.job(id) else {
            return;
        };
        let source = job
            .nodes
            .map_or_else(String::new, |nodes| nodes.0.to_string());
        let slots: Vec<String> = job
            .slots
            .numbers()
            .iter()
            .flat_map(|(first, last)| [first.to_string(), last.to_string()])
            .collect();
        let words = [
            "CLUSTER",
            "SYNCSLOTS",
            "ESTABLISH",
            "SOURCE",
            &source,
            "NAME",
            &job.name,
        ];
        let words = words.into_iter().chain(["SLOTSRANGE"]);
        let words = words.chain(slots.iter().map(String::as_str));
        let mut bytes = Vec::new();
        let words: Vec<&[u8]> = words.map(str::as_bytes).collect();
        aof::encode_command(&mut bytes, words);
        self.set_migration_state(id, State::ReadingEstablish);
        self.show_export(id);
        self.send_export(id, bytes);
    }

    /// A client that is seen in CLIENT LIST, and by which the migration can be killed.
    fn show_export(&mut self, id: JobId) {
        let target = self.keeper.migrations.job(id).and_then(|job| job.nodes);
        let node = self.keeper.cluster.as_ref();
        let server = node.and_then(|node| node.server_of(target?.1));
        let addr = server.map_or_else(String::new, |(ip, port)| {
            std::net::SocketAddr::new(ip, port).to_string()
        });
        let client = self.add_client(Peer {
            addr,
            local_addr: String::new(),
            fd: -1,
            ..Peer::default()
        });
        let flags = &mut self.sessions.clients[client].flags;
        (flags.authenticated, flags.exports) = (true, true);
        if let Some(export) = self.export_mut(id) {
            export.client = Some(client);
        }
    }

    pub(super) fn send_export(&mut self, id: JobId, bytes: Vec<u8>) {
        let Some(export) = self.export_mut(id) else {
            return;
        };
        if let Some(link) = export.link {
            export.unsent += bytes.len() as u64;
            self.act(Action::SendLink { link, bytes });
        }
    }

    /// The shell has given so many bytes of a snapshot to a connection.
    pub fn link_queued(&mut self, link: LinkId, bytes: usize) {
        let id = self.export_on(link);
        if let Some(export) = id.and_then(|id| self.export_mut(id)) {
            export.relayed += bytes as u64;
        }
    }

    /// The shell has written so many bytes of a connection to its socket.
    pub fn link_sent(&mut self, link: LinkId, bytes: usize) {
        let Some(id) = self.export_on(link) else {
            return;
        };
        let bytes = bytes as u64;
        self.keeper.migrations.exported_bytes += bytes;
        if let Some(export) = self.export_mut(id) {
            let of_child = export.relayed.min(bytes);
            export.relayed -= of_child;
            export.unsent = export.unsent.saturating_sub(bytes - of_child);
        }
        self.try_snapshot(id);
    }

    /// Bytes came. False where the connection is not a migration's.
    pub(crate) fn export_received(&mut self, link: LinkId, bytes: &[u8]) -> bool {
        let Some(id) = self.export_on(link) else {
            return false;
        };
        self.meter.stats.traffic.came(bytes.len());
        if let Some(export) = self.export_mut(id) {
            export.came.extend_from_slice(bytes);
        }
        while self.read_export(id) {}
        true
    }

    /// Takes one answer or message; whether there may be another.
    fn read_export(&mut self, id: JobId) -> bool {
        let now_ms = self.now.mono_ms;
        let Some(job) = self.keeper.migrations.job_mut(id) else {
            return false;
        };
        let state = job.state;
        let Side::Export(export) = &mut job.side else {
            return false;
        };
        if !matches!(state, State::ReadingAuth | State::ReadingEstablish) {
            return self.read_words(id);
        }
        let end = export.came.windows(2).position(|two| two == b"\r\n");
        let Some(end) = end else {
            if export.came.len() > MOST_ANSWER_BYTES {
                let why = "Response to establish job is larger than buffer limit";
                self.finish_migration(id, State::Failed, Some(why));
            }
            return false;
        };
        let line: Vec<u8> = export.came.drain(..end + 2).collect();
        job.heard_ms = now_ms;
        let line = String::from_utf8_lossy(&line[..end]).into_owned();
        match (state, line.starts_with('-')) {
            (State::ReadingAuth, true) => {
                let why = format!("Failed to AUTH to target node: {line}");
                self.finish_migration(id, State::Failed, Some(&why));
            }
            (State::ReadingAuth, false) => self.establish(id),
            (_, true) => {
                let why = format!("Received error during handshake to target: {line}");
                self.finish_migration(id, State::Failed, Some(&why));
            }
            (_, false) => {
                self.set_migration_state(id, State::WaitingToSnapshot);
                self.say(id, "ACK");
                self.try_snapshot(id);
            }
        }
        true
    }

    /// Takes the messages that are there whole.
    fn read_words(&mut self, id: JobId) -> bool {
        let Some(export) = self.export_mut(id) else {
            return false;
        };
        let mut batch = Batch::default();
        let came = std::mem::take(&mut export.came);
        let cut = export.parser.cut_all(&came, &mut batch);
        let taken = cut.as_ref().copied().unwrap_or(0);
        export.parser.reset();
        export.came = came[taken..].to_vec();
        let garbled = cut.is_err() || export.came.len() > MOST_ANSWER_BYTES;
        let mut words = Vec::new();
        for at in 0..batch.len() {
            batch.args(at, &came, &mut words);
            if let [cluster, sync, word] = words[..]
                && cluster.eq_ignore_ascii_case(b"CLUSTER")
                && sync.eq_ignore_ascii_case(b"SYNCSLOTS")
            {
                let word = word.to_ascii_uppercase();
                self.export_told(id, &word);
            } else {
                self.fail_export_state(id, "something else than CLUSTER SYNCSLOTS");
            }
        }
        if garbled {
            self.fail_export_state(id, "what is no request");
        }
        false
    }

    fn has_majority(&self) -> bool {
        let node = self.keeper.cluster.as_ref();
        node.is_some_and(|node| node.has_majority())
    }

    /// Whether the target, which was allowed to claim the slots, has not done it where it counts.
    fn may_take_back(&self, id: JobId) -> bool {
        let (Some(node), Some(job)) = (&self.keeper.cluster, self.keeper.migrations.job(id)) else {
            return false;
        };
        let granted_ms = job.export().and_then(|export| export.granted_ms);
        let decided_ms = granted_ms.map(|granted| granted.saturating_add(CLAIMED_MS));
        node.owner_of_all(job.slots.slots()) == Some(node.my_id())
            && decided_ms.is_some_and(|decided| node.majority_heard_since(decided))
    }

    /// A claim that the target makes yet, or made and was lost with, is to be too late.
    fn take_back_slots(&mut self) {
        let now = self.bus_now();
        if let Some(node) = &mut self.keeper.cluster {
            node.take_back_slots(now);
        }
    }

    /// The target has said a word.
    fn export_told(&mut self, id: JobId, word: &[u8]) {
        let (now_ms, now_s) = (self.now.mono_ms, self.now.unix_ms() / 1000);
        let Some(job) = self.keeper.migrations.job_mut(id) else {
            return;
        };
        if !job.state.is_going() {
            return;
        }
        (job.heard_ms, job.acked_s) = (now_ms, now_s);
        match (word, job.state) {
            (b"ACK" | b"CAPA", _) => {}
            (b"REQUEST-PAUSE", State::Replicating) => {
                self.set_migration_state(id, State::WaitingToPause);
                self.try_pause(id);
            }
            (b"REQUEST-FAILOVER", State::Paused) => self.agree(id),
            _ => self.fail_export_state(id, &String::from_utf8_lossy(word)),
        }
    }

    fn fail_export_state(&mut self, id: JobId, what: &str) {
        if let Some(job) = self.keeper.migrations.job(id) {
            tracing::warn!(
                "Received {what} for slot migration {} in state {}. Failing migration.",
                job.description(),
                job.state.name()
            );
        }
        let why = "Unexpected state machine transition";
        self.finish_migration(id, State::Failed, Some(why));
    }

    /// A connection has ended. False where it is not a migration's.
    pub(crate) fn export_closed(&mut self, link: LinkId) -> bool {
        let Some(id) = self.export_on(link) else {
            return false;
        };
        if let Some(export) = self.export_mut(id) {
            export.link = None;
        }
        self.lose_target(id);
        true
    }

    /// Once the target was allowed to take over it may have, and the map will tell.
    fn lose_target(&mut self, id: JobId) {
        let Some(job) = self.keeper.migrations.job(id) else {
            return;
        };
        tracing::info!("Slot migration {} connection lost", job.description());
        if job.state != State::ExportGranted {
            let why = "Connection lost to target. Check CLUSTER GETSLOTMIGRATIONS on the target node for more information.";
            self.finish_migration(id, State::Failed, Some(why));
        }
    }

    /// CLIENT KILL of the client that stands for an export.
    pub(crate) fn kill_export(&mut self, client: ClientId) {
        let of = |job: &Job| {
            job.export()
                .is_some_and(|export| export.client == Some(client))
        };
        for id in self.keeper.migrations.ids(of) {
            self.close_export(id);
            self.lose_target(id);
        }
    }

    fn close_export(&mut self, id: JobId) {
        let Some(export) = self.export_mut(id) else {
            return;
        };
        let (link, client) = (export.link.take(), export.client.take());
        (export.held, export.came) = (Vec::new(), Vec::new());
        (export.unsent, export.relayed) = (0, 0);
        if let Some(link) = link {
            self.host.hang_up(link);
            self.act(Action::CloseLink { link });
        }
        if let Some(client) = client {
            self.close(client);
        }
    }

    // ---- snapshot and stream ---------------------------------------------------------------------------------------------

    /// Starts the child that writes the slots, if there is no other child, and all that was said before is on its way.
    pub(super) fn try_snapshot(&mut self, id: JobId) {
        let Some(job) = self.keeper.migrations.job(id) else {
            return;
        };
        let busy =
            self.keeper.persistence.running.is_some() || self.keeper.persistence.loading.is_some();
        let Some(link) = job.export().and_then(|export| export.link) else {
            return;
        };
        let unsent = job.export().is_some_and(|export| export.unsent > 0);
        if busy || unsent || job.state != State::WaitingToSnapshot {
            return;
        }
        let request = SlotsRequest {
            slots: job.slots.numbers(),
            link,
            patience_ms: u64::from(self.config.repl_timeout) * 1000,
            delay_us: u64::try_from(self.config.rdb_key_save_delay).unwrap_or(0),
        };
        tracing::info!(
            "Beginning snapshot of slot migration {}.",
            job.description()
        );
        match self
            .host
            .fork(&self.shard.keyspace, &ChildJob::Slots(request))
        {
            Ok(child) => {
                self.note_child(&child, Purpose::Slots);
                self.set_migration_state(id, State::Snapshotting);
                self.act(Action::RelaySlots { link });
            }
            Err(error) => {
                tracing::warn!("Can't begin slot migration snapshot in background: {error}");
                let why = "Failed to start snapshot";
                self.finish_migration(id, State::Failed, Some(why));
            }
        }
    }

    /// All that the child wrote was given to the connection, and the child has ended well; or not.
    pub fn snapshot_relayed(&mut self, link: LinkId, ok: bool) {
        let copied = self.host.child_own_bytes();
        let Some(id) = self.export_on(link) else {
            return;
        };
        self.keeper.migrations.exported_bytes += self.host.child_sent().0;
        let Some(job) = self.keeper.migrations.job_mut(id) else {
            return;
        };
        if job.state != State::Snapshotting {
            return;
        }
        if !ok {
            self.finish_migration(id, State::Failed, Some("Failed to perform snapshot"));
            return;
        }
        job.copied_bytes = copied;
        tracing::info!(
            "Slot migration {} snapshot finished, starting streaming.",
            job.description()
        );
        let held = job
            .export_mut()
            .map(|export| std::mem::take(&mut export.held));
        self.set_migration_state(id, State::Replicating);
        let mut bytes = message("SNAPSHOT-EOF");
        bytes.extend(held.unwrap_or_default());
        self.send_export(id, bytes);
    }

    /// A command that changed something: for the targets of its slot.
    pub(crate) fn feed_exports(&mut self, db: usize, words: &[&[u8]]) {
        let Some(slot) = self.slot_of_words(words) else {
            return;
        };
        let fed = |job: &Job| job.state.is_fed() && job.slots.all.contains(slot);
        for id in self.keeper.migrations.ids(fed) {
            let Some(job) = self.keeper.migrations.job_mut(id) else {
                continue;
            };
            let snapshotting = job.state == State::Snapshotting;
            let Some(export) = job.export_mut() else {
                continue;
            };
            let mut bytes = Vec::new();
            if export.selected.replace(db) != Some(db) {
                let mut number = itoa::Buffer::new();
                aof::encode_command(&mut bytes, [&b"SELECT"[..], number.format(db).as_bytes()]);
            }
            aof::encode_command(&mut bytes, words.iter().copied());
            if snapshotting {
                export.held.extend(bytes);
            } else {
                self.send_export(id, bytes);
            }
            self.limit_export(id);
        }
    }

    /// The slot of a command that is propagated; none where it has no keys.
    fn slot_of_words(&self, words: &[&[u8]]) -> Option<cluster_bus::Slot> {
        let entry = self.index.find(words.first()?)?;
        let entry = entry::resolve(entry, words).ok()?;
        if entry.keyless || entry.command.flags.has(Flags::PUBSUB) {
            return None;
        }
        let mut keys = Vec::new();
        table::find_keys(entry.command, words, &mut keys);
        let key = words.get(keys.first()?.at)?;
        Some(cluster_bus::key_slot(key))
    }

    /// What a target has still to be sent is limited as a replica's stream is.
    fn limit_export(&mut self, id: JobId) {
        let now_ms = self.now.mono_ms;
        let limit = self.replica_limit();
        let Some(export) = self.export_mut(id) else {
            return;
        };
        let behind = export.behind();
        let hard = limit.hard_bytes > 0 && behind > limit.hard_bytes;
        let soft = limit.soft_bytes > 0 && behind > limit.soft_bytes;
        let since_ms = soft.then(|| export.over_soft_since_ms.unwrap_or(now_ms));
        export.over_soft_since_ms = since_ms;
        let soft_ms = limit.soft_seconds.saturating_mul(1000);
        if hard || since_ms.is_some_and(|since| now_ms.saturating_sub(since) > soft_ms) {
            tracing::warn!("A slot migration is given up for overcoming of output buffer limits.");
            self.close_export(id);
            self.lose_target(id);
        }
    }

    /// Bytes that wait for targets: they are not the dataset's.
    pub(crate) fn export_bytes(&self) -> u64 {
        if !self.keeper.migrations.exporting {
            return 0;
        }
        let exports = self.keeper.migrations.jobs.iter().filter_map(Job::export);
        exports.map(|export| export.behind() + export.relayed).sum()
    }

    // ---- the end -------------------------------------------------------------------------------------------------------------

    /// Holds writes to the slots back, once little enough is left to be sent.
    pub(super) fn try_pause(&mut self, id: JobId) {
        let most = self.config.slot_migration_max_failover_repl_bytes;
        let (now_ms, for_ms) = (
            self.now.mono_ms,
            self.config
                .cluster_manual_failover_timeout
                .saturating_mul(2),
        );
        if self.keeper.migrations.prevent_pause || self.fail_in_minority(id) {
            return;
        }
        let Some(job) = self.keeper.migrations.job_mut(id) else {
            return;
        };
        let behind = job.export().map_or(0, Export::behind);
        if job.state != State::WaitingToPause || u64::try_from(most).is_ok_and(|most| behind > most)
        {
            return;
        }
        tracing::info!(
            "Pausing writes (remaining_repl_size is {behind}) to allow slot migration {} to finalize failover.",
            job.description()
        );
        if let Some(export) = job.export_mut() {
            export.paused_until_ms = Some(now_ms.saturating_add(for_ms));
        }
        self.calm = false;
        self.set_migration_state(id, State::Paused);
        self.say(id, "PAUSED");
        self.begin_yielding(id);
    }

    /// The target is about to claim the slots: our config epoch stays as it is, and the target is told which it is. Servers that do not
    /// know the word pass it over.
    fn begin_yielding(&mut self, id: JobId) {
        let now = self.bus_now();
        let Some(job) = self.keeper.migrations.job_mut(id) else {
            return;
        };
        let (Some(node), Some((_, target))) = (&mut self.keeper.cluster, job.nodes) else {
            return;
        };
        if let Some(export) = job.export_mut() {
            export.yields = true;
        }
        let epoch = node.begin_yielding(now, target).to_string();
        let mut bytes = Vec::new();
        let words = ["CLUSTER", "SYNCSLOTS", "CAPA", "EPOCH", &epoch];
        aof::encode_command(&mut bytes, words.map(str::as_bytes));
        self.send_export(id, bytes);
        self.perform_bus();
    }

    fn end_yielding(&mut self, id: JobId) {
        let yielded = self
            .export_mut(id)
            .is_some_and(|export| std::mem::take(&mut export.yields));
        if let Some(node) = self.keeper.cluster.as_mut().filter(|_| yielded) {
            node.end_yielding();
        }
    }

    /// The target has all, and asks whether it may claim the slots.
    fn agree(&mut self, id: JobId) {
        let now_ms = self.now.mono_ms;
        if self.fail_in_minority(id) {
            return;
        }
        let Some(export) = self.export_mut(id) else {
            return;
        };
        match export.paused_until_ms {
            Some(until) if until > now_ms => {
                // Its claim has to be heard before anything is written here.
                export.paused_until_ms = Some(until.max(now_ms + AGREED_MS));
                export.granted_ms = Some(now_ms);
                self.say(id, "FAILOVER-GRANTED");
                self.set_migration_state(id, State::ExportGranted);
            }
            _ => {
                let why = "Unpaused before failover completed";
                self.finish_migration(id, State::Failed, Some(why));
            }
        }
    }

    /// Writes are not held back for ever.
    pub(super) fn check_pause(&mut self, id: JobId) {
        let now_ms = self.now.mono_ms;
        let Some(job) = self.keeper.migrations.job(id) else {
            return;
        };
        let until = job.export().and_then(|export| export.paused_until_ms);
        if until.is_some_and(|until| until > now_ms) {
            return;
        }
        if job.state == State::ExportGranted && !self.may_take_back(id) && self.has_majority() {
            // It may serve the slots already.
            if let Some(export) = self.export_mut(id) {
                export.paused_until_ms = Some(now_ms.saturating_add(LOOK_MS));
            }
            return;
        }
        let Some(job) = self.keeper.migrations.job(id) else {
            return;
        };
        let why = if job.state == State::Paused {
            "Timed out before streaming completed"
        } else {
            tracing::warn!(
                "Write loss risk! During slot migration {}, new owner did not broadcast ownership before we unpaused ourselves. Any \
                 writes we have recorded since unpausing may be lost!",
                job.description()
            );
            "Unpaused before migration completed (migration may have succeeded with lost writes)"
        };
        self.finish_migration(id, State::Failed, Some(why));
    }

    /// The map has changed: the slots are the target's, still ours, or somebody else's.
    pub(super) fn check_export(&mut self, id: JobId) {
        let (Some(node), Some(job)) = (&self.keeper.cluster, self.keeper.migrations.job(id)) else {
            return;
        };
        let owner = node.owner_of_all(job.slots.slots());
        match (owner, job.nodes) {
            (Some(owner), Some((source, _))) if owner == source => {}
            (Some(owner), Some((_, target))) if owner == target => {
                self.finish_migration(id, State::Success, None);
            }
            _ => {
                let why = "Slots are no longer owned by myself";
                self.finish_migration(id, State::Failed, Some(why));
            }
        }
    }

    pub(super) fn finish_export(&mut self, id: JobId, end: State) {
        let before = self.keeper.migrations.job(id).map(|job| job.state);
        let snapshotting = before == Some(State::Snapshotting);
        self.set_migration_state(id, end);
        self.end_yielding(id);
        if before == Some(State::ExportGranted) && end != State::Success && self.may_take_back(id) {
            self.take_back_slots();
        }
        self.close_export(id);
        if let Some(export) = self.export_mut(id) {
            export.paused_until_ms = None;
        }
        self.keeper.migrations.recount();
        let running = self.keeper.persistence.running;
        if snapshotting && running.is_some_and(|running| running.purpose == Purpose::Slots) {
            tracing::info!("Killing running slot migration child");
            self.host.kill_child();
            self.set_child(None);
            self.sync_child_ended(Purpose::Slots, false);
        }
        self.log_migration_end(id);
        self.resume_held();
    }

    /// Whether a request may write to slots whose last changes are on their way to their new owner. What names no key may touch any.
    pub(crate) fn writes_moving_slot(&self, id: ClientId, entry: Entry, args: Args<'_>) -> bool {
        if self.keeper.migrations.paused_until_ms.is_none() {
            return false;
        }
        let jobs = self.keeper.migrations.jobs.iter();
        let mut paused = jobs.filter(|job| {
            job.export()
                .is_some_and(|export| export.paused_until_ms.is_some())
        });
        let Some(first) = paused.next() else {
            return false;
        };
        let flags = self.sessions.clients[id].flags;
        if flags.master || flags.replica || flags.internal || flags.imports {
            return false;
        }
        let paused: Vec<&Job> = std::iter::once(first).chain(paused).collect();
        let concerns = |entry: Entry, words: &[&[u8]]| {
            let mut keys = Vec::new();
            table::find_keys(entry.command, words, &mut keys);
            let moving = |slot| paused.iter().any(|job| job.slots.all.contains(slot));
            self.may_write(entry, words)
                && (keys.is_empty()
                    || keys
                        .iter()
                        .any(|key| moving(cluster_bus::key_slot(words[key.at]))))
        };
        let multi = self.sessions.clients[id].transaction.multi.as_deref();
        if entry.command.traits.has(Traits::RUNS_QUEUE) {
            return multi
                .into_iter()
                .flat_map(|multi| &multi.queue)
                .any(|queued| {
                    let words: Vec<&[u8]> = queued.args.iter().map(AsRef::as_ref).collect();
                    concerns(self.index.entry(queued.number), &words)
                });
        }
        multi.is_none() && concerns(entry, args)
    }
}
