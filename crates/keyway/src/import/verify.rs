//! Reading every record of a file back, by a quorum, and comparing it byte for byte.

use std::ops::ControlFlow;
use std::time::Duration;

use keyway_client::{Client, ClientError, GetOptions};
use serde::Serialize;
use tokio::time::sleep;

use super::load::{TRIES_MAX, pause_after};
use super::pipeline::Work;
use super::records::Record;
use crate::exit::Failure;
use crate::output::harmless;
use crate::progress::Progress;

/// Pause after the first try of a record; doubles with each, up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(250);
/// Greatest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Records that are named on the terminal because they are not as they should be.
const NAMED_MAX: u64 = 20;
/// Pages that are searched for one record's value under its key.
const PAGES_MAX: u32 = 1_000;

/// What reading back found, in records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub(super) struct Tally {
    /// Compared.
    pub(super) records: u64,
    /// There, byte for byte.
    pub(super) equal: u64,
    /// Their key has no value.
    pub(super) missing: u64,
    /// Their key has values, none of them theirs.
    pub(super) different: u64,
    /// Not answered for in time.
    pub(super) unread: u64,
}

/// How one record's comparison ended.
pub(super) enum Verdict {
    Equal,
    Missing,
    Different,
    Unread(ClientError),
}

/// A comparison's end.
pub(super) struct Compared {
    line: u64,
    name: String,
    bytes: u64,
    verdict: Verdict,
}

/// The state of reading back.
pub(super) struct Verify {
    clients: Vec<Client>,
    progress: Progress,
    /// The furthest place that was reached.
    bytes: u64,
    named: u64,
    /// What was found so far.
    pub(super) tally: Tally,
}

impl Verify {
    /// Reads back through `clients` in turn.
    pub(super) fn new(clients: Vec<Client>, progress: Progress) -> Verify {
        Verify { clients, progress, bytes: 0, named: 0, tally: Tally::default() }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.progress.end();
    }

    fn name(&mut self, compared: &Compared, what: &str) {
        self.named += 1;
        if self.named <= NAMED_MAX {
            self.progress.note(format!("{what}: line {}, key {}", compared.line, harmless(&compared.name)));
        }
    }
}

impl Work for Verify {
    type Result = Compared;

    fn begin(&mut self, record: Record) -> Option<impl Future<Output = Compared> + Send + 'static> {
        let client = self.clients[record.index as usize % self.clients.len()].clone();
        Some(compare(client, record))
    }

    fn end(&mut self, compared: Compared) -> ControlFlow<Failure> {
        self.progress.count();
        self.tally.records += 1;
        self.bytes = self.bytes.max(compared.bytes);
        match &compared.verdict {
            Verdict::Equal => self.tally.equal += 1,
            Verdict::Missing => {
                self.tally.missing += 1;
                self.name(&compared, "missing");
            }
            Verdict::Different => {
                self.tally.different += 1;
                self.name(&compared, "different");
            }
            Verdict::Unread(error) => {
                self.tally.unread += 1;
                self.name(&compared, &format!("not read ({error})"));
            }
        }
        ControlFlow::Continue(())
    }

    fn room(&self) -> bool {
        true
    }

    fn tick(&mut self) -> Result<(), Failure> {
        self.progress.show(self.bytes);
        Ok(())
    }
}

async fn compare(client: Client, record: Record) -> Compared {
    let mut pause = PAUSE;
    let mut tries = 0;
    let verdict = loop {
        tries += 1;
        match look(&client, &record).await {
            Ok(verdict) => break verdict,
            Err(error) if tries == TRIES_MAX => break Verdict::Unread(error),
            Err(error) => {
                sleep(pause_after(&error, pause)).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    };
    Compared { line: record.line, name: record.name, bytes: record.end.bytes, verdict }
}

/// Searches the values under the record's key, page by page.
async fn look(client: &Client, record: &Record) -> Result<Verdict, ClientError> {
    let mut options = GetOptions::default();
    let mut some = false;
    for _ in 0..PAGES_MAX {
        let page = client.get(&record.key, &options).await?;
        if page.values.iter().any(|value| value.bytes == record.value) {
            return Ok(Verdict::Equal);
        }
        some |= !page.values.is_empty();
        match page.next {
            Some(next) if !page.values.is_empty() => options.after = Some(next),
            _ => break,
        }
    }
    Ok(if some { Verdict::Different } else { Verdict::Missing })
}
