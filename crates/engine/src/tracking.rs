//! Client-side caching: who has read which keys, and who is told when they change.
//!
//! In the default mode the server remembers the keys that a client reads, and forgets a key once its clients were told that it has
//! changed. In broadcasting mode a client names prefixes, and nothing is remembered. Messages leave after the replies of the command
//! (or transaction, or script) that changed the keys.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::rc::Rc;

use commands::args::Reader;
use commands::table::{Key, KeyFlags, find_keys};
use commands::{Args, Done, Error, Flags, Traits, args};
use resp::Protocol;

use crate::entry::Entry;
use crate::sessions::tracking::{Mode, Tracking};
use crate::{ClientId, Engine};

/// The channel on which a RESP2 client hears of keys that another client tracks.
const CHANNEL: &[u8] = b"__redis__:invalidate";

impl Engine {
    /// After a command that only reads: its keys are remembered for its client.
    pub(crate) fn remember_reads(&mut self, id: ClientId, entry: Entry, args: Args<'_>) {
        let reader = self.scripting_caller().unwrap_or(id);
        let Some(tracking) = self
            .sessions
            .clients
            .get_mut(reader)
            .and_then(|client| client.tracking.as_deref_mut())
        else {
            return;
        };
        let wanted = match tracking.mode {
            Mode::Broadcast => false,
            Mode::All => true,
            Mode::OptIn => tracking.caching,
            Mode::OptOut => !tracking.caching,
        };
        // What a script reads is told by its own commands.
        let reads = entry.command.flags.has(Flags::READONLY)
            && !entry.command.traits.has(Traits::RUNS_SCRIPT);
        if !wanted || !reads || entry.keyless {
            return;
        }
        let mut keys: Vec<Key> = Vec::new();
        find_keys(entry.command, args, &mut keys);
        for key in keys.iter().filter(|key| !key.flags.has(KeyFlags::NOT_KEY)) {
            let clients = self
                .sessions
                .tracking
                .by_key
                .entry(args[key.at].into())
                .or_default();
            self.sessions.tracking.items += usize::from(clients.insert(reader));
        }
        self.bound_tracking_table();
    }

    /// `tracking-table-max-keys`: whoever tracks what is dropped is told that it has changed.
    pub(crate) fn bound_tracking_table(&mut self) {
        let most = match self.config.tracking_table_max_keys {
            0 => usize::MAX,
            most => usize::try_from(most).unwrap_or(usize::MAX),
        };
        while self.sessions.tracking.by_key.len() > most {
            let Some((key, _)) = self.sessions.tracking.by_key.first_key_value() else {
                return;
            };
            let key = key.clone();
            self.key_changed(None, &key);
        }
    }

    /// CLIENT CACHING holds for one command, or for a transaction.
    pub(crate) fn end_caching(&mut self, id: ClientId) {
        if let Some(client) = self.sessions.clients.get_mut(id)
            && client.transaction.multi.is_none()
            && let Some(tracking) = client.tracking.as_deref_mut()
        {
            tracking.caching = false;
        }
    }

    /// A key has changed, by this client if any. Who tracks it is told by [`Engine::send_invalidations`].
    pub(crate) fn key_changed(&mut self, by: Option<ClientId>, key: &[u8]) {
        let table = &mut self.sessions.tracking;
        let readers = table.by_key.remove(key).unwrap_or_default();
        table.items -= readers.len();
        let clients = &self.sessions.clients;
        let is_told = |id: ClientId, broadcast: bool| {
            let client = clients.get(id);
            let tracking = client.and_then(|client| client.tracking.as_deref());
            tracking.is_some_and(|tracking| {
                (tracking.mode == Mode::Broadcast) == broadcast
                    && !(tracking.no_loop && by == Some(id))
            })
        };
        // Who went over to prefixes meanwhile hears of the key by them alone.
        let told = readers.into_iter().filter(|id| is_told(*id, false));
        table.pending.extend(told.map(|id| (id, Box::from(key))));
        // No prefix is longer than the longest.
        for length in 0..=key.len().min(table.longest_prefix) {
            let listening = table.by_prefix.get_key_value(&key[..length]);
            if let Some((prefix, ids)) = listening {
                for id in ids.iter().filter(|id| is_told(**id, true)) {
                    let keys = table.broadcasts.entry((prefix.clone(), *id));
                    keys.or_default().insert(key.into());
                }
            }
        }
    }

    /// All keys are gone: every client that tracks forgets everything.
    pub(crate) fn all_keys_changed(&mut self) {
        let tracking = self
            .sessions
            .clients
            .iter()
            .filter(|(_, client)| client.tracking.is_some());
        self.sessions.tracking.flushed = tracking.map(|(id, _)| id).collect();
        self.sessions.tracking.by_key.clear();
        self.sessions.tracking.items = 0;
        self.sessions.tracking.pending.clear();
        self.sessions.tracking.broadcasts.clear();
    }

    /// Tells the clients what has changed since the last call.
    pub(crate) fn send_invalidations(&mut self) {
        for id in std::mem::take(&mut self.sessions.tracking.flushed) {
            self.invalidate(id, None);
        }
        for (id, key) in std::mem::take(&mut self.sessions.tracking.pending) {
            self.invalidate(id, Some(&[key]));
        }
        for ((_, id), keys) in std::mem::take(&mut self.sessions.tracking.broadcasts) {
            let keys: Vec<Box<[u8]>> = keys.into_iter().collect();
            self.invalidate(id, Some(&keys));
        }
    }

    /// Tells the clients that read the keys which `by` has changed since the last call. It is told itself behind its reply.
    pub(crate) fn send_invalidations_to_others(&mut self, by: ClientId) {
        let by = self.scripting_caller().unwrap_or(by);
        let pending = std::mem::take(&mut self.sessions.tracking.pending);
        let (own, others) = pending.into_iter().partition(|(id, _)| *id == by);
        self.sessions.tracking.pending = own;
        for (id, key) in others {
            self.invalidate(id, Some(&[key]));
        }
    }

    /// Sends one message to a client that tracks, or to the one that it named. Without keys it is to forget everything.
    fn invalidate(&mut self, id: ClientId, keys: Option<&[Box<[u8]>]>) {
        let Some(client) = self.sessions.clients.get_mut(id) else {
            return;
        };
        let own = client.out.protocol();
        let Some(tracking) = client.tracking.as_deref_mut() else {
            return;
        };
        let target = tracking.redirect.unwrap_or(id);
        let Some(receiver) = self.sessions.clients.get(target) else {
            return self.break_redirection(id, target, own);
        };
        let push = receiver.out.protocol() == Protocol::Resp3;
        let as_message = target != id && receiver.subscriptions.is_some();
        if !push && !as_message {
            // A RESP2 client cannot tell a message from a reply, unless it has subscribed.
            return;
        }
        let out = self.messages_of(target);
        if push {
            out.push(2);
            out.bulk("invalidate");
        } else {
            out.array(3);
            out.bulk("message");
            out.bulk(CHANNEL);
        }
        match keys {
            None => out.nil(),
            Some(keys) => {
                out.array(keys.len());
                keys.iter().for_each(|key| out.bulk(key));
            }
        }
    }

    fn break_redirection(&mut self, id: ClientId, target: ClientId, protocol: Protocol) {
        let Some(tracking) = self.sessions.clients[id].tracking.as_deref_mut() else {
            return;
        };
        let news = !std::mem::replace(&mut tracking.broken, true);
        if news && protocol == Protocol::Resp3 {
            let out = self.output_of(id);
            out.push(2);
            out.bulk("tracking-redir-broken");
            out.int(i64::try_from(target.serial()).unwrap_or(i64::MAX));
        }
    }

    /// A client tracks no more.
    pub(crate) fn forget_tracking(&mut self, id: ClientId) {
        let Some(tracking) = self.sessions.clients[id].tracking.take() else {
            return;
        };
        self.sessions.tracking.clients -= 1;
        for prefix in tracking.prefixes {
            let by_prefix = &mut self.sessions.tracking.by_prefix;
            if let Some(clients) = by_prefix.get_mut(&prefix) {
                clients.remove(&id);
                if clients.is_empty() {
                    by_prefix.remove(&prefix);
                }
            }
        }
        let table = &mut self.sessions.tracking;
        table.pending.retain(|(other, _)| *other != id);
        table.broadcasts.retain(|(_, other), _| *other != id);
        if !self.sessions.tracking.is_used() {
            self.sessions.tracking.by_key.clear();
            self.sessions.tracking.items = 0;
        }
    }

    pub(crate) fn scripting_caller(&self) -> Option<ClientId> {
        let running = self.scripting.running.as_ref();
        running.map(|running| running.caller)
    }
}

/// What CLIENT TRACKING ON asks for.
#[derive(Default)]
struct Wish<'a> {
    redirect: Option<ClientId>,
    prefixes: Vec<&'a [u8]>,
    broadcast: bool,
    opt_in: bool,
    opt_out: bool,
    no_loop: bool,
}

impl<'a> Wish<'a> {
    fn read(engine: &Engine, args: Args<'a>) -> Result<Self, Error> {
        let mut reader = Reader::from(args, 3);
        let mut wish = Self::default();
        while !reader.is_empty() {
            if reader.takes_with("REDIRECT", 1) {
                if wish.redirect.is_some() {
                    return Err(Error::text(
                        "ERR A client can only redirect to a single other client",
                    ));
                }
                let serial = reader.int()?;
                let mut others = engine.sessions.clients.iter().map(|(other, _)| other);
                let found = others.find(|other| i64::try_from(other.serial()) == Ok(serial));
                wish.redirect = Some(found.ok_or(Error::text(
                    "ERR The client ID you want redirect to does not exist",
                ))?);
            } else if reader.takes_with("PREFIX", 1) {
                wish.prefixes.push(reader.word()?);
            } else if reader.takes("BCAST") {
                wish.broadcast = true;
            } else if reader.takes("OPTIN") {
                wish.opt_in = true;
            } else if reader.takes("OPTOUT") {
                wish.opt_out = true;
            } else if reader.takes("NOLOOP") {
                wish.no_loop = true;
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(wish)
    }

    /// The mode that is asked for, where the client tracks in mode `old` already.
    fn mode(&self, old: Option<Mode>) -> Result<Mode, Error> {
        if !self.prefixes.is_empty() && !self.broadcast {
            return Err(Error::text(
                "ERR PREFIX option requires BCAST mode to be enabled",
            ));
        }
        if old.is_some_and(|old| (old == Mode::Broadcast) != self.broadcast) {
            return Err(Error::text(
                "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.",
            ));
        }
        if self.broadcast && (self.opt_in || self.opt_out) {
            return Err(Error::text(
                "ERR OPTIN and OPTOUT are not compatible with BCAST",
            ));
        }
        if self.opt_in && self.opt_out {
            return Err(Error::text(
                "ERR You can't specify both OPTIN mode and OPTOUT mode",
            ));
        }
        if self.opt_in && old == Some(Mode::OptOut) || self.opt_out && old == Some(Mode::OptIn) {
            return Err(Error::text(
                "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.",
            ));
        }
        Ok(match self {
            Self {
                broadcast: true, ..
            } => Mode::Broadcast,
            Self { opt_in: true, .. } => Mode::OptIn,
            Self { opt_out: true, .. } => Mode::OptOut,
            _ => Mode::All,
        })
    }
}

/// Prefixes of one client may not overlap: it would hear of a key twice. Those that it has already do not, so the neighbours of a new one
/// in their order are all that can.
fn check_overlap(known: &BTreeSet<Rc<[u8]>>, new: &[&[u8]]) -> Done {
    let refuse = |prefix: &[u8], with: &str, other: &[u8]| {
        let line: [&[u8]; 7] = [
            b"ERR Prefix '",
            prefix,
            b"' overlaps with ",
            with.as_bytes(),
            b" prefix '",
            other,
            b"'. Prefixes for a single client must not overlap.",
        ];
        Err(Error::Quoting(line.concat().into()))
    };
    let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
    for prefix in new {
        let here = Bound::Included(*prefix);
        let before = known.range::<[u8], _>((Bound::Unbounded, here)).next_back();
        let after = known.range::<[u8], _>((here, Bound::Unbounded)).next();
        let found = before
            .into_iter()
            .chain(after)
            .find(|other| overlap(other, prefix));
        if let Some(other) = found {
            return refuse(prefix, "an existing", other);
        }
    }
    let mut sorted: Vec<(&[u8], usize)> = new.iter().copied().zip(0..).collect();
    sorted.sort_unstable();
    let pairs = sorted.iter().zip(sorted.iter().skip(1));
    let pairs = pairs.filter(|(a, b)| overlap(a.0, b.0));
    let first = pairs.map(|(a, b)| (a.1.min(b.1), a.1.max(b.1))).min();
    match first {
        Some((one, other)) => refuse(new[one], "another provided", new[other]),
        None => Ok(()),
    }
}

/// CLIENT TRACKING ON|OFF [REDIRECT id] [PREFIX prefix …] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]
pub(crate) fn tracking(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let wish = Wish::read(engine, args)?;
    if args::is(args[2], "OFF") {
        engine.forget_tracking(id);
        engine.note_watching();
        engine.sessions.clients[id].out.ok();
        return Ok(());
    }
    if !args::is(args[2], "ON") {
        return Err(Error::Syntax);
    }
    let old = engine.sessions.clients[id].tracking.as_deref();
    let mode = wish.mode(old.map(|old| old.mode))?;
    let none = BTreeSet::new();
    check_overlap(old.map_or(&none, |old| &old.prefixes), &wish.prefixes)?;
    let before = engine.sessions.clients[id].tracking.take();
    engine.sessions.tracking.clients += usize::from(before.is_none());
    let mut prefixes = before.map(|old| old.prefixes).unwrap_or_default();
    let all: &[&[u8]] = &[b""];
    let new = if mode == Mode::Broadcast && wish.prefixes.is_empty() {
        all
    } else {
        &wish.prefixes
    };
    let table = &mut engine.sessions.tracking;
    prefixes.extend(new.iter().map(|prefix| table.listen(id, prefix)));
    engine.sessions.clients[id].tracking = Some(Box::new(Tracking {
        mode,
        no_loop: wish.no_loop,
        redirect: wish.redirect,
        broken: false,
        prefixes,
        caching: false,
    }));
    engine.shard.effects.watching = true;
    engine.sessions.clients[id].out.ok();
    Ok(())
}

/// CLIENT CACHING YES|NO
pub(crate) fn caching(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let client = &mut engine.sessions.clients[id];
    let tracking = client.tracking.as_deref_mut().ok_or(Error::text(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
    ))?;
    if args::is(args[2], "YES") {
        if tracking.mode != Mode::OptIn {
            return Err(Error::text(
                "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
            ));
        }
    } else if args::is(args[2], "NO") {
        if tracking.mode != Mode::OptOut {
            return Err(Error::text(
                "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
            ));
        }
    } else {
        return Err(Error::Syntax);
    }
    tracking.caching = true;
    client.out.ok();
    Ok(())
}

/// CLIENT GETREDIR
pub(crate) fn getredir(engine: &mut Engine, id: ClientId, _: Args<'_>) -> Done {
    let client = &mut engine.sessions.clients[id];
    let redirect = client.tracking.as_deref().map_or(-1, Tracking::redirect_id);
    client.out.int(redirect);
    Ok(())
}

/// CLIENT TRACKINGINFO
pub(crate) fn trackinginfo(engine: &mut Engine, id: ClientId, _: Args<'_>) -> Done {
    let client = &mut engine.sessions.clients[id];
    let out = &mut client.out;
    let tracking = client.tracking.as_deref();
    let flags: Vec<&str> = match tracking {
        None => vec!["off"],
        Some(tracking) => {
            let facts = [
                (true, "on"),
                (tracking.mode == Mode::Broadcast, "bcast"),
                (tracking.mode == Mode::OptIn, "optin"),
                (
                    tracking.mode == Mode::OptIn && tracking.caching,
                    "caching-yes",
                ),
                (tracking.mode == Mode::OptOut, "optout"),
                (
                    tracking.mode == Mode::OptOut && tracking.caching,
                    "caching-no",
                ),
                (tracking.no_loop, "noloop"),
                (tracking.broken, "broken_redirect"),
            ];
            facts
                .into_iter()
                .filter(|(set, _)| *set)
                .map(|(_, word)| word)
                .collect()
        }
    };
    out.map(3);
    out.bulk("flags");
    out.set(flags.len());
    flags.into_iter().for_each(|flag| out.bulk(flag));
    out.bulk("redirect");
    out.int(tracking.map_or(-1, Tracking::redirect_id));
    out.bulk("prefixes");
    let prefixes = tracking.map(|tracking| &tracking.prefixes);
    out.array(prefixes.map_or(0, BTreeSet::len));
    prefixes
        .into_iter()
        .flatten()
        .for_each(|prefix| out.bulk(prefix));
    Ok(())
}
