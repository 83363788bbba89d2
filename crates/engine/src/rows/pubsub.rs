//! Rows of the group "pubsub" that know more than data.

use commands::table::{Channels, Group, Row, index, key, range, row};

use crate::entry::EngineFn;
use crate::pubsub;

pub(super) static ROWS: &[Row<EngineFn>] = &[
    row(
        "psubscribe",
        -2,
        "pubsub noscript loading stale",
        Group::PubSub,
    )
    .channels(Channels::Patterns)
    .traits("in_subscribed")
    .args("pattern:pattern*")
    .about("2.0.0", "Subscribes to channels by pattern")
    .costs("O(N), N the patterns given")
    .run(pubsub::psubscribe),
    row("publish", 3, "pubsub loading stale fast", Group::PubSub)
        .channels(Channels::Published)
        .traits("replayed may_replicate")
        .args("channel message")
        .about("2.0.0", "Sends a message to a channel")
        .costs("O(N+M), N the subscribers of the channel, M the patterns subscribed to")
        .run(pubsub::publish),
    row("pubsub", -2, "", Group::PubSub)
        .categories("")
        .about("2.8.0", "Describes channels and subscribers")
        .subs(&[
            row("pubsub|channels", -2, "pubsub loading stale", Group::PubSub)
                .args("pattern:pattern?")
                .about("2.8.0", "Lists the channels with subscribers")
                .costs("O(N), N the channels")
                .run(pubsub::channels),
            row("pubsub|help", 2, "loading stale", Group::PubSub)
                .categories("")
                .about("6.2.0", "Describes the subcommands")
                .costs("O(1)"),
            row("pubsub|numpat", 2, "pubsub loading stale", Group::PubSub)
                .about("2.8.0", "Counts the patterns with subscribers")
                .costs("O(1)")
                .run(pubsub::numpat),
            row("pubsub|numsub", -2, "pubsub loading stale", Group::PubSub)
                .args("channel?*")
                .about("2.8.0", "Counts the subscribers of channels")
                .costs("O(N), N the channels given")
                .run(pubsub::numsub),
            row(
                "pubsub|shardchannels",
                -2,
                "pubsub loading stale",
                Group::PubSub,
            )
            .args("pattern:pattern?")
            .about("7.0.0", "Lists the sharded channels with subscribers")
            .costs("O(N), N the sharded channels")
            .run(pubsub::shardchannels),
            row(
                "pubsub|shardnumsub",
                -2,
                "pubsub loading stale",
                Group::PubSub,
            )
            .args("shardchannel?*")
            .about("7.0.0", "Counts the subscribers of sharded channels")
            .costs("O(N), N the channels given")
            .run(pubsub::shardnumsub),
        ]),
    row(
        "punsubscribe",
        -1,
        "pubsub noscript loading stale",
        Group::PubSub,
    )
    .traits("in_subscribed")
    .args("pattern:pattern?*")
    .about("2.0.0", "Ends subscriptions by pattern")
    .costs("O(N), N the patterns given")
    .run(pubsub::punsubscribe),
    row("spublish", 3, "pubsub loading stale fast", Group::PubSub)
        .channels(Channels::Published)
        .keys(&[key("not_key", index(1), range(0, 1, 0))])
        .traits("replayed may_replicate")
        .args("shardchannel message")
        .about("7.0.0", "Sends a message to a sharded channel")
        .costs("O(N), N the subscribers of the channel")
        .run(pubsub::spublish),
    row(
        "ssubscribe",
        -2,
        "pubsub noscript loading stale",
        Group::PubSub,
    )
    .channels(Channels::Subscribed)
    .keys(&[key("not_key", index(1), range(-1, 1, 0))])
    .traits("in_subscribed")
    .args("shardchannel*")
    .about("7.0.0", "Subscribes to sharded channels")
    .costs("O(N), N the channels given")
    .run(pubsub::ssubscribe),
    row(
        "subscribe",
        -2,
        "pubsub noscript loading stale",
        Group::PubSub,
    )
    .channels(Channels::Subscribed)
    .traits("in_subscribed")
    .args("channel*")
    .about("2.0.0", "Subscribes to channels")
    .costs("O(N), N the channels given")
    .run(pubsub::subscribe),
    row(
        "sunsubscribe",
        -1,
        "pubsub noscript loading stale",
        Group::PubSub,
    )
    .keys(&[key("not_key", index(1), range(-1, 1, 0))])
    .traits("in_subscribed")
    .args("shardchannel?*")
    .about("7.0.0", "Ends subscriptions to sharded channels")
    .costs("O(N), N the channels given")
    .run(pubsub::sunsubscribe),
    row(
        "unsubscribe",
        -1,
        "pubsub noscript loading stale",
        Group::PubSub,
    )
    .traits("in_subscribed")
    .args("channel?*")
    .about("2.0.0", "Ends subscriptions to channels")
    .costs("O(N), N the channels given")
    .run(pubsub::unsubscribe),
];
