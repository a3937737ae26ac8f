//! The HTTP port: each connection between its gate and the parser.

use std::future::Future;
use std::io::Write as _;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use super::gate::{Gate, Verdict};
use super::service::{Connection, crowded};
use crate::accept::{self, Door, Visitor};
use crate::crowd::Crowd;
use crate::node::Node;
use crate::rest::Shop;

/// Serves until `shutdown`, then lets requests under way end.
pub(crate) async fn serve<N: Node>(
    listener: TcpListener,
    shop: Arc<Shop<N>>,
    router: Router,
    shutdown: impl Future<Output = ()> + Send,
) {
    let limits = &shop.config.limits;
    let door = Door {
        listener,
        crowd: Crowd::new(limits.connections_max, limits.connections_per_ip_max),
        connections: shop.desk.metrics.connections.clone(),
        turn_away,
        drain_timeout: limits.drain_timeout,
    };
    accept::welcome(door, &shop.desk.metrics, shutdown, |visitor| {
        converse(visitor, shop.clone(), router.clone())
    })
    .await;
}

/// One connection, from its first byte to its end.
async fn converse<N: Node>(visitor: Visitor, shop: Arc<Shop<N>>, router: Router) {
    let Visitor { socket, from, place: _place, mut stopping } = visitor;
    // Answers are written whole; waiting to fill segments only delays them.
    let _ = socket.set_nodelay(true);
    let local = socket.local_addr().ok();
    let limits = shop.config.limits.clone();
    let verdict = Verdict::default();
    let connection = Connection::new(shop.clone(), router, verdict.clone(), local, from.ip());
    let gate = Gate::new(socket, limits.clone(), verdict);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        // The gate times heads, and knows waiting from receiving.
        .header_read_timeout(None)
        .max_headers(limits.headers_max)
        // Room for the longest head that the gate passes, and for what stands behind it.
        .max_buf_size(2 * limits.head_bytes_max.max(8 << 10))
        // Old clients shut their side down after the request, and some look for `Content-Length` in that very spelling.
        .half_close(true)
        .title_case_headers(true);
    let mut conversation =
        pin!(http.serve_connection(TokioIo::new(gate), service_fn(|request| connection.answer(request))));
    let ended = tokio::select! {
        ended = conversation.as_mut() => ended,
        // The sender is only dropped after it has sent.
        () = async { let _ = stopping.wait_for(|stop| *stop).await; } => {
            conversation.as_mut().graceful_shutdown();
            conversation.await
        }
    };
    if let Err(e) = ended {
        tracing::debug!(%from, error = %e, "connection ended");
    }
}

/// Tells a client that there is no room, if its socket takes the few bytes at once.
fn turn_away(socket: TcpStream) {
    if let Ok(mut socket) = socket.into_std() {
        let _ = socket.write(&crowded());
    }
}
