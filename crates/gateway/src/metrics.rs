//! `/metrics`: OpenMetrics text, made of three parts.
//!
//! * the gateway's own metrics and those of the node's driver, kept in one registry;
//! * the node's counters, each as `keyway_<name>_total`;
//! * gauges of the node's state, and what it and the gateway know of the greatest clients.
//!
//! The last two are read from the node at the time of asking; when it does not answer, `keyway_node_up` is 0 and the
//! first part is served all the same.

use std::sync::Arc;
use std::time::Duration;

use keyway_core::machine::{NodeStatus, Phase};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::rest::Account;

/// The type of the text.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// An interface and the status of its answer: of HTTP its code, of Sun RPC its `accept_stat`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Answered {
    interface: &'static str,
    status: u16,
}

/// Why a client was turned away or cut.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// A call of the Sun RPC program, and how it ended.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Called {
    version: u32,
    procedure: &'static str,
    outcome: &'static str,
}

/// A client, by the name under which it is charged and by that of its token.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Charged {
    client: String,
    token: String,
}

/// The gateway's own metrics. Clones share.
#[derive(Clone)]
pub(crate) struct GatewayMetrics {
    registry: Arc<Registry>,
    requests: Family<Answered, Counter>,
    seconds: Histogram,
    turned_away: Family<Reason, Counter>,
    sunrpc_calls: Family<Called, Counter>,
    /// Connections of HTTP open now.
    pub(crate) connections: Gauge,
    /// Connections of Sun RPC open now.
    pub(crate) sunrpc_connections: Gauge,
}

impl GatewayMetrics {
    /// Metrics in a registry that `others` fill as well.
    pub(crate) fn new(others: impl FnOnce(&mut Registry)) -> GatewayMetrics {
        let mut registry = Registry::with_prefix("keyway");
        let requests = Family::<Answered, Counter>::default();
        let seconds = Histogram::new(exponential_buckets(0.000_25, 2.0, 18));
        let turned_away = Family::<Reason, Counter>::default();
        let sunrpc_calls = Family::<Called, Counter>::default();
        let connections = Gauge::default();
        let sunrpc_connections = Gauge::default();
        registry.register("gateway_requests", "Requests answered", requests.clone());
        registry.register(
            "gateway_request_seconds",
            "Time from a request's head to its answer",
            seconds.clone(),
        );
        registry.register(
            "gateway_turned_away",
            "Requests and connections refused or cut",
            turned_away.clone(),
        );
        registry.register("gateway_connections", "Connections open now", connections.clone());
        registry.register(
            "gateway_sunrpc_calls",
            "Calls of the Sun RPC program, by how they ended",
            sunrpc_calls.clone(),
        );
        registry.register(
            "gateway_sunrpc_connections",
            "Connections of Sun RPC open now",
            sunrpc_connections.clone(),
        );
        others(&mut registry);
        GatewayMetrics {
            registry: Arc::new(registry),
            requests,
            seconds,
            turned_away,
            sunrpc_calls,
            connections,
            sunrpc_connections,
        }
    }

    /// Counts an answered request.
    pub(crate) fn answered(&self, interface: &'static str, status: u16, took: Duration) {
        self.requests.get_or_create(&Answered { interface, status }).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// Counts a call of the Sun RPC program.
    pub(crate) fn called(&self, version: u32, procedure: &'static str, outcome: &'static str) {
        self.sunrpc_calls.get_or_create(&Called { version, procedure, outcome }).inc();
    }

    /// Counts a client that was turned away or cut.
    pub(crate) fn turned_away(&self, reason: &'static str) {
        self.turned_away.get_or_create(&Reason { reason }).inc();
    }

    /// Everything as text.
    pub(crate) fn render(&self, status: Option<&NodeStatus>, clients: &[Account]) -> String {
        let mut text = String::new();
        let mut asked = Registry::with_prefix("keyway");
        asked.register(
            "node_up",
            "Whether the node knows its own state",
            ConstGauge::new(i64::from(status.is_some())),
        );
        if let Some(status) = status {
            describe(&mut asked, status);
        }
        describe_clients(&mut asked, clients);
        // Writing to a String cannot fail; the end-of-text mark stands once, after the last part.
        let _ = prometheus_client::encoding::text::encode_registry(&mut text, &self.registry);
        let _ = encode(&mut text, &asked);
        text
    }
}

fn describe(registry: &mut Registry, status: &NodeStatus) {
    for (name, value) in status.counters.each() {
        registry.register(name, "Counter of the node since its start", ConstCounter::new(value));
    }
    let mut gauge = |name: &str, help: &str, value: u64| {
        registry.register(name, help, ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)));
    };
    gauge("records", "Records held", status.records);
    gauge("record_bytes", "Bytes of values held", status.record_bytes);
    gauge("shares", "Arcs of the key space that the node keeps copies of", u64::from(status.shares.0));
    gauge("shares_ready", "Arcs that it has finished taking over", u64::from(status.shares.1));
    gauge("member", "Whether it is a member of a network", u64::from(status.phase == Phase::Member));
    gauge("isolated", "Whether no neighbour answers", u64::from(status.isolated));
    gauge("halted", "Whether it takes no writes", u64::from(status.halt.is_some()));
    let other_terms = status.other_terms.len() as u64;
    gauge(
        "peers_with_other_terms",
        "Nodes known to keep copies in another way than this one, 16 at most",
        other_terms,
    );
    gauge("incarnation", "This life of the node", status.incarnation);
    let peers = status.tables.iter().map(|(_, peers)| peers.len() as u64).sum();
    gauge("table_entries", "Entries in the overlay's tables", peers);
}

/// What is known of one client, as far as the metrics tell.
type OfClient = (&'static str, &'static str, fn(&Account) -> u64);

fn describe_clients(registry: &mut Registry, clients: &[Account]) {
    let gauges: [OfClient; 2] = [
        ("client_stored_bytes", "Bytes of the client's records that the node keeps and charges", |c| {
            c.stored_bytes
        }),
        ("client_records_waiting", "Records of the client that wait for room", |c| c.waiting),
    ];
    let counters: [OfClient; 6] = [
        ("client_writes", "Writes of the client that this gateway saw acknowledged", |c| c.asked.writes),
        ("client_write_bytes", "Bytes of their values", |c| c.asked.bytes),
        ("client_writes_waited", "Writes that were told to wait for room", |c| c.asked.waited),
        ("client_writes_over_capacity", "Writes that found no room", |c| c.asked.over_capacity),
        ("client_writes_failed", "Writes that failed otherwise", |c| c.asked.failed),
        ("client_denied", "Requests beyond what it may do, or beyond its quotas", |c| c.asked.denied),
    ];
    let labels = |account: &Account| Charged {
        client: format!("{:016x}", account.client.0),
        token: account.token.clone().unwrap_or_default(),
    };
    for (name, help, value) in gauges {
        let family = Family::<Charged, Gauge>::default();
        for account in clients {
            family.get_or_create(&labels(account)).set(i64::try_from(value(account)).unwrap_or(i64::MAX));
        }
        registry.register(name, help, family);
    }
    for (name, help, value) in counters {
        let family = Family::<Charged, Counter>::default();
        for account in clients {
            family.get_or_create(&labels(account)).inc_by(value(account));
        }
        registry.register(name, help, family);
    }
}
