//! Writing the state back into sentinel.conf: the sentinel's statements, for `conf`'s rewriting, which keeps the user's
//! lines in their places.

use std::sync::Arc;

use conf::ServerConfig;
use resp::args;

use super::{Options, Saved, SavedMaster};
use crate::Addr;
use crate::timing;

/// The state to be written. Rendered against the text that is in the file *now*, so that what the user changes in it
/// while the sentinel runs is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The directives that a sentinel shares with a server.
    pub server: Arc<ServerConfig>,
    /// The sentinel's state.
    pub saved: Saved,
    /// `announce-ip`
    pub announce_ip: Option<String>,
    /// `announce-port`
    pub announce_port: Option<u16>,
}

impl Snapshot {
    /// The new content of the file whose content is `old`.
    #[must_use]
    pub fn render(&self, old: &[u8]) -> Vec<u8> {
        let mut text = self.server.rewriter(old);
        for line in self.statements() {
            text.line("sentinel", line, true);
        }
        text.finish()
    }

    fn statements(&self) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        for master in &self.saved.masters {
            master_lines(master, &mut lines);
        }
        lines.push(format!("sentinel current-epoch {}", self.saved.current_epoch).into_bytes());
        if let Some(ip) = &self.announce_ip {
            lines.push([b"sentinel announce-ip ".to_vec(), quoted(ip.as_bytes())].concat());
        }
        if let Some(port) = self.announce_port {
            lines.push(format!("sentinel announce-port {port}").into_bytes());
        }
        lines
    }
}

fn master_lines(master: &SavedMaster, lines: &mut Vec<Vec<u8>>) {
    let name = word(master.name.as_bytes());
    let mut put = |directive: &str, value: &[u8]| {
        lines.push([b"sentinel ", directive.as_bytes(), b" ", &name, b" ", value].concat());
    };
    let Options {
        quorum,
        down_after_ms,
        failover_timeout_ms,
        parallel_syncs,
        ..
    } = master.options;
    put(
        "monitor",
        format!("{} {} {quorum}", master.addr.ip, master.addr.port).as_bytes(),
    );
    if down_after_ms != timing::DEFAULT_DOWN_AFTER {
        put(
            "down-after-milliseconds",
            down_after_ms.to_string().as_bytes(),
        );
    }
    if failover_timeout_ms != timing::DEFAULT_FAILOVER_TIMEOUT {
        put(
            "failover-timeout",
            failover_timeout_ms.to_string().as_bytes(),
        );
    }
    if parallel_syncs != timing::DEFAULT_PARALLEL_SYNCS {
        put("parallel-syncs", parallel_syncs.to_string().as_bytes());
    }
    if let Some(path) = &master.options.notification_script {
        put("notification-script", &word(path.as_bytes()));
    }
    if let Some(path) = &master.options.client_reconfig_script {
        put("client-reconfig-script", &word(path.as_bytes()));
    }
    if let Some(password) = &master.options.auth_pass {
        put("auth-pass", &word(password));
    }
    put("config-epoch", master.config_epoch.to_string().as_bytes());
    put("leader-epoch", master.leader_epoch.to_string().as_bytes());
    let pair = |addr: &Addr| format!("{} {}", addr.ip, addr.port);
    for slave in &master.slaves {
        put("known-slave", pair(slave).as_bytes());
    }
    for (addr, runid) in &master.sentinels {
        let runid = runid
            .as_deref()
            .map(|runid| [b" ".to_vec(), word(runid.as_bytes())].concat());
        put(
            "known-sentinel",
            &[pair(addr).into_bytes(), runid.unwrap_or_default()].concat(),
        );
    }
}

/// A word as `resp::args` reads it back: as it is where that is possible, else quoted.
fn word(word: &[u8]) -> Vec<u8> {
    let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\');
    if !word.is_empty() && word.iter().all(plain) {
        word.to_vec()
    } else {
        quoted(word)
    }
}

/// A word in double quotes.
fn quoted(word: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    args::quote(word, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::File;
    use crate::config::parse::tests::NoWorld;

    fn snapshot(saved: Saved) -> Snapshot {
        let server = ServerConfig {
            port: 26379,
            dir: b"/var/lib/sentinel".to_vec(),
            ..ServerConfig::default()
        };
        Snapshot {
            server: Arc::new(server),
            saved,
            announce_ip: None,
            announce_port: None,
        }
    }

    fn addr(port: u16) -> Addr {
        Addr::new([127, 0, 0, 1].into(), port).unwrap()
    }

    fn after_failover() -> Saved {
        let options = Options {
            down_after_ms: 3000,
            ..Options::new(1)
        };
        let master = SavedMaster {
            name: "taotaoMaster".to_owned(),
            addr: addr(6380),
            options,
            config_epoch: 1,
            leader_epoch: 1,
            slaves: vec![addr(6381), addr(6379)],
            sentinels: vec![],
        };
        Saved {
            current_epoch: 1,
            masters: vec![master],
        }
    }

    #[test]
    fn the_recorded_file_comes_out_byte_for_byte() {
        let old = "port 26379\nsentinel monitor taotaoMaster 127.0.0.1 6379 1\n\
                   sentinel down-after-milliseconds taotaoMaster 3000\n";
        let new = snapshot(after_failover()).render(old.as_bytes());
        let recorded = include_str!("../../tests/data/sentinel.conf-after-failover.txt");
        assert_eq!(String::from_utf8(new).unwrap(), recorded);
    }

    #[test]
    fn rewriting_twice_changes_nothing() {
        let once = snapshot(after_failover())
            .render(b"# mine\n\n\nport 1\nport 2\n\nsentinel monitor x 1.1.1.1 1 1\n");
        assert_eq!(snapshot(after_failover()).render(&once), once);
    }

    #[test]
    fn names_and_passwords_cannot_write_lines_of_their_own() {
        let mut saved = after_failover();
        saved.masters[0].name = "my master".to_owned();
        saved.masters[0].options.auth_pass =
            Some(b"x\nsentinel notification-script y /bin/sh \xe4".to_vec());
        saved.masters[0]
            .sentinels
            .push((addr(26380), Some("a b".to_owned())));
        let text = snapshot(saved.clone()).render(b"");
        assert_eq!(File::parse(&text, &mut NoWorld).unwrap().saved, saved);
    }
}
