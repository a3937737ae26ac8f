//! A disk that takes no writes for a while: it is verified once, tried again seldom where that takes long, and read all the while.

#[path = "faults/disk.rs"]
#[allow(dead_code, reason = "the other tests use more of it")]
mod disk;
#[path = "faults/image.rs"]
mod image;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration as Span;

use disk::{Fault, FaultyDisk};
use keyway_core::Id;
use keyway_core::machine::{DiskEffect, DiskOp, DiskResult, DiskToken};
use keyway_core::store::Record;
use keyway_core::time::{Duration, Wall};
use keyway_net::DiskMetrics;
use keyway_net::disk::engine::{Engine, EngineConfig};
use keyway_net::disk::medium::Medium;
use redb::StorageBackend;

const PATIENCE: Span = Span::from_secs(60);

/// A disk whose syncs fail on command, and wait on command until a test lets them go on.
#[derive(Clone)]
struct Sick {
    disk: FaultyDisk,
    is_sick: Arc<AtomicBool>,
    /// How often it was opened, and how many bytes were read.
    opened: Arc<AtomicU64>,
    read: Arc<AtomicU64>,
    /// Where a sync says that it is there, and waits.
    gate: Arc<Mutex<Option<(Sender<()>, Receiver<()>)>>>,
}

impl Sick {
    fn new() -> Sick {
        Sick {
            disk: FaultyDisk::new(Fault::None, 0, 1),
            is_sick: Arc::default(),
            opened: Arc::default(),
            read: Arc::default(),
            gate: Arc::default(),
        }
    }
}

impl Medium for Sick {
    type Backend = Sick;

    fn backend(&self) -> io::Result<Sick> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        self.disk.backend()?;
        Ok(self.clone())
    }
}

impl std::fmt::Debug for Sick {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sick")
    }
}

impl StorageBackend for Sick {
    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read.fetch_add(out.len() as u64, Ordering::SeqCst);
        self.disk.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((here, go)) = gate {
            here.send(()).expect("the test waits");
            go.recv_timeout(PATIENCE).expect("the test lets it go");
        }
        if self.is_sick.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(5));
        }
        self.disk.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.write(offset, data)
    }
}

fn record(n: u64) -> Record {
    Record::plain(Id::from_u64(n), vec![n as u8; 3000], Wall(9), Duration::from_secs(60), 3)
}

fn engine(disk: &Sick, reopen_factor: u32) -> Engine<Sick> {
    // So small that reading is reading from the disk.
    let config = EngineConfig { cache_bytes: 0, reopen_pause: Span::ZERO, reopen_factor };
    let engine = Engine::open(disk.clone(), config, DiskMetrics::default()).expect("a good disk");
    engine.begin_life(Id::ZERO).expect("a good disk");
    for n in 0..20 {
        assert!(write(&engine, n));
    }
    engine
}

fn write(engine: &Engine<Sick>, n: u64) -> bool {
    let mut done = Vec::new();
    engine.write(&[DiskEffect { token: DiskToken(n), op: DiskOp::Write(record(n)) }], &mut done);
    matches!(done[..], [(_, DiskResult::Written)])
}

fn reads(engine: &Engine<Sick>, n: u64) -> bool {
    engine.read(&DiskOp::Read(record(n).head.identity)) == DiskResult::Record(Some(record(n)))
}

#[test]
fn a_sick_disk_is_verified_once_however_often_it_is_tried() {
    let disk = Sick::new();
    let engine = engine(&disk, 0);
    let before = disk.opened.load(Ordering::SeqCst);
    disk.is_sick.store(true, Ordering::SeqCst);
    assert!(!write(&engine, 100), "no sync succeeds");
    assert_eq!(disk.opened.load(Ordering::SeqCst), before + 1, "opened and verified once");
    let read = disk.read.load(Ordering::SeqCst);
    for n in 101..120 {
        assert!(!write(&engine, n));
    }
    assert_eq!(disk.opened.load(Ordering::SeqCst), before + 1, "and not again");
    assert_eq!(disk.read.load(Ordering::SeqCst), read, "nor read again");
    assert!((0..20).all(|n| reads(&engine, n)));
    disk.is_sick.store(false, Ordering::SeqCst);
    assert!(write(&engine, 120), "it takes writes again");
    assert!((0..20).chain([120]).all(|n| reads(&engine, n)));
}

#[test]
fn the_next_try_is_the_later_the_longer_one_took() {
    let disk = Sick::new();
    // No attempt takes no time: after the first the disk is left alone for a minute.
    let engine = engine(&disk, u32::MAX);
    disk.is_sick.store(true, Ordering::SeqCst);
    assert!(!write(&engine, 100));
    disk.is_sick.store(false, Ordering::SeqCst);
    assert!(!write(&engine, 101), "it is not tried yet");
    assert!(reads(&engine, 1), "and read");
}

#[test]
fn one_database_is_over_the_file_while_one_thread_tries_the_disk_and_another_reads() {
    let disk = Sick::new();
    let engine = engine(&disk, 0);
    disk.is_sick.store(true, Ordering::SeqCst);
    assert!(!write(&engine, 100));
    let opened = disk.opened.load(Ordering::SeqCst);
    let (here, is_here) = channel();
    let (go, goes) = channel();
    *disk.gate.lock().unwrap_or_else(PoisonError::into_inner) = Some((here, goes));
    disk.is_sick.store(false, Ordering::SeqCst);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&engine, 101));
        is_here.recv_timeout(PATIENCE).expect("the disk is tried");
        assert!((0..20).all(|n| reads(&engine, n)), "reads go on meanwhile");
        assert_eq!(disk.opened.load(Ordering::SeqCst), opened, "nobody opens another database");
        go.send(()).expect("it waits");
        assert!(writer.join().expect("no panic"), "the same database takes the write");
    });
    assert_eq!(disk.opened.load(Ordering::SeqCst), opened);
    engine.close();
    let engine = Engine::open(disk, EngineConfig::default(), DiskMetrics::default()).expect("sound");
    assert!((0..20).chain([101]).all(|n| reads(&engine, n)));
}
