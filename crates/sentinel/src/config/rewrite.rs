//! Writing the state back into sentinel.conf: the sentinel's statements, for `conf`'s rewriting, which keeps the user's
//! lines in their places.

use std::sync::Arc;

use conf::ServerConfig;
use resp::args;

use super::{Globals, Options, Saved, SavedMaster};
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
    /// `myid`
    pub myid: String,
    /// The other statements that are not of one master.
    pub globals: Globals,
    /// The lines of users, where they do not follow from the rest.
    pub users: Vec<Vec<u8>>,
}

impl Snapshot {
    /// The new content of the file whose content is `old`.
    #[must_use]
    pub fn render(&self, old: &[u8]) -> Vec<u8> {
        let mut text = self.server.rewriter(old);
        text.forget("user");
        for line in &self.users {
            text.line("user", line.clone(), true);
        }
        for (directive, line) in self.statements() {
            text.line(directive, line, true);
        }
        for directive in DIRECTIVES {
            text.forget(directive);
        }
        text.finish()
    }

    /// The lines, each with the directive whose old line it takes the place of.
    fn statements(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut lines = Vec::new();
        for master in &self.saved.masters {
            master_lines(master, &mut lines);
        }
        lines.push(line("sentinel myid", self.myid.as_bytes()));
        self.global_lines(&mut lines);
        let epoch = self.saved.current_epoch.to_string();
        lines.push(line("sentinel current-epoch", epoch.as_bytes()));
        lines
    }

    /// The statements that are not of one master, where they are not as they would be without a line.
    fn global_lines(&self, lines: &mut Vec<(&'static str, Vec<u8>)>) {
        let (globals, usual) = (&self.globals, Globals::default());
        let flags = [
            (
                "sentinel resolve-hostnames",
                globals.resolve_hostnames,
                usual.resolve_hostnames,
            ),
            (
                "sentinel announce-hostnames",
                globals.announce_hostnames,
                usual.announce_hostnames,
            ),
            (
                "sentinel deny-scripts-reconfig",
                globals.deny_scripts_reconfig,
                usual.deny_scripts_reconfig,
            ),
            (
                "sentinel vote-without-disk",
                globals.vote_without_disk,
                usual.vote_without_disk,
            ),
        ];
        for (name, value, usual) in flags {
            if value != usual {
                lines.push(line(name, if value { b"yes" } else { b"no" }));
            }
        }
        let ip = globals.announce_ip.as_ref().map(String::as_bytes);
        let texts = [
            ("sentinel announce-ip", ip),
            ("sentinel sentinel-user", globals.sentinel_user.as_deref()),
            ("sentinel sentinel-pass", globals.sentinel_pass.as_deref()),
        ];
        for (name, value) in texts {
            lines.extend(value.map(|value| line(name, &quoted(value))));
        }
        if let Some(port) = globals.announce_port {
            lines.push(line("sentinel announce-port", port.to_string().as_bytes()));
        }
    }
}

/// Every directive that the state has lines of, or older names of them.
const DIRECTIVES: &[&str] = &[
    "sentinel monitor",
    "sentinel down-after-milliseconds",
    "sentinel failover-timeout",
    "sentinel parallel-syncs",
    "sentinel notification-script",
    "sentinel client-reconfig-script",
    "sentinel auth-pass",
    "sentinel auth-user",
    "sentinel primary-reboot-down-after-period",
    "sentinel master-reboot-down-after-period",
    "sentinel saturation-threshold",
    "sentinel saturation-failover",
    "sentinel rename-command",
    "sentinel config-epoch",
    "sentinel leader-epoch",
    "sentinel known-replica",
    "sentinel known-slave",
    "sentinel known-sentinel",
    "sentinel myid",
    "sentinel resolve-hostnames",
    "sentinel announce-hostnames",
    "sentinel deny-scripts-reconfig",
    "sentinel vote-without-disk",
    "sentinel announce-ip",
    "sentinel sentinel-user",
    "sentinel sentinel-pass",
    "sentinel announce-port",
    "sentinel current-epoch",
];

fn line(directive: &'static str, value: &[u8]) -> (&'static str, Vec<u8>) {
    (directive, [directive.as_bytes(), b" ", value].concat())
}

/// An address as two words, by its name where it has one.
fn pair(addr: &Addr) -> String {
    format!("{} {}", addr.shown(true), addr.port)
}

#[expect(clippy::too_many_lines, reason = "one line per statement")]
fn master_lines(master: &SavedMaster, lines: &mut Vec<(&'static str, Vec<u8>)>) {
    let name = word(master.name.as_bytes());
    let mut put = |directive: &'static str, value: &[u8]| {
        lines.push(line(directive, &[&name[..], b" ", value].concat()));
    };
    let Options {
        quorum,
        down_after_ms,
        failover_timeout_ms,
        parallel_syncs,
        ..
    } = master.options;
    put(
        "sentinel monitor",
        format!("{} {quorum}", pair(&master.addr)).as_bytes(),
    );
    if down_after_ms != timing::DEFAULT_DOWN_AFTER {
        put(
            "sentinel down-after-milliseconds",
            down_after_ms.to_string().as_bytes(),
        );
    }
    if failover_timeout_ms != timing::DEFAULT_FAILOVER_TIMEOUT {
        put(
            "sentinel failover-timeout",
            failover_timeout_ms.to_string().as_bytes(),
        );
    }
    if parallel_syncs != timing::DEFAULT_PARALLEL_SYNCS {
        put(
            "sentinel parallel-syncs",
            parallel_syncs.to_string().as_bytes(),
        );
    }
    if let Some(path) = &master.options.notification_script {
        put("sentinel notification-script", &word(path.as_bytes()));
    }
    if let Some(path) = &master.options.client_reconfig_script {
        put("sentinel client-reconfig-script", &word(path.as_bytes()));
    }
    if let Some(password) = &master.options.auth_pass {
        put("sentinel auth-pass", &word(password));
    }
    if let Some(user) = &master.options.auth_user {
        put("sentinel auth-user", &word(user));
    }
    if master.options.reboot_down_after_ms != 0 {
        let ms = master.options.reboot_down_after_ms.to_string();
        put("sentinel primary-reboot-down-after-period", ms.as_bytes());
    }
    if master.options.saturation_threshold_ms != 0 {
        let ms = master.options.saturation_threshold_ms.to_string();
        put("sentinel saturation-threshold", ms.as_bytes());
    }
    if master.options.saturation_failover {
        put("sentinel saturation-failover", b"yes");
    }
    for (old, new) in &master.options.renamed {
        let names = [quoted(old.as_bytes()), quoted(new.as_bytes())];
        put("sentinel rename-command", &names.join(&b' '));
    }
    put(
        "sentinel config-epoch",
        master.config_epoch.to_string().as_bytes(),
    );
    put(
        "sentinel leader-epoch",
        master.leader_epoch.to_string().as_bytes(),
    );
    for slave in &master.slaves {
        put("sentinel known-replica", pair(slave).as_bytes());
    }
    for (addr, runid) in &master.sentinels {
        let runid = runid
            .as_deref()
            .map(|runid| [b" ".to_vec(), word(runid.as_bytes())].concat());
        put(
            "sentinel known-sentinel",
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
            myid: "46c4e8095e87ae3da36051818063f69fa7ca0419".to_owned(),
            globals: Globals::default(),
            users: Vec::new(),
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
    fn each_statement_keeps_its_place() {
        let old = "# first\nsentinel parallel-syncs taotaoMaster 1\nsentinel down-after-milliseconds taotaoMaster 5\n\
                   # then\nsentinel known-slave taotaoMaster 1.1.1.1 1\nsentinel monitor taotaoMaster 127.0.0.1 6379 1\n";
        let new = String::from_utf8(snapshot(after_failover()).render(old.as_bytes())).unwrap();
        let head = "# first\n\nsentinel down-after-milliseconds taotaoMaster 3000\n# then\n\n\
                    sentinel monitor taotaoMaster 127.0.0.1 6380 1\n";
        assert!(new.starts_with(head), "{new}");
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
