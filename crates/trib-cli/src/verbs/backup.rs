//! `backup`: a dump of every master, taken as a replica would take it, into a folder with a manifest. `restore`: the keys of such a folder
//! go to the nodes that own their slots now, or to a single server.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use client::{Command, Connection, Value};
use replication::{DumpPart, Transfer};
use sha2::{Digest as _, Sha256};
use tls::Wire;
use tokio::io::AsyncReadExt as _;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::backup::{Draft, DumpFile, Entry, Manifest, Part, hex};
use crate::cluster::open;
use crate::progress::size;
use crate::slots::key_slot;
use crate::snapshot::Node;
use crate::{Address, App, Cluster, Error, Settings, SlotSet};

/// How long a master may say nothing while it makes its dump or sends it.
const SILENCE: Duration = Duration::from_secs(60);
/// Between two looks at how far a backup is.
const TICK: Duration = Duration::from_millis(200);
/// So many bytes of keys are on their way to a node at a time.
const MOST_UNANSWERED: usize = 1 << 20;

/// Whose dump is taken, or where keys go.
struct Place {
    address: Address,
    id: String,
    slots: SlotSet,
}

impl Place {
    fn of(node: &Node) -> Self {
        Self {
            address: node.address.clone(),
            id: node.id.as_str().to_owned(),
            slots: node.slots.clone(),
        }
    }
}

/// The masters of the cluster that `entry` belongs to; itself, where it belongs to none.
async fn masters(app: &mut App, entry: &str) -> Result<(bool, Vec<Place>), Error> {
    let address: Address = entry.parse()?;
    let mut link = open(&address, &app.settings).await?;
    let info = link.query(["INFO", "cluster"]).await?;
    let is_node = info
        .as_str()
        .is_some_and(|text| text.contains("cluster_enabled:1"));
    if !is_node {
        let slots = SlotSet::default();
        let place = Place {
            address,
            id: String::new(),
            slots,
        };
        return Ok((false, vec![place]));
    }
    let cluster = Cluster::load(&address, &app.settings, &mut app.console).await?;
    let uncovered = cluster.snapshot.uncovered();
    if !uncovered.is_empty() {
        return Err(Error::Backup(format!(
            "{} slots are not served: whose keys they hold cannot be asked",
            uncovered.len()
        )));
    }
    let open = cluster.snapshot.open_slots();
    if !open.is_empty() {
        return Err(Error::Backup(format!(
            "{} slots are being moved: run this when they have, or fix them first",
            open.len()
        )));
    }
    let masters = cluster.snapshot.masters();
    let with_slots = masters.filter(|node| !node.slots.is_empty());
    Ok((true, with_slots.map(Place::of).collect()))
}

// ---- backup ----------------------------------------------------------------------------------------------------------------

/// Takes a backup of a server, or of the cluster that it belongs to. Each dump is of one moment; those of several nodes are not of the
/// same one, though they are asked for at the same time.
///
/// # Errors
/// The folder exists, a slot is not served or is being moved, or a dump could not be had. There is no backup then.
pub async fn backup(app: &mut App, dir: &Path, entry: &str) -> Result<(), Error> {
    let (is_cluster, places) = masters(app, entry).await?;
    let draft = Draft::begin(dir)?;
    let mut manifest = Manifest::new(is_cluster, now_ms() / 1000);
    app.console.line(&format!(
        ">>> Taking dumps of {} into {}",
        servers(places.len()),
        dir.display()
    ));
    let bar = app.console.progress(places.len() as u64);
    let came = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for place in places {
        let (settings, into) = (app.settings.clone(), draft.dir().to_owned());
        let came = Arc::clone(&came);
        tasks.spawn(async move { take(&place, &settings, &into, &came).await });
    }
    loop {
        bar.set_message(format!(
            "{} of {} dumps, {} so far",
            bar.position(),
            bar.length().unwrap_or(0),
            size(came.load(Ordering::Relaxed))
        ));
        let Ok(taken) = timeout(TICK, tasks.join_next()).await else {
            continue;
        };
        let Some(taken) = taken else {
            break;
        };
        let part = taken.map_err(|error| Error::Backup(error.to_string()))??;
        bar.inc(1);
        bar.suspend(|| {
            app.console.line(&format!(
                "{}: {} keys, {}",
                part.address,
                part.keys,
                size(part.bytes)
            ));
        });
        manifest.nodes.push(part);
    }
    bar.finish_and_clear();
    manifest.nodes.sort_by(|a, b| a.address.cmp(&b.address));
    manifest.ended = now_ms() / 1000;
    let keys = manifest.keys();
    draft.finish(&manifest)?;
    app.console.line(&format!(
        "[OK] {} holds {keys} keys of {}.",
        dir.display(),
        servers(manifest.nodes.len())
    ));
    Ok(())
}

fn servers(count: usize) -> String {
    if count == 1 {
        "1 server".to_owned()
    } else {
        format!("{count} servers")
    }
}

/// Takes one dump, and counts the bytes that come.
async fn take(
    place: &Place,
    settings: &Settings,
    into: &Path,
    came: &AtomicU64,
) -> Result<Part, Error> {
    let link = open(&place.address, settings).await?;
    let name = format!("{}.rdb", place.address.to_string().replace([':', '/'], "_"));
    let path = into.join(&name);
    let file = File::create_new(&path).map_err(|error| Error::file(&path, &error))?;
    let asked_ms = now_ms();
    let incoming = Incoming::ask(link, &place.address).await?;
    let (began_ms, bytes, sha256) = incoming.copy(file, &path, came).await?;
    // What cannot be read is no backup.
    let read = tokio::task::spawn_blocking(move || {
        let mut dump = DumpFile::open(&path, None)?;
        while dump.step(|_| {})? {}
        Ok::<u64, Error>(dump.keys())
    });
    let keys = read
        .await
        .map_err(|error| Error::Backup(error.to_string()))??;
    Ok(Part {
        file: name,
        address: place.address.to_string(),
        id: place.id.clone(),
        slots: place.slots.to_string(),
        asked_ms,
        began_ms,
        keys,
        bytes,
        sha256,
    })
}

/// A master's side of a full copy.
struct Incoming {
    stream: Wire,
    buffer: BytesMut,
    transfer: Transfer,
    address: Address,
}

impl Incoming {
    /// Asks for a dump and nothing behind it: today's servers stream it from memory and close. Those that do not know the words refuse
    /// them, and take us for a replica without a history.
    async fn ask(mut link: Connection, address: &Address) -> Result<Self, Error> {
        link.call(["REPLCONF", "capa", "eof"]).await?;
        link.call(["REPLCONF", "rdb-only", "1"]).await?;
        link.send(["SYNC"]);
        link.flush().await?;
        let (stream, buffer) = link.into_parts();
        Ok(Self {
            stream,
            buffer,
            transfer: Transfer::default(),
            address: address.clone(),
        })
    }

    fn failed(&self, problem: impl Into<String>) -> Error {
        Error::BadReply {
            address: self.address.to_string(),
            problem: problem.into(),
        }
    }

    /// The next parts of the dump.
    async fn next(&mut self) -> Result<Vec<DumpPart>, Error> {
        if self.buffer.is_empty() {
            self.buffer.reserve(1 << 18);
            match timeout(SILENCE, self.stream.read_buf(&mut self.buffer)).await {
                Err(_) => return Err(self.failed("it said nothing for a minute")),
                Ok(Err(error)) => return Err(self.failed(error.to_string())),
                Ok(Ok(0)) => return Err(self.failed("it closed the connection")),
                Ok(Ok(_)) => {}
            }
        }
        let bytes = self.buffer.split();
        let mut parts = Vec::new();
        let taken = self.transfer.take(&bytes, |part| parts.push(part));
        taken.map_err(|problem| self.failed(problem))?;
        Ok(parts)
    }

    /// Writes the dump into a file, on disk when this returns: when it began, its size and its SHA-256.
    async fn copy(
        mut self,
        mut file: File,
        path: &Path,
        came: &AtomicU64,
    ) -> Result<(u64, u64, String), Error> {
        let failed = |error: std::io::Error| Error::file(path, &error);
        let (mut began_ms, mut bytes, mut hash) = (0, 0, Sha256::new());
        while !self.transfer.is_whole() {
            for part in self.next().await? {
                match part {
                    DumpPart::Begin(_) => began_ms = now_ms(),
                    DumpPart::Bytes(part) => {
                        hash.update(&part);
                        file.write_all(&part).map_err(failed)?;
                        bytes += part.len() as u64;
                        came.fetch_add(part.len() as u64, Ordering::Relaxed);
                    }
                    DumpPart::Whole => {}
                }
            }
        }
        tokio::task::spawn_blocking(move || file.sync_all())
            .await
            .map_err(|error| Error::Backup(error.to_string()))?
            .map_err(failed)?;
        Ok((began_ms, bytes, hex(&hash.finalize())))
    }
}

// ---- restore ---------------------------------------------------------------------------------------------------------------

/// Brings the keys of a backup into a server, or into the cluster that it belongs to, whatever its shape.
///
/// # Errors
/// A file is not what was written, or there are keys already and they are not to be replaced: nothing was changed then. Or a key was
/// refused: what was restored until then stays, and the same command with `replace` goes on.
pub async fn restore(app: &mut App, dir: &Path, entry: &str, replace: bool) -> Result<(), Error> {
    let manifest = Manifest::verified(dir)?;
    let (is_cluster, places) = masters(app, entry).await?;
    let mut targets = Targets::connect(places, is_cluster, &app.settings).await?;
    if !replace {
        targets.require_empty().await?;
    }
    app.console.line(&format!(
        ">>> Restoring {} keys of {} into {}",
        manifest.keys(),
        servers(manifest.nodes.len()),
        servers(targets.links.len())
    ));
    let bar = app.console.progress(manifest.keys());
    for part in &manifest.nodes {
        let mut dump = DumpFile::open(&part.path(dir)?, Some(now_ms()))?;
        loop {
            let mut requests = Vec::new();
            let more = dump.step(|entry| requests.push(Request::of(&entry)))?;
            for code in dump.take_functions() {
                targets.load_function(&code).await?;
            }
            for request in requests {
                targets.send(request).await?;
            }
            bar.set_position(targets.restored);
            bar.set_message(format!("{} keys restored", targets.restored));
            if !more {
                break;
            }
        }
        targets.settle().await?;
        bar.suspend(|| {
            app.console
                .line(&format!("{}: {} keys restored", part.address, dump.keys()));
        });
    }
    bar.finish_and_clear();
    app.console.line(&format!(
        "[OK] {} keys restored; those that have expired since are left out.",
        targets.restored
    ));
    Ok(())
}

/// A key on its way.
struct Request {
    db: usize,
    slot: u16,
    command: Command,
    bytes: usize,
}

impl Request {
    fn of(entry: &Entry<'_>) -> Self {
        let expire = entry.expire_ms.unwrap_or(0).to_string();
        let mut command = Command::new("RESTORE")
            .arg(entry.key)
            .arg(expire)
            .arg(&entry.payload)
            .arg("REPLACE");
        if entry.expire_ms.is_some() {
            command = command.arg("ABSTTL");
        }
        Self {
            db: entry.db,
            slot: key_slot(entry.key),
            bytes: entry.key.len() + entry.payload.len(),
            command,
        }
    }
}

/// A node that takes keys.
struct Target {
    link: Connection,
    address: Address,
    db: usize,
    /// Commands whose replies have not come yet, and their bytes.
    unanswered: usize,
    bytes: usize,
}

struct Targets {
    links: Vec<Target>,
    /// Who owns each slot; empty for a single server.
    owners: BTreeMap<u16, usize>,
    restored: u64,
}

impl Targets {
    async fn connect(
        places: Vec<Place>,
        is_cluster: bool,
        settings: &Settings,
    ) -> Result<Self, Error> {
        let (mut links, mut owners) = (Vec::new(), BTreeMap::new());
        for (index, place) in places.into_iter().enumerate() {
            if is_cluster {
                owners.extend(place.slots.iter().map(|slot| (slot, index)));
            }
            links.push(Target {
                link: open(&place.address, settings).await?,
                address: place.address,
                db: 0,
                unanswered: 0,
                bytes: 0,
            });
        }
        Ok(Self {
            links,
            owners,
            restored: 0,
        })
    }

    async fn require_empty(&mut self) -> Result<(), Error> {
        for target in &mut self.links {
            let info = target.link.query(["INFO", "keyspace"]).await?;
            if info.as_str().is_some_and(|text| text.contains("keys=")) {
                return Err(Error::Backup(format!(
                    "{} holds keys already; with --replace those of the backup take the place of theirs",
                    target.address
                )));
            }
        }
        Ok(())
    }

    async fn load_function(&mut self, code: &[u8]) -> Result<(), Error> {
        self.settle().await?;
        for target in &mut self.links {
            let load = Command::new("FUNCTION")
                .arg("LOAD")
                .arg("REPLACE")
                .arg(code);
            target.link.query(load).await?;
        }
        Ok(())
    }

    async fn send(&mut self, request: Request) -> Result<(), Error> {
        let index = self.owners.get(&request.slot).copied().unwrap_or(0);
        let Some(target) = self.links.get_mut(index) else {
            return Ok(());
        };
        if target.db != request.db {
            self.restored += target.settle().await?;
            let select = Command::new("SELECT").arg(request.db.to_string());
            target.link.query(select).await?;
            target.db = request.db;
        }
        target.link.send(request.command);
        target.unanswered += 1;
        target.bytes += request.bytes;
        if target.bytes >= MOST_UNANSWERED {
            self.restored += target.settle().await?;
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), Error> {
        for target in &mut self.links {
            self.restored += target.settle().await?;
        }
        Ok(())
    }
}

impl Target {
    /// Waits until everything that was sent is answered; how many keys that were.
    async fn settle(&mut self) -> Result<u64, Error> {
        let (count, mut refused) = (std::mem::take(&mut self.unanswered), None);
        self.bytes = 0;
        for _ in 0..count {
            if let Value::Error(text) = self.link.recv().await? {
                refused.get_or_insert(text);
            }
        }
        match refused {
            None => Ok(count as u64),
            Some(text) => Err(Error::BadReply {
                address: self.address.to_string(),
                problem: format!("a key was refused: {text}"),
            }),
        }
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
