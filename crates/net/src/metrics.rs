//! What a driver counts, as metric families that an exporter can register. One set per node; nothing is global.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// The counters of one node's driver. Cheap to clone: clones share their values.
#[derive(Clone, Debug, Default)]
pub struct DriverMetrics {
    /// Batches of inputs given to the machine.
    pub turns: Counter,
    /// Datagrams received.
    pub datagrams_in: Counter,
    /// Datagrams sent.
    pub datagrams_out: Counter,
    /// Datagrams not sent because the socket's buffer was full or the network refused them.
    pub datagrams_dropped: Counter,
    /// Receive errors of the socket, such as a peer's port that is closed.
    pub receive_errors: Counter,
    /// Frames received by stream.
    pub stream_frames_in: Counter,
    /// Frames handed to a stream.
    pub stream_frames_out: Counter,
    /// Frames lost because a stream could not be opened, broke, or had its queue full.
    pub stream_frames_dropped: Counter,
    /// Streams open to others.
    pub streams_out: Gauge,
    /// Streams open from others.
    pub streams_in: Gauge,
    /// Client operations refused because the queue was full.
    pub ops_refused: Counter,
    /// Client operations under way.
    pub ops_inflight: Gauge,
    /// What the disk did.
    pub disk: DiskMetrics,
}

/// The counters of one node's disk. Cheap to clone: clones share their values.
#[derive(Clone, Debug)]
pub struct DiskMetrics {
    /// Successful calls that make a file's bytes durable.
    pub fsyncs: Counter,
    /// Bytes written to the file.
    pub written_bytes: Counter,
    /// Group commits.
    pub commits: Counter,
    /// Effects that group commits made durable.
    pub effects: Counter,
    /// Effects per group commit.
    pub batch_effects: Histogram,
    /// Seconds per group commit.
    pub commit_seconds: Histogram,
    /// Effects waiting for the disk.
    pub queued: Gauge,
    /// Effects that failed.
    pub failures: Counter,
    /// Times the file was opened again after a failure.
    pub reopens: Counter,
    /// Rows found damaged.
    pub damaged_rows: Counter,
}

impl Default for DiskMetrics {
    fn default() -> DiskMetrics {
        DiskMetrics {
            fsyncs: Counter::default(),
            written_bytes: Counter::default(),
            commits: Counter::default(),
            effects: Counter::default(),
            batch_effects: Histogram::new(exponential_buckets(1.0, 2.0, 12)),
            commit_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            queued: Gauge::default(),
            failures: Counter::default(),
            reopens: Counter::default(),
            damaged_rows: Counter::default(),
        }
    }
}

impl DriverMetrics {
    /// Registers all families; the caller chooses prefix and labels by the registry that it passes.
    pub fn register(&self, registry: &mut Registry) {
        let net = registry.sub_registry_with_prefix("net");
        net.register("turns", "Batches of inputs given to the node", self.turns.clone());
        net.register("datagrams_in", "Datagrams received", self.datagrams_in.clone());
        net.register("datagrams_out", "Datagrams sent", self.datagrams_out.clone());
        net.register("datagrams_dropped", "Datagrams that could not be sent", self.datagrams_dropped.clone());
        net.register("receive_errors", "Errors while receiving datagrams", self.receive_errors.clone());
        net.register("stream_frames_in", "Frames received by stream", self.stream_frames_in.clone());
        net.register("stream_frames_out", "Frames handed to a stream", self.stream_frames_out.clone());
        net.register(
            "stream_frames_dropped",
            "Frames that a stream lost",
            self.stream_frames_dropped.clone(),
        );
        net.register("streams_out", "Streams open to others", self.streams_out.clone());
        net.register("streams_in", "Streams open from others", self.streams_in.clone());
        net.register("ops_refused", "Client operations refused as busy", self.ops_refused.clone());
        net.register("ops_inflight", "Client operations under way", self.ops_inflight.clone());
        self.disk.register(registry.sub_registry_with_prefix("disk"));
    }
}

impl DiskMetrics {
    fn register(&self, disk: &mut Registry) {
        disk.register("fsyncs", "Calls that made written bytes durable", self.fsyncs.clone());
        disk.register("written_bytes", "Bytes written to the file", self.written_bytes.clone());
        disk.register("commits", "Group commits", self.commits.clone());
        disk.register("effects", "Effects that group commits made durable", self.effects.clone());
        disk.register("batch_effects", "Effects per group commit", self.batch_effects.clone());
        disk.register("commit_seconds", "Seconds per group commit", self.commit_seconds.clone());
        disk.register("queued", "Effects waiting for the disk", self.queued.clone());
        disk.register("failures", "Effects that failed", self.failures.clone());
        disk.register("reopens", "Times the file was opened again after a failure", self.reopens.clone());
        disk.register("damaged_rows", "Rows found damaged", self.damaged_rows.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_nodes_do_not_share_counters() {
        let (a, b) = (DriverMetrics::default(), DriverMetrics::default());
        a.disk.fsyncs.inc();
        let text = |m: &DriverMetrics| {
            let (mut registry, mut text) = (Registry::with_prefix("keyway"), String::new());
            m.register(&mut registry);
            prometheus_client::encoding::text::encode(&mut text, &registry).expect("a string takes all");
            text
        };
        assert!(text(&a).contains("keyway_disk_fsyncs_total 1"), "{}", text(&a));
        assert!(text(&b).contains("keyway_disk_fsyncs_total 0"));
    }
}
