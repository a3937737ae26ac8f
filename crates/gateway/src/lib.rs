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
//! Beside gateways: [`serve_published`] gives files that stay with their publisher to who asks for their hash, behind the same bounds.
//!
//! Who may do what is said by [`access`]. What is absent: TLS (a proxy's task; the ports listen on loopback unless told
//! otherwise), the Redis protocol.

mod accept;
pub mod access;
mod console;
mod crowd;
mod cursor;
mod health;
mod http;
mod legacy;
mod metrics;
mod node;
mod page;
mod published;
mod rest;
mod servers;
mod settings;
pub mod sunrpc;
mod tasks;
pub mod xmlrpc;

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use ::tokio::net::TcpListener;
use ::tokio::sync::watch;

pub use access::AccessConfig;
pub use node::Node;
pub use published::{Shelf, Stamp, serve_published};
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

/// The REST interface without a socket: for programs that have a server of their own, and for fuzzing. What guards a connection
/// (time-outs, framing, `Host`) is theirs to do.
///
/// Its routes, and the document that describes them, are made once; what it remembers (request ids, accounts, quotas) lasts as
/// long as it.
pub struct Rest<N> {
    shop: Arc<rest::Shop<N>>,
    router: axum::Router,
    // Dropped, it ends what has no end.
    _stop: watch::Sender<bool>,
}

impl<N: Node> Rest<N> {
    /// Of this node.
    pub fn new(node: N, config: GatewayConfig) -> Rest<N> {
        let (stop, stopping) = watch::channel(false);
        let shop = Arc::new(rest::Shop::new(node, config, stopping));
        Rest { router: rest::router(shop.clone()), shop, _stop: stop }
    }

    /// Answers one request as if it came from `from`.
    pub async fn answer(
        &self,
        from: IpAddr,
        request: ::http::Request<Vec<u8>>,
    ) -> ::http::Response<axum::body::Body> {
        rest::answer(&self.shop, self.router.clone(), from, request.map(Into::into)).await
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
    let (stop, stopping) = watch::channel(false);
    let shop = Arc::new(rest::Shop::new(node, config, stopping.clone()));
    let (access, reading) = (shop.access.clone(), stopping.clone());
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
    let tokens = access.keep_reading(reading);
    tokio::join!(told, http, sunrpc, tokens);
    Ok(())
}
