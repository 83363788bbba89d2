//! The entry: a key and its value in one heap block. What a value can do is in `value.rs`; how entries are found in `table.rs`.
//!
//! # Layout
//!
//! ```text
//! head    u32  kind, flags, LRU time (24 bits)
//! sizes   u32  key length (13 bits), length of an inline value (14), allocation in steps above the smallest class (5);
//!              for a small integer beside a key that is not long: key length (8 bits), the integer (24)
//! wide    2 × u32  key and value length, where the key is too long for the above (then `sizes` has the steps only)
//! expiry  u64  Unix milliseconds, or `NEVER`; only where the key ever had an expiry
//! value   u64  an integer, a pointer to a big string, or a collection's handle; small integers and inline values have none
//! key
//! value   a string that is not big, or the fields of a small hash
//! ```

#![expect(unsafe_code, reason = "a header, a key and a value in one heap block")]

mod shape;

use std::alloc::{alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::ptr::NonNull;

use bytes::{Bytes, BytesMut};

use crate::hash::{Form, Plain, Timed};
use crate::table::{Item, Occupied};
use crate::{Encoding, Hash, HashRef, List, Owned, Set, Str, StrNew, Stream, Value, Zset, int};
use shape::{
    INLINE_MAX, KEY_BITS, Kind, NARROW_KEY, STEPS_MAX, STEPS_SHIFT, Shape, TINY_KEY, TINY_KEY_BITS,
};

/// An expiry that stands for none.
const NEVER: u64 = u64::MAX;

const KIND: u32 = 15;
const TIMED: u32 = 1 << 4;
const WIDE: u32 = 1 << 5;
/// Beside [`Kind::Tiny`]: so that one look tells the usual heads from the others.
const TINY: u32 = 1 << 6;
const LRU_SHIFT: u32 = 8;
/// Where the second word of the head lies.
const SIZES_AT: usize = 4;
/// A new value is written over an old one where that leaves at most so many size classes unused.
const STEPS_WASTED_MAX: usize = 2;
/// Where freeing a value takes long: bytes of a string, elements of a collection. A smaller string is one block, whose memory the next one
/// should find at once.
const HEAVY_BYTES: usize = 4 * 1024 * 1024;
const HEAVY_ELEMENTS: usize = 64;

/// A string too long to lie in its entry.
pub(crate) enum Big {
    /// At rest: a reply can share it.
    Whole(Bytes),
    /// Being changed in place.
    Open(BytesMut),
}

impl Big {
    /// The buffer, to be changed. It is copied only where a reply still shares it.
    fn open(&mut self) -> &mut BytesMut {
        if let Self::Whole(bytes) = self {
            let bytes = match std::mem::take(bytes).try_into_mut() {
                Ok(own) => own,
                Err(shared) => BytesMut::from(&shared[..]),
            };
            *self = Self::Open(bytes);
        }
        match self {
            Self::Open(bytes) => bytes,
            Self::Whole(_) => unreachable!("opened above"),
        }
    }

    /// Makes the buffer one that a reply can share.
    fn close(&mut self) {
        if let Self::Open(bytes) = self {
            *self = Self::Whole(std::mem::take(bytes).freeze());
        }
    }

    fn into_bytes(mut self) -> Bytes {
        self.close();
        match self {
            Self::Whole(bytes) => bytes,
            Self::Open(bytes) => bytes.freeze(),
        }
    }
}

/// What goes into the value area of a new entry.
pub(crate) enum New<'a> {
    Int(i64),
    /// At most [`INLINE_MAX`] bytes.
    Inline {
        bytes: &'a [u8],
        raw: bool,
    },
    Big(Box<Big>),
    List(List),
    Set(Set),
    Zset(Zset),
    /// A hash whose fields go into the entry: [`Plain::fields`] gives them.
    Fields(Plain),
    Hash(Plain),
    Timed(Box<Timed>),
    Stream(Stream),
}

impl<'a> New<'a> {
    /// A string as it is best stored.
    #[inline]
    pub(crate) fn string(new: &'a mut StrNew<'_>) -> Self {
        match new {
            StrNew::Int(value) => Self::Int(*value),
            StrNew::Bytes(bytes) => Self::bytes(bytes, false),
            StrNew::Big(bytes) if bytes.len() > INLINE_MAX => {
                Self::Big(Box::new(Big::Whole(std::mem::take(bytes))))
            }
            StrNew::Big(bytes) => Self::bytes(bytes, false),
        }
    }

    fn bytes(bytes: &'a [u8], raw: bool) -> Self {
        if bytes.len() > INLINE_MAX {
            Self::Big(Box::new(Big::Whole(Bytes::copy_from_slice(bytes))))
        } else {
            Self::Inline { bytes, raw }
        }
    }

    /// A value that was on its own. `hold` keeps the bytes of a short string.
    pub(crate) fn owned(owned: Owned, hold: &'a mut Bytes) -> Self {
        match owned {
            Owned::Int(value) => Self::Int(value),
            Owned::Bytes { bytes, .. } if bytes.len() > INLINE_MAX => {
                Self::Big(Box::new(Big::Whole(bytes)))
            }
            Owned::Bytes { bytes, raw } => {
                *hold = bytes;
                Self::bytes(hold, raw)
            }
            Owned::List(list) => Self::List(list),
            Owned::Set(set) => Self::Set(set),
            Owned::Zset(zset) => Self::Zset(zset),
            Owned::Hash(Hash(Form::Plain(hash))) if hash.fields().is_some() => Self::Fields(hash),
            Owned::Hash(Hash(Form::Plain(hash))) => Self::Hash(hash),
            Owned::Hash(Hash(Form::Timed(hash))) => Self::Timed(hash),
            Owned::Stream(stream) => Self::Stream(stream),
        }
    }

    /// What lies behind the key.
    #[inline]
    fn inline(&self) -> &[u8] {
        match self {
            Self::Inline { bytes, .. } => bytes,
            Self::Fields(hash) => hash.fields().unwrap_or_default(),
            _ => &[],
        }
    }

    /// How it is stored beside a key of this length.
    #[inline]
    fn kind(&self, key: usize) -> Kind {
        match self {
            Self::Int(value) => Kind::of_int(*value, key),
            Self::Inline { raw: false, .. } => Kind::Inline,
            Self::Inline { raw: true, .. } => Kind::Raw,
            Self::Big(_) => Kind::Big,
            Self::List(_) => Kind::List,
            Self::Set(_) => Kind::Set,
            Self::Zset(_) => Kind::Zset,
            Self::Fields(_) => Kind::Fields,
            Self::Hash(_) => Kind::Hash,
            Self::Timed(_) => Kind::Timed,
            Self::Stream(_) => Kind::Stream,
        }
    }
}

const _: () = {
    assert!(size_of::<List>() <= 8 && align_of::<List>() <= 8);
    assert!(size_of::<Set>() <= 8 && align_of::<Set>() <= 8);
    assert!(size_of::<Zset>() <= 8 && align_of::<Zset>() <= 8);
    assert!(size_of::<Plain>() <= 8 && align_of::<Plain>() <= 8);
    assert!(size_of::<Stream>() <= 8 && align_of::<Stream>() <= 8);
};

/// Owns a block with a key and a value.
#[repr(transparent)]
pub(crate) struct Entry(NonNull<u8>);

// SAFETY: an entry owns its block and its value alone, and all values are Send.
unsafe impl Send for Entry {}

/// An entry, seen.
#[derive(Clone, Copy)]
pub(crate) struct EntryRef<'a> {
    block: NonNull<u8>,
    life: PhantomData<&'a Entry>,
}

impl Entry {
    /// An entry with this key and value.
    #[inline]
    pub(crate) fn new(key: &[u8], value: New<'_>, expire_ms: Option<u64>, lru: u32) -> Self {
        let kind = value.kind(key.len());
        let mut shape = Shape::new(kind, expire_ms.is_some(), key.len(), value.inline().len());
        if let (Kind::Tiny, New::Int(value)) = (kind, &value) {
            shape = shape.with_tiny(*value);
        }
        let entry = Self::allocate(shape, lru);
        // SAFETY: the block has room for what the shape says, and nothing of it is in use yet.
        unsafe {
            if let Some(ms) = expire_ms {
                entry.write_at(shape.expiry_at(), ms);
            }
            entry.copy_to(shape.key_at(), key);
            let word = shape.word_at();
            match value {
                New::Int(value) if kind == Kind::Int => entry.write_at(word, value),
                New::Int(_) => {}
                New::Inline { .. } | New::Fields(_) => {
                    entry.copy_to(shape.inline_at(), value.inline());
                }
                New::Big(big) => entry.write_at(word, big),
                New::List(list) => entry.write_at(word, list),
                New::Set(set) => entry.write_at(word, set),
                New::Zset(zset) => entry.write_at(word, zset),
                New::Hash(hash) => entry.write_at(word, hash),
                New::Timed(hash) => entry.write_at(word, hash),
                New::Stream(stream) => entry.write_at(word, stream),
            }
        }
        entry
    }

    /// A block with its head; the rest is not written.
    #[inline]
    fn allocate(shape: Shape, lru: u32) -> Self {
        assert!(
            u32::try_from(shape.key).is_ok(),
            "a key is shorter than four gigabytes"
        );
        let layout = shape.layout();
        // SAFETY: the size is at least eight.
        let Some(block) = NonNull::new(unsafe { alloc(layout) }) else {
            handle_alloc_error(layout)
        };
        // SAFETY: the block is fresh and has room for the head.
        unsafe { block.cast::<u32>().write(lru << LRU_SHIFT) };
        let mut entry = Self(block);
        entry.write_shape(shape);
        entry
    }

    /// Writes the head anew, but for the LRU time.
    #[inline]
    fn write_shape(&mut self, shape: Shape) {
        let lru = self.see().head() >> LRU_SHIFT << LRU_SHIFT;
        let timed = if shape.timed { TIMED } else { 0 };
        let wide = if shape.wide { WIDE } else { 0 };
        let tiny = if shape.kind == Kind::Tiny { TINY } else { 0 };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the key was checked, the rest has fewer bits"
        )]
        let (key, value, steps) = (shape.key as u32, shape.value as u32, shape.steps as u32);
        let words = self.0.cast::<u32>();
        // SAFETY: the block starts with two words, or four where the shape is wide.
        unsafe {
            words.write(lru | timed | wide | tiny | shape.kind as u32);
            if shape.wide {
                words.add(1).write(steps << STEPS_SHIFT);
                words.add(2).write(key);
                words.add(3).write(value);
            } else if shape.kind == Kind::Tiny {
                words.add(1).write(shape.tiny_sizes());
            } else {
                words
                    .add(1)
                    .write(steps << STEPS_SHIFT | value << KEY_BITS | key);
            }
        }
    }

    /// # Safety
    /// The shape has a place for a `T` at `offset`.
    #[inline]
    unsafe fn write_at<T>(&self, offset: usize, value: T) {
        // SAFETY: the caller promised the room; all offsets of words are multiples of eight.
        unsafe { self.0.add(offset).cast::<T>().write(value) }
    }

    /// # Safety
    /// The shape has room for `bytes` at `offset`.
    #[inline]
    unsafe fn copy_to(&self, offset: usize, bytes: &[u8]) {
        // SAFETY: the caller promised the room; the bytes are not in this block.
        unsafe {
            self.0
                .add(offset)
                .copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
        }
    }

    /// The entry, seen.
    #[inline]
    pub(crate) fn see(&self) -> EntryRef<'_> {
        EntryRef {
            block: self.0,
            life: PhantomData,
        }
    }

    /// The entry, to be changed in place.
    #[inline]
    pub(crate) fn see_mut(&mut self) -> EntryMut<'_> {
        EntryMut {
            block: self.0,
            life: PhantomData,
        }
    }

    /// Sets or drops the expiry. The block moves where it has no room for one.
    pub(crate) fn with_expiry(self, expire_ms: Option<u64>) -> Self {
        let mut entry = self;
        if entry.see_mut().set_expiry(expire_ms) {
            return entry;
        }
        let ms = expire_ms.unwrap_or(NEVER);
        let shape = entry.see().shape();
        let roomy = Shape {
            timed: true,
            steps: 0,
            ..shape
        };
        let moved = Self::allocate(roomy, entry.see().lru());
        // SAFETY: both blocks have what their shapes say: behind the expiry the same bytes. The value changes its owner bit by
        // bit, so the old block is given back without dropping it.
        unsafe {
            moved.write_at(roomy.expiry_at(), ms);
            moved.0.add(roomy.word_at()).copy_from_nonoverlapping(
                entry.0.add(shape.word_at()),
                shape.used() - shape.word_at(),
            );
            entry.free_block();
        }
        moved
    }

    /// Gives the block back and leaves the value alone.
    ///
    /// # Safety
    /// The value was moved out or needs no drop.
    unsafe fn free_block(self) {
        let layout = self.see().shape().layout();
        let block = std::mem::ManuallyDrop::new(self).0;
        // SAFETY: allocated with this layout; nobody uses the block after this.
        unsafe { dealloc(block.as_ptr(), layout) }
    }

    /// Stores another string under the same key, in place where it fits. The old entry is given back where it was replaced: dropping
    /// it may take long.
    #[inline]
    pub(crate) fn with_string(
        mut self,
        mut new: StrNew<'_>,
        expire_ms: Option<u64>,
        lru: u32,
    ) -> (Self, Option<Self>) {
        let new = New::string(&mut new);
        let shape = self.see().shape();
        let in_place = match &new {
            _ if expire_ms.is_some() && !shape.timed => None,
            New::Inline { bytes, .. } if shape.kind.is_inline() => {
                shape.with_value(bytes.len(), STEPS_WASTED_MAX)
            }
            New::Int(value) => shape.with_int(*value),
            _ => None,
        };
        let Some(mut shape) = in_place else {
            let fresh = Self::new(self.see().key(), new, expire_ms, lru);
            return (fresh, Some(self));
        };
        if !matches!(new, New::Int(_)) {
            shape.kind = new.kind(shape.key);
        }
        self.write_shape(shape);
        self.see_mut().touch(lru);
        // SAFETY: the block has room for what the shape says; integers and inline strings need no drop.
        unsafe {
            if shape.timed {
                self.write_at(shape.expiry_at(), expire_ms.unwrap_or(NEVER));
            }
            match new {
                New::Int(value) if shape.kind == Kind::Int => {
                    self.write_at(shape.word_at(), value);
                }
                New::Inline { bytes, .. } => self.copy_to(shape.inline_at(), bytes),
                _ => {}
            }
        }
        (self, None)
    }

    /// Makes the string one that is changed in place, with at least `len` bytes: zero bytes are added.
    pub(crate) fn with_raw(mut self, len: usize) -> Self {
        let shape = self.see().shape();
        if shape.kind.is_inline() {
            let (old, new) = (shape.value, shape.value.max(len));
            if let Some(mut other) = shape.with_value(new, STEPS_MAX) {
                other.kind = Kind::Raw;
                self.write_shape(other);
                // SAFETY: the block has room for `new` bytes of value.
                unsafe {
                    self.0
                        .add(other.inline_at() + old)
                        .write_bytes(0, new - old);
                };
                return self;
            }
        }
        if let Some(buffer) = self.see_mut().into_open() {
            if buffer.len() < len {
                buffer.resize(len, 0);
            }
            return self;
        }
        let mut scratch = [0; int::MAX_LEN];
        let see = self.see();
        let Value::Str(value) = see.value() else {
            return self;
        };
        let value = value.bytes(&mut scratch);
        let expire_ms = see.expire_ms();
        let len = len.max(value.len());
        if len > INLINE_MAX {
            // What was there before grows again.
            let slack = if value.is_empty() { 0 } else { len / 2 };
            let mut buffer = BytesMut::with_capacity(len + slack);
            buffer.extend_from_slice(value);
            buffer.resize(len, 0);
            let big = New::Big(Box::new(Big::Open(buffer)));
            return Self::new(see.key(), big, expire_ms, see.lru());
        }
        let mut roomy = Shape::new(Kind::Raw, expire_ms.is_some(), shape.key, len);
        if shape.kind == Kind::Raw {
            // It was changed before, so it will be again.
            roomy = roomy.with_slack();
        }
        let entry = Self::allocate(roomy, see.lru());
        // SAFETY: the block has room for what the shape says.
        unsafe {
            if let Some(ms) = expire_ms {
                entry.write_at(roomy.expiry_at(), ms);
            }
            entry.copy_to(roomy.key_at(), see.key());
            entry.copy_to(roomy.inline_at(), value);
            entry
                .0
                .add(roomy.inline_at() + value.len())
                .write_bytes(0, len - value.len());
        }
        entry
    }

    /// Replaces `remove` bytes at `at` of the fields that lie in the entry by `parts`, in place where the block is of the right size.
    ///
    /// # Panics
    /// When there are no such bytes, or there would be more than an entry holds.
    pub(crate) fn splice(mut self, at: usize, remove: usize, parts: &[&[u8]]) -> Self {
        let shape = self.see().shape();
        let added: usize = parts.iter().map(|part| part.len()).sum();
        let tail = shape.value.checked_sub(at + remove);
        let (Kind::Fields, Some(tail)) = (shape.kind, tail) else {
            unreachable!("a range of the fields in an entry");
        };
        let len = shape.value - remove + added;
        assert!(len <= INLINE_MAX, "the hash bounds its block");
        let begin = shape.inline_at() + at;
        if let Some(other) = shape.with_value(len, 0) {
            self.write_shape(other);
            // SAFETY: the block has room for a value of the old and of the new length.
            unsafe {
                let from = self.0.add(begin + remove);
                from.copy_to(self.0.add(begin + added), tail);
                self.write_parts(begin, parts);
            }
            return self;
        }
        let other = Shape {
            value: len,
            steps: 0,
            ..shape
        };
        let moved = Self::allocate(other, self.see().lru());
        let behind_head = shape.expiry_at();
        // SAFETY: both blocks have what their shapes say, which is alike up to `begin`; fields need no drop.
        unsafe {
            let to = moved.0.add(behind_head);
            to.copy_from_nonoverlapping(self.0.add(behind_head), begin - behind_head);
            moved.write_parts(begin, parts);
            let to = moved.0.add(begin + added);
            to.copy_from_nonoverlapping(self.0.add(begin + remove), tail);
            self.free_block();
        }
        moved
    }

    /// # Safety
    /// The shape has room for all parts from `offset` on.
    unsafe fn write_parts(&self, mut offset: usize, parts: &[&[u8]]) {
        for part in parts {
            // SAFETY: as the caller promised.
            unsafe { self.copy_to(offset, part) };
            offset += part.len();
        }
    }

    /// The value, moved out, with the expiry.
    pub(crate) fn into_owned(self) -> (Owned, Option<u64>) {
        let see = self.see();
        let (shape, expire_ms) = (see.shape(), see.expire_ms());
        let word = self.0.as_ptr().wrapping_add(shape.word_at());
        // SAFETY: the kind says what lies in the word; it is read once, and the block is given back without dropping it.
        unsafe {
            let owned = match shape.kind {
                Kind::Tiny => Owned::Int(shape.integer()),
                Kind::Fields => Owned::Hash(Hash(Form::Plain(Plain::from_fields(see.inline())))),
                Kind::Int => Owned::Int(word.cast::<i64>().read()),
                Kind::Inline | Kind::Raw => Owned::Bytes {
                    bytes: Bytes::copy_from_slice(see.inline()),
                    raw: shape.kind == Kind::Raw,
                },
                Kind::Big => Owned::Bytes {
                    bytes: word.cast::<Box<Big>>().read().into_bytes(),
                    raw: true,
                },
                Kind::List => Owned::List(word.cast::<List>().read()),
                Kind::Set => Owned::Set(word.cast::<Set>().read()),
                Kind::Zset => Owned::Zset(word.cast::<Zset>().read()),
                Kind::Hash => Owned::Hash(Hash(Form::Plain(word.cast::<Plain>().read()))),
                Kind::Timed => Owned::Hash(Hash(Form::Timed(word.cast::<Box<Timed>>().read()))),
                Kind::Stream => Owned::Stream(word.cast::<Stream>().read()),
            };
            self.free_block();
            (owned, expire_ms)
        }
    }

    /// Whether freeing it takes so long that another thread should do it.
    pub(crate) fn is_heavy(&self) -> bool {
        match self.see().value() {
            Value::Str(Str::Int(_)) => false,
            Value::Str(Str::Bytes(bytes)) => bytes.len() >= HEAVY_BYTES,
            Value::Str(Str::Big(bytes)) => bytes.len() >= HEAVY_BYTES,
            Value::List(list) => list.len() > HEAVY_ELEMENTS,
            Value::Set(set) => set.len() > HEAVY_ELEMENTS,
            Value::Zset(zset) => zset.len() > HEAVY_ELEMENTS,
            Value::Hash(hash) => hash.is_large() && hash.len() > HEAVY_ELEMENTS,
            Value::Stream(stream) => stream.free_effort() > HEAVY_ELEMENTS,
        }
    }
}

impl Drop for Entry {
    #[inline]
    fn drop(&mut self) {
        let shape = self.see().shape();
        let word = self.0.as_ptr().wrapping_add(shape.word_at());
        // SAFETY: the kind says what lies in the word; the entry is not used after this. The block was allocated with this layout.
        unsafe {
            match shape.kind {
                Kind::Tiny | Kind::Int | Kind::Inline | Kind::Raw | Kind::Fields => {}
                Kind::Big => word.cast::<Box<Big>>().drop_in_place(),
                Kind::List => word.cast::<List>().drop_in_place(),
                Kind::Set => word.cast::<Set>().drop_in_place(),
                Kind::Zset => word.cast::<Zset>().drop_in_place(),
                Kind::Hash => word.cast::<Plain>().drop_in_place(),
                Kind::Timed => word.cast::<Box<Timed>>().drop_in_place(),
                Kind::Stream => word.cast::<Stream>().drop_in_place(),
            }
            dealloc(self.0.as_ptr(), shape.layout());
        }
    }
}

/// A value, to be changed in place; a string's own methods need more than its block.
pub(crate) enum InPlace<'a> {
    Str,
    List(&'a mut List),
    Set(&'a mut Set),
    Zset(&'a mut Zset),
    Hash(&'a mut Plain),
    Timed(&'a mut Timed),
    Stream(&'a mut Stream),
    /// A hash in the entry; its own methods need more than the block, too.
    Fields,
}

/// An entry, to be changed where it lies.
pub(crate) struct EntryMut<'a> {
    block: NonNull<u8>,
    life: PhantomData<&'a mut Entry>,
}

impl<'a> EntryMut<'a> {
    /// The entry in a slot.
    #[inline]
    pub(crate) fn of(slot: &'a mut Occupied<'_, Entry>) -> Self {
        Self {
            block: slot.raw(),
            life: PhantomData,
        }
    }

    /// The entry in a slot, as long as the table is borrowed.
    #[inline]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the slot is given up: only the entry may change it now"
    )]
    pub(crate) fn from_slot(slot: Occupied<'a, Entry>) -> Self {
        Self {
            block: slot.raw(),
            life: PhantomData,
        }
    }

    /// The entry, seen.
    #[inline]
    pub(crate) fn see(&self) -> EntryRef<'_> {
        EntryRef {
            block: self.block,
            life: PhantomData,
        }
    }

    /// Sets the LRU time.
    #[inline]
    pub(crate) fn touch(&mut self, lru: u32) {
        let head = self.see().head();
        if head >> LRU_SHIFT != lru {
            let flags = head & ((1 << LRU_SHIFT) - 1);
            // SAFETY: the block starts with the head.
            unsafe { self.block.cast::<u32>().write(flags | lru << LRU_SHIFT) };
        }
    }

    /// Writes a string over the one that is there, where it is stored the same way and takes the same room. The expiry stays: the
    /// caller has seen that this is right. False where nothing was done.
    #[inline]
    pub(crate) fn overwrite(&mut self, new: &StrNew<'_>, lru: u32) -> bool {
        let shape = self.see().shape();
        let (at, bytes): (usize, &[u8]) = match (shape.kind, new) {
            (Kind::Inline, StrNew::Bytes(bytes)) if bytes.len() == shape.value => {
                (shape.inline_at(), bytes)
            }
            (Kind::Int, StrNew::Int(value)) => (shape.word_at(), &value.to_ne_bytes()),
            (Kind::Tiny, StrNew::Int(value)) if Kind::of_int(*value, shape.key) == Kind::Tiny => {
                let sizes = shape.with_tiny(*value).tiny_sizes();
                (SIZES_AT, &sizes.to_ne_bytes())
            }
            _ => return false,
        };
        self.touch(lru);
        // SAFETY: the shape has room for so many bytes there; they are not in this block, which is borrowed mutably.
        unsafe {
            self.block
                .add(at)
                .copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
        }
        true
    }

    /// Begins to be in the database's index: answers under which time, where it is a hash some of whose fields have an expiry.
    #[inline]
    pub(crate) fn track(self) -> Option<u64> {
        if self.see().kind() != Kind::Timed {
            return None;
        }
        // SAFETY: such an entry has a boxed `Timed` in its word.
        let timed = unsafe { self.into_word::<Box<Timed>>() };
        timed.tracked = timed.due_ms();
        timed.tracked
    }

    /// Sets or drops the expiry where there is room for it; whether there was.
    pub(crate) fn set_expiry(&mut self, expire_ms: Option<u64>) -> bool {
        let shape = self.see().shape();
        if shape.timed {
            // SAFETY: the shape has room for an expiry, aligned to eight bytes.
            unsafe {
                self.block
                    .add(shape.expiry_at())
                    .cast::<u64>()
                    .write(expire_ms.unwrap_or(NEVER));
            }
        }
        shape.timed || expire_ms.is_none()
    }

    /// A value in the word of the value area.
    ///
    /// # Safety
    /// The value is a `T`.
    #[inline]
    unsafe fn into_word<T>(self) -> &'a mut T {
        let at = self.see().shape().word_at();
        // SAFETY: the caller promised a `T` there; the entry is borrowed mutably for `'a`.
        unsafe { self.block.add(at).cast::<T>().as_mut() }
    }

    fn into_big(self) -> Option<&'a mut Big> {
        // SAFETY: such an entry has a boxed big string in its word.
        (self.see().kind() == Kind::Big).then(|| unsafe { &mut **self.into_word::<Box<Big>>() })
    }

    /// The buffer of a big string, opened for changes.
    pub(crate) fn into_open(self) -> Option<&'a mut BytesMut> {
        self.into_big().map(Big::open)
    }

    /// Makes a big string one that replies can share.
    #[inline]
    pub(crate) fn close(self) {
        if self.see().kind() == Kind::Big
            && let Some(big) = self.into_big()
        {
            big.close();
        }
    }

    /// The bytes of a string that is stored as such; a big one is opened.
    pub(crate) fn into_string(self) -> Option<&'a mut [u8]> {
        if self.see().kind().is_inline() {
            self.into_inline()
        } else {
            self.into_open().map(|buffer| &mut buffer[..])
        }
    }

    /// The bytes that lie behind the key, if the value does: a string, or the fields of a hash.
    pub(crate) fn into_inline(self) -> Option<&'a mut [u8]> {
        let shape = self.see().shape();
        // SAFETY: the block holds an inline value of this length; the entry is borrowed mutably for `'a`.
        shape.kind.is_inline().then(|| unsafe {
            std::slice::from_raw_parts_mut(self.block.add(shape.inline_at()).as_ptr(), shape.value)
        })
    }

    /// The handle of a hash; none where its fields lie in the entry.
    pub(crate) fn into_hash(self) -> Option<&'a mut Plain> {
        // SAFETY: such an entry has a handle in its word.
        (self.see().kind() == Kind::Hash).then(|| unsafe { self.into_word() })
    }

    /// The value.
    #[inline]
    pub(crate) fn into_value(self) -> InPlace<'a> {
        // SAFETY: the kind says which handle lies in the word.
        unsafe {
            match self.see().kind() {
                Kind::List => InPlace::List(self.into_word()),
                Kind::Set => InPlace::Set(self.into_word()),
                Kind::Zset => InPlace::Zset(self.into_word()),
                Kind::Hash => InPlace::Hash(self.into_word()),
                Kind::Timed => InPlace::Timed(self.into_word::<Box<Timed>>()),
                Kind::Stream => InPlace::Stream(self.into_word()),
                Kind::Fields => InPlace::Fields,
                Kind::Tiny | Kind::Int | Kind::Inline | Kind::Raw | Kind::Big => InPlace::Str,
            }
        }
    }
}

impl<'a> EntryRef<'a> {
    #[inline]
    fn head(self) -> u32 {
        // SAFETY: the block lives and starts with the head.
        unsafe { self.block.cast::<u32>().read() }
    }

    #[inline]
    fn kind(self) -> Kind {
        Kind::ALL[(self.head() & KIND) as usize]
    }

    #[inline]
    fn shape(self) -> Shape {
        let head = self.head();
        let words = self.block.cast::<u32>();
        let kind = self.kind();
        // SAFETY: the block starts with two words, or four where it is wide.
        let (steps, key, value) = unsafe {
            let sizes = words.add(1).read() as usize;
            if head & (WIDE | TINY) == 0 {
                let value = sizes >> KEY_BITS & INLINE_MAX;
                (sizes >> STEPS_SHIFT, sizes & NARROW_KEY, value)
            } else if head & TINY != 0 {
                (0, sizes & TINY_KEY, sizes >> TINY_KEY_BITS)
            } else {
                let (key, value) = (words.add(2).read(), words.add(3).read());
                (sizes >> STEPS_SHIFT, key as usize, value as usize)
            }
        };
        Shape {
            kind,
            timed: head & TIMED != 0,
            wide: head & WIDE != 0,
            key,
            value,
            steps,
        }
    }

    #[inline]
    fn slice(self, at: usize, len: usize) -> &'a [u8] {
        // SAFETY: the shape says that these bytes are in the block, which nobody changes during `'a`.
        unsafe { std::slice::from_raw_parts(self.block.add(at).as_ptr(), len) }
    }

    /// The key.
    #[inline]
    pub(crate) fn key(self) -> &'a [u8] {
        let shape = self.shape();
        self.slice(shape.key_at(), shape.key)
    }

    /// The LRU time: seconds modulo 2^24.
    #[inline]
    pub(crate) fn lru(self) -> u32 {
        self.head() >> LRU_SHIFT
    }

    /// The expiry, Unix milliseconds.
    #[inline]
    pub(crate) fn expire_ms(self) -> Option<u64> {
        let head = self.head();
        if head & TIMED == 0 {
            return None;
        }
        let at = if head & WIDE == 0 { 8 } else { 16 };
        // SAFETY: the expiry lies there, aligned to eight bytes.
        let ms = unsafe { self.block.add(at).cast::<u64>().read() };
        (ms != NEVER).then_some(ms)
    }

    fn inline(self) -> &'a [u8] {
        let shape = self.shape();
        self.slice(shape.inline_at(), shape.value)
    }

    /// # Safety
    /// The value is a `T`.
    #[inline]
    unsafe fn word<T>(self, shape: Shape) -> &'a T {
        // SAFETY: the caller promised a `T` there; nobody changes it during `'a`.
        unsafe { self.block.add(shape.word_at()).cast::<T>().as_ref() }
    }

    /// The value.
    #[inline]
    pub(crate) fn value(self) -> Value<'a> {
        let shape = self.shape();
        // SAFETY: the kind says what lies in the word.
        unsafe {
            match shape.kind {
                Kind::Inline | Kind::Raw => {
                    Value::Str(Str::Bytes(self.slice(shape.inline_at(), shape.value)))
                }
                Kind::Tiny => Value::Str(Str::Int(shape.integer())),
                Kind::Int => Value::Str(Str::Int(*self.word(shape))),
                Kind::Big => Value::Str(match &**self.word::<Box<Big>>(shape) {
                    Big::Whole(bytes) => Str::Big(bytes),
                    Big::Open(bytes) => Str::Bytes(bytes),
                }),
                Kind::List => Value::List(self.word(shape)),
                Kind::Set => Value::Set(self.word(shape)),
                Kind::Zset => Value::Zset(self.word(shape)),
                Kind::Fields => {
                    let bytes = self.slice(shape.inline_at(), shape.value);
                    Value::Hash(HashRef::of_fields(bytes))
                }
                Kind::Hash => Value::Hash(self.word::<Plain>(shape).see()),
                Kind::Timed => Value::Hash(HashRef::of_timed(self.word::<Box<Timed>>(shape))),
                Kind::Stream => Value::Stream(self.word(shape)),
            }
        }
    }

    /// The time under which the database's index has the entry: only hashes some of whose fields have an expiry are there.
    #[inline]
    pub(crate) fn tracked(self) -> Option<u64> {
        if self.kind() != Kind::Timed {
            return None;
        }
        // SAFETY: such an entry has a boxed `Timed` in its word.
        unsafe { self.word::<Box<Timed>>(self.shape()) }.tracked
    }

    /// What OBJECT ENCODING says.
    pub(crate) fn encoding(self) -> Encoding {
        match self.value() {
            Value::Str(Str::Int(_)) => Encoding::Int,
            Value::Str(Str::Bytes(bytes))
                if self.kind() == Kind::Inline
                    && is_embedded(self.key(), bytes, self.expire_ms().is_some()) =>
            {
                Encoding::Embstr
            }
            Value::Str(_) => Encoding::Raw,
            Value::List(list) => list.encoding(),
            Value::Set(set) => set.encoding(),
            Value::Zset(zset) => zset.encoding(),
            Value::Hash(hash) => hash.encoding(),
            Value::Stream(_) => Encoding::Stream,
        }
    }

    /// Another value like it, with the same encoding. A large string shares its bytes with it until one of them is changed.
    pub(crate) fn duplicate(self) -> Owned {
        match self.value() {
            Value::Str(Str::Int(value)) => Owned::Int(value),
            Value::Str(Str::Bytes(bytes)) => Owned::Bytes {
                bytes: Bytes::copy_from_slice(bytes),
                raw: self.encoding() == Encoding::Raw,
            },
            Value::Str(Str::Big(bytes)) => Owned::Bytes {
                bytes: bytes.clone(),
                raw: true,
            },
            Value::List(list) => Owned::List(list.clone()),
            Value::Set(set) => Owned::Set(set.clone()),
            Value::Zset(zset) => Owned::Zset(zset.clone()),
            Value::Hash(hash) => Owned::Hash(hash.duplicate()),
            Value::Stream(stream) => Owned::Stream(stream.clone()),
        }
    }

    /// Bytes of the block; what the value owns elsewhere is not counted.
    pub(crate) fn block_bytes(self) -> usize {
        self.shape().size()
    }
}

/// Whether a string is an `embstr`: what key, value and the expiry, where there is one, take in Valkey fits two cache lines of 64 bytes.
fn is_embedded(key: &[u8], value: &[u8], expires: bool) -> bool {
    /// What a value has beside its bytes, and a short key.
    const AROUND: usize = 15;
    const TIME: usize = 8;
    /// From this length on a key has two bytes more.
    const LONG_KEY: usize = 32;
    let around = AROUND + if expires { TIME } else { 0 } + if key.len() < LONG_KEY { 0 } else { 2 };
    around + key.len() + value.len() <= 2 * 64
}

// SAFETY: an entry's block is aligned to eight and does not move; `key`, `view` and `is_marked` read only; no method changes a key.
unsafe impl Item for Entry {
    type View<'a> = EntryRef<'a>;

    #[inline]
    fn into_raw(self) -> NonNull<u8> {
        std::mem::ManuallyDrop::new(self).0
    }

    #[inline]
    unsafe fn from_raw(raw: NonNull<u8>) -> Self {
        Self(raw)
    }

    #[inline]
    unsafe fn key<'a>(raw: NonNull<u8>) -> &'a [u8] {
        // SAFETY: the caller sees to it that the entry lives.
        unsafe { Self::view(raw) }.key()
    }

    #[inline]
    unsafe fn view<'a>(raw: NonNull<u8>) -> EntryRef<'a> {
        EntryRef {
            block: raw,
            life: PhantomData,
        }
    }

    #[inline]
    unsafe fn is_marked(raw: NonNull<u8>) -> bool {
        // SAFETY: the caller sees to it that the entry lives.
        unsafe { Self::view(raw) }.expire_ms().is_some()
    }
}
