//! A simulated disk: it delays, loses or fails whole batches, fills up, and forgets at a crash what was not synced.
//!
//! ```text
//!   effects of one handle ──┬─ reads  ──▶ each ends after its own delay, and sees what is synced by then
//!                           └─ writes ──▶ one batch, synced in order behind earlier batches ──▶ Written / Failed
//!                                            crash: some prefix of the waiting batches is kept, the rest never was
//! ```
//!
//! Group commit, as the real engine does it: while a batch is being synced, all further writes gather in the next one, so a
//! slow disk makes every write late but does not queue them one behind the other.
//!
//! `Written` is only said after the sync. A batch whose sync fails may have reached the disk or not: its outcome is unknown,
//! as with a real fsync. Torn sectors are not modelled here; they are tested under the real storage engine.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use keyway_core::Duration;
use keyway_core::machine::{DiskEffect, DiskError, DiskOp, DiskResult};
use keyway_core::rng::{Rng, Seed};
use keyway_core::store::{Identity, Record};

use crate::draw::Spread;

/// How disks behave.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct DiskModel {
    /// How long a read takes.
    pub read: Spread,
    /// How long the sync of a batch takes, after the batches before it.
    pub sync: Spread,
    /// Probability that the sync of a batch fails.
    pub fail: f64,
    /// Probability that a read fails.
    pub fail_read: f64,
    /// Values that fit, in bytes.
    pub capacity_bytes: u64,
}

impl Default for DiskModel {
    /// A quick solid-state disk that never fails.
    fn default() -> DiskModel {
        DiskModel {
            read: Spread::Constant(Duration(100)),
            sync: Spread::Constant(Duration(1_000)),
            fail: 0.0,
            fail_read: 0.0,
            capacity_bytes: u64::MAX,
        }
    }
}

/// A batch under way. Reads travel alone, writes in company.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The life of the host in which it was asked for: results for an earlier life are dropped.
    pub(crate) life: u32,
    /// When its sync begins: writes that come before join it.
    pub(crate) begins: u64,
    /// When it ends.
    pub(crate) ends: u64,
    /// What is asked for.
    pub(crate) effects: Vec<DiskEffect>,
}

/// Effects in one batch: the next one begins a batch of its own.
const BATCH_EFFECTS_MAX: usize = 1_024;

impl Batch {
    /// Whether writes that are asked for at this moment may join it.
    fn gathers(&self, now: u64, life: u32) -> bool {
        self.begins > now && self.life == life && self.effects.len() < BATCH_EFFECTS_MAX
    }
}

/// One host's disk. It outlives the processes that use it.
#[derive(Debug)]
pub struct Disk {
    /// Shared by the disks of a world.
    pub(crate) model: Arc<DiskModel>,
    records: BTreeMap<Identity, Record>,
    notes: Option<Vec<u8>>,
    bytes: u64,
    synced_until: u64,
    /// Batches that failed so far.
    pub(crate) failed_count: u64,
    /// Behind a pointer and made when first drawn from: a sound disk draws nothing.
    rng: Result<Box<Rng>, Seed>,
}

impl Disk {
    pub(crate) fn new(model: Arc<DiskModel>, seed: Seed) -> Disk {
        Disk {
            model,
            records: BTreeMap::new(),
            notes: None,
            bytes: 0,
            synced_until: 0,
            failed_count: 0,
            rng: Err(seed),
        }
    }

    fn rng(&mut self) -> &mut Rng {
        if let Err(seed) = &self.rng {
            self.rng = Ok(Box::new(Rng::new(*seed)));
        }
        self.rng.as_mut().expect("it has just been made")
    }

    fn draw(&mut self, spread: Spread) -> Duration {
        // A constant draws nothing, with or without a stream.
        if let Spread::Constant(span) = spread { span } else { spread.draw(self.rng()) }
    }

    /// How many records are synced.
    #[must_use]
    pub fn record_count(&self) -> usize {
        self.records.len()
    }

    /// The synced records.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// Splits what one `handle` asked for into batches with their ends. `last` is the newest batch of writes, if it has
    /// not ended: writes join it as long as its sync has not begun.
    pub(crate) fn submit(
        &mut self,
        now: u64,
        life: u32,
        effects: &mut Vec<DiskEffect>,
        last: Option<&mut Batch>,
        mut each: impl FnMut(Batch),
    ) {
        let mut writes = Vec::new();
        for effect in effects.drain(..) {
            match effect.op {
                DiskOp::Load { .. } | DiskOp::Read(_) => {
                    let ends = now + self.draw(self.model.read).0;
                    each(Batch { life, begins: now, ends, effects: vec![effect] });
                }
                DiskOp::Write(_) | DiskOp::Delete(_) | DiskOp::WriteNotes(_) => writes.push(effect),
            }
        }
        if writes.is_empty() {
            return;
        }
        if let Some(last) = last.filter(|last| last.gathers(now, life)) {
            return last.effects.append(&mut writes);
        }
        let begins = now.max(self.synced_until);
        let ends = begins + self.draw(self.model.sync).0;
        self.synced_until = ends;
        each(Batch { life, begins, ends, effects: writes });
    }

    /// Ends a batch: changes the disk and says so.
    pub(crate) fn finish(&mut self, effects: Vec<DiskEffect>, mut each: impl FnMut(DiskEffect, DiskResult)) {
        let writes = effects.iter().any(|e| !matches!(e.op, DiskOp::Load { .. } | DiskOp::Read(_)));
        if !writes {
            for effect in effects {
                let result = self.read(&effect.op);
                each(effect, result);
            }
            return;
        }
        let failed = if self.grown_by(&effects) > self.model.capacity_bytes {
            Some(DiskError::Full)
        } else if self.happens(self.model.fail) {
            // The outcome is unknown: half of the time the bytes had arrived.
            if self.rng().chance(0.5) {
                effects.iter().for_each(|e| self.apply(&e.op));
            }
            Some(DiskError::Io)
        } else {
            effects.iter().for_each(|e| self.apply(&e.op));
            None
        };
        self.failed_count += u64::from(failed.is_some());
        for effect in effects {
            each(effect, failed.map_or(DiskResult::Written, DiskResult::Failed));
        }
    }

    /// The process died while these batches waited, oldest first: a random number of them had been synced unheard.
    pub(crate) fn crash<'a>(&mut self, waiting: impl ExactSizeIterator<Item = &'a [DiskEffect]>) {
        let kept = self.rng().below(waiting.len() as u64 + 1) as usize;
        for effects in waiting.take(kept) {
            if self.grown_by(effects) <= self.model.capacity_bytes {
                effects.iter().for_each(|e| self.apply(&e.op));
            }
        }
        self.synced_until = 0;
    }

    /// A new, empty disk in place of this one.
    pub(crate) fn lose(&mut self) {
        self.records.clear();
        self.notes = None;
        self.bytes = 0;
    }

    /// From now on it is sound and has room.
    pub(crate) fn repair(&mut self) {
        let DiskModel { read, sync, .. } = *self.model;
        self.model = Arc::new(DiskModel { read, sync, ..DiskModel::default() });
    }

    fn happens(&mut self, p: f64) -> bool {
        p > 0.0 && self.rng().chance(p)
    }

    fn grown_by(&self, effects: &[DiskEffect]) -> u64 {
        let added: u64 = effects
            .iter()
            .map(|e| match &e.op {
                DiskOp::Write(record) if !self.records.contains_key(&record.head.identity) => {
                    record.value.len() as u64
                }
                _ => 0,
            })
            .sum();
        // Deletes and notes always fit: a full disk keeps a reserve for them.
        if added == 0 { 0 } else { self.bytes + added }
    }

    fn read(&mut self, op: &DiskOp) -> DiskResult {
        if self.happens(self.model.fail_read) {
            return DiskResult::Failed(DiskError::Io);
        }
        match op {
            DiskOp::Load { after, limit } => {
                let from = after.map_or(Bound::Unbounded, Bound::Excluded);
                let mut rest = self.records.range((from, Bound::Unbounded)).map(|(_, r)| r.head);
                let heads = rest.by_ref().take(*limit as usize).collect();
                DiskResult::Loaded { notes: self.notes.clone(), heads, more: rest.next().is_some() }
            }
            DiskOp::Read(identity) => DiskResult::Record(self.records.get(identity).cloned()),
            DiskOp::Write(_) | DiskOp::Delete(_) | DiskOp::WriteNotes(_) => DiskResult::Failed(DiskError::Io),
        }
    }

    fn apply(&mut self, op: &DiskOp) {
        match op {
            DiskOp::Write(record) => {
                self.bytes += record.value.len() as u64;
                if let Some(old) = self.records.insert(record.head.identity, record.clone()) {
                    self.bytes -= old.value.len() as u64;
                }
            }
            DiskOp::Delete(identity) => {
                if let Some(old) = self.records.remove(identity) {
                    self.bytes -= old.value.len() as u64;
                }
            }
            DiskOp::WriteNotes(notes) => self.notes = Some(notes.clone()),
            DiskOp::Load { .. } | DiskOp::Read(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyway_core::machine::DiskToken;
    use keyway_core::{Id, Wall};

    fn record(n: u64) -> Record {
        Record::plain(Id::from_u64(n), vec![n as u8; 10], Wall(1), Duration::from_secs(1), 0)
    }

    fn write(n: u64) -> DiskEffect {
        DiskEffect { token: DiskToken(n), op: DiskOp::Write(record(n)) }
    }

    fn disk(model: DiskModel) -> Disk {
        Disk::new(Arc::new(model), [1; 32])
    }

    fn run(disk: &mut Disk, effects: Vec<DiskEffect>) -> Vec<DiskResult> {
        let mut results = Vec::new();
        disk.finish(effects, |_, result| results.push(result));
        results
    }

    #[test]
    fn what_is_written_is_read_after_the_sync_only() {
        let mut disk = disk(DiskModel::default());
        let mut batches = Vec::new();
        let read = DiskEffect { token: DiskToken(9), op: DiskOp::Read(record(1).head.identity) };
        disk.submit(0, 1, &mut vec![write(1), write(2), read.clone()], None, |b| batches.push(b));
        assert_eq!(
            batches.iter().map(|b| (b.ends, b.effects.len())).collect::<Vec<_>>(),
            [(100, 1), (1_000, 2)]
        );
        assert_eq!(run(&mut disk, vec![read.clone()]), [DiskResult::Record(None)]);
        assert_eq!(
            run(&mut disk, batches.pop().unwrap().effects),
            [DiskResult::Written, DiskResult::Written]
        );
        assert_eq!(run(&mut disk, vec![read]), [DiskResult::Record(Some(record(1)))]);
    }

    #[test]
    fn batches_are_synced_in_order() {
        let mut disk =
            disk(DiskModel { sync: Spread::Uniform(Duration(1), Duration(10_000)), ..DiskModel::default() });
        let mut ends = Vec::new();
        for at in 0..100 {
            disk.submit(at, 1, &mut vec![write(at)], None, |b| ends.push(b.ends));
        }
        assert!(ends.is_sorted());
    }

    #[test]
    fn writes_gather_while_a_batch_is_synced() {
        let mut disk = disk(DiskModel::default());
        let mut batches: Vec<Batch> = Vec::new();
        // The first is synced from 0 to 1,000; whatever comes meanwhile is synced together from 1,000 to 2,000.
        for at in [0, 10, 500, 999, 1_000] {
            let mut last = batches.pop();
            let mut new = None;
            disk.submit(at, 1, &mut vec![write(at)], last.as_mut(), |b| new = Some(b));
            batches.extend(last.into_iter().chain(new));
        }
        let seen: Vec<_> = batches.iter().map(|b| (b.begins, b.ends, b.effects.len())).collect();
        assert_eq!(seen, [(0, 1_000, 1), (1_000, 2_000, 3), (2_000, 3_000, 1)]);
    }

    #[test]
    fn a_crash_keeps_a_prefix() {
        let mut kept = [0; 4];
        for seed in 0..200u8 {
            let mut disk = Disk::new(Arc::default(), [seed; 32]);
            let waiting = [vec![write(1)], vec![write(2)], vec![write(3)]];
            disk.crash(waiting.iter().map(Vec::as_slice));
            let n = disk.record_count();
            assert!((1..=n as u64).all(|i| disk.records.contains_key(&record(i).head.identity)));
            kept[n] += 1;
        }
        assert!(kept.iter().all(|&k| k > 20), "{kept:?}");
    }

    #[test]
    fn a_full_disk_refuses_batches_but_reads_and_deletes() {
        let mut disk = disk(DiskModel { capacity_bytes: 15, ..DiskModel::default() });
        assert_eq!(run(&mut disk, vec![write(1)]), [DiskResult::Written]);
        assert_eq!(run(&mut disk, vec![write(2)]), [DiskResult::Failed(DiskError::Full)]);
        let delete = DiskEffect { token: DiskToken(3), op: DiskOp::Delete(record(1).head.identity) };
        assert_eq!(run(&mut disk, vec![delete]), [DiskResult::Written]);
        assert_eq!(run(&mut disk, vec![write(2)]), [DiskResult::Written]);
    }

    #[test]
    fn loading_pages_through_everything() {
        let mut disk = disk(DiskModel::default());
        run(&mut disk, (0..5).map(write).collect());
        let (mut after, mut seen) = (None, 0);
        loop {
            let load = DiskEffect { token: DiskToken(0), op: DiskOp::Load { after, limit: 2 } };
            let DiskResult::Loaded { heads, more, .. } = run(&mut disk, vec![load]).remove(0) else {
                panic!("a load gives a page")
            };
            seen += heads.len();
            after = heads.last().map(|h| h.identity);
            if !more {
                break;
            }
        }
        assert_eq!(seen, 5);
    }
}
