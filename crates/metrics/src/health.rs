//! Whether a server should be sent clients.

use crate::Snapshot;
use crate::info::{field, sections};

/// Why it should not, one reason a line; nothing where it should. It has loaded its data, a replica is in sync with its master, and a
/// node's cluster serves its slots. A sentinel is ready as soon as it answers, unless it is in TILT.
#[must_use]
pub fn unready(snapshot: &Snapshot) -> Vec<String> {
    let info = sections(&snapshot.info);
    let is = |name: &str, value: &str| field(&info, name) == Some(value);
    let mut reasons = Vec::new();
    if is("loading", "1") {
        let done = field(&info, "loading_loaded_perc").unwrap_or("0");
        reasons.push(format!("loading data: {done} % done"));
    }
    if is("role", "slave") {
        if is("master_sync_in_progress", "1") {
            reasons.push("copying the data of its master".to_owned());
        } else if !is("master_link_status", "up") {
            reasons.push("no link to its master".to_owned());
        }
    }
    if let Some(state) = field(&info, "cluster_state").filter(|state| *state != "ok") {
        reasons.push(format!("the cluster's state is {state}"));
    }
    if is("sentinel_tilt", "1") {
        reasons.push("in TILT".to_owned());
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(info: &str, cluster: &str) -> Vec<String> {
        unready(&Snapshot {
            info: format!("# All\r\n{info}# Cluster Info\r\n{cluster}"),
            ..Snapshot::default()
        })
    }

    #[test]
    fn what_keeps_a_server_from_being_ready() {
        assert!(reasons("loading:0\r\nrole:master\r\n", "").is_empty());
        assert!(
            reasons(
                "role:slave\r\nmaster_link_status:up\r\n",
                "cluster_state:ok\r\n"
            )
            .is_empty()
        );
        assert_eq!(
            reasons(
                "loading:1\r\nloading_loaded_perc:12.50\r\n",
                "cluster_state:fail\r\n"
            ),
            ["loading data: 12.50 % done", "the cluster's state is fail"]
        );
        let alone = reasons("role:slave\r\nmaster_link_status:down\r\n", "");
        assert_eq!(alone, ["no link to its master"]);
        let syncing = "role:slave\r\nmaster_link_status:down\r\nmaster_sync_in_progress:1\r\n";
        assert_eq!(reasons(syncing, ""), ["copying the data of its master"]);
        assert_eq!(reasons("sentinel_tilt:1\r\n", ""), ["in TILT"]);
    }
}
