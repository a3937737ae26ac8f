//! # keyway-gateway: the network for hosts that are not part of it
//!
//! One HTTP port carries every interface: JSON under `/v1`, XML-RPC by POST to `/` and `/RPC2`, `/metrics`, `/livez`,
//! `/readyz`, `/openapi.json`, and at `/` the console for browsers, a list of what is here for terminals. A gateway holds
//! no data and decides nothing: it translates between its clients' words and the operations of one [`Node`].
//!
//! What is bounded, by default: heads, headers, bodies, the time that each may take, stalled readers, idle connections,
//! connections at once, operations' time ([`Limits`]), remembered request ids, watched keys. What is checked: `Host` and `Origin`, so that web pages of
//! strangers reach nothing; that a request means one thing; that XML holds nothing but a method call.
//!
//! What is absent: TLS and credentials (a proxy's task; the port listens on loopback unless told otherwise), Sun RPC,
//! the Redis protocol.

mod console;
mod cursor;
mod health;
mod http;
mod metrics;
mod node;
mod page;
mod rest;
mod settings;
pub mod xmlrpc;

use std::future::Future;
use std::sync::Arc;

use ::tokio::net::TcpListener;
use ::tokio::sync::watch;

pub use node::Node;
pub use settings::{GatewayConfig, Limits};

/// Serves all interfaces on `listener` until `shutdown` is over, then lets requests under way end.
///
/// # Errors
/// When the listener cannot be used at all. Failures of single connections, and want of file descriptors, are not errors.
pub async fn serve<N: Node>(
    listener: TcpListener,
    node: N,
    config: GatewayConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let metrics = metrics::GatewayMetrics::new(|registry| node.register_metrics(registry));
    let desk = node::Desk::new(node, config.limits.op_timeout, metrics);
    let (stop, stopping) = watch::channel(false);
    let (repeats, watched) = (rest::Repeats::default(), rest::Watched::default());
    let shop = Arc::new(rest::Shop { desk, config, repeats, watched, stopping });
    let shutdown = async move {
        shutdown.await;
        // Nobody listening means that nothing without an end is left.
        let _ = stop.send(true);
    };
    let router = rest::router(shop.clone());
    http::serve(listener, shop, router, shutdown).await
}
