//! Two threads between the driver and the engine: one commits in groups, one reads.
//!
//! ```text
//!   driver ── Write, Delete, WriteNotes ──▶ write lane ──▶ [ take all that waits | one commit, one fsync ] ──┐
//!          ── Load, Read ─────────────────▶ read lane  ──▶ [ snapshot reads, beside the commit ] ────────────┤
//!          ◀── results, one wake-up for many ◀───────────────────────────────────────────────────────────────┘
//! ```
//!
//! While a commit runs, the next batch gathers: under load the batches grow and the fsyncs per record fall, and a lone
//! write waits for nothing. A batch is bounded in count and bytes. Lanes are first in, first out. A read does not wait
//! for writes that were asked for before it; it sees those that have been *answered*.
//!
//! The lanes themselves are bounded by the driver, which takes no more from outside while [`DISK_QUEUE_MAX`] effects
//! wait, so that a queue exceeds that by what one batch of inputs can ask for.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use keyway_core::machine::{DiskEffect, DiskOp, DiskResult, DiskToken};
use tokio::sync::Notify;

use super::engine::Engine;
use super::medium::Medium;
use crate::metrics::DiskMetrics;

/// Effects waiting for the disk above which the driver takes nothing more from outside.
pub const DISK_QUEUE_MAX: usize = 16_384;
/// Effects in one commit.
pub const BATCH_EFFECTS_MAX: usize = 1_024;
/// Bytes of values in one commit; a single greater one goes alone.
pub const BATCH_BYTES_MAX: usize = 8 << 20;
/// Reads taken at once.
const READS_MAX: usize = 64;

#[derive(Debug, Default)]
struct Lane {
    waiting: Mutex<Waiting>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    effects: VecDeque<DiskEffect>,
    closed: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lane {
    fn push(&self, effects: &mut Vec<DiskEffect>) {
        if !effects.is_empty() {
            locked(&self.waiting).effects.extend(effects.drain(..));
            self.filled.notify_one();
        }
    }

    fn close(&self) {
        locked(&self.waiting).closed = true;
        self.filled.notify_all();
    }

    /// Waits for effects and moves the next batch to `batch`; false once closed and empty.
    fn take(&self, batch: &mut Vec<DiskEffect>, count_max: usize, bytes_max: usize) -> bool {
        let mut waiting = locked(&self.waiting);
        while waiting.effects.is_empty() {
            if waiting.closed {
                return false;
            }
            waiting = self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        let mut bytes = 0;
        while batch.len() < count_max {
            let Some(next) = waiting.effects.front() else { break };
            bytes += effect_bytes(next);
            if bytes > bytes_max && !batch.is_empty() {
                break;
            }
            batch.extend(waiting.effects.pop_front());
        }
        true
    }
}

fn effect_bytes(effect: &DiskEffect) -> usize {
    match &effect.op {
        DiskOp::Write(record) => record.value.len(),
        DiskOp::WriteNotes(notes) => notes.len(),
        DiskOp::Load { .. } | DiskOp::Delete(_) | DiskOp::Read(_) => 0,
    }
}

#[derive(Debug, Default)]
struct Results {
    done: Mutex<Vec<(DiskToken, DiskResult)>>,
    ready: Notify,
}

/// The driver's end of both lanes.
#[derive(Debug)]
pub(super) struct Lanes {
    writes: Arc<Lane>,
    reads: Arc<Lane>,
    results: Arc<Results>,
    threads: Vec<JoinHandle<()>>,
    split: Vec<DiskEffect>,
    waiting_count: usize,
    metrics: DiskMetrics,
}

impl Lanes {
    /// Starts both threads over `engine`.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start<M: Medium>(engine: Engine<M>, metrics: DiskMetrics) -> std::io::Result<Lanes> {
        let (engine, writes, reads) = (Arc::new(engine), Arc::<Lane>::default(), Arc::<Lane>::default());
        let results = Arc::<Results>::default();
        let mut lanes = Lanes {
            writes: Arc::clone(&writes),
            reads: Arc::clone(&reads),
            results: Arc::clone(&results),
            threads: Vec::new(),
            split: Vec::new(),
            waiting_count: 0,
            metrics,
        };
        let (writer, write_results) = (Arc::clone(&engine), Arc::clone(&results));
        lanes.thread("keyway-commit", move || {
            let (mut batch, mut done) = (Vec::new(), Vec::new());
            while writes.take(&mut batch, BATCH_EFFECTS_MAX, BATCH_BYTES_MAX) {
                writer.write(&batch, &mut done);
                batch.clear();
                write_results.deliver(&mut done);
            }
        })?;
        lanes.thread("keyway-read", move || {
            std::thread::scope(|scope| {
                let (mut batch, mut done) = (Vec::new(), Vec::new());
                while reads.take(&mut batch, READS_MAX, usize::MAX) {
                    for effect in batch.drain(..) {
                        let result = engine.read(&effect.op);
                        if engine.ahead().follow(&effect.op, &result) {
                            let work = || engine.ahead().before_the_walk(engine.medium());
                            // Where the system gives no thread the start only takes longer.
                            let _ = Builder::new().name("keyway-ahead".into()).spawn_scoped(scope, work);
                        }
                        done.push((effect.token, result));
                    }
                    results.deliver(&mut done);
                }
                engine.ahead().end();
            });
        })?;
        Ok(lanes)
    }

    fn thread(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        self.threads.push(Builder::new().name(name.into()).spawn(run)?);
        Ok(())
    }

    /// Queues effects, leaving `effects` empty.
    pub(super) fn submit(&mut self, effects: &mut Vec<DiskEffect>) {
        self.waiting_count += effects.len();
        self.metrics.queued.set(self.waiting_count as i64);
        self.split.extend(effects.extract_if(.., |e| matches!(e.op, DiskOp::Load { .. } | DiskOp::Read(_))));
        self.reads.push(&mut self.split);
        self.writes.push(effects);
    }

    /// Moves ended effects to `done`.
    pub(super) fn take_done(&mut self, done: &mut Vec<(DiskToken, DiskResult)>) {
        let before = done.len();
        done.append(&mut locked(&self.results.done));
        self.waiting_count -= done.len() - before;
        self.metrics.queued.set(self.waiting_count as i64);
    }

    /// Effects that have not been answered yet.
    pub(super) fn waiting_count(&self) -> usize {
        self.waiting_count
    }

    /// Until something has ended.
    pub(super) async fn ready(&self) {
        self.results.ready.notified().await;
    }

    /// Does what is queued, ends both threads and closes the engine. Blocks.
    pub(super) fn close(mut self) {
        self.writes.close();
        self.reads.close();
        for thread in self.threads.drain(..) {
            // A panicked thread has nothing more to say; the engine catches those of the storage library.
            let _ = thread.join();
        }
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.writes.close();
        self.reads.close();
    }
}

impl Results {
    fn deliver(&self, done: &mut Vec<(DiskToken, DiskResult)>) {
        if !done.is_empty() {
            locked(&self.done).append(done);
            self.ready.notify_one();
        }
    }
}
