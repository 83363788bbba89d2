//! CLUSTER MIGRATESLOTS, CANCELSLOTMIGRATIONS, GETSLOTMIGRATIONS and SYNCSLOTS, and DEBUG SLOTMIGRATION.

use cluster_bus::{Node, NodeId, Slot};
use commands::args::Reader;
use commands::{Args, Done, Error, args};

use super::NAME_CHARS;
use crate::cluster::DISABLED;
use crate::keeper::migrations::{Export, Job, Ranges, State, slots_of};
use crate::{ClientId, Engine};

const BAD_SLOT: Error = Error::text("ERR Invalid or out of range slot");

/// Reads `start end [start end …]`, up to the first word that is no number. They have one owner.
fn read_ranges(node: &Node, reader: &mut Reader<'_>) -> Result<(Ranges, NodeId), Error> {
    let mut list: Vec<(Slot, Slot)> = Vec::new();
    let mut owner = None;
    while reader.peek().is_some_and(|word| args::int(word).is_ok()) {
        let first = read_slot(reader.word()?)?;
        let last = reader
            .word()
            .map_err(|_| Error::text("ERR No end slot for final slot range"))?;
        let last = read_slot(last)?;
        if first > last {
            return Err(Error::owned(format!(
                "ERR Start slot number {first} is greater than end slot number {last}."
            )));
        }
        for slot in slots_of((first, last)) {
            let Some(id) = node.owner(slot) else {
                return Err(Error::owned(format!("ERR Slot {slot} has no node served.")));
            };
            if *owner.get_or_insert(id) != id {
                return Err(Error::text("ERR Requested slots span multiple shards"));
            }
        }
        let crossed = list.iter().find(|(from, to)| last >= *from && first <= *to);
        if let Some((from, to)) = crossed {
            return Err(Error::owned(format!(
                "ERR Slot range {first}-{last} overlaps with previous range {from}-{to}."
            )));
        }
        list.push((first, last));
    }
    let owner = owner.ok_or(Error::text("ERR No slot ranges specified"))?;
    Ok((Ranges::new(list), owner))
}

fn read_slot(word: &[u8]) -> Result<Slot, Error> {
    let number = args::int(word).map_err(|_| BAD_SLOT)?;
    let slot = u16::try_from(number).ok().and_then(Slot::new);
    slot.ok_or(BAD_SLOT)
}

fn read_id(word: &[u8]) -> Option<NodeId> {
    NodeId::parse(word)
}

/// Whether slots can be moved whole from or to this node now.
fn check_start(node: &Node) -> Result<(), Error> {
    if node.is_replica() {
        return Err(Error::text(
            "ERR Slot migration can only be used on primary nodes.",
        ));
    }
    match node.moves_by_hand() {
        (true, _) => Err(Error::text("ERR Slots are being manually imported")),
        (_, true) => Err(Error::text("ERR Slots are being manually migrated")),
        _ => Ok(()),
    }
}

/// CLUSTER MIGRATESLOTS SLOTSRANGE start end [start end …] NODE id [SLOTSRANGE … NODE …]
pub(crate) fn migrate(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let groups = read_groups(engine, &args[2..])?;
    let who = engine.client_line(id);
    for (slots, target) in groups {
        let name = engine.shard.rng.hex(NAME_CHARS);
        let job = engine.start_export(name, slots, target);
        if let Some(job) = engine.keeper.migrations.job(job) {
            tracing::info!(
                "Slot migration initiated through CLUSTER MIGRATESLOTS command: {} (user request from '{who}')",
                job.description()
            );
        }
    }
    engine.sessions.clients[id].out.ok();
    Ok(())
}

fn read_groups(engine: &Engine, words: Args<'_>) -> Result<Vec<(Ranges, NodeId)>, Error> {
    let node = engine.keeper.cluster.as_deref().ok_or(DISABLED)?;
    check_start(node)?;
    let mut groups: Vec<(Ranges, NodeId)> = Vec::new();
    let mut reader = Reader::from(words, 0);
    while !reader.is_empty() {
        // valkey-cli 9.1 sends the byte behind the word, too.
        if !reader.takes("SLOTSRANGE") && !reader.takes("SLOTSRANGE\0") {
            return Err(Error::Syntax);
        }
        let (slots, owner) = read_ranges(node, &mut reader)?;
        if owner != node.my_id() {
            return Err(Error::text("ERR Slots are not served by this node."));
        }
        let moved = |slot: &Slot| engine.keeper.migrations.exports(*slot);
        let moved = slots.slots().find(moved);
        if let Some(slot) = moved {
            return Err(Error::owned(format!(
                "ERR I am already migrating slot {slot}."
            )));
        }
        if groups.iter().any(|(other, _)| other.overlaps(&slots)) {
            return Err(Error::text("ERR Slot ranges in migrations overlap"));
        }
        if !reader.takes_with("NODE", 1) {
            return Err(Error::Syntax);
        }
        let word = reader.word()?;
        if word.len() != NAME_CHARS {
            return Err(Error::quoting("ERR Invalid node name: ", word, ""));
        }
        let target = read_id(word).filter(|id| node.knows(*id));
        let target = target.ok_or_else(|| Error::quoting("ERR Unknown node name: ", word, ""))?;
        if target == node.my_id() {
            return Err(Error::text("ERR Target node can not be this node."));
        }
        groups.push((slots, target));
    }
    Ok(groups)
}

/// CLUSTER CANCELSLOTMIGRATIONS
pub(crate) fn cancel(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    if engine.keeper.cluster.is_none() {
        return Err(DISABLED);
    }
    let exporting = |job: &Job| !job.is_import() && job.state.is_going();
    let jobs = engine.keeper.migrations.ids(exporting);
    if jobs.is_empty() {
        return Err(Error::text("ERR No migrations ongoing"));
    }
    for job in jobs {
        engine.finish_migration(job, State::Cancelled, None);
    }
    let who = engine.client_line(id);
    tracing::info!("Canceled all in progress slot migrations (user request from '{who}')");
    engine.sessions.clients[id].out.ok();
    Ok(())
}

/// CLUSTER GETSLOTMIGRATIONS
pub(crate) fn report(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    if engine.keeper.cluster.is_none() {
        return Err(DISABLED);
    }
    let out = &mut engine.sessions.clients[id].out;
    let jobs = &engine.keeper.migrations.jobs;
    out.array(jobs.len());
    for job in jobs {
        let operation = if job.is_import() { "IMPORT" } else { "EXPORT" };
        out.map(if job.nodes.is_some() { 12 } else { 10 });
        out.bulk("name");
        out.bulk(&job.name);
        out.bulk("operation");
        out.bulk(operation);
        out.bulk("slot_ranges");
        out.bulk(job.slots.to_string());
        if let Some((source, target)) = job.nodes {
            out.bulk("target_node");
            out.bulk(target.to_string());
            out.bulk("source_node");
            out.bulk(source.to_string());
        }
        let behind = job.export().map_or(0, Export::behind);
        for (name, number) in [
            ("create_time", job.created_s),
            ("last_update_time", job.updated_s),
            ("last_ack_time", job.acked_s),
        ] {
            out.bulk(name);
            out.int(i64::try_from(number).unwrap_or(i64::MAX));
        }
        out.bulk("state");
        out.bulk(job.state.name());
        out.bulk("message");
        out.bulk(job.message.as_deref().unwrap_or_default());
        for (name, number) in [
            ("cow_size", job.copied_bytes),
            ("remaining_repl_size", behind),
        ] {
            out.bulk(name);
            out.int(i64::try_from(number).unwrap_or(i64::MAX));
        }
    }
    Ok(())
}

/// CLUSTER SYNCSLOTS word …: what the two sides of a migration say to each other, and a primary to its replicas.
pub(crate) fn sync(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    if engine.keeper.cluster.is_none() {
        return Err(DISABLED);
    }
    let word = args[2].to_ascii_uppercase();
    match word.as_slice() {
        b"ESTABLISH" => establish(engine, id, args),
        b"FINISH" => finish(engine, id, args),
        // Those are for the primary.
        _ if engine.sessions.clients[id].flags.master => Ok(()),
        b"CAPA" if engine.sessions.clients[id].flags.imports => {
            engine.hear_source(args);
            Ok(())
        }
        _ if engine.import_told(id, &word) => Ok(()),
        b"CAPA" => Ok(()),
        b"SNAPSHOT-EOF" | b"REQUEST-PAUSE" | b"PAUSED" | b"REQUEST-FAILOVER"
        | b"FAILOVER-GRANTED" | b"ACK" => {
            let word = String::from_utf8_lossy(&word).into_owned();
            Err(Error::owned(format!(
                "ERR CLUSTER SYNCSLOTS {word} should only be used by slot migration clients"
            )))
        }
        _ => Err(Error::Syntax),
    }
}

/// What ESTABLISH says.
#[derive(Default)]
struct Told {
    source: Option<NodeId>,
    name: Option<String>,
    slots: Option<(Ranges, NodeId)>,
}

fn read_establish(engine: &Engine, words: Args<'_>, followed: bool) -> Result<Told, Error> {
    let node = engine.keeper.cluster.as_deref().ok_or(DISABLED)?;
    let mut told = Told::default();
    let mut reader = Reader::from(words, 0);
    while !reader.is_empty() {
        if told.source.is_none() && reader.takes_with("SOURCE", 1) {
            let word = reader.word()?;
            if word.len() != NAME_CHARS {
                return Err(Error::Syntax);
            }
            // Who only follows may know other nodes than the primary did when it wrote this.
            if followed {
                continue;
            }
            let source = read_id(word).filter(|id| node.knows(*id));
            let unknown = Error::text("ERR Target node does not know the source node");
            let source = source.ok_or(unknown)?;
            if source == node.my_id() {
                return Err(Error::text("ERR Source node is target node itself"));
            }
            told.source = Some(source);
        } else if told.name.is_none() && reader.takes_with("NAME", 1) {
            let word = reader.word()?;
            let name = std::str::from_utf8(word).ok();
            let name = name.filter(|name| {
                name.len() == NAME_CHARS && name.bytes().all(|byte| byte.is_ascii_graphic())
            });
            told.name = Some(name.ok_or(Error::Syntax)?.to_owned());
        } else if told.slots.is_none() && reader.takes("SLOTSRANGE") {
            let slots = if followed {
                (read_followed(&mut reader)?, node.my_id())
            } else {
                read_ranges(node, &mut reader)?
            };
            if slots
                .0
                .slots()
                .any(|slot| engine.keeper.migrations.imports(slot))
            {
                return Err(Error::text(
                    "ERR Slot is already being imported on the target by a different migration",
                ));
            }
            told.slots = Some(slots);
        } else {
            return Err(Error::Syntax);
        }
    }
    Ok(told)
}

/// The slots of an import that is followed: nobody asks here whose they are.
fn read_followed(reader: &mut Reader<'_>) -> Result<Ranges, Error> {
    let mut list = Vec::new();
    while reader.peek().is_some_and(|word| args::int(word).is_ok()) {
        let (first, last) = (read_slot(reader.word()?)?, read_slot(reader.word()?)?);
        if first > last {
            return Err(BAD_SLOT);
        }
        list.push((first, last));
    }
    if list.is_empty() {
        return Err(Error::text("ERR No slot ranges specified"));
    }
    Ok(Ranges::new(list))
}

/// CLUSTER SYNCSLOTS ESTABLISH SOURCE id NAME name SLOTSRANGE start end …
fn establish(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let followed = engine.sessions.clients[id].flags.master || engine.journal.replaying;
    if !followed {
        check_start(engine.keeper.cluster.as_deref().ok_or(DISABLED)?)?;
    }
    let told = read_establish(engine, &args[3..], followed)?;
    let (Some(name), Some((slots, owner))) = (told.name, told.slots) else {
        return Err(Error::Syntax);
    };
    if followed {
        engine.follow_import(name, slots);
    } else {
        let source = told.source.ok_or(Error::Syntax)?;
        if source != owner {
            return Err(Error::text(
                "ERR Target node does not agree about current slot ownership",
            ));
        }
        engine.start_import(id, name, slots, source);
    }
    engine.sessions.clients[id].out.ok();
    engine.propagate(0, args);
    Ok(())
}

/// CLUSTER SYNCSLOTS FINISH STATE state NAME name [MESSAGE message]
fn finish(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let (mut state, mut name, mut message) = (None, None, None);
    let mut reader = Reader::from(&args[3..], 0);
    while !reader.is_empty() {
        let word = if state.is_none() && reader.takes_with("STATE", 1) {
            &mut state
        } else if name.is_none() && reader.takes_with("NAME", 1) {
            &mut name
        } else if message.is_none() && reader.takes_with("MESSAGE", 1) {
            &mut message
        } else {
            return Err(Error::Syntax);
        };
        *word = Some(String::from_utf8_lossy(reader.word()?).into_owned());
    }
    let (Some(state), Some(name)) = (state, name) else {
        return Err(Error::Syntax);
    };
    let end = match state.to_ascii_lowercase().as_str() {
        "success" => State::Success,
        "failed" => State::Failed,
        _ => return Err(Error::Syntax),
    };
    let followed = engine.sessions.clients[id].flags.master || engine.journal.replaying;
    let known = engine.keeper.migrations.ids(|job| job.name == name);
    let job = known.first().copied();
    let job = job.ok_or(Error::text("ERR No such slot migration job"))?;
    if !followed {
        return Err(Error::text(
            "ERR CLUSTER SYNCSLOTS FINISH is only taken from a primary",
        ));
    }
    engine.finish_migration(job, end, message.as_deref());
    engine.sessions.clients[id].out.ok();
    engine.propagate(0, args);
    Ok(())
}

/// DEBUG SLOTMIGRATION PREVENT-PAUSE|PREVENT-FAILOVER 0|1
pub(crate) fn debug(engine: &mut Engine, args: Args<'_>) -> Done {
    let [_, _, what, on] = *args else {
        return Err(Error::Syntax);
    };
    let on = resp::number::scan_integer(on).value != 0;
    match what.to_ascii_lowercase().as_slice() {
        b"prevent-pause" => engine.keeper.migrations.prevent_pause = on,
        b"prevent-failover" => engine.keeper.migrations.prevent_failover = on,
        _ => return Err(Error::Syntax),
    }
    Ok(())
}
