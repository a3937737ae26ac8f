//! Reading a file ahead of whoever is about to need all of it, from one end to the other, so that it is in the page cache when its turn comes.
//!
//! ```text
//!   not closed: redb verifies every page, in the order of its trees ──┐
//!                                                                     ├──▶ one small read after another, anywhere in the file
//!   a start: every head is read, in the order of keys ────────────────┘    ▲
//!                                                   other threads, 1 MiB after 1 MiB, until that is over
//! ```
//!
//! A file that was closed is open in a moment: nothing is read ahead of that. And where most bytes of the file are values that stand apart from
//! their heads, the walk through the heads passes them over, and so nothing is read ahead of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use keyway_core::machine::{DiskOp, DiskResult};
use keyway_core::store::Head;
use keyway_core::store::record::HEAD_BYTES;

use super::medium::Medium;
use super::rows::INLINE_BYTES_MAX;

/// An opening that lasts longer verifies the file.
const AFTER: Duration = Duration::from_millis(100);
/// Threads that read while it is opened.
const READERS: u64 = 2;
/// So much of the file at most: what is more is read as its turn comes.
const BYTES_MAX: u64 = 4 << 30;
/// Read at once.
const CHUNK_BYTES: u64 = 1 << 20;

/// How far one file has been read ahead.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// All of it, or nobody walks through it any more.
    is_over: AtomicBool,
}

impl Ahead {
    /// Opens by `open`, with the bytes of `medium` read ahead if that takes long.
    pub(super) fn while_opening<T>(&self, medium: &impl Medium, open: impl FnOnce() -> T) -> T {
        let opened = AtomicBool::new(false);
        thread::scope(|scope| {
            // Where the system gives no thread the opening only takes longer.
            let readers: Vec<_> = (0..READERS)
                .filter_map(|reader| {
                    let opened = &opened;
                    let work = move || {
                        wait(opened);
                        read(medium, reader, READERS, opened)
                    };
                    Builder::new().name("keyway-ahead".into()).spawn_scoped(scope, work).ok()
                })
                .collect();
            let result = open();
            opened.store(true, Ordering::Release);
            readers.iter().for_each(|reader| reader.thread().unpark());
            let whole = readers.len() as u64 == READERS;
            let whole =
                readers.into_iter().fold(whole, |whole, reader| reader.join().is_ok_and(|r| r) && whole);
            self.is_over.fetch_or(whole, Ordering::AcqRel);
            result
        })
    }

    /// Follows the walk through the heads: whether [`Ahead::before_the_walk`] is worth a thread now.
    pub(super) fn follow(&self, op: &DiskOp, result: &DiskResult) -> bool {
        let DiskOp::Load { after, .. } = op else { return false };
        match result {
            DiskResult::Loaded { heads, more: true, .. } => {
                after.is_none() && pays(heads) && !self.is_over.load(Ordering::Acquire)
            }
            DiskResult::Loaded { .. } => {
                self.end();
                false
            }
            _ => false,
        }
    }

    /// Reads the file until it is read, or the walk is over.
    pub(super) fn before_the_walk(&self, medium: &impl Medium) {
        read(medium, 0, 1, &self.is_over);
    }

    /// Nobody walks through the file any more.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }
}

/// Whether a walk through all heads comes by most bytes of the file, judged by its first page: keys are hashes, so that one is like the other.
fn pays(heads: &[Head]) -> bool {
    let (mut met, mut passed_over) = (0, 0);
    for head in heads {
        let value_bytes = u64::from(head.value_bytes);
        let here = value_bytes <= INLINE_BYTES_MAX as u64;
        met += HEAD_BYTES as u64 + if here { value_bytes } else { 0 };
        passed_over += if here { 0 } else { value_bytes };
    }
    met >= passed_over
}

/// A moment, or less if the file is open before.
fn wait(opened: &AtomicBool) {
    let until = Instant::now() + AFTER;
    while !opened.load(Ordering::Acquire) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        thread::park_timeout(left);
    }
}

/// Reads this reader's share of the file until it is over; whether that is all of its share.
fn read(medium: &impl Medium, reader: u64, readers: u64, is_over: &AtomicBool) -> bool {
    let mut offset = reader * CHUNK_BYTES;
    while offset < BYTES_MAX {
        if is_over.load(Ordering::Acquire) {
            return false;
        }
        if !medium.touch(offset, CHUNK_BYTES as usize) {
            break;
        }
        offset += readers * CHUNK_BYTES;
    }
    true
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::sync::{Mutex, PoisonError};

    use keyway_core::id::Id;
    use keyway_core::machine::{DiskEffect, DiskError, DiskToken};
    use keyway_core::store::Record;
    use keyway_core::time::{Duration as Life, Wall};
    use redb::backends::InMemoryBackend;

    use super::super::engine::{Engine, EngineConfig, LOAD_HEADS_MAX};
    use super::super::lanes::Lanes;
    use super::*;
    use crate::metrics::DiskMetrics;

    /// What is told of a touch behind the last chunk.
    const BEHIND: u64 = u64::MAX;

    /// Tells what of it is touched; there are five chunks.
    struct Told(Mutex<Sender<u64>>);

    impl Medium for Told {
        type Backend = InMemoryBackend;

        fn backend(&self) -> std::io::Result<InMemoryBackend> {
            Ok(InMemoryBackend::new())
        }

        fn touch(&self, offset: u64, bytes: usize) -> bool {
            assert_eq!(bytes as u64, CHUNK_BYTES);
            let there = offset < 5 * CHUNK_BYTES;
            let what = if there { offset } else { BEHIND };
            // At the end of a test nobody may listen any more.
            let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).send(what);
            there
        }
    }

    #[test]
    fn all_of_it_is_read_once_if_opening_takes_long_and_nothing_if_not() {
        let (tell, told) = channel();
        let medium = Told(Mutex::new(tell));
        let ahead = Ahead::default();
        assert_eq!(ahead.while_opening(&medium, || 7), 7);
        assert!(told.try_recv().is_err(), "it was open at once");
        assert!(ahead.follow(&first_page(), &loaded(1000, true)), "nothing of it is read yet");
        let mut offsets = ahead.while_opening(&medium, || {
            (0..5 + READERS)
                .map(|_| told.recv_timeout(Duration::from_secs(60)).expect("it is read"))
                .collect::<Vec<u64>>()
        });
        offsets.sort_unstable();
        assert_eq!(offsets, [chunks(), vec![BEHIND; READERS as usize]].concat());
        assert!(told.try_recv().is_err(), "nothing is read twice");
        assert!(!ahead.follow(&first_page(), &loaded(1000, true)), "it is read already");
    }

    fn chunks() -> Vec<u64> {
        (0..5).map(|n| n * CHUNK_BYTES).collect()
    }

    fn first_page() -> DiskOp {
        DiskOp::Load { after: None, limit: 2 }
    }

    fn loaded(value_bytes: usize, more: bool) -> DiskResult {
        let record = |n| Record::plain(Id::from_u64(n), vec![7; value_bytes], Wall(9), Life::from_secs(5), 3);
        DiskResult::Loaded { notes: None, heads: (0..2).map(|n| record(n).head).collect(), more }
    }

    #[test]
    fn a_walk_through_most_of_the_file_is_read_ahead_of_once_and_until_it_ends() {
        let (tell, told) = channel();
        let medium = Told(Mutex::new(tell));
        let ahead = Ahead::default();
        assert!(!ahead.follow(&first_page(), &loaded(65_000, true)), "values that stand apart are not read");
        assert!(!ahead.follow(&first_page(), &DiskResult::Failed(DiskError::Io)));
        let place = Record::plain(Id::ZERO, Vec::new(), Wall(9), Life::from_secs(5), 3).head.identity;
        let next = DiskOp::Load { after: Some(place), limit: 2 };
        assert!(!ahead.follow(&next, &loaded(1000, true)), "the walk is under way");
        assert!(ahead.follow(&first_page(), &loaded(1000, true)));
        ahead.before_the_walk(&medium);
        assert_eq!(told.try_iter().collect::<Vec<u64>>(), [chunks(), vec![BEHIND]].concat());
        assert!(!ahead.follow(&next, &loaded(1000, false)));
        ahead.before_the_walk(&medium);
        assert!(told.try_recv().is_err(), "the walk is over");
    }

    #[test]
    fn a_start_reads_ahead_while_it_walks_through_the_heads() {
        let (tell, told) = channel();
        let metrics = DiskMetrics::default();
        let engine = Engine::open(Told(Mutex::new(tell)), EngineConfig::default(), metrics.clone())
            .expect("in memory");
        engine.begin_life(Id::ZERO).expect("in memory");
        let record = |n| Record::plain(Id::from_u64(n), vec![7; 100], Wall(9), Life::from_secs(5), 3);
        let effect = |n| DiskEffect { token: DiskToken(n), op: DiskOp::Write(record(n)) };
        let records: Vec<DiskEffect> = (0..=u64::from(LOAD_HEADS_MAX)).map(effect).collect();
        engine.write(&records, &mut Vec::new());
        let mut lanes = Lanes::start(engine, metrics).expect("threads");
        let op = DiskOp::Load { after: None, limit: LOAD_HEADS_MAX };
        lanes.submit(&mut vec![DiskEffect { token: DiskToken(0), op }]);
        let wait = Duration::from_secs(60);
        let offsets: Vec<u64> = (0..5).map(|_| told.recv_timeout(wait).expect("it is read")).collect();
        assert_eq!(offsets, chunks());
        lanes.close();
    }
}
