//! From a snapshot to Prometheus's text.

use std::collections::BTreeMap;

use prometheus::TextEncoder;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType, Quantile,
    Summary,
};

use crate::info::{field, is_numbered, number, part, sections};
use crate::names::named;
use crate::{Distribution, Measured, Snapshot};

type Label<'a> = (&'a str, &'a str);

/// So many empty databases are told of at most.
const MOST_DATABASES: usize = 16;

/// The metrics that are being gathered, by name.
#[derive(Default)]
struct Families(BTreeMap<String, MetricFamily>);

/// One metric more, in Prometheus's text format 0.0.4.
///
/// # Errors
/// The library's, for what cannot be written.
pub fn prometheus(snapshot: &Snapshot) -> Result<String, prometheus::Error> {
    let mut all = Families::default();
    all.gauge("up", "Whether the server answers", &[], 1.0);
    all.info(&snapshot.info);
    all.empty_databases(snapshot);
    for number in &snapshot.numbers {
        let labels: Vec<Label<'_>> = number
            .labels
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        all.gauge(number.name, number.help, &labels, number.value);
    }
    for distribution in &snapshot.distributions {
        all.distribution(distribution);
    }
    let families: Vec<MetricFamily> = all.0.into_values().collect();
    TextEncoder::new().encode_to_string(&families)
}

impl Families {
    /// Adds a metric to the family of that name. A name without `redis_` or `tern_` gets `redis_`.
    fn add(
        &mut self,
        name: &str,
        kind: MetricType,
        help: &str,
        labels: &[Label<'_>],
        fill: impl FnOnce(&mut Metric),
    ) {
        let name = if name.starts_with("tern_") {
            name.to_owned()
        } else {
            format!("redis_{name}")
        };
        let pairs = labels.iter().map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        });
        let mut metric = Metric::from_label(pairs.collect());
        fill(&mut metric);
        let family = self.0.entry(name.clone()).or_insert_with(|| {
            let mut family = MetricFamily::default();
            family.set_name(name);
            family.set_help(help.to_owned());
            family.set_field_type(kind);
            family
        });
        family.mut_metric().push(metric);
    }

    fn gauge(&mut self, name: &str, help: &str, labels: &[Label<'_>], value: f64) {
        self.add(name, MetricType::GAUGE, help, labels, |metric| {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        });
    }

    fn counter(&mut self, name: &str, help: &str, labels: &[Label<'_>], value: f64) {
        self.add(name, MetricType::COUNTER, help, labels, |metric| {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        });
    }

    fn info(&mut self, text: &str) {
        let info = sections(text);
        let get = |name: &str| field(&info, name).unwrap_or_default();
        for section in &info {
            for &(field, value) in &section.fields {
                match section.title {
                    "Commandstats" => self.command(field, value),
                    "Errorstats" => self.error(field, value),
                    "Latencystats" => self.percentiles(field, value, get),
                    "Keyspace" => self.database(field, value),
                    "Cluster Info" => self.cluster(field, value),
                    "Sentinel" if is_numbered(field, "master") => self.watched(value),
                    "Replication" if is_numbered(field, "slave") => {
                        self.replica(value, number(get("master_repl_offset")));
                    }
                    _ => self.field(field, value),
                }
            }
        }
        self.instance(&get);
        if get("role") == "slave" {
            self.slave(&get);
        }
    }

    /// A field that is one number.
    fn field(&mut self, field: &str, value: &str) {
        let Some(value) = number(value) else {
            return;
        };
        for known in named(field) {
            let value = value / known.parts;
            if known.kind == MetricType::COUNTER {
                self.counter(known.name, known.help, &[], value);
            } else {
                self.gauge(known.name, known.help, &[], value);
            }
        }
    }

    /// Who this is.
    fn instance<'a>(&mut self, get: &impl Fn(&str) -> &'a str) {
        const LABELS: [&str; 11] = [
            "role",
            "redis_version",
            "tern_version",
            "redis_build_id",
            "redis_mode",
            "os",
            "maxmemory_policy",
            "tcp_port",
            "run_id",
            "process_id",
            "master_replid",
        ];
        let labels = LABELS.map(|name| (name, get(name)));
        self.gauge("instance_info", "Who this is", &labels, 1.0);
        if let (Some(now_us), Some(uptime_s)) = (
            number(get("server_time_usec")),
            number(get("uptime_in_seconds")),
        ) {
            let start = (now_us / 1e6).floor() - uptime_s;
            self.gauge(
                "start_time_seconds",
                "When it was started, Unix time",
                &[],
                start,
            );
        }
    }

    /// What a replica tells of its master.
    fn slave<'a>(&mut self, get: &impl Fn(&str) -> &'a str) {
        let master = [
            ("master_host", get("master_host")),
            ("master_port", get("master_port")),
        ];
        let up = f64::from(u8::from(get("master_link_status") == "up"));
        self.gauge(
            "master_link_up",
            "Whether the link to the master is up",
            &master,
            up,
        );
        for (field, help) in [
            (
                "master_last_io_seconds_ago",
                "Seconds since the master said something, -1 without a link",
            ),
            (
                "master_sync_in_progress",
                "Whether the data of the master are being copied",
            ),
            (
                "slave_repl_offset",
                "The offset up to which its stream was applied",
            ),
        ] {
            if let Some(value) = number(get(field)) {
                self.gauge(field, help, &master, value);
            }
        }
        let offsets = ["slave_read_repl_offset", "slave_repl_offset"].map(|name| number(get(name)));
        if let [Some(read), Some(applied)] = offsets {
            self.gauge(
                "tern_replica_unapplied_bytes",
                "Bytes of the master's stream that were read and not applied yet",
                &master,
                (read - applied).max(0.0),
            );
        }
        let labels = [master[0], master[1], ("read_only", get("slave_read_only"))];
        self.gauge("slave_info", "Whose replica this is", &labels, 1.0);
    }

    /// `slave0:ip=…,port=…,state=…,offset=…,lag=…` of a master whose stream is at `offset`.
    fn replica(&mut self, value: &str, offset: Option<f64>) {
        let labels = [
            ("slave_ip", part(value, "ip").unwrap_or_default()),
            ("slave_port", part(value, "port").unwrap_or_default()),
            ("slave_state", part(value, "state").unwrap_or_default()),
        ];
        let acked = part(value, "offset").and_then(number);
        if let Some(acked) = acked {
            self.gauge(
                "connected_slave_offset_bytes",
                "The offset that the replica has acknowledged",
                &labels,
                acked,
            );
        }
        if let Some(lag) = part(value, "lag").and_then(number) {
            self.gauge(
                "connected_slave_lag_seconds",
                "Seconds since the replica's last acknowledgement",
                &labels,
                lag,
            );
        }
        if let (Some(offset), Some(acked)) = (offset, acked) {
            self.gauge(
                "tern_replica_lag_bytes",
                "Bytes of the stream that the replica has not acknowledged",
                &labels,
                (offset - acked).max(0.0),
            );
        }
    }

    /// `cmdstat_get:calls=…,usec=…,usec_per_call=…,rejected_calls=…,failed_calls=…`
    fn command(&mut self, field: &str, value: &str) {
        let Some(cmd) = field.strip_prefix("cmdstat_") else {
            return;
        };
        for (name, parts, metric, help) in [
            ("calls", 1.0, "commands_total", "Calls of the command"),
            (
                "usec",
                1e6,
                "commands_duration_seconds_total",
                "Seconds spent in the command",
            ),
            (
                "rejected_calls",
                1.0,
                "commands_rejected_calls_total",
                "Calls that were refused before they ran",
            ),
            (
                "failed_calls",
                1.0,
                "commands_failed_calls_total",
                "Calls that answered an error",
            ),
        ] {
            if let Some(value) = part(value, name).and_then(number) {
                self.counter(metric, help, &[("cmd", cmd)], value / parts);
            }
        }
    }

    /// `errorstat_WRONGTYPE:count=…`
    fn error(&mut self, field: &str, value: &str) {
        let code = field.strip_prefix("errorstat_");
        let count = part(value, "count").and_then(number);
        if let (Some(code), Some(count)) = (code, count) {
            self.counter(
                "errors_total",
                "Replies that were errors of this code",
                &[("err", code)],
                count,
            );
        }
    }

    /// `latency_percentiles_usec_get:p50=…,p99=…`; how many calls there were is in another section.
    fn percentiles<'a>(&mut self, field: &str, value: &str, get: impl Fn(&str) -> &'a str) {
        let Some(cmd) = field.strip_prefix("latency_percentiles_usec_") else {
            return;
        };
        let calls = get(&format!("cmdstat_{cmd}"));
        let quantiles = value.split(',').filter_map(|part| {
            let (name, value) = part.split_once('=')?;
            let mut quantile = Quantile::default();
            // Two decimal digits of a percent, without the noise of a division.
            let percent: f64 = name.strip_prefix('p')?.parse().ok()?;
            quantile.set_quantile((percent * 1e4).round() / 1e6);
            quantile.set_value(number(value)?);
            Some(quantile)
        });
        let mut summary = Summary::default();
        summary.set_quantile(quantiles.collect());
        summary.set_sample_count(
            part(calls, "calls")
                .and_then(|calls| calls.parse().ok())
                .unwrap_or(0),
        );
        summary.set_sample_sum(part(calls, "usec").and_then(number).unwrap_or(0.0));
        self.add(
            "latency_percentiles_usec",
            MetricType::SUMMARY,
            "How long the command takes, microseconds",
            &[("cmd", cmd)],
            |metric| {
                metric.set_summary(summary);
            },
        );
    }

    /// `db0:keys=…,expires=…,avg_ttl=…`
    fn database(&mut self, db: &str, value: &str) {
        for (name, parts, metric, help) in [
            ("keys", 1.0, "db_keys", "Keys in the database"),
            ("expires", 1.0, "db_keys_expiring", "Keys with an expiry"),
            (
                "avg_ttl",
                1e3,
                "db_avg_ttl_seconds",
                "The mean time that they have left",
            ),
            (
                "keys_with_volatile_items",
                1.0,
                "db_keys_with_expiring_items",
                "Hashes with fields that expire",
            ),
        ] {
            if let Some(value) = part(value, name).and_then(number) {
                self.gauge(metric, help, &[("db", db)], value / parts);
            }
        }
    }

    /// INFO does not tell of empty databases; a panel that sums up keys is to show none, not nothing.
    fn empty_databases(&mut self, snapshot: &Snapshot) {
        let info = sections(&snapshot.info);
        for number in 0..snapshot.databases.min(MOST_DATABASES) {
            let db = format!("db{number}");
            if field(&info, &db).is_none() {
                self.database(&db, "keys=0,expires=0");
            }
        }
    }

    /// `master0:name=…,status=…,address=…,slaves=…,sentinels=…` of a sentinel.
    fn watched(&mut self, value: &str) {
        let get = |name: &str| part(value, name).unwrap_or_default();
        let (name, address, status) = (get("name"), get("address"), get("status"));
        let labels = [("master_name", name), ("master_address", address)];
        let ok = f64::from(u8::from(status == "ok"));
        let with_status = [labels[0], labels[1], ("master_status", status)];
        self.gauge(
            "sentinel_master_status",
            "Whether the master is up for this sentinel",
            &with_status,
            ok,
        );
        for (part, metric, help) in [
            ("slaves", "sentinel_master_slaves", "Replicas of the master"),
            (
                "sentinels",
                "sentinel_master_sentinels",
                "Sentinels that watch the master, this one included",
            ),
        ] {
            if let Some(value) = number(get(part)) {
                self.gauge(metric, help, &labels, value);
            }
        }
    }

    /// CLUSTER INFO: its fields have names of their own in Prometheus, or the same ones.
    fn cluster(&mut self, field: &str, value: &str) {
        if named(field).next().is_some() {
            self.field(field, value);
        } else if let Some(value) = number(value) {
            self.gauge(field, "As in CLUSTER INFO", &[], value);
        }
    }

    fn distribution(&mut self, distribution: &Distribution) {
        let (name, help, labels): (_, _, &[Label<'_>]) = match &distribution.of {
            Measured::Turn => (
                "tern_turn_duration_seconds",
                "How long turns take: all that is done before other clients have theirs",
                &[],
            ),
            Measured::Sync => (
                "tern_aof_fsync_duration_seconds",
                "How long it takes to bring the append-only file to the disk",
                &[],
            ),
            Measured::Command(cmd) => (
                "tern_command_duration_seconds",
                "How long the command takes",
                &[("cmd", cmd)],
            ),
            Measured::Request => (
                "tern_request_size_bytes",
                "How large requests are: their arguments",
                &[],
            ),
            Measured::Reply => ("tern_reply_size_bytes", "How large replies are", &[]),
        };
        let unit = match &distribution.of {
            Measured::Request | Measured::Reply => 1.0,
            Measured::Turn | Measured::Sync | Measured::Command(_) => 1e9,
        };
        self.histogram(name, help, labels, distribution, unit);
        if let Measured::Command(_) = &distribution.of {
            let help = "The same in microseconds";
            self.histogram("commands_latencies_usec", help, labels, distribution, 1e3);
        }
    }

    fn histogram(
        &mut self,
        name: &str,
        help: &str,
        labels: &[Label<'_>],
        distribution: &Distribution,
        unit: f64,
    ) {
        let buckets = distribution.within.iter().map(|&(end, count)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(float(end) / unit);
            bucket.set_cumulative_count(count);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(distribution.count);
        histogram.set_sample_sum(float(distribution.sum) / unit);
        self.add(name, MetricType::HISTOGRAM, help, labels, |metric| {
            metric.set_histogram(histogram);
        });
    }
}

fn float(count: u64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "nobody needs sixteen digits of it"
    )]
    let count = count as f64;
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Number;

    const INFO: &str = "# Server\r\nredis_version:7.2.4\r\nos:Linux \"x\"\\\r\nserver_time_usec:2000000\r\nuptime_in_seconds:1\r\n\
        # Persistence\r\nrdb_last_bgsave_status:ok\r\naof_last_write_status:err\r\n\
        # Stats\r\nlatest_fork_usec:1500\r\ntotal_commands_processed:7\r\n\
        # Replication\r\nrole:master\r\nslave0:ip=10.0.0.2,port=6379,state=online,offset=90,lag=1,type=replica\r\nmaster_repl_offset:100\r\n\
        # Commandstats\r\ncmdstat_config|get:calls=2,usec=10,usec_per_call=5.00,rejected_calls=1,failed_calls=0\r\n\
        # Errorstats\r\nerrorstat_ERR:count=3\r\n\
        # Latencystats\r\nlatency_percentiles_usec_config|get:p50=4.095,p99=6.000,p99.9=6.000\r\n\
        # Keyspace\r\ndb0:keys=5,expires=1,avg_ttl=1500,keys_with_volatile_items=0\r\n";

    fn lines(snapshot: &Snapshot) -> Vec<String> {
        let text = prometheus(snapshot).unwrap();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples.map(str::to_owned).collect()
    }

    #[test]
    fn a_master_by_the_exporters_names() {
        let snapshot = Snapshot {
            info: INFO.to_owned()
                + "# Cluster Info\r\ncluster_state:fail\r\ncluster_known_nodes:6\r\ncluster_stats_messages_sent:9\r\n",
            distributions: vec![Distribution {
                of: Measured::Command("get".to_owned()),
                within: vec![(1024, 1), (4096, 3)],
                count: 4,
                sum: 2_000_000_000,
            }],
            numbers: vec![Number {
                name: "slowlog_length",
                help: "Slow commands",
                labels: Vec::new(),
                value: 2.0,
            }],
            databases: 2,
            ..Snapshot::default()
        };
        let lines = lines(&snapshot);
        for wanted in [
            "redis_up 1",
            "redis_start_time_seconds 1",
            "redis_rdb_last_bgsave_status 1",
            "redis_aof_last_write_status 0",
            "redis_latest_fork_seconds 0.0015",
            "redis_commands_processed_total 7",
            "redis_connected_slave_offset_bytes{slave_ip=\"10.0.0.2\",slave_port=\"6379\",slave_state=\"online\"} 90",
            "redis_connected_slave_lag_seconds{slave_ip=\"10.0.0.2\",slave_port=\"6379\",slave_state=\"online\"} 1",
            "tern_replica_lag_bytes{slave_ip=\"10.0.0.2\",slave_port=\"6379\",slave_state=\"online\"} 10",
            "redis_commands_total{cmd=\"config|get\"} 2",
            "redis_commands_duration_seconds_total{cmd=\"config|get\"} 0.00001",
            "redis_commands_rejected_calls_total{cmd=\"config|get\"} 1",
            "redis_errors_total{err=\"ERR\"} 3",
            "redis_latency_percentiles_usec{cmd=\"config|get\",quantile=\"0.999\"} 6",
            "redis_latency_percentiles_usec_count{cmd=\"config|get\"} 2",
            "redis_latency_percentiles_usec_sum{cmd=\"config|get\"} 10",
            "redis_db_keys{db=\"db0\"} 5",
            "redis_db_avg_ttl_seconds{db=\"db0\"} 1.5",
            "redis_db_keys{db=\"db1\"} 0",
            "redis_db_keys_expiring{db=\"db1\"} 0",
            "redis_cluster_state 0",
            "redis_cluster_known_nodes 6",
            "redis_cluster_messages_sent_total 9",
            "redis_slowlog_length 2",
            "tern_command_duration_seconds_bucket{cmd=\"get\",le=\"0.000004096\"} 3",
            "tern_command_duration_seconds_bucket{cmd=\"get\",le=\"+Inf\"} 4",
            "tern_command_duration_seconds_sum{cmd=\"get\"} 2",
            "redis_commands_latencies_usec_bucket{cmd=\"get\",le=\"4.096\"} 3",
            "redis_commands_latencies_usec_sum{cmd=\"get\"} 2000000",
        ] {
            assert!(
                lines.iter().any(|line| line == wanted),
                "{wanted} is not in {lines:#?}"
            );
        }
        let instance = lines
            .iter()
            .find(|line| line.starts_with("redis_instance_info{"))
            .unwrap();
        assert!(
            instance.contains("os=\"Linux \\\"x\\\"\\\\\","),
            "{instance}"
        );
        assert!(!lines.iter().any(|line| line.contains("master_link_up")));
        assert!(!lines.iter().any(|line| line.contains("\"db2\"")));
    }

    #[test]
    fn a_replica_and_a_sentinel() {
        let info = "# Replication\r\nrole:slave\r\nmaster_host:m\r\nmaster_port:1\r\nmaster_link_status:up\r\n\
            slave_read_repl_offset:12\r\nslave_repl_offset:10\r\nslave_read_only:1\r\n\
            # Sentinel\r\nsentinel_masters:1\r\nmaster0:name=one,status=odown,address=10.0.0.1:6379,slaves=2,sentinels=3\r\n";
        let lines = lines(&Snapshot {
            info: info.to_owned(),
            ..Snapshot::default()
        });
        for wanted in [
            "redis_master_link_up{master_host=\"m\",master_port=\"1\"} 1",
            "redis_slave_repl_offset{master_host=\"m\",master_port=\"1\"} 10",
            "redis_slave_info{master_host=\"m\",master_port=\"1\",read_only=\"1\"} 1",
            "tern_replica_unapplied_bytes{master_host=\"m\",master_port=\"1\"} 2",
            "redis_sentinel_masters 1",
            "redis_sentinel_master_status{master_name=\"one\",master_address=\"10.0.0.1:6379\",master_status=\"odown\"} 0",
            "redis_sentinel_master_slaves{master_name=\"one\",master_address=\"10.0.0.1:6379\"} 2",
            "redis_sentinel_master_sentinels{master_name=\"one\",master_address=\"10.0.0.1:6379\"} 3",
        ] {
            assert!(
                lines.iter().any(|line| line == wanted),
                "{wanted} is not in {lines:#?}"
            );
        }
    }

    #[test]
    fn no_metric_has_two_kinds_or_comes_twice() {
        let text = prometheus(&Snapshot {
            info: INFO.to_owned(),
            ..Snapshot::default()
        })
        .unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for line in text.lines().filter(|line| !line.starts_with("# HELP")) {
            let key = line.rsplit_once(' ').unwrap().0.to_owned();
            assert!(seen.insert(key), "{line}");
        }
    }
}
