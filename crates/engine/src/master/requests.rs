//! What replicas say: SYNC, PSYNC, and REPLCONF with its acknowledgements.

use cluster_bus::NodeId;
use commands::{Args, Done, Error, args};

use crate::journal::replicas::{Replica, ReplicaState};
use crate::{ClientId, Engine, filtered_dump};

/// The longest address that a replica may tell.
const MOST_IP_BYTES: usize = 255;

/// SYNC, PSYNC run-id offset
pub(crate) fn sync(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    if engine.sessions.clients[id].flags.replica {
        return Ok(());
    }
    if args.get(3).is_some_and(|word| args::is(word, "FAILOVER")) {
        take_over(engine, id, args[1])?;
    }
    if engine.keeper.failover.is_some() {
        return Err(Error::text("NOMASTERLINK Can't SYNC while failing over"));
    }
    if engine.is_slave() && !engine.is_linked() {
        return Err(Error::text(
            "NOMASTERLINK Can't SYNC while not connected with my primary",
        ));
    }
    if !engine.sessions.clients[id].out.is_empty() {
        return Err(Error::text(
            "ERR SYNC and PSYNC are invalid with pending output",
        ));
    }
    tracing::info!(
        "Replica {} asks for synchronization",
        engine.replica_name(id)
    );
    let psync = args.len() >= 3;
    if psync && let Err(error) = args::int(args[2]) {
        tracing::warn!(
            "Replica {} asks for synchronization but with a wrong offset",
            engine.replica_name(id)
        );
        return Err(error);
    }
    engine.meet_replica(id)?;
    if let Some(parts) = engine.announced(id).parts {
        return engine.send_filtered_dump(id, parts, psync);
    }
    if psync {
        if engine.try_continue(id, args[1], args[2]) {
            engine.meter.stats.syncs.partial_ok += 1;
            return Ok(());
        }
        if args[1] != b"?" {
            engine.meter.stats.syncs.partial_err += 1;
        }
        if engine.name_source(id) {
            return Ok(());
        }
        if engine.announced(id).dual_channel {
            tracing::info!(
                "Dual channel replication: Replica {} is capable of dual channel synchronization, and partial sync isn't possible. Full sync \
                 will continue with dedicated RDB channel.",
                engine.replica_name(id)
            );
            engine.sessions.clients[id].out.raw(b"+DUALCHANNELSYNC\r\n");
            return Ok(());
        }
    }
    engine.begin_full_sync(id, psync);
    Ok(())
}

/// PSYNC … FAILOVER: our primary hands its place over to us.
fn take_over(engine: &mut Engine, id: ClientId, stream: &[u8]) -> Done {
    let shown = String::from_utf8_lossy(stream);
    tracing::info!("Failover request received for replid {shown}.");
    if !engine.is_slave() {
        let second = engine.journal.replicas.second.as_ref();
        if second.is_some_and(|(former, _)| stream.eq_ignore_ascii_case(former.as_bytes())) {
            // It was done, and the answer was lost.
            return Ok(());
        }
        return Err(Error::text("ERR PSYNC FAILOVER can't be sent to a master."));
    }
    if engine.keeper.cluster.is_some()
        || !stream.eq_ignore_ascii_case(engine.journal.replicas.id.as_bytes())
    {
        return Err(Error::text(
            "ERR PSYNC FAILOVER replid must match my replid.",
        ));
    }
    engine.follow_nobody();
    let who = engine.client_line(id);
    tracing::info!("PRIMARY MODE enabled (failover request from '{who}')");
    Ok(())
}

/// REPLCONF option value …
pub(crate) fn replconf(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    if args.len().is_multiple_of(2) {
        return Err(Error::Syntax);
    }
    for pair in args[1..].chunks_exact(2) {
        let (option, value) = (pair[0], pair[1]);
        if args::is(option, "ACK") {
            acknowledged(engine, id, &args[1..]);
            return Ok(());
        }
        if args::is(option, "GETACK") {
            // It is answered when all before it is handed on too.
            if let Some(slave) = &mut engine.keeper.slave {
                slave.ack_asked = true;
            }
            return Ok(());
        }
        if args::is(option, "LISTENING-PORT") {
            engine.sessions.clients[id].listening_port =
                u16::try_from(args::int(value)?).unwrap_or(0);
            continue;
        }
        announce(engine, id, option, value)?;
    }
    engine.sessions.clients[id].out.ok();
    Ok(())
}

/// One of the options that tell what a replica can, or is.
fn announce(engine: &mut Engine, id: ClientId, option: &[u8], value: &[u8]) -> Done {
    if args::is(option, "SET-RDB-CLIENT-ID") {
        let serial = args::int(value)?;
        let known = u64::try_from(serial)
            .ok()
            .filter(|serial| engine.is_awaited(*serial));
        let known = known
            .ok_or_else(|| Error::owned(format!("ERR Unrecognized RDB client id {serial}")))?;
        let announced = &mut engine.sessions.clients[id].announced;
        announced.get_or_insert_default().dump_client = Some(known);
        return Ok(());
    }
    let (dual, diskless) = (
        engine.config.dual_channel_replication,
        engine.config.repl_diskless_sync,
    );
    let node = engine.keeper.cluster.as_deref();
    let announced = engine.sessions.clients[id]
        .announced
        .get_or_insert_default();
    if args::is(option, "IP-ADDRESS") {
        let ip = std::str::from_utf8(value).ok();
        let ip = ip.filter(|ip| ip.len() <= MOST_IP_BYTES);
        let ip = ip.ok_or_else(|| {
            let before = "ERR REPLCONF ip-address provided by replica instance is too long";
            Error::owned(format!("{before}: {} bytes", value.len()))
        })?;
        announced.ip = Some(ip.into());
    } else if args::is(option, "CAPA") {
        announced.eof |= args::is(value, "EOF");
        announced.psync2 |= args::is(value, "PSYNC2");
        announced.takes_sibling |= args::is(value, replication::SIBLING_CAPA);
        if dual && args::is(value, "DUAL-CHANNEL") {
            announced.dual_channel |= diskless;
            if !diskless {
                tracing::info!("Dual channel capability ignored: repl-diskless-sync disabled");
            }
        }
    } else if args::is(option, "RDB-CHANNEL") {
        announced.rdb_channel = zero_or_one(value)?;
        // Who knows of such a connection knows the rest.
        announced.psync2 |= announced.rdb_channel;
        announced.rdb_only |= announced.rdb_channel;
    } else if args::is(option, "RDB-ONLY") {
        announced.rdb_only = zero_or_one(value)?;
    } else if args::is(option, "RDB-FILTER-ONLY") {
        announced.parts = Some(filtered_dump::parse_parts(value)?);
    } else if args::is(option, "VERSION") {
        let unknown = || Error::quoting("ERR Unrecognized version format: ", value, "");
        announced.version = version_number(value).ok_or_else(unknown)?;
    } else if args::is(option, "SET-CLUSTER-NODE-ID") {
        let node = node.ok_or(crate::cluster::DISABLED)?;
        let known = NodeId::parse(value).filter(|id| node.knows(*id));
        announced.node_id =
            Some(known.ok_or_else(|| Error::quoting("ERR Unknown node ", value, ""))?);
    } else {
        return Err(Error::quoting(
            "ERR Unrecognized REPLCONF option: ",
            option,
            "",
        ));
    }
    Ok(())
}

fn zero_or_one(word: &[u8]) -> Result<bool, Error> {
    match args::int(word)? {
        number @ (0 | 1) => Ok(number == 1),
        _ => Err(Error::text(
            "ERR value is out of range, value must between 0 and 1",
        )),
    }
}

/// `9.1.0` as a number with a byte for each part.
fn version_number(word: &[u8]) -> Option<u32> {
    let parts = word.split(|byte| *byte == b'.');
    let parts: Option<Vec<u8>> = parts
        .map(|part| u8::try_from(args::int(part).ok()?).ok())
        .collect();
    let [major, minor, patch] = parts?[..] else {
        return None;
    };
    Some(u32::from_be_bytes([0, major, minor, patch]))
}

/// REPLCONF ACK offset [FACK offset]: a replica has applied the stream up to there, and has it on its disk up to there.
fn acknowledged(engine: &mut Engine, id: ClientId, told: Args<'_>) {
    let now_ms = engine.now.mono_ms;
    let number = |name: &str| {
        let pair = told.chunks_exact(2).find(|pair| args::is(pair[0], name))?;
        args::int(pair[1]).ok()
    };
    let offset = number("ACK").and_then(|offset| u64::try_from(offset).ok());
    let on_disk = number("FACK").and_then(|offset| u64::try_from(offset).ok());
    if let (Some(replica), Some(offset)) = (engine.replica(id), offset) {
        replica.acked = replica.acked.max(offset);
        replica.acked_on_disk = on_disk.max(replica.acked_on_disk.filter(|_| on_disk.is_some()));
        let first = !std::mem::replace(&mut replica.heard, true);
        let loading = replica.state == ReplicaState::Loading;
        replica.acked_ms = now_ms;
        if std::mem::take(&mut replica.wait_ack) {
            engine.wake(id);
        }
        if loading {
            engine.note_loaded_replica(id);
        }
        if first {
            engine.count_followers();
        }
        let (offset, bound) = (engine.journal.replicas.offset(), engine.copy_bound());
        if let Some(replica) = engine.replica(id) {
            replica.note_caught_up(offset, bound);
        }
        if engine.journal.throttle.is_on() {
            engine.look_at_copies();
        }
        engine.serve_waiters();
        engine.release_acknowledged();
        engine.go_on_with_answer();
    }
}

impl Engine {
    /// One more replica follows.
    fn count_followers(&mut self) {
        let replicas = self.journal.replicas.ids.iter();
        let replicas = replicas.filter_map(|id| self.sessions.clients.get(*id)?.replica.as_deref());
        let count = replicas.filter_map(Replica::applied).count();
        self.journal.replicas.most = self.journal.replicas.most.max(count);
    }

    /// A replica has told how far it is: what waits for all of them to be there need not wait for the next tick.
    fn go_on_with_answer(&mut self) {
        if self.switches.no_ticks {
            return;
        }
        self.tick_shutdown();
        if !self.is_handing_over() {
            self.tick_failover();
        }
    }
}
