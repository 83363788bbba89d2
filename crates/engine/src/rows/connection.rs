//! Rows of the group "connection" that know more than data.

use commands::table::{Databases, Group, Row, auth_secrets, hello_secrets, row};

use crate::entry::EngineFn;
use crate::{client_command, connection, tracking};

pub(super) static ROWS: &[Row<EngineFn>] = &[
    row(
        "auth",
        -2,
        "noscript loading stale fast no_auth allow_busy",
        Group::Connection,
    )
    .args("username@6.0.0? password")
    .about("1.0.0", "Authenticates the connection")
    .costs("O(N), N the passwords of the user")
    .secrets(auth_secrets)
    .run(connection::auth),
    row("client", -2, "", Group::Connection)
        .categories("")
        .about("2.4.0", "Manages client connections")
        .subs(&[
            row(
                "client|capa",
                -3,
                "noscript loading stale allow_busy",
                Group::Connection,
            )
            .args("capability*")
            .about("8.0.0", "Declares what the client is capable of")
            .costs("O(1)")
            .run(client_command::capa),
            row(
                "client|getname",
                2,
                "noscript loading stale allow_busy",
                Group::Connection,
            )
            .traits("plain")
            .about("2.6.9", "Returns the name of the connection")
            .costs("O(1)")
            .run(client_command::getname),
            row(
                "client|tracking",
                -3,
                "noscript loading stale",
                Group::Connection,
            )
            .args(
                "status{on:token=ON off:token=OFF} client-id:int=REDIRECT? \
                prefix=PREFIX?*+ bcast:token=BCAST? optin:token=OPTIN? \
                optout:token=OPTOUT? noloop:token=NOLOOP?",
            )
            .about(
                "6.0.0",
                "Turns invalidation messages for client-side caching on or off",
            )
            .costs("O(1), and O(N) for N prefixes")
            .run(tracking::tracking),
            row(
                "client|trackinginfo",
                2,
                "noscript loading stale",
                Group::Connection,
            )
            .about(
                "6.2.0",
                "Describes the state of client-side caching for the connection",
            )
            .costs("O(1)")
            .run(tracking::trackinginfo),
            row(
                "client|caching",
                3,
                "noscript loading stale allow_busy",
                Group::Connection,
            )
            .args("mode{yes:token=YES no:token=NO}")
            .traits("keeps_caching")
            .about(
                "6.0.0",
                "Says whether the keys of the next command are tracked",
            )
            .costs("O(1)")
            .run(tracking::caching),
            row(
                "client|getredir",
                2,
                "noscript loading stale allow_busy",
                Group::Connection,
            )
            .about(
                "6.0.0",
                "Returns the client that receives the invalidation messages",
            )
            .costs("O(1)")
            .run(tracking::getredir),
            row("client|help", 2, "loading stale", Group::Connection)
                .about("5.0.0", "Describes the subcommands")
                .costs("O(1)"),
            row(
                "client|id",
                2,
                "noscript loading stale allow_busy",
                Group::Connection,
            )
            .traits("plain")
            .about("5.0.0", "Returns the id of the connection")
            .costs("O(1)")
            .run(client_command::id),
            row(
                "client|info",
                2,
                "noscript loading stale",
                Group::Connection,
            )
            .tips(&["nondeterministic_output"])
            .about("6.2.0", "Describes the connection")
            .costs("O(1)")
            .run(client_command::info),
            row(
                "client|kill",
                -3,
                "admin noscript loading stale",
                Group::Connection,
            )
            .args(
                "filter{old-format/ip:port new-format{client-id:int=ID@2.8.12?* \
                client-type=TYPE@2.8.12{normal:token=NORMAL master:token=MASTER@3.2.0 \
                primary:token=PRIMARY@8.0.0 slave:token=SLAVE \
                replica:token=REPLICA@5.0.0 pubsub:token=PUBSUB}? username=USER? \
                addr/ip:port=ADDR? laddr/ip:port=LADDR@6.2.0? \
                skipme=SKIPME{yes:token=YES no:token=NO}? maxage:int=MAXAGE@8.0.0? \
                name=NAME@9.0.0? idle:int=IDLE@9.0.0? flags=FLAGS@9.0.0? \
                lib-name=LIB-NAME@9.0.0? lib-ver=LIB-VER@9.0.0? db:int=DB@9.0.0? \
                capa=CAPA@9.0.0? ip=IP@9.0.0? \
                not-client-type=NOT-TYPE@9.0.0{normal:token=NORMAL master:token=MASTER \
                primary:token=PRIMARY slave:token=SLAVE replica:token=REPLICA \
                pubsub:token=PUBSUB}? not-client-id:int=NOT-ID@9.0.0?* \
                not-username=NOT-USER@9.0.0? not-addr/ip:port=NOT-ADDR@9.0.0? \
                not-laddr/ip:port=NOT-LADDR@9.0.0? not-name=NOT-NAME@9.0.0? \
                not-flags=NOT-FLAGS@9.0.0? not-lib-name=NOT-LIB-NAME@9.0.0? \
                not-lib-ver=NOT-LIB-VER@9.0.0? not-db:int=NOT-DB@9.0.0? \
                not-capa=NOT-CAPA@9.0.0? not-ip=NOT-IP@9.0.0?}*}",
            )
            .about("2.4.0", "Closes connections")
            .costs("O(N), N the clients")
            .run(client_command::kill),
            row(
                "client|list",
                -2,
                "admin noscript loading stale",
                Group::Connection,
            )
            .tips(&["nondeterministic_output"])
            .args(
                "client-type=TYPE@5.0.0{normal:token=NORMAL master:token=MASTER \
                replica:token=REPLICA pubsub:token=PUBSUB}? client-id:int=ID@6.2.0?* \
                username=USER@8.1.0? addr/ip:port=ADDR@8.1.0? laddr/ip:port=LADDR@8.1.0? \
                skipme=SKIPME@8.1.0{yes:token=YES no:token=NO}? maxage:int=MAXAGE@8.1.0? \
                name=NAME@9.0.0? idle:int=IDLE@9.0.0? flags=FLAGS@9.0.0? \
                lib-name=LIB-NAME@9.0.0? lib-ver=LIB-VER@9.0.0? db:int=DB@9.0.0? \
                capa=CAPA@9.0.0? ip=IP@9.0.0? \
                not-client-type=NOT-TYPE@9.0.0{normal:token=NORMAL master:token=MASTER \
                replica:token=REPLICA pubsub:token=PUBSUB}? \
                not-client-id:int=NOT-ID@9.0.0?* not-username=NOT-USER@9.0.0? \
                not-addr/ip:port=NOT-ADDR@9.0.0? not-laddr/ip:port=NOT-LADDR@9.0.0? \
                not-name=NOT-NAME@9.0.0? not-flags=NOT-FLAGS@9.0.0? \
                not-lib-name=NOT-LIB-NAME@9.0.0? not-lib-ver=NOT-LIB-VER@9.0.0? \
                not-db:int=NOT-DB@9.0.0? not-capa=NOT-CAPA@9.0.0? not-ip=NOT-IP@9.0.0?",
            )
            .about("2.4.0", "Describes the open connections")
            .costs("O(N), N the clients")
            .run(client_command::list),
            row(
                "client|import-source",
                3,
                "noscript loading stale",
                Group::Connection,
            )
            .args("enabled{on:token=ON off:token=OFF}")
            .about("8.1.0", "Marks the client as the source of an import")
            .costs("O(1)")
            .run(client_command::import_source),
            row(
                "client|no-evict",
                3,
                "admin noscript loading stale allow_busy",
                Group::Connection,
            )
            .args("enabled{on:token=ON off:token=OFF}")
            .about("7.0.0", "Exempts the connection from client eviction")
            .costs("O(1)")
            .run(client_command::no_evict),
            row(
                "client|no-touch",
                3,
                "noscript loading stale allow_busy",
                Group::Connection,
            )
            .args("enabled{on:token=ON off:token=OFF}")
            .about(
                "7.2.0",
                "Keeps the connection's commands from changing when keys were last used",
            )
            .costs("O(1)")
            .run(client_command::no_touch),
            row(
                "client|pause",
                -3,
                "admin noscript loading stale",
                Group::Connection,
            )
            .args("timeout:int mode@6.2.0{write:token=WRITE all:token=ALL}?")
            .about("3.0.0", "Suspends the commands of clients for a while")
            .costs("O(1)")
            .run(client_command::pause),
            row(
                "client|reply",
                3,
                "noscript loading stale no_multi allow_busy",
                Group::Connection,
            )
            .args("action{on:token=ON off:token=OFF skip:token=SKIP}")
            .about("3.2.0", "Turns replies on or off")
            .costs("O(1)")
            .run(client_command::reply),
            row(
                "client|setinfo",
                4,
                "noscript loading stale allow_busy",
                Group::Connection,
            )
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
            .args("attr{libname=LIB-NAME libver=LIB-VER}")
            .about("7.2.0", "Names the client library and its version")
            .costs("O(1)")
            .run(client_command::setinfo),
            row(
                "client|setname",
                3,
                "noscript loading stale allow_busy",
                Group::Connection,
            )
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
            .args("connection-name")
            .about("2.6.9", "Names the connection")
            .costs("O(1)")
            .run(client_command::setname),
            row(
                "client|unblock",
                -3,
                "admin noscript loading stale",
                Group::Connection,
            )
            .args("client-id:int unblock-type{timeout:token=TIMEOUT error:token=ERROR}?")
            .about("5.0.0", "Ends the wait of a blocked client")
            .costs("O(log(N)), N the clients")
            .run(client_command::unblock),
            row(
                "client|unpause",
                2,
                "admin noscript loading stale",
                Group::Connection,
            )
            .about("6.2.0", "Ends CLIENT PAUSE")
            .costs("O(N), N the clients that are paused")
            .run(client_command::unpause),
        ]),
    row("echo", 2, "loading stale fast", Group::Connection)
        .traits("plain")
        .args("message")
        .about("1.0.0", "Returns its argument")
        .costs("O(1)")
        .run(connection::echo),
    row(
        "hello",
        -1,
        "noscript loading stale fast no_auth allow_busy",
        Group::Connection,
    )
    .args(
        "arguments(protover:int auth=AUTH(username password)? \
                clientname=SETNAME?)?",
    )
    .about(
        "6.0.0",
        "Greets the server and chooses the protocol's version",
    )
    .costs("O(1)")
    .secrets(hello_secrets)
    .run(connection::hello),
    row("ping", -1, "fast", Group::Connection)
        .traits("in_subscribed checks_disk replayed plain")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"])
        .args("message?")
        .about("1.0.0", "Returns PONG, or its argument")
        .costs("O(1)")
        .run(connection::ping),
    row(
        "quit",
        -1,
        "noscript loading stale fast no_auth allow_busy",
        Group::Connection,
    )
    .traits("in_subscribed not_queued")
    .about("1.0.0", "Closes the connection")
    .costs("O(1)")
    .run(connection::quit),
    row(
        "reset",
        1,
        "noscript loading stale fast no_auth allow_busy",
        Group::Connection,
    )
    .traits("in_subscribed not_queued")
    .about("6.2.0", "Brings the connection back to its first state")
    .costs("O(1)")
    .run(connection::reset),
    row(
        "select",
        2,
        "loading stale fast allow_busy",
        Group::Connection,
    )
    .databases(Databases::At(&[1]))
    .traits("selects_db replayed")
    .args("index:int")
    .about("1.0.0", "Selects a database")
    .costs("O(1)")
    .run(connection::select),
];
