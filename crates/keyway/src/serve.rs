//! A node with its gateway in this process: what `up` and `node` share.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use keyway_core::Id;
use keyway_core::overlay::registry;
use keyway_gateway::access::{Scopes, TokenFile};
use keyway_gateway::{GatewayConfig, Listeners};
use keyway_net::disk::engine::Life;
use keyway_net::{NodeHandle, NodeSettings, StartError};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::exit::{Exit, Failure};
use crate::node::cannot_listen;
use crate::session::Session;

/// For the gateway to finish what it has begun when it is closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Signals that come so soon after the first one are the same wish, told twice.
const ONE_INTENTION: Duration = Duration::from_millis(500);

/// A node and its gateway, serving.
pub(crate) struct Served {
    /// The node.
    pub(crate) node: NodeHandle,
    /// Where clients of HTTP reach it.
    pub(crate) http: SocketAddr,
    /// Where clients of Sun RPC reach it, if it listens for them.
    pub(crate) sunrpc: Option<SocketAddr>,
    close: oneshot::Sender<()>,
    gateway: JoinHandle<std::io::Result<()>>,
}

/// Where a gateway is to listen for clients.
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) http: SocketAddr,
    /// Not at all if there is none.
    pub(crate) sunrpc: Option<SocketAddr>,
}

/// Refuses what cannot work, before anything is touched.
pub(crate) fn check(settings: &NodeSettings, config: &GatewayConfig) -> Result<(), Failure> {
    settings.validate()?;
    let overlay = registry::find(&settings.overlay).ok_or_else(|| {
        let known: Vec<&str> = registry::OVERLAYS.iter().map(|entry| entry.name).collect();
        let message = format!("there is no overlay `{}`; there are: {}", settings.overlay, known.join(", "));
        Failure::new(Exit::Usage, message)
    })?;
    // Its options are its own: what it says when it is made.
    let nobody = Life { id: Id([0; 20]), incarnation: 1, has_notes: false };
    (overlay.make)(settings.node_config(nobody, settings.listen, [0; 32])).map_err(StartError::Setting)?;
    if let Some(path) = &config.access.tokens {
        // Better not begun than begun and closed to everybody.
        TokenFile::read(path).map_err(|error| {
            Failure::new(Exit::Usage, error.to_string())
                .hint(format!("`keyway token create NAME --tokens {}` makes the file", path.display()))
        })?;
    }
    Ok(())
}

/// Starts a node and its gateway. The gateway's ports are taken first: a node that nobody can reach is not begun.
pub(crate) async fn start(
    settings: NodeSettings,
    ports: Ports,
    config: GatewayConfig,
) -> Result<Served, Failure> {
    check(&settings, &config)?;
    let open = config.access.open;
    let (http_listener, http) =
        listen("clients (HTTP)", ports.http, "--http or, with `up`, --base-port", open).await?;
    let (sunrpc_listener, sunrpc) = match ports.sunrpc {
        Some(addr) => {
            let way_out = "--sunrpc (none turns it off) or, with `up`, --base-port";
            let (listener, addr) = listen("clients (Sun RPC)", addr, way_out, open).await?;
            (Some(listener), Some(addr))
        }
        None => (None, None),
    };
    let config = GatewayConfig { value_bytes_max: settings.value_bytes_max, ..config };
    let node = keyway_net::start(settings).await?;
    let (close, closed) = oneshot::channel::<()>();
    let shutdown = async {
        // A sender that was dropped closes as well.
        let _ = closed.await;
    };
    let listeners = Listeners { http: http_listener, sunrpc: sunrpc_listener };
    let gateway = tokio::spawn(keyway_gateway::serve(listeners, node.clone(), config, shutdown));
    Ok(Served { node, http, sunrpc, close, gateway })
}

/// Takes a port, and tells which.
async fn listen(
    what: &str,
    addr: SocketAddr,
    flag: &str,
    open: Scopes,
) -> Result<(TcpListener, SocketAddr), Failure> {
    let listener = TcpListener::bind(addr).await.map_err(|error| cannot_listen(what, addr, &error, flag))?;
    let addr = listener.local_addr().map_err(|error| {
        Failure::new(Exit::Failure, format!("cannot tell the port of the gateway: {error}"))
    })?;
    if !addr.ip().is_loopback() {
        if open == Scopes::NONE {
            tracing::info!(%addr, what, "the gateway listens off loopback: without an access token, which Sun RPC cannot show, others may do nothing");
        } else {
            tracing::warn!(%addr, what, %open, "the gateway listens off loopback, and whoever reaches it may do that");
        }
    }
    Ok((listener, addr))
}

impl Served {
    /// Where clients reach it. An unspecified address is named as loopback, which is one of those it stands for.
    pub(crate) fn url(&self) -> String {
        let mut http = self.http;
        if http.ip().is_unspecified() {
            http.set_ip(if http.is_ipv4() {
                [127, 0, 0, 1].into()
            } else {
                std::net::Ipv6Addr::LOCALHOST.into()
            });
        }
        format!("http://{http}")
    }

    /// Hands over, leaves the network, and closes. A second signal ends it at once.
    pub(crate) async fn leave(self, signals: &mut Signals, session: &Session) -> Result<Exit, Failure> {
        session.output.note("handing over and leaving; once more to quit at once");
        tokio::select! {
            () = self.node.stop() => {}
            () = signals.leave() => return Err(Failure::new(Exit::Interrupted, "quit without handing over")),
        }
        self.close().await;
        session.output.note("left");
        Ok(Exit::Ok)
    }

    /// Closes the gateway, letting it finish what it has begun within a bound.
    pub(crate) async fn close(self) {
        let _ = self.close.send(());
        match timeout(CLOSE_TIMEOUT, self.gateway).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "the gateway ended badly"),
            Ok(Err(error)) => tracing::error!(%error, "the gateway's task ended: our own bug"),
            Err(_) => tracing::warn!("the gateway was cut off in the middle of requests"),
        }
    }
}

/// Ctrl-C and SIGTERM.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    first: First,
}

/// When the first signal was heard.
#[derive(Default)]
struct First(Option<Instant>);

impl First {
    /// Whether a signal says something that the first one did not. Who ends a process may send one to it and another to its group,
    /// as `timeout` does, or one of each kind, as a terminal that closes.
    fn is_news(&mut self, now: Instant) -> bool {
        match self.0 {
            Some(first) => now.saturating_duration_since(first) >= ONE_INTENTION,
            None => {
                self.0 = Some(now);
                true
            }
        }
    }
}

impl Signals {
    /// Listens from now on: before it, a signal ends the process.
    pub(crate) fn new() -> Result<Signals, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|e| Failure::new(Exit::Failure, format!("cannot listen for signals: {e}")))
        };
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            first: First::default(),
        })
    }

    /// The next of either that means anything beyond those before.
    pub(crate) async fn leave(&mut self) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
            }
            if self.first.is_news(Instant::now()) {
                return;
            }
        }
    }
}

/// Its texts say what is wrong and what to do.
impl From<StartError> for Failure {
    fn from(error: StartError) -> Failure {
        let exit = match error {
            StartError::Setting(_)
            | StartError::NetworkKeyMissing { .. }
            | StartError::AdvertiseMissing { .. } => Exit::Usage,
            _ => Exit::Failure,
        };
        Failure::new(exit, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_in_one_instant_are_one_wish() {
        let mut first = First::default();
        let began = Instant::now();
        let after = |ms| began + Duration::from_millis(ms);
        assert!(first.is_news(began));
        assert!(!first.is_news(began) && !first.is_news(after(499)));
        assert!(first.is_news(after(500)) && first.is_news(after(501)));
    }
}
