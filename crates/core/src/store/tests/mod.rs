//! Laws and stories of the store: a store, a disk that answers when and how a test wants, and what came out.

mod admission;
mod digests;
mod disk;
mod laws;
mod model;
mod proofs;
mod snapshots;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::*;
use crate::machine::{DiskError, DiskResult};

/// With which test values can be removed.
const SECRET: &[u8] = b"open sesame";
/// The instant at which tests begin.
const START: Wall = Wall(1_000_000_000_000);

fn config() -> StoreConfig {
    StoreConfig {
        value_bytes_max: 1 << 10,
        ttl_max: Duration::from_secs(1000),
        store_bytes_max: u64::MAX,
        skew_max: Duration::from_secs(2),
        cache_bytes_max: 1 << 16,
        writes_inflight_max: 1000,
    }
}

/// Value `value` under key `key`, put `put_secs` after the start for `ttl_secs`.
fn plain(key: u64, value: u64, put_secs: u64, ttl_secs: u64) -> Record {
    let put_time = START + Duration::from_secs(put_secs);
    let ttl = Duration::from_secs(ttl_secs);
    Record::plain(Id::from_u64(key), value.to_be_bytes().to_vec(), put_time, ttl, 7)
        .guarded_by(Id::sha1(SECRET))
}

/// The removal of what [`plain`] puts.
fn removal(key: u64, value: u64, put_secs: u64, ttl_secs: u64) -> Record {
    let Head { identity, put_time, ttl, origin, .. } = plain(key, value, put_secs, ttl_secs).head;
    Record::removal(identity.key, identity.value_hash, SECRET.to_vec(), put_time, ttl, origin)
}

/// How a fake disk treats one effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Done,
    /// Reported as failed; whether it happened all the same is the second field.
    Failed(DiskError, bool),
}

/// A store with its disk, its clock and everything it has said.
struct World {
    store: Store<u32>,
    records: BTreeMap<Identity, Record>,
    notes: Option<Vec<u8>>,
    queue: Vec<DiskEffect>,
    events: Vec<StoreEvent<u32>>,
    now: Wall,
}

impl World {
    /// A store that has loaded an empty disk.
    fn new(config: StoreConfig) -> World {
        let mut world = World {
            store: Store::new(config),
            records: BTreeMap::new(),
            notes: None,
            queue: Vec::new(),
            events: Vec::new(),
            now: START,
        };
        world.store.load(&mut world.queue);
        world.settle();
        assert_eq!(world.told(), [StoreEvent::Loaded { notes: None }]);
        world
    }

    /// The process dies and starts again on the same disk; what was queued is lost.
    fn restart(&mut self) {
        self.store = Store::new(self.store.config.clone());
        self.queue.clear();
        self.events.clear();
        self.store.load(&mut self.queue);
        self.settle();
    }

    fn put(&mut self, record: &Record, waiter: u32) -> Put {
        self.store.put(self.now, record.clone(), Some(waiter), &mut self.queue)
    }

    /// Performs one queued effect.
    fn perform(&mut self, at: usize, outcome: Outcome) {
        let DiskEffect { token, op } = self.queue.remove(at);
        let result = match outcome {
            Outcome::Done => self.apply(op),
            Outcome::Failed(error, applied) => {
                if applied {
                    self.apply(op);
                }
                DiskResult::Failed(error)
            }
        };
        self.store.disk_done(self.now, token, result, &mut self.queue, &mut self.events);
        self.store.check().expect("the store's rules hold");
    }

    fn apply(&mut self, op: DiskOp) -> DiskResult {
        match op {
            DiskOp::Load { after, limit } => {
                let rest = self.records.values().filter(|r| after.is_none_or(|a| r.head.identity > a));
                let heads: Vec<Head> = rest.clone().take(limit as usize).map(|r| r.head).collect();
                let more = rest.count() > heads.len();
                return DiskResult::Loaded { notes: self.notes.clone(), heads, more };
            }
            DiskOp::Read(identity) => return DiskResult::Record(self.records.get(&identity).cloned()),
            DiskOp::Write(record) => {
                self.records.insert(record.head.identity, record);
            }
            DiskOp::Delete(identity) => {
                self.records.remove(&identity);
            }
            DiskOp::WriteNotes(notes) => self.notes = Some(notes),
        }
        DiskResult::Written
    }

    /// Performs everything, in order.
    fn settle(&mut self) {
        while !self.queue.is_empty() {
            self.perform(0, Outcome::Done);
        }
    }

    /// What the store has said since the last time.
    fn told(&mut self) -> Vec<StoreEvent<u32>> {
        core::mem::take(&mut self.events)
    }

    /// The values that a reader sees under a key.
    fn served(&self, key: u64) -> Vec<Identity> {
        self.store.heads(self.now, &Id::from_u64(key), None).map(|head| head.identity).collect()
    }

    fn wait(&mut self, secs: u64) {
        self.now = self.now + Duration::from_secs(secs);
    }
}
