//! What every function given to Lua shares: the way to the running script's host, the order to stop, the memory
//! bound. The functions themselves are elsewhere.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use mlua::{Error, Lua, LuaString, RegistryKey, Result};

use crate::failure::Failure;
use crate::host::{Host, LogLevel, Outcome, TICK_CALLS, Tick};
use crate::random::Random;
use crate::{Limits, Sha1};

scoped_tls_hkt::scoped_thread_local!(
    /// The host of the script that runs on this thread. Functions given to Lua must be `'static` and cannot borrow it.
    static mut HOST: for<'a> &'a mut dyn Host
);

/// The longest value there is, as long as a bulk of the protocol.
const LONGEST_STRING_BYTES: usize = 512 << 20;

/// Memory kept free beside what a conversion needs, when it runs without checks.
const HEADROOM_BYTES: usize = 64 * 1024;

/// Elements handled by a function written in Rust between two ticks.
const STEPS_PER_TICK: u32 = 4096;

/// A compiled script and the source that it came from.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) source: Rc<[u8]>,
    /// In the state's registry: a handle of its own for each would exhaust the handles after some thousands.
    pub(crate) function: Rc<RegistryKey>,
}

/// The state shared by an interpreter and its functions.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) limits: Limits,
    pub(crate) random: Cell<Random>,
    pub(crate) scripts: RefCell<BTreeMap<Sha1, Script>>,
    stopped: RefCell<Option<Vec<u8>>>,
    panic: RefCell<Option<Box<dyn Any + Send>>>,
    /// Set while the sandbox puts itself in order, which nothing may interrupt.
    pub(crate) undisturbed: Cell<bool>,
    calls: Cell<u32>,
    steps: Cell<u32>,
    /// The reply of the command that runs, kept for its capacity.
    reply: RefCell<Vec<u8>>,
}

impl Context {
    pub(crate) fn new(limits: Limits) -> Self {
        Context {
            limits,
            random: Cell::new(Random::seeded(0)),
            scripts: RefCell::default(),
            stopped: RefCell::default(),
            panic: RefCell::default(),
            undisturbed: Cell::new(false),
            calls: Cell::new(0),
            steps: Cell::new(0),
            reply: RefCell::default(),
        }
    }

    /// Runs `script` with `host` at hand, from a fresh start: same random numbers, nothing stopped.
    pub(crate) fn with_host<R>(&self, host: &mut dyn Host, script: impl FnOnce() -> R) -> R {
        self.random.set(Random::seeded(0));
        self.calls.set(0);
        self.steps.set(0);
        self.stopped.take();
        self.undisturbed.set(false);
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
        if self.undisturbed.get() {
            return Ok(());
        }
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
        let steps = self.steps.get() + 1;
        self.steps.set(steps);
        if steps >= STEPS_PER_TICK {
            self.tick()
        } else {
            Ok(())
        }
    }

    /// Runs a command. The buffer with its reply is to be given back by [`Context::recycle`].
    pub(crate) fn call(&self, args: &[&[u8]]) -> Result<(Outcome, Vec<u8>)> {
        if self.stopped.borrow().is_some() {
            return Err(Failure::Stop.into());
        }
        let mut reply = self.reply.take();
        reply.clear();
        let outcome = self.ask(|host| host.call(args, &mut reply))?;
        let calls = self.calls.get() + 1;
        self.calls.set(calls);
        if calls >= TICK_CALLS {
            self.tick()?;
        }
        Ok((outcome, reply))
    }

    /// Takes back a reply's buffer, unless it has grown large.
    pub(crate) fn recycle(&self, reply: Vec<u8>) {
        if reply.capacity() <= HEADROOM_BYTES {
            self.reply.replace(reply);
        }
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
        if needed >= self.limits.memory_bytes {
            return build();
        }
        let _bound = LiftedBound::new(lua, self.limits.memory_bytes)?;
        build()
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
        let left = self.limits.memory_bytes.saturating_sub(lua.used_memory());
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

/// While it lives, Lua's memory has no bound.
struct LiftedBound<'a> {
    lua: &'a Lua,
    bytes: usize,
}

impl<'a> LiftedBound<'a> {
    fn new(lua: &'a Lua, bytes: usize) -> Result<Self> {
        lua.set_memory_limit(0)?;
        Ok(LiftedBound { lua, bytes })
    }
}

impl Drop for LiftedBound<'_> {
    fn drop(&mut self) {
        // Setting a bound fails only for a state that others allocate for.
        let _ = self.lua.set_memory_limit(self.bytes);
    }
}
