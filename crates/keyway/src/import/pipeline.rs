//! A walk along a file with bounded concurrency: read a record, begin its work, take results as they come.
//!
//! ```text
//!              pace, concurrency, room
//!   Records ───────────▶ begin ───▶ tasks ───▶ end ───▶ stop?       every TICK: tick (progress, journal)
//! ```
//!
//! When something ends the walk early (Ctrl-C, a malformed line, a task that gave up) no more work is begun and what is
//! under way is waited for; a second Ctrl-C leaves at once.

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::pace::Pace;
use super::records::{Record, Records};
use crate::exit::{Exit, Failure};

/// Between two ticks.
const TICK: Duration = Duration::from_millis(500);

/// What is done with each record, and with each result.
pub(super) trait Work {
    /// What a record's work gives.
    type Result: Send + 'static;
    /// Begins the work on a record; nothing if there is none to do.
    fn begin(&mut self, record: Record) -> Option<impl Future<Output = Self::Result> + Send + 'static>;
    /// Takes a result; a break ends the walk.
    fn end(&mut self, result: Self::Result) -> ControlFlow<Failure>;
    /// Whether another record may be begun now. Must be so when no work is under way.
    fn room(&self) -> bool;
    /// A few times a second.
    fn tick(&mut self) -> Result<(), Failure>;
}

/// Walks to the end of `records`.
///
/// # Errors
/// What ended the walk early. Results that came before it and after it have all been taken.
pub(super) async fn run(
    records: &mut Records,
    concurrency: usize,
    mut pace: Pace,
    work: &mut impl Work,
) -> Result<(), Failure> {
    let mut tasks = JoinSet::new();
    let mut interrupts = signal(SignalKind::interrupt())
        .map_err(|error| Failure::new(Exit::Failure, format!("cannot listen for Ctrl-C: {error}")))?;
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut at_end = false;
    let mut stop: Option<Failure> = None;
    while !(tasks.is_empty() && (at_end || stop.is_some())) {
        let may_begin = !at_end && stop.is_none() && tasks.len() < concurrency && work.room();
        tokio::select! {
            biased;
            _ = interrupts.recv() => match stop {
                Some(failure) if failure.exit == Exit::Interrupted => return Err(failure),
                _ => stop = Some(Failure::new(Exit::Interrupted, "interrupted")),
            },
            Some(result) = tasks.join_next() => {
                let result = result.map_err(|e| Failure::new(Exit::Failure, format!("our own bug: {e}")))?;
                if let ControlFlow::Break(failure) = work.end(result) {
                    stop.get_or_insert(failure);
                }
            }
            _ = tick.tick() => {
                if let Err(failure) = work.tick() {
                    stop.get_or_insert(failure);
                }
            }
            () = pace.ready(), if may_begin => match records.next() {
                Ok(Some(record)) => {
                    if let Some(task) = work.begin(record) {
                        pace.take();
                        tasks.spawn(task);
                    }
                }
                Ok(None) => at_end = true,
                Err(failure) => stop = Some(failure),
            },
        }
    }
    stop.map_or(Ok(()), Err)
}
