//! Reading the heads of a directory at start-up, a page at a time, each page by several threads.
//!
//! ```text
//!   after ──▶ |  part 1  |  part 2  |  ..  |  part N  |    of the keys: about as many as a page has heads
//!                 │          │                 │           a thread each: the disk answers them side by side
//!                 └──────────┴── in order ─────┴──▶ heads, cut at the page's limit; too few: one thread reads on
//! ```
//!
//! Neighbours in the order of keys lie anywhere in the file, so that reading them is one small read after another, and each waits for the
//! disk. Keys are hashes, so how many lie in a part can be told before; where they are not, pages are right all the same, and slower.

use std::ops::Bound;
use std::thread::{Builder, ScopedJoinHandle};

use keyway_core::store::{Head, Identity};
use redb::{ReadTransaction, ReadableTableMetadata as _};

use super::engine::{Failure, HEADS};
use super::rows::{self, IDENTITY_BYTES, RowKey};

/// Threads that read a page.
const PARTS: usize = 8;
/// Below so many records one thread reads faster than eight begin.
const PARALLEL_ROWS_MIN: u64 = 4096;
/// Stack of a thread that reads.
const STACK_BYTES: usize = 256 << 10;

/// A page of heads.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// In order of identity.
    pub(super) heads: Vec<Head>,
    /// Whether there are more.
    pub(super) more: bool,
    /// Rows that are damaged and left out.
    pub(super) damaged: u64,
}

type Range = (Bound<RowKey>, Bound<RowKey>);

/// What lies in a part of the keys.
#[derive(Default)]
struct Part {
    heads: Vec<Head>,
    damaged: u64,
    /// There are more in it than were read.
    more: bool,
}

/// The heads after `after`, at most `limit`.
pub(super) fn page(
    transaction: &ReadTransaction,
    after: Option<&Identity>,
    limit: usize,
) -> Result<Page, Failure> {
    let start = after.map_or(Bound::Unbounded, |identity| Bound::Excluded(rows::row_key(identity)));
    let count = transaction.open_table(HEADS)?.len()?;
    let (mut page, mut rest) = (Page::default(), start);
    if count >= PARALLEL_ROWS_MIN {
        let (ranges, end) = parts(start, count, limit);
        for part in all(transaction, &ranges, limit) {
            let whole = page.take(part?, limit);
            if !whole {
                return Ok(page);
            }
        }
        match end {
            None => return Ok(page),
            Some(end) => rest = Bound::Included(end),
        }
    }
    let left = limit - page.heads.len();
    page.take(read(transaction, (rest, Bound::Unbounded), left)?, limit);
    Ok(page)
}

impl Page {
    /// Appends what comes next; whether the page has room for what follows.
    fn take(&mut self, part: Part, limit: usize) -> bool {
        let room = limit - self.heads.len();
        self.more = part.more || part.heads.len() > room;
        self.damaged += part.damaged;
        self.heads.extend(part.heads.into_iter().take(room));
        !self.more
    }
}

/// Parts of the keys that follow `start` and hold about `limit` of `count` rows, and where the last of them ends; nothing if that is
/// behind all keys.
fn parts(start: Bound<RowKey>, count: u64, limit: usize) -> (Vec<Range>, Option<RowKey>) {
    let first = match &start {
        Bound::Included(key) | Bound::Excluded(key) => front(key),
        Bound::Unbounded => 0,
    };
    let span = ((limit as u128) << 64) / u128::from(count.max(1));
    let border = |part: usize| {
        let at = u128::from(first) + span * part as u128 / PARTS as u128;
        u64::try_from(at).ok().map(key_at)
    };
    let mut ranges = Vec::with_capacity(PARTS);
    let mut from = start;
    for part in 1..=PARTS {
        // A border at or before the start would be no range.
        let to = border(part).filter(|key| front(key) > first);
        match to {
            Some(key) => ranges.push((from, Bound::Excluded(key))),
            None => {
                ranges.push((from, Bound::Unbounded));
                return (ranges, None);
            }
        }
        from = to.map_or(Bound::Unbounded, Bound::Included);
    }
    (ranges, border(PARTS))
}

fn front(key: &RowKey) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *key;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

fn key_at(front: u64) -> RowKey {
    let mut key = [0; IDENTITY_BYTES];
    key[..8].copy_from_slice(&front.to_be_bytes());
    key
}

/// Reads the parts side by side; where the system gives no thread, one after the other.
fn all(transaction: &ReadTransaction, ranges: &[Range], limit: usize) -> Vec<Result<Part, Failure>> {
    std::thread::scope(|scope| {
        let begin = |range: &Range| {
            let range = *range;
            let builder = Builder::new().name("keyway-scan".into()).stack_size(STACK_BYTES);
            builder.spawn_scoped(scope, move || read(transaction, range, limit)).map_err(|_| range)
        };
        let begun: Vec<_> = ranges.iter().map(begin).collect();
        let end = |thread: Result<ScopedJoinHandle<'_, _>, Range>| match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(range) => read(transaction, range, limit),
        };
        begun.into_iter().map(end).collect()
    })
}

/// Reads at most `limit` heads of a range.
fn read(transaction: &ReadTransaction, range: Range, limit: usize) -> Result<Part, Failure> {
    let table = transaction.open_table(HEADS)?;
    let mut part = Part::default();
    for entry in table.range::<RowKey>(range)? {
        if part.heads.len() >= limit {
            part.more = true;
            break;
        }
        let (key, row) = entry?;
        match rows::decode_head(&key.value(), row.value()) {
            Ok((head, _)) => part.heads.push(head),
            Err(rows::Damaged) => part.damaged += 1,
        }
    }
    Ok(part)
}

#[cfg(test)]
mod tests {
    use keyway_core::id::Id;
    use keyway_core::store::Record;
    use keyway_core::time::{Duration, Wall};
    use redb::backends::InMemoryBackend;
    use redb::{Database, ReadableDatabase as _};

    use super::*;

    /// Records whose keys are made of these numbers, in a table as a node has it.
    fn table(keys: impl Iterator<Item = Id>) -> (Database, Vec<Head>) {
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).expect("in memory");
        let transaction = database.begin_write().expect("in memory");
        let (mut heads, mut row) = (Vec::new(), Vec::new());
        {
            let mut table = transaction.open_table(HEADS).expect("a table");
            for key in keys {
                let value = key.as_bytes().to_vec();
                let record = Record::plain(key, value, Wall(9), Duration::from_secs(5), 3);
                let name = rows::row_key(&record.head.identity);
                rows::encode_head(&record, &name, &mut row);
                table.insert(name, row.as_slice()).expect("in memory");
                heads.push(record.head);
            }
        }
        transaction.commit().expect("in memory");
        heads.sort_by_key(|head| head.identity);
        (database, heads)
    }

    /// Everything, by pages.
    fn walk(database: &Database, limit: usize) -> (Vec<Head>, usize) {
        let (mut all, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let transaction = database.begin_read().expect("in memory");
            let page = page(&transaction, after.as_ref(), limit).expect("in memory");
            assert!(page.heads.len() <= limit && page.damaged == 0);
            all.extend(page.heads);
            (after, pages) = (all.last().map(|head| head.identity), pages + 1);
            if !page.more {
                return (all, pages);
            }
        }
    }

    #[test]
    fn pages_hold_everything_once_and_in_order_however_keys_lie() {
        let hashed = |n: u64| Id::sha1(&n.to_be_bytes());
        let crowded = |n: u64| Id::from_u64(n);
        let at_the_end = |n: u64| {
            let mut id = Id::MAX;
            id.0[12..].copy_from_slice(&n.to_be_bytes());
            id
        };
        let mixed = |n: u64| if n.is_multiple_of(3) { hashed(n) } else { crowded(n) };
        for (name, key) in [
            ("hashed", &hashed as &dyn Fn(u64) -> Id),
            ("crowded", &crowded),
            ("at the end", &at_the_end),
            ("mixed", &mixed),
        ] {
            for count in [0, 10, PARALLEL_ROWS_MIN - 1, PARALLEL_ROWS_MIN, 9_000] {
                let (database, heads) = table((0..count).map(key));
                for limit in [1_000, 4_096, 20_000] {
                    let (found, pages) = walk(&database, limit);
                    assert!(found == heads, "{name}, {count} by {limit}: {} found", found.len());
                    // Where parts were guessed too short a page may hold less than it could; never so little as to stand still.
                    assert!(
                        pages <= 2 + heads.len() / (limit / 2),
                        "{name}, {count} by {limit}: {pages} pages"
                    );
                }
            }
        }
    }

    #[test]
    fn a_part_is_never_empty_by_mistake() {
        for first in [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
            for count in [1, 4096, 1_000_000, u64::MAX] {
                let start = key_at(first);
                let (ranges, end) = parts(Bound::Excluded(start), count, 4096);
                assert!((1..=PARTS).contains(&ranges.len()));
                for (from, to) in &ranges {
                    let (Bound::Included(from) | Bound::Excluded(from)) = from else { panic!("{from:?}") };
                    match to {
                        Bound::Excluded(to) => assert!(from <= to, "{first} {count}"),
                        Bound::Unbounded => assert!(end.is_none()),
                        Bound::Included(_) => panic!("{to:?}"),
                    }
                }
            }
        }
    }
}
