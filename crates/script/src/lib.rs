//! The Lua 5.1 sandbox; calls back through a Host trait.
