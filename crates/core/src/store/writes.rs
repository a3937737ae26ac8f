//! Writes and deletions that the disk has not answered yet: at most one per identity.
//!
//! The driver may perform effects in any order, so two writes of one identity must never be under way together: the
//! disk could end with the lesser. A record that arrives while its identity is busy waits here, merged with those that
//! wait already, and is written when the disk has answered.
//!
//! ```text
//!   put a ──▶ write a under way ──▶ put b > a ──▶ b waits ──▶ put c > b ──▶ c waits, for b's waiters too
//!                    │                                                          │
//!              Written: a's waiters are told, c is written ─────────────────────┘
//!              Failed:  everyone is told Halted; what the disk holds is unknown
//! ```

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use super::record::{Head, Identity, Record};
use crate::overlay::Violation;
use crate::time::Wall;

/// What the disk is doing with an identity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Doing {
    /// Writing the record with this head.
    Write(Head),
    /// Deleting what it holds.
    Delete,
}

/// One identity's business with the disk.
#[derive(Debug)]
pub(super) struct Flight<W> {
    pub(super) doing: Doing,
    /// Who waits for what is under way.
    pub(super) waiters: Vec<W>,
    /// What is written next.
    pub(super) next: Option<Next<W>>,
    /// Bytes counted against the store's bound although the index does not hold them yet.
    reserved_bytes: u64,
}

/// A record that waits for its identity's turn.
#[derive(Debug)]
pub(super) struct Next<W> {
    pub(super) record: Record,
    pub(super) waiters: Vec<W>,
}

/// All identities that are busy.
#[derive(Debug)]
pub(super) struct Writes<W> {
    flights: BTreeMap<Identity, Flight<W>>,
    waiter_count: usize,
    reserved_bytes: u64,
}

impl<W> Default for Writes<W> {
    fn default() -> Writes<W> {
        Writes { flights: BTreeMap::new(), waiter_count: 0, reserved_bytes: 0 }
    }
}

impl<W> Writes<W> {
    pub(super) fn get(&self, identity: &Identity) -> Option<&Flight<W>> {
        self.flights.get(identity)
    }

    pub(super) fn is_busy(&self, identity: &Identity) -> bool {
        self.flights.contains_key(identity)
    }

    /// How many identities are busy.
    pub(super) fn len(&self) -> usize {
        self.flights.len()
    }

    /// How many puts wait to be told.
    pub(super) fn waiter_count(&self) -> usize {
        self.waiter_count
    }

    /// Bytes counted against the store's bound that the index does not hold yet.
    pub(super) fn reserved_bytes(&self) -> u64 {
        self.reserved_bytes
    }

    /// Begins; the caller has made sure that the identity is not busy, and lists the effect.
    pub(super) fn begin(&mut self, identity: Identity, doing: Doing, waiters: Vec<W>, reserved_bytes: u64) {
        self.waiter_count += waiters.len();
        self.reserved_bytes += reserved_bytes;
        self.flights.insert(identity, Flight { doing, waiters, next: None, reserved_bytes });
    }

    /// Joins a waiter, if there is one, to a busy identity. `reserved_bytes` is what the record costs beyond what the index
    /// will hold. Returns false if the identity is not busy.
    pub(super) fn join(&mut self, now: Wall, record: Record, waiter: Option<W>, reserved_bytes: u64) -> bool {
        // What is over by now beats nothing, although the disk may still be writing it.
        let beats = |head: &Head| head.rank() >= record.head.rank() && head.expires() > now;
        let Some(flight) = self.flights.get_mut(&record.head.identity) else { return false };
        self.waiter_count += usize::from(waiter.is_some());
        if matches!(&flight.doing, Doing::Write(head) if beats(head)) {
            flight.waiters.extend(waiter);
            return true;
        }
        let more = reserved_bytes.saturating_sub(flight.reserved_bytes);
        flight.reserved_bytes += more;
        self.reserved_bytes += more;
        match &mut flight.next {
            Some(next) => {
                if !beats(&next.record.head) {
                    next.record = record;
                }
                next.waiters.extend(waiter);
            }
            None => flight.next = Some(Next { record, waiters: waiter.into_iter().collect() }),
        }
        true
    }

    /// The disk has answered: takes the identity's business out.
    pub(super) fn end(&mut self, identity: &Identity) -> Option<Flight<W>> {
        let flight = self.flights.remove(identity)?;
        self.reserved_bytes -= flight.reserved_bytes;
        self.waiter_count -= flight.waiters.len();
        self.waiter_count -= flight.next.as_ref().map_or(0, |next| next.waiters.len());
        Some(flight)
    }

    /// The counts agree with the flights.
    pub(super) fn check(&self) -> Result<(), Violation> {
        let (mut waiters, mut reserved) = (0, 0);
        for (identity, flight) in &self.flights {
            reserved += flight.reserved_bytes;
            waiters += flight.waiters.len();
            if let Some(next) = &flight.next {
                waiters += next.waiters.len();
                if next.record.head.identity != *identity {
                    return Err(Violation::new("store.writes.next", format!("{identity:?}")));
                }
            }
        }
        if (waiters, reserved) != (self.waiter_count, self.reserved_bytes) {
            let seen = format!(
                "{waiters} waiters, {reserved} bytes; counted {self_:?}",
                self_ = (self.waiter_count, self.reserved_bytes)
            );
            return Err(Violation::new("store.writes.count", seen));
        }
        Ok(())
    }
}
