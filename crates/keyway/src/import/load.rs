//! Putting the records of a file: each is repeated until it is acknowledged, refused for good, or given up.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use keyway_client::{Client, ClientError};
use tokio::time::sleep;

use super::journal::{Journal, REFUSED_MAX, Refused};
use super::pipeline::Work;
use super::records::{Mark, Record};
use crate::duration::Span;
use crate::exit::{Exit, Failure};
use crate::output::harmless;
use crate::progress::Progress;

/// Times that a record is put, each with the client's own fail-over inside.
pub(super) const TRIES_MAX: u32 = 8;
/// Pause after the first try; doubles with each, up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(250);
/// Greatest pause between two tries, unless the gateway said when to come back: then as long as it said, up to [`TOLD_MAX`].
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Longest pause that a gateway may ask for.
const TOLD_MAX: Duration = Duration::from_secs(60);
/// Records that may be settled beyond one that is not, per record under way. Bounds the journal.
const WINDOW_PER_TASK: u64 = 64;
/// Refused records that are named on the terminal.
const REFUSED_SHOWN: usize = 20;
/// Between two writes of the journal.
const SAVE_EVERY: Duration = Duration::from_secs(1);

/// How one record's put ended.
pub(super) enum Outcome {
    /// It is as durable as the network promises.
    Acknowledged,
    /// It will not be taken, however often it is put.
    Refused(ClientError),
    /// It was not acknowledged in [`TRIES_MAX`] tries.
    GaveUp(ClientError),
}

/// A put's end.
pub(super) struct Ended {
    index: u64,
    line: u64,
    name: String,
    end: Mark,
    outcome: Outcome,
    tries: u32,
    took: Duration,
}

/// The state of a load.
pub(super) struct Load<'a> {
    clients: Vec<Client>,
    ttl: Option<Span>,
    window: u64,
    /// Records up to this one have been looked at: begun, or found settled.
    looked_at: u64,
    journal: &'a mut Journal,
    state: &'a Path,
    saved: Instant,
    progress: Progress,
    /// Puts beyond the first of a record.
    pub(super) repeats: u64,
    /// The slowest record, with its repeats.
    pub(super) slowest: Duration,
}

impl<'a> Load<'a> {
    /// A load through `clients` in turn.
    pub(super) fn new(
        clients: Vec<Client>,
        ttl: Option<Span>,
        concurrency: usize,
        journal: &'a mut Journal,
        state: &'a Path,
        progress: Progress,
    ) -> Load<'a> {
        Load {
            clients,
            ttl,
            window: concurrency as u64 * WINDOW_PER_TASK,
            looked_at: journal.prefix().records,
            journal,
            state,
            saved: Instant::now(),
            progress,
            repeats: 0,
            slowest: Duration::ZERO,
        }
    }

    /// Saves the journal and takes the bar away, whatever the end was.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        self.progress.end();
        self.journal.save(self.state)
    }

    /// Records acknowledged or refused in this run, and their rate.
    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    fn refused(&mut self, ended: Ended, error: &ClientError) -> ControlFlow<Failure> {
        let (line, why) = (ended.line, error.to_string());
        let name = harmless(&ended.name);
        if self.journal.refused().len() < REFUSED_SHOWN {
            self.progress.note(format!("refused: line {line}, key {name}: {why}"));
        }
        if self.journal.refused().len() >= REFUSED_MAX {
            let message =
                format!("more than {REFUSED_MAX} records are refused, the last at line {line}: {why}");
            return ControlFlow::Break(Failure::new(Exit::Refused, message));
        }
        self.journal.refuse(ended.index, ended.end, Refused { line, key: ended.name, why });
        ControlFlow::Continue(())
    }
}

impl Work for Load<'_> {
    type Result = Ended;

    fn begin(&mut self, record: Record) -> Option<impl Future<Output = Ended> + Send + 'static> {
        self.looked_at = record.index + 1;
        if self.journal.is_settled(record.index) {
            return None;
        }
        // Gateways take turns; each client has the others to fail over to.
        let client = self.clients[record.index as usize % self.clients.len()].clone();
        let ttl = record.ttl.or(self.ttl).map(Into::into);
        Some(put(client, record, ttl))
    }

    fn end(&mut self, ended: Ended) -> ControlFlow<Failure> {
        self.repeats += u64::from(ended.tries - 1);
        self.slowest = self.slowest.max(ended.took);
        self.progress.count();
        match &ended.outcome {
            Outcome::Acknowledged => self.journal.settle(ended.index, ended.end),
            Outcome::Refused(error) => {
                let error = error.clone();
                return self.refused(ended, &error);
            }
            Outcome::GaveUp(error) => {
                let mut failure = Failure::from(error.clone());
                let name = harmless(&ended.name);
                failure.message = format!(
                    "line {}, key {name}, was not acknowledged in {} tries: {error}",
                    ended.line, ended.tries
                );
                return ControlFlow::Break(failure);
            }
        }
        ControlFlow::Continue(())
    }

    fn room(&self) -> bool {
        self.looked_at < self.journal.prefix().records + self.window
    }

    fn tick(&mut self) -> Result<(), Failure> {
        self.progress.show(self.journal.prefix().bytes);
        if self.saved.elapsed() >= SAVE_EVERY {
            self.journal.save(self.state)?;
            self.saved = Instant::now();
        }
        Ok(())
    }
}

async fn put(client: Client, record: Record, ttl: Option<Duration>) -> Ended {
    let Record { index, line, name, key, value, end, .. } = record;
    let began = Instant::now();
    let mut pause = PAUSE;
    let mut tries = 0;
    let outcome = loop {
        tries += 1;
        match client.put(&key, value.clone(), ttl).await {
            Ok(_) => break Outcome::Acknowledged,
            Err(error) if is_final(&error) => break Outcome::Refused(error),
            Err(error) if tries == TRIES_MAX => break Outcome::GaveUp(error),
            Err(error) => {
                sleep(pause_after(&error, pause)).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    };
    Ended { index, line, name, end, outcome, tries, took: began.elapsed() }
}

/// How long to wait after a try: as the gateway said, if that is longer.
pub(super) fn pause_after(error: &ClientError, pause: Duration) -> Duration {
    pause.max(error.retry_after().unwrap_or_default().min(TOLD_MAX))
}

/// Whether the same put will meet the same refusal, whatever happens to the network.
fn is_final(error: &ClientError) -> bool {
    match error {
        ClientError::Refused { code, .. } => matches!(code.as_str(), "too_large" | "bad_ttl" | "bad_request"),
        ClientError::Usage(_) => true,
        _ => false,
    }
}
