//! The disk of a node: what a driver does with [`DiskEffect`]s.
//!
//! | durability | `Written` means | survives |
//! | --- | --- | --- |
//! | `memory` | it is in a map of this process | nothing |
//! | `os` | the commit was handed to the operating system; nothing is synced | `kill -9`, not the loss of power |
//! | `fsync` | the commit and its fsync have returned | `kill -9`, and the loss of power |
//!
//! With `os`, the loss of power may also damage the file as a whole, because pages reach the disk in any order. The
//! node then refuses to start on it, and its records come back from their other copies. Identity and incarnation are
//! synced in that mode too, before the node starts.

mod ahead;
pub mod archive;
pub mod directory;
pub mod engine;
pub mod lanes;
pub mod medium;
mod memory;
pub mod rows;
mod scan;
mod shadow;
pub mod yardstick;

use std::path::Path;

use keyway_core::id::Id;
use keyway_core::machine::{DiskEffect, DiskResult, DiskToken};

use crate::metrics::DiskMetrics;
use crate::settings::StartError;
use directory::Directory;
use engine::{Engine, EngineConfig, Life};
use lanes::Lanes;
use medium::{FileMedium, Medium};
use memory::MemoryDisk;

/// What an acknowledged write survives; see the table of [this module](self).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Durability {
    /// Nothing.
    Memory,
    /// The end of the process.
    Os,
    /// The loss of power.
    #[default]
    Fsync,
}

impl std::str::FromStr for Durability {
    type Err = String;

    fn from_str(s: &str) -> Result<Durability, String> {
        match s {
            "memory" => Ok(Durability::Memory),
            "os" => Ok(Durability::Os),
            "fsync" => Ok(Durability::Fsync),
            _ => Err(format!("unknown durability `{s}`: choose memory, os or fsync")),
        }
    }
}

impl std::fmt::Display for Durability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Durability::Memory => "memory",
            Durability::Os => "os",
            Durability::Fsync => "fsync",
        })
    }
}

/// A node's disk, as its driver sees it: effects in, results out, each exactly once.
#[derive(Debug)]
pub struct Disk {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Memory { disk: MemoryDisk, done: Vec<(DiskToken, DiskResult)> },
    File(Lanes),
}

impl Disk {
    /// A disk that keeps nothing.
    #[must_use]
    pub fn memory() -> Disk {
        Disk { kind: Kind::Memory { disk: MemoryDisk::default(), done: Vec::new() } }
    }

    /// A disk over an engine on any medium.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn over<M: Medium>(engine: Engine<M>, metrics: DiskMetrics) -> std::io::Result<Disk> {
        Ok(Disk { kind: Kind::File(Lanes::start(engine, metrics)?) })
    }

    /// Locks and opens the data directory at `path` and begins a life on it; `fresh` is the node's id if it has none.
    /// Blocks: after a crash the whole file is verified.
    ///
    /// # Errors
    /// [`StartError`], for people.
    pub fn open(
        path: &Path,
        durability: Durability,
        config: EngineConfig,
        fresh: Id,
        metrics: DiskMetrics,
    ) -> Result<(Disk, Life), StartError> {
        let directory = Directory::lock(path)?;
        let (file, is_new) = directory.database_file()?;
        let medium = FileMedium::new(file, directory);
        let unusable = |source| StartError::Database { path: path.to_owned(), source };
        let engine = Engine::open(medium, config, metrics.clone()).map_err(unusable)?;
        let life = engine.begin_life(fresh).map_err(unusable)?;
        if is_new {
            engine.medium().directory().publish()?;
        }
        if durability == Durability::Os {
            engine.medium().leave_syncing_to_the_system();
        }
        let lanes = Lanes::start(engine, metrics).map_err(StartError::Thread)?;
        Ok((Disk { kind: Kind::File(lanes) }, life))
    }

    /// Begins effects, leaving `effects` empty.
    pub fn submit(&mut self, effects: &mut Vec<DiskEffect>) {
        match &mut self.kind {
            Kind::Memory { disk, done } => {
                done.extend(effects.drain(..).map(|effect| (effect.token, disk.perform(effect.op))));
            }
            Kind::File(lanes) => lanes.submit(effects),
        }
    }

    /// Moves ended effects to `done`.
    pub fn take_done(&mut self, done: &mut Vec<(DiskToken, DiskResult)>) {
        match &mut self.kind {
            Kind::Memory { done: ended, .. } => done.append(ended),
            Kind::File(lanes) => lanes.take_done(done),
        }
    }

    /// Effects begun and not yet taken as done.
    #[must_use]
    pub fn waiting_count(&self) -> usize {
        match &self.kind {
            Kind::Memory { done, .. } => done.len(),
            Kind::File(lanes) => lanes.waiting_count(),
        }
    }

    /// Until something has ended. Cancel-safe.
    pub async fn ready(&self) {
        match &self.kind {
            Kind::Memory { done, .. } if done.is_empty() => std::future::pending().await,
            Kind::Memory { .. } => {}
            Kind::File(lanes) => lanes.ready().await,
        }
    }

    /// Does what was begun and closes the file cleanly. Blocks.
    pub fn close(self) {
        if let Kind::File(lanes) = self.kind {
            lanes.close();
        }
    }
}
