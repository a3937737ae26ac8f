//! Reading a file ahead of redb while it opens one that was not closed.
//!
//! redb then verifies every page of the file, in the order of its trees, one small read after another. A file that was closed is open in a
//! moment; where it takes longer, other threads read the file from one end to the other, so that it is in the page cache when its turn comes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use super::medium::Medium;

/// An opening that lasts longer verifies the file.
const AFTER: Duration = Duration::from_millis(100);
/// Threads that read.
const READERS: u64 = 2;
/// So much of the file at most: what is more is read as redb comes to it.
const BYTES_MAX: u64 = 4 << 30;
/// Read at once.
const CHUNK_BYTES: u64 = 1 << 20;

/// Opens by `open`, with the bytes of `medium` read ahead if that takes long.
pub(super) fn while_opening<T>(medium: &impl Medium, open: impl FnOnce() -> T) -> T {
    let opening = AtomicBool::new(true);
    thread::scope(|scope| {
        // Where the system gives no thread the opening only takes longer.
        let readers: Vec<_> = (0..READERS)
            .filter_map(|reader| {
                let opening = &opening;
                let work = move || read(medium, reader, opening);
                Builder::new().name("keyway-ahead".into()).spawn_scoped(scope, work).ok()
            })
            .collect();
        let opened = open();
        opening.store(false, Ordering::Release);
        readers.iter().for_each(|reader| reader.thread().unpark());
        opened
    })
}

fn read(medium: &impl Medium, reader: u64, opening: &AtomicBool) {
    let until = Instant::now() + AFTER;
    while opening.load(Ordering::Acquire) {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        thread::park_timeout(left);
    }
    let mut offset = reader * CHUNK_BYTES;
    while opening.load(Ordering::Acquire) && offset < BYTES_MAX && medium.touch(offset, CHUNK_BYTES as usize)
    {
        offset += READERS * CHUNK_BYTES;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::sync::{Mutex, PoisonError};

    use redb::backends::InMemoryBackend;

    use super::*;

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
            if there {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).send(offset).expect("somebody listens");
            }
            there
        }
    }

    #[test]
    fn all_of_it_is_read_once_if_opening_takes_long_and_nothing_if_not() {
        let (tell, told) = channel();
        let medium = Told(Mutex::new(tell));
        assert_eq!(while_opening(&medium, || 7), 7);
        assert!(told.try_recv().is_err(), "it was open at once");
        let mut offsets = while_opening(&medium, || {
            (0..5)
                .map(|_| told.recv_timeout(Duration::from_secs(60)).expect("it is read"))
                .collect::<Vec<u64>>()
        });
        offsets.sort_unstable();
        assert_eq!(offsets, (0..5).map(|n| n * CHUNK_BYTES).collect::<Vec<u64>>());
        assert!(told.try_recv().is_err(), "nothing is read twice");
    }
}
