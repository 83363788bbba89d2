//! From a connection's bytes to requests that are run one by one.
//!
//! A read normally holds whole requests and is used where it lies, in the shell's scratch buffer. Only what is left of it (the
//! start of a request, or requests of a client that has to wait) is copied into the client's own buffer.

use bytes::{Bytes, BytesMut};
use resp::{Batch, Limits};
use store::Prefetched;

use crate::client::Client;
use crate::{ClientId, Engine};

/// A value of this many bytes in a buffer of its own is handed to the store without a copy.
const HAND_OVER_BYTES: usize = 32 * 1024;
/// Memory for a big argument is asked for in steps, however long it was announced to be: the first is at most this, the next ones
/// three times what has come.
const RESERVE_STEP_BYTES: usize = 1024 * 1024;
const RESERVE_FACTOR: usize = 3;

/// How many requests ahead keys are brought to the cache.
const PREFETCH_WINDOW: usize = 16;

impl Engine {
    /// Bytes came from a client. They are cut into requests, and these are run. Replies gather in [`Engine::output`].
    pub fn receive(&mut self, id: ClientId, bytes: &[u8]) {
        self.note_input(id, bytes.len());
        let client = &mut self.clients[id.0];
        if !client.is_running() || !client.pending.is_empty() {
            client.pending.extend_from_slice(bytes);
            self.run_pending(id);
            return;
        }
        client.out.take_memory(&mut self.spare);
        let mut batch = std::mem::take(&mut self.batch);
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.run_some(id, rest, None, &mut batch);
            rest = &rest[taken..];
            if taken == 0 {
                break;
            }
            if !self.clients.get(id.0).is_some_and(Client::is_running) {
                break;
            }
        }
        self.batch = batch;
        let Some(client) = self.clients.get_mut(id.0) else {
            return;
        };
        client.out.leave_memory(&mut self.spare);
        if !client.flags.closing {
            client.pending.extend_from_slice(rest);
            self.check_query_buffer(id);
        }
    }

    /// Where the shell may read the rest of a big argument to, so that it is not copied: then it calls [`Engine::received_pending`].
    /// None while no big argument is on its way.
    pub fn read_target(&mut self, id: ClientId) -> Option<&mut BytesMut> {
        let client = self
            .clients
            .get_mut(id.0)
            .filter(|client| client.is_running())?;
        let missing = client.parser.pending_bulk()?.missing(client.pending.len());
        if missing == 0 {
            return None;
        }
        // Growing by a factor keeps the copies linear; the announced length alone never makes memory be taken.
        if client.pending.capacity() == client.pending.len() {
            let come = client.pending.len();
            let step = missing.min(RESERVE_STEP_BYTES.max(come.saturating_mul(RESERVE_FACTOR)));
            // Not `reserve`, which may take twice as much: the store keeps this buffer.
            let mut roomy = BytesMut::with_capacity(come + step);
            roomy.extend_from_slice(&client.pending);
            client.pending = roomy;
        }
        Some(&mut client.pending)
    }

    /// `count` bytes were appended to [`Engine::read_target`]'s buffer.
    pub fn received_pending(&mut self, id: ClientId, count: usize) {
        self.note_input(id, count);
        self.run_pending(id);
    }

    /// Runs what waits in a client's own buffer, as far as it may run.
    pub(crate) fn run_pending(&mut self, id: ClientId) {
        let mut batch = std::mem::take(&mut self.batch);
        while let Some(client) = self
            .clients
            .get_mut(id.0)
            .filter(|client| client.is_running() && !client.pending.is_empty())
        {
            let waiting = std::mem::take(&mut client.pending);
            // The parser is asked first, so that a partial request stays where it is.
            let mut parser = std::mem::take(&mut client.parser);
            let cut = parser.cut_all(&waiting, &mut batch);
            let done = cut.as_ref().copied().unwrap_or(0);
            let last = batch
                .len()
                .checked_sub(1)
                .map_or(done, |last| batch.wire(last).end.max(done));
            if last == 0 {
                client.parser = parser;
                client.pending = waiting;
                if let Err(error) = cut {
                    self.protocol_error(id, &error);
                }
                break;
            }
            parser.reset();
            client.parser = parser;
            let mut rest = waiting;
            let whole: Bytes = rest.split_to(last).freeze();
            let taken = self.run_some(id, &whole, Some(&whole), &mut batch);
            if let Some(client) = self.clients.get_mut(id.0) {
                if taken < whole.len() {
                    let mut kept = BytesMut::from(&whole[taken..]);
                    kept.extend_from_slice(&rest);
                    client.pending = kept;
                } else {
                    client.pending = rest;
                }
            }
        }
        self.batch = batch;
        self.check_query_buffer(id);
    }

    /// Cuts requests off `bytes` and runs them; how many bytes are done with. `shared` is the buffer that `bytes` is, where big
    /// arguments may be kept from.
    fn run_some(
        &mut self,
        id: ClientId,
        bytes: &[u8],
        shared: Option<&Bytes>,
        batch: &mut Batch,
    ) -> usize {
        let limits = if self.lacks_password(id) {
            &Limits::UNAUTHENTICATED
        } else {
            &Limits::NORMAL
        };
        let client = &mut self.clients[id.0];
        client.parser.set_limits(limits);
        let cut = client.parser.cut_all(bytes, batch);
        let db = client.db;
        let mut args = self.args.take();
        let mut stopped = None;
        let mut places = [None; PREFETCH_WINDOW];
        let several = batch.len() > 1;
        for index in 0..batch.len() {
            if several && index % PREFETCH_WINDOW == 0 {
                self.prefetch(db, bytes, batch, index, &mut places);
            }
            batch.args(index, bytes, &mut args);
            if several {
                self.remember_hash(db, &args, places[index % PREFETCH_WINDOW]);
            }
            let big = shared.and_then(|shared| big_argument(shared, &args));
            let ran = self.request(id, &args, big);
            let going = self.clients.get(id.0).is_some_and(Client::is_running);
            if !ran || !going {
                let wire = batch.wire(index);
                stopped = Some(if ran { wire.end } else { wire.start });
                break;
            }
        }
        self.args.put(args);
        if several {
            self.keyspace.db_ref(db).forget_hash();
        }
        match (stopped, cut) {
            (Some(at), _) => {
                if let Some(client) = self.clients.get_mut(id.0) {
                    client.parser.reset();
                }
                at
            }
            (None, Ok(taken)) => taken,
            (None, Err(error)) => {
                self.protocol_error(id, &error);
                bytes.len()
            }
        }
    }

    /// Brings the keys of the next requests to the cache: first their positions in the table, then their entries.
    fn prefetch(
        &self,
        db: usize,
        bytes: &[u8],
        batch: &Batch,
        from: usize,
        places: &mut [Option<Prefetched>; PREFETCH_WINDOW],
    ) {
        let db = self.keyspace.db_ref(db);
        let until = batch.len().min(from + PREFETCH_WINDOW);
        for (index, place) in (from..until).zip(&mut *places) {
            *place = batch.arg(index, 1, bytes).map(|key| db.prefetch(key));
        }
        for place in places[..until - from].iter().flatten() {
            db.prefetch_entry(*place);
        }
    }

    /// A prefetched key was hashed: its command need not do it again.
    #[inline]
    fn remember_hash(&self, db: usize, args: &[&[u8]], place: Option<Prefetched>) {
        let db = self.keyspace.db_ref(db);
        match (place, args) {
            (Some(place), [_, key, ..]) => db.remember_hash(key, place),
            _ => db.forget_hash(),
        }
    }

    fn protocol_error(&mut self, id: ClientId, error: &resp::ProtocolError) {
        let Some(client) = self.clients.get_mut(id.0) else {
            return;
        };
        tracing::debug!("Protocol error from client: {} ({error})", client.peer.addr);
        client.out.err(error.text());
        client.pending = BytesMut::new();
        client.parser.reset();
        self.close_after_reply(id);
    }

    fn note_input(&mut self, id: ClientId, count: usize) {
        self.stats.input_bytes += count as u64;
        let now_ms = self.now.unix_ms();
        if let Some(client) = self.clients.get_mut(id.0) {
            client.active_ms = now_ms;
        }
    }

    /// A client whose unread requests take more than a gigabyte is closed (Redis 3.0: `REDIS_MAX_QUERYBUF_LEN`).
    fn check_query_buffer(&mut self, id: ClientId) {
        const MOST: usize = 1024 * 1024 * 1024;
        let Some(client) = self.clients.get_mut(id.0) else {
            return;
        };
        if client.pending.is_empty() && client.pending.capacity() > 0 {
            client.pending = BytesMut::new();
        }
        if client.pending.len() > MOST {
            tracing::warn!(
                "Closing client that reached max query buffer length: {}",
                client.peer.addr
            );
            self.close_now(id);
        }
    }
}

/// The big argument of a request, if it has one that makes up most of the buffer it lies in.
fn big_argument(shared: &Bytes, args: &[&[u8]]) -> Option<(usize, Bytes)> {
    if shared.len() < HAND_OVER_BYTES {
        return None;
    }
    let (index, word) = args.iter().enumerate().max_by_key(|(_, word)| word.len())?;
    (word.len() >= HAND_OVER_BYTES && word.len() / 3 >= shared.len() / 4)
        .then(|| (index, shared.slice_ref(word)))
}
