//! Reading the append-only file back: its commands are run by a client that is no connection. Opening and cutting the file is the
//! shell's, as is giving other clients a turn between two steps.

use commands::{Error, Flags, Traits};
use rdb::{Input, LoadOptions, Loader, Progress};

use crate::dispatch::{unknown_command, wrong_arity};
use crate::entry::{self, Entry, Runner};
use crate::host::Source;
use crate::journal::refusal::Refusal;
use crate::{ClientId, Engine, Peer};

/// Why a file cannot be replayed to its end.
#[derive(Debug)]
pub enum ReplayError {
    /// Its commands cannot be read.
    Aof(aof::Error),
    /// It begins with a dump that cannot be read.
    Preamble(rdb::Error),
    /// A command that this server does not know, or does not run from a file.
    Unknown(String),
    /// A command in a form that this server does not know: what it would have changed is missing.
    Refused(Refusal),
}

impl ReplayError {
    /// The line that is logged when the file `name` is given up.
    #[must_use]
    pub fn line(&self, name: &str) -> String {
        match self {
            Self::Aof(error) => error.line(name),
            Self::Preamble(error) => format!(
                "Error reading the RDB preamble of the AOF file {name}, AOF loading aborted: {error}"
            ),
            Self::Unknown(error) => {
                format!("Error reading the append only file {name}, error: {error}")
            }
            Self::Refused(refusal) => format!(
                "Command '{}' in the append only file {name} has a form that this server does not know ({}): it was written by \
                 another version, or with another configuration",
                refusal.name, refusal.line
            ),
        }
    }
}

/// A replay under way.
pub struct Replay {
    stage: Stage,
    client: ClientId,
}

enum Stage {
    /// A dump at the start of the file.
    Preamble(Box<Loader<Source>>),
    Commands(Box<aof::Reader<Source>>),
    Over,
}

impl Engine {
    /// Begins to replay a file of `total_bytes`. Until [`Engine::end_replay`] most commands answer LOADING.
    ///
    /// # Errors
    /// Where the start of the file cannot be read; there is nothing to be ended then.
    pub fn begin_replay(
        &mut self,
        source: Source,
        total_bytes: u64,
        options: LoadOptions,
    ) -> Result<Replay, ReplayError> {
        let mut input = Input::new(source);
        let stage = if aof::begins_with_rdb(&mut input).map_err(ReplayError::Aof)? {
            tracing::info!("Reading RDB base file on AOF loading...");
            let loader =
                Loader::open(input, options, self.limits()).map_err(ReplayError::Preamble)?;
            Stage::Preamble(Box::new(loader))
        } else {
            Stage::Commands(Box::new(aof::Reader::after(input)))
        };
        let client = self.add_client(Peer {
            addr: String::new(),
            local_addr: String::new(),
            fd: -1,
            unix: false,
            ..Peer::default()
        });
        let flags = &mut self.sessions.clients[client].flags;
        (flags.internal, flags.authenticated) = (true, true);
        self.begin_load(total_bytes);
        Ok(Replay { stage, client })
    }

    /// Replays about `bytes` more of the file.
    ///
    /// # Errors
    /// Any of [`ReplayError`]. After [`aof::Error::Truncated`] the dataset is that of the whole commands before; after any other
    /// it is not to be used.
    pub fn replay_step(
        &mut self,
        replay: &mut Replay,
        bytes: u64,
    ) -> Result<Progress, ReplayError> {
        replay.stage = match std::mem::replace(&mut replay.stage, Stage::Over) {
            Stage::Preamble(mut loader) => match self
                .load_step(&mut loader, bytes)
                .map_err(ReplayError::Preamble)?
            {
                Progress::More => Stage::Preamble(loader),
                Progress::Done => {
                    Stage::Commands(Box::new(aof::Reader::after(loader.into_input())))
                }
            },
            Stage::Commands(mut reader) => {
                match self.replay_commands(&mut reader, replay.client, bytes)? {
                    Progress::More => Stage::Commands(reader),
                    Progress::Done => Stage::Over,
                }
            }
            Stage::Over => Stage::Over,
        };
        match replay.stage {
            Stage::Over => Ok(Progress::Done),
            _ => Ok(Progress::More),
        }
    }

    /// The replay is over, well or not. A transaction that the file does not end is forgotten.
    #[expect(clippy::needless_pass_by_value, reason = "what is over cannot go on")]
    pub fn end_replay(&mut self, replay: Replay) {
        self.close(replay.client);
        self.end_load();
    }

    fn replay_commands(
        &mut self,
        reader: &mut aof::Reader<Source>,
        id: ClientId,
        bytes: u64,
    ) -> Result<Progress, ReplayError> {
        let until = reader.offset().saturating_add(bytes);
        self.journal.replaying = true;
        let result = loop {
            if reader.offset() >= until {
                break Ok(Progress::More);
            }
            let command = match reader.next_command() {
                Ok(Some(command)) => command,
                Ok(None) => break Ok(Progress::Done),
                Err(error) => break Err(ReplayError::Aof(error)),
            };
            let mut args = self.intake.args.take();
            args.extend(command.args());
            let result = self.replay_one(id, &args);
            self.intake.args.put(args);
            if let Err(error) = result {
                break Err(error);
            }
        };
        self.journal.replaying = false;
        self.note_loaded(reader.offset());
        self.free_garbage();
        result
    }

    /// The command of these words.
    fn known(&self, args: &[&[u8]]) -> Result<Entry, Error> {
        let entry = self.index.find(args[0]);
        let entry = entry.ok_or_else(|| unknown_command(args))?;
        let entry = entry::resolve(entry, args)?;
        if entry.command.accepts(args.len()) {
            Ok(entry)
        } else {
            Err(wrong_arity(entry))
        }
    }

    fn replay_one(&mut self, id: ClientId, args: &[&[u8]]) -> Result<(), ReplayError> {
        let entry = self.known(args).map_err(|error| {
            let line = error.line();
            let line = line.strip_prefix(b"ERR ").unwrap_or(&line);
            ReplayError::Unknown(String::from_utf8_lossy(line).into_owned())
        })?;
        if !is_replayed(entry) {
            let name = entry.command.name;
            if entry.command.flags.has(Flags::WRITE) {
                let error = format!("'{name}' is not run from a file");
                return Err(ReplayError::Unknown(error));
            }
            tracing::warn!("Command '{name}' in the append only file changes no data: passed over");
            return Ok(());
        }
        let client = &mut self.sessions.clients[id];
        if client.transaction.multi.is_some() && !entry.command.traits.has(Traits::NOT_QUEUED) {
            self.queue(id, entry, args);
        } else {
            let db = client.db;
            self.run(id, entry, args);
            self.apply_effects(id, entry, db, args);
        }
        // Nobody reads the replies.
        self.sessions.clients[id].out.clear();
        match self.journal.refused.take() {
            Some(refusal) if refusal.malformed => Err(ReplayError::Refused(refusal)),
            Some(Refusal { name, line, .. }) => {
                tracing::warn!("Command '{name}' in the append only file was refused: {line}");
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A command that runs from a file was answered by an error. A script's may be, after it has changed something.
    pub(crate) fn note_refusal(&mut self, entry: Entry, error: &Error) {
        let name = entry.command.name;
        let malformed =
            matches!(error, Error::Syntax) || entry.command.traits.has(Traits::SELECTS_DB);
        if malformed || matches!(entry.runner, Runner::Data(_)) {
            let line = String::from_utf8_lossy(&error.line()).into_owned();
            let refusal = Refusal {
                name,
                line,
                malformed,
            };
            // Of several in a transaction, the first.
            self.journal.refused.get_or_insert(refusal);
        }
    }

    /// DEBUG LOADAOF: replays the file while everything waits. Half a dataset is never kept: where the file is damaged, the process
    /// ends.
    pub(crate) fn reload_append_only(&mut self) -> Result<(), String> {
        self.flush(true);
        self.reread_manifest();
        let mut parts = Vec::new();
        let names: Vec<_> = self.part_names();
        for name in names {
            let (source, bytes) = self.host.read_append(&self.part_path(&name))?;
            parts.push((String::from_utf8_lossy(&name).into_owned(), source, bytes));
        }
        self.forget_imports("A new RDB is being loaded");
        self.empty_keyspace();
        self.forget_libraries();
        if parts.is_empty() {
            return Err(String::from("there is no append-only file"));
        }
        for (name, source, bytes) in parts {
            if let Err(error) = self.replay_now(source, bytes) {
                self.exit(1);
                return Err(error.line(&name));
            }
        }
        if !self.is_slave() {
            self.fail_imports("Process restarted");
        }
        tracing::warn!("Append Only File loaded by DEBUG LOADAOF");
        Ok(())
    }

    fn replay_now(&mut self, source: Source, bytes: u64) -> Result<(), ReplayError> {
        if bytes == 0 {
            return Ok(());
        }
        let mut replay = self.begin_replay(source, bytes, LoadOptions::default())?;
        let result = loop {
            match self.replay_step(&mut replay, u64::MAX) {
                Ok(Progress::More) => {}
                Ok(Progress::Done) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.end_replay(replay);
        result
    }
}

/// Data commands, and those of the engine that a file may hold. Others belong to connections, and would not do what they did when
/// they were written.
fn is_replayed(entry: Entry) -> bool {
    match entry.runner {
        Runner::Data(_) => true,
        Runner::Engine(_) | Runner::Help => entry.command.traits.has(Traits::REPLAYED),
    }
}
