//! INFO of a sentinel: the sections `server` and `sentinel`.

use std::fmt::Write as _;

use crate::Monitor;
use crate::instance::Master;
use crate::io::Reply;

impl Monitor {
    pub(super) fn info(&self, args: &[Vec<u8>]) -> Reply {
        if args.len() > 1 {
            return Reply::err("syntax error");
        }
        let section = args
            .first()
            .map_or("default".into(), |section| String::from_utf8_lossy(section));
        let wanted = |name: &str| {
            section.eq_ignore_ascii_case(name) || section.eq_ignore_ascii_case("default")
        };
        let mut sections = Vec::new();
        if wanted("server") {
            sections.push(self.server_section());
        }
        if wanted("sentinel") {
            sections.push(self.sentinel_section());
        }
        Reply::Bulk(sections.join("\r\n").into_bytes())
    }

    fn server_section(&self) -> String {
        let config = &self.cx.config;
        let uptime_s = self.cx.mono().saturating_sub(self.cx.started.mono_ms) / 1_000;
        let lru_clock = (self.cx.now.unix_ms / 1_000) & 0xFF_FFFF;
        let mut text = "# Server\r\nredis_version:3.0.7\r\n".to_owned();
        let mut line = |name: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{name}:{value}\r\n");
        };
        for (name, value) in &config.facts.build {
            line(name, value);
        }
        line("process_id", &config.facts.process_id.to_string());
        line("run_id", &config.runid);
        line("tcp_port", &config.server.port.to_string());
        line("uptime_in_seconds", &uptime_s.to_string());
        line("uptime_in_days", &(uptime_s / 86_400).to_string());
        line("hz", &self.cx.hz.to_string());
        line("lru_clock", &lru_clock.to_string());
        line("config_file", &config.facts.config_file);
        text
    }

    fn sentinel_section(&self) -> String {
        let mut text = format!(
            "# Sentinel\r\nsentinel_masters:{}\r\nsentinel_tilt:{}\r\nsentinel_running_scripts:{}\r\n\
             sentinel_scripts_queue_length:{}\r\n",
            self.masters.len(),
            u8::from(self.cx.tilt()),
            self.cx.scripts.running(),
            self.cx.scripts.len(),
        );
        for (index, master) in self.masters.iter().enumerate() {
            let _ = write!(text, "master{index}:{}\r\n", summary(master));
        }
        text
    }
}

fn summary(master: &Master) -> String {
    let status = match (master.odown, master.node.sdown) {
        (true, _) => "odown",
        (false, true) => "sdown",
        (false, false) => "ok",
    };
    format!(
        "name={},status={status},address={}:{},slaves={},sentinels={}",
        master.name,
        master.node.addr.ip,
        master.node.addr.port,
        master.slaves.len(),
        master.peers.len() + 1
    )
}
