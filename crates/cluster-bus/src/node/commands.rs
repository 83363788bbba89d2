//! The verbs of the CLUSTER command that change something, with the checks and error texts of today's servers. How they are
//! spelled on the command line is in `command_line`.

use std::net::IpAddr;

use super::io::{Event, LogLevel};
use super::state::Node;
use super::table::{PeerKey, Table, Way};
use crate::message::{Body, NodeFlags};
use crate::{NodeId, Now, Slot, SlotSet};

/// What CLUSTER FAILOVER may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailoverKind {
    /// With the master's help, losing nothing.
    Coordinated,
    /// Without the master, but elected.
    Force,
    /// Without the master and without an election.
    Takeover,
}

/// What CLUSTER RESET may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetKind {
    /// Forget nodes and slots.
    Soft,
    /// Forget epochs and the own id, too.
    Hard,
}

/// What becomes of the slots that ADDSLOTS and DELSLOTS name.
#[derive(Clone, Copy, Debug)]
pub(super) enum SlotsChange {
    Add,
    Del,
}

impl SlotsChange {
    /// The verb that takes ranges.
    pub(super) fn range_verb(self) -> &'static str {
        match self {
            Self::Add => "addslotsrange",
            Self::Del => "delslotsrange",
        }
    }
}

/// What CLUSTER SETSLOT may do to a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotChange {
    /// Start to hand it over to this node.
    Migrating(String),
    /// Start to take it over from this node.
    Importing(String),
    /// Neither any more.
    Stable,
    /// It belongs to this node now.
    Node(String),
}

/// Why a CLUSTER command was refused: the text of the error reply, without `-ERR `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum CommandError {
    #[error("Invalid base port specified: {0}")]
    BadPort(String),
    #[error("Port number is out of range")]
    PortOutOfRange,
    #[error("Invalid bus port specified: {0}")]
    BadBusPort(String),
    #[error("Cluster bus port number is out of range")]
    BusPortOutOfRange,
    #[error("Invalid node address specified: {0}:{1}")]
    BadAddress(String, String),
    #[error("DB must be empty to perform CLUSTER FLUSHSLOTS.")]
    FlushWithKeys,
    #[error("Invalid or out of range slot")]
    BadSlot,
    #[error("Slot {0} is already unassigned")]
    Unassigned(Slot),
    #[error("Slot {0} is already busy")]
    Busy(Slot),
    #[error("Slot {0} specified multiple times")]
    Repeated(Slot),
    #[error("start slot number {0} is greater than end slot number {1}")]
    BadRange(Slot, Slot),
    #[error("Start slot number {0} is greater than end slot number {1}")]
    BadStatsRange(Slot, Slot),
    #[error("wrong number of arguments for 'cluster|{0}' command")]
    RangeArity(&'static str),
    #[error("Unrecognized sort metric for ORDERBY.")]
    BadSortMetric,
    #[error("Limit has to lie in between 1 and 16384 (maximum number of slots).")]
    BadLimit,
    #[error("Multiple filters of the same type are disallowed.")]
    RepeatedFilter,
    #[error("Please use ADDSLOTS only with masters.")]
    AddSlotsOnReplica,
    #[error("Please use SETSLOT only with masters.")]
    SetSlotOnReplica,
    #[error("Slot import in progress.")]
    ImportsSlots,
    #[error("Slot export in progress.")]
    ExportsSlots,
    #[error("Target node is myself")]
    TargetIsMyself,
    #[error("Missing timeout value")]
    NoTimeout,
    #[error("timeout is not an integer or out of range")]
    BadTimeout,
    #[error("timeout is negative")]
    NegativeTimeout,
    #[error("I'm not the owner of hash slot {0}")]
    NotOwner(Slot),
    #[error("I'm already the owner of hash slot {0}")]
    AlreadyOwner(Slot),
    #[error("I don't know about node {0}")]
    DontKnow(String),
    #[error("Unknown node {0}")]
    UnknownNode(String),
    #[error("Target node is not a master")]
    TargetNotMaster,
    #[error(
        "Can't assign hashslot {0} to a different node while I still hold keys for this hash slot."
    )]
    StillHasKeys(Slot),
    #[error("Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP")]
    BadSetSlot,
    #[error("I tried hard but I can't forget myself...")]
    ForgetMyself,
    #[error("Can't forget my master!")]
    ForgetMaster,
    #[error("Can't replicate myself")]
    ReplicateMyself,
    #[error("I can only replicate a master, not a replica.")]
    ReplicateReplica,
    #[error("To set a master the node must be empty and without assigned slots.")]
    NotEmpty,
    #[error("The specified node is not a master")]
    NotMaster,
    #[error("You should send CLUSTER FAILOVER to a replica")]
    FailoverOnMaster,
    #[error("I'm a replica but my master is unknown to me")]
    MasterUnknown,
    #[error("Master is down or failed, please use CLUSTER FAILOVER FORCE")]
    MasterDown,
    #[error("Invalid config epoch specified: {0}")]
    BadConfigEpoch(i64),
    #[error("The user can assign a config epoch only when the node does not know any other node.")]
    EpochKnowsOthers,
    #[error("Node config epoch is already non-zero")]
    EpochAlreadySet,
    #[error("CLUSTER RESET can't be called with master nodes containing keys")]
    ResetWithKeys,
    #[error("Invalid slot")]
    InvalidSlot,
    #[error("Invalid slot or number of keys")]
    InvalidSlotOrCount,
    #[error("value is not an integer or out of range")]
    NotAnInteger,
    #[error("syntax error")]
    Syntax,
    #[error("unknown subcommand or wrong number of arguments for '{0}'. Try CLUSTER HELP.")]
    WrongSubcommand(String),
}

impl CommandError {
    pub(super) fn wrong_subcommand(word: &[u8]) -> Self {
        // As much of a word as the field shows.
        let word = word.get(..128).unwrap_or(word);
        Self::WrongSubcommand(String::from_utf8_lossy(word).into_owned())
    }
}

/// However long others ask for, a node is banned for a week at most.
const LONGEST_BAN_MS: u64 = 7 * 24 * 3600 * 1000;

type Done = Result<(), CommandError>;

impl Node {
    /// CLUSTER MEET. False if that can be no address; a meeting that is under way already is fine.
    pub fn meet(&mut self, now: Now, ip: IpAddr, port: u16) -> bool {
        self.meet_at(now, ip, port, 0)
    }

    /// CLUSTER MEET of a node whose bus is at another port; 0: where it is by custom.
    pub fn meet_at(&mut self, now: Now, ip: IpAddr, port: u16, bus_port: u16) -> bool {
        let started = self.start_handshake(now, Some(ip), port, bus_port);
        self.end_call(now);
        started
    }

    /// CLUSTER ADDSLOTS.
    ///
    /// # Errors
    /// Nothing is changed if one of them has an owner or is named twice. Replicas, to whom 3.0 gives slots that they
    /// can never serve, refuse.
    pub fn add_slots(&mut self, now: Now, slots: &[Slot]) -> Done {
        if !self.is_master() {
            return Err(CommandError::AddSlotsOnReplica);
        }
        self.reassign(now, slots, SlotsChange::Add)
    }

    pub(super) fn change_slots(&mut self, now: Now, slots: &[Slot], change: SlotsChange) -> Done {
        match change {
            SlotsChange::Add => self.add_slots(now, slots),
            SlotsChange::Del => self.del_slots(now, slots),
        }
    }

    /// CLUSTER DELSLOTS.
    ///
    /// # Errors
    /// Nothing is changed if one of them has no owner or is named twice.
    pub fn del_slots(&mut self, now: Now, slots: &[Slot]) -> Done {
        self.reassign(now, slots, SlotsChange::Del)
    }

    /// The slots of ADDSLOTS or DELSLOTS as a set, or the first that cannot be added or deleted.
    pub(super) fn check_slots(
        &self,
        slots: &[Slot],
        change: SlotsChange,
    ) -> Result<SlotSet, CommandError> {
        let mut seen = SlotSet::new();
        for &slot in slots {
            match (change, self.table.owner(slot)) {
                (SlotsChange::Del, None) => return Err(CommandError::Unassigned(slot)),
                (SlotsChange::Add, Some(_)) => return Err(CommandError::Busy(slot)),
                _ if !seen.insert(slot) => return Err(CommandError::Repeated(slot)),
                _ => {}
            }
        }
        Ok(seen)
    }

    fn reassign(&mut self, now: Now, slots: &[Slot], change: SlotsChange) -> Done {
        let owner = match change {
            SlotsChange::Add => Some(self.table.myself()),
            SlotsChange::Del => None,
        };
        for slot in self.check_slots(slots, change)?.iter() {
            self.table.importing.remove(&slot);
            self.table.set_owner(slot, owner);
        }
        self.saved(now)
    }

    /// CLUSTER FLUSHSLOTS.
    ///
    /// # Errors
    /// Only an empty server may lose its slots.
    pub fn flush_slots(&mut self, now: Now, db_is_empty: bool) -> Done {
        if !db_is_empty {
            return Err(CommandError::FlushWithKeys);
        }
        for slot in std::sync::Arc::clone(self.me().slots()).iter() {
            self.table.set_owner(slot, None);
        }
        self.saved(now)
    }

    /// CLUSTER FLUSHSLOT: deletes the keys of a slot.
    pub fn flush_slot(&mut self, now: Now, slot: Slot) {
        self.emit(Event::FlushSlot(slot));
        self.end_call(now);
    }

    /// CLUSTER SETSLOT. `keys` is how many keys of the slot the server holds. A replica does what its master does.
    ///
    /// # Errors
    /// What a master must not be told, and what no node can be told.
    pub fn set_slot(&mut self, now: Now, slot: Slot, change: &SlotChange, keys: u64) -> Done {
        self.check_slot_change(slot, change, keys)?;
        match change {
            SlotChange::Migrating(to) => self.table.open(slot, Way::Out, self.other_end(to)?),
            SlotChange::Importing(from) => self.table.open(slot, Way::In, self.other_end(from)?),
            SlotChange::Stable => self.table.close(slot),
            SlotChange::Node(owner) => {
                let owner = self.named(owner)?;
                let open = |table: &Table| {
                    (
                        table.importing.contains_key(&slot),
                        table.migrating.contains_key(&slot),
                    )
                };
                let before = (self.table.owner(slot), open(&self.table));
                self.give_slot(now, slot, owner, keys);
                let changed = before != (self.table.owner(slot), open(&self.table));
                if owner != self.table.myself() || !changed {
                    // Who closes a slot tells all nodes, and the new owner tells them, too, until they know.
                    self.todo.save |= changed;
                    self.end_call(now);
                    return Ok(());
                }
            }
        }
        self.saved(now)
    }

    /// Whether [`Node::set_slot`] would refuse.
    pub(super) fn check_slot_change(&self, slot: Slot, change: &SlotChange, keys: u64) -> Done {
        let mine = self.is_mine(slot);
        match change {
            SlotChange::Migrating(_) if self.is_master() && !mine => {
                Err(CommandError::NotOwner(slot))
            }
            SlotChange::Importing(_) if mine => Err(CommandError::AlreadyOwner(slot)),
            SlotChange::Migrating(other) | SlotChange::Importing(other) => {
                self.other_end(other).map(drop)
            }
            SlotChange::Stable => Ok(()),
            SlotChange::Node(owner) => {
                let owner = self.named(owner)?;
                if !self.table[owner].is_master() {
                    return Err(CommandError::TargetNotMaster);
                }
                if mine && owner != self.table.myself() && keys != 0 {
                    return Err(CommandError::StillHasKeys(slot));
                }
                Ok(())
            }
        }
    }

    /// The master that a slot goes to, or comes from. A replica's master may know one that the replica does not know yet.
    fn other_end(&self, id: &str) -> Result<NodeId, CommandError> {
        let unknown = || CommandError::DontKnow(id.to_owned());
        let id = NodeId::parse(id.as_bytes()).ok_or_else(unknown)?;
        let Some(peer) = self.table.find(id) else {
            return Some(id).filter(|_| self.is_replica()).ok_or_else(unknown);
        };
        if peer == self.table.myself() {
            return Err(CommandError::TargetIsMyself);
        }
        if !self.table[peer].is_master() {
            return Err(CommandError::TargetNotMaster);
        }
        Ok(id)
    }

    fn give_slot(&mut self, now: Now, slot: Slot, owner: PeerKey, keys: u64) {
        let myself = self.table.myself();
        self.table.forget_awaited(slot);
        if keys == 0 || owner != myself {
            self.table.migrating.remove(&slot);
        }
        let top = self.my_master().unwrap_or(myself);
        let was_ours = self.table.owner(slot) == Some(top);
        self.table.set_owner(slot, Some(owner));
        self.todo.update_state = true;
        if was_ours && owner != top && self.table[top].slots().is_empty() {
            self.lose_last_slot(owner);
        }
        let imported = (owner == top).then(|| self.table.importing.remove(&slot));
        // The end of a migration by hand: a new config epoch makes the new owner win against the old one everywhere.
        if let Some(source) = imported.flatten().filter(|_| owner == myself) {
            self.note_taken(now, slot, source);
            if self.bump_config_epoch() {
                self.log(
                    LogLevel::Notice,
                    format_args!("ConfigEpoch updated after importing slot {slot}"),
                );
            }
            self.todo.broadcast = true;
        }
    }

    /// The last slot of this shard has gone: its nodes serve where it went, unless they are told to stay.
    fn lose_last_slot(&mut self, to: PeerKey) {
        let (label, shard) = (self.table[to].label(), self.table[to].shard);
        if self.config.allow_replica_migration {
            let text = format_args!(
                "Lost my last slot during slot migration. Reconfiguring myself as a replica of {label} in shard {shard}"
            );
            self.log(LogLevel::Notice, text);
            self.follow(to);
        } else if self.is_master() {
            let text = format_args!(
                "My last slot was migrated to node {label} in shard {shard}. I am now an empty primary."
            );
            self.log(LogLevel::Notice, text);
        }
    }

    /// CLUSTER BUMPEPOCH: whether it was needed, and the config epoch now.
    pub fn bump_epoch(&mut self, now: Now) -> (bool, u64) {
        let bumped = self.bump_config_epoch();
        self.end_call(now);
        (bumped, self.config_epoch())
    }

    /// CLUSTER SAVECONFIG.
    pub fn save_config(&mut self, now: Now) {
        self.todo.save = true;
        self.asked = true;
        self.end_call(now);
    }

    /// CLUSTER FORGET.
    ///
    /// # Errors
    /// Neither this node nor its master can be forgotten.
    pub fn forget(&mut self, now: Now, id: &str) -> Done {
        let peer = match self.named(id) {
            // Another node may have passed on the same wish.
            Err(_) if self.is_forgotten(now, id) => return Ok(()),
            peer => peer?,
        };
        if peer == self.table.myself() {
            return Err(CommandError::ForgetMyself);
        }
        if self.my_master() == Some(peer) {
            return Err(CommandError::ForgetMaster);
        }
        let ttl_ms = self.config.blacklist_ttl_ms;
        self.blacklist.add(now, self.table[peer].id, ttl_ms);
        self.forget_peer(now, peer);
        self.saved(now)
    }

    fn is_forgotten(&self, now: Now, id: &str) -> bool {
        NodeId::parse(id.as_bytes()).is_some_and(|id| self.blacklist.contains(now, id))
    }

    /// A node that we know, and that another one was told to forget: it is forgotten everywhere, so that gossip does not bring it back.
    pub(super) fn forget_because_told(&mut self, now: Now, by: PeerKey, id: NodeId, ttl_s: u64) {
        let Some(peer) = self.table.find(id) else {
            return;
        };
        if peer == self.table.myself() || self.my_master() == Some(peer) || peer == by {
            return;
        }
        let by = self.table[by].id;
        let text = format_args!("Forgetting node {id}: node {by} was told to.");
        self.log(LogLevel::Notice, text);
        let ttl_ms = ttl_s.saturating_mul(1000).min(LONGEST_BAN_MS);
        self.blacklist.add(now, id, ttl_ms);
        self.forget_peer(now, peer);
        self.todo.save = true;
        self.todo.update_state = true;
    }

    /// CLUSTER REPLICATE NO ONE: a replica becomes an empty master of its own shard.
    pub fn replicate_no_one(&mut self, now: Now) {
        if !self.is_master() {
            let text = format_args!("Stop replication and turning myself into empty primary.");
            self.log(LogLevel::Notice, text);
            self.become_empty_master();
            self.reset_manual_failover();
            self.election.reset();
            self.todo.save = true;
            self.todo.update_state = true;
            self.todo.broadcast = true;
        }
        self.end_call(now);
    }

    fn become_empty_master(&mut self) {
        let myself = self.table.myself();
        self.turn_into_master(myself);
        self.stop_replication();
        self.emit(Event::FlushAll);
        self.table.close_all();
        self.move_to_new_shard();
    }

    /// CLUSTER REPLICATE.
    ///
    /// # Errors
    /// Only an empty node without slots, or a replica, can start to replicate, and only a master.
    pub fn replicate(&mut self, now: Now, id: &str, db_is_empty: bool) -> Done {
        let peer = self.named(id)?;
        if peer == self.table.myself() {
            return Err(CommandError::ReplicateMyself);
        }
        if self.table[peer].is(NodeFlags::SLAVE) {
            return Err(CommandError::ReplicateReplica);
        }
        if self.is_master() && (!self.me().slots().is_empty() || !db_is_empty) {
            return Err(CommandError::NotEmpty);
        }
        if self.my_master() != Some(peer) {
            self.follow(peer);
        }
        self.saved(now)
    }

    /// CLUSTER COUNT-FAILURE-REPORTS.
    ///
    /// # Errors
    /// The node must be known.
    pub fn count_failure_reports(&mut self, now: Now, id: &str) -> Result<usize, CommandError> {
        let peer = self.named(id)?;
        Ok(self.failure_reports(now, peer))
    }

    /// CLUSTER FAILOVER; `by_master`: our master wants it, because it is about to end.
    ///
    /// # Errors
    /// Only a replica that knows its master, and unless told otherwise has a link to it.
    pub fn failover(&mut self, now: Now, kind: FailoverKind, by_master: bool) -> Done {
        if self.is_master() {
            return Err(CommandError::FailoverOnMaster);
        }
        let master = self.my_master().ok_or(CommandError::MasterUnknown)?;
        let link = self
            .link_to(master)
            .filter(|_| !self.table[master].is(NodeFlags::FAIL));
        if kind == FailoverKind::Coordinated && link.is_none() {
            return Err(CommandError::MasterDown);
        }
        self.begin_manual_failover(now, kind == FailoverKind::Force);
        match (kind, link) {
            (FailoverKind::Coordinated, Some(link)) => {
                self.log(
                    LogLevel::Notice,
                    format_args!("Manual failover user request accepted."),
                );
                self.send(link, Body::ManualFailoverStart);
            }
            (FailoverKind::Takeover, _) => {
                self.log(
                    LogLevel::Notice,
                    format_args!("Taking over the primary (user request)."),
                );
                self.renew_config_epoch();
                self.take_over(now);
            }
            _ => {
                let who = if by_master { "primary" } else { "user" };
                let text = format_args!("Forced failover {who} request accepted.");
                self.log(LogLevel::Notice, text);
            }
        }
        self.end_call(now);
        Ok(())
    }

    /// CLUSTER SET-CONFIG-EPOCH, for nodes that have never met another one.
    ///
    /// # Errors
    /// Negative, too late, or a second time.
    pub fn set_config_epoch(&mut self, now: Now, epoch: i64) -> Done {
        let Ok(unsigned) = u64::try_from(epoch) else {
            return Err(CommandError::BadConfigEpoch(epoch));
        };
        if self.table.len() > 1 {
            return Err(CommandError::EpochKnowsOthers);
        }
        if self.config_epoch() != 0 {
            return Err(CommandError::EpochAlreadySet);
        }
        self.table.me_mut().config_epoch = unsigned;
        self.log(
            LogLevel::Warning,
            format_args!("configEpoch set to {unsigned} via CLUSTER SET-CONFIG-EPOCH"),
        );
        self.raise_current_epoch(unsigned);
        self.say_epoch();
        self.saved(now)
    }

    /// CLUSTER RESET.
    ///
    /// # Errors
    /// A master must be empty.
    pub fn reset(&mut self, now: Now, kind: ResetKind, db_is_empty: bool) -> Done {
        if self.is_master() && !db_is_empty {
            return Err(CommandError::ResetWithKeys);
        }
        let myself = self.table.myself();
        if self.is_master() {
            self.table.close_all();
            self.move_to_new_shard();
        } else {
            self.become_empty_master();
        }
        self.reset_manual_failover();
        self.election.reset();
        self.blacklist.clear();
        for slot in Slot::all() {
            self.table.set_owner(slot, None);
        }
        for key in self.table.keys().into_iter().filter(|key| *key != myself) {
            self.forget_peer(now, key);
        }
        if kind == ResetKind::Hard {
            (self.current_epoch, self.said_epoch, self.last_vote_epoch) = (0, 0, 0);
            self.table.me_mut().config_epoch = 0;
            self.log(
                LogLevel::Warning,
                format_args!("configEpoch set to 0 via CLUSTER RESET HARD"),
            );
            let id = NodeId::random(&mut self.rng);
            self.table.rename(myself, id);
            self.log(
                LogLevel::Notice,
                format_args!("Node hard reset, now I'm {id}"),
            );
        }
        self.saved(now)
    }

    fn saved(&mut self, now: Now) -> Done {
        self.todo.save = true;
        self.asked = true;
        self.todo.update_state = true;
        self.end_call(now);
        Ok(())
    }

    fn known(&self, id: &str) -> Option<PeerKey> {
        NodeId::parse(id.as_bytes()).and_then(|id| self.table.find(id))
    }

    pub(super) fn named(&self, id: &str) -> Result<PeerKey, CommandError> {
        self.known(id)
            .ok_or_else(|| CommandError::UnknownNode(id.to_owned()))
    }
}
