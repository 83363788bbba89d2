//! What the server's configuration says to the cluster's core.

use std::net::IpAddr;

use cluster_bus::{Announced, Config, Endpoint, LogLevel};
use conf::{EndpointType, ServerConfig};

/// The core's part of the configuration.
pub(crate) fn of(config: &ServerConfig) -> Config {
    // With `tls-cluster` nodes know each other by their TLS ports first.
    let by_role = |plain: u16, tls: u16| {
        if config.tls_cluster {
            (tls, plain)
        } else {
            (plain, tls)
        }
    };
    let (port, other_port) = by_role(config.port, config.tls_port);
    let (announce_port, announce_other_port) = by_role(
        config.cluster_announce_port,
        config.cluster_announce_tls_port,
    );
    let announce_ip = text(config.cluster_announce_ip.as_deref());
    Config {
        node_timeout_ms: config.cluster_node_timeout.max(1),
        ping_interval_ms: Some(config.cluster_ping_interval).filter(|interval| *interval > 0),
        slave_validity_factor: u64::from(config.cluster_slave_validity_factor),
        migration_barrier: u64::from(config.cluster_migration_barrier),
        require_full_coverage: config.cluster_require_full_coverage,
        repl_ping_period_ms: u64::from(config.repl_ping_slave_period) * 1000,
        port,
        other_port,
        tls: config.tls_cluster,
        bus_port: config.cluster_port,
        announce_ip: announce_ip.parse().ok().map(|ip: IpAddr| ip.to_canonical()),
        announce_port,
        announce_other_port,
        announce_bus_port: config.cluster_announce_bus_port,
        announced: announced(config),
        preferred_endpoint: match config.cluster_preferred_endpoint_type {
            EndpointType::Ip => Endpoint::Ip,
            EndpointType::Hostname => Endpoint::Hostname,
            EndpointType::UnknownEndpoint => Endpoint::Unknown,
        },
        allow_reads_when_down: config.cluster_allow_reads_when_down,
        allow_pubsubshard_when_down: config.cluster_allow_pubsubshard_when_down,
        allow_replica_migration: config.cluster_allow_replica_migration,
        blacklist_ttl_ms: u64::try_from(config.cluster_blacklist_ttl)
            .unwrap_or(0)
            .saturating_mul(1000),
        manual_failover_timeout_ms: config.cluster_manual_failover_timeout,
        replica_no_failover: config.cluster_replica_no_failover,
        replicas_vote: config.cluster_replicas_vote,
        link_sendbuf_limit: config.cluster_link_sendbuf_limit,
        seeds: config.cluster_seeds.clone(),
        log_level: match config.loglevel {
            conf::LogLevel::Debug => LogLevel::Debug,
            conf::LogLevel::Verbose => LogLevel::Verbose,
            conf::LogLevel::Notice => LogLevel::Notice,
            conf::LogLevel::Warning | conf::LogLevel::Nothing => LogLevel::Warning,
        },
        ..Config::default()
    }
}

fn announced(config: &ServerConfig) -> Announced {
    Announced {
        hostname: text(config.cluster_announce_hostname.as_deref()),
        nodename: text(config.cluster_announce_human_nodename.as_deref()),
        client_ipv4: text(config.cluster_announce_client_ipv4.as_deref()),
        client_ipv6: text(config.cluster_announce_client_ipv6.as_deref()),
        client_port: config.cluster_announce_client_port,
        client_tls_port: config.cluster_announce_client_tls_port,
        availability_zone: text(Some(&config.availability_zone)),
    }
}

fn text(value: Option<&[u8]>) -> String {
    String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_directive_reaches_the_core() {
        let config = ServerConfig {
            port: 7000,
            tls_port: 7001,
            cluster_port: 7002,
            cluster_announce_ip: Some(b"10.0.0.1".to_vec()),
            cluster_announce_port: 8000,
            cluster_announce_tls_port: 8001,
            cluster_announce_bus_port: 8002,
            cluster_announce_hostname: Some(b"host".to_vec()),
            cluster_announce_human_nodename: Some(b"name".to_vec()),
            cluster_announce_client_ipv4: Some(b"10.0.0.2".to_vec()),
            cluster_announce_client_ipv6: Some(b"::2".to_vec()),
            cluster_announce_client_port: 9000,
            cluster_announce_client_tls_port: 9001,
            cluster_preferred_endpoint_type: EndpointType::Hostname,
            cluster_allow_reads_when_down: true,
            cluster_allow_pubsubshard_when_down: false,
            cluster_allow_replica_migration: false,
            cluster_replica_no_failover: true,
            cluster_blacklist_ttl: 7,
            cluster_manual_failover_timeout: 8,
            cluster_link_sendbuf_limit: 9,
            cluster_seeds: vec![([10, 0, 0, 3], 17000).into()],
            availability_zone: b"zone".to_vec(),
            ..ServerConfig::default()
        };
        let mut wanted = Config {
            repl_ping_period_ms: 10_000,
            port: 7000,
            other_port: 7001,
            bus_port: 7002,
            announce_ip: Some([10, 0, 0, 1].into()),
            announce_port: 8000,
            announce_other_port: 8001,
            announce_bus_port: 8002,
            announced: Announced {
                hostname: "host".to_owned(),
                nodename: "name".to_owned(),
                client_ipv4: "10.0.0.2".to_owned(),
                client_ipv6: "::2".to_owned(),
                client_port: 9000,
                client_tls_port: 9001,
                availability_zone: "zone".to_owned(),
            },
            preferred_endpoint: Endpoint::Hostname,
            allow_reads_when_down: true,
            allow_pubsubshard_when_down: false,
            allow_replica_migration: false,
            replica_no_failover: true,
            blacklist_ttl_ms: 7000,
            manual_failover_timeout_ms: 8,
            link_sendbuf_limit: 9,
            seeds: vec![([10, 0, 0, 3], 17000).into()],
            ..Config::default()
        };
        assert_eq!(of(&config), wanted);
        wanted.tls = true;
        (wanted.port, wanted.other_port) = (7001, 7000);
        (wanted.announce_port, wanted.announce_other_port) = (8001, 8000);
        let config = ServerConfig {
            tls_cluster: true,
            ..config
        };
        assert_eq!(of(&config), wanted);
    }
}
