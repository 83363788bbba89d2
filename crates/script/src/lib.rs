//! The Lua 5.1 sandbox: `EVAL` and functions as Valkey 9.1 runs them, without the server around it.
//!
//! An [`Interpreter`] holds one Lua state and the scripts cached by their SHA1; [`Functions`] holds another one and the
//! libraries loaded into it. They run a script with a [`Host`], which executes the commands of `server.call`, decides
//! when a script has run for too long, and takes log lines. Nothing here knows a command, a clock or a socket.
//!
//! # Layout
//!
//! - `interpreter`: the cache of scripts; `functions`: libraries; `flags`: what either declares in its first line.
//! - `state`: one Lua state: compiling, running, the memory bound.
//! - `host`: what the server gives; [`texts`]: what it says about scripts.
//! - `sandbox` with `lua/sandbox.lua`: what a script finds in its globals, and what keeps scripts apart.
//! - `failure`: errors and their positions. A function written in Rust can only raise opaque objects through Lua, so
//!   everything that lets a script see an error (`pcall` and its kin) turns them into plain values first.
//! - `context`: what the functions share; `args`: how they read arguments.
//! - `redis_api`, `reply`: the table `server`, and replies to Lua values and back.
//! - `stack`: the same and the way into a script for the usual values, without mlua's handles. All of the crate's `unsafe` is there.
//! - `json`, `msgpack`, `structs`, `bits`: the libraries `cjson`, `cmsgpack`, `struct`, `bit`.
//! - `strings` with `pattern`, `tables`, `base`, `math`, `loading`: standard functions replaced because those of Lua 5.1 can
//!   hang, overflow the stack, load bytecode or draw from the C library's random numbers.

mod args;
mod base;
mod bits;
mod context;
mod failure;
mod flags;
mod functions;
mod host;
mod interpreter;
mod json;
mod loading;
mod math;
mod msgpack;
mod number;
mod pattern;
mod random;
mod redis_api;
mod reply;
mod sandbox;
mod settings;
mod sha1;
mod stack;
mod state;
mod strings;
mod structs;
mod tables;
pub mod texts;

pub use flags::ScriptFlags;
pub use functions::{Functions, Library, Registered, RestorePolicy};
pub use host::{Answer, Host, LogLevel, TICK_CALLS, TICK_INSTRUCTIONS, Targets, Tick};
pub use interpreter::Interpreter;
pub use settings::Settings;
pub use sha1::Sha1;
pub use state::ScriptError;
