//! A master with replicas and sentinels on this machine, in the place of a cluster.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use client::{Command, Connection};

use super::{
    HOST, LIMIT, LocalArgs, Place, await_answers, find_server, idle_places, launch, plan_places,
};
use crate::cluster::open;
use crate::console::Probe;
use crate::{App, Error};

/// What the sentinels call the master.
const NAME: &str = "local";
const SENTINELS: u16 = 3;
const SENTINEL_FILE: &str = "sentinel.conf";
const SERVER_FILE: &str = "server.conf";

/// Starts a master, its replicas and three sentinels, those that do not run yet.
///
/// # Errors
///
/// No programs, ports in use, a program that ends again, or a group that does not form.
pub(super) async fn up(app: &mut App, args: &LocalArgs) -> Result<(), Error> {
    if args.watch || args.demo.is_some() {
        return Err(Error::Local(
            "--demo and --watch are for a cluster, not for --sentinel.".into(),
        ));
    }
    let servers = args.nodes.unwrap_or(3);
    if servers < 2 {
        return Err(Error::Local(
            "A failover needs a replica: at least two servers.".into(),
        ));
    }
    let server = find_server(args.server.as_deref())?;
    let sentinel = sentinel_beside(&server)?;
    let places = plan_places(args, servers.saturating_add(SENTINELS))?;
    let (of_servers, of_sentinels) = places.split_at(usize::from(servers));
    let idle = idle_places(app, args, &places)?;
    let mut children = Vec::new();
    for place in idle {
        let is_server = of_servers.iter().any(|one| one.port == place.port);
        let (program, file) = if is_server {
            (&server, SERVER_FILE)
        } else {
            (&sentinel, SENTINEL_FILE)
        };
        // What the programs wrote into it later counts: who is master now.
        let path = place.dir.join(file);
        fs::create_dir_all(&place.dir).map_err(|error| Error::file(&place.dir, &error))?;
        if !path.exists() {
            let text = configuration(place.port, args.port, is_server);
            fs::write(&path, text).map_err(|error| Error::file(&path, &error))?;
        }
        children.push((place.clone(), launch(program, place, &[file])?));
    }
    await_answers(app, &places, &mut children).await?;
    await_group(app, of_sentinels, servers).await?;
    let own = std::env::args().next().unwrap_or_else(|| "trib".into());
    let dir = args.dir.display();
    let first = of_sentinels.first().map_or(0, |place| place.port);
    app.console.print(&format!(
        "\nThe group is ready.\n  connect:  redis-cli -p {}\n  ask:      redis-cli -p {first} SENTINEL get-master-addr-by-name {NAME}\n  look:     {own} local status --dir {dir}\n  stop:     {own} local down --dir {dir}\n",
        args.port
    ));
    Ok(())
}

/// Shows what the first sentinel that runs says.
pub(super) async fn status(app: &mut App, places: &[Place]) -> Result<(), Error> {
    let running = places
        .iter()
        .find(|place| is_sentinel(place) && place.running().is_some());
    let Some(place) = running else {
        app.console.line("No sentinel runs.");
        return Ok(());
    };
    let mut link = open(&place.address(), &app.settings).await?;
    let master = master(&mut link).await?;
    let get = |name: &str| master.get(name).cloned().unwrap_or_default();
    app.console.line(&format!(
        "{}: the master is {}:{} ({}), with {} replicas and {} more sentinels",
        place.address(),
        get("ip"),
        get("port"),
        get("flags"),
        get("num-slaves"),
        get("num-other-sentinels")
    ));
    let quorum = Command::from(["SENTINEL", "CKQUORUM", NAME]);
    let quorum = link.call(quorum).await?;
    let text = quorum.as_error().or_else(|| quorum.as_str());
    app.console.line(text.unwrap_or_default());
    Ok(())
}

/// Whether a folder is a sentinel's.
pub(super) fn is_sentinel(place: &Place) -> bool {
    place.dir.join(SENTINEL_FILE).exists()
}

fn configuration(port: u16, first: u16, is_server: bool) -> String {
    let common = format!("port {port}\nbind {HOST}\n");
    if !is_server {
        return common
            + &format!(
                "sentinel monitor {NAME} {HOST} {first} 2\nsentinel down-after-milliseconds {NAME} 5000\n\
                 sentinel failover-timeout {NAME} 20000\n"
            );
    }
    let role = if port == first {
        String::new()
    } else {
        format!("replicaof {HOST} {first}\n")
    };
    common + "appendonly yes\nrepl-diskless-sync-delay 0\n" + &role
}

/// The sentinel's program that lies beside a server's.
fn sentinel_beside(server: &Path) -> Result<PathBuf, Error> {
    let names = ["sentinel", "tern-sentinel"].map(|name| server.with_file_name(name));
    names
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| Error::Local(format!("No sentinel program beside {}", server.display())))
}

/// What a sentinel knows of the master.
async fn master(link: &mut Connection) -> Result<BTreeMap<String, String>, Error> {
    let reply = link.query(["SENTINEL", "MASTER", NAME]).await?;
    let words = reply.into_array().unwrap_or_default();
    let words: Vec<String> = words
        .iter()
        .map(|word| word.as_str().unwrap_or_default().to_owned())
        .collect();
    let pairs = words.chunks_exact(2);
    Ok(pairs
        .map(|pair| (pair[0].clone(), pair[1].clone()))
        .collect())
}

/// Waits until every sentinel knows all replicas and all other sentinels.
async fn await_group(app: &mut App, sentinels: &[Place], servers: u16) -> Result<(), Error> {
    let settings = app.settings.clone();
    let wanted = [
        ("num-slaves", (servers - 1).to_string()),
        ("num-other-sentinels", (SENTINELS - 1).to_string()),
    ];
    let probe = async || {
        for place in sentinels {
            let mut link = open(&place.address(), &settings).await?;
            let known = master(&mut link).await?;
            for (name, count) in &wanted {
                if known.get(*name) != Some(count) {
                    let found = known.get(*name).map_or("none", String::as_str);
                    return Ok(Probe::Pending(format!(
                        "{}: {name} is {found}",
                        place.address()
                    )));
                }
            }
        }
        Ok(Probe::Done)
    };
    app.console
        .wait("Waiting for the sentinels to find each other", LIMIT, probe)
        .await
}
