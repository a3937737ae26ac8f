//! A client's put or remove: find the replica set, send the record to all R of it, answer after W durable
//! acknowledgements; a remove waits for so many that every quorum read meets one.
//!
//! ```text
//!  op ──▶ lookup ──▶ (prior.rs) ──▶ Store to R replicas (this node's own copy among them)
//!            ▲                          │ Stored ×W ────────────▶ acknowledged
//!            └─ backoff ────────────────┘ else: NotMine, refused or silent, until OP_TIME_MAX
//! ```
//!
//! The record, with its put time, is fixed once: a repeated attempt sends the same bytes, so that attempts merge. A record of a snapshot
//! goes the same way, and nothing of it is changed: where a remove would be made longer, it is refused.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::find::For;
use super::message::{Message, Verdict};
use super::prior::{Prior, Wanted};
use super::timers::OpTimer;
use super::{Node, OP_TIME_MAX, SKEW_MAX, Turn, Waiter, Why, origin_of};
use crate::machine::{Fate, Op, OpDone, OpError, OpId, PutReceipt, RemoveReceipt, RestoreReceipt, SignedPut};
use crate::overlay::Overlay;
use crate::peer::Peer;
use crate::rpc::Class;
use crate::store::proof::Claim;
use crate::store::record::SECRET_BYTES_MAX;
use crate::store::{Head, Kind, Record, Refusal, TTL_MIN};
use crate::time::{Duration, Mono, Wall};

/// First wait between two attempts; doubles.
pub(super) const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// Longest wait between two attempts.
pub(super) const BACKOFF_MAX: Duration = Duration::from_millis(1600);

/// A put or remove under way.
#[derive(Clone, Debug)]
pub(super) struct Put {
    op: OpId,
    pub(super) record: Record,
    /// It was put before, and is put back as it was.
    pub(super) restores: bool,
    /// Acknowledgements that it waits for.
    need: u8,
    /// What is to be known before the record is sent.
    pub(super) prior: Option<Prior>,
    /// Whether a copy of its identity was seen before.
    pub(super) found: bool,
    /// A replica has a removal that hides it.
    hidden: bool,
    pub(super) set: Vec<Peer>,
    acked: Vec<Peer>,
    /// The first attempt whose acknowledgements are for the record as it is now.
    acks_from: u8,
    waiting: u8,
    pub(super) attempt: u8,
    /// When it is given up.
    over: Mono,
    /// Between two attempts.
    resting: bool,
    /// How long replicas of this attempt say that it waits for room there.
    waits: Vec<Duration>,
    /// The last definite refusal, for the error.
    refusal: Option<Refusal>,
    /// How many of the replicas asked last have no room for it.
    full: u8,
    /// Somebody may hold it: stored it, stayed silent, or has a write under way.
    maybe_held: bool,
    /// Who held a copy before that lives longer, and until when.
    longer: Vec<(Peer, Wall)>,
}

impl Put {
    /// Until when as many have it as are needed: putting again only lengthens a life, and may find a longer one.
    fn end(&self) -> Option<Wall> {
        let own = self.record.head.expires();
        let of = |peer: &Peer| {
            self.longer.iter().find(|(who, _)| who == peer).map_or(own, |(_, end)| own.max(*end))
        };
        let mut ends: Vec<Wall> = self.acked.iter().filter(|peer| self.set.contains(peer)).map(of).collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        ends.get(usize::from(self.need).checked_sub(1)?).copied()
    }

    /// When so many will have it as are needed, of those who have it and those who say that it waits there; `None` if they are too few.
    fn room_in(&self) -> Option<Duration> {
        let counted = self.acked.iter().filter(|peer| self.set.contains(peer)).count();
        let missing = usize::from(self.need).checked_sub(counted + 1)?;
        let mut waits = self.waits.clone();
        waits.sort_unstable();
        waits.get(missing).copied()
    }
}

/// Puts of one instant are told apart for so long, a microsecond each.
const INSTANT_MAX: Duration = Duration::from_millis(10);

pub(super) fn backoff(attempt: u8) -> Duration {
    BACKOFF_MIN.times(1 << u64::from(attempt.min(6))).min(BACKOFF_MAX)
}

impl<O: Overlay> Node<O> {
    /// A client's operation that stores a record.
    pub(super) fn on_put(&mut self, t: &mut Turn<'_, O>, op: OpId, what: Op) {
        self.counters.puts += 1;
        let restores = matches!(what, Op::Restore(_));
        let asked = self.put_time(t.now.wall);
        let asked = self.record_of(asked, what);
        let admissible = |record: &Record| self.admissible(record, restores);
        match asked.and_then(|(record, wanted)| admissible(&record).map(|()| (record, wanted))) {
            Ok((record, wanted)) => self.begin_put(t, op, record, wanted, restores),
            Err(error) => {
                self.counters.puts_failed += 1;
                self.done(t, op, Err(error));
            }
        }
    }

    /// The time of a new put. Values stand in the order in which they were put, so of several in one instant each stands behind the one
    /// before; a clock that was set back is believed.
    fn put_time(&mut self, now: Wall) -> Wall {
        let next = self.last_put + Duration(1);
        self.last_put = if next > now && next.since(now) <= INSTANT_MAX { next } else { now };
        self.last_put
    }

    /// The record that an operation asks to store, and what must be known before.
    fn record_of(&self, now: Wall, what: Op) -> Result<(Record, Option<Wanted>), OpError> {
        let origin = origin_of(self.me().id());
        match what {
            Op::Put { key, value, ttl, secret_hash, client } => {
                let record = Record::plain(key, value, now, ttl, origin);
                Ok((record.guarded_by(secret_hash).charged_to(client), None))
            }
            Op::PutImmutable { value, ttl, client } => {
                Ok((Record::immutable(value, now, ttl, origin).charged_to(client), None))
            }
            Op::Remove { key, value_hash, secret, ttl, client } => {
                let record = Record::removal(key, value_hash, secret, now, ttl, origin);
                Ok((record.charged_to(client), Some(Wanted::Life(ttl))))
            }
            Op::PutSigned(put) => {
                let SignedPut { kind, key, content, seq, proof, cas, client } = *put;
                let over = u128::from(proof.expires_secs) * 1_000_000 <= u128::from(now.0);
                if over && !cfg!(keyway_bug = "store_replay_accepted") {
                    let claim = Claim { kind, network: self.network, key: &key, content: &content, seq };
                    // What nobody has signed is no old value, whatever end it names.
                    return Err(if claim.is_proven_by(&proof) { OpError::Expired } else { OpError::Forged });
                }
                let record = Record::signed(kind, key, &content, seq, &proof, now, origin);
                let record = record.filter(|record| record.is_authentic(self.network));
                let record = record.ok_or(OpError::Forged)?.charged_to(client);
                let wanted = match cas {
                    Some(number) => Some(Wanted::At(number)),
                    None => kind.is_remove().then_some(Wanted::Found),
                };
                Ok((record, wanted))
            }
            Op::Restore(record) => {
                let record = self.restorable(now, *record)?;
                // Where it hides what lives longer it would have to be made longer, and so be another one.
                let wanted = record.head.kind.is_remove().then_some(Wanted::Found);
                Ok((record, wanted))
            }
            _ => Err(OpError::Busy),
        }
    }

    /// A record of a snapshot, if it is what it says and its time is not over.
    fn restorable(&self, now: Wall, record: Record) -> Result<Record, OpError> {
        if !record.is_intact() || !record.is_authentic(self.network) {
            return Err(OpError::Forged);
        }
        if record.head.expires() <= now {
            return Err(OpError::Expired);
        }
        if record.head.put_time > now + SKEW_MAX {
            return Err(OpError::ClockSkew);
        }
        #[cfg(keyway_bug = "node_restore_renews")] // planted: what is put back begins its life again
        let record = Record { head: Head { put_time: now, ..record.head }, ..record };
        Ok(record)
    }

    /// What a record may not be, whatever the replicas hold.
    fn admissible(&self, record: &Record, restores: bool) -> Result<(), OpError> {
        let (max, ttl_max) = (self.config.value_bytes_max, self.config.ttl_max);
        // A remove may have been made so much longer when it was new.
        let beyond = if restores && record.head.kind == Kind::Remove { 2 * SKEW_MAX.0 } else { 0 };
        let longest = Duration(ttl_max.0.saturating_add(beyond));
        let of_value = !record.head.kind.is_remove();
        let bytes = record.content().len() as u64;
        if of_value && bytes > u64::from(max) {
            return Err(OpError::TooLarge { bytes, max: max.into() });
        }
        if !of_value && !record.is_intact() {
            // A secret that is too long.
            return Err(OpError::TooLarge { bytes, max: SECRET_BYTES_MAX as u64 });
        }
        if record.head.ttl < TTL_MIN || record.head.ttl > longest {
            return Err(OpError::BadTtl { max_secs: ttl_max.as_secs() });
        }
        self.store.halt().map_or(Ok(()), |halt| Err(OpError::Halted(halt)))
    }

    fn begin_put(
        &mut self,
        t: &mut Turn<'_, O>,
        op: OpId,
        record: Record,
        wanted: Option<Wanted>,
        restores: bool,
    ) {
        let key = record.head.identity.key;
        let removes = record.head.kind.is_remove();
        let serial = self.serial();
        let over = t.now.mono + OP_TIME_MAX;
        let put = Put {
            op,
            record,
            restores,
            need: if removes { self.config.remove_acks() } else { self.config.acks },
            prior: wanted.map(Prior::new),
            found: false,
            hidden: false,
            set: Vec::new(),
            acked: Vec::new(),
            acks_from: 0,
            waiting: 0,
            attempt: 0,
            over,
            resting: false,
            waits: Vec::new(),
            refusal: None,
            full: 0,
            maybe_held: false,
            longer: Vec::new(),
        };
        self.puts.insert(serial, put);
        self.op_timers.arm(OpTimer::Over, serial, over);
        self.find(t, key, self.config.replicas, false, For::Put(serial));
    }

    /// The replica set is known (or the lookup failed: it is empty).
    pub(super) fn put_to(&mut self, t: &mut Turn<'_, O>, serial: u64, set: Vec<Peer>) {
        let Some(put) = self.puts.get_mut(&serial) else { return };
        if !set.is_empty() && set.len() < usize::from(put.need) && put.attempt > 0 {
            let (got, want) = (set.len() as u8, put.need);
            return self.end_put(t, serial, Err(OpError::Quorum { got, want }));
        }
        put.set = set;
        put.set.truncate(usize::from(self.config.replicas));
        if put.prior.is_some() { self.ask_prior(t, serial) } else { self.send_put(t, serial) }
    }

    /// Sends the record to the replica set.
    pub(super) fn send_put(&mut self, t: &mut Turn<'_, O>, serial: u64) {
        let me = *self.me().id();
        let Some(put) = self.puts.get_mut(&serial) else { return };
        put.attempt += 1;
        let (attempt, record, peers, acked) =
            (put.attempt, put.record.clone(), put.set.clone(), put.acked.clone());
        put.waiting = peers.len() as u8;
        put.waits.clear();
        put.full = 0;
        for peer in &peers {
            if acked.contains(peer) {
                self.on_verdict(t, serial, attempt, peer.clone(), Verdict::Stored);
            } else if *peer.id() == me {
                let waiter = Waiter::Put { op: serial, attempt };
                if let Some(verdict) = self.take_for_client(t, record.clone(), waiter) {
                    self.on_verdict(t, serial, attempt, peer.clone(), verdict);
                }
            } else {
                let why = Why::Store { op: serial, attempt };
                if !self.call(t, peer, Message::Store(Box::new(record.clone())), Class::Disk, why) {
                    self.on_store_unanswered(t, serial, attempt);
                }
            }
        }
        if peers.is_empty() {
            self.put_later(t, serial);
        }
    }

    /// This node's own copy is durable, or not.
    pub(super) fn on_own_stored(
        &mut self,
        t: &mut Turn<'_, O>,
        op: u64,
        attempt: u8,
        result: Result<(), Refusal>,
    ) {
        let verdict = result.map_or_else(Verdict::Refused, |()| Verdict::Stored);
        let me = self.me().clone();
        self.on_verdict(t, op, attempt, me, verdict);
    }

    pub(super) fn on_verdict(
        &mut self,
        t: &mut Turn<'_, O>,
        serial: u64,
        attempt: u8,
        from: Peer,
        verdict: Verdict,
    ) {
        let longest = Duration(self.config.ttl_max.0.saturating_add(2 * SKEW_MAX.0));
        let Some(put) = self.puts.get_mut(&serial) else { return };
        if put.attempt == attempt {
            put.waiting = put.waiting.saturating_sub(1);
        }
        match verdict {
            Verdict::Stored | Verdict::Hidden | Verdict::Longer(_) => {
                put.maybe_held = true;
                put.hidden |= verdict == Verdict::Hidden;
                if let Verdict::Longer(end) = verdict {
                    put.longer.retain(|(peer, _)| *peer != from);
                    put.longer.push((from.clone(), end.min(t.now.wall + longest)));
                }
                if attempt >= put.acks_from && !put.acked.contains(&from) {
                    put.acked.push(from);
                }
            }
            Verdict::NotMine => {}
            Verdict::Waiting(expected) => {
                put.maybe_held = true;
                put.waits.push(expected);
            }
            // What it hides lives longer there: from now on so does it, everywhere.
            Verdict::Refused(Refusal::Outlived(end))
                if put.record.head.kind == Kind::Remove && !put.restores =>
            {
                let life = end.since(put.record.head.put_time).min(longest);
                if life > put.record.head.ttl {
                    put.record.head.ttl = life;
                    put.acked.clear();
                    put.acks_from = put.attempt + 1;
                }
                put.found = true;
            }
            Verdict::Refused(Refusal::Stale(seq)) if put.restores => {
                let done = superseded(put, seq, self.config.replicas);
                return self.end_put(t, serial, Ok(done));
            }
            Verdict::Refused(Refusal::Stale(seq)) => {
                return self.end_put(t, serial, Err(OpError::Conflict { seq }));
            }
            Verdict::Refused(Refusal::Outlived(expires)) => {
                return self.end_put(t, serial, Err(OpError::Outlived { expires }));
            }
            // A write that failed may have reached the disk.
            Verdict::Refused(why) => {
                put.maybe_held |= matches!(why, Refusal::Halted(_));
                put.full += u8::from(why == Refusal::OverCapacity && put.attempt == attempt);
                put.refusal = Some(why);
            }
        }
        // Only copies in the replica set as it is known now count.
        let counted = put.acked.iter().filter(|p| put.set.contains(p)).count();
        let enough =
            counted >= if cfg!(keyway_bug = "node_ack_too_early") { 1 } else { usize::from(put.need) };
        if enough {
            let done = receipt(put, self.config.replicas);
            return self.end_put(t, serial, Ok(done));
        }
        if put.waiting == 0 && put.attempt == attempt {
            self.put_later(t, serial);
        }
    }

    pub(super) fn on_store_unanswered(&mut self, t: &mut Turn<'_, O>, serial: u64, attempt: u8) {
        let Some(put) = self.puts.get_mut(&serial) else { return };
        put.maybe_held = true;
        if put.attempt != attempt {
            return;
        }
        put.waiting = put.waiting.saturating_sub(1);
        if put.waiting == 0 {
            self.put_later(t, serial);
        }
    }

    /// All of this attempt have spoken and too few agreed: look the key up again after a while.
    pub(super) fn put_later(&mut self, t: &mut Turn<'_, O>, serial: u64) {
        let Some(put) = self.puts.get_mut(&serial) else { return };
        if let Some(error) = definite(put.refusal, &put.record, &self.config) {
            return self.end_put(t, serial, Err(error));
        }
        // Refused at once, and offered no more (`opendht` section 3.3): who asks too much keeps nobody waiting.
        if usize::from(put.full) > put.set.len().saturating_sub(usize::from(put.need)) {
            return self.end_put(t, serial, Err(OpError::OverCapacity));
        }
        let mut wait = backoff(put.attempt);
        if let Some(expected) = put.room_in() {
            if t.now.mono + expected > put.over {
                return self.end_put(t, serial, Err(OpError::Waiting { expected }));
            }
            wait = wait.max(expected);
        }
        let Some(put) = self.puts.get_mut(&serial) else { return };
        if !core::mem::replace(&mut put.resting, true) {
            self.op_timers.arm(OpTimer::Again, serial, t.now.mono + wait);
        }
    }

    pub(super) fn put_again(&mut self, t: &mut Turn<'_, O>, serial: u64) {
        let Some(put) = self.puts.get_mut(&serial) else { return };
        put.resting = false;
        let key = put.record.head.identity.key;
        self.find(t, key, self.config.replicas, false, For::Put(serial));
    }

    pub(super) fn put_over(&mut self, t: &mut Turn<'_, O>, serial: u64) {
        let Some(put) = self.puts.get(&serial) else { return };
        let got = put.acked.iter().filter(|p| put.set.contains(p)).count() as u8;
        let error = match put.refusal {
            _ if put.record.head.expires() <= t.now.wall => OpError::Expired,
            _ if put.room_in().is_some() => {
                OpError::Waiting { expected: put.room_in().unwrap_or(Duration::ZERO) }
            }
            Some(Refusal::OverCapacity) => OpError::OverCapacity,
            Some(Refusal::FromTheFuture) => OpError::ClockSkew,
            // "Nothing was done": only if nobody waits, either.
            Some(Refusal::Busy) if !put.maybe_held && put.waiting == 0 => OpError::Busy,
            _ => OpError::Quorum { got, want: put.need },
        };
        self.end_put(t, serial, Err(error));
    }

    pub(super) fn end_put(&mut self, t: &mut Turn<'_, O>, serial: u64, result: Result<OpDone, OpError>) {
        let Some(put) = self.puts.remove(&serial) else { return };
        self.op_timers.disarm(OpTimer::Over, serial, put.over);
        self.counters.puts_failed += u64::from(result.is_err());
        self.done(t, put.op, result);
    }
}

/// What a client is told.
fn receipt(put: &Put, replicas: u8) -> OpDone {
    let Head { identity, kind, .. } = put.record.head;
    let (acked, expires) = (put.acked.clone(), put.record.head.expires());
    if put.restores {
        let fate = if put.hidden { Fate::Hidden } else { Fate::Stands };
        return OpDone::Restored(RestoreReceipt { identity, fate, acked, replicas, expires });
    }
    let expires = put.end().unwrap_or(expires);
    if kind.is_remove() {
        OpDone::Removed(RemoveReceipt { identity, found: put.found, acked, replicas, expires })
    } else {
        OpDone::Put(PutReceipt { identity, acked, replicas, expires, hidden: put.hidden })
    }
}

/// What is told of a number of a series that has been followed up.
pub(super) fn superseded(put: &Put, seq: u64, replicas: u8) -> OpDone {
    let (identity, expires) = (put.record.head.identity, put.record.head.expires());
    let fate = Fate::Superseded(seq);
    OpDone::Restored(RestoreReceipt { identity, fate, acked: Vec::new(), replicas, expires })
}

/// A refusal that no other replica set would take back.
fn definite(
    refusal: Option<Refusal>,
    record: &Record,
    config: &crate::machine::NodeConfig,
) -> Option<OpError> {
    match refusal? {
        Refusal::TooLarge => Some(OpError::TooLarge {
            bytes: record.content().len() as u64,
            max: u64::from(config.value_bytes_max),
        }),
        Refusal::Forged => Some(OpError::Forged),
        Refusal::BadTtl => Some(OpError::BadTtl { max_secs: config.ttl_max.as_secs() }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;
    use crate::peer::Addr;

    /// One copy that lives longer promises nothing; as many as a put needs do.
    #[test]
    fn a_receipt_tells_the_end_that_enough_copies_share() {
        let peers: Vec<Peer> =
            (1..=3).map(|n| Peer::new(Id::from_u64(n), Addr::loopback(n as u16))).collect();
        let record = Record::plain(Id::from_u64(9), Vec::new(), Wall(0), Duration(100), 1);
        let mut put = Put {
            op: OpId(1),
            record,
            restores: false,
            need: 2,
            prior: None,
            found: false,
            hidden: false,
            set: peers.clone(),
            acked: peers[..2].to_vec(),
            acks_from: 0,
            waiting: 0,
            attempt: 1,
            over: Mono(0),
            resting: false,
            waits: Vec::new(),
            refusal: None,
            full: 0,
            maybe_held: true,
            longer: Vec::from([(peers[0].clone(), Wall(900))]),
        };
        assert_eq!(put.end(), Some(Wall(100)), "the other copy ends then");
        put.longer.push((peers[1].clone(), Wall(500)));
        assert_eq!(put.end(), Some(Wall(500)));
        put.acked.push(peers[2].clone());
        assert_eq!(put.end(), Some(Wall(500)));
        // Whoever holds copies no more does not count.
        put.set.remove(0);
        assert_eq!(put.end(), Some(Wall(100)));
    }
}
