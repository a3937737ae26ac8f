//! Values of one key in put-time order, for pages (`opendht` section 1.5).
//!
//! The index is in order of identity. A key with few values is sorted when it is asked for, on the stack; a crowded
//! key (more than [`FEW_MAX`] records) has a list of its own in put-time order, so that each page of tens of thousands
//! of values costs only its own length.

use alloc::collections::{BTreeMap, BTreeSet, btree_set};
use core::ops::Bound;

use super::index::Index;
use super::record::{Cursor, Head, Identity};
use crate::id::Id;
use crate::time::Wall;

/// A key with more records than this is crowded.
pub(super) const FEW_MAX: usize = 16;
/// A crowded key with at most this many records is crowded no more.
const FEW_AGAIN: usize = FEW_MAX / 2;

/// The crowded keys, each with its records in put-time order.
#[derive(Debug, Default)]
pub(super) struct Crowds {
    keys: BTreeMap<Id, BTreeSet<Cursor>>,
}

impl Crowds {
    pub(super) fn of(&self, key: &Id) -> Option<&BTreeSet<Cursor>> {
        self.keys.get(key)
    }

    /// Takes note of a head in place of `old`; `all` are the records of its key, the head among them.
    pub(super) fn add<'a>(
        &mut self,
        head: &Head,
        old: Option<&Head>,
        all: impl Iterator<Item = &'a Head> + Clone,
    ) {
        let key = head.identity.key;
        if let Some(crowd) = self.keys.get_mut(&key) {
            if let Some(old) = old {
                crowd.remove(&old.cursor());
            }
            crowd.insert(head.cursor());
        } else if all.clone().nth(FEW_MAX).is_some() {
            self.keys.insert(key, all.map(Head::cursor).collect());
        }
    }

    /// Takes note of a head that the index holds no more.
    pub(super) fn remove(&mut self, head: &Head) {
        if let Some(crowd) = self.keys.get_mut(&head.identity.key) {
            crowd.remove(&head.cursor());
            if crowd.len() <= FEW_AGAIN {
                self.keys.remove(&head.identity.key);
            }
        }
    }

    pub(super) fn each(&self) -> impl Iterator<Item = (&Id, &BTreeSet<Cursor>)> {
        self.keys.iter()
    }
}

/// The live puts under one key in put-time order.
pub(super) enum InOrder<'a> {
    /// Sorted on the stack.
    Few { found: [Option<&'a Head>; FEW_MAX], next: usize },
    /// Read off a crowded key's own list.
    Many { places: btree_set::Range<'a, Cursor>, index: &'a Index, key: Id, now: Wall },
}

/// Whether a reader may see it.
pub(super) fn is_served(head: &Head, now: Wall) -> bool {
    !head.kind.is_remove() && head.expires() > now
}

impl<'a> InOrder<'a> {
    pub(super) fn new(index: &'a Index, now: Wall, key: &Id, after: Option<&Cursor>) -> InOrder<'a> {
        if let Some(crowd) = index.crowds().of(key) {
            let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(*after));
            return InOrder::Many { places: crowd.range((from, Bound::Unbounded)), index, key: *key, now };
        }
        let mut found = [None; FEW_MAX];
        let mut count = 0;
        let wanted = |head: &&Head| is_served(head, now) && after.is_none_or(|after| head.cursor() > *after);
        for (slot, head) in found.iter_mut().zip(index.of_key(key).filter(wanted)) {
            *slot = Some(head);
            count += 1;
        }
        found[..count].sort_unstable_by_key(|head| head.map(Head::cursor));
        InOrder::Few { found, next: 0 }
    }
}

impl<'a> Iterator for InOrder<'a> {
    type Item = &'a Head;

    fn next(&mut self) -> Option<&'a Head> {
        match self {
            InOrder::Few { found, next } => {
                let head = found.get(*next).copied().flatten()?;
                *next += 1;
                Some(head)
            }
            InOrder::Many { places, index, key, now } => places.find_map(|place| {
                let identity =
                    Identity { key: *key, secret_hash: place.secret_hash, value_hash: place.value_hash };
                index.get(&identity).filter(|head| is_served(head, *now))
            }),
        }
    }
}
