//! Replicas of older releases: what they are told instead of commands that they do not know, and how far they may follow.
//!
//! The stream is one for all replicas, so it is written as the oldest of them needs it: as `rdb-version` has it, where that is set, and
//! otherwise in what all replicas know that came. One that announces nothing of 4.0's counts as 2.8, one that does not say its version as a
//! Redis. The append-only file is written as ever.

use commands::older::{Piece, Release};
use commands::table::{Key, KeyFlags, find_keys};
use commands::{Args, Error, Flags};
use store::Value;

use crate::engine::rdb_version;
use crate::entry::{Entry, resolve};
use crate::journal::older::{Command, Level, Told};
use crate::keeper::persistence::DumpReader;
use crate::{ClientId, Engine};

/// A payload of more bytes is an argument that no release before 7.0 takes.
const MOST_PAYLOAD_BYTES: usize = 512 << 20;
/// So long a replica is refused whose copy has just failed, milliseconds. It would ask every second, for a fork each time.
const REST_MS: u64 = 10_000;
/// What such a replica is answered.
const NO_COPY: Error = Error::text(
    "ERR The data can't be dumped for a replica of this release: the log of the primary tells which key, and why",
);
/// What is answered where the stream is handed on from a primary.
const NOT_OURS: Error = Error::text(
    "ERR This replica hands on its primary's stream, which has commands that a replica of this release doesn't know. Replicate from \
     the primary itself",
);

impl Engine {
    /// The stream may say what the configuration and the replicas that came allow, from now on.
    pub(crate) fn set_stream_level(&mut self) {
        let set = rdb_version(&self.config);
        let met = self.journal.replicas.older.met;
        let level = match set {
            Some(version) => Level::of(version, self.index.facts()),
            None => met.map(|release| Level::of_replicas(release, self.index.facts())),
        };
        let facts = |level: &Option<Level>| level.as_ref().map(Level::facts);
        let (before, now) = (facts(&self.journal.replicas.older.level), facts(&level));
        if before == now {
            return;
        }
        // What a transaction has held back is in the words of before, and belongs in front of the change.
        self.open_group();
        let offset = self.journal.replicas.offset();
        let older = &mut self.journal.replicas.older;
        let lower = now.is_some_and(|now| before.is_none_or(|before| now.0 < before.0));
        // What a stream handed on from such a primary said counts.
        if lower && !older.primary_is_old {
            older.since = offset;
        }
        older.level = level;
    }

    /// Whether a client is a replica that did not say that it knows the stream of 4.0 or later. A reader that names no port of its own is
    /// no server.
    pub(crate) fn is_old_replica(&self, id: ClientId) -> bool {
        let port = self
            .sessions
            .clients
            .get(id)
            .map(|client| client.listening_port);
        port.is_some_and(|port| port != 0) && !self.announced(id).psync2
    }

    /// What a replica knows that is older than this server, as far as it tells.
    fn release_of(&self, id: ClientId) -> Option<Release> {
        let client = self.sessions.clients.get(id)?;
        if client.listening_port == 0 {
            return None;
        }
        let told = self.announced(id);
        if !told.psync2 {
            return Some(Release::V2_8);
        }
        let release = match told.version {
            // Redis never tells.
            0 => Release::V7_4,
            number => Release::of_number(number),
        };
        (release < Release::TODAY).then_some(release)
    }

    /// Whether a client is a replica that the stream is written in older words for.
    fn needs_level(&self, id: ClientId) -> bool {
        let Some(level) = &self.journal.replicas.older.level else {
            return false;
        };
        if rdb_version(&self.config).is_none() {
            return self.release_of(id).is_some();
        }
        let told = self.announced(id);
        let serves = self.sessions.clients.get(id);
        serves.is_some_and(|client| client.listening_port != 0)
            && told.version <= level.release.number()
    }

    /// A replica asks for the stream: from now on it is written so that this one understands it.
    ///
    /// # Errors
    /// It cannot be.
    pub(crate) fn meet_replica(&mut self, id: ClientId) -> Result<(), Error> {
        let Some(release) = self.release_of(id) else {
            return Ok(());
        };
        let is_old = release == Release::V2_8;
        let name = self.replica_name(id);
        let older = &mut self.journal.replicas.older;
        if is_old && self.keeper.slave.is_some() && !older.primary_is_old {
            tracing::warn!(
                "Replica {name} announces nothing of a release from 4.0 on, and is refused: the stream of this server's primary is \
                 handed on as it is, and has commands that such a replica does not know. It can replicate from the primary itself."
            );
            return Err(NOT_OURS);
        }
        let reader = self.dump_reader(id);
        let older = &mut self.journal.replicas.older;
        if matches!(reader, DumpReader::Common | DumpReader::Old)
            && self.now.mono_ms < older.refused_until_ms
        {
            return Err(NO_COPY);
        }
        let common = older.met.map_or(release, |met| met.common(release));
        if older.met.replace(common) != Some(common) {
            let understood = match common {
                Release::V2_8 => "2.8 and 3.0 understand",
                Release::V7_4 => "Redis understands from 7.0 on",
                _ => "it understands",
            };
            let told = if is_old {
                "announces nothing of a release from 4.0 on"
            } else if self.announced(id).version == 0 {
                "does not say which release it is"
            } else {
                "is of an older release"
            };
            tracing::info!(
                "Replica {name} {told}. From now on the stream says what {understood}, unless rdb-version is set."
            );
        }
        self.set_stream_level();
        Ok(())
    }

    /// No replica of that kind is remembered.
    pub(crate) fn forget_old_replicas(&mut self) {
        self.journal.replicas.older.met = None;
        self.set_stream_level();
    }

    /// What kind of dump a client needs as its copy.
    pub(crate) fn dump_reader(&self, id: ClientId) -> DumpReader {
        let told = self.announced(id);
        if told.psync2 {
            match told.version {
                0 if told.rdb_channel => DumpReader::Common,
                0 => DumpReader::Unnamed,
                number if Release::of_number(number) < Release::V9_0 => DumpReader::Common,
                _ => DumpReader::Today,
            }
        } else if self.is_old_replica(id) {
            DumpReader::Old
        } else {
            DumpReader::Plain
        }
    }

    /// The dump that was to be for replicas of old releases has failed.
    pub(crate) fn note_failed_copy(&mut self) {
        if matches!(
            self.keeper.persistence.dump_reader,
            DumpReader::Common | DumpReader::Old
        ) {
            self.journal.replicas.older.refused_until_ms = self.now.mono_ms + REST_MS;
        }
    }

    /// Whether a replica understands all of the stream from there on.
    pub(crate) fn understands_from(&self, id: ClientId, from: u64) -> bool {
        let older = &self.journal.replicas.older;
        if !self.needs_level(id) {
            return true;
        }
        match self.release_of(id) {
            Some(release) if release != Release::V2_8 && rdb_version(&self.config).is_none() => {
                let knows_fields = release == Release::V7_4 || release >= Release::V9_0;
                from >= older.newer.any && (knows_fields || from >= older.newer.fields)
            }
            _ => from >= older.since,
        }
    }

    /// Notes where the stream says what replicas from 4.0 on may not know. `name` is that of the command that it ends with.
    pub(crate) fn note_newer(&mut self, name: &[u8]) {
        let offset = self.journal.replicas.offset();
        let newer = &mut self.journal.replicas.older.newer;
        if let Some(command) = newer.find(name) {
            if command.fields {
                newer.fields = offset;
            } else {
                newer.any = offset;
            }
        }
    }

    /// This server follows a primary's stream from now on, which may not be for those that follow us.
    pub(crate) fn note_primary_level(&mut self) {
        let slave = self.keeper.slave.as_ref();
        let is_old = slave.is_some_and(|slave| slave.link.is_primary_old());
        let older = &mut self.journal.replicas.older;
        older.primary_is_old = is_old;
        if is_old {
            older.since = 0;
            return;
        }
        for id in self.journal.replicas.ids.clone() {
            if self.is_old_replica(id) {
                self.close_now(id);
            }
        }
    }

    /// This server writes the stream from now on.
    pub(crate) fn note_own_level(&mut self) {
        let offset = self.journal.replicas.offset();
        // Where a version is set, those that follow have read the same stream as this server.
        let set = rdb_version(&self.config).is_some();
        let older = &mut self.journal.replicas.older;
        if !std::mem::take(&mut older.primary_is_old) && !set {
            older.since = offset;
        }
    }

    /// Those that do not know what the stream has just said follow no longer.
    pub(crate) fn leave_old_replicas(&mut self, args: Args<'_>, why: &str) {
        let offset = self.journal.replicas.offset();
        self.journal.replicas.older.since = offset;
        self.journal.replicas.older.newer.any = offset;
        let replicas = self.journal.replicas.ids.iter().copied();
        let left: Vec<ClientId> = replicas.filter(|id| self.needs_level(*id)).collect();
        if left.is_empty() {
            return;
        }
        let names: Vec<String> = left.iter().map(|id| self.replica_name(*id)).collect();
        let command = args.first().map(|word| word.to_ascii_uppercase());
        tracing::warn!(
            "{} can't be told to replicas of older releases: {why}. They would differ from now on, and are disconnected: {}",
            String::from_utf8_lossy(&command.unwrap_or_default()),
            names.join(", ")
        );
        for id in left {
            self.close_now(id);
        }
    }

    // ---- what is said instead -----------------------------------------------------------------------------------------------

    /// What the replicas are told of a command that has just run, at the level of the stream.
    pub(crate) fn tell(&mut self, db: usize, args: Args<'_>) -> Told {
        let Some(entry) = self.streamed(args) else {
            return Told::Same;
        };
        match self.pieces(entry, args) {
            Ok(None) => Told::Same,
            Ok(Some(pieces)) => self.complete(db, &pieces),
            Err(why) => Told::Beyond(why.to_owned()),
        }
    }

    /// The same of commands that tell of one change together, for each of them. What is looked up is as all of them have left it: then the
    /// first tells everything.
    pub(crate) fn tell_all(&mut self, db: usize, commands: &[Vec<&[u8]>]) -> Vec<Told> {
        let looks = |engine: &Self, args: Args<'_>| {
            let entry = engine.streamed(args);
            let pieces = entry.map(|entry| engine.pieces(entry, args));
            matches!(pieces, Some(Ok(Some(pieces))) if pieces.iter().any(Piece::looks))
        };
        if commands.len() < 2 || !commands.iter().any(|args| looks(self, args)) {
            return commands.iter().map(|args| self.tell(db, args)).collect();
        }
        let mut keys: Vec<&[u8]> = Vec::new();
        for args in commands {
            let written = self.streamed(args).map(|entry| written_keys(entry, args));
            keys.extend(written.unwrap_or_default());
        }
        keys.sort_unstable();
        keys.dedup();
        let states: Vec<Piece<'_>> = keys
            .into_iter()
            .map(|key| Piece::State(None, key))
            .collect();
        let mut told = vec![self.complete(db, &states)];
        told.extend(commands.iter().skip(1).map(|_| Told::Instead(Vec::new())));
        told
    }

    /// The command that these words are, whatever it is called here.
    fn streamed(&self, args: Args<'_>) -> Option<Entry> {
        let name = args.first()?;
        let own = || {
            let mut commands = self.index.commands().iter();
            commands.find(|entry| name.eq_ignore_ascii_case(entry.command.name.as_bytes()))
        };
        let entry = self.index.find(name).or_else(own)?;
        resolve(entry, args).ok()
    }

    /// What is to be said instead of a command; nothing of that where it is understood.
    fn pieces<'a>(
        &self,
        entry: Entry,
        args: Args<'a>,
    ) -> Result<Option<Vec<Piece<'a>>>, &'static str> {
        let Some(level) = &self.journal.replicas.older.level else {
            return Ok(None);
        };
        let facts = entry.command;
        if let Some(pieces) = facts.older.and_then(|older| older(level.release, args)) {
            return Ok(Some(pieces));
        }
        if level.vocabulary.knows(entry.number, args) {
            return Ok(None);
        }
        if !facts.flags.has(Flags::WRITE) {
            // It changes no data. What moves slots is sent where all that follow know it.
            return Ok((level.release < Release::V7_0).then(Vec::new));
        }
        let keys = written_keys(entry, args);
        if keys.is_empty() {
            return Err(
                "their release has no such command, and no key to tell of holds what it changed",
            );
        }
        Ok(Some(
            keys.into_iter()
                .map(|key| Piece::State(None, key))
                .collect(),
        ))
    }

    fn complete(&mut self, db: usize, pieces: &[Piece<'_>]) -> Told {
        let mut commands = Vec::new();
        for piece in pieces {
            if let Err(why) = self.complete_one(db, piece, &mut commands) {
                return Told::Beyond(why);
            }
        }
        Told::Instead(commands)
    }

    fn complete_one(
        &mut self,
        db: usize,
        piece: &Piece<'_>,
        commands: &mut Vec<Command>,
    ) -> Result<(), String> {
        match piece {
            Piece::Say(words) => {
                let words: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
                push(commands, db, &words);
            }
            Piece::Expiry(other, key) => {
                let db = other.unwrap_or(db);
                if let Some(at_ms) = self.shard.keyspace.db_ref(db).expire_ms(key) {
                    push(
                        commands,
                        db,
                        &[b"PEXPIREAT", key, at_ms.to_string().as_bytes()],
                    );
                }
            }
            Piece::Scores(key, members) => {
                let words = self.scores(db, key, members);
                if !words.is_empty() {
                    let words: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
                    let all = [&[b"ZADD", *key], &words[..]].concat();
                    push(commands, db, &all);
                }
            }
            Piece::Moved {
                pop,
                source,
                push: push_to,
                destination,
            } => {
                let Some(Value::List(list)) = self.shard.keyspace.db_ref(db).peek(destination)
                else {
                    return self.state(db, destination, commands);
                };
                let at = if *push_to == "LPUSH" {
                    0
                } else {
                    list.len() - 1
                };
                let element: Box<[u8]> = list.index(at).unwrap_or_default().into();
                // A list of one element that is turned keeps its expiry so.
                push(commands, db, &[push_to.as_bytes(), destination, &element]);
                push(commands, db, &[pop.as_bytes(), source]);
            }
            Piece::State(other, key) => self.state(other.unwrap_or(db), key, commands)?,
        }
        Ok(())
    }

    /// Scores and members, of those that are there.
    fn scores(&self, db: usize, key: &[u8], members: &[&[u8]]) -> Vec<Box<[u8]>> {
        let Some(Value::Zset(zset)) = self.shard.keyspace.db_ref(db).peek(key) else {
            return Vec::new();
        };
        let mut words: Vec<Box<[u8]>> = Vec::new();
        for member in members {
            if let Some(score) = zset.score(member) {
                let mut digits = resp::number::DoubleBuffer::new();
                words.push(digits.format(score).as_bytes().into());
                words.push((*member).into());
            }
        }
        words
    }

    /// The commands that make a key what it is.
    fn state(&mut self, db: usize, key: &[u8], commands: &mut Vec<Command>) -> Result<(), String> {
        let Some(level) = &self.journal.replicas.older.level else {
            return Ok(());
        };
        let (version, timed) = (level.version, level.timed);
        let data = self.shard.keyspace.db_ref(db);
        let Some(value) = data.peek(key) else {
            push(commands, db, &[b"DEL", key]);
            return Ok(());
        };
        if let Value::Str(string) = value {
            push(commands, db, &[b"SET", key, string.bytes(&mut [0; 20])]);
        } else {
            let version = match &value {
                Value::Hash(hash) if hash.timed_len() > 0 => timed,
                _ => version,
            };
            let dumper = &mut self.shard.dumper;
            let set = dumper.version.replace(version);
            let payload = rdb::dump(dumper, value, self.config.rdbcompression);
            dumper.version = set;
            let payload = payload.map_err(|error| {
                let held = error.get_ref().and_then(|error| error.downcast_ref());
                let why = held.map_or_else(
                    || error.to_string(),
                    |held: &rdb::CannotHold| format!("it is {}", held.what),
                );
                let key = key[..key.len().min(128)].escape_ascii();
                format!(
                    "RDB version {} can't hold the key '{key}' of database {db}: {why}",
                    version.number()
                )
            })?;
            if payload.len() > MOST_PAYLOAD_BYTES {
                return Err(format!("a payload of {} bytes is too long", payload.len()));
            }
            push(commands, db, &[b"DEL", key]);
            push(commands, db, &[b"RESTORE", key, b"0", &payload]);
        }
        if let Some(at_ms) = data.expire_ms(key) {
            push(
                commands,
                db,
                &[b"PEXPIREAT", key, at_ms.to_string().as_bytes()],
            );
        }
        Ok(())
    }
}

fn push(commands: &mut Vec<Command>, db: usize, words: &[&[u8]]) {
    let words = words.iter().map(|&word| word.into()).collect();
    commands.push(Command { db, words });
}

/// The keys that a command may have changed.
fn written_keys<'a>(entry: Entry, args: Args<'a>) -> Vec<&'a [u8]> {
    let mut keys = Vec::new();
    find_keys(entry.command, args, &mut keys);
    let writes = |key: &Key| !key.flags.has(KeyFlags::RO) && !key.flags.has(KeyFlags::NOT_KEY);
    let written = keys.iter().filter(|key| writes(key));
    let mut written: Vec<&[u8]> = written.map(|key| args[key.at]).collect();
    written.sort_unstable();
    written.dedup();
    written
}
