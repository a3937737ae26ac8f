//! The network that is measured: nodes of this process, on free ports of loopback.
//!
//! Nodes that will be stopped live on a runtime of their own. To kill them all in one instant, without a word to anybody,
//! that runtime is dropped with all its sockets; to let them stand still, its one thread is put to sleep, while the
//! kernel goes on filling their sockets, as after SIGSTOP.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use keyway_core::machine::Counters;
use keyway_net::{NodeHandle, NodeSettings, start};
use tokio::runtime::{Builder, Runtime};

use super::BenchArgs;
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// For all nodes to be members and to have taken over their ranges.
const READY_TIMEOUT: Duration = Duration::from_secs(180);

/// Running nodes. The victims come last.
pub(super) struct Network {
    pub(super) nodes: Vec<NodeHandle>,
    pub(super) victims: usize,
    /// Where the others and the load run.
    pub(super) runtime: Runtime,
    /// Where the victims run.
    doomed: Mutex<Option<Runtime>>,
}

fn runtime(threads: Option<usize>) -> Result<Runtime, Failure> {
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
    pub(super) fn start(args: &BenchArgs, victims: usize, output: &Output) -> Result<Network, Failure> {
        let live = runtime(None)?;
        let doomed = runtime(Some(1))?;
        let count = usize::from(args.nodes);
        output.note(format!("starting {count} nodes ..."));
        let mut nodes: Vec<NodeHandle> = Vec::new();
        for at in 0..count {
            // A few seeds, as a configuration file would name them.
            let seeds: Vec<SocketAddr> = nodes.iter().take(3).map(NodeHandle::listen).collect();
            let settings = NodeSettings {
                listen: (Ipv4Addr::LOCALHOST, 0).into(),
                seeds,
                durability: keyway_net::Durability::Memory,
                overlay: args.overlay.clone(),
                overlay_options: args.option.clone(),
                lookup_style: args.style,
                replicas: args.copies,
                acks: args.acks,
                stop_max: Duration::ZERO,
                ..NodeSettings::default()
            };
            let place = if at < count - victims { &live } else { &doomed };
            let node = place
                .block_on(start(settings))
                .map_err(|error| Failure::new(Exit::Failure, format!("node {at}: {error}")))?;
            if at == 0 {
                live.block_on(ready(&[&node]))?;
            }
            nodes.push(node);
        }
        let all: Vec<&NodeHandle> = nodes.iter().collect();
        live.block_on(ready(&all))?;
        Ok(Network { nodes, victims, runtime: live, doomed: Mutex::new(Some(doomed)) })
    }

    /// What all nodes that run have sent so far: messages and bytes.
    pub(super) fn sent(&self, nodes: usize) -> Result<(u64, u64), Failure> {
        self.runtime.block_on(async {
            let mut sum = (0, 0);
            for node in &self.nodes[..nodes] {
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
            for node in &self.nodes {
                sum += node.status().await.map_or(0, |status| status.records);
            }
            sum
        })
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
