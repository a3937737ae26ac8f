//! The yardstick of the engine: what redb alone does with batches of the same size, without a queue, a checksum, a second
//! table or a second thread.
//!
//! ```text
//!   begin ── insert, insert .. (one batch) ── commit and fsync ──▶ again, until the time is over
//! ```

use std::path::Path;
use std::time::{Duration as Span, Instant};

use keyway_core::rng::Rng;
use keyway_core::store::Record;
use keyway_core::time::{Duration, Wall};
use keyway_core::wire;
use redb::{Database, TableDefinition};

use super::rows;

/// One table, a row for each record.
const TABLE: TableDefinition<'_, rows::RowKey, &[u8]> = TableDefinition::new("records");

/// Random records that all differ, of one length.
#[derive(Debug)]
pub struct Source {
    rng: Rng,
    value_bytes: usize,
}

impl Source {
    /// The records of this seed, with values of so many bytes.
    #[must_use]
    pub fn new(seed: u64, value_bytes: usize) -> Source {
        Source { rng: Rng::from_u64(seed), value_bytes }
    }

    /// The next one.
    pub fn record(&mut self) -> Record {
        let mut value = vec![0; self.value_bytes];
        for chunk in value.chunks_mut(8) {
            chunk.copy_from_slice(&self.rng.next_u64().to_le_bytes()[..chunk.len()]);
        }
        Record::plain(self.rng.id(), value, Wall(1), Duration::from_secs(60), 1)
    }
}

/// What was done, and in what time.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// Records that are durable.
    pub records: u64,
    /// Commits, each with its fsync.
    pub commits: u64,
    /// From the first record to the last commit.
    pub took: Span,
}

impl Speed {
    /// Records a second.
    #[must_use]
    pub fn records_per_s(&self) -> f64 {
        self.records as f64 / self.took.as_secs_f64()
    }
}

/// Commits batches of `batch` records to a new file at `path`, one after the other, for `time`, with a cache of
/// `cache_bytes`. Blocks.
///
/// # Errors
/// Those of redb and of the disk.
pub fn redb_alone(
    path: &Path,
    time: Span,
    batch: u64,
    cache_bytes: usize,
    mut source: Source,
) -> Result<Speed, redb::Error> {
    let database = Database::builder().set_cache_size(cache_bytes).create(path)?;
    let (started, mut records, mut commits) = (Instant::now(), 0, 0);
    while started.elapsed() < time {
        let transaction = database.begin_write()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for _ in 0..batch {
                let record = source.record();
                let bytes = wire::to_vec(&record);
                table.insert(rows::row_key(&record.head.identity), bytes.as_slice())?;
            }
        }
        transaction.commit()?;
        records += batch;
        commits += 1;
    }
    Ok(Speed { records, commits, took: started.elapsed() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_differ_and_are_counted() {
        let mut source = Source::new(1, 20);
        assert_ne!(source.record(), source.record());
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("alone.redb");
        let speed = redb_alone(&path, Span::from_millis(1), 5, 1 << 20, source).expect("a file");
        assert!(speed.commits > 0 && speed.records == 5 * speed.commits && speed.records_per_s() > 0.0);
    }
}
