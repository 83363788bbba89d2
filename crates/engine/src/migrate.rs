//! MIGRATE: keys on their way to another server.
//!
//! Redis stops everything until the target has answered. Here only requests on the moving keys wait: they are held back, and run
//! again when the keys are gone, or have stayed.

use commands::{Args, Done, Error, Traits, args, table};

use crate::entry::Entry;
use crate::keeper::transfers::{Running, Transfer, TransferId, Transferred};
use crate::sessions::client::Waiting;
use crate::{Action, ClientId, Engine};

impl Engine {
    /// Whether a request touches a key that is on its way.
    pub(crate) fn touches_moving(&self, id: ClientId, entry: Entry, args: Args<'_>) -> bool {
        if self.keeper.transfers.moving.is_empty() {
            return false;
        }
        let mut db = self.sessions.clients[id].db;
        let mut positions = Vec::new();
        let mut touches = |db: usize, entry: Entry, words: &[&[u8]]| {
            positions.clear();
            table::find_keys(entry.command, words, &mut positions);
            positions.iter().any(|key| {
                self.keeper
                    .transfers
                    .moving
                    .contains_key(&(db, Box::from(words[key.at])))
            })
        };
        if entry.command.traits.has(Traits::RUNS_QUEUE) {
            let queue = self.sessions.clients[id]
                .transaction
                .multi
                .iter()
                .flat_map(|multi| &multi.queue);
            return queue.into_iter().any(|queued| {
                let words: Vec<&[u8]> = queued.args.iter().map(AsRef::as_ref).collect();
                let entry = self.index.entry(queued.number);
                if entry.command.traits.has(Traits::SELECTS_DB) {
                    db = self.selected_by(&words).unwrap_or(db);
                }
                touches(db, entry, &words)
            });
        }
        touches(db, entry, args)
    }

    /// A transfer has ended: what arrived is deleted here, and the client is answered.
    pub fn migrated(&mut self, transfer: TransferId, result: &Transferred) {
        let Some(running) = self.keeper.transfers.running.remove(&transfer) else {
            return;
        };
        let before = self.journal.replicas.offset();
        let mut gone: Vec<&[u8]> = vec![b"DEL"];
        let mut kept = false;
        for (key, answer) in running.keys.iter().zip(&result.answers) {
            if answer.is_err() || running.copy {
                continue;
            }
            let at = (running.db, key.clone());
            if self
                .keeper
                .transfers
                .moving
                .get(&at)
                .is_some_and(|key| key.changed)
            {
                kept = true;
            } else if self.shard.keyspace.db(running.db).remove(key) {
                self.shard.effects.dirty += 1;
                self.shard.effects.touch(running.db, key);
                gone.push(key);
            }
        }
        if gone.len() > 1 {
            self.propagate(running.db, &gone);
        }
        self.settle();
        self.arrived(&running);
        let same = |client: &&mut crate::Client| client.waiting == Waiting::Transfer;
        if let Some(client) = self.sessions.clients.get_mut(running.client).filter(same) {
            client.waiting = Waiting::No;
            let refused = result
                .answers
                .iter()
                .find_map(|answer| answer.as_ref().err());
            let failed = match (refused, &result.failed) {
                (Some(error), _) => {
                    Some(format!("ERR Target instance replied with error: {error}"))
                }
                (None, Some(error)) => Some(error.clone()),
                (None, None) => kept.then(|| CHANGED.to_owned()),
            };
            match &failed {
                Some(error) => client.out.error(error),
                None => client.out.ok(),
            }
            if let Some(error) = failed {
                self.meter.stats.note_error(error.as_bytes());
                if let Some(stats) = self.stats_of_last(running.client) {
                    stats.failed += 1;
                }
            }
            self.hold_unacknowledged(running.client, before);
            self.wake(running.client);
            self.resume(running.client);
        }
        self.resume_held();
    }

    /// The keys of a transfer are no longer on their way.
    fn arrived(&mut self, running: &Running) {
        for key in &running.keys {
            let key = (running.db, key.clone());
            if let Some(moving) = self.keeper.transfers.moving.get_mut(&key) {
                moving.transfers -= 1;
                if moving.transfers == 0 {
                    self.keeper.transfers.moving.remove(&key);
                }
            }
        }
        self.note_watching();
    }
}

/// Said where a key would be lost that is not the one that has arrived.
const CHANGED: &str = "ERR A key was changed while it was on its way: it is kept here, and the target has what it was before";

/// The options behind the timeout.
struct Options {
    copy: bool,
    replace: bool,
    login: Vec<Vec<u8>>,
    /// Where the listed keys start.
    keys: Option<usize>,
}

fn options(args: Args<'_>) -> Result<Options, Error> {
    let mut options = Options {
        copy: false,
        replace: false,
        login: Vec::new(),
        keys: None,
    };
    let mut words = args.iter().enumerate().skip(6);
    while let Some((at, word)) = words.next() {
        if args::is(word, "AUTH") {
            let (_, password) = words.next().ok_or(Error::Syntax)?;
            // A user that was named before stays.
            options
                .login
                .truncate(options.login.len().saturating_sub(1));
            options.login.push(password.to_vec());
        } else if args::is(word, "AUTH2") {
            let login =
                [words.next(), words.next()].map(|word| word.map(|(_, word)| word.to_vec()));
            let [Some(user), Some(password)] = login else {
                return Err(Error::Syntax);
            };
            options.login = vec![user, password];
        } else if args::is(word, "COPY") {
            options.copy = true;
        } else if args::is(word, "REPLACE") {
            options.replace = true;
        } else if args::is(word, "KEYS") {
            if !args[3].is_empty() {
                return Err(Error::text(
                    "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
                ));
            }
            options.keys = Some(at + 1);
            break;
        } else {
            return Err(Error::Syntax);
        }
    }
    Ok(options)
}

/// MIGRATE host port key|"" db timeout [COPY] [REPLACE] [AUTH password | AUTH2 user password] [KEYS key …]
pub(crate) fn migrate(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let options = options(args)?;
    let timeout_ms = u64::try_from(args::int(args[5])?)
        .ok()
        .filter(|ms| *ms > 0)
        .unwrap_or(1000);
    let db_there = args::int(args[4])?;
    let listed = options.keys.map_or(&args[3..4], |first| &args[first..]);
    let db = engine.sessions.clients[id].db;
    let (mut keys, mut requests): (Vec<Box<[u8]>>, _) = (Vec::new(), Vec::new());
    for &key in listed {
        if let Some(request) = restore_request(engine, db, key, options.replace) {
            requests.extend_from_slice(&request);
            keys.push(key.into());
        }
    }
    if keys.is_empty() {
        engine.sessions.clients[id].out.status("NOKEY");
        return Ok(());
    }
    if engine.journal.group.depth > 0 || engine.sessions.clients[id].flags.internal {
        return Err(Error::text("ERR MIGRATE is not allowed in a transaction"));
    }
    let port = port(args[2]).ok_or(Error::text(
        "IOERR error or timeout connecting to the client",
    ))?;
    engine.shard.effects.propagate_nothing();
    engine.keeper.transfers.next += 1;
    let transfer = TransferId(engine.keeper.transfers.next);
    for key in &keys {
        engine
            .keeper
            .transfers
            .moving
            .entry((db, key.clone()))
            .or_default()
            .transfers += 1;
    }
    engine.note_watching();
    let what = Transfer {
        host: String::from_utf8_lossy(args[1]).into_owned(),
        port,
        db: db_there,
        login: options.login,
        timeout_ms,
        requests,
        count: keys.len(),
    };
    let client = &mut engine.sessions.clients[id];
    client.waiting = Waiting::Transfer;
    let running = Running {
        client: id,
        db,
        keys,
        copy: options.copy,
    };
    engine.keeper.transfers.running.insert(transfer, running);
    engine.act(Action::Transfer { transfer, what });
    Ok(())
}

/// A port as C's `atoi` and its resolver see it: the low 32 bits of the number in front, a negative one refused, and of the others the
/// low 16 bits.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cut is what is wanted"
)]
fn port(word: &[u8]) -> Option<u16> {
    let port = resp::number::scan_integer(word).value as i32;
    (port >= 0).then_some(port as u16)
}

/// The request that makes the key on the other side; `None` where there is no such key here.
fn restore_request(engine: &mut Engine, db: usize, key: &[u8], replace: bool) -> Option<Vec<u8>> {
    let now_ms = engine.now.unix_ms();
    let command: &[u8] = if engine.shard.settings.cluster {
        b"RESTORE-ASKING"
    } else {
        b"RESTORE"
    };
    let db = engine.shard.keyspace.db(db);
    db.read(key)?;
    let ttl = db
        .expire_ms(key)
        .map_or(0, |at| at.saturating_sub(now_ms).max(1))
        .to_string();
    let payload = rdb::dump_for_any(
        &mut engine.shard.dumper,
        db.peek(key)?,
        engine.config.rdbcompression,
    )
    .ok()?;
    let mut words = vec![command, key, ttl.as_bytes(), &payload];
    if replace {
        words.push(b"REPLACE");
    }
    let mut request = Vec::with_capacity(payload.len() + key.len() + 64);
    aof::encode_command(&mut request, words);
    Some(request)
}
