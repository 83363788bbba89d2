//! The verbs of the CLUSTER command that change something, with the checks and error texts of 3.0. How they are
//! spelled on the command line is in `command_line`.

use std::net::IpAddr;

use super::{Event, LogLevel, Node, PeerKey};
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
    #[error("Invalid TCP port specified: {0}")]
    BadPort(String),
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
    #[error("Please use ADDSLOTS only with masters.")]
    AddSlotsOnSlave,
    #[error("Please use SETSLOT only with masters.")]
    SetSlotOnSlave,
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
    #[error("Invalid CLUSTER SETSLOT action or number of arguments")]
    BadSetSlot,
    #[error("I tried hard but I can't forget myself...")]
    ForgetMyself,
    #[error("Can't forget my master!")]
    ForgetMaster,
    #[error("Can't replicate myself")]
    ReplicateMyself,
    #[error("I can only replicate a master, not a slave.")]
    ReplicateSlave,
    #[error("To set a master the node must be empty and without assigned slots.")]
    NotEmpty,
    #[error("The specified node is not a master")]
    NotMaster,
    #[error("You should send CLUSTER FAILOVER to a slave")]
    FailoverOnMaster,
    #[error("I'm a slave but my master is unknown to me")]
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
    #[error("Wrong CLUSTER subcommand or number of arguments")]
    WrongSubcommand,
}

type Done = Result<(), CommandError>;

impl Node {
    /// CLUSTER MEET. False if that can be no address; a meeting that is under way already is fine.
    pub fn meet(&mut self, now: Now, ip: IpAddr, port: u16) -> bool {
        let started = self.start_handshake(now, Some(ip), port, 0);
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
            return Err(CommandError::AddSlotsOnSlave);
        }
        self.reassign(now, slots, SlotsChange::Add)
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

    /// CLUSTER SETSLOT. `keys` is how many keys of the slot the server holds.
    ///
    /// # Errors
    /// Wrong role, wrong owner, unknown node, or keys that would be orphaned.
    pub fn set_slot(&mut self, now: Now, slot: Slot, change: &SlotChange, keys: u64) -> Done {
        if !self.is_master() {
            return Err(CommandError::SetSlotOnSlave);
        }
        let mine = self.is_mine(slot);
        match change {
            SlotChange::Migrating(_) if !mine => return Err(CommandError::NotOwner(slot)),
            SlotChange::Importing(_) if mine => return Err(CommandError::AlreadyOwner(slot)),
            SlotChange::Migrating(to) => {
                let to = self
                    .known(to)
                    .ok_or_else(|| CommandError::DontKnow(to.clone()))?;
                self.table.migrating.insert(slot, to);
            }
            SlotChange::Importing(from) => {
                let from = self
                    .known(from)
                    .ok_or_else(|| CommandError::DontKnow(from.clone()))?;
                self.table.importing.insert(slot, from);
            }
            SlotChange::Stable => {
                self.table.importing.remove(&slot);
                self.table.migrating.remove(&slot);
            }
            SlotChange::Node(owner) => {
                let owner = self.named(owner)?;
                self.give_slot(slot, owner, keys)?;
            }
        }
        self.saved(now)
    }

    fn give_slot(&mut self, slot: Slot, owner: PeerKey, keys: u64) -> Done {
        let myself = self.table.myself();
        if self.is_mine(slot) && owner != myself && keys != 0 {
            return Err(CommandError::StillHasKeys(slot));
        }
        if !self.table[owner].is_master() {
            return Err(CommandError::TargetNotMaster);
        }
        if keys == 0 || owner != myself {
            self.table.migrating.remove(&slot);
        }
        // The end of a migration by hand: a new config epoch makes the new owner win against the old one everywhere.
        if owner == myself
            && self.table.importing.remove(&slot).is_some()
            && self.bump_config_epoch()
        {
            self.log(
                LogLevel::Warning,
                format_args!("configEpoch updated after importing slot {slot}"),
            );
        }
        self.table.set_owner(slot, Some(owner));
        Ok(())
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
        self.end_call(now);
    }

    /// CLUSTER FORGET.
    ///
    /// # Errors
    /// Neither this node nor its master can be forgotten.
    pub fn forget(&mut self, now: Now, id: &str) -> Done {
        let peer = self.named(id)?;
        if peer == self.table.myself() {
            return Err(CommandError::ForgetMyself);
        }
        if self.my_master() == Some(peer) {
            return Err(CommandError::ForgetMaster);
        }
        self.blacklist.add(now, self.table[peer].id);
        self.forget_peer(peer);
        self.saved(now)
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
            return Err(CommandError::ReplicateSlave);
        }
        if self.is_master() && (!self.me().slots().is_empty() || !db_is_empty) {
            return Err(CommandError::NotEmpty);
        }
        self.follow(peer);
        self.saved(now)
    }

    /// CLUSTER SLAVES: one line of CLUSTER NODES per replica.
    ///
    /// # Errors
    /// The node must be a master.
    pub fn slaves(&self, id: &str) -> Result<Vec<String>, CommandError> {
        let peer = self.named(id)?;
        if self.table[peer].is(NodeFlags::SLAVE) {
            return Err(CommandError::NotMaster);
        }
        Ok(self.table[peer]
            .replicas()
            .iter()
            .map(|key| self.describe(*key).to_string())
            .collect())
    }

    /// CLUSTER COUNT-FAILURE-REPORTS.
    ///
    /// # Errors
    /// The node must be known.
    pub fn count_failure_reports(&mut self, now: Now, id: &str) -> Result<usize, CommandError> {
        let peer = self.named(id)?;
        Ok(self.failure_reports(now, peer))
    }

    /// CLUSTER FAILOVER.
    ///
    /// # Errors
    /// Only a replica that knows its master, and unless told otherwise has a link to it.
    pub fn failover(&mut self, now: Now, kind: FailoverKind) -> Done {
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
                    LogLevel::Warning,
                    format_args!("Manual failover user request accepted."),
                );
                self.send(link, Body::ManualFailoverStart);
            }
            (FailoverKind::Takeover, _) => {
                self.log(
                    LogLevel::Warning,
                    format_args!("Taking over the master (user request)."),
                );
                self.bump_config_epoch();
                self.take_over(now);
            }
            _ => self.log(
                LogLevel::Warning,
                format_args!("Forced failover user request accepted."),
            ),
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
        if !self.is_master() {
            self.turn_into_master(myself);
            self.stop_replication();
            self.emit(Event::FlushAll);
        }
        self.reset_manual_failover();
        self.election.reset();
        self.table.migrating.clear();
        self.table.importing.clear();
        for slot in Slot::all() {
            self.table.set_owner(slot, None);
        }
        for key in self.table.keys().into_iter().filter(|key| *key != myself) {
            self.forget_peer(key);
        }
        if kind == ResetKind::Hard {
            (self.current_epoch, self.last_vote_epoch) = (0, 0);
            self.table.me_mut().config_epoch = 0;
            self.log(
                LogLevel::Warning,
                format_args!("configEpoch set to 0 via CLUSTER RESET HARD"),
            );
            let id = NodeId::random(&mut self.rng);
            self.table.rename(myself, id);
        }
        self.saved(now)
    }

    fn saved(&mut self, now: Now) -> Done {
        self.todo.save = true;
        self.todo.update_state = true;
        self.end_call(now);
        Ok(())
    }

    fn known(&self, id: &str) -> Option<PeerKey> {
        NodeId::parse(id.as_bytes()).and_then(|id| self.table.find(id))
    }

    fn named(&self, id: &str) -> Result<PeerKey, CommandError> {
        self.known(id)
            .ok_or_else(|| CommandError::UnknownNode(id.to_owned()))
    }
}
