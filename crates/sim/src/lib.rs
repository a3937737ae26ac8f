//! # keyway-sim: the deterministic world
//!
//! The nodes of `keyway-core`, the very ones that serve on a wire, under simulated time, links and disks. A world is a
//! pure function of its seed: a run is replayed by a line.
//!
//! Five orthogonal axes, one idea a file: [`topology`], [`links`], [`churn`], [`workload`], [`checkers`]; [`oracle`] knows the
//! truth, [`scenario`] is what a person asks for, [`swarm`] draws worlds, [`sweep`] runs many of them;
//! [`undead`] removes a great deal, and looks whether it stays away.
//!
//! This crate depends on core only. It reads no clock and opens no file or socket: wall time, memory and the text of a
//! measured latency table are told to it.

#![forbid(unsafe_code)]

pub mod checkers;
pub mod churn;
pub mod disk;
pub mod draw;
pub mod experiments;
pub mod host;
pub mod links;
pub mod oracle;
mod queue;
pub mod report;
pub mod run;
pub mod scenario;
pub mod span;
pub mod swarm;
pub mod sweep;
pub mod topology;
pub mod trace;
pub mod undead;
pub mod workload;
pub mod world;

#[cfg(test)]
mod tests;

pub use world::{Happening, World, WorldConfig};
