//! An allocator whose smallest classes lie 8 bytes apart, made to keep its promises about alignment.

#![expect(unsafe_code, reason = "GlobalAlloc is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout};

/// Wraps an allocator that aligns a block only as far as its size is a multiple: jemalloc with a quantum of 8 bytes gives 24 bytes
/// aligned to 8. Where 16 are asked for, the size is rounded up to a multiple of 16, and such blocks are aligned to 16.
#[derive(Debug)]
pub struct Aligned<A>(pub A);

/// The layout that is asked of the inner allocator. It depends on `layout` alone, so that freeing says what allocating said.
fn inner(layout: Layout) -> Layout {
    if layout.align() == 16 {
        layout.pad_to_align()
    } else {
        layout
    }
}

// SAFETY: every call goes to the inner allocator with a layout of at least the size and the same alignment, which is the same for a block's
// allocation and its release, because it depends on the caller's layout alone.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Aligned<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises hold for the padded layout too.
        unsafe { self.0.alloc(inner(layout)) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { self.0.alloc_zeroed(inner(layout)) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block came from a call with the same padded layout.
        unsafe { self.0.dealloc(block, inner(layout)) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let new_size = if layout.align() == 16 {
            new_size.next_multiple_of(16)
        } else {
            new_size
        };
        // SAFETY: as above; the caller has checked that `new_size`, rounded up to the alignment, does not overflow.
        unsafe { self.0.realloc(block, inner(layout), new_size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::System;

    #[test]
    fn sizes_are_rounded_up_only_for_an_alignment_of_sixteen() {
        let layout = |size, align| Layout::from_size_align(size, align).unwrap();
        assert_eq!(inner(layout(24, 16)), layout(32, 16));
        assert_eq!(inner(layout(32, 16)), layout(32, 16));
        assert_eq!(inner(layout(24, 8)), layout(24, 8));
        assert_eq!(inner(layout(24, 64)), layout(24, 64));
    }

    #[test]
    fn blocks_are_kept_through_growth() {
        let allocator = Aligned(System);
        let layout = Layout::from_size_align(24, 16).unwrap();
        // SAFETY: the layout has a size, and the block is released with the layout of its last reallocation.
        unsafe {
            let block = allocator.alloc_zeroed(layout);
            block.write(7);
            let block = allocator.realloc(block, layout, 40);
            assert_eq!((block.read(), block.addr() % 16), (7, 0));
            allocator.dealloc(block, Layout::from_size_align(40, 16).unwrap());
        }
    }
}
