//! The CLUSTER command as clients type it: words in, a reply or an error out. What the verbs do is in `commands`.

use std::net::IpAddr;

use super::commands::SlotsChange;
use super::commands::{CommandError, FailoverKind, ResetKind, SlotChange};
use super::io::{Caller, Facts, LogLevel};
use super::reply::Reply;
use super::state::Node;
use crate::{BUS_PORT_OFFSET, Now, Slot, key_slot};

/// What a slot has cost since its counters were reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotUsage {
    /// Microseconds of commands.
    pub cpu_usec: u64,
    /// Bytes of requests.
    pub bytes_in: u64,
    /// Bytes of replies and of what went to replicas.
    pub bytes_out: u64,
}

/// What CLUSTER has to ask the server about its keys.
pub trait Keyspace {
    /// Whether there is no key at all, in any database.
    fn is_empty(&self) -> bool;
    /// How many keys a slot has, in all databases.
    fn count_keys_in_slot(&self, slot: Slot) -> u64;
    /// How many keys a slot has in the database that the client selected.
    fn count_selected(&self, slot: Slot) -> u64 {
        self.count_keys_in_slot(slot)
    }
    /// At most `max` keys of a slot in the database that the client selected.
    fn keys_in_slot(&self, slot: Slot, max: usize) -> Vec<Vec<u8>>;
    /// What a slot has cost; `None` where that is not counted.
    fn usage_of_slot(&self, _slot: Slot) -> Option<SlotUsage> {
        None
    }
}

/// How long replicas may take to follow a SETSLOT, unless it says.
const SETSLOT_TIMEOUT_MS: u64 = 2000;

pub(super) type Outcome = Result<Reply, CommandError>;

impl Node {
    /// Runs CLUSTER with these arguments (the word CLUSTER itself is not among them).
    ///
    /// # Errors
    /// The error reply, without `-ERR `.
    pub fn command(
        &mut self,
        now: Now,
        facts: Facts,
        caller: Caller,
        args: &[&[u8]],
        keys: &dyn Keyspace,
    ) -> Outcome {
        self.facts = facts;
        let Some((word, rest)) = args.split_first() else {
            return Err(CommandError::wrong_subcommand(b""));
        };
        let verb = word.to_ascii_lowercase();
        if let Some(outcome) = self.question(now, caller, &verb, rest, keys) {
            return outcome;
        }
        match (verb.as_slice(), rest) {
            (b"meet", [ip, port]) => self.command_meet(now, ip, port, None),
            (b"meet", [ip, port, bus]) => self.command_meet(now, ip, port, Some(bus)),
            (b"flushslots", []) => self.flush_slots(now, keys.is_empty()).map(ok),
            (b"addslots", [_, ..]) => self.command_slots(now, rest, SlotsChange::Add),
            (b"delslots", [_, ..]) => self.command_slots(now, rest, SlotsChange::Del),
            (b"addslotsrange", [_, ..]) => self.command_ranges(now, rest, SlotsChange::Add),
            (b"delslotsrange", [_, ..]) => self.command_ranges(now, rest, SlotsChange::Del),
            (b"setslot", [slot, action, more @ ..]) => {
                self.command_setslot(now, caller, (*slot, *action), more, keys)
            }
            (b"flushslot", [slot]) => self.command_flush_slot(now, slot, None),
            (b"flushslot", [slot, how]) => self.command_flush_slot(now, slot, Some(how)),
            (b"bumpepoch", []) => {
                let (bumped, epoch) = self.bump_epoch(now);
                let word = if bumped { "BUMPED" } else { "STILL" };
                Ok(Reply::Status(format!("{word} {epoch}")))
            }
            (b"saveconfig", []) => {
                self.save_config(now);
                Ok(Reply::Ok)
            }
            (b"forget", [id]) => self.forget(now, &text(id)).map(ok),
            (b"replicate", [id]) => self.replicate(now, &text(id), keys.is_empty()).map(ok),
            (b"replicate", [no, one])
                if no.eq_ignore_ascii_case(b"no") && one.eq_ignore_ascii_case(b"one") =>
            {
                self.replicate_no_one(now);
                Ok(Reply::Ok)
            }
            (b"failover", options) => self.command_failover(now, caller, options),
            (b"set-config-epoch", [epoch]) => self.set_config_epoch(now, integer(epoch)?).map(ok),
            (b"reset", [] | [_]) => self
                .reset(now, reset_kind(rest.first())?, keys.is_empty())
                .map(ok),
            _ => Err(CommandError::wrong_subcommand(word)),
        }
    }

    /// The verbs that change nothing; `None` if it is none of them.
    fn question(
        &mut self,
        now: Now,
        caller: Caller,
        verb: &[u8],
        rest: &[&[u8]],
        keys: &dyn Keyspace,
    ) -> Option<Outcome> {
        let reply = match (verb, rest) {
            (b"nodes", []) => Reply::Verbatim(self.cluster_nodes(caller)),
            (b"myid", []) => Reply::text(&self.my_id()),
            (b"myshardid", []) => Reply::text(&self.my_shard()),
            (b"slots", []) => self.cluster_slots(caller),
            (b"shards", []) => self.cluster_shards(caller),
            (b"links", []) => self.cluster_links(),
            (b"info", []) => Reply::Verbatim(self.cluster_info()),
            (b"keyslot", [key]) => Reply::Integer(key_slot(key).number().into()),
            (b"slaves" | b"replicas", [id]) => return Some(self.replicas_of(caller, &text(id))),
            (b"count-failure-reports", [id]) => {
                let count = self.count_failure_reports(now, &text(id));
                return Some(count.map(Reply::number));
            }
            (b"countkeysinslot", [slot]) => return Some(count_keys(slot, keys)),
            (b"getkeysinslot", [slot, max]) => return Some(get_keys(slot, max, keys)),
            (b"slot-stats", [how, rest @ ..]) => return self.slot_stats(how, rest, keys),
            _ => return None,
        };
        Some(Ok(reply))
    }

    fn command_meet(&mut self, now: Now, ip: &[u8], port: &[u8], bus: Option<&&[u8]>) -> Outcome {
        let number = integer(port).map_err(|_| CommandError::BadPort(text(port)))?;
        let port_number = in_range(number).ok_or(CommandError::PortOutOfRange)?;
        let bus_number = match bus {
            Some(word) => integer(word).map_err(|_| CommandError::BadBusPort(text(word)))?,
            None => number + i64::from(BUS_PORT_OFFSET),
        };
        let bus_port = in_range(bus_number).ok_or(CommandError::BusPortOutOfRange)?;
        match text(ip).parse::<IpAddr>() {
            Ok(ip) if self.meet_at(now, ip, port_number, bus_port) => Ok(Reply::Ok),
            _ => Err(CommandError::BadAddress(text(ip), text(port))),
        }
    }

    fn command_slots(&mut self, now: Now, args: &[&[u8]], change: SlotsChange) -> Outcome {
        let slots: Vec<Slot> = args
            .iter()
            .map(|arg| slot_of(arg))
            .collect::<Result<_, _>>()?;
        self.change_slots(now, &slots, change).map(ok)
    }

    fn command_ranges(&mut self, now: Now, args: &[&[u8]], change: SlotsChange) -> Outcome {
        if !args.len().is_multiple_of(2) {
            return Err(CommandError::RangeArity(change.range_verb()));
        }
        let mut slots = Vec::new();
        for pair in args.chunks_exact(2) {
            let (first, last) = (slot_of(pair[0])?, slot_of(pair[1])?);
            if first > last {
                return Err(CommandError::BadRange(first, last));
            }
            let range = Slot::all().skip(first.index());
            slots.extend(range.take(last.index() - first.index() + 1));
            // The first problem is the one that is told, and the same range over and over does not fill the memory.
            self.check_slots(&slots, change)?;
        }
        self.change_slots(now, &slots, change).map(ok)
    }

    fn command_setslot(
        &mut self,
        now: Now,
        caller: Caller,
        (slot, action): (&[u8], &[u8]),
        more: &[&[u8]],
        keys: &dyn Keyspace,
    ) -> Outcome {
        let done = match self.read_setslot(caller, (slot, action), more) {
            Ok((slot, change, _)) => {
                self.set_slot(now, slot, &change, keys.count_keys_in_slot(slot))
            }
            Err(error) => Err(error),
        };
        match done {
            // It could be done when our master did it. Roles may have changed since; who owns what now is told over the bus.
            Err(error) if caller.is_master => {
                let text = format_args!("SETSLOT of the primary is left out: {error}");
                self.log(LogLevel::Notice, text);
                self.end_call(now);
                Ok(Reply::Ok)
            }
            done => done.map(ok),
        }
    }

    /// Whether CLUSTER with these arguments, which begin with SETSLOT, would do it now, and how long the replicas may take to do it
    /// first, milliseconds; 0: as long as they need.
    ///
    /// # Errors
    /// The error reply, without `-ERR `.
    pub fn check_setslot(
        &mut self,
        facts: Facts,
        caller: Caller,
        args: &[&[u8]],
        keys: &dyn Keyspace,
    ) -> Result<u64, CommandError> {
        self.facts = facts;
        let [_, slot, action, more @ ..] = args else {
            return Err(CommandError::BadSetSlot);
        };
        let (slot, change, timeout_ms) = self.read_setslot(caller, (slot, action), more)?;
        self.check_slot_change(slot, &change, keys.count_keys_in_slot(slot))?;
        Ok(timeout_ms)
    }

    fn read_setslot(
        &self,
        caller: Caller,
        (slot, action): (&[u8], &[u8]),
        more: &[&[u8]],
    ) -> Result<(Slot, SlotChange, u64), CommandError> {
        if self.is_replica() && !caller.is_master {
            return Err(CommandError::SetSlotOnReplica);
        }
        if self.facts.importing_slots {
            return Err(CommandError::ImportsSlots);
        }
        if self.facts.exporting_slots {
            return Err(CommandError::ExportsSlots);
        }
        let slot = slot_of(slot)?;
        let (change, options) = match (action.to_ascii_lowercase().as_slice(), more) {
            (b"migrating", [id, options @ ..]) => (SlotChange::Migrating(text(id)), options),
            (b"importing", [id, options @ ..]) => (SlotChange::Importing(text(id)), options),
            (b"stable", options) => (SlotChange::Stable, options),
            (b"node", [id, options @ ..]) => (SlotChange::Node(text(id)), options),
            _ => return Err(CommandError::BadSetSlot),
        };
        Ok((slot, change, timeout_of(options)?))
    }

    fn command_flush_slot(&mut self, now: Now, slot: &[u8], how: Option<&&[u8]>) -> Outcome {
        let slot = slot_of(slot)?;
        if !how.is_none_or(|word| {
            word.eq_ignore_ascii_case(b"async") || word.eq_ignore_ascii_case(b"sync")
        }) {
            return Err(CommandError::Syntax);
        }
        self.flush_slot(now, slot);
        Ok(Reply::Ok)
    }

    /// CLUSTER FAILOVER [FORCE|TAKEOVER]; a master that goes adds REPLICAID, and means one of its replicas only.
    fn command_failover(&mut self, now: Now, caller: Caller, options: &[&[u8]]) -> Outcome {
        let mut kind = FailoverKind::Coordinated;
        let mut meant = None;
        let mut words = options.iter();
        while let Some(word) = words.next() {
            match word.to_ascii_lowercase().as_slice() {
                b"force" if kind != FailoverKind::Takeover => kind = FailoverKind::Force,
                b"force" => {}
                b"takeover" => kind = FailoverKind::Takeover,
                b"replicaid" if caller.is_master => {
                    meant = Some(text(words.next().ok_or(CommandError::Syntax)?));
                }
                _ => return Err(CommandError::Syntax),
            }
        }
        if meant.is_some_and(|id| id != self.my_id().to_string()) {
            return Ok(Reply::Ok);
        }
        self.failover(now, kind, caller.is_master).map(ok)
    }
}

fn count_keys(slot: &[u8], keys: &dyn Keyspace) -> Outcome {
    let slot = slot_number(integer(slot)?).ok_or(CommandError::InvalidSlot)?;
    Ok(Reply::number(keys.count_selected(slot)))
}

fn get_keys(slot: &[u8], max: &[u8], keys: &dyn Keyspace) -> Outcome {
    match (slot_number(integer(slot)?), usize::try_from(integer(max)?)) {
        (Some(slot), Ok(max)) => {
            let found = keys.keys_in_slot(slot, max).into_iter();
            Ok(Reply::Array(found.map(Reply::Bulk).collect()))
        }
        _ => Err(CommandError::InvalidSlotOrCount),
    }
}

/// `TIMEOUT milliseconds` behind a SETSLOT: how long its replicas may take to follow.
fn timeout_of(options: &[&[u8]]) -> Result<u64, CommandError> {
    let mut words = options.iter();
    let mut timeout_ms = SETSLOT_TIMEOUT_MS;
    while let Some(word) = words.next() {
        if !word.eq_ignore_ascii_case(b"timeout") {
            continue;
        }
        let value = words.next().ok_or(CommandError::NoTimeout)?;
        let value = integer(value).map_err(|_| CommandError::BadTimeout)?;
        timeout_ms = u64::try_from(value).map_err(|_| CommandError::NegativeTimeout)?;
    }
    Ok(timeout_ms)
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

pub(super) fn text(arg: &[u8]) -> String {
    String::from_utf8_lossy(arg).into_owned()
}

fn slot_number(number: i64) -> Option<Slot> {
    u16::try_from(number).ok().and_then(Slot::new)
}

pub(super) fn slot_of(arg: &[u8]) -> Result<Slot, CommandError> {
    integer(arg)
        .ok()
        .and_then(slot_number)
        .ok_or(CommandError::BadSlot)
}

fn in_range(port: i64) -> Option<u16> {
    u16::try_from(port).ok().filter(|port| *port > 0)
}

/// A number as today's servers read arguments.
pub(super) fn integer(arg: &[u8]) -> Result<i64, CommandError> {
    let plain = arg.first().is_some_and(|c| *c != b'+');
    std::str::from_utf8(arg)
        .ok()
        .filter(|_| plain)
        .and_then(|text| text.parse().ok())
        .ok_or(CommandError::NotAnInteger)
}
