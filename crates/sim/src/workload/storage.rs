//! Puts, removes and gets, and the client's memory of them: what was asked, what was acknowledged, what may therefore be
//! read, and what may not be any more.
//!
//! A put that was not acknowledged has an unknown outcome: it may be read later, or not. One that was refused before
//! anything was sent (too large, busy, not joined) was never put.

use std::collections::BTreeMap;

use keyway_core::machine::{GetAnswer, Op, OpDone, OpError, OpId, OpResult, Reads};
use keyway_core::rng::Rng;
use keyway_core::store::Identity;
use keyway_core::{Duration, Id, Wall};

use crate::host::EPOCH;

/// How a put ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Not yet.
    Pending,
    /// It is promised until that instant (of the gateway's clock).
    Acked(Wall),
    /// It may be there.
    Unknown,
    /// Nothing was stored.
    Refused,
}

/// One try to put a value.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// At which host.
    pub host: usize,
    /// When, by the world.
    pub asked: u64,
    /// When it ended, by the world.
    pub ended: u64,
    /// What is put.
    pub put: Stored,
    /// How it ended.
    pub outcome: Outcome,
}

/// What a put asks to store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Its name.
    pub identity: Identity,
    /// SHA-1 of the value: of a series the name does not say it.
    pub value_sha1: Id,
    /// The number in its series; 0 outside one.
    pub seq: u64,
    /// The life it asks for.
    pub ttl: Duration,
    /// The end of its life, if that is signed: its ttl is then what the gateway's clock makes of it.
    pub ends: Option<Wall>,
}

impl Stored {
    /// A plain value without a secret.
    #[must_use]
    pub fn plain(key: Id, value: &[u8], ttl: Duration) -> Stored {
        let value_sha1 = Id::sha1(value);
        let identity = Identity { key, secret_hash: Id::ZERO, value_hash: value_sha1 };
        Stored { identity, value_sha1, seq: 0, ttl, ends: None }
    }
}

/// One try to remove a value.
#[derive(Clone, Debug)]
pub struct Removal {
    /// At which host.
    pub host: usize,
    /// The number in its series; 0 outside one.
    pub seq: u64,
    /// When it was asked, by the world.
    pub asked: u64,
    /// When it ended, by the world.
    pub ended: u64,
    /// How it ended; acknowledged: until when it stands.
    pub outcome: Outcome,
}

/// A get that was answered.
#[derive(Clone, Debug)]
pub struct Got {
    /// At which host.
    pub host: usize,
    /// The key.
    pub key: Id,
    /// When it was asked, by the world.
    pub asked: u64,
    /// When it was answered, by the world.
    pub ended: u64,
    /// How many replicas were to be consulted.
    pub reads: Reads,
    /// The answer.
    pub answer: GetAnswer,
}

/// What an ended operation was.
#[derive(Clone, Debug)]
pub enum Ended {
    /// A put, and whether it was acknowledged.
    Put {
        /// The value's name.
        identity: Identity,
        /// Whether it was acknowledged.
        acked: bool,
        /// The life it asked for.
        ttl: Duration,
    },
    /// A remove, and whether it was acknowledged.
    Removed {
        /// The value's name.
        identity: Identity,
        /// Whether it was acknowledged.
        acked: bool,
    },
    /// A get that was answered.
    Got(Got),
    /// A get that was not.
    GetFailed(OpError),
}

#[derive(Debug)]
enum Pending {
    Put { identity: Identity, attempt: usize },
    Remove { identity: Identity, removal: usize },
    Get { host: usize, key: Id, asked: u64, reads: Reads },
}

/// The wall time of the world, as a clock without skew shows it.
#[must_use]
pub fn wall(at: u64) -> Wall {
    Wall(EPOCH.0 + at)
}

/// Remembers everything that clients did.
#[derive(Debug, Default)]
pub struct ClientModel {
    attempts: BTreeMap<Identity, Vec<Attempt>>,
    removals: BTreeMap<Identity, Vec<Removal>>,
    pending: BTreeMap<OpId, Pending>,
}

impl ClientModel {
    /// A put is asked for under `op`.
    pub fn begin_put(&mut self, op: OpId, host: usize, put: Stored, asked: u64) {
        let attempts = self.attempts.entry(put.identity).or_default();
        attempts.push(Attempt { host, asked, ended: u64::MAX, put, outcome: Outcome::Pending });
        self.pending.insert(op, Pending::Put { identity: put.identity, attempt: attempts.len() - 1 });
    }

    /// A remove is asked for under `op`.
    pub fn begin_remove(&mut self, op: OpId, host: usize, identity: Identity, seq: u64, asked: u64) {
        let removals = self.removals.entry(identity).or_default();
        removals.push(Removal { host, seq, asked, ended: u64::MAX, outcome: Outcome::Pending });
        self.pending.insert(op, Pending::Remove { identity, removal: removals.len() - 1 });
    }

    /// A get is asked for under `op`.
    pub fn begin_get(&mut self, op: OpId, host: usize, key: Id, reads: Reads, asked: u64) {
        self.pending.insert(op, Pending::Get { host, key, asked, reads });
    }

    /// An operation ended; `None` if it is not one of ours.
    pub fn end(&mut self, op: OpId, at: u64, result: OpResult) -> Option<Ended> {
        Some(match self.pending.remove(&op)? {
            Pending::Put { identity, attempt } => {
                let outcome = outcome(&result);
                self.settle_put(&identity, attempt, at, outcome);
                let ttl = self.attempts[&identity][attempt].put.ttl;
                Ended::Put { identity, acked: matches!(outcome, Outcome::Acked(_)), ttl }
            }
            Pending::Remove { identity, removal } => {
                let outcome = outcome(&result);
                self.settle_remove(&identity, removal, at, outcome);
                Ended::Removed { identity, acked: matches!(outcome, Outcome::Acked(_)) }
            }
            Pending::Get { host, key, asked, reads } => match result {
                Ok(OpDone::Got(answer)) => Ended::Got(Got { host, key, asked, ended: at, reads, answer }),
                Ok(_) => Ended::GetFailed(OpError::Timeout),
                Err(error) => Ended::GetFailed(error),
            },
        })
    }

    fn settle_put(&mut self, identity: &Identity, attempt: usize, at: u64, outcome: Outcome) {
        if let Some(attempt) = self.attempts.get_mut(identity).and_then(|a| a.get_mut(attempt)) {
            attempt.ended = at;
            attempt.outcome = outcome;
        }
    }

    fn settle_remove(&mut self, identity: &Identity, removal: usize, at: u64, outcome: Outcome) {
        if let Some(removal) = self.removals.get_mut(identity).and_then(|r| r.get_mut(removal)) {
            removal.ended = at;
            removal.outcome = outcome;
        }
    }

    /// A gateway died: what was asked of it has an unknown outcome.
    pub fn forget(&mut self, host: usize, at: u64) {
        let (mut lost, mut lost_removals) = (Vec::new(), Vec::new());
        let (attempts, removals) = (&self.attempts, &self.removals);
        self.pending.retain(|_, pending| match pending {
            Pending::Get { host: h, .. } => *h != host,
            Pending::Put { identity, attempt } => {
                let theirs = attempts.get(identity).is_some_and(|a| a[*attempt].host == host);
                if theirs {
                    lost.push((*identity, *attempt));
                }
                !theirs
            }
            Pending::Remove { identity, removal } => {
                let theirs = removals.get(identity).is_some_and(|r| r[*removal].host == host);
                if theirs {
                    lost_removals.push((*identity, *removal));
                }
                !theirs
            }
        });
        for (identity, removal) in lost_removals {
            self.settle_remove(&identity, removal, at, Outcome::Unknown);
        }
        for (identity, attempt) in lost {
            self.settle_put(&identity, attempt, at, Outcome::Unknown);
        }
    }

    /// Whether this operation is under way.
    #[must_use]
    pub fn is_pending(&self, op: OpId) -> bool {
        self.pending.contains_key(&op)
    }

    /// Operations under way.
    #[must_use]
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// All tries to put this value.
    #[must_use]
    pub fn attempts(&self, identity: &Identity) -> &[Attempt] {
        self.attempts.get(identity).map_or(&[], Vec::as_slice)
    }

    /// All tries to remove this value.
    #[must_use]
    pub fn removals(&self, identity: &Identity) -> &[Removal] {
        self.removals.get(identity).map_or(&[], Vec::as_slice)
    }

    /// Whether a remove of it was asked for by then and may have had its effect.
    fn may_be_removed(&self, identity: &Identity, by: u64) -> bool {
        self.removals(identity).iter().any(|r| r.asked <= by && r.outcome != Outcome::Refused)
    }

    /// Everything acknowledged and never removed, with the latest instant promised.
    pub fn acked(&self) -> impl Iterator<Item = (&Identity, Wall)> {
        let kept = self.attempts.iter().filter(|(identity, _)| !self.may_be_removed(identity, u64::MAX));
        kept.filter_map(|(identity, attempts)| {
            let promised = attempts.iter().filter_map(|a| match a.outcome {
                Outcome::Acked(expires) => Some(expires),
                _ => None,
            });
            Some((identity, promised.max()?))
        })
    }

    /// What a get of `key` asked at `asked` and answered at `ended` must contain: acknowledged before it was asked, and
    /// alive until well after it was answered.
    pub fn owed<'a>(
        &'a self,
        key: &Id,
        asked: u64,
        ended: u64,
        skew: Duration,
    ) -> impl Iterator<Item = &'a Identity> {
        let (first, last) = bounds(key);
        self.attempts.range(first..=last).filter_map(move |(identity, attempts)| {
            let owed = attempts.iter().any(|a| {
                matches!(a.outcome, Outcome::Acked(expires) if a.ended <= asked && expires > wall(ended) + skew)
            });
            (owed && !self.may_be_removed(identity, ended)).then_some(identity)
        })
    }

    /// What was removed under `key`: removes acknowledged by then.
    pub fn removed(&self, key: &Id, by: u64) -> impl Iterator<Item = &Identity> {
        let (first, last) = bounds(key);
        self.removals.range(first..=last).filter_map(move |(identity, removals)| {
            let mut acked = removals.iter().filter(|r| matches!(r.outcome, Outcome::Acked(_)));
            acked.any(|r| r.ended <= by).then_some(identity)
        })
    }

    /// Keys that were ever put to, in order.
    #[must_use]
    pub fn keys(&self) -> Vec<Id> {
        let mut keys: Vec<Id> = self.attempts.keys().map(|i| i.key).collect();
        keys.dedup();
        keys
    }
}

/// What the end of an operation says about what it was to store.
fn outcome(result: &OpResult) -> Outcome {
    match result {
        // A removal stands before it: nothing was promised.
        Ok(OpDone::Put(receipt)) if receipt.hidden => Outcome::Unknown,
        Ok(OpDone::Put(receipt)) => Outcome::Acked(receipt.expires),
        Ok(OpDone::Removed(receipt)) => Outcome::Acked(receipt.expires),
        Err(
            OpError::TooLarge { .. }
            | OpError::BadTtl { .. }
            | OpError::Forged
            | OpError::Busy
            | OpError::NotJoined,
        ) => Outcome::Refused,
        _ => Outcome::Unknown,
    }
}

fn bounds(key: &Id) -> (Identity, Identity) {
    let end = |id| Identity { key: *key, secret_hash: id, value_hash: id };
    (end(Id::ZERO), end(Id::MAX))
}

/// Most values that a reading client asks for at once.
pub const PAGE_VALUES_MAX: u32 = 1_000;
/// And most bytes.
pub const PAGE_BYTES_MAX: u32 = 16 << 20;

/// A get as clients of the simulator ask it: everything under the key.
#[must_use]
pub fn get(key: Id, reads: Reads) -> Op {
    Op::Get {
        key,
        max: PAGE_VALUES_MAX,
        after: None,
        reads,
        page_bytes: PAGE_BYTES_MAX,
        overhead_bytes: 0,
        signer: None,
    }
}

/// A value of `len` bytes that no other number gives.
#[must_use]
pub fn value(number: u64, len: usize, rng: &mut Rng) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    while bytes.len() < len {
        bytes.extend_from_slice(&rng.next_u64().to_be_bytes());
    }
    bytes.truncate(len.max(8));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyway_core::machine::PutReceipt;

    const TTL: Duration = Duration::from_secs(10);

    fn model_with_put() -> (ClientModel, Identity) {
        let mut model = ClientModel::default();
        model.begin_put(OpId(1), 3, Stored::plain(Id::from_u64(5), b"v", TTL), 100);
        let identity = *model.attempts.keys().next().unwrap();
        (model, identity)
    }

    fn receipt(identity: Identity) -> OpResult {
        Ok(OpDone::Put(PutReceipt {
            identity,
            acked: Vec::new(),
            replicas: 3,
            expires: wall(100) + TTL,
            hidden: false,
        }))
    }

    #[test]
    fn an_acknowledged_put_is_owed_until_it_expires() {
        let (mut model, identity) = model_with_put();
        assert_eq!(model.acked().count(), 0);
        assert!(matches!(model.end(OpId(1), 200, receipt(identity)), Some(Ended::Put { acked: true, .. })));
        let owed = |asked, ended| model.owed(&identity.key, asked, ended, Duration::ZERO).count();
        assert_eq!((owed(200, 300), owed(199, 300), owed(200, 100 + TTL.0)), (1, 0, 0));
        assert_eq!(model.acked().next(), Some((&identity, wall(100) + TTL)));
    }

    #[test]
    fn a_dead_gateway_leaves_its_puts_unknown() {
        let (mut model, identity) = model_with_put();
        model.forget(3, 150);
        assert_eq!(model.attempts(&identity)[0].outcome, Outcome::Unknown);
        assert_eq!(model.pending_count(), 0);
        assert!(model.end(OpId(1), 200, receipt(identity)).is_none());
    }

    #[test]
    fn values_are_told_apart_by_their_numbers() {
        let mut rng = Rng::from_u64(1);
        assert_eq!(value(7, 3, &mut rng).len(), 8);
        assert_eq!(value(7, 20, &mut rng)[..8], value(7, 30, &mut rng)[..8]);
    }
}
