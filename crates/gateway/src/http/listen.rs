//! Accepting connections, within bounds, until told to stop.
//!
//! A connection above the bounds is told so and dropped at once: it costs one accept. When the process has no file
//! descriptor left, accepting pauses instead of spinning; connections that exist go on, and as they end there is room again.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, ErrorKind, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::gate::{Gate, Verdict};
use super::service::{Connection, crowded};
use crate::node::Node;
use crate::rest::Shop;

/// First pause after a failed accept; doubles up to the greatest.
const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(10);
/// Greatest pause after a failed accept.
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Serves until `shutdown`, then lets requests under way end.
pub(crate) async fn serve<N: Node>(
    listener: TcpListener,
    shop: Arc<Shop<N>>,
    router: Router,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let limits = &shop.config.limits;
    let crowd = Crowd::new(limits.connections_max, limits.connections_per_ip_max);
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut pause = ACCEPT_PAUSE_MIN;
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            // Ended connections are forgotten as they end, so the set is as large as the crowd.
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((socket, from)) => {
                    pause = ACCEPT_PAUSE_MIN;
                    let Some(place) = crowd.enter(from.ip()) else {
                        shop.desk.metrics.turned_away("crowded");
                        turn_away(socket);
                        continue;
                    };
                    let (shop, router, stopping) = (shop.clone(), router.clone(), stopping.clone());
                    connections.spawn(async move {
                        shop.desk.metrics.connections.inc();
                        converse(socket, from, &shop, router, stopping).await;
                        shop.desk.metrics.connections.dec();
                        drop(place);
                    });
                }
                Err(e) if is_about_one_connection(&e) => {}
                Err(e) => {
                    shop.desk.metrics.turned_away("accept_failed");
                    tracing::warn!(error = %e, pause_ms = pause.as_millis() as u64, "cannot accept connections");
                    tokio::select! {
                        () = &mut shutdown => break,
                        () = sleep(pause) => pause = (pause * 2).min(ACCEPT_PAUSE_MAX),
                    }
                }
            },
        }
    }
    drop(listener);
    // Nobody listening means that no connection is left to be told.
    let _ = stop.send(true);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if timeout(limits.drain_timeout, all_ended).await.is_err() {
        tracing::info!(left = connections.len(), "connections cut at shutdown");
    }
    Ok(())
}

/// Errors of accept that concern a connection which is gone already.
fn is_about_one_connection(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
    )
}

/// One connection, from its first byte to its end.
async fn converse<N: Node>(
    socket: TcpStream,
    from: SocketAddr,
    shop: &Arc<Shop<N>>,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) {
    // Answers are written whole; waiting to fill segments only delays them.
    let _ = socket.set_nodelay(true);
    let local = socket.local_addr().ok().map(|addr| addr.ip());
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

/// Who is connected.
#[derive(Clone)]
struct Crowd {
    max: usize,
    per_ip_max: usize,
    inside: Arc<Mutex<Inside>>,
}

#[derive(Default)]
struct Inside {
    count: usize,
    by_ip: BTreeMap<IpAddr, usize>,
}

impl Crowd {
    fn new(max: usize, per_ip_max: usize) -> Crowd {
        Crowd { max, per_ip_max, inside: Arc::default() }
    }

    /// A place for one more connection from `ip`, until it is dropped.
    fn enter(&self, ip: IpAddr) -> Option<Place> {
        let ip = one_client(ip);
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let here = inside.by_ip.get(&ip).copied().unwrap_or(0);
        if inside.count >= self.max || here >= self.per_ip_max {
            return None;
        }
        inside.count += 1;
        inside.by_ip.insert(ip, here + 1);
        Some(Place { crowd: self.clone(), ip })
    }
}

/// What counts as one address: of IPv6 the first 64 bits, because a single host may have all the rest.
fn one_client(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) >> 64 << 64).into()),
        v4 => v4,
    }
}

/// A connection's place in the crowd.
struct Place {
    crowd: Crowd,
    ip: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.crowd.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.count -= 1;
        if let Some(here) = inside.by_ip.get_mut(&self.ip) {
            *here -= 1;
            if *here == 0 {
                inside.by_ip.remove(&self.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_back() {
        let crowd = Crowd::new(3, 2);
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let first = crowd.enter(ip("10.0.0.1"));
        let second = crowd.enter(ip("::ffff:10.0.0.1"));
        assert!(first.is_some() && second.is_some());
        assert!(crowd.enter(ip("10.0.0.1")).is_none(), "two from one address, however it is written");
        let other = crowd.enter(ip("2001:db8::1"));
        assert!(other.is_some());
        assert!(crowd.enter(ip("10.0.0.2")).is_none(), "three in all");
        drop(first);
        assert!(crowd.enter(ip("10.0.0.1")).is_some());
        drop((second, other));
        let inside = crowd.inside.lock().expect("no panic");
        assert_eq!((inside.count, inside.by_ip.len()), (0, 0));
    }

    #[test]
    fn a_host_with_many_addresses_of_ipv6_is_one_client() {
        let crowd = Crowd::new(10, 1);
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let _first = crowd.enter(ip("2001:db8:0:1::1"));
        assert!(crowd.enter(ip("2001:db8:0:1:ffff::2")).is_none());
        assert!(crowd.enter(ip("2001:db8:0:2::1")).is_some());
    }
}
