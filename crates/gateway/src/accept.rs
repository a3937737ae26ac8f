//! Accepting connections, within bounds, until told to stop: the same for every interface.
//!
//! A connection above the bounds is turned away at once: it costs one accept. When the process has no file descriptor left,
//! accepting pauses instead of spinning; connections that exist go on, and as they end there is room again.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::crowd::{Crowd, Place};
use crate::metrics::GatewayMetrics;

/// First pause after a failed accept; doubles up to the greatest.
const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(10);
/// Greatest pause after a failed accept.
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// What an interface says to the one who opens its door.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    /// Who may be inside.
    pub(crate) crowd: Crowd,
    /// Connections open now.
    pub(crate) connections: Gauge,
    /// What is told to whom there is no room for.
    pub(crate) turn_away: fn(TcpStream),
    /// For what is under way to end when the door closes.
    pub(crate) drain_timeout: Duration,
}

/// Somebody who came in.
pub(crate) struct Visitor {
    pub(crate) socket: TcpStream,
    pub(crate) from: SocketAddr,
    pub(crate) place: Place,
    /// Turns true when the interface is to stop.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// Runs `converse` with every visitor until `shutdown`, then lets what is under way end.
pub(crate) async fn welcome<C: Future<Output = ()> + Send + 'static>(
    door: Door,
    metrics: &GatewayMetrics,
    shutdown: impl Future<Output = ()> + Send,
    converse: impl Fn(Visitor) -> C,
) {
    let (stop, stopping) = watch::channel(false);
    let mut conversations = JoinSet::new();
    let mut pause = ACCEPT_PAUSE_MIN;
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            // Ended connections are forgotten as they end, so the set is as large as the crowd.
            Some(_) = conversations.join_next() => {}
            accepted = door.listener.accept() => match accepted {
                Ok((socket, from)) => {
                    pause = ACCEPT_PAUSE_MIN;
                    let Some(place) = door.crowd.enter(from.ip()) else {
                        metrics.turned_away("crowded");
                        (door.turn_away)(socket);
                        continue;
                    };
                    let connections = door.connections.clone();
                    let conversation = converse(Visitor { socket, from, place, stopping: stopping.clone() });
                    conversations.spawn(async move {
                        connections.inc();
                        conversation.await;
                        connections.dec();
                    });
                }
                Err(e) if is_about_one_connection(&e) => {}
                Err(e) => {
                    metrics.turned_away("accept_failed");
                    tracing::warn!(error = %e, pause_ms = pause.as_millis() as u64, "cannot accept connections");
                    tokio::select! {
                        () = &mut shutdown => break,
                        () = sleep(pause) => pause = (pause * 2).min(ACCEPT_PAUSE_MAX),
                    }
                }
            },
        }
    }
    drop(door.listener);
    // Nobody listening means that no connection is left to be told.
    let _ = stop.send(true);
    let all_ended = async { while conversations.join_next().await.is_some() {} };
    if timeout(door.drain_timeout, all_ended).await.is_err() {
        tracing::info!(left = conversations.len(), "connections cut at shutdown");
    }
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
