//! How much a test does. Miri takes some thousand times as long, so there everything is smaller; the sizes of its nodes and segments too
//! (`table/segment.rs`, `zset/tree.rs`), so that small collections have many. For the tests of this crate, those beside `src` included.

use proptest::prelude::ProptestConfig;

/// `native`, or `miri` where Miri runs the test.
pub(crate) const fn amount<T: Copy>(native: T, miri: T) -> T {
    if cfg!(miri) { miri } else { native }
}

/// So many cases of a property. None is written down: a failure prints what it needs to be repeated.
pub(crate) fn cases(native: u32, miri: u32) -> ProptestConfig {
    ProptestConfig {
        cases: amount(native, miri),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
