//! Scripts and functions: what they may do to this server, what is told to replicas of it, and who is served while one runs
//! for too long. The language itself is the crate `script`; the commands are in `eval` and `function`.
//!
//! A script runs within the engine's turn, with the time of the turn's start: its commands see no key expire half-way. They run
//! for a client of its own, and what they change is propagated, as one transaction. Once `busy-reply-threshold` is over, the
//! shell is asked now and then to serve the others ([`crate::Meanwhile`]), who are answered BUSY.

pub(crate) mod eval;
pub(crate) mod function;
pub(crate) mod state;

use commands::table::find_keys;
use commands::{Args, Error, Flags, Traits, args};
use resp::Reply;
use script::{
    Answer, Functions, Interpreter, LogLevel, ScriptFlags, Settings, Sha1, Targets, Tick, texts,
};

use crate::entry::{self, Entry};
use crate::scripting::state::Running;
use crate::scripting::state::Scripting;
use crate::{ClientId, Engine, Peer};

/// Others are served this often while a slow script runs.
const SERVE_EVERY_US: u64 = 2000;

/// How long a library may take to load, unless the master or a file has it.
const LOAD_LIMIT_US: u64 = 500_000;

impl Engine {
    /// Whether a script runs right now.
    pub(crate) fn in_script(&self) -> bool {
        self.scripting.running.is_some()
    }

    /// Memory of the script interpreters, bytes.
    pub(crate) fn script_memory(&self) -> usize {
        let counts = self.scripting.counts;
        counts.scripts_vm + counts.functions_vm + counts.scripts_cache + counts.functions_cache
    }

    /// Collects the garbage of scripts and functions that have little, and counts what they hold.
    pub(crate) fn tidy_scripts(&mut self) {
        let counts = &mut self.scripting.counts;
        if let Some(interpreter) = &mut self.scripting.interpreter {
            interpreter.tidy();
            counts.scripts_vm = interpreter.memory_used();
        }
        if let Some(functions) = &mut self.scripting.functions {
            functions.tidy();
            counts.functions_vm = functions.memory_used();
        }
    }

    // ---- for the shell, within `Meanwhile::serve` ------------------------------------------------------------------------

    /// Whether this client can be served while a script runs. The one that started the script cannot.
    #[must_use]
    pub fn serves_meanwhile(&self, id: ClientId) -> bool {
        let running = self.scripting.running.as_ref();
        running.map(|running| running.caller) != Some(id) && self.wants_input(id)
    }

    /// [`Engine::receive`] while a script runs. What cannot be sent at once is left to be sent after the script.
    pub fn receive_meanwhile(&mut self, id: ClientId, bytes: &[u8]) {
        if self.serves_meanwhile(id) {
            self.receive(id, bytes);
            self.wake(id);
        }
    }

    /// The connection of a client has ended while a script runs. What the script can see of a replica goes at once.
    pub fn ended_meanwhile(&mut self, id: ClientId) {
        if let Some(client) = self.sessions.clients.get_mut(id)
            && client.replica.is_some()
        {
            client.flags.closing = true;
            self.forget_replica(id);
        }
    }

    /// The process is asked to end: a script that has changed nothing is not waited for.
    pub fn end_script(&mut self) {
        if let Some(running) = &mut self.scripting.running
            && !running.wrote
            && !running.obeyed
        {
            running.killed = true;
        }
    }

    // ---- gates -----------------------------------------------------------------------------------------------------------

    /// The gate for everybody else while a script takes too long.
    pub(crate) fn gate_script(&self, entry: Entry, args: Args<'_>) -> Result<(), Error> {
        let Some(running) = self.scripting.running.as_ref().filter(|script| script.slow) else {
            return Ok(());
        };
        // What saves would save what a script has left half done.
        let saves = entry.command.traits.has(Traits::SHUTDOWN)
            && !args.iter().any(|word| args::is(word, "NOSAVE"));
        if entry.command.flags.has(Flags::ALLOW_BUSY) && !saves {
            Ok(())
        } else {
            Err(running.busy())
        }
    }

    /// The flags of a command: of one that runs a script, those that the script declares.
    pub(crate) fn flags_of(&self, entry: Entry, args: Args<'_>) -> Flags {
        let Some(declared) = self.declared_flags(entry, args) else {
            return entry.command.flags;
        };
        let mut flags = entry
            .command
            .flags
            .without(Flags::STALE)
            .without(Flags::DENYOOM)
            .without(Flags::WRITE);
        if !declared.has(ScriptFlags::NO_WRITES) {
            flags = flags.with(Flags::WRITE);
            if !declared.has(ScriptFlags::ALLOW_OOM) {
                flags = flags.with(Flags::DENYOOM);
            }
        }
        if declared.has(ScriptFlags::ALLOW_STALE) {
            flags = flags.with(Flags::STALE);
        }
        flags
    }

    /// Whether a command changes something that others are told, for all that is known of it.
    pub(crate) fn may_write(&self, entry: Entry, args: Args<'_>) -> bool {
        self.flags_of(entry, args).has(Flags::WRITE)
            || entry.command.traits.has(Traits::MAY_REPLICATE)
                && self.declared_flags(entry, args).is_none()
    }

    /// What the script of a command declares; none where the command runs no script, or one that declares nothing.
    fn declared_flags(&self, entry: Entry, args: Args<'_>) -> Option<ScriptFlags> {
        if !entry.command.traits.has(Traits::RUNS_SCRIPT) || args.len() < 2 {
            return None;
        }
        let declared = self.scripting.declared(entry, args);
        declared.filter(|flags| !flags.has(ScriptFlags::UNDECLARED))
    }

    /// The gates before a script, by what it declares.
    fn gate_flags(
        &mut self,
        id: ClientId,
        read_only: bool,
        declared: ScriptFlags,
    ) -> Result<(), Error> {
        let obeyed = self.obeys(id);
        if declared.has(ScriptFlags::UNDECLARED) {
            return if obeyed { Ok(()) } else { self.gate_stale() };
        }
        if declared.has(ScriptFlags::NO_CLUSTER) && self.keeper.cluster.is_some() {
            return Err(Error::text(texts::NO_CLUSTER_FLAG));
        }
        if !declared.has(ScriptFlags::ALLOW_STALE) && !obeyed && self.gate_stale().is_err() {
            return Err(Error::text(texts::STALE_FLAG));
        }
        if !declared.has(ScriptFlags::NO_WRITES) {
            if !obeyed {
                self.gate_read_only()
                    .map_err(|_| Error::text(texts::READONLY_FLAG))?;
                self.gate_disk()?;
            }
            if read_only {
                return Err(Error::text(texts::WRITE_FLAG_ON_RO));
            }
            if !obeyed {
                self.gate_min_slaves()?;
            }
            // In a transaction no gate has asked before.
            let lacks_memory = self.config.maxmemory > 0 && self.make_room().is_err();
            if lacks_memory && !obeyed && !declared.has(ScriptFlags::ALLOW_OOM) {
                return Err(Error::text(texts::OOM_FLAG));
            }
        }
        Ok(())
    }

    /// Whether this client's commands are applied whatever this server thinks of them: its master's, and those of a file.
    fn obeys(&self, id: ClientId) -> bool {
        let flags = self.sessions.clients[id].flags;
        flags.master || flags.internal || self.journal.replaying
    }

    /// The gates between a script and a command, in the order of Valkey.
    fn gates_for_script(&mut self, id: ClientId, args: Args<'_>) -> Result<Entry, Error> {
        let entry = self.index.find(args[0]);
        let entry = entry::resolve(entry.ok_or(Error::text(texts::UNKNOWN_COMMAND))?, args)?;
        let flags = entry.command.flags;
        if !entry.command.accepts(args.len()) {
            return Err(Error::text(texts::WRONG_ARITY));
        }
        let denied = flags.has(Flags::NOSCRIPT) && !self.scripting.calls_anything;
        let Some(running) = self.scripting.running.as_ref().filter(|_| !denied) else {
            return Err(Error::text(texts::NOT_FROM_SCRIPTS));
        };
        let (caller, obeyed) = (running.caller, running.obeyed);
        let (read_only, wrote) = (running.read_only, running.wrote);
        let lacks_memory = running.over_limit && !running.allow_oom;
        self.gate_access_of_script(id, entry, args)?;
        // What has begun to write cannot stop half-way.
        if flags.has(Flags::DENYOOM) && lacks_memory && !wrote {
            return Err(Error::text(
                "OOM command not allowed when used memory > 'maxmemory'.",
            ));
        }
        if !obeyed {
            let caller = self.sessions.clients[caller].flags;
            let own = &mut self.sessions.clients[id].flags;
            (own.asking, own.readonly) = (caller.asking, caller.readonly);
            self.gate_cluster(id, entry, args)
                .map_err(|error| not_here(&error, entry.command.name))?;
        }
        let replicates = entry.command.traits.has(Traits::MAY_REPLICATE);
        if read_only && (flags.has(Flags::WRITE) || replicates) {
            return Err(Error::text(texts::READ_ONLY_SCRIPT));
        }
        if flags.has(Flags::WRITE) && !wrote {
            self.gate_write_of_script(obeyed)?;
        }
        if !flags.has(Flags::STALE) && !obeyed && self.gate_stale().is_err() {
            return Err(Error::text(texts::STALE));
        }
        self.keep_to_one_slot(entry, args)?;
        if self.is_audited(id, entry) {
            self.audit(id, entry, args, None);
        }
        Ok(entry)
    }

    /// The gates before the first write of a script.
    fn gate_write_of_script(&mut self, obeyed: bool) -> Result<(), Error> {
        if !obeyed {
            self.gate_min_slaves()?;
            self.gate_disk()?;
            self.gate_read_only()?;
        }
        if let Some(running) = &mut self.scripting.running {
            running.wrote = true;
        }
        Ok(())
    }

    /// A script that declares flags uses keys of one slot of a cluster, unless it says otherwise.
    fn keep_to_one_slot(&mut self, entry: Entry, args: Args<'_>) -> Result<(), Error> {
        let Some(running) = &mut self.scripting.running else {
            return Ok(());
        };
        let Some(slot) = &mut running.slot else {
            return Ok(());
        };
        let mut keys = Vec::new();
        find_keys(entry.command, args, &mut keys);
        let Some(key) = keys.first() else {
            return Ok(());
        };
        let used = hash_slot::key_slot(args[key.at]);
        if *slot.get_or_insert(used) != used {
            return Err(Error::text(texts::CROSS_SLOT));
        }
        Ok(())
    }

    // ---- running ---------------------------------------------------------------------------------------------------------

    fn script_settings(&mut self) -> Settings {
        #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
        let seed = self.shard.rng.next_u64() as i32;
        Settings {
            seed,
            insecure: self.config.lua_enable_insecure_api,
            name: "tern",
            ..Settings::default()
        }
    }

    fn take_interpreter(&mut self) -> Result<Box<Interpreter>, Error> {
        if let Some(interpreter) = self.scripting.interpreter.take() {
            return Ok(interpreter);
        }
        let settings = self.script_settings();
        Interpreter::new(settings).map(Box::new).map_err(as_error)
    }

    /// The next script runs in an interpreter that is made for it.
    pub(crate) fn forget_scripts(&mut self) {
        self.scripting.interpreter = None;
        let counts = &mut self.scripting.counts;
        (counts.scripts_vm, counts.scripts_cache, counts.scripts) = (0, 0, 0);
    }

    fn put_interpreter(&mut self, interpreter: Box<Interpreter>) {
        let counts = &mut self.scripting.counts;
        counts.scripts_vm = interpreter.memory_used();
        if counts.scripts != interpreter.script_count() {
            counts.scripts = interpreter.script_count();
            counts.scripts_cache = interpreter.cache_bytes();
        }
        self.scripting.interpreter = Some(interpreter);
    }

    fn take_functions(&mut self) -> Result<Box<Functions>, Error> {
        if let Some(functions) = self.scripting.functions.take() {
            return Ok(functions);
        }
        let settings = self.script_settings();
        Functions::new(settings).map(Box::new).map_err(as_error)
    }

    /// `changed` tells that there are other libraries now.
    fn put_functions(&mut self, functions: Box<Functions>, changed: bool) {
        let counts = &mut self.scripting.counts;
        counts.functions_vm = functions.memory_used();
        if changed {
            counts.libraries = functions.libraries().len();
            counts.functions = functions.function_count();
            counts.functions_cache = functions.cache_bytes();
        }
        self.scripting.functions = Some(functions);
    }

    /// The client that runs the commands of scripts.
    fn script_client(&mut self) -> ClientId {
        if let Some(id) = self.scripting.client {
            return id;
        }
        let peer = Peer {
            fd: -1,
            ..Peer::default()
        };
        let now_ms = self.now.mono_ms;
        let id = self.sessions.clients.add_for_scripts(peer, now_ms);
        let flags = &mut self.sessions.clients[id].flags;
        (flags.internal, flags.authenticated) = (true, true);
        self.scripting.client = Some(id);
        id
    }

    /// Runs a script of client `id`, which gets its reply. `script` is told how.
    fn run_script(
        &mut self,
        id: ClientId,
        start: &Start<'_>,
        script: impl FnOnce(&mut dyn script::Host, &mut Reply) -> Answer,
    ) {
        let runner = self.script_client();
        self.sessions.clients[runner].db = self.sessions.clients[id].db;
        let user = self.sessions.clients[id].user.clone();
        self.sessions.clients[runner].set_user(user, true);
        self.scripting.running = Some(self.running_script(id, start));
        self.begin_group();
        let mut reply = self.scripting.reply.take().unwrap_or_default();
        reply.set_protocol(self.sessions.clients[id].out.protocol());
        let mut host = Caller {
            engine: self,
            id: runner,
            start,
        };
        let answer = script(&mut host, &mut reply);
        // SHUTDOWN NOSAVE in the middle: what the script did so far is to be lost.
        if self.keeper.persistence.ending {
            self.drop_group();
        } else {
            self.end_group();
        }
        let ended = self.scripting.running.take();
        self.scripting.used_slot = ended.and_then(|running| running.slot.flatten());
        self.sessions.clients[runner].set_user(None, true);
        self.count_answer(start, answer, &reply);
        if let Some(client) = self.sessions.clients.get_mut(id) {
            client.out.take_from(&mut reply);
        }
        reply.clear();
        self.scripting.reply = Some(reply);
    }

    /// A script that answers an error has failed. The error of one of its commands was counted when that ran.
    fn count_answer(&mut self, start: &Start<'_>, answer: Answer, reply: &Reply) {
        if answer == Answer::Value {
            return;
        }
        let Some(entry) = self.index.find(start.args[0]) else {
            return;
        };
        match answer {
            Answer::Value => {}
            Answer::CommandError => self.meter.stats.per_command[entry.number].failed += 1,
            Answer::Error => {
                let line = reply.chunks().next().unwrap_or_default();
                let line = line.strip_prefix(b"-").unwrap_or(line);
                self.meter.stats.fail(entry.number, line, true);
            }
        }
    }

    fn running_script(&mut self, caller: ClientId, start: &Start<'_>) -> Running {
        let obeyed = self.obeys(caller);
        let declared = start.declared;
        let is_declared = !declared.has(ScriptFlags::UNDECLARED);
        let limit_ms = u64::try_from(self.config.lua_time_limit)
            .ok()
            .filter(|limit| *limit > 0);
        Running {
            caller,
            // When the command before it ended.
            start_us: self.meter.last_ns / 1000,
            limit_us: limit_ms.map(|limit| limit.saturating_mul(1000)),
            served_us: 0,
            is_function: start.is_function,
            read_only: start.read_only || is_declared && declared.has(ScriptFlags::NO_WRITES),
            allow_oom: obeyed || is_declared && declared.has(ScriptFlags::ALLOW_OOM),
            over_limit: self.config.maxmemory > 0 && self.make_room().is_err(),
            slot: (is_declared
                && !obeyed
                && self.keeper.cluster.is_some()
                && !declared.has(ScriptFlags::ALLOW_CROSS_SLOT))
            .then(|| start.slot()),
            obeyed,
            slow: false,
            killed: false,
            wrote: false,
            targets: Targets::ALL,
            shown: None,
        }
    }

    /// Looks after the time of the running script, and whether it may go on.
    fn tick_script(&mut self, start: &Start<'_>) -> Tick {
        let now_us = self.host.mono_us();
        let Some(running) = &mut self.scripting.running else {
            return Tick::Continue;
        };
        let elapsed_us = now_us.saturating_sub(running.start_us);
        if running.limit_us.is_none_or(|limit| elapsed_us < limit) {
            return Tick::Continue;
        }
        let is_function = running.is_function;
        if !running.slow {
            running.slow = true;
            let words = start.args.iter().map(|&word| word.into()).collect();
            let name = start.name.bytes();
            let shown = String::from_utf8_lossy(&name);
            tracing::warn!(
                "{}",
                texts::slow_script_log(elapsed_us / 1000, is_function, &shown)
            );
            running.shown = Some((name, words));
        }
        if now_us.saturating_sub(running.served_us) >= SERVE_EVERY_US {
            // Replicas hear that their primary lives, as they would if it were idle.
            self.ping_replicas(self.now.mono_ms.saturating_add(elapsed_us / 1000));
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
        if self
            .scripting
            .running
            .as_ref()
            .is_some_and(|script| script.killed)
        {
            let text = if is_function {
                texts::FUNCTION_KILLED
            } else {
                texts::KILLED
            };
            tracing::info!("{text}");
            return Tick::Kill(text.into());
        }
        Tick::Continue
    }

    /// SCRIPT KILL, or FUNCTION KILL.
    fn kill_script(&mut self, of_function: bool) -> Result<(), Error> {
        let running = self.scripting.running.as_mut();
        let running = running.ok_or(Error::text(texts::NOT_BUSY))?;
        if running.obeyed {
            return Err(Error::text(texts::UNKILLABLE_OF_MASTER));
        }
        if running.wrote {
            return Err(Error::text(texts::UNKILLABLE));
        }
        if running.is_function != of_function {
            return Err(running.busy());
        }
        running.killed = true;
        Ok(())
    }
}

impl Scripting {
    /// What the script or function of a request declares; none where it is not known.
    pub(crate) fn declared(&self, entry: Entry, args: Args<'_>) -> Option<ScriptFlags> {
        if entry.command.traits.has(Traits::BY_FUNCTION) {
            let function = self.functions.as_ref()?.find(args[1])?;
            return Some(function.flags());
        }
        if entry.command.traits.has(Traits::BY_SHA1) {
            let interpreter = self.interpreter.as_ref()?;
            return interpreter.flags(interpreter.find(args[1])?);
        }
        ScriptFlags::declared(args[1])
    }
}

/// What a script is called.
enum Name<'a> {
    Function(&'a [u8]),
    /// Its hexadecimal digits.
    Sha1(Sha1),
}

impl Name<'_> {
    fn bytes(&self) -> Box<[u8]> {
        match self {
            Name::Function(name) => (*name).into(),
            Name::Sha1(sha1) => Box::new(sha1.to_hex()),
        }
    }
}

/// What a script is, before it runs.
struct Start<'a> {
    name: Name<'a>,
    /// The words of the request.
    args: Args<'a>,
    is_function: bool,
    /// The command that calls it lets it write nothing.
    read_only: bool,
    declared: ScriptFlags,
}

impl Start<'_> {
    /// The slot of the first key that the request names.
    fn slot(&self) -> Option<u16> {
        let count = args::int(self.args.get(2)?).ok()?;
        let key = self.args.get(3).filter(|_| count > 0)?;
        Some(hash_slot::key_slot(key))
    }
}

/// Why a script's command cannot run on this node of a cluster, where a client would be told `error`.
fn not_here(error: &Error, command: &str) -> Error {
    match error.line().as_ref() {
        b"CLUSTERDOWN The cluster is down" => Error::owned(texts::cluster_down(command)),
        b"CLUSTERDOWN The cluster is down and only accepts read commands" => {
            Error::owned(texts::cluster_down_read_only(command))
        }
        _ => Error::text(texts::NON_LOCAL_KEY),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn as_error(error: script::ScriptError) -> Error {
    Error::owned(format!("ERR {error}"))
}

/// The server, as the running script sees it.
struct Caller<'a> {
    engine: &'a mut Engine,
    /// Runs the commands.
    id: ClientId,
    start: &'a Start<'a>,
}

impl script::Host for Caller<'_> {
    fn call(&mut self, args: &[&[u8]], targets: Targets, reply: &mut Reply) {
        let entry = match self.engine.gates_for_script(self.id, args) {
            Ok(entry) => entry,
            Err(error) => {
                let stats = &mut self.engine.meter.stats;
                stats.note_error(&error.line());
                let entry = self.engine.index.find(args[0]);
                if let Some(Ok(entry)) = entry.map(|entry| entry::resolve(entry, args)) {
                    stats.per_command[entry.number].rejected += 1;
                }
                return reply.error(error.line());
            }
        };
        if let Some(running) = &mut self.engine.scripting.running {
            running.targets = targets;
        }
        // What the script did before is not the command's time.
        self.engine.meter.last_ns = self.engine.host.mono_ns();
        let out = &mut self.engine.sessions.clients[self.id].out;
        out.set_protocol(reply.protocol());
        self.engine.call(self.id, entry, args);
        std::mem::swap(reply, &mut self.engine.sessions.clients[self.id].out);
        if reply.is_empty() {
            // SHUTDOWN that worked. The script ends at its next step.
            reply.nil();
        }
    }

    fn may_call(&mut self, args: &[&[u8]]) -> Option<bool> {
        let entry = self.engine.index.find(args[0])?;
        let entry = entry::resolve(entry, args).ok()?;
        Some(self.engine.may_run(self.id, entry, args).is_ok())
    }

    fn tick(&mut self) -> Tick {
        self.engine.tick_script(self.start)
    }

    fn log(&mut self, level: LogLevel, text: &[u8]) {
        log(level, text);
    }

    fn cpu_seconds(&mut self) -> f64 {
        seconds(self.engine)
    }
}

fn log(level: LogLevel, text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    match level {
        LogLevel::Debug => tracing::trace!("{text}"),
        LogLevel::Verbose => tracing::debug!("{text}"),
        LogLevel::Notice => tracing::info!("{text}"),
        LogLevel::Warning => tracing::warn!("{text}"),
    }
}

/// A script keeps the thread to itself, so the time that passes is its own.
#[expect(
    clippy::cast_precision_loss,
    reason = "seconds are told to the microsecond"
)]
fn seconds(engine: &Engine) -> f64 {
    engine.host.mono_us() as f64 / 1e6
}

/// The number of keys among the words from the third on, and the rest.
fn keys_and_arguments<'a>(
    args: Args<'a>,
    not_a_number: Error,
) -> Result<(Args<'a>, Args<'a>), Error> {
    let count = args::int(args[2]).map_err(|_| not_a_number)?;
    if count < 0 {
        return Err(Error::text(texts::NEGATIVE_KEYS));
    }
    usize::try_from(count)
        .ok()
        .and_then(|count| args[3..].split_at_checked(count))
        .ok_or_else(|| Error::text(texts::TOO_MANY_KEYS))
}
