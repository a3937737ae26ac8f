//! The disk of a node that keeps nothing: a map. Effects end at once, on the driver's own thread.

use std::collections::BTreeMap;
use std::ops::Bound;

use keyway_core::machine::{DiskOp, DiskResult};
use keyway_core::store::{Identity, Record};

/// Records and notes in memory. They end with the process.
#[derive(Debug, Default)]
pub(super) struct MemoryDisk {
    records: BTreeMap<Identity, Record>,
    notes: Option<Vec<u8>>,
}

impl MemoryDisk {
    /// Does one effect.
    pub(super) fn perform(&mut self, op: DiskOp) -> DiskResult {
        match op {
            DiskOp::Load { after, limit } => {
                let limit = limit as usize;
                let from = after.map_or(Bound::Unbounded, Bound::Excluded);
                let mut rest = self.records.range((from, Bound::Unbounded)).map(|(_, r)| r.head);
                let heads = rest.by_ref().take(limit).collect();
                DiskResult::Loaded { notes: self.notes.clone(), heads, more: rest.next().is_some() }
            }
            DiskOp::Write(record) => {
                self.records.insert(record.head.identity, record);
                DiskResult::Written
            }
            DiskOp::Delete(identity) => {
                self.records.remove(&identity);
                DiskResult::Written
            }
            DiskOp::Read(identity) => DiskResult::Record(self.records.get(&identity).cloned()),
            DiskOp::WriteNotes(notes) => {
                self.notes = Some(notes);
                DiskResult::Written
            }
        }
    }
}
