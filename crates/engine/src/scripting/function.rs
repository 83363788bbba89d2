//! FUNCTION and FCALL. Libraries are data: FUNCTION LOAD and its kin are propagated, and dumps hold them.

use std::rc::Rc;

use commands::args::Reader;
use commands::{Args, Done, Error, args};
use resp::Reply;
use resp::glob;
use script::{LogLevel, RestorePolicy, ScriptError, Targets, Tick, texts};

use super::{LOAD_LIMIT_US, Name, Start, keys_and_arguments, log, seconds};
use crate::{ClientId, Engine};

/// How the one language is called.
const LANGUAGE: &str = "LUA";

impl Engine {
    /// The sources of all libraries, for dumps and new append-only files.
    pub(crate) fn library_codes(&self) -> Vec<Vec<u8>> {
        let functions = self.scripting.functions.as_ref();
        functions.map_or_else(Vec::new, |functions| {
            let libraries = functions.libraries();
            libraries
                .map(|(_, library)| library.code().to_vec())
                .collect()
        })
    }

    /// Forgets all libraries.
    pub(crate) fn forget_libraries(&mut self) {
        self.scripting.functions = None;
        let counts = &mut self.scripting.counts;
        (counts.functions_vm, counts.functions_cache) = (0, 0);
        (counts.libraries, counts.functions) = (0, 0);
    }

    /// Loads the libraries of a dump, with `replace` also in the place of others. One that cannot be loaded is passed over where the
    /// configuration says so.
    pub(crate) fn load_libraries(
        &mut self,
        codes: &[Vec<u8>],
        replace: bool,
    ) -> Result<(), rdb::Error> {
        for code in codes {
            if let Err(error) = self.load_library(code, replace) {
                let library = rdb::Unsupported::library(code);
                tracing::warn!(
                    "Failed loading the function library '{}': {}",
                    library.name,
                    String::from_utf8_lossy(&error.line())
                );
                if !self.config.rdb_skip_unsupported {
                    return Err(rdb::Error::Unsupported(Box::new(library)));
                }
                tracing::warn!("{library}");
            }
        }
        Ok(())
    }

    fn load_library(&mut self, code: &[u8], replace: bool) -> Result<(), Error> {
        let mut functions = self.take_functions()?;
        let loaded = functions.load(code, replace, &mut Loading::new(self, None));
        self.put_functions(functions, true);
        loaded.map(drop).map_err(|error| refused(&error))
    }

    fn restore_libraries(
        &mut self,
        codes: &[&[u8]],
        policy: RestorePolicy,
        limit_us: Option<u64>,
    ) -> Result<(), Error> {
        let mut functions = self.take_functions()?;
        let result = functions.restore(codes, policy, &mut Loading::new(self, limit_us));
        self.put_functions(functions, true);
        result.map_err(|error| refused(&error))
    }
}

/// What a library that is loaded can ask for: next to nothing, and not for long.
struct Loading<'a> {
    engine: &'a Engine,
    until_us: Option<u64>,
}

impl<'a> Loading<'a> {
    fn new(engine: &'a Engine, limit_us: Option<u64>) -> Self {
        let until_us = limit_us.map(|limit| engine.host.mono_us().saturating_add(limit));
        Loading { engine, until_us }
    }
}

impl script::Host for Loading<'_> {
    fn call(&mut self, _: &[&[u8]], _: Targets, reply: &mut Reply) {
        reply.error(texts::NOT_FROM_SCRIPTS);
    }

    fn may_call(&mut self, _: &[&[u8]]) -> Option<bool> {
        None
    }

    fn tick(&mut self) -> Tick {
        match self.until_us {
            Some(until_us) if self.engine.host.mono_us() > until_us => {
                Tick::Kill(texts::LOAD_TIMEOUT.into())
            }
            _ => Tick::Continue,
        }
    }

    fn log(&mut self, level: LogLevel, text: &[u8]) {
        log(level, text);
    }

    fn cpu_seconds(&mut self) -> f64 {
        seconds(self.engine)
    }
}

fn refused(error: &ScriptError) -> Error {
    match error {
        ScriptError::Refused(text) => Error::quoting("ERR ", text, ""),
        ScriptError::Start(_) => Error::owned(format!("ERR {error}")),
    }
}

fn wrong_arity_of(sub: &[u8]) -> Error {
    Error::subcommand("FUNCTION", sub)
}

/// FCALL function numkeys key … arg …
pub(crate) fn fcall(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    run(engine, id, args, false)
}

/// FCALL_RO function numkeys key … arg …
pub(crate) fn fcall_ro(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    run(engine, id, args, true)
}

fn run(engine: &mut Engine, id: ClientId, args: Args<'_>, read_only: bool) -> Done {
    engine.tell_monitors(id, args);
    let functions = engine.scripting.functions.as_ref();
    let function = functions.and_then(|functions| functions.find(args[1]));
    let function = function.ok_or(Error::text(texts::NO_FUNCTION))?;
    let (function, declared) = (Rc::clone(function), function.flags());
    let (keys, argv) = keys_and_arguments(args, Error::text(texts::BAD_KEY_COUNT))?;
    engine.gate_flags(id, read_only, declared)?;
    let start = Start {
        name: Name::Function(function.name()),
        args,
        is_function: true,
        read_only,
        declared,
    };
    let mut functions = engine.take_functions()?;
    engine.run_script(id, &start, |host, reply| {
        functions.call(&function, keys, argv, host, reply)
    });
    engine.put_functions(functions, false);
    Ok(())
}

/// FUNCTION LOAD [REPLACE] code
pub(crate) fn load(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let mut reader = Reader::from(args, 2);
    let mut replace = false;
    while reader.len() > 1 {
        if !reader.takes("REPLACE") {
            let option = reader.word()?;
            return Err(Error::quoting("ERR Unknown option given: ", option, ""));
        }
        replace = true;
    }
    let code = reader.word()?;
    let limit_us = (!engine.obeys(id)).then_some(LOAD_LIMIT_US);
    let mut functions = engine.take_functions()?;
    let loaded = functions.load(code, replace, &mut Loading::new(engine, limit_us));
    engine.put_functions(functions, true);
    let name = loaded.map_err(|error| refused(&error))?;
    engine.shard.effects.dirty += 1;
    engine.sessions.clients[id].out.bulk(name);
    Ok(())
}

/// FUNCTION DELETE library
pub(crate) fn delete(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let mut functions = engine.take_functions()?;
    let was_there = functions.delete(args[2]);
    engine.put_functions(functions, was_there);
    if !was_there {
        return Err(Error::text("ERR Library not found"));
    }
    engine.shard.effects.dirty += 1;
    engine.sessions.clients[id].out.ok();
    Ok(())
}

/// FUNCTION FLUSH [ASYNC | SYNC]. There is nothing that could be freed elsewhere.
pub(crate) fn flush(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    match &args[2..] {
        [] => {}
        [word] if args::is(word, "SYNC") || args::is(word, "ASYNC") => {}
        [_] => {
            let text = "ERR FUNCTION FLUSH only supports SYNC|ASYNC option";
            return Err(Error::text(text));
        }
        _ => return Err(wrong_arity_of(args[1])),
    }
    engine.forget_libraries();
    engine.shard.effects.dirty += 1;
    engine.sessions.clients[id].out.ok();
    Ok(())
}

/// FUNCTION LIST [LIBRARYNAME pattern] [WITHCODE]
pub(crate) fn list(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let mut reader = Reader::from(args, 2);
    let (mut with_code, mut pattern) = (false, None);
    while !reader.is_empty() {
        if !with_code && reader.takes("WITHCODE") {
            with_code = true;
        } else if pattern.is_none() && reader.takes("LIBRARYNAME") {
            let missing = |_| Error::text("ERR library name argument was not given");
            pattern = Some(reader.word().map_err(missing)?);
        } else {
            return Err(Error::quoting("ERR Unknown argument ", reader.word()?, ""));
        }
    }
    let functions = engine.scripting.functions.as_ref();
    let libraries = functions.into_iter().flat_map(|known| known.libraries());
    let wanted =
        |name: &[u8]| pattern.is_none_or(|pattern| glob::matches_with(pattern, name, true));
    let out = &mut engine.sessions.clients[id].out;
    let all = out.begin_array();
    let mut count = 0;
    for (name, library) in libraries.filter(|(name, _)| wanted(name)) {
        count += 1;
        out.map(if with_code { 4 } else { 3 });
        out.bulk("library_name");
        out.bulk(name);
        out.bulk("engine");
        out.bulk(LANGUAGE);
        out.bulk("functions");
        out.array(library.functions().len());
        for function in library.functions() {
            out.map(3);
            out.bulk("name");
            out.bulk(function.name());
            out.bulk("description");
            match function.description() {
                Some(text) => out.bulk(text),
                None => out.nil(),
            }
            out.bulk("flags");
            out.set(function.flags().names().count());
            function.flags().names().for_each(|name| out.status(name));
        }
        if with_code {
            out.bulk("library_code");
            out.bulk(library.code());
        }
    }
    out.end_array(all, count);
    Ok(())
}

/// FUNCTION STATS
pub(crate) fn stats(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    let now_us = engine.host.mono_us();
    let running = engine.scripting.running.as_ref();
    if running.is_some_and(|running| !running.is_function) {
        return Err(Error::text(texts::BUSY));
    }
    let counts = engine.scripting.counts;
    let out = &mut engine.sessions.clients[id].out;
    out.map(2);
    out.bulk("running_script");
    match running.and_then(|running| Some((running.start_us, running.shown.as_ref()?))) {
        None => out.nil(),
        Some((start_us, (name, words))) => {
            out.map(3);
            out.bulk("name");
            out.bulk(name);
            out.bulk("command");
            out.array(words.len());
            words.iter().for_each(|word| out.bulk(word));
            out.bulk("duration_ms");
            let passed_ms = now_us.saturating_sub(start_us) / 1000;
            out.int(i64::try_from(passed_ms).unwrap_or(i64::MAX));
        }
    }
    out.bulk("engines");
    out.map(1);
    out.bulk(LANGUAGE);
    out.map(2);
    out.bulk("libraries_count");
    out.count(counts.libraries);
    out.bulk("functions_count");
    out.count(counts.functions);
    Ok(())
}

/// FUNCTION KILL
pub(crate) fn kill(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    engine.kill_script(true)?;
    engine.sessions.clients[id].out.ok();
    Ok(())
}

/// FUNCTION DUMP
pub(crate) fn dump(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    let codes = engine.library_codes();
    let payload = rdb::dump_libraries(codes.iter().map(AsRef::as_ref));
    engine.sessions.clients[id].out.bulk(payload);
    Ok(())
}

/// FUNCTION RESTORE payload [FLUSH | APPEND | REPLACE]
pub(crate) fn restore(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let policy = match &args[3..] {
        [] => RestorePolicy::Append,
        [word] if args::is(word, "APPEND") => RestorePolicy::Append,
        [word] if args::is(word, "REPLACE") => RestorePolicy::Replace,
        [word] if args::is(word, "FLUSH") => RestorePolicy::Flush,
        [_] => {
            return Err(Error::text(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
        _ => return Err(wrong_arity_of(args[1])),
    };
    let codes =
        rdb::restore_libraries(args[2]).map_err(|error| Error::owned(format!("ERR {error}")))?;
    let codes: Vec<&[u8]> = codes.iter().map(AsRef::as_ref).collect();
    let limit_us = (!engine.obeys(id)).then_some(LOAD_LIMIT_US);
    engine.restore_libraries(&codes, policy, limit_us)?;
    engine.shard.effects.dirty += 1;
    engine.sessions.clients[id].out.ok();
    Ok(())
}
