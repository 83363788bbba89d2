//! `maxmemory-clients`: where clients together take too much memory, the biggest of them have to go.

use crate::sessions::client::Client;
use crate::{ClientId, Engine};

impl Client {
    /// What it counts for.
    fn counted_bytes(&self) -> usize {
        let replica = self.flags.replica && !self.flags.monitor;
        if replica
            || self.flags.master
            || self.flags.imports
            || self.flags.internal
            || self.flags.closing
        {
            0
        } else {
            self.memory()
        }
    }
}

impl Engine {
    /// The limit in bytes, where there is one, but never so low that nobody could set it right again. A percentage is one of
    /// `maxmemory`.
    fn client_memory_limit(&self) -> Option<usize> {
        const LEAST: usize = 128 << 10;
        let limit = match u64::try_from(self.config.maxmemory_clients) {
            Ok(bytes) => bytes,
            Err(_) => {
                let percent = self.config.maxmemory_clients.unsigned_abs();
                let bytes = u128::from(self.config.maxmemory) * u128::from(percent) / 100;
                u64::try_from(bytes).unwrap_or(u64::MAX)
            }
        };
        (limit > 0).then(|| usize::try_from(limit).unwrap_or(usize::MAX).max(LEAST))
    }

    /// A client may have grown: it, or a bigger one, has to go if all of them are too big now.
    pub(crate) fn count_client(&mut self, id: ClientId) {
        if self.config.maxmemory_clients == 0 {
            return;
        }
        let Some(client) = self.sessions.clients.get_mut(id) else {
            return;
        };
        let bytes = client.counted_bytes();
        let before = std::mem::replace(&mut client.buffers.counted, bytes);
        let all = &mut self.sessions.client_bytes;
        *all = all.saturating_sub(before).saturating_add(bytes);
        if self
            .client_memory_limit()
            .is_some_and(|limit| self.sessions.client_bytes > limit)
        {
            self.evict_clients();
        }
    }

    /// Counts all clients anew, and closes the biggest until the others are within the limit. Part of each tick, too.
    pub(crate) fn evict_clients(&mut self) {
        let Some(limit) = self.client_memory_limit() else {
            return;
        };
        let ids: Vec<ClientId> = self.sessions.clients.iter().map(|(id, _)| id).collect();
        let mut all = 0_usize;
        let mut sizes = Vec::new();
        for id in ids {
            let client = &mut self.sessions.clients[id];
            client.buffers.counted = client.counted_bytes();
            all = all.saturating_add(client.buffers.counted);
            if client.buffers.counted > 0 && !client.flags.no_evict && !client.flags.admin {
                sizes.push((client.buffers.counted, id));
            }
        }
        self.sessions.client_bytes = all;
        if all <= limit {
            return;
        }
        sizes.sort_unstable();
        while let Some((bytes, id)) = sizes.pop().filter(|_| self.sessions.client_bytes > limit) {
            let line = self.client_line(id);
            tracing::info!("Evicting client: {line}");
            self.meter.stats.removed.evicted_clients += 1;
            self.sessions.client_bytes -= bytes;
            self.sessions.clients[id].buffers.counted = 0;
            self.close_now(id);
        }
    }
}
