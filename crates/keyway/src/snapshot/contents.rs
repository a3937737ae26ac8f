//! A snapshot's file, read record by record: what is damaged is passed over, counted and named.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use keyway_core::store::Record;
use keyway_core::store::snapshot::{End, Found, Header, NoSnapshot, Unpacker};
use serde::Serialize;
use tokio::task::yield_now;

use crate::exit::{Exit, Failure};
use crate::output::{Output, plural, thousands};

/// Read from the file at once.
const CHUNK_BYTES: usize = 256 << 10;
/// Damaged places that are named on the terminal.
const NAMED_MAX: u64 = 20;

/// What a file turned out to hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub(crate) struct Tally {
    /// Sound records, removals included.
    pub(crate) records: u64,
    /// Of them removals.
    pub(crate) removals: u64,
    /// Places with bytes that are not what was written.
    pub(crate) damaged: u64,
    /// Those bytes.
    pub(crate) damaged_bytes: u64,
    /// Records that were written and are not there; unknown of a file that was cut.
    pub(crate) missing: Option<u64>,
}

/// A snapshot's file under way.
pub(crate) struct Contents {
    file: File,
    name: String,
    bytes: u64,
    output: Output,
    unpacker: Unpacker,
    chunk: Vec<u8>,
    closed: bool,
    header: Header,
    end: Option<End>,
    /// What was found so far.
    pub(crate) tally: Tally,
}

impl Contents {
    /// Opens the file and reads its header.
    pub(crate) fn open(path: &Path, output: Output) -> Result<Contents, Failure> {
        let name = path.display().to_string();
        let cannot = |error| Failure::new(Exit::Usage, format!("cannot read {name}: {error}"));
        let mut file = File::open(path).map_err(cannot)?;
        let bytes = file.metadata().map_err(cannot)?.len();
        let (mut unpacker, mut chunk, mut closed) = (Unpacker::new(), vec![0; CHUNK_BYTES], false);
        let header = loop {
            if let Some(header) = unpacker.open().map_err(|why| foreign(&name, why))? {
                break header.clone();
            }
            fill(&mut file, &mut unpacker, &mut chunk, &mut closed).map_err(cannot)?;
        };
        let (end, tally) = (None, Tally::default());
        Ok(Contents { file, name, bytes, output, unpacker, chunk, closed, header, end, tally })
    }

    /// Whose it is.
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// The file's length.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How far it has been read.
    pub(crate) fn offset(&self) -> u64 {
        self.unpacker.offset()
    }

    /// The next sound record; nothing at the end. Gives way after each piece of the file, so that Ctrl-C is heard however long it is and
    /// however much of it is damaged.
    pub(crate) async fn next(&mut self) -> Result<Option<Record>, Failure> {
        loop {
            match self.unpacker.step().map_err(|why| foreign(&self.name, why))? {
                Some(Found::Record(record)) => {
                    self.tally.records += 1;
                    self.tally.removals += u64::from(record.head.kind.is_remove());
                    return Ok(Some(record));
                }
                Some(Found::Damaged { offset, bytes }) => self.damaged(offset, bytes),
                Some(Found::End(end)) => self.end = Some(end),
                None if self.closed => {
                    self.tally.missing = self.end.map(|end| end.records.saturating_sub(self.tally.records));
                    return Ok(None);
                }
                None => {
                    let filled = fill(&mut self.file, &mut self.unpacker, &mut self.chunk, &mut self.closed);
                    filled.map_err(|error| {
                        Failure::new(Exit::Failure, format!("cannot read {}: {error}", self.name))
                    })?;
                    yield_now().await;
                }
            }
        }
    }

    /// After the end: what is wrong with the file, if something is.
    pub(crate) fn complaint(&self) -> Option<String> {
        let Tally { records, damaged, missing, .. } = self.tally;
        let read = format!("{} {} of it", thousands(records), plural(records, "record", "records"));
        match missing {
            None => Some(format!("{} was cut: it has no end; {read} could be read", self.name)),
            Some(0) if damaged == 0 => None,
            Some(missing) => {
                let count = thousands(missing);
                Some(format!("{} is damaged: {count} records are lost, {read} could be read", self.name))
            }
        }
    }

    /// Records that the node itself could not read when it was taken.
    pub(crate) fn unread(&self) -> u64 {
        self.end.map_or(0, |end| end.unread)
    }

    fn damaged(&mut self, offset: u64, bytes: u64) {
        self.tally.damaged += 1;
        self.tally.damaged_bytes += bytes;
        if self.tally.damaged <= NAMED_MAX {
            self.output.note(format!("damaged: {bytes} bytes from byte {offset} on are passed over"));
        }
    }
}

/// Reads on; says when there is nothing more.
fn fill(file: &mut File, unpacker: &mut Unpacker, chunk: &mut [u8], closed: &mut bool) -> io::Result<()> {
    let read = file.read(chunk)?;
    unpacker.feed(&chunk[..read]);
    if read == 0 {
        *closed = true;
        unpacker.close();
    }
    Ok(())
}

fn foreign(name: &str, why: NoSnapshot) -> Failure {
    let failure = Failure::new(Exit::Invalid, format!("{name} is no snapshot: {why}"));
    match why {
        NoSnapshot::Foreign => {
            failure.hint("`keyway snapshot FILE` makes one; `keyway import` reads TSV and NDJSON")
        }
        NoSnapshot::Version(_) => failure.hint("use the program that wrote it"),
        _ => {
            failure.hint("is there another copy of it? what stands behind a damaged header cannot be checked")
        }
    }
}
