//! From a connection's bytes to requests that are run one by one.
//!
//! A read normally holds whole requests and is used where it lies, in the shell's scratch buffer. Only what is left of it (the
//! start of a request, or requests of a client that has to wait) is copied into the client's own buffer.
//!
//! Memory is slow: what a request touches of the keyspace is asked for well before it runs, first the positions in the table, and once
//! these have come, the entries. Within a pipeline that is done some requests ahead. Between clients the shell does it: it has the
//! reads of several cut ([`Engine::cut`]) before it has the first one run ([`Engine::run_cut`]).

use bytes::{Bytes, BytesMut};
use resp::{Batch, Limits, ProtocolError};

use crate::intake::{PLACES, Places, Requests};
use crate::sessions::client::Client;
use crate::{ClientId, Engine};

/// A value of this many bytes in a buffer of its own is handed to the store without a copy.
const HAND_OVER_BYTES: usize = 32 * 1024;
/// Memory for a big argument is asked for in steps, however long it was announced to be: the first is at most this, the next ones
/// three times what has come.
const RESERVE_STEP_BYTES: usize = 1024 * 1024;
const RESERVE_FACTOR: usize = 3;

/// Keys are asked for in groups of so many requests: a group's positions two groups ahead, its entries one.
const GROUP: usize = 8;
/// Of so many requests in one read the first one tells where their keys are.
const ALIKE: usize = 4;
/// Fewer keys than this are in the cache anyway. Tests go the long way with any.
const MANY_KEYS: usize = if cfg!(debug_assertions) { 1 } else { 8192 };

/// When the requests of one read have taken so long, those that are left wait until others had their turn.
const SHARE_NS: u64 = 2_000_000;

impl Engine {
    /// Bytes came from a client. They are cut into requests, and these are run. Replies gather in [`Engine::output`].
    pub fn receive(&mut self, id: ClientId, bytes: &[u8]) {
        let mut requests = std::mem::take(&mut self.intake.requests);
        self.cut(id, bytes, &mut requests);
        // It may come in the middle of another client's read.
        let until_ns = self.intake.until_ns.take();
        self.run_all_cut(id, bytes, &mut requests);
        self.intake.until_ns = until_ns;
        self.intake.requests = requests;
    }

    /// The first half of [`Engine::receive`]: keys are asked for, and come from memory while others' reads are cut.
    pub fn cut(&mut self, id: ClientId, bytes: &[u8], requests: &mut Requests) {
        self.note_input(id, bytes.len());
        requests.cut = None;
        let client = &self.sessions.clients[id];
        if client.is_running() && client.unread.bytes.is_empty() {
            requests.cut = Some(self.cut_some(id, bytes, &mut requests.batch));
            self.ask_ahead(id, bytes, requests);
        }
    }

    /// The second half: runs what [`Engine::cut`] cut off these `bytes`. Anything may have happened to the client in between, but
    /// that it sent something. Where that takes long there is a rest: [`Engine::has_rest`].
    pub fn run_cut(&mut self, id: ClientId, bytes: &[u8], requests: &mut Requests) {
        self.intake.until_ns = Some(self.meter.last_ns.saturating_add(SHARE_NS));
        self.run_all_cut(id, bytes, requests);
        self.intake.until_ns = None;
    }

    /// Whether requests of a client have come that wait because those before them took long: [`Engine::run_rest`] goes on with them, once
    /// others had their turn. Nothing is to be read from it before.
    #[must_use]
    pub fn has_rest(&self, id: ClientId) -> bool {
        let client = self.sessions.clients.get(id);
        client.is_some_and(|client| client.unread.rest && client.is_running())
    }

    /// Runs more of them.
    pub fn run_rest(&mut self, id: ClientId) {
        self.intake.until_ns = Some(self.meter.last_ns.saturating_add(SHARE_NS));
        self.run_unread(id);
        self.intake.until_ns = None;
    }

    fn run_all_cut(&mut self, id: ClientId, bytes: &[u8], requests: &mut Requests) {
        let Some(client) = self.sessions.clients.get_mut(id) else {
            return;
        };
        if !client.is_running() || !client.unread.bytes.is_empty() {
            // Where they were cut, the parser stands somewhere in them; otherwise at the end of what has come before.
            if requests.cut.take().is_some() {
                client.unread.parser.reset();
            }
            client.unread.bytes.extend_from_slice(bytes);
            self.run_unread(id);
            return;
        }
        client.out.take_memory(&mut self.intake.spare);
        let before = self.journal.replicas.offset();
        let mut rest = bytes;
        while let Some(cut) = requests.cut.take() {
            let taken = self.run_some(id, rest, None, cut, requests);
            rest = &rest[taken..];
            let client = self.sessions.clients.get(id);
            let going = client.is_some_and(|client| client.is_running() && !client.unread.rest);
            if rest.is_empty() || taken == 0 || !going {
                break;
            }
            requests.cut = Some(self.cut_some(id, rest, &mut requests.batch));
            self.ask_ahead(id, rest, requests);
        }
        self.hold_unacknowledged(id, before);
        let Some(client) = self.sessions.clients.get_mut(id) else {
            return;
        };
        client.out.leave_memory(&mut self.intake.spare);
        if !rest.is_empty() && !client.flags.closing {
            client.unread.bytes.extend_from_slice(rest);
            self.check_query_buffer(id);
        }
        self.limit_new_output(id);
        self.count_client(id);
    }

    /// Where the shell may read the rest of a big argument to, so that it is not copied: then it calls [`Engine::received_pending`].
    /// None while no big argument is on its way.
    pub fn read_target(&mut self, id: ClientId) -> Option<&mut BytesMut> {
        let client = self
            .sessions
            .clients
            .get_mut(id)
            .filter(|client| client.is_running())?;
        let missing = client
            .unread
            .parser
            .pending_bulk()?
            .missing(client.unread.bytes.len());
        if missing == 0 {
            return None;
        }
        // Growing by a factor keeps the copies linear; the announced length alone never makes memory be taken, but by a node whose slots
        // come here: each copy would be into memory that is new to the process, which takes longer than the bytes' way here.
        if client.unread.bytes.capacity() == client.unread.bytes.len() {
            let come = client.unread.bytes.len();
            let step = if client.flags.imports {
                missing
            } else {
                missing.min(RESERVE_STEP_BYTES.max(come.saturating_mul(RESERVE_FACTOR)))
            };
            // Not `reserve`, which may take twice as much: the store keeps this buffer.
            let mut roomy = BytesMut::with_capacity(come + step);
            roomy.extend_from_slice(&client.unread.bytes);
            client.unread.bytes = roomy;
        }
        Some(&mut client.unread.bytes)
    }

    /// `count` bytes were appended to [`Engine::read_target`]'s buffer.
    pub fn received_pending(&mut self, id: ClientId, count: usize) {
        self.note_input(id, count);
        self.run_pending(id);
    }

    /// Runs what waits in a client's own buffer, as far as it may run, however long that takes.
    pub(crate) fn run_pending(&mut self, id: ClientId) {
        let until_ns = self.intake.until_ns.take();
        self.run_unread(id);
        self.intake.until_ns = until_ns;
    }

    fn run_unread(&mut self, id: ClientId) {
        let mut requests = std::mem::take(&mut self.intake.requests);
        let before = self.journal.replicas.offset();
        if let Some(client) = self.sessions.clients.get_mut(id) {
            client.unread.rest = false;
        }
        while let Some(client) = self.sessions.clients.get_mut(id).filter(|client| {
            client.is_running() && !client.unread.rest && !client.unread.bytes.is_empty()
        }) {
            let waiting = std::mem::take(&mut client.unread.bytes);
            // The parser is asked first, so that a partial request stays where it is.
            let mut parser = std::mem::take(&mut client.unread.parser);
            let batch = &mut requests.batch;
            let cut = parser.cut_all(&waiting, batch);
            let done = cut.as_ref().copied().unwrap_or(0);
            let last = batch
                .len()
                .checked_sub(1)
                .map_or(done, |last| batch.wire(last).end.max(done));
            if last == 0 {
                client.unread.parser = parser;
                client.unread.bytes = waiting;
                if let Err(error) = cut {
                    let client = self.sessions.clients.get_mut(id);
                    let rest = client.map(|client| std::mem::take(&mut client.unread.bytes));
                    self.protocol_error(id, &error, &rest.unwrap_or_default());
                }
                break;
            }
            parser.reset();
            client.unread.parser = parser;
            let mut rest = waiting;
            let whole: Bytes = rest.split_to(last).freeze();
            let cut = self.cut_some(id, &whole, &mut requests.batch);
            self.ask_ahead(id, &whole, &mut requests);
            if let Some(client) = self.sessions.clients.get_mut(id) {
                client.unread.bytes = rest;
            }
            let taken = self.run_some(id, &whole, Some(&whole), cut, &mut requests);
            if let Some(client) = self.sessions.clients.get_mut(id)
                && taken < whole.len()
            {
                let mut kept = BytesMut::from(&whole[taken..]);
                kept.extend_from_slice(&client.unread.bytes);
                client.unread.bytes = kept;
            }
        }
        self.intake.requests = requests;
        self.hold_unacknowledged(id, before);
        self.check_query_buffer(id);
        self.limit_new_output(id);
        self.count_client(id);
    }

    /// Cuts requests off `bytes`, as many as this client may send at once.
    fn cut_some(
        &mut self,
        id: ClientId,
        bytes: &[u8],
        batch: &mut Batch,
    ) -> Result<usize, ProtocolError> {
        let limits = if self.lacks_password(id) {
            Limits::UNAUTHENTICATED
        } else {
            Limits {
                bulk_bytes: u32::try_from(self.config.proto_max_bulk_len).unwrap_or(u32::MAX),
                ..Limits::NORMAL
            }
        };
        let parser = &mut self.sessions.clients[id].unread.parser;
        parser.set_limits(&limits);
        parser.cut_all(bytes, batch)
    }

    /// Runs requests that were cut off `bytes`, with the answer `cut`; how many bytes are done with. `shared` is the buffer that
    /// `bytes` is, where big arguments may be kept from.
    fn run_some(
        &mut self,
        id: ClientId,
        bytes: &[u8],
        shared: Option<&Bytes>,
        cut: Result<usize, ProtocolError>,
        requests: &mut Requests,
    ) -> usize {
        self.ask_foreseen();
        let Requests { batch, places, .. } = requests;
        let mut args = self.intake.args.take();
        let mut stopped = None;
        let ahead = places.positions > 0;
        let streamed = self.is_stream(id);
        let mut short_way = self.short_way(id).filter(|_| !streamed);
        let until_ns = self.intake.until_ns.unwrap_or(u64::MAX);
        for index in 0..batch.len() {
            if self.meter.last_ns >= until_ns && index > 0 {
                self.sessions.clients[id].unread.rest = true;
                stopped = Some(batch.wire(index).start);
                break;
            }
            batch.args(index, bytes, &mut args);
            if ahead {
                if index % GROUP == 0 {
                    let db = self.shard.keyspace.db_ref(places.db);
                    places.ask_positions(db, bytes, batch, index + 3 * GROUP);
                    places.ask_entries(db, index + 2 * GROUP);
                }
                self.remember_place(places, index, &args);
            }
            if let Some(shared) = shared {
                self.shard.big = big_argument(shared, &args);
            }
            let ran = if streamed {
                self.intake.behind = bytes.len() - batch.wire(index).start;
                self.stream_request(id, &args)
            } else {
                let found = self.index.find(args[0]);
                if let (Some(way), Some(entry)) = (short_way, found)
                    && self.request_short(way, id, entry, &args, || &bytes[batch.wire(index)])
                {
                    continue;
                }
                self.request_found(id, found, &args)
            };
            let client = self.sessions.clients.get(id);
            if !ran || !client.is_some_and(Client::is_running) {
                let wire = batch.wire(index);
                stopped = Some(if ran { wire.end } else { wire.start });
                break;
            }
            // What has run may have opened or closed it.
            short_way = self.short_way(id).filter(|_| !streamed);
        }
        if streamed {
            self.intake.behind = 0;
        }
        self.intake.args.put(args);
        if shared.is_some() {
            self.shard.big = None;
        }
        if ahead {
            self.shard.keyspace.db_ref(places.db).forget_place();
        }
        let Some(at) = stopped else {
            return cut.unwrap_or_else(|error| {
                let last = batch.len().checked_sub(1);
                let whole = last.map_or(0, |last| batch.wire(last).end);
                self.protocol_error(id, &error, &bytes[whole..]);
                bytes.len()
            });
        };
        if let Some(client) = self.sessions.clients.get_mut(id) {
            client.unread.parser.reset();
        }
        at
    }

    /// Asks for the table positions of the first requests' keys, and for the entries of those that were asked for by the last call.
    fn ask_ahead(&mut self, id: ClientId, bytes: &[u8], requests: &mut Requests) {
        self.ask_foreseen();
        let Requests { batch, places, .. } = requests;
        places.db = self.sessions.clients[id].db;
        places.positions = 0;
        places.entries = 0;
        let db = self.shard.keyspace.db_ref(places.db);
        if db.len() < MANY_KEYS {
            return;
        }
        // A client's requests that come together are most often of one command.
        let first = (batch.len() >= ALIKE)
            .then(|| batch.arg(0, 0, bytes))
            .flatten();
        let entry = first.and_then(|name| self.index.find(name));
        places.word = entry.map_or(1, |entry| entry.first_key);
        places.ask_positions(db, bytes, batch, 2 * GROUP);
        for place in places.keys[..places.positions].iter().flatten() {
            if self.intake.foreseen.last() != Some(place) {
                self.intake.foreseen.push(*place);
            }
        }
        self.intake.foreseen_db = places.db;
        // These are the ones that are foreseen.
        places.entries = places.positions;
    }

    /// Asks for the entries of keys whose positions were asked for a while ago.
    fn ask_foreseen(&mut self) {
        let db = self.shard.keyspace.db_ref(self.intake.foreseen_db);
        for place in self.intake.foreseen.drain(..) {
            db.prefetch_entry(place);
        }
    }

    /// A key that was asked for was hashed: its command need not do it again.
    #[inline]
    fn remember_place(&self, places: &Places, index: usize, args: &[&[u8]]) {
        let db = self.shard.keyspace.db_ref(places.db);
        match (places.keys[index % PLACES], args.get(places.word)) {
            (Some(place), Some(key)) => db.remember_place(key, place),
            _ => db.forget_place(),
        }
    }

    /// The connection ends; `rest` is what follows the last whole request.
    fn protocol_error(&mut self, id: ClientId, error: &ProtocolError, rest: &[u8]) {
        let line = self.client_line(id);
        let shown = if self.config.hide_user_data_from_log {
            "*redacted*".to_owned()
        } else {
            sample(rest)
        };
        let Some(client) = self.sessions.clients.get_mut(id) else {
            return;
        };
        if client.flags.master {
            // Asked for again, it may come whole. Until then nothing of it counts as applied.
            client.unread.bytes = BytesMut::from(rest);
            tracing::warn!("Protocol error in the stream of the primary: {error}");
            return self.drop_master_link();
        }
        let reason = error.to_string();
        let reason = reason.trim_start_matches("Protocol error: ");
        tracing::debug!("Protocol error ({reason}) from client: {line}. Query buffer: {shown}");
        client.out.err(error.text());
        self.meter.stats.note_error(b"ERR Protocol error");
        client.unread.bytes = BytesMut::new();
        client.unread.parser.reset();
        self.close_after_reply(id);
    }

    fn note_input(&mut self, id: ClientId, count: usize) {
        self.meter.stats.traffic.came(count);
        let now_ms = self.now.mono_ms;
        if let Some(client) = self.sessions.clients.get_mut(id) {
            client.times.active_ms = now_ms;
            client.traffic.input += count as u64;
            if client.flags.imports {
                self.keeper.migrations.note_heard(id, count, now_ms);
            }
        }
    }

    /// A client whose unread requests, with those that wait for EXEC, take more than `client-query-buffer-limit` is closed.
    fn check_query_buffer(&mut self, id: ClientId) {
        let limit = self.config.client_query_buffer_limit;
        let Some(client) = self.sessions.clients.get_mut(id) else {
            return;
        };
        if client.unread.bytes.is_empty() && client.unread.bytes.capacity() > 0 {
            client.unread.bytes = BytesMut::new();
        }
        let bytes = client
            .unread
            .bytes
            .len()
            .saturating_add(client.queued_bytes());
        if u64::try_from(bytes).is_ok_and(|bytes| bytes <= limit) || client.flags.master {
            return;
        }
        self.meter.stats.removed.query_buffer_closed += 1;
        let line = self.client_line(id);
        tracing::warn!("Closing client that reached max query buffer length: {line}");
        self.close_now(id);
    }
}

/// The big argument of a request, if it has one that makes up most of the buffer it lies in.
fn big_argument(shared: &Bytes, args: &[&[u8]]) -> Option<(usize, Bytes)> {
    if shared.len() < HAND_OVER_BYTES {
        return None;
    }
    let (index, word) = args.iter().enumerate().max_by_key(|(_, word)| word.len())?;
    // The words of an inline request are unquoted into a buffer of their own.
    let lies_there = shared.as_ptr_range().contains(&word.as_ptr());
    (lies_there && word.len() >= HAND_OVER_BYTES && word.len() / 3 >= shared.len() / 4)
        .then(|| (index, shared.slice_ref(word)))
}
/// Bytes for the log: those at both ends where there are many, and dots for what cannot be printed.
fn sample(bytes: &[u8]) -> String {
    const MOST: usize = 128;
    let text = |bytes: &[u8]| -> String {
        let shown = bytes.iter().map(|byte| match byte {
            b' '..=b'~' => char::from(*byte),
            _ => '.',
        });
        shown.collect()
    };
    if bytes.len() < MOST {
        return format!("'{}'", text(bytes));
    }
    let (start, end) = (&bytes[..MOST / 2], &bytes[bytes.len() - MOST / 2..]);
    let more = bytes.len() - MOST;
    format!(
        "'{}' (... more {more} bytes ...) '{}'",
        text(start),
        text(end)
    )
}
