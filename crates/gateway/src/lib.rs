//! # keyway-gateway: the network for hosts that are not part of it
//!
//! One HTTP port carries JSON under `/v1`, XML-RPC by POST to `/` and `/RPC2`, `/metrics`, `/livez`, `/readyz`,
//! `/openapi.json`, `/servers.txt`, and at `/` the console for browsers, a list of what is here for terminals. A second one speaks
//! Sun RPC. A gateway holds no data and decides nothing: it translates between its clients' words and the operations of one [`Node`].
//!
//! What is bounded, by default: heads, headers, bodies, the time that each may take, stalled readers, idle connections,
//! connections at once, operations' time ([`Limits`]), remembered request ids, watched keys. What is checked: `Host` and `Origin`, so that web pages of
//! strangers reach nothing; that a request means one thing; that XML holds nothing but a method call.
//!
//! What is absent: TLS and credentials (a proxy's task; the ports listen on loopback unless told otherwise), the Redis
//! protocol.

mod accept;
mod console;
mod crowd;
mod cursor;
mod health;
mod http;
mod legacy;
mod metrics;
mod node;
mod page;
mod rest;
mod servers;
mod settings;
pub mod sunrpc;
pub mod xmlrpc;

use std::future::Future;
use std::sync::Arc;

use ::tokio::net::TcpListener;
use ::tokio::sync::watch;

pub use node::Node;
pub use settings::{GatewayConfig, LegacyLimits, Limits, SunRpcLimits};

/// Where a gateway listens.
#[derive(Debug)]
pub struct Listeners {
    /// For HTTP: REST, XML-RPC, the console, metrics and health.
    pub http: TcpListener,
    /// For Sun RPC.
    pub sunrpc: Option<TcpListener>,
}

impl From<TcpListener> for Listeners {
    fn from(http: TcpListener) -> Listeners {
        Listeners { http, sunrpc: None }
    }
}

/// Serves all interfaces on `listeners` until `shutdown` is over, then lets what is under way end.
///
/// # Errors
/// When a listener cannot be used at all. Failures of single connections, and want of file descriptors, are not errors.
pub async fn serve<N: Node>(
    listeners: impl Into<Listeners>,
    node: N,
    config: GatewayConfig,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let Listeners { http, sunrpc } = listeners.into();
    let metrics = metrics::GatewayMetrics::new(|registry| node.register_metrics(registry));
    let desk = node::Desk::new(node, config.limits.op_timeout, metrics);
    let (stop, stopping) = watch::channel(false);
    let (repeats, watched) = (rest::Repeats::default(), rest::Watched::default());
    let snapshots = rest::admin::places();
    let shop = rest::Shop { desk, config, repeats, watched, snapshots, stopping: stopping.clone() };
    let shop = Arc::new(shop);
    let router = rest::router(shop.clone());
    let until_stop = |mut stopping: watch::Receiver<bool>| async move {
        // A sender that is gone stops as well.
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    let told = async {
        shutdown.await;
        stop.send_replace(true);
    };
    let http = http::serve(http, shop.clone(), router, until_stop(stopping.clone()));
    let sunrpc = async {
        if let Some(listener) = sunrpc {
            sunrpc::serve(listener, shop, until_stop(stopping)).await;
        }
    };
    tokio::join!(told, http, sunrpc);
    Ok(())
}
