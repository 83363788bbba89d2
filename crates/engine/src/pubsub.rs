//! Publish and subscribe, and keyspace notifications.

use std::collections::{BTreeMap, BTreeSet};

use commands::{Args, Done, Error, KeyEvent, Propagation};
use conf::KeyspaceEvents;
use resp::Reply;
use resp::glob;

use crate::client::Subscriptions;
use crate::sessions::Sessions;
use crate::{ClientId, Engine};

/// Who listens to what.
#[derive(Debug, Default)]
pub(crate) struct PubSub {
    pub(crate) channels: BTreeMap<Box<[u8]>, BTreeSet<ClientId>>,
    /// In the order of subscription, which is the order of delivery.
    pub(crate) patterns: Vec<(Box<[u8]>, ClientId)>,
}

impl Engine {
    /// Delivers a message to this server's subscribers; how many there were.
    pub(crate) fn publish_local(&mut self, channel: &[u8], message: &[u8]) -> usize {
        let mut receivers = 0;
        if let Some(clients) = self.sessions.pubsub.channels.get(channel) {
            let ids: Vec<ClientId> = clients.iter().copied().collect();
            for id in ids {
                let out = self.output_of(id);
                out.array(3);
                out.bulk(b"message");
                out.bulk(channel);
                out.bulk(message);
                receivers += 1;
            }
        }
        for index in 0..self.sessions.pubsub.patterns.len() {
            let (pattern, id) = &self.sessions.pubsub.patterns[index];
            if !glob::matches(pattern, channel) {
                continue;
            }
            let (pattern, id) = (pattern.clone(), *id);
            let out = self.output_of(id);
            out.array(4);
            out.bulk(b"pmessage");
            out.bulk(&pattern);
            out.bulk(channel);
            out.bulk(message);
            receivers += 1;
        }
        receivers
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

    /// Ends all subscriptions of a client that goes away.
    pub(crate) fn forget_subscriptions(&mut self, id: ClientId) {
        let Some(all) = self.sessions.clients[id].subscriptions.take() else {
            return;
        };
        for channel in all.channels {
            self.drop_channel(id, &channel);
        }
        if !all.patterns.is_empty() {
            self.sessions
                .pubsub
                .patterns
                .retain(|(_, subscriber)| *subscriber != id);
        }
    }

    fn drop_channel(&mut self, id: ClientId, channel: &[u8]) {
        if let Some(clients) = self.sessions.pubsub.channels.get_mut(channel) {
            clients.remove(&id);
            if clients.is_empty() {
                self.sessions.pubsub.channels.remove(channel);
            }
        }
    }

    fn drop_pattern(&mut self, id: ClientId, pattern: &[u8]) {
        self.sessions
            .pubsub
            .patterns
            .retain(|(known, subscriber)| *subscriber != id || **known != *pattern);
    }

    /// The confirmation of one change: kind, name (nil where there was nothing to leave), subscriptions left.
    fn confirm(&mut self, id: ClientId, kind: &str, name: Option<&[u8]>) {
        let client = &mut self.sessions.clients[id];
        let count = client.subscription_count();
        client.out.array(3);
        client.out.bulk(kind.as_bytes());
        match name {
            Some(name) => client.out.bulk(name),
            None => client.out.nil(),
        }
        client.out.count(count);
    }
}

/// SUBSCRIBE channel …
pub(crate) fn subscribe(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    for &channel in &args[1..] {
        let all = engine.sessions.clients[id]
            .subscriptions
            .get_or_insert_default();
        if all.channels.insert(channel.into()) {
            engine
                .sessions
                .pubsub
                .channels
                .entry(channel.into())
                .or_default()
                .insert(id);
        }
        engine.confirm(id, "subscribe", Some(channel));
    }
    Ok(())
}

/// PSUBSCRIBE pattern …
pub(crate) fn psubscribe(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    for &pattern in &args[1..] {
        let all = engine.sessions.clients[id]
            .subscriptions
            .get_or_insert_default();
        if all.patterns.insert(pattern.into()) {
            engine.sessions.pubsub.patterns.push((pattern.into(), id));
        }
        engine.confirm(id, "psubscribe", Some(pattern));
    }
    Ok(())
}

/// UNSUBSCRIBE [channel …]
pub(crate) fn unsubscribe(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let all = engine.sessions.clients[id].subscriptions.as_deref();
    let all = all.into_iter().flat_map(|all| &all.channels);
    let named = named_or(args, all);
    leave(
        engine,
        id,
        &named,
        "unsubscribe",
        |all| &mut all.channels,
        Engine::drop_channel,
    );
    Ok(())
}

/// PUNSUBSCRIBE [pattern …]
pub(crate) fn punsubscribe(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    // In the order of subscription.
    let all = engine.sessions.pubsub.patterns.iter();
    let all = all.filter(|(_, subscriber)| *subscriber == id);
    let named = named_or(args, all.map(|(pattern, _)| pattern));
    leave(
        engine,
        id,
        &named,
        "punsubscribe",
        |all| &mut all.patterns,
        Engine::drop_pattern,
    );
    Ok(())
}

/// What a request names, or everything.
fn named_or<'a>(args: Args<'_>, all: impl Iterator<Item = &'a Box<[u8]>>) -> Vec<Box<[u8]>> {
    if args.len() > 1 {
        args[1..].iter().map(|&name| name.into()).collect()
    } else {
        all.cloned().collect()
    }
}

/// Leaves what is named in the set that `of` picks; `forget` takes the client off the other side's list. Leaving everything while
/// subscribed to nothing is confirmed too.
fn leave(
    engine: &mut Engine,
    id: ClientId,
    named: &[Box<[u8]>],
    kind: &str,
    of: fn(&mut Subscriptions) -> &mut BTreeSet<Box<[u8]>>,
    forget: fn(&mut Engine, ClientId, &[u8]),
) {
    for name in named {
        let all = engine.sessions.clients[id].subscriptions.as_deref_mut();
        if all.is_some_and(|all| of(all).remove(name)) {
            forget(engine, id, name);
        }
        engine.confirm(id, kind, Some(name));
    }
    if named.is_empty() {
        engine.confirm(id, kind, None);
    }
    if engine.sessions.clients[id].subscription_count() == 0 {
        engine.sessions.clients[id].subscriptions = None;
    }
}

/// PUBLISH channel message
pub(crate) fn publish(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let receivers = engine.publish_local(args[1], args[2]);
    if engine.keeper.cluster.is_some() {
        // The bus tells every node, replicas too: in the replication stream it would be heard twice.
        engine.publish_to_cluster(args[1], args[2]);
    } else {
        engine.shard.effects.propagation = Propagation::Replicas;
    }
    engine.sessions.clients[id].out.count(receivers);
    Ok(())
}

/// PUBSUB CHANNELS [pattern] | NUMSUB [channel …] | NUMPAT
pub(crate) fn pubsub(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let Sessions {
        pubsub, clients, ..
    } = &mut engine.sessions;
    let out: &mut Reply = &mut clients[id].out;
    let word = args[1];
    if word.eq_ignore_ascii_case(b"channels") && args.len() <= 3 {
        let wanted = |name: &[u8]| {
            args.get(2)
                .is_none_or(|pattern| glob::matches(pattern, name))
        };
        let names: Vec<&Box<[u8]>> = pubsub.channels.keys().filter(|name| wanted(name)).collect();
        out.array(names.len());
        names.into_iter().for_each(|name| out.bulk(name));
    } else if word.eq_ignore_ascii_case(b"numsub") {
        out.array((args.len() - 2) * 2);
        for &channel in &args[2..] {
            out.bulk(channel);
            out.count(pubsub.channels.get(channel).map_or(0, BTreeSet::len));
        }
    } else if word.eq_ignore_ascii_case(b"numpat") && args.len() == 2 {
        out.count(pubsub.patterns.len());
    } else {
        return Err(Error::quoting(
            "ERR Unknown PUBSUB subcommand or wrong number of arguments for '",
            word,
            "'",
        ));
    }
    Ok(())
}
