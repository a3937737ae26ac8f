//! A file that can be read while it takes no writes: what is written over it stays in memory until it settles.
//!
//! ```text
//!   redb ── read ──▶ pages written since, in memory ── else ──▶ the file
//!        ── write, set_len ──▶ memory, at most SHADOW_BYTES_MAX        ┐ settle: length, pages, sync, roots, sync, head, sync
//!        ── sync ──▶ nothing                                           ┴──▶ from then on: the file, for everything
//! ```
//!
//! To open a file that was not closed redb verifies all of it, and must write to it, if only its header. While the disk takes no writes, or no sync
//! succeeds, it is opened over this: records are read as the disk really holds them, and nothing is acknowledged. To try the disk again costs
//! no more than to write what opening has written: the file need not be verified anew.
//!
//! A file that settles in part is sound: what redb writes while it opens lies where its last commit has nothing, but for the first page: two
//! roots, the second of which is the new one, and before them a head that says which of the two counts. That goes last, so that none of it
//! need be written whole. Each try writes all of it again, since a sync that failed says nothing about what went before.

use std::collections::BTreeMap;
use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use redb::StorageBackend;

/// What opening a file may write. Its header and the tables of what is free, by far less.
const SHADOW_BYTES_MAX: usize = 64 << 20;
/// What stands before the roots in the first page (redb, docs/design.md).
const HEAD_BYTES: usize = 64;
const PAGE_BYTES: u64 = 4096;

/// Bytes over a file that is left as it is.
#[derive(Debug)]
pub(super) struct Shadow<B> {
    file: B,
    file_len: u64,
    over: RwLock<Over>,
    settled: AtomicBool,
}

#[derive(Debug)]
struct Over {
    len: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl<B: StorageBackend> Shadow<B> {
    /// Over a file as it is now.
    pub(super) fn new(file: B) -> io::Result<Shadow<B>> {
        let file_len = file.len()?;
        let over = RwLock::new(Over { len: file_len, pages: BTreeMap::new() });
        Ok(Shadow { file, file_len, over, settled: AtomicBool::new(false) })
    }

    /// Brings what was written to the file; from then on everything goes there. Nobody may write meanwhile; reads go on.
    ///
    /// # Errors
    /// What the file says: nothing has changed for whoever reads, and it may be tried again.
    pub(super) fn settle(&self) -> io::Result<()> {
        let over = self.over.read().unwrap_or_else(PoisonError::into_inner);
        if self.is_settled() {
            return Ok(());
        }
        if over.len != self.file.len()? {
            self.file.set_len(over.len)?;
        }
        let write = |page: &u64, bytes: &[u8]| {
            let at = page * PAGE_BYTES;
            let there = over.len.saturating_sub(at).min(PAGE_BYTES) as usize;
            self.file.write(at, &bytes[..there])
        };
        for (page, bytes) in over.pages.range(1..) {
            write(page, bytes)?;
        }
        self.file.sync_data()?;
        if let Some(first) = over.pages.get(&0) {
            self.file.write(HEAD_BYTES as u64, &first[HEAD_BYTES..])?;
            self.file.sync_data()?;
            self.file.write(0, &first[..HEAD_BYTES])?;
        }
        self.file.sync_data()?;
        drop(over);
        let mut over = self.over.write().unwrap_or_else(PoisonError::into_inner);
        self.settled.store(true, Ordering::Release);
        over.pages.clear();
        Ok(())
    }

    fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Acquire)
    }

    /// What stands in the file, and zeros behind it.
    fn read_file(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = self.file_len.saturating_sub(offset).min(out.len() as u64) as usize;
        let (inside, behind) = out.split_at_mut(there);
        behind.fill(0);
        if inside.is_empty() { Ok(()) } else { self.file.read(offset, inside) }
    }
}

/// The pages that a run of bytes touches: each with where it begins in the run, where in the page, and how many bytes.
fn pages(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
    let end = offset + len as u64;
    let mut at = offset;
    std::iter::from_fn(move || {
        let (page, inside) = (at / PAGE_BYTES, at % PAGE_BYTES);
        let count = (PAGE_BYTES - inside).min(end - at);
        let piece = (page, (at - offset) as usize, inside as usize, count as usize);
        at += count;
        (count > 0).then_some(piece)
    })
}

/// What a database stands on; who settles it keeps the other end.
#[derive(Debug)]
pub(super) struct Shared<B>(pub(super) Arc<Shadow<B>>);

impl<B> Deref for Shared<B> {
    type Target = Shadow<B>;

    fn deref(&self) -> &Shadow<B> {
        &self.0
    }
}

impl<B: StorageBackend> StorageBackend for Shared<B> {
    fn len(&self) -> io::Result<u64> {
        if self.is_settled() {
            return self.file.len();
        }
        Ok(self.over.read().unwrap_or_else(PoisonError::into_inner).len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.is_settled() {
            return self.file.read(offset, out);
        }
        let over = self.over.read().unwrap_or_else(PoisonError::into_inner);
        if self.is_settled() {
            return self.file.read(offset, out);
        }
        if offset + out.len() as u64 > over.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read_file(offset, out)?;
        for (page, at, inside, count) in pages(offset, out.len()) {
            if let Some(written) = over.pages.get(&page) {
                out[at..at + count].copy_from_slice(&written[inside..inside + count]);
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if self.is_settled() {
            return self.file.set_len(len);
        }
        let mut over = self.over.write().unwrap_or_else(PoisonError::into_inner);
        // What is cut off and grown again reads as it was: redb writes what it grows before it reads it.
        over.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.is_settled() {
            return self.file.sync_data();
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.is_settled() {
            return self.file.write(offset, data);
        }
        let mut over = self.over.write().unwrap_or_else(PoisonError::into_inner);
        for (page, at, inside, count) in pages(offset, data.len()) {
            if !over.pages.contains_key(&page) {
                if (over.pages.len() + 1) * PAGE_BYTES as usize > SHADOW_BYTES_MAX {
                    return Err(io::Error::other("too much is written to a file that can only be read"));
                }
                let mut whole = vec![0; PAGE_BYTES as usize];
                self.read_file(page * PAGE_BYTES, &mut whole)?;
                over.pages.insert(page, whole);
            }
            if let Some(written) = over.pages.get_mut(&page) {
                written[inside..inside + count].copy_from_slice(&data[at..at + count]);
            }
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyway_core::rng::Rng;
    use redb::backends::InMemoryBackend;
    use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
    use std::sync::Mutex;

    fn shared(shadow: Shadow<InMemoryBackend>) -> Shared<InMemoryBackend> {
        Shared(Arc::new(shadow))
    }

    #[test]
    fn what_is_written_is_read_and_the_file_stays_as_it_was() {
        let file = InMemoryBackend::new();
        let before: Vec<u8> = (0..10_000_u32).map(|n| (n % 251) as u8).collect();
        file.set_len(10_000).expect("memory");
        file.write(0, &before).expect("memory");
        let shadow = shared(Shadow::new(file).expect("memory"));
        let mut model = before.clone();
        for (offset, len) in [(0, 10), (4000, 200), (4096, 4096), (9_990, 10), (5, 9000)] {
            let data: Vec<u8> = (0..len).map(|n| (offset + n) as u8 ^ 0x5a).collect();
            shadow.write(offset as u64, &data).expect("it takes it");
            model[offset..offset + len].copy_from_slice(&data);
            let mut all = vec![0; model.len()];
            shadow.read(0, &mut all).expect("it is there");
            assert!(all == model, "after {len} bytes at {offset}");
        }
        shadow.set_len(20_000).expect("it grows");
        shadow.write(15_000, b"behind").expect("it takes it");
        let mut behind = [9; 8];
        shadow.read(14_999, &mut behind).expect("it is there");
        assert_eq!(&behind, b"\0behind\0");
        assert!(shadow.read(19_999, &mut behind).is_err(), "nothing is behind the end");
        assert_eq!(shadow.len().expect("memory"), 20_000);
        let mut after = vec![0; 10_000];
        shadow.file.read(0, &mut after).expect("memory");
        assert!(after == before, "the file was written");
        shadow.settle().expect("memory");
        let mut settled = vec![0; model.len()];
        shadow.file.read(0, &mut settled).expect("memory");
        assert!(settled == model, "the file holds what was written");
        shadow.file.read(14_999, &mut behind).expect("memory");
        assert_eq!(&behind, b"\0behind\0");
        shadow.write(3, b"later").expect("memory");
        shadow.file.read(0, &mut behind).expect("memory");
        assert_eq!(&behind[3..], b"later", "from now on everything goes to the file");
    }

    /// A file in memory that remembers what was done to it.
    #[derive(Debug, Default)]
    struct Tape {
        bytes: Mutex<Vec<u8>>,
        ops: Mutex<Vec<TapeOp>>,
    }

    #[derive(Clone, Debug)]
    enum TapeOp {
        Length(usize),
        Write(usize, Vec<u8>),
        Sync,
    }

    impl Tape {
        fn over(bytes: Vec<u8>) -> Tape {
            Tape { bytes: Mutex::new(bytes), ops: Mutex::default() }
        }

        fn apply(bytes: &mut Vec<u8>, op: &TapeOp) {
            match op {
                TapeOp::Length(len) => bytes.resize(*len, 0),
                TapeOp::Write(at, data) => bytes[*at..at + data.len()].copy_from_slice(data),
                TapeOp::Sync => {}
            }
        }

        fn happen(&self, op: TapeOp) -> io::Result<()> {
            Tape::apply(&mut self.bytes.lock().unwrap(), &op);
            self.ops.lock().unwrap().push(op);
            Ok(())
        }
    }

    impl StorageBackend for Tape {
        fn len(&self) -> io::Result<u64> {
            Ok(self.bytes.lock().unwrap().len() as u64)
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            let offset = offset as usize;
            out.copy_from_slice(&self.bytes.lock().unwrap()[offset..offset + out.len()]);
            Ok(())
        }
        fn set_len(&self, len: u64) -> io::Result<()> {
            self.happen(TapeOp::Length(len as usize))
        }
        fn sync_data(&self) -> io::Result<()> {
            self.happen(TapeOp::Sync)
        }
        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.happen(TapeOp::Write(offset as usize, data.to_vec()))
        }
    }

    const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rows");

    fn rows(database: &Database) -> BTreeMap<u64, Vec<u8>> {
        let table = database.begin_read().unwrap().open_table(ROWS).unwrap();
        table.iter().unwrap().map(|row| row.unwrap()).map(|(k, v)| (k.value(), v.value().to_vec())).collect()
    }

    /// A database that was not closed, with holes where rows were.
    fn unclosed(seed: u64) -> (Vec<u8>, BTreeMap<u64, Vec<u8>>) {
        let mut rng = Rng::from_u64(seed);
        let tape = Arc::new(Shadow::new(Tape::default()).unwrap());
        tape.settle().unwrap();
        let database = Database::builder().create_with_backend(Shared(Arc::clone(&tape))).unwrap();
        let mut model = BTreeMap::new();
        for _ in 0..rng.between(1, 30) {
            let change = database.begin_write().unwrap();
            {
                let mut table = change.open_table(ROWS).unwrap();
                for _ in 0..rng.between(1, 12) {
                    let (key, bytes) = (rng.below(60), vec![rng.below(256) as u8; rng.below(9_000) as usize]);
                    if rng.below(3) == 0 {
                        table.remove(key).unwrap();
                        model.remove(&key);
                    } else {
                        table.insert(key, bytes.as_slice()).unwrap();
                        model.insert(key, bytes);
                    }
                }
            }
            change.commit().unwrap();
        }
        let bytes = tape.file.bytes.lock().unwrap().clone();
        (bytes, model)
    }

    /// Power fails while a shadow settles: after any of its writes, with any one of those not yet synced lost, with the first
    /// page written in part. Whoever opens the file then finds what had been committed.
    #[test]
    fn a_file_that_settles_in_part_is_sound() {
        for seed in 0..12 {
            let (before, model) = unclosed(seed);
            let shadow = Arc::new(Shadow::new(Tape::over(before.clone())).unwrap());
            let database = Database::builder().create_with_backend(Shared(Arc::clone(&shadow))).unwrap();
            assert!(rows(&database) == model);
            assert!(shadow.file.ops.lock().unwrap().is_empty(), "opening over a shadow writes nothing");
            shadow.settle().unwrap();
            let ops = shadow.file.ops.lock().unwrap().clone();
            let synced = ops.iter().position(|op| matches!(op, TapeOp::Sync)).unwrap();
            let [TapeOp::Write(HEAD_BYTES, roots), TapeOp::Sync, TapeOp::Write(0, head), TapeOp::Sync] =
                &ops[synced + 1..]
            else {
                panic!("roots, then the head")
            };
            let image = |ops: &mut dyn Iterator<Item = &TapeOp>| {
                let mut bytes = before.clone();
                ops.for_each(|op| Tape::apply(&mut bytes, op));
                bytes
            };
            let mut images: Vec<Vec<u8>> = (0..=ops.len()).map(|n| image(&mut ops[..n].iter())).collect();
            let writes = (0..synced).filter(|i| matches!(ops[*i], TapeOp::Write(..)));
            let without = |lost: usize| {
                image(&mut ops[..synced].iter().enumerate().filter(|(i, _)| *i != lost).map(|(_, op)| op))
            };
            images.extend(writes.map(without));
            let torn = |whole: usize, at: usize, data: &[u8]| {
                let mut bytes = image(&mut ops[..whole].iter());
                bytes[at..at + data.len()].copy_from_slice(data);
                bytes
            };
            images.extend((0..300).step_by(7).map(|len| torn(synced, HEAD_BYTES, &roots[..len])));
            images.extend((0..HEAD_BYTES).map(|len| torn(synced + 3, 0, &head[..len])));
            for (n, bytes) in images.into_iter().enumerate() {
                let opened = Database::builder().create_with_backend(Tape::over(bytes));
                let opened =
                    opened.unwrap_or_else(|e| panic!("seed {seed}, image {n} of {} ops: {e}", ops.len()));
                assert_eq!(rows(&opened), model, "seed {seed}, image {n} of {} ops", ops.len());
            }
        }
    }

    #[test]
    fn what_is_kept_in_memory_is_bounded() {
        let shadow = shared(Shadow::new(InMemoryBackend::new()).expect("memory"));
        shadow.set_len(1 << 40).expect("only a number");
        let block = vec![1; 1 << 20];
        let written = (0..100).take_while(|n| shadow.write(n << 20, &block).is_ok()).count();
        assert_eq!(written, SHADOW_BYTES_MAX >> 20);
    }
}
