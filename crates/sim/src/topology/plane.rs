//! The Euclidean plane: hosts at random points of a square, latency in proportion to distance.
//!
//! The simplest model in which being near is transitive, as proximity routing assumes.

use keyway_core::Duration;

/// Microseconds between two points of the unit square, whose diagonal takes `diagonal`.
pub(super) fn micros(a: (f32, f32), b: (f32, f32), diagonal: Duration) -> u64 {
    let (dx, dy) = (f64::from(a.0 - b.0), f64::from(a.1 - b.1));
    // The diagonal of the unit square has length sqrt 2.
    (libm::sqrt((dx * dx + dy * dy) / 2.0) * diagonal.0 as f64) as u64
}
