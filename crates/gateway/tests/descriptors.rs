//! A gateway without file descriptors: alone in its process, because it takes them all.

mod support;

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{Gateway, PATIENCE};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

#[tokio::test]
async fn want_of_descriptors_passes() {
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), maximum: before.maximum })
        .expect("a lower limit");
    let mut config = keyway_gateway::GatewayConfig::default();
    assert_eq!(config.limits.connections_max, 32, "by default half of the descriptors are left for others");
    config.limits.connections_max = 1024;
    let gateway = Gateway::with(config).await;

    // Both ends are in this process, so the gateway runs out when the clients do.
    let mut clients = Vec::new();
    while let Ok(Ok(client)) =
        tokio::time::timeout(Duration::from_secs(1), TcpStream::connect(gateway.addr)).await
    {
        clients.push(client);
        tokio::task::yield_now().await;
    }
    assert!(clients.len() >= 20, "{}", clients.len());
    // In this time a spinning accept loop would fail a million times; and who was let in is not turned out for it.
    let quiet = tokio::time::timeout(Duration::from_millis(500), clients[0].read_u8()).await;
    assert!(quiet.is_err(), "the first client was answered or closed: {quiet:?}");
    clients.truncate(clients.len() / 2);

    let served = async {
        loop {
            if let (200, metrics) = gateway.ask("GET", "/metrics", b"").await {
                return metrics;
            }
        }
    };
    let metrics = tokio::time::timeout(PATIENCE, served).await.expect("service returns");
    let failed = metrics
        .lines()
        .find_map(|line| line.strip_prefix("keyway_gateway_turned_away_total{reason=\"accept_failed\"} "));
    let failed: u64 = failed.and_then(|count| count.parse().ok()).unwrap_or(0);
    assert!((1..=20).contains(&failed), "accept failed {failed} times");
}
