//! INFO of a sentinel: the sections `server`, `clients`, `stats`, `cpu` and `sentinel`.

use std::fmt::{Display, Write as _};

use conf::ServerConfig;

use crate::Monitor;
use crate::context::Context;
use crate::instance::Master;
use crate::io::Reply;

/// The sections, in their order.
const SECTIONS: [&str; 5] = ["server", "clients", "stats", "cpu", "sentinel"];

/// A section that is being written.
struct Section(String);

impl Section {
    fn new(title: &str) -> Self {
        Self(format!("# {title}\r\n"))
    }

    fn line(&mut self, name: &str, value: impl Display) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "{name}:{value}\r\n");
    }
}

impl Monitor {
    pub(super) fn info(&self, args: &[Vec<u8>]) -> Reply {
        Reply::Bulk(self.info_text(args).into_bytes())
    }

    /// INFO's text for these sections; for none, all.
    pub(crate) fn info_text(&self, args: &[Vec<u8>]) -> String {
        let asked: Vec<String> = args
            .iter()
            .map(|section| String::from_utf8_lossy(section).to_ascii_lowercase())
            .collect();
        let all = asked.is_empty()
            || ["all", "default", "everything"]
                .iter()
                .any(|all| asked.iter().any(|asked| asked == all));
        let sections: Vec<String> = SECTIONS
            .into_iter()
            .filter(|section| all || asked.iter().any(|asked| asked == section))
            .map(|section| match section {
                "server" => self.server_section(),
                "clients" => self.clients_section(),
                "stats" => self.stats_section(),
                "cpu" => self.cpu_section(),
                _ => self.sentinel_section(),
            })
            .collect();
        sections.join("\r\n")
    }

    fn server_section(&self) -> String {
        let (config, now) = (&self.cx.config, self.cx.now);
        let uptime_s = self.cx.mono().saturating_sub(self.cx.started.mono_ms) / 1_000;
        let mut section = Section::new("Server");
        section.line("redis_version", resp::REDIS_VERSION);
        for (name, value) in &config.facts.build {
            section.line(name, value);
        }
        section.line("process_id", config.facts.process_id);
        section.line("run_id", &config.facts.run_id);
        section.line("tcp_port", config.server.port);
        section.line("server_time_usec", now.unix_ms.saturating_mul(1_000));
        section.line("uptime_in_seconds", uptime_s);
        section.line("uptime_in_days", uptime_s / 86_400);
        section.line("hz", self.cx.hz);
        section.line("configured_hz", crate::timing::MIN_HZ);
        section.line("lru_clock", (now.unix_ms / 1_000) & 0xFF_FFFF);
        section.line("executable", &config.facts.executable);
        section.line("config_file", &config.facts.config_file);
        for (number, listener) in listeners(&config.server).iter().enumerate() {
            section.line(&format!("listener{number}"), listener);
        }
        section.0
    }

    fn clients_section(&self) -> String {
        let sessions = &self.cx.sessions;
        let tracking = sessions.iter().filter(|(_, one)| one.tracking.is_some());
        let mut section = Section::new("Clients");
        section.line("connected_clients", sessions.len());
        section.line("maxclients", self.cx.config.server.maxclients);
        section.line("blocked_clients", 0);
        section.line("tracking_clients", tracking.count());
        section.line("pubsub_clients", sessions.subscribers());
        section.0
    }

    fn stats_section(&self) -> String {
        let sessions = &self.cx.sessions;
        let (channels, patterns) = sessions.channels_and_patterns();
        let mut section = Section::new("Stats");
        section.line("total_connections_received", sessions.connections);
        section.line("total_commands_processed", sessions.requests);
        let (traffic, rates) = (self.cx.traffic, self.cx.rates.per_second());
        section.line("instantaneous_ops_per_sec", rates.commands);
        section.line("total_net_input_bytes", traffic.bytes_in);
        section.line("total_net_output_bytes", traffic.bytes_out);
        let kilobytes = |rate: f64| format!("{rate:.2}");
        section.line("instantaneous_input_kbps", kilobytes(rates.kilobytes_in));
        section.line("instantaneous_output_kbps", kilobytes(rates.kilobytes_out));
        section.line("rejected_connections", traffic.refused + self.cx.refused);
        section.line("pubsub_channels", channels);
        section.line("pubsub_patterns", patterns);
        section.line("total_error_replies", self.cx.errors);
        section.line("total_reads_processed", traffic.reads);
        section.line("total_writes_processed", traffic.writes);
        section.line(
            "client_query_buffer_limit_disconnections",
            traffic.long_requests,
        );
        section.line(
            "client_output_buffer_limit_disconnections",
            traffic.long_replies,
        );
        for (name, count) in self.cx.access.denials.fields() {
            section.line(name, count);
        }
        section.0
    }

    fn cpu_section(&self) -> String {
        let mut section = Section::new("CPU");
        if let Some(cpu) = self.cx.config.facts.cpu {
            let used = cpu();
            for (of, time) in [
                ("", used.process),
                ("_children", used.children),
                ("_main_thread", used.main_thread),
            ] {
                let seconds = |us: u64| format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
                section.line(&format!("used_cpu_sys{of}"), seconds(time.kernel_us));
                section.line(&format!("used_cpu_user{of}"), seconds(time.user_us));
            }
        }
        section.0
    }

    fn sentinel_section(&self) -> String {
        let cx = &self.cx;
        let tilt_s = cx
            .tilt_since
            .map(|since| cx.mono().saturating_sub(since) / 1_000);
        let mut section = Section::new("Sentinel");
        section.line("sentinel_masters", self.masters.len());
        section.line("sentinel_tilt", u8::from(cx.tilt()));
        match tilt_s {
            Some(seconds) => section.line("sentinel_tilt_since_seconds", seconds),
            None => section.line("sentinel_tilt_since_seconds", -1),
        }
        section.line("sentinel_total_tilt", cx.tilts);
        section.line("sentinel_running_scripts", cx.scripts.running());
        section.line("sentinel_scripts_queue_length", cx.scripts.len());
        section.line("sentinel_simulate_failure_flags", cx.simulate.flags());
        section.line("sentinel_config_unsaved", u8::from(cx.cannot_save()));
        for (index, master) in self.masters.iter().enumerate() {
            section.line(&format!("master{index}"), summary(cx, master));
        }
        section.0
    }
}

/// What is listened to.
fn listeners(config: &ServerConfig) -> Vec<String> {
    let binds = config.bind.iter().map(|bind| format!(",bind={bind}"));
    let binds: String = binds.collect();
    let tcp = (config.port > 0).then(|| format!("name=tcp{binds},port={}", config.port));
    let unix = config.unixsocket.as_ref().map(|path| {
        let path = String::from_utf8_lossy(path);
        format!("name=unix,bind={path}")
    });
    let tls = (config.tls_port > 0).then(|| format!("name=tls{binds},port={}", config.tls_port));
    [tcp, unix, tls].into_iter().flatten().collect()
}

fn summary(cx: &Context, master: &Master) -> String {
    let status = match (master.odown, master.node.sdown) {
        (true, _) => "odown",
        (false, true) => "sdown",
        (false, false) => "ok",
    };
    format!(
        "name={},status={status},address={}:{},slaves={},sentinels={}",
        master.name,
        cx.shown(&master.node.addr),
        master.node.addr.port,
        master.slaves.len(),
        master.known_peers().count() + 1
    )
}
