//! The storage engine over a disk that fails: for every operation of a fixed load, it fails there, is full there, tears
//! a write there, loses power there. Afterwards what was answered `Written` must be there, byte for byte.
//!
//! `KEYWAY_FAULT_SEEDS=n` runs the whole of it under `n` seeds instead of one.

#[path = "faults/disk.rs"]
mod disk;
#[path = "faults/image.rs"]
mod image;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Once, OnceLock};
use std::time::{Duration as Span, Instant};

use disk::{Fault, FaultyDisk};
use keyway_core::id::Id;
use keyway_core::machine::{DiskEffect, DiskError, DiskOp, DiskResult, DiskToken};
use keyway_core::rng::Rng;
use keyway_core::store::{Identity, Record};
use keyway_core::time::{Duration, Wall};
use keyway_net::DiskMetrics;
use keyway_net::disk::engine::{Engine, EngineConfig};

const BATCHES: u64 = 24;
const EFFECTS_PER_BATCH: u64 = 8;
const RECORDS: u64 = 60;
/// Further records, so big that the load over a disk which may be full makes the file grow.
const HUGE_RECORDS: u64 = 6;
const GROWING_BATCHES: u64 = 12;
const CONFIG: EngineConfig =
    EngineConfig { cache_bytes: 64 << 10, reopen_pause: Span::ZERO, reopen_factor: 0 };
const ME: Id = Id([7; 20]);

/// Everything that may stand in a place by what was answered: the last acknowledged state, and each state that was
/// asked for later and whose outcome is unknown.
#[derive(Clone, PartialEq, Debug)]
struct Possible<T>(Vec<Option<T>>);

impl<T: PartialEq + Clone> Possible<T> {
    fn nothing() -> Possible<T> {
        Possible(vec![None])
    }
    fn asked(&mut self, state: Option<T>, is_acknowledged: bool) {
        if is_acknowledged {
            self.0.clear();
        }
        self.0.push(state);
    }
    fn allows(&self, state: &Option<T>) -> bool {
        self.0.contains(state)
    }
}

struct Model {
    records: BTreeMap<Identity, Possible<Record>>,
    notes: Possible<Vec<u8>>,
    next_token: u64,
}

/// The value of record `i`, of a length that puts it here, apart, or over many pages.
fn value(i: u64) -> Vec<u8> {
    let len = match i % 20 {
        _ if i >= RECORDS => 140_000,
        0 => 40_000,
        1..4 => 3_000,
        4 => 0,
        _ => 20 + (i as usize * 13) % 900,
    };
    let mut rng = Rng::from_u64(i);
    (0..len).map(|_| rng.next_u64() as u8).collect()
}

fn first_versions() -> &'static [Record] {
    static RECORDS_ONCE: OnceLock<Vec<Record>> = OnceLock::new();
    let make = |i| Record::plain(Id::of_text(&format!("key {i}")), value(i), Wall(0), Duration::ZERO, i);
    RECORDS_ONCE.get_or_init(|| (0..RECORDS + HUGE_RECORDS).map(make).collect())
}

fn identity(i: u64) -> Identity {
    first_versions()[i as usize].head.identity
}

fn record(i: u64, version: u64) -> Record {
    let mut record = first_versions()[i as usize].clone();
    record.head.put_time = Wall(1_000_000 * (version + 1));
    record.head.ttl = Duration::from_secs(60 + version);
    record
}

/// The fixed load: the same batches whatever goes wrong.
fn load(is_growing: bool) -> Vec<Vec<DiskOp>> {
    let mut rng = Rng::from_u64(0xd15c);
    let batch = |b: u64| {
        let mut ops: Vec<DiskOp> = (0..EFFECTS_PER_BATCH)
            .map(|_| {
                let i = rng.below(RECORDS);
                match rng.below(10) {
                    0 | 1 => DiskOp::Delete(identity(i)),
                    _ => DiskOp::Write(record(i, b)),
                }
            })
            .collect();
        if is_growing {
            ops.push(DiskOp::Write(record(RECORDS + b % HUGE_RECORDS, b)));
        }
        if b.is_multiple_of(5) {
            ops.push(DiskOp::WriteNotes(vec![b as u8; 100 + b as usize]));
        }
        ops
    };
    (0..if is_growing { GROWING_BATCHES } else { BATCHES }).map(batch).collect()
}

impl Model {
    fn new() -> Model {
        let nothing = |i| (identity(i), Possible::nothing());
        Model {
            records: (0..RECORDS + HUGE_RECORDS).map(nothing).collect(),
            notes: Possible::nothing(),
            next_token: 0,
        }
    }

    /// Gives a batch to the engine and believes its answers. Returns how many were acknowledged.
    fn write(&mut self, engine: &Engine<FaultyDisk>, ops: &[DiskOp]) -> usize {
        let first = self.next_token;
        self.next_token += ops.len() as u64;
        let batch: Vec<DiskEffect> = (first..)
            .zip(ops)
            .map(|(token, op)| DiskEffect { token: DiskToken(token), op: op.clone() })
            .collect();
        let mut done = Vec::new();
        engine.write(&batch, &mut done);
        let tokens: Vec<u64> = done.iter().map(|(token, _)| token.0).collect();
        assert_eq!(
            tokens,
            (first..self.next_token).collect::<Vec<_>>(),
            "each effect is answered exactly once"
        );
        let mut acknowledged = 0;
        for (op, (_, result)) in ops.iter().zip(&done) {
            let is_written = match result {
                DiskResult::Written => true,
                DiskResult::Failed(DiskError::Full | DiskError::Io) => false,
                other => panic!("a write is answered with {other:?}"),
            };
            acknowledged += usize::from(is_written);
            match op {
                DiskOp::Write(r) => self.possible(&r.head.identity).asked(Some(r.clone()), is_written),
                DiskOp::Delete(identity) => self.possible(identity).asked(None, is_written),
                DiskOp::WriteNotes(notes) => self.notes.asked(Some(notes.clone()), is_written),
                DiskOp::Load { .. } | DiskOp::Read(_) => unreachable!("the load only writes"),
            }
        }
        acknowledged
    }

    fn possible(&mut self, identity: &Identity) -> &mut Possible<Record> {
        self.records.get_mut(identity).expect("the load keeps to its records")
    }

    /// Reads one record; a failed read is no lie.
    fn check_one(&mut self, engine: &Engine<FaultyDisk>, i: u64, may_fail: bool) {
        let identity = identity(i);
        match engine.read(&DiskOp::Read(identity)) {
            DiskResult::Record(found) => {
                let possible = &self.records[&identity];
                assert!(possible.allows(&found), "record {i}: found {found:?}, possible {possible:?}");
            }
            DiskResult::Failed(why) => assert!(may_fail, "record {i} cannot be read: {why:?}"),
            other => panic!("a read is answered with {other:?}"),
        }
    }

    /// Reads all back, one by one and by pages of heads, which must agree. What was found is certain from now on.
    fn check_all(&mut self, engine: &Engine<FaultyDisk>) {
        for i in 0..RECORDS + HUGE_RECORDS {
            self.check_one(engine, i, false);
        }
        let (mut after, mut listed) = (None, Vec::new());
        loop {
            match engine.read(&DiskOp::Load { after, limit: 7 }) {
                DiskResult::Loaded { notes, heads, more } => {
                    assert!(self.notes.allows(&notes), "notes: found {notes:?}");
                    after = heads.last().map(|h| h.identity);
                    listed.extend(heads);
                    if !more {
                        break;
                    }
                }
                other => panic!("a load is answered with {other:?}"),
            }
        }
        assert!(listed.is_sorted_by_key(|h| h.identity), "heads come in order of identity");
        for (identity, possible) in &mut self.records {
            let head = listed.iter().find(|h| h.identity == *identity);
            possible.0.retain(|state| state.as_ref().map(|r| &r.head) == head);
            assert!(!possible.0.is_empty(), "head {head:?} of {identity:?} is not among the possible");
        }
    }
}

fn open(disk: &FaultyDisk) -> Option<Engine<FaultyDisk>> {
    let engine = Engine::open(disk.clone(), CONFIG, DiskMetrics::default()).ok()?;
    let life = engine.begin_life(ME).ok()?;
    assert_eq!(life.id, ME);
    Some(engine)
}

/// What a run shows besides being right.
#[derive(Default)]
struct Seen {
    acknowledged: usize,
    failed_batches: usize,
    failed_opens: usize,
}

/// The load over a disk with one fault, and what must hold afterwards.
fn run(fault: Fault, at: u64, seed: u64, load: &[Vec<DiskOp>]) -> Seen {
    let (disk, mut model, mut seen) = (FaultyDisk::new(fault, at, seed), Model::new(), Seen::default());
    // A database gets its name only once it is whole: a start that was cut short is followed by one on an empty disk.
    let Some(engine) = open(&disk) else {
        let engine = open(&FaultyDisk::new(Fault::None, 0, seed)).expect("an empty disk can be used");
        load.iter().for_each(|ops| assert_eq!(model.write(&engine, ops), ops.len()));
        model.check_all(&engine);
        return Seen { failed_opens: 1, ..seen };
    };
    for (b, ops) in load.iter().enumerate() {
        let acknowledged = model.write(&engine, ops);
        seen.acknowledged += acknowledged;
        seen.failed_batches += usize::from(acknowledged == 0);
        // A disk that cannot grow, takes no writes or syncs nothing serves reads; one that fails a read says so.
        let may_fail = !matches!(fault, Fault::Full | Fault::NoWrites | Fault::NoSyncs);
        model.check_one(&engine, (b as u64 * 7) % RECORDS, may_fail);
    }
    disk.repair();
    if !disk.is_dead() {
        let probe = [DiskOp::WriteNotes(b"probe".to_vec())];
        let tries = (0..3).find(|_| model.write(&engine, &probe) == 1);
        assert!(tries.is_some(), "service returns when the cause is gone");
        model.check_all(&engine);
    }
    let later = disk.after_power_cut();
    drop(engine);
    let engine = open(&later).expect("what a power cut leaves can be opened");
    model.check_all(&engine);
    // It goes on from there, and a clean end is a clean start.
    for ops in &load[..2] {
        assert_eq!(model.write(&engine, ops), ops.len());
    }
    model.check_all(&engine);
    engine.close();
    let engine = open(&later).expect("what was closed can be opened");
    model.check_all(&engine);
    seen
}

thread_local! {
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

/// Counts the panics of each thread from now on, also those that the engine turns into failures.
fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.set(PANICS.get() + 1);
            before(info);
        }));
    });
}

fn for_every_operation(fault: Fault) {
    count_panics();
    let seeds = std::env::var("KEYWAY_FAULT_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let load = load(fault == Fault::Full);
    let disk = FaultyDisk::new(Fault::None, 0, 0);
    let effects: usize = load.iter().map(Vec::len).sum();
    {
        let (mut model, engine) = (Model::new(), open(&disk).expect("a good disk"));
        let acknowledged: usize = load.iter().map(|ops| model.write(&engine, ops)).sum();
        assert_eq!(acknowledged, effects);
        model.check_all(&engine);
    }
    // The load's operations, and those of its reads, differ between runs: a few more than counted here are tried.
    let operations = disk.operations() + 20;
    let (started, mut sum) = (Instant::now(), Seen::default());
    for seed in 0..seeds {
        for at in 0..operations {
            let context = Context(fault, at, seed);
            let seen = run(fault, at, seed * operations + at, &load);
            std::mem::forget(context);
            sum.acknowledged += seen.acknowledged;
            sum.failed_batches += seen.failed_batches;
            sum.failed_opens += seen.failed_opens;
        }
    }
    println!(
        "{fault:?} at each of {operations} operations of the disk ({effects} effects in {} batches), {seeds} seed(s): \
         {} effects acknowledged and found, {} batches refused, {} starts refused, {:.1} s",
        load.len(),
        sum.acknowledged,
        sum.failed_batches,
        sum.failed_opens,
        started.elapsed().as_secs_f64()
    );
    assert_eq!(PANICS.get(), 0, "panics below the engine");
    assert!(sum.failed_batches > 0, "the fault was never met");
}

#[test]
fn any_operation_may_fail() {
    for_every_operation(Fault::Error);
}

#[test]
fn the_disk_may_be_full_for_growth() {
    for_every_operation(Fault::Full);
}

#[test]
fn the_disk_may_take_no_writes() {
    for_every_operation(Fault::NoWrites);
}

#[test]
fn no_sync_may_succeed() {
    for_every_operation(Fault::NoSyncs);
}

#[test]
fn any_write_may_be_torn() {
    for_every_operation(Fault::Tear);
}

#[test]
fn the_power_may_go_at_any_operation() {
    for_every_operation(Fault::Crash);
}

/// Prints, while a failed assertion unwinds, where it failed.
struct Context(Fault, u64, u64);

impl Drop for Context {
    fn drop(&mut self) {
        println!("FAIL fault={:?} at={} seed={}", self.0, self.1, self.2);
    }
}
