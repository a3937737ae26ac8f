//! What the disk's answers lead to: the index follows it, waiters are told, a failure halts the writes.
//!
//! ```text
//!   Load    ─▶ heads into the index ─▶ next page, or Loaded
//!   Change  ─▶ Written: index, digest, waiters told Ok      Failed: halt, waiters told Halted, the outcome is unknown
//!              then what waits for its turn is written
//!   Read    ─▶ intact: cache, waiters told                  damaged: out of the index and off the disk
//!   Notes   ─▶ a probe that succeeds ends the halt
//! ```

use alloc::vec::Vec;

use super::index::cost_bytes;
use super::record::{Identity, Record};
use super::writes::{Doing, Next};
use super::{Loading, Pending, Refusal, Store, StoreEvent};
use crate::machine::{DiskEffect, DiskError, DiskResult, DiskToken, Halt};
use crate::time::Wall;

impl<W: Clone> Store<W> {
    /// Takes a disk result and tells what it led to. Unknown tokens are ignored.
    pub fn disk_done(
        &mut self,
        now: Wall,
        token: DiskToken,
        result: DiskResult,
        disk: &mut Vec<DiskEffect>,
        events: &mut Vec<StoreEvent<W>>,
    ) {
        let Some(pending) = self.pending.remove(&token) else { return };
        if self.pending.is_empty() {
            // An empty tree keeps its last leaf: most nodes of a world ask their disk once.
            self.pending = alloc::collections::BTreeMap::new();
        }
        let failed = match &result {
            DiskResult::Failed(error) => Some(*error),
            _ => None,
        };
        match pending {
            Pending::Load => self.on_loaded(now, result, disk, events),
            Pending::Read(identity) => self.on_read(now, identity, result, disk, events),
            Pending::Change(identity) => self.on_changed(now, identity, failed, disk, events),
            Pending::Notes | Pending::Probe => {
                self.notes.end(failed.is_none());
                match failed {
                    Some(error) => self.stop(error, events),
                    None if pending == Pending::Probe => {
                        self.resume(events);
                        self.begin_freed(now, disk);
                    }
                    None => {}
                }
                self.flush_notes(disk);
            }
        }
    }

    /// Takes no writes from now on.
    fn stop(&mut self, error: DiskError, events: &mut Vec<StoreEvent<W>>) {
        let halt = match error {
            DiskError::Full => Halt::DiskFull,
            DiskError::Io | DiskError::Damaged => Halt::DiskFailed,
        };
        if self.halt != Some(halt) {
            self.halt = Some(halt);
            events.push(StoreEvent::Halt(self.halt));
        }
    }

    /// Takes writes again.
    fn resume(&mut self, events: &mut Vec<StoreEvent<W>>) {
        if self.halt.take().is_some() {
            events.push(StoreEvent::Halt(None));
        }
    }

    fn on_loaded(
        &mut self,
        now: Wall,
        result: DiskResult,
        disk: &mut Vec<DiskEffect>,
        events: &mut Vec<StoreEvent<W>>,
    ) {
        let (notes, heads, more) = match result {
            DiskResult::Loaded { notes, heads, more } => (notes, heads, more),
            DiskResult::Failed(error) => return self.stop(error, events),
            _ => return self.stop(DiskError::Io, events),
        };
        // That it can be read does not say that it takes writes: a halt ends with a write.
        if let Some(notes) = &notes {
            self.notes.loaded(notes);
        }
        let last = heads.last().map(|head| head.identity);
        for head in heads {
            self.index.insert(head);
            self.admission.charge(now, &head);
        }
        match last {
            Some(last) if more => {
                self.loading = Loading::After(Some(last));
                self.load_page(Some(last), disk);
            }
            _ => {
                self.loading = Loading::Done;
                // Who has been a member asks at once whether the disk takes writes again; newer notes than these go first.
                self.probe(None, disk);
                let again = notes.clone().filter(|notes| !notes.is_empty() && self.notes.is_idle());
                self.probe(again, disk);
                events.push(StoreEvent::Loaded { notes: notes.filter(|notes| !notes.is_empty()) });
            }
        }
    }

    /// A write or a deletion has ended.
    fn on_changed(
        &mut self,
        now: Wall,
        identity: Identity,
        failed: Option<DiskError>,
        disk: &mut Vec<DiskEffect>,
        events: &mut Vec<StoreEvent<W>>,
    ) {
        let Some(flight) = self.writes.end(&identity) else { return };
        match (flight.doing, failed) {
            // The index keeps what was confirmed before; the disk holds that or the new one.
            (Doing::Write(head), Some(error)) => {
                self.admission.ended(now, &head);
                self.stop(error, events);
            }
            (Doing::Write(head), None) => {
                self.stored_count += 1;
                self.leftovers.remove(&identity);
                let old = self.index.insert(head);
                if !(head.kind.is_named_by_content() && old.is_some_and(|old| old.kind == head.kind)) {
                    self.cache.forget(&identity);
                }
                self.admission.written(now, &head, old.as_ref());
            }
            (Doing::Delete, _) => {
                // After a failure the disk may or may not hold it: nobody may rely on it any more.
                self.cache.forget(&identity);
                if let Some(old) = self.index.remove(&identity) {
                    self.admission.release(now, &old);
                }
                self.leftovers.remove(&identity);
                if let Some(error) = failed {
                    self.leftovers.insert(identity);
                    self.stop(error, events);
                }
            }
        }
        let result = match (failed, self.halt) {
            (Some(_), Some(halt)) => Err(Refusal::Halted(halt)),
            _ => Ok(()),
        };
        events.extend(flight.waiters.into_iter().map(|waiter| StoreEvent::Put { waiter, result }));
        match flight.next {
            Some(next) => self.write_next(now, identity, next, disk, events),
            None => self.admission.abandon(now, &identity),
        }
        self.begin_freed(now, disk);
    }

    /// Writes what has waited for the turn of its identity.
    fn write_next(
        &mut self,
        now: Wall,
        identity: Identity,
        next: Next<W>,
        disk: &mut Vec<DiskEffect>,
        events: &mut Vec<StoreEvent<W>>,
    ) {
        let refusal = match self.halt {
            Some(halt) => Some(Refusal::Halted(halt)),
            None if next.record.head.expires() <= now => Some(Refusal::Expired),
            None => None,
        };
        if let Some(refusal) = refusal {
            self.admission.abandon(now, &identity);
            let told =
                next.waiters.into_iter().map(|waiter| StoreEvent::Put { waiter, result: Err(refusal) });
            return events.extend(told);
        }
        let known = self.index.get(&identity).is_some();
        let reserved = if known { 0 } else { cost_bytes(&next.record.head) };
        self.write(next.record, next.waiters, reserved, disk);
    }

    fn on_read(
        &mut self,
        now: Wall,
        identity: Identity,
        result: DiskResult,
        disk: &mut Vec<DiskEffect>,
        events: &mut Vec<StoreEvent<W>>,
    ) {
        let waiters = self.reads.remove(&identity).unwrap_or_default();
        self.read_waiters -= waiters.len();
        let mut record = None;
        if let Some(head) = self.index.get(&identity).copied() {
            match result {
                DiskResult::Record(Some(read)) if read.head.identity == identity && read.is_intact() => {
                    // What its identity names has the life of the current head, whichever copy of it the disk read. Of
                    // the other kinds, and between a value and its removal, a copy that was read before the last write
                    // is no copy of that: whoever waits asks again, and nothing is damaged.
                    let kind = head.kind;
                    let named = kind == read.head.kind && kind.is_named_by_content();
                    if named || read.head == head {
                        self.cache.keep(identity, &read.value, self.config.cache_bytes_max);
                        record = (head.expires() > now).then_some(Record { head, value: read.value });
                    }
                }
                // Deleted since the question: not damage.
                DiskResult::Record(None) if self.writes.is_busy(&identity) => {}
                DiskResult::Record(_) | DiskResult::Failed(DiskError::Damaged) => {
                    self.on_damaged(now, identity, disk, events);
                }
                // The system's trouble, not the record's: it may be readable later.
                _ => {}
            }
        }
        events.extend(waiters.into_iter().map(|waiter| StoreEvent::Read {
            waiter,
            identity,
            record: record.clone(),
        }));
    }

    /// Takes a damaged record out of the index, so that sync brings a good copy, and off the disk.
    fn on_damaged(
        &mut self,
        now: Wall,
        identity: Identity,
        disk: &mut Vec<DiskEffect>,
        events: &mut Vec<StoreEvent<W>>,
    ) {
        self.damaged_count += 1;
        self.cache.forget(&identity);
        if let Some(old) = self.index.remove(&identity) {
            self.admission.release(now, &old);
        }
        if self.deletes_max() > 0 && !self.writes.is_busy(&identity) {
            self.delete(identity, disk);
        }
        events.push(StoreEvent::Damaged(identity));
    }
}
