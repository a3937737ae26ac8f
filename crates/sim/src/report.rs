//! What a run gave, for tables and for machines.

use keyway_core::machine::Counters;
use serde::Serialize;

/// Small whole numbers, counted exactly.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    counts: Vec<u64>,
}

/// Numbers from here on are counted as this one.
const TALLY_MAX: usize = 1_000;

impl Tally {
    /// Counts one number.
    pub fn add(&mut self, n: u32) {
        let n = (n as usize).min(TALLY_MAX);
        if self.counts.len() <= n {
            self.counts.resize(n + 1, 0);
        }
        self.counts[n] += 1;
    }

    /// Counts all that another tally has counted.
    pub fn merge(&mut self, other: &Tally) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// `(number, how often)` of every number up to the greatest that was counted.
    pub fn counts(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        (0u32..).zip(self.counts.iter().copied())
    }

    /// How many numbers were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their mean; 0 for none.
    #[must_use]
    pub fn mean(&self) -> f64 {
        let sum: u64 = self.counts.iter().zip(0u64..).map(|(count, n)| count * n).sum();
        if self.count() == 0 { 0.0 } else { sum as f64 / self.count() as f64 }
    }

    /// The smallest number that at least this share of all do not exceed; 0 for none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> u32 {
        let want = share * self.count() as f64;
        let mut seen = 0;
        for (n, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen as f64 >= want && seen > 0 {
                return n as u32;
            }
        }
        0
    }

    fn summary(&self) -> Summary {
        Summary {
            mean: self.mean(),
            p1: f64::from(self.quantile(0.01)),
            p50: f64::from(self.quantile(0.5)),
            p99: f64::from(self.quantile(0.99)),
        }
    }
}

/// Times, counted with three significant digits.
#[derive(Clone, Debug)]
pub struct Times(hdrhistogram::Histogram<u64>);

impl Default for Times {
    fn default() -> Times {
        Times(hdrhistogram::Histogram::new(3).expect("three significant digits are possible"))
    }
}

impl Times {
    /// Counts one time in microseconds.
    pub fn add(&mut self, micros: u64) {
        // Cannot fail: the histogram grows as needed.
        let _ = self.0.record(micros);
    }

    /// Counts all that another has counted.
    pub(crate) fn merge(&mut self, other: &Times) {
        // Cannot fail either.
        let _ = self.0.add(&other.0);
    }

    /// The time in milliseconds that this share of all do not exceed; 0 for none.
    pub(crate) fn quantile_ms(&self, share: f64) -> f64 {
        self.0.value_at_quantile(share) as f64 / 1e3
    }

    fn summary_ms(&self) -> Summary {
        let quantile = |q| self.quantile_ms(q);
        Summary {
            mean: if self.0.is_empty() { 0.0 } else { self.0.mean() / 1e3 },
            p1: quantile(0.01),
            p50: quantile(0.5),
            p99: quantile(0.99),
        }
    }
}

/// A distribution in four numbers.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Summary {
    /// The mean.
    pub mean: f64,
    /// One in a hundred is at most this.
    pub p1: f64,
    /// The median.
    pub p50: f64,
    /// One in a hundred is above this.
    pub p99: f64,
}

/// How lookups ended.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct LookupReport {
    /// Ended, with the asker alive.
    pub total: u64,
    /// Found no root.
    pub failed: u64,
    /// Found somebody who was the root at no instant between call and return.
    pub incorrect: u64,
    /// Time from call to return, of those that found a root.
    pub latency_ms: Summary,
}

/// How puts or gets ended.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct StorageReport {
    /// Ended, with the gateway alive.
    pub total: u64,
    /// Not acknowledged, or not answered.
    pub failed: u64,
    /// Of gets: answered without a value that had been acknowledged before and was still alive.
    pub missed: u64,
    /// Time from call to return, of those that succeeded.
    pub latency_ms: Summary,
}

/// Everything that `keyway sim run -o json` prints.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// The overlay.
    pub overlay: String,
    /// Hosts at the start of the measured time.
    pub nodes: u32,
    /// Members at its end.
    pub members: u32,
    /// The seed.
    pub seed: u64,
    /// Measured virtual time.
    pub virtual_seconds: f64,
    /// Lookups.
    pub lookups: LookupReport,
    /// Nodes that were asked and answered, per lookup that found a root.
    pub hops: Summary,
    /// Asked nodes that stayed silent, per lookup that found a root.
    pub timeouts: Summary,
    /// Puts.
    pub puts: StorageReport,
    /// Gets.
    pub gets: StorageReport,
    /// Crashes and departures.
    pub departures: u64,
    /// Joins and returns that were completed.
    pub joins: u64,
    /// Inputs given to machines, over the whole run.
    pub events: u64,
    /// Events per second of wall time.
    pub events_per_second: f64,
    /// Wall time of the whole run.
    pub wall_seconds: f64,
    /// Resident memory that the world added to the process, per host; 0 where the system does not say.
    pub node_bytes: u64,
    /// Frames sent, over the whole run.
    pub frames: u64,
    /// Bytes of frames sent per second of virtual time and per host, over the whole run.
    pub bytes_per_node_second: f64,
    /// A hash of every event that reached a machine, in hexadecimal.
    pub trace_hash: String,
    /// The sums of all machines' counters.
    pub counters: std::collections::BTreeMap<&'static str, u64>,
}

/// What is counted while a run goes on.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    pub(crate) lookups: LookupReport,
    pub(crate) lookup_times: Times,
    pub(crate) hops: Tally,
    pub(crate) path: Tally,
    pub(crate) timeouts: Tally,
    pub(crate) puts: StorageReport,
    pub(crate) put_times: Times,
    pub(crate) gets: StorageReport,
    pub(crate) get_times: Times,
    pub(crate) departures: u64,
    pub(crate) joins: u64,
}

impl Tallies {
    pub(crate) fn lookups(&self) -> LookupReport {
        LookupReport { latency_ms: self.lookup_times.summary_ms(), ..self.lookups }
    }
    pub(crate) fn puts(&self) -> StorageReport {
        StorageReport { latency_ms: self.put_times.summary_ms(), ..self.puts }
    }
    pub(crate) fn gets(&self) -> StorageReport {
        StorageReport { latency_ms: self.get_times.summary_ms(), ..self.gets }
    }
    pub(crate) fn hops(&self) -> Summary {
        self.hops.summary()
    }
    pub(crate) fn timeouts(&self) -> Summary {
        self.timeouts.summary()
    }
}

impl Report {
    /// Adds what the simulator cannot know: how long it took, and how much memory.
    #[must_use]
    pub fn with_cost(mut self, wall_seconds: f64, resident_bytes: Option<u64>) -> Report {
        self.wall_seconds = wall_seconds;
        self.events_per_second = if wall_seconds > 0.0 { self.events as f64 / wall_seconds } else { 0.0 };
        self.node_bytes = resident_bytes.unwrap_or(0) / u64::from(self.nodes.max(1));
        self
    }
}

pub(crate) fn counters(counters: &Counters) -> std::collections::BTreeMap<&'static str, u64> {
    counters.each().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_are_exact() {
        let mut tally = Tally::default();
        (1..=100).for_each(|n| tally.add(n));
        assert_eq!(
            (tally.mean(), tally.quantile(0.01), tally.quantile(0.5), tally.quantile(0.99)),
            (50.5, 1, 50, 99)
        );
        assert_eq!((Tally::default().mean(), Tally::default().quantile(0.5)), (0.0, 0));
    }

    #[test]
    fn times_are_in_milliseconds() {
        let mut times = Times::default();
        (1..=1_000).for_each(|n| times.add(n * 1_000));
        assert!((times.summary_ms().p50 - 500.0).abs() < 1.0);
        assert_eq!(Times::default().summary_ms(), Summary::default());
    }
}
