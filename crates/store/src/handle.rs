//! [`Handle`]: the eight bytes of a collection, which own either one compact block or one large structure. Which of the two it
//! is stands in the lowest bit of the pointer.

#![expect(unsafe_code, reason = "a tagged pointer")]

use std::marker::PhantomData;
use std::ptr;

use crate::thin::Thin;

const LARGE: usize = 1;

/// Owns a [`Thin`] or a boxed `L`.
#[repr(transparent)]
pub(crate) struct Handle<L> {
    /// A [`Thin`], bit by bit, where the lowest bit is clear; otherwise the pointer of a `Box<L>` plus one.
    raw: *mut u8,
    owns: PhantomData<Box<L>>,
}

/// A [`Handle`], seen.
pub(crate) enum See<'a, L> {
    Small(&'a Thin),
    Large(&'a L),
}

/// A [`Handle`], to be changed.
pub(crate) enum SeeMut<'a, L> {
    Small(&'a mut Thin),
    Large(&'a mut L),
}

// SAFETY: a handle owns what it points to, alone; a `Thin` is Send.
unsafe impl<L: Send> Send for Handle<L> {}
// SAFETY: shared access to a handle gives shared access to its block only; a `Thin` is Sync.
unsafe impl<L: Sync> Sync for Handle<L> {}

impl<L> Handle<L> {
    /// An empty compact block, which needs no memory.
    pub(crate) const fn new() -> Self {
        const { assert!(align_of::<L>() > LARGE && size_of::<L>() > 0) };
        Self {
            raw: ptr::null_mut(),
            owns: PhantomData,
        }
    }

    pub(crate) fn is_large(&self) -> bool {
        self.raw.addr() & LARGE != 0
    }

    pub(crate) fn see(&self) -> See<'_, L> {
        if self.is_large() {
            // SAFETY: a pointer with the bit set came from `Box::into_raw` and is owned by this handle.
            See::Large(unsafe { &*self.large() })
        } else {
            // SAFETY: with the bit clear the field is a valid `Thin`, which is a transparent pointer.
            See::Small(unsafe { &*(&raw const self.raw).cast::<Thin>() })
        }
    }

    pub(crate) fn see_mut(&mut self) -> SeeMut<'_, L> {
        if self.is_large() {
            // SAFETY: as in `see`; `&mut self` makes the access unique.
            SeeMut::Large(unsafe { &mut *self.large() })
        } else {
            // SAFETY: as in `see`; a `Thin` never sets the bit, since its blocks are aligned to eight bytes.
            SeeMut::Small(unsafe { &mut *(&raw mut self.raw).cast::<Thin>() })
        }
    }

    /// A handle that owns `thin`.
    pub(crate) fn from_small(thin: Thin) -> Self {
        let mut handle = Self::new();
        if let SeeMut::Small(empty) = handle.see_mut() {
            *empty = thin;
        }
        handle
    }

    /// A handle that owns `large`.
    pub(crate) fn from_large(large: Box<L>) -> Self {
        Self {
            raw: Box::into_raw(large)
                .cast::<u8>()
                .map_addr(|address| address | LARGE),
            owns: PhantomData,
        }
    }

    fn large(&self) -> *mut L {
        self.raw.map_addr(|address| address & !LARGE).cast::<L>()
    }
}

impl<L: Clone> Clone for Handle<L> {
    fn clone(&self) -> Self {
        match self.see() {
            See::Small(thin) => Self::from_small(thin.clone()),
            See::Large(large) => Self::from_large(Box::new(large.clone())),
        }
    }
}

impl<L> Default for Handle<L> {
    fn default() -> Self {
        Self::new()
    }
}

impl<L> Drop for Handle<L> {
    fn drop(&mut self) {
        if self.is_large() {
            // SAFETY: the pointer came from `Box::into_raw`, and the handle is not used again.
            drop(unsafe { Box::from_raw(self.large()) });
        } else if let SeeMut::Small(thin) = self.see_mut() {
            *thin = Thin::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collections_are_eight_bytes_and_go_anywhere() {
        fn goes<T: Send + Sync + 'static>() -> usize {
            size_of::<T>()
        }
        let sizes = [
            goes::<crate::List>(),
            goes::<crate::Set>(),
            goes::<crate::Zset>(),
            goes::<crate::hash::Plain>(),
        ];
        assert_eq!(sizes, [8; 4]);
    }

    #[test]
    fn owns_either() {
        let mut handle = Handle::<Vec<u8>>::new();
        assert_eq!(size_of_val(&handle), 8);
        if let SeeMut::Small(thin) = handle.see_mut() {
            thin.splice(0, 0, &[b"abc"], 1);
        }
        assert!(matches!(handle.see(), See::Small(thin) if thin.bytes() == b"abc"));
        handle = Handle::from_large(Box::new(vec![1, 2]));
        if let SeeMut::Large(large) = handle.see_mut() {
            large.push(3);
        }
        assert!(matches!(handle.see(), See::Large(large) if *large == [1, 2, 3]));
        let moved = std::thread::spawn(move || handle.is_large()).join();
        assert!(moved.unwrap());
    }
}
