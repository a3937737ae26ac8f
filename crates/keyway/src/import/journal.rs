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
//!
//! A place in the file carries the hash of all bytes before it. So what was read may be told from what was not: lines that
//! stand behind the place may be corrected or added, and what is before it counts only as long as it is the same, is read in the
//! same way and is stored in the same way ([`How`]).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::records::{Mark, Shape, unchanged};
use crate::duration::Span;
use crate::exit::{Exit, Failure};

/// Version of the journal's form, and of how lines are understood.
const VERSION: u32 = 2;
/// Refused records that a journal remembers; one more ends the import.
pub(super) const REFUSED_MAX: usize = 1_000;

/// What decides, beside the file, what is stored and where. A change of any makes other records of the same lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct How {
    /// As `--format`, or the file's extension.
    pub(super) format: Shape,
    /// As `--hex`.
    pub(super) hex: bool,
    /// As `--ttl`.
    pub(super) ttl_seconds: Option<u64>,
}

impl How {
    /// Which option has changed from what it was, if one has.
    fn change(&self, was: &How) -> Option<String> {
        // Taken apart, so that a new field is not forgotten here.
        let How { format, hex, ttl_seconds } = *self;
        if format != was.format {
            return Some(format!("--format was {} and is {}", was.format, format));
        }
        if hex != was.hex {
            let given = |hex: bool| if hex { "given" } else { "not given" };
            return Some(format!("--hex was {} and is {}", given(was.hex), given(hex)));
        }
        let life = |seconds: Option<u64>| {
            seconds.map_or_else(|| "not given".to_owned(), |seconds| Span::from_secs(seconds).to_string())
        };
        (ttl_seconds != was.ttl_seconds)
            .then(|| format!("--ttl was {} and is {}", life(was.ttl_seconds), life(ttl_seconds)))
    }
}

/// What there is where a journal is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Kept {
    /// Nothing.
    Nothing,
    /// One that does not count for this import; why.
    Stale(String),
    /// One that counts.
    Good(Journal),
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
    how: How,
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
    pub(super) fn new(network: String, how: How) -> Journal {
        Journal {
            version: VERSION,
            network,
            how,
            prefix: Mark::default(),
            beyond: BTreeMap::new(),
            refused: Vec::new(),
            complete: false,
        }
    }

    /// The journal at `path`, as far as it counts for `file`, stored in this way in this network. Reads what was read of the file before.
    pub(super) fn find(
        path: &Path,
        network: &str,
        how: &How,
        file: &Path,
        verifies: bool,
    ) -> Result<Kept, Failure> {
        #[derive(Deserialize)]
        struct Form {
            version: u32,
        }
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::Nothing),
            Err(error) => return Err(broken(path, &error.to_string())),
        };
        let form: Form = serde_json::from_slice(&bytes).map_err(|error| broken(path, &error.to_string()))?;
        if form.version != VERSION {
            return Ok(Kept::Stale("it was written by another version".to_owned()));
        }
        let mut journal: Journal =
            serde_json::from_slice(&bytes).map_err(|error| broken(path, &error.to_string()))?;
        if journal.network != network {
            return Ok(Kept::Stale("it is about another network".to_owned()));
        }
        if let Some(why) = how.change(&journal.how) {
            return Ok(Kept::Stale(why));
        }
        // Nothing goes on from it then, so what it read need not be read again.
        let grown = fs::metadata(file).map_or(true, |about| about.len() != journal.prefix.bytes);
        if journal.complete && !verifies && !grown {
            return Ok(Kept::Good(journal));
        }
        let marks = [journal.prefix].into_iter().chain(journal.beyond.values().copied());
        let (same, length) = unchanged(file, marks)?;
        if same == 0 {
            return Ok(Kept::Stale("what was read of the file has changed since".to_owned()));
        }
        journal.beyond = journal.beyond.into_iter().take(same - 1).collect();
        let Journal { prefix, beyond, refused, .. } = &mut journal;
        refused.retain(|one| one.line <= prefix.lines || beyond.values().any(|end| end.lines == one.line));
        // What was added is left to do.
        journal.complete &= journal.prefix.bytes == length;
        Ok(Kept::Good(journal))
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

    /// Records that are stored.
    pub(super) fn stored(&self) -> u64 {
        (self.prefix.records + self.beyond.len() as u64).saturating_sub(self.refused.len() as u64)
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
    pub(super) fn complete(&mut self, end: Mark) {
        debug_assert!(self.beyond.is_empty());
        // Blank lines may follow the last record.
        self.prefix = end;
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
    use super::super::records::Records;
    use super::super::records::tests::records;
    use super::*;

    const HOW: How = How { format: Shape::Tsv, hex: false, ttl_seconds: None };
    const TEXT: &[u8] = b"a\t0\nb\t1\nc\t2\nd\t3\ne\t4\nf\t5\n\n";

    fn after(index: u64) -> Mark {
        records(TEXT, Shape::Tsv).0[index as usize].end
    }

    /// A journal of records of [`TEXT`], kept beside it, and what becomes of it.
    struct Desk {
        dir: tempfile::TempDir,
    }

    impl Desk {
        fn new(journal: &Journal) -> Desk {
            let dir = tempfile::tempdir().expect("a temporary directory");
            journal.save(&dir.path().join("progress")).expect("written");
            Desk { dir }
        }

        fn find(&self, network: &str, how: &How, text: &[u8]) -> Kept {
            let file = self.dir.path().join("file");
            fs::write(&file, text).expect("written");
            Journal::find(&self.dir.path().join("progress"), network, how, &file, true).expect("well formed")
        }

        fn good(&self, text: &[u8]) -> Journal {
            match self.find("net", &HOW, text) {
                Kept::Good(journal) => journal,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn the_prefix_grows_when_its_gap_closes() {
        let mut journal = Journal::new("net".into(), HOW);
        for index in [1, 3, 0] {
            journal.settle(index, after(index));
        }
        assert_eq!((journal.prefix(), journal.beyond_count()), (after(1), 1));
        assert!(journal.is_settled(1) && !journal.is_settled(2) && journal.is_settled(3));
        assert_eq!(journal.stored(), 3);
        journal.settle(2, after(2));
        assert_eq!((journal.prefix(), journal.beyond_count()), (after(3), 0));
        journal.settle(2, after(2));
        assert_eq!(journal.beyond_count(), 0, "settling twice changes nothing");
    }

    #[test]
    fn a_journal_counts_only_for_its_network_and_for_what_is_stored_alike() {
        let mut journal = Journal::new("net".into(), HOW);
        journal.settle(0, after(0));
        let desk = Desk::new(&journal);
        assert_eq!(desk.good(TEXT), journal);
        let stale = |network: &str, how: How| match desk.find(network, &how, TEXT) {
            Kept::Stale(why) => why,
            other => panic!("{other:?}"),
        };
        assert!(stale("other", HOW).contains("network"));
        let change = |how| stale("net", how);
        assert_eq!(change(How { hex: true, ..HOW }), "--hex was not given and is given");
        assert_eq!(change(How { ttl_seconds: Some(5400), ..HOW }), "--ttl was not given and is 1h30m");
        assert_eq!(change(How { format: Shape::Ndjson, ..HOW }), "--format was tsv and is ndjson");

        let progress = desk.dir.path().join("progress");
        fs::write(&progress, b"{\"version\":1,\"source\":{}}").expect("written");
        assert!(change(HOW).contains("version"));
        fs::write(&progress, "{").expect("written");
        assert!(Journal::find(&progress, "net", &HOW, &desk.dir.path().join("file"), true).is_err());
        fs::remove_file(&progress).expect("removed");
        assert_eq!(desk.find("net", &HOW, TEXT), Kept::Nothing);
    }

    #[test]
    fn what_was_not_read_may_change() {
        let mut journal = Journal::new("net".into(), HOW);
        journal.settle(0, after(0));
        let refused = |index| Refused { line: index + 1, key: String::new(), why: String::new() };
        for index in [2, 4] {
            journal.refuse(index, after(index), refused(index));
        }
        let desk = Desk::new(&journal);
        let settled = |text: &[u8]| {
            let journal = desk.good(text);
            let settled = (0..6).filter(|index| journal.is_settled(*index)).collect::<Vec<_>>();
            (settled, journal.refused().len())
        };
        assert_eq!(settled(TEXT), (vec![0, 2, 4], 2));
        assert_eq!(settled(b"a\t0\nb\t1\nc\t2\nd\t3\ne\t4\nnew\t6\n"), (vec![0, 2, 4], 2));
        assert_eq!(settled(b"a\t0\nb\t1\nc\t2\nd\t3\n"), (vec![0, 2], 1));
        assert_eq!(settled(b"a\t0\nB\t1\nc\t2\nd\t3\ne\t4\n"), (vec![0], 0));
        assert!(matches!(desk.find("net", &HOW, b"A\t0\n"), Kept::Stale(_)));
    }

    #[test]
    fn a_journal_is_complete_until_the_file_grows() {
        let mut journal = Journal::new("net".into(), HOW);
        (0..6).for_each(|index| journal.settle(index, after(index)));
        // The blank line at the end is read, too.
        let end = last(TEXT);
        assert_eq!(end.bytes, TEXT.len() as u64);
        journal.complete(end);
        let desk = Desk::new(&journal);
        assert!(desk.good(TEXT).is_complete());
        let longer = desk.good(&[TEXT, b"g\t6\n"].concat());
        assert!(!longer.is_complete() && longer.prefix() == end && longer.stored() == 6);
    }

    /// The place after the last line of a text.
    fn last(text: &[u8]) -> Mark {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        fs::write(file.path(), text).expect("a temporary file");
        let mut records = Records::open(file.path(), Shape::Tsv, false, Mark::default()).expect("there");
        while records.next().expect("well formed").is_some() {}
        records.at()
    }
}
