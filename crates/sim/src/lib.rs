//! # keyway-sim: the deterministic world
//!
//! The nodes of `keyway-core`, the very ones that serve on a wire, under simulated time, links and disks. A world is a
//! pure function of its seed: a run is replayed by a line.
//!
//! Five orthogonal axes, one idea a file: [`topology`], [`links`], [`churn`], [`workload`], [`checkers`]; [`oracle`] knows the
//! truth, [`scenario`] is what a person asks for, [`swarm`] draws worlds, [`sweep`] runs many of them.
//!
//! This crate depends on core only. It reads no clock and opens no socket; the one file it reads is a latency matrix.

#![forbid(unsafe_code)]

pub mod disk;
pub mod draw;
pub mod host;
pub mod links;
mod queue;
pub mod span;
pub mod topology;
pub mod trace;
pub mod world;

#[cfg(test)]
mod tests;

pub use world::{Happening, World, WorldConfig};
