//! A data directory whose node does not run, read as a whole: for a snapshot of it (docs/snapshot.md).
//!
//! It is locked like a node's, and opened like a node's, which after a crash repairs the file; nothing else of it changes, and
//! no life begins. Records come page by page in order of identity, each page from one snapshot of the file.

use std::ops::Bound;
use std::path::Path;

use keyway_core::frame::NetworkId;
use keyway_core::id::{ID_BYTES, Id};
use keyway_core::node::network_of;
use keyway_core::store::{Identity, Record};
use redb::ReadableDatabase as _;

use super::directory::Directory;
use super::engine::{self, Engine, EngineConfig, Failure, OpenError};
use super::medium::FileMedium;
use super::rows;
use crate::metrics::DiskMetrics;
use crate::settings::StartError;

/// A data directory at rest.
pub struct Archive {
    engine: Engine<FileMedium>,
    node: Id,
    network: Option<NetworkId>,
}

/// A page of records.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ArchivePage {
    /// In order of identity, those included whose life is over.
    pub records: Vec<Record>,
    /// Records up to the same place that are damaged.
    pub damaged: u64,
    /// Where the next page begins, if this is not the last.
    pub next: Option<Identity>,
}

impl Archive {
    /// Locks and opens the directory at `path`, which must be there. Blocks: after a crash the whole file is verified.
    ///
    /// # Errors
    /// [`StartError`], for people.
    pub fn open(path: &Path) -> Result<Archive, StartError> {
        let directory = Directory::lock_found(path)?;
        let (file, _) = directory.database_file()?;
        let unusable = |source| StartError::Database { path: path.to_owned(), source };
        let medium = FileMedium::new(file, directory);
        let engine =
            Engine::open(medium, EngineConfig::default(), DiskMetrics::default()).map_err(unusable)?;
        let stored = engine.at_rest(|database| {
            let meta = database.begin_read()?.open_table(engine::META)?;
            let bytes = |name| Ok::<_, Failure>(meta.get(name)?.map(|row| row.value().to_vec()));
            Ok((bytes(engine::META_ID)?, bytes(engine::META_NOTES)?))
        });
        let (id, notes) = stored.map_err(unusable)?;
        let id = id.and_then(|bytes| <[u8; ID_BYTES]>::try_from(bytes).ok());
        let node = id.ok_or_else(|| unusable(OpenError::Damaged("it names no node".into())))?;
        let network = notes.as_deref().and_then(network_of);
        Ok(Archive { engine, node: Id(node), network })
    }

    /// The node whose directory it is.
    #[must_use]
    pub fn node(&self) -> Id {
        self.node
    }

    /// The network that the node belongs to; nothing if it has not found one.
    #[must_use]
    pub fn network(&self) -> Option<NetworkId> {
        self.network
    }

    /// Rows of records, damaged ones included: more than there will be in the pages.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn rows(&self) -> Result<u64, OpenError> {
        self.engine.at_rest(|database| {
            use redb::ReadableTableMetadata as _;
            Ok(database.begin_read()?.open_table(engine::HEADS)?.len()?)
        })
    }

    /// The records after a place: at most `max`, and no more once their contents pass `bytes_max`.
    ///
    /// # Errors
    /// [`OpenError`]; damaged records are none, they are counted.
    pub fn page(
        &self,
        after: Option<&Identity>,
        max: usize,
        bytes_max: usize,
    ) -> Result<ArchivePage, OpenError> {
        let from = after.map_or(Bound::Unbounded, |identity| Bound::Excluded(rows::row_key(identity)));
        self.engine.at_rest(|database| {
            let transaction = database.begin_read()?;
            let (heads, values) =
                (transaction.open_table(engine::HEADS)?, transaction.open_table(engine::VALUES)?);
            let (mut page, mut bytes) = (ArchivePage::default(), 0);
            for entry in heads.range::<rows::RowKey>((from, Bound::Unbounded))? {
                let (key, row) = entry?;
                if page.records.len() >= max || bytes > bytes_max {
                    page.next = page.records.last().map(|record| record.head.identity);
                    break;
                }
                let key = key.value();
                let record = match rows::decode_head(&key, row.value()) {
                    Err(rows::Damaged) => None,
                    Ok((head, Some(value))) => Some(Record { head, value: value.to_vec() }),
                    Ok((head, None)) => values.get(key)?.and_then(|row| {
                        let value = rows::decode_value(&head, &key, row.value()).ok()?.to_vec();
                        Some(Record { head, value })
                    }),
                };
                match record.filter(Record::is_intact) {
                    None => page.damaged += 1,
                    Some(record) => {
                        bytes += record.value.len();
                        page.records.push(record);
                    }
                }
            }
            Ok(page)
        })
    }

    /// Closes the file cleanly.
    pub fn close(self) {
        self.engine.close();
    }
}

#[cfg(test)]
mod tests {
    use keyway_core::machine::{DiskEffect, DiskOp, DiskToken};
    use keyway_core::time::{Duration, Wall};

    use super::*;
    use crate::disk::directory::DirectoryError;
    use crate::disk::{Disk, Durability};

    fn record(n: u64, bytes: usize) -> Record {
        Record::plain(Id::from_u64(n), vec![n as u8; bytes], Wall(9), Duration::from_secs(5), 3)
    }

    fn write(path: &Path, ops: impl IntoIterator<Item = DiskOp>) -> Id {
        let (mut disk, life) = Disk::open(
            path,
            Durability::Fsync,
            EngineConfig::default(),
            Id::from_u64(5),
            DiskMetrics::default(),
        )
        .expect("a new directory");
        let effect = |(n, op)| DiskEffect { token: DiskToken(n as u64), op };
        let mut effects: Vec<DiskEffect> = ops.into_iter().enumerate().map(effect).collect();
        disk.submit(&mut effects);
        disk.close();
        life.id
    }

    #[test]
    fn a_directory_at_rest_is_read_to_its_end_and_left_as_it_was() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let path = root.path().join("node");
        let records: Vec<Record> = (1..40).map(|n| record(n, if n % 5 == 0 { 5000 } else { 30 })).collect();
        let id = write(&path, records.iter().cloned().map(DiskOp::Write));
        for _ in 0..2 {
            let archive = Archive::open(&path).expect("nobody uses it");
            assert_eq!((archive.node(), archive.network(), archive.rows().ok()), (id, None, Some(39)));
            let (mut all, mut after, mut pages) = (Vec::new(), None, 0);
            loop {
                let page = archive.page(after.as_ref(), 7, 8000).expect("it can be read");
                assert_eq!(page.damaged, 0);
                all.extend(page.records);
                (after, pages) = (page.next, pages + 1);
                if after.is_none() {
                    break;
                }
            }
            assert!(pages > 5, "{pages} pages");
            let mut wanted = records.clone();
            wanted.sort_by_key(|record| record.head.identity);
            assert_eq!(all, wanted);
            archive.close();
        }
        let (disk, life) =
            Disk::open(&path, Durability::Fsync, EngineConfig::default(), Id::ZERO, DiskMetrics::default())
                .expect("let go of");
        assert_eq!((life.id, life.incarnation), (id, 2), "no life was begun meanwhile");
        let in_use = Archive::open(&path).map(|_| ()).expect_err("a node has it");
        assert!(in_use.to_string().contains("in use"), "{in_use}");
        disk.close();
    }

    #[test]
    fn where_there_is_no_node_nothing_is_made() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let path = root.path().join("nothing");
        let missing = Archive::open(&path).map(|_| ()).expect_err("nothing is there");
        assert!(matches!(missing, StartError::Directory(DirectoryError::NoNode { .. })), "{missing}");
        assert!(!path.exists());
    }
}
