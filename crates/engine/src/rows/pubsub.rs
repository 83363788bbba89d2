//! Rows of the group "pubsub" that know more than data.

use commands::table::{Group, Row, row};

use crate::index::EngineFn;
use crate::pubsub;

pub(super) static ROWS: &[Row<EngineFn>] = &[
    row(
        "psubscribe",
        -2,
        "pubsub noscript loading stale",
        Group::PubSub,
    )
    .traits("in_subscribed")
    .args("pattern:pattern*")
    .about("2.0.0", "Subscribes to channels by pattern")
    .run(pubsub::psubscribe),
    row("publish", 3, "pubsub loading stale fast", Group::PubSub)
        .traits("replayed")
        .args("channel message")
        .about("2.0.0", "Sends a message to a channel")
        .run(pubsub::publish),
    row("pubsub", -2, "", Group::PubSub)
        .categories("")
        .about("2.8.0", "Describes channels and subscribers")
        .subs(&[
            row("pubsub|channels", -2, "pubsub loading stale", Group::PubSub)
                .args("pattern:pattern?")
                .about("2.8.0", "Lists the channels with subscribers")
                .run(pubsub::pubsub),
            row("pubsub|help", 2, "loading stale", Group::PubSub)
                .categories("")
                .about("6.2.0", "Describes the subcommands"),
            row("pubsub|numpat", 2, "pubsub loading stale", Group::PubSub)
                .about("2.8.0", "Counts the patterns with subscribers")
                .run(pubsub::pubsub),
            row("pubsub|numsub", -2, "pubsub loading stale", Group::PubSub)
                .args("channel?*")
                .about("2.8.0", "Counts the subscribers of channels")
                .run(pubsub::pubsub),
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
    .run(pubsub::punsubscribe),
    row(
        "subscribe",
        -2,
        "pubsub noscript loading stale",
        Group::PubSub,
    )
    .traits("in_subscribed")
    .args("channel*")
    .about("2.0.0", "Subscribes to channels")
    .run(pubsub::subscribe),
    row(
        "unsubscribe",
        -1,
        "pubsub noscript loading stale",
        Group::PubSub,
    )
    .traits("in_subscribed")
    .args("channel?*")
    .about("2.0.0", "Ends subscriptions to channels")
    .run(pubsub::unsubscribe),
];
