//! Clients' records ask for room: the fair allocation ([`super::fair`]) before a bounded disk.
//!
//! ```text
//!   offer ──▶ fair: accepted ──────────────────────▶ written
//!              │      waits ──▶ kept in memory ──▶ next_admission, admit ──▶ written, nobody asked again
//!              │                                                │ the node is halted, or busy: held up, charged, written after that
//!              └ no room in its client's queue ──▶ refused, over capacity
//!   put (handoff, repair, restart) ────────────────▶ written, charged without asking
//! ```
//!
//! Of the disk's bound a quarter is the reserve: clients share the rest. What comes by handoff and repair is charged to whoever
//! put it, never queued or refused while the disk holds it; as long as that fills more than the shared part, nothing new is
//! admitted. So a full network that loses a node keeps its promise, and its disks hold what that means.
//!
//! What is charged: each live record of the index until its end, and each admitted record whose write is under way.
//! Without a bound on the store there is nothing to share, and every record is admitted at once.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::vec::Vec;

use super::fair::{Accepted, Fair, FairConfig, Place, Usage};
use super::index::cost_bytes;
use super::proof::PROOF_BYTES;
use super::record::{HEAD_BYTES, Head, Identity, Record};
use super::{ClientId, StoreConfig};
use crate::overlay::Violation;
use crate::time::{Duration, Wall};

/// Of a hundred bytes of the disk, those that clients share; the rest is for handoff and repair.
pub const SHARED_PERCENT: u64 = 75;
/// Bytes of records that wait for room, of all clients; beyond it further ones are refused. A client that has some waiting may add as long
/// as that is at most a sixteenth of the room left, so that those who ask for more than their share leave room for others, until one record of each fills it (Choudhury,
/// Hahne, *Dynamic queue length thresholds for shared-memory packet switches*, 1998).
pub(super) const WAITING_BYTES_MAX: u64 = 16 << 20;
/// The part of the room left that one client may fill.
const WAITING_OF_CLIENT: u64 = 16;
/// What a short record counts for.
const WAITING_BYTES_MIN: u64 = 1 << 10;
/// So no more than so many wait.
pub(super) const WAITING_MAX: usize = (WAITING_BYTES_MAX / WAITING_BYTES_MIN) as usize;

/// What a signed value of that length costs: nothing costs more where values are at most so long.
#[must_use]
pub fn put_bytes_max(value_bytes_max: u32) -> u64 {
    (HEAD_BYTES + PROOF_BYTES) as u64 + u64::from(value_bytes_max)
}

/// What a client uses of a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    /// Who.
    pub client: ClientId,
    /// What.
    pub usage: Usage,
}

/// How full a bounded disk is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Room {
    /// What clients share, in bytes; 0: the disk is not bounded.
    pub shared_bytes: u64,
    /// What is charged.
    pub charged_bytes: u64,
    /// Records that wait.
    pub waiting_count: u64,
    /// Clients that are known.
    pub clients_count: u64,
}

/// A record that waits for room.
#[derive(Debug)]
struct Waiting<W> {
    record: Record,
    /// Who asks at this moment; nobody is kept waiting beyond it.
    waiter: Option<W>,
    /// Who asked for room, for how much, until when: since then a greater copy may have taken its place.
    client: ClientId,
    bytes: u64,
    ends_ms: u64,
    place: Option<Place>,
}

/// What becomes of a record that is offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Offer {
    /// It is among the admitted.
    Admitted,
    /// It will be admitted in about so long, without being offered again.
    Waits(Duration),
    /// It is not taken.
    Refused,
}

/// Records that may be written now, in this order, each with who asks for it at this moment.
pub(super) type Admitted<W> = Vec<(Record, Option<W>)>;

/// The room of one store.
#[derive(Debug)]
pub(super) struct Admission<W> {
    /// `None`: the disk is not bounded.
    fair: Option<Box<Fair<Identity>>>,
    waiting: BTreeMap<Identity, Waiting<W>>,
    /// What they count for, and the records that are held up.
    waiting_bytes: u64,
    /// What those that wait count for, by client.
    waiting_of: BTreeMap<ClientId, u64>,
    /// The greatest life that the allocation knows.
    ttl_ms_max: u64,
    /// Admitted records whose writes are under way.
    writing: BTreeMap<Identity, Head>,
    /// Admitted records whose writes could not begin yet; they are among `writing`.
    held_up: VecDeque<Record>,
    /// Reused.
    accepted: Vec<Accepted<Identity>>,
}

/// The end of a life in the allocation's time.
fn ends_ms(head: &Head) -> u64 {
    head.expires().0.div_ceil(1000)
}

/// What a record of that cost counts for while it waits.
fn weight(bytes: u64) -> u64 {
    bytes.max(WAITING_BYTES_MIN)
}

fn ms(now: Wall) -> u64 {
    now.0 / 1000
}

impl<W> Admission<W> {
    pub(super) fn new(config: &StoreConfig) -> Admission<W> {
        let bounded = config.store_bytes_max != u64::MAX;
        let shared = config.store_bytes_max / 100 * SHARED_PERCENT;
        let greatest = put_bytes_max(config.value_bytes_max);
        let paper = || FairConfig::paper(shared, config.ttl_max.as_millis(), greatest);
        let fair = bounded.then(paper).flatten();
        Admission {
            fair: fair.map(|fair| Box::new(Fair::new(FairConfig { queued_max: WAITING_MAX, ..fair }))),
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            waiting_of: BTreeMap::new(),
            ttl_ms_max: config.ttl_max.as_millis(),
            writing: BTreeMap::new(),
            held_up: VecDeque::new(),
            accepted: Vec::new(),
        }
    }

    /// Whether clients share a bounded disk at all.
    pub(super) const fn is_bounded(&self) -> bool {
        self.fair.is_some()
    }

    /// A client's record asks for room. One that waits already is merged with what waits, and keeps its place. Others may be
    /// admitted beside it: their hour has come.
    pub(super) fn offer(&mut self, now: Wall, record: Record, waiter: Option<W>) -> (Offer, Admitted<W>) {
        if self.fair.is_none() {
            return (Offer::Admitted, [(record, waiter)].into());
        }
        let Head { identity, client, .. } = record.head;
        let mut admitted = self.admit(now);
        let covers = |admitted: &Head| admitted.identity == identity && admitted.rank() >= record.head.rank();
        if let Some(own) = admitted.iter_mut().find(|(admitted, _)| covers(&admitted.head)) {
            // Its hour has come just now.
            own.1 = waiter;
            return (Offer::Admitted, admitted);
        }
        let Some(fair) = &mut self.fair else { return (Offer::Refused, admitted) };
        if let Some(waiting) = self.waiting.get_mut(&identity) {
            let wait = waiting.place.and_then(|place| fair.expected_wait_ms(place)).unwrap_or(0);
            // What waits may not grow: it has its place for what it asked room for. A copy that needs more asks when this one is
            // through.
            let fits = cost_bytes(&record.head) <= waiting.bytes && ends_ms(&record.head) <= waiting.ends_ms;
            if fits && record.head.rank() > waiting.record.head.rank() {
                waiting.record = record;
            }
            return (Offer::Waits(Duration::from_millis(wait)), admitted);
        }
        let bytes = cost_bytes(&record.head);
        let (of_client, more) = (self.waiting_of.get(&client).copied().unwrap_or(0), weight(bytes));
        let left = WAITING_BYTES_MAX.saturating_sub(self.waiting_bytes + more);
        let too_much = of_client > 0 && of_client + more > left / WAITING_OF_CLIENT;
        if too_much || self.waiting_bytes + more > WAITING_BYTES_MAX {
            return (Offer::Refused, admitted);
        }
        let ends_ms = ends_ms(&record.head);
        // A gateway's clock may be ahead, and removes outlive what they hide: the charge follows the true end (`take`).
        let ttl_ms = ends_ms.saturating_sub(ms(now)).min(self.ttl_ms_max);
        let mut accepted = core::mem::take(&mut self.accepted);
        self.waiting_bytes += more;
        *self.waiting_of.entry(client).or_default() += more;
        self.waiting.insert(identity, Waiting { record, waiter, client, bytes, ends_ms, place: None });
        let arrived = fair.arrive(ms(now), client, identity, bytes, ttl_ms, &mut accepted);
        admitted.extend(self.take(now, accepted));
        let Ok(place) = arrived else {
            self.withdraw(&identity);
            return (Offer::Refused, admitted);
        };
        let Some(waiting) = self.waiting.get_mut(&identity) else { return (Offer::Admitted, admitted) };
        (waiting.waiter, waiting.place) = (None, Some(place));
        let wait = self.fair.as_ref().and_then(|fair| fair.expected_wait_ms(place)).unwrap_or(0);
        (Offer::Waits(Duration::from_millis(wait)), admitted)
    }

    /// Time has passed: what is admitted by now, in order.
    pub(super) fn admit(&mut self, now: Wall) -> Admitted<W> {
        let Some(fair) = &mut self.fair else { return Vec::new() };
        let mut accepted = core::mem::take(&mut self.accepted);
        fair.wake(ms(now), &mut accepted);
        self.take(now, accepted)
    }

    /// When something may be admitted next.
    pub(super) fn next(&self) -> Option<Wall> {
        Some(Wall(self.fair.as_ref()?.deadline()?.saturating_mul(1000)))
    }

    /// The write of an admitted or of any other record has ended; `old`: what the index held of its identity.
    pub(super) fn written(&mut self, now: Wall, head: &Head, old: Option<&Head>) {
        self.charge(now, head);
        self.ended(now, head);
        if let Some(old) = old {
            self.release(now, old);
        }
    }

    /// The write has failed, or was not begun.
    pub(super) fn ended(&mut self, now: Wall, head: &Head) {
        if self.writing.get(&head.identity).is_some_and(|writing| writing == head) {
            self.abandon(now, &head.identity);
        }
    }

    /// Nothing of this identity is being written any more.
    pub(super) fn abandon(&mut self, now: Wall, identity: &Identity) {
        if let Some(head) = self.writing.remove(identity) {
            self.release(now, &head);
        }
    }

    /// The index holds it: charged until its end, without asking.
    pub(super) fn charge(&mut self, now: Wall, head: &Head) {
        #[cfg(keyway_bug = "store_quota_not_charged")]
        // planted: copies that are handed over cost nobody anything
        if !self.writing.contains_key(&head.identity) {
            return;
        }
        if let Some(fair) = &mut self.fair {
            fair.commit(ms(now), head.client, cost_bytes(head), ends_ms(head), &mut self.accepted);
        }
    }

    /// The index holds it no more.
    pub(super) fn release(&mut self, now: Wall, head: &Head) {
        if let Some(fair) = &mut self.fair {
            fair.release(ms(now), head.client, cost_bytes(head), ends_ms(head), &mut self.accepted);
        }
    }

    /// Records that were let through by what has happened meanwhile.
    pub(super) fn take_admitted(&mut self, now: Wall) -> Admitted<W> {
        if self.accepted.is_empty() {
            return Vec::new();
        }
        let accepted = core::mem::take(&mut self.accepted);
        self.take(now, accepted)
    }

    /// Keeps an admitted record, with its charge, until [`Admission::take_held_up`]; false if too many are kept, or if it is not the last that
    /// was admitted of its identity.
    pub(super) fn hold_up(&mut self, record: Record) -> bool {
        let bytes = weight(cost_bytes(&record.head));
        let is_last = self.writing.get(&record.head.identity).is_some_and(|head| *head == record.head);
        let fits = self.waiting_bytes + bytes <= WAITING_BYTES_MAX;
        if is_last && fits {
            self.waiting_bytes += bytes;
            self.held_up.push_back(record);
        }
        is_last && fits
    }

    /// The next record whose write can begin now.
    pub(super) fn take_held_up(&mut self) -> Option<Record> {
        let record = self.held_up.pop_front()?;
        self.waiting_bytes -= weight(cost_bytes(&record.head));
        Some(record)
    }

    /// The records behind what the allocation has accepted. One that waited has less of its life left than it was
    /// accepted for: the charge follows the record.
    fn take(&mut self, now: Wall, mut accepted: Vec<Accepted<Identity>>) -> Admitted<W> {
        let mut admitted = Vec::new();
        while let Some(one) = (!accepted.is_empty()).then(|| accepted.remove(0)) {
            let Some(Waiting { record, waiter, bytes: asked, .. }) = self.withdraw(&one.put) else {
                continue;
            };
            let head = record.head;
            let (bytes, ends) = (cost_bytes(&head), ends_ms(&head));
            if let Some(fair) = &mut self.fair
                && (one.expires_ms, one.client, asked) != (ends, head.client, bytes)
            {
                fair.commit(ms(now), head.client, bytes, ends, &mut accepted);
                fair.release(ms(now), one.client, asked, one.expires_ms, &mut accepted);
            }
            // One at a time: of two for one identity the earlier is not written, or will be replaced.
            if let Some(before) = self.writing.insert(head.identity, head)
                && let Some(fair) = &mut self.fair
            {
                let (bytes, ends) = (cost_bytes(&before), ends_ms(&before));
                fair.release(ms(now), before.client, bytes, ends, &mut accepted);
            }
            admitted.push((record, waiter));
        }
        self.accepted = accepted;
        admitted
    }

    fn withdraw(&mut self, identity: &Identity) -> Option<Waiting<W>> {
        let waiting = self.waiting.remove(identity)?;
        let less = weight(waiting.bytes);
        self.waiting_bytes -= less;
        if let Some(of_client) = self.waiting_of.get_mut(&waiting.client) {
            *of_client -= less;
            if *of_client == 0 {
                self.waiting_of.remove(&waiting.client);
            }
        }
        Some(waiting)
    }

    pub(super) fn room(&self) -> Room {
        self.fair.as_ref().map_or_else(Room::default, |fair| Room {
            shared_bytes: fair.config().capacity_bytes,
            charged_bytes: fair.stored_bytes(),
            waiting_count: (self.waiting.len() + self.held_up.len()) as u64,
            clients_count: fair.clients_count() as u64,
        })
    }

    /// What each client uses, those who use most first; at most `max`.
    pub(super) fn shares(&self, max: usize) -> Vec<Share> {
        let Some(fair) = &self.fair else { return Vec::new() };
        let mut shares: Vec<Share> = fair.usages().map(|(client, usage)| Share { client, usage }).collect();
        shares.sort_by_key(|share| (core::cmp::Reverse(share.usage.stored_bytes), share.client));
        shares.truncate(max);
        shares
    }

    /// Sizes of the bounded tables: `(name, now, bound)`.
    pub(super) fn bounds(&self) -> (&'static str, usize, usize) {
        ("store.waiting", self.waiting.len() + self.held_up.len(), WAITING_MAX)
    }

    /// The allocation keeps its rules, and charges what is there: the live records of the index and what is being written.
    pub(super) fn check<'a>(&'a self, held: impl Iterator<Item = &'a Head>) -> Result<(), Violation> {
        let Some(fair) = &self.fair else { return Ok(()) };
        fair.check()?;
        let live = |head: &&Head| ends_ms(head) > fair.time_ms();
        let there: u64 = held.chain(self.writing.values()).filter(live).map(cost_bytes).sum();
        if there != fair.stored_bytes() {
            let seen =
                format!("{there} bytes live or are being written, {} are charged", fair.stored_bytes());
            return Err(Violation::new("store.charges", seen));
        }
        Ok(())
    }
}
