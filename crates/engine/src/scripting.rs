//! EVAL, EVALSHA and SCRIPT: what a script may do to this server, what is told to replicas of it, and who is served while it runs
//! for too long. The language itself is the crate `script`.
//!
//! A script runs within the engine's turn, with the time of the turn's start: its commands see no key expire half-way. They run
//! for a client of its own and are not propagated; the script is, if one of them changed anything. Once `lua-time-limit` is over,
//! the shell is asked now and then to serve the others ([`crate::Meanwhile`]), who are answered BUSY.

use std::rc::Rc;

use commands::{Args, Done, Error, Flags, Propagation, Traits, args};
use script::{Interpreter, Limits, LogLevel, Outcome, Refusal, Tick, texts};

use crate::index::{self, Entry};
use crate::{ClientId, Engine, Peer};

/// Others are served this often while a slow script runs.
const SERVE_EVERY_US: u64 = 2000;

/// The script engine of one server.
#[derive(Debug, Default)]
pub(crate) struct Scripting {
    /// Made for the first script; away while one runs.
    interpreter: Option<Box<Interpreter>>,
    /// What the interpreter held when it was last put back, bytes.
    memory_bytes: usize,
    /// Runs the commands of scripts; made for the first script.
    pub(crate) client: Option<ClientId>,
    pub(crate) running: Option<Running>,
}

/// The script that runs.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(crate) struct Running {
    pub(crate) caller: ClientId,
    /// On [`crate::Host::mono_us`]'s clock.
    start_us: u64,
    /// None where it may take as long as it needs.
    limit_us: Option<u64>,
    /// When others were served last.
    served_us: u64,
    /// It is over the limit.
    slow: bool,
    /// SCRIPT KILL was said.
    killed: bool,
    /// It called a command that writes.
    wrote: bool,
    /// Whom it is to be propagated to.
    audience: Audience,
}

/// Whom something is to be told to, each with those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Audience {
    Nobody,
    /// What changes no data.
    Replicas,
    /// The append-only file too.
    Everybody,
}

impl Engine {
    /// Whether a script runs right now.
    pub(crate) fn in_script(&self) -> bool {
        self.scripting.running.is_some()
    }

    /// Memory of the script interpreter, bytes.
    pub(crate) fn script_memory(&self) -> usize {
        let interpreter = self.scripting.interpreter.as_ref();
        interpreter.map_or(self.scripting.memory_bytes, |known| known.memory_used())
    }

    /// Unix microseconds, which go on while a script runs.
    pub(crate) fn moving_unix_us(&self) -> u64 {
        let passed = self.scripting.running.map_or(0, |running| {
            self.host.mono_us().saturating_sub(running.start_us)
        });
        self.now.unix_us.saturating_add(passed)
    }

    // ---- for the shell, within `Meanwhile::serve` ------------------------------------------------------------------------

    /// Whether this client can be served while a script runs. The one that started the script cannot.
    #[must_use]
    pub fn serves_meanwhile(&self, id: ClientId) -> bool {
        let caller = self.scripting.running.map(|running| running.caller);
        caller != Some(id) && self.wants_input(id)
    }

    /// [`Engine::receive`] while a script runs. What cannot be sent at once is left to be sent after the script.
    pub fn receive_meanwhile(&mut self, id: ClientId, bytes: &[u8]) {
        if self.serves_meanwhile(id) {
            self.receive(id, bytes);
            self.wake(id);
        }
    }

    // ---- gates -----------------------------------------------------------------------------------------------------------

    /// The gate for everybody else while a script takes too long.
    pub(crate) fn gate_script(&self, entry: Entry, args: Args<'_>) -> Result<(), Error> {
        if !self.scripting.running.is_some_and(|running| running.slow) {
            return Ok(());
        }
        // What saves would save what a script has left half done.
        let saves = entry.command.traits.has(Traits::SHUTDOWN)
            && !args.iter().any(|word| args::is(word, "NOSAVE"));
        if entry.command.flags.has(Flags::ALLOW_BUSY) && !saves {
            Ok(())
        } else {
            Err(Error::text(texts::BUSY))
        }
    }

    /// The gates between a script and a command, in the order of Redis 3.0.
    fn gates_for_script(&mut self, id: ClientId, args: Args<'_>) -> Result<Entry, Refusal> {
        let entry = self.index.find(args[0]).ok_or(Refusal::UnknownCommand)?;
        let entry = index::resolve(entry, args).map_err(|_| Refusal::UnknownCommand)?;
        let flags = entry.command.flags;
        if !entry.command.accepts(args.len()) {
            return Err(Refusal::WrongArity);
        }
        let Some(running) = self.scripting.running else {
            return Err(Refusal::NotFromScripts);
        };
        if flags.has(Flags::NOSCRIPT) {
            return Err(Refusal::NotFromScripts);
        }
        let caller = self.sessions.clients[running.caller].flags;
        if flags.has(Flags::WRITE) {
            if !caller.master && self.keeper.persistence.loading.is_none() {
                self.gate_read_only().map_err(as_line)?;
            }
            self.gate_disk().map_err(as_line)?;
        }
        // What has begun to write cannot stop half-way.
        if flags.has(Flags::DENYOOM) && !running.wrote {
            self.make_room().map_err(as_line)?;
        }
        if let Some(running) = &mut self.scripting.running {
            running.wrote |= flags.has(Flags::WRITE);
        }
        if !caller.master && !caller.internal {
            let own = &mut self.sessions.clients[id].flags;
            (own.asking, own.readonly) = (caller.asking, caller.readonly);
            self.gate_cluster(id, entry, args)
                .map_err(|_| Refusal::NonLocalKey)?;
        }
        Ok(entry)
    }

    /// What a command of the running script left to propagate.
    pub(crate) fn note_for_script(&mut self, changed: bool, propagation: &Propagation) {
        let audience = match propagation {
            Propagation::Forced => Audience::Everybody,
            _ if changed => Audience::Everybody,
            Propagation::Replicas => Audience::Replicas,
            Propagation::AsIs | Propagation::Instead(_) => Audience::Nobody,
        };
        if let Some(running) = &mut self.scripting.running {
            running.audience = running.audience.max(audience);
        }
    }

    // ---- running ---------------------------------------------------------------------------------------------------------

    fn take_interpreter(&mut self) -> Result<Box<Interpreter>, Error> {
        if let Some(interpreter) = self.scripting.interpreter.take() {
            return Ok(interpreter);
        }
        Interpreter::new(Limits::default())
            .map(Box::new)
            .map_err(|error| Error::owned(format!("ERR {error}")))
    }

    fn put_interpreter(&mut self, interpreter: Box<Interpreter>) {
        self.scripting.memory_bytes = interpreter.memory_used();
        self.scripting.interpreter = Some(interpreter);
    }

    /// Prepares for a script of `caller`; the client that runs its commands.
    fn begin_script(&mut self, caller: ClientId) -> ClientId {
        let id = match self.scripting.client {
            Some(id) => id,
            None => {
                let id = self.add_client(Peer {
                    addr: String::new(),
                    local_addr: String::new(),
                    fd: -1,
                    unix: false,
                });
                let flags = &mut self.sessions.clients[id].flags;
                (flags.internal, flags.authenticated) = (true, true);
                self.scripting.client = Some(id);
                id
            }
        };
        self.sessions.clients[id].db = self.sessions.clients[caller].db;
        let start_us = self.host.mono_us();
        // A replica has to run what its master ran, however long it takes.
        let limit_ms = u64::try_from(self.config.lua_time_limit)
            .ok()
            .filter(|limit| *limit > 0 && !self.is_slave());
        self.scripting.running = Some(Running {
            caller,
            start_us,
            limit_us: limit_ms.map(|limit| limit.saturating_mul(1000)),
            served_us: 0,
            slow: false,
            killed: false,
            wrote: false,
            audience: Audience::Nobody,
        });
        id
    }

    /// Looks after the time of the running script, and whether it may go on.
    fn tick_script(&mut self) -> Tick {
        let now_us = self.host.mono_us();
        let Some(running) = &mut self.scripting.running else {
            return Tick::Continue;
        };
        let elapsed_us = now_us.saturating_sub(running.start_us);
        if running.limit_us.is_none_or(|limit| elapsed_us < limit) {
            return Tick::Continue;
        }
        if !running.slow {
            running.slow = true;
            tracing::warn!("{}", texts::slow_script_log(elapsed_us / 1000));
        }
        if now_us.saturating_sub(running.served_us) >= SERVE_EVERY_US {
            if let Some(meanwhile) = self.host.meanwhile() {
                meanwhile.serve(self);
            }
            let served_us = self.host.mono_us();
            if let Some(running) = &mut self.scripting.running {
                running.served_us = served_us;
            }
        }
        if self.keeper.persistence.ending {
            return Tick::Kill("the server ends".into());
        }
        if self.scripting.running.is_some_and(|running| running.killed) {
            tracing::warn!("{}", texts::KILLED_LOG);
            return Tick::Kill(texts::KILLED.into());
        }
        Tick::Continue
    }
}

/// An error as a script sees it: the line that a client would get.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn as_line(error: Error) -> Refusal {
    Refusal::Gate(format!("-{error}\r\n").into())
}

/// The server, as the running script sees it.
struct Caller<'a> {
    engine: &'a mut Engine,
    /// Runs the commands.
    id: ClientId,
}

impl script::Host for Caller<'_> {
    fn call(&mut self, args: &[&[u8]], reply: &mut Vec<u8>) -> Outcome {
        let entry = match self.engine.gates_for_script(self.id, args) {
            Ok(entry) => entry,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        // What the script did before is not the command's time.
        self.engine.meter.last_ns = self.engine.host.mono_ns();
        self.engine.call(self.id, entry, args);
        let out = &mut self.engine.sessions.clients[self.id].out;
        for chunk in out.chunks() {
            reply.extend_from_slice(chunk);
        }
        out.clear();
        if reply.is_empty() {
            // SHUTDOWN that worked. The script ends at its next step.
            reply.extend_from_slice(b"$-1\r\n");
        }
        Outcome::Reply { sort: false }
    }

    fn tick(&mut self) -> Tick {
        self.engine.tick_script()
    }

    fn log(&mut self, level: LogLevel, text: &[u8]) {
        let text = String::from_utf8_lossy(text);
        match level {
            LogLevel::Debug => tracing::trace!("{text}"),
            LogLevel::Verbose => tracing::debug!("{text}"),
            LogLevel::Notice => tracing::info!("{text}"),
            LogLevel::Warning => tracing::warn!("{text}"),
        }
    }
}

/// EVAL script numkeys key … arg …
pub(crate) fn eval(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    engine.tell_monitors(id, args);
    let (keys, argv) = keys_and_arguments(args)?;
    let interpreter = engine.take_interpreter()?;
    let audience = run(engine, id, interpreter, |interpreter, host, reply| {
        interpreter.eval(args[1], keys, argv, host, reply);
    });
    match audience {
        Audience::Nobody => {}
        Audience::Replicas => engine.shard.effects.propagation = Propagation::Replicas,
        Audience::Everybody => engine.shard.effects.propagation = Propagation::Forced,
    }
    Ok(())
}

/// EVALSHA sha1 numkeys key … arg … It goes to the file and the replicas as EVAL: they need not know the script.
pub(crate) fn evalsha(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    engine.tell_monitors(id, args);
    let unknown = || Error::text(texts::NO_SCRIPT);
    if args[1].len() != 40 {
        return Err(unknown());
    }
    let (keys, argv) = keys_and_arguments(args)?;
    let known = engine.scripting.interpreter.as_ref();
    let source: Rc<[u8]> = known
        .and_then(|interpreter| interpreter.source(args[1]))
        .ok_or_else(unknown)?;
    let interpreter = engine.take_interpreter()?;
    let audience = run(engine, id, interpreter, |interpreter, host, reply| {
        interpreter.eval_sha(args[1], keys, argv, host, reply);
    });
    let command = || [&[b"EVAL", &source[..]], &args[2..]].concat();
    match audience {
        Audience::Nobody => {}
        Audience::Replicas => {
            engine.propagate_to_replicas(engine.sessions.clients[id].db, &command())
        }
        Audience::Everybody => engine.shard.effects.propagate_instead(&command()),
    }
    Ok(())
}

fn keys_and_arguments<'a>(args: Args<'a>) -> Result<(Args<'a>, Args<'a>), Error> {
    let count = args::int(args[2])?;
    if count < 0 {
        return Err(Error::text(texts::NEGATIVE_KEYS));
    }
    usize::try_from(count)
        .ok()
        .and_then(|count| args[3..].split_at_checked(count))
        .ok_or_else(|| Error::text(texts::TOO_MANY_KEYS))
}

/// Runs a script for client `id`, which gets its reply. Whom the script is to be propagated to.
fn run(
    engine: &mut Engine,
    id: ClientId,
    mut interpreter: Box<Interpreter>,
    script: impl FnOnce(&mut Interpreter, &mut dyn script::Host, &mut Vec<u8>),
) -> Audience {
    let runner = engine.begin_script(id);
    let mut reply = Vec::new();
    let mut host = Caller { engine, id: runner };
    script(&mut interpreter, &mut host, &mut reply);
    engine.put_interpreter(interpreter);
    let running = engine.scripting.running.take();
    engine.sessions.clients[id].out.raw(&reply);
    match running {
        // SHUTDOWN NOSAVE in the middle: what the script did so far is to be lost.
        _ if engine.keeper.persistence.ending => Audience::Nobody,
        running => running.map_or(Audience::Nobody, |running| running.audience),
    }
}

/// SCRIPT LOAD script | EXISTS sha1 … | FLUSH | KILL
pub(crate) fn script(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    match args {
        [_, word] if args::is(word, "FLUSH") => {
            engine.scripting.interpreter = None;
            engine.scripting.memory_bytes = 0;
            engine.shard.effects.dirty += 1;
            engine.sessions.clients[id].out.ok();
        }
        [_, word, hashes @ ..] if args::is(word, "EXISTS") => {
            let interpreter = engine.scripting.interpreter.as_ref();
            let out = &mut engine.sessions.clients[id].out;
            out.array(hashes.len());
            for hash in hashes {
                let known = interpreter.is_some_and(|interpreter| interpreter.exists(hash));
                out.int(known.into());
            }
        }
        [_, word, source] if args::is(word, "LOAD") => {
            let mut interpreter = engine.take_interpreter()?;
            let loaded = interpreter.load(source);
            engine.put_interpreter(interpreter);
            let out = &mut engine.sessions.clients[id].out;
            match loaded {
                Ok(sha1) => {
                    out.bulk(sha1.to_hex());
                    engine.shard.effects.propagation = Propagation::Forced;
                }
                Err(error) => {
                    let mut line = Vec::new();
                    error.append_reply(&mut line);
                    out.raw(&line);
                }
            }
        }
        [_, word] if args::is(word, "KILL") => {
            let running = engine.scripting.running.as_mut();
            let running = running.ok_or(Error::text(texts::NOT_BUSY))?;
            if running.wrote {
                return Err(Error::text(texts::UNKILLABLE));
            }
            running.killed = true;
            engine.sessions.clients[id].out.ok();
        }
        _ => return Err(Error::text(texts::UNKNOWN_SUBCOMMAND)),
    }
    Ok(())
}
