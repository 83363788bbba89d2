//! The interpreter of `EVAL`: scripts cached by SHA1, compiled once, run with a host. What scripts may do is in `sandbox`.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use mlua::RegistryKey;
use resp::Reply;

use crate::flags::{self, ScriptFlags};
use crate::host::{Answer, Host};
use crate::sandbox::Kind;
use crate::settings::Settings;
use crate::sha1::Sha1;
use crate::state::{ScriptError, State};

/// The name under which scripts are compiled. It is part of their error texts.
const CHUNK_NAME: &str = "@user_script";

/// Scripts that came with `EVAL` and are kept; of more, the one that was used least recently is forgotten.
const MOST_EVALED: usize = 500;

/// One Lua state and the scripts that it knows.
pub struct Interpreter {
    state: State,
    scripts: BTreeMap<Sha1, Script>,
    /// When scripts that came with `EVAL` were used last, and which.
    evaled: BTreeMap<u64, Sha1>,
    uses: u64,
    /// What came with `EVAL` last: to compare it costs less than to hash it.
    last: Option<(Rc<[u8]>, Sha1)>,
}

/// A compiled script and the source that it came from.
#[derive(Clone, Debug)]
struct Script {
    source: Rc<[u8]>,
    flags: ScriptFlags,
    function: Rc<RegistryKey>,
    /// Its place in the order of use; none for one that `SCRIPT LOAD` named, which is kept.
    used: Option<u64>,
}

impl Interpreter {
    /// A fresh state that knows no script.
    ///
    /// # Errors
    /// [`ScriptError::Start`] when `settings` leave no room for the libraries.
    pub fn new(settings: Settings) -> Result<Self, ScriptError> {
        Ok(Interpreter {
            state: State::new(settings, Kind::Scripts)?,
            scripts: BTreeMap::new(),
            evaled: BTreeMap::new(),
            uses: 0,
            last: None,
        })
    }

    /// Compiles a script for `SCRIPT LOAD` and keeps it until it is flushed.
    ///
    /// # Errors
    /// [`ScriptError::Refused`] with the complaint.
    pub fn load(&mut self, source: &[u8]) -> Result<Sha1, ScriptError> {
        let sha1 = Sha1::of(source);
        match self.scripts.get_mut(&sha1) {
            Some(script) => {
                if let Some(used) = script.used.take() {
                    self.evaled.remove(&used);
                }
            }
            None => self.compile(sha1, source, None)?,
        }
        Ok(sha1)
    }

    /// Compiles a script for `EVAL` unless it is known. The second is how many others were forgotten for it.
    ///
    /// # Errors
    /// [`ScriptError::Refused`] with the complaint.
    pub fn prepare(&mut self, source: &[u8]) -> Result<(Sha1, usize), ScriptError> {
        let same = self.last.as_ref().filter(|(last, _)| **last == *source);
        let sha1 = same.map_or_else(|| Sha1::of(source), |(_, sha1)| *sha1);
        if let Some(script) = self.scripts.get(&sha1) {
            if same.is_none() {
                self.last = Some((Rc::clone(&script.source), sha1));
            }
            return Ok((sha1, 0));
        }
        self.uses += 1;
        self.compile(sha1, source, Some(self.uses))?;
        let mut forgotten = 0;
        while self.evaled.len() >= MOST_EVALED {
            let Some((_, oldest)) = self.evaled.pop_first() else {
                break;
            };
            self.scripts.remove(&oldest);
            forgotten += 1;
        }
        if forgotten > 0 {
            self.state.forget_dropped();
        }
        self.evaled.insert(self.uses, sha1);
        Ok((sha1, forgotten))
    }

    fn compile(&mut self, sha1: Sha1, source: &[u8], used: Option<u64>) -> Result<(), ScriptError> {
        let declared = flags::of_script(source).map_err(ScriptError::Refused)?;
        let refuse = |complaint: Vec<u8>| {
            let start = &b"Error compiling script (new function): "[..];
            ScriptError::Refused([start, &complaint].concat())
        };
        let function = self
            .state
            .compile(declared.code, CHUNK_NAME)
            .map_err(refuse)?;
        let script = Script {
            source: source.into(),
            flags: declared.flags,
            function: Rc::new(self.state.keep(&function).map_err(refuse)?),
            used,
        };
        self.state.collect();
        self.scripts.insert(sha1, script);
        Ok(())
    }

    /// The script with this SHA1, in hexadecimal digits of either case, if it is known.
    #[must_use]
    pub fn find(&self, sha1_hex: &[u8]) -> Option<Sha1> {
        Sha1::from_hex(sha1_hex).filter(|sha1| self.scripts.contains_key(sha1))
    }

    /// What a known script declares.
    #[must_use]
    pub fn flags(&self, sha1: Sha1) -> Option<ScriptFlags> {
        Some(self.scripts.get(&sha1)?.flags)
    }

    /// The source of a known script.
    #[must_use]
    pub fn source(&self, sha1: Sha1) -> Option<&[u8]> {
        Some(&self.scripts.get(&sha1)?.source)
    }

    /// How many scripts are known.
    #[must_use]
    pub fn script_count(&self) -> usize {
        self.scripts.len()
    }

    /// Bytes that the cache takes beside the Lua state: sources and what names them.
    #[must_use]
    pub fn cache_bytes(&self) -> usize {
        let sources = self.scripts.values().map(|script| script.source.len());
        sources.sum::<usize>() + self.scripts.len() * size_of::<(Sha1, Script)>()
    }

    /// Collects the garbage of a small state, so that [`Self::memory_used`] tells what is in use.
    pub fn tidy(&mut self) {
        self.state.tidy();
    }

    /// Bytes held by the Lua state (`used_memory_vm_eval`).
    #[must_use]
    pub fn memory_used(&self) -> usize {
        self.state.memory_used()
    }

    /// Runs a known script and writes one reply, which may be an error. `reply` is empty.
    pub fn run(
        &mut self,
        sha1: Sha1,
        keys: &[&[u8]],
        argv: &[&[u8]],
        host: &mut dyn Host,
        reply: &mut Reply,
    ) -> Answer {
        let Some(script) = self.scripts.get(&sha1) else {
            reply.error(crate::texts::NO_SCRIPT);
            return Answer::Error;
        };
        let function = Rc::clone(&script.function);
        let answer = self.state.run(&function, (keys, argv), host, reply);
        self.note_use(sha1);
        answer
    }

    /// Moves a script to the end of the order in which they are forgotten.
    fn note_use(&mut self, sha1: Sha1) {
        if let Some(script) = self.scripts.get_mut(&sha1)
            && let Some(used) = &mut script.used
            && *used < self.uses
        {
            self.evaled.remove(used);
            self.uses += 1;
            *used = self.uses;
            self.evaled.insert(self.uses, sha1);
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
