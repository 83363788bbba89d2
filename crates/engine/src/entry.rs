//! A command as it can be called.

use commands::table::{Begin, DataFn, Find, KeyFlags, Row};
use commands::{Args, Done, Error, Facts, Flags, Traits};

use crate::{ClientId, Engine};

/// What data commands can have that needs a look at more than the short way looks at: they may make their client wait, read keys that
/// they do not name, or empty a database that others are at work with.
const FLAGS_OF_OTHERS: Flags = Flags::BLOCKING;
const TRAITS_OF_OTHERS: Traits = Traits::EMPTIES_DB
    .with(Traits::EMPTIES_ALL)
    .with(Traits::READS_BY_PATTERN);

/// A command that knows more than data. Its reply goes to the client's output.
pub(crate) type EngineFn = fn(&mut Engine, ClientId, Args<'_>) -> Done;

/// What runs a command.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Runner {
    Data(DataFn),
    Engine(EngineFn),
    /// Subcommands do; or it is the HELP of such a command.
    Help,
}

/// A command or subcommand as it can be called.
pub(crate) type Entry = &'static Callable;

/// See [`Entry`].
#[derive(Debug)]
pub(crate) struct Callable {
    pub(crate) command: &'static Facts,
    /// Its name alone, as a request has it: of `config|get` what follows the bar.
    short_name: &'static [u8],
    pub(crate) runner: Runner,
    /// Whether its requests may go the short way (`short_way.rs`).
    pub(crate) is_short: bool,
    /// Its place in [`crate::index::Index::entries`].
    pub(crate) number: usize,
    /// It touches no keys, whatever its arguments are.
    pub(crate) keyless: bool,
    /// Its only key is at this position, if that is all its specifications say.
    pub(crate) single_key: Option<usize>,
    /// Where its first key stands, as far as its specifications say, or else at the first argument: a hint.
    pub(crate) first_key: usize,
    /// Its subcommands.
    pub(crate) subs: Vec<Callable>,
}

impl Callable {
    pub(crate) fn new<F: Copy>(
        row: &'static Row<F>,
        run: fn(F) -> Runner,
        number: &mut usize,
    ) -> Self {
        let own = *number;
        *number += 1;
        let facts = &row.facts;
        let first_key = facts
            .keys
            .first()
            .and_then(|spec| match (spec.begin, spec.find) {
                (Begin::Index(at), Find::Range { .. }) => usize::try_from(at).ok(),
                (Begin::Index(at), Find::KeyNum { first, .. }) => usize::try_from(at + first).ok(),
                _ => None,
            });
        let single_key = match facts.keys {
            [spec] if matches!(spec.find, Find::Range { last: 0, .. }) => {
                // Where only the access varies, it is all that the finder is for.
                let found_elsewhere =
                    facts.key_finder.is_some() && !spec.flags.has(KeyFlags::VARIABLE_FLAGS);
                first_key.filter(|_| !found_elsewhere)
            }
            _ => None,
        };
        let runner = row.run.map_or(Runner::Help, run);
        let is_short = row.subs.is_empty()
            && match runner {
                Runner::Data(_) => is_short(facts),
                Runner::Engine(_) => facts.traits.has(Traits::PLAIN),
                Runner::Help => false,
            };
        Self {
            command: facts,
            short_name: facts.short_name().as_bytes(),
            runner,
            is_short,
            number: own,
            keyless: facts.keys.is_empty() && facts.key_finder.is_none(),
            single_key,
            first_key: first_key.unwrap_or(1),
            subs: row
                .subs
                .iter()
                .map(|sub| Self::new(sub, run, number))
                .collect(),
        }
    }
}

/// Whether a data command may go the short way (`short_way.rs`).
fn is_short(command: &Facts) -> bool {
    !command.flags.has(FLAGS_OF_OTHERS) && !command.traits.has(TRAITS_OF_OTHERS)
}

/// The subcommand that a request names, or the command itself where it has none.
///
/// # Errors
/// There is no such subcommand.
#[inline]
pub(crate) fn resolve(entry: Entry, args: Args<'_>) -> Result<Entry, Error> {
    if entry.subs.is_empty() || args.len() < 2 {
        return Ok(entry);
    }
    resolve_sub(entry, args[1])
}

/// The subcommand of this name, in any case.
pub(crate) fn find_sub(entry: Entry, word: &[u8]) -> Option<Entry> {
    let mut subs = entry.subs.iter();
    subs.find(|sub| word.eq_ignore_ascii_case(sub.short_name))
}

pub(crate) fn resolve_sub(entry: Entry, word: &[u8]) -> Result<Entry, Error> {
    find_sub(entry, word).ok_or_else(|| {
        let word = &word[..word.len().min(128)];
        let after = format!("'. Try {} HELP.", entry.command.name.to_ascii_uppercase());
        Error::quoting("ERR unknown subcommand '", word, &after)
    })
}
