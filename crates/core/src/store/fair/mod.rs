//! Fair space-time storage allocation: which puts a disk shared by strangers accepts, and when (OpenDHT, SIGCOMM 2005, section 4.1).
//!
//! ```text
//!              arrive                        lowest start tag first        fits?  f(tau) + x <= C
//!   client ────────────▶ queue full? ──no──▶ queues (SFQ) ──────────────▶ commitments ──────▶ Accepted, v = max(v, S)
//!                            │ yes                 ▲                          │ no
//!                            ▼                     └── deadline(), wake() ◀───┘ one put waits for the disk
//!                        Refused
//! ```
//!
//! Two promises. *Nobody starves*: bytes are reserved at `rate` for puts to come, so that the next put of x bytes waits at most
//! x / rate. *Shares are fair*: among clients that want more than there is, bytes times life are given out at equal rates; what
//! a client had before does not count against it ([`queues`]). The test of admission is in [`commitments`].
//!
//! A pure state machine: time comes in, acceptances go out. It keeps no record and knows no disk; `P` is whatever the caller
//! calls a put. Semantics of a single put, to the ms:
//!
//! * Time is whole ms of any clock that does not go back; an earlier time counts as the latest seen. Wake-ups that were due
//!   before an event happen first, **at their own time**, so that the driver's lateness moves no decision.
//! * An arrival is queued, or refused without any effect. It is tried at once if its start tag is strictly below that of the put
//!   that waits for the disk; else not at all, though it might fit (head-of-line blocking is intended).
//! * A round accepts the lowest start tags while they fit, at one time. The first that does not fit waits for its hour.
//! * v moves only when a put is accepted, never with the clock.
//! * Of equal start tags the first to arrive is served first.
//!
//! `commit` and `release` are what the algorithm does not know: copies that come by restart, handoff or repair are charged
//! without asking, beyond capacity if need be, and nothing is admitted until it fits again; a record that leaves early gives its
//! bytes back. Tags and queues do not survive a restart, and need not: a put in the queue was never acknowledged, and fairness
//! is of rates from now on.
//!
//! Invariants ([`Fair::check`]): nothing waits, or a wake-up is set and lies ahead; nothing expired is charged; every bound holds.

mod commitments;
mod queues;
mod rate;
mod tree;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::fmt::Debug;

use crate::overlay::Violation;

pub use super::client::ClientId;

use commitments::Commitments;
use queues::Queues;

pub use queues::Place;
pub use rate::Rate;

/// No time or life is later or longer, in ms; greater ones count as this. Seventy million years leave the sums room.
pub const TIME_MS_MAX: u64 = 1 << 61;
/// Puts that may wait in all.
pub const QUEUED_MAX: usize = 1 << 20;
/// Clients remembered for their finish tag alone.
pub const CLIENTS_MAX: usize = 1 << 16;

/// The settings. Commitments are in byte-ms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FairConfig {
    /// C: what the disk holds.
    pub capacity_bytes: u64,
    /// B: the greatest put; the slack by which the disk may be exceeded so that one such put always fits. Larger puts are not
    /// refused here.
    pub put_bytes_max: u64,
    /// r_min: what is reserved for puts to come.
    pub rate: Rate,
    /// Head start of a client that puts rarely.
    pub alpha: u128,
    /// Bound on the commitments of one client that wait. A put above it can never enter.
    pub queue_bound: u128,
    /// Bound on the puts of all clients that wait.
    pub queued_max: usize,
    /// Bound on the clients remembered for their finish tag alone. Beyond it the lowest tag is forgotten: its client starts
    /// anew at v - alpha, and gains less than any other would.
    pub clients_max: usize,
}

impl FairConfig {
    /// The paper's: r_min = C / T, alpha and the bound of a queue B * T. `None` if no rate can be made of these (0, or beyond
    /// [`Rate::new`]'s bounds).
    #[must_use]
    pub fn paper(capacity_bytes: u64, ttl_ms_max: u64, put_bytes_max: u64) -> Option<FairConfig> {
        let greatest = queues::commitment(put_bytes_max, ttl_ms_max);
        Some(FairConfig {
            capacity_bytes,
            put_bytes_max,
            rate: Rate::new(capacity_bytes, ttl_ms_max)?,
            alpha: greatest,
            queue_bound: greatest,
            queued_max: QUEUED_MAX,
            clients_max: CLIENTS_MAX,
        })
    }
}

/// A put that was accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accepted<P> {
    /// Which.
    pub put: P,
    /// Whose.
    pub client: ClientId,
    /// When. Its life, as far as it is charged, begins here.
    pub at_ms: u64,
    /// When its charge ends by itself; what [`Fair::release`] wants to know.
    pub expires_ms: u64,
}

/// Why a put was not queued. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// The client has more waiting than its bound allows with this put.
    #[error("the client's queue is full")]
    QueueFull,
    /// Too many puts wait in all.
    #[error("too many puts wait")]
    TooManyWaiting,
    /// It would not fit an empty disk beside the reserve.
    #[error("a put of this size and life never fits this disk")]
    NeverFits,
}

/// What a client uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Bytes stored.
    pub stored_bytes: u64,
    /// Puts that wait.
    pub waiting_count: u64,
    /// Their commitments, in byte-ms.
    pub waiting_commitment: u128,
}

/// The allocation of one node's disk. See the [module](self).
#[derive(Clone, Debug)]
pub struct Fair<P: Copy + Debug> {
    config: FairConfig,
    now_ms: u64,
    disk: Commitments,
    queues: Queues<P>,
    /// When the first put of the queue fits.
    wake_ms: Option<u64>,
}

impl<P: Copy + Debug> Fair<P> {
    /// An empty disk.
    #[must_use]
    pub fn new(config: FairConfig) -> Fair<P> {
        let limit = config.rate.limit(config.capacity_bytes, config.put_bytes_max);
        Fair {
            config,
            now_ms: 0,
            disk: Commitments::new(config.rate, limit),
            queues: Queues::new(),
            wake_ms: None,
        }
    }

    /// A put arrives. It is in the queue, at the place returned, unless `accepted` says that it is through already.
    ///
    /// # Errors
    /// If it is refused.
    pub fn arrive(
        &mut self,
        now_ms: u64,
        client: ClientId,
        put: P,
        bytes: u64,
        ttl_ms: u64,
        accepted: &mut Vec<Accepted<P>>,
    ) -> Result<Place, Refused> {
        self.wake(now_ms, accepted);
        if ttl_ms > TIME_MS_MAX || !self.disk.can_ever(bytes, ttl_ms) {
            return Err(Refused::NeverFits);
        }
        let place = self.queues.join(&self.config, client, put, bytes, ttl_ms)?;
        // It leads only if the queue was empty or its tag is strictly the lowest: of equal tags the earlier arrival leads.
        if self.queues.first().is_some_and(|first| first.place == place) {
            self.serve(accepted);
        }
        Ok(place)
    }

    /// Time has passed: every wake-up that was due has happened.
    pub fn wake(&mut self, now_ms: u64, accepted: &mut Vec<Accepted<P>>) {
        let now_ms = now_ms.min(TIME_MS_MAX).max(self.now_ms);
        // Each turn accepts a put: the first of the queue fits at its wake-up.
        while let Some(at_ms) = self.wake_ms.filter(|at| *at <= now_ms) {
            self.pass_to(at_ms);
            self.serve(accepted);
        }
        self.pass_to(now_ms);
    }

    /// When to call [`Fair::wake`] next; `None` if nothing waits.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        self.wake_ms
    }

    /// Charges a live put that did not come through the queue, until `expires_ms`: found at restart, or brought by handoff or
    /// repair. Nothing is refused and no tag moves; what waits may have to wait longer.
    pub fn commit(
        &mut self,
        now_ms: u64,
        client: ClientId,
        bytes: u64,
        expires_ms: u64,
        accepted: &mut Vec<Accepted<P>>,
    ) {
        self.wake(now_ms, accepted);
        let expires_ms = expires_ms.min(2 * TIME_MS_MAX);
        if expires_ms > self.now_ms {
            let charged = self.disk.add(client, bytes, expires_ms);
            self.queues.charge(client, charged);
            self.serve(accepted);
        }
    }

    /// Gives back the charge of a put that left before its end: removed, replaced, or handed to another node. More bytes than
    /// the client has expiring at `expires_ms` give back only those. What waits may be accepted at once.
    pub fn release(
        &mut self,
        now_ms: u64,
        client: ClientId,
        bytes: u64,
        expires_ms: u64,
        accepted: &mut Vec<Accepted<P>>,
    ) {
        self.wake(now_ms, accepted);
        let released = self.disk.take(client, bytes, expires_ms);
        self.queues.uncharge(&self.config, client, released);
        self.serve(accepted);
    }

    /// How long the put at that place will probably wait from now on: until the first of the queue fits, and then as long as the
    /// reserve takes to bring the bytes before it and its own. It is less if the disk has more to give than the reserve, and
    /// more if puts with lower start tags arrive. `None` if it does not wait.
    #[must_use]
    pub fn expected_wait_ms(&self, place: Place) -> Option<u64> {
        let (wake_ms, first) = (self.wake_ms?, self.queues.first()?);
        let after_first = self.queues.bytes_until(place)?.saturating_sub(u128::from(first.bytes));
        let bytes = u64::try_from(after_first).unwrap_or(u64::MAX);
        let rest = self.config.rate.time_of(self.config.rate.scaled(bytes));
        Some((wake_ms - self.now_ms).saturating_add(rest))
    }

    /// Whether the put at that place still waits.
    #[must_use]
    pub fn is_waiting(&self, place: Place) -> bool {
        self.queues.contains(place)
    }

    /// What a client uses; nothing if it is not known.
    #[must_use]
    pub fn usage(&self, client: ClientId) -> Usage {
        self.queues.usage(client)
    }

    /// The clients that are known, in order, and what each uses.
    pub fn usages(&self) -> impl Iterator<Item = (ClientId, Usage)> {
        self.queues.usages()
    }

    /// The latest time seen: what expires by then is charged no more.
    #[must_use]
    pub fn time_ms(&self) -> u64 {
        self.now_ms
    }

    /// Bytes charged.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.disk.stored_bytes()
    }

    /// Puts that wait; at most [`FairConfig::queued_max`].
    #[must_use]
    pub fn waiting_count(&self) -> usize {
        self.queues.len()
    }

    /// Clients known: those with bytes stored, with puts that wait, or with a finish tag that can matter.
    #[must_use]
    pub fn clients_count(&self) -> usize {
        self.queues.clients_count()
    }

    /// Clients known for their finish tag, nothing of theirs waiting; at most [`FairConfig::clients_max`].
    #[must_use]
    pub fn resting_count(&self) -> usize {
        self.queues.resting_count()
    }

    /// Charges kept apart, one for each client and ms in which something of its expires; at most the live puts.
    #[must_use]
    pub fn charges_count(&self) -> usize {
        self.disk.points_count()
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &FairConfig {
        &self.config
    }

    /// Holds the state against its invariants; the work is linear.
    ///
    /// # Errors
    /// With the first that is broken.
    pub fn check(&self) -> Result<(), Violation> {
        let broken = |detail: &str| Err(Violation::new("fair storage", detail.into()));
        if !self.disk.is_sound(self.now_ms) {
            return broken("the tree of charges is unsound, or holds what has expired");
        }
        if self.wake_ms.is_some() != self.queues.first().is_some() {
            return broken("a wake-up without a put, or a put without a wake-up");
        }
        if self.wake_ms.is_some_and(|at| at <= self.now_ms) {
            return broken("a wake-up is overdue");
        }
        let mut stored = alloc::collections::BTreeMap::<ClientId, u64>::new();
        self.disk.each().for_each(|(client, bytes)| *stored.entry(client).or_default() += bytes);
        let used = self.usages().filter(|(_, usage)| usage.stored_bytes > 0);
        if !used.map(|(client, usage)| (client, usage.stored_bytes)).eq(stored) {
            return broken("what clients store is not what is charged");
        }
        self.queues.check(&self.config).or_else(broken)
    }

    /// Moves the clock; what has expired is charged no more.
    fn pass_to(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        while let Some((client, bytes)) = self.disk.expire(now_ms) {
            self.queues.uncharge(&self.config, client, bytes);
        }
    }

    /// A serving round, now.
    fn serve(&mut self, accepted: &mut Vec<Accepted<P>>) {
        self.wake_ms = None;
        while let Some(&first) = self.queues.first() {
            if !self.disk.fits(self.now_ms, first.bytes, first.ttl_ms) {
                self.wake_ms = Some(self.disk.earliest(self.now_ms, first.bytes, first.ttl_ms));
                return;
            }
            let expires_ms = self.now_ms + first.ttl_ms;
            let charged =
                if first.ttl_ms > 0 { self.disk.add(first.client, first.bytes, expires_ms) } else { 0 };
            self.queues.accept_first(&self.config, charged);
            accepted.push(Accepted { put: first.put, client: first.client, at_ms: self.now_ms, expires_ms });
        }
    }
}
