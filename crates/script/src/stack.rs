//! The way into a script and the way to its commands and back, on Lua's own stack. mlua makes a handle for each value that
//! crosses, which is most of what a short script costs; here no value gets one. What is rare (errors, tables of RESP3, long
//! replies) is left to functions that use handles.
//!
//! Lua leaves a function by a jump that runs no destructor, whenever memory ends or an error is raised. So the functions that
//! Lua calls here hold nothing that has one: what they need is in a [`Context`] or in the frame of who called Lua.
#![expect(
    unsafe_code,
    reason = "Lua's own interface, as mlua hands it out; each block says why it holds"
)]

use std::ffi::{c_char, c_int, c_void};
use std::rc::Rc;

use mlua::ffi::{
    LUA_OK, LUA_REGISTRYINDEX, LUA_TNUMBER, LUA_TSTRING, lua_State, lua_call, lua_createtable,
    lua_error, lua_gettop, lua_pcall, lua_pop, lua_pushboolean, lua_pushcclosure,
    lua_pushlightuserdata, lua_pushlstring_, lua_pushnumber, lua_pushvalue, lua_rawgeti_,
    lua_rawset, lua_rawseti_, lua_settop, lua_toboolean, lua_tolstring, lua_tonumber,
    lua_touserdata, lua_type, lua_upvalueindex,
};
use mlua::{Function, LightUserData, Lua, RegistryKey, Result, Table};
use resp::Reply;
use smallvec::SmallVec;

use crate::context::{Context, HEADROOM_BYTES, Trouble};
use crate::failure::Failure;
use crate::host::Answer;
use crate::number::{self, to_i64};
use crate::reply::{self, Names, first_line};

/// Only strings and numbers can be words of a command, and it has one at least.
pub(crate) const WRONG_WORD: &str = "Command arguments must be strings or integers";
pub(crate) const NO_WORD: &str = "Please specify at least one argument for this call";

/// What every run of a state needs, by its number in the registry.
pub(crate) struct Entrance {
    enter: RegistryKey,
    on_error: RegistryKey,
    /// The table that gets `KEYS` and `ARGV`; a function is given them as its arguments.
    globals: Option<RegistryKey>,
}

/// One run, for [`enter`].
struct Run<'a> {
    function: c_int,
    globals: Option<c_int>,
    keys: &'a [&'a [u8]],
    argv: &'a [&'a [u8]],
}

impl Entrance {
    /// `on_error` makes the table of an error that ends a script; `globals` are those of scripts.
    pub(crate) fn new(lua: &Lua, on_error: &Function, globals: Option<&Table>) -> Result<Self> {
        // SAFETY: `enter` is given what it asks for by `run` alone; nothing else can reach it.
        let enter = unsafe { lua.create_c_function(enter)? };
        let globals = globals.map(|globals| lua.create_registry_value(globals));
        Ok(Entrance {
            enter: lua.create_registry_value(enter)?,
            on_error: lua.create_registry_value(on_error)?,
            globals: globals.transpose()?,
        })
    }

    /// Runs a function that is in the registry of `lua`, and writes what it gives.
    ///
    /// # Errors
    /// With the value that `on_error` gave, or what cannot be written.
    pub(crate) fn run(
        &self,
        lua: &Lua,
        function: &RegistryKey,
        (keys, argv): (&[&[u8]], &[&[u8]]),
        (context, names): (&Context, &Names),
        reply: &mut Reply,
    ) -> Result<Answer> {
        let run = Run {
            function: function.id(),
            globals: self.globals.as_ref().map(RegistryKey::id),
            keys,
            argv,
        };
        lua.exec_raw_lua(|raw| {
            let state = raw.state();
            // SAFETY: the state lives as long as `lua` and is at rest, so there is room for three values. What is pushed before the protected
            // call allocates nothing and cannot fail. `run` lives until that call is over. The text is read while it is on the stack.
            // `pop_value` is given the value that the call left.
            unsafe {
                let bottom = lua_gettop(state);
                lua_rawgeti_(state, LUA_REGISTRYINDEX, self.on_error.id());
                lua_rawgeti_(state, LUA_REGISTRYINDEX, self.enter.id());
                lua_pushlightuserdata(state, (&raw const run).cast::<c_void>().cast_mut());
                let status = lua_pcall(state, 1, 1, bottom + 1);
                let result = match (status, lua_type(state, -1)) {
                    (LUA_OK, LUA_TNUMBER) => {
                        reply.int(to_i64(lua_tonumber(state, -1)));
                        Ok(Answer::Value)
                    }
                    (LUA_OK, LUA_TSTRING) => {
                        reply.bulk(text(state, -1));
                        Ok(Answer::Value)
                    }
                    (LUA_OK, _) => reply::from_lua(context, names, raw.pop_value(), reply),
                    _ => Err(Failure::Value(raw.pop_value()).into()),
                };
                lua_settop(state, bottom);
                result
            }
        })
    }
}

/// Makes the tables of keys and arguments, and calls the function. Its frame is the lowest of a script's.
unsafe extern "C-unwind" fn enter(state: *mut lua_State) -> c_int {
    // SAFETY: `Entrance::run` pushed a pointer to its `Run`, which it keeps until this is over. A function that Lua calls has room for twenty values;
    // there are seven at most.
    unsafe {
        let run = &*lua_touserdata(state, 1).cast::<Run<'_>>();
        let Some(globals) = run.globals else {
            lua_rawgeti_(state, LUA_REGISTRYINDEX, run.function);
            push_words(state, run.keys);
            push_words(state, run.argv);
            lua_call(state, 2, 1);
            return 1;
        };
        lua_rawgeti_(state, LUA_REGISTRYINDEX, globals);
        for (name, words) in [("KEYS", run.keys), ("ARGV", run.argv)] {
            push_text(state, name.as_bytes());
            push_words(state, words);
            lua_rawset(state, 2);
        }
        lua_rawgeti_(state, LUA_REGISTRYINDEX, run.function);
        lua_call(state, 0, 1);
    }
    1
}

/// Pushes a table of texts.
unsafe fn push_words(state: *mut lua_State, words: &[&[u8]]) {
    // SAFETY: there are three values at most, for which the callers have room.
    unsafe {
        // More than Lua can count do not fit in its memory either; the table grows until that ends.
        lua_createtable(state, c_int::try_from(words.len()).unwrap_or(0), 0);
        for (index, word) in (1..).zip(words) {
            push_text(state, word);
            lua_rawseti_(state, -2, index);
        }
    }
}

/// Pushes one value.
unsafe fn push_text(state: *mut lua_State, text: &[u8]) {
    // SAFETY: the callers have room for one value; Lua copies the text.
    unsafe { lua_pushlstring_(state, text.as_ptr().cast::<c_char>(), text.len()) }
}

/// The text at `index`, where a string is. It is valid while it stays there.
unsafe fn text<'a>(state: *mut lua_State, index: c_int) -> &'a [u8] {
    let mut length = 0;
    // SAFETY: of a string Lua gives its own bytes and their number, and does not move them.
    unsafe {
        let start = lua_tolstring(state, index, &raw mut length);
        std::slice::from_raw_parts(start.cast::<u8>(), length)
    }
}

/// Makes `server.call` or `server.pcall`. `rest` takes nothing and gives two values: what the command that ran last answered, or what went wrong with
/// it, and whether that is to be raised.
pub(crate) fn caller(lua: &Lua, context: &Rc<Context>, rest: Function) -> Result<Function> {
    let context = LightUserData(Rc::as_ptr(context).cast::<c_void>().cast_mut());
    // SAFETY: the two values become those of `call`. `rest` holds the context as well, so it lives as long as the function that is made.
    unsafe {
        lua.exec_raw((context, rest), |state| {
            lua_pushcclosure(state, call, 2);
        })
    }
}

/// `server.call` and `server.pcall`.
unsafe extern "C-unwind" fn call(state: *mut lua_State) -> c_int {
    // SAFETY: the function's own values are those that `caller` gave it. Beyond its arguments Lua gives each function room for twenty values; there
    // are four at most. `run_command` neither pushes nor raises. The reply stays in the context, untouched, until the next command.
    unsafe {
        let context = &*lua_touserdata(state, lua_upvalueindex(1)).cast::<Context>();
        if run_command(state, context)
            && let Some(reply) = Short::of(&*context.answered())
        {
            let top = lua_gettop(state);
            if reply.push(state) {
                return 1;
            }
            lua_settop(state, top);
        }
        lua_pushvalue(state, lua_upvalueindex(2));
        lua_call(state, 0, 2);
        let is_raised = lua_toboolean(state, -1) != 0;
        lua_pop(state, 1);
        if is_raised { lua_error(state) } else { 1 }
    }
}

/// Runs the command whose words are all there is on the stack. Whether it answered; if not, the context knows why.
unsafe fn run_command(state: *mut lua_State, context: &Context) -> bool {
    let mut numbers: SmallVec<[(usize, SmallVec<[u8; 32]>); 1]> = SmallVec::new();
    let mut words: SmallVec<[&[u8]; 8]> = SmallVec::new();
    // SAFETY: only places that hold something are looked at, texts only where there are strings; all stay on the stack until the command has run.
    unsafe {
        for index in 1..=lua_gettop(state) {
            let word = match lua_type(state, index) {
                LUA_TSTRING => text(state, index),
                LUA_TNUMBER => {
                    numbers.push((words.len(), number::word(lua_tonumber(state, index))));
                    // Its text may still be moved.
                    &[]
                }
                _ => {
                    context.note(Trouble::Words(WRONG_WORD));
                    return false;
                }
            };
            words.push(word);
        }
    }
    for (place, number) in &numbers {
        words[*place] = number;
    }
    if words.is_empty() {
        context.note(Trouble::Words(NO_WORD));
        return false;
    }
    let answered = context.call(&words);
    let answered = answered.map_err(|error| context.note(Trouble::Failed(error)));
    answered.is_ok()
}

/// A command's reply that is made a Lua value here.
enum Short<'a> {
    Number(f64),
    Nil,
    Text(&'a [u8]),
    Status(&'a [u8]),
    /// How many elements there are, and these.
    Array(c_int, &'a [u8]),
}

impl<'a> Short<'a> {
    /// What a whole reply is, if it is short and not one of the rarer kinds.
    fn of(reply: &'a [u8]) -> Option<Self> {
        if reply.len() > HEADROOM_BYTES {
            return None;
        }
        let (kind, rest) = reply.split_first()?;
        match kind {
            b':' => Some(Short::Number(integer(rest.strip_suffix(b"\r\n")?)?)),
            b'+' => rest.strip_suffix(b"\r\n").map(Short::Status),
            b'$' if rest == b"-1\r\n" => Some(Short::Nil),
            b'$' => reply::only_bulk(rest).map(Short::Text),
            b'*' => {
                let (count, elements) = first_line(rest)?;
                Some(match resp::number::parse_i64(count)? {
                    -1 => Short::Nil,
                    // An element takes four bytes or more.
                    count if usize::try_from(count).ok()? > elements.len() / 4 => return None,
                    count => Short::Array(c_int::try_from(count).ok()?, elements),
                })
            }
            _ => None,
        }
    }

    /// Pushes the value. False, with anything on the stack, where an array has other elements than texts and integers.
    unsafe fn push(self, state: *mut lua_State) -> bool {
        // SAFETY: four values at most, for which the caller has room.
        unsafe {
            match self {
                Short::Number(number) => lua_pushnumber(state, number),
                Short::Nil => lua_pushboolean(state, 0),
                Short::Text(text) => push_text(state, text),
                Short::Status(text) => {
                    lua_createtable(state, 0, 1);
                    push_text(state, b"ok");
                    push_text(state, text);
                    lua_rawset(state, -3);
                }
                Short::Array(count, elements) => return push_array(state, count, elements),
            }
        }
        true
    }
}

unsafe fn push_array(state: *mut lua_State, count: c_int, mut rest: &[u8]) -> bool {
    // SAFETY: two values at most, for which the caller has room.
    unsafe {
        lua_createtable(state, count, 0);
        for index in 1..=count {
            let Some((element, behind)) = element(rest) else {
                return false;
            };
            match element {
                Short::Number(number) => lua_pushnumber(state, number),
                Short::Text(text) => push_text(state, text),
                _ => lua_pushboolean(state, 0),
            }
            lua_rawseti_(state, -2, index);
            rest = behind;
        }
    }
    rest.is_empty()
}

/// The next element of an array, a text, a null or an integer, and what is behind it.
fn element(rest: &[u8]) -> Option<(Short<'_>, &[u8])> {
    let (kind, rest) = rest.split_first()?;
    let (line, rest) = first_line(rest)?;
    match kind {
        b':' => Some((Short::Number(integer(line)?), rest)),
        b'$' if line == b"-1" => Some((Short::Nil, rest)),
        b'$' => {
            let length = usize::try_from(resp::number::parse_i64(line)?).ok()?;
            let (text, rest) = rest.split_at_checked(length)?;
            Some((Short::Text(text), rest.strip_prefix(b"\r\n")?))
        }
        _ => None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "Lua has no other numbers")]
fn integer(line: &[u8]) -> Option<f64> {
    resp::number::parse_i64(line).map(|number| number as f64)
}
