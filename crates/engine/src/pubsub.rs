//! Publish and subscribe, and keyspace notifications.

use std::collections::BTreeSet;

use cluster_bus::key_slot;
use commands::{Args, Done, Error, KeyEvent, Propagation};
use conf::KeyspaceEvents;
use resp::glob;

use crate::sessions::subscribers::Kind;
use crate::{ClientId, Engine};

impl Engine {
    /// Delivers a message to this server's subscribers; how many there were.
    pub(crate) fn publish_local(&mut self, channel: &[u8], message: &[u8]) -> usize {
        let mut receivers = self.deliver(Kind::Channel, channel, &[b"message", channel, message]);
        let matching = self.sessions.pubsub.patterns.keys();
        let matching: Vec<Box<[u8]>> = matching
            .filter(|pattern| glob::matches(pattern, channel))
            .cloned()
            .collect();
        for pattern in matching {
            let words = [b"pmessage", &pattern[..], channel, message];
            receivers += self.deliver(Kind::Pattern, &pattern, &words);
        }
        receivers
    }

    /// The same for a channel that belongs to a slot.
    pub(crate) fn publish_sharded(&mut self, channel: &[u8], message: &[u8]) -> usize {
        self.deliver(Kind::Sharded, channel, &[b"smessage", channel, message])
    }

    fn deliver(&mut self, kind: Kind, name: &[u8], words: &[&[u8]]) -> usize {
        let clients = kind.subscribers(&mut self.sessions.pubsub).get(name);
        let ids: Vec<ClientId> = clients.into_iter().flatten().copied().collect();
        let mut told = 0;
        for &id in &ids {
            let out = self.messages_of(id);
            let before = out.len();
            out.push(words.len());
            words.iter().for_each(|word| out.bulk(word));
            told += out.len() - before;
        }
        if kind == Kind::Sharded {
            self.note_message_usage(name, told);
        }
        ids.len()
    }

    /// Publishes one keyspace event under the names that `notify-keyspace-events` asks for.
    pub(crate) fn notify_key_event(&mut self, event: &KeyEvent) {
        let wanted = self.config.notify_keyspace_events;
        if wanted.contains(KeyspaceEvents::KEYSPACE) {
            let channel = [format!("__keyspace@{}__:", event.db).as_bytes(), &event.key].concat();
            self.publish_local(&channel, event.name.as_bytes());
        }
        if wanted.contains(KeyspaceEvents::KEYEVENT) {
            let channel = format!("__keyevent@{}__:{}", event.db, event.name);
            self.publish_local(channel.as_bytes(), &event.key);
        }
    }

    /// A client is gone, or RESET: it hears of nothing any more.
    pub(crate) fn forget_subscriptions(&mut self, id: ClientId) {
        let Some(mut all) = self.sessions.clients[id].subscriptions.take() else {
            return;
        };
        for kind in [Kind::Channel, Kind::Pattern, Kind::Sharded] {
            for name in std::mem::take(kind.names(&mut all)) {
                self.sessions.pubsub.leave(kind, id, &name);
            }
        }
    }

    /// The confirmation of one change: what happened, the name (nil if there was nothing to leave), subscriptions left. Sharded
    /// ones are counted apart.
    fn confirm(&mut self, id: ClientId, kind: Kind, word: &str, name: Option<&[u8]>) {
        let client = &mut self.sessions.clients[id];
        let all = client.subscriptions.as_deref();
        let count = all.map_or(0, |all| match kind {
            Kind::Sharded => all.sharded.len(),
            Kind::Channel | Kind::Pattern => all.channels.len() + all.patterns.len(),
        });
        client.out.push(3);
        client.out.bulk(word);
        match name {
            Some(name) => client.out.bulk(name),
            None => client.out.nil(),
        }
        client.out.count(count);
    }

    /// Slots may have gone elsewhere, and their channels with them: who listened here is told.
    pub(crate) fn leave_moved_channels(&mut self) {
        let Some(node) = &self.keeper.cluster else {
            return;
        };
        let channels = self.sessions.pubsub.sharded.iter();
        let moved: Vec<(Box<[u8]>, Vec<ClientId>)> = channels
            .filter(|(name, _)| !node.is_of_my_shard(key_slot(name)))
            .map(|(name, clients)| (name.clone(), clients.iter().copied().collect()))
            .collect();
        for (name, clients) in moved {
            for id in clients {
                self.wake(id);
                self.leave(id, Kind::Sharded, &[&name]);
            }
        }
    }

    fn join(&mut self, id: ClientId, kind: Kind, names: &[&[u8]]) {
        for &name in names {
            let all = self.sessions.clients[id]
                .subscriptions
                .get_or_insert_default();
            if kind.names(all).insert(name.into()) {
                let subscribers = kind.subscribers(&mut self.sessions.pubsub);
                subscribers.entry(name.into()).or_default().insert(id);
            }
            self.confirm(id, kind, kind.joined(), Some(name));
        }
    }

    /// Leaves what is named, or everything. Leaving everything while subscribed to nothing is confirmed too.
    fn leave(&mut self, id: ClientId, kind: Kind, names: &[&[u8]]) {
        let named: Vec<Box<[u8]>> = if names.is_empty() {
            let all = self.sessions.clients[id].subscriptions.as_deref_mut();
            all.map(|all| kind.names(all).iter().cloned().collect())
                .unwrap_or_default()
        } else {
            names.iter().map(|&name| name.into()).collect()
        };
        for name in &named {
            let all = self.sessions.clients[id].subscriptions.as_deref_mut();
            if all.is_some_and(|all| kind.names(all).remove(name)) {
                self.sessions.pubsub.leave(kind, id, name);
            }
            self.confirm(id, kind, kind.left(), Some(name));
        }
        if named.is_empty() {
            self.confirm(id, kind, kind.left(), None);
        }
        let client = &mut self.sessions.clients[id];
        if client.subscription_count() == 0 {
            client.subscriptions = None;
        }
    }
}

/// SUBSCRIBE channel …
pub(crate) fn subscribe(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    engine.join(id, Kind::Channel, &args[1..]);
    Ok(())
}

/// PSUBSCRIBE pattern …
pub(crate) fn psubscribe(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    engine.join(id, Kind::Pattern, &args[1..]);
    Ok(())
}

/// SSUBSCRIBE channel …
pub(crate) fn ssubscribe(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    if engine.journal.group.depth > 0 {
        return Err(Error::text(
            "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client",
        ));
    }
    engine.join(id, Kind::Sharded, &args[1..]);
    Ok(())
}

/// UNSUBSCRIBE [channel …]
pub(crate) fn unsubscribe(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    engine.leave(id, Kind::Channel, &args[1..]);
    Ok(())
}

/// PUNSUBSCRIBE [pattern …]
pub(crate) fn punsubscribe(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    engine.leave(id, Kind::Pattern, &args[1..]);
    Ok(())
}

/// SUNSUBSCRIBE [channel …]
pub(crate) fn sunsubscribe(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    engine.leave(id, Kind::Sharded, &args[1..]);
    Ok(())
}

/// PUBLISH channel message
pub(crate) fn publish(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let receivers = engine.publish_local(args[1], args[2]);
    if engine.keeper.cluster.is_some() {
        // The bus tells every node, replicas too: in the replication stream it would be heard twice.
        engine.publish_to_cluster(args[1], args[2], false);
    } else {
        engine.shard.effects.propagation = Propagation::Replicas;
    }
    engine.sessions.clients[id].out.count(receivers);
    Ok(())
}

/// SPUBLISH channel message
pub(crate) fn spublish(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let receivers = engine.publish_sharded(args[1], args[2]);
    if engine.keeper.cluster.is_some() {
        engine.publish_to_cluster(args[1], args[2], true);
    } else {
        engine.shard.effects.propagation = Propagation::Replicas;
    }
    engine.sessions.clients[id].out.count(receivers);
    Ok(())
}

/// PUBSUB CHANNELS [pattern]
pub(crate) fn channels(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    list(engine, id, Kind::Channel, args)
}

/// PUBSUB SHARDCHANNELS [pattern]
pub(crate) fn shardchannels(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    list(engine, id, Kind::Sharded, args)
}

fn list(engine: &mut Engine, id: ClientId, kind: Kind, args: Args<'_>) -> Done {
    if args.len() > 3 {
        return Err(Error::subcommand("PUBSUB", args[1]));
    }
    let pattern = args.get(2);
    let names = kind.subscribers(&mut engine.sessions.pubsub).keys();
    let names: Vec<Box<[u8]>> = names
        .filter(|name| pattern.is_none_or(|pattern| glob::matches(pattern, name)))
        .cloned()
        .collect();
    let out = &mut engine.sessions.clients[id].out;
    out.array(names.len());
    names.iter().for_each(|name| out.bulk(name));
    Ok(())
}

/// PUBSUB NUMSUB [channel …]
pub(crate) fn numsub(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    count(engine, id, Kind::Channel, args)
}

/// PUBSUB SHARDNUMSUB [channel …]
pub(crate) fn shardnumsub(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    count(engine, id, Kind::Sharded, args)
}

fn count(engine: &mut Engine, id: ClientId, kind: Kind, args: Args<'_>) -> Done {
    let subscribers = kind.subscribers(&mut engine.sessions.pubsub);
    let out = &mut engine.sessions.clients[id].out;
    out.array((args.len() - 2) * 2);
    for &channel in &args[2..] {
        out.bulk(channel);
        out.count(subscribers.get(channel).map_or(0, BTreeSet::len));
    }
    Ok(())
}

/// PUBSUB NUMPAT
pub(crate) fn numpat(engine: &mut Engine, id: ClientId, _: Args<'_>) -> Done {
    let count = engine.sessions.pubsub.patterns.len();
    engine.sessions.clients[id].out.count(count);
    Ok(())
}
