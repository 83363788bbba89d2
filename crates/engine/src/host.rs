//! What the engine asks of the world and needs an answer to at once.

use std::fmt;
use std::time::Duration;

/// The world, as the engine sees it. The server's shell implements it on a real machine, the simulator on a made-up one.
///
/// Everything here is synchronous: the engine's turn waits for it. What may take long and needs no answer within the turn is
/// an [`crate::Action`] instead.
pub trait Host: fmt::Debug {
    /// Microseconds on a clock that never goes back. Measures commands; decides nothing.
    fn mono_us(&self) -> u64;

    /// Blocks everything for a while (DEBUG SLEEP).
    fn sleep(&mut self, time: Duration);

    /// Bytes that the allocator has handed out.
    fn memory_used(&self) -> usize;

    /// Frees values on another thread.
    fn free_later(&mut self, garbage: Vec<Box<dyn Send>>);
}
