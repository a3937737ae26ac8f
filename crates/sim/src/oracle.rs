//! The truth: who is a member, and who is therefore the root of a key.
//!
//! A node is a member from the completion of its join until its crash, or until it is asked to leave. While it leaves, an
//! answer that names it and one that does not are both right.
//!
//! How keys are placed on members the registry says: on the ring, or in a tree of prefixes.

use std::collections::{BTreeMap, BTreeSet};

use keyway_core::Id;
use keyway_core::keyspace::Geometry;
use keyway_core::keyspace::xor::{self, Subtree};
use keyway_core::overlay::registry;

/// Knows all members.
#[derive(Clone, Debug)]
pub struct Oracle {
    geometry: Geometry,
    members: BTreeMap<Id, usize>,
    leaving: BTreeSet<Id>,
}

impl Oracle {
    /// Nobody is a member yet. The ring is meant where the name is of no overlay.
    #[must_use]
    pub fn new(overlay: &str) -> Oracle {
        let geometry = registry::find(overlay).map_or(Geometry::Ring, |entry| entry.geometry);
        Oracle { geometry, members: BTreeMap::new(), leaving: BTreeSet::new() }
    }

    /// A node has completed its join.
    pub fn joined(&mut self, id: Id, host: usize) {
        self.members.insert(id, host);
        self.leaving.remove(&id);
    }

    /// A node was asked to leave.
    pub fn leaves(&mut self, id: Id) {
        if self.members.contains_key(&id) {
            self.leaving.insert(id);
        }
    }

    /// A node crashed, or has left.
    pub fn gone(&mut self, id: &Id) {
        self.members.remove(id);
        self.leaving.remove(id);
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nobody is a member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Members in order of id, with their hosts.
    pub fn members(&self) -> impl DoubleEndedIterator<Item = (&Id, usize)> {
        self.members.iter().map(|(id, &host)| (id, host))
    }

    /// The host of a member.
    #[must_use]
    pub fn host(&self, id: &Id) -> Option<usize> {
        self.members.get(id).copied()
    }

    /// Members from the root of `key` on, in the order in which replicas are placed, until `enough` of them satisfy `wanted`.
    fn in_order(&self, key: &Id, enough: usize, wanted: impl Fn(&Id) -> bool) -> Vec<(Id, usize)> {
        let mut found = Vec::new();
        let mut count = 0;
        let mut visit = |id: &Id, host: usize| {
            found.push((*id, host));
            count += usize::from(wanted(id));
            count < enough
        };
        match self.geometry {
            Geometry::Ring => {
                let (after, before) = (self.members.range(key..), self.members.range(..key));
                after.chain(before).all(|(id, &host)| visit(id, host));
            }
            Geometry::Xor => {
                // Whoever shares most bits with the key stands beside it in the order of ids.
                let beside = [self.members.range(..=key).next_back(), self.members.range(key..).next()];
                if let Some(shared) = beside.into_iter().flatten().map(|(id, _)| xor::common(key, id)).max() {
                    let around = (0..shared).rev().map(|bucket| Subtree::of_bucket(key, bucket));
                    let mut trees = core::iter::once(Subtree::around(key, shared)).chain(around);
                    trees.all(|tree| self.nearest_in(tree, key, &mut visit));
                }
            }
        }
        found
    }

    /// Visits the members of a subtree, nearest to `key` first; false if the visitor has had enough.
    fn nearest_in(&self, tree: Subtree, key: &Id, visit: &mut impl FnMut(&Id, usize) -> bool) -> bool {
        let mut inside = self.members.range(tree.first()..=tree.last());
        let Some((first, &host)) = inside.next() else { return true };
        let Some((last, _)) = inside.next_back() else { return visit(first, host) };
        // Where its members part: down to there all of them are on one side of the key.
        let at = xor::common(first, last);
        let (low, high) = Subtree::around(first, at).halves();
        let fork = xor::common(key, first).min(at);
        let bit = if fork < at { xor::deciding_bit(key, fork, at) } else { xor::bit(key, at) };
        let (near, far) = if bit { (high, low) } else { (low, high) };
        self.nearest_in(near, key, visit) && self.nearest_in(far, key, visit)
    }

    /// The root of a key; while it leaves also the one that follows it.
    #[must_use]
    pub fn roots(&self, key: &Id) -> Vec<usize> {
        // Up to and with the first that stays.
        let stays = |id: &Id| !self.leaving.contains(id);
        self.in_order(key, 1, stays).into_iter().map(|(_, host)| host).collect()
    }

    /// The hosts that should hold a key, root first.
    #[must_use]
    pub fn replicas(&self, key: &Id, n: usize) -> Vec<usize> {
        let stays = |id: &Id| !self.leaving.contains(id);
        let found = self.in_order(key, n, stays);
        found.into_iter().filter(|(id, _)| stays(id)).map(|(_, host)| host).take(n).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oracle(ids: &[u64]) -> Oracle {
        let mut oracle = Oracle::new("");
        ids.iter().enumerate().for_each(|(host, &id)| oracle.joined(Id::from_u64(id), host));
        oracle
    }

    #[test]
    fn the_successor_is_the_root_and_the_ring_wraps() {
        let oracle = oracle(&[10, 20, 30]);
        assert_eq!(oracle.roots(&Id::from_u64(10)), [0]);
        assert_eq!(oracle.roots(&Id::from_u64(11)), [1]);
        assert_eq!(oracle.roots(&Id::from_u64(31)), [0]);
        assert_eq!(oracle.replicas(&Id::from_u64(25), 2), [2, 0]);
        assert_eq!(oracle.replicas(&Id::from_u64(25), 9).len(), 3);
    }

    #[test]
    fn a_leaving_root_may_be_named_or_not() {
        let mut oracle = oracle(&[10, 20, 30]);
        oracle.leaves(Id::from_u64(20));
        assert_eq!(oracle.roots(&Id::from_u64(15)), [1, 2]);
        assert_eq!(oracle.replicas(&Id::from_u64(15), 2), [2, 0]);
        oracle.gone(&Id::from_u64(20));
        assert_eq!(oracle.roots(&Id::from_u64(15)), [2]);
    }

    #[test]
    fn the_nearest_by_rank_are_those_of_a_full_scan() {
        let mut rng = keyway_core::rng::Rng::from_u64(3);
        let mut oracle = Oracle::new("kademlia");
        let mut ids: Vec<Id> = (0..60).map(|_| rng.id()).collect();
        // Twins, and a crowd with a long common prefix.
        ids.push(ids[0].xor(&Id::from_u64(1)));
        ids.extend((0..20u64).map(|n| Id::from_u64(n * n)));
        ids.iter().enumerate().for_each(|(host, id)| oracle.joined(*id, host));
        for round in 0..300 {
            let key = if round % 3 == 0 { Id::from_u64(round) } else { rng.id() };
            let mut truth: Vec<usize> = (0..ids.len()).collect();
            truth.sort_by_key(|&host| xor::rank(&key, &ids[host]));
            truth.truncate(9);
            assert_eq!(oracle.replicas(&key, 9), truth);
            assert_eq!(oracle.roots(&key), truth[..1]);
        }
    }
}
