//! The store: which records this node keeps, how copies merge, until when. Disk is an effect (see `machine`).
//!
//! Heads are in memory, values on disk. The index changes only when the disk has confirmed a change, so that what the
//! index, its digests and its answers say is what a restart would find:
//!
//! ```text
//!   put ──▶ refused?  held?  ──▶ DiskOp::Write ─ ─ ─ ▶ DiskDone(Written) ──▶ index, digest ──▶ StoreEvent::Put(Ok)
//!                                                      DiskDone(Failed)  ──▶ halt ──▶ StoreEvent::Put(Halted)
//!   read ─▶ cached? ──────────▶ DiskOp::Read ─ ─ ─ ─ ▶ DiskDone(Record)  ──▶ intact? ──▶ StoreEvent::Read
//!   expire, forget ───────────▶ DiskOp::Delete ─ ─ ─ ▶ DiskDone(Written) ──▶ index, digest
//! ```
//!
//! Invariants:
//! * *Acknowledged means kept*: a put is answered `Ok` only after `Written` of that very record or of a greater one of
//!   its identity.
//! * One write or deletion under way per identity ([`writes`]); the disk ends with the greatest rank in whatever order
//!   the driver works.
//! * Copies merge to the greater by [`Head::rank`]. A record whose life is over does not take part any more.
//! * A record whose life is over is never listed by [`Store::heads`], and a value that does not match its hash never leaves.
//! * After a failed write nothing is acknowledged until a [`Store::probe`] succeeds; reads go on.
//!
//! The record and its order of merging: [`record`]; on disk, on the wire and between replicas: `docs/storage.md`.

mod admission;
mod cache;
mod client;
mod digest;
mod disk;
mod expiry;
pub mod fair;
mod index;
mod notes;
mod order;
pub mod proof;
pub mod record;
mod refusal;
pub mod snapshot;
mod writes;

#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;

use crate::id::{Id, NetworkId};
use crate::keyspace::Arc;
use crate::machine::{DiskEffect, DiskOp, DiskToken, Halt};
use crate::overlay::Violation;
use crate::time::{Duration, Wall};

pub use admission::{Room, SHARED_PERCENT, Share, put_bytes_max};
pub use client::ClientId;
pub use digest::Digest;
pub use index::SPLIT_MAX;
pub use proof::{PROOF_BYTES, Proof};
pub use record::{Cursor, Head, Identity, Kind, Record};
pub use refusal::Refusal;

use admission::{Admission, Offer};
use cache::Cache;
use index::{Index, cost_bytes};
use notes::Notes;
use order::{InOrder, is_served};
use writes::{Doing, Writes};

/// Shortest life that a record may be given.
pub const TTL_MIN: Duration = Duration::from_secs(1);
/// Heads per page while the disk is read at the start.
pub const LOAD_PAGE: u32 = 4096;
/// Deletions begun at once while the disk is full: enough to make room, few enough to fail cheaply.
const DELETES_WHILE_FULL_MAX: usize = 16;

/// Bounds of a store.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Greatest value taken, in bytes.
    pub value_bytes_max: u32,
    /// Greatest life given.
    pub ttl_max: Duration,
    /// Bound on what is kept: values, and [`record::HEAD_BYTES`] for each record. Writes under way count.
    pub store_bytes_max: u64,
    /// How far ahead of this node's clock a put time may lie.
    pub skew_max: Duration,
    /// Bound on the memory of the values read lately.
    pub cache_bytes_max: usize,
    /// Bound on identities being written or deleted at once, on puts that wait, and on reads under way.
    pub writes_inflight_max: usize,
}

/// What became of a put at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Put {
    /// This record or a greater one of its identity is durable here already.
    Held,
    /// It is being written; the waiter will be told by [`StoreEvent::Put`].
    Writing,
    /// There is no room for it yet: it will be written in about so long. The waiter will not be told.
    Waiting(Duration),
    /// It is not taken; nothing was stored.
    Refused(Refusal),
}

/// What became of a read at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Read {
    /// Here it is.
    Cached(Record),
    /// The waiter will be told by [`StoreEvent::Read`].
    Reading,
    /// There is no such record, or too many reads are under way.
    Missing,
}

/// What a disk result led to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StoreEvent<W> {
    /// The whole index is in memory; puts and reads may begin.
    Loaded {
        /// The node's notes as it last wrote them.
        notes: Option<Vec<u8>>,
    },
    /// A put has ended. An error means that the outcome is unknown.
    Put {
        /// Who put.
        waiter: W,
        /// Whether it is durable.
        result: Result<(), Refusal>,
    },
    /// A read has ended.
    Read {
        /// Who read.
        waiter: W,
        /// What.
        identity: Identity,
        /// The record with its current head; `None` if it is gone, damaged or could not be read.
        record: Option<Record>,
    },
    /// Writes are refused from now on, or taken again.
    Halt(Option<Halt>),
    /// A copy was damaged. It has left the index, so that sync brings a good one.
    Damaged(Identity),
}

/// What a token stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pending {
    Load,
    /// A write or a deletion.
    Change(Identity),
    Read(Identity),
    Notes,
    Probe,
}

/// How far the start has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Loading {
    /// [`Store::load`] was not called.
    No,
    /// Heads up to this one are in the index.
    After(Option<Identity>),
    /// Everything is in memory.
    Done,
}

/// The records of one node. `W` names whoever waits for a put or a read.
///
/// An empty store is a few hundred bytes and has allocated nothing.
#[derive(Debug)]
pub struct Store<W> {
    config: StoreConfig,
    network: NetworkId,
    index: Index,
    cache: Cache,
    notes: Notes,
    writes: Writes<W>,
    admission: Admission<W>,
    /// Who waits for which value.
    reads: BTreeMap<Identity, Vec<W>>,
    pending: BTreeMap<DiskToken, Pending>,
    /// Identities whose deletion failed: the disk may hold them still. The next start would list them again; until then
    /// [`Store::expire`] tries again.
    leftovers: BTreeSet<Identity>,
    next_token: u64,
    loading: Loading,
    halt: Option<Halt>,
    read_waiters: usize,
    damaged_count: u64,
    expired_count: u64,
    stored_count: u64,
    waited_count: u64,
}

impl<W: Clone> Store<W> {
    /// An empty store that has not looked at its disk.
    #[must_use]
    pub fn new(config: StoreConfig) -> Store<W> {
        Store {
            admission: Admission::new(&config),
            config,
            network: NetworkId::UNKNOWN,
            index: Index::default(),
            cache: Cache::default(),
            notes: Notes::default(),
            writes: Writes::default(),
            reads: BTreeMap::new(),
            pending: BTreeMap::new(),
            leftovers: BTreeSet::new(),
            next_token: 0,
            loading: Loading::No,
            halt: None,
            read_waiters: 0,
            damaged_count: 0,
            expired_count: 0,
            stored_count: 0,
            waited_count: 0,
        }
    }

    /// Signatures are for one network: from now on for this one.
    pub const fn belong_to(&mut self, network: NetworkId) {
        self.network = network;
    }

    /// Begins to read heads and notes from the disk, a page at a time; [`StoreEvent::Loaded`] tells the end. Until then
    /// puts are refused as busy.
    pub fn load(&mut self, disk: &mut Vec<DiskEffect>) {
        if self.loading == Loading::No {
            self.loading = Loading::After(None);
            self.load_page(None, disk);
        }
    }

    /// Takes a record that some node has admitted: a replica's copy, handed over or repaired. It is charged to its client
    /// without asking. With a waiter, exactly one [`StoreEvent::Put`] follows after [`Put::Writing`], and none otherwise.
    pub fn put(&mut self, now: Wall, record: Record, waiter: Option<W>, disk: &mut Vec<DiskEffect>) -> Put {
        #[cfg(keyway_bug = "store_ttl_restarted")] // planted: a copy's life begins anew at each arrival
        let record = Record { head: Head { put_time: now, ..record.head }, ..record };
        match self.examine(now, &record) {
            Some(known) => known,
            None => self.begin(now, record, waiter, disk),
        }
    }

    /// Takes a client's record, if there is room for it ([`admission`]): all the rules of [`Store::put`], and it may have to
    /// wait. Then it is written when its hour has come, or as soon after it as the disk takes writes, and nobody is told; whoever offers it
    /// again learns how it stands.
    pub fn offer(&mut self, now: Wall, record: Record, waiter: Option<W>, disk: &mut Vec<DiskEffect>) -> Put {
        if let Some(known) = self.examine(now, &record) {
            return known;
        }
        if !self.admission.is_bounded() {
            return self.begin(now, record, waiter, disk);
        }
        let identity = record.head.identity;
        let (offer, admitted) = self.admission.offer(now, record, waiter);
        let mut own = Put::Refused(Refusal::OverCapacity);
        for (record, waiter) in admitted {
            let of_offer = record.head.identity == identity;
            let begun = self.begin_admitted(now, record, waiter, disk);
            if of_offer {
                own = begun;
            }
        }
        self.begin_freed(now, disk);
        match offer {
            Offer::Admitted => own,
            Offer::Waits(expected) => {
                self.waited_count += 1;
                Put::Waiting(expected)
            }
            Offer::Refused => Put::Refused(Refusal::OverCapacity),
        }
    }

    /// Writes what has waited for room and has it now.
    pub fn admit(&mut self, now: Wall, disk: &mut Vec<DiskEffect>) {
        for (record, waiter) in self.admission.admit(now) {
            self.begin_admitted(now, record, waiter, disk);
        }
        self.begin_freed(now, disk);
    }

    /// Writes what was held up, and what was let through because something else gave its room back.
    fn begin_freed(&mut self, now: Wall, disk: &mut Vec<DiskEffect>) {
        while self.is_free() {
            let Some(record) = self.admission.take_held_up() else { break };
            self.begin_admitted(now, record, None, disk);
        }
        loop {
            let freed = self.admission.take_admitted(now);
            if freed.is_empty() {
                return;
            }
            for (record, waiter) in freed {
                self.begin_admitted(now, record, waiter, disk);
            }
        }
    }

    /// When [`Store::admit`] has something to do next.
    #[must_use]
    pub fn next_admission(&self) -> Option<Wall> {
        self.admission.next()
    }

    /// How full a bounded disk is.
    #[must_use]
    pub fn room(&self) -> Room {
        self.admission.room()
    }

    /// What clients use of it, those who use most first; at most `max`.
    #[must_use]
    pub fn shares(&self, max: usize) -> Vec<Share> {
        self.admission.shares(max)
    }

    /// What is known of a record without asking anybody for room: `None` if it is new and sound.
    fn examine(&self, now: Wall, record: &Record) -> Option<Put> {
        if let Err(refusal) = self.admit_any(now, record) {
            return Some(Put::Refused(refusal));
        }
        let head = record.head;
        let held = self.index.get(&head.identity).filter(|held| held.expires() > now);
        let flight = self.writes.get(&head.identity);
        let deleting = flight.is_some_and(|flight| flight.doing == Doing::Delete);
        let wins = held.is_none_or(|held| head.rank() > held.rank());
        #[cfg(keyway_bug = "store_merge_last_wins")]
        // planted: the later arrival wins instead of the greater rank
        let wins = held.is_none_or(|held| head.rank() != held.rank());
        if !wins && !deleting {
            return Some(Put::Held);
        }
        if flight.is_none() && self.writes.len() >= self.config.writes_inflight_max
            || self.writes.waiter_count() >= self.config.writes_inflight_max
        {
            return Some(Put::Refused(Refusal::Busy));
        }
        let reserved = self.reserved_for(&head);
        let used = self.index.cost_bytes().saturating_add(self.writes.reserved_bytes());
        if used.saturating_add(reserved) > self.config.store_bytes_max && flight.is_none() {
            return Some(Put::Refused(Refusal::OverCapacity));
        }
        if !record.is_intact() {
            return Some(Put::Refused(Refusal::Damaged));
        }
        if !record.is_authentic(self.network) {
            return Some(Put::Refused(Refusal::Forged));
        }
        None
    }

    /// Whether a write may begin.
    fn is_free(&self) -> bool {
        let max = self.config.writes_inflight_max;
        let loaded = self.loading == Loading::Done;
        self.halt.is_none() && loaded && self.writes.len() < max && self.writes.waiter_count() < max
    }

    /// What a record will cost that the index does not hold yet.
    fn reserved_for(&self, head: &Head) -> u64 {
        let flight = self.writes.get(&head.identity);
        let deleting = flight.is_some_and(|flight| flight.doing == Doing::Delete);
        let known = self.index.get(&head.identity).is_some() && !deleting;
        if known { 0 } else { cost_bytes(head) }
    }

    /// Begins the write of a record that has been examined.
    fn begin(&mut self, now: Wall, record: Record, waiter: Option<W>, disk: &mut Vec<DiskEffect>) -> Put {
        let reserved = self.reserved_for(&record.head);
        if self.writes.is_busy(&record.head.identity) {
            self.writes.join(now, record, waiter, reserved);
        } else {
            self.write(record, waiter.into_iter().collect(), reserved, disk);
        }
        #[cfg(keyway_bug = "store_ack_before_disk")] // planted: answered before the disk has spoken
        return Put::Held;
        #[cfg(not(keyway_bug = "store_ack_before_disk"))]
        Put::Writing
    }

    /// Begins the write of a record that has room now; while it waited the world has gone on.
    fn begin_admitted(
        &mut self,
        now: Wall,
        record: Record,
        waiter: Option<W>,
        disk: &mut Vec<DiskEffect>,
    ) -> Put {
        let head = record.head;
        let objection = self.objection(now, &record).map(Put::Refused);
        let Some(known) = objection.or_else(|| self.examine(now, &record)) else {
            return self.begin(now, record, waiter, disk);
        };
        // Who asks at this moment is told. Whoever was told to wait was told that it will be written: it keeps its room.
        let later = matches!(known, Put::Refused(Refusal::Busy | Refusal::Halted(_)));
        if !(later && waiter.is_none() && self.admission.hold_up(record)) {
            self.admission.ended(now, &head);
        }
        known
    }

    /// Live puts under a key in put-time order, strictly after a place. Removes hide theirs.
    pub fn heads<'a>(
        &'a self,
        now: Wall,
        key: &Id,
        after: Option<&Cursor>,
    ) -> impl Iterator<Item = &'a Head> + use<'a, W> {
        InOrder::new(&self.index, now, key, after)
    }

    /// The live values of one signer under a key in put-time order, strictly after a place. What others put there costs nothing.
    #[must_use]
    pub fn heads_of_signer(&self, now: Wall, key: &Id, place: &Id, after: Option<&Cursor>) -> Vec<Head> {
        let mut heads: Vec<Head> = self
            .index
            .of_signer(key, place)
            .filter(|head| head.kind.is_signed() && is_served(head, now))
            .filter(|head| after.is_none_or(|after| head.cursor() > *after))
            .copied()
            .collect();
        heads.sort_unstable_by_key(Head::cursor);
        heads
    }

    /// Why a client's record is not taken beside what is held or being written of its identity, although the merge would know an answer: a
    /// remove that would end before the put that it hides, a number of a series that has been given.
    #[must_use]
    pub fn objection(&self, now: Wall, record: &Record) -> Option<Refusal> {
        let (head, kind) = (&record.head, record.head.kind);
        let flight = self.writes.get(&head.identity);
        let writing = flight.and_then(|flight| match flight.doing {
            Doing::Write(head) => Some(head),
            Doing::Delete => None,
        });
        let next = flight.and_then(|flight| flight.next.as_ref()).map(|next| next.record.head);
        let known = [self.index.get(&head.identity).copied(), writing, next];
        let live = known.into_iter().flatten().filter(|held| held.expires() > now);
        let held = live.max_by_key(Head::rank)?;
        let outlived = held.expires() > head.expires();
        if kind.is_sequenced() && held.seq >= head.seq {
            let same = held.seq == head.seq && held.kind == kind && held.origin == head.origin;
            return (!same).then_some(Refusal::Stale(held.seq));
        }
        let shortens = kind.is_sequenced() || kind.is_remove() && !held.kind.is_remove();
        // planted: nobody minds what comes back
        let minds = !cfg!(keyway_bug = "node_remove_short");
        (outlived && shortens && minds).then_some(Refusal::Outlived(held.expires()))
    }

    /// Every head under a key, removes and ended lives included, in order of identity: for replicas.
    pub fn all_heads_of<'a>(&'a self, key: &Id) -> impl Iterator<Item = &'a Head> + use<'a, W> {
        self.index.of_key(key)
    }

    /// The durable head of an identity, whether its life is over or not.
    #[must_use]
    pub fn head(&self, identity: &Identity) -> Option<&Head> {
        self.index.get(identity)
    }

    /// Reads a value: from memory, or from the disk for the waiter. The caller looks at the head's life.
    pub fn read(&mut self, identity: &Identity, waiter: W, disk: &mut Vec<DiskEffect>) -> Read {
        let Some(head) = self.index.get(identity).copied() else { return Read::Missing };
        if let Some(value) = self.cache.get(identity) {
            return Read::Cached(Record { head, value: value.to_vec() });
        }
        if self.read_waiters >= self.config.writes_inflight_max {
            return Read::Missing;
        }
        self.read_waiters += 1;
        if let Some(waiters) = self.reads.get_mut(identity) {
            waiters.push(waiter);
        } else {
            self.reads.insert(*identity, [waiter].into());
            self.ask(Pending::Read(*identity), DiskOp::Read(*identity), disk);
        }
        Read::Reading
    }

    /// A value that is in memory, without asking the disk. The caller has its head, and looks at its life.
    pub fn cached(&mut self, identity: &Identity) -> Option<&[u8]> {
        self.cache.get(identity)
    }

    /// Deletes a record that was handed off. It stays in the index until the disk has answered. Returns false if there
    /// is nothing to do: it is not here, it is being written or deleted, or too much is under way; ask again later.
    pub fn forget(&mut self, identity: &Identity, disk: &mut Vec<DiskEffect>) -> bool {
        let idle = self.index.get(identity).is_some() && !self.writes.is_busy(identity);
        let begun = idle && self.deletes_max() > 0 && self.leftovers.len() < self.config.writes_inflight_max;
        if begun {
            self.delete(*identity, disk);
        }
        begun
    }

    /// Begins to delete at most `budget` records whose life is over, oldest end first, after what an earlier deletion
    /// that failed may have left; returns how many.
    pub fn expire(&mut self, now: Wall, budget: usize, disk: &mut Vec<DiskEffect>) -> usize {
        let budget = budget.min(self.deletes_max());
        let writes = &self.writes;
        let idle = |identity: &&Identity| !writes.is_busy(identity);
        let mut over: Vec<Identity> = self.leftovers.iter().filter(idle).take(budget).copied().collect();
        let leftover_count = over.len();
        over.extend(self.index.over(now).filter(idle).take(budget - leftover_count));
        for identity in &over {
            self.delete(*identity, disk);
        }
        self.expired_count += (over.len() - leftover_count) as u64;
        over.len()
    }

    /// When the first life in the index ends: nothing expires before.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Wall> {
        self.index.expiry().next()
    }

    /// The digest of all durable heads in an arc, ended lives included.
    #[must_use]
    pub fn digest(&self, arc: &Arc) -> Digest {
        self.index.digest(arc, None)
    }

    /// The digest of the heads in an arc that come after a place in it, clockwise from its start.
    #[must_use]
    pub fn digest_after(&self, arc: &Arc, after: Option<&Identity>) -> Digest {
        self.index.digest(arc, after)
    }

    /// Cuts an arc into at most [`SPLIT_MAX`] disjoint parts that cover it, in clockwise order, each with about as many
    /// records as the others. One part: the arc holds at most one record, or only records of one key.
    #[must_use]
    pub fn split(&self, arc: &Arc) -> Vec<(Arc, Digest)> {
        self.index.split(arc)
    }

    /// At most `limit` heads in an arc, clockwise from its start, ended lives included.
    #[must_use]
    pub fn heads_in(&self, arc: &Arc, limit: usize) -> Vec<Head> {
        self.heads_after(arc, None).take(limit).copied().collect()
    }

    /// The heads in an arc after a place in it, clockwise from its start, ended lives included.
    pub fn heads_after<'a>(
        &'a self,
        arc: &Arc,
        after: Option<&Identity>,
    ) -> impl Iterator<Item = &'a Head> + use<'a, W> {
        self.index.in_arc(arc, after)
    }

    /// The first key with records at or after a place, by number; `None` above the last.
    #[must_use]
    pub fn next_key(&self, at_or_after: &Id) -> Option<Id> {
        self.index.next_key(at_or_after)
    }

    /// Why no writes are taken, after a disk error.
    #[must_use]
    pub fn halt(&self) -> Option<Halt> {
        self.halt
    }

    /// While halted: tries the disk, by going on with the load if that failed, or by writing notes: those that it lacks, else
    /// these. Without any, it waits. Success clears the halt. The driver reopens its engine before it performs this.
    pub fn probe(&mut self, notes: Option<Vec<u8>>, disk: &mut Vec<DiskEffect>) {
        if self.halt.is_none() || self.pending.values().any(|p| matches!(p, Pending::Load | Pending::Probe)) {
            return;
        }
        if let Loading::After(after) = self.loading {
            return self.load_page(after, disk);
        }
        if let Some(notes) = notes {
            self.notes.replace(notes, true);
        }
        if let Some(notes) = self.notes.begin() {
            self.ask(Pending::Probe, DiskOp::WriteNotes(notes), disk);
        }
    }

    /// Replaces the node's notes, at most 64 KiB. One write of them at a time; while halted they wait.
    pub fn write_notes(&mut self, notes: Vec<u8>, disk: &mut Vec<DiskEffect>) {
        self.notes.replace(notes, false);
        self.flush_notes(disk);
    }

    /// Durable records.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.index.len()
    }

    /// Bytes of their values.
    #[must_use]
    pub fn record_bytes(&self) -> u64 {
        self.index.value_bytes()
    }

    /// Copies found damaged since the start.
    #[must_use]
    pub fn damaged_count(&self) -> u64 {
        self.damaged_count
    }

    /// Records whose deletion was begun because their life was over, since the start.
    #[must_use]
    pub fn expired_count(&self) -> u64 {
        self.expired_count
    }

    /// Offers that were told to wait for room, since the start.
    #[must_use]
    pub fn waited_count(&self) -> u64 {
        self.waited_count
    }

    /// Records made durable since the start, refreshed ones included.
    #[must_use]
    pub fn stored_count(&self) -> u64 {
        self.stored_count
    }

    /// Sizes of the bounded tables: `(name, now, bound)`.
    #[must_use]
    pub fn bounds(&self) -> [(&'static str, usize, usize); 6] {
        let max = self.config.writes_inflight_max;
        [
            ("store.leftovers", self.leftovers.len(), 2 * max),
            ("store.writes", self.writes.len(), max),
            ("store.put_waiters", self.writes.waiter_count(), max),
            ("store.read_waiters", self.read_waiters, max),
            self.admission.bounds(),
            ("store.cache_bytes", self.cache.bytes(), self.config.cache_bytes_max),
        ]
    }

    /// Index, expiry index, digests, counts and bounds agree. O(n): for debug builds and tests.
    ///
    /// # Errors
    /// The first rule that is broken: our own bug.
    pub fn check(&self) -> Result<(), Violation> {
        self.index.check()?;
        self.writes.check()?;
        self.admission.check(self.index.iter())?;
        self.cache.check(self.config.cache_bytes_max)?;
        let busy = self.pending.values().filter(|p| matches!(p, Pending::Change(_))).count();
        let reading = self.pending.values().filter(|p| matches!(p, Pending::Read(_))).count();
        if busy != self.writes.len() || reading != self.reads.len() {
            let seen =
                format!("{busy} changes for {}, {reading} reads for {}", self.writes.len(), self.reads.len());
            return Err(Violation::new("store.pending", seen));
        }
        for (name, now, max) in self.bounds() {
            if now > max {
                return Err(Violation::new("store.bound", format!("{name}: {now} of {max}")));
            }
        }
        Ok(())
    }

    /// Whether a record may be here at all; cheap tests only.
    fn admit_any(&self, now: Wall, record: &Record) -> Result<(), Refusal> {
        let head = &record.head;
        if let Some(halt) = self.halt {
            return Err(Refusal::Halted(halt));
        }
        if self.loading != Loading::Done {
            return Err(Refusal::Busy);
        }
        let bytes_max = content_bytes_max(head.kind, &self.config);
        if head.value_bytes > bytes_max || record.value.len() > bytes_max as usize {
            return Err(Refusal::TooLarge);
        }
        if head.ttl < TTL_MIN || head.ttl > ttl_max(head.kind, &self.config) {
            return Err(Refusal::BadTtl);
        }
        if head.expires() <= now {
            return Err(Refusal::Expired);
        }
        if head.put_time > now + self.config.skew_max {
            return Err(Refusal::FromTheFuture);
        }
        Ok(())
    }

    fn ask(&mut self, pending: Pending, op: DiskOp, disk: &mut Vec<DiskEffect>) {
        let token = DiskToken(self.next_token);
        self.next_token += 1;
        self.pending.insert(token, pending);
        disk.push(DiskEffect { token, op });
    }

    fn write(&mut self, record: Record, waiters: Vec<W>, reserved: u64, disk: &mut Vec<DiskEffect>) {
        let identity = record.head.identity;
        self.writes.begin(identity, Doing::Write(record.head), waiters, reserved);
        self.ask(Pending::Change(identity), DiskOp::Write(record), disk);
    }

    fn delete(&mut self, identity: Identity, disk: &mut Vec<DiskEffect>) {
        self.writes.begin(identity, Doing::Delete, Vec::new(), 0);
        self.ask(Pending::Change(identity), DiskOp::Delete(identity), disk);
    }

    /// How many deletions may begin now.
    fn deletes_max(&self) -> usize {
        let room = self.config.writes_inflight_max.saturating_sub(self.writes.len());
        match self.halt {
            Some(Halt::DiskFailed) => 0,
            Some(Halt::DiskFull) => room.min(DELETES_WHILE_FULL_MAX),
            _ => room,
        }
    }

    fn load_page(&mut self, after: Option<Identity>, disk: &mut Vec<DiskEffect>) {
        self.ask(Pending::Load, DiskOp::Load { after, limit: LOAD_PAGE }, disk);
    }

    fn flush_notes(&mut self, disk: &mut Vec<DiskEffect>) {
        if self.halt.is_none()
            && let Some(notes) = self.notes.begin()
        {
            self.ask(Pending::Notes, DiskOp::WriteNotes(notes), disk);
        }
    }
}

/// The longest content of a record: beside the value a proof; a secret is bounded by itself.
fn content_bytes_max(kind: Kind, config: &StoreConfig) -> u32 {
    match kind {
        Kind::Remove => record::SECRET_BYTES_MAX as u32,
        kind if kind.is_signed() => config.value_bytes_max + PROOF_BYTES as u32,
        _ => config.value_bytes_max,
    }
}

/// The greatest life of a record. A remove of what was not seen must outlive every put that there may be: one of a gateway
/// whose clock is ahead by the declared bound, removed at one whose clock is behind.
fn ttl_max(kind: Kind, config: &StoreConfig) -> Duration {
    let more = if kind == Kind::Remove { config.skew_max.times(2) } else { Duration::ZERO };
    Duration(config.ttl_max.0.saturating_add(more.0))
}
