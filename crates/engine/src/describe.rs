//! COMMAND and HELP: the rows of the commands, as clients and people are shown them.

use commands::table::{
    Argument, Begin, Categories, Facts, Find, Group, Key, KeyFlags, KeySpec, Kind, Traits,
    find_keys, miscounts_keys, parse_arguments, syntax,
};
use commands::{Args, Done, Error, args};
use resp::{Reply, glob};

use crate::entry::{self, Entry};
use crate::index::Index;
use crate::{ClientId, Engine};

/// COMMAND: all commands.
pub(crate) fn command(engine: &mut Engine, id: ClientId, _: Args<'_>) -> Done {
    let out = &mut engine.sessions.clients[id].out;
    out.array(engine.index.commands().len());
    engine
        .index
        .commands()
        .iter()
        .for_each(|entry| describe(out, entry));
    Ok(())
}

/// COMMAND COUNT
pub(crate) fn count(engine: &mut Engine, id: ClientId, _: Args<'_>) -> Done {
    engine.sessions.clients[id]
        .out
        .count(engine.index.commands().len());
    Ok(())
}

/// COMMAND INFO [name …]
pub(crate) fn info(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    if args.len() == 2 {
        return command(engine, id, args);
    }
    let Engine {
        index, sessions, ..
    } = engine;
    let out = &mut sessions.clients[id].out;
    out.array(args.len() - 2);
    for name in &args[2..] {
        match named(index, name) {
            Some(entry) => describe(out, entry),
            None => out.nil(),
        }
    }
    Ok(())
}

/// COMMAND DOCS [name …]
pub(crate) fn docs(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let Engine {
        index, sessions, ..
    } = engine;
    let out = &mut sessions.clients[id].out;
    if args.len() == 2 {
        out.map(engine.index.commands().len());
        engine
            .index
            .commands()
            .iter()
            .for_each(|entry| document(out, entry));
        return Ok(());
    }
    let found: Vec<Entry> = args[2..]
        .iter()
        .filter_map(|name| named(index, name))
        .collect();
    out.map(found.len());
    found.into_iter().for_each(|entry| document(out, entry));
    Ok(())
}

/// COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]
pub(crate) fn list(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let out = &mut engine.sessions.clients[id].out;
    let filter: Box<dyn Fn(&Facts) -> bool> = match args[2..] {
        [] => Box::new(|_| true),
        [by, kind, value] if args::is(by, "FILTERBY") => {
            if args::is(kind, "MODULE") {
                Box::new(|_| false)
            } else if args::is(kind, "ACLCAT") {
                let category = Categories::named(value);
                Box::new(move |facts| {
                    category.is_some_and(|category| facts.categories.has(category))
                })
            } else if args::is(kind, "PATTERN") {
                Box::new(move |facts| glob::matches_with(value, facts.name.as_bytes(), true))
            } else {
                return Err(Error::Syntax);
            }
        }
        _ => return Err(Error::Syntax),
    };
    let names: Vec<&str> = engine
        .index
        .facts()
        .filter(|facts| filter(facts))
        .map(|facts| facts.name)
        .collect();
    out.array(names.len());
    names.into_iter().for_each(|name| out.bulk(name));
    Ok(())
}

/// COMMAND GETKEYS command …
pub(crate) fn getkeys(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let keys = keys_of(engine, &args[2..])?;
    let out = &mut engine.sessions.clients[id].out;
    out.array(keys.len());
    keys.iter().for_each(|key| out.bulk(args[2 + key.at]));
    Ok(())
}

/// COMMAND GETKEYSANDFLAGS command …
pub(crate) fn getkeysandflags(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let keys = keys_of(engine, &args[2..])?;
    let out = &mut engine.sessions.clients[id].out;
    out.array(keys.len());
    for key in keys {
        out.array(2);
        out.bulk(args[2 + key.at]);
        let words: Vec<&str> = key
            .flags
            .words()
            .filter(|word| *word != "variable_flags")
            .collect();
        out.set(words.len());
        words.into_iter().for_each(|word| out.status(word));
    }
    Ok(())
}

fn keys_of(engine: &Engine, words: Args<'_>) -> Result<Vec<Key>, Error> {
    let entry = engine
        .index
        .find(words[0])
        .ok_or(Error::text("ERR Invalid command specified"))?;
    let entry =
        entry::resolve(entry, words).map_err(|_| Error::text("ERR Invalid command specified"))?;
    if !entry.command.has_keys() {
        return Err(Error::text("ERR The command has no key arguments"));
    }
    if !entry.command.accepts(words.len()) {
        return Err(Error::text(
            "ERR Invalid number of arguments specified for command",
        ));
    }
    let mut keys = Vec::new();
    find_keys(entry.command, words, &mut keys);
    keys.retain(|key| !key.flags.has(KeyFlags::NOT_KEY));
    let miscounted = miscounts_keys(entry.command, words);
    if (keys.is_empty() || miscounted)
        && !entry.command.flags.has(commands::Flags::NO_MANDATORY_KEYS)
    {
        return Err(Error::text("ERR Invalid arguments specified for command"));
    }
    Ok(keys)
}

/// A command, or a subcommand as `container|sub`.
fn named(index: &Index, name: &[u8]) -> Option<Entry> {
    let mut parts = name.splitn(2, |byte| *byte == b'|');
    let entry = index.find(parts.next()?)?;
    match parts.next() {
        None => Some(entry),
        Some(sub) => entry::find_sub(entry, sub),
    }
}

fn words<'a>(out: &mut Reply, words: impl Iterator<Item = &'a str>) {
    let words: Vec<&str> = words.collect();
    out.set(words.len());
    words.into_iter().for_each(|word| out.status(word));
}

fn describe(out: &mut Reply, entry: Entry) {
    let facts = entry.command;
    let (first, last, step) = facts.positions();
    out.array(10);
    out.bulk(facts.name);
    out.int(facts.arity.into());
    words(out, facts.flags.words());
    out.int(first.into());
    out.int(last.into());
    out.int(step.into());
    let categories: Vec<String> = facts
        .categories
        .words()
        .map(|word| format!("@{word}"))
        .collect();
    words(out, categories.iter().map(String::as_str));
    out.set(facts.tips.len());
    facts.tips.iter().for_each(|tip| out.bulk(tip));
    out.set(facts.keys.len());
    facts.keys.iter().for_each(|spec| specify(out, spec));
    out.array(entry.subs.len());
    entry.subs.iter().for_each(|sub| describe(out, sub));
}

fn specify(out: &mut Reply, spec: &KeySpec) {
    out.map(3);
    out.bulk("flags");
    words(out, spec.flags.words());
    out.bulk("begin_search");
    let facts: &[(&str, i32)] = match spec.begin {
        Begin::Unknown => &[],
        Begin::Index(at) => &[("index", at)],
        Begin::Keyword(_, from) => &[("startfrom", from)],
    };
    out.map(2);
    out.bulk("type");
    match spec.begin {
        Begin::Unknown => out.bulk("unknown"),
        Begin::Index(_) => out.bulk("index"),
        Begin::Keyword(..) => out.bulk("keyword"),
    }
    out.bulk("spec");
    if let Begin::Keyword(word, _) = spec.begin {
        out.map(2);
        out.bulk("keyword");
        out.bulk(word);
    } else {
        out.map(facts.len());
    }
    numbers(out, facts);
    out.bulk("find_keys");
    out.map(2);
    out.bulk("type");
    let (kind, facts): (&str, &[(&str, i32)]) = match spec.find {
        Find::Unknown => ("unknown", &[]),
        Find::Range { last, step, limit } => (
            "range",
            &[("lastkey", last), ("keystep", step), ("limit", limit)],
        ),
        Find::KeyNum { at, first, step } => (
            "keynum",
            &[("keynumidx", at), ("firstkey", first), ("keystep", step)],
        ),
    };
    out.bulk(kind);
    out.bulk("spec");
    out.map(facts.len());
    numbers(out, facts);
}

fn numbers(out: &mut Reply, facts: &[(&str, i32)]) {
    for &(name, value) in facts {
        out.bulk(name);
        out.int(value.into());
    }
}

fn document(out: &mut Reply, entry: Entry) {
    let facts = entry.command;
    let arguments = parse_arguments(facts.arguments).unwrap_or_default();
    out.bulk(facts.name);
    let internal = facts.traits.has(Traits::INTERNAL);
    let mark = if internal { "syscmd" } else { "deprecated" };
    let fields = [
        !facts.costs.is_empty(),
        internal || facts.replaced.is_some(),
        facts.replaced.is_some(),
        facts.replaced.is_some(),
        !arguments.is_empty(),
        !entry.subs.is_empty(),
    ];
    out.map(3 + fields.into_iter().filter(|there| *there).count());
    for (name, text) in [
        ("summary", facts.summary),
        ("since", facts.since),
        ("group", facts.group.word()),
    ] {
        out.bulk(name);
        out.bulk(text);
    }
    if fields[0] {
        out.bulk("complexity");
        out.bulk(facts.costs);
    }
    if fields[1] {
        out.bulk("doc_flags");
        words(out, std::iter::once(mark));
    }
    if let Some((since, by)) = facts.replaced {
        out.bulk("deprecated_since");
        out.bulk(since);
        out.bulk("replaced_by");
        out.bulk(format!("`{by}`"));
    }
    if !arguments.is_empty() {
        out.bulk("arguments");
        out.array(arguments.len());
        arguments.iter().for_each(|each| argument(out, each));
    }
    if !entry.subs.is_empty() {
        out.bulk("subcommands");
        out.map(entry.subs.len());
        entry.subs.iter().for_each(|sub| document(out, sub));
    }
}

fn argument(out: &mut Reply, argument: &Argument) {
    let group = matches!(argument.kind, Kind::Block | Kind::OneOf);
    let spec = argument.key_spec;
    let flags = [
        (argument.optional, "optional"),
        (argument.multiple, "multiple"),
        (argument.multiple_token, "multiple_token"),
    ];
    let flags: Vec<&str> = flags
        .into_iter()
        .filter(|(on, _)| *on)
        .map(|(_, word)| word)
        .collect();
    let optional = [
        spec.is_some(),
        argument.token.is_some(),
        argument.since.is_some(),
        !flags.is_empty(),
    ];
    out.map(3 + optional.into_iter().filter(|there| *there).count());
    out.bulk("name");
    out.bulk(argument.name);
    out.bulk("type");
    out.bulk(argument.kind.word());
    if !group {
        out.bulk("display_text");
        out.bulk(argument.shown);
    }
    if let Some(spec) = spec {
        out.bulk("key_spec_index");
        out.int(spec.into());
    }
    for (name, text) in [("token", argument.token), ("since", argument.since)] {
        if let Some(text) = text {
            out.bulk(name);
            out.bulk(text);
        }
    }
    if !flags.is_empty() {
        out.bulk("flags");
        words(out, flags.into_iter());
    }
    if group {
        out.bulk("arguments");
        out.array(argument.arguments.len());
        argument
            .arguments
            .iter()
            .for_each(|each| self::argument(out, each));
    }
}

/// HELP of a command with subcommands, made from their rows.
pub(crate) fn help(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let entry = engine.index.find(args[0]).ok_or(Error::Syntax)?;
    if entry.command.group == Group::Cluster && engine.keeper.cluster.is_none() {
        return Err(crate::cluster::DISABLED);
    }
    let out = &mut engine.sessions.clients[id].out;
    let name = entry.command.name.to_ascii_uppercase();
    let subs = entry.subs.iter();
    let subs = subs.filter(|sub| !matches!(sub.runner, entry::Runner::Help));
    let lines = subs.map(|sub| {
        let arguments = parse_arguments(sub.command.arguments).unwrap_or_default();
        let sub_name = sub.command.short_name().to_ascii_uppercase();
        let usage = format!("{sub_name} {}", syntax(&arguments));
        (usage.trim_end().to_owned(), sub.command.summary)
    });
    help_lines(out, &name, &lines.collect::<Vec<_>>());
    Ok(())
}

/// The answer to HELP: how each subcommand is used, and one line about it.
pub(crate) fn help_lines<U: AsRef<str>>(out: &mut Reply, name: &str, subs: &[(U, &str)]) {
    out.array(2 * subs.len() + 3);
    out.status(format!(
        "{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"
    ));
    for (usage, about) in subs {
        out.status(usage.as_ref());
        out.status(format!("    {about}."));
    }
    out.status("HELP");
    out.status("    Print this help.");
}
