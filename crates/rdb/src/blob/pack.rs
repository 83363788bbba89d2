//! What the compact forms have in common.

/// A compact form being written.
pub trait Pack {
    /// Appends a string; as an integer where its bytes are one's shortest decimal form.
    fn push(&mut self, text: &[u8]);

    /// Appends a score, in the text that Redis gives it.
    fn push_score(&mut self, score: f64);
}

/// A rule of a compact form that is broken.
pub(crate) type Fault = &'static str;

/// The end mark of all forms that have one.
pub(super) const END: u8 = 255;

/// A number of `N` bytes, lowest first, at `at`.
pub(super) fn little_endian<const N: usize>(blob: &[u8], at: usize) -> Option<[u8; N]> {
    blob.get(at..)?.first_chunk().copied()
}
