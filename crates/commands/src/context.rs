//! What a data command may touch.

use bytes::Bytes;
use rdb::{Dumper, Trust};
use resp::Reply;
use store::{Keyspace, Limits, StrNew};

use crate::{Awaited, Block, Effects, Error, Rng};

/// The longest string, bytes.
pub(crate) const MAX_STRING_BYTES: usize = 512 * 1024 * 1024;

/// Keys of one command that are brought to the cache at a time.
const PREFETCH_WINDOW: usize = 16;

/// A request's words, the command's name first.
pub type Args<'a> = &'a [&'a [u8]];

/// A command has written its reply, or its error is still to be written.
pub type Done = Result<(), Error>;

/// The part of the configuration that data commands depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Thresholds between compact and large encodings.
    pub limits: Limits,
    /// The longest string that a command makes of a shorter one (`proto-max-bulk-len`), bytes.
    pub string_bytes: usize,
    /// `hll-sparse-max-bytes`
    pub hll_sparse_max_bytes: usize,
    /// `rdbcompression`, for DUMP.
    pub compress: bool,
    /// What RESTORE takes of a payload without a check.
    pub trust: Trust,
    /// `lazyfree-lazy-expire`: what ends for its time goes out as an UNLINK.
    pub lazy_expire: bool,
    /// `lazyfree-lazy-server-del`: what a command removes on the way goes out as an UNLINK.
    pub lazy_server_del: bool,
    /// `cluster-enabled`: no SWAPDB, SORT BY/GET.
    pub cluster: bool,
}

impl Default for Settings {
    /// The defaults of Redis 3.0.
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            string_bytes: MAX_STRING_BYTES,
            hll_sparse_max_bytes: 3000,
            compress: true,
            trust: Trust::default(),
            lazy_expire: true,
            lazy_server_del: true,
            cluster: false,
        }
    }
}

/// The command that tells files and replicas of a removal.
#[must_use]
pub const fn removal(lazy: bool) -> &'static [u8] {
    if lazy { b"UNLINK" } else { b"DEL" }
}

/// What a data command may touch. The fields are apart so that a value can be read from `keyspace` while `reply` is written:
/// `if let Some(value) = ctx.keyspace.db(ctx.db).read(key) { ctx.reply.… }`.
#[derive(Debug)]
pub struct Ctx<'a> {
    /// All databases.
    pub keyspace: &'a mut Keyspace,
    /// The selected database.
    pub db: usize,
    /// Where the reply goes.
    pub reply: &'a mut Reply,
    /// What else the command leaves behind.
    pub effects: &'a mut Effects,
    /// Configuration.
    pub settings: &'a Settings,
    /// Random numbers.
    pub rng: &'a mut Rng,
    /// What DUMP makes payloads with.
    pub dumper: &'a mut Dumper,
    /// A big argument in a buffer of its own: its position among the arguments, and the buffer.
    pub big: &'a mut Option<(usize, Bytes)>,
    /// Whether the command came from the master, the AOF or a file being loaded: it is applied as it is.
    pub replaying: bool,
    /// Whether the client may be made to wait (not in MULTI, not in a script).
    pub may_block: bool,
    /// Whether a script calls it.
    pub in_script: bool,
}

impl Ctx<'_> {
    /// The longest string that the command may make, bytes. Who applies what others have done takes it as it is.
    pub(crate) fn longest_string(&self) -> usize {
        if self.replaying {
            MAX_STRING_BYTES
        } else {
            self.settings.string_bytes
        }
    }

    /// Argument `index` as a string value to be stored, as it is; its buffer is handed over where it is big.
    #[must_use]
    pub fn take_str<'b>(&mut self, args: Args<'b>, index: usize) -> StrNew<'b> {
        match self.big.take_if(|(at, _)| *at == index) {
            Some((_, bytes)) => StrNew::Big(bytes),
            None => StrNew::encode(args[index]),
        }
    }

    /// Calls `each` with the position of every key, from 1 on every `step` words. Keys are brought to the cache some at a time.
    pub fn each_key(
        &mut self,
        args: Args<'_>,
        step: usize,
        mut each: impl FnMut(&mut Self, usize),
    ) {
        // One key is not worth the effort.
        let several = args.len() > 1 + step;
        let mut places = [None; PREFETCH_WINDOW];
        for from in (1..args.len()).step_by(step * PREFETCH_WINDOW) {
            let window = || (from..args.len()).step_by(step).take(PREFETCH_WINDOW);
            let db = self.keyspace.db(self.db);
            for (at, place) in window().zip(&mut places).filter(|_| several) {
                *place = Some(db.prefetch(args[at]));
            }
            for (_, place) in window().zip(places) {
                place.into_iter().for_each(|place| db.prefetch_entry(place));
            }
            for (at, place) in window().zip(places) {
                if let Some(place) = place {
                    self.keyspace.db(self.db).remember_place(args[at], place);
                }
                each(self, at);
            }
        }
        self.keyspace.db(self.db).forget_place();
    }

    /// The command has found nothing and waits for one of these keys, where its client may wait: then it is run again when a key has got
    /// what is awaited, and the client is answered the null array after `timeout_ms` (0: never). False where the client may not wait:
    /// the command answers that there is nothing.
    pub fn block(&mut self, awaited: Awaited, keys: &[&[u8]], timeout_ms: u64) -> bool {
        if self.may_block {
            self.effects.block = Some(Block {
                awaited,
                keys: keys.iter().map(|&key| key.into()).collect(),
                timeout_ms,
                instead: None,
            });
        }
        self.may_block
    }

    /// Whether a key that is given this expiry is to be removed instead, Unix milliseconds: it is over already, and this server is
    /// the one to decide.
    #[must_use]
    pub fn is_over(&self, at_ms: u64) -> bool {
        at_ms <= self.unix_ms() && self.keyspace.clock().expiry() == store::ExpiryMode::Delete
    }

    /// Removes a key because its time is over, by a command that said so: it counts and goes out as one that has expired. The command
    /// itself goes nowhere.
    pub fn expire_now(&mut self, key: &[u8]) {
        self.keyspace.db(self.db).expire_now(key);
        self.effects.dirty += 1;
        self.effects.touch(self.db, key);
        self.effects.propagate_nothing();
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        self.keyspace.clock().unix_ms()
    }

    /// Tells of keys that are new so far, before what follows: for commands that may make several.
    #[inline]
    pub fn tell_noted(&mut self) {
        let db = self.keyspace.db(self.db);
        if db.has_noted() {
            for (noted, key) in db.take_noted() {
                self.effects.noted(self.db, noted, &key);
            }
        }
    }

    /// One change to `key` of the selected database: see [`Effects::changed`].
    #[inline]
    pub fn changed(&mut self, key: &[u8], class: crate::EventClass, event: &'static str) {
        self.effects.changed(self.db, key, class, event);
    }

    /// An event on `key` of the selected database: see [`Effects::event`].
    pub fn event(&mut self, key: &[u8], class: crate::EventClass, name: &'static str) {
        self.effects.event(self.db, key, class, name);
    }
}
