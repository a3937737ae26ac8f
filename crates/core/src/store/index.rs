//! The index: every head that the disk has confirmed, in disk order, with what is derived from it.
//!
//! ```text
//!   heads   by identity (key, secret hash, value hash)      the truth; the order of the disk
//!   expiry  by end of life                                  which to delete next
//!   crowds  by put time, for keys with many values          pages
//!   tree    digests of every stretch                        sync
//! ```
//!
//! All change together, in [`Index::insert`] and [`Index::remove`] alone; [`Index::check`] says whether they agree.
//! An entry costs 112 bytes in `heads` and 72 in `expiry`, times the slack of a B-tree; an empty index allocates nothing.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::cmp::Ordering;

use super::digest::{Digest, Tree};
use super::expiry::Expiry;
use super::order::{Crowds, FEW_MAX};
use super::record::{HEAD_BYTES, Head, Identity};
use crate::id::Id;
use crate::keyspace::Arc;
use crate::overlay::Violation;
use crate::time::Wall;

/// Greatest number of parts of a split.
pub const SPLIT_MAX: usize = 16;

/// A head, ordered and found by its identity alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held(pub(super) Head);

impl PartialEq for Held {
    fn eq(&self, other: &Held) -> bool {
        self.0.identity == other.0.identity
    }
}
impl Eq for Held {}
impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Held) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Held {
    fn cmp(&self, other: &Held) -> Ordering {
        self.0.identity.cmp(&other.0.identity)
    }
}
impl Borrow<Identity> for Held {
    fn borrow(&self) -> &Identity {
        &self.0.identity
    }
}

/// What a record costs against the store's bound: its value, and its head, so that empty values are not free.
pub(super) fn cost_bytes(head: &Head) -> u64 {
    u64::from(head.value_bytes) + HEAD_BYTES as u64
}

/// The least identity under a key.
pub(super) const fn first_of(key: Id) -> Identity {
    Identity { key, secret_hash: Id::ZERO, value_hash: Id::ZERO }
}

/// The greatest identity under a key.
pub(super) const fn last_of(key: Id) -> Identity {
    Identity { key, secret_hash: Id::MAX, value_hash: Id::MAX }
}

/// The next identity under the same key.
fn next_under_key(identity: &Identity) -> Option<Identity> {
    let value_hash = identity.value_hash.next();
    let carry = value_hash == Id::ZERO;
    let secret_hash = if carry { identity.secret_hash.next() } else { identity.secret_hash };
    (!carry || secret_hash != Id::ZERO).then_some(Identity { key: identity.key, secret_hash, value_hash })
}

/// An arc, or what is left of it after a place in it, as ranges of identities in clockwise order.
fn ranges(arc: &Arc, after: Option<&Identity>) -> [Option<(Identity, Identity)>; 3] {
    let (from, rest) = match after {
        None => (arc.from, None),
        Some(after) => (after.key, next_under_key(after).map(|next| (next, last_of(after.key)))),
    };
    if after.is_some() && from == arc.to {
        return [rest, None, None];
    }
    let first = from.next();
    if first <= arc.to {
        [rest, Some((first_of(first), last_of(arc.to))), None]
    } else {
        [rest, Some((first_of(first), last_of(Id::MAX))), Some((first_of(Id::ZERO), last_of(arc.to)))]
    }
}

/// Confirmed heads and everything derived from them.
#[derive(Debug, Default)]
pub(super) struct Index {
    heads: BTreeSet<Held>,
    expiry: Expiry,
    crowds: Crowds,
    tree: Tree,
    /// Sum of the values' lengths.
    value_bytes: u64,
}

impl Index {
    /// Puts a head in the place of the one with its identity, which is returned.
    pub(super) fn insert(&mut self, head: Head) -> Option<Head> {
        let old = self.heads.replace(Held(head)).map(|held| held.0);
        if let Some(old) = &old {
            self.expiry.remove(old);
            self.value_bytes -= u64::from(old.value_bytes);
            self.tree.remove(old);
        }
        self.expiry.add(&head);
        self.value_bytes += u64::from(head.value_bytes);
        self.tree.add(&head, &self.heads);
        let key = head.identity.key;
        let all = self.heads.range(first_of(key)..=last_of(key)).map(|held| &held.0);
        self.crowds.add(&head, old.as_ref(), all);
        old
    }

    /// Forgets a head.
    pub(super) fn remove(&mut self, identity: &Identity) -> Option<Head> {
        let old = self.heads.take(identity)?.0;
        self.expiry.remove(&old);
        self.crowds.remove(&old);
        self.tree.remove(&old);
        self.value_bytes -= u64::from(old.value_bytes);
        Some(old)
    }

    pub(super) fn get(&self, identity: &Identity) -> Option<&Head> {
        self.heads.get(identity).map(|held| &held.0)
    }

    pub(super) fn len(&self) -> u64 {
        self.heads.len() as u64
    }

    pub(super) fn value_bytes(&self) -> u64 {
        self.value_bytes
    }

    /// What all records cost against the store's bound.
    pub(super) fn cost_bytes(&self) -> u64 {
        self.value_bytes + self.len() * HEAD_BYTES as u64
    }

    pub(super) fn crowds(&self) -> &Crowds {
        &self.crowds
    }

    pub(super) fn expiry(&self) -> &Expiry {
        &self.expiry
    }

    /// All heads under a key, in order of identity.
    pub(super) fn of_key(&self, key: &Id) -> impl Iterator<Item = &Head> + Clone + use<'_> {
        // One search for the first; an upper bound would cost another.
        let key = *key;
        self.heads.range(first_of(key)..).map(|held| &held.0).take_while(move |head| head.identity.key == key)
    }

    /// All heads under a key that have this in the place of their secret hash.
    pub(super) fn of_signer(&self, key: &Id, place: &Id) -> impl Iterator<Item = &Head> + use<'_> {
        let first = Identity { key: *key, secret_hash: *place, value_hash: Id::ZERO };
        let last = Identity { value_hash: Id::MAX, ..first };
        self.heads.range(first..=last).map(|held| &held.0)
    }

    /// The heads of an arc after a place in it, clockwise from its start.
    pub(super) fn in_arc(
        &self,
        arc: &Arc,
        after: Option<&Identity>,
    ) -> impl Iterator<Item = &Head> + use<'_> {
        let ranges = ranges(arc, after).into_iter().flatten();
        ranges.flat_map(|(first, last)| self.heads.range(first..=last)).map(|held| &held.0)
    }

    /// The digest of what [`Index::in_arc`] lists.
    pub(super) fn digest(&self, arc: &Arc, after: Option<&Identity>) -> Digest {
        if arc.is_full() && after.is_none() {
            return self.tree.total();
        }
        ranges(arc, after).iter().flatten().fold(Digest::default(), |sum, (first, last)| {
            sum.plus(self.tree.between(first, last, &self.heads))
        })
    }

    /// Cuts an arc into parts with about equally many records each. Cuts fall on keys of records, so the parts follow the
    /// records wherever they are. The number of parts balances what the list of parts costs on the wire against what the
    /// heads of one part cost.
    pub(super) fn split(&self, arc: &Arc) -> Vec<(Arc, Digest)> {
        let count = self.digest(arc, None).count;
        // With n records in p parts: p entries of 64 bytes, then n / p heads of 90; least near the root of 2 n.
        let parts = (2 * count).isqrt().clamp(1, SPLIT_MAX as u64).min(count.max(1));
        let start = first_of(arc.from.next());
        let before = self.tree.between(&first_of(Id::ZERO), &start, &self.heads).count
            - u64::from(self.heads.contains(&start));
        let total = self.len();
        let mut split = Vec::with_capacity(parts as usize);
        let mut from = arc.from;
        for part in 1..parts {
            let last = part * count / parts - 1;
            let Some(head) = self.tree.nth((before + last) % total, &self.heads) else { continue };
            let to = head.identity.key;
            if to != from && to != arc.to {
                let part = Arc::new(from, to);
                split.push((part, self.digest(&part, None)));
                from = to;
            }
        }
        let part = Arc::new(from, arc.to);
        split.push((part, self.digest(&part, None)));
        split
    }

    /// The first key at or after a place, by number.
    pub(super) fn next_key(&self, at_or_after: &Id) -> Option<Id> {
        self.heads.range(first_of(*at_or_after)..).next().map(|held| held.0.identity.key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Head> {
        self.heads.iter().map(|held| &held.0)
    }

    /// Everything derived agrees with the heads. O(n).
    pub(super) fn check(&self) -> Result<(), Violation> {
        let value_bytes: u64 = self.iter().map(|head| u64::from(head.value_bytes)).sum();
        if value_bytes != self.value_bytes {
            let seen = format!("{} counted, {value_bytes} held", self.value_bytes);
            return Err(Violation::new("store.bytes", seen));
        }
        if self.expiry.len() != self.heads.len() || !self.iter().all(|head| self.expiry.has(head)) {
            let seen = format!("{} ends for {} heads", self.expiry.len(), self.heads.len());
            return Err(Violation::new("store.expiry", seen));
        }
        self.tree.check(&self.heads)?;
        for (key, crowd) in self.crowds.each() {
            if !self.of_key(key).map(Head::cursor).collect::<BTreeSet<_>>().eq(crowd) {
                return Err(Violation::new("store.order", format!("key {key}: {} places", crowd.len())));
            }
        }
        let mut next = self.next_key(&Id::ZERO);
        while let Some(key) = next {
            if self.of_key(&key).nth(FEW_MAX).is_some() && self.crowds.of(&key).is_none() {
                return Err(Violation::new("store.order", format!("key {key} is crowded without a list")));
            }
            next = (key != Id::MAX).then(|| self.next_key(&key.next())).flatten();
        }
        Ok(())
    }

    /// The ends of life that are over, with their identities, oldest first.
    pub(super) fn over(&self, now: Wall) -> impl Iterator<Item = &Identity> {
        self.expiry.over(now)
    }
}
