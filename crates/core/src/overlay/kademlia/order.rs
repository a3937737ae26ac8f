//! Who is nearer: by distance from this node, and by rank for a key.
//!
//! Ids are long, and two of them nearly always differ in their first 64 bits. So peers are compared by the heads of their
//! distances, or of their ranks, each a single word, and by the whole only if those are equal.

use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::id::Id;
use crate::keyspace::xor;
use crate::peer::Peer;

/// The first bits of an id.
#[inline]
pub(super) fn head(id: &Id) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *id.as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The first bits of [`xor::rank`]: they follow from the first bits of key and member alone.
#[inline]
fn rank_head(key: u64, member: u64) -> u64 {
    let distance = key ^ member;
    let heeded = distance.leading_zeros() + 1 + xor::RESOLUTION_BITS as u32;
    let beyond = u64::MAX.checked_shr(heeded).unwrap_or(0);
    distance & !beyond | member & beyond
}

/// The order of `a` and `b` by their distances from `me`.
#[inline]
pub(super) fn by_distance(me: &Id, a: &Id, b: &Id) -> Ordering {
    let near = |id: &Id| head(id) ^ head(me);
    near(a).cmp(&near(b)).then_with(|| xor::distance(me, a).cmp(&xor::distance(me, b)))
}

/// Where `id` stands in a list in order of distance from `me`, or would stand.
#[inline]
pub(super) fn place<T>(me: &Id, id: &Id, list: &[T], id_of: impl Fn(&T) -> &Id) -> Result<usize, usize> {
    let near = |id: &Id| head(id) ^ head(me);
    let wanted = near(id);
    let start = list.partition_point(|entry| near(id_of(entry)) < wanted);
    // All of them have the same head: seldom more than one.
    let alike = list[start..].iter().take_while(|entry| near(id_of(entry)) == wanted).count();
    let found = list[start..start + alike]
        .binary_search_by_key(&xor::distance(me, id), |entry| xor::distance(me, id_of(entry)));
    found.map(|at| start + at).map_err(|at| start + at)
}

/// The few nearest to a key of those that are offered: few enough that each finds its place by a look at all of them.
pub(super) struct Best<'a> {
    key: Id,
    max: usize,
    /// Heads of ranks, and whose they are; best first.
    ranked: Vec<(u64, &'a Peer)>,
}

impl<'a> Best<'a> {
    pub(super) fn new(key: &Id, max: usize) -> Best<'a> {
        Best { key: *key, max, ranked: Vec::with_capacity(max) }
    }

    pub(super) fn is_full(&self) -> bool {
        self.ranked.len() >= self.max
    }

    pub(super) fn offer(&mut self, peer: &'a Peer) {
        let one = (rank_head(head(&self.key), head(peer.id())), peer);
        if !self.is_full() {
            self.ranked.push(one);
        } else if self.ranked.last().is_none_or(|last| !self.is_before(one, *last)) {
            return;
        }
        // The last place is free: those that are behind it move up.
        let mut at = self.ranked.len() - 1;
        while at > 0 && self.is_before(one, self.ranked[at - 1]) {
            self.ranked[at] = self.ranked[at - 1];
            at -= 1;
        }
        self.ranked[at] = one;
    }

    #[inline]
    fn is_before(&self, one: (u64, &Peer), other: (u64, &Peer)) -> bool {
        let whole = |peer: &Peer| xor::rank(&self.key, peer.id());
        one.0 < other.0 || one.0 == other.0 && whole(one.1) < whole(other.1)
    }

    /// Best first.
    pub(super) fn peers(&self) -> impl Iterator<Item = &'a Peer> {
        self.ranked.iter().map(|(_, peer)| *peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Addr;
    use proptest::prelude::*;

    /// Ids that differ in few bits, in any part of them.
    fn id() -> impl Strategy<Value = Id> {
        (0usize..160, 0usize..160, 0usize..160)
            .prop_map(|(a, b, c)| Id::pow2(a).xor(&Id::pow2(b)).xor(&Id::pow2(c)))
    }

    proptest! {
        #[test]
        fn the_best_are_the_first_of_all_by_rank(key in id(), ids in prop::collection::btree_set(id(), 0..30), max in 0usize..9) {
            let peers: Vec<Peer> = ids.iter().map(|id| Peer::new(*id, Addr::loopback(1))).collect();
            let mut best = Best::new(&key, max);
            peers.iter().for_each(|peer| best.offer(peer));
            let mut truth: Vec<&Peer> = peers.iter().collect();
            truth.sort_by_key(|peer| xor::rank(&key, peer.id()));
            truth.truncate(max);
            prop_assert_eq!(best.peers().collect::<Vec<_>>(), truth);
        }

        #[test]
        fn a_place_is_where_the_distance_stands(me in id(), wanted in id(), ids in prop::collection::btree_set(id(), 0..30)) {
            let mut list: Vec<Id> = ids.into_iter().collect();
            list.sort_by(|a, b| by_distance(&me, a, b));
            let truth = list.binary_search_by_key(&xor::distance(&me, &wanted), |id| xor::distance(&me, id));
            prop_assert_eq!(place(&me, &wanted, &list, |id| id), truth);
        }

        #[test]
        fn heads_and_wholes_agree(me in id(), a in id(), b in id()) {
            prop_assert_eq!(by_distance(&me, &a, &b), xor::distance(&me, &a).cmp(&xor::distance(&me, &b)));
            prop_assert_eq!(rank_head(head(&a), head(&b)), head(&xor::rank(&a, &b)));
        }
    }
}
