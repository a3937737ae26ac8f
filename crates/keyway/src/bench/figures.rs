//! What is measured of a phase: latencies, rate, processor time, messages and bytes, memory.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// Latencies in milliseconds, by nearest rank.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Latencies {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Latencies {
    /// Of these spans, in any order.
    pub(super) fn of(mut spans: Vec<Duration>) -> Latencies {
        spans.sort_unstable();
        let at = |share: f64| {
            let rank = (spans.len() as f64 * share) as usize;
            let span = spans.get(rank.min(spans.len().saturating_sub(1))).copied().unwrap_or_default();
            (span.as_secs_f64() * 1e6).round() / 1e3
        };
        Latencies { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1.0) }
    }
}

/// A phase, measured.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Measured {
    /// Operations that were begun.
    pub(super) count: usize,
    /// Those that ended without success.
    pub(super) failed: usize,
    /// Gets that gave other bytes than were put, or none.
    pub(super) wrong: usize,
    pub(super) ms: Latencies,
    pub(super) per_s: f64,
    /// Processor time of the whole process: all nodes and the load.
    pub(super) cpu_ms_per_op: f64,
    pub(super) messages_per_op: f64,
    pub(super) bytes_per_op: f64,
}

/// Readings at the start of a phase.
#[derive(Clone, Copy, Debug)]
pub(super) struct Readings {
    began: Instant,
    cpu: Duration,
    messages: u64,
    bytes: u64,
}

/// What one operation gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Right,
    Wrong,
    Failed,
}

impl Readings {
    /// Now, with what all nodes have sent so far.
    pub(super) fn take((messages, bytes): (u64, u64)) -> Readings {
        Readings { began: Instant::now(), cpu: cpu(), messages, bytes }
    }

    /// The phase since then, with what each operation took and gave.
    pub(super) fn until_now(&self, ops: &[(Duration, Verdict)], sent: (u64, u64)) -> Measured {
        let count = ops.len();
        let per_op = |sum: f64| sum / count.max(1) as f64;
        let of = |verdict: Verdict| ops.iter().filter(|(_, v)| *v == verdict).count();
        Measured {
            count,
            failed: of(Verdict::Failed),
            wrong: of(Verdict::Wrong),
            ms: Latencies::of(ops.iter().map(|(span, _)| *span).collect()),
            per_s: count as f64 / self.began.elapsed().as_secs_f64(),
            cpu_ms_per_op: per_op((cpu() - self.cpu).as_secs_f64() * 1e3),
            messages_per_op: per_op((sent.0 - self.messages) as f64),
            bytes_per_op: per_op((sent.1 - self.bytes) as f64),
        }
    }
}

/// Processor time of this process so far.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Memory of this process that is in use now, in MiB; 0 where the system does not say.
pub(super) fn resident_mib() -> f64 {
    let read = || -> Option<f64> {
        let text = std::fs::read_to_string("/proc/self/statm").ok()?;
        let pages: f64 = text.split(' ').nth(1)?.parse().ok()?;
        Some(pages * rustix::param::page_size() as f64 / f64::from(1 << 20))
    };
    read().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_nearest_rank() {
        let spans = (1..=1_000).rev().map(Duration::from_millis).collect();
        let ms = Latencies::of(spans);
        assert_eq!((ms.p50, ms.p90, ms.p99, ms.max), (501.0, 901.0, 991.0, 1_000.0));
        assert_eq!(Latencies::of(Vec::new()).max, 0.0);
    }

    #[test]
    fn a_phase_counts_what_was_wrong() {
        let began = Readings::take((10, 1_000));
        let span = Duration::from_millis(1);
        let ops =
            [(span, Verdict::Right), (span, Verdict::Wrong), (span, Verdict::Failed), (span, Verdict::Right)];
        let m = began.until_now(&ops, (18, 1_400));
        assert_eq!((m.count, m.wrong, m.failed), (4, 1, 1));
        assert_eq!((m.messages_per_op, m.bytes_per_op), (2.0, 100.0));
    }
}
