//! The storage engine: records, notes and identity in one redb file, with failures that stay honest.
//!
//! ```text
//!   effects ──▶ write(batch): one transaction ──▶ commit ──▶ fsync ──▶ Written, Written, ...
//!                                 │ any failure
//!                                 ▼
//!               Failed for the whole batch; the database is given up, its backend cut off,
//!               and opened anew from the medium before anything else is acknowledged
//! ```
//!
//! Invariants:
//! 1. `Written` is answered only after the commit that holds the effect has returned, so after its fsync.
//! 2. Nothing is acknowledged from a database that has failed once: redb refuses further work itself (`PreviousIo`),
//!    and [`Fenced`] lets no byte of it through. An fsync is never repeated as if that helped (see [`super::medium`]).
//! 3. A file is opened again over a shadow ([`super::shadow`]), verified once. While it takes no writes it is open for reading only: changes fail with
//!    the reason, reads go on. Attempts are spaced by at least [`EngineConfig::reopen_pause`] and ten times what one took, and reads do not wait
//!    for them. A database that has written nothing before it failed counts as such an attempt. If the file cannot even be read, every effect fails.
//! 4. A panic of the storage library is a failure like any other; it does not end the thread.
//! 5. A disk that was full is trusted again only when a machine that probes it with its notes finds room for the greatest
//!    record beside them: small writes that fit a full disk must not end the machine's refusal of greater ones.
//!
//! Reads run beside a commit: each takes a snapshot, and the lock below is only taken exclusively for opening anew.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use keyway_core::id::{ID_BYTES, Id};
use keyway_core::machine::{DiskEffect, DiskError, DiskOp, DiskResult, DiskToken};
use keyway_core::store::record::VALUE_BYTES_MAX;
use keyway_core::store::{Identity, Record};
use redb::{
    Database, ReadableDatabase as _, ReadableTable as _, StorageBackend, Table, TableDefinition,
    WriteTransaction,
};

use super::ahead::Ahead;
use super::medium::{Fenced, Medium};
use super::rows::{self, RowKey};
use super::scan;
use super::shadow::{Shadow, Shared};
use crate::metrics::DiskMetrics;

/// Version of the file's layout. A file of another version is refused.
pub const FORMAT_VERSION: u8 = 2;
/// Heads per `Load` are cut to this.
pub const LOAD_HEADS_MAX: u32 = 4096;

pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
pub(super) const HEADS: TableDefinition<'_, RowKey, &[u8]> = TableDefinition::new("heads");
pub(super) const VALUES: TableDefinition<'_, RowKey, &[u8]> = TableDefinition::new("values");
const META_FORMAT: &str = "format";
pub(super) const META_ID: &str = "id";
const META_INCARNATION: &str = "incarnation";
pub(super) const META_NOTES: &str = "notes";
/// Filled and emptied to find out whether a disk that was full has room.
const META_ROOM: &str = "room";
/// The greatest record, and what stands beside it.
const ROOM_BYTES: usize = VALUE_BYTES_MAX + (64 << 10);

/// Longest time between two attempts, unless the least is longer.
const REOPEN_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Settings of an engine.
#[derive(Clone, Copy, Debug)]
pub struct EngineConfig {
    /// Memory that redb may use for pages.
    pub cache_bytes: usize,
    /// Least time between two attempts to use a failed file again.
    pub reopen_pause: Duration,
    /// So many times as long as an attempt took nothing is tried after it, a minute at most.
    pub reopen_factor: u32,
}

impl EngineConfig {
    /// How long nothing is tried after an attempt that took so long.
    fn pause_after(&self, attempt: Duration) -> Duration {
        attempt.saturating_mul(self.reopen_factor).min(REOPEN_PAUSE_MAX).max(self.reopen_pause)
    }
}

impl Default for EngineConfig {
    fn default() -> EngineConfig {
        EngineConfig { cache_bytes: 64 << 20, reopen_pause: Duration::from_millis(200), reopen_factor: 10 }
    }
}

/// Why a database file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The system's fault.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Another version wrote it.
    #[error("its format is version {found}, this program knows version {FORMAT_VERSION}")]
    Format {
        /// What stands in the file.
        found: u8,
    },
    /// It is not what redb or this crate wrote.
    #[error("the database is damaged: {0}")]
    Damaged(String),
}

/// Who a data directory belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Life {
    /// The node's id: drawn at the first start.
    pub id: Id,
    /// Grows with each start.
    pub incarnation: u64,
    /// Whether the node has left notes: it has been a member of a network.
    pub has_notes: bool,
}

/// Any failure of redb or of the system below it.
pub(super) type Failure = redb::Error;

/// A database, what it stands on, and how that is cut off.
type Opened<M> = (Database, Arc<SlotShadow<M>>, Arc<AtomicBool>);
type SlotShadow<M> = Shadow<<M as Medium>::Backend>;

struct Slot<M: Medium> {
    database: Option<Database>,
    /// What a database that was opened after a failure stands on.
    shadow: Option<Arc<SlotShadow<M>>>,
    /// The database is for reading only: nothing is written to it before its shadow has settled.
    only_reads: bool,
    cut: Arc<AtomicBool>,
    /// Counts the databases opened, so that of two threads that saw one fail only the first opens the next.
    generation: u64,
    why: DiskError,
    retry_at: Option<Instant>,
}

/// A storage engine over some medium. Shared by the thread that writes and the thread that reads.
pub struct Engine<M: Medium> {
    medium: M,
    config: EngineConfig,
    metrics: DiskMetrics,
    slot: RwLock<Slot<M>>,
    /// Something was written since the database was opened.
    has_written: AtomicBool,
    /// The last write that was told failed for want of room.
    was_full: AtomicBool,
    ahead: Ahead,
}

impl<M: Medium> Engine<M> {
    /// Opens or creates the database on `medium`.
    ///
    /// # Errors
    /// [`OpenError`]; the file is left as it is.
    pub fn open(medium: M, config: EngineConfig, metrics: DiskMetrics) -> Result<Engine<M>, OpenError> {
        let slot = Slot {
            database: None,
            shadow: None,
            only_reads: false,
            cut: Arc::default(),
            generation: 0,
            why: DiskError::Io,
            retry_at: None,
        };
        let engine = Engine {
            medium,
            config,
            metrics,
            slot: RwLock::new(slot),
            has_written: AtomicBool::new(true),
            was_full: AtomicBool::new(false),
            ahead: Ahead::default(),
        };
        {
            let mut slot = engine.exclusive();
            let (database, cut) = engine.database()?;
            check_format(&database)?;
            (slot.database, slot.cut) = (Some(database), cut);
        }
        Ok(engine)
    }

    /// The medium.
    pub fn medium(&self) -> &M {
        &self.medium
    }

    /// Begins a life of the node: `fresh` becomes its id if it has none yet, its incarnation grows by one, and both are
    /// durable when this returns.
    ///
    /// # Errors
    /// [`OpenError`]: the node must not start.
    pub fn begin_life(&self, fresh: Id) -> Result<Life, OpenError> {
        let slot = self.shared();
        let database = slot.database.as_ref().ok_or_else(|| io::Error::other("not open"))?;
        guarded(|| begin_life(database, fresh)).map_err(open_error)
    }

    /// Reads a database that no machine uses.
    pub(super) fn at_rest<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, Failure>,
    ) -> Result<T, OpenError> {
        let slot = self.shared();
        let database = slot.database.as_ref().ok_or_else(|| io::Error::other("not open"))?;
        guarded(|| work(database)).map_err(open_error)
    }

    /// Does a batch of `Write`, `Delete` and `WriteNotes` in one transaction and appends one result for each. Of two
    /// effects on one record the later wins. All or none are done; other effects are answered one by one.
    pub fn write(&self, batch: &[DiskEffect], done: &mut Vec<(DiskToken, DiskResult)>) {
        let started = Instant::now();
        let is_probe = self.was_full.load(Ordering::Acquire)
            && batch.iter().any(|effect| matches!(effect.op, DiskOp::WriteNotes(_)));
        let (generation, only_reads, outcome) = {
            let slot = self.working_for_changes();
            let outcome = match &slot.database {
                Some(database) if !slot.only_reads => guarded(|| {
                    if is_probe {
                        try_room(database)?;
                    }
                    commit_batch(database, batch)
                }),
                _ => Err(unopened(slot.why)),
            };
            (slot.generation, slot.only_reads, outcome)
        };
        // Planted: the answer does not wait for the commit's outcome.
        #[cfg(keyway_bug = "net_ack_before_fsync")]
        let outcome = outcome.or(Ok::<(), Failure>(()));
        let result = match outcome {
            Ok(()) => {
                self.has_written.store(true, Ordering::Release);
                self.metrics.commits.inc();
                self.metrics.effects.inc_by(batch.len() as u64);
                self.metrics.batch_effects.observe(batch.len() as f64);
                self.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
                if is_probe {
                    self.was_full.store(false, Ordering::Release);
                }
                DiskResult::Written
            }
            Err(failure) => {
                self.metrics.failures.inc_by(batch.len() as u64);
                let why = disk_error(&failure);
                if !only_reads {
                    self.reopen(generation, why, &failure);
                }
                self.was_full.fetch_or(why == DiskError::Full, Ordering::AcqRel);
                DiskResult::Failed(why)
            }
        };
        for effect in batch {
            let result = match effect.op {
                DiskOp::Write(_) | DiskOp::Delete(_) | DiskOp::WriteNotes(_) => result.clone(),
                DiskOp::Load { .. } | DiskOp::Read(_) => self.read(&effect.op),
            };
            done.push((effect.token, result));
        }
    }

    /// Does a `Load` or a `Read`. Sees everything that was answered `Written` before.
    pub fn read(&self, op: &DiskOp) -> DiskResult {
        let (generation, outcome) = {
            let slot = self.working();
            let outcome = match (&slot.database, op) {
                (None, _) => Err(unopened(slot.why)),
                (Some(database), DiskOp::Load { after, limit }) => {
                    guarded(|| load(database, after.as_ref(), *limit, &self.metrics))
                }
                (Some(database), DiskOp::Read(identity)) => {
                    guarded(|| read_record(database, identity, &self.metrics))
                }
                (Some(_), DiskOp::Write(_) | DiskOp::Delete(_) | DiskOp::WriteNotes(_)) => {
                    debug_assert!(false, "writes go through `write`");
                    Ok(DiskResult::Failed(DiskError::Io))
                }
            };
            (slot.generation, outcome)
        };
        outcome.unwrap_or_else(|failure| {
            self.metrics.failures.inc();
            let why = disk_error(&failure);
            self.reopen(generation, why, &failure);
            DiskResult::Failed(why)
        })
    }

    /// How the file is read ahead of a start.
    pub(super) fn ahead(&self) -> &Ahead {
        &self.ahead
    }

    /// Closes the database cleanly, so that the next start need not verify it. A failed one is only let go.
    pub fn close(&self) {
        let mut slot = self.exclusive();
        let database = slot.database.take();
        let _ = guarded(|| {
            drop(database);
            Ok(())
        });
    }

    /// The slot, after a due attempt to open a failed file anew.
    fn working(&self) -> RwLockReadGuard<'_, Slot<M>> {
        let slot = self.shared();
        let due = slot.retry_at.is_some_and(|at| at <= Instant::now());
        if slot.database.is_some() || !due {
            return slot;
        }
        drop(slot);
        let mut slot = self.exclusive();
        if slot.database.is_none() {
            self.fill(&mut slot);
        }
        drop(slot);
        self.shared()
    }

    /// The same for what changes the database: one that is for reading only is tried to be settled when that is due. Only one thread writes,
    /// and while it tries the other one reads: there is one database over the file, and it stays.
    fn working_for_changes(&self) -> RwLockReadGuard<'_, Slot<M>> {
        let slot = self.working();
        let due = slot.retry_at.is_none_or(|at| at <= Instant::now());
        let Some(shadow) = slot.shadow.as_ref().filter(|_| slot.only_reads && due).map(Arc::clone) else {
            return slot;
        };
        let (generation, began) = (slot.generation, Instant::now());
        // Kept: nobody gives the database up meanwhile.
        let settled = shadow.settle();
        drop(slot);
        let mut slot = self.exclusive();
        if slot.generation == generation && slot.database.is_some() {
            match settled {
                Ok(()) => {
                    (slot.only_reads, slot.retry_at) = (false, None);
                    tracing::debug!("the database takes writes again");
                }
                Err(error) => self.failed_to_settle(&mut slot, &error, began),
            }
        }
        drop(slot);
        self.shared()
    }

    /// Gives up the database that failed as `generation` and opens the next.
    fn reopen(&self, generation: u64, why: DiskError, failure: &Failure) {
        let mut slot = self.exclusive();
        if slot.generation != generation || slot.database.is_none() {
            return;
        }
        // Said once, not at each probe of a disk that stays full.
        if why == DiskError::Full && self.was_full.load(Ordering::Acquire) {
            tracing::debug!(%failure, "the disk is still full");
        } else {
            tracing::warn!(%failure, "the disk failed; opening the database anew");
        }
        slot.cut.store(true, Ordering::Release);
        let failed = slot.database.take();
        let _ = guarded(|| {
            drop(failed);
            Ok(())
        });
        (slot.generation, slot.why) = (generation + 1, why);
        self.fill(&mut slot);
    }

    /// Opens the file anew: verified once, over a shadow, which settles at once if the disk takes writes. Where the database before was opened in
    /// vain, it is tried only after a while.
    fn fill(&self, slot: &mut Slot<M>) {
        self.metrics.reopens.inc();
        let began = Instant::now();
        let in_vain = !self.has_written.swap(false, Ordering::AcqRel);
        let opened = self.database_over_shadow();
        let (database, shadow, cut) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                if let OpenError::Io(e) = &error {
                    slot.why = io_disk_error(e);
                }
                slot.retry_at = Some(self.next_try(began));
                tracing::warn!(%error, "the database cannot be opened");
                return;
            }
        };
        (slot.database, slot.cut, slot.shadow) = (Some(database), cut, Some(Arc::clone(&shadow)));
        (slot.only_reads, slot.retry_at) = (false, None);
        if in_vain {
            (slot.only_reads, slot.retry_at) = (true, Some(self.next_try(began)));
            tracing::debug!(
                "the database is open for reading only for a while: the one before has written nothing"
            );
        } else if let Err(error) = shadow.settle() {
            self.failed_to_settle(slot, &error, began);
            slot.only_reads = true;
            tracing::warn!("the database is open for reading only");
        } else {
            tracing::debug!("the database is open again");
        }
    }

    fn failed_to_settle(&self, slot: &mut Slot<M>, error: &io::Error, began: Instant) {
        slot.why = io_disk_error(error);
        slot.retry_at = Some(self.next_try(began));
        tracing::debug!(%error, "the disk takes no writes");
    }

    /// When a disk that failed is tried again: what takes long is tried seldom.
    fn next_try(&self, began: Instant) -> Instant {
        Instant::now() + self.config.pause_after(began.elapsed())
    }

    fn database(&self) -> Result<(Database, Arc<AtomicBool>), OpenError> {
        let cut = Arc::new(AtomicBool::new(false));
        let fenced = Fenced::new(self.medium.backend()?, Arc::clone(&cut), self.metrics.clone());
        let opened = self.ahead.while_opening(&self.medium, || self.database_over(fenced));
        if opened.is_err() {
            cut.store(true, Ordering::Release);
        }
        Ok((opened?, cut))
    }

    fn database_over_shadow(&self) -> Result<Opened<M>, OpenError> {
        let cut = Arc::new(AtomicBool::new(false));
        let shadow = Arc::new(Shadow::new(self.medium.backend()?)?);
        // A shadow that cannot settle is read all the same: the fence stands before it.
        let over = Fenced::new(Shared(Arc::clone(&shadow)), Arc::clone(&cut), self.metrics.clone());
        let database = self.ahead.while_opening(&self.medium, || self.database_over(over))?;
        Ok((database, shadow, cut))
    }

    fn database_over(&self, backend: impl StorageBackend) -> Result<Database, OpenError> {
        let opened = guarded(|| {
            let mut builder = Database::builder();
            builder.set_cache_size(self.config.cache_bytes);
            Ok(builder.create_with_backend(backend)?)
        });
        opened.map_err(open_error)
    }

    fn shared(&self) -> RwLockReadGuard<'_, Slot<M>> {
        self.slot.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn exclusive(&self) -> RwLockWriteGuard<'_, Slot<M>> {
        self.slot.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs `work` so that a panic of the storage library becomes a failure. What it may have left half done belongs to
/// the database, which is given up after any failure.
fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        Err(Failure::Corrupted(format!("the storage library panicked: {text}")))
    })
}

fn unopened(why: DiskError) -> Failure {
    Failure::Io(match why {
        DiskError::Full => io::ErrorKind::StorageFull.into(),
        DiskError::Io | DiskError::Damaged => io::Error::other("the database is not open"),
    })
}

fn io_disk_error(error: &io::Error) -> DiskError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            DiskError::Full
        }
        _ => DiskError::Io,
    }
}

fn disk_error(failure: &Failure) -> DiskError {
    match failure {
        Failure::Io(e) => io_disk_error(e),
        _ => DiskError::Io,
    }
}

fn open_error(failure: Failure) -> OpenError {
    match failure {
        Failure::Io(e) => OpenError::Io(e),
        other => OpenError::Damaged(other.to_string()),
    }
}

/// Refuses a file of another version. A new file has no version yet; it gets one with its first life.
fn check_format(database: &Database) -> Result<(), OpenError> {
    let found = guarded(|| {
        let tables = database.begin_read()?;
        match tables.open_table(META) {
            Ok(meta) => Ok(meta.get(META_FORMAT)?.map(|v| v.value().first().copied().unwrap_or(0))),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            Err(e) => Err(e.into()),
        }
    });
    match found.map_err(open_error)? {
        None | Some(FORMAT_VERSION) => Ok(()),
        Some(found) => Err(OpenError::Format { found }),
    }
}

fn begin_life(database: &Database, fresh: Id) -> Result<Life, Failure> {
    let transaction = database.begin_write()?;
    let life = {
        let mut meta = transaction.open_table(META)?;
        let stored =
            |meta: &Table<'_, &'static str, &'static [u8]>, name| -> Result<Option<Vec<u8>>, Failure> {
                Ok(meta.get(name)?.map(|v| v.value().to_vec()))
            };
        let id = match stored(&meta, META_ID)? {
            None => fresh,
            Some(bytes) => Id(<[u8; ID_BYTES]>::try_from(bytes.as_slice())
                .map_err(|_| Failure::Corrupted("the node's id is not 20 bytes".into()))?),
        };
        let incarnation = match stored(&meta, META_INCARNATION)? {
            None => 1,
            Some(bytes) => u64::from_be_bytes(
                <[u8; 8]>::try_from(bytes.as_slice())
                    .map_err(|_| Failure::Corrupted("the incarnation is not 8 bytes".into()))?,
            )
            .saturating_add(1),
        };
        let has_notes = stored(&meta, META_NOTES)?.is_some();
        meta.insert(META_FORMAT, &[FORMAT_VERSION][..])?;
        meta.insert(META_ID, &id.as_bytes()[..])?;
        meta.insert(META_INCARNATION, &incarnation.to_be_bytes()[..])?;
        transaction.open_table(HEADS)?;
        transaction.open_table(VALUES)?;
        Life { id, incarnation, has_notes }
    };
    transaction.commit()?;
    Ok(life)
}

fn commit_batch(database: &Database, batch: &[DiskEffect]) -> Result<(), Failure> {
    let transaction = database.begin_write()?;
    apply(&transaction, batch)?;
    transaction.commit()?;
    Ok(())
}

/// Writes as much as the greatest record needs, and takes it away again. What a crash leaves of it is one row that the
/// next trial replaces.
fn try_room(database: &Database) -> Result<(), Failure> {
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert(META_ROOM, vec![0; ROOM_BYTES].as_slice())?;
    transaction.commit()?;
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.remove(META_ROOM)?;
    transaction.commit()?;
    Ok(())
}

/// Applies the batch in order of identity: neighbours in the tree are touched together. The sort is stable, so that
/// effects on one record keep their order.
fn apply(transaction: &WriteTransaction, batch: &[DiskEffect]) -> Result<(), Failure> {
    let mut order: Vec<(RowKey, &DiskOp)> = Vec::with_capacity(batch.len());
    let mut notes = None;
    for effect in batch {
        match &effect.op {
            DiskOp::Write(record) => order.push((rows::row_key(&record.head.identity), &effect.op)),
            DiskOp::Delete(identity) => order.push((rows::row_key(identity), &effect.op)),
            DiskOp::WriteNotes(bytes) => notes = Some(bytes),
            DiskOp::Load { .. } | DiskOp::Read(_) => {}
        }
    }
    order.sort_by_key(|(key, _)| *key);
    if let Some(notes) = notes {
        transaction.open_table(META)?.insert(META_NOTES, notes.as_slice())?;
    }
    if order.is_empty() {
        return Ok(());
    }
    let mut heads = transaction.open_table(HEADS)?;
    let mut values: Option<Table<'_, RowKey, &'static [u8]>> = None;
    let mut row = Vec::new();
    for (key, op) in order {
        let (was_apart, is_apart) = match op {
            DiskOp::Write(record) => {
                let apart = rows::encode_head(record, &key, &mut row);
                let old = heads.insert(key, row.as_slice())?;
                (old.is_some_and(|old| rows::may_be_apart(old.value())), apart.then_some(record))
            }
            _ => (heads.remove(key)?.is_some_and(|old| rows::may_be_apart(old.value())), None),
        };
        if !was_apart && is_apart.is_none() {
            continue;
        }
        let values = match &mut values {
            Some(values) => values,
            None => values.insert(transaction.open_table(VALUES)?),
        };
        write_value(values, &key, is_apart, &mut row)?;
    }
    Ok(())
}

fn write_value(
    values: &mut Table<'_, RowKey, &'static [u8]>,
    key: &RowKey,
    record: Option<&Record>,
    row: &mut Vec<u8>,
) -> Result<(), Failure> {
    match record {
        Some(record) => {
            rows::encode_value(&record.value, key, row);
            values.insert(*key, row.as_slice())?;
        }
        None => {
            values.remove(*key)?;
        }
    }
    Ok(())
}

/// Heads after `after`. A damaged row is left out: the node does not know of the record any more, and its replicas
/// will restore it.
fn load(
    database: &Database,
    after: Option<&Identity>,
    limit: u32,
    metrics: &DiskMetrics,
) -> Result<DiskResult, Failure> {
    let transaction = database.begin_read()?;
    let notes = transaction.open_table(META)?.get(META_NOTES)?.map(|v| v.value().to_vec());
    let page = scan::page(&transaction, after, limit.min(LOAD_HEADS_MAX) as usize)?;
    (0..page.damaged).for_each(|_| note_damage(metrics, "heads"));
    Ok(DiskResult::Loaded { notes, heads: page.heads, more: page.more })
}

fn read_record(
    database: &Database,
    identity: &Identity,
    metrics: &DiskMetrics,
) -> Result<DiskResult, Failure> {
    let transaction = database.begin_read()?;
    let key = rows::row_key(identity);
    let Some(row) = transaction.open_table(HEADS)?.get(key)? else {
        return Ok(DiskResult::Record(None));
    };
    let damaged = || {
        note_damage(metrics, "records");
        Ok(DiskResult::Failed(DiskError::Damaged))
    };
    let head = match rows::decode_head(&key, row.value()) {
        Err(rows::Damaged) => return damaged(),
        Ok((head, Some(value))) => {
            return Ok(DiskResult::Record(Some(Record { head, value: value.to_vec() })));
        }
        Ok((head, None)) => head,
    };
    let Some(row) = transaction.open_table(VALUES)?.get(key)? else {
        return damaged();
    };
    match rows::decode_value(&head, &key, row.value()) {
        Ok(value) => Ok(DiskResult::Record(Some(Record { head, value: value.to_vec() }))),
        Err(rows::Damaged) => damaged(),
    }
}

fn note_damage(metrics: &DiskMetrics, table: &'static str) {
    metrics.damaged_rows.inc();
    tracing::warn!(table, "a damaged row was found; its record is not served");
}

/// A check that a failure of redb carries what the system said.
#[cfg(test)]
mod tests {
    use super::*;
    use redb::StorageError;

    #[test]
    fn what_takes_long_is_tried_seldom_and_at_least_each_minute() {
        let config = EngineConfig::default();
        let pause = |ms| config.pause_after(Duration::from_millis(ms)).as_millis();
        assert_eq!(
            [0, 1, 20, 30, 5_000, 6_001, 1 << 40].map(pause),
            [200, 200, 200, 300, 50_000, 60_000, 60_000]
        );
    }

    #[test]
    fn a_full_disk_is_told_apart() {
        let full = Failure::from(StorageError::from(io::Error::from_raw_os_error(28)));
        assert_eq!(disk_error(&full), DiskError::Full);
        let broken = Failure::from(StorageError::from(io::Error::from_raw_os_error(5)));
        assert_eq!(disk_error(&broken), DiskError::Io);
        assert_eq!(disk_error(&Failure::PreviousIo), DiskError::Io);
    }

    #[test]
    fn a_panic_below_is_a_failure() {
        let outcome: Result<(), Failure> = guarded(|| panic!("from below"));
        assert!(outcome.is_err_and(|e| e.to_string().contains("from below")));
    }
}
