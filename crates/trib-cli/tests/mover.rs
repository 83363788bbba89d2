//! Moving slots between two nodes that are played here: what reaches them, in which order, and what happens when
//! they refuse.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use client::{Codec, Connection, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::codec::Decoder as _;
use trib_cli::keep::Keeper;
use trib_cli::mover::{Dialect, End, Event, MoveOptions, Mover};
use trib_cli::plan::MoveMode;
use trib_cli::snapshot::NodeId;
use trib_cli::{Address, Slot};

/// What the played source cannot do, or does wrong.
#[derive(Clone, Default)]
struct Quirks {
    /// MIGRATE knows no KEYS.
    no_keys: bool,
    /// MIGRATE knows no AUTH.
    no_auth: bool,
    /// This many MIGRATEs answer IOERR, although the keys arrive.
    lost_answers: u32,
    /// SETSLOT MIGRATING of this slot is refused.
    refused_slot: Option<Slot>,
    /// MIGRATE of this key is refused.
    refused_key: Option<&'static str>,
}

/// Both nodes' data, and all that they were told.
#[derive(Default)]
struct World {
    source: BTreeMap<Slot, BTreeSet<String>>,
    target: BTreeSet<String>,
    with_expiry: BTreeSet<String>,
    /// Keys whose copies at both ends are not alike.
    differing: BTreeSet<String>,
    quirks: Quirks,
    log: Vec<String>,
}

impl World {
    fn with_keys(slots: &[(Slot, &[&str])]) -> Self {
        let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
        let source = slots
            .iter()
            .map(|(slot, names)| (*slot, keys(names)))
            .collect();
        Self {
            source,
            ..Self::default()
        }
    }

    fn answer(&mut self, node: &str, words: &[String]) -> String {
        let text = words.join(" ");
        if !text.starts_with("CLUSTER COUNT") && !text.starts_with("CLUSTER GET") {
            self.log.push(format!("{node}: {text}"));
        }
        let word = |index: usize| words.get(index).map_or("", String::as_str);
        match (word(0), word(1)) {
            ("CLUSTER", "COUNTKEYSINSLOT") => format!(":{}\r\n", self.keys(word(2)).len()),
            ("CLUSTER", "GETKEYSINSLOT") => {
                let keys: Vec<String> = self
                    .keys(word(2))
                    .into_iter()
                    .take(word(3).parse().unwrap())
                    .collect();
                let bulks: String = keys
                    .iter()
                    .map(|key| format!("${}\r\n{key}\r\n", key.len()))
                    .collect();
                format!("*{}\r\n{bulks}", keys.len())
            }
            ("CLUSTER", "SETSLOT") => {
                let refused = self.quirks.refused_slot.map(|slot| slot.to_string());
                if word(3) == "MIGRATING" && refused.as_deref() == Some(word(2)) {
                    return "-ERR I'm not the owner of hash slot\r\n".into();
                }
                "+OK\r\n".into()
            }
            ("ASKING", _) => "+OK\r\n".into(),
            ("EXISTS", key) => format!(":{}\r\n", u8::from(self.target.contains(key))),
            ("DUMP", key) if self.differing.contains(key) => format!("$1\r\n{node}\r\n"),
            ("DUMP", _) => "$4\r\nsame\r\n".into(),
            ("DEL", key) => {
                for slot in self.source.values_mut() {
                    slot.remove(key);
                }
                ":1\r\n".into()
            }
            ("PTTL", key) => format!(
                ":{}\r\n",
                if self.with_expiry.contains(key) {
                    1000
                } else {
                    -1
                }
            ),
            ("MIGRATE", _) => self.migrate(words),
            _ => "-ERR unknown command\r\n".into(),
        }
    }

    fn keys(&self, slot: &str) -> BTreeSet<String> {
        self.source
            .get(&slot.parse().unwrap())
            .cloned()
            .unwrap_or_default()
    }

    fn migrate(&mut self, words: &[String]) -> String {
        let is = |word: &str| words.iter().position(|other| other == word);
        if (self.quirks.no_keys && is("KEYS").is_some())
            || (self.quirks.no_auth && is("AUTH").is_some())
        {
            return "-ERR syntax error\r\n".into();
        }
        let keys: Vec<String> =
            is("KEYS").map_or_else(|| vec![words[3].clone()], |at| words[at + 1..].to_vec());
        if self
            .quirks
            .refused_key
            .is_some_and(|refused| keys.iter().any(|key| key == refused))
        {
            return "-ERR Target instance replied with error: OOM\r\n".into();
        }
        if is("REPLACE").is_none() && keys.iter().any(|key| self.target.contains(key)) {
            let error = "BUSYKEY Target key name already exists.";
            return format!("-ERR Target instance replied with error: {error}\r\n");
        }
        self.target.extend(keys.iter().cloned());
        if self.quirks.lost_answers > 0 {
            self.quirks.lost_answers -= 1;
            return "-IOERR error or timeout reading from target instance\r\n".into();
        }
        for slot in self.source.values_mut() {
            slot.retain(|key| !keys.contains(key));
        }
        "+OK\r\n".into()
    }
}

type Shared = Arc<Mutex<World>>;

/// Plays one node on a port of its own.
async fn play(name: &'static str, world: Shared) -> End {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(name, stream, world).await;
    });
    let link = Connection::connect(&address.to_string(), Duration::from_secs(5))
        .await
        .unwrap();
    End {
        id: NodeId::new(name),
        address: Address::new(name, address.port()),
        link,
    }
}

async fn serve(name: &str, mut stream: TcpStream, world: Shared) {
    // A request looks like a reply that is an array of strings.
    let (mut codec, mut bytes) = (Codec::default(), BytesMut::new());
    while stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
        while let Some(request) = codec.decode(&mut bytes).unwrap() {
            let words = request
                .as_array()
                .unwrap()
                .iter()
                .map(|word| word.as_str().unwrap().to_owned());
            let words: Vec<String> = words.collect();
            let answer = world.lock().unwrap().answer(name, &words);
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }
}

struct Run {
    result: Result<usize, String>,
    events: Vec<Event>,
    world: World,
}

impl Run {
    /// What the nodes were told, ports left out.
    fn log(&self) -> Vec<String> {
        let cut = |line: &String| {
            let words = line.split(' ').collect::<Vec<_>>();
            if words[1] == "MIGRATE" {
                format!("{} MIGRATE {}", words[0], words[4..].join(" "))
            } else {
                line.clone()
            }
        };
        self.world.log.iter().map(cut).collect()
    }
}

const PLAIN: Dialect = Dialect {
    keys: true,
    leaks_expiry: false,
};

async fn run(
    world: World,
    slots: &[Slot],
    mode: MoveMode,
    dialect: Dialect,
    password: Option<&str>,
) -> Run {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Arc::new(Keeper::new(dir.path().join("kept")));
    run_keeping(world, slots, mode, dialect, password, keeper).await
}

async fn run_keeping(
    world: World,
    slots: &[Slot],
    mode: MoveMode,
    dialect: Dialect,
    password: Option<&str>,
    keeper: Arc<Keeper>,
) -> Run {
    let world = Arc::new(Mutex::new(world));
    let source = play("a", Arc::clone(&world)).await;
    let target = play("b", Arc::clone(&world)).await;
    let other = play("c", Arc::clone(&world)).await;
    let (events, mut received) = unbounded_channel();
    let options = MoveOptions {
        timeout: Duration::from_secs(60),
        pipeline: Some(2),
        mode,
        login: password.map_or_else(Vec::new, |word| vec!["AUTH".into(), word.into()]),
        keeper,
        pace: Arc::default(),
    };
    let mut mover = Mover::new(
        source,
        target,
        options,
        Arc::new(AtomicBool::new(false)),
        events,
        dialect,
    );
    mover.others = vec![other.link];
    let result = mover
        .run(slots.to_vec())
        .await
        .map_err(|error| error.to_string());
    let mut events = Vec::new();
    while let Some(event) = received.recv().await {
        events.push(event);
    }
    let world = std::mem::take(&mut *world.lock().unwrap());
    Run {
        result,
        events,
        world,
    }
}

fn moved(events: &[Event]) -> Vec<(Slot, usize)> {
    let one = |event: &Event| match event {
        Event::Moved { slot, keys, .. } => Some((*slot, *keys)),
        _ => None,
    };
    events.iter().filter_map(one).collect()
}

#[tokio::test]
async fn the_target_is_ready_first_and_responsible_first() {
    let world = World::with_keys(&[(5, &["k1", "k2", "k3"]), (6, &[])]);
    let run = run(world, &[5, 6], MoveMode::Live, PLAIN, None).await;
    assert_eq!(run.result, Ok(2));
    assert_eq!(
        run.log(),
        [
            "b: CLUSTER SETSLOT 5 IMPORTING a",
            "b: CLUSTER SETSLOT 6 IMPORTING a",
            "a: CLUSTER SETSLOT 5 MIGRATING b",
            "a: CLUSTER SETSLOT 6 MIGRATING b",
            "a: MIGRATE  0 60000 KEYS k1 k2",
            "a: MIGRATE  0 60000 KEYS k3",
            "b: CLUSTER SETSLOT 5 NODE b",
            "b: CLUSTER SETSLOT 6 NODE b",
            "a: CLUSTER SETSLOT 5 NODE b",
            "a: CLUSTER SETSLOT 6 NODE b",
            "c: CLUSTER SETSLOT 5 NODE b",
            "c: CLUSTER SETSLOT 6 NODE b",
        ]
    );
    assert_eq!(moved(&run.events), [(5, 3), (6, 0)]);
}

#[tokio::test]
async fn older_nodes_are_served_key_by_key() {
    let mut world = World::with_keys(&[(5, &["k1", "k2"])]);
    world.quirks = Quirks {
        no_keys: true,
        ..Quirks::default()
    };
    let run = run(world, &[5], MoveMode::Live, PLAIN, None).await;
    assert_eq!(run.result, Ok(1));
    let migrates: Vec<String> = run
        .log()
        .into_iter()
        .filter(|line| line.contains("MIGRATE "))
        .collect();
    assert_eq!(
        migrates,
        [
            "a: MIGRATE  0 60000 KEYS k1 k2",
            "a: MIGRATE k1 0 60000",
            "a: MIGRATE k2 0 60000",
        ]
    );
}

#[tokio::test]
async fn a_password_is_sent_along() {
    let world = World::with_keys(&[(5, &["k1"])]);
    let run = run(world, &[5], MoveMode::Live, PLAIN, Some("secret")).await;
    assert_eq!(run.result, Ok(1));
    let sent = "a: MIGRATE  0 60000 AUTH secret KEYS k1".to_owned();
    assert!(run.log().contains(&sent), "{:?}", run.log());
}

#[tokio::test]
async fn a_source_that_cannot_say_the_password_opens_no_slot() {
    let mut world = World::with_keys(&[(5, &["k1"])]);
    world.quirks.no_auth = true;
    let run = run(world, &[5], MoveMode::Live, PLAIN, Some("secret")).await;
    assert!(run.result.as_ref().unwrap_err().contains("has no AUTH"));
    assert_eq!(run.log(), ["a: MIGRATE  0 60000 AUTH secret KEYS"]);
}

#[tokio::test]
async fn keys_with_and_without_expiry_go_apart_where_that_matters() {
    let mut world = World::with_keys(&[(5, &["k1", "k2"])]);
    world.with_expiry.insert("k1".into());
    let dialect = Dialect {
        leaks_expiry: true,
        ..PLAIN
    };
    let run = run(world, &[5], MoveMode::Live, dialect, None).await;
    assert_eq!(run.result, Ok(1));
    let migrates: Vec<String> = run
        .log()
        .into_iter()
        .filter(|line| line.contains("MIGRATE "))
        .collect();
    assert_eq!(
        migrates,
        ["a: MIGRATE  0 60000 KEYS k2", "a: MIGRATE  0 60000 KEYS k1"]
    );
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again() {
    let mut world = World::with_keys(&[(5, &["k1"])]);
    world.quirks.lost_answers = 1;
    let run = run(world, &[5], MoveMode::Live, PLAIN, None).await;
    assert_eq!(run.result, Ok(1));
    assert!(run.world.source[&5].is_empty());
    let migrates: Vec<String> = run
        .log()
        .into_iter()
        .filter(|line| line.contains("MIGRATE "))
        .collect();
    assert_eq!(
        migrates,
        [
            "a: MIGRATE  0 60000 KEYS k1",
            "a: MIGRATE  0 60000 REPLACE KEYS k1"
        ]
    );
}

#[tokio::test]
async fn a_key_at_the_target_stops_a_live_move_and_is_replaced_by_a_repair() {
    let world = || {
        let mut world = World::with_keys(&[(5, &["k1"]), (6, &["k2"])]);
        world.target.insert("k1".into());
        world
    };
    let live = run(world(), &[5, 6], MoveMode::Live, PLAIN, None).await;
    let error = live.result.clone().unwrap_err();
    assert!(error.starts_with("[ERR] Slot 5, from a:"), "{error}");
    assert!(
        error.contains("BUSYKEY Target key name already exists."),
        "{error}"
    );
    assert!(error.contains("Run the fix command"), "{error}");
    // The other slot of the same window is finished; this one stays open with its key where it was.
    assert_eq!(moved(&live.events), [(6, 1)]);
    assert!(
        !live
            .log()
            .contains(&"b: CLUSTER SETSLOT 5 NODE b".to_owned())
    );
    assert!(live.world.source[&5].contains("k1"));

    let repair = run(world(), &[5, 6], MoveMode::Resume, PLAIN, None).await;
    assert_eq!(repair.result, Ok(2));
    assert!(repair.world.source[&5].is_empty());
}

fn differing(events: &[Event]) -> Vec<(Slot, &str, &str)> {
    let one = |event| match event {
        &Event::Differs {
            slot,
            ref key,
            ref owner,
            ..
        } => Some((slot, key.as_str(), owner.host.as_str())),
        _ => None,
    };
    events.iter().filter_map(one).collect()
}

fn both_ends() -> World {
    let mut world = World::with_keys(&[(5, &["alike", "differs", "only"])]);
    world.target.extend(["alike".into(), "differs".into()]);
    world.differing.insert("differs".into());
    world
}

#[tokio::test]
async fn gathering_never_replaces_what_the_owner_has() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Arc::new(Keeper::new(dir.path().join("kept")));
    let run = run_keeping(
        both_ends(),
        &[5],
        MoveMode::Gather,
        PLAIN,
        None,
        Arc::clone(&keeper),
    )
    .await;
    assert_eq!(run.result, Ok(1));
    assert!(run.world.source[&5].is_empty());
    assert!(run.world.log.iter().all(|line| !line.contains("REPLACE")));
    assert!(
        run.log()
            .contains(&"a: MIGRATE  0 60000 KEYS only".to_owned()),
        "{:?}",
        run.log()
    );
    // The target is the owner: its value stays, the source's is kept aside before it goes.
    assert_eq!(differing(&run.events), [(5, "differs", "b")]);
    let kept = std::fs::read(keeper.path()).unwrap();
    let kept = String::from_utf8(kept).unwrap();
    assert!(
        kept.starts_with("*4\r\n$7\r\nRESTORE\r\n$7\r\ndiffers\r\n"),
        "{kept}"
    );
    assert!(kept.ends_with("$1\r\na\r\n"), "{kept}");
    let at = |line: &str| run.log().iter().position(|other| other == line).unwrap();
    assert!(at("a: DUMP differs") < at("a: DEL differs"));
    assert_eq!(at("a: ASKING") + 1, at("a: DUMP alike"));
}

#[tokio::test]
async fn going_on_with_a_move_keeps_what_it_replaces() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Arc::new(Keeper::new(dir.path().join("kept")));
    let run = run_keeping(
        both_ends(),
        &[5],
        MoveMode::Resume,
        PLAIN,
        None,
        Arc::clone(&keeper),
    )
    .await;
    assert_eq!(run.result, Ok(1));
    // The source still owns the slot.
    assert_eq!(differing(&run.events), [(5, "differs", "a")]);
    let kept = std::fs::read(keeper.path()).unwrap();
    assert!(kept.ends_with(b"$1\r\nb\r\n"));
}

#[tokio::test]
async fn a_copy_that_cannot_be_kept_does_not_go() {
    let keeper = Arc::new(Keeper::new("/nonexistent/kept"));
    let run = run_keeping(both_ends(), &[5], MoveMode::Gather, PLAIN, None, keeper).await;
    let error = run.result.unwrap_err();
    assert!(
        error.contains("cannot be kept in /nonexistent/kept"),
        "{error}"
    );
    assert!(run.world.source[&5].contains("differs"));
}

#[tokio::test]
async fn a_lost_answer_does_not_make_gathering_replace() {
    let mut world = World::with_keys(&[(5, &["k1"])]);
    world.quirks.lost_answers = 1;
    let run = run(world, &[5], MoveMode::Gather, PLAIN, None).await;
    assert_eq!(run.result, Ok(1));
    assert!(run.world.source[&5].is_empty());
    assert!(run.world.log.iter().all(|line| !line.contains("REPLACE")));
}

#[tokio::test]
async fn a_refused_opening_leaves_nothing_open() {
    let mut world = World::with_keys(&[(5, &["k1"]), (6, &[])]);
    world.quirks.refused_slot = Some(6);
    let run = run(world, &[5, 6], MoveMode::Live, PLAIN, None).await;
    assert!(run.result.clone().unwrap_err().contains("Slot 6"));
    let last: Vec<String> = run.log().into_iter().rev().take(4).collect();
    assert_eq!(
        last,
        [
            "b: CLUSTER SETSLOT 6 STABLE",
            "b: CLUSTER SETSLOT 5 STABLE",
            "a: CLUSTER SETSLOT 6 STABLE",
            "a: CLUSTER SETSLOT 5 STABLE",
        ]
    );
    assert!(run.world.source[&5].contains("k1"));
}

#[tokio::test]
async fn gathering_changes_no_owner() {
    let run = run(
        World::with_keys(&[(5, &["k1"])]),
        &[5],
        MoveMode::Gather,
        PLAIN,
        None,
    )
    .await;
    assert_eq!(run.result, Ok(1));
    assert_eq!(run.log(), ["a: MIGRATE  0 60000 KEYS k1"]);
}

#[tokio::test]
async fn a_refusal_by_the_target_is_told_in_its_words() {
    let mut world = World::with_keys(&[(5, &["k1"])]);
    world.quirks.refused_key = Some("k1");
    let run = run(world, &[5], MoveMode::Live, PLAIN, None).await;
    assert!(
        run.result
            .unwrap_err()
            .contains("Target instance replied with error: OOM")
    );
}

#[tokio::test]
async fn who_leaks_expiries_is_told_by_the_version() {
    let world = Arc::new(Mutex::new(World::default()));
    let mut node = play("a", world).await;
    // A node that does not say who it is gets the careful treatment.
    assert!(Dialect::of(&mut node.link).await.unwrap().leaks_expiry);
    assert_eq!(node.link.call(["PTTL", "x"]).await.unwrap(), Value::Int(-1));
}
