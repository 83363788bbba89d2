//! Libraries of functions: `FUNCTION` and `FCALL`, in a Lua state of their own.
//!
//! A library is a source whose first line names it. Running the source once registers its functions; it finds nothing
//! else then but `server.register_function` and what is needed for log lines.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use mlua::{Function, Lua, MultiValue, RegistryKey, Table, Value};
use resp::Reply;

use crate::args::Args;
use crate::context::{Context, Registration};
use crate::flags::{self, ScriptFlags};
use crate::host::{Answer, Host};
use crate::reply::Names;
use crate::sandbox::Kind;
use crate::settings::Settings;
use crate::state::{ScriptError, State};

/// The name under which libraries are compiled. It is part of their error texts.
const CHUNK_NAME: &str = "@user_function";

/// What happens to libraries that are there when others are restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestorePolicy {
    /// They go first.
    Flush,
    /// They stay; one of the same name is an error.
    Append,
    /// They stay, but for those of the same name.
    Replace,
}

/// All libraries, and the state that they live in.
pub struct Functions {
    state: State,
    libraries: Libraries,
}

/// A library.
#[derive(Clone, Debug)]
pub struct Library {
    code: Rc<[u8]>,
    functions: Vec<Rc<Registered>>,
}

/// A function of a library.
#[derive(Debug)]
pub struct Registered {
    name: Vec<u8>,
    description: Option<Vec<u8>>,
    flags: ScriptFlags,
    function: RegistryKey,
}

impl Library {
    /// The source, with its first line.
    #[must_use]
    pub fn code(&self) -> &[u8] {
        &self.code
    }

    /// Its functions, in the order in which it registered them.
    #[must_use]
    pub fn functions(&self) -> &[Rc<Registered>] {
        &self.functions
    }
}

impl Registered {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// What it says about itself.
    #[must_use]
    pub fn description(&self) -> Option<&[u8]> {
        self.description.as_deref()
    }

    /// What it declares.
    #[must_use]
    pub fn flags(&self) -> ScriptFlags {
        self.flags
    }
}

/// Libraries by name, and all functions by their names in lower case.
#[derive(Clone, Debug, Default)]
struct Libraries {
    by_name: BTreeMap<Vec<u8>, Library>,
    functions: BTreeMap<Vec<u8>, Rc<Registered>>,
}

impl Libraries {
    fn find(&self, function: &[u8]) -> Option<&Rc<Registered>> {
        // Most names are in lower case already.
        let found = self.functions.get(function);
        found.or_else(|| self.functions.get(&function.to_ascii_lowercase()))
    }

    /// Adds a library that is not there. The error names a function that another library has.
    fn add(&mut self, name: Vec<u8>, library: Library) -> Result<(), Vec<u8>> {
        let taken = |function: &&Rc<Registered>| self.find(&function.name).is_some();
        if let Some(function) = library.functions.iter().find(taken) {
            return Err([b"Function ", &function.name[..], b" already exists"].concat());
        }
        for function in &library.functions {
            let key = function.name.to_ascii_lowercase();
            self.functions.insert(key, Rc::clone(function));
        }
        self.by_name.insert(name, library);
        Ok(())
    }

    fn remove(&mut self, name: &[u8]) -> Option<Library> {
        let library = self.by_name.remove(name)?;
        for function in &library.functions {
            self.functions.remove(&function.name.to_ascii_lowercase());
        }
        Some(library)
    }
}

impl Functions {
    /// A fresh state without libraries.
    ///
    /// # Errors
    /// [`ScriptError::Start`] when `settings` leave no room for Lua's own libraries.
    pub fn new(settings: Settings) -> Result<Self, ScriptError> {
        Ok(Functions {
            state: State::new(settings, Kind::Functions)?,
            libraries: Libraries::default(),
        })
    }

    /// Loads a library and gives its name. If it fails, everything is as before.
    ///
    /// # Errors
    /// [`ScriptError::Refused`] with what is wrong.
    pub fn load(
        &mut self,
        code: &[u8],
        replace: bool,
        host: &mut dyn Host,
    ) -> Result<Vec<u8>, ScriptError> {
        let mut libraries = std::mem::take(&mut self.libraries);
        let loaded = self.load_into(&mut libraries, code, replace, host);
        self.libraries = libraries;
        self.state.forget_dropped();
        loaded.map_err(ScriptError::Refused)
    }

    fn load_into(
        &mut self,
        libraries: &mut Libraries,
        code: &[u8],
        replace: bool,
        host: &mut dyn Host,
    ) -> Result<Vec<u8>, Vec<u8>> {
        let (name, body) = flags::of_library(code)?;
        if libraries.by_name.contains_key(&name) && !replace {
            return Err([b"Library '", &name[..], b"' already exists"].concat());
        }
        let functions = self.compile(body, host)?;
        let library = Library {
            code: code.into(),
            functions,
        };
        let old = libraries.remove(&name);
        let added = libraries.add(name.clone(), library);
        if added.is_err()
            && let Some(old) = old
        {
            // It was there before, so nothing is in its way.
            let _ = libraries.add(name.clone(), old);
        }
        added.map(|()| name)
    }

    /// Runs the source of a library for the functions that it registers.
    fn compile(
        &mut self,
        body: &[u8],
        host: &mut dyn Host,
    ) -> Result<Vec<Rc<Registered>>, Vec<u8>> {
        let chunk = self
            .state
            .compile(body, CHUNK_NAME)
            .map_err(|complaint| [b"Error compiling function: ", &complaint[..]].concat())?;
        self.state.context.registrations.replace(Some(Vec::new()));
        let result = self.state.run_library(&chunk, host);
        let registrations = self.state.context.registrations.take().unwrap_or_default();
        result.map_err(|complaint| [b"Error registering functions: ", &complaint[..]].concat())?;
        let mut functions: Vec<Rc<Registered>> = Vec::new();
        for registration in registrations {
            if !flags::is_name(&registration.name) {
                let text = "Function names can only contain letters, numbers, or underscores(_) and must be at least one character long";
                return Err(text.into());
            }
            let same = |other: &Rc<Registered>| other.name == registration.name;
            if functions.iter().any(same) {
                return Err(b"Function already exists in the library".to_vec());
            }
            functions.push(Rc::new(Registered {
                function: self.state.keep(&registration.function)?,
                name: registration.name,
                description: registration.description,
                flags: registration.flags,
            }));
        }
        if functions.is_empty() {
            return Err(b"No functions registered".to_vec());
        }
        Ok(functions)
    }

    /// Loads several libraries at once, all or none.
    ///
    /// # Errors
    /// [`ScriptError::Refused`] with what is wrong.
    pub fn restore(
        &mut self,
        codes: &[&[u8]],
        policy: RestorePolicy,
        host: &mut dyn Host,
    ) -> Result<(), ScriptError> {
        let restored = self.restore_all(codes, policy, host);
        self.state.forget_dropped();
        restored.map_err(ScriptError::Refused)
    }

    fn restore_all(
        &mut self,
        codes: &[&[u8]],
        policy: RestorePolicy,
        host: &mut dyn Host,
    ) -> Result<(), Vec<u8>> {
        let mut restored = Libraries::default();
        for code in codes {
            self.load_into(&mut restored, code, false, host)?;
        }
        if policy == RestorePolicy::Flush {
            self.libraries = restored;
            return Ok(());
        }
        let mut all = self.libraries.clone();
        for name in restored.by_name.keys() {
            if all.remove(name).is_some() && policy == RestorePolicy::Append {
                return Err([b"Library ", &name[..], b" already exists"].concat());
            }
        }
        for (name, library) in restored.by_name {
            all.add(name, library)?;
        }
        self.libraries = all;
        Ok(())
    }

    /// Forgets a library. Whether it was there.
    pub fn delete(&mut self, name: &[u8]) -> bool {
        let was_there = self.libraries.remove(name).is_some();
        self.state.forget_dropped();
        was_there
    }

    /// The libraries, by name.
    pub fn libraries(&self) -> impl ExactSizeIterator<Item = (&[u8], &Library)> {
        let all = self.libraries.by_name.iter();
        all.map(|(name, library)| (&name[..], library))
    }

    /// How many functions there are.
    #[must_use]
    pub fn function_count(&self) -> usize {
        self.libraries.functions.len()
    }

    /// The function of this name, in either case.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> Option<&Rc<Registered>> {
        self.libraries.find(name)
    }

    /// Bytes that libraries take beside the Lua state: sources and names.
    #[must_use]
    pub fn cache_bytes(&self) -> usize {
        let libraries = self.libraries.by_name.iter();
        let sizes = libraries.map(|(name, library)| {
            let functions = library.functions.iter().map(|function| {
                let description = function.description.as_ref().map_or(0, Vec::len);
                2 * function.name.len() + description + size_of::<Registered>()
            });
            name.len() + library.code.len() + size_of::<Library>() + functions.sum::<usize>()
        });
        sizes.sum()
    }

    /// Collects the garbage of a small state, so that [`Self::memory_used`] tells what is in use.
    pub fn tidy(&mut self) {
        self.state.tidy();
    }

    /// Bytes held by the Lua state (`used_memory_vm_functions`).
    #[must_use]
    pub fn memory_used(&self) -> usize {
        self.state.memory_used()
    }

    /// Calls a function that [`Functions::find`] found, and writes one reply, which may be an error. `reply` is empty.
    pub fn call(
        &mut self,
        function: &Registered,
        keys: &[&[u8]],
        argv: &[&[u8]],
        host: &mut dyn Host,
        reply: &mut Reply,
    ) -> Answer {
        let function = &function.function;
        self.state.run(function, (keys, argv), host, reply)
    }
}

impl fmt::Debug for Functions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Functions")
            .field("libraries", &self.libraries.by_name.len())
            .field("memory_used", &self.memory_used())
            .finish_non_exhaustive()
    }
}

/// Makes `server.register_function`.
pub(crate) fn register_function(lua: &Lua, context: &Rc<Context>) -> mlua::Result<Function> {
    let context = Rc::clone(context);
    let names = Names::new(lua)?;
    lua.create_function(move |lua, args: MultiValue| {
        let mut registrations = context.registrations.borrow_mut();
        let refuse = |text: &str| names.raise(lua, text.as_bytes());
        let Some(registrations) = registrations.as_mut() else {
            return Err(refuse(
                "server.register_function can only be called on FUNCTION LOAD command",
            ));
        };
        let registration = registration(&Args::new(lua, args)).map_err(refuse)?;
        registrations.push(registration);
        Ok(())
    })
}

fn registration(args: &Args<'_>) -> Result<Registration, &'static str> {
    match args.len() {
        1 => match args.at(1) {
            Some(Value::Table(table)) => by_name(args.lua, table),
            _ => Err(
                "calling server.register_function with a single argument is only applicable to Lua table (representing named arguments).",
            ),
        },
        2 => {
            let name = text(args.lua, args.value(1))
                .ok_or("first argument to server.register_function must be a string")?;
            let Some(Value::Function(function)) = args.at(2) else {
                return Err("second argument to server.register_function must be a function");
            };
            Ok(Registration {
                name,
                description: None,
                flags: ScriptFlags::default(),
                function: function.clone(),
            })
        }
        _ => Err("wrong number of arguments to server.register_function"),
    }
}

/// The bytes of a string, or of a number as Lua prints it.
fn text(lua: &Lua, value: Value) -> Option<Vec<u8>> {
    if !matches!(
        value,
        Value::String(_) | Value::Integer(_) | Value::Number(_)
    ) {
        return None;
    }
    let text = lua.coerce_string(value).ok()??;
    Some(text.as_bytes().to_vec())
}

fn by_name(lua: &Lua, table: &Table) -> Result<Registration, &'static str> {
    let (mut name, mut description, mut function) = (None, None, None);
    let mut flags = ScriptFlags::default();
    for pair in table.pairs::<Value, Value>() {
        let not_a_string = "named argument key given to server.register_function is not a string";
        let (key, value) = pair.map_err(|_| not_a_string)?;
        let key = text(lua, key).ok_or(not_a_string)?;
        match key.to_ascii_lowercase().as_slice() {
            b"function_name" => {
                name = Some(text(lua, value).ok_or(
                    "function_name argument given to server.register_function must be a string",
                )?);
            }
            b"description" => {
                description = Some(text(lua, value).ok_or(
                    "description argument given to server.register_function must be a string",
                )?);
            }
            b"callback" => match value {
                Value::Function(callback) => function = Some(callback),
                _ => {
                    return Err(
                        "callback argument given to server.register_function must be a function",
                    );
                }
            },
            b"flags" => match value {
                Value::Table(names) => flags = read_flags(lua, &names)?,
                _ => {
                    return Err(
                        "flags argument to server.register_function must be a table representing function flags",
                    );
                }
            },
            _ => return Err("unknown argument given to server.register_function"),
        }
    }
    Ok(Registration {
        name: name.ok_or("server.register_function must get a function name argument")?,
        function: function.ok_or("server.register_function must get a callback argument")?,
        description,
        flags,
    })
}

fn read_flags(lua: &Lua, names: &Table) -> Result<ScriptFlags, &'static str> {
    let mut flags = ScriptFlags::default();
    for name in names.sequence_values::<Value>() {
        let name = name.ok().and_then(|name| text(lua, name));
        let flag = name.and_then(|name| ScriptFlags::named(&name.to_ascii_lowercase()));
        flags = flags.with(flag.ok_or("unknown flag given")?);
    }
    Ok(flags)
}
