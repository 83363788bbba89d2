//! The interpreter: scripts cached by SHA1, compiled once, run with a host. What scripts may do is in `sandbox`.

use std::fmt;
use std::rc::Rc;

use mlua::chunk::ChunkMode;
use mlua::{Function, HookTriggers, Lua, LuaOptions, StdLib, Table, Value, VmState};
use sha1::Digest;

use crate::context::{Context, Script};
use crate::failure::Failure;
use crate::host::{Host, TICK_INSTRUCTIONS};
use crate::reply::{self, append_error};
use crate::sandbox;
use crate::texts::NO_SCRIPT;

/// The name under which scripts are compiled. It is part of their error texts.
pub(crate) const CHUNK_NAME: &str = "@user_script";

/// Scripts run between two steps of the collector, which then has little to do at once.
const RUNS_PER_COLLECTION: u32 = 50;

/// One Lua state and the scripts that it knows.
pub struct Interpreter {
    lua: Lua,
    context: Rc<Context>,
    /// Takes a script's function and the tables for `KEYS` and `ARGV`, runs it, gives `true` and its result or `false` and
    /// an error text.
    run: Function,
    globals: Table,
    names: reply::Names,
    runs: u32,
    /// Where [`Interpreter::collect`] does all of its work at once.
    collect_above_bytes: usize,
}

/// Bounds on what scripts may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most that the Lua state may hold, in bytes. Beyond it a script gets the error `not enough memory`.
    pub memory_bytes: usize,
    /// The longest reply of a script, in bytes.
    pub reply_bytes: usize,
}

impl Default for Limits {
    /// 1 GiB for the state, 512 MiB for a reply.
    fn default() -> Self {
        Limits {
            memory_bytes: 1 << 30,
            reply_bytes: 1 << 29,
        }
    }
}

/// The SHA1 of a script's source.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha1([u8; 20]);

impl Sha1 {
    /// Hashes a source, or any other bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Sha1(sha1::Sha1::digest(bytes).into())
    }

    /// Reads 40 hexadecimal digits of either case.
    #[must_use]
    pub fn from_hex(hex: &[u8]) -> Option<Self> {
        let mut bytes = [0; 20];
        if hex.len() != 2 * bytes.len() {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            let high = char::from(digits[0]).to_digit(16)?;
            let low = char::from(digits[1]).to_digit(16)?;
            *byte = u8::try_from(high << 4 | low).ok()?;
        }
        Some(Sha1(bytes))
    }

    /// The 40 lower-case hexadecimal digits.
    #[must_use]
    pub fn to_hex(self) -> [u8; 40] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = [0; 40];
        for (digits, byte) in hex.chunks_exact_mut(2).zip(self.0) {
            digits[0] = DIGITS[usize::from(byte >> 4)];
            digits[1] = DIGITS[usize::from(byte & 15)];
        }
        hex
    }
}

impl fmt::Display for Sha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a script could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// It is not Lua, or too much of it. The text is Lua's, `user_script:<line>: <complaint>`.
    #[error("Error compiling script (new function): {0}")]
    Compile(String),
    /// The Lua state could not be made.
    #[error("Lua could not be started: {0}")]
    Start(String),
}

impl ScriptError {
    /// Appends the error line for the client.
    pub fn append_reply(&self, reply: &mut Vec<u8>) {
        append_error(reply, format!("ERR {self}\n").as_bytes());
    }
}

impl Interpreter {
    /// A fresh state that knows no script.
    ///
    /// # Errors
    /// [`ScriptError::Start`] when `limits` leave no room for the libraries.
    pub fn new(limits: Limits) -> Result<Self, ScriptError> {
        Self::start(limits).map_err(|error| ScriptError::Start(error.to_string()))
    }

    fn start(limits: Limits) -> mlua::Result<Self> {
        let lua = Lua::new_with(
            StdLib::TABLE | StdLib::STRING | StdLib::MATH,
            LuaOptions::new(),
        )?;
        let context = Rc::new(Context::new(limits));
        let run = sandbox::set_up(&lua, &context)?;
        let names = reply::Names::new(&lua)?;
        let hook_context = Rc::clone(&context);
        let triggers = HookTriggers::new().every_nth_instruction(TICK_INSTRUCTIONS);
        lua.set_global_hook(triggers, move |_, _| {
            hook_context.tick()?;
            Ok(VmState::Continue)
        })?;
        lua.gc_collect()?;
        lua.set_memory_limit(limits.memory_bytes)?;
        Ok(Interpreter {
            globals: lua.globals(),
            context,
            run,
            names,
            runs: 0,
            collect_above_bytes: limits.memory_bytes / 2,
            lua,
        })
    }

    /// Compiles a script and keeps it; does nothing more for one that is known already.
    ///
    /// # Errors
    /// [`ScriptError::Compile`] with Lua's complaint.
    pub fn load(&mut self, source: &[u8]) -> Result<Sha1, ScriptError> {
        let sha1 = Sha1::of(source);
        if !self.context.scripts.borrow().contains_key(&sha1) {
            self.compile(sha1, source)?;
        }
        Ok(sha1)
    }

    /// Whether a script with this SHA1, in hexadecimal digits of either case, is known.
    #[must_use]
    pub fn exists(&self, sha1_hex: &[u8]) -> bool {
        Sha1::from_hex(sha1_hex)
            .is_some_and(|sha1| self.context.scripts.borrow().contains_key(&sha1))
    }

    /// The source of a known script, for replication of `EVALSHA` as `EVAL`.
    #[must_use]
    pub fn source(&self, sha1_hex: &[u8]) -> Option<Rc<[u8]>> {
        let scripts = self.context.scripts.borrow();
        let script = scripts.get(&Sha1::from_hex(sha1_hex)?)?;
        Some(Rc::clone(&script.source))
    }

    /// How many scripts are known.
    #[must_use]
    pub fn script_count(&self) -> usize {
        self.context.scripts.borrow().len()
    }

    /// Forgets all scripts and whatever they left behind: the state is made anew.
    ///
    /// # Errors
    /// As [`Interpreter::new`]; the old state then stays.
    pub fn flush(&mut self) -> Result<(), ScriptError> {
        *self = Self::new(self.context.limits)?;
        Ok(())
    }

    /// Bytes held by the Lua state (`used_memory_lua`).
    #[must_use]
    pub fn memory_used(&self) -> usize {
        self.lua.used_memory()
    }

    /// Runs a source, compiling it first if it is new, and appends one reply, which may be an error.
    pub fn eval(
        &mut self,
        source: &[u8],
        keys: &[&[u8]],
        argv: &[&[u8]],
        host: &mut dyn Host,
        reply: &mut Vec<u8>,
    ) -> Sha1 {
        let sha1 = Sha1::of(source);
        let known = self.function(sha1);
        let function = match known.map_or_else(|| self.compile(sha1, source), Ok) {
            Ok(function) => function,
            Err(error) => {
                error.append_reply(reply);
                return sha1;
            }
        };
        self.execute(sha1, &function, (keys, argv), host, reply);
        sha1
    }

    /// Runs a known script by its SHA1 in hexadecimal digits. Answers [`NO_SCRIPT`], and gives `None`, when it is not
    /// known.
    pub fn eval_sha(
        &mut self,
        sha1_hex: &[u8],
        keys: &[&[u8]],
        argv: &[&[u8]],
        host: &mut dyn Host,
        reply: &mut Vec<u8>,
    ) -> Option<Sha1> {
        let known = Sha1::from_hex(sha1_hex).and_then(|sha1| Some((sha1, self.function(sha1)?)));
        let Some((sha1, function)) = known else {
            append_error(reply, NO_SCRIPT.as_bytes());
            return None;
        };
        self.execute(sha1, &function, (keys, argv), host, reply);
        Some(sha1)
    }

    fn function(&self, sha1: Sha1) -> Option<Function> {
        let scripts = self.context.scripts.borrow();
        let script = scripts.get(&sha1)?;
        self.lua.registry_value(&script.function).ok()
    }

    /// 3.0 compiles `function f_<sha1>() <source>\nend`, and its complaints are about that text. What runs is the
    /// source as a chunk of its own, so that no `end` in it can close the function early and run at once.
    fn compile(&mut self, sha1: Sha1, source: &[u8]) -> Result<Function, ScriptError> {
        let alone = self.compile_chunk(source);
        self.collect();
        // The only texts that are whole chunks but no function bodies use the arguments of a chunk.
        if alone.is_err() || memchr::memmem::find(source, b"...").is_some() {
            let mut wrapped = format!("function f_{sha1}() ").into_bytes();
            wrapped.extend_from_slice(source);
            wrapped.extend_from_slice(b"\nend");
            self.compile_chunk(&wrapped)?;
        }
        let function = alone?;
        let key = self.lua.create_registry_value(&function);
        let script = Script {
            source: source.into(),
            function: Rc::new(key.map_err(|error| ScriptError::Compile(error.to_string()))?),
        };
        self.context.scripts.borrow_mut().insert(sha1, script);
        Ok(function)
    }

    fn compile_chunk(&self, text: &[u8]) -> Result<Function, ScriptError> {
        let chunk = self
            .lua
            .load(text)
            .set_name(CHUNK_NAME)
            .set_mode(ChunkMode::Text);
        chunk
            .set_environment(self.globals.clone())
            .into_function()
            .map_err(|error| ScriptError::Compile(Failure::from_error(&error).to_string()))
    }

    fn execute(
        &mut self,
        sha1: Sha1,
        function: &Function,
        (keys, argv): (&[&[u8]], &[&[u8]]),
        host: &mut dyn Host,
        reply: &mut Vec<u8>,
    ) {
        let start = reply.len();
        let context = Rc::clone(&self.context);
        let result = context.with_host(host, || -> mlua::Result<()> {
            let (keys, argv) = self.arguments(keys, argv)?;
            let (succeeded, value): (bool, Value) = self.run.call((function, keys, argv))?;
            if !succeeded {
                return Err(Failure::Value(value).into());
            }
            reply::from_lua(&self.context, &self.names, value, reply)
        });
        if let Err(error) = result {
            reply.truncate(start);
            let text = match Failure::from_error(&error) {
                Failure::Text(text) => text,
                Failure::Value(Value::String(text)) => text.as_bytes().to_vec(),
                Failure::Stop => context.stopped().unwrap_or_default(),
                Failure::Value(_) => b"(null)".to_vec(),
            };
            let mut line = format!("ERR Error running script (call to f_{sha1}): ").into_bytes();
            line.extend(text.iter().take_while(|byte| **byte != 0));
            line.push(b'\n');
            append_error(reply, &line);
        }
        self.collect();
    }

    /// The tables for `KEYS` and `ARGV`; none for one without elements.
    fn arguments(
        &self,
        keys: &[&[u8]],
        argv: &[&[u8]],
    ) -> mlua::Result<(Option<Table>, Option<Table>)> {
        if keys.is_empty() && argv.is_empty() {
            return Ok((None, None));
        }
        let bytes = keys
            .iter()
            .chain(argv)
            .map(|arg| arg.len() + reply::ELEMENT_BYTES);
        let table = |values: &[&[u8]]| {
            if values.is_empty() {
                return Ok(None);
            }
            let elements = values.iter().map(|value| reply::element(value));
            self.lua.create_sequence_from(elements).map(Some)
        };
        self.context
            .building(&self.lua, bytes.sum(), || Ok((table(keys)?, table(argv)?)))
    }

    /// Keeps garbage small: a step now and then, everything when a script has used much of what it may.
    fn collect(&mut self) {
        self.runs += 1;
        // Neither can fail: no Lua code runs when objects are collected.
        if self.lua.used_memory() > self.collect_above_bytes {
            let _ = self.lua.gc_collect();
            // Scripts that are kept may need that much themselves; then it is not worth trying again soon.
            let half = self.context.limits.memory_bytes / 2;
            let kept = self.lua.used_memory();
            self.collect_above_bytes = half.max(kept.saturating_add(kept / 4));
        } else if self.runs >= RUNS_PER_COLLECTION {
            self.runs = 0;
            let _ = self.lua.gc_step();
        }
    }
}

impl fmt::Debug for Interpreter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interpreter")
            .field("scripts", &self.script_count())
            .field("memory_used", &self.memory_used())
            .finish_non_exhaustive()
    }
}
