//! The process's title: what a list of processes shows in the place of the arguments, which may hold passwords.
#![expect(
    unsafe_code,
    reason = "the arguments are written over where the system put them"
)]

use std::path::Path;
use std::sync::OnceLock;

use conf::ServerConfig;

/// Where the arguments begin and end, and behind them the environment, is in these fields of `/proc/self/stat`, counted behind the
/// name in parentheses.
const PLACES: std::ops::Range<usize> = 45..49;

/// What was first among the arguments, and the place of all of them and of the environment: its start, the length of the arguments,
/// and that of the whole.
static ROOM: OnceLock<(String, [usize; 3])> = OnceLock::new();

/// Has the title have the place of the environment as well, which moves elsewhere: the arguments alone may be too short for it. To be
/// called while there is one thread.
pub(crate) fn make_room() {
    let program = std::env::args_os().next().unwrap_or_default();
    let Some(places) = places() else {
        return;
    };
    for (name, value) in std::env::vars_os() {
        if name.as_encoded_bytes().contains(&b'=') {
            continue;
        }
        // SAFETY: no other thread is there that could read the environment.
        unsafe { std::env::set_var(name, value) };
    }
    let _ = ROOM.set((program.to_string_lossy().into_owned(), places));
}

/// Shows the title that the configuration wants, if it wants one.
pub(crate) fn show(config: &ServerConfig, config_file: Option<&Path>) {
    let Some((program, place)) = ROOM.get().filter(|_| config.set_proc_title) else {
        return;
    };
    let file = config_file.map(Path::to_string_lossy).unwrap_or_default();
    write(*place, &title(config, program, &file));
}

/// `proc-title-template`, filled in.
fn title(config: &ServerConfig, program: &str, config_file: &str) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let socket = text(config.unixsocket.as_deref().unwrap_or_default());
    let address = config.bind.first().map_or("*", String::as_str);
    let listens_at = match (config.port, config.tls_port) {
        (0, 0) => socket.clone(),
        (0, port) | (port, _) => format!("{address}:{port}"),
    };
    let mode = if config.cluster_enabled {
        "[cluster]"
    } else {
        ""
    };
    let template = text(&config.proc_title_template);
    let mut title = String::new();
    let mut rest = &template[..];
    while let Some((before, behind)) = rest.split_once('{') {
        let (name, behind) = behind.split_once('}').unwrap_or((behind, ""));
        title.push_str(before);
        match name {
            "title" => title.push_str(program),
            "listen-addr" => title.push_str(&listens_at),
            "server-mode" => title.push_str(mode),
            "port" => title.push_str(&config.port.to_string()),
            "tls-port" => title.push_str(&config.tls_port.to_string()),
            "unixsocket" => title.push_str(&socket),
            "config-file" => title.push_str(config_file),
            // The configuration takes no others.
            _ => {}
        }
        rest = behind;
    }
    title.push_str(rest);
    title.trim_matches(' ').to_owned()
}

/// Puts a title, as much of it as there is room for, into the place of the arguments. Nobody may hold a reference into them; what
/// [`std::env::args_os`] answers changes too.
fn write([start, arguments, room]: [usize; 3], title: &str) {
    let shown = title.len().min(room - 1);
    // The system shows what is behind the arguments where their last byte is not zero.
    let cleared = if shown < arguments { arguments } else { room };
    // SAFETY: the system has put arguments and environment there, in memory that this process may write to; the environment was
    // copied elsewhere, and the end of either stays a zero byte. The standard library copies arguments from there when it is asked for
    // them, and only the main thread, which is here, asks.
    unsafe {
        let place: *mut u8 = std::ptr::with_exposed_provenance_mut(start);
        place.write_bytes(0, cleared);
        place.copy_from_nonoverlapping(title.as_ptr(), shown);
    }
}

/// Where the arguments begin, how many bytes they take, and how many with the environment that lies right behind them.
fn places() -> Option<[usize; 3]> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    let fields: Vec<usize> = fields
        .split_ascii_whitespace()
        .skip(PLACES.start)
        .take(PLACES.len())
        .map_while(|field| field.parse().ok())
        .collect();
    let &[start, end, environment, last] = &fields[..] else {
        return None;
    };
    let all = if environment == end && last > end {
        last
    } else {
        end
    };
    (start > 0 && start < end).then(|| [start, end - start, all - start])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_filled_in() {
        let mut config = ServerConfig {
            bind: vec!["10.0.0.1".to_owned()],
            port: 7000,
            tls_port: 7001,
            unixsocket: Some(b"/run/s".to_vec()),
            ..ServerConfig::default()
        };
        let shown = |config: &ServerConfig| title(config, "bin/server", "/etc/tern.conf");
        assert_eq!(shown(&config), "bin/server 10.0.0.1:7000");
        config.cluster_enabled = true;
        assert_eq!(shown(&config), "bin/server 10.0.0.1:7000 [cluster]");
        config.proc_title_template =
            b" a{title}b {port} {tls-port} {unixsocket} {config-file} c ".to_vec();
        assert_eq!(
            shown(&config),
            "abin/serverb 7000 7001 /run/s /etc/tern.conf c"
        );
        config.proc_title_template = b"{listen-addr}".to_vec();
        config.port = 0;
        assert_eq!(shown(&config), "10.0.0.1:7001");
        config.tls_port = 0;
        assert_eq!(shown(&config), "/run/s");
    }
}
