//! One Lua state with its sandbox: compiling, running, the memory bound. What is kept in it is `interpreter`'s (scripts)
//! and `functions`' (libraries).

use std::rc::Rc;

use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, LuaOptions, StdLib, Value};
use resp::Reply;

use crate::context::Context;
use crate::failure::Failure;
use crate::host::{Answer, Host};
use crate::reply::{self, Names};
use crate::sandbox::{self, Kind, Sandbox};
use crate::settings::Settings;

/// The garbage of a state up to this size is collected at once for who asks what it holds.
const SMALL_STATE_BYTES: usize = 1 << 20;

/// Keys and arguments of so many bytes may be kept until the next script.
const SMALL_BYTES: usize = 4096;

/// The longest source that is compiled: Lua counts some of its parts in 32 bits.
const MOST_SOURCE_BYTES: usize = 1 << 29;

/// Why a script or a library could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// It was refused. The text is for the client, after `ERR`.
    #[error("{}", String::from_utf8_lossy(.0))]
    Refused(Vec<u8>),
    /// The Lua state could not be made.
    #[error("Lua could not be started: {0}")]
    Start(String),
}

impl ScriptError {
    /// Writes the error for the client.
    pub fn write(&self, reply: &mut Reply) {
        match self {
            ScriptError::Refused(text) => reply.err(text),
            ScriptError::Start(_) => reply.err(self.to_string()),
        }
    }
}

pub(crate) struct State {
    lua: Lua,
    pub(crate) context: Rc<Context>,
    sandbox: Sandbox,
    names: Names,
    /// Where [`State::collect`] does all of its work at once.
    collect_above_bytes: usize,
}

impl State {
    pub(crate) fn new(settings: Settings, kind: Kind) -> Result<Self, ScriptError> {
        Self::start(settings, kind).map_err(|error| ScriptError::Start(error.to_string()))
    }

    fn start(settings: Settings, kind: Kind) -> mlua::Result<Self> {
        let lua = Lua::new_with(
            StdLib::TABLE | StdLib::STRING | StdLib::MATH,
            LuaOptions::new(),
        )?;
        let memory_bytes = settings.memory_bytes;
        let context = Context::new(settings);
        let sandbox = sandbox::set_up(&lua, &context, kind)?;
        let names = Names::new(&lua)?;
        context.watch(&lua, false)?;
        lua.gc_collect()?;
        lua.set_memory_limit(memory_bytes)?;
        Ok(State {
            context,
            sandbox,
            names,
            collect_above_bytes: memory_bytes / 2,
            lua,
        })
    }

    pub(crate) fn memory_used(&self) -> usize {
        self.lua.used_memory()
    }

    /// Compiles `code` under `name`. The error is Lua's complaint.
    pub(crate) fn compile(&self, code: &[u8], name: &str) -> Result<Function, Vec<u8>> {
        if code.len() > MOST_SOURCE_BYTES {
            return Err(b"not enough memory".to_vec());
        }
        let chunk = self.lua.load(code).set_name(name).set_mode(ChunkMode::Text);
        chunk
            .set_environment(self.sandbox.globals.clone())
            .into_function()
            .map_err(|error| Failure::from_error(&error).to_string().into_bytes())
    }

    /// Keeps a function, in the state's registry: a handle of its own for each would exhaust the handles after some
    /// thousands.
    pub(crate) fn keep(&self, function: &Function) -> Result<mlua::RegistryKey, Vec<u8>> {
        let kept = self.lua.create_registry_value(function);
        kept.map_err(|error| Failure::from_error(&error).to_string().into_bytes())
    }

    /// Leaves no garbage where there cannot be much.
    pub(crate) fn tidy(&self) {
        if self.lua.used_memory() <= SMALL_STATE_BYTES {
            self.context.collect_all(&self.lua);
        }
    }

    /// Lets go of functions whose keys are gone.
    pub(crate) fn forget_dropped(&self) {
        self.lua.expire_registry_values();
    }

    /// Runs a kept function with the tables for keys and arguments, and writes one reply, which may be an error. `reply` is empty.
    pub(crate) fn run(
        &mut self,
        function: &mlua::RegistryKey,
        words: (&[&[u8]], &[&[u8]]),
        host: &mut dyn Host,
        reply: &mut Reply,
    ) -> Answer {
        debug_assert!(reply.is_empty(), "what is in it would go with an error");
        let all = words.0.iter().chain(words.1);
        let bytes = all.map(|word| word.len() + reply::ELEMENT_BYTES).sum();
        let result = self.context.with_host(host, || -> mlua::Result<Answer> {
            if bytes > SMALL_BYTES {
                self.context.note_size(&self.lua, bytes)?;
            }
            let entrance = &self.sandbox.entrance;
            let shared = (&*self.context, &self.names);
            entrance.run(&self.lua, function, words, shared, reply)
        });
        if bytes > SMALL_BYTES {
            // It only writes to places that are there.
            let _ = self.sandbox.forget_words();
        }
        let answer = result.unwrap_or_else(|error| {
            reply.clear();
            self.write_error(&error, reply)
        });
        self.collect();
        answer
    }

    /// The error with which a script ended.
    fn write_error(&self, error: &mlua::Error, reply: &mut Reply) -> Answer {
        let text = match Failure::from_error(error) {
            Failure::Value(Value::Table(table)) => {
                return reply::write_raised(&self.names, &table, reply);
            }
            Failure::Text(text) => text,
            Failure::Value(Value::String(text)) => text.as_bytes().to_vec(),
            Failure::Stop => self.context.stopped().unwrap_or_default(),
            Failure::Value(_) => b"execution failure".to_vec(),
        };
        reply.err([b"Error running script, ", &text[..]].concat());
        Answer::Error
    }

    /// Runs the chunk of a library, which registers functions. The error is for the client.
    pub(crate) fn run_library(
        &mut self,
        chunk: &Function,
        host: &mut dyn Host,
    ) -> Result<(), Vec<u8>> {
        let context = Rc::clone(&self.context);
        let result = context.with_host(host, || self.sandbox.load(chunk));
        self.collect();
        let error = match result {
            Ok(None) => return Ok(()),
            Ok(Some(value)) => Failure::from_value(value),
            Err(error) => Failure::from_error(&error),
        };
        Err(match error {
            Failure::Stop => [b"ERR ", &context.stopped().unwrap_or_default()[..]].concat(),
            Failure::Text(text) => [b"ERR ", &text[..]].concat(),
            Failure::Value(value) => reply::raised_text(&self.names, &value),
        })
    }

    /// Keeps garbage small: Lua collects at its own pace, and everything when a script has used much of what it may.
    pub(crate) fn collect(&mut self) {
        if self.context.is_heavy() || self.lua.used_memory() > self.collect_above_bytes {
            self.context.collect_all(&self.lua);
            // Scripts that are kept may need that much themselves; then it is not worth trying again soon.
            let half = self.context.settings.memory_bytes / 2;
            let kept = self.lua.used_memory();
            self.collect_above_bytes = half.max(kept.saturating_add(kept / 4));
        }
        self.context.settle(&self.lua);
    }
}
