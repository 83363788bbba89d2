//! Nothing is changed before every port that will be needed was reached.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a failed test")]

use std::io::Cursor;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use client::Codec;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::Decoder as _;
use trib_cli::{App, Console, Error, verbs};

type Log = Arc<Mutex<Vec<String>>>;

/// Plays an empty node; its address. It notes all that is not a question.
async fn play(index: usize, bus: bool, log: Log) -> String {
    play_loading(index, bus, log, 0).await
}

/// The same; it is loading while it gets its first so many requests.
async fn play_loading(index: usize, bus: bool, log: Log, loading: usize) -> String {
    let loading = Arc::new(AtomicUsize::new(loading));
    let listener = listen_below(55_536).await;
    let port = listener.local_addr().unwrap().port();
    let bus = if bus {
        Some(
            TcpListener::bind(("127.0.0.1", port + 10_000))
                .await
                .unwrap(),
        )
    } else {
        None
    };
    tokio::spawn(async move {
        let _bus = bus;
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (log, loading) = (Arc::clone(&log), Arc::clone(&loading));
            tokio::spawn(serve(index, port, stream, log, loading));
        }
    });
    format!("127.0.0.1:{port}")
}

/// A port that leaves room for its bus port, and where that one is free.
async fn listen_below(limit: u16) -> TcpListener {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        if port < limit
            && TcpListener::bind(("127.0.0.1", port + 10_000))
                .await
                .is_ok()
        {
            return listener;
        }
    }
}

async fn serve(
    index: usize,
    port: u16,
    mut stream: TcpStream,
    log: Log,
    loading: Arc<AtomicUsize>,
) {
    let (mut codec, mut bytes) = (Codec::default(), BytesMut::new());
    while stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
        while let Some(request) = codec.decode(&mut bytes).unwrap() {
            let words: Vec<&str> = request
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|word| word.as_str())
                .collect();
            let line = words.join(" ");
            let nodes = format!("{index:040x} :{port} myself,master - 0 0 0 connected\n");
            let less = |left: usize| left.checked_sub(1);
            let loads = loading.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            let answer = match line.as_str() {
                _ if loads.is_ok() => {
                    "-LOADING Redis is loading the dataset in memory\r\n".to_owned()
                }
                "PING" => "+PONG\r\n".to_owned(),
                "DBSIZE" => ":0\r\n".to_owned(),
                "CLUSTER NODES" => format!("${}\r\n{nodes}\r\n", nodes.len()),
                _ => {
                    log.lock().unwrap().push(line);
                    "-ERR not in this play\r\n".to_owned()
                }
            };
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    }
}

fn app() -> App {
    let mut app = App::new(Console::new(
        Box::new(Cursor::new("")),
        Box::new(std::io::sink()),
        false,
    ));
    app.assume_yes = true;
    app
}

#[tokio::test]
async fn create_needs_every_bus_port() {
    let log = Log::default();
    let mut addresses = Vec::new();
    for index in 0..3 {
        addresses.push(play(index, index != 2, Arc::clone(&log)).await);
    }
    let error = verbs::create(&mut app(), &addresses, 0).await.unwrap_err();
    let (host, port) = client::split_address(&addresses[2]).unwrap();
    let bus = port + 10_000;
    let expected = format!(
        "[ERR] Sorry, can't connect to the cluster bus of node {host}:{port} (port {bus}: Connection refused)"
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(
        *log.lock().unwrap(),
        Vec::<String>::new(),
        "something was changed"
    );
}

#[tokio::test]
async fn a_node_that_loads_its_dataset_is_waited_for() {
    let log = Log::default();
    // Whatever it is asked first: the greeting, or what it knows.
    for loading in 1..4 {
        let address = play_loading(0, true, Arc::clone(&log), loading).await;
        let cluster = app().load(&address).await.unwrap();
        assert_eq!(cluster.snapshot.nodes.len(), 1);
    }
}

#[tokio::test]
async fn create_takes_no_node_twice() {
    let log = Log::default();
    let address = play(0, true, Arc::clone(&log)).await;
    let addresses = vec![address.clone(), address.clone(), address.clone()];
    let error = verbs::create(&mut app(), &addresses, 0).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("[ERR] Node {address} is given twice")
    );
    assert_eq!(*log.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn a_refused_step_is_told_with_the_node() {
    let log = Log::default();
    let mut addresses = Vec::new();
    for index in 0..3 {
        addresses.push(play(index, true, Arc::clone(&log)).await);
    }
    let error = verbs::create(&mut app(), &addresses, 0).await.unwrap_err();
    assert!(matches!(error, Error::Client(_)));
    assert_eq!(
        error.to_string(),
        format!("[ERR] {}: ERR not in this play", addresses[0])
    );
    assert!(log.lock().unwrap()[0].starts_with("CLUSTER ADDSLOTS 0 1 2 3 "));
}
