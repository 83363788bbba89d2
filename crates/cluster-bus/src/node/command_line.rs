//! The CLUSTER command as clients type it: words in, a reply or an error out. What the verbs do is in `commands`.

use std::net::IpAddr;

use super::commands::SlotsChange;
use super::queries::SlotRange;
use super::{CommandError, Facts, FailoverKind, Node, ResetKind, SlotChange};
use crate::{Now, Slot, key_slot};

/// What CLUSTER has to ask the server about its keys. In cluster mode there is one database.
pub trait Keyspace {
    /// Whether there is no key at all.
    fn is_empty(&self) -> bool;
    /// How many keys a slot has.
    fn count_keys_in_slot(&self, slot: Slot) -> u64;
    /// At most `max` keys of a slot.
    fn keys_in_slot(&self, slot: Slot, max: usize) -> Vec<Vec<u8>>;
}

/// A reply, to be written as RESP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `+OK`
    Ok,
    /// A status line.
    Status(String),
    /// A bulk string.
    Bulk(String),
    /// An integer.
    Integer(i64),
    /// An array of bulk strings.
    Strings(Vec<Vec<u8>>),
    /// CLUSTER SLOTS: per range an array of first slot, last slot, and one `[ip, port]` per node.
    Slots(Vec<SlotRange>),
}

type Outcome = Result<Reply, CommandError>;

impl Node {
    /// Runs CLUSTER with these arguments (the word CLUSTER itself is not among them).
    ///
    /// # Errors
    /// The error reply, without `-ERR `.
    pub fn command(
        &mut self,
        now: Now,
        facts: Facts,
        args: &[&[u8]],
        keys: &dyn Keyspace,
    ) -> Outcome {
        self.facts = facts;
        let Some((verb, rest)) = args.split_first() else {
            return Err(CommandError::WrongSubcommand);
        };
        let verb = verb.to_ascii_lowercase();
        match (verb.as_slice(), rest) {
            (b"meet", [ip, port]) => self.command_meet(now, ip, port),
            (b"nodes", []) => Ok(Reply::Bulk(self.cluster_nodes())),
            (b"myid", []) => Ok(Reply::Bulk(self.my_id().to_string())),
            (b"slots", []) => Ok(Reply::Slots(self.cluster_slots())),
            (b"info", []) => Ok(Reply::Bulk(self.cluster_info())),
            (b"flushslots", []) => self.flush_slots(now, keys.is_empty()).map(ok),
            (b"addslots", [_, ..]) => self.command_slots(now, rest, SlotsChange::Add),
            (b"delslots", [_, ..]) => self.command_slots(now, rest, SlotsChange::Del),
            (b"setslot", [slot, action, more @ ..]) => {
                self.command_setslot(now, slot, action, more, keys)
            }
            (b"bumpepoch", []) => {
                let (bumped, epoch) = self.bump_epoch(now);
                Ok(Reply::Status(format!(
                    "{} {epoch}",
                    if bumped { "BUMPED" } else { "STILL" }
                )))
            }
            (b"saveconfig", []) => {
                self.save_config(now);
                Ok(Reply::Ok)
            }
            (b"keyslot", [key]) => Ok(Reply::Integer(key_slot(key).number().into())),
            (b"countkeysinslot", [slot]) => {
                let slot = slot_of(integer(slot)?).ok_or(CommandError::InvalidSlot)?;
                Ok(Reply::Integer(
                    i64::try_from(keys.count_keys_in_slot(slot)).unwrap_or(i64::MAX),
                ))
            }
            (b"getkeysinslot", [slot, max]) => command_getkeys(integer(slot)?, integer(max)?, keys),
            (b"forget", [id]) => self.forget(now, &text(id)).map(ok),
            (b"replicate", [id]) => self.replicate(now, &text(id), keys.is_empty()).map(ok),
            (b"slaves", [id]) => {
                let lines = self.slaves(&text(id))?;
                Ok(Reply::Strings(
                    lines.into_iter().map(String::into_bytes).collect(),
                ))
            }
            (b"count-failure-reports", [id]) => {
                let count = self.count_failure_reports(now, &text(id))?;
                Ok(Reply::Integer(i64::try_from(count).unwrap_or(i64::MAX)))
            }
            (b"failover", [] | [_]) => self.failover(now, failover_kind(rest.first())?).map(ok),
            (b"set-config-epoch", [epoch]) => self.set_config_epoch(now, integer(epoch)?).map(ok),
            (b"reset", [] | [_]) => self
                .reset(now, reset_kind(rest.first())?, keys.is_empty())
                .map(ok),
            _ => Err(CommandError::WrongSubcommand),
        }
    }

    fn command_meet(&mut self, now: Now, ip: &[u8], port: &[u8]) -> Outcome {
        let number = integer(port).map_err(|_| CommandError::BadPort(text(port)))?;
        let address = text(ip)
            .parse::<IpAddr>()
            .ok()
            .zip(u16::try_from(number).ok());
        match address {
            Some((ip, port)) if self.meet(now, ip, port) => Ok(Reply::Ok),
            _ => Err(CommandError::BadAddress(text(ip), text(port))),
        }
    }

    fn command_slots(&mut self, now: Now, args: &[&[u8]], change: SlotsChange) -> Outcome {
        let words = args
            .iter()
            .map_while(|arg| slot_of(integer(arg).unwrap_or(-1)));
        let slots: Vec<Slot> = words.collect();
        // The first problem of the list is the one that is told: before a word that is no slot, what is wrong with those slots.
        if slots.len() < args.len() {
            self.check_slots(&slots, change)?;
            return Err(CommandError::BadSlot);
        }
        match change {
            SlotsChange::Add => self.add_slots(now, &slots),
            SlotsChange::Del => self.del_slots(now, &slots),
        }
        .map(ok)
    }

    fn command_setslot(
        &mut self,
        now: Now,
        slot: &[u8],
        action: &[u8],
        more: &[&[u8]],
        keys: &dyn Keyspace,
    ) -> Outcome {
        if self.is_replica() {
            return Err(CommandError::SetSlotOnSlave);
        }
        let slot = slot_of(integer(slot).unwrap_or(-1)).ok_or(CommandError::BadSlot)?;
        let change = match (action.to_ascii_lowercase().as_slice(), more) {
            (b"migrating", [id]) => SlotChange::Migrating(text(id)),
            (b"importing", [id]) => SlotChange::Importing(text(id)),
            (b"stable", []) => SlotChange::Stable,
            (b"node", [id]) => SlotChange::Node(text(id)),
            _ => return Err(CommandError::BadSetSlot),
        };
        self.set_slot(now, slot, &change, keys.count_keys_in_slot(slot))
            .map(ok)
    }
}

fn command_getkeys(slot: i64, max: i64, keys: &dyn Keyspace) -> Outcome {
    match (slot_of(slot), usize::try_from(max)) {
        (Some(slot), Ok(max)) => Ok(Reply::Strings(keys.keys_in_slot(slot, max))),
        _ => Err(CommandError::InvalidSlotOrCount),
    }
}

fn failover_kind(word: Option<&&[u8]>) -> Result<FailoverKind, CommandError> {
    match word.map(|word| word.to_ascii_lowercase()).as_deref() {
        None => Ok(FailoverKind::Coordinated),
        Some(b"force") => Ok(FailoverKind::Force),
        Some(b"takeover") => Ok(FailoverKind::Takeover),
        Some(_) => Err(CommandError::Syntax),
    }
}

fn reset_kind(word: Option<&&[u8]>) -> Result<ResetKind, CommandError> {
    match word.map(|word| word.to_ascii_lowercase()).as_deref() {
        None | Some(b"soft") => Ok(ResetKind::Soft),
        Some(b"hard") => Ok(ResetKind::Hard),
        Some(_) => Err(CommandError::Syntax),
    }
}

fn ok((): ()) -> Reply {
    Reply::Ok
}

fn text(arg: &[u8]) -> String {
    String::from_utf8_lossy(arg).into_owned()
}

fn slot_of(number: i64) -> Option<Slot> {
    u16::try_from(number).ok().and_then(Slot::new)
}

/// A number as 3.0 reads arguments: with `strtoll`, to which nothing at all is 0.
fn integer(arg: &[u8]) -> Result<i64, CommandError> {
    if arg.is_empty() {
        return Ok(0);
    }
    std::str::from_utf8(arg)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(CommandError::NotAnInteger)
}
