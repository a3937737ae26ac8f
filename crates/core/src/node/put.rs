//! A client's put: find the replica set, send the record to all R of it, answer after W durable acknowledgements.
//!
//! ```text
//!  op ──▶ lookup ──▶ Store to R replicas (this node's own copy among them)
//!            ▲            │ Stored ×W ────────────▶ acknowledged
//!            └─ backoff ──┘ else: NotMine, refused or silent, until OP_TIME_MAX
//! ```
//!
//! The record, with its put time, is fixed once: a repeated attempt sends the same bytes, so that attempts merge.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::find::For;
use super::message::{Message, Verdict};
use super::{Node, OP_TIME_MAX, Turn, Waiter, Why, origin_of};
use crate::id::Id;
use crate::machine::{OpDone, OpError, OpId, PutReceipt};
use crate::overlay::Overlay;
use crate::peer::Peer;
use crate::rpc::Class;
use crate::store::{Put as Stored, Record, Refusal};
use crate::time::{Duration, Mono};

/// First wait between two attempts; doubles.
pub(super) const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// Longest wait between two attempts.
pub(super) const BACKOFF_MAX: Duration = Duration::from_millis(1600);

/// A put under way.
#[derive(Clone, Debug)]
pub(super) struct Put {
    op: OpId,
    record: Record,
    set: Vec<Peer>,
    acked: Vec<Peer>,
    waiting: u8,
    attempt: u8,
    /// When it is given up.
    over: Mono,
    /// Between two attempts.
    resting: bool,
    /// The last definite refusal, for the error.
    refusal: Option<Refusal>,
    /// Somebody may hold it: stored it, stayed silent, or has a write under way.
    maybe_held: bool,
}

pub(super) fn backoff(attempt: u8) -> Duration {
    BACKOFF_MIN.times(1 << u64::from(attempt.min(6))).min(BACKOFF_MAX)
}

impl<O: Overlay> Node<O> {
    pub(super) fn put(&mut self, t: &mut Turn<'_, O>, op: OpId, key: Id, value: Vec<u8>, ttl: Duration) {
        self.counters.puts += 1;
        let refused = if value.len() > self.config.value_bytes_max as usize {
            Some(OpError::TooLarge { bytes: value.len() as u64, max: u64::from(self.config.value_bytes_max) })
        } else if ttl < Duration::from_secs(1) || ttl > self.config.ttl_max {
            Some(OpError::BadTtl { max_secs: self.config.ttl_max.as_secs() })
        } else {
            self.store.halt().map(OpError::Halted)
        };
        if let Some(error) = refused {
            self.counters.puts_failed += 1;
            return self.done(t, op, Err(error));
        }
        let record = Record::plain(key, value, t.now.wall, ttl, origin_of(self.me().id()));
        let serial = self.serial();
        let over = t.now.mono + OP_TIME_MAX;
        let put = Put {
            op,
            record,
            set: Vec::new(),
            acked: Vec::new(),
            waiting: 0,
            attempt: 0,
            over,
            resting: false,
            refusal: None,
            maybe_held: false,
        };
        self.puts.insert(serial, put);
        self.ops_over.arm(serial, over);
        self.find(t, key, self.config.replicas, false, For::Put(serial));
    }

    /// The replica set is known (or the lookup failed: it is empty).
    pub(super) fn put_to(&mut self, t: &mut Turn<'_, O>, serial: u64, set: Vec<Peer>) {
        let (me, want) = (*self.me().id(), self.config.acks);
        let Some(put) = self.puts.get_mut(&serial) else { return };
        if !set.is_empty() && set.len() < usize::from(want) && put.attempt > 0 {
            let got = set.len() as u8;
            return self.end_put(t, serial, Err(OpError::Quorum { got, want }));
        }
        put.set = set;
        put.set.truncate(usize::from(self.config.replicas));
        put.attempt += 1;
        let (attempt, record, peers, acked) =
            (put.attempt, put.record.clone(), put.set.clone(), put.acked.clone());
        put.waiting = peers.len() as u8;
        for peer in &peers {
            if acked.contains(peer) {
                self.on_verdict(t, serial, attempt, peer.clone(), Verdict::Stored);
            } else if *peer.id() == me {
                let verdict = self.store_own(t, serial, attempt, record.clone());
                if let Some(verdict) = verdict {
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

    fn store_own(&mut self, t: &mut Turn<'_, O>, op: u64, attempt: u8, record: Record) -> Option<Verdict> {
        let waiter = Waiter::Put { op, attempt };
        match self.store.put(t.now.wall, record, Some(waiter), &mut t.out.disk) {
            Stored::Held => Some(Verdict::Stored),
            Stored::Writing => None,
            Stored::Refused(why) => Some(Verdict::Refused(why)),
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
        let want = usize::from(self.config.acks);
        let Some(put) = self.puts.get_mut(&serial) else { return };
        if put.attempt == attempt {
            put.waiting = put.waiting.saturating_sub(1);
        }
        match verdict {
            Verdict::Stored => {
                put.maybe_held = true;
                if !put.acked.contains(&from) {
                    put.acked.push(from);
                }
            }
            Verdict::NotMine => {}
            // A write that failed may have reached the disk.
            Verdict::Refused(why) => {
                put.maybe_held |= matches!(why, Refusal::Halted(_));
                put.refusal = Some(why);
            }
        }
        // Only copies in the replica set as it is known now count.
        let counted = put.acked.iter().filter(|p| put.set.contains(p)).count();
        let enough = counted >= if cfg!(keyway_bug = "node_ack_too_early") { 1 } else { want };
        if enough {
            let receipt = PutReceipt {
                identity: put.record.head.identity,
                acked: put.acked.clone(),
                replicas: self.config.replicas,
                expires: put.record.head.expires(),
            };
            return self.end_put(t, serial, Ok(OpDone::Put(receipt)));
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
    fn put_later(&mut self, t: &mut Turn<'_, O>, serial: u64) {
        let Some(put) = self.puts.get_mut(&serial) else { return };
        if let Some(error) = definite(put.refusal, &put.record, &self.config) {
            return self.end_put(t, serial, Err(error));
        }
        if !core::mem::replace(&mut put.resting, true) {
            let wait = backoff(put.attempt);
            self.ops_again.arm(serial, t.now.mono + wait);
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
            Some(Refusal::OverCapacity) => OpError::OverCapacity,
            Some(Refusal::FromTheFuture) => OpError::ClockSkew,
            // "Nothing was done": only if nobody waits, either.
            Some(Refusal::Busy) if !put.maybe_held && put.waiting == 0 => OpError::Busy,
            _ => OpError::Quorum { got, want: self.config.acks },
        };
        self.end_put(t, serial, Err(error));
    }

    fn end_put(&mut self, t: &mut Turn<'_, O>, serial: u64, result: Result<OpDone, OpError>) {
        let Some(put) = self.puts.remove(&serial) else { return };
        self.ops_over.disarm(serial, put.over);
        self.counters.puts_failed += u64::from(result.is_err());
        self.done(t, put.op, result);
    }
}

/// A refusal that no other replica set would take back.
fn definite(
    refusal: Option<Refusal>,
    record: &Record,
    config: &crate::machine::NodeConfig,
) -> Option<OpError> {
    match refusal? {
        Refusal::TooLarge => Some(OpError::TooLarge {
            bytes: record.value.len() as u64,
            max: u64::from(config.value_bytes_max),
        }),
        Refusal::BadTtl => Some(OpError::BadTtl { max_secs: config.ttl_max.as_secs() }),
        _ => None,
    }
}
