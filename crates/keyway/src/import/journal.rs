//! What of a file has been acknowledged, kept in a file beside it, so that an import that was cut goes on.
//!
//! ```text
//!   record   0 1 2 3 4 5 6 7 8 9 ...
//!   acked    # # # # . # . . #              prefix = 4 records, beyond = {5, 8}
//!                    ^ reading goes on here, and passes over what is in `beyond`
//! ```
//!
//! Invariants: everything before the prefix is settled; nothing in `beyond` lies before it; `beyond` is bounded by the
//! loader's window. The journal may be older than the truth, never newer: a record is settled only after its
//! acknowledgement, and putting a record twice is harmless.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use keyway_client::Key;
use serde::{Deserialize, Serialize};

use super::records::Mark;
use crate::exit::{Exit, Failure};

/// Version of the journal's form.
const VERSION: u32 = 1;
/// Bytes at a file's beginning by which it is known again, beside its length and its time of change.
const SAMPLE_BYTES: u64 = 64 << 10;
/// Refused records that a journal remembers; one more ends the import.
pub(super) const REFUSED_MAX: usize = 1_000;

/// A file's name for itself: it changes when the file does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Source {
    bytes: u64,
    changed_ms: u64,
    sample_hash: Key,
}

impl Source {
    /// Looks at the file.
    pub(super) fn of(path: &Path) -> Result<Source, Failure> {
        let look = || -> io::Result<Source> {
            let file = File::open(path)?;
            let about = file.metadata()?;
            let mut sample = Vec::new();
            file.take(SAMPLE_BYTES).read_to_end(&mut sample)?;
            let changed = about.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            let changed_ms = u64::try_from(changed.as_millis()).unwrap_or(u64::MAX);
            Ok(Source { bytes: about.len(), changed_ms, sample_hash: Key::hash(&sample) })
        };
        look().map_err(|error| Failure::new(Exit::Usage, format!("cannot read {}: {error}", path.display())))
    }

    /// Its length.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// A record that the network will not take, however often it is asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Refused {
    /// Its line.
    pub(super) line: u64,
    /// Its key as it stands in the file.
    pub(super) key: String,
    /// Why.
    pub(super) why: String,
}

/// What is settled: acknowledged, or refused for good.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Journal {
    version: u32,
    /// The network that acknowledged, in hex.
    network: String,
    source: Source,
    prefix: Mark,
    #[serde(with = "pairs")]
    beyond: BTreeMap<u64, Mark>,
    refused: Vec<Refused>,
    complete: bool,
}

/// A map with numbers as keys, as a list of pairs.
mod pairs {
    use super::{BTreeMap, Mark};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(map: &BTreeMap<u64, Mark>, to: S) -> Result<S::Ok, S::Error> {
        map.iter().collect::<Vec<_>>().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<u64, Mark>, D::Error> {
        Ok(Vec::<(u64, Mark)>::deserialize(from)?.into_iter().collect())
    }
}

impl Journal {
    /// Nothing is settled.
    pub(super) fn new(network: String, source: Source) -> Journal {
        Journal {
            version: VERSION,
            network,
            source,
            prefix: Mark::default(),
            beyond: BTreeMap::new(),
            refused: Vec::new(),
            complete: false,
        }
    }

    /// The journal at `path`, if there is one and it is about this file in this network. The text says why one does not count.
    pub(super) fn find(
        path: &Path,
        network: &str,
        source: &Source,
    ) -> Result<Result<Journal, Option<&'static str>>, Failure> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Err(None)),
            Err(error) => return Err(broken(path, &error.to_string())),
        };
        let journal: Journal =
            serde_json::from_slice(&bytes).map_err(|error| broken(path, &error.to_string()))?;
        Ok(match () {
            () if journal.version != VERSION => Err(Some("it was written by another version")),
            () if journal.source != *source => Err(Some("the file has changed since")),
            () if journal.network != network => Err(Some("it is about another network")),
            () => Ok(journal),
        })
    }

    /// Replaces the file at `path` in one step.
    pub(super) fn save(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_vec(self).expect("a journal has string keys and no failing fields");
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let write = || -> io::Result<()> {
            let mut file = File::create(&beside)?;
            file.write_all(&text)?;
            file.sync_data()?;
            fs::rename(&beside, path)
        };
        write().map_err(|error| {
            Failure::new(Exit::Failure, format!("cannot keep the progress in {}: {error}", path.display()))
                .hint("name another file with --state FILE")
        })
    }

    /// Where reading goes on.
    pub(super) fn prefix(&self) -> Mark {
        self.prefix
    }

    /// Records settled beyond the prefix.
    pub(super) fn beyond_count(&self) -> u64 {
        self.beyond.len() as u64
    }

    /// Whether this record is settled.
    pub(super) fn is_settled(&self, index: u64) -> bool {
        index < self.prefix.records || self.beyond.contains_key(&index)
    }

    /// A record is settled; `end` is the place after it.
    pub(super) fn settle(&mut self, index: u64, end: Mark) {
        if index >= self.prefix.records {
            self.beyond.insert(index, end);
        }
        while let Some(end) = self.beyond.remove(&self.prefix.records) {
            self.prefix = end;
        }
    }

    /// A record is settled by a refusal.
    pub(super) fn refuse(&mut self, index: u64, end: Mark, refused: Refused) {
        self.refused.push(refused);
        self.settle(index, end);
    }

    /// Records refused for good.
    pub(super) fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// The end of the file was reached, and everything is settled.
    pub(super) fn complete(&mut self) {
        debug_assert!(self.beyond.is_empty());
        self.complete = true;
    }

    /// Whether nothing is left to do.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }
}

fn broken(path: &Path, why: &str) -> Failure {
    Failure::new(Exit::Failure, format!("cannot read the progress kept in {}: {why}", path.display()))
        .hint("--restart begins again; records that are there already are put once more, which is harmless")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Source {
        Source { bytes: 40, changed_ms: 7, sample_hash: Key::text("") }
    }

    fn after(index: u64) -> Mark {
        Mark { records: index + 1, lines: index + 1, bytes: 4 * (index + 1) }
    }

    #[test]
    fn the_prefix_grows_when_its_gap_closes() {
        let mut journal = Journal::new("net".into(), source());
        for index in [1, 3, 0] {
            journal.settle(index, after(index));
        }
        assert_eq!((journal.prefix(), journal.beyond_count()), (after(1), 1));
        assert!(journal.is_settled(1) && !journal.is_settled(2) && journal.is_settled(3));
        journal.settle(2, after(2));
        assert_eq!((journal.prefix(), journal.beyond_count()), (after(3), 0));
        journal.settle(2, after(2));
        assert_eq!(journal.beyond_count(), 0, "settling twice changes nothing");
    }

    #[test]
    fn a_journal_counts_only_for_its_file_and_network() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("progress");
        assert_eq!(Journal::find(&path, "net", &source()), Ok(Err(None)));
        let mut journal = Journal::new("net".into(), source());
        journal.settle(5, after(5));
        journal.save(&path).expect("written");
        assert_eq!(Journal::find(&path, "net", &source()), Ok(Ok(journal)));
        assert!(matches!(Journal::find(&path, "other", &source()), Ok(Err(Some(_)))));
        let changed = Source { bytes: 41, ..source() };
        assert!(matches!(Journal::find(&path, "net", &changed), Ok(Err(Some(_)))));
        fs::write(&path, "{").expect("written");
        assert!(Journal::find(&path, "net", &source()).is_err());
    }
}
