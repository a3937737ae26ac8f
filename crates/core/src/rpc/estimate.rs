//! What is measured of links: round trips ([`Estimate`]), and the share of tries that get lost ([`Loss`]).
//!
//! ```text
//!   sample ──▶ mean += (sample - mean) / 8 ──▶ time-out of a try: mean + 4 deviation      (RFC 6298, section 2)
//!          └─▶ deviation += (|sample - mean| - deviation) / 4
//!   tries lost, of answered calls ──▶ tries after which silence of a living peer is rarer than one in a hundred thousand
//! ```

use super::{TRIES_MAX, TRIES_MIN};
use crate::time::Duration;

/// A round-trip estimate (RFC 6298 with gains 1/8 and 1/4), microseconds. Eight bytes: each node keeps dozens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Estimate {
    mean: u32,
    /// The deviation, and above its bits the samples so far, up to [`SAMPLES_YOUNG`].
    spread: u32,
}

/// Bits of the deviation.
const DEVIATION_BITS: u32 = 28;
/// The longest round trip that is told apart from longer ones: over four minutes.
const RTT_MAX: u32 = (1 << DEVIATION_BITS) - 1;
/// An estimate of fewer samples is not yet trusted to be shorter than the node's own: one lucky round trip says little
/// about the next, and three tries would be over before an ordinary answer comes.
const SAMPLES_YOUNG: u32 = 4;
/// A node's own estimate of fewer samples is not trusted to be shorter than its first guess.
const SAMPLES_FIRST: u32 = 2;

impl Estimate {
    /// Nothing measured yet.
    pub(super) const NONE: Estimate = Estimate { mean: 0, spread: 0 };

    const fn samples(self) -> u32 {
        self.spread >> DEVIATION_BITS
    }

    const fn deviation(self) -> u32 {
        self.spread & RTT_MAX
    }

    /// Learns one round trip.
    pub fn sample(&mut self, rtt: Duration) {
        let rtt = u32::try_from(rtt.0).unwrap_or(u32::MAX).min(RTT_MAX);
        let (samples, deviation) = (self.samples(), self.deviation());
        let (samples, deviation) = if samples > 0 {
            let off = rtt.abs_diff(self.mean);
            self.mean = self.mean - self.mean / 8 + rtt / 8;
            (SAMPLES_YOUNG.min(samples + 1), deviation - deviation / 4 + off / 4)
        } else {
            self.mean = rtt;
            (1, rtt / 2)
        };
        self.spread = samples << DEVIATION_BITS | deviation.min(RTT_MAX);
    }

    /// Too few samples so far to be trusted to be shorter than the node's own estimate.
    pub(super) const fn is_young(self) -> bool {
        self.samples() < SAMPLES_YOUNG
    }

    /// So few samples that all of them may have been short by luck.
    pub(super) const fn is_first(self) -> bool {
        self.samples() < SAMPLES_FIRST
    }

    /// The smoothed round trip, if there was a sample.
    #[must_use]
    pub fn mean(self) -> Option<Duration> {
        (self.samples() > 0).then_some(Duration(u64::from(self.mean)))
    }

    /// Mean plus four deviations, if there was a sample.
    #[must_use]
    pub fn timeout(self) -> Option<Duration> {
        (self.samples() > 0).then(|| Duration(u64::from(self.mean) + 4 * u64::from(self.deviation())))
    }
}

/// The share of tries that got lost, there or back, among calls that were answered, by a reply or by `Busy`: a running mean. Silent
/// calls do not count, for the dead lose everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Loss {
    /// In units of 2^-16.
    mean: u32,
    /// Tries seen so far, up to [`Loss::MEMORY`].
    seen: u32,
}

impl Loss {
    /// Nothing seen yet.
    pub(super) const NONE: Loss = Loss { mean: 0, seen: 0 };
    /// Tries over which the mean runs.
    const MEMORY: u32 = 64;
    /// A silence of a living peer is to be rarer than this, in units of 2^-16 squared: about one in a hundred thousand.
    const FALSE_SILENCE_MAX: u64 = (1 << 32) / 100_000;

    /// A try was lost (1) or answered (0).
    pub(super) fn sample(&mut self, lost: u32) {
        // The first tries count as if two dozen had been answered before them.
        self.seen = (self.seen + 1).min(Loss::MEMORY);
        let weight = (self.seen + 24).min(Loss::MEMORY);
        self.mean = self.mean - self.mean / weight + (lost << 16) / weight;
    }

    /// Tries after which silence is believed.
    pub(super) fn tries(self) -> u8 {
        let mean = u64::from(self.mean.min(1 << 16));
        // All of so many tries are lost: 2^-32 units.
        let (mut all, mut tries) = (mean << 16, 1);
        while tries < TRIES_MIN || (tries < TRIES_MAX && all > Loss::FALSE_SILENCE_MAX) {
            all = (all * mean) >> 16;
            tries += 1;
        }
        tries
    }
}
