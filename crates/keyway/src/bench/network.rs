//! The network that is measured: nodes of this process, on free ports of loopback, with their gateways if those are asked.
//!
//! Nodes that will be stopped live on a runtime of their own. To kill them all in one instant, without a word to anybody,
//! that runtime is dropped with all its sockets; to let them stand still, its one thread is put to sleep, while the
//! kernel goes on filling their sockets, as after SIGSTOP.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use keyway_core::machine::Counters;
use keyway_gateway::{GatewayConfig, LegacyLimits, Limits, SunRpcLimits};
use keyway_net::{Durability, NodeHandle, NodeSettings, start};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use super::BenchArgs;
use super::disk::{Disks, Scratch};
use super::wire::{Doors, Interface};
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::serve::{self, Ports, Served};

/// A call of Sun RPC beside its value.
const CALL_BYTES_MAX: usize = 4 << 10;
/// For all nodes to be members and to have taken over their ranges.
const READY_TIMEOUT: Duration = Duration::from_secs(180);

/// Running nodes. The victims come last.
pub(super) struct Network {
    pub(super) nodes: Vec<Doors>,
    /// A gateway closes when this is dropped.
    gateways: Vec<Served>,
    pub(super) victims: usize,
    /// Where the others and the load run.
    pub(super) runtime: Runtime,
    /// Where the victims run.
    doomed: Mutex<Option<Runtime>>,
}

/// With so many threads, or one for each processor.
pub(super) fn runtime(threads: Option<usize>) -> Result<Runtime, Failure> {
    let mut builder = Builder::new_multi_thread();
    if let Some(threads) = threads {
        builder.worker_threads(threads);
    }
    builder.enable_all().build().map_err(|error| {
        Failure::new(Exit::Failure, format!("cannot start: {error}"))
            .hint("are there file descriptors left? see ulimit -n")
    })
}

impl Network {
    /// Starts them all, the first one as founder, and waits until the network is whole.
    pub(super) fn start(
        args: &BenchArgs,
        victims: usize,
        scratch: &Scratch,
        output: &Output,
    ) -> Result<Network, Failure> {
        let live = runtime(None)?;
        let doomed = runtime(Some(1))?;
        let count = usize::from(args.nodes);
        output.note(format!("starting {count} nodes ..."));
        let with_gateways = args.interface.iter().any(|interface| *interface != Interface::Native);
        let (mut nodes, mut gateways): (Vec<Doors>, _) = (Vec::new(), Vec::new());
        for at in 0..count {
            // A few seeds, as a configuration file would name them.
            let seeds: Vec<SocketAddr> = nodes.iter().take(3).map(|doors| doors.node.listen()).collect();
            let settings = settings(args, seeds, at, scratch.path());
            let place = if at < count - victims { &live } else { &doomed };
            let doors = if with_gateways {
                let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                let ports = Ports { http: anywhere, sunrpc: Some(anywhere) };
                let served = place.block_on(serve::start(settings, ports, gateway_config(args)))?;
                let doors =
                    Doors { node: served.node.clone(), http: Some(served.http), sunrpc: served.sunrpc };
                gateways.push(served);
                doors
            } else {
                let node = place
                    .block_on(start(settings))
                    .map_err(|error| Failure::new(Exit::Failure, format!("node {at}: {error}")))?;
                Doors { node, http: None, sunrpc: None }
            };
            if at == 0 {
                live.block_on(ready(&[&doors.node]))?;
            }
            nodes.push(doors);
        }
        let all: Vec<&NodeHandle> = nodes.iter().map(|doors| &doors.node).collect();
        live.block_on(ready(&all))?;
        Ok(Network { nodes, gateways, victims, runtime: live, doomed: Mutex::new(Some(doomed)) })
    }

    /// What all nodes that run have sent so far: messages and bytes.
    pub(super) fn sent(&self, nodes: usize) -> Result<(u64, u64), Failure> {
        self.runtime.block_on(async {
            let mut sum = (0, 0);
            for Doors { node, .. } in &self.nodes[..nodes] {
                let status =
                    node.status().await.map_err(|e| Failure::new(Exit::Failure, format!("status: {e}")))?;
                let Counters { frames_out, bytes_out, .. } = status.counters;
                sum = (sum.0 + frames_out, sum.1 + bytes_out);
            }
            Ok(sum)
        })
    }

    /// Records on all nodes together.
    pub(super) fn records(&self) -> u64 {
        self.runtime.block_on(async {
            let mut sum = 0;
            for Doors { node, .. } in &self.nodes {
                sum += node.status().await.map_or(0, |status| status.records);
            }
            sum
        })
    }

    /// What the disks of all nodes have done so far.
    pub(super) fn disks(&self) -> Disks {
        Disks::read(self.nodes.iter().map(|doors| &doors.node.metrics().disk))
    }

    /// All nodes leave together, so that their files are closed.
    pub(super) fn stop(self) {
        let nodes: Vec<NodeHandle> = self.nodes.iter().map(|doors| doors.node.clone()).collect();
        self.runtime.block_on(async {
            let mut leaving = JoinSet::new();
            for node in nodes {
                leaving.spawn(async move { node.stop().await });
            }
            while leaving.join_next().await.is_some() {}
        });
    }

    /// The victims vanish.
    pub(super) fn kill(&self) {
        let doomed = self.doomed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(doomed) = doomed {
            doomed.shutdown_background();
        }
    }

    /// The victims stand still.
    pub(super) fn pause(&self, span: Duration) {
        let doomed = self.doomed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(doomed) = doomed.as_ref() {
            // It has one thread: whoever sleeps on it, all sleep.
            doomed.spawn(async move { std::thread::sleep(span) });
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.kill();
        self.gateways.clear();
    }
}

/// Of node `at`, which keeps its data below `place`, if it keeps any.
pub(super) fn settings(args: &BenchArgs, seeds: Vec<SocketAddr>, at: usize, place: &Path) -> NodeSettings {
    let kept = args.durability != Durability::Memory;
    NodeSettings {
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
        seeds,
        data: kept.then(|| place.join(format!("node-{at}"))),
        durability: args.durability,
        overlay: args.overlay.clone(),
        overlay_options: args.option.clone(),
        lookup_style: args.style,
        replicas: args.copies,
        acks: args.acks,
        stop_max: Duration::ZERO,
        ..NodeSettings::default()
    }
}

/// The defaults, with room for the values and for as many at once as are asked for.
fn gateway_config(args: &BenchArgs) -> GatewayConfig {
    let at_once = args.concurrency.iter().copied().max().map_or(1, usize::from);
    let (limits, legacy, sunrpc) = (Limits::default(), LegacyLimits::default(), SunRpcLimits::default());
    let value_bytes = u32::try_from(args.value_bytes).unwrap_or(u32::MAX);
    GatewayConfig {
        limits: Limits { connections_per_ip_max: limits.connections_per_ip_max.max(2 * at_once), ..limits },
        legacy: LegacyLimits { value_bytes_max: legacy.value_bytes_max.max(value_bytes), ..legacy },
        sunrpc: SunRpcLimits {
            record_bytes_max: sunrpc.record_bytes_max.max(args.value_bytes + CALL_BYTES_MAX),
            ..sunrpc
        },
        ..GatewayConfig::default()
    }
}

/// Until all of them are members that have taken over their ranges.
async fn ready(nodes: &[&NodeHandle]) -> Result<(), Failure> {
    let all = async {
        for node in nodes {
            node.wait_member().await.map_err(|error| {
                Failure::new(Exit::Isolated, format!("the node at {} did not join: {error}", node.listen()))
            })?;
        }
        Ok(())
    };
    tokio::time::timeout(READY_TIMEOUT, all).await.unwrap_or_else(|_| {
        let seconds = READY_TIMEOUT.as_secs();
        Err(Failure::new(Exit::Partial, format!("the network is not whole after {seconds} s")))
    })
}
