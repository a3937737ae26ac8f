//! What a gateway needs of a node: one door for operations, and its metrics.
//!
//! Two implementations: the handle of a running node (`keyway_net::NodeHandle`), and the tests' fake over a plain map.

use std::future::Future;
use std::time::Duration;

use keyway_core::machine::{NodeStatus, Op, OpDone, OpError, OpResult};
use keyway_net::NodeHandle;
use prometheus_client::registry::Registry;

use crate::metrics::GatewayMetrics;

/// A node that a gateway may stand before.
pub trait Node: Clone + Send + Sync + 'static {
    /// Performs one operation.
    fn op(&self, what: Op) -> impl Future<Output = OpResult> + Send;

    /// Registers the metrics of its driver, if it has any.
    fn register_metrics(&self, registry: &mut Registry) {
        let _ = registry;
    }
}

impl Node for NodeHandle {
    fn op(&self, what: Op) -> impl Future<Output = OpResult> + Send {
        NodeHandle::op(self, what)
    }

    fn register_metrics(&self, registry: &mut Registry) {
        self.metrics().register(registry);
    }
}

/// The desk at which every interface asks: the node, a bound on its time, and the gateway's own metrics.
#[derive(Clone)]
pub(crate) struct Desk<N> {
    node: N,
    op_timeout: Duration,
    pub(crate) metrics: GatewayMetrics,
}

impl<N: Node> Desk<N> {
    pub(crate) fn new(node: N, op_timeout: Duration, metrics: GatewayMetrics) -> Desk<N> {
        Desk { node, op_timeout, metrics }
    }

    /// Performs one operation, or gives up on it.
    pub(crate) async fn op(&self, what: Op) -> OpResult {
        tokio::time::timeout(self.op_timeout, self.node.op(what)).await.unwrap_or(Err(OpError::Timeout))
    }

    /// The node's own state, sooner than operations on the network may take.
    pub(crate) async fn status(&self) -> Result<Box<NodeStatus>, OpError> {
        match self.own(Op::Status).await? {
            OpDone::Status(status) => Ok(status),
            _ => Err(OpError::Timeout),
        }
    }

    /// What the node itself knows, sooner than operations on the network may take.
    pub(crate) async fn own(&self, what: Op) -> OpResult {
        let patience = self.op_timeout.min(STATUS_TIMEOUT);
        tokio::time::timeout(patience, self.node.op(what)).await.unwrap_or(Err(OpError::Timeout))
    }
}

/// A node that does not know its own state by then is not well.
const STATUS_TIMEOUT: Duration = Duration::from_secs(2);
