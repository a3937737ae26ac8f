//! Somebody takes a snapshot of a node's disk now and then, and puts records of it back later, whatever has happened since.
//!
//! Clients know nothing of it, and the judges of what they read are told nothing: a restore gives no value a life, and brings back none.

use std::collections::{BTreeMap, VecDeque};

use keyway_core::machine::{Op, OpError, OpId, OpResult};
use keyway_core::rng::Rng;
use keyway_core::store::Record;

use super::one_of;

/// Snapshots that are kept; the oldest is forgotten.
const SNAPSHOTS_MAX: usize = 4;
/// Records of one.
const RECORDS_MAX: usize = 64;

/// How much of this there is in a world: restores for each operation of a client; a drawn world may have none.
#[must_use]
pub(super) fn draw(rng: &mut Rng) -> f64 {
    *one_of(rng, &[0.0, 0.05, 0.3])
}

/// The snapshots of a world.
pub(super) struct Snapshots {
    share: f64,
    rng: Rng,
    kept: VecDeque<Vec<Record>>,
    /// Restores under way, and at which host.
    running: BTreeMap<OpId, usize>,
}

impl Snapshots {
    pub(super) fn new(share: f64, rng: Rng) -> Snapshots {
        Snapshots { share, rng, kept: VecDeque::new(), running: BTreeMap::new() }
    }

    /// Whether this world has any.
    pub(super) fn is_wanted(&self) -> bool {
        self.share > 0.0
    }

    /// Whether one is taken now; of which of so many disks.
    pub(super) fn taken_of(&mut self, disks: usize) -> Option<usize> {
        let now = self.share > 0.0 && self.rng.chance(0.02);
        if now { self.rng.index(disks) } else { None }
    }

    /// Keeps what is on a disk, or so many records of it.
    pub(super) fn keep<'a>(&mut self, records: impl Iterator<Item = &'a Record>) {
        let mut kept: Vec<Record> = Vec::new();
        for (seen, record) in records.enumerate() {
            if kept.len() < RECORDS_MAX {
                kept.push(record.clone());
            } else if let Some(at) = self.rng.index(seen + 1).filter(|at| *at < RECORDS_MAX) {
                kept[at] = record.clone();
            }
        }
        self.kept.push_back(kept);
        if self.kept.len() > SNAPSHOTS_MAX {
            self.kept.pop_front();
        }
    }

    /// What is put back now, if something is.
    pub(super) fn due(&mut self) -> Option<Op> {
        if self.share > 0.0 && self.rng.chance(self.share) { self.any() } else { None }
    }

    /// A record of some snapshot.
    pub(super) fn any(&mut self) -> Option<Op> {
        let snapshot = &self.kept[self.rng.index(self.kept.len())?];
        let record = &snapshot[self.rng.index(snapshot.len())?];
        Some(Op::Restore(Box::new(record.clone())))
    }

    /// One of these hosts.
    pub(super) fn host(&mut self, hosts: &[usize]) -> Option<usize> {
        self.rng.index(hosts.len()).map(|at| hosts[at])
    }

    pub(super) fn submitted(&mut self, op: OpId, host: usize) {
        self.running.insert(op, host);
    }

    /// An operation has ended: nothing if it is none of these, else why it should not have failed, if so.
    pub(super) fn ended(&mut self, op: OpId, result: &OpResult) -> Option<Option<String>> {
        self.running.remove(&op)?;
        let rightly = |why: &OpError| {
            matches!(
                why,
                // Its time is over, or somebody has put what lives longer, or the disks are full.
                OpError::Expired | OpError::Outlived { .. } | OpError::OverCapacity | OpError::Waiting { .. }
            )
        };
        Some(result.as_ref().err().filter(|why| !rightly(why)).map(ToString::to_string))
    }

    /// A host died, and with it what was asked of it.
    pub(super) fn forget(&mut self, host: usize) {
        self.running.retain(|_, at| *at != host);
    }

    pub(super) fn pending_count(&self) -> usize {
        self.running.len()
    }
}
