//! Rows of the group "cluster" that know more than data.

use commands::table::{Databases, Group, Row, index, key, range, row};

use crate::entry::EngineFn;
use crate::{cluster, slot_migration};

pub(super) static ROWS: &[Row<EngineFn>] = &[
    row("asking", 1, "fast", Group::Cluster)
        .categories("connection")
        .traits("keeps_asking")
        .about(
            "3.0.0",
            "Lets the next command reach a slot that is being imported",
        ).costs("O(1)")
        .run(cluster::asking),
    row("cluster", -2, "", Group::Cluster)
        .about(
            "3.0.0",
            "Shows and changes the cluster as this node sees it",
        )
        .subs(&[
            row(
                "cluster|addslots",
                -3,
                "admin stale no_async_loading",
                Group::Cluster,
            )
            .args("slot:int*")
            .about("3.0.0", "Assigns slots to this node").costs("O(N), N the slots given")
            .run(cluster::cluster),
            row(
                "cluster|addslotsrange",
                -4,
                "admin stale no_async_loading",
                Group::Cluster,
            )
            .args("range(start-slot:int end-slot:int)*")
            .about("7.0.0", "Assigns ranges of slots to this node").costs("O(N), N the slots in the ranges")
            .run(cluster::cluster),
            row(
                "cluster|bumpepoch",
                2,
                "admin stale no_async_loading",
                Group::Cluster,
            )
            .tips(&["nondeterministic_output"])
            .about("3.0.0", "Takes a new configuration epoch").costs("O(1)")
            .run(cluster::cluster),
            row(
                "cluster|cancelslotmigrations",
                2,
                "admin stale no_async_loading",
                Group::Cluster,
            )
            .databases(Databases::All)
            .about("9.0.0", "Ends all migrations of whole slots from this node").costs("O(N), N the migrations that are cancelled")
            .run(slot_migration::cancel),
            row(
                "cluster|count-failure-reports",
                3,
                "admin stale",
                Group::Cluster,
            )
            .tips(&["nondeterministic_output"])
            .args("node-id")
            .about("3.0.0", "Counts the nodes that report a node as failing").costs("O(N), N the reports")
            .run(cluster::cluster),
            row("cluster|countkeysinslot", 3, "stale", Group::Cluster)
                .args("slot:int")
                .about("3.0.0", "Counts the keys in a slot").costs("O(1)")
                .run(cluster::cluster),
            row(
                "cluster|delslots",
                -3,
                "admin stale no_async_loading",
                Group::Cluster,
            )
            .args("slot:int*")
            .about("3.0.0", "Takes slots from this node's map").costs("O(N), N the slots given")
            .run(cluster::cluster),
            row(
                "cluster|delslotsrange",
                -4,
                "admin stale no_async_loading",
                Group::Cluster,
            )
            .args("range(start-slot:int end-slot:int)*")
            .about("7.0.0", "Takes ranges of slots from this node's map").costs("O(N), N the slots in the ranges")
            .run(cluster::cluster),
            row(
                "cluster|failover",
                -2,
                "admin stale no_async_loading",
                Group::Cluster,
            )
            .traits("from_master")
            .args("options{force:token=FORCE takeover:token=TAKEOVER}?")
            .about("3.0.0", "Makes this replica the primary of its shard").costs("O(1)")
            .run(cluster::cluster),
            row(
                "cluster|flushslot",
                -3,
                "admin write no_async_loading",
                Group::Cluster,
            )
            .categories("keyspace")
            .args("slot:int flush-type{async:token=ASYNC sync:token=SYNC}?")
            .databases(Databases::All)
            .traits("from_master replayed")
            .about("9.0.0", "Deletes the keys of a slot").costs("O(N), N the keys of the slot")
            .run(cluster::cluster),
            row(
                "cluster|flushslots",
                2,
                "admin stale no_async_loading",
                Group::Cluster,
            )
            .about("3.0.0", "Takes all slots from this node's map").costs("O(1)")
            .run(cluster::cluster),
            row(
                "cluster|forget",
                3,
                "admin stale no_async_loading",
                Group::Cluster,
            )
            .args("node-id")
            .about("3.0.0", "Removes a node from this node's table").costs("O(1)")
            .run(cluster::cluster),
            row("cluster|getkeysinslot", 4, "stale", Group::Cluster)
                .tips(&["nondeterministic_output"])
                .args("slot:int count:int")
                .about("3.0.0", "Returns keys of a slot").costs("O(N), N the keys asked for")
                .run(cluster::cluster),
            row(
                "cluster|getslotmigrations",
                2,
                "admin stale no_async_loading",
                Group::Cluster,
            )
            .about("9.0.0", "Tells of migrations of whole slots from and to this node").costs("O(N), N the migrations")
            .run(slot_migration::report),
            row("cluster|help", 2, "loading stale", Group::Cluster)
                .about("5.0.0", "Describes the subcommands").costs("O(1)"),
            row("cluster|info", 2, "loading stale", Group::Cluster)
                .tips(&["nondeterministic_output"])
                .about("3.0.0", "Describes the state of the cluster").costs("O(1)")
                .run(cluster::cluster),
            row("cluster|keyslot", 3, "stale", Group::Cluster)
                .args("key")
                .about("3.0.0", "Returns the slot of a key").costs("O(N), N the bytes of the key")
                .run(cluster::keyslot),
            row("cluster|links", 2, "stale", Group::Cluster)
                .tips(&["nondeterministic_output"])
                .about("7.0.0", "Shows the links to and from other nodes").costs("O(N), N the nodes")
                .run(cluster::cluster),
            row(
                "cluster|meet",
                -4,
                "admin stale no_async_loading",
                Group::Cluster,
            )
            .args("ip port:int cluster-bus-port:int@4.0.0?")
            .about("3.0.0", "Makes two nodes know each other").costs("O(1)")
            .run(cluster::cluster),
            row(
                "cluster|migrateslots",
                -4,
                "admin stale no_async_loading",
                Group::Cluster,
            )
            .args(
                "migration-group(slotsrange-token:token=SLOTSRANGE range(start-slot:int end-slot:int)* \
                node-token:token=NODE node-id)*",
            )
            .databases(Databases::All)
            .about("9.0.0", "Moves whole slots to other nodes").costs("O(N), N the slots in the ranges")
            .run(slot_migration::migrate),
            row("cluster|myid", 2, "loading stale", Group::Cluster)
                .about("3.0.0", "Returns the id of this node").costs("O(1)")
                .run(cluster::cluster),
            row("cluster|myshardid", 2, "loading stale", Group::Cluster)
                .tips(&["nondeterministic_output"])
                .about("7.2.0", "Returns the id of this node's shard").costs("O(1)")
                .run(cluster::cluster),
            row("cluster|nodes", 2, "loading stale", Group::Cluster)
                .tips(&["nondeterministic_output"])
                .about(
                    "3.0.0",
                    "Returns this node's view of the cluster, a line per node",
                ).costs("O(N), N the nodes")
                .run(cluster::cluster),
            row("cluster|replicas", 3, "admin stale", Group::Cluster)
                .tips(&["nondeterministic_output"])
                .args("node-id")
                .about("5.0.0", "Lists the replicas of a primary").costs("O(N), N the replicas")
                .run(cluster::cluster),
            row(
                "cluster|replicate",
                -3,
                "admin stale no_async_loading",
                Group::Cluster,
            )
            .args("args{node-id no-one@9.0.0(no:token=NO one:token=ONE)}")
            .about("3.0.0", "Makes this node a replica of a primary").costs("O(1)")
            .run(cluster::cluster),
            row("cluster|reset", -2, "admin noscript stale", Group::Cluster)
                .args("reset-type{hard:token=HARD soft:token=SOFT}?")
                .about("3.0.0", "Makes this node forget the cluster").costs("O(N), N the nodes known; a replica also empties itself")
                .run(cluster::cluster),
            row(
                "cluster|saveconfig",
                2,
                "admin stale no_async_loading",
                Group::Cluster,
            )
            .about("3.0.0", "Writes the cluster's state to disk").costs("O(1)")
            .run(cluster::cluster),
            row(
                "cluster|set-config-epoch",
                3,
                "admin stale no_async_loading",
                Group::Cluster,
            )
            .args("config-epoch:int")
            .about("3.0.0", "Sets the configuration epoch of a new node").costs("O(1)")
            .run(cluster::cluster),
            row(
                "cluster|setslot",
                -4,
                "admin stale no_async_loading",
                Group::Cluster,
            )
            .traits("from_master may_replicate")
            .args(
                "slot:int subcommand{importing/node-id=IMPORTING \
                migrating/node-id=MIGRATING node/node-id=NODE stable:token=STABLE} \
                timeout:int=TIMEOUT@8.0.0?",
            )
            .about(
                "3.0.0",
                "Binds a slot to a node or changes its migration state",
            ).costs("O(1)")
            .run(cluster::setslot),
            row("cluster|shards", 2, "loading stale", Group::Cluster)
                .tips(&["nondeterministic_output"])
                .about("7.0.0", "Returns which nodes make which shards").costs("O(N), N the nodes")
                .run(cluster::cluster),
            row("cluster|slaves", 3, "admin stale", Group::Cluster)
                .tips(&["nondeterministic_output"])
                .args("node-id")
                .replaced("5.0.0", "CLUSTER REPLICAS").about("3.0.0", "Lists the replicas of a primary").costs("O(N), N the replicas")
                .run(cluster::cluster),
            row("cluster|slot-stats", -4, "loading stale", Group::Cluster)
                .tips(&["nondeterministic_output", "request_policy:all_shards"])
                .args(
                    "filter{slotsrange=SLOTSRANGE(start-slot:int end-slot:int) \
                orderby=ORDERBY(metric limit:int=LIMIT? order{asc:token=ASC desc:token=DESC}?)}",
                )
                .about(
                    "8.0.0",
                    "Returns what the slots of this shard hold and cost",
                ).costs("O(N), N the slots asked for; O(N*log(N)) with ORDERBY")
                .run(cluster::cluster),
            row("cluster|slots", 2, "loading stale", Group::Cluster)
                .tips(&["nondeterministic_output"])
                .about("3.0.0", "Returns which nodes serve which slots").costs("O(N), N the nodes")
                .run(cluster::cluster),
            row(
                "cluster|syncslots",
                -3,
                "admin stale no_async_loading",
                Group::Cluster,
            )
            .traits("internal from_master replayed may_replicate")
            .about("9.0.0", "What nodes say to each other while slots move")
            .run(slot_migration::sync),
        ]),
    row("clusterscan", -2, "readonly", Group::Cluster)
        .categories("keyspace")
        .keys(&[key("not_key", index(1), range(0, 1, 0))])
        .tips(&[
            "nondeterministic_output",
            "request_policy:special",
            "response_policy:special",
        ])
        .args(
            "cursor match-pattern:pattern=MATCH? count:int=COUNT? type=TYPE? slot:int=SLOT?",
        )
        .about("9.1.0", "Iterates over the keys of the cluster").costs("O(N), N the elements returned")
        .run(cluster::clusterscan),
    row("readonly", 1, "loading stale fast", Group::Cluster)
        .categories("connection")
        .about("3.0.0", "Lets a replica in a cluster answer reads").costs("O(1)")
        .run(cluster::readonly),
    row("readwrite", 1, "loading stale fast", Group::Cluster)
        .categories("connection")
        .about("3.0.0", "Ends READONLY").costs("O(1)")
        .run(cluster::readwrite),
];
