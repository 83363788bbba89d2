//! The clients as an operator sees them: the line of CLIENT LIST.

use std::fmt::Write as _;

use crate::client::Waiting;
use crate::{ClientId, Engine};

impl Engine {
    /// A client's line, without its end.
    pub(crate) fn client_line(&self, id: ClientId) -> String {
        let Some(client) = self.clients.get(id.0) else {
            return String::new();
        };
        let now_ms = self.now.unix_ms();
        let mut flags = String::new();
        let marks = [
            (client.flags.replica && client.flags.monitor, 'O'),
            (client.flags.replica && !client.flags.monitor, 'S'),
            (client.flags.master, 'M'),
            (client.multi.is_some(), 'x'),
            (
                matches!(client.waiting, Waiting::Lists(_) | Waiting::Replicas { .. }),
                'b',
            ),
            (client.watch_broken, 'd'),
            (client.flags.closing, 'c'),
            (client.subscriptions.is_some(), 'P'),
            (client.peer.unix, 'U'),
            (client.flags.readonly, 'r'),
        ];
        flags.extend(marks.iter().filter(|(set, _)| *set).map(|(_, mark)| mark));
        if flags.is_empty() {
            flags.push('N');
        }
        let name = client
            .name
            .as_deref()
            .map(String::from_utf8_lossy)
            .unwrap_or_default();
        let (channels, patterns) = client
            .subscriptions
            .as_ref()
            .map_or((0, 0), |all| (all.channels.len(), all.patterns.len()));
        let multi = client.multi.as_ref().map_or(-1, |multi| {
            i64::try_from(multi.queue.len()).unwrap_or(i64::MAX)
        });
        let mut line = String::new();
        // Writing to a string does not fail.
        let _ = write!(
            line,
            "id={} addr={} fd={} name={name} age={} idle={} flags={flags} db={} sub={channels} psub={patterns} multi={multi} \
             qbuf={} qbuf-free={} obl={} oll=0 omem={} events={} cmd={}",
            client.serial,
            client.peer.addr,
            client.peer.fd,
            now_ms.saturating_sub(client.since_ms) / 1000,
            now_ms.saturating_sub(client.active_ms) / 1000,
            client.db,
            client.pending.len(),
            client.pending.capacity() - client.pending.len(),
            client.out.len(),
            client.out.memory(),
            if client.out.is_empty() { "r" } else { "rw" },
            client.last_command,
        );
        line
    }
}
