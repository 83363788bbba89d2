//! What every function given to Lua shares: the way to the running script's host, the order to stop, the memory
//! bound. The functions themselves are elsewhere.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::{Rc, Weak};

use mlua::{Error, Function, HookTriggers, Lua, LuaString, Result, VmState};
use resp::{Protocol, Reply};

use crate::failure::Failure;
use crate::flags::ScriptFlags;
use crate::host::{Host, LogLevel, TICK_CALLS, TICK_INSTRUCTIONS, Targets, Tick};
use crate::random::Random;
use crate::settings::Settings;

/// A function that the library which is being loaded has registered.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) name: Vec<u8>,
    pub(crate) description: Option<Vec<u8>>,
    pub(crate) flags: ScriptFlags,
    pub(crate) function: Function,
}

scoped_tls_hkt::scoped_thread_local!(
    /// The host of the script that runs on this thread. Functions given to Lua must be `'static` and cannot borrow it.
    static mut HOST: for<'a> &'a mut dyn Host
);

/// The longest value there is, as long as a bulk of the protocol.
const LONGEST_STRING_BYTES: usize = 512 << 20;

/// Memory kept free beside what a conversion needs, when it runs without checks.
pub(crate) const HEADROOM_BYTES: usize = 64 * 1024;

/// A state that holds this much may have strings so long that a single instruction takes long: joining, comparing.
const HEAVY_BYTES: usize = 16 << 20;

/// Instructions between two ticks then.
const TICK_INSTRUCTIONS_HEAVY: u32 = 20;

/// Elements handled by a function written in Rust between two ticks.
const STEPS_PER_TICK: u32 = 4096;

/// Bytes handled at once that weigh as much as one element.
const BYTES_PER_STEP: usize = 32;

/// The state shared by an interpreter and its functions.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) settings: Settings,
    pub(crate) random: Cell<Random>,
    /// The version of the protocol in which the running script gets the replies of commands (`server.setresp`).
    pub(crate) protocol: Cell<Protocol>,
    /// Where the changes of its commands are told (`server.set_repl`).
    pub(crate) targets: Cell<Targets>,
    /// What the library that is being loaded has registered; none while no library is.
    pub(crate) registrations: RefCell<Option<Vec<Registration>>>,
    stopped: RefCell<Option<Vec<u8>>>,
    panic: RefCell<Option<Box<dyn Any + Send>>>,
    calls: Cell<u32>,
    steps: Cell<u32>,
    /// Ticks come after few instructions.
    heavy: Cell<bool>,
    /// Itself, for the hook.
    own: Weak<Context>,
    /// What the last command answered, kept for its capacity. Away while one runs.
    reply: RefCell<Option<Reply>>,
    trouble: RefCell<Option<Trouble>>,
}

/// Why a command of a script did not answer.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Its words are wrong: an error that the script may see.
    Words(&'static str),
    /// There is no memory, or the script was stopped.
    Failed(Error),
}

impl Context {
    pub(crate) fn new(settings: Settings) -> Rc<Self> {
        Rc::new_cyclic(|own| Context {
            own: own.clone(),
            heavy: Cell::new(false),
            random: Cell::new(Random::seeded(settings.seed)),
            settings,
            protocol: Cell::default(),
            targets: Cell::new(Targets::ALL),
            registrations: RefCell::default(),
            stopped: RefCell::default(),
            panic: RefCell::default(),
            calls: Cell::new(0),
            steps: Cell::new(0),
            reply: RefCell::default(),
            trouble: RefCell::default(),
        })
    }

    /// Has the virtual machine tick: after few instructions where `heavy`.
    pub(crate) fn watch(&self, lua: &Lua, heavy: bool) -> Result<()> {
        self.heavy.set(heavy);
        let every = if heavy {
            TICK_INSTRUCTIONS_HEAVY
        } else {
            TICK_INSTRUCTIONS
        };
        let own = self.own.clone();
        let triggers = HookTriggers::new().every_nth_instruction(every);
        lua.set_global_hook(triggers, move |lua, _| {
            if let Some(context) = own.upgrade() {
                context.tick()?;
                context.note_size(lua, 0)?;
            }
            Ok(VmState::Continue)
        })
    }

    /// So many bytes are about to be added to the state.
    pub(crate) fn note_size(&self, lua: &Lua, bytes: usize) -> Result<()> {
        if !self.heavy.get() && lua.used_memory().saturating_add(bytes) > HEAVY_BYTES {
            self.watch(lua, true)?;
        }
        Ok(())
    }

    pub(crate) fn is_heavy(&self) -> bool {
        self.heavy.get()
    }

    /// A script has ended: the next one may be lighter.
    pub(crate) fn settle(&self, lua: &Lua) {
        if self.heavy.get() && lua.used_memory() <= HEAVY_BYTES {
            // It is only the hook that is set, as it was before.
            let _ = self.watch(lua, false);
        }
    }

    /// Runs `script` with `host` at hand, from a fresh start: RESP2, changes told to everybody, nothing stopped.
    pub(crate) fn with_host<R>(&self, host: &mut dyn Host, script: impl FnOnce() -> R) -> R {
        self.protocol.set(Protocol::Resp2);
        self.targets.set(Targets::ALL);
        self.calls.set(0);
        self.steps.set(0);
        self.stopped.take();
        let result = HOST.set(host, script);
        if let Some(panic) = self.panic.take() {
            resume_unwind(panic);
        }
        result
    }

    /// Why the script must stop, once it must.
    pub(crate) fn stopped(&self) -> Option<Vec<u8>> {
        self.stopped.borrow().clone()
    }

    /// Asks the host whether the script may go on. Once it may not, every later call fails too.
    pub(crate) fn tick(&self) -> Result<()> {
        if self.stopped.borrow().is_none() && HOST.is_set() {
            self.calls.set(0);
            self.steps.set(0);
            if let Tick::Kill(text) = self.ask(|host| host.tick())? {
                self.stopped.replace(Some(text.as_bytes().to_vec()));
            }
        }
        if self.stopped.borrow().is_some() {
            return Err(Failure::Stop.into());
        }
        Ok(())
    }

    /// Counts one step of a long loop outside the virtual machine, and ticks now and then.
    pub(crate) fn step(&self) -> Result<()> {
        self.steps_of(1)
    }

    /// Counts so many bytes that are gone through at once, which may take long.
    pub(crate) fn work(&self, bytes: usize) -> Result<()> {
        self.steps_of(u32::try_from(bytes / BYTES_PER_STEP).unwrap_or(u32::MAX))
    }

    fn steps_of(&self, steps: u32) -> Result<()> {
        let steps = self.steps.get().saturating_add(steps);
        self.steps.set(steps);
        if steps >= STEPS_PER_TICK {
            self.tick()
        } else {
            Ok(())
        }
    }

    /// Runs a command. Its reply is kept for [`Context::answered`] or [`Context::take_answer`].
    pub(crate) fn call(&self, words: &[&[u8]]) -> Result<()> {
        if self.stopped.borrow().is_some() {
            return Err(Failure::Stop.into());
        }
        let length: usize = words.iter().map(|word| word.len()).sum();
        if length > self.settings.memory_bytes {
            // The same long string may be given many times; the host would copy each.
            return Err(Error::MemoryError(String::new()));
        }
        let mut reply = self.reply.take().unwrap_or_default();
        reply.clear();
        reply.set_protocol(self.protocol.get());
        self.ask(|host| host.call(words, self.targets.get(), &mut reply))?;
        self.reply.replace(Some(reply));
        let calls = self.calls.get() + 1;
        self.calls.set(calls);
        if calls >= TICK_CALLS {
            self.tick()?;
        }
        Ok(())
    }

    /// The bytes of the last command's reply, which stay where they are until the reply is taken or the next command runs. A pointer, since Lua leaves
    /// functions without giving back what they borrowed.
    pub(crate) fn answered(&self) -> *const [u8] {
        let mut reply = self.reply.borrow_mut();
        let bytes: &[u8] = reply.as_mut().map_or(&[], Reply::flatten);
        bytes
    }

    /// The last command's reply, to be given back by [`Context::recycle`].
    pub(crate) fn take_answer(&self) -> Reply {
        self.reply.take().unwrap_or_default()
    }

    /// Keeps why a command did not answer.
    pub(crate) fn note(&self, trouble: Trouble) {
        self.trouble.replace(Some(trouble));
    }

    /// Why the last command did not answer, told once.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.trouble.take()
    }

    /// Takes back a reply's buffer, unless it has grown large.
    pub(crate) fn recycle(&self, reply: Reply) {
        if reply.memory() <= HEADROOM_BYTES {
            self.reply.replace(Some(reply));
        }
    }

    pub(crate) fn may_call(&self, args: &[&[u8]]) -> Result<Option<bool>> {
        self.ask(|host| host.may_call(args))
    }

    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        self.ask(|host| host.cpu_seconds())
    }

    pub(crate) fn log(&self, level: LogLevel, text: &[u8]) -> Result<()> {
        self.ask(|host| host.log(level, text))
    }

    /// Calls the host. A panic in it must not unwind through Lua, which would let a script catch it: the script is
    /// stopped and the panic goes on where the script was started.
    fn ask<R>(&self, question: impl FnOnce(&mut dyn Host) -> R) -> Result<R> {
        if !HOST.is_set() {
            return Err(Failure::text("no command can run here").into());
        }
        match HOST.with(|host| catch_unwind(AssertUnwindSafe(|| question(host)))) {
            Ok(answer) => Ok(answer),
            Err(panic) => {
                self.panic.replace(Some(panic));
                self.stopped
                    .replace(Some(b"the server failed to run a command".to_vec()));
                Err(Failure::Stop.into())
            }
        }
    }

    /// Builds Lua values that take about `bytes`. Where that is sure to fit, the memory bound is lifted meanwhile,
    /// because under a bound every single allocation runs in a protected call of its own. `build` must not run Lua
    /// code.
    pub(crate) fn building<R>(
        &self,
        lua: &Lua,
        bytes: usize,
        build: impl FnOnce() -> Result<R>,
    ) -> Result<R> {
        let needed = lua
            .used_memory()
            .saturating_add(bytes)
            .saturating_add(HEADROOM_BYTES);
        if bytes > HEADROOM_BYTES {
            self.note_size(lua, bytes)?;
        }
        let bound = self.settings.memory_bytes;
        if needed >= bound {
            return build();
        }
        lua.set_memory_limit(0)?;
        let built = build();
        lua.set_memory_limit(bound)?;
        built
    }

    /// Collects all garbage: without the bound, since that takes a little memory first, and without it nothing can fail; no Lua code runs when
    /// objects are collected.
    pub(crate) fn collect_all(&self, lua: &Lua) {
        let _ = lua.set_memory_limit(0);
        let _ = lua.gc_collect();
        let _ = lua.set_memory_limit(self.settings.memory_bytes);
    }

    /// Makes a string.
    ///
    /// # Errors
    /// As Lua does, when it does not fit.
    pub(crate) fn string(&self, lua: &Lua, bytes: &[u8]) -> Result<LuaString> {
        self.building(lua, bytes.len(), || lua.create_string(bytes))
    }

    /// How many bytes a function may still produce: its result has to fit in Lua's memory, and beyond the longest value of Redis
    /// nothing could be done with it.
    pub(crate) fn room(&self, lua: &Lua) -> usize {
        let left = self.settings.memory_bytes.saturating_sub(lua.used_memory());
        left.min(LONGEST_STRING_BYTES)
    }

    /// Fails as Lua does when `length` bytes cannot fit.
    pub(crate) fn check_room(&self, lua: &Lua, length: usize) -> Result<()> {
        if length > self.room(lua) {
            return Err(Error::MemoryError(String::new()));
        }
        Ok(())
    }
}
