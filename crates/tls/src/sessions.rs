//! Sessions that clients may resume, for a time.

use std::sync::Arc;
use std::time::Instant;

use rustls::server::{ServerSessionMemoryCache, StoresServerSessions};

/// A store where no limit is asked for is this big.
const MOST_SESSIONS: usize = 1 << 20;

/// A bounded store; before each session stands the second in which it was stored.
#[derive(Debug)]
pub(crate) struct Sessions {
    store: Arc<ServerSessionMemoryCache>,
    began: Instant,
    timeout_s: u64,
}

impl Sessions {
    /// Room for `size` sessions (0: as many as come), which count for `timeout_s`.
    pub(crate) fn new(size: usize, timeout_s: u64) -> Self {
        let size = if size == 0 { MOST_SESSIONS } else { size };
        Self {
            store: ServerSessionMemoryCache::new(size),
            began: Instant::now(),
            timeout_s,
        }
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_secs()
    }

    fn fresh(&self, stored: &[u8]) -> Option<Vec<u8>> {
        let (stamp, session) = stored.split_first_chunk::<8>()?;
        let age = self.now().saturating_sub(u64::from_le_bytes(*stamp));
        (age < self.timeout_s).then(|| session.to_vec())
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, session: Vec<u8>) -> bool {
        let stored = [&self.now().to_le_bytes()[..], &session].concat();
        self.store.put(key, stored)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.fresh(&self.store.get(key)?)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.fresh(&self.store.take(key)?)
    }

    fn can_cache(&self) -> bool {
        self.timeout_s > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_count_for_their_time() {
        let sessions = Sessions::new(0, 300);
        assert!(sessions.can_cache());
        assert!(sessions.put(b"a".to_vec(), b"session".to_vec()));
        assert_eq!(sessions.get(b"a").as_deref(), Some(&b"session"[..]));
        assert_eq!(sessions.take(b"a").as_deref(), Some(&b"session"[..]));
        assert_eq!(sessions.get(b"a"), None);
        let none = Sessions::new(10, 0);
        assert!(!none.can_cache());
        none.put(b"a".to_vec(), b"session".to_vec());
        assert_eq!(none.get(b"a"), None);
    }
}
