//! Sun RPC (ONC RPC version 2 over TCP), as the public service of 2005 spoke it: program 708655600, versions 2 and 3
//! (`opendht` section 1.4; `docs/keyway_prot.x` for compilers).
//!
//! ```text
//!   TCP ──▶ record ──▶ message ──▶ program ──▶ answer ──▶ legacy ──▶ node
//!           fragments   head        arguments   one task each
//!
//!   socket ── records, one after the other ──▶ calls under way, at most 128 ──┐
//!      ▲                                                                      │ in the order in which they end
//!      └────────────────────────── replies, by xid ◀──────────────────────────┘
//! ```
//!
//! One connection carries calls of both versions, and as many at once as the client likes: beyond 128 nothing more is read
//! until one ends. An error answer is the last thing that a connection begins: nothing behind the call is read, calls
//! under way end, then the server closes. The connection goes on after two: `SYSTEM_ERR`, which says that a good call could not
//! be served now (a `get` has no return code for that), and `PROG_MISMATCH` of procedure 0, by which `rpcinfo` finds versions.
//!
//! Invariants: every call that was read gets one reply, unless the connection breaks or is cut; what one connection can hold
//! is bounded by [`crate::SunRpcLimits`]; a client that is slow, silent or does not read is cut in bounded time.

mod answer;
mod connection;
pub mod message;
pub mod program;
pub mod record;
pub mod xdr;

use std::future::Future;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::accept::{self, Door};
use crate::crowd::Crowd;
use crate::node::Node;
use crate::rest::Shop;
use connection::Connection;

/// Serves until `shutdown`, then lets calls under way end.
pub(crate) async fn serve<N: Node>(
    listener: TcpListener,
    shop: Arc<Shop<N>>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let limits = &shop.config.sunrpc;
    let door = Door {
        listener,
        crowd: Crowd::new(limits.connections_max, limits.connections_per_ip_max),
        connections: shop.desk.metrics.sunrpc_connections.clone(),
        // RPC has no word for it.
        turn_away: drop,
        drain_timeout: shop.config.limits.drain_timeout,
    };
    let seats = Arc::new(Semaphore::new(limits.calls_max.clamp(1, Semaphore::MAX_PERMITS)));
    accept::welcome(door, &shop.desk.metrics, shutdown, |visitor| {
        Connection::new(visitor, shop.clone(), seats.clone()).run()
    })
    .await;
}
