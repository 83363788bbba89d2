//! `metrics-port`: figures for Prometheus, health for probes, and a page, on a server, a replica, a node and a sentinel.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use tern_tests::daemon::{Daemon, PATIENCE, free_port, wait_until};

/// The answer to a GET: status, headers and body.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

fn get_with(port: u16, path: &str, header: &str) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        head: head.to_ascii_lowercase(),
        body: body.to_owned(),
    }
}

fn get(port: u16, path: &str) -> Answer {
    get_with(port, path, "")
}

/// What a scrape found: each sample by its name with its labels.
struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    /// Scrapes a port, and holds every line against the text format 0.0.4.
    fn of(port: u16) -> Self {
        let answer = get(port, "/metrics");
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(
            answer
                .head
                .contains("content-type: text/plain; version=0.0.4"),
            "{}",
            answer.head
        );
        assert!(answer.body.ends_with('\n'));
        let (mut samples, mut families) = (BTreeMap::new(), BTreeSet::new());
        let (mut family, mut kind) = (String::new(), String::new());
        for line in answer.body.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                assert!(
                    help.split_once(' ')
                        .is_some_and(|(_, text)| !text.is_empty()),
                    "{line}"
                );
            } else if let Some(words) = line.strip_prefix("# TYPE ") {
                let (name, of) = words.split_once(' ').unwrap();
                assert!(
                    ["counter", "gauge", "summary", "histogram"].contains(&of),
                    "{line}"
                );
                assert!(families.insert(name.to_owned()), "twice: {line}");
                (family, kind) = (name.to_owned(), of.to_owned());
            } else {
                let (series, value) = line.rsplit_once(' ').unwrap();
                let name = series.split('{').next().unwrap();
                let ends: &[&str] = match kind.as_str() {
                    "histogram" => &["_bucket", "_sum", "_count"],
                    "summary" => &["", "_sum", "_count"],
                    _ => &[""],
                };
                let rest = name.strip_prefix(&family).unwrap_or("no such family");
                assert!(ends.contains(&rest), "{line} is of no {kind} {family}");
                assert_labels(series);
                let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
                assert!(value.is_finite(), "{line}");
                assert!(
                    samples.insert(series.to_owned(), value).is_none(),
                    "twice: {line}"
                );
            }
        }
        Self(samples)
    }

    fn value(&self, series: &str) -> f64 {
        let value = self.0.get(series);
        *value.unwrap_or_else(|| panic!("no {series} in {:#?}", self.0.keys()))
    }

    /// The only sample of this name, whatever its labels.
    fn one(&self, name: &str) -> (&str, f64) {
        let start = format!("{name}{{");
        let mut found = self.0.iter().filter(|(key, _)| key.starts_with(&start));
        let (key, value) = found.next().unwrap_or_else(|| panic!("no {name}"));
        assert!(found.next().is_none(), "more than one {name}");
        (key, *value)
    }
}

/// `name{label="value",…}`: names of letters, digits and underscores, values with quotes and backslashes escaped.
fn assert_labels(series: &str) {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name
                .chars()
                .all(|one| one.is_ascii_alphanumeric() || one == '_')
    };
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    assert!(is_name(name), "{series}");
    let mut rest = labels.strip_suffix('}').unwrap_or(labels);
    while !rest.is_empty() {
        let (name, value) = rest.split_once("=\"").unwrap();
        assert!(is_name(name), "{series}");
        let mut escaped = false;
        let end = value
            .bytes()
            .position(|byte| {
                let ends = byte == b'"' && !escaped;
                escaped = byte == b'\\' && !escaped;
                ends
            })
            .unwrap_or_else(|| panic!("{series}"));
        rest = value[end + 1..].trim_start_matches(',');
    }
}

fn server(config: &str) -> (Daemon, u16) {
    let port = free_port();
    let daemon = Daemon::server(&format!("metrics-port {port}\n{config}"));
    (daemon, port)
}

#[test]
fn a_server_tells_prometheus_what_dashboards_ask_for() {
    let (server, port) = server("appendonly yes\nappendfsync always\nmaxmemory 100mb");
    let mut client = server.client();
    for line in [
        "SET a 1",
        "SET b 2 EX 1000",
        "GET a",
        "GET nothing",
        "LPUSH a x",
    ] {
        let _ = client.call(line);
    }
    let _ = client.call("CONFIG SET slowlog-log-slower-than 0");
    let _ = client.call("CONFIG GET \"port\"");
    let scrape = Scrape::of(port);
    for (series, value) in [
        ("redis_up", 1.0),
        ("redis_connected_clients", 1.0),
        ("redis_memory_max_bytes", 100.0 * 1024.0 * 1024.0),
        ("redis_db_keys{db=\"db0\"}", 2.0),
        ("redis_db_keys_expiring{db=\"db0\"}", 1.0),
        ("redis_commands_total{cmd=\"set\"}", 2.0),
        ("redis_commands_total{cmd=\"config|get\"}", 1.0),
        ("redis_commands_failed_calls_total{cmd=\"lpush\"}", 1.0),
        ("redis_errors_total{err=\"WRONGTYPE\"}", 1.0),
        ("redis_keyspace_hits_total", 1.0),
        ("redis_keyspace_misses_total", 1.0),
        ("redis_aof_enabled", 1.0),
        ("redis_rdb_last_bgsave_status", 1.0),
        ("redis_config_maxclients", 10_000.0),
        ("tern_command_duration_seconds_count{cmd=\"set\"}", 2.0),
        (
            "tern_command_duration_seconds_bucket{cmd=\"set\",le=\"+Inf\"}",
            2.0,
        ),
    ] {
        assert!(
            (scrape.value(series) - value).abs() < 1e-9,
            "{series} is {}",
            scrape.value(series)
        );
    }
    for series in [
        "redis_memory_used_bytes",
        "redis_commands_processed_total",
        "redis_net_input_bytes_total",
        "redis_memory_used_rss_bytes",
        "redis_start_time_seconds",
        "redis_slowlog_length",
        "redis_commands_duration_seconds_total{cmd=\"set\"}",
        "redis_latency_percentiles_usec{cmd=\"set\",quantile=\"0.99\"}",
        "tern_turn_duration_seconds_count",
        "tern_aof_fsync_duration_seconds_count",
        "tern_aof_fsync_duration_seconds_sum",
        "tern_request_size_bytes_sum",
        "tern_reply_size_bytes_sum",
        "redis_total_reads_processed",
        "redis_max_clients",
        "redis_eventloop_cycles_total",
    ] {
        assert!(scrape.value(series) > 0.0, "{series}");
    }
    // Each of the seven commands has a request and a reply.
    let (requests, replies) = ("tern_request_size_bytes", "tern_reply_size_bytes");
    for size in [requests, replies] {
        let all = scrape.value(&format!("{size}_bucket{{le=\"+Inf\"}}"));
        assert!(all > 5.5, "{size}: {all}");
    }
    let sum = scrape.value("tern_request_size_bytes_sum");
    assert!(sum > 5.0 * 5.0 && sum < 500.0, "{sum}");
    let (instance, _) = scrape.one("redis_instance_info");
    assert!(instance.contains("role=\"master\"") && instance.contains("redis_mode=\"standalone\""));
}

#[test]
fn a_server_tells_prometheus_what_an_exporter_asks_for_beside_info() {
    let (server, port) = server("maxmemory 100mb\nlatency-monitor-threshold 50");
    assert_eq!(server.text("SET a 1"), "OK");
    assert_eq!(server.text("DEBUG SLEEP 0.05"), "OK");
    let scrape = Scrape::of(port);
    for (series, value) in [
        ("redis_config_maxmemory", 100.0 * 1024.0 * 1024.0),
        ("redis_config_io_threads", 1.0),
        (
            "redis_config_client_output_buffer_limit_bytes{class=\"slave\",limit=\"hard\"}",
            268_435_456.0,
        ),
        ("redis_commandlog_request_larger_than", 1_048_576.0),
        ("redis_commandlog_large_reply_length", 0.0),
        ("redis_db_keys{db=\"db15\"}", 0.0),
        ("redis_commands_latencies_usec_count{cmd=\"set\"}", 1.0),
    ] {
        let told = scrape.value(series);
        assert!((told - value).abs() < 1e-9, "{series} is {told}");
    }
    for series in [
        "redis_latency_spike_duration_seconds{event_name=\"command\"}",
        "redis_latency_spike_last{event_name=\"command\"}",
    ] {
        assert!(scrape.value(series) > 0.0, "{series}");
    }
}

#[test]
fn health_the_page_and_whom_they_are_told() {
    let (server, port) = server("metrics-token open-sesame");
    assert_eq!(
        (get(port, "/healthz").status, get(port, "/readyz").status),
        (200, 200)
    );
    for path in ["/", "/metrics", "/state"] {
        let refused = get(port, path);
        assert_eq!(refused.status, 401, "{path}");
        assert!(refused.head.contains("www-authenticate: basic"));
    }
    let bearer = "Authorization: Bearer open-sesame\r\n";
    // any:open-sesame
    let basic = "Authorization: Basic YW55Om9wZW4tc2VzYW1l\r\n";
    assert_eq!(get_with(port, "/metrics", bearer).status, 200);
    let page = get_with(port, "/", basic);
    assert!(page.body.starts_with("<!doctype html>"));
    assert!(
        page.head
            .contains("content-security-policy: default-src 'none'")
    );
    let state = get_with(port, "/state", bearer);
    assert!(state.head.contains("content-type: application/json"));
    assert!(
        state.body.contains("[\"role\",\"master\"]"),
        "{}",
        state.body
    );
    assert_eq!(get_with(port, "/nothing", bearer).status, 404);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(
        stream,
        "POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    // Who is no HTTP client does no harm.
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"*1\r\n$4\r\nPING\r\n").unwrap();
    let _ = stream.read_to_string(&mut answer);
    assert_eq!(server.text("PING"), "PONG");
}

#[test]
fn a_replica_is_ready_once_it_is_in_sync() {
    let (master, master_port) = server("repl-diskless-sync-delay 0");
    let (replica, port) = server("");
    let _ = replica.call(&format!("REPLICAOF 127.0.0.1 {}", free_port()));
    let alone = get(port, "/readyz");
    assert_eq!(
        (alone.status, alone.body.as_str()),
        (503, "no link to its master\n")
    );
    assert_eq!(get(port, "/healthz").status, 200);
    let _ = replica.call(&format!("REPLICAOF 127.0.0.1 {}", master.port));
    wait_until("the replica is ready", || {
        get(port, "/readyz").status == 200
    });
    let scrape = Scrape::of(port);
    let (link, up) = scrape.one("redis_master_link_up");
    assert!(link.contains(&format!("master_port=\"{}\"", master.port)) && up > 0.5);
    assert!(scrape.one("tern_replica_unapplied_bytes").1 < 0.5);
    wait_until("the replica acknowledges", || {
        Scrape::of(master_port).0.keys().any(|key| {
            key.starts_with("redis_connected_slave_lag_seconds") && key.contains("online")
        })
    });
    assert!(Scrape::of(master_port).one("tern_replica_lag_bytes").1 >= 0.0);
}

#[test]
fn a_node_is_ready_once_the_slots_are_served() {
    let (node, port) = server("cluster-enabled yes");
    let refused = get(port, "/readyz");
    assert_eq!(
        (refused.status, refused.body.as_str()),
        (503, "the cluster's state is fail\n")
    );
    assert_eq!(node.text("CLUSTER ADDSLOTSRANGE 0 16383"), "OK");
    wait_until("the node is ready", || get(port, "/readyz").status == 200);
    let scrape = Scrape::of(port);
    assert!((scrape.value("redis_cluster_slots_ok") - 16384.0).abs() < 0.5);
    assert!((scrape.value("redis_cluster_state") - 1.0).abs() < 0.5);
    let migrations = "tern_slot_migrations{operation=\"export\",state=\"running\"}";
    assert!(scrape.value(migrations) < 0.5);
    assert!(scrape.value("tern_slot_migration_behind_bytes") < 0.5);
    assert!(get(port, "/state").body.contains("myself,master"));
}

#[test]
fn a_sentinel_tells_of_its_masters() {
    let (master, _) = server("");
    let port = free_port();
    let config = format!(
        "metrics-port {port}\nsentinel monitor one 127.0.0.1 {} 2",
        master.port
    );
    let sentinel = Daemon::sentinel(&config);
    let scrape = Scrape::of(port);
    let labels = format!(
        "master_name=\"one\",master_address=\"127.0.0.1:{}\"",
        master.port
    );
    for (name, value) in [
        ("master_sentinels", 1.0),
        ("master_slaves", 0.0),
        ("master_ok_sentinels", 1.0),
        ("master_setting_ckquorum", 2.0),
        ("master_setting_failover_timeout", 180_000.0),
        ("master_setting_parallel_syncs", 1.0),
    ] {
        let series = format!("redis_sentinel_{name}{{{labels}}}");
        assert!((scrape.value(&series) - value).abs() < 1e-9, "{series}");
    }
    assert!((scrape.one("redis_sentinel_master_status").1 - 1.0).abs() < 1e-9);
    // One of two.
    let (quorum, can) = scrape.one("redis_sentinel_master_ckquorum_status");
    assert!(can < 0.5 && quorum.contains("message=\"NOQUORUM 1 usable"));
    assert_eq!(get(port, "/readyz").status, 200);
    assert!(sentinel.text("PING") == "PONG");
}
