//! What both compressors remember of an input: where a sequence was last seen. Which sequences, and what is made of it, is theirs.

/// A table of places for one input after the other. It is never cleared between them: places are counted from the first byte that the
/// table ever saw, so that what an earlier input left behind is known by its count.
pub(crate) struct Seen<const SLOTS: usize> {
    /// There is none before the first input: to clear it takes longer than to write a small value that needs no compression.
    places: Option<Box<[u32; SLOTS]>>,
    /// The count at which the next input starts.
    next: u32,
}

/// The table while one input is packed.
pub(crate) struct Places<'a, const SLOTS: usize> {
    places: &'a mut [u32; SLOTS],
    /// The count at which the input starts.
    base: u32,
}

impl<const SLOTS: usize> Seen<SLOTS> {
    pub(crate) fn new() -> Self {
        Self {
            places: None,
            next: 1,
        }
    }

    /// The memory of the table, bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.places.as_deref().map_or(0, size_of_val)
    }

    /// The table for an input of `len` bytes; `None` where so many cannot be counted.
    pub(crate) fn begin(&mut self, len: usize) -> Option<Places<'_, SLOTS>> {
        let len = u32::try_from(len).ok()?;
        let places = self.places.get_or_insert_with(|| {
            let zeros = vec![0; SLOTS].into_boxed_slice();
            zeros.try_into().unwrap_or_else(|_| Box::new([0; SLOTS]))
        });
        if self.next.checked_add(len).is_none() {
            places.fill(0);
            self.next = 1;
        }
        let base = self.next;
        self.next = base.checked_add(len)?;
        Some(Places { places, base })
    }
}

impl<const SLOTS: usize> Places<'_, SLOTS> {
    /// Enters `at`, a place within the input, into a slot; the place of this input that was there.
    #[inline]
    pub(crate) fn swap(&mut self, slot: usize, at: usize) -> Option<usize> {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "places fit: the input's length does"
        )]
        let place = self.base + at as u32;
        let before = std::mem::replace(&mut self.places[slot % SLOTS], place);
        Some(before.checked_sub(self.base)? as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_input_left_is_not_found() {
        let mut seen = Seen::<8>::new();
        let mut places = seen.begin(5).unwrap();
        assert_eq!(places.swap(3, 0), None);
        assert_eq!(places.swap(3, 4), Some(0));
        assert_eq!(places.swap(3, 4), Some(4));
        let mut places = seen.begin(5).unwrap();
        assert_eq!(places.swap(3, 0), None);
        assert_eq!(places.swap(3, 1), Some(0));
    }

    #[test]
    fn the_count_starts_again_before_it_overflows() {
        let mut seen = Seen::<8>::new();
        assert_eq!(seen.begin(7).unwrap().swap(3, 6), None);
        seen.next = u32::MAX - 10;
        assert_eq!(seen.begin(100).unwrap().swap(3, 5), None);
        assert_eq!(seen.next, 101);
        assert!(seen.begin(usize::MAX).is_none());
        assert!(seen.begin(u32::MAX as usize).is_none());
        assert!(seen.begin(1).is_some());
    }
}
