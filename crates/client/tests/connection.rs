//! A connection against a peer at the other end of a pipe, and against sockets that refuse or stay silent.

use std::time::Duration;

use bytes::BytesMut;
use client::{Command, Connection, Error, Value, split_address};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpListener;

const LIMIT: Duration = Duration::from_secs(5);

fn pair(limit: Duration) -> (Connection<DuplexStream>, DuplexStream) {
    let (near, far) = tokio::io::duplex(256);
    (Connection::from_stream(near, "peer:1", limit), far)
}

#[tokio::test]
async fn one_call_is_one_request_and_its_reply() {
    let (mut connection, mut peer) = pair(LIMIT);
    let server = tokio::spawn(async move {
        let mut request = vec![0; b"*2\r\n$3\r\nGET\r\n$2\r\n\r\n\r\n".len()];
        peer.read_exact(&mut request).await.unwrap();
        peer.write_all(b"$1\r\nx\r\n").await.unwrap();
        request
    });
    assert_eq!(
        connection.call(["GET", "\r\n"]).await.unwrap(),
        Value::Bulk("x".into())
    );
    assert_eq!(server.await.unwrap(), b"*2\r\n$3\r\nGET\r\n$2\r\n\r\n\r\n");
}

#[tokio::test]
async fn a_pipeline_larger_than_every_buffer_does_not_lock() {
    let (mut connection, mut peer) = pair(LIMIT);
    let server = tokio::spawn(async move {
        // Answers each request at once and never reads ahead of its own writing.
        let mut seen = BytesMut::new();
        let (mut answered, request) = (0_u32, b"*1\r\n$4\r\nPING\r\n".len());
        while answered < 500 {
            peer.read_buf(&mut seen).await.unwrap();
            while seen.len() >= request {
                let _ = seen.split_to(request);
                peer.write_all(format!("$100\r\n{answered:0100}\r\n").as_bytes())
                    .await
                    .unwrap();
                answered += 1;
            }
        }
    });
    let replies = connection
        .pipeline((0..500).map(|_| Command::new("PING")))
        .await
        .unwrap();
    assert_eq!(replies.len(), 500);
    assert_eq!(replies[499].as_str().unwrap(), format!("{:0100}", 499));
    server.await.unwrap();
}

#[tokio::test]
async fn an_error_reply_is_a_value_for_call_and_an_error_for_query() {
    let (mut connection, mut peer) = pair(LIMIT);
    peer.write_all(b"-ERR one\r\n-ERR two\r\n").await.unwrap();
    assert_eq!(
        connection.call(["A"]).await.unwrap(),
        Value::Error("ERR one".into())
    );
    let error = connection.query(["B"]).await.unwrap_err();
    assert_eq!(error.to_string(), "peer:1: ERR two");
    assert_eq!(error.reply(), Some("ERR two"));
}

#[tokio::test(start_paused = true)]
async fn a_late_reply_is_not_taken_for_the_next_one() {
    let (mut connection, mut peer) = pair(Duration::from_millis(20));
    let error = connection.call(["SLOW"]).await.unwrap_err();
    assert_eq!(error.to_string(), "no reply from peer:1 within 20 ms");
    peer.write_all(b"+late\r\n+right\r\n").await.unwrap();
    assert_eq!(
        connection.call(["NEXT"]).await.unwrap(),
        Value::Status("right".into())
    );
}

#[tokio::test]
async fn a_closed_connection_and_a_foreign_protocol_are_named() {
    let (mut connection, peer) = pair(LIMIT);
    drop(peer);
    let error = connection.call(["PING"]).await.unwrap_err();
    assert_eq!(error.to_string(), "peer:1 closed the connection");

    let (mut connection, mut peer) = pair(LIMIT);
    peer.write_all(b"HTTP/1.1 400 Bad Request\r\n")
        .await
        .unwrap();
    let error = connection.call(["PING"]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "unreadable reply from peer:1: reply starts with byte 0x48"
    );
}

#[tokio::test]
async fn connecting_says_who_could_not_be_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let connection = Connection::connect(&address, LIMIT).await.unwrap();
    assert_eq!(connection.peer().unwrap().to_string(), address);
    drop(listener);
    let error = Connection::connect(&address, LIMIT).await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with(&format!("can't connect to {address}: ")),
        "{error}"
    );
    let error = Connection::connect("nonsense", LIMIT).await.unwrap_err();
    assert!(matches!(error, Error::Address { .. }), "{error}");
}

#[test]
fn addresses_are_cut_at_the_last_colon() {
    assert_eq!(split_address("127.0.0.1:6379"), Some(("127.0.0.1", 6379)));
    assert_eq!(split_address("[::1]:6379"), Some(("::1", 6379)));
    assert_eq!(split_address("::1:6379"), Some(("::1", 6379)));
    for wrong in [
        "",
        ":",
        "host",
        "host:",
        ":6379",
        "host:65536",
        "host:+1",
        "host:x",
    ] {
        assert_eq!(split_address(wrong), None, "{wrong}");
    }
}

#[tokio::test]
async fn messages_do_not_pass_for_replies() {
    let (mut connection, mut peer) = pair(LIMIT);
    peer.write_all(b">1\r\n+first\r\n+PONG\r\n>2\r\n+subscribe\r\n+c\r\n>1\r\n+second\r\n")
        .await
        .unwrap();
    let push = |kind: &str| Value::Push(vec![Value::Status(kind.into())]);
    assert_eq!(
        connection.call(["PING"]).await.unwrap().as_str(),
        Some("PONG")
    );
    assert_eq!(connection.recv().await.unwrap(), push("first"));
    // What confirms a subscription is its reply.
    let reply = connection.call(["SUBSCRIBE", "c"]).await.unwrap();
    assert_eq!(reply.as_array().unwrap()[0].as_str(), Some("subscribe"));
    assert_eq!(connection.recv().await.unwrap(), push("second"));
}

#[tokio::test]
async fn messages_before_a_reply_are_bounded() {
    let (near, mut far) = tokio::io::duplex(64 * 1024);
    let mut connection = Connection::from_stream(near, "peer:1", LIMIT);
    far.write_all(&b">1\r\n:1\r\n".repeat(1025)).await.unwrap();
    let error = connection.call(["PING"]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "unreadable reply from peer:1: messages before a reply of 1025 is over the limit of 1024"
    );
}

#[tokio::test]
async fn a_login_names_the_user_where_there_is_one() {
    let (mut connection, mut peer) = pair(LIMIT);
    let server = tokio::spawn(async move {
        let mut seen = BytesMut::new();
        for (requests, reply) in ["+OK\r\n", "+OK\r\n", "%1\r\n+proto\r\n:3\r\n"]
            .iter()
            .enumerate()
        {
            let begun = |seen: &BytesMut| seen.iter().filter(|&&byte| byte == b'*').count();
            while begun(&seen) <= requests || !seen.ends_with(b"$1\r\np\r\n") {
                peer.read_buf(&mut seen).await.unwrap();
            }
            peer.write_all(reply.as_bytes()).await.unwrap();
        }
        String::from_utf8(seen.to_vec()).unwrap()
    });
    connection.auth(None, "p").await.unwrap();
    connection.auth(Some("u"), "p").await.unwrap();
    let about = connection.hello(3, Some(("u", "p"))).await.unwrap();
    assert_eq!(about.field("proto").and_then(Value::as_int), Some(3));
    let seen = server.await.unwrap();
    let words: Vec<&str> = seen
        .lines()
        .filter(|line| !line.starts_with(['*', '$']))
        .collect();
    assert_eq!(
        words,
        [
            "AUTH", "p", "AUTH", "u", "p", "HELLO", "3", "AUTH", "u", "p"
        ]
    );
}
