//! A node as its process sees it: start it, ask it, stop it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use keyway_core::machine::{Machine, NodeConfig, NodeStatus};
use keyway_core::machine::{Op, OpDone, OpError, OpResult, Phase};
use keyway_core::overlay::registry::{self, OVERLAYS};
use keyway_core::{Addr, Id};
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::disk::engine::{EngineConfig, Life};
use crate::disk::{Disk, Durability};
use crate::driver::{Command, Driver, Ear};
use crate::metrics::DriverMetrics;
use crate::settings::{NodeSettings, SEEDS_MAX, StartError};
use crate::transport;
use crate::transport::stream::{self, FRAMES_IN_MAX, Outgoing};

/// Client operations waiting for the driver; further ones are refused as busy.
pub const OP_QUEUE_MAX: usize = 4096;
/// How often [`NodeHandle::wait_member`] looks.
const MEMBER_POLL: Duration = Duration::from_millis(20);
/// First pause between two attempts to look up the seeds; doubled each time up to the next.
const RESOLVE_PAUSE_MIN: Duration = Duration::from_millis(100);
const RESOLVE_PAUSE_MAX: Duration = Duration::from_secs(3);

/// Why a node will not become a member.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemberError {
    /// The network refused it.
    #[error("the network refuses this node: {0}")]
    Refused(String),
    /// It is not running any more.
    #[error("the node has stopped")]
    Stopped,
}

/// A running node. Clones speak with the same node; it goes on running when all are dropped, until it is stopped or its
/// runtime ends.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    commands: mpsc::Sender<Command>,
    stop: Arc<watch::Sender<bool>>,
    stopped: watch::Receiver<bool>,
    listen: SocketAddr,
    id: Id,
    metrics: DriverMetrics,
}

/// Starts a node: binds its port, locks and opens its data directory, and spawns its driver on the current runtime. The
/// node then joins (or founds) its network; [`NodeHandle::wait_member`] waits for that.
///
/// # Errors
/// [`StartError`], for people. Nothing is left running.
pub async fn start(settings: NodeSettings) -> Result<NodeHandle, StartError> {
    let entry = registry::find(&settings.overlay).ok_or_else(|| {
        let known: Vec<&str> = OVERLAYS.iter().map(|e| e.name).collect();
        StartError::Setting(format!(
            "there is no overlay `{}`; there are: {}",
            settings.overlay,
            known.join(", ")
        ))
    })?;
    start_with(settings, entry.make).await
}

/// Starts a node around a machine of the caller's own making: for embedding other machines, and for tests. `make` gets
/// the settings with the identity that the data directory holds.
///
/// # Errors
/// [`StartError`], for people. Nothing is left running.
pub async fn start_with(
    settings: NodeSettings,
    make: impl FnOnce(NodeConfig) -> Result<Box<dyn Machine>, String>,
) -> Result<NodeHandle, StartError> {
    settings.validate()?;
    let metrics = DriverMetrics::default();
    let (datagrams, listener) = transport::bind(settings.listen).await?;
    let bound = datagrams.local_addr().map_err(|source| StartError::Listen {
        listen: settings.listen,
        protocol: "UDP",
        source,
    })?;
    let (disk, life) = open_disk(&settings, &metrics).await?;
    let machine = make(settings.node_config(life, bound, random_bytes()?)).map_err(StartError::Setting)?;
    let seeds = resolve(&settings, life.has_notes).await?;

    let (commands, command_queue) = mpsc::channel(OP_QUEUE_MAX);
    let (stop, stop_asked) = watch::channel(false);
    let (stopped_here, stopped) = watch::channel(false);
    let (frames_in, frames) = mpsc::channel(FRAMES_IN_MAX);
    let acceptor = tokio::spawn(stream::accept(listener, frames_in, metrics.clone()));
    let ear = Ear { datagrams, frames, commands: command_queue, stop: stop_asked, acceptor };
    let outgoing = Outgoing::new(metrics.clone());
    let driver =
        Driver::new(machine, disk, ear, outgoing, Clock::start(), settings.stop_max, metrics.clone());
    tokio::spawn(async move {
        driver.run(&seeds).await;
        stopped_here.send_replace(true);
    });
    tracing::info!(id = %life.id, incarnation = life.incarnation, listen = %bound, "node started");
    Ok(NodeHandle { commands, stop: Arc::new(stop), stopped, listen: bound, id: life.id, metrics })
}

async fn open_disk(settings: &NodeSettings, metrics: &DriverMetrics) -> Result<(Disk, Life), StartError> {
    let fresh = Id(random_bytes()?);
    let (Some(path), Durability::Os | Durability::Fsync) = (settings.data.clone(), settings.durability)
    else {
        return Ok((Disk::memory(), Life { id: fresh, incarnation: 1, has_notes: false }));
    };
    let durability = settings.durability;
    let config = EngineConfig { cache_bytes: settings.disk_cache_bytes, ..EngineConfig::default() };
    let metrics = metrics.disk.clone();
    tokio::task::spawn_blocking(move || Disk::open(&path, durability, config, fresh, metrics))
        .await
        .map_err(|e| StartError::Thread(std::io::Error::other(e)))?
}

fn random_bytes<const N: usize>() -> Result<[u8; N], StartError> {
    let (mut bytes, mut filled) = ([0; N], 0);
    while filled < N {
        match rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            Ok(n) => filled += n,
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(StartError::Randomness(e.into())),
        }
    }
    Ok(bytes)
}

/// The seeds' addresses. Names are looked up again and again until each is found or the time is over: a name service
/// may come up later than the node. A node that remembers peers goes on without them.
async fn resolve(settings: &NodeSettings, has_notes: bool) -> Result<Vec<Addr>, StartError> {
    let mut seeds: Vec<Addr> = settings.seeds.iter().map(|a| Addr::from(*a)).collect();
    let mut missing: Vec<&String> = settings.seed_names.iter().collect();
    let deadline = tokio::time::Instant::now() + settings.resolve_max;
    let mut pause = RESOLVE_PAUSE_MIN;
    loop {
        let (mut still, mut errors) = (Vec::new(), Vec::new());
        for name in missing {
            match tokio::time::timeout_at(deadline, tokio::net::lookup_host(name)).await {
                Ok(Ok(found)) => seeds.extend(found.map(Addr::from)),
                Ok(Err(error)) => {
                    errors.push(format!("{name}: {error}"));
                    still.push(name);
                }
                Err(_) => {
                    errors.push(format!("{name}: no answer"));
                    still.push(name);
                }
            }
        }
        missing = still;
        if missing.is_empty() {
            break;
        }
        let detail = errors.join("; ");
        if tokio::time::Instant::now() + pause > deadline {
            if seeds.is_empty() && !has_notes {
                return Err(StartError::Seeds { waited: settings.resolve_max, detail });
            }
            tracing::warn!(detail, "starting without some of the seeds");
            break;
        }
        tracing::warn!(detail, "cannot look up a seed yet");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RESOLVE_PAUSE_MAX);
    }
    seeds.truncate(SEEDS_MAX);
    Ok(seeds)
}

impl NodeHandle {
    /// Does one operation. Dropping the future gives up the answer, not the operation.
    ///
    /// # Errors
    /// [`OpError`]: `Busy` if too many wait already, `NotJoined` if the node is not running any more, `Timeout` (outcome
    /// unknown) if it ended before the operation did.
    pub async fn op(&self, what: Op) -> OpResult {
        let (reply, answer) = oneshot::channel();
        match self.commands.try_send(Command { what, reply }) {
            Ok(()) => answer.await.unwrap_or(Err(OpError::Timeout)),
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.metrics.ops_refused.inc();
                Err(OpError::Busy)
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(OpError::NotJoined),
        }
    }

    /// The node's own state.
    ///
    /// # Errors
    /// As [`NodeHandle::op`].
    pub async fn status(&self) -> Result<NodeStatus, OpError> {
        match self.op(Op::Status).await? {
            OpDone::Status(status) => Ok(*status),
            other => {
                debug_assert!(false, "a status was asked for, not {other:?}");
                Err(OpError::Timeout)
            }
        }
    }

    /// Until the node is a member and has taken over all that it shares. Waits for as long as that takes.
    ///
    /// # Errors
    /// [`MemberError`] if it will not happen.
    pub async fn wait_member(&self) -> Result<(), MemberError> {
        loop {
            match self.status().await {
                Ok(s) if s.phase == Phase::Member && s.shares.0 == s.shares.1 => return Ok(()),
                Ok(s) if s.phase == Phase::Refused => {
                    return Err(MemberError::Refused(s.refused.unwrap_or_default()));
                }
                Ok(s) if s.phase == Phase::Stopped => return Err(MemberError::Stopped),
                Err(OpError::NotJoined) if self.commands.is_closed() => return Err(MemberError::Stopped),
                Ok(_) | Err(_) => tokio::time::sleep(MEMBER_POLL).await,
            }
        }
    }

    /// Where it listens: the bound address, with the real port.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> Id {
        self.id
    }

    /// What its driver counts.
    #[must_use]
    pub fn metrics(&self) -> &DriverMetrics {
        &self.metrics
    }

    /// Leaves gracefully: hands over, says goodbye, closes the data directory. Takes at most about
    /// [`NodeSettings::stop_max`]; whoever calls first begins it, all wait for its end.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        self.stopped().await;
    }

    /// Until the node has ended, by [`NodeHandle::stop`] or otherwise. Its directory is free then.
    pub async fn stopped(&self) {
        let mut stopped = self.stopped.clone();
        // An error means that the driver is gone without a word, with its runtime or by a panic.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }
}
